"""Workbooks: a zip is looked into before it is unpacked; a value is what the file stores, never computed."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import python_calamine as calamine
from lxml import etree

from scraper_agent.capture.files.grid import MAX_CELLS, Cell, Grid, Refused, within_limits

_MAX_PARTS = 2_000
_MAX_UNPACKED = 192 * 1024 * 1024
_MAX_RATIO = 250
_SMALL = 1024 * 1024
"""A part no larger than this, unpacked, may be packed as well as it likes."""
_EXACT = 2**53
"""Above, the file's own numbers have gaps."""
_ACTIVE = re.compile(r"vbaproject|activex|macrosheets|embeddings/|externallinks/|\.(?:zip|xlsx?|xlsm|exe|dll|ole)$")
_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml", re.IGNORECASE)
_PLACE = re.compile(r"([A-Z]{1,7})([0-9]{1,9})")
_NAMESPACES = "{*}"

_Value = int | float | str | bool | time | date | datetime | timedelta


def read(data: bytes, media: str, sheet: str | None) -> Grid:
    """One sheet, from its cell A1 on.

    Raises:
        Refused: macros, a password, other files within; too large; no or several sheets that could be meant; a formula
            without a stored value.
    """
    if media == "xlsx":
        _look_into(data)
    elif "_VBA_PROJECT_CUR".encode("utf-16-le") in data:
        raise Refused("active", what="macros")
    elif _locked(data):
        raise Refused("active", what="a password")
    try:
        with calamine.CalamineWorkbook.from_filelike(io.BytesIO(data)) as book:
            chosen = book.get_sheet_by_name(_chosen(book, sheet))
            within_limits(chosen.total_height, chosen.total_width)
            rows = chosen.to_python(skip_empty_area=False)
            merged = chosen.merged_cell_ranges or []
    except calamine.PasswordError:
        raise Refused("active", what="a password") from None
    except calamine.CalamineError as error:
        raise Refused("damaged", kind=media, seen=str(error)[:200]) from None
    wide = max(map(len, rows), default=0)
    grid: list[list[Cell | None]] = [
        [_cell(value, f"R{y + 1}C{x + 1}") for x, value in enumerate([*row, *[""] * (wide - len(row))])]
        for y, row in enumerate(rows)
    ]
    _merge(grid, merged, wide)
    return Grid(chosen.name, grid)


def _chosen(book: calamine.CalamineWorkbook, sheet: str | None) -> str:
    tables = [
        each.name
        for each in book.sheets_metadata
        if each.typ == calamine.SheetTypeEnum.WorkSheet and each.visible == calamine.SheetVisibleEnum.Visible
    ]
    if sheet is not None:
        if tables.count(sheet) != 1:
            raise Refused("sheet", seen=", ".join(tables))
        return sheet
    filled = [name for name in tables if book.get_sheet_by_name(name).start is not None]
    if len(filled) != 1:
        raise Refused("sheet", seen=", ".join(filled) or "-")
    return filled[0]


def _cell(value: _Value, place: str) -> Cell:
    match value:
        case bool():
            return Cell("TRUE" if value else "FALSE", "bool")
        case int() | float():
            if value != value or abs(value) >= _EXACT:  # noqa: PLR0124 - NaN differs from itself
                raise Refused("digits", seen=place)
            number = Decimal(repr(value))  # the shortest text that is this number and no other
            text = format(number, "f")
            return Cell(text.removesuffix(".0") if "." in text else text, "number")
        case datetime():
            midnight = value.time() == time()
            return Cell(value.date().isoformat() if midnight else value.isoformat(" "), "date")
        case date():
            return Cell(value.isoformat(), "date")
        case time() | timedelta():
            return Cell(str(value), "time")
        case str():
            return Cell(value)


