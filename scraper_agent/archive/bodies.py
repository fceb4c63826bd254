"""Bodies as they lie in the archive's file: each encrypted with a key of its own, so that erasing the key erases it.

A body is deflated where that makes it shorter, and encrypted by GCM under a key drawn for it alone; its name and its
size are covered by the tag. The key stands in a table of the same file, for the two are one commit: no crash leaves a
body without its key, and no second file has to be waited for.

A body's name is the SM3 of its bytes, or, where nobody else has to know it by that, of `HEAD`, a salt and its bytes.
The salt goes with the key: then no guess at the bytes can be tried against the name, which the log has for ever.
"""

from __future__ import annotations

import secrets
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from scraper_agent import canonical, gcm
from scraper_agent.archive import ratchet

LIMIT_BYTES = 512 << 20
HEAD = b"scraper-agent-salted-evidence/1\n"
SALT_BYTES = 32
BEFORE_BYTES = len(HEAD) + SALT_BYTES
"""Of what is salted, as `shown` gives it."""

TABLES = (
    # `size` is of the plain bytes; `data`: see `sealed`.
    "CREATE TABLE blobs (digest BLOB NOT NULL UNIQUE, size INTEGER NOT NULL, data BLOB NOT NULL) STRICT",
)
KEYS = (
    # Of each body. Nothing is left of a row that was deleted, nor of what it encrypted. Of a body whose name has a
    # salt also that, and `same`, by which equal bytes are found again: HMAC-SM3 under the archive's own secret.
    """CREATE TABLE keys (
        digest BLOB PRIMARY KEY,
        cipher TEXT NOT NULL,
        key BLOB NOT NULL,
        salt BLOB,
        same BLOB UNIQUE
    ) STRICT, WITHOUT ROWID""",
    "CREATE TABLE secret (id INTEGER PRIMARY KEY CHECK (id = 1), key BLOB NOT NULL) STRICT",
)

_ROWS = """SELECT b.digest, b.size, b.data, nullif(k.cipher, 'none'), k.key, k.salt
    FROM blobs b LEFT JOIN keys k ON k.digest = b.digest"""
_PLAIN_ROWS = "SELECT b.digest, b.size, b.data, 'none', x'', NULL FROM blobs b"
"""Of archives before there were keys."""
_COVERED = b"scraper-agent-body/1"

Row: TypeAlias = tuple[Any, Any, Any, Any, Any, Any]
"""Digest, size, data, cipher, key and salt, as they stand there; cipher and key are None where the key is missing."""


def prepare(db: sqlite3.Connection) -> None:
    for statement in KEYS:
        db.execute(statement)
    db.execute("INSERT INTO secret VALUES (1, ?)", (secrets.token_bytes(32),))


def known(db: sqlite3.Connection, data: bytes, *, salted: bool) -> tuple[bytes | None, bytes]:
    """The name of a body that is there, and what it is found by: its own name, or `same`.

    Raises:
        sqlite3.Error: the file cannot be read, or has lost its secret.
    """
    if salted:
        own = db.execute("SELECT key FROM secret").fetchone()
        if own is None:
            raise sqlite3.DatabaseError("the table `secret` is empty")
        mark = ratchet.hmac(own[0], data)
        query = "SELECT digest FROM keys JOIN blobs USING (digest) WHERE same = ?"
    else:
        mark, query = canonical.sm3(data), "SELECT digest FROM blobs WHERE digest = ?"
    found = db.execute(query, (mark,)).fetchone()
    return (None if found is None else found[0]), mark


def keep(db: sqlite3.Connection, data: bytes, mark: bytes, cipher: gcm.Name, *, salted: bool) -> bytes:
    """Add a body that is not there, under a new key. `mark`: see `known`. Returns its name."""
    salt = secrets.token_bytes(SALT_BYTES) if salted else None
    digest = mark if salt is None else name(data, salt)
    key = secrets.token_bytes(gcm.KEY_BYTES[cipher])
    stored = sealed(digest, len(data), pack(data), cipher, key)
    db.execute("INSERT INTO blobs VALUES (?, ?, ?)", (digest, len(data), stored))
    # A key that was left behind, which `log verify` names, is in nobody's way.
    row = (digest, cipher, key, salt, mark if salted else None)
    db.execute("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?)", row)
    return digest


def name(data: bytes, salt: bytes | None) -> bytes:
    """What a body is called in the facts, 32 bytes."""
    return canonical.sm3(shown(data, salt))


def shown(data: bytes, salt: bytes | None) -> bytes:
    """What gives the body's name by SM3, for whoever shall check that."""
    return data if salt is None else HEAD + salt + data


def row(db: sqlite3.Connection, digest: bytes, *, plain: bool = False) -> Row | None:
    """As it stands there. `plain`: in an archive before there were keys."""
    found: Row | None = db.execute(f"{_PLAIN_ROWS if plain else _ROWS} WHERE b.digest = ?", (digest,)).fetchone()
    return found


def rows(db: sqlite3.Connection, *, plain: bool = False) -> Iterator[Row]:
    return iter(db.execute(_PLAIN_ROWS if plain else _ROWS))


def strays(db: sqlite3.Connection) -> Iterator[object]:
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
    prepare(db)
    for (number,) in db.execute("SELECT rowid FROM blobs").fetchall():
        digest, size, data = db.execute("SELECT digest, size, data FROM blobs WHERE rowid = ?", (number,)).fetchone()
        key = secrets.token_bytes(gcm.KEY_BYTES[cipher])
        stored = sealed(digest, size, data, cipher, key)
        db.execute("UPDATE blobs SET data = ? WHERE rowid = ?", (stored, number))
        db.execute("INSERT INTO keys VALUES (?, ?, ?, NULL, NULL)", (digest, cipher, key))


def sealed(
    digest: bytes, size: int, packed: bytes, cipher: gcm.Name, key: bytes, iv: bytes | None = None
) -> bytes:  # fmt: skip
    """Initial value, ciphertext and tag, joined. `iv`: drawn by chance, unless a vector gives it."""
    iv = secrets.token_bytes(gcm.IV_BYTES) if iv is None else iv
    return b"".join((iv, *gcm.encrypt(cipher, key, iv, packed, _covered(digest, size))))


def opened(found: Row) -> bytes | None:
    """The bytes of a body, its name unchecked; None if they, or the key, were changed or are missing."""
    digest, size, data, cipher, key, salt = found
    if not all(isinstance(each, bytes) for each in (digest, data, salt or b"")) or not isinstance(size, int):
        return None  # a flipped bit makes a NULL of a blob, whatever the table says
    if cipher == "none":
        return unpack(size, data)
    if not isinstance(key, bytes) or not 0 <= size <= LIMIT_BYTES or len(data) < gcm.IV_BYTES + gcm.TAG_BYTES:
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


def unpack(size: object, data: object) -> bytes | None:
    """The inverse of `pack`; None if `data` cannot be a blob of `size` bytes. Never makes more than that."""
    if not isinstance(size, int) or not isinstance(data, bytes):
        return None  # a flipped bit makes a NULL of a blob, whatever the table says
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
