"""AMQP 0-9-1, as RabbitMQ speaks it: a document is published to an exchange, its receipt comes from a queue of our own.

Handing over. Every envelope is published with its idempotency key as message id and correlation id, the receipts queue
as reply address, persistent and `mandatory`, on a channel with confirms: the broker confirms what it has written into a
durable queue, returns what it cannot route (without `mandatory` it would confirm and drop it), and refuses what a full
queue does not take. Its confirm is all that `send` waits for; whether the receiver accepts is in the receipt.

The receipt. It is acknowledged to the broker only after it is on this machine's disk, in `inbox`, and stays there after
`find` has handed it over: whoever is killed with it in hand asks again and gets it again. The other ways were weighed:
to acknowledge when the same key is asked for again fails because nobody asks again for what was kept; never to
acknowledge lets the queue grow, and the broker takes back what is not acknowledged in half an hour; and to count on the
receiver's repeating its receipt fails because what was handed over is not sent again.

What is no receipt, or too large for one, goes into the same file as a stray: nothing is dropped, and nothing blocks the
queue. If the file cannot take more, messages stay in the queue, and `find` says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
import threading
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self, TypeVar
from urllib.parse import quote, unquote, urlsplit

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage
from aiormq import exceptions as amqp
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from scraper_agent import envelope as envelopes
from scraper_agent.credentials import SecretPlace
from scraper_agent.errors import AgentError, SendFailed, SendUnknown, causes
from scraper_agent.messages import N_
from scraper_agent.ports import Standing
from scraper_agent.sending import tls
from scraper_agent.sending.inbox import Inbox
from scraper_agent.yamlfile import Wrong

Seconds = Annotated[float, Field(gt=0, le=3600)]
Name = Annotated[str, Field(min_length=1, max_length=255)]
T = TypeVar("T")

CHANNELS = 8
"""Most envelopes under way at a time."""
PREFETCH = 20
"""Most messages of the receipts queue in memory at a time."""

_KEY = re.compile(r"[0-9a-f]{64}")
_CLOSE_S = 2.0
_SHOWN_KEY = 255

_SENT_AGAIN = N_("it did not arrive and is sent again later; check the network, and `url` if this goes on")
_REPEATED = N_("it is sent again with the same key; the receiving side takes it once")
_TELL_OPERATOR = N_("it did not arrive; report it to whoever runs the broker")

# Its warnings repeat, with traceback, what is raised as well; a handler keeps them off stderr.
for _name in ("aio_pika", "aiormq"):
    logging.getLogger(_name).addHandler(logging.NullHandler())


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["mq"]
    url: str
    """`amqps://host[:port]/vhost`, without account."""
    user: Name
    password: SecretPlace = SecretPlace()
    exchange: Annotated[str, Field(max_length=255)]
    """Empty: the broker's default exchange, where the routing key is the name of a queue."""
    routing_key: Name
    receipts: Name
    """Name of the queue that this agent alone reads."""
    inbox: Path = Path("mq-inbox.db")
    """Where receipts are kept; it belongs into the same backup as the archive."""
    declare: bool = False
    """Make exchange and receipts queue, durable, if they are not there; needs more than an operator's rights."""
    ca_file: Path | None = None
    """PEM of the authorities to trust in place of those of the operating system."""
    allow_plain: bool = False
    """Only inside a tunnel: everyone on the way can read the envelope and the password."""
    connect_timeout_s: Seconds = 10
    confirm_timeout_s: Seconds = 60
    """Until the broker confirms, or answers a question."""
    heartbeat_s: Annotated[int, Field(ge=1, le=3600)] = 30
    answer_limit_bytes: Annotated[int, Field(gt=0)] = envelopes.RECEIPT_BYTES

    @model_validator(mode="after")
    def _check_url(self) -> Self:
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            parts, host = urlsplit(""), None
        if parts.scheme not in ("amqp", "amqps") or not host or parts.username or parts.query or parts.fragment:
            raise Wrong(
                N_("`{url}` is not the address of a broker"),
                hint=N_("write `amqps://host/vhost`, without account, `?` or `#`"),
                url=tls.without_account(self.url),
            )
        if parts.scheme == "amqp" and not self.allow_plain and not tls.is_loopback(host):
            raise Wrong(
                N_("`{url}` is not encrypted"),
                hint=N_("use `amqps://`; inside a tunnel of your own, `allow_plain: true` allows it"),
                url=self.url,
            )
        return self


