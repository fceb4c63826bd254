"""The frozen page: what `capture/freeze.js` wrote, and how a place is found on it. Pure; the bytes are hostile input.

The bytes are XHTML in UTF-8 that any browser opens. Beside ordinary markup they hold, for every element that bears
text, `frozen-box` (x y width height in pixels of the whole page) or `frozen-hidden`; frames stand in `frozen-frame`.

A read is complete or refused. Where two places could be meant, or nothing tells a value from the next label, the
answer is an error that lists what was seen, never the likelier of the two.
"""

from __future__ import annotations

import copy
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import cache, cached_property, lru_cache
from itertools import takewhile
from typing import NamedTuple

from cssselect import HTMLTranslator, SelectorError
from lxml import etree

from scraper_agent.errors import PageError
from scraper_agent.messages import N_
from scraper_agent.recipe import Count

PREFIX = b'<html xmlns="http://www.w3.org/1999/xhtml" frozen-url="'
MAX_BYTES = 64 * 1024 * 1024

Element = etree._Element  # noqa: SLF001 - lxml offers no public name for the type

_CONTROLS = frozenset({"input", "select", "textarea"})
_TICKS = frozenset({"checkbox", "radio"})
_BUTTONS = frozenset({"button", "submit", "reset", "image", "file"})
_LABEL_TAGS = frozenset({"label", "th", "dt", "legend"})
_CELLS = frozenset({"td", "th"})
_LABEL_END = re.compile(r"[\s:\uff1a*\uff0a]+$")
_COLONS = (":", "\uff1a")
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_BREAKS = _HEADINGS | {"br", "p", "div", "li", "tr", "table", "ul", "ol", "hr", "frozen-frame"}
_BLOCK = _BREAKS | {"td", "th", "dd", "dt", "option", "textarea", "button", "section", "frozen-shadow"}
_PARTS = frozenset(
    {"section", "fieldset", "form", "article", "main", "table", "td", "th", "dl", "body", "frozen-frame"}
)
"""A label's value is not looked for outside of the part of the page that the label stands in."""
_PICTURES = frozenset({"br", "hr", "i", "img", "svg", "canvas", "video", "audio", "math", "button", "a"})
"""Empty, they are ornaments: no place of a value."""
_ICON_PX = 32
_RUN_PX = 8
"""Two texts on one line closer than this are read as one: `1,234` and `.50`, `12` and `kg`."""
_SLACK_PX = 2
_BOX = re.compile(r"(-?\d{1,8}) (-?\d{1,8}) (\d{1,8}) (\d{1,8})", re.ASCII)
_GROUPED = re.compile(r"\d+|\d{1,3}(?:[,.' ]\d{3})+", re.ASCII)


class Box(NamedTuple):
    """Pixels of the whole page."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A place on the page that a value is read from."""

    element: Element
    text: str
    found_by: str
    """The target that hit, such as `label 订单号` or `css .no`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table: `columns` maps a header's text to its column; a text that heads two columns maps to -1."""

    element: Element
    columns: dict[str, int] = field(default_factory=dict)
    heads: dict[str, Element] = field(default_factory=dict)
    cells: dict[Element, list[tuple[int, int, Element]]] = field(default_factory=dict)
    """Row -> its cells: first column, column after the last, cell. Merged cells of rows above are among them."""
    only: frozenset[Element] | None = None
    """The rows that count, where the table was joined of several; None: all."""


class _Kind(Enum):
    """What the text beside or below a label looks like."""

    VALUE = 1
    LABEL = 2
    DOUBT = 3
    """It looks just like the label itself: another label, or a value that nothing sets apart."""


