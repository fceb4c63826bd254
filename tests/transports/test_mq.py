"""The contract over RabbitMQ, and what only a broker can do to a message."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from urllib.parse import quote

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from pydantic import BaseModel, SecretStr
from yarl import URL

from scraper_agent import sending, yamlfile
from scraper_agent.credentials import SecretPlace
from scraper_agent.errors import SendFailed, SendUnknown, SourceErrors, UsageError
from scraper_agent.ports import Standing
from scraper_agent.sandbox.mq import Counter, Names
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sending import mq
from scraper_agent.sending.inbox import Inbox
from tests.transports.contract import FORMAT, SENDERS, Contract, Site, accepted, answer, letter, until, wait_for
from tests.transports.rabbitmq import PASSWORDS, VHOST, Broker

NUMBERS = itertools.count(1)
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


class Desk:
    """One receiving side on the broker, with names of its own."""

    def __init__(self, broker: Broker, platform: Platform, inbox: Path) -> None:
        self.broker, self.platform, self.inbox = broker, platform, inbox
        number = next(NUMBERS)
        self.names = Names(
            exchange=f"requests-x{number}",
            routing_key="documents",
            requests=f"requests-{number}",
            receipts=f"receipts-{number}",
        )
        self.counter = Counter(platform, broker.url_for("platform"), self.names)

    def config(self, **change: object) -> mq.Config:
        return mq.Config.model_validate(
            {
                "kind": "mq",
                "url": self.broker.url(),
                "user": "agent",
                "password": SecretPlace(env="UNUSED"),
                "exchange": self.names.exchange,
                "routing_key": self.names.routing_key,
                "receipts": self.names.receipts,
                "inbox": self.inbox,
                "confirm_timeout_s": 20,
                **change,
            }
        )

    def transport(self, **change: object) -> mq.MqTransport:
        config = self.config(**change)
        return mq.MqTransport(config, SecretStr(PASSWORDS.get(config.user, "wrong-password")))

    def on_broker(self, do: Callable[[AbstractChannel], Awaitable[object]]) -> None:
        """As one who may do everything."""

        async def work() -> None:
            async with await aio_pika.connect(self.broker.url_for("platform")) as connection:
                await do(await connection.channel())

        asyncio.run(work())

    def publish(self, *receipts: tuple[str, bytes]) -> None:
        """(correlation id, body) of each, into the receipts queue, in this order."""

        async def work(channel: AbstractChannel) -> None:
            messages = [
                aio_pika.Message(body, correlation_id=key or None, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                for key, body in receipts
            ]
            exchange, name = channel.default_exchange, self.names.receipts
            await asyncio.gather(*(exchange.publish(each, name) for each in messages))

        self.on_broker(work)

    def other_receipts(self) -> str:
        """A queue that the agent may read, and the receiving side does not know."""
        name = f"{self.names.receipts}-other"
        self.on_broker(lambda channel: channel.declare_queue(name, durable=True))
        return name

    def waiting(self, queue: str) -> int:
        """Messages that nobody has taken."""
        seen: list[int] = []

        async def look(channel: AbstractChannel) -> None:
            declared = await channel.declare_queue(queue, passive=True)
            seen.append(declared.declaration_result.message_count or 0)

        self.on_broker(look)
        return seen[0]

    def stop(self) -> None:
        self.broker.kill()

    def start(self) -> None:
        self.broker.start()


@pytest.fixture
def site(broker: Broker, tmp_path: Path) -> Iterator[Desk]:
    broker.start()  # a test that failed may have left it away
    with Platform(lambda: datetime.now(UTC), SENDERS, {FORMAT}) as platform:
        desk = Desk(broker, platform, tmp_path / "inbox.db")
        with desk.counter as counter:
            assert counter.wait(PATIENCE_S)
            yield desk


class Swallower:
    """A way to the broker on which, when told so, one direction goes nowhere."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"amqp://127.0.0.1:{self.port}/{VHOST}"
        self._answers, self._questions = threading.Event(), threading.Event()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._pass_all()
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        self.cut()
        for thread in self._threads:
            thread.join()

    def swallow(self) -> None:
        """What the broker says is lost."""
        self._answers.clear()

    def hold(self) -> None:
        """What is said to the broker is lost."""
        self._questions.clear()

    def cut(self) -> None:
        """End all connections; new ones lose nothing."""
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._open.clear()
        self._pass_all()

    def _pass_all(self) -> None:
        self._answers.set()
        self._questions.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                inner, _ = self._listener.accept()
                outer = socket.create_connection(("127.0.0.1", self._port))
                self._open += [inner, outer]
                for pair in ((inner, outer, self._questions), (outer, inner, self._answers)):
                    self._threads.append(threading.Thread(target=self._pump, args=pair))
                    self._threads[-1].start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, passing: threading.Event) -> None:
        with source, contextlib.suppress(OSError):
            while data := source.recv(65536):
                if passing.is_set():
                    sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


