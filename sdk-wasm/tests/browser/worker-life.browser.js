/** The life of the service worker: killed, updated, refused, replaced. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { PROFILE } from "../support/fixture.js";
import { startProxy } from "../support/proxy.js";
import { startChromium } from "./support/chromium.js";
import { get, startService, status } from "./support/service.js";
import { startSite } from "./support/site.js";
import { PUBLIC } from "./support/unmodified.js";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

let service;
let fixture;
let relay;
let browser;
let page;
let register;
let forget;
before(async () => {
    service = await startService();
    ({ fixture, relay, browser, page, register, forget } = service);
});
after(() => service?.stop());

test("a registered worker answers", async () => {
    assert.equal((await register(page)).state, "verified");
    assert.equal((await get(page, "/head"))[0], 200);
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
    service.files.worker = service.files.worker.replaceAll('"0.1.0"', '"0.1.1"');
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
    await page.addScriptTag({ content: service.files.register });
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
