"""The cases of the live test: what has to be refused, cut off or reported."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from . import client, handshake
from .client import BASE, STREAM, OuterError, OuterResponse
from .codec import Reader, uint
from .frames import DATA, HEAD, RESET
from .handshake import HandshakeError
from .heads import RequestHead, encode_fields
from .livecases import (
    Context,
    case,
    echoed,
    expect,
    expect_in,
    field_of,
    fresh_path,
    get,
    status_of,
)
from .stream import ResetError

APP_FAILED, CANCELLED, PROTOCOL_ERROR, TRUNCATED, INTERNAL = 0x0201, 0x0202, 0x0203, 0x0205, 0x0206


def expect_refused(answer: OuterResponse, status: int = 422, code: str | None = "unrecognized") -> None:
    expect("outer status", status, answer.status)
    if code is not None:
        expect("outer body", {"error": code}, json.loads(answer.body))
        expect("content-type", "application/json", answer.fields.get("content-type", "").split(";")[0])
    expect("cache-control", "no-store", answer.fields.get("cache-control"))


def expect_reset(action: Callable[[], object], *codes: int) -> None:
    try:
        got = action()
    except ResetError as error:
        if codes:
            expect_in("RESET code", codes, error.code)
        return
    raise AssertionError(f"expected RESET, got {got!r}")


def flipped(data: bytes, index: int = -1) -> bytes:
    out = bytearray(data)
    out[index] ^= 0x01
    return bytes(out)


@case("tampered first frame: 422, and the stream id stays unused")
def tampered_first(ctx: Context) -> None:
    session, path = ctx.session(), fresh_path()
    parts = session.sealed(1, get(path))
    body = b"".join(parts)
    for index in (-1, len(parts[0]) + 4, len(body) // 2):
        expect_refused(ctx.outer.post_stream(flipped(body, index)))
    expect("requests at the app", 0, ctx.app.count(path))
    echoed(session.exchange(1, parts))


@case("tampered later frame: RESET protocol-error, request not complete")
def tampered_later(ctx: Context) -> None:
    session, path = ctx.session(), fresh_path()
    for data in ([0, 1, 2], [0, 1, 3, 2], [0, 1, 2, 2, 3]):
        stream_id = session.next_id()
        parts = session.sealed(stream_id, get(path, b"POST"), bytes(30), chunk=10)  # open, HEAD, DATA, DATA, DATA
        if data == [0, 1, 2]:
            chosen = [*parts[:3], flipped(parts[3]), *parts[4:]]
        else:
            chosen = [parts[i] for i in data] + parts[4:]
        expect_reset(lambda: session.exchange(stream_id, chosen), PROTOCOL_ERROR)
    expect("complete requests", 0, ctx.app.completed(path))


@case("illegal frame sequences: RESET protocol-error")
def illegal_sequences(ctx: Context) -> None:
    session = ctx.session(0x0004)
    head = get("/echo", b"POST").encode()
    for frames in (
        [(2, b"x"), (0x82, b"")],
        [(1, head), (1, head), (0x82, b"")],
        [(1, head), (3, b"\x00")],
        [(1, head), (0x84, b"\x02\x02")],
        [(1, head), (5, b""), (0x82, b"")],
        [(1, head), (2, b"x"), (0x83, encode_fields([(b"host", b"a")]))],
        [(1, head), (0x82, b"x"), (0x82, b"x")],
    ):
        stream_id = session.next_id()
        sealer = session.sealer(stream_id)
        parts = [session.open_stream(stream_id), *(sealer.seal(t, c) for t, c in frames)]
        if frames[-1] == frames[-2]:  # what follows FIN is not acted on
            expect("body length", 1, echoed(session.exchange(stream_id, parts))["length"])
        else:
            expect_reset(lambda: session.exchange(stream_id, parts), PROTOCOL_ERROR)


@case("unknown session: 422")
def unknown_session(ctx: Context) -> None:
    session = ctx.session()
    body = bytearray(b"".join(session.sealed(1, get("/echo"))))
    body[1:17] = secrets.token_bytes(16)
    expect_refused(ctx.outer.post_stream(bytes(body)))


@case("unknown key id, suite of another entry, invalid enc: 422")
def unknown_key(ctx: Context) -> None:
    config = ctx.enclave.key_config
    entry = config.entry(0x0001)
    hello = handshake.Client(entry, ctx.enclave.key_config_hash).hello
    expect_refused(ctx.outer.post_stream(replace(hello, key_id=secrets.token_bytes(8)).encode()))
    expect_refused(ctx.outer.post_stream(replace(hello, enc=bytes(32)).encode()))
    expect_refused(ctx.outer.post_stream(replace(hello, epk=bytes(32)).encode()))
    if config.entry(0x0002).key_id != entry.key_id:
        expect_refused(ctx.outer.post_stream(replace(hello, key_id=config.entry(0x0002).key_id).encode()))
    hybrid = handshake.Client(config.entry(0x0002), ctx.enclave.key_config_hash).hello
    expect_refused(ctx.outer.post_stream(replace(hybrid, epk=b"\xff" * 1216).encode()))


@case("changed ClientHello: the client notices")
def changed_hello(ctx: Context) -> None:
    for suite in (0x0001, 0x0002):
        for field in ("epk", "enc"):
            c = handshake.Client(ctx.enclave.key_config.entry(suite), ctx.enclave.key_config_hash)
            epk, enc = c.hello.epk, c.hello.enc
            changed = replace(c.hello, epk=flipped(epk, 0)) if field == "epk" else replace(c.hello, enc=flipped(enc, 0))
            answer = ctx.outer.post_stream(changed.encode())
            if answer.status != 200:
                expect_refused(answer)
                continue
            try:
                c.finish(Reader(answer.body))
            except HandshakeError:
                continue
            raise AssertionError(f"changed {field} went unnoticed")


@case("malformed plain parts: 400")
def malformed(ctx: Context) -> None:
    session = ctx.session(0x0001)
    hello = handshake.Client(ctx.enclave.key_config.entry(0x0001), ctx.enclave.key_config_hash).hello.encode()
    frames = b"".join(session.sealed(1, get("/echo"))[1:])
    session_id = session.server.session_id
    for what, body in {
        "empty body": b"",
        "kind 0": b"\x00" + hello[1:],
        "kind 3": b"\x03" + hello[1:],
        "kind 9": b"\x09" + session_id + uint(1, 8) + frames,
        "version 4": hello[:2] + b"\x04" + hello[3:],
        "suite 0x9999": hello[:3] + b"\x99\x99" + hello[5:],
        "early_data 2": hello[:5] + b"\x02" + hello[6:],
        "short ClientHello": hello[:-1],
        "bytes after a ClientHello without early data": hello + b"\x00",
        "short StreamOpen": session.open_stream(1)[:-1],
        "stream id 0": session.open_stream(0) + frames,
        "stream id 2^62": session.open_stream(1 << 62) + frames,
    }.items():
        answer = ctx.outer.post_stream(body)
        try:
            expect_refused(answer, 400, "malformed")
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}") from error
    for challenge in (b"", bytes(31), bytes(33)):
        expect_refused(ctx.outer.call("POST", client.EVIDENCE, challenge), 400, "malformed")


@case("first frame absent, incomplete or of an impossible length: refused outside the channel, id unused")
def bad_lengths(ctx: Context) -> None:
    session, path = ctx.session(), fresh_path()
    for tail in (b"", bytes(3), uint(17, 4), uint(17, 4) + bytes(16), session.sealed(1, get(path))[1][:-1]):
        expect_refused(ctx.outer.post_stream(session.open_stream(1) + tail))
    for tail in (uint(0, 4), uint(16, 4) + bytes(16), uint(65554, 4) + bytes(65554), uint(2**32 - 1, 4) + bytes(100)):
        answer = ctx.outer.post_stream(session.open_stream(1) + tail)
        expect_in("outer status", (400, 422), answer.status)
    echoed(session.exchange(1, session.sealed(1, get(path))))


@case("truncated request: RESET, and never complete at the app unless all of a declared length had come")
def truncated(ctx: Context) -> None:
    session = ctx.session()
    for what, method, fields, body, may_complete in (
        ("no content-length", b"POST", [], bytes(1000), False),
        ("whole body of a declared length, but no FIN", b"POST", [(b"content-length", b"1000")], bytes(1000), True),
        ("part of a declared length", b"POST", [(b"content-length", b"1000")], bytes(500), False),
        ("HEAD without FIN", b"GET", [], b"", False),
    ):
        path, stream_id = fresh_path(), session.next_id()
        sealer = session.sealer(stream_id)
        parts = [session.open_stream(stream_id), sealer.seal(HEAD, get(path, method, fields).encode())]
        if body:
            parts.append(sealer.seal(DATA, body))
        try:
            expect_reset(lambda: session.exchange(stream_id, parts), TRUNCATED, PROTOCOL_ERROR)
        except AssertionError:
            # The app's answer to a whole request may have been complete before the proxy saw that FIN is missing.
            if not may_complete or not ctx.app.completed(path):
                raise
        expect_in(f"complete requests ({what})", (0, 1) if may_complete else (0,), ctx.app.completed(path))


@case("request with RESET at its end: RESET cancelled, and never complete at the app")
def client_reset(ctx: Context) -> None:
    session, path = ctx.session(), fresh_path()
    for body in ([], [(DATA, bytes(1000))]):
        stream_id = session.next_id()
        sealer = session.sealer(stream_id)
        frames = [(HEAD, get(path, b"POST").encode()), *body, (RESET, uint(CANCELLED, 2))]
        parts = [session.open_stream(stream_id), *(sealer.seal(t, c) for t, c in frames)]
        expect_reset(lambda: session.exchange(stream_id, parts), CANCELLED)
    expect("complete requests", 0, ctx.app.completed(path))


@case("outer connection lost in the middle of a request: never complete at the app")
def connection_lost(ctx: Context) -> None:
    session, path = ctx.session(), fresh_path()
    parts = session.sealed(1, get(path, b"POST", [(b"content-length", b"2000")]), bytes(2000), chunk=1000)

    def broken() -> Iterator[bytes]:
        yield from parts[:3]
        deadline = time.monotonic() + 2
        while not ctx.app.count(path) and time.monotonic() < deadline:
            time.sleep(0.02)
        raise ConnectionAbortedError("given up on purpose")

    try:
        ctx.outer.start("POST", STREAM, broken())
    except ConnectionAbortedError:
        pass
    time.sleep(0.5)
    expect("complete requests", 0, ctx.app.completed(path))


@case("content-length that does not match the body: refused")
def wrong_length(ctx: Context) -> None:
    session = ctx.session()
    for declared in (b"5", b"500"):
        path = fresh_path()
        try:
            message = session.request(get(path, b"POST", [(b"content-length", declared)]), bytes(100))
            expect("status", 400, status_of(message))
        except ResetError as error:
            expect("code", PROTOCOL_ERROR, error.code)
        expect("complete requests", 0, ctx.app.completed(path))


@case("malformed heads: 400 malformed_request in the channel, not dispatched")
def malformed_heads(ctx: Context) -> None:
    session = ctx.session()
    good = get("/echo/malformed")
    bad: list[RequestHead] = [
        replace(good, method=b"GE T"), replace(good, scheme=b"ftp"), replace(good, authority=b""),
        replace(good, authority=b"user@host"), replace(good, authority=b"a%20b"), replace(good, authority=b"[v1.a]"),
        replace(good, authority=b"[::1%251]"), replace(good, authority=b"[::1"), replace(good, authority=b"a:65536"),
        replace(good, path=b"echo"), replace(good, path=b"/echo/malformed#x"),
        replace(good, path=b"/echo malformed"), replace(good, path=b"*"), replace(good, path=b"/echo/malformed\r\nx: y"),
        replace(good, fields=[(b"Upper", b"x")]), replace(good, fields=[(b"", b"x")]),
        replace(good, fields=[(b"x", b"a\r\nb: c")]), replace(good, fields=[(b"x", b" a")]),
        replace(good, fields=[(b"host", b"other.example")]), replace(good, fields=[(b"content-length", b"+0")]),
        replace(good, fields=[(b"content-length", b"0"), (b"content-length", b"0")]),
        replace(good, fields=[(b"x", b"")] * 257),
    ]  # fmt: skip
    before = len(ctx.app.seen)
    for head in bad:
        message = session.request(head)
        expect(f"status for {head}", 400, status_of(message))
        expect("steve-error", [b"malformed_request"], field_of(message, b"steve-error"))
        expect("body", b"", bytes(message.body))
    expect("requests at the app", 0, len(ctx.app.seen) - before)


@case("CONNECT: 501 in the channel; head too large: 431 in the channel")
def reserved(ctx: Context) -> None:
    session = ctx.session()
    message = session.request(get("/", b"CONNECT"))
    expect("status", 501, status_of(message))
    expect("steve-error", [b"not_implemented"], field_of(message, b"steve-error"))
    limit = session.server.max_head_size
    if limit < 65000:
        spare = limit - len(get("/echo", fields=[(b"x", b"a" * 20000)]).encode()) + 20000
        exact = get("/echo", fields=[(b"x", b"a" * spare)])
        expect("length of the head", limit, len(exact.encode()))
        expect("status", 200, status_of(session.request(exact)))
        for size in (spare + 1, limit, 65000):
            message = session.request(get("/echo", fields=[(b"x", b"a" * size)]))
            expect("status", 431, status_of(message))
            expect("steve-error", [b"head_too_large"], field_of(message, b"steve-error"))


@case("outside the protocol: 403, 404, 405")
def outside(ctx: Context) -> None:
    before = len(ctx.app.seen)
    for method, path in (("GET", "/"), ("GET", "/echo"), ("POST", "/echo"), ("GET", "/.well-known/steve")):
        expect_refused(ctx.outer.call(method, path), 403, "e2e_required")
    expect_refused(ctx.outer.call("GET", BASE + "nothing"), 404, "not_found")
    answer = ctx.outer.call("GET", STREAM)
    expect_refused(answer, 405, "method_not_allowed")
    expect("allow", True, "POST" in answer.fields.get("allow", ""))
    expect("requests at the app", 0, len(ctx.app.seen) - before)


@case("app breaks off, before, in or after its response head: RESET app-failed, and the request is not sent again")
def app_broken(ctx: Context) -> None:
    expect_reset(lambda: ctx.session().request(get("/broken")), APP_FAILED)
    for method, body in ((b"GET", b""), (b"POST", b"x")):
        for kind in ("silent", "half"):
            path = f"/special/{kind}/{secrets.token_hex(6)}"
            session = ctx.session(0x0001)
            session.request(get("/echo"))  # so that there is a connection that the proxy may use again
            expect_reset(lambda: session.request(get(path, method), body), APP_FAILED)
            expect(f"requests at the app, {method!r} {kind}", 1, ctx.app.count(path))


@case("app down: 502 app_unreachable in the channel", last=True)
def app_down(ctx: Context) -> None:
    session = ctx.session()
    ctx.app.stop()
    for method, body in ((b"GET", b""), (b"POST", bytes(5000))):
        try:
            message = session.request(get("/echo", method), body)
        except OuterError as error:
            raise AssertionError(f"answered outside the channel: {error}") from error
        expect("status", 502, status_of(message))
        expect("steve-error", [b"app_unreachable"], field_of(message, b"steve-error"))
        expect("body", {"error": "app_unreachable"}, json.loads(message.body))
