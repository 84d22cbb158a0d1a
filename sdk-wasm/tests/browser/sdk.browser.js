/** The SDK in a page and in a worker, from another origin than the service's. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { routes } from "../support/app.js";
import { PROFILE, startFixture } from "../support/fixture.js";
import { startProxy } from "../support/proxy.js";
import { startChromium } from "./support/chromium.js";
import { growth } from "./support/memory.js";
import { startRelay } from "./support/relay.js";
import { startSite } from "./support/site.js";
import { table } from "./pages/table.js";

const MIB = 1 << 20;
const LARGE = 256 * MIB;
/** Buffers on the way and garbage not collected yet; the body is larger. */
const MAX_GROWTH = 192 * MIB;

routes["/download"] = async (_, response) => {
    const piece = Buffer.alloc(65_536, 7);
    for (let sent = 0; sent < LARGE && !response.destroyed; sent += piece.length) {
        if (!response.write(piece)) await once(response, "drain").catch(() => undefined);
    }
    response.end();
};
let events;
routes["/events"] = (_, response) => {
    events = response;
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 0\n\n");
};
routes["/next"] = (_, response, url) => {
    events.write(`data: ${url.searchParams.get("number")}\n\n`);
    response.end();
};

let site;
let fixture;
let relay;
let browser;
let page;
let cors;
before(async () => {
    site = await startSite();
    cors = ["--cors-origins", site.origin];
    fixture = await startFixture({ options: cors });
    relay = await startRelay(fixture.proxy.port);
    site.service = `http://127.0.0.1:* `;
    browser = await startChromium();
    page = await open();
});
after(async () => {
    await browser?.stop();
    await relay?.stop();
    await fixture?.stop();
    site?.close();
});

const options = (more = {}) => ({
    origin: relay.origin,
    policy: { profiles: [PROFILE] },
    dangerousTrustRoot: fixture.proxy.root,
    ...more,
});

/** A page with a client in it. */
async function open(more = {}) {
    const page = await browser.context.newPage();
    await page.goto(`${site.origin}/plain.html`);
    await page.waitForFunction(() => "sdk" in window);
    await page.evaluate(async (options) => {
        window.steve = await sdk.connect(options);
    }, options(more));
    return page;
}

for (const name of Object.keys(table)) {
    test(`in a page: ${name}`, () => page.evaluate((name) => table[name](steve, sdk), name));
    test(`in a worker: ${name}`, () =>
        page.evaluate(({ options, name }) => inWorker(options, name), {
            options: options(),
            name,
        }));
}

test("no event waits for a later one", async () => {
    const received = await page.evaluate(async () => {
        const response = await steve.fetch("/events");
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        const received = [];
        for (let number = 1; number <= 50; number += 1) {
            received.push((await reader.read()).value);
            // The app writes the next one when this one has been read, and not before.
            await (await steve.fetch(`/next?number=${number}`)).text();
        }
        await reader.cancel();
        return received;
    });
    assert.deepEqual(
        received,
        Array.from({ length: 50 }, (_, number) => `data: ${number}\n\n`),
    );
});

test("the first request of a later session goes along with its handshake", async () => {
    const found = await page.evaluate(async (options) => {
        let sent = 0;
        let refuse = false;
        const host = (url, init) => {
            sent += 1;
            return refuse ? new Response("", { status: 422 }) : fetch(url, init);
        };
        const steve = await sdk.connect({ ...options, fetch: host });
        refuse = true;
        await steve.fetch("/head", { method: "POST" }).catch(() => undefined);
        refuse = false;
        sent = 0;
        const response = await steve.fetch("/events");
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        const { value } = await reader.read();
        await reader.cancel();
        const next = await steve.fetch("/head");
        steve.close();
        return [value, sdk.receiptOf(response).streamId, sdk.receiptOf(next).streamId, sent];
    }, options());
    assert.deepEqual(found, ["data: 0\n\n", 0, 1, 2]);
});

test("a download of 256 MiB in bounded memory", async (context) => {
    const began = performance.now();
    const grown = await growth(async () => {
        const length = await page.evaluate(async () => {
            const reader = (await steve.fetch("/download")).body.getReader();
            let length = 0;
            for (;;) {
                const { done, value } = await reader.read();
                if (done) return length;
                length += value.length;
            }
        });
        assert.equal(length, LARGE);
    });
    report(context, began, grown);
});

