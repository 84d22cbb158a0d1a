#!/usr/bin/env bash
# sdk-wasm/check-runtimes.sh
#
# Tries the package that build.sh has built, as `npm pack` makes it, in Node, Deno and Bun: against
# the proxy that STEVE_PROXY names. Exit code 77: Deno and Bun cannot be installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

cd sdk-wasm
[[ -e dist/index.js ]] || fail "there is no sdk-wasm/dist: run sdk-wasm/build.sh first"
runtimes=$cache/runtimes-$(sha256sum tests/runtimes/package.json | cut -c1-16)
if [[ ! -e $runtimes/ready ]]; then
    say "installing Deno and Bun into $runtimes"
    mkdir -p "$runtimes"
    cp tests/runtimes/package.json "$runtimes"
    # No lock file: it would have to name the binaries of every platform, which not all registries have.
    (cd "$runtimes" && npm install --silent --no-package-lock) \
        || skip "npm has no Deno and Bun for this machine"
    for runtime in deno bun; do
        "$runtimes/node_modules/.bin/$runtime" --version >/dev/null \
            || skip "$runtime does not start on this machine"
    done
    touch "$runtimes/ready"
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
npm pack --silent --ignore-scripts --pack-destination "$scratch" >/dev/null
mkdir -p "$scratch/app/node_modules"
tar -xzf "$scratch"/steve-sdk-*.tgz -C "$scratch/app/node_modules"
mv "$scratch/app/node_modules/package" "$scratch/app/node_modules/steve-sdk"
say '{"type":"module"}' >"$scratch/app/package.json"
cp tests/runtimes/conformance.js "$scratch/app/"
node tests/runtimes/run.js "$scratch/app/conformance.js" "$runtimes/node_modules"
