"""What the browser does that no recipe shows. What recipes do: the tests of the demo and of Tryton."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import sync_playwright

from scraper_agent.capture import browser, discovery
from tests.world import RECIPE

JPEG = b"\xff\xd8\xff"
PAGE = "data:text/html,<title>t</title><p>12.50"


def test_an_image_that_the_browser_first_refuses_is_taken_another_way() -> None:
    """Chromium answers "Unable to capture screenshot" now and then, in about 1 of 50 new tabs when it is busy."""
    settings = browser.Settings()
    with sync_playwright() as playwright:
        chromium = discovery.launch(playwright, None, headless=True, tell=print)
        context = chromium.new_context(viewport={"width": settings.width, "height": settings.height})
        session = browser._Session(settings, RECIPE, {}, lambda name: name, context, logged_in=True)
        context.add_init_script(browser._SETTLE)
        session.page = session.home = context.new_page()
        session.page.goto(PAGE)
        quick = session._snap("page").image
        session.cdps[session.page].detach()  # it refuses whatever is asked of it
        slow = session._snap("page").image
        chromium.close()
    assert (quick or b"").startswith(JPEG)
    assert (slow or b"").startswith(JPEG)


def test_what_is_being_faded_in_is_waited_for() -> None:
    """A window that opens is invisible at first; frozen then, its fields would be hidden ones."""
    with sync_playwright() as playwright:
        chromium = discovery.launch(playwright, None, headless=True, tell=print)
        page = chromium.new_page()
        page.add_init_script(browser._SETTLE)
        page.goto("data:text/html,<style>p{opacity:0;transition:opacity .4s}p.in{opacity:1}</style><p id=p>12.50")
        page.evaluate("() => { document.body.offsetTop; document.getElementById('p').className = 'in'; }")
        assert page.evaluate("() => window.__agent.settle(10, 5000, null)")
        opacity = page.evaluate("() => getComputedStyle(document.getElementById('p')).opacity")
        chromium.close()
    assert opacity == "1"


def test_the_browser_is_started_without_what_nobody_looks_at() -> None:
    """Of two `--disable-features` Chromium obeys the last: what Playwright itself switches off has to be in ours.

    Where this fails after an upgrade of Playwright, `discovery._PLAYWRIGHT_OFF` is to be what the left side shows.
    """
    with sync_playwright() as playwright:
        chromium = discovery.launch(playwright, None, headless=True, tell=print)
        root = chromium.new_browser_cdp_session()
        (pid,) = (p["id"] for p in root.send("SystemInfo.getProcessInfo")["processInfo"] if p["type"] == "browser")
        said = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
        its_own, ours = (each.partition("=")[2].split(",") for each in said if each.startswith("--disable-features="))
        chromium.close()
    assert set(its_own) == set(discovery._PLAYWRIGHT_OFF)
    assert ours == [*its_own, "WebUIOmniboxPopup", "WebUIOmniboxAimPopup"]
