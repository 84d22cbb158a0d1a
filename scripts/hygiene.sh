#!/usr/bin/env bash
# Looks through all files of the repository for what must not be in it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

max_lines=500
# Rust files that may say `unsafe`, one a line.
unsafe_allowed=()

git rev-parse --is-inside-work-tree >/dev/null 2>&1 || skip "not a git checkout"

bad=0

# report WHAT COMMAND...: what the command prints is what is wrong. A command that fails ends it all.
report() {
    local found
    found=$("${@:2}")
    [[ -n $found ]] || return 0
    printf '%s:\n%s\n\n' "$1" "$(sed 's/^/    /' <<<"$found" | cut -c1-160)"
    bad=1
}

# Tracked and new files alike: a finding shows before the commit.
search() {
    git grep --untracked -nIE "$@" || [[ $? -eq 1 ]]
}

files() {
    git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
        [[ ! -f $file ]] || say "$file"
    done
}

private_keys() {
    search -e '-----BEGIN [A-Z ]*PRIVATE KEY-----' -- .
    files '*.key' '*.p12' '*.pfx' '*.jks'
}

long_files() {
    files '*.rs' '*.ts' | while read -r file; do
        lines=$(wc -l <"$file")
        [[ $lines -le $max_lines ]] || say "$file: $lines"
    done
}

# Code, not prose: "unsafe methods" is what HTTP calls POST.
unsafe_code() {
    local found
    found=$(search '\bunsafe([[:space:]]*\{|[[:space:]]+(fn|impl|trait|extern)\b|\()' -- \
        '*.rs' "${unsafe_allowed[@]/#/:!}")
    grep -vE '^[^:]+:[0-9]+:[[:space:]]*//' <<<"$found" || true
}

# The table of attacks in SPEC.md: every file it names has a test or a comment with the row's number.
attack_rows() {
    local line number file
    sed -n '/^## Appendix D/,$p' protocol-spec/SPEC.md | grep -E '^\| [0-9]+ \|' | while IFS= read -r line; do
        number=$(cut -d' ' -f2 <<<"$line")
        grep -oE '`[^`]+/[^`]+`' <<<"$line" | tr -d '`' | while IFS= read -r file; do
            [[ -f $file ]] && grep -qE "row_(([0-9]+_and_)?0?${number}_)|rows? ([0-9]+(, | and ))*$number\b" -i "$file" ||
                say "row $number: nothing in $file"
        done || true
        grep -oE 'model `[a-z-]+`' <<<"$line" | tr -d '`' | while read -r _ file; do
            grep -qxE "\[$file\]|name = \"$file\"" protocol-spec/model/models.toml || say "row $number: no model $file"
        done || true
    done
}

# The runbook explains every check of Section 7 and every code of Section 13 of SPEC.md.
runbook() {
    local name
    {
        sed -n '/^## 7\. /,/^### 7\.1/p' protocol-spec/SPEC.md | grep -oE '^\| `[a-z-]+`'
        sed -n '/^## 13\. /,/^## 14/p' protocol-spec/SPEC.md | grep -oE '[0-9]{3,4} (\| )?`[a-z_-]+`'
    } | grep -oE '`.*`' | while IFS= read -r name; do
        grep -qF -- "$name" docs/runbook.md || say "$name is not in docs/runbook.md"
    done
}

# The patterns are written so that they do not match themselves.
report "paths of one machine" search '(^|[^[:alnum:]_.-])/(home|root|Users|work)/' -- . ':!*.lock'
report "private keys" private_keys
report "unfinished" search '\b(T[O]DO|FIXM[E])\b|\b(todo|unimplemented)[!]' -- . ':!*.lock'
report "files over $max_lines lines" long_files
report "unsafe code" unsafe_code
report "table of attacks" attack_rows
report "runbook" runbook

exit "$bad"
