"""What the ERP sends beside pages: files of a declared download, and JSON that a page asked for by itself.

The robot sends no request of its own. It keeps what the browser received during the step that names it, and refuses
every other download.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Error, Request, Response, Route
from playwright.sync_api import Download as Arrival
from playwright.sync_api import Page as Tab

from scraper_agent import files
from scraper_agent.capture import guard
from scraper_agent.errors import PageError
from scraper_agent.messages import N_
from scraper_agent.recipe import Download, Keep, Receive, Recipe, Step, blocks, within

_LOOK_MS = 50
_PDF = b"%PDF-"
_READ_BLOB = """async ([url, most]) => {
  const blob = await (await fetch(url)).blob();
  if (blob.size > most) return [blob.size, ""];
  return [blob.size, await new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(blob);
  })];
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes:
    """What was received; `file_name` is what the ERP calls it, and never a path of ours."""

    url: str
    body: bytes
    file_name: str = ""


def downloads(recipe: Recipe) -> bool:
    """Whether any step of the recipe declares a download: else the browser takes none at all."""
    flows = (flow.steps for flow in recipe.flows.values())
    sources = (source.steps for source in recipe.sources.values())
    return any(
        isinstance(step, Download | Keep)
        for steps in (recipe.steps, recipe.finally_, *flows, *sources)
        for step in _flat(steps)
    )


