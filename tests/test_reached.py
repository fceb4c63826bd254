"""What a file beside the archive knows: how far the log had come."""

from __future__ import annotations

import contextlib
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper_agent import merkle
from scraper_agent.archive import reached
from scraper_agent.archive.reached import Reached
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.archive.verify import verify
from scraper_agent.errors import AgentError
from scraper_agent.values import JobId, RunEnded

RUN = JobId("run/1")


def now() -> datetime:
    return datetime(2026, 3, 2, tzinfo=UTC)


def ended(documents: int) -> RunEnded:
    return RunEnded(complete=True, documents=documents, faults=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An archive of three entries."""
    path = tmp_path / "archive.db"
    with SqliteArchive(path, now) as archive:
        for n in range(3):
            archive.append(RUN, n, ended(n))
    return path


def codes(path: Path) -> list[str]:
    return [problem.code for problem in verify(path).problems]


def test_it_knows_the_last_entry(path: Path) -> None:
    with SqliteArchive(path, now, read_only=True) as archive:
        assert reached.read(path) == Reached(3, merkle.leaf(archive.raw(2)))
    assert codes(path) == []


def test_it_is_noted_once_all_is_durable_and_not_before(path: Path) -> None:
    with SqliteArchive(path, now) as archive:
        with archive.together():
            archive.append(RUN, 3, ended(3))
            assert reached.read(path).size == 3  # type: ignore[union-attr]
            archive.append(RUN, 4, ended(4))
        assert reached.read(path).size == 5  # type: ignore[union-attr]
        with contextlib.suppress(ZeroDivisionError), archive.together():
            archive.append(RUN, 5, ended(5))
            raise ZeroDivisionError
        assert reached.read(path).size == 5  # type: ignore[union-attr]


def test_an_old_copy_is_refused_and_found(path: Path, tmp_path: Path) -> None:
    old = shutil.copy(path, tmp_path / "old.db")
    with SqliteArchive(path, now) as archive:
        archive.append(RUN, 3, ended(3))
    shutil.copy(old, path)
    assert codes(path) == ["SA5033"]
    with pytest.raises(AgentError) as caught, SqliteArchive(path, now):
        pass
    assert str(caught.value).startswith(f"SA5034 {path} has 3 entries, and had 4: it lost some, or is an old copy\n")
    with SqliteArchive(path, now, read_only=True) as archive:
        assert archive.length(RUN) == 3, "it can still be read"
    reached.path_of(path).unlink()
    with SqliteArchive(path, now) as archive:
        archive.append(RUN, 3, ended(9))
    assert codes(path) == []


def test_another_entry_in_the_place_of_the_last_is_found(path: Path) -> None:
    kept = reached.path_of(path).read_bytes()
    reached.path_of(path).unlink()
    path.unlink()
    with SqliteArchive(path, now) as archive:
        for n in range(4):
            archive.append(RUN, n, ended(n + 1))
    reached.path_of(path).write_bytes(kept)
    assert codes(path) == ["SA5035"]


def test_without_it_an_archive_is_as_good(path: Path) -> None:
    """As those from before there were any."""
    reached.path_of(path).unlink()
    assert codes(path) == []
    with SqliteArchive(path, now) as archive:
        archive.append(RUN, 3, ended(3))
    assert reached.read(path) is not None


def test_a_damaged_one_is_told_and_made_anew(path: Path) -> None:
    reached.path_of(path).write_bytes(b"0" * 95)
    assert codes(path) == ["SA5032"]
    with SqliteArchive(path, now) as archive:
        archive.append(RUN, 3, ended(3))
    assert codes(path) == []


@given(
    size=st.integers(0, 10**12), leaf=st.binary(min_size=32, max_size=32), at=st.integers(0, 94), bit=st.integers(0, 7)
)
def test_no_changed_bit_of_it_is_overlooked(
    tmp_path_factory: pytest.TempPathFactory, size: int, leaf: bytes, at: int, bit: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped.db"
    data = bytearray(Reached(size, leaf).dump())
    reached.path_of(path).write_bytes(data)
    assert reached.read(path) == Reached(size, leaf)
    data[at] ^= 1 << bit
    reached.path_of(path).write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        reached.read(path)
