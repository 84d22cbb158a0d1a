"""Requests and responses: whole, streamed, many at once, cancelled."""

from __future__ import annotations

import asyncio
import hashlib
import unittest
from collections.abc import AsyncIterator
from datetime import timedelta

import steve
from steve import errors
from support import TIMEOUT, App, Proxy

SIZE = 16 * 1024 * 1024


class Requests(unittest.IsolatedAsyncioTestCase):
    app: App
    proxy: Proxy

    @classmethod
    def setUpClass(cls) -> None:
        cls.app = App()
        cls.addClassCleanup(cls.app.stop)
        cls.proxy = Proxy(cls.app)
        cls.addClassCleanup(cls.proxy.stop)

    async def asyncSetUp(self) -> None:
        self.client = self.proxy.client()
        self.addCleanup(self.client.close)

    async def within(self, event: object) -> None:
        """Waits for a threading.Event without blocking the loop."""
        self.assertTrue(await asyncio.to_thread(event.wait, TIMEOUT))  # type: ignore[attr-defined]

    async def test_get(self) -> None:
        response = await self.client.get("/head?a=b", headers={"x-mine": "caf\u00e9"})
        self.assertEqual(response.status, 200)
        self.assertEqual(response.header("X-Name"), "caf\u00e9")
        self.assertIn(("content-type", "application/json"), response.headers)
        told = await response.json()
        self.assertEqual((told["method"], told["path"]), ("GET", "/head?a=b"))
        self.assertEqual(told["fields"]["x-mine"], "caf\u00e9")
        self.assertIsNone(response.trailers)

    async def test_post(self) -> None:
        response = await self.client.post("/head", '{"q": "h\u00e9llo"}', headers=[("content-type", "application/json")])
        told = await response.json()
        self.assertEqual((told["method"], told["body"]), ("POST", '{"q": "h\u00e9llo"}'))
        receipt = response.receipt
        self.assertEqual(receipt.request_bytes, len('{"q": "h\u00e9llo"}'.encode()))
        self.assertEqual(len(receipt.session_id), 32)
        self.assertTrue(receipt.suite.startswith("xwing-"))

    async def test_other_statuses_are_responses(self) -> None:
        response = await self.client.get("/missing")
        self.assertEqual((response.status, await response.text()), (404, "no such thing"))

    async def test_a_download_is_read_as_it_arrives(self) -> None:
        self.app.go_on.clear()
        pieces = []
        async for piece in await self.client.get("/steps"):
            pieces.append(piece)
            self.app.go_on.set()
        self.assertEqual(pieces, [b"one", b"two"])

    async def test_an_upload_is_sent_as_it_comes(self) -> None:
        async def body() -> AsyncIterator[bytes]:
            for piece in [b"one", b"two", b"three"]:
                yield piece
                # The next one comes after the app has got this one.
                got = await asyncio.to_thread(self.app.pieces.get, timeout=TIMEOUT)
                self.assertEqual(got, piece)

        response = await self.client.post("/pieces", body())
        self.assertEqual(await response.text(), "all there")

    async def test_both_ways_at_once(self) -> None:
        answers: asyncio.Queue[bytes] = asyncio.Queue()

        async def body() -> AsyncIterator[bytes]:
            yield b"0"
            for _ in range(5):
                yield str(int(await answers.get()) + 1).encode()

        seen = []
        async for piece in await self.client.post("/echo", body()):
            seen.append(piece)
            answers.put_nowait(piece)
        self.assertEqual(seen, [b"0", b"1", b"2", b"3", b"4", b"5"])

    async def test_16_mib_both_ways(self) -> None:
        sent = bytes(range(256)) * (SIZE // 256)

        async def body() -> AsyncIterator[bytes]:
            for at in range(0, SIZE, 65_536):
                yield sent[at : at + 65_536]

        digest, length = hashlib.sha256(), 0
        async for piece in await self.client.post("/echo", body()):
            digest.update(piece)
            length += len(piece)
        self.assertEqual((length, digest.digest()), (SIZE, hashlib.sha256(sent).digest()))

    async def test_16_mib_at_once(self) -> None:
        sent = bytes(range(256)) * (SIZE // 256)
        response = await self.client.post("/digest", sent)
        self.assertEqual(await response.text(), hashlib.sha256(sent).hexdigest())
        response = await self.client.post("/echo", sent)
        self.assertEqual(await response.read(), sent)

    async def test_trailers(self) -> None:
        response = await self.client.get("/trailers")
        self.assertIsNone(response.trailers)
        self.assertEqual(await response.text(), "body")
        self.assertEqual(response.trailers, [("x-sum", "42")])

    async def test_many_at_once(self) -> None:
        async def one(number: int) -> None:
            response = await self.client.post("/echo", f"{number}")
            self.assertEqual(await response.text(), f"{number}")

        await asyncio.gather(*(one(number) for number in range(200)))

    async def test_a_cancelled_request_is_withdrawn(self) -> None:
        self.app.hanging.clear()
        self.app.hung_up.clear()
        pending = asyncio.create_task(self.client.get("/hang"))
        await self.within(self.app.hanging)
        pending.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await pending
        await self.within(self.app.hung_up)
        self.assertEqual((await self.client.get("/head")).status, 200)

    async def test_closing_the_client_ends_what_is_under_way(self) -> None:
        self.app.hanging.clear()
        self.app.go_on.clear()
        self.addCleanup(self.app.go_on.set)
        async with self.proxy.client() as client:
            response = await client.get("/steps")
            chunks = aiter(response)
            self.assertEqual(await anext(chunks), b"one")
            reading = asyncio.ensure_future(anext(chunks))
            pending = asyncio.create_task(client.get("/hang"))
            await self.within(self.app.hanging)
        for task in (reading, pending):
            with self.assertRaises(errors.Closed):
                await task
        with self.assertRaises(errors.Closed) as raised:
            await client.get("/head")
        self.assertEqual(raised.exception.code, "closed")

    async def test_closing_a_response_ends_it_alone(self) -> None:
        self.app.go_on.clear()
        self.addCleanup(self.app.go_on.set)
        async with await self.client.get("/steps") as response:
            pass
        with self.assertRaises(errors.Closed):
            await response.read()
        self.assertEqual((await self.client.get("/head")).status, 200)

    async def test_a_body_longer_than_the_limit(self) -> None:
        for path, body in [("/head", b"announced"), ("/echo", b"not announced")]:
            response = await self.client.post(path, body)
            with self.assertRaises(errors.TooLarge) as raised:
                await response.read(limit=5)
            self.assertEqual((raised.exception.code, raised.exception.stage), ("too-large", steve.Stage.RESPONSE))
        response = await self.client.post("/echo", b"12345")
        self.assertEqual(await response.read(limit=5), b"12345")

    async def test_a_response_cut_off(self) -> None:
        response = await self.client.get("/cut")
        with self.assertRaises(errors.Channel) as raised:
            await response.read()
        self.assertEqual(raised.exception.stage, steve.Stage.RESPONSE)
        self.assertFalse(raised.exception.not_dispatched)

    async def test_a_body_that_fails(self) -> None:
        async def body() -> AsyncIterator[bytes]:
            yield b"one"
            raise ValueError("a secret")

        with self.assertRaises(errors.RequestBody) as raised:
            await self.client.post("/digest", body())
        self.assertEqual(raised.exception.code, "request-body")
        self.assertIsInstance(raised.exception.__cause__, ValueError)
        self.assertNotIn("a secret", str(raised.exception))

    async def test_an_idempotency_key(self) -> None:
        key = steve.IdempotencyKey.random()
        self.app.counts["/head"] = 0
        options = steve.RequestOptions(idempotency_key=key)
        first = await (await self.client.post("/head", "x", options=options)).read()
        again = await (await self.client.post("/head", "x", options=options)).read()
        self.assertEqual((first, self.app.counts["/head"]), (again, 1))
        self.assertNotIn(key.to_bytes().hex(), repr(options))
        elsewhere = steve.IdempotencyKey.from_bytes(key.to_bytes(), bytes(16))
        with self.assertRaises(errors.OutcomeUnknown) as raised:
            await self.client.post("/head", "x", options=steve.RequestOptions(idempotency_key=elsewhere))
        self.assertEqual(raised.exception.instance, bytes(16))

    async def test_options(self) -> None:
        options = steve.ClientOptions(
            suites=["x25519-chacha20poly1305"], padding="block=1024", early_data=False,
            request_timeout=timedelta(seconds=TIMEOUT), idle_timeout=timedelta(seconds=TIMEOUT),
        )
        async with self.proxy.client(options=options) as client:
            response = await client.get("/head")
        self.assertEqual(response.receipt.suite, "x25519-chacha20poly1305")
        self.assertNotEqual(response.receipt.stream_id, 0)
        async with self.proxy.client() as client:
            self.assertEqual((await client.get("/head")).receipt.stream_id, 0)
            once = steve.RequestOptions(early=False, padding="padme", idempotent=True)
            self.assertEqual((await client.get("/head", options=once)).status, 200)

    async def test_a_request_that_times_out(self) -> None:
        client = self.proxy.client(options=steve.ClientOptions(request_timeout=timedelta(milliseconds=1)))
        self.addCleanup(client.close)
        with self.assertRaises(errors.Timeout) as raised:
            await client.get("/hang")
        self.assertEqual(raised.exception.code, "timeout")

    async def test_what_is_no_request(self) -> None:
        for method, path in [("G T", "/"), ("GET", "no path"), ("CONNECT", "/"), ("GET", "https://other.example/")]:
            with self.assertRaises(errors.Invalid) as raised:
                await self.client.request(method, path)
            self.assertEqual(raised.exception.code, "invalid-request")
            self.assertEqual(str(raised.exception), raised.exception.text)


class Loops(unittest.TestCase):
    def test_a_client_outlives_its_event_loop(self) -> None:
        app = App()
        self.addCleanup(app.stop)
        proxy = Proxy(app)
        self.addCleanup(proxy.stop)
        client = proxy.client()

        async def use() -> str:
            async def body() -> AsyncIterator[bytes]:
                yield b"one "
                yield b"two"

            return await (await client.post("/echo", body())).text()

        self.assertEqual([asyncio.run(use()), asyncio.run(use())], ["one two", "one two"])
        client.close()


if __name__ == "__main__":
    unittest.main()
