"""Self-test: `python -m steve3.selftest`, in the directory above this package."""

from __future__ import annotations

import secrets
import unittest
from dataclasses import replace

from . import cbor, handshake, hpke, merkle
from .codec import DecodeError, Reader, varint
from .handshake import HandshakeError, ServerHello
from .kem import DhKemX25519, KemError, XWing
from .keyconfig import KeyConfig
from .selfmade import NOW, make_config, make_keys
from .suites import SUITES

LIMITS = ServerHello(b"", b"", 0, 600, 60, 16384, 32, b"")
KEYS, PRIVATE = make_keys()


class Primitives(unittest.TestCase):
    def test_hpke_rfc9180_a7_1(self) -> None:
        h = bytes.fromhex
        info = b"Ode on a Grecian Urn"
        pk = h("194141ca6c3c3beb4792cd97ba0ea1faff09d98435012345766ee33aae2d7664")
        sk = h("33d196c830a12f9ac65d6e565a590d80f04ee9b19c83c87f2c170d972a812848")
        ephemeral = h("095182b502f1f91f63ba584c7c3ec473d617b8b4c2cec3fad5af7fa6748165ed")
        kem = DhKemX25519()
        enc, shared = kem.encap_with(pk, ephemeral)
        self.assertEqual(shared.hex(), "e81716ce8f73141d4f25ee9098efc968c91e5b8ce52ffff59d64039e82918b66")
        sender = hpke.key_schedule(kem.kem_id, shared, info)
        receiver = hpke.setup_base_r(kem, enc, sk, info)
        for context in (sender, receiver):
            self.assertEqual(context.exporter_secret.hex(), "79dc8e0509cf4a3364ca027e5a0138235281611ca910e435e8ed58167c72f79b")
            for label, value in (
                (b"", "7a36221bd56d50fb51ee65edfd98d06a23c4dc87085aa5866cb7087244bd2a36"),
                (b"\x00", "d5535b87099c6c3ce80dc112a2671c6ec8e811a2f284f948cec6dd1708ee33f0"),
                (b"TestContext", "ffaabc85a776136ca0c378e5d084c9140ab552b78f039d2e8775f26efff4c70e"),
            ):
                self.assertEqual(context.export(label, 32).hex(), value)

    def test_xwing(self) -> None:
        kem = XWing()
        # The first key pair of the draft's Appendix C.
        pk = kem.public_key(bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26"))
        self.assertEqual(pk[:8].hex() + pk[-8:].hex(), "e2236b35a8c24b39c8cd049040ef6534")
        sk = kem.generate()
        enc, shared = kem.encap(kem.public_key(sk))
        self.assertEqual(kem.decap(enc, sk), shared)
        for i in (0, 1087, 1088, 1119):
            changed = enc[:i] + bytes([enc[i] ^ 1]) + enc[i + 1 :]
            self.assertNotEqual(kem.decap(changed, sk), shared)
        kem.decap(enc[:1088] + bytes(32), sk)  # an all-zero X25519 result is no error in X-Wing
        with self.assertRaises(KemError):
            kem.encap(b"\xff" * 1216)

    def test_x25519_zero(self) -> None:
        with self.assertRaises(KemError):
            DhKemX25519().decap(bytes(32), secrets.token_bytes(32))

    def test_varint(self) -> None:
        for text in ("25", "7bbd", "9d7f3e7d", "c2197c5eff14e88c"):  # RFC 9000, Appendix A.1
            data = bytes.fromhex(text)
            self.assertEqual(varint(Reader(data).varint()), data)
        self.assertEqual(Reader(bytes.fromhex("4025")).varint(), 37)

    def test_merkle(self) -> None:
        for size in (1, 2, 3, 5, 8, 13, 33):
            leaves = [secrets.token_bytes(32) for _ in range(size)]
            root = merkle.root(leaves)
            for i, leaf in enumerate(leaves):
                path = b"".join(merkle.path(i, leaves))
                self.assertTrue(merkle.verify(leaf, i, size, path, root))
                self.assertFalse(merkle.verify(leaf, i, size, path + bytes(32), root))
                self.assertFalse(merkle.verify(leaf, i, size, path, bytes(32)))
                self.assertFalse(size > 1 and merkle.verify(leaf, (i + 1) % size, size, path, root))
                self.assertFalse(merkle.verify(leaf, i, 0, path, root) or merkle.verify(leaf, size, size, path, root))

    def test_cbor(self) -> None:
        for text in (
            "f4",
            "bf616101ff",
            "9f01ff",
            "c101",
            "f97e00",
            "fb3ff199999999999a",
            "1bffffffffffffffff",
            "a2616101616102",
            "8181818181818180",
        ):
            cbor.decode(bytes.fromhex(text))
        for text in (
            "",
            "18",
            "1c",
            "5f4161ff",
            "7f6161ff",
            "ff",
            "81ff",
            "9f",
            "bf01ff",
            "61ff",
            "818181818181818181f6",
            "9bffffffffffffffff",
            "0000",
            "f818",
            "fc",
        ):
            with self.assertRaises(cbor.CborError, msg=text):
                cbor.decode(bytes.fromhex(text))


class Handshake(unittest.TestCase):
    def run_one(
        self, suite: int, early: int = 0, answer: int = 0
    ) -> tuple[handshake.Client, ServerHello, handshake.SessionSecrets]:
        config = make_config(KEYS, b"{}", b"m", NOW)
        client = handshake.Client(config.entry(suite), config.hash(), early)
        reader = Reader(client.hello.encode())
        hello = handshake.ClientHello.read(reader)
        reader.end()
        server, secret, keys = handshake.accept(
            hello, config.entry(suite), PRIVATE[suite], config.hash(), replace(LIMITS, early_data=answer)
        )
        self.assertEqual(secret, client.secrets)
        return client, server, keys

    def test_all_suites(self) -> None:
        for number in SUITES:
            client, server, keys = self.run_one(number)
            got, client_keys = client.finish(Reader(server.encode()))
            self.assertEqual((got, client_keys), (server, keys))
            self.assertEqual((len(client.hello.encode()), len(server.encode())), ((78, 80), (2350, 1168))[number % 2 == 0])

    def test_early_answers(self) -> None:
        for offered, answer, good in ((0, 0, 1), (0, 1, 0), (0, 2, 0), (1, 0, 0), (1, 1, 1), (1, 2, 1), (1, 3, 0)):
            client, server, _ = self.run_one(1, offered, answer)
            if good:
                client.finish(Reader(server.encode()))
            else:
                with self.assertRaises(HandshakeError):
                    client.finish(Reader(server.encode()))

    def test_every_byte_of_server_hello_counts(self) -> None:
        client, server, _ = self.run_one(3)
        encoded = server.encode()
        for i in range(len(encoded)):
            changed = encoded[:i] + bytes([encoded[i] ^ 0x40]) + encoded[i + 1 :]
            with self.assertRaises(HandshakeError):
                client.finish(Reader(changed))

    def test_limits_out_of_range(self) -> None:
        for change in (
            {"session_lifetime": 0},
            {"idle_timeout": 0},
            {"max_streams": 0},
            {"max_head_size": 1023},
            {"max_head_size": 65537},
            {"session_lifetime": 86_401},
        ):
            with self.assertRaises(HandshakeError):
                replace(LIMITS, **change).check(0)  # type: ignore[arg-type]
        for good in (1, 86_400):
            replace(LIMITS, session_lifetime=good).check(0)

    def test_key_config(self) -> None:
        good = make_config(KEYS, b"{}", b"m", NOW)
        self.assertEqual(KeyConfig.decode(good.encode()), good)
        a, b, c, d = good.keys
        for keys in (
            (),
            (b, a),
            (a, a),
            (replace(a, suite=9),),
            (replace(a, public_key=bytes(31)),),
            (replace(a, key_id=b.key_id), b),
        ):
            broken = replace(good, keys=keys)
            with self.assertRaises((DecodeError, ValueError)):
                KeyConfig.decode(broken.encode())
        for data in (good.encode() + b"\x00", good.encode()[:-1], b"\x00\x04" + good.encode()[2:], replace(good, epoch=0).encode()):
            with self.assertRaises(DecodeError):
                KeyConfig.decode(data)


if __name__ == "__main__":
    from .selftest_appraisal import *  # noqa: F403
    from .selftest_streams import *  # noqa: F403
    from .selftest_vectors import *  # noqa: F403

    unittest.main()
