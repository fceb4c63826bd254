"""The same document read from two sources: every field that both give must be equal, or the document is blocked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scraper_agent.format import Value
from scraper_agent.messages import N_
from scraper_agent.values import Finding, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one source says. `places`: field, such as `lines[3].unitPrice` -> where it was read."""

    header: Mapping[str, Value]
    lines: Sequence[Mapping[str, Value]]
    places: Mapping[str, str]


def differences(
    here: Side, there: Side, *, header: Sequence[str], lines: Sequence[str], match: str | None
) -> Iterator[Finding]:
    """One finding for each of the named fields that differs; an empty value differs from any other.

    Lines are paired by the field `match`, or by their order. A line that only one source has differs in every field.
    """
    for id in header:
        yield from _difference(here, there, id, id, here.header.get(id), there.header.get(id))
    if not lines:
        return
    for one, other in _pairs(here.lines, there.lines, match):
        for id in lines:
            mine, its = f"lines[{one or other}].{id}", f"lines[{other or one}].{id}"
            values = (_value(here.lines, one, id), _value(there.lines, other, id))
            yield from _difference(here, there, mine, its, *values)


def _difference(
    here: Side, there: Side, mine: str, its: str, value: Value | None, other: Value | None
) -> Iterator[Finding]:
    if value != other:
        yield Finding(
            code="SA2321",
            severity=Severity.ERROR,
            field=mine,
            text=N_("two sources differ: {here} at {here_place}, {there} at {there_place}"),
            values={
                "here": _shown(value),
                "here_place": here.places.get(mine, "-"),
                "there": _shown(other),
                "there_place": there.places.get(its, "-"),
            },
        )


def _value(lines: Sequence[Mapping[str, Value]], number: int | None, id: str) -> Value | None:
    return None if number is None else lines[number - 1].get(id)


def _pairs(
    here: Sequence[Mapping[str, Value]], there: Sequence[Mapping[str, Value]], match: str | None
) -> Iterator[tuple[int | None, int | None]]:
    """Numbers of lines that belong together, counted from 1; None where a source has no such line.

    A key that stands twice on one side is paired in the order of the lines, so that nothing is left unseen.
    """
    waiting: dict[Value | None, list[int]] = {}
    for number, line in enumerate(there, 1):
        waiting.setdefault(line.get(match) if match else str(number), []).append(number)
    for number, line in enumerate(here, 1):
        found = waiting.get(line.get(match) if match else str(number), [])
        yield number, (found.pop(0) if found else None)
    for left in waiting.values():
        for number in left:
            yield None, number


def _shown(value: Value | None) -> str:
    return "-" if value is None else str(value)[:120]
