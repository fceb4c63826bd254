"""Reading a filled template into documents, in its child with every check, against python-calamine only reading it.

`python -m tests.bench.bench_import` prints it.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal

import python_calamine as calamine
import xlsxwriter

from scraper_agent import files
from scraper_agent.format import Value
from scraper_agent.formats import FORMATS
from scraper_agent.importing import layout, reading

ORDER = FORMATS["purchaseOrder"]
DOCUMENTS = 2_500
LINES = 12
RUNS = 7


def workbook(documents: int = DOCUMENTS, lines: int = LINES) -> bytes:
    """Orders of 17 header fields with lines of 11 fields, nearly all filled in."""
    made = io.BytesIO()
    with xlsxwriter.Workbook(made, {"in_memory": True, "default_date_format": "yyyy-mm-dd"}) as book:
        header, line = (book.add_worksheet(name) for name in (layout.HEADER, layout.LINES))
        kinds: list[tuple[layout.Kind, object]] = [("header", header), ("lines", line)]
        for kind, sheet in kinds:
            asked = layout.targets(ORDER, kind)
            _row(sheet, 0, [layout.title(ORDER), *(t.field.zh for t in asked)])
            _row(sheet, 1, [layout.IDENTIFIERS, *layout.identifiers(asked)])
            _row(sheet, 2, [layout.TYPES, *(t.field.type.notation for t in asked)])
            for number in range(documents * (lines if kind == "lines" else 1)):
                order = number // lines if kind == "lines" else number
                _row(sheet, number + 3, ["", *(_value(t, order, number) for t in asked)])
    return made.getvalue()


def _value(target: layout.Target, order: int, number: int) -> Value:
    field = target.field
    if field.id == "orderNumber":
        return f"PO-{order:06}"
    if field.choices:
        return next(text for text, _ in layout.shown(field))
    match field.type.holds:
        case "number":
            return Decimal(number % 9_000) / 4 if field.type.decimals else Decimal(number % 9)
        case "date":
            return date(2026, 1 + number % 12, 1 + number % 28)
        case _:
            return f"{field.zh} {number % 500}"


def _row(sheet: object, row: int, values: list[Value]) -> None:
    for at, value in enumerate(values):
        if isinstance(value, str) and value:
            sheet.write_string(row, at, value)  # type: ignore[attr-defined]
        elif value != "":
            sheet.write(row, at, value)  # type: ignore[attr-defined]


def measure(runs: int = RUNS) -> dict[str, float]:
    """`import_over_calamine`: the quickest reading through the quickest by the library alone, by the wall clock."""
    data = workbook()
    cells = 0

    def only_read() -> None:
        nonlocal cells
        with calamine.CalamineWorkbook.from_filelike(io.BytesIO(data)) as book:
            names = (layout.HEADER, layout.LINES)
            rows = [book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in names]
        cells = sum(len(row) for sheet in rows for row in sheet)

    def imported() -> None:
        contents = reading.read(files.tables(data, "xlsx", layout.SKIPPED), FORMATS)
        assert len(contents.entries) == DOCUMENTS
        assert len(contents.entries[-1].lines) == LINES

    pairs = [(_seconds(only_read), _seconds(imported)) for _ in range(runs)]
    return {
        "cells": cells,
        "file_kb": len(data) / 1024,
        "calamine_s": statistics.median(alone for alone, _ in pairs),
        "import_s": statistics.median(whole for _, whole in pairs),
        "import_over_calamine": min(whole for _, whole in pairs) / min(alone for alone, _ in pairs),
    }


def _seconds(act: Callable[[], None]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:>20} {value:12.3f}")
