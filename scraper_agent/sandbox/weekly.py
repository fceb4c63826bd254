"""The weekly history of simulated provinces to the simulated ministry: who has which key, folder and account.

<province>/history/<week>/    what was sent, and what came back
<province>/history_since      the first week to be sent: that in which the province first ran
<province>/ssh_key            of its account
<ministry>/sftp/<ak>/         the account's folder
<ministry>/history.db         what was taken
<ministry>/ssh_key            of the server
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import asyncssh
from pydantic import SecretStr

from scraper_agent.credentials import SecretPlace
from scraper_agent.errors import SendFailed, SendUnknown
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
from scraper_agent.sandbox.sftp_server import SftpServer
from scraper_agent.sandbox.weeks import Week, week_of
from scraper_agent.sending import sftp
from scraper_agent.signing import keyfile
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
    (folder / "history").mkdir(exist_ok=True)
    return HistoryDesk(
        folder / "history" / "taken.db",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The ministry's SFTP server, on loopback."""

    port: int
    fingerprint: str


def account(folder: Path) -> str:
    """The public key of who lives in `folder`, as OpenSSH writes it."""
    return _ssh_key(folder).export_public_key().decode()


@contextmanager
def receiving(
    ministry: Ministry, folder: Path, clock: Clock, accounts: Mapping[str, str], every_s: float = 1
) -> Iterator[Line]:
    """Serve, and take what comes. `accounts`: public keys by `ak`."""
    keys = {ak: asyncssh.import_public_key(key) for ak, key in accounts.items()}

    def take() -> None:
        with desk(ministry, folder, clock) as today:
            today.take()

    with SftpServer(folder / "sftp", keys, _ssh_key(folder)) as server, _again_and_again(take, every_s):
        yield Line(port=server.port, fingerprint=server.fingerprint)


@contextmanager
def sending(
    province: Province, ministry: Peer, folder: Path, clock: Clock, line: Line, every_s: float = 1
) -> Iterator[None]:
    """Send what is due, and keep the answers."""
    since = folder / "history_since"
    if not since.exists():
        since.write_text(str(week_of(clock())))
    first = Week.parse(since.read_text())
    config = sftp.Config(
        kind="sftp",
        host="127.0.0.1",
        port=line.port,
        user=province.ak,
        key_file=_ssh_key_file(folder),
        fingerprints=(line.fingerprint,),
        folder="/requests",
        receipts="/receipts",
    )

    def send() -> None:
        with suppress(SendFailed, SendUnknown):  # the next time goes on
            history(province, ministry, folder / "history", first).send_due(clock, outlet)

    with sftp.transport(config, _no_secret) as outlet, _again_and_again(send, every_s):
        yield


@contextmanager
def _again_and_again(act: Callable[[], None], every_s: float) -> Iterator[None]:
    """In a thread, which ends after the turn that is under way."""
    over = threading.Event()

    def turns() -> None:
        while not over.wait(every_s):
            act()

    thread = threading.Thread(target=turns, name="history", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _ssh_key_file(folder: Path) -> Path:
    """Made when it is first asked for."""
    path = folder / "ssh_key"
    if not path.exists():
        keyfile.write_new(path, asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    return path


def _ssh_key(folder: Path) -> asyncssh.SSHKey:
    return asyncssh.read_private_key(_ssh_key_file(folder))


def _no_secret(place: SecretPlace, name: str) -> SecretStr:
    raise LookupError(f"{place} {name}")  # the key file has no passphrase
