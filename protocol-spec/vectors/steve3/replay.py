"""The proxy's memories: of stream ids (SPEC.md, Section 9.1) and of early requests (Section 12.1)."""

from __future__ import annotations

from .frames import MAX_STREAM_ID
from .handshake import EARLY_ACCEPTED, EARLY_REJECTED
from .kdf import sha256

WINDOW = 1024


class ReplayWindow:
    """`accepts` is to be asked before the first frame is opened, `mark` to be called once it has authenticated."""

    def __init__(self) -> None:
        self.largest = 0
        self.seen: set[int] = set()

    def accepts(self, stream_id: int) -> bool:
        if not 1 <= stream_id <= MAX_STREAM_ID:
            return False
        return stream_id > self.largest or (stream_id > self.largest - WINDOW and stream_id not in self.seen)

    def mark(self, stream_id: int) -> bool:
        """Tests once more and marks, as one step. False: another stream was quicker."""
        if not self.accepts(stream_id):
            return False
        self.largest = max(self.largest, stream_id)
        self.seen = {n for n in self.seen if n > self.largest - WINDOW} | {stream_id}
        return True


class EarlyMemory:
    """Of one generation of enclave keys. To be asked once the first frame has authenticated."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.seen: set[bytes] | None = set()

    def answer(self, enc: bytes) -> int | None:
        """`early_data` of the ServerHello. None: 422."""
        digest = sha256(enc)
        if self.seen is None or digest in self.seen:
            return None
        if len(self.seen) >= self.capacity:
            return EARLY_REJECTED
        self.seen.add(digest)
        return EARLY_ACCEPTED

    def erase(self) -> None:
        self.seen = None
