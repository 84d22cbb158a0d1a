import type { VerifiedEnclave } from "./enclave.js";

/** How an exchange was protected. Holds no keys. */
export interface Receipt {
    /** The enclave that answered, with the report of its appraisal. */
    readonly enclave: VerifiedEnclave;
    /** Name of the session's suite. */
    readonly suite: string;
    /** The session: 32 hexadecimal digits. Not a secret: it is on the wire. */
    readonly sessionId: string;
    /** The stream within the session. */
    readonly streamId: number;
    /** Bytes of the request body encrypted so far. */
    readonly requestBytes: number;
    /** Bytes of the response body decrypted so far. */
    readonly responseBytes: number;
    /** The response's trailers, once its body has been read. */
    readonly trailers: Headers | undefined;
    /** The `set-cookie` lines of the response, which browsers keep out of its `headers`. */
    readonly setCookie: readonly string[];
}

const receipts = new WeakMap<Response, Receipt>();

/** The receipt of a response that `steve.fetch` gave; undefined for any other, also for a clone. */
export function receiptOf(response: Response): Receipt | undefined {
    return receipts.get(response);
}

/** Keeps a receipt as long as its response. */
export function keepReceipt(response: Response, receipt: Receipt): void {
    receipts.set(response, receipt);
}
