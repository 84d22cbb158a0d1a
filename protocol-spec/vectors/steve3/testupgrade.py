"""What the app of the live test does with requests to upgrade: it speaks raw bytes once it has answered."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from dataclasses import dataclass, field
from io import BufferedIOBase

LIMIT = 15.0
QUIET = 60.0
ASIDE = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n"
ANSWERS = {
    "echo": ASIDE + b"upgrade: echo/1\r\nx-app: one\r\nconnection: x-hop\r\nx-hop: 1\r\nsteve-error: forged\r\n\r\n",
    "greet": ASIDE + b"upgrade: ECHO/1\r\n\r\nhello",
    "hints": b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + ASIDE + b"upgrade: echo/1\r\n\r\n",
    "length": ASIDE + b"upgrade: echo/1\r\ncontent-length: 0\r\n\r\n",
    "end": ASIDE + b"upgrade: echo/1\r\n\r\nlast words",
    "die": ASIDE + b"upgrade: echo/1\r\n\r\n",
    "half": ASIDE + b"upgrade: echo/1\r\n\r\nmy half",
    "silent": b"",
    "refuse": b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno",
    "ignore": b"HTTP/1.1 200 OK\r\nupgrade: echo/1\r\nconnection: upgrade\r\ncontent-length: 3\r\n\r\nyes",
    "other": ASIDE + b"upgrade: other/1\r\n\r\n",
    "unnamed": ASIDE + b"\r\n",
    "two": ASIDE + b"upgrade: echo/1, other/1\r\n\r\n",
    "twice": ASIDE + b"upgrade: echo/1\r\nupgrade: other/1\r\n\r\n",
    "prefix": ASIDE + b"upgrade: echo\r\n\r\n",
}


@dataclass
class Raw:
    """One request to /upgrade/, and what came over its connection afterwards."""

    path: str
    fields: list[tuple[str, str]]
    received: bytearray = field(default_factory=bytearray)
    ended: threading.Event = field(default_factory=threading.Event)
    how: str = ""
    """Once `ended` is set: `eof` or `reset` by the peer, `ended` or `died` by the app, `open` when neither comes."""

    def expect_end(self, *allowed: str) -> None:
        if not self.ended.wait(LIMIT) or self.how not in allowed:
            raise AssertionError(f"the app's connection: expected its end to be one of {allowed!r}, got {self.how!r}")


def serve(raw: Raw, connection: socket.socket, reader: BufferedIOBase) -> None:
    """The second part of the path says what happens. Bytes are echoed, where 101 was the answer, until the end."""
    kind = raw.path.split("/")[2]
    connection.settimeout(QUIET)
    connection.sendall(ANSWERS[kind])
    if kind == "end":
        raw.how = "ended"
    elif kind == "die":
        reader.read1(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(connection.detach())
        raw.how = "died"
    else:
        if kind == "half":
            connection.shutdown(socket.SHUT_WR)
        raw.how = _read(raw, connection, reader, b" 101 " in ANSWERS[kind] and kind != "half")
        if raw.how == "eof" and kind == "echo":
            with contextlib.suppress(ConnectionError):  # who has said all may leave without the answer
                connection.sendall(b"bye")
    raw.ended.set()


def _read(raw: Raw, connection: socket.socket, reader: BufferedIOBase, echo: bool) -> str:
    try:
        while data := reader.read1(65536):
            raw.received += data
            if echo:
                connection.sendall(data)
    except TimeoutError:
        return "open"
    except ConnectionError:
        return "reset"
    return "eof"
