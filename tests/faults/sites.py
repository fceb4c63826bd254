"""Where `tests.faults.delivery` delivers to: a real server of each kind with the sandbox platform behind it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from scraper_agent.ports import Transport
from scraper_agent.sandbox.folders import Desk
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sandbox.tls import Authority
from scraper_agent.sending import https
from tests.transports import test_mq, test_sftp
from tests.transports.contract import FORMAT, PATIENCE_S, SENDERS
from tests.transports.rabbitmq import VHOST, Broker
from tests.transports.servers.sshd import Sshd

BEGAN = datetime(2026, 5, 6, tzinfo=UTC)
AGES = timedelta(days=36_500)
"""The platform's window for `ts`: the clock of these runs jumps from one due time to the next."""


class Site(Protocol):
    """A server with its receiving side. `platform` knows `SENDERS` and `FORMAT`."""

    platform: Platform

    @property
    def address(self) -> tuple[str, int]:
        """Of the server."""
        ...

    def transport_by(self, port: int) -> Transport:
        """One that reaches the server at this port of loopback."""
        ...


@dataclass
class HttpsSite:
    platform: Platform
    ca_file: Path

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.platform.home.rpartition(":")[2].strip("/"))

    def transport_by(self, port: int) -> Transport:
        url = f"https://127.0.0.1:{port}/receive"
        return https.HttpsTransport(
            https.Config(kind="https", url=url, ca_file=self.ca_file, connect_timeout_s=2, read_timeout_s=5)
        )


@dataclass
class SftpSite:
    platform: Platform
    server: Sshd

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.server.port

    def transport_by(self, port: int) -> Transport:
        return test_sftp.sender(
            self.server,
            port=port,
            known_hosts=None,
            fingerprints=[self.server.fingerprint],
            connect_timeout_s=2,
            step_timeout_s=5,
        )


@dataclass
class MqSite:
    platform: Platform
    desk: test_mq.Desk

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.desk.broker.port

    def transport_by(self, port: int) -> Transport:
        url = f"amqp://127.0.0.1:{port}/{VHOST}"
        return self.desk.transport(url=url, connect_timeout_s=2, confirm_timeout_s=5, heartbeat_s=2)


@contextmanager
def https_site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as name:
        files = Authority().write(Path(name))
        tls = (files.certificate, files.key)
        with Platform(lambda: BEGAN, SENDERS, {FORMAT}, window=AGES, tls=tls) as running:
            yield HttpsSite(running, files.ca)


@contextmanager
def sftp_site() -> Iterator[Site]:
    with (
        tempfile.TemporaryDirectory() as name,
        Platform(lambda: BEGAN, SENDERS, {FORMAT}, window=AGES) as platform,
        Sshd(Path(name)) as server,
        Desk(platform, server.requests, server.receipts, every_s=0.01),
    ):
        yield SftpSite(platform, server)


@contextmanager
def mq_site() -> Iterator[Site]:
    with (
        tempfile.TemporaryDirectory() as name,
        Platform(lambda: BEGAN, SENDERS, {FORMAT}, window=AGES) as platform,
        Broker() as broker,
    ):
        desk = test_mq.Desk(broker, platform, Path(name) / "inbox.db")
        with desk.counter as counter:
            assert counter.wait(PATIENCE_S)
            yield MqSite(platform, desk)


TURNS = {"https": 1, "sftp": 10, "mq": 4}
"""About how many turns of a connection one delivery takes."""

KINDS: dict[str, Callable[[], AbstractContextManager[Site]]] = {"https": https_site, "sftp": sftp_site, "mq": mq_site}
