"""Certificate path validation: check `certificates` (SPEC.md, Section 7)."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

KNOWN_CRITICAL = {ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE}


class PathError(ValueError):
    """The path breaks a rule."""


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise PathError(what)


def _ms(moment: datetime) -> int:
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return delta.days * 86_400_000 + delta.seconds * 1000


def not_after_ms(certificate: x509.Certificate) -> int:
    return _ms(certificate.not_valid_after_utc)


def validate(chain: list[bytes], at: int) -> tuple[x509.Certificate, int]:
    """`chain` goes from the root to the leaf; `at` is in milliseconds. Returns the leaf, and the first notAfter."""
    try:
        certificates = [x509.load_der_x509_certificate(der) for der in chain]
        last = len(certificates) - 1
        for i, certificate in enumerate(certificates):
            _check_signature(certificate, certificates[max(i - 1, 0)])
            _check_one(certificate, at)
            if i == last:
                _check_leaf(certificate)
            else:
                _check_ca(certificate, following_cas=last - i - 1)
    except PathError:
        raise
    except Exception as error:  # the parser has many ways to say no
        raise PathError(f"{type(error).__name__}: {error}") from error
    return certificates[-1], min(map(not_after_ms, certificates))


def _on_p384(certificate: x509.Certificate) -> bool:
    key = certificate.public_key()
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1)


def _check_signature(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    _require(certificate.signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA384, "not ECDSA with SHA-384")
    _require(_on_p384(issuer), "issuer's public key not on P-384")
    _require(certificate.issuer.public_bytes() == issuer.subject.public_bytes(), "issuer is not the predecessor")
    # Names byte for byte, inner and outer algorithm equal, and the signature itself.
    certificate.verify_directly_issued_by(issuer)


def _check_one(certificate: x509.Certificate, at: int) -> None:
    _require(certificate.version == x509.Version.v3, "not X.509 v3")
    _require(_on_p384(certificate), "public key not on P-384")
    _require(_ms(certificate.not_valid_before_utc) <= at <= not_after_ms(certificate), "outside its validity period")
    for extension in certificate.extensions:  # duplicates are refused by the parser
        _require(not extension.critical or extension.oid in KNOWN_CRITICAL, f"critical extension {extension.oid}")


def _constraints(certificate: x509.Certificate) -> x509.BasicConstraints:
    return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value


def _usage(certificate: x509.Certificate) -> x509.KeyUsage:
    return certificate.extensions.get_extension_for_class(x509.KeyUsage).value


def _check_ca(certificate: x509.Certificate, following_cas: int) -> None:
    constraints = _constraints(certificate)
    _require(constraints.ca, "not a CA")
    _require(_usage(certificate).key_cert_sign, "no keyCertSign")
    limit = constraints.path_length
    _require(limit is None or limit >= following_cas, "pathLenConstraint")


def _check_leaf(certificate: x509.Certificate) -> None:
    _require(not _constraints(certificate).ca, "the leaf is a CA")
    _require(_usage(certificate).digital_signature, "no digitalSignature")
