"""Answers that were taken from where they came in, on this machine's disk before they are gone from there."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from scraper_agent.errors import SendFailed, UsageError
from scraper_agent.messages import N_

Coming: TypeAlias = tuple[str, bytes]
"""(key, body)"""

KEPT_AFTER_ASKING = 100_000
"""Answers that were handed over are kept until so many others were: whoever died with one in hand asks for it again."""
MOST_BYTES = 4 * 1024**3

_PAGE_BYTES = 4096
_BUSY_S = 2.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    digest BLOB NOT NULL,
    body BLOB NOT NULL,
    handed INTEGER NOT NULL DEFAULT 0,
    UNIQUE (key, digest)
) STRICT;
CREATE INDEX IF NOT EXISTS answers_handed ON answers (handed);
CREATE TABLE IF NOT EXISTS strays (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    digest BLOB NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (key, digest)
) STRICT;
"""


class Inbox:
    """A SQLite file. What `put` returned from stays, whatever dies. Thread-safe.

    Whether an answer is genuine is for the pipeline to see: several under one key are all kept, and handed over in
    turn, so that a false one does not hide the true one.
    """

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES, kept_after_asking: int = KEPT_AFTER_ASKING) -> None:
        """`most_bytes`: the file grows no larger.

        Raises:
            UsageError: the file cannot be opened or made.
        """
        self._path = path
        self._kept = kept_after_asking
        self._lock = threading.Lock()
        try:
            self._coming = _opened(path, "FULL", most_bytes)
            try:
                self._coming.executescript(_SCHEMA)
                # Whose turn it is may be lost with the power: nothing waits for the disk to take an answer.
                self._going = _opened(path, "NORMAL", most_bytes)
            except BaseException:
                self._coming.close()
                raise
        except sqlite3.Error as error:
            raise UsageError(
                "SA4081",
                N_("cannot open {path}, where answers are kept: {reason}"),
                hint=N_("`inbox` names a file in a folder that is there and may be written to"),
                path=path,
                reason=str(error),
            ) from error

    def put(self, answers: Iterable[Coming], strays: Iterable[Coming] = ()) -> None:
        """Keep (key, body) of each: all or, if it raises, none. Durable when this returns; what is here stays one.

        `strays`: what came in but cannot be an answer, for whoever looks into it; the key as far as there is one.

        Raises:
            SendFailed: there is no room.
        """
        try:
            with self._lock, self._coming:
                self._coming.execute("BEGIN IMMEDIATE")
                for table, rows in (("answers", answers), ("strays", strays)):
                    self._coming.executemany(
                        f"INSERT OR IGNORE INTO {table} (key, digest, body) VALUES (?, ?, ?)",  # noqa: S608
                        ((key, hashlib.sha256(body).digest(), body) for key, body in rows),
                    )
        except sqlite3.Error as error:
            raise SendFailed(
                "SA4082",
                N_("{path} cannot keep another answer, so it stays where it came in: {reason}"),
                hint=N_("make room on the disk; if the file has its full size, look at its table `strays`"),
                path=self._path,
                reason=str(error),
            ) from error

    def has_new(self, key: str) -> bool:
        """Whether there is an answer under `key` that `take` has not given yet."""
        with self._lock:
            one = "SELECT EXISTS (SELECT 1 FROM answers WHERE key = ? AND handed = 0)"
            return bool(self._going.execute(one, (key,)).fetchone()[0])

    def take(self, key: str) -> bytes | None:
        """An answer under `key`, of several the one whose turn it is; it stays here."""
        with self._lock:
            row = self._going.execute(
                "SELECT number, body FROM answers WHERE key = ? ORDER BY handed, number LIMIT 1", (key,)
            ).fetchone()
            if row is None:
                return None
            number, body = row
            # A full disk: whose turn it is can wait, the answer need not.
            with contextlib.suppress(sqlite3.Error):
                (last,) = self._going.execute("SELECT max(handed) FROM answers").fetchone()
                self._going.execute("UPDATE answers SET handed = ? WHERE number = ?", (last + 1, number))
                # 0 was not handed over yet, and never goes.
                self._going.execute("DELETE FROM answers WHERE handed BETWEEN 1 AND ?", (last + 1 - self._kept,))
        return bytes(body)

    def strays(self) -> tuple[tuple[str, bytes], ...]:
        """(key, body) of each, in the order they came."""
        with self._lock:
            return tuple(self._coming.execute("SELECT key, body FROM strays ORDER BY number"))

    def close(self) -> None:
        with self._lock:
            self._coming.close()
            self._going.close()


def _opened(path: Path, synchronous: str, most_bytes: int) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None)
    try:
        database.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"PRAGMA synchronous = {synchronous}")
        database.execute(f"PRAGMA max_page_count = {most_bytes // _PAGE_BYTES}")
    except BaseException:
        database.close()
        raise
    return database
