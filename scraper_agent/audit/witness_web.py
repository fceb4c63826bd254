"""A witness over HTTP: `POST /add-checkpoint` as C2SP has it, and `GET /checkpoint?origin=…` for whoever verifies."""

from __future__ import annotations

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from scraper_agent.audit import asking, witness
from scraper_agent.audit.witness import Witness

ADD = "/add-checkpoint"
NEWEST = "/checkpoint"
_SIZE = "text/x.tlog.size"
"""What a body that is a size is called, with 409."""


def routes(of: Callable[[], Witness]) -> list[Route]:
    """`of`: asked for at each request."""

    async def add(request: Request) -> Response:
        body = b""
        try:
            async for part in request.stream():
                body += part
                if len(body) > witness.MOST_BYTES:
                    return Response(b"too long\n", 413)
        except ClientDisconnect:
            return Response()  # nobody reads it
        answer = await run_in_threadpool(of().add, body)
        return Response(answer.body, answer.status, media_type=_SIZE if answer.status == asking.STALE else "text/plain")

    async def newest(request: Request) -> Response:
        known = await run_in_threadpool(of().newest, request.query_params.get("origin", ""))
        return Response(b"", 404) if known is None else Response(known, media_type="text/plain")

    return [Route(ADD, add, methods=["POST"]), Route(NEWEST, newest, methods=["GET"])]
