"""Hostile requests to the gateway, and what of them may reach the app: one whole request, or nothing."""

from __future__ import annotations

from dataclasses import dataclass

SECOND = b"GET /second HTTP/1.1\r\nhost: HOST\r\n\r\n"


@dataclass
class Attack:
    name: str
    sent: bytes
    # Without `steve-session`.
    arrives: bytes = b""
    # It cannot end before the client goes away.
    open_ended: bool = False


def size(data: bytes) -> int:
    """With a name of the service's length instead of HOST."""
    return len(data.replace(b"HOST", b"127.0.0.1:00000"))


def post(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"POST /first HTTP/1.1", b"host: HOST", *lines, b"", body])


def get(target: bytes = b"/first", *lines: bytes) -> bytes:
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"host: HOST", *lines, b"", b""])


TE = b"transfer-encoding: chunked"
WEBSOCKET = [b"connection: upgrade", b"upgrade: websocket"]
EMPTY = b"0\r\n\r\n"
# Whole as chunks, and SECOND is after it; with the length, SECOND is in it.
HIDDEN = EMPTY + SECOND
LENGTH = b"content-length: %d" % size(HIDDEN)
SHORT = b"content-length: 5"


def obfuscated(value: bytes, name: bytes = b"transfer-encoding") -> bytes:
    return post(SHORT, name + b":" + value, body=EMPTY + SECOND)


CHUNKED = post(TE, body=EMPTY)
FIRST = get()
# Chunked in other words, and what is not chunked, or not only.
CODINGS = {
    "tab": b"\tchunked",
    "mixed case": b" cHuNkEd",
}
NO_CODINGS = {
    "xchunked": b" xchunked",
    "chunked twice": b" chunked, chunked",
    "chunked, identity": b" chunked, identity",
    "comma": b" ,chunked",
    "identity": b" identity",
    "gzip, chunked": b" gzip, chunked",
    "chunked, gzip": b" chunked, gzip",
    "quoted": b' "chunked"',
    "vertical tab": b" \x0bchunked",
    "parameter": b" chunked;a=b",
    "empty": b"",
    "NUL": b" chunked\x00",
    "trailing CR": b" chunked\r",
}

