// node aead.mjs: throughput of ChaCha20-Poly1305 in the package against RustCrypto without SIMD, in
// the same run. The best of many rounds, which take turns: others use the machine too. In each round
// the bytes lie elsewhere: copies are slow at distances that depend on the processor.
import { load } from "./modules.mjs";

const lengths = [64, 1024, 16_384, 65_536];
const rounds = 40;
const bytesARound = 2 ** 22;

const builds = { simd: await load("simd"), scalar: await load("scalar") };

function best(length, operation) {
    const times = bytesARound / length;
    const fastest = Object.fromEntries(Object.keys(builds).map((name) => [name, Infinity]));
    for (let round = 0; round < rounds; round++) {
        for (const [name, { Bench }] of Object.entries(builds)) {
            const bench = new Bench(length, round * 400);
            const start = performance.now();
            bench[operation](times);
            fastest[name] = Math.min(fastest[name], performance.now() - start);
            bench.free();
        }
    }
    const speed = (milliseconds) => bytesARound / milliseconds / 1e6;
    return { simd: speed(fastest.simd), scalar: speed(fastest.scalar) };
}

console.log("bytes\t\tRustCrypto\tSIMD\t\tratio");
for (const length of lengths) {
    for (const operation of ["open", "seal"]) {
        const { simd, scalar } = best(length, operation);
        const row = [
            `${length} ${operation}`,
            ...[scalar, simd].map((speed) => `${speed.toFixed(3)} GB/s`),
        ];
        console.log(row.concat((simd / scalar).toFixed(2)).join("\t"));
    }
}
