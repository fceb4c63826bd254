"""A writer that is killed: nothing it acknowledged is lost, and what is left is whole.

A kill does not test that data reaches the disk (that needs a power cut); for that `test_archive.py` reads the pragmas
back.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.archive.verify import verify
from scraper_agent.errors import AgentError
from scraper_agent.values import Draft, JobId, RunEnded

RUN = JobId("run/1")


def now() -> datetime:
    return datetime(2026, 3, 2, tzinfo=UTC)


WRITER = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.values import Draft, JobId, Snapshot

NOW = datetime(2026, 3, 2, tzinfo=UTC)
path, statements = Path(sys.argv[1]), int(sys.argv[2])

def die_at_last(sql):
    global statements
    statements -= 1
    if statements == 0:
        os._exit(9)  # no rollback, no close: the statement traced is not run any more

archive = SqliteArchive(path, lambda: NOW)
os.write(1, b"ready\\n")
if statements:
    archive._db.set_trace_callback(die_at_last)
run = JobId("run/1")
position = max(archive.length(run) - 1, 0)
while True:
    page = archive.put(b"<td>%d</td>" % position * (1 + position % 7 * 400))
    document = archive.put(b"<order>%d</order>" % position)
    if archive.length(run) == position:
        archive.append(run, position, Snapshot(name="p", url="u", taken_at=NOW, page=page, image=None))
    job = JobId(f"doc/order/{document[4:]}")
    if archive.length(job) == 0:
        names = dict(run=run, format="order", key=str(position), record="r")
        archive.append(job, 0, Draft(**names, document=document, provenance=page, page=page))
    os.write(1, b"%d\\n" % position)
    position += 1
"""


@contextmanager
def writer(path: Path, *, die_at_statement: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """A process that appends for ever and prints each position once it is acknowledged."""
    command = [sys.executable, "-c", WRITER, str(path), str(die_at_statement)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def acknowledged(process: subprocess.Popen[bytes]) -> Iterator[int]:
    """What the writer has acknowledged and, after its end, what it wrote before it; a torn last line is not one."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.endswith(b"\n") and line != b"ready\n":
            yield int(line)


def check(path: Path, last: int) -> None:
    """Everything up to `last`, the last position acknowledged, is there, at most one more, and all of it is whole."""
    assert verify(path).problems == ()
    with SqliteArchive(path, now, read_only=True) as archive:
        assert last + 1 <= archive.length(RUN) <= last + 2
        assert [state.key for state in archive.states()][: last + 1] == [str(n) for n in range(last + 1)]
        for entry in archive.entries():
            if isinstance(entry.fact, Draft):
                assert archive.get(entry.fact.document) == f"<order>{entry.fact.key}</order>".encode()


@pytest.mark.parametrize("seed", range(2))
def test_a_writer_killed_at_any_moment_loses_nothing_it_acknowledged(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path / "archive.db"
    last = -1
    for _ in range(12):
        with writer(path) as process:
            wanted = chance.randrange(1, 60)
            for position in acknowledged(process):
                last = position
                wanted -= 1
                if wanted == 0:
                    process.kill()  # and hear what it acknowledges until the signal reaches it
        check(path, last)
    assert last >= 30


def test_a_writer_that_dies_at_any_statement_leaves_a_whole_archive(tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    last = -1
    for statement in range(1, 41):  # more than one page and its document take
        with writer(path, die_at_statement=statement) as process:
            last = max([last, *acknowledged(process)])
        assert process.returncode == 9
        check(path, last)
    assert last >= 3


def test_the_lock_holds_between_processes_and_ends_with_a_killed_one(tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    with writer(path) as process:
        next(acknowledged(process))
        with pytest.raises(AgentError, match="SA5002"):
            SqliteArchive(path, now)
        with SqliteArchive(path, now, read_only=True) as reader:
            assert reader.length(RUN) > 0
        assert verify(path).problems == ()
    with SqliteArchive(path, now) as archive:
        archive.append(JobId("run/2"), 0, RunEnded(complete=True, documents=0, faults=0))
        assert verify(path).problems == ()
