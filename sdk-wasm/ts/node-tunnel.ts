import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { isPlainCode, outerStatus, type SteveError, transportError } from "./errors.js";
import { httpFor } from "./node-http.js";
import type { OpenTunnel, Tunnel } from "./tunnel.js";
import { type ByteDuplex, Connection } from "./websocket/connection.js";
import { acceptFor, makeKey } from "./websocket/handshake.js";

/** Longest message of a tunnel in bytes (SPEC.md, Section 11.1). */
const MAX_MESSAGE = 65_557;
const MAX_ERROR_LENGTH = 1024;
/** How long a Close may take to be sent: milliseconds. */
const MAX_CLOSE_MS = 1_000;

/** Opens tunnels over Node's own HTTP, with back-pressure both ways. */
export const nodeTunnels: OpenTunnel = async (url, signal) => {
    const key = makeKey();
    const { socket, accept } = await upgrade(url, key, signal);
    if (accept !== (await acceptFor(key))) {
        socket.destroy();
        throw transportError("request", new Error("sec-websocket-accept does not answer the key"));
    }
    return tunnelOver(socket, signal);
};

async function upgrade(url: string, key: string, signal: AbortSignal) {
    const target = new URL(url.replace(/^ws/, "http"));
    const { request } = await httpFor(target.protocol);
    return new Promise<{ socket: Duplex; accept: string | undefined }>((resolve, reject) => {
        const outer = request(target, {
            headers: {
                connection: "Upgrade",
                upgrade: "websocket",
                "sec-websocket-version": "13",
                "sec-websocket-key": key,
            },
            signal,
        });
        const fail = (cause: unknown) => {
            reject(signal.aborted ? signal.reason : transportError("request", cause));
        };
        outer.on("upgrade", (answer, socket, rest) => {
            // It breaks whenever the host likes; whoever reads or writes sees that.
            socket.on("error", () => undefined);
            socket.unshift(rest);
            resolve({ socket, accept: answer.headers["sec-websocket-accept"] });
        });
        outer.on("response", (answer) => {
            refusalIn(answer).then(reject, fail);
        });
        outer.on("error", fail);
        outer.end();
    });
}

async function refusalIn(answer: IncomingMessage): Promise<SteveError> {
    let text = "";
    answer.setEncoding("latin1");
    for await (const chunk of answer) {
        text += chunk;
        if (text.length > MAX_ERROR_LENGTH) break;
    }
    const code = /^\{"error":"([a-z0-9_]+)"\}$/.exec(text)?.[1];
    return outerStatus("request", answer.statusCode ?? 0, isPlainCode(code) ? code : undefined);
}

function tunnelOver(socket: Duplex, signal: AbortSignal): Tunnel {
    const connection = new Connection(bytesOf(socket), MAX_MESSAGE);
    let closing = false;
    const close = () => {
        if (closing) return;
        closing = true;
        const timer = setTimeout(() => socket.destroy(), MAX_CLOSE_MS);
        // Nobody reads on: the answer to the Close is not awaited.
        const gone = () => {
            clearTimeout(timer);
            socket.destroy();
        };
        connection.close(1000, "").then(() => socket.end(gone), gone);
    };
    signal.addEventListener("abort", close, { once: true });
    socket.on("close", () => signal.removeEventListener("abort", close));
    const messages = connection.messages();
    const readable = new ReadableStream(
        {
            async pull(controller: ReadableStreamDefaultController<Uint8Array>) {
                const { done, value } = await messages
                    .next()
                    .catch(() => ({ done: true, value: undefined }));
                if (done || value === undefined) controller.close();
                // Text has no place here: it does not open as a frame.
                else controller.enqueue(typeof value === "string" ? new Uint8Array(4) : value);
            },
            cancel: close,
        },
        { highWaterMark: 0 },
    );
    return {
        readable,
        send: (message) => connection.send(message),
        close,
        get closed() {
            return connection.closed;
        },
    };
}

function bytesOf(socket: Duplex): ByteDuplex {
    const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
    return {
        async read() {
            const { done, value } = await chunks.next();
            return done ? undefined : value;
        },
        write: (bytes) =>
            new Promise((resolve, reject) => {
                if (socket.destroyed) return reject(new Error("the connection is closed"));
                const done = () => {
                    socket.off("drain", done).off("close", done);
                    resolve();
                };
                if (socket.write(bytes)) return resolve();
                socket.on("drain", done).on("close", done);
            }),
        end: async () => {
            socket.end();
        },
        abort: () => socket.destroy(),
    };
}
