"""The keys of a stream of records, on disk: exact, and no larger in memory for a long stream than for a short one."""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Self

_CACHE_KIB = 4 * 1024


class SeenKeys:
    """Implements `formats.pack.Seen` with a database of its own, which goes when it is closed."""

    def __init__(self) -> None:
        # A database without a name is a file that SQLite removes itself; what does not fit its cache is written there.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE;"
            f"PRAGMA cache_size = -{_CACHE_KIB};"
            "CREATE TABLE seen (key BLOB PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID; BEGIN"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    def first(self, key: tuple[str, ...], number: int, /) -> int | None:
        # With its length before it, no part can be taken for the end of another. A record may hold any text, even one
        # that has no UTF-8.
        whole = "".join(f"{len(part)}:{part}" for part in key).encode("utf-8", "surrogatepass")
        if self._db.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (whole, number)).rowcount:
            return None
        first: int = self._db.execute("SELECT number FROM seen WHERE key = ?", (whole,)).fetchone()[0]
        return first
