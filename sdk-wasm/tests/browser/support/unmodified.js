/** An app with a page that knows nothing of STEVE, and the few files it has to deliver in the open. */

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { routes } from "../../support/app.js";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** What goes past the channel: the page that registers, what it needs, and the worker. */
export const PUBLIC = ["/", "/register.js", "/steve-service-worker.js", "/production.js"];

/** Strict, also for the worker. */
const POLICY =
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; " +
    "require-trusted-types-for 'script'; trusted-types steve-sdk";

/** Adds the app's routes. `worker` is the text of its script, and can be changed. */
export async function addRoutes() {
    const register = await build({
        entryPoints: [here("../../../dist/dangerous-service-worker.js")],
        bundle: true,
        format: "iife",
        globalName: "worker",
        write: false,
    });
    const files = {
        worker: await readFile(
            here("../../../dist/worker/dangerous-steve-service-worker.js"),
            "utf8",
        ),
        production: await readFile(here("../../../dist/worker/steve-service-worker.js"), "utf8"),
        register: register.outputFiles[0].text,
        events: undefined,
    };
    const page = await readFile(here("../pages/app.html"));
    const give = (path, type, content, headers = {}) => {
        routes[path] = (_, response) => {
            response.writeHead(200, { "content-type": type, ...headers });
            response.end(content());
        };
    };
    const open = { "content-security-policy": POLICY };
    const script = "text/javascript";
    give(
        "/",
        "text/html",
        () => "<!doctype html><title>start</title><script src=/register.js></script>",
        open,
    );
    give("/register.js", script, () => files.register, open);
    give("/steve-service-worker.js", script, () => files.worker, open);
    give("/production.js", script, () => files.production, open);
    give("/app", "text/html", () => page);
    give("/unmodified.js", script, () => "document.body.dataset.script = 'ran'");
    give("/unmodified.css", "text/css", () => "body { --styled: yes }");
    give(
        "/unmodified.svg",
        "image/svg+xml",
        () => `<svg xmlns="http://www.w3.org/2000/svg" width="7" height="5"/>`,
    );
    routes["/form"] = async (request, response) => {
        let body = "";
        for await (const chunk of request) body += chunk;
        response.setHeader("content-type", "text/html");
        const { "content-type": type, origin } = request.headers;
        response.end(
            `<!doctype html><title>form</title><p>${[request.method, type, origin, body].join(" ")}`,
        );
    };
    routes["/events"] = (_, response) => {
        files.events = response;
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write("data: 0\n\n");
    };
    routes["/next"] = (_, response, url) => {
        files.events.write(`data: ${url.searchParams.get("number")}\n\n`);
        response.end();
    };
    routes["/download"] = async (_, response, url) => {
        const piece = Buffer.alloc(65_536, 7);
        const total = Number(url.searchParams.get("mib")) << 20;
        for (let sent = 0; sent < total && !response.destroyed; sent += piece.length) {
            if (!response.write(piece)) await once(response, "drain").catch(() => undefined);
        }
        response.end();
    };
    return files;
}
