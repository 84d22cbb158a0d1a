"""Nonces and frames (SPEC.md, Sections 9.2 to 9.4)."""

from __future__ import annotations

from dataclasses import dataclass

from .codec import DecodeError, uint
from .suites import TAG_LEN, Suite

MIN_LENGTH = 17
MAX_LENGTH = 65553
MAX_CONTENT = 65536
MAX_STREAM_ID = 2**62 - 1
RESERVED_FRAME_NUMBER = 2**32 - 1
CONFIRM_STREAM_ID = 2**64 - 1

HEAD, DATA, TRAILERS, RESET = 1, 2, 3, 4
FIN = 0x80


class FrameError(DecodeError):
    """A frame is malformed. Frames that do not authenticate raise AuthenticationError instead."""


def nonce(iv: bytes, stream_id: int, frame_number: int) -> bytes:
    return bytes(a ^ b for a, b in zip(iv, uint(stream_id, 8) + uint(frame_number, 4), strict=True))


@dataclass(frozen=True)
class Frame:
    type: int  # code and FIN
    content: bytes
    padding: int = 0

    @property
    def code(self) -> int:
        return self.type & 0x7F

    @property
    def fin(self) -> bool:
        return bool(self.type & FIN)


def check_frame(frame: Frame) -> None:
    """What can be said of a frame without knowing its place in a stream."""
    if frame.code not in (HEAD, DATA, TRAILERS, RESET):
        raise FrameError(f"type code {frame.code}")
    if frame.code == TRAILERS and not frame.fin:
        raise FrameError("TRAILERS without FIN")
    if frame.code == RESET and (frame.fin or len(frame.content) != 2):
        raise FrameError("RESET with FIN, or not two bytes long")


@dataclass(frozen=True)
class TrafficKey:
    suite: Suite
    key: bytes
    iv: bytes


class Sealer:
    """One direction of one stream, sending end."""

    def __init__(self, traffic: TrafficKey, stream_id: int, frame_number: int = 0) -> None:
        self.traffic = traffic
        self.stream_id = stream_id
        self.frame_number = frame_number

    def seal_plaintext(self, plaintext: bytes) -> bytes:
        header = uint(len(plaintext) + TAG_LEN, 4)
        if self.frame_number >= RESERVED_FRAME_NUMBER:
            raise ValueError("no frame number left")
        number = nonce(self.traffic.iv, self.stream_id, self.frame_number)
        self.frame_number += 1
        return header + self.traffic.suite.seal(self.traffic.key, number, header, plaintext)

    def seal(self, type_: int, content: bytes, padding: int = 0) -> bytes:
        if len(content) + padding > MAX_CONTENT:
            raise ValueError("content and padding are too long")
        return self.seal_plaintext(content + bytes([type_]) + bytes(padding))


class Opener:
    """One direction of one stream, receiving end. Feed bytes, take frames."""

    def __init__(self, traffic: TrafficKey, stream_id: int, frame_number: int = 0) -> None:
        self.traffic = traffic
        self.stream_id = stream_id
        self.frame_number = frame_number
        self.buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self.buffer += data

    def next(self) -> Frame | None:
        """The next whole frame, or None when more bytes are needed."""
        if len(self.buffer) < 4:
            return None
        header = bytes(self.buffer[:4])
        length = int.from_bytes(header, "big")
        if not MIN_LENGTH <= length <= MAX_LENGTH:
            raise FrameError(f"frame length {length}")
        if len(self.buffer) < 4 + length:
            return None
        if self.frame_number >= RESERVED_FRAME_NUMBER:
            raise FrameError("no frame number left")
        number = nonce(self.traffic.iv, self.stream_id, self.frame_number)
        plaintext = self.traffic.suite.open(self.traffic.key, number, header, bytes(self.buffer[4 : 4 + length]))
        self.frame_number += 1
        del self.buffer[: 4 + length]
        unpadded = plaintext.rstrip(b"\x00")
        if not unpadded:
            raise FrameError("no type byte")
        frame = Frame(unpadded[-1], unpadded[:-1], len(plaintext) - len(unpadded))
        check_frame(frame)
        return frame
