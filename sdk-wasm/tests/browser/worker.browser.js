/** The service worker, with a page that knows nothing of it, behind one origin. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { PROFILE, startFixture } from "../support/fixture.js";
import { startProxy } from "../support/proxy.js";
import { startChromium } from "./support/chromium.js";
import { growth } from "./support/memory.js";
import { startRelay } from "./support/relay.js";
import { startSite } from "./support/site.js";
import { addRoutes, PUBLIC } from "./support/unmodified.js";

const MIB = 1 << 20;
const LARGE = 256;
const MAX_GROWTH = 192 * MIB;

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

let files;
let fixture;
let relay;
let browser;
let page;
before(async () => {
    files = await addRoutes();
    fixture = await startFixture({ options: ["--public-paths", PUBLIC.join(",")] });
    relay = await startRelay(fixture.proxy.port);
    browser = await startChromium();
    page = await browser.context.newPage();
    await page.goto(relay.origin);
});
after(async () => {
    await browser?.stop();
    await relay?.stop();
    await fixture?.stop();
});

const options = (more = {}) => ({
    policy: { profiles: [PROFILE] },
    dangerousTrustRoot: fixture.proxy.root,
    bootstrap: PUBLIC,
    ...more,
});

/** Registers from this page; gives what the status says, or the code of the error. */
const register = (page, more) =>
    page.evaluate(
        (options) =>
            worker.registerSteve(options).catch(({ code, message }) => ({ code, message })),
        options(more),
    );
const status = (page) => page.evaluate(() => worker.steveStatus());
const get = (page, path) =>
    page.evaluate(
        (path) =>
            fetch(path).then(
                async (response) => [response.status, await response.text()],
                (error) => error.name,
            ),
        path,
    );
/** Forgets what the host saw. */
const forget = () => ((relay.up = ""), (relay.down = ""));

test("registration verifies the enclave and takes the page over", async () => {
    const found = await register(page);
    assert.equal(found.message, undefined);
    assert.deepEqual([found.state, found.controlled, found.version], ["verified", true, "0.1.0"]);
    assert.equal(found.enclave.report.checks.length, 14);
    assert.deepEqual(await status(page), found);
});

test("an unmodified page: document, script, style and image", async () => {
    forget();
    await page.goto(`${relay.origin}/app?secret-query`);
    assert.equal(await page.getAttribute("body", "data-script"), "ran");
    const [width, styled] = await page.evaluate(() => [
        document.querySelector("#image").naturalWidth,
        getComputedStyle(document.body).getPropertyValue("--styled"),
    ]);
    assert.deepEqual([width, styled], [7, "yes"]);
    assert.equal(fixture.app.counts.get("/app"), 1);
});

test("an unmodified page: XMLHttpRequest, fetch and beacons", async () => {
    const sent = await page.evaluate(async () => {
        const request = new XMLHttpRequest();
        request.open("PUT", "/echo");
        request.setRequestHeader("content-type", "x/secret");
        request.send("secret-body");
        await new Promise((resolve) => (request.onload = resolve));
        const form = new FormData();
        form.set("file", new File(["secret-file"], "secret-name"));
        const echoed = await (await fetch("/echo", { method: "POST", body: form })).formData();
        const head = await (await fetch("/head", { method: "POST", body: "12345" })).json();
        navigator.sendBeacon("/length?beacon", "secret-beacon");
        return [
            request.status,
            request.getResponseHeader("content-type"),
            request.responseText,
            await echoed.get("file").text(),
            head.headers["content-length"],
            head.headers.origin === location.origin,
            head.headers.referer === location.href,
        ];
    });
    assert.deepEqual(sent, [200, "x/secret", "secret-body", "secret-file", "5", true, true]);
});

