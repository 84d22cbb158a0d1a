"""Streams that go both ways at once: over the tunnel (SPEC.md, Section 11.1) and in chunked bodies of HTTP/1.1."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import secrets
import socket
from collections.abc import Callable
from typing import BinaryIO, Protocol

from . import heads
from .client import BASE, STREAM, STREAM_TYPE, Outer, OuterError, Session
from .codec import uint
from .frames import DATA, FIN, HEAD, RESET
from .stream import Message, Receiver

TUNNEL = BASE + "v3/tunnel"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MAX_MESSAGE = 65557
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class WebSocketError(Exception):
    """What the proxy sends breaks RFC 6455 or Section 11.1."""


class WebSocket:
    """A client of RFC 6455, without extensions."""

    def __init__(self, outer: Outer, fields: dict[str, str] | None = None, timeout: float | None = None) -> None:
        self.socket = socket.create_connection((outer.host, outer.port), timeout or outer.timeout)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        own = {"Host": f"{outer.host}:{outer.port}", "Connection": "Upgrade", "Upgrade": "websocket"}
        own |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key, **(fields or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in own.items() if value)
        self.socket.sendall(f"GET {TUNNEL} HTTP/1.1\r\n{lines}\r\n".encode())
        self.reader: BinaryIO = self.socket.makefile("rb")
        status = int(self.reader.readline(1024).split(b" ")[1])
        self.fields = {name.lower(): value for name, value in http.client.parse_headers(self.reader).items()}
        if status != 101:
            with self.socket:
                raise OuterError(status, self.reader.read(int(self.fields.get("content-length", "0"))))
        accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
        if self.fields.get("sec-websocket-accept") != accept:
            raise WebSocketError("sec-websocket-accept")
        self.closed: tuple[int, bytes] | None = None
        """Status code and reason of the proxy's Close frame."""
        self.pings = 0
        self.pongs: list[bytes] = []

    def send(self, data: bytes, opcode: int = BINARY, fin: bool = True, masked: bool = True, reserved: int = 0) -> None:
        first = bytes([fin << 7 | reserved << 4 | opcode])
        length = len(data)
        code = length if length < 126 else 126 if length < 1 << 16 else 127
        extended = b"" if code < 126 else uint(length, 2 if code == 126 else 8)
        mask = secrets.token_bytes(4)
        hidden = bytes(a ^ b for a, b in zip(data, mask * (length // 4 + 1), strict=False)) if masked else data
        self.socket.sendall(first + bytes([masked << 7 | code]) + extended + (mask if masked else b"") + hidden)

    def receive(self, until_ping: bool = False) -> bytes | None:
        """The next message; None after a Close frame or the end of the connection, or after a ping. Answers pings."""
        message = bytearray()
        while (frame := self._frame()) is not None:
            opcode, fin, content = frame
            if opcode == PING:
                self.send(content, PONG)
                if until_ping:
                    self.pings += 1
                    return None
            elif opcode == PONG:
                self.pongs.append(content)
            elif opcode == CLOSE:
                self.closed = (int.from_bytes(content[:2], "big"), content[2:])
                with contextlib.suppress(OSError):
                    self.send(content[:2], CLOSE)
                return None
            elif opcode == BINARY or (opcode == 0 and message):
                message += content
                if len(message) > MAX_MESSAGE:
                    raise WebSocketError("a message that is too large")
                if fin:
                    return bytes(message)
            else:
                raise WebSocketError(f"opcode {opcode}")
        return None

    def _frame(self) -> tuple[int, bool, bytes] | None:
        try:
            start = self.reader.read(2)
            if len(start) < 2:
                return None
            if start[0] & 0x70 or start[1] & 0x80:
                raise WebSocketError("a reserved bit, or a mask")
            code = start[1] & 0x7F
            length = code if code < 126 else int.from_bytes(self.reader.read(2 if code == 126 else 8), "big")
            if length > MAX_MESSAGE:
                raise WebSocketError(f"a frame of {length} bytes")
            content = self.reader.read(length)
        except ConnectionError:
            return None
        return (start[0] & 0x0F, bool(start[0] & 0x80), content) if len(content) == length else None

    def close(self) -> None:
        """The connection is lost; without a Close frame."""
        self.reader.close()
        self.socket.close()


class Carriage(Protocol):
    """What carries a stream."""

    def send(self, data: bytes) -> None: ...
    def receive(self) -> bytes | None: ...
    def end(self) -> None: ...
    def close(self) -> None: ...


class Tunnel(WebSocket):
    def end(self) -> None:
        """There is no end of what one side sends but Close."""

    def receive(self, until_ping: bool = False) -> bytes | None:
        message = super().receive(until_ping)
        if message is not None and (len(message) < 4 or int.from_bytes(message[:4], "big") + 4 != len(message)):
            raise WebSocketError("a message that is not exactly one frame")
        return message


class Post:
    """A POST whose chunks are sent while the answer is read."""

    def __init__(self, outer: Outer) -> None:
        self.connection = http.client.HTTPConnection(outer.host, outer.port, timeout=outer.timeout)
        self.connection.putrequest("POST", STREAM)
        self.connection.putheader("Content-Type", STREAM_TYPE)
        self.connection.putheader("Transfer-Encoding", "chunked")
        self.connection.endheaders()
        self.socket: socket.socket = self.connection.sock
        self.response: http.client.HTTPResponse | None = None

    def send(self, data: bytes) -> None:
        self.socket.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def receive(self) -> bytes | None:
        if self.response is None:
            self.response = self.connection.getresponse()
            if self.response.status != 200:
                raise OuterError(self.response.status, self.response.read())
        with contextlib.suppress(ConnectionError, http.client.HTTPException):
            return self.response.read1(65536) or None
        return None

    def end(self) -> None:
        self.socket.sendall(b"0\r\n\r\n")

    def close(self) -> None:
        if self.response is not None:
            self.response.close()
        self.connection.close()
        self.socket.close()


class Duplex:
    """One stream over a carriage, frame by frame."""

    def __init__(self, session: Session, carriage: Carriage, head: heads.RequestHead, fin: bool = False) -> None:
        self.carriage = carriage
        self.stream_id = session.next_id()
        self.sealer = session.sealer(self.stream_id)
        self.receiver = Receiver(session.keys.s2c, self.stream_id, False, head.method == b"HEAD", head.asks_upgrade)
        carriage.send(session.open_stream(self.stream_id))
        self.send(HEAD | (FIN if fin else 0), head.encode())

    def __enter__(self) -> Duplex:
        return self

    def __exit__(self, *_: object) -> None:
        self.carriage.close()

    def send(self, type_: int, content: bytes = b"") -> None:
        self.carriage.send(self.sealer.seal(type_, content))

    def finish_sending(self, content: bytes = b"") -> None:
        self.send(DATA | FIN, content)
        self.carriage.end()

    def reset(self, code: int) -> None:
        self.send(RESET, uint(code, 2))
        self.carriage.end()

    def read_until(self, enough: Callable[[Message], bool]) -> Message:
        """Raises what the receiver raises, if the response ends before there is enough."""
        while not enough(self.receiver.message):
            data = self.carriage.receive()
            if data is None:
                self.receiver.end()
                raise AssertionError(f"the response is complete, and is {self.receiver.message}")
            self.receiver.feed(data)
        return self.receiver.message

    def response(self) -> Message:
        """The whole of it. What the carriage says after it is still to be read."""
        return self.read_until(lambda message: message.complete)

    def head(self) -> int:
        """Status of the final head or of 101."""
        head = self.read_until(lambda message: message.response is not None).response
        assert head is not None
        return head.status

    def expect_bytes(self, expected: bytes) -> None:
        """Exactly these are the body so far, once they have arrived."""
        body = self.read_until(lambda message: len(message.body) >= len(expected)).body
        if bytes(body) != expected:
            raise AssertionError(f"expected {expected!r}, got {bytes(body)!r}")
