import type { Core } from "./core.js";
import type { OuterFetch } from "./transport.js";
import type { OpenTunnel } from "./tunnel.js";

/** What a runtime brings. */
export interface Platform {
    /** Loads the core, once. */
    readonly loadCore: () => Promise<Core>;
    /** Sends outer requests. */
    readonly fetch: OuterFetch;
    /** Opens tunnels; `constructor` is a `WebSocket` that the caller prefers. */
    readonly tunnels: (constructor: typeof WebSocket | undefined) => OpenTunnel;
    /** True where the body of a request to this URL can be a stream. */
    readonly streamsUploads: (url: string) => boolean;
}

/** Loads something once; a failure is forgotten, so that it can be tried again. */
export function once<T>(load: () => Promise<T>): () => Promise<T> {
    let loading: Promise<T> | undefined;
    return () => {
        loading ??= load().catch((error: unknown) => {
            loading = undefined;
            throw error;
        });
        return loading;
    };
}
