"""What a person is shown before a document leaves: its fields, and what differs from the version sent last. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scraper_agent.format import Document, Field, Format, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One value. Of a field that is masked, `value` is shown as people may see it; the bytes hold it whole."""

    path: str
    """`remark`, or `lines[3].goodsName` counted from 1."""
    field: Field
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value that differs. None where that side has none."""

    path: str
    """`remark`; of a line `lines[10].unitPrice`, with the line's own number."""
    field: Field
    old: str | None
    new: str | None


def rows(document: Document, format: Format) -> tuple[Row, ...]:
    """Header fields, then lines, as the document has them."""
    return tuple(
        Row(path=path, field=field, value=_shown(field, value)) for path, field, value in _values(document, format)
    )


def difference(old: Document, new: Document, format: Format) -> tuple[Change, ...]:
    """What of `new` differs from `old`, in the format's order; lines are matched by their own numbers.

    The agent's own words of when and how a document was made differ always, and are told like any.
    """
    found = [*_between(old.header, new.header, format.header, "")]
    olds, news = _numbered(old.lines, format), _numbered(new.lines, format)
    if olds is None or news is None:
        olds, news = _in_order(old.lines), _in_order(new.lines)
    for number in dict.fromkeys((*news, *olds)):
        found += _between(olds.get(number, {}), news.get(number, {}), format.lines, f"lines[{number}].")
    return tuple(found)


def _values(document: Document, format: Format) -> Iterator[tuple[str, Field, Value]]:
    for id, value in document.header.items():
        yield id, format.header_fields[id], value
    for number, line in enumerate(document.lines, start=1):
        for id, value in line.items():
            yield f"lines[{number}].{id}", format.line_fields[id], value


def _between(
    old: Mapping[str, Value], new: Mapping[str, Value], fields: Sequence[Field], prefix: str
) -> Iterator[Change]:
    for field in fields:
        before, now = old.get(field.id), new.get(field.id)
        if before != now:
            yield Change(
                path=f"{prefix}{field.id}",
                field=field,
                old=None if before is None else _shown(field, before),
                new=None if now is None else _shown(field, now),
            )


def _numbered(lines: Sequence[Mapping[str, Value]], format: Format) -> dict[str, Mapping[str, Value]] | None:
    """By what stands in the first field of every format's lines, which numbers them; None if that does not tell."""
    if not format.lines:
        return {}
    found = {str(line[id]): line for line in lines if (id := format.lines[0].id) in line}
    return found if len(found) == len(lines) else None


def _in_order(lines: Sequence[Mapping[str, Value]]) -> dict[str, Mapping[str, Value]]:
    return {str(number): line for number, line in enumerate(lines, start=1)}


def _shown(field: Field, value: Value) -> str:
    return field.masked_in(str(value), str(value))
