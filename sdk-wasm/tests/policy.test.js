import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import * as main from "steve-sdk";
import { receiptOf } from "steve-sdk/dangerous-development";
import { FilePinStore } from "steve-sdk/node";
import { PROFILE, startFixture } from "./support/fixture.js";

let fixture;
let directory;
before(async () => {
    fixture = await startFixture({ options: ["--manifest", new URL(import.meta.url).pathname] });
    directory = await mkdtemp(join(tmpdir(), "steve-"));
});
after(async () => {
    await fixture.stop();
    await rm(directory, { recursive: true });
});

const OTHER = { ...PROFILE, PCR0: "ab".repeat(48) };

test("without a policy there is no connection", async () => {
    for (const policy of [
        undefined,
        null,
        {},
        { profiles: [] },
        { profiles: [{}] },
        { profiles: "PCR0" },
        { profiles: [{ ...PROFILE, PCR1: undefined }] },
        { profiles: [{ ...PROFILE, PCR1: "00" }] },
        { profiles: [{ ...PROFILE, PCR1: "00".repeat(48) }] },
        { profiles: [{ ...PROFILE, PCR99: "ab".repeat(48) }] },
        { profiles: [{ ...PROFILE, HashAlgorithm: "Sha256" }] },
        { profiles: [{ PCR0: PROFILE.PCR0 }] },
        { profiles: [PROFILE], trustOnFirstUse: new FilePinStore("x") },
    ]) {
        await assert.rejects(
            fixture.connect({ policy }),
            { code: "invalid-policy", stage: "setup" },
            JSON.stringify(policy),
        );
    }
});

test("options that make no client", async () => {
    for (const options of [
        { origin: undefined },
        { origin: "example.com" },
        { origin: "https://example.com/path" },
        { origin: "ftp://example.com" },
        { origin: "https://me@example.com" },
        { suites: [] },
        { suites: ["rot13"] },
        { dangerousTrustRoot: "no certificate" },
    ]) {
        await assert.rejects(
            fixture.connect(options),
            { code: "invalid-options" },
            JSON.stringify(options),
        );
    }
});

test("profiles in every shape that files of PCRs have", async () => {
    const lower = Object.fromEntries(
        Object.entries(PROFILE).map(([name, value]) => [name.toLowerCase(), value.toUpperCase()]),
    );
    const nitro = { Measurements: { HashAlgorithm: "Sha384 { ... }", ...PROFILE } };
    for (const profiles of [
        PROFILE,
        [PROFILE],
        lower,
        nitro,
        [OTHER, nitro],
        { profiles: [PROFILE] },
    ]) {
        const steve = await fixture.connect({ policy: { profiles } });
        assert.equal((await steve.fetch("/head")).status, 200);
    }
});

test("an enclave that the policy does not name is refused", async () => {
    const errors = [];
    const mixed = { ...OTHER, PCR0: PROFILE.PCR0, PCR1: OTHER.PCR0 };
    const options = {
        policy: { profiles: [OTHER, mixed] },
        on: { error: (error) => errors.push(error) },
    };
    await assert.rejects(fixture.connect(options), (error) => {
        assert.equal(error.code, "evidence-policy");
        assert.equal(error.stage, "evidence");
        assert.deepEqual(error.report.checks.at(-1).outcome, "failed");
        assert.equal(error.report.checks.filter(({ outcome }) => outcome === "passed").length, 13);
        assert.equal(error.report.notProven.length, 1);
        return true;
    });
    assert.equal(errors.length, 1);
    assert.equal(fixture.app.counts.get("/head"), 6, "nothing was sent");
});

test("the main entry trusts AWS's root only", async () => {
    const options = {
        origin: fixture.proxy.origin,
        policy: { profiles: PROFILE },
        dangerousTrustRoot: fixture.proxy.root,
    };
    await assert.rejects(main.connect(options), { code: "evidence-root" });
    const glue = await readFile(
        new URL("../dist/generated/core/steve_wasm.js", import.meta.url),
        "utf8",
    );
    assert.equal(/dangerous/i.test(glue), false);
});

