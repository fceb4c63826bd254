"""CHK-13: an amount in two currencies is inside a band around the exchange rate of the user's table."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from scraper_agent.messages import N_
from scraper_agent.rules import (
    EXACT,
    Context,
    Document,
    HeaderDay,
    HeaderText,
    LineNumber,
    LineText,
    Settings,
    number,
    on_line,
    plain,
    text,
)
from scraper_agent.values import Finding, Severity

_CENT = Decimal("0.01")


class ExchangeRate(Settings):
    """CHK-13: a line's two amounts differ by the exchange rate of the day, within the part `band` of it.

    The statistics of 1995 have such a check and give no number for its band. A currency or a day that the table does
    not have is not compared.
    """

    code = "CHK-13"
    source = "statistics of 1995, EF0"
    needs = ("rates",)

    check: Literal["exchange-rate"]
    foreign: LineNumber
    foreign_currency: LineText
    local: LineNumber
    local_currency: HeaderText
    day: HeaderDay
    band: Decimal = Decimal("0.1")
    severity: Severity = Severity.WARNING

    def findings(self, document: Document, context: Context, /) -> Iterator[Finding]:
        day = document.header.get(self.day)
        if context.rates is None or not isinstance(day, date):
            return
        day = day.date() if isinstance(day, datetime) else day
        to = _worth(context, text(document.header, self.local_currency), day)
        for count, line in enumerate(document.lines, start=1):
            currency = text(line, self.foreign_currency)
            foreign, local, worth = number(line, self.foreign), number(line, self.local), _worth(context, currency, day)
            if foreign is None or local is None or worth is None or to is None or not foreign:
                continue
            expected = EXACT.divide(EXACT.multiply(foreign, worth), to)
            if abs(EXACT.subtract(local, expected)) > abs(EXACT.multiply(expected, self.band)) + _CENT:
                yield Finding(
                    code=self.code,
                    severity=self.severity,
                    field=on_line(count, self.local),
                    text=N_("is {value}, but {foreign} {currency} are about {expected} by your exchange rates"),
                    values={
                        "value": plain(local),
                        "foreign": plain(foreign),
                        "currency": str(currency),
                        "expected": plain(expected.quantize(_CENT, context=EXACT)),
                    },
                )


def _worth(context: Context, currency: str | None, day: date) -> Decimal | None:
    known = (context.rates or {}).get(currency or "", ())
    at = bisect_right(known, day, key=lambda row: row[0])
    return known[at - 1][1] if at else None
