"""`demo --waybills`: the exchange of dangerous goods waybills from the ERP to the ministry, on this machine."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import asyncssh
from rich.table import Table

from scraper_agent import app as wiring
from scraper_agent.app import App
from scraper_agent.cli import show
from scraper_agent.cli import waybill as waybills
from scraper_agent.cli.commands import Session, log_to, progress
from scraper_agent.cli.commands import report as tell_stopped
from scraper_agent.cli.demo import AK, Trial, approve, go_on
from scraper_agent.errors import AgentError
from scraper_agent.formats import FORMATS
from scraper_agent.messages import N_, render
from scraper_agent.pipeline import Pipeline
from scraper_agent.sandbox import country, licences, weekly, weeks
from scraper_agent.sandbox.history import History, Sent
from scraper_agent.sandbox.ministry import Ministry
from scraper_agent.sandbox.platform import Sender
from scraper_agent.sandbox.province import Province
from scraper_agent.sandbox.sftp_server import SftpServer
from scraper_agent.sending import sftp
from scraper_agent.signing import keyfolder
from scraper_agent.values import State
from scraper_agent.waybill.profile import DEFAULT, FORMAT

RECIPE = "demo/despatch"

_OWN, _OTHER = "310000", "320000"
"""The province that the enterprise sends to, and one whose inspectors ask."""
_ON_THE_ROAD = 3
"""Waybills whose transport begins and ends."""
_A_MINUTE = timedelta(minutes=1)


def perform(trial: Trial) -> None:
    """Read, send, show a QR code, tell of transports, ask across provinces, hand the week over, tell what is next.

    Raises:
        AgentError: the ERP cannot be read, a QR code is not genuine, or the week is not reconciled.
    """
    trial.prepare()
    with _Authorities(trial.folder / "authorities", _known(trial.folder / "keys")) as authorities:
        trial.configure(receivers=authorities.receivers())
        app = App.load(trial.folder / "config.yaml", tell=lambda step: show.talk.print(step, markup=False))
        log_to(app)
        app.sign_policy("demo")
        with closing(app):
            sent = _read_and_send(app)
            _say(N_("The province took them and gave each a QR code, which the driver shows on the road. One of them:"))
            waybills.show_code(app, sent[0])
            _say(N_("Three transports begin and end; the province is told of each change:"))
            _drive(app, sent[:_ON_THE_ROAD])
        _say(N_("An inspector in Jiangsu asks for the first one: the ministry passes the question on to Shanghai."))
        _ask(authorities, sent[0])
        _say(N_("On Sunday at 24:00 (the clock is put forward) each province sends the week to the ministry:"))
        _hand_over(authorities)
    _tell(trial.folder, sent[0])


def _known(keys: Path) -> dict[tuple[str, str], Sender]:
    return {(AK, key.sk): Sender(public_key=key.public_key) for key in keyfolder.entries(keys)}


def _say(text: str) -> None:
    show.console.print(f"\n{render(text)}", markup=False, soft_wrap=True)


# --- the enterprise -------------------------------------------------------------------------------------------------


def _read_and_send(app: App) -> list[str]:
    """The numbers of the waybills that the province accepted."""
    with app.archive() as archive, progress() as bar:
        session = Session(app=app, archive=archive, bar=bar)
        loaded = app.recipe(RECIPE)
        approve(app, archive, loaded)
        session.harvest(loaded, app.parameters(loaded, {}))
        stopped = session.advance()
        pipeline = app.pipeline(archive, lambda _job, _fact: None)
        sent = [paper.key for paper in _accepted(pipeline)]
    show.console.print(show.closing(session.tallies, FORMATS))
    tell_stopped(stopped)
    if len(sent) < _ON_THE_ROAD:
        raise AgentError("SA7305", N_("the province accepted only {count} waybills"), count=len(sent))
    return sent


def _accepted(pipeline: Pipeline) -> list[Any]:
    found = pipeline.analysis()
    return [paper for paper in found.waybills.papers() if found.book.states[paper.id] is State.RECEIPTED]


def _drive(app: App, numbers: list[str]) -> None:
    for status in ("running", "done"):
        for number in numbers:
            waybills.change(app, number, status)
    waybills.deliver(app)


# --- ministry and provinces -----------------------------------------------------------------------------------------


class _Clock:
    """That of ministry and provinces."""

    ahead = timedelta(0)

    def __call__(self) -> datetime:
        return wiring.now() + self.ahead


@dataclass
class _Authorities:
    """In this process, so that the demo can put their clock forward; `sandbox waybill` gives each one of its own."""

    folder: Path
    enterprises: Mapping[tuple[str, str], Sender]

    def __enter__(self) -> Self:
        self.clock = _Clock()
        self.first = weeks.week_of(self.clock())
        with ExitStack() as stack:
            for ak in (country.MINISTRY, *country.PROVINCES):
                (self.folder / ak).mkdir(parents=True)
            database = self.folder / country.MINISTRY / "ministry.db"
            self.ministry = stack.enter_context(Ministry(clock=self.clock, nonce=secrets.token_hex, database=database))
            self.provinces = {ak: stack.enter_context(self._province(ak)) for ak in country.PROVINCES}
            for province in self.provinces.values():
                self.ministry.meet(country.peer(province))
                province.meet(country.peer(self.ministry))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _province(self, ak: str) -> Province:
        return Province(
            ak,
            country.PROVINCES[ak],
            clock=self.clock,
            nonce=secrets.token_hex,
            enterprises=self.enterprises,
            licences=licences.load(licences.DEFAULT),
            database=self.folder / ak / "province.db",
        )

    def receivers(self) -> dict[str, Any]:
        """The section of the agent's config."""
        province, of = self.provinces[_OWN], DEFAULT.interfaces.province
        return {
            interface.format: {
                "ak": AK,
                "transport": {"kind": "https", "url": province.url + interface.path},
                "public_keys": dict(province.platform.public_keys),
            }
            for interface in (of.waybill, of.status)
        }

    def hand_over(self) -> dict[str, tuple[Sent, ...]]:
        """What each province knows of its weeks after they were sent, taken and answered."""
        self.clock.ahead += weeks.week_of(self.clock()).end + _A_MINUTE - self.clock()
        with self._server() as server, weekly.desk(self.ministry, self._ministrys, self.clock) as desk:
            self._send_due(server)
            desk.take()
            return self._send_due(server)

    def _send_due(self, server: SftpServer) -> dict[str, tuple[Sent, ...]]:
        known = {}
        for ak, province in self.provinces.items():
            with self._outlet(server, ak) as outlet:
                known[ak] = self._history(province).send_due(self.clock, outlet)
        return known

    @property
    def _ministrys(self) -> Path:
        return self.folder / country.MINISTRY

    def _history(self, province: Province) -> History:
        return weekly.history(province, country.peer(self.ministry), self.folder / province.ak / "history", self.first)

    @contextmanager
    def _server(self) -> Iterator[SftpServer]:
        accounts = {}
        for ak in self.provinces:
            key = asyncssh.generate_private_key("ssh-ed25519")
            (self.folder / ak / "ssh-key").write_bytes(key.export_private_key())
            accounts[ak] = key.convert_to_public()
        host_key = asyncssh.generate_private_key("ssh-ed25519")
        with SftpServer(self._ministrys / "sftp", accounts, host_key) as server:
            yield server

    def _outlet(self, server: SftpServer, ak: str) -> sftp.Files:
        config = sftp.Config(
            kind="sftp",
            host="127.0.0.1",
            port=server.port,
            user=ak,
            key_file=self.folder / ak / "ssh-key",
            fingerprints=(server.fingerprint,),
            folder="/requests",
            receipts="/receipts",
        )
        return sftp.transport(config, _no_secret)


