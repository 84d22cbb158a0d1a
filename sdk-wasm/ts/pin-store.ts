/** What was recorded for an origin on first use. */
export interface Pin {
    /** Milliseconds since 1970. */
    readonly firstSeen: number;
    /** Numbers of registers, and 96 hexadecimal digits for each. */
    readonly pcrs: Readonly<Record<string, string>>;
}

/**
 * Durable memory for trust on first use: one pin per origin.
 *
 * Whoever can change it decides which enclave is trusted. Whoever can empty it brings back the
 * first use, which nothing vouches for: it shows as trust `first-use` in the event `verified`, in
 * the report and in the receipt of every response.
 */
export interface PinStore {
    /**
     * The pin recorded for the origin, undefined if there is none. Rejects when the record cannot
     * be read or is damaged: that is not the same as none.
     */
    load(origin: string): Promise<Pin | undefined>;

    /**
     * Records a pin, atomically, unless there is a record already. Resolves with the pin that is on
     * record afterwards, when that is durable.
     */
    record(origin: string, pin: Pin): Promise<Pin>;
}

/** `value`, if it is a pin. A store gives this for each record it reads. */
export function checkPin(value: unknown, origin: string): Pin {
    if (isPin(value)) return value;
    throw new Error(`the record of ${origin} is damaged; restore it or remove it`);
}

function isPin(value: unknown): value is Pin {
    if (typeof value !== "object" || value === null) return false;
    const { firstSeen, pcrs } = value as Partial<Pin>;
    return (
        Number.isSafeInteger(firstSeen) &&
        typeof pcrs === "object" &&
        pcrs !== null &&
        Object.entries(pcrs).every(
            ([register, digits]) => /^[0-9]{1,2}$/.test(register) && /^[0-9a-f]{96}$/i.test(digits),
        )
    );
}
