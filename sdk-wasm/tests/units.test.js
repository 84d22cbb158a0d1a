import assert from "node:assert/strict";
import { test } from "node:test";
import { ByteQueue } from "../dist/bytes.js";
import { SteveError } from "../dist/errors.js";
import { endsSession, retryDelay } from "../dist/retry.js";
import { Scope } from "../dist/scope.js";
import { Connection } from "../dist/websocket/connection.js";
import { encodeFrame, FrameReader, ProtocolViolation } from "../dist/websocket/frames.js";
import { acceptFor } from "../dist/websocket/handshake.js";

const POST = { number: 1, sent: true, repeatable: false, replayable: true };
const GET = { ...POST, repeatable: true };
const outer = (status, stage = "request") => new SteveError("outer-status", stage, "", { status });
const reset = (name, notDispatched = false) =>
    new SteveError("reset", "request", "", { reset: name, notDispatched });
const broken = (code) =>
    new SteveError("transport", "request", "", { cause: Object.assign(new Error(), { code }) });
const truncated = new SteveError("truncated", "request", "");
const retries = (attempt, error) => retryDelay(attempt, error) !== undefined;

test("unauthenticated hints never repeat an unsafe request", () => {
    for (const error of [outer(422), outer(503), outer(408), broken("ECONNRESET"), truncated]) {
        assert.equal(retries(POST, error), false, error.code);
        assert.equal(retries(GET, error), true, error.code);
        assert.equal(retries({ ...POST, sent: false }, error), true, error.code);
    }
});

test("authenticated refusals repeat any request", () => {
    for (const name of ["refused", "draining", "session-ending", "unknown"])
        assert.equal(retries(POST, reset(name, true)), true);
    for (const name of [
        "app-failed",
        "cancelled",
        "protocol-error",
        "timeout",
        "truncated",
        "internal",
        "limit",
    ]) {
        assert.equal(retries(POST, reset(name)), false);
    }
    assert.equal(retries(GET, reset("truncated")), true);
    assert.equal(retries(GET, reset("app-failed")), false);
});

test("never without the whole body, never for ever, and not where it would not help", () => {
    for (const error of [outer(422), reset("refused", true), broken("ECONNRESET")]) {
        assert.equal(retries({ ...GET, replayable: false }, error), false);
        assert.equal(retries({ ...GET, number: 2 }, error), true);
        assert.equal(retries({ ...GET, number: 3 }, error), false);
    }
    const tampered = new SteveError("tampered", "request", "");
    for (const error of [
        tampered,
        broken("ECONNREFUSED"),
        outer(403),
        outer(404),
        new Error("other"),
    ]) {
        assert.equal(retries(GET, error), false);
    }
    assert.equal(retries({ ...GET, sent: false }, outer(422, "handshake")), false);
    assert.equal(retries({ ...POST, sent: false }, outer(503, "handshake")), true);
});

test("sessions end with doubt", () => {
    const tampered = new SteveError("tampered", "response", "");
    const ends = [outer(422), outer(503), reset("session-ending", true), tampered, truncated];
    for (const error of ends) assert.equal(endsSession(error), true);
    const busy = new SteveError("outer-status", "request", "", {
        status: 503,
        hint: "unavailable",
    });
    for (const error of [busy, reset("refused", true), reset("app-failed")])
        assert.equal(endsSession(error), false);
});

test("a scope ends with the whole, the signal or a timeout", async () => {
    const whole = new Scope();
    const abort = new AbortController();
    const part = new Scope(whole, abort.signal);
    const ended = new Scope(whole, abort.signal);
    ended.end();
    abort.abort("signal");
    assert.equal(part.signal.reason, "signal");
    assert.equal(ended.signal.aborted, false);
    const other = new Scope(whole);
    whole.abort("whole");
    assert.equal(other.signal.reason, "whole");
    assert.equal(new Scope(whole).signal.reason, "whole");
    assert.equal(ended.signal.aborted, false);
    const endless = new Scope();
    const clear = endless.timeout(Infinity, () => "late");
    const timed = new Scope();
    timed.timeout(5, () => "late");
    await assert.rejects(timed.race(new Promise(() => undefined)), (reason) => reason === "late");
    assert.equal(endless.signal.aborted, false);
    clear();
});

