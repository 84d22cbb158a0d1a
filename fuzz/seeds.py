#!/usr/bin/env python3
"""Writes seeds for the fuzz targets, made from the test vectors: a directory for each target.

Targets that take bytes get the vectors' messages. Of those that take what the crate `arbitrary` makes
of bytes, the ones whose last part is a text get that behind the bytes that choose the variant.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
VECTORS = REPOSITORY / "protocol-spec" / "vectors"
POLICIES = REPOSITORY / "protocol-spec" / "tests" / "data" / "policy"
# More would take the first seconds of every run.
MAX_LEN = 16384

PROFILE = {f"PCR{index}": f"{index + 1:02x}" * 48 for index in range(3)}


def load(name: str) -> list[dict[str, object]]:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))["vectors"]


def hexadecimal(name: str) -> Iterator[bytes]:
    """All members of the vectors that are bytes."""

    def walk(value: object) -> Iterator[bytes]:
        if isinstance(value, dict):
            for member in value.values():
                yield from walk(member)
        elif isinstance(value, list):
            for member in value:
                yield from walk(member)
        elif isinstance(value, str) and value:
            try:
                yield bytes.fromhex(value)
            except ValueError:
                pass

    for vector in load(name):
        yield from walk(vector)


def variant(index: int, count: int) -> bytes:
    """What chooses a variant of an enum: the upper part of a 32-bit number times their count."""
    return (-(-(index << 32) // count)).to_bytes(4, "little")


def policies() -> Iterator[bytes]:
    key, signature, _, file, _ = (variant(index, 5) for index in range(5))
    none = b"\0\0"
    for path in sorted(POLICIES.glob("*")):
        content = path.read_bytes()
        yield file + none + content
        yield signature + none + content
        for line in content.splitlines():
            yield key + none + line
    policy = {"steve_policy": 1, "namespace": "app.example", "version": 3}
    policy |= {"expires": "2027-01-31T00:00:00Z", "profiles": [{"label": "a", "pcrs": PROFILE}]}
    yield file + none + json.dumps(policy).encode()


def records() -> Iterator[bytes]:
    *_, profiles, origin, manifest = (variant(index, 6) for index in range(6))
    lines = "".join(f"{name}: {value}\n" for name, value in PROFILE.items())
    whole = {"Measurements": {"HashAlgorithm": "Sha384 { ... }", **PROFILE}}
    for text in (json.dumps(PROFILE), json.dumps(whole), json.dumps({"profiles": [PROFILE]}), lines):
        yield profiles + text.encode()
    for url in ("https://app.example", "http://[::1]:8080/a?b", "HTTPS://A.example:443#x"):
        yield origin + url.encode()
    yield manifest + b'{"app_sources":["https://a"],"commit":"c0","metadata":{"x":1}}'


def main() -> None:
    directory = Path(sys.argv[1])
    seeds = {
        "evidence": hexadecimal("evidence"),
        "heads": hexadecimal("heads"),
        "structures": (
            seed for name in ("key_config", "handshake", "evidence") for seed in hexadecimal(name)
        ),
        "policies": policies(),
        "records": records(),
    }
    for target, contents in seeds.items():
        (directory / target).mkdir(parents=True, exist_ok=True)
        for content in contents:
            if len(content) <= MAX_LEN:
                name = hashlib.sha256(content).hexdigest()[:16]
                (directory / target / name).write_bytes(content)


if __name__ == "__main__":
    main()