class _Layout:
    """Every element's place in document order, where its subtree ends, and its box: made once, asked often.

    Elements go by their number in document order, so that what stands within an element is a slice.
    """

    def __init__(self, root: Element) -> None:
        self.elements: list[Element] = list(root.iter(etree.Element))
        self.order = {element: n for n, element in enumerate(self.elements)}
        self.ends = list(range(1, len(self.elements) + 1))
        self.boxes: list[Box | None] = [None] * len(self.elements)
        for n in range(len(self.elements) - 1, -1, -1):
            element = self.elements[n]
            parent = element.getparent()
            if parent is not None:
                above = self.order[parent]
                self.ends[above] = max(self.ends[above], self.ends[n])
            if (text := element.get("frozen-box")) is not None:
                self.boxes[n] = _box(text)
        self.boxed = [n for n, box in enumerate(self.boxes) if box is not None]

    def box(self, element: Element) -> Box | None:
        """Where it is shown; for a container, around what it shows. None if nothing of it is shown."""
        n = self.order[element]
        own = self.boxes[n]
        if own is not None:
            return own
        boxes = [b for i in _slice(self.boxed, n, self.ends[n]) if (b := self.boxes[i]) is not None]
        if not boxes:
            return None
        x, y = min(b.x for b in boxes), min(b.y for b in boxes)
        return Box(x, y, max(b.right for b in boxes) - x, max(b.bottom for b in boxes) - y)

    def shown(self, element: Element) -> bool:
        n = self.order[element]
        at = bisect_left(self.boxed, n)
        return at < len(self.boxed) and self.boxed[at] < self.ends[n]

    @cached_property
    def texts(self) -> dict[int, str]:
        """Of each shown element, in document order: its own text, not that of the elements in it."""
        return {n: _own_text(self.elements[n]) for n in self.boxed if self.elements[n].tag not in _CONTROLS}

    @cached_property
    def filled(self) -> list[int]:
        """Shown elements that hold text of their own, or are form fields."""
        return [n for n in self.boxed if self.is_filled(n)]

    def is_filled(self, n: int) -> bool:
        element = self.elements[n]
        if element.tag in _CONTROLS:
            return element.get("type") not in _BUTTONS
        return element.tag != "button" and bool(_label(self.texts[n]))

    @cached_property
    def empty(self) -> list[int]:
        """Shown elements with nothing in them: where a value would stand. Icons are none."""
        return [n for n in self.boxed if self.is_empty(n)]

    def is_empty(self, n: int) -> bool:
        element, box = self.elements[n], self.boxes[n]
        if element.tag in _CONTROLS or element.tag in _PICTURES or self.texts[n] or box is None:
            return False
        icon = 0 < box.width <= _ICON_PX and box.height <= _ICON_PX and element.tag not in _CELLS
        return not icon and not _slice(self.boxed, n + 1, self.ends[n])

    @cached_property
    def labels(self) -> dict[str, list[Element]]:
        found: dict[str, list[Element]] = {}
        for n, own in self.texts.items():
            if own and self.elements[n].tag != "button":
                found.setdefault(_label(own), []).append(self.elements[n])
        return found

    @cached_property
    def by_id(self) -> dict[str, list[Element]]:
        found: dict[str, list[Element]] = {}
        for element in self.elements:
            if (id := element.get("id")) is not None:
                found.setdefault(str(id), []).append(element)
        return found

    @cached_property
    def labelled_by(self) -> dict[str, list[Element]]:
        found: dict[str, list[Element]] = {}
        for element in self.elements:
            for id in str(element.get("aria-labelledby", "")).split():
                found.setdefault(id, []).append(element)
        return found

    def within(self, numbers: list[int], element: Element) -> list[int]:
        n = self.order[element]
        return _slice(numbers, n, self.ends[n])

    def inside(self, element: Element, outer: Element) -> bool:
        n = self.order[outer]
        return n <= self.order[element] < self.ends[n]


