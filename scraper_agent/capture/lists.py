"""Lists of the living page: page by page to the end, and every row's record, with proof of having come back."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from importlib import resources
from time import monotonic
from typing import TYPE_CHECKING, assert_never
from urllib.parse import urlsplit

from playwright.sync_api import Error, Locator
from playwright.sync_api import Page as Tab
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from pydantic import BaseModel, TypeAdapter

from scraper_agent import completeness, convert
from scraper_agent.capture import gathered, guard, limits
from scraper_agent.completeness import Evidence, Filter, Sum
from scraper_agent.errors import PageError
from scraper_agent.messages import N_
from scraper_agent.ports import Sighting, Trouble
from scraper_agent.recipe import ByClick, ByLink, ByWalk, Grid, List, Step, Target, Total, Unfold
from scraper_agent.values import ListRead

if TYPE_CHECKING:
    from scraper_agent.capture.browser import _Session

SCRIPT = (resources.files("scraper_agent.capture") / "lists.js").read_text(encoding="utf-8")

_ACT_S = 10.0
"""How long the next page of a list may take to show other rows."""
_AT_LEAST = 0.6
"""Of a page's patience, once it is its turn, even if it has been under way for long: others may have held it up."""
_AT_FIRST = 0.25
"""Of a page's patience, before it is asked whether another record's page holds it up."""
_HELD_S = 2.0
_LOOK_MS = 10
_STEP_S = 1.5
"""A click on `next` that the page dropped is repeated after so long, while the position proves that nothing moved."""
_ROW_S = 3.0
"""How long a grid may take to draw the rows of one place that it was scrolled to."""
_BACK_S = 5.0
_PATIENCE_S = 1.0
"""How long the bottom of an endless list is watched for more rows, or for a sign that some are being loaded."""

_OFF = "e => e.closest('[disabled],[aria-disabled=true],.disabled') !== null"
_OTHER_ROWS = "([css, old]) => { const r = window.__agent && window.__agent.rows(css); return r && r.join() !== old; }"
_SAME_ROWS = "([css, old]) => window.__agent.rows(css).join() === old"
_MORE_ROWS = "([css, n]) => window.__agentLists.count(css) > n"
_MORE_OR_BUSY = "([css, n, busy]) => window.__agentLists.count(css) > n || window.__agentLists.busy(busy)"
_NOT_BUSY = "([css]) => !window.__agentLists.busy(css)"
_FIELD = """e => ("" + (e.localName === 'select' ? e.selectedOptions[0]?.text ?? '' : e.value ?? e.innerText))
  .slice(0, 2000).toWellFormed()"""
_ROWS = "css => window.__agent.rows(css)"
_FLAG = TypeAdapter(bool | None)
_COUNT = TypeAdapter(int)
_COMPLETE = "() => document.readyState === 'complete'"
_NUMBER_IS = "([css, pattern, n]) => window.__agent.number(css, pattern) === n"


class _SeenRow(BaseModel):
    text: str
    key: str | None
    link: str | None
    amounts: list[str]


class _Sight(BaseModel):
    """What lists.js answers when it has looked."""

    seen: list[_SeenRow]
    hidden: int


class _GatheredRow(BaseModel):
    id: str
    link: str | None
    cells: list[list[str | int] | None]


class _Gathered(BaseModel):
    """What lists.js answers when it has scrolled through a grid."""

    heads: list[list[str | int]]
    rows: list[_GatheredRow]
    doubtful: list[list[str]]
    changed: int
    gaps: int
    missing: int
    stops: int
    ended: bool


_SIGHT = TypeAdapter(_Sight)
_GATHERED: TypeAdapter[_Gathered | None] = TypeAdapter(_Gathered | None)


@dataclass(slots=True)
class _Tally:
    """What one pass over a list has seen so far."""

    rows: list[_Row] = field(default_factory=list)
    pages: int = 0
    loads: int = 0
    """How often the page was asked for more rows: beyond the first page every one can have moved the list."""
    ended: bool = True
    hidden: int = 0
    missing: int = 0
    changed: int = 0
    returned: bool = True
    tables: list[gathered.Gathered] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)
    """How often each name of a row has come: two rows may be called alike."""


