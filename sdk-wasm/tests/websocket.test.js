import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { WebSocket as PlatformWebSocket } from "ws";
import { connectOn } from "../dist/connect.js";
import { rootHash } from "../dist/dangerous-root.js";
import { nodeFetch } from "../dist/node-http.js";
import { webSocketTunnels } from "../dist/tunnel.js";
import { loadDangerous } from "./support/core.js";
import { PROFILE, startFixture } from "./support/fixture.js";

let fixture;
let steve;
before(async () => {
    fixture = await startFixture();
    steve = await fixture.connect();
});
after(() => fixture.stop());

/** An open WebSocket. */
async function open(protocols) {
    const socket = new steve.WebSocket("/socket", protocols);
    socket.binaryType = "arraybuffer";
    await once(socket, "open");
    return socket;
}

async function exchange(socket, message) {
    const answer = once(socket, "message");
    socket.send(message);
    return (await answer)[0].data;
}

/** How a socket was closed. */
async function closing(socket) {
    const [{ code, reason, wasClean }] = await once(socket, "close");
    return { code, reason, wasClean };
}

test("text and binary messages of any kind and size are echoed", async () => {
    const socket = await open();
    assert.equal(socket.readyState, steve.WebSocket.OPEN);
    for (const text of ["", "text", "€".repeat(100), "x".repeat(70_000)]) {
        assert.equal(await exchange(socket, text), text);
    }
    for (const length of [0, 1, 125, 126, 65_535, 65_536, 5_000_000]) {
        const bytes = new Uint8Array(length).map((_, at) => at % 253);
        assert.equal(
            Buffer.compare(Buffer.from(await exchange(socket, bytes)), bytes),
            0,
            `${length} bytes`,
        );
    }
    assert.deepEqual(
        new Uint8Array(await exchange(socket, new DataView(new ArrayBuffer(3)))),
        new Uint8Array(3),
    );
    assert.equal(socket.bufferedAmount, 0);
    socket.binaryType = "blob";
    const blob = await exchange(socket, new Blob(["of a blob"]));
    assert.equal(await blob.text(), "of a blob");
    socket.close();
    await once(socket, "close");
});

test("messages stay in order, also behind a blob", async () => {
    const socket = await open();
    const got = [];
    const all = new Promise((resolve) => {
        socket.onmessage = ({ data, target, origin }) => {
            assert.equal(target, socket);
            assert.equal(origin, fixture.proxy.origin.replace("http", "ws"));
            got.push(typeof data === "string" ? data : Buffer.from(data).toString());
            if (got.length === 4) resolve();
        };
    });
    for (const message of ["one", new Blob(["two"]), "three", "four"]) socket.send(message);
    assert.ok(socket.bufferedAmount > 0);
    await all;
    assert.deepEqual(got, ["one", "two", "three", "four"]);
    socket.close();
});

test("the client closes", async () => {
    const socket = await open();
    socket.close(3456, "enough");
    assert.equal(socket.readyState, steve.WebSocket.CLOSING);
    assert.deepEqual(await closing(socket), { code: 3456, reason: "enough", wasClean: true });
    assert.equal(socket.readyState, steve.WebSocket.CLOSED);
    const plain = await open();
    plain.close();
    assert.deepEqual(await closing(plain), { code: 1005, reason: "", wasClean: true });
});

test("the app closes, in order and not", async () => {
    const codes = {
        "close 4321": { code: 4321, reason: "as asked", wasClean: true },
        "close without code": { code: 1005, reason: "", wasClean: true },
        terminate: { code: 1006, reason: "", wasClean: false },
    };
    for (const [message, expected] of Object.entries(codes)) {
        const socket = await open();
        socket.onerror = () => undefined;
        socket.send(message);
        assert.deepEqual(await closing(socket), expected, message);
    }
});

test("pings are answered, and fragments put together", async () => {
    const socket = await open();
    assert.equal(await exchange(socket, "ping"), "pong: are you there");
    const answers = [];
    const both = new Promise((resolve) => {
        socket.onmessage = ({ data }) => answers.push(data) === 2 && resolve();
    });
    socket.send("fragments");
    await both;
    assert.deepEqual(answers.sort(), ["one two three", "pong: between"]);
    socket.close();
});

test("an app that breaks the rules loses the connection", async () => {
    for (const message of ["not utf-8", "masked"]) {
        const socket = await open();
        const error = once(socket, "error");
        socket.send(message);
        assert.equal((await closing(socket)).code, 1006, message);
        assert.equal((await error)[0].error.code, "truncated");
    }
});

test("a message that cannot be read ends the connection", async () => {
    const socket = await open();
    const error = once(socket, "error");
    const closed = closing(socket);
    const unreadable = new Blob(["gone"]);
    unreadable.arrayBuffer = () => Promise.reject(new DOMException("gone", "NotReadableError"));
    socket.send(unreadable);
    socket.send("behind it");
    assert.equal((await closed).code, 1006);
    assert.equal((await error)[0].error.name, "NotReadableError");
});