def _flat(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        for block in blocks(step):
            yield from _flat(within(step, block))


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
class Heard:
    """The answers that fit one `receive` step. Bodies are taken at once: a page that is left takes them along."""

    step: Receive
    origins: frozenset[str]
    asked: int = 0
    answers: list[Bytes] = field(default_factory=list)
    failed: str = ""

    def listen(self, response: Response) -> None:
        """In a greenlet of its own, so that it may wait for the body."""
        if not self._fits(response.url):
            return
        url = guard.shown(response.url)[:500]
        self.asked += 1
        try:
            declared = response.headers.get("content-length", "0")
            if not response.ok or len(declared) > len(str(files.MAX_BYTES)):
                self.failed = f"{url}: {response.status}, {declared[:20]} bytes"
            else:
                body = response.body()
                if len(body) > files.MAX_BYTES:
                    self.failed = f"{url}: {len(body)} bytes"
                else:
                    self.answers.append(Bytes(url=url, body=body))
        except Error as error:
            self.failed = f"{url}: {error.message.splitlines()[0]}"
        finally:
            self.asked -= 1

    def wait(self, tab: Tab) -> list[Bytes]:
        """All answers that came; one is waited for.

        Raises:
            PageError: none came in time, one could not be kept, or there are several where one is wanted.
        """
        for _ in range(int(self.step.timeout_s * 1000 / _LOOK_MS)):
            if self.failed or (self.answers and not self.asked):
                break
            tab.wait_for_timeout(_LOOK_MS)
        if self.failed:
            raise PageError("SA2273", N_("what the page received could not be kept: {seen}"), seen=self.failed[:300])
        if not self.answers or self.asked:
            raise PageError(
                "SA2274",
                N_("the page received nothing from {path} within {seconds} s"),
                hint=N_("look into the browser's network tools for what the page asks for; correct `path` or `steps`"),
                path=self.step.path,
                seconds=self.step.timeout_s,
            )
        if len(self.answers) > 1 and not self.step.every:
            raise PageError(
                "SA2275",
                N_("the page received {count} answers from {path}: {seen}"),
                hint=N_("narrow `path`, or take them all by `every: true`"),
                count=len(self.answers),
                path=self.step.path,
                seen=", ".join(answer.url for answer in self.answers)[:300],
            )
        return self.answers

    def _fits(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
            known = guard.origin(url) in self.origins
        except ValueError:
            return False
        place = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return known and re.fullmatch(self.step.path, place) is not None


@dataclass
class Inbox:
    """Listens to one browser context. `refuse` is told method, address and reason of what is not let in."""

    context: BrowserContext
    origins: frozenset[str]
    refuse: Callable[[str, str, str], None]
    proxied: bool = False
    """All goes through the read-only proxy, which verifies the ERP's certificate."""
    expected: bool = False
    """A step waits for one download."""
    arrival: Arrival | None = None
    found: Bytes | None = None
    failed: str = ""
    printing: bool = False
    """A step waits for a PDF that a page shows."""
    before: frozenset[str] = frozenset()
    """Addresses of blobs that were shown before that step."""

    def __post_init__(self) -> None:
        self.context.on("page", self._hear)

    def _hear(self, tab: Tab) -> None:
        tab.on("download", self._arrived)

    @contextmanager
    def listening(self, step: Receive) -> Iterator[Heard]:
        heard = Heard(step, self.origins)
        listen = heard.listen  # the very object is needed to stop
        self.context.on("response", listen)
        try:
            yield heard
        finally:
            self.context.remove_listener("response", listen)

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

    # --- PDF --------------------------------------------------------------------------------------------------------

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """While a step waits for a PDF; windows that were opened for it are closed afterwards."""
        tabs = list(self.context.pages)
        self.expected, self.arrival, self.found, self.failed = True, None, None, ""
        self.printing, self.before = True, frozenset(self._blobs())
        try:
            yield
        finally:
            self.expected = self.printing = False
            self._stop()
            for tab in self.context.pages:
                if tab not in tabs:
                    tab.close()

    def held(self, route: Route, request: Request) -> bool:
        """Whether the request's answer was taken through here, because it may be the PDF that is waited for.

        Chromium hands its viewer's own page to whoever asks for the body of a PDF, so the bytes are taken on their way
        in: the page's request leaves once, as the page made it.
        """
        if not self.printing or request.resource_type != "document" or request.method != "GET":
            return False
        try:
            # As `route.fetch` does, and by the same proxy; its certificate is none that Playwright itself could know.
            answer = self.context.request.fetch(request, max_redirects=0, ignore_https_errors=self.proxied)
            body = answer.body()
            if body.startswith(_PDF):
                self._take(request.url, body)
                route.fulfill(status=200, content_type="text/plain", body="")
            else:
                route.fulfill(response=answer)
        except Error as error:
            self.failed = self.failed or error.message.splitlines()[0]
            with contextlib.suppress(Error):
                route.abort()
        return True

    def pdf(self, tab: Tab, timeout_s: float) -> Bytes:
        """The one PDF that came, whole.

        Raises:
            PageError: none came in time, several came, or it is no PDF, cut off or larger than 32 MB.
        """
        for _ in range(int(timeout_s * 1000 / _LOOK_MS)):
            self._look_for_blobs(tab)
            if self._ended():
                break
            tab.wait_for_timeout(_LOOK_MS)
        found, failed = self._ended() or (None, "")
        if found is None and not failed:
            raise PageError(
                "SA2276",
                N_("no PDF had shown after {seconds} s"),
                hint=N_("raise `timeout_s`, or correct the steps under `keep`"),
                seconds=timeout_s,
            )
        if not failed and found is not None and (found.body[:5] != _PDF or b"%%EOF" not in found.body[-1024:]):
            failed = f"{found.body[:20]!r} … {found.body[-20:]!r}"
        if failed or found is None:
            raise PageError("SA2277", N_("the PDF is not kept: {seen}"), seen=failed[:200])
        return found

    def _take(self, url: str, body: bytes) -> None:
        if len(body) > files.MAX_BYTES:
            self.failed = f"{len(body)} bytes"
        elif self.found is not None and self.found.body != body:
            self.failed = "two files came"
        else:
            self.found = Bytes(url=guard.shown(url)[:500], body=body)

    def _blobs(self) -> list[str]:
        return [f.url for tab in self.context.pages for f in tab.frames if f.url.startswith("blob:")]

    def _look_for_blobs(self, tab: Tab) -> None:
        """What a page made itself and shows: read where it was made, nothing leaves."""
        for url in self._blobs():
            if url in self.before or guard.origin(url.removeprefix("blob:")) not in self.origins:
                continue
            self.before |= {url}
            try:
                size, text = tab.evaluate(_READ_BLOB, [url, files.MAX_BYTES])
            except Error as error:
                self.failed = error.message.splitlines()[0]
                return
            if size > files.MAX_BYTES:
                self.failed = f"{size} bytes"
            elif (body := base64.b64decode(text)).startswith(_PDF):
                self._take(url, body)

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
