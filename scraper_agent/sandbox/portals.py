"""Two portals that share the cookies of one browser: a national one, and Shanghai's, whose receipts can be read.

As the rule of the trade supposes (domain facts, SES-1 to SES-10): who is logged in at the national portal is taken for
that account at Shanghai's too, has no role there, and cannot press what leads to the work. Both listen on one loopback
address, and cookies know no ports.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal, Self, TypeAlias
from urllib.parse import parse_qs, urlsplit

from scraper_agent.sandbox import erp

Portal: TypeAlias = Literal["national", "shanghai"]

USER = "sh-query"
NATIONAL_USER = "gov-import"
OTHER_USER = "sh-other"
LATER = 2
"""In the case `national-later`: with this receipt the national account logs in, and stands on its page already."""


class Case(StrEnum):
    """Who is logged in when a browser comes for the first time, as by a card in the machine, and what goes wrong."""

    NOBODY = "nobody"
    NATIONAL = "national"
    LOGOUT_FAILS = "logout-fails"
    UNREACHABLE = "unreachable"
    MAINTENANCE = "maintenance"
    RIGHT_ACCOUNT = "right-account"
    OTHER_ACCOUNT = "other-account"
    ROLE_DISABLED = "role-disabled"
    NATIONAL_LATER = "national-later"


@dataclass
class Visitor:
    """One browser, by its cookie. The accounts are empty where nobody is logged in."""

    national: str = ""
    shanghai: str = ""
    role: bool = False
    receipts: int = 0
    disturbed: bool = False

    @property
    def account(self) -> str:
        """Whom Shanghai's portal takes it for."""
        return self.national or self.shanghai


@dataclass
class Portals:
    """Both portals, from `start` to `stop`; a context manager for both. `ports` 0 let the system choose.

    `asked` has the portal, method and path of every request, in the order in which they came.
    """

    password: str = field(repr=False)
    case: Case = Case.NOBODY
    host: str = "127.0.0.1"
    port: int = 0
    national_port: int = 0
    sent_to: str = "/login"
    """Where Shanghai's portal sends who is not logged in, such as to the national one's login."""
    asked: list[tuple[Portal, str, str]] = field(default_factory=list)
    visitors: dict[str, Visitor] = field(default_factory=dict)
    _servers: dict[Portal, _Server] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        books = erp.Erp("").expected()
        self.receipts = {key: books[key] for key in ("receipts/3001", "receipts/3002", "receipts/3003")}
        self._templates = erp.templates()

    def start(self) -> None:
        ports: tuple[tuple[Portal, int], ...] = (("shanghai", self.port), ("national", self.national_port))
        for portal, port in ports:
            self._servers[portal] = server = _Server((self.host, port), self, portal)
            threading.Thread(target=server.serve_forever, args=(0.05,), name=portal, daemon=True).start()

    def stop(self) -> None:
        """Stop listening. May be repeated."""
        for server in self._servers.values():
            server.shutdown()
            server.server_close()
        self._servers.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def url(self, portal: Portal) -> str:
        """Such as `http://127.0.0.1:43211`: what recipes call `base` (Shanghai's) and `national`.

        Raises:
            KeyError: it is not running.
        """
        return f"http://{self.host}:{self._servers[portal].server_port}"

    # What the request handler asks for.

    def visitor(self, cookie: str) -> tuple[str, Visitor]:
        """Whose cookie it is; a browser without one is met for the first time."""
        if cookie not in self.visitors:
            cookie = secrets.token_urlsafe(18)
            self.visitors[cookie] = Visitor(
                national=NATIONAL_USER if self.case in (Case.NATIONAL, Case.LOGOUT_FAILS) else "",
                shanghai={Case.RIGHT_ACCOUNT: USER, Case.OTHER_ACCOUNT: OTHER_USER}.get(self.case, ""),
            )
        return cookie, self.visitors[cookie]

    def log_in(self, portal: Portal, visitor: Visitor, form: Mapping[str, list[str]]) -> bool:
        user, password = (form.get(name, [""])[0] for name in ("user", "password"))
        accounts = (NATIONAL_USER,) if portal == "national" else (USER, OTHER_USER)
        if user not in accounts or not secrets.compare_digest(password.encode(), self.password.encode()):
            return False
        setattr(visitor, portal, user)
        return True

    def log_out(self, portal: Portal, visitor: Visitor) -> None:
        """One logout ends both sessions, as with a single sign-on."""
        if portal == "national" and self.case is Case.LOGOUT_FAILS:
            return
        visitor.national, visitor.shanghai, visitor.role = "", "", False

    def enter_role(self, visitor: Visitor) -> bool:
        visitor.role = self.operable(visitor)
        return visitor.role

    def operable(self, visitor: Visitor) -> bool:
        return not visitor.national and self.case is not Case.ROLE_DISABLED

    def read(self, visitor: Visitor) -> None:
        """A receipt was shown."""
        visitor.receipts += 1
        if self.case is Case.NATIONAL_LATER and visitor.receipts == LATER and not visitor.disturbed:
            visitor.national, visitor.role, visitor.disturbed = NATIONAL_USER, False, True

    def render(self, template: str, **values: object) -> str:
        return self._templates.get_template(f"portals/{template}.html").render(**values)


