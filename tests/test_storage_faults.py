"""A share of what `make faults` does to the storage."""

from __future__ import annotations

import itertools
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests import bundles
from tests.faults import storage, writer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals, a preloaded library")


def test_a_killed_writer_loses_nothing_it_acknowledged_and_the_next_goes_on() -> None:
    outcome = storage.kills(100)
    assert outcome.wrong == []
    assert set(writer.POINTS) < set(outcome.what)


def test_a_disk_that_fails_is_told_and_nothing_is_lost_by_it() -> None:
    outcome = storage.disk(80)
    assert outcome.wrong == []
    assert sum(times for how, times in outcome.what.items() if "SA5006" in how) > 20


def test_a_flipped_bit_is_found_or_harmless() -> None:
    outcome = storage.flips(1000)
    assert outcome.wrong == []
    assert outcome.what[f"archive.db: {storage.FOUND}"] > 100
    assert outcome.what[f"archive.db-wal: {storage.FOUND}"] > 100
    assert outcome.what[f"pem: {storage.FOUND}"] + outcome.what[f"pem: {storage.HARMLESS}"] == 2


def test_a_value_of_another_type_is_found_or_harmless(tmp_path: Path) -> None:
    """A flipped bit may make text of bytes, a number of text, or nothing of either; a table's types keep no reader."""
    with bundles.site(tmp_path / "site") as site:
        path = site.archive
    answers = storage.answers(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        columns = [(table, row[1]) for table in tables for row in db.execute(f"PRAGMA table_info({table})")]
    whole = path.read_bytes()
    tried, silent = 0, []
    for (table, column), value in itertools.product(columns, storage.OTHER_TYPES):
        path.write_bytes(whole)
        if not storage.retyped(path, table, column, value):
            continue
        tried += 1
        if storage.looked_at(path, answers) == storage.SILENT:
            silent.append((table, column, value))
    assert silent == []
    assert tried > 100
