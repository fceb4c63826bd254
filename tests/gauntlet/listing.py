"""What the list half of the gauntlet shares: pages and the components from npm on loopback, and reading them whole."""

from __future__ import annotations

import http.server
import json
import mimetypes
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from scraper_agent.capture.browser import Settings
from scraper_agent.page import FrozenPage
from scraper_agent.ports import Page, Sighting, Trouble
from scraper_agent.recipe import DocumentRule, Lines, Read, Recipe
from scraper_agent.values import ListRead
from tests.chromium import Sharing
from tests.npm import installed

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache" / "gauntlet"
Answer = Callable[[Mapping[str, str]], str]
"""The query of a request -> HTML or JSON."""


def components() -> Path:
    """The folder `node_modules`, installed once for each lock file."""
    return installed(HERE, CACHE)


@contextmanager
def served(answers: Mapping[str, str | Answer], *, npm: Path | None = None, delay_s: float = 0) -> Iterator[str]:
    """Paths and what they answer; files of the components are below `/npm/`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            if npm is not None and address.path.startswith("/npm/"):
                self._file(npm / address.path.removeprefix("/npm/"))
                return
            answer = answers.get(address.path)
            if answer is None:
                self._send(404, "text/plain", b"")
                return
            time.sleep(delay_s)
            query = {name: found[0] for name, found in parse_qs(address.query).items()}
            body = answer if isinstance(answer, str) else answer(query)
            kind = "application/json" if body[:1] in "[{" else "text/html; charset=utf-8"
            self._send(200, kind, body.encode())

        def _file(self, path: Path) -> None:
            if npm is None or not path.resolve().is_relative_to(npm) or not path.is_file():
                self._send(404, "text/plain", b"")
                return
            self._send(200, mimetypes.guess_type(path.name)[0] or "text/plain", path.read_bytes())

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def recipe(*steps: Mapping[str, object]) -> Recipe:
    """The steps as a recipe; what it does with the page is left to the test."""
    rule = DocumentRule(page="page", record=Read(url=True, pattern="(.+)"), header={}, lines=Lines(values={}))
    return Recipe.model_validate(
        {
            "recipe": "gauntlet/list",
            "version": "1",
            "format": "purchaseOrder",
            "erp": "GAUNTLET",
            "locale": {"group": ","},
            "parameters": {"base": {"type": "url"}},
            "steps": steps,
            "document": rule,
        }
    )


def harvest(of: Recipe, base: str) -> list[Sighting]:
    browser = Sharing(settings=Settings(images=False), secret=lambda name: name)
    return list(browser.harvest(of, {"base": base}))


def certified(sightings: list[Sighting]) -> ListRead:
    (read,) = (s for s in sightings if isinstance(s, ListRead))
    return read


def troubles(sightings: list[Sighting]) -> list[str]:
    return [s.error.code for s in sightings if isinstance(s, Trouble)]


def page(sightings: list[Sighting], name: str = "page") -> Page:
    (found,) = (s for s in sightings if isinstance(s, Page) and s.name == name)
    return found


def values(of: Page, columns: list[str], table: str) -> list[list[str]]:
    """Every row's values by the columns' headers, read as a recipe reads them."""
    frozen = FrozenPage(of.frozen)
    found = frozen.table(set(columns), table)
    return [[frozen.cell(found, row, c).text for c in columns] for row in frozen.rows(found, "tbody tr")]


def truth(rows: int, columns: int) -> tuple[list[str], list[list[str]]]:
    """Headers and rows: a number no two rows share, then amounts, dates and words with Chinese and hostile text."""
    heads = ["单号", *(f"栏位{n}" for n in range(1, columns))]
    made = []
    for r in range(1, rows + 1):
        row = [f"PO-{r:05d}"]
        for c in range(1, columns):
            kinds = (f"{r * 37 + c * 11:,}.{(r * c) % 100:02d}", f"2026-{r % 12 + 1:02d}-{c % 28 + 1:02d}",
                     f'轴承 {r}<{c}>&"', f"{r}-{c}")  # fmt: skip
            row.append(kinds[c % 4])
        made.append(row)
    return heads, made


def script(value: object) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def main() -> None:
    print(components())


if __name__ == "__main__":
    main()
