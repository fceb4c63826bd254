"""WB-01 to WB-03: what holds across the fields of a waybill alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from scraper_agent.messages import N_
from scraper_agent.rules import (
    Context,
    Document,
    HeaderNumber,
    HeaderText,
    Settings,
    number,
    plain,
    text,
)
from scraper_agent.values import Finding, Severity


class WholeDigits(Settings):
    """WB-01: a number has at most so many digits before the point, where `printed` leaves open how many it allows."""

    code = "WB-01"
    source = "表1 of the specification: a length in brackets has two readings"

    check: Literal["whole-digits"]
    field: HeaderNumber
    most: int
    printed: str
    severity: Severity = Severity.WARNING

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        value = number(document.header, self.field)
        if value and value.adjusted() >= self.most:
            yield Finding(
                code=self.code,
                severity=self.severity,
                field=self.field,
                text=N_("is {value}; {printed} may mean at most {most} digits before the point"),
                values={"value": plain(value), "printed": self.printed, "most": str(self.most)},
            )


class SamePrefecture(Settings):
    """WB-02: city distribution (术语定义 (4)) ends in the prefecture-level city where it began.

    A municipality is one such city: its two digits decide there, the four of the prefecture elsewhere.
    """

    code = "WB-02"
    source = "术语定义 (4)"

    check: Literal["same-prefecture"]
    given: HeaderText
    value: str
    departure: HeaderText
    destination: HeaderText
    municipalities: tuple[str, ...]
    severity: Severity = Severity.WARNING

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        departure, destination = text(document.header, self.departure), text(document.header, self.destination)
        if text(document.header, self.given) != self.value or departure is None or destination is None:
            return
        if self._city(departure) != self._city(destination):
            yield Finding(
                code=self.code,
                severity=self.severity,
                field=self.destination,
                text=N_("is {value}, in another city than {departure}, though {given} is {said}"),
                values={"value": destination, "departure": departure, "given": self.given, "said": self.value},
            )

    def _city(self, code: str) -> str:
        return code[:2] if code[:2] in self.municipalities else code[:4]


class SameWord(Settings):
    """WB-03: the word that stands for nothing, such as 无, stands in all of these header fields or in none."""

    code = "WB-03"
    source = "GB/T 40292-2021, notes of elements 34 and 35"

    check: Literal["same-word"]
    fields: tuple[HeaderText, ...]
    word: str

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        having = next((id for id in self.fields if text(document.header, id) == self.word), None)
        if having is None:
            return
        for id in self.fields:
            value = text(document.header, id)
            if value is not None and value != self.word:
                yield Finding(
                    code=self.code,
                    severity=self.severity,
                    field=id,
                    text=N_("is `{value}`, but {other} is `{word}`"),
                    values={"value": value[:40], "other": having, "word": self.word},
                )
