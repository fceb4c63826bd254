"""ANL-5: unit prices far from those that the enterprise itself has had for the same thing.

Median and MAD instead of mean and deviation: one wrong price among the earlier ones does not hide the next.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import TypeAlias

from scraper_agent import cases
from scraper_agent.analysis.book import Book, shown
from scraper_agent.cases import Paper
from scraper_agent.messages import N_
from scraper_agent.rules import number, on_line, text
from scraper_agent.values import Finding

USUAL = Decimal("1.4826")
"""MAD times this is the standard deviation of a normal distribution."""

_PLACES = Decimal("0.0001")

Key: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Price:
    paper: Paper
    day: date
    price: Decimal


class Prices:
    """Every price by format, enterprise, party, material, currency and unit."""

    def __init__(self, book: Book) -> None:
        self._book = book

    @cached_property
    def _known(self) -> dict[Key, list[_Price]]:
        found: dict[Key, list[_Price]] = defaultdict(list)
        for paper in self._book.papers.values():
            day = self._book.day(paper)
            if day is not None:
                for _, key, price in self._lines(paper):
                    found[key].append(_Price(paper=paper, day=day, price=price))
        return found

    def findings(self, paper: Paper) -> Iterator[Finding]:
        day, roles, settings = self._book.day(paper), self._book.roles(paper.format), self._book.settings.outliers
        if day is None or roles is None or roles.price is None:
            return
        since = _months_before(day, settings.months)
        for index, key, price in self._lines(paper):
            # Earlier ones only: what is read later must not change what was said of this one.
            earlier = [
                known.price
                for known in self._known[key]
                if since <= known.day <= day and known.paper.id != paper.id and self._book.there(known.paper)
            ]
            if len(earlier) < settings.least:
                continue
            middle = median(earlier)
            spread = USUAL * median([abs(each - middle) for each in earlier])
            allowed = max(settings.spreads * spread, settings.relative * middle)
            if abs(price - middle) <= allowed:
                continue
            low, high = quartiles(earlier)
            yield self._book.finding(
                "ANL-5",
                on_line(index, roles.price),
                N_(
                    "is {value} {currency}, {percent} % off: the {count} prices of {material} from {party} since"
                    " {since} have the median {median}, half of them lie between {low} and {high}, and {least} to"
                    " {most} is expected"
                ),
                value=shown(price),
                currency=key[4],
                percent=_percent(price, middle),
                count=str(len(earlier)),
                material=key[3],
                party=self._book.party(paper) or "-",
                since=since.isoformat(),
                median=_rounded(middle),
                low=_rounded(low),
                high=_rounded(high),
                least=_rounded(max(middle - allowed, Decimal(0))),
                most=_rounded(middle + allowed),
            )

    def _lines(self, paper: Paper) -> Iterator[tuple[int, Key, Decimal]]:
        roles = self._book.roles(paper.format)
        if (
            roles is None
            or not roles.price
            or not roles.material
            or paper.format not in self._book.settings.outliers.formats
        ):
            return
        currency = (roles.currency and text(paper.document.header, roles.currency)) or ""
        party = cases.same(self._book.party(paper))
        for index, values in enumerate(paper.document.lines, start=1):
            price, material = number(values, roles.price), text(values, roles.material)
            unit = text(values, roles.unit) if roles.unit else None
            if price is not None and price > 0 and material is not None:
                yield index, (paper.format, paper.enterprise, party, material, currency, unit or ""), price


def median(values: Sequence[Decimal]) -> Decimal:
    """Of at least one value; of an even number, the middle between the two in the middle."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def quartiles(values: Sequence[Decimal]) -> tuple[Decimal, Decimal]:
    """Medians of the lower and of the upper half, the middle value left out (Moore and McCabe)."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return median(ordered[:half]), median(ordered[-half:])


def _months_before(day: date, months: int) -> date:
    """The first day of the month that many months before."""
    count = day.year * 12 + day.month - 1 - months
    return date(max(count // 12, 1), count % 12 + 1, 1)


def _percent(value: Decimal, of: Decimal) -> str:
    return shown((abs(value - of) / of * 100).quantize(Decimal("0.1")))


def _rounded(value: Decimal) -> str:
    return shown(value.quantize(_PLACES))
