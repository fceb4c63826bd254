"""A served console over a filled archive, and people who are signed in to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

from scraper_agent import console as consoles
from scraper_agent import notes
from scraper_agent.app import App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.errors import AgentError
from scraper_agent.values import SignedIn
from tests.chromium import chromium as real
from tests.console import archive


def until(true: Callable[[], bool]) -> None:
    end = monotonic() + 60
    while not true():
        assert monotonic() < end
        sleep(0.02)


@dataclass
class Served:
    """A console that listens, and its clock."""

    app: App
    console: consoles.Console
    clock: list[datetime]

    @property
    def url(self) -> str:
        return self.console.url

    @property
    def now(self) -> datetime:
        return self.clock[0]

    def later(self, by: timedelta) -> None:
        self.clock[0] += by

    def token(self, name: str) -> str:
        """Signs this person in, once."""
        return self.console.sessions.link(name, self.now)

    @contextmanager
    def client(self, name: str | None = None, *, lang: str = "en") -> Iterator[Client]:
        """HTTP as a page of this console speaks it; signed in, if `name` is given."""
        with Client(base_url=self.url, headers={"Origin": self.url}) as made:
            if name is not None:
                with self.logged():
                    answer = made.post("/sign-in", data={"token": self.token(name), "lang": lang})
                    assert answer.status_code == 303, answer.text
            yield made

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Somebody signs in; afterwards the log says so, and rests."""
        before = self._signed_in()
        yield
        until(lambda: self._signed_in() > before or self._is_written())

    def _signed_in(self) -> int:
        if not (self.app.home / self.app.config.archive).is_file():
            return 0
        with self.app.archive(read_only=True) as log:
            return sum(isinstance(fact, SignedIn) for fact in log.job(notes.JOB).facts)

    def _is_written(self) -> bool:
        """By another process, which takes no orders: what happens at the door is logged after it."""
        try:
            with SqliteArchive(self.app.home / self.app.config.archive, lambda: archive.NOW):
                return False
        except AgentError:
            return True


class Client(httpx.Client):
    def act(self, path: str, page: str = "/", **form: Any) -> httpx.Response:
        """POST a form with the token that `page` has in its own."""
        text = self.get(page).text
        csrf = text.partition('name="csrf" value="')[2].partition('"')[0]
        return self.post(path, data={"csrf": csrf, **form})


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an agent; copied, not used."""
    app = archive.folder(tmp_path_factory.mktemp("console"))
    archive.fill(app)
    return app.home


def copied(of: Path, to: Path) -> App:
    shutil.copytree(of, to, dirs_exist_ok=True)
    return App.load(to / "config.yaml", tell=lambda _: None)


def served(app: App) -> Iterator[Served]:
    clock = [archive.NOW]
    with consoles.serve(app, config=app.home / "config.yaml", port=0, clock=lambda: clock[0]) as console:
        yield Served(app, console, clock)


@pytest.fixture(scope="module")
def console(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Over the archive that the tests of a file share."""
    yield from served(copied(filled, tmp_path_factory.mktemp("shared")))


@pytest.fixture
def own(filled: Path, tmp_path: Path) -> Iterator[Served]:
    """Over an archive of the test's own."""
    yield from served(copied(filled, tmp_path / "own"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with real() as browser:
        yield browser


@dataclass
class People:
    """Opens pages in which somebody is signed in, and fails if such a page complained of anything."""

    browser: Browser
    pages: list[Page] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def _heard(self, said: ConsoleMessage) -> None:
        # A page that asks by itself may do so once more when the console has ended.
        if said.type == "error" and "net::ERR_" not in said.text:
            self.complaints.append(f"{said.text} ({said.location.get('url')})")

    def sign_in(self, served: Served, name: str = "", *, lang: str = "zh", width: int = 1280) -> Page:
        page = self.browser.new_page(viewport={"width": width, "height": 900})
        self.pages.append(page)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        with served.logged():
            page.goto(f"{served.url}/sign-in?lang={lang}#{served.token(name or 'li.na')}")
            page.wait_for_url(f"{served.url}/")
        return page


@pytest.fixture
def people(chromium: Browser) -> Iterator[People]:
    """`people.sign_in(console, "li.na")` gives a page of Chromium."""
    known = People(chromium)
    yield known
    for page in known.pages:
        page.context.close()
    assert not known.complaints
