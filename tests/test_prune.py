"""Retention: what is past its time goes, with a fact; what is needed stays; what is missing otherwise is found."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from scraper_agent import app as wiring
from scraper_agent import messages, retention
from scraper_agent.app import App
from scraper_agent.archive import bodies, verify
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.policy import Retention
from scraper_agent.values import Digest, Draft, Erased, Held, JobId, Snapshot, State, in_force, state
from tests.calls import caller
from tests.console import archive as books

LATER = books.NOW + timedelta(days=1100)
MONTH = books.NOW + timedelta(days=40)
TIMES = Retention()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> App:
    made = books.folder(tmp_path_factory.mktemp("prune"))
    books.fill(made)
    return made


@pytest.fixture
def path(filled: App, tmp_path: Path) -> Path:
    to = tmp_path / "archive.db"
    with closing(sqlite3.connect(filled.home / filled.config.archive)) as db:
        db.execute("VACUUM INTO ?", (str(to),))
    with opened(to):  # as it is at work: in WAL
        return to


def opened(path: Path) -> SqliteArchive:
    return SqliteArchive(path, lambda: LATER)


def pruned(path: Path, times: Retention = TIMES, now: object = LATER) -> retention.Plan:
    with opened(path) as archive:
        planned = retention.plan(archive, times, now)  # type: ignore[arg-type]
        assert retention.carry_out(archive, planned, by="liu.yang", policy=b"the policy")
    return planned


def document(archive: SqliteArchive, key: str) -> JobId:
    (id,) = archive.documents(key=key)
    return id


def draft(archive: SqliteArchive, key: str) -> Draft:
    first = archive.job(document(archive, key)).facts[0]
    assert isinstance(first, Draft)
    return first


def codes(path: Path) -> list[str]:
    return [problem.code for problem in verify.verify(path).problems]


# --- what goes ------------------------------------------------------------------------------------------------------


def test_only_what_has_an_end_and_is_past_its_time_goes(path: Path) -> None:
    with opened(path) as archive:
        before = {id: state(archive.job(id)) for id in archive.documents()}
        entries = archive.head().size
    planned = pruned(path)
    ended = {id for id, stands in before.items() if stands in retention.ENDED}
    assert ended
    assert set(planned.documents) == ended
    assert planned.open == len(before) - len(ended)
    with opened(path) as archive:
        for id in before:
            first = archive.job(id).facts[0]
            assert isinstance(first, Draft)
            kept = {archive.size_of(digest) is not None for digest in (first.document, first.provenance, first.page)}
            assert kept == {id not in ended}
        assert archive.head(entries).size == entries  # no fact is gone
        facts = archive.job(retention.JOB).facts
        assert all(isinstance(fact, Erased) and fact.by == "person:liu.yang" and fact.basis for fact in facts)
        started = archive.job(books.RUN).facts[0]
        assert archive.get(started.recipe)  # type: ignore[union-attr]
    report = verify.verify(path)
    assert report.whole
    assert report.erased == sum(len(group.bodies) for group in planned.groups)


def test_nothing_goes_before_its_time(path: Path) -> None:
    planned = pruned(path, now=books.NOW + timedelta(days=1095))
    assert planned.groups == ()
    with opened(path) as archive:
        assert archive.length(retention.JOB) == 0


def test_a_second_time_there_is_nothing_left(path: Path) -> None:
    pruned(path)
    assert pruned(path).groups == ()


def test_images_may_go_earlier_but_not_those_of_what_is_open(path: Path) -> None:
    planned = pruned(path, Retention(images_days=30), MONTH)
    assert {group.what for group in planned.groups} == {"images"}
    with opened(path) as archive:
        shots = {
            fact.page: fact.image
            for run in archive.runs()
            for fact in archive.job(run).facts
            if isinstance(fact, Snapshot)
        }
        for id in archive.documents():
            image = shots[draft_of(archive, id).page]
            assert image is not None
            assert (archive.size_of(image) is None) == (state(archive.job(id)) in retention.ENDED)
    assert verify.verify(path).whole


def draft_of(archive: SqliteArchive, id: JobId) -> Draft:
    first = archive.job(id).facts[0]
    assert isinstance(first, Draft)
    return first


def test_what_a_hold_or_a_younger_version_needs_stays(path: Path) -> None:
    with opened(path) as archive:
        old, other = document(archive, "PO-1"), document(archive, "PO-2")
        assert state(archive.job(old)) is State.RECEIPTED
        first = draft_of(archive, old)
        younger = JobId("doc/purchaseOrder/" + "f" * 64)
        text = archive.put(b"{}")
        archive.append(younger, 0, replace(first, document=text, replaces=old))
        held = Held(document=in_force(archive.job(other)), by="person:li.na", reason="asked")
        archive.append(other, archive.length(other), held)
    planned = pruned(path)
    assert not {old, other, younger} & set(planned.documents)
    with opened(path) as archive:
        assert archive.get(first.document)
        assert archive.get(first.page)
        assert archive.get(draft_of(archive, other).document)
    assert verify.verify(path).whole


def test_a_shared_page_goes_with_the_last_that_was_read_from_it(path: Path) -> None:
    with opened(path) as archive:
        page = draft(archive, "PO-1").page
        first = draft(archive, "PO-9")
        fresh = JobId("doc/purchaseOrder/" + "e" * 64)
        archive.append(fresh, 0, replace(first, page=page, key="PO-E"))
    pruned(path)
    with opened(path) as archive:
        assert archive.get(page)


def test_no_trace_of_a_document_is_left_in_the_file(path: Path) -> None:
    with opened(path) as archive:
        row = bodies.row(archive._db, bytes.fromhex(draft(archive, "PO-1").document[4:]))
        assert row is not None
        assert archive.lists.search("PO-1")
    _, _, data, _, key, _ = row
    assert key is not None
    assert key in path.read_bytes()
    assert data in path.read_bytes()
    pruned(path)
    left = b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert key not in left
    assert data not in left
    with opened(path) as archive:
        assert document(archive, "PO-1") not in archive.lists.search("PO-1")
        archive.rebuild_index()
    assert verify.verify(path).whole


# --- what is missing otherwise --------------------------------------------------------------------------------------


def delete(path: Path, digest: Digest) -> None:
    with closing(sqlite3.connect(path)) as db:
        bodies.delete(db, [bytes.fromhex(digest[4:])])
        db.commit()


def test_a_body_that_is_missing_without_a_fact_is_found(path: Path) -> None:
    pruned(path)
    with opened(path) as archive:
        page = draft(archive, "PO-9").page
    delete(path, page)
    assert codes(path) == ["SA5029"]


def test_what_is_read_again_after_its_erasure_must_be_there(path: Path) -> None:
    with opened(path) as archive:
        body = archive.get(draft(archive, "PO-1").provenance)
    pruned(path)
    with opened(path) as archive:
        page = archive.put(body)
        shot = Snapshot(name="order", url="http://erp.example", taken_at=LATER, page=page, image=None)
        archive.append(JobId("run/anew"), 0, shot)
    assert verify.verify(path).whole
    delete(path, page)
    assert codes(path) == ["SA5029"]


def test_what_is_there_although_it_was_erased_is_found_and_goes_with_the_next_time(path: Path) -> None:
    with opened(path) as archive:
        body = archive.get(draft(archive, "PO-1").provenance)
    pruned(path)
    with opened(path) as archive:
        archive.put(body)  # kept when the archive is closed, and named by nothing
    assert codes(path) == ["SA5082"]
    assert len(pruned(path).left_over) == 1
    assert verify.verify(path).whole


def test_a_reader_keeps_the_traces_and_that_is_told(path: Path) -> None:
    with SqliteArchive(path, lambda: LATER, read_only=True) as reader:
        entries = iter(reader.entries())
        next(entries)
        with opened(path) as archive:
            archive._db.execute("PRAGMA busy_timeout = 10")
            planned = retention.plan(archive, TIMES, LATER)
            assert not retention.carry_out(archive, planned, by="liu.yang", policy=b"the policy")
        del entries
    with opened(path) as archive:
        assert retention.carry_out(archive, retention.plan(archive, TIMES, LATER), by="liu.yang", policy=b"x")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process of its own")
@pytest.mark.parametrize("at", range(6))
def test_a_kill_in_the_middle_is_finished_by_the_next_time(path: Path, at: int) -> None:
    child = os.fork()
    if child == 0:
        with opened(path) as archive:
            done = 0

            def killed(statement: str) -> None:
                nonlocal done
                if statement.startswith(("DELETE FROM keys", "DELETE FROM blobs", "COMMIT")):
                    done += 1
                    if done > at:
                        os.kill(os.getpid(), signal.SIGKILL)

            archive._db.set_trace_callback(killed)
            retention.carry_out(archive, retention.plan(archive, TIMES, LATER), by="x", policy=b"p")
        os._exit(0)
    os.waitpid(child, 0)
    assert verify.verify(path).whole
    pruned(path)
    assert verify.verify(path).whole
    with opened(path) as archive:
        assert archive.size_of(draft(archive, "PO-1").document) is None
        assert archive.size_of(draft(archive, "PO-1").page) is None
    assert pruned(path).groups == ()


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def call(
    filled: App, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    home = tmp_path / "home"
    shutil.copytree(filled.home, home)
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(wiring, "now", lambda: LATER)

    yield caller(home / "config.yaml", capsys, monkeypatch)
    messages.use("en")


def test_the_command_tells_first_and_deletes_then(
    call: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = call("log", "prune", "--dry-run", "--json")
    told = json.loads(out)
    assert (code, told["dry_run"]) == (0, True), err
    assert told["groups"]
    assert verify.verify(tmp_path / "home" / "archive.db").erased == 0
    code, out, err = call("log", "prune")
    assert code == 0, err
    assert "海关法 45" in out
    code, out, _ = call("log", "verify")
    assert code == 0
    assert "bodies are erased, as the log says" in out


def test_the_programs_own_log_goes_when_its_time_is_over(
    call: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    old, young = (home / f"agent.2026-0{n}-01_00-00-00_000000.log" for n in (1, 2))
    for path, days in ((old, 185), (young, 183)):
        path.write_text("said", encoding="utf-8")
        at = (LATER - timedelta(days=days)).timestamp()
        os.utime(path, (at, at))
    assert json.loads(call("log", "prune", "--dry-run", "--json")[1])["logs"] == [old.name]
    assert old.exists()
    code, out, err = call("log", "prune")
    assert code == 0, err
    assert "1 files of the program's own log are older than 184 days" in out
    assert not old.exists()
    assert young.exists()


def test_only_an_administrator_may(
    call: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    policy = yaml.safe_load((home / "policy.yaml").read_text(encoding="utf-8"))
    policy["people"][wiring.account()] = {"roles": ["operator", "auditor"]}
    (home / "policy.yaml").write_text(yaml.safe_dump(policy, allow_unicode=True), encoding="utf-8")
    books.sign(home)
    code, _, err = call("log", "prune")
    assert code != 0
    assert "SA6020" in err
    assert verify.verify(home / "archive.db").erased == 0
