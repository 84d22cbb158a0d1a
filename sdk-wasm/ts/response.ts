import type { Begun } from "./attempt.js";
import { SteveError } from "./errors.js";
import type { Exchange } from "./exchange.js";
import { keepReceipt } from "./receipt.js";
import { timeoutError } from "./sessions.js";

/** What a response is made with. */
export interface ResponseOptions {
    readonly url: URL;
    readonly redirected: boolean;
    /** It answers a HEAD request, so it has no body. */
    readonly toHead: boolean;
    /** Time without anything to read: milliseconds. */
    readonly idleTimeout: number | undefined;
    /** Told why a body broke off. */
    readonly onError: (error: unknown) => void;
    /** Called when nothing more comes. */
    readonly onEnd: () => void;
}

/** Most bytes that are read, and dropped, of a body where there must be none. */
const MAX_DROPPED = 65_536;

const NULL_BODY = new Set([101, 204, 205, 304]);

/** A `Response` whose body is opened while it is read: never more than asked for. */
export async function makeResponse(
    { exchange, head }: Begun,
    options: ResponseOptions,
): Promise<Response> {
    const { status, headers, setCookie } = head;
    const hasNone = options.toHead || NULL_BODY.has(status);
    const fin = head.fin || (hasNone && (await isOver(exchange)));
    if (fin) {
        exchange.complete();
        options.onEnd();
    }
    const body = hasNone ? null : fin ? new Uint8Array() : readBody(exchange, options);
    const response = new Response(body, { status, headers });
    const url = new URL(options.url);
    url.hash = "";
    Object.defineProperties(response, {
        url: { value: url.href },
        redirected: { value: options.redirected },
    });
    const { session, streamId } = exchange;
    keepReceipt(response, {
        enclave: session.trusted.info,
        suite: session.suite,
        sessionId: session.id,
        streamId,
        setCookie,
        get requestBytes() {
            return exchange.requestBytes;
        },
        get responseBytes() {
            return exchange.responseBytes;
        },
        get trailers() {
            return exchange.trailers;
        },
    });
    return response;
}

/** Reads the end of a message that has no body. */
async function isOver(exchange: Exchange): Promise<boolean> {
    try {
        while (!(await exchange.nextPiece()).fin) {
            if (exchange.responseBytes <= MAX_DROPPED) continue;
            const message = "the app sent a body with a response that has none";
            throw new SteveError("invalid-response", "response", message);
        }
        return true;
    } catch (thrown) {
        const error = exchange.cause(thrown);
        exchange.abort(error);
        throw error;
    }
}

function readBody(exchange: Exchange, options: ResponseOptions): ReadableStream<Uint8Array> {
    const { signal } = exchange.scope;
    let over = false;
    const end = () => {
        over = true;
        signal.removeEventListener("abort", onAbort);
        options.onEnd();
    };
    let onAbort = () => {};
    const fail = (error: unknown) => {
        if (over) return;
        end();
        exchange.abort(error);
        options.onError(error);
    };
    return new ReadableStream(
        {
            type: "bytes",
            start(controller: ReadableByteStreamController) {
                onAbort = () => {
                    fail(signal.reason);
                    controller.error(signal.reason);
                };
                signal.addEventListener("abort", onAbort, { once: true });
            },
            async pull(controller: ReadableByteStreamController) {
                try {
                    const { data, fin } = await nonEmpty(exchange, options.idleTimeout);
                    if (over) return;
                    if (data.length > 0) controller.enqueue(data as Uint8Array<ArrayBuffer>);
                    if (!fin) return;
                    end();
                    exchange.complete();
                    controller.close();
                    controller.byobRequest?.respond(0);
                } catch (thrown) {
                    const error = exchange.cause(thrown);
                    fail(error);
                    throw error;
                }
            },
            cancel(reason) {
                end();
                exchange.abort(reason ?? new DOMException("the body was cancelled", "AbortError"));
            },
        },
        { highWaterMark: 0 },
    );
}

async function nonEmpty(exchange: Exchange, idleTimeout: number | undefined) {
    const clear = exchange.scope.timeout(idleTimeout, () =>
        timeoutError("response", idleTimeout ?? 0),
    );
    try {
        for (;;) {
            const piece = await exchange.nextPiece();
            if (piece.data.length > 0 || piece.fin) return piece;
        }
    } finally {
        clear();
    }
}
