"""Checks a bundle that scraper-agent has exported. Needs Python 3.9 or newer and nothing else.

    python3 verify.py                       the folder that this file is in
    python3 verify.py FOLDER --trust FINGERPRINT [--trust …] [--lang zh]

A fingerprint is the SM3 of a public key in DER, 64 hex digits, as `scraper-agent key list` shows it. Ask for those of
the log and of its witnesses on another way than the one this bundle came by: without them all that can be said is
whether the bundle agrees with itself.

What it answers for every document: proven, not proven, or contradicted. It ends with 0, 2 and 1. Proven is that these
facts stand in the log, as they are, in this order, and since when; not that what they say is true, nor that nothing
else stands there. What no witness has seen yet is not proven, and how much that is, is told.
"""

from __future__ import annotations

import argparse
import base64
import functools
import hashlib
import itertools
import json
import re
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

FORMAT = "scraper-agent-bundle/1"
CHECKPOINT = "application/vnd.scraper-agent.checkpoint+v1"
COSIGNATURE = "application/vnd.scraper-agent.cosignature+v1"
MANIFEST = "application/vnd.scraper-agent.bundle+v1"

# --- SM3, GB/T 32905-2016 ---------------------------------------------------------------------------------------------

_MASK = 0xFFFFFFFF


def _rotated(x: int, n: int) -> int:
    return (x << n | x >> (32 - n)) & _MASK


_T = [_rotated(0x79CC4519 if j < 16 else 0x7A879D8A, j % 32) for j in range(64)]


def _own_sm3(data: bytes) -> bytes:
    """Every rotation is written out: this is most of the time where hashlib has no SM3."""
    v = (0x7380166F, 0x4914B2B9, 0x172442D7, 0xDA8A0600, 0xA96F30BC, 0x163138AA, 0xE38DEE4D, 0xB0FB0E4E)
    padded = data + b"\x80" + bytes((55 - len(data)) % 64) + struct.pack(">Q", len(data) * 8)
    for block in struct.iter_unpack(">16I", padded):
        w = list(block)
        for j in range(16, 68):
            y, z = w[j - 3], w[j - 13]
            x = (w[j - 16] ^ w[j - 9] ^ (y << 15 | y >> 17)) & _MASK
            w.append((x ^ (x << 15 | x >> 17) ^ (x << 23 | x >> 9) ^ (z << 7 | z >> 25) ^ w[j - 6]) & _MASK)
        a, b, c, d, e, f, g, h = v
        for t, x, y in zip(_T[:16], w, w[4:]):
            r = (a << 12 | a >> 20) & _MASK
            s = (r + e + t) & _MASK
            s = (s << 7 | s >> 25) & _MASK
            a, b, c, d, z = ((a ^ b ^ c) + d + (s ^ r) + (x ^ y)) & _MASK, a, (b << 9 | b >> 23) & _MASK, c, e ^ f ^ g
            z = (z + h + s + x) & _MASK
            e, f, g, h = (z ^ (z << 9 | z >> 23) ^ (z << 17 | z >> 15)) & _MASK, e, (f << 19 | f >> 13) & _MASK, g
        for t, x, y in zip(_T[16:], w[16:], w[20:]):
            r = (a << 12 | a >> 20) & _MASK
            s = (r + e + t) & _MASK
            s = (s << 7 | s >> 25) & _MASK
            z = (g ^ (e & (f ^ g))) + h + s + x & _MASK
            a, b, c, d = ((a & b | c & (a | b)) + d + (s ^ r) + (x ^ y)) & _MASK, a, (b << 9 | b >> 23) & _MASK, c
            e, f, g, h = (z ^ (z << 9 | z >> 23) ^ (z << 17 | z >> 15)) & _MASK, e, (f << 19 | f >> 13) & _MASK, g
        v = (v[0] ^ a, v[1] ^ b, v[2] ^ c, v[3] ^ d, v[4] ^ e, v[5] ^ f, v[6] ^ g, v[7] ^ h)
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
        # x / z² is to be r less the digest, modulo N: it is below P, so that there are two numbers that it may be.
        rest, square = (r - int.from_bytes(sm3(self._z + message), "big")) % N, z * z % P
        return any(x == each * square % P for each in (rest, rest + N) if each < P)


public_key = functools.lru_cache(maxsize=1000)(PublicKey)
"""The same key once: its table takes longer than a hundred signatures."""


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


def grew(old_root: bytes, old: int, root: bytes, size: int, proof: Sequence[bytes]) -> bool:
    """Whether the log of `old` entries is the beginning of that of `size` (RFC 9162, 2.1.4.2)."""
    if old in (0, size):
        return not proof and old_root == (root if old == size else sm3(b""))
    if not 0 < old < size:
        return False
    parts = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not parts:
        return False
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    made_old = made = parts[0]
    for part in parts[1:]:
        if not last:
            return False
        if at & 1 or at == last:
            made_old, made = node(part, made_old), node(part, made)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            made = node(made, part)
        at, last = at >> 1, last >> 1
    return not last and made_old == old_root and made == root


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


# --- the bundle -------------------------------------------------------------------------------------------------------


class Contradicted(Exception):
    """What was found is not what is proven. The sentence in English and in Chinese."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.said = {"en": en, "zh": zh}


PROVEN, NOT_PROVEN, CONTRADICTED = "proven", "not proven", "contradicted"
_ORDER = {PROVEN: 0, NOT_PROVEN: 1, CONTRADICTED: 2}


@dataclass
class Part:
    """One statement, and how it stands."""

    state: str
    en: str
    zh: str


@dataclass
class Document:
    """One document of the bundle, by its facts in the log."""

    job: str
    parts: list[Part] = field(default_factory=list)

    @property
    def state(self) -> str:
        return max((part.state for part in self.parts), key=_ORDER.__getitem__, default=NOT_PROVEN)


@dataclass
class Result:
    log: list[Part] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)

    @property
    def state(self) -> str:
        states = [part.state for part in self.log] + [document.state for document in self.documents]
        return max(states, key=_ORDER.__getitem__, default=NOT_PROVEN)


@dataclass
class Entry:
    index: int
    at: str
    job: str
    position: int
    kind: str
    fact: dict[str, Any]


def plain(data: bytes) -> Any:
    """JSON without doubled names, without NaN. Raises ValueError."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise ValueError("a name stands twice")
        return made

    def none(text: str) -> Any:
        raise ValueError("no JSON: " + text)

    return json.loads(data.decode("utf-8"), object_pairs_hook=once, parse_constant=none)


