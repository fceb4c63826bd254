"""Checks a bundle that scraper-agent has exported. Needs Python 3.9 or newer and nothing else.

    python3 verify.py                       the folder that this file is in
    python3 verify.py FOLDER --trust FINGERPRINT [--trust …] [--lang zh]

A fingerprint is the SM3 of a public key in DER, 64 hex digits, as `scraper-agent key list` shows it. Ask for those of
the log and of its witnesses on another way than the one this bundle came by: without them all that can be said is
whether the bundle agrees with itself.

What it answers for every document: proven, not proven, or contradicted. It ends with 0, 2 and 1.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Iterator, Sequence

FORMAT = "scraper-agent-bundle/1"
CHECKPOINT = "application/vnd.scraper-agent.checkpoint+v1"
COSIGNATURE = "application/vnd.scraper-agent.cosignature+v1"

# --- SM3, GB/T 32905-2016 ---------------------------------------------------------------------------------------------

_MASK = 0xFFFFFFFF


def _rotate(x: int, n: int) -> int:
    n %= 32
    return ((x << n) | (x >> (32 - n))) & _MASK if n else x


_T = [_rotate(0x79CC4519 if j < 16 else 0x7A879D8A, j) for j in range(64)]


def _own_sm3(data: bytes) -> bytes:
    v = [0x7380166F, 0x4914B2B9, 0x172442D7, 0xDA8A0600, 0xA96F30BC, 0x163138AA, 0xE38DEE4D, 0xB0FB0E4E]
    padded = data + b"\x80" + bytes((55 - len(data)) % 64) + struct.pack(">Q", len(data) * 8)
    for start in range(0, len(padded), 64):
        w = list(struct.unpack(">16I", padded[start : start + 64]))
        for j in range(16, 68):
            x = w[j - 16] ^ w[j - 9] ^ _rotate(w[j - 3], 15)
            w.append(x ^ _rotate(x, 15) ^ _rotate(x, 23) ^ _rotate(w[j - 13], 7) ^ w[j - 6])
        a, b, c, d, e, f, g, h = v
        for j in range(64):
            ss1 = _rotate((_rotate(a, 12) + e + _T[j]) & _MASK, 7)
            ss2 = ss1 ^ _rotate(a, 12)
            if j < 16:
                ff, gg = a ^ b ^ c, e ^ f ^ g
            else:
                ff, gg = (a & b) | (a & c) | (b & c), (e & f) | (~e & g)
            tt1 = (ff + d + ss2 + (w[j] ^ w[j + 4])) & _MASK
            tt2 = (gg + h + ss1 + w[j]) & _MASK
            a, b, c, d = tt1, a, _rotate(b, 9), c
            e, f, g, h = tt2 ^ _rotate(tt2, 9) ^ _rotate(tt2, 17), e, _rotate(f, 19), g
        v = [x ^ y for x, y in zip(v, (a, b, c, d, e, f, g, h))]
    return struct.pack(">8I", *v)


def _hashlib_sm3(data: bytes) -> bytes:
    return hashlib.new("sm3", data).digest()


_ABC = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"


def _chosen_sm3() -> Callable[[bytes], bytes]:
    """OpenSSL's where Python has it: a thousand times faster."""
    try:
        if _hashlib_sm3(b"abc").hex() == _ABC:
            return _hashlib_sm3
    except ValueError:
        pass
    if _own_sm3(b"abc").hex() != _ABC:
        raise SystemExit("SM3 is wrong on this machine")
    return _own_sm3


sm3 = _chosen_sm3()

# --- SM2, GB/T 32918.2 on the curve of GB/T 32918.5 -------------------------------------------------------------------

P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = P - 3
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
G = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)
_ID = b"1234567812345678"
_DER = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200")

Point = tuple[int, int, int]
"""Jacobian coordinates; z = 0 is the point at infinity."""


def _double(p: Point) -> Point:
    x, y, z = p
    if not z or not y:
        return 0, 1, 0
    yy = y * y % P
    s = 4 * x * yy % P
    zz = z * z % P
    m = 3 * (x - zz) * (x + zz) % P  # a = -3
    rx = (m * m - 2 * s) % P
    return rx, (m * (s - rx) - 8 * yy * yy) % P, 2 * y * z % P


