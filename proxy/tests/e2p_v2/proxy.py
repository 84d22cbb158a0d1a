"""Starts the proxy under test."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app import App
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from session import Outer
from target import ORIGIN

START_LIMIT = 60.0
HEALTH = "/.well-known/steve/health"


class EndedEarly(Exception):
    """The proxy ended before it was ready."""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass(frozen=True)
class Launcher:
    command: list[str]
    """Of the proxy, with the options that all its starts have."""
    app: App
    work: Path

    @contextmanager
    def start(self, suite: str, more: dict[str, str]) -> Iterator[tuple[Outer, bytes]]:
        """Yields the outer client and the development root, DER."""
        port = free_port()
        root = self.work / f"root-{port}.pem"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("STEVE_")},
            "STEVE_LISTEN_ADDR": f"127.0.0.1:{port}",
            "STEVE_APP_UPSTREAM": f"http://127.0.0.1:{self.app.port}",
            "STEVE_KEY_EXCHANGE": suite,
            "STEVE_CORS_ORIGINS": ORIGIN,
            **more,
        }
        command = [*self.command, "--dangerous-dev-attester", "--dangerous-dev-root-out", str(root)]
        with (self.work / "proxy.log").open("ab") as log:
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            outer = Outer("127.0.0.1", port)
            wait_until_healthy(outer, process)
            yield outer, x509.load_pem_x509_certificate(root.read_bytes()).public_bytes(Encoding.DER)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def wait_until_healthy(outer: Outer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_LIMIT
    last: object = None
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise EndedEarly(f"the proxy ended with code {process.returncode}")
        try:
            last = outer.call("GET", HEALTH).status
            if last == 200:
                return
        except OSError as error:
            last = error
        time.sleep(0.1)
    raise RuntimeError(f"not healthy within {START_LIMIT:.0f} s: {last}")