def canonical(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def entry_of(data: bytes) -> Entry:
    wrong = Contradicted("a line of entries.jsonl is no entry", "entries.jsonl 中有一行不是条目")
    try:
        raw = plain(data)
        made = Entry(raw["index"], raw["at"], raw["job"], raw["position"], raw["kind"], raw["fact"])
    except (ValueError, KeyError, TypeError):
        raise wrong from None
    numbers, texts = (made.index, made.position), (made.at, made.job, made.kind)
    right = all(type(each) is int and each >= 0 for each in numbers) and all(type(each) is str for each in texts)
    if not right or type(made.fact) is not dict or canonical(raw) != data:
        raise wrong
    return made


_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){0,3}")


def _fingerprint_of(pem: bytes) -> str:
    found = re.fullmatch(rb"-----BEGIN PUBLIC KEY-----\n([0-9A-Za-z+/=\n]+)-----END PUBLIC KEY-----\n", pem)
    try:
        return sm3(base64.b64decode(found[1])).hex() if found else ""
    except ValueError:
        return ""


def digests(data: bytes) -> tuple[int, str, str]:
    """As the manifest has them: size, SM3, SHA-256."""
    return len(data), sm3(data).hex(), hashlib.sha256(data).hexdigest()


class Bundle:
    """The files of a folder: those of the manifest, each as the manifest has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.raw = self.unlisted("manifest.json")
        try:
            self.about: dict[str, Any] = plain(self.raw)
            listed = {each["name"]: each for each in self.about["files"]}
            names = [each["name"] for each in self.about["files"]]
            right = all(_NAME.fullmatch(name) for name in names) and names == sorted(set(names))
            kept = {name: (int(each["size"]), each["sm3"], each["sha256"]) for name, each in listed.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            right, kept = False, {}
        if not right or canonical(self.about) != self.raw or self.about.get("format") != FORMAT:
            raise Contradicted("manifest.json is not of the form", "manifest.json 格式不符")
        self.kept = kept

    def complete(self) -> None:
        """That the folder has these files and no others, and each is as the manifest has it. First of all."""
        for name in sorted(self.there() - set(self.kept) - {"manifest.json", "manifest.sig"}):
            raise Contradicted(f"a file that the manifest does not name: {name}", f"清单中没有的文件：{name}")
        for name, kept in self.kept.items():
            data = self.read(name)
            if digests(data) != kept:
                raise Contradicted(f"{name} is not the one of the manifest", f"{name} 与清单不符")
            named = re.fullmatch("(blobs)/([0-9a-f]+)|keys/([0-9a-f]+).pem", name)
            if named is not None and named[1] and self.kept[name][1] != named[2]:
                raise Contradicted(f"the bytes of {name} have been changed", f"{name} 的内容被改动")
            if named is not None and named[3] and _fingerprint_of(data) != named[3]:
                raise Contradicted(f"{name} is another key", f"{name} 是另一把密钥")

    def there(self) -> set[str]:
        """The files of the folder."""
        return {
            path.relative_to(self.folder).as_posix()
            for path in self.folder.rglob("*")
            if not path.is_dir() and "__pycache__" not in path.parts
        }

    def has(self, name: str) -> bool:
        return name in self.kept

    def read(self, name: str) -> bytes:
        if name not in self.kept:
            raise Contradicted(f"the manifest lacks {name}", f"清单缺少 {name}")
        return self.unlisted(name)

    def unlisted(self, name: str) -> bytes:
        """As it stands there, whatever the manifest says."""
        try:
            with open(f"{self.folder}/{name}", "rb") as file:  # noqa: PTH123 - half the time of a Path
                return file.read()
        except (OSError, ValueError):
            raise Contradicted(f"{name} is missing", f"缺少 {name}") from None

    def blob(self, digest: str) -> bytes | None:
        """None: it is not part of the bundle."""
        if re.fullmatch("sm3:[0-9a-f]{64}", digest) is None:
            raise Contradicted(f"no digest: {digest[:80]}", f"不是摘要：{digest[:80]}")
        name = "blobs/" + digest[4:]
        if name not in self.kept:
            return None
        return self.read(name)


# --- the checkpoint ---------------------------------------------------------------------------------------------------


def pae(payload: bytes, type: str) -> bytes:
    """What is signed: DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(type), type.encode(), len(payload), payload)


def key_id(name: str, key: PublicKey, type: str) -> bytes:
    return sm3(f"{name}\n{type}\n{key.text}".encode())[:4]


@dataclass
class Note:
    text: bytes
    origin: str
    size: int
    root: bytes
    at: str
    lines: list[tuple[str, bytes, bytes]]
    """Name, key id, signature."""


def note_of(data: bytes) -> Note:
    """Raises ValueError."""
    body, gap, signatures = data.partition(b"\n\n")
    lines = body.decode("utf-8").split("\n")
    if not gap or len(lines) not in (4, 5) or not signatures.endswith(b"\n"):
        raise ValueError("no note")
    if re.fullmatch("0|[1-9][0-9]{0,15}", lines[1]) is None or not lines[3].startswith("at "):
        raise ValueError("no note")
    root = base64.b64decode(lines[2], validate=True)
    if len(root) != 32 or base64.b64encode(root).decode() != lines[2]:
        raise ValueError("no root")
    found = []
    for each in signatures.decode("utf-8")[:-1].split("\n"):
        dash, name, encoded = each.split(" ")
        raw = base64.b64decode(encoded, validate=True)
        if dash != "\u2014" or len(raw) not in (68, 76) or base64.b64encode(raw).decode() != encoded:
            raise ValueError("no signature")
        found.append((name, raw[:4], raw[4:]))
    return Note(body + b"\n", lines[0], int(lines[1]), root, lines[3][3:], found)