def _add(p: Point, q: tuple[int, int]) -> Point:
    """`q` is affine."""
    x1, y1, z1 = p
    x2, y2 = q
    if not z1:
        return x2, y2, 1
    zz = z1 * z1 % P
    u = x2 * zz % P
    s = y2 * z1 * zz % P
    if u == x1:
        return _double(p) if s == y1 else (0, 1, 0)
    h, r = (u - x1) % P, (s - y1) % P
    hh = h * h % P
    hhh, v = h * hh % P, x1 * hh % P
    rx = (r * r - hhh - 2 * v) % P
    return rx, (r * (v - rx) - y1 * hhh) % P, z1 * h % P


class _Comb:
    """Multiples of one point, so that k times it is 32 additions: most of a bundle is signed with few keys."""

    def __init__(self, point: tuple[int, int]) -> None:
        self.rows: list[list[tuple[int, int]]] = []
        base: Point = (point[0], point[1], 1)
        for _ in range(32):
            affine = _affine([base])[0]
            row: list[Point] = [base]
            for _ in range(254):
                row.append(_add(row[-1], affine))
            self.rows.append(_affine(row))
            for _ in range(8):
                base = _double(base)

    def added(self, start: Point, k: int) -> Point:
        """Start + k times the point."""
        for row in self.rows:
            digit = k & 255
            if digit:
                start = _add(start, row[digit - 1])
            k >>= 8
        return start


def _affine(points: Sequence[Point]) -> list[tuple[int, int]]:
    """With one inversion for all; none is at infinity."""
    products = [1]
    for _, _, z in points:
        products.append(products[-1] * z % P)
    inverse = pow(products[-1], P - 2, P)
    found: list[tuple[int, int]] = []
    for (x, y, z), before in zip(reversed(points), reversed(products[:-1])):
        own = inverse * before % P
        inverse = inverse * z % P
        square = own * own % P
        found.append((x * square % P, y * square * own % P))
    return found[::-1]


_G = _Comb(G)


class PublicKey:
    """X‖Y, 128 hex digits. Raises ValueError: no point of the curve."""

    def __init__(self, text: str) -> None:
        if re.fullmatch("[0-9a-f]{128}", text) is None:
            raise ValueError("no public key")
        x, y = int(text[:64], 16), int(text[64:], 16)
        if not (0 <= x < P and 0 <= y < P) or (y * y - (x * x * x + A * x + B)) % P:
            raise ValueError("no point of the curve")
        self.text = text
        raw = bytes.fromhex(text)
        curve = b"".join(each.to_bytes(32, "big") for each in (A, B, *G))
        self._z = sm3(struct.pack(">H", 8 * len(_ID)) + _ID + curve + raw)
        self.fingerprint = sm3(_DER + b"\x04" + raw).hex()
        self._comb: _Comb | None = None
        self._point = (x, y)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether R‖S, 64 bytes, is this key's signature of the message. Never raises."""
        if len(signature) != 64:
            return False
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        if not (0 < r < N and 0 < s < N) or not (r + s) % N:
            return False
        if self._comb is None:
            self._comb = _Comb(self._point)
        x, _, z = self._comb.added(_G.added((0, 1, 0), s), (r + s) % N)
        if not z:
            return False
        x = x * pow(z * z % P, P - 2, P) % P
        return (int.from_bytes(sm3(self._z + message), "big") + x) % N == r


# --- the Merkle tree, RFC 6962 with SM3 -------------------------------------------------------------------------------


def leaf(entry: bytes) -> bytes:
    return sm3(b"\x00" + entry)


def node(left: bytes, right: bytes) -> bytes:
    return sm3(b"\x01" + left + right)


def root_of(size: int, leaves: Sequence[tuple[int, bytes]], hashes: Iterator[bytes]) -> bytes:
    """The root, from some leaves (by index, ascending) and the roots of the largest subtrees that have none of them.

    Raises:
        ValueError: there are too few of these.
    """
    if not size:
        return sm3(b"")

    def made(start: int, stop: int, of: Sequence[tuple[int, bytes]]) -> bytes:
        if not of:
            given = next(hashes, None)
            if given is None:
                raise ValueError("a hash is missing")
            return given
        if stop - start == 1:
            return of[0][1]
        middle = start + (1 << ((stop - start - 1).bit_length() - 1))
        cut = _first(of, middle)
        return node(made(start, middle, of[:cut]), made(middle, stop, of[cut:]))

    return made(0, size, leaves)


def _first(leaves: Sequence[tuple[int, bytes]], index: int) -> int:
    """How many of them come before this index."""
    low, high = 0, len(leaves)
    while low < high:
        middle = (low + high) // 2
        if leaves[middle][0] < index:
            low = middle + 1
        else:
            high = middle
    return low
