import { attempt, begun, type Begun } from "./attempt.js";
import type { Core } from "./core.js";
import { canBeEarly, Offer } from "./early.js";
import type { VerifiedEnclave } from "./enclave.js";
import { closedError, SteveError } from "./errors.js";
import type { EventMap, Events } from "./events.js";
import type { Exchange } from "./exchange.js";
import { redirected } from "./redirect.js";
import { type Prepared, prepare, type SteveRequestInit } from "./request.js";
import { makeResponse } from "./response.js";
import { isSafe, retryDelay } from "./retry.js";
import { Scope } from "./scope.js";
import { sendRepeatedly } from "./send.js";
import { type Sessions, timeoutError } from "./sessions.js";
import type { Transport } from "./transport.js";
import { boundWebSocket, type SteveWebSocketConstructor } from "./websocket/bound.js";

/** What a client is made of. */
export interface ClientParts {
    readonly core: Core;
    readonly origin: string;
    readonly transport: Transport;
    readonly sessions: Sessions;
    readonly events: Events;
    /** All of the client's work is a part of it. */
    readonly work: Scope;
    /** Frees what the policy holds. */
    readonly free: () => void;
    readonly requestTimeout: number | undefined;
    readonly idleTimeout: number | undefined;
    /** Requests with safe methods go along with handshakes, unless they say otherwise. */
    readonly earlyData: boolean;
}

/**
 * Talks to an HTTP app inside an enclave, after verifying that it is the right one.
 *
 * A client keeps one verified enclave and one session, renews them when that is due, and carries
 * any number of concurrent requests. `connect` makes it.
 */
export class Steve {
    readonly #parts: ClientParts;
    #webSocket: SteveWebSocketConstructor | undefined;

    /** @internal */
    constructor(parts: ClientParts) {
        this.#parts = parts;
    }

    /** The service's origin. */
    get origin(): string {
        return this.#parts.origin;
    }

    /**
     * `fetch`, through the channel: the same arguments, the same `Response`. Can be detached from
     * the client, and given to whatever takes a `fetch`.
     *
     * What differs from the platform's: only URLs of the client's origin, to which relative ones
     * are resolved, also in redirects. There is no cache and no cookie jar: `set-cookie` is in
     * `receiptOf(response).setCookie`, and `cookie` is sent if `init.headers` holds it. Content
     * codings are neither asked for nor undone. `redirect: "manual"` gives the redirect itself. The
     * body of a `Request`, and a `ReadableStream`, goes out as a stream: without `content-length`,
     * and never twice. In browsers that takes a WebSocket, unless the browser streams requests over
     * HTTP/2.
     *
     * A request is sent again by itself, at most twice, only if the enclave certainly did not hand
     * it to the app, or its method is safe, or it is `idempotent`; and if its body is no stream.
     * If a session has to be made for it, a request with a safe method goes along with the
     * handshake: see `early`. That counts as being sent, also when the enclave rejects it.
     *
     * Rejects with a `SteveError`, or with the reason of the signal.
     */
    readonly fetch = async (
        input: string | URL | Request,
        init: SteveRequestInit = {},
    ): Promise<Response> => {
        const { work, requestTimeout } = this.#parts;
        let scope: Scope | undefined;
        try {
            const request = await prepare(input, init, this.origin);
            scope = new Scope(work, request.signal);
            const clear = scope.timeout(requestTimeout, () =>
                timeoutError("request", requestTimeout ?? 0),
            );
            scope.signal.throwIfAborted();
            const response = await this.#follow(request, scope);
            clear();
            return response;
        } catch (error) {
            scope?.end();
            this.#report(error);
            throw error;
        }
    };

    /** `WebSocket`, through the channel: the same interface, bound to this client. */
    get WebSocket(): SteveWebSocketConstructor {
        const { core, origin, transport, sessions, work } = this.#parts;
        this.#webSocket ??= boundWebSocket({ core, origin, transport, sessions, work });
        return this.#webSocket;
    }

