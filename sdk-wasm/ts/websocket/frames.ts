import { ByteQueue } from "../bytes.js";

/** Opcodes of RFC 6455, Section 11.8. */
export const Opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

const MAX_CONTROL = 125;
/** Of a header without mask. */
const MAX_HEADER = 10;

/** A frame that came. */
export interface Frame {
    readonly fin: boolean;
    readonly opcode: number;
    readonly payload: Uint8Array;
}

/** The peer broke a rule; `code` is what to close the connection with. */
export class ProtocolViolation extends Error {
    constructor(
        readonly code: number,
        message: string,
    ) {
        super(message);
    }
}

/** A frame of a client: complete, and masked. */
export function encodeFrame(opcode: number, payload: Uint8Array): Uint8Array {
    const { length } = payload;
    const extended = length < 126 ? 0 : length < 65_536 ? 2 : 8;
    const header = 2 + extended + 4;
    const frame = new Uint8Array(header + length);
    const view = new DataView(frame.buffer);
    frame[0] = 0x80 | opcode;
    frame[1] = 0x80 | (extended === 0 ? length : extended === 2 ? 126 : 127);
    if (extended === 2) view.setUint16(2, length);
    if (extended === 8) view.setBigUint64(2, BigInt(length));
    const mask = crypto.getRandomValues(frame.subarray(header - 4, header));
    for (let at = 0; at < length; at += 1) {
        frame[header + at] = (payload[at] ?? 0) ^ (mask[at & 3] ?? 0);
    }
    return frame;
}

/** Reads a server's frames out of bytes as they come. */
export class FrameReader {
    readonly #bytes = new ByteQueue();
    #header: { fin: boolean; opcode: number; length: number } | undefined;

    push(chunk: Uint8Array): void {
        this.#bytes.push(chunk);
    }

    /** The next frame, of at most `limit` bytes; undefined when more bytes are needed. */
    next(limit: number): Frame | undefined {
        this.#header ??= this.#readHeader(limit);
        if (this.#header === undefined || this.#bytes.length < this.#header.length)
            return undefined;
        const { fin, opcode, length } = this.#header;
        this.#header = undefined;
        return { fin, opcode, payload: this.#bytes.take(length) };
    }

    #readHeader(limit: number) {
        const start = this.#bytes.peek(MAX_HEADER);
        if (start.length < 2) return undefined;
        const [first = 0, second = 0] = start;
        const fin = (first & 0x80) !== 0;
        const opcode = first & 0x0f;
        if ((first & 0x70) !== 0) throw new ProtocolViolation(1002, "a reserved bit is set");
        if ((second & 0x80) !== 0)
            throw new ProtocolViolation(1002, "a frame of the server is masked");
        const short = second & 0x7f;
        const extended = short === 126 ? 2 : short === 127 ? 8 : 0;
        if (start.length < 2 + extended) return undefined;
        const view = new DataView(start.buffer, start.byteOffset);
        const length =
            extended === 2
                ? view.getUint16(2)
                : extended === 8
                  ? Number(view.getBigUint64(2))
                  : short;
        checkFrame(fin, opcode, length);
        if ((extended === 2 && length < 126) || (extended === 8 && length < 65_536)) {
            throw new ProtocolViolation(1002, "a length is not in its shortest form");
        }
        if (opcode < Opcode.close && length > limit)
            throw new ProtocolViolation(1009, "a message is too long");
        this.#bytes.take(2 + extended);
        return { fin, opcode, length };
    }
}

function checkFrame(fin: boolean, opcode: number, length: number): void {
    const isControl = opcode >= Opcode.close;
    const isKnown = isControl ? opcode <= Opcode.pong : opcode <= Opcode.binary;
    if (!isKnown) throw new ProtocolViolation(1002, "an opcode is unknown");
    if (isControl && (!fin || length > MAX_CONTROL))
        throw new ProtocolViolation(1002, "a control frame is malformed");
}
