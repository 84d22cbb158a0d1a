#!/usr/bin/env bash
# scripts/build-wasm.sh [--scalar] [FEATURE]...
#
# Builds steve-protocol, steve-wasm and its bench for wasm32-unknown-unknown; the result is
# target/wasm/wasm32-unknown-unknown/wasm/steve_wasm.wasm. All in one command, and the same
# for tests and the npm package: other choices of crates compile the standard library anew.
# --scalar builds without SIMD, in target/wasm-scalar, for benches to compare with.
#
# Uses the Rust toolchain's own wasm32 target where it is installed. Otherwise Debian's compiler,
# which comes with the source of the standard library, builds that as well.
# Exit code 77: neither is to be had. Nothing here changes the Rust toolchain.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

triple=wasm32-unknown-unknown
directory=$target/wasm
# The module needs SIMD: Chrome and Edge 91, Firefox 89, Safari 16.4, Node 16.4. Of all browsers
# that could run it without, 0.4 % lack it (caniuse, 2026): Safari 15 to 16.3. A second module for
# them would double the package.
simd=-Ctarget-feature=+simd128
if [[ ${1:-} == --scalar ]]; then
    directory+=-scalar
    simd=
    shift
fi
# shellcheck disable=SC2206 # nothing or one word
build=(build $locked --profile wasm --target "$triple" --target-dir "$directory"
    -p steve-protocol -p steve-wasm -p steve-wasm-bench --no-default-features "${@/#/--features=}")

# flags RUSTC: what this compiler is to be told, as cargo's --config wants it
flags() {
    remap_flags "$1" | cat - <(printf '%s' "$simd") | sed "s/.*/'&'/" | paste -sd , \
        | sed "s/.*/target.$triple.rustflags=[&]/"
}

toolchain_has_target() {
    [[ -d $(rustc --print target-libdir --target $triple 2>/dev/null) ]]
}

debian_has_source() {
    [[ -x /usr/bin/cargo && -x /usr/bin/rustc ]] || return 1
    [[ -f $(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/std/Cargo.toml ]]
}

# The linker of the installed toolchain serves either compiler.
wasm_linker() {
    local host lld
    host=$(rustc -vV | sed -n 's/^host: //p')
    lld=$(rustc --print sysroot)/lib/rustlib/$host/bin/rust-lld
    if [[ -x $lld ]]; then say "$lld"; else command -v wasm-ld; fi
}

build_with_toolchain() {
    say "compiler: $(rustc --version)"
    cargo "${build[@]}" --config "$(flags rustc)"
}

build_with_debian() {
    local linker
    linker=$(wasm_linker) || skip "no wasm linker: install the package lld"
    say "compiler: Debian's $(/usr/bin/rustc --version), with the standard library from source"
    RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$linker \
        /usr/bin/cargo "${build[@]}" --config "$(flags /usr/bin/rustc)" -Zbuild-std=std,panic_abort
}

if toolchain_has_target; then
    build_with_toolchain
elif debian_has_source; then
    build_with_debian
elif apt_install rustc-web cargo-web rust-web-src && debian_has_source; then
    build_with_debian
else
    skip "no compiler for $triple: run \`rustup target add $triple\`"
fi
