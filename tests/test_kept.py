"""Sessions that a person logged in to: kept encrypted, used by later runs, and never given to anybody else."""

from __future__ import annotations

import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from scraper_agent.capture import kept, login
from scraper_agent.capture.browser import PlaywrightBrowser, Settings, _Session
from scraper_agent.errors import NeedsPerson
from scraper_agent.messages import N_
from scraper_agent.ports import PersonNeeded, Sighting
from scraper_agent.recipe import Recipe
from scraper_agent.values import Outcome
from tests.gauntlet import sessions
from tests.gauntlet.sessions import Erp, orders, recipe_data

OWNER = kept.Owner(erp="gone", account="sm3:1", origins=("http://erp.example:80",))
KEPT = kept.Kept(
    state={"cookies": [{"name": "session", "value": "c4nary-cookie"}], "origins": []},
    tabs={"http://erp.example": {"token": "c4nary-token"}},
)


# --- the file -------------------------------------------------------------------------------------------------------


def test_what_is_kept_comes_back_and_cannot_be_read_without_the_secret(tmp_path: Path) -> None:
    path = tmp_path / "sessions" / "gone.session"
    kept.write(path, KEPT, OWNER, "secret")
    assert kept.read(path, OWNER, lambda: "secret") == KEPT
    assert b"c4nary" not in path.read_bytes()
    assert [p.name for p in path.parent.iterdir()] == ["gone.session"]


def test_a_session_that_is_kept_again_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "gone.session"
    path.write_text("older")
    path.chmod(0o644)
    kept.write(path, KEPT, OWNER, "secret")
    assert kept.read(path, OWNER, lambda: "secret") == KEPT
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_where_nothing_is_kept_no_key_is_asked_for(tmp_path: Path) -> None:
    def never() -> str:
        raise AssertionError

    assert kept.read(tmp_path / "gone.session", OWNER, never) is None


@pytest.mark.parametrize(
    ("owner", "secret", "reason"),
    [
        (replace(OWNER, erp="other"), "secret", "it belongs to another ERP, account or address"),
        (replace(OWNER, account="sm3:2"), "secret", "it belongs to another ERP, account or address"),
        (replace(OWNER, origins=("http://evil:80",)), "secret", "it belongs to another ERP, account or address"),
        (OWNER, "other", "it was changed, or the secret that it was made with is another"),
    ],
)
def test_a_session_of_somebody_else_is_not_used(tmp_path: Path, owner: kept.Owner, secret: str, reason: str) -> None:
    path = tmp_path / "gone.session"
    kept.write(path, KEPT, OWNER, "secret")
    before = path.read_bytes()
    with pytest.raises(NeedsPerson) as caught:
        kept.read(path, owner, lambda: secret)
    assert (caught.value.code, caught.value.values["reason"]) == ("SA2223", reason)
    assert path.read_bytes() == before, "only a person removes it"


def test_a_head_that_was_rewritten_for_another_account_does_not_open(tmp_path: Path) -> None:
    path = tmp_path / "gone.session"
    kept.write(path, KEPT, OWNER, "secret")
    path.write_bytes(path.read_bytes().replace(b"sm3:1", b"sm3:2"))
    with pytest.raises(NeedsPerson, match=r"SA2223.*it was changed"):
        kept.read(path, replace(OWNER, account="sm3:2"), lambda: "secret")


def test_every_changed_or_missing_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "gone.session"
    kept.write(path, KEPT, OWNER, "secret")
    whole = path.read_bytes()
    places = (0, len(whole) // 4, len(whole) // 2, len(whole) - 1)
    broken = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in places]
    for damaged in (*broken, whole[:-1], whole[:40], b"", b"\n", b"scraper_agent session 1\n[]\n"):
        path.write_bytes(damaged)
        with pytest.raises(NeedsPerson, match="SA2223"):
            kept.read(path, OWNER, lambda: "secret")


# --- in the browser -------------------------------------------------------------------------------------------------


@pytest.fixture
def erp() -> Iterator[Erp]:
    with sessions.served() as erp:
        erp.stores = True
        yield erp


def recipe(way: str = "click") -> Recipe:
    return Recipe.model_validate(recipe_data(way, quiet_ms=150))


def nobody(name: str) -> str:
    raise NeedsPerson("SA7001", N_("the secret `{name}` is needed, and nobody is here to be asked"), name=name)


