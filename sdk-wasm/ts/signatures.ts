import { SteveError } from "./errors.js";

/** The one algorithm of attestation documents, as WebCrypto names it. */
const CURVE = { name: "ECDSA", namedCurve: "P-384" };
const ALGORITHM = { name: "ECDSA", hash: "SHA-384" };

type Bytes = Uint8Array<ArrayBuffer>;

// Taken when the module is loaded: what a script puts in their place later on gives no verdicts.
const subtle: SubtleCrypto | undefined = globalThis.crypto?.subtle;
const importKey = subtle?.importKey.bind(subtle);
const verify = subtle?.verify.bind(subtle);

/** Throws where there is no WebCrypto, as in pages from `http:` origins other than localhost. */
export function requireWebCrypto(): void {
    if (subtle !== undefined) return;
    const message = "there is no WebCrypto here: a page needs https, or a localhost origin";
    throw new SteveError("insecure-context", "setup", message);
}

/** Longest message whose verdict is kept: that of a certificate. */
const MAX_KEPT_MESSAGE = 1024;
const MAX_KEPT = 32;

/**
 * Verifies signatures with WebCrypto, for the core, which has the rules. Those of certificates come
 * again with every document, and are verified once.
 */
export class Signatures {
    readonly #valid = new Set<string>();

    /**
     * Takes public key, message, and signature in turn, as the core's `Appraisal` gives them. The
     * verdicts are as it takes them: 1 for a valid signature.
     */
    async verdictsOn(signatures: readonly Uint8Array[]): Promise<Uint8Array> {
        const verdicts: Promise<boolean>[] = [];
        for (let at = 0; at + 2 < signatures.length; at += 3) {
            const [key, message, signature] = signatures.slice(at, at + 3) as Bytes[];
            verdicts.push(this.#verdict(key!, message!, signature!));
        }
        return Uint8Array.from(await Promise.all(verdicts), (valid) => (valid ? 1 : 0));
    }

    async #verdict(key: Bytes, message: Bytes, signature: Bytes): Promise<boolean> {
        if (message.length > MAX_KEPT_MESSAGE) return isValid(key, message, signature);
        // Keys and signatures have one length each.
        const whole = String.fromCharCode(...key, ...signature, ...message);
        if (!this.#valid.has(whole) && !(await isValid(key, message, signature))) return false;
        // The oldest comes first.
        this.#valid.delete(whole);
        this.#valid.add(whole);
        const [oldest] = this.#valid;
        if (this.#valid.size > MAX_KEPT && oldest !== undefined) this.#valid.delete(oldest);
        return true;
    }
}

/** False also for a key that is no point of the curve: `importKey` takes none. */
async function isValid(publicKey: Bytes, message: Bytes, signature: Bytes): Promise<boolean> {
    if (importKey === undefined || verify === undefined) return false;
    try {
        const key = await importKey("raw", publicKey, CURVE, false, ["verify"]);
        return (await verify(ALGORITHM, key, signature, message)) === true;
    } catch {
        return false;
    }
}
