import { type Body, bodyLength, takeBody } from "./body.js";
import { invalidRequest } from "./errors.js";

/** What `fetch` takes, and a little more. */
export interface SteveRequestInit extends RequestInit {
    /**
     * Promises that no harm is done when the app executes the request more than once, *and* when it
     * executes it late: after requests that were sent after it, at any time until the session ends.
     * Then it is sent again by itself after failures that leave open whether the app got it.
     * Requests with a safe method (GET, HEAD, OPTIONS) need no promise; for PUT and DELETE, which
     * are merely idempotent, an old value that overwrites a newer one is such a harm.
     */
    idempotent?: boolean;
    /**
     * Whether the request may go along with the handshake, if a session has to be made for it.
     * Without this, that is done for safe methods (GET, HEAD, OPTIONS), unless `earlyData` of the
     * client says otherwise.
     *
     * It saves a round trip and has a price. Until the enclave has erased its keys (about an hour,
     * with the proxy's defaults) whoever gets hold of them can decrypt the request, but never the
     * response. And until then the host can hold the request back and deliver it late; the enclave
     * executes it once at most. So for other methods the caller promises that no harm is done when
     * the request is executed late, after the client was told that it failed.
     *
     * Never sent early: a body of more than 16 KiB, a stream, a `Blob` or a form, trailers.
     */
    early?: boolean;
    /** Called for each informational response, such as 103. */
    onInformational?: (status: number, headers: Headers) => void;
    /** Trailers, asked for when the body has been sent. The app sees those that `trailer` names. */
    trailers?: () => HeadersInit | Promise<HeadersInit>;
}

/** A request as it goes into the channel. */
export interface Prepared {
    readonly url: URL;
    readonly method: string;
    readonly headers: Headers;
    readonly body: Body;
    readonly redirect: RequestRedirect;
    readonly signal: AbortSignal | null;
    readonly idempotent: boolean;
    /** What the caller says; undefined for what the client says. */
    readonly early: boolean | undefined;
    readonly onInformational: SteveRequestInit["onInformational"];
    readonly trailers: SteveRequestInit["trailers"];
    /** The protocol that it asks the app to change to. */
    readonly upgrade: string | undefined;
}

/** Set by the client, whatever the caller says. */
const OWN_HEADERS = ["content-length", "host"];

const NORMALISED = new Set(["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"]);
const FORBIDDEN = new Set(["CONNECT", "TRACE", "TRACK"]);

/** Reads what `fetch` was given. */
export async function prepare(
    input: string | URL | Request,
    init: SteveRequestInit,
    origin: string,
): Promise<Prepared> {
    const request = input instanceof Request ? input : undefined;
    const url = sameOrigin(request?.url ?? String(input), origin, origin);
    const method = normalMethod(init.method ?? request?.method ?? "GET");
    const headers = readHeaders(init.headers ?? request?.headers);
    const hasBody = init.body !== undefined && init.body !== null;
    const { body, type } = await takeBody(hasBody || !request ? init.body : await bodyOf(request));
    if (body.kind !== "none" && (method === "GET" || method === "HEAD")) {
        throw invalidRequest(`a request with the method ${method} has no body`);
    }
    for (const name of OWN_HEADERS) headers.delete(name);
    if (type !== null && !headers.has("content-type")) headers.set("content-type", type);
    if (!headers.has("accept")) headers.set("accept", "*/*");
    return {
        url,
        method,
        headers,
        body,
        redirect: init.redirect ?? request?.redirect ?? "follow",
        signal: init.signal === undefined ? (request?.signal ?? null) : init.signal,
        idempotent: init.idempotent ?? false,
        early: init.early,
        onInformational: init.onInformational,
        trailers: init.trailers,
        upgrade: undefined,
    };
}

/** Resolves a URL, which must be of this origin. */
export function sameOrigin(url: string, base: string, origin: string): URL {
    let resolved: URL;
    try {
        resolved = new URL(url, base);
    } catch {
        throw invalidRequest("its URL cannot be read");
    }
    if (resolved.origin !== origin) {
        throw invalidRequest(
            `its URL is not of the client's origin, ${origin}; use one client per origin`,
        );
    }
    if (resolved.username !== "" || resolved.password !== "") {
        throw invalidRequest(
            "its URL holds user information; send credentials in a header instead",
        );
    }
    return resolved;
}

/** Names in lower case and values in turn, with the length of the body where that is due. */
export function fieldLines({ headers, body, method }: Prepared): string[] {
    const lines: string[] = [];
    for (const [name, value] of headers) lines.push(name, value);
    const length = bodyLength(body);
    const expectsBody = method === "POST" || method === "PUT" || method === "PATCH";
    if (length !== undefined && (length > 0 || body.kind !== "none" || expectsBody)) {
        lines.push("content-length", String(length));
    }
    return lines;
}

/** Headers of any form. */
export function readHeaders(init: HeadersInit | undefined): Headers {
    try {
        return new Headers(init);
    } catch {
        throw invalidRequest("its headers cannot be read");
    }
}

/** The body of a `Request` is a stream wherever the platform gives it as one. */
async function bodyOf(request: Request): Promise<BodyInit | null> {
    if (request.bodyUsed) throw invalidRequest("its body has been used already");
    if (request.body !== undefined) return request.body;
    const blob = await request.blob();
    return blob.size > 0 ? blob : null;
}

function normalMethod(method: string): string {
    const upper = method.toUpperCase();
    if (FORBIDDEN.has(upper)) throw invalidRequest(`the method ${upper} cannot be used`);
    return NORMALISED.has(upper) ? upper : method;
}
