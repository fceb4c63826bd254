"""A table as rows of cells, and its frozen page: every cell with its place in the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Literal

MAX_ROWS = 200_000
MAX_COLUMNS = 1_000
MAX_CELLS = 500_000
MAX_CELL_CHARACTERS = 32_767
MAX_PAGE_BYTES = 64 * 1024 * 1024

_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_WIDTH_PX, _HEIGHT_PX = 100, 20

Kind = Literal["text", "number", "date", "time", "bool"]


class Refused(Exception):
    """The bytes are not read, because of `reason` (a key of the parent's table), filled with `seen`."""

    def __init__(self, reason: str, /, **seen: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.seen = seen


@dataclass(slots=True)
class Cell:
    """`kind` is the file's own word for what it holds: only a typed number or date is one."""

    text: str
    kind: Kind = "text"
    right: int = 1
    """Columns it takes, itself included."""
    down: int = 1


@dataclass(slots=True)
class Grid:
    name: str
    rows: list[list[Cell | None]]
    """None: covered by a merged cell further left or above."""


def within_limits(rows: int, columns: int) -> None:
    """Checks a table's size.

    Raises:
        Refused: more than is read.
    """
    for what, seen, limit in (
        ("rows", rows, MAX_ROWS),
        ("columns", columns, MAX_COLUMNS),
        ("cells", rows * columns, MAX_CELLS),
    ):
        if seen > limit:
            raise Refused("limit", what=what, limit=str(limit), seen=str(seen))


def shown(text: str, place: str) -> str:
    """`text` as XML may hold it.

    Raises:
        Refused: it holds a control character, or is longer than a cell may be.
    """
    if len(text) > MAX_CELL_CHARACTERS:
        raise Refused("limit", what=f"characters in {place}", limit=str(MAX_CELL_CHARACTERS), seen=str(len(text)))
    if _NOT_XML.search(text):
        raise Refused("characters", seen=place)
    return escape(text)


def head(url: str, digest: str) -> str:
    """How the page of a file begins; `frozen-of` is the file's digest."""
    return (
        f'<html xmlns="http://www.w3.org/1999/xhtml" frozen-url="{escape(url)}" frozen-size="1 1" '
        f'frozen-of="{escape(digest)}"><head><title>file</title></head><body>'
    )


def page(grid: Grid, header: int, header_rows: int, url: str, digest: str) -> bytes:
    """The header rows as the table's head, what is above them as a table of its own, rows without any text left out.

    Raises:
        Refused: the file has no such header row, or is larger than a page may be.
    """
    if header + header_rows - 1 > len(grid.rows):
        raise Refused("ragged", seen=f"{len(grid.rows)} rows, header {header}")
    top = header - 1
    parts = [head(url, digest)]
    if top:
        parts += ['<table class="above"><tbody>', *_rows(grid, 0, top, "td"), "</tbody></table>"]
    parts += ['<table class="file"><thead>', *_rows(grid, top, top + header_rows, "th"), "</thead><tbody>"]
    parts += [*_rows(grid, top + header_rows, len(grid.rows), "td"), "</tbody></table></body></html>"]
    return encoded(parts)


def encoded(parts: list[str]) -> bytes:
    made = "".join(parts).encode()
    if len(made) > MAX_PAGE_BYTES:
        raise Refused("limit", what="bytes as a page", limit=str(MAX_PAGE_BYTES), seen=str(len(made)))
    return made


def _rows(grid: Grid, start: int, end: int, tag: str) -> Iterator[str]:
    for number in range(start, end):
        row = grid.rows[number]
        first = next((cell.text for cell in row if cell is not None and cell.text), "")
        if not first and None not in row:
            continue
        yield f'<tr data-first="{shown(first, f"R{number + 1}")}">'
        for column, cell in enumerate(row):
            if cell is None:
                continue
            place = f"R{number + 1}C{column + 1}"
            if number + cell.down > end:
                raise Refused("ragged", seen=f"a merged cell reaches out of the header, or into it: {place}")
            box = f"{column * _WIDTH_PX} {number * _HEIGHT_PX} {cell.right * _WIDTH_PX} {cell.down * _HEIGHT_PX}"
            spans = (f' colspan="{cell.right}"' if cell.right > 1 else "") + (
                f' rowspan="{cell.down}"' if cell.down > 1 else ""
            )
            kind = f' frozen-type="{cell.kind}"' if cell.kind != "text" else ""
            where = shown(f"{grid.name}!{place}", place)
            text = shown(cell.text, place)
            yield f'<{tag} frozen-box="{box}" frozen-cell="{where}"{kind}{spans}>{text}</{tag}>'
        yield "</tr>"