_CHILD = """
import sys
from pydantic import SecretStr
from scraper_agent.errors import SendFailed
from scraper_agent.sending import mq
config, key, password = sys.argv[1:]
transport = mq.MqTransport(mq.Config.model_validate_json(config), SecretStr(password))
while True:
    try:
        found = transport.find(key)
    except SendFailed:  # the broker has not noticed yet that the one before is gone
        continue
    if isinstance(found, bytes):
        print(found.hex(), flush=True)
        sys.stdin.read()
"""


class Child:
    """A process that asks for one receipt until it has it, and then holds it."""

    def __init__(self, config: mq.Config, key: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, config.model_dump_json(), key, PASSWORDS["agent"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._process.communicate()

    def line(self) -> bytes:
        assert self._process.stdout is not None
        return bytes.fromhex(self._process.stdout.readline().decode())

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def rows(inbox: Path) -> int:
    """How many answers are in it."""
    try:
        with contextlib.closing(sqlite3.connect(inbox)) as database:
            count: int = database.execute("SELECT count(*) FROM answers").fetchone()[0]
            return count
    except sqlite3.OperationalError:  # it is not made yet
        return 0


def platform_has(platform: Platform, key: str) -> bool:
    return until(lambda: b"there" if platform.answer_to(key) else None) == b"there"


def emptied(site: Desk, queue: str) -> bool:
    return until(lambda: b"empty" if site.waiting(queue) == 0 else None) == b"empty"


class TestMq(Contract):
    @pytest.fixture
    def site(self, site: Desk) -> Site:
        return site


def send(transport: mq.MqTransport, number: int) -> None:
    body, key = letter(number)
    transport.send(body, key=key)


# --- what the broker does to a letter ---------------------------------------------------------------------------------


def test_repeating_is_safe(site: Desk) -> None:
    with site.transport() as transport:
        assert transport.repeat == "safe"


def test_a_letter_without_a_queue_is_an_error_and_not_confirmed_and_dropped(site: Desk) -> None:
    body, key = letter(101)
    with site.transport() as transport:
        transport.find(key)
        site.on_broker(lambda channel: channel.queue_delete(site.names.requests))
        with pytest.raises(SendFailed) as caught:
            transport.send(body, key=key)
    assert str(caught.value) == (
        f"SA4075 {site.broker.url()} has no queue for routing key `documents` of exchange `{site.names.exchange}`\n"
        "hint: it did not arrive; report it to whoever runs the broker"
    )


def refused(transport: mq.MqTransport, numbers: Iterable[int]) -> SendFailed | None:
    try:
        for number in numbers:
            send(transport, number)
    except SendFailed as error:
        return error
    return None


def test_a_letter_that_a_full_queue_refuses_has_surely_not_arrived(site: Desk) -> None:
    async def full(channel: AbstractChannel) -> None:
        queue = await channel.declare_queue(
            f"{site.names.requests}-full", arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
        )
        await queue.bind(site.names.exchange, "full")

    site.on_broker(full)
    with site.transport(routing_key="full") as transport:
        send(transport, 102)
        caught = refused(transport, range(103, 110))  # the limit is kept a message or two late
    assert str(caught) == (
        f"SA4076 {site.broker.url()} does not take the message for routing key `full`: "
        "its queue is full, or in trouble\n"
        "hint: it did not arrive and is sent again later; check the network, and `url` if this goes on"
    )


def test_a_letter_larger_than_the_broker_takes_has_surely_not_arrived_and_leaves_the_next_alone(site: Desk) -> None:
    body, key = letter(111)
    with site.transport() as transport:
        with pytest.raises(SendFailed, match=r"SA4077 .*larger than"):
            transport.send(bytes(17 * 1024 * 1024), key=key)
        assert accepted(site, answer(transport, body, key), body, key)


def test_what_is_published_survives_a_crash_and_tells_what_it_is(site: Desk) -> None:
    body, key = letter(112)
    seen: list[AbstractIncomingMessage] = []

    async def look(channel: AbstractChannel) -> None:
        queue = await channel.declare_queue(f"{site.names.requests}-look")
        await queue.bind(site.names.exchange, "look")

    async def take(channel: AbstractChannel) -> None:
        queue = await channel.declare_queue(f"{site.names.requests}-look")
        seen.append(await queue.get(no_ack=True))

    site.on_broker(look)
    with site.transport(routing_key="look") as transport:
        transport.send(body, key=key)
    site.on_broker(take)
    (message,) = seen
    assert message.body == body
    assert (message.message_id, message.correlation_id, message.reply_to) == (key, key, site.names.receipts)
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert message.content_type == "application/json"


def test_letters_and_receipts_survive_the_crash_of_the_broker(broker: Broker, tmp_path: Path) -> None:
    broker.start()
    with Platform(lambda: datetime.now(UTC), SENDERS, {FORMAT}) as platform:
        desk = Desk(broker, platform, tmp_path / "inbox.db")
        (first, one), (second, two) = letter(113), letter(114)
        with desk.counter as counter:
            assert counter.wait(PATIENCE_S)
        with desk.transport() as transport:
            transport.send(second, key=two)
        desk.publish((one, platform.receive(first, one)[1]))
        broker.kill()
        broker.start()
        with desk.transport() as transport, Counter(platform, broker.url_for("platform"), desk.names):
            assert accepted(desk, wait_for(transport, one), first, one)
            assert accepted(desk, wait_for(transport, two), second, two)


# --- who may, and where -----------------------------------------------------------------------------------------------


def failure(transport: mq.MqTransport) -> SendFailed:
    """What both calls raise."""
    body, key = letter(120)
    with transport:
        with pytest.raises(SendFailed) as sending:
            transport.send(body, key=key)
        with pytest.raises(SendFailed) as asking:
            transport.find(key)
    assert str(sending.value) == str(asking.value)
    for secret in ("wrong-password", *PASSWORDS.values()):
        assert secret not in str(sending.value)
    return sending.value


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"user": "nobody"}, "SA4072"),
        ({"user": "stranger"}, "SA4083"),
        ({"exchange": "forbidden", "declare": True}, "SA4073"),
        ({"exchange": "requests-none"}, "SA4074"),
        ({"receipts": "receipts-none"}, "SA4074"),
    ],
)
def test_what_the_broker_refuses_at_the_door_has_surely_not_arrived(
    site: Desk, change: Mapping[str, object], code: str
) -> None:
    assert failure(site.transport(**change)).code == code


