"""A province's system for waybills of dangerous goods (省级危货系统), simulated: takes them, makes QR codes, answers.

Its interfaces, their names and its codes are in waybill/dangerous_goods.yaml; how requests come and what makes each
count once is `platform`. A waybill that is accepted has the text and the image of its QR code in the receipt's data. A
new version of one that has not begun replaces it; its status goes the way of the profile and never back. Certificate
numbers are masked in what it says and shows, but not in what it answers another authority.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self

from scraper_agent import canonical, messages
from scraper_agent.envelope import ReceiptContent, Request
from scraper_agent.errors import BusinessError
from scraper_agent.format import Context, Document, Format, decode
from scraper_agent.formats import FORMATS
from scraper_agent.mapping import CHINA_TIME
from scraper_agent.sandbox import authority, province_web, sealed
from scraper_agent.sandbox.licences import Licences
from scraper_agent.sandbox.platform import WINDOW, Platform, Ruling, Senders
from scraper_agent.sandbox.platform_web import Door
from scraper_agent.sandbox.sealed import Asker, Peer
from scraper_agent.signing import sm2
from scraper_agent.values import Finding, Severity
from scraper_agent.waybill import image, qr, status
from scraper_agent.waybill.profile import DEFAULT, FORMAT, Profile

STATUS_FORMAT = FORMATS["waybillStatus"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS waybill (
    i1 TEXT PRIMARY KEY,
    ak TEXT NOT NULL, version INTEGER NOT NULL, document BLOB NOT NULL, digest TEXT NOT NULL, qr TEXT NOT NULL,
    received TEXT NOT NULL, late INTEGER NOT NULL,
    status TEXT NOT NULL, since TEXT NOT NULL, known TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS waybill_known ON waybill (status, known);
CREATE TABLE IF NOT EXISTS status_change (
    i1 TEXT NOT NULL, place INTEGER NOT NULL, status TEXT NOT NULL, at TEXT NOT NULL, known TEXT NOT NULL,
    PRIMARY KEY (i1, place)
) STRICT;
"""
"""Times are of UTC in one width, so that they sort."""

