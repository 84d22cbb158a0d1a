"""HEAD and TRAILERS content (SPEC.md, Section 10.1)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

from .codec import DecodeError, Reader, varint, varint_bytes

MAX_HEAD = 65536
MAX_FIELDS = 256
Fields = list[tuple[bytes, bytes]]

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
LOWER_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
PATH = re.compile(rb"/[\x21\x22\x24-\x7e]*")
# What is in brackets has to be an IPv6address as well; otherwise unreserved and sub-delims; then an optional port.
AUTHORITY = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|[0-9A-Za-z\-._~!$&'()*+,;=]+)(?::([0-9]{1,5}))?")
DECIMAL = re.compile(rb"[0-9]{1,19}")
PROTOCOL = re.compile(rb"(%b)(?:/%b)?" % (TOKEN.pattern, TOKEN.pattern))
NOT_UPGRADED_TO = {b"h2c", b"http", b"tls"}
FORBIDDEN_TRAILERS = {b"host", b"content-length", b"transfer-encoding", b"trailer", b"connection", b"te", b"upgrade"}


class HeadError(DecodeError):
    """The head is malformed."""


@dataclass
class RequestHead:
    method: bytes
    scheme: bytes
    authority: bytes
    path: bytes
    fields: Fields = field(default_factory=list)

    @property
    def asks_upgrade(self) -> bool:
        return bool(values_of(self.fields, b"upgrade"))

    def encode(self) -> bytes:
        parts = (self.method, self.scheme, self.authority, self.path)
        return b"".join(map(varint_bytes, parts)) + encode_fields(self.fields)


@dataclass
class ResponseHead:
    status: int
    fields: Fields = field(default_factory=list)

    def encode(self) -> bytes:
        return varint(self.status) + encode_fields(self.fields)


def encode_fields(fields: Fields) -> bytes:
    return varint_bytes(b"".join(varint_bytes(name) + varint_bytes(value) for name, value in fields))


def _require(condition: object, what: str) -> None:
    if not condition:
        raise HeadError(what)


def _read_fields(r: Reader) -> Fields:
    lines = Reader(r.varint_bytes())
    r.end()
    fields: Fields = []
    while lines.remaining():
        fields.append((lines.varint_bytes(), lines.varint_bytes()))
        _require(len(fields) <= MAX_FIELDS, "more than 256 field lines")
    for name, value in fields:
        _require(LOWER_TOKEN.fullmatch(name), f"field name {name!r}")
        _require(VALUE.fullmatch(value), f"value of {name!r} holds a control character")
        _require(value.strip(b" \t") == value, f"value of {name!r} begins or ends with white space")
    return fields


def values_of(fields: Fields, wanted: bytes) -> list[bytes]:
    return [value for name, value in fields if name == wanted]


def content_length(fields: Fields) -> int | None:
    values = values_of(fields, b"content-length")
    if not values:
        return None
    _require(len(values) == 1 and DECIMAL.fullmatch(values[0]), "content-length")
    return int(values[0])


def _start(data: bytes) -> Reader:
    _require(len(data) <= MAX_HEAD, "larger than 65536 bytes")
    return Reader(data)


def _is_authority(authority: bytes) -> bool:
    matched = AUTHORITY.fullmatch(authority)
    if not matched or int(matched[2] or b"0") > 65535:
        return False
    return matched[1] is None or _is_ipv6(matched[1])


def _is_ipv6(text: bytes) -> bool:
    try:
        ipaddress.IPv6Address(text.decode("ascii"))
    except ValueError:
        return False
    return True


def decode_request(data: bytes) -> RequestHead:
    r = _start(data)
    method, scheme, authority, path = (r.varint_bytes() for _ in range(4))
    head = RequestHead(method, scheme, authority, path, _read_fields(r))
    _require(TOKEN.fullmatch(method), "method is not a token")
    _require(scheme in (b"http", b"https"), "scheme")
    _require(_is_authority(authority), "authority")
    _require(PATH.fullmatch(path) or (path == b"*" and method == b"OPTIONS"), "path")
    hosts = values_of(head.fields, b"host")
    _require(not hosts or hosts == [authority], "host")
    length = content_length(head.fields)
    if head.asks_upgrade:
        _check_upgrade(head.fields)
        _require(method == b"GET" and length is None, "upgrade by another method than GET, or with a content-length")
    return head


def _check_upgrade(fields: Fields) -> None:
    values = values_of(fields, b"upgrade")
    matched = PROTOCOL.fullmatch(values[0])
    _require(len(values) == 1 and matched and matched[1].lower() not in NOT_UPGRADED_TO, "upgrade")


def decode_response(data: bytes) -> ResponseHead:
    """Whether a 101 was asked for is for the stream to say."""
    r = _start(data)
    status = r.varint()
    head = ResponseHead(status, _read_fields(r))
    _require(100 <= status <= 599, "status")
    length = content_length(head.fields)
    _require(status >= 200 or length is None, "content-length below status 200")
    return head


def decode_trailers(data: bytes) -> Fields:
    fields = _read_fields(_start(data))
    _require(not FORBIDDEN_TRAILERS & {name for name, _ in fields}, "field not allowed in trailers")
    return fields
