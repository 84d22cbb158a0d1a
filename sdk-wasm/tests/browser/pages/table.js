/** What `steve.fetch` must do, in a page and in a worker alike. */

function equal(found, expected) {
    const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
    if (a !== b) throw new Error(`${a} is not ${b}`);
}

async function rejects(promise, code) {
    const error = await promise.then(
        () => undefined,
        (thrown) => thrown,
    );
    equal(error?.code ?? error?.name, code);
}

const seen = async (steve, ...request) => (await steve.fetch(...request)).json();
const bytes = (length) => new Uint8Array(length).map((_, at) => at % 251);
const form = () => {
    const form = new FormData();
    form.set("field", "value");
    form.set("file", new File(["content"], "name.txt", { type: "text/plain" }));
    return form;
};

export const table = {
    async "method, path, query and headers arrive"(steve) {
        const init = { headers: { "X-Own": "1", cookie: "c=d" } };
        const { method, url, headers } = await seen(steve, "/head?a=b%20c#fragment", init);
        equal(
            [method, url, headers["x-own"], headers.cookie],
            ["GET", "/head?a=b%20c", "1", "c=d"],
        );
        equal(headers.host, new URL(steve.origin).host);
        equal(headers["steve-session"], await steve.sessionBinding());
    },
    async "a URL may be relative, absolute, a URL or a Request"(steve) {
        const absolute = `${steve.origin}/head`;
        for (const input of ["/head", absolute, new URL(absolute), new Request(absolute)]) {
            equal((await seen(steve, input)).url, "/head");
        }
    },
    async "bodies of every kind"(steve) {
        const text = "text/plain;charset=UTF-8";
        const encoder = new TextEncoder();
        for (const [body, type, content] of [
            ["text €", text, "text €"],
            [
                new URLSearchParams({ a: "b c" }),
                "application/x-www-form-urlencoded;charset=UTF-8",
                "a=b+c",
            ],
            [new Blob(["blob"], { type: "image/x-test" }), "image/x-test", "blob"],
            [encoder.encode("buffer").buffer, "none", "buffer"],
            [encoder.encode("-view-").subarray(1, 5), "none", "view"],
        ]) {
            const response = await steve.fetch("/echo", { method: "POST", body });
            equal([response.headers.get("content-type"), await response.text()], [type, content]);
            const { headers } = await seen(steve, "/head", { method: "POST", body });
            equal(headers["content-length"], String(encoder.encode(content).length));
        }
    },
    async "a form"(steve) {
        const response = await steve.fetch("/echo", { method: "POST", body: form() });
        const echoed = await response.formData();
        equal([echoed.get("field"), await echoed.get("file").text()], ["value", "content"]);
    },
    async "the body of a Request streams through the tunnel"(steve) {
        const request = new Request(`${steve.origin}/echo`, { method: "PUT", body: "of it" });
        equal(await (await steve.fetch(request)).text(), "of it");
    },
    async "large bodies of known length"(steve) {
        const body = bytes(5 << 20);
        for (const sent of [body, new Blob([body])]) {
            const response = await steve.fetch("/echo", { method: "POST", body: sent });
            const echoed = new Uint8Array(await response.arrayBuffer());
            equal(
                echoed.length === body.length && echoed.every((byte, at) => byte === body[at]),
                true,
            );
        }
    },
    async "statuses, with and without a body"(steve, { receiptOf }) {
        for (const code of [200, 204, 304, 404, 500, 599]) {
            const response = await steve.fetch(`/status?code=${code}`);
            equal([response.status, response.headers.get("x-repeated")], [code, "a, b"]);
            equal(receiptOf(response).setCookie, ["a=1", "b=2"]);
            equal(await response.text(), "");
        }
        equal((await steve.fetch("/hints", { method: "HEAD" })).body, null);
    },
    async "informational responses and trailers"(steve, { receiptOf }) {
        const links = [];
        const onInformational = (status, headers) => links.push([status, headers.get("link")]);
        await (await steve.fetch("/hints", { onInformational })).text();
        equal(links, [[103, "</style.css>; rel=preload"]]);
        const trailed = await steve.fetch("/trailers");
        await trailed.text();
        equal(receiptOf(trailed).trailers.get("x-sum"), "42");
    },
    async "redirects within the origin, and no others"(steve) {
        const response = await steve.fetch(`/redirect?to=${encodeURIComponent("/head?there")}`);
        equal([response.redirected, response.url], [true, `${steve.origin}/head?there`]);
        const becomes = await seen(steve, "/redirect?code=303&to=/head", {
            method: "POST",
            body: "x",
        });
        equal(becomes.method, "GET");
        const away = `/redirect?to=${encodeURIComponent("https://elsewhere.example/")}`;
        await rejects(steve.fetch(away), "redirect");
        await rejects(steve.fetch("/loop"), "redirect");
        const manual = await steve.fetch(away, { redirect: "manual" });
        equal([manual.status, manual.headers.get("location")], [302, "https://elsewhere.example/"]);
    },
    async "what cannot be sent"(steve) {
        for (const [input, init] of [
            ["https://elsewhere.example/", {}],
            ["http://[", {}],
            ["/", { method: "CONNECT" }],
            ["/", { body: "x" }],
            ["/", { headers: { x: "\u20ac" } }],
        ]) {
            await rejects(steve.fetch(input, init), "invalid-request");
        }
    },
    async "an answer that breaks off"(steve) {
        const reader = (await steve.fetch("/broken")).body.getReader();
        const read = async () => {
            while (!(await reader.read()).done);
        };
        await rejects(read(), "reset");
    },
    async "many at once"(steve, { receiptOf }) {
        const paths = Array.from({ length: 50 }, (_, at) => `/head?${at}`);
        const responses = await Promise.all(paths.map((path) => steve.fetch(path)));
        const heads = await Promise.all(responses.map((response) => response.json()));
        equal(
            heads.map(({ url }) => url),
            paths,
        );
        equal(new Set(responses.map((response) => receiptOf(response).sessionId)).size, 1);
    },
    async "a WebSocket"(steve) {
        const socket = new steve.WebSocket("/socket", ["second"]);
        socket.binaryType = "arraybuffer";
        const next = (name) =>
            new Promise((resolve) => socket.addEventListener(name, resolve, { once: true }));
        await next("open");
        equal(socket.protocol, "second");
        for (const sent of ["text €", bytes(300_000)]) {
            socket.send(sent);
            const { data } = await next("message");
            if (typeof sent === "string") equal(data, sent);
            else equal(new Uint8Array(data).join() === sent.join(), true);
        }
        socket.send("close 4321");
        const { code, reason, wasClean } = await next("close");
        equal([code, reason, wasClean], [4321, "as asked", true]);
    },
};
