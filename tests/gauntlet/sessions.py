"""A small ERP whose sessions end: when a record is asked for, or as the ways a login can go that this file knows."""

from __future__ import annotations

import http.server
import json
import secrets
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Browser

from scraper_agent.capture.browser import Settings, _Session
from scraper_agent.ports import Page, Sighting
from scraper_agent.recipe import Recipe

PASSWORD = "right-Pass7"  # noqa: S105 - of the server this file starts
ROWS = 4
PER_PAGE = 2
WAYS = ("link", "click", "walk")
SAYS = {
    "wrong_password": "用户名或密码错误",
    "locked_out": "账号已锁定",
    "password_expired": "密码已过期，请修改",
    "second_factor": "请输入短信验证码",
    "captcha": "请按住滑块",
    "kicked_out": "您的账号已在别处登录",
}


@dataclass
class Erp:
    """`goes`: how the next logins go, by a word of `SAYS`; empty: well."""

    base: str = ""
    goes: str = ""
    drops: set[int] = field(default_factory=set)
    """Records that end the session when they are asked for the first time."""
    after: bool = False
    """It ends after the record was shown, and not before."""
    kicks: bool = False
    """Whoever comes without a session is told that the account is logged in elsewhere."""
    person: bool = False
    """Somebody sits at the login's page, types and presses the button."""
    stores: bool = False
    """The session stands in localStorage, sessionStorage and IndexedDB, too; without all three the login shows."""
    forever: bool = False
    """The records of `drops` end every session."""
    logins: int = 0
    opened: Counter[int] = field(default_factory=Counter)
    """How often each record was shown."""
    alive: set[str] = field(default_factory=set)


def _page(text: str) -> str:
    return f'<!doctype html><html lang="zh"><meta charset="utf-8"><title>t</title><body>{text}</body></html>'


LOGIN = """<form id="login" method="post" action="/login"><label>账号<input name="user"></label>
<label>密码<input name="password" type="password"></label><button>登录</button></form>"""


PERSON = """<script>onload = () => { const f = document.forms[0]; f.user.value = "operator";
f.password.value = "%s"; setTimeout(() => f.requestSubmit(), 50); }</script>"""

STORES = """<script>
const opened = () => new Promise((done, failed) => {
  const asked = indexedDB.open("erp", 1);
  asked.onupgradeneeded = () => asked.result.createObjectStore("kept");
  asked.onsuccess = () => done(asked.result); asked.onerror = failed;
});
const once = (request) => new Promise((done, failed) => {
  request.onsuccess = () => done(request.result); request.onerror = failed;
});
(async () => {
  const store = async (mode) => (await opened()).transaction("kept", mode).objectStore("kept");
  if (%s) {
    localStorage.setItem("erp", "1"); sessionStorage.setItem("erp", "2");
    await once((await store("readwrite")).put("3", "erp"));
  }
  const third = await once((await store("readonly")).get("erp"));
  const whole = localStorage.getItem("erp") === "1" && sessionStorage.getItem("erp") === "2" && third === "3";
  document.body.innerHTML = document.getElementById(whole ? "page" : "none").innerHTML;
})();
</script>"""


def _stored(text: str, *, first: bool) -> str:
    """The page, shown only in a tab that has all that the ERP stored there at the login."""
    return f'<template id="page">{text}</template><template id="none">{LOGIN}</template>' + STORES % json.dumps(first)


def _rows(number: int) -> str:
    first = (number - 1) * PER_PAGE + 1
    rows = "".join(
        f'<tr><td class="no">PO-{n}</td><td><a href="/orders/{n}">打开</a></td></tr>'
        for n in range(first, min(first + PER_PAGE, ROWS + 1))
    )
    last = number * PER_PAGE >= ROWS
    more = "" if last else f'<a class="next" href="/orders?page={number + 1}">下一页</a>'
    return f'<b class="user">operator</b><p class="total">共 {ROWS} 条</p><table>{rows}</table>{more}'


def _record(n: int) -> str:
    page, place = (n - 1) // PER_PAGE + 1, (n - 1) % PER_PAGE + 1
    return (
        f'<b class="user">operator</b><h1 class="no">PO-{n}</h1><i class="place">{place}/{PER_PAGE}</i>'
        f'<a class="forth" href="/orders/{n + 1}">下一张</a><a class="back" href="/orders?page={page}">返回</a>'
    )


