"""One log that became two: two agents on one store, an old backup that went on, a folder copied to a second machine.

What the archive itself can tell is refused when it is opened. The rest agrees with itself, and only a witness tells:
whoever comes second to be anchored cannot prove that it grew out of what the witness has seen.
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scraper_agent.archive import reached
from scraper_agent.archive.sqlite import SqliteArchive, being_written
from scraper_agent.archive.verify import verify
from scraper_agent.audit import note, witness
from scraper_agent.audit.witness import Answer, Witness
from scraper_agent.errors import AgentError
from scraper_agent.signing import sm2
from scraper_agent.values import JobId, RunEnded
from tests.authorities import OTHER, SIGNER

AT = datetime(2026, 5, 6, 1, 30, tzinfo=UTC)
ORIGIN = "example.cn/log-1"
NAME = "archive.db"


def grow(folder: Path, who: str, facts: int) -> None:
    """An agent that goes on in `folder`: as many facts more, of a run of its own."""
    with SqliteArchive(folder / NAME, lambda: AT) as archive:
        job = JobId(f"run/{who}")
        begin = archive.length(job)
        for position in range(begin, begin + facts):
            archive.append(job, position, RunEnded(complete=True, documents=position, faults=0))


def anchor(folder: Path, it: Witness, known: int) -> Answer:
    """As a log does it: `known` is what it believes that the witness knows; it is told if that is something else."""
    with SqliteArchive(folder / NAME, lambda: AT, read_only=True) as archive:
        head = archive.head()
        checkpoint = note.sign(note.Checkpoint(origin=ORIGIN, size=head.size, root=head.root, at=AT), SIGNER)

        def ask(old: int) -> Answer:
            return it.add(witness.request(old, archive.consistency(old) if 0 < old <= head.size else [], checkpoint))

        answer = ask(known)
        return ask(int(answer.body)) if answer.status == 409 and int(answer.body) != known else answer


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A store of five entries."""
    home = tmp_path / "home"
    home.mkdir()
    grow(home, "first", 5)
    return home


@pytest.fixture
def it(tmp_path: Path) -> Witness:
    return Witness(
        tmp_path / "witness.db", "witness.example", OTHER, {ORIGIN: SIGNER.public_key}, sm2.verify, lambda: AT
    )


@pytest.mark.parametrize("by", ["name", "linked folder", "link"])
def test_a_second_agent_on_one_store_is_refused(home: Path, by: str) -> None:
    if by != "name" and os.name == "nt":
        pytest.skip("links need rights there")
    path = home / NAME
    if by == "linked folder":
        (home.parent / "linked").symlink_to(home, target_is_directory=True)
        path = home.parent / "linked" / NAME
    elif by == "link":
        path = home.parent / "other.db"
        path.symlink_to(home / NAME)
    with SqliteArchive(home / NAME, lambda: AT):
        assert being_written(path)
        with pytest.raises(AgentError) as refused:
            SqliteArchive(path, lambda: AT)
    assert refused.value.code == "SA5002"
    assert verify(home / NAME).whole


def test_an_old_copy_put_over_the_archive_is_refused_at_start_and_found_by_log_verify(home: Path) -> None:
    old = Path(shutil.copy(home / NAME, home / "backup.db"))
    grow(home, "first", 3)
    old.replace(home / NAME)
    with pytest.raises(AgentError) as refused:
        SqliteArchive(home / NAME, lambda: AT)
    assert refused.value.code == "SA5034"
    assert [problem.code for problem in verify(home / NAME).problems] == ["SA5033"]


@pytest.mark.parametrize("later", [0, 2, 3, 9])
def test_a_whole_folder_of_long_ago_that_goes_on_is_found_by_the_witness(home: Path, it: Witness, later: int) -> None:
    """With what was noted beside it, an old folder agrees with itself: it starts."""
    backup = Path(shutil.copytree(home, home.parent / "backup"))
    grow(home, "first", 3)
    assert anchor(home, it, 0).status == 200
    shutil.rmtree(home)
    backup.rename(home)
    assert reached.read(home / NAME).size == 5  # type: ignore[union-attr]
    grow(home, "second", later)
    assert verify(home / NAME).whole
    assert anchor(home, it, 5).status in (400, 409, 422)
    known = it.known(ORIGIN)
    assert known is not None
    assert known[0] == 8, "what was seen stays what was seen"


def test_of_two_machines_with_one_folder_the_second_to_be_anchored_is_contradicted(home: Path, it: Witness) -> None:
    assert anchor(home, it, 0).status == 200
    away = Path(shutil.copytree(home, home.parent / "away"))
    grow(home, "home", 2)
    grow(away, "away", 4)
    for folder in (home, away):
        assert verify(folder / NAME).whole, "each agrees with itself"
    assert anchor(away, it, 5).status == 200
    assert anchor(home, it, 5).status == 400, "shorter than what was seen"
    grow(home, "home", 2)
    assert anchor(home, it, 5).status == 409, "as long, and another one"
    grow(home, "home", 5)
    assert anchor(home, it, 5).status == 422, "longer, and not grown out of it"
    grow(away, "away", 1)
    assert anchor(away, it, 9).status == 200, "the first to be anchored goes on"
