"""Evidence and its appraisal (SPEC.md, Sections 6.3 and 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509

from . import certpath, merkle
from .codec import DecodeError, Reader, opaque, uint
from .document import MAX_DOCUMENT, Document, parse_document, parse_sign1, verify_es384
from .kdf import sha256
from .keyconfig import MAX_LEN as MAX_KEY_CONFIG
from .keyconfig import VERSION, KeyConfig

AWS_ROOT_G1 = bytes.fromhex("641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b")
USER_DATA_PREFIX = b"steve/3 key config"
MAX_EVIDENCE = 196_608
MAX_EVIDENCE_AGE = 300_000
MAX_CLOCK_SKEW = 300_000
MAX_KEY_LIFETIME = 86_400_000
PINNABLE = {0, 1, 2, 3, 4, 8, *range(16, 32)}


@dataclass(frozen=True)
class Evidence:
    key_config: bytes
    document: bytes
    leaf_index: int
    tree_size: int
    path: bytes
    configuration: bytes
    manifest: bytes

    def encode(self) -> bytes:
        top = 2**16 - 1
        head = uint(VERSION, 2) + opaque(self.key_config, 1, top) + opaque(self.document, 1, top)
        tree = uint(self.leaf_index, 4) + uint(self.tree_size, 4) + opaque(self.path, 0, top)
        return head + tree + opaque(self.configuration, 0, top) + opaque(self.manifest, 0, top)

    @classmethod
    def decode(cls, data: bytes) -> Evidence:
        if len(data) > MAX_EVIDENCE:
            raise DecodeError("too large")
        r, top = Reader(data), 2**16 - 1
        if r.uint(2) != VERSION:
            raise DecodeError("Evidence version")
        out = cls(r.opaque(1, top), r.opaque(1, top), r.uint(4), r.uint(4), r.opaque(0, top), r.opaque(0, top), r.opaque(0, top))
        r.end()
        if len(out.key_config) > MAX_KEY_CONFIG or len(out.document) > MAX_DOCUMENT:
            raise DecodeError("key_config or document too large")
        if len(out.path) % 32 or len(out.path) > 32 * merkle.MAX_PATH:
            raise DecodeError("path is not at most 16 hashes")
        return out


class AppraisalError(ValueError):
    """`check` is the identifier of the first check that failed."""

    def __init__(self, check: str, reason: str) -> None:
        super().__init__(f"{check}: {reason}")
        self.check = check


@dataclass(frozen=True)
class Profile:
    """Expected PCR values (Section 7.1)."""

    pcrs: dict[int, bytes]

    def __post_init__(self) -> None:
        if not {0, 1, 2} <= self.pcrs.keys() or not self.pcrs.keys() <= PINNABLE:
            raise ValueError("a profile needs PCR0 to PCR2 and may name PCR3, 4, 8 and 16 to 31")
        if any(len(v) != 48 or v == bytes(48) for v in self.pcrs.values()):
            raise ValueError("a PCR value has 48 bytes and is not all zero")

    def satisfied_by(self, pcrs: dict[int, bytes]) -> bool:
        return all(pcrs.get(index) == value for index, value in self.pcrs.items())


@dataclass(frozen=True)
class Appraised:
    key_config: KeyConfig
    key_config_hash: bytes
    document: Document
    configuration: bytes
    manifest: bytes
    valid_until: int | None  # on the client's clock; None: unchallenged, no verified enclave, must not start a handshake

    @property
    def fresh(self) -> bool:
        return self.valid_until is not None

    def valid_at(self, now: int) -> bool:
        return self.valid_until is not None and now < self.valid_until


def _require(condition: bool, check: str, reason: str) -> None:
    if not condition:
        raise AppraisalError(check, reason)


def appraise(
    encoded: bytes,
    challenge: bytes | None,
    sent: int | None,
    now: int,
    root_sha256: bytes,
    profiles: Sequence[Profile],
    max_evidence_age: int = MAX_EVIDENCE_AGE,
    max_clock_skew: int = MAX_CLOCK_SKEW,
) -> Appraised:
    """`sent` is when the challenge was sent, `now` when the evidence is appraised, both on the client's clock."""
    if (challenge is None) != (sent is None):
        raise ValueError("a challenge has a time when it was sent, and nothing else has")
    if not profiles:
        raise ValueError("a policy without profiles")
    try:
        evidence = Evidence.decode(encoded)
        config = KeyConfig.decode(evidence.key_config)
    except DecodeError as error:
        raise AppraisalError("encoding", str(error)) from error
    try:
        sign1 = parse_sign1(evidence.document)
    except DecodeError as error:
        raise AppraisalError("cose", str(error)) from error
    try:
        document = parse_document(sign1.payload)
    except DecodeError as error:
        raise AppraisalError("document", str(error)) from error

    _require(sha256(document.cabundle[0]) == root_sha256, "root", "not the trust anchor")
    try:
        leaf, path_end = certpath.validate(
            [*document.cabundle, document.certificate], max(now, document.timestamp)
        )
    except certpath.PathError as error:
        raise AppraisalError("certificates", str(error)) from error
    signed = verify_es384(sign1.sig_structure(), sign1.signature, leaf.public_key())
    _require(signed, "signature", "does not verify")
    in_time = now - max_evidence_age <= document.timestamp <= now + max_clock_skew
    _require(in_time, "timestamp", f"{document.timestamp} against now = {now}")
    _check_nonce(evidence, document, challenge)
    key_config_hash = sha256(evidence.key_config)
    _require(document.user_data == USER_DATA_PREFIX + key_config_hash, "key-config", "user_data differs")
    valid_until = _check_lifetime(document, config, path_end, sent, now, max_evidence_age)
    _require(sha256(evidence.configuration) == config.configuration_hash, "configuration", "hash differs")
    _require(sha256(evidence.manifest) == config.manifest_hash, "manifest", "hash differs")
    measured = all(document.pcrs.get(i, bytes(48)) != bytes(48) for i in range(3))
    _require(measured, "debug-mode", "PCR0, PCR1 or PCR2 is absent or zero")
    _require(any(p.satisfied_by(document.pcrs) for p in profiles), "policy", "no profile is satisfied")

    return Appraised(config, key_config_hash, document, evidence.configuration, evidence.manifest, valid_until)


def _check_lifetime(
    document: Document, config: KeyConfig, path_end: int, sent: int | None, now: int, max_evidence_age: int
) -> int | None:
    """Until when the verified enclave is valid, if there is one."""
    keys_left = config.not_after - document.timestamp
    _require(0 < keys_left <= MAX_KEY_LIFETIME, "key-lifetime", f"not_after is {keys_left} ms after timestamp")
    if sent is None:
        return None
    valid_until = sent + min(max_evidence_age, keys_left, path_end - document.timestamp)
    _require(now < valid_until, "key-lifetime", f"validity ended at {valid_until}, now = {now}")
    return valid_until


def _check_nonce(evidence: Evidence, document: Document, challenge: bytes | None) -> None:
    if challenge is None:
        empty = (evidence.leaf_index, evidence.tree_size, evidence.path) == (0, 0, b"")
        _require(empty, "nonce", "unchallenged evidence with a leaf")
        return
    proven = document.nonce is not None and merkle.verify(
        challenge, evidence.leaf_index, evidence.tree_size, evidence.path, document.nonce
    )
    _require(proven, "nonce", "the challenge is not in the tree")
