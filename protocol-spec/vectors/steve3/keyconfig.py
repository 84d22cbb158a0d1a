"""Key configuration (SPEC.md, Section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from .codec import DecodeError, Reader, opaque, uint
from .kdf import sha256
from .suites import SUITES

VERSION = 0x0003
MAX_LEN = 8192


@dataclass(frozen=True)
class KeyEntry:
    key_id: bytes
    suite: int
    public_key: bytes


@dataclass(frozen=True)
class KeyConfig:
    epoch: int
    not_after: int
    instance: bytes
    manifest_hash: bytes
    configuration_hash: bytes
    keys: tuple[KeyEntry, ...]

    def encode(self) -> bytes:
        entries = b"".join(e.key_id + uint(e.suite, 2) + opaque(e.public_key, 1, 2**16 - 1) for e in self.keys)
        head = uint(VERSION, 2) + uint(self.epoch, 8) + uint(self.not_after, 8)
        return head + self.instance + self.manifest_hash + self.configuration_hash + opaque(entries, 1, 2**16 - 1)

    def hash(self) -> bytes:
        return sha256(self.encode())

    def entry(self, suite: int) -> KeyEntry:
        for e in self.keys:
            if e.suite == suite:
                return e
        raise LookupError(f"suite {suite:#06x} is not in the key configuration")

    @classmethod
    def decode(cls, data: bytes) -> KeyConfig:
        if len(data) > MAX_LEN:
            raise DecodeError(f"KeyConfig of {len(data)} bytes")
        r = Reader(data)
        if r.uint(2) != VERSION:
            raise DecodeError("KeyConfig version")
        epoch, not_after = r.uint(8), r.uint(8)
        instance, manifest_hash, configuration_hash = r.take(16), r.take(32), r.take(32)
        inner = Reader(r.opaque(1, 2**16 - 1))
        r.end()
        keys: list[KeyEntry] = []
        while inner.remaining():
            keys.append(KeyEntry(inner.take(8), inner.uint(2), inner.opaque(1, 2**16 - 1)))
        config = cls(epoch, not_after, instance, manifest_hash, configuration_hash, tuple(keys))
        config.check()
        return config

    def check(self) -> None:
        if not self.keys:
            raise DecodeError("no key entry")
        if self.epoch < 1:
            raise DecodeError("epochs start at 1")
        if any(a.suite >= b.suite for a, b in pairwise(self.keys)):
            raise DecodeError("suites are not strictly ascending")
        by_id: dict[bytes, bytes] = {}
        for e in self.keys:
            if e.suite not in SUITES:
                raise DecodeError(f"unknown suite {e.suite:#06x}")
            if len(e.public_key) != SUITES[e.suite].kem.npk:
                raise DecodeError(f"public key of {len(e.public_key)} bytes for suite {e.suite:#06x}")
            if by_id.setdefault(e.key_id, e.public_key) != e.public_key:
                raise DecodeError("one key_id for two public keys")
