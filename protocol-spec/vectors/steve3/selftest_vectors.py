"""Self-test: appraisal, and the vector checks run over vectors made here (right ones and damaged ones)."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import secrets
import tempfile
import unittest
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from . import cbor, evidence, handshake, heads, merkle
from .evidence import AppraisalError, Evidence, Profile
from .frames import Sealer, TrafficKey
from .selfmade import (
    NOW,
    PCRS,
    START,
    Issued,
    Maker,
    Options,
    make_chain,
    make_config,
    make_keys,
)
from .stream import seal_message
from .suites import SUITES

CHALLENGE = secrets.token_bytes(32)
CHAIN = make_chain()
KEYS, PRIVATE = make_keys()
PINNED = [Profile({i: PCRS[i] for i in range(3)})]
LEAF = {"ca": False, "usage": "digital_signature"}
P384_ORDER_PLUS = b"\xff" * 48


def outcome(
    maker: Maker, profiles: list[Profile] = PINNED, change: Callable[[Evidence], Evidence] = lambda e: e, now: int = NOW
) -> str:
    made = change(maker.evidence([CHALLENGE]))
    try:
        evidence.appraise(made.encode(), CHALLENGE, now, maker.root_sha256, profiles)
    except AppraisalError as error:
        return error.check
    return "verified"


def chain(**options: Options) -> list[Issued]:
    return make_chain(**options)


class Appraisal(unittest.TestCase):
    def check(self, expected: str, chain: list[Issued] = CHAIN, **options: Any) -> None:
        self.assertEqual(outcome(Maker(chain, KEYS, **options)), expected, options)

    def test_good(self) -> None:
        self.check("verified")
        self.check("verified", tag=18)
        self.check("verified", without=("public_key",))
        self.check("verified", fields={"unknown": {1: [None, "x"]}})
        made = Maker(CHAIN, KEYS).evidence([secrets.token_bytes(32) for _ in range(6)] + [CHALLENGE], 6)
        verified = evidence.appraise(made.encode(), CHALLENGE, NOW + 1000, Maker(CHAIN, KEYS).root_sha256, PINNED)
        self.assertEqual(verified.valid_until, NOW + 301_000)
        self.assertFalse(
            evidence.appraise(Maker(CHAIN, KEYS).evidence([]).encode(), None, NOW, Maker(CHAIN, KEYS).root_sha256, PINNED).fresh
        )

    def test_cose(self) -> None:
        self.check("cose", tag=17)
        self.check("cose", protected=cbor.encode({1: -7}))
        self.check("cose", protected=cbor.encode({1: -35, 4: b""}))
        self.check("cose", unprotected={4: b""})

    def test_document(self) -> None:
        bad: tuple[dict[Any, Any], ...] = (
            {"module_id": ""},
            {"module_id": "x" * 257},
            {"module_id": b"x"},
            {"digest": "SHA256"},
            {"timestamp": 0},
            {"timestamp": -1},
            {"pcrs": {}},
            {"pcrs": {32: bytes(48)}},
            {"pcrs": {0: bytes(32)}},
            {"pcrs": {"0": bytes(48)}},
            {"certificate": b""},
            {"cabundle": []},
            {"certificate": bytes(1025)},
            {"cabundle": [b""]},
            {"cabundle": [b"x"] * 17},
            {"public_key": bytes(1025)},
            {"user_data": "x"},
            {"nonce": bytes(513)},
            {"x": [[[[[[[[1]]]]]]]]},
            {5: 1},
        )
        for fields in bad:
            self.check("document", fields=fields)
        for name in ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"):
            self.check("document", without=(name,))

    def test_certificates(self) -> None:
        day = timedelta(days=1)
        for bad in (
            chain(root=Options(path_length=0)),
            chain(root=Options(ca=False)),
            chain(root=Options(ca=None)),
            chain(root=Options(usage=None)),
            chain(middle=Options(usage="digital_signature")),
            chain(middle=Options(ca=False)),
            chain(middle=Options(hash=hashes.SHA256())),
            chain(middle=Options(curve=ec.SECP256R1())),
            chain(middle=Options(critical_unknown=True)),
            chain(middle=Options(issuer="other")),
            chain(middle=Options(end=START + timedelta(minutes=1))),
            chain(leaf=Options(ca=True)),
            chain(leaf=Options(ca=False, usage="crl_sign")),
            chain(leaf=Options(ca=None, usage="digital_signature")),
            chain(leaf=Options(ca=False, usage=None)),
            chain(leaf=Options(ca=False, usage="digital_signature", start=START + day, end=START + 2 * day)),
            [CHAIN[0], chain()[1], CHAIN[2]],
            [CHAIN[0], CHAIN[2]],
            [CHAIN[0], CHAIN[1], CHAIN[1], CHAIN[2]],
        ):
            self.check("certificates", chain=bad)
        self.check("certificates", fields={"certificate": CHAIN[2].der + b"\x00"})
        end = int((START + day).timestamp() * 1000)
        self.assertEqual(outcome(Maker(CHAIN, KEYS, timestamp=end), now=end - 1), "key-lifetime")
        self.assertEqual(outcome(Maker(CHAIN, KEYS, timestamp=end + 1), now=end), "certificates")

    def test_rest(self) -> None:
        maker = Maker(CHAIN, KEYS)
        self.assertEqual(outcome(maker, change=lambda e: replace(e, path=bytes(31))), "encoding")
        self.assertEqual(outcome(maker, change=lambda e: replace(e, path=bytes(32))), "nonce")
        self.assertEqual(outcome(maker, change=lambda e: replace(e, tree_size=2)), "nonce")
        self.assertEqual(outcome(maker, change=lambda e: replace(e, tree_size=0)), "nonce")
        self.assertEqual(outcome(maker, change=lambda e: replace(e, document=e.document[:-1] + b"\x00")), "signature")
        self.assertEqual(outcome(maker, change=lambda e: replace(e, document=e.document[:-96] + P384_ORDER_PLUS * 2)), "signature")
        self.assertEqual(outcome(maker, change=lambda e: replace(e, document=e.document + b"\x00")), "cose")
        self.assertEqual(outcome(maker, change=lambda e: replace(e, configuration=b"{ }")), "configuration")
        self.assertEqual(outcome(maker, change=lambda e: replace(e, manifest=b"")), "manifest")
        self.assertEqual(outcome(maker, now=NOW + 300_001), "timestamp")
        self.assertEqual(outcome(maker, now=NOW - 300_001), "timestamp")
        self.assertEqual(outcome(maker, now=NOW + 300_000), "verified")
        self.check("nonce", fields={"nonce": None})
        self.check("key-config", fields={"user_data": bytes(50)})
        self.check("key-lifetime", not_after=NOW)
        self.check("debug-mode", pcrs={**PCRS, 2: bytes(48)})
        self.check("debug-mode", pcrs={0: PCRS[0], 1: PCRS[1]})
        self.check("policy", pcrs={**PCRS, 1: b"\x99" * 48})
        mixed = [Profile({0: PCRS[0], 1: b"\x01" * 48, 2: PCRS[2]}), Profile({0: b"\x02" * 48, 1: PCRS[1], 2: PCRS[2]})]
        self.assertEqual(outcome(maker, mixed), "policy")
        self.assertEqual(outcome(maker, mixed + PINNED), "verified")
        self.assertEqual(outcome(maker, [Profile({**PINNED[0].pcrs, 8: b"\x08" * 48})]), "policy")
        for pcrs in (
            {0: PCRS[0]},
            {**PINNED[0].pcrs, 3: bytes(48)},
            {**PINNED[0].pcrs, 5: b"\x05" * 48},
            {**PINNED[0].pcrs, 1: b"\x05" * 47},
        ):
            with self.assertRaises(ValueError):
                Profile(pcrs)


def head_fields(head: heads.RequestHead | heads.ResponseHead) -> dict[str, Any]:
    lines = [[n.decode(), v.hex()] for n, v in head.fields]
    if isinstance(head, heads.ResponseHead):
        return {"status": head.status, "fields": lines}
    return {name: getattr(head, name).decode() for name in ("method", "scheme", "authority", "path")} | {"fields": lines}


REQUEST = heads.RequestHead(b"POST", b"https", b"a.example", b"/x?y=z", [(b"a", b"\xff")])
RESPONSE = heads.ResponseHead(200, [(b"a", b"b"), (b"a", b"c")])


def session_vector(
    suite: int, early: int, answer: int
) -> tuple[dict[str, Any], handshake.Client, handshake.ServerHello, handshake.SessionSecrets]:
    config = make_config(KEYS, b"{}", b"m", NOW)
    client = handshake.Client(config.entry(suite), config.hash(), early)
    blank = handshake.ServerHello(b"", b"", answer, 600, 60, 16384, 32, b"")
    server, secret, k = handshake.accept(client.hello, config.entry(suite), PRIVATE[suite], config.hash(), blank)
    values = {
        "key_config": config.encode(),
        "enclave_private_key": PRIVATE[suite],
        "client_ephemeral_private_key": client.esk,
        "client_hello": client.hello.encode(),
        "server_hello": server.encode(),
        "thc": secret.thc,
        "salt": secret.salt,
        "th0": handshake.compute_th0(config.hash(), suite, client.hello.key_id, client.hello.epk),
        "th1": k.th1,
        "ikm": k.ikm,
        "master": k.master,
        "c2s_key": k.c2s.key,
        "c2s_iv": k.c2s.iv,
        "s2c_key": k.s2c.key,
        "s2c_iv": k.s2c.iv,
        "exporter_secret": k.exporter_secret,
        "early_key": secret.early.key,
        "early_iv": secret.early.iv,
        "session_binding": k.session_binding(),
    }
    return {"suite": suite} | {n: v.hex() for n, v in values.items()}, client, server, k


def exchange_vector(suite: int, answer: int) -> dict[str, Any]:
    vector, client, server, keys = session_vector(suite, 1 if answer else 0, answer)
    vector["streams"] = []
    for stream_id in (0, 1, 9) if answer == 1 else (1, 9):
        sent = client.secrets.early if stream_id == 0 else keys.c2s
        opening = client.hello.encode() if stream_id == 0 else b"\x02" + server.session_id + stream_id.to_bytes(8, "big")
        request = b"".join(seal_message(Sealer(sent, stream_id), REQUEST, b"hello", chunk=2))
        response = b"".join(seal_message(Sealer(keys.s2c, stream_id), RESPONSE, b"bye", [(b"t", b"1")]))
        vector["streams"].append(
            {
                "stream_id": stream_id,
                "outer_request": (opening + request).hex(),
                "outer_response": ((server.encode() if stream_id == 0 else b"") + response).hex(),
                "request": head_fields(REQUEST) | {"body": b"hello".hex(), "trailers": []},
                "response": head_fields(RESPONSE) | {"body": b"bye".hex(), "trailers": [["t", "31"]]},
            }
        )
    return vector


def make_vectors() -> dict[str, list[dict[str, Any]]]:
    key, iv = secrets.token_bytes(32), secrets.token_bytes(12)
    config = make_config(KEYS, b"{}", b"m", NOW)
    entries = [{"key_id": e.key_id.hex(), "suite": e.suite, "public_key": e.public_key.hex()} for e in config.keys]
    leaves = [secrets.token_bytes(32) for _ in range(5)]
    maker = Maker(CHAIN, KEYS)
    base = {
        "evidence": maker.evidence([CHALLENGE]).encode().hex(),
        "challenge": CHALLENGE.hex(),
        "now": NOW,
        "root_sha256": maker.root_sha256.hex(),
        "profiles": [{f"pcr{i}": PCRS[i].hex() for i in range(3)}],
        "max_evidence_age": 300_000,
        "max_clock_skew": 300_000,
    }
    sealer = Sealer(TrafficKey(SUITES[3], key, iv), 4)
    parts = [
        {"frame_number": i, "type": t, "content": c.hex(), "padding": p, "sealed": sealer.seal(t, c, p).hex()}
        for i, (t, c, p) in enumerate(((1, REQUEST.encode(), 5), (2, b"", 0), (0x82, b"x\x00", 1)))
    ]
    stream = {"suite": 3, "key": key.hex(), "iv": iv.hex(), "stream_id": 4}
    aead = [
        {
            "suite": n,
            "key": key.hex(),
            "nonce": iv.hex(),
            "aad": "00",
            "plaintext": "01",
            "ciphertext": s.seal(key, iv, b"\0", b"\1").hex(),
        }
        for n, s in SUITES.items()
    ]
    return {
        "aead.json": aead,
        "key_config.json": [
            {
                "encoded": config.encode().hex(),
                "hash": config.hash().hex(),
                "epoch": 1,
                "not_after": config.not_after,
                "keys": entries,
                "manifest_hash": config.manifest_hash.hex(),
                "configuration_hash": config.configuration_hash.hex(),
            },
            {"encoded": config.encode()[:-1].hex(), "error": True},
        ],
        "merkle.json": [
            {
                "challenges": [x.hex() for x in leaves],
                "root": merkle.root(leaves).hex(),
                "paths": [b"".join(merkle.path(i, leaves)).hex() for i in range(5)],
            },
            {
                "challenge": leaves[0].hex(),
                "leaf_index": 0,
                "tree_size": 1,
                "path": "",
                "root": merkle.root(leaves).hex(),
                "valid": False,
            },
        ],
        "evidence.json": [
            base | {"outcome": "verified", "valid_until": NOW + 300_000},
            base | {"now": NOW + 400_000, "outcome": "timestamp"},
        ],
        "handshake.json": [session_vector(n, n % 2, n % 2)[0] for n in SUITES],
        "frames.json": [stream | {"frames": parts}, stream | {"sealed": parts[1]["sealed"], "error": True}],
        "heads.json": [
            {"kind": "request", "encoded": REQUEST.encode().hex()} | head_fields(REQUEST),
            {"kind": "response", "encoded": RESPONSE.encode().hex()} | head_fields(RESPONSE),
            {"kind": "trailers", "encoded": heads.encode_fields([(b"t", b"1")]).hex(), "fields": [["t", "31"]]},
            {"kind": "request", "encoded": "00", "error": True},
        ],
        "exchange.json": [exchange_vector(n, n % 3) for n in SUITES],
    }


def run_checks(name: str, vectors: list[dict[str, Any]]) -> int:
    """The number of failed vectors."""
    import check

    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(io.StringIO()):
        path = Path(directory) / name
        path.write_text(json.dumps({"description": "", "vectors": vectors}))
        return check.check_file(path, check.CHECKS[name])[1]


def damaged(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        if not value:
            return "00"
        last = value[-1]
        return value[:-1] + ("1" if last == "0" else "0")
    return None


def places(value: Any) -> list[list[Any]]:
    """The path to every leaf of a JSON value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if entries is None:
        return [[]]
    return [[key, *rest] for key, inner in entries for rest in places(inner)]


class VectorChecks(unittest.TestCase):
    def test_right_ones_pass_and_damaged_ones_fail(self) -> None:
        for name, vectors in make_vectors().items():
            self.assertEqual(run_checks(name, vectors), 0, name)
            for index, vector in enumerate(vectors):
                if vector.get("error") or "valid" in vector:
                    continue  # damaged once more they may well stay refused
                for place in places(vector):
                    if place[0] == "max_clock_skew" or (vector.get("outcome") == "timestamp" and place != ["outcome"]):
                        continue  # the outcome stays what it is
                    if name in ("aead.json", "frames.json") and place == ["suite"]:
                        continue  # two suites have the same AEAD
                    self.assert_noticed(name, index, vector, place)

    def assert_noticed(self, name: str, index: int, vector: dict[str, Any], place: list[Any]) -> None:
        changed = copy.deepcopy(vector)
        inner: Any = changed
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = damaged(inner[place[-1]])
        self.assertEqual(run_checks(name, [changed]), 1, f"{name}[{index}] {place}")
