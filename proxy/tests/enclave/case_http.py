"""HTTP through the whole way: client, gateway, TLS in Caddy, relay, vsock, proxy, app."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
from websockets.asyncio.client import connect

from chain import Outer, gateway, outer, steve
from enclave import BOOTS_LIMIT, Enclave
from harness import EVENTS, MIB, Context, Link, check, equal, fetch, rate

if TYPE_CHECKING:
    from run import Suite

BULK = 256 * MIB
BULK_LIMIT = 240.0
MESSAGES = [0, 1, 125, 126, 65535, 65536, MIB]


def run(context: Context, suite: Suite) -> None:
    enclave = Enclave(context, suite.tools, suite.image)
    context.step("boot", enclave.boot, BOOTS_LIMIT)
    way = outer(context, enclave)
    context.step("steve request", lambda: request(context, enclave, way))
    link = gateway(context, enclave, way)
    context.step("requests one after another", lambda: many(link))
    context.step("events, each before the next is posted", lambda: events(link))
    context.step("WebSocket", lambda: asyncio.run(websocket(link)))
    context.step("client goes away", lambda: cancelled(link))
    context.step(f"{BULK // MIB} MiB down", lambda: download(link), BULK_LIMIT)
    context.step(f"{BULK // MIB} MiB up", lambda: upload(link), BULK_LIMIT)
    context.step("still ready", lambda: equal(enclave.health(), 200, "health"))


def request(context: Context, enclave: Enclave, way: Outer) -> str:
    """The app sees the request, and not that STEVE was there."""
    done = steve(context, "request", enclave, way, "-H", "x-test: 7", path="/?a=b")
    equal(done.returncode, 0, f"exit code ({done.stderr.decode()})")
    arrived = json.loads(done.stdout)
    equal((arrived["method"], arrived["target"]), ("GET", "/?a=b"), "what arrived")
    fields = dict(arrived["fields"])
    equal(fields.get("x-test"), "7", "the field")
    return f"fields {', '.join(sorted(fields))}"


def many(link: Link) -> str:
    count = 100
    with httpx.Client(trust_env=False, timeout=30) as client:
        times = []
        for _ in range(count):
            began = time.monotonic()
            equal(client.get(link.url("/bytes/1000")).content, numbers(0, 1000), "content")
            times.append(time.monotonic() - began)
    return f"{count} requests, {sorted(times)[count // 2] * 1000:.1f} ms (median)"


def events(link: Link) -> str:
    with (
        httpx.Client(trust_env=False, timeout=30) as client,
        client.stream("GET", link.url("/events")) as response,
    ):
        equal(response.headers["content-type"], "text/event-stream", "Content-Type")
        lines = (line for line in response.iter_lines() if line)
        delays = []
        for number in range(EVENTS):
            began = time.monotonic()
            fetch("--data-binary", str(number), link.url("/events"))
            equal(next(lines), f"data: {number}", "event")
            delays.append(time.monotonic() - began)
    return f"{EVENTS} events, {sorted(delays)[EVENTS // 2] * 1000:.0f} ms (median) with the request that posts it"


async def websocket(link: Link) -> str:
    async with connect(link.url("/ws", "ws"), max_size=None, compression=None, proxy=None) as socket:
        for size in MESSAGES:
            for message in ("ü" * (size // 2), bytes(numbers(0, size))):
                await socket.send(message)
                check(await socket.recv() == message, f"a message of {size} bytes has changed")
        await socket.close(4001, "finished")
        equal((socket.close_code, socket.close_reason), (4001, "finished"), "close")
    return f"{2 * len(MESSAGES)} messages up to {MESSAGES[-1] // MIB} MiB"


def cancelled(link: Link) -> str:
    """The app sees it when its client goes away, all the way back."""

    def clients() -> tuple[int, int]:
        found = json.loads(fetch(link.url("/slow/clients")).body)
        return found["waiting"], found["gone"]

    with httpx.Client(trust_env=False) as client:
        equal(clients(), (0, 0), "clients of /slow before")
        try:
            client.get(link.url("/slow"), timeout=httpx.Timeout(30, read=2))
        except httpx.ReadTimeout:
            began = time.monotonic()
    while (found := clients()) != (0, 1):
        check(found in ((1, 0), (0, 0)), f"clients of /slow: {found}")
    return f"seen after {time.monotonic() - began:.2f} s"


def numbers(start: int, end: int) -> bytes:
    """Bytes `start` to `end` of what the app has at /bytes; `start` is a multiple of 8."""
    found = array("Q", range(start // 8, -(-end // 8)))
    if sys.byteorder == "big":
        found.byteswap()
    return found.tobytes()[: end - start]


def pieces(size: int) -> Iterator[bytes]:
    for start in range(0, size, MIB):
        yield numbers(start, min(size, start + MIB))


def digest(size: int) -> str:
    hashed = hashlib.sha256()
    for piece in pieces(size):
        hashed.update(piece)
    return hashed.hexdigest()


def download(link: Link) -> str:
    expected, hashed, length = digest(BULK), hashlib.sha256(), 0
    began = time.monotonic()
    with (
        httpx.Client(trust_env=False, timeout=60) as client,
        client.stream("GET", link.url(f"/bytes/{BULK}")) as response,
    ):
        for block in response.iter_raw():
            hashed.update(block)
            length += len(block)
    measured = rate(length, began)
    equal((length, hashed.hexdigest()), (BULK, expected), "length and SHA-256")
    return measured


def upload(link: Link) -> str:
    expected = digest(BULK)
    began = time.monotonic()
    with httpx.Client(trust_env=False, timeout=BULK_LIMIT) as client:
        answer = client.post(link.url("/digest"), content=pieces(BULK)).json()
    measured = rate(BULK, began)
    equal((answer["length"], answer["sha256"]), (BULK, expected), "length and SHA-256")
    return measured
