import { Failed } from "../attempt.js";
import type { Core } from "../core.js";
import { Exchange, MAX_CONTENT } from "../exchange.js";
import type { Prepared } from "../request.js";
import type { Scope } from "../scope.js";
import { sendRepeatedly } from "../send.js";
import type { Sessions } from "../sessions.js";
import type { Transport } from "../transport.js";
import { sendFrames } from "../tunnel.js";
import type { ByteDuplex } from "./connection.js";
import { checkAnswer, makeKey } from "./handshake.js";

/** What WebSockets of a client run over. */
export interface Channel {
    readonly core: Core;
    readonly origin: string;
    readonly transport: Transport;
    readonly sessions: Sessions;
    /** Aborted when the client is closed. */
    readonly work: Scope;
}

/** An upgraded stream. */
export interface Opened {
    readonly duplex: ByteDuplex;
    readonly protocol: string;
}

/** The opening handshake, in a stream of its own (SPEC.md, Section 10.6). */
export async function openUpgraded(
    channel: Channel,
    url: URL,
    protocols: readonly string[],
    scope: Scope,
): Promise<Opened> {
    const key = makeKey();
    const request = upgradeRequest(url, key, protocols);
    return sendRepeatedly(channel.sessions, request, scope, async (ticket, attemptScope) => {
        const exchange = new Exchange(channel.core, ticket, attemptScope);
        try {
            return await handshake(channel, exchange, request, key, protocols);
        } catch (thrown) {
            const error = exchange.cause(thrown);
            exchange.abort(error);
            throw new Failed(error, exchange.sent);
        }
    });
}

async function handshake(
    { transport }: Channel,
    exchange: Exchange,
    request: Prepared,
    key: string,
    protocols: readonly string[],
): Promise<Opened> {
    const { route } = exchange.session.trusted;
    const tunnel = await transport.tunnel(route, exchange.scope.signal);
    exchange.receive(tunnel.readable.getReader(), tunnel);
    await tunnel.send(exchange.take());
    exchange.head(request, false);
    await tunnel.send(exchange.take());
    const protocol = await checkAnswer(await exchange.nextHead(undefined), key, protocols);
    const send = (data: Uint8Array, fin: boolean) => {
        exchange.data(data, fin);
        return sendFrames(tunnel, exchange.take());
    };
    let ended = false;
    const duplex: ByteDuplex = {
        async read() {
            if (ended) return undefined;
            const { data, fin } = await exchange.nextPiece().catch((error: unknown) => {
                throw exchange.cause(error);
            });
            ended = fin;
            return data;
        },
        async write(bytes) {
            for (let at = 0; at < bytes.length; at += MAX_CONTENT) {
                await send(bytes.subarray(at, at + MAX_CONTENT), false);
            }
        },
        end: () => send(new Uint8Array(), true),
        abort: () => exchange.abort(new DOMException("the WebSocket is over", "AbortError")),
    };
    return { duplex, protocol };
}

function upgradeRequest(url: URL, key: string, protocols: readonly string[]): Prepared {
    const headers = new Headers({ "sec-websocket-key": key, "sec-websocket-version": "13" });
    if (protocols.length > 0) headers.set("sec-websocket-protocol", protocols.join(", "));
    const page = (globalThis as { location?: { origin?: string } }).location?.origin;
    if (page !== undefined && page !== "null") headers.set("origin", page);
    return {
        url,
        method: "GET",
        headers,
        body: { kind: "none" },
        redirect: "manual",
        signal: null,
        idempotent: false,
        early: false,
        onInformational: undefined,
        trailers: undefined,
        upgrade: "websocket",
    };
}
