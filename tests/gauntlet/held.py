"""A small ERP that notes when what is asked of it, and at one of these requests lets something happen."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any
from urllib.parse import parse_qs, urlsplit

ROWS, PER_PAGE = 4, 2
PASSWORD = "right-Pass7"  # noqa: S105 - of the server this file starts


@dataclass
class Erp:
    base: str = ""
    asked: list[tuple[float, str]] = field(default_factory=list)
    """Each request with the second that it came in."""
    at: str = ""
    """When this is asked for the first time, `then` is called, before it is answered after `slow_s`."""
    then: Callable[[], None] = lambda: None
    slow_s: float = 0.0
    ended: bool = False
    """Every session until the next login."""

    def later_than(self, moment: float) -> list[str]:
        return [path for at, path in self.asked if at > moment]


def _page(text: str) -> str:
    return f'<!doctype html><html lang="zh"><meta charset="utf-8"><title>t</title><body>{text}</body></html>'


LOGIN = """<form id="login" method="post" action="/login"><label>账号<input name="user"></label>
<label>密码<input name="password" type="password"></label><button>登录</button></form>"""
# What a page shows comes in three steps, as in an ERP of today: the page, its data, and what these lead to.
SCRIPT = """<script>(async () => {
  const text = async (url) => (await fetch(url)).text();
  document.querySelector("h2").textContent = await text("/data/%(n)d");
  document.querySelector("h3").textContent = await text("/more/%(n)d");
  setTimeout(() => { document.querySelector("h4").textContent = "there"; }, 30);
})();</script>"""


class _Handler(http.server.BaseHTTPRequestHandler):
    erp: Erp
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        self._noted()
        address = urlsplit(self.path)
        kind, _, last = address.path.strip("/").partition("/")
        if kind == "login":
            self._send(_page(LOGIN))
        elif self.erp.ended or "session=1" not in self.headers.get("Cookie", ""):
            self._redirect("/login")
        elif kind in ("data", "more"):
            self._send(f"{kind} of {last}")
        elif last:
            n = int(last)
            page = (n - 1) // PER_PAGE + 1
            shown = f'<b class="user">operator</b><h1 class="no">PO-{n}</h1><h2></h2><h3></h3><h4></h4>'
            self._send(_page(f'{shown}<a class="back" href="/orders?page={page}">返回</a>{SCRIPT % {"n": n}}'))
        else:
            self._send(_page(_rows(int(parse_qs(address.query).get("page", ["1"])[0]))))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._noted()
        self.erp.ended = False
        self._redirect("/orders", "session=1; Path=/")

    def _noted(self) -> None:
        erp, path = self.erp, f"{self.command} {self.path}"
        erp.asked.append((monotonic(), path))
        if path == erp.at:
            erp.at = ""
            erp.then()
            sleep(erp.slow_s)  # an ERP that takes its time

    def _redirect(self, to: str, cookie: str = "") -> None:
        self.send_response(303)
        self.send_header("Location", to)
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _rows(number: int) -> str:
    first = (number - 1) * PER_PAGE + 1
    rows = "".join(
        f'<tr><td class="no">PO-{n}</td><td><a href="/orders/{n}">打开</a></td></tr>'
        for n in range(first, min(first + PER_PAGE, ROWS + 1))
    )
    more = "" if number * PER_PAGE >= ROWS else f'<a class="next" href="/orders?page={number + 1}">下一页</a>'
    return f'<b class="user">operator</b><p class="total">共 {ROWS} 条</p><table>{rows}</table>{more}'


@contextmanager
def served() -> Iterator[Erp]:
    erp = Erp()
    handler = type("Handler", (_Handler,), {"erp": erp})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        erp.base = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield erp
        server.shutdown()


OPEN: dict[str, Any] = {
    "link": {"how": "link", "target": "a"},
    "click": {"how": "click", "target": "a", "back": [{"do": "click", "on": {"css": "a.back"}}]},
}


def recipe_data(way: str) -> dict[str, Any]:
    return {
        "recipe": "held/order",
        "version": "1",
        "format": "purchaseOrder",
        "erp": "HELD",
        "quiet_ms": 40,
        "parameters": {"base": {"type": "url"}, "user": {"type": "account"}},
        "permits": [{"purpose": "login", "path": "/login", "form": ["user", "password"]}],
        "login": {
            "steps": [
                {"do": "open", "url": "${base}/login"},
                {"do": "fill", "into": {"label": "账号"}, "text": "${user}"},
                {"do": "fill", "into": {"label": "密码"}, "text": "${secret:password}"},
                {"do": "click", "on": {"role": "button", "name": "登录"}},
            ],
            "done": {"css": ".user"},
        },
        "session": {"page": "${base}/orders", "alive": {"css": ".user"}, "expired": {"css": "#login"}},
        "steps": [
            {"do": "open", "url": "${base}/orders"},
            {
                "do": "list",
                "name": "orders",
                "rows": "table tr",
                "key": ".no",
                "declared": {"css": ".total"},
                "next": {"css": "a.next"},
                "recount": [{"do": "open", "url": "${base}/orders"}],
                "open": OPEN[way],
                "steps": [
                    {"do": "wait", "until": {"css": "h4:has-text('there')"}, "timeout_s": 6},
                    {"do": "snap", "name": "order"},
                ],
            },
        ],
        "document": {
            "page": "order",
            "record": {"url": True, "pattern": r"/(orders/\d+)$"},
            "header": {"orderNumber": {"css": "h1.no"}},
            "lines": {"values": {}},
        },
    }
