"""The clock that runs whatever is asked of a page."""

from __future__ import annotations

from time import monotonic

import pytest
from playwright.sync_api import Error

from scraper_agent.capture import limits
from tests.chromium import chromium


def test_what_is_never_answered_although_the_browser_was_ended_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that was being opened when its browser ended; here one that nobody closes."""
    monkeypatch.setattr(limits, "BROWSER_S", 0.2)
    monkeypatch.setattr(limits, "ENDED_S", 0.2)
    ended: list[float] = []
    with chromium() as browser:
        tab = browser.new_page()
        clock = limits.Limits(list, lambda: ended.append(monotonic()), patience_s=0.2)
        clock.allow()
        with pytest.raises(Error, match="has no answer"):
            tab.evaluate("() => new Promise(() => {})")
        clock.end()
        assert len(ended) == 1
        assert tab.evaluate("1 + 1") == 2
