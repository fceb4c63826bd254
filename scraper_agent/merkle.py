"""The Merkle tree of the log: RFC 6962 section 2.1 over SM3 (GB/T 32905) in place of SHA-256.

A leaf is SM3(0x00 ‖ entry), a node SM3(0x01 ‖ left ‖ right); the prefixes keep an entry from passing for a node. The
left half of a tree of n leaves is the largest complete one smaller than n, so what is complete never changes again.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes

from scraper_agent import canonical

HASH_BYTES = 32

EMPTY = canonical.sm3(b"")
"""Root of the tree without leaves."""

RangeRoot = Callable[[int, int], bytes]
"""(start, stop) -> root of the leaves start..stop-1 taken as a tree of their own."""


def _openssl_after(prefix: bytes) -> Callable[[bytes], bytes]:
    # Copying a fed object is cheaper than having OpenSSL look the algorithm up for each of a million leaves.
    fed = hashlib.new("sm3", prefix).copy

    def hashed(data: bytes) -> bytes:
        hasher = fed()
        hasher.update(data)
        return hasher.digest()

    return hashed


def _cryptography_after(prefix: bytes) -> Callable[[bytes], bytes]:
    fed = hashes.Hash(hashes.SM3())
    fed.update(prefix)

    def hashed(data: bytes) -> bytes:
        hasher = fed.copy()
        hasher.update(data)
        return hasher.finalize()

    return hashed


_after = _openssl_after if "sm3" in hashlib.algorithms_available else _cryptography_after

leaf: Callable[[bytes], bytes] = _after(b"\x00")
"""Hash of one entry."""

pair: Callable[[bytes], bytes] = _after(b"\x01")
"""Hash of a node, given left ‖ right in one piece."""

field: Callable[[bytes], bytes] = _after(b"\x02")
"""Hash of the commitment to a field (see `commitments`): neither an entry nor a node."""


@dataclass(frozen=True, slots=True)
class Frontier:
    """All a log must keep to grow: the roots of its complete subtrees, largest first, one per 1 bit of `size`."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def append(self, root: bytes, leaves: int = 1) -> Frontier:
        """With one more leaf hash, or with the root of a complete subtree of `leaves` leaves.

        Raises:
            ValueError: `leaves` is not a power of two, or a subtree that large cannot begin here.
        """
        if leaves < 1 or leaves & (leaves - 1) or self.size % leaves:
            raise ValueError(f"a subtree of {leaves} leaves cannot begin at leaf {self.size}")
        peaks = list(self.peaks)
        bit = leaves
        while self.size & bit:
            root = pair(peaks.pop() + root)
            bit <<= 1
        return Frontier(self.size + leaves, (*peaks, root))

    @property
    def root(self) -> bytes:
        if not self.peaks:
            return EMPTY
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = pair(peak + root)
        return root

    def dump(self) -> bytes:
        """The peaks one after another; `size` is kept beside them."""
        return b"".join(self.peaks)

    @classmethod
    def load(cls, size: int, data: bytes) -> Frontier:
        """Inverse of `dump`.

        Raises:
            ValueError: `data` is not what a tree of `size` leaves keeps.
        """
        if size < 0 or len(data) != size.bit_count() * HASH_BYTES:
            raise ValueError(f"{len(data)} bytes are no frontier of a tree of {size} leaves")
        return cls(size, tuple(data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)))


def root(leaves: Sequence[bytes]) -> bytes:
    """Root of the tree over these leaf hashes."""
    return frontier(leaves).root


def frontier(leaves: Sequence[bytes]) -> Frontier:
    """The frontier of a tree with these leaf hashes."""
    state = Frontier()
    for count, peak in peaks(complete(leaves), len(leaves)):
        state = state.append(peak, count)
    return state


def complete(leaves: Sequence[bytes]) -> list[Sequence[bytes]]:
    """Item k: roots of all complete subtrees of 2**k leaves, from the left."""
    levels = [leaves]
    while len(below := levels[-1]) > 1:
        levels.append(list(map(pair, map(operator.add, below[::2], below[1::2]))))  # an odd last one has no partner yet
    return levels


def peaks(levels: Sequence[Sequence[bytes]], size: int) -> list[tuple[int, bytes]]:
    """(leaves, root) of the complete subtrees of `size` leaves, largest first; `levels` as by `complete`."""
    return [(1 << k, levels[k][(size >> k) - 1]) for k in reversed(range(size.bit_length())) if size >> k & 1]


# --- proofs ---------------------------------------------------------------------------------------------------------


