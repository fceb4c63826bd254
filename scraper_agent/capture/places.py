"""Where on the living page a target is looked for: through frames, popups, the topmost dialog, the tab that shows.

Nothing is kept: a frame that a click has replaced is another one, so every step finds its places again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, assert_never
from urllib.parse import urlsplit

from playwright.sync_api import ElementHandle, Error, Frame, Locator
from playwright.sync_api import Page as Tab

from scraper_agent.capture import guard, limits
from scraper_agent.errors import PageError
from scraper_agent.messages import N_
from scraper_agent.recipe import InFrame, Part, Target
from scraper_agent.relations import is_frame

Surface: TypeAlias = Tab | Frame | Locator
"""What an element is looked for in."""

_FRAME = """e => [e.name || '', e.id || '', e.checkVisibility({visibilityProperty: true})
  && e.getBoundingClientRect().width > 0 && e.getBoundingClientRect().height > 0]"""
_CSS = "kind => window.__agent ? window.__agent.places[kind] : '[role=none-yet]'"
_TOP = "(elements, kind) => elements.length ? window.__agent.top(elements, kind) : []"
_PART = re.compile(r' frozen-unread="1" frozen-part="(\d{1,6})"/>')
_BEYOND = re.compile(r"frozen-limit: ([a-z ]+: \d+) of (\d+)")
"""What freeze.js says of a page that is too large."""
_PREFIX = '<html xmlns="http://www.w3.org/1999/xhtml" frozen-url="'
_SUFFIX = "</html>"
_SIZE = re.compile(r' frozen-size="\d{1,8} \d{1,8}"><head>')
_HEAD = 20_000
PASSING = ("navigation", "context", "detached", "closed", "replaced")
"""What Playwright says where a page or frame was replaced while it was asked."""
_DEEPEST = 12
"""Frames in frames: a page deeper than this is not read."""


class Missing(PageError):
    """The place is not there, or not once; it may come to be while the page loads."""


@dataclass  # without slots: Playwright keeps its wrappers of our handlers on the object
class Windows:
    """The windows that pages opened, by the page that did."""

    opened: dict[Tab, list[Tab]] = field(default_factory=dict)

    def watch(self, page: Tab) -> None:
        page.on("popup", lambda popup: self.opened.setdefault(page, []).append(popup))

    def of(self, page: Tab) -> list[Tab]:
        """Those that are open, oldest first."""
        return [p for p in self.opened.get(page, ()) if not p.is_closed()]

    def all_of(self, page: Tab) -> list[Tab]:
        """The page, its windows, and theirs."""
        return [page, *(inner for popup in self.of(page) for inner in self.all_of(popup))]


def resolve(start: Surface, chain: tuple[Part, ...], windows: Windows) -> Surface:
    """Where the chain leads from `start`, as things are now; waits for nothing.

    Raises:
        Missing: a place of the chain does not show, or several do.
    """
    here = start
    for part in chain:
        match part:
            case InFrame(frame=wanted):
                here = _only(_frames(here, wanted), f"frame {wanted}")
            case "popup":
                page = _page(here)
                popups = windows.of(page)
                if not popups:
                    raise _missing("popup", "-")
                here = popups[-1]
            case "dialog" | "tab":
                here = _top(here, part)
            case unknown:
                assert_never(unknown)
    return here


def address(url: str) -> str:
    """What the pattern of a frame is compared with: no query and no `;jsessionid`, which may be secret."""
    return urlsplit(url).path.split(";")[0]


def _frames(here: Surface, wanted: str) -> list[tuple[str, Frame]]:
    """Every such frame that shows, with its path: at any depth, but not within one that is such itself."""
    return [
        (path, frame)
        for path, name, id, frame in _shown_frames(here, "", 0)
        if is_frame(wanted, name, id, address(frame.url))
    ]


def _shown_frames(here: Surface, path: str, depth: int) -> Iterator[tuple[str, str, str, Frame]]:
    for element, frame in _children(here):
        try:
            name, id, shown = element.evaluate(_FRAME)
        except Error:
            continue  # replaced meanwhile
        if shown and depth < _DEEPEST:
            here_path = f"{path}/{name or id}"
            yield here_path, name, id, frame
            yield from _shown_frames(frame, here_path, depth + 1)


def _children(here: Surface) -> Iterator[tuple[ElementHandle, Frame]]:
    if isinstance(here, Locator):
        for element in here.locator("iframe, frame").element_handles():
            if (frame := element.content_frame()) is not None:
                yield element, frame
        return
    outer = here if isinstance(here, Frame) else here.main_frame
    for frame in outer.child_frames:
        try:
            yield frame.frame_element(), frame
        except Error:
            continue  # replaced meanwhile


def _top(here: Surface, kind: Literal["dialog", "tab"]) -> Locator:
    css = here.evaluate(_CSS, kind) if not isinstance(here, Locator) else here.page.evaluate(_CSS, kind)
    candidates = here.locator(css)
    found: list[int] = candidates.evaluate_all(_TOP, kind)
    if not found:
        raise _missing(kind, "-")
    if len(found) > 1:
        seen = [" ".join(candidates.nth(n).inner_text().split())[:40] for n in found[:6]]
        raise _missing(kind, "; ".join(map(repr, seen)))
    return candidates.nth(found[0])


def _page(here: Surface) -> Tab:
    return here if isinstance(here, Tab) else here.page


def _only(found: list[tuple[str, Frame]], target: str) -> Frame:
    if len(found) == 1:
        return found[0][1]
    raise _missing(target, "; ".join(f"{path} {guard.shown(frame.url)[:80]}" for path, frame in found[:6]) or "-")


def _missing(target: str, seen: str) -> Missing:
    return Missing(
        "SA2220",
        N_("{target} does not show exactly once; seen: {seen}"),
        hint=N_("correct `in` in the recipe; a frame goes by name or id, or by its address with `*`"),
        target=target,
        seen=seen,
    )


def within(surface: Surface, target: Target) -> Locator:
    """What `target` names on `surface`; where it stands (`in`) is for who resolved the surface."""
    match target:
        case Target(label=str(label)):
            return surface.get_by_label(label, exact=True)
        case Target(role=str(role), name=str(name)):
            return surface.get_by_role(role, name=name, exact=True)  # type: ignore[arg-type] # checked by Playwright
        case Target(text=str(text)):
            return surface.get_by_text(text, exact=True)
        case Target(id=str(id)):
            return surface.locator(f'css=[id="{_quoted(id)}"]')
        case _:
            return surface.locator(f"css={target.css}")


def _quoted(text: str) -> str:
    """`text` within quotation marks of CSS."""
    return "".join(f"\\{ord(c):x} " if c in '"\\\n\r\f' else c for c in text)


# --- freezing -------------------------------------------------------------------------------------------------------


def freeze(page: Tab, script: str, url: str, shown: Callable[[str], str], *, cut: bool = False) -> str:
    """The whole page as text. Frames that the page itself may not look into are frozen by themselves.

    `shown` makes an address fit for the log. A frame that cannot be read stays marked `frozen-unread`. `cut`: of a page
    that is too large its beginning; it ends with `frozen-cut` then.

    Raises:
        PageError: the page is too large, or is no page.
    """
    try:
        if cut:
            text = limits.answer(limits.TEXT, lambda: page.evaluate(script, {"url": url, "cut": True})["text"])
        elif len(page.frames) == 1:
            text = limits.answer(limits.TEXT, lambda: page.evaluate(script, url))
        else:
            text = _frozen(page.main_frame, script, {"url": url}, shown, 0)
    except Error as error:
        if (beyond := _BEYOND.search(error.message)) is None:
            raise
        raise too_large(beyond[1], int(beyond[2])) from error
    if not text.startswith(_PREFIX) or not text.endswith(_SUFFIX) or _SIZE.search(text[:_HEAD]) is None:
        raise PageError(
            "SA2256",
            N_("the page did not let itself be frozen: {seen}"),
            hint=N_("its own scripts take the place of what the browser offers; look at it by hand"),
            seen=repr(text[:60]),
        )
    return text


def too_large(what: str, limit: int) -> PageError:
    return PageError(
        "SA2251",
        N_("the page is too large ({what}); at most {limit} are read"),
        hint=N_("narrow what it shows, by a filter or a smaller page size"),
        what=what,
        limit=limit,
    )


def _frozen(frame: Frame, script: str, given: dict[str, Any], shown: Callable[[str], str], depth: int) -> str:
    answer = frame.evaluate_handle(script, given)
    text = limits.answer(limits.TEXT, lambda: answer.get_property("text").json_value())
    pieces: list[str] = []
    end = 0
    parts = answer.get_property("parts")
    for match in _PART.finditer(text):
        part = parts.get_property(match[1])
        element = part.get_property("element").as_element()
        place = part.get_property("place").json_value()
        inner = None if element is None or depth >= _DEEPEST else element.content_frame()
        pieces.append(text[end : match.start()])
        pieces.append(_part(inner, script, place, shown, depth))
        end = match.end()
    answer.dispose()
    return "".join((*pieces, text[end:]))


def _part(frame: Frame | None, script: str, place: dict[str, Any], shown: Callable[[str], str], depth: int) -> str:
    if frame is None or frame.url.startswith("chrome-error:"):
        return ' frozen-unread="1"/>'
    try:
        path = address(shown(frame.url)).replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
        return f' frozen-address="{path}">{_frozen(frame, script, {"frame": place}, shown, depth + 1)}</frozen-frame>'
    except Error:  # it went away, or will not answer
        return ' frozen-unread="1"/>'
