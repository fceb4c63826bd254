"""The pages and addresses of a simulated province. Certificate numbers are masked on every page."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from http import HTTPStatus as Status
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from scraper_agent.sandbox import authority, platform_web
from scraper_agent.sandbox.platform_web import PAGE_ROWS, Door, Pages
from scraper_agent.waybill import image, qr
from scraper_agent.waybill.profile import FORMAT

if TYPE_CHECKING:
    from scraper_agent.sandbox.province import Province


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
    links = {"/waybills": "运单 waybills"}  # noqa: RUF012 - as the class it is of has it

    def __init__(self, province: Province) -> None:
        super().__init__(province.platform)
        self._province = province

    def own_routes(self) -> list[Route]:
        return [
            *super().own_routes(),
            Route("/waybills", self.waybills, methods=["GET"]),
            Route("/waybill/{number}", self.waybill, methods=["GET"]),
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

    def shown(self, told: Any) -> Any:
        return authority.masked(told, self._province.profile.qr)
