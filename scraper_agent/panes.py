"""Tables on the frozen page that are more than one in the markup, and rows of them that are no records.

Grids keep their header, or the columns that do not scroll, in tables of their own. What a person sees as one row stands
at one height; so the parts are joined by where their rows are, and refused where those do not pair up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from scraper_agent.errors import PageError
from scraper_agent.messages import N_
from scraper_agent.page import Element, FrozenPage, Table, label_text
from scraper_agent.recipe import Rows

_SLACK_PX = 2
_GUTTER_PX = 20
"""A header may be wider than its body by a scroll bar, or narrower."""
_NO_SUCH_COLUMN = frozenset({"SA2004", "SA2005"})
_TOTAL = re.compile(
    r"(本页|本单|分组)?(合|小|总|累)计|total|totals|subtotal|sub-total|grandtotal|summe|sum", re.IGNORECASE
)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_ORNAMENT = re.compile(r"[,\s¥￥$€%]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pane:
    """One part: where its headers are, its rows from top to bottom, and how high each stands."""

    head: Table
    body: Table
    rows: list[Element]
    heights: list[int]


def table(page: FrozenPage, columns: set[str], css: str | None = None) -> Table:
    """The one shown table with all `columns`; where no table of the markup has them all, its parts joined.

    Raises:
        PageError: none or several; or its parts show rows that do not pair up.
    """
    try:
        found = page.table(columns, css)
    except PageError as error:
        if error.code not in _NO_SUCH_COLUMN or (joined := _joined(page, columns, css)) is None:
            raise
        return joined
    if columns and not _body(page, found):
        return _joined(page, columns, css) or found
    return found


def records(page: FrozenPage, table: Table, rows: Rows) -> list[Element]:
    """The rows that stand for records: without those that `skip` selects, and without totals."""
    found = page.rows(table, rows.rows, rows.skip)
    if rows.totals == "keep":
        return found
    kept: list[Element] = []
    group: list[Element] = []
    for row in found:
        if _is_total(page, table, row, group) or _is_total(page, table, row, kept):
            group = []
        else:
            kept.append(row)
            group.append(row)
    return kept


# --- parts ----------------------------------------------------------------------------------------------------------


def _joined(page: FrozenPage, columns: set[str], css: str | None) -> Table | None:
    wanted = {label_text(column) for column in columns}
    panes = [p for p in _panes(page, css) if wanted & p.head.columns.keys()]
    named = [name for p in panes for name in p.head.columns if name in wanted]
    if set(named) != wanted or not panes:
        return None
    if len(named) > len(wanted):
        raise page.ambiguous(f"table with columns {', '.join(sorted(columns))}", [p.body.element for p in panes])
    first = panes[0]
    for other in panes[1:]:
        if len(other.rows) != len(first.rows) or any(
            abs(a - b) > _SLACK_PX for a, b in zip(first.heights, other.heights, strict=True)
        ):
            raise PageError(
                "SA2012",
                N_("two parts of one table do not show the same rows: {seen} and {expected}"),
                hint=N_("they are joined by how high their rows stand; scroll both to the same place, or use `table`"),
                seen=_told(first),
                expected=_told(other),
            )
    return _one(panes)


def _one(panes: list[_Pane]) -> Table:
    columns: dict[str, int] = {}
    heads: dict[str, Element] = {}
    cells: dict[Element, list[tuple[int, int, Element]]] = {row: [] for row in panes[0].rows}
    base = 0
    for pane in panes:
        columns |= {name: -1 if at < 0 or name in columns else at + base for name, at in pane.head.columns.items()}
        heads |= {name: head for name, head in pane.head.heads.items() if name not in heads}
        for row, own in zip(cells, pane.rows, strict=True):
            cells[row] += [(start + base, end + base, cell) for start, end, cell in pane.body.cells[own]]
        base += max((end for line in pane.head.cells.values() for _, end, _ in line), default=0)
    element = panes[0].body.element
    while any(p.body.element is not element and element not in p.body.element.iterancestors() for p in panes):
        above = element.getparent()
        if above is None:
            break
        element = above
    return Table(element=element, columns=columns, heads=heads, cells=cells, only=frozenset(cells))


def _panes(page: FrozenPage, css: str | None) -> Iterator[_Pane]:
    """Every part with rows, and the header that belongs to it: its own, or one in a table right above it."""
    elements = [t for e in page.select(css or "table") for t in ([e] if e.tag == "table" else e.iter("table"))]
    tables = [page.headed(e) for e in dict.fromkeys(elements) if page.layout.shown(e)]
    bare = [t for t in tables if t.columns and not _body(page, t)]
    for each in tables:
        rows = _body(page, each)
        if not rows:
            continue
        heads = [each] if each.columns else [h for h in bare if _is_above(page, h.element, each.element)]
        if len(heads) > 1:
            raise page.ambiguous("header of a table", [h.element for h in heads])
        if heads:
            heights = [box.y for row in rows if (box := page.layout.box(row)) is not None]
            yield _Pane(head=heads[0], body=each, rows=rows, heights=heights)


def _body(page: FrozenPage, table: Table) -> list[Element]:
    """Its shown rows, without those of its header."""
    head = {cell.getparent() for cell in table.heads.values()}
    return [row for row in table.cells if row not in head and not page.all_headers(row) and page.layout.shown(row)]


def _is_above(page: FrozenPage, head: Element, body: Element) -> bool:
    above, here = page.layout.box(head), page.layout.box(body)
    if above is None or here is None:
        return False
    in_line = abs(above.x - here.x) <= _SLACK_PX and abs(above.right - here.right) <= _GUTTER_PX
    return in_line and abs(here.y - above.bottom) <= _GUTTER_PX


def _told(pane: _Pane) -> str:
    at = ", ".join(map(str, pane.heights[:4]))
    return f"{' | '.join(list(pane.head.columns)[:4])}: {len(pane.rows)} ({at} …)"


# --- totals ---------------------------------------------------------------------------------------------------------


def _is_total(page: FrozenPage, table: Table, row: Element, above: list[Element]) -> bool:
    """Whether it begins with such a word, and half of it is blank, or a number in it is the sum of those above.

    The word alone is no proof: a record may be called so.
    """
    inner = sorted(table.cells.get(row, ()), key=lambda c: c[0])
    first = next((text for _, _, cell in inner if (text := page.text(cell))), "")
    if not _TOTAL.fullmatch(label_text(first).replace(" ", "")):
        return False
    texts = _texts(page, table, row)
    width = max((end for line in table.cells.values() for _, end, _ in line), default=0)
    if 2 * (width - sum(map(bool, texts))) >= width:
        return True
    lines = [_texts(page, table, other) for other in above]
    return any(_is_sum(text, [line[n] for line in lines if n < len(line)]) for n, text in enumerate(texts))


def _texts(page: FrozenPage, table: Table, row: Element) -> list[str]:
    """By column; a cell merged over several counts as blank in all of them but the first word it holds."""
    texts: list[str] = []
    for start, end, cell in sorted(table.cells.get(row, ()), key=lambda c: c[0]):
        texts += [""] * (start - len(texts))
        texts += [page.text(cell), *[""] * (end - start - 1)]
    return texts


def _is_sum(text: str, above: list[str]) -> bool:
    total = _number(text)
    numbers = [number for each in above if (number := _number(each)) is not None]
    return total is not None and len(numbers) == len(above) > 0 and sum(numbers, Decimal(0)) == total


def _number(text: str) -> Decimal | None:
    bare = _ORNAMENT.sub("", text)
    return Decimal(bare) if _NUMBER.fullmatch(bare) else None
