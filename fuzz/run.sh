#!/usr/bin/env bash
# fuzz/run.sh SECONDS JOBS CORPUS [TARGET...]: builds the fuzz targets and runs each for so long, as
# many at a time. What they find that is new goes to CORPUS/TARGET, what makes them fail to
# CORPUS/failures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

[[ $# -ge 3 ]] || fail "usage: fuzz/run.sh SECONDS JOBS CORPUS [TARGET...]"
seconds=$1 jobs=$2 corpus=$3
shift 3
mapfile -t names < <(for file in fuzz/fuzz_targets/*.rs; do basename "$file" .rs; done)
[[ $# -eq 0 ]] || names=("$@")

# run TARGET: one target, with everything it says in a file, of which the end is shown
run() {
    local name=$1 log=$corpus/$1.log rc=0 malloc=1
    local folders=("$corpus/$name") folder
    mkdir -p "$corpus/$name" "$corpus/failures"
    for folder in "fuzz/seeds/$name" "$corpus/seeds/$name"; do
        [[ ! -d $folder ]] || folders+=("$folder")
    done
    # Of an image, up to 1 MiB are held at once; nothing else allocates so much.
    [[ $name != eif ]] || malloc=2
    local options=(-max_total_time="$seconds" -len_control=10 -timeout=60 -rss_limit_mb=2048 -malloc_limit_mb="$malloc"
        -print_final_stats=1 -artifact_prefix="$corpus/failures/$name-")
    "$binaries/$name" "${options[@]}" "${folders[@]}" >"$log" 2>&1 || rc=$?
    if [[ $rc -ne 0 ]]; then
        grep -aE -A 3 'panicked|ERROR|SUMMARY|Test unit written|^Base64' "$log" | tail -n 30
        say "$name: FAILED; run it again with $binaries/$name FILE"
        return 1
    fi
    local runs rate coverage
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
    coverage=$(grep -oE 'cov: [0-9]+ ft: [0-9]+' "$log" | tail -n 1)
    say "$name: $runs runs, $rate/s, $coverage"
}

cargo +nightly fuzz build --fuzz-dir fuzz --target-dir "$target/fuzz" --debug-assertions
binaries=$target/fuzz/$(rustc -vV | sed -n 's/^host: //p')/release
rm -rf "$corpus/seeds"
python3 fuzz/seeds.py "$corpus/seeds"

# Traces of calls are read from files that are larger than what the targets may allocate.
export RUST_BACKTRACE=0 seconds corpus binaries
export -f run say
printf '%s\n' "${names[@]}" | xargs -P "$jobs" -I {} bash -c 'set -euo pipefail; run {}' \
    || fail "fuzzing has found something: $corpus/failures"
