"""Self-test: `python -m steve3.selftest`, in the directory above this package."""

from __future__ import annotations

import contextlib
import secrets
import unittest
from dataclasses import replace

from . import cbor, handshake, heads, hpke, merkle
from .codec import DecodeError, Reader, varint
from .frames import FrameError, Opener, Sealer, TrafficKey
from .handshake import HandshakeError, ServerHello
from .kem import DhKemX25519, KemError, XWing
from .keyconfig import KeyConfig
from .replay import ReplayWindow
from .selfmade import NOW, make_config, make_keys
from .stream import Receiver, ResetError, StreamError, seal_message
from .suites import SUITES, AuthenticationError

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


class Streams(unittest.TestCase):
    def setUp(self) -> None:
        self.traffic = TrafficKey(SUITES[1], secrets.token_bytes(32), secrets.token_bytes(12))
        self.request = heads.RequestHead(b"POST", b"https", b"a.example", b"/x?y", [(b"content-length", b"5")])
        self.response = heads.ResponseHead(200, [(b"a", b"b")])

    def receive(self, data: bytes, is_request: bool = True, bodiless: bool = False, may_upgrade: bool = False) -> Receiver:
        receiver = Receiver(self.traffic, 7, is_request, bodiless, may_upgrade)
        for i in range(len(data)):
            receiver.feed(data[i : i + 1])
        receiver.end()
        return receiver

    def seal(self, *frames: tuple[int, bytes]) -> bytes:
        sealer = Sealer(self.traffic, 7)
        return b"".join(sealer.seal(t, c, i * 3) for i, (t, c) in enumerate(frames))

    def test_round_trip(self) -> None:
        data = b"".join(seal_message(Sealer(self.traffic, 7), self.request, b"hello", [(b"t", b"1")], chunk=2))
        message = self.receive(data).message
        self.assertEqual((message.request, bytes(message.body), message.trailers), (self.request, b"hello", [(b"t", b"1")]))
        interim = heads.ResponseHead(103)
        data = self.seal((1, interim.encode()), (1, self.response.encode()), (0x82, b""))
        self.assertEqual(self.receive(data, False).message.interim, [interim])
        self.receive(self.seal((0x81, heads.ResponseHead(200, [(b"content-length", b"9")]).encode())), False, True)
        for status in (204, 304):
            self.receive(self.seal((0x81, heads.ResponseHead(status, [(b"content-length", b"9")]).encode())), False)

    def test_bad_streams(self) -> None:
        head, final, interim = self.request.encode(), self.response.encode(), heads.ResponseHead(100).encode()
        plain = replace(self.request, fields=[]).encode()
        for is_request, frames in (
            (True, [(1, head), (2, b"hello")]),
            (True, [(1, head), (0x82, b"hell")]),
            (True, [(2, b"")]),
            (True, [(1, head), (1, head)]),
            (True, [(1, plain), (3, b"\x00")]),
            (True, [(1, plain), (0x84, b"\x02\x01")]),
            (True, [(1, plain), (4, b"\x02")]),
            (True, [(1, plain), (7, b"")]),
            (True, [(0, b""), (0x81, plain)]),
            (False, [(0x81, interim)]),
            (False, [(1, interim), (0x82, b"")]),
            (False, [(1, final), (1, interim), (0x82, b"")]),
            (True, []),
            (False, [(1, heads.ResponseHead(304).encode()), (0x82, b"x")]),
            (False, [(1, heads.ResponseHead(204).encode()), (0x82, b"x")]),
        ):
            with self.assertRaises(StreamError, msg=repr(frames)):
                self.receive(self.seal(*frames), is_request)
        with self.assertRaises(ResetError) as caught:
            self.receive(self.seal((1, head), (4, b"\x02\x01")))
        self.assertEqual(caught.exception.code, 0x0201)

    def test_upgraded_streams(self) -> None:
        asking = heads.RequestHead(b"GET", b"https", b"a.example", b"/", [(b"upgrade", b"echo/1")]).encode()
        upgraded, refused = heads.ResponseHead(101).encode(), self.response.encode()
        interim, empty = heads.ResponseHead(103).encode(), heads.encode_fields([])
        for is_request, may_upgrade, frames, good in (
            (True, False, [(1, asking), (2, b"raw"), (0x82, b"")], True),
            (True, False, [(1, asking), (0x82, b"")], True),
            (True, False, [(0x81, asking)], False),
            (True, False, [(1, asking), (0x83, empty)], False),
            (True, False, [(1, asking), (2, b"raw")], False),
            (False, True, [(1, interim), (1, upgraded), (2, b"raw"), (0x82, b"")], True),
            (False, True, [(1, refused), (2, b"body"), (0x83, empty)], True),
            (False, False, [(1, upgraded), (0x82, b"")], False),
            (False, True, [(0x81, upgraded)], False),
            (False, True, [(1, upgraded), (0x83, empty)], False),
            (False, True, [(1, upgraded), (1, refused), (0x82, b"")], False),
            (False, True, [(1, upgraded), (1, interim), (0x82, b"")], False),
            (False, True, [(1, upgraded), (2, b"raw")], False),
        ):
            with contextlib.nullcontext() if good else self.assertRaises(StreamError, msg=repr(frames)):
                self.receive(self.seal(*frames), is_request, may_upgrade=may_upgrade)

    def test_upgrade_fields(self) -> None:
        def decode(*values: bytes, method: bytes = b"GET", more: heads.Fields | None = None) -> None:
            fields = [(b"upgrade", value) for value in values] + (more or [])
            heads.decode_request(replace(self.request, method=method, fields=fields).encode())

        for value in (b"websocket", b"WebSocket", b"SPDY/3.1", b"h2", b"httpx", b"a/http", b"!#$%&'*+-.^_`|~/1"):
            decode(value)
        for values in ((b"",), (b"a b",), (b"a/",), (b"/1",), (b"a/1/2",), (b"a,b",), (b"a;q",), (b"a", b"a"), (b"a", b"")):
            with self.assertRaises(heads.HeadError, msg=repr(values)):
                decode(*values)
        for value in (b"h2c", b"H2C", b"http", b"HTTP/2.0", b"TLS/1.0", b"tls", b"h2c/1"):
            with self.assertRaises(heads.HeadError, msg=repr(value)):
                decode(value)
        for method in (b"POST", b"HEAD", b"get", b"CONNECT"):
            with self.assertRaises(heads.HeadError, msg=repr(method)):
                decode(b"a", method=method)
        with self.assertRaises(heads.HeadError):
            decode(b"a", more=[(b"content-length", b"0")])

    def test_reset_codes(self) -> None:
        interim = heads.ResponseHead(103).encode()
        for code in (0x0101, 0x0103, 0x01FF, 0x0201, 0x0207, 0x0000, 0x0300):
            reset = (4, code.to_bytes(2, "big"))
            for is_request, frames in ((False, []), (False, [(1, interim)]), (True, []), (True, [(1, self.request.encode())])):
                with self.assertRaises(ResetError) as caught:
                    self.receive(self.seal(*frames, reset), is_request)
                self.assertEqual(caught.exception.code, code)
            # Not dispatched, says the code; answered, says the head.
            with self.assertRaises(StreamError) as failed:
                self.receive(self.seal((1, self.response.encode()), (2, b"x"), reset), False)
            self.assertEqual(isinstance(failed.exception, ResetError), code >> 8 != 0x01)

    def test_order_and_tampering(self) -> None:
        sealer = Sealer(self.traffic, 7)
        parts = [sealer.seal(1, self.request.encode()), sealer.seal(2, b"he"), sealer.seal(2, b"llo"), sealer.seal(0x82, b"")]
        self.receive(b"".join(parts))
        for order in ((0, 2, 1, 3), (1, 2, 3), (0, 1, 2, 2, 3), (0, 1, 2)):
            with self.assertRaises(StreamError, msg=repr(order)):
                self.receive(b"".join(parts[i] for i in order))
        whole = b"".join(parts)
        for after in (parts[3], parts[1], b"\xff" * 9, sealer.seal(4, b"\x02\x03")):  # nobody acts on what follows FIN
            receiver = self.receive(whole + after)
            self.assertEqual((bytes(receiver.message.body), len(receiver.frames)), (b"hello", 4))
        for i in range(len(whole)):
            with self.assertRaises(StreamError):
                self.receive(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])

    def test_frame_limits(self) -> None:
        sealed = Sealer(self.traffic, 7).seal(2, bytes(65536))
        self.assertEqual(len(sealed), 4 + 65553)
        for length in (0, 16, 65554, 2**31):
            opener = Opener(self.traffic, 7)
            opener.feed(length.to_bytes(4, "big"))
            with self.assertRaises(FrameError):
                opener.next()
        opener = Opener(self.traffic, 7)
        opener.feed(Sealer(self.traffic, 7).seal_plaintext(bytes(9)))
        with self.assertRaises(FrameError):
            opener.next()
        opener = Opener(self.traffic, 8)
        opener.feed(sealed)
        with self.assertRaises(AuthenticationError):
            opener.next()

    def test_heads(self) -> None:
        good = self.request
        for authority in (
            b"a",
            b"a:1",
            b"[::1]:8443",
            b"127.0.0.1",
            b"a-._~!$&'()*+,;=",
            b"[::ffff:1.2.3.4]",
            b"a:00001",
            b"[1:2:3:4:5:6:7:8]",
        ):
            heads.decode_request(replace(good, authority=authority).encode())
        heads.decode_request(replace(good, method=b"OPTIONS", path=b"*").encode())
        for change in (
            {"method": b""},
            {"method": b"A B"},
            {"scheme": b"HTTP"},
            {"authority": b""},
            {"authority": b"u@a"},
            {"authority": b"a:b"},
            {"authority": b"a:65536"},
            {"authority": b"a/b"},
            {"authority": b":80"},
            {"authority": b"a:"},
            {"authority": b"a:000001"},
            {"authority": b"a%20b"},
            {"authority": b"[v1.a]"},
            {"authority": b"[::1%251]"},
            {"authority": b"[fe80::1%1]"},
            {"authority": b"[1.2.3.4]"},
            {"authority": b"[1:2:3]"},
            {"authority": b"[]"},
            {"authority": b"::1"},
            {"path": b"/\x80"},
            {"path": b"*"},
            {"path": b""},
            {"path": b"/#"},
            {"path": b"/\x7f"},
            {"path": b"/ "},
            {"fields": [(b"A", b"")]},
            {"fields": [(b"", b"")]},
            {"fields": [(b"a", b"\n")]},
            {"fields": [(b"a", b"b ")]},
            {"fields": [(b"host", b"b")]},
            {"fields": [(b"content-length", b"-1")]},
            {"fields": [(b"content-length", b"0" * 20)]},
            {"fields": [(b"content-length", b"1")] * 2},
            {"fields": [(b"a", b"")] * 257},
        ):
            with self.assertRaises(heads.HeadError, msg=repr(change)):
                heads.decode_request(replace(good, **change).encode())
        for status in (99, 600):
            with self.assertRaises(heads.HeadError):
                heads.decode_response(heads.ResponseHead(status).encode())
        with self.assertRaises(heads.HeadError):
            heads.decode_trailers(heads.encode_fields([(b"host", b"a")]))
        with self.assertRaises(DecodeError):
            heads.decode_request(good.encode() + b"\x00")

    def test_replay_window(self) -> None:
        window = ReplayWindow()
        for stream_id, expected in (
            (5, True),
            (5, False),
            (1, True),
            (2000, True),
            (977, True),
            (976, False),
            (977, False),
            (0, False),
            (2**62, False),
        ):
            self.assertEqual(window.mark(stream_id), expected, stream_id)


if __name__ == "__main__":
    from .selftest_appraisal import *  # noqa: F403
    from .selftest_vectors import *  # noqa: F403

    unittest.main()
