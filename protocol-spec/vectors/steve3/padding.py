"""Lengths of frames after padding (SPEC.md, Section 9.6), from the bytes that go into a direction."""

from __future__ import annotations

OVERHEAD = 21
LONGEST = 65557


class Policy:
    def __init__(self, text: str) -> None:
        self.padme = text == "padme"
        self.block = int(text.removeprefix("block=")) if text.startswith("block=") else 1
        if not self.padme and self.block == 1 and text != "none":
            raise ValueError(f"no policy: {text}")
        self.largest = next(n for n in range(LONGEST, 0, -1) if self.bucket(n) == n)
        self.smallest = self.bucket(23)

    def bucket(self, n: int) -> int:
        step = self.block
        if self.padme:
            if n <= 256:
                return 256
            e = n.bit_length() - 1
            s = e.bit_length()  # floor(log2 e) + 1
            step = 2 ** (e - s)
        return -(-n // step) * step

    def frame(self, content: int) -> int:
        return min(self.bucket(OVERHEAD + max(content, 2)), LONGEST)

    def rest(self, sent: int, content: int) -> int:
        rest = self.bucket(sent + self.frame(content)) - sent
        if self.largest < rest < self.largest + self.smallest:
            rest = self.bucket(sent + self.largest + self.smallest) - sent
        return rest

    def several(self, rest: int, least: int) -> list[int]:
        frames = []
        while rest > self.largest:
            take = self.largest if rest - self.largest >= least else rest - least
            frames.append(take)
            rest -= take
        return [*frames, rest]


def direction(policy: Policy, head: int, ticks: list[int], end: str, trailers: int | None) -> list[int]:
    """The frames of a direction: `ticks` are the bytes gathered before each tick, the end comes with the last."""
    if head and not ticks and end == "fin":
        return [min(policy.rest(0, head), LONGEST)]
    if not head:
        return [min(policy.rest(0, 2), policy.largest)]
    frames = [policy.frame(head)]
    full = policy.largest - OVERHEAD
    gathered = 0
    for number, length in enumerate(ticks, 1):
        gathered += length
        while gathered > full:
            frames.append(policy.frame(full))
            gathered -= full
        if number < len(ticks) and gathered:
            frames.append(policy.frame(gathered))
            gathered = 0
    if end == "trailers":
        assert trailers is not None
        if gathered:
            frames.append(policy.frame(gathered))
        own = policy.frame(trailers)
        if own > 32778:
            return [*frames, own]
        return frames + policy.several(policy.rest(sum(frames), trailers), own)
    content = max(gathered, 2) if end == "reset" else gathered
    return frames + policy.several(policy.rest(sum(frames), content), policy.smallest)
