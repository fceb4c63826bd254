"""The weekly history of simulated provinces to the simulated ministry: who has which key, folder and account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from scraper_agent.ports import Clock
from scraper_agent.sandbox.history import History
from scraper_agent.sandbox.history import Ministry as Reader
from scraper_agent.sandbox.history_desk import HistoryDesk
from scraper_agent.sandbox.history_desk import Province as Writer
from scraper_agent.sandbox.history_file import Completed
from scraper_agent.sandbox.ministry import Ministry
from scraper_agent.sandbox.own_keys import OwnKeys
from scraper_agent.sandbox.platform import Sender
from scraper_agent.sandbox.province import Province
from scraper_agent.sandbox.sealed import Peer
from scraper_agent.sandbox.weeks import Week
from scraper_agent.signing.keyfile import PrivateKey
from scraper_agent.waybill import message

DONE = "done"


class Waybills:
    """Those of a province, as `history.Source`."""

    def __init__(self, province: Province) -> None:
        self._province = province

    def completed(self, begin: datetime, end: datetime) -> Iterator[Completed]:
        how = self._province.profile.message
        for each in self._province.finished(DONE, begin, end):
            yield Completed(message.write(each.content, how), each.status, each.since, each.known_at)


def history(province: Province, ministry: Peer, folder: Path, first: Week) -> History:
    """The province's side, with the keys that both have now. `first`: the first week to be sent."""
    keys = province.platform.own_keys
    return History(
        folder,
        ak=province.ak,
        first=first,
        source=Waybills(province),
        signer=keys,
        keys=_pairs(keys),
        ministry=Reader(sealed_for=ministry.newest, public_keys=ministry.public_keys),
    )


def desk(ministry: Ministry, folder: Path, clock: Clock) -> HistoryDesk:
    """The ministry's side, with the keys that all have now. In `folder` is `sftp`, with an account for each `ak`."""
    return HistoryDesk(
        folder / "history.db",
        folder / "sftp",
        clock,
        provinces={peer.ak: _writer(ministry, peer) for peer in ministry.provinces.values()},
        signer=ministry.platform.own_keys,
        keys=_pairs(ministry.platform.own_keys),
    )


def _writer(ministry: Ministry, peer: Peer) -> Writer:
    known: Mapping[str, Sender | None] = {sk: ministry.platform.known(peer.ak, sk) for sk in peer.public_keys}
    return Writer(
        ak=peer.ak,
        keys={sk: sender for sk, sender in known.items() if sender is not None},
        sealed_for=peer.newest,
    )


def _pairs(keys: OwnKeys) -> tuple[PrivateKey, ...]:
    """The newest first; none that is revoked."""
    return tuple(key.pair for key in reversed(keys.keys) if key.revoked is None)
