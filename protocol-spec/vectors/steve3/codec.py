"""Presentation language of RFC 8446, Section 3, and the varint of RFC 9000, Section 16 (SPEC.md, Section 2)."""

from __future__ import annotations


class DecodeError(ValueError):
    """A message does not have the form that SPEC.md prescribes."""


class Reader:
    """Reads fields from a byte string and remembers how far it got."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.pos = 0

    def remaining(self) -> int:
        return len(self.data) - self.pos

    def take(self, count: int) -> bytes:
        if count > self.remaining():
            raise DecodeError(f"needs {count} bytes, has {self.remaining()}")
        out = self.data[self.pos : self.pos + count]
        self.pos += count
        return out

    def uint(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def opaque(self, low: int, high: int) -> bytes:
        """`opaque x<low..high>`: the prefix is as wide as `high` needs."""
        width = (high.bit_length() + 7) // 8
        length = self.uint(width)
        if not low <= length <= high:
            raise DecodeError(f"length {length} is not in {low}..{high}")
        return self.take(length)

    def varint(self) -> int:
        first = self.uint(1)
        value = first & 0x3F
        for _ in range((1 << (first >> 6)) - 1):
            value = value << 8 | self.uint(1)
        return value

    def varint_bytes(self) -> bytes:
        return self.take(self.varint())

    def rest(self) -> bytes:
        return self.take(self.remaining())

    def end(self) -> None:
        if self.remaining():
            raise DecodeError(f"{self.remaining()} bytes left over")


def uint(value: int, width: int) -> bytes:
    return value.to_bytes(width, "big")


def opaque(data: bytes, low: int, high: int) -> bytes:
    if not low <= len(data) <= high:
        raise ValueError(f"length {len(data)} is not in {low}..{high}")
    return uint(len(data), (high.bit_length() + 7) // 8) + data


def varint(value: int) -> bytes:
    """The shortest encoding."""
    for exponent, width in enumerate((1, 2, 4, 8)):
        if value < 1 << (8 * width - 2):
            return (value | exponent << (8 * width - 2)).to_bytes(width, "big")
    raise ValueError(f"{value} does not fit into a varint")


def varint_bytes(data: bytes) -> bytes:
    return varint(len(data)) + data
