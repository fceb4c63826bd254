"""Reading 60 orders in Tryton's web client, against waiting for quiet and reading cell by cell; and how long the client
takes only to show them, one after the other, which no reader can be faster than."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Page as Tab
from playwright.sync_api import sync_playwright

from scraper_agent import mapping
from scraper_agent.app import load_recipe
from scraper_agent.capture import discovery
from scraper_agent.capture.browser import PlaywrightBrowser, Settings
from scraper_agent.ports import Page, Trouble
from scraper_agent.values import Digest
from tests.tryton.server import HERE, OPERATOR, PASSWORD, TrytonServer

ORDERS = 60
QUIET_S = 0.25
ACTIVE = "#tabcontent > .active "
ROOT = HERE.parent.parent
_SHOWN = """number => jQuery.active === 0 && !Sao.Tab.tabs.get_current()._action_running
  && document.querySelector('#tabcontent > .active .toolbar .badge').textContent.startsWith(number + '/')
  && !document.querySelector('#tabcontent > .active button#previous').disabled"""


class Requests:
    """Counts requests under way, so that quiet can be waited for from outside the page."""

    def __init__(self, tab: Tab) -> None:
        self.tab, self.running, self.last = tab, 0, time.perf_counter()
        tab.on("request", lambda _: self._count(1))
        tab.on("requestfinished", lambda _: self._count(-1))
        tab.on("requestfailed", lambda _: self._count(-1))

    def _count(self, by: int) -> None:
        self.running += by
        self.last = time.perf_counter()

    def quiet(self) -> None:
        self.last = time.perf_counter()
        while self.running > 0 or time.perf_counter() - self.last < QUIET_S:
            self.tab.wait_for_timeout(25)


@contextlib.contextmanager
def first_form(url: str) -> Iterator[tuple[Tab, Requests]]:
    """A tab that shows the first order's form."""
    with sync_playwright() as playwright:
        chromium = discovery.launch(playwright, None, headless=True, tell=print)
        tab = chromium.new_context(viewport={"width": 1600, "height": 950}, locale="en-US").new_page()
        requests = Requests(tab)
        tab.goto(url)
        tab.fill("#login", OPERATOR)
        tab.click(".login-dialog button[type=submit]")
        tab.fill("#ask-dialog-entry", PASSWORD)
        tab.click(".ask-dialog button[title=OK]")
        tab.wait_for_selector("#menu tbody tr")
        tab.goto("about:blank")
        tab.goto(f"{url}/#tryton/model/purchase.purchase")
        tab.wait_for_selector(f"{ACTIVE}.tree-container tbody tr")
        requests.quiet()
        tab.locator(f"{ACTIVE}.tree-container tbody tr td[data-title^=Reference]").first.dblclick()
        tab.wait_for_selector(f"{ACTIVE}input[name=number]")
        requests.quiet()
        yield tab, requests
        chromium.close()


def cell_by_cell(url: str) -> tuple[float, int]:
    """Seconds for 60 orders from the first form on, and lines read: as scripts are commonly written."""
    lines = 0
    with first_form(url) as (tab, requests):
        started = time.perf_counter()
        for number in range(ORDERS):
            if number:
                tab.locator(f"{ACTIVE}button#next").click()
                requests.quiet()
            lines += _read(tab)
        return time.perf_counter() - started, lines


def only_shown(url: str) -> float:
    """Seconds for 60 orders to be shown and nothing read, each awaited by what the client knows of itself."""
    with first_form(url) as (tab, _):
        started = time.perf_counter()
        for number in range(1, ORDERS):
            tab.locator(f"{ACTIVE}button#next").click()
            tab.wait_for_function(_SHOWN, arg=number + 1, polling="raf")
        return (time.perf_counter() - started) * ORDERS / (ORDERS - 1)


def _read(tab: Tab) -> int:
    lines = tab.locator(f"{ACTIVE}.form-one2many").first
    more = lines.locator("tr.more-row button")
    while more.count():
        more.first.evaluate("e => e.click()")
        tab.wait_for_timeout(50)
    for control in tab.locator(f"{ACTIVE}.form input[type=text][name], {ACTIVE}.form select[name]").all():
        control.input_value()
    rows = lines.locator("tbody tr:not(.more-row)").all()
    for row in rows:
        for cell in row.locator("td[headers]").all():
            cell.text_content()
    return len(rows)


def frozen(url: str, *, images: bool, proxied: bool = True) -> tuple[float, int]:
    """Seconds for 60 orders from the first form on, and lines read: by the recipe, mapped to documents."""
    loaded = load_recipe(str(ROOT / "recipes" / "tryton" / "order.yaml"), ROOT / "recipes")
    browser = PlaywrightBrowser(settings=Settings(images=images, proxied=proxied), secret=lambda _: PASSWORD)
    reader = mapping.Reader(recipe=loaded.recipe, format=loaded.format, lookups=loaded.lookups, profile={})
    started, lines, seen = 0.0, 0, 0
    sightings: Any = browser.harvest(loaded.recipe, {"base": url, "user": OPERATOR})
    for sighting in sightings:
        assert not isinstance(sighting, Trouble), str(sighting.error)
        if not isinstance(sighting, Page):
            continue
        if reader.is_source(sighting.name):
            reader.learn(sighting.name, sighting.frozen, Digest("sm3:"))
        if sighting.name == loaded.recipe.document.page:
            started = started or time.perf_counter()
            lines += len(reader.read(sighting.frozen, Digest("sm3:")).lines)
            seen += 1
            if seen == ORDERS:
                seconds = time.perf_counter() - started
                sightings.close()
                return seconds * ORDERS / (ORDERS - 1), lines  # the first form's own time is not in it
    raise AssertionError(f"{seen} orders")


def measure() -> dict[str, float]:
    with TrytonServer() as server:
        url = server.url.rstrip("/")
        frozen_s, lines = frozen(url, images=True)
        # The better of two each: one run differs from the next by more than a proxy costs.
        direct_s = min(frozen(url, images=True, proxied=False)[0] for _ in range(2))
        proxied_s = min(frozen_s, frozen(url, images=True)[0])
        bare_s, _ = frozen(server.url.rstrip("/"), images=False)
        naive_s, naive_lines = cell_by_cell(server.url.rstrip("/"))
        shown_s = only_shown(server.url.rstrip("/"))
    return {
        "cell_by_cell_s": naive_s,
        "frozen_s": frozen_s,
        "only_shown_s": shown_s,
        "proxied_s": proxied_s,
        "without_proxy_s": direct_s,
        "proxy_ratio": proxied_s / direct_s,
        "frozen_without_images_s": bare_s,
        "faster": naive_s / frozen_s,
        "faster_without_images": naive_s / bare_s,
        "faster_only_shown": naive_s / shown_s,
        "lines": lines,
        "lines_cell_by_cell": naive_lines,
    }


if __name__ == "__main__":
    for name, number in measure().items():
        print(f"{name:>25} {number:10.2f}")
