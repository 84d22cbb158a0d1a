/** The longest time that a timer takes: a longer one would be none at all. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * What one operation may still do. Ends with the scope it is a part of, with the caller's signal,
 * or with a timeout.
 */
export class Scope {
    readonly #controller = new AbortController();
    readonly #parts = new Set<Scope>();
    readonly #undo = new Set<() => void>();

    constructor(whole?: Scope, signal?: AbortSignal | null) {
        if (whole !== undefined) {
            if (whole.signal.aborted) {
                this.abort(whole.signal.reason);
                return;
            }
            whole.#parts.add(this);
            this.#undo.add(() => whole.#parts.delete(this));
        }
        if (signal) {
            if (signal.aborted) {
                this.abort(signal.reason);
                return;
            }
            this.#undo.add(listen(signal, this));
        }
    }

    /** To be given to what can be aborted. */
    get signal(): AbortSignal {
        return this.#controller.signal;
    }

    /** Aborts what is under way, with this reason. */
    abort(reason: unknown): void {
        this.end();
        this.#controller.abort(reason);
        for (const part of [...this.#parts]) part.abort(reason);
    }

    /** Aborts with `error()` after a time; gives a function that prevents that. */
    timeout(milliseconds: number | undefined, error: () => unknown): () => void {
        if (milliseconds === undefined || this.signal.aborted) return () => undefined;
        const timer = setTimeout(() => this.abort(error()), Math.min(milliseconds, MAX_TIMER_MS));
        const clear = () => {
            clearTimeout(timer);
            this.#undo.delete(clear);
        };
        this.#undo.add(clear);
        return clear;
    }

    /** `promise`, or a rejection as soon as the scope is aborted. */
    race<T>(promise: Promise<T>): Promise<T> {
        return race(promise, this.signal);
    }

    /** Only `abort` ends it from now on. */
    end(): void {
        for (const undo of this.#undo) undo();
        this.#undo.clear();
    }
}

/** `promise`, or a rejection as soon as the signal says so: not every platform heeds it at once. */
export function race<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
        const abort = () => reject(signal.reason);
        if (signal.aborted) abort();
        else signal.addEventListener("abort", abort, { once: true });
        promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
    });
}

/** Callers share a signal among many requests: it gets one listener for all of them. */
const listening = new WeakMap<AbortSignal, Set<Scope>>();

function listen(signal: AbortSignal, scope: Scope): () => void {
    const known = listening.get(signal);
    if (known !== undefined) {
        known.add(scope);
    } else {
        const scopes = new Set([scope]);
        listening.set(signal, scopes);
        const abort = () => {
            for (const each of [...scopes]) each.abort(signal.reason);
        };
        signal.addEventListener("abort", abort, { once: true });
    }
    return () => {
        listening.get(signal)?.delete(scope);
    };
}
