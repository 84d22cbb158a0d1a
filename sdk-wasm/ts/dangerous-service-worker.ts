/**
 * The page's side of the service worker, with an attestation root of the caller's choice, for
 * development: proves nothing. The worker is the file
 * `steve-sdk/dangerous-development/service-worker/worker.js`.
 *
 * @module
 */
import { type RegisterOptions, registerWorker } from "./service-worker/register.js";
import type { SteveStatus } from "./service-worker/status.js";

export * from "./service-worker.js";

/** How to register the worker for an enclave of a development attester. */
export interface DangerousRegisterOptions extends RegisterOptions {
    /** Trusts this attestation root instead of AWS's: a certificate as PEM. */
    readonly dangerousTrustRoot: string;
}

/** `registerSteve` for an enclave whose root is not AWS's. */
export async function registerSteve(options: DangerousRegisterOptions): Promise<SteveStatus> {
    return registerWorker(options, options.dangerousTrustRoot);
}
