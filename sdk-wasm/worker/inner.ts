import type { SteveRequestInit } from "../dist/request.js";

/** Bodies up to this many bytes go out with their length, and can be sent again. */
const WHOLE_LIMIT = 1 << 20;

/** A page's request as it goes into the channel, to the service's origin. */
export async function innerRequest(
    request: Request,
    own: string,
    origin: string,
): Promise<{ url: URL; init: SteveRequestInit }> {
    const { pathname, search } = new URL(request.url);
    const init: SteveRequestInit = {
        method: request.method,
        headers: headersOf(request, own),
        // The browser follows redirects, each through the worker again.
        redirect: "manual",
        signal: request.signal,
    };
    if (request.method !== "GET" && request.method !== "HEAD") init.body = await bodyOf(request);
    return { url: new URL(pathname + search, origin), init };
}

/** With `origin` and `referer`, which browsers add only on the way to the network. */
function headersOf(request: Request, own: string): Headers {
    const headers = new Headers(request.headers);
    const from = URL.canParse(request.referrer) ? new URL(request.referrer) : undefined;
    const isHttp = from?.protocol === "https:" || from?.protocol === "http:";
    const referrer = isHttp && request.referrerPolicy !== "no-referrer" ? from : undefined;
    if (referrer !== undefined)
        headers.set("referer", referrer.origin === own ? referrer.href : `${referrer.origin}/`);
    const isRead = request.method === "GET" || request.method === "HEAD";
    const isCrossOrigin = new URL(request.url).origin !== own;
    if (!isRead || isCrossOrigin) {
        // Another site can send a page here, with a form of its own; all else is from pages of ours.
        headers.set("origin", request.mode === "navigate" ? (referrer?.origin ?? "null") : own);
    }
    return headers;
}

/** As a whole if it is short. Otherwise it streams, where the browser lets streams be read. */
async function bodyOf(request: Request): Promise<BodyInit | null> {
    if (request.body === undefined) {
        const blob = await request.blob();
        return blob.size > 0 ? blob : null;
    }
    if (request.body === null) return null;
    const reader = request.body.getReader();
    const begin: Uint8Array<ArrayBuffer>[] = [];
    let length = 0;
    while (length <= WHOLE_LIMIT) {
        const { done, value } = await reader.read();
        if (done) return length > 0 ? new Blob(begin).arrayBuffer() : null;
        begin.push(value);
        length += value.length;
    }
    return new ReadableStream<Uint8Array<ArrayBuffer>>(
        {
            async pull(controller) {
                const first = begin.shift();
                if (first !== undefined) return controller.enqueue(first);
                const { done, value } = await reader.read();
                if (done) controller.close();
                else controller.enqueue(value);
            },
            cancel: (reason) => reader.cancel(reason),
        },
        { highWaterMark: 0 },
    );
}
