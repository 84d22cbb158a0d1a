import { type ErrorCode, type Stage, SteveError } from "./errors.js";
import { makeReport } from "./report.js";
import type * as generated from "./generated/core/steve_wasm.js";

/** The WebAssembly core, loaded. */
export type Core = Pick<
    typeof generated,
    | "Appraiser"
    | "EarlyHandshake"
    | "EventKind"
    | "Fault"
    | "Handshake"
    | "Policy"
    | "challenge"
    | "closeStatus"
>;

export type {
    Appraisal as CoreAppraisal,
    Appraiser,
    EarlyHandshake,
    Enclave,
    Policy,
    Session,
    Stream,
} from "./generated/core/steve_wasm.js";

/** Numbers of the core's `EventKind`. */
export const Kind = { none: 0, informational: 1, head: 2, data: 3, trailers: 4, reset: 5 } as const;

/** Calls the core; turns what it throws into an error of this stage. */
export function guarded<T>(core: Core, stage: Stage, call: () => T): T {
    try {
        return call();
    } catch (thrown) {
        throw thrown instanceof core.Fault ? fromFault(thrown, stage) : coreFailed(thrown, stage);
    }
}

function fromFault(fault: generated.Fault, stage: Stage): SteveError {
    const { code, message, report, notProven } = fault;
    fault.free();
    const details = report.length > 0 ? { report: makeReport(report, notProven) } : {};
    return new SteveError(code as ErrorCode, stage, message, details);
}

/** A trap, for example without random numbers: the core must not be used further. */
function coreFailed(thrown: unknown, stage: Stage): SteveError {
    return new SteveError("internal", stage, "the WebAssembly core failed", { cause: thrown });
}
