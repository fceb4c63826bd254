"""What a check of a rule pack may ask of a record: a closed set of conditions, each made into one function.

A value is looked at as the text that the record has, since a pack checks whether it is a number at all; a field without
a value is an empty text. A condition cannot be an expression: what a pack says is data, never code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal, TypeAlias, assert_never

from pydantic import AfterValidator, BaseModel, Field, model_validator

from scraper_agent.messages import N_
from scraper_agent.rules import COUNTABLE, EXACT, SETTINGS, Values, number, plain
from scraper_agent.yamlfile import Wrong

Test: TypeAlias = Callable[[Values], bool]

Kind: TypeAlias = Literal["lists", "patterns", "units", "bands"]
"""Of a table: codes; a regular expression; for each code its units, the first one first; the limits of a ratio."""

_NUMBER = re.compile(rf"-?[0-9]{{1,{COUNTABLE}}}(?:\.[0-9]{{1,{COUNTABLE}}})?")
_DIGITS = re.compile(r"([1-9][0-9]?)(?:-([1-9][0-9]?))?")
_RANGE = re.compile(r"([0-9]+)-([0-9]+)")


def places(digits: str) -> slice:
    """Which characters `6` or `7-10` are: counted from 1, the last included.

    Raises:
        Wrong: it is neither, or the last is before the first.
    """
    match = _DIGITS.fullmatch(digits)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if last < first:
        raise Wrong(N_("`{digits}` is no place of a code"), hint=N_("write such as `6` or `7-10`"), digits=digits)
    return slice(first - 1, last)


def expanded(codes: tuple[str, ...]) -> frozenset[str]:
    """The codes of a list in which `334-355` stands for all from the first to the last.

    Raises:
        Wrong: a range has ends of different length, or its last is before its first.
    """
    out: set[str] = set()
    for code in codes:
        match = _RANGE.fullmatch(code)
        if match is None:
            out.add(code)
            continue
        first, last = match.groups()
        if len(first) != len(last) or last < first:
            raise Wrong(N_("`{range}` is no range of codes"), range=code)
        out.update(str(each).zfill(len(first)) for each in range(int(first), int(last) + 1))
    return frozenset(out)


def _checked_digits(digits: str) -> str:
    places(digits)
    return digits


def _checked_codes(codes: tuple[str, ...]) -> tuple[str, ...]:
    expanded(codes)
    return codes


def _checked_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise Wrong(N_("`{pattern}` is not a regular expression: {reason}"), pattern=pattern, reason=error) from None
    return pattern


Codes: TypeAlias = Annotated[tuple[str, ...], AfterValidator(_checked_codes)]
Digits: TypeAlias = Annotated[str, AfterValidator(_checked_digits)]
Pattern: TypeAlias = Annotated[str, AfterValidator(_checked_pattern)]


class Listed(BaseModel):
    """A code, or some characters of it, is in a list, or is not. The list is named, or its codes are written out."""

    model_config = SETTINGS

    test: Literal["in", "not-in"]
    field: str
    digits: Digits | None = None
    list: str | None = None
    codes: Codes | None = None

    @model_validator(mode="after")
    def _one_list(self) -> Listed:
        if (self.list is None) is (self.codes is None):
            raise Wrong(N_("either `list` or `codes` is needed"))
        return self


class Numeric(BaseModel):
    """A value is a number; is 0; is a number but not 0."""

    model_config = SETTINGS

    test: Literal["numeric", "zero", "not-zero"]
    field: str


class Fits(BaseModel):
    """A code, or some characters of it, has the form that a coding rule prescribes."""

    model_config = SETTINGS

    test: Literal["fits"]
    field: str
    digits: Digits | None = None
    pattern: str


class UnitOf(BaseModel):
    """A unit is the `nth` of a commodity code. A code that the table lacks has no unit, so none is right."""

    model_config = SETTINGS

    test: Literal["unit-of"]
    field: str
    code: str
    nth: Literal["1", "2"]
    units: str


class Ratio(BaseModel):
    """One value through another is inside a band. Where one is no number, or the other is 0, it is not asked."""

    model_config = SETTINGS

    test: Literal["ratio"]
    field: str
    to: str
    band: str


class Unique(BaseModel):
    """No earlier record has the same values in these fields. Where one of them has none, it is not asked."""

    model_config = SETTINGS

    test: Literal["unique"]
    field: str
    """Where the finding is shown."""
    fields: tuple[str, ...]


Condition: TypeAlias = Annotated[Listed | Numeric | Fits | UnitOf | Ratio, Field(discriminator="test")]
"""What may be asked of a record alone."""

AnyCondition: TypeAlias = Annotated[Listed | Numeric | Fits | UnitOf | Ratio | Unique, Field(discriminator="test")]


class Band(BaseModel):
    model_config = SETTINGS

    at_least: Decimal
    at_most: Decimal


class Tables(BaseModel):
    """What a pack does not say, from the user, by the names that the pack gives."""

    model_config = SETTINGS

    lists: dict[str, Codes] = {}
    patterns: dict[str, Pattern] = {}
    units: dict[str, dict[str, tuple[str, ...]]] = {}
    bands: dict[str, Band] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Every list and table that a condition may name."""

    lists: Mapping[str, frozenset[str]]
    patterns: Mapping[str, re.Pattern[str]]
    units: Mapping[str, Mapping[str, tuple[str, ...]]]
    bands: Mapping[str, Band]


