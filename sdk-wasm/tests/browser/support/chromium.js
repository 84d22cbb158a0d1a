/** Debian's Chromium, with a profile of its own. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

const ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-precise-memory-info",
    "--js-flags=--expose-gc",
];

/** Starts it. What pages throw, and violations of their content security policies, are in `faults`. */
export async function startChromium(options = {}) {
    const directory = await mkdtemp(join(tmpdir(), "steve-chromium-"));
    const context = await chromium.launchPersistentContext(directory, {
        executablePath: CHROMIUM,
        headless: true,
        args: ARGUMENTS,
        ...options,
    });
    context.setDefaultTimeout(60_000);
    const faults = [];
    await context.addInitScript(() => {
        addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sample }) =>
            console.error(`violation of ${violatedDirective}: ${blockedURI} ${sample}`),
        );
    });
    context.on("weberror", (error) => faults.push(error.error().stack ?? String(error.error())));
    context.on("console", (line) => {
        if (/^violation of|Content Security Policy/.test(line.text())) faults.push(line.text());
    });
    return {
        context,
        faults,
        async stop() {
            await context.close();
            await rm(directory, { recursive: true, force: true, maxRetries: 5 });
        },
    };
}
