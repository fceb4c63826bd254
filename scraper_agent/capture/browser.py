"""The real browser: logs in, walks lists, freezes pages; clicks nothing that writes and lets no write leave."""

from __future__ import annotations

import base64
import contextlib
import html
import math
import re
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from time import monotonic, sleep
from typing import Literal, assert_never, cast
from urllib.parse import urlsplit

from playwright.sync_api import (
    BrowserContext,
    CDPSession,
    Dialog,
    Error,
    Frame,
    Locator,
    Request,
    Route,
    StorageState,
    sync_playwright,
)
from playwright.sync_api import Page as Tab
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from scraper_agent import buttons, files
from scraper_agent.capture import (
    apart,
    authority,
    discovery,
    fetched,
    flow,
    gathered,
    guard,
    kept,
    limits,
    lists,
    places,
    proxy,
)
from scraper_agent.capture.banner import Banner
from scraper_agent.capture.held import Again, Halt, Hold, Pulse
from scraper_agent.capture.login import Keeper
from scraper_agent.capture.pace import Pace
from scraper_agent.capture.progress import Lost, Progress
from scraper_agent.capture.running import Ended, Renew, Running
from scraper_agent.errors import AgentError, PageError
from scraper_agent.messages import N_
from scraper_agent.ports import File, Page, PersonNeeded, Sighting, Trouble
from scraper_agent.recipe import (
    PLACEHOLDER,
    Click,
    Close,
    Count,
    Download,
    Fill,
    ForEach,
    Inside,
    Keep,
    List,
    Open,
    Optional,
    Part,
    Permit,
    Receive,
    Recipe,
    Retry,
    Select,
    Snap,
    Step,
    Target,
    Unfold,
    Use,
    Wait,
    When,
    chain,
)
from scraper_agent.values import Refused

_FREEZE = (resources.files("scraper_agent.capture") / "freeze.js").read_text(encoding="utf-8")
_SETTLE = (resources.files("scraper_agent.capture") / "settle.js").read_text(encoding="utf-8")

_ACT_S = 10.0
"""How long an element that is to be clicked or filled may take to be ready."""
_REST_S = 20.0
_LOOK_S = 0.25
"""How often a page that is not yet complete is looked at again."""
_BACK_S = 1.5
"""How long a `more` button that is gone may take until it stands below the rows that it brought."""
_GLANCE_MS = 20
"""How often a place that is not yet there is looked for again."""
_TROUBLES = 5
_STOP_S = 0.5
"""How long closing a tab may take in a stop; then the browser is ended."""
_EVIDENCE = "trouble"
_SHORTEST_SECRET = 4
_MASK = "●●●●●●"
_NO_WINDOWS = N_("no step of the recipe reads a window that the page opens")
_LARGEST_IMAGE = 64_000_000
"""Pixels."""

