"""The cases of the live test: the tunnel (Section 11.1)."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import subprocess

from . import client, handshake
from .client import Outer, OuterError
from .codec import uint
from .duplex import BINARY, CLOSE, MAX_MESSAGE, PING, TEXT, TUNNEL, Duplex, Tunnel, WebSocket
from .frames import DATA, FIN, HEAD
from .livecases import Context, case, echoed, expect, expect_in, fresh_path, get, in_parallel, status_of
from .livenegative import PROTOCOL_ERROR, expect_refused, expect_reset, flipped
from .liveupgrade import asking, fresh
from .stream import StreamError

UNRECOGNIZED, MALFORMED, TIMEOUT = (4422, b"unrecognized"), (4400, b"malformed"), (4408, b"timeout")
WAIT = 45.0


def expect_close(ws: WebSocket, *allowed: tuple[int, bytes] | int) -> None:
    """The next thing the proxy says is a Close frame with this status code, and, where it is given, this reason."""
    try:
        expect("message", None, ws.receive())
        expect_in("Close", tuple(a for a in allowed if isinstance(a, tuple)) or (ws.closed,), ws.closed)
        expect_in("status code", tuple(a[0] if isinstance(a, tuple) else a for a in allowed), ws.closed and ws.closed[0])
    finally:
        ws.close()


def closed_after(ctx: Context, *messages: bytes) -> WebSocket:
    ws = WebSocket(ctx.outer)
    for message in messages:
        ws.send(message)
    return ws


@case("tunnel: 101 without extension and subprotocol, though they were offered")
def handshake_fields(ctx: Context) -> None:
    offers = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits", "Sec-WebSocket-Protocol": "a, b"}
    ws = WebSocket(ctx.outer, offers)
    for name in ("sec-websocket-extensions", "sec-websocket-protocol"):
        expect(name, None, ws.fields.get(name))
    expect("cache-control", "no-store", ws.fields.get("cache-control"))
    ws.close()


@case("tunnel: an ordinary exchange, with pings in it, and a response with trailers")
def ordinary(ctx: Context) -> None:
    session, body = ctx.session(), secrets.token_bytes(200_000)
    with Duplex(session, Tunnel(ctx.outer), get("/echo", b"POST")) as stream:
        assert isinstance(stream.carriage, Tunnel)
        for i in range(0, len(body), 65536):
            stream.send(DATA, body[i : i + 65536])
            stream.carriage.send(b"%d" % i, PING)
        stream.finish_sending()
        expect("sha256", hashlib.sha256(body).hexdigest(), echoed(stream.response())["sha256"])
        expect_close(stream.carriage, 1000)
        expect(
            "pongs", True, b"0" in stream.carriage.pongs and set(stream.carriage.pongs) <= {b"0", b"65536", b"131072", b"196608"}
        )
    with Duplex(session, Tunnel(ctx.outer), get("/special/trailers/announced"), fin=True) as stream:
        message = stream.response()
        expect("answer", (200, b"body", [(b"x-sum", b"1")]), (status_of(message), bytes(message.body), message.trailers))
    with Duplex(session, Tunnel(ctx.outer), get("/broken"), fin=True) as stream:
        expect_reset(stream.response, 0x0201)
        expect("end", None, stream.carriage.receive())
        expect("status code after RESET", 1000, stream.carriage.closed and stream.carriage.closed[0])  # type: ignore[attr-defined]


@case("tunnel: both directions at once, and messages in fragments")
def both_ways(ctx: Context) -> None:
    session = ctx.session(0x0003)
    ctx.app.release.clear()
    with Duplex(session, Tunnel(ctx.outer), get("/stream"), fin=True) as stream:
        stream.expect_bytes(b"first\n")
        ctx.app.release.set()
        expect("body", b"first\nsecond\n", bytes(stream.response().body))
    stream_id = session.next_id()
    parts = session.sealed(stream_id, get("/echo", b"POST"), b"fragments")
    ws = WebSocket(ctx.outer)
    for part in parts:
        ws.send(part[:7], BINARY, fin=False)
        ws.send(b"between", PING)
        ws.send(part[7:-1], 0, fin=False)
        ws.send(part[-1:], 0)
    expect("answer", True, bool(ws.receive()))
    ws.close()


@case("tunnel: what is refused before a stream is accepted")
def refusals(ctx: Context) -> None:
    session = ctx.session(0x0001)
    path, used = fresh_path(), session.next_id()
    opening, *frames = session.sealed(used, get(path))
    expect("status", 200, ctx.outer.post_stream(b"".join([opening, *frames])).status)
    stream_id = session.next_id()
    fresh_open, fresh_frame = session.sealed(stream_id, get(path + "/refused"))
    entry = ctx.enclave.key_config.entry(0x0001)
    hello = handshake.Client(entry, ctx.enclave.key_config_hash).hello.encode()
    for what, messages, answer in (
        ("session", (opening[:1] + secrets.token_bytes(16) + opening[17:], frames[0]), UNRECOGNIZED),
        ("replay", (opening, frames[0]), UNRECOGNIZED),
        ("tag", (fresh_open, flipped(fresh_frame)), UNRECOGNIZED),
        ("garbage", (fresh_open, uint(40, 4) + secrets.token_bytes(40)), UNRECOGNIZED),
        ("impossible length", (fresh_open, uint(16, 4) + bytes(16)), UNRECOGNIZED),
        ("longest length", (fresh_open, uint(65554, 4) + bytes(100)), UNRECOGNIZED),
        ("short StreamOpen", (fresh_open[:-1],), MALFORMED),
        ("short StreamOpen and its rest", (fresh_open[:-1], fresh_open[-1:] + fresh_frame), MALFORMED),
        ("long StreamOpen", (fresh_open + fresh_frame[:1], fresh_frame[1:]), MALFORMED),
        ("all in one", (fresh_open + fresh_frame,), MALFORMED),
        ("kind 9", (b"\x09" + fresh_open[1:],), MALFORMED),
        ("stream id 0", (session.open_stream(0), fresh_frame), MALFORMED),
        ("stream id 2^62", (session.open_stream(1 << 62), fresh_frame), MALFORMED),
        ("ClientHello", (hello,), MALFORMED),
    ):
        try:
            expect_close(closed_after(ctx, *messages), answer)
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}") from error
    expect("requests at the app", (1, 0), (ctx.app.count(path), ctx.app.count(path + "/refused")))
    # None of them has used the id; the tunnel uses it, for POST too.
    ws = closed_after(ctx, fresh_open, fresh_frame)
    expect("answer", True, bool(ws.receive()))
    ws.close()
    expect_refused(ctx.outer.post_stream(fresh_open + fresh_frame))


@case("tunnel: the same stream ten times at once, by two carriages: executed once")
def race(ctx: Context) -> None:
    session, path = ctx.session(0x0003), fresh_path()
    opening, frame = session.sealed(1, get(path))
    answers: list[object] = []

    def one(i: int) -> None:
        if i % 2:
            answers.append(ctx.outer.post_stream(opening + frame).status == 200)
            return
        ws = closed_after(ctx, opening, frame)
        answers.append(bool(ws.receive()))
        expect_in("Close", (None, UNRECOGNIZED), ws.closed)
        ws.close()

    in_parallel(10, one)
    expect("accepted", 1, answers.count(True))
    expect("requests at the app", 1, ctx.app.count(path))


@case("tunnel: text is closed with 1003, what is too large with 1009, at any time")
def wrong_messages(ctx: Context) -> None:
    session, path = ctx.session(0x0001), fresh_path()
    large = bytes(MAX_MESSAGE + 1)
    for opcode, data, code in ((TEXT, b"text", 1003), (BINARY, large, 1009)):
        for before in (0, 1, 2):
            ws = WebSocket(ctx.outer)
            stream_id = session.next_id()
            parts = session.sealed(stream_id, get(path, b"POST"), b"x")
            for part in parts[:before]:
                ws.send(part)
            try:
                ws.send(data, opcode)
            except ConnectionError:
                pass
            while ws.receive() is not None:
                pass  # a RESET, once there is a stream
            expect(f"status code of the Close for opcode {opcode} after {before} messages", code, ws.closed and ws.closed[0])
            ws.close()
    ws = WebSocket(ctx.outer)
    for _ in range(3):
        ws.send(bytes(30_000), BINARY if not _ else 0, fin=False)
    while ws.receive() is not None:
        pass
    expect("status code for fragments that are too large", 1009, ws.closed and ws.closed[0])
    ws.close()
    expect("complete requests", 0, ctx.app.completed(path))


@case("tunnel: what breaks RFC 6455 ends it")
def broken_frames(ctx: Context) -> None:
    session, path = ctx.session(0x0001), fresh_path()
    opening, frame = session.sealed(1, get(path))
    for what, data, options in (
        ("not masked", frame, {"masked": False}),
        ("reserved bit", frame, {"reserved": 4}),
        ("opcode 3", frame, {"opcode": 3}),
        ("continuation of nothing", frame, {"opcode": 0}),
        ("ping in fragments", b"x", {"opcode": PING, "fin": False}),
        ("long ping", bytes(126), {"opcode": PING}),
    ):
        ws = WebSocket(ctx.outer)
        ws.send(opening)
        ws.send(data, **options)
        expect(f"message after {what}", None, ws.receive())
        expect_in(f"Close after {what}", (None, 1002, 1007, 1011), ws.closed and ws.closed[0])
        ws.close()
    expect("requests at the app", 0, ctx.app.count(path))


@case("tunnel: closed or lost before FIN, a request is never complete at the app")
def cut(ctx: Context) -> None:
    session = ctx.session(0x0001)
    for in_order in (True, False):
        path = fresh_path()
        with Duplex(session, Tunnel(ctx.outer), get(path, b"POST")) as stream:
            stream.send(DATA, b"half")
            if in_order:
                stream.carriage.send(uint(1000, 2), CLOSE)  # type: ignore[call-arg]
                try:
                    stream.response()
                except StreamError:
                    pass
                else:
                    raise AssertionError("a complete response")
        echoed(session.request(get("/echo")))
        expect("complete requests", 0, ctx.app.completed(path))
    ws = closed_after(ctx, session.open_stream(session.next_id()))
    ws.send(uint(1000, 2), CLOSE)
    expect("message", None, ws.receive())
    ws.close()


@case("tunnel: a wrong frame later on: RESET protocol-error, then Close 1000")
def later(ctx: Context) -> None:
    session, path = ctx.session(0x0001), fresh_path()
    with Duplex(session, Tunnel(ctx.outer), get(path, b"POST")) as stream:
        stream.carriage.send(flipped(stream.sealer.seal(DATA | FIN, b"x")))
        expect_reset(stream.response, PROTOCOL_ERROR)
        expect_close(stream.carriage, 1000)  # type: ignore[arg-type]
    with Duplex(session, Tunnel(ctx.outer), get(path, b"POST")) as stream:
        stream.send(HEAD, get(path).encode())
        expect_reset(stream.response, PROTOCOL_ERROR)
    expect("complete requests", 0, ctx.app.completed(path))


@case("tunnel: a beginning that never ends is closed with 4408; a quiet stream is pinged, and its session lives on")
def quiet(ctx: Context) -> None:
    session = ctx.session(0x0003)
    opening, frame = session.sealed(session.next_id(), get("/echo"))
    beginnings = ((), (opening,), (b"",), (opening, frame[:-1]))

    def begin(messages: tuple[bytes, ...]) -> None:
        ws = WebSocket(ctx.outer, timeout=WAIT)
        for message in messages:
            ws.send(message)
        expect_close(ws, TIMEOUT)

    def stay() -> None:
        with Duplex(session, Tunnel(ctx.outer, timeout=WAIT), asking(fresh("echo"))) as stream:
            expect("status", 101, stream.head())
            assert isinstance(stream.carriage, Tunnel)
            started = client.clock()
            expect("message", None, stream.carriage.receive(until_ping=True))
            expect("pings", 1, stream.carriage.pings)
            expect("seconds until the ping", True, 25_000 < client.clock() - started < 40_000)
            stream.finish_sending(b"still here")
            expect("all", b"still herebye", bytes(stream.response().body))

    in_parallel(5, lambda i: stay() if i == 4 else begin(beginnings[i]))


@case("tunnel: no WebSocket handshake of version 13: 426; another method: 405")
def no_handshake(ctx: Context) -> None:
    answer = ctx.outer.call("GET", TUNNEL)
    expect_refused(answer, 426, "upgrade_required")
    expect("upgrade", "websocket", answer.fields.get("upgrade", "").lower())
    for what, fields in (
        ("version 8", {"Sec-WebSocket-Version": "8"}),
        ("no version", {"Sec-WebSocket-Version": ""}),
        ("no key", {"Sec-WebSocket-Key": ""}),
        ("another upgrade", {"Upgrade": "echo/1"}),
        ("no connection: upgrade", {"Connection": "keep-alive"}),
    ):
        expect(what, 426, refusal(ctx.outer, fields)[0])
    answer = ctx.outer.call("POST", TUNNEL, b"x")
    expect_refused(answer, 405, "method_not_allowed")
    expect_in("allow", ("GET", "GET, HEAD"), answer.fields.get("allow"))
    curl = shutil.which("curl")
    if curl is not None and b"HTTP2" in subprocess.run([curl, "-V"], capture_output=True, check=True).stdout:
        url = f"http://{ctx.outer.host}:{ctx.outer.port}{TUNNEL}"
        command = [curl, "-sS", "--max-time", "10", "--http2-prior-knowledge", "-D", "-", "-o", "/dev/null", url]
        head = subprocess.run(command, capture_output=True, timeout=20, check=False)
        expect("status over HTTP/2", b"HTTP/2 426", head.stdout.splitlines()[0].strip() if head.stdout else head.stderr)
        # RFC 9113, Section 8.2.2: there are no connection-specific fields.
        expect("upgrade over HTTP/2", False, b"\nupgrade:" in head.stdout.lower())


def refusal(outer: Outer, fields: dict[str, str]) -> tuple[int, object]:
    """The status, and the body where there is one."""
    try:
        ws = WebSocket(outer, fields)
    except OuterError as error:
        return error.status, json.loads(error.body)
    ws.close()
    return 101, None


@case("tunnel: 403 for pages of another origin")
def origins(ctx: Context) -> None:
    here = f"{ctx.outer.host}:{ctx.outer.port}"
    forbidden = (403, {"error": "origin_not_allowed"})
    for host, origin, answer in (
        (here, "", (101, None)),
        (here, f"http://{here}", (101, None)),
        (here, f"https://{here}", (101, None)),
        ("app.example", "https://app.example", (101, None)),
        (here, "https://app.example", forbidden),
        (here, "null", forbidden),
        (here, f"http://{here}.example", forbidden),
        (here, f"http://x{here}", forbidden),
        (here, f"http://{ctx.outer.host}", forbidden),
        (here, f"http://{ctx.outer.host}:1", forbidden),
        (here, f"http://app.example@{here}", forbidden),
        (here, f"http://{here}/", forbidden),
        (here, here, forbidden),
        (here, f"http://{here} http://app.example", forbidden),
        (here, f"http://{here}\r\nOrigin: https://app.example", forbidden),
        (here, f"https://app.example\r\nOrigin: http://{here}", forbidden),
    ):
        expect(f"Origin {origin!r} at {host}", answer, refusal(ctx.outer, {"Host": host, "Origin": origin}))
    with ctx.start_proxy({"STEVE_CORS_ORIGINS": "https://app.example"}) as (outer, _):
        for origin, status in (("https://app.example", 101), ("http://app.example", 403), ("https://app.example.evil", 403)):
            expect(f"Origin {origin}, with a list", status, refusal(outer, {"Origin": origin})[0])
