"""Named checks, a line of output each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field


class Skip(Exception):
    """What a check needs is not there."""


@dataclass
class Report:
    prefix: str = ""
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def check(self, name: str) -> Iterator[None]:
        """The block is the check; it fails if it raises."""
        name = f"{self.prefix}{name}"
        try:
            yield
        except Skip as reason:
            self.skipped.append(name)
            print(f"SKIP  {name}: {reason}", flush=True)
        except Exception as error:
            self.failed.append(name)
            print(f"FAIL  {name}: {type(error).__name__}: {str(error)[:400]}", flush=True)
        else:
            self.passed += 1
            print(f"ok    {name}", flush=True)


class TimedOut(BaseException):
    """The whole run has taken too long."""


def expect(what: str, expected: object, got: object) -> None:
    if expected != got:
        raise AssertionError(f"{what}: expected {expected!r}, got {got!r}")


def expect_in(what: str, allowed: tuple[object, ...], got: object) -> None:
    if got not in allowed:
        raise AssertionError(f"{what}: expected one of {allowed!r}, got {got!r}")
