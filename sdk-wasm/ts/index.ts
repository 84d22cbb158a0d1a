/**
 * STEVE for browsers: talks to an HTTP app inside an AWS Nitro Enclave, attested and end-to-end
 * encrypted.
 *
 * @module
 */
import { browserPlatform } from "./browser.js";
import type { Steve } from "./client.js";
import { type ConnectOptions, connectOn } from "./connect.js";
import * as core from "./generated/core/steve_wasm.js";
import { once } from "./platform.js";

export * from "./api.js";

const platform = browserPlatform(
    once(async () => {
        await core.default();
        return core;
    }),
);

/**
 * Verifies the enclave, and establishes a session with it.
 *
 * Rejects with a `SteveError`: `evidence-policy` when another image runs than the policy names.
 */
export function connect(options: ConnectOptions): Promise<Steve> {
    return connectOn(platform, options);
}