test("an upload of 256 MiB in bounded memory", async (context) => {
    const began = performance.now();
    const grown = await growth(async () => {
        const length = await page.evaluate(async (total) => {
            let made = 0;
            const body = new ReadableStream({
                pull(controller) {
                    if (made === total) return controller.close();
                    made += 65_536;
                    controller.enqueue(new Uint8Array(65_536).fill(7));
                },
            });
            const response = await steve.fetch("/length", { method: "POST", body });
            return (await response.json()).length;
        }, LARGE);
        assert.equal(length, LARGE);
    });
    report(context, began, grown);
});

function report(context, began, grown) {
    const seconds = (performance.now() - began) / 1000;
    const speed = (LARGE / MIB / seconds).toFixed(0);
    context.diagnostic(`${speed} MiB/s; the renderers grew by ${(grown / MIB).toFixed(0)} MiB`);
    assert.ok(grown < MAX_GROWTH, `the renderers grew by ${grown} bytes`);
}

test("aborted while waiting, and while reading", async () => {
    const names = await page.evaluate(async () => {
        const waiting = new AbortController();
        setTimeout(() => waiting.abort(), 50);
        const first = await steve
            .fetch("/hang", { signal: waiting.signal })
            .catch((error) => error.name);
        const reading = new AbortController();
        const reader = (await steve.fetch("/endless", { signal: reading.signal })).body.getReader();
        await reader.read();
        reading.abort();
        const read = async () => {
            for (;;) await reader.read();
        };
        return [first, await read().catch((error) => error.name)];
    });
    assert.deepEqual(names, ["AbortError", "AbortError"]);
    await fixture.app.hanging.ended();
    await fixture.app.endless.closed;
});

const head = (page) =>
    page.evaluate(() =>
        steve.fetch("/head").then(
            async (response) => (await response.text()) && response.status,
            (error) => error.code,
        ),
    );

test("offline, and online again", async () => {
    const page = await open();
    await browser.context.setOffline(true);
    assert.equal(await head(page), "transport");
    await browser.context.setOffline(false);
    assert.equal(await head(page), 200);
    await page.close();
});

test("the host goes away in the middle of things, and comes back", async () => {
    const page = await open();
    const reading = page.evaluate(async () => {
        const reader = (await steve.fetch("/endless")).body.getReader();
        window.reading = true;
        const read = async () => {
            for (;;) await reader.read();
        };
        return read().catch((error) => error.code);
    });
    await page.waitForFunction(() => window.reading);
    await relay.stop();
    assert.equal(await reading, "truncated");
    assert.equal(await head(page), "transport");
    await relay.start();
    assert.equal(await head(page), 200);
    await page.close();
});

test("a proxy that restarts is verified anew", async () => {
    const first = await startProxy(fixture.app.port, { options: cors });
    const page = await open({ origin: first.origin, dangerousTrustRoot: first.root });
    assert.equal(await head(page), 200);
    await first.stop();
    const second = await startProxy(fixture.app.port, { port: first.port, options: cors });
    try {
        // A development attester has another root after a restart.
        assert.equal(await head(page), "evidence-root");
        await page.evaluate(
            async (options) => {
                window.steve = await sdk.connect(options);
            },
            options({ origin: second.origin, dangerousTrustRoot: second.root }),
        );
        assert.equal(await head(page), 200);
    } finally {
        await second.stop();
    }
    await page.close();
});

test("a page of an origin that the proxy does not admit gets nothing", async () => {
    const proxy = await startProxy(fixture.app.port);
    const code = await page.evaluate(
        (options) => sdk.connect(options).catch((error) => error.code),
        options({ origin: proxy.origin, dangerousTrustRoot: proxy.root }),
    );
    assert.equal(code, "transport");
    await proxy.stop();
});

test("nothing is kept in storage, and nothing of the content was on the wire", async () => {
    const kept = await page.evaluate(async () => [
        Object.keys(localStorage),
        Object.keys(sessionStorage),
        await indexedDB.databases(),
        await caches.keys(),
        document.cookie,
    ]);
    assert.deepEqual(kept, [[], [], [], [], ""]);
    assert.match(relay.up, /POST \/\.well-known\/steve\/v3\/stream/);
    for (const secret of ["x-own", "steve-session", "/echo", "text/plain", "data: 1"]) {
        assert.equal(relay.up.includes(secret) || relay.down.includes(secret), false, secret);
    }
});

test("no content security policy was violated, and no page threw", () => {
    assert.deepEqual(browser.faults, []);
});
