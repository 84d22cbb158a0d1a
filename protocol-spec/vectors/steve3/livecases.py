"""The cases of the live test: what has to work. livenegative.py holds what has to be refused."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import secrets
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from . import client, evidence, handshake, heads
from .client import BASE, Outer, Session
from .document import parse_document, parse_sign1
from .evidence import AppraisalError, Appraised, Profile
from .heads import RequestHead
from .stream import Message, Receiver, seal_message
from .suites import SUITES
from .testapp import App

AUTHORITY = b"app.example:8443"


@dataclass
class Context:
    outer: Outer
    root_sha256: bytes
    app: App
    start_proxy: Callable[[dict[str, str]], AbstractContextManager[tuple[Outer, bytes]]]
    """Starts one more proxy with these environment variables added."""
    _enclave: Appraised | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @functools.cached_property
    def profile(self) -> Profile:
        """PCR0 to PCR2 as a first, unchallenged look shows them; from then on they are pinned."""
        look = evidence.Evidence.decode(client.fetch_evidence(self.outer, None))
        document = parse_document(parse_sign1(look.document).payload)
        return Profile({i: document.pcrs[i] for i in range(3)})

    @property
    def enclave(self) -> Appraised:
        """Appraised again when less than half a minute of its validity is left."""
        profiles = [self.profile]
        with self._lock:
            if self._enclave is None or not self._enclave.valid_at(client.clock() + 30_000):
                self._enclave = client.attest(self.outer, self.root_sha256, profiles)
            return self._enclave

    def session(self, suite: int = 0x0002) -> Session:
        return client.connect(self.outer, self.enclave, suite)


Case = Callable[[Context], None]
_cases: list[tuple[str, Case]] = []
_last: list[tuple[str, Case]] = []


def case(name: str, last: bool = False) -> Callable[[Case], Case]:
    def register(function: Case) -> Case:
        (_last if last else _cases).append((name, function))
        return function

    return register


def all_cases() -> list[tuple[str, Case]]:
    from . import liveapp, livelimits, livenegative, liveouter, livereplay, livetunnel, liveupgrade  # register their cases

    assert liveapp and livelimits and livenegative and liveouter and livereplay and livetunnel and liveupgrade
    return _cases + _last


def expect(what: str, expected: object, got: object) -> None:
    if expected != got:
        raise AssertionError(f"{what}: expected {expected!r}, got {got!r}")


def expect_in(what: str, allowed: tuple[object, ...], got: object) -> None:
    if got not in allowed:
        raise AssertionError(f"{what}: expected one of {allowed!r}, got {got!r}")


def get(path: str, method: bytes = b"GET", fields: heads.Fields | None = None) -> RequestHead:
    return RequestHead(method, b"https", AUTHORITY, path.encode(), fields or [])


def fresh_path(route: str = "/echo") -> str:
    return f"{route}/{secrets.token_hex(6)}"


def status_of(message: Message) -> int:
    if message.response is None or not message.complete:
        raise AssertionError("no complete response")
    return message.response.status


def field_of(message: Message, name: bytes) -> list[bytes]:
    assert message.response is not None
    return heads.values_of(message.response.fields, name)


def echoed(message: Message) -> dict[str, Any]:
    expect("status", 200, status_of(message))
    out: dict[str, Any] = json.loads(message.body)
    return out


def app_values(echo: dict[str, Any], name: str) -> list[str]:
    return [value for n, value in echo["fields"] if n == name]


def binding(session: Session) -> str:
    return base64.urlsafe_b64encode(session.keys.session_binding()).rstrip(b"=").decode()


@case("health")
def health(ctx: Context) -> None:
    answer = ctx.outer.call("GET", BASE + "health")
    expect("status", 200, answer.status)
    expect("body", {"status": "ready"}, json.loads(answer.body))


@case("evidence: unchallenged, appraised, cannot start a handshake")
def unchallenged(ctx: Context) -> None:
    encoded = client.fetch_evidence(ctx.outer, None)
    enclave = evidence.appraise(encoded, None, None, client.clock(), ctx.root_sha256, [ctx.profile])
    expect("fresh", False, enclave.fresh)
    try:
        client.connect(ctx.outer, enclave, 0x0002)
    except handshake.HandshakeError:
        return
    raise AssertionError("a handshake was started")


@case("evidence: challenged, appraised against pinned PCRs")
def challenged(ctx: Context) -> None:
    enclave = client.attest(ctx.outer, ctx.root_sha256, [ctx.profile])
    expect("fresh", True, enclave.fresh)
    expect("suites", True, {e.suite for e in enclave.key_config.keys} <= set(SUITES))
    json.loads(enclave.configuration)


@case("evidence: 40 challenges at once")
def batch(ctx: Context) -> None:
    profiles = [ctx.profile]
    in_parallel(40, lambda i: client.attest(ctx.outer, ctx.root_sha256, profiles))


@case("evidence: wrong challenge, anchor or PCR is noticed")
def wrong_inputs(ctx: Context) -> None:
    challenge, sent = secrets.token_bytes(32), client.clock()
    encoded, now = client.fetch_evidence(ctx.outer, challenge), client.clock()
    other = Profile({**ctx.profile.pcrs, 1: b"\x01" * 48})
    early, late = now - 10 * evidence.MAX_CLOCK_SKEW, now + 10 * evidence.MAX_EVIDENCE_AGE
    delayed = sent - evidence.MAX_EVIDENCE_AGE
    for check, tried in (
        ("nonce", (encoded, secrets.token_bytes(32), sent, now, ctx.root_sha256, [ctx.profile])),
        ("root", (encoded, challenge, sent, now, evidence.AWS_ROOT_G1, [ctx.profile])),
        ("policy", (encoded, challenge, sent, now, ctx.root_sha256, [other])),
        ("timestamp", (encoded, challenge, early, early, ctx.root_sha256, [ctx.profile])),
        ("timestamp", (encoded, challenge, sent, late, ctx.root_sha256, [ctx.profile])),
        ("key-lifetime", (encoded, challenge, delayed, now, ctx.root_sha256, [ctx.profile])),
    ):
        try:
            evidence.appraise(*tried)
        except AppraisalError as error:
            expect_in("check", (check, "certificates") if check == "timestamp" else (check,), error.check)
        else:
            raise AssertionError(f"{check} was not noticed")


def _suite_case(number: int) -> None:
    @case(f"suite {number:#06x}: handshake, GET, binding")
    def run(ctx: Context) -> None:
        session, path = ctx.session(number), fresh_path()
        echo = echoed(session.request(get(path + "?a=b&c=%20", fields=[(b"x-test", b"one"), (b"x-test", b"two")])))
        expect("method", "GET", echo["method"])
        expect("path", path + "?a=b&c=%20", echo["path"])
        expect("repeated field", ["one", "two"], app_values(echo, "x-test"))
        expect("host", [AUTHORITY.decode()], app_values(echo, "host"))
        expect("steve-session", [binding(session)], app_values(echo, "steve-session"))


for _number in SUITES:
    _suite_case(_number)


@case("POST with a body of 1 MiB")
def post(ctx: Context) -> None:
    body = secrets.token_bytes(1 << 20)
    for fields in ([], [(b"content-length", str(len(body)).encode())]):
        message = ctx.session().request(get("/echo", b"POST", fields), body)
        echo = echoed(message)
        expect("length", len(body), echo["length"])
        expect("sha256", hashlib.sha256(body).hexdigest(), echo["sha256"])
        expect("trailers", [], message.trailers)


@case("POST in frames of odd sizes, padded, some empty")
def small_frames(ctx: Context) -> None:
    session, body = ctx.session(0x0004), secrets.token_bytes(3000)
    stream_id = session.next_id()
    sealer = session.sealer(stream_id)
    frames = [session.open_stream(stream_id), sealer.seal(1, get("/echo", b"PUT").encode(), 300), sealer.seal(2, b"", 65536)]
    frames += [sealer.seal(2, body[i : i + 7], i % 5) for i in range(0, len(body), 7)]
    frames.append(sealer.seal(0x82, b""))
    # The outer chunks are cut where no frame ends.
    whole = b"".join(frames)
    echo = echoed(session.exchange(stream_id, (whole[i : i + 1013] for i in range(0, len(whole), 1013))))
    expect("body", body.hex(), echo["body"])


@case("streaming: the first chunk arrives before the second is made")
def streaming(ctx: Context) -> None:
    ctx.app.release.clear()

    def progress(message: Message) -> None:
        if b"first\n" in message.body:
            ctx.app.release.set()

    message = ctx.session().request(get("/stream"), on_progress=progress)
    expect("status", 200, status_of(message))
    expect("body", b"first\nsecond\n", bytes(message.body))
    expect("trailers", [], message.trailers)


def in_parallel(count: int, action: Callable[[int], object]) -> None:
    errors: list[Exception] = []

    def body(i: int) -> None:
        try:
            action(i)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=body, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if any(thread.is_alive() for thread in threads):
        raise TimeoutError("not all done within 60 s")
    if errors:
        raise errors[0]


@case("several streams of one session at once")
def several(ctx: Context) -> None:
    session = ctx.session()
    count = min(16, session.server.max_streams)

    def one(i: int) -> None:
        body = f"stream {i}".encode() * 1000
        echo = echoed(session.request(get(f"/echo/several/{i}", b"POST"), body))
        expect("path", f"/echo/several/{i}", echo["path"])
        expect("sha256", hashlib.sha256(body).hexdigest(), echo["sha256"])
        expect("steve-session", [binding(session)], app_values(echo, "steve-session"))

    in_parallel(count, one)


@case("stream ids may arrive out of order")
def out_of_order(ctx: Context) -> None:
    session = ctx.session(0x0003)
    for stream_id in (3, 1, 600, 2):
        echoed(session.exchange(stream_id, session.sealed(stream_id, get("/echo"))))


@case("HEAD, 404 and 302 pass through")
def statuses(ctx: Context) -> None:
    session = ctx.session(0x0001)
    head = session.request(get("/echo", b"HEAD"))
    expect("HEAD", (200, b""), (status_of(head), bytes(head.body)))
    expect("404", 404, status_of(session.request(get("/missing"))))
    redirect = session.request(get("/redirect"))
    expect("302", 302, status_of(redirect))
    expect("location", [b"/echo"], field_of(redirect, b"location"))
    for name in (b"steve-error", b"steve_error", b"x-hop", b"connection"):
        expect(f"response field {name!r}", [], field_of(redirect, name))


@case("hop-by-hop and steve- fields do not reach the app")
def field_rules(ctx: Context) -> None:
    session = ctx.session()
    sent = [
        (b"connection", b"x-drop, close, host, content-length"), (b"x-drop", b"1"), (b"keep-alive", b"timeout=5"),
        (b"te", b"gzip"), (b"steve_session", b"forged"), (b"steve_other", b"1"), (b"content-length", b"2"),
        (b"proxy-connection", b"close"), (b"proxy-authorization", b"Basic AAAA"),
        (b"steve-session", b"forged"), (b"steve-other", b"1"), (b"x-keep", b"\xc3\xa9"),
    ]  # fmt: skip
    echo = echoed(session.request(get("/echo", b"POST", sent), b"ab"))
    gone = ("x-drop", "keep-alive", "te", "proxy-connection", "proxy-authorization")
    for name in (*gone, "steve-other", "steve_other", "steve_session"):
        expect(name, [], app_values(echo, name))
    expect("body", b"ab".hex(), echo["body"])
    expect("host", [AUTHORITY.decode()], app_values(echo, "host"))
    expect("steve-session", [binding(session)], app_values(echo, "steve-session"))
    expect("x-keep", [b"\xc3\xa9".decode("latin-1")], app_values(echo, "x-keep"))


@case("request trailers: no hop-by-hop and no steve- field, and the session binding stays right")
def request_trailers(ctx: Context) -> None:
    session = ctx.session()
    trailers = [(b"x-checksum", b"1"), (b"steve-session", b"forged"), (b"steve_session", b"forged"), (b"x-hop", b"1")]
    names = b", ".join(name for name, _ in trailers)
    for announced in ([(b"trailer", names)], []):
        stream_id = session.next_id()
        head = get("/echo", b"POST", [(b"connection", b"x-hop"), *announced])
        parts = seal_message(session.sealer(stream_id), head, b"hello", trailers)
        echo = echoed(session.exchange(stream_id, [session.open_stream(stream_id), *parts]))
        expect("body", b"hello".hex(), echo["body"])
        if announced or echo["trailers"]:  # HTTP lets an intermediary drop trailers (RFC 9112, Section 7.1.2)
            expect("trailers", [["x-checksum", "1"]], echo["trailers"])
        expect("steve-session", [binding(session)], app_values(echo, "steve-session") + app_values(echo, "steve_session"))


@case("nothing of the outer request reaches the app")
def outer_fields(ctx: Context) -> None:
    session = ctx.session()
    stream_id = session.next_id()
    body = b"".join(session.sealed(stream_id, get("/echo")))
    fields = {"X-Outer": "1", "Cookie": "outer=1", "Content-Type": client.STREAM_TYPE}
    answer = ctx.outer.call("POST", client.STREAM + "?q=outer", body, fields)
    if answer.status == 200:
        receiver = Receiver(session.keys.s2c, stream_id, is_request=False)
        receiver.feed(answer.body)
        echo = echoed(receiver.end())
        expect("path", "/echo", echo["path"])
        for name in ("x-outer", "cookie"):
            expect(name, [], app_values(echo, name))
    else:
        expect_in("status for an outer query", (400, 404), answer.status)
