"""A witness: remembers the last head of each log that it was shown, and signs only what grew out of that.

The rules are those of C2SP `tlog-witness`: one request, `add-checkpoint`, with the size that the log believes the
witness to know, a consistency proof, and a checkpoint signed by the log. What was accepted is on the disk before it is
answered, and comparing and storing are one transaction: of two requests that race, one is told that it is stale.
"""

from __future__ import annotations

import base64
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from scraper_agent import merkle
from scraper_agent.audit import note
from scraper_agent.audit.asking import Answer, request
from scraper_agent.ports import Clock, Signer, Verify

__all__ = ["MOST_BYTES", "MOST_PROOF", "Answer", "Witness", "request"]

MOST_PROOF = 63
"""Hashes of a proof, as C2SP limits them."""
MOST_BYTES = note.MOST_BYTES + 64 * 64

_TABLE = """CREATE TABLE IF NOT EXISTS heads (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note BLOB NOT NULL
) STRICT"""


class Witness:
    """One database of heads. Thread-safe as far as one connection for each call is."""

    def __init__(
        self,
        path: Path,
        name: str,
        signer: Signer,
        logs: Mapping[str, str] | Callable[[str], Sequence[str]],
        verify: Verify,
        now: Clock,
    ) -> None:
        """`logs`: the public key by origin, or the keys of an origin; a log without one is not known here."""
        self.name = name
        self.signer = signer
        self._path, self._verify, self._now = path, verify, now
        self._keys = logs if callable(logs) else lambda origin: [logs[origin]] if origin in logs else []
        with closing(self._connect()) as db:
            db.execute(_TABLE)

    def known(self, origin: str) -> tuple[int, bytes] | None:
        """Size and root of the last head of a log; None if none was ever shown."""
        with closing(self._connect()) as db:
            return _known(db, origin)

    def newest(self, origin: str) -> bytes | None:
        """The last checkpoint of a log, with this witness's line; None if none was ever shown."""
        with closing(self._connect()) as db:
            row = db.execute("SELECT note FROM heads WHERE origin = ?", (origin,)).fetchone()
        return bytes(row[0]) if row else None

    def add(self, body: bytes) -> Answer:
        """Judge one request. Never raises on what it says."""
        try:
            asked = _Request.read(body)
        except (ValueError, UnicodeDecodeError) as error:
            return _no(400, str(error))
        checkpoint = asked.note.checkpoint
        keys = self._keys(checkpoint.origin)
        if not keys:
            return _no(404, "a log that is not known here")
        if not any(note.signed(asked.note, key, self._verify) for key in keys):
            return _no(403, "not signed by the log")
        if asked.old > checkpoint.size:
            return _no(400, "the old size is larger than the new one")
        with closing(self._connect()) as db:
            return self._decide(db, asked)

    def _decide(self, db: sqlite3.Connection, asked: _Request) -> Answer:
        checkpoint = asked.note.checkpoint
        db.execute("BEGIN IMMEDIATE")  # nobody else reads before this is stored
        size, root = _known(db, checkpoint.origin) or (0, merkle.EMPTY)
        if asked.old != size:
            db.execute("ROLLBACK")
            return Answer(409, b"%d\n" % size)
        if not merkle.extends(root, size, checkpoint.root, checkpoint.size, asked.proof):
            db.execute("ROLLBACK")
            # The same size with another root is a fork as C2SP has it: 409; else the proof does not hold.
            return Answer(409, b"%d\n" % size) if size == checkpoint.size else _no(422, "the proof does not hold")
        line = note.cosign(asked.note.text, self.name, self.signer, self._now())
        if checkpoint.size > size:  # the same head again is on the disk already
            db.execute(
                "INSERT INTO heads VALUES (?, ?, ?, ?)"
                " ON CONFLICT (origin) DO UPDATE SET size = excluded.size, root = excluded.root, note = excluded.note",
                (checkpoint.origin, checkpoint.size, checkpoint.root, asked.raw + line),
            )
        db.execute("COMMIT")
        return Answer(200, line)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, timeout=10)
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA synchronous = EXTRA")
        return db


@dataclass(frozen=True, slots=True)
class _Request:
    old: int
    proof: tuple[bytes, ...]
    note: note.Note
    raw: bytes

    @classmethod
    def read(cls, body: bytes) -> Self:
        if len(body) > MOST_BYTES:
            raise ValueError("too long")
        head, gap, raw = body.partition(b"\n\n")
        first, *lines = head.decode("ascii").split("\n")
        old = re.fullmatch(r"old (0|[1-9][0-9]{0,15})", first, re.ASCII)
        if not gap or old is None:
            raise ValueError("expected: old SIZE, the proof, an empty line, the checkpoint")
        if len(lines) > MOST_PROOF:
            raise ValueError("a proof that is too long")
        proof = tuple(base64.b64decode(line, validate=True) for line in lines)
        if any(len(part) != merkle.HASH_BYTES for part in proof):
            raise ValueError("a hash of another length")
        return cls(int(old[1]), proof, note.read(raw), raw)


def _known(db: sqlite3.Connection, origin: str) -> tuple[int, bytes] | None:
    row: tuple[int, bytes] | None = db.execute("SELECT size, root FROM heads WHERE origin = ?", (origin,)).fetchone()
    return row


def _no(status: int, reason: str) -> Answer:
    return Answer(status, f"{reason}\n".encode())