test("an unmodified page: EventSource, where no event waits for a later one", async () => {
    const received = await page.evaluate(async () => {
        const source = new EventSource("/events?secret-events");
        const received = [];
        await new Promise((resolve) => {
            source.onmessage = async ({ data }) => {
                received.push(data);
                if (received.length === 20) resolve(source.close());
                else await fetch(`/next?number=${received.length}`);
            };
        });
        return received;
    });
    assert.deepEqual(
        received,
        Array.from({ length: 20 }, (_, number) => String(number)),
    );
});

test("an unmodified page: a form, and redirects", async () => {
    await page.evaluate(() => document.querySelector("#form").submit());
    await page.waitForURL("**/form?secret-action");
    const text = await page.textContent("p");
    assert.equal(text, `POST application/x-www-form-urlencoded ${relay.origin} field=secret-value`);
    await page.goto(`${relay.origin}/redirect?to=/app`);
    assert.equal(page.url(), `${relay.origin}/app`);
    const fetched = await page.evaluate(async () => {
        const response = await fetch("/redirect?to=/head");
        return [response.redirected, response.url, (await response.json()).url];
    });
    assert.deepEqual(fetched, [true, `${relay.origin}/head`, "/head"]);
    const manual = await page.evaluate(
        async () => (await fetch("/redirect?to=/head", { redirect: "manual" })).type,
    );
    assert.equal(manual, "opaqueredirect");
});

test("the host saw nothing of all that", () => {
    assert.match(relay.up, /POST \/\.well-known\/steve\/v3\/stream/);
    for (const word of ["secret", "/app", "unmodified", "/redirect", "/head", "field="]) {
        assert.equal(relay.up.includes(word) || relay.down.includes(word), false, word);
    }
});

test("bootstrap paths are exact, queries included", async () => {
    forget();
    const before = fixture.app.counts.get("/");
    await get(page, "/");
    assert.match(relay.up, /GET \/ HTTP/);
    forget();
    for (const path of ["/?secret", "/register.js?secret", "//secret", "/register.js/"])
        await get(page, path);
    await page.evaluate(() => fetch("/", { method: "POST", body: "secret" }));
    assert.equal(/secret|GET \/ |GET \/reg/.test(relay.up), false);
    assert.ok(fixture.app.counts.get("/") > before);
});

test("requests to other origins are none of the worker's", async () => {
    const sessions = fixture.app.counts.size;
    assert.equal(await get(page, "http://localhost:1/elsewhere"), "TypeError");
    assert.equal(fixture.app.counts.size, sessions);
});

test("large downloads and uploads stream, in bounded memory", async (context) => {
    const began = performance.now();
    const grown = await growth(async () => {
        const length = await page.evaluate(async (mib) => {
            const reader = (await fetch(`/download?mib=${mib}`)).body.getReader();
            let length = 0;
            for (;;) {
                const { done, value } = await reader.read();
                if (done) return length;
                length += value.length;
            }
        }, LARGE);
        assert.equal(length, LARGE * MIB);
    });
    const middle = performance.now();
    const uploaded = await page.evaluate(async (mib) => {
        const blob = new Blob(Array.from({ length: mib }, () => new Uint8Array(1 << 20)));
        return (await (await fetch("/length", { method: "POST", body: blob })).json()).length;
    }, 32);
    assert.equal(uploaded, 32 * MIB);
    const speed = (mib, from, to) => ((mib * 1000) / (to - from)).toFixed(0);
    context.diagnostic(
        `down ${speed(LARGE, began, middle)} MiB/s, up ${speed(32, middle, performance.now())} MiB/s; ` +
            `the renderers grew by ${(grown / MIB).toFixed(0)} MiB`,
    );
    assert.ok(grown < MAX_GROWTH, `the renderers grew by ${grown} bytes`);
});

test("an abort while an answer is read reaches the app", async () => {
    const name = await page.evaluate(async () => {
        const reading = new AbortController();
        const reader = (await fetch("/endless", { signal: reading.signal })).body.getReader();
        await reader.read();
        reading.abort();
        const read = async () => {
            for (;;) await reader.read();
        };
        return read().catch((error) => error.name);
    });
    assert.equal(name, "AbortError");
    await fixture.app.endless.closed;
});

