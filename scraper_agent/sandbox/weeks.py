"""The weeks of the history: each ends on Sunday at 24:00 of China. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Self

from scraper_agent.mapping import CHINA_TIME

_LABEL = re.compile(r"([0-9]{4})-W([0-9]{2})")
_DAYS = 7


@dataclass(frozen=True, slots=True, order=True)
class Week:
    """A calendar week of ISO 8601; `str` of it is such as 2026-W10."""

    year: int
    number: int

    @classmethod
    def parse(cls, label: str) -> Self:
        """Raises ValueError for what is no week of any year."""
        match = _LABEL.fullmatch(label)
        if match is None:
            raise ValueError(f"{label!r} is no week such as 2026-W10")
        week = cls(int(match[1]), int(match[2]))
        datetime.fromisocalendar(week.year, week.number, 1)
        return week

    def __str__(self) -> str:
        return f"{self.year:04}-W{self.number:02}"

    @property
    def begin(self) -> datetime:
        """Monday, 0:00."""
        monday = datetime.fromisocalendar(self.year, self.number, 1)
        return datetime.combine(monday, time(), CHINA_TIME)

    @property
    def end(self) -> datetime:
        """Sunday, 24:00: the first moment that is not of this week."""
        return self.begin + timedelta(days=_DAYS)

    @property
    def following(self) -> Week:
        return week_of(self.end)


def week_of(moment: datetime) -> Week:
    """Raises ValueError for a moment without a zone."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a zone is of no week")
    year, number, _ = moment.astimezone(CHINA_TIME).isocalendar()
    return Week(year, number)


def due(now: datetime, first: Week) -> Iterator[Week]:
    """From `first` on, the weeks that have ended, the oldest first; none twice."""
    week = first
    while week.end <= now:
        yield week
        week = week.following