test("the report says what was checked and what is not proven", async () => {
    const steve = await fixture.connect();
    const enclave = await steve.verify();
    assert.deepEqual(
        enclave.report.checks.map(({ name }) => name),
        [
            "encoding",
            "cose",
            "document",
            "root",
            "certificates",
            "signature",
            "timestamp",
            "nonce",
            "key-config",
            "key-lifetime",
            "configuration",
            "manifest",
            "debug-mode",
            "policy",
        ],
    );
    assert.ok(enclave.report.checks.every(({ outcome }) => outcome === "passed"));
    assert.match(enclave.report.notProven[0], /not AWS's/);
    assert.deepEqual(enclave.trust, { kind: "pinned", profile: 0, registers: [0, 1, 2] });
    assert.equal(enclave.pcrs[0], PROFILE.PCR0);
    assert.equal(JSON.parse(enclave.configuration).allow_plaintext_fallback ?? false, false);
    assert.match(new TextDecoder().decode(enclave.manifest), /the report says/);
    assert.ok(enclave.validUntil > Date.now());
});

test("trust on first use records, recognises, and refuses another enclave", async () => {
    const path = join(directory, "pins.json");
    const policy = { trustOnFirstUse: new FilePinStore(path) };
    const verified = [];
    const connect = () =>
        fixture.connect({ policy, on: { verified: ({ trust }) => verified.push(trust.kind) } });
    const first = await connect();
    assert.equal(receiptOf(await first.fetch("/head")).enclave.trust.kind, "first-use");
    assert.match((await first.verify()).trust.kind, /known-since/);
    const second = await connect();
    assert.deepEqual(receiptOf(await second.fetch("/head")).enclave.trust.registers, [0, 1, 2]);
    assert.deepEqual(verified, ["first-use", "known-since", "known-since"]);

    const stored = JSON.parse(await readFile(path, "utf8"));
    const record = stored.pins[fixture.proxy.origin];
    assert.equal(record.pcrs[0], PROFILE.PCR0);
    record.pcrs[0] = OTHER.PCR0;
    await writeFile(path, JSON.stringify(stored));
    await assert.rejects(connect(), { code: "evidence-policy" });

    // A damaged record is not the same as none; one that is lost shows.
    for (const damage of [
        "",
        "{}",
        '{"version":1,"pins":[]}',
        JSON.stringify(stored).replace(OTHER.PCR0, "00"),
    ]) {
        await writeFile(path, damage);
        await assert.rejects(connect(), { code: "pin-store", stage: "evidence" }, damage);
        assert.equal(await readFile(path, "utf8"), damage);
    }
    await rm(path);
    verified.length = 0;
    await connect();
    assert.deepEqual(verified, ["first-use"]);
});

test("of two first uses at once, the record counts", async () => {
    const records = new Map();
    const late = {
        load: async () => undefined,
        record: async () => ({
            firstSeen: 1,
            pcrs: { 0: OTHER.PCR0, 1: PROFILE.PCR1, 2: PROFILE.PCR2 },
        }),
    };
    await assert.rejects(fixture.connect({ policy: { trustOnFirstUse: late } }), {
        code: "evidence-policy",
    });
    const same = {
        load: async (origin) => records.get(origin),
        record: async (_, pin) => ({ ...pin, firstSeen: 1 }),
    };
    const steve = await fixture.connect({ policy: { trustOnFirstUse: same } });
    assert.equal(receiptOf(await steve.fetch("/head")).enclave.trust.kind, "known-since");

    const path = join(directory, "raced.json");
    const pins = Array.from({ length: 8 }, (_, at) => ({
        firstSeen: at,
        pcrs: { 0: "aa".repeat(48), 1: "bb".repeat(48), 2: "cc".repeat(48) },
    }));
    const recorded = await Promise.all(
        pins.map((pin) => new FilePinStore(path).record("https://a", pin)),
    );
    assert.equal(new Set(recorded.map(({ firstSeen }) => firstSeen)).size, 1);
});

test("a store that fails is an error", async () => {
    const failing = {
        load: () => Promise.reject(new Error("no disk")),
        record: async (_, pin) => pin,
    };
    await assert.rejects(fixture.connect({ policy: { trustOnFirstUse: failing } }), (error) => {
        assert.equal(error.code, "pin-store");
        assert.equal(error.cause.message, "no disk");
        return true;
    });
    const forgetful = {
        load: async () => undefined,
        record: () => Promise.reject(new Error("read-only")),
    };
    await assert.rejects(fixture.connect({ policy: { trustOnFirstUse: forgetful } }), {
        code: "pin-store",
    });
});
