import type { Report } from "./report.js";

/** What was being done when an error occurred. */
export type Stage = "setup" | "evidence" | "handshake" | "request" | "response" | "websocket";

/**
 * What went wrong. Codes are stable; new ones may come.
 *
 * `evidence-…` codes name the check of SPEC.md, Section 7 that failed; `evidence-policy` means that
 * an enclave answered which the policy does not admit.
 */
export type ErrorCode =
    | "closed"
    | "invalid-options"
    | "insecure-context"
    | "invalid-policy"
    | "invalid-request"
    | "invalid-response"
    | "request-body"
    | "redirect"
    | "transport"
    | "outer-status"
    | "not-steve"
    | "timeout"
    | "pin-store"
    | "tunnel-unavailable"
    | "websocket-refused"
    | "service-worker"
    | "policy-differs"
    | "truncated"
    | "tampered"
    | "reset"
    | "key-limit"
    | "internal"
    | `evidence-${string}`
    | `handshake-${string}`;

/** What an error knows besides its code. */
export interface ErrorDetails {
    /** The error behind it. */
    cause?: unknown;
    /** `outer-status`: the unauthenticated status. */
    status?: number;
    /** `outer-status`: the unauthenticated error code in the answer. */
    hint?: string;
    /** `reset`: the authenticated reason, a name of SPEC.md, Section 13.2. */
    reset?: string;
    /** True when the enclave says, authenticated, that the app did not get the request. */
    notDispatched?: boolean;
    /** Refused evidence: every check. */
    report?: Report;
}

/**
 * Why there is no connection, no response, or no end of a response.
 *
 * Holds no plaintext and no secrets. `outer-status` and `transport` are unauthenticated: whoever
 * forwards the traffic can cause them, so they are hints and prove nothing.
 */
export class SteveError extends Error {
    /** Stable name of what went wrong. */
    readonly code: ErrorCode;
    /** What was being done. */
    readonly stage: Stage;
    /** `outer-status`: the unauthenticated status. */
    readonly status: number | undefined;
    /** `outer-status`: the unauthenticated error code in the answer. */
    readonly hint: string | undefined;
    /** `reset`: the authenticated reason, a name of SPEC.md, Section 13.2. */
    readonly reset: string | undefined;
    /** True when the enclave says, authenticated, that the app did not get the request. */
    readonly notDispatched: boolean;
    /** Refused evidence: every check, and what is not proven. */
    readonly report: Report | undefined;

    /** An error with this code, of this stage. */
    constructor(code: ErrorCode, stage: Stage, message: string, details: ErrorDetails = {}) {
        super(message, "cause" in details ? { cause: details.cause } : undefined);
        this.name = "SteveError";
        this.code = code;
        this.stage = stage;
        this.status = details.status;
        this.hint = details.hint;
        this.reset = details.reset;
        this.notDispatched = details.notDispatched ?? false;
        this.report = details.report;
    }
}

/** An error for options that make no client. */
export function invalidOptions(message: string): SteveError {
    return new SteveError("invalid-options", "setup", message);
}

/** An error for a request that cannot be sent as it is. */
export function invalidRequest(message: string): SteveError {
    return new SteveError("invalid-request", "request", `the request is not valid: ${message}`);
}

/** An error for a client that was closed. */
export function closedError(stage: Stage): SteveError {
    return new SteveError("closed", stage, "the client was closed");
}

/** An error for an unauthenticated answer other than success. */
export function outerStatus(stage: Stage, status: number, hint: string | undefined): SteveError {
    const code = hint === undefined ? "" : ` (${hint})`;
    const advice = {
        404: "is the origin that of a STEVE service?",
        405: "is the origin that of a STEVE service?",
        422: "the enclave may have been restarted",
        503: "it is overloaded or not ready, try again later",
    }[status];
    const message = `the server answered HTTP ${status} at the stage "${stage}"${code}`;
    return new SteveError("outer-status", stage, advice ? `${message}; ${advice}` : message, {
        status,
        ...(hint === undefined ? {} : { hint }),
    });
}

/** True for a code that can be shown to a person. */
export function isPlainCode(code: unknown): code is string {
    return typeof code === "string" && /^[a-z0-9_]{1,40}$/.test(code);
}

/** An error for a network that failed. */
export function transportError(stage: Stage, cause: unknown): SteveError {
    return new SteveError("transport", stage, `the connection failed at the stage "${stage}"`, {
        cause,
    });
}
