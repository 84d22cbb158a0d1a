"""What the cases share: processes, the chain of gateway and proxy, steps with a time limit, measurements."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).parent
START_LIMIT = 30.0
STEP_LIMIT = 60.0
MIB = 1 << 20
# What the proxy and the gateway may take at most, whatever passes through them.
MEMORY_LIMIT = 64 * MIB
# Events of a stream whose arrivals are compared with when they were sent.
EVENTS = 40


class Failed(Exception):
    """Something was not as it must be."""


def check(condition: object, what: str) -> None:
    if not condition:
        raise Failed(what)


def equal(got: object, expected: object, what: str) -> None:
    check(got == expected, f"{what}: {shortened(got)} instead of {shortened(expected)}")


def shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}... ({len(text)} characters)"


def rate(size: int, began: float) -> str:
    seconds = time.monotonic() - began
    return f"{size / MIB:.0f} MiB in {seconds:.1f} s, {size / MIB / seconds:.0f} MiB/s"


def live(arrivals: list[tuple[float, float]]) -> str:
    """Checks that none of EVENTS (sent, arrived) waited for a later one."""
    equal(len(arrivals), EVENTS, "events")
    delays = [arrived - sent for sent, arrived in arrivals]
    for number, ((_, arrived), (next_sent, _)) in enumerate(pairwise(arrivals)):
        late = arrived - next_sent
        check(late < 0, f"event {number} arrived {late * 1000:.0f} ms after event {number + 1} was sent")
    middle = sorted(delays)[len(delays) // 2]
    return f"{EVENTS} events, delay {middle * 1000:.1f} ms (median), {max(delays) * 1000:.1f} ms (most)"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def plain_environment() -> dict[str, str]:
    """Without settings of STEVE, and without a proxy between the programs on this machine."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("STEVE_") and not name.lower().endswith("_proxy")
    }


class Program:
    """A program that runs for a while. What it writes to stdout as lines of JSON are its events."""

    def __init__(self, name: str, command: Sequence[str | Path], work: Path, **more: str) -> None:
        self.name = name
        self.log = work / f"{name}.log"
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                env={**plain_environment(), **more},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()

    def _read(self, stdout: IO[bytes]) -> None:
        for line in stdout:
            if line.startswith(b"{"):
                self.events.put(json.loads(line))

    def event(self, kind: str, limit: float = 10.0, **match: object) -> dict[str, Any]:
        """The next event of this kind with these members; others before it are dropped."""
        deadline = time.monotonic() + limit
        while True:
            try:
                event = self.events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise Failed(f"{self.name} has not reported \"{kind}\" within {limit:.1f} s") from None
            if event["event"] == kind and match.items() <= event.items():
                return event

    def wait_until(self, ready: Callable[[], object], what: str) -> Any:
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            if (code := self.process.poll()) is not None:
                raise Failed(f"{self.name} ended with code {code}: {self.end_of_log()}")
            if found := ready():
                return found
            time.sleep(0.02)
        raise Failed(f"{self.name}: no {what} within {START_LIMIT:.0f} s: {self.end_of_log()}")

    def wait_for_port(self, port: int) -> None:
        def connects() -> bool:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return True
            except OSError:
                return False

        self.wait_until(connects, f"listener on port {port}")

    def end_of_log(self, lines: int = 12) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def peak_memory(self) -> int:
        """The largest resident set it ever had, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


@dataclass
class Link:
    """Where clients find the app: the gateway, or with `--direct` the app itself."""

    port: int
    app_port: int
    proxy_port: int | None = None
    gateway: Program | None = None
    proxy: Program | None = None

    @property
    def direct(self) -> bool:
        return self.gateway is None

    def url(self, path: str = "/", scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def in_kernel(self) -> int:
        """Bytes in the kernel's buffers of all connections between client and app."""
        ports = {self.port, self.app_port, self.proxy_port}
        total = 0
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, _, queues, *_ = line.split()
            if ports & {int(address.split(":")[1], 16) for address in (local, remote)}:
                total += sum(int(size, 16) for size in queues.split(":"))
        return total

    def app_url(self, path: str = "/") -> str:
        """Past STEVE, to compare."""
        return f"http://127.0.0.1:{self.app_port}{path}"


