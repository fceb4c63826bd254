"""Places on the frozen page that go by others: frames, the dialog, sections, what stands beside a text; roles and ids.

Like `page.py`, whose geometry this goes by: one place, or an error that lists what matched and where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias, assert_never

from scraper_agent.errors import PageError
from scraper_agent.messages import N_
from scraper_agent.page import Box, Element, FrozenPage, Spot, is_label_like, label_text
from scraper_agent.recipe import InFrame, Part

Side: TypeAlias = Literal["right_of", "left_of", "above", "below"]

_SLACK_PX = 2
_FIELDS = frozenset({"input", "select", "textarea"})
_TITLE = re.compile(r"title|head|caption|legend", re.IGNORECASE)
_HEADING = re.compile(r"h([1-6])")
_MOST = 20
"""Texts that read the same: of so many, no place can be meant."""
_LOWEST = 7
"""The level of a heading that is none of h1 to h6."""


# --- frames, dialogs, tabs ------------------------------------------------------------------------------------------


def inside(page: FrozenPage, chain: tuple[Part, ...]) -> FrozenPage:
    """The part of the page that the chain leads to.

    Raises:
        PageError: a place of the chain is not shown, or several are.
    """
    for part in chain:
        match part:
            case InFrame(frame=name):
                page = _one(page, _frames(page, name), f"frame {name}")
            case "dialog" | "tab":
                page = _one(page, _marked(page, part), part)
            case "popup":
                raise ValueError("checked by the recipe's model: a popup is a page of its own")
            case unknown:
                assert_never(unknown)
    return page


def is_frame(wanted: str, name: str, id: str, path: str) -> bool:
    """Whether a frame is the one that the recipe calls `wanted`; `path` is that of its address."""
    if "*" not in wanted:
        return wanted in (name, id)
    return re.fullmatch(".*".join(map(re.escape, wanted.split("*"))), path, re.DOTALL) is not None


def _frames(page: FrozenPage, wanted: str) -> list[Element]:
    return [
        e
        for e in page.scope.iterdescendants("frozen-frame")
        if e.get("frozen-hidden") is None
        and is_frame(wanted, *(str(e.get(key, "")) for key in ("frozen-name", "frozen-id", "frozen-address")))
    ]


def _marked(page: FrozenPage, kind: str) -> list[Element]:
    """What the browser saw to be the topmost dialog, or the tab that shows; of tabs in tabs the outer one.

    Of a dialog in the page and one in a frame, the page's own counts: `in` leads into the frame first.
    """
    found = [
        e for e in page.scope.iterdescendants() if e.get("frozen-top") == kind and _frame(e) is _frame_of_scope(page)
    ]
    return _outermost(page, found)


def _outermost(page: FrozenPage, found: list[Element]) -> list[Element]:
    """Those that stand in none of the others; given in document order."""
    kept: list[Element] = []
    end = 0
    for element in found:
        n = page.layout.order[element]
        if n >= end:
            kept.append(element)
            end = page.layout.ends[n]
    return kept


def _frame(element: Element) -> Element | None:
    return next(element.iterancestors("frozen-frame"), None)


def _frame_of_scope(page: FrozenPage) -> Element | None:
    return page.scope if page.scope.tag == "frozen-frame" else _frame(page.scope)


def _one(page: FrozenPage, found: list[Element], target: str) -> FrozenPage:
    if len(found) > 1:
        raise page.ambiguous(target, found)
    if not found:
        raise page.absent(target)
    return page.narrowed(found[0])


# --- sections -------------------------------------------------------------------------------------------------------


def section(page: FrozenPage, title: str) -> FrozenPage:
    """What stands under the heading, legend, caption or panel title that reads `title`, to the next one of its rank.

    Raises:
        PageError: no such title shows, or several do.
    """
    name = label_text(title)
    found = {e for e in _headings(page) if label_text(page.text(e)) == name}
    outer = _outermost(page, sorted(found, key=page.layout.order.__getitem__))
    if len(outer) > 1:
        raise page.ambiguous(f"section {title}", outer)
    if not outer:
        raise page.absent(f"section {title}")
    heading = outer[0]
    layout = page.layout
    start = layout.ends[layout.order[heading]]
    around = _part_of(page, heading)
    end = layout.ends[layout.order[around]]
    for other in _headings(page):
        n = layout.order[other]
        if start <= n < end and _ends(other, heading):
            end = n
    return page.narrowed(around, (start, end))


def _headings(page: FrozenPage) -> Iterator[Element]:
    for n in page.layout.within(page.layout.boxed, page.scope):
        element = page.layout.elements[n]
        for each in (element, *_around(element)):
            if _is_heading(each) and page.is_in_scope(each):
                yield each
                break


def _around(element: Element) -> Iterator[Element]:
    """Elements that bear no text of their own beside this one's: a title is often a box around a span."""
    above = element.getparent()
    while above is not None and len(above) <= 2 and above.tag not in ("body", "html"):  # noqa: PLR2004 - an icon or a toggle may be the other
        yield above
        above = above.getparent()


