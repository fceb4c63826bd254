"""What the ERP sends beside pages: files of a declared download, and JSON that a page asked for by itself.

The robot sends no request of its own. It keeps what the browser received during the step that names it, and refuses
every other download.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from playwright.sync_api import BrowserContext, Error
from playwright.sync_api import Download as Arrival
from playwright.sync_api import Page as Tab

from scraper_agent.capture import files, guard
from scraper_agent.errors import PageError
from scraper_agent.messages import N_
from scraper_agent.recipe import Download, List, Recipe, Step

_LOOK_MS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes:
    """What was received; `file_name` is what the ERP calls it, and never a path of ours."""

    url: str
    body: bytes
    file_name: str = ""


def downloads(recipe: Recipe) -> bool:
    """Whether any step of the recipe declares a download: else the browser takes none at all."""
    steps = [*recipe.steps, *(step for source in recipe.sources.values() for step in source.steps)]
    return any(isinstance(step, Download) for step in _flat(steps))


def _flat(steps: list[Step] | tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        if isinstance(step, List):
            yield from _flat(step.page)
            yield from _flat(step.steps)


def wanted(step: Download) -> files.Wanted:
    return files.Wanted(
        media=step.media,
        sheet=step.sheet,
        header=step.header,
        header_rows=step.header_rows,
        encoding=step.encoding,
        delimiter=step.delimiter,
    )


@dataclass
class Inbox:
    """Listens to one browser context. `refuse` is told method, address and reason of what is not let in."""

    context: BrowserContext
    origins: frozenset[str]
    refuse: Callable[[str, str, str], None]
    expected: bool = False
    """A step waits for one download."""
    arrival: Arrival | None = None
    found: Bytes | None = None
    failed: str = ""

    def __post_init__(self) -> None:
        self.context.on("page", self._hear)

    def _hear(self, tab: Tab) -> None:
        tab.on("download", self._arrived)

    # --- downloads --------------------------------------------------------------------------------------------------

    def download(self, tab: Tab, act: Callable[[], None], timeout_s: float) -> Bytes:
        """The one file that `act` makes the browser receive.

        Raises:
            PageError: none came in time, it broke off, or it is larger than 32 MB.
        """
        self.expected, self.arrival, self.found, self.failed = True, None, None, ""
        try:
            act()
            for _ in range(int(timeout_s * 1000 / _LOOK_MS)):
                if self._ended():
                    break
                tab.wait_for_timeout(_LOOK_MS)
        finally:
            self.expected = False
            self._stop()
        found, failed = self._ended() or (None, "")
        if found is not None:
            return found
        if failed:
            raise PageError(
                "SA2271",
                N_("the download failed: {seen}"),
                hint=N_("try it by hand with the same account; it may be too large or break off"),
                seen=failed[:200],
            )
        raise PageError(
            "SA2270",
            N_("no file had come after {seconds} s"),
            hint=N_("raise `timeout_s`, or correct `on`: does a click there start a download?"),
            seconds=timeout_s,
        )

    def _ended(self) -> tuple[Bytes | None, str] | None:
        """The file, or why there is none; None while nothing has come."""
        return (self.found, self.failed) if self.found is not None or self.failed else None

    def _arrived(self, arrival: Arrival) -> None:
        """In a greenlet of its own: it may wait for the file while the step looks at the clock."""
        url = arrival.url
        reason = self._unwanted(url)
        try:
            if reason:
                self.refuse("DOWNLOAD", guard.shown(url)[:500], reason)
                arrival.cancel()
                return
            self.expected, self.arrival = False, arrival
            path = arrival.path()
            if path.stat().st_size > files.MAX_BYTES:
                self.failed = f"{path.stat().st_size} bytes"
            else:
                name = arrival.suggested_filename[:200]
                self.found = Bytes(url=guard.shown(url)[:500], body=path.read_bytes(), file_name=name)
            arrival.delete()
        except (Error, OSError) as error:
            self.failed = self.failed or str(error).splitlines()[0]

    def _unwanted(self, url: str) -> str:
        """Why a download may not come in; empty if it may."""
        if not self.expected:
            return N_("no step of the recipe waits for a download")
        try:
            known = guard.origin(url.removeprefix("blob:")) in self.origins
        except ValueError:
            known = False
        return "" if known else N_("not the ERP's own address")

    def _stop(self) -> None:
        if self.arrival is not None and self.found is None and not self.failed:
            with contextlib.suppress(Error):  # the browser may have ended it already
                self.arrival.cancel()
