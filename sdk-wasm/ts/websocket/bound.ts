import type { Channel } from "./open.js";
import { SteveWebSocket } from "./socket.js";

/** The constructor of a client's WebSockets. */
export interface SteveWebSocketConstructor {
    /** `url` is of the client's origin, with `ws:`, `wss:`, `http:` or `https:`, or a path. */
    new (url: string | URL, protocols?: string | readonly string[]): SteveWebSocket;
    readonly prototype: SteveWebSocket;
    readonly CONNECTING: 0;
    readonly OPEN: 1;
    readonly CLOSING: 2;
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
