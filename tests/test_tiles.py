"""Tiles of the tree: as the rows make them, found where they are damaged, and proofs from them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from scraper_agent import merkle
from scraper_agent.archive import bodies, excerpt, tiles, verify
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.values import JobId, RunEnded
from tests.world import NOW

RUN = JobId("run/1")
ENTRIES = 70_000
"""273 tiles of level 0, one of level 1, and a rest."""


@pytest.fixture(scope="module")
def log() -> Iterator[tuple[sqlite3.Connection, list[bytes]]]:
    """A log as the archive has it, with its tiles, and the hashes of its entries."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE log (idx INTEGER PRIMARY KEY, entry BLOB NOT NULL, subtree BLOB NOT NULL)")
        db.execute(tiles.TABLE)
        state, leaves = merkle.Frontier(), []
        for index in range(ENTRIES):
            entry = b"%d" % index
            leaves.append(merkle.leaf(entry))
            state = state.append(leaves[-1])
            db.execute("INSERT INTO log VALUES (?, ?, ?)", (index, entry, state.peaks[-1]))
            tiles.grow(db, state.size)
        yield db, leaves


def test_a_tile_begins_with_256_hashes_and_those_above_them_follow(log: tuple[sqlite3.Connection, list[bytes]]) -> None:
    db, leaves = log
    there = db.execute("SELECT level, idx FROM tiles ORDER BY level, idx").fetchall()
    assert there == [*((0, n) for n in range(273)), (1, 0)]
    first, above = tiles.read(db, 0, 7), tiles.read(db, 1, 0)
    assert first is not None
    assert above is not None
    assert first[:8192] == b"".join(leaves[7 * 256 : 8 * 256])
    assert first[8192 : 8192 + 32] == merkle.pair(leaves[7 * 256] + leaves[7 * 256 + 1])
    assert above[7 * 32 : 8 * 32] == merkle.root(leaves[7 * 256 : 8 * 256])
    assert merkle.pair(above[-64:]) == merkle.root(leaves[:65536])


def test_tiles_that_grew_are_those_that_are_remade(log: tuple[sqlite3.Connection, list[bytes]]) -> None:
    db, _ = log
    before = db.execute("SELECT * FROM tiles ORDER BY level, idx").fetchall()
    tiles.remake(db)
    assert db.execute("SELECT * FROM tiles ORDER BY level, idx").fetchall() == before


