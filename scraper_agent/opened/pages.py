"""Tables in HTML, which an ERP calls `.xls`."""

from __future__ import annotations

import re

from lxml import etree
from lxml import html as markup

from scraper_agent.opened.grid import Cell, Grid, Refused, within_limits


def html(text: str, sheet: str | None) -> Grid:
    """The table of an HTML page; `sheet` is its number, counted from 1, where there are several.

    Raises:
        Refused: there is none, or several; a cell holds a table; merged cells overlap.
    """
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", text)
    parser = markup.HTMLParser(no_network=True, remove_comments=True, remove_pis=True, huge_tree=False)
    try:
        root = markup.document_fromstring(text, parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError) as error:
        raise Refused("damaged", kind="html", seen=str(error)) from None
    if not re.search(r"</table\s*>", text, re.IGNORECASE):
        raise Refused("damaged", kind="html", seen="no table, or one that does not end")
    tables = [t for t in root.iter("table") if next(t.iter("tr"), None) is not None]
    number = 1
    if sheet is not None:
        number = int(sheet) if sheet.isdecimal() and len(sheet) < 5 else 0  # noqa: PLR2004
    if not 1 <= number <= len(tables) or (sheet is None and len(tables) > 1):
        raise Refused("sheet", seen=f"{len(tables)} tables")
    table = tables[number - 1]
    if next(table.iterdescendants("table"), None) is not None:
        raise Refused("ragged", seen="a table within a table")
    return Grid(f"table {number}", _spanned([list(row.iter("td", "th")) for row in table.iter("tr")]))


def _spanned(rows: list[list[markup.HtmlElement]]) -> list[list[Cell | None]]:
    made: dict[tuple[int, int], Cell | None] = {}
    wide = 0
    for y, row in enumerate(rows):
        x = 0
        for element in row:
            while (y, x) in made:
                x += 1
            right, down = _span(element, "colspan"), min(_span(element, "rowspan"), len(rows) - y)
            within_limits(len(rows), max(wide, x + right))
            taken = [(y + j, x + i) for j in range(down) for i in range(right)]
            if any(place in made for place in taken):
                raise Refused("ragged", seen=f"merged cells overlap at R{y + 1}C{x + 1}")
            made.update(dict.fromkeys(taken))
            text = " ".join(" ".join(element.itertext()).split()) if len(element) else (element.text or "").strip()
            made[y, x] = Cell(text, right=right, down=down)
            wide = max(wide, x + right)
    return [[made.get((y, x), Cell("")) for x in range(wide)] for y in range(len(rows))]


def _span(element: markup.HtmlElement, name: str) -> int:
    value = element.get(name, "1").strip()
    if not (value.isascii() and value.isdecimal() and len(value) < 6 and int(value)):  # noqa: PLR2004
        raise Refused("ragged", seen=f"{name} {value[:20]!r}")
    return int(value)
