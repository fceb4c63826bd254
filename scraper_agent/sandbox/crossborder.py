"""The other side of a waybill of cross-border e-commerce (GB/T 40292-2021, clause 4): single window and customs.

Two systems, each with its key and its store. The single window (跨境电商通关服务平台, 单一窗口) verifies a carrier's
waybill by clause 8 and answers at once, by the receipt's `code`:

    0001  taken, customs' answer is to come           4301  rejected to the logistics enterprise, with all findings
                                                       4302  the number is another waybill's

What it took it passes on to customs (海关业务管理系统) in a request of its own, with the carrier's bytes and key, until
customs has answered:

    0000  accepted        0001  held, the answer is to come
    4401  does not conform        4402  the logistics enterprise is not registered        4403  refused

Customs' receipt is handed back to the carrier in the single window's final one, with the same code, as the text
`data.customsReceipt`: signed by customs for the carrier's own key and digest, so that the carrier can verify it itself.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from scraper_agent import canonical, envelope, messages
from scraper_agent.envelope import ReceiptInvalid, Request
from scraper_agent.errors import AgentError
from scraper_agent.format import Document, Format, Value, decode
from scraper_agent.formats import FORMATS
from scraper_agent.ports import Clock
from scraper_agent.sandbox.platform import INTERIM, Platform, Ruling, Senders
from scraper_agent.sending import https
from scraper_agent.signing import sm2
from scraper_agent.waybill import verification

FORMAT = FORMATS["crossBorderWaybill"]
WINDOW_AK = "SW0001"
"""The single window as a system of customs."""

_FINDINGS = 30
"""Findings that a receipt has room for, and that receipt inside another one."""
_REASON = 1000
_FIELD = 60
_TEXT = 160
_LONGEST_WAIT = timedelta(minutes=15)
_ASKED_AGAIN = timedelta(seconds=10)
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")
_NOT_OF_THE_WAYBILL = "40"
"""Codes that begin so refuse a request as such: nothing is said of what it carries."""

_WINDOW_SCHEMA = """
CREATE TABLE IF NOT EXISTS transit (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE, waybill TEXT NOT NULL, digest TEXT NOT NULL, document BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('taken', 'sent', 'accepted', 'refused')),
    tries INTEGER NOT NULL DEFAULT 0, due TEXT NOT NULL,
    customs_receipt BLOB
) STRICT;
CREATE INDEX IF NOT EXISTS transit_waybill ON transit (waybill);
CREATE INDEX IF NOT EXISTS transit_open ON transit (number) WHERE customs_receipt IS NULL;
CREATE TABLE IF NOT EXISTS odd (key TEXT NOT NULL, at TEXT NOT NULL, why TEXT NOT NULL, answer BLOB NOT NULL) STRICT;
"""

_CUSTOMS_SCHEMA = """
CREATE TABLE IF NOT EXISTS declared (
    waybill TEXT NOT NULL, key TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('held', 'accepted', 'refused'))
) STRICT;
CREATE INDEX IF NOT EXISTS declared_waybill ON declared (waybill);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transit:
    """One waybill on its way through the single window."""

    waybill: str
    key: str
    state: str
    """`taken`, `sent` to customs, then `accepted` or `refused` by customs; it only goes on."""
    tries: int
    due: datetime
    """When it is sent to customs again."""
    customs_receipt: bytes | None


