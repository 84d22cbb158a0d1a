import { bodyLength } from "./body.js";
import type { Trusted } from "./appraisal.js";
import { Failed } from "./attempt.js";
import { type Core, type EarlyHandshake, guarded, type Stream } from "./core.js";
import { SteveError } from "./errors.js";
import { drain, Exchange, sealHead } from "./exchange.js";
import { fieldLines, type Prepared } from "./request.js";
import { isUnavailable, wantsNewEvidence } from "./retry.js";
import { Scope } from "./scope.js";
import { Session } from "./session.js";
import type { Transport } from "./transport.js";

/**
 * Longest head in characters, and longest body in bytes, that go along with a handshake: a request
 * that is rejected is sent twice.
 */
const MAX_EARLY = 16 * 1024;
/** How long other requests wait for the session of an early one: milliseconds. */
export const PATIENCE_MS = 1_000;

/** The session of a handshake, and the exchange of its early request unless that is rejected. */
export interface Answered {
    readonly session: Session;
    readonly exchange: Exchange | undefined;
}

/** What became of an offer. */
type Outcome =
    /** It goes with no handshake, or nobody knows yet what came of it; or it was rejected. */
    | { readonly kind: "open" }
    /** The ServerHello is late; it is only waited for by the sender of the request. */
    | { readonly kind: "late"; readonly exchange: Promise<Exchange | undefined> }
    /** It is being served as stream 0. */
    | { readonly kind: "accepted"; readonly exchange: Exchange }
    /** Nobody knows; the session was made without it. */
    | { readonly kind: "failed"; readonly error: unknown };

/** A request that goes along with a handshake, if its sender is the one who has to make it. */
export class Offer {
    readonly request: Prepared;
    /** Of the request; the exchange ends with it. */
    readonly scope: Scope;
    outcome: Outcome = { kind: "open" };
    /** A byte of it may have left the client. */
    sent = false;

    constructor(request: Prepared, whole: Scope) {
        this.request = request;
        this.scope = new Scope(whole);
    }

    /** Notes that the session is to be made without the request, if that was sent. */
    fail(error: unknown): void {
        const { outcome } = this;
        // The new session may be with another enclave, and shows nothing about this one.
        const lost = outcome.kind === "late" && isUnavailable(error);
        if (lost) outcome.exchange.then((late) => late?.abort(error)).catch(() => undefined);
        if (lost || (outcome.kind === "open" && this.sent))
            this.outcome = { kind: "failed", error };
    }
}

/** True for a request that is at hand and small. */
export function canBeEarly(request: Prepared): boolean {
    const { body, headers, trailers, upgrade, url } = request;
    if (trailers !== undefined || upgrade !== undefined || headers.has("expect")) return false;
    if (body.kind !== "none" && body.kind !== "bytes") return false;
    const head = fieldLines(request).reduce((sum, line) => sum + line.length, url.href.length);
    return head <= MAX_EARLY && (bodyLength(body) ?? Infinity) <= MAX_EARLY;
}

/** A handshake with a request behind its ClientHello, ready to be sent. */
export interface Sealed {
    readonly handshake: EarlyHandshake;
    readonly stream: Stream;
    readonly body: Uint8Array;
    readonly started: number;
}

/** Seals what goes early; undefined for a request that fails before anything is sent. */
export function sealEarly(
    core: Core,
    suites: readonly string[],
    padding: string,
    { enclave, clock }: Trusted,
    { request }: Offer,
): Sealed | undefined {
    let handshake: EarlyHandshake | undefined;
    let stream: Stream | undefined;
    try {
        const started = clock.now();
        handshake = new core.EarlyHandshake(enclave, [...suites], started, padding);
        stream = handshake.stream();
        if (stream === undefined) return undefined;
        const { body } = request;
        sealHead(stream, request, bodyLength(body) === 0);
        if (body.kind === "bytes" && body.bytes.length > 0) stream.data(body.bytes, true);
        return { handshake, stream, body: stream.take(), started };
    } catch {
        stream?.free();
        handshake?.free();
        return undefined;
    }
}

/** Sends what was sealed, and reads the ServerHello. */
export async function exchangeEarly(
    core: Core,
    transport: Transport,
    trusted: Trusted,
    offer: Offer,
    { handshake, stream, body, started }: Sealed,
): Promise<Answered> {
    const { scope, request } = offer;
    const { clock, route } = trusted;
    let shaken = false;
    try {
        const length = handshake.serverHelloLength();
        offer.sent = true;
        const { hello, rest } = await transport.early(body, route, length, scope.signal);
        scope.signal.throwIfAborted();
        shaken = true;
        const finish = () => handshake.finish(hello, clock.now(), stream);
        const session = new Session(guarded(core, "handshake", finish), trusted, started, true);
        if (!stream.isOpen()) {
            trusted.rejectsEarly = true;
            stream.free();
            drain(rest);
            return { session, exchange: undefined };
        }
        if (!(await session.permit(false))) {
            session.end();
            throw new SteveError("not-steve", "handshake", "the session allows no streams");
        }
        const ticket = { session, stream, opened: () => undefined };
        const exchange = new Exchange(core, ticket, scope);
        exchange.sent = true;
        exchange.requestBytes = bodyLength(request.body) ?? 0;
        exchange.receive(rest);
        return { session, exchange };
    } catch (error) {
        if (!shaken) handshake.free();
        stream.free();
        throw error;
    }
}

/**
 * What became of an offer: its exchange, or undefined when it is to be sent as a stream of the session
 * that there is now. `session` is what was made with it in hand. Throws `Failed`.
 */
export async function concluded(
    offer: Offer,
    session: Promise<Session>,
    repeatable: boolean,
): Promise<Exchange | undefined> {
    const { scope } = offer;
    const failed = (error: unknown) => {
        scope.abort(error);
        return new Failed(error, offer.sent);
    };
    const failure = await scope.race(session).then(
        () => undefined,
        (error: unknown) => ({ error }),
    );
    const { outcome } = offer;
    if (outcome.kind === "late") {
        // It may come when nobody waits any more.
        const late = outcome.exchange.then((exchange) => {
            if (scope.signal.aborted) exchange?.abort(scope.signal.reason);
            return exchange;
        });
        if (failure !== undefined) {
            late.catch(() => undefined);
            throw failed(failure.error);
        }
        return scope.race(late).catch((error: unknown) => {
            if (repeatable && wantsNewEvidence(error)) return undefined;
            throw failed(error);
        });
    }
    if (failure !== undefined) {
        if (outcome.kind === "accepted") outcome.exchange.abort(failure.error);
        throw failed(failure.error);
    }
    if (outcome.kind === "accepted") return outcome.exchange;
    if (outcome.kind === "failed" && !repeatable) throw failed(outcome.error);
    return undefined;
}
