"""Responses that come past STEVE and through it, and in what they are known to differ."""

from __future__ import annotations

import gzip

from table_requests import LARGE, Case, ask, chunks
from wire import Answer

TEXT = b"".join(b"line %d\n" % number for number in range(5000))
ZIPPED = gzip.compress(TEXT, mtime=0)
CHUNKED = b"transfer-encoding: chunked"
REASONS = {
    200: b"OK",
    201: b"Created",
    202: b"Accepted",
    203: b"Non-Authoritative Information",
    204: b"No Content",
    205: b"Reset Content",
    206: b"Partial Content",
    226: b"IM Used",
    300: b"Multiple Choices",
    301: b"Moved Permanently",
    302: b"Found",
    303: b"See Other",
    304: b"Not Modified",
    307: b"Temporary Redirect",
    308: b"Permanent Redirect",
    400: b"Bad Request",
    401: b"Unauthorized",
    402: b"Payment Required",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    409: b"Conflict",
    410: b"Gone",
    413: b"Payload Too Large",
    418: b"I'm a teapot",
    421: b"Misdirected Request",
    425: b"Too Early",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    451: b"Unavailable For Legal Reasons",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    511: b"Network Authentication Required",
}


# "Non Authoritative Information" is what these become.
OTHER_WORDS = {203}


def reply(start: bytes, *lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + start, *lines, b"", body])


def sized(start: bytes, body: bytes, *lines: bytes) -> bytes:
    return reply(start, *lines, b"content-length: %d" % len(body), body=body)


def get(name: str, response: bytes, *differs: str, close: bool = False, lines: list[bytes] | None = None) -> Case:
    return Case(name, ask(b"GET /", *lines or []), [Answer(response, close=close)], set(differs))


def status(code: int, reason: bytes) -> Case:
    start = b"%d %b" % (code, reason)
    other = ["reason phrase"] if code in OTHER_WORDS else []
    return get(f"status {code}", reply(start) if code in (204, 304) else sized(start, b"body"), *other)


STATUSES = [status(code, reason) for code, reason in REASONS.items()] + [
    get("status 299", sized(b"299 Odd", b"body"), "reason phrase"),
    get("status 599", sized(b"599 Odd", b"body"), "reason phrase"),
    get("status 600", sized(b"600 Odd", b"body"), "refused by the proxy: 502 app_malformed_response"),
    get("status 999", sized(b"999 Odd", b"body"), "refused by the proxy: 502 app_malformed_response"),
    get("reason phrase of its own", sized(b"200 All is well", b"ok"), "reason phrase"),
    get("reason phrase in Latin-1", sized(b"404 Caf\xe9", b"ok"), "reason phrase"),
    get("empty reason phrase", sized(b"200 ", b"ok"), "reason phrase"),
]

FIELDS = [
    get("two Set-Cookie", sized(b"200 OK", b"", b"Set-Cookie: a=1; Path=/", b"X-A: 1", b"Set-Cookie: b=2; HttpOnly")),
    get(
        "two WWW-Authenticate",
        sized(b"401 Unauthorized", b"", b'www-authenticate: Basic realm="a, b"', b"www-authenticate: Bearer"),
    ),
    get(
        "Proxy-Authenticate",
        sized(b"407 Proxy Authentication Required", b"", b"proxy-authenticate: Basic"),
        "hop-by-hop",
    ),
    get("absolute Location", sized(b"302 Found", b"", b"location: http://HOST/a?b#c")),
    get("relative Location", sized(b"303 See Other", b"", b"location: ../a", b"content-location: /b")),
    get(
        "Date and Server",
        sized(b"200 OK", b"", b"Date: Sat, 29 Oct 1994 19:43:31 GMT", b"Server: app/1", b"Via: 1.0 x", b"Age: 5"),
    ),
    get(
        "caching",
        sized(
            b"200 OK",
            b"",
            b"cache-control: private, no-store",
            b'etag: W/"x"',
            b"vary: *",
            b"expires: 0",
            b"last-modified: Sat, 29 Oct 1994 19:43:31 GMT",
        ),
    ),
    get(
        "security",
        sized(
            b"200 OK",
            b"",
            b"strict-transport-security: max-age=1",
            b"content-security-policy: default-src 'self'",
            b"access-control-allow-origin: *",
            b'alt-svc: h3=":443"',
            b'link: </x>; rel="y"',
        ),
    ),
    get("empty values, tabs, Latin-1", sized(b"200 OK", b"", b"x-empty:", b"x-tab: a\tb", b"x-latin: caf\xe9")),
    get(
        "hop-by-hop of the app",
        sized(b"200 OK", b"x", b"connection: keep-alive, x-hop", b"keep-alive: timeout=5", b"x-hop: 1"),
        "hop-by-hop",
    ),
    get("Connection: close of the app", sized(b"200 OK", b"x", b"connection: close"), "hop-by-hop", close=True),
    get(
        "steve-* of the app",
        sized(b"200 OK", b"x", b"steve-error: forged", b"Steve_Gateway: forged", b"steven: 1"),
        "steve-*",
    ),
    get("value of 40000 bytes", sized(b"200 OK", b"x", b"x-long: " + b"v" * 40000)),
    get("250 fields", sized(b"200 OK", b"x", *[b"x-%d: %d" % (n, n) for n in range(250)])),
    get(
        "head above 64 KiB",
        sized(b"200 OK", b"x", b"x-long: " + b"v" * 70000),
        "refused by the proxy: 502 app_malformed_response",
    ),
]

