"""The console over HTTP: who may ask what, from where; and what every answer bears.

A browser that has the console open also shows foreign pages, and any program of this machine can reach loopback. So a
request must name this console as its host (a foreign name that leads here does not), come from this console's own pages
if it changes anything, and bring the cookie of a session. No request of another origin is told anything.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from datetime import datetime
from http import HTTPStatus as Status
from importlib import resources
from urllib.parse import parse_qsl

from loguru import logger
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, ImmutableMultiDict, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route as Path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scraper_agent import messages, people
from scraper_agent.app import App
from scraper_agent.console import ask, looks, pages
from scraper_agent.console.ask import Ask, NotThere, Route
from scraper_agent.console.children import Children
from scraper_agent.console.session import Session, Sessions, TooMany
from scraper_agent.errors import AgentError, BusinessError, UsageError
from scraper_agent.messages import N_
from scraper_agent.values import ConsoleFact, Denied

FORM_BYTES = 1 << 20
FORM_FIELDS = 5000

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
BODY_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""Of what is not a page of ours: were a browser ever to run it, it would run in nobody's name."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Other sites are told nothing. With `no-referrer` browsers would write `Origin: null` even on our own forms.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_STATIC = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "documents.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
LANGUAGES = ("zh", "en")
"""The first is that of who has not chosen."""


class Guard:
    """Before any page: the host, the origin, the size; after it: the headers."""

    def __init__(self, inner: ASGIApp, hosts: Callable[[], frozenset[str]]) -> None:
        self._inner = inner
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                page = headers.get("Content-Type", "").startswith("text/html")
                headers["Content-Security-Policy"] = PAGE_POLICY if page else BODY_POLICY
            await send(message)

        refused = self._refused(scope["method"], Headers(scope=scope))
        if refused is None:
            await self._inner(scope, receive, sent)
        else:
            status, why = refused
            await PlainTextResponse(f"{why}\n", status)(scope, receive, sent)

    def _refused(self, method: str, headers: Headers) -> tuple[Status, str] | None:
        """Why this is not let in; in English, for whoever looks at what a program got."""
        hosts = headers.getlist("Host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts():
            return Status.MISDIRECTED_REQUEST, "not the host of this console"
        site = headers.get("Sec-Fetch-Site", "none")
        if method in ("GET", "HEAD"):
            # From elsewhere one may follow a link to a page, and nothing else: no image, script or frame of it.
            followed = (headers.get("Sec-Fetch-Mode"), headers.get("Sec-Fetch-Dest")) == ("navigate", "document")
            if site not in ("same-origin", "none") and not followed:
                return Status.FORBIDDEN, "not for other sites"
            return None
        if method != "POST":
            return Status.METHOD_NOT_ALLOWED, "GET and POST only"
        if headers.get("Origin") != f"http://{hosts[0].lower()}" or site not in ("same-origin", "none"):
            return Status.FORBIDDEN, "not from a page of this console"
        if headers.get("Content-Type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
            return Status.UNSUPPORTED_MEDIA_TYPE, "a form is expected"
        return None


class Web:
    """The application. `current`: the agent as it is now; `hosts`: as a browser writes them, `127.0.0.1:8470`."""

    def __init__(
        self,
        current: Callable[[], App],
        sessions: Sessions,
        children: Children,
        tell: Callable[[ConsoleFact], None],
        clock: Callable[[], datetime],
        hosts: Callable[[], frozenset[str]],
    ) -> None:
        self._current = current
        self._sessions = sessions
        self._children = children
        self._tell = tell
        self._now = clock
        self._hosts = hosts
        routes = [route for module in pages.PAGES for route in module.ROUTES]
        self._menu = tuple((route.path, route.menu) for route in routes if route.menu)
        self.asgi: ASGIApp = Guard(
            Starlette(
                routes=[
                    Path("/static/{name}", _static, methods=["GET"]),
                    Path("/sign-in", self._sign_in_page, methods=["GET"]),
                    Path("/sign-in", self._sign_in, methods=["POST"]),
                    Path("/sign-out", self._sign_out, methods=["POST"]),
                    *(Path(r.path, functools.partial(self._answer, r), methods=[r.method]) for r in routes),
                    Path("/{rest:path}", functools.partial(self._answer, _NOWHERE), methods=["GET"]),
                ]
            ),
            hosts,
        )

    # --- who is there -----------------------------------------------------------------------------------------------

    @property
    def _cookie(self) -> str:
        """With the port, since cookies know none: two consoles on one machine keep apart."""
        return f"console-{min(self._hosts()).rpartition(':')[2]}"

    async def _sign_in_page(self, request: Request) -> Response:
        return self._door(_language(request.query_params.get("lang", "")))

    async def _sign_in(self, request: Request) -> Response:
        form = await _form(request)
        if form is None:
            return PlainTextResponse("too large\n", Status.REQUEST_ENTITY_TOO_LARGE)
        lang = _language(form.get("lang", ""))
        try:
            cookie, _ = await run_in_threadpool(self._admit, form.get("token", "").strip(), lang)
        except TooMany as error:
            answer = self._door(lang, error, Status.TOO_MANY_REQUESTS)
            answer.headers["Retry-After"] = str(error.wait_s)
            return answer
        except AgentError as error:
            return self._door(lang, error, Status.FORBIDDEN)
        answer = Response(status_code=Status.SEE_OTHER, headers={"Location": "/"})
        answer.set_cookie(self._cookie, cookie, path="/", httponly=True, samesite="strict")
        return answer

    def _admit(self, token: str, lang: str) -> tuple[str, Session]:
        cookie, session = self._sessions.sign_in(token, lang, self._now())
        if not people.roles(self._current().policy.people, session.person):
            self._sessions.end(cookie)
            self._tell(Denied(by=f"person:{session.person}", what="sign-in"))
            raise BusinessError(
                "SA7706",
                N_("{name} has no role by the policy"),
                hint=N_("an administrator gives roles under `people` in the policy"),
                name=session.person,
            )
        return cookie, session

    def _door(self, lang: str, error: AgentError | None = None, status: int = Status.OK) -> Response:
        with messages.speaking(lang):
            text = looks.render("sign-in.html", {"lang": lang, "error": error, "languages": LANGUAGES})
        return Response(text, status, media_type="text/html")

    async def _sign_out(self, request: Request) -> Response:
        cookie = request.cookies.get(self._cookie, "")
        session = self._sessions.find(cookie, self._now())
        form = await _form(request)
        if session is not None and (form is None or form.get("csrf") != session.csrf):
            return PlainTextResponse("not from a form of this session\n", Status.FORBIDDEN)
        self._sessions.end(cookie)
        answer = Response(status_code=Status.SEE_OTHER, headers={"Location": "/sign-in"})
        answer.delete_cookie(self._cookie, path="/", httponly=True, samesite="strict")
        return answer

    # --- pages ------------------------------------------------------------------------------------------------------

    async def _answer(self, route: Route, request: Request) -> Response:
        session = await run_in_threadpool(
            self._sessions.find, request.cookies.get(self._cookie, ""), self._now(), quiet=route.quiet
        )
        if session is None:
            if route.quiet or route.method == "POST":
                return PlainTextResponse("signed out\n", Status.UNAUTHORIZED)
            return Response(status_code=Status.SEE_OTHER, headers={"Location": "/sign-in"})
        form: ImmutableMultiDict[str, str] = ImmutableMultiDict()
        if route.method == "POST":
            sent = await _form(request)
            if sent is None:
                return PlainTextResponse("too large\n", Status.REQUEST_ENTITY_TOO_LARGE)
            if sent.get("csrf") != session.csrf:
                return PlainTextResponse("not from a form of this session\n", Status.FORBIDDEN)
            form = sent
        asked = Ask(
            app=self._current(),
            now=self._now(),
            route=route,
            session=session,
            path=request.path_params,
            query=request.query_params,
            form=form,
            children=self._children,
            around={"menu": self._menu, "address": _address(request)},
        )
        return await run_in_threadpool(_answered, asked, self._tell)


def _answered(asked: Ask, tell: Callable[[ConsoleFact], None]) -> Response:
    with messages.speaking(asked.lang):
        try:
            if asked.route.role is not None:
                people.require(asked.app.policy.people, asked.person, asked.route.role)
            return asked.route.answer(asked)
        except AgentError as error:
            if error.code == people.NO_ROLE:
                tell(Denied(by=f"person:{asked.person}", what=asked.route.path))
            return asked.render("error.html", status=_status(error), error=error)
        except Exception:  # noqa: BLE001 - a defect, told as one, and its traceback is kept
            logger.exception("{} {}", asked.route.method, asked.route.path)
            return asked.render("error.html", status=Status.INTERNAL_SERVER_ERROR, error=None)
        finally:
            asked.close()


def _status(error: AgentError) -> int:
    match error:
        case NotThere():
            return Status.NOT_FOUND
        case BusinessError():
            return Status.CONFLICT
        case UsageError():
            return Status.BAD_REQUEST
        case _:
            return Status.SERVICE_UNAVAILABLE


def _address(request: Request) -> str:
    """Of this page, to come back to; of what is no page, that of the first."""
    query = request.url.query
    return f"{request.url.path}{'?' if query else ''}{query}" if request.method == "GET" else "/"


def _nowhere(asked: Ask) -> Response:
    raise asked.missing()


_NOWHERE = ask.page("/{rest:path}", _nowhere)


def _language(wanted: str) -> str:
    return wanted if wanted in LANGUAGES else LANGUAGES[0]


async def _form(request: Request) -> ImmutableMultiDict[str, str] | None:
    """None if it is larger than any form of ours."""
    body = b""
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > FORM_BYTES:
                return None
    except ClientDisconnect:
        return None
    try:
        fields: Sequence[tuple[str, str]] = parse_qsl(
            body.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=FORM_FIELDS
        )
    except ValueError:
        return None
    return ImmutableMultiDict(list(fields))


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC:
        return PlainTextResponse("not here\n", Status.NOT_FOUND)
    return Response(_file(name), headers={"Content-Type": _STATIC[name]})


@functools.cache
def _file(name: str) -> bytes:
    return (resources.files("scraper_agent.console") / "static" / name).read_bytes()