    /**
     * Fetches fresh evidence and appraises it, whether or not there is evidence that still holds.
     * New sessions use it from now on. Its `report` says what was checked and what is not proven;
     * the `report` of the error if it is refused.
     */
    async verify(): Promise<VerifiedEnclave> {
        return this.#setUp(async () => (await this.#parts.sessions.fetchTrusted()).info);
    }

    /**
     * The value by which the app knows this client's session (the field `steve-session`), in
     * base64url. A secret between client and app, which changes with every session.
     */
    async sessionBinding(): Promise<string> {
        const binding = await this.#setUp(async () =>
            (await this.#parts.sessions.session(false)).binding(),
        );
        if (binding === undefined) throw closedError("handshake");
        const base64 = btoa(String.fromCharCode(...binding));
        return base64.replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
    }

    /** Listens to an event; gives a function that stops that. */
    on<Name extends keyof EventMap>(
        name: Name,
        listener: (event: EventMap[Name]) => void,
    ): () => void {
        return this.#parts.events.on(name, listener);
    }

    /**
     * Aborts what is under way, and erases all keys. The client cannot be used further. Plaintext
     * that passed through is not erased.
     */
    close(): void {
        const { work, sessions, free } = this.#parts;
        if (work.signal.aborted) return;
        work.abort(closedError("request"));
        sessions.close();
        free();
    }

    /** `close`, for `using`. */
    [Symbol.dispose](): void {
        this.close();
    }

    /** @internal Verifies, and establishes the first session. */
    async open(): Promise<void> {
        await this.#setUp(() => this.#parts.sessions.session(false));
    }

    async #follow(first: Prepared, scope: Scope): Promise<Response> {
        let request = first;
        for (let count = 0; ; count += 1) {
            const begun = await this.#send(request, scope);
            let over = false;
            let isLast = false;
            const end = () => {
                if (over && isLast) scope.end();
            };
            const response = await makeResponse(begun, {
                url: request.url,
                redirected: count > 0,
                toHead: request.method === "HEAD",
                idleTimeout: this.#parts.idleTimeout,
                onError: (error) => this.#report(error),
                onEnd: () => {
                    over = true;
                    end();
                },
            });
            const next = this.#redirected(request, response, count);
            isLast = next === undefined;
            end();
            if (next === undefined) return response;
            await response.body?.cancel();
            request = next;
        }
    }

    #send(request: Prepared, scope: Scope): Promise<Begun> {
        const { core, transport, sessions, earlyData } = this.#parts;
        const mayBeEarly = request.early ?? (earlyData && isSafe(request.method));
        const early =
            mayBeEarly && canBeEarly(request)
                ? {
                      offer: new Offer(request, scope),
                      answer: (exchange: Exchange) =>
                          begun(exchange, request, async () => undefined),
                  }
                : undefined;
        return sendRepeatedly(
            sessions,
            request,
            scope,
            (ticket, attemptScope) => attempt(core, transport, ticket, request, attemptScope),
            early,
        );
    }

    #redirected(request: Prepared, response: Response, count: number): Prepared | undefined {
        try {
            return redirected(request, response, count);
        } catch (error) {
            response.body?.cancel().catch(() => undefined);
            throw error;
        }
    }

    /** What sends nothing of a request may be repeated for any. */
    async #setUp<T>(work: () => Promise<T>): Promise<T> {
        const { signal } = this.#parts.work;
        for (let number = 1; ; number += 1) {
            try {
                signal.throwIfAborted();
                return await work();
            } catch (error) {
                const tried = { number, sent: false, repeatable: true, replayable: true };
                const delay = signal.aborted ? undefined : retryDelay(tried, error);
                if (delay === undefined) {
                    this.#report(error);
                    throw error;
                }
                await new Promise((resolve) => setTimeout(resolve, delay));
            }
        }
    }

    #report(error: unknown): void {
        if (error instanceof SteveError) this.#parts.events.emit("error", error);
    }
}