def _is_heading(element: Element) -> bool:
    tag = str(element.tag)
    if _HEADING.fullmatch(tag) or tag in ("legend", "summary", "caption") or element.get("role") == "heading":
        return True
    return tag in ("div", "span", "p", "header", "a", "b", "strong") and bool(
        _TITLE.search(str(element.get("class", "")))
    )


def _level(element: Element) -> int:
    match = _HEADING.fullmatch(str(element.tag))
    level = element.get("aria-level", "")
    return (
        int(match[1]) if match else int(level) if level.isascii() and level.isdigit() and len(level) == 1 else _LOWEST
    )


def _ends(other: Element, heading: Element) -> bool:
    """Whether `other` begins a section of the same rank or a higher one."""
    if _level(heading) < _LOWEST or _level(other) < _LOWEST:
        return _level(other) <= _level(heading)
    return (other.tag, other.get("class")) == (heading.tag, heading.get("class"))


def _part_of(page: FrozenPage, heading: Element) -> Element:
    """The smallest element around the heading that holds more than headings."""
    around = heading
    while around is not page.scope and (above := around.getparent()) is not None:
        around = above
        if around.tag in ("fieldset", "details", "table"):
            break
        more = [n for n in page.layout.within(page.layout.filled, around) if n not in _all_in(page, heading)]
        if any(not _is_heading(page.layout.elements[n]) for n in more):
            break
    return around


def _all_in(page: FrozenPage, element: Element) -> range:
    n = page.layout.order[element]
    return range(n, page.layout.ends[n])


# --- beside a text --------------------------------------------------------------------------------------------------


def beside(page: FrozenPage, side: Side, text: str) -> Spot | None:
    """What stands nearest on that side of the text, of all that overlaps it on the other axis. None: no such text.

    Raises:
        PageError: several texts read so and lead to different places, two places are nearest, or a label is.
    """
    target = f"{side} {text}"
    anchors = [e for e in page.layout.labels.get(label_text(text), ()) if page.is_in_scope(e)]
    if len(anchors) > _MOST:
        raise page.ambiguous(target, anchors)
    found = {spot.element: spot for anchor in anchors if (spot := _nearest(page, side, anchor, target)) is not None}
    if len(found) > 1:
        raise page.ambiguous(target, list(found))
    if anchors and not found:
        raise PageError(
            "SA2010",
            N_("nothing stands {target}, which is at {place}"),
            hint=N_("the value must overlap the text on the other axis; try `label`, or `css`"),
            target=target,
            place="; ".join(page.told(e) for e in anchors[:6]),
        )
    return next(iter(found.values()), None)


def _nearest(page: FrozenPage, side: Side, anchor: Element, target: str) -> Spot | None:
    layout, here = page.layout, page.layout.box(anchor)
    if here is None:
        return None
    distance = _measure(side, here)
    near: list[tuple[int, int]] = []
    for n in sorted(layout.within(layout.filled, page.scope) + layout.within(layout.empty, page.scope)):
        element, box = layout.elements[n], layout.boxes[n]
        if box is None or not page.is_in_scope(element):
            continue
        if layout.inside(element, anchor) or layout.inside(anchor, element):
            continue
        if (far := distance(box)) is not None:
            near.append((far, n))
    if not near:
        return None
    near.sort()
    first = layout.elements[near[0][1]]
    rivals = [first, *_rivals(page, side, near)]
    if len(rivals) > 1:
        raise page.ambiguous(target, rivals)
    if first.tag not in _FIELDS and is_label_like(page, first):
        raise PageError(
            "SA2011",
            N_("what stands {target} is itself a label: {seen}"),
            hint=N_("the value may be empty, or stand elsewhere; try `label`, or `css`"),
            target=target,
            seen=page.told(first),
        )
    return page.spot(first, target)


def _rivals(page: FrozenPage, side: Side, near: list[tuple[int, int]]) -> list[Element]:
    """What is not clearly behind the nearest: the two overlap along the way from the text."""
    layout = page.layout
    nearest, first = near[0][0], layout.elements[near[0][1]]
    box = layout.box(first)
    if box is None:
        return []
    depth = box.width if side in ("right_of", "left_of") else box.height
    found: list[Element] = []
    for far, n in near[1:]:
        element = layout.elements[n]
        if far < nearest + max(depth - _SLACK_PX, 1) and not layout.inside(element, first):
            found.append(element)
    return found


