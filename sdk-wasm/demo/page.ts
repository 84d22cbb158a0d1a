/** The demo's page: verifies, sends a message, and shows what the host saw of it. */

import {
    connect,
    receiptOf,
    type Report,
    type Steve,
    SteveError,
} from "../dist/dangerous-development.js";
import { element } from "./element.js";
import { showAlert, showReport } from "./report.js";
import { Wire } from "./wire.js";

/** What the demo's own server says there is to trust. */
interface Trust {
    readonly origin: string;
    readonly root: string;
    readonly profile: Record<string, string>;
}

const state = element("state", HTMLElement);
const form = element("form", HTMLFormElement);
const message = element("message", HTMLTextAreaElement);
const answer = element("answer", HTMLElement);
const receiptLine = element("receipt", HTMLElement);
const stop = element("stop", HTMLButtonElement);
const buttons = ["send", "plain", "verify"].map((id) => element(id, HTMLButtonElement));
const wire = new Wire();

function showState(kind: "busy" | "good" | "bad", text: string): void {
    state.dataset.state = kind;
    state.textContent = text;
}

/** Runs what a button starts; one at a time. */
async function run(action: () => Promise<void>): Promise<void> {
    for (const button of buttons) button.disabled = true;
    try {
        showAlert(undefined);
        await action();
    } catch (error) {
        showAlert(error);
    } finally {
        for (const button of buttons) button.disabled = false;
    }
}

/** Connects, or says why not. */
async function open(trust: Trust): Promise<Steve | undefined> {
    try {
        return await connect({
            origin: trust.origin,
            policy: { profiles: trust.profile },
            dangerousTrustRoot: trust.root,
            on: { verified: ({ report }) => verified(report) },
        });
    } catch (error) {
        refused(error);
        return undefined;
    }
}

function verified(report: Report): void {
    showReport(report);
    showState("good", "Every check passed, under a root made up for this demo: it proves nothing.");
}

function refused(error: unknown): void {
    if (error instanceof SteveError && error.report !== undefined) showReport(error.report);
    showState("bad", "Not verified. Nothing is sent.");
    showAlert(error);
}

async function send(steve: Steve): Promise<void> {
    const abort = new AbortController();
    stop.onclick = () => abort.abort();
    stop.hidden = false;
    answer.textContent = "";
    // Read out when it is complete, and not word by word.
    answer.setAttribute("aria-busy", "true");
    receiptLine.textContent = "";
    const text = message.value;
    wire.begin([text]);
    try {
        const response = await steve.fetch("/reply", {
            method: "POST",
            headers: { "content-type": "text/plain" },
            body: text,
            signal: abort.signal,
        });
        if (!response.ok) throw new Error(`the app answered with status ${response.status}`);
        if (response.body === null) return;
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        let words = 0;
        for (;;) {
            const { done, value } = await reader.read();
            if (done) break;
            words += 1;
            answer.append(value);
        }
        const receipt = receiptOf(response);
        receiptLine.textContent =
            `${words} pieces, each sealed by itself. Session ${receipt?.sessionId}, ` +
            `stream ${receipt?.streamId}, ${receipt?.suite}.`;
    } catch (error) {
        if (!abort.signal.aborted) throw error;
        receiptLine.textContent = "Stopped.";
    } finally {
        stop.hidden = true;
        answer.removeAttribute("aria-busy");
        await wire.settled();
        wire.judge([text, ...longWords(answer.textContent ?? "")]);
    }
}

/** Shorter ones occur by chance. */
function longWords(text: string): string[] {
    return text.split(/\s+/).filter((word) => word.length >= 8);
}

/** For comparison: what the host sees without STEVE. The proxy refuses it, and the app gets nothing. */
async function sendPlain(origin: string): Promise<void> {
    answer.textContent = "";
    receiptLine.textContent = "Sent as it is, past the channel. The proxy refuses such requests.";
    const text = message.value;
    wire.begin([text]);
    // The answer is for no other origin's eyes, which is no matter here.
    await fetch(`${origin}/reply`, { method: "POST", mode: "no-cors", body: text });
    await wire.settled();
    wire.judge([text]);
}

async function start(): Promise<void> {
    await wire.open();
    const trust = (await (await fetch("/trust.json")).json()) as Trust;
    element("own-origin", HTMLElement).textContent = location.origin;
    element("service-origin", HTMLElement).textContent = trust.origin;
    let steve = await open(trust);
    const connected = async (): Promise<Steve | undefined> => (steve ??= await open(trust));
    form.addEventListener("submit", (event) => {
        event.preventDefault();
        run(async () => {
            const client = await connected();
            if (client !== undefined) await send(client);
        });
    });
    message.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    });
    element("plain", HTMLButtonElement).addEventListener("click", () =>
        run(() => sendPlain(trust.origin)),
    );
    element("verify", HTMLButtonElement).addEventListener("click", () =>
        run(async () => {
            showState("busy", "Verifying the enclave …");
            if (steve === undefined) steve = await open(trust);
            else await steve.verify().then(() => undefined, refused);
        }),
    );
    for (const button of buttons) button.disabled = false;
}

start().catch((error: unknown) => {
    showState("bad", "The demo cannot be reached.");
    showAlert(error);
});
