import { type Core, guarded, type Policy as CorePolicy } from "./core.js";
import { SteveError } from "./errors.js";
import type { Pin, PinStore } from "./pin-store.js";
import { type Profile, parseProfiles } from "./profiles.js";

/**
 * Which enclaves to accept; one of
 *
 * - pinned profiles: the enclave must satisfy one of them, as a whole. `profiles` takes what a JSON
 *   file of PCRs holds: a profile, or a list of them.
 * - trust on first use: records the first enclave met under the origin, and accepts no other later.
 *   Nothing vouches for the first one; prefer pinned profiles.
 */
export type Policy =
    | {
          /** The profiles: the enclave must satisfy one of them. */
          readonly profiles: Profile | readonly Profile[];
          /** Not together with `profiles`. */
          readonly trustOnFirstUse?: never;
      }
    | {
          /** Where the first enclave is recorded. */
          readonly trustOnFirstUse: PinStore;
          /** Not together with `trustOnFirstUse`. */
          readonly profiles?: never;
      };

/** A policy that has been checked. */
export type CheckedPolicy = { readonly pinned: CorePolicy } | { readonly store: PinStore };

/** Checks a policy. */
export function checkPolicy(core: Core, policy: Policy | undefined): CheckedPolicy {
    if (typeof policy !== "object" || policy === null) {
        throw invalid(
            "no policy: pin the measurements of the enclave, or give a store for first use",
        );
    }
    const { profiles, trustOnFirstUse } = policy;
    if ((profiles === undefined) === (trustOnFirstUse === undefined)) {
        throw invalid("give either pinned profiles or a store for trust on first use");
    }
    if (trustOnFirstUse !== undefined) return { store: trustOnFirstUse };
    const parsed = parseProfiles(profiles);
    if (parsed.length === 0) throw invalid("a policy needs at least one profile");
    return guarded(core, "setup", () => {
        const pinned = core.Policy.pinned();
        for (const { registers, values } of parsed) pinned.addProfile(registers, values);
        return { pinned };
    });
}

/** The core's policy for what is on record. */
export function recordedPolicy(core: Core, pin: Pin | undefined): CorePolicy {
    if (pin === undefined) return core.Policy.firstUse();
    const registers = Uint8Array.from(Object.keys(pin.pcrs), Number);
    return guarded(core, "evidence", () =>
        core.Policy.knownSince(pin.firstSeen, registers, Object.values(pin.pcrs)),
    );
}

function invalid(message: string): SteveError {
    return new SteveError("invalid-policy", "setup", message);
}
