"""Signed policies (SPEC.md, Section 7.2)."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

REGISTERS = {0, 1, 2, 3, 4, 8, *range(16, 32)}
LABEL = re.compile(r"[\x20-\x7e]{1,64}")
NAMESPACE = re.compile(r"[\x21-\x7e]{1,255}")
PCR = re.compile(r"(?:PCR|pcr)(0|[1-9][0-9]?)")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class PolicyError(Exception):
    """`rule` says which rule is broken first."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"{rule}: {reason}")
        self.rule = rule


@dataclass
class Policy:
    signer: str
    version: int
    sha256: bytes
    expires: int
    trusted_comment: str
    profiles: list[tuple[str | None, dict[int, bytes]]]


def require(rule: str, holds: object, reason: str) -> None:
    if not holds:
        raise PolicyError(rule, reason)


def decode(line: str, length: int) -> bytes:
    try:
        data = base64.b64decode(line, validate=True)
    except ValueError:
        data = b""
    require("form", len(data) == length and base64.b64encode(data) == line.encode(), "base64")
    return data


def public_key(text: str) -> tuple[bytes, Ed25519PublicKey]:
    data = decode(text, 42)
    require("form", data[:2] == b"Ed", "not a public key")
    return data[2:10], Ed25519PublicKey.from_public_bytes(data[10:])


def check_signature(signers: list[str], file: bytes, signature: bytes) -> tuple[bytes, str]:
    """Gives the id of the key, and the trusted comment."""
    require("form", len(file) <= 65536 and len(signature) <= 16384, "too long")
    try:
        lines = signature.decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise PolicyError("form", "not UTF-8") from None
    require("form", len(lines) == 4, "not four lines")
    require("form", lines[0].startswith("untrusted comment: "), "first line")
    require("form", lines[2].startswith("trusted comment: "), "third line")
    comment = lines[2].removeprefix("trusted comment: ")
    first, second = decode(lines[1], 74), decode(lines[3], 64)
    require("form", first[:2] == b"ED", "algorithm")
    keys = dict(public_key(text) for text in signers)
    key = keys.get(first[2:10])
    if key is None:
        raise PolicyError("signature", "unknown signer")
    try:
        key.verify(first[10:], hashlib.blake2b(file).digest())
        key.verify(second, first[10:] + comment.encode())
    except InvalidSignature:
        raise PolicyError("signature", "does not verify") from None
    return first[2:10], comment


class Members(dict[str, Any]):
    """A JSON object, and whether a member occurs twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.twice = len(self) != len(pairs)


def not_json(text: str) -> None:
    raise ValueError(text)


def exactly(value: object, required: set[str], optional: set[str], what: str) -> Members:
    if not isinstance(value, Members):
        raise PolicyError("content", f"{what} is not an object")
    require("content", not value.twice, f"a member of {what} occurs twice")
    require("content", required <= value.keys() <= required | optional, f"members of {what}")
    return value


def integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def parse(file: bytes) -> Members:
    try:
        value = json.loads(file.decode(), object_pairs_hook=Members, parse_constant=not_json)
    except (ValueError, RecursionError) as error:
        raise PolicyError("content", str(error)) from None
    if not isinstance(value, Members) or not integer(value.get("steve_policy")):
        raise PolicyError("content", "not a policy")
    require("content", value["steve_policy"] == 1, "another format")
    return exactly(value, {"steve_policy", "namespace", "version", "expires", "profiles"}, set(), "the policy")


def text(value: object, form: re.Pattern[str], what: str) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise PolicyError("content", what)
    return value


def profile(value: object) -> tuple[str | None, dict[int, bytes]]:
    members = exactly(value, {"pcrs"}, {"label"}, "a profile")
    label = text(members["label"], LABEL, "label") if "label" in members else None
    pcrs = members["pcrs"]
    if not isinstance(pcrs, Members) or pcrs.twice:
        raise PolicyError("content", "pcrs")
    values: dict[int, bytes] = {}
    for name, digits in pcrs.items():
        if name == "HashAlgorithm":
            require("content", digits == "SHA384", "HashAlgorithm")
            continue
        match = PCR.fullmatch(name)
        if not match or int(match[1]) not in REGISTERS or int(match[1]) in values:
            raise PolicyError("content", name)
        values[int(match[1])] = bytes.fromhex(text(digits, re.compile("[0-9a-fA-F]{96}"), name))
        require("content", any(values[int(match[1])]), "all zero")
    require("content", {0, 1, 2} <= values.keys(), "PCR0, PCR1 and PCR2")
    return label, values


def milliseconds(value: object) -> int:
    try:
        time = datetime.strptime(text(value, TIME, "expires"), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise PolicyError("content", str(error)) from None
    require("content", time.year >= 1970, "before 1970")
    return int(time.timestamp()) * 1000


def verify(
    signers: list[str],
    namespace: str,
    minimum: int,
    seen: tuple[int, bytes] | None,
    now: int,
    file: bytes,
    signature: bytes,
) -> Policy:
    key_id, comment = check_signature(signers, file, signature)
    content = parse(file)
    version = content["version"]
    require("content", integer(version) and 1 <= version < 2**53, "version")
    text(content["namespace"], NAMESPACE, "namespace")
    expires = milliseconds(content["expires"])
    profiles = content["profiles"]
    require("content", isinstance(profiles, list) and 1 <= len(profiles) <= 64, "profiles")
    described = [profile(value) for value in profiles]
    require("content", content["namespace"] == namespace, "another namespace")
    require("minimum", version >= minimum, "below the minimum")
    sha256 = hashlib.sha256(file).digest()
    if seen is not None:
        require("record", version > seen[0] or (version, sha256) == seen, "older than the record")
    require("expired", now < expires, "expired")
    signer = f"{int.from_bytes(key_id, 'little'):016X}"
    return Policy(signer, version, sha256, expires, comment, described)


def check_vector(v: Any, mismatch: type[Exception]) -> None:
    """Checks one vector of policy.json."""
    record = None
    if v.get("seen") is not None:
        child = v.child("seen")
        record = (child.number("version"), child.hex("sha256"))
    arguments = (
        v.get("signers"),
        v.get("namespace"),
        v.number("minimum_version"),
        record,
        v.number("now"),
        v.hex("file"),
        v.hex("signature"),
    )
    outcome, expected = v.get("outcome"), v.get("policy")
    try:
        policy = verify(*arguments)
    except PolicyError as error:
        if error.rule != outcome or expected is not None:
            raise mismatch("outcome", outcome, str(error)) from error
        return
    if outcome != "accepted":
        raise mismatch("outcome", outcome, "accepted")
    found = {
        "signer": policy.signer,
        "version": policy.version,
        "sha256": policy.sha256.hex(),
        "expires": policy.expires,
        "trusted_comment": policy.trusted_comment,
        "profiles": [
            {"label": label, "pcrs": {f"pcr{index}": value.hex() for index, value in pcrs.items()}}
            for label, pcrs in policy.profiles
        ],
    }
    if found != expected:
        raise mismatch("policy", expected, found)
