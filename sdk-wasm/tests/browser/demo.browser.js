/** The demo's page. With STEVE_SCREENSHOTS, pictures of it are written there. */

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startChromium } from "./support/chromium.js";
import { startDemo } from "./support/demo.js";

const PICTURES = process.env.STEVE_SCREENSHOTS;
const VERIFIED = "#state[data-state=good]";

let demo;
let browser;
before(async () => {
    demo = await startDemo();
    browser = await startChromium();
    if (PICTURES) await mkdir(PICTURES, { recursive: true });
});
after(async () => {
    await browser?.stop();
    await demo?.stop();
});

async function open() {
    const page = await browser.context.newPage();
    await page.goto(demo.page);
    return page;
}

async function send(page, text) {
    await page.fill("#message", text);
    await page.click("#send");
    await page.waitForSelector("#verdict[data-state=good], #verdict[data-state=bad]");
    assert.match(await page.textContent("#receipt"), /Session/);
}

async function picture(page, name) {
    if (PICTURES) await page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true });
}

test("a person sees every check, and what is not proven", async () => {
    const page = await open();
    await page.waitForSelector(VERIFIED);
    assert.equal(await page.locator("#checks li").count(), 14);
    assert.equal(await page.locator("#checks li[data-outcome=passed]").count(), 14);
    assert.ok((await page.locator("#not-proven li").count()) > 0);
    await page.click("#verify");
    await page.waitForSelector("#verify:not([disabled])");
    await page.waitForSelector(VERIFIED);
    await page.close();
});

test("an answer arrives word by word, and the host reads none of it", async () => {
    const page = await open();
    await page.waitForSelector(VERIFIED);
    await page.evaluate(() => {
        window.times = [];
        const note = () => window.times.push(performance.now());
        new MutationObserver(note).observe(document.querySelector("#answer"), { childList: true });
    });
    await send(page, "The password is swordfish-4711, says Zoë");
    const times = await page.evaluate(() => window.times);
    assert.ok(times.length > 20, `${times.length} pieces`);
    assert.ok(times.at(-1) - times[0] > 1000, "they came at once");
    assert.match(await page.textContent("#answer"), /swordfish-4711, says Zoë/);
    assert.equal(await page.getAttribute("#verdict", "data-state"), "good");
    assert.match(await page.textContent("#verdict"), /Searched [0-9]{4,} bytes/);
    assert.match(await page.textContent("#wire"), /POST \/\.well-known\/steve\/v3\/stream/);
    assert.equal((await page.textContent("#wire")).includes("swordfish"), false);
    await page.close();
});

test("without encryption the host reads it, so its search is not blind", async () => {
    const page = await open();
    await page.waitForSelector(VERIFIED);
    await page.fill("#message", "The password is swordfish-4711, says Zoë");
    await page.click("#plain");
    await page.waitForSelector("#verdict[data-state=bad]");
    assert.equal(await page.textContent("#wire mark"), "The password is swordfish-4711, says Zoë");
    await picture(page, "plain");
    await page.close();
});

test("a long answer can be stopped", async () => {
    const page = await open();
    await page.waitForSelector(VERIFIED);
    await page.click("#send");
    await page.waitForFunction(() => document.querySelector("#answer").textContent.length > 10);
    await page.click("#stop");
    await page.waitForFunction(() => document.querySelector("#receipt").textContent === "Stopped.");
    assert.equal(await page.isVisible("#alert"), false);
    await page.close();
});

test("another image than the one pinned is refused, and said so", async () => {
    const page = await browser.context.newPage();
    await page.route("**/trust.json", async (route) => {
        const trust = await (await route.fetch()).json();
        await route.fulfill({
            json: { ...trust, profile: { ...trust.profile, pcr1: "ab".repeat(48) } },
        });
    });
    await page.goto(demo.page);
    await page.waitForSelector("#state[data-state=bad]");
    assert.match(await page.textContent("#alert"), /evidence-policy/);
    assert.match(await page.textContent("#checks li[data-outcome=failed]"), /PCR1/);
    await page.click("#send");
    await page.waitForSelector("#send:not([disabled])");
    assert.equal(await page.textContent("#answer"), "");
    await picture(page, "refused");
    await page.close();
});

test("it can be used with the keyboard alone, and has names for everything", async () => {
    const page = await open();
    await page.waitForSelector("#send:not([disabled])");
    const reached = [];
    await page.evaluate(() => document.body.focus());
    for (let count = 0; count < 30; count += 1) {
        await page.keyboard.press("Tab");
        const id = await page.evaluate(
            () => document.activeElement.id || document.activeElement.localName,
        );
        reached.push(id);
    }
    for (const id of ["message", "send", "plain", "wire", "verify", "summary"])
        assert.ok(reached.includes(id), id);
    await page.focus("#message");
    await page.keyboard.press("Control+Enter");
    await page.waitForFunction(() => document.querySelector("#answer").textContent.length > 10);
    const nameless = await page.evaluate(() =>
        [...document.querySelectorAll("button, textarea, summary, [role]")]
            .filter(
                (each) =>
                    !(
                        each.textContent.trim() ||
                        each.labels?.length ||
                        each.ariaLabel ||
                        each.hidden ||
                        each.role === "status"
                    ),
            )
            .map((each) => each.outerHTML),
    );
    assert.deepEqual(nameless, []);
    await page.close();
});

for (const [name, options] of [
    ["light", { colorScheme: "light", viewport: { width: 1200, height: 900 } }],
    ["dark", { colorScheme: "dark", viewport: { width: 1200, height: 900 } }],
    ["phone", { colorScheme: "light", viewport: { width: 360, height: 740 } }],
    ["phone-dark", { colorScheme: "dark", viewport: { width: 360, height: 740 } }],
]) {
    test(`nothing is cut off or hard to read: ${name}`, async () => {
        const page = await open();
        await page.emulateMedia({ colorScheme: options.colorScheme });
        await page.setViewportSize(options.viewport);
        await page.waitForSelector(VERIFIED);
        await send(page, "Is my diagnosis treatable?");
        await picture(page, name);
        const { wide, dim } = await page.evaluate(measure);
        assert.equal(wide, 0, "it is wider than the screen");
        assert.deepEqual(dim, [], "the contrast is below 4.5");
        await page.close();
    });
}

/** How far the page is wider than the screen, and texts with too little contrast (WCAG 2.2, 1.4.3). */
function measure() {
    const parse = (colour) => colour.match(/[0-9.]+/g).map(Number);
    const luminance = ([red, green, blue]) => {
        const [r, g, b] = [red, green, blue].map((value) => {
            const part = value / 255;
            return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const backOf = (node) => {
        const colour = parse(getComputedStyle(node).backgroundColor);
        return colour.length === 4 && colour[3] === 0
            ? node.parentElement
                ? backOf(node.parentElement)
                : [255, 255, 255]
            : colour;
    };
    const dim = [];
    for (const node of document.querySelectorAll("body *")) {
        const hasText = [...node.childNodes].some(
            (child) => child.nodeType === 3 && child.data.trim(),
        );
        if (!hasText || !node.checkVisibility() || node.localName === "noscript") continue;
        const [a, b] = [luminance(parse(getComputedStyle(node).color)), luminance(backOf(node))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) dim.push(`${node.localName} ${node.id} ${ratio.toFixed(2)}`);
    }
    return { wide: document.documentElement.scrollWidth - innerWidth, dim };
}

test("no content security policy was violated, and no page threw", () => {
    assert.deepEqual(browser.faults, []);
});
