/** The real proxy, with the development attester. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const PROXY =
    process.env.STEVE_PROXY ??
    new URL("../../../target/debug/steve-proxy", import.meta.url).pathname;

/** Starts a proxy before the app at `appPort`. `port` 0 is any; `options` are more flags. */
export async function startProxy(appPort, { port = 0, options = [] } = {}) {
    const directory = await mkdtemp(join(tmpdir(), "steve-"));
    const rootFile = join(directory, "root.pem");
    const child = spawn(
        PROXY,
        [
            "serve",
            "--listen",
            `127.0.0.1:${port}`,
            "--upstream",
            `http://127.0.0.1:${appPort}`,
            "--dangerous-dev-attester",
            "--dangerous-dev-root-out",
            rootFile,
            "--log-format",
            "json",
            ...options,
        ],
        { stdio: ["ignore", "ignore", "pipe"] },
    );
    const log = [];
    const bound = await new Promise((resolve, reject) => {
        const lines = createInterface({ input: child.stderr });
        lines.on("line", (line) => {
            log.push(line);
            const address = /127\.0\.0\.1:([0-9]+)/.exec(
                line.replace(`127.0.0.1:${appPort}`, ""),
            )?.[1];
            if (address !== undefined && address !== "0") resolve(Number(address));
        });
        child.on("exit", (code) =>
            reject(new Error(`the proxy ended with ${code}:\n${log.join("\n")}`)),
        );
    });
    return {
        port: bound,
        origin: `http://127.0.0.1:${bound}`,
        root: await readFile(rootFile, "utf8"),
        log,
        async stop() {
            if (child.exitCode === null) {
                const ended = once(child, "exit");
                child.kill("SIGKILL");
                await ended;
            }
            await rm(directory, { recursive: true });
        },
    };
}
