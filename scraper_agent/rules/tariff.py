"""CHK-09, CHK-10: commodity codes and their legal units, as the user's tariff table has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from scraper_agent.messages import N_
from scraper_agent.rules import Context, Document, LineText, Settings, on_line, text
from scraper_agent.values import Finding

HS_LENGTH = 10


class Tariff(Settings):
    """CHK-09: a commodity code is in the tariff table. Without a table nothing is told; CHK-01 names another length."""

    code = "CHK-09"
    source = "statistics of 1995, B00"
    needs = ("tariff",)

    check: Literal["tariff"]
    field: LineText

    def findings(self, document: Document, context: Context, /) -> Iterator[Finding]:
        if context.tariff is None:
            return
        for count, line in enumerate(document.lines, start=1):
            found = text(line, self.field)
            if found is not None and len(found) == HS_LENGTH and found not in context.tariff:
                yield Finding(
                    code=self.code,
                    severity=self.severity,
                    field=on_line(count, self.field),
                    text=N_("is `{value}`, which is not in your tariff table"),
                    values={"value": found},
                )


class LegalUnits(Settings):
    """CHK-10: the legal units of a line are those of its commodity code. A unit that is not given is not compared."""

    code = "CHK-10"
    source = "statistics of 1995, BD0 and BG0"
    needs = ("tariff",)

    check: Literal["legal-units"]
    commodity: LineText
    first: LineText
    second: LineText

    def findings(self, document: Document, context: Context, /) -> Iterator[Finding]:
        for count, line in enumerate(document.lines, start=1):
            commodity = text(line, self.commodity)
            if context.tariff is None or commodity is None or commodity not in context.tariff:
                continue
            for field, expected in zip((self.first, self.second), context.tariff[commodity], strict=True):
                found = text(line, field)
                if found is not None and found != expected:
                    yield self._finding(on_line(count, field), found, expected, commodity)

    def _finding(self, field: str, found: str, expected: str, commodity: str) -> Finding:
        said = {"value": found, "commodity": commodity}
        if expected:
            template = N_("is `{value}`, but the tariff has {expected} for {commodity}")
            said["expected"] = expected
        else:
            template = N_("is `{value}`, but the tariff has no such unit for {commodity}")
        return Finding(code=self.code, severity=self.severity, field=field, text=template, values=said)