BODIES = [
    get(
        "equal lengths twice",
        reply(b"200 OK", *[b"content-length: 2"] * 2, body=b"ok"),
        "refused by the proxy: 502 app_malformed_response",
    ),
    get(
        "trailers that frame",
        reply(b"200 OK", CHUNKED, body=chunks(b"ok", trailers=b"content-length: 2\r\n")),
        "response: broken instead of complete",
        "response: no trailers",
    ),
    get("content-length: 0", sized(b"200 OK", b"")),
    get("large body", sized(b"200 OK", LARGE)),
    get("chunked", reply(b"200 OK", CHUNKED, body=chunks(b"abc", b"defg"))),
    get("empty chunked body", reply(b"200 OK", CHUNKED, body=chunks())),
    get("large chunked body", reply(b"200 OK", CHUNKED, body=chunks(*[LARGE[:65536]] * 16))),
    get("chunk extensions", reply(b"200 OK", CHUNKED, body=chunks(b"abc", extension=b";a=b")), "chunk extensions"),
    get(
        "trailers",
        reply(b"200 OK", CHUNKED, b"trailer: x-sum", body=chunks(b"abc", trailers=b"x-sum: 1\r\n")),
        "response: no trailers",
    ),
    get(
        "trailers, announced and wanted",
        reply(
            b"200 OK", CHUNKED, b"trailer: x-sum, x-more", body=chunks(b"abc", trailers=b"x-sum: 1\r\nX-More: 2\r\n")
        ),
        lines=[b"te: trailers"],
    ),
    get(
        "trailers, wanted and not announced",
        reply(b"200 OK", CHUNKED, body=chunks(b"abc", trailers=b"x-sum: 1\r\n")),
        "response: no trailers",
        lines=[b"te: trailers"],
    ),
    get(
        "until the connection ends",
        reply(b"200 OK", body=b"all there is"),
        "response: close arrives as chunked",
        close=True,
    ),
    get("nothing until the connection ends", reply(b"200 OK"), "response: close arrives as chunked", close=True),
    get("less than its length", reply(b"200 OK", b"content-length: 9", body=b"less"), close=True),
    get("no last chunk", reply(b"200 OK", CHUNKED, body=b"3\r\nabc\r\n"), close=True),
    get(
        "gzip",
        sized(b"200 OK", ZIPPED, b"content-encoding: gzip", b"content-type: text/plain"),
        lines=[b"accept-encoding: gzip"],
    ),
    get(
        "gzip in chunks", reply(b"200 OK", CHUNKED, b"content-encoding: gzip", body=chunks(ZIPPED[:100], ZIPPED[100:]))
    ),
    get("gzip for a client that has not asked", sized(b"200 OK", ZIPPED, b"content-encoding: gzip")),
    get(
        "range",
        sized(b"206 Partial Content", TEXT[5:10], b"content-range: bytes 5-9/48890", b"accept-ranges: bytes"),
        lines=[b"range: bytes=5-9"],
    ),
    get(
        "several ranges",
        sized(
            b"206 Partial Content",
            b"--x\r\ncontent-range: bytes 0-0/2\r\n\r\na\r\n--x--\r\n",
            b"content-type: multipart/byteranges; boundary=x",
        ),
        lines=[b"range: bytes=0-0,1-1"],
    ),
    get(
        "range not satisfiable",
        sized(b"416 Range Not Satisfiable", b"", b"content-range: bytes */5"),
        lines=[b"range: bytes=9-"],
    ),
    get(
        "304 with content-length",
        reply(b"304 Not Modified", b"content-length: 1234", b'etag: "x"'),
        "response: length arrives as none",
        lines=[b'if-none-match: "x"'],
    ),
    get(
        "204 with content-length: 0",
        reply(b"204 No Content", b"content-length: 0"),
        "response: length 0 arrives as none",
    ),
    get("205 with content-length: 0", sized(b"205 Reset Content", b"")),
    Case("HEAD with chunked", ask(b"HEAD /"), [Answer(reply(b"200 OK", CHUNKED))]),
    Case("HEAD without framing", ask(b"HEAD /"), [Answer(reply(b"200 OK"))]),
    Case(
        "HEAD with 404",
        ask(b"HEAD /"),
        [Answer(reply(b"404 Not Found", b"content-length: 9", b"content-type: text/html"))],
    ),
]

INTERIM = [
    get(
        "100 unasked", b"HTTP/1.1 100 Continue\r\n\r\n" + sized(b"200 OK", b"x"), "100 Continue only if it was expected"
    ),
    get("102", b"HTTP/1.1 102 Processing\r\n\r\n" + sized(b"200 OK", b"x"), "no interim responses"),
    get(
        "103",
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n" + sized(b"200 OK", b"x"),
        "no interim responses",
    ),
    get(
        "several interim responses",
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 3 + sized(b"200 OK", b"x"),
        "no interim responses",
    ),
]

KEPT_ALIVE = b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok"
VERSIONS = [
    get(
        "app of HTTP/1.0, length",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "response: HTTP/1.0 arrives as HTTP/1.1",
        close=True,
    ),
    get(
        "app of HTTP/1.0, until the end",
        b"HTTP/1.0 200 OK\r\n\r\nall",
        "response: HTTP/1.0 arrives as HTTP/1.1",
        "response: close arrives as chunked",
        close=True,
    ),
    Case(
        "app of HTTP/1.0, keep-alive",
        ask(b"GET /1") + ask(b"GET /2"),
        [Answer(KEPT_ALIVE), Answer(KEPT_ALIVE, close=True)],
        {"response: HTTP/1.0 arrives as HTTP/1.1", "hop-by-hop", "HTTP/1.0 to an app of HTTP/1.0"},
    ),
    get(
        "101 unasked",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        "refused by the proxy: 502 app_malformed_response",
        close=True,
    ),
]

RESPONSES = STATUSES + FIELDS + BODIES + INTERIM + VERSIONS
