import { isValid, type Trusted } from "./appraisal.js";
import type { Session as CoreSession, Stream } from "./core.js";
import { MAX_TIMER_MS } from "./scope.js";

/** Streams a client has open at once, whatever the proxy allows. */
const MAX_STREAMS = 512;
/**
 * How far the ids of streams that are opening may lie apart; the proxy's window is larger (SPEC.md,
 * Section 9.1).
 */
const MAX_SPREAD = 1000;

/**
 * How long a session is used before it is known that the proxy has dispatched a stream of it:
 * milliseconds. The proxy drops it after twice this time (SPEC.md, Section 8.3).
 */
const UNCONFIRMED_MS = 30_000;
/**
 * The same for a request that fails if the session is gone, on a session that began with another
 * request: a flood of handshakes can displace it earlier (SPEC.md, Section 12.3).
 */
const UNCONFIRMED_ONCE_MS = 2_000;

/** A stream on a session that it keeps busy. */
export interface Ticket {
    readonly session: Session;
    readonly stream: Stream;
    /** To be called when the proxy has answered the stream, or the stream is over. */
    readonly opened: () => void;
}

/** An established session, and when to stop using it. */
export class Session {
    readonly trusted: Trusted;
    readonly id: string;
    readonly suite: string;
    readonly #core: CoreSession;
    readonly #started: number;
    readonly #lifetime: number;
    readonly #idleTimeout: number;
    readonly #limit: number;
    readonly #early: boolean;
    /** In ascending order, as they were opened. */
    readonly #opening = new Set<number>();
    readonly #waiting: ((permitted: boolean) => void)[] = [];
    #lastFrame: number;
    #open = 0;
    #ended = false;
    /** False as long as the proxy may drop the session soon. */
    #confirmed = false;
    #freed = false;

    /**
     * `started` is when the ClientHello was sent: the proxy's clock starts later. `early` says that
     * a request went along.
     */
    constructor(core: CoreSession, trusted: Trusted, started: number, early: boolean) {
        this.trusted = trusted;
        this.id = core.id();
        this.suite = core.suite();
        this.#core = core;
        this.#started = started;
        this.#lifetime = core.lifetime();
        this.#idleTimeout = core.idleTimeout();
        this.#limit = Math.min(core.maxStreams(), MAX_STREAMS);
        this.#lastFrame = started;
        this.#early = early;
    }

    /**
     * Waits until the proxy's limit allows one more stream; false when the session ends before.
     * `once`, here and below: the request must not be sent again when nobody knows what became of
     * it.
     */
    permit(once: boolean): Promise<boolean> {
        if (this.#ended) return Promise.resolve(false);
        if (this.#open < this.#limit) {
            this.#open += 1;
            return Promise.resolve(true);
        }
        return new Promise((resolve) => {
            const remaining = Math.min(this.#remaining(once), MAX_TIMER_MS);
            const timer = setTimeout(() => this.end(), remaining);
            this.#waiting.push((permitted) => {
                clearTimeout(timer);
                resolve(permitted);
            });
        });
    }

    /** Gives a permit back. */
    release(): void {
        const next = this.#waiting.shift();
        if (next !== undefined) return next(true);
        this.#open -= 1;
        this.#freeIfUnused();
    }

    /**
     * Opens a stream, for which there must be a permit; undefined when it is time for a new
     * session.
     */
    openStream(once: boolean): Ticket | undefined {
        const stream = this.isUsable(once) ? this.#core.openStream() : undefined;
        if (stream === undefined) return undefined;
        const id = stream.id();
        const [oldest = id] = this.#opening;
        if (id - oldest > MAX_SPREAD) {
            stream.free();
            return undefined;
        }
        this.#opening.add(id);
        return { session: this, stream, opened: () => this.#opening.delete(id) };
    }

    /** False when new streams belong on a new session. */
    isUsable(once: boolean): boolean {
        const idle = this.trusted.clock.now() - this.#lastFrame;
        return (
            !this.#ended &&
            this.#remaining(once) > 0 &&
            idle < nineTenths(this.#idleTimeout) &&
            isValid(this.trusted)
        );
    }

    /** The value that the app sees as `steve-session`; undefined when the session has ended. */
    binding(): Uint8Array | undefined {
        return this.#freed ? undefined : this.#core.binding();
    }

    /**
     * Notes the head of a response to a stream other than an early request: if it is the app's, the
     * proxy has confirmed the session.
     */
    answered(headers: Headers): void {
        if (!headers.has("steve-error")) this.#confirmed = true;
    }

    /** Notes that a frame was sent or received. */
    touch(): void {
        this.#lastFrame = this.trusted.clock.now();
    }

    /** No further streams, and nobody waits for one any more; those that are open go on. */
    end(): void {
        this.#ended = true;
        for (const refuse of this.#waiting.splice(0)) refuse(false);
        this.#freeIfUnused();
    }

    /** How long new streams may still be opened, as far as the lifetime goes. */
    #remaining(once: boolean): number {
        const unconfirmed = once && this.#early ? UNCONFIRMED_ONCE_MS : UNCONFIRMED_MS;
        const lifetime = nineTenths(this.#lifetime);
        const use = this.#confirmed ? lifetime : Math.min(lifetime, unconfirmed);
        return this.#started + use - this.trusted.clock.now();
    }

    /** Streams have keys of their own. */
    #freeIfUnused(): void {
        if (!this.#ended || this.#open > 0 || this.#freed) return;
        this.#freed = true;
        this.#core.free();
    }
}

function nineTenths(milliseconds: number): number {
    return milliseconds * 0.9;
}
