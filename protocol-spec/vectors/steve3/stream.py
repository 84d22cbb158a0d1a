"""The state machine of one direction of a stream (SPEC.md, Sections 9.3 and 15), receiving end."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from . import frames, heads
from .codec import DecodeError
from .frames import Frame, Opener, TrafficKey
from .suites import AuthenticationError

NOT_DISPATCHED = 0x01  # the upper byte of RESET codes that say so


class State(Enum):
    START = "START"
    BODY = "BODY"
    DONE = "DONE"
    FAILED = "FAILED"


class StreamError(ValueError):
    """The message is not complete and never will be."""


class TruncatedError(StreamError):
    """The outer body ended before FIN or RESET."""


class ResetError(StreamError):
    def __init__(self, code: int) -> None:
        super().__init__(f"RESET({code:#06x})")
        self.code = code


@dataclass
class Message:
    """What has arrived of a request or response. It is complete only if `complete` says so."""

    interim: list[heads.ResponseHead] = field(default_factory=list)
    request: heads.RequestHead | None = None
    response: heads.ResponseHead | None = None
    body: bytearray = field(default_factory=bytearray)
    trailers: heads.Fields = field(default_factory=list)
    complete: bool = False

    @property
    def carries_protocol(self) -> bool:
        """What follows the head are bytes of another protocol, and no trailers (Section 10.6)."""
        if self.request is not None:
            return self.request.asks_upgrade
        return self.response is not None and self.response.status == 101


class Receiver:
    """`is_request` chooses the direction; a response to HEAD is `bodiless`, one to a request to upgrade `may_upgrade`."""

    def __init__(
        self, traffic: TrafficKey, stream_id: int, is_request: bool, bodiless: bool = False, may_upgrade: bool = False
    ) -> None:
        self.opener = Opener(traffic, stream_id)
        self.is_request = is_request
        self.bodiless = bodiless
        self.may_upgrade = may_upgrade
        self.state = State.START
        self.message = Message()
        self.frames: list[Frame] = []

    def feed(self, data: bytes) -> None:
        """Takes bytes of the outer body. Any exception is final. What follows FIN is not looked at."""
        if self.state is State.FAILED:
            raise StreamError("the stream has failed")
        self.opener.feed(data)
        try:
            while not self.message.complete and (frame := self.opener.next()) is not None:
                self.frames.append(frame)
                self._frame(frame)
        except (DecodeError, AuthenticationError, StreamError) as error:
            self.state = State.FAILED
            self.message.complete = False
            if isinstance(error, StreamError):
                raise
            raise StreamError(f"{type(error).__name__}: {error}") from error

    def end(self) -> Message:
        """The outer body has ended."""
        if self.state is not State.DONE:
            self.state = State.FAILED
            raise TruncatedError("no FIN")
        return self.message

    def _frame(self, frame: Frame) -> None:
        if frame.code == frames.RESET:
            code = int.from_bytes(frame.content, "big")
            if any(frame.code == frames.HEAD for frame in self.frames) and code >> 8 == NOT_DISPATCHED:
                raise StreamError(f"RESET({code:#06x}) after a HEAD")
            raise ResetError(code)
        if frame.code == frames.HEAD and self.state is State.START:
            self._head(frame)
        elif frame.code == frames.DATA and self.state is State.BODY:
            self.message.body += frame.content
        elif frame.code == frames.TRAILERS and self.state is State.BODY and not self.message.carries_protocol:
            self.message.trailers = heads.decode_trailers(frame.content)
        else:
            raise StreamError(f"frame of type {frame.code} in state {self.state.value}")
        if frame.fin:
            self._check_length()
            self.state = State.DONE
            self.message.complete = True

    def _head(self, frame: Frame) -> None:
        if self.is_request:
            self.message.request = heads.decode_request(frame.content)
            if frame.fin and self.message.request.asks_upgrade:
                raise StreamError("a request to upgrade with FIN in its head")
        else:
            head = heads.decode_response(frame.content)
            if head.status == 101 and not self.may_upgrade:
                raise StreamError("101 that was not asked for")
            if head.status < 200 and frame.fin:
                raise StreamError("a head below 200 with FIN")
            if head.status < 200 and head.status != 101:
                self.message.interim.append(head)
                return
            self.message.response = head
        self.state = State.BODY

    def _check_length(self) -> None:
        response = self.message.response
        if self.bodiless or (response is not None and response.status in (204, 304)):
            if self.message.body:
                raise StreamError("body bytes in a response that has none")
            return
        head = self.message.request or self.message.response
        assert head is not None
        declared = heads.content_length(head.fields)
        if declared is not None and declared != len(self.message.body):
            raise StreamError(f"content-length {declared}, body of {len(self.message.body)} bytes")


def seal_message(
    sealer: frames.Sealer,
    head: heads.RequestHead | heads.ResponseHead,
    body: bytes = b"",
    trailers: heads.Fields | None = None,
    chunk: int = frames.MAX_CONTENT,
) -> list[bytes]:
    """A whole message as sealed frames, FIN on the last."""
    parts: list[tuple[int, bytes]] = [(frames.HEAD, head.encode())]
    parts += [(frames.DATA, body[i : i + chunk]) for i in range(0, len(body), chunk)]
    if trailers is not None:
        parts.append((frames.TRAILERS, heads.encode_fields(trailers)))
    last = len(parts) - 1
    return [sealer.seal(code | (frames.FIN if i == last else 0), content) for i, (code, content) in enumerate(parts)]
