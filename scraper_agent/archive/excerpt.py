"""What of a log goes into a bundle: the facts of chosen documents, and of what they stand on, as the bytes they are."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from scraper_agent.archive import sqlite, tiles
from scraper_agent.values import JobId

_DOCUMENTS = """SELECT DISTINCT j.id, j.number FROM facts f JOIN jobs j ON j.number = f.job
    WHERE f.idx >= ? AND f.idx < ? AND j.id >= 'doc/' AND j.id < 'doc0' ORDER BY j.number"""
_JOB = """SELECT l.idx, l.entry FROM jobs j JOIN facts f ON f.job = j.number JOIN log l ON l.idx = f.idx
    WHERE j.id = ? ORDER BY f.position"""
_ABOUT_ALL = """SELECT l.idx, l.entry FROM jobs j JOIN facts f ON f.job = j.number JOIN log l ON l.idx = f.idx
    WHERE j.id = ? AND f.kind NOT IN ('Snapshot', 'Fetched', 'Fault') ORDER BY f.position"""
_ABOUT_PAGES = """SELECT l.idx, l.entry FROM jobs j JOIN facts f ON f.job = j.number JOIN log l ON l.idx = f.idx
    WHERE j.id = ? AND f.kind IN ('Snapshot', 'Fetched', 'Fault') ORDER BY f.position"""
"""A run may have 100,000 of these."""

Row = tuple[int, bytes]
"""Index and bytes of an entry."""


class Excerpt:
    """Of the log as it was when this was opened, however long it grows meanwhile. Not thread-safe."""

    def __init__(self, db: sqlite3.Connection) -> None:
        db.execute("BEGIN")
        self._db = db
        self.subtree = tiles.Subtrees(db).root
        ((self.size,),) = db.execute("SELECT size FROM tree")

    def documents(self, first: int, beyond: int) -> list[JobId]:
        """Documents with a fact among these entries, by when they were read."""
        return [JobId(id) for id, _ in self._db.execute(_DOCUMENTS, (first, beyond))]

    def facts(self, job: JobId) -> list[Row]:
        return list(self._db.execute(_JOB, (job,)))

    def facts_of_run(self, run: JobId, pages: frozenset[str]) -> Iterator[Row]:
        """Of a run everything that is about all of it, and what is about one of these pages, by digest."""
        yield from self._db.execute(_ABOUT_ALL, (run,))
        for index, data in self._db.execute(_ABOUT_PAGES, (run,)):
            fact = json.loads(data)["fact"]
            if not pages.isdisjoint((fact.get("page"), fact.get("body"))):
                yield index, data


@contextmanager
def opened(path: Path) -> Iterator[Excerpt]:
    with closing(sqlite.connect(path)) as db:
        yield Excerpt(db)
