"""A share of what `make faults` does to the storage."""

from __future__ import annotations

import sys

import pytest

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
