"""The leg between ministry and province: what is signed in an envelope is sealed for its reader, both ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from scraper_agent import canonical, envelope
from scraper_agent.envelope import ReceiptContent, ReceiptInvalid
from scraper_agent.errors import AgentError, SendFailed, SendUnknown, UsageError
from scraper_agent.sandbox.own_keys import OwnKeys
from scraper_agent.sending import https
from scraper_agent.signing import sealing, sm2
from scraper_agent.signing.keyfile import PrivateKey
from scraper_agent.waybill.profile import Interface

_SEALED_BYTES = envelope.RECEIPT_BYTES + 1024
"""Of a sealed receipt: sealing adds some 200."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A system that is asked."""

    ak: str
    url: str
    """Its address, ended by `/`."""
    public_keys: Mapping[str, str] = field(default_factory=dict)
    """By `sk`, as it handed them over. What is for it is sealed for the one with the highest index."""
    timeout_s: float = 5
    """For one whole answer."""

    @property
    def newest(self) -> str:
        return self.public_keys[max(self.public_keys)]


class NoAnswer(Exception):
    """The other side is away, or what it says proves nothing. The text says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """One side, as it asks others."""

    ak: str
    keys: OwnKeys
    clock: Callable[[], datetime]
    nonce: Callable[[], str]
    """A text that was never given before: what is asked twice is two questions."""

    def ask(self, peer: Peer, interface: Interface, question: Mapping[str, str]) -> ReceiptContent:
        """What `peer` says to it, accepted or refused.

        Raises:
            NoAnswer: nothing, or nothing that was sealed for this side and signed by `peer`.
            UsageError: the extra `native` is not installed.
        """
        document = canonical.dumps(question)
        digest = canonical.digest(document)
        key = envelope.idempotency_key(self.ak, interface.format, self.nonce(), digest)
        request = envelope.build(document, interface.format, key, self.ak, self.keys, self.clock())
        config = https.Config(
            kind="https",
            url=peer.url + interface.path,
            connect_timeout_s=peer.timeout_s,
            total_timeout_s=peer.timeout_s,
            answer_limit_bytes=_SEALED_BYTES,
        )
        try:
            with https.HttpsTransport(config) as transport:
                answer = transport.send(sealing.seal(request, peer.newest), key=key)
        except (SendFailed, SendUnknown) as error:
            raise NoAnswer(f"{error.code} {error.sentence}") from None
        receipt = opened(answer, self.keys)
        if receipt is None:
            raise NoAnswer("the answer is not sealed for this system")
        try:
            return envelope.open_receipt(receipt, sm2.verify, peer.public_keys, key=key, digest=digest)
        except ReceiptInvalid as error:
            raise NoAnswer(f"{error.code} {error.sentence}") from None


def opened(sealed: bytes, keys: OwnKeys) -> bytes | None:
    """What was sealed for one of `keys` that is not revoked; None for anything else.

    Raises:
        UsageError: the extra `native` is not installed.
    """
    return next(_plain(sealed, [key.pair for key in reversed(keys.keys) if key.revoked is None]), None)


def _plain(sealed: bytes, pairs: Iterable[PrivateKey]) -> Iterator[bytes]:
    for pair in pairs:
        try:
            yield sealing.unseal(sealed, pair)
        except UsageError:
            raise
        except AgentError:
            continue
