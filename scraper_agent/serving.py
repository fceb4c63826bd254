"""A Starlette application on loopback in a thread of this process, with a way down to the bytes of a connection."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeAlias

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

Tls: TypeAlias = tuple[Path, Path]
"""PEM files: the server's certificate, with those between it and its authority, and its key."""

_STARTS_WITHIN_S = 30


class Serving:
    """Listens from the moment it is made. `stop` it."""

    def __init__(self, app: ASGIApp, port: int, tls: Tls | None = None, host: str = "127.0.0.1") -> None:
        """`port`: 0 takes a free one.

        Raises:
            OSError: the port is taken, or a file of `tls` cannot be read.
        """
        self._listener = socket.create_server((host, port))
        self.port: int = self._listener.getsockname()[1]
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",  # a defect shows on stderr; a sender that talks nonsense is no defect
            access_log=False,
            proxy_headers=False,
            server_header=False,
            ssl_certfile=tls[0] if tls else None,
            ssl_keyfile=tls[1] if tls else None,
        )
        try:
            config.load()
        except OSError:
            self._listener.close()
            raise
        if isinstance(config.ssl, ssl.SSLContext):
            config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._run, name="serving", daemon=True)
        self._thread.start()
        self._server.ready.wait(_STARTS_WITHIN_S)

    def stop(self) -> None:
        """Take no more connections, and drop those there are; the port is free when this returns."""
        self._server.end()
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        asyncio.run(self._server.serve([self._listener]))


class _Server(uvicorn.Server):
    """Ends at once when it is told to: uvicorn's own looks ten times a second, and lets requests finish."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self.end: Callable[[], object] = lambda: None

    async def main_loop(self) -> None:
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        self.end = lambda: loop.call_soon_threadsafe(over.set)
        self.ready.set()
        await over.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - as uvicorn calls it
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)


class _Protocol(H11Protocol):
    """Lets the application reach the connection that a request came by, as `request.state.line`."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state | {"line": self}, _loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        # asyncio does so for listeners that it makes itself. Else the body of each answer, which is written after its
        # head, waits 40 ms for the other side to confirm the head.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Reset(Response):
    """No answer: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - nothing is sent
        line = _line(scope)
        if line.transport.is_closing():
            return  # the other side was first
        connection = line.transport.get_extra_info("socket")
        # With nothing to linger for, closing resets; `ii` is the struct of Linux and macOS, `hh` that of Windows.
        form = "hh" if os.name == "nt" else "ii"
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(form, 1, 0))
        line.transport.abort()
        await _gone(scope, receive)


class Bytes(Response):
    """These very bytes in place of an answer, and then the end of the connection."""

    def __init__(self, pieces: AsyncIterator[bytes], *, abruptly: bool = False) -> None:
        """`abruptly`: without the farewell of TLS."""
        super().__init__()
        self._pieces = pieces
        self._abruptly = abruptly

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - past uvicorn
        line = _line(scope)
        async for piece in self._pieces:
            if line.transport.is_closing():
                break
            line.transport.write(piece)
            await line.flow.drain()
            await asyncio.sleep(0)
        if self._abruptly:
            await asyncio.sleep(0.05)  # what was written is on its way
            line.transport.abort()
        else:
            line.transport.close()
        await _gone(scope, receive)


def _line(scope: Scope) -> H11Protocol:
    line = scope["state"]["line"]
    assert isinstance(line, H11Protocol)  # noqa: S101 - our own server put it there
    return line


async def _gone(scope: Scope, receive: Receive) -> None:
    """By itself uvicorn would answer 500 for an application that says nothing while the connection is there."""
    request = Request(scope, receive)
    while (await request.receive())["type"] != "http.disconnect":
        pass
