"""Apps that die or hang, clients that go away or read slowly: what curl and the app see of it."""

from __future__ import annotations

import queue
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable

from harness import MIB, Context, Curl, Failed, Link, check, curl, equal, plain_environment

# What STEVE may hold of a stream when its reader is slow. The kernel's buffers are not counted.
HELD = 8 * MIB
SOON = 1.0
TIMEOUT = 2.0
# 18: partial file, 56: receive error, 92: HTTP/2 stream error
BROKEN = (18, 56, 92)
DECLARED = b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BLOCK = bytes(65536)
CHUNK = b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK)


class App:
    """Does what `behave` does with each connection whose request head has arrived; the path says what."""

    def __init__(self) -> None:
        self.events: queue.Queue[tuple[str, float]] = queue.Queue()
        self.written = 0
        self.read = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(30)
            head = b""
            while b"\r\n\r\n" not in head:
                block = connection.recv(65536)
                if not block:
                    return
                head += block
            head, _, rest = head.partition(b"\r\n\r\n")
            name = head.split(b" ")[1].decode().strip("/").replace("-", "_")
            getattr(self, name)(connection, rest)

    def seen(self, kind: str) -> None:
        self.events.put((kind, time.monotonic()))

    def event(self, kind: str) -> float:
        """When it came about."""
        try:
            got, at = self.events.get(timeout=5)
        except queue.Empty:
            raise Failed(f"the app has not seen \"{kind}\"") from None
        equal(got, kind, "what the app saw")
        return at

    def declared(self, connection: socket.socket, rest: bytes) -> None:
        connection.sendall(DECLARED + BLOCK)

    def chunked(self, connection: socket.socket, rest: bytes) -> None:
        connection.sendall(CHUNKED + CHUNK)

    def within_chunk(self, connection: socket.socket, rest: bytes) -> None:
        connection.sendall(CHUNKED + CHUNK[:5000])

    def reset(self, connection: socket.socket, rest: bytes) -> None:
        connection.sendall(CHUNKED + CHUNK)
        # Time for the block to arrive: a reset may discard it on the way.
        time.sleep(0.2)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def nothing(self, connection: socket.socket, rest: bytes) -> None:
        pass

    def garbage(self, connection: socket.socket, rest: bytes) -> None:
        connection.sendall(b"this is not HTTP\r\n\r\n")

    def stuck(self, connection: socket.socket, rest: bytes) -> None:
        self.seen("request")
        self._until_end(connection)

    def stuck_after_head(self, connection: socket.socket, rest: bytes) -> None:
        connection.sendall(DECLARED + BLOCK)
        self.seen("request")
        self._until_end(connection)

    def _until_end(self, connection: socket.socket) -> None:
        try:
            while connection.recv(65536):
                pass
        except OSError:
            pass
        self.seen("end")

    def upload(self, connection: socket.socket, rest: bytes) -> None:
        """Takes all there is, and tells whether the last chunk came."""
        self.seen("request")
        try:
            while block := connection.recv(65536):
                rest = (rest + block)[-5:]
        except OSError:
            pass
        self.seen("complete" if rest == b"0\r\n\r\n" else "incomplete")

    def slow_upload(self, connection: socket.socket, rest: bytes) -> None:
        while block := connection.recv(10_000):
            self.read += len(block)
            time.sleep(0.01)

    def endless(self, connection: socket.socket, rest: bytes) -> None:
        """Writes as much as anybody takes."""
        try:
            connection.sendall(CHUNKED)
            self.seen("request")
            while True:
                connection.sendall(CHUNK)
                self.written += len(BLOCK)
        except OSError:
            self.seen("end")


def run(context: Context) -> None:
    app = App()
    with context.link(app.port) as link:
        for version in versions(link):
            for path in ["declared", "chunked", "within-chunk", "reset"]:
                context.step(f"app dies, {path}, {version}", lambda p=path, v=version: dies(link, p, v))
            for path in ["nothing", "garbage"]:
                context.step(f"app answers {path}, {version}", lambda p=path, v=version: no_answer(link, p, v))
            for path in ["stuck", "stuck-after-head", "endless"]:
                context.step(f"client gone, {path}, {version}", lambda p=path, v=version: gone(link, app, p, v))
            for name, expect in [("in its upload", "Expect:"), ("before 100 Continue", "Expect: 100-continue")]:
                context.step(
                    f"client gone {name}, {version}",
                    lambda v=version, e=expect: gone_uploading(link, app, v, e),
                )
        context.step("upload to a dead app", lambda: upload_fails(context, link))
        context.step("slow client", lambda: slow_client(link, app))
        context.step("slow app", lambda: slow_app(link, app))
    if not link.direct:
        with context.link(app.port, more=["--timeout", str(TIMEOUT)]) as link:
            context.step("app stuck", lambda: stuck(link, app))
            context.step("app stuck half-way", lambda: stuck_halfway(link, app))
        with context.link(app.port, doomed=True) as link:
            context.step("proxy dies", lambda: proxy_dies(link, app))


def versions(link: Link) -> list[str]:
    return ["--http1.1"] if link.direct else ["--http1.1", "--http2-prior-knowledge"]


def dies(link: Link, path: str, version: str) -> str:
    done = curl(version, link.url(f"/{path}"))
    # RST_STREAM overtakes what is still queued (RFC 9113, Section 5.4.2), at times also the head.
    overtaken = version == "--http2-prior-knowledge" and done.info["http_code"] == 0
    check(overtaken or done.info["http_code"] == 200, f"status: {done.info['http_code']}")
    check(done.code in BROKEN, f"exit code {done.code} with {len(done.body)} bytes: {done.stderr}")
    check(len(done.body) <= len(BLOCK), "more than the app has sent")
    return f"exit code {done.code} after {len(done.body)} bytes"


