import type { Core } from "./core.js";
import { isPlainCode, outerStatus, SteveError, transportError } from "./errors.js";

/** A WebSocket that carries one stream, binary messages only (SPEC.md, Section 11.1). */
export interface Tunnel {
    /** Messages that came. Ends with the tunnel, however that ended. */
    readonly readable: ReadableStream<Uint8Array>;
    /** Sends a message; resolves when there is room for more. */
    send(message: Uint8Array): Promise<void>;
    /** Closes the tunnel. */
    close(): void;
    /** What it was closed with, if it was: unauthenticated. */
    readonly closed: Pick<CloseEvent, "code" | "reason"> | undefined;
}

/** Opens a tunnel to a `ws:` or `wss:` URL. */
export type OpenTunnel = (url: string, signal: AbortSignal) => Promise<Tunnel>;

/** Why the proxy closed a tunnel: its Close frame stands for a status, and gives an error code. */
export function refusalIn(core: Core, closed: Tunnel["closed"]): SteveError | undefined {
    const status = closed && core.closeStatus(closed.code);
    if (closed === undefined || status === undefined) return undefined;
    return outerStatus("request", status, isPlainCode(closed.reason) ? closed.reason : undefined);
}

/** Sends frames, a message for each. */
export async function sendFrames(tunnel: Tunnel, frames: Uint8Array): Promise<void> {
    const view = new DataView(frames.buffer, frames.byteOffset, frames.length);
    for (let at = 0, end = 0; at < frames.length; at = end) {
        end = at + 4 + view.getUint32(at);
        await tunnel.send(frames.subarray(at, end));
    }
}

/** Above this many bytes, sending waits. */
const HIGH_WATER = 1 << 20;
const POLL_MS = 5;

/**
 * Opens tunnels with the platform's `WebSocket`.
 *
 * That has no back-pressure for what comes in, and can only be asked how much has not gone out yet.
 */
export function webSocketTunnels(constructor: typeof WebSocket | undefined): OpenTunnel {
    return async (url, signal) => {
        if (constructor === undefined) {
            const message = "this platform has no WebSocket: give one to `connect`";
            throw new SteveError("tunnel-unavailable", "request", message);
        }
        const socket = new constructor(url);
        socket.binaryType = "arraybuffer";
        // `close` follows, and says more.
        socket.onerror = () => undefined;
        const tunnel = new WebSocketTunnel(socket, signal);
        await tunnel.opened;
        return tunnel;
    };
}

class WebSocketTunnel implements Tunnel {
    readonly readable: ReadableStream<Uint8Array>;
    readonly opened: Promise<void>;
    closed: Tunnel["closed"];
    readonly #socket: WebSocket;

    constructor(socket: WebSocket, signal: AbortSignal) {
        this.#socket = socket;
        const abort = () => socket.close();
        signal.addEventListener("abort", abort, { once: true });
        this.opened = new Promise((resolve, reject) => {
            socket.onopen = () => resolve();
            socket.addEventListener("close", () => {
                const cause = new Error("the WebSocket could not be opened");
                reject(signal.aborted ? signal.reason : transportError("request", cause));
            });
        });
        let cancelled = false;
        this.readable = new ReadableStream({
            start: (controller) => {
                socket.onmessage = ({ data }) => {
                    if (cancelled) return;
                    // Text has no place here: its bytes end the stream as malformed.
                    if (data instanceof ArrayBuffer) controller.enqueue(new Uint8Array(data));
                    else controller.enqueue(new Uint8Array(4));
                };
                socket.addEventListener("close", ({ code, reason }) => {
                    signal.removeEventListener("abort", abort);
                    this.closed = { code, reason };
                    if (!cancelled) controller.close();
                });
            },
            cancel: () => {
                cancelled = true;
                socket.close();
            },
        });
    }

    async send(message: Uint8Array): Promise<void> {
        this.#socket.send(message as Uint8Array<ArrayBuffer>);
        while (this.#socket.bufferedAmount > HIGH_WATER && this.#socket.readyState === 1) {
            await new Promise((resolve) => setTimeout(resolve, POLL_MS));
        }
    }

    close(): void {
        this.#socket.close();
    }
}