def test_a_wrong_password_is_said_and_not_shown(site: Desk) -> None:
    error = failure(mq.MqTransport(site.config(), SecretStr("wrong-password")))
    assert str(error) == (
        f"SA4072 {site.broker.url()} does not let the account `agent` in: ACCESS_REFUSED - Login was refused using "
        "authentication mechanism PLAIN. For details see the broker logfile.\n"
        "hint: check `user` and its password"
    )


def test_an_account_without_the_right_to_write_is_told_so_and_leaves_nothing(site: Desk) -> None:
    async def make(channel: AbstractChannel) -> None:
        await channel.declare_exchange("others-x", durable=True)

    site.on_broker(make)
    body, key = letter(121)
    with site.transport(exchange="others-x") as transport, pytest.raises(SendFailed, match=r"SA4073 .*others-x"):
        transport.send(body, key=key)


def test_a_second_reader_of_the_receipts_is_refused(site: Desk) -> None:
    body, key = letter(122)
    with site.transport() as first, site.transport() as second:
        first.find(key)
        with pytest.raises(SendFailed, match=r"SA4073 .*exclusive"):
            second.send(body, key=key)
        assert accepted(site, answer(first, body, key), body, key)


def test_nothing_shows_the_password(site: Desk) -> None:
    with site.transport() as transport:
        transport.find(letter(123)[1])
        shown = repr(transport) + repr(vars(transport)) + repr(site.config())
    assert PASSWORDS["agent"] not in shown
    assert quote(PASSWORDS["agent"], safe="") not in shown


