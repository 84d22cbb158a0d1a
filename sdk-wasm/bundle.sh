#!/usr/bin/env bash
# Makes one script of many in sdk-wasm/dist, which build.sh has filled: the service workers, with the
# WebAssembly module inside, the demo's page, and what Node loads.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

version=$(node -p 'require("./package.json").version')
common=(--bundle --target=es2022 --log-level=warning --legal-comments=none --charset=utf8)

node_modules/.bin/tsc -p worker
node_modules/.bin/tsc -p demo

# Node takes half as long to load these as to load each module. What both share is in one file, so that
# there is one of each class. Names stay, for stack traces.
node_modules/.bin/esbuild --bundle --target=es2022 --log-level=warning --charset=utf8 --format=esm \
    --platform=node --minify-whitespace --minify-syntax --sourcemap --sources-content=false --splitting \
    --chunk-names=node-shared dist/node.js dist/dangerous-development.node.js --outdir=dist --allow-overwrite

# The bindings name a URL beside themselves for the module; the workers have it inside.
node_modules/.bin/esbuild "${common[@]}" worker/steve-service-worker.ts worker/dangerous-steve-service-worker.ts \
    --outdir=dist/worker --format=iife --loader:.wasm=binary --define:STEVE_VERSION="\"$version\"" \
    --log-override:empty-import-meta=silent

# Relative to the script, so the module is beside it.
node_modules/.bin/esbuild "${common[@]}" demo/page.ts --outdir=dist/demo --format=esm --conditions=browser
cp demo/{index.html,style.css,icon.svg} dist/generated/dangerous/steve_wasm_bg.wasm dist/demo/
