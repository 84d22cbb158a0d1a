import { Failed } from "./attempt.js";
import { concluded, type Offer } from "./early.js";
import type { Exchange } from "./exchange.js";
import type { Prepared } from "./request.js";
import { isRepeatable, retryDelay } from "./retry.js";
import { Scope } from "./scope.js";
import type { Ticket } from "./session.js";
import type { Sessions } from "./sessions.js";

/** A request that may go along with a handshake. */
export interface Early<T> {
    readonly offer: Offer;
    /** What the request has come to when it was accepted; throws `Failed`. */
    readonly answer: (exchange: Exchange) => Promise<T>;
}

/**
 * Sends a request, again if a rule allows it. `attempt` throws `Failed`. To go along with a handshake
 * counts as being sent, also when the enclave rejects that.
 */
export async function sendRepeatedly<T>(
    sessions: Sessions,
    request: Prepared,
    scope: Scope,
    attempt: (ticket: Ticket, scope: Scope) => Promise<T>,
    early?: Early<T>,
): Promise<T> {
    const repeatable = isRepeatable(request);
    // Once: whatever becomes of it, the next attempt is a stream.
    let first = early;
    for (let number = 1; ; number += 1) {
        // A stream is there until it is read.
        let replayable = true;
        try {
            if (first !== undefined) {
                const { offer, answer } = first;
                first = undefined;
                const session = sessions.session(!repeatable, offer);
                const exchange = await concluded(offer, session, repeatable);
                if (exchange !== undefined) return await answer(exchange);
                if (offer.sent) number += 1;
            }
            const ticket = await sessions.ticket(scope, !repeatable);
            replayable = request.body.kind !== "stream";
            return await attempt(ticket, new Scope(scope));
        } catch (thrown) {
            const { error, sent } = thrown instanceof Failed ? thrown : new Failed(thrown, false);
            scope.signal.throwIfAborted();
            const delay = retryDelay({ number, sent, repeatable, replayable }, error);
            if (delay === undefined) throw error;
            await scope.race(new Promise((resolve) => setTimeout(resolve, delay)));
        }
    }
}