class _Handler(http.server.BaseHTTPRequestHandler):
    erp: Erp
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get("session")
        known = cookie is not None and cookie.value in self.erp.alive
        if address.path == "/login":
            says = SAYS["kicked_out"] if self.erp.kicks and "kicked" in address.query else ""
            before = f'<p class="captcha">{SAYS["captcha"]}</p>' if self.erp.goes == "captcha" else ""
            person = PERSON % PASSWORD if self.erp.person else ""
            self._send(_page(f'{before}<p class="kicked_out">{says}</p>{LOGIN}{person}'))
        elif not known:
            self._redirect("/login?kicked" if self.erp.kicks and self.erp.logins else "/login")
        elif address.path == "/orders":
            self._shown(_rows(int(parse_qs(address.query).get("page", ["1"])[0])))
        else:
            self._order(int(address.path.rpartition("/")[2]))

    def _order(self, n: int) -> None:
        ends = n in self.erp.drops
        if ends:
            self.erp.alive.clear()
            if not self.erp.forever:
                self.erp.drops.discard(n)
        if ends and not self.erp.after:
            self._redirect("/login?kicked" if self.erp.kicks else "/login")
            return
        self.erp.opened[n] += 1
        self._shown(_record(n))

    def _shown(self, text: str) -> None:
        """A page of the session; the one after the login stores what the later ones ask for."""
        first = urlsplit(self.headers.get("Referer", "")).path == "/login"
        self._send(_page(_stored(text, first=first)) if self.erp.stores else _page(text))

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.erp.logins += 1
        goes = self.erp.goes or ("" if form["password"] == [PASSWORD] else "wrong_password")
        if goes:
            self._send(_page(f'<p class="{goes}">{SAYS[goes]} {form["password"][0]}</p>{LOGIN}'))
            return
        session = secrets.token_hex(8)
        self.erp.alive.add(session)
        self._redirect("/orders", f"session={session}; Path=/")

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


@contextmanager
def served() -> Iterator[Erp]:
    erp = Erp()
    handler = type("Handler", (_Handler,), {"erp": erp})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        erp.base = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield erp
        server.shutdown()


OPEN: Mapping[str, Mapping[str, Any]] = {
    "link": {"how": "link", "target": "a"},
    "click": {"how": "click", "target": "a", "back": [{"do": "click", "on": {"css": "a.back"}}]},
    "walk": {
        "how": "walk",
        "target": "a",
        "next": {"css": "a.forth"},
        "position": {"css": ".place"},
        "back": [{"do": "click", "on": {"css": "a.back"}}],
    },
}


def recipe_data(way: str, **more: Any) -> dict[str, Any]:
    """The recipe of this ERP as plain data."""
    return {
        "recipe": "gone/order",
        "version": "1",
        "format": "purchaseOrder",
        "erp": "GONE",
        "quiet_ms": 10,
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
            **{name: {"css": f".{name}"} for name in SAYS if name != "kicked_out"},
        },
        "session": {
            "page": "${base}/orders",
            "alive": {"css": ".user"},
            "expired": {"css": "#login"},
            "kicked_out": {"css": ".kicked_out:not(:empty)"},
        },
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
                "steps": [{"do": "snap", "name": "order"}],
            },
        ],
        "document": {
            "page": "order",
            "record": {"url": True, "pattern": r"/(orders/\d+)$"},
            "header": {"orderNumber": {"css": "h1.no"}},
            "lines": {"values": {}},
        },
        **more,
    }


def read(chromium: Browser, erp: Erp, recipe: Recipe, done: frozenset[str] = frozenset()) -> Iterator[Sighting]:
    """One run of the recipe in a context of its own: a browser is started once, and not for each try."""
    context = chromium.new_context(service_workers="block", accept_downloads=False)
    parameters = {"base": erp.base, "user": "operator"}
    try:
        yield from _Session(Settings(images=False), recipe, parameters, lambda _: PASSWORD, context).run(done)
    finally:
        context.close()


def orders(seen: list[Sighting]) -> list[str]:
    return [each.url.rpartition("/")[2] for each in seen if isinstance(each, Page) and each.name == "order"]
