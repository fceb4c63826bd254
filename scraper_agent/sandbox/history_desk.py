"""The ministry's side of the weekly history: takes each province's batches out of its folder, and says what it took.

A batch counts from the moment that its request has its done file; its parts are there by then. If one is not, or is
not what its name says, that part and the done file are removed: the province sees its request offered no more, and
sends again. A batch is taken and its answer made in one transaction, so that a kill leaves nothing of it or all.

What it answers, by the receipt's `code`, beside those of `platform`:

    0000  taken; `data` has the counts and names the waybills that were refused or had been taken before
    4221  the batch is not what its contents say; nothing of it was taken
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus as Status
from pathlib import Path
from typing import Any, Self

from scraper_agent import canonical, durable, envelope
from scraper_agent.envelope import Answer, Request
from scraper_agent.errors import AgentError, UsageError
from scraper_agent.formats import FORMATS
from scraper_agent.ports import Clock, Signer
from scraper_agent.sandbox import history_file
from scraper_agent.sandbox.folders import Desk
from scraper_agent.sandbox.history_file import NAMED, Broken, Contents, Difference, Line, Reconciliation
from scraper_agent.sandbox.platform import Sender
from scraper_agent.sandbox.weeks import Week
from scraper_agent.sending import handover
from scraper_agent.signing import sealing, sm2
from scraper_agent.signing.keyfile import PrivateKey

REQUESTS, RECEIPTS = "requests", "receipts"

_DONE = "done"
_TAKEN, _DOUBLED, _REFUSED = "taken", "doubled", "refused"
_NUMBER = FORMATS["dangerousGoodsWaybill"].header_fields["i1"].type
_SCHEMA = """
CREATE TABLE IF NOT EXISTS batch (
    key TEXT PRIMARY KEY, province TEXT NOT NULL, week TEXT NOT NULL, at TEXT NOT NULL, refusal TEXT NOT NULL,
    sent INTEGER NOT NULL, taken INTEGER NOT NULL, doubled INTEGER NOT NULL, refused INTEGER NOT NULL,
    request BLOB NOT NULL, receipt BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS waybill (
    number TEXT NOT NULL UNIQUE, province TEXT NOT NULL, week TEXT NOT NULL,
    finished TEXT NOT NULL, known TEXT NOT NULL, message BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS difference (
    key TEXT NOT NULL, line INTEGER NOT NULL, number TEXT NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (key, line)
) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Province:
    """As the ministry knows it."""

    ak: str
    """Its division code."""
    keys: Mapping[str, Sender]
    """By `sk`."""
    sealed_for: str
    """The public key that answers are sealed for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One that was answered, in numbers of waybills."""

    key: str
    """Of its request."""
    province: str
    week: Week
    at: datetime
    refusal: str
    """Why nothing of it was taken; empty if it was."""
    sent: int
    taken: int
    doubled: int
    refused: int


class HistoryDesk:
    """Looks into the provinces' folders when told to `take`; one at a time for a database."""

    def __init__(
        self,
        database: Path,
        home: Path,
        clock: Clock,
        *,
        provinces: Mapping[str, Province],
        signer: Signer,
        keys: Sequence[PrivateKey],
    ) -> None:
        """`home`: has a folder for each province, by the name in `provinces`. `keys`: what comes is for one."""
        self._database = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        self._database.executescript(_SCHEMA)
        self._desks = []
        for name, province in provinces.items():
            requests, receipts = home / name / REQUESTS, home / name / RECEIPTS
            for folder in (requests, receipts):
                folder.mkdir(parents=True, exist_ok=True)
            turn = _Turn(self._database, clock, province, requests, signer, keys)
            self._desks.append(Desk(turn, requests, receipts))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    def take(self) -> int:
        """How many batches were answered. May be killed at any point and repeated."""
        return sum(desk.take() for desk in self._desks)

    def batches(self) -> tuple[Batch, ...]:
        """In the order in which they were answered."""
        rows = self._database.execute(
            "SELECT key, province, week, at, refusal, sent, taken, doubled, refused FROM batch ORDER BY rowid"
        )
        return tuple(
            Batch(
                key=key,
                province=province,
                week=Week.parse(week),
                at=datetime.fromisoformat(at),
                refusal=refusal,
                sent=sent,
                taken=taken,
                doubled=doubled,
                refused=refused,
            )
            for key, province, week, at, refusal, sent, taken, doubled, refused in rows
        )

    def differences(self, batch: Batch) -> Iterator[tuple[str, Difference]]:
        """All of a batch, each with its kind: doubled or refused."""
        for kind, line, number, reason in self._database.execute(
            "SELECT kind, line, number, reason FROM difference WHERE key = ? ORDER BY line", (batch.key,)
        ):
            yield kind, Difference(line=line, number=number, reason=reason)

    def waybills(self) -> Iterator[tuple[str, str, Week, bytes]]:
        """Number, province, week and message of all that there are, in the order in which they were taken."""
        for number, province, week, message in self._database.execute(
            "SELECT number, province, week, message FROM waybill ORDER BY rowid"
        ):
            yield number, province, Week.parse(week), message


class _Turn:
    """Judges what one province put into its folder."""

    def __init__(
        self,
        database: sqlite3.Connection,
        clock: Clock,
        province: Province,
        requests: Path,
        signer: Signer,
        keys: Sequence[PrivateKey],
    ) -> None:
        self._database = database
        self._clock = clock
        self._province = province
        self._requests = requests
        self._signer = signer
        self._keys = keys

    def receive(self, raw: bytes, header_key: str) -> tuple[int, bytes] | None:
        """As `folders.Receives`. Durable before it returns; what is not signed by the province leaves no trace."""
        try:
            request = envelope.read_request(history_file.unsealed(raw, self._keys))
            contents = history_file.read_contents(json.loads(request.document))
        except UsageError:
            raise
        except (AgentError, Broken, ValueError) as error:
            reason = error.sentence if isinstance(error, AgentError) else str(error)
            answer = Answer(
                code="4000", msg="报文格式错误 malformed", key=header_key, digest="", accepted=False, reason=reason
            )
            return Status.BAD_REQUEST, self._sealed(self._receipt(answer))
        if refusal := self._not_theirs(request, contents, header_key):
            code, msg, reason = refusal
            self._clear(contents)
            return Status.FORBIDDEN, self._sealed(self._receipt(_answer(request, code, msg, reason)))
        if Week.parse(contents.week).end > self._clock():
            return None  # the province's clock is ahead: it waits until this one has come so far
        receipt = self._known(request)
        if receipt is None:
            if not self._whole(contents):
                (self._requests / f"{request.key}{handover.REQUEST}{handover.DONE}").unlink()
                return None
            receipt = self._taken(request, contents, raw)
        self._clear(contents)
        return Status.OK, self._sealed(receipt)

    def _clear(self, contents: Contents) -> None:
        """Whoever was killed after this asks again, and gets the same answer without the parts."""
        for part in contents.parts:
            (self._requests / part.name).unlink(missing_ok=True)

    def _not_theirs(self, request: Request, contents: Contents, header_key: str) -> tuple[str, str, str] | None:
        sender = self._province.keys.get(request.sk)
        who = f"ak {request.ak}, sk {request.sk}"
        if sender is None or {request.ak, contents.province} != {self._province.ak}:
            return "4030", "系统或密钥未登记 unknown system or key", f"{who}, province {contents.province}"
        if not request.signed_with(sender.public_key, sm2.verify):
            return "4031", "验签失败 signature does not hold", who
        if header_key != request.key:
            return "4001", "幂等键不一致 two idempotency keys", f"{header_key!r}, ps.key {request.key!r}"
        # No window for `ts`: files wait as long as the line is down, and the key makes a replay harmless.
        now = self._clock()
        if not sender.valid(now):
            return "4032", "密钥不在有效期 key not valid now", f"{who}, {now.isoformat(timespec='seconds')}"
        return None

    def _known(self, request: Request) -> bytes | None:
        row = self._database.execute("SELECT receipt FROM batch WHERE key = ?", (request.key,)).fetchone()
        return None if row is None else bytes(row[0])

    def _whole(self, contents: Contents) -> bool:
        whole = True
        for part in contents.parts:
            path = self._requests / part.name
            try:
                data = durable.read(path, part.size)
            except durable.TooLong:
                data = b""
            if data is None:
                whole = False
            elif (len(data), canonical.sm3(data).hex()) != (part.size, part.sm3):
                path.unlink()
                whole = False
        return whole

    def _taken(self, request: Request, contents: Contents, raw: bytes) -> bytes:
        """The receipt, stored with what it says."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            receipt = self._judged(request, contents, raw)
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")
        return receipt

    def _judged(self, request: Request, contents: Contents, raw: bytes) -> bytes:
        intake = _Intake(self._database, request.key, contents)
        self._database.execute("SAVEPOINT batch")
        try:
            secret = history_file.opened(contents, self._keys)
            for lines in history_file.read(self._requests, contents, secret):
                intake.take(lines)
            told, refusal = intake.reconciliation(contents.count), ""
        except Broken as error:
            self._database.execute("ROLLBACK TO batch")
            told, refusal = None, str(error)
        self._database.execute("RELEASE batch")
        if told is None:
            answer = _answer(request, "4221", "文件与清单不符 not what its contents say", refusal)
        else:
            data = told.model_dump(mode="json")
            answer = _answer(request, "0000", "已接收 taken", data=data)
        receipt = self._receipt(answer)
        counts = (told.sent, told.taken, told.doubled, told.refused) if told else (contents.count, 0, 0, 0)
        self._database.execute(
            "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(request.key, contents.province, contents.week, self._clock().isoformat(), refusal),
                *(*counts, raw, receipt),
            ),
        )
        return receipt

    def _receipt(self, answer: Answer) -> bytes:
        return envelope.build_receipt(answer, self._signer, self._clock())

    def _sealed(self, receipt: bytes) -> bytes:
        return sealing.seal(receipt, self._province.sealed_for)


class _Intake:
    """Puts the lines of one batch into the database, inside a transaction of its caller."""

    def __init__(self, database: sqlite3.Connection, key: str, contents: Contents) -> None:
        self._database = database
        self._key = key
        self._province = contents.province
        self._week = contents.week
        self._begin, self._end = history_file.bounds(Week.parse(contents.week))
        self._counts: Counter[str] = Counter()
        self._line = 0

    def take(self, lines: list[bytes]) -> None:
        first, self._line = self._line + 1, self._line + len(lines)
        differences: list[tuple[str, int, str, str, str]] = []
        new: dict[str, Line] = {}
        read = [history_file.read_line(line) for line in lines]
        stored = self._stored([line.number for line in read if line is not None])
        for at, line in enumerate(read, start=first):
            if reason := self._fault(line):
                kind = _REFUSED
            elif line is None:
                raise AssertionError  # it has a fault
            elif (known := stored.get(line.number)) is None:
                stored[line.number] = (self._province, line.message)
                new[line.number] = line
                continue
            elif known == (self._province, line.message):
                kind, reason = _DOUBLED, "以前已接收 taken before"
            else:
                kind, reason = _REFUSED, f"同号运单内容不同 another waybill of this number, of {known[0]}"
            differences.append((self._key, at, "" if line is None else line.number, kind, reason))
        self._counts.update(kind for *_, kind, _ in differences)
        self._counts[_TAKEN] += len(new)
        self._database.executemany(
            "INSERT INTO waybill VALUES (?, ?, ?, ?, ?, ?)",
            (
                (each.number, self._province, self._week, each.finished, each.known, each.message)
                for each in new.values()
            ),
        )
        self._database.executemany("INSERT INTO difference VALUES (?, ?, ?, ?, ?)", differences)

    def _stored(self, numbers: list[str]) -> dict[str, tuple[str, bytes]]:
        """Province and message of those that are there."""
        found = self._database.execute(
            "SELECT number, province, message FROM waybill WHERE number IN (SELECT value FROM json_each(?))",
            (json.dumps(numbers),),
        )
        return {number: (province, message) for number, province, message in found}

    def _fault(self, line: Line | None) -> str:
        if line is None:
            return "格式错误 malformed"
        if line.status != _DONE:
            return f"状态不是已完成 status is {line.status}"
        if not self._begin <= line.known < self._end:
            return f"不属于该周 not of this week: known {line.known}"
        if _NUMBER.fault(line.number) is not None:
            return "运单编号格式错误 i1 is malformed"
        try:
            json.loads(line.message)
        except (ValueError, RecursionError):
            return "运单不是JSON not JSON"
        return ""

    def reconciliation(self, sent: int) -> Reconciliation:
        named = self._database.execute(
            "SELECT line, number, reason FROM difference WHERE key = ? ORDER BY kind = ? DESC, line LIMIT ?",
            (self._key, _REFUSED, NAMED),
        )
        return Reconciliation(
            sent=sent,
            taken=self._counts[_TAKEN],
            doubled=self._counts[_DOUBLED],
            refused=self._counts[_REFUSED],
            differences=tuple(Difference(line=line, number=number, reason=reason) for line, number, reason in named),
        )


def _answer(request: Request, code: str, msg: str, reason: str = "", data: Mapping[str, Any] | None = None) -> Answer:
    return Answer(
        code=code, msg=msg, key=request.key, digest=request.digest, accepted=code == "0000", reason=reason, data=data
    )
