/**
 * What has to work in every runtime, with the packed package in ../node_modules: `runtime
 * conformance.js INPUT`, where INPUT is JSON of `origin`, `root` and `profile`. Prints a line for
 * each part, and fails with the first that does.
 */

import { connect, receiptOf } from "steve-sdk/dangerous-development";

const { origin, root, profile } = JSON.parse(process.argv[2]);
const options = { origin, policy: { profiles: [profile] }, dangerousTrustRoot: root };

function same(found, expected, what) {
    if (found !== expected) throw new Error(`${what}: ${found} instead of ${expected}`);
}

async function part(name, work) {
    const timer = setTimeout(() => {
        console.log(`no end: ${name}`);
        process.exit(1);
    }, 30_000);
    await work();
    clearTimeout(timer);
    console.log(`ok: ${name}`);
}

/** `count` pieces of 64 KiB. */
function pieces(count) {
    let made = 0;
    return new ReadableStream({
        pull(controller) {
            if (made === count) return controller.close();
            made += 1;
            controller.enqueue(new Uint8Array(65_536).fill(made));
        },
    });
}

let steve;
await part("connect", async () => {
    steve = await connect(options);
    const { report } = await steve.verify();
    same(report.checks.filter(({ outcome }) => outcome === "passed").length, 14, "checks");
});
await part("a request", async () => {
    const response = await steve.fetch("/head", { method: "PUT", body: "text" });
    same((await response.json()).method, "PUT", "method");
    same(receiptOf(response).suite, "xwing-chacha20poly1305", "suite");
});
await part("an upload that is a stream", async () => {
    const response = await steve.fetch("/length", { method: "POST", body: pieces(160) });
    same((await response.json()).length, 160 * 65_536, "length");
});
await part("an answer that is read as it comes, before the upload has ended", async () => {
    let upload;
    const body = new ReadableStream({ start: (controller) => (upload = controller) });
    const answer = steve.fetch("/echo", { method: "POST", body });
    upload.enqueue(new Uint8Array([1]));
    const reader = (await answer).body.getReader();
    for (const sent of [1, 2, 3]) {
        same((await reader.read()).value[0], sent, "echo");
        if (sent < 3) upload.enqueue(new Uint8Array([sent + 1]));
    }
    upload.close();
    same((await reader.read()).done, true, "end");
});
await part("an endless answer that is aborted", async () => {
    const abort = new AbortController();
    const response = await steve.fetch("/endless", { signal: abort.signal });
    const reader = response.body.getReader();
    await reader.read();
    abort.abort();
    let name;
    try {
        while (!(await reader.read()).done);
    } catch (error) {
        name = error.name;
    }
    same(name, "AbortError", "error");
});
await part("a WebSocket", async () => {
    const socket = new steve.WebSocket("/socket", ["first", "second"]);
    socket.binaryType = "arraybuffer";
    const event = (name) => new Promise((resolve) => (socket[`on${name}`] = resolve));
    await event("open");
    same(socket.protocol, "second", "subprotocol");
    for (const length of [0, 1000, 3_000_000]) {
        const answer = event("message");
        socket.send(new Uint8Array(length));
        same((await answer).data.byteLength, length, "length of a message");
    }
    const closed = event("close");
    socket.close(3456, "enough");
    same((await closed).code, 3456, "close code");
});
await part("a policy that does not name the enclave", async () => {
    const other = { ...profile, PCR2: "11".repeat(48) };
    const code = await connect({ ...options, policy: { profiles: [other] } }).then(
        () => "none",
        (error) => error.code,
    );
    same(code, "evidence-policy", "code");
});
steve.close();
process.exit(0);
