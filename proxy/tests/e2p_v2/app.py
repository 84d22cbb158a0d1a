"""The HTTP application behind the proxy."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MEETING_LIMIT = 20.0
BOOTSTRAP = ("/enclave-sw.js", "/register.js", "/attestation-widget.js", "/xwing/steve_xwing_wasm_bg.wasm")
PATTERN = bytes(range(251))


def filler(length: int) -> bytes:
    return (PATTERN * (length // len(PATTERN) + 1))[:length]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@dataclass
class App:
    server: Server
    lock: threading.Lock = field(default_factory=threading.Lock)
    total: int = 0
    executed: Counter[str] = field(default_factory=Counter)
    """POST requests by path."""
    meetings: dict[str, threading.Barrier] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def saw(self, method: str, path: str) -> None:
        with self.lock:
            self.total += 1
            if method == "POST":
                self.executed[path] += 1

    def meeting(self, path: str, parties: int) -> threading.Barrier:
        with self.lock:
            return self.meetings.setdefault(path, threading.Barrier(parties))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60.0
    app: App

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        out = bytearray()
        while size := int(self.rfile.readline(1024).split(b";")[0], 16):
            out += self.rfile.read(size)
            self.rfile.readline(3)
        while self.rfile.readline(65536).strip():
            pass
        return bytes(out)

    def _answer(self, status: int, body: bytes, *fields: tuple[str, str], kind: str = "text/plain") -> None:
        self.send_response(status, "x")
        self.send_header("Content-Type", kind)
        for name, value in fields:
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(body)

    def _chunked(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for at in range(0, len(body), 65536):
            part = body[at : at + 65536]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def _break_off(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"0123456789")
        self.close_connection = True

    def handle_any(self) -> None:
        self.app.saw(self.command, self.path)
        body = self._body()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._route(body, self.path.split("?")[0])

    def _route(self, body: bytes, path: str) -> None:
        kind, _, rest = path[1:].partition("/")
        if path == "/":
            self._answer(200, b"the app", ("X-App", "1"))
        elif path in BOOTSTRAP:
            self._answer(200, b"bootstrap " + path.encode(), kind="text/javascript")
        elif kind == "echo":
            self._answer(200, json.dumps(self._describe(body)).encode(), kind="application/json")
        elif kind == "redirect":
            self._answer(302, b"", ("Location", "/echo"))
        elif kind == "bytes":
            self._answer(200, filler(int(rest)), kind="application/octet-stream")
        elif kind == "chunked":
            self._chunked(filler(int(rest)))
        elif kind == "status":
            self._answer(int(rest), b"status " + rest.encode())
        elif kind == "cookies":
            cookies = [("Set-Cookie", "b=1; Path=/"), ("Set-Cookie", "a=2; Path=/")]
            self._answer(200, b"", *cookies, ("X-Many", "1"), ("X-Many", "2"))
        elif kind == "fields":
            count, length, size = map(int, rest.split("/"))
            self._answer(200, filler(size), *((f"X-{i}", "a" * length) for i in range(count)))
        elif kind == "meet":
            parties = int(rest.split("/")[0])
            self.app.meeting(path, parties).wait(MEETING_LIMIT)
            self._answer(200, self.path.encode())
        elif kind == "count":
            with self.app.lock:
                count = self.app.executed["/" + rest]
            self._answer(200, str(count).encode())
        elif kind == "broken":
            self._break_off()
        else:
            self._answer(404, b"no such route")

    def _describe(self, body: bytes) -> dict[str, object]:
        return {
            "method": self.command,
            "path": self.path,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "length": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
        }

    def __getattr__(self, name: str) -> object:
        if name.startswith("do_"):
            return self.handle_any
        raise AttributeError(name)


def start() -> App:
    server = Server(("127.0.0.1", 0), Handler)
    app = Handler.app = App(server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return app
