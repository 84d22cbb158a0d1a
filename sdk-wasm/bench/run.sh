#!/usr/bin/env bash
# sdk-wasm/bench/run.sh [--check]
#
# Builds steve-wasm-bench with and without SIMD, holds the AEAD against the vectors and against
# RustCrypto, and prints what both do in a second. --check builds only with SIMD, and measures
# nothing. Exit code 77: there is no compiler for WebAssembly to be had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/common.sh

npm=$PWD/sdk-wasm

need npm nodejs npm
[[ $npm/node_modules/.package-lock.json -nt $npm/package-lock.json ]] \
    || (cd "$npm" && npm ci --silent && touch node_modules/.package-lock.json)

features=(--enable-bulk-memory --enable-bulk-memory-opt --enable-multivalue --enable-mutable-globals
    --enable-nontrapping-float-to-int --enable-reference-types --enable-sign-ext --enable-simd)

# made NAME BUILT: target/wasm-bench/NAME from what scripts/build-wasm.sh left in BUILT
made() {
    local directory=target/wasm-bench/$1
    local module=$directory/steve_wasm_bench_bg.wasm
    mkdir -p "$directory"
    CARGO_PROFILE_DEV_DEBUG=0 cargo run --quiet --locked --manifest-path sdk-wasm/bindgen/Cargo.toml \
        --target-dir "$cache/bindgen" -- \
        "$2/wasm32-unknown-unknown/wasm/steve_wasm_bench.wasm" "$directory"
    "$npm/node_modules/.bin/wasm-opt" -O3 "${features[@]}" --strip-debug --strip-producers \
        -o "$module.optimised" "$module"
    mv "$module.optimised" "$module"
    say '{"type":"module"}' >"$directory/package.json"
}

scripts/build-wasm.sh
made simd "$target/wasm"
node --test sdk-wasm/bench/
[[ ${1:-} != --check ]] || exit 0

scripts/build-wasm.sh --scalar
made scalar "$target/wasm-scalar"
node sdk-wasm/bench/aead.mjs
