"""A small client over http.client, for the live test. Every operation has a time limit."""

from __future__ import annotations

import http.client
import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from . import evidence, handshake, heads
from .codec import Reader, uint
from .evidence import Appraised, Profile
from .frames import Sealer
from .stream import Message, Receiver, TruncatedError, seal_message
from .suites import SUITES

BASE = "/.well-known/steve/"
EVIDENCE = BASE + "v3/evidence"
STREAM = BASE + "v3/stream"
STREAM_TYPE = "application/vnd.steve.stream"


def _steady() -> int:
    """Milliseconds of a clock that goes on while the machine is suspended, where there is one."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) // 1_000_000


_EPOCH = time.time_ns() // 1_000_000 - _steady()


def clock() -> int:
    """The client's clock (Section 7): nobody can set it back while the program runs."""
    return _EPOCH + _steady()


class OuterError(Exception):
    """The outer response is not 200; an unauthenticated hint."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"outer status {status} {body[:100]!r}")
        self.status = status
        self.body = body


@dataclass
class OuterResponse:
    status: int
    fields: dict[str, str]
    body: bytes


class Outer:
    """Outer requests, a connection each."""

    def __init__(self, host: str, port: int, timeout: float = 15.0) -> None:
        self.host, self.port, self.timeout = host, port, timeout

    def start(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, fields: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        chunked = body is not None and not isinstance(body, bytes)
        extra = {"Transfer-Encoding": "chunked"} if chunked else {}
        try:
            connection.request(method, path, body, {**(fields or {}), **extra}, encode_chunked=chunked)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the proxy may have answered before it read everything
        except BaseException:
            connection.close()
            raise
        return connection, connection.getresponse()

    def call(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, fields: dict[str, str] | None = None
    ) -> OuterResponse:
        connection, response = self.start(method, path, body, fields)
        try:
            names = {name.lower(): value for name, value in response.getheaders()}
            return OuterResponse(response.status, names, response.read())
        finally:
            connection.close()

    def post_stream(self, body: bytes | Iterable[bytes]) -> OuterResponse:
        return self.call("POST", STREAM, body, {"Content-Type": STREAM_TYPE})


def fetch_evidence(outer: Outer, challenge: bytes | None) -> bytes:
    method = "GET" if challenge is None else "POST"
    answer = outer.call(method, EVIDENCE, challenge)
    if answer.status != 200:
        raise OuterError(answer.status, answer.body)
    return answer.body


def attest(outer: Outer, root_sha256: bytes, profiles: list[Profile]) -> Appraised:
    challenge = secrets.token_bytes(32)
    sent = clock()
    encoded = fetch_evidence(outer, challenge)
    return evidence.appraise(encoded, challenge, sent, clock(), root_sha256, profiles)


class Session:
    def __init__(self, outer: Outer, server: handshake.ServerHello, keys: handshake.SessionSecrets) -> None:
        self.outer, self.server, self.keys = outer, server, keys
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    def next_id(self) -> int:
        with self._lock:
            return next(self._ids)

    def open_stream(self, stream_id: int) -> bytes:
        return uint(handshake.KIND_OPEN, 1) + self.server.session_id + uint(stream_id, 8)

    def sealer(self, stream_id: int) -> Sealer:
        return Sealer(self.keys.c2s, stream_id)

    def sealed(self, stream_id: int, head: heads.RequestHead, body: bytes = b"", chunk: int = 65536) -> list[bytes]:
        """The parts of the outer request body."""
        return [self.open_stream(stream_id), *seal_message(self.sealer(stream_id), head, body, chunk=chunk)]

    def request(self, head: heads.RequestHead, body: bytes = b"", on_progress: Callable[[Message], None] | None = None) -> Message:
        stream_id = self.next_id()
        parts = self.sealed(stream_id, head, body)
        return self.exchange(stream_id, parts, head.method == b"HEAD", on_progress)

    def exchange(
        self, stream_id: int, parts: Iterable[bytes], bodiless: bool = False, on_progress: Callable[[Message], None] | None = None
    ) -> Message:
        connection, response = self.outer.start("POST", STREAM, iter(parts), {"Content-Type": STREAM_TYPE})
        try:
            if response.status != 200:
                raise OuterError(response.status, response.read())
            receiver = Receiver(self.keys.s2c, stream_id, is_request=False, bodiless=bodiless)
            return receive(response, receiver, on_progress)
        finally:
            connection.close()


def receive(
    response: http.client.HTTPResponse, receiver: Receiver, on_progress: Callable[[Message], None] | None = None
) -> Message:
    while True:
        try:
            data = response.read1(65536)
        except (OSError, http.client.HTTPException) as error:
            raise TruncatedError(f"outer transport: {error!r}") from error
        if not data:
            return receiver.end()
        receiver.feed(data)
        if on_progress:
            on_progress(receiver.message)


def require_valid(enclave: Appraised) -> None:
    if not enclave.valid_at(clock()):
        raise handshake.HandshakeError("unchallenged evidence, or its validity has ended")


def connect(outer: Outer, enclave: Appraised, suite: int, allowed: Iterable[int] = tuple(SUITES)) -> Session:
    if suite not in allowed:
        raise ValueError("a suite that is not allowed")
    require_valid(enclave)
    client = handshake.Client(enclave.key_config.entry(suite), enclave.key_config_hash)
    answer = outer.post_stream(client.hello.encode())
    if answer.status != 200:
        raise OuterError(answer.status, answer.body)
    r = Reader(answer.body)
    require_valid(enclave)
    server, keys = client.finish(r)
    r.end()
    return Session(outer, server, keys)
