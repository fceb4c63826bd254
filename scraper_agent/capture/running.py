"""The browser's process: it can be ended where it does not answer any more, and started again."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from playwright.sync_api import Browser, BrowserContext

from scraper_agent.errors import AgentError


class Ended(Exception):
    """The browser has ended, or was ended, while `url` was read; `error` is what is told of it."""

    def __init__(self, error: AgentError, url: str) -> None:
        super().__init__(str(error))
        self.error, self.url = error, url


@dataclass
class Running:
    """`start` starts a browser."""

    start: Callable[[], Browser]
    browser: Browser = field(init=False)
    pid: int = field(init=False)

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.browser = self.start()
        asked = self.browser.new_browser_cdp_session()
        processes = asked.send("SystemInfo.getProcessInfo")["processInfo"]
        asked.detach()
        self.pid = next(each["id"] for each in processes if each["type"] == "browser")

    def kill(self) -> None:
        """End it without asking it; what was asked of it fails at once. Its other processes end with it."""
        if self.browser.is_connected():
            with contextlib.suppress(OSError):  # it has just gone by itself
                os.kill(self.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)

    def again(self) -> None:
        self.kill()
        self.browser.close()
        self._begin()


Renew = Callable[[], BrowserContext]
"""Starts the browser again, and gives a context in it."""
