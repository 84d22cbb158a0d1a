"""Establishment, evidence, confirmation."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Any

import attestation
from keys import APPLICATION, CONFIRMATION, SUITES, TO_CLIENT, other_suite
from report import expect
from session import CONFIRM, REQUEST, SESSION, Offer, Refused, Session, inner_request
from target import Target, expect_error

import wire


def run(t: Target) -> None:
    establishment(t)
    evidence(t)
    materials(t)
    confirmation(t)


def establishment(t: Target) -> None:
    with t.check("a session is established, attested, confirmed and used"):
        session = t.session()
        expect("status", 200, session.request("GET", "/echo").status)
    with t.check("keys of the request map may come in any order"):
        for order in (reversed, sorted):
            fields = Offer(t.suite).fields()
            answer = t.outer.post(SESSION, wire.encode({key: fields[key] for key in order(fields)}))
            expect("status", 200, answer.status)
    with t.check("the same request twice gives two sessions"):
        offer = Offer(t.suite)
        one, two = Session.establish(t.outer, offer), Session.establish(t.outer, offer)
        for session in (one, two):
            session.verify(t.root)
        for name, of in (("session_id", one.keys.session_id), ("material", one.server_material), ("binder", one.keys.binder)):
            if of in (two.keys.session_id, two.server_material, two.keys.binder):
                raise AssertionError(f"{name} is the same")
    wrong = {"of another deployment": other_suite(t.suite).name, "unknown": "X448", "in lower case": t.suite.name.lower()}
    for what, suite in wrong.items():
        with t.check(f"a suite {what} is refused"):
            offer = Offer(other_suite(t.suite) if suite in SUITES else t.suite)
            t.refused(SESSION, wire.encode({**offer.fields(), "key_exchange": suite}), 400)


def evidence(t: Target) -> None:
    session = Session.establish(t.outer, Offer(t.suite))
    with t.check("the document proves the session"):
        session.verify(t.root)
    with t.check("the document has PCR 0 to 2"):
        document = session.verify(t.root)
        for index in range(3):
            expect(f"length of PCR{index}", 48, len(document.pcrs.get(index, b"")))
    other = t.unconfirmed()
    changes = {
        "nonce": other.offer.nonce,
        "suite": other_suite(t.suite).name,
        "session_id": other.keys.session_id,
        "transcript": other.transcript,
        "binder": other.keys.binder,
    }
    for name, value in changes.items():
        with t.check(f"the document does not prove a session of another {name}"):
            refuses(session, t.root, **{name: value})
    with t.check("the document does not prove a session with another context"):
        offer = Offer(t.suite, context=hashlib.sha256(b"https://other.example").digest())
        bound = Session.establish(t.outer, offer)
        bound.verify(t.root)
        refuses(bound, t.root, transcript=session.transcript)
    with t.check("a document with another signature proves nothing"):
        session.document = session.document[:-1] + bytes([session.document[-1] ^ 1])
        refuses(session, t.root)


def refuses(session: Session, root: bytes, **changed: object) -> None:
    try:
        session.verify(root, **changed)
    except attestation.AttestationError:
        return
    raise AssertionError("the client is content")


def materials(t: Target) -> None:
    good = Offer(t.suite).fields()
    material: bytes = good["client_key_material"]
    values: dict[str, list[Any]] = {
        "version": [0, 1, 3, (1 << 64) - 1],
        "client_nonce": [b"", bytes(31), bytes(33)],
        "context_hash": [b"", bytes(31), bytes(33)],
        "client_key_material": [
            b"",
            material[:-1],
            material + b"\0",
            Offer(other_suite(t.suite)).fields()["client_key_material"],
            weak_material(t),
        ],
        "key_exchange": ["", "X25519\0", "A" * 500],
    }
    for name, wrong in values.items():
        for i, value in enumerate(wrong):
            with t.check(f"session request: wrong {name}, {i + 1} of {len(wrong)}"):
                t.refused(SESSION, wire.encode({**good, name: value}), 400)


def weak_material(t: Target) -> bytes:
    """All-zero X25519 point, or an ML-KEM encapsulation key with coefficients above the modulus."""
    if t.suite.name == "X25519":
        return bytes(32)
    return b"\xff" * 1184 + SUITES["X25519"].client_material(bytes(32))


def not_usable(t: Target, session: Session) -> None:
    request = wire.encode(inner_request("POST", "/echo", {}, b""))
    t.refused(REQUEST, wire.encode(session.envelope(1, request)), 425, 401)


def confirmation(t: Target) -> None:
    with t.check("a request before the confirmation: 425"):
        session = t.unconfirmed()
        request = wire.encode(inner_request("POST", "/echo", {}, b""))
        t.refused(REQUEST, wire.encode(session.envelope(1, request)), 425)
    with t.check("a second confirmation: 409, and the session goes on"):
        session = t.session()
        t.refused(CONFIRM, wire.encode(session.confirmation()), 409)
        t.alive(session)
    hashes: dict[str, Callable[[Session], bytes]] = {
        "the hash with a bit changed": lambda s: bytes([s.transcript[0] ^ 1]) + s.transcript[1:],
        "no plaintext": lambda s: b"",
        "31 bytes of the hash": lambda s: s.transcript[:-1],
        "a byte after the hash": lambda s: s.transcript + b"\0",
        "the hash of another session": lambda s: t.unconfirmed().transcript,
    }
    for name, plaintext in hashes.items():
        with t.check(f"a confirmation of {name} is refused and confirms nothing"):
            session = t.unconfirmed()
            envelope = session.envelope(0, plaintext(session), CONFIRMATION)
            expect_error(t.refused(CONFIRM, wire.encode(envelope), 400), "protocol_error")
            not_usable(t, session)
    parameters = {
        "sequence 1": (1, CONFIRMATION, 0),
        "sequence 2^64-1": ((1 << 64) - 1, CONFIRMATION, 0),
        "the type of an application message": (0, APPLICATION, 0),
        "the server's direction": (0, CONFIRMATION, TO_CLIENT),
    }
    for name, (sequence, kind, direction) in parameters.items():
        with t.check(f"a confirmation with {name} is refused and confirms nothing"):
            session = t.unconfirmed()
            envelope = session.envelope(sequence, session.transcript, kind, direction)
            t.refused(CONFIRM, wire.encode(envelope), 400)
            not_usable(t, session)
    with t.check("a confirmation with an unknown session: 401"):
        session = t.unconfirmed()
        t.refused(CONFIRM, wire.encode({**session.confirmation(), "session_id": secrets.token_bytes(16)}), 401)
        session.confirm()
    with t.check("a confirmation with another session's id is refused and confirms neither"):
        one, two = t.unconfirmed(), t.unconfirmed()
        t.refused(CONFIRM, wire.encode({**one.confirmation(), "session_id": two.keys.session_id}), 400)
        not_usable(t, two)
        not_usable(t, one)
    with t.check("a confirmation after a request is the same as before it"):
        session = t.session()
        t.alive(session)
        t.refused(CONFIRM, wire.encode(session.confirmation()), 409)
        t.alive(session)
    with t.check("the answer to the confirmation, sent back, is refused"):
        session = t.unconfirmed()
        answer = t.outer.post_cbor(CONFIRM, wire.encode(session.confirmation()))
        t.refused(CONFIRM, answer, 400, 409)
        t.refused(REQUEST, answer, 400, 409)
    with t.check("sessions confirmed in another order than established"):
        sessions = [t.unconfirmed() for _ in range(4)]
        for session in reversed(sessions):
            session.confirm()
        for session in sessions:
            t.alive(session)
    with t.check("a request in a session that never was: 401"):
        session = t.session()
        request = wire.encode(inner_request("POST", "/echo", {}, b""))
        try:
            session.keys = type(session.keys)(bytes(16), session.keys.key, session.keys.iv, session.keys.binder)
            with t.app_sees(0):
                session.exchange(1, request)
        except Refused as refused:
            expect("status", 401, refused.status)
        else:
            raise AssertionError("answered")