class FrozenPage:
    """One parsed page. `within` narrows everything to the one shown element that this CSS selects.

    `labels` are texts known to be labels, whatever their markup: none of them is ever read as a value of another.

    Raises:
        PageError: not a frozen page, too large, or `within` does not select exactly one element.
    """

    def __init__(self, frozen: bytes, *, within: str | None = None, labels: Iterable[str] = ()) -> None:
        if not frozen.startswith(PREFIX) or len(frozen) > MAX_BYTES:
            raise _not_frozen(repr(frozen[:60]))
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, huge_tree=True, remove_comments=True, remove_pis=True
        )
        try:
            self.root: Element = etree.fromstring(b"<html " + frozen[len(PREFIX) - len(b'frozen-url="') :], parser)
        except etree.XMLSyntaxError as error:
            raise _not_frozen(str(error)) from None
        self.url = str(self.root.get("frozen-url", ""))
        of = self.root.get("frozen-of")
        self.file = None if of is None else str(of)
        """Digest of the file that this page was made of."""
        self.named = frozenset(map(_label, labels))
        self.layout = _Layout(self.root)
        self.scope: Element = self.root
        self.span: tuple[int, int] | None = None
        """Of the scope only what stands from here to before there, in document order; None: all of it."""
        if within is not None:
            self.scope = self._only(self.select(within), f"css {within}")

    def within(self, css: str) -> FrozenPage:
        """The same page, of which only the one element counts that `css` selects.

        Raises:
            PageError: it selects none or several.
        """
        return self.narrowed(self._only(self.select(css), f"css {css}"))

    def narrowed(self, scope: Element, span: tuple[int, int] | None = None) -> FrozenPage:
        """The same page, of which only `scope` counts, or what of it stands within `span` in document order."""
        page = copy.copy(self)
        page.scope, page.span = scope, span
        return page

    def is_in_scope(self, element: Element) -> bool:
        n = self.layout.order[element]
        return self.layout.inside(element, self.scope) and (self.span is None or self.span[0] <= n < self.span[1])

    @cached_property
    def unread(self) -> tuple[str, ...]:
        """Parts of the page that could not be read: frames that would not answer, shadow roots that are closed."""
        found = self.root.iter("frozen-frame", "frozen-shadow")
        return tuple(_unread_part(e) for e in found if e.get("frozen-unread") is not None)

    # --- finding ----------------------------------------------------------------------------------------------------

    def select(self, css: str, scope: Element | None = None, *, hidden: bool = False) -> list[Element]:
        """Elements in document order; without `hidden`, only those of which something is shown."""
        found: list[Element] = selector(css)(self.scope if scope is None else scope)  # type: ignore[assignment]
        if self.span is not None:
            found = [e for e in found if self.is_in_scope(e)]
        return found if hidden else [e for e in found if self.layout.shown(e)]

    def by_css(
        self, css: str, scope: Element | None = None, *, hidden: bool = False, attribute: str | None = None
    ) -> Spot | None:
        """The element that `css` selects, or the first of several that all read the same; None if there is none.

        With `attribute`, that is read instead of the text.

        Raises:
            PageError: it selects several that read differently, or one with several choices to tick.
        """
        found = self.select(css, scope, hidden=hidden)
        if attribute is None:
            spots = [self.spot(e, f"css {css}", hidden=hidden) for e in found]
        else:
            spots = [_attribute(e, attribute, f"css {css}") for e in found]
        if len({s.text for s in spots}) > 1:
            raise self.ambiguous(f"css {css}", [s.element for s in spots])
        return spots[0] if spots else None

    def by_label(self, label: str) -> Spot | None:
        """The value that belongs to the label reading `label`; None if the page has no such label.

        A label that has no value beside or below it, or an empty one, gives a Spot with an empty text.

        Raises:
            PageError: several labels read so, two places could be its value, or none surely is.
        """
        name = _label(label)
        candidates = [c for c in self.layout.labels.get(name, ()) if self.is_in_scope(c)]
        found = [_Labelled(self, element, name) for element in candidates]
        # A column's header is the label of a whole column; it counts only where nothing else reads so.
        found = [each for each in found if not each.heads_column] or found
        spots = [each.spot() for each in found]
        distinct = {spot.element: spot for spot in spots}
        if len(distinct) > 1:
            raise self.ambiguous(f"label {label}", list(distinct))
        return next(iter(distinct.values()), None)

    def count(self, count: Count) -> int | None:
        """The number that the page states; None if the page lacks the place, or it does not match.

        Raises:
            PageError: it states two numbers.
        """
        found: dict[int, Element] = {}
        for element in self.select(count.css):
            text = self.text(element) if count.attribute is None else str(element.get(count.attribute, ""))
            match = re.search(count.pattern, text)
            if match and match[1] and _GROUPED.fullmatch(match[1]):
                found.setdefault(int(re.sub(r"\D", "", match[1])[:18]) - count.minus, element)
        if len(found) > 1:
            raise self.ambiguous(f"css {count.css}", list(found.values()))
        return next(iter(found), None)

    # --- tables -----------------------------------------------------------------------------------------------------

    def table(self, columns: set[str], css: str | None = None) -> Table:
        """The one shown table that has all `columns` among its headers, or that `css` selects.

        Raises:
            PageError: none or several.
        """
        wanted = {_label(column) for column in columns}
        candidates = [self.headed(t) for t in self.select(css or "table")]
        fitting = [t for t in candidates if wanted <= t.columns.keys()]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise self.ambiguous(f"table with columns {', '.join(sorted(columns))}", [t.element for t in fitting])
        if len(candidates) == 1:
            missing = sorted(wanted - candidates[0].columns.keys())
            raise PageError(
                "SA2004",
                N_("the table lacks the column(s) {missing}; it has: {seen}"),
                hint=N_("the ERP's user may have hidden the column; or correct the recipe's `column`"),
                missing=", ".join(missing),
                seen=", ".join(candidates[0].columns) or "-",
            )
        raise PageError(
            "SA2005",
            N_("no table has the column(s) {expected}; tables on the page: {seen}"),
            hint=N_("name the table by `table: CSS`, or correct the recipe's `column`"),
            expected=", ".join(sorted(columns)),
            seen="; ".join(" | ".join(t.columns) or "-" for t in candidates) or "-",
        )

    def rows(self, table: Table, css: str, skip: str | None = None) -> list[Element]:
        """The shown rows of `table` itself, not of tables within its cells; without those that `skip` selects."""
        left_out = set(self.select(skip, table.element, hidden=True)) if skip else set()
        most = 0 if table.element.tag == "table" else 1
        return [
            row
            for row in self.select(css, table.element)
            if row not in left_out
            and (table.only is None or row in table.only)
            and row is not table.element
            and _tables_between(row, table.element) <= most
        ]

    def has_column(self, table: Table, column: str) -> bool:
        return _label(column) in table.columns

    def cell(self, table: Table, row: Element, column: str) -> Spot:
        """The cell of `row` under the header `column`; a cell merged over several rows belongs to each of them.

        Raises:
            PageError: the header heads two columns, or the row has no such cell, or one merged over several columns.
        """
        name = _label(column)
        wanted = table.columns[name]
        if wanted < 0:
            raise PageError(
                "SA2003",
                N_("{target} is ambiguous: {count} places match: {seen}"),
                hint=N_("use `css` within the row instead"),
                target=f"column {column}",
                count=2,
                seen=" | ".join(table.columns),
            )
        for start, end, cell in table.cells.get(row, ()):
            if start <= wanted < end:
                if end - start == 1 and self._under(cell, table.heads[name]):
                    return self.spot(cell, f"column {column}")
                raise PageError(
                    "SA2008",
                    N_("a row's cell does not stand under the header {column} alone: {seen}"),
                    hint=N_("if the row is no record, leave it out by `skip`; or use `css` within the row"),
                    column=column,
                    seen=self.text(row)[:120],
                )
        raise PageError(
            "SA2006",
            N_("a row has no cell under the header {column}: {seen}"),
            hint=N_("if the row is no record, leave it out by `skip`"),
            column=column,
            seen=self.text(row)[:120],
        )

    def _under(self, cell: Element, head: Element) -> bool:
        """Whether the two overlap from left to right: a hidden cell in the markup may have shifted the others."""
        above, here = self.layout.box(head), self.layout.box(cell)
        return above is None or here is None or (above.x <= here.right and here.x <= above.right)

    def headed(self, element: Element) -> Table:
        """Headers and cells of `element`, merged ones included. An element around one table, or two, is read as one."""
        most = 0 if element.tag == "table" else 1
        rows = [r for r in element.iter("tr") if _tables_between(r, element) <= most]
        head = [r for r in rows if _parent_tag(r) == "thead"] or [r for r in rows if self.all_headers(r)][:1]
        cells = self._cells(rows)
        columns: dict[str, int] = {}
        heads: dict[str, Element] = {}
        seen: set[Element] = set()
        groups: dict[int, tuple[str, ...]] = {}
        """Column -> the texts over it, from above."""
        for row in head:
            for start, end, cell in cells[row]:
                text = "" if cell in seen else _label(self.text(cell))
                seen.add(cell)
                if text:
                    columns[text] = -1 if text in columns or end - start > 1 else start
                    heads.setdefault(text, cell)
                    groups |= {at: (*groups.get(at, ()), text) for at in range(start, end)}
                    if end - start == 1 and len(groups[start]) > 1:  # `本期 / 金额`, where 上期 has a 金额, too
                        path = " / ".join(groups[start])
                        columns[path] = -1 if path in columns else start
                        heads.setdefault(path, cell)
        return Table(element=element, columns=columns, heads=heads, cells=cells)

    def _cells(self, rows: list[Element]) -> dict[Element, list[tuple[int, int, Element]]]:
        made: dict[Element, list[tuple[int, int, Element]]] = {}
        hanging: list[tuple[int, int, Element, int]] = []
        section: Element | None = None
        for row in rows:
            if row.getparent() is not section:
                hanging, section = [], row.getparent()
            line = [(start, end, cell) for start, end, cell, _ in hanging]
            below = [(start, end, cell, left - 1) for start, end, cell, left in hanging if left > 1]
            at = 0
            for cell in row:
                if cell.tag not in _CELLS or self._without_place(cell):
                    continue
                while over := next((h for h in hanging if h[0] <= at < h[1]), None):
                    at = over[1]
                wide, high = _span(cell, "colspan"), _span(cell, "rowspan")
                line.append((at, at + wide, cell))
                if high > 1:
                    below.append((at, at + wide, cell, high - 1))
                at += wide
            made[row] = line
            hanging = below
        return made

    def _without_place(self, cell: Element) -> bool:
        return cell.get("frozen-hidden") is not None and not self.layout.shown(cell)

    def all_headers(self, row: Element) -> bool:
        cells = [c.tag for c in row if c.tag in _CELLS and not self._without_place(c)]
        return bool(cells) and "td" not in cells

    # --- reading ----------------------------------------------------------------------------------------------------

    def text(self, element: Element, *, hidden: bool = False) -> str:
        """What a person reads there: shown text and values of form fields, white space folded."""
        if not len(element) and element.tag not in _CONTROLS:  # most cells: worth a short way
            return " ".join((element.text or "").split()) if hidden or element.get("frozen-hidden") is None else ""
        return " ".join("".join(_collected(element, hidden=hidden)).split())

    def frame_path(self, element: Element) -> str:
        """`/` for the page itself, else the names of the frames from the outside in; of a file, digest and place."""
        if self.file is not None:
            return f"{self.file}#{element.get('frozen-cell', element.get('frozen-json', ''))}"
        if self._framed:
            for above in element.iterancestors("frozen-frame"):
                return str(above.get("frozen-path", "/"))
        return "/"

    @cached_property
    def _framed(self) -> bool:
        return next(self.root.iter("frozen-frame"), None) is not None

    def spot(self, element: Element, found_by: str, *, hidden: bool = False) -> Spot:
        """A tick reads `checked` or `unchecked`; text beside a tick says nothing while it may not be chosen."""
        text = self.text(element, hidden=hidden)
        if not len(element) and element.tag != "input":
            return Spot(element=element, text=text, found_by=found_by)
        ticks = [e for e in element.iter("input") if e.get("type") in _TICKS and (hidden or self.layout.shown(e))]
        if len(ticks) == 1 and not text:
            text = "unchecked" if ticks[0].get("checked") is None else "checked"
        elif ticks:
            raise self.ambiguous(found_by, ticks)
        return Spot(element=element, text=text, found_by=found_by)

    # --- JSON -------------------------------------------------------------------------------------------------------

    def by_pointer(self, pointer: str, row: Element | None = None) -> Spot | None:
        """The value at a JSON Pointer: from the root if it begins with `/`, else within `row`; None if there is none.

        Raises:
            PageError: an object or a list stands there.
        """
        start = "" if row is None or pointer.startswith("/") else f"{row.get('frozen-json')}/"
        element = self._pointers.get(start + pointer)
        if element is None:
            return None
        if element.get("frozen-type") is None:
            raise self.ambiguous(f"json {pointer}", list(element)[:2])
        return self.spot(element, f"json {pointer}")

    def json_rows(self, pointer: str) -> list[Element]:
        """What stands at `pointer`, in order; `*` is every item of a list.

        Raises:
            PageError: the way to it is not there, or a `*` stands for no list.
        """
        found = [self._pointers[""]] if "" in self._pointers else []
        for step in pointer.split("/")[1:]:
            below: list[Element] = []
            for element in found:
                at = str(element.get("frozen-json"))
                if step == "*" and element.get("frozen-list") is not None:
                    below += list(element)
                elif step != "*" and (child := self._pointers.get(f"{at}/{step}")) is not None:
                    below.append(child)
                else:
                    raise absent(f"json {pointer}", self.url)
            found = below
        return found

    @cached_property
    def _pointers(self) -> dict[str, Element]:
        if self.file is None:
            return {}
        return {str(at): e for e in self.root.iter(etree.Element) if (at := e.get("frozen-json")) is not None}

    # --- errors -----------------------------------------------------------------------------------------------------

    def _only(self, found: list[Element], target: str) -> Element:
        if len(found) == 1:
            return found[0]
        if found:
            raise self.ambiguous(target, found)
        raise self.absent(target)

    def absent(self, target: str) -> PageError:
        if not self.unread:
            return absent(target, self.url)
        return PageError(
            "SA2009",
            N_("the page {url} has no {target}; but {count} part(s) of it could not be read: {seen}"),
            hint=N_("what is meant may stand there: look at the page's image"),
            url=self.url,
            target=target,
            count=len(self.unread),
            seen="; ".join(self.unread[:6]),
        )

    def told(self, element: Element) -> str:
        """What it reads and where it is, for a person."""
        box, path = self.layout.box(element), self.frame_path(element)
        place = "" if box is None else f" at {box.x},{box.y}"
        return f"<{element.tag}> {self.text(element)[:40]!r}{place}{'' if path == '/' else f' in {path}'}"

    def ambiguous(self, target: str, found: list[Element]) -> PageError:
        seen = "; ".join(map(self.told, found[:6]))
        return PageError(
            "SA2003",
            N_("{target} is ambiguous: {count} places match: {seen}"),
            hint=N_("narrow it down with `within`, or use `css`"),
            target=target,
            count=len(found),
            seen=seen,
        )


