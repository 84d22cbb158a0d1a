/** An app behind the proxy: HTTP, and WebSockets by the package `ws`. */

import { once } from "node:events";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

export const routes = {
    "/echo": (request, response) => {
        response.writeHead(200, { "content-type": request.headers["content-type"] ?? "none" });
        response.flushHeaders();
        request.pipe(response);
    },
    "/head": async (request, response) => {
        for await (const _ of request);
        const { method, url, headers } = request;
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify({ method, url, headers }));
    },
    "/length": async (request, response) => {
        let length = 0;
        for await (const chunk of request) length += chunk.length;
        response.end(JSON.stringify({ length, trailers: request.trailers }));
    },
    "/status": (_, response, url) => {
        response.writeHead(Number(url.searchParams.get("code")), {
            "x-repeated": ["a", "b"],
            "set-cookie": ["a=1", "b=2"],
        });
        response.end();
    },
    "/redirect": (_, response, url) => {
        const location = url.searchParams.get("to");
        response.writeHead(Number(url.searchParams.get("code") ?? 302), { location });
        response.end("moved");
    },
    "/loop": (_, response) => {
        response.writeHead(302, { location: "/loop" }).end();
    },
    "/hints": (_, response) => {
        response.writeEarlyHints({ link: "</style.css>; rel=preload" });
        response.end("hinted");
    },
    "/endless-hints": async (_, response) => {
        while (!response.destroyed) {
            response.writeEarlyHints({ link: "</style.css>; rel=preload" });
            await new Promise(setImmediate);
        }
    },
    "/trailers": (_, response) => {
        response.writeHead(200, { trailer: "x-sum" });
        response.write("body");
        response.addTrailers({ "x-sum": "42" });
        response.end();
    },
    "/broken": (_, response) => {
        response.writeHead(200, { "content-length": "100" });
        response.write("half", () => response.destroy());
    },
};

/** Starts the app. `counts` has the requests for each path; `opened` the responses that go on. */
export async function startApp() {
    const counts = new Map();
    const app = { counts, endless: undefined, hanging: undefined };
    const server = createServer((request, response) => {
        const url = new URL(request.url, "http://app");
        counts.set(url.pathname, (counts.get(url.pathname) ?? 0) + 1);
        if (url.pathname === "/endless") return void (app.endless = sendEndlessly(response));
        if (url.pathname === "/endless-205")
            return void (app.endless = sendEndlessly(response.writeHead(205)));
        if (url.pathname === "/hang") {
            const closed = once(response, "close");
            // An end is behind what was not read.
            app.hanging = { ended: () => (request.resume(), closed) };
            app.onHang?.();
            return;
        }
        const route = routes[url.pathname];
        if (route) Promise.resolve(route(request, response, url)).catch(() => response.destroy());
        else response.writeHead(404).end();
    });
    const sockets = new WebSocketServer({
        server,
        maxPayload: 32 << 20,
        verifyClient: ({ req }) => req.url !== "/refused",
        handleProtocols: (offered) => (offered.has("second") ? "second" : false),
    });
    sockets.on("connection", serveSocket);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    app.port = server.address().port;
    app.close = () => {
        for (const client of sockets.clients) client.terminate();
        server.close();
        server.closeAllConnections();
    };
    return app;
}

/** A body without an end, as fast as it is taken. */
function sendEndlessly(response) {
    const endless = { sent: 0, closed: once(response, "close") };
    const piece = Buffer.alloc(65_536, 7);
    const more = () => {
        while (!response.destroyed) {
            endless.sent += piece.length;
            if (!response.write(piece)) return;
        }
    };
    response.on("drain", more);
    more();
    return endless;
}

function serveSocket(socket) {
    socket.on("error", () => undefined);
    socket.on("message", (data, isBinary) => {
        const text = isBinary ? "" : data.toString();
        if (text === "close 4321") socket.close(4321, "as asked");
        else if (text === "close without code") socket.close();
        else if (text === "terminate") socket.terminate();
        else if (text === "ping") socket.ping("are you there", undefined, () => undefined);
        else if (text === "fragments") sendFragments(socket);
        else if (text === "not utf-8")
            socket._sender.send(Buffer.from([0xff]), { binary: false, fin: true, mask: false });
        else if (text === "masked")
            socket._sender.send(Buffer.from("x"), { binary: false, fin: true, mask: true });
        else socket.send(data, { binary: isBinary });
    });
    socket.on("pong", (data) => socket.send(`pong: ${data}`));
}

function sendFragments(socket) {
    socket.send("one ", { fin: false });
    socket.send("two ", { fin: false });
    socket.ping("between");
    socket.send("three", { fin: true });
}
