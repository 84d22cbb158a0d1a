"""Self-test: appraisal of evidence, with every check failing in its turn."""

from __future__ import annotations

import secrets
import unittest
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from . import cbor, client, evidence
from .evidence import AppraisalError, Appraised, Evidence, Profile
from .handshake import HandshakeError
from .selfmade import (
    NOW,
    PCRS,
    START,
    Issued,
    Maker,
    Options,
    make_chain,
    make_keys,
)

CHALLENGE = secrets.token_bytes(32)
CHAIN = make_chain()
KEYS, PRIVATE = make_keys()
PINNED = [Profile({i: PCRS[i] for i in range(3)})]
DAY = 86_400_000
P384_ORDER_PLUS = b"\xff" * 48


def outcome(
    maker: Maker,
    profiles: list[Profile] = PINNED,
    change: Callable[[Evidence], Evidence] = lambda e: e,
    now: int = NOW,
    sent: int | None = None,
) -> str:
    made = change(maker.evidence([CHALLENGE]))
    try:
        evidence.appraise(made.encode(), CHALLENGE, now if sent is None else sent, now, maker.root_sha256, profiles)
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
        self.check("verified", fields={"x": [[[[[[[1]]]]]]]})  # the payload's own map is level 1, this is level 8
        made = Maker(CHAIN, KEYS).evidence([secrets.token_bytes(32) for _ in range(6)] + [CHALLENGE], 6)
        verified = evidence.appraise(made.encode(), CHALLENGE, NOW - 10, NOW + 1000, Maker(CHAIN, KEYS).root_sha256, PINNED)
        self.assertEqual(verified.valid_until, NOW + 299_990)

    def unchallenged(self, now: int = NOW) -> Appraised:
        maker = Maker(CHAIN, KEYS)
        return evidence.appraise(maker.evidence([]).encode(), None, None, now, maker.root_sha256, PINNED)

    def test_unchallenged_starts_nothing(self) -> None:
        got = self.unchallenged()
        self.assertEqual((got.fresh, got.valid_until, got.valid_at(NOW)), (False, None, False))
        with self.assertRaises(HandshakeError):
            client.connect(client.Outer("nowhere.invalid", 1), got, 0x0002)
        for challenge, sent in ((None, NOW), (CHALLENGE, None)):
            with self.assertRaises(ValueError):
                evidence.appraise(b"", challenge, sent, NOW, bytes(32), PINNED)

    def test_validity_counts_from_sent(self) -> None:
        leaf_end = START + timedelta(hours=1, seconds=2)
        short = make_chain(leaf=Options(ca=False, usage="digital_signature", end=leaf_end))
        for maker, expected in (
            (Maker(CHAIN, KEYS), 300_000),
            (Maker(CHAIN, KEYS, not_after=NOW + 7), 7),
            (Maker(short, KEYS), 2000),
            (Maker(CHAIN, KEYS, timestamp=NOW - 100_000, not_after=NOW + 1000), 101_000),
        ):
            for sent in (NOW - 200_000, NOW, NOW + 1500):
                # The end is not part of it, and is the same whenever the evidence arrives.
                for now in (sent, sent + expected - 1):
                    if now > maker.timestamp + 300_000 or (now > NOW + 2000 and maker.chain is short):
                        continue  # another check fails first
                    encoded = maker.evidence([CHALLENGE]).encode()
                    got = evidence.appraise(encoded, CHALLENGE, sent, now, maker.root_sha256, PINNED)
                    self.assertEqual(got.valid_until, sent + expected)
                    self.assertEqual((got.valid_at(sent + expected - 1), got.valid_at(sent + expected)), (True, False))
        self.assertEqual(outcome(Maker(CHAIN, KEYS), sent=NOW, now=NOW + 299_999), "verified")
        self.assertEqual(outcome(Maker(CHAIN, KEYS), sent=NOW, now=NOW + 300_000), "key-lifetime")
        self.assertEqual(outcome(Maker(CHAIN, KEYS, not_after=NOW + 7), sent=NOW, now=NOW + 7), "key-lifetime")

    def test_expired_enclave_starts_nothing(self) -> None:
        maker, now = Maker(CHAIN, KEYS), NOW
        got = evidence.appraise(maker.evidence([CHALLENGE]).encode(), CHALLENGE, now, now, maker.root_sha256, PINNED)
        client.require_valid(replace(got, valid_until=client.clock() + 10_000))
        for valid_until in (client.clock(), 0, None):
            with self.assertRaises(HandshakeError):
                client.connect(client.Outer("nowhere.invalid", 1), replace(got, valid_until=valid_until), 0x0002)

    def test_cose(self) -> None:
        self.check("cose", tag=17)
        self.check("cose", protected=cbor.encode({1: -7}))
        self.check("cose", protected=cbor.encode({1: -35, 4: b""}))
        for longer in ("a118013822", "bf013822ff", "a101390022", "b801013822"):
            self.check("cose", protected=bytes.fromhex(longer))
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
            {"x": [[[[[[[[]]]]]]]]},
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
            chain(leaf=Options(ca=False, usage="digital_signature", curve=ec.SECP256R1())),
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
        self.check("verified", not_after=NOW + DAY)
        self.check("key-lifetime", not_after=NOW + DAY + 1)
        self.assertEqual(outcome(maker, change=lambda e: replace(e, path=bytes(32 * 17))), "encoding")
        self.assertEqual(outcome(maker, change=lambda e: replace(e, document=bytes(16385))), "encoding")
        self.assertEqual(outcome(maker, change=lambda e: replace(e, key_config=e.key_config + bytes(8192))), "encoding")
        end = int((START + timedelta(days=1)).timestamp() * 1000)
        leaf_ends = Maker(CHAIN, KEYS, timestamp=end, not_after=end + 1000)
        self.assertEqual(outcome(leaf_ends, now=end), "key-lifetime")
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
