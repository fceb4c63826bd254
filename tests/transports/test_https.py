"""The contract over https, in plain on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from scraper_agent.sandbox.platform import Platform
from scraper_agent.sending import https
from tests.transports.contract import FORMAT, SENDERS, Contract, Site


class Direct:
    """The platform is its own server."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    def transport(self) -> https.HttpsTransport:
        return https.HttpsTransport(https.Config(kind="https", url=self.platform.url))

    def stop(self) -> None:
        self.platform.stop()

    def start(self) -> None:
        self.platform.start()


class TestHttps(Contract):
    @pytest.fixture
    def site(self) -> Iterator[Site]:
        with Platform(lambda: datetime.now(UTC), SENDERS, {FORMAT}) as platform:
            yield Direct(platform)
