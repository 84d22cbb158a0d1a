"""HPKE base mode (RFC 9180, Section 5.1), used only through Export (Section 5.3)."""

from __future__ import annotations

from dataclasses import dataclass

from .kdf import labeled_expand, labeled_extract
from .kem import Kem

MODE_BASE = b"\x00"
KDF_HKDF_SHA256 = 0x0001
AEAD_EXPORT_ONLY = 0xFFFF


@dataclass(frozen=True)
class Context:
    suite_id: bytes
    exporter_secret: bytes

    def export(self, context: bytes, length: int) -> bytes:
        return labeled_expand(self.suite_id, self.exporter_secret, b"sec", context, length)


def key_schedule(kem_id: int, shared_secret: bytes, info: bytes, aead_id: int = AEAD_EXPORT_ONLY) -> Context:
    """KeySchedule with mode_base: psk and psk_id are empty. The AEAD key and base nonce are never needed."""
    suite_id = b"HPKE" + b"".join(n.to_bytes(2, "big") for n in (kem_id, KDF_HKDF_SHA256, aead_id))
    psk_id_hash = labeled_extract(suite_id, b"", b"psk_id_hash", b"")
    info_hash = labeled_extract(suite_id, b"", b"info_hash", info)
    context = MODE_BASE + psk_id_hash + info_hash
    secret = labeled_extract(suite_id, shared_secret, b"secret", b"")
    return Context(suite_id, labeled_expand(suite_id, secret, b"exp", context, 32))


def setup_base_s(kem: Kem, pk: bytes, info: bytes) -> tuple[bytes, Context]:
    enc, shared_secret = kem.encap(pk)
    return enc, key_schedule(kem.kem_id, shared_secret, info)


def setup_base_r(kem: Kem, enc: bytes, sk: bytes, info: bytes) -> Context:
    return key_schedule(kem.kem_id, kem.decap(enc, sk), info)
