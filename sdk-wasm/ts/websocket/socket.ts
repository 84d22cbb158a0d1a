import { SteveError } from "../errors.js";
import { Scope } from "../scope.js";
import { timeoutError } from "../sessions.js";
import { type Closed, Connection } from "./connection.js";
import { type Channel, openUpgraded } from "./open.js";
import { checkProtocols, readUrl } from "./url.js";

/** Longest message that is taken, in bytes; a longer one closes the connection with 1009. */
const MAX_MESSAGE = 64 << 20;

/** How long to wait for the app's half of the closing handshake. */
const CLOSE_TIMEOUT_MS = 10_000;

/** The event `close`, with what `CloseEvent` has. */
export class SteveCloseEvent extends Event {
    /** The code that the app closed with; 1005 without one, 1006 when the connection was lost. */
    readonly code: number;
    /** The reason that the app gave. */
    readonly reason: string;
    /** True after a closing handshake. */
    readonly wasClean: boolean;

    /** @internal */
    constructor({ code, reason, wasClean }: Closed) {
        super("close");
        this.code = code;
        this.reason = reason;
        this.wasClean = wasClean;
    }
}

/** The event `error`, which says why, as a browser's does not. */
export class SteveErrorEvent extends Event {
    /** Why the connection failed: a `SteveError`, if the channel says so. */
    readonly error: unknown;

    /** @internal */
    constructor(error: unknown) {
        super("error");
        this.error = error;
    }
}

type Handler<E extends Event> = ((this: SteveWebSocket, event: E) => void) | null;

/**
 * A WebSocket through the channel, with the interface of the platform's: RFC 6455 without
 * extensions, inside a stream of its own. Needs a secure context in browsers.
 */
export class SteveWebSocket extends EventTarget {
    static readonly CONNECTING = 0;
    static readonly OPEN = 1;
    static readonly CLOSING = 2;
    static readonly CLOSED = 3;
    /** A `readyState`: not open yet. */
    readonly CONNECTING = 0;
    /** A `readyState`: messages can be sent. */
    readonly OPEN = 1;
    /** A `readyState`: the closing handshake has begun. */
    readonly CLOSING = 2;
    /** A `readyState`: closed, or never opened. */
    readonly CLOSED = 3;

    /** What it is connected to. */
    readonly url: string;
    /** Always empty. */
    readonly extensions = "";
    /** Called when the app accepted the connection. */
    onopen: Handler<Event> = null;
    /** Called for every message. */
    onmessage: Handler<MessageEvent> = null;
    /** Called when the connection failed, before `onclose`. */
    onerror: Handler<SteveErrorEvent> = null;
    /** Called once, at the end. */
    onclose: Handler<SteveCloseEvent> = null;
    #binaryType: BinaryType = "blob";
    #readyState = 0;
    #protocol = "";
    #bufferedAmount = 0;
    #connection: Connection | undefined;
    #sending: Promise<void> = Promise.resolve();
    readonly #scope: Scope;

    /** @internal `steve.WebSocket` is the constructor that needs no channel. */
    constructor(channel: Channel, url: string | URL, protocols: string | readonly string[] = []) {
        super();
        const offered = checkProtocols(protocols);
        const { shown, inner } = readUrl(url, channel.origin);
        this.url = shown;
        this.#scope = new Scope(channel.work);
        this.addEventListener("open", (event) => this.onopen?.(event));
        this.addEventListener("message", (event) => this.onmessage?.(event as MessageEvent));
        this.addEventListener("error", (event) => this.onerror?.(event as SteveErrorEvent));
        this.addEventListener("close", (event) => this.onclose?.(event as SteveCloseEvent));
        this.#run(channel, inner, offered);
    }

    /** How it is: `CONNECTING`, `OPEN`, `CLOSING` or `CLOSED`. */
    get readyState(): number {
        return this.#readyState;
    }

    /** The subprotocol in use. */
    get protocol(): string {
        return this.#protocol;
    }

    /** Bytes of messages that wait to be sealed and sent. */
    get bufferedAmount(): number {
        return this.#bufferedAmount;
    }

    /** What binary messages arrive as. */
    get binaryType(): BinaryType {
        return this.#binaryType;
    }

