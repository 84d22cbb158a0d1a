import { Failed } from "./attempt.js";
import type { Prepared } from "./request.js";
import { isRepeatable, retryDelay } from "./retry.js";
import { Scope } from "./scope.js";
import type { Ticket } from "./session.js";
import type { Sessions } from "./sessions.js";

/** Sends a request, again if a rule allows it. `attempt` throws `Failed`. */
export async function sendRepeatedly<T>(
    sessions: Sessions,
    request: Prepared,
    scope: Scope,
    attempt: (ticket: Ticket, scope: Scope) => Promise<T>,
): Promise<T> {
    const repeatable = isRepeatable(request);
    for (let number = 1; ; number += 1) {
        // A stream is there until it is read.
        let replayable = true;
        try {
            const ticket = await sessions.ticket(scope);
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
