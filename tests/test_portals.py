"""The single-window rule, SES-1 to SES-10 and its eight cases, against two portals that share a browser's cookies.

The rule: before the account of Shanghai's portal is used, an account of the national one that is still logged in is
logged out; whatever is not known stops the run.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from lxml import html
from playwright.sync_api import Browser, BrowserContext, Error
from playwright.sync_api import Page as Tab

from scraper_agent import canonical, report
from scraper_agent.authoring import load
from scraper_agent.authoring.explain import explain
from scraper_agent.capture import browser, discovery
from scraper_agent.capture.browser import PlaywrightBrowser, Settings
from scraper_agent.errors import AgentError, NeedsPerson, SourceErrors, UsageError
from scraper_agent.formats import FORMATS
from scraper_agent.pipeline import Plan
from scraper_agent.ports import Look, Page, Sighting
from scraper_agent.recipe import Open, Recipe
from scraper_agent.sandbox.portals import LATER, NATIONAL_USER, OTHER_USER, USER, Case, Portals, Visitor
from scraper_agent.sending import https
from scraper_agent.values import Parked, Refused, RunEnded, SessionChecked, Snapshot
from tests import chromium as running
from tests.gauntlet import listing
from tests.world import NOW, PLAN, RUN, World

PASSWORD = "query-only-7"  # noqa: S105 - of the portals this file starts
PATH = Path(__file__).parents[1] / "recipes" / "portal" / "receipt.yaml"
LOADED = load.load(PATH, FORMATS)
RECEIPTS = ["3001", "3002", "3003"]
SHOWN = "2026-05-06 09:30:00"
ENTERED = ["national logged_out go_on", "login logged_in go_on", "account right_account go_on", "ready operable go_on"]


@dataclass
class Ran:
    """What one run saw, and what reached the portals."""

    portals: Portals
    urls: dict[str, str]
    seen: list[Sighting] = field(default_factory=list)
    error: AgentError | None = None

    @property
    def looks(self) -> list[str]:
        return [f"{s.fact.name} {s.fact.state} {s.fact.action}" for s in self.seen if isinstance(s, Look)]

    @property
    def read(self) -> list[str]:
        return [s.url.partition("/receipts/")[2] for s in self.seen if isinstance(s, Page)]

    def asked(self, portal: str) -> list[str]:
        return [f"{m} {path}" for at, m, path in self.portals.asked if at == portal]

    @property
    def blocked(self) -> str:
        """Code and sentence of what stopped the run before anything was read."""
        assert isinstance(self.error, NeedsPerson)
        assert self.error.exit_code == 5
        assert self.read == []
        return re.sub(r"http://127\.0\.0\.1:\d+", "PORTAL", f"{self.error.code} {self.error.sentence}")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with running.chromium() as found:
        yield found


@dataclass
class Trial:
    """Runs a recipe against the portals in a context of its own, as `PlaywrightBrowser.harvest` does."""

    chromium: Browser

    def run(
        self,
        of: Case | Portals,
        recipe: Recipe = LOADED.recipe,
        *,
        images: bool = False,
        meanwhile: Callable[[Tab, Sighting], None] = lambda _tab, _sighting: None,
        **parameters: str,
    ) -> Ran:
        portals = Portals(PASSWORD, case=of) if isinstance(of, Case) else of
        with portals:
            urls = {"base": portals.url("shanghai"), "national": portals.url("national")}
            ran = Ran(portals, urls)
            context = self.chromium.new_context(locale="zh-CN", service_workers="block")
            try:
                session = self.session(context, recipe, {**urls, "user": USER, **parameters}, images=images)
                for sighting in session.run():
                    ran.seen.append(sighting)
                    meanwhile(session.page, sighting)
            except AgentError as error:
                ran.error = error
            finally:
                context.close()
        return ran

    def session(
        self, context: BrowserContext, recipe: Recipe, parameters: dict[str, str], *, images: bool
    ) -> browser._Session:
        return browser._Session(Settings(images=images, tabs=1), recipe, parameters, lambda _name: PASSWORD, context)


@pytest.fixture(scope="module")
def trial(chromium: Browser) -> Trial:
    return Trial(chromium)


@pytest.fixture(scope="module")
def case(trial: Trial) -> Callable[[Case], Ran]:
    """One run of the shipped recipe for each case."""
    known: dict[Case, Ran] = {}

    def run(of: Case) -> Ran:
        if of not in known:
            known[of] = trial.run(of, hasty())
        return known[of]

    return run


def hasty(**apart: Any) -> Recipe:
    """The shipped recipe, with less patience for what never comes, and with other markers."""
    recipe = LOADED.recipe
    assert recipe.login is not None
    assert recipe.login.ready is not None
    national = {**recipe.apart[0].model_dump(by_alias=True, exclude_none=True), **apart}
    ready = recipe.login.ready.model_copy(update={"timeout_s": 2})
    login = recipe.login.model_copy(update={"ready": ready})
    changed = recipe.model_copy(update={"login": login})
    return Recipe.model_validate({**changed.model_dump(by_alias=True, exclude_none=True), "apart": [national]})


# --- the eight cases ------------------------------------------------------------------------------------------------


def test_case_1_nobody_is_logged_in_anywhere(case: Callable[[Case], Ran]) -> None:
    ran = case(Case.NOBODY)
    assert (ran.error, ran.looks) == (None, ENTERED)
    assert ran.read == RECEIPTS


def test_case_2_the_national_account_is_logged_in_and_its_logout_works(case: Callable[[Case], Ran]) -> None:
    ran = case(Case.NATIONAL)
    assert (ran.error, ran.looks) == (None, ["national logged_in log_out", *ENTERED])
    assert ran.read == RECEIPTS


def test_case_3_the_logout_of_the_national_account_fails(case: Callable[[Case], Ran]) -> None:
    ran = case(Case.LOGOUT_FAILS)
    assert ran.blocked == "SA2261 national: somebody is still logged in at PORTAL/ after logging out 2 time(s)"
    assert ran.looks == ["national logged_in log_out"] * 2 + ["national logged_in stop"]
    assert ran.asked("shanghai") == []


def test_case_4_the_national_portal_cannot_be_reached(case: Callable[[Case], Ran]) -> None:
    ran = case(Case.UNREACHABLE)
    assert ran.blocked == (
        "SA2260 national: whether somebody is logged in at PORTAL/ is not known: "
        "it does not open: Page.goto: net::ERR_EMPTY_RESPONSE at PORTAL/"
    )
    assert ran.looks == ["national unknown stop"]
    assert ran.asked("shanghai") == []


def test_case_5_the_right_account_is_logged_in_at_shanghai_already(case: Callable[[Case], Ran]) -> None:
    ran = case(Case.RIGHT_ACCOUNT)
    assert (ran.error, ran.looks) == (None, ENTERED)
    assert "POST /login" not in ran.asked("shanghai")
    assert ran.read == RECEIPTS


def test_case_6_another_account_is_logged_in_at_shanghai(case: Callable[[Case], Ran]) -> None:
    ran = case(Case.OTHER_ACCOUNT)
    assert ran.error is None
    assert ran.looks == [*ENTERED[:2], "account other_account log_out", *ENTERED[2:]]
    assert ran.asked("shanghai").count("POST /login") == 1
    assert [v.account for v in ran.portals.visitors.values()] == [USER]
    assert ran.read == RECEIPTS


def test_case_7_the_role_page_shows_but_cannot_be_operated(case: Callable[[Case], Ran]) -> None:
    ran = case(Case.ROLE_DISABLED)
    assert ran.blocked == ("SA2264 the page PORTAL/roles cannot be operated: button 企业关务查询 cannot be pressed")
    assert ran.looks == [*ENTERED[:3], "ready inoperable check_again", *ENTERED[:3], "ready inoperable stop"]
    assert "GET /receipts" not in ran.asked("shanghai")


def test_case_8_the_national_account_logs_in_during_the_run(case: Callable[[Case], Ran]) -> None:
    ran = case(Case.NATIONAL_LATER)
    again = ["session lost check_again", "national logged_in log_out", *ENTERED]
    assert (ran.error, ran.looks) == (None, [*ENTERED, *again])
    assert ran.read == RECEIPTS  # none twice, none left out
    assert all(NATIONAL_USER.encode() not in s.frozen for s in ran.seen if isinstance(s, Page))


# --- SES-1 to SES-10 ------------------------------------------------------------------------------------------------


def test_ses_1_before_anything_else_the_check_runs_in_the_browser_context_that_is_used(
    case: Callable[[Case], Ran],
) -> None:
    ran = case(Case.NATIONAL)
    first = next(n for n, (portal, _, _) in enumerate(ran.portals.asked) if portal == "shanghai")
    assert [(m, path) for _, m, path in ran.portals.asked[:first] if "static" not in path][:3] == [
        ("GET", "/"), ("GET", "/logout"), ("GET", "/"),
    ]  # fmt: skip
    (visitor,) = ran.portals.visitors.values()  # one cookie for both portals, which ignore each other's port
    assert (visitor.national, visitor.shanghai) == ("", USER)


@pytest.mark.parametrize(
    ("marks", "why"),
    [
        ({"logged_in": {"css": "body"}}, "both css body and link 登录 show"),
        ({"logged_out": {"css": ".none"}}, "neither link 退出 nor css .none shows"),
        ({"logged_out": {"css": "css["}}, "it does not open: "),
    ],
)
def test_ses_2_a_page_that_does_not_tell_exactly_one_state_is_unknown(
    trial: Trial, marks: dict[str, Any], why: str
) -> None:
    ran = trial.run(Case.NOBODY, hasty(**marks, timeout_s=3))
    assert ran.blocked.startswith(f"SA2260 national: whether somebody is logged in at PORTAL/ is not known: {why}")
    assert ran.looks == ["national unknown stop"]


def test_ses_2_a_page_of_another_site_tells_no_state(trial: Trial) -> None:
    """As a hotel's or a proxy's login page does, which shows 登录 as well."""
    with listing.served({"/": "<a href=/>登录</a>"}) as elsewhere, Portals(PASSWORD, sent_to=elsewhere) as leading:
        ran = trial.run(Case.NOBODY, hasty(), national=leading.url("shanghai"))
    assert ran.blocked.endswith("is not known: it led to PORTAL/, which is no address of the recipe")
    assert ran.looks == ["national unknown stop"]


def test_ses_2_an_error_page_tells_no_state(trial: Trial) -> None:
    """It shows 登录 as well."""
    assert trial.run(Case.MAINTENANCE, hasty()).blocked.endswith("is not known: the answer is 503")


def test_ses_3_it_is_logged_out_loaded_anew_and_looked_at_again_at_most_twice(case: Callable[[Case], Ran]) -> None:
    once, twice = case(Case.NATIONAL).asked("national"), case(Case.LOGOUT_FAILS).asked("national")
    round_ = ["GET /logout", "GET /", "GET /"]  # where the logout leads, and the page loaded anew
    assert (once, twice) == (["GET /", *round_], ["GET /", *round_, *round_])


@pytest.mark.parametrize("failing", [Case.LOGOUT_FAILS, Case.UNREACHABLE])
def test_ses_4_nothing_is_done_with_the_national_session_and_a_person_is_told(
    case: Callable[[Case], Ran], failing: Case
) -> None:
    ran = case(failing)
    assert (ran.asked("shanghai"), ran.read) == ([], [])
    assert isinstance(ran.error, NeedsPerson)
    assert ran.error.hint


def test_ses_4_a_portal_that_never_answers_is_not_waited_for_without_end(trial: Trial) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = monotonic()
        ran = trial.run(Case.NOBODY, hasty(timeout_s=0.5), national=f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert ran.blocked.endswith("is not known: it does not open: Page.goto: Timeout 500ms exceeded.")
    assert monotonic() - began < 15  # the page under way would keep another from coming to rest for 20


def test_ses_5_the_account_is_typed_only_once_the_national_one_is_logged_out_and_no_password_is_kept(
    case: Callable[[Case], Ran],
) -> None:
    ran = case(Case.NATIONAL)
    typed = ran.portals.asked.index(("shanghai", "POST", "/login"))
    assert max(n for n, (portal, _, _) in enumerate(ran.portals.asked) if portal == "national") < typed
    assert PASSWORD not in repr(ran.seen)
    assert PASSWORD not in PATH.read_text(encoding="utf-8")


class ComesWithTheLogin(Portals):
    """The national account comes in while the Shanghai one logs in, once."""

    def log_in(self, portal: Any, visitor: Visitor, form: Any) -> bool:
        known = super().log_in(portal, visitor, form)
        if not visitor.disturbed:
            visitor.national, visitor.disturbed = NATIONAL_USER, True
        return known


def test_ses_6_where_the_role_cannot_be_entered_all_is_checked_once_more(trial: Trial) -> None:
    recipe = hasty()
    assert recipe.login is not None
    without = recipe.model_copy(update={"login": recipe.login.model_copy(update={"account": None})})
    ran = trial.run(ComesWithTheLogin(PASSWORD), without)
    entered = [look for look in ENTERED if not look.startswith("account")]
    again = ["ready inoperable check_again", "national logged_in log_out", *entered]
    assert (ran.error, ran.looks) == (None, [*entered[:2], *again])
    assert len(ran.read) == len(RECEIPTS)


class Ends(Portals):
    """Shanghai's session ends once, after some receipts."""

    to_national = False

    def read(self, visitor: Visitor) -> None:
        super().read(visitor)
        if visitor.receipts % LATER == 0 and not visitor.disturbed:
            self.sent_to = f"{self.url('national')}/login" if self.to_national else "/login"
            visitor.shanghai, visitor.disturbed, visitor.role = "", True, False


