"""The cases of the live test: limits that the ServerHello announces."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import suppress

from .client import STREAM, STREAM_TYPE, Session
from .livecases import Context, case, echoed, expect, get, in_parallel
from .livenegative import expect_reset
from .stream import ResetError

REFUSED = 0x0101


def start_stream(connection: http.client.HTTPConnection, data: bytes) -> None:
    connection.putrequest("POST", STREAM)
    connection.putheader("Content-Type", STREAM_TYPE)
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    connection.send(b"%x\r\n%s\r\n" % (len(data), data))


def hold_open(session: Session) -> http.client.HTTPConnection:
    """A stream whose request has begun and does not go on. Nothing is read."""
    stream_id = session.next_id()
    body = session.open_stream(stream_id) + session.sealer(stream_id).seal(1, get("/echo", b"POST").encode())
    connection = http.client.HTTPConnection(session.outer.host, session.outer.port, timeout=session.outer.timeout)
    start_stream(connection, body)
    return connection


@case("more than max_streams at once: RESET refused, and not dispatched; later ones pass")
def too_many(ctx: Context) -> None:
    session = ctx.session(0x0003)
    if session.server.max_streams > 400:
        return  # more than a test should open
    held = [hold_open(session) for _ in range(session.server.max_streams)]
    try:
        path, deadline = "/echo/one-too-many", time.monotonic() + 10
        while True:
            before = ctx.app.count(path)
            try:
                expect_reset(lambda: session.request(get(path)), REFUSED)
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)  # the proxy may not have read all of them yet
            else:
                expect("requests at the app", before, ctx.app.count(path))
                break
    finally:
        for connection in held:
            connection.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(ResetError):
            echoed(session.request(get("/echo")))
            return
        time.sleep(0.2)
    raise AssertionError("the session does not recover")


@case("ServerHello: limits in range, session ids differ")
def announced(ctx: Context) -> None:
    sessions = [ctx.session(suite) for suite in (0x0001, 0x0002, 0x0003, 0x0004)]  # limits are checked by the client
    expect("session ids", len(sessions), len({s.server.session_id for s in sessions}))


@case("a beginning that never ends: 408 outside the channel")
def too_slow(ctx: Context) -> None:
    session = ctx.session(0x0003)
    stream_id = session.next_id()
    first = session.open_stream(stream_id) + session.sealer(stream_id).seal(1, get("/echo").encode())

    def begin(data: bytes) -> None:
        connection = http.client.HTTPConnection(session.outer.host, session.outer.port, timeout=60)
        try:
            start_stream(connection, data)
            response = connection.getresponse()
            expect("status", 408, response.status)
            expect("body", {"error": "timeout"}, json.loads(response.read()))
        finally:
            connection.close()

    beginnings = (b"\x01\x00\x03", first[:20], first[:-1])
    in_parallel(len(beginnings), lambda i: begin(beginnings[i]))
    echoed(session.exchange(stream_id, session.sealed(stream_id, get("/echo"))))
