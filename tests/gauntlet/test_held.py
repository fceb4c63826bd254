"""Pause and stop at every stage of reading an ERP: from 2 s on nothing is asked of it, and nothing read is lost.

Each stage is met by a request: at that moment the file is set, by hand as anybody may.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pytest

from scraper_agent import completeness
from scraper_agent.capture.browser import Settings
from scraper_agent.capture.held import Hold
from scraper_agent.control import Control
from scraper_agent.ports import Done, Page, PersonNeeded, Sighting, Trouble
from scraper_agent.recipe import Recipe
from scraper_agent.values import Anew, Completeness, ListRead, Outcome, Relogin
from tests.chromium import Sharing, shared
from tests.gauntlet import held
from tests.gauntlet.held import PASSWORD, Erp

__all__ = ["shared"]

EFFECTIVE_S = 2.0
PAUSE_S = 2.4

STAGES = {
    "the login's page loads": ("GET /login", 1.2),
    "logging in": ("POST /login", 1.2),
    "the list loads": ("GET /orders", 0.0),
    "a page of the list": ("GET /orders?page=2", 0.0),
    "a record's page loads": ("GET /orders/3", 2.1),
    "a record's page settles": ("GET /data/2", 2.1),
    "a record's page is waited for": ("GET /more/4", 0.0),
}


@pytest.fixture
def erp() -> Iterator[Erp]:
    with held.served() as erp:
        yield erp


def browser(folder: Path) -> Sharing:
    control = Control(folder / "control", lambda: datetime.now(UTC))
    return Sharing(
        settings=Settings(images=True, tabs=2, patience_s=8),
        secret=lambda _name: PASSWORD,
        hold=Hold(control),
    )


def read(folder: Path, erp: Erp, way: str, done: frozenset[str] = frozenset()) -> Iterator[Sighting]:
    recipe = Recipe.model_validate(held.recipe_data(way))
    return browser(folder).harvest(recipe, {"base": erp.base, "user": "operator"}, done)


def orders(seen: list[Sighting], erp: Erp) -> list[tuple[str, str]]:
    """Which were read, and what stands on their pages; the port is another each time."""
    pages = [each for each in seen if isinstance(each, Page)]
    return [(each.url.rpartition("/")[2], each.frozen.decode().replace(erp.base, "")) for each in pages]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, shared: None) -> list[tuple[str, str]]:
    with held.served() as erp:
        return orders(list(read(tmp_path_factory.mktemp("undisturbed"), erp, "link")), erp)


def set_by_hand(folder: Path, kind: str) -> None:
    (folder / "control").mkdir(exist_ok=True)
    (folder / "control" / kind).touch()


def whole(seen: list[Sighting]) -> Completeness:
    facts = [each for each in seen if isinstance(each, Relogin | Anew | ListRead)]
    (found,) = completeness.counting(facts)
    return completeness.of(found)


@pytest.mark.parametrize("stage", STAGES)
def test_a_pause_holds_everything_from_2_s_on_and_costs_nothing(
    tmp_path: Path, erp: Erp, undisturbed: list[tuple[str, str]], stage: str
) -> None:
    moments: list[float] = []

    def pause() -> None:
        set_by_hand(tmp_path, "pause")
        moments.append(monotonic())
        threading.Timer(PAUSE_S, resume).start()

    def resume() -> None:
        moments.append(monotonic())
        (tmp_path / "control" / "pause").unlink()

    erp.at, erp.slow_s = STAGES[stage]
    erp.then = pause
    seen = list(read(tmp_path, erp, "click" if stage == "a record's page loads" else "link"))
    paused, resumed = moments
    late = [path for at, path in erp.asked if paused + EFFECTIVE_S < at < resumed]
    assert late == []
    assert [str(each.error) for each in seen if isinstance(each, Trouble)] == []
    assert sorted(orders(seen, erp)) == sorted(undisturbed), "each record once, and its page as it is without a pause"
    assert whole(seen) is Completeness.PROVED


@pytest.mark.parametrize("stage", STAGES)
def test_a_stop_ends_the_run_within_2_s_and_the_next_one_goes_on(
    tmp_path: Path, erp: Erp, undisturbed: list[tuple[str, str]], stage: str
) -> None:
    moments: list[float] = []

    def stop() -> None:
        set_by_hand(tmp_path, "stop")
        moments.append(monotonic())

    erp.at, erp.slow_s = STAGES[stage]
    erp.then = stop
    seen: list[Sighting] = []
    with pytest.raises(PersonNeeded) as stopped:
        collect(seen, read(tmp_path, erp, "link"))
    ended = monotonic()
    assert (stopped.value.code, stopped.value.outcome) == ("SA7601", Outcome.HALTED)
    assert ended - moments[0] < EFFECTIVE_S
    assert erp.later_than(moments[0] + EFFECTIVE_S) == []
    with pytest.raises(PersonNeeded, match="SA7601"):
        list(read(tmp_path, erp, "link"))
    assert erp.later_than(ended) == [], "nothing begins while the file is there"
    (tmp_path / "control" / "stop").unlink()
    done = frozenset(each.place for each in seen if isinstance(each, Done))
    later = list(read(tmp_path, erp, "link", done))
    assert sorted(orders([*seen, *later], erp)) == sorted(undisturbed)
    assert whole(later) is Completeness.PROVED


def collect(seen: list[Sighting], sightings: Iterator[Sighting]) -> None:
    """Keeps what was seen before an error."""
    for each in sightings:
        seen.append(each)  # noqa: PERF402 - extend would keep nothing


def test_who_reads_what_was_seen_may_pause_in_between(
    tmp_path: Path, erp: Erp, undisturbed: list[tuple[str, str]]
) -> None:
    """While a page is mapped, nothing is asked of the ERP but what the tabs under way ask."""
    seen: list[Sighting] = []
    times: list[float] = []
    for each in read(tmp_path, erp, "click"):
        seen.append(each)
        if isinstance(each, Page) and not times:
            set_by_hand(tmp_path, "pause")
            times.append(monotonic())
            threading.Timer(PAUSE_S, (tmp_path / "control" / "pause").unlink).start()
    assert [path for at, path in erp.asked if times[0] + EFFECTIVE_S < at < times[0] + PAUSE_S] == []
    assert sorted(orders(seen, erp)) == sorted(undisturbed)


def test_a_session_that_ended_in_the_pause_is_had_again(
    tmp_path: Path, erp: Erp, undisturbed: list[tuple[str, str]]
) -> None:
    seen: list[Sighting] = []
    for each in read(tmp_path, erp, "click"):
        seen.append(each)
        if isinstance(each, Page) and len(orders(seen, erp)) == 2:
            set_by_hand(tmp_path, "pause")
            erp.ended = True
            threading.Timer(0.5, (tmp_path / "control" / "pause").unlink).start()
    assert sorted(orders(seen, erp)) == sorted(undisturbed)
    assert [path for _, path in erp.asked].count("POST /login") == 2


def test_time_limits_do_not_run_in_a_pause(tmp_path: Path, erp: Erp, undisturbed: list[tuple[str, str]]) -> None:
    """A page may take 3 s; the pause is longer."""
    recipe = Recipe.model_validate(held.recipe_data("click"))
    erp.at = "GET /data/2"

    def pause() -> None:
        set_by_hand(tmp_path, "pause")
        threading.Timer(4.0, (tmp_path / "control" / "pause").unlink).start()

    erp.then = pause

    impatient = Sharing(
        settings=Settings(patience_s=3),
        secret=lambda _name: PASSWORD,
        hold=Hold(Control(tmp_path / "control", lambda: datetime.now(UTC))),
    )
    seen = list(impatient.harvest(recipe, {"base": erp.base, "user": "operator"}))
    assert [str(each.error) for each in seen if isinstance(each, Trouble)] == []
    assert sorted(orders(seen, erp)) == sorted(undisturbed)