class EndsAtTheList(Portals):
    """Shanghai's session ends each time the list is shown: no receipt is ever reached."""

    def render(self, template: str, **values: object) -> str:
        if template == "list":
            self.sent_to = "/login"
            for visitor in self.visitors.values():
                visitor.shanghai, visitor.role = "", False
        return super().render(template, **values)


def test_ses_7_a_redirect_to_the_login_is_a_lost_session_and_all_is_checked_anew(trial: Trial) -> None:
    ran = trial.run(Ends(PASSWORD), hasty())
    assert (ran.error, ran.looks) == (None, [*ENTERED, "session lost check_again", *ENTERED])
    assert ran.read == RECEIPTS


def test_ses_7_a_session_that_is_lost_again_is_left_to_a_person(trial: Trial) -> None:
    ran = trial.run(EndsAtTheList(PASSWORD), hasty())
    assert isinstance(ran.error, NeedsPerson)
    assert re.sub(r"http://[\d.:]+", "PORTAL", str(ran.error).splitlines()[0]) == (
        "SA2218 the session ended at PORTAL/login label 密码 though the agent had logged in again; "
        "logins after the first: 1"
    )
    assert ran.looks == [*ENTERED, "session lost check_again", *ENTERED, "session lost stop"]


def test_ses_7_a_redirect_to_the_national_login_is_a_lost_session_and_no_password_is_typed_there(
    trial: Trial,
) -> None:
    portals = Ends(PASSWORD)
    portals.to_national = True
    ran = trial.run(portals, hasty())
    assert ran.looks == [*ENTERED, "session lost check_again", ENTERED[0]]
    assert isinstance(ran.error, NeedsPerson)
    assert ran.error.code == "SA2268"
    assert "POST /login" not in ran.asked("national")


