"""What is passed unencrypted, and which web pages may call."""

from __future__ import annotations

from app import BOOTSTRAP
from report import expect, expect_in
from session import CBOR, CONFIRM, REQUEST, SESSION, Offer, Reply
from target import ORIGIN, REFUSALS, Target, expect_error

import wire
from proxy import EndedEarly

ENDPOINTS = (SESSION, CONFIRM, REQUEST)
ALLOW_ORIGIN = "access-control-allow-origin"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
OTHER_ORIGINS = (
    "null",
    "*",
    "https://other.example",
    ORIGIN + ".other.example",
    ORIGIN + ":8443",
    ORIGIN + "/",
    ORIGIN + " https://other.example",
    ORIGIN.replace("https", "http"),
    ORIGIN.upper(),
    "https://sub.app.example",
)


def run(t: Target) -> None:
    plaintext(t)
    fallback(t)
    preflights(t)
    cross_origin(t)
    wildcard(t)


def plaintext(t: Target) -> None:
    refused = [
        *((method, "/echo") for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")),
        *(("POST", path) for path in ("/", *BOOTSTRAP)),
        ("PUT", "/"),
        ("GET", "//"),
        ("GET", "/index.html"),
        ("GET", "/register.js/"),
        ("GET", "/register.jsx"),
        ("GET", "/Register.js"),
        ("GET", "/register.js/../echo"),
        ("GET", "/x/../register.js"),
        ("GET", "/%72egister.js"),
        ("GET", "/register.js%00"),
        ("GET", "/xwing/"),
        ("GET", "/e2p"),
    ]
    for method, path in refused:
        with t.check(f"unencrypted {method} {path}: 403 e2e_required"), t.app_sees(0):
            reply = t.outer.call(method, path, b"x" if method in ("POST", "PUT", "PATCH") else None)
            expect("status", 403, reply.status)
            expect("cache-control", ["no-store"], reply.values("cache-control"))
            if method != "HEAD":
                expect_error(reply, "e2e_required")
    passed = [("GET", "/"), *((method, path) for path in BOOTSTRAP for method in ("GET", "HEAD"))]
    for method, path in passed:
        with t.check(f"unencrypted {method} {path}: passed through"), t.app_sees(1):
            reply = t.outer.call(method, path)
            expect("status", 200, reply.status)
            expected = b"the app" if path == "/" else b"bootstrap " + path.encode()
            expect("body", b"" if method == "HEAD" else expected, reply.body)
    with t.check("an absolute URL is treated as its path"), t.app_sees(0):
        status = t.outer.call("GET", "http://app.example/echo").status
        expect_in("status", (400, 403), status)


def fallback(t: Target) -> None:
    with t.start({"STEVE_ALLOW_PLAINTEXT_FALLBACK": "true"}) as (outer, _):
        for method in ("GET", "POST"):
            with t.check(f"with fallback, unencrypted {method} /echo is passed through"), t.app_sees(1):
                expect("status", 200, outer.call(method, "/echo", b"x" if method == "POST" else None).status)
        with t.check("with fallback, a malformed envelope is still refused"), t.app_sees(0):
            expect("status", 400, outer.post(REQUEST, b"\xa0").status)


def no_cors(reply: Reply) -> None:
    found = [name for name, _ in reply.fields if name.startswith("access-control-")]
    expect("CORS fields", [], found)


def allowed(reply: Reply) -> None:
    expect(ALLOW_ORIGIN, [ORIGIN], reply.values(ALLOW_ORIGIN))
    expect("credentials", [], reply.values("access-control-allow-credentials"))
    if "origin" not in ",".join(reply.values("vary")).lower():
        raise AssertionError("Vary does not name Origin")


def words(reply: Reply, name: str) -> list[str]:
    return [word.strip().lower() for value in reply.values(name) for word in value.split(",")]


def preflights(t: Target) -> None:
    for path in ENDPOINTS:
        with t.check(f"preflight of {path} from the allowed origin"), t.app_sees(0):
            reply = t.outer.call("OPTIONS", path, None, {"Origin": ORIGIN, **PREFLIGHT})
            expect_in("status", (200, 204), reply.status)
            allowed(reply)
            expect_in("post", tuple(words(reply, "access-control-allow-methods")), "post")
            expect_in("content-type", tuple(words(reply, "access-control-allow-headers")), "content-type")
        for origin in OTHER_ORIGINS:
            with t.check(f"preflight of {path} from {origin}"), t.app_sees(0):
                reply = t.outer.call("OPTIONS", path, None, {"Origin": origin, **PREFLIGHT})
                expect(ALLOW_ORIGIN, [], reply.values(ALLOW_ORIGIN))
    for path in ("/", "/echo", "/register.js"):
        with t.check(f"preflight of {path}: not allowed, not passed on"), t.app_sees(0):
            reply = t.outer.call("OPTIONS", path, None, {"Origin": ORIGIN, **PREFLIGHT})
            expect("status", 403, reply.status)
            no_cors(reply)


def cross_origin(t: Target) -> None:
    good = wire.encode(Offer(t.suite).fields())
    with t.check("a session from the allowed origin"):
        reply = t.outer.post(SESSION, good, {"Origin": ORIGIN})
        expect("status", 200, reply.status)
        allowed(reply)
    for path in ENDPOINTS:
        with t.check(f"the allowed origin can read errors of {path}"):
            reply = t.outer.post(path, b"\xa0", {"Origin": ORIGIN})
            expect("status", 400, reply.status)
            allowed(reply)
    with t.check("another origin is not told that it may read"):
        for origin in OTHER_ORIGINS:
            reply = t.outer.post(SESSION, good, {"Origin": origin})
            expect_in("status", (200, *REFUSALS), reply.status)
            expect(ALLOW_ORIGIN, [], reply.values(ALLOW_ORIGIN))
    for path in ("/", "/echo", "/register.js"):
        with t.check(f"no CORS on {path}"):
            no_cors(t.outer.call("GET", path, None, {"Origin": ORIGIN}))


def wildcard(t: Target) -> None:
    with t.check("* as configured origin: the proxy does not start, or allows nobody"):
        try:
            with t.start({"STEVE_CORS_ORIGINS": "*"}) as (outer, _):
                for origin in ("*", ORIGIN):
                    reply = outer.call("OPTIONS", SESSION, None, {"Origin": origin, **PREFLIGHT})
                    expect(ALLOW_ORIGIN, [], reply.values(ALLOW_ORIGIN))
                    reply = outer.call("POST", SESSION, b"\xa0", {"Origin": origin, "Content-Type": CBOR})
                    expect(ALLOW_ORIGIN, [], reply.values(ALLOW_ORIGIN))
        except EndedEarly:
            pass
    with t.check("no configured origin: nobody is allowed"), t.start({"STEVE_CORS_ORIGINS": ""}) as (outer, _):
        reply = outer.call("OPTIONS", SESSION, None, {"Origin": ORIGIN, **PREFLIGHT})
        expect(ALLOW_ORIGIN, [], reply.values(ALLOW_ORIGIN))
