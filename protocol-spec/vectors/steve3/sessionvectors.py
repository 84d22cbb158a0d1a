"""Checks of handshake.json and exchange.json."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from . import handshake, heads, hpke
from .codec import Reader
from .frames import Sealer, TrafficKey
from .handshake import ClientHello, EarlySecrets, ServerHello, SessionSecrets
from .keyconfig import KeyConfig
from .stream import Message, Receiver, ResetError, StreamError
from .suites import SUITES
from .vectors import Mismatch, Vector, accepted, expect_fields, expect_head


@dataclass(frozen=True)
class Derived:
    hello: bytes
    server_hello: bytes
    server: ServerHello
    early: EarlySecrets
    keys: SessionSecrets


def compute(v: Vector) -> Derived:
    """Both ends: E from the enclave's key, S from the client's, each compared with every value of the vector."""
    suite = SUITES[v.number("suite")]
    kem = suite.kem
    encoded_config = v.hex("key_config")
    config: KeyConfig = accepted("key_config", lambda: KeyConfig.decode(encoded_config))
    entry = config.entry(suite.number)
    enclave_key, client_key = v.hex("enclave_private_key"), v.hex("client_ephemeral_private_key")

    r = Reader(v.hex("client_hello"))
    hello: ClientHello = accepted("client_hello", lambda: ClientHello.read(r))
    accepted("client_hello", r.end)
    server_reader = Reader(v.hex("server_hello"))
    server: ServerHello = accepted("server_hello", lambda: ServerHello.read(server_reader, suite))
    accepted("server_hello", server_reader.end)

    same("client_hello", v.hex("client_hello"), hello.encode())
    same("server_hello", v.hex("server_hello"), server.encode())
    same("suite in client_hello", suite.number, hello.suite)
    same("key_id in client_hello", entry.key_id, hello.key_id)
    same("public key of enclave_private_key", entry.public_key, kem.public_key(enclave_key))
    same("public key of client_ephemeral_private_key", hello.epk, kem.public_key(client_key))

    th0 = handshake.compute_th0(config.hash(), suite.number, entry.key_id, hello.epk)
    v.expect("th0", th0)
    e = hpke.setup_base_r(kem, hello.enc, enclave_key, b"steve/3 hello" + th0)
    early = handshake.early_secrets(suite, e, th0, hello.encode())
    v.expect("thc", early.thc)
    v.expect("salt", early.salt)
    s = hpke.setup_base_r(kem, server.enc2, client_key, b"steve/3 reply" + early.thc)
    keys = handshake.session_secrets(suite, early.salt, s, early.thc, server.without_confirm())
    for name, value in (
        ("th1", keys.th1), ("ikm", keys.ikm), ("master", keys.master),
        ("c2s_key", keys.c2s.key), ("c2s_iv", keys.c2s.iv), ("s2c_key", keys.s2c.key), ("s2c_iv", keys.s2c.iv),
        ("exporter_secret", keys.exporter_secret), ("early_key", early.early.key), ("early_iv", early.early.iv),
    ):  # fmt: skip
        v.expect(name, value)
    check_binding(v, keys.session_binding())
    same("server_hello.confirm", server.confirm, keys.confirm())
    try:
        server.check(hello.early_data)
    except handshake.HandshakeError as error:
        raise Mismatch("server_hello", "acceptable", str(error)) from error
    check_own_run(config, entry.suite, enclave_key)
    return Derived(hello.encode(), server.encode(), server, early, keys)


def same(name: str, expected: object, got: object) -> None:
    if expected != got:
        raise Mismatch(name, expected, got)


def check_binding(v: Vector, binding: bytes) -> None:
    """32 bytes in hexadecimal, or the 43 characters the app sees."""
    text = base64.urlsafe_b64encode(binding).rstrip(b"=").decode()
    if v.get("session_binding") != text:
        v.expect("session_binding", binding)


def check_own_run(config: KeyConfig, suite: int, private_key: bytes) -> None:
    """A handshake of our own against the vector's key: the encapsulating halves have to agree, too."""
    client = handshake.Client(config.entry(suite), config.hash())
    blank = ServerHello(b"", b"", 0, 1, 1, 1024, 1, b"")
    answer, _, keys = handshake.accept(client.hello, config.entry(suite), private_key, config.hash(), blank)
    _, client_keys = client.finish(Reader(answer.encode()))
    same("a handshake of our own", True, hmac.compare_digest(keys.master, client_keys.master))


def check_handshake(v: Vector) -> None:
    compute(v)


