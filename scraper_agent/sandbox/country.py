"""The ministry and three provinces, each in a process of its own with its own keys and its own folder.

    <folder>/000000/ministry.db          also the place of what the weekly history brings
    <folder>/310000/province.db          keys, requests and receipts, waybills
    <folder>/310000/licences.yaml        who may drive what; made from a sample, to be changed

The parent hands the public keys of each to those it has to do with, before anything else is sent.
"""

from __future__ import annotations

import multiprocessing
import secrets
import shutil
import signal
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from scraper_agent.ports import Clock
from scraper_agent.sandbox import licences
from scraper_agent.sandbox.licences import Licences
from scraper_agent.sandbox.ministry import Ministry
from scraper_agent.sandbox.platform import Sender
from scraper_agent.sandbox.province import Province
from scraper_agent.sandbox.sealed import Peer
from scraper_agent.waybill.profile import DEFAULT

PROVINCES: Mapping[str, tuple[str, str]] = {
    "310000": ("上海市", "Shanghai"),
    "320000": ("江苏省", "Jiangsu"),
    "330000": ("浙江省", "Zhejiang"),
}
"""By `ak`: names in Chinese and English."""

MINISTRY = DEFAULT.ministry


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one of them is, and what it is known by."""

    ak: str
    folder: Path
    port: int
    enterprises: Mapping[tuple[str, str], Sender]
    clock: Clock
    licences: Licences | None
    """None: it is the ministry."""


class PortTaken(Exception):
    """`port` cannot be listened on; `reason` says why."""

    def __init__(self, port: int, reason: str) -> None:
        super().__init__(port, reason)
        self.port = port
        self.reason = reason


@contextmanager
def running(
    folder: Path, port: int, enterprises: Mapping[tuple[str, str], Sender], clock: Clock
) -> Iterator[tuple[Peer, dict[str, Peer]]]:
    """The ministry, and the provinces by `ak`; they have met. `port`: the ministry's; the provinces have the next ones.

    `port` 0 takes free ones. `enterprises`: who may send to every province. `clock`: a function of a module.

    Raises:
        PortTaken: somebody else has one of the ports.
        OSError: the folder cannot be written to.
        SourceErrors: a table of licences does not fit.
        EOFError: one of them ended; it has said why.
    """
    aks = (MINISTRY, *PROVINCES)
    if port:
        _check_free(range(port, port + len(aks)))
    places = []
    for number, ak in enumerate(aks):
        own = folder / ak
        own.mkdir(parents=True, exist_ok=True)
        known = None if ak == MINISTRY else _licences(own)
        places.append(
            Place(
                ak=ak,
                folder=own,
                port=port and port + number,
                enterprises=enterprises,
                clock=clock,
                licences=known,
            )
        )
    with ExitStack() as stack:
        pipes = {place.ak: stack.enter_context(_process(place)) for place in places}
        peers: dict[str, Peer] = {ak: pipe.recv() for ak, pipe in pipes.items()}
        ministry, provinces = peers[MINISTRY], {ak: peers[ak] for ak in PROVINCES}
        for ak, pipe in pipes.items():
            pipe.send(list(provinces.values()) if ak == MINISTRY else [ministry])
            pipe.recv()
        yield ministry, provinces


def _check_free(ports: Iterable[int]) -> None:
    for port in ports:
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError as error:
            raise PortTaken(port, error.strerror or str(error)) from error


@contextmanager
def _process(place: Place) -> Iterator[Connection]:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(place, theirs), daemon=True, name=place.ak)
    process.start()
    theirs.close()  # so that `recv` ends if the process does
    try:
        yield ours
    finally:
        ours.close()
        process.join()


def _serve(place: Place, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this
    side: Ministry | Province = _ministry(place) if place.licences is None else _province(place, place.licences)
    with side, suppress(EOFError, ConnectionError):
        pipe.send(Peer(ak=side.ak, url=side.url, public_keys=side.platform.public_keys))
        for peer in pipe.recv():
            side.meet(peer)
        pipe.send(None)
        pipe.recv()


def _ministry(place: Place) -> Ministry:
    return Ministry(clock=place.clock, nonce=secrets.token_hex, database=place.folder / "ministry.db", port=place.port)


def _licences(folder: Path) -> Licences:
    table = folder / "licences.yaml"
    if not table.exists():
        shutil.copyfile(licences.DEFAULT, table)
    return licences.load(table)


def _province(place: Place, known: Licences) -> Province:
    return Province(
        place.ak,
        PROVINCES[place.ak],
        clock=place.clock,
        nonce=secrets.token_hex,
        enterprises=place.enterprises,
        licences=known,
        database=place.folder / "province.db",
        port=place.port,
    )