@pytest.mark.parametrize("size", [1, 255, 256, 257, 511, 512, 65535, 65536, 65537, ENTRIES])
def test_proofs_from_tiles_hold_at_every_size(log: tuple[sqlite3.Connection, list[bytes]], size: int) -> None:
    db, leaves = log
    root, own = tiles.Subtrees(db).root, merkle.root(leaves[:size])
    for index in {0, 1, 254, 255, 256, size // 3, size // 2, size - 2, size - 1} & set(range(size)):
        proof = merkle.inclusion(index, size, root)
        assert merkle.includes(own, size, index, leaves[index], proof)
        old = index + 1
        assert merkle.extends(merkle.root(leaves[:old]), old, own, size, merkle.consistency(old, size, root))


def test_a_proof_reads_no_entry_but_at_the_end_of_the_log(log: tuple[sqlite3.Connection, list[bytes]]) -> None:
    db, leaves = log
    root = tiles.Subtrees(db).root
    read: list[str] = []
    merkle.inclusion(0, 65536, root)
    db.set_trace_callback(read.append)
    proof = merkle.inclusion(40_000, 65536, root)
    db.set_trace_callback(None)
    assert merkle.includes(merkle.root(leaves[:65536]), 65536, 40_000, leaves[40_000], proof)
    assert len(read) == 1, "its own tile; that of level 1 is known"


# --- in the archive -------------------------------------------------------------------------------------------------


def grow(path: Path, entries: int) -> None:
    with SqliteArchive(path, lambda: NOW) as archive, archive.together():
        for _ in range(entries):
            number = archive.length(RUN)
            archive.append(RUN, number, RunEnded(complete=True, documents=number, faults=0))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "archive.db"
    grow(path, 600)
    return path


def test_an_entry_and_the_tile_that_it_completes_are_one_commit(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT level, idx FROM tiles ORDER BY idx").fetchall() == [(0, 0), (0, 1)]
    with SqliteArchive(path, lambda: NOW) as archive:
        for number in range(600, 767):
            archive.append(RUN, number, RunEnded(complete=True, documents=number, faults=0))
        with suppress(ZeroDivisionError), archive.together():
            archive.append(RUN, 767, RunEnded(complete=True, documents=767, faults=0))
            raise ZeroDivisionError
        assert tiles.read(archive._db, 0, 2) is None
        archive.append(RUN, 767, RunEnded(complete=True, documents=0, faults=0))
        assert tiles.read(archive._db, 0, 2) is not None
    assert verify.verify(path).whole


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE tiles SET hashes = CAST(zeroblob(1) || substr(hashes, 2) AS BLOB) WHERE idx = 1",
        "UPDATE tiles SET hashes = substr(hashes, 1, 8192) WHERE idx = 1",
        "UPDATE tiles SET idx = 7 WHERE idx = 1",
        "DELETE FROM tiles WHERE idx = 0",
        "INSERT INTO tiles SELECT 1, 0, hashes FROM tiles WHERE idx = 0",
        "INSERT INTO tiles SELECT 0, 2, hashes FROM tiles WHERE idx = 0",
    ],
)
def test_a_damaged_tile_is_found_decides_nothing_and_is_remade(path: Path, damage: str) -> None:
    with SqliteArchive(path, lambda: NOW, read_only=True) as archive:
        sizes = (256, 300, 512, 600)
        before = [archive.inclusion(n) for n in (0, 257, 599)], [archive.head(n) for n in sizes]
    with closing(sqlite3.connect(path)) as db:
        db.execute(damage)
        db.commit()
    found = verify.verify(path)
    assert [problem.code for problem in found.problems] == ["SA5036"]
    assert str(found.problems[0]) == (
        "SA5036 1 tile(s) of the tree are not those of the log; `scraper-agent log reindex` remakes them"
    )
    with SqliteArchive(path, lambda: NOW) as archive:
        assert ([archive.inclusion(n) for n in (0, 257, 599)], [archive.head(n) for n in sizes]) == before
        archive.rebuild_index()
    assert verify.verify(path).whole


def test_many_proofs_of_an_archive_come_from_its_tiles(path: Path) -> None:
    with SqliteArchive(path, lambda: NOW, read_only=True) as archive:
        head, size = archive.head(), archive.head().size
        leaves = [merkle.leaf(archive.raw(index)) for index in range(size)]
    with excerpt.opened(path) as log:
        for index, leaf in enumerate(leaves):
            assert merkle.includes(head.root, size, index, leaf, merkle.inclusion(index, size, log.subtree))
        proof = merkle.multiple(range(100, 500), size, log.subtree)
    assert merkle.root_of(list(enumerate(leaves))[100:500], size, proof) == head.root


def test_an_archive_of_the_version_before_gets_its_tiles(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        kept = db.execute("SELECT * FROM tiles").fetchall()
        for row in list(bodies.rows(db)):
            db.execute("UPDATE blobs SET data = ? WHERE digest = ?", (bodies.pack(bodies.opened(row) or b""), row[0]))
        for table in ("tiles", "keys", "secret"):
            db.execute(f"DROP TABLE {table}")
        db.execute("PRAGMA user_version = 4")
        db.commit()
    assert verify.verify(path).whole, "it can be checked as it is"
    SqliteArchive(path, lambda: NOW).close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT * FROM tiles").fetchall() == kept
    assert verify.verify(path).whole
