#!/usr/bin/env bash
# sdk-wasm/check-package.sh [--update]
#
# Checks the package that build.sh has built, as `npm pack` makes it: its files, what it depends on,
# what its entries load, what resolvers and TypeScript make of it; and that docs/ says what its types
# do. With --update it writes the list of files and docs/ anew instead of comparing them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
cd sdk-wasm
esbuild=$PWD/node_modules/.bin/esbuild
list=tests/package-contents.txt
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

[[ -e dist/index.js ]] || fail "there is no sdk-wasm/dist: run sdk-wasm/build.sh first"
npm pack --silent --ignore-scripts --pack-destination "$scratch" >/dev/null
tarball=$scratch/steve-sdk-$version.tgz
[[ -e $tarball ]] || fail "npm packed no steve-sdk of the workspace's version, $version"

# same EXPECTED ACTUAL WHAT
same() {
    diff -ru "$1" "$2" || fail "$3; if that is right, run sdk-wasm/check-package.sh --update"
}

tar -tzf "$tarball" | sed 's|^package/||' | LC_ALL=C sort >"$scratch/contents.txt"
[[ ${1:-} != --update ]] || cp "$scratch/contents.txt" "$list"
same "$list" "$scratch/contents.txt" "the package has other files than $list"

mkdir -p "$scratch/app/node_modules"
tar -xzf "$tarball" -C "$scratch/app/node_modules"
mv "$scratch/app/node_modules/package" "$scratch/app/node_modules/steve-sdk"
(cd "$scratch/app" && node -e '
    const manifest = require("./node_modules/steve-sdk/package.json");
    const wrong = [
        ...Object.keys(manifest).filter((key) => /(?<!^dev)dependencies$/i.test(key)),
        ...Object.keys(manifest.scripts).filter((name) => /install$|^prepare$/.test(name)),
    ];
    if (wrong.length > 0) throw new Error(`the package must not have ${wrong.join(", ")}`);
')

# loads ENTRY PLATFORM: the files that a bundler takes for this entry. A package that is not there, as
# is any but ours, is an error.
loads() {
    (
        cd "$scratch/app"
        "$esbuild" --bundle --format=esm "--platform=$2" --log-level=warning \
            --metafile=graph.json --outfile=bundle.js <<<"export * from '$1'"
        node -p 'Object.keys(require("./graph.json").inputs).join("\n")'
    )
}

# takes ENTRY PLATFORM FILE: of the package, with no file for development
takes() {
    local files
    files=$(loads "$1" "$2")
    grep -qx "node_modules/steve-sdk/dist/$3" <<<"$files" || fail "$1 for $2 does not load $3"
    ! grep -i dangerous <<<"$files" || fail "$1 for $2 loads what is for development only"
}

takes steve-sdk browser index.js
takes steve-sdk node node.js
takes steve-sdk/node node node.js
takes steve-sdk/service-worker browser service-worker.js
files=$(loads steve-sdk/dangerous-development browser)
grep -q dist/generated/dangerous/ <<<"$files" || fail "what is for development was not recognised"

node_modules/.bin/publint run --strict "$tarball"
# The workers are scripts to be served, not to be imported.
node_modules/.bin/attw "$tarball" --profile esm-only --format ascii --exclude-entrypoints \
    service-worker/worker.js dangerous-development/service-worker/worker.js >"$scratch/types.txt" \
    || { cat "$scratch/types.txt" && fail "TypeScript does not find the types of every entry"; }

[[ reference/node_modules/.package-lock.json -nt reference/package-lock.json ]] \
    || (cd reference && npm ci --silent && touch node_modules/.package-lock.json)
reference/node_modules/.bin/typedoc --options reference/typedoc.json --logLevel Warn --out "$scratch/docs"
[[ ${1:-} != --update ]] || { rm -rf docs && cp -r "$scratch/docs" docs; }
same docs "$scratch/docs" "sdk-wasm/docs is not what the types say"
