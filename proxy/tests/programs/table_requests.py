"""Requests that are sent past STEVE and through it, and in what they are known to differ."""

from __future__ import annotations

from dataclasses import dataclass, field

from wire import Answer

# In every request stands HOST for the service, HERE for the address that the client is connected to.
LARGE = bytes(range(256)) * 4096


@dataclass
class Case:
    """One or more requests, sent at once, and the answer to each. `differs` is besides ALWAYS."""

    name: str
    request: bytes
    answers: list[Answer] = field(default_factory=lambda: [Answer()])
    differs: set[str] = field(default_factory=set)
    # The request's body, sent after 100 Continue or two seconds.
    held: bytes | None = None
    # Through STEVE the same request goes over HTTP/2.
    http2: bool = False


def ask(start: bytes, *lines: bytes, body: bytes = b"", host: bytes = b"HOST") -> bytes:
    """A request; `start` is method and target."""
    return b"\r\n".join([start + b" HTTP/1.1", b"host: " + host, *lines, b"", body])


def sized(start: bytes, body: bytes, *lines: bytes) -> bytes:
    return ask(start, *lines, b"content-length: %d" % len(body), body=body)


def chunks(*blocks: bytes, trailers: bytes = b"", extension: bytes = b"") -> bytes:
    coded = b"".join(b"%x%b\r\n%b\r\n" % (len(block), extension, block) for block in blocks)
    return coded + b"0%b\r\n%b\r\n" % (extension, trailers)


def chunked(start: bytes, body: bytes, *lines: bytes) -> bytes:
    return ask(start, *lines, b"transfer-encoding: chunked", body=body)


