import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { receiptOf, SteveError } from "steve-sdk/dangerous-development";
import { startFixture } from "./support/fixture.js";

let fixture;
let steve;
before(async () => {
    fixture = await startFixture();
    steve = await fixture.connect();
});
after(() => fixture.stop());

/** What the app saw of a request. */
async function seen(input, init) {
    return (await steve.fetch(input, init)).json();
}

test("a GET arrives with method, path and headers", async () => {
    const { method, url, headers } = await seen("/head?a=b%20c#fragment", {
        headers: { "X-Own": "1" },
    });
    assert.equal(method, "GET");
    assert.equal(url, "/head?a=b%20c");
    assert.equal(headers["x-own"], "1");
    assert.equal(headers.accept, "*/*");
    assert.equal(headers.host, new URL(fixture.proxy.origin).host);
    assert.equal(headers["steve-session"], await steve.sessionBinding());
    assert.equal("content-length" in headers, false);
});

test("a URL may be relative, absolute, a URL or a Request", async () => {
    const { origin } = fixture.proxy;
    for (const input of [
        "/head",
        "head",
        `${origin}/head`,
        new URL("/head", origin),
        new Request(`${origin}/head`),
    ]) {
        assert.equal((await seen(input)).url, "/head");
    }
});

const form = new FormData();
form.set("field", "value");
form.set("file", new File(["content"], "name.txt", { type: "text/plain" }));
const bodies = [
    ["string", "text €", "text/plain;charset=UTF-8", "text €"],
    [
        "URLSearchParams",
        new URLSearchParams({ a: "b c" }),
        "application/x-www-form-urlencoded;charset=UTF-8",
        "a=b+c",
    ],
    ["Blob", new Blob(["blob"], { type: "image/x-test" }), "image/x-test", "blob"],
    ["ArrayBuffer", new TextEncoder().encode("buffer").buffer, "none", "buffer"],
    ["view", new TextEncoder().encode("-view-").subarray(1, 5), "none", "view"],
    ["DataView", new DataView(new TextEncoder().encode("data").buffer), "none", "data"],
    ["empty string", "", "text/plain;charset=UTF-8", ""],
];
for (const [name, body, type, text] of bodies) {
    test(`a body that is a ${name}`, async () => {
        const response = await steve.fetch("/echo", { method: "POST", body });
        assert.equal(response.headers.get("content-type"), type);
        assert.equal(await response.text(), text);
        const { headers } = await seen("/head", { method: "POST", body });
        assert.equal(headers["content-length"], String(new TextEncoder().encode(text).length));
    });
}

test("a form is encoded as multipart", async () => {
    const response = await steve.fetch("/echo", { method: "POST", body: form });
    const echoed = await response.formData();
    assert.equal(echoed.get("field"), "value");
    assert.equal(await echoed.get("file").text(), "content");
});

test("a Request brings its method, headers and body", async () => {
    const request = () =>
        new Request(`${fixture.proxy.origin}/echo`, {
            method: "PUT",
            body: "of the request",
            headers: { "content-type": "x/y" },
        });
    const response = await steve.fetch(request());
    assert.equal(response.headers.get("content-type"), "x/y");
    assert.equal(await response.text(), "of the request");
    const replaced = await steve.fetch(request(), { method: "POST", body: "of the init" });
    assert.equal(await replaced.text(), "of the init");
    const used = request();
    await used.text();
    await assert.rejects(steve.fetch(used), { code: "invalid-request" });
});

test("a POST without a body says so", async () => {
    assert.equal((await seen("/head", { method: "POST" })).headers["content-length"], "0");
});

test("large bodies of known length", async () => {
    const body = new Uint8Array(5 << 20).map((_, at) => at % 251);
    for (const sent of [body, new Blob([body])]) {
        const response = await steve.fetch("/echo", { method: "POST", body: sent });
        assert.deepEqual(Buffer.compare(Buffer.from(await response.arrayBuffer()), body), 0);
    }
    const { headers } = await seen("/head", { method: "POST", body });
    assert.equal(headers["content-length"], String(body.length));
});

test("headers that end at a hop stay here, and values are bytes", async () => {
    const { headers } = await seen("/head", {
        headers: [
            ["connection", "x-hop"],
            ["x-hop", "1"],
            ["te", "gzip"],
            ["upgrade", "h2c"],
            ["steve-session", "forged"],
            ["x-bytes", "\u00e9"],
            ["content-length", "7"],
            ["host", "evil.example"],
            ["cookie", "c=d"],
        ],
    });
    for (const name of ["x-hop", "te", "upgrade", "content-length"])
        assert.equal(name in headers, false, name);
    assert.notEqual(headers["steve-session"], "forged");
    assert.equal(headers["x-bytes"], "\u00e9");
    assert.notEqual(headers.host, "evil.example");
    assert.equal(headers.cookie, "c=d");
});

test("statuses, with and without a body", async () => {
    for (const code of [200, 201, 204, 205, 304, 400, 404, 500, 599]) {
        const response = await steve.fetch(`/status?code=${code}`);
        assert.equal(response.status, code);
        assert.equal(response.ok, code < 300);
        assert.equal(response.headers.get("x-repeated"), "a, b");
        assert.equal(response.body === null, [204, 205, 304].includes(code), `body of ${code}`);
        assert.deepEqual(receiptOf(response).setCookie, ["a=1", "b=2"]);
        assert.equal(await response.text(), "");
    }
});

