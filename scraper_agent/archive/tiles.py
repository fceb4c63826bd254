"""Tiles of the tree: what is complete of it, 256 hashes wide, so that a proof reads a few rows and no entries.

Level 0 has the hashes of 256 entries, level 1 those of 256 tiles of level 0, and so on, as C2SP `tlog-tiles` has them;
after these 8,192 bytes follow the hashes between a tile and the one above it, so that none has to be made again.

Tiles are derived: made with the entry that completes them, in the same commit, and remade from the rows by
`log reindex`. Nothing is decided by them: what a witness is shown or asked is made of the rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache

from scraper_agent import merkle

WIDTH, HEIGHT = 256, 8
TABLE = """CREATE TABLE tiles (
    level INTEGER NOT NULL, idx INTEGER NOT NULL, hashes BLOB NOT NULL, PRIMARY KEY (level, idx)
) STRICT"""

_BYTES = (2 * WIDTH - 2) * merkle.HASH_BYTES
_BEGIN = [(2 * WIDTH - (2 * WIDTH >> height)) for height in range(HEIGHT)]
"""Where in a tile the hashes of each height begin."""
_KEPT = 64
_OF_ROWS = 1 << 17
"""So many roots are kept that no tile has; each is needed again for the next larger one."""


def tile(hashes: Sequence[bytes]) -> tuple[bytes, bytes]:
    """A tile of 256 hashes, and its root."""
    *levels, (root,) = merkle.complete(hashes)
    return b"".join(each for level in levels for each in level), root


class Growing:
    """Told of every entry in turn, gives the tiles that it completes; keeps no more than an unfinished tile a level."""

    def __init__(self) -> None:
        self._open: list[list[bytes]] = []
        self._done: list[int] = []

    def add(self, leaves: Sequence[bytes]) -> Iterator[tuple[int, int, bytes]]:
        """Level, index and hashes of each."""
        for leaf in leaves:
            yield from self._add(0, leaf)

    def _add(self, level: int, root: bytes) -> Iterator[tuple[int, int, bytes]]:
        if level == len(self._open):
            self._open.append([])
            self._done.append(0)
        self._open[level].append(root)
        if len(self._open[level]) == WIDTH:
            hashes, above = tile(self._open[level])
            yield level, self._done[level], hashes
            self._open[level] = []
            self._done[level] += 1
            yield from self._add(level + 1, above)


def grow(db: sqlite3.Connection, size: int) -> None:
    """Keep the tiles that the entry completed which made the log `size` long; within its transaction."""
    level = 0
    while size and size % WIDTH == 0:
        size //= WIDTH
        below = _leaves(db, size - 1) if level == 0 else _roots(db, level - 1, (size - 1) * WIDTH)
        db.execute("INSERT OR REPLACE INTO tiles VALUES (?, ?, ?)", (level, size - 1, tile(below)[0]))
        level += 1


def _leaves(db: sqlite3.Connection, index: int) -> list[bytes]:
    rows = db.execute("SELECT entry FROM log WHERE idx >= ? AND idx < ?", (index * WIDTH, (index + 1) * WIDTH))
    return [merkle.leaf(entry) for (entry,) in rows]


def _roots(db: sqlite3.Connection, level: int, first: int) -> list[bytes]:
    """Of 256 tiles; the two hashes below its root end a tile."""
    ends = "SELECT substr(hashes, -64) FROM tiles WHERE level = ? AND idx >= ? AND idx < ? ORDER BY idx"
    return [merkle.pair(end) for (end,) in db.execute(ends, (level, first, first + WIDTH))]


def remake(db: sqlite3.Connection) -> None:
    """From the rows, within a transaction."""
    db.execute("DELETE FROM tiles")
    growing = Growing()
    rows = db.execute("SELECT entry FROM log ORDER BY idx")
    while block := rows.fetchmany(WIDTH):
        made = growing.add([merkle.leaf(entry) for (entry,) in block])
        db.executemany("INSERT INTO tiles VALUES (?, ?, ?)", made)


def read(db: sqlite3.Connection, level: int, index: int) -> bytes | None:
    row = db.execute("SELECT hashes FROM tiles WHERE level = ? AND idx = ?", (level, index)).fetchone()
    return row[0] if row is not None and isinstance(row[0], bytes) else None


class Subtrees:
    """Roots of parts of the tree, from tiles where there are any, else from the rows. Not thread-safe."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._tile = lru_cache(_KEPT)(self._read)
        self._of_rows = lru_cache(_OF_ROWS)(self._made)

    def root(self, start: int, stop: int) -> bytes:
        """Of entries start..stop-1 as a tree of their own."""
        size = stop - start
        if size & (size - 1) == 0 and start & (size - 1) == 0:
            bits = size.bit_length() - 1
            level, height = divmod(bits, HEIGHT)
            hashes = self._tile(level, start >> (level + 1) * HEIGHT)
            if hashes is not None:
                at = (_BEGIN[height] + ((start >> bits) & (WIDTH - 1 >> height))) * merkle.HASH_BYTES
                return hashes[at : at + merkle.HASH_BYTES]
        return self._of_rows(start, stop)

    def _read(self, level: int, index: int) -> bytes | None:
        hashes = read(self._db, level, index)
        return hashes if hashes is not None and len(hashes) == _BYTES else None

    def _made(self, start: int, stop: int) -> bytes:
        size = stop - start
        if stop & -stop == size or size == 1:
            entry, root = self._db.execute("SELECT entry, subtree FROM log WHERE idx = ?", (stop - 1,)).fetchone()
            return bytes(root) if stop & -stop == size else merkle.leaf(entry)
        middle = start + (1 << (size - 1).bit_length() - 1)
        return merkle.pair(self.root(start, middle) + self.root(middle, stop))
