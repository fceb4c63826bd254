"""What holds across the fields of a waybill: conditions of C elements (CHK-01), times (CHK-18), and WB-01 to WB-04."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Literal

from pydantic import BaseModel

from scraper_agent.messages import N_
from scraper_agent.rules import (
    SETTINGS,
    Context,
    Document,
    HeaderField,
    HeaderNumber,
    HeaderText,
    LineNumber,
    absent,
    number,
    on_line,
    plain,
    text,
)
from scraper_agent.values import Finding, Severity


class Together(BaseModel):
    """CHK-01: these header fields are all given, or none is."""

    model_config = SETTINGS

    check: Literal["together"]
    fields: tuple[HeaderField, ...]
    severity: Severity = Severity.ERROR

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        given = [id for id in self.fields if not absent(document.header, id)]
        for id in self.fields if given else ():
            if id not in given:
                yield Finding(
                    code="CHK-01",
                    severity=self.severity,
                    field=id,
                    text=N_("is missing; it is needed because {given} is given"),
                    values={"given": given[0]},
                )


class RequiredWhen(BaseModel):
    """CHK-01: a header field that is needed when `when` has one of `values` and, if named, `given` is there."""

    model_config = SETTINGS

    check: Literal["required-when"]
    field: HeaderField
    when: HeaderText
    values: tuple[str, ...]
    given: HeaderField | None = None
    severity: Severity = Severity.ERROR

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        found = text(document.header, self.when)
        if found is None or found not in self.values or not absent(document.header, self.field):
            return
        if self.given is None:
            fault, also = N_("is missing; it is needed because {given} is {value}"), ""
        elif not absent(document.header, self.given):
            fault, also = N_("is missing; it is needed because {given} is {value} and {also} is given"), self.given
        else:
            return
        yield Finding(
            code="CHK-01",
            severity=self.severity,
            field=self.field,
            text=fault,
            values={"given": self.when, "value": found, "also": also},
        )


class NotAfter(BaseModel):
    """CHK-18: one date or time of the header does not come after another."""

    model_config = SETTINGS

    check: Literal["not-after"]
    first: HeaderField
    then: HeaderField
    severity: Severity = Severity.WARNING

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        first, then = document.header.get(self.first), document.header.get(self.then)
        # A date and a date-time cannot be compared; that one is of a wrong type, CHK-01 says.
        if isinstance(first, date) and isinstance(then, date) and type(first) is type(then) and first > then:
            yield Finding(
                code="CHK-18",
                severity=self.severity,
                field=self.then,
                text=N_("is {value}, before {first}, which is {earliest}"),
                values={"value": then.isoformat(), "first": self.first, "earliest": first.isoformat()},
            )


class WholeDigits(BaseModel):
    """WB-01: a number has at most so many digits before the point, where `printed` leaves open how many it allows."""

    model_config = SETTINGS

    check: Literal["whole-digits"]
    field: HeaderNumber
    most: int
    printed: str
    severity: Severity = Severity.WARNING

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        value = number(document.header, self.field)
        if value and value.adjusted() >= self.most:
            yield Finding(
                code="WB-01",
                severity=self.severity,
                field=self.field,
                text=N_("is {value}; {printed} may mean at most {most} digits before the point"),
                values={"value": plain(value), "printed": self.printed, "most": str(self.most)},
            )


class Numbered(BaseModel):
    """WB-02: the lines are numbered 1, 2, 3."""

    model_config = SETTINGS

    check: Literal["numbered"]
    field: LineNumber
    severity: Severity = Severity.WARNING

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        for count, line in enumerate(document.lines, start=1):
            value = number(line, self.field)
            if value is not None and value != count:
                yield Finding(
                    code="WB-02",
                    severity=self.severity,
                    field=on_line(count, self.field),
                    text=N_("is {value}, but this is line {count}"),
                    values={"value": plain(value), "count": str(count)},
                )


class SamePrefecture(BaseModel):
    """WB-03: city distribution (术语定义 (4)) ends in the prefecture-level city where it began.

    A municipality is one such city: its two digits decide there, the four of the prefecture elsewhere.
    """

    model_config = SETTINGS

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
                code="WB-03",
                severity=self.severity,
                field=self.destination,
                text=N_("is {value}, in another city than {departure}, though {given} is {said}"),
                values={"value": destination, "departure": departure, "given": self.given, "said": self.value},
            )

    def _city(self, code: str) -> str:
        return code[:2] if code[:2] in self.municipalities else code[:4]


class SameWord(BaseModel):
    """WB-04: the word that stands for nothing, such as 无, stands in all of these header fields or in none."""

    model_config = SETTINGS

    check: Literal["same-word"]
    fields: tuple[HeaderText, ...]
    word: str
    severity: Severity = Severity.ERROR

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        having = next((id for id in self.fields if text(document.header, id) == self.word), None)
        if having is None:
            return
        for id in self.fields:
            value = text(document.header, id)
            if value is not None and value != self.word:
                yield Finding(
                    code="WB-04",
                    severity=self.severity,
                    field=id,
                    text=N_("is `{value}`, but {other} is `{word}`"),
                    values={"value": value[:40], "other": having, "word": self.word},
                )
