/**
 * What one operation may still do: ends with the first of several abort signals, or a timeout.
 */
export class Scope {
    readonly #controller = new AbortController();
    readonly #undo = new Set<() => void>();

    constructor(...signals: (AbortSignal | null | undefined)[]) {
        for (const signal of signals) {
            if (!signal) continue;
            if (signal.aborted) {
                this.abort(signal.reason);
                return;
            }
            const abort = () => this.abort(signal.reason);
            signal.addEventListener("abort", abort, { once: true });
            this.#undo.add(() => signal.removeEventListener("abort", abort));
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
    }

    /** Aborts with `error()` after a time; gives a function that prevents that. */
    timeout(milliseconds: number | undefined, error: () => unknown): () => void {
        if (milliseconds === undefined) return () => undefined;
        const timer = setTimeout(() => this.abort(error()), milliseconds);
        const clear = () => {
            clearTimeout(timer);
            this.#undo.delete(clear);
        };
        this.#undo.add(clear);
        return clear;
    }

    /** `promise`, or a rejection as soon as the scope is aborted. */
    race<T>(promise: Promise<T>): Promise<T> {
        const { signal } = this;
        return new Promise((resolve, reject) => {
            const abort = () => reject(signal.reason);
            if (signal.aborted) abort();
            else signal.addEventListener("abort", abort, { once: true });
            promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
        });
    }

    /** Forgets the signals and timers; nothing will abort it any more but `abort`. */
    end(): void {
        for (const undo of this.#undo) undo();
        this.#undo.clear();
    }
}
