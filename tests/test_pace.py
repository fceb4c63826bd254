"""Limits of politeness: however pages come, no minute sees more of them than the limit."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from scraper_agent.app import App
from scraper_agent.capture.browser import PlaywrightBrowser, Settings
from scraper_agent.capture.pace import Pace
from scraper_agent.config import Erp
from scraper_agent.ports import Page
from tests.gauntlet.listing import recipe, served

TOP = Path(__file__).resolve().parents[1]

MOST = st.integers(1, 6)
GAPS = st.lists(st.integers(0, 40), max_size=60)


def run(most: int | None, window: int, gaps: list[int]) -> tuple[list[float], float]:
    """When each page load began, where one is wanted so many seconds after the one before; and all waiting."""
    pace, now, waited, begun = Pace(most, window), 0.0, 0.0, []
    for gap in gaps:
        now += gap
        while (wait := pace.begin(now)) > 0:
            now += wait
            waited += wait
        begun.append(now)
    return begun, waited


@given(MOST, st.integers(1, 60), GAPS)
def test_no_window_holds_more_than_the_limit(most: int, window: int, gaps: list[int]) -> None:
    begun, _ = run(most, window, gaps)
    for first in begun:
        assert sum(first <= each < first + window for each in begun) <= most


@given(MOST, st.integers(1, 60), GAPS)
def test_nobody_waits_longer_than_the_limit_asks(most: int, window: int, gaps: list[int]) -> None:
    """Each begins when it is wanted, or at the moment at which the `most`-th before it is a window old."""
    begun, _ = run(most, window, gaps)
    for number, (before, gap) in enumerate(zip([0.0, *begun], gaps, strict=False)):
        oldest = begun[number - most] + window if number >= most else 0.0
        assert begun[number] == max(before + gap, oldest)


@given(GAPS)
def test_without_a_limit_nobody_waits(gaps: list[int]) -> None:
    begun, waited = run(None, 60, gaps)
    assert (begun, waited) == (list(itertools.accumulate(gaps)), 0)


@given(MOST, st.floats(0, 1e6), st.floats(1e-3, 1e3))
def test_a_clock_of_fractions_ends_the_waiting_too(most: int, start: float, window: float) -> None:
    pace = Pace(most, window)
    for _ in range(most):
        assert pace.begin(start) == 0
    wait = pace.begin(start)
    assert wait == window
    assert pace.wait_s(start + wait + 1e-6) == 0


def test_what_was_told_to_wait_has_not_begun() -> None:
    pace = Pace(1, 60)
    assert [pace.begin(0), pace.begin(10), pace.begin(59), pace.begin(60), pace.wait_s(61)] == [0, 50, 1, 0, 59]


@pytest.mark.parametrize("wrong", [{"tabs": 0}, {"tabs": 9}, {"pages_per_minute": 0}, {"delay": 1}])
def test_a_pace_that_cannot_be_kept_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        Erp.model_validate({"pace": wrong})


@dataclass
class Records:
    """A list with links, whose first `together` records are only answered when all of them have been asked for."""

    count: int
    together: int = 1
    stamps: list[float] = field(default_factory=list)
    under_way: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.gate = threading.Barrier(self.together)

    def list(self, _: Mapping[str, str]) -> str:
        self.stamps.append(time.monotonic())
        return "".join(f"<p class=row><a href='/record?no={n}'>{n}</a></p>" for n in range(1, self.count + 1))

    def record(self, query: Mapping[str, str]) -> str:
        with self.lock:
            self.stamps.append(time.monotonic())
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        if int(query["no"]) <= self.together:
            self.gate.wait(20)
        with self.lock:
            self.under_way -= 1
        return f"<h1>{query['no']}</h1>"

    def read(self, tabs: int, pace: Pace) -> int:
        """How many records a browser of so many tabs and this pace read."""
        steps = (
            {"do": "open", "url": "${base}/list"},
            {"do": "list", "name": "all", "rows": ".row", "open": {"how": "link", "target": "a"},
             "steps": [{"do": "snap", "name": "page"}]},
        )  # fmt: skip
        browser = PlaywrightBrowser(settings=Settings(images=False, tabs=tabs), secret=str, pace=pace)
        with served({"/list": self.list, "/record": self.record}) as base:
            seen = list(browser.harvest(recipe(*steps), {"base": base}))
        return sum(isinstance(s, Page) for s in seen)


@pytest.mark.parametrize("tabs", [1, 4])
def test_so_many_records_load_at_a_time_as_there_may_be_tabs_and_no_more(tabs: int) -> None:
    erp = Records(count=8, together=tabs)
    assert erp.read(tabs, Pace()) == 8
    assert erp.most == tabs


def test_records_wait_until_the_pace_lets_them_begin() -> None:
    """One page of the list, the list again in one tab or two, seven records: two loads in each half second."""
    erp, pace = Records(count=7), Pace(2, window_s=0.5)
    assert erp.read(2, pace) == 7
    assert len(erp.stamps) in (9, 10)  # a second tab is only made while there is a page load to spare
    assert erp.stamps[-1] - erp.stamps[0] > 1.8


def test_the_config_says_how_fast_an_erp_is_read_whatever_recipe_reads_it(tmp_path: Path) -> None:
    example = (TOP / "config.example.yaml").read_text(encoding="utf-8")
    limited = example.replace("pace: {tabs: 3}", "pace: {tabs: 5, pages_per_minute: 30}")
    assert limited != example
    (tmp_path / "config.yaml").write_text(limited, encoding="utf-8")
    (tmp_path / "policy.yaml").write_text("automatic: {}\n", encoding="utf-8")
    app = App.load(tmp_path / "config.yaml")
    one, again, other = (app.browser(name) for name in ("demo", "demo", "another"))
    assert isinstance(one, PlaywrightBrowser)
    assert isinstance(again, PlaywrightBrowser)
    assert isinstance(other, PlaywrightBrowser)
    assert (one.settings.tabs, one.pace.most, one.pace.window_s) == (5, 30, 60)
    assert again.pace is one.pace
    assert (other.settings.tabs, other.pace.most) == (3, None)
