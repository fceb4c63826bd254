"""Tables that were gathered while a grid was scrolled, and how the frozen page holds them."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

from scraper_agent.errors import PageError
from scraper_agent.messages import N_

_END = "</body></html>"
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Cell:
    """`box`: x, y, width and height at the first sighting, as if nothing had been scrolled."""

    text: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Gathered:
    """One table; every row has as many cells as there are heads."""

    name: str
    heads: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]


def table(name: str, found: dict[str, Any]) -> tuple[Gathered, list[str]]:
    """The table that lists.js gathered, and what told its rows apart. Columns without any cell are left out.

    Raises:
        PageError: a row lacks a cell, or a header's mark does not stay with its column.
    """
    if found["doubtful"]:
        raise PageError(
            "SA2246",
            N_("grid {name}: one mark tells two headers: {seen}"),
            hint=N_("`column` or `head` counts what is in view only; choose an attribute that stays with its column"),
            name=name,
            seen="; ".join(" / ".join(pair) for pair in found["doubtful"])[:300],
        )
    raw: list[list[list[Any] | None]] = [row["cells"] for row in found["rows"]]
    ids = [str(row["id"]) for row in found["rows"]]
    kept = [n for n in range(len(found["heads"])) if not raw or any(row[n] is not None for row in raw)]
    heads = tuple(_sighted(found["heads"][n]) for n in kept)
    rows = []
    for id, row in zip(ids, raw, strict=True):
        lacking = [heads[at].text for at, n in enumerate(kept) if row[n] is None]
        if lacking or not kept:
            raise PageError(
                "SA2244",
                N_("grid {name}: row {row} never showed its cell(s) {missing}"),
                hint=N_("correct `cells`, `column` or `across`; leave rows that are no records out of `rows`"),
                name=name,
                row=id[:60],
                missing=", ".join(lacking)[:200] or "-",
            )
        rows.append(tuple(_under(heads[at], cell) for at, n in enumerate(kept) if (cell := row[n]) is not None))
    return Gathered(name, heads, tuple(rows)), ids


def needed(table: Gathered, head: str) -> int:
    """The place of a column that the recipe names.

    Raises:
        PageError: the grid has no such column, or two.
    """
    found = [n for n, cell in enumerate(table.heads) if cell.text == head]
    if len(found) != 1:
        raise PageError(
            "SA2245",
            N_("grid {name}: {count} column(s) are headed {column}; it has: {seen}"),
            hint=N_("correct `key` or `totals` in the recipe"),
            name=table.name,
            count=len(found),
            column=head,
            seen=" | ".join(cell.text for cell in table.heads)[:400] or "-",
        )
    return found[0]


def by_head(table: Gathered) -> list[tuple[tuple[str, str], ...]]:
    """Every row as headers and texts in an order of their own: two looks may see the columns in different orders."""
    order = sorted(range(len(table.heads)), key=lambda n: table.heads[n].text)
    return [tuple((table.heads[n].text, row[n].text) for n in order) for row in table.rows]


def _under(head: Cell, raw: list[Any]) -> Cell:
    """A cell stands under its header: a frozen one moves along while the others are scrolled sideways."""
    cell = _sighted(raw)
    return Cell(cell.text, (head.box[0], cell.box[1], head.box[2], cell.box[3]))


def _sighted(raw: list[Any]) -> Cell:
    text, x, y, width, height = raw
    return Cell(str(text), (int(x), int(y), int(width), int(height)))


def written(frozen: str, tables: tuple[Gathered, ...]) -> str:
    """The frozen page with the tables at its end, as `table[frozen-list=NAME]`: no page can write that attribute."""
    if not tables or not frozen.endswith(_END):
        return frozen
    return frozen.removesuffix(_END) + "".join(map(_table, tables)) + _END


def _table(table: Gathered) -> str:
    heads = "".join(_cell("th", cell) for cell in table.heads)
    rows = "".join(f"<tr>{''.join(_cell('td', cell) for cell in row)}</tr>" for row in table.rows)
    name = html.escape(table.name)
    return f'<table frozen-list="{name}"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'


def _cell(tag: str, cell: Cell) -> str:
    x, y, width, height = cell.box
    text = html.escape(_UNSAFE.sub("\ufffd", cell.text), quote=False)
    return f'<{tag} frozen-box="{x} {y} {width} {height}">{text}</{tag}>'
