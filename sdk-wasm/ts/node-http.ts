import * as http from "node:http";
import type { OuterAnswer, OuterFetch } from "./transport.js";

/** Unused connections are closed before most servers close them. */
const UNUSED_MS = 4_000;

type Requests = Pick<typeof http, "request" | "Agent">;

/** Node's HTTP for a URL with this scheme; TLS is loaded when it is needed. */
export async function httpFor(protocol: string): Promise<Requests> {
    return protocol === "https:" ? import("node:https") : http;
}

/**
 * What the package needs of `fetch`, on Node's own HTTP: `fetch` takes much longer to start. For the
 * same reason nothing here names `ReadableStream`.
 */
export function nodeFetch(): OuterFetch {
    const agents = new Map<string, http.Agent>();
    return async (url, { method, headers, body, signal }) => {
        const target = new URL(url);
        const { request, Agent } = await httpFor(target.protocol);
        const known = agents.get(target.protocol);
        const agent = known ?? new Agent({ keepAlive: true, timeout: UNUSED_MS });
        agents.set(target.protocol, agent);
        const outer = request(target, { method, headers, agent, signal });
        return new Promise((resolve, reject) => {
            outer.on("response", (answer) => resolve(read(answer)));
            outer.on("error", reject);
            if (body instanceof Uint8Array) outer.end(body);
            // It may fail after the response has begun, which then breaks off.
            else pipe(body, outer).catch(() => outer.destroy());
        });
    };
}

async function pipe(body: Blob | ReadableStream<Uint8Array>, outer: http.ClientRequest) {
    const { pipeline } = await import("node:stream/promises");
    await pipeline(body instanceof Blob ? body.stream() : body, outer);
}

function read(answer: http.IncomingMessage): OuterAnswer {
    const chunks = answer[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
    const body = {
        read: () => chunks.next(),
        cancel: async () => {
            answer.destroy();
        },
    };
    const route = answer.headers["steve-route"]?.toString();
    return { status: answer.statusCode ?? 0, route, body };
}
