"""Lists of the living page: page by page to the end, and every row's record, with proof of having come back."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from playwright.sync_api import Error
from playwright.sync_api import Page as Tab

from scraper_agent.errors import PageError
from scraper_agent.messages import N_
from scraper_agent.ports import Sighting, Trouble
from scraper_agent.recipe import ByClick, ByLink, ByWalk, List
from scraper_agent.values import ListRead

if TYPE_CHECKING:
    from scraper_agent.capture.browser import _Session

_ACT_S = 10.0
"""How long the next page of a list may take to show other rows."""
_STEP_S = 1.5
"""A click on `next` that the page dropped is repeated after so long, while the position proves that nothing moved."""
_ARRIVE_S = 30.0
_TABS = 3
"""Pages that load while one is read; more would only wait for the same processor."""

_OFF = "e => e.closest('[disabled],[aria-disabled=true],.disabled') !== null"
_OTHER_ROWS = "([css, old]) => { const r = window.__agent && window.__agent.rows(css); return r && r.join() !== old; }"
_ROWS = "css => window.__agent.rows(css)"
_GO = "url => { window.__agentLeft = true; setTimeout(() => { location.href = url; }, 0); }"
_GONE = "() => !window.__agentLeft && window.__agent !== undefined && document.readyState === 'complete'"
_NUMBER_IS = "([css, pattern, n]) => window.__agent.number(css, pattern) === n"


@dataclass(slots=True)
class ListReader:
    """The list half of one session, which keeps the tab."""

    session: _Session

    def read(self, step: List) -> Iterator[Sighting]:
        links: list[str | None] = []
        harvested = pages = 0
        declared = self.session._number(step.declared) if step.declared is not None else None
        while True:
            pages += 1
            yield from self.session._steps(step.page, f"list {step.name}, page {pages}")
            rows: list[str] = self.session.tab.evaluate(_ROWS, step.rows)
            harvested += len(rows)
            match step.open:
                case ByLink(target=target):
                    links += self.session.tab.evaluate(
                        "([css, t]) => window.__agent.links(css, t)", [step.rows, target]
                    )
                case ByClick() as how:
                    yield from self._each_by_click(step, how, rows)
                case ByWalk() as how:
                    yield from self._walk(step, how, len(rows))
                case None:
                    pass
                case unknown:
                    assert_never(unknown)
            if not self._next_page(step, rows):
                break
        yield from self.session._drain()
        yield ListRead(name=step.name, declared=declared, harvested=harvested, pages=pages)
        if isinstance(step.open, ByLink):
            yield from self._follow_all(step, links)

    def _next_page(self, step: List, rows: list[str]) -> bool:
        """Go to the next page of the list; False if this was the last."""
        if step.next is None:
            return False
        button = self.session._locate(step.next)
        if button.count() == 0 or not button.first.is_visible():
            return False
        if button.evaluate(_OFF):
            return False
        self.session._click(button, self.session._named(step.next), double=False)
        if not self.session._wait_for(_OTHER_ROWS, [step.rows, ",".join(rows)], _ACT_S):
            raise PageError(
                "SA2207",
                N_("list {name}: after {target} the same {count} rows were shown"),
                hint=N_("the last page must have `next` disabled, hidden or absent; or the list was slow"),
                name=step.name,
                target=self.session._named(step.next),
                count=len(rows),
            )
        self.session._rest()
        return True

    def _follow_all(self, step: List, links: list[str | None]) -> Iterator[Sighting]:
        """Open every link; while one page is read, the next ones load in tabs of their own."""
        home = self.session.tab
        spare: deque[Tab] = deque(self._new_tab() for _ in range(min(_TABS, len(links))))
        loading: deque[tuple[Tab, str | None]] = deque()
        coming = iter(links)
        try:
            for number in range(1, len(links) + 1):
                for link in itertools.islice(coming, len(spare)):
                    tab = spare.popleft()
                    if link is not None:
                        tab.evaluate(_GO, link)
                    loading.append((tab, link))
                self.session.tab, link = loading.popleft()
                yield from self._follow(step, link, number)
                spare.append(self.session.tab)
        finally:
            for tab in (*spare, *(tab for tab, _ in loading)):
                tab.close()
            self.session.tab = home

    def _new_tab(self) -> Tab:
        """A tab on a page of the ERP's own, so that what it opens is opened from there."""
        tab = self.session.context.new_page()
        tab.goto(self.session.tab.url, wait_until="commit")
        return tab

    def _follow(self, step: List, link: str | None, number: int) -> Iterator[Sighting]:
        where = f"list {step.name}, record {number}"
        try:
            if link is None:
                raise PageError(
                    "SA2208",
                    N_("list {name}: row {number} has no link to open"),
                    hint=N_("correct `open.target`, or narrow `rows` to rows that stand for records"),
                    name=step.name,
                    number=number,
                )
            self._arrive(link)
            yield from self.session._steps(step.steps, where)
        except (PageError, Error) as error:
            yield from self.session._drain()
            yield Trouble(where=where, error=self.session._told(error, where), page=self.session._evidence())

    def _arrive(self, link: str) -> None:
        """Wait for a page that `_GO` has set out for; a redirect may lead elsewhere."""
        if not self.session._wait_for(_GONE, [link], _ARRIVE_S) or self.session.tab.url.startswith("chrome-error:"):
            self.session._open(link)  # the ordinary way says what is wrong
        else:
            self.session._rest()

    def _each_by_click(self, step: List, how: ByClick, rows: list[str]) -> Iterator[Sighting]:
        for number in range(1, len(rows) + 1):
            row = self.session.tab.locator(step.rows).filter(visible=True).nth(number - 1)
            self.session._click(row.locator(how.target), f"css {how.target}", double=how.double)
            yield from self.session._careful(f"list {step.name}, record {number}", step.steps)
            yield from self.session._steps(how.back, f"list {step.name}, back from record {number}")
            self._came_back(step, rows)

    def _came_back(self, step: List, rows: list[str]) -> None:
        again: list[str] = self.session.tab.evaluate(_ROWS, step.rows)
        if again != rows:
            raise PageError(
                "SA2209",
                N_("list {name}: the list is not the one that was left: {seen} rows, expected the same {expected}"),
                hint=N_("correct `back`; or somebody changed the list meanwhile: run again"),
                name=step.name,
                seen=len(again),
                expected=len(rows),
            )

    def _walk(self, step: List, how: ByWalk, count: int) -> Iterator[Sighting]:
        if count == 0:
            return
        first = self.session.tab.locator(step.rows).filter(visible=True).first
        self.session._click(first.locator(how.target).first, f"css {how.target}", double=how.double)
        start = self.session._number(how.position)
        for number in range(count):
            if number:
                self._advance(step, how, (start or 1) + number)
            yield from self.session._careful(f"list {step.name}, record {number + 1}", step.steps)
        yield from self.session._steps(how.back, f"list {step.name}, back")

    def _advance(self, step: List, how: ByWalk, wanted: int) -> None:
        """Press `next` until the page itself says that record `wanted` is shown."""
        place = [how.position.css, how.position.pattern, wanted]
        for _ in range(5):
            self.session._locate(how.next).click()
            if not self.session._wait_for(_NUMBER_IS, place, _STEP_S):
                self.session._rest()
                if self.session._number(how.position) == wanted - 1:
                    continue  # the click was dropped; nothing has moved
            if self.session._number(how.position) == wanted:
                self.session._rest()
                return
        raise PageError(
            "SA2210",
            N_("list {name}: record {expected} did not show; the page says {seen}"),
            hint=N_("correct `open.next` or `open.position`"),
            name=step.name,
            expected=wanted,
            seen=self.session._number(how.position),
        )
