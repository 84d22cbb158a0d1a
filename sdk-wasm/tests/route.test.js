import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import { startFixture } from "./support/fixture.js";

let fixture;
before(async () => {
    fixture = await startFixture();
});
after(() => fixture.stop());

/** A client behind a load balancer that gives this route; and the ends of the URLs that it asked for. */
async function behind(routes) {
    const urls = [];
    const tail = (url) => url.slice(url.lastIndexOf("/"));
    const steve = await fixture.connect({
        async fetch(url, init) {
            urls.push(tail(url));
            const response = await fetch(url, init);
            if (!url.includes("/evidence")) return response;
            const headers = new Headers(response.headers);
            for (const route of routes) headers.append("steve-route", route);
            return new Response(response.body, { status: response.status, headers });
        },
        WebSocket: class extends WebSocket {
            constructor(url, ...rest) {
                urls.push(tail(url));
                super(url, ...rest);
            }
        },
    });
    return { steve, urls };
}

async function use(steve) {
    assert.equal((await steve.fetch("/head")).status, 200);
    const upload = { method: "POST", body: "text" };
    assert.equal((await steve.fetch("/echo", upload)).status, 200);
    const socket = new steve.WebSocket("/socket");
    await new Promise((resolve, reject) => {
        socket.addEventListener("open", resolve);
        socket.addEventListener("error", reject);
    });
    socket.close();
}

test("a route that comes with evidence goes along with all that relies on it", async () => {
    const { steve, urls } = await behind(["enclave-1._~"]);
    await use(steve);
    assert.deepEqual(urls.splice(0), [
        "/evidence",
        "/stream?route=enclave-1._~",
        "/stream?route=enclave-1._~",
        "/stream?route=enclave-1._~",
        "/tunnel?route=enclave-1._~",
    ]);
    await steve.verify();
    assert.deepEqual(urls, ["/evidence"]);
});

test("any other value is ignored", async () => {
    for (const routes of [[], [""], ["a b"], ["a&b"], ["a%41"], ["a".repeat(65)], ["a", "a"]]) {
        const { steve, urls } = await behind(routes);
        await use(steve);
        assert.deepEqual(
            urls,
            ["/evidence", "/stream", "/stream", "/stream", "/tunnel"],
            routes.join(),
        );
    }
});
