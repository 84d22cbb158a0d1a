import { isPlainCode, outerStatus, type Stage, SteveError, transportError } from "./errors.js";
import { ByteQueue, concatenate } from "./bytes.js";
import { race } from "./scope.js";
import type { OpenTunnel, Tunnel } from "./tunnel.js";

const BASE = "/.well-known/steve/v3";
const STREAM_TYPE = "application/vnd.steve.stream";

const MAX_EVIDENCE_LENGTH = 196_608;
const MAX_ERROR_LENGTH = 1024;
const ROUTE = /^[A-Za-z0-9._~-]{1,64}$/;

/** An outer request. The optional members are for browsers. */
export interface OuterInit {
    readonly method: "POST";
    readonly headers: Record<string, string>;
    readonly body: OuterBody;
    readonly signal: AbortSignal;
    readonly duplex?: "half";
    readonly cache?: "no-store";
    readonly credentials?: "omit";
    readonly redirect?: "error";
    readonly referrerPolicy?: "no-referrer";
}

/** Bytes that come: the reader of a `ReadableStream`, or what does as much of it as is needed. */
export interface Incoming {
    read(): Promise<{ readonly done?: boolean; readonly value?: Uint8Array | undefined }>;
    cancel(reason?: unknown): Promise<void>;
}

/** What is needed of the answer to one. */
export interface OuterAnswer {
    readonly status: number;
    /** The field `steve-route`. */
    readonly route: string | null | undefined;
    readonly body: Incoming | null;
}

/** `fetch`, or what does as much of it as is needed. */
export type OuterFetch = (url: string, init: OuterInit) => Promise<OuterAnswer>;

/** The platform's `fetch`, or a caller's. */
export function outerFetch(platform: typeof fetch): OuterFetch {
    return async (url, init) => {
        const { status, headers, body } = await platform(url, init as RequestInit);
        return { status, route: headers.get("steve-route"), body: body?.getReader() ?? null };
    };
}

/** What of the platform carries the outer requests. */
export interface Carrier {
    readonly fetch: OuterFetch;
    readonly openTunnel: OpenTunnel;
    /** True where a request body can be a stream. */
    readonly streamsUploads: (url: string) => boolean;
}

/** An outer request's body. */
export type OuterBody = Uint8Array | Blob | ReadableStream<Uint8Array>;

/** Sends outer requests, which hold nothing of the inner ones. */
export class Transport {
    readonly #origin: string;
    readonly #carrier: Carrier;

    constructor(origin: string, carrier: Carrier) {
        this.#origin = origin;
        this.#carrier = carrier;
    }

    /** True where a request body can be a stream; otherwise streams take the tunnel. */
    get streamsUploads(): boolean {
        return this.#carrier.streamsUploads(`${this.#origin}${BASE}/evidence`);
    }

    /**
     * Posts a challenge; gives the encoded evidence, and the query by which a load balancer finds the
     * enclave again, if it wants one (SPEC.md, Section 11.2).
     */
    async evidence(
        challenge: Uint8Array,
        signal: AbortSignal,
    ): Promise<{ evidence: Uint8Array; route: string }> {
        const type = "application/octet-stream";
        const { route, body } = await this.#post("/evidence", type, challenge, "evidence", signal);
        const evidence = await readUpTo(body, MAX_EVIDENCE_LENGTH, "evidence", signal);
        return { evidence, route: ROUTE.test(route ?? "") ? `?route=${route}` : "" };
    }

    /** Posts a ClientHello; gives the ServerHello. */
    async handshake(
        hello: Uint8Array,
        route: string,
        length: number,
        signal: AbortSignal,
    ): Promise<Uint8Array> {
        const answer = await this.#stream(hello, route, "handshake", signal);
        const read = await readUpTo(answer, length, "handshake", signal);
        if (read.length !== length) throw notSteve("handshake", "it is shorter than it must be");
        return read;
    }