def no_answer(link: Link, path: str, version: str) -> str:
    done = curl(version, link.url(f"/{path}"))
    if link.direct:
        check(done.code != 0, "curl saw no failure")
        return f"exit code {done.code}"
    equal((done.code, done.info["http_code"]), (0, 502), f"exit code and status ({done.stderr.strip()})")
    return f"502: {done.body.decode().strip()}"


def started(link: Link, app: App, path: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A curl whose request the app has seen."""
    process = subprocess.Popen(
        ["curl", "-sSN", "--max-time", "60", *arguments, link.url(f"/{path}")],
        env=plain_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    app.event("request")
    return process


def gone(link: Link, app: App, path: str, version: str) -> str:
    with started(link, app, path, version) as process:
        time.sleep(0.2)
        process.kill()
        began = time.monotonic()
        took = app.event("end") - began
    check(took < SOON, f"the app saw it after {took:.1f} s")
    return f"the app saw it after {took * 1000:.0f} ms"


def gone_uploading(link: Link, app: App, version: str, expect: str) -> str:
    """The app never says 100 Continue; a client that expects it has sent no body when it goes."""
    upload = ["--expect100-timeout", "30", "-H", expect, "--limit-rate", "1M", "-T", "/dev/zero"]
    with started(link, app, "upload", version, *upload) as process:
        time.sleep(0.2)
        process.kill()
        began = time.monotonic()
        took = app.event("incomplete") - began
    check(took < SOON, f"the app saw it after {took:.1f} s")
    return f"the app saw an incomplete request after {took * 1000:.0f} ms"


def upload_fails(context: Context, link: Link) -> str:
    file = context.work / "upload"
    with file.open("wb") as sparse:
        sparse.truncate(64 * MIB)
    done = curl("-T", file, link.url("/nothing"))
    if done.code == 0:
        equal(done.info["http_code"], 502, "status")
        return "502"
    return f"exit code {done.code}"


class Backlog:
    """How far a writer gets ahead of a reader, and what of it is not in the kernel's buffers."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.ahead = self.held = 0

    def note(self, ahead: int) -> None:
        self.ahead = max(self.ahead, ahead)
        self.held = max(self.held, ahead - self.link.in_kernel())

    def judge(self, read: int) -> str:
        check(read > MIB, f"only {read} bytes arrived")
        measured = f"{read / MIB:.1f} MiB read, at most {self.ahead / MIB:.1f} MiB ahead"
        measured += f", {self.held / MIB:.1f} MiB of it not in the kernel's buffers"
        check(self.held < HELD, measured)
        return measured


def slow_client(link: Link, app: App) -> str:
    """Reads 1 MiB/s for a while; the app must not get far ahead."""
    app.written = read = 0
    backlog = Backlog(link)
    command = ["curl", "-sSN", "--max-time", "60", "--limit-rate", "1M", link.url("/endless")]
    with subprocess.Popen(command, env=plain_environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout
        app.event("request")
        end = time.monotonic() + 6
        while time.monotonic() < end:
            read += len(process.stdout.read1(65536))  # type: ignore[attr-defined]
            backlog.note(app.written - read)
        process.kill()
    app.event("end")
    return backlog.judge(read)


def slow_app(link: Link, app: App) -> str:
    """Reads 1 MB/s for a while; the client must not get far ahead."""
    app.read = written = 0
    backlog = Backlog(link)
    with socket.create_connection(("127.0.0.1", link.port)) as client:
        client.settimeout(0.1)
        host = f"Host: 127.0.0.1:{link.port}\r\n"
        client.sendall(f"POST /slow-upload HTTP/1.1\r\n{host}Content-Length: 1000000000\r\n\r\n".encode())
        end = time.monotonic() + 6
        while time.monotonic() < end:
            try:
                written += client.send(BLOCK)
            except TimeoutError:
                pass
            backlog.note(written - app.read)
    return backlog.judge(app.read)


def timed(request: Callable[[], Curl]) -> tuple[Curl, float]:
    began = time.monotonic()
    done = request()
    took = time.monotonic() - began
    check(TIMEOUT - 0.2 < took < TIMEOUT + 3, f"it took {took:.1f} s")
    return done, took


def stuck(link: Link, app: App) -> str:
    done, took = timed(lambda: curl(link.url("/stuck")))
    equal((done.code, done.info["http_code"]), (0, 504), "exit code and status")
    app.event("request")
    app.event("end")
    return f"504 after {took:.1f} s, and the app saw the end: {done.body.decode().strip()}"


def stuck_halfway(link: Link, app: App) -> str:
    done, took = timed(lambda: curl(link.url("/stuck-after-head")))
    check(done.code in BROKEN, f"exit code {done.code}")
    app.event("request")
    app.event("end")
    return f"exit code {done.code} after {took:.1f} s"


def proxy_dies(link: Link, app: App) -> str:
    """curl sees it, and so does the next request."""
    assert link.proxy
    app.written = 0
    with started(link, app, "endless") as process:
        # More than the kernel buffers on the way: curl has got the head.
        while app.written < 200 * MIB:
            time.sleep(0.01)
        link.proxy.process.kill()
        code = process.wait(10)
    check(code in BROKEN, f"exit code {code}")
    app.event("end")
    done = curl(link.url("/nothing"))
    equal((done.code, done.info["http_code"]), (0, 502), "exit code and status of the next request")
    return f"exit code {code}, then 502: {done.body.decode().strip()}"
