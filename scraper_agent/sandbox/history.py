"""The province's side of the weekly history: each week's completed waybills to the ministry, and what it says of them.

    <week>/<SM3>.sm4        parts of `history_file`, until they are answered
    <week>/contents.json    the document that tells of them
    <week>/request          the signed request that carries it, sealed for the ministry
    <week>/receipt          the ministry's answer, sealed for the province
    <week>.<n>/             an earlier batch of that week, once another was wanted

A week is made into files once, under another name until all of it is durable. What is sent are these files, whoever
sends them and however often; so the ministry sees one batch, whatever was cut or killed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from scraper_agent import canonical, durable, envelope
from scraper_agent.ports import Clock, Signer, Standing
from scraper_agent.sandbox import history_file, weeks
from scraper_agent.sandbox.history_file import Completed, Contents, Reconciliation
from scraper_agent.sandbox.weeks import Week
from scraper_agent.sending.handover import Done
from scraper_agent.signing import sealing, sm2
from scraper_agent.signing.keyfile import PrivateKey

_REQUEST_BYTES = 16 << 20
_SEALED_RECEIPT_BYTES = envelope.RECEIPT_BYTES + 1024


class Source(Protocol):
    """Where the waybills are."""

    def completed(self, begin: datetime, end: datetime) -> Iterable[Completed]:
        """Those that the province came to know as completed from `begin` on and before `end`, one after another."""
        ...


class Outlet(Protocol):
    """The way to the ministry; `sending.sftp.Files` is one. Each call raises SendFailed, `send` also SendUnknown."""

    def put(self, file: Path, done: Done) -> None: ...

    def send(self, envelope: bytes, *, key: str) -> bytes | None: ...

    def find(self, key: str) -> bytes | Standing: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ministry:
    """As the province knows it."""

    sealed_for: str
    """The public key that requests are sealed for."""
    public_keys: Mapping[str, str]
    """Its receipts are signed with one of them, by `sk`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What the province knows of one week's batch."""

    week: Week
    count: int
    accepted: bool | None
    """None: not answered yet."""
    reason: str
    """Why the batch as a whole was not accepted."""
    answer: Reconciliation | None

    @property
    def reconciled(self) -> bool:
        """Every waybill of the batch is with the ministry."""
        return self.answer is not None and (self.answer.sent, self.answer.refused) == (self.count, 0)


class History:
    """One at a time for a folder. All its state is there."""

    def __init__(
        self,
        folder: Path,
        *,
        ak: str,
        first: Week,
        source: Source,
        signer: Signer,
        keys: Sequence[PrivateKey],
        ministry: Ministry,
    ) -> None:
        """`ak`: division code of the province. `first`: the first week to be sent. `keys`: answers are for one."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ak = ak
        self._first = first
        self._source = source
        self._signer = signer
        self._keys = keys
        self._ministry = ministry

    def send_due(self, now: Clock, outlet: Outlet) -> tuple[Sent, ...]:
        """Make each week that has ended into files, send those that have no answer, and keep the answers.

        To be called again and again: it goes on where it was cut. Returns what is known now of the weeks that had no
        answer before.

        Raises:
            SendFailed, SendUnknown: the way to the ministry ended; what is made stays.
            ReceiptInvalid, AgentError: an answer proves nothing; a person has to look at it.
        """
        open_weeks = [week for week in weeks.due(now(), self._first) if not (self._at(week) / "receipt").exists()]
        for week in open_weeks:
            if not self._at(week).exists():
                self._make(week, now())
            self._send(week, outlet)
        return tuple(map(self._known, open_weeks))

    def again(self, week: Week) -> None:
        """Have the next `send_due` make and send the week anew, as when what the ministry refused was put right.

        Raises:
            FileNotFoundError: it was never made.
        """
        number = 1
        while (earlier := self._folder / f"{week}.{number}").exists():
            number += 1
        self._at(week).rename(earlier)
        durable.sync_folder(self._folder)

    def report(self) -> tuple[Sent, ...]:
        """The newest batch of every week, the oldest first."""
        return tuple(self._known(Week.parse(path.name)) for path in sorted(self._folder.glob("????-W??")))

    def _at(self, week: Week) -> Path:
        return self._folder / str(week)

    def _make(self, week: Week, now: datetime) -> None:
        unfinished = self._folder / f".{week}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        waybills = self._source.completed(week.begin, week.end)
        contents = history_file.write(unfinished, self._ak, week, waybills, self._ministry.sealed_for)
        document = contents.document
        request = envelope.build(
            document, history_file.FORMAT, self._idempotency(document, week), self._ak, self._signer, now
        )
        durable.write_part(unfinished / "contents.json", document)
        durable.write_part(unfinished / "request", sealing.seal(request, self._ministry.sealed_for))
        durable.sync_folder(unfinished)
        unfinished.rename(self._at(week))
        durable.sync_folder(self._folder)

    def _send(self, week: Week, outlet: Outlet) -> None:
        folder, (contents, document) = self._at(week), self._contents(week)
        key = self._idempotency(document, week)
        found = outlet.find(key)
        if found is Standing.DELIVERED:
            return
        answer = found if isinstance(found, bytes) else None
        if answer is None:
            for part in contents.parts:
                outlet.put(folder / part.name, Done(size=part.size, sm3=part.sm3))
            request = durable.read(folder / "request", _REQUEST_BYTES)
            assert request is not None  # noqa: S101 - made with the folder
            answer = outlet.send(request, key=key)
        if answer is not None:
            self._keep(week, answer)

    def _keep(self, week: Week, answer: bytes) -> None:
        self._opened(week, answer)
        folder = self._at(week)
        durable.write_part(folder / ".receipt", answer)
        (folder / ".receipt").replace(folder / "receipt")
        durable.sync_folder(folder)
        for part in folder.glob(f"*{history_file.SUFFIX}"):
            part.unlink()

    def _opened(self, week: Week, answer: bytes) -> envelope.ReceiptContent:
        _, document = self._contents(week)
        return envelope.open_receipt(
            history_file.unsealed(answer, self._keys),
            sm2.verify,
            self._ministry.public_keys,
            key=self._idempotency(document, week),
            digest=canonical.digest(document),
        )

    def _known(self, week: Week) -> Sent:
        contents, _ = self._contents(week)
        answer = durable.read(self._at(week) / "receipt", _SEALED_RECEIPT_BYTES)
        if answer is None:
            return Sent(week=week, count=contents.count, accepted=None, reason="", answer=None)
        told = self._opened(week, answer)
        return Sent(
            week=week,
            count=contents.count,
            accepted=told.accepted,
            reason=told.reason,
            answer=history_file.read_reconciliation(told.data) if told.accepted else None,
        )

    def _contents(self, week: Week) -> tuple[Contents, bytes]:
        document = (self._at(week) / "contents.json").read_bytes()
        return history_file.read_contents(json.loads(document)), document

    def _idempotency(self, document: bytes, week: Week) -> str:
        return envelope.idempotency_key(self._ak, history_file.FORMAT, str(week), canonical.digest(document))
