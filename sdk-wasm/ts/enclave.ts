import type { Enclave } from "./core.js";
import { makeReport, type Report } from "./report.js";

/** Why the enclave's measurements were accepted. */
export type Trust =
    | {
          /** They satisfy a pinned profile. */
          readonly kind: "pinned";
          /** Which one, counted from 0. */
          readonly profile: number;
          /** The registers that were compared. */
          readonly registers: readonly number[];
      }
    | {
          /** Nothing vouches for them: they were recorded just now. */
          readonly kind: "first-use";
      }
    | {
          /** They are those on record. */
          readonly kind: "known-since";
          /** When they were recorded: milliseconds since 1970. */
          readonly since: number;
          /** The registers that were compared. */
          readonly registers: readonly number[];
      };

/** An enclave whose fresh evidence passed every check. Holds no secrets. */
export interface VerifiedEnclave {
    /** The NSM's name for it: instance id and enclave id. */
    readonly moduleId: string;
    /** Its measurements: 96 hexadecimal digits for each register. */
    readonly pcrs: Readonly<Record<number, string>>;
    /** Why they were accepted. */
    readonly trust: Trust;
    /** Every check, and what is not proven. */
    readonly report: Report;
    /** When the evidence was made: milliseconds since 1970, on the enclave's clock. */
    readonly timestamp: number;
    /** New sessions use it before this time: milliseconds since 1970. */
    readonly validUntil: number;
    /** The effective configuration of the proxy: JSON text, attested. */
    readonly configuration: string;
    /** The app's manifest: any bytes, attested. */
    readonly manifest: Uint8Array;
}

/** What the core says of an enclave. */
export function describe(enclave: Enclave): VerifiedEnclave {
    return Object.freeze({
        moduleId: enclave.moduleId(),
        pcrs: Object.freeze(pcrs(enclave)),
        trust: Object.freeze(trust(enclave)),
        report: makeReport(enclave.report(), enclave.notProven()),
        timestamp: enclave.timestamp(),
        validUntil: enclave.validUntil(),
        configuration: new TextDecoder().decode(enclave.configuration()),
        manifest: enclave.manifest(),
    });
}

function pcrs(enclave: Enclave): Record<number, string> {
    const pcrs: Record<number, string> = {};
    const pairs = enclave.pcrs();
    for (let at = 0; at + 1 < pairs.length; at += 2) pcrs[Number(pairs[at])] = pairs[at + 1] ?? "";
    return pcrs;
}

function trust(enclave: Enclave): Trust {
    const registers = Object.freeze([...enclave.trustedRegisters()]);
    const by = enclave.trustedBy() ?? 0;
    switch (enclave.trust()) {
        case "pinned":
            return { kind: "pinned", profile: by, registers };
        case "known-since":
            return { kind: "known-since", since: by, registers };
        default:
            return { kind: "first-use" };
    }
}
