"""The sandbox platform over HTTP: `POST /receive`, `GET /receive/<key>`, and pages for a person."""

from __future__ import annotations

import asyncio
import base64
import binascii
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus as Status
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl

import jinja2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scraper_agent import envelope, serving
from scraper_agent.audit import witness_web
from scraper_agent.sandbox import mischief
from scraper_agent.sandbox.mischief import Fault
from scraper_agent.sending import https

if TYPE_CHECKING:
    from scraper_agent.sandbox.platform import Platform, Turn

REQUEST_BYTES = 16 * 1024 * 1024
PAGE_ROWS = 100

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_FORM_BYTES = 1000
_DIGITS = 15
"""As many as surely fit into an integer of SQL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One address that requests are posted to."""

    path: str
    """Begins with `/`."""
    take: Callable[[bytes, str, str], tuple[int, bytes]]
    """(request, idempotency key, why to refuse) -> (status, receipt), as `Platform.receive`."""
    opened: Callable[[bytes], bytes | None] = lambda sent: sent
    """The request in what was sent; None if it was not sealed for this side."""
    closed: Callable[[bytes, bytes], bytes] = lambda receipt, request: receipt  # noqa: ARG005
    """(receipt, request) -> what is answered."""
    unopened: Callable[[str], bytes] = lambda key: b"{}"  # noqa: ARG005
    """The receipt for what `opened` does not open."""
    slow: bool = False
    """It asks others first, and is waited for in a thread of its own."""
    found: bool = True
    """`GET <path>/<key>` tells the stored receipt."""


def application(platform: Platform) -> ASGIApp:
    doors = [Door(path="/receive", take=platform.receive)]
    return serve(Pages(platform), doors, witness_web.routes(lambda: platform.witness))


def serve(pages: Pages, doors: Iterable[Door], routes: Iterable[Route] = ()) -> ASGIApp:
    """The pages of a platform, its doors, and `routes` of another kind."""
    by_door = [route for door in doors for route in pages.routes(door)]
    return _Guarded(Starlette(routes=[*pages.own_routes(), *by_door, *routes]))


