/** Requests that go along with the handshake: what they save, and what is never done with them. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect, receiptOf } from "steve-sdk/dangerous-development";
import { Session } from "../dist/session.js";
import { PROFILE, startFixture } from "./support/fixture.js";
import { startProxy } from "./support/proxy.js";

let fixture;
before(async () => {
    fixture = await startFixture();
});
after(() => fixture.stop());

const refusal = (status) => new Response(JSON.stringify({ error: "forged" }), { status });

/** A client behind a host that sees what is sent, and may do what it likes with the answers. */
async function client(options = {}, start = (more) => fixture.connect(more)) {
    const seen = [];
    const host = { seen, answer: undefined };
    let helloLength = Infinity;
    host.steve = await start({
        async fetch(url, init) {
            const isHello = init.body[0] === 1 && url.endsWith("/stream");
            if (isHello) helloLength = Math.min(helloLength, init.body.length);
            const hello = init.body.length > helloLength ? "early" : "hello";
            const kind = url.endsWith("/evidence") ? "evidence" : isHello ? hello : "stream";
            seen.push(kind);
            const forward = () => fetch(url, init);
            return (await host.answer?.(kind, forward)) ?? forward();
        },
        ...options,
    });
    seen.length = 0;
    return host;
}

/** Ends the session, in a way that any host can. */
async function endSession(host) {
    host.answer = () => refusal(422);
    await assert.rejects(host.steve.fetch("/head", { method: "POST" }), { code: "outer-status" });
    host.answer = undefined;
    host.seen.length = 0;
}

/** Does something once, with what is of this kind. */
function once(host, kind, change) {
    host.answer = (found, forward) => {
        if (found !== kind) return undefined;
        host.answer = undefined;
        return change(forward);
    };
}

const count = (path) => fixture.app.counts.get(path) ?? 0;

/** The stream of a request that is the first one of a session. */
async function firstStream(host, init) {
    await endSession(host);
    const response = await host.steve.fetch("/head", init);
    await response.text();
    return receiptOf(response).streamId;
}

test("the first request of a later session costs no round trip more", async () => {
    const host = await client();
    await endSession(host);
    const dispatched = count("/head");
    const response = await host.steve.fetch("/head?early", { headers: { "x-field": "value" } });
    const { url, headers } = await response.json();
    assert.deepEqual([url, headers["x-field"]], ["/head?early", "value"]);
    assert.equal(receiptOf(response).streamId, 0);
    assert.deepEqual(host.seen, ["early"]);
    const next = await host.steve.fetch("/head");
    await next.text();
    assert.deepEqual(host.seen, ["early", "stream"]);
    assert.equal(receiptOf(next).streamId, 1);
    assert.equal(receiptOf(next).sessionId, receiptOf(response).sessionId);
    assert.equal(count("/head"), dispatched + 2);
});

test("only small safe requests go early, unless the caller says otherwise", async () => {
    const host = await client();
    for (const method of ["GET", "HEAD", "OPTIONS"]) {
        assert.equal(await firstStream(host, { method }), 0, method);
        assert.equal(await firstStream(host, { method, early: false }), 1, method);
    }
    for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
        assert.equal(await firstStream(host, { method, body: "body" }), 1, method);
        assert.equal(await firstStream(host, { method, body: "body", early: true }), 0, method);
    }
    for (const init of [
        { method: "POST", early: true, body: new Uint8Array(20_000) },
        { method: "POST", early: true, body: new Blob(["stream"]).stream(), duplex: "half" },
        { method: "POST", early: true, body: "body", trailers: () => ({}) },
        { headers: { "x-large": "x".repeat(20_000) } },
        { headers: { expect: "100-continue" } },
    ]) {
        assert.equal(await firstStream(host, init), 1);
    }
    const late = await client({ earlyData: false });
    assert.equal(await firstStream(late, {}), 1);
    assert.equal(await firstStream(late, { early: true }), 0);
});

test("a rejected request is sent once more, and the next one is not offered", async () => {
    const proxy = await startProxy(fixture.app.port, { options: ["--early-data", "false"] });
    const host = await client({}, (more) =>
        connect({
            origin: proxy.origin,
            policy: { profiles: [PROFILE] },
            dangerousTrustRoot: proxy.root,
            ...more,
        }),
    );
    try {
        await endSession(host);
        const dispatched = count("/echo");
        const send = () => host.steve.fetch("/echo", { method: "POST", body: "body", early: true });
        assert.equal(await (await send()).text(), "body");
        assert.deepEqual(host.seen, ["early", "stream"]);
        await endSession(host);
        assert.equal(await (await send()).text(), "body");
        assert.deepEqual(host.seen, ["hello", "stream"]);
        assert.equal(count("/echo"), dispatched + 2);
    } finally {
        host.steve.close();
        await proxy.stop();
    }
});

test("forged answers repeat only what may be repeated", async () => {
    const host = await client();
    for (const status of [422, 503]) {
        const forge = async (forward) => {
            await (await forward()).arrayBuffer();
            return refusal(status);
        };
        await endSession(host);
        const paid = count("/echo");
        once(host, "early", forge);
        await assert.rejects(
            host.steve.fetch("/echo", { method: "POST", body: "1 euro", early: true }),
            { code: "outer-status", status, notDispatched: false },
        );
        assert.equal(count("/echo"), paid + 1);
        await endSession(host);
        const read = count("/head");
        once(host, "early", forge);
        assert.equal((await host.steve.fetch("/head")).status, 200);
        assert.equal(count("/head"), read + 2);
        assert.equal(host.seen.filter((kind) => kind === "early").length, 1);
    }
});

