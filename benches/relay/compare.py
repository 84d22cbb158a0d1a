#!/usr/bin/env python3
"""`steve-proxy relay` against socat, on this machine, in interleaved runs; a minute where nothing else runs.

    cargo build --release -p steve-proxy --bin steve-proxy
    apt-get install socat
    benches/relay/compare.py [--proxy target/release/steve-proxy] [--smoke]

All contestants listen on TCP and pass on to the same Unix socket. Its server, a process of its own,
expects `CONNECT PORT` and answers `OK`, as Firecracker does. The relay says that line itself; socat
knows nothing of it, so there the client says it, within the connection, before what is measured. socat
runs once as it comes (buffers of 8 KiB) and once with buffers of 64 KiB, as the relay has them. CPU is
user and system time of all processes of a contestant, from /proc; memory is their proportional share
(Pss). Figures are medians; ratios are medians of the ratios within a round. --smoke compares nothing:
it checks that every contestant passes on what it is given.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

MIB = 1 << 20
CHUNK = 256 * 1024
BULK = 256 * MIB
ROUNDS = 5
CONNECTIONS = 200
PINGS = 2000
IDLE = 1000
TICK = os.sysconf("SC_CLK_TCK")
LIMIT = 60.0


def read_exactly(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise EOFError(f"the connection ended after {len(data)} of {length} bytes")
        data += part
    return bytes(data)


def read_line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        line += read_exactly(connection, 1)
    return line


# --- The enclave's side: an order of one letter and a length, then what it asks for.


def serve(path: str) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1024)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection: socket.socket) -> None:
    with connection:
        try:
            if not read_line(connection).startswith(b"CONNECT "):
                return
            connection.sendall(b"OK 1\n")
            order, length = struct.unpack("!cQ", read_exactly(connection, 9))
            ORDERS[order](connection, length)
        except (EOFError, OSError):
            return


def send(connection: socket.socket, length: int) -> None:
    chunk = memoryview(bytes(CHUNK))
    while length:
        length -= connection.send(chunk[:length])


def receive(connection: socket.socket, length: int) -> None:
    space = bytearray(CHUNK)
    while length:
        count = connection.recv_into(space, min(length, CHUNK))
        if not count:
            raise EOFError(f"{length} bytes are missing")
        length -= count


def echo(connection: socket.socket, length: int) -> None:
    while length:
        data = connection.recv(min(length, CHUNK))
        connection.sendall(data)
        length -= len(data)


def upload(connection: socket.socket, length: int) -> None:
    receive(connection, length)
    connection.sendall(b"!")


ORDERS: dict[bytes, Callable[[socket.socket, int], None]] = {b"D": send, b"U": upload, b"E": echo}


# --- The contestants.


def children(process: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


class Contestant:
    def __init__(self, name: str, command: list[str], port: int, says_connect: bool) -> None:
        self.name, self.port, self.says_connect = name, port, says_connect
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        limit = time.monotonic() + LIMIT
        while True:
            try:
                self.order(b"E", 0).close()
                return
            except OSError:
                if time.monotonic() > limit or self.process.poll() is not None:
                    raise
                time.sleep(0.05)

    def order(self, order: bytes, length: int) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self.says_connect:
            connection.sendall(b"CONNECT 1\n")
            read_line(connection)
        connection.sendall(struct.pack("!cQ", order, length))
        return connection

    def calm(self) -> None:
        """Waits until no connection is left, so that the CPU time of all is counted."""
        limit = time.monotonic() + LIMIT
        while children(self.process.pid) and time.monotonic() < limit:
            time.sleep(0.01)

    def cpu(self) -> float:
        self.calm()
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(ticks) for ticks in stat[11:15]) / TICK

    def memory(self) -> int:
        total = 0
        for process in [self.process.pid, *children(self.process.pid)]:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[1]) * 1024
        return total

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def contestants(proxy: Path, path: str) -> list[Contestant]:
    port = free_port()
    listen = f"--listen=127.0.0.1:{port}=unix:{path}:1"
    found = [Contestant("steve-proxy", [str(proxy), "relay", listen], port, True)]
    socat = shutil.which("socat")
    if not socat:
        print("socat is missing (apt-get install socat): nothing to compare with")
        return found
    for name, options in [("socat", []), ("socat -b 65536", ["-b", "65536"])]:
        port = free_port()
        listen = f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,nodelay,backlog=1024"
        command = [socat, *options, listen, f"UNIX-CONNECT:{path}"]
        found.append(Contestant(name, command, port, False))
    return found


# --- What is measured: each gives figures by name.


def bulk(contestant: Contestant, order: bytes, name: str) -> dict[str, float]:
    cpu, begun = contestant.cpu(), time.perf_counter()
    with contestant.order(order, BULK) as connection:
        if order == b"D":
            receive(connection, BULK)
        else:
            send(connection, BULK)
            read_exactly(connection, 1)
    took = time.perf_counter() - begun
    used = contestant.cpu() - cpu
    return {f"{name}, MiB/s": BULK / MIB / took, f"{name}, CPU ms/GiB": used * 1000 / (BULK / 1024 / MIB)}


def connections(contestant: Contestant) -> dict[str, float]:
    cpu, begun = contestant.cpu(), time.perf_counter()
    for _ in range(CONNECTIONS):
        with contestant.order(b"E", 1) as connection:
            connection.sendall(b"x")
            while connection.recv(16):
                pass
    took = time.perf_counter() - begun
    used = contestant.cpu() - cpu
    return {"connections/s": CONNECTIONS / took, "CPU us/connection": used * 1e6 / CONNECTIONS}


def pings(contestant: Contestant) -> dict[str, float]:
    with contestant.order(b"E", PINGS) as connection:
        begun = time.perf_counter()
        for _ in range(PINGS):
            connection.sendall(b"x")
            read_exactly(connection, 1)
        took = time.perf_counter() - begun
    return {"round trip, us": took * 1e6 / PINGS}


def idle(contestant: Contestant) -> dict[str, float]:
    before, held = contestant.memory(), []
    for _ in range(IDLE):
        connection = contestant.order(b"E", 2)
        # It has carried something, and then carries nothing.
        connection.sendall(b"x")
        read_exactly(connection, 1)
        held.append(connection)
    grown = contestant.memory() - before
    for connection in held:
        connection.sendall(b"x")
        read_exactly(connection, 1)
        connection.close()
    contestant.calm()
    return {"memory of an idle connection, KiB": grown / 1024 / IDLE}


def measure(all_of_them: list[Contestant]) -> None:
    figures: dict[str, dict[str, list[float]]] = {}
    steps = [
        lambda one: bulk(one, b"D", "from the enclave"),
        lambda one: bulk(one, b"U", "to the enclave"),
        connections,
        pings,
    ]
    for step in [*steps * ROUNDS, idle]:
        for contestant in all_of_them:
            for name, value in step(contestant).items():
                figures.setdefault(name, {}).setdefault(contestant.name, []).append(value)
    names = [contestant.name for contestant in all_of_them]
    print(f"{'median of ' + str(ROUNDS):36}" + "".join(f"{name:>16}" for name in names), end="")
    print("".join(f"{'/ ' + name:>18}" for name in names[1:]))
    for figure, by_name in figures.items():
        own = by_name[names[0]]
        print(f"{figure:36}", end="")
        print("".join(f"{statistics.median(by_name[name]):16.1f}" for name in names), end="")
        for name in names[1:]:
            ratios = [a / b for a, b in zip(own, by_name[name], strict=True) if b]
            print(f"{statistics.median(ratios):17.2f}x" if ratios else f"{'-':>18}", end="")
        print()


def smoke(contestant: Contestant) -> None:
    data = os.urandom(8 * MIB)
    got = hashlib.sha256()
    with contestant.order(b"E", len(data)) as connection:
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        left = len(data)
        while left:
            part = connection.recv(CHUNK)
            if not part:
                raise EOFError(f"{contestant.name}: {left} bytes are missing")
            got.update(part)
            left -= len(part)
        sender.join()
    if got.digest() != hashlib.sha256(data).digest():
        raise ValueError(f"{contestant.name}: other bytes came back")
    print(f"{contestant.name}: {len(data)} bytes there and back")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--proxy", type=Path, default=Path("target/release/steve-proxy"))
    parser.add_argument("--smoke", action="store_true", help="check what is passed on, and no more")
    arguments = parser.parse_args()
    if not arguments.proxy.exists():
        sys.exit(f"{arguments.proxy} is missing: cargo build --release --bin steve-proxy")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/vsock"
        server = os.fork()
        if server == 0:
            serve(path)
        found: list[Contestant] = []
        try:
            found = contestants(arguments.proxy, path)
            if arguments.smoke:
                for contestant in found:
                    smoke(contestant)
            else:
                measure(found)
        finally:
            for contestant in found:
                contestant.stop()
            os.kill(server, 9)
            os.waitpid(server, 0)


if __name__ == "__main__":
    main()
