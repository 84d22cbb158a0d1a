import type { PlainError } from "../dist/service-worker/messages.js";

/** What is answered when there is no channel: to a person a page that says why, to scripts an error. */
export function refusal(request: Request, error: PlainError): Response {
    if (request.mode !== "navigate") return Response.error();
    return new Response(page(error), {
        status: 502,
        headers: {
            "content-type": "text/html; charset=utf-8",
            "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
            "cache-control": "no-store",
        },
    });
}

function page({ code, stage, message, report }: PlainError): string {
    const failed = report?.checks.filter(({ outcome }) => outcome === "failed") ?? [];
    const checks = failed.map(
        ({ name, requirement, detail }) =>
            `<dt>${escaped(name)}: ${escaped(requirement)}</dt><dd>${escaped(detail)}</dd>`,
    );
    return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Not sent: no protected connection</title>
<style>
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { max-width: 40rem; margin: 3rem auto; padding: 0 1rem }
dd, code { overflow-wrap: anywhere }
</style>
<h1>Not sent: no protected connection</h1>
<p>This page is reached through an encrypted channel into a verified enclave only. There is none, so the
request was not sent.</p>
<p>${escaped(message)}</p>
${checks.length > 0 ? `<dl>${checks.join("")}</dl>` : ""}
<p><code>${escaped(code)}</code>, at the stage <code>${escaped(stage)}</code></p>
<p>${isRefused(code) ? "Do not go on: the service is not what it is expected to be." : "Try again later."}</p>
</html>
`;
}

/** The evidence was read, and is not good: no passing trouble. */
function isRefused(code: string): boolean {
    return code.startsWith("evidence-");
}

function escaped(text: string): string {
    return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