class Customs:
    """海关业务管理系统. What it refuses and holds may be changed at any time."""

    def __init__(
        self, clock: Clock, window: Senders, *, format: Format = FORMAT, database: Path | None = None, port: int = 0
    ) -> None:
        """`window`: the single window's keys, by (`WINDOW_AK`, sk)."""
        self._format = format
        self.refusals: dict[str, str] = {}
        """By waybill number, why it is refused."""
        self.holds: set[str] = set()
        """Numbers of waybills that wait for `decide`."""
        self.enterprises: frozenset[str] | None = None
        """The registered credit codes of logistics enterprises; None: all are."""
        self.platform = Platform(
            clock,
            window,
            {format.name},
            database=database,
            port=port,
            title=("模拟海关业务管理系统", "Sandbox customs system"),
            judge=self._judge,
            schema=_CUSTOMS_SCHEMA,
        )

    def decide(self, waybill: str, refuse: str = "") -> None:
        """Answer finally to what was held. `refuse`: why; empty accepts it.

        Raises:
            LookupError: no such waybill is held.
        """
        with self.platform.together() as database:
            row = database.execute(
                "SELECT key FROM declared WHERE waybill = ? AND state = 'held'", (waybill,)
            ).fetchone()
            if row is None:
                raise LookupError(waybill)
            ruling = _refused("4403", "海关退单 refused by customs", waybill, refuse) if refuse else _accepted(waybill)
            self.platform.settle(database, row[0], ruling)
            state = "refused" if refuse else "accepted"
            database.execute("UPDATE declared SET state = ? WHERE key = ?", (state, row[0]))
        self.holds.discard(waybill)

    def _judge(self, request: Request, database: sqlite3.Connection) -> Ruling:
        ruling, waybill = self._ruling(request, database)
        state = "accepted" if ruling.accepted else "held" if ruling.code == INTERIM else "refused"
        database.execute("INSERT INTO declared VALUES (?, ?, ?)", (waybill, request.key, state))
        return ruling

    def _ruling(self, request: Request, database: sqlite3.Connection) -> tuple[Ruling, str]:
        document = read(request.document, self._format)
        waybill = str(document.header.get("waybillNumber", ""))
        if (rejected := _verified(document, self._format, "4401")) is not None:
            return rejected, waybill
        enterprise = str(document.header["logisticsEnterpriseCode"])
        if self.enterprises is not None and enterprise not in self.enterprises:
            msg = "物流企业未备案 logistics enterprise not registered"
            return _refused("4402", msg, waybill, enterprise), waybill
        known = "SELECT 1 FROM declared WHERE waybill = ? AND state <> 'refused'"
        if database.execute(known, (waybill,)).fetchone():
            return _refused("4403", "海关退单 refused by customs", waybill, f"{waybill}: another waybill"), waybill
        if waybill in self.refusals:
            return _refused("4403", "海关退单 refused by customs", waybill, self.refusals[waybill]), waybill
        if waybill in self.holds:
            data = {"waybillNumber": waybill, "decision": "held"}
            return Ruling(code=INTERIM, msg="海关布控，待处理 held by customs", accepted=False, data=data), waybill
        return _accepted(waybill), waybill