def test_ses_8_outside_of_the_check_the_national_portal_is_not_asked(trial: Trial) -> None:
    def ask(tab: Tab, sighting: Sighting) -> None:
        if isinstance(sighting, Page) and sighting.url.endswith("3001"):
            national = portals.url("national") + "/news"
            tab.evaluate("url => fetch(url, {mode: 'no-cors'}).catch(() => undefined)", national)

    portals = Portals(PASSWORD)
    ran = trial.run(portals, meanwhile=ask)
    assert (ran.error, ran.asked("national")) == (None, ["GET /"])
    (refused,) = (s for s in ran.seen if isinstance(s, Refused))
    assert (refused.url, refused.reason) == (f"{ran.urls['national']}/news", "not the ERP's own address")


def everyday(chromium: Browser, profile: Path) -> BrowserContext:
    """The same browser with a profile in a folder."""
    for _, options in discovery._candidates():
        with suppress(Error):
            return chromium.browser_type.launch_persistent_context(profile, args=["--no-sandbox"], **options)  # type: ignore[arg-type]
    raise AssertionError


def test_ses_8_and_9_a_browser_of_a_person_keeps_its_logins_and_lends_the_robot_none(
    chromium: Browser, tmp_path: Path
) -> None:
    """The person's browser has a profile in a folder, the robot's none; one logs out, the other stays logged in."""
    portals = Portals(PASSWORD, case=Case.NATIONAL)
    with portals:
        person = everyday(chromium, tmp_path)
        page = person.new_page()
        page.goto(portals.url("national"))
        before = person.cookies()
        parameters = {"base": portals.url("shanghai"), "national": portals.url("national"), "user": USER}
        agent = PlaywrightBrowser(settings=Settings(images=False), secret=lambda _name: PASSWORD)
        with ThreadPoolExecutor(1) as own:  # Playwright runs once in a thread
            seen = own.submit(lambda: list(agent.harvest(LOADED.recipe, parameters))).result()
        page.reload()
        assert page.locator(".user").inner_text() == NATIONAL_USER
        assert person.cookies() == before
        person.close()
    assert sum(isinstance(s, Page) for s in seen) == len(RECEIPTS)
    assert [v.account for v in portals.visitors.values()] == [NATIONAL_USER, USER]


