"""A real browser for tests that look at single pages."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from playwright.sync_api import Browser, sync_playwright

from scraper_agent.capture import discovery


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Whichever browser the agent itself would find. One at a time in a thread: so is Playwright's sync API."""
    with sync_playwright() as playwright:
        browser = discovery.launch(playwright, None, headless=True, tell=print)
        yield browser
        browser.close()
