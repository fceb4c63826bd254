"""CHK-18: dates of one document follow each other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Literal

from scraper_agent.messages import N_
from scraper_agent.rules import AnyDay, Context, Document, Place, Settings, places
from scraper_agent.values import Finding, Severity


class DateOrder(Settings):
    """CHK-18: a date is not before or not after another. Of a date and a time the days are compared."""

    code = "CHK-18"
    source = "own"

    check: Literal["date-order"]
    field: AnyDay
    not_before: AnyDay | None = None
    not_after: AnyDay | None = None
    severity: Severity = Severity.WARNING

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        for place in places(document, self.field, self.not_before, self.not_after):
            before, after = _compared(place, self.field, self.not_before), _compared(place, self.field, self.not_after)
            if before is not None and before[0] < before[1]:
                text = N_("is {value}, but must not be before {other}, which is {limit}")
                yield self._finding(place, text, self.not_before, *before)
            if after is not None and after[0] > after[1]:
                text = N_("is {value}, but must not be after {other}, which is {limit}")
                yield self._finding(place, text, self.not_after, *after)

    def _finding(self, place: Place, text: str, other: str | None, found: date, limit: date) -> Finding:
        return Finding(
            code=self.code,
            severity=self.severity,
            field=place.path(self.field),
            text=text,
            values={"value": found.isoformat(), "other": str(other), "limit": limit.isoformat()},
        )


def _compared(place: Place, id: str, other: str | None) -> tuple[date, date] | None:
    """Both dates, or both times; None if one is missing."""
    found, limit = place.value(id), "" if other is None else place.value(other)
    if not isinstance(found, date) or not isinstance(limit, date):
        return None
    if isinstance(found, datetime) and isinstance(limit, datetime):
        return found, limit
    return _day(found), _day(limit)


def _day(value: date) -> date:
    return value.date() if isinstance(value, datetime) else value
