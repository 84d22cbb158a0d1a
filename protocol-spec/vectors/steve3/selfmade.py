"""Makes evidence under a root of its own, for the self-test: a stand-in for the NSM."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from . import cbor, merkle
from .evidence import USER_DATA_PREFIX, Evidence
from .kdf import sha256
from .keyconfig import KeyConfig, KeyEntry
from .suites import SUITES

START = datetime(2025, 1, 1, tzinfo=UTC)
NOW = int(START.timestamp() * 1000) + 3_600_000
USAGE = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
PCRS = {i: bytes([i + 1]) * 48 for i in range(3)} | {3: bytes(48), 4: b"\x44" * 48}


@dataclass
class Options:
    """What a certificate should look like; the defaults are right."""

    ca: bool | None = True  # None: no basicConstraints
    path_length: int | None = None
    usage: str | None = "key_cert_sign"
    start: datetime = START
    end: datetime = START + timedelta(days=1)
    hash: Any = field(default_factory=hashes.SHA384)
    curve: Any = field(default_factory=ec.SECP384R1)
    critical_unknown: bool = False
    issuer: str | None = None


@dataclass
class Issued:
    name: str
    key: ec.EllipticCurvePrivateKey
    der: bytes


def issue(name: str, issuer: Issued | None, o: Options) -> Issued:
    key = ec.generate_private_key(o.curve)
    issuer_name = o.issuer or (issuer.name if issuer else name)
    builder = x509.CertificateBuilder(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer_name)]),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
        key.public_key(), x509.random_serial_number(), o.start, o.end,
    )  # fmt: skip
    if o.ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(o.ca, o.path_length), critical=True)
    if o.usage is not None:
        builder = builder.add_extension(x509.KeyUsage(**{u: u == o.usage for u in USAGE}), critical=True)
    if o.critical_unknown:
        unknown = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00")
        builder = builder.add_extension(unknown, critical=True)
    certificate = builder.sign(issuer.key if issuer else key, o.hash)
    return Issued(name, key, certificate.public_bytes(Encoding.DER))


def make_chain(root: Options | None = None, middle: Options | None = None, leaf: Options | None = None) -> list[Issued]:
    first = issue("root", None, root or Options())
    second = issue("middle", first, middle or Options(path_length=0))
    return [first, second, issue("leaf", second, leaf or Options(ca=False, usage="digital_signature"))]


def make_keys() -> tuple[tuple[KeyEntry, ...], dict[int, bytes]]:
    """A key pair for each KEM, shared by its suites."""
    by_kem = {kem: SUITES[suite].kem.generate() for kem, suite in ((0x0020, 1), (0x647A, 2))}
    ids = {kem: secrets.token_bytes(8) for kem in by_kem}
    entries = tuple(KeyEntry(ids[s.kem.kem_id], n, s.kem.public_key(by_kem[s.kem.kem_id])) for n, s in sorted(SUITES.items()))
    return entries, {n: by_kem[s.kem.kem_id] for n, s in SUITES.items()}


def sign(key: ec.EllipticCurvePrivateKey, payload: bytes, protected: bytes = b"\xa1\x01\x38\x22") -> bytes:
    der = key.sign(cbor.encode(["Signature1", protected, b"", payload]), ec.ECDSA(hashes.SHA384()))
    r, s = decode_dss_signature(der)
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")


def make_config(keys: tuple[KeyEntry, ...], configuration: bytes, manifest: bytes, not_after: int) -> KeyConfig:
    return KeyConfig(1, not_after, bytes(16), sha256(manifest), sha256(configuration), keys)


@dataclass
class Maker:
    """Makes evidence; `fields` and the like override what would be right."""

    chain: list[Issued]
    keys: tuple[KeyEntry, ...]
    timestamp: int = NOW
    not_after: int = NOW + 600_000
    pcrs: dict[int, bytes] = field(default_factory=lambda: dict(PCRS))
    fields: dict[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    protected: bytes = b"\xa1\x01\x38\x22"
    unprotected: Any = field(default_factory=dict)
    tag: int | None = None

    @property
    def root_sha256(self) -> bytes:
        return sha256(self.chain[0].der)

    def document(self, key_config: bytes, nonce: bytes | None) -> bytes:
        value: dict[Any, Any] = {
            "module_id": "i-0-enc0", "digest": "SHA384", "timestamp": self.timestamp, "pcrs": self.pcrs,
            "certificate": self.chain[-1].der, "cabundle": [c.der for c in self.chain[:-1]],
            "public_key": None, "user_data": USER_DATA_PREFIX + sha256(key_config), "nonce": nonce,
        }  # fmt: skip
        value = {k: v for k, v in {**value, **self.fields}.items() if k not in self.without}
        payload = cbor.encode(value)
        parts = [self.protected, self.unprotected, payload, sign(self.chain[-1].key, payload, self.protected)]
        return cbor.encode(parts if self.tag is None else cbor.Tag(self.tag, parts))

    def evidence(self, challenges: list[bytes], index: int = 0, configuration: bytes = b"{}", manifest: bytes = b"m") -> Evidence:
        config = make_config(self.keys, configuration, manifest, self.not_after).encode()
        if not challenges:
            return Evidence(config, self.document(config, None), 0, 0, b"", configuration, manifest)
        document = self.document(config, merkle.root(challenges))
        path = b"".join(merkle.path(index, challenges))
        return Evidence(config, document, index, len(challenges), path, configuration, manifest)
