"""Provinces, the ministry and an enterprise for tests, in this process on loopback; the clock is set by the test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from scraper_agent import canonical, envelope, ports
from scraper_agent.envelope import ReceiptContent
from scraper_agent.format import Document, Value, encode
from scraper_agent.formats import FORMATS
from scraper_agent.sandbox import licences
from scraper_agent.sandbox.ministry import Ministry
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sandbox.province import Province
from scraper_agent.sandbox.sealed import Peer
from scraper_agent.sending import https
from scraper_agent.signing import sm2
from scraper_agent.signing.native import NativeKey
from scraper_agent.waybill.profile import DEFAULT, Interface
from tests.waybills import DANGEROUS

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
"""The day before the departure of the sample waybill."""
D = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
OF = DEFAULT.interfaces.province
CODES = DEFAULT.codes


@dataclass
class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)


class Signer:
    def __init__(self, key_index: str = "01", d: int = D) -> None:
        self.key_index = key_index
        self.public_key = sm2.derive_public(d)
        self._key = NativeKey(d, self.public_key)

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


SIGNER = Signer()
OTHER = Signer("02", D + 1)


@dataclass
class Enterprise:
    """Sends to one address and opens what comes back."""

    clock: Clock
    ak: str = "A10001"
    signer: ports.Signer = SIGNER

    def request(self, format: str, document: bytes, *, key: str | None = None) -> tuple[str, bytes]:
        """The idempotency key and the bytes."""
        key = key or envelope.idempotency_key(self.ak, format, "", canonical.digest(document))
        return key, envelope.build(document, format, key, self.ak, self.signer, self.clock())

    def send(self, to: Platform, of: Interface, document: bytes, *, key: str | None = None) -> ReceiptContent:
        """Over HTTP, to the interface."""
        key, raw = self.request(of.format, document, key=key)
        return self.post(to, of, raw, key, canonical.digest(document))

    def post(self, to: Platform, of: Interface, raw: bytes, key: str, digest: str) -> ReceiptContent:
        url = to.home + of.path
        with https.HttpsTransport(https.Config(kind="https", url=url)) as transport:
            answer = transport.send(raw, key=key)
        return envelope.open_receipt(answer, sm2.verify, to.public_keys, key=key, digest=digest)


def written(document: Document) -> bytes:
    return encode(document, DANGEROUS)


def change(number: str, status: str, at: str = "20260301T170000") -> bytes:
    header: dict[str, Value] = {"i1": number, "status": status, "at": datetime.fromisoformat(at)}
    return encode(Document(format="waybillStatus", header=header), FORMATS["waybillStatus"])


@dataclass
class Country:
    clock: Clock = field(default_factory=Clock)
    provinces: dict[str, Province] = field(default_factory=dict)
    ministry: Ministry = field(init=False)

    def enterprise(self, ak: str = "A10001", signer: Signer = SIGNER) -> Enterprise:
        return Enterprise(self.clock, ak, signer)

    def of(self, ak: str) -> Province:
        return self.provinces[ak]


def a_province(clock: ports.Clock, ak: str = "310000", **more: Any) -> Province:
    counter = itertools.count()
    given: Mapping[str, Any] = {
        "clock": clock,
        "nonce": lambda: f"{ak}-{next(counter)}",
        "enterprises": {
            ("A10001", "01"): SIGNER.public_key,
            ("A10002", "02"): OTHER.public_key,
        },
        "licences": licences.load(),
    }
    return Province(ak, (f"{ak}省", ak), **{**given, **more})


@contextmanager
def country(*aks: str) -> Iterator[Country]:
    """The ministry and provinces that have met."""
    made = Country()
    counter = itertools.count()
    with ExitStack() as stack:
        made.ministry = stack.enter_context(Ministry(clock=made.clock, nonce=lambda: f"m-{next(counter)}"))
        for ak in aks:
            province = stack.enter_context(a_province(made.clock, ak))
            province.meet(peer(made.ministry.ak, made.ministry))
            made.ministry.meet(peer(ak, province))
            made.provinces[ak] = province
        yield made


def peer(ak: str, of: Ministry | Province) -> Peer:
    return Peer(ak=ak, url=of.url, public_keys=of.platform.public_keys)
