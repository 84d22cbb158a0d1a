import assert from "node:assert/strict";
import { pbkdf2 } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import { receiptOf, SteveError } from "steve-sdk/dangerous-development";
import { nodeFetch } from "../dist/node-http.js";
import { nodeTunnels } from "../dist/node-tunnel.js";
import { startFixture } from "./support/fixture.js";

const MIB = 1 << 20;

let fixture;
let steve;
before(async () => {
    fixture = await startFixture();
    steve = await fixture.connect();
});
after(() => fixture.stop());

/** A stream of `count` pieces of 64 KiB, made when they are asked for. */
function pieces(count, onPull = () => undefined) {
    let made = 0;
    return new ReadableStream(
        {
            pull(controller) {
                if (made === count) return controller.close();
                made += 1;
                onPull(made);
                controller.enqueue(new Uint8Array(65_536).fill(made));
            },
        },
        { highWaterMark: 0 },
    );
}

/** Resolves when `value()` has stayed the same for a while. */
async function settled(value) {
    for (let last = -1; last !== value();) {
        last = value();
        await new Promise((resolve) => setTimeout(resolve, 300));
    }
    return value();
}

test("an upload that is a stream arrives whole", async () => {
    const response = await steve.fetch("/length", { method: "POST", body: pieces(160) });
    assert.equal((await response.json()).length, 10 * MIB);
});

test("both directions stream at once", async () => {
    let send;
    const body = new ReadableStream({ start: (controller) => (send = controller) });
    const response = await steve.fetch("/echo", { method: "POST", body });
    const reader = response.body.getReader();
    for (const text of ["first", "second", "third"]) {
        send.enqueue(new TextEncoder().encode(text));
        assert.equal(new TextDecoder().decode((await reader.read()).value), text);
    }
    send.close();
    assert.equal((await reader.read()).done, true);
});

test("what is not read is not sent", async () => {
    const response = await steve.fetch("/endless");
    const sent = await settled(() => fixture.app.endless.sent);
    assert.ok(sent < 64 * MIB, `${sent} bytes were sent to nobody`);
    const reader = response.body.getReader();
    for (let read = 0; read < 2 * sent;) read += (await reader.read()).value.length;
    assert.ok(fixture.app.endless.sent > sent);
    await reader.cancel();
    await fixture.app.endless.closed;
});

test("what the app does not take is not asked for", async () => {
    let pulled = 0;
    const abort = new AbortController();
    const sending = steve.fetch("/hang", {
        method: "POST",
        body: pieces(Infinity, (made) => (pulled = made)),
        signal: abort.signal,
    });
    const taken = await settled(() => pulled);
    assert.ok(taken > 0 && taken < 1024, `${taken} pieces were taken for nobody`);
    abort.abort();
    await assert.rejects(sending, { name: "AbortError" });
    await fixture.app.hanging.ended();
});

test("a body can be read into a buffer of the reader's own", async () => {
    const response = await steve.fetch("/echo", { method: "POST", body: "0123456789" });
    const reader = response.body.getReader({ mode: "byob" });
    const { value } = await reader.read(new Uint8Array(4));
    assert.equal(new TextDecoder().decode(value), "0123");
    reader.releaseLock();
    const rest = await response.body.getReader().read();
    assert.equal(new TextDecoder().decode(rest.value), "456789");
});

test("aborted before, while waiting, and while reading", async () => {
    const before = AbortSignal.abort(new Error("before"));
    await assert.rejects(steve.fetch("/echo", { signal: before }), { message: "before" });

    const waiting = new AbortController();
    fixture.app.onHang = () => waiting.abort(new Error("waiting"));
    await assert.rejects(steve.fetch("/hang", { signal: waiting.signal }), { message: "waiting" });
    await fixture.app.hanging.ended();
    fixture.app.onHang = undefined;

    const reading = new AbortController();
    const response = await steve.fetch("/endless", { signal: reading.signal });
    const reader = response.body.getReader();
    await reader.read();
    reading.abort(new Error("reading"));
    await assert.rejects(
        async () => {
            for (;;) await reader.read();
        },
        { message: "reading" },
    );
    await fixture.app.endless.closed;
});

test("a signal of many requests aborts them all", async () => {
    const abort = new AbortController();
    let warned = false;
    process.once("warning", () => (warned = true));
    const requests = Array.from({ length: 20 }, () =>
        steve.fetch("/hang", { signal: abort.signal }),
    );
    setTimeout(() => abort.abort(), 100);
    for (const result of await Promise.allSettled(requests))
        assert.equal(result.reason?.name, "AbortError");
    await new Promise(setImmediate);
    assert.equal(warned, false);
});

test("a source that fails resets the request", async () => {
    const failing = new ReadableStream(
        {
            pull(controller) {
                controller.enqueue(new Uint8Array(10));
                controller.error(new Error("the disk is gone"));
            },
        },
        { highWaterMark: 0 },
    );
    await assert.rejects(steve.fetch("/length", { method: "POST", body: failing }), (error) => {
        assert.equal(error.code, "request-body");
        assert.equal(error.cause.message, "the disk is gone");
        return true;
    });
    const wrong = new ReadableStream({
        start: (controller) => (controller.enqueue("text"), controller.close()),
    });
    await assert.rejects(steve.fetch("/length", { method: "POST", body: wrong }), {
        code: "request-body",
    });
});

