import { readFile } from "node:fs/promises";
import type { Steve } from "./client.js";
import { connectOn } from "./connect.js";
import { type DangerousConnectOptions, rootHash } from "./dangerous-root.js";
import * as core from "./generated/dangerous/steve_wasm.js";
import { nodePlatform } from "./node-platform.js";
import { once } from "./platform.js";

export * from "./api.js";
export type { DangerousConnectOptions } from "./dangerous-root.js";

const platform = nodePlatform(
    once(async () => {
        const file = new URL("./generated/dangerous/steve_wasm_bg.wasm", import.meta.url);
        // `default` would ask whether it is given a Response, and all of undici would be loaded.
        core.initSync({ module: await WebAssembly.compile(await readFile(file)) });
        return core;
    }),
);

/** Connects to an enclave whose root is not AWS's. */
export async function connect(options: DangerousConnectOptions): Promise<Steve> {
    return connectOn(platform, options, await rootHash(options.dangerousTrustRoot));
}
