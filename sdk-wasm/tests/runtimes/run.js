/**
 * node run.js SCRIPT NODE_MODULES: conformance.js, as the file SCRIPT beside the packed package, in
 * Node and in the runtimes that are installed in NODE_MODULES.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { startApp } from "../support/app.js";
import { PROFILE } from "../support/fixture.js";
import { startProxy } from "../support/proxy.js";

const [script, modules] = process.argv.slice(2);
const commands = {
    node: [process.execPath],
    deno: [join(modules, ".bin", "deno"), "run", "--quiet", "--no-lock", "--allow-all"],
    bun: [join(modules, ".bin", "bun"), "run"],
};

const app = await startApp();
const proxy = await startProxy(app.port);
try {
    const input = JSON.stringify({ origin: proxy.origin, root: proxy.root, profile: PROFILE });
    for (const [name, [command, ...before]] of Object.entries(commands)) {
        console.log(`${name}:`);
        const child = spawn(command, [...before, script, input], { stdio: "inherit" });
        const [code] = await once(child, "exit");
        if (code !== 0) {
            console.error(`${name} ended with ${code}`);
            process.exitCode = 1;
        }
    }
} finally {
    await proxy.stop();
    app.close();
}
