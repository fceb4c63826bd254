"""Bodies as they lie in the archive's file: each encrypted with a key of its own, so that erasing the key erases it.

A body is deflated where that makes it shorter, and encrypted by GCM under a key drawn for it alone; what it is
called, the SM3 of its plain bytes, and its size are covered by the tag. The key stands in a table of the same file, for
the two are one commit: no crash leaves a body without its key, and no second file has to be waited for.
"""

from __future__ import annotations

import secrets
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from scraper_agent import gcm

LIMIT_BYTES = 512 << 20

TABLES = (
    # `size` is of the plain bytes; `data`: see `sealed`.
    "CREATE TABLE blobs (digest BLOB NOT NULL UNIQUE, size INTEGER NOT NULL, data BLOB NOT NULL) STRICT",
)
KEYS = (
    # Of each body. Nothing is left of a row that was deleted, nor of what it encrypted.
    """CREATE TABLE keys (
        digest BLOB PRIMARY KEY,
        cipher TEXT NOT NULL,
        key BLOB NOT NULL
    ) STRICT, WITHOUT ROWID""",
)

_ROWS = """SELECT b.digest, b.size, b.data, nullif(k.cipher, 'none'), k.key
    FROM blobs b LEFT JOIN keys k ON k.digest = b.digest"""
_PLAIN_ROWS = "SELECT b.digest, b.size, b.data, 'none', x'' FROM blobs b"
"""Of archives before there were keys."""
_COVERED = b"scraper-agent-body/1"

Row: TypeAlias = tuple[bytes, int, bytes, str | None, bytes | None]
"""Digest, size, data, cipher and key; the last two are None where the key is missing."""


def keep(db: sqlite3.Connection, digest: bytes, data: bytes, cipher: gcm.Name) -> None:
    """Add a body that is not there, under a new key. `digest`: 32 bytes."""
    key = secrets.token_bytes(gcm.KEY_BYTES[cipher])
    stored = sealed(digest, len(data), pack(data), cipher, key)
    db.execute("INSERT INTO blobs VALUES (?, ?, ?)", (digest, len(data), stored))
    # A key that was left behind, which `log verify` names, is in nobody's way.
    db.execute("INSERT OR REPLACE INTO keys VALUES (?, ?, ?)", (digest, cipher, key))


def row(db: sqlite3.Connection, digest: bytes, *, plain: bool = False) -> Row | None:
    """As it stands there. `plain`: in an archive before there were keys."""
    found: Row | None = db.execute(f"{_PLAIN_ROWS if plain else _ROWS} WHERE b.digest = ?", (digest,)).fetchone()
    return found


def rows(db: sqlite3.Connection, *, plain: bool = False) -> Iterator[Row]:
    return iter(db.execute(_PLAIN_ROWS if plain else _ROWS))


def strays(db: sqlite3.Connection) -> Iterator[bytes]:
    """Keys of bodies that are not there."""
    for (digest,) in db.execute("SELECT digest FROM keys WHERE digest NOT IN (SELECT digest FROM blobs)"):
        yield digest


def delete(db: sqlite3.Connection, digests: Iterable[bytes]) -> None:
    """The keys first: without them nothing that is left of a body anywhere can be read."""
    named = [(digest,) for digest in digests]
    db.executemany("DELETE FROM keys WHERE digest = ?", named)
    db.executemany("DELETE FROM blobs WHERE digest = ?", named)


def encrypt_all(db: sqlite3.Connection, cipher: gcm.Name) -> None:
    """What was kept plain, before there were keys; in the caller's transaction."""
    for statement in KEYS:
        db.execute(statement)
    for (number,) in db.execute("SELECT rowid FROM blobs").fetchall():
        digest, size, data = db.execute("SELECT digest, size, data FROM blobs WHERE rowid = ?", (number,)).fetchone()
        key = secrets.token_bytes(gcm.KEY_BYTES[cipher])
        stored = sealed(digest, size, data, cipher, key)
        db.execute("UPDATE blobs SET data = ? WHERE rowid = ?", (stored, number))
        db.execute("INSERT INTO keys VALUES (?, ?, ?)", (digest, cipher, key))


def sealed(
    digest: bytes, size: int, packed: bytes, cipher: gcm.Name, key: bytes, iv: bytes | None = None
) -> bytes:  # fmt: skip
    """Initial value, ciphertext and tag, joined. `iv`: drawn by chance, unless a vector gives it."""
    iv = secrets.token_bytes(gcm.IV_BYTES) if iv is None else iv
    return b"".join((iv, *gcm.encrypt(cipher, key, iv, packed, _covered(digest, size))))


def opened(found: Row) -> bytes | None:
    """The bytes of a body, their digest unchecked; None if they, or the key, were changed or are missing."""
    digest, size, data, cipher, key = found
    if cipher == "none":
        return unpack(size, data)
    if key is None or not 0 <= size <= LIMIT_BYTES or len(data) < gcm.IV_BYTES + gcm.TAG_BYTES:
        return None
    iv, body, tag = data[: gcm.IV_BYTES], memoryview(data)[gcm.IV_BYTES : -gcm.TAG_BYTES], data[-gcm.TAG_BYTES :]
    match cipher:
        case ("aes-256-gcm" | "sm4-gcm") as name if len(key) == gcm.KEY_BYTES[name]:
            packed = gcm.decrypt(name, key, iv, body, tag, _covered(digest, size))
        case _:
            packed = None
    return None if packed is None else unpack(size, packed)


def _covered(digest: bytes, size: int) -> bytes:
    return _COVERED + digest + size.to_bytes(8, "big")


def pack(data: bytes) -> bytes:
    """`data` as it is stored: deflated where that makes it shorter."""
    # What does not shrink in its first 64 KiB (an image, an archive) is not worth the time for the rest.
    if len(zlib.compress(data[:65536], 1)) > 0.9 * len(data[:65536]):
        return data
    packed = zlib.compress(data, 1)
    return packed if len(packed) < len(data) else data


def unpack(size: int, data: bytes) -> bytes | None:
    """The inverse of `pack`; None if `data` cannot be a blob of `size` bytes. Never makes more than that."""
    if len(data) == size:
        return data
    if not len(data) < size <= LIMIT_BYTES:
        return None
    inflate = zlib.decompressobj()
    try:
        whole = inflate.decompress(data, size)
    except zlib.error:
        return None
    return whole if len(whole) == size else None
