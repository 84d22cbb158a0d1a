"""The two KEMs: DHKEM(X25519, HKDF-SHA256) of RFC 9180, Section 4.1, and X-Wing (SPEC.md, Appendix A)."""

from __future__ import annotations

import hashlib
import secrets
from typing import Protocol

from cryptography.exceptions import InternalError
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)

from .kdf import labeled_expand, labeled_extract

DHKEM_X25519 = 0x0020
XWING = 0x647A
XWING_LABEL = bytes.fromhex("5c2e2f2f5e5c")
MLKEM_PK = 1184
MLKEM_CT = 1088


class KemError(ValueError):
    """A public key or encapsulation that must be refused."""


class Kem(Protocol):
    kem_id: int
    npk: int
    nenc: int
    nsk: int

    def generate(self) -> bytes: ...
    def public_key(self, sk: bytes) -> bytes: ...
    def encap(self, pk: bytes) -> tuple[bytes, bytes]: ...
    def decap(self, enc: bytes, sk: bytes) -> bytes: ...


def x25519_public(sk: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(sk).public_key().public_bytes_raw()


def x25519(sk: bytes, pk: bytes) -> bytes:
    """The RFC 7748 function. OpenSSL refuses an all-zero result; the function as such returns it."""
    if len(sk) != 32 or len(pk) != 32:
        raise KemError("X25519 keys have 32 bytes")
    private, public = X25519PrivateKey.from_private_bytes(sk), X25519PublicKey.from_public_bytes(pk)
    try:
        return private.exchange(public)
    except ValueError:
        return bytes(32)


class DhKemX25519:
    kem_id, npk, nenc, nsk = DHKEM_X25519, 32, 32, 32

    def generate(self) -> bytes:
        return secrets.token_bytes(32)

    def public_key(self, sk: bytes) -> bytes:
        return x25519_public(sk)

    def encap(self, pk: bytes) -> tuple[bytes, bytes]:
        return self.encap_with(pk, self.generate())

    def encap_with(self, pk: bytes, ephemeral: bytes) -> tuple[bytes, bytes]:
        enc = x25519_public(ephemeral)
        return enc, self._shared(x25519(ephemeral, pk), enc, pk)

    def decap(self, enc: bytes, sk: bytes) -> bytes:
        return self._shared(x25519(sk, enc), enc, x25519_public(sk))

    def _shared(self, dh: bytes, enc: bytes, pk: bytes) -> bytes:
        if dh == bytes(32):
            raise KemError("DH result is all zero (RFC 9180, Section 7.1.4)")
        suite_id = b"KEM" + self.kem_id.to_bytes(2, "big")
        prk = labeled_extract(suite_id, b"", b"eae_prk", dh)
        return labeled_expand(suite_id, prk, b"shared_secret", enc + pk, 32)


class XWing:
    kem_id, npk, nenc, nsk = XWING, MLKEM_PK + 32, MLKEM_CT + 32, 32

    def generate(self) -> bytes:
        return secrets.token_bytes(32)

    def _expand(self, sk: bytes) -> tuple[MLKEM768PrivateKey, bytes]:
        if len(sk) != 32:
            raise KemError("an X-Wing private key has 32 bytes")
        e = hashlib.shake_256(sk).digest(96)
        return MLKEM768PrivateKey.from_seed_bytes(e[:64]), e[64:]

    def public_key(self, sk: bytes) -> bytes:
        dk, sk_x = self._expand(sk)
        return dk.public_key().public_bytes_raw() + x25519_public(sk_x)

    def encap(self, pk: bytes) -> tuple[bytes, bytes]:
        if len(pk) != self.npk:
            raise KemError("an X-Wing public key has 1216 bytes")
        try:
            ek = MLKEM768PublicKey.from_public_bytes(pk[:MLKEM_PK])
        except (ValueError, InternalError) as error:
            raise KemError("ML-KEM encapsulation key check failed") from error
        ss_m, ct_m = ek.encapsulate()
        ephemeral = secrets.token_bytes(32)
        ct_x, pk_x = x25519_public(ephemeral), pk[MLKEM_PK:]
        return ct_m + ct_x, self.combine(ss_m, x25519(ephemeral, pk_x), ct_x, pk_x)

    def decap(self, enc: bytes, sk: bytes) -> bytes:
        if len(enc) != self.nenc:
            raise KemError("an X-Wing ciphertext has 1120 bytes")
        dk, sk_x = self._expand(sk)
        ss_m, ct_x = dk.decapsulate(enc[:MLKEM_CT]), enc[MLKEM_CT:]
        return self.combine(ss_m, x25519(sk_x, ct_x), ct_x, x25519_public(sk_x))

    @staticmethod
    def combine(ss_m: bytes, ss_x: bytes, ct_x: bytes, pk_x: bytes) -> bytes:
        return hashlib.sha3_256(ss_m + ss_x + ct_x + pk_x + XWING_LABEL).digest()


KEMS: dict[int, Kem] = {DHKEM_X25519: DhKemX25519(), XWING: XWing()}
