"""Orders and switches through the desk: with nobody at work, with another process at work, and from files by hand."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from scraper_agent import control, values
from scraper_agent import desk as desks
from scraper_agent.app import App
from scraper_agent.errors import AgentError, BusinessError
from scraper_agent.orders import Order, Outcome, Tray, new_id
from scraper_agent.ports import PersonNeeded
from scraper_agent.signing import keyfolder
from scraper_agent.values import Approval, Failure, Halted, Job, JobId, Paused, Resumed, Retry, Verdict
from tests import policies
from tests.world import AK, NOW, PASSPHRASE, PLAN, PROFILE, RUN, frozen, seeing

PEOPLE = {
    "li": {"roles": ["operator"]},
    "wang": {"roles": ["approver"]},
    "zhao": {"roles": ["auditor"]},
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    keyfolder.create(folder, SecretStr(PASSPHRASE), NOW)
    return folder


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Path:
    """A folder with a config, a policy that names people, and an archive with three orders that wait for a person."""
    folder = tmp_path_factory.mktemp("desk")
    (entry,) = keyfolder.entries(keys)
    config: dict[str, Any] = {
        "enterprise": {"name": PROFILE["name"], "uscc": PROFILE["uscc"]},
        "signing": {"kind": "file", "folder": str(keys), "key": "01"},
        "passphrase": {"env": "DESK_KEY"},
        "receiver": {
            "ak": AK,
            "transport": {"kind": "https", "url": "http://127.0.0.1:9"},
            "public_keys": {"01": entry.public_key},
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    (folder / "policy.yaml").write_text(yaml.safe_dump({"people": PEOPLE}), encoding="utf-8")
    policies.sign(folder, PASSPHRASE)
    app = load(folder)
    with app.archive() as archive:
        pipeline = app.pipeline(archive, lambda _id, _fact: None)
        for id in pipeline.harvest(RUN, PLAN, seeing(frozen(1), frozen(2), frozen(3))).documents:
            pipeline.check(id)
    return folder


@pytest.fixture
def desk(tmp_path: Path, filled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One of its own, as `filled`."""
    monkeypatch.setenv("DESK_KEY", PASSPHRASE)
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    return tmp_path


def load(desk: Path) -> App:
    return App.load(desk / "config.yaml")


def jobs(desk: Path) -> list[Job]:
    with load(desk).archive(read_only=True) as archive:
        return [archive.job(id) for id in archive.documents()]


def said(desk: Path) -> list[object]:
    with load(desk).archive(read_only=True) as archive:
        return list(archive.job(control.JOB).facts)


@contextmanager
def at_work(desk: Path) -> Iterator[App]:
    """Another agent writes the archive and comes by a control point now and then."""
    app, ended = load(desk), threading.Event()
    begun = threading.Event()

    def work() -> None:
        with app.archive() as archive:
            app.pipeline(archive, lambda _id, _fact: None)
            begun.set()
            while not ended.wait(0.02):
                app.attend()

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(10)
    try:
        yield app
    finally:
        ended.set()
        thread.join()


def order(desk: Path, **change: Any) -> Order:
    first = Order(
        id=new_id(),
        at=datetime.now(UTC),
        by="wang",
        via="cli",
        do="approve",
        targets=(jobs(desk)[0].id,),
        values={"reason": "seen"},
    )
    return first.model_copy(update=change)


def attend(desk: Path) -> None:
    """What a process does that has just begun to write the archive."""
    app = load(desk)
    with app.archive():
        app.attend(now=True)


# --- orders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("busy", [False, True], ids=["nobody at work", "another at work"])
def test_what_is_ordered_is_done_and_names_who_ordered_it(desk: Path, busy: bool) -> None:
    first, second, third = (job.id for job in jobs(desk))
    app = load(desk)
    with at_work(desk) if busy else nullcontext():
        approved = app.desk.do("approve", [first, third], "wang", {"reason": "seen"})
        declined = app.desk.do("decline", [second], "wang", {"reason": "a double"})
        withdrawn = app.desk.do("withdraw", [third], "wang", {"reason": "by mistake"})
    assert [(each.target, each.error) for each in (*approved, *declined, *withdrawn)] == [
        (id, None) for id in (first, third, second, third)
    ]
    approval, refusal, failure = (job.last for job in jobs(desk))
    assert isinstance(approval, Approval)
    assert (approval.by, approval.granted, approval.reason) == ("person:wang", True, "seen")
    assert isinstance(refusal, Approval)
    assert (refusal.by, refusal.granted, refusal.reason) == ("person:wang", False, "a double")
    assert isinstance(failure, Failure)
    assert failure.message == "withdrawn by person:wang: by mistake"


