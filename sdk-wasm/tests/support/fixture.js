import { createHash } from "node:crypto";
import { connect } from "steve-sdk/dangerous-development";
import { startApp } from "./app.js";
import { startProxy } from "./proxy.js";

/** The measurements that the development attester gives. */
export const PROFILE = Object.fromEntries(
    [0, 1, 2].map((register) => [
        `PCR${register}`,
        createHash("sha384").update(`steve development PCR${register}`).digest("hex"),
    ]),
);

/** An app behind a proxy. `connect` makes a client; `stop` ends them all. */
export async function startFixture(proxyOptions = {}) {
    const app = await startApp();
    const proxy = await startProxy(app.port, proxyOptions);
    const clients = [];
    return {
        app,
        proxy,
        async connect(options = {}) {
            const steve = await connect({
                origin: proxy.origin,
                policy: { profiles: [PROFILE] },
                dangerousTrustRoot: proxy.root,
                ...options,
            });
            clients.push(steve);
            return steve;
        },
        async stop() {
            for (const client of clients) client.close();
            await proxy.stop();
            app.close();
        },
    };
}