class _Server(ThreadingHTTPServer):
    def __init__(self, address: tuple[str, int], portals: Portals, portal: Portal) -> None:
        super().__init__(address, _Handler)
        self.portals, self.portal = portals, portal


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 30
    wbufsize = -1  # one packet for head and body: two of them wait for each other 40 ms a page

    def do_GET(self) -> None:
        portals, portal = self.server.portals, self.server.portal
        path = urlsplit(self.path).path
        portals.asked.append((portal, self.command, path))
        if portal == "national" and portals.case is Case.UNREACHABLE:
            self.close_connection = True  # without an answer
            return
        self.cookie, visitor = portals.visitor(self._cookie())
        if path == "/logout":
            portals.log_out(portal, visitor)
            self._redirect("/")
        elif path == "/login":
            self._page("login", refused=False)
        elif portal == "national" and portals.case is Case.MAINTENANCE:
            self._send("<p>系统维护中</p><a href=/login>登录</a>", HTTPStatus.SERVICE_UNAVAILABLE)
        elif portal == "national":
            self._page("national", account=visitor.national)
        else:
            self._shanghai(path, visitor)

    do_HEAD = do_GET  # noqa: N815 - the names are http.server's own

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        portals, portal = self.server.portals, self.server.portal
        path = urlsplit(self.path).path
        portals.asked.append((portal, self.command, path))
        self.cookie, visitor = portals.visitor(self._cookie())
        if path != "/login":
            self._send("没有这个页面", HTTPStatus.NOT_FOUND, kind="text/plain")
        elif portals.log_in(portal, visitor, parse_qs(body.decode("utf-8", "replace"))):
            self._redirect("/" if portal == "national" else "/roles")
        else:
            self._page("login", refused=True)

    def log_message(self, format: str, *args: object) -> None:
        """Keep still: what matters is in `Portals.asked`."""

    def _shanghai(self, path: str, visitor: Visitor) -> None:
        portals = self.server.portals
        if not visitor.account:
            self._redirect(portals.sent_to)
        elif path == "/roles":
            self._page("roles", account=visitor.account, operable=portals.operable(visitor))
        elif path == "/roles/enter" and portals.enter_role(visitor):
            self._redirect("/home")
        elif not visitor.role or visitor.national:
            self._redirect("/roles")
        elif path in ("/", "/home"):
            self._page("home", account=visitor.account)
        elif path == "/receipts":
            self._page("list", account=visitor.account, receipts=portals.receipts)
        elif path[1:] in portals.receipts:
            record = portals.receipts[path[1:]]
            portals.read(visitor)
            self._page("receipt", account=visitor.account, record=record, h=record.header)
        else:
            self._send("没有这个页面", HTTPStatus.NOT_FOUND, kind="text/plain")

    def _page(self, template: str, **values: object) -> None:
        self._send(self.server.portals.render(template, portal=self.server.portal, **values))

    def _cookie(self) -> str:
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get("SSO")
        return cookie.value if cookie else ""

    def _redirect(self, to: str) -> None:
        self._send("", HTTPStatus.SEE_OTHER, to=to)

    def _send(self, text: str, status: HTTPStatus = HTTPStatus.OK, *, kind: str = "text/html", to: str = "") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Set-Cookie", f"SSO={self.cookie}; Path=/; HttpOnly; SameSite=Lax")
        if to:
            self.send_header("Location", to)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
