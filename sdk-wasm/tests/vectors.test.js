/** The test vectors, through the WebAssembly build of the core. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { before, test } from "node:test";
import { Signatures } from "../dist/signatures.js";
import { loadDangerous } from "./support/core.js";
import * as core from "../ts/generated/vectors/steve_wasm.js";

const directory = new URL("../../protocol-spec/vectors/", import.meta.url);
const hex = (digits) => new Uint8Array(Buffer.from(digits, "hex"));
const toHex = (bytes) => Buffer.from(bytes).toString("hex");

/** Stream ids do not fit into a number. */
async function vectors(name) {
    const text = await readFile(new URL(`${name}.json`, directory), "utf8");
    return JSON.parse(text.replace(/"stream_id": *([0-9]+)/g, '"stream_id": "$1"')).vectors;
}

let dangerous;
before(async () => {
    const file = new URL("../ts/generated/vectors/steve_wasm_bg.wasm", import.meta.url);
    await core.default({ module_or_path: await readFile(file) });
    dangerous = await loadDangerous();
});

test("heads", async () => {
    for (const { kind, encoded, error, comment, ...head } of await vectors("heads")) {
        if (error) {
            assert.throws(() => core.decodeHead(kind, hex(encoded)), core.Fault, comment);
            continue;
        }
        const { method, scheme, authority, path, status, fields } = head;
        const control = {
            request: [method, scheme, authority, path],
            response: [String(status)],
            trailers: [],
        }[kind];
        assert.deepEqual(
            core.decodeHead(kind, hex(encoded)),
            [...control, ...fields.flat()],
            comment ?? encoded,
        );
    }
});

test("frames", async () => {
    for (const {
        suite,
        key,
        iv,
        stream_id,
        frames,
        sealed,
        error,
        frame_number,
        comment,
    } of await vectors("frames")) {
        const open = (bytes) => core.openFrames(suite, hex(key), hex(iv), BigInt(stream_id), bytes);
        if (error) {
            if (frame_number === 0) assert.throws(() => open(hex(sealed)), core.Fault, comment);
            continue;
        }
        if (frames[0].frame_number !== 0) continue;
        const opened = open(hex(frames.map((frame) => frame.sealed).join("")));
        assert.deepEqual(
            opened,
            frames.flatMap(({ type, content }) => [String(type), content]),
        );
        const { type, content, padding } = frames[0];
        const again = core.sealFrame(
            suite,
            hex(key),
            hex(iv),
            BigInt(stream_id),
            type,
            hex(content),
            padding,
        );
        assert.equal(toHex(again), frames[0].sealed);
    }
});

test("exchanges", async () => {
    const all = await vectors("exchange");
    assert.equal(all.length, 12);
    for (const vector of all) {
        const { suite, s2c_key, s2c_iv, streams } = vector;
        for (const { stream_id, outer_request, outer_response, request, response } of streams) {
            const early = stream_id === "0";
            const [c2s_key, c2s_iv] = early
                ? [vector.early_key, vector.early_iv]
                : [vector.c2s_key, vector.c2s_iv];
            const before = early
                ? [hex(vector.client_hello).length, hex(vector.server_hello).length]
                : [25, 0];
            const frames = hex(outer_request).subarray(before[0]);
            const answer = hex(outer_response).subarray(before[1]);
            const directions = [["request", c2s_key, c2s_iv, frames, request]];
            if (response) directions.push(["response", s2c_key, s2c_iv, answer, response]);
            else assert.deepEqual([early, answer.length], [true, 0]);
            for (const [kind, key, iv, sealed, message] of directions) {
                checkMessage(
                    kind,
                    core.openFrames(suite, hex(key), hex(iv), BigInt(stream_id), sealed),
                    message,
                );
            }
        }
    }
});

