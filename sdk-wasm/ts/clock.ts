/**
 * Milliseconds since 1970, on a clock that does not go back, and goes on while the machine sleeps
 * wherever one of the platform's two clocks does.
 */
export class Clock {
    readonly #wall = Date.now();
    readonly #began = performance.now();
    #last = this.#wall;

    now(): number {
        const elapsed = this.#wall + (performance.now() - this.#began);
        this.#last = Math.max(this.#last, elapsed, Date.now());
        return this.#last;
    }
}
