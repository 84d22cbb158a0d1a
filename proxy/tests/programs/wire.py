"""HTTP/1 as bytes: an app that records exactly what it gets and answers exactly what it is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

LIMIT = 10.0
Fields = list[tuple[bytes, bytes]]


class Broken(Exception):
    """The other end stopped within a message."""


class Malformed(Exception):
    """What came is not the HTTP that is expected here."""


class Reader:
    """What a socket gives, or given bytes. `record` keeps all of it."""

    def __init__(self, sock: socket.socket | None, record: bytes = b"") -> None:
        self.sock = sock
        self.record = record
        self.position = 0

    def more(self) -> bool:
        """Waits for bytes; false at the end of the connection."""
        try:
            block = self.sock.recv(65536) if self.sock else b""
        except ConnectionError:
            block = b""
        self.record += block
        return bool(block)

    def at_end(self) -> bool:
        return self.position == len(self.record) and not self.more()

    def exactly(self, size: int) -> bytes:
        while len(self.record) - self.position < size:
            if not self.more():
                raise Broken
        self.position += size
        return self.record[self.position - size : self.position]

    def until(self, end: bytes) -> bytes:
        while (found := self.record.find(end, self.position)) < 0:
            if not self.more():
                raise Broken
        text = self.record[self.position : found]
        self.position = found + len(end)
        return text

    def rest(self) -> bytes:
        while self.more():
            pass
        text = self.record[self.position :]
        self.position = len(self.record)
        return text


@dataclass
class Message:
    """A request or a response, as its bytes said it. `end` is how it ended."""

    start: list[bytes]
    fields: Fields
    framing: str = "none"
    body: bytes = b""
    extensions: list[bytes] = field(default_factory=list)
    trailers: Fields = field(default_factory=list)
    end: str = "complete"
    interim: list[tuple[bytes, Fields]] = field(default_factory=list)
    connection: int = 0
    head: bytes = b""

    def all(self, name: bytes) -> list[bytes]:
        return [value for other, value in self.fields if other.lower() == name]

    @property
    def method(self) -> bytes:
        return self.start[0]

    @property
    def status(self) -> int:
        return int(self.start[1])


def read_fields(reader: Reader) -> Fields:
    fields: Fields = []
    while line := reader.until(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon or name != name.strip() or not name:
            raise Malformed(repr(line))
        fields.append((name, value.strip(b" \t")))
    return fields


def read_head(reader: Reader) -> Message:
    begin = reader.position
    while not (line := reader.until(b"\r\n")):
        begin = reader.position
    start = line.split(b" ", 2)
    if len(start) < 2:
        raise Malformed(repr(start))
    message = Message([*start, b""][:3], read_fields(reader))
    message.head = reader.record[begin : reader.position]
    return message


def read_body(reader: Reader, message: Message, until_close: bool = False) -> None:
    """Reads what the head announces. `message` has what came when it raises Broken."""
    lengths = message.all(b"content-length")
    if message.all(b"transfer-encoding"):
        message.framing = "chunked"
        while True:
            size, _, extension = reader.until(b"\r\n").partition(b";")
            if extension:
                message.extensions.append(extension)
            if (count := int(size, 16)) == 0:
                break
            message.body += reader.exactly(count)
            if reader.exactly(2) != b"\r\n":
                raise Malformed("chunk without end")
        message.trailers = read_fields(reader)
    elif lengths:
        message.framing = "length"
        message.body = reader.exactly(int(lengths[0]))
    elif until_close:
        message.framing = "close"
        message.body = reader.rest()


def read_response(reader: Reader, method: bytes, meanwhile: Callable[[], None] | None = None) -> Message:
    """The response to a request; `meanwhile` is called after 100 Continue."""
    interim: list[tuple[bytes, Fields]] = []
    while True:
        response = read_head(reader)
        if not 100 <= response.status < 200 or response.status == 101:
            break
        interim.append((response.start[1], response.fields))
        if response.status == 100 and meanwhile:
            meanwhile()
    response.interim = interim
    if response.status == 101:
        response.framing = "close"
    elif method != b"HEAD" and response.status not in (204, 304):
        try:
            read_body(reader, response, until_close=True)
        except Broken:
            response.end = "broken"
            response.body += reader.rest()
    elif response.all(b"content-length"):
        response.framing = "length"
    return response


@dataclass
class Answer:
    """What the app does with a request."""

    response: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    # Sent between head and body of the request.
    first: bytes = b""
    # The app reads the request's body before it answers.
    reads: bool = True
    close: bool = False


class App:
    """Answers as `begin` says, and keeps all it got."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self.listener.getsockname()[1])
        self.begin([])
        # Every byte of every connection, by its number.
        self.bytes: dict[int, Reader] = {}
        self.sockets: dict[int, socket.socket] = {}
        self.ended: dict[int, threading.Event] = {}
        threading.Thread(target=self._accept, daemon=True).start()

    def begin(self, answers: list[Answer]) -> None:
        """The answers to the next requests, in their order."""
        self.answers = list(answers)
        self.requests: list[Message] = []

    def _accept(self) -> None:
        while True:
            sock, _ = self.listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = len(self.sockets) + 1
            self.sockets[number] = sock
            self.ended[number] = threading.Event()
            self.bytes[number] = Reader(sock)
            threading.Thread(target=self._serve, args=(number,), daemon=True).start()

    def _serve(self, number: int) -> None:
        with self.sockets[number] as sock:
            try:
                while not self.bytes[number].at_end() and self._request(sock, number):
                    pass
            except (Broken, Malformed, OSError, ValueError):
                pass
        self.ended[number].set()

    def _request(self, sock: socket.socket, number: int) -> bool:
        reader = self.bytes[number]
        request = read_head(reader)
        request.connection = number
        answer = self.answers.pop(0) if self.answers else Answer(UNEXPECTED)
        sock.sendall(answer.first)
        if answer.reads:
            read_body(reader, request)
        self.requests.append(request)
        sock.sendall(answer.response)
        if answer.close and answer.reads:
            # Whoever has noticed the end closes, too.
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(LIMIT)
            reader.rest()
        elif not answer.reads and not answer.close:
            reader.rest()
        return not answer.close


UNEXPECTED = b"HTTP/1.1 500 Unexpected\r\ncontent-length: 0\r\n\r\n"


def connect(port: int, limit: float = LIMIT) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=limit)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def exchange(port: int, sent: bytes, methods: list[bytes], held: bytes | None = None) -> list[Message]:
    """Sends all at once, then reads a response for each method until one ends the connection.

    `held` is a body for which 100 Continue is awaited, or two seconds.
    """
    with connect(port) as sock:
        reader = Reader(sock)
        sock.sendall(sent)
        meanwhile = None
        if held is not None:
            if _readable(sock, 2.0):
                meanwhile = partial(sock.sendall, held)
            else:
                sock.sendall(held)
        responses = []
        for method in methods:
            if reader.at_end():
                break
            responses.append(read_response(reader, method, meanwhile))
        return responses


def _readable(sock: socket.socket, limit: float) -> bool:
    sock.settimeout(limit)
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False
    finally:
        sock.settimeout(LIMIT)
