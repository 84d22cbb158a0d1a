"""A server of the `websockets` library. The path says what it does; it reports how connections ended."""

from __future__ import annotations

import asyncio
import http
import json
import os
import sys
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response


def report(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, "time": time.monotonic(), **more}), flush=True)


def before_handshake(connection: ServerConnection, request: Request) -> Response | None:
    if request.path == "/refuse":
        return connection.respond(http.HTTPStatus.FORBIDDEN, "no entry\n")
    return None


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


async def fragments(socket: ServerConnection) -> None:
    """Answers each fragment with its size, before the next is there."""
    async for fragment in socket.recv_streaming(decode=False):
        await socket.send(str(len(fragment)))


async def send_fragments(socket: ServerConnection) -> None:
    """One message in fragments, each sent when the client has acknowledged the one before."""

    async def pieces() -> Any:
        for number in range(5):
            yield f"fragment {number};"
            await socket.recv()

    await socket.send(pieces())


async def ping(socket: ServerConnection) -> None:
    """Pings the client and tells it how long the pong took."""
    latency = await (await socket.ping(b"from the server"))
    await socket.send(f"{latency}")


async def handle(socket: ServerConnection) -> None:
    assert socket.request
    url = urlsplit(socket.request.path)
    query = parse_qs(url.query)
    mark = query.get("mark", [None])[0]
    report("opened", mark=mark, subprotocol=socket.subprotocol, origin=socket.request.headers.get("Origin"))
    try:
        match url.path:
            case "/echo":
                await echo(socket)
            case "/fragments":
                await fragments(socket)
            case "/send-fragments":
                await send_fragments(socket)
            case "/ping":
                await ping(socket)
            case "/close":
                await socket.close(int(query["code"][0]), query["reason"][0])
            case "/die":
                await socket.send("last words")
                os._exit(1)
    except ConnectionClosed:
        pass
    await socket.wait_closed()
    report("closed", mark=mark, code=socket.close_code, reason=socket.close_reason)


async def main() -> None:
    compression = "deflate" if sys.argv[2] == "deflate" else None
    server = serve(
        handle,
        "127.0.0.1",
        int(sys.argv[1]),
        process_request=before_handshake,
        select_subprotocol=lambda socket, offered: "chat.v1" if "chat.v1" in offered else None,
        compression=compression,
        max_size=None,
        ping_interval=None,
    )
    async with server:
        await asyncio.Event().wait()


asyncio.run(main())