@dataclass
class Context:
    """One case: where the binaries are, its directory, and how its steps went."""

    work: Path
    steve: Path | None
    proxy: Path | None
    programs: list[Program] = field(default_factory=list)
    failures: int = 0

    def step(self, name: str, body: Callable[[], str | None], limit: float = STEP_LIMIT) -> None:
        """Runs the step and prints how it went and what it measured; the next one follows anyway."""

        def on_alarm(number: int, frame: object) -> None:
            raise TimeoutError(f"no result within {limit:.0f} s")

        signal.signal(signal.SIGALRM, on_alarm)
        # Again after a while, for a step that hangs while it cleans up.
        signal.setitimer(signal.ITIMER_REAL, limit, 10)
        began = time.monotonic()
        try:
            measured = body()
            outcome = f"ok    {name}" + (f": {measured}" if measured else "")
        except Exception as error:
            self.failures += 1
            outcome = f"FAIL  {name}: {type(error).__name__}: {str(error)[:1500]}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        print(f"  {outcome} [{time.monotonic() - began:.1f} s]", flush=True)

    def program(self, name: str, command: Sequence[str | Path], **more: str) -> Program:
        """Starts a program that ends with the case."""
        program = Program(name, command, self.work, **more)
        self.programs.append(program)
        return program

    def python_app(self, file: str, *arguments: str) -> tuple[Program, int]:
        """Starts an app beside this file, which gets its port as first argument."""
        port = free_port()
        app = self.program(Path(file).stem, [sys.executable, HERE / file, str(port), *arguments])
        app.wait_for_port(port)
        return app, port

    @contextmanager
    def link(
        self, app_port: int, scheme: str = "http", more: Sequence[str] = (), doomed: bool = False
    ) -> Iterator[Link]:
        """The chain to an app, with `more` options of the gateway.

        Checks at its end what memory it took, unless it is `doomed`: then a step ends the proxy.
        """
        if self.steve is None or self.proxy is None:
            yield Link(app_port, app_port)
            return
        proxy, proxy_port, root = self._start_proxy(self.proxy, f"{scheme}://127.0.0.1:{app_port}")
        gateway, port = self._start_gateway(self.steve, proxy_port, root, more)
        yield Link(port, app_port, proxy_port, gateway, proxy)
        if not doomed:
            self.step("memory", lambda: memory(gateway, proxy))
        gateway.stop()
        proxy.stop()

    def _start_proxy(self, binary: Path, upstream: str) -> tuple[Program, int, Path]:
        port = free_port()
        root = self.work / f"root-{port}.pem"
        proxy = self.program(
            f"proxy-{port}",
            [binary, "serve", "--dangerous-dev-attester", "--dangerous-dev-root-out", root],
            STEVE_LISTEN_ADDR=f"127.0.0.1:{port}",
            STEVE_APP_UPSTREAM=upstream,
        )
        proxy.wait_for_port(port)
        proxy.wait_until(root.exists, "root certificate")
        return proxy, port, root

    def _start_gateway(
        self, binary: Path, proxy_port: int, root: Path, more: Sequence[str]
    ) -> tuple[Program, int]:
        pins = self.work / f"pins-{proxy_port}.json"
        trust: list[str | Path] = ["--dangerous-dev-root", root, "--tofu-store", pins]
        origin = f"http://127.0.0.1:{proxy_port}"
        command = [binary, "connect", "--listen", "127.0.0.1:0", *trust, *more, origin]
        gateway = self.program(f"gateway-{proxy_port}", command)

        def announced() -> str | None:
            lines = gateway.log.read_text(errors="replace").splitlines()
            return next((line for line in lines if line.startswith("steve: serving http://")), None)

        line = gateway.wait_until(announced, "line \"steve: serving\"")
        return gateway, int(line.split()[2].rsplit(":", 1)[1])

    def end(self) -> None:
        for program in reversed(self.programs):
            program.stop()
        if self.failures:
            for program in self.programs:
                print(f"  --- end of the output of {program.name} ---\n{program.end_of_log()}")


def memory(gateway: Program, proxy: Program) -> str:
    peaks = {"gateway": gateway.peak_memory(), "proxy": proxy.peak_memory()}
    text = ", ".join(f"{name} {peak / MIB:.1f} MiB" for name, peak in peaks.items())
    check(max(peaks.values()) < MEMORY_LIMIT, f"more than {MEMORY_LIMIT // MIB} MiB: {text}")
    return f"at most {text}"


@dataclass
class Curl:
    """How a run of curl ended."""

    code: int
    body: bytes
    info: dict[str, Any]
    stderr: str


def curl(*arguments: str | Path, stdin: Any = subprocess.DEVNULL, limit: float = STEP_LIMIT) -> Curl:
    """Runs curl; `info` is what its --write-out %{json} says."""
    command = ["curl", "-sS", "--max-time", str(limit), "-w", "%{stderr}\n%{json}"]
    done = subprocess.run(
        [*command, *map(str, arguments)],
        env=plain_environment(),
        stdin=stdin,
        capture_output=True,
        timeout=limit + 5,
    )
    messages, _, info = done.stderr.decode(errors="replace").rpartition("\n")
    return Curl(done.returncode, done.stdout, json.loads(info), messages)


def fetch(*arguments: str | Path, status: int = 200, limit: float = STEP_LIMIT) -> Curl:
    """Runs curl, which must succeed with this status."""
    done = curl(*arguments, limit=limit)
    equal(done.code, 0, f"exit code of curl ({done.stderr.strip()})")
    equal(done.info["http_code"], status, "status")
    return done
