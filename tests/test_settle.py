"""A page has come to rest when nothing moves in it and its framework says that it is done."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

import pytest
from playwright.sync_api import Page as Tab

from tests.chromium import chromium

SETTLE = (resources.files("scraper_agent.capture") / "settle.js").read_text(encoding="utf-8")

BUSY = {
    "ui5 has to draw": ("ui5", "window.sap = {ui: {getCore: () => ({getUIDirty: () => busy})}}"),
    "ui5 shows that it waits": ("ui5", "window.sap = {ui: {}}; wheel('sapUiLocalBusyIndicator')"),
    "adf has not heard from its server": ("adf", "window.AdfPage = {PAGE: {isSynchronizedWithServer: () => !busy}}"),
    "odoo shows that it loads": ("odoo", "wheel('o_loading_indicator')"),
    "frappe asks": ("frappe", "window.frappe = {request: {get ajax_count() { return busy ? 1 : 0; }}}"),
    "frappe is frozen": ("frappe", "window.frappe = {dom: {get freeze_count() { return busy ? 1 : 0; }}}"),
    "sao asks": ("sao", "window.Sao = {common: {processing: {get queries() { return busy ? 1 : 0; }}}}"),
    "half loaded": (
        "adf",
        "window.AdfPage = {PAGE: {get isSynchronizedWithServer() { return busy ? 1 : () => true; }}}",
    ),
}
"""The framework's own signs; the wheel turns without any change of the page, and is put there before it counts."""


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with chromium() as browser:
        page = browser.new_page()
        page.add_init_script(SETTLE)
        page.goto("about:blank")
        yield page


def settled(tab: Tab, profile: str | None, setup: str, limit_ms: int) -> list[bool]:
    """Whether it settled, and whether the framework was still busy then; it is so for 400 ms."""
    found: list[bool] = tab.evaluate(
        f"""async ([profile, limit]) => {{
          for (const name of ["sap", "AdfPage", "frappe", "Sao"]) delete window[name];
          document.body.innerHTML = "";
          let busy = true;
          const wheel = (name) => {{
            const style = document.body.appendChild(document.createElement("style"));
            const turning = document.body.appendChild(document.createElement("div"));
            turning.className = name; turning.textContent = "…";
            setTimeout(() => {{ turning.style.display = "none"; }}, 400);
          }};
          {setup};
          setTimeout(() => {{ busy = false; }}, 400);
          const rested = await window.__agent.settle(30, limit, profile);
          return [rested, busy];
        }}""",
        [profile, limit_ms],
    )
    return found


@pytest.mark.parametrize(("profile", "setup"), BUSY.values(), ids=BUSY.keys())
def test_a_page_rests_only_when_its_framework_does(tab: Tab, profile: str, setup: str) -> None:
    assert settled(tab, None, setup, 2000) == [True, True]
    assert settled(tab, profile, setup, 2000) == [True, False]
    assert settled(tab, profile, setup, 150) == [False, True]


@pytest.mark.parametrize("profile", ["ui5", "adf", "odoo", "frappe", "sao"])
def test_a_page_without_the_framework_rests_too(tab: Tab, profile: str) -> None:
    assert settled(tab, profile, "", 2000) == [True, True]


def test_what_a_page_put_off_until_at_once_is_waited_for(tab: Tab) -> None:
    """As in a library's promises on a busy machine: nothing under way, nothing changes, and yet it is not done."""
    done: bool = tab.evaluate(
        """async () => {
          const field = document.body.appendChild(document.createElement("input"));
          const busy = (ms) => { const until = performance.now() + ms; while (performance.now() < until); };
          let left = 12;
          const hop = () => { busy(25); if (left-- > 0) setTimeout(hop); else field.value = "shown"; };
          setTimeout(hop);
          await window.__agent.settle(30, 5000, null);
          return field.value === "shown";
        }"""
    )
    assert done


def test_work_that_is_put_off_for_ever_is_not_waited_for(tab: Tab) -> None:
    rested: list[bool] = tab.evaluate(
        """async () => {
          document.body.textContent = "changed";
          let on = true;
          const turn = () => { if (on) setTimeout(turn); };
          turn();
          const rested = await window.__agent.settle(30, 5000, null);
          const cleared = setTimeout(() => {});
          clearTimeout(cleared);
          on = false;
          return [rested, await window.__agent.settle(30, 500, null)];
        }"""
    )
    assert rested == [True, True]
