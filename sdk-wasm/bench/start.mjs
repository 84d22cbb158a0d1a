/**
 * node bench/start.mjs [RUNS]: the CPU time from the import of the package to a verified session, in
 * fresh processes of Node against the real proxy with the development attester. All threads count. For
 * the first use of an origin; with STEVE_PROXY as in the tests.
 */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { startApp } from "../tests/support/app.js";
import { startProxy } from "../tests/support/proxy.js";

const child = new URL("start-once.mjs", import.meta.url).pathname;
const runs = Number(process.argv[2] ?? 11);

const app = await startApp();
const proxy = await startProxy(app.port);
try {
    const { origin, root } = proxy;
    const input = JSON.stringify({ origin, root });
    const results = [];
    for (let run = 0; run <= runs; run += 1) {
        const { stdout } = await promisify(execFile)(process.execPath, [child, input]);
        // The first one brings the files into the cache.
        if (run > 0) results.push(JSON.parse(stdout));
    }
    console.log(`CPU time, median of ${runs} processes of Node ${process.version}`);
    for (const phase of Object.keys(results[0])) {
        const all = results.map((result) => result[phase]).sort((a, b) => a - b);
        const shown = [all[all.length >> 1], all[0], all.at(-1)].map((ms) => ms.toFixed(1));
        console.log(`${phase.padEnd(28)} ${shown[0].padStart(6)} ms (${shown[1]} to ${shown[2]})`);
    }
} finally {
    await proxy.stop();
    app.close();
}