def fields_of(condition: AnyCondition) -> tuple[str, ...]:
    """The fields that it looks at, the one that a finding is shown at first."""
    match condition:
        case UnitOf(field=field, code=other) | Ratio(field=field, to=other):
            return field, other
        case Unique(field=field, fields=fields):
            return field, *fields
        case _:
            return (condition.field,)


def needs(condition: AnyCondition) -> tuple[Kind, str] | None:
    """The list or table that it names; None if it names none."""
    match condition:
        case Listed(list=str() as name):
            return "lists", name
        case Fits(pattern=name):
            return "patterns", name
        case UnitOf(units=name):
            return "units", name
        case Ratio(band=name):
            return "bands", name
        case _:
            return None


def compiled(condition: Condition, known: Known) -> Test:
    """A function that says whether `condition` holds for the values of a record."""
    match condition:
        case Listed():
            return _listed(condition, known)
        case Numeric(test=test, field=field):
            return _numeric(test, field)
        case Fits(field=field, digits=digits, pattern=name):
            matches, part = known.patterns[name].fullmatch, _part(digits)
            return lambda values: matches(said(values, field)[part]) is not None
        case UnitOf(field=field, code=code, nth=nth, units=name):
            return _unit_of(field, code, int(nth), known.units[name])
        case Ratio(field=field, to=to, band=name):
            return _ratio(field, to, known.bands[name])
        case unknown:
            assert_never(unknown)


def said(values: Values, field: str) -> str:
    """The text of a value; empty if there is none."""
    value = values.get(field, "")
    if type(value) is str:
        return value
    return plain(value) if isinstance(value, Decimal) else str(value)


def counted(values: Values, field: str) -> Decimal | None:
    """The number that a value is, or that its text says; None if that is none."""
    value = values.get(field, "")
    if type(value) is not str:
        return number(values, field)
    return Decimal(value) if _NUMBER.fullmatch(value) else None


def _part(digits: str | None) -> slice:
    return slice(None) if digits is None else places(digits)


def _listed(condition: Listed, known: Known) -> Test:
    field = condition.field
    codes = known.lists[condition.list] if condition.list else expanded(condition.codes or ())
    wanted = condition.test == "in"
    if condition.digits is None:
        return lambda values: (said(values, field) in codes) is wanted
    part = _part(condition.digits)
    return lambda values: (said(values, field)[part] in codes) is wanted


def _numeric(test: Literal["numeric", "zero", "not-zero"], field: str) -> Test:
    match test:
        case "numeric":
            return lambda values: counted(values, field) is not None
        case "zero":
            return lambda values: counted(values, field) == 0
        case "not-zero":
            return lambda values: bool(counted(values, field))


def _unit_of(field: str, code: str, nth: int, units: Mapping[str, tuple[str, ...]]) -> Test:
    def right(values: Values) -> bool:
        of = units.get(said(values, code), ())
        return nth <= len(of) and said(values, field) == of[nth - 1]

    return right


def _ratio(field: str, to: str, band: Band) -> Test:
    def inside(values: Values) -> bool:
        value, base = counted(values, field), counted(values, to)
        if value is None or not base:
            return True
        # Multiplied, not divided: a quotient would have to be rounded.
        least, most = sorted(EXACT.multiply(base, limit) for limit in (band.at_least, band.at_most))
        return least <= value <= most

    return inside
