// The two builds of steve-wasm-bench, made by `run.sh`.
import { readFile } from "node:fs/promises";

const made = new URL("../../target/wasm-bench/", import.meta.url);

/** `simd` is as the npm package has it; `scalar` is RustCrypto without SIMD. */
export async function load(build) {
    const module = await import(new URL(`${build}/steve_wasm_bench.js`, made));
    const wasm = await readFile(new URL(`${build}/steve_wasm_bench_bg.wasm`, made));
    module.initSync({ module: wasm });
    return module;
}
