"""Suites (SPEC.md, Section 4): which KEM, which AEAD, which lengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from .kem import DHKEM_X25519, KEMS, XWING, Kem

TAG_LEN = 16
KEY_LEN = 32
NONCE_LEN = 12


class AuthenticationError(ValueError):
    """A ciphertext or tag does not authenticate."""


@dataclass(frozen=True)
class Suite:
    number: int
    name: str
    kem: Kem
    aead: Any

    def seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        self._check(key, nonce)
        out: bytes = self.aead(key).encrypt(nonce, plaintext, aad)
        return out

    def open(self, key: bytes, nonce: bytes, aad: bytes, ciphertext: bytes) -> bytes:
        self._check(key, nonce)
        try:
            out: bytes = self.aead(key).decrypt(nonce, ciphertext, aad)
        except InvalidTag as error:
            raise AuthenticationError("AEAD tag does not verify") from error
        return out

    @staticmethod
    def _check(key: bytes, nonce: bytes) -> None:
        if len(key) != KEY_LEN or len(nonce) != NONCE_LEN:
            raise ValueError("key must have 32 bytes, nonce 12")


SUITES: dict[int, Suite] = {
    0x0001: Suite(0x0001, "X25519/ChaCha20-Poly1305", KEMS[DHKEM_X25519], ChaCha20Poly1305),
    0x0002: Suite(0x0002, "X-Wing/ChaCha20-Poly1305", KEMS[XWING], ChaCha20Poly1305),
    0x0003: Suite(0x0003, "X25519/AES-256-GCM", KEMS[DHKEM_X25519], AESGCM),
    0x0004: Suite(0x0004, "X-Wing/AES-256-GCM", KEMS[XWING], AESGCM),
}
DEFAULT_ALLOWED = (0x0002, 0x0004)
