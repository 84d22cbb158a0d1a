import type { Core } from "./core.js";
import { nodeFetch } from "./node-http.js";
import { nodeTunnels } from "./node-tunnel.js";
import type { Platform } from "./platform.js";
import { webSocketTunnels } from "./tunnel.js";

/** Node: its HTTP streams bodies both ways; not every version has a WebSocket. */
export function nodePlatform(loadCore: () => Promise<Core>): Platform {
    return {
        loadCore,
        fetch: nodeFetch(),
        tunnels: (constructor) =>
            constructor === undefined ? nodeTunnels : webSocketTunnels(constructor),
        streamsUploads: () => true,
    };
}
