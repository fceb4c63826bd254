"""Pause and stop after the reading: while documents are checked, signed, sent and waited for."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import yaml
from loguru import logger

from scraper_agent import messages
from scraper_agent.app import App
from scraper_agent.cli import main
from scraper_agent.formats import FORMATS
from scraper_agent.ports import PersonNeeded
from scraper_agent.sandbox.platform import Platform
from scraper_agent.signing import keyfolder
from scraper_agent.values import Approval, Attempt, Draft, Envelope, Fact, Job, JobId, Outcome, Receipt, State, Verdict
from tests import policies
from tests.test_desk import keys
from tests.world import AK, PASSPHRASE, PLAN, PROFILE, RUN, STRAIGHT, frozen, seeing

__all__ = ["keys"]

EFFECTIVE_S = 2.0
PAUSE_S = 2.3
STAGES: dict[str, type[Fact]] = {"checking": Verdict, "signing": Approval, "signed": Envelope, "sending": Attempt}
"""By what has just been logged when the file is set."""


@pytest.fixture
def desk(tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Three orders that were read, that the policy approves, and their receiver."""
    monkeypatch.setenv("CONTROL_KEY", PASSPHRASE)
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    (entry,) = keyfolder.entries(keys)
    with Platform(lambda: datetime.now(UTC), {(AK, "01"): entry.public_key}, FORMATS) as platform:
        config: dict[str, Any] = {
            "enterprise": {"name": PROFILE["name"], "uscc": PROFILE["uscc"]},
            "signing": {"kind": "file", "folder": str(keys), "key": "01"},
            "passphrase": {"env": "CONTROL_KEY"},
            "receiver": {
                "ak": AK,
                "transport": {"kind": "https", "url": platform.url},
                "public_keys": platform.public_keys,
            },
        }
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
        policy = {"automatic": {"purchaseOrder": {"amounts": {"USD": "1000"}}}}
        (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy), encoding="utf-8")
        policies.sign(tmp_path, PASSPHRASE)
        app = load(tmp_path)
        with app.archive() as archive:
            app.pipeline(archive, lambda _id, _fact: None).harvest(RUN, PLAN, seeing(frozen(1), frozen(2), frozen(3)))
        app.close()
        yield tmp_path
    messages.use("en")


def load(desk: Path) -> App:
    return App.load(desk / "config.yaml")


def jobs(desk: Path) -> list[Job]:
    with load(desk).archive(read_only=True) as archive:
        return [archive.job(id) for id in archive.documents()]


def advance(desk: Path, watch: Callable[[JobId, Fact], None]) -> None:
    app = load(desk)
    try:
        with app.archive() as archive:
            assert app.advance(app.pipeline(archive, watch), archive.documents()) == []
    finally:
        app.close()


@pytest.mark.parametrize("stage", STAGES)
def test_a_pause_while_documents_are_on_their_way(desk: Path, stage: str) -> None:
    logged: list[tuple[float, type[Fact]]] = []
    moments: list[float] = []

    def resume() -> None:
        moments.append(monotonic())
        (desk / "control" / "pause").unlink()

    def watch(_id: JobId, fact: Fact) -> None:
        logged.append((monotonic(), type(fact)))
        if isinstance(fact, STAGES[stage]) and not moments:
            (desk / "control" / "pause").touch()
            moments.append(monotonic())
            threading.Timer(PAUSE_S, resume).start()

    advance(desk, watch)
    paused, resumed = moments
    within = [kind for at, kind in logged if paused < at < resumed]
    assert [kind for at, kind in logged if paused + EFFECTIVE_S < at < resumed] == []
    assert within.count(Attempt) == 0, "nothing leaves"
    if stage == "sending":
        assert within.count(Receipt) == 1, "the answer under way is taken and logged"
    assert [[type(fact) for fact in job.facts] for job in jobs(desk)] == [STRAIGHT] * 3


