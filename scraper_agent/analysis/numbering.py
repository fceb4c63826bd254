"""ANL-2 to ANL-4: the same content twice, numbers that look alike, and gaps in the enterprise's own numbering."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from typing import TypeAlias

from scraper_agent import cases
from scraper_agent.analysis.book import Book, shown
from scraper_agent.cases import Paper
from scraper_agent.messages import N_
from scraper_agent.rules import number, text
from scraper_agent.values import Finding

_LAST_DIGITS = re.compile(r"^(.*?)(\d+)(\D*)$", re.DOTALL | re.ASCII)
_RUNS = re.compile(r"[0-9]+|[^\W\d_]+")

_DATES = ("%Y%m%d", "%y%m%d", "%Y%m", "%y%m")
"""How a number may begin with its document's date; what follows is counted anew each day or month."""

LONGEST = 18
"""Digits of a number that still counts: more are a code, not a count."""

Key: TypeAlias = tuple[object, ...]


class Numbering:
    """All documents by what they say and by how they are numbered."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def findings(self, paper: Paper) -> Iterator[Finding]:
        yield from self._twice(paper)
        yield from self._alike(paper)
        yield from self._gap(paper)

    # --- ANL-2, ANL-3 -----------------------------------------------------------------------------------------------

    @cached_property
    def _by_content(self) -> dict[Key, list[Paper]]:
        found: dict[Key, list[Paper]] = defaultdict(list)
        for paper in self._book.papers.values():
            if (key := self._content(paper)) is not None:
                found[key].append(paper)
        return found

    def _content(self, paper: Paper) -> Key | None:
        """Who, what and for how much, without numbers and dates; None for a document without lines."""
        roles = self._book.roles(paper.format)
        if roles is None or paper.format not in self._book.settings.duplicates or not paper.document.lines:
            return None
        ids = (roles.material, *roles.quantities, roles.unit, roles.price)
        lines = sorted(str([str(line.get(id, "")) for id in ids if id]) for line in paper.document.lines)
        total = number(paper.document.header, roles.total) if roles.total else None
        currency = text(paper.document.header, roles.currency) if roles.currency else None
        party = cases.same(self._book.party(paper))
        return paper.format, paper.enterprise, party, currency, total if total is None else shown(total), *lines

    def _twice(self, paper: Paper) -> Iterator[Finding]:
        """ANL-2: within a few days the other side sent the same again, under another number."""
        key, day, roles = self._content(paper), self._book.day(paper), self._book.roles(paper.format)
        if key is None or day is None or roles is None:
            return
        most = self._book.settings.duplicates[paper.format]
        for other in self._by_content[key]:
            theirs = self._book.day(other)
            different = self._number(other) != self._number(paper)
            if different and theirs is not None and abs((day - theirs).days) <= most and self._book.there(other):
                yield self._book.finding(
                    "ANL-2",
                    roles.number,
                    N_(
                        "is {value} of {day}, and {other} of {other_day} has the same party, lines and sums; such a"
                        " twin is told within {days} days"
                    ),
                    value=self._number(paper),
                    day=day.isoformat(),
                    other=self._book.title(other),
                    other_day=theirs.isoformat(),
                    days=str(most),
                )

    @cached_property
    def _by_look(self) -> dict[Key, list[Paper]]:
        found: dict[Key, list[Paper]] = defaultdict(list)
        for paper in self._book.papers.values():
            found[self._look(paper)].append(paper)
        return found

    def _look(self, paper: Paper) -> Key:
        runs = _RUNS.findall(cases.same(self._number(paper)))
        bare = tuple(run.lstrip("0") or "0" if run.isdigit() else run for run in runs)
        return paper.format, paper.enterprise, cases.same(self._book.party(paper)), bare

    def _alike(self, paper: Paper) -> Iterator[Finding]:
        """ANL-3: a number that another document has in other letters, with other marks, or with zeros before it."""
        roles = self._book.roles(paper.format)
        if roles is None or not self._number(paper):
            return
        for other in self._by_look[self._look(paper)]:
            if self._number(other) != self._number(paper) and self._book.there(other):
                yield self._book.finding(
                    "ANL-3",
                    roles.number,
                    N_("is `{value}`, which looks like the number of {other}"),
                    value=self._number(paper),
                    other=self._book.title(other),
                )

    # --- ANL-4 ------------------------------------------------------------------------------------------------------

    @cached_property
    def _series(self) -> dict[Key, list[int]]:
        found: dict[Key, set[int]] = defaultdict(set)
        for paper in self._book.papers.values():
            if (place := self._place(paper)) is not None:
                found[place[0]].add(place[1])
        return {key: sorted(numbers) for key, numbers in found.items()}

    @cached_property
    def _gaps(self) -> dict[Key, int]:
        """How many gaps each series has."""
        most = self._book.settings.gaps.most
        return {
            key: sum(1 < after - before <= most + 1 for before, after in pairwise(numbers))
            for key, numbers in self._series.items()
        }

    def _place(self, paper: Paper) -> tuple[Key, int] | None:
        """The series that the document's number is of, and its place there."""
        if paper.format not in self._book.settings.gaps.formats or (parts := self._parts(paper)) is None:
            return None
        before, digits, after = parts
        return (paper.format, paper.enterprise, before, after), int(digits)

    def _parts(self, paper: Paper) -> tuple[str, str, str] | None:
        """What stands before the count in a number, the count, and what follows it; None if nothing is counted."""
        match = _LAST_DIGITS.match(self._number(paper))
        if match is None or len(match[2]) > LONGEST:
            return None
        day = self._book.day(paper)
        dates = [] if day is None else [day.strftime(form) for form in _DATES]
        date = next((d for d in dates if match[2].startswith(d) and len(match[2]) > len(d)), "")
        return match[1] + date, match[2].removeprefix(date), match[3]

    def _gap(self, paper: Paper) -> Iterator[Finding]:
        """ANL-4: told on the document that follows the gap. Whatever was ever read counts, also what was declined."""
        place, parts, roles = self._place(paper), self._parts(paper), self._book.roles(paper.format)
        settings = self._book.settings.gaps
        if place is None or parts is None or roles is None:
            return
        series = self._series[place[0]]
        at = bisect_left(series, place[1])
        missing = series[at] - series[at - 1] - 1 if at else 0
        usual = self._gaps[place[0]] > max(Decimal(1), settings.usual * len(series))
        if len(series) < settings.least or usual or not 0 < missing <= settings.most:
            return
        before, digits, after = parts
        first, last = (f"{before}{count:0{len(digits)}}{after}" for count in (series[at - 1] + 1, series[at] - 1))
        yield self._book.finding(
            "ANL-4",
            roles.number,
            N_("is {value}, but of its series {missing} number(s) before it were not read: {expected}"),
            value=self._number(paper),
            missing=str(missing),
            expected=first if first == last else f"{first} … {last}",
        )

    def _number(self, paper: Paper) -> str:
        roles = self._book.roles(paper.format)
        return (roles and text(paper.document.header, roles.number)) or ""