def _no_secret(*_: object) -> Any:
    raise AssertionError("the key has no passphrase")


def _ask(authorities: _Authorities, number: str) -> None:
    answer = authorities.provinces[_OTHER].ask(number, _OWN)
    told = answer.data or {}
    if not answer.accepted or not told.get("found"):
        raise AgentError("SA7306", N_("the ministry's answer names no waybill: {reason}"), reason=answer.reason)
    header = told["document"]["header"]
    table = Table(show_header=False)
    for id in ("i1", "i46", "i45", "i42", "i43"):
        table.add_row(show.named(FORMAT.header_fields[id]), show.plain(str(header[id])))
    status = DEFAULT.statuses[told["status"]]
    table.add_row(render(N_("transport")), f"{told['status']} {status.zh}")
    show.console.print(table)


def _hand_over(authorities: _Authorities) -> None:
    table = Table()
    for head in (N_("province"), N_("week"), N_("sent"), N_("taken"), N_("twice"), N_("refused"), N_("reconciled")):
        table.add_column(render(head))
    for ak, history in authorities.hand_over().items():
        for sent in history:
            answer = sent.answer
            counts = ["-"] * 3 if answer is None else map(str, (answer.taken, answer.doubled, answer.refused))
            yes = N_("yes") if sent.reconciled else N_("no")
            table.add_row(" ".join(country.PROVINCES[ak]), str(sent.week), str(sent.count), *counts, render(yes))
            if not sent.reconciled:
                raise AgentError("SA7307", N_("the week {week} of {ak} is not reconciled"), week=sent.week, ak=ak)
    show.console.print(table)


def _tell(folder: Path, number: str) -> None:
    config = f"scraper-agent -c {folder / 'config.yaml'}"
    show.console.print()
    go_on(
        (f"{config} waybill list", N_("every waybill: where it stands, and how its transport does")),
        (f"{config} waybill qr {number} --image code.png", N_("one QR code, verified, as an image")),
        (f"{config} waybill verify-qr code.png", N_("what an inspector sees of it")),
        (f"{config} jobs --state blocked", N_("what was stopped, and why")),
        (f"{config} sandbox waybill", N_("ministry and provinces as servers to send to, each a process")),
    )