class _Labelled:
    """One label of the page, and how its value is found: where markup says so by markup, else by where things stand."""

    def __init__(self, page: FrozenPage, element: Element, name: str) -> None:
        self.page = page
        self.layout = page.layout
        self.own = element
        """The element whose own text is the label."""
        self.name = name
        self.found_by = f"label {name}"
        self.whole = self._outermost()
        """The outermost element that reads the same: the cell around a label."""
        self.colon = self._has_colon()

    def _outermost(self) -> Element:
        page, whole = self.page, self.own
        texts = len(self.layout.within(self.layout.filled, whole))
        while (parent := whole.getparent()) is not None and whole is not page.scope:
            if whole.tag in _LABEL_TAGS - {"label"} or whole.tag == "td" or parent.tag == "body":
                break
            if len(self.layout.within(self.layout.filled, parent)) != texts:
                break
            if parent.tag not in _LABEL_TAGS and self._empties(parent) != self._empties(whole):
                break  # an empty place within it is the value's
            whole = parent
        if texts == 1:
            for label in self.own.iterancestors("label"):  # a label around its control
                fields = [e for e in label.iter(*_CONTROLS) if self.layout.shown(e)]
                alone = len(self.layout.within(self.layout.filled, label)) - len(fields) == 1
                return label if alone else whole
        return whole

    def _has_colon(self) -> bool:
        """Whether a colon ends the label: in its own text, after it, or in an element of its own."""
        after = self.whole.getnext()
        apart = self.page.text(after) if after is not None else ""
        tail = (self.whole.tail or "").lstrip()
        own = self.layout.texts[self.layout.order[self.own]]
        return own.endswith(_COLONS) or tail.startswith(_COLONS) or (not tail and apart in _COLONS)

    def _empties(self, element: Element) -> int:
        within = self.layout.within(self.layout.empty, element)
        return sum(self.layout.elements[n] is not element for n in within)

    def spot(self) -> Spot:
        """Its value; the label itself with an empty text if it surely has none.

        Raises:
            PageError: two places could be its value, or one that may as well be another label.
        """
        page = self.page
        controls = self._controls()
        if len(controls) > 1:
            raise page.ambiguous(self.found_by, controls)
        if controls:
            return self._read(controls[0])
        return self._inner() or self._tail() or self._outside() or self._nothing()

    def _nothing(self) -> Spot:
        return Spot(element=self.whole, text="", found_by=self.found_by)

    def _read(self, element: Element) -> Spot:
        spot = self.page.spot(element, self.found_by)
        if not spot.text and element.tag in _CONTROLS:
            self._refuse_overlay(element)
        return spot

    def _refuse_overlay(self, control: Element) -> None:
        """An empty form field with text over it is a made-up one: what a person sees there is not its value."""
        page, here = self.page, self.layout.box(control)
        for n in self.layout.filled:
            box, element = self.layout.boxes[n], self.layout.elements[n]
            if here is None or box is None or element is control or self.layout.inside(element, self.whole):
                continue
            middle_x, middle_y = box.x + box.width // 2, box.y + box.height // 2
            over = here.x <= middle_x <= here.right and here.y <= middle_y <= here.bottom
            if over and not self.layout.inside(control, element):
                raise page.ambiguous(self.found_by, [control, element])

    # --- by markup --------------------------------------------------------------------------------------------------

    def _controls(self) -> list[Element]:
        """What `for`, a label around it, or aria-labelledby binds to the label; each once, shown ones only."""
        found = dict[Element, None]()
        for label in {self.own: 0, self.whole: 0}:
            if label.tag == "label":
                for element in self.layout.by_id.get(str(label.get("for", "")), ()):
                    if _tree(element) is _tree(label):
                        found[element] = None
                if not found:
                    found.update((e, None) for e in label.iterdescendants() if e.tag in _CONTROLS)
            for element in self.layout.labelled_by.get(str(label.get("id", "")), ()):
                if _tree(element) is _tree(label) and not self.layout.inside(label, element):
                    found[element] = None
        return [e for e in found if self.layout.shown(e)]

    def _inner(self) -> Spot | None:
        """`<p>订单号：<b>PO-1</b></p>`: the value within the element that begins with its label."""
        page = self.page
        holding = [c for c in self.own if self.layout.within(self.layout.filled, c)]
        if not holding or (self.own.tag in _LABEL_TAGS and not self.colon):
            return None  # nothing, or an ornament of the label
        if _label(self.own.text or "") != self.name or len(holding) > 1:
            raise page.ambiguous(self.found_by, holding)
        if self.colon and self.own.tag not in _LABEL_TAGS:
            return self._read(holding[0])
        try:
            outside = self._outside()
        except PageError:
            outside = None  # nothing that surely is its value
        if outside is not None and (outside.text or outside.element.tag in _CONTROLS):
            raise page.ambiguous(self.found_by, [holding[0], outside.element])
        return self._read(holding[0])

    def _tail(self) -> Spot | None:
        """`<b>订单号</b> PO-1<br>`: the text after the label, up to the next break or label."""
        page, parent = self.page, self.whole.getparent()
        text = " ".join((self.whole.tail or "").split()).lstrip(": \uff1a")
        if not _label(text) or parent is None or parent.get("frozen-hidden") is not None:
            return None
        for after in self.whole.itersiblings():
            if after.tag in _BREAKS:
                break
            within = self.layout.within(self.layout.filled, after)
            if within and self._kind(within[0]) is not _Kind.VALUE:
                break
            if within or (after.tail or "").strip():
                raise page.ambiguous(self.found_by, [self.whole, after])
        return Spot(element=self.whole, text=text, found_by=self.found_by)

    # --- by cells ---------------------------------------------------------------------------------------------------

    @property
    def heads_column(self) -> bool:
        row = self.whole.getparent()
        if self.whole.tag != "th" or row is None or row.tag != "tr":
            return False
        return _parent_tag(row) == "thead" or self.page.all_headers(row)

    def _outside(self) -> Spot | None:
        if self.whole.tag == "dt":
            return self._definition()
        row = self.whole.getparent()
        if self.whole.tag in _CELLS and row is not None and row.tag == "tr":
            return self._beside_cell(row)
        return self._near()

    def _definition(self) -> Spot | None:
        beside = self.whole.getnext()
        if beside is None:
            return None
        after = beside.getnext()
        if beside.tag != "dd" or (after is not None and after.tag == "dd"):
            raise self.page.ambiguous(self.found_by, [e for e in (beside, after) if e is not None])
        return self._read(beside)

    def _beside_cell(self, row: Element) -> Spot | None:
        page = self.page
        table = next(self.whole.iterancestors("table"), None)
        if table is None:
            return self._near()
        cells = page.headed(table).cells
        rows = list(cells)
        start, end = next((s, e) for s, e, cell in cells[row] if cell is self.whole)
        right = next((cell for s, _, cell in cells[row] if s == end), None)
        under = rows[rows.index(row) + _span(self.whole, "rowspan") :]
        below = next((c for s, _, c in cells[under[0]] if s == start), None) if under else None
        if self.heads_column:
            body = [r for r in takewhile(lambda r: not page.all_headers(r), under) if self.layout.shown(r)]
            if len(body) > 1:
                raise page.ambiguous(self.found_by, [c for r in body for s, _, c in cells[r] if s == start])
            right = None
            below = next((c for s, _, c in cells[body[0]] if s == start), None) if body else None
            return None if below is None else self._read(below)
        if right is not None and self.whole.tag == "th" and right.tag == "td":
            return self._read(right)
        return self._of_two(right, below, self._cell_kind(right), self._cell_kind(below), in_grid=True)

    def _cell_kind(self, cell: Element | None) -> _Kind | None:
        if cell is None:
            return None
        page, text = self.page, self.page.text(cell)
        if any(self.layout.shown(e) for e in cell.iter(*_CONTROLS)):
            return _Kind.VALUE
        labelled = cell.tag == "th" or _label(text) in page.named or text.endswith(_COLONS)
        if labelled or next(cell.iterdescendants(*_LABEL_TAGS), None) is not None:
            return _Kind.LABEL
        return _Kind.DOUBT if not self.colon and _look(cell) == _look(self.whole) else _Kind.VALUE

    # --- by where things stand --------------------------------------------------------------------------------------

    def _near(self) -> Spot | None:
        """The value in the smallest part of the page that holds more than labels."""
        here = self.layout.box(self.whole)
        near: list[int] = []
        around = self.whole
        while around is not self.page.scope and around.tag not in _PARTS and (above := around.getparent()) is not None:
            around = above
            near = [n for n in self._all_in(around) if not self._mine(n)]
            if any(self._kind(n) is _Kind.VALUE for n in near):
                break
        if here is None or not near:
            return None
        right, below = self._right(near, here), self._below(near, here)
        kinds = self._kind(right[0]) if right else None, self._kind(below[0]) if below else None
        right = self._past_icons(right, kinds[0])
        of_right = self._whole_value(right) if right and kinds[0] is _Kind.VALUE else self._element(right)
        return self._of_two(of_right, self._element(below), *kinds, in_grid=False)

    def _all_in(self, around: Element) -> list[int]:
        found = sorted(self.layout.within(self.layout.filled, around) + self.layout.within(self.layout.empty, around))
        return found if self.page.span is None else [n for n in found if self.page.span[0] <= n < self.page.span[1]]

    def _mine(self, n: int) -> bool:
        element = self.layout.elements[n]
        return self.layout.inside(element, self.whole) or self.layout.inside(self.whole, element)

    def _element(self, found: list[int]) -> Element | None:
        return self.layout.elements[found[0]] if found else None

    def _right(self, near: list[int], here: Box) -> list[int]:
        """What stands on the label's line to the right of it, nearest first."""
        found: list[tuple[int, int]] = []
        for n in near:
            box = self.layout.boxes[n]
            if box is not None and box.x >= here.right - _SLACK_PX:
                overlap = min(box.bottom, here.bottom) - max(box.y, here.y)
                if overlap * 2 >= min(max(box.height, 1), here.height):
                    found.append((box.x, n))
        return [n for _, n in sorted(found)]

    def _below(self, near: list[int], here: Box) -> list[int]:
        """The nearest line below the label; empty if a label or a heading stands on it."""
        found: list[tuple[int, int, Box]] = []
        for n in near:
            box = self.layout.boxes[n]
            if box is not None and box.y >= here.bottom - _SLACK_PX and box.x < here.right and box.right >= here.x:
                found.append((box.y, n, box))
        found.sort(key=lambda f: f[:2])
        line = [n for y, n, _ in found if y < found[0][2].bottom or y == found[0][0]]
        elements = [self.layout.elements[n] for n in line]
        heading = any(e.tag in _HEADINGS for e in elements)
        return [] if heading or any(self._kind(n) is _Kind.LABEL for n in line) else line

    def _past_icons(self, right: list[int], kind: _Kind | None) -> list[int]:
        """`right` from the value on. Something without text, or that is no field, may stand between label and field."""
        page = self.page
        if len(right) < 2 or kind is not _Kind.VALUE or self.layout.elements[right[0]].tag in _CONTROLS:  # noqa: PLR2004
            return right
        first = self.layout.elements[right[0]]
        after = next((n for n in right[1:] if not self.layout.inside(self.layout.elements[n], first)), None)
        if after is None or self._kind(after) is not _Kind.VALUE:
            return right
        empty, control = not page.text(first), self.layout.elements[after].tag in _CONTROLS
        if empty and control:
            return right[right.index(after) :]
        if empty or control:
            raise page.ambiguous(self.found_by, [first, self.layout.elements[after]])
        return right

    def _whole_value(self, right: list[int]) -> Element:
        """The element with all the texts that stand close together from `right[0]` on."""
        page, first = self.page, self.layout.elements[right[0]]
        run = [right[0]]
        if first.tag in _CONTROLS:
            return first
        for n in right[1:]:
            last, box = self.layout.boxes[run[-1]], self.layout.boxes[n]
            if self.layout.inside(self.layout.elements[n], first) or last is None or box is None:
                continue
            if box.x - last.right > _RUN_PX or self._kind(n) is not _Kind.VALUE or not self.layout.is_filled(n):
                break
            run.append(n)
        if len(run) == 1:
            return first
        for above in first.iterancestors():
            if self.layout.inside(self.whole, above):
                break
            if all(self.layout.inside(self.layout.elements[n], above) for n in run):
                return above
        raise page.ambiguous(self.found_by, [self.layout.elements[n] for n in run])

    def _kind(self, n: int) -> _Kind:
        page, element = self.page, self.layout.elements[n]
        if element.tag in _CONTROLS:
            return _Kind.VALUE
        text = self.layout.texts[n]
        if element.tag in _LABEL_TAGS or text.endswith(_COLONS) or _label(text) in page.named:
            return _Kind.LABEL
        if not text or self.colon or self.own.tag in _LABEL_TAGS or _look(element) != _look(self.own):
            return _Kind.VALUE
        return _Kind.DOUBT

    def _of_two(
        self,
        right: Element | None,
        below: Element | None,
        of_right: _Kind | None,
        of_below: _Kind | None,
        *,
        in_grid: bool,
    ) -> Spot | None:
        """The value, of what stands to the right of the label and below it."""
        match of_right, of_below:
            case None | _Kind.LABEL, None | _Kind.LABEL:
                return None
            case _Kind.VALUE, None | _Kind.LABEL | _Kind.DOUBT:
                chosen = right
            case (None | _Kind.LABEL, _Kind.VALUE):
                chosen = below
            case _Kind.DOUBT, _Kind.VALUE if not in_grid or _classes(self.whole):
                chosen = below
            case _Kind.DOUBT, None | _Kind.LABEL if in_grid:
                chosen = right
            case _Kind.LABEL, _Kind.DOUBT if in_grid:
                chosen = below
            case _Kind.VALUE, _Kind.VALUE:
                chosen = self._surer(right, below)
            case _:
                chosen = None
        if chosen is None:
            raise self.page.ambiguous(self.found_by, [e for e in (right, below) if e is not None])
        return self._read(chosen)

    def _surer(self, right: Element | None, below: Element | None) -> Element | None:
        """The one that is a form field; or looks less like the label; to the right of a label with a colon."""
        if right is None or below is None:
            return right if below is None else below
        fields = [e for e in (right, below) if e.tag in _CONTROLS]
        if fields:
            return fields[0]
        if self.colon:
            return right
        alike = [len(_classes(self.own) & _classes(e)) for e in (right, below)]
        return None if alike[0] == alike[1] else right if alike[0] < alike[1] else below


