"""Reading one page of 20 fields and a table of 240 cells, against only loading it and against a call for every cell."""

from __future__ import annotations

import http.server
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

from scraper_agent import canonical, mapping
from scraper_agent.capture import browser, discovery
from scraper_agent.formats import FORMATS
from scraper_agent.recipe import DocumentRule, Lines, Open, Read, Recipe, Snap

RUNS = 15
HEADER = [f for f in FORMATS["foreignInvoice"].header if f.id not in mapping.COMMON_FIELDS][:20]
LINES = FORMATS["foreignInvoice"].lines[:11]
ROWS = 20
QUIET_MS = 60


def value(holds: str, number: int) -> str:
    return {"number": f"{number},234.5", "date": "2026-03-05"}.get(holds, f"V{number}")


def html() -> str:
    """20 labelled fields, half of them in inputs, and 20 rows of 12 cells."""
    fields = "".join(
        f"<div class=f><span class=l>{f.zh}</span>"
        + (f"<input value='{value(f.type.holds, n)}'>" if n % 2 else f"<span>{value(f.type.holds, n)}</span>")
        + "</div>"
        for n, f in enumerate(HEADER)
    )
    head = "".join(f"<th>{f.zh}</th>" for f in LINES) + "<th>备注</th>"
    rows = "".join(
        "<tr>" + "".join(f"<td>{value(f.type.holds, n)}</td>" for f in LINES) + "<td></td></tr>"
        for n in range(1, ROWS + 1)
    )
    style = ".g{display:grid;grid-template-columns:1fr 1fr}.l{display:inline-block;width:160px}td{padding:4px}"
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<meta charset=utf-8><style>{style}</style><div class=g>{fields}</div>{table}"


def recipe() -> Recipe:
    return Recipe(
        recipe="bench/page",
        version="1",
        format="foreignInvoice",
        erp="bench",
        locale={"group": ","},
        steps=(Open(do="open", url="${base}"), Snap(do="snap", name="page")),
        document=DocumentRule(
            page="page",
            record=Read(url=True, pattern="//(.+)$"),
            header={f.id: Read(label=f.zh) for f in HEADER},
            lines=Lines(values={f.id: Read(column=f.zh) for f in LINES}),
        ),
    )


@contextmanager
def served(body: bytes) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/page"
    server.shutdown()
    server.server_close()


def measure(runs: int = RUNS) -> dict[str, float]:
    """Medians in ms. `ratio`: loading and reading through loading, both with the page at rest; `bare_ratio`: not."""
    reader = mapping.Reader(recipe=recipe(), format=FORMATS["foreignInvoice"], lookups={}, profile={})
    cells = len(HEADER) + ROWS * (len(LINES) + 1)
    with served(html().encode()) as url, sync_playwright() as playwright:
        chromium = discovery.launch(playwright, None, headless=True, tell=print)
        context = chromium.new_context(viewport={"width": 1600, "height": 950})
        context.add_init_script(browser._SETTLE)
        tab = context.new_page()

        def load() -> None:
            tab.goto(url)

        def rest() -> None:
            tab.evaluate("q => window.__agent.settle(q, 5000)", QUIET_MS)

        def read() -> None:
            frozen = tab.evaluate(browser._FREEZE, url).encode()
            reading = reader.read(frozen, canonical.digest(frozen))
            assert len(reading.header) == len(HEADER), reading.unread
            assert len(reading.lines) == ROWS
            assert reading.unread == ()

        def cell_by_cell() -> None:
            assert per_cell(tab) >= cells

        load_ms, rest_ms, read_ms, cell_ms = [], [], [], []
        for _ in range(runs + 2):
            load_ms.append(_ms(load))
            rest_ms.append(_ms(rest))
            read_ms.append(_ms(read))
            cell_ms.append(_ms(cell_by_cell))
        chromium.close()
    loaded, rested, done, each = (statistics.median(t[2:]) for t in (load_ms, rest_ms, read_ms, cell_ms))
    return {
        "load_ms": loaded,
        "rest_ms": rested,
        "read_ms": done,
        "cell_by_cell_ms": each,
        "bare_ratio": (loaded + done) / loaded,
        "ratio": (loaded + rested + done) / (loaded + rested),
        "faster_than_cells": each / done,
    }


def per_cell(tab: Page) -> int:
    """One locator call for every field and every cell."""
    count = 0
    for field in tab.locator(".f").all():
        control = field.locator("input")
        _ = control.input_value() if control.count() else field.inner_text()
        count += 1
    for row in tab.locator("tbody tr").all():
        for cell in row.locator("td").all():
            cell.inner_text()
            count += 1
    return count


def _ms(act: Callable[[], None]) -> float:
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    for name, number in measure().items():
        print(f"{name:>20} {number:10.2f}")