def signed_by_log(note: Note, key: PublicKey) -> bool:
    own = key_id(note.origin, key, CHECKPOINT)
    message = pae(note.text, CHECKPOINT)
    return any(
        name == note.origin and id == own and len(signature) == 64 and key.verifies(message, signature)
        for name, id, signature in note.lines
    )


def seen_by(note: Note, witness: str, key: PublicKey) -> datetime | None:
    """When the witness signed it."""
    own = key_id(witness, key, COSIGNATURE)
    for name, id, signature in note.lines:
        if name != witness or id != own or len(signature) != 72:
            continue
        seconds = int.from_bytes(signature[:8], "big")
        message = pae(b"cosignature/v1\ntime %d\n%s" % (seconds, note.text), COSIGNATURE)
        if seconds < 1 << 36 and key.verifies(message, signature[8:]):
            return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    return None


# --- requests and receipts --------------------------------------------------------------------------------------------


@dataclass
class Told:
    """What a request or a receipt says, and what its signature is over."""

    message: bytes
    signature: bytes
    key_index: str
    digest: str
    """Of the document: the one within a request, the one that a receipt names."""
    accepted: bool = False
    id: str = ""
    otherwise: Iterable[bytes] = ()
    """What would be signed if its parts were agreed to stand in another order."""


DS = "http://www.w3.org/2000/09/xmldsig#"
DXP = "http://www.chinaport.gov.cn/dxp"
_C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
_ENVELOPED = DS + "enveloped-signature"
_DECLARATION = re.compile(
    r"""<\?xml version=(["'])1\.0\1(?: encoding=(["'])[Uu][Tt][Ff]-8\2)?(?: standalone=(["'])(?:yes|no)\3)? ?\?>"""
)
_CHARACTERS = "[^<>&\r\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]*"
_TEXT = re.compile(f"{_CHARACTERS}(?:&(?:amp|lt|gt|#xD);{_CHARACTERS})*")
_PLAIN = "[A-Za-z_][A-Za-z0-9_.-]*"
_TAG = f'<((?:({_PLAIN}):)?({_PLAIN}))((?: [A-Za-z_:.0-9-]+="[ !#-%\'-;=?-~]*")*)'
_START, _EMPTY = re.compile(f"{_TAG}>"), re.compile(f"{_TAG} ?/>")
_ATTRIBUTE = re.compile(' ([^=]+)="([^"]*)"')
_URI = re.compile("[a-z][a-z0-9+.-]*:[!#-%'-;=?-~]{1,200}")
_MOST_ELEMENTS, _MOST_DEEP = 100, 8


@dataclass
class Element:
    """Where it stands in the text, from `<` to after `>`, and what is in it."""

    tag: str
    name: tuple[str, str]
    """Namespace, and name in it."""
    attributes: dict[str, str]
    scope: dict[str, str]
    """Namespaces by prefix."""
    start: int
    end: int = 0
    text: str = ""
    kids: list[Element] = field(default_factory=list)


def xml_of(raw: bytes) -> tuple[str, Element]:
    """The text and its root, of XML that is in canonical form (C14N 1.0 without comments).

    Reads no other XML but a declaration and `<a/>`, so that a part of the text is the canonical form of that part: no
    DTD, entity, comment, CDATA or processing instruction. Namespaces stand at the root and at its `Signature`.

    Raises:
        ValueError: it is no such text.
    """
    text = raw.decode("utf-8")
    found = _DECLARATION.match(text)
    # A `<` begins a tag wherever it stands in XML, and what is none is refused below.
    text = _EMPTY.sub(r"<\1\4></\1>", text[found.end() if found else 0 :].strip("\n"))
    at, root = 0, None
    open_: list[Element] = []
    count = 0
    while root is None or open_:
        if open_:
            chunk = _TEXT.match(text, at)
            at = chunk.end() if chunk else at
            open_[-1].text += _unescaped(chunk[0]) if chunk else ""
            if text.startswith("</", at):
                closed = open_.pop()
                at += len(closed.tag) + 3
                closed.end = at
                if not text.endswith(f"</{closed.tag}>", 0, at):
                    raise ValueError("an element is not closed")
                continue
        start = _START.match(text, at)
        if start is None:
            raise ValueError("not in canonical form")
        element = _element(start, open_)
        at, count = start.end(), count + 1
        if open_:
            open_[-1].kids.append(element)
        else:
            root = element
        open_.append(element)
        if count > _MOST_ELEMENTS or len(open_) > _MOST_DEEP:
            raise ValueError("too many elements")
    if text[at:]:
        raise ValueError("something stands after the root")
    return text, root


def _element(start: re.Match[str], within: Sequence[Element]) -> Element:
    tag, prefix, name, rest = start.groups()
    pairs = _ATTRIBUTE.findall(rest)
    named = [(each[6:], uri) for each, uri in pairs if each.startswith("xmlns")]
    plain = [(each, value) for each, value in pairs if not each.startswith("xmlns")]
    declared, attributes = {each.lstrip(":"): uri for each, uri in named}, dict(plain)
    scope = {**(within[-1].scope if within else {}), **declared}
    right = (
        pairs == [*((f"xmlns:{each}" if each else "xmlns", uri) for each, uri in declared.items()), *plain]
        and list(declared) == sorted(declared)
        and [each for each, _ in plain] == sorted(attributes)
        and not any(":" in each for each in attributes)
        and all(re.fullmatch(_PLAIN, each) and not each.startswith("xml") for each in declared if each)
        and all(_URI.fullmatch(uri) for uri in declared.values())
        and len(scope) == len(declared) + (len(within[-1].scope) if within else 0) == len(set(scope.values()))
        and (not prefix or prefix in scope)
    )
    made = Element(tag, (scope.get(prefix or "", ""), name), attributes, scope, start.start())
    if not right or (declared and within and (len(within) > 1 or made.name != (DS, "Signature"))):
        raise ValueError("not in canonical form")
    return made


def _unescaped(text: str) -> str:
    for written, meant in (("&lt;", "<"), ("&gt;", ">"), ("&#xD;", "\r"), ("&amp;", "&")):
        text = text.replace(written, meant)
    return text


