"""The contract over ftps, on ProFTPD, and what is FTP's alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from scraper_agent.credentials import SecretPlace
from scraper_agent.sandbox.folders import Desk
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sending import ftp
from scraper_agent.sending.exchange import Exchange
from tests.transports.contract import FORMAT, SENDERS, Contract, Site
from tests.transports.servers.ftpd import USER, Ftpd


def config(server: Ftpd, **other: Any) -> ftp.Config:
    told = {
        "kind": "ftps", "host": "127.0.0.1", "port": server.port, "user": USER,
        "password": {"file": server.password_file}, "ca_file": server.ca_file,
        "folder": str(server.requests), "receipts": str(server.receipts), **other,
    }  # fmt: skip
    return ftp.Config.model_validate(told)


def read(place: SecretPlace, name: str) -> SecretStr:
    assert place.file is not None, name
    return SecretStr(place.file.read_text())


def sender(server: Ftpd, **other: Any) -> Exchange:
    return ftp.transport(config(server, **other), read)


class OverFtp:
    def __init__(self, platform: Platform, server: Ftpd, kind: str) -> None:
        self.platform = platform
        self._server = server
        self._kind = kind

    def transport(self) -> Exchange:
        return sender(self._server, kind=self._kind)

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.start()


class TestFtps(Contract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[Site]:
        with (
            Platform(lambda: datetime.now(UTC), SENDERS, {FORMAT}) as platform,
            Ftpd(tmp_path) as server,
            Desk(platform, server.requests, server.receipts, every_s=0.01),
        ):
            yield OverFtp(platform, server, "ftps")


class TestPlainFtpOnLoopback(Contract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[Site]:
        with (
            Platform(lambda: datetime.now(UTC), SENDERS, {FORMAT}) as platform,
            Ftpd(tmp_path, tls=False) as server,
            Desk(platform, server.requests, server.receipts, every_s=0.01),
        ):
            yield OverFtp(platform, server, "ftp")
