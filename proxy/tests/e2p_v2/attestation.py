"""The attestation document of a session: signature, chain, nonce, and what it says of the session."""

from __future__ import annotations

import base64
import json
import time

from steve3 import certpath
from steve3.document import Document, parse_document, parse_sign1, verify_es384

PROTOCOL = "STEVE-E2P-V2"
CLOCK_TOLERANCE_MS = 300_000


class AttestationError(Exception):
    """The document does not prove this session."""


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def verify(
    data: bytes, root: bytes, *, nonce: bytes, suite: str, session_id: bytes, transcript: bytes, binder: bytes
) -> Document:
    """`root` is the trusted root certificate, DER."""
    try:
        sign1 = parse_sign1(data)
        document = parse_document(sign1.payload)
        if document.cabundle[0] != root:
            raise AttestationError("the chain does not begin with the root")
        now = time.time_ns() // 1_000_000
        leaf, _ = certpath.validate([*document.cabundle, document.certificate], now)
    except ValueError as error:
        raise AttestationError(str(error)) from error
    if not verify_es384(sign1.sig_structure(), sign1.signature, leaf.public_key()):
        raise AttestationError("signature")
    if abs(now - document.timestamp) > CLOCK_TOLERANCE_MS:
        raise AttestationError("timestamp is not of now")
    if document.nonce != nonce:
        raise AttestationError("nonce is not the client's")
    expected = {
        "protocol": PROTOCOL,
        "key_exchange": suite,
        "session_id": base64url(session_id),
        "transcript_hash": base64url(transcript),
        "binder": base64url(binder),
    }
    said = _user_data(document)
    for name in expected.keys() | said.keys():
        if said.get(name) != expected.get(name):
            raise AttestationError(f"user_data: {name} is {said.get(name)!r}, not {expected.get(name)!r}")
    return document


def _user_data(document: Document) -> dict[str, str]:
    try:
        pairs = json.loads((document.user_data or b"").decode(), object_pairs_hook=list)
        out = dict(pairs)
    except (ValueError, TypeError) as error:
        raise AttestationError(f"user_data is not a JSON object: {error}") from error
    if len(out) != len(pairs):
        raise AttestationError("user_data has a name twice")
    return out
