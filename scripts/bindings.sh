#!/usr/bin/env bash
# scripts/bindings.sh OUT [LIBRARY]
#
# Generates what programs in other languages import: OUT/python/steve.py, OUT/swift/Steve.swift with
# the C module that it needs, and OUT/kotlin/steve/steve.kt. All of them load libsteve_native, the
# library of sdk-rust/bindings/native, and must be made from the same sources as that.
#
# LIBRARY is a build of it with symbols; without one, it is built here, without optimisation.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

[[ $# -eq 1 || $# -eq 2 ]] || fail "usage: scripts/bindings.sh OUT [LIBRARY]"
out=$1 library=${2:-}

if [[ -z $library ]]; then
    need cc gcc libc6-dev
    cargo build $locked -p steve-native
    library=$(native_library debug)
fi

uniffi=$(sed -n '/^name = "uniffi"$/{n;s/^version = "\(.*\)"$/\1/p}' Cargo.lock)
grep -q "^uniffi = { version = \"=$uniffi\"," sdk-rust/bindings/bindgen/Cargo.toml \
    || fail "sdk-rust/bindings/bindgen does not use uniffi $uniffi as the workspace does"

# Not a part of the workspace, and no product: without optimisation, and kept like other tools.
for language in python swift kotlin; do
    mkdir -p "$out/$language"
    CARGO_PROFILE_DEV_DEBUG=0 cargo run --quiet --locked --target-dir "$cache/uniffi-bindgen" \
        --manifest-path sdk-rust/bindings/bindgen/Cargo.toml -- generate --no-format \
        --language "$language" --config sdk-rust/bindings/uniffi.toml --out-dir "$out/$language" "$library"
done
(cd "$out" && find . -type f -exec wc -l {} +)
