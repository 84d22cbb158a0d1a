import type { Channel } from "./open.js";
import { SteveWebSocket } from "./socket.js";

/** The constructor of a client's WebSockets. */
export interface SteveWebSocketConstructor {
    /** `url` is of the client's origin, with `ws:`, `wss:`, `http:` or `https:`, or a path. */
    new (url: string | URL, protocols?: string | readonly string[]): SteveWebSocket;
    /** What its WebSockets inherit from. */
    readonly prototype: SteveWebSocket;
    /** A `readyState`: not open yet. */
    readonly CONNECTING: 0;
    /** A `readyState`: messages can be sent. */
    readonly OPEN: 1;
    /** A `readyState`: the closing handshake has begun. */
    readonly CLOSING: 2;
    /** A `readyState`: closed, or never opened. */
    readonly CLOSED: 3;
}

/** A constructor of WebSockets through this channel. */
export function boundWebSocket(channel: Channel): SteveWebSocketConstructor {
    return class WebSocket extends SteveWebSocket {
        constructor(url: string | URL, protocols?: string | readonly string[]) {
            super(channel, url, protocols);
        }
    };
}
