import type { Core } from "./core.js";
import type { Platform } from "./platform.js";
import { outerFetch } from "./transport.js";
import { webSocketTunnels } from "./tunnel.js";

/** Browsers: pages, workers and service workers. */
export function browserPlatform(loadCore: () => Promise<Core>): Platform {
    return {
        loadCore,
        fetch: outerFetch((input, init) => fetch(input, init)),
        tunnels: (constructor) => webSocketTunnels(constructor ?? globalThis.WebSocket),
        streamsUploads,
    };
}

/**
 * Streams in requests need a browser that has them, and HTTP/2 or 3 to the server. Which HTTP there
 * is shows in the timing of an earlier request; where that is not to be seen, as for another origin
 * without `timing-allow-origin`, the tunnel is taken.
 */
function streamsUploads(url: string): boolean {
    if (!takesStreams()) return false;
    const timing = performance.getEntriesByName(url, "resource").at(-1) as
        PerformanceResourceTiming | undefined;
    return timing?.nextHopProtocol === "h2" || timing?.nextHopProtocol === "h3";
}

/** A browser without them turns the stream into text, and does not look at `duplex`. */
function takesStreams(): boolean {
    let asked = false;
    const init = {
        method: "POST",
        body: new ReadableStream(),
        get duplex() {
            asked = true;
            return "half" as const;
        },
    };
    const hasType = new Request("https://localhost/", init).headers.has("content-type");
    return asked && !hasType;
}
