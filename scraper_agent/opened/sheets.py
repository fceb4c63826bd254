"""Workbooks: a zip is looked into before it is unpacked; a value is what the file stores, never computed."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, TypeAlias

import python_calamine as calamine

from scraper_agent.opened.grid import MAX_CELLS, Cell, Grid, Refused, within_limits

_MAX_PARTS = 2_000
_MAX_UNPACKED = 192 * 1024 * 1024
_MAX_RATIO = 250
_SMALL = 1024 * 1024
"""A part no larger than this, unpacked, may be packed as well as it likes."""
_EXACT = 2**53
"""Above, the file's own numbers have gaps."""
_ACTIVE = re.compile(r"vbaproject|activex|macrosheets|embeddings/|externallinks/|\.(?:zip|xlsx?|xlsm|exe|dll|ole)$")
_PLACE = re.compile(r"([A-Z]{1,7})([0-9]{1,9})")
_NAMESPACES = "{*}"

_AT_A_TIME = 1_000
_MANY = 20

Part: TypeAlias = dict[str, Any] | list[Any]
"""The head of a sheet, or some of its rows."""

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


def tables(data: bytes, skip: Collection[str]) -> Iterator[Part]:
    """Every visible sheet but those of `skip`: its name and merged cells, then its rows from A1 on, some at a time.

    Raises:
        Refused: as `read`; or a cell with an error, such as #N/A, which the library would leave empty.
    """
    if errors := _look_into(data):
        raise Refused("error", seen=", ".join(errors[:_MANY]))
    try:
        with calamine.CalamineWorkbook.from_filelike(io.BytesIO(data)) as book:
            for name in _visible(book):
                if name in skip:
                    continue
                sheet = book.get_sheet_by_name(name)
                within_limits(sheet.total_height, sheet.total_width)
                yield {"sheet": name, "merged": sheet.merged_cell_ranges or []}
                before = [""] * (sheet.start[1] if sheet.start is not None else 0)
                rows = iter(sheet.iter_rows())
                while chunk := list(islice(rows, _AT_A_TIME)):
                    yield [before + row for row in chunk] if before else chunk
    except calamine.PasswordError:
        raise Refused("active", what="a password") from None
    except calamine.CalamineError as error:
        raise Refused("damaged", kind="xlsx", seen=str(error)[:200]) from None


def typed(value: object) -> tuple[str, str]:
    """A cell that JSON has no word for: its kind, and its text in ISO 8601.

    Raises:
        TypeError: it is none.
    """
    match value:
        case datetime() | date():
            return "date", value.isoformat()
        case time() | timedelta():
            return "time", str(value)
        case _:
            raise TypeError(type(value).__name__)


def _chosen(book: calamine.CalamineWorkbook, sheet: str | None) -> str:
    tables = _visible(book)
    if sheet is not None:
        if tables.count(sheet) != 1:
            raise Refused("sheet", seen=", ".join(tables))
        return sheet
    filled = [name for name in tables if book.get_sheet_by_name(name).start is not None]
    if len(filled) != 1:
        raise Refused("sheet", seen=", ".join(filled) or "-")
    return filled[0]


def _visible(book: calamine.CalamineWorkbook) -> list[str]:
    return [
        each.name
        for each in book.sheets_metadata
        if each.typ == calamine.SheetTypeEnum.WorkSheet and each.visible == calamine.SheetVisibleEnum.Visible
    ]


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

_ODD = (
    re.compile(rb'<c(?! r="A?[A-Z][0-9]{1,5}"|[a-z])'),
    re.compile(rb":c[\s/>]"),
    re.compile(rb"</f>(?!<v>)"),
    re.compile(rb"<f[^>]*/>(?!<v>)"),
)
"""A cell that is not written as every program writes it, or stands right of column AZ or below row 99,999; or a formula
that may be without its value. Each begins with what can be searched for quickly.

Without any, the rectangle around all cells has at most 5.2 million places, which a library may make room for.
"""
_DECLARED = (b"<!DOCTYPE", b"<!ENTITY")
_MAX_STRINGS = 1_000_000


def _look_into(data: bytes) -> list[str]:
    """Checks sizes and contents; gives the places of the error values, such as #N/A, that the library would leave out.

    Raises:
        Refused: more than is read, or what is never read.
    """
    errors: list[str] = []
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            parts = file.infolist()
            _look_at(parts)
            for part in parts:
                # Any part may be a sheet: the workbook names them as it likes.
                errors += _scan(_inflated(data, file, part), part.filename.rpartition("/")[2])
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, ValueError) as error:
        raise Refused("damaged", kind="xlsx", seen=str(error)[:200]) from None
    return errors


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


def _inflated(data: bytes, file: zipfile.ZipFile, part: zipfile.ZipInfo) -> bytes:
    """The part's bytes, if they end where the zip says: another library may not stop there."""
    if part.compress_type == zipfile.ZIP_STORED:
        return file.read(part)
    if part.compress_type != zipfile.ZIP_DEFLATED:
        raise NotImplementedError(f"compression {part.compress_type}")
    at = part.header_offset
    name, extra = (int.from_bytes(data[at + n : at + n + 2], "little") for n in (26, 28))
    begin = at + 30 + name + extra
    body = zlib.decompressobj(-15).decompress(data[begin : begin + part.compress_size], part.file_size + 1)
    if len(body) != part.file_size or zlib.crc32(body) != part.CRC:
        raise ValueError(f"{part.filename} is not what the zip says of it")
    return body


def _scan(body: bytes, name: str) -> list[str]:
    """Rows and columns counted before a library makes room for them; formulas must have their value stored."""
    if any(word in body for word in _DECLARED):
        raise Refused("damaged", kind="xlsx", seen=f"{name}: a document type")
    if (strings := body.count(b"<si")) > _MAX_STRINGS:
        raise Refused("limit", what="texts", limit=str(_MAX_STRINGS), seen=str(strings))
    if b"sheetData" not in body or not (any(odd.search(body) for odd in _ODD) or b't="e"' in body):
        return []
    from lxml import etree  # noqa: PLC0415 - few files need it

    found = etree.iterparse(io.BytesIO(body), tag=("{*}c", "{*}row"), resolve_entities=False, no_network=True)
    try:
        return _scan_slowly((element for _, element in found), name)
    except etree.XMLSyntaxError as error:
        raise Refused("damaged", kind="xlsx", seen=str(error)[:200]) from None


def _scan_slowly(found: Iterable[Any], name: str) -> list[str]:
    errors: list[str] = []
    rows = columns = cells = here = 0  # `here`: the column; cells that name no place stand one after the other
    for element in found:
        if element.tag.endswith("row"):
            rows, here = max(rows + 1, int(element.get("r") or 0)), 0
            within_limits(rows, columns)
            _drop(element)
            continue
        cells, here = cells + 1, here + 1
        if cells > MAX_CELLS:
            raise Refused("limit", what="cells", limit=str(MAX_CELLS), seen=str(cells))
        place = _PLACE.fullmatch(element.get("r", ""))
        if place is not None:
            rows, here = max(rows, int(place[2])), max(here, _column(place[1]))
        columns = max(columns, here)
        within_limits(max(rows, 1), columns)
        formula = element.find(f"{_NAMESPACES}f")
        if formula is not None and element.find(f"{_NAMESPACES}v") is None:
            raise Refused("formula", seen=f"{name} {element.get('r', '')}")
        if element.get("t") == "e":
            errors.append(f"{name} {element.get('r', '')}")
    return errors


def _drop(element: Any) -> None:
    """Forget a row and those before it, which would fill the memory."""
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
