"""CHK-11: quantities and their units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from scraper_agent.messages import N_
from scraper_agent.rules import Context, Document, LineNumber, LineText, Settings, Values, absent, number, on_line
from scraper_agent.values import Finding


class UnitQuantity(Settings):
    """CHK-11: a line has a unit if and only if one of its quantities is not 0."""

    code = "CHK-11"
    source = "statistics of 1995, CD0 and GH0"

    check: Literal["unit-quantity"]
    unit: LineText
    quantities: tuple[LineNumber, ...]

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        for count, line in enumerate(document.lines, start=1):
            if fault := self._fault(line):
                id, text = fault
                yield Finding(
                    code=self.code,
                    severity=self.severity,
                    field=on_line(count, id),
                    text=text,
                    values={"unit": str(line.get(self.unit, ""))},
                )

    def _fault(self, line: Values) -> tuple[str, str] | None:
        given = [id for id in self.quantities if not absent(line, id)]
        counted = [number(line, id) for id in given]
        if None in counted:  # CHK-01 names it
            return None
        if any(counted):
            return (self.unit, N_("is missing, though the line has a quantity")) if absent(line, self.unit) else None
        if absent(line, self.unit):
            return None
        return self.quantities[0], N_("is 0 or missing, though the line has the unit {unit}")
