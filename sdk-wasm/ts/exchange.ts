import { pieces } from "./body.js";
import { type Core, guarded, Kind, type Stream } from "./core.js";
import { SteveError, type Stage } from "./errors.js";
import { fieldLines, type Prepared, readHeaders } from "./request.js";
import { endsSession } from "./retry.js";
import { race, type Scope } from "./scope.js";
import type { Session, Ticket } from "./session.js";
import type { Incoming } from "./transport.js";
import { refusalIn, type Tunnel } from "./tunnel.js";

/** Most bytes of a body in one frame. */
export const MAX_CONTENT = 65_536;

/** How long the outer response may go on after the inner one is complete: milliseconds. */
const MAX_REST_MS = 1_000;

/** Most informational responses before a final one. */
const MAX_INFORMATIONAL = 64;

/** The head of a response, or trailers. */
export interface Head {
    readonly status: number;
    readonly headers: Headers;
    /** `set-cookie` lines, which browsers keep out of `Headers`. */
    readonly setCookie: readonly string[];
    /** The message is complete. */
    readonly fin: boolean;
}

/** A piece of a response's body. */
export interface Piece {
    readonly data: Uint8Array;
    readonly fin: boolean;
}

/** One attempt at one exchange: seals the request, opens the response. */
export class Exchange {
    readonly session: Session;
    readonly streamId: number;
    /** Aborted when the exchange is given up; what the platform does for it ends with it. */
    readonly scope: Scope;
    /** A byte of the stream may have left the client. */
    sent = false;
    requestBytes = 0;
    responseBytes = 0;
    trailers: Headers | undefined;
    readonly #core: Core;
    readonly #opened: () => void;
    #stream: Stream | undefined;
    #reader: Incoming | undefined;
    #tunnel: Tunnel | undefined;
    #uploading = false;
    #uploadError: SteveError | undefined;
    #stage: Stage = "request";

    constructor(core: Core, ticket: Ticket, scope: Scope) {
        this.#core = core;
        this.session = ticket.session;
        this.scope = scope;
        this.#stream = ticket.stream;
        this.#opened = ticket.opened;
        this.streamId = ticket.stream.id();
    }

    /** Seals the head of a request. */
    head(request: Prepared, fin: boolean): void {
        this.#seal((stream) => sealHead(stream, request, fin));
    }

    /** Seals bytes of the body. */
    data(data: Uint8Array, fin: boolean): void {
        this.#seal((stream) => stream.data(data, fin));
        this.requestBytes += data.length;
    }

    /** What is sealed and is to be sent now. */
    take(): Uint8Array {
        this.sent = true;
        this.session.touch();
        return this.#seal((stream) => stream.take());
    }