@dataclass(frozen=True)
class Shared:
    """A browser for the pipeline: a context of the one that is running."""

    trial: Trial
    case: Case

    def harvest(
        self, recipe: Recipe, parameters: Mapping[str, str], done: frozenset[str] = frozenset()
    ) -> Iterator[Sighting]:
        ran = self.trial.run(self.case, recipe, images=True)
        yield from ran.seen
        if ran.error is not None:
            raise ran.error


@pytest.mark.parametrize("of", [Case.NATIONAL, Case.LOGOUT_FAILS])
def test_ses_10_every_step_is_in_the_log_with_its_time_and_its_page_and_no_password(
    trial: Trial, tmp_path: Path, of: Case
) -> None:
    plan = Plan(
        **{f.name: getattr(PLAN, f.name) for f in fields(PLAN)} | {"recipe": hasty(), "lookups": LOADED.lookups}
    )
    transport = https.HttpsTransport(https.Config(kind="https", url="http://127.0.0.1:9/"))
    world = World(tmp_path, tmp_path, transport, {})
    with transport, world.pipeline() as pipeline:
        stopped = None
        try:
            pipeline.harvest(RUN, plan, Shared(trial, of))
        except NeedsPerson as error:
            stopped = error.code
        entries = [e for e in pipeline.archive.entries() if e.job == RUN]  # type: ignore[attr-defined]
        report.write(tmp_path / "report.html", pipeline.archive, [RUN], [], FORMATS, now=NOW, verified=None)
        bodies = [
            pipeline.archive.get(d)
            for e in entries
            if isinstance(e.fact, Snapshot)
            for d in (e.fact.page, e.fact.image)
            if d
        ]
    facts = [e.fact for e in entries]
    checks = [(n, f) for n, f in enumerate(facts) if isinstance(f, SessionChecked)]
    assert [(f.name, f.state, f.action, f.result) for _, f in checks] == {
        Case.NATIONAL: [
            ("national", "logged_in", "log_out", "done"),
            ("national", "logged_out", "go_on", "done"),
            ("login", "logged_in", "go_on", "done"),
            ("account", "right_account", "go_on", "done"),
            ("ready", "operable", "go_on", "done"),
        ],
        Case.LOGOUT_FAILS: [
            ("national", "logged_in", "log_out", "done"),
            ("national", "logged_in", "log_out", "done"),
            ("national", "logged_in", "stop", "done"),
        ],
    }[of]
    for number, check in checks:
        shown = facts[number - 1]
        assert isinstance(shown, Snapshot)
        assert (shown.page, shown.name, shown.image is not None) == (check.page, f"apart {check.name}", True)
        assert entries[number].at == NOW
        assert canonical.entry(canonical.entry_bytes(entries[number])) == entries[number]
    assert all(PASSWORD.encode() not in body for body in bodies)
    assert PASSWORD not in repr(facts)
    rows = html.parse(tmp_path / "report.html").getroot().cssselect(".sessions tbody tr")
    assert [" ".join(" ".join(row.itertext()).split()) for row in (rows[0], rows[-1])] == {
        Case.NATIONAL: [f"national {SHOWN} logged in logged it out", f"ready {SHOWN} can be operated went on"],
        Case.LOGOUT_FAILS: [f"national {SHOWN} logged in logged it out", f"national {SHOWN} logged in stopped"],
    }[of]
    ended = facts[-1]
    told = ended.code if isinstance(ended, Parked) else None
    assert (told, stopped) == ((None, None) if of is Case.NATIONAL else ("SA2261", "SA2261"))
    assert isinstance(ended, Parked) or (isinstance(ended, RunEnded) and ended.complete)


