import type { WorkerConfig } from "../dist/service-worker/config.js";

/** Where outer requests go (SPEC.md, Section 11): what a page sends there itself is sealed, or says nothing. */
const OUTER = [
    "/.well-known/steve/v3/evidence",
    "/.well-known/steve/v3/stream",
    "/.well-known/steve/health",
];

/** True for requests that go through the channel; false for those that are none of ours. */
export function isOurs(
    request: Request,
    own: string,
    { origin, bootstrap }: WorkerConfig,
): boolean {
    const url = new URL(request.url);
    if (url.origin !== own && url.origin !== origin) return false;
    const path = url.pathname + url.search;
    if (url.origin === origin && OUTER.includes(path)) return false;
    const isRead = request.method === "GET" || request.method === "HEAD";
    return !(url.origin === own && isRead && bootstrap.includes(path));
}
