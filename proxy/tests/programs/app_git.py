"""A CGI host for git's own `git http-backend`: streams both ways, with chunked bodies in both directions."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import IO


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": sys.argv[2],
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "REMOTE_USER": "test",
            "REMOTE_ADDR": "127.0.0.1",
        }
        for name, variable in [
            ("Content-Length", "CONTENT_LENGTH"),
            ("Content-Encoding", "HTTP_CONTENT_ENCODING"),
            ("Git-Protocol", "GIT_PROTOCOL"),
        ]:
            if value := self.headers.get(name):
                environment[variable] = value
        command = ["git", "http-backend"]
        with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as backend:
            assert backend.stdin and backend.stdout
            feeder = threading.Thread(target=self._feed, args=(backend.stdin,))
            feeder.start()
            self._answer(backend.stdout)
            feeder.join()

    do_POST = do_GET

    def _feed(self, stdin: IO[bytes]) -> None:
        with stdin:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    stdin.write(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
            else:
                remaining = int(self.headers.get("Content-Length", "0"))
                while remaining:
                    block = self.rfile.read(min(remaining, 65536))
                    stdin.write(block)
                    remaining -= len(block)

    def _answer(self, stdout: IO[bytes]) -> None:
        fields = []
        while line := stdout.readline().strip():
            name, _, value = line.decode().partition(":")
            fields.append((name, value.strip()))
        status = next((value for name, value in fields if name.lower() == "status"), "200")
        self.send_response(int(status.split()[0]))
        for name, value in fields:
            if name.lower() not in ("status", "content-length"):
                self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while block := stdout.read1(65536):  # type: ignore[attr-defined]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block))
        self.wfile.write(b"0\r\n\r\n")


class Server(ThreadingTCPServer):
    # Not HTTPServer: that one asks the DNS for its name.
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
