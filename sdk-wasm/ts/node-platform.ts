import type { Core } from "./core.js";
import { nodeTunnels } from "./node-tunnel.js";
import type { Platform } from "./platform.js";
import { webSocketTunnels } from "./tunnel.js";

/** Node: its `fetch` streams bodies both ways; not every version has a WebSocket. */
export function nodePlatform(loadCore: () => Promise<Core>): Platform {
    return {
        loadCore,
        tunnels: (constructor) =>
            constructor === undefined ? nodeTunnels : webSocketTunnels(constructor),
        streamsUploads: () => true,
    };
}
