"""The ministry and three provinces, each in a process of its own with its own keys and its own folder.

    <folder>/000000/ministry.db          beside it what the weekly history brings, as `weekly` has it
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
from scraper_agent.sandbox import licences, weekly
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
        told: dict[str, tuple[Peer, str]] = {ak: pipe.recv() for ak, pipe in pipes.items()}
        ministry, provinces = told[MINISTRY][0], {ak: told[ak][0] for ak in PROVINCES}
        pipes[MINISTRY].send((list(provinces.values()), {ak: told[ak][1] for ak in PROVINCES}))
        line: weekly.Line = pipes[MINISTRY].recv()
        for ak in PROVINCES:
            pipes[ak].send((ministry, line))
            pipes[ak].recv()
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
    with suppress(EOFError, ConnectionError):
        if place.licences is None:
            _serve_ministry(place, pipe)
        else:
            _serve_province(place, place.licences, pipe)


def _serve_ministry(place: Place, pipe: Connection) -> None:
    with _ministry(place) as ministry:
        pipe.send((peer(ministry), ""))
        provinces, accounts = pipe.recv()
        for each in provinces:
            ministry.meet(each)
        with weekly.receiving(ministry, place.folder, place.clock, accounts) as line:
            pipe.send(line)
            pipe.recv()


def _serve_province(place: Place, known: Licences, pipe: Connection) -> None:
    with _province(place, known) as province:
        pipe.send((peer(province), weekly.account(place.folder)))
        ministry, line = pipe.recv()
        province.meet(ministry)
        with weekly.sending(province, ministry, place.folder, place.clock, line):
            pipe.send(None)
            pipe.recv()


def peer(side: Ministry | Province) -> Peer:
    """As the others know it once its keys were handed over."""
    return Peer(ak=side.ak, url=side.url, public_keys=side.platform.public_keys)


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
