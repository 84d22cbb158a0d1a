"""grpcio at both ends, to the app over h2c: the four kinds of call, deadlines, cancellation, statuses, metadata."""

from __future__ import annotations

import hashlib
import os
import queue
import time
from collections.abc import Iterator
from typing import Any

import grpc

from harness import EVENTS, MIB, Context, Failed, Link, Program, check, equal, live, rate

LARGE = 64 * MIB
PIECES = 256
ROUNDS = 200


def run(context: Context) -> None:
    app, port = context.python_app("app_grpc.py")
    with context.link(port, "h2c") as link, channel_to(link) as channel:
        context.step("unary", lambda: unary(channel))
        context.step("metadata both ways", lambda: metadata(channel))
        context.step("server streaming", lambda: server_streaming(channel))
        context.step("client streaming", lambda: client_streaming(channel))
        context.step("both streaming, in lock-step", lambda: lock_step(channel))
        context.step("deadline", lambda: deadline(channel, app))
        context.step("cancelled while waiting", lambda: cancelled(channel, app))
        context.step("cancelled while streaming", lambda: cancelled_stream(channel, app))
        context.step("status after a message", lambda: failed(channel))
        context.step("status alone", lambda: refused(channel))
        context.step("unknown method", lambda: unknown(channel))
        context.step("message of 64 MiB", lambda: large(channel))
        context.step("100 calls at once", lambda: many(channel))


def channel_to(link: Link) -> grpc.Channel:
    options = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.enable_http_proxy", 0),
    ]
    return grpc.insecure_channel(f"127.0.0.1:{link.port}", options=options)


def unary(channel: grpc.Channel) -> str:
    echo = channel.unary_unary("/test.Test/Echo")
    for message in [b"", b"hello", os.urandom(100_000)]:
        equal(echo(message, timeout=10), message, "message")
    began = time.monotonic()
    for _ in range(100):
        echo(b"x", timeout=10)
    return f"{(time.monotonic() - began) * 10:.1f} ms a call"


def metadata(channel: grpc.Channel) -> str:
    sent = [("test-text", "a value"), ("test-some-bin", bytes(range(256))), ("test-empty-bin", b"")]
    _, call = channel.unary_unary("/test.Test/Echo").with_call(b"", metadata=sent, timeout=10)
    for kind, got in [("initial", call.initial_metadata()), ("trailing", call.trailing_metadata())]:
        found = dict(got)
        for name, value in sent:
            equal(found.get(f"{kind}-{name}"), value, f"{kind} metadata {name}")
    return f"{len(sent)} there, in the head and in the trailers"


def server_streaming(channel: grpc.Channel) -> str:
    call = channel.unary_stream("/test.Test/Count")(str(EVENTS).encode(), timeout=20)
    return live([(float(message), time.monotonic()) for message in call])


def client_streaming(channel: grpc.Channel) -> str:
    pieces = [os.urandom(100_000) for _ in range(PIECES)]
    began = time.monotonic()
    answer = channel.stream_unary("/test.Test/Digest")(iter(pieces), timeout=30)
    equal(answer, hashlib.sha256(b"".join(pieces)).digest(), "SHA-256")
    return rate(100_000 * PIECES, began)


def lock_step(channel: grpc.Channel) -> str:
    """Sends a message only after the answer to the one before."""
    outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def requests() -> Iterator[bytes]:
        while (message := outgoing.get()) is not None:
            yield message

    began = time.monotonic()
    call = channel.stream_stream("/test.Test/Chat")(requests(), timeout=30)
    try:
        for number in range(ROUNDS):
            message = b"message %d" % number
            outgoing.put(message)
            equal(next(call), b"answer to " + message, "answer")
    finally:
        outgoing.put(None)
    check(next(call, None) is None, "more answers than messages")
    equal(call.code(), grpc.StatusCode.OK, "status")
    return f"{ROUNDS} rounds, {(time.monotonic() - began) / ROUNDS * 1000:.1f} ms each"


def refusal(call: Any) -> Any:
    """The error with which the call ends."""
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise Failed("the call succeeded")


def deadline(channel: grpc.Channel, app: Program) -> str:
    began = time.monotonic()
    error = refusal(lambda: channel.unary_unary("/test.Test/Wait")(b"", timeout=1.5))
    took = time.monotonic() - began
    equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED, "status")
    check(1.4 < took < 2.5, f"it took {took:.2f} s")
    remaining = app.event("waiting")["remaining"]
    check(remaining is not None and 0.5 < remaining <= 1.6, f"the app sees a deadline in {remaining} s")
    late = app.event("over")["time"] - began - 1.5
    check(late < 1, f"for the app it was over {late:.1f} s after the deadline")
    return f"the app saw {remaining:.2f} s to go, the client waited {took:.2f} s"


def over(app: Program, began: float) -> str:
    event = app.event("over")
    took = event["time"] - began
    check(not event["active"], "the app's context is still active")
    check(took < 1, f"the app saw it after {took:.1f} s")
    return f"the app saw it after {took * 1000:.0f} ms"


def cancelled(channel: grpc.Channel, app: Program) -> str:
    call = channel.unary_unary("/test.Test/Wait").future(b"", timeout=60)
    app.event("waiting")
    began = time.monotonic()
    call.cancel()
    return over(app, began)


def cancelled_stream(channel: grpc.Channel, app: Program) -> str:
    call = channel.unary_stream("/test.Test/Endless")(b"", timeout=60)
    for _ in range(5):
        equal(len(next(call)), 1000, "size of a message")
    began = time.monotonic()
    call.cancel()
    return over(app, began)


def failed(channel: grpc.Channel) -> str:
    call = channel.unary_stream("/test.Test/Fail")(b"", timeout=10)
    equal(next(call), b"before the failure", "message")
    error = refusal(lambda: next(call))
    equal(error.code(), grpc.StatusCode.FAILED_PRECONDITION, "status")
    equal(error.details(), "größer als 100 % ✓", "details")
    trailers = dict(error.trailing_metadata())
    equal(trailers.get("reason"), "test", "trailer")
    equal(trailers.get("detail-bin"), bytes(range(256)), "binary trailer")
    return f"{error.code().name}, \"{error.details()}\", {len(trailers)} trailers"


def refused(channel: grpc.Channel) -> str:
    error = refusal(lambda: channel.unary_unary("/test.Test/Refuse")(b"", timeout=10))
    equal((error.code(), error.details()), (grpc.StatusCode.PERMISSION_DENIED, "no entry"), "status")
    return str(error.code().name)


def unknown(channel: grpc.Channel) -> str:
    error = refusal(lambda: channel.unary_unary("/test.Test/Absent")(b"", timeout=10))
    equal(error.code(), grpc.StatusCode.UNIMPLEMENTED, "status")
    return str(error.code().name)


def large(channel: grpc.Channel) -> str:
    message = os.urandom(LARGE)
    began = time.monotonic()
    check(channel.unary_unary("/test.Test/Echo")(message, timeout=50) == message, "it came back changed")
    return rate(LARGE, began) + " there and back"


def many(channel: grpc.Channel) -> str:
    began = time.monotonic()
    echo = channel.unary_unary("/test.Test/Echo")
    calls = [(b"%d" % number, echo.future(b"%d" % number, timeout=20)) for number in range(100)]
    for message, call in calls:
        equal(call.result(), message, "message")
    return f"in {time.monotonic() - began:.2f} s"
