import {
    type Check,
    type Outcome,
    type Report,
    SteveError,
} from "../dist/dangerous-development.js";
import { element, make } from "./element.js";

const MEANING: Record<Outcome, string> = {
    passed: "Passed",
    failed: "Failed",
    "not-performed": "Not performed",
    "not-reached": "Not reached",
};

/** Shows every check, and what is not proven. */
export function showReport(report: Report): void {
    element("checks", HTMLElement).replaceChildren(...report.checks.map(checkItem));
    element("not-proven", HTMLElement).replaceChildren(
        ...report.notProven.map((text) => make("li", text)),
    );
}

function checkItem({ name, requirement, outcome, detail }: Check): HTMLElement {
    const summary = make("summary", make("span", requirement), make("code", name));
    const label = make("span", `${MEANING[outcome]}: `);
    label.className = "outcome";
    summary.firstElementChild?.prepend(label);
    const found = make("p", detail || "Not reached.");
    found.className = "note";
    const details = make("details", summary, found) as HTMLDetailsElement;
    details.open = outcome === "failed";
    const item = make("li", details);
    item.dataset.outcome = outcome;
    return item;
}

/** Shows why something failed; nothing if it is undefined. */
export function showAlert(error: unknown): void {
    const alert = element("alert", HTMLElement);
    alert.hidden = error === undefined;
    if (error === undefined) return alert.replaceChildren();
    const isRefused = error instanceof SteveError && error.report !== undefined;
    const title = make(
        "h2",
        isRefused ? "This is not the enclave that was expected" : "That did not work",
    );
    const text = make("p", error instanceof Error ? error.message : String(error));
    const code = error instanceof SteveError ? [make("p", make("code", error.code))] : [];
    alert.replaceChildren(title, text, ...code);
}
