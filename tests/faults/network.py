"""A TCP proxy on loopback that is a bad network: toxiproxy's nine toxics, and the answer that is lost after all.

Those that break a connection do so now and then only, so that every delivery ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Coroutine
from enum import StrEnum
from typing import Any, Self


class Toxic(StrEnum):
    LATENCY = "latency"
    JITTER = "jitter"
    BANDWIDTH = "bandwidth"
    SLICER = "slicer"
    SLOW_CLOSE = "slow_close"
    TIMEOUT = "timeout"  # nothing passes, and after a while it closes
    LIMIT_DATA = "limit_data"  # closes after so many bytes, of either direction
    RESET_PEER = "reset_peer"  # resets after so many
    DOWN = "down"  # refuses connections
    ANSWER_LOST = "answer_lost"  # resets once the server has begun to answer the last word


BREAKING = {Toxic.TIMEOUT, Toxic.LIMIT_DATA, Toxic.RESET_PEER, Toxic.ANSWER_LOST}
TOXICITY = 0.3
"""How probable it is that a toxic that breaks connections does so in a turn: a word of the client, and the answer."""
LETTER_BYTES = 1200
"""A client that has said as much since it last heard from the server has sent a letter, and greets no more."""
BYTES_A_SECOND = 50_000
PIECE = 1024


class Proxy:
    """Stands before `target` while inside a `with`. What it does is the same for the same seed and connections."""

    def __init__(
        self,
        target: tuple[str, int],
        toxic: Toxic | None,
        seed: int = 6,
        most_bytes: int = 2500,
        toxicity: float = TOXICITY,
    ) -> None:
        """`most_bytes`: of one direction, before a toxic that counts them acts at the latest."""
        self._target = target
        self._toxic = toxic
        self._most_bytes = most_bytes
        self._toxicity = toxicity
        self._rng = random.Random(seed)
        self._downs = random.Random(seed)  # its own: how much the lines draw depends on how fast they are
        self.port = 0
        self.hit = 0
        """Connections that were broken, or refused."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def before_each(self) -> None:
        """A delivery's next step is about to begin: the network may be down for it."""
        if self._toxic is Toxic.DOWN:
            down = self._downs.random() < self._toxicity
            self.hit += down
            self._do(self._close() if down else self._listen())

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    async def _listen(self) -> None:
        if self._server is None:
            listener = socket.create_server(("127.0.0.1", self.port))
            self.port = listener.getsockname()[1]
            self._server = await asyncio.start_server(self._attend, sock=listener)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            await asyncio.sleep(0)  # a line that was just accepted has begun by then, and can be ended
        lines = list(self._lines)
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._lines.add(task)
        try:
            await self._joined(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._lines.discard(task)
            writer.transport.abort()

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the target. Whoever is cancelled meanwhile leaves no connection behind."""
        opening = asyncio.create_task(asyncio.open_connection(*self._target))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                (await opening)[1].transport.abort()
            raise

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await self._opened()
        line = _Line(self._toxic, self._rng, self._most_bytes, self._toxicity)
        pumps = [
            asyncio.create_task(line.pump(reader, there_writer, answer=False)),
            asyncio.create_task(line.pump(there_reader, writer, answer=True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            if line.cut:
                self.hit += 1
                if self._toxic in (Toxic.RESET_PEER, Toxic.ANSWER_LOST):
                    _reset_on_close(writer)
                    _reset_on_close(there_writer)
            elif self._toxic is Toxic.SLOW_CLOSE:
                await asyncio.sleep(0.02)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            there_writer.transport.abort()


class _Line:
    """A turn begins with what the client says after the server has spoken; whether it is broken is drawn for each."""

    def __init__(self, toxic: Toxic | None, rng: random.Random, most_bytes: int, toxicity: float) -> None:
        self._toxic = toxic
        self._rng = rng
        self._most_bytes = most_bytes
        self._toxicity = toxicity
        self._server_spoke = True
        self._armed = False
        self._left = {False: 0, True: 0}
        self._asked = 0
        self.cut = False

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answer: bool) -> None:
        """One direction, to its end or to that of the connection."""
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                self._turn(len(data), answer=answer)
                for piece in self._pieces(data):
                    if not await self._passes(piece, writer, answer=answer):
                        self.cut = True
                        return

    def _turn(self, size: int, *, answer: bool) -> None:
        if answer:
            self._server_spoke = True
            return
        if self._server_spoke:
            self._armed = self._rng.random() < self._toxicity
            self._left = dict.fromkeys((False, True), self._rng.randrange(self._most_bytes))
            self._asked = 0
        self._asked += size
        self._server_spoke = False

    def _pieces(self, data: bytes) -> list[bytes]:
        match self._toxic:
            case Toxic.SLICER:
                size = self._rng.randrange(16, 200)
            case Toxic.BANDWIDTH:
                size = PIECE
            case _:
                return [data]
        return [data[at : at + size] for at in range(0, len(data), size)]

    async def _passes(self, piece: bytes, writer: asyncio.StreamWriter, *, answer: bool) -> bool:
        """Whether the connection lives on."""
        if self._toxic in BREAKING and self._armed and await self._broken(piece, writer, answer=answer):
            return False
        match self._toxic:
            case Toxic.LATENCY:
                await asyncio.sleep(0.003)
            case Toxic.JITTER:
                await asyncio.sleep(self._rng.random() * 0.008)
            case Toxic.BANDWIDTH:
                await asyncio.sleep(len(piece) / BYTES_A_SECOND)
            case _:
                pass
        writer.write(piece)
        await writer.drain()
        if self._toxic is Toxic.SLICER:
            await asyncio.sleep(0)
        return True

    async def _broken(self, piece: bytes, writer: asyncio.StreamWriter, *, answer: bool) -> bool:
        if self._toxic is Toxic.TIMEOUT:
            await asyncio.sleep(0.03)
            return True
        if self._toxic is Toxic.ANSWER_LOST:
            return answer and self._asked > LETTER_BYTES
        most = self._left[answer]
        self._left[answer] -= len(piece)
        if len(piece) <= most:
            return False
        writer.write(piece[:most])
        with contextlib.suppress(OSError):
            await writer.drain()
        return True


def _reset_on_close(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
