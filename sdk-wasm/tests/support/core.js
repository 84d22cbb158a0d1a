import { readFile } from "node:fs/promises";
import * as dangerous from "../../dist/generated/dangerous/steve_wasm.js";

/** The core of the dangerous build. */
export async function loadDangerous() {
    const file = new URL("../../dist/generated/dangerous/steve_wasm_bg.wasm", import.meta.url);
    await dangerous.default({ module_or_path: await readFile(file) });
    return dangerous;
}
