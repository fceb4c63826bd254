"""What a rule sees and gives. One file per subject; a rule asks for fields by role, and a format's YAML casts them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Context as Arithmetic
from decimal import Decimal
from typing import Annotated, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict

from scraper_agent.values import Finding, Severity

Value: TypeAlias = str | Decimal | date | datetime
"""Of one field. A datetime is naive, to the second: local time, UTC+8."""

Values: TypeAlias = Mapping[str, Value]
"""By field identifier. A field without a value is absent; an empty text counts as absent."""

Fault: TypeAlias = tuple[str, Mapping[str, str]]
"""What is wrong with a value: a template of the catalogue, and what fills it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    format: str
    header: Values
    lines: tuple[Values, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a rule must know beyond its document."""

    duplicates: tuple[str, ...] = ()
    """The other documents of the run that have the same business key."""
    names: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """For each unified social credit code seen in the run, the names seen with it."""
    districts: frozenset[str] | None = None
    """The 5-character codes of 国内地区, from the user's table; None without one."""
    tariff: Mapping[str, tuple[str, str]] | None = None
    """For each commodity code its first and second legal unit, empty if it has none; from the user's table."""
    rates: Mapping[str, Sequence[tuple[date, Decimal]]] | None = None
    """For each currency, by day and oldest first: what one unit is worth from then on, in the currency of the table."""


class Rule(Protocol):
    """A frozen pydantic model whose keys are the roles and limits that a format's YAML gives it."""

    def findings(self, document: Document, context: Context, /) -> Iterator[Finding]:
        """What breaks the rule. A field that is absent or of a wrong type gives none: CHK-01 names it."""
        ...


SETTINGS = ConfigDict(frozen=True, extra="forbid")
"""Of every model that is read from a format's YAML."""


class Settings(BaseModel):
    """What every rule has."""

    model_config = SETTINGS

    code: ClassVar[str]
    source: ClassVar[str]
    """What inspired the rule."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Tables of the user's, without which it finds nothing, or less: `tariff`, `districts`, `rates`."""

    severity: Severity = Severity.ERROR
    status: str = ""
    """Why it is a reading of ours; empty if the source of the format says so itself."""


LINES = "lines."
"""Begins the name of a line's field where a rule may name one of the header too."""


@dataclass(frozen=True, slots=True)
class Role:
    """Marks a rule's setting that names a field, so that a name the format lacks is told when the format is loaded.

    `part` None: the name says it, see `LINES`.
    """

    part: Literal["header", "lines"] | None
    holds: tuple[Literal["text", "number", "date", "datetime"], ...] = ()
    """Any of these; empty allows every type."""


HeaderField: TypeAlias = Annotated[str, Role("header")]
HeaderText: TypeAlias = Annotated[str, Role("header", ("text",))]
HeaderNumber: TypeAlias = Annotated[str, Role("header", ("number",))]
LineField: TypeAlias = Annotated[str, Role("lines")]
LineText: TypeAlias = Annotated[str, Role("lines", ("text",))]
LineNumber: TypeAlias = Annotated[str, Role("lines", ("number",))]
AnyField: TypeAlias = Annotated[str, Role(None)]
AnyText: TypeAlias = Annotated[str, Role(None, ("text",))]
AnyNumber: TypeAlias = Annotated[str, Role(None, ("number",))]
AnyDay: TypeAlias = Annotated[str, Role(None, ("date", "datetime"))]
HeaderDay: TypeAlias = Annotated[str, Role("header", ("date", "datetime"))]

EXACT = Arithmetic(prec=300)
"""Python's usual 28 digits would round the product of two 19-digit numbers."""

COUNTABLE = 100
"""Digits before or after the point beyond which no rule calculates; CHK-01 refuses such a number anyway."""


def number(values: Values, id: str) -> Decimal | None:
    """The number in this field, None if there is none that can be calculated with."""
    value = values.get(id)
    if not isinstance(value, Decimal) or not value.is_finite():
        return None
    written = str(value)  # much faster than its digits, and enough for every number that a page shows
    if len(written) < COUNTABLE and "E" not in written:
        return value
    exponent = value.as_tuple().exponent
    if abs(value.adjusted()) > COUNTABLE or (isinstance(exponent, int) and abs(exponent) > COUNTABLE):
        return None
    return value


def text(values: Values, id: str) -> str | None:
    """The text in this field; None if it is empty or no text."""
    value = values.get(id)
    return value if isinstance(value, str) and value else None


def absent(values: Values, id: str) -> bool:
    return values.get(id, "") == ""


def on_line(line: int, id: str) -> str:
    """The path of a line's field; `line` counts from 1."""
    return f"lines[{line}].{id}"


class Place(NamedTuple):
    """Where a rule is applied: to one line, from which the header is seen, or to the header alone, as line 0."""

    header: Values
    line: Values
    number: int

    def at(self, id: str) -> tuple[Values, str]:
        """The values that have the field, and its name among them."""
        return (self.line, id[len(LINES) :]) if id.startswith(LINES) else (self.header, id)

    def path(self, id: str) -> str:
        return on_line(self.number, id[len(LINES) :]) if id.startswith(LINES) else id

    def value(self, id: str) -> Value:
        """Empty if it is absent."""
        values, id = self.at(id)
        return values.get(id, "")


def places(document: Document, *ids: str | None) -> Iterator[Place]:
    """Every line if one of the fields is a line's, else the header once."""
    if any(id is not None and id.startswith(LINES) for id in ids):
        for count, line in enumerate(document.lines, start=1):
            yield Place(document.header, line, count)
    else:
        yield Place(document.header, {}, 0)


class When(BaseModel):
    """A condition of a rule: the field has a value, and that is as the rest says."""

    model_config = SETTINGS

    field: AnyField
    one_of: tuple[str, ...] = ()
    """Of a text; empty allows every value."""
    none_of: tuple[str, ...] = ()
    differs_from: AnyField | None = None
    """Another field that has a value, and another one."""
    beside: AnyField | None = None
    """Another field that has a value."""

    def holds(self, place: Place) -> bool:
        value = place.value(self.field)
        if value in ("", *self.none_of) or (self.one_of and value not in self.one_of):
            return False
        if self.beside is not None and place.value(self.beside) == "":
            return False
        return self.differs_from is None or place.value(self.differs_from) not in ("", value)

    def ids(self) -> tuple[str, ...]:
        return tuple(id for id in (self.field, self.differs_from, self.beside) if id is not None)


def shown(value: Value) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)


def plain(value: Decimal) -> str:
    """A number as a person writes it: no exponent."""
    return format(value, "f")