def _measure(side: Side, here: Box) -> Callable[[Box], int | None]:
    """Pixels from the text to a box on that side of it; None if it is not there, or not in line with it."""

    def distance(box: Box) -> int | None:
        if side in ("right_of", "left_of"):
            in_line = min(box.bottom, here.bottom) - max(box.y, here.y)
            far = box.x - here.right if side == "right_of" else here.x - box.right
        else:
            in_line = min(box.right, here.right) - max(box.x, here.x)
            far = box.y - here.bottom if side == "below" else here.y - box.bottom
        return far if in_line > _SLACK_PX and far >= -_SLACK_PX else None

    return distance


# --- roles and ids --------------------------------------------------------------------------------------------------

_INPUT_ROLES = {
    "checkbox": "checkbox",
    "radio": "radio",
    "number": "spinbutton",
    "range": "slider",
    "search": "searchbox",
    "button": "button",
    "submit": "button",
    "reset": "button",
    "image": "button",
    "hidden": "",
    "password": "",
    "file": "",
    "color": "",
}
_TAG_ROLES = {
    "button": "button",
    "textarea": "textbox",
    "table": "table",
    "tr": "row",
    "td": "cell",
    "th": "columnheader",
    "img": "img",
    "li": "listitem",
    "ul": "list",
    "ol": "list",
    "option": "option",
    "nav": "navigation",
    "main": "main",
    "dialog": "dialog",
    "fieldset": "group",
    "output": "status",
}
_NAMED_BY_CONTENT = frozenset(
    {"button", "link", "heading", "cell", "gridcell", "columnheader", "rowheader", "tab", "option", "menuitem"}
    | {"treeitem", "row", "listitem", "switch"}
)


def by_id(page: FrozenPage, id: str) -> Spot | None:
    """The shown element with this `id`; identifiers of frames count too, unless `in` says which.

    Raises:
        PageError: several show.
    """
    found = [e for e in page.layout.by_id.get(id, ()) if page.is_in_scope(e) and page.layout.shown(e)]
    return _single(page, found, f"id {id}")


def by_role(page: FrozenPage, role: str, name: str) -> Spot | None:
    """The shown element with this role and accessible name.

    Raises:
        PageError: several show.
    """
    wanted = " ".join(name.split())
    layout = page.layout
    n = layout.order[page.scope]
    elements = (layout.elements[i] for i in range(n, layout.ends[n]))
    found = [
        e
        for e in elements
        if _role(e) == role and page.is_in_scope(e) and layout.shown(e) and _accessible(page, e, role) == wanted
    ]
    return _single(page, found, f"{role} {name}")


def _single(page: FrozenPage, found: list[Element], target: str) -> Spot | None:
    if len(found) > 1:
        raise page.ambiguous(target, found)
    return page.spot(found[0], target) if found else None


def _role(element: Element) -> str:
    tag = str(element.tag)
    if given := str(element.get("role", "")).split():
        return given[0]
    if tag == "input":
        return _INPUT_ROLES.get(str(element.get("type", "text")), "combobox" if element.get("list") else "textbox")
    if tag == "select":
        return "combobox" if element.get("multiple") is None else "listbox"
    if tag == "a":
        return "link" if element.get("href") is not None else ""
    return "heading" if _HEADING.fullmatch(tag) else _TAG_ROLES.get(tag, "")


def _accessible(page: FrozenPage, element: Element, role: str) -> str:
    """Its accessible name, as far as the frozen page tells: what it is labelled by, else what it holds, else titles."""
    layout = page.layout
    for id in str(element.get("aria-labelledby", "")).split()[:1]:
        return " ".join(page.text(e, hidden=True) for e in layout.by_id.get(id, ())[:1])
    if own := " ".join(str(element.get("aria-label", "")).split()):
        return own
    if element.tag in _FIELDS:
        labels = [e for e in page.root.iter("label") if e.get("for") == element.get("id") is not None]
        labels += list(element.iterancestors("label"))
        if labels:
            return label_text(_without_fields(page, labels[0]))
    elif role in _NAMED_BY_CONTENT and (text := page.text(element)):
        return text
    elif element.tag in ("fieldset", "table"):
        for inner in element.iterchildren("legend", "caption"):
            return page.text(inner)
    return " ".join(str(element.get("alt") or element.get("title") or element.get("placeholder") or "").split())


def _without_fields(page: FrozenPage, label: Element) -> str:
    return " ".join(
        page.layout.texts[n]
        for n in page.layout.within(page.layout.boxed, label)
        if page.layout.elements[n].tag not in _FIELDS and page.layout.texts.get(n)
    )
