/** One array of several; the same one if there is only one. */
export function concatenate(chunks: readonly Uint8Array[]): Uint8Array {
    const [first] = chunks;
    if (first !== undefined && chunks.length === 1) return first;
    const whole = new Uint8Array(chunks.reduce((length, chunk) => length + chunk.length, 0));
    let at = 0;
    for (const chunk of chunks) {
        whole.set(chunk, at);
        at += chunk.length;
    }
    return whole;
}

/** Bytes that come in pieces, and are taken in others. Holds copies: small pieces cost no more. */
export class ByteQueue {
    #bytes = new Uint8Array();
    #from = 0;
    #to = 0;

    get length(): number {
        return this.#to - this.#from;
    }

    push(piece: Uint8Array): void {
        if (this.#to + piece.length > this.#bytes.length) this.#grow(this.length + piece.length);
        this.#bytes.set(piece, this.#to);
        this.#to += piece.length;
    }

    /** The first `length` bytes, or all if there are fewer. They stay, and are valid until `push`. */
    peek(length: number): Uint8Array {
        return this.#bytes.subarray(this.#from, Math.min(this.#to, this.#from + length));
    }

    /** Takes the first `length` bytes, which must be there. */
    take(length: number): Uint8Array {
        const taken = this.peek(length).slice();
        this.#from += length;
        if (this.length === 0) {
            this.#bytes = new Uint8Array();
            this.#from = this.#to = 0;
        }
        return taken;
    }

    #grow(needed: number): void {
        const kept = this.peek(this.length);
        this.#bytes = new Uint8Array(Math.max(needed, 2 * kept.length));
        this.#bytes.set(kept);
        this.#from = 0;
        this.#to = kept.length;
    }
}
