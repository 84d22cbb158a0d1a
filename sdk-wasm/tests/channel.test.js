import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { inspect } from "node:util";
import { receiptOf, SteveError } from "steve-sdk/dangerous-development";
import { startFixture } from "./support/fixture.js";
import { startProxy } from "./support/proxy.js";

let fixture;
before(async () => {
    fixture = await startFixture();
});
after(() => fixture.stop());

/** A host that may do what it likes with the answers to streams, and what it saw. */
function host() {
    const seen = [];
    const host = {
        seen,
        /** What becomes of a body, as long as it is set. */
        change: undefined,
        /** An answer instead of the proxy's, after it or before. */
        answer: undefined,
        async fetch(url, init) {
            const kind = url.endsWith("/evidence")
                ? "evidence"
                : init.body instanceof Uint8Array && init.body[0] === 1
                  ? "hello"
                  : "stream";
            seen.push(kind);
            const forged = host.answer?.(kind);
            if (forged instanceof Error) throw forged;
            if (forged !== undefined) return forged;
            const response = await fetch(url, init);
            if (host.change === undefined || response.status !== 200) return response;
            const bytes = new Uint8Array(await response.arrayBuffer());
            return new Response(host.change(kind, bytes) ?? bytes, { status: 200 });
        },
    };
    return host;
}

async function clientWith(middle, options = {}) {
    return fixture.connect({ fetch: middle.fetch, ...options });
}

const outer = (status, code) => new Response(JSON.stringify({ error: code }), { status });

test("nothing of a request shows outside", async () => {
    const requests = [];
    const steve = await fixture.connect({
        fetch: async (url, init) => {
            requests.push({
                url,
                headers: init.headers,
                credentials: init.credentials,
                body: Buffer.from(init.body).toString("latin1"),
            });
            return fetch(url, init);
        },
    });
    await steve.fetch("/echo?secret-query", {
        method: "POST",
        body: "secret-body",
        headers: { "x-secret": "secret-value" },
    });
    const text = JSON.stringify(requests);
    assert.equal(/secret|echo/.test(text), false);
    assert.ok(requests.every(({ url }) => /\/v3\/(evidence|stream)$/.test(url)));
    assert.ok(requests.every(({ credentials }) => credentials === "omit"));
});

test("every bit of an answer counts", async () => {
    const middle = host();
    const steve = await clientWith(middle);
    for (const at of [0, 3, 4, 30, -1]) {
        middle.change = (kind, bytes) => {
            if (kind === "stream") bytes[at < 0 ? bytes.length + at : at] ^= 1;
        };
        const failing = steve
            .fetch("/echo", { method: "POST", body: "body" })
            .then((response) => response.text());
        await assert.rejects(failing, (error) => {
            assert.ok(["tampered", "truncated"].includes(error.code), `byte ${at}: ${error.code}`);
            return true;
        });
        middle.change = undefined;
        assert.equal(
            await (await steve.fetch("/echo", { method: "POST", body: "again" })).text(),
            "again",
        );
    }
});

test("a response that is cut off is never taken for whole", async () => {
    const middle = host();
    const steve = await clientWith(middle);
    const codes = new Set();
    for (const cut of [1, 5, 22, 26, 40]) {
        middle.change = (kind, bytes) =>
            kind === "stream" ? bytes.subarray(0, bytes.length - cut) : undefined;
        const failing = steve
            .fetch("/echo", { method: "POST", body: "body" })
            .then((response) => response.text());
        await assert.rejects(
            failing,
            (error) => codes.add(error.code) && error.code === "truncated",
        );
    }
    assert.deepEqual([...codes], ["truncated"]);
});

