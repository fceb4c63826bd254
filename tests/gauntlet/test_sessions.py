"""Sessions that end in the middle of a list: one new login, and every row is read exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from scraper_agent import completeness
from scraper_agent.capture import discovery
from scraper_agent.ports import Done, PersonNeeded, Sighting, Trouble
from scraper_agent.recipe import Recipe
from scraper_agent.values import Completeness, ListRead, Outcome, Relogin
from tests.gauntlet import sessions
from tests.gauntlet.sessions import ROWS, WAYS, Erp, orders, recipe_data

EVERY = [str(n) for n in range(1, ROWS + 1)]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = discovery.launch(playwright, None, headless=True, tell=print)
        yield browser
        browser.close()


@pytest.fixture
def erp() -> Iterator[Erp]:
    with sessions.served() as erp:
        yield erp


def read(chromium: Browser, erp: Erp, way: str) -> list[Sighting]:
    return list(sessions.read(chromium, erp, Recipe.model_validate(recipe_data(way))))


def relogins(seen: list[Sighting]) -> list[Relogin]:
    return [each for each in seen if isinstance(each, Relogin)]


def troubles(seen: list[Sighting]) -> list[str]:
    return [str(each.error) for each in seen if isinstance(each, Trouble)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("k", [1, ROWS // 2 + 1, ROWS])
def test_a_session_that_ends_at_any_row_goes_on_at_that_row(chromium: Browser, erp: Erp, way: str, k: int) -> None:
    erp.drops = {k}
    seen = read(chromium, erp, way)
    assert troubles(seen) == []
    assert orders(seen) == EVERY, "all rows, each once, in order"
    assert erp.opened == Counter(range(1, ROWS + 1)), "no record was even opened twice"
    assert erp.logins == 2
    (again,) = relogins(seen)
    (read_whole,) = completeness.counting([each for each in seen if isinstance(each, Relogin | ListRead)])
    assert completeness.of(read_whole) is Completeness.PROVED
    assert read_whole.harvested == ROWS
    assert again.where == "steps"


@pytest.mark.parametrize("way", WAYS)
def test_a_session_that_ends_after_a_record_was_read_does_not_have_it_read_again(
    chromium: Browser, erp: Erp, way: str
) -> None:
    erp.drops, erp.after = {2}, True
    seen = read(chromium, erp, way)
    assert (troubles(seen), orders(seen), erp.logins) == ([], EVERY, 2)
    assert erp.opened == Counter(range(1, ROWS + 1))


def test_a_session_may_end_more_than_once_while_there_is_headway(chromium: Browser, erp: Erp) -> None:
    erp.drops = {1, 2, 4}
    seen = read(chromium, erp, "click")
    assert (troubles(seen), orders(seen), erp.logins) == ([], EVERY, 4)
    assert [each.number for each in relogins(seen)] == [1, 2, 3]


def ended(chromium: Browser, erp: Erp, way: str = "click", **more: object) -> tuple[list[Sighting], PersonNeeded]:
    """What was seen until a person was needed, and why."""
    recipe = Recipe.model_validate(recipe_data(way, **more))
    seen: list[Sighting] = []
    with pytest.raises(PersonNeeded) as caught:
        seen.extend(sessions.read(chromium, erp, recipe))
    return seen, caught.value


@pytest.mark.parametrize("way", WAYS)
def test_a_session_that_ends_again_at_the_same_row_needs_a_person(chromium: Browser, erp: Erp, way: str) -> None:
    erp.drops, erp.forever = {3}, True
    seen, error = ended(chromium, erp, way)
    assert (error.outcome, error.code, erp.logins) == (Outcome.EXPIRED, "SA2218", 2)
    assert orders(seen) == ["1", "2"]
    (trouble,) = (each for each in seen if isinstance(each, Trouble))
    assert trouble.error is error
    assert trouble.page is not None
    assert b'id="login"' in trouble.page.frozen, "the page that it waits at"


def test_a_session_that_ends_too_often_needs_a_person(chromium: Browser, erp: Erp) -> None:
    erp.drops = {1, 2, 3, 4}
    seen, error = ended(chromium, erp)
    assert (error.outcome, erp.logins) == (Outcome.EXPIRED, 4)
    assert orders(seen) == ["1", "2", "3"]


@pytest.mark.parametrize("way", WAYS)
def test_who_logs_in_elsewhere_is_not_fought(chromium: Browser, erp: Erp, way: str) -> None:
    erp.drops, erp.kicks = {3}, True
    seen, error = ended(chromium, erp, way)
    assert (error.outcome, error.code, erp.logins) == (Outcome.KICKED_OUT, "SA2217", 1)
    assert error.values["seen"] == sessions.SAYS["kicked_out"]
    assert orders(seen) == ["1", "2"]


@pytest.mark.parametrize("goes", [name for name in sessions.SAYS if name not in ("kicked_out", "captcha")])
def test_each_way_a_login_can_fail_is_told_apart_and_tried_once(chromium: Browser, erp: Erp, goes: str) -> None:
    erp.goes = goes
    seen, error = ended(chromium, erp)
    assert (error.outcome.value, erp.logins) == (goes, 1)
    assert error.values["seen"] == f"{sessions.SAYS[goes]} ●●●●●●", "in the ERP's own words, without the password"
    (trouble,) = (each for each in seen if isinstance(each, Trouble))
    assert (trouble.where, trouble.error) == ("login", error)
    assert trouble.page is not None
    assert sessions.PASSWORD.encode() not in trouble.page.frozen


def test_nothing_is_typed_where_a_captcha_shows(chromium: Browser, erp: Erp) -> None:
    erp.goes = "captcha"
    _, error = ended(chromium, erp)
    assert (error.outcome, erp.logins) == (Outcome.CAPTCHA, 0)


def test_a_wrong_password_at_the_new_login_is_one_too(chromium: Browser, erp: Erp) -> None:
    erp.drops = {2}
    reading = sessions.read(chromium, erp, Recipe.model_validate(recipe_data("click")))
    assert orders([next(reading)]) == ["1"]
    erp.goes = "wrong_password"
    with pytest.raises(PersonNeeded) as caught:
        list(reading)
    assert (caught.value.outcome, erp.logins) == (Outcome.WRONG_PASSWORD, 2)


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_waited_for_a_person_goes_on_at_the_same_row(chromium: Browser, erp: Erp, way: str) -> None:
    erp.drops, erp.kicks = {3}, True
    seen, _ = ended(chromium, erp, way)
    erp.kicks = False
    done = frozenset(each.place for each in seen if isinstance(each, Done))
    later = list(sessions.read(chromium, erp, Recipe.model_validate(recipe_data(way)), done))
    assert orders([*seen, *later]) == EVERY
    assert erp.opened == Counter(range(1, ROWS + 1))
    (whole,) = (each for each in later if isinstance(each, ListRead))
    assert (whole.harvested, completeness.of(whole)) == (ROWS, Completeness.PROVED)


@pytest.mark.parametrize("way", WAYS)
def test_a_record_that_cannot_be_read_is_told_of_once(chromium: Browser, erp: Erp, way: str) -> None:
    """The second record lacks what is waited for; the session ends at the third."""
    erp.drops = {3}
    data = recipe_data(way)
    lacking = {"do": "wait", "until": {"css": "h1:not(:has-text('PO-2'))"}, "timeout_s": 0.3}
    data["steps"][1]["steps"] = [lacking, {"do": "snap", "name": "order"}]
    seen = list(sessions.read(chromium, erp, Recipe.model_validate(data)))
    (told,) = troubles(seen)
    assert told.startswith("SA2202 list orders, record 2")
    assert orders(seen) == ["1", "3", "4"]
    assert erp.opened == Counter(range(1, ROWS + 1))