def test_exchange_and_receipts_queue_are_made_only_when_that_is_configured(site: Desk) -> None:
    names = {"user": "platform", "exchange": f"{site.names.exchange}-made", "receipts": f"{site.names.receipts}-made"}
    assert failure(site.transport(**names)).code == "SA4074"
    with site.transport(**names, declare=True) as transport:
        transport.find(letter(124)[1])
    with site.transport(**names) as transport:
        transport.find(letter(124)[1])


def test_the_default_exchange_takes_the_name_of_a_queue(site: Desk) -> None:
    body, key = letter(125)
    with site.transport(exchange="", routing_key=site.names.requests) as transport:
        assert accepted(site, answer(transport, body, key), body, key)


# --- TLS --------------------------------------------------------------------------------------------------------------


def test_a_broker_with_a_certificate_of_the_configured_authority_is_trusted(site: Desk) -> None:
    body, key = letter(130)
    with site.transport(url=site.broker.tls_url(), ca_file=site.broker.ca_file) as transport:
        assert accepted(site, answer(transport, body, key), body, key)


@pytest.mark.parametrize(
    ("host", "authority", "reason"),
    [
        ("127.0.0.1", "other-ca.pem", "certificate verify failed"),
        ("127.0.0.1", None, "certificate verify failed"),
        ("localhost", "ca.pem", "Hostname mismatch, certificate is not valid for 'localhost'"),
    ],
)
def test_a_broker_that_is_not_trusted_gets_nothing(site: Desk, host: str, authority: str | None, reason: str) -> None:
    ca_file = site.broker.ca_file.with_name(authority) if authority else None
    error = failure(site.transport(url=site.broker.tls_url(host), ca_file=ca_file))
    assert error.code == "SA4071"
    assert reason in str(error)


def test_nobody_there_is_said_so(site: Desk) -> None:
    assert failure(site.transport(url="amqp://127.0.0.1:9/customs")).code == "SA4070"


def test_a_connection_that_was_refused_may_be_collected_in_any_thread() -> None:
    asyncio.run(asyncio.sleep(0))  # this thread has had a loop, and has none now
    loop = asyncio.new_event_loop()  # as that of the thread that opened it
    connection = mq.Connection(URL("amqp://127.0.0.1:9/customs"), loop=loop)
    del connection
    gc.collect()  # a warning fails the test
    loop.close()


def test_a_file_of_authorities_that_is_none_is_refused_at_once(site: Desk, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="SA4029"):
        site.transport(url=site.broker.tls_url(), ca_file=tmp_path / "none.pem")


# --- the confirm is lost ----------------------------------------------------------------------------------------------