def check_exchange(v: Vector) -> None:
    if v.has("handshake"):
        inner = v.child("handshake")
        derived = compute(inner)
        inner.done()
    else:
        derived = compute(v)
    for stream in v.items("streams"):
        check_stream(stream, derived)
        stream.done()


def check_stream(v: Vector, derived: Derived) -> None:
    stream_id = v.number("stream_id")
    early = stream_id == 0
    opening = derived.hello if early else b"\x02" + derived.server.session_id + stream_id.to_bytes(8, "big")
    request_frames = after(v, "outer_request", opening)
    response_frames = after(v, "outer_response", derived.server_hello if early else b"")
    c2s = derived.early.early if early else derived.keys.c2s
    if early and derived.server.early_data != handshake.EARLY_ACCEPTED:
        same(v.prefix + "outer_response", b"", response_frames)
    request, reset = read_stream(v, "outer_request", c2s, stream_id, True, request_frames)
    compare(v, "request", request, reset)
    if response_frames or not early:
        response, reset = read_stream(v, "outer_response", derived.keys.s2c, stream_id, False, response_frames, request.request)
        compare(v, "response", response, reset)
    elif v.has("response"):
        same(v.prefix + "response", None, v.get("response"))


def after(v: Vector, name: str, opening: bytes) -> bytes:
    data = v.hex(name)
    if not data.startswith(opening):
        raise Mismatch(v.prefix + name, f"to begin with {opening.hex()}", data)
    return data[len(opening) :]


def read_stream(
    v: Vector,
    name: str,
    traffic: TrafficKey,
    stream_id: int,
    is_request: bool,
    data: bytes,
    answered: heads.RequestHead | None = None,
) -> tuple[Message, int | None]:
    """What the stream holds, and the code of the RESET that ended it, if one did."""

    def new_receiver() -> Receiver:
        bodiless = answered is not None and answered.method == b"HEAD"
        return Receiver(traffic, stream_id, is_request, bodiless, answered is not None and answered.asks_upgrade)

    receiver = new_receiver()
    where, reset = v.prefix + name, None
    try:
        for i in range(0, len(data), 100):  # in pieces, as a network would deliver it
            receiver.feed(data[i : i + 100])
        receiver.end()
    except ResetError as error:
        reset = error.code
    except StreamError as error:
        raise Mismatch(where, "to be accepted", f"{type(error).__name__}: {error}") from error
    sealer = Sealer(traffic, stream_id)
    same(where, data, b"".join(sealer.seal(f.type, f.content, f.padding) for f in receiver.frames))
    check_cut(where, new_receiver, data, receiver)
    return receiver.message, reset


def check_cut(where: str, new_receiver: Callable[[], Receiver], data: bytes, whole: Receiver) -> None:
    """The same stream without its last frame, without its last byte, and with one bit changed must fail."""
    last = 4 + 16 + 1 + len(whole.frames[-1].content) + whole.frames[-1].padding
    for what, changed in (
        ("without its last frame", data[:-last]),
        ("without its last byte", data[:-1]),
        ("with a changed bit", data[:-1] + bytes([data[-1] ^ 0x80])),
    ):
        receiver = new_receiver()
        try:
            receiver.feed(changed)
            receiver.end()
        except StreamError:
            continue
        raise Mismatch(f"{where} {what}", "to be refused", "accepted")
    if whole.message.complete:
        receiver = new_receiver()
        receiver.feed(data + data[-last:])
        same(f"{where} with its last frame twice", whole.message, receiver.end())


def compare(v: Vector, side: str, message: Message, reset: int | None) -> None:
    expected = v.child(side)
    if reset is not None:
        expected.expect("reset", reset)
    head = message.request if side == "request" else message.response
    if head is not None:
        nested = expected.child("head") if expected.has("head") else expected
        expect_head(nested, head)
        if nested is not expected:
            nested.done()
    expected.expect("body", bytes(message.body))
    if message.trailers or (expected.has("trailers") and expected.data["trailers"] is not None):
        expect_fields(expected, "trailers", message.trailers)
    expected.used.add("trailers")
    compare_interim(expected, message.interim)
    expected.done()


def compare_interim(expected: Vector, interim: list[heads.ResponseHead]) -> None:
    if interim or expected.has("interim"):
        wanted = expected.items("interim")
        same(expected.prefix + "interim", len(wanted), len(interim))
        for entry, head in zip(wanted, interim, strict=True):
            expect_head(entry, head)
            entry.done()