test("a client's frames are masked, and say their length in the shortest form", () => {
    for (const [length, header] of [
        [0, 6],
        [125, 6],
        [126, 8],
        [65_535, 8],
        [65_536, 14],
    ]) {
        const payload = new Uint8Array(length).fill(0x55);
        const frame = encodeFrame(2, payload);
        assert.equal(frame.length, header + length);
        assert.equal(frame[0], 0x82);
        assert.ok(frame[1] & 0x80);
        const mask = frame.subarray(header - 4, header);
        assert.deepEqual(
            frame.subarray(header).map((byte, at) => byte ^ mask[at & 3]),
            payload,
        );
    }
});

test("frames come in any pieces", () => {
    const wire = [0x81, 2, 0x68, 0x69, 0x82, 126, 0, 126, ...new Uint8Array(126), 0x89, 0];
    const reader = new FrameReader();
    const frames = [];
    for (const byte of wire) {
        reader.push(Uint8Array.of(byte));
        for (let frame; (frame = reader.next(1000));)
            frames.push([frame.fin, frame.opcode, frame.payload.length]);
    }
    assert.deepEqual(frames, [
        [true, 1, 2],
        [true, 2, 126],
        [true, 9, 0],
    ]);
});

test("frames that break a rule", () => {
    const long = (length) => [
        0x82,
        127,
        0,
        0,
        0,
        0,
        ...new Uint8Array(new Uint32Array([length]).buffer).reverse(),
    ];
    for (const [wire, code] of [
        [[0xc2, 0], 1002],
        [[0x82, 0x80], 1002],
        [[0x83, 0], 1002],
        [[0x8b, 0], 1002],
        [[0x09, 0], 1002],
        [[0x88, 126, 0, 126], 1002],
        [[0x82, 126, 0, 125], 1002],
        [long(65_535), 1002],
        [long(70_000), 1009],
        [[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 1009],
    ]) {
        const reader = new FrameReader();
        reader.push(Uint8Array.from(wire));
        assert.throws(
            () => reader.next(66_000),
            (error) => error instanceof ProtocolViolation && error.code === code,
            wire.join(),
        );
    }
});

test("the answer to a key is that of RFC 6455", async () => {
    assert.equal(await acceptFor("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
});

/** Two directions of bytes: gives `wire` piece by piece, and takes nothing until `release`. */
function duplexOf(wire) {
    const written = [];
    let release;
    const released = new Promise((resolve) => (release = resolve));
    return {
        written,
        release,
        read: async () => wire.next().value,
        write: (bytes) => (written.push(bytes), released),
        end: () => released,
        abort: () => release(),
    };
}

test("pings that come faster than answers go out are not hoarded", async () => {
    const duplex = duplexOf(
        (function* () {
            for (let count = 0; count < 1000; count += 1)
                yield Uint8Array.of(0x89, 2, count >> 8, count);
            yield Uint8Array.of(0x82, 0);
            duplex.release();
            yield Uint8Array.of(0x88, 0);
        })(),
    );
    for await (const message of new Connection(duplex, 10).messages())
        assert.equal(message.length, 0);
    const pongs = duplex.written.filter((frame) => frame[0] === 0x8a);
    assert.ok(pongs.length <= 2, `${pongs.length} pongs`);
    const last = pongs.at(-1);
    const unmasked = [last[6] ^ last[2], last[7] ^ last[3]];
    assert.deepEqual(unmasked, [999 >> 8, 999 & 0xff]);
});

test("a message in fragments takes no more memory than its bytes", async () => {
    const chunk = new Uint8Array(65_536);
    const fragments = 200 * (chunk.length / 2);
    const duplex = duplexOf(
        (function* () {
            yield Uint8Array.of(0x02, 1, 7);
            for (let count = 0; count < 200; count += 1) yield chunk;
            const { heapUsed } = process.memoryUsage();
            assert.ok(heapUsed - before < fragments * 8, `${heapUsed - before} bytes`);
            yield Uint8Array.of(0x80, 1, 9, 0x88, 0);
        })(),
    );
    const before = process.memoryUsage().heapUsed;
    const messages = [];
    duplex.release();
    for await (const message of new Connection(duplex, 10).messages()) messages.push(message);
    assert.deepEqual(messages, [Uint8Array.of(7, 9)]);
});

test("bytes are queued in any pieces", () => {
    const queue = new ByteQueue();
    const taken = [];
    let next = 0;
    for (const [pushed, took] of [
        [3, 1],
        [1, 3],
        [0, 0],
        [5, 2],
        [100, 50],
        [1, 54],
    ]) {
        queue.push(Uint8Array.from({ length: pushed }, () => next++));
        taken.push(...queue.take(took));
    }
    assert.equal(queue.length, 0);
    assert.deepEqual(
        taken,
        Array.from({ length: 110 }, (_, at) => at),
    );
});
