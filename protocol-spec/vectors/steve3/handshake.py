"""Handshake and key schedule (SPEC.md, Section 8), both ends."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, replace

from . import frames, hpke
from .codec import DecodeError, Reader, uint
from .frames import TrafficKey
from .kdf import hkdf_expand, hkdf_extract, sha256
from .kem import KemError
from .keyconfig import VERSION, KeyEntry
from .suites import SUITES, Suite

EARLY_NONE, EARLY_OFFERED = 0, 1
EARLY_ACCEPTED, EARLY_REJECTED = 1, 2
MAX_SESSION_LIFETIME = 86_400  # seconds
KIND_HELLO, KIND_OPEN, KIND_SERVER_HELLO = 1, 2, 3


class HandshakeError(ValueError):
    """The handshake fails; all keys are to be erased."""


@dataclass(frozen=True)
class ClientHello:
    suite: int
    early_data: int
    key_id: bytes
    enc: bytes
    epk: bytes

    def encode(self) -> bytes:
        return self.head_for(self.suite, self.early_data) + self.key_id + self.enc + self.epk

    @staticmethod
    def head_for(suite: int, early_data: int) -> bytes:
        return uint(KIND_HELLO, 1) + uint(VERSION, 2) + uint(suite, 2) + uint(early_data, 1)

    @classmethod
    def read(cls, r: Reader) -> ClientHello:
        if r.uint(1) != KIND_HELLO or r.uint(2) != VERSION:
            raise DecodeError("kind or version of ClientHello")
        suite, early_data = r.uint(2), r.uint(1)
        if suite not in SUITES or early_data not in (EARLY_NONE, EARLY_OFFERED):
            raise DecodeError("suite or early_data of ClientHello")
        kem = SUITES[suite].kem
        return cls(suite, early_data, r.take(8), r.take(kem.nenc), r.take(kem.npk))


@dataclass(frozen=True)
class ServerHello:
    session_id: bytes
    enc2: bytes
    early_data: int
    session_lifetime: int
    idle_timeout: int
    max_head_size: int
    max_streams: int
    confirm: bytes

    def without_confirm(self) -> bytes:
        limits = uint(self.session_lifetime, 4) + uint(self.idle_timeout, 4) + uint(self.max_head_size, 4)
        head = uint(KIND_SERVER_HELLO, 1) + self.session_id + self.enc2 + uint(self.early_data, 1)
        return head + limits + uint(self.max_streams, 2)

    def encode(self) -> bytes:
        return self.without_confirm() + self.confirm

    @classmethod
    def read(cls, r: Reader, suite: Suite) -> ServerHello:
        if r.uint(1) != KIND_SERVER_HELLO:
            raise DecodeError("kind of ServerHello")
        session_id, enc2, early = r.take(16), r.take(suite.kem.nenc), r.uint(1)
        return cls(session_id, enc2, early, r.uint(4), r.uint(4), r.uint(4), r.uint(2), r.take(16))

    def check(self, offered: int) -> None:
        if self.early_data not in ((EARLY_ACCEPTED, EARLY_REJECTED) if offered else (EARLY_NONE,)):
            raise HandshakeError(f"early_data {self.early_data} in answer to {offered}")
        if min(self.session_lifetime, self.idle_timeout, self.max_streams) < 1:
            raise HandshakeError("a limit is zero")
        if self.session_lifetime > MAX_SESSION_LIFETIME:
            raise HandshakeError("session_lifetime")
        if not 1024 <= self.max_head_size <= 65536:
            raise HandshakeError("max_head_size")


@dataclass(frozen=True)
class EarlySecrets:
    thc: bytes
    salt: bytes
    early: TrafficKey


@dataclass(frozen=True)
class SessionSecrets:
    th1: bytes
    ikm: bytes
    master: bytes
    c2s: TrafficKey
    s2c: TrafficKey
    exporter_secret: bytes

    def session_binding(self) -> bytes:
        return hkdf_expand(self.exporter_secret, b"steve/3 app session", 32)

    def confirm(self) -> bytes:
        number = frames.nonce(self.s2c.iv, frames.CONFIRM_STREAM_ID, frames.RESERVED_FRAME_NUMBER)
        return self.s2c.suite.seal(self.s2c.key, number, self.th1, b"")


def compute_th0(key_config_hash: bytes, suite: int, key_id: bytes, epk: bytes) -> bytes:
    return sha256(b"steve/3 th0" + key_config_hash + uint(VERSION, 2) + uint(suite, 2) + key_id + epk)


def early_secrets(suite: Suite, e: hpke.Context, th0: bytes, hello: bytes) -> EarlySecrets:
    thc = sha256(th0 + hello)
    secret = e.export(b"steve/3 early traffic" + thc, 32)
    key, iv = hkdf_expand(secret, b"steve/3 early key", 32), hkdf_expand(secret, b"steve/3 early iv", 12)
    return EarlySecrets(thc, e.export(b"steve/3 early", 32), TrafficKey(suite, key, iv))


def session_secrets(suite: Suite, salt: bytes, s: hpke.Context, thc: bytes, server_hello: bytes) -> SessionSecrets:
    """`server_hello` is without confirm."""
    th1 = sha256(b"steve/3 th1" + thc + server_hello)
    ikm = s.export(b"steve/3 session", 32)
    master = hkdf_extract(salt, ikm)

    def derive(label: bytes, length: int) -> bytes:
        return hkdf_expand(master, b"steve/3 " + label + th1, length)

    c2s = TrafficKey(suite, derive(b"c2s key", 32), derive(b"c2s iv", 12))
    s2c = TrafficKey(suite, derive(b"s2c key", 32), derive(b"s2c iv", 12))
    return SessionSecrets(th1, ikm, master, c2s, s2c, derive(b"exporter", 32))


class Client:
    """One handshake. The ephemeral key and enc are used once."""

    def __init__(self, entry: KeyEntry, key_config_hash: bytes, early_data: int = EARLY_NONE) -> None:
        self.suite = SUITES[entry.suite]
        kem = self.suite.kem
        self.esk = kem.generate()
        epk = kem.public_key(self.esk)
        th0 = compute_th0(key_config_hash, entry.suite, entry.key_id, epk)
        enc, e = hpke.setup_base_s(kem, entry.public_key, b"steve/3 hello" + th0)
        self.hello = ClientHello(entry.suite, early_data, entry.key_id, enc, epk)
        self.secrets = early_secrets(self.suite, e, th0, self.hello.encode())

    def finish(self, r: Reader) -> tuple[ServerHello, SessionSecrets]:
        """Reads the ServerHello from `r` and leaves what follows it."""
        try:
            server = ServerHello.read(r, self.suite)
            info = b"steve/3 reply" + self.secrets.thc
            s = hpke.setup_base_r(self.suite.kem, server.enc2, self.esk, info)
        except (DecodeError, KemError) as error:
            raise HandshakeError(str(error)) from error
        keys = session_secrets(self.suite, self.secrets.salt, s, self.secrets.thc, server.without_confirm())
        if not hmac.compare_digest(keys.confirm(), server.confirm):
            raise HandshakeError("confirm does not verify")
        server.check(self.hello.early_data)
        return server, keys


def accept(
    hello: ClientHello, entry: KeyEntry, private_key: bytes, key_config_hash: bytes, answer: ServerHello
) -> tuple[ServerHello, EarlySecrets, SessionSecrets]:
    """The proxy's side. `answer` holds the limits; session_id, enc2 and confirm are filled in."""
    suite = SUITES[hello.suite]
    th0 = compute_th0(key_config_hash, hello.suite, hello.key_id, hello.epk)
    e = hpke.setup_base_r(suite.kem, hello.enc, private_key, b"steve/3 hello" + th0)
    early = early_secrets(suite, e, th0, hello.encode())
    enc2, s = hpke.setup_base_s(suite.kem, hello.epk, b"steve/3 reply" + early.thc)
    answer = replace(answer, session_id=secrets.token_bytes(16), enc2=enc2)
    keys = session_secrets(suite, early.salt, s, early.thc, answer.without_confirm())
    return replace(answer, confirm=keys.confirm()), early, keys
