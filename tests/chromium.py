"""A real browser for tests that look at single pages, and one that the runs of a file share: a start takes a second."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import pytest
from playwright.sync_api import Browser, BrowserContext, ProxySettings, sync_playwright

from scraper_agent.capture import discovery, proxy
from scraper_agent.capture.browser import PlaywrightBrowser
from scraper_agent.capture.running import Running
from scraper_agent.recipe import Recipe


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Whichever browser the agent itself would find. One at a time in a thread: so is Playwright's sync API."""
    with sync_playwright() as playwright:
        browser = discovery.launch(playwright, None, headless=True, tell=print)
        yield browser
        browser.close()


@dataclass
class _Through:
    """A browser whose contexts each have the proxy of their run. It is not ended for one of them."""

    started: Browser
    door: proxy.Proxy

    @property
    def browser(self) -> _Through:
        return self

    def kill(self) -> None:
        raise AssertionError("the browser that the file shares does not answer")

    again = kill

    def new_context(self, **options: Any) -> BrowserContext:
        through: ProxySettings = {
            "server": f"http://127.0.0.1:{self.door.port}",
            "username": self.door.user,
            "password": self.door.password,
        }
        return self.started.new_context(proxy=through, **options)


class Sharing(PlaywrightBrowser):
    """The agent's own, with a proxy for each run, but in a browser that has started already if there is one."""

    started: ClassVar[Browser | None] = None

    @contextlib.contextmanager
    def _launched(
        self,
        recipe: Recipe,
        parameters: Mapping[str, str],
        *,
        headless: bool,
    ) -> Iterator[tuple[Running, proxy.Proxy | None]]:
        if self.started is None:
            with super()._launched(recipe, parameters, headless=headless) as launched:
                yield launched
            return
        with self._door(recipe, parameters) as door:
            yield cast("Running", _Through(self.started, door)), door


@pytest.fixture(scope="module")
def shared() -> Iterator[None]:
    """Within it `Sharing` runs in one browser, which reaches nothing but by a proxy."""
    with proxy.Proxy(origins=frozenset()) as nowhere, sync_playwright() as playwright:
        Sharing.started = discovery.launch(playwright, None, headless=True, tell=print, door=nowhere)
        yield
        Sharing.started.close()
        Sharing.started = None