def test_what_fails_for_one_is_told_and_does_not_keep_the_next_from_being_done(desk: Path) -> None:
    first, second, _ = (job.id for job in jobs(desk))
    with at_work(desk):
        found = load(desk).desk.do(
            "approve", [first, first, "doc/purchaseOrder/nothing", RUN, "../../etc/passwd", second], "wang"
        )
    assert [each.error.code if each.error else None for each in found] == [
        None, "SA6005", "SA6004", "SA6004", "SA6004", None
    ]  # fmt: skip
    assert isinstance(found[1].error, BusinessError)
    assert str(found[1].error).startswith(f"SA6005 {first} does not wait for a person; its last fact is Approval")


def test_another_document_than_the_one_shown_is_not_approved(desk: Path) -> None:
    (found,) = load(desk).desk.do("approve", [jobs(desk)[0].id], "wang", {"shown": f"sm3:{'0' * 64}"})
    assert found.error is not None
    assert found.error.code == "SA6002"


@pytest.mark.parametrize(("who", "do"), [("li", "approve"), ("zhao", "decline"), ("wang", "resend"), ("x", "withdraw")])
def test_who_has_not_the_role_is_refused_at_the_desk_and_where_it_is_carried_out(desk: Path, who: str, do: str) -> None:
    with pytest.raises(BusinessError, match="SA6020"):
        load(desk).desk.do(do, [jobs(desk)[0].id], who, {"reason": "r"})
    tray, forged = Tray(desk / "control"), order(desk, by=who, do=do)
    tray.put(forged)
    attend(desk)
    (outcome,) = tray.result(forged) or []
    assert outcome.error is not None
    assert outcome.error.code == "SA6020"
    assert all(isinstance(job.last, Verdict) for job in jobs(desk))


def test_a_file_that_is_no_order_is_put_aside_and_the_others_are_carried_out(desk: Path) -> None:
    tray, good = Tray(desk / "control"), order(desk)
    tray.put(good)
    folder = desk / "control" / "orders"
    bad = {
        "empty.json": b"",
        "text.json": b"approve everything",
        "deep.json": b"[" * 100_000,
        "large.json": b" " * (5 << 20),
        f"{new_id()}.json": good.model_dump_json().encode(),  # under another's name
        "more.json": json.dumps(json.loads(good.model_dump_json()) | {"sudo": True}).encode(),
        "number.json": b'{"id": 1e400}',
        "bytes.json": b"\xff\xfe\x00",
    }
    for name, data in bad.items():
        (folder / name).write_bytes(data)
    (folder / "link.json").symlink_to("/dev/zero")
    (folder / "folder.json").mkdir()
    attend(desk)
    assert [outcome.error for outcome in tray.result(good) or []] == [None]
    assert isinstance(jobs(desk)[0].last, Approval)
    assert not tray.any()


def test_an_action_that_is_unknown_is_refused(desk: Path) -> None:
    with pytest.raises(BusinessError, match="SA7603"):
        load(desk).desk.do("launch", [], "wang")
    tray, strange = Tray(desk / "control"), order(desk, do="launch")
    tray.put(strange)
    attend(desk)
    assert [outcome.error.code for outcome in tray.result(strange) or [] if outcome.error] == ["SA7603"]


def test_an_order_that_a_process_died_over_is_done_once(desk: Path) -> None:
    """It died after the approval of the first and before that of the second; nobody was told."""
    first, second, _ = (job.id for job in jobs(desk))
    tray = Tray(desk / "control")
    ordered = order(desk, targets=(first, second))
    tray.put(ordered)
    (taken,) = tray.take()
    app = load(desk)
    with app.archive() as archive:
        pipeline = app.pipeline(archive, lambda _id, _fact: None)
        only = taken.order.model_copy(update={"targets": (first,)})
        desks.carry_out(pipeline, replace(taken, order=only), app.policy.people)
    attend(desk)
    assert [(each.target, each.error) for each in tray.result(ordered) or []] == [(first, None), (second, None)]
    assert [sum(isinstance(f, Approval) for f in job.facts) for job in jobs(desk)] == [1, 1, 0]


def test_what_was_decided_before_is_not_taken_for_this_order(desk: Path) -> None:
    """A second order for the same document is no repetition of the first: it is told that nothing waits."""
    first = jobs(desk)[0].id
    app = load(desk)
    assert [each.error for each in app.desk.do("approve", [first], "wang")] == [None]
    (again,) = app.desk.do("approve", [first], "wang")
    assert again.error is not None
    assert again.error.code == "SA6005"


