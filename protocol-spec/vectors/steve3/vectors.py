"""Checks of the test vectors, one function per file; README.md describes the files.

A checker takes one vector and raises Mismatch when something in it is not as SPEC.md says. `Vector` notes which
fields have been used, so that a field nobody checks is reported as well.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from . import evidence, heads, merkle, policy
from .codec import DecodeError
from .frames import Opener, Sealer, TrafficKey
from .keyconfig import KeyConfig
from .padding import Policy, direction
from .stream import Receiver, StreamError
from .suites import SUITES, AuthenticationError

T = TypeVar("T")
REMARKS = {"name", "description", "comment", "note", "reason"}


class Mismatch(Exception):
    def __init__(self, field: str, expected: object, got: object) -> None:
        super().__init__(f"field {field}: expected {shown(expected)}, got {shown(got)}")


def shown(value: object) -> str:
    text = value.hex() if isinstance(value, (bytes, bytearray)) else repr(value)
    return text if len(text) <= 200 else f"{text[:160]}… ({len(text)} characters)"


class Vector:
    def __init__(self, data: object, prefix: str = "") -> None:
        if not isinstance(data, dict):
            raise Mismatch(prefix or "vector", "an object", data)
        self.data: dict[str, Any] = data
        self.prefix = prefix
        self.used: set[str] = set()

    def has(self, name: str) -> bool:
        return name in self.data

    def get(self, name: str) -> Any:
        if name not in self.data:
            raise Mismatch(self.prefix + name, "to be present", "absent")
        self.used.add(name)
        return self.data[name]

    def hex(self, name: str) -> bytes:
        value = self.get(name)
        try:
            out = bytes.fromhex(value)
        except (TypeError, ValueError):
            raise Mismatch(self.prefix + name, "hexadecimal", value) from None
        if out.hex() != value:
            raise Mismatch(self.prefix + name, "lower-case hexadecimal without spaces", value)
        return out

    def number(self, name: str) -> int:
        value = self.get(name)
        if isinstance(value, str) and value.isdecimal():
            return int(value)  # numbers that JSON readers may round
        if not isinstance(value, int) or isinstance(value, bool):
            raise Mismatch(self.prefix + name, "an integer", value)
        return value

    def items(self, name: str) -> list[Vector]:
        value = self.get(name)
        if not isinstance(value, list):
            raise Mismatch(self.prefix + name, "a list", value)
        return [Vector(entry, f"{self.prefix}{name}[{i}].") for i, entry in enumerate(value)]

    def child(self, name: str) -> Vector:
        return Vector(self.get(name), f"{self.prefix}{name}.")

    def expect(self, name: str, got: object) -> None:
        """The vector's value, of whatever kind, must be `got`."""
        if isinstance(got, (bytes, bytearray)):
            wanted: object = self.hex(name)
        elif isinstance(got, int) and not isinstance(got, bool):
            wanted = self.number(name)
        else:
            wanted = self.get(name)
        if wanted != got:
            raise Mismatch(self.prefix + name, wanted, got)

    def is_error(self) -> bool:
        """Negative vectors carry `error: true`."""
        if not self.has("error"):
            return False
        if self.get("error") is not True:
            raise Mismatch(self.prefix + "error", True, self.data["error"])
        return True

    def done(self) -> None:
        left = self.data.keys() - self.used - REMARKS
        if left:
            raise Mismatch(self.prefix + ", ".join(sorted(left)), "a field that README.md describes", "unknown")


def refused(what: str, action: Callable[[], object], *errors: type[Exception]) -> None:
    try:
        got = action()
    except errors:
        return
    raise Mismatch(what, "to be refused", f"accepted as {shown(got)}")


