#!/usr/bin/env bash
# scripts/build-static.sh [PACKAGE]...
#
# Builds the static binaries of an enclave image, without the development attester: steve-proxy and
# steve-init, or the packages named. The same compilers and sources give the same bytes, whoever
# builds, where and when; scripts/reproducible.sh checks that.
#
# Needs Rust and a C compiler. Prints the compilers, then hash and path of each binary; they are in
# target/TRIPLE/release, with the triple of this machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

[[ $# -gt 0 ]] || set -- steve-proxy steve-init

triple=$(rustc -vV | sed -n 's/^host: //p')
mapfile -t flags < <(remap_flags rustc)
flags+=(-Ctarget-feature=+crt-static)

# Replaces RUSTFLAGS and all that configuration files say. What C code there is, aws-lc, maps its paths itself.
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; printf '%s' "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS CARGO_INCREMENTAL=0 LC_ALL=C
unset CFLAGS

say "rustc: $(rustc --version)"
say "C compiler: $("${CC:-cc}" --version | head -n 1)"
for package in "$@"; do
    features=()
    [[ $package != steve-proxy ]] || features=(--no-default-features --features aws-lc-rs,e2p-v2)
    cargo build --locked --release --target "$triple" -p "$package" "${features[@]}"
    (cd "$target/$triple/release" && sha256sum "$package")
done
say "in $target/$triple/release"