_IN_THE_WAY = re.compile(r"^ *- +(<.*> intercepts pointer events|element is (?:not|outside) .*)$", re.MULTILINE)
"""What Playwright's call log says of an element that it found and could not act on."""
_SIZE = re.compile(r'frozen-size="(\d+ \d+)"')
_READS = """e => {
  const button = e.closest('button, a, label, [role=button], [role=menuitem], [role=link]');
  const outer = button || e;
  // A row may have icons of its own, which are not what is pressed.
  const icons = button || !(e.innerText || '').trim() ? outer.querySelectorAll('img, svg, svg title, i, input') : [];
  const found = [];
  for (const each of new Set([e, outer, ...icons])) {
    const control = each.localName === 'input' && !/^(button|submit|reset|image)$/.test(each.type);
    found.push(control ? '' : each.value, each.innerText ?? each.textContent, each.title, each.alt,
      each.getAttribute('aria-label'));
    const labels = (each.getAttribute('aria-labelledby') || '').split(/\\s+/).filter(Boolean);
    for (const id of labels) found.push(each.ownerDocument.getElementById(id)?.textContent);
    if (found.length > 200) break;
  }
  return found.filter((t) => typeof t === 'string' && t.trim()).map((t) => t.trim().slice(0, 200).toWellFormed());
}"""
"""Everything that an element says of itself: what it shows, what it tells a screen reader, and its icons."""
_ROWS = "css => window.__agent.rows(css)"
_ALL_ROWS = "([rows, css, pattern]) => window.__agent.rows(rows).length === window.__agent.number(css, pattern)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    executable: Path | None = None
    headless: bool = True
    images: bool = True
    width: int = 1600
    height: int = 1200
    tabs: int = 3
    """Pages of records that load at a time."""
    patience_s: float = limits.PATIENCE_S
    """How long a page may take for one step, beside what the recipe gives to it."""
    visible_login: bool = True
    """Where a person logs in; False where a program plays the person."""
    ca_file: Path | None = None
    """The ERP's own authority; else those of the system."""
    refuses: tuple[str, ...] = ()
    """Paths that the enterprise's policy never asks for, beside those of the recipe."""
    largest_answer: int = 64 * 1024 * 1024
    proxied: bool = True
    """Whether all of it goes through the read-only proxy; without it only tests run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaywrightBrowser:
    """One ERP session at a time. `secret` gives a secret by name or raises NeedsPerson; `tell` hears of slow steps.

    `pace` lasts beyond a session, so that two recipes of one ERP that are run one after the other share its minute.
    """

    settings: Settings
    secret: Callable[[str], str]
    tell: Callable[[str], None] = print
    pace: Pace = field(default_factory=Pace)
    kept_session: Callable[[Recipe, Mapping[str, str]], kept.Kept | None] = lambda _recipe, _parameters: None
    """The session that a person has logged in to, if one is kept."""
    hold: Hold = field(default_factory=Hold)
    """Of this browser alone."""
    robot: str = "scraper-agent"
    """What the banner of a browser that shows calls it."""
    press: Callable[[], None] | None = None
    """Hears of the banner's button; None: there is no banner."""

    def attend(self, recipe: Recipe, parameters: Mapping[str, str]) -> kept.Kept:
        """Show the login's page, and wait until a person has logged in.

        Raises:
            NeedsPerson: nobody did, or the window was closed before.
            AgentError: no browser, or the ERP cannot be reached.
        """
        visible = self.settings.visible_login
        with self._launched(recipe, parameters, headless=not visible) as (running, door):
            context = running.browser.new_context(no_viewport=visible, locale=recipe.language, service_workers="block")
            session = _Session(self.settings, recipe, parameters, self.secret, context, self.pace, door, self.hold)
            session.begin()
            self._show_banner(session, running, headless=not visible)
            try:
                return session.keeper.attend()
            except (Halt, Error) as error:
                if self.hold.stopped:
                    raise self.hold.stop_error() from error
                raise
            finally:
                session.pulse.end()

    def harvest(
        self, recipe: Recipe, parameters: Mapping[str, str], done: frozenset[str] = frozenset()
    ) -> Iterator[Sighting]:
        with self._launched(recipe, parameters, headless=self.settings.headless) as (running, door):
            state = self.kept_session(recipe, parameters)
            if state is not None:
                with contextlib.suppress(Lost):
                    yield from self._harvest(running, door, recipe, parameters, done, state)
                    return
            yield from self._harvest(running, door, recipe, parameters, done, None, stale=state is not None)

    @contextlib.contextmanager
    def _launched(
        self, recipe: Recipe, parameters: Mapping[str, str], *, headless: bool
    ) -> Iterator[tuple[Running, proxy.Proxy | None]]:
        """A browser whose only way out is the read-only proxy."""
        with contextlib.ExitStack() as stack:
            door = stack.enter_context(self._door(recipe, parameters)) if self.settings.proxied else None
            playwright = stack.enter_context(sync_playwright())
            running = Running(
                lambda: discovery.launch(
                    playwright, self.settings.executable, headless=headless, tell=self.tell, door=door
                )
            )
            try:
                yield running, door
            finally:
                running.browser.close()

    def _harvest(
        self,
        running: Running,
        door: proxy.Proxy | None,
        recipe: Recipe,
        parameters: Mapping[str, str],
        done: frozenset[str],
        state: kept.Kept | None,
        *,
        stale: bool = False,
    ) -> Iterator[Sighting]:
        """Raises Lost if the kept session has ended; nothing of it must be left where the next login is made."""

        def opened() -> BrowserContext:
            return running.browser.new_context(
                viewport={"width": self.settings.width, "height": self.settings.height},
                locale=recipe.language,
                service_workers="block",
                accept_downloads=fetched.downloads(recipe),
                storage_state=None if state is None else cast("StorageState", state.state),
            )

        def renew() -> BrowserContext:
            running.again()
            return opened()

        session = _Session(self.settings, recipe, parameters, self.secret, opened(), self.pace, door, self.hold)
        session.keeper.stale = stale
        session.renew, session.kill = renew, running.kill
        session.show = lambda: self._show_banner(session, running, headless=self.settings.headless)
        try:
            yield from session.run(done, state)
            session.close()
            yield from session._drain()  # noqa: SLF001 - what pages sent while they were closed
        finally:
            session.close()

    def _show_banner(self, session: _Session, running: Running, *, headless: bool) -> None:
        if headless or self.press is None:
            return
        session.banner = Banner.over(running.browser, self.robot, session.recipe.recipe, self.press)
        if session.banner is not None:
            session.banner.below(session.home)
            session.banner.say("login", paused=self.hold.paused)

    def _door(self, recipe: Recipe, parameters: Mapping[str, str]) -> proxy.Proxy:
        origins = frozenset[str]().union(*apart.origins(recipe, parameters))
        secure = any(origin.startswith("https:") for origin in origins)
        return proxy.Proxy(
            origins=origins,
            refuses=(*recipe.refuses, *self.settings.refuses),
            trust=authority.asked(self.settings.ca_file) if secure else None,
            largest_answer=self.settings.largest_answer,
            holds=self.hold.holding,
            held=self.hold.note_held,
        )


