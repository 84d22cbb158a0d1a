"""The HTTP application behind the proxy in the live test."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import json
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .testupgrade import Raw, serve

READ_TIMEOUT = 15.0
GZIPPED = gzip.compress(b"zipped", mtime=0)
http.client._MAXHEADERS = 1000  # type: ignore[attr-defined]  # of requests this app reads


@dataclass
class Seen:
    """A request as the app saw it. `complete` is set once its body has ended properly."""

    method: str
    path: str
    complete: bool = False
    body_length: int = 0


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), Handler)

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        self.connections.add(connection)
        return connection, address

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        self.connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@dataclass
class App:
    server: Server
    seen: list[Seen] = field(default_factory=list)
    raw: list[Raw] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def count(self, path: str) -> int:
        return sum(1 for s in self.seen if s.path == path)

    def completed(self, path: str) -> int:
        return sum(1 for s in self.seen if s.path == path and s.complete)

    def upgrade(self, path: str) -> Raw:
        """What became of the one request to upgrade with this path, which has arrived."""
        (found,) = (raw for raw in self.raw if raw.path == path)
        return found

    def stop(self) -> None:
        """Nobody listens any more, and open connections are closed."""
        self.server.shutdown()
        self.server.server_close()
        self.server.close_connections()


REDIRECT = {"Location": "/echo", "Steve-Error": "forged", "steve_error": "forged", "Connection": "X-Hop", "X-Hop": "1"}


class BrokenBody(Exception):
    """The request's body ended early."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = READ_TIMEOUT
    app: App
    trailers: list[list[str]]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _exactly(self, count: int) -> bytes:
        data = self.rfile.read(count)
        if len(data) != count:
            raise BrokenBody
        return data

    def _body(self) -> bytes:
        self.trailers = []
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self._exactly(int(self.headers.get("Content-Length") or 0))
        out = bytearray()
        while True:
            line = self.rfile.readline(1024)
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError as error:
                raise BrokenBody from error
            if size == 0:
                while (line := self.rfile.readline(65536)) not in (b"\r\n", b"\n", b""):
                    name, _, value = line.decode("latin-1").partition(":")
                    self.trailers.append([name.lower(), value.strip()])
                return bytes(out)
            out += self._exactly(size)
            self._exactly(2)

    def _answer(
        self, status: int, body: bytes, content_type: str = "application/json", extra: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._chunk(b"first\n")
        self._chunk(b"second\n" if self.app.release.wait(10) else b"not released\n")
        self.wfile.write(b"0\r\n\r\n")

    def _break_off(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"0123456789")
        self.wfile.flush()
        self.close_connection = True

    def _plain(self, head: bytes, body: bytes = b"") -> None:
        """An answer byte for byte, after which the connection ends."""
        self.wfile.write(head.replace(b"\n", b"\r\n") + b"\r\n" + body)
        self.close_connection = True

    def _special(self, route: str) -> bool:
        """Answers that a server library would not make. The second part of the path says which."""
        kind, _, argument = route.removeprefix("/special/").partition("/")
        if kind == "status":
            self._plain(b"HTTP/1.1 %d x\ncontent-length: 4\n" % int(argument), b"" if argument in ("204", "304") else b"body")
        elif kind == "fields":
            lines = b"".join(b"x-%d: %d\n" % (i, i) for i in range(int(argument)))
            self._plain(b"HTTP/1.1 200 OK\ncontent-length: 4\n" + lines, b"body")
        elif kind == "large":
            self._plain(b"HTTP/1.1 200 OK\ncontent-length: 4\nx: %b\n" % (b"a" * int(argument)), b"body")
        elif kind == "silent":
            self.close_connection = True
        elif kind == "half":
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-le")
            self.close_connection = True
        elif kind == "garbage":
            self._plain(b"this is not HTTP\n", b"at all")
        elif kind == "repeated":
            self._plain(b"HTTP/1.1 200 OK\nset-cookie: b=1\nx: 1\nset-cookie: a=2\nx: 2\ncontent-length: 0\n")
        elif kind == "trailers":
            announced = b"trailer: x-sum, steve-error, steve_error, x-hop\n" if argument else b""
            head = b"HTTP/1.1 200 OK\ntransfer-encoding: chunked\nconnection: x-hop\n"
            self._plain(
                head + announced, b"4\r\nbody\r\n0\r\nx-sum: 1\r\nsteve-error: forged\r\nsteve_error: forged\r\nx-hop: 1\r\n\r\n"
            )
        elif kind == "gzip":
            self._plain(b"HTTP/1.1 200 OK\ncontent-encoding: gzip\ncontent-length: %d\n" % len(GZIPPED), GZIPPED)
        elif kind == "hints":
            self._plain(b"HTTP/1.1 103 Early Hints\nlink: </a>\n\nHTTP/1.1 200 OK\ncontent-length: 4\n", b"body")
        else:
            return False
        return True

    def handle_any(self) -> None:
        seen = Seen(self.command, self.path)
        self.app.seen.append(seen)
        try:
            body = self._body()
        except (BrokenBody, OSError):
            self.close_connection = True
            return
        seen.complete, seen.body_length = True, len(body)
        route = self.path.split("?")[0]
        if route.startswith("/upgrade/"):
            self.close_connection = True
            raw = Raw(self.path, [(name.lower(), value) for name, value in self.headers.items()])
            self.app.raw.append(raw)
            serve(raw, self.connection, self.rfile)
        elif route.startswith("/echo"):
            self._answer(200, json.dumps(self._describe(body)).encode())
        elif route.startswith("/special/") and self._special(route):
            pass
        elif route == "/stream":
            self._stream()
        elif route == "/broken":
            self._break_off()
        elif route == "/redirect":
            self._answer(302, b"", extra=REDIRECT)
        else:
            self._answer(404, b'{"error":"no such route"}')

    def _describe(self, body: bytes) -> dict[str, object]:
        return {
            "method": self.command,
            "path": self.path,
            "fields": [[name.lower(), value] for name, value in self.headers.items()],
            "trailers": self.trailers,
            "length": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "body": body.hex() if len(body) <= 4096 else None,
        }

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = handle_any


def start() -> App:
    server = Server()
    app = Handler.app = App(server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return app
