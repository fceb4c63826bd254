"""The server on loopback that platform, console and witness are served by."""

from __future__ import annotations

import socket

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from scraper_agent.serving import Serving


def test_the_body_of_an_answer_does_not_wait_until_its_head_is_confirmed() -> None:
    """As it does where the operating system gathers small packets, some 40 ms an answer."""

    async def gathers(request: Request) -> PlainTextResponse:
        line = request.state.line.transport.get_extra_info("socket")
        return PlainTextResponse(str(not line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))

    serving = Serving(Starlette(routes=[Route("/", gathers)]), 0)
    try:
        assert httpx.get(f"http://127.0.0.1:{serving.port}/", trust_env=False).text == "False"
    finally:
        serving.stop()
