/**
 * STEVE with an attestation root of the caller's choice, for development: proves nothing.
 *
 * @module
 */
import { browserPlatform } from "./browser.js";
import type { Steve } from "./client.js";
import { connectOn } from "./connect.js";
import { type DangerousConnectOptions, rootHash } from "./dangerous-root.js";
import * as core from "./generated/dangerous/steve_wasm.js";
import { once } from "./platform.js";

export * from "./api.js";
export type { DangerousConnectOptions } from "./dangerous-root.js";

const platform = browserPlatform(
    once(async () => {
        await core.default();
        return core;
    }),
);

/** Connects to an enclave whose root is not AWS's. */
export async function connect(options: DangerousConnectOptions): Promise<Steve> {
    return connectOn(platform, options, await rootHash(options.dangerousTrustRoot));
}
