"""A writer of an archive in a process of its own, which says what it took for durable; imported by its fork server."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path

from scraper_agent import merkle
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.values import Entry, JobId, Snapshot
from tests.world import NOW, kill

STATEMENTS = (
    "BEGIN",
    "INSERT INTO blobs",
    "INSERT OR REPLACE INTO keys",
    "INSERT INTO log",
    "UPDATE tree",
    "INSERT INTO facts",
    "COMMIT",
)
"""A writer dies before one of these, as SQLite is about to carry it out."""
POINTS = ("opening", *STATEMENTS, "committed", "noted", "closing")


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An entry that was held for durable."""

    index: int
    leaf: bytes


def acknowledged(file: Path) -> list[Acknowledged]:
    """What writers said into `file`."""
    if not file.exists():
        return []
    pairs = (line.split() for line in file.read_text().splitlines())
    return [Acknowledged(int(index), bytes.fromhex(leaf)) for index, leaf in pairs]


def say(file: Path, archive: SqliteArchive, entry: Entry) -> None:
    """A kill does not undo it: the system has it once the call returns."""
    with file.open("ab", buffering=0) as acks:
        acks.write(b"%d %s\n" % (entry.index, merkle.leaf(archive.raw(entry.index)).hex().encode()))


def append(archive: SqliteArchive, job: JobId, position: int) -> Entry:
    """A page, and the fact that names it."""
    page = archive.put(random.Random(f"{job}{position}").randbytes(200 + 900 * (position % 3)))
    fact = Snapshot(name="order", url="http://erp.example", taken_at=NOW, page=page, image=None)
    return archive.append(job, position, fact)


@dataclass(frozen=True)
class Writer:
    """All that it takes to begin one."""

    path: Path
    said: Path
    job: JobId
    facts: int
    point: str = ""
    hit: int = 0
    """At which time of coming by there it dies."""

    def run(self) -> None:
        _Archive.writer, _Archive.passed = self, 0
        with _Archive(self.path, lambda: NOW) as archive:
            for position in range(self.facts):
                entry = append(archive, self.job, position)
                archive.pass_by("noted")
                say(self.said, archive, entry)
            archive.pass_by("closing")


class _Archive(SqliteArchive):
    writer: Writer
    passed = 0

    def pass_by(self, point: str) -> None:
        if point == self.writer.point:
            _Archive.passed += 1
            if _Archive.passed > self.writer.hit:
                kill()

    def _come_up_to(self) -> None:
        self.pass_by("opening")
        super()._come_up_to()
        self._db.set_trace_callback(self._statement)

    def _statement(self, sql: str) -> None:
        for each in STATEMENTS:
            if sql.startswith(each):
                self.pass_by(each)

    def _note(self) -> None:
        self.pass_by("committed")
        super()._note()


def work(folder: Path, said: Path, job: JobId) -> None:
    """What a writer does with the disk: begin, append, move the write-ahead log, end, begin again, several at once.

    `os.getpid` is no part of it: so that the same calls come in the same order each time.
    """
    path = folder / "archive.db"
    with SqliteArchive(path, lambda: NOW) as archive:
        archive._db.execute("PRAGMA wal_autocheckpoint = 12")  # so that it comes by in so short a work
        for position in range(4):
            say(said, archive, append(archive, job, position))
    with SqliteArchive(path, lambda: NOW) as archive:
        with archive.together():
            entries = [append(archive, job, position) for position in (4, 5)]
        for entry in entries:
            say(said, archive, entry)


def end(code: int) -> None:
    """Of a forked process, without what its parent would do at its end."""
    os._exit(code)
