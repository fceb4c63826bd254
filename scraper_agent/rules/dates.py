"""CHK-18: dates of one document follow each other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Literal

from scraper_agent.messages import N_
from scraper_agent.rules import AnyDay, Context, Document, Place, Settings, places
from scraper_agent.values import Finding, Severity


class DateOrder(Settings):
    """CHK-18: a date is not before or not after another. Of a date and a time only the days are compared."""

    code = "CHK-18"
    source = "own"

    check: Literal["date-order"]
    field: AnyDay
    not_before: AnyDay | None = None
    not_after: AnyDay | None = None
    severity: Severity = Severity.WARNING

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        for place in places(document, self.field, self.not_before, self.not_after):
            found = _day(place, self.field)
            if found is None:
                continue
            before, after = _day(place, self.not_before), _day(place, self.not_after)
            if before is not None and found < before:
                text = N_("is {value}, but must not be before {other}, which is {limit}")
                yield self._finding(place, text, found, self.not_before, before)
            if after is not None and found > after:
                text = N_("is {value}, but must not be after {other}, which is {limit}")
                yield self._finding(place, text, found, self.not_after, after)

    def _finding(self, place: Place, text: str, found: date, other: str | None, limit: date) -> Finding:
        return Finding(
            code=self.code,
            severity=self.severity,
            field=place.path(self.field),
            text=text,
            values={"value": found.isoformat(), "other": str(other), "limit": limit.isoformat()},
        )


def _day(place: Place, id: str | None) -> date | None:
    value = "" if id is None else place.value(id)
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else None
