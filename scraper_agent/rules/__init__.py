"""What a rule sees and gives. One file per subject; a rule asks for fields by role, and a format's YAML casts them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Context as Arithmetic
from decimal import Decimal
from typing import Annotated, Literal, Protocol, TypeAlias

from pydantic import ConfigDict

from scraper_agent.values import Finding

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


class Rule(Protocol):
    """A frozen pydantic model whose keys are the roles and limits that a format's YAML gives it."""

    def findings(self, document: Document, context: Context, /) -> Iterator[Finding]:
        """What breaks the rule. A field that is absent or of a wrong type gives none: CHK-01 names it."""
        ...


SETTINGS = ConfigDict(frozen=True, extra="forbid")
"""Of every rule."""


@dataclass(frozen=True, slots=True)
class Role:
    """Marks a rule's setting that names a field, so that a name the format lacks is told when the format is loaded."""

    part: Literal["header", "lines"]
    holds: Literal["text", "number"] | None = None


HeaderField: TypeAlias = Annotated[str, Role("header")]
HeaderText: TypeAlias = Annotated[str, Role("header", "text")]
HeaderNumber: TypeAlias = Annotated[str, Role("header", "number")]
LineField: TypeAlias = Annotated[str, Role("lines")]
LineText: TypeAlias = Annotated[str, Role("lines", "text")]
LineNumber: TypeAlias = Annotated[str, Role("lines", "number")]

EXACT = Arithmetic(prec=300)
"""Python's usual 28 digits would round the product of two 19-digit numbers."""

COUNTABLE = 100
"""Digits before or after the point beyond which no rule calculates; CHK-01 refuses such a number anyway."""


def number(values: Values, id: str) -> Decimal | None:
    """The number in this field, None if there is none that can be calculated with."""
    value = values.get(id)
    if not isinstance(value, Decimal) or not value.is_finite():
        return None
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


def plain(value: Decimal) -> str:
    """A number as a person writes it: no exponent."""
    return format(value, "f")
