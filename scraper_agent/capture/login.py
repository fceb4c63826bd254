"""Logging in, and staying so: what shows instead of a session is told apart, and nothing is tried twice.

A session that has ended is known by the recipe's `session`; the login is then made once more, unless the account was
logged in elsewhere: whoever did that is not fought.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never, cast

from playwright.sync_api import Error, Frame
from playwright.sync_api import Page as Tab

from scraper_agent.capture import apart, guard, kept, places
from scraper_agent.capture.progress import Lost
from scraper_agent.capture.running import Ended
from scraper_agent.errors import AgentError, NeedsPerson, PageError, UsageError
from scraper_agent.messages import N_
from scraper_agent.ports import Page, PersonNeeded, Sighting, Trouble
from scraper_agent.recipe import Login, Open, Recipe, Target, chain
from scraper_agent.values import Anew, Outcome, Relogin

if TYPE_CHECKING:
    from scraper_agent.capture.browser import _Session

MOST_LOGINS = 3
"""New logins in one run: a session that ends more often has a cause that a person should know."""
ATTEND_S = 900.0
"""How long a person may take."""
_SHOWS = "css => window.__agent ? window.__agent.shows(css) : null"
_GLANCE_MS = 20
_LOOK_MS = 250


@dataclass(slots=True)
class Keeper:
    """The login half of one session."""

    session: _Session
    logins: int = 0
    """New logins in this run, after the first."""
    done_before: int = -1
    """How much had been handed over when the session ended last."""
    stale: bool = False
    """A session was kept, and has ended."""
    seen: Page | None = None
    """What showed instead of a session: the tab that showed it is closed before anybody is told."""

    # --- logging in -------------------------------------------------------------------------------------------------

    def enter(self) -> Iterator[Sighting]:
        """Log in by the recipe's steps. Whether this is the session that was meant is for others to say.

        Raises:
            PersonNeeded: the ERP wants a person.
            AgentError: the login did not end.
        """
        session, login = self.session, self.session.recipe.login
        if login is None:
            return
        try:
            yield from session._steps(login.steps, "login")
            self._arrive(login)
        except (AgentError, Error) as error:
            told = error if isinstance(error, NeedsPerson) else self._shown() or session._told(error, "login")
            if self.stale and isinstance(told, NeedsPerson) and not isinstance(told, PersonNeeded):
                told = self._expired(told)
            if not (isinstance(told, PersonNeeded) and told.outcome.stops_account):
                session.hold.failed()
            yield Trouble(where="login", error=told, page=session._evidence())
            raise told from error
        yield from session._drain()

    def _expired(self, missing: NeedsPerson) -> PersonNeeded:
        return PersonNeeded(
            "SA2221",
            N_("the kept session has expired, and no login can be made unattended: {reason}"),
            outcome=Outcome.EXPIRED,
            hint=N_("log in by `scraper-agent login {recipe}`, then run again"),
            reason=missing.sentence,
            recipe=self.session.recipe.recipe,
        )

    def look(self) -> None:
        """While logging in, before each step: what is typed after a captcha came up would count against the account.

        Raises:
            PersonNeeded: the ERP wants a person.
        """
        if not self.session.logged_in and (told := self._shown()) is not None:
            raise told

    def _arrive(self, login: Login) -> None:
        session = self.session
        session.limits.allow(login.timeout_s)
        end = session.hold.now() + login.timeout_s
        while not session._is_shown(login.done):
            self.look()
            if session.hold.now() > end:
                raise PageError(
                    "SA2204",
                    N_("login at {url} did not end within {seconds} s: {expected} never showed"),
                    hint=N_("look at the page's image; correct `login` in the recipe, or the page wants something new"),
                    url=guard.shown(session.page.url),
                    seconds=login.timeout_s,
                    expected=session._named(login.done),
                )
            session.sleep(_GLANCE_MS)
        session._rest()
        self.look()

    def _shown(self) -> PersonNeeded | None:
        """The outcome that the page shows now, if it shows one."""
        recipe = self.session.recipe
        login, rule = recipe.login, recipe.session
        if login is None:
            return None
        targets = (
            (Outcome.LOCKED_OUT, login.locked_out),  # an ERP that locks may say "wrong password" beside it
            (Outcome.WRONG_PASSWORD, login.wrong_password),
            (Outcome.PASSWORD_EXPIRED, login.password_expired),
            (Outcome.KICKED_OUT, rule.kicked_out if rule is not None else None),
            (Outcome.SECOND_FACTOR, login.second_factor),
            (Outcome.CAPTCHA, login.captcha),
        )
        for outcome, target in targets:
            if target is not None and self._shows(self.session.page, target):
                return self._needed(outcome, target)
        return None

    def _needed(self, outcome: Outcome, target: Target) -> PersonNeeded:
        return _needed(outcome, self._said(target), self.session.recipe.recipe)

    def _said(self, target: Target) -> str:
        session = self.session
        try:
            said = session._locate(target).filter(visible=True).first.inner_text(timeout=1000)
        except (AgentError, Error):
            said = ""
        return session._redact(" ".join(said.split()))[:200] or session._named(target)

    # --- a session that a person logged in to -----------------------------------------------------------------------

    def attend(self) -> kept.Kept:
        """Wait until a person has logged in; nothing is typed and nothing that they type is looked at.

        Raises:
            NeedsPerson: nobody did, or the window was closed.
        """
        session, recipe = self.session, self.session.recipe
        login = _login_of(recipe)
        session.logged_in = False
        for step in login.steps:
            if not isinstance(step, Open):
                break
            session._open(session._fill_in(step.url))
        session.limits.allow(ATTEND_S)
        end = session.hold.now() + ATTEND_S
        while not session._is_shown(login.done):
            try:
                session.sleep(_LOOK_MS)
            except Error as error:
                session.hold.failed()
                raise NeedsPerson("SA2226", N_("the window was closed before the login was done")) from error
            if session.hold.now() > end:
                raise NeedsPerson(
                    "SA2225",
                    N_("nobody logged in within {minutes} minutes: {expected} never showed"),
                    hint=N_("log in in the window; or correct `login.done` in the recipe"),
                    minutes=int(ATTEND_S / 60),
                    expected=session._named(login.done),
                )
        session._rest()
        state = session.context.storage_state(indexed_db=True)
        return kept.Kept(state=cast("dict[str, Any]", state), tabs=kept.tabs(session.page))

    def enter_kept(self) -> Iterator[Sighting]:
        """Go on in a kept session.

        Raises:
            Lost: it has ended.
            PersonNeeded: the account was logged in elsewhere.
        """
        session, rule = self.session, self.session.recipe.session
        login = _login_of(session.recipe)
        address = rule.page if rule is not None else None
        alive = rule.alive if rule is not None else None
        if address is None:
            address = next((step.url for step in login.steps if isinstance(step, Open)), None)
            alive = alive or login.done
        session.logged_in = True
        if address is None:
            raise Lost
        session._open(session._fill_in(address))
        try:
            self.probe()
        except PersonNeeded as error:
            yield Trouble(where="login", error=error, page=self.seen)
            raise
        yield from session._drain()
        if alive is not None and not self._shows(session.page, alive):
            raise Lost(session._redact(guard.shown(session.page.url)))

    # --- staying so -------------------------------------------------------------------------------------------------

    def probe(self, page: Tab | None = None) -> None:
        """Whether the session is still there, by what the page shows.

        Raises:
            Lost: it has ended.
            PersonNeeded: the account was logged in elsewhere.
        """
        session, rule = self.session, self.session.recipe.session
        apart.keep(session)
        if rule is None or not session.logged_in or session.recipe.login is None:
            return
        here = session.page if page is None else page
        if here.is_closed():  # by itself, or because it did not answer: that is no end of a session
            return
        if rule.kicked_out is not None and self._shows(here, rule.kicked_out):
            self.seen = session._evidence()
            raise self._needed(Outcome.KICKED_OUT, rule.kicked_out)
        ended = rule.expired is not None and self._shows(here, rule.expired)
        if ended or (rule.alive is not None and here is session.page and not self._shows(here, rule.alive)):
            self.seen = session._evidence()
            raise Lost(session._redact(guard.shown(here.url)))

    def again(self, where: str, url: str) -> Iterator[Sighting]:
        """The session has ended, as the page at `url` showed: log in once more.

        Raises:
            PersonNeeded: it ends again and again, or the ERP wants a person.
        """
        session = self.session
        done = len(session.progress.before | session.progress.done)
        last = self.logins == MOST_LOGINS or done == self.done_before
        if session.recipe.apart:
            session.logged_in = False  # nothing more is done in its name
            yield apart.lost(session, url, last=last)
        if last:
            told = PersonNeeded(
                "SA2218",
                N_("the session ended at {url} though the agent had logged in again; logins after the first: {count}"),
                outcome=Outcome.EXPIRED,
                hint=N_("is the account used elsewhere, or does the recipe's `session` mistake a page?"),
                url=url,
                count=self.logins,
            )
            yield Trouble(where=where, error=told, page=self.seen)
            session.logged_in = False
            raise told
        self.done_before = done
        self.logins += 1
        void = session.progress.lists
        for popup in session.windows.all_of(session.home)[1:]:
            popup.close()
        if session.tabs:  # what the ended session had there would be given to new tabs, and its own tab still has it
            session.tabs, old, session.home = {}, session.home, session.context.new_page()
            old.close()
        session.page, session.inside, session.gathered = session.home, (), ()
        yield from session.enter()
        session.progress.again()
        yield Relogin(where=where, url=url, number=self.logins, void_lists=void)

    def anew(self, where: str) -> Iterator[Sighting]:
        """A pause fell into the steps: begin them anew, in the same session if it is still there."""
        session = self.session
        void = session.progress.lists
        for popup in session.windows.all_of(session.home)[1:]:
            popup.close()
        if session.home.is_closed():
            session.limits.allow()
            session.home = session.fresh_tab()
        session.page, session.inside, session.gathered = session.home, (), ()
        yield from session.repeated(self._back)
        session.progress.again()
        yield Anew(where=where, void_lists=void)

    def _back(self) -> Iterator[Sighting]:
        """To where the steps may begin; by a login only if the session has ended."""
        session, recipe = self.session, self.session.recipe
        if recipe.login is None:
            return
        if not recipe.apart:
            with contextlib.suppress(Lost):
                yield from self.enter_kept()
                return
        yield from session.enter()

    def restart(self, where: str, ended: Ended) -> Iterator[Sighting]:
        """The browser has ended: start it again, and log in once more.

        Raises:
            Ended: again and again, or where nothing was read meanwhile.
        """
        session = self.session
        done = len(session.progress.before | session.progress.done)
        if session.renew is None or self.logins == MOST_LOGINS or done == self.done_before:
            session.logged_in = False
            raise ended
        self.done_before = done
        self.logins += 1
        void = session.progress.lists
        yield from session.come_in_again(session.renew)
        session.progress.again()
        yield Relogin(where=where, url=ended.url, number=self.logins, void_lists=void)

    def _shows(self, page: Tab, target: Target) -> bool:
        """Whether it shows anywhere on the page, in whichever frame: an ERP in frames loses them one by one."""
        session = self.session
        if target.any_of:
            return any(self._shows(page, each) for each in target.any_of)
        try:
            if target.in_:
                return _seen(places.resolve(page, chain(target.in_), session.windows), target)
            return any(_glanced(frame, target) for frame in page.frames)
        except places.Missing:
            return False
        except Error as error:
            if any(word in error.message for word in places.PASSING):
                return False
            raise


def _glanced(frame: Frame, target: Target) -> bool:
    """Whether it shows in the frame: by one question, if that will do. Playwright's own would load its script first."""
    if target.css is not None:
        shows = frame.evaluate(_SHOWS, target.css)
        if isinstance(shows, bool):
            return shows
    return _seen(frame, target)


