/** A WebSocket's URL, as it is shown and as it is requested. */
export interface SocketUrl {
    /** With `ws:` or `wss:`. */
    readonly shown: string;
    /** With `http:` or `https:`. */
    readonly inner: URL;
}

/** Reads a URL, which must be of the client's origin. */
export function readUrl(url: string | URL, origin: string): SocketUrl {
    let inner: URL;
    try {
        inner = new URL(String(url), origin);
    } catch {
        throw new DOMException("the URL cannot be read", "SyntaxError");
    }
    if (inner.protocol === "ws:") inner = withScheme(inner, "http:");
    if (inner.protocol === "wss:") inner = withScheme(inner, "https:");
    if (inner.origin !== origin || inner.username !== "" || inner.password !== "") {
        throw new DOMException(`the URL is not of the client's origin, ${origin}`, "SyntaxError");
    }
    inner.hash = "";
    return { shown: inner.href.replace(/^http/, "ws"), inner };
}

/** Holds subprotocols to the rules: tokens, none twice. */
export function checkProtocols(protocols: string | readonly string[]): readonly string[] {
    const list = typeof protocols === "string" ? [protocols] : [...protocols];
    const isToken = (protocol: string) => /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(protocol);
    if (!list.every(isToken) || new Set(list).size !== list.length) {
        throw new DOMException("the subprotocols are not tokens, or repeated", "SyntaxError");
    }
    return list;
}

function withScheme(url: URL, scheme: string): URL {
    return new URL(scheme + url.href.slice(url.protocol.length));
}
