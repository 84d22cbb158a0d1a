import { SteveError } from "./errors.js";

/**
 * Expected measurements: PCR0, PCR1 and PCR2, and others as wanted, each 96 hexadecimal digits.
 *
 * Names are in either case, keys that name no register are ignored. What `nitro-cli` prints, with a
 * member `Measurements`, is a profile too.
 */
export type Profile = Readonly<Record<string, unknown>>;

/** A profile as the core takes it. */
export interface ParsedProfile {
    readonly registers: Uint8Array;
    readonly values: string[];
}

/** Reads a profile, a list of profiles, or `{ profiles: […] }`: what a file of PCRs holds. */
export function parseProfiles(value: unknown): ParsedProfile[] {
    if (Array.isArray(value)) return value.map(parseProfile);
    if (isObject(value) && "profiles" in value) {
        if (!Array.isArray(value.profiles)) throw invalid('"profiles" is no list');
        return value.profiles.map(parseProfile);
    }
    return [parseProfile(value)];
}

function parseProfile(value: unknown): ParsedProfile {
    if (!isObject(value)) throw invalid("it is neither a profile nor a list of profiles");
    const object = "Measurements" in value ? value.Measurements : value;
    if (!isObject(object)) throw invalid('"Measurements" holds no registers');
    const algorithm = object.HashAlgorithm;
    if (algorithm !== undefined && !/^sha384/i.test(String(algorithm))) {
        throw invalid("PCRs are SHA-384, but another hash algorithm is named");
    }
    const registers: number[] = [];
    const values: string[] = [];
    for (const [name, digits] of Object.entries(object)) {
        if (!/^pcr/i.test(name)) continue;
        const register = /^pcr([0-9]{1,2})$/i.exec(name)?.[1];
        if (register === undefined) throw invalid(`"${name}" does not name a PCR`);
        if (typeof digits !== "string")
            throw invalid(`the value of ${name} is not 96 hexadecimal digits`);
        registers.push(Number(register));
        values.push(digits);
    }
    return { registers: Uint8Array.from(registers), values };
}

function isObject(value: unknown): value is Record<string, unknown> {
    return typeof value === "object" && value !== null && !Array.isArray(value);
}

function invalid(message: string): SteveError {
    return new SteveError("invalid-policy", "setup", `the profiles cannot be used: ${message}`);
}
