/** `steve-proxy demo`, with the page that was built. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));
const PROXY = process.env.STEVE_PROXY ?? `${ROOT}target/debug/steve-proxy`;

/** Starts it; resolves when its page is served. */
export async function startDemo() {
    const child = spawn(PROXY, ["demo"], { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
    const said = [];
    await new Promise((resolve, reject) => {
        createInterface({ input: child.stderr }).on("line", (line) => said.push(line));
        createInterface({ input: child.stdout }).on("line", (line) => {
            said.push(line);
            if (line.startsWith("Stop with")) resolve();
        });
        child.on("exit", (code) =>
            reject(new Error(`the demo ended with ${code}:\n${said.join("\n")}`)),
        );
    });
    return {
        page: "http://127.0.0.1:8082",
        host: "http://127.0.0.1:8081",
        async stop() {
            if (child.exitCode !== null) return;
            const ended = once(child, "exit");
            child.kill("SIGKILL");
            await ended;
        },
    };
}