    /** Seals the body, piece by piece, and what ends it. */
    async *upload(request: Prepared): AsyncGenerator<Uint8Array, void, void> {
        this.#uploading = true;
        try {
            yield* this.#sealBody(request);
            this.#uploading = false;
        } catch (error) {
            if (this.#stream === undefined) return;
            this.#uploadError = error instanceof SteveError ? error : bodyError(error);
            this.#seal((stream) => stream.cancel());
            yield this.take();
        }
    }

    /** Reads the response from here on. */
    receive(incoming: Incoming, tunnel?: Tunnel): void {
        // A tunnel is there before the proxy has seen the stream.
        if (tunnel === undefined) this.#opened();
        this.#reader = incoming;
        this.#tunnel = tunnel;
    }

    /** The final head. */
    async nextHead(onInformational: Prepared["onInformational"]): Promise<Head> {
        for (let count = 0; count <= MAX_INFORMATIONAL; count += 1) {
            const kind = await this.#next();
            if (kind === Kind.head) {
                const head = this.#current(readHead);
                if (this.streamId !== 0) this.session.answered(head.headers);
                return head;
            }
            if (kind !== Kind.informational) throw this.#unexpected(kind);
            const { status, headers } = this.#current(readHead);
            onInformational?.(status, headers);
        }
        const message = `the app sent more than ${MAX_INFORMATIONAL} informational responses`;
        throw new SteveError("invalid-response", "request", message);
    }

    /** The next piece of the body. Not to be called after the last one, or an error. */
    async nextPiece(): Promise<Piece> {
        this.#stage = "response";
        const kind = await this.#next();
        if (kind === Kind.trailers) {
            this.trailers = this.#current(readHead).headers;
            return { data: new Uint8Array(), fin: true };
        }
        if (kind !== Kind.data) throw this.#unexpected(kind);
        const piece = this.#current((stream) => ({ data: stream.bytes(), fin: stream.fin() }));
        this.responseBytes += piece.data.length;
        return piece;
    }

    /** What to report for `error`; the session ends if that calls for it. */
    cause(error: unknown): unknown {
        const { signal } = this.scope;
        const cause = signal.aborted ? signal.reason : (this.#uploadError ?? error);
        if (endsSession(cause)) this.session.end();
        return cause;
    }

    /** The response is complete. The connection is kept, if the request is complete as well. */
    complete(): void {
        if (this.#stream === undefined) return;
        const reader = this.#reader;
        this.#free();
        this.scope.end();
        if (this.#tunnel !== undefined || this.#uploading) {
            this.#tunnel?.close();
            this.scope.abort(new DOMException("the response is complete", "AbortError"));
        } else if (reader !== undefined) {
            drain(reader);
        }
    }

    /** Gives the exchange up, unless it is over. */
    abort(reason: unknown): void {
        if (this.#stream === undefined) return;
        this.#free();
        this.#tunnel?.close();
        this.#reader?.cancel(reason).catch(() => undefined);
        this.scope.abort(reason);
    }

    #free(): void {
        this.#opened();
        this.#stream?.free();
        this.#stream = undefined;
        this.session.release();
    }

    async *#sealBody(request: Prepared): AsyncGenerator<Uint8Array, void, void> {
        for await (const piece of pieces(request.body, this.scope.signal)) {
            for (let at = 0; at < piece.length; at += MAX_CONTENT) {
                if (this.#stream === undefined) return;
                this.data(piece.subarray(at, at + MAX_CONTENT), false);
                yield this.take();
            }
        }
        const trailers = await request.trailers?.();
        if (this.#stream === undefined) return;
        if (trailers === undefined) this.data(new Uint8Array(), true);
        else this.#seal((stream) => stream.trailers([...readHeaders(trailers)].flat()));
        yield this.take();
    }

    /** Goes on to what came next. */
    async #next(): Promise<number> {
        for (;;) {
            this.scope.signal.throwIfAborted();
            const kind = this.#current((stream) => stream.next());
            if (kind !== Kind.none) {
                // Bytes that did not open as a frame keep nothing alive.
                this.session.touch();
                return kind;
            }
            const chunk = await this.#read();
            this.#current((stream) => stream.push(chunk));
        }
    }

    /** The end of the outer response, and its failure, is a truncation (SPEC.md, Section 9.3). */
    async #read(): Promise<Uint8Array> {
        const reading = this.#reader?.read() ?? Promise.resolve(undefined);
        const outer = await race(reading, this.scope.signal).catch(() => undefined);
        if (outer?.value !== undefined) {
            this.#opened();
            return outer.value;
        }
        this.scope.signal.throwIfAborted();
        const refusal = refusalIn(this.#core, this.#tunnel?.closed);
        if (refusal !== undefined) throw refusal;
        this.#current((stream) => stream.end());
        throw new SteveError("truncated", this.#stage, "the response has ended");
    }

    #seal<T>(call: (stream: Stream) => T): T {
        return this.#with("request", call);
    }

    #current<T>(call: (stream: Stream) => T): T {
        return this.#with(this.#stage, call);
    }

    #with<T>(stage: Stage, call: (stream: Stream) => T): T {
        const stream = this.#stream;
        if (stream === undefined)
            throw (
                this.scope.signal.reason ?? new SteveError("closed", stage, "the exchange is over")
            );
        return guarded(this.#core, stage, () => call(stream));
    }

    #unexpected(kind: number): SteveError {
        if (kind !== Kind.reset)
            return new SteveError("tampered", this.#stage, "a frame came out of order");
        const code = this.#current((stream) => stream.resetCode() ?? 0);
        const reset = this.#current((stream) => stream.resetName() ?? "unknown");
        const notDispatched = code >> 8 === 1;
        const meaning = notDispatched
            ? "the app did not get the request"
            : "the app may have got the request";
        return new SteveError(
            "reset",
            this.#stage,
            `the enclave reset the exchange: ${reset}; ${meaning}`,
            {
                reset,
                notDispatched,
            },
        );
    }
}

/** Seals the head of a request. */
export function sealHead(stream: Stream, request: Prepared, fin: boolean): void {
    const { url, method, upgrade } = request;
    const scheme = url.protocol.slice(0, -1);
    const path = url.pathname + url.search;
    stream.head(method, scheme, url.host, path, fieldLines(request), upgrade, fin);
}

/** The outer response is to end here; a connection whose response was read is used again. */
export function drain(reader: Incoming): void {
    const cancel = () => void reader.cancel().catch(() => undefined);
    const timer = setTimeout(cancel, MAX_REST_MS);
    reader
        .read()
        .then(({ done }) => done || cancel())
        .catch(() => undefined)
        .finally(() => clearTimeout(timer));
}

function readHead(stream: Stream): Head {
    const headers = new Headers();
    const setCookie: string[] = [];
    const lines = stream.fields();
    for (let at = 0; at + 1 < lines.length; at += 2) {
        const [name = "", value = ""] = lines.slice(at, at + 2);
        if (name === "set-cookie") setCookie.push(value);
        headers.append(name, value);
    }
    return { status: stream.status(), headers, setCookie, fin: stream.fin() };
}

function bodyError(cause: unknown): SteveError {
    return new SteveError("request-body", "request", "the request body could not be read", {
        cause,
    });
}
