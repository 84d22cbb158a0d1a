import { SteveError } from "./errors.js";

/** The one algorithm of attestation documents, as WebCrypto names it. */
const CURVE = { name: "ECDSA", namedCurve: "P-384" };
const ALGORITHM = { name: "ECDSA", hash: "SHA-384" };

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

/**
 * Verifies signatures with WebCrypto: public key, message, and signature in turn, as the core's
 * `Appraisal` gives them. The verdicts are as it takes them: 1 for a valid signature.
 */
export async function verdictsOn(signatures: readonly Uint8Array[]): Promise<Uint8Array> {
    const verdicts: Promise<number>[] = [];
    for (let at = 0; at + 2 < signatures.length; at += 3) {
        const [key, message, signature] = signatures.slice(at, at + 3) as Uint8Array<ArrayBuffer>[];
        verdicts.push(isValid(key!, message!, signature!).then((valid) => (valid ? 1 : 0)));
    }
    return Uint8Array.from(await Promise.all(verdicts));
}

/** False also for a key that is no point of the curve: `importKey` takes none. */
async function isValid(
    publicKey: Uint8Array<ArrayBuffer>,
    message: Uint8Array<ArrayBuffer>,
    signature: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
    if (importKey === undefined || verify === undefined) return false;
    try {
        const key = await importKey("raw", publicKey, CURVE, false, ["verify"]);
        return (await verify(ALGORITHM, key, signature, message)) === true;
    } catch {
        return false;
    }
}