def browser(state: kept.Kept | None = None) -> PlaywrightBrowser:
    """Nobody gives it a password. Without a display, the person is played by a script of the login's own page."""
    settings = Settings(images=False, visible_login=False)
    return PlaywrightBrowser(settings=settings, secret=nobody, kept_session=lambda *_: state)


def parameters(erp: Erp) -> dict[str, str]:
    return {"base": erp.base, "user": "operator"}


def attended(erp: Erp) -> kept.Kept:
    erp.person = True
    state = browser().attend(recipe(), parameters(erp))
    erp.person = False
    assert erp.logins == 1
    return state


@pytest.mark.parametrize("way", ["click", "link"])
def test_a_run_goes_on_in_the_session_that_a_person_logged_in_to(tmp_path: Path, erp: Erp, way: str) -> None:
    """Cookies, localStorage, IndexedDB, and sessionStorage, which every tab of a list by links needs as well."""
    path, owner = tmp_path / "gone.session", kept.owner(recipe(), parameters(erp))
    kept.write(path, attended(erp), owner, "secret")
    seen = list(browser(kept.read(path, owner, lambda: "secret")).harvest(recipe(way), parameters(erp)))
    assert orders(seen) == ["1", "2", "3", "4"]
    assert erp.logins == 1


def test_a_kept_session_that_has_expired_needs_a_person_where_no_login_can_be_made(erp: Erp) -> None:
    state = attended(erp)
    erp.alive.clear()
    seen: list[Sighting] = []
    with pytest.raises(PersonNeeded) as caught:
        seen.extend(browser(state).harvest(recipe(), parameters(erp)))
    assert (caught.value.outcome, caught.value.code, erp.logins) == (Outcome.EXPIRED, "SA2221", 1)
    assert orders(seen) == []


@pytest.mark.parametrize("ends", ["before the run", "in mid-list"])
def test_a_kept_session_that_ended_is_replaced_by_a_login_where_one_can_be_made(erp: Erp, ends: str) -> None:
    state = attended(erp)
    if ends == "before the run":
        erp.alive.clear()
    else:
        erp.drops = {2}
    able = replace(browser(state), secret=lambda _: sessions.PASSWORD)
    assert orders(list(able.harvest(recipe("link"), parameters(erp)))) == ["1", "2", "3", "4"]
    assert erp.logins == 2


def test_a_login_that_nobody_makes_is_given_up(erp: Erp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "ATTEND_S", 0.0)
    with pytest.raises(NeedsPerson, match="SA2225 nobody logged in"):
        browser().attend(recipe(), parameters(erp))
    assert erp.logins == 0


def test_a_window_that_is_closed_is_told_of(erp: Erp, monkeypatch: pytest.MonkeyPatch) -> None:
    def closing(session: _Session, _target: object) -> bool:
        session.page.close()
        return False

    monkeypatch.setattr(_Session, "_is_shown", closing)
    with pytest.raises(NeedsPerson, match="SA2226"):
        browser().attend(recipe(), parameters(erp))


@pytest.mark.skipif(sys.platform != "linux", reason="the window is looked at by means of X")
def test_a_person_logs_in_in_a_window_that_shows(display: None, erp: Erp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are pressed in the window itself, which Playwright knows nothing of."""
    monkeypatch.setattr(login, "ATTEND_S", 240.0)

    def person() -> None:
        found = ["xdotool", "search", "--sync", "--onlyvisible", "--name", "^t - "]
        window = subprocess.run(found, capture_output=True, text=True, check=True, timeout=120).stdout.split()[0]
        typed = ["key", "Tab", "type", "operator"], ["key", "Tab", "type", sessions.PASSWORD], ["key", "Return"]
        subprocess.run(["xdotool", "windowfocus", "--sync", window], check=True, timeout=60)
        for _ in range(6):
            for keys in typed:
                subprocess.run(["xdotool", *keys], check=True, timeout=60)
            if logged_in(15):
                return
            # Keys that were pressed before the page was there went elsewhere.
            subprocess.run(["xdotool", "key", "F5", "sleep", "6"], check=True, timeout=60)

    def logged_in(seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not erp.logins and time.monotonic() < end:
            time.sleep(0.05)
        return erp.logins > 0

    visible = replace(browser(), settings=Settings(images=False, visible_login=True))
    with ThreadPoolExecutor(1) as hands:
        typed = hands.submit(person)
        state = visible.attend(recipe(), parameters(erp))
        typed.result()
    assert erp.logins == 1
    assert orders(list(browser(state).harvest(recipe(), parameters(erp)))) == ["1", "2", "3", "4"]
