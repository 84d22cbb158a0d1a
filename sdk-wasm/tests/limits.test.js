/** What a host or an app cannot make the client wait for, keep, or believe. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { WebSocketServer } from "ws";
import { connectOn } from "../dist/connect.js";
import { rootHash } from "../dist/dangerous-root.js";
import { nodeFetch } from "../dist/node-http.js";
import { nodeTunnels } from "../dist/node-tunnel.js";
import { Signatures } from "../dist/signatures.js";
import { loadDangerous } from "./support/core.js";
import { PROFILE, startFixture } from "./support/fixture.js";

let fixture;
before(async () => {
    fixture = await startFixture({ options: ["--session-idle-timeout", "10"] });
});
after(() => fixture.stop());

/** A client on Node that streams uploads through these tunnels. */
async function connectThrough(openTunnel) {
    const platform = {
        loadCore: loadDangerous,
        fetch: nodeFetch(),
        tunnels: () => openTunnel,
        streamsUploads: () => false,
    };
    const options = { origin: fixture.proxy.origin, policy: { profiles: PROFILE } };
    return connectOn(platform, options, await rootHash(fixture.proxy.root));
}

/** `fetch` that changes the answer to the first request, which comes after the first handshake. */
function changing(change) {
    let streams = 0;
    return async (url, init) => {
        const response = await fetch(url, init);
        if (!url.endsWith("/stream")) return response;
        streams += 1;
        return streams === 2 ? new Response(change(response.body)) : response;
    };
}

function endlessBody() {
    return new ReadableStream({
        pull: (controller) => controller.enqueue(new Uint8Array(65_536)),
    });
}

test("an outer response that goes on after the inner one is given up", async () => {
    let cancelled;
    const over = new Promise((resolve) => (cancelled = resolve));
    const client = await fixture.connect({
        fetch: changing((body) => {
            const reader = body.getReader();
            return new ReadableStream({
                async pull(controller) {
                    const { done, value } = await reader.read();
                    if (done) await new Promise(() => undefined);
                    controller.enqueue(value);
                },
                cancel: cancelled,
            });
        }),
    });
    assert.equal((await (await client.fetch("/head")).json()).method, "GET");
    await over;
});

test("bytes that open as no frame keep no session alive", async () => {
    const sessions = new Set();
    const { now } = Date;
    let withheld;
    const read = new Promise((resolve) => (withheld = resolve));
    const client = await fixture.connect({
        on: { session: ({ id }) => sessions.add(id) },
        fetch: changing(() => {
            let pulls = 0;
            const pull = (controller) => {
                pulls += 1;
                if (pulls > 2) return withheld();
                // For longer than a session may be idle.
                if (pulls === 2) Date.now = () => now() + 60_000;
                controller.enqueue(new Uint8Array(1));
            };
            return new ReadableStream({ pull }, { highWaterMark: 0 });
        }),
    });
    try {
        const gone = new AbortController();
        const hanging = client.fetch("/head", { signal: gone.signal });
        await read;
        assert.equal((await client.fetch("/head")).status, 200);
        assert.equal(sessions.size, 2);
        gone.abort();
        await assert.rejects(hanging, { name: "AbortError" });
    } finally {
        Date.now = now;
    }
});

test("a tunnel that does not open is given up with the signal", async () => {
    let late;
    const closed = new Promise((resolve) => {
        late = { close: resolve };
    });
    let open;
    const client = await connectThrough(() => new Promise((resolve) => (open = resolve)));
    const gone = new AbortController();
    const body = new Blob(["body"]).stream();
    const hanging = client.fetch("/echo", { method: "POST", body, signal: gone.signal });
    while (open === undefined) await new Promise(setImmediate);
    gone.abort();
    await assert.rejects(hanging, { name: "AbortError" });
    open(late);
    await closed;
    client.close();
});

