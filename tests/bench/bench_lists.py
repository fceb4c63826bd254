"""A virtual grid of 1,500 rows by 7 columns, gathered whole, against a script that only scrolls through it; the agent's
memory over a list of 10,000 rows on 200 pages; and the records of a slow ERP through four tabs against one."""

from __future__ import annotations

import gc
import json
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from playwright.sync_api import sync_playwright

from scraper_agent import completeness, yamlfile
from scraper_agent.capture import discovery, lists
from scraper_agent.capture.browser import PlaywrightBrowser, Settings
from scraper_agent.ports import Page
from scraper_agent.recipe import List, Recipe
from scraper_agent.values import Completeness, ListRead
from tests.gauntlet.listing import HERE, certified, components, harvest, recipe, script, served, truth

RUNS = 3
ROWS, COLUMNS = 1500, 7
PAGES, SIZE = 200, 50
RECORDS, TABS, DELAY_S = 60, 4, 0.15
_SCROLL = """async css => {
  const box = document.querySelector(css), frame = () => new Promise((r) => requestAnimationFrame(() => r()));
  for (let x = 0; ; x = box.scrollWidth - box.clientWidth) {
    box.scrollLeft = x;
    for (let y = 0; ; y += box.clientHeight) {
      box.scrollTop = y;
      await frame();
      if (box.scrollTop + box.clientHeight >= box.scrollHeight - 1) break;
    }
    if (x >= box.scrollWidth - box.clientWidth) break;
  }
}"""


def measure(runs: int = RUNS) -> dict[str, float]:
    """Medians in ms, and the growth of memory in MB between the first tenth of a long list and its end."""
    return {**_grid(runs), "memory_mb": _memory(), **_tabs()}


def _grid(runs: int) -> dict[str, float]:
    heads, rows = truth(ROWS, COLUMNS)
    answers = {
        "/page": (HERE / "grid_slickgrid.html").read_text(encoding="utf-8"),
        "/data.js": f"const HEADS = {script(heads)}, ROWS = {script(rows)};",
    }
    (step,) = (s for s in yamlfile.load(HERE / "grid_slickgrid.yaml", Recipe).steps if isinstance(s, List))
    assert step.grid is not None
    wanted = {"rows": step.rows, "grid": step.grid.model_dump(), "key": step.key, "link": None, "busy": None}
    scrolled, gathered = [], []
    with served(answers, npm=components()) as base, sync_playwright() as playwright:
        chromium = discovery.launch(playwright, None, headless=True, tell=print)
        tab = chromium.new_page(viewport={"width": 1600, "height": 1200})
        tab.add_init_script(lists.SCRIPT)
        for _ in range(runs):
            tab.goto(f"{base}/page")
            tab.wait_for_selector(".slick-row")
            scrolled.append(_ms(lambda: tab.evaluate(_SCROLL, ".slick-viewport")))
            tab.goto(f"{base}/page")
            tab.wait_for_selector(".slick-row")
            found: list[Mapping[str, list[object]]] = []
            gathered.append(
                _ms(lambda: found.append(tab.evaluate("w => window.__agentLists.gather(w)", wanted | {"limit": 3000})))  # noqa: B023
            )
            assert len(found[0]["rows"]) == ROWS
        chromium.close()
    only, whole = statistics.median(scrolled), statistics.median(gathered)
    return {"scroll_ms": only, "gather_ms": whole, "ratio": whole / only}


def _memory() -> float:
    """Resident memory of the agent's process (Linux), at the end of 200 pages more than after 20, in MB."""
    page = (HERE / "list_any.html").read_text(encoding="utf-8").replace("let per = 10;", f"let per = {SIZE};")
    held: list[float] = []

    def rows(query: Mapping[str, str]) -> str:
        start = int(query["from"])
        if start in (SIZE * PAGES // 10, SIZE * (PAGES - 1)):
            gc.collect()
            held.append(
                int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize() / 1e6
            )
        made = [{"no": f"N{n}", "sum": "1.00"} for n in range(start, start + SIZE)]
        return json.dumps({"total": PAGES * SIZE, "rows": made})

    with served({"/list": page, "/rows": rows}) as base:
        step = {"do": "list", "name": "long", "rows": ".row", "key": ".no", "declared": {"css": ".total"}}
        seen = harvest(
            recipe(
                {"do": "open", "url": "${base}/list?way=next"},
                {"do": "wait", "until": {"css": ".total:has-text('共')"}},
                step | {"next": {"css": "a.next"}},
            ),
            base,
        )
    read = certified(seen)
    assert (read.harvested, completeness.of(read)) == (PAGES * SIZE, Completeness.PLAUSIBLE)
    return held[-1] - held[0]


_RECORD = """<!doctype html><title>订单</title><h1></h1><table><tbody></tbody></table><script>
fetch("/lines" + location.search).then((r) => r.json()).then((r) => {
  document.querySelector("h1").innerText = r.no;
  document.querySelector("tbody").innerHTML = r.lines.map((n) => `<tr><td>${n}<td>轴承<td>1,234.50`).join("");
});
</script>"""


def _tabs() -> dict[str, float]:
    """Records in ms each, from the list's end on: a page, and the question for its lines that it asks by itself."""

    def lines(query: Mapping[str, str]) -> str:
        return json.dumps({"no": query["no"], "lines": list(range(1, 21))})

    rows = "".join(f"<p class=row><a href='/record?no=N{n}'>N{n}</a></p>" for n in range(RECORDS))
    how = recipe(
        {"do": "open", "url": "${base}/list"},
        {
            "do": "list",
            "name": "orders",
            "rows": ".row",
            "open": {"how": "link", "target": "a"},
            "steps": [{"do": "wait", "until": {"css": "tr >> nth=0"}}, {"do": "snap", "name": "page"}],
        },
    )
    took = {}
    with served({"/list": rows, "/record": _RECORD, "/lines": lines}, delay_s=DELAY_S) as base:
        for tabs in (1, TABS):
            browser = PlaywrightBrowser(settings=Settings(images=False, tabs=tabs), secret=str)
            started, ended, pages = 0.0, 0.0, 0
            for seen in browser.harvest(how, {"base": base}):
                if isinstance(seen, ListRead):
                    started = time.perf_counter()
                pages += isinstance(seen, Page)
                ended = time.perf_counter()
            assert pages == RECORDS
            took[tabs] = (ended - started) * 1000 / RECORDS
    return {"one_tab_ms": took[1], "four_tabs_ms": took[TABS], "faster_by_tabs": took[1] / took[TABS]}


def _ms(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    for name, number in measure().items():
        print(f"{name:>20} {number:10.2f}")
