import { invalidRequest } from "./errors.js";

/** A request's body, ready to be sealed. */
export type Body =
    | { readonly kind: "none" }
    /** Can be sent again. */
    | { readonly kind: "bytes"; readonly bytes: Uint8Array }
    /** Can be sent again. */
    | { readonly kind: "blob"; readonly blob: Blob }
    | { readonly kind: "stream"; readonly stream: ReadableStream<Uint8Array> };

/** Most bytes that one piece of a blob holds in memory. */
const BLOB_PIECE = 1 << 20;

/** The length of a body, if it is known. */
export function bodyLength(body: Body): number | undefined {
    switch (body.kind) {
        case "none":
            return 0;
        case "bytes":
            return body.bytes.length;
        case "blob":
            return body.blob.size;
        case "stream":
            return undefined;
    }
}

/** Takes any body that `fetch` takes; gives it with the `content-type` that goes with it. */
export async function takeBody(
    init: BodyInit | null | undefined,
): Promise<{ body: Body; type: string | null }> {
    if (init === null || init === undefined) return { body: { kind: "none" }, type: null };
    if (init instanceof ReadableStream) {
        if (init.locked) throw invalidRequest("its body is a stream that is being read already");
        return { body: { kind: "stream", stream: init }, type: null };
    }
    if (init instanceof Blob)
        return { body: { kind: "blob", blob: init }, type: init.type || null };
    // The platform encodes the other kinds; a form can hold files.
    const encoded = new Response(init);
    const type = encoded.headers.get("content-type");
    if (init instanceof FormData)
        return { body: { kind: "blob", blob: await encoded.blob() }, type };
    return { body: { kind: "bytes", bytes: new Uint8Array(await encoded.arrayBuffer()) }, type };
}

/** The bytes of a body, piece by piece. A stream is cancelled with the signal. */
export async function* pieces(
    body: Body,
    signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
    switch (body.kind) {
        case "none":
            return;
        case "bytes":
            yield body.bytes;
            return;
        case "blob":
            for (let at = 0; at < body.blob.size; at += BLOB_PIECE) {
                yield new Uint8Array(await body.blob.slice(at, at + BLOB_PIECE).arrayBuffer());
            }
            return;
        case "stream":
            yield* chunks(body.stream, signal);
    }
}

async function* chunks(
    stream: ReadableStream<unknown>,
    signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
    const reader = stream.getReader();
    let ended = false;
    const cancel = () => {
        if (!ended) reader.cancel(signal.reason).catch(() => undefined);
    };
    signal.addEventListener("abort", cancel, { once: true });
    try {
        for (;;) {
            signal.throwIfAborted();
            const { done, value } = await reader.read();
            signal.throwIfAborted();
            ended = done;
            if (done) return;
            if (!(value instanceof Uint8Array))
                throw new TypeError("a chunk of the body is no Uint8Array");
            yield value;
        }
    } finally {
        signal.removeEventListener("abort", cancel);
        cancel();
    }
}
