import type { ConnectOptions } from "./connect.js";
import { invalidOptions } from "./errors.js";
import { requireWebCrypto } from "./signatures.js";

/** How to connect to an enclave of a development attester. */
export interface DangerousConnectOptions extends ConnectOptions {
    /**
     * Trusts this attestation root instead of AWS's: a certificate as PEM or DER. Whoever holds its
     * key can make evidence for anything.
     */
    readonly dangerousTrustRoot: string | Uint8Array;
}

/** SHA-256 of the DER of a certificate. */
export async function rootHash(certificate: string | Uint8Array): Promise<Uint8Array> {
    requireWebCrypto();
    const der = typeof certificate === "string" ? fromPem(certificate) : certificate;
    return new Uint8Array(await crypto.subtle.digest("SHA-256", der as Uint8Array<ArrayBuffer>));
}

function fromPem(pem: string): Uint8Array {
    const pattern = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g;
    const [found, ...others] = pem.matchAll(pattern);
    if (found?.[1] === undefined || others.length > 0) {
        throw invalidOptions("the dangerous root is not one PEM certificate");
    }
    return Uint8Array.from(atob(found[1].replace(/\s/g, "")), (unit) => unit.charCodeAt(0));
}
