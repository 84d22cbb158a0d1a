import { SteveError } from "./errors.js";
import type { Prepared } from "./request.js";

/** How often a request is tried in total. */
const MAX_ATTEMPTS = 3;
const BACK_OFF_MS = 200;

const TRANSIENT_STATUS = new Set([408, 422, 502, 503, 504]);
const UNREACHABLE = new Set(["ECONNREFUSED", "ENOTFOUND", "EHOSTUNREACH", "ENETUNREACH"]);

/** What is known of a failed attempt. */
export interface Attempt {
    /** Counted from 1. */
    readonly number: number;
    /** A byte of the stream may have left the client. */
    readonly sent: boolean;
    /** May be sent again although the app may have got it: by method or by the caller's word. */
    readonly repeatable: boolean;
    /** The whole body can be sent, once more if it was sent. */
    readonly replayable: boolean;
}

/**
 * Decides on the failure of an attempt that gave no response head (SPEC.md, Section 13.4): after
 * how many milliseconds to try again; undefined for never.
 */
export function retryDelay(attempt: Attempt, error: unknown): number | undefined {
    if (!(error instanceof SteveError)) return undefined;
    if (attempt.number >= MAX_ATTEMPTS || !attempt.replayable) return undefined;
    const mayRepeat = !attempt.sent || attempt.repeatable || error.notDispatched;
    return mayRepeat && isTransient(error) ? delay(attempt.number, error) : undefined;
}

/**
 * True for requests that a repetition does no harm to: by the caller's word, or by a safe method (RFC
 * 9110, Section 9.2.1), which does not count if the request asks for an upgrade.
 */
export function isRepeatable({ method, idempotent, upgrade }: Prepared): boolean {
    return idempotent || (isSafe(method) && upgrade === undefined);
}

/** True for a safe method (RFC 9110, Section 9.2.1). */
export function isSafe(method: string): boolean {
    return ["GET", "HEAD", "OPTIONS", "TRACE"].includes(method);
}

/** True when the session must not be used for further streams. */
export function endsSession(error: unknown): boolean {
    if (!(error instanceof SteveError)) return false;
    switch (error.code) {
        case "outer-status":
            if (error.stage !== "request") return false;
            // An intermediary's own: it does not reach the enclave.
            return error.status === 422 || (isUnavailable(error) && error.hint !== "unavailable");
        case "reset":
            return ["session-ending", "draining", "limit"].includes(error.reset ?? "");
        case "truncated":
        case "tampered":
        case "key-limit":
            return true;
        default:
            return false;
    }
}

/**
 * True when the enclave may have been restarted, has changed its keys since it was verified, or is
 * shutting down.
 */
export function wantsNewEvidence(error: unknown): boolean {
    if (!(error instanceof SteveError)) return false;
    return (
        error.code === "handshake-evidence-expired" ||
        (error.code === "outer-status" && error.status === 422) ||
        isUnavailable(error)
    );
}

/** True when an intermediary does not reach the enclave, or it serves nobody now. */
export function isUnavailable(error: unknown): boolean {
    if (!(error instanceof SteveError) || error.code !== "outer-status") return false;
    return error.status === 502 || error.status === 503 || error.status === 504;
}

/** Could another attempt fare better? */
function isTransient(error: SteveError): boolean {
    switch (error.code) {
        case "transport":
            return !isUnreachable(error.cause);
        case "outer-status":
            // By then the handshake was tried with new evidence.
            if (error.stage === "handshake" && error.status === 422) return false;
            return TRANSIENT_STATUS.has(error.status ?? 0);
        case "truncated":
            return true;
        case "reset":
            return error.notDispatched || ["truncated", "limit"].includes(error.reset ?? "");
        default:
            return false;
    }
}

function delay(number: number, error: SteveError): number {
    const atOnce =
        error.code === "outer-status"
            ? error.status === 422
            : error.code !== "reset" || ["session-ending", "limit"].includes(error.reset ?? "");
    return atOnce ? 0 : BACK_OFF_MS * number;
}

/** Node says when no connection was made at all. */
function isUnreachable(cause: unknown): boolean {
    for (let error = cause; error instanceof Error; error = error.cause) {
        if ("code" in error && UNREACHABLE.has(String(error.code))) return true;
    }
    return false;
}
