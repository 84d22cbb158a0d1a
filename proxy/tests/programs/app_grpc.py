"""A gRPC server of grpcio whose messages are plain bytes. It reports what its contexts see."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

GAP = 0.05


def report(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, "time": time.monotonic(), **more}), flush=True)


def echo(request: bytes, context: grpc.ServicerContext) -> bytes:
    """Returns the message; metadata that the client asked for come back before and after it."""
    got = dict(context.invocation_metadata())
    context.send_initial_metadata([(f"initial-{k}", v) for k, v in got.items() if k.startswith("test-")])
    context.set_trailing_metadata([(f"trailing-{k}", v) for k, v in got.items() if k.startswith("test-")])
    return request


def count(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    """Messages GAP apart, each the time when it was sent."""
    for number in range(int(request)):
        if number:
            time.sleep(GAP)
        yield str(time.monotonic()).encode()


def digest(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
    """The SHA-256 of everything that the client streams."""
    sum_of_all = hashlib.sha256()
    for request in requests:
        sum_of_all.update(request)
    return sum_of_all.digest()


def chat(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    """Answers each message at once."""
    for request in requests:
        yield b"answer to " + request


def wait(request: bytes, context: grpc.ServicerContext) -> bytes:
    """Waits until the call is over, however that comes about."""
    over = threading.Event()
    context.add_callback(over.set)
    report("waiting", remaining=context.time_remaining())
    over.wait(30)
    report("over", active=context.is_active())
    return b""


def endless(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    """Messages until the call is over."""
    context.add_callback(lambda: report("over", active=context.is_active()))
    while context.is_active():
        yield bytes(1000)
        time.sleep(GAP)


def fail(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    """One message, then a status with details and trailers."""
    yield b"before the failure"
    context.set_trailing_metadata([("reason", "test"), ("detail-bin", bytes(range(256)))])
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "größer als 100 % ✓")


def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
    """A status without a message: HTTP/2 carries it in the head alone."""
    context.abort(grpc.StatusCode.PERMISSION_DENIED, "no entry")
    raise AssertionError


METHODS = {
    "Echo": grpc.unary_unary_rpc_method_handler(echo),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Digest": grpc.stream_unary_rpc_method_handler(digest),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Wait": grpc.unary_unary_rpc_method_handler(wait),
    "Endless": grpc.unary_stream_rpc_method_handler(endless),
    "Fail": grpc.unary_stream_rpc_method_handler(fail),
    "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
}

server = grpc.server(
    ThreadPoolExecutor(32),
    options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
)
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Test", METHODS)])
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
server.wait_for_termination()