test("an answer is read although the upload behind it fails", async () => {
    const client = await connectThrough(async (url, signal) => {
        const tunnel = await nodeTunnels(url, signal);
        let sent = 0;
        const send = (message) => {
            sent += 1;
            return sent < 4 ? tunnel.send(message) : Promise.reject(new Error("broken"));
        };
        return { ...tunnel, send };
    });
    const response = await client.fetch("/status?code=413", {
        method: "POST",
        body: endlessBody(),
    });
    assert.equal(response.status, 413);
    client.close();
});

test("a tunnel is closed by a Close frame, also with the signal", async () => {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    await once(server, "listening");
    const url = `ws://127.0.0.1:${server.address().port}/`;
    const ends = [
        (tunnel) => tunnel.close(),
        (tunnel) => tunnel.readable.cancel(),
        (_, abort) => abort.abort(),
    ];
    for (const end of ends) {
        const accepted = once(server, "connection");
        const abort = new AbortController();
        const tunnel = await nodeTunnels(url, abort.signal);
        const [socket] = await accepted;
        const closed = once(socket, "close");
        end(tunnel, abort);
        assert.equal((await closed)[0], 1000);
    }
    server.close();
});

test("a response that has no body has no endless one", async () => {
    const client = await fixture.connect();
    await assert.rejects(client.fetch("/endless-205"), {
        code: "invalid-response",
        stage: "response",
    });
    await fixture.app.endless.closed;
    assert.equal((await client.fetch("/status?code=205")).status, 205);
});

test("informational responses come to an end", async () => {
    const client = await fixture.connect();
    let count = 0;
    const onInformational = () => (count += 1);
    await assert.rejects(client.fetch("/endless-hints", { onInformational }), {
        code: "invalid-response",
    });
    assert.equal(count, 65);
});

test("verdicts are those of the functions that there were when the package was loaded", async () => {
    const { prototype } = SubtleCrypto;
    const { verify, importKey } = prototype;
    const noSignature = [97, 500, 96].map((length) => new Uint8Array(length).fill(4));
    prototype.verify = prototype.importKey = async () => true;
    try {
        assert.deepEqual(await new Signatures().verdictsOn(noSignature), new Uint8Array(1));
        const client = await fixture.connect();
        assert.equal((await client.verify()).report.checks.length, 14);
    } finally {
        Object.assign(prototype, { verify, importKey });
    }
});

test("a valid signature is one under its key, again and again", async () => {
    const algorithm = { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" };
    const { subtle } = crypto;
    const pair = await subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const message = new TextEncoder().encode("signed");
    const key = new Uint8Array(await subtle.exportKey("raw", pair.publicKey));
    const signature = new Uint8Array(await subtle.sign(algorithm, pair.privateKey, message));
    const changed = (bytes) => bytes.map((byte, at) => (at === bytes.length - 1 ? byte ^ 1 : byte));
    const signatures = new Signatures();
    for (let round = 0; round < 2; round += 1) {
        const verdicts = await signatures.verdictsOn([
            ...[key, message, signature],
            ...[changed(key), message, signature],
            ...[key, changed(message), signature],
            ...[key, message, changed(signature)],
        ]);
        assert.deepEqual([...verdicts], [1, 0, 0, 0]);
    }
});

test("http and https are of use in one process", async () => {
    const { port } = fixture.proxy;
    // The proxy has no TLS: it takes the handshake for a bad request.
    await assert.rejects(fixture.connect({ origin: `https://127.0.0.1:${port}` }), (error) => {
        assert.equal(error.code, "transport");
        assert.notEqual(error.cause.code, "ERR_INVALID_PROTOCOL");
        return true;
    });
    await fixture.connect();
});

test("without WebCrypto there is no connection, and a reason", async () => {
    const script = `
        Object.defineProperty(globalThis, "crypto", { value: undefined });
        const { connect } = await import("steve-sdk");
        await connect({ origin: "http://127.0.0.1:9", policy: { profiles: [] } }).catch(({ code }) =>
            console.log(code),
        );
    `;
    const run = promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], {
        cwd: new URL("..", import.meta.url).pathname,
    });
    assert.equal((await run).stdout.trim(), "insecure-context");
});
