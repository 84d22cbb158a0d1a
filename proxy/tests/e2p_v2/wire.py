"""CBOR as STEVE-E2P-V2 has it: definite lengths, shortest forms, text keys, no duplicates, no tags, nothing after the item."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 4
UINT, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG = range(7)
SELF_DESCRIBED = 55799


class WireError(Exception):
    """The peer's bytes do not have the form that the protocol prescribes."""


@dataclass(frozen=True)
class Raw:
    """Encoded bytes, spliced in as they are."""

    data: bytes


class Pairs(list[tuple[Any, Any]]):
    """A map whose keys may repeat and are written in this order."""


def head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes([major << 5 | value])
    for width in (1, 2, 4, 8):
        if value < 1 << (8 * width):
            return wide_head(major, value, width)
    raise ValueError("too large")


def wide_head(major: int, value: int, width: int) -> bytes:
    """With an argument of 1, 2, 4 or 8 bytes, though a shorter one might do."""
    return bytes([major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[width]]) + value.to_bytes(width, "big")


def encode(value: Any) -> bytes:
    if isinstance(value, Raw):
        return value.data
    if value is None:
        return b"\xf6"
    if isinstance(value, int):
        return head(UINT, value)
    if isinstance(value, bytes):
        return head(BYTES, len(value)) + value
    if isinstance(value, str):
        return head(TEXT, len(value.encode())) + value.encode()
    if isinstance(value, Pairs):
        return head(MAP, len(value)) + b"".join(encode(k) + encode(v) for k, v in value)
    if isinstance(value, dict):
        return encode(Pairs(value.items()))
    if isinstance(value, list):
        return head(ARRAY, len(value)) + b"".join(map(encode, value))
    raise TypeError(type(value).__name__)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise WireError("ends early")
        self.at += count
        return self.data[self.at - count : self.at]

    def argument(self, info: int) -> int:
        if info < 24:
            return info
        if info > 27:
            raise WireError("indefinite or reserved length")
        width = 1 << (info - 24)
        value = int.from_bytes(self.take(width), "big")
        if value < (24 if width == 1 else 1 << (4 * width)):
            raise WireError(f"{value} is not in its shortest form")
        return value

    def item(self, depth: int) -> Any:
        initial = self.take(1)[0]
        if initial == 0xF6:
            return None
        major = initial >> 5
        if major not in (UINT, BYTES, TEXT, ARRAY, MAP):
            raise WireError(f"initial byte {initial:02x}")
        count = self.argument(initial & 31)
        if major == UINT:
            return count
        if major == BYTES:
            return self.take(count)
        if major == TEXT:
            return self.text(count)
        if depth == 0:
            raise WireError("nested too deeply")
        if major == ARRAY:
            return [self.item(depth - 1) for _ in range(count)]
        return self.map(count, depth - 1)

    def text(self, count: int) -> str:
        try:
            return self.take(count).decode()
        except UnicodeDecodeError as error:
            raise WireError("text is not UTF-8") from error

    def map(self, count: int, depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for _ in range(count):
            key = self.item(depth)
            if not isinstance(key, str):
                raise WireError("a key is not text")
            if key in out:
                raise WireError(f"key {key!r} twice")
            out[key] = self.item(depth)
        return out


def decode(data: bytes) -> Any:
    reader = _Reader(data)
    value = reader.item(MAX_DEPTH)
    if reader.at != len(data):
        raise WireError("bytes after the item")
    return value


def decode_map(data: bytes, **types: type) -> dict[str, Any]:
    """A map of exactly these keys, with values of these types."""
    value = decode(data)
    if not isinstance(value, dict):
        raise WireError("not a map")
    if value.keys() != types.keys():
        raise WireError(f"keys {sorted(value)}, not {sorted(types)}")
    for key, kind in types.items():
        if not isinstance(value[key], kind):
            raise WireError(f"{key} is not {kind.__name__}")
    return value


def _longer(value: Any) -> Iterator[tuple[str, Raw]]:
    """Encodings of a value with a longer argument than it needs."""
    if isinstance(value, int):
        major, argument, content = UINT, value, b""
    elif isinstance(value, (bytes, str)):
        content = value if isinstance(value, bytes) else value.encode()
        major, argument = (BYTES if isinstance(value, bytes) else TEXT), len(content)
    else:
        return
    shortest = len(head(major, argument))
    for width in (1, 2, 4, 8):
        if 1 + width > shortest:
            yield f"in {width} bytes", Raw(wide_head(major, argument, width) + content)


def _other_types(value: Any) -> Iterator[tuple[str, Any]]:
    yield "as a list", [value]
    yield "as true", Raw(b"\xf5")
    yield "as undefined", Raw(b"\xf7")
    yield "tagged", Raw(head(TAG, 24) + encode(value))
    if value is not None and not isinstance(value, dict):
        yield "as a map", {"a": value}
    if not isinstance(value, bytes):
        yield "as bytes", b"2"
    if not isinstance(value, str):
        yield "as text", "2"
    if not isinstance(value, int):
        yield "as integer", 2
    else:
        yield "as float", Raw(b"\xf9\x40\x00")
        yield "negative", Raw(head(NEGATIVE, value))
    if isinstance(value, (int, str, dict)):
        yield "null", None
    if isinstance(value, bytes):
        yield "indefinite", Raw(b"\x5f" + encode(value) + b"\xff")
    if isinstance(value, str):
        yield "indefinite", Raw(b"\x7f" + encode(value) + b"\xff")
        yield "not UTF-8", Raw(head(TEXT, 2) + b"\xc3\x28")
    if isinstance(value, dict):
        yield "indefinite", Raw(b"\xbf" + encode(value)[1:] + b"\xff")


def mutations(fields: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Encodings, each with its name, that are not the one this map must have. Any order of keys is right."""
    good = encode(fields)
    items = list(fields.items())
    count = len(items)
    for i, (key, value) in enumerate(items):
        rest = items[:i] + items[i + 1 :]
        yield f"{key} missing", encode(Pairs(rest))
        yield f"{key} twice", encode(Pairs([*items, (key, value)]))
        yield f"{key} as bytes key", encode(Pairs([*rest, (key.encode(), value)]))
        yield f"{key} as indefinite key", encode(Pairs([*rest, (Raw(b"\x7f" + encode(key) + b"\xff"), value)]))
        for name, longer in _longer(key):
            yield f"length of key {key} {name}", encode(Pairs([*rest, (longer, value)]))
        for name, other in [*_longer(value), *_other_types(value)]:
            yield f"{key} {name}", encode({**fields, key: other})
    yield "an extra key", encode({**fields, "extra": 0})
    yield "an extra integer key", encode(Pairs([*items, (0, 0)]))
    yield "an indefinite map", b"\xbf" + good[1:] + b"\xff"
    for width in (1, 2, 4, 8):
        yield f"the map's count in {width} bytes", wide_head(MAP, count, width) + good[1:]
    yield "a count of 2^64-1 entries", wide_head(MAP, (1 << 64) - 1, 8) + good[1:]
    yield "a count one too high", head(MAP, count + 1) + good[1:]
    yield "a count one too low", head(MAP, count - 1) + good[1:]
    yield "a byte after the map", good + b"\x00"
    yield "a second map", good + good
    yield "the last byte missing", good[:-1]
    yield "a tag", head(TAG, SELF_DESCRIBED) + good
    yield "in an array", head(ARRAY, 1) + good
    yield "an array of the values", encode([value for _, value in items])
    yield "no bytes", b""
    yield "JSON", b'{"version":2}'
    yield "text of 2^63 bytes", wide_head(TEXT, 1 << 63, 8)
    yield "500 arrays in each other", b"\x81" * 500 + b"\x00"
