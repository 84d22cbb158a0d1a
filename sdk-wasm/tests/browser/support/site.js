/** An origin of its own for pages, with a strict policy for their content. */

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".wasm": "application/wasm",
};

/**
 * Serves `directories`, by the beginning of the path. `service` is where pages may connect to,
 * `requests` what was asked for.
 */
export async function startSite(
    directories = { "/sdk/": here("../../../dist"), "/": here("../pages") },
) {
    const site = { service: "", requests: [] };
    const server = createServer(async (request, response) => {
        const { pathname } = new URL(request.url, "http://site");
        site.requests.push(pathname);
        const mount = Object.keys(directories).find((start) => pathname.startsWith(start));
        const rest = pathname.slice(mount.length) || "index.html";
        const file = join(directories[mount], normalize(`/${rest}`));
        const content = await readFile(file).catch(() => undefined);
        if (content === undefined) return response.writeHead(404).end();
        const { service } = site;
        response.writeHead(200, {
            "content-type": TYPES[extname(file)] ?? "application/octet-stream",
            "content-security-policy":
                "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; img-src 'self'; " +
                `connect-src 'self' ${service} ${service.replace("http", "ws")}; require-trusted-types-for 'script'`,
        });
        response.end(content);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    site.origin = `http://127.0.0.1:${server.address().port}`;
    site.close = () => {
        server.close();
        server.closeAllConnections();
    };
    return site;
}
