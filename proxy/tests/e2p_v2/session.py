"""A client of STEVE-E2P-V2 over http.client that says exactly what is wrong with an answer."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import attestation
from keys import APPLICATION, CONFIRMATION, TO_CLIENT, TO_SERVER, VERSION, Keys, Suite, sequence_bytes, transcript_hash

import wire
from steve3.document import Document
from wire import WireError

SESSION, CONFIRM, REQUEST = "/e2p/v2/session", "/e2p/v2/confirm", "/e2p/v2/request"
RESPONSE_LIMIT = {SESSION: 65_536, CONFIRM: 4_096, REQUEST: 33_619_968}
CBOR = "application/cbor"
TIME_LIMIT = 30.0


@dataclass(frozen=True)
class Reply:
    """An outer response; names of fields in lower case."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]


class Refused(Exception):
    """The outer status is not 200."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"refused with {reply.status} {reply.body[:100]!r}")
        self.reply = reply
        self.status = reply.status


@dataclass(frozen=True)
class Outer:
    host: str
    port: int

    def call(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, fields: dict[str, str] | None = None
    ) -> Reply:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=TIME_LIMIT)
        try:
            # The answer may come, and the connection end, before everything is sent.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body, fields or {})
            limit = RESPONSE_LIMIT.get(path, 1 << 26)
            # Not getresponse(), which a request that could not be sent whole does not have.
            response = http.client.HTTPResponse(connection.sock, method=method)
            response.begin()
            data = response.read(limit + 1)
            if len(data) > limit:
                raise WireError(f"the response has more than the {limit} bytes that clients read")
            return Reply(response.status, [(k.lower(), v) for k, v in response.getheaders()], data)
        finally:
            connection.close()

    def post(self, path: str, body: bytes, fields: dict[str, str] | None = None) -> Reply:
        return self.call("POST", path, body, {"Content-Type": CBOR, **(fields or {})})

    def post_cbor(self, path: str, body: bytes) -> bytes:
        reply = self.post(path, body)
        if reply.status != 200:
            raise Refused(reply)
        if reply.values("content-type") != [CBOR]:
            raise WireError(f"content type {reply.values('content-type')}")
        return reply.body


@dataclass(frozen=True)
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes | None
    error: str | None

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]


def inner_request(method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> dict[str, Any]:
    return {"method": method, "path": path, "headers": headers or {}, "body": body}


@dataclass
class Offer:
    """What a client sends first, and keeps for it."""

    suite: Suite
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    nonce: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    context: bytes = hashlib.sha256(b"https://app.example").digest()

    def fields(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "key_exchange": self.suite.name,
            "client_nonce": self.nonce,
            "client_key_material": self.suite.client_material(self.secret),
            "context_hash": self.context,
        }


@dataclass
class Session:
    outer: Outer
    offer: Offer
    keys: Keys
    transcript: bytes
    server_material: bytes
    document: bytes
    expires_in: int
    sequence: int = 0

    @classmethod
    def establish(cls, outer: Outer, offer: Offer) -> Session:
        """Not yet verified, not yet confirmed."""
        answer = wire.decode_map(
            outer.post_cbor(SESSION, wire.encode(offer.fields())),
            version=int,
            key_exchange=str,
            session_id=bytes,
            server_key_material=bytes,
            attestation_document=bytes,
            expires_in_seconds=int,
        )
        suite, session_id, material = offer.suite, answer["session_id"], answer["server_key_material"]
        if answer["version"] != VERSION or answer["key_exchange"] != suite.name:
            raise WireError(f"version {answer['version']}, suite {answer['key_exchange']}")
        if len(session_id) != 16 or len(material) != suite.server_length or answer["expires_in_seconds"] < 1:
            raise WireError("a value's length or range")
        transcript = transcript_hash(
            suite.name, offer.nonce, suite.client_material(offer.secret), material, session_id, offer.context
        )
        keys = Keys.derive(suite.shared(offer.secret, material), transcript, session_id)
        document, expires = answer["attestation_document"], answer["expires_in_seconds"]
        return cls(outer, offer, keys, transcript, material, document, expires)

    def verify(self, root: bytes, **changed: Any) -> Document:
        """`changed` replaces what the document must say."""
        expected = {
            "nonce": self.offer.nonce,
            "suite": self.offer.suite.name,
            "session_id": self.keys.session_id,
            "transcript": self.transcript,
            "binder": self.keys.binder,
        }
        return attestation.verify(self.document, root, **{**expected, **changed})

    def envelope(
        self, sequence: int, plaintext: bytes, kind: int = APPLICATION, direction: int = TO_SERVER
    ) -> dict[str, Any]:
        return {
            "version": VERSION,
            "session_id": self.keys.session_id,
            "sequence": sequence_bytes(sequence),
            "ciphertext": self.keys.seal(kind, direction, sequence, plaintext),
        }

    def confirmation(self) -> dict[str, Any]:
        return self.envelope(0, self.transcript, CONFIRMATION)

    def open(self, data: bytes, sequence: int, kind: int = APPLICATION) -> bytes:
        answer = wire.decode_map(data, version=int, session_id=bytes, sequence=bytes, ciphertext=bytes)
        if answer["version"] != VERSION or answer["session_id"] != self.keys.session_id:
            raise WireError("version or session of the answer")
        if answer["sequence"] != sequence_bytes(sequence):
            raise WireError(f"the answer has sequence {answer['sequence'].hex()}, not {sequence}")
        return self.keys.open(kind, TO_CLIENT, sequence, answer["ciphertext"])

    def confirm(self) -> None:
        answer = self.outer.post_cbor(CONFIRM, wire.encode(self.confirmation()))
        if self.open(answer, 0, CONFIRMATION) != self.transcript:
            raise WireError("the server confirms another transcript")

    def next(self) -> int:
        self.sequence += 1
        return self.sequence

    def request(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        sequence: int | None = None,
    ) -> Response:
        number = self.next() if sequence is None else sequence
        return self.exchange(number, wire.encode(inner_request(method, path, headers, body)))

    def exchange(self, sequence: int, plaintext: bytes) -> Response:
        answer = self.outer.post_cbor(REQUEST, wire.encode(self.envelope(sequence, plaintext)))
        return parse_response(self.open(answer, sequence))


def parse_response(plaintext: bytes) -> Response:
    value = wire.decode(plaintext)
    if not isinstance(value, dict) or value.keys() not in ({"status", "headers", "body"}, {"status", "headers", "error"}):
        raise WireError(f"response of {sorted(value) if isinstance(value, dict) else type(value).__name__}")
    status, headers = value["status"], value["headers"]
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise WireError(f"status {status!r}")
    if not isinstance(headers, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair) for pair in headers
    ):
        raise WireError("headers are not pairs of text")
    body, error = value.get("body"), value.get("error")
    if not isinstance(body, (bytes, type(None))) or ("error" in value and not isinstance(error, str)):
        raise WireError("body or error")
    return Response(status, [(name, text) for name, text in headers], body, error)