def test_who_writes_and_takes_no_orders_is_waited_for_and_the_order_taken_back(desk: Path) -> None:
    first = jobs(desk)[0].id
    busy, app = load(desk), load(desk)
    impatient = replace(app.desk, wait_s=0.3)
    with busy.archive(), pytest.raises(AgentError, match="SA7605"):
        impatient.do("approve", [first], "wang")
    attend(desk)
    assert isinstance(jobs(desk)[0].last, Verdict)


def test_many_at_once_from_many_threads(desk: Path) -> None:
    ids = [job.id for job in jobs(desk)]
    app = load(desk)
    found: dict[JobId, list[Outcome]] = {}

    def approve(id: JobId) -> None:
        found[id] = app.desk.do("approve", [id], "wang")

    threads = [threading.Thread(target=approve, args=(id,)) for id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.error for id in ids for each in found[id]] == [None] * 3


# --- switches -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("busy", [False, True], ids=["nobody at work", "another at work"])
def test_a_pause_and_its_end_are_logged_with_who_and_why(desk: Path, busy: bool) -> None:
    app = load(desk)
    with at_work(desk) if busy else nullcontext():
        app.desk.do("pause", [], "li", {"reason": "stocktaking"})
        wait(lambda: len(said(desk)) == 1)
        app.desk.do("resume", [], "li")
        wait(lambda: len(said(desk)) == 2)
    assert said(desk) == [
        Paused(by="person:li", via="cli", reason="stocktaking"),
        Resumed(by="person:li", via="cli"),
    ]
    assert not (desk / "control" / "pause").exists()


def wait(until: Any) -> None:
    end = datetime.now(UTC) + timedelta(seconds=10)
    while not until():
        assert datetime.now(UTC) < end


@pytest.mark.parametrize("content", [b"", b"halt!", b"{}", b"[" * 5000, b"\xff" * 20_000])
def test_a_stop_file_made_by_hand_is_in_force_whatever_it_holds(desk: Path, content: bytes) -> None:
    (desk / "control").mkdir(exist_ok=True)
    (desk / "control" / "stop").write_bytes(content)
    app = load(desk)
    with app.archive(), pytest.raises(PersonNeeded, match=r"SA7601 stopped by file") as stopped:
        app.gate()
    assert (stopped.value.outcome, stopped.value.exit_code) == (values.Outcome.HALTED, 5)
    (fact,) = said(desk)
    assert isinstance(fact, Halted)
    assert (fact.by, fact.via) == (f"file:{(desk / 'control').owner()}", "file")
    (desk / "control" / "stop").unlink()
    attend(desk)
    assert said(desk)[1:] == [Resumed(by="file", via="file")]


def test_even_a_link_to_nothing_stops(desk: Path) -> None:
    (desk / "control").mkdir(exist_ok=True)
    (desk / "control" / "stop").symlink_to(desk / "nowhere")
    assert load(desk).control.stopped


def test_who_sets_what_is_set_does_not_take_its_place(desk: Path) -> None:
    app = load(desk)
    app.desk.do("stop", [], "li", {"reason": "first"})
    app.desk.do("stop", [], "li", {"reason": "second"})
    assert said(desk) == [Halted(by="person:li", via="cli", reason="first")]


def test_only_an_operator_switches(desk: Path) -> None:
    for do in ("pause", "stop", "resume"):
        with pytest.raises(BusinessError, match="SA6020"):
            load(desk).desk.do(do, [], "zhao")
    assert not (desk / "control" / "pause").exists()


def test_the_folder_is_for_this_account_alone(desk: Path) -> None:
    load(desk).desk.do("pause", [], "li")
    load(desk).desk.do("approve", [jobs(desk)[0].id], "wang")
    folders = (desk / "control", desk / "control" / "orders", desk / "control" / "results")
    assert [folder.stat().st_mode & 0o777 for folder in folders] == [0o700] * 3


def test_sending_again_works_while_another_is_at_work(desk: Path) -> None:
    first = jobs(desk)[0].id
    load(desk).desk.do("approve", [first], "wang")
    app = load(desk)
    with app.archive() as archive:
        assert app.advance(app.pipeline(archive, lambda _id, _fact: None), [first])  # nobody listens there
    with at_work(desk):
        (outcome,) = load(desk).desk.do("resend", [first], "li")
    assert outcome.error is None
    last = jobs(desk)[0].last
    assert isinstance(last, Retry)
    assert last.by == "person:li"