def _kids(element: Element, namespace: str, names: str, attributes: str = "", *, signed: bool = False) -> list[Element]:
    """Its children, which have to have these names and no others; `signed`: and a signature. Raises ValueError."""
    expected = [(namespace, name) for name in names.split()] + [(DS, "Signature")] * signed
    if [kid.name for kid in element.kids] != expected:
        raise ValueError("other elements")
    if sorted(element.attributes) != attributes.split() or element.text.strip(" \t\r\n"):
        raise ValueError("other attributes, or text beside elements")
    return element.kids


def _text(element: Element, pattern: str, **attributes: str) -> str:
    """What is in an element without children. Raises ValueError."""
    if element.kids or element.attributes != attributes or not re.fullmatch(pattern, element.text, re.DOTALL):
        raise ValueError("other text")
    return element.text


def _bytes(element: Element) -> bytes:
    text = re.sub("[ \t\r\n]", "", _text(element, "[0-9A-Za-z+/= \t\r\n]*"))
    made = base64.b64decode(text, validate=True)
    if base64.b64encode(made).decode() != text:
        raise ValueError("base64 in a second spelling")
    return made


def _signed_xml(text: str, root: Element, signature: Element, key_index: str) -> tuple[bytes, bytes]:
    """What is signed, and the signature, empty if it is over another message. Raises ValueError."""
    info, value, key_info = _kids(signature, DS, "SignedInfo SignatureValue KeyInfo")
    c14n, method, reference = _kids(info, DS, "CanonicalizationMethod SignatureMethod Reference")
    transforms, digest_method, digest = _kids(reference, DS, "Transforms DigestMethod DigestValue", "URI")
    (transform,) = _kids(transforms, DS, "Transform")
    _text(c14n, "", Algorithm=_C14N)
    _text(transform, "", Algorithm=_ENVELOPED)
    for each, known in ((method, "sm2-sm3"), (digest_method, "sm3")):  # each profile has names of its own for them
        named = each.attributes.get("Algorithm", "")
        _text(each, "", Algorithm=named if re.fullmatch(f".*[#:/]{known}", named) else known)
    if reference.attributes["URI"]:
        raise ValueError("the signature refers to a part of the message")
    if len(key_info.kids) > 1:
        name, data = _kids(key_info, DS, "KeyName X509Data")
        _bytes(*_kids(data, DS, "X509Certificate"))
        _text(name, "[0-9A-Za-z]{1,128}")
    else:
        _text(_kids(key_info, DS, "KeyName")[0], key_index)
    rest = text[root.start : signature.start] + text[signature.end : root.end]
    covers = sm3(rest.encode()) == _bytes(digest)
    scope = "".join(f' xmlns{":" * bool(each)}{each}="{uri}"' for each, uri in sorted(info.scope.items()))
    cut = info.start + 1 + len(info.tag)
    return f"{text[info.start : cut]}{scope}{text[cut : info.end]}".encode(), _bytes(value) if covers else b""


_INDEX, _KEY, _DIGEST = "0[1-9]|[1-9][0-9]", "[0-9a-f]{64}", "sm3:[0-9a-f]{64}"
_FORMAT, _AK = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "[0-9A-Za-z]{6}"
_TIME = "(?:19[7-9][0-9]|2[0-9]{3})-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
_SOME, _DXP_ID = ".{0,4096}", "[!-~]{1,16}"


def _texts(elements: Iterable[Element], patterns: Sequence[str], names: str = "") -> list[str]:
    """The text of each, by its pattern; `names`: what its attribute `name` says. Raises ValueError."""
    named = [{"name": name} for name in names.split()] or [{}] * len(patterns)
    return [_text(each, pattern, **own) for each, pattern, own in zip(elements, patterns, named)]


def _real_time(text: str) -> None:
    """Raises ValueError: there is no such day."""
    datetime.fromisoformat(text.rstrip("Z"))


def _xml_request(raw: bytes) -> Told:
    """Of `ceb-xmldsig/1` or `dxp/1`. Raises ValueError."""
    text, root = xml_of(raw)
    if root.name == (DXP, "DxpMsg"):
        trans, data, more, signature = _kids(root, DXP, "TransInfo Data AddInfo", "ver", signed=True)
        head = _kids(trans, DXP, "CopMsgId SenderId ReceiverIds CreatTime MsgType")
        receivers = _kids(head[2], DXP, "ReceiverId " * len(head[2].kids))
        _texts(receivers, [_DXP_ID] * len(receivers))
        key, _, time, _ = _texts([*head[:2], *head[3:]], [_KEY, _DXP_ID, _TIME, "[!-~]{1,30}"])
        names, card = ("FileName IcCard BizKey", 1) if len(more.kids) > 2 else ("FileName BizKey", 0)
        about = _kids(more, DXP, names)
        _texts(about[:-1], [re.escape(key) + "[.]json", "[!-~]{1,13}"][: 1 + card])
        keys = _kids(about[-1], DXP, "Key Key Key Key")
        _, key_index, _, digest = _texts(keys, [_AK, _INDEX, _FORMAT, "[0-9a-f]{64}"], "ak sk format sm3")
        right, digest = root.attributes["ver"] == "1.0" and len(receivers) in range(1, 6), f"sm3:{digest}"
    else:
        names = "System KeyIndex Time Format Key Digest Document"
        *kids, data, signature = _kids(root, root.name[0], names, "guid version", signed=True)
        told = _texts(kids, [_AK, _INDEX, f"{_TIME}Z", _FORMAT, _KEY, _DIGEST])
        _, key_index, time, _, key, digest = told
        guid = re.sub("(.{8})(.{4})(.{4})(.{4})(.{12}).*", r"\1-\2-\3-\4-\5", key).upper()
        right = root.name[1] == "Message" and root.attributes == {"guid": guid, "version": "1.0"}
    _real_time(time)
    document = _bytes(data)
    if not right or canonical(plain(document)) != document or not document.startswith(b"{"):
        raise ValueError("no request")
    if "sm3:" + sm3(document).hex() != digest:
        raise Contradicted("what was signed is another document", "所签为另一份单证")
    return Told(*_signed_xml(text, root, signature, key_index), key_index, digest)