@dataclass
class _Link:
    """One connection, all its parts used in the loop's thread alone."""

    connection: AbstractConnection
    control: AbstractChannel
    """Reads the receipts, and is asked about the queue."""
    idle: list[AbstractChannel] = field(default_factory=list)
    """For sending, with confirms."""
    taken: int = 0
    """Messages of the receipts queue that are on the disk."""
    owed: int = 0
    """As many were seen to be there: when `taken` has reached it, no message is overlooked."""
    trouble: SendFailed | None = None
    lost: bool = False
    arrived: asyncio.Queue[AbstractIncomingMessage] = field(default_factory=asyncio.Queue)
    """No more than `PREFETCH`."""
    keeping: asyncio.Task[None] | None = None
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def open(self) -> bool:
        return not (self.lost or self.control.is_closed)

    def lose(self, *_: object) -> None:
        self.lost = True
        self.moved.set()


class MqTransport:
    """Thread-safe. Its connection lives in a thread of its own from the first call to `close`."""

    repeat: Literal["safe"] = "safe"  # message id and request carry the idempotency key, which the receiver knows

    def __init__(self, config: Config, password: SecretStr) -> None:
        """Connects to nothing yet.

        Raises:
            UsageError: `ca_file` cannot be read, or `inbox` not be opened.
        """
        self._config = config
        self._password = password
        parts = urlsplit(config.url)
        self._host, self._port = parts.hostname or "", parts.port or (5671 if parts.scheme == "amqps" else 5672)
        self._vhost = unquote(parts.path[1:]) or "/"
        self._tls = tls.trust(config.ca_file) if parts.scheme == "amqps" else None
        self._inbox = Inbox(config.inbox)
        self._guard = threading.Lock()
        self._thread = _LoopThread()
        self._closed = False
        self._link: _Link | None = None
        self._connecting = asyncio.Lock()
        self._places = asyncio.Semaphore(CHANNELS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._guard:
            if self._closed:
                return
            self._closed = True
        if self._thread.running:
            self._thread.run(self._drop())
            self._thread.stop()
        self._inbox.close()

    def send(self, envelope: bytes, *, key: str) -> None:
        """Returns when the broker has confirmed it.

        Raises:
            SendFailed: no connection, no right, nothing to send to, or the broker returned or refused it.
            SendUnknown: no confirm although sending began.
        """
        self._run(self._send(envelope, key))

    def find(self, key: str) -> bytes | Standing:
        """The receipt, if it is on the disk, or else in the queue by now. Never `ABSENT`: a queue tells of no others.

        Raises:
            SendFailed: the queue cannot be read now.
        """
        if not self._inbox.has_new(key):
            # What was handed over once may have been no last word: another one may be in the queue by now.
            try:
                self._run(self._look())
            except SendFailed:
                if (known := self._inbox.take(key)) is None:
                    raise
                return known
        found = self._inbox.take(key)
        return Standing.UNKNOWN if found is None else found

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        with self._guard:
            if self._closed:
                coroutine.close()
                raise RuntimeError("the transport is closed")
            if not self._thread.running:
                self._thread.start()
        return self._thread.run(coroutine)

    # --- in the loop's thread ---------------------------------------------------------------------------------------

    async def _send(self, envelope: bytes, key: str) -> None:
        message = aio_pika.Message(
            envelope,
            message_id=key,
            correlation_id=key,
            reply_to=self._config.receipts,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            content_type="application/json",
            content_encoding="utf-8",
            app_id="scraper-agent",
        )
        async with self._places:
            link, channel = await self._sending_channel()
            # One envelope per channel at a time: if the broker closes the channel, it is about this one.
            whole = False
            try:
                exchange = await self._exchange(channel)
                async with asyncio.timeout(self._config.confirm_timeout_s):
                    await exchange.publish(message, self._config.routing_key, mandatory=True)
                whole = True
            except (amqp.PublishError, amqp.DeliveryError) as error:
                whole = True
                self._refuse_message(error)
            except (amqp.ChannelAccessRefused, amqp.ChannelNotFoundEntity, amqp.ChannelPreconditionFailed) as error:
                raise self._refusal(error) from error
            except TimeoutError as error:
                raise SendUnknown(
                    "SA4078",
                    N_("{url} has not confirmed the message within {most} s"),
                    hint=_REPEATED,
                    url=self._config.url,
                    most=self._config.confirm_timeout_s,
                ) from error
            except Exception as error:  # the library raises all kinds, `Exception` itself among them
                raise SendUnknown(
                    "SA4079",
                    N_("the connection to {url} was lost before the message was confirmed: {reason}"),
                    hint=_REPEATED,
                    url=self._config.url,
                    reason=self._reason(error),
                ) from error
            finally:
                if whole and link.open and not channel.is_closed:
                    link.idle.append(channel)
                else:
                    await _quietly(channel.close())

    async def _sending_channel(self) -> tuple[_Link, AbstractChannel]:
        """Nothing has been sent on it since its last confirm.

        Raises:
            SendFailed: there is none to be had.
        """
        for last in (False, True):
            link = await self._linked()
            while link.idle:
                if not (channel := link.idle.pop()).is_closed:
                    return link, channel
            try:
                async with asyncio.timeout(self._config.confirm_timeout_s):
                    return link, await link.connection.channel(publisher_confirms=True, on_return_raises=True)
            except Exception as error:  # as above; nothing was sent yet
                await self._drop(link)
                if last:
                    raise self._refusal(error) from error
        raise AssertionError("two tries end the loop")

    async def _look(self) -> None:
        """Take what is in the receipts queue, as far as it was there when this began.

        Raises:
            SendFailed: it cannot be read.
        """
        for last in (False, True):
            link = await self._linked()
            try:
                await self._catch_up(link)
                return
            except Exception as error:  # as above
                await self._drop(link)
                if isinstance(error, AgentError):
                    raise
                if last:
                    raise SendFailed(
                        "SA4080",
                        N_("the queue `{queue}` at {url} cannot be read: {reason}"),
                        hint=N_("it is read again later; if this goes on, report it to whoever runs the broker"),
                        queue=self._config.receipts,
                        url=self._config.url,
                        reason=self._reason(error),
                    ) from error

    async def _catch_up(self, link: _Link) -> None:
        async with asyncio.timeout(self._config.confirm_timeout_s):
            queue = await link.control.declare_queue(self._config.receipts, passive=True)
        result = queue.declaration_result
        if not result.consumer_count:  # the queue was deleted and made anew, and we are not told
            raise ConnectionError("the queue was deleted")
        link.owed = max(link.owed, link.taken + (result.message_count or 0))
        while link.taken < link.owed and link.open and link.trouble is None:
            link.moved.clear()
            async with asyncio.timeout(self._config.confirm_timeout_s):  # a long queue takes longer, but moves
                await link.moved.wait()
        if link.trouble is not None:
            raise link.trouble
        if not link.open:
            raise ConnectionError("the connection was lost")

    async def _keep(self, link: _Link) -> None:
        """Put what arrives on the disk, all that has arrived at a time, and acknowledge it, until that fails."""
        try:
            while True:
                messages = [await link.arrived.get()]
                while not link.arrived.empty():
                    messages.append(link.arrived.get_nowait())
                answers = [(_key(each), each.body) for each in messages if self._may_be_answer(each)]
                strays = [(_key(each), each.body) for each in messages if not self._may_be_answer(each)]
                await asyncio.to_thread(self._inbox.put, answers, strays)
                # A crash here leaves them in the queue as well: the inbox knows them again.
                await messages[-1].ack(multiple=True)
                link.taken += len(messages)
                link.moved.set()
        except SendFailed as error:
            link.trouble = error
            link.moved.set()
        except Exception:  # noqa: BLE001 - the channel is gone, and the messages with it back to the queue
            link.lose()

    def _may_be_answer(self, message: AbstractIncomingMessage) -> bool:
        known_form = _KEY.fullmatch(message.correlation_id or "") is not None
        return known_form and len(message.body) <= self._config.answer_limit_bytes

    async def _linked(self) -> _Link:
        async with self._connecting:
            if self._link is None or not self._link.open:
                await self._drop()
                self._link = await self._connect()
            return self._link

    async def _drop(self, link: _Link | None = None) -> None:
        """Close the connection; `link`: only if it still is this one. What was not acknowledged goes back."""
        if self._link is None or (link is not None and link is not self._link):
            return
        link, self._link = self._link, None
        link.lose()
        if link.keeping is not None:
            link.keeping.cancel()
            await asyncio.wait((link.keeping,))
        await _quietly(link.connection.close())

    async def _connect(self) -> _Link:
        """A connection that reads the receipts queue.

        Raises:
            SendFailed: no connection, no trust, no account, no right, or exchange or queue are not there.
        """
        config = self._config
        connection = None
        try:
            async with asyncio.timeout(config.connect_timeout_s):
                connection = await aio_pika.connect(
                    connection_class=Connection,
                    host=self._host,
                    port=self._port,
                    login=config.user,
                    password=self._password.get_secret_value(),
                    virtualhost=quote(self._vhost, safe="") if "/" in self._vhost else self._vhost,
                    ssl=self._tls is not None,
                    ssl_context=self._tls,
                    heartbeat=config.heartbeat_s,
                    client_properties={"connection_name": "scraper-agent"},
                )
                control = await connection.channel(publisher_confirms=False)
                await control.set_qos(prefetch_count=PREFETCH)
                passive = not config.declare
                if config.exchange:
                    await control.declare_exchange(config.exchange, durable=True, passive=passive)
                queue = await control.declare_queue(config.receipts, durable=True, passive=passive)
                link = _Link(connection, control, owed=queue.declaration_result.message_count or 0)
                connection.close_callbacks.add(link.lose)
                control.close_callbacks.add(link.lose)
                # Exclusive: of two readers, each would take receipts that the other waits for.
                await queue.consume(link.arrived.put, exclusive=True)
                link.keeping = asyncio.create_task(self._keep(link))
                return link
        except Exception as error:  # as above
            if connection is not None:
                await _quietly(connection.close())
            raise self._refusal(error) from error

    async def _exchange(self, channel: AbstractChannel) -> AbstractExchange:
        if not self._config.exchange:
            return channel.default_exchange
        return await channel.get_exchange(self._config.exchange, ensure=False)

    # --- errors -----------------------------------------------------------------------------------------------------

    def _refuse_message(self, error: amqp.DeliveryError) -> NoReturn:
        values = {
            "url": self._config.url,
            "exchange": self._config.exchange,
            "routing_key": self._config.routing_key,
        }
        if isinstance(error, amqp.PublishError):
            raise SendFailed(
                "SA4075",
                N_("{url} has no queue for routing key `{routing_key}` of exchange `{exchange}`"),
                hint=_TELL_OPERATOR,
                **values,
            ) from error
        raise SendFailed(
            "SA4076",
            N_("{url} does not take the message for routing key `{routing_key}`: its queue is full, or in trouble"),
            hint=_SENT_AGAIN,
            **values,
        ) from error

    def _refusal(self, error: Exception) -> SendFailed:
        """Of what was asked for before anything was sent, or of one message for certain."""
        url, user, reason = self._config.url, self._config.user, self._reason(error)
        match error:
            case amqp.AuthenticationError() | amqp.ProbableAuthenticationError() | amqp.ConnectionClosed():
                return SendFailed(
                    "SA4072",
                    N_("{url} does not let the account `{user}` in: {reason}"),
                    hint=N_("check `user` and its password"),
                    url=url,
                    user=user,
                    reason=reason,
                )
            case amqp.InvalidFrameError() if "Connection.Close" in reason:  # the library loses the broker's words here
                return SendFailed(
                    "SA4083",
                    N_("{url} does not have this virtual host, or not for the account `{user}`"),
                    hint=N_("check what stands behind the last `/` of `url`, and ask whoever runs the broker"),
                    url=url,
                    user=user,
                )
            case amqp.ChannelAccessRefused() | amqp.ChannelLockedResource():
                return SendFailed(
                    "SA4073",
                    N_("{url} refuses the account `{user}`: {reason}"),
                    hint=N_(
                        "it needs the right to write to the exchange and to read the receipts queue, which no other"
                        " program may read at the same time"
                    ),
                    url=url,
                    user=user,
                    reason=reason,
                )
            case amqp.ChannelNotFoundEntity():
                return SendFailed(
                    "SA4074",
                    N_("{url} does not have what `exchange` or `receipts` names: {reason}"),
                    hint=N_("check both names; whoever runs the broker makes them, or `declare: true`"),
                    url=url,
                    reason=reason,
                )
            case amqp.ChannelPreconditionFailed():
                return SendFailed(
                    "SA4077", N_("{url} does not do that: {reason}"), hint=_TELL_OPERATOR, url=url, reason=reason
                )
            case _ if any(isinstance(cause, ssl.SSLError) for cause in causes(error)):
                return SendFailed(
                    "SA4071",
                    N_("no trusted connection to the broker at {url}: {reason}"),
                    hint=N_(
                        "if its certificate is of a private authority, name that authority's certificate in `ca_file`"
                    ),
                    url=url,
                    reason=reason,
                )
            case _:
                return SendFailed(
                    "SA4070",
                    N_("no connection to the broker at {url}: {reason}"),
                    hint=_SENT_AGAIN,
                    url=url,
                    reason=reason,
                )

    def _reason(self, error: BaseException) -> str:
        """Without the password, whatever the library puts into its words."""
        said = str(error) or type(error).__name__
        secret = self._password.get_secret_value()
        for form in (secret, quote(secret, safe="")):
            said = said.replace(form, "***") if form else said
        return said


class Connection(aio_pika.Connection):
    """Closed by whoever opened it."""

    def __del__(self) -> None:
        """Nothing: the library's own begins to close it in whatever thread it is collected, after its loop, too."""


class _LoopThread:
    """An event loop in a thread of its own, for callers that have none."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="mq", daemon=True)
        self._started = threading.Event()

    @property
    def running(self) -> bool:
        return self._started.is_set()

    def start(self) -> None:
        """Once."""
        self._thread.start()
        self._started.wait()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _work(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            # What the library leaves behind of a lost connection was raised to whoever waited for it.
            self._loop.set_exception_handler(lambda _loop, _context: None)
            self._started.set()
            runner.run(self._end.wait())


def _key(message: AbstractIncomingMessage) -> str:
    return (message.correlation_id or "")[:_SHOWN_KEY]


async def _quietly(closing: Awaitable[object]) -> None:
    """A connection that cannot be closed in order is closed all the same."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_CLOSE_S):
            await closing
