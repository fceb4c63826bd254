"""Lists of the living page: page by page to the end, and every row's record, with proof of having come back."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from importlib import resources
from time import monotonic
from typing import TYPE_CHECKING, assert_never

from playwright.sync_api import Error, Locator
from playwright.sync_api import Page as Tab
from pydantic import BaseModel, TypeAdapter

from scraper_agent import completeness, convert
from scraper_agent.capture import gathered, guard, limits
from scraper_agent.completeness import Evidence, Filter, Sum
from scraper_agent.errors import AgentError, PageError
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
_STEP_S = 1.5
"""A click on `next` that the page dropped is repeated after so long, while the position proves that nothing moved."""
_ROW_S = 3.0
"""How long a grid may take to draw the rows of one place that it was scrolled to."""
_BACK_S = 5.0
_IN_VAIN = 3
"""So many records in a row that cannot be reached are taken for the ERP; fewer, for links that lead astray."""
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
_GO = "url => { window.__agentLeft = true; setTimeout(() => { location.href = url; }, 0); }"
_GONE = "() => !window.__agentLeft && window.__agent !== undefined && document.readyState === 'complete'"
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


@dataclass(slots=True)
class ListReader:
    """The list half of one session, which keeps the tab."""

    session: _Session
    unreached: int = 0
    """Records in a row whose address could not be reached."""

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
            broken = session._told(error, f"list {step.name}").code
            yield from session._drain()
            yield self._fact(step, tally, replace(self._counted(step, tally, evidence), broken=broken))
            raise
        yield from session._drain()
        yield self._fact(step, tally, evidence)
        session.gathered = _joined(step.name, tally.tables)
        if isinstance(step.open, ByLink):
            yield from self._follow_all(step, [row.link for row in tally.rows])

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
            self.session.limits.allow()
            rows = yield from self._page(step, tally, again=again)
            tally.rows += rows
            if len(tally.rows) > limits.ROWS:
                raise _endless(step)
            texts = [row.text for row in rows]
            if not again:
                match step.open:
                    case ByClick() as how:
                        yield from self._each_by_click(step, how, texts)
                    case ByWalk() as how:
                        yield from self._walk(step, how, texts, tally)
                    case ByLink() | None:
                        pass
                    case unknown:
                        assert_never(unknown)
            if not self._next_page(step, texts, tally):
                break

    def _page(self, step: List, tally: _Tally, *, again: bool) -> Generator[Sighting, None, list[_Row]]:
        """The rows of the page of the list that is shown."""
        session = self.session
        self._unroll(step, tally)
        if step.grid is not None:
            rows, table = self._gather(step, step.grid, tally)
            tally.tables.append(table)
            if not again and step.page:
                session.gathered = (table,)
                yield from session._steps(step.page, f"list {step.name}, page {tally.pages}")
                session.gathered = ()
            return rows
        if again:
            return self._look(step, tally)
        before = self._look(step, _Tally()) if step.page and not _folds(step.page) else None
        yield from session._steps(step.page, f"list {step.name}, page {tally.pages}")
        rows = self._look(step, tally)
        if before is not None and [row.name for row in before] != [row.name for row in rows]:
            tally.changed += 1  # what `page` froze may be what was there before, or after
        return rows

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

    def _follow_all(self, step: List, links: list[str | None]) -> Iterator[Sighting]:
        """Open every link; while one page is read, the next ones load in tabs of their own."""
        home, address = self.session.tab, self.session.tab.url
        most = self.session.settings.tabs
        spare: deque[Tab] = deque()
        loading: deque[tuple[Tab, str | None, float]] = deque()
        coming = deque(links)
        try:
            for number in range(1, len(links) + 1):
                while coming and len(loading) < most and not (loading and self.session.pace.wait_s(monotonic())):
                    tab, link = spare.popleft() if spare else self._new_tab(address), coming.popleft()
                    if self.session.may_open(link):
                        self.session._paced()
                        tab = self._set_out(tab, str(link), address)
                    loading.append((tab, link, monotonic()))
                self.session.tab, link, since = loading.popleft()
                if (yield from self._follow(step, link, number, since)):
                    spare.append(self.session.tab)
                else:  # whatever the page did to its tab, the next record has nothing to do with it
                    self._close(self.session.tab)
        finally:
            for tab in (*spare, *(tab for tab, _, _ in loading)):
                self._close(tab)
            self.session.tab = home

    def _close(self, tab: Tab) -> None:
        for each in self.session.windows.all_of(tab)[::-1]:
            if not each.is_closed():
                self.session.limits.close(each)

    def _set_out(self, tab: Tab, link: str, address: str) -> Tab:
        """Send the tab on its way; one that does not obey any more is replaced."""
        self.session.limits.allow(tab=tab)
        try:
            tab.evaluate(_GO, link)
        except Error:
            self._close(tab)
            tab = self._new_tab(address)
            tab.evaluate(_GO, link)
        return tab

    def _new_tab(self, url: str) -> Tab:
        """A tab on a page of the ERP's own, so that what it opens is opened from there."""
        self.session._paced()
        self.session.limits.allow()
        tab = self.session.context.new_page()
        tab.goto(url, wait_until="commit")
        return tab

    def _follow(self, step: List, link: str | None, number: int, since: float) -> Generator[Sighting, None, bool]:
        """Whether the record was read; else it is told why."""
        session = self.session
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
            if not self.session.may_open(link):
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
            self._arrive(link, since)
            yield from session._steps(step.steps, where)
        except (AgentError, Error) as error:
            self.unreached = self.unreached + 1 if isinstance(error, AgentError) and error.code == "SA2201" else 0
            if self.unreached == _IN_VAIN or not (self.unreached or isinstance(error, PageError | Error)):
                raise
            yield from session._drain()
            yield Trouble(where=where, error=session._told(error, where), page=session._evidence())
            return False
        self.unreached = 0
        for window in session.windows.of(session.page):
            window.close()
        return not session.page.is_closed()

    def _arrive(self, link: str, since: float) -> None:
        """Wait for a page that `_GO` has set out for at `since`; a redirect may lead elsewhere."""
        session, there = self.session, False
        patience_s = session.settings.patience_s
        end = max(since + patience_s, monotonic() + _AT_LEAST * patience_s)
        session.limits.allow(1.0)
        while not there and monotonic() < end and not self._gives_no_page(link):
            there = session._wait_for(_GONE, [link], _STEP_S / 5)
        session.limits.allow()
        if session.page.url.startswith("chrome-error:"):
            session._open(link)  # the ordinary way says what is wrong
        elif there:
            session._rest()
        else:
            raise PageError(
                "SA2254",
                N_("the page {url} had not come after {seconds} s"),
                hint=N_("the ERP was slow; or the address gives a file and no page"),
                url=guard.shown(link)[: limits.ADDRESS],
                seconds=session.settings.patience_s,
            )

    def _gives_no_page(self, link: str) -> bool:
        page = self.session.page
        return page.url.startswith("chrome-error:") or self.session.limits.files.get(page) == link

    def _each_by_click(self, step: List, how: ByClick, rows: list[str]) -> Iterator[Sighting]:
        for number in range(1, len(rows) + 1):
            self.session._paced()
            row = self.session.tab.locator(step.rows).filter(visible=True).nth(number - 1)
            self.session._click(row.locator(how.target), f"css {how.target}", double=how.double)
            yield from self.session._careful(f"list {step.name}, record {number}", step.steps)
            yield from self.session._steps(how.back, f"list {step.name}, back from record {number}")
            self._came_back(step, rows)

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

    def _walk(self, step: List, how: ByWalk, rows: list[str], tally: _Tally) -> Iterator[Sighting]:
        if not rows:
            return
        self.session._paced()
        first = self.session.tab.locator(step.rows).filter(visible=True).first
        self.session._click(first.locator(how.target).first, f"css {how.target}", double=how.double)
        start = self.session._number(how.position)
        for number in range(len(rows)):
            if number:
                self._advance(step, how, (start or 1) + number)
            yield from self.session._careful(f"list {step.name}, record {number + 1}", step.steps)
        yield from self.session._steps(how.back, f"list {step.name}, back")
        # An ERP may show the list folded again: that is no fault, but no proof either.
        tally.returned = tally.returned and self.session._wait_for(_SAME_ROWS, [step.rows, ",".join(rows)], _STEP_S)

    def _advance(self, step: List, how: ByWalk, wanted: int) -> None:
        """Press `next` until the page itself says that record `wanted` is shown."""
        place = [how.position.css, how.position.pattern, wanted]
        for _ in range(5):
            self.session._paced()
            self.session._click(self.session._locate(how.next), self.session._named(how.next), double=False)
            if self.session._number(how.position) == wanted:
                return
            # A click may be dropped or late: it is repeated only while the position proves that nothing moved.
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