def _seen(surface: places.Surface, target: Target) -> bool:
    return places.within(surface, target).filter(visible=True).count() > 0


def _login_of(recipe: Recipe) -> Login:
    if recipe.login is None:
        raise UsageError("SA2224", N_("the recipe {recipe} has no login"), recipe=recipe.recipe)
    return recipe.login


def _needed(outcome: Outcome, seen: str, recipe: str) -> PersonNeeded:
    """What a person is told; `seen` is what the ERP says."""
    erp = recipe.partition("/")[0]
    attended = N_("log in by `scraper-agent login {recipe}`, then run again: the session is kept")
    match outcome:
        case Outcome.WRONG_PASSWORD:
            return PersonNeeded(
                "SA2203",
                N_("the ERP refused the login; it says: {seen}"),
                outcome=outcome,
                hint=N_(
                    "correct the account or password, then `scraper-agent session clear {erp}`; "
                    "nothing was tried a second time, so nothing is locked"
                ),
                seen=seen,
                erp=erp,
            )
        case Outcome.LOCKED_OUT:
            return PersonNeeded(
                "SA2214",
                N_("the ERP has locked the account; it says: {seen}"),
                outcome=outcome,
                hint=N_("have the account unlocked in the ERP, then `scraper-agent session clear {erp}`"),
                seen=seen,
                erp=erp,
            )
        case Outcome.PASSWORD_EXPIRED:
            return PersonNeeded(
                "SA2213",
                N_("the ERP wants a new password first; it says: {seen}"),
                outcome=outcome,
                hint=N_("change the password in the ERP and where the config says it is, then run again"),
                seen=seen,
            )
        case Outcome.SECOND_FACTOR:
            return PersonNeeded(
                "SA2215",
                N_("the ERP asks for a second proof of who logs in; it says: {seen}"),
                outcome=outcome,
                hint=attended,
                seen=seen,
                recipe=recipe,
            )
        case Outcome.CAPTCHA:
            return PersonNeeded(
                "SA2216",
                N_("the ERP asks whether a person logs in; it says: {seen}"),
                outcome=outcome,
                hint=attended,
                seen=seen,
                recipe=recipe,
            )
        case Outcome.KICKED_OUT:
            return PersonNeeded(
                "SA2217",
                N_("the account was logged in elsewhere, which ended this session: {seen}"),
                outcome=outcome,
                hint=N_("find out who uses the robot's account, then run again; the robot did not log in again"),
                seen=seen,
            )
        case (
            Outcome.EXPIRED
            | Outcome.OTHER_SESSION
            | (Outcome.NO_SECRET | Outcome.HALTED | Outcome.HOURS | Outcome.UNANCHORED)
        ):
            raise ValueError(f"{outcome} is not what a page shows")
        case unknown:
            assert_never(unknown)
