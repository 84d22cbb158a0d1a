"""The cases of the live test: replayed streams and early data."""

from __future__ import annotations

from . import client, handshake
from .client import Outer, OuterResponse, Session
from .codec import Reader
from .evidence import Appraised
from .frames import Sealer
from .livecases import Context, case, echoed, expect, fresh_path, get, in_parallel
from .livenegative import expect_refused, flipped
from .stream import Receiver, seal_message


@case("replayed stream id: 422, and the app gets the request once")
def replayed(ctx: Context) -> None:
    session, path = ctx.session(), fresh_path()
    parts = session.sealed(1, get(path))
    echoed(session.exchange(1, parts))
    for _ in range(3):
        expect_refused(ctx.outer.post_stream(b"".join(parts)))
    other = session.sealed(1, get(path + "/other"))
    expect_refused(ctx.outer.post_stream(b"".join(other)))
    expect("requests at the app", 1, ctx.app.count(path) + ctx.app.count(path + "/other"))


@case("stream id far below the largest: 422")
def stale(ctx: Context) -> None:
    session = ctx.session()
    high = 1 << 40
    echoed(session.exchange(high, session.sealed(high, get("/echo"))))
    expect_refused(ctx.outer.post_stream(b"".join(session.sealed(5, get("/echo")))))


@case("the same stream ten times at once: executed once")
def race(ctx: Context) -> None:
    session, path = ctx.session(0x0003), fresh_path()
    body = b"".join(session.sealed(1, get(path)))
    answers: list[OuterResponse] = []
    in_parallel(10, lambda i: answers.append(ctx.outer.post_stream(body)))
    expect("outer statuses", [200] + 9 * [422], sorted(a.status for a in answers))
    expect("requests at the app", 1, ctx.app.count(path))


def early_hello(enclave: Appraised, suite: int, path: str) -> tuple[handshake.Client, bytes]:
    c = handshake.Client(enclave.key_config.entry(suite), enclave.key_config_hash, handshake.EARLY_OFFERED)
    frames = seal_message(Sealer(c.secrets.early, 0), get(path))
    return c, c.hello.encode() + b"".join(frames)


def accepted(ctx: Context, c: handshake.Client, answer: OuterResponse, path: str) -> Session:
    """The session of an early request that the app has answered."""
    expect("outer status", 200, answer.status)
    r = Reader(answer.body)
    server, keys = c.finish(r)
    expect("early_data", handshake.EARLY_ACCEPTED, server.early_data)
    receiver = Receiver(keys.s2c, 0, is_request=False)
    receiver.feed(r.rest())
    expect("path", path, echoed(receiver.end())["path"])
    return Session(ctx.outer, server, keys)


def rejected(outer: Outer, c: handshake.Client, answer: OuterResponse) -> Session:
    """The session of an early request that was rejected."""
    expect("outer status", 200, answer.status)
    r = Reader(answer.body)
    server, keys = c.finish(r)
    r.end()
    expect("early_data", handshake.EARLY_REJECTED, server.early_data)
    return Session(outer, server, keys)


@case("early data: accepted once; copies get 422, never a rejection, and are not executed")
def early_data(ctx: Context) -> None:
    for suite in (0x0001, 0x0002, 0x0003, 0x0004):
        path = fresh_path()
        c, body = early_hello(ctx.enclave, suite, path)
        session = accepted(ctx, c, ctx.outer.post_stream(body), path)
        echoed(session.request(get("/echo")))
        for _ in range(3):
            expect_refused(ctx.outer.post_stream(body))
        expect("requests at the app", 1, ctx.app.count(path))
        echoed(session.request(get("/echo")))


@case("early data that is cut or does not authenticate: 422, not dispatched, and nothing is recorded")
def early_tampered(ctx: Context) -> None:
    path = fresh_path()
    c, body = early_hello(ctx.enclave, 0x0002, path)
    hello = len(c.hello.encode())
    for broken in (flipped(body), flipped(body, hello), flipped(body, hello + 4), body[:-1], body[: hello + 3], body[:hello]):
        expect_refused(ctx.outer.post_stream(broken))
    expect("requests at the app", 0, ctx.app.count(path))
    accepted(ctx, c, ctx.outer.post_stream(body), path)
    expect("requests at the app", 1, ctx.app.count(path))


@case("early data whose offer the host takes back: the client notices")
def early_flag(ctx: Context) -> None:
    c, body = early_hello(ctx.enclave, 0x0003, "/echo")
    hello = len(c.hello.encode())
    withdrawn = body[:5] + b"\x00" + body[6:hello]
    answer = ctx.outer.post_stream(withdrawn)
    expect("outer status", 200, answer.status)
    try:
        c.finish(Reader(answer.body))
    except handshake.HandshakeError:
        return
    raise AssertionError("the answer to another ClientHello is accepted")


@case("the same early request ten times at once: executed once")
def early_race(ctx: Context) -> None:
    path = fresh_path()
    c, body = early_hello(ctx.enclave, 0x0002, path)
    answers: list[OuterResponse] = []
    in_parallel(10, lambda i: answers.append(ctx.outer.post_stream(body)))
    expect("outer statuses", [200] + 9 * [422], sorted(a.status for a in answers))
    accepted(ctx, c, next(a for a in answers if a.status == 200), path)
    expect("requests at the app", 1, ctx.app.count(path))


@case("early data and a full memory: rejected, again and again, and executed as a stream")
def early_full(ctx: Context) -> None:
    for settings in ({"STEVE_MAX_EARLY_REQUESTS": "1"}, {"STEVE_EARLY_DATA": "false"}):
        with ctx.start_proxy(settings) as (outer, root_sha256):
            enclave = client.attest(outer, root_sha256, [ctx.profile])
            if "STEVE_MAX_EARLY_REQUESTS" in settings:
                first_path = fresh_path()
                first, first_body = early_hello(enclave, 0x0003, first_path)
                accepted(ctx, first, outer.post_stream(first_body), first_path)
            path = fresh_path()
            c, body = early_hello(enclave, 0x0003, path)
            for _ in range(3):
                session = rejected(outer, c, outer.post_stream(body))
                if "STEVE_MAX_EARLY_REQUESTS" in settings:
                    expect_refused(outer.post_stream(first_body))
            expect("requests at the app", 0, ctx.app.count(path))
            expect("path", path, echoed(session.request(get(path)))["path"])
            expect("requests at the app", 1, ctx.app.count(path))
