"""Bodies that are not what they must be: nothing of them may reach the app."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

from keys import APPLICATION, CONFIRMATION, TO_CLIENT, sequence_bytes
from report import expect_in
from session import CBOR, CONFIRM, REQUEST, SESSION, Offer, Session, inner_request
from target import REFUSALS, Target, expect_error

import wire

TERABYTE = 1 << 40
UNBOUNDED = 160 << 20


def run(t: Target) -> None:
    encodings(t)
    envelope_values(t)
    plaintexts(t)
    for path, body in good_bodies(t):
        outer(t, path, body)
    oversized(t)


def request_of(session: Session) -> dict[str, Any]:
    return session.envelope(session.next(), wire.encode(inner_request("POST", "/echo", {}, b"body")))


def good_bodies(t: Target) -> Iterator[tuple[str, bytes]]:
    yield SESSION, wire.encode(Offer(t.suite).fields())
    yield CONFIRM, wire.encode(t.unconfirmed().confirmation())
    yield REQUEST, wire.encode(request_of(t.session()))


def encodings(t: Target) -> None:
    session = t.session()
    fields = request_of(session)
    for name, path, good in (("session", SESSION, Offer(t.suite).fields()), ("request", REQUEST, fields)):
        for mutation, body in wire.mutations(good):
            with t.check(f"{name}: {mutation}"):
                expect_error(t.refused(path, body, 400), "protocol_error")
    for mutation, _ in wire.mutations(t.unconfirmed().confirmation()):
        with t.check(f"confirm: {mutation}; the good one is accepted after it"):
            unconfirmed = t.unconfirmed()
            body = dict(wire.mutations(unconfirmed.confirmation()))[mutation]
            expect_error(t.refused(CONFIRM, body, 400), "protocol_error")
            unconfirmed.confirm()
    with t.check("request: after all these, the good one is accepted, in any order of keys"):
        for order in (reversed, sorted):
            body = wire.encode({key: fields[key] for key in order(fields)})
            with t.app_sees(1):
                answer = t.outer.post_cbor(REQUEST, body)
            session.open(answer, int.from_bytes(fields["sequence"], "big"))
            fields = request_of(session)


def flipped(data: bytes, index: int) -> bytes:
    """With one bit of this byte changed."""
    return bytes([*data[:index], data[index] ^ 1 << index % 8, *data[index + 1 :]])


def envelope_values(t: Target) -> None:
    session, unconfirmed = t.session(), t.unconfirmed()
    good = request_of(session)
    ciphertext, session_id = good["ciphertext"], good["session_id"]
    wrong: dict[str, tuple[dict[str, Any], int]] = {
        "version 1": ({"version": 1}, 400),
        "version 3": ({"version": 3}, 400),
        "session_id of 15 bytes": ({"session_id": session_id[:-1]}, 400),
        "session_id of 17 bytes": ({"session_id": session_id + b"\0"}, 400),
        "no session_id": ({"session_id": b""}, 400),
        "an unknown session_id": ({"session_id": secrets.token_bytes(16)}, 401),
        "sequence of 7 bytes": ({"sequence": good["sequence"][1:]}, 400),
        "sequence of 9 bytes": ({"sequence": b"\0" + good["sequence"]}, 400),
        "the next sequence": ({"sequence": sequence_bytes(session.sequence + 1)}, 400),
        "sequence 2^64-1": ({"sequence": b"\xff" * 8}, 400),
        "no ciphertext": ({"ciphertext": b""}, 400),
        "ciphertext of 15 bytes": ({"ciphertext": bytes(15)}, 400),
        "ciphertext of a tag alone": ({"ciphertext": ciphertext[-16:]}, 400),
        "ciphertext without its first byte": ({"ciphertext": ciphertext[1:]}, 400),
        "ciphertext without its last byte": ({"ciphertext": ciphertext[:-1]}, 400),
        "a byte after the ciphertext": ({"ciphertext": ciphertext + b"\0"}, 400),
        "another session's ciphertext": ({"ciphertext": request_of(t.session())["ciphertext"]}, 400),
    }
    for name, (changed, status) in wrong.items():
        with t.check(f"request envelope: {name}: {status}"):
            t.refused(REQUEST, wire.encode({**good, **changed}), status)
    with t.check("request envelope: sequence 0"):
        plaintext = wire.encode(inner_request("POST", "/echo", {}, b""))
        t.refused(REQUEST, wire.encode(session.envelope(0, plaintext)), 400, 409)
    with t.check("request envelope: a bit of each byte of the ciphertext"):
        for i in range(len(ciphertext)):
            t.refused(REQUEST, wire.encode({**good, "ciphertext": flipped(ciphertext, i)}), 400)
    with t.check("request envelope: every shorter piece of it"):
        whole = wire.encode(good)
        for end in range(len(whole)):
            t.refused(REQUEST, whole[:end], 400)
    with t.check("confirm envelope: a bit of each byte of the ciphertext"):
        confirmation = unconfirmed.confirmation()
        sealed = confirmation["ciphertext"]
        for i in range(len(sealed)):
            t.refused(CONFIRM, wire.encode({**confirmation, "ciphertext": flipped(sealed, i)}), 400)
        unconfirmed.confirm()
    for name, kind, direction in (
        ("the type of a confirmation", CONFIRMATION, 0),
        ("the server's direction", APPLICATION, TO_CLIENT),
    ):
        with t.check(f"request envelope: sealed with {name}"):
            plaintext = wire.encode(inner_request("POST", "/echo", {}, b""))
            t.refused(REQUEST, wire.encode(session.envelope(session.next(), plaintext, kind, direction)), 400)
    with t.check("request envelope: the server's answer, sent back"):
        number = session.next()
        envelope = session.envelope(number, wire.encode(inner_request("GET", "/echo")))
        answer = t.outer.post_cbor(REQUEST, wire.encode(envelope))
        t.refused(REQUEST, answer, 400, 409)
    with t.check("request envelope: after all these, the good one is accepted"), t.app_sees(1):
        session.open(t.outer.post_cbor(REQUEST, wire.encode(good)), 1)


def plaintexts(t: Target) -> None:
    """Sealed as they must be."""
    for name, plaintext in wire.mutations(inner_request("POST", "/echo", {"a": "b"}, b"body")):
        with t.check(f"request plaintext: {name}"):
            t.refused_plaintext(plaintext, 400)
    good = inner_request("POST", "/echo", {}, b"")
    headers: dict[str, Any] = {
        "a header twice": wire.Pairs([("a", "1"), ("a", "2")]),
        "a header with an integer": {"a": 1},
        "a header with bytes": {"a": b"1"},
        "a header with null": {"a": None},
        "a header with a list": {"a": ["1", "2"]},
        "headers as pairs": [["a", "1"]],
    }
    for name, value in headers.items():
        with t.check(f"request plaintext: {name}"):
            t.refused_plaintext(wire.encode({**good, "headers": value}), 400)


def outer(t: Target, path: str, body: bytes) -> None:
    for kind in ("text/plain", "application/json", "application/cbor-seq", "application/octet-stream", None):
        with t.check(f"{path}: content type {kind}"), t.app_sees(0):
            fields = {"Content-Type": kind} if kind else {}
            expect_in("status", REFUSALS, t.outer.call("POST", path, body, fields).status)
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH"):
        with t.check(f"{path}: {method}"), t.app_sees(0):
            sent = None if method in ("GET", "HEAD") else body
            expect_in("status", REFUSALS, t.outer.call(method, path, sent, {"Content-Type": CBOR}).status)
    for other in (path + "/", path + "x", path.replace("v2", "V2"), path.replace("/e2p", "//e2p"), "/e2p/v2/", "/e2p/v2"):
        with t.check(f"{path}: its body sent to {other}"), t.app_sees(0):
            expect_in("status", REFUSALS, t.outer.post(other, body).status)
    with t.check(f"{path}: after all these, the good body is accepted"):
        t.outer.post_cbor(path, body)


def unbounded() -> Iterator[bytes]:
    piece = bytes(1 << 20)
    for _ in range(UNBOUNDED // len(piece)):
        yield piece
    raise AssertionError(f"{UNBOUNDED} bytes were read")


def oversized(t: Target) -> None:
    for path in (SESSION, CONFIRM):
        with t.check(f"{path}: a body of 1 MiB"):
            t.refused(path, b"\0" * (1 << 20), 400, 413)
    for path in (SESSION, CONFIRM, REQUEST):
        with t.check(f"{path}: 100,000 arrays in each other"):
            t.refused(path, b"\x81" * 100_000 + b"\0", 400, 413)
    for path in (SESSION, CONFIRM, REQUEST):
        with t.check(f"{path}: an announced body of 1 TiB is refused before it comes"), t.app_sees(0):
            fields = {"Content-Type": CBOR, "Content-Length": str(TERABYTE)}
            expect_in("status", (400, 413), t.outer.call("POST", path, b"\xa4", fields).status)
        with t.check(f"{path}: a body without an end is refused"), t.app_sees(0):
            try:
                status = t.outer.call("POST", path, unbounded(), {"Content-Type": CBOR}).status
            except ConnectionError:
                continue
            expect_in("status", (400, 413), status)