def accepted(what: str, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except (DecodeError, AuthenticationError, StreamError) as error:
        raise Mismatch(what, "to be accepted", f"{type(error).__name__}: {error}") from error


def check_aead(v: Vector) -> None:
    suite = SUITES[v.number("suite")]
    key, nonce, aad, ciphertext = (v.hex(name) for name in ("key", "nonce", "aad", "ciphertext"))
    if v.is_error():
        refused("ciphertext", lambda: suite.open(key, nonce, aad, ciphertext), AuthenticationError)
        v.used.add("plaintext")
        return
    v.expect("ciphertext", suite.seal(key, nonce, aad, v.hex("plaintext")))
    v.expect("plaintext", accepted("ciphertext", lambda: suite.open(key, nonce, aad, ciphertext)))


def check_key_config(v: Vector) -> None:
    encoded = v.hex("encoded")
    if v.is_error():
        refused("encoded", lambda: KeyConfig.decode(encoded), DecodeError)
        return
    config: KeyConfig = accepted("encoded", lambda: KeyConfig.decode(encoded))
    for name in ("epoch", "not_after", "instance", "manifest_hash", "configuration_hash"):
        v.expect(name, getattr(config, name))
    entries = v.items("keys")
    if len(entries) != len(config.keys):
        raise Mismatch("keys", len(entries), len(config.keys))
    for entry, key in zip(entries, config.keys, strict=True):
        for name in ("key_id", "suite", "public_key"):
            entry.expect(name, getattr(key, name))
        entry.done()
    v.expect("encoded", config.encode())
    v.expect("hash", config.hash())


def check_merkle(v: Vector) -> None:
    root = v.hex("root")
    if not v.has("challenges"):
        valid = v.get("valid")
        got = merkle.verify(v.hex("challenge"), v.number("leaf_index"), v.number("tree_size"), v.hex("path"), root)
        if got is not valid:
            raise Mismatch("valid", valid, got)
        return
    challenges, paths = [bytes.fromhex(c) for c in v.get("challenges")], [bytes.fromhex(p) for p in v.get("paths")]
    v.expect("root", merkle.root(challenges))
    if len(paths) != len(challenges):
        raise Mismatch("paths", f"{len(challenges)} paths", len(paths))
    for i, (challenge, path) in enumerate(zip(challenges, paths, strict=True)):
        made = b"".join(merkle.path(i, challenges))
        if path != made:
            raise Mismatch(f"paths[{i}]", path, made)
        if not merkle.verify(challenge, i, len(challenges), path, root):
            raise Mismatch(f"paths[{i}]", "a valid proof", "not accepted")
        if merkle.verify(bytes(b ^ 1 for b in challenge), i, len(challenges), path, root):
            raise Mismatch(f"paths[{i}]", "no proof for another challenge", "accepted")


def read_profile(v: Vector) -> evidence.Profile:
    out = evidence.Profile({int(name.removeprefix("pcr")): v.hex(name) for name in v.data if name.startswith("pcr")})
    v.done()
    return out


def optional(v: Vector, name: str, read: Callable[[str], T]) -> T | None:
    return None if v.get(name) is None else read(name)


def check_evidence(v: Vector) -> None:
    encoded, now = v.hex("evidence"), v.number("now")
    challenge, sent = optional(v, "challenge", v.hex), optional(v, "sent", v.number)
    profiles = [read_profile(p) for p in v.items("profiles")]
    root, age, skew = v.hex("root_sha256"), v.number("max_evidence_age"), v.number("max_clock_skew")
    outcome, valid_until = v.get("outcome"), optional(v, "valid_until", v.number)
    if outcome != "verified" and valid_until is not None:
        raise Mismatch("valid_until", "null unless verified", valid_until)
    try:
        appraised = evidence.appraise(encoded, challenge, sent, now, root, profiles, age, skew)
    except evidence.AppraisalError as error:
        if error.check != outcome:
            raise Mismatch("outcome", outcome, str(error)) from error
        return
    if outcome != "verified":
        raise Mismatch("outcome", outcome, "verified")
    again = evidence.Evidence.decode(encoded).encode()
    if again != encoded:
        raise Mismatch("evidence", encoded, again)
    if appraised.valid_until != valid_until:
        raise Mismatch("valid_until", valid_until, appraised.valid_until)
    sent_or_now = now if sent is None else sent
    others = {
        "challenge": (encoded, bytes(32), sent_or_now, now, root),
        "anchor": (encoded, challenge, sent, now, bytes(32)),
        "last byte": (encoded[:-1] + bytes([encoded[-1] ^ 1]), challenge, sent, now, root),
        "time": (encoded, challenge, sent, appraised.document.timestamp - skew - 1, root),
    }
    if valid_until is not None:
        others["time, at the end of its validity,"] = (encoded, challenge, sent, valid_until, root)
    for what, (e, c, s, at, anchor) in others.items():
        attempt = functools.partial(evidence.appraise, e, c, s, at, anchor, profiles, age, skew)
        refused(f"evidence with another {what}", attempt, evidence.AppraisalError)


def check_policy(v: Vector) -> None:
    policy.check_vector(v, Mismatch)


def traffic_of(v: Vector) -> TrafficKey:
    return TrafficKey(SUITES[v.number("suite")], v.hex("key"), v.hex("iv"))


def check_frames(v: Vector) -> None:
    traffic, stream_id = traffic_of(v), v.number("stream_id")
    if v.is_error():
        first = v.number("frame_number") if v.has("frame_number") else 0
        check_refused_frames(traffic, stream_id, first, v.hex("sealed"))
        return
    for entry in v.items("frames"):
        sealed, number = entry.hex("sealed"), entry.number("frame_number")
        if entry.is_error():
            check_refused_frames(traffic, stream_id, number, sealed)
            continue
        check_frame(entry, traffic, stream_id, number, sealed)
        entry.done()


def check_frame(entry: Vector, traffic: TrafficKey, stream_id: int, number: int, sealed: bytes) -> None:
    opener = Opener(traffic, stream_id, number)
    opener.feed(sealed)
    frame = accepted(entry.prefix + "sealed", opener.next)
    if frame is None or opener.buffer:
        raise Mismatch(entry.prefix + "sealed", "exactly one frame", "another length")
    for name in ("type", "content", "padding"):
        entry.expect(name, getattr(frame, name))
    entry.expect("sealed", Sealer(traffic, stream_id, number).seal(frame.type, frame.content, frame.padding))


def check_refused_frames(traffic: TrafficKey, stream_id: int, number: int, sealed: bytes) -> None:
    """Refused as a frame, or as a stream in either direction (wrong order, or truncated)."""
    opener = Opener(traffic, stream_id, number)
    opener.feed(sealed)
    try:
        while opener.next() is not None:
            pass
    except (DecodeError, AuthenticationError):
        return
    for is_request in (True, False):
        receiver = Receiver(traffic, stream_id, is_request)
        receiver.opener.frame_number = number

        def whole(receiver: Receiver = receiver) -> object:
            receiver.feed(sealed)
            return receiver.end()

        refused("sealed", whole, StreamError)


def fields_of(v: Vector, name: str) -> heads.Fields:
    return [(line[0].encode("ascii"), bytes.fromhex(line[1])) for line in v.get(name)]


def expect_head(v: Vector, head: heads.RequestHead | heads.ResponseHead) -> None:
    if isinstance(head, heads.RequestHead):
        for name in ("method", "scheme", "authority", "path"):
            v.expect(name, getattr(head, name).decode("ascii"))
    else:
        v.expect("status", head.status)
    expect_fields(v, "fields", head.fields)


def expect_fields(v: Vector, name: str, got: heads.Fields) -> None:
    wanted = fields_of(v, name)
    if wanted != got:
        raise Mismatch(v.prefix + name, wanted, got)


def check_order(v: Vector) -> None:
    """All frames are accepted, or all but the last."""
    kind, asked, sealed = v.get("kind"), v.get("asked_upgrade"), v.get("frames")
    if kind not in ("request", "response") or not isinstance(asked, bool) or not isinstance(sealed, list) or not sealed:
        raise Mismatch("kind, asked_upgrade, frames", "a kind, a boolean, frames", (kind, asked, sealed))
    receiver = Receiver(traffic_of(v), v.number("stream_id"), kind == "request", may_upgrade=asked)
    *before, last = map(bytes.fromhex, sealed)
    for frame in before:
        accepted("frames", lambda frame=frame: receiver.feed(frame))
    if v.is_error():
        refused("the last of frames", lambda: receiver.feed(last), StreamError)
        return
    accepted("frames", lambda: receiver.feed(last))
    accepted("frames", receiver.end)


def check_padding(v: Vector) -> None:
    """Either buckets of lengths, or the lengths of the frames of a direction."""
    policy = Policy(v.get("policy"))
    if v.has("lengths"):
        lengths, buckets = v.get("lengths"), v.get("buckets")
        if [policy.bucket(n) for n in lengths] != buckets:
            raise Mismatch("buckets", [policy.bucket(n) for n in lengths], buckets)
        return
    head, ticks, end, trailers = v.get("head"), v.get("ticks"), v.get("end"), v.get("trailers")
    if end not in ("fin", "reset", "trailers") or (trailers is None) == (end == "trailers"):
        raise Mismatch("end, trailers", "fin, reset, or trailers and their length", (end, trailers))
    expected, frames = direction(policy, head, ticks, end, trailers), v.get("frames")
    if frames != expected:
        raise Mismatch("frames", expected, frames)
    # What the section promises, whatever its steps are.
    alone = len(frames) == 1 or (trailers is not None and policy.frame(trailers) > 32778)
    if not alone and policy.bucket(sum(frames)) != sum(frames):
        raise Mismatch("the sum of frames", policy.bucket(sum(frames)), sum(frames))
    if not all(21 <= frame <= 65557 for frame in frames):
        raise Mismatch("frames", "21 to 65557 each", frames)


def check_heads(v: Vector) -> None:
    kind, encoded = v.get("kind"), v.hex("encoded")
    decoders: dict[str, Callable[[bytes], Any]] = {
        "request": heads.decode_request, "response": heads.decode_response, "trailers": heads.decode_trailers,
    }  # fmt: skip
    if kind not in decoders:
        raise Mismatch("kind", "request, response or trailers", kind)
    if v.is_error():
        refused("encoded", lambda: decoders[kind](encoded), DecodeError)
        return
    head = accepted("encoded", lambda: decoders[kind](encoded))
    if kind == "trailers":
        expect_fields(v, "fields", head)
        again = heads.encode_fields(head)
    else:
        expect_head(v, head)
        again = head.encode()
    if again != encoded and len(again) >= len(encoded):  # longer ones have varints that could be shorter
        raise Mismatch("encoded", encoded, again)
