"""The cases of the live test: upgraded connections (Section 10.6), over the tunnel and over POST."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress

from . import client, handshake, heads
from .client import Session
from .codec import Reader, uint
from .duplex import CLOSE, Duplex, Post, Tunnel
from .frames import DATA, FIN, HEAD, TRAILERS, Sealer
from .handshake import EARLY_OFFERED
from .livecases import Context, binding, case, expect, expect_in, field_of, fresh_path, get, status_of
from .livenegative import APP_FAILED, CANCELLED, INTERNAL, PROTOCOL_ERROR, TRUNCATED, expect_reset, flipped
from .stream import Receiver, ResetError, TruncatedError, seal_message

SMUGGLED = b"GET /echo/smuggled HTTP/1.1\r\nhost: a\r\nsteve-session: forged\r\n\r\n"
CARRIAGES: tuple[Callable[[Context], Tunnel | Post], ...] = (lambda ctx: Tunnel(ctx.outer), lambda ctx: Post(ctx.outer))


def asking(path: str, *more: tuple[bytes, bytes]) -> heads.RequestHead:
    return get(path, fields=[(b"upgrade", b"echo/1"), *more])


def fresh(kind: str) -> str:
    return fresh_path("/upgrade/" + kind)


def over_both(name: str) -> Callable[[Callable[[Context, Session, Callable[[str], Duplex]], None]], None]:
    """The case gets a session, and what opens a stream that asks for an upgrade."""

    def register(function: Callable[[Context, Session, Callable[[str], Duplex]], None]) -> None:
        for what, carriage in zip(("tunnel", "POST"), CARRIAGES, strict=True):

            def run(ctx: Context, carriage: Callable[[Context], Tunnel | Post] = carriage) -> None:
                session = ctx.session(0x0001)
                function(ctx, session, lambda path: Duplex(session, carriage(ctx), asking(path)))

            case(f"upgrade over {what}: {name}")(run)

    return register


def expect_over(stream: Duplex) -> None:
    """The carriage ends after the response, in order."""
    expect("after the response", None, stream.carriage.receive())
    if isinstance(stream.carriage, Tunnel):
        expect("Close", 1000, stream.carriage.closed and stream.carriage.closed[0])


def expect_own(stream: Duplex, status: int, code: str, has_body: bool = True) -> None:
    message = stream.response()
    expect("status", status, status_of(message))
    expect("steve-error", [code.encode()], field_of(message, b"steve-error"))
    expect("body", {"error": code} if has_body else None, json.loads(message.body) if message.body else None)


@over_both("bytes both ways, fields, and a half-close of the client")
def echo(ctx: Context, session: Session, ask: Callable[[str], Duplex]) -> None:
    path, body = fresh("echo"), secrets.token_bytes(200_000)
    with ask(path) as stream:
        expect("status", 101, stream.head())
        head = stream.receiver.message.response
        expect("response fields", [(b"x-app", b"one")], head.fields if head else None)
        raw = ctx.app.upgrade(path)
        own = [("connection", "upgrade"), ("host", "app.example:8443"), ("steve-session", binding(session)), ("upgrade", "echo/1")]
        expect(
            "request fields", own, sorted((name, value.lower() if name == "connection" else value) for name, value in raw.fields)
        )
        stream.send(DATA, b"ping")
        stream.expect_bytes(b"ping")
        stream.send(DATA)
        for i in range(0, len(body), 9973):
            stream.send(DATA, body[i : i + 9973])
        stream.expect_bytes(b"ping" + body)
        stream.finish_sending(b"end")
        expect("all", b"ping" + body + b"endbye", bytes(stream.response().body))
        expect_over(stream)
        raw.expect_end("eof")


@over_both("an interim response, and bytes in one segment with 101")
def with_head(ctx: Context, session: Session, ask: Callable[[str], Duplex]) -> None:
    with ask(fresh("greet")) as stream:
        stream.expect_bytes(b"hello")
        stream.finish_sending(SMUGGLED)
        expect("all", b"hello" + SMUGGLED, bytes(stream.response().body))
    with ask(fresh("hints")) as stream:
        expect("status", 101, stream.head())
        expect_in("interim", ([], [103]), [head.status for head in stream.receiver.message.interim])


@over_both("DATA before the app has answered: RESET protocol-error, and the app gets none of it")
def early_data(ctx: Context, session: Session, ask: Callable[[str], Duplex]) -> None:
    for frame in ((DATA, SMUGGLED), (DATA, b""), (DATA | FIN, b""), (TRAILERS | FIN, b"\x00"), (HEAD, get("/").encode())):
        path = fresh("silent")
        with ask(path) as stream:
            wait_for(lambda: any(raw.path == path for raw in ctx.app.raw))
            stream.send(*frame)
            try:
                expect_reset(stream.response, PROTOCOL_ERROR)
            except AssertionError as error:
                raise AssertionError(f"frame {frame[0]}: {error}") from error
            expect_over(stream)
        raw = ctx.app.upgrade(path)
        raw.expect_end("eof", "reset")
        expect("at the app", b"", bytes(raw.received))


@over_both("RESET before the app has answered: RESET cancelled")
def early_reset(ctx: Context, session: Session, ask: Callable[[str], Duplex]) -> None:
    path = fresh("silent")
    with ask(path) as stream:
        wait_for(lambda: any(raw.path == path for raw in ctx.app.raw))
        stream.reset(CANCELLED)
        expect_reset(stream.response, CANCELLED)
    ctx.app.upgrade(path).expect_end("eof", "reset")


@over_both("an app that ends in order, one that breaks, one that ends its direction only")
def app_ends(ctx: Context, session: Session, ask: Callable[[str], Duplex]) -> None:
    with ask(fresh("end")) as stream:
        expect("all", b"last words", bytes(stream.response().body))
    with ask(fresh("die")) as stream:
        expect("status", 101, stream.head())
        stream.send(DATA, b"x")
        expect_reset(stream.response, APP_FAILED)
        expect_over(stream)


@over_both("an app that ends its direction goes on receiving")
def app_half(ctx: Context, session: Session, ask: Callable[[str], Duplex]) -> None:
    path = fresh("half")
    with ask(path) as stream:
        expect("all", b"my half", bytes(stream.response().body))
        stream.send(DATA, b"yours")
        stream.finish_sending()
        raw = ctx.app.upgrade(path)
        raw.expect_end("eof")
        expect("at the app", b"yours", bytes(raw.received))


@over_both("DATA at once with the request: RESET protocol-error, or the app's answer, and the app gets none of it unless 101")
def hasty(ctx: Context, session: Session, ask: Callable[[str], Duplex]) -> None:
    for kind in ("refuse", "ignore", "other", "echo"):
        path = fresh(kind)
        with ask(path) as stream:
            stream.send(DATA, SMUGGLED)
            try:
                status = stream.head()
            except ResetError as error:
                expect("RESET code", PROTOCOL_ERROR, error.code)
                status = 0
        if raw := [raw for raw in ctx.app.raw if raw.path == path]:
            raw[0].expect_end("eof", "reset")
            expect("at the app", b"", bytes(raw[0].received) if status != 101 else b"")
    expect("smuggled requests", 0, ctx.app.count("/echo/smuggled"))


@over_both("any other status is an ordinary response, and the app gets no bytes of the client's")
def refused(ctx: Context, session: Session, ask: Callable[[str], Duplex]) -> None:
    for kind, status, body in (("refuse", 403, b"no"), ("ignore", 200, b"yes")):
        path = fresh(kind)
        with ask(path) as stream:
            message = stream.response()
            expect("answer", (status, body, []), (status_of(message), bytes(message.body), field_of(message, b"upgrade")))
            with suppress(ConnectionError):  # the proxy may have ended the carriage
                stream.finish_sending(SMUGGLED)
            expect_over(stream)
        raw = ctx.app.upgrade(path)
        raw.expect_end("eof", "reset")
        expect("at the app", b"", bytes(raw.received))
    expect("smuggled requests", 0, ctx.app.count("/echo/smuggled"))


@over_both("101 with another protocol: 502, and the app gets no bytes of the client's")
def other_protocol(ctx: Context, session: Session, ask: Callable[[str], Duplex]) -> None:
    for kind in ("other", "unnamed", "two", "twice", "prefix"):
        path = fresh(kind)
        with ask(path) as stream:
            expect_own(stream, 502, "app_malformed_response")
            with suppress(ConnectionError):
                stream.finish_sending(SMUGGLED)
        raw = ctx.app.upgrade(path)
        raw.expect_end("eof", "reset")
        expect(f"at the app, {kind}", b"", bytes(raw.received))


def _resets(stream: Duplex) -> None:
    stream.reset(CANCELLED)


def _ends(stream: Duplex) -> None:
    stream.carriage.send(uint(1000, 2), CLOSE) if isinstance(stream.carriage, Tunnel) else stream.carriage.end()


def _leaves(stream: Duplex) -> None:
    stream.carriage.close()


def _forges(stream: Duplex) -> None:
    stream.carriage.send(flipped(stream.sealer.seal(DATA | FIN, b"x")))


def _sends_trailers(stream: Duplex) -> None:
    stream.send(TRAILERS | FIN, b"\x00")


def _sends_head(stream: Duplex) -> None:
    stream.send(HEAD, get("/").encode())


ENDS_WITHOUT_FIN = {
    _resets: CANCELLED, _ends: TRUNCATED, _leaves: None, _forges: PROTOCOL_ERROR,
    _sends_trailers: PROTOCOL_ERROR, _sends_head: PROTOCOL_ERROR,
}  # fmt: skip
"""What a client may do, and the code of the RESET it gets where it can read one."""


@over_both("what ends without FIN reaches the app as a connection that breaks, not as one that ends")
def truncated(ctx: Context, session: Session, ask: Callable[[str], Duplex]) -> None:
    for act, code in ENDS_WITHOUT_FIN.items():
        path = fresh("echo")
        with ask(path) as stream:
            expect("status", 101, stream.head())
            stream.send(DATA, b"half a mess")
            stream.expect_bytes(b"half a mess")
            act(stream)
            try:
                if isinstance(stream.carriage, Tunnel) and act is _ends:
                    expect_truncated(stream)  # nothing more comes out of a closed tunnel, and so no RESET
                elif code is not None:
                    expect_reset(stream.response, code)
                ctx.app.upgrade(path).expect_end("reset")
            except AssertionError as error:
                raise AssertionError(f"{act.__name__}: {error}") from error


@over_both("the same once the app has ended its own direction")
def truncated_half(ctx: Context, session: Session, ask: Callable[[str], Duplex]) -> None:
    for act in ENDS_WITHOUT_FIN:
        path = fresh("half")
        with ask(path) as stream:
            expect("all", b"my half", bytes(stream.response().body))
            stream.send(DATA, b"half a mess")
            wait_for(lambda: bytes(ctx.app.upgrade(path).received) == b"half a mess")
            act(stream)
            try:
                ctx.app.upgrade(path).expect_end("reset")
            except AssertionError as error:
                raise AssertionError(f"{act.__name__}: {error}") from error


def expect_truncated(stream: Duplex) -> None:
    try:
        stream.response()
    except TruncatedError:
        return
    raise AssertionError("a complete response")


@over_both("a client that leaves before the app has answered")
def left_early(ctx: Context, session: Session, ask: Callable[[str], Duplex]) -> None:
    path = fresh("silent")
    with ask(path):
        wait_for(lambda: any(raw.path == path for raw in ctx.app.raw))
    ctx.app.upgrade(path).expect_end("eof", "reset")


def wait_for(condition: Callable[[], bool], limit: float = 10.0) -> None:
    deadline = client.clock() + limit * 1000
    while not condition():
        if client.clock() > deadline:
            raise AssertionError(f"not within {limit:.0f} s")
        threading.Event().wait(0.02)


@case("upgrade: malformed requests are answered 400 in the channel, not dispatched")
def malformed(ctx: Context) -> None:
    session = ctx.session(0x0003)
    before = len(ctx.app.seen)
    upgrade = [(b"upgrade", b"echo/1")]
    for head, fin in (
        (get("/upgrade/echo", fields=upgrade), True),
        (get("/upgrade/echo", b"POST", upgrade), False),
        (get("/upgrade/echo", fields=upgrade * 2), False),
        (get("/upgrade/echo", fields=[*upgrade, (b"content-length", b"0")]), False),
        *((get("/upgrade/echo", fields=[(b"upgrade", value)]), False) for value in (b"", b"a, b", b"H2C", b"HTTP/2.0", b"TLS/1.2")),
    ):
        with Duplex(session, Tunnel(ctx.outer), head, fin) as stream:
            expect_own(stream, 400, "malformed_request", has_body=False)
    expect("requests at the app", 0, len(ctx.app.seen) - before)


@case("upgrade: 101 that nobody asked for is 502, and the app gets no bytes of the client's")
def unasked(ctx: Context) -> None:
    session, path = ctx.session(0x0003), fresh("echo")
    with Duplex(session, Tunnel(ctx.outer), get(path), fin=True) as stream:
        expect_own(stream, 502, "app_malformed_response")
    raw = ctx.app.upgrade(path)
    raw.expect_end("eof", "reset")
    expect("upgrade at the app", [], [value for name, value in raw.fields if name == "upgrade"])


@case("upgrade: a connection field in the request changes nothing")
def odd_heads(ctx: Context) -> None:
    session = ctx.session(0x0003)
    path = fresh("echo")
    head = asking(path, (b"connection", b"x-drop, keep-alive"), (b"x-drop", b"1"), (b"steve_x", b"1"), (b"sec-websocket-key", b"k"))
    with Duplex(session, Tunnel(ctx.outer), head) as stream:
        expect("status", 101, stream.head())
    names = sorted(name for name, _ in ctx.app.upgrade(path).fields)
    expect("names at the app", ["connection", "host", "sec-websocket-key", "steve-session", "upgrade"], names)


@case("upgrade: 101 of an app with content-length is malformed, or arrives without")
def declared_length(ctx: Context) -> None:
    with Duplex(ctx.session(0x0003), Tunnel(ctx.outer), asking(fresh("length"))) as stream:
        status = stream.head()
        expect_in("status", (101, 502), status)
        if status == 101:
            stream.finish_sending(b"more")
            expect("all", b"more", bytes(stream.response().body))


@case("upgrade: asked for in plaintext it does not reach the app")
def plaintext(ctx: Context) -> None:
    path = fresh("refuse")
    fields = {"Connection": "Upgrade", "Upgrade": "echo/1"}
    with ctx.start_proxy({"STEVE_PUBLIC_PATHS": path}) as (outer, _):
        expect("status", 403, outer.call("GET", path, None, fields).status)
    expect("upgrade", [], [value for name, value in ctx.app.upgrade(path).fields if name == "upgrade"])


@case("upgrade: never by an early request")
def early(ctx: Context) -> None:
    enclave, path = ctx.enclave, fresh("echo")
    c = handshake.Client(enclave.key_config.entry(0x0003), enclave.key_config_hash, EARLY_OFFERED)
    frames = seal_message(Sealer(c.secrets.early, 0), asking(path), b"replay")
    answer = ctx.outer.post_stream(c.hello.encode() + b"".join(frames))
    expect("outer status", 200, answer.status)
    r = Reader(answer.body)
    server, keys = c.finish(r)
    expect("early_data", handshake.EARLY_ACCEPTED, server.early_data)
    receiver = Receiver(keys.s2c, 0, False)
    receiver.feed(r.rest())
    expect("status", 400, status_of(receiver.end()))
    expect("requests at the app", 0, ctx.app.count(path))


@case("upgrade: at the end of draining, RESET that does not deny that it was dispatched, and Close 1001")
def shutdown(ctx: Context) -> None:
    path = fresh("echo")
    with ctx.start_proxy({"STEVE_DRAIN_TIMEOUT": "1"}) as (outer, root_sha256):
        session = client.connect(outer, client.attest(outer, root_sha256, [ctx.profile]), 0x0003)
        stream = Duplex(session, Tunnel(outer), asking(path))
        expect("status", 101, stream.head())
        silent = Tunnel(outer)
    expect_reset(stream.response, INTERNAL)
    for carriage, closed in ((stream.carriage, (1001, b"")), (silent, (4503, b"unavailable"))):
        expect("message", None, carriage.receive())
        expect("Close", closed, carriage.closed)  # type: ignore[attr-defined]
        carriage.close()
    ctx.app.upgrade(path).expect_end("reset")
