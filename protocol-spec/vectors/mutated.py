#!/usr/bin/env python3
"""Judges mutated vectors, one JSON object a line on standard input, as check.py judges those in files.

`cargo run --example mutated-vectors` writes them: messages changed at random, with that code's verdict.
"""

from __future__ import annotations

import json
import sys
from collections import Counter

from check import CHECKS
from steve3.codec import DecodeError, Reader
from steve3.handshake import ClientHello
from steve3.vectors import Mismatch, Vector, accepted, refused


def check_client_hello(v: Vector) -> None:
    encoded = v.hex("encoded")

    def decode() -> ClientHello:
        reader = Reader(encoded)
        hello = ClientHello.read(reader)
        reader.end()
        return hello

    if v.is_error():
        refused("encoded", decode, DecodeError)
        return
    hello = accepted("encoded", decode)
    for name in ("suite", "early_data", "key_id", "enc", "epk"):
        v.expect(name, getattr(hello, name))
    v.expect("encoded", hello.encode())


def verdict(data: dict[str, object]) -> str:
    """What the other implementation says."""
    if "valid" in data:
        return "accepted" if data["valid"] else "refused"
    outcome = data.get("outcome", "refused" if "error" in data else "accepted")
    return "accepted" if outcome == "verified" else str(outcome)


def main() -> int:
    checks = CHECKS | {"client_hello": check_client_hello}
    counts: dict[str, Counter[str]] = {}
    failed = 0
    for line in sys.stdin:
        case = json.loads(line)
        file, data = case["file"], case["vector"]
        counts.setdefault(file, Counter())[verdict(data)] += 1
        try:
            vector = Vector(data)
            checks[file](vector)
            vector.done()
        except Mismatch as error:
            failed += 1
            print(f"{file}: {error}\n    {line.strip()[:2000]}")
        except Exception as error:  # neither an acceptance nor a refusal
            failed += 1
            print(f"{file}: {type(error).__name__}: {error}\n    {line.strip()[:2000]}")
    for file, verdicts in counts.items():
        print(f"{file}: " + ", ".join(f"{count} {name}" for name, count in verdicts.most_common()))
        if len(verdicts) < 2:
            failed += 1
            print(f"{file}: always the same verdict: that proves nothing")
    print(f"{sum(map(Counter.total, counts.values()))} mutated vectors, {failed} failed")
    return 1 if failed or not counts else 0


if __name__ == "__main__":
    sys.exit(main())
