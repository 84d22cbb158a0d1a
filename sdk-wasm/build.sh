#!/usr/bin/env bash
# sdk-wasm/build.sh [--tests]
#
# Builds the npm package into sdk-wasm/dist, and prints what it weighs; with --tests, also the core
# that the tests give the test vectors to.
# Exit code 77: there is no compiler for WebAssembly to be had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh
umask 022 # npm packs the modes of files

max_gzip=$((200 * 1024))
module=$(realpath "$target")/wasm/wasm32-unknown-unknown/wasm/steve_wasm.wasm
npm=$PWD/sdk-wasm
generated=$npm/ts/generated

need npm nodejs npm
[[ $npm/node_modules/.package-lock.json -nt $npm/package-lock.json ]] \
    || (cd "$npm" && npm ci --silent && touch node_modules/.package-lock.json)

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
grep -q "^  \"version\": \"$version\",$" sdk-wasm/package.json \
    || fail "the version in sdk-wasm/package.json is not the workspace's, $version"

# Not a part of the workspace, and no product: without optimisation, and kept like other tools.
bindgen() {
    CARGO_PROFILE_DEV_DEBUG=0 cargo run --quiet --locked --target-dir "$cache/bindgen" \
        --manifest-path sdk-wasm/bindgen/Cargo.toml -- "$@"
}

# What every engine has that runs this at all.
features=(--enable-bulk-memory --enable-bulk-memory-opt --enable-multivalue --enable-mutable-globals
    --enable-nontrapping-float-to-int --enable-reference-types --enable-sign-ext --enable-simd)

# core NAME FEATURES...: the module with these features, and its JavaScript side
core() {
    local directory=$generated/$1
    scripts/build-wasm.sh "${@:2}"
    mkdir -p "$directory"
    local key
    key=$(cd sdk-wasm && cat "$module" build.sh package-lock.json bindgen/{Cargo.lock,src/*} | sha256sum)
    [[ $(cat "$directory/key" 2>/dev/null) != "$key" ]] || return 0
    bindgen "$module" "$directory"
    "$npm/node_modules/.bin/wasm-opt" -O3 "${features[@]}" --strip-debug --strip-producers \
        -o "$directory/optimised.wasm" "$directory/steve_wasm_bg.wasm"
    mv "$directory/optimised.wasm" "$directory/steve_wasm_bg.wasm"
    say "$key" >"$directory/key"
}

core core
core dangerous steve-wasm/dangerous-trust-anchor
[[ ${1:-} != --tests ]] || core vectors steve-wasm/test-vectors

cp LICENSE-* "$npm/"
chmod -R u=rwX,go=rX "$npm"/{LICENSE-*,README.md,package.json,ts,worker}
rm -rf "$npm/dist"
(cd "$npm" && node_modules/.bin/prettier --check --log-level warn ts worker demo tests && node_modules/.bin/tsc)
for name in core dangerous; do
    mkdir -p "$npm/dist/generated/$name"
    cp "$generated/$name"/steve_wasm{.js,.d.ts,_bg.wasm} "$npm/dist/generated/$name/"
done

sdk-wasm/bundle.sh

# A page that forbids eval must be able to use it.
! grep -rnE '\beval\(|new Function\(' "$npm/dist" --include='*.js' || fail "dist evaluates strings"

gzipped() {
    gzip -9 | wc -c
}

# What a page loads, when a bundler has made one script of it.
bundle() {
    "$npm/node_modules/.bin/esbuild" --bundle --minify --format=esm --log-level=warning "$@"
}

wasm=$(gzipped <"$npm/dist/generated/core/steve_wasm_bg.wasm")
all=$(bundle "$npm/dist/index.js" | gzipped)
scripts=$(bundle --external:./generated/* "$npm/dist/index.js" | gzipped)
total=$((wasm + all))
say "gzip: wasm $wasm, the core's JavaScript side $((all - scripts)), other scripts $scripts"
say "gzip: $total of $max_gzip bytes"
[[ $total -le $max_gzip ]] || fail "the package is too heavy"