test("tampered evidence and handshakes", async () => {
    const middle = host();
    middle.change = (kind, bytes) => {
        if (kind === "evidence") bytes[bytes.length >> 1] ^= 1;
    };
    await assert.rejects(
        clientWith(middle),
        (error) => error.code.startsWith("evidence-") && error.report.checks.length === 14,
    );
    middle.change = (kind, bytes) => (kind === "evidence" ? new Uint8Array(300_000) : undefined);
    await assert.rejects(clientWith(middle), { code: "not-steve", stage: "evidence" });
    let recorded;
    middle.change = (kind, bytes) => (kind === "evidence" ? (recorded ??= bytes) : undefined);
    await (await clientWith(middle)).fetch("/head");
    await assert.rejects(clientWith(middle), { code: "evidence-nonce" });
    for (const [at, code] of [
        [0, "handshake-malformed"],
        [5, "handshake-not-confirmed"],
        [-1, "handshake-not-confirmed"],
    ]) {
        middle.change = (kind, bytes) => {
            if (kind === "hello") bytes[at < 0 ? bytes.length + at : at] ^= 1;
        };
        await assert.rejects(clientWith(middle), { code, stage: "handshake" });
    }
    middle.change = (kind, bytes) => (kind === "hello" ? bytes.subarray(1) : undefined);
    await assert.rejects(clientWith(middle), { code: "not-steve", stage: "handshake" });
});

test("unauthenticated failures repeat safe requests only", async () => {
    const middle = host();
    const steve = await clientWith(middle);
    const failures = [
        () => outer(422, "unrecognized"),
        () => outer(503, "unavailable"),
        () => outer(408, "timeout"),
        () => new TypeError("reset"),
    ];
    for (const failure of failures) {
        for (const [init, repeats] of [
            [{}, true],
            [{ method: "POST", body: "x" }, false],
            [{ method: "PUT", body: "x" }, false],
            [{ method: "DELETE" }, false],
            [{ method: "POST", body: "x", idempotent: true }, true],
            [{ method: "POST", body: new Blob(["x"]).stream(), idempotent: true }, false],
        ]) {
            let failed = 0;
            middle.answer = (kind) => (kind === "stream" && failed++ === 0 ? failure() : undefined);
            const result = await steve.fetch("/head", init).then(
                (response) => response.status,
                (error) => error.code,
            );
            const expected = repeats
                ? 200
                : failure() instanceof Error
                  ? "transport"
                  : "outer-status";
            assert.equal(
                result,
                expected,
                `${JSON.stringify(init)} after ${failure().status ?? "a broken connection"}`,
            );
        }
    }
    middle.answer = (kind) => (kind === "stream" ? outer(503, "unavailable") : undefined);
    middle.seen.length = 0;
    await assert.rejects(steve.fetch("/head"), {
        code: "outer-status",
        status: 503,
        hint: "unavailable",
        stage: "request",
    });
    assert.equal(middle.seen.filter((kind) => kind === "stream").length, 3);
    middle.answer = (kind) => (kind === "stream" ? outer(403, "<script>") : undefined);
    await assert.rejects(steve.fetch("/head"), {
        code: "outer-status",
        status: 403,
        hint: undefined,
    });
});

test("a handshake that is refused is tried with new evidence, once", async () => {
    const middle = host();
    for (const status of [422, 502, 503, 504]) {
        let refused = 0;
        middle.answer = (kind) =>
            kind === "hello" && refused++ === 0 ? outer(status, "unrecognized") : undefined;
        await clientWith(middle);
        assert.deepEqual(middle.seen.splice(0), ["evidence", "hello", "evidence", "hello"]);
    }
    middle.answer = (kind) => (kind === "hello" ? outer(422, "unrecognized") : undefined);
    middle.seen.length = 0;
    await assert.rejects(clientWith(middle), {
        code: "outer-status",
        status: 422,
        stage: "handshake",
    });
    assert.deepEqual(middle.seen, ["evidence", "hello", "evidence", "hello"]);
});

test("nobody there", async () => {
    await assert.rejects(fixture.connect({ origin: "http://127.0.0.1:1" }), {
        code: "transport",
        stage: "evidence",
    });
    const silent = {
        fetch: (_, { signal }) =>
            new Promise((_, reject) =>
                signal.addEventListener("abort", () => reject(signal.reason)),
            ),
    };
    await assert.rejects(clientWith(silent, { timeouts: { setup: 50 } }), {
        code: "timeout",
        stage: "evidence",
    });
});

