"""The pages and addresses of a simulated province. Certificate numbers are masked on every page."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus as Status
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from scraper_agent.sandbox import authority, platform_web
from scraper_agent.sandbox.platform_web import PAGE_ROWS, Door, Pages
from scraper_agent.sandbox.sealed import NoAnswer
from scraper_agent.waybill import image, qr
from scraper_agent.waybill.profile import FORMAT

if TYPE_CHECKING:
    from scraper_agent.sandbox.province import Province


_FORM_BYTES = 20_000
"""The text of a QR code, 3 times longer for its percent signs."""


def application(province: Province, doors: Iterable[Door], keys: Callable[[], bytes]) -> ASGIApp:
    pages = ProvincePages(province)
    listing = Route(f"/{province.profile.interfaces.province.keys.path}", key_list(keys), methods=["GET"])
    return platform_web.serve(pages, doors, [listing])


def key_list(keys: Callable[[], bytes]) -> Callable[[Request], Response]:
    """A page of JSON. Starlette waits for it in a thread of its own."""

    def answer(request: Request) -> Response:  # noqa: ARG001 - as Starlette calls it
        return Response(keys(), media_type="application/json")

    return answer


class ProvincePages(Pages):
    links = {"/waybills": "运单 waybills", "/ask": "跨省查询 ask other provinces"}  # noqa: RUF012 - as the class it is of has it

    def __init__(self, province: Province) -> None:
        super().__init__(province.platform)
        self._province = province

    def own_routes(self) -> list[Route]:
        return [
            *super().own_routes(),
            Route("/waybills", self.waybills, methods=["GET"]),
            Route("/waybill/{number}", self.waybill, methods=["GET"]),
            Route("/ask", self.ask, methods=["GET"]),
            Route("/ask", self.asked, methods=["POST"]),
            Route("/waybill/{number}/qr.png", self.picture, methods=["GET"]),
        ]

    async def waybills(self, request: Request) -> Response:
        """`?before=<number>`: those that came before it."""
        found = self._province.waybills(request.query_params.get("before", ""), PAGE_ROWS + 1)
        return self._page(
            "waybills.html",
            rows=found[:PAGE_ROWS],
            more=found[PAGE_ROWS - 1].number if len(found) > PAGE_ROWS else "",
            statuses=self._province.profile.statuses,
        )

    async def waybill(self, request: Request) -> Response:
        waybill = self._province.waybill(request.path_params["number"])
        if waybill is None:
            return Response(status_code=Status.NOT_FOUND)
        profile = self._province.profile
        content = qr.parse(waybill.qr, profile.qr)
        return self._page(
            "waybill.html",
            waybill=waybill,
            fields=FORMAT.header,
            columns=FORMAT.lines,
            document=self.shown(json.loads(waybill.document)),
            statuses=profile.statuses,
            changes=self._province.changes(waybill.number),
            summary=qr.masked(content.summary, profile.qr),
            index=content.key_index,
            signature=base64.b64encode(content.signature).decode(),
            genuine=self._province.standing(content) == qr.Standing.GENUINE,
        )

    async def picture(self, request: Request) -> Response:
        waybill = self._province.waybill(request.path_params["number"])
        if waybill is None:
            return Response(status_code=Status.NOT_FOUND)
        return Response(image.png(waybill.qr.encode(qr.CHARSET), self._province.profile.qr), media_type="image/png")

    async def ask(self, request: Request) -> Response:  # noqa: ARG002 - as Starlette calls it
        return self._page("ask.html", asked={}, answer=None, failed="", data="")

    async def asked(self, request: Request) -> Response:
        """What the ministry says about a waybill (`i1` and `division`) or a code (`text`)."""
        form = await platform_web.own_form(request, _FORM_BYTES)
        if isinstance(form, Response):
            return form
        text = form.get("text", "")
        ask = (
            partial(self._province.ask_qr, text)
            if text
            else partial(self._province.ask, form.get("i1", ""), form.get("division", ""))
        )
        try:
            answer = await run_in_threadpool(ask)
        except NoAnswer as error:
            return self._page("ask.html", asked=form, answer=None, failed=str(error), data="")
        data = json.dumps(self.shown(answer.data), ensure_ascii=False, indent=2) if answer.data else ""
        return self._page("ask.html", asked=form, answer=answer, failed="", data=data)

    def shown(self, told: Any) -> Any:
        return authority.masked(told, self._province.profile.qr)
