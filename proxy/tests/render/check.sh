#!/usr/bin/env bash
# proxy/tests/render/check.sh STEVE-PROXY
#
# Renders the cases beside this file, and lets Caddy and systemd look at the results.
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
source scripts/common.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME=$work

for source in proxy/tests/render/*/{Procfile,caution.hcl}; do
    [[ -e $source ]] || continue
    option=--procfile
    [[ $source != *.hcl ]] || option=--hcl
    name=$(basename "$(dirname "$source")")
    "$program" render "$option" "$source" --out "$work/$name" >/dev/null
    caddyfile=$work/$name/Caddyfile
    caddy validate --adapter caddyfile --config "$caddyfile" >"$work/said" 2>&1 || fail "$(<"$work/said")"
    ! grep -q 'not formatted' "$work/said" || fail "$name: caddy fmt would change the Caddyfile"
    caddy adapt --adapter caddyfile --config "$caddyfile" >"$work/adapted" 2>/dev/null
    grep -q '"dial":"127.0.0.1:8080"' "$work/adapted" || fail "$name: $(<"$work/adapted")"
    grep -q '"listen":\[":443"\]' "$work/adapted" || fail "$name: $(<"$work/adapted")"
    say "caddy: $name"
done

have systemd-analyze || skip "systemd-analyze is missing: the units are not verified"

shopt -s nullglob
# verify UNIT...: what systemd says of them, as if the programs were installed
verify() {
    local units
    units=$(mktemp -d "$work/units.XXXXXX")
    cp "$@" "$units"
    sed -i -E 's:^(Exec(Start|Stop))=/[^ ]+:\1=/bin/true:' "$units"/*.service
    systemd-analyze verify --man=no "$units"/* 2>&1 || say "exit code $?"
}
for directory in "$work"/*/; do
    [[ -e $directory/steve-relay.service ]] || continue
    said=$(verify "$directory"/*.service "$directory"/*.socket 2>&1 || true)
    [[ -z $said ]] || fail "$(basename "$directory"): $said"
    say "systemd: $(basename "$directory")"
done
# A mistake would be seen.
mkdir "$work/bad"
sed 's/^ListenStream=/ListenSteam=/' "$work"/direct/steve-relay-853.socket >"$work/bad/steve-relay-853.socket"
said=$(verify "$work/bad/steve-relay-853.socket" "$work/direct/steve-relay.service")
[[ $said == *ListenSteam* ]] || fail "a mistake in a unit goes unnoticed: $said"
