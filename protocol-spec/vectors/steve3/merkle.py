"""Merkle tree over challenges (SPEC.md, Section 6.1; RFC 6962, Section 2.1; RFC 9162, Section 2.1.3.2)."""

from __future__ import annotations

from collections.abc import Sequence

from .kdf import sha256

MAX_LEAVES = 65536
MAX_PATH = 16


def leaf_hash(challenge: bytes) -> bytes:
    return sha256(b"\x00" + challenge)


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right)


def _split(n: int) -> int:
    """The largest power of two smaller than n."""
    return 1 << (n - 1).bit_length() - 1


def root(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    k = _split(len(leaves))
    return node_hash(root(leaves[:k]), root(leaves[k:]))


def path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """The audit path, leaf to root order."""
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if index < k:
        return [*path(index, leaves[:k]), root(leaves[k:])]
    return [*path(index - k, leaves[k:]), root(leaves[:k])]


def verify(challenge: bytes, index: int, size: int, hashes: bytes, expected_root: bytes) -> bool:
    """RFC 9162, Section 2.1.3.2, with the limits of SPEC.md."""
    if len(challenge) != 32 or not 1 <= size <= MAX_LEAVES or index >= size or len(hashes) % 32 or len(hashes) > 32 * MAX_PATH:
        return False
    fn, sn, r = index, size - 1, leaf_hash(challenge)
    for p in (hashes[i : i + 32] for i in range(0, len(hashes), 32)):
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == expected_root
