"""Client for HTTP apps that run in an AWS Nitro Enclave behind STEVE.

Before anything is sent, the client verifies from a fresh attestation document which image runs in the
enclave; then it encrypts every request to it. The README has a quick start.

What does the work is generated from the Rust client; this module gives it the manners of asyncio.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import Any

from . import _native, errors
from ._native import (
    Check,
    ClientOptions,
    Enclave,
    IdempotencyKey,
    Outcome,
    Pcr,
    PcrDifference,
    Policy,
    PolicyLoader,
    Receipt,
    Report,
    RequestOptions,
    Stage,
)
from .errors import SteveError

__all__ = [
    "DEFAULT_LIMIT",
    "Check",
    "Client",
    "ClientOptions",
    "Enclave",
    "IdempotencyKey",
    "Outcome",
    "Pcr",
    "PcrDifference",
    "Policy",
    "PolicyLoader",
    "Receipt",
    "Report",
    "RequestOptions",
    "Response",
    "Stage",
    "SteveError",
    "errors",
]

DEFAULT_LIMIT = 64 * 1024 * 1024
"""Longest body, in bytes, that `Response.read` and its siblings take unless told otherwise."""

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
Body = bytes | bytearray | str | AsyncIterable[bytes]


class Client:
    """Sends HTTP requests to an app inside an enclave, after verifying that it is the right one.

    It carries any number of requests at the same time: make one for each origin, such as
    `https://app.example.com`, and keep it. It does not connect before it has to.
    """

    def __init__(self, origin: str, policy: Policy, options: ClientOptions | None = None) -> None:
        self._native = _native.Client(origin, policy, options)

    @classmethod
    def dangerous_development(
        cls, origin: str, policy: Policy, attestation_root: bytes, options: ClientOptions | None = None
    ) -> Client:
        """Trusts this attestation root, PEM or DER, instead of AWS's. Only builds for development can:
        whoever holds its key can make evidence for anything.
        """
        client = cls.__new__(cls)
        client._native = _native.Client.dangerous_development(origin, policy, attestation_root, options)
        return client

    async def verify(self) -> Enclave:
        """Fetches fresh evidence and appraises it; `errors.Refused` has the report if it fails."""
        return await self._native.verify()

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Headers = (),
        body: Body | None = None,
        options: RequestOptions | None = None,
    ) -> Response:
        """Sends a request; gives the response as soon as its head is there.

        A body that is an async iterable is sent as it comes, and only while the response is being
        awaited or read. Cancelling the task cancels the exchange.
        """
        source: _Source | None = None
        native_body: Any = None
        if isinstance(body, AsyncIterable):
            source = _Source(body)
            native_body = _native.RequestBody.STREAM(source)
        elif body is not None:
            whole = body.encode() if isinstance(body, str) else bytes(body)
            native_body = _native.RequestBody.BYTES(whole)
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        fields = [_native.Header(name=name, value=value) for name, value in pairs]
        try:
            native = await self._native.request(method, path, fields, native_body, options)
        except errors.RequestBody as error:
            raise error from (source.error if source else None)
        return Response(native, source)

    async def get(self, path: str, **more: Any) -> Response:
        """`request` with GET."""
        return await self.request("GET", path, **more)

    async def post(self, path: str, body: Body | None = None, **more: Any) -> Response:
        """`request` with POST."""
        return await self.request("POST", path, body=body, **more)

    def update_policy(self, policy: Policy) -> None:
        """Replaces the policy for requests from now on."""
        self._native.update_policy(policy)

    def close(self) -> None:
        """Aborts what is under way, responses too. The client cannot be used further."""
        self._native.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Response:
    """Head of a response, and its body, decrypted as it arrives: `async for chunk in response`.

    The body ends without an error only after the enclave's authenticated end mark. To close the
    response before that, or to forget it, cancels the exchange.
    """

    def __init__(self, native: _native.Response, source: _Source | None) -> None:
        self._native = native
        self._source = source
        self.status: int = native.status()
        self.headers: list[tuple[str, str]] = _pairs(native.headers())

    def header(self, name: str) -> str | None:
        """The value of the first field with this name."""
        return next((value for key, value in self.headers if key == name.lower()), None)

    @property
    def trailers(self) -> list[tuple[str, str]] | None:
        """The fields after the body, once that has been read to its end."""
        trailers = self._native.trailers()
        return None if trailers is None else _pairs(trailers)

    @property
    def receipt(self) -> Receipt:
        """How the exchange was protected, and by which enclave."""
        return self._native.receipt()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while (chunk := await self._native.next_chunk()) is not None:
                yield chunk
        except errors.RequestBody as error:
            raise error from (self._source.error if self._source else None)

    async def read(self, limit: int = DEFAULT_LIMIT) -> bytes:
        """The rest of the body; `errors.TooLarge` if it is longer than `limit` bytes."""
        try:
            return await self._native.read_all(limit)
        except errors.RequestBody as error:
            raise error from (self._source.error if self._source else None)

    async def text(self, limit: int = DEFAULT_LIMIT) -> str:
        """The rest of the body as UTF-8."""
        return (await self.read(limit)).decode()

    async def json(self, limit: int = DEFAULT_LIMIT) -> Any:
        """The rest of the body as JSON."""
        return json.loads(await self.read(limit))

    def close(self) -> None:
        """Cancels the exchange, unless it is over."""
        self._native.close()

    async def __aenter__(self) -> Response:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Source(_native.BodySource):
    """An async iterable, for the native side to ask. Keeps what it raised: that stays in Python."""

    def __init__(self, pieces: AsyncIterable[bytes]) -> None:
        self._pieces = aiter(pieces)
        self.error: BaseException | None = None

    async def next(self) -> bytes | None:
        try:
            return bytes(await anext(self._pieces))
        except StopAsyncIteration:
            return None
        except BaseException as error:
            self.error = error
            raise _native.BodySourceError.Failed() from None  # type: ignore[attr-defined]


def _pairs(headers: list[_native.Header]) -> list[tuple[str, str]]:
    return [(header.name, header.value) for header in headers]
