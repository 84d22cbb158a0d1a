import { Clock } from "./clock.js";
import {
    type Appraiser,
    type Core,
    type CoreAppraisal,
    type Enclave,
    guarded,
    type Policy as CorePolicy,
} from "./core.js";
import { describe, type VerifiedEnclave } from "./enclave.js";
import { SteveError } from "./errors.js";
import type { Pin, PinStore } from "./pin-store.js";
import { type CheckedPolicy, recordedPolicy } from "./policy.js";
import { Signatures } from "./signatures.js";
import type { Transport } from "./transport.js";

/** How evidence is appraised. */
export interface AppraisalOptions {
    readonly policy: CheckedPolicy;
    readonly origin: string;
    readonly maxEvidenceAge: number | undefined;
    readonly maxClockSkew: number | undefined;
    /** SHA-256 of a root that is not AWS's; only the dangerous build of the core takes one. */
    readonly dangerousRoot: Uint8Array | undefined;
}

/** A verified enclave. */
interface Appraised {
    readonly enclave: Enclave;
    readonly info: VerifiedEnclave;
}

/** The same, and the clock that its validity counts on. */
export interface Trusted extends Appraised {
    readonly clock: Clock;
    /** The query of all requests to it. */
    readonly route: string;
    /** It has rejected an early request, or one did not get through. */
    rejectsEarly: boolean;
}

/** True while handshakes may be started. */
export function isValid({ info, clock }: Trusted): boolean {
    return clock.now() < info.validUntil;
}

/** Fetches evidence for fresh challenges and appraises it. */
export class Appraisal {
    readonly #core: Core;
    readonly #options: AppraisalOptions;
    readonly #signatures = new Signatures();

    constructor(core: Core, options: AppraisalOptions) {
        this.#core = core;
        this.#options = options;
    }

    async fetch(transport: Transport, signal: AbortSignal): Promise<Trusted> {
        const challenge = guarded(this.#core, "evidence", () => this.#core.challenge());
        const clock = new Clock();
        const sent = clock.now();
        const { evidence, route } = await transport.evidence(challenge, signal);
        const appraise = (policy: CorePolicy) =>
            this.#appraise(policy, (appraiser) =>
                appraiser.begin(evidence, challenge, sent, this.#options.origin, clock.now()),
            );
        const { policy } = this.#options;
        const appraised =
            "pinned" in policy
                ? await appraise(policy.pinned)
                : await this.#onFirstUse(policy.store, clock, appraise);
        return { ...appraised, clock, route, rejectsEarly: false };
    }

    /** The record is durable before the enclave is used. */
    async #onFirstUse(
        store: PinStore,
        clock: Clock,
        appraise: (policy: CorePolicy) => Promise<Appraised>,
    ): Promise<Appraised> {
        const { origin } = this.#options;
        const recorded = async (pin: Pin | undefined) => {
            const policy = recordedPolicy(this.#core, pin);
            try {
                return await appraise(policy);
            } finally {
                policy.free();
            }
        };
        const appraised = await recorded(await fromStore(store.load(origin)));
        const { pcrs, trust } = appraised.info;
        if (trust.kind !== "first-use") return appraised;
        const pin = {
            firstSeen: Math.floor(clock.now()),
            pcrs: { 0: pcrs[0] ?? "", 1: pcrs[1] ?? "", 2: pcrs[2] ?? "" },
        };
        const found = await fromStore(store.record(origin, pin));
        if (isSame(found, pin)) return appraised;
        // Somebody else recorded a pin in the meantime: that one counts.
        appraised.enclave.free();
        return recorded(found);
    }

    /** The core has the rules, and the platform verifies signatures for it. */
    async #appraise(
        policy: CorePolicy,
        begin: (appraiser: Appraiser) => CoreAppraisal,
    ): Promise<Appraised> {
        const { maxEvidenceAge, maxClockSkew, dangerousRoot } = this.#options;
        const appraisal = guarded(this.#core, "evidence", () => {
            const appraiser = new this.#core.Appraiser(policy, maxEvidenceAge, maxClockSkew);
            try {
                if (dangerousRoot !== undefined) trustRoot(appraiser, dangerousRoot);
                return begin(appraiser);
            } finally {
                appraiser.free();
            }
        });
        const verdicts = await this.#signatures.verdictsOn(appraisal.signatures());
        const enclave = guarded(this.#core, "evidence", () => appraisal.finish(verdicts));
        return { enclave, info: describe(enclave) };
    }
}

function trustRoot(appraiser: Appraiser, sha256: Uint8Array): void {
    const dangerous = appraiser as { dangerousTrustRoot?: (sha256: Uint8Array) => void };
    if (typeof dangerous.dangerousTrustRoot !== "function") {
        throw new SteveError("invalid-options", "setup", "this build trusts AWS's root only");
    }
    dangerous.dangerousTrustRoot(sha256);
}

async function fromStore<T>(result: Promise<T>): Promise<T> {
    try {
        return await result;
    } catch (cause) {
        throw new SteveError(
            "pin-store",
            "evidence",
            "the store of pins failed; make it readable and writable",
            {
                cause,
            },
        );
    }
}

function isSame(a: Pin, b: Pin): boolean {
    const registers = Object.keys(a.pcrs);
    return (
        a.firstSeen === b.firstSeen &&
        registers.length === Object.keys(b.pcrs).length &&
        registers.every((register) => a.pcrs[register] === b.pcrs[register])
    );
}