    /**
     * Posts a ClientHello with a request behind it; gives the ServerHello, which has this length, and
     * what follows it.
     */
    async early(
        body: Uint8Array,
        route: string,
        length: number,
        signal: AbortSignal,
    ): Promise<{ hello: Uint8Array; rest: Incoming }> {
        const answer = await this.#stream(body, route, "handshake", signal);
        const queue = new ByteQueue();
        while (queue.length < length) {
            const { done, value } = await readFrom(answer, "handshake", signal);
            if (done || value === undefined) {
                throw notSteve("handshake", "it is shorter than it must be");
            }
            queue.push(value);
        }
        const hello = queue.take(length);
        let rest = queue.length > 0 ? queue.take(queue.length) : undefined;
        return {
            hello,
            rest: {
                async read() {
                    const value = rest;
                    rest = undefined;
                    return value === undefined ? answer.read() : { done: false, value };
                },
                cancel: (reason) => answer.cancel(reason),
            },
        };
    }

    /** Posts a stream; gives the bytes of a successful answer. */
    async stream(body: OuterBody, route: string, signal: AbortSignal): Promise<Incoming> {
        return this.#stream(body, route, "request", signal);
    }

    /** Opens a tunnel. */
    async tunnel(route: string, signal: AbortSignal): Promise<Tunnel> {
        const url = new URL(`${this.#origin}${BASE}/tunnel${route}`);
        url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
        const opening = this.#carrier.openTunnel(url.href, signal);
        return race(opening, signal).catch((error: unknown) => {
            opening.then((late) => late.close()).catch(() => undefined);
            throw error;
        });
    }

    async #stream(
        body: OuterBody,
        route: string,
        stage: Stage,
        signal: AbortSignal,
    ): Promise<Incoming> {
        return (await this.#post(`/stream${route}`, STREAM_TYPE, body, stage, signal)).body;
    }

    async #post(
        path: string,
        type: string,
        body: OuterBody,
        stage: Stage,
        signal: AbortSignal,
    ): Promise<OuterAnswer & { readonly body: Incoming }> {
        const init: OuterInit = {
            method: "POST",
            headers: { "content-type": type },
            body,
            signal,
            cache: "no-store",
            credentials: "omit",
            redirect: "error",
            referrerPolicy: "no-referrer",
            // Node loads the class of the others when it is named.
            ...(body instanceof Uint8Array ? {} : { duplex: "half" }),
        };
        let response: OuterAnswer;
        try {
            const answer = this.#carrier.fetch(`${this.#origin}${BASE}${path}`, init);
            response = await race(answer, signal);
        } catch (cause) {
            signal.throwIfAborted();
            throw transportError(stage, cause);
        }
        const { status, route, body: incoming } = response;
        if (status === 200 && incoming !== null) return { status, route, body: incoming };
        throw outerStatus(stage, response.status, await errorCode(response, stage, signal));
    }
}

/** The code in `{"error":"<code>"}`, if there is one that can be shown to a person. */
async function errorCode(
    response: OuterAnswer,
    stage: Stage,
    signal: AbortSignal,
): Promise<string | undefined> {
    try {
        if (response.body === null) return undefined;
        const body = await readUpTo(response.body, MAX_ERROR_LENGTH, stage, signal);
        const { error } = JSON.parse(new TextDecoder().decode(body));
        return isPlainCode(error) ? error : undefined;
    } catch {
        signal.throwIfAborted();
        return undefined;
    }
}

/** Reads a whole body of at most `limit` bytes. */
async function readUpTo(
    body: Incoming,
    limit: number,
    stage: Stage,
    signal: AbortSignal,
): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    let length = 0;
    for (;;) {
        const { done, value } = await readFrom(body, stage, signal);
        if (done || value === undefined) return concatenate(chunks);
        length += value.length;
        if (length > limit) {
            body.cancel().catch(() => undefined);
            throw notSteve(stage, "it is longer than it may be");
        }
        chunks.push(value);
    }
}

async function readFrom(body: Incoming, stage: Stage, signal: AbortSignal) {
    return race(body.read(), signal).catch((cause: unknown) => {
        signal.throwIfAborted();
        throw transportError(stage, cause);
    });
}

function notSteve(stage: Stage, reason: string): SteveError {
    return new SteveError(
        "not-steve",
        stage,
        `the answer at the stage "${stage}" is not a STEVE answer: ${reason}`,
    );
}
