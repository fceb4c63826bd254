"""Serves the hand-made pages of `flow/` at two addresses that a browser takes for two sites.

`{here}` and `{there}` in a page are the address it was asked by and the other one; `{query}` is its query. Pages whose
name ends in `.gbk.html` are sent in GBK, as their own markup says; `slow` in the query makes the answer wait.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

PAGES = Path(__file__).parent / "flow"


@dataclass
class Site:
    """`asked` holds the paths with their queries, in the order in which they came."""

    here: str = ""
    there: str = ""
    asked: list[str] = field(default_factory=list)
    failures: int = 0
    """How many more times `flow_retry.html` answers with a page that lacks everything."""


@contextmanager
def served() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            site.asked.append(self.path)
            path = PAGES / address.path.lstrip("/").split(";")[0]
            if path.parent != PAGES or path.suffix != ".html" or not path.is_file():
                self.send_error(404)
                return
            query = {key: values[0] for key, values in parse_qs(address.query).items()}
            if "slow" in query:
                threading.Event().wait(0.3)
            text = path.read_text(encoding="utf-8")
            if path.name == "flow_retry.html" and site.failures > 0:
                site.failures -= 1
                text = "<!doctype html><p>系统繁忙</p>"
            mine = site.here if self.headers["Host"] in site.here else site.there
            other = site.there if mine == site.here else site.here
            text = text.replace("{here}", mine).replace("{there}", other)
            for key, value in query.items():
                text = text.replace(f"{{{key}}}", value)
            body = text.encode("gbk" if path.name.endswith(".gbk.html") else "utf-8")
            self.send_response(200)
            kind = "text/html" if path.name.endswith(".gbk.html") else "text/html; charset=utf-8"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
    threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    site.here = f"http://127.0.0.1:{servers[0].server_address[1]}"
    site.there = f"http://localhost:{servers[1].server_address[1]}"
    try:
        yield site
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