def test_a_connection_lost_before_the_confirm_leaves_it_open_and_the_repeat_has_one_effect(site: Desk) -> None:
    body, key = letter(140)
    with Swallower(site.broker.port) as way, site.transport(url=way.url) as transport:
        send(transport, 142)
        way.swallow()
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(transport.send, body, key=key)
            assert platform_has(site.platform, key)
            way.cut()
            with pytest.raises(SendUnknown, match="SA4079"):
                sending.result()
        assert accepted(site, answer(transport, body, key), body, key)
        until(lambda: b"twice" if site.platform.stored()[-1].deliveries == 2 else None)
        assert [stored.key for stored in site.platform.stored()] == [letter(142)[1], key]


def test_no_confirm_in_time_leaves_it_open(site: Desk) -> None:
    body, key = letter(141)
    with (
        Swallower(site.broker.port) as way,
        site.transport(url=way.url, confirm_timeout_s=1, connect_timeout_s=1) as transport,
    ):
        send(transport, 142)
        way.swallow()
        with pytest.raises(SendUnknown) as caught:
            transport.send(body, key=key)
        assert str(caught.value).startswith(f"SA4078 {way.url} has not confirmed the message within 1.0 s\nhint: ")
        with pytest.raises(SendFailed, match=r"SA4080|SA4070"):
            transport.find(key)
        way.cut()
        assert accepted(site, answer(transport, body, key), body, key)


# --- receipts ---------------------------------------------------------------------------------------------------------


def test_a_receipt_is_there_again_for_whoever_died_with_it_in_hand(site: Desk) -> None:
    body, key = letter(150)
    site.publish((key, site.platform.receive(body, key)[1]))
    with Child(site.config(), key) as child:
        said = child.line()
        child.kill()
    assert site.waiting(site.names.receipts) == 0
    with site.transport() as transport:
        assert transport.find(key) == said
        assert accepted(site, said, body, key)


def test_no_receipt_is_lost_when_the_reader_is_killed_again_and_again(site: Desk) -> None:
    keys = [f"{number:064x}" for number in range(1000)]
    site.publish(*((key, key.encode()) for key in keys))
    _, none = letter(1)
    counts = [0]
    for _ in range(3):
        with Child(site.config(), none) as child:
            until(lambda: b"more" if rows(site.inbox) > counts[-1] else None)
            child.kill()
        counts.append(rows(site.inbox))
    assert counts[1] < len(keys)  # it was killed while reading
    with site.transport() as transport:
        assert [wait_for(transport, key) for key in keys] == [key.encode() for key in keys]


def test_duplicates_of_a_receipt_are_one(site: Desk) -> None:
    _, key = letter(151)
    site.publish(*[(key, b"receipt")] * 3)
    with site.transport() as transport:
        assert [transport.find(key) for _ in range(3)] == [b"receipt"] * 3
    assert rows(site.inbox) == 1
    assert site.waiting(site.names.receipts) == 0


def test_receipts_of_others_and_junk_neither_block_nor_are_lost(site: Desk) -> None:
    body, key = letter(152)
    others = [f"{number:064x}" for number in range(100)]
    junk = [("", b"no key"), ("no key at all", b"junk"), (key.upper(), b"shouted"), (key, bytes(10_000_000))]
    site.publish(*((other, other.encode()) for other in others), *junk)
    with site.transport() as transport:
        assert accepted(site, answer(transport, body, key), body, key)
        assert [transport.find(other) for other in others] == [other.encode() for other in others]
    assert site.waiting(site.names.receipts) == 0
    box = Inbox(site.inbox)
    assert box.strays() == tuple(junk)
    box.close()


def test_a_false_receipt_does_not_hide_the_true_one(site: Desk) -> None:
    body, key = letter(153)
    site.publish((key, b"false"))
    with site.transport() as transport:
        assert transport.find(key) == b"false"
        transport.send(body, key=key)
        assert platform_has(site.platform, key)
        true = until(lambda: said if (said := transport.find(key)) != b"false" and isinstance(said, bytes) else None)
        assert accepted(site, true, body, key)


def test_an_interim_receipt_hides_the_final_one_from_no_later_process(site: Desk) -> None:
    _, key = letter(157)
    site.publish((key, b"interim"))
    with site.transport() as transport:
        assert transport.find(key) == b"interim"
    site.publish((key, b"final"))
    with site.transport() as transport:
        assert transport.find(key) == b"final"