@dataclass(frozen=True, slots=True)
class _Row:
    text: str
    key: str | None
    link: str | None
    amounts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What two looks at one row have alike."""
        return self.text if self.key is None else self.key


@dataclass(eq=False)
class Coming:
    """A record, and the tab that it is to be shown in."""

    tab: Tab
    link: str | None
    used: bool = False
    """Another record was shown in the tab before, at the address `before`."""
    before: str = ""
    since: float = 0.0
    put_off: bool = False
    """Its tab is closed or was sent nowhere: it loads when it is its turn, and nothing loads beside it."""
    over: bool = False
    """It is coming in, or there is none: `error`."""
    complete: bool = False
    error: Error | None = None

    @property
    def there(self) -> bool:
        return self.over and (self.complete or self.error is not None)


@dataclass(slots=True)
class ListReader:
    """The list half of one session, which keeps the tab."""

    session: _Session

    def read(self, step: List) -> Iterator[Sighting]:
        """Read a list to its end, certify it, and open its records. What breaks it off is certified too."""
        session = self.session
        session.gathered = ()
        tally = _Tally()
        evidence = Evidence(harvested=0, wants_declared=step.declared is not None)
        try:
            if step.page_size is not None:
                self._largest_page(step, step.page_size)
            evidence = replace(evidence, declared=session._number(step.declared))
            yield from self._pages(step, tally, again=False)
            second = yield from self._second_look(step, tally)
            evidence = self._concluded(step, tally, evidence)
            if second is not None:
                names = [Counter(row.name for row in rows) for rows in (second, tally.rows)]
                evidence = replace(evidence, recounted=len(second), same=names[0] == names[1])
        except (PageError, Error) as error:
            session.failed()
            broken = session._told(error, f"list {step.name}").code
            yield from session._drain()
            yield self._fact(step, tally, replace(self._counted(step, tally, evidence), broken=broken))
            raise
        yield from session._drain()
        yield self._fact(step, tally, evidence)
        session.gathered = _joined(step.name, tally.tables)
        if isinstance(step.open, ByLink):
            places = [self._place(step, row, tally) for row in tally.rows]
            links = [(n, row.link, at) for n, (row, at) in enumerate(zip(tally.rows, places, strict=True), 1)]
            yield from self._follow_all(step, [each for each in links if not session.progress.passed(each[2])])

    def _fact(self, step: List, tally: _Tally, evidence: Evidence) -> ListRead:
        return ListRead(
            name=step.name,
            declared=evidence.declared,
            harvested=evidence.harvested,
            pages=tally.pages,
            certificate=completeness.certificate(evidence),
        )

    # --- one pass ---------------------------------------------------------------------------------------------------

    def _pages(self, step: List, tally: _Tally, *, again: bool) -> Iterator[Sighting]:
        while True:
            tally.pages += 1
            self.session.point()
            self.session.limits.allow()
            rows = yield from self._page(step, tally, again=again)
            tally.rows += rows
            if len(tally.rows) > limits.ROWS:
                raise _endless(step)
            texts = [row.text for row in rows]
            if not again:
                match step.open:
                    case ByClick() as how:
                        yield from self._each_by_click(step, how, rows, tally)
                    case ByWalk() as how:
                        yield from self._walk(step, how, rows, tally)
                    case ByLink() | None:
                        pass
                    case unknown:
                        assert_never(unknown)
            if not self._next_page(step, texts, tally):
                break

    def _page(self, step: List, tally: _Tally, *, again: bool) -> Generator[Sighting, None, list[_Row]]:
        """The rows of the page of the list that is shown."""
        session = self.session
        where = f"list {step.name}, page {tally.pages}"
        self._unroll(step, tally)
        before: list[_Row] | None = None
        if step.grid is not None:
            rows, table = self._gather(step, step.grid, tally)
            tally.tables.append(table)
            if not again and step.page:
                session.gathered = (table,)
                yield from session._steps(step.page, where)
                session.gathered = ()
        elif again:
            rows = self._look(step, tally)
        else:
            before = self._look(step, _Tally()) if step.page and not _folds(step.page) else None
            yield from session._steps(step.page, where)
            rows = self._look(step, tally)
        session.keeper.probe()  # the login's page is no list without rows
        names = tuple(row.name for row in rows)
        if before is not None and tuple(row.name for row in before) != names:
            tally.changed += 1  # what `page` froze may be what was there before, or after
        if step.page and not again and session.progress.moved(session.progress.place(where), names):
            tally.changed += 1  # what `page` froze was handed over before the session ended
        return rows

    def _place(self, step: List, row: _Row, tally: _Tally) -> str:
        """What tells this record in another pass over the same list."""
        name = row.link or row.name
        tally.met[name] += 1
        return self.session.progress.place(f"list {step.name}", name, str(tally.met[name]))

    def _record(self, step: List, number: int, place: str, *, careful: bool = True) -> Iterator[Sighting]:
        """The steps on a record that is shown."""
        session, where = self.session, f"list {step.name}, record {number}"
        with session.progress.within(place):
            sightings = session._careful(where, step.steps) if careful else session._steps(step.steps, where)
            yield from session.progress.record(place, step.steps, sightings)

    def _look(self, step: List, tally: _Tally) -> list[_Row]:
        link = step.open.target if isinstance(step.open, ByLink) else None
        wanted = {"rows": step.rows, "key": step.key, "link": link, "cells": [t.cell for t in step.totals]}
        found = limits.answer(
            _SIGHT, lambda: self.session.tab.evaluate("wanted => window.__agentLists.look(wanted)", wanted)
        )
        tally.hidden += found.hidden
        return [
            _Row(
                text=row.text,
                key=row.key if step.key is not None else row.link if link is not None else None,
                link=row.link,
                amounts=tuple(row.amounts),
            )
            for row in found.seen
        ]

    def _second_look(self, step: List, tally: _Tally) -> Generator[Sighting, None, list[_Row] | None]:
        """All rows once more; None where that would need steps that the recipe does not give."""
        if step.recount is None:
            still = tally.pages == 1 and tally.loads == 0 and step.grid is None and not _folds(step.page)
            return self._look(step, _Tally()) if still and not isinstance(step.open, ByWalk) else None
        self.session.gathered = ()
        yield from self.session._steps(step.recount, f"list {step.name}, recount")
        again = _Tally()
        yield from self._pages(step, again, again=True)
        tally.changed += again.changed
        tally.missing += again.missing
        tally.ended = tally.ended and again.ended
        tally.changed += _cells_changed(tally.tables, again.tables)
        return again.rows

    # --- what is certified ------------------------------------------------------------------------------------------

    def _counted(self, step: List, tally: _Tally, evidence: Evidence) -> Evidence:
        keys = [row.key for row in tally.rows]
        named = step.key is not None or isinstance(step.open, ByLink)
        return replace(
            evidence,
            harvested=len(keys),
            keys=len({key for key in keys if key}) if named else None,
            keyless=sum(not key for key in keys) if named else 0,
            ended=tally.ended,
            missing=tally.missing,
            changed=tally.changed,
            hidden=tally.hidden,
            returned=tally.returned,
        )

    def _concluded(self, step: List, tally: _Tally, evidence: Evidence) -> Evidence:
        session = self.session
        filters = tuple(
            Filter(
                field=session._named(each.field),
                wanted=session._fill_in(each.reads),
                seen=limits.answer(limits.TEXT, partial(session._locate(each.field).evaluate, _FIELD)),
            )
            for each in step.filters
        )
        sums = tuple(self._sum(number, total, tally) for number, total in enumerate(step.totals))
        return replace(
            self._counted(step, tally, evidence),
            declared_after=session._number(step.declared),
            sums=sums,
            filters=filters,
        )

    def _sum(self, number: int, total: Total, tally: _Tally) -> Sum:
        locale = self.session.recipe.locale
        stated = limits.answer(
            limits.TEXT, lambda: self.session.tab.evaluate("css => window.__agentLists.stated(css)", total.stated)
        )
        try:
            summed = sum((convert.number(row.amounts[number], locale) for row in tally.rows), Decimal(0))
        except convert.Unreadable as error:
            return Sum(column=total.cell, stated=stated[:60], summed=str(error)[:120], equal=False)
        try:
            equal = convert.number(stated, locale) == summed
        except convert.Unreadable:
            equal = False
        return Sum(column=total.cell, stated=stated[:60], summed=f"{summed:f}", equal=equal)

    # --- getting at every row ---------------------------------------------------------------------------------------

    def _largest_page(self, step: List, target: Target) -> None:
        box = self.session._locate(target)
        options: list[list[str]] = box.evaluate("e => Array.from(e.options || [], (o) => [o.value, o.text])")
        sizes = {int(m[0]): value for value, text in options if (m := re.search(r"\d+", text))}
        if not sizes:
            raise PageError(
                "SA2240",
                N_("list {name}: {target} is no drop-down list of page sizes"),
                hint=N_("correct `page_size` in the recipe"),
                name=step.name,
                target=self.session._named(target),
            )
        box.select_option(value=sizes[max(sizes)])
        self.session._rest()

    def _unroll(self, step: List, tally: _Tally) -> None:
        """Bring every row of this page of the list onto the page."""
        if step.more is not None:
            self._press_more(step, step.more, tally)
        elif step.scroll is not None:
            self._scroll_down(step, step.scroll, tally)

    def _shown(self, step: List) -> int:
        self.session.limits.allow()
        count = limits.answer(
            _COUNT, lambda: self.session.tab.evaluate("css => window.__agentLists.count(css)", step.rows)
        )
        if count > limits.ROWS:
            raise _endless(step)
        return count

    def _press_more(self, step: List, more: Target, tally: _Tally) -> None:
        button = self.session._locate(more)
        while button.count() and button.first.is_visible() and not button.first.evaluate(_OFF):
            before = self._shown(step)
            self.session._click(button.first, self.session._named(more), double=False)
            tally.loads += 1
            if self.session._wait_for(_MORE_ROWS, [step.rows, before], _ACT_S):
                self._loaded(step)
                continue
            if not button.count() or not button.first.is_visible() or button.first.evaluate(_OFF):
                break  # the last press only told that there is no more
            raise PageError(
                "SA2241",
                N_("list {name}: after {target} no more rows came within {seconds} s; {count} are shown"),
                hint=N_("the button must be disabled or gone once every row is there; or the list was slow"),
                name=step.name,
                target=self.session._named(more),
                seconds=_ACT_S,
                count=before,
            )

    def _scroll_down(self, step: List, css: str, tally: _Tally) -> None:
        """To the bottom, until as many rows as declared are there, or a loading indicator came and went in vain."""
        session, loading = self.session, False
        while True:
            before = self._shown(step)
            there = limits.answer(_FLAG, lambda: session.tab.evaluate("css => window.__agentLists.bottom(css)", css))
            if there is None:
                raise _nothing_to_scroll(step, css)
            declared = session._number(step.declared)
            if declared is not None and before >= declared:
                return
            came = session._wait_for(_MORE_OR_BUSY, [step.rows, before, step.busy], _PATIENCE_S)
            loading = loading or (came and self._shown(step) == before)
            self._loaded(step)
            if self._shown(step) > before:
                tally.loads += 1
                loading = loading or step.busy is not None
            else:
                tally.ended = tally.ended and loading and declared is None
                return

    def _loaded(self, step: List) -> None:
        """Raises: PageError: rows are still being loaded after the time a page may take."""
        self.session._rest()
        if step.busy is not None and not self.session._wait_for(_NOT_BUSY, [step.busy], _ACT_S):
            raise PageError(
                "SA2243",
                N_("list {name}: {target} is still shown after {seconds} s"),
                hint=N_("the list was slow; or correct `busy` in the recipe"),
                name=step.name,
                target=f"css {step.busy}",
                seconds=_ACT_S,
            )

    def _gather(self, step: List, grid: Grid, tally: _Tally) -> tuple[list[_Row], gathered.Gathered]:
        """Scroll through a grid; every cell of every row, or an error."""
        link = step.open.target if isinstance(step.open, ByLink) else None
        wanted = {
            "rows": step.rows,
            "grid": grid.model_dump(),
            "key": step.key,
            "link": link,
            "busy": step.busy,
            "limit": _ROW_S * 1000,
        }
        self.session.limits.allow(limits.GATHER_S)
        answer = limits.answer(
            _GATHERED, lambda: self.session.tab.evaluate("wanted => window.__agentLists.gather(wanted)", wanted)
        )
        if answer is None:
            raise _nothing_to_scroll(step, grid.down)
        found = answer.model_dump()
        table, ids = gathered.table(step.name, found)
        tally.missing += found["missing"] + found["gaps"]
        tally.changed += found["changed"]
        tally.ended = tally.ended and found["ended"]
        key = None if step.key is None else gathered.needed(table, step.key)
        amounts = [gathered.needed(table, total.cell) for total in step.totals]
        rows = [
            _Row(
                text=id,
                key=row[key].text if key is not None else raw["link"] if link is not None else id,
                link=raw["link"],
                amounts=tuple(row[n].text for n in amounts),
            )
            for id, row, raw in zip(ids, table.rows, found["rows"], strict=True)
        ]
        return rows, table

    # --- from page to page ------------------------------------------------------------------------------------------

    def _next_page(self, step: List, rows: list[str], tally: _Tally) -> bool:
        """Go to the next page of the list; False if this was the last."""
        button = self._to_next(step, tally)
        if button is None:
            return False
        target = step.numbered if step.next is None else self.session._named(step.next)
        old = ",".join(self._texts(step)) if step.grid is not None else ",".join(rows)
        self.session._paced()
        self.session._click(button, str(target), double=False)
        if not self.session._wait_for(_OTHER_ROWS, [step.rows, old], _ACT_S):
            raise PageError(
                "SA2207",
                N_("list {name}: after {target} the same {count} rows were shown"),
                hint=N_("the last page must have `next` disabled, hidden or absent; or the list was slow"),
                name=step.name,
                target=target,
                count=len(rows),
            )
        self._loaded(step)
        return True

    def _texts(self, step: List) -> list[str]:
        return limits.answer(limits.TEXTS, lambda: self.session.tab.evaluate(_ROWS, step.rows))

    def _to_next(self, step: List, tally: _Tally) -> Locator | None:
        """What leads to the next page; None on the last."""
        if step.numbered is not None:
            wanted = str(tally.pages + 1)
            numbers = limits.answer(
                limits.TEXTS,
                lambda: self.session.tab.evaluate("css => window.__agentLists.numbers(css)", step.numbered),
            )
            if wanted in numbers:
                shown = self.session.tab.locator(f"css={step.numbered}").filter(visible=True)
                return shown.nth(numbers.index(wanted))
            higher = [n for n in numbers if n.isdigit() and int(n) > tally.pages]
            tally.ended = tally.ended and bool(numbers or tally.pages == 1) and not higher
            return None
        if step.next is None:
            return None
        button = self.session._locate(step.next)
        if button.count() == 0 or not button.first.is_visible() or button.evaluate(_OFF):
            return None
        return button

    # --- records ----------------------------------------------------------------------------------------------------

    def _follow_all(self, step: List, links: list[tuple[int, str | None, str]]) -> Iterator[Sighting]:
        """Open every link; while one page is read, the next ones load in tabs of their own."""
        session, home = self.session, self.session.tab
        fresh = partial(self._new_tab, home, home.url)
        most = session.at_once
        spare: deque[Tab] = deque()
        loading: deque[Coming] = deque()
        coming = deque(link for _, link, _ in links)

        def may_load() -> bool:
            room = len(loading) < most and not any(each.put_off for each in loading)
            return bool(coming) and room and not (loading and session.pace.wait_s(monotonic()))

        try:
            for number, _, place in links:
                session.point()
                while may_load():
                    while spare and spare[0].is_closed():  # a page may close its tab once it was read
                        spare.popleft()
                    used = bool(spare)
                    record = Coming(spare.popleft() if used else fresh(), coming.popleft(), used)
                    record.put_off = any(each.put_off for each in loading)
                    if not record.put_off and session.may_open(record.link):
                        session._paced()
                        self._set_out(record, home.url)
                    loading.append(record)
                    session.under_way.append(record)
                record = loading.popleft()
                session.under_way.remove(record)
                session.tab = record.tab
                if (yield from self._follow(step, record, number, place, fresh)):
                    spare.append(session.page)
                else:  # whatever the page did to its tab, the next record has nothing to do with it
                    self._close(session.page)
                    session.tab = home
        finally:
            for each in loading:
                session.under_way.remove(each)
            for tab in (*spare, *(each.tab for each in loading)):
                self._close(tab)
            session.tab = home

    def _close(self, tab: Tab) -> None:
        for each in self.session.windows.all_of(tab)[::-1]:
            if not each.is_closed():
                self.session.limits.close(each)

    def _set_out(self, coming: Coming, address: str) -> None:
        """Send a tab to its record, and do not wait. The browser is asked for it, not the page that the tab shows."""
        referer = urlsplit(address)._replace(fragment="").geturl()

        def go() -> None:
            tab, link = coming.tab, str(coming.link)
            try:
                if urlsplit(link)._replace(fragment="") == urlsplit(tab.url)._replace(fragment=""):
                    tab.goto("about:blank")  # else only the fragment changes, and what was open stays open
                tab.goto(link, referer=referer, wait_until="commit", timeout=0)
            except Error as error:
                coming.error = error
            coming.over = True

        coming.since, coming.before = self.session.hold.now(), coming.tab.url
        self.session.limits.apart(go)

    def _new_tab(self, home: Tab, address: str) -> Tab:
        """A tab on a page of the ERP's own, so that what it opens is opened from there.

        Raises:
            AgentError: not even that page can be reached any more, though nothing is in its way: it is no fault of a
                record.
            Error: the browser does not answer.
        """
        before, self.session.tab = self.session.tab, home  # a record's may be closed
        try:
            tab, late = self._tab_at(home, address)
            if late is not None:
                self._put_off()
                self._close(tab)
                tab, late = self._tab_at(home, address)
        finally:
            self.session.tab = before
        if late is not None:
            raise self.session.unreachable(address, late) from late
        return tab

    def _tab_at(self, home: Tab, address: str) -> tuple[Tab, PlaywrightTimeout | None]:
        """A new tab, and whether its page was late though the browser answers."""
        session, patience_s = self.session, self.session.settings.patience_s
        session._paced()
        session.limits.until(patience_s + limits.BROWSER_S, of_browser=True)
        tab = session.fresh_tab(home)
        session.limits.until(patience_s + limits.BROWSER_S, of_browser=True)
        try:
            tab.goto(address, wait_until="commit", timeout=patience_s * 1000)
        except PlaywrightTimeout as error:
            session.ask_browser()
            return tab, error
        except Error as error:
            session.check_browser()
            raise session.unreachable(address, error) from error
        session.limits.allow()
        return tab, None

    def _put_off(self) -> bool:
        """Close what loads beside, so that it holds up nothing; whether there was any.

        The tabs share what the browser asks a host for at a time, and one page can take all of it.
        """
        beside = [each for each in self.session.under_way if not each.put_off]
        for each in beside:
            each.put_off = True
            self._close(each.tab)
        return bool(beside)

    def _anew(self, record: Coming, fresh: Callable[[], Tab]) -> Coming:
        """The record in another tab, as if it had never been asked for."""
        self._close(record.tab)
        record = Coming(fresh(), record.link)
        self.session.tab = record.tab
        self.session._paced()
        self._set_out(record, record.tab.url)
        return record

    def _follow(
        self, step: List, record: Coming, number: int, place: str, fresh: Callable[[], Tab]
    ) -> Generator[Sighting, None, bool]:
        """Whether the record was read; else it is told why."""
        session, link = self.session, record.link
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
            if not session.may_open(link):
                raise PageError(
                    "SA2250",
                    N_("list {name}: row {number} leads to {seen}, which is no address of the ERP"),
                    hint=N_(
                        "correct `open.target`; only http and https addresses of the recipe's parameters are opened"
                    ),
                    name=step.name,
                    number=number,
                    seen=guard.shown(link)[:200],
                )
            if record.put_off or (not self._came(record, _AT_FIRST) and self._is_held(record)):
                record = self._anew(record, fresh)
            try:
                self._came(record, 1.0)
                self._arrive(record, link)
            except (PageError, PlaywrightTimeout):
                if session.door is None or not session.door.is_full or not self._put_off():
                    raise
                record = self._anew(record, fresh)  # it may have been held up by those beside it
                self._came(record, 1.0)
                self._arrive(record, link)
            yield from self._record(step, number, place, careful=False)
        except (PageError, Error) as error:
            session.failed()
            yield from session._drain()
            session.check_browser()
            still = record.since and not record.there
            page = None if still else session._evidence()  # it would be the page that the tab showed before
            yield Trouble(where=where, error=session._told(error, where), page=page)
            yield from session.progress.told(place)
            session.check_browser(told=True)
            return False
        for window in session.windows.of(session.page):
            window.close()
        return not session.page.is_closed()

    def _came(self, record: Coming, share: float) -> bool:
        """Wait for a page that is under way, or for an error in its place; `share` of the patience is spent."""
        patience_s = self.session.settings.patience_s * share
        now = self.session.hold.now
        end = max(record.since + patience_s, now() + _AT_LEAST * patience_s)
        self.session.limits.until(end - now() + 2 * _HELD_S)
        while not record.over and now() < end:
            self.session.sleep(_LOOK_MS)
        if record.over and not record.there:
            record.complete = self.session._wait_for(_COMPLETE, [], max(end - now(), _HELD_S))
        self.session.limits.allow()
        return record.there

    def _is_held(self, record: Coming) -> bool:
        """Whether another record's page does not let go of the tab; while the ERP is slow, that page still answers."""
        here = record.used and record.tab.url == record.before
        return here and not self.session._wait_for("() => true", [], _HELD_S)

    def _arrive(self, record: Coming, link: str) -> None:
        """A redirect may have led elsewhere."""
        session = self.session
        if not record.there:
            session.ask_browser()
            raise PageError(
                "SA2254",
                N_("the page {url} had not come after {seconds} s"),
                hint=N_("the ERP was slow, or the page never ends"),
                url=guard.shown(link)[: limits.ADDRESS],
                seconds=session.settings.patience_s,
            )
        if record.error is not None and "interrupted by another navigation" not in record.error.message:
            if session.page.is_closed():
                raise record.error
            raise PageError(  # it need not be the ERP: the next tab will tell
                "SA2253",
                N_("the address {url} gives no page: {seen}"),
                hint=N_("look at it by hand; what else the ERP shows is read all the same"),
                url=guard.shown(link)[: limits.ADDRESS],
                seen=session.seen(record.error),
            )
        session._rest()

    def _each_by_click(self, step: List, how: ByClick, rows: list[_Row], tally: _Tally) -> Iterator[Sighting]:
        texts = [row.text for row in rows]
        for number, each in enumerate(rows, 1):
            place = self._place(step, each, tally)
            if self.session.progress.passed(place):
                continue
            self.session._paced()
            row = self.session.tab.locator(step.rows).filter(visible=True).nth(number - 1)
            self.session._click(row.locator(how.target), f"css {how.target}", double=how.double)
            yield from self._record(step, number, place)
            yield from self.session._steps(how.back, f"list {step.name}, back from record {number}")
            self._came_back(step, texts)

    def _came_back(self, step: List, rows: list[str]) -> None:
        if self.session._wait_for(_SAME_ROWS, [step.rows, ",".join(rows)], _BACK_S):
            return
        again = self._texts(step)
        raise PageError(
            "SA2209",
            N_("list {name}: the list is not the one that was left: {seen} rows, expected the same {expected}"),
            hint=N_("correct `back`; or somebody changed the list meanwhile: run again"),
            name=step.name,
            seen=len(again),
            expected=len(rows),
        )

    def _walk(self, step: List, how: ByWalk, rows: list[_Row], tally: _Tally) -> Iterator[Sighting]:
        places = [self._place(step, row, tally) for row in rows]
        passed = [self.session.progress.passed(place) for place in places]
        if all(passed):
            return
        begin = passed.index(False)
        self.session._paced()
        first = self.session.tab.locator(step.rows).filter(visible=True).nth(begin)
        self.session._click(first.locator(how.target).first, f"css {how.target}", double=how.double)
        start = self.session._number(how.position)
        for number in range(begin, len(rows)):
            if number > begin:
                self._advance(step, how, (start or begin + 1) + number - begin)
            if not passed[number]:
                yield from self._record(step, number + 1, places[number])
        yield from self.session._steps(how.back, f"list {step.name}, back")
        # An ERP may show the list folded again: that is no fault, but no proof either.
        tally.returned = tally.returned and self.session._wait_for(
            _SAME_ROWS, [step.rows, ",".join(row.text for row in rows)], _STEP_S
        )

    def _advance(self, step: List, how: ByWalk, wanted: int) -> None:
        """Press `next` until the page itself says that record `wanted` is shown."""
        place = [how.position.css, how.position.pattern, wanted]
        for _ in range(5):
            self.session._paced()
            self.session._click(self.session._locate(how.next), self.session._named(how.next), double=False)
            if self.session._number(how.position) == wanted:
                return
            # A click may be dropped or take effect late: it is repeated only where the position says nothing moved.
            if self.session._wait_for(_NUMBER_IS, place, _STEP_S):
                self.session._rest()
                return
            if self.session._number(how.position) != wanted - 1:
                break
        raise PageError(
            "SA2210",
            N_("list {name}: record {expected} did not show; the page says {seen}"),
            hint=N_("correct `open.next` or `open.position`"),
            name=step.name,
            expected=wanted,
            seen=self.session._number(how.position),
        )