class SingleWindow:
    """跨境电商通关服务平台. What it took goes on to customs in `transmit`; a thread of `transmitting` calls that."""

    def __init__(
        self, clock: Clock, carriers: Senders, *, format: Format = FORMAT, database: Path | None = None, port: int = 0
    ) -> None:
        """`carriers`: their keys, by (ak, sk). `connect` it to customs."""
        self._clock = clock
        self._format = format
        self._customs_keys: Mapping[str, str] = {}
        self._transport: https.HttpsTransport | None = None
        self._sending = threading.Lock()
        self._news = threading.Event()
        self._failures = 0
        self._away_until: datetime | None = None
        self.platform = Platform(
            clock,
            carriers,
            {format.name},
            database=database,
            port=port,
            title=("模拟跨境电商通关服务平台（单一窗口）", "Sandbox single window"),
            judge=self._judge,
            schema=_WINDOW_SCHEMA,
        )

    def connect(self, url: str, public_keys: Mapping[str, str]) -> None:
        """`url`: where customs receives; `public_keys`: customs' own, by sk."""
        self.close_line()
        self._customs_keys = public_keys
        self._transport = https.HttpsTransport(https.Config(kind="https", url=url, read_timeout_s=5))

    def close_line(self) -> None:
        """Let go of the line to customs."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    # --- from the carrier -------------------------------------------------------------------------------------------

    def _judge(self, request: Request, database: sqlite3.Connection) -> Ruling:
        document = read(request.document, self._format)
        if (rejected := _verified(document, self._format, "4301")) is not None:
            return rejected
        waybill = str(document.header["waybillNumber"])
        taken = "SELECT 1 FROM transit WHERE waybill = ? AND state <> 'refused'"
        if database.execute(taken, (waybill,)).fetchone():
            return _refused("4302", "运单编号重复 number of another waybill", waybill, waybill)
        # Committed with the receipt: what the carrier was told is taken goes on, whatever happens to this process.
        database.execute(
            "INSERT INTO transit (key, waybill, digest, document, state, due) VALUES (?, ?, ?, ?, 'taken', ?)",
            (request.key, waybill, request.digest, request.document, self._clock().isoformat()),
        )
        self._news.set()
        data = {"waybillNumber": waybill, "decision": "taken"}
        return Ruling(
            code=INTERIM, msg="平台已接收，待海关回执 taken, customs' answer is to come", accepted=False, data=data
        )

    # --- to customs and back ----------------------------------------------------------------------------------------

    def transits(self) -> tuple[Transit, ...]:
        with self.platform.together() as database:
            rows = database.execute(
                "SELECT waybill, key, state, tries, due, customs_receipt FROM transit ORDER BY number"
            ).fetchall()
        return tuple(
            Transit(
                waybill=waybill,
                key=key,
                state=state,
                tries=tries,
                due=datetime.fromisoformat(due),
                customs_receipt=receipt,
            )
            for waybill, key, state, tries, due, receipt in rows
        )

    def odd_answers(self) -> tuple[tuple[str, str, bytes], ...]:
        """Answers of customs that nothing follows from: key, why, bytes."""
        with self.platform.together() as database:
            return tuple(database.execute("SELECT key, why, answer FROM odd ORDER BY rowid").fetchall())

    def transmit(self) -> int:
        """Send customs what is due, in the order in which it was taken; how many were answered finally.

        After a failure nothing is sent before a while, longer each time, and then one first.
        """
        settled = 0
        with self._sending:
            while self._away_until is None or self._away_until <= self._clock():
                row = self._next()
                if row is None:
                    break
                settled += self._pass_on(*row)
        return settled

    def _next(self) -> tuple[str, bytes] | None:
        """Key and document; marked as sent, which is committed before it is."""
        with self.platform.together() as database:
            row = database.execute(
                "SELECT key, document, tries FROM transit WHERE customs_receipt IS NULL AND due <= ?"
                " ORDER BY number LIMIT 1",
                (self._clock().isoformat(),),
            ).fetchone()
            if row is not None:
                due = (self._clock() + _wait(row[2])).isoformat()
                database.execute(
                    "UPDATE transit SET state = 'sent', tries = tries + 1, due = ? WHERE key = ?", (due, row[0])
                )
        return None if row is None else (row[0], row[1])

    def _pass_on(self, key: str, document: bytes) -> bool:
        """Sent again until there is an answer: customs knows the key, so that what it has counts once."""
        if self._transport is None:
            raise RuntimeError("not connected")
        signer = self.platform.signer
        request = envelope.build(document, self._format.name, key, WINDOW_AK, signer, self._clock())
        try:
            answer = self._transport.send(request, key=key)
        except AgentError:
            self._failures += 1
            self._away_until = self._clock() + _wait(self._failures)
            return False
        self._failures, self._away_until = 0, None
        return self.handle(key, answer)

    def handle(self, key: str, answer: bytes) -> bool:
        """Whether `answer` is customs' final word on the waybill with this key, heard for the first time.

        Raises:
            LookupError: there is no such waybill.
        """
        with self.platform.together() as database:
            row = database.execute("SELECT digest, customs_receipt FROM transit WHERE key = ?", (key,)).fetchone()
            if row is None:
                raise LookupError(key)
            digest, known = row
            try:
                said = envelope.open_receipt(answer, sm2.verify, self._customs_keys, key=key, digest=digest)
            except ReceiptInvalid as error:
                self._note_odd(database, key, error.sentence, answer)
                return False
            if said.code == INTERIM:
                due = (self._clock() + _ASKED_AGAIN).isoformat()
                database.execute("UPDATE transit SET due = ? WHERE key = ? AND customs_receipt IS NULL", (due, key))
                return False
            if not said.accepted and said.code.startswith(_NOT_OF_THE_WAYBILL):
                self._note_odd(database, key, f"{said.code} {said.message} {said.reason}", answer)
                return False
            if known is not None:
                if known != answer:
                    self._note_odd(database, key, "customs has answered before", answer)
                return False
            # With the carrier's receipt in one commit: neither is ever there without the other.
            database.execute(
                "UPDATE transit SET state = ?, customs_receipt = ? WHERE key = ?",
                ("accepted" if said.accepted else "refused", answer, key),
            )
            final = Ruling(
                code=said.code,
                msg=said.message,
                accepted=said.accepted,
                reason=said.reason,
                data={"customsReceipt": answer.decode()},
            )
            self.platform.settle(database, key, final)
        return True

    def _note_odd(self, database: sqlite3.Connection, key: str, why: str, answer: bytes) -> None:
        database.execute("INSERT INTO odd VALUES (?, ?, ?, ?)", (key, self._clock().isoformat(), why, answer))

    @contextmanager
    def transmitting(self, every_s: float = 1) -> Iterator[None]:
        """Within, what is taken goes on to customs at once, and what failed again when its time has come."""
        ended = threading.Event()

        def run() -> None:
            while not ended.is_set():
                self._news.clear()
                self.transmit()
                self._news.wait(every_s)

        thread = threading.Thread(target=run, name="single window", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            self._news.set()
            thread.join()


class Crossborder:
    """Both, connected; they listen while inside a `with`."""

    def __init__(
        self,
        clock: Clock,
        carriers: Senders,
        *,
        format: Format = FORMAT,
        folder: Path | None = None,
        ports: tuple[int, int] = (0, 0),
    ) -> None:
        """`folder`: where their two databases are; None keeps them in memory. `ports`: the window's and customs'."""
        databases = [None if folder is None else folder / name for name in ("single-window.db", "customs.db")]
        self.window = SingleWindow(clock, carriers, format=format, database=databases[0], port=ports[0])
        known = {(WINDOW_AK, sk): key for sk, key in self.window.platform.public_keys.items()}
        self.customs = Customs(clock, known, format=format, database=databases[1], port=ports[1])

    def __enter__(self) -> Self:
        """Raises OSError: a port is taken."""
        self.window.platform.start()
        try:
            self.customs.platform.start()
        except OSError:
            self.window.platform.close()
            raise
        self.window.connect(self.customs.platform.url, self.customs.platform.public_keys)
        return self

    def __exit__(self, *_: object) -> None:
        self.window.close_line()
        self.window.platform.close()
        self.customs.platform.close()


def read(document: bytes, format: Format) -> Document:
    """A waybill as any system may have written it, each value by itself: what is none of its field's stays text."""
    raw: Any = json.loads(document)
    parts = raw if isinstance(raw, dict) else {}
    header, lines = parts.get("header"), parts.get("lines")
    return Document(
        format=format.name,
        header={id: _value(id, value, format) for id, value in header.items()} if isinstance(header, dict) else {},
        lines=tuple({} for _ in lines) if isinstance(lines, list) else (),
    )


