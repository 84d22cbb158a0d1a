/** The host: forwards bytes, counts them, and can go away. */

import { once } from "node:events";
import { createServer, connect } from "node:net";

/** Forwards to `port`. `up` and `down` keep the first megabyte of each direction. */
export async function startRelay(port) {
    const relay = { up: "", down: "", port: 0 };
    let sockets = new Set();
    const keep = (way, bytes) => {
        if (relay[way].length < 1 << 20) relay[way] += bytes.toString("latin1");
    };
    const server = createServer((client) => {
        const proxy = connect(port, "127.0.0.1");
        for (const socket of [client, proxy]) {
            sockets.add(socket);
            socket.on("error", () => undefined);
            socket.on("close", () => {
                sockets.delete(socket);
                client.destroy();
                proxy.destroy();
            });
        }
        client.on("data", (bytes) => keep("up", bytes));
        proxy.on("data", (bytes) => keep("down", bytes));
        client.pipe(proxy);
        proxy.pipe(client);
    });
    relay.start = async () => {
        server.listen(relay.port, "127.0.0.1");
        await once(server, "listening");
        relay.port = server.address().port;
        relay.origin = `http://127.0.0.1:${relay.port}`;
    };
    relay.stop = async () => {
        const closed = once(server, "close");
        server.close();
        for (const socket of sockets) socket.destroy();
        sockets = new Set();
        await closed;
    };
    await relay.start();
    return relay;
}
