#!/usr/bin/env python3
"""Checks the test vectors in this directory against an implementation of SPEC.md of its own."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from steve3 import workedexample
from steve3.sessionvectors import check_exchange, check_handshake
from steve3.vectors import (
    Mismatch,
    Vector,
    check_aead,
    check_evidence,
    check_frames,
    check_heads,
    check_key_config,
    check_merkle,
    check_order,
    check_padding,
    check_policy,
)

CHECKS: dict[str, Callable[[Vector], None]] = {
    "aead.json": check_aead,
    "key_config.json": check_key_config,
    "merkle.json": check_merkle,
    "evidence.json": check_evidence,
    "policy.json": check_policy,
    "handshake.json": check_handshake,
    "frames.json": check_frames,
    "heads.json": check_heads,
    "streams.json": check_order,
    "padding.json": check_padding,
    "exchange.json": check_exchange,
}


def load(path: Path) -> list[object]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or set(content) != {"description", "vectors"}:
        raise ValueError("not an object with description and vectors")
    vectors = content["vectors"]
    if not isinstance(vectors, list) or not vectors:
        raise ValueError("no vectors")
    return vectors


def check_file(path: Path, check: Callable[[Vector], None]) -> tuple[int, int]:
    """Returns how many vectors passed and failed; a file that cannot be read is one failure."""
    try:
        vectors = load(path)
    except FileNotFoundError:
        print(f"{path.name}: missing")
        return 0, 1
    except (OSError, ValueError) as error:
        print(f"{path.name}: cannot be read: {error}")
        return 0, 1
    failed = 0
    for index, data in enumerate(vectors):
        try:
            vector = Vector(data)
            check(vector)
            vector.done()
        except Mismatch as error:
            failed += 1
            print(f"{path.name}[{index}]{remark(data)}: {error}")
        except Exception as error:  # a vector that the checker cannot make sense of is a failure, too
            failed += 1
            print(f"{path.name}[{index}]{remark(data)}: {type(error).__name__}: {error}")
    print(f"{path.name}: {len(vectors)} vectors checked, {failed} failed")
    return len(vectors) - failed, failed


def check_readme(directory: Path) -> bool:
    try:
        good = workedexample.check(directory)
    except Exception as error:
        print(f"README.md: {type(error).__name__}: {error}")
        return False
    print("README.md: the worked example " + ("agrees" if good else "differs: run `python -m steve3.workedexample`"))
    return good


def remark(data: object) -> str:
    if isinstance(data, dict):
        for name in ("name", "description", "comment", "note", "reason"):
            if isinstance(data.get(name), str):
                return f" ({data[name]})"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    directory: Path = parser.parse_args().directory
    passed = failed = 0
    for name, check in CHECKS.items():
        good, bad = check_file(directory / name, check)
        passed, failed = passed + good, failed + bad
    if not failed and (directory / "README.md").exists():
        good = check_readme(directory)
        passed, failed = passed + good, failed + (not good)
    for path in sorted(directory.glob("*.json")):
        if path.name not in CHECKS:
            print(f"{path.name}: not a file this program knows")
            failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
