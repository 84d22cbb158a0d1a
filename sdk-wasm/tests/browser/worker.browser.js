/** The service worker and the requests of a page that knows nothing of it. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { growth } from "./support/memory.js";
import { get, startService, status } from "./support/service.js";

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

const MIB = 1 << 20;
const LARGE = 256;
const MAX_GROWTH = 192 * MIB;

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

test("no content security policy was violated, and no page threw", () => {
    assert.deepEqual(browser.faults, []);
});
