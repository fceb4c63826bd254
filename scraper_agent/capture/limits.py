"""What one page may take of the robot: time, dialogs, windows, refused requests. Beyond that its tab is closed.

Playwright waits without end for a page whose script never returns. So a clock runs whatever is asked of a page, and
whoever asks sets it anew; when it has run out, the tab is closed and what was asked fails.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

from greenlet import greenlet  # type: ignore[import-untyped]
from playwright.sync_api import Error
from playwright.sync_api import Page as Tab
from pydantic import TypeAdapter, ValidationError

from scraper_agent.capture import guard
from scraper_agent.errors import PageError
from scraper_agent.messages import N_
from scraper_agent.recipe import Recipe
from scraper_agent.values import Refused

PATIENCE_S = 20.0
"""How long a page may take for one step, beside what the recipe itself gives to it."""
EVIDENCE_S = 4.0
"""How long a page that has failed may take to be kept."""
BROWSER_S = 6.0
"""How long it may take until something goes on once the tab was closed; else it is the browser that hangs."""
ENDED_S = 2.0
"""How long it may take until what was asked of a browser fails once that has ended."""
GATHER_S = 600.0
"""How long a grid may be scrolled through."""
FRAMES = 300
ROWS = 200_000
"""Rows of one list; more is taken for a list without an end."""
ADDRESS = 2000
"""Characters of a page's address."""
MOST = {"dialogs": 20, "windows": 20, "downloads": 20, "requests": 300, "frames": FRAMES, "navigations": 30}
"""How much of each one page may ask for within one step; what is refused takes time, too."""

REFUSALS = 100
"""Of one step so many are told one by one, and of the others how many there were."""

Answer = TypeVar("Answer")
TEXT = TypeAdapter(str)
TEXTS: TypeAdapter[list[str]] = TypeAdapter(list[str])
NUMBER = TypeAdapter(int | None)


@dataclass(slots=True)
class Refusals:
    """What was refused and is yet to be told."""

    waiting: deque[Refused] = field(default_factory=deque)
    more: int = 0

    def add(self, refused: Refused) -> None:
        if len(self.waiting) < REFUSALS:
            self.waiting.append(refused)
        else:
            self.more += 1

    def told(self, url: str) -> Iterator[Refused]:
        """All of it, at the end of a step; `url`: the page that is shown."""
        while self.waiting:
            yield self.waiting.popleft()
        if self.more:
            more, self.more = self.more, 0
            yield Refused(method="MORE", url=url, reason=f"{more} more were refused and are not listed")