def test_a_receipts_queue_that_is_gone_is_said_and_used_again_when_it_is_back(site: Desk) -> None:
    body, key = letter(154)
    with site.transport() as transport:
        transport.find(key)
        site.on_broker(lambda channel: channel.queue_delete(site.names.receipts))
        with pytest.raises(SendFailed, match="SA4074"):
            transport.find(key)
        site.on_broker(lambda channel: channel.declare_queue(site.names.receipts, durable=True))
        assert accepted(site, answer(transport, body, key), body, key)


def test_a_receipts_queue_that_was_made_anew_is_read_at_once(site: Desk) -> None:
    _, key = letter(156)
    with site.transport(confirm_timeout_s=2 * PATIENCE_S) as transport:
        transport.find(key)
        site.on_broker(lambda channel: channel.queue_delete(site.names.receipts))
        site.on_broker(lambda channel: channel.declare_queue(site.names.receipts, durable=True))
        site.publish((key, b"receipt"))
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(transport.find, key).result(PATIENCE_S) == b"receipt"


def test_a_receipt_that_cannot_be_kept_stays_in_the_queue(site: Desk) -> None:
    _, key = letter(155)
    site.publish((key, b"receipt"))
    with site.transport() as transport:
        with contextlib.closing(sqlite3.connect(site.inbox, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(SendFailed) as caught:
                transport.find(key)
        assert str(caught.value) == (
            f"SA4082 {site.inbox} cannot keep another answer, so it stays where it came in: database is locked\n"
            "hint: make room on the disk; if the file has its full size, look at its table `strays`"
        )
        assert transport.find(key) == b"receipt"


# --- the file they are kept in ----------------------------------------------------------------------------------------


def test_a_full_inbox_takes_no_more_and_keeps_what_it_has(tmp_path: Path) -> None:
    box = Inbox(tmp_path / "inbox.db", most_bytes=20 * 4096)
    for kept in range(10):
        box.put([(f"{kept:064}", bytes(1000))])
    more = [(f"{kept:064}", bytes(1000)) for kept in range(10, 100)]
    with pytest.raises(SendFailed, match=r"SA4082 .*disk is full"):
        box.put(more)
    assert all(box.take(f"{kept:064}") == bytes(1000) for kept in range(10))
    assert not any(box.take(key) for key, _ in more)
    box.close()


def test_the_inbox_forgets_only_what_was_handed_over_long_ago(tmp_path: Path) -> None:
    box = Inbox(tmp_path / "inbox.db", kept_after_asking=3)
    box.put((key, key.encode()) for key in "abcdef")
    assert [box.take(key) for key in "abcd"] == [b"a", b"b", b"c", b"d"]
    assert [box.take(key) for key in "aefbcd"] == [None, b"e", b"f", None, None, b"d"]
    box.close()


def test_an_inbox_that_cannot_be_made_is_said_at_once(site: Desk, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        site.transport(inbox=tmp_path / "none" / "inbox.db")
    assert str(caught.value) == (
        f"SA4081 cannot open {tmp_path / 'none' / 'inbox.db'}, where answers are kept: unable to open database file\n"
        "hint: `inbox` names a file in a folder that is there and may be written to"
    )


# --- what the configuration may say -----------------------------------------------------------------------------------

CONFIG = """\
kind: mq
url: {url}
user: agent
exchange: requests
routing_key: documents
receipts: receipts
"""


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("amqp://broker.example/customs", "`amqp://broker.example/customs` is not encrypted"),
        ("amqps://u:hidden@broker.example/", "`broker.example/` is not the address of a broker"),
        ("amqps://broker.example/?auth=external", "is not the address of a broker"),
        ("https://broker.example/", "is not the address of a broker"),
        ("amqps://broker.example:port/", "is not the address of a broker"),
        ("amqps:///customs", "is not the address of a broker"),
    ],
)
def test_an_address_that_is_none_or_not_encrypted_is_refused(url: str, text: str) -> None:
    with pytest.raises(SourceErrors) as caught:
        yamlfile.parse(CONFIG.format(url=url), Path("config.yaml"), mq.Config)
    assert text in str(caught.value)
    assert url.startswith("amqps://u:") or caught.value.problems[0].at.line == 1


@pytest.mark.parametrize(
    "url", ["amqps://broker.example", "amqp://localhost/x", "amqp://broker.example/x\nallow_plain: true"]
)
def test_an_address_that_may_be_used(url: str) -> None:
    yamlfile.parse(CONFIG.format(url=url), Path("config.yaml"), mq.Config)


def test_the_example_in_the_packaged_configuration_holds() -> None:
    example = Path(__file__).parents[2] / "config.example.yaml"
    lines = example.read_text(encoding="utf-8").splitlines()
    block = itertools.takewhile(lambda line: line.startswith("  #   "), lines[lines.index("  #   kind: mq") :])
    text = "\n".join(line.removeprefix("  #   ") for line in block)
    config = yamlfile.parse(text, example, mq.Config)
    assert (config.receipts, config.inbox) == ("receipts-310001", Path("mq-inbox.db"))


def test_the_configuration_leads_to_the_transport_and_its_secret(tmp_path: Path) -> None:
    class Settings(BaseModel):
        transport: sending.Config

    asked: list[tuple[SecretPlace, str]] = []

    def secrets(place: SecretPlace, name: str) -> SecretStr:
        asked.append((place, name))
        return SecretStr("secret")

    config = Settings.model_validate(
        {
            "transport": {
                "kind": "mq",
                "url": "amqps://broker.example/customs",
                "user": "agent",
                "password": {"env": "MQ_PASSWORD"},
                "exchange": "requests",
                "routing_key": "documents",
                "receipts": "receipts",
                "inbox": tmp_path / "inbox.db",
            }
        }
    ).transport
    transport = sending.connect(config, secrets)
    assert isinstance(transport, mq.MqTransport)
    transport.close()
    assert asked == [(SecretPlace(env="MQ_PASSWORD"), "mq.agent")]


# --- the receiving side -----------------------------------------------------------------------------------------------


def test_the_receiving_side_answers_into_no_other_queue(site: Desk) -> None:
    body, key = letter(160)
    other = site.other_receipts()
    with site.transport(receipts=other) as transport:
        transport.send(body, key=key)
        assert emptied(site, site.names.requests)
        assert transport.find(key) is Standing.UNKNOWN
    assert site.platform.stored() == ()


def test_the_receiving_side_leaves_a_request_in_the_queue_until_it_was_dealt_with(site: Desk) -> None:
    body, key = letter(162)
    site.platform.stop()
    with site.transport() as transport:
        transport.send(body, key=key)
        assert emptied(site, site.names.requests)  # it was taken, in vain
        site.platform.start()
        assert accepted(site, wait_for(transport, key), body, key)


def test_the_receiving_side_takes_a_request_again_whose_receipt_it_could_not_hand_over(
    broker: Broker, tmp_path: Path
) -> None:
    body, key = letter(161)
    with Platform(lambda: datetime.now(UTC), SENDERS, {FORMAT}) as platform:
        desk = Desk(broker, platform, tmp_path / "inbox.db")
        with Swallower(broker.port) as way:
            url = broker.url_for("platform").replace(str(broker.port), str(way.port))
            with Counter(platform, url, desk.names) as counter:
                assert counter.wait(PATIENCE_S)
                with desk.transport() as transport:
                    way.hold()  # nothing of the receiving side's reaches the broker any more
                    transport.send(body, key=key)
                    assert platform_has(platform, key)
                    assert transport.find(key) is Standing.UNKNOWN
                    way.cut()
                    assert accepted(desk, wait_for(transport, key), body, key)
        (stored,) = platform.stored()
        assert stored.deliveries == 2