def _value(id: str, value: object, format: Format) -> Value:
    field = format.header_fields.get(id)
    if field is not None and field.type.holds == "number" and isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)  # the agent writes a number in one way, others may add zeros
    try:
        alone = canonical.dumps_plain({"format": format.name, "header": {id: value}, "lines": []})
        return decode(format, alone).header[id]
    except (ValueError, TypeError):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _verified(document: Document, format: Format, code: str) -> Ruling | None:
    """The ruling that rejects the waybill by clause 8; None if it conforms."""
    verified = verification.verify(document, format)
    if verified.verdict == "ACCEPT":
        return None
    told = [
        {
            "step": each.step,
            "severity": str(each.finding.severity),
            "code": each.finding.code,
            "field": each.finding.field[:_FIELD],
            "text": messages.english(each.finding.text, each.finding.values)[:_TEXT],
        }
        for each in verified.findings
    ]
    reason = "; ".join(f"{each['step']} {each['field']} {each['text']}" for each in told if each["severity"] == "error")
    return Ruling(
        code=code,
        msg="退回物流企业整改 rejected to the logistics enterprise",
        accepted=False,
        reason=reason[:_REASON],
        data={"verdict": verified.verdict, "count": len(told), "findings": told[:_FINDINGS]},
    )


def _accepted(waybill: str) -> Ruling:
    data = {"waybillNumber": waybill, "decision": "accepted"}
    return Ruling(code="0000", msg="海关已接收 accepted by customs", accepted=True, data=data)


def _refused(code: str, msg: str, waybill: str, reason: str) -> Ruling:
    data = {"waybillNumber": waybill, "decision": "refused"}
    return Ruling(code=code, msg=msg, accepted=False, reason=reason[:_REASON], data=data)


def _wait(tries: int) -> timedelta:
    """Twice as long each time."""
    return min(timedelta(seconds=2 ** min(tries, 10)), _LONGEST_WAIT)
