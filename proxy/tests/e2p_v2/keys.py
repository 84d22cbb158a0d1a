"""Suites, transcript and key schedule of STEVE-E2P-V2."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from steve3.kem import XWing, x25519, x25519_public
from wire import WireError

MAGIC = b"STEVE-E2P-V2\x00"
VERSION = 2
CONFIRMATION, APPLICATION = 0, 1
TO_SERVER, TO_CLIENT = 0, 1


class Suite(Protocol):
    name: str
    client_length: int
    server_length: int

    def client_material(self, secret: bytes) -> bytes: ...
    def shared(self, secret: bytes, server_material: bytes) -> bytes: ...


class X25519:
    name, client_length, server_length = "X25519", 32, 32

    def client_material(self, secret: bytes) -> bytes:
        return x25519_public(secret)

    def shared(self, secret: bytes, server_material: bytes) -> bytes:
        out = x25519(secret, server_material)
        if out == bytes(32):
            raise WireError("the server's key gives an all-zero secret")
        return out


class XWingDraft10:
    name, client_length, server_length = "XWING-DRAFT10", 1216, 1120

    def client_material(self, secret: bytes) -> bytes:
        return XWing().public_key(secret)

    def shared(self, secret: bytes, server_material: bytes) -> bytes:
        return XWing().decap(server_material, secret)


SUITES: dict[str, Suite] = {suite.name: suite for suite in (X25519(), XWingDraft10())}


def other_suite(suite: Suite) -> Suite:
    (other,) = (s for s in SUITES.values() if s.name != suite.name)
    return other


def transcript_hash(suite: str, nonce: bytes, client: bytes, server: bytes, session_id: bytes, context: bytes) -> bytes:
    parts = [MAGIC, suite.encode(), b"\x00", nonce, client, server, session_id, context]
    return hashlib.sha256(b"".join(parts)).digest()


def sequence_bytes(sequence: int) -> bytes:
    return sequence.to_bytes(8, "big")


@dataclass(frozen=True)
class Keys:
    session_id: bytes
    key: tuple[bytes, bytes]
    """By direction, as is `iv`."""
    iv: tuple[bytes, bytes]
    binder: bytes

    @classmethod
    def derive(cls, shared: bytes, transcript: bytes, session_id: bytes) -> Keys:
        def expand(label: str, length: int) -> bytes:
            info = b"steve-e2p-v2/" + label.encode()
            return HKDF(hashes.SHA256(), length, transcript, info).derive(shared)

        return cls(
            session_id,
            (expand("c2s-key", 32), expand("s2c-key", 32)),
            (expand("c2s-iv", 4), expand("s2c-iv", 4)),
            expand("attestation-binder", 32),
        )

    def _parameters(self, kind: int, direction: int, sequence: int) -> tuple[AESGCM, bytes, bytes]:
        number = sequence_bytes(sequence)
        aad = MAGIC + bytes([kind, direction]) + self.session_id + number
        return AESGCM(self.key[direction]), self.iv[direction] + number, aad

    def seal(self, kind: int, direction: int, sequence: int, plaintext: bytes) -> bytes:
        aead, nonce, aad = self._parameters(kind, direction, sequence)
        return aead.encrypt(nonce, plaintext, aad)

    def open(self, kind: int, direction: int, sequence: int, ciphertext: bytes) -> bytes:
        aead, nonce, aad = self._parameters(kind, direction, sequence)
        try:
            return aead.decrypt(nonce, ciphertext, aad)
        except InvalidTag as error:
            raise WireError("the ciphertext does not decrypt") from error
