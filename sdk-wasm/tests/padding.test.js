import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { startFixture } from "./support/fixture.js";

let fixture;
before(async () => (fixture = await startFixture()));
after(() => fixture.stop());

/** Lengths of the frames that are sent and received when each body is echoed. */
async function observe(options, bodies) {
    const seen = [];
    const observed = async (input, init) => {
        const response = await fetch(input, init);
        const answer = new Uint8Array(await response.arrayBuffer());
        if (init.body?.[0] === 2) seen.push([frames(init.body.subarray(25)), frames(answer)]);
        return new Response(answer, { status: response.status, headers: response.headers });
    };
    const steve = await fixture.connect({ fetch: observed, ...options });
    for (const body of bodies) {
        const response = await steve.fetch("/echo", { method: "POST", body });
        assert.equal(await response.text(), body);
    }
    return seen;
}

function frames(wire) {
    const lengths = [];
    const view = new DataView(wire.buffer, wire.byteOffset, wire.length);
    for (let at = 0; at < wire.length; at += lengths.at(-1)) lengths.push(4 + view.getUint32(at));
    return lengths;
}

test("row 25: lengths within a bucket look alike, in both directions", async () => {
    const bodies = ["x".repeat(3000), "x".repeat(3050)];
    const [shorter, longer] = await observe({}, bodies);
    assert.notDeepEqual(shorter, longer);
    for (const padding of ["padme", { block: 1024 }]) {
        const [one, other] = await observe({ padding, coalesce: 10 }, bodies);
        assert.deepEqual(one, other);
        const block = padding.block ?? 64;
        assert.ok(one.flat().every((length) => length % block === 0));
    }
});

test("streams and WebSockets go on as ever when they are padded", async () => {
    const steve = await fixture.connect({ padding: { block: 16 } });
    const piece = new Uint8Array(65_536);
    let left = 40;
    const body = new ReadableStream({
        pull: (controller) => (left-- > 0 ? controller.enqueue(piece) : controller.close()),
    });
    const response = await steve.fetch("/length", { method: "POST", body });
    assert.equal((await response.json()).length, 40 * piece.length);

    const socket = new steve.WebSocket("/socket");
    await once(socket, "open");
    for (const text of ["x", "y".repeat(300_000)]) {
        const answer = once(socket, "message");
        socket.send(text);
        assert.equal((await answer)[0].data, text);
    }
    socket.close();
    await once(socket, "close");
});

test("what is no padding is refused", async () => {
    for (const options of [
        { padding: "wide" },
        { padding: { block: 15 } },
        { padding: { block: 1.5 } },
        { coalesce: 5 },
    ]) {
        await assert.rejects(fixture.connect(options), { code: "invalid-options" });
    }
});
