import { ByteQueue } from "../bytes.js";
import { encodeFrame, type Frame, FrameReader, Opcode, ProtocolViolation } from "./frames.js";

/** Two directions of bytes that a WebSocket runs over. */
export interface ByteDuplex {
    /** The next bytes; undefined at their end. */
    read(): Promise<Uint8Array | undefined>;
    /** Resolves when there is room for more. */
    write(bytes: Uint8Array): Promise<void>;
    /** Ends the direction to the server. */
    end(): Promise<void>;
    /** Gives both directions up. */
    abort(): void;
}

/** How a connection ended: 1005 without a code, 1006 without a closing handshake. */
export interface Closed {
    readonly code: number;
    readonly reason: string;
    readonly wasClean: boolean;
}

/** A client's end of RFC 6455, after the opening handshake. */
export class Connection {
    /** How it ended. */
    closed: Closed = { code: 1006, reason: "", wasClean: false };
    readonly #duplex: ByteDuplex;
    readonly #limit: number;
    readonly #frames = new FrameReader();
    #writing: Promise<void> = Promise.resolve();
    #closeSent = false;
    #pinged: Uint8Array | undefined;

    /** `limit` is that of a message, in bytes. */
    constructor(duplex: ByteDuplex, limit: number) {
        this.#duplex = duplex;
        this.#limit = limit;
    }

    /** The messages that come, until the connection is over; then `closed` says how. */
    async *messages(): AsyncGenerator<string | Uint8Array, void, void> {
        try {
            yield* this.#read();
        } catch (error) {
            if (!(error instanceof ProtocolViolation)) throw error;
            this.close(error.code, "").catch(() => undefined);
        } finally {
            await this.#writing.then(() => this.#duplex.end()).catch(() => undefined);
            this.#duplex.abort();
        }
    }

    /** Sends a message; resolves when there is room for more. */
    send(message: string | Uint8Array): Promise<void> {
        const text = typeof message === "string";
        const payload = text ? new TextEncoder().encode(message) : message;
        return this.#write(text ? Opcode.text : Opcode.binary, payload);
    }

    async *#read(): AsyncGenerator<string | Uint8Array, void, void> {
        const message = new ByteQueue();
        let kind: number | undefined;
        for (;;) {
            const frame = await this.#frame(this.#limit - message.length);
            if (frame === undefined) return;
            const { fin, opcode, payload } = frame;
            if (opcode === Opcode.close) return this.#onClose(payload);
            if (opcode === Opcode.ping) this.#onPing(payload);
            if (opcode >= Opcode.close) continue;
            if ((opcode === Opcode.continuation) === (kind === undefined)) {
                throw new ProtocolViolation(1002, "a fragment is out of order");
            }
            kind ??= opcode;
            message.push(payload);
            if (!fin) continue;
            const whole = message.take(message.length);
            // After our own Close nobody wants messages any more.
            if (!this.#closeSent) yield kind === Opcode.text ? decode(whole) : whole;
            kind = undefined;
        }
    }

    async #frame(limit: number): Promise<Frame | undefined> {
        for (;;) {
            const frame = this.#frames.next(limit);
            if (frame !== undefined) return frame;
            const bytes = await this.#duplex.read();
            if (bytes === undefined) return undefined;
            this.#frames.push(bytes);
        }
    }

    /** While the answer to a ping waits for room, only the last one that came is answered. */
    #onPing(payload: Uint8Array): void {
        const waits = this.#pinged !== undefined;
        this.#pinged = payload;
        if (waits || this.#closeSent) return;
        this.#writing = this.#writing.then(() => {
            const last = encodeFrame(Opcode.pong, this.#pinged ?? payload);
            this.#pinged = undefined;
            return this.#duplex.write(last);
        });
        this.#writing.catch(() => undefined);
    }

    #onClose(payload: Uint8Array): void {
        if (payload.length === 0) {
            this.closed = { code: 1005, reason: "", wasClean: true };
            this.close(undefined, "").catch(() => undefined);
            return;
        }
        const code = payload.length < 2 ? 0 : ((payload[0] ?? 0) << 8) | (payload[1] ?? 0);
        if (!isCloseCode(code)) throw new ProtocolViolation(1002, "a close code is invalid");
        this.closed = { code, reason: decode(payload.subarray(2)), wasClean: true };
        this.close(code, "").catch(() => undefined);
    }

    /** Begins the closing handshake, or completes it; resolves when its Close is sent. */
    async close(code: number | undefined, reason: string): Promise<void> {
        if (this.#closeSent) return this.#writing;
        const text = new TextEncoder().encode(reason);
        const start = code === undefined ? [] : [code >> 8, code & 0xff];
        const sent = this.#write(Opcode.close, Uint8Array.from([...start, ...text]));
        this.#closeSent = true;
        return sent;
    }

    /** One after the other, in order. */
    #write(opcode: number, payload: Uint8Array): Promise<void> {
        if (this.#closeSent) return Promise.resolve();
        this.#writing = this.#writing.then(() => this.#duplex.write(encodeFrame(opcode, payload)));
        return this.#writing;
    }
}

function decode(bytes: Uint8Array): string {
    try {
        return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
        throw new ProtocolViolation(1007, "a text is not UTF-8");
    }
}

/** Codes that may be in a Close frame (RFC 6455, Section 7.4). */
function isCloseCode(code: number): boolean {
    return (
        (code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code)) ||
        (code >= 3000 && code <= 4999)
    );
}