ATTACKS = [
    Attack("length and chunked", post(LENGTH, TE, body=HIDDEN), CHUNKED),
    Attack("chunked and length", post(TE, LENGTH, body=HIDDEN), CHUNKED),
    Attack("CL.TE, short length", post(SHORT, TE, body=EMPTY + SECOND), CHUNKED),
    Attack(
        "TE.CL",
        post(b"content-length: 4", TE, body=b"%x\r\n%b\r\n0\r\n\r\n" % (size(SECOND), SECOND)),
        post(TE, body=b"%X\r\n%b\r\n0\r\n\r\n" % (size(SECOND), SECOND)),
    ),
    *[Attack(f"coding: {name}", obfuscated(value), CHUNKED) for name, value in CODINGS.items()],
    *[Attack(f"coding: {name}", obfuscated(value)) for name, value in NO_CODINGS.items()],
    Attack("coding twice", post(TE, b"transfer-encoding: identity", body=EMPTY + SECOND)),
    Attack("coding in two lines", post(b"transfer-encoding: gzip", TE, SHORT, body=EMPTY + SECOND)),
    Attack("coding with space before colon", obfuscated(b" chunked", b"transfer-encoding ")),
    Attack("coding with leading space", obfuscated(b" chunked", b" transfer-encoding")),
    Attack("coding folded", obfuscated(b"\r\n chunked")),
    Attack(
        "coding with underscore",
        post(b"transfer_encoding: chunked", SHORT, body=EMPTY),
        b"POST /first HTTP/1.1\r\ncontent-length: 5\r\ntransfer_encoding: chunked\r\nhost: HOST\r\n\r\n" + EMPTY,
    ),
    Attack(
        "coding after bare LF",
        post(b"x-a: b\ntransfer-encoding: chunked", SHORT, body=EMPTY + SECOND),
        b"POST /first HTTP/1.1\r\nx-a: b\r\nhost: HOST\r\ntransfer-encoding: chunked\r\n\r\n" + EMPTY,
    ),
    Attack("coding after bare CR", post(b"x-a: b\rtransfer-encoding: chunked", SHORT, body=EMPTY + SECOND)),
    Attack("two lengths", post(b"content-length: 5", b"content-length: 6", body=EMPTY + SECOND)),
    Attack("length list", post(b"content-length: 5, 5", body=EMPTY + SECOND)),
    Attack("length +5", post(b"content-length: +5", body=EMPTY + SECOND)),
    Attack("length -5", post(b"content-length: -5", body=EMPTY + SECOND)),
    Attack("length 0x5", post(b"content-length: 0x5", body=EMPTY + SECOND)),
    Attack("length 5_0", post(b"content-length: 5_0", body=EMPTY + SECOND)),
    Attack("empty length", post(b"content-length:", body=EMPTY + SECOND)),
    Attack("length above 2^64", post(b"content-length: 18446744073709551621", body=EMPTY + SECOND)),
    Attack("length of 2^64 - 1", post(b"content-length: 18446744073709551615", body=EMPTY + SECOND)),
    Attack("leading zeros in the length", post(b"content-length: 0000000000000000000000005", body=EMPTY)),
    Attack("length with space before colon", post(b"content-length : 5", body=EMPTY + SECOND)),
    Attack(
        "length with underscore",
        post(b"content_length: 5", body=EMPTY),
        b"POST /first HTTP/1.1\r\ncontent_length: 5\r\ncontent-length: 0\r\nhost: HOST\r\n\r\n",
    ),
    Attack("two hosts", get(b"/first", b"host: HOST")),
    Attack("two different hosts", get(b"/first", b"host: evil.example")),
    Attack("no host", b"GET /first HTTP/1.1\r\n\r\n"),
    Attack("host with user", b"GET /first HTTP/1.1\r\nhost: a@HOST\r\n\r\n"),
    Attack("host with path", b"GET /first HTTP/1.1\r\nhost: HOST/x\r\n\r\n"),
    Attack("host list", b"GET /first HTTP/1.1\r\nhost: HOST, evil.example\r\n\r\n"),
    Attack("absolute form of another host", get(b"http://evil.example/first")),
    Attack("absolute form with user", get(b"http://a:b@HOST/first")),
    Attack("absolute form in another scheme", get(b"ftp://HOST/first")),
    Attack("absolute form without path", get(b"http://HOST"), get(b"/")),
    Attack("authority form", get(b"evil.example:80")),
    Attack("target without slash", get(b"first")),
    Attack("empty target", get(b"")),
    Attack("asterisk with GET", get(b"*")),
    Attack("CR in the target", get(b"/first\rHTTP/1.1")),
    Attack("CR and LF in the target", get(b"/first\r\nx: y")),
    Attack(
        "encoded CR and LF in the target",
        get(b"/first%20HTTP/1.1%0d%0ax:%20y"),
        get(b"/first%20HTTP/1.1%0d%0ax:%20y"),
    ),
    Attack("space in the target", get(b"/first /second")),
    Attack("LF in the target", get(b"/first\nx: y")),
    Attack("NUL in the target", get(b"/first\x00")),
    Attack("DEL in the target", get(b"/first\x7f")),
    Attack("tab after the method", b"GET\t/first HTTP/1.1\r\nhost: HOST\r\n\r\n"),
    Attack("two spaces", b"GET  /first  HTTP/1.1\r\nhost: HOST\r\n\r\n"),
    Attack("HTTP/1.2", b"GET /first HTTP/1.2\r\nhost: HOST\r\n\r\n"),
    Attack("HTTP/0.9", b"GET /first\r\n\r\n"),
    Attack("http/1.1", b"GET /first http/1.1\r\nhost: HOST\r\n\r\n"),
    Attack("NUL in a value", get(b"/first", b"x-a: b\x00c")),
    Attack("CR in a value", get(b"/first", b"x-a: b\rc")),
    Attack(
        "LF in a value",
        get(b"/first", b"x-a: b\nx-b: c"),
        b"GET /first HTTP/1.1\r\nx-b: c\r\nx-a: b\r\nhost: HOST\r\n\r\n",
    ),
    Attack("DEL in a value", get(b"/first", b"x-a: b\x7fc")),
    Attack("escape in a value", get(b"/first", b"x-a: b\x1bc")),
    Attack("folded value", get(b"/first", b"x-a: b", b" c")),
    Attack("folded first field", b"GET /first HTTP/1.1\r\n x: y\r\nhost: HOST\r\n\r\n"),
    Attack("space before colon", get(b"/first", b"x-a : b")),
    Attack("space in a name", get(b"/first", b"x a: b")),
    Attack("NUL in a name", get(b"/first", b"x\x00a: b")),
    Attack("empty name", get(b"/first", b": b")),
    Attack("no colon", get(b"/first", b"x-a")),
    Attack("pseudo field", get(b"/first", b":path: /second")),
    Attack("bare LF at every end", b"GET /first HTTP/1.1\nhost: HOST\n\n", FIRST),
    Attack("bare LF at the end of the head", b"GET /first HTTP/1.1\r\nhost: HOST\r\n\n", FIRST),
    Attack("LF CR", b"GET /first HTTP/1.1\r\nhost: HOST\n\r\n\r\n", FIRST),
    Attack("chunk size above 2^64", post(TE, body=b"10000000000000005\r\nhello\r\n0\r\n\r\n" + SECOND)),
    Attack(
        "chunk size of 2^64 - 1", post(TE, body=b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n" + SECOND), open_ended=True
    ),
    Attack("negative chunk size", post(TE, body=b"-5\r\nhello\r\n0\r\n\r\n" + SECOND)),
    Attack("chunk size 0x5", post(TE, body=b"0x5\r\nhello\r\n0\r\n\r\n" + SECOND)),
    Attack("chunk size with sign", post(TE, body=b"+5\r\nhello\r\n0\r\n\r\n" + SECOND)),
    Attack("empty chunk size", post(TE, body=b"\r\nhello\r\n0\r\n\r\n" + SECOND)),
    Attack("chunk size after space", post(TE, body=b" 5\r\nhello\r\n0\r\n\r\n")),
    Attack("chunk longer than its size", post(TE, body=b"4\r\nhello\r\n0\r\n\r\n" + SECOND)),
    Attack("chunk size and bare LF", post(TE, body=b"5\nhello\r\n0\r\n\r\n" + SECOND)),
    Attack("chunk and bare LF", post(TE, body=b"5\r\nhello\n0\r\n\r\n" + SECOND)),
    Attack("LF in a chunk extension", post(TE, body=b"5;a\nb\r\nhello\r\n0\r\n\r\n" + SECOND)),
    Attack("CR in a chunk extension", post(TE, body=b"5;a\rb\r\nhello\r\n0\r\n\r\n" + SECOND)),
    Attack("endless chunk extension", post(TE, body=b"5;" + b"a" * 100_000 + b"\r\nhello\r\n0\r\n\r\n")),
    Attack("end of chunks with bare LF", post(TE, body=b"5\r\nhello\r\n0\n\n" + SECOND)),
    Attack(
        "trailers that frame",
        post(
            TE,
            b"trailer: content-length, transfer-encoding, host",
            body=b"5\r\nhello\r\n0\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\nhost: evil.example\r\n\r\n",
        ),
    ),
    Attack(
        "trailers of the proxy",
        post(TE, b"trailer: steve-session", body=b"5\r\nhello\r\n0\r\nsteve-session: forged\r\n\r\n"),
        b"POST /first HTTP/1.1\r\ntrailer: steve-session\r\nhost: HOST\r\n" + TE + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    Attack("trailer with NUL", post(TE, b"trailer: x-a", body=b"5\r\nhello\r\n0\r\nx-a: \x00\r\n\r\n")),
    Attack("trailer folded", post(TE, b"trailer: x-a", body=b"5\r\nhello\r\n0\r\nx-a: b\r\n c\r\n\r\n")),
    Attack("websocket with length", get(b"/first", *WEBSOCKET, b"content-length: 5") + EMPTY),
    Attack("websocket with chunks", get(b"/first", *WEBSOCKET, TE) + b"5\r\nhello\r\n" + EMPTY),
    Attack(
        "POST to a websocket",
        post(*WEBSOCKET, SHORT, body=EMPTY),
        b"POST /first HTTP/1.1\r\ncontent-length: 5\r\nhost: HOST\r\n\r\n" + EMPTY,
    ),
    Attack(
        "upgrade to two protocols",
        get(b"/first", b"connection: upgrade", b"upgrade: websocket, h2c"),
        get(b"/first", b"upgrade: websocket", b"connection: upgrade"),
    ),
    Attack("HTTP/2 preface over HTTP/1", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + SECOND),
    Attack("not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n"),
]
