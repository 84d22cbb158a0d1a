#!/usr/bin/env bash
# fuzz/coverage.sh CORPUS [TARGET...]: which lines of this repository the targets reach with what is in
# CORPUS/TARGET, fuzz/seeds/TARGET and the seeds from the vectors.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

[[ $# -ge 1 ]] || fail "usage: fuzz/coverage.sh CORPUS [TARGET...]"
corpus=$1
shift
mapfile -t names < <(for file in fuzz/fuzz_targets/*.rs; do basename "$file" .rs; done)
[[ $# -eq 0 ]] || names=("$@")
version=$(rustc +nightly -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
need "llvm-cov-$version" "llvm-$version"

triple=$(rustc -vV | sed -n 's/^host: //p')
built=$target/fuzz-coverage/$triple/release
RUSTFLAGS="-C instrument-coverage -C codegen-units=1 --cfg fuzzing" CARGO_PROFILE_RELEASE_DEBUG=0 \
    cargo +nightly build --release --bins --manifest-path fuzz/Cargo.toml --target "$triple" \
    --target-dir "$target/fuzz-coverage"
seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT
python3 fuzz/seeds.py "$seeds"

for name in "${names[@]}"; do
    folders=()
    for folder in "$corpus/$name" "fuzz/seeds/$name" "$seeds/$name"; do
        [[ ! -d $folder ]] || folders+=("$folder")
    done
    LLVM_PROFILE_FILE=$seeds/$name.profraw "$built/$name" -runs=0 "${folders[@]}" >/dev/null 2>&1
    "llvm-profdata-$version" merge -o "$seeds/$name.profdata" "$seeds/$name.profraw"
    say "== $name"
    "llvm-cov-$version" report "$built/$name" -instr-profile="$seeds/$name.profdata" \
        -ignore-filename-regex='/(registry|rustc|fuzz)/' -show-region-summary=false \
        -show-branch-summary=false | awk '$NF != "0.00%"'
done