# --- what else may be wrong -----------------------------------------------------------------------------------------


def with_account(**account: Any) -> Recipe:
    made = hasty().model_dump(by_alias=True, exclude_none=True)
    made["login"] |= {"account": {**made["login"]["account"], **account}, "timeout_s": 2}
    return Recipe.model_validate(made)


def test_another_account_that_may_not_be_logged_out_stops_the_run_and_is_not_named(trial: Trial) -> None:
    ran = trial.run(Case.OTHER_ACCOUNT, with_account(log_out=[]))
    assert (
        ran.blocked == "SA2262 another account is logged in at PORTAL/roles: css .topbar .user does not read `${user}`"
    )
    assert ran.looks == [*ENTERED[:2], "account other_account stop"]
    assert OTHER_USER not in f"{ran.error}{[s.fact for s in ran.seen if isinstance(s, Look)]}"


def test_another_account_that_comes_back_stops_the_run(trial: Trial) -> None:
    """Its logout does nothing, so that the login finds it again."""
    ran = trial.run(Case.OTHER_ACCOUNT, with_account(log_out=[{"do": "open", "url": "${base}/roles"}]))
    assert ran.blocked.startswith("SA2262 another account is logged in")
    assert ran.looks == [*ENTERED[:2], "account other_account log_out", "account other_account stop"]


