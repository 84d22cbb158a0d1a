"""Requests and responses of the app, inside the channel."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from app import filler
from report import expect, expect_in
from session import REQUEST, Refused, Response, Session, inner_request
from target import Target

import wire
from wire import WireError

RESPONSE_BODY_LIMIT = 33_554_432
CERTAIN_REQUEST_BODY = 16 << 20
NO_BODY = (None, b"")


def run(t: Target) -> None:
    requests(t)
    responses(t)
    bodies(t)
    hostile(t)


def echo(
    session: Session, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
) -> dict[str, Any]:
    response = session.request(method, path, headers, body)
    expect("status", 200, response.status)
    out: dict[str, Any] = json.loads(response.body or b"")
    return out


def seen(described: dict[str, Any], name: str) -> list[str]:
    return [value for key, value in described["headers"] if key == name]


def requests(t: Target) -> None:
    session = t.session()
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        for body in (None, b"", b"a body"):
            with t.check(f"{method} with body {body!r}"):
                described = echo(session, method, "/echo", {}, body)
                expect("method", method, described["method"])
                expect("length", len(body or b""), described["length"])
    with t.check("HEAD has no body"):
        response = session.request("HEAD", "/echo")
        expect("status", 200, response.status)
        expect_in("body", NO_BODY, response.body)
        expect("content type", ["application/json"], response.values("content-type"))
    for path in ("/echo", "/echo/a?b=c&d=%20+e", "/echo/%2e%2e/x", "/echo/%C3%A4?", "/echo//x", "/echo/" + "p" * 4000):
        with t.check(f"path {path[:40]} comes as it is"):
            expect("path", path, echo(session, "GET", path)["path"])
    with t.check("headers of the request come to the app"):
        headers = {"X-One": "1", "x-two": "a, b", "Accept": "text/plain", "Cookie": "a=1; b=2", "Authorization": "Bearer abc"}
        described = echo(session, "POST", "/echo", {**headers, "Content-Type": "text/x"}, b"body")
        for name, value in {**headers, "content-type": "text/x"}.items():
            expect(name, [value], seen(described, name.lower()))
    with t.check("nothing of the outer request comes to the app"):
        number = session.next()
        body = wire.encode(session.envelope(number, wire.encode(inner_request("GET", "/echo"))))
        outer = {name: "https://outer.example" for name in ("X-Outer", "Cookie", "Authorization", "Origin", "User-Agent")}
        reply = t.outer.post(REQUEST, body, outer)
        plaintext = session.open(reply.body, number)
        if b"outer" in plaintext.lower():
            raise AssertionError(plaintext[:300])


def responses(t: Target) -> None:
    session = t.session()
    with t.check("a redirect is passed through, not followed"), t.app_sees(1):
        response = session.request("GET", "/redirect")
        expect("status", 302, response.status)
        expect("location", ["/echo"], response.values("location"))
    with t.check("values of one header stay pairs, in order"):
        response = session.request("GET", "/cookies")
        expect("set-cookie", ["b=1; Path=/", "a=2; Path=/"], response.values("set-cookie"))
        expect_in("x-many", (["1", "2"], ["1, 2"]), response.values("x-many"))
    with t.check("every status from 200 to 599"):
        for status in range(200, 600):
            response = session.request("GET", f"/status/{status}")
            expect("status", status, response.status)
            if status in (204, 205, 304):
                continue
            expect(f"body of {status}", f"status {status}".encode(), response.body)
    for status in (204, 304):
        with t.check(f"status {status} has no body"):
            expect_in("body", NO_BODY, session.request("GET", f"/status/{status}").body)
    for status in (600, 999):
        with t.check(f"status {status} of the app becomes an error"):
            fails(session, f"/status/{status}")
    with t.check("a response that breaks off is an error, not a short body"):
        fails(session, "/broken")
    with t.check("after these errors the session goes on"):
        t.alive(session)


def fails(session: Session, path: str) -> None:
    """An error inside the channel, or an outer one which clients take as local to the request."""
    try:
        response = session.request("GET", path)
    except Refused as refused:
        expect_in("outer status", tuple(range(500, 600)), refused.status)
        return
    if response.error is None or response.status < 500:
        raise AssertionError(f"status {response.status}, error {response.error!r}, body {response.body and len(response.body)}")


def expect_filler(response: Response, length: int) -> None:
    expect("status", 200, response.status)
    body = response.body or b""
    expect("length", length, len(body))
    if body != filler(length):
        raise AssertionError("the body is another")


def bodies(t: Target) -> None:
    session = t.session()
    for route in ("bytes", "chunked"):
        for length in (0, 1, 65_535, 65_536, 1 << 20, RESPONSE_BODY_LIMIT):
            with t.check(f"response body of {length} bytes, /{route}"):
                expect_filler(session.request("GET", f"/{route}/{length}"), length)
        for length in (RESPONSE_BODY_LIMIT + 1, RESPONSE_BODY_LIMIT + (8 << 20)):
            with t.check(f"response body of {length} bytes, /{route}, is an error"):
                fails(session, f"/{route}/{length}")
    with t.check("HEAD of what would be too long"):
        expect("status", 200, session.request("HEAD", f"/bytes/{RESPONSE_BODY_LIMIT + 1}").status)
    with t.check("the longest body with 70 headers of 1,000 bytes is never more than clients read"):
        path = f"/fields/70/1000/{RESPONSE_BODY_LIMIT}"
        try:
            expect("length", RESPONSE_BODY_LIMIT, len(session.request("GET", path).body or b""))
        except (Refused, AssertionError):
            fails(session, path)
    with t.check("after these the session goes on"):
        t.alive(session)
    for length in (1, 65_536, 1 << 20, CERTAIN_REQUEST_BODY):
        with t.check(f"request body of {length} bytes"):
            uploads(session, length)
    for length in (RESPONSE_BODY_LIMIT, RESPONSE_BODY_LIMIT + (128 << 10), 64 << 20):
        with t.check(f"request body of {length} bytes: accepted whole, or 413"):
            before = t.app.total
            try:
                uploads(session, length)
            except Refused as refused:
                expect("status", 413, refused.status)
                expect("requests that the app saw", before, t.app.total)
    with t.check("after a 413 the session goes on"):
        t.alive(session)


def uploads(session: Session, length: int) -> None:
    body = filler(length)
    described = echo(session, "POST", "/echo", {"content-type": "application/octet-stream"}, body)
    expect("length", length, described["length"])
    expect("hash", hashlib.sha256(body).hexdigest(), described["sha256"])


def hostile(t: Target) -> None:
    """What would be another request, or more than one, if it came to the app as it is."""
    lines: dict[str, dict[str, Any]] = {
        "a method with a line": {"method": "GET / HTTP/1.1\r\nX: 1\r\n\r\nGET"},
        "an empty method": {"method": ""},
        "a method with a blank": {"method": "GET /"},
        "an empty path": {"path": ""},
        "a path without slash": {"path": "echo"},
        "a path with a blank": {"path": "/echo HTTP/1.1"},
        "a path with a line": {"path": "/echo HTTP/1.1\r\nX: 1\r\n\r\n"},
        "a path with a zero byte": {"path": "/echo\0"},
        "a whole URL as path": {"path": "http://other.example/echo"},
        "CONNECT": {"method": "CONNECT", "path": "other.example:80"},
        "a header name with a line": {"headers": {"a\r\nb": "1"}},
        "a header name with a colon": {"headers": {"a: b\r\nc": "1"}},
        "an empty header name": {"headers": {"": "1"}},
        "a header name with a blank": {"headers": {"a ": "1"}},
        "a header value with a line": {"headers": {"a": "1\r\nb: 2"}},
        "a header value with a newline": {"headers": {"a": "1\nb: 2"}},
        "a header value with a zero byte": {"headers": {"a": "1\0"}},
    }
    for name, changed in lines.items():
        with t.check(f"{name} does not come to the app"), t.app_sees(0):
            request = {**inner_request("POST", "/echo", {}, b"body"), **changed}
            try:
                response = t.session().exchange(1, wire.encode(request))
            except Refused as refused:
                expect("outer status", 400, refused.status)
            else:
                expect_in("status", tuple(range(400, 600)), response.status)
    smuggled = b"0\r\n\r\nPOST /smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    framing: dict[str, dict[str, str]] = {
        "Transfer-Encoding: chunked": {"Transfer-Encoding": "chunked"},
        "a short Content-Length": {"Content-Length": "5"},
        "a long Content-Length": {"Content-Length": "5000"},
        "both": {"Transfer-Encoding": "chunked", "Content-Length": "5"},
        "Content-Length in two cases": {"Content-Length": "5", "content-length": "6"},
        "Connection naming a header": {"Connection": "close, X-A", "X-A": "1"},
        "Upgrade": {"Connection": "Upgrade", "Upgrade": "websocket"},
        "Expect": {"Expect": "100-continue"},
        "TE and Trailer": {"TE": "trailers", "Trailer": "X-A"},
        "Host": {"Host": "other.example"},
    }
    for name, headers in framing.items():
        with t.check(f"{name}: the app sees one request with its whole body, or none"):
            before = t.app.total
            try:
                response = t.session().request("POST", "/echo", headers, smuggled)
            except Refused as refused:
                expect_in("outer status", (400, 403), refused.status)
                expect("requests that the app saw", before, t.app.total)
                continue
            expect("requests to /smuggled", 0, t.app.executed["/smuggled"])
            if response.status >= 400:
                expect("requests that the app saw", before, t.app.total)
                continue
            expect("requests that the app saw", before + 1, t.app.total)
            described = json.loads(response.body or b"")
            expect("length", len(smuggled), described["length"])
            for one in ("content-length", "host", "transfer-encoding"):
                expect_in(f"number of {one}", (0, 1), len(seen(described, one)))
    with t.check("answers from a used session are not those of another"):
        first, other = t.session(), t.session()
        answer = t.outer.post_cbor(REQUEST, wire.encode(first.envelope(1, wire.encode(inner_request("GET", "/echo")))))
        try:
            other.open(answer, 1)
        except WireError:
            return
        raise AssertionError("opened")
