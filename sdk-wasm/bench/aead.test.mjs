import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { load } from "./modules.mjs";

const { backend, compare, seal } = await load("simd");
const file = new URL("../../protocol-spec/vectors/aead.json", import.meta.url);
const bytes = (hex) => Buffer.from(hex, "hex");

test("the package has SIMD", () => {
    assert.equal(backend(), "Simd");
});

test("vectors", async () => {
    const { vectors } = JSON.parse(await readFile(file, "utf8"));
    const ours = vectors.filter(({ suite }) => suite === 1);
    assert.ok(ours.length > 0);
    for (const { key, nonce, aad, plaintext, ciphertext } of ours) {
        const sealed = seal(bytes(key), bytes(nonce), bytes(aad), bytes(plaintext));
        assert.deepEqual(Buffer.from(sealed), bytes(ciphertext));
    }
});

test("every length, at every alignment", () => {
    for (let length = 0; length <= 1100; length++) compare(length, length % 17);
    for (let offset = 0; offset < 16; offset++) compare(1023, offset);
});

test("long frames", () => {
    for (let length = 1101; length <= 66_000; length += 331) compare(length, length % 17);
});
