/** An app built for production by Vite and by webpack, in a page with a strict policy. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { PROFILE, startFixture } from "../support/fixture.js";
import { startChromium } from "./support/chromium.js";
import { startSite } from "./support/site.js";

const run = promisify(execFile);
const bundlers = fileURLToPath(new URL("../bundlers", import.meta.url));

let directory;
let browser;
before(async () => {
    directory = await mkdtemp(join(tmpdir(), "steve-bundlers-"));
    await run("npm", ["ci", "--silent", "--no-audit", "--no-fund"], { cwd: bundlers });
    await run(process.execPath, ["build.js", directory], { cwd: bundlers });
    browser = await startChromium();
});
after(async () => {
    await browser?.stop();
    await rm(directory, { recursive: true });
});

for (const bundler of ["vite", "webpack"]) {
    test(`a production build by ${bundler} runs`, async () => {
        const site = await startSite({ "/": `${join(directory, bundler)}/` });
        const fixture = await startFixture({ options: ["--cors-origins", site.origin] });
        site.service = fixture.proxy.origin;
        const page = await browser.context.newPage();
        const options = {
            origin: fixture.proxy.origin,
            policy: { profiles: [PROFILE] },
            dangerousTrustRoot: fixture.proxy.root,
        };
        await page.goto(`${site.origin}/#${encodeURIComponent(JSON.stringify(options))}`);
        await page.waitForFunction(() => document.title !== "starting");
        assert.equal(await page.title(), "through the channel, xwing-chacha20poly1305");
        await page.close();
        await fixture.stop();
        site.close();
    });

    test(`a production build by ${bundler} has the core as a file, and evaluates nothing`, async () => {
        const files = await readdir(join(directory, bundler), { recursive: true });
        assert.equal(files.filter((name) => name.endsWith(".wasm")).length, 1);
        for (const name of files.filter((name) => name.endsWith(".js"))) {
            const text = await readFile(join(directory, bundler, name), "utf8");
            assert.equal(/\beval\(|new Function\(/.test(text), false, name);
        }
    });
}

test("no content security policy was violated, and no page threw", () => {
    assert.deepEqual(browser.faults, []);
});
