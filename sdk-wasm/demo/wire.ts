import { element, make } from "./element.js";

/** Most pieces shown, and most bytes shown of one unless there is something to be marked further on. */
const MAX_SHOWN = 200;
const MAX_DUMP = 384;
/** Most bytes kept of each direction to be searched. */
const MAX_KEPT = 1 << 20;

interface Piece {
    readonly up: boolean;
    readonly bytes: Uint8Array;
}

/** What the host sees, live. */
export class Wire {
    readonly #log = element("wire", HTMLElement);
    readonly #counts = element("counts", HTMLElement);
    readonly #verdict = element("verdict", HTMLElement);
    #seen = { up: "", down: "" };
    #sizes = { up: 0, down: 0 };
    #needles: readonly string[] = [];
    #missed = false;
    #last = 0;

    /** Resolves when the host is watched. */
    open(): Promise<void> {
        const source = new EventSource("/host");
        source.onmessage = ({ data }: MessageEvent<string>) => this.#see(parse(data));
        source.addEventListener("missed", () => (this.#missed = true));
        return new Promise((resolve) => source.addEventListener("open", () => resolve()));
    }

    /** Forgets what was seen; `needles` are marked in what comes. */
    begin(needles: readonly string[]): void {
        this.#seen = { up: "", down: "" };
        this.#sizes = { up: 0, down: 0 };
        this.#missed = false;
        this.#needles = needles.map(latin);
        this.#log.replaceChildren();
        this.#counts.textContent = "";
        this.#say("", "Looking …");
    }

    /** Resolves when nothing has come for a moment. */
    async settled(): Promise<void> {
        do await new Promise((resolve) => setTimeout(resolve, 300));
        while (performance.now() - this.#last < 300);
    }

    /** Says whether any of this went by in plain sight. */
    judge(needles: readonly string[]): void {
        const wanted = needles.filter((needle) => needle.length > 0).map(latin);
        const { up, down } = this.#seen;
        const found = wanted.find((needle) => up.includes(needle) || down.includes(needle));
        const size = this.#sizes.up + this.#sizes.down;
        if (found !== undefined)
            this.#say("bad", "The host reads what you wrote: it is marked below.");
        else if (this.#missed || size > MAX_KEPT)
            this.#say("", "Too many bytes to be searched here.");
        else if (size === 0) this.#say("", "Nothing was sent through the host.");
        else {
            const what =
                wanted.length === 1
                    ? "your message is"
                    : `your message and ${wanted.length - 1} words of the answer are`;
            this.#say("good", `Searched ${size} bytes: ${what} not in them.`);
        }
    }

    #say(state: string, text: string): void {
        this.#verdict.dataset.state = state;
        this.#verdict.textContent = text;
    }

    #see({ up, bytes }: Piece): void {
        const way = up ? "up" : "down";
        this.#last = performance.now();
        this.#sizes[way] += bytes.length;
        const text = String.fromCharCode(...bytes);
        this.#seen[way] = (this.#seen[way] + text).slice(-MAX_KEPT);
        this.#counts.textContent = `${this.#sizes.up} bytes to the enclave, ${this.#sizes.down} bytes back.`;
        const atEnd = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < 40;
        const title = make(
            "p",
            `${up ? "→ to the enclave" : "← from the enclave"}, ${bytes.length} bytes`,
        );
        title.dataset.way = way;
        this.#log.append(title, this.#dump(text));
        while (this.#log.childElementCount > 2 * MAX_SHOWN) this.#log.firstElementChild?.remove();
        if (atEnd) this.#log.scrollTop = this.#log.scrollHeight;
    }

    /** Readable characters, and dots for what is none; with what should not be there marked. */
    #dump(text: string): HTMLElement {
        const shown = make("pre");
        const ends = this.#needles.map((needle) => text.indexOf(needle) + needle.length);
        const length = Math.max(MAX_DUMP, ...ends);
        let rest = text.slice(0, length);
        for (const needle of this.#needles.filter((each) => rest.includes(each))) {
            const [before = "", ...after] = rest.split(needle);
            shown.append(readable(before), make("mark", utf8(needle)));
            rest = after.join(needle);
        }
        shown.append(readable(rest));
        if (text.length > length) shown.append(" …");
        return shown;
    }
}

function parse(data: string): Piece {
    const { up, bytes } = JSON.parse(data) as { up: boolean; bytes: string };
    return { up, bytes: Uint8Array.from(atob(bytes), (unit) => unit.charCodeAt(0)) };
}

/** The bytes of a text, as a string of units up to 255, to be searched for. */
function latin(text: string): string {
    return String.fromCharCode(...new TextEncoder().encode(text));
}

function utf8(text: string): string {
    return new TextDecoder().decode(Uint8Array.from(text, (unit) => unit.charCodeAt(0)));
}

function readable(text: string): string {
    return text
        .replaceAll("\r\n", "\n")
        .replace(/[^\x20-\x7e\n]/g, "·")
        .replace(/\n+$/, "\n");
}