def head_answer() -> list[Answer]:
    return [Answer(b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n")]


SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n"


def websocket(name: str, response: bytes, *differs: str) -> Case:
    key = b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA=="
    request = ask(b"GET /", b"connection: upgrade", b"upgrade: websocket", b"sec-websocket-version: 13", key)
    return Case(name, request, [Answer(response, close=True)], set(differs))


METHODS = [
    Case("GET", ask(b"GET /")),
    Case("HEAD", ask(b"HEAD /"), head_answer()),
    Case("POST", sized(b"POST /", b"a=1")),
    Case("PUT", sized(b"PUT /x", b"content")),
    Case("PATCH", sized(b"PATCH /x", b"{}")),
    Case("DELETE", ask(b"DELETE /x")),
    Case("OPTIONS", ask(b"OPTIONS /x")),
    Case("OPTIONS *", ask(b"OPTIONS *")),
    Case("TRACE", ask(b"TRACE /x")),
    Case("PROPFIND with body", sized(b"PROPFIND /dav/", b"<propfind/>", b"depth: 1")),
    Case("made-up method", ask(b"FROBNICATE! /x")),
    Case("method in lower case", ask(b"get /x")),
    Case("CONNECT", ask(b"CONNECT HOST"), differs={"refused by the gateway: 501 connect_not_supported"}),
]

TARGETS = [
    Case("query", ask(b"GET /a?b=c&d=e=f&b=g")),
    Case("empty query", ask(b"GET /a?")),
    Case("query without path segments", ask(b"GET /?x")),
    Case("encoded bytes", ask(b"GET /%41%2f%2F%00%ff%e2%82%ac?q=%20+%26")),
    Case("double slashes", ask(b"GET //a///b//")),
    Case("looks like an authority", ask(b"GET //evil.example/x")),
    Case("dot segments", ask(b"GET /a/./../b/%2e%2e/.")),
    Case("reserved characters", ask(b"GET /a;v=1,2/(b)!$&'*+=:@~-._?/?:@!$&'()*+,;=")),
    *[Case(f"target with {chr(byte)}", ask(b"GET /a%cb?c%cd" % (byte, byte))) for byte in b"[\\]^{|}"],
    *[
        Case(
            f"target with {chr(byte)}",
            ask(b"GET /a%cb?c%cd" % (byte, byte)),
            differs={"refused by the gateway: 400 without fields"},
        )
        for byte in b'"<>`'
    ],
    Case("target of 8000 bytes", ask(b"GET /" + b"a" * 8000)),
    Case("target of 30000 bytes", ask(b"GET /" + b"a" * 30000 + b"?" + b"b" * 300)),
    Case("absolute form", ask(b"GET http://HOST/a?b"), differs={"origin form"}),
    Case("fragment", ask(b"GET /a#b"), differs={"no fragment"}),
    Case("bytes above 0x7f", ask(b"GET /caf\xc3\xa9"), differs={"refused by the gateway: 400 invalid_request"}),
]

FIELDS = [
    Case("repeated fields keep their order", ask(b"GET /", b"x-a: 1", b"x-a: 2", b"x-a: 1", b"accept: a, b")),
    Case("repeated fields apart", ask(b"GET /", b"x-a: 1", b"x-b: 2", b"x-a: 3", b"x-c: 4")),
    Case("names in mixed case", ask(b"GET /", b"X-Mixed-Case: 1", b"ACCEPT: */*")),
    Case("empty value", ask(b"GET /", b"x-empty:", b"x-blank:   ")),
    Case("Latin-1 bytes", ask(b"GET /", b"x-name: caf\xe9 \xff\x80")),
    Case("UTF-8 bytes", ask(b"GET /", "x-name: €".encode())),
    Case("tabs", ask(b"GET /", b"x-tab:\ta\tb  c\t")),
    Case("odd names", ask(b"GET /", b"!#$%&'*+-.^_`|~0: 1", b"x_y: 2", b"x.y: 3")),
    Case("value of 20000 bytes", ask(b"GET /", b"x-long: " + b"v" * 20000)),
    Case("250 fields", ask(b"GET /", *[b"x-%d: %d" % (n, n) for n in range(250)])),
    Case("cookies", ask(b"GET /", b'cookie: a=1; b="2"; c=')),
    Case("two cookie fields", ask(b"GET /", b"cookie: a=1", b"cookie: b=2"), differs={"one cookie field"}),
    Case("Authorization", ask(b"GET /", b"authorization: Basic YTpi")),
    Case("Range", ask(b"GET /", b"range: bytes=0-1,5-", b'if-range: "v1"')),
    Case(
        "conditions", ask(b"GET /", b'if-none-match: W/"a", "b"', b"if-modified-since: Sat, 29 Oct 1994 19:43:31 GMT")
    ),
    Case(
        "preconditions", sized(b"PUT /", b"x", b'if-match: "a"', b"if-unmodified-since: Sat, 29 Oct 1994 19:43:31 GMT")
    ),
    Case(
        "Accept-*",
        ask(b"GET /", b"accept-encoding: gzip, br;q=0.5, *;q=0", b"accept-language: de", b"user-agent: x/1 (y)"),
    ),
    Case(
        "Content-Encoding",
        sized(b"POST /", b"\x1f\x8b\x08\x00not gzip", b"content-encoding: gzip", b'content-type: x/y; z="\\""'),
    ),
    Case(
        "Via, Forwarded, X-Forwarded-*",
        ask(
            b"GET /",
            b"via: 1.1 a",
            b"forwarded: for=1.2.3.4;proto=https",
            b"x-forwarded-for: 1.2.3.4",
            b"x-forwarded-host: h",
            b"x-real-ip: 1.2.3.4",
            b"max-forwards: 0",
        ),
    ),
    Case(
        "Origin and Sec-*",
        ask(b"GET /", b"origin: https://a.example", b"sec-fetch-site: same-origin", b"referer: https://a.example/b"),
    ),
    Case("TE: trailers", ask(b"GET /", b"te: trailers", b"connection: te"), differs={"hop-by-hop"}),
    Case("TE: gzip", ask(b"GET /", b"te: gzip, trailers"), differs={"hop-by-hop"}),
    Case(
        "hop-by-hop fields",
        ask(
            b"GET /",
            b"connection: keep-alive",
            b"keep-alive: timeout=5",
            b"proxy-connection: close",
            b"proxy-authorization: Basic YTpi",
        ),
        differs={"hop-by-hop"},
    ),
    Case(
        "named by Connection",
        ask(b"GET /", b"connection: x-hop, X-Other", b"x-hop: 1", b"x-other: 2", b"x-end: 3"),
        differs={"hop-by-hop"},
    ),
    Case(
        "Connection names framing", sized(b"POST /", b"x", b"connection: content-length, host"), differs={"hop-by-hop"}
    ),
    Case(
        "Connection: close", ask(b"GET /", b"connection: close"), differs={"hop-by-hop", "response: connection: close"}
    ),
    Case(
        "forged steve-*",
        ask(b"GET /", b"steve-session: forged", b"Steve_Session: forged", b"steve.admin: 1", b"steven: 2"),
        differs={"steve-*"},
    ),
    Case("Host of the gateway", ask(b"GET /", host=b"HERE"), differs={"host"}),
    Case("two hosts", ask(b"GET /", b"host: HOST"), differs={"refused by the gateway: 400 malformed_request"}),
    Case("another host", ask(b"GET /", host=b"other.example"), differs={"refused by the gateway: 421 misdirected"}),
    Case(
        "upgrade to h2c",
        ask(b"GET /", b"connection: upgrade, http2-settings", b"upgrade: h2c", b"http2-settings: AAMAAABk"),
        differs={"hop-by-hop"},
    ),
    Case(
        "upgrade to another protocol",
        ask(b"GET /", b"connection: upgrade", b"upgrade: x/1"),
        differs={"hop-by-hop"},
    ),
    websocket("websocket", SWITCHED + b"upgrade: websocket\r\n\r\n\x81\x05hello"),
    websocket("websocket that the app refuses", b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno"),
    websocket("websocket that the app ignores", Answer().response),
    websocket(
        "websocket of another version",
        b"HTTP/1.1 426 Upgrade Required\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 8\r\ncontent-length: 0\r\n\r\n",
        "hop-by-hop",
    ),
    websocket(
        "websocket, another protocol in the answer",
        SWITCHED + b"upgrade: x\r\n\r\n",
        "refused by the proxy: 502 app_malformed_response",
    ),
    Case(
        "head above max_head_size",
        ask(b"GET /", b"x-long: " + b"v" * 40000),
        differs={"refused by the proxy: 431 head_too_large"},
    ),
    Case(
        "head above the gateway's limit",
        ask(b"GET /", b"x-long: " + b"v" * 70000),
        differs={"refused by the gateway: 431 head_too_large"},
    ),
    Case(
        "300 fields",
        ask(b"GET /", *[b"x-%d: %d" % (n, n) for n in range(300)]),
        differs={"refused by the gateway: 431 without fields"},
    ),
]

BODIES = [
    Case("POST without body or length", ask(b"POST /"), differs={"request: none arrives as length 0"}),
    Case("content-length: 0", sized(b"POST /", b"")),
    Case("GET with content-length: 0", sized(b"GET /", b"")),
    Case("GET with body", sized(b"GET /", b"body")),
    Case("DELETE with body", sized(b"DELETE /", b"body")),
    Case("large body", sized(b"PUT /", LARGE)),
    Case(
        "equal lengths twice",
        ask(b"POST /", b"content-length: 3", b"content-length: 3", body=b"abc"),
        differs={"equal lengths become one"},
    ),
    Case("chunked", chunked(b"POST /", chunks(b"abc", b"defg"))),
    Case("GET chunked", chunked(b"GET /", chunks(b"abc"))),
    Case("empty chunked body", chunked(b"POST /", chunks())),
    Case("large chunked body", chunked(b"PUT /", chunks(*[LARGE[:65536]] * 16))),
    Case(
        "length and chunked",
        chunked(b"POST /", chunks(b"abc"), b"content-length: 3"),
        differs={"no length beside chunked", "response: connection: close"},
    ),
    Case(
        "gzip, chunked",
        ask(b"POST /", b"transfer-encoding: gzip, chunked", body=chunks(b"abc")),
        differs={"refused by the gateway: 501 transfer_coding"},
    ),
    Case("chunk extensions", chunked(b"POST /", chunks(b"abc", extension=b';a=b;c="d"')), differs={"chunk extensions"}),
    Case(
        "trailers that are announced",
        chunked(b"POST /", chunks(b"abc", trailers=b"x-sum: 1\r\nX-More: 2\r\n"), b"trailer: x-sum, x-more"),
    ),
    Case(
        "trailers announced after a length",
        sized(b"POST /", b"abc", b"trailer: x-sum"),
        differs={"request: length arrives as chunked"},
    ),
    Case(
        "trailers that are not announced",
        chunked(b"POST /", chunks(b"abc", trailers=b"x-sum: 1\r\n")),
        differs={"request: no trailers"},
    ),
    Case(
        "trailers of hop-by-hop and steve-*",
        chunked(
            b"POST /",
            chunks(b"abc", trailers=b"x-sum: 1\r\nkeep-alive: 1\r\nsteve-a: 1\r\nx-hop: 1\r\n"),
            b"trailer: x-sum, keep-alive, steve-a, x-hop",
            b"connection: x-hop",
        ),
        differs={"hop-by-hop", "steve-*"},
    ),
    Case(
        "expectation accepted",
        ask(b"POST /", b"expect: 100-continue", b"content-length: 4"),
        [Answer(first=b"HTTP/1.1 100 Continue\r\n\r\n")],
        held=b"body",
    ),
    Case(
        "expectation refused",
        ask(b"POST /", b"expect: 100-continue", b"content-length: 4"),
        [Answer(b"HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n", reads=False, close=True)],
        held=b"body",
    ),
    Case(
        "expectation ignored",
        ask(b"POST /", b"expect: 100-continue", b"content-length: 4"),
        held=b"body",
        differs={"100 Continue from the gateway"},
    ),
    Case("expectation without body", ask(b"GET /", b"expect: 100-continue")),
    Case("unknown expectation", sized(b"POST /", b"x", b"expect: miracles")),
]

CONNECTIONS = [
    Case(
        "pipelined",
        ask(b"GET /1") + sized(b"POST /2", b"two") + ask(b"HEAD /3") + ask(b"GET /4"),
        [Answer(), Answer(), *head_answer(), Answer()],
    ),
    Case("line breaks before a request", b"\r\n" + ask(b"GET /1")),
    Case(
        "client of HTTP/1.0",
        b"GET / HTTP/1.0\r\nhost: HOST\r\n\r\n",
        [Answer(close=True)],
        {"refused by the gateway: 505 http_version"},
    ),
]

HTTP2 = [
    Case("HTTP/2 GET", ask(b"GET /a?b=c", b"x-a: 1", b"x-a: 2", b"te: trailers"), http2=True),
    Case("HTTP/2 HEAD", ask(b"HEAD /"), head_answer(), http2=True),
    Case("HTTP/2 POST", sized(b"POST /", b"body"), http2=True),
    Case("HTTP/2 POST without length", chunked(b"POST /", chunks(b"body")), http2=True),
    Case(
        "HTTP/2 request trailers",
        chunked(b"POST /", chunks(b"body", trailers=b"x-sum: 1\r\n"), b"trailer: x-sum"),
        http2=True,
    ),
    Case(
        "HTTP/2 cookies apart", ask(b"GET /", b"cookie: a=1", b"cookie: b=2"), differs={"one cookie field"}, http2=True
    ),
    Case(
        "HTTP/2 response trailers",
        ask(b"GET /"),
        [Answer(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks(b"abc", trailers=b"x-sum: 1\r\n"))],
        http2=True,
    ),
    Case(
        "HTTP/2 early hints",
        ask(b"GET /"),
        [Answer(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + Answer().response)],
        {"no interim responses"},
        http2=True,
    ),
    Case(
        "HTTP/2 304 with content-length",
        ask(b"GET /"),
        [Answer(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n")],
        http2=True,
    ),
    Case(
        "HTTP/2 broken response",
        ask(b"GET /"),
        [Answer(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", close=True)],
        http2=True,
    ),
    Case(
        "HTTP/2 unknown status", ask(b"GET /"), [Answer(b"HTTP/1.1 599 Odd\r\ncontent-length: 0\r\n\r\n")], http2=True
    ),
]

REQUESTS = METHODS + TARGETS + FIELDS + BODIES + CONNECTIONS + HTTP2
