import { bodyLength } from "./body.js";
import { SteveError } from "./errors.js";
import { type Prepared, sameOrigin } from "./request.js";

const MAX_REDIRECTS = 20;
const STATUSES = new Set([301, 302, 303, 307, 308]);
/** Headers that speak of a body. */
const BODY_HEADERS = ["content-encoding", "content-language", "content-location", "content-type"];

/**
 * The request that a redirect asks for, as the Fetch standard has it; undefined when the response
 * is to be handed out as it is. Nothing leaves the channel: another origin is an error.
 */
export function redirected(
    request: Prepared,
    response: Response,
    count: number,
): Prepared | undefined {
    const location = response.headers.get("location");
    if (!STATUSES.has(response.status) || request.redirect === "manual") return undefined;
    if (request.redirect === "error") throw refused("the app redirects, which the request forbids");
    if (location === null) return undefined;
    if (count >= MAX_REDIRECTS) throw refused(`the app redirects more than ${MAX_REDIRECTS} times`);
    const url = target(location, request.url);
    const { status } = response;
    const { method } = request;
    const becomesGet =
        status === 303 ? method !== "GET" && method !== "HEAD" : status < 303 && method === "POST";
    if (!becomesGet) {
        if (bodyLength(request.body) === undefined) {
            throw refused(
                "the app redirects a request whose body is a stream and cannot be sent again",
            );
        }
        return { ...request, url };
    }
    const headers = new Headers(request.headers);
    for (const name of BODY_HEADERS) headers.delete(name);
    return { ...request, url, headers, method: "GET", body: { kind: "none" }, trailers: undefined };
}

function target(location: string, base: URL): URL {
    try {
        const url = sameOrigin(location, base.href, base.origin);
        if (url.hash === "") url.hash = base.hash;
        return url;
    } catch (cause) {
        throw refused("the app redirects to a URL of another origin, or to none", cause);
    }
}

function refused(message: string, cause?: unknown): SteveError {
    return new SteveError("redirect", "request", message, cause === undefined ? {} : { cause });
}
