import { type Appraisal, isValid, type Trusted } from "./appraisal.js";
import { type Core, guarded } from "./core.js";
import { SteveError, type Stage } from "./errors.js";
import { type Answered, exchangeEarly, type Offer, PATIENCE_MS, sealEarly } from "./early.js";
import type { Events } from "./events.js";
import { wantsNewEvidence } from "./retry.js";
import { Scope } from "./scope.js";
import { Session, type Ticket } from "./session.js";
import type { Transport } from "./transport.js";

/** Sessions tried for one stream: they can end while a request waits for its turn. */
const MAX_SESSIONS = 8;

/** What sessions are made with. */
export interface SessionsOptions {
    readonly core: Core;
    readonly appraisal: Appraisal;
    readonly transport: Transport;
    readonly suites: readonly string[];
    /** As SPEC.md, Section 9.8 writes it. */
    readonly padding: string;
    /** Time for evidence, and for a handshake: milliseconds. */
    readonly setupTimeout: number;
    readonly events: Events;
    /** Aborted when the client is closed. */
    readonly work: Scope;
}

/** The one session that a client's requests share: made once however many need it. */
export class Sessions {
    readonly #options: SessionsOptions;
    #trusted: Trusted | undefined;
    #session: Session | undefined;
    #establishing: Promise<Session> | undefined;

    constructor(options: SessionsOptions) {
        this.#options = options;
    }

    /** Opens a stream on a session that is good for it. `once` as for `Session.permit`. */
    async ticket(scope: Scope, once: boolean): Promise<Ticket> {
        for (let tries = 0; tries < MAX_SESSIONS; tries += 1) {
            const session = await scope.race(this.session(once));
            const permit = session.permit(once);
            const permitted = await scope.race(permit).catch((error: unknown) => {
                permit.then((late) => late && session.release());
                throw error;
            });
            if (!permitted) continue;
            const ticket = session.openStream(once);
            if (ticket !== undefined) return ticket;
            session.end();
            session.release();
        }
        throw new SteveError("not-steve", "handshake", "sessions end before they can be used");
    }

    /**
     * The current session, or a new one if there is none that is good for new streams: with `offer`
     * along with its handshake, unless that was given up by then.
     */
    async session(once: boolean, offer?: Offer): Promise<Session> {
        if (this.#session?.isUsable(once)) return this.#session;
        this.#session?.end();
        this.#session = undefined;
        this.#establishing ??= this.#establish(offer).finally(() => {
            this.#establishing = undefined;
        });
        return this.#establishing;
    }

    /** Fetches and appraises evidence, and keeps it for new sessions. */
    async fetchTrusted(): Promise<Trusted> {
        const { appraisal, transport, events } = this.#options;
        const trusted = await this.#within("evidence", (signal) =>
            appraisal.fetch(transport, signal),
        );
        this.#trusted = trusted;
        events.emit("verified", trusted.info);
        return trusted;
    }

    /** Erases the session's keys as soon as no stream uses them. */
    close(): void {
        this.#session?.end();
        this.#session = undefined;
        this.#trusted = undefined;
    }

    /** A handshake; with new evidence if that at hand leads nowhere (SPEC.md, Section 13.4). */
    async #establish(offer: Offer | undefined): Promise<Session> {
        const known = this.#trusted;
        const trusted = known !== undefined && isValid(known) ? known : await this.fetchTrusted();
        const session = await this.#first(trusted, offer).catch(async (error: unknown) => {
            if (!wantsNewEvidence(error)) throw error;
            offer?.fail(error);
            return this.#handshake(await this.fetchTrusted());
        });
        const { signal } = this.#options.work;
        if (signal.aborted) {
            session.end();
            throw signal.reason;
        }
        this.#session = session;
        const {
            id,
            suite,
            trusted: { info },
        } = session;
        this.#options.events.emit("session", { id, suite, enclave: info });
        return session;
    }

    /**
     * A handshake with a request behind its ClientHello, or without it if the answer is late:
     * whoever holds answers back until they are complete holds the ServerHello back too.
     */
    async #first(trusted: Trusted, offer: Offer | undefined): Promise<Session> {
        const { core, transport, suites, padding } = this.#options;
        // What was given up must not be sent because others wait for the session.
        const offered = offer === undefined || offer.scope.signal.aborted ? undefined : offer;
        const sealed =
            offered === undefined || trusted.rejectsEarly
                ? undefined
                : sealEarly(core, suites, padding, trusted, offered);
        if (offered === undefined || sealed === undefined) return this.#handshake(trusted);
        const answering = exchangeEarly(core, transport, trusted, offered, sealed);
        let answered: Answered | undefined;
        try {
            answered = await within(answering, PATIENCE_MS);
        } catch (error) {
            if (offered.scope.signal.aborted) return this.#handshake(trusted);
            throw error;
        }
        if (answered !== undefined) {
            const { session, exchange } = answered;
            if (exchange !== undefined) offered.outcome = { kind: "accepted", exchange };
            if (offered.scope.signal.aborted) exchange?.abort(offered.scope.signal.reason);
            return session;
        }
        trusted.rejectsEarly = true;
        const exchange = answering.then(({ session, exchange }) => {
            // There is another one for what comes.
            session.end();
            return exchange;
        });
        // Whoever sent it may have given up.
        exchange.catch(() => undefined);
        offered.outcome = { kind: "late", exchange };
        return this.#handshake(trusted);
    }

    async #handshake(trusted: Trusted): Promise<Session> {
        const { core, transport, suites, padding } = this.#options;
        return this.#within("handshake", async (signal) => {
            const { clock, enclave } = trusted;
            const started = clock.now();
            const handshake = guarded(
                core,
                "handshake",
                () => new core.Handshake(enclave, [...suites], started, padding),
            );
            const hello = handshake.clientHello();
            const length = handshake.serverHelloLength();
            const answer = await transport
                .handshake(hello, trusted.route, length, signal)
                .catch((error: unknown) => {
                    handshake.free();
                    throw error;
                });
            if (signal.aborted) handshake.free();
            signal.throwIfAborted();
            const session = guarded(core, "handshake", () => handshake.finish(answer, clock.now()));
            return new Session(session, trusted, started, false);
        });
    }

    async #within<T>(stage: Stage, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
        const { setupTimeout, work: whole } = this.#options;
        const scope = new Scope(whole);
        scope.timeout(setupTimeout, () => timeoutError(stage, setupTimeout));
        try {
            return await scope.race(work(scope.signal));
        } finally {
            scope.end();
        }
    }
}

/** What a promise gives, undefined if that takes longer. */
async function within<T>(promise: Promise<T>, milliseconds: number): Promise<T | undefined> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<undefined>((resolve) => {
        timer = setTimeout(resolve, milliseconds, undefined);
    });
    try {
        return await Promise.race([promise, late]);
    } finally {
        clearTimeout(timer);
    }
}

/** An error for something that took too long. */
export function timeoutError(stage: Stage, milliseconds: number): SteveError {
    return new SteveError(
        "timeout",
        stage,
        `no progress within ${milliseconds} ms at the stage "${stage}"`,
    );
}
