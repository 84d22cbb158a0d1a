"""The `websockets` library at both ends: messages, fragments, pings, closes, refusals, deaths, and a GiB each way."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from harness import MIB, Context, Failed, Link, Program, check, equal, rate

MESSAGE = 16 * MIB
MESSAGES = 64
PATIENCE = 20.0
CLOSES = [(1000, "finished"), (1001, "going away"), (3000, "größe"), (4001, "x" * 123)]


def run(context: Context) -> None:
    app, port = context.python_app("app_websockets.py", "plain")
    with context.link(port) as link:

        def step(name: str, body: Callable[[], Awaitable[str | None]], limit: float = PATIENCE) -> None:
            context.step(name, lambda: asyncio.run(body()), limit)  # type: ignore[arg-type]

        step("text and binary", lambda: messages(link))
        step("fragments to the app", lambda: fragments_up(link))
        step("fragments to the client", lambda: fragments_down(link))
        step("ping and pong", lambda: pings(link))
        step("subprotocol and Origin", lambda: subprotocol(link, app))
        for code, reason in CLOSES:
            step(f"client closes with {code}", lambda c=code, r=reason: client_closes(link, app, c, r))
        for code, reason in CLOSES:
            step(f"app closes with {code}", lambda c=code, r=reason: app_closes(link, c, r))
        step("refused handshake", lambda: refused(link))
        step("client gone", lambda: client_gone(link, app))
        step("200 at once", lambda: many(link))
        step("1 GiB each way", lambda: bulk(link), 120)
        step("app dies", lambda: app_dies(link))
    _, port = context.python_app("app_websockets.py", "deflate")
    with context.link(port) as link:
        context.step("permessage-deflate", lambda: asyncio.run(deflate(link)), PATIENCE)
    if not link.direct:
        with context.link(port, doomed=True) as link:
            context.step("proxy dies", lambda: asyncio.run(proxy_dies(link)), PATIENCE)


def client(link: Link, path: str, **more: object) -> connect:
    options = {"max_size": None, "compression": None, "ping_interval": None, "proxy": None, **more}
    return connect(link.url(path, "ws"), **options)  # type: ignore[arg-type]


async def messages(link: Link) -> str:
    sizes = [0, 1, 125, 126, 65535, 65536, MIB]
    async with client(link, "/echo") as socket:
        for size in sizes:
            text = "ü" * (size // 2)
            await socket.send(text)
            check(await socket.recv() == text, f"a text of {size} bytes came back changed")
            data = os.urandom(size)
            await socket.send(data)
            check(await socket.recv() == data, f"{size} bytes came back changed")
    return f"sizes {sizes}"


async def fragments_up(link: Link) -> str:
    """The app answers each fragment before the next leaves."""
    sizes = [1, 70_000, 125, 4096, 3]
    async with client(link, "/fragments") as socket:
        sent = asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            for size in sizes:
                yield bytes(size)
                await sent.wait()
                sent.clear()

        sending = asyncio.create_task(socket.send(pieces()))
        for size in sizes:
            received = 0
            while received < size:
                received += int(await socket.recv())
            equal(received, size, "bytes of the fragment that arrived")
            sent.set()
        await sending
    return f"sizes {sizes}, each answered before the next"


async def fragments_down(link: Link) -> None:
    async with client(link, "/send-fragments") as socket:
        number, text = 0, ""
        async for fragment in socket.recv_streaming():
            text += fragment
            if text.endswith(";"):
                equal(text, f"fragment {number};", "fragment")
                number, text = number + 1, ""
                await socket.send("next")
        equal(number, 5, "fragments")


async def pings(link: Link) -> str:
    async with client(link, "/echo") as socket:
        own = [await (await socket.ping(os.urandom(125))) for _ in range(20)]
    async with client(link, "/ping") as socket:
        server = float(await socket.recv())
    return f"{min(own) * 1000:.1f} to {max(own) * 1000:.1f} ms from the client, {server * 1000:.1f} ms from the app"


async def subprotocol(link: Link, app: Program) -> None:
    offer = {"subprotocols": ["other", "chat.v1"], "origin": "https://page.example"}
    async with client(link, "/echo?mark=subprotocol", **offer) as socket:
        equal(socket.subprotocol, "chat.v1", "subprotocol that the client sees")
        opened = await asyncio.to_thread(app.event, "opened", mark="subprotocol")
        equal(opened["subprotocol"], "chat.v1", "subprotocol that the app sees")
        equal(opened["origin"], "https://page.example", "Origin that the app sees")


async def client_closes(link: Link, app: Program, code: int, reason: str) -> None:
    async with client(link, f"/echo?mark={code}") as socket:
        await socket.send("x")
        await socket.recv()
        await socket.close(code, reason)
    closed = await asyncio.to_thread(app.event, "closed", mark=str(code))
    equal((closed["code"], closed["reason"]), (code, reason), "what the app sees")
    equal((socket.close_code, socket.close_reason), (code, reason), "what comes back")


async def app_closes(link: Link, code: int, reason: str) -> None:
    async with client(link, f"/close?code={code}&reason={quote(reason)}") as socket:
        end = await broken(socket)
    check(end.rcvd is not None, f"no close frame: {end}")
    assert end.rcvd
    equal((end.rcvd.code, end.rcvd.reason), (code, reason), "what the client sees")


async def broken(socket: ClientConnection) -> ConnectionClosed:
    """How the connection ends."""
    try:
        while True:
            await socket.recv()
    except ConnectionClosed as error:
        return error


async def refused(link: Link) -> str:
    try:
        async with client(link, "/refuse"):
            pass
    except InvalidStatus as error:
        equal(error.response.status_code, 403, "status")
        equal(error.response.body, b"no entry\n", "body")
        return "403 with its body"
    raise Failed("the handshake was accepted")


async def client_gone(link: Link, app: Program) -> str:
    """Without a close frame the app must not see a regular end."""
    socket = await client(link, "/echo?mark=gone")
    await socket.send("x")
    await socket.recv()
    began = time.monotonic()
    socket.transport.abort()
    closed = await asyncio.to_thread(app.event, "closed", mark="gone")
    equal(closed["code"], 1006, "code that the app sees")
    took = closed["time"] - began
    check(took < 1, f"the app saw it after {took:.1f} s")
    return f"after {took * 1000:.0f} ms"


async def app_dies(link: Link) -> str:
    async with client(link, "/die") as socket:
        equal(await socket.recv(), "last words", "message")
        end = await broken(socket)
    check(end.rcvd is None, f"the client sees a regular end: {end}")
    equal(socket.close_code, 1006, "code that the client sees")
    return str(end)


async def proxy_dies(link: Link) -> str:
    assert link.proxy
    async with client(link, "/echo") as socket:
        await socket.send("x")
        await socket.recv()
        link.proxy.process.kill()
        end = await broken(socket)
    check(end.rcvd is None, f"the client sees a regular end: {end}")
    return str(end)


async def many(link: Link) -> str:
    async def one(number: int) -> None:
        async with client(link, "/echo") as socket:
            for turn in range(10):
                text = f"{number}/{turn}"
                await socket.send(text)
                equal(await socket.recv(), text, "message")

    began = time.monotonic()
    await asyncio.gather(*(one(number) for number in range(200)))
    return f"2000 messages in {time.monotonic() - began:.1f} s"


async def bulk(link: Link) -> str:
    """Sends and receives at the same time; at most two messages are on their way."""
    random = os.urandom(MESSAGE)

    def message(number: int) -> bytes:
        return number.to_bytes(8, "big") + random[8:]

    began = time.monotonic()
    async with client(link, "/echo") as socket:
        window = asyncio.Semaphore(2)

        async def send() -> None:
            for number in range(MESSAGES):
                await window.acquire()
                await socket.send(message(number))

        sending = asyncio.create_task(send())
        for number in range(MESSAGES):
            check(await socket.recv() == message(number), f"message {number} came back changed")
            window.release()
        await sending
    return rate(MESSAGE * MESSAGES, began) + " each way"


async def deflate(link: Link) -> str:
    async with client(link, "/echo", compression="deflate") as socket:
        assert socket.response
        agreed = socket.response.headers.get("Sec-WebSocket-Extensions", "")
        check("permessage-deflate" in agreed, f"not agreed on: {agreed}")
        for text in ["a" * 1_000_000, "", "größe" * 1000, os.urandom(1000).hex()]:
            await socket.send(text)
            check(await socket.recv() == text, "a text came back changed")
    return agreed
