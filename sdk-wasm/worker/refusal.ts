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

function page({ code, stage, message }: PlainError): string {
    const isSent = stage === "request" || stage === "response";
    const title = isSent ? "No answer" : "Not sent: no protected connection";
    const what = isSent
        ? "The encrypted channel into the enclave failed. The app may have got the request, or not."
        : "This page is reached through an encrypted channel into a verified enclave only. There is none, so the request was not sent.";
    return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { max-width: 40rem; margin: 3rem auto; padding: 0 1rem; overflow-wrap: anywhere }
</style>
<h1>${title}</h1>
<p>${what}</p>
<p>${escaped(message)}</p>
<p><code>${escaped(code)}</code>, at the stage <code>${escaped(stage)}</code></p>
<p><strong>${isRefused(code) ? "Do not go on: the service is not what it is expected to be." : "Try again later."}</strong></p>
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
