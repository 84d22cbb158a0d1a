"""A strict CBOR decoder (RFC 8949) for attestation documents (SPEC.md, Section 7).

Maps become lists of pairs, so that the caller sees duplicates. Strings must have definite length. Integers
and lengths need not be in their shortest form.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from .codec import DecodeError, Reader

MAX_DEPTH = 8
BREAK = object()


class CborError(DecodeError):
    """Not well-formed, or beyond the limits."""


@dataclass(frozen=True)
class Tag:
    number: int
    value: Any


@dataclass(frozen=True)
class Simple:
    """A simple value other than null, or a floating-point number's bits."""

    value: object


class Map(list[tuple[Any, Any]]):
    """The pairs of a CBOR map, in order."""

    def unique(self) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        for key, value in self:
            if not isinstance(key, (int, str, bytes)) or isinstance(key, bool):
                raise CborError("map key is neither integer nor string")
            if key in out:
                raise CborError(f"duplicate map key {key!r}")
            out[key] = value
        return out


def decode(data: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """One data item and nothing after it."""
    r = Reader(data)
    try:
        value = _item(r, max_depth)
        r.end()
    except CborError:
        raise
    except DecodeError as error:
        raise CborError(str(error)) from error
    if value is BREAK:
        raise CborError("unexpected break")
    return value


def _argument(r: Reader, info: int) -> int:
    if info < 24:
        return info
    if info > 27:
        raise CborError("reserved or indefinite length where none is allowed")
    return r.uint(1 << (info - 24))


def _item(r: Reader, depth: int) -> Any:
    initial = r.uint(1)
    major, info = initial >> 5, initial & 0x1F
    if major == 0:
        return _argument(r, info)
    if major == 1:
        return -1 - _argument(r, info)
    if major == 2:
        return r.take(_argument(r, info))
    if major == 3:
        raw = r.take(_argument(r, info))
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CborError("text is not UTF-8") from error
    if major == 7:
        return _simple(r, info)
    if depth == 0:
        raise CborError("nested too deeply")
    if major == 6:
        return Tag(_argument(r, info), _not_break(_item(r, depth - 1)))
    if major == 4:
        return _elements(r, info, depth - 1, 1)
    flat = _elements(r, info, depth - 1, 2)
    return Map(zip(flat[0::2], flat[1::2], strict=True))


def _elements(r: Reader, info: int, depth: int, per_entry: int) -> list[Any]:
    out: list[Any] = []
    if info == 31:
        while (value := _item(r, depth)) is not BREAK:
            out.append(value)
        if len(out) % per_entry:
            raise CborError("map with a key and no value")
        return out
    count = _argument(r, info) * per_entry
    if count > r.remaining():
        raise CborError("more elements than bytes")
    for _ in range(count):
        out.append(_not_break(_item(r, depth)))
    return out


def _not_break(value: Any) -> Any:
    if value is BREAK:
        raise CborError("unexpected break")
    return value


def _simple(r: Reader, info: int) -> Any:
    if info == 20:
        return False
    if info == 21:
        return True
    if info == 22:
        return None
    if info < 24:
        return Simple(info)
    if info == 24:
        value = r.uint(1)
        if value < 32:
            raise CborError("simple value in two bytes that fits into one")
        return Simple(value)
    if info in (25, 26, 27):
        width = 1 << (info - 24)
        return Simple(struct.unpack({2: ">e", 4: ">f", 8: ">d"}[width], r.take(width))[0])
    if info == 31:
        return BREAK
    raise CborError("reserved simple value")


def encode_head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes([major << 5 | value])
    for info, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << (8 * width):
            return bytes([major << 5 | info]) + value.to_bytes(width, "big")
    raise ValueError("too large")


def encode(value: Any) -> bytes:
    """Enough of an encoder for Sig_structures and self-made documents."""
    if value is None:
        return b"\xf6"
    if isinstance(value, int):
        return encode_head(0, value) if value >= 0 else encode_head(1, -1 - value)
    if isinstance(value, bytes):
        return encode_head(2, len(value)) + value
    if isinstance(value, str):
        return encode_head(3, len(value.encode())) + value.encode()
    if isinstance(value, Tag):
        return encode_head(6, value.number) + encode(value.value)
    if isinstance(value, dict):
        return encode_head(5, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    if isinstance(value, list):
        return encode_head(4, len(value)) + b"".join(map(encode, value))
    raise TypeError(type(value).__name__)