test("subprotocols", async () => {
    const socket = await open(["first", "second"]);
    assert.equal(socket.protocol, "second");
    socket.close();
    const unwanted = new steve.WebSocket("/socket", "first");
    const error = once(unwanted, "error");
    assert.equal((await closing(unwanted)).code, 1006);
    assert.equal((await error)[0].error.code, "websocket-refused");
});

test("an app that does not upgrade", async () => {
    const socket = new steve.WebSocket("/refused");
    const error = once(socket, "error");
    assert.deepEqual(await closing(socket), { code: 1006, reason: "", wasClean: false });
    assert.equal((await error)[0].error.code, "websocket-refused");
});

test("arguments are held to the standard", async () => {
    const { WebSocket } = steve;
    const { origin } = fixture.proxy;
    for (const url of [origin, origin.replace("http", "ws"), "/path"]) {
        const socket = new WebSocket(url);
        assert.match(socket.url, /^ws:/);
        socket.onerror = () => undefined;
        socket.close();
        assert.equal((await closing(socket)).code, 1006);
    }
    for (const url of ["wss://elsewhere.example/", "http://[", "ftp://x/"]) {
        assert.throws(() => new WebSocket(url), { name: "SyntaxError" }, url);
    }
    for (const protocols of ["a b", ["a", "a"], [""]]) {
        assert.throws(() => new WebSocket("/", protocols), { name: "SyntaxError" });
    }
    const socket = new WebSocket("/socket");
    assert.throws(() => socket.send("early"), { name: "InvalidStateError" });
    await once(socket, "open");
    assert.throws(() => socket.close(1001), { name: "InvalidAccessError" });
    assert.throws(() => socket.close(1000, "x".repeat(124)), { name: "SyntaxError" });
    socket.close();
    await once(socket, "close");
    socket.send("dropped");
});

test("closing the client ends its WebSockets", async () => {
    const client = await fixture.connect();
    const socket = new client.WebSocket("/socket");
    await once(socket, "open");
    socket.onerror = () => undefined;
    const closed = closing(socket);
    client.close();
    assert.equal((await closed).code, 1006);
});

test("a platform's own WebSocket carries the tunnel, as in browsers", async () => {
    const platform = {
        loadCore: loadDangerous,
        fetch: nodeFetch(),
        tunnels: () => webSocketTunnels(PlatformWebSocket),
        streamsUploads: () => false,
    };
    const options = { origin: fixture.proxy.origin, policy: { profiles: PROFILE } };
    const client = await connectOn(platform, options, await rootHash(fixture.proxy.root));
    try {
        const socket = new client.WebSocket("/socket");
        await once(socket, "open");
        assert.equal(await exchange(socket, "through another"), "through another");
        const large = "x".repeat(3_000_000);
        assert.equal(await exchange(socket, large), large);
        socket.close(1000);
        assert.equal((await closing(socket)).code, 1000);

        const body = new Blob([large]).stream();
        const response = await client.fetch("/echo", { method: "POST", body });
        assert.equal(await response.text(), large);

        const gone = new AbortController();
        const endless = new ReadableStream({
            pull: (controller) => controller.enqueue(new Uint8Array(65_536)),
        });
        const hanging = client.fetch("/hang", {
            method: "POST",
            body: endless,
            signal: gone.signal,
        });
        fixture.app.onHang = () => gone.abort();
        await assert.rejects(hanging, { name: "AbortError" });
        fixture.app.onHang = undefined;
    } finally {
        client.close();
    }
});

/** A WebSocket that is closed as soon as it is open. */
function forging(code) {
    return class Forged extends EventTarget {
        static made = 0;
        readyState = 0;
        bufferedAmount = 0;

        constructor() {
            super();
            Forged.made += 1;
            queueMicrotask(() => {
                this.onopen();
                const close = Object.assign(new Event("close"), { code, reason: "unavailable" });
                setImmediate(() => this.dispatchEvent(close));
            });
        }

        send() {}

        close() {}
    };
}

test("a tunnel that is refused is a hint", async () => {
    const refusing = new Map([
        [4503, { code: "outer-status", status: 503, hint: "unavailable" }],
        [1000, { code: "truncated" }],
    ]);
    for (const [code, expected] of refusing) {
        // The host forges the end: what the proxy says to it stays unheard.
        const Forged = forging(code);
        const client = await fixture.connect({ WebSocket: Forged });
        const socket = new client.WebSocket("/socket");
        const [{ error }] = await once(socket, "error");
        assert.equal(error.code, expected.code);
        assert.equal(error.status, expected.status);
        assert.equal(error.hint, expected.hint);
        // A request to upgrade is no safe one: the app may have got it.
        assert.equal(Forged.made, 1);
    }
});
