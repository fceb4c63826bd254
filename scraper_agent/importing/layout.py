"""How a file names what it holds: sheets, columns, marks. Template and reading agree on it here.

A document is a row of the sheet 表头 and its rows of the sheet 表体, joined by the format's key; or rows of one table
that has the columns of both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from scraper_agent import mapping
from scraper_agent.format import Field, Format

HEADER, LINES, HELP, CODES = "表头", "表体", "说明", "代码"
IDENTIFIERS, TYPES, EXAMPLE = "标识符", "类型", "示例"
"""What stands in a row's first cell, the mark, if the row is no document's."""

SKIPPED = (HELP, CODES)

Kind: TypeAlias = Literal["header", "lines", "both"]
"""What the rows of a table are."""

_TITLE = re.compile(r"([A-Za-z]{1,40}) ([0-9]{1,4}(?:\.[0-9]{1,4}){0,2})")


@dataclass(frozen=True, slots=True)
class Target:
    """What a column holds. `header`: of the document; else of one of its lines."""

    header: bool
    field: Field

    @property
    def path(self) -> str:
        return self.field.id if self.header else f"lines.{self.field.id}"


def title(format: Format) -> str:
    """What stands above the marks: which format the file is for."""
    return f"{format.name} {format.version}"


def titled(text: str) -> tuple[str, str] | None:
    """Name and version of the format, None if the text is no title."""
    match = _TITLE.fullmatch(text.strip())
    return (match[1], match[2]) if match else None


def asked(format: Format) -> tuple[Field, ...]:
    """The header fields that a person fills in: all that the agent does not fill itself."""
    own = mapping.COMMON_FIELDS if "recordGuid" in format.header_fields else frozenset()
    return tuple(field for field in format.header if field.id not in own)


def key(format: Format) -> tuple[Field, ...]:
    """The fields that join the lines of a document to it."""
    known = {field.id: field for field in asked(format)}
    return tuple(known[id] for id in format.key if id in known)


def targets(format: Format, kind: Kind) -> tuple[Target, ...]:
    """The columns of a table, in the template's order; the key comes first."""
    keys = key(format)
    rest = tuple(field for field in asked(format) if field not in keys)
    lines = [Target(header=False, field=field) for field in format.lines]
    header = [Target(header=True, field=field) for field in (*keys, *rest)]
    match kind:
        case "header":
            return tuple(header)
        case "lines":
            return (*header[: len(keys)], *lines)
        case "both":
            return (*header, *lines)


def names(columns: tuple[Target, ...]) -> dict[str, list[Target]]:
    """What each heading may stand for: an identifier, a Chinese name, or `lines.` or `header.` and an identifier."""
    found: dict[str, list[Target]] = {}
    for target in columns:
        field = target.field
        part = "header" if target.header else "lines"
        for name in {field.id, field.zh, f"{part}.{field.id}"}:
            found.setdefault(name, []).append(target)
    return found


def identifiers(columns: tuple[Target, ...]) -> list[str]:
    """Of each column an identifier that no other has."""
    known = names(columns)
    return [
        t.field.id if len(known[t.field.id]) == 1 else f"{'header' if t.header else 'lines'}.{t.field.id}"
        for t in columns
    ]


def shown(field: Field) -> Iterator[tuple[str, str]]:
    """Of each code how a drop-down shows it, and the code."""
    return ((f"{code} {zh}", code) for code, zh in field.choices.items())


def letters(column: int) -> str:
    """Of a column counted from 0: A, B, … AA."""
    found, number = "", column + 1
    while number:
        number, rest = divmod(number - 1, 26)
        found = chr(ord("A") + rest) + found
    return found