def _attribute(element: Element, name: str, found_by: str) -> Spot:
    text = " ".join(str(element.get(name, "")).split())
    return Spot(element=element, text=text, found_by=f"{found_by} @{name}")


def _unread_part(element: Element) -> str:
    if element.tag == "frozen-frame":
        return f"frame {element.get('frozen-path', '/')}"
    above = element.getparent()
    return f"<{'?' if above is None else above.tag}>"


def absent(target: str, url: str) -> PageError:
    return PageError(
        "SA2002",
        N_("the page {url} has no {target}"),
        hint=N_("open the page's image in the report; if the ERP has changed, correct the recipe"),
        target=target,
        url=url,
    )


def _not_frozen(seen: str) -> PageError:
    return PageError(
        "SA2001",
        N_("these bytes are not a frozen page: {seen}"),
        hint=N_("a frozen page begins with {expected} and has at most {limit} bytes"),
        seen=seen,
        expected=PREFIX.decode(),
        limit=MAX_BYTES,
    )


@cache
def selector(css: str) -> etree.XPath:
    """`css` made ready.

    Raises:
        PageError: it is not a CSS selector.
    """
    try:
        return etree.XPath(HTMLTranslator().css_to_xpath(css))
    except (SelectorError, etree.XPathError) as error:
        raise PageError("SA2007", N_("not a CSS selector: {css}: {why}"), css=css, why=str(error)) from None


