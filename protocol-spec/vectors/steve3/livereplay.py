"""The cases of the live test: replayed streams and early data."""

from __future__ import annotations

from . import handshake
from .client import OuterResponse, Session
from .codec import Reader
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


def early_hello(ctx: Context, suite: int, path: str) -> tuple[handshake.Client, bytes]:
    enclave = ctx.enclave
    c = handshake.Client(enclave.key_config.entry(suite), enclave.key_config_hash, handshake.EARLY_OFFERED)
    frames = seal_message(Sealer(c.secrets.early, 0), get(path))
    return c, c.hello.encode() + b"".join(frames)


@case("early data: accepted or rejected, authentically, executed at most once")
def early_data(ctx: Context) -> None:
    for suite in (0x0002, 0x0003):
        path = fresh_path()
        c, body = early_hello(ctx, suite, path)
        for attempt in range(3):
            answer = ctx.outer.post_stream(body)
            expect("outer status", 200, answer.status)
            r = Reader(answer.body)
            server, keys = c.finish(r)  # raises unless the answer is authentic and 1 or 2
            if server.early_data == handshake.EARLY_ACCEPTED:
                expect("attempt that is accepted", 0, attempt)
                receiver = Receiver(keys.s2c, 0, is_request=False)
                receiver.feed(r.rest())
                expect("path", path, echoed(receiver.end())["path"])
                executed = 1
            else:
                r.end()
                executed = 0 if attempt == 0 else executed
            expect("requests at the app", executed, ctx.app.count(path))
            session = Session(ctx.outer, server, keys)
            echoed(session.request(get("/echo")))


@case("early data that does not authenticate: never dispatched, and nothing is recorded")
def early_tampered(ctx: Context) -> None:
    path = fresh_path()
    c, body = early_hello(ctx, 0x0002, path)
    answer = ctx.outer.post_stream(flipped(body))
    if answer.status == 200:
        r = Reader(answer.body)
        server, _ = c.finish(r)
        expect("early_data", handshake.EARLY_REJECTED, server.early_data)
    else:
        expect_refused(answer)
    expect("requests at the app", 0, ctx.app.count(path))
    if answer.status == 200:
        return  # this proxy accepts no early data
    r = Reader(ctx.outer.post_stream(body).body)
    server, _ = c.finish(r)
    expect("early_data afterwards", handshake.EARLY_ACCEPTED, server.early_data)
    expect("requests at the app", 1, ctx.app.count(path))


@case("early data offered, no frame in the body: not accepted")
def early_nothing(ctx: Context) -> None:
    c, body = early_hello(ctx, 0x0003, "/echo")
    answer = ctx.outer.post_stream(c.hello.encode())
    if answer.status == 200:
        r = Reader(answer.body)
        server, _ = c.finish(r)
        r.end()
        expect("early_data", handshake.EARLY_REJECTED, server.early_data)
    else:
        expect_refused(answer)


@case("the same early request ten times at once: executed at most once")
def early_race(ctx: Context) -> None:
    path = fresh_path()
    c, body = early_hello(ctx, 0x0002, path)
    answers: list[int] = []

    def one(i: int) -> None:
        answer = ctx.outer.post_stream(body)
        expect("outer status", 200, answer.status)
        answers.append(c.finish(Reader(answer.body))[0].early_data)

    in_parallel(10, one)
    accepted = answers.count(handshake.EARLY_ACCEPTED)
    expect("accepted at most once", True, accepted <= 1)
    expect("requests at the app", accepted, ctx.app.count(path))