def _xml_receipt(raw: bytes) -> Told:
    """Of `ceb-xmldsig/1` or `dxp/1`. Raises ValueError."""
    text, root = xml_of(raw)
    if root.name == (DXP, "DxpRep"):
        names = "RecevierId Response Results NoticeTime OriHead"
        receiver, response, results, notice, original, signature = _kids(root, DXP, names, "ver", signed=True)
        said = _kids(response, DXP, "ResponseCode ResponseInfo")
        _, code, _, time, _ = _texts(
            [receiver, *said, notice, *_kids(original, DXP, "CopMsgId")],
            [_DXP_ID, "0|-[1-9][0-9]{0,7}", ".{0,300}", _TIME, ".{0,255}"],
        )
        found = _kids(results, DXP, "Result Result Result Result")
        key_index, digest, id, _ = _texts(found, [_INDEX, ".{0,64}", ".{0,128}", _SOME], "sk sm3 id reason")
        right, accepted, digest = root.attributes == {"ver": "1.0"}, code == "0", f"sm3:{digest}"
    else:
        names = "KeyIndex Time Key Digest Code Info Accepted Id Reason"
        *kids, signature = _kids(root, root.name[0], names, "version", signed=True)
        patterns = [_INDEX, f"{_TIME}Z", ".{0,255}", ".{0,255}", "[0-9]{4}", _SOME, "true|false", ".{0,128}", _SOME]
        key_index, time, _, digest, _, _, word, id, _ = _texts(kids, patterns)
        right, accepted = root.name[1] == "Receipt" and root.attributes == {"version": "1.0"}, word == "true"
    _real_time(time)
    if not right:
        raise ValueError("no receipt")
    return Told(*_signed_xml(text, root, signature, key_index), key_index, digest, accepted, id)


_REQUEST = re.compile(
    rb'\{"ak":"([^"]{6})","ts":([0-9]{1,16}),"sk":"([0-9]{2})","sn":"([0-9A-Za-z+/=]{88}|[0-9A-Fa-f]{128})",'
    rb'"ps":(\{.*\})\}',
    re.DOTALL,
)


def _request(raw: bytes) -> Told:
    """Of `ak-ts-sk-ps/1`."""
    wrong = Contradicted("what was signed is no request", "所签内容不是请求")
    found = _REQUEST.fullmatch(raw)
    if found is None:
        raise wrong
    ak, ts, sk, sn, ps = found.groups()
    inner = plain(ps)
    digest = "sm3:" + sm3(canonical(inner["document"])).hex()
    if not ps.startswith(b'{"digest":"%b","document":' % digest.encode()):
        raise Contradicted("what was signed is another document", "所签为另一份单证")
    parts = (ak, ts, sk, ps)
    return Told(b"".join(parts), _signature_of(sn.decode()), sk.decode(), digest, otherwise=_orders(parts))


def _receipt(raw: bytes) -> Told:
    """Of `ak-ts-sk-ps/1`."""
    said = plain(raw)
    rs = said["rs"]
    parts = [part.encode() for part in (said["code"], said["msg"], str(said["ts"]), said["sk"])] + [canonical(rs)]
    signature = _signature_of(said["sn"])
    return Told(b"".join(parts), signature, said["sk"], rs["digest"], rs["accepted"], rs["id"], _orders(parts))


def _signature_of(sn: str) -> bytes:
    """Raises ValueError."""
    return bytes.fromhex(sn) if len(sn) == 128 else base64.b64decode(sn, validate=True)


def _orders(parts: Sequence[bytes]) -> Iterator[bytes]:
    return map(b"".join, itertools.permutations(parts))


# --- checking ---------------------------------------------------------------------------------------------------------


def check(folder: Path, trust: Iterable[str] = ()) -> Result:
    """Everything in the bundle. `trust`: fingerprints of keys that are known from elsewhere. Raises nothing."""
    return checked(lambda: Bundle(folder), trust)


def checked(opened: Callable[[], Bundle], trust: Iterable[str] = ()) -> Result:
    """As `check`."""
    result = Result()
    try:
        _check(opened(), frozenset(trust), result)
    except Contradicted as found:
        result.log.append(Part(CONTRADICTED, found.said["en"], found.said["zh"]))
    except RecursionError:
        result.log.append(Part(CONTRADICTED, "something is nested too deeply", "有内容嵌套过深"))
    return result


def _check(bundle: Bundle, trust: frozenset[str], result: Result) -> None:
    bundle.complete()
    about = _about(bundle)
    _manifest(bundle, about, trust, result)
    note = _note(bundle, "checkpoint")
    entries = _entries(bundle, note)
    count = len(entries)
    result.log.append(
        Part(
            PROVEN if note.size else NOT_PROVEN,
            f"{count} entries are among the {note.size} of the log {note.origin} as it was at {note.at}",
            f"{count} 条属于日志 {note.origin} 在 {note.at} 时的 {note.size} 条之内",
        )
    )
    _signature(about, note, trust, result)
    seen = _witnesses(bundle, about, note, trust, result)
    keys = _Keys(about, entries, trust)
    kept = _Kept(bundle, entries, seen[0])
    jobs: dict[str, list[Entry]] = {}
    for entry in entries:
        jobs.setdefault(entry.job, []).append(entry)
    for job, facts in jobs.items():
        if job.startswith("doc/"):
            result.documents.append(_document(kept, job, facts, keys, seen))
    named = bundle.about.get("documents")
    if named != [document.job for document in result.documents]:
        raise Contradicted("the documents are not those of the manifest", "单证与清单不符")
    if any(part.state != PROVEN for part in result.log):
        for document in result.documents:
            document.parts.append(
                Part(NOT_PROVEN, "the log that it stands in is not proven", "所在日志未得到证明"),
            )


