"""The customs platform's side of a message broker: takes requests from a queue, and publishes a receipt for each.

The receipt is published, and confirmed, before the request is acknowledged: a crash between the two repeats the
request, and the platform answers a repeat with its first receipt.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aiormq import exceptions as amqp

from scraper_agent.sandbox.platform import REQUEST_BYTES, Platform
from scraper_agent.sending.mq import Connection

AGAIN_S = 0.2
PREFETCH = 16

for _name in ("aio_pika", "aiormq"):
    logging.getLogger(_name).addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What there is on the broker. The receiving side makes it all, durable."""

    exchange: str
    routing_key: str
    requests: str
    receipts: str
    """The only queue that a request may name as its reply address: no sender writes into another's."""


class Counter:
    """Works while inside a `with`; a broker that is away is waited for."""

    def __init__(self, platform: Platform, url: str, names: Names) -> None:
        """`url`: with account and password."""
        self._platform = platform
        self._url = url
        self._names = names
        self._loop: asyncio.AbstractEventLoop
        self._end = asyncio.Event()
        self._started, self._ready = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="platform-mq", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def wait(self, seconds: float) -> bool:
        """Until it takes requests for the first time; whether it does."""
        return self._ready.wait(seconds)

    def _work(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._loop.set_exception_handler(lambda _loop, _context: None)
            self._started.set()
            runner.run(self._until_the_end())

    async def _until_the_end(self) -> None:
        serving = asyncio.create_task(self._serve())
        await self._end.wait()
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving

    async def _serve(self) -> None:
        while True:
            with suppress(Exception):  # the library raises all kinds, a stopped platform another; it is tried again
                await self._consume()
            await asyncio.sleep(AGAIN_S)

    async def _consume(self) -> None:
        """Returns when the connection is lost, or a request could not be dealt with."""
        connection = await aio_pika.connect(self._url, timeout=10, connection_class=Connection)
        try:
            lost = asyncio.Event()
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            connection.close_callbacks.add(lambda *_: lost.set())
            channel.close_callbacks.add(lambda *_: lost.set())
            await channel.set_qos(prefetch_count=PREFETCH)
            queue = await channel.declare_queue(self._names.requests, durable=True)
            await channel.declare_queue(self._names.receipts, durable=True)
            if self._names.exchange:
                exchange = await channel.declare_exchange(self._names.exchange, durable=True)
                await queue.bind(exchange, self._names.routing_key)

            async def take(message: AbstractIncomingMessage) -> None:
                try:
                    await self._take(channel, message)
                except Exception:  # noqa: BLE001 - as above; what is not acknowledged goes back to the queue
                    lost.set()

            await queue.consume(take)
            self._ready.set()
            await lost.wait()
        finally:
            await connection.close()

    async def _take(self, channel: AbstractChannel, message: AbstractIncomingMessage) -> None:
        key = message.message_id or ""
        if len(message.body) > REQUEST_BYTES or message.reply_to != self._names.receipts:
            await message.reject(requeue=False)  # nobody can be answered
            return
        _, receipt = self._platform.receive(message.body, key)
        answer = aio_pika.Message(
            receipt,
            correlation_id=key,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            content_type="application/json",
            content_encoding="utf-8",
        )
        with suppress(amqp.PublishError):  # no queue to take it: the platform has it, and gives it to a repeat
            await channel.default_exchange.publish(answer, self._names.receipts, mandatory=True)
        # A crash here repeats the request, and with it the same receipt.
        await message.ack()
