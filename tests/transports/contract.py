"""What every transport promises, asked of a real server with the sandbox platform behind it.

A transport's own file has a class that inherits `Contract` and a fixture `site`:

    class TestMq(Contract):
        @pytest.fixture
        def site(self, broker: Broker) -> Iterator[Site]: ...
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Protocol

import pytest

from scraper_agent import canonical, envelope
from scraper_agent.errors import SendFailed, SendUnknown
from scraper_agent.ports import Standing, Transport
from scraper_agent.sandbox.platform import Platform
from scraper_agent.signing import keyfile, sm2
from scraper_agent.values import Digest

AK = "310001"
FORMAT = "purchaseOrder"
PATIENCE_S = 60.0
"""Most that an answer may take which does not come at once."""


class Key:
    """A sender's signer, without a file."""

    key_index = "01"

    def __init__(self) -> None:
        made = keyfile.generate()
        self.d, self.public_key = made.d, made.public_key

    def sign(self, message: bytes) -> bytes:
        return sm2.sign(self.d, self.public_key, message)


KEY = Key()


class Site(Protocol):
    """A server with its receiving side. `platform` knows `SENDERS` and `FORMAT`."""

    platform: Platform

    def transport(self) -> Transport:
        """A new one each time; the test closes it."""
        ...

    def stop(self) -> None:
        """The server goes away; what it has stays."""
        ...

    def start(self) -> None: ...


SENDERS = {(AK, KEY.key_index): KEY.public_key}


def letter(number: int, size: int = 0) -> tuple[bytes, str]:
    """A signed request, and its idempotency key."""
    document = canonical.dumps({"header": {"orderNumber": f"PO-{number}", "remark": "中" * size}, "lines": []})
    content = canonical.digest(document)
    key = envelope.idempotency_key(AK, FORMAT, f"PO-{number}", Digest(content))
    return envelope.build(document, FORMAT, key, AK, KEY, datetime.now(UTC)), key


def answer(transport: Transport, body: bytes, key: str) -> bytes:
    """Send once, and wait for the answer as long as it may take."""
    said: bytes | Standing | None = transport.send(body, key=key)
    return said if isinstance(said, bytes) else wait_for(transport, key)


def again(transport: Transport, body: bytes, key: str) -> bytes | None:
    """The answer, or none from a server that has just come back, or whose loss shows with the next letter only."""
    try:
        return answer(transport, body, key)
    except (SendFailed, SendUnknown):
        return None


def wait_for(transport: Transport, key: str) -> bytes:
    return until(lambda: found if isinstance(found := transport.find(key), bytes) else None)


def until(look: Callable[[], bytes | None]) -> bytes:
    """Asks again and again: what is waited for happens in another process."""
    end = time.monotonic() + PATIENCE_S
    while (seen := look()) is None:
        assert time.monotonic() < end, "no answer"
        time.sleep(0.02)
    return seen


def accepted(site: Site, answer: bytes, body: bytes, key: str) -> bool:
    request = envelope.read_request(body)
    said = envelope.open_receipt(answer, sm2.verify, site.platform.public_keys, key=key, digest=request.digest)
    return said.accepted


class Contract:
    """Inherited; not collected here."""

    def test_what_is_sent_arrives_once_and_is_answered(self, site: Site) -> None:
        transport, (body, key) = site.transport(), letter(1)
        assert accepted(site, answer(transport, body, key), body, key)
        (stored,) = site.platform.stored()
        assert (stored.document, stored.key) == (envelope.read_request(body).document, key)
        transport.close()
        transport.close()

    def test_the_same_letter_again_has_one_effect_and_the_same_answer(self, site: Site) -> None:
        transport, (body, key) = site.transport(), letter(2)
        first = answer(transport, body, key)
        assert answer(transport, body, key) == first
        assert len(site.platform.stored()) == 1
        transport.close()

    def test_what_was_never_sent_is_not_told_to_be_there(self, site: Site) -> None:
        transport, (_, key) = site.transport(), letter(3)
        assert transport.find(key) in (Standing.ABSENT, Standing.UNKNOWN)
        transport.close()

    @pytest.mark.parametrize("size", [0, 1, 300_000])
    def test_letters_of_any_size_arrive_as_they_are(self, site: Site, size: int) -> None:
        transport, (body, key) = site.transport(), letter(4, size)
        assert accepted(site, answer(transport, body, key), body, key)
        transport.close()

    def test_many_arrive_each_once_from_several_threads(self, site: Site) -> None:
        transport, letters = site.transport(), [letter(number) for number in range(10, 40)]
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda each: answer(transport, *each), letters))
        assert all(accepted(site, said, *each) for said, each in zip(answers, letters, strict=True))
        assert sorted(stored.key for stored in site.platform.stored()) == sorted(key for _, key in letters)
        transport.close()

    def test_a_server_that_is_away_has_surely_nothing_and_takes_it_when_it_is_back(self, site: Site) -> None:
        transport, (body, key) = site.transport(), letter(5)
        site.stop()
        with pytest.raises(SendFailed):
            transport.send(body, key=key)
        with pytest.raises(SendFailed):
            transport.find(key)
        site.start()
        assert accepted(site, until(lambda: again(transport, body, key)), body, key)
        transport.close()

    def test_a_connection_that_was_lost_between_two_letters_is_made_anew(self, site: Site) -> None:
        transport, (first, one), (second, two) = site.transport(), letter(6), letter(7)
        answer(transport, first, one)
        site.stop()
        site.start()
        assert accepted(site, until(lambda: again(transport, second, two)), second, two)
        assert len(site.platform.stored()) == 2
        transport.close()
