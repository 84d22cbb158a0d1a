"""The real proxy, with the development attester, before an app."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import queue
import re
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import steve

TIMEOUT = 60.0
"""Seconds for what should happen at once; only a failure takes so long."""

# A machine under load has slow callbacks.
logging.getLogger("asyncio").setLevel(logging.ERROR)

PROFILE = {
    f"PCR{index}": hashlib.sha384(f"steve development PCR{index}".encode()).hexdigest() for index in range(3)
}
"""What the development attester measures."""


class App(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.counts: Counter[str] = Counter()
        self.go_on = threading.Event()
        self.pieces: queue.Queue[bytes] = queue.Queue()
        self.hanging = threading.Event()
        self.hung_up = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections are cut on purpose."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: App

    def handle_any(self) -> None:
        path = self.path.split("?")[0]
        self.server.counts[path] += 1
        getattr(self, "serve_" + path.strip("/").replace("-", "_"), self.serve_nothing)()

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def body(self) -> Iterator[bytes]:
        if self.headers.get("transfer-encoding") == "chunked":
            while (size := int(self.rfile.readline(), 16)) > 0:
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        elif length := int(self.headers.get("content-length", 0)):
            yield self.rfile.read(length)

    def answer(self, body: bytes, status: int = 200, **fields: str) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def piece(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def serve_nothing(self) -> None:
        self.answer(b"no such thing", 404)

    def serve_head(self) -> None:
        body = b"".join(self.body())
        told = {
            "method": self.command,
            "path": self.path,
            "fields": {key.lower(): value for key, value in self.headers.items()},
            "body": body.decode(),
        }
        self.answer(json.dumps(told).encode(), x_name="caf\u00e9", content_type="application/json")

    def serve_echo(self) -> None:
        self.begin_stream()
        for data in self.body():
            self.piece(data)
        self.wfile.write(b"0\r\n\r\n")

    def serve_digest(self) -> None:
        digest = hashlib.sha256()
        for data in self.body():
            digest.update(data)
        self.answer(digest.hexdigest().encode())

    def serve_pieces(self) -> None:
        """Tells the test of each piece when it arrives."""
        for data in self.body():
            self.server.pieces.put(data)
        self.answer(b"all there")

    def serve_steps(self) -> None:
        """The second piece comes when the test has read the first."""
        self.begin_stream()
        self.piece(b"one")
        assert self.server.go_on.wait(TIMEOUT)
        self.piece(b"two")
        self.wfile.write(b"0\r\n\r\n")

    def serve_trailers(self) -> None:
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.send_header("trailer", "x-sum")
        self.end_headers()
        self.piece(b"body")
        self.wfile.write(b"0\r\nx-sum: 42\r\n\r\n")

    def serve_cut(self) -> None:
        self.begin_stream()
        self.piece(b"half")
        self.close_connection = True

    def serve_hang(self) -> None:
        """Answers nothing, and says when the other end has gone."""
        self.server.hanging.set()
        self.connection.settimeout(TIMEOUT)
        try:
            gone = self.connection.recv(1) == b""
        except ConnectionError:
            gone = True
        if gone:
            self.server.hung_up.set()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


class Proxy:
    def __init__(self, app: App) -> None:
        self._directory = tempfile.TemporaryDirectory()
        root = Path(self._directory.name) / "root.pem"
        upstream = f"127.0.0.1:{app.server_port}"
        command = [os.environ["STEVE_PROXY"], "serve", "--listen", "127.0.0.1:0", "--upstream", f"http://{upstream}"]
        command += ["--dangerous-dev-attester", "--dangerous-dev-root-out", str(root), "--log-format", "json"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STEVE_")}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.origin = f"http://127.0.0.1:{self._port(upstream)}"
        self.root = root.read_bytes()

    def _port(self, upstream: str) -> int:
        assert self._process.stderr
        lines = []
        for line in self._process.stderr:
            lines.append(line)
            found = re.search(r"127\.0\.0\.1:([1-9][0-9]*)", line.replace(upstream, ""))
            if found:
                # A pipe that nobody reads would stop it.
                self._reading = threading.Thread(target=self._process.stderr.read)
                self._reading.start()
                return int(found[1])
        raise RuntimeError("the proxy ended:\n" + "".join(lines))

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reading.join()
        assert self._process.stderr
        self._process.stderr.close()
        self._directory.cleanup()

    def client(self, policy: steve.Policy | None = None, options: steve.ClientOptions | None = None) -> steve.Client:
        policy = policy or steve.Policy.pinned(json.dumps(PROFILE))
        return steve.Client.dangerous_development(self.origin, policy, self.root, options)
