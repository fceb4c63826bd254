"""In a browser that shows: a window above the robot's that says what it does, with a button that pauses it.

It is a window of its own, in a context of its own, and no part of any page of the ERP: no page can see, read, cover or
press it, no step of a recipe can reach it, and nothing of it is frozen or in an image.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Browser, BrowserContext, Error
from playwright.sync_api import Page as Tab

from scraper_agent.messages import N_, render

HEIGHT = 180
"""Pixels, with the frame that the browser gives to a window."""
_PAGE = """<!doctype html><html lang="zh"><meta charset="utf-8"><title>scraper-agent</title><style>
body{margin:0;padding:6px 12px;font:15px/1.35 system-ui,sans-serif;background:#fff3cd;color:#222;display:flex;gap:14px;
align-items:center}body.paused{background:#cfe2ff}button{flex:none;min-width:110px;font:inherit;font-weight:600;
padding:8px 14px;border:2px solid #222;border-radius:6px;background:#fff;color:#222}p{margin:0;overflow-wrap:anywhere}
b{display:block}</style><button type="button"></button><p><b></b><span></span></p></html>"""
_SAY = """([paused, who, step, button]) => {
  document.body.className = paused ? "paused" : "";
  document.querySelector("b").textContent = who;
  document.querySelector("span").textContent = step;
  document.querySelector("button").textContent = button;
}"""


@dataclass(slots=True)
class Banner:
    """Of one run. Once a person has closed the window, there is none."""

    page: Tab
    who: str
    said: tuple[bool, str] | None = None

    @classmethod
    def over(cls, browser: Browser, robot: str, recipe: str, press: Callable[[], None]) -> Banner | None:
        """Open it. `press` hears of the button, in Playwright's own dispatcher: it asks the browser nothing.

        None where no window can be had.
        """
        with contextlib.suppress(Error):
            page = browser.new_context(no_viewport=True).new_page()
            page.expose_binding("pressed", lambda _source: press())
            page.set_content(_PAGE)
            page.evaluate("() => document.querySelector('button').addEventListener('click', () => window.pressed())")
            _place(page.context, page, top=0, height=HEIGHT)
            return cls(page, render(N_("{robot} reads by {recipe}"), {"robot": robot, "recipe": recipe}))
        return None

    def below(self, robot: Tab) -> None:
        """Put the robot's window below it."""
        with contextlib.suppress(Error):
            height = int(self.page.evaluate("() => screen.availHeight"))
            _place(robot.context, robot, top=HEIGHT, height=max(height - HEIGHT, 400))

    def say(self, step: str, *, paused: bool) -> None:
        """What the robot does now."""
        if self.said == (paused, step) or self.page.is_closed():
            return
        self.said = paused, step
        told = render(N_("Paused: {step}"), {"step": step}) if paused else step
        button = render(N_("Go on")) if paused else render(N_("Pause"))
        with contextlib.suppress(Error):
            self.page.evaluate(_SAY, [paused, self.who, told, button])


def _place(context: BrowserContext, page: Tab, *, top: int, height: int) -> None:
    width = int(page.evaluate("() => screen.availWidth"))
    cdp = context.new_cdp_session(page)
    window = cdp.send("Browser.getWindowForTarget")["windowId"]
    bounds = {"left": 0, "top": top, "width": min(width, 1400), "height": height}
    cdp.send("Browser.setWindowBounds", {"windowId": window, "bounds": bounds})
    cdp.detach()
