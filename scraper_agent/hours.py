"""Hours of the week, such as `mon-fri 08:00-18:00` or, on every day and beyond midnight, `22:00-06:00`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, time, timedelta
from typing import Annotated

from pydantic import AfterValidator

from scraper_agent.messages import N_
from scraper_agent.yamlfile import Wrong

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_DAY, _TIME = "|".join(DAYS), r"([01]\d|2[0-3]):([0-5]\d)"
_SPAN = re.compile(rf"(?:({_DAY})(?:-({_DAY}))? )?{_TIME}-(?:{_TIME}|24:00)", re.ASCII)


def _span(text: str) -> str:
    if _SPAN.fullmatch(text) is None:
        raise Wrong(
            N_("`{seen}` is no hours of the week"),
            hint=N_("such as `mon-fri 08:00-18:00`, `sat 09:00-12:00` or `22:00-06:00`, in the time of China"),
            seen=text[:40],
        )
    return text


Span = Annotated[str, AfterValidator(_span)]
"""A span that begins on each of its days; one that ends no later than it begins ends on the day after."""


def is_open(spans: Iterable[Span], at: datetime) -> bool:
    """Whether it is within one of them. `at`: the local time, without a zone."""
    return any(begin <= at < end for begin, end in _around(spans, at))


def opens(spans: Iterable[Span], at: datetime) -> datetime | None:
    """When the next of them begins after `at`; None: there is none."""
    return min((begin for begin, _ in _around(spans, at) if begin > at), default=None)


WEEK = frozenset(range(7 * 24 * 60))


def minutes(spans: Iterable[Span]) -> frozenset[int]:
    """The minutes of the week that are within one of them, from Monday 00:00 on."""
    monday = datetime(2026, 1, 5)  # noqa: DTZ001 - any Monday
    found: set[int] = set()
    for begin, end in _around(spans, monday):
        first = (begin - monday) // timedelta(minutes=1)
        found.update(minute % len(WEEK) for minute in range(first, first + (end - begin) // timedelta(minutes=1)))
    return frozenset(found)


def _around(spans: Iterable[Span], at: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Begin and end of each, from the day before `at` to a week after it."""
    for text in spans:
        found = _SPAN.fullmatch(text)
        assert found is not None  # noqa: S101 - `Span` says so
        first, last, *times = found.groups()
        hour, minute, end_hour, end_minute = (0 if each is None else int(each) for each in times)
        opening, closing = time(hour, minute), time(end_hour, end_minute)
        for offset in range(-1, 8):
            day = at.date() + timedelta(days=offset)
            if first is not None and not _among(day.weekday(), DAYS.index(first), DAYS.index(last or first)):
                continue
            begin = datetime.combine(day, opening)
            yield begin, datetime.combine(day + timedelta(days=closing <= opening), closing)


def _among(day: int, first: int, last: int) -> bool:
    """A week goes round: `sat-mon` is three days."""
    return first <= day <= last if first <= last else day >= first or day <= last
