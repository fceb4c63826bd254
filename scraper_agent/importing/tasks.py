"""The waybills of a file of transport tasks, in place of the tasks: every value with the place that it is from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date

from scraper_agent.format import Format, Value
from scraper_agent.importing import reading
from scraper_agent.mapping import Origin, Reading
from scraper_agent.rules import Values
from scraper_agent.values import Digest
from scraper_agent.waybill import task
from scraper_agent.waybill.task import Made


@dataclass(frozen=True, slots=True, kw_only=True)
class Waybills(reading.Contents):
    """`format` is the waybills'; `entries` and `rows` are the tasks'."""

    tasks: reading.Contents
    make: Callable[[Values], Made]

    def readings(self, file: str, digest: Digest) -> Iterator[Reading]:
        for each in self.tasks.readings(file, digest):
            made = self.make(each.header)
            yield Reading(
                record=each.record,  # the task's, so that a changed task is a new version of its waybill
                header=made.header,
                lines=(),
                unread=(),
                origins=tuple(_origins(each, made)),
            )


def waybills(tasks: reading.Contents, format: Format, make: Callable[[Values], Made]) -> Waybills:
    """`make`: the waybill of a task's header."""
    return Waybills(
        format=format, entries=tasks.entries, rows=tasks.rows, examples=tasks.examples, tasks=tasks, make=make
    )


def _origins(of: Reading, made: Made) -> Iterator[Origin]:
    told = {origin.field: origin for origin in of.origins}
    yield from (origin for id, origin in told.items() if id in made.header)
    number = told[task.NUMBER]
    for id, source in made.sources.items():
        value = _written(made.header[id])
        if id == "waybillNumber":
            yield replace(number, field=id, steps=(*number.steps, f"{source}: {value}"), value=value)
        else:
            yield Origin(field=id, page=None, frame="/", target=source, raw=value, steps=(), value=value, box=None)


def _written(value: Value) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
