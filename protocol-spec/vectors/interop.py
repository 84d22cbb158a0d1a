#!/usr/bin/env python3
"""Live test of a proxy binary against SPEC.md: starts an app, starts the proxy, talks to it. See --help."""

from __future__ import annotations

import argparse
import functools
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from steve3 import livecases, testapp
from steve3.client import BASE, Outer

START_LIMIT = 60.0
CASE_LIMIT = 90.0
TOTAL_LIMIT = 900


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def running_proxy(path: Path, app_port: int, work: Path, more: dict[str, str]) -> Iterator[tuple[Outer, bytes]]:
    """Yields the outer client and the SHA-256 of the development root."""
    port = free_port()
    root = work / f"root-{port}.pem"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("STEVE_")},
        "STEVE_LISTEN_ADDR": f"127.0.0.1:{port}",
        "STEVE_APP_UPSTREAM": f"http://127.0.0.1:{app_port}",
        "STEVE_UPGRADES": "websocket,echo/1,a/1",
        **more,
    }
    command = [str(path), "serve", "--dangerous-dev-attester", "--dangerous-dev-root-out", str(root)]
    with (work / "proxy.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        outer = Outer("127.0.0.1", port)
        wait_until_healthy(outer, process)
        der = x509.load_pem_x509_certificate(root.read_bytes()).public_bytes(Encoding.DER)
        yield outer, hashlib.sha256(der).digest()
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
            raise RuntimeError(f"the proxy ended with code {process.returncode}")
        try:
            answer = outer.call("GET", BASE + "health")
            if answer.status == 200:
                return
            last = answer.status
        except OSError as error:
            last = error
        time.sleep(0.1)
    raise RuntimeError(f"not healthy within {START_LIMIT:.0f} s: {last}")


def run_case(name: str, case: Callable[[], None]) -> bool:
    """A case runs in a thread of its own, so that one that hangs cannot stop the others."""
    failure: list[BaseException] = []

    def body() -> None:
        try:
            case()
        except Exception as error:
            failure.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(CASE_LIMIT)
    if thread.is_alive():
        failure.append(TimeoutError(f"no result within {CASE_LIMIT:.0f} s"))
    if failure:
        error = failure[0]
        print(f"FAIL  {name}: {type(error).__name__}: {str(error)[:600]}", flush=True)
        return False
    print(f"ok    {name}", flush=True)
    return True


def on_alarm(number: int, frame: object) -> None:
    raise TimeoutError(f"no end within {TOTAL_LIMIT} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--proxy", type=Path, required=True, help="the proxy binary")
    parser.add_argument("--only", help="run only the cases whose name contains this")
    arguments = parser.parse_args()
    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(TOTAL_LIMIT)

    passed = failed = 0
    app = testapp.start()
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        try:
            start = functools.partial(running_proxy, arguments.proxy.resolve(), app.port, work)
            with start({}) as (outer, root_sha256):
                context = livecases.Context(outer, root_sha256, app, start)
                for name, case in livecases.all_cases():
                    if arguments.only and arguments.only not in name:
                        continue
                    if run_case(name, lambda case=case: case(context)):  # type: ignore[misc]
                        passed += 1
                    else:
                        failed += 1
        except Exception as error:
            print(f"FAIL  the run broke off: {type(error).__name__}: {error}")
            failed += 1
        if failed and (work / "proxy.log").exists():
            print("--- end of the proxy's output ---")
            print("\n".join((work / "proxy.log").read_text(errors="replace").splitlines()[-40:]))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