test("an app that breaks off is told from one that ends", async () => {
    const response = await steve.fetch("/broken");
    await assert.rejects(response.text(), (error) => {
        assert.ok(error instanceof SteveError);
        assert.deepEqual(
            [error.code, error.stage, error.reset, error.notDispatched],
            ["reset", "response", "app-failed", false],
        );
        return true;
    });
});

test("without streaming requests, streams take the tunnel", async () => {
    const opened = [];
    const { connectOn } = await import("../dist/connect.js");
    const { rootHash } = await import("../dist/dangerous-root.js");
    const { loadDangerous } = await import("./support/core.js");
    const { PROFILE } = await import("./support/fixture.js");
    const platform = {
        loadCore: loadDangerous,
        fetch: nodeFetch(),
        tunnels: () => (url, signal) => {
            opened.push(url);
            return nodeTunnels(url, signal);
        },
        streamsUploads: () => false,
    };
    const options = { origin: fixture.proxy.origin, policy: { profiles: [PROFILE] } };
    const client = await connectOn(platform, options, await rootHash(fixture.proxy.root));
    try {
        const large = new Uint8Array(3 * MIB).fill(1);
        const known = await client.fetch("/length", { method: "POST", body: large });
        assert.equal((await known.json()).length, large.length);
        assert.equal(opened.length, 0);

        const streamed = await client.fetch("/length", { method: "POST", body: pieces(160) });
        assert.equal((await streamed.json()).length, 10 * MIB);
        assert.match(opened[0], /^ws:.*\/tunnel$/);

        const echo = await client.fetch("/echo", { method: "POST", body: pieces(40) });
        assert.equal((await echo.arrayBuffer()).byteLength, 40 * 65_536);

        let pulled = 0;
        const abort = new AbortController();
        const hanging = client.fetch("/hang", {
            method: "POST",
            body: pieces(Infinity, (made) => (pulled = made)),
            signal: abort.signal,
        });
        const taken = await settled(() => pulled);
        assert.ok(taken > 0 && taken < 1024, `${taken} pieces were taken for nobody`);
        abort.abort();
        await assert.rejects(hanging, { name: "AbortError" });
        await fixture.app.hanging.ended();
    } finally {
        client.close();
    }
});

test("an answer that does not wait for the upload ends it", async () => {
    let cancelled;
    const over = new Promise((resolve) => (cancelled = resolve));
    const body = new ReadableStream({
        pull: (controller) => controller.enqueue(new Uint8Array(65_536)),
        cancel: cancelled,
    });
    const response = await steve.fetch("/status?code=413", { method: "POST", body });
    assert.equal(response.status, 413);
    assert.equal(await response.text(), "");
    await over;
    assert.equal((await steve.fetch("/status?code=200")).status, 200);
});

test("time-outs", async () => {
    const client = await fixture.connect({ timeouts: { request: 1000, idle: 200 } });
    await assert.rejects(client.fetch("/hang"), { code: "timeout", stage: "request" });
    let send;
    const body = new ReadableStream({ start: (controller) => (send = controller) });
    const response = await client.fetch("/echo", { method: "POST", body });
    send.enqueue(new Uint8Array(1));
    await assert.rejects(response.arrayBuffer(), { code: "timeout", stage: "response" });
});

test("a host that breaks a tunnel as soon as it is open breaks nothing else", async () => {
    const host = createServer((socket) => {
        socket.on("error", () => undefined);
        socket.once("data", () => {
            // The answer to the key is computed behind these, while the connection breaks.
            for (let busy = 0; busy < 8; busy += 1)
                pbkdf2("busy", "salt", 200_000, 64, "sha512", () => undefined);
            const head = "HTTP/1.1 101 -\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
            socket.write(head, () => setTimeout(() => socket.resetAndDestroy(), 20));
        });
    }).listen(0, "127.0.0.1");
    await once(host, "listening");
    const url = `ws://127.0.0.1:${host.address().port}/`;
    await assert.rejects(nodeTunnels(url, new AbortController().signal), { code: "transport" });
    host.close();
});

test("a stream that the host withholds in a tunnel does not fall out of the proxy's window", async () => {
    const withheld = [];
    class Withheld extends EventTarget {
        readyState = 1;
        bufferedAmount = 0;
        constructor() {
            super();
            queueMicrotask(() => this.onopen());
        }
        send(message) {
            withheld.push(message);
        }
        close() {}
    }
    const client = await fixture.connect({ WebSocket: Withheld });
    new client.WebSocket("/socket").onerror = () => undefined;
    while (withheld.length < 2) await new Promise(setImmediate);
    const fetchReceipt = async () => {
        const response = await client.fetch("/head");
        await response.text();
        return receiptOf(response);
    };
    const before = await fetchReceipt();
    let after;
    for (let count = 0; count < 1024; count += 64) {
        const all = Array.from({ length: 64 }, fetchReceipt);
        after = (await Promise.all(all)).at(-1);
    }
    assert.notEqual(after.sessionId, before.sessionId);
});
