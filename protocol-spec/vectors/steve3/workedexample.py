"""Writes the worked example of README.md (SPEC.md, Section 17) from the vectors: `python -m steve3.workedexample`.

Every value is computed here; `sessionvectors` has compared those that the files hold before anything is written.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

from . import frames, handshake, heads, hpke
from .codec import Reader
from .frames import Opener, TrafficKey
from .handshake import ClientHello, ServerHello
from .kdf import sha256
from .keyconfig import KeyConfig
from .sessionvectors import Derived, check_exchange, compute
from .suites import SUITES, TAG_LEN
from .vectors import Vector

BEGIN, END = "<!-- worked example: begin -->\n", "<!-- worked example: end -->\n"
DIRECTORY = Path(__file__).resolve().parent.parent


def short(value: bytes) -> str:
    """Up to 32 bytes in full; the ends of longer values, and their length."""
    return value.hex() if len(value) <= 32 else f"{value[:8].hex()}…{value[-8:].hex()} ({len(value)} bytes)"


def rows(*lines: tuple[str, object]) -> list[str]:
    """A code block of names and values."""
    width = max(len(name) for name, _ in lines)
    shown = ((name, short(value) if isinstance(value, bytes) else str(value)) for name, value in lines)
    return ["```text", *(f"{name:<{width}}  {value}".rstrip() for name, value in shown), "```", ""]


def key_config(config: KeyConfig, suite: int, enclave_key: bytes) -> list[str]:
    encoded, entry = config.encode(), config.entry(suite)
    entries = [(f"  key_id ‖ suite of keys[{i}]", f"{e.key_id.hex()} {e.suite:04x}") for i, e in enumerate(config.keys)]
    return [
        "**The enclave's side.** The key configuration, and the key that its entry for suite 0x0001 announces:", "",
        *rows(
            ("key_config", encoded),
            ("  version", encoded[:2]),
            ("  epoch", f"{encoded[2:10].hex()} = {config.epoch}"),
            ("  not_after", f"{encoded[10:18].hex()} = {config.not_after}"),
            ("  instance", config.instance),
            ("  manifest_hash", config.manifest_hash),
            ("  configuration_hash", config.configuration_hash),
            ("  length of keys", f"{encoded[98:100].hex()} = {len(encoded) - 100}"),
            *entries,
            ("key_config_hash", config.hash()),
            ("enclave_private_key (skE)", enclave_key),
            ("public_key of the entry (pkE)", entry.public_key),
        ),
    ]  # fmt: skip


def client_hello(hello: ClientHello, client_key: bytes) -> list[str]:
    encoded = hello.encode()
    return [
        "**ClientHello.** `epk` is the public key of `client_ephemeral_private_key`. `enc` is the public key of one more key pair,",
        "which the client has forgotten: with `enclave_private_key` the shared secret can be computed all the same.", "",
        *rows(
            ("client_ephemeral_private_key (esk)", client_key),
            ("client_hello", encoded),
            ("  kind, version, suite, early_data", " ".join(encoded[a:b].hex() for a, b in ((0, 1), (1, 3), (3, 5), (5, 6)))),
            ("  key_id", hello.key_id),
            ("  enc", hello.enc),
            ("  epk", hello.epk),
        ),
    ]  # fmt: skip


def contexts(v: Vector, hello: ClientHello, server: ServerHello, d: Derived, th0: bytes) -> list[str]:
    kem = SUITES[hello.suite].kem
    enclave_key, client_key = v.hex("enclave_private_key"), v.hex("client_ephemeral_private_key")
    info_e, info_s = b"steve/3 hello" + th0, b"steve/3 reply" + d.early.thc
    e = hpke.setup_base_r(kem, hello.enc, enclave_key, info_e)
    s = hpke.setup_base_r(kem, server.enc2, client_key, info_s)
    secret = e.export(b"steve/3 early traffic" + d.early.thc, 32)
    encoded = server.encode()
    limits = encoded[-30:-16]
    return [
        "**E**, opened with `enclave_private_key`. `th0` hashes 11 + 32 + 2 + 2 + 8 + 32 bytes. Of an HPKE context without AEAD the exporter",
        "secret is all there is.", "",
        *rows(
            ("th0", th0),
            ("info", info_e),
            ("shared secret of the KEM", kem.decap(hello.enc, enclave_key)),
            ("suite_id of HPKE", e.suite_id),
            ("exporter_secret of HPKE", e.exporter_secret),
            ("thc = SHA-256(th0 ‖ client_hello)", d.early.thc),
            ("salt = E.Export(\"steve/3 early\", 32)", d.early.salt),
            ("early secret", secret),
            ("early_key", d.early.early.key),
            ("early_iv", d.early.early.iv),
        ),
        "**ServerHello** and **S**, opened with `client_ephemeral_private_key`:", "",
        *rows(
            ("server_hello", encoded),
            ("  kind", encoded[:1]),
            ("  session_id", server.session_id),
            ("  enc2", server.enc2),
            ("  early_data", f"{server.early_data:02x}"),
            ("  session_lifetime", f"{limits[0:4].hex()} = {server.session_lifetime} s"),
            ("  idle_timeout", f"{limits[4:8].hex()} = {server.idle_timeout} s"),
            ("  max_head_size", f"{limits[8:12].hex()} = {server.max_head_size} bytes"),
            ("  max_streams", f"{limits[12:14].hex()} = {server.max_streams}"),
            ("  confirm", server.confirm),
            ("info", info_s),
            ("shared secret of the KEM", kem.decap(server.enc2, client_key)),
            ("exporter_secret of HPKE", s.exporter_secret),
            ("th1 = SHA-256(\"steve/3 th1\" ‖ thc ‖ 64 bytes)", d.keys.th1),
            ("ikm = S.Export(\"steve/3 session\", 32)", d.keys.ikm),
            ("master = HKDF-Extract(salt, ikm)", d.keys.master),
        ),
    ]  # fmt: skip


def results(d: Derived) -> list[str]:
    keys = d.keys
    number = frames.nonce(keys.s2c.iv, frames.CONFIRM_STREAM_ID, frames.RESERVED_FRAME_NUMBER)
    text = base64.urlsafe_b64encode(keys.session_binding()).rstrip(b"=").decode()
    return [
        "**Results**, and what `confirm` is the tag under: `s2c_key`, this nonce, `th1` as associated data, no plaintext.", "",
        *rows(
            ("c2s_key", keys.c2s.key),
            ("c2s_iv", keys.c2s.iv),
            ("s2c_key", keys.s2c.key),
            ("s2c_iv", keys.s2c.iv),
            ("nonce = s2c_iv xor ff…ff", number),
            ("confirm", keys.confirm()),
            ("exporter_secret", keys.exporter_secret),
            ("session_binding", keys.session_binding()),
            ("  as the app sees it", text),
        ),
    ]  # fmt: skip


def frame_rows(name: str, traffic: TrafficKey, stream_id: int, data: bytes) -> list[tuple[str, object]]:
    out: list[tuple[str, object]] = []
    opener = Opener(traffic, stream_id)
    while data:
        whole, data = data[: 4 + int.from_bytes(data[:4], "big")], data[4 + int.from_bytes(data[:4], "big") :]
        opener.feed(whole)
        number, frame = opener.frame_number, opener.next()
        assert frame is not None and not frame.padding
        out += [
            (f"{name}, frame {number}", whole),
            ("  length, also associated data", f"{whole[:4].hex()} = {len(whole) - 4}"),
            ("  nonce", frames.nonce(traffic.iv, stream_id, number)),
            ("  ciphertext", whole[4:-TAG_LEN]),
            ("  tag", whole[-TAG_LEN:]),
            ("  content", frame.content),
            ("  type", f"{frame.type:02x}"),
        ]
    return out


def head_rows(encoded: bytes) -> list[tuple[str, object]]:
    """A request head, part by part."""
    head, r = heads.decode_request(encoded), Reader(encoded)
    out: list[tuple[str, object]] = []
    for name, value in (("method", head.method), ("scheme", head.scheme), ("authority", head.authority), ("path", head.path)):
        start = r.pos
        assert r.varint_bytes() == value
        out.append((f"  {name}", f'{encoded[start : start + 1].hex()} {value.hex()}  "{value.decode()}"'))
    out.append(("  length of the field lines", r.take(1)))
    for name_, value in head.fields:
        for part in (name_, value):
            shown = f'{r.take(1).hex()} {r.take(len(part)).hex()}  "{part.decode()}"'
            out.append(("  name" if part is name_ else "  value", shown))
    r.end()
    return out


def stream(d: Derived, s: dict[str, Any]) -> list[str]:
    stream_id, request, response = s["stream_id"], bytes.fromhex(s["outer_request"]), bytes.fromhex(s["outer_response"])
    opener = Opener(d.keys.c2s, stream_id)
    opener.feed(request[25:])
    first = opener.next()
    assert first is not None
    asked = s["request"]["head"]
    return [
        f"**The first stream**, `streams[0]` of the first vector of `exchange.json`, which is the same session: `{asked['method']}"
        f" {asked['path']}`, answered {s['response']['head']['status']}.", "",
        *rows(
            ("outer_request", request),
            ("  kind", request[:1]),
            ("  session_id", request[1:17]),
            ("  stream_id", f"{request[17:25].hex()} = {stream_id}"),
            *frame_rows("c2s", d.keys.c2s, stream_id, request[25:]),
        ),
        "The type is HEAD (01) with FIN (80): there is no body. The nonce is `c2s_iv` xor stream id and frame number. The content is the",
        f"request head, of {len(first.content)} bytes:", "",
        *rows(*head_rows(first.content)),
        "The response, HEAD (01) and DATA with FIN (82). The head begins with the varint 40c8, status 200; the next byte is the length",
        "of the field lines.", "",
        *rows(("outer_response", response), *frame_rows("s2c", d.keys.s2c, stream_id, response)),
    ]  # fmt: skip


def make(directory: Path) -> str:
    shakes = json.loads((directory / "handshake.json").read_text(encoding="utf-8"))["vectors"]
    exchanges = json.loads((directory / "exchange.json").read_text(encoding="utf-8"))["vectors"]
    exchange = exchanges[0]
    v = Vector(shakes[0])
    d = compute(v)
    check_exchange(Vector(exchange))
    if v.number("suite") != 1 or any(exchange[name] != value for name, value in shakes[0].items()):
        raise ValueError("the first vectors are not of one session with suite 0x0001")
    config = KeyConfig.decode(v.hex("key_config"))
    hello = ClientHello.read(Reader(d.hello))
    th0 = handshake.compute_th0(config.hash(), hello.suite, hello.key_id, hello.epk)
    assert d.early.thc == sha256(th0 + d.hello)
    lines = [
        *key_config(config, hello.suite, v.hex("enclave_private_key")),
        *client_hello(hello, v.hex("client_ephemeral_private_key")),
        *contexts(v, hello, d.server, d, th0),
        *results(d),
        *stream(d, exchange["streams"][0]),
        *early_data(shakes, exchanges),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def early_data(shakes: list[dict[str, Any]], exchanges: list[dict[str, Any]]) -> list[str]:
    """What the vectors hold of Section 12."""
    all_derived = [compute(Vector(v)) for v in shakes]
    answered = {code: [i for i, d in enumerate(all_derived) if d.server.early_data == code] for code in (1, 2)}
    with_frames = [i for i, v in enumerate(exchanges) if any(s["stream_id"] == 0 for s in v["streams"])]
    first = min(answered[1] + answered[2])
    d = all_derived[first]
    assert d.hello[5] == handshake.EARLY_OFFERED
    return [
        "**Early data.** Every vector has `early_key` and `early_iv`, whether early data is offered (byte 5 of the ClientHello is 1) or not.",
        f"In `handshake.json`, offered and rejected: {listed(answered[2])}; offered and accepted: {listed(answered[1])}. In `exchange.json`",
        "early data is the stream with `stream_id` 0, whose `outer_request` begins with `client_hello` instead of a StreamOpen and",
        "whose `outer_response` begins with `server_hello`; after a rejection nothing follows that, and `response` is null. With such a",
        f"stream: {listed(with_frames)}. Vector {first} of `handshake.json`:", "",
        *rows(
            ("client_hello, first 6 bytes", d.hello[:6]),
            ("early_data of server_hello", f"{d.server.early_data:02x}"),
            ("thc", d.early.thc),
            ("early_key", d.early.early.key),
            ("early_iv", d.early.early.iv),
            ("nonce of stream 0, frame 0", frames.nonce(d.early.early.iv, 0, 0)),
            ("nonce of stream 0, frame 1", frames.nonce(d.early.early.iv, 0, 1)),
        ),
    ]  # fmt: skip


def listed(indices: list[int]) -> str:
    return "vectors " + ", ".join(map(str, indices)) if indices else "none"


def replaced(readme: str, section: str) -> str:
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("README.md has no place for the worked example")
    return before + begin + section + end + after


def check(directory: Path) -> bool:
    """Whether README.md holds the worked example of these vectors."""
    readme = (directory / "README.md").read_text(encoding="utf-8")
    return replaced(readme, make(directory)) == readme


if __name__ == "__main__":
    path = DIRECTORY / "README.md"
    path.write_text(replaced(path.read_text(encoding="utf-8"), make(DIRECTORY)), encoding="utf-8")
    sys.exit(0)
