"""An enclave of 512 MiB with clients that do not read."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chain import gateway, outer
from enclave import BOOTS_LIMIT, Enclave
from harness import MIB, Context, Link, check, equal, fetch
from image import MEMORY_BUDGET

if TYPE_CHECKING:
    from run import Suite

GATEWAYS = 2
# At each gateway, which carries 256 connections and whose session has 256 streams.
CLIENTS = 240
SIZE = 64 * MIB
# What makes it a load.
LEAST_STREAMS = 50
# What the proxy has besides connections and streams.
BASE = 32 * MIB


def run(context: Context, suite: Suite) -> None:
    enclave = Enclave(context, suite.tools, suite.image)
    context.step("boot", enclave.boot, BOOTS_LIMIT)
    way = outer(context, enclave)
    links = [gateway(context, enclave, way) for _ in range(GATEWAYS)]
    context.step("at rest", lambda: Memory.of(links[0]).text())
    clients: list[socket.socket] = []
    try:
        context.step("slow readers", lambda: occupy(enclave, links, clients), 180)
        context.step("inside the budget", lambda: inside(enclave))
    finally:
        for client in clients:
            client.close()
    context.step("afterwards", lambda: afterwards(enclave, links), 120)


@dataclass
class Memory:
    """Of the enclave, in bytes."""

    total: int
    available: int
    # The most that the process has had.
    proxy: int
    app: int

    @classmethod
    def of(cls, link: Link) -> Memory:
        found = dict(re.findall(r"^(.+?):\s+(\d+) kB$", fetch(link.url("/memory")).body.decode(), re.MULTILINE))
        names = ["MemTotal", "MemAvailable", "peak of steve-proxy", "peak of app"]
        return cls(*(int(found[name]) * 1024 for name in names))

    def text(self) -> str:
        return (
            f"{self.available / MIB:.0f} of {self.total / MIB:.0f} MiB available;"
            f" peaks: proxy {self.proxy / MIB:.0f} MiB, app {self.app / MIB:.0f} MiB"
        )


def occupy(enclave: Enclave, links: list[Link], clients: list[socket.socket]) -> str:
    for link in links:
        clients.extend(begin(link) for _ in range(CLIENTS))
    # Until no more of them get in.
    most, quiet = 0, 0
    while quiet < 20:
        streams = int(enclave.metric("steve_streams_open"))
        most, quiet = max(most, streams), 0 if streams > most else quiet + 1
        time.sleep(0.1)
    check(most >= LEAST_STREAMS, f"at most {most} streams: that is no load")
    return f"{len(clients)} clients, at most {most} streams at once"


def begin(link: Link) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(60)
    client.connect(("127.0.0.1", link.port))
    client.sendall(f"GET /bytes/{SIZE} HTTP/1.1\r\nHost: 127.0.0.1:{link.port}\r\n\r\n".encode())
    return client


def inside(enclave: Enclave) -> str:
    """Metrics have listener and memory of their own. New connections may have to wait now."""
    check(enclave.running(), "the enclave has ended")
    used, budget = enclave.metric("steve_memory_budget_used_bytes"), enclave.metric("steve_memory_budget_bytes")
    # A part is set apart, for requests that have yet to authenticate.
    check(MEMORY_BUDGET / 2 < budget <= MEMORY_BUDGET, f"a budget of {budget} bytes")
    check(budget / 2 < used <= budget, f"{used} bytes used of {budget}")
    return f"{used / MIB:.0f} of {budget / MIB:.0f} MiB are spoken for"


def afterwards(enclave: Enclave, links: list[Link]) -> str:
    """Everything is given back, and the same sessions go on. The kernel remembers the peaks."""
    while enclave.metric("steve_streams_open"):
        time.sleep(0.1)
    for link in links:
        equal(len(fetch(link.url(f"/bytes/{MIB}")).body), MIB, "length")
    equal(enclave.health(), 200, "health")
    console = enclave.consoles[-1].read_text(errors="replace")
    check("Out of memory" not in console, "the kernel has run out of memory")
    memory = Memory.of(links[0])
    check(memory.proxy <= MEMORY_BUDGET + BASE, f"the proxy has taken more than its budget: {memory.text()}")
    used = enclave.metric("steve_memory_budget_used_bytes")
    return f"{used / MIB:.0f} MiB of the budget are spoken for; {memory.text()}"