def _folds(steps: tuple[Step, ...]) -> bool:
    """Whether rows come onto the page only by these steps."""
    return any(isinstance(step, Unfold) for step in steps)


def _joined(name: str, tables: list[gathered.Gathered]) -> tuple[gathered.Gathered, ...]:
    """The pages of one grid as one table."""
    if not tables:
        return ()
    rows = tuple(row for table in tables for row in table.rows)
    return (gathered.Gathered(name, tables[0].heads, rows),)


def _cells_changed(first: list[gathered.Gathered], again: list[gathered.Gathered]) -> int:
    """How many rows of a grid read otherwise when it was gathered a second time."""
    looks = [Counter(row for table in tables for row in gathered.by_head(table)) for tables in (first, again)]
    return sum((looks[0] - looks[1]).values()) if again else 0


def _endless(step: List) -> PageError:
    return PageError(
        "SA2255",
        N_("list {name}: more than {limit} rows have come, and it does not end"),
        hint=N_("narrow the list by a filter; or correct `rows`, `next`, `more` or `scroll`"),
        name=step.name,
        limit=limits.ROWS,
    )


def _nothing_to_scroll(step: List, css: str) -> PageError:
    return PageError(
        "SA2242",
        N_("list {name}: {target} is not on the page"),
        hint=N_("correct `scroll` or `grid` in the recipe"),
        name=step.name,
        target=f"css {css}",
    )