@dataclass
class Limits:
    """Those of one session. `tabs` are closed together when the clock has run out: the page and its windows."""

    tabs: Callable[[], list[Tab]]
    give_up: Callable[[], None]
    """Ends the browser without asking it: what was asked of it fails."""
    patience_s: float = PATIENCE_S
    now: Callable[[], float] = monotonic
    """Seconds; while this clock stands still, so do all limits."""
    left: dict[Tab, PageError] = field(default_factory=dict)
    """Tabs that were closed, and why."""
    talking: set[Tab] = field(default_factory=set)
    """Tabs that have shown a dialog."""
    _until: float = 0.0
    _tab: Tab | None = None
    _timer: asyncio.TimerHandle | None = None
    _waiting: bool = False
    _in_vain: bool = False
    _asks: greenlet | None = None
    """What waits for an answer."""
    _counts: Counter[tuple[Tab, str]] = field(default_factory=Counter)

    @property
    def evidence_s(self) -> float:
        return min(EVIDENCE_S, self.patience_s / 2)

    def allow(self, seconds: float = 0.0, tab: Tab | None = None) -> None:
        """What comes next may take so long beyond the patience that every step has; `tab`: it is about this one."""
        self.until(self.patience_s + seconds, tab)

    def until(self, seconds: float, tab: Tab | None = None, *, of_browser: bool = False) -> None:
        """What comes next has to end within `seconds`. `of_browser`: no page is asked, so none can be at fault."""
        self._until, self._tab = self.now() + seconds, tab
        self._asks = greenlet.getcurrent()
        self._in_vain = of_browser
        self._counts.clear()
        self._wind()

    def hurry(self, seconds: float) -> None:
        """What is asked has to end within `seconds`, whatever else it was given; then the browser is ended."""
        if self._timer is not None and not self._in_vain:
            self._in_vain, self._until = True, self.now() + seconds
            self._wind()

    def end(self) -> None:
        """Nothing is asked any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time that passes within does not count: it is not the page that takes it."""
        start, before, self._waiting = self.now(), self._waiting, True
        try:
            yield
        finally:
            self._waiting = before
            self._until += self.now() - start

    def count(self, tab: Tab | None, what: str) -> None:
        """One more of `what` has come from the page in `tab`."""
        if tab is None or tab in self.left:
            return
        if what == "dialogs":
            self.talking.add(tab)
        self._counts[tab, what] += 1
        if self._counts[tab, what] > MOST[what]:
            self.leave(
                tab,
                PageError(
                    "SA2249",
                    N_("the page {url} asked for more than {limit} {what}: its tab was closed"),
                    hint=N_("look at it by hand; the records beside it are read all the same"),
                    url=guard.shown(tab.url)[:300],
                    limit=MOST[what],
                    what=what,
                ),
            )

    def crashed(self, tab: Tab) -> None:
        self.leave(
            tab,
            PageError(
                "SA2248",
                N_("the page {url} made the browser's process for it crash"),
                hint=N_("look at it by hand; it may need more memory than the browser gives to a page"),
                url=guard.shown(tab.url)[:300],
            ),
        )

    def leave(self, tab: Tab, why: PageError) -> None:
        """Close the tab; what is being asked of it fails."""
        if tab.is_closed() or tab in self.left:
            return
        self.left[tab] = why
        self.close(tab)

    def close(self, tab: Tab) -> None:
        """Close the tab without waiting for it: a page that does not answer takes its time."""

        def close() -> None:
            # Chromium ends altogether if a page is closed while a frame of it shows one dialog after the other.
            if tab in self.talking:
                with contextlib.suppress(Error):
                    tab.goto("about:blank", timeout=2000, wait_until="commit")
            with contextlib.suppress(Error):
                tab.close()

        self.apart(close)

    @staticmethod
    def apart(act: Callable[[], None]) -> None:
        """Let Playwright do it beside the one that asks, which goes on at once.

        Playwright's calls wait in greenlets, no thread may make them, and its own event handlers get a greenlet each.
        """
        asyncio.get_running_loop().call_soon(lambda: greenlet(act).switch())

    def _wind(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()  # Playwright's, which runs whenever anything is waited for
        self._timer = loop.call_later(max(self._until - self.now(), 0.05), self._look)

    def _look(self) -> None:
        if self._waiting:
            self._until = max(self._until, self.now() + 0.2)
        if self.now() < self._until:
            self._wind()
            return
        if self._in_vain:  # the tab is closed, and still nothing is answered: it is the browser that hangs
            self.give_up()
            self._timer = asyncio.get_running_loop().call_later(ENDED_S, self._fail)
            return
        self._in_vain, self._until = True, self.now() + BROWSER_S
        self._wind()
        for tab in self.tabs() if self._tab is None else [self._tab]:
            self.leave(
                tab,
                PageError(
                    "SA2247",
                    N_("the page {url} did not answer in time: its tab was closed"),
                    hint=N_("look at it by hand: is it very large, or does it never come to an end?"),
                    url=guard.shown(tab.url)[:300],
                ),
            )

    def _fail(self) -> None:
        """Playwright waits for ever for a page that was being opened when the browser ended."""
        if self._asks is not None and not self._asks.dead:
            self._asks.throw(Error("the browser has ended, and what was asked of it has no answer"))


def answer(kind: TypeAdapter[Answer], ask: Callable[[], Any]) -> Answer:
    """What a page answers, if it is what was asked for: a page can put its own in place of what our scripts use.

    Raises:
        PageError: it is something else.
    """
    try:
        return kind.validate_python(ask(), strict=True)
    except (ValidationError, ValueError, TypeError, OverflowError) as error:
        raise PageError(
            "SA2252",
            N_("the page answers something else than was asked: {seen}"),
            hint=N_("its own scripts take the place of what the browser offers; look at it by hand"),
            seen=str(error).splitlines()[-1][:200],
        ) from None


def reads_windows(recipe: Recipe) -> bool:
    """Whether any step looks into windows that pages open: else they are closed at once."""
    return _reads_windows(recipe.model_dump(exclude={"document"}))


def _reads_windows(part: object) -> bool:
    if isinstance(part, dict):
        where = part.get("in_") or ()
        inside = where if isinstance(where, list | tuple) else [where]
        here = part.get("do") in ("close", "keep", "download")  # a file may come by way of a window
        return here or "popup" in inside or any(map(_reads_windows, part.values()))
    return isinstance(part, list | tuple) and any(map(_reads_windows, part))