def test_an_account_that_no_place_shows_stops_the_run(trial: Trial) -> None:
    ran = trial.run(Case.RIGHT_ACCOUNT, with_account(at={"css": ".none"}))
    assert ran.blocked.startswith("SA2263 PORTAL/roles does not tell which account is logged in: css .none")
    assert ran.looks == [*ENTERED[:2], "account unknown stop"]


def test_with_a_session_that_is_not_sure_nothing_is_done_at_the_end_either(trial: Trial) -> None:
    recipe = hasty().model_copy(update={"finally_": (Open(do="open", url="${base}/goodbye"),)})
    assert "GET /goodbye" not in trial.run(EndsAtTheList(PASSWORD), recipe).asked("shanghai")
    assert "GET /goodbye" in trial.run(Case.NOBODY, recipe).asked("shanghai")


def test_a_logout_that_cannot_be_carried_out_is_told_and_tried_again(trial: Trial) -> None:
    ran = trial.run(Case.NATIONAL, hasty(log_out=[{"do": "wait", "until": {"css": ".none"}, "timeout_s": 0.2}]))
    assert ran.blocked.startswith("SA2261 ")
    failed = [s.fact for s in ran.seen if isinstance(s, Look) and s.fact.action == "log_out"]
    assert [(f.result, f.said is not None) for f in failed] == [("failed", True)] * 2


def test_both_portals_at_one_address_are_a_mistake_in_the_config(trial: Trial) -> None:
    ran = trial.run(Case.NOBODY, national="http://127.0.0.1:1", base="http://127.0.0.1:1/sh")
    assert isinstance(ran.error, UsageError)
    assert str(ran.error).startswith("SA2266 `national` is http://127.0.0.1:1, which is an address of the ERP itself")


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ('url: "${base}/receipts"', 'url: "${national}/receipts"', "SA1250"),
        ('url: "${national}/"', 'url: "${region}/"', "SA1210"),
        ('url: "${national}/"', 'url: "https://www.example/"', "SA1211"),
        ('reads: "${user}"', 'reads: "${usr}"', "SA1210"),
        (
            "do: click, on: {role: link, name: 退出}}]\nlogin",
            'do: fill, into: {id: x}, text: "${secret:p}"}]\nlogin',
            "SA1",
        ),
        ("    logged_out: {role: link, name: 登录}\n", "", "SA1"),
    ],
)
def test_a_mistake_in_these_keys_is_told_with_its_line(tmp_path: Path, right: str, wrong: str, told: str) -> None:
    text = PATH.read_text(encoding="utf-8")
    assert right in text
    (tmp_path / "lookups.yaml").write_bytes((PATH.parent / "lookups.yaml").read_bytes())
    (tmp_path / "receipt.yaml").write_text(text.replace(right, wrong), encoding="utf-8")
    with pytest.raises(SourceErrors) as caught:
        load.load(tmp_path / "receipt.yaml", FORMATS)
    assert caught.value.problems[0].code.startswith(told)


def test_two_sessions_elsewhere_have_two_names(tmp_path: Path) -> None:
    text = PATH.read_text(encoding="utf-8")
    start, end = text.index("  - name: national"), text.index("login:\n")
    (tmp_path / "lookups.yaml").write_bytes((PATH.parent / "lookups.yaml").read_bytes())
    (tmp_path / "receipt.yaml").write_text(text[:end] + text[start:end] + text[end:], encoding="utf-8")
    with pytest.raises(SourceErrors) as caught:
        load.load(tmp_path / "receipt.yaml", FORMATS)
    assert [p.code for p in caught.value.problems] == ["SA1251"]


def test_the_recipe_in_words_tells_of_the_checks() -> None:
    told = "\n".join(explain(LOADED))
    assert "nobody may be logged in at national, ${national}/" in told
    assert "[.topbar .user] must read ${user}" in told
    assert "It clicks [button 企业关务查询], which must lead to [heading 工作台]." in told