class _Guarded:
    """Every answer that is one bears the headers that keep a browser from running anything."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, sent)


class Pages:
    """What a platform answers over HTTP."""

    links: ClassVar[Mapping[str, str]] = {}
    """Other pages than the list, by path: their names."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        loader = jinja2.PackageLoader("scraper_agent.sandbox", "templates/platform")
        self._pages = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)

    def own_routes(self) -> list[Route]:
        return [
            Route("/", self.home, methods=["GET"]),
            Route("/document/{number:int}", self.document, methods=["GET"]),
            Route("/faults", self.faults, methods=["POST"]),
        ]

    def routes(self, door: Door) -> Iterator[Route]:
        yield Route(door.path, functools.partial(self.receive, door), methods=["POST"])
        if door.found:
            yield Route(f"{door.path}/{{key}}", self.find, methods=["GET"])

    # --- for systems ---

    async def receive(self, door: Door, request: Request) -> Response:
        length = request.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            return _json(b"{}", Status.LENGTH_REQUIRED)
        if int(length) > REQUEST_BYTES:
            return _json(b"{}", Status.REQUEST_ENTITY_TOO_LARGE)
        try:
            raw = await request.body()
        except ClientDisconnect:
            return Response()  # nobody reads it
        turn = self._platform.next_turn()
        try:
            response = await self._treated(door, raw, request.headers.get("Idempotency-Key", ""), turn)
            if turn.answer is None and turn.fault is not Fault.RESET_BEFORE:
                self._see(request, response)
            return response
        except ConnectionAbortedError:  # it was stopped meanwhile
            return serving.Reset()

    def _see(self, request: Request, response: Response) -> None:
        """The checkpoint that came along, and what is said of it."""
        try:
            carried = base64.b64decode(request.headers.get(https.CHECKPOINT, ""), validate=True)
        except binascii.Error:
            return
        if carried:
            said = self._platform.witness.add(carried)
            response.headers[https.WITNESSED] = f"{said.status} {base64.b64encode(said.body).decode()}"

    async def _treated(self, door: Door, sent: bytes, key: str, turn: Turn) -> Response:
        if turn.answer is not None:
            return _json(turn.answer, turn.status, dict(turn.headers or {}))
        fault = turn.fault
        if fault is Fault.RESET_BEFORE:
            return serving.Reset()
        if fault in mischief.REDIRECTS:
            return RedirectResponse(mischief.REDIRECTS[fault], Status.TEMPORARY_REDIRECT)
        await asyncio.sleep(turn.delay_s)
        raw = door.opened(sent)
        if raw is None:
            return _json(door.unopened(key), Status.BAD_REQUEST)
        status, receipt = await self._taken(door, raw, key, turn.refuse)
        match fault:
            case None | Fault.LATENCY:
                return _json(door.closed(receipt, raw), status)
            case Fault.DUPLICATE:
                return _json(door.closed((await self._taken(door, raw, key))[1], raw), status)
            case Fault.RESET_AFTER:
                return serving.Reset()
            case Fault.ERROR_AFTER:
                return _json(door.closed(receipt, raw), Status.INTERNAL_SERVER_ERROR)
            case Fault.WRONG_RECEIPT | Fault.REPLAYED_RECEIPT | Fault.UNKNOWN_KEY:
                return _json(door.closed(self._platform.lie(fault, receipt), raw), status)
            case _:
                pieces = mischief.pieces(fault, door.closed(receipt, raw))
                return serving.Bytes(pieces, abruptly=fault is Fault.CUT_OFF)

    async def _taken(self, door: Door, raw: bytes, key: str, refuse: str = "") -> tuple[int, bytes]:
        if door.slow:
            return await run_in_threadpool(door.take, raw, key, refuse)
        return door.take(raw, key, refuse)

    async def find(self, request: Request) -> Response:
        key = request.path_params["key"]
        try:
            receipt = self._platform.answer_to(key)
        except ConnectionAbortedError:
            return serving.Reset()
        return _json(envelope.absence(key), Status.NOT_FOUND) if receipt is None else _json(receipt)

    # --- for a person ---

    async def home(self, request: Request) -> Response:
        """`?format=…&state=accepted|refused&before=<number>`: what is unknown or wrong there filters nothing."""
        asked = request.query_params
        counts = self._platform.count()
        formats = sorted({format for format, _ in counts})
        format = asked.get("format", "")
        state = asked.get("state", "")
        before = asked.get("before", "")
        number = int(before) if before.isascii() and before.isdigit() and len(before) <= _DIGITS else None
        rows = self._platform.page(
            format=format,
            accepted={"accepted": True, "refused": False}.get(state),
            before=number,
            most=PAGE_ROWS + 1,
        )
        waiting, lasting = self._platform.switched_on()
        return self._page(
            "list.html",
            rows=rows[:PAGE_ROWS],
            more=rows[PAGE_ROWS - 1].number if len(rows) > PAGE_ROWS else None,
            counts=counts,
            formats=formats,
            format=format,
            state=state,
            faults=list(Fault),
            waiting=waiting,
            lasting=lasting,
            keys=self._platform.public_keys,
        )

    async def document(self, request: Request) -> Response:
        shown = self._platform.shown(request.path_params["number"])
        if shown is None:
            return _json(b"{}", Status.NOT_FOUND)
        content = self.shown(json.loads(shown.stored.document))
        return self._page(
            "document.html",
            document=shown.stored,
            shown=shown,
            header=content.get("header", {}) if isinstance(content.get("header"), dict) else {},
            lines=_rows(content.get("lines")),
            content=json.dumps(content, ensure_ascii=False, indent=2),
            receipt=self._indented(shown.stored.receipt),
            final="" if shown.stored.final is None else self._indented(shown.stored.final),
        )

    def shown(self, told: Any) -> Any:
        """What a document or a receipt says, as a person may see it."""
        return told

    def _indented(self, receipt: bytes) -> str:
        return json.dumps(self.shown(json.loads(receipt)), ensure_ascii=False, indent=2)

    async def faults(self, request: Request) -> Response:
        """Switch on `fault`, once or `lasting`, or all off."""
        form = await own_form(request, _FORM_BYTES)
        if isinstance(form, Response):
            return form
        match form.get("fault"):
            case "":
                self._platform.behave()
            case str(name) if name in set(Fault):
                self._platform.misbehave(Fault(name), lasting=form.get("how") == "lasting")
            case _:
                return _json(b"{}", Status.BAD_REQUEST)
        return RedirectResponse("/", Status.SEE_OTHER)

    def _page(self, template: str, **values: object) -> Response:
        page = self._pages.get_template(template).render(values, title=self._platform.title, links=self.links)
        return Response(page, media_type="text/html; charset=utf-8")


async def own_form(request: Request, most_bytes: int) -> dict[str, str] | Response:
    """A form of our own pages, or what to answer to another: a browser tells where it is from."""
    own = f"{request.url.scheme}://{request.url.netloc}"
    if request.headers.get("Origin", own) != own:
        return _json(b"{}", Status.FORBIDDEN)
    length = request.headers.get("Content-Length", "")
    if not (length.isascii() and length.isdigit() and int(length) <= most_bytes):
        return _json(b"{}", Status.BAD_REQUEST)
    try:
        return dict(parse_qsl((await request.body()).decode("latin-1"), keep_blank_values=True))
    except ClientDisconnect:
        return Response()


def _json(body: bytes, status: int = Status.OK, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers={"Content-Type": "application/json; charset=utf-8"} | (headers or {}))


def _rows(lines: object) -> tuple[list[str], list[list[object]]]:
    """The columns of a document's lines, and their cells; empty for what is no list of objects."""
    if not (isinstance(lines, list) and all(isinstance(line, dict) for line in lines)):
        return [], []
    columns = list(dict.fromkeys(name for line in lines for name in line))
    return columns, [[line.get(name, "") for name in columns] for line in lines]