    /** Other values than `blob` and `arraybuffer` are ignored. */
    set binaryType(type: BinaryType) {
        if (type === "blob" || type === "arraybuffer") this.#binaryType = type;
    }

    /** Sends a message; those sent after `close` are dropped. */
    send(data: string | ArrayBufferLike | ArrayBufferView | Blob): void {
        if (this.#readyState === SteveWebSocket.CONNECTING) {
            throw new DOMException("the WebSocket is not open yet", "InvalidStateError");
        }
        const message = data instanceof Blob || typeof data === "string" ? data : copyOf(data);
        const size = sizeOf(message);
        this.#bufferedAmount += size;
        const connection = this.#connection;
        if (this.#readyState !== SteveWebSocket.OPEN || connection === undefined) return;
        this.#sending = this.#sending
            .then(async () => {
                const ready =
                    message instanceof Blob ? new Uint8Array(await message.arrayBuffer()) : message;
                await connection.send(ready);
                this.#bufferedAmount -= size;
            })
            // A message that is lost ends the connection.
            .catch((error: unknown) => this.#scope.abort(error));
    }

    /** Begins the closing handshake: `code` is 1000 or 3000 to 4999, `reason` at most 123 bytes. */
    close(code?: number, reason = ""): void {
        if (code !== undefined && code !== 1000 && !(code >= 3000 && code <= 4999)) {
            throw new DOMException("a close code is 1000 or 3000 to 4999", "InvalidAccessError");
        }
        if (new TextEncoder().encode(reason).length > 123) {
            throw new DOMException("a close reason has at most 123 bytes", "SyntaxError");
        }
        if (this.#readyState >= SteveWebSocket.CLOSING) return;
        this.#readyState = SteveWebSocket.CLOSING;
        const connection = this.#connection;
        if (connection === undefined) {
            this.#scope.abort(
                new DOMException("the WebSocket was closed before it was open", "AbortError"),
            );
        } else {
            const last = reason !== "" && code === undefined ? 1000 : code;
            this.#sending = this.#sending
                .then(() => connection.close(last, reason))
                // What is read tells that the connection is lost.
                .catch(() => undefined);
            this.#scope.timeout(CLOSE_TIMEOUT_MS, () =>
                timeoutError("websocket", CLOSE_TIMEOUT_MS),
            );
        }
    }

    async #run(channel: Channel, url: URL, protocols: readonly string[]): Promise<void> {
        let closed: Closed = { code: 1006, reason: "", wasClean: false };
        try {
            this.#scope.signal.throwIfAborted();
            const { duplex, protocol } = await openUpgraded(channel, url, protocols, this.#scope);
            const connection = new Connection(duplex, MAX_MESSAGE);
            this.#connection = connection;
            this.#protocol = protocol;
            this.#readyState = SteveWebSocket.OPEN;
            this.dispatchEvent(new Event("open"));
            for await (const message of connection.messages()) this.#onMessage(message);
            closed = connection.closed;
            if (!closed.wasClean)
                throw new SteveError(
                    "truncated",
                    "websocket",
                    "the app did not close the WebSocket in order",
                );
        } catch (error) {
            this.#readyState = SteveWebSocket.CLOSED;
            this.dispatchEvent(new SteveErrorEvent(error));
        }
        this.#readyState = SteveWebSocket.CLOSED;
        this.#scope.end();
        this.dispatchEvent(new SteveCloseEvent(closed));
    }

    #onMessage(message: string | Uint8Array): void {
        if (this.#readyState !== SteveWebSocket.OPEN) return;
        const origin = this.url.slice(0, this.url.indexOf("/", 6));
        const data = typeof message === "string" ? message : this.#binary(message);
        this.dispatchEvent(new MessageEvent("message", { data, origin }));
    }

    #binary(bytes: Uint8Array): Blob | ArrayBuffer {
        const copy = bytes.slice().buffer as ArrayBuffer;
        return this.#binaryType === "blob" ? new Blob([copy]) : copy;
    }
}

function copyOf(data: ArrayBufferLike | ArrayBufferView): Uint8Array {
    if (ArrayBuffer.isView(data)) {
        return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
    }
    return new Uint8Array(data).slice();
}

function sizeOf(message: string | Uint8Array | Blob): number {
    if (typeof message === "string") return new TextEncoder().encode(message).length;
    return message instanceof Blob ? message.size : message.length;
}