_REASON_CHARACTERS = 4000
"""A receipt takes 4,096."""
_DATA_BYTES = 60_000
"""Of a receipt of 65,536."""
_AT_A_TIME = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Waybill:
    """The newest version of one, as the province has it."""

    number: str
    ak: str
    version: int
    document: bytes
    """In the format's canonical bytes."""
    digest: str
    qr: str
    """The text of its code; its bytes are of `qr.CHARSET`."""
    received_at: datetime
    late: bool
    """It came after its day of departure."""
    status: str
    since: datetime
    """When it came to have this status, as its enterprise says."""
    known_at: datetime
    """When the province came to know that."""

    @property
    def content(self) -> Document:
        return decode(FORMAT, self.document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of status."""

    status: str
    at: datetime
    known_at: datetime


class Province:
    """Listens while inside a `with`. `platform` is how requests come to it: start, stop, faults and pages are there."""

    def __init__(  # noqa: PLR0913 - what a province is
        self,
        ak: str,
        names: tuple[str, str],
        *,
        clock: Callable[[], datetime],
        nonce: Callable[[], str],
        enterprises: Senders,
        licences: Licences,
        database: Path | None = None,
        port: int = 0,
        profile: Profile = DEFAULT,
        window: timedelta = WINDOW,
    ) -> None:
        """`ak`: its division code, 6 digits. `names`: in Chinese and English. `nonce`: never twice the same text."""
        self.ak = ak
        self.profile = profile
        self._clock = clock
        self._licences = licences
        self._ministry: Peer | None = None
        interfaces = profile.interfaces.province
        formats = {each.format for each in (interfaces.waybill, interfaces.status, interfaces.query, interfaces.qr)}
        self.platform = Platform(
            clock,
            enterprises,
            formats,
            database=database,
            port=port,
            window=window,
            title=(f"{names[0]}危货系统(模拟)", f"Sandbox province {names[1]} {ak}"),
            judge=self._judge,
            schema=_SCHEMA,
            web=lambda _: province_web.application(self, self._doors(), self.keys),
        )
        self._asker = Asker(ak=ak, keys=self.platform.own_keys, clock=clock, nonce=nonce)

    def __enter__(self) -> Self:
        self.platform.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.platform.close()

    @property
    def url(self) -> str:
        """What the paths of its interfaces follow."""
        return self.platform.home

    def meet(self, ministry: Peer) -> None:
        """The ministry, whose keys were handed over: it is asked, and may ask."""
        self._ministry = ministry
        self.platform.know({(ministry.ak, sk): key for sk, key in ministry.public_keys.items()})

    def keys(self) -> bytes:
        """The signed list of its public keys."""
        return authority.key_list(self.ak, self.platform.own_keys, self._clock())

    # --- what it has ---

    def waybill(self, number: str) -> Waybill | None:
        with self.platform.together() as database:
            return _find(database, number)

    def waybills(self, before: str, most: int) -> list[Waybill]:
        """The newest first; only those that came before `before`, a waybill's number, if it is not empty."""
        with self.platform.together() as database:
            older = "WHERE ? = '' OR rowid < (SELECT rowid FROM waybill WHERE i1 = ?) ORDER BY rowid DESC LIMIT ?"
            rows = database.execute(f"{_SELECT} {older}", (before, before, most))
            return [_waybill(row) for row in rows]

    def changes(self, number: str) -> list[Change]:
        with self.platform.together() as database:
            rows = database.execute(
                "SELECT status, at, known FROM status_change WHERE i1 = ? ORDER BY place", (number,)
            )
            return [Change(status=name, at=_read(at), known_at=_read(known)) for name, at, known in rows]

    def finished(self, name: str, begin: datetime, end: datetime) -> Iterator[Waybill]:
        """The waybills that the province came to know as `name`, a final status, from `begin` until before `end`.

        In the order of that moment; a few at a time, so that requests are taken meanwhile.
        """
        last = (_write(begin), "")
        while True:
            with self.platform.together() as database:
                rows = database.execute(
                    f"{_SELECT} WHERE status = ? AND (known, i1) > (?, ?) AND known < ? ORDER BY known, i1 LIMIT ?",
                    (name, *last, _write(end), _AT_A_TIME),
                )
                found = [_waybill(row) for row in rows]
            yield from found
            if len(found) < _AT_A_TIME:
                return
            last = (_write(found[-1].known_at), found[-1].number)

    # --- what its operators ask ---

    def ask(self, number: str, division: str) -> ReceiptContent:
        """About a waybill of the province of `division`, through the ministry.

        Raises:
            NoAnswer: the ministry is away, unknown, or says nothing that counts.
        """
        interface = self.profile.interfaces.ministry.query
        return self._asker.ask(self._the_ministry(), interface, {"i1": number, "division": division})

    def ask_qr(self, text: str) -> ReceiptContent:
        """About a code of any province, through the ministry.

        Raises:
            NoAnswer: the ministry is away, unknown, or says nothing that counts.
        """
        return self._asker.ask(self._the_ministry(), self.profile.interfaces.ministry.qr, {"text": text})

    def _the_ministry(self) -> Peer:
        if self._ministry is None:
            raise sealed.NoAnswer("no ministry is known")
        return self._ministry

    # --- what it is asked ---

    def _doors(self) -> Iterator[Door]:
        of = self.profile.interfaces.province
        for interface in (of.waybill, of.status):
            yield Door(path=f"/{interface.path}", take=partial(self.platform.receive, only={interface.format}))
        for interface in (of.query, of.qr):
            take = partial(self.platform.receive, only={interface.format})
            yield authority.sealed_door(interface, self.platform, self.profile.codes.unsealed, take)

    def _judge(self, request: Request, database: sqlite3.Connection) -> Ruling:
        of, codes = self.profile.interfaces.province, self.profile.codes
        from_ministry = request.ak == self.profile.ministry
        if from_ministry != (request.format in (of.query.format, of.qr.format)):
            return authority.refused(codes.not_allowed, f"ak {request.ak}, {request.format}")
        if request.format == of.waybill.format:
            return self._judge_waybill(request, database)
        if request.format == of.status.format:
            return self._judge_status(request, database)
        question = authority.question(request.document)
        match question:
            case {"i1": number, "division": _} if request.format == of.query.format and len(question) == 2:  # noqa: PLR2004
                return self._answer_query(number, database)
            case {"text": text} if request.format == of.qr.format and len(question) == 1:
                return self._answer_qr(text, database)
        return authority.refused(codes.bad_query, "")

    def _judge_waybill(self, request: Request, database: sqlite3.Connection) -> Ruling:
        codes, now = self.profile.codes, self._clock()
        document, reasons = self._checked(request.document, FORMAT)
        number = "" if document is None else str(document.header.get("i1", ""))
        known = _find(database, number)
        if known is not None and known.ak != request.ak:
            return authority.refused(codes.foreign, f"i1 {number}")
        if known is not None and known.status != status.first(self.profile.statuses):
            return authority.refused(codes.begun, f"i1 {number}: {self._named(known.status)}")
        if document is None or reasons:
            return authority.refused(codes.invalid, _joined(reasons))
        today = now.astimezone(CHINA_TIME).date()
        lacks = [
            f"{lack.field} {FORMAT.header_fields[lack.field].zh}: {lack.zh} {lack.en}"
            for lack in self._licences.lacks(document, today)
        ]
        if lacks:
            return authority.refused(codes.unlicensed, _joined(lacks))
        try:
            content = qr.build(qr.summary(document, self.profile.qr), self.platform.signer, self.profile.qr)
            picture = image.png(content, self.profile.qr)
        except BusinessError as error:
            return authority.refused(codes.invalid, f"{error.code} {error.sentence}")
        text = content.decode(qr.CHARSET)
        departure = document.header["i41"]
        moment = _write(now)
        database.execute(
            "INSERT INTO waybill VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (i1) DO UPDATE SET"
            " version = version + 1, document = excluded.document, digest = excluded.digest, qr = excluded.qr,"
            " received = excluded.received, late = excluded.late, since = excluded.since, known = excluded.known",
            (
                *(number, request.ak, request.document, request.digest, text, moment),
                # The day alone is known: what comes on it is not late.
                *(not isinstance(departure, str) and today.isoformat() > str(departure),),
                *(status.first(self.profile.statuses), moment, moment),
            ),
        )
        return authority.accepted(codes, {"qr": text, "image": base64.b64encode(picture).decode()})

    def _judge_status(self, request: Request, database: sqlite3.Connection) -> Ruling:
        codes, now = self.profile.codes, self._clock()
        document, reasons = self._checked(request.document, STATUS_FORMAT)
        if document is None or reasons:
            return authority.refused(codes.invalid, _joined(reasons))
        number, wanted, at = (document.header[id] for id in ("i1", "status", "at"))
        assert isinstance(at, datetime)  # noqa: S101 - it passed its check
        moment = at.replace(tzinfo=CHINA_TIME)
        known = _find(database, str(number))
        if known is None:
            return authority.refused(codes.unknown_waybill, f"i1 {number}")
        if known.ak != request.ak:
            return authority.refused(codes.foreign, f"i1 {number}")
        try:
            name = status.follow(known.status, str(wanted), self.profile.statuses)
        except BusinessError as error:
            return authority.refused(codes.no_step, f"i1 {number}: {error.code} {error.sentence}")
        if moment > now + WINDOW:
            return authority.refused(codes.no_step, f"at {at.isoformat()}: 晚于当前时间 is after now")
        begun = known.status != status.first(self.profile.statuses)
        if begun and moment < known.since:
            return authority.refused(
                codes.no_step, f"at {at.isoformat()}: 早于上一状态 is before it became {self._named(known.status)}"
            )
        database.execute(
            "UPDATE waybill SET status = ?, since = ?, known = ? WHERE i1 = ?",
            (name, _write(moment), _write(now), number),
        )
        database.execute(
            "INSERT INTO status_change SELECT ?, coalesce(max(place), 0) + 1, ?, ?, ? FROM status_change WHERE i1 = ?",
            (number, name, _write(moment), _write(now), number),
        )
        return authority.accepted(codes, None)

    def _checked(self, data: bytes, format: Format) -> tuple[Document | None, list[str]]:
        """The document, None if it cannot be read; and what its format finds wrong with it."""
        try:
            document = decode(format, data)
        except ValueError as error:
            return None, [str(error)]
        found = [f for f in format.check(document, Context()) if f.severity is Severity.ERROR]
        return document, [_told(finding, format) for finding in found]

    def _answer_query(self, number: str, database: sqlite3.Connection) -> Ruling:
        codes = self.profile.codes
        known = _find(database, number)
        if known is None:
            return authority.accepted(codes, {"found": False})
        data: dict[str, Any] = {
            "found": True,
            "version": known.version,
            "document": json.loads(known.document),
            "digest": known.digest,
            "status": known.status,
            "since": known.since,
            "qr": known.qr,
        }
        plain = json.loads(canonical.dumps(data))
        if len(canonical.dumps(plain)) > _DATA_BYTES:
            return authority.refused(codes.too_long, f"i1 {number}")
        return authority.accepted(codes, plain)

    def _answer_qr(self, text: str, database: sqlite3.Connection) -> Ruling:
        codes = self.profile.codes
        try:
            content = qr.parse(text, self.profile.qr)
        except qr.QrInvalid as error:
            return authority.refused(codes.bad_query, f"{error.code} {error.sentence}")
        standing = self.standing(content)
        if standing != qr.Standing.GENUINE:
            return authority.accepted(codes, {"standing": standing})
        known = _find(database, content.summary.waybill)
        if known is None:
            return authority.accepted(codes, {"standing": standing, "found": False})
        now = qr.summary(known.content, self.profile.qr)
        differing = [name for name in _SUMMARY if getattr(now, name) != getattr(content.summary, name)]
        data = {"standing": standing, "found": True, "agrees": not differing, "differing": differing}
        return authority.accepted(codes, {**data, "i1": known.number, "status": known.status})

    def standing(self, content: qr.Content) -> str:
        """As `qr.Standing`, or `revoked-key`."""
        keys = {key.sk: key.pair.public_key for key in self.platform.own_keys.keys}
        standing = qr.standing(content, keys, sm2.verify)
        revoked = content.key_index not in self.platform.public_keys
        return "revoked-key" if standing is qr.Standing.GENUINE and revoked else standing.value

    def _named(self, name: str) -> str:
        return f"{self.profile.statuses[name].zh} {self.profile.statuses[name].en}"


def _told(finding: Finding, format: Format) -> str:
    id = finding.field.rpartition(".")[2]
    field = format.header_fields.get(id) or format.line_fields.get(id)
    name = f" {field.zh}" if field else ""
    return f"{finding.field}{name}: {finding.code} {messages.english(finding.text, finding.values)}"


_SUMMARY = ("vehicle", "driver", "escort", "weight", "goods")

_SELECT = "SELECT i1, ak, version, document, digest, qr, received, late, status, since, known FROM waybill"


def _find(database: sqlite3.Connection, number: str) -> Waybill | None:
    row = database.execute(f"{_SELECT} WHERE i1 = ?", (number,)).fetchone()
    return None if row is None else _waybill(row)


def _waybill(row: tuple[Any, ...]) -> Waybill:
    number, ak, version, document, digest, text, received, late, name, since, known = row
    return Waybill(
        number=number,
        ak=ak,
        version=version,
        document=document,
        digest=digest,
        qr=text,
        received_at=_read(received),
        late=bool(late),
        status=name,
        since=_read(since),
        known_at=_read(known),
    )


def _write(moment: datetime) -> str:
    return canonical.dumps(moment).decode().strip('"')


def _read(moment: str) -> datetime:
    return datetime.fromisoformat(moment)


def _joined(reasons: list[str]) -> str:
    """All of them, as far as a receipt has room; how many more there are, if not."""
    for count in range(len(reasons), 0, -1):
        rest = len(reasons) - count
        text = "; ".join(reasons[:count]) + (f"; 另有{rest}项 and {rest} more" if rest else "")
        if len(text) <= _REASON_CHARACTERS:
            return text
    return f"{len(reasons)}项 {len(reasons)} reasons"
