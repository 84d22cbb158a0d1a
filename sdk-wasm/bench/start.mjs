/**
 * node bench/start.mjs [RUNS]: the CPU time from the import of the package to a verified session, in
 * fresh processes of Node against the real proxy with the development attester. All threads count. With
 * pinned profiles, and with trust on first use and its file, in turn; with STEVE_PROXY as in the tests.
 */

import { execFile } from "node:child_process";
import { loadavg } from "node:os";
import { promisify } from "node:util";
import { startApp } from "../tests/support/app.js";
import { PROFILE } from "../tests/support/fixture.js";
import { startProxy } from "../tests/support/proxy.js";

const child = new URL("start-once.mjs", import.meta.url).pathname;
const runs = Number(process.argv[2] ?? 11);

const app = await startApp();
const proxy = await startProxy(app.port);
try {
    const { origin, root } = proxy;
    const policies = { "pinned profiles": { profile: PROFILE }, "trust on first use": {} };
    const results = Object.fromEntries(Object.keys(policies).map((name) => [name, []]));
    for (let run = 0; run <= runs; run += 1) {
        for (const [name, policy] of Object.entries(policies)) {
            const input = JSON.stringify({ origin, root, ...policy });
            const { stdout } = await promisify(execFile)(process.execPath, [child, input]);
            // The first one brings the files into the cache.
            if (run > 0) results[name].push(JSON.parse(stdout));
        }
    }
    const load = loadavg()[0].toFixed(1);
    console.log(`CPU time, median of ${runs} processes of Node ${process.version}, load ${load}`);
    for (const [name, measured] of Object.entries(results)) print(name, measured);
} finally {
    await proxy.stop();
    app.close();
}

function print(name, measured) {
    console.log(`\n${name}`);
    for (const phase of Object.keys(measured[0])) {
        const all = measured.map((result) => result[phase]).sort((a, b) => a - b);
        const shown = [all[all.length >> 1], all[0], all.at(-1)].map((ms) => ms.toFixed(1));
        console.log(`${phase.padEnd(28)} ${shown[0].padStart(6)} ms (${shown[1]} to ${shown[2]})`);
    }
}
