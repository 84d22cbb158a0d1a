"""Self-test: frames, the sequences of a stream, and heads."""

from __future__ import annotations

import contextlib
import secrets
import unittest
from dataclasses import replace

from . import heads
from .codec import DecodeError
from .frames import FrameError, Opener, Sealer, TrafficKey
from .handshake import EARLY_ACCEPTED, EARLY_REJECTED
from .replay import EarlyMemory, ReplayWindow
from .stream import Receiver, ResetError, StreamError, seal_message
from .suites import SUITES, AuthenticationError


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

    def test_early_memory(self) -> None:
        memory = EarlyMemory(1)
        self.assertEqual(memory.answer(b"first"), EARLY_ACCEPTED)
        for _ in range(2):
            self.assertIsNone(memory.answer(b"first"))
            self.assertEqual(memory.answer(b"second"), EARLY_REJECTED)
        memory.erase()
        for enc in (b"first", b"second"):
            self.assertIsNone(memory.answer(enc))

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