test("an early request counts among the three times that it is sent", async () => {
    const host = await client();
    await endSession(host);
    host.answer = (kind) => (kind === "early" || kind === "stream" ? refusal(503) : undefined);
    await assert.rejects(host.steve.fetch("/head"), { code: "outer-status", status: 503 });
    const sent = host.seen.filter((kind) => kind === "early" || kind === "stream");
    assert.deepEqual(sent, ["early", "stream", "stream"]);
    await endSession(host);
    host.answer = (kind) => (kind === "early" || kind === "stream" ? refusal(422) : undefined);
    await assert.rejects(host.steve.fetch("/head"), { code: "outer-status", status: 422 });
    const again = host.seen.filter((kind) => kind === "early" || kind === "stream");
    assert.deepEqual(again, ["early", "stream", "stream"]);
});

test("every part of an answer counts", async () => {
    const host = await client();
    for (const [at, code] of [
        [5, "handshake-not-confirmed"],
        [-1, "tampered"],
    ]) {
        await endSession(host);
        once(host, "early", async (forward) => {
            const bytes = new Uint8Array(await (await forward()).arrayBuffer());
            bytes[at < 0 ? bytes.length + at : at] ^= 1;
            return new Response(bytes);
        });
        const reading = host.steve.fetch("/head").then((response) => response.text());
        await assert.rejects(reading, { code });
    }
    await endSession(host);
    once(host, "early", async (forward) => {
        const bytes = new Uint8Array(await (await forward()).arrayBuffer());
        return new Response(bytes.subarray(0, 80));
    });
    await assert.rejects(host.steve.fetch("/head"), { code: "not-steve", stage: "handshake" });
    assert.equal(
        await (await host.steve.fetch("/echo", { method: "POST", body: "a" })).text(),
        "a",
    );
});

/** A host that holds the answer to an early request back until `release`. */
function stall(host) {
    let release;
    const released = new Promise((resolve) => (release = resolve));
    const held = new Promise((resolve) => {
        once(host, "early", async (forward) => {
            const answer = await forward();
            resolve();
            await released;
            return answer;
        });
    });
    return { held, release };
}

test("others do not wait for an answer that is held back", async () => {
    const host = await client();
    await endSession(host);
    const { held, release } = stall(host);
    const stalled = host.steve.fetch("/head?stalled");
    await held;
    const other = await host.steve.fetch("/echo", { method: "POST", body: "other" });
    assert.equal(await other.text(), "other");
    release();
    const response = await stalled;
    assert.equal((await response.json()).url, "/head?stalled");
    assert.equal(receiptOf(response).streamId, 0);
    assert.notEqual(receiptOf(response).sessionId, receiptOf(other).sessionId);
    assert.equal(await firstStream(host, {}), 1, "not offered again to the same enclave");
});

test("who gives up an early request leaves the others their session", async () => {
    const host = await client();
    await endSession(host);
    const { held, release } = stall(host);
    const abort = new AbortController();
    const stalled = host.steve.fetch("/head?stalled", { signal: abort.signal });
    await held;
    const other = host.steve.fetch("/echo", { method: "POST", body: "other" });
    abort.abort(new Error("enough"));
    await assert.rejects(stalled, { message: "enough" });
    assert.equal(await (await other).text(), "other");
    release();
});

test("a request that was given up before its handshake is not sent", async () => {
    const maxEvidenceAge = 3000;
    const host = await client({ maxEvidenceAge });
    await new Promise((resolve) => setTimeout(resolve, maxEvidenceAge + 100));
    const abort = new AbortController();
    let other;
    once(host, "evidence", async (forward) => {
        other = host.steve.fetch("/echo", { method: "POST", body: "other" });
        abort.abort(new Error("enough"));
        return forward();
    });
    const given = host.steve.fetch("/head", { signal: abort.signal });
    await assert.rejects(given, { message: "enough" });
    assert.equal(await (await other).text(), "other");
    assert.deepEqual(host.seen, ["evidence", "hello", "stream"]);
});

test("a session counts as confirmed by the app's answers only", () => {
    const clock = { time: 0, now: () => clock.time };
    const trusted = { clock, info: { validUntil: Infinity } };
    const core = {
        id: () => "",
        suite: () => "",
        lifetime: () => 3_600_000,
        idleTimeout: () => 600_000,
        maxStreams: () => 100,
    };
    const usable = (early, confirm) => {
        clock.time = 0;
        const session = new Session(core, trusted, 0, early);
        confirm?.(session);
        const at = (time, once) => {
            clock.time = time;
            return session.isUsable(once);
        };
        return [at(1_900, true), at(2_000, true), at(29_900, false), at(30_000, false)];
    };
    assert.deepEqual(usable(true), [true, false, true, false]);
    assert.deepEqual(usable(false), [true, true, true, false]);
    const proxyAnswered = (session) => session.answered(new Headers({ "steve-error": "busy" }));
    assert.deepEqual(usable(true, proxyAnswered), [true, false, true, false]);
    const appAnswered = (session) => session.answered(new Headers());
    assert.deepEqual(usable(true, appAnswered), [true, true, true, true]);
});