/** Ends the workers, as the browser does when they idle. */
async function killWorkers() {
    const session = await browser.context.newCDPSession(page);
    const stopped = new Promise((resolve) => {
        session.on("ServiceWorker.workerVersionUpdated", ({ versions }) => {
            if (versions.some(({ runningStatus }) => runningStatus === "stopped")) resolve();
        });
    });
    await session.send("ServiceWorker.enable");
    await session.send("ServiceWorker.stopAllWorkers");
    await stopped;
    await session.detach();
}

test("a worker that was killed goes on, with a new session and the same policy", async () => {
    const bound = async () => JSON.parse((await get(page, "/head"))[1]).headers["steve-session"];
    const before = await bound();
    assert.equal(await bound(), before);
    await killWorkers();
    forget();
    const after = await bound();
    assert.notEqual(after, before);
    assert.match(relay.up, /\/evidence/);
    assert.equal(relay.up.includes("/head"), false);
    await page.goto(relay.origin);
    assert.deepEqual((await status(page)).profiles, [PROFILE]);
});

test("a page that was loaded past the worker is taken over again", async () => {
    const session = await browser.context.newCDPSession(page);
    const loaded = page.waitForEvent("load");
    await session.send("Page.reload", { ignoreCache: true });
    await loaded;
    assert.equal(await page.evaluate(() => navigator.serviceWorker.controller), null);
    assert.equal((await register(page)).controlled, true);
    await session.detach();
});

test("a new release waits until the page puts it in place", async () => {
    files.worker = files.worker.replaceAll('"0.1.0"', '"0.1.1"');
    await page.evaluate(async () => {
        window.activate = new Promise((resolve) => worker.onSteveUpdate(resolve));
        await (await navigator.serviceWorker.ready).update();
        window.activate = await window.activate;
    });
    assert.equal((await status(page)).version, "0.1.0");
    assert.equal((await get(page, "/head"))[0], 200);
    await page.evaluate(async () => {
        const changed = new Promise((resolve) => {
            navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true });
        });
        window.activate();
        await changed;
    });
    assert.equal((await status(page)).version, "0.1.1");
    assert.equal((await get(page, "/head"))[0], 200);
});

test("events reach the page, until they are not wanted", async () => {
    const { heard, moduleId, count } = await page.evaluate(async () => {
        let count = 0;
        let stop;
        const heard = await new Promise((resolve) => {
            stop = worker.onSteve("verified", ({ moduleId }) => resolve(moduleId, (count += 1)));
            worker.steveVerify();
        });
        stop();
        const again = new Promise((resolve) => worker.onSteve("verified", resolve));
        const { enclave } = await worker.steveVerify();
        await again;
        return { heard, moduleId: enclave.moduleId, count };
    });
    assert.equal(heard, moduleId);
    assert.equal(count, 1);
});

const other = { profiles: [{ ...PROFILE, PCR1: "ab".repeat(48) }] };

test("another policy takes no place silently", async () => {
    for (const more of [
        { policy: other },
        { bootstrap: [...PUBLIC, "/head"] },
        { origin: "http://127.0.0.1:1" },
    ]) {
        assert.equal((await register(page, more)).code, "policy-differs");
    }
    assert.equal((await status(page)).state, "verified");
    assert.equal((await register(page)).state, "verified");
});