def _collected(top: Element, *, hidden: bool) -> Iterator[str]:
    """Pieces of text; not by recursion, as a page may be nested deeper than Python's stack."""
    walk = etree.iterwalk(top, events=("start", "end"))
    above: list[bool] = []
    for event, element in walk:
        if event == "start":
            shown = hidden or element.get("frozen-hidden") is None
            above.append(shown)
            if element.tag in _BLOCK:
                yield " "
            if element.tag in ("input", "select", "datalist"):
                walk.skip_subtree()
                if shown and element.tag != "datalist":
                    yield f" {_entered(element)} "
            elif shown and element.text:
                yield element.text
        else:
            above.pop()
            if element.tag in _BLOCK:
                yield " "
            if above and above[-1] and element.tail:
                yield element.tail


def _entered(control: Element) -> str:
    if control.tag == "select":
        return " ".join(o.text or "" for o in control.iter("option") if o.get("selected") is not None)
    kind = control.get("type")
    return "" if kind in _TICKS or kind in _BUTTONS else str(control.get("value", ""))


def _own_text(element: Element) -> str:
    if not len(element):
        return " ".join((element.text or "").split())
    return " ".join("".join(t for t in (element.text, *(c.tail for c in element)) if t).split())


def label_text(text: str) -> str:
    """A label as compared: white space folded; colons and the star of mandatory fields left out."""
    return _label(text)


