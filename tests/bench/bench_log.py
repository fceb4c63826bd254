"""The log at its full size: `log verify` of 1,000,000 facts, proofs a second, and facts appended durably.

The archive is that of `bench_console`. What is counted is the time of the processor, but for commits, which wait for
the disk; those are made in turn with bare one-row commits to a file in the same folder.
"""

from __future__ import annotations

import hashlib
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from scraper_agent import merkle, values
from scraper_agent.archive import excerpt, sqlite
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.archive.verify import verify
from scraper_agent.values import JobId
from tests.bench import bench_console

PROOFS = 50_000
COMMITS = 2_000
AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
_BLOCK = 50
"""So many commits of one side, then as many of the other."""


def measure(documents: int = bench_console.DOCUMENTS, proofs: int = PROOFS, commits: int = COMMITS) -> dict[str, float]:
    path = bench_console.folder(documents) / "archive.db"
    few = bench_console.folder(documents // 50) / "archive.db"
    facts, hash_s = _hashed(path)
    whole, part = _verified(path), _verified(few)
    return {
        "facts": facts,
        "hash_s": hash_s,
        "verify_s": whole[0],
        "verify_ratio": whole[0] / hash_s,
        "verify_more_mb": whole[1] - part[1],
        "made_s": _proofs(path, proofs),
        "random_s": _proofs(path, proofs, draw=random.Random(8)),
        "checked_s": _checks(path, proofs // 10),
        "append_share": _appended(commits),
    }


def _hashed(path: Path) -> tuple[int, float]:
    """How many entries there are, and seconds for hashing them by hashlib."""
    with closing(sqlite.connect(path)) as db:
        entries = [row[0] for row in db.execute("SELECT entry FROM log ORDER BY idx")]
    began = time.process_time()
    for entry in entries:
        hashlib.new("sm3", entry).digest()
    return len(entries), time.process_time() - began


def _verified(path: Path) -> tuple[float, float]:
    """Seconds, and MB at most, of a process that does nothing else. Bodies are left out: their cost is their size."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.bench_log", "verify", str(path)], capture_output=True, text=True, check=True
    )
    seconds, mb = map(float, done.stdout.split())
    return seconds, mb


def _proofs(path: Path, count: int, draw: random.Random | None = None) -> float:
    """Made a second, each of one entry, for entries that follow each other, or that are drawn."""
    with SqliteArchive(path, lambda: AT, read_only=True) as archive:
        size = archive.head().size
    with excerpt.opened(path) as log:
        first = (size - count) // 2
        indexes = range(first, first + count) if draw is None else [draw.randrange(size) for _ in range(count)]
        began = time.process_time()
        for index in indexes:
            merkle.inclusion(index, size, log.subtree)
        return count / (time.process_time() - began)


def _checks(path: Path, count: int) -> float:
    """Checked a second."""
    draw = random.Random(8)
    with SqliteArchive(path, lambda: AT, read_only=True) as archive, excerpt.opened(path) as log:
        head = archive.head()
        indexes = [draw.randrange(head.size) for _ in range(count)]
        made = [(i, merkle.leaf(archive.raw(i)), merkle.inclusion(i, head.size, log.subtree)) for i in indexes]
    began = time.process_time()
    for index, leaf, proof in made:
        assert merkle.includes(head.root, head.size, index, leaf, proof)
    return count / (time.process_time() - began)


def _appended(count: int) -> float:
    """Facts appended a second through bare commits a second."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare_s = own_s = 0.0
        with (
            SqliteArchive(folder / "archive.db", lambda: AT) as archive,
            closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as db,
        ):
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("CREATE TABLE log (idx INTEGER PRIMARY KEY, entry BLOB NOT NULL)")
            row = b"x" * 400
            for block in range(0, count, _BLOCK):
                began = time.monotonic()
                for number in range(block, block + _BLOCK):
                    db.execute("INSERT INTO log VALUES (?, ?)", (number, row))
                between = time.monotonic()
                for number in range(block, block + _BLOCK):
                    url = f"https://erp.example.com/U8/sale/order.aspx?id=SO2026{number:07}"
                    archive.append(JobId("run/1"), number, values.Refused(method="POST", url=url, reason="writes"))
                bare_s += between - began
                own_s += time.monotonic() - between
        return bare_s / own_s


def _alone(path: Path) -> None:
    began = time.process_time()
    report = verify(path, bodies=False)
    assert not report.problems or {problem.code for problem in report.problems} == {"SA5029"}, report.problems[:3]
    print(time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    if sys.argv[1:2] == ["verify"]:
        _alone(Path(sys.argv[2]))
    else:
        for name, value in measure(*map(int, sys.argv[1:4])).items():
            print(f"{name:>15} {value:12.3f}")
