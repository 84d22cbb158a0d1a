"""Self-test: the vector checks, run over vectors made here (right ones and damaged ones)."""

from __future__ import annotations

import base64
import contextlib
import copy
import hashlib
import io
import json
import secrets
import tempfile
import unittest
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from . import handshake, heads, merkle
from .evidence import Profile
from .frames import Sealer, TrafficKey
from .selfmade import (
    NOW,
    PCRS,
    Maker,
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


def head_fields(head: heads.RequestHead | heads.ResponseHead) -> dict[str, Any]:
    lines = [[n.decode(), v.hex()] for n, v in head.fields]
    if isinstance(head, heads.ResponseHead):
        return {"status": head.status, "fields": lines}
    return {name: getattr(head, name).decode() for name in ("method", "scheme", "authority", "path")} | {"fields": lines}


REQUEST = heads.RequestHead(b"POST", b"https", b"a.example", b"/x?y=z", [(b"a", b"\xff")])
RESPONSE = heads.ResponseHead(200, [(b"a", b"b"), (b"a", b"c")])
UPGRADE = heads.RequestHead(b"GET", b"https", b"a.example", b"/raw", [(b"upgrade", b"echo/1")])
UPGRADED = heads.ResponseHead(101, [(b"a", b"b")])


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
        upgrade = stream_id == 9
        head, answered = (UPGRADE, UPGRADED) if upgrade else (REQUEST, RESPONSE)
        trailers = None if upgrade else [(b"t", b"1")]
        sent = client.secrets.early if stream_id == 0 else keys.c2s
        opening = client.hello.encode() if stream_id == 0 else b"\x02" + server.session_id + stream_id.to_bytes(8, "big")
        request = b"".join(seal_message(Sealer(sent, stream_id), head, b"hello", chunk=2))
        response = b"".join(seal_message(Sealer(keys.s2c, stream_id), answered, b"bye", trailers))
        vector["streams"].append(
            {
                "stream_id": stream_id,
                "outer_request": (opening + request).hex(),
                "outer_response": ((server.encode() if stream_id == 0 else b"") + response).hex(),
                "request": head_fields(head) | {"body": b"hello".hex(), "trailers": []},
                "response": head_fields(answered) | {"body": b"bye".hex(), "trailers": [] if upgrade else [["t", "31"]]},
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
        "sent": NOW,
        "now": NOW + 299_999,
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
    sealer = Sealer(TrafficKey(SUITES[3], key, iv), 4)
    switch = [
        sealer.seal(t, c).hex()
        for t, c in ((1, heads.ResponseHead(103).encode()), (1, UPGRADED.encode()), (2, b"x"), (0x82, b""))
    ]
    order = stream | {"kind": "response", "asked_upgrade": True}
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
                "instance": config.instance.hex(),
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
            base | {"now": NOW + 300_000, "outcome": "key-lifetime", "valid_until": None},
            base | {"now": NOW + 400_000, "outcome": "timestamp", "valid_until": None},
        ],
        "policy.json": [policy_vector()],
        "handshake.json": [session_vector(n, n % 2, n % 2)[0] for n in SUITES],
        "frames.json": [stream | {"frames": parts}, stream | {"sealed": parts[1]["sealed"], "error": True}],
        "heads.json": [
            {"kind": "request", "encoded": REQUEST.encode().hex()} | head_fields(REQUEST),
            {"kind": "response", "encoded": RESPONSE.encode().hex()} | head_fields(RESPONSE),
            {"kind": "trailers", "encoded": heads.encode_fields([(b"t", b"1")]).hex(), "fields": [["t", "31"]]},
            {"kind": "request", "encoded": "00", "error": True},
        ],
        "streams.json": [
            order | {"frames": switch},
            order | {"frames": switch[:2], "asked_upgrade": False, "error": True},
        ],
        "padding.json": [
            {"policy": "block=16", "lengths": [256, 512], "buckets": [256, 512]},
            {"policy": "block=16", "head": 235, "ticks": [235], "end": "trailers", "trailers": 235, "frames": [256] * 3},
        ],
        "exchange.json": [exchange_vector(n, n % 3) for n in SUITES],
    }


def policy_vector() -> dict[str, Any]:
    """A policy in its last moment, with the lowest version that is accepted."""
    key, key_id = Ed25519PrivateKey.from_private_bytes(bytes(32)), b"key id 1"
    pcrs = {f"PCR{index}": f"{index + 1:02x}" * 48 for index in range(3)}
    content = {
        "steve_policy": 1,
        "namespace": "a",
        "version": 7,
        "expires": "2027-01-15T08:00:00Z",
        "profiles": [{"label": "b", "pcrs": pcrs}],
    }
    file = json.dumps(content).encode()
    signature = key.sign(hashlib.blake2b(file).digest())
    first = base64.b64encode(b"ED" + key_id + signature).decode()
    second = base64.b64encode(key.sign(signature + b"c")).decode()
    sha256 = hashlib.sha256(file).hexdigest()
    return {
        "signers": [base64.b64encode(b"Ed" + key_id + key.public_key().public_bytes_raw()).decode()],
        "namespace": "a",
        "minimum_version": 7,
        "seen": {"version": 7, "sha256": sha256},
        "now": 1_800_000_000_000 - 1,
        "file": file.hex(),
        "signature": f"untrusted comment: \n{first}\ntrusted comment: c\n{second}\n".encode().hex(),
        "outcome": "accepted",
        "policy": {
            "signer": "312064692079656B",
            "version": 7,
            "sha256": sha256,
            "expires": 1_800_000_000_000,
            "trusted_comment": "c",
            "profiles": [{"label": "b", "pcrs": {name.lower(): value for name, value in pcrs.items()}}],
        },
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
                    if place[0] == "max_clock_skew" or (vector.get("outcome", "verified") not in ("verified", "accepted") and place != ["outcome"]):
                        continue  # the outcome stays what it is
                    if name in ("aead.json", "frames.json", "streams.json") and place == ["suite"]:
                        continue  # two suites have the same AEAD
                    self.assert_noticed(name, index, vector, place)

    def test_valid_until_is_null_unless_verified(self) -> None:
        for vector in make_vectors()["evidence.json"]:
            changed = dict(vector, valid_until=NOW + 300_000 if vector["valid_until"] is None else None)
            self.assertEqual(run_checks("evidence.json", [changed]), 1)
            for name in ("sent", "valid_until"):
                self.assertEqual(run_checks("evidence.json", [{k: v for k, v in vector.items() if k != name}]), 1)

    def assert_noticed(self, name: str, index: int, vector: dict[str, Any], place: list[Any]) -> None:
        changed = copy.deepcopy(vector)
        inner: Any = changed
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = damaged(inner[place[-1]])
        self.assertEqual(run_checks(name, [changed]), 1, f"{name}[{index}] {place}")
