"""CHK-01 (GB/T 40292 clause 8): every field is there when it must be, and is what its type and code list say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, Protocol

from pydantic import BaseModel

from scraper_agent.messages import N_
from scraper_agent.rules import (
    SETTINGS,
    Context,
    Document,
    Fault,
    HeaderField,
    HeaderText,
    LineField,
    Value,
    Values,
    absent,
    on_line,
)
from scraper_agent.values import Finding, Severity

CODE = "CHK-01"


class Expected(Protocol):
    """A field, as far as this rule must know it."""

    @property
    def mandatory(self) -> bool: ...

    def fault(self, value: Value, /) -> Fault | None: ...


def findings(document: Document, header: Mapping[str, Expected], lines: Mapping[str, Expected]) -> Iterator[Finding]:
    """What is wrong with the fields one by one. Lines that are missing, or that should not be, are told of once."""
    for id, fault in _faults(document.header, header):
        yield _finding(id, fault)
    if not lines and document.lines:
        yield _finding("lines", (N_("has {count}; this format has no lines"), {"count": str(len(document.lines))}))
        return
    if lines and not document.lines:
        yield _finding("lines", (N_("is empty; at least one line is needed"), {}))
    for count, line in enumerate(document.lines, start=1):
        for id, fault in _faults(line, lines):
            yield _finding(on_line(count, id), fault)


def _faults(values: Values, expected: Mapping[str, Expected]) -> Iterator[tuple[str, Fault]]:
    for id, field in expected.items():
        value = values.get(id, "")
        if value == "":
            if field.mandatory:
                yield id, (N_("is missing"), {})
        elif fault := field.fault(value):
            yield id, fault
    for id in values:
        if id not in expected:
            yield id, (N_("is not a field of this format"), {})


class OneOf(BaseModel):
    """At least one of these header fields is given."""

    model_config = SETTINGS

    check: Literal["one-of"]
    fields: tuple[HeaderField, ...]

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        if all(absent(document.header, id) for id in self.fields):
            yield _finding(
                self.fields[0], (N_("is missing; one of {fields} is needed"), {"fields": ", ".join(self.fields)})
            )


class HeaderRequired(BaseModel):
    """A header field that is needed when another is given, unless that one has a certain value."""

    model_config = SETTINGS

    check: Literal["header-required"]
    field: HeaderField
    given: HeaderText
    unless: tuple[str, ...] = ()

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        given = document.header.get(self.given, "")
        if given not in ("", *self.unless) and absent(document.header, self.field):
            yield _finding(
                self.field,
                (N_("is missing; it is needed because {given} is {value}"), {"given": self.given, "value": str(given)}),
            )


class LineRequired(BaseModel):
    """A field of every line that is needed when a header field is given."""

    model_config = SETTINGS

    check: Literal["line-required"]
    field: LineField
    given: HeaderText

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        if absent(document.header, self.given):
            return
        said = {"given": self.given, "value": str(document.header[self.given])}
        for count, line in enumerate(document.lines, start=1):
            if absent(line, self.field):
                yield _finding(
                    on_line(count, self.field), (N_("is missing; it is needed because {given} is {value}"), said)
                )


class Constant(BaseModel):
    """A header field that has the same value in every document of the format."""

    model_config = SETTINGS

    check: Literal["constant"]
    field: HeaderText
    value: str

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        found = document.header.get(self.field, "")
        if found not in ("", self.value):
            yield _finding(
                self.field,
                (N_("is `{value}`, but must be `{expected}`"), {"value": str(found), "expected": self.value}),
            )


def _finding(path: str, fault: Fault) -> Finding:
    text, values = fault
    return Finding(code=CODE, severity=Severity.ERROR, field=path, text=text, values=values)