test("HEAD has a length and no body", async () => {
    const response = await steve.fetch("/hints", { method: "HEAD" });
    assert.equal(response.status, 200);
    assert.equal(response.body, null);
});

test("informational responses and trailers", async () => {
    const seenHeads = [];
    const response = await steve.fetch("/hints", {
        onInformational: (status, headers) => seenHeads.push([status, headers.get("link")]),
    });
    assert.equal(await response.text(), "hinted");
    assert.deepEqual(seenHeads, [[103, "</style.css>; rel=preload"]]);

    const trailed = await steve.fetch("/trailers");
    assert.equal(receiptOf(trailed).trailers, undefined);
    assert.equal(await trailed.text(), "body");
    assert.equal(receiptOf(trailed).trailers.get("x-sum"), "42");

    const sent = await steve.fetch("/length", {
        method: "POST",
        headers: { trailer: "x-sum" },
        body: new Blob(["four"]).stream(),
        trailers: async () => ({ "x-sum": "43" }),
    });
    assert.deepEqual(await sent.json(), { length: 4, trailers: { "x-sum": "43" } });
});

test("redirects are followed within the origin", async () => {
    const { origin } = fixture.proxy;
    const response = await steve.fetch(`/redirect?to=${encodeURIComponent("/head?there")}`);
    assert.equal(response.redirected, true);
    assert.equal(response.url, `${origin}/head?there`);
    assert.equal((await response.json()).url, "/head?there");

    const to = (code, method) =>
        seen(`/redirect?code=${code}&to=/head`, {
            method,
            body: method === "GET" ? undefined : "x",
            headers: { "x-kept": "1" },
        });
    for (const [code, method, becomes] of [
        [301, "POST", "GET"],
        [302, "POST", "GET"],
        [303, "PUT", "GET"],
        [301, "PUT", "PUT"],
        [307, "POST", "POST"],
        [308, "PUT", "PUT"],
    ]) {
        const head = await to(code, method);
        assert.equal(head.method, becomes, `${method} ${code}`);
        assert.equal(head.headers["x-kept"], "1");
        assert.equal(head.headers["content-length"], becomes === "GET" ? undefined : "1");
        assert.equal("content-type" in head.headers, becomes !== "GET");
    }
});

test("redirects that are not followed", async () => {
    const away = `/redirect?to=${encodeURIComponent("https://elsewhere.example/")}`;
    await assert.rejects(steve.fetch(away), { code: "redirect" });
    await assert.rejects(steve.fetch("/loop"), { code: "redirect" });
    await assert.rejects(steve.fetch("/loop", { redirect: "error" }), { code: "redirect" });
    const stream = new Blob(["x"]).stream();
    await assert.rejects(
        steve.fetch("/redirect?code=307&to=/head", { method: "POST", body: stream }),
        { code: "redirect" },
    );
    const manual = await steve.fetch(away, { redirect: "manual" });
    assert.equal(manual.status, 302);
    assert.equal(manual.headers.get("location"), "https://elsewhere.example/");
    await manual.body.cancel();
});

test("requests that cannot be sent", async () => {
    const requests = [
        ["https://elsewhere.example/", {}],
        ["//elsewhere.example/", {}],
        ["http://[", {}],
        ["/", { method: "CONNECT" }],
        ["/", { method: "TRACE" }],
        ["/", { method: "GET", body: "x" }],
        ["/", { method: "NOT A TOKEN" }],
        ["/", { headers: { x: "a\nb" } }],
        ["/", { headers: { x: "\u20ac" } }],
    ];
    for (const [input, init] of requests) {
        await assert.rejects(steve.fetch(input, init), (error) => {
            assert.ok(error instanceof SteveError);
            assert.equal(error.code, "invalid-request", `${input} ${JSON.stringify(init)}`);
            return true;
        });
    }
});

test("a receipt says how a response was protected", async () => {
    const response = await steve.fetch("/echo", { method: "POST", body: "12345" });
    const receipt = receiptOf(response);
    await response.text();
    assert.equal(receipt.suite, "xwing-chacha20poly1305");
    assert.match(receipt.sessionId, /^[0-9a-f]{32}$/);
    assert.ok(receipt.streamId >= 1);
    assert.equal(receipt.requestBytes, 5);
    assert.equal(receipt.responseBytes, 5);
    assert.equal(receipt.enclave.trust.kind, "pinned");
    assert.equal(receiptOf(new Response()), undefined);
});

test("many requests at once share a session", async () => {
    const responses = await Promise.all(
        Array.from({ length: 100 }, (_, at) => steve.fetch(`/head?${at}`)),
    );
    const heads = await Promise.all(responses.map((response) => response.json()));
    assert.deepEqual(
        heads.map(({ url }) => url),
        Array.from({ length: 100 }, (_, at) => `/head?${at}`),
    );
    assert.equal(new Set(responses.map((response) => receiptOf(response).sessionId)).size, 1);
    assert.equal(new Set(responses.map((response) => receiptOf(response).streamId)).size, 100);
});

test("every suite", async () => {
    for (const suite of [
        "xwing-chacha20poly1305",
        "xwing-aes256gcm",
        "x25519-chacha20poly1305",
        "x25519-aes256gcm",
    ]) {
        const client = await fixture.connect({ suites: [suite] });
        const response = await client.fetch("/echo", { method: "POST", body: suite });
        assert.equal(await response.text(), suite);
        assert.equal(receiptOf(response).suite, suite);
    }
});