test("a proxy that restarts is verified anew", async () => {
    const before = await startProxy(fixture.app.port);
    const events = [];
    const steve = await fixture.connect({
        origin: before.origin,
        dangerousTrustRoot: before.root,
        on: {
            session: ({ id }) => events.push(`session ${id}`),
            verified: ({ moduleId }) => events.push(moduleId),
        },
    });
    await (await steve.fetch("/head")).text();
    assert.equal(events.length, 2);
    await before.stop();
    const again = await startProxy(fixture.app.port, { port: before.port });
    try {
        // A development attester has another root after a restart, so the new evidence fails there.
        await assert.rejects(steve.fetch("/head"), { code: "evidence-root" });
        const fresh = await fixture.connect({
            origin: again.origin,
            dangerousTrustRoot: again.root,
        });
        assert.equal((await fresh.fetch("/head")).status, 200);
    } finally {
        await again.stop();
    }
});

test("events, until unsubscribed", async () => {
    const steve = await fixture.connect();
    const verified = [];
    const stop = steve.on("verified", (enclave) => verified.push(enclave.moduleId));
    const { moduleId } = await steve.verify();
    await new Promise(setImmediate);
    assert.deepEqual(verified, [moduleId]);
    stop();
    await steve.verify();
    await new Promise(setImmediate);
    assert.equal(verified.length, 1);
    const errors = [];
    steve.on("error", (error) => errors.push(error.code));
    await assert.rejects(steve.fetch("https://elsewhere.example/"));
    await new Promise(setImmediate);
    assert.deepEqual(errors, ["invalid-request"]);
});

test("a closed client is of no use, and what was under way ends", async () => {
    const steve = await fixture.connect();
    const reading = (await steve.fetch("/endless")).body.getReader();
    await reading.read();
    let hung;
    fixture.app.onHang = () => hung();
    const waiting = new Promise((resolve) => (hung = resolve));
    const hanging = steve.fetch("/hang");
    await waiting;
    fixture.app.onHang = undefined;
    steve.close();
    steve.close();
    await assert.rejects(hanging, { code: "closed" });
    await assert.rejects(
        async () => {
            for (;;) await reading.read();
        },
        { code: "closed" },
    );
    for (const use of [
        () => steve.fetch("/head"),
        () => steve.verify(),
        () => steve.sessionBinding(),
    ]) {
        await assert.rejects(
            use,
            (error) => error instanceof SteveError && error.code === "closed",
        );
    }
    let disposed;
    {
        disposed = await fixture.connect();
        disposed[Symbol.dispose]?.();
    }
    if (Symbol.dispose) await assert.rejects(disposed.fetch("/head"), { code: "closed" });
});

test("a session is made once, however many need it, and again when evidence is old", async () => {
    const middle = host();
    const steve = await clientWith(middle, { maxEvidenceAge: 3000 });
    await Promise.all(Array.from({ length: 10 }, () => steve.fetch("/head")));
    assert.deepEqual(
        middle.seen.filter((kind) => kind !== "stream"),
        ["evidence", "hello"],
    );
    const first = receiptOf(await steve.fetch("/head")).sessionId;
    await new Promise((resolve) => setTimeout(resolve, 3100));
    const responses = await Promise.all(Array.from({ length: 10 }, () => steve.fetch("/head")));
    assert.deepEqual(
        middle.seen.filter((kind) => kind !== "stream"),
        ["evidence", "hello", "evidence", "hello"],
    );
    const ids = new Set(responses.map((response) => receiptOf(response).sessionId));
    assert.equal(ids.size, 1);
    assert.equal(ids.has(first), false);
});

test("errors hold nothing of a request or of its answer", async () => {
    const steve = await fixture.connect();
    const errors = [];
    for (const attempt of [
        () => steve.fetch("http://[secret"),
        () => steve.fetch("/head", { headers: { authorization: "secret\nx" } }),
        () => steve.fetch("/head", { headers: [["secret name", "x"]] }),
        () => steve.fetch(`/redirect?to=${encodeURIComponent("http://[secret")}`),
        () => steve.fetch(`/redirect?to=${encodeURIComponent("http://secret.example/")}`),
    ]) {
        await attempt().catch((error) => errors.push(error));
    }
    assert.equal(errors.length, 5);
    for (const error of errors) assert.doesNotMatch(inspect(error), /secret/);
});
