"""The pages and addresses of the simulated ministry."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from scraper_agent.sandbox import authority, platform_web
from scraper_agent.sandbox.platform_web import Door, Pages
from scraper_agent.sandbox.province_web import key_list
from scraper_agent.signing import keyfolder

if TYPE_CHECKING:
    from scraper_agent.sandbox.ministry import Ministry


def application(ministry: Ministry, doors: Iterable[Door], keys: Callable[[], bytes]) -> ASGIApp:
    listing = Route(f"/{ministry.profile.interfaces.ministry.keys.path}", key_list(keys), methods=["GET"])
    return platform_web.serve(MinistryPages(ministry), doors, [listing])


class MinistryPages(Pages):
    links = {"/provinces": "省级系统 provinces"}  # noqa: RUF012 - as the class it is of has it

    def __init__(self, ministry: Ministry) -> None:
        super().__init__(ministry.platform)
        self._ministry = ministry

    def own_routes(self) -> list[Route]:
        return [*super().own_routes(), Route("/provinces", self.provinces, methods=["GET"])]

    def shown(self, told: Any) -> Any:
        return authority.masked(told, self._ministry.profile.qr)

    async def provinces(self, request: Request) -> Response:  # noqa: ARG002 - as Starlette calls it
        known = [
            (province, sk, keyfolder.fingerprint(public_key))
            for _, province in sorted(self._ministry.provinces.items())
            for sk, public_key in sorted(province.public_keys.items())
        ]
        return self._page("provinces.html", rows=known)
