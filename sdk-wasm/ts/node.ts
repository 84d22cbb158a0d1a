/**
 * STEVE for Node: what `steve-sdk` gives there, and a store of pins in a file.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import type { Steve } from "./client.js";
import { type ConnectOptions, connectOn } from "./connect.js";
import * as core from "./generated/core/steve_wasm.js";
import { nodePlatform } from "./node-platform.js";
import { once } from "./platform.js";

export * from "./api.js";
export { FilePinStore } from "./node-pin-store.js";

const platform = nodePlatform(
    once(async () => {
        const file = new URL("./generated/core/steve_wasm_bg.wasm", import.meta.url);
        // `default` would ask whether it is given a Response, and all of undici would be loaded.
        core.initSync({ module: await WebAssembly.compile(await readFile(file)) });
        return core;
    }),
);

/** Verifies the enclave, and establishes a session with it. Rejects with a `SteveError`. */
export function connect(options: ConnectOptions): Promise<Steve> {
    return connectOn(platform, options);
}