def inclusion(index: int, size: int, range_root: RangeRoot) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 section 2.1.1, leaf side first: that a leaf is in the tree of `size` leaves.

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    proof: list[bytes] = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _left(stop - start)
        if index < middle:
            proof.append(range_root(middle, stop))
            stop = middle
        else:
            proof.append(range_root(start, middle))
            start = middle
    return proof[::-1]


def includes(root: bytes, size: int, index: int, leaf: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows `leaf` at `index` in the tree (RFC 9162 section 2.1.3.2). Never raises on a bad proof."""
    if not 0 <= index < size or any(len(part) != HASH_BYTES for part in (leaf, *proof)):
        return False
    at, last, made = index, size - 1, leaf
    for part in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            made = pair(part + made)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            made = pair(made + part)
        at, last = at >> 1, last >> 1
    return last == 0 and made == root


def multiple(indexes: Sequence[int], size: int, range_root: RangeRoot) -> list[bytes]:
    """Proof that many leaves, by ascending index, are in the tree of `size` leaves: see `root_of`.

    The roots of the largest subtrees that have none of them, from the left; for neighbours far fewer than a proof each.

    Raises:
        ValueError: there is no such leaf, or they do not ascend.
    """
    if any(a >= b for a, b in itertools.pairwise(indexes)) or (indexes and not 0 <= indexes[0] <= indexes[-1] < size):
        raise ValueError(f"no ascending leaves of a tree of {size}")
    proof: list[bytes] = []

    def walk(start: int, stop: int, low: int, high: int) -> None:
        if low == high:
            proof.append(range_root(start, stop))
        elif stop - start > 1:
            middle = start + _left(stop - start)
            cut = bisect.bisect_left(indexes, middle, low, high)
            walk(start, middle, low, cut)
            walk(middle, stop, cut, high)

    if size:
        walk(0, size, 0, len(indexes))
    return proof


def root_of(leaves: Sequence[tuple[int, bytes]], size: int, proof: Sequence[bytes]) -> bytes:
    """The root of the tree that these leaves, by ascending index, and the proof of `multiple` make.

    Raises:
        ValueError: they are no leaves of such a tree with the proof they need.
    """
    indexes = [index for index, _ in leaves]
    if any(a >= b for a, b in itertools.pairwise(indexes)) or (indexes and not 0 <= indexes[0] <= indexes[-1] < size):
        raise ValueError(f"no ascending leaves of a tree of {size}")
    if any(len(part) != HASH_BYTES for part in (*proof, *(own for _, own in leaves))):
        raise ValueError("a hash of another length")
    left = iter(proof)

    def made(start: int, stop: int, low: int, high: int) -> bytes:
        if low == high:
            given = next(left, None)
            if given is None:
                raise ValueError("a hash is missing")
            return given
        if stop - start == 1:
            return leaves[low][1]
        middle = start + _left(stop - start)
        cut = bisect.bisect_left(indexes, middle, low, high)
        return pair(made(start, middle, low, cut) + made(middle, stop, cut, high))

    found = made(0, size, 0, len(leaves)) if size else EMPTY
    if next(left, None) is not None:
        raise ValueError("a hash too many")
    return found


def consistency(old: int, size: int, range_root: RangeRoot) -> list[bytes]:
    """PROOF(old, D[size]) of RFC 6962 section 2.1.2: that the first `old` leaves are still what they were.

    Raises:
        ValueError: `old` is 0 or greater than `size`.
    """
    if not 0 < old <= size:
        raise ValueError(f"no consistency proof from {old} to {size} leaves")
    proof: list[bytes] = []
    start, stop, known = 0, size, True
    while old != stop:
        middle = start + _left(stop - start)
        if old <= middle:
            proof.append(range_root(middle, stop))
            stop = middle
        else:
            proof.append(range_root(start, middle))
            start, known = middle, False
    if not known:
        proof.append(range_root(start, stop))
    return proof[::-1]


def extends(old_root: bytes, old: int, root: bytes, size: int, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree of `old` leaves grew into that of `size` (RFC 9162 section 2.1.4.2).

    Never raises on a bad proof. Every tree extends the empty one.
    """
    if old in (0, size):
        return 0 <= old <= size and not proof and old_root == (root if old == size else EMPTY)
    if not 0 < old < size or any(len(part) != HASH_BYTES for part in proof):
        return False
    # A complete old tree is itself the first part, and therefore left out of the proof.
    parts = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not parts:
        return False
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    made_old = made = parts[0]
    for part in parts[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            made_old, made = pair(part + made_old), pair(part + made)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            made = pair(made + part)
        at, last = at >> 1, last >> 1
    return last == 0 and made_old == old_root and made == root


def _left(size: int) -> int:
    """Leaves in the left half: the largest power of two smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1
