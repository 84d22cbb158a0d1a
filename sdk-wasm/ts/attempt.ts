import { bodyLength } from "./body.js";
import { Exchange, type Head } from "./exchange.js";
import type { Core } from "./core.js";
import { SteveError } from "./errors.js";
import type { Prepared } from "./request.js";
import type { Scope } from "./scope.js";
import type { Ticket } from "./session.js";
import type { Transport } from "./transport.js";
import { sendFrames } from "./tunnel.js";

/** Complete bodies up to this many bytes go out in one piece. */
const WHOLE_LIMIT = 1 << 20;

/** An exchange whose response has begun. */
export interface Begun {
    readonly exchange: Exchange;
    readonly head: Head;
}

/** Why an attempt gave no response head. */
export class Failed {
    constructor(
        readonly error: unknown,
        /** A byte of the stream may have left the client. */
        readonly sent: boolean,
    ) {}
}

/** Sends a request; gives the head of its response, or throws `Failed`. */
export async function attempt(
    core: Core,
    transport: Transport,
    ticket: Ticket,
    request: Prepared,
    scope: Scope,
): Promise<Begun> {
    const exchange = new Exchange(core, ticket, scope);
    return begun(exchange, request, () => send(transport, exchange, request));
}

/** Sends, and waits for the head of the response; throws `Failed`. */
export async function begun(
    exchange: Exchange,
    request: Prepared,
    send: () => Promise<void>,
): Promise<Begun> {
    try {
        await send();
        return { exchange, head: await exchange.nextHead(request.onInformational) };
    } catch (thrown) {
        const error = exchange.cause(thrown);
        exchange.abort(error);
        throw new Failed(error, exchange.sent);
    }
}

async function send(transport: Transport, exchange: Exchange, request: Prepared): Promise<void> {
    const { signal } = exchange.scope;
    const { route } = exchange.session.trusted;
    const { body, trailers } = request;
    const length = bodyLength(body);
    if (trailers === undefined && length === 0) {
        exchange.head(request, true);
        return exchange.receive(await transport.stream(exchange.take(), route, signal));
    }
    if (trailers === undefined && body.kind === "bytes" && body.bytes.length <= WHOLE_LIMIT) {
        exchange.head(request, false);
        exchange.data(body.bytes, true);
        return exchange.receive(await transport.stream(exchange.take(), route, signal));
    }
    if (transport.streamsUploads) return sendStream(transport, exchange, request);
    if (length !== undefined) return sendSealed(transport, exchange, request);
    return sendTunnel(transport, exchange, request);
}

/** Seals while the network takes it. */
async function sendStream(
    transport: Transport,
    exchange: Exchange,
    request: Prepared,
): Promise<void> {
    exchange.head(request, false);
    const frames = exchange.upload(request);
    const first = exchange.take();
    const body = new ReadableStream<Uint8Array>(
        {
            start: (controller) => controller.enqueue(first),
            async pull(controller) {
                const { done, value } = await frames.next();
                if (done) controller.close();
                else controller.enqueue(value);
            },
            async cancel() {
                await frames.return();
            },
        },
        { highWaterMark: 0 },
    );
    const { route } = exchange.session.trusted;
    exchange.receive(await transport.stream(body, route, exchange.scope.signal));
}

/** Seals all of it first, where the platform does not send streams. */
async function sendSealed(
    transport: Transport,
    exchange: Exchange,
    request: Prepared,
): Promise<void> {
    exchange.head(request, false);
    const parts: Uint8Array[] = [exchange.take()];
    exchange.sent = false;
    for await (const frame of exchange.upload(request)) parts.push(frame);
    exchange.scope.signal.throwIfAborted();
    exchange.sent = true;
    const body = new Blob(parts as BlobPart[]);
    const { route } = exchange.session.trusted;
    exchange.receive(await transport.stream(body, route, exchange.scope.signal));
}

/** Streams both ways at once through a WebSocket. */
async function sendTunnel(
    transport: Transport,
    exchange: Exchange,
    request: Prepared,
): Promise<void> {
    const { route } = exchange.session.trusted;
    const tunnel = await transport.tunnel(route, exchange.scope.signal);
    exchange.receive(tunnel.readable.getReader(), tunnel);
    await tunnel.send(exchange.take());
    exchange.head(request, false);
    await tunnel.send(exchange.take());
    const upload = async () => {
        for await (const sealed of exchange.upload(request)) await sendFrames(tunnel, sealed);
    };
    // When the tunnel fails, its reader sees that, after what came before.
    upload().catch((error) => error instanceof SteveError && exchange.abort(error));
}