@dataclass  # without slots: Playwright keeps its wrappers of our handlers on the object
class _Session:
    settings: Settings
    recipe: Recipe
    parameters: Mapping[str, str]
    secret: Callable[[str], str]
    context: BrowserContext
    pace: Pace = field(default_factory=Pace)
    door: proxy.Proxy | None = None
    hold: Hold = field(default_factory=Hold)
    pulse: Pulse = field(init=False)
    inbox: fetched.Inbox = field(init=False)
    keeper: Keeper = field(init=False)
    progress: Progress = field(init=False)
    page: Tab = field(init=False)
    inside: tuple[Part, ...] = ()
    """Frames and popups that stand for the page, within the steps of `inside`; not on pages that a list opened."""
    home: Tab = field(init=False)
    windows: places.Windows = field(default_factory=places.Windows)
    moving: dict[Request, Tab | None] = field(default_factory=dict)
    """Requests for another page, or another content of a frame, that are under way; None: for a window coming to be."""
    act_s: float = _ACT_S
    cdps: dict[Tab, CDPSession] = field(default_factory=dict)
    refusals: limits.Refusals = field(default_factory=limits.Refusals)
    untold: int = 0
    """Of what the proxy refused and did not keep, what was told."""
    typed: dict[str, Locator] = field(default_factory=dict)
    """Secrets that were typed, and into what: kept out of pages and images."""
    tabs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What a kept session has in sessionStorage, which every tab has of its own."""
    logged_in: bool = False
    origins: frozenset[str] = frozenset()
    """What may be reached now; `elsewhere` as well while sessions elsewhere are checked."""
    elsewhere: frozenset[str] = frozenset()
    leaving: bool = False
    stopping: bool = False
    """A stop has come, and the tabs are being closed."""
    gathered: tuple[gathered.Gathered, ...] = ()
    """Tables that come along with the next snaps, since the page itself keeps only what is in view."""
    renew: Renew | None = None
    """None: the browser is not ours to be ended and started again."""
    kill: Callable[[], None] | None = None
    show: Callable[[], None] = lambda: None
    """Opens the banner."""
    banner: Banner | None = None
    doing: str = "login"
    """The step that is carried out, for the banner."""
    state: kept.Kept | None = None
    under_way: list[lists.Coming] = field(default_factory=list)
    """Records whose pages load while another is read, of all lists."""
    limits: limits.Limits = field(init=False)
    rest_s: float = field(init=False)
    reads_windows: bool = field(init=False)
    at_once: int = field(init=False)
    """Pages of records that load at a time."""

    def __post_init__(self) -> None:
        self.keeper = Keeper(self)
        self.progress = Progress(self.recipe, controlled=self.hold.control is not None)
        self.limits = limits.Limits(self._tabs, self._end_browser, self.settings.patience_s, self.hold.now)
        self.pulse = Pulse(self._beat)
        self.rest_s = min(_REST_S, self.settings.patience_s * 0.8)
        self.reads_windows = limits.reads_windows(self.recipe)
        self.at_once = self.settings.tabs

    def _tabs(self) -> list[Tab]:
        return self.windows.all_of(self.page)

    def _end_browser(self) -> None:
        if self.kill is not None:
            self.kill()

    def _beat(self) -> None:
        """While the browser is waited for: pauses begin and end here too, and a stop does not wait for the page."""
        with self.limits.waiting():
            self.hold.look()
        if self.hold.stopped and not self.stopping:
            self.stopping = True
            for tab in self._tabs():
                self.limits.close(tab)
            self.limits.hurry(_STOP_S)

    def point(self) -> None:
        """A control point. Raises Again or Halt, as `Hold.point`."""
        self._say()
        self.hold.point(lambda: self._sleep(100))
        self._say()

    def _say(self) -> None:
        if self.banner is not None:
            self.banner.say(self.doing, paused=self.hold.paused)

    def sleep(self, milliseconds: float) -> None:
        """Wait, and let the page's events come in meanwhile. A control point."""
        self.page.wait_for_timeout(milliseconds)
        self.point()

    def _sleep(self, milliseconds: float) -> None:
        with self.limits.waiting():
            self._say()
            try:
                self.page.wait_for_timeout(milliseconds)
            except Error:  # the page has gone; that will be told where it is asked for
                sleep(milliseconds / 1000)

    def failed(self) -> None:
        """To be called before a failure is told: whether it is one of the page.

        Raises:
            Again, Halt: a pause or a stop fell into it.
            Lost, PersonNeeded: the session has ended.
        """
        self.hold.failed()
        self.keeper.probe()

    def begin(self) -> None:
        own, self.elsewhere = apart.origins(self.recipe, self.parameters)
        if self.door is not None:
            self.door.permits = self._permits
        self.reach(own)
        self.context.add_init_script(_SETTLE)
        self.context.add_init_script(lists.SCRIPT)
        self.context.set_default_timeout(_ACT_S * 1000)
        self.context.route("**/*", lambda route, request: self._judge(route, request, self.origins))
        self.context.route_web_socket("**/*", lambda socket: socket.close())
        self.context.on("dialog", self._dismiss)
        self.inbox = fetched.Inbox(self.context, self.origins, self._not_let_in, proxied=self.door is not None)
        self.context.grant_permissions([])  # whatever a page asks the person for is denied
        self.context.on("page", self._watch)
        self.context.on("page", self.windows.watch)
        self.context.on("requestfinished", self._arrived)
        self.context.on("requestfailed", self._arrived)
        self.limits.allow()
        if self.hold.control is not None:
            self.pulse.begin()
        self.page = self.home = self.fresh_tab()

    def fresh_tab(self, beside: Tab | None = None) -> Tab:
        """A tab that has in sessionStorage what the one beside it has there, or a kept session had."""
        tabs = self.tabs if beside is None else kept.tabs(beside)
        page = self.context.new_page()
        if tabs:
            page.add_init_script(kept.restoring(tabs))
        return page

    def reach(self, origins: frozenset[str]) -> None:
        """What may be reached from now on."""
        self.origins = origins
        if self.door is not None:
            self.door.origins = origins

    def run(self, done: frozenset[str] = frozenset(), state: kept.Kept | None = None) -> Iterator[Sighting]:
        with contextlib.closing(self._run(done, state)) as sightings:
            try:
                for sighting in sightings:
                    with self.limits.waiting():  # whoever reads it takes its own time
                        yield sighting
            except Halt as halt:
                raise self.hold.stop_error() from halt
            except Ended as ended:
                raise ended.error from ended
            except AgentError as error:
                if self.hold.stopped and not _stops_account(error):
                    raise self.hold.stop_error() from error
                raise
            except Error as error:
                if self.hold.stopped:
                    raise self.hold.stop_error() from error
                if self._is_up():
                    raise
                raise self._browser_ended(error) from error
            finally:
                self.limits.end()
                self.pulse.end()

    def _run(self, done: frozenset[str], state: kept.Kept | None) -> Generator[Sighting, None, None]:
        self.state = state
        yield from self.come_in()
        ended = False
        try:
            for name, source in self.recipe.sources.items():
                yield from self._lasting(f"source {name}", source.steps)
            yield from self._lasting("steps", self.recipe.steps, done)
            ended = True
        except AgentError:
            ended = True
            yield from self._finally()
            raise
        finally:
            if not ended:  # whoever listened has gone: nothing can be handed over any more
                deque(self._finally(), maxlen=0)
        yield from self._finally()
        yield from self._drain()

    def come_in(self) -> Iterator[Sighting]:
        """Of a browser that has just started. Raises Lost if the kept session has ended."""
        self.tabs = {} if self.state is None else self.state.tabs
        self.begin()
        self.show()
        if self.state is None or self.recipe.apart:
            yield from self.enter()
        else:
            yield from self.repeated(self.keeper.enter_kept)

    def repeated(self, begin: Callable[[], Iterator[Sighting]]) -> Iterator[Sighting]:
        """Come in, and once more where a pause fell into it."""
        while True:
            try:
                with self.hold.repeatable():
                    try:
                        yield from begin()
                    except AgentError as error:
                        if not _stops_account(error):
                            self.hold.failed()
                        raise
                return
            except Again:
                if self.state is None:
                    self.context.clear_cookies()  # a login that came through halfway would not be asked for again

    def come_in_again(self, renew: Renew) -> Iterator[Sighting]:
        """Start the browser again; nothing of the one that has ended is there any more."""
        self.limits.end()
        self.limits = limits.Limits(self._tabs, self._end_browser, self.settings.patience_s, self.hold.now)
        self.windows, self.moving, self.cdps = places.Windows(), {}, {}
        self.inside, self.gathered = (), ()
        self.at_once = 1
        self.context = renew()
        yield from self.come_in()

    def close(self) -> None:
        """Close its pages; a page that does not answer is not waited for longer than for an answer."""
        self.limits.allow()
        try:
            self.context.close()
        except Error:
            if self._is_up():
                raise
        finally:
            self.limits.end()

    def _is_up(self) -> bool:
        browser = self.context.browser
        return browser is None or browser.is_connected()

    def ask_browser(self) -> None:
        """Raises Error if it does not answer; then it was ended."""
        self.limits.until(limits.BROWSER_S, of_browser=True)
        self.context.cookies()
        self.limits.allow()

    def check_browser(self, *, told: bool = False) -> None:
        """To be called before and after a trouble is told.

        The first time that the browser ends, any of the records that were under way may have done it: none of them is
        told of, and in the next browser there is one at a time.

        Raises:
            Ended: it was the browser's trouble, which is no more.
        """
        if not self._is_up() and (told or self.at_once > 1):
            raise Ended(self._browser_ended(None), self._redact(guard.shown(self.page.url))[: limits.ADDRESS])

    def _browser_ended(self, error: Error | None) -> AgentError:
        return AgentError(
            "SA2257",
            N_("the browser ended while {url} was read: {seen}"),
            hint=N_("what was read before is kept; look by hand at that page"),
            url=self._redact(guard.shown(self.page.url))[: limits.ADDRESS],
            seen="-" if error is None else self._redact(error.message.splitlines()[0][:200]),
        )

    def enter(self) -> Iterator[Sighting]:
        """To where the recipe's steps may begin, whatever the browser is logged in to; again once a session is lost."""
        self.logged_in = False
        yield from self.repeated(lambda: apart.enter(self))
        self.logged_in = True

    def _lasting(self, where: str, steps: tuple[Step, ...], done: frozenset[str] = frozenset()) -> Iterator[Sighting]:
        """Run steps, and once more from their start after a session has ended; what was read is passed over.

        Raises:
            PersonNeeded: the account was logged in elsewhere, or the session cannot be had again.
        """
        self.progress.begin(done)
        while True:
            try:
                with self.hold.repeatable():
                    for sighting in self._careful(where, steps):
                        self.progress.note(sighting)
                        yield sighting
                return
            except Again:
                yield from self._drain()
                yield from self.keeper.anew(where)
            except Halt:
                yield from self._drain()
                raise
            except Lost as lost:
                yield from self._drain()
                yield from self.keeper.again(where, str(lost))
            except Ended as ended:
                yield from self._drain()
                yield from self.keeper.restart(where, ended)
            except PersonNeeded as error:
                yield from self._drain()
                yield Trouble(where=where, error=error, page=self.keeper.seen)
                self.logged_in = False
                raise

    def _finally(self) -> Iterator[Sighting]:
        """Nothing is clicked any more where the session is not ours."""
        if self.logged_in and not self.hold.stopped:
            self.leaving = True
            with contextlib.suppress(Lost, Ended, PersonNeeded, Again, Halt):
                yield from self._careful("finally", self.recipe.finally_)

    # --- what the page may do ---------------------------------------------------------------------------------------

    def _judge(self, route: Route, request: Request, origins: frozenset[str]) -> None:
        """Runs inside Playwright's dispatcher: must neither raise nor ask the page anything."""
        if request.is_navigation_request():
            self.moving[request] = None
            with contextlib.suppress(Error):
                self.moving[request] = request.frame.page
                self.limits.count(request.frame.page, "frames" if request.frame.parent_frame else "navigations")
            if self.moving[request] is None and not self.reads_windows:
                del self.moving[request]
                self._refused(request, _NO_WINDOWS)
                route.abort("blockedbyclient")
                return
        try:
            verdict = guard.judge(
                request.method,
                request.url,
                request.post_data_buffer,
                headers=request.headers,
                permits=self._permits(),
                origins=origins,
                refuses=(*self.recipe.refuses, *self.settings.refuses),
            )
        except ValueError as error:  # an address that does not parse
            verdict = guard.Refusal(str(error))
        match verdict:
            case guard.Pass():
                if not self.inbox.held(route, request):
                    route.continue_()
            case guard.Stub(body=body, reason=reason):
                self._refused(request, reason)
                route.fulfill(status=200, content_type="application/json", body=body)
            case guard.Refusal(reason=reason):
                self._refused(request, reason)
                route.abort("blockedbyclient")
            case unknown:
                assert_never(unknown)

    def _permits(self) -> list[Permit]:
        """What may leave beside GET, now. The proxy asks from its own thread."""
        return [p for p in self.recipe.permits if p.purpose != "login" or not self.logged_in]

    def _arrived(self, request: Request) -> None:
        self.moving.pop(request, None)

    def _refused(self, request: Request, reason: str) -> None:
        with contextlib.suppress(Error):
            self.limits.count(request.frame.page, "requests")
        url = guard.shown(request.url)[:500]
        self.refusals.add(Refused(method=request.method, url=self._redact(url), reason=reason))

    def _not_let_in(self, method: str, url: str, reason: str) -> None:
        self.refusals.add(Refused(method=method, url=self._redact(url), reason=reason))

    def _dismiss(self, dialog: Dialog) -> None:
        """A dialog of the page is always answered with Cancel; only leaving a page is let happen."""
        self.limits.count(dialog.page, "dialogs")
        with contextlib.suppress(Error):  # the page may be gone, and its dialog with it
            if dialog.type == "beforeunload":
                dialog.accept()
                return
            reason = f"dialog answered with Cancel: {dialog.message[:200]}"
            url = guard.shown(self.page.url)[: limits.ADDRESS]
            self.refusals.add(Refused(method="DIALOG", url=url, reason=self._redact(reason)))
            dialog.dismiss()

    def _watch(self, tab: Tab) -> None:
        tab.on("crash", self.limits.crashed)
        tab.on("download", lambda _: self.limits.count(tab, "downloads"))
        tab.on("popup", lambda window: self._window(tab, window))

    def _window(self, opener: Tab, window: Tab) -> None:
        self.limits.count(opener, "windows")
        if not self.reads_windows:
            self.refusals.add(
                Refused(method="WINDOW", url=self._redact(guard.shown(window.url)[:500]), reason=_NO_WINDOWS)
            )
            with contextlib.suppress(Error):
                window.close()

    def _drain(self) -> Iterator[Sighting]:
        if self.door is not None:
            while self.door.refused:
                refused = self.door.refused.popleft()
                self.refusals.add(replace(refused, url=self._redact(refused.url)))
            untold = self.door.untold
            self.refusals.more, self.untold = self.refusals.more + untold - self.untold, untold
        yield from self.refusals.told(self._redact(guard.shown(self.page.url))[:500])

    # --- steps ------------------------------------------------------------------------------------------------------

    def _careful(self, where: str, steps: tuple[Step, ...]) -> Iterator[Sighting]:
        """Run steps; what fails is handed over with its page, and ends these steps only."""
        if self.home.is_closed() and self.page is self.home:
            self.limits.allow()
            self.page = self.home = self.fresh_tab()
        try:
            yield from self._steps(steps, where)
        except (PageError, Error) as error:
            self.failed()
            yield from self._drain()
            self.check_browser()
            yield Trouble(where=where, error=self._told(error, where), page=self._evidence())
            self.check_browser(told=True)

    def _steps(self, steps: tuple[Step, ...], where: str) -> Iterator[Sighting]:
        for number, step in enumerate(steps, 1):
            self.doing = f"{where}, step {number}: {step.do}"
            self.point()
            self.limits.allow(getattr(step, "timeout_s", 0.0))
            self.keeper.look()
            apart.keep(self)
            try:
                yield from self._step(step, f"{where}, step {number}")
            except PlaywrightTimeout as error:
                self.failed()
                raise self._not_ready(step, f"{where}, step {number}", error) from error
            except (PageError, Error):
                self.failed()
                raise
            yield from self._drain()

    def _step(self, step: Step, where: str) -> Iterator[Sighting]:  # noqa: C901, PLR0912 - one case for each step
        match step:
            case Open(url=url):
                self._open(self._fill_in(url))
            case Click(on=on, double=double, although=although):
                self._click(self._locate(on), _named(on), double=double, although=although)
            case Fill(into=into, text=text):
                self._type(into, text)
            case Select(into=into, option=option):
                self._locate(into).select_option(label=self._fill_in(option))
                self._rest()
            case Wait(until=until, timeout_s=timeout_s):
                self._await(until, timeout_s)
                self._rest()
            case Unfold():
                self._unfold(step)
            case Snap() | Download() | Receive() | Keep():
                place = self.progress.place(where)
                passed = self.progress.passed(place)
                with self.progress.within(where):
                    for sighting in self._kept(step, passed=passed):
                        if not passed or isinstance(sighting, Refused):
                            yield sighting
                if not passed:
                    yield from self.progress.snapped(place, step.name)
            case List():
                with self.progress.within(where):
                    yield from lists.ListReader(self).read(step)
            case Close():
                self._surface(("popup",))
                self.windows.of(self.page)[-1].close()
            case Inside(in_=within, steps=steps):
                yield from self._inside(chain(within), steps, where)
            case Use() | When() | ForEach() | Optional() | Retry():
                yield from flow.flowing(step, self, where)
            case unknown:
                assert_never(unknown)

    def _kept(self, step: Snap | Download | Receive | Keep, *, passed: bool) -> Iterator[Sighting]:
        """What the log keeps. `passed`: only what leads on is done, since an earlier pass has handed it over."""
        match step:
            case Snap() | Download() if passed:
                return
            case Snap(name=name, in_=window):
                yield self._snap(name, window)
            case Download():
                yield from self._download(step)
            case Receive():
                yield from self._receive(step)
            case Keep():
                with self.inbox.keeping():
                    yield from self._steps(step.steps, f"keep {step.name}")
                    printed = self.inbox.pdf(self.page, step.timeout_s)
                yield self._file(step.name, "pdf", printed)
            case unknown:
                assert_never(unknown)

    def _await(self, target: Target, timeout_s: float) -> None:
        self.limits.allow(timeout_s)
        end = self.hold.now() + min(timeout_s, self.act_s if self.act_s < _ACT_S else timeout_s)
        while not self._is_shown(target):
            if self.hold.now() > end:
                raise PlaywrightTimeout("it never showed")
            self.sleep(_GLANCE_MS)

    @contextlib.contextmanager
    def patient(self, seconds: float) -> Iterator[None]:
        """Within it, a target that is not there is waited for so long."""
        before, self.act_s = self.act_s, seconds
        self.context.set_default_timeout(seconds * 1000)
        try:
            yield
        finally:
            self.act_s = before
            self.context.set_default_timeout(before * 1000)

    def _paced(self) -> None:
        """Wait until one more page may be asked for."""
        while (wait := self.pace.begin(monotonic())) > 0:
            with self.limits.waiting():
                self.page.wait_for_timeout(math.ceil(min(wait, 1.0) * 1000))  # events go on meanwhile
            self.point()
        self.point()

    def _open(self, url: str, timeout_s: float | None = None) -> int:
        """Returns the status of the answer. `timeout_s`: beside the patience that every page is given."""
        self.gathered = ()
        if not self.may_open(url):
            raise PageError(
                "SA2258",
                N_("{url} is no address of the ERP: it is not opened"),
                hint=N_("only http and https addresses of the recipe's own parameters of type url are"),
                url=guard.shown(url)[:200],
            )
        self._paced()
        wait_s = self.limits.patience_s if timeout_s is None else timeout_s
        self.limits.allow(wait_s)
        try:
            if urlsplit(url)._replace(fragment="") == urlsplit(self.page.url)._replace(fragment=""):
                self.page.goto("about:blank")  # else only the fragment changes, and what was open stays open
            answer = self.page.goto(url, wait_until="load", timeout=wait_s * 1000)
        except PlaywrightTimeout:
            raise
        except Error as error:
            if self.page in self.limits.left or not self._is_up():
                raise
            raise self.unreachable(url, error) from error
        self.limits.allow()
        self._rest()
        return answer.status if answer is not None else 0

    def unreachable(self, url: str, error: Error) -> AgentError:
        return AgentError(
            "SA2201",
            N_("the ERP cannot be reached at {url}: {seen}"),
            hint=N_("is the address right, the network up, and may this machine reach it?"),
            url=guard.shown(url),
            seen=self.seen(error),
        )

    def seen(self, error: Error) -> str:
        """What the browser says of an address, and what the proxy knows of it."""
        return self._redact(f"{error.message.splitlines()[0][:200]}{self._why()}")

    def _why(self) -> str:
        """What the proxy knows of an ERP that does not answer; the browser only knows that the proxy did not."""
        return f" ({self.door.trouble[:200]})" if self.door is not None and self.door.trouble else ""

    def may_open(self, url: str | None) -> bool:
        """Whether it is a page of the ERP's own addresses: nothing else is opened, such as `file:`."""
        try:
            return url is not None and guard.origin(url) in self.origins
        except ValueError:
            return False

    def _click(
        self, locator: Locator, named: str, *, double: bool, stays: bool = False, although: str | None = None
    ) -> None:
        self.limits.allow()
        self._refuse_to_write(locator, named, although)
        if stays:  # a slow download looks like a navigation that does not end: whoever asks for it has a clock
            locator.click(no_wait_after=True)
            return
        if double:
            locator.dblclick()
        else:
            locator.click()
        self._rest()

    def _refuse_to_write(self, locator: Locator, named: str, although: str | None = None) -> None:
        """Raises: PageError: the element reads like one that writes, and the recipe does not vouch for that text."""
        if not self.logged_in:  # a login button may read Submit
            return
        readings = limits.answer(limits.TEXTS, lambda: locator.evaluate(_READS))
        reads = buttons.refuses(readings, although)
        if reads is not None:
            raise PageError(
                "SA2205",
                N_("{target} reads {seen}: an element that writes is never clicked"),
                hint=N_("choose another way; the robot only reads"),
                target=named,
                seen=reads[:60],
            )

    def _type(self, into: Target, text: str) -> None:
        locator = self._locate(into)
        value = self._fill_in(text)
        for kind, name in PLACEHOLDER.findall(text):
            if kind:
                apart.check_address(self)
                self.typed[self.secret(name)] = locator
        locator.fill(value)

    def _unfold(self, step: Unfold) -> None:
        button, pressed = self._locate(step.button), False
        for _ in range(int(step.timeout_s / _LOOK_S)):
            if self._unfolded(step, button, pressed=pressed):
                return
            if button.first.is_visible():
                self._refuse_to_write(button.first, _named(step.button))
                pressed = True
                try:
                    button.first.click(timeout=1000)
                except PlaywrightTimeout:  # such a button may press itself when it scrolls into view
                    continue
                self._rest()
            elif step.declared is not None and step.rows is not None:
                self._wait_for(_ALL_ROWS, [step.rows, step.declared.css, step.declared.pattern], _LOOK_S)
        raise PageError(
            "SA2206",
            N_("{target}: not every row is on the page after {seconds} s; seen {seen}, declared {expected}"),
            hint=N_("raise `timeout_s`; or correct `button`, `rows` or `declared`"),
            target=_named(step.button),
            seconds=step.timeout_s,
            seen="-" if step.rows is None else len(self.tab.evaluate(_ROWS, step.rows)),
            expected=self._number(step.declared) or "-",
        )

    def _unfolded(self, step: Unfold, button: Locator, *, pressed: bool) -> bool:
        if step.declared is None or step.rows is None:
            return not (button.first.is_visible() or (pressed and self._comes_back(button)))
        place = [step.rows, step.declared.css, step.declared.pattern]
        return bool(self.tab.evaluate(_ALL_ROWS, place))

    def _comes_back(self, button: Locator) -> bool:
        """Whether a button that was pressed and is gone was only made anew, below the rows that it brought."""
        try:
            button.first.wait_for(state="visible", timeout=_BACK_S * 1000)
        except PlaywrightTimeout:
            self.hold.failed()  # nobody is to take for an end of something what was no more than a pause
            return False
        return True

    def _wait_for(self, condition: str, argument: list[object], seconds: float) -> bool:
        """Whether `condition` became true in the page within `seconds`."""
        try:
            self.tab.wait_for_function(condition, arg=argument, timeout=seconds * 1000, polling=10)
        except PlaywrightTimeout:
            self.hold.failed()  # nobody is to take for an end of something what was no more than a pause
            return False
        return True

    def _snap(self, name: str, where: Literal["popup"] | None = None, *, cut: bool = False) -> Page:
        """`cut`: of a page that is too large, the beginning; such a page is evidence and never read."""
        surface = self._surface(() if where is None else (where,))
        page = surface if isinstance(surface, Tab) else surface.page
        if not cut:
            self._rest()
        url = self._redact(guard.shown(page.url))
        if len(url) > limits.ADDRESS and not cut:
            raise places.too_large(f"characters of its address: {len(url)}", limits.ADDRESS)
        frozen = places.freeze(page, _FREEZE, url[: limits.ADDRESS], guard.shown, cut=cut)
        if name != _EVIDENCE:
            self.keeper.probe(page)  # after it was frozen: what was the login's page then is so still
        whole = gathered.written(frozen, self.gathered)
        clean = self._redact(whole)
        image = None
        if self.settings.images and clean == whole:  # a page that shows a secret is kept without its image
            image = self._image(page, frozen)
        return Page(name=name, url=url, frozen=clean.encode(), image=image)

    def _download(self, step: Download) -> Iterator[Sighting]:
        target = self._locate(step.on)
        found = self.inbox.download(
            self.page,
            lambda: self._click(target, _named(step.on), double=False, stays=True, although=step.although),
            step.timeout_s,
        )
        self.keeper.probe()
        url = self._redact(guard.shown(self.page.url))
        yield self._file(step.name, " ".join(step.media), found)
        yield Page(name=step.name, url=url, frozen=files.page(found.body, fetched.wanted(step), url), image=None)

    def _receive(self, step: Receive) -> Iterator[Sighting]:
        with self.inbox.listening(step) as heard:
            yield from self._steps(step.steps, f"receive {step.name}")
            answers = heard.wait(self.page)
        self.keeper.probe()
        for found in answers:
            yield self._file(step.name, "json", found)
            url = self._redact(found.url)
            frozen = files.page(found.body, files.Wanted(kind="json"), url)
            yield Page(name=step.name, url=url, frozen=frozen, image=None)

    def _file(self, name: str, media: str, found: fetched.Bytes) -> File:
        url, file_name = self._redact(found.url), self._redact(found.file_name)
        if any(len(s) >= _SHORTEST_SECRET and s.encode() in found.body for s in self.typed):
            raise PageError("SA2272", N_("{url} sent a secret back: its bytes are not kept"), url=url)
        return File(name=name, url=url, media=media, body=found.body, file_name=file_name)

    def _image(self, page: Tab, frozen: str) -> bytes | None:
        """JPEG of the whole page, fields with passwords covered; none of a page that no image can hold."""
        if "frozen-masked=" in frozen or not self.logged_in:
            fields = [page.locator("input[type=password]"), *self.typed.values()]
            return page.screenshot(type="jpeg", quality=60, full_page=True, mask=fields)
        if page not in self.cdps:
            self.cdps[page] = self.context.new_cdp_session(page)
        width, height = (int(n) for n in _SIZE.search(frozen)[1].split())  # type: ignore[index] # on every page
        if width * height > _LARGEST_IMAGE:
            return None
        larger = width > self.settings.width or height > self.settings.height
        # Beyond the viewport the browser lays the page out once more, which takes as long as the image itself.
        wanted = {"format": "jpeg", "quality": 60, "captureBeyondViewport": larger, "optimizeForSpeed": True}
        try:
            return base64.b64decode(self.cdps[page].send("Page.captureScreenshot", wanted)["data"])
        except Error:  # now and then a busy browser says it is "unable to capture"; the slower way tries again itself
            return page.screenshot(type="jpeg", quality=60, full_page=True)

    # --- small things -----------------------------------------------------------------------------------------------

    def _rest(self) -> None:
        """Wait until the page, its frames and windows have come to rest; one that navigates is waited for again."""
        end = self.hold.now() + self.rest_s
        troubles = 0
        while self.hold.now() < end:
            pages = self.windows.all_of(self.page)
            frames = [frame for page in pages for frame in page.frames]
            if len(frames) > limits.FRAMES:
                raise places.too_large(f"frames: {len(frames)}", limits.FRAMES)
            try:
                quiet = all(self._is_quiet(frame) for frame in frames)
            except PlaywrightTimeout:
                raise
            except Error as error:
                troubles += 1
                if not any(word in error.message for word in places.PASSING) or self.page.is_closed():
                    raise
                if troubles > _TROUBLES:
                    break
                self.page.wait_for_load_state("load")
                continue
            if not quiet:
                break
            if self._moves(pages):
                self.sleep(_GLANCE_MS)
            elif len(frames) == 1 or frames == [f for page in self.windows.all_of(self.page) for f in page.frames]:
                return
        raise PageError(
            "SA2211",
            N_("the page {url} did not come to rest within {seconds} s"),
            hint=N_("it keeps changing or asking; lower `quiet_ms` in the recipe"),
            url=guard.shown(self.page.url),
            seconds=self.rest_s,
        )

    def _moves(self, pages: list[Tab]) -> bool:
        """Whether one of `pages`, or a window coming to be, is about to show something else."""
        for request in list(self.moving):
            if self.moving[request] is None:
                with contextlib.suppress(Error):
                    self.moving[request] = request.frame.page
            page = self.moving[request]
            if page is not None and page.is_closed():
                del self.moving[request]
            elif page in pages or (page is None and self.reads_windows):
                return True
        return False

    def _is_quiet(self, frame: Frame) -> bool:
        quiet: bool = frame.evaluate(
            "([q, l, p]) => window.__agent ? window.__agent.settle(q, l, p) : true",
            [self.recipe.quiet_ms, self.rest_s * 1000, self.recipe.settle],
        )
        return quiet

    def _number(self, count: Count | None) -> int | None:
        if count is None:
            return None
        place = [count.css, count.pattern, count.attribute, count.minus]
        return limits.answer(
            limits.NUMBER, lambda: self.tab.evaluate("place => window.__agent.number(...place)", place)
        )

    # --- what flow.py asks ------------------------------------------------------------------------------------------

    def steps(self, steps: tuple[Step, ...], where: str) -> Iterator[Sighting]:
        return self._steps(steps, where)

    def rest(self) -> None:
        self._rest()

    def is_shown(self, target: Target) -> bool:
        return self._is_shown(target)

    def locate(self, target: Target) -> Locator:
        return self._locate(target)

    def fill_in(self, text: str) -> str:
        return self._fill_in(text)

    # --- where ------------------------------------------------------------------------------------------------------

    @property
    def tab(self) -> Tab:
        """The page that steps are about: within `inside`, the frame found anew, which can all that is asked of it."""
        return cast("Tab", self._surface(()))

    @tab.setter
    def tab(self, page: Tab | Frame) -> None:
        self.page = page.page if isinstance(page, Frame) else page

    def _surface(self, where: tuple[Part, ...]) -> places.Surface:
        """Where the chain leads, waited for.

        Raises:
            places.Missing: it leads nowhere, or to several places.
        """
        whole = (*(self.inside if self.page is self.home else ()), *where)
        end = self.hold.now() + self.act_s
        while True:
            try:
                return places.resolve(self.page, whole, self.windows)
            except places.Missing:
                if self.hold.now() > end:
                    raise
            self.sleep(_GLANCE_MS)

    def _inside(self, into: tuple[Part, ...], steps: tuple[Step, ...], where: str) -> Iterator[Sighting]:
        before, self.inside = self.inside, (*self.inside, *into)
        try:
            yield from self._steps(steps, f"{where}, inside")
        finally:
            self.inside = before

    def _locate(self, target: Target) -> Locator:
        if target.any_of:
            return self._first_shown(target.any_of)
        return places.within(self._surface(chain(target.in_)), target)

    def _first_shown(self, targets: tuple[Target, ...]) -> Locator:
        """Of alternatives the first that shows, waited for; the last one if none ever does."""
        end = self.hold.now() + self.act_s
        while self.hold.now() < end:
            for target in targets:
                if self._is_shown(target):
                    return self._locate(target)
            self.sleep(_GLANCE_MS)
        return self._locate(targets[-1])

    def _is_shown(self, target: Target) -> bool:
        """Whether it shows now; in a place that is not there nothing does."""
        if target.any_of:
            return any(map(self._is_shown, target.any_of))
        where = (*(self.inside if self.page is self.home else ()), *chain(target.in_))
        try:
            found = places.within(places.resolve(self.page, where, self.windows), target)
            return found.filter(visible=True).count() > 0
        except places.Missing:
            return False
        except Error as error:
            if any(word in error.message for word in places.PASSING):
                return False
            raise

    def _named(self, target: Target) -> str:
        return _named(target)

    def _fill_in(self, text: str) -> str:
        return PLACEHOLDER.sub(lambda m: self.secret(m[2]) if m[1] else self.parameters[m[2]], text)

    def _redact(self, text: str) -> str:
        """`text` as it may be logged: without secrets, and without halves of characters."""
        text = text.encode("utf-8", "replace").decode()
        for value in self.typed:
            if len(value) >= _SHORTEST_SECRET:
                text = text.replace(value, _MASK).replace(html.escape(value), _MASK)
        return text

    def _evidence(self) -> Page | None:
        """The page as it is now, for the log; None if even that fails."""
        if self.page.is_closed() or self.page in self.limits.left:
            return None
        inside, self.inside = self.inside, ()
        rest_s, self.rest_s = self.rest_s, min(self.rest_s, 0.5)
        self.limits.until(self.limits.patience_s if self.page is self.home else self.limits.evidence_s)
        try:
            try:
                return self._snap(_EVIDENCE)
            except PageError:  # it is too large, or does not come to rest
                return self._snap(_EVIDENCE, cut=True)
        except (AgentError, Error):
            return None
        finally:
            self.inside, self.rest_s = inside, rest_s

    def _not_ready(self, step: Step, where: str, error: PlaywrightTimeout) -> PageError:
        target = next(
            (t for t in (getattr(step, n, None) for n in ("on", "into", "until", "button", "options_of")) if t), None
        )
        seen = _IN_THE_WAY.findall(error.message)
        if seen and seen[-1] != "element is not visible":
            return PageError(
                "SA2227",
                N_("{where} ({step}): what is to be clicked or filled is on the page {url}, but {seen}"),
                hint=N_("wait for what lies over it to go, in a step before; or the ERP was too slow"),
                where=where,
                step=step.do,
                url=guard.shown(self.page.url),
                seen=self._redact(seen[-1][:200]),
            )
        return PageError(
            "SA2202",
            N_("{where} ({step}): {target} is not on the page {url}"),
            hint=N_("look at the page's image; correct the target in the recipe, or the ERP was too slow"),
            where=where,
            step=step.do,
            target=_named(target) if isinstance(target, Target) else self._redact(error.message.splitlines()[0][:200]),
            url=guard.shown(self.page.url),
        )

    def _told(self, error: AgentError | Error, where: str) -> AgentError:
        """Playwright's errors in our words; ours as they are."""
        if isinstance(error, Error) and not self._is_up():
            return self._browser_ended(error)
        left = next((why for tab in self.windows.all_of(self.page) if (why := self.limits.left.get(tab))), None)
        if left is not None:
            return left
        if isinstance(error, AgentError):
            return error
        if "strict mode violation" in error.message:
            lines = [line.strip() for line in error.message.splitlines()[1:7] if line.strip()]
            return PageError(
                "SA2003",
                N_("{target} is ambiguous: {count} places match: {seen}"),
                hint=N_("narrow it down with `within`, or use `css`"),
                target=where,
                count=len(lines),
                seen=self._redact("; ".join(lines)[:400]),
            )
        return PageError(
            "SA2212",
            N_("{where}: the browser says: {seen}"),
            where=where,
            seen=self._redact(error.message.splitlines()[0][:300]),
        )


def _stops_account(error: AgentError) -> bool:
    """Whether trying again may do harm."""
    return isinstance(error, PersonNeeded) and error.outcome.stops_account


def _named(target: Target) -> str:
    told = _told_target(target)
    where = " > ".join(p if isinstance(p, str) else f"frame {p.frame}" for p in chain(target.in_))
    return f"{where} > {told}" if where else told


def _told_target(target: Target) -> str:
    match target:
        case Target(any_of=(_, *_)):
            return " / ".join(map(_named, target.any_of))
        case Target(id=str(id)):
            return f"id {id}"
        case Target(label=str(label)):
            return f"label {label}"
        case Target(role=str(role)):
            return f"{role} {target.name}"
        case Target(text=str(text)):
            return f"text {text}"
        case _:
            return f"css {target.css}"