def _merge(grid: list[list[Cell | None]], merged: list[tuple[tuple[int, int], tuple[int, int]]], wide: int) -> None:
    for (top, left), (last, rightmost) in merged:
        if top >= len(grid) or left >= wide:
            continue  # merged cells beyond all that is filled
        bottom, right = min(last, len(grid) - 1), min(rightmost, wide - 1)
        inside = [(y, x) for y in range(top, bottom + 1) for x in range(left, right + 1)]
        first = grid[top][left]
        if first is None or any(cell is None or cell.text for y, x in inside[1:] for cell in (grid[y][x],)):
            raise Refused("ragged", seen=f"merged cells overlap at R{top + 1}C{left + 1}")
        for y, x in inside[1:]:
            grid[y][x] = None
        first.right, first.down = right - left + 1, bottom - top + 1


def _locked(data: bytes) -> bool:
    """Whether a BIFF stream begins with FilePass (MS-XLS 2.4.117): the library would read some of these as they are.

    Streams begin at multiples of 64 bytes; FilePass follows BOF, with at most WriteProtect between.
    """
    for at in range(0, len(data) - 32, 64):
        if data[at : at + 2] == b"\x09\x08":
            after = at + 4 + int.from_bytes(data[at + 2 : at + 4], "little")
            after += 4 if data[after : after + 4] == b"\x86\x00\x00\x00" else 0
            if data[after : after + 2] == b"\x2f\x00":
                return True
    return False


# --- before unpacking -----------------------------------------------------------------------------------------------


def _look_into(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            parts = file.infolist()
            _look_at(parts)
            for part in parts:
                if _SHEET.fullmatch(part.filename):
                    with file.open(part) as stream:
                        _scan(io.BufferedReader(stream), part.filename.rpartition("/")[2])  # type: ignore[arg-type]
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, etree.XMLSyntaxError, ValueError) as error:
        raise Refused("damaged", kind="xlsx", seen=str(error)[:200]) from None


def _look_at(parts: list[zipfile.ZipInfo]) -> None:
    if len(parts) > _MAX_PARTS:
        raise Refused("limit", what="parts", limit=str(_MAX_PARTS), seen=str(len(parts)))
    names = [part.filename.lower() for part in parts]
    if len(set(names)) < len(names):
        raise Refused("damaged", kind="xlsx", seen="two parts of one name")
    for part, name in zip(parts, names, strict=True):
        if part.flag_bits & 1:
            raise Refused("active", what="a password")
        if _ACTIVE.search(name):
            raise Refused("active", what="macros" if "vba" in name or "macro" in name else f"another file: {name}")
        if part.file_size > _SMALL and part.file_size > part.compress_size * _MAX_RATIO:
            raise Refused("limit", what="packing", limit=str(_MAX_RATIO), seen=name)
    whole = sum(part.file_size for part in parts)
    if whole > _MAX_UNPACKED:
        raise Refused("limit", what="bytes unpacked", limit=str(_MAX_UNPACKED), seen=str(whole))


def _scan(stream: io.BufferedReader, name: str) -> None:
    """Rows and columns counted before a library makes room for them; formulas must have their value stored."""
    rows = columns = 1
    found = etree.iterparse(stream, tag=f"{_NAMESPACES}c", resolve_entities=False, no_network=True)
    for cells, (_, cell) in enumerate(found, 1):
        place = _PLACE.fullmatch(cell.get("r", ""))
        if place is not None:
            rows, columns = max(rows, int(place[2])), max(columns, _column(place[1]))
        within_limits(rows, columns)
        if cells > MAX_CELLS:
            raise Refused("limit", what="cells", limit=str(MAX_CELLS), seen=str(cells))
        formula = cell.find(f"{_NAMESPACES}f")
        if formula is not None and cell.find(f"{_NAMESPACES}v") is None:
            raise Refused("formula", seen=f"{name} {cell.get('r', '')}")
        parent = cell.getparent()
        cell.clear()
        if parent is not None:
            while cell.getprevious() is not None:
                del parent[0]


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
