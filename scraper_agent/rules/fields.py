"""CHK-01 (GB/T 40292 clause 8): every field is there when it must be, and is what its type and code list say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Literal, Protocol

from scraper_agent.messages import N_
from scraper_agent.rules import (
    AnyField,
    AnyNumber,
    AnyText,
    Context,
    Document,
    Fault,
    HeaderField,
    HeaderText,
    LineNumber,
    Place,
    Settings,
    Value,
    Values,
    When,
    absent,
    number,
    on_line,
    places,
    plain,
    shown,
)
from scraper_agent.values import Finding, Severity

CODE = "CHK-01"
SOURCE = "GB/T 40292 clause 8"


class Expected(Protocol):
    """A field, as far as this rule must know it."""

    @property
    def mandatory(self) -> bool: ...

    @property
    def fits(self) -> Callable[[Value], bool]: ...

    def fault(self, value: Value, /) -> Fault | None: ...


def findings(
    document: Document, header: Mapping[str, Expected], lines: Mapping[str, Expected], no_lines: When | None = None
) -> Iterator[Finding]:
    """What is wrong with the fields one by one. Lines that are missing, or that should not be, are told of once.

    `no_lines`: when a document of a format with lines may be without.
    """
    if not _all_fit(document.header, header, _mandatory(header)):
        for id, fault in _faults(document.header, header):
            yield _finding(id, fault)
    if not lines and document.lines:
        yield _finding("lines", (N_("has {count}; this format has no lines"), {"count": str(len(document.lines))}))
        return
    if lines and not document.lines and not (no_lines and no_lines.holds(Place(document.header, {}, 0))):
        yield _finding("lines", (N_("is empty; at least one line is needed"), {}))
    mandatory = _mandatory(lines)
    for count, line in enumerate(document.lines, start=1):
        if not _all_fit(line, lines, mandatory):
            for id, fault in _faults(line, lines):
                yield _finding(on_line(count, id), fault)


def _mandatory(expected: Mapping[str, Expected]) -> frozenset[str]:
    return frozenset(id for id, field in expected.items() if field.mandatory)


def _all_fit(values: Values, expected: Mapping[str, Expected], mandatory: frozenset[str]) -> bool:
    """Whether a look at each value is enough; False says nothing."""
    if not mandatory <= values.keys() or not values.keys() <= expected.keys():
        return False
    return all(expected[id].fits(value) for id, value in values.items())


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


class OneOf(Settings):
    """At least one of these header fields is given."""

    code = CODE
    source = SOURCE

    check: Literal["one-of"]
    fields: tuple[HeaderField, ...]

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        if all(absent(document.header, id) for id in self.fields):
            yield _finding(
                self.fields[0],
                (N_("is missing; one of {fields} is needed"), {"fields": ", ".join(self.fields)}),
                self.severity,
            )


class Required(Settings):
    """A field that is needed under a condition."""

    code = CODE
    source = SOURCE

    check: Literal["required"]
    field: AnyField
    when: When

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        for place in places(document, self.field, *self.when.ids()):
            if place.value(self.field) == "" and self.when.holds(place):
                text = N_("is missing; it is needed because {given} is {value}")
                yield _finding(place.path(self.field), (text, _given(self.when, place)), self.severity)


class Together(Settings):
    """Header fields that are all given, or none is."""

    code = CODE
    source = SOURCE

    check: Literal["together"]
    fields: tuple[HeaderField, ...]

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        given = [id for id in self.fields if not absent(document.header, id)]
        for id in self.fields if given else ():
            if id not in given:
                text = N_("is missing; it is needed because {given} is given")
                yield _finding(id, (text, {"given": given[0]}), self.severity)


class Unwanted(Settings):
    """A field that must be empty under a condition."""

    code = CODE
    source = SOURCE

    check: Literal["unwanted"]
    field: AnyField
    when: When

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        for place in places(document, self.field, *self.when.ids()):
            found = place.value(self.field)
            if found != "" and self.when.holds(place):
                text = N_("is `{found}`, but must be empty because {given} is {value}")
                said = {"found": shown(found), **_given(self.when, place)}
                yield _finding(place.path(self.field), (text, said), self.severity)


class Constant(Settings):
    """A header field that has the same value in every document of the format."""

    code = CODE
    source = SOURCE

    check: Literal["constant"]
    field: HeaderText
    value: str

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        found = document.header.get(self.field, "")
        if found not in ("", self.value):
            yield _finding(
                self.field,
                (N_("is `{value}`, but must be `{expected}`"), {"value": str(found), "expected": self.value}),
                self.severity,
            )


class Different(Settings):
    """A field that, under a condition, must not have the value of another."""

    code = CODE
    source = SOURCE

    check: Literal["different"]
    field: AnyText
    other: AnyText
    when: When

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        for place in places(document, self.field, self.other, *self.when.ids()):
            found = place.value(self.field)
            if found != "" and found == place.value(self.other) and self.when.holds(place):
                text = N_("is `{found}` like {other}, but must be another because {given} is {value}")
                said = {"found": shown(found), "other": self.other, **_given(self.when, place)}
                yield _finding(place.path(self.field), (text, said), self.severity)


class MoreThan(Settings):
    """A number that, under a condition, must be more than a bound."""

    code = CODE
    source = SOURCE

    check: Literal["more-than"]
    field: AnyNumber
    bound: Decimal
    when: When

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        for place in places(document, self.field, *self.when.ids()):
            found = number(*place.at(self.field))
            if found is not None and found <= self.bound and self.when.holds(place):
                text = N_("is {found}, but must be more than {bound} because {given} is {value}")
                said = {"found": plain(found), "bound": plain(self.bound), **_given(self.when, place)}
                yield _finding(place.path(self.field), (text, said), self.severity)


class Numbering(Settings):
    """The lines are numbered 1, 2, 3 and so on."""

    code = CODE
    source = "DEC GNo"

    check: Literal["numbering"]
    field: LineNumber

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        for count, line in enumerate(document.lines, start=1):
            found = number(line, self.field)
            if found is not None and found != count:
                said = {"value": plain(found), "expected": str(count)}
                yield _finding(
                    on_line(count, self.field), (N_("is {value}, but must be {expected}"), said), self.severity
                )


def _given(when: When, place: Place) -> dict[str, str]:
    return {"given": when.field, "value": shown(place.value(when.field))}


def _finding(path: str, fault: Fault, severity: Severity = Severity.ERROR) -> Finding:
    text, values = fault
    return Finding(code=CODE, severity=severity, field=path, text=text, values=values)