function checkMessage(kind, frames, { head, body, trailers }) {
    let data = "";
    let found;
    for (let at = 0; at < frames.length; at += 2) {
        const type = Number(frames[at]) & 0x7f;
        const content = frames[at + 1];
        if (type === 1) found = core.decodeHead(kind, hex(content));
        if (type === 2) data += content;
        if (type === 3)
            assert.deepEqual(core.decodeHead("trailers", hex(content)), trailers.flat());
    }
    const control =
        kind === "request"
            ? [head.method, head.scheme, head.authority, head.path]
            : [String(head.status)];
    assert.deepEqual(found, [...control, ...head.fields.flat()]);
    assert.equal(data, body);
    assert.ok(Number(frames.at(-2)) & 0x80, "the message is complete");
}

function begin(appraiser, { evidence, challenge, sent, now }) {
    return appraiser.begin(hex(evidence), hex(challenge), sent, "https://app.example", now);
}

async function appraise(appraiser, vector) {
    const appraisal = begin(appraiser, vector);
    return appraisal.finish(await new Signatures().verdictsOn(appraisal.signatures()));
}

test("evidence", async () => {
    let verified = 0;
    for (const vector of await vectors("evidence")) {
        // Without a challenge it is for auditors.
        if (vector.challenge === null) continue;
        const policy = dangerous.Policy.pinned();
        for (const profile of vector.profiles) {
            const registers = Uint8Array.from(Object.keys(profile), (name) =>
                Number(name.slice(3)),
            );
            policy.addProfile(registers, Object.values(profile));
        }
        const appraiser = new dangerous.Appraiser(
            policy,
            vector.max_evidence_age,
            vector.max_clock_skew,
        );
        appraiser.dangerousTrustRoot(hex(vector.root_sha256));
        const appraised = appraise(appraiser, vector);
        if (vector.outcome === "verified") {
            verified += 1;
            assert.equal((await appraised).validUntil(), vector.valid_until, vector.comment);
        } else {
            await assert.rejects(
                appraised,
                (fault) => fault.code === `evidence-${vector.outcome}`,
                vector.comment,
            );
        }
    }
    assert.ok(verified > 0);
});

test("handshakes fail on stale evidence and on somebody else's answer", async () => {
    const vector = (await vectors("evidence")).find(
        ({ outcome, challenge }) => outcome === "verified" && challenge !== null,
    );
    const policy = dangerous.Policy.pinned();
    const [profile] = vector.profiles;
    policy.addProfile(Uint8Array.from([0, 1, 2]), [profile.pcr0, profile.pcr1, profile.pcr2]);
    const appraiser = new dangerous.Appraiser(
        policy,
        vector.max_evidence_age,
        vector.max_clock_skew,
    );
    appraiser.dangerousTrustRoot(hex(vector.root_sha256));
    const enclave = await appraise(appraiser, vector);
    const suites = ["xwing-chacha20poly1305", "x25519-chacha20poly1305"];
    assert.throws(
        () => new dangerous.Handshake(enclave, suites, vector.valid_until),
        (fault) => fault.code === "handshake-evidence-expired",
    );
    assert.throws(
        () => new dangerous.Handshake(enclave, [], vector.now),
        (fault) => fault.code === "handshake-no-common-suite",
    );
    const report = enclave.report();
    const offered = report[report.indexOf("key-config") + 3];
    let tried = 0;
    for (const { server_hello, suite } of await vectors("handshake")) {
        const name = { 1: "x25519-chacha20poly1305", 2: "xwing-chacha20poly1305" }[suite];
        if (name === undefined || !offered.includes(name)) continue;
        tried += 1;
        const handshake = new dangerous.Handshake(enclave, [name], vector.now);
        assert.equal(handshake.serverHelloLength(), hex(server_hello).length);
        assert.throws(
            () => handshake.finish(hex(server_hello), vector.now),
            (fault) => /^handshake-(not-confirmed|invalid-key)$/.test(fault.code),
        );
    }
    assert.ok(tried > 0);
});