def _about(bundle: Bundle) -> dict[str, Any]:
    """`keys.json`."""
    try:
        about = plain(bundle.read("keys.json"))
        named = [public_key(key) for part in ("log", "witnesses", "receivers") for key in about[part].values()]
        named += [public_key(each["public_key"]) for each in about["enterprise"] if each["sk"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Contradicted("keys.json is not of the form", "keys.json 格式不符") from None
    if not named:
        raise Contradicted("keys.json has no keys", "keys.json 中没有密钥")
    return dict(about)


def _manifest(bundle: Bundle, about: dict[str, Any], trust: frozenset[str], result: Result) -> None:
    digest = sm3(bundle.raw).hex()
    found = re.fullmatch(rb"([0-9a-f]{64}) ([0-9A-Za-z+/]{86}==)\n", bundle.unlisted("manifest.sig"))
    for key in map(public_key, about["log"].values()):
        if found is None or key.fingerprint != found[1].decode():
            continue
        signature = base64.b64decode(found[2])
        if base64.b64encode(signature) == found[2] and key.verifies(pae(bundle.raw, MANIFEST), signature):
            result.log.append(_vouched(key, trust, f"the manifest, SM3 {digest}, is", f"清单（SM3 {digest}）"))
            return
    raise Contradicted("the manifest is not signed by a key of the log", "清单没有日志密钥的签名")


def _vouched(key: PublicKey, trust: frozenset[str], en: str, zh: str) -> Part:
    known = key.fingerprint in trust
    return Part(
        PROVEN if known else NOT_PROVEN,
        f"{en} signed by the log's key {key.fingerprint}" + ("" if known else ", which nobody has vouched for"),
        f"{zh}由日志密钥 {key.fingerprint} 签名" + ("" if known else "，该密钥未经确认"),
    )


def _note(bundle: Bundle, name: str) -> Note:
    try:
        return note_of(bundle.read(name))
    except ValueError:
        raise Contradicted(f"{name} cannot be read", f"{name} 无法读取") from None


def _hashes(bundle: Bundle, name: str) -> list[bytes]:
    """One a line, spelled in the one way."""
    data = bundle.read(name)
    try:
        hashes = [base64.b64decode(line, validate=True) for line in data.split(b"\n")[:-1]]
    except ValueError:
        hashes = []
    if any(len(each) != 32 for each in hashes) or b"".join(base64.b64encode(each) + b"\n" for each in hashes) != data:
        raise Contradicted(f"{name} is not of the form", f"{name} 格式不符")
    return hashes


def _entries(bundle: Bundle, note: Note) -> list[Entry]:
    leaves: list[tuple[int, bytes]] = []
    entries: list[Entry] = []
    for line in _whole_lines(bundle.read("entries.jsonl")):
        entry = entry_of(line)
        if leaves and leaves[-1][0] >= entry.index:
            raise Contradicted("entries out of order", "条目次序不对")
        leaves.append((entry.index, leaf(line)))
        entries.append(entry)
    if leaves and leaves[-1][0] >= note.size:
        raise Contradicted("an entry past the checkpoint", "有条目在检查点之后")
    left = iter(_hashes(bundle, "hashes"))
    try:
        root = root_of(note.size, leaves, left)
    except ValueError:
        raise Contradicted("the proof is not of the form", "证明格式不符") from None
    if root != note.root or next(left, None) is not None:
        raise Contradicted("the entries are not those of the log", "条目与日志的根不符")
    return entries


def _whole_lines(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    if lines.pop():
        raise Contradicted("the last entry is cut off", "最后一条被截断")
    return lines


def _signature(about: dict[str, Any], note: Note, trust: frozenset[str], result: Result) -> None:
    for key in map(public_key, about["log"].values()):
        if signed_by_log(note, key):
            result.log.append(_vouched(key, trust, "the checkpoint is", "检查点"))
            return
    raise Contradicted("the log has not signed the checkpoint", "检查点没有日志的签名")


def _witnesses(
    bundle: Bundle, about: dict[str, Any], note: Note, trust: frozenset[str], result: Result
) -> tuple[int, bool]:
    """How many entries a trusted witness has seen, and whether any witness is trusted."""
    notes = [note]
    if bundle.has("witnessed"):
        earlier = _note(bundle, "witnessed")
        if earlier.origin != note.origin or not grew(
            earlier.root, earlier.size, note.root, note.size, _hashes(bundle, "witnessed.proof")
        ):
            raise Contradicted("the log is not the one that witnesses have seen", "日志不是见证方所见的日志")
        notes.append(earlier)
    size, last = -1, None
    for each in notes:
        for name, text in sorted(about["witnesses"].items()):
            key = public_key(text)
            at = seen_by(each, name, key)
            if at is None or key.fingerprint not in trust:
                continue
            size, last = max(size, each.size), at if last is None else max(last, at)
            result.log.append(
                Part(
                    PROVEN,
                    f"the witness {name} saw its first {each.size} entries at {at:%Y-%m-%d %H:%M:%S} UTC",
                    f"见证方 {name} 于 {at:%Y-%m-%d %H:%M:%S} UTC 见过其前 {each.size} 条",
                )
            )
    if last is None:
        result.log.append(
            Part(
                NOT_PROVEN,
                f"no witness that is trusted here has seen any of its {note.size} entries: whoever has the log's key "
                "may have made it anew",
                f"没有受信任的见证方见过其 {note.size} 条中的任何一条：持有日志密钥者可能重造日志",
            )
        )
        return 0, False
    result.log.append(
        Part(
            PROVEN,
            f"the tail that no witness has seen: {note.size - size} of {note.size} entries, logged after {last} "
            f"and up to {note.at}",
            f"无见证方见过的尾部：{note.size} 条中的 {note.size - size} 条，记于 {last} 之后、{note.at} 之前",
        )
    )
    return size, True


class _Keys:
    """Who may have signed what."""

    def __init__(self, about: dict[str, Any], entries: Iterable[Entry], trust: frozenset[str]) -> None:
        self.trust = trust
        self.receivers = {name: public_key(text) for name, text in about["receivers"].items()}
        self.logged: dict[str, list[PublicKey]] = {}
        """The enterprise's keys by `sk`, as the log has them."""
        self.revoked: dict[str, int] = {}
        """By fingerprint, the entry that says so."""
        self.listed: dict[str, list[PublicKey]] = {}
        for each in about["enterprise"]:
            self.listed.setdefault(str(each["sk"]), []).append(public_key(each["public_key"]))
        for entry in entries:
            if entry.kind == "KeyChanged" and entry.job == "keys":
                try:
                    key = public_key(entry.fact["public_key"])
                    self.logged.setdefault(str(entry.fact["sk"]), []).append(key)
                    if entry.fact["action"] == "revoked":
                        self.revoked[key.fingerprint] = entry.index
                except (ValueError, KeyError, TypeError):
                    raise Contradicted(f"entry {entry.index} names no key", f"第 {entry.index} 条没有密钥") from None

    def enterprise(self, sk: str) -> list[tuple[PublicKey, bool]]:
        """Each with whether it is known to be the enterprise's: the log says so, or who asks."""
        own = [(key, True) for key in self.logged.get(sk, ())]
        return own or [(key, key.fingerprint in self.trust) for key in self.listed.get(sk, ())]


class _Kept:
    """The bodies, and what the log says of those that are gone."""

    def __init__(self, bundle: Bundle, entries: Iterable[Entry], seen: int) -> None:
        self.blob = bundle.blob
        self.images: dict[str, list[tuple[str, Entry]]] = {}
        """By page, each with the entry that names it; none where nobody asked for images."""
        self._erased: dict[str, Entry] = {}
        self._seen = seen
        asked = bundle.about.get("asked")
        without = isinstance(asked, dict) and asked.get("images") == "no"
        for entry in entries:
            try:
                if entry.kind == "Erased" and entry.job == "erasure":
                    self._erased.update((str(digest), entry) for digest in entry.fact["bodies"])
                elif entry.kind == "Snapshot" and entry.fact["image"] is not None and not without:
                    self.images.setdefault(str(entry.fact["page"]), []).append((entry.fact["image"], entry))
            except (KeyError, TypeError):
                raise Contradicted(f"entry {entry.index} is not of the form", f"第 {entry.index} 条格式不符") from None

    def missing(self, digest: str, entry: Entry, en: str, zh: str, *, evidence: bool = False) -> Part:
        """Of a body that the entry names and the bundle lacks. `evidence`: nothing is computed from it."""
        erased = self._erased.get(digest)
        if erased is None or erased.index < entry.index:
            return Part(NOT_PROVEN, f"{en} is not in the bundle: {digest}", f"包中没有{zh}：{digest}")
        by, reason, basis = (erased.fact[name] for name in ("by", "reason", "basis"))
        return Part(
            PROVEN if evidence and erased.index < self._seen else NOT_PROVEN,
            f"{en} was erased on {erased.at[:10]} by {by}: {reason} ({basis}), entry {erased.index}: {digest}",
            f"{zh}已于 {erased.at[:10]} 由 {by} 删除：{reason}（{basis}），第 {erased.index} 条：{digest}",
        )

    def evidence(self, entry: Entry) -> Iterator[Part]:
        """What of the pages that a document was read from is not there."""
        page = entry.fact["page"]
        named = [(page, entry, "the page", "页面"), (entry.fact["provenance"], entry, "the provenance", "取值来源")]
        named += [(image, by, "the image of the page", "页面图像") for image, by in self.images.get(page, ())]
        for digest, by, en, zh in named:
            if self.blob(digest) is None:
                yield self.missing(digest, by, en, zh, evidence=True)


def _document(kept: _Kept, job: str, facts: list[Entry], keys: _Keys, seen: tuple[int, bool]) -> Document:
    made = Document(job)
    try:
        if [entry.position for entry in facts] != list(range(len(facts))) or facts[0].kind != "Draft":
            raise Contradicted("its facts have gaps", "其事实不连续")
        made.parts.append(
            Part(
                PROVEN,
                f"{len(facts)} facts from {facts[0].at} to {facts[-1].at}: "
                + ", ".join(f"{entry.index} {entry.kind}" for entry in facts),
                f"{len(facts)} 条事实，{facts[0].at} 至 {facts[-1].at}："
                + "，".join(f"{entry.index} {entry.kind}" for entry in facts),
            )
        )
        size, any_witness = seen
        late = ", ".join(str(entry.index) for entry in facts if entry.index >= size)
        if late and any_witness:
            made.parts.append(Part(NOT_PROVEN, f"no witness has seen entries {late}", f"无见证方见过第 {late} 条"))
        life = _Life(kept, keys)
        for entry in facts:
            made.parts += life.fact(entry)
    except Contradicted as found:
        made.parts.append(Part(CONTRADICTED, found.said["en"], found.said["zh"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        made.parts.append(Part(CONTRADICTED, "a fact is not of the form", "有事实格式不符"))
    return made


class _Life:
    """One document's facts, in order."""

    def __init__(self, kept: _Kept, keys: _Keys) -> None:
        self.kept = kept
        self.keys = keys
        self.document = ""
        """The bytes in force."""
        self.approved = ""
        self.envelopes: dict[str, str] = {}
        """The document in each."""

    def fact(self, entry: Entry) -> Iterator[Part]:
        fact = entry.fact
        if entry.kind == "Draft":
            self.document = fact["document"]
            yield self._body(entry, "the document", "单证")
            yield from self.kept.evidence(entry)
        elif entry.kind == "Excluded":
            self._same(fact["before"], entry)
            self.document, self.approved = fact["document"], ""
            yield self._body(entry, "the document without what was left out", "去除部分内容后的单证")
        elif entry.kind in ("Verdict", "Approval", "Endorsed", "Held", "Released", "Envelope"):
            self._same(fact["document"], entry)
            if entry.kind == "Approval":
                self.approved = self.document if fact["granted"] else ""
                yield Part(
                    PROVEN,
                    f"{'approved' if self.approved else 'declined'} by {fact['by']}, entry {entry.index}",
                    f"由 {fact['by']} {'批准' if self.approved else '拒绝'}，第 {entry.index} 条",
                )
            elif entry.kind == "Released":
                self.approved = ""
            elif entry.kind == "Envelope":
                yield from self._signed(entry)
        elif entry.kind in ("Attempt", "Delivered", "Retry", "DeadLetter", "Receipt"):
            if fact["envelope"] not in self.envelopes:
                raise Contradicted(
                    f"entry {entry.index} is about what was never signed", f"第 {entry.index} 条所指内容从未签名"
                )
            if entry.kind == "Receipt":
                yield self._receipt(entry)

    def _body(self, entry: Entry, en: str, zh: str) -> Part:
        digest = self.document
        if self.kept.blob(digest) is None:
            return self.kept.missing(digest, entry, en, zh)
        return Part(PROVEN, f"{en} is the one of the log: {digest}", f"{zh}与日志一致：{digest}")

    def _same(self, document: str, entry: Entry) -> None:
        if document != self.document:
            raise Contradicted(
                f"entry {entry.index} is about other bytes than those in force",
                f"第 {entry.index} 条所指内容不是当时有效的内容",
            )

    def _signed(self, entry: Entry) -> Iterator[Part]:
        fact = entry.fact
        self.envelopes[fact["envelope"]] = fact["document"]
        if self.approved != self.document:
            yield Part(NOT_PROVEN, "it was signed without an approval before", "签名之前没有批准")
        raw = self.kept.blob(fact["envelope"])
        if raw is None:
            yield self.kept.missing(fact["envelope"], entry, "what was signed", "所签内容")
        elif fact["profile"] == "ak-ts-sk-ps/1":
            yield _vouched_request(_request(raw), entry, self.keys)
        else:
            try:
                told = _xml_request(raw)
            except ValueError:
                yield Part(
                    NOT_PROVEN,
                    f"what was signed is not in the canonical form of {fact['profile']}",
                    f"所签内容不是 {fact['profile']} 的规范形式",
                )
            else:
                yield _vouched_request(told, entry, self.keys)

    def _receipt(self, entry: Entry) -> Part:
        fact = entry.fact
        raw = self.kept.blob(fact["receipt"])
        if raw is None:
            return self.kept.missing(fact["receipt"], entry, "the receipt", "回执")
        try:
            told = _receipt(raw) if raw.startswith(b"{") else _xml_receipt(raw)
        except ValueError:
            if raw.startswith(b"{"):
                raise
            return Part(
                NOT_PROVEN, "a receipt of another profile, or not in canonical form", "其他格式或非规范形式的回执"
            )
        return _vouched_receipt(told, fact, self.envelopes[fact["envelope"]], self.keys)


def _vouched_request(told: Told, entry: Entry, keys: _Keys) -> Part:
    if (told.key_index, told.digest) != (entry.fact["key_index"], entry.fact["document"]):
        raise Contradicted("what was signed is another document", "所签为另一份单证")
    candidates = keys.enterprise(told.key_index)
    for key, known in candidates:
        if key.verifies(told.message, told.signature):
            void = keys.revoked.get(key.fingerprint, entry.index) < entry.index
            return Part(
                PROVEN if known and not void else NOT_PROVEN,
                f"signed by the enterprise's key {told.key_index}, {key.fingerprint}"
                + ("" if known else ", which nobody has vouched for")
                + (", which had been revoked" if void else ""),
                f"由企业密钥 {told.key_index} 签名，{key.fingerprint}"
                + ("" if known else "，该密钥未经确认")
                + ("，该密钥此前已被吊销" if void else ""),
            )
    return _ordered_otherwise(
        told, (key for key, _ in candidates), "the enterprise's signature does not hold", "企业签名不成立"
    )


def _vouched_receipt(told: Told, fact: dict[str, Any], document: str, keys: _Keys) -> Part:
    for key in keys.receivers.values():
        if key.verifies(told.message, told.signature):
            if (told.accepted, told.digest, told.id) != (fact["accepted"], document, fact["remote_id"]):
                raise Contradicted("the receipt says otherwise than the log", "回执与日志不符")
            known = key.fingerprint in keys.trust
            return Part(
                PROVEN if known else NOT_PROVEN,
                f"the receiver {'took' if told.accepted is True else 'refused'} it, by its key {told.key_index}, "
                f"{key.fingerprint}" + ("" if known else ", which nobody has vouched for"),
                f"接收方已{'接受' if told.accepted is True else '拒绝'}，密钥 {told.key_index}，{key.fingerprint}"
                + ("" if known else "，该密钥未经确认"),
            )
    if not any(name.rpartition("/")[2] == told.key_index for name in keys.receivers):
        return Part(
            NOT_PROVEN,
            f"a receipt by a key {told.key_index} of the receiver that is not in the bundle",
            f"回执由接收方密钥 {told.key_index} 签名，导出包中没有该密钥",
        )
    return _ordered_otherwise(
        told, keys.receivers.values(), "the receiver's signature does not hold", "接收方签名不成立"
    )


def _ordered_otherwise(told: Told, keys: Iterable[PublicKey], en: str, zh: str) -> Part:
    """Not proven: in an order that anybody may choose, what stands in one part could be taken for another.

    Raises:
        Contradicted: the signature holds in no order.
    """
    orders = list(told.otherwise)
    if any(key.verifies(message, told.signature) for key in keys for message in orders):
        return Part(NOT_PROVEN, "a signature over its parts in another order", "签名所覆盖的各部分次序不同")
    raise Contradicted(en, zh)


# --- telling ----------------------------------------------------------------------------------------------------------

_WORDS = {
    "en": {PROVEN: "proven", NOT_PROVEN: "not proven", CONTRADICTED: "CONTRADICTED", "log": "the log"},
    "zh": {PROVEN: "已证明", NOT_PROVEN: "未证明", CONTRADICTED: "相矛盾", "log": "日志"},
}


def told(result: Result, lang: str, *, all: bool) -> Iterator[str]:
    """Lines for a person. `all`: each part of each document, not only those that are not proven."""
    words = _WORDS[lang]
    yield f"{words[result.state]}"
    for part in result.log:
        yield f"  {words[part.state]}: {getattr(part, lang)}"
    for document in result.documents:
        yield f"{words[document.state]}  {document.job}"
        for part in document.parts:
            if all or part.state != PROVEN:
                yield f"  {words[part.state]}: {getattr(part, lang)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--trust", action="append", default=[], metavar="FINGERPRINT")
    parser.add_argument("--lang", choices=("en", "zh"), default="en")
    parser.add_argument("--all", action="store_true", help="every part of every document")
    asked = parser.parse_args()
    result = check(asked.folder, (each.lower() for each in asked.trust))
    for line in told(result, asked.lang, all=asked.all):
        print("".join(c if c.isprintable() else "\ufffd" for c in line))
    return {PROVEN: 0, CONTRADICTED: 1, NOT_PROVEN: 2}[result.state]


if __name__ == "__main__":
    sys.exit(main())
