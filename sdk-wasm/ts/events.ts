import type { VerifiedEnclave } from "./enclave.js";
import type { SteveError } from "./errors.js";

/** A session that was established. */
export interface SessionInfo {
    /** 32 hexadecimal digits. Not a secret: it is on the wire. */
    readonly id: string;
    /** Name of its suite. */
    readonly suite: string;
    /** The enclave it was established with. */
    readonly enclave: VerifiedEnclave;
}

/** What a client tells its listeners. */
export interface EventMap {
    /** Evidence was fetched, and every check passed. */
    verified: VerifiedEnclave;
    /** A session was established. */
    session: SessionInfo;
    /** A request, the body of a response, or a verification failed for good. */
    error: SteveError;
}

/** Listeners, each by the name of its event. */
export type Listeners = { readonly [Name in keyof EventMap]?: (event: EventMap[Name]) => void };

/** Tells listeners. What a listener throws is its own affair: it is reported as uncaught. */
export class Events {
    readonly #listeners = new Map<keyof EventMap, Set<(event: never) => void>>();

    on<Name extends keyof EventMap>(
        name: Name,
        listener: (event: EventMap[Name]) => void,
    ): () => void {
        const listeners = this.#listeners.get(name) ?? new Set();
        this.#listeners.set(name, listeners);
        // A wrapper, so that the same function can listen twice.
        const entry = (event: EventMap[Name]) => listener(event);
        listeners.add(entry);
        return () => {
            listeners.delete(entry);
        };
    }

    emit<Name extends keyof EventMap>(name: Name, event: EventMap[Name]): void {
        for (const listener of [...(this.#listeners.get(name) ?? [])]) {
            queueMicrotask(() => (listener as (event: EventMap[Name]) => void)(event));
        }
    }
}
