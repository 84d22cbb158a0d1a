"""Answers of a hostile app. The connection that brought one is never used again."""

from __future__ import annotations

from dataclasses import dataclass

from table_requests import ask, chunks, sized
from table_responses import CHUNKED, reply
from wire import Answer

# What no client must ever see.
SMUGGLED = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
MALFORMED = "502 proxy: app_malformed_response"
BROKEN = "breaks off"


@dataclass
class Hostile:
    name: str
    response: bytes
    # What the client gets.
    gets: str
    # Sent when the client has the response.
    later: bytes = b""
    request: bytes = ask(b"GET /first")
    reads: bool = True
    # Where both sides agree what the answer was, its connection may be used again.
    whole: bool = False

    def answer(self) -> Answer:
        return Answer(self.response, reads=self.reads)


def body(*lines: bytes, content: bytes = b"") -> bytes:
    return reply(b"200 OK", *lines, body=content)


def coded(text: bytes) -> bytes:
    return body(CHUNKED, content=text)


LENGTH = b"content-length: 2"
ANSWERS = [
    Hostile("two lengths", body(LENGTH, b"content-length: 49", content=b"ok" + SMUGGLED), MALFORMED),
    Hostile("length list", body(b"content-length: 2, 49", content=b"ok" + SMUGGLED), MALFORMED),
    Hostile("equal lengths", body(LENGTH, LENGTH, content=b"ok"), MALFORMED, whole=True),
    Hostile("length +2", body(b"content-length: +2", content=b"ok"), MALFORMED),
    Hostile("negative length", body(b"content-length: -2", content=b"ok"), MALFORMED),
    Hostile("length above 2^64", body(b"content-length: 18446744073709551618", content=b"ok"), MALFORMED),
    Hostile("length and chunked", body(LENGTH, CHUNKED, content=chunks(b"ok") + SMUGGLED), MALFORMED),
    Hostile("chunked and length", body(CHUNKED, LENGTH, content=chunks(b"ok") + SMUGGLED), MALFORMED),
    Hostile("length and chunked without content", body(b"content-length: 0", CHUNKED, content=chunks()), MALFORMED),
    Hostile(
        "length and chunked, hidden answer",
        body(b"content-length: 50", CHUNKED, content=chunks() + SMUGGLED),
        MALFORMED,
    ),
    Hostile("chunked, then gzip", body(b"transfer-encoding: chunked, gzip", content=chunks(b"ok")), MALFORMED),
    Hostile("gzip, then chunked", body(b"transfer-encoding: gzip, chunked", content=chunks(b"ok")), MALFORMED),
    Hostile("identity", body(b"transfer-encoding: identity", LENGTH, content=b"ok"), MALFORMED),
    Hostile("coding with space before colon", body(b"transfer-encoding : chunked", LENGTH, content=b"ok"), MALFORMED),
    Hostile("chunk size above 2^64", coded(b"10000000000000002\r\nok\r\n0\r\n\r\n"), BROKEN),
    Hostile("chunk size in words", coded(b"two\r\nok\r\n0\r\n\r\n"), BROKEN),
    Hostile("negative chunk size", coded(b"-2\r\nok\r\n0\r\n\r\n"), BROKEN),
    Hostile("chunk longer than its size", coded(b"1\r\nok\r\n0\r\n\r\n"), BROKEN),
    Hostile("chunk shorter than its size", coded(b"3\r\nok\r\n0\r\n\r\n"), BROKEN),
    Hostile("trailers that frame", coded(chunks(b"ok", trailers=b"content-length: 9\r\n")), BROKEN, whole=True),
    Hostile("trailer with NUL", coded(chunks(b"ok", trailers=b"x-a: \0\r\n")), BROKEN),
    Hostile("more than its length", OK + b"smuggled", "200 ok"),
    Hostile("two answers", OK + SMUGGLED, "200 ok"),
    Hostile("two answers, chunked", coded(chunks(b"ok")) + SMUGGLED, "200 ok"),
    Hostile("HEAD with content", body(b"content-length: 8", content=b"smuggled"), "200 ", request=ask(b"HEAD /first")),
    Hostile("204 with content", reply(b"204 No Content", body=b"smuggled"), "204 "),
    Hostile("204 with length and content", reply(b"204 No Content", b"content-length: 8", body=b"smuggled"), "204 "),
    Hostile("304 with content", reply(b"304 Not Modified", b"content-length: 8", body=b"smuggled"), "304 "),
    Hostile(
        "interim response with content",
        reply(b"103 Early Hints", b"content-length: 8", body=b"smuggled") + OK,
        MALFORMED,
    ),
    Hostile(
        "101 unasked",
        reply(b"101 Switching Protocols", b"connection: upgrade", b"upgrade: x", body=SMUGGLED),
        MALFORMED,
    ),
    Hostile(
        "101 after an interim response",
        reply(b"103 Early Hints") + reply(b"101 Switching Protocols", b"upgrade: x", body=SMUGGLED),
        MALFORMED,
    ),
    Hostile("100 interim responses, two answers", reply(b"103 Early Hints") * 100 + OK + SMUGGLED, "200 ok"),
    Hostile("status 20", reply(b"20 OK", LENGTH, body=b"ok"), MALFORMED),
    Hostile("status 2000", reply(b"2000 OK", LENGTH, body=b"ok"), MALFORMED),
    Hostile("status 000", reply(b"000 OK", LENGTH, body=b"ok"), MALFORMED),
    Hostile("HTTP/2.0", OK.replace(b"1.1", b"2.0"), MALFORMED),
    Hostile("ICY", OK.replace(b"HTTP/1.1", b"ICY"), MALFORMED),
    Hostile("NUL in a value", body(LENGTH, b"x-a: \0", content=b"ok"), MALFORMED),
    Hostile("CR in a value", body(LENGTH, b"x-a: a\rb", content=b"ok"), MALFORMED),
    Hostile("folded value", body(LENGTH, b"x-a: a", b" b", content=b"ok"), MALFORMED),
    Hostile("name with space", body(LENGTH, b"x a: b", content=b"ok"), MALFORMED),
    Hostile("300 fields", body(LENGTH, *[b"x: y"] * 300, content=b"ok"), MALFORMED),
    Hostile(
        "early answer, then more", OK + SMUGGLED, "200 ok", request=sized(b"POST /first", bytes(100_000)), reads=False
    ),
    Hostile(
        "early answer of a refusal",
        reply(b"413 Content Too Large", LENGTH, body=b"ok") + SMUGGLED,
        "413 ok",
        request=sized(b"POST /first", bytes(100_000)),
        reads=False,
    ),
    Hostile("another answer while nobody asks", OK, "200 ok", later=SMUGGLED),
    Hostile("408 while nobody asks", OK, "200 ok", later=reply(b"408 Request Timeout", b"content-length: 0")),
]
