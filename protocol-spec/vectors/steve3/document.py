"""COSE_Sign1 and the attestation document inside it: checks `cose`, `document` and `signature` (SPEC.md, Section 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from . import cbor
from .codec import DecodeError

PROTECTED = bytes.fromhex("a1013822")  # {1: -35}, ES384
MAX_DOCUMENT = 16384
COSE_DEPTH = 8


@dataclass(frozen=True)
class Sign1:
    protected: bytes
    payload: bytes
    signature: bytes

    def sig_structure(self) -> bytes:
        return cbor.encode(["Signature1", self.protected, b"", self.payload])


def parse_sign1(data: bytes) -> Sign1:
    value = cbor.decode(data, COSE_DEPTH)
    if isinstance(value, cbor.Tag):
        if value.number != 18:
            raise DecodeError(f"tag {value.number}")
        value = value.value
    if not isinstance(value, list) or isinstance(value, cbor.Map) or len(value) != 4:
        raise DecodeError("not an array of 4")
    protected, unprotected, payload, signature = value
    if not isinstance(protected, bytes) or not isinstance(payload, bytes) or not isinstance(signature, bytes):
        raise DecodeError("protected header, payload and signature must be byte strings")
    if protected != PROTECTED:
        raise DecodeError("protected header is not a1 01 38 22")
    if not isinstance(unprotected, cbor.Map) or unprotected:
        raise DecodeError("unprotected header is not an empty map")
    if not 1 <= len(payload) <= MAX_DOCUMENT:
        raise DecodeError("payload length")
    if len(signature) != 96:
        raise DecodeError("signature length")
    return Sign1(protected, payload, signature)


def verify_es384(message: bytes, signature: bytes, key: object) -> bool:
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        return False
    r, s = int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big")
    if r == 0 or s == 0:
        return False
    try:
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        return False
    return True


@dataclass(frozen=True)
class Document:
    module_id: str
    timestamp: int
    pcrs: dict[int, bytes]
    certificate: bytes
    cabundle: tuple[bytes, ...]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise DecodeError(what)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def parse_document(payload: bytes) -> Document:
    value = cbor.decode(payload)
    _require(isinstance(value, cbor.Map), "not a map")
    _require(all(isinstance(key, str) for key, _ in value), "a key is not text")
    fields: dict[str, Any] = value.unique()
    for name in ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"):
        _require(name in fields, f"{name} is missing")

    _require("nitrotpm_pcrs" not in fields, "a document of a NitroTPM")

    module_id, timestamp, pcrs = fields["module_id"], fields["timestamp"], fields["pcrs"]
    _require(isinstance(module_id, str) and 1 <= len(module_id.encode()) <= 256, "module_id")
    _require(fields["digest"] == "SHA384", "digest")
    _require(_is_int(timestamp) and timestamp > 0, "timestamp")
    _require(isinstance(pcrs, cbor.Map) and 1 <= len(pcrs) <= 32, "pcrs")
    _require(all(_is_int(key) and 0 <= key <= 31 for key, _ in pcrs), "PCR index")
    _require(all(isinstance(v, bytes) and len(v) == 48 for _, v in pcrs), "PCR value")

    certificate, cabundle = fields["certificate"], fields["cabundle"]
    _require(_is_certificate(certificate), "certificate")
    _require(isinstance(cabundle, list) and not isinstance(cabundle, cbor.Map), "cabundle")
    _require(1 <= len(cabundle) <= 16 and all(map(_is_certificate, cabundle)), "cabundle")

    optional: dict[str, bytes | None] = {}
    for name, limit in (("public_key", 1024), ("user_data", 512), ("nonce", 512)):
        field = fields.get(name)
        _require(field is None or (isinstance(field, bytes) and len(field) <= limit), name)
        optional[name] = field
    return Document(module_id, timestamp, pcrs.unique(), certificate, tuple(cabundle), **optional)


def _is_certificate(value: object) -> bool:
    return isinstance(value, bytes) and 1 <= len(value) <= 1024
