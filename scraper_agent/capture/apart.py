"""Sessions elsewhere that must have ended before the ERP is used, and whether the ERP's own is the right one.

Each one elsewhere: logged in → log out → look again; logged out → login → account → the page that must be operable.
Whatever is unknown, fails too often or takes too long stops the run: it never goes on with a session of which it is not
sure. Every look is handed over with its page.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from playwright.sync_api import Error

from scraper_agent.capture import guard
from scraper_agent.capture.progress import Lost
from scraper_agent.errors import AgentError, UsageError
from scraper_agent.messages import N_, render
from scraper_agent.ports import Look, Page, PersonNeeded, Sighting
from scraper_agent.recipe import (
    PLACEHOLDER,
    Account,
    Apart,
    Fill,
    Login,
    LogOutStep,
    Ready,
    Recipe,
    Target,
    apart_names,
    every,
)
from scraper_agent.values import Outcome, Reason, SessionChecked, SessionState

if TYPE_CHECKING:
    from scraper_agent.capture.browser import _Session

Action = Literal["go_on", "log_out", "check_again", "stop"]

_GLANCE_MS = 20
_ERROR = 400
_TEXT = "e => [e.value, e.innerText].find((t) => t && String(t).trim()) || ''"


def origins(recipe: Recipe, parameters: Mapping[str, str]) -> tuple[frozenset[str], frozenset[str]]:
    """The addresses that may be reached, of the ERP and of sessions elsewhere: these by the check alone.

    Raises:
        UsageError: the same address is to be both.
    """
    names = apart_names(recipe)
    urls = {name: guard.origin(parameters[name]) for name, p in recipe.parameters.items() if p.type == "url"}
    elsewhere = {name: url for name, url in urls.items() if name in names}
    own = frozenset(url for name, url in urls.items() if name not in names)
    for name, url in elsewhere.items():
        if url in own:
            raise UsageError(
                "SA2266",
                N_("`{name}` is {url}, which is an address of the ERP itself"),
                hint=N_("correct the parameter: the session elsewhere must be at an address of its own"),
                name=name,
                url=url,
            )
    return own, frozenset(elsewhere.values())


def enter(session: _Session) -> Iterator[Sighting]:
    """From whatever the browser is logged in to, to where the recipe's steps may begin. May be repeated.

    Raises:
        PersonNeeded: it is not sure that the right session alone is there.
        AgentError: the login did not succeed.
    """
    login = session.recipe.login
    rounds = 2 if session.recipe.apart else 1  # a page that is not operable may be so because of a session elsewhere
    for left in reversed(range(rounds)):
        for elsewhere in session.recipe.apart:
            yield from _ended(session, elsewhere)
        if login is None:
            return
        yield from session.keeper.enter()
        if session.recipe.apart:
            yield _look("login", "logged_in", "go_on", None, _page(session, "apart login"))
        if login.account is not None:
            yield from _right_account(session, login, login.account)
        if login.ready is None or (yield from _operable(session, login.ready, last=left == 0)):
            return


# --- elsewhere ------------------------------------------------------------------------------------------------------


def _ended(session: _Session, apart: Apart) -> Iterator[Sighting]:
    """Log out until logged out. Outside of this, requests to that address are refused."""
    own = session.origins
    session.reach(own | session.elsewhere)
    try:
        for left in reversed(range(apart.attempts + 1)):
            state, said = _seen(session, apart)
            page = _page(session, f"apart {apart.name}")
            if state == "logged_out":
                yield _look(apart.name, state, "go_on", None, page)
                break
            if state == "unknown" or left == 0:
                yield _look(apart.name, state, "stop", said, page)
                raise _blocked(session, apart, said)
            failed = yield from _logged_out(session, apart.log_out, f"apart {apart.name}, log_out")
            yield _look(apart.name, state, "log_out", failed, page)
        session.page.goto("about:blank")  # nothing of that page goes on asking
    finally:
        session.reach(own)


def _seen(session: _Session, apart: Apart) -> tuple[SessionState, Reason | None]:
    url = session._fill_in(apart.url)
    both = False
    try:
        status = session._open(url, apart.timeout_s)
        if status >= _ERROR:
            return "unknown", Reason(text=N_("the answer is {status}"), values={"status": str(status)})
        if not _within(session, session.page.url):
            seen = session._redact(guard.shown(session.page.url))[:200]
            return "unknown", Reason(
                text=N_("it led to {seen}, which is no address of the recipe"), values={"seen": seen}
            )
        session.limits.allow(apart.timeout_s)
        end = session.hold.now() + apart.timeout_s
        while (both := session._is_shown(apart.logged_in)) == session._is_shown(apart.logged_out):
            if session.hold.now() > end:
                break
            session.sleep(_GLANCE_MS)
        else:
            return "logged_in" if both else "logged_out", None
    except (AgentError, Error) as error:
        with contextlib.suppress(Error):
            session.context.new_cdp_session(session.page).send("Page.stopLoading")  # else what loads is waited for
        return "unknown", Reason(text=N_("it does not open: {seen}"), values={"seen": _said(session, error)})
    values = {"logged_in": session._named(apart.logged_in), "logged_out": session._named(apart.logged_out)}
    if both:
        return "unknown", Reason(text=N_("both {logged_in} and {logged_out} show"), values=values)
    return "unknown", Reason(text=N_("neither {logged_in} nor {logged_out} shows"), values=values)


def _blocked(session: _Session, apart: Apart, said: Reason | None) -> PersonNeeded:
    url = guard.shown(session._fill_in(apart.url))
    if said is not None:
        return PersonNeeded(
            "SA2260",
            N_("{name}: whether somebody is logged in at {url} is not known: {reason}"),
            outcome=Outcome.OTHER_SESSION,
            hint=N_("nothing more is read; see that the page is up and shows what `apart` names, then run again"),
            name=apart.name,
            url=url,
            reason=render(said.text, said.values),
        )
    return PersonNeeded(
        "SA2261",
        N_("{name}: somebody is still logged in at {url} after logging out {count} time(s)"),
        outcome=Outcome.OTHER_SESSION,
        hint=N_("nothing is read with that session; the page's image may tell why; correct `log_out`, then run again"),
        name=apart.name,
        url=url,
        count=apart.attempts,
    )


# --- the ERP's own --------------------------------------------------------------------------------------------------


def _right_account(session: _Session, login: Login, account: Account) -> Iterator[Sighting]:
    """Another account is logged out and the right one logged in, once.

    This is the robot's own browser: the session that ends is no person's (SES-9), and only the right account may be
    used (SES-5).
    """
    wanted = _wanted(session, account)
    reads: str | None = None
    for left in (1, 0):
        reads = _reading(session, account.at, login.timeout_s)
        page = _page(session, "apart account")
        if reads == wanted:
            yield _look("account", "right_account", "go_on", None, page)
            return
        if reads is None or left == 0 or not account.log_out:
            yield _look("account", "unknown" if reads is None else "other_account", "stop", None, page)
            break
        failed = yield from _logged_out(session, account.log_out, "login, account, log_out")
        yield _look("account", "other_account", "log_out", failed, page)
        yield from session.keeper.enter()
    url = guard.shown(session.page.url)
    if reads is None:
        raise PersonNeeded(
            "SA2263",
            N_("{url} does not tell which account is logged in: {target} does not show, or more than once"),
            outcome=Outcome.OTHER_SESSION,
            hint=N_("nothing more is read; look at the page's image, correct `login.account`"),
            url=url,
            target=session._named(account.at),
        )
    raise PersonNeeded(  # which account: the page's image tells; accounts do not stand in the log
        "SA2262",
        N_("another account is logged in at {url}: {target} does not read `{expected}`"),
        outcome=Outcome.OTHER_SESSION,
        hint=N_("nothing more is read; log that account out, or correct the account in the config; then run again"),
        url=url,
        target=session._named(account.at),
        expected=account.reads,
    )


def _wanted(session: _Session, account: Account) -> str:
    return " ".join(session._fill_in(account.reads).split())


def _reading(session: _Session, at: Target, timeout_s: float) -> str | None:
    """What stands there; None if it does not show in time, or more than once."""
    try:
        session._await(at, timeout_s)
        (place,) = session._locate(at).filter(visible=True).all()
        return " ".join(str(place.evaluate(_TEXT)).split())
    except (AgentError, Error, ValueError):
        return None


def _operable(session: _Session, ready: Ready, *, last: bool) -> Generator[Sighting, None, bool]:
    """Whether a click leads on.

    Raises:
        PersonNeeded: it does not, for the last time.
    """
    page: Page | None = None
    said: Reason | None = None
    text = N_("{target} does not show")
    target = ready.shown
    try:
        with session.patient(ready.timeout_s):
            session._await(target, ready.timeout_s)
            page = _page(session, "apart ready")
            text, target = N_("{target} cannot be pressed"), ready.press
            session._click(session._locate(target), session._named(target), double=False)
            text, target = N_("it was pressed, but {target} does not show"), ready.leads_to
            session._await(target, ready.timeout_s)
    except (AgentError, Error):
        said = Reason(text=text, values={"target": session._named(target)})
        page = page or _page(session, "apart ready")
    if said is None:
        yield _look("ready", "operable", "go_on", None, page)
        return True
    yield _look("ready", "inoperable", "stop" if last else "check_again", said, page)
    if last:
        raise PersonNeeded(
            "SA2264",
            N_("the page {url} cannot be operated: {reason}"),
            outcome=Outcome.OTHER_SESSION,
            hint=N_(
                "nothing more is read; does the account have this role, and is nobody else logged in? then run again"
            ),
            url=session._redact(guard.shown(session.page.url))[:200],
            reason=render(said.text, said.values),
        )
    return False


# --- while the steps run --------------------------------------------------------------------------------------------


def lost(session: _Session, where: str, *, last: bool) -> Look:
    """What is told of a session that was lost; `where`: what showed it."""
    said = Reason(text=N_("the session has ended: {seen}"), values={"seen": where})
    return _look("session", "lost", "stop" if last else "check_again", said, _page(session, "apart session"))


def keep(session: _Session) -> None:
    """To be called wherever the page may have become another one.

    Raises:
        Lost: it shows another site, another account, the login, or the page that comes before the work.
    """
    login = session.recipe.login
    if not session.recipe.apart or not session.logged_in or session.leaving:
        return
    inside, session.inside = session.inside, ()
    try:
        url = session.page.url
        away = url.startswith(("http:", "https:")) and not _within(session, url)
        signs = (*_asks_for_secrets(login), *((login.ready.shown,) if login.ready else ())) if login else ()
        sign = next((session._named(target) for target in signs if session._is_shown(target)), None)
        if sign is None and login is not None and login.account is not None and _is_another(session, login.account):
            sign = session._named(login.account.at)
    finally:
        session.inside = inside
    if away or sign is not None:
        raise Lost(" ".join((session._redact(guard.shown(url))[:200], sign or "")).strip())


def check_address(session: _Session) -> None:
    """To be called before a secret is typed.

    Raises:
        PersonNeeded: the page is no address of the recipe's, or that of a session elsewhere: a redirect led there.
    """
    url = session.page.url
    if url.startswith(("http:", "https:")) and session.origins and not _within(session, url):
        raise PersonNeeded(
            "SA2268",
            N_("the page that asks for the password is {url}, which is no address of the ERP: nothing was typed"),
            outcome=Outcome.OTHER_SESSION,
            hint=N_("who led there? if it is right, give it a parameter of type url of its own"),
            url=session._redact(guard.shown(url))[:200],
        )


def _is_another(session: _Session, account: Account) -> bool:
    """Whether the page shows an account and it is not the right one; not every page shows one."""
    return session._is_shown(account.at) and _reading(session, account.at, 1) != _wanted(session, account)


def _asks_for_secrets(login: Login) -> Iterator[Target]:
    for step in every(login.steps):
        if isinstance(step, Fill) and any(kind for kind, _ in PLACEHOLDER.findall(step.text)):
            yield step.into


# --- small things ---------------------------------------------------------------------------------------------------


def _logged_out(
    session: _Session, steps: tuple[LogOutStep, ...], where: str
) -> Generator[Sighting, None, Reason | None]:
    """Why it failed; None if it did not, which proves nothing yet."""
    try:
        yield from session._steps(steps, where)
    except (AgentError, Error) as error:
        return Reason(text=N_("it failed: {seen}"), values={"seen": _said(session, error)})
    return None


def _within(session: _Session, url: str) -> bool:
    """Whether it is an address that may be reached now; a redirect may have led elsewhere."""
    try:
        return guard.origin(url) in session.origins
    except ValueError:
        return False


def _page(session: _Session, name: str) -> Page | None:
    try:
        return session._snap(name)
    except (AgentError, Error):
        return None


def _look(name: str, state: SessionState, action: Action, said: Reason | None, page: Page | None) -> Look:
    result: Literal["done", "failed"] = "failed" if action == "log_out" and said is not None else "done"
    return Look(
        fact=SessionChecked(name=name, state=state, action=action, result=result, said=said, page=None), page=page
    )


def _said(session: _Session, error: Exception) -> str:
    told = error.values.get("seen", error.sentence) if isinstance(error, AgentError) else str(error).splitlines()[0]
    return session._redact(str(told))[:200]
