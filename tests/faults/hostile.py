"""Answers that prove nothing, in families, made from a good one; and a receiver on a raw socket that gives them."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import random
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

from scraper_agent import canonical, envelope
from scraper_agent.signing import keyfile, sm2
from tests.wire import Recorder
from tests.world import NOW

Said = bytes | Callable[[socket.socket], None]
"""The whole of what a connection is answered with, or what is done with the connection."""


@dataclass(frozen=True)
class Case:
    name: str
    said: Said


class Key:
    def __init__(self, key_index: str = "01") -> None:
        self.key_index = key_index
        self._d = keyfile.generate().d
        self.public_key = sm2.derive_public(self._d)

    def sign(self, message: bytes) -> bytes:
        return sm2.sign(self._d, self.public_key, message)


@dataclass(frozen=True)
class Good:
    """A true receipt, and what it takes to make one of something else."""

    receipt: bytes
    key: Key
    stranger: Key

    @property
    def told(self) -> dict[str, Any]:
        return json.loads(self.receipt)  # type: ignore[no-any-return]

    def signed(self, signer: Key | None = None, **rs: object) -> bytes:
        """Well signed, with this said of another."""
        told = self.told
        answer = envelope.Answer(code=told["code"], msg=told["msg"], **(told["rs"] | rs))
        return envelope.build_receipt(answer, signer or self.key, NOW)


def answered(body: bytes, status: object = "200 OK", *headers: str, length: int | None = None) -> bytes:
    told = [f"Content-Length: {len(body) if length is None else length}", *headers, "Connection: close", "", ""]
    return "\r\n".join([f"HTTP/1.1 {status}", *told]).encode("latin-1") + body


# --- the families ---------------------------------------------------------------------------------------------------


def junk(good: Good) -> Iterator[Case]:
    rng = random.Random(6)
    bodies = [b"", b" ", b"null", b"true", b"0", b'""', b"[]", b"{}", b"OK", b"\x00" * 100, b"{", b"[" * 99, b"NaN"]
    bodies += [b"<html>portal</html>", b'<?xml version="1.0"?><ok/>', b'{"code":"0000"}', b'{"rs":{"accepted":true}}']
    bodies += [b"[%b]" % good.receipt, b'"%b"' % good.receipt.replace(b'"', b'\\"'), good.receipt[::-1]]
    bodies += [rng.randbytes(size) for size in (1, 10, 100, 1000, 60_000)]
    for number, body in enumerate(bodies):
        yield Case(f"junk {number}", answered(body))


def truncated(good: Good) -> Iterator[Case]:
    size = len(good.receipt)
    for end in range(0, size, size // 18):
        yield Case(f"first {end}", answered(good.receipt[:end]))
        yield Case(f"without the first {size - end}", answered(good.receipt[size - end :]))


def changed(good: Good) -> Iterator[Case]:
    """Every member, by every way to change one, the signature left as it is."""
    for path in (*((name,) for name in good.told), *(("rs", name) for name in good.told["rs"])):
        for how, value in (("gone", None), ("null", None), ("number", 7), ("list", ["0000"]), ("text", "0001")):
            told = good.told
            holder = told if len(path) == 1 else told["rs"]
            if how == "gone":
                del holder[path[-1]]
            else:
                holder[path[-1]] = value
            yield Case(f"{'.'.join(path)} {how}", answered(json.dumps(told).encode()))
    for extra in ({"x": 1}, {"": ""}):
        yield Case(f"more {extra}", answered(json.dumps(good.told | extra).encode()))
        yield Case(f"more of rs {extra}", answered(json.dumps(good.told | {"rs": good.told["rs"] | extra}).encode()))
    flipped = good.told["rs"] | {"accepted": False}
    yield Case("accepted flipped", answered(json.dumps(good.told | {"rs": flipped}).encode()))


def of_another(good: Good) -> Iterator[Case]:
    """Well signed; of another document, or by another key."""
    key, digest = canonical.sm3(b"other").hex(), canonical.digest(b"other")
    yield Case("other key", answered(good.signed(key=key)))
    yield Case("other digest", answered(good.signed(digest=digest)))
    yield Case("other key and digest", answered(good.signed(key=key, digest=digest)))
    yield Case("no key", answered(good.signed(key="")))
    yield Case("no digest", answered(good.signed(digest="")))
    yield Case("key in capitals", answered(good.signed(key=good.told["rs"]["key"].upper())))
    yield Case("digest of another sort", answered(good.signed(digest=good.told["rs"]["digest"].replace("sm3", "sha"))))
    yield Case("refused, of another", answered(good.signed(key=key, accepted=False), "422 Unprocessable"))
    yield Case("a stranger's signature", answered(good.signed(good.stranger)))
    unknown = good.told | {"sk": "99"}
    yield Case("unknown key index", answered(json.dumps(unknown).encode()))


def signatures(good: Good) -> Iterator[Case]:
    """The same signature, or none, in every other spelling."""
    sn = good.told["sn"]
    raw = base64.b64decode(sn)
    r, s = raw[:32], raw[32:]
    der = b"\x30\x44\x02\x20" + r + b"\x02\x20" + s
    order = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
    minus = (order - int.from_bytes(s, "big")).to_bytes(32, "big")
    forms: list[Any] = [raw.hex(), raw.hex().upper(), sn.rstrip("="), sn + "=", sn + "\n", " " + sn, "", "A", sn[:-4]]
    forms += [base64.urlsafe_b64encode(b"\xff" * 64).decode(), base64.b64encode(der).decode(), der.hex(), [sn], None]
    forms += [base64.b64encode(each).decode() for each in (s + r, r + minus, bytes(64), b"\xff" * 64, r, raw + b"\0")]
    forms += [base64.b64encode(b"\x04" + raw).decode(), "=" * 88, "中" * 40, sn.swapcase()]
    for number, form in enumerate(forms):
        yield Case(f"sn {number}", answered(json.dumps(good.told | {"sn": form}).encode()))


def spellings(good: Good) -> Iterator[Case]:
    """Bytes that two parsers may read differently, or that are too many."""
    text = good.receipt.decode()
    yield Case("code twice", answered(('{"code":"0000",' + text[1:]).encode()))
    yield Case("accepted twice", answered(text.replace('"accepted":', '"accepted":false,"accepted":').encode()))
    yield Case("rs twice", answered((text[:-1] + ',"rs":{}}').encode()))
    yield Case("BOM", answered(b"\xef\xbb\xbf" + good.receipt))
    for code in ("utf-16", "utf-16-le", "utf-32", "utf-7", "gbk"):
        if code != "gbk":
            yield Case(code, answered(text.encode(code) if code != "utf-7" else b"+" + text.encode(code)))
        else:
            yield Case(code, answered(text.replace("已接收", "已接收了").encode("gbk")))
    yield Case("lone surrogate", answered(json.dumps(good.told | {"msg": "\ud800"}).encode()))
    yield Case(
        "lone surrogate in rs", answered(json.dumps(good.told | {"rs": good.told["rs"] | {"id": "\udfff"}}).encode())
    )
    yield Case("NUL in msg", answered(json.dumps(good.told | {"msg": "\0"}).encode()))
    for number in ("1e3", "1.0", "-1", "NaN", "Infinity", "9" * 19, "9" * 5000, "0x10", "01", "1_000", "true"):
        yield Case(f"ts {number[:20]}", answered(text.replace(f'"ts":{good.told["ts"]}', f'"ts":{number}').encode()))
    for depth in (1000, 30_000):
        yield Case(f"{depth} deep", answered(b'{"code":' + b"[" * depth + b"]" * depth + b"}"))
        yield Case(f"{depth} deep objects", answered(b'{"a":' * (depth // 6) + b"1" + b"}" * (depth // 6)))
    yield Case("more behind", answered(good.receipt + b"{}"))
    yield Case("twice", answered(good.receipt * 2))
    yield Case("comment", answered(b"/**/" + good.receipt))
    yield Case("comma", answered(good.receipt[:-1] + b",}"))
    yield Case("one quote", answered(good.receipt.replace(b'"', b"'")))
    yield Case("long msg", answered(json.dumps(good.told | {"msg": "x" * 5000}).encode()))
    for size in (66_000, 5_000_000):
        yield Case(f"{size} bytes", answered(good.receipt + b" " * size))


def statuses(good: Good) -> Iterator[Case]:
    """Of every class; where the status itself says that it is no answer, with a good receipt as its body."""
    known = sorted({status.value for status in HTTPStatus} | {199, 299, 399, 420, 444, 499, 520, 530, 598, 599})
    for status in known:
        told = "101 Switching" if status == 101 else f"{status} Said"
        for what, body in (("nothing", b""), ("html", b"<html>no</html>")):
            yield Case(f"{status} with {what}", answered(body, told, "Location: /x", "Retry-After: 1"))
    for status in (300, 301, 302, 303, 307, 308, 408, 425, 429, 500, 501, 502, 503, 504, 599):
        yield Case(
            f"{status} with a receipt", answered(good.receipt, f"{status} Said", "Location: http://127.0.0.1:9/")
        )


def encodings(good: Good) -> Iterator[Case]:
    packed = {
        "gzip": gzip.compress(good.receipt),
        "deflate": zlib.compress(good.receipt),
        "br": b"\x8b\x03\x80" + good.receipt + b"\x03",
        "zstd": b"\x28\xb5\x2f\xfd" + good.receipt,
        "gzip, gzip": gzip.compress(gzip.compress(good.receipt)),
    }
    for name, body in packed.items():
        yield Case(name, answered(body, "200 OK", f"Content-Encoding: {name}"))
    for name, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        bomb = pack(bytes(16_000_000))
        yield Case(f"{name} bomb", answered(bomb, "200 OK", f"Content-Encoding: {name}"))
        yield Case(f"{name} bomb, broken", answered(bomb[:-9] + b"?" * 9, "200 OK", f"Content-Encoding: {name}"))
        yield Case(f"{name} bomb in transfer", answered(bomb, "200 OK", f"Transfer-Encoding: {name}, chunked"))


def framings(good: Good) -> Iterator[Case]:
    """No HTTP, or not quite."""
    receipt, size = good.receipt, len(good.receipt)
    yield Case("nothing at all", b"")
    yield Case("HTTP/0.9", receipt)
    yield Case("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n")
    yield Case("TLS", b"\x15\x03\x03\x00\x02\x02\x28")
    yield Case("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    yield Case("length too short", answered(receipt, length=size - 10))
    yield Case("length too long", answered(receipt, length=size + 10))
    for length in ("-1", "+5", "1e3", "0x10", "9" * 30, "", f"{size}, {size - 1}"):
        yield Case(
            f"length {length[:9]!r}",
            answered(receipt).replace(b"Content-Length: %d" % size, b"Content-Length: " + length.encode()),
        )
    yield Case("two lengths", answered(receipt, "200 OK", f"Content-Length: {size - 1}"))
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    for name, body in (
        ("no size", b"zz\r\n" + receipt),
        ("huge size", b"f" * 30 + b"\r\n" + receipt),
        ("negative size", b"-5\r\n" + receipt),
        ("no end", b"%x\r\n" % size + receipt),
        ("wrong size", b"%x\r\n" % (size - 3) + receipt + b"\r\n0\r\n\r\n"),
        ("endless extension", b"1;" + b"x" * 200_000),
    ):
        yield Case(f"chunks: {name}", chunked + body)
    for line in (
        b"HTTP/1.1 abc OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 20",
        b"HTTP/9.9 200 OK",
        b"200 OK",
        b" HTTP/1.1 200",
        b"\x00",
    ):
        yield Case(f"first line {line!r}", line + b"\r\nContent-Length: 2\r\n\r\n{}")
    for header in (
        "X" * 200_000,
        ": x",
        "X : y",
        "X\x00: y",
        "\x01",
        *(["\r\n".join(f"H{i}: x" for i in range(20_000))]),
    ):
        yield Case(f"header {header[:9]!r}", answered(b"{}", "200 OK", header))
    # The second one may be heard by whoever asks next on that connection; a verified receipt would rightly count.
    yield Case("two answers", answered(b"{}").replace(b"Connection: close\r\n", b"") + answered(b"[]"))
    yield Case("interim, then nothing", b"HTTP/1.1 103 Early\r\n\r\n" * 3)
    yield Case("upgraded", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + receipt)
    yield Case("reset", reset)
    yield Case("reset in the middle", lambda line: reset(line, answered(receipt)[:-20]))


def slow(good: Good) -> Iterator[Case]:
    """To be waited for with small patience only."""
    head = answered(b"", "200 OK", length=len(good.receipt))
    yield Case("silence", lambda line: _drip(line, b"", b""))
    yield Case("a head alone", lambda line: _drip(line, head, b""))
    yield Case("a body byte by byte", lambda line: _drip(line, head, b" "))
    yield Case("a head byte by byte", lambda line: _drip(line, b"HTTP/1.1 200 OK\r\nX: ", b"y"))
    yield Case("interim answers for ever", lambda line: _drip(line, b"", b"HTTP/1.1 103 Early\r\n\r\n"))
    yield Case("half a body, then silence", lambda line: _drip(line, head + good.receipt[:99], b""))
    yield Case("an endless body", lambda line: _drip(line, head.replace(b"Content-Length", b"X"), b"{" * 500))


FAMILIES = (junk, truncated, changed, of_another, signatures, spellings, statuses, encodings, framings, slow)


def reset(line: socket.socket, first: bytes = b"") -> None:
    line.sendall(first)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _drip(line: socket.socket, first: bytes, piece: bytes) -> None:
    """Until the other side has had enough."""
    line.sendall(first)
    line.settimeout(0.02)
    while True:
        if piece:
            line.sendall(piece)
        with contextlib.suppress(TimeoutError):
            if not line.recv(1):
                return


# --- the receiver ---------------------------------------------------------------------------------------------------


class Receiver:
    """Keeps every document it is sent, and answers with its true receipt, or with `said` if there is one."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.said: Said | None = None
        self.receipts: dict[str, bytes] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/receive"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._attend, args=(line,), daemon=True).start()

    def _attend(self, line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            lines, body, _ = Recorder()._request(line, b"")
            key = self._kept(body) if body else lines[0].split(b" ")[1].rpartition(b"/")[2].decode()
            if callable(self.said):
                self.said(line)
            elif self.said is not None:
                line.sendall(self.said)
            elif key in self.receipts:
                line.sendall(answered(self.receipts[key]))
            else:
                line.sendall(answered(envelope.absence(key), "404 Not Found"))

    def _kept(self, body: bytes) -> str:
        request = envelope.read_request(body)
        if request.key not in self.receipts:
            answer = envelope.Answer(
                code="0000", msg="已接收", key=request.key, digest=request.digest, accepted=True, id="1"
            )
            self.receipts[request.key] = envelope.build_receipt(answer, self.key, NOW)
        return request.key
