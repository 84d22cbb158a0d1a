/** A page whose requests a service worker answers, behind one origin with a host that looks. */

import { PROFILE, startFixture } from "../../support/fixture.js";
import { startChromium } from "./chromium.js";
import { startRelay } from "./relay.js";
import { addRoutes, PUBLIC } from "./unmodified.js";

/** Starts app, proxy, host and Chromium; `page` is where the worker can be registered. */
export async function startService() {
    const files = await addRoutes();
    const fixture = await startFixture({ options: ["--public-paths", PUBLIC.join(",")] });
    const relay = await startRelay(fixture.proxy.port);
    const browser = await startChromium();
    const page = await browser.context.newPage();
    await page.goto(relay.origin);
    return {
        files,
        fixture,
        relay,
        browser,
        page,
        /** Registers from a page; gives what the status says, or the code of the error. */
        register(page, more = {}) {
            const options = {
                policy: { profiles: [PROFILE] },
                dangerousTrustRoot: fixture.proxy.root,
                bootstrap: PUBLIC,
                ...more,
            };
            const evaluate = (options) =>
                worker.registerSteve(options).catch(({ code, message }) => ({ code, message }));
            return page.evaluate(evaluate, options);
        },
        /** Forgets what the host saw. */
        forget() {
            relay.up = "";
            relay.down = "";
        },
        async stop() {
            await browser.stop();
            await relay.stop();
            await fixture.stop();
        },
    };
}

/** What the page's worker says of itself. */
export const status = (page) => page.evaluate(() => worker.steveStatus());

/** Status and text of what the page fetches, or the name of the error. */
export const get = (page, path) =>
    page.evaluate(
        (path) =>
            fetch(path).then(
                async (response) => [response.status, await response.text()],
                (error) => error.name,
            ),
        path,
    );
