"""The proxy's memory of stream ids (SPEC.md, Section 9.1)."""

from __future__ import annotations

from .frames import MAX_STREAM_ID

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
