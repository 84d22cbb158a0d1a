import type { VerifiedEnclave } from "../enclave.js";
import { type ErrorCode, type Stage, SteveError } from "../errors.js";
import type { Report } from "../report.js";
import type { WorkerConfig } from "./config.js";

/** What a page asks of the worker, with a port for the answer. */
export interface Question {
    readonly steve: "status" | "verify" | "claim" | "activate";
}

/** What comes back through the port. */
export type Answer = { readonly value: WorkerStatus } | { readonly error: PlainError };

/** What the worker tells its pages without being asked. */
export type Notice =
    | { readonly steve: "verified"; readonly enclave: VerifiedEnclave }
    | { readonly steve: "session"; readonly id: string; readonly suite: string }
    | { readonly steve: "error"; readonly error: PlainError };

/** How a worker is. */
export interface WorkerStatus extends WorkerConfig {
    /** The release that the worker is from. */
    readonly version: string;
    /**
     * `idle`: it has been started and not been needed yet; `verified`: its last verification held;
     * `refused`: it did not, so every request fails.
     */
    readonly state: "idle" | "verified" | "refused";
    /** The enclave verified last, with its report. */
    readonly enclave: VerifiedEnclave | undefined;
    /** Why there was no channel, the last time there was none. */
    readonly error: PlainError | undefined;
}

/** A `SteveError` as messages carry it. */
export interface PlainError {
    readonly code: string;
    readonly stage: string;
    readonly message: string;
    readonly report: Report | undefined;
}

/** Takes an error apart. */
export function plainError(error: unknown): PlainError {
    if (error instanceof SteveError) {
        const { code, stage, message, report } = error;
        return { code, stage, message, report };
    }
    return {
        code: "internal",
        stage: "setup",
        message: "the service worker failed",
        report: undefined,
    };
}

/** Puts an error together. */
export function steveError({ code, stage, message, report }: PlainError): SteveError {
    return new SteveError(
        code as ErrorCode,
        stage as Stage,
        message,
        report === undefined ? {} : { report },
    );
}
