import { SteveError } from "../errors.js";
import type { Head } from "../exchange.js";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** A fresh `sec-websocket-key`. */
export function makeKey(): string {
    return btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16))));
}

/**
 * Checks the server's side of the opening handshake (RFC 6455, Section 4.1); gives the subprotocol.
 */
export async function checkAnswer(
    head: Head,
    key: string,
    protocols: readonly string[],
): Promise<string> {
    const { status, headers } = head;
    if (status !== 101) throw failed(`the app answered ${status} instead of 101`);
    if (headers.get("sec-websocket-accept") !== (await acceptFor(key))) {
        throw failed("sec-websocket-accept does not answer the key");
    }
    if (headers.has("sec-websocket-extensions"))
        throw failed("the app uses an extension, and none was offered");
    const protocol = headers.get("sec-websocket-protocol") ?? "";
    if (protocol !== "" && !protocols.includes(protocol)) {
        throw failed("the app speaks a subprotocol that was not offered");
    }
    // RFC 6455 leaves that to the client, and the WebSockets standard does not.
    if (protocol === "" && protocols.length > 0) {
        throw failed("the app speaks none of the subprotocols offered");
    }
    return protocol;
}

/** What a server answers to a key. */
export async function acceptFor(key: string): Promise<string> {
    const digest = await crypto.subtle.digest("SHA-1", new TextEncoder().encode(key + GUID));
    return btoa(String.fromCharCode(...new Uint8Array(digest)));
}

function failed(message: string): SteveError {
    return new SteveError(
        "websocket-refused",
        "websocket",
        `the WebSocket was not opened: ${message}`,
    );
}
