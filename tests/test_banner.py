"""The banner of a browser that shows: on a screen that nobody sees, pressed by a hand that is not Playwright's."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep

import pytest

from scraper_agent.capture.browser import PlaywrightBrowser, Settings
from scraper_agent.capture.held import Hold
from scraper_agent.control import Control
from scraper_agent.ports import Page, Trouble
from scraper_agent.recipe import Recipe
from tests.gauntlet import held
from tests.gauntlet.held import PASSWORD

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the window is looked at by means of X")


def test_its_button_lets_the_run_go_on_and_pauses_it_and_no_page_shows_it(display: None, tmp_path: Path) -> None:
    control = Control(tmp_path / "control", lambda: datetime.now(UTC))
    control.put("pause", "person:li", "cli", "before it began")
    pressed: list[bool] = []
    reading, seen, failed = threading.Event(), threading.Event(), threading.Event()

    def press() -> None:
        pressed.append(control.paused)
        if control.paused:
            control.lift("person:li", "banner", "")
        else:
            control.put("pause", "person:li", "banner", "")
        seen.set()

    def hand() -> None:
        """Presses the button three times: go on, pause, go on."""
        try:
            found = ["xdotool", "search", "--sync", "--onlyvisible", "--name", "^scraper-agent - "]
            subprocess.run(found, capture_output=True, check=True, timeout=180)
            for times in range(1, 4):
                while len(pressed) < times:
                    # Where the button stands in a window at the top left; before the page is there, nothing does.
                    subprocess.run(["xdotool", "mousemove", "67", "113", "click", "1"], check=True, timeout=60)
                    seen.wait(10)
                    seen.clear()
                if times == 1:
                    reading.wait(120)
        except (subprocess.SubprocessError, OSError):
            failed.set()
            control.lift("person:li", "file", "")

    def slow() -> None:
        """The ERP takes its time until the second press, so that the run cannot end before."""
        reading.set()
        end = monotonic() + 180
        while len(pressed) < 2 and monotonic() < end:
            sleep(0.02)

    thread = threading.Thread(target=hand, daemon=True)
    with held.served() as erp:
        erp.at, erp.then = "GET /data/1", slow
        browser = PlaywrightBrowser(
            settings=Settings(headless=False, images=True, patience_s=240),
            secret=lambda _name: PASSWORD,
            hold=Hold(control),
            robot="robot seven",
            press=press,
        )
        thread.start()
        recipe = Recipe.model_validate(held.recipe_data("click"))
        found = list(browser.harvest(recipe, {"base": erp.base, "user": "operator"}))
        thread.join(10)
    assert not failed.is_set()
    assert pressed[:3] == [True, False, True]
    assert [str(each.error) for each in found if isinstance(each, Trouble)] == []
    pages = [each for each in found if isinstance(each, Page)]
    assert sorted(each.url.rpartition("/")[2] for each in pages) == [str(n) for n in range(1, held.ROWS + 1)]
    assert not any(b"robot seven" in each.frozen or b"<button" in each.frozen for each in pages)