@pytest.mark.parametrize("stage", STAGES)
def test_a_stop_while_documents_are_on_their_way(desk: Path, stage: str) -> None:
    moments: list[float] = []
    after: list[type[Fact]] = []

    def watch(_id: JobId, fact: Fact) -> None:
        if moments:
            after.append(type(fact))
        elif isinstance(fact, STAGES[stage]):
            (desk / "control" / "stop").touch()
            moments.append(monotonic())

    with pytest.raises(PersonNeeded, match="SA7601") as stopped:
        advance(desk, watch)
    assert monotonic() - moments[0] < EFFECTIVE_S
    assert stopped.value.outcome is Outcome.HALTED
    assert Attempt not in after
    with pytest.raises(PersonNeeded, match="SA7601"):
        advance(desk, lambda _id, _fact: None)
    (desk / "control" / "stop").unlink()
    advance(desk, lambda _id, _fact: None)
    assert [[type(fact) for fact in job.facts] for job in jobs(desk)] == [STRAIGHT] * 3


def test_a_dry_run_stops_too(desk: Path) -> None:
    app = load(desk)

    def watch(_id: JobId, _fact: Fact) -> None:
        (desk / "control" / "stop").touch()

    with app.archive() as archive, pytest.raises(PersonNeeded):
        app.advance(app.pipeline(archive, watch), archive.documents(), dry_run=True)
    assert sum(isinstance(job.last, Draft) for job in jobs(desk)) >= 1


def test_who_waits_for_what_comes_due_ends_at_once_in_a_stop(desk: Path) -> None:
    app = load(desk)
    began = monotonic()
    threading.Timer(0.3, (desk / "control" / "stop").touch).start()
    with app.archive(), pytest.raises(PersonNeeded, match="SA7601"):
        app.rest(60)
    assert monotonic() - began < 0.3 + EFFECTIVE_S


def test_who_waits_for_what_comes_due_does_what_is_ordered_meanwhile(desk: Path) -> None:
    app, other = load(desk), load(desk)
    ids = [job.id for job in jobs(desk)]
    told: list[object] = []
    ordering = threading.Thread(target=lambda: told.extend(other.desk.do("withdraw", ids, "li", {"reason": "all"})))
    with app.archive() as archive:
        app.pipeline(archive, lambda _id, _fact: None)
        ordering.start()
        began = monotonic()
        app.rest(60)
        assert monotonic() - began < 10, "it looks anew at what is due"
        ordering.join()
        assert archive.counts()[State.STOPPED] == 3
    assert len(told) == 3


def test_a_run_begins_with_nothing_while_a_stop_is_in_force(desk: Path) -> None:
    (desk / "control" / "stop").touch()
    app = load(desk)
    with app.archive() as archive, pytest.raises(PersonNeeded, match="SA7601"):
        app.deliver(
            app.pipeline(archive, lambda _id, _fact: None),
            archive,
            until=datetime.now(UTC) + timedelta(hours=1),
            sleep=app.rest,
        )


def test_the_commands(desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def agent(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["scraper-agent", "-c", str(desk / "config.yaml"), *arguments])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            logger.remove()
        return code, *capsys.readouterr()

    assert agent("pause", "--reason", "month end")[:2] == (
        0, "Paused; `scraper-agent resume` lets it go on.\n"
    )  # fmt: skip
    assert agent("stop")[:2] == (0, "Stopped; nothing begins until `scraper-agent resume`.\n")
    code, _, err = agent("send")
    assert code == 5
    assert "SA7601 stopped by" in err
    assert "hint: `scraper-agent resume` lifts the stop" in err
    assert agent("resume")[:2] == (0, "Neither a pause nor a stop is in force.\n")
    assert agent("send")[0] == 0
    shown = agent("log", "show", "--job", "control")[1]
    assert [line.split()[3] for line in shown.splitlines()] == ["Paused", "Halted", "Resumed"]
    assert "month end" in shown
    assert all(isinstance(job.last, Receipt) for job in jobs(desk))
