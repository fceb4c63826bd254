"""ANL-6 to ANL-8: how many documents of a format a month has and what they sum up to, against the month before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from scraper_agent.analysis.book import Book, shown
from scraper_agent.messages import N_
from scraper_agent.rules import number, text
from scraper_agent.values import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """One format in one month. `findings` have the format as their field."""

    format: str
    month: str
    """YYYY-MM."""
    count: int
    sums: Mapping[str, Decimal]
    """By currency."""
    whole: bool
    """Whether the month is over: one that is not is no more than shown."""
    findings: tuple[Finding, ...]


def months(book: Book, today: date) -> list[Month]:
    """Every format from the month of its first document to the month of `today`, or of its last if that is later.

    Documents that are gone do not count; those without a date cannot.
    """
    counts: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    amounts: dict[tuple[str, int], dict[str, list[Decimal]]] = defaultdict(lambda: defaultdict(list))
    for paper in book.papers.values():
        day, roles = book.day(paper), book.roles(paper.format)
        if day is None or roles is None or not book.there(paper):
            continue
        counts[paper.format][_place(day)] += 1
        total = number(paper.document.header, roles.total) if roles.total else None
        currency = text(paper.document.header, roles.currency) if roles.currency else None
        if total is not None and currency is not None:
            amounts[paper.format, _place(day)][currency].append(total)
    found = []
    now = _place(today)
    for format, by_month in counts.items():
        for place in range(min(by_month), max(now, *by_month) + 1):
            count, before = by_month.get(place, 0), by_month.get(place - 1, 0)
            told: tuple[Finding, ...] = ()
            if place < now:
                both = (amounts.get((format, place), {}), amounts.get((format, place - 1), {}))
                told = tuple(_findings(format, place, (count, before), both, book))
            found.append(
                Month(
                    format=format,
                    month=_name(place),
                    count=count,
                    sums={c: sum(each, Decimal(0)) for c, each in sorted(amounts.get((format, place), {}).items())},
                    whole=place < now,
                    findings=told,
                )
            )
    return found


def strange(found: Iterable[Month]) -> list[Month]:
    """Of each format the last month that is over, if there is a finding on it."""
    last = {month.format: month for month in found if month.whole}
    return [month for month in last.values() if month.findings]


def _findings(
    format: str,
    place: int,
    counts: tuple[int, int],
    amounts: tuple[Mapping[str, list[Decimal]], Mapping[str, list[Decimal]]],
    book: Book,
) -> Iterator[Finding]:
    settings = book.settings.periods
    count, before = counts
    month = _name(place)
    if count == 0:
        if not settings.empty_is_fine.get(format, False):
            yield book.finding(
                "ANL-8",
                format,
                N_("has no document in {month}, and the month before has {before}; no setting says that empty is fine"),
                month=month,
                before=str(before),
            )
        return
    if before == 0:
        return
    if abs(count - before) >= settings.documents and abs(count - before) > settings.count * before:
        yield book.finding(
            "ANL-6",
            format,
            N_(
                "has {value} documents in {month}, and the month before has {before}; {percent} % of difference is"
                " allowed"
            ),
            value=str(count),
            month=month,
            before=str(before),
            percent=shown(settings.count * 100),
        )
    now, then = amounts
    for currency in sorted({*now, *then}):
        mine, theirs = now.get(currency, []), then.get(currency, [])
        value, expected = sum(mine, Decimal(0)), sum(theirs, Decimal(0))
        few = max(len(mine), len(theirs)) < settings.documents
        if not few and abs(value - expected) > settings.sum * abs(expected):
            yield book.finding(
                "ANL-7",
                format,
                N_(
                    "sums up to {value} {currency} in {month}, and the month before to {before}; {percent} % of"
                    " difference is allowed"
                ),
                value=shown(value),
                currency=currency,
                month=month,
                before=shown(expected),
                percent=shown(settings.sum * 100),
            )


def _place(day: date) -> int:
    """Months are counted, so that the one before is one less."""
    return day.year * 12 + day.month - 1


def _name(place: int) -> str:
    return f"{place // 12:04}-{place % 12 + 1:02}"