test("a refused enclave gets nothing, and the person is told", async () => {
    const refused = await register(page, { policy: other, replacePolicy: true });
    assert.equal(refused.code, "evidence-policy");
    forget();
    const before = fixture.app.counts.get("/head");
    assert.equal(await get(page, "/head?secret"), "TypeError");
    assert.equal(await get(page, "/public-as-it-seems?secret"), "TypeError");
    assert.equal((await status(page)).state, "refused");
    const response = await page.goto(`${relay.origin}/app?secret`);
    assert.equal(response.status(), 502);
    assert.match(await page.textContent("h1"), /Not sent/);
    assert.match(await page.textContent("body"), /PCR1 expected abab/);
    assert.match(await page.textContent("body"), /Do not go on/);
    const { STEVE_SCREENSHOTS: pictures } = process.env;
    if (pictures) await page.screenshot({ path: `${pictures}/refusal-page.png` });
    assert.equal(fixture.app.counts.get("/head"), before);
    assert.equal(/secret|GET \/app|GET \/head/.test(relay.up), false);
    await killWorkers();
    await page.goto(relay.origin);
    assert.equal(await get(page, "/head?secret"), "TypeError");
    assert.equal((await register(page, { replacePolicy: true })).state, "verified");
    assert.equal((await get(page, "/head"))[0], 200);
});

test("no host, no answer; and it goes on when the host is back", async () => {
    await page.goto(`${relay.origin}/app`);
    await relay.stop();
    assert.equal(await get(page, "/head"), "TypeError");
    const response = await page.goto(`${relay.origin}/app`);
    assert.equal(response.status(), 502);
    assert.match(await page.textContent("body"), /Try again later/);
    await relay.start();
    await page.goto(`${relay.origin}/app`);
    assert.equal(await page.getAttribute("body", "data-script"), "ran");
});

test("nothing is kept but the registration", async () => {
    const kept = await page.evaluate(async () => [
        Object.keys(localStorage),
        Object.keys(sessionStorage),
        await indexedDB.databases(),
        await caches.keys(),
        document.cookie,
        (await navigator.serviceWorker.getRegistrations()).length,
    ]);
    assert.deepEqual(kept, [[], [], [], [], "", 1]);
});

test("on an origin of its own, the page's requests go to the service", async () => {
    const site = await startSite({ "/": here("../../dist/worker/") });
    const proxy = await startProxy(fixture.app.port, { options: ["--cors-origins", site.origin] });
    site.service = proxy.origin;
    const page = await browser.context.newPage();
    await page.route(`${site.origin}/`, (route) =>
        route.fulfill({ contentType: "text/html", body: "<!doctype html><title>own</title>" }),
    );
    await page.goto(site.origin);
    await page.addScriptTag({ content: files.register });
    const own = { origin: proxy.origin, dangerousTrustRoot: proxy.root, bootstrap: ["/"] };
    const script = "/dangerous-steve-service-worker.js";
    const found = await register(page, { ...own, script });
    assert.deepEqual(
        [found.message, found.controlled, found.origin],
        [undefined, true, proxy.origin],
    );
    for (const start of ["", proxy.origin]) {
        const { url, headers } = JSON.parse((await get(page, `${start}/head?own`))[1]);
        assert.deepEqual([url, headers.host], ["/head?own", new URL(proxy.origin).host]);
    }
    const unknown = await page.evaluate(
        (origin) => fetch(`${origin}/head`, { method: "POST" }).then((r) => r.json()),
        proxy.origin,
    );
    assert.equal(unknown.headers.origin, site.origin);
    assert.deepEqual(
        site.requests.filter((path) => path.includes("head")),
        [],
    );
    await page.close();
    await proxy.stop();
    site.close();
});

test("the worker for production takes no other root", async () => {
    const context = await startChromium();
    try {
        const page = await context.context.newPage();
        await page.goto(relay.origin);
        assert.equal((await register(page, { script: "/production.js" })).code, "invalid-options");
        assert.equal(await get(page, "/head"), "TypeError");
        const bad = await register(page, { bootstrap: ["index.html"] });
        assert.equal(bad.code, "invalid-options");
    } finally {
        await context.stop();
    }
});

test("no content security policy was violated, and no page threw", () => {
    assert.deepEqual(browser.faults, []);
});