def is_label_like(page: FrozenPage, element: Element) -> bool:
    """Whether markup, a colon or the recipe say that it is a label, and so no value."""
    own = page.layout.texts.get(page.layout.order[element], "")
    return element.tag in _LABEL_TAGS or own.endswith(_COLONS) or _label(own) in page.named


@lru_cache(maxsize=4096)
def _label(text: str) -> str:
    """A label as compared: white space folded; colons and the star of mandatory fields left out."""
    return _LABEL_END.sub("", " ".join(text.split())).lstrip("*\uff0a ")


def _look(element: Element) -> tuple[str, str]:
    return element.tag, str(element.get("class", ""))


def _classes(element: Element) -> set[str]:
    return set(str(element.get("class", "")).split())


def _tree(element: Element) -> Element | None:
    """The frame or shadow root it stands in: identifiers mean something only there."""
    return next(element.iterancestors("frozen-frame", "frozen-shadow"), None)


def _tables_between(inner: Element, outer: Element) -> int:
    count = 0
    for above in inner.iterancestors():
        if above is outer:
            break
        count += above.tag == "table"
    return count


def _parent_tag(element: Element) -> str:
    parent = element.getparent()
    return "" if parent is None else str(parent.tag)


def _slice(numbers: list[int], start: int, end: int) -> list[int]:
    """Those from `start` to before `end`, of numbers in order."""
    return numbers[bisect_left(numbers, start) : bisect_left(numbers, end)]


def _box(text: str) -> Box:
    match = _BOX.fullmatch(text)
    if match is None:
        raise _not_frozen(f"frozen-box {text[:40]!r}")
    return Box(*map(int, match.groups()))


def _span(cell: Element, name: str) -> int:
    """How many columns or rows it takes; `rowspan=0` is to the end of the table's part."""
    value = cell.get(name)
    if value is None:
        return 1
    if not (value.isascii() and value.isdigit() and len(value) < 6):  # noqa: PLR2004
        return 1
    most = 1000 if name == "colspan" else 65534
    return min(int(value) or (most if name == "rowspan" else 1), most)
