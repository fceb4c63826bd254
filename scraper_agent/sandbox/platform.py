"""A receiving side to try the agent against: a customs platform on this machine, with switches for its faults.

Takes requests of `envelope`, judges them, keeps what is properly signed, and answers with a signed receipt: over HTTP
by itself (`platform_web`); other ways in call `receive` and `answer_to`. Not for production: its private key lies
unencrypted in its database, and whoever can connect may ask.

What it answers, by the receipt's `code`:

    0000  accepted                        0001  taken, the final answer is to come: see `Platform.settle`
    4000  malformed                       4001  `Idempotency-Key` and `ps.key` differ
    4002  another interface takes this format
    4030  unknown system or key           4031  the signature does not hold
    4032  the key is not valid now        4033  `ts` is too far from now: sign anew, and send again under the same key
    4090  the key is another document's   4220  unknown format      4221  refused

With 4000 to 4090 nothing is stored, so that a request put right may follow. A repeat of what is stored gets the first
answer, however old its `ts` and whatever became of its key.

What a request of a known format means is for the platform's `Judge`, who has codes of its own; without one it is
accepted.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus as Status
from pathlib import Path
from typing import Any, Self, TypeAlias

from starlette.types import ASGIApp

from scraper_agent import canonical, envelope, serving
from scraper_agent.audit.witness import Witness
from scraper_agent.envelope import Answer, Profile, Request, RequestInvalid
from scraper_agent.ports import Clock, Signer
from scraper_agent.sandbox import own_keys, platform_web
from scraper_agent.sandbox.mischief import Fault
from scraper_agent.sandbox.own_keys import OwnKeys
from scraper_agent.signing import keyfile, sm2
from scraper_agent.signing.check import Verifying

REQUEST_BYTES = platform_web.REQUEST_BYTES
WINDOW = timedelta(minutes=10)
WITNESS = "sandbox-platform"
"""Its name as a witness."""
INTERIM = "0001"
"""The code of a receipt after which another one comes."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """One key of one system, as the platform knows it."""

    public_key: str
    """128 hex digits."""
    not_before: datetime | None = None
    not_after: datetime | None = None
    revoked: datetime | None = None
    """Since when it counts no more."""

    def valid(self, now: datetime) -> bool:
        begun = self.not_before is None or self.not_before <= now
        over = any(end is not None and end <= now for end in (self.not_after, self.revoked))
        return begun and not over


Senders: TypeAlias = Mapping[tuple[str, str], str | Sender]
"""By (`ak`, `sk`); a public key alone is valid for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What a judge says of one request."""

    code: str
    """4 digits."""
    msg: str
    accepted: bool
    reason: str = ""
    data: Mapping[str, Any] | None = None
    """Goes into the receipt: plain JSON without fractions."""


Judge: TypeAlias = Callable[[Request, sqlite3.Connection], Ruling]
"""Called once for each properly signed request of a known format, never for a repeat, inside the platform's
transaction: what it stores in the database is there exactly if the receipt is."""

Web: TypeAlias = Callable[["Platform"], ASGIApp]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS received (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    ak TEXT NOT NULL, sk TEXT NOT NULL, format TEXT NOT NULL, digest TEXT NOT NULL,
    accepted INTEGER NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL,
    document BLOB NOT NULL, receipt BLOB NOT NULL,
    deliveries INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS proof (number INTEGER PRIMARY KEY, request BLOB NOT NULL, public_key TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS delivery (number INTEGER NOT NULL, at TEXT NOT NULL, ts INTEGER NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS delivery_number ON delivery (number);
CREATE TABLE IF NOT EXISTS later (number INTEGER PRIMARY KEY, final BLOB) STRICT;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One document that arrived properly signed, with the first answer to it."""

    number: int
    key: str
    ak: str
    sk: str
    format: str
    digest: str
    accepted: bool
    reason: str
    at: datetime
    document: bytes
    receipt: bytes
    deliveries: int
    """How often it was sent; 1 if there was no repeat."""
    pending: bool
    """The answer to it is to come; `accepted` is False as yet."""
    final: bytes | None
    """The receipt that came after an interim one."""

    @property
    def answer(self) -> bytes:
        """The newest receipt."""
        return self.receipt if self.final is None else self.final


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One time that a stored document was sent."""

    at: datetime
    ts: datetime
    """As its sender had it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One document with all that is known of it."""

    stored: Stored
    deliveries: tuple[Delivery, ...]
    signed_by: str
    """The public key that the first request's signature holds under, verified now; empty if it does not."""
    receipt_holds: bool
    """The receipt verifies under the platform's own key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What is done to one request."""

    fault: Fault | None = None
    delay_s: float = 0
    status: int = Status.OK
    answer: bytes | None = None
    headers: Mapping[str, str] | None = None
    refuse: str = ""


class Platform:
    """Listens while inside a `with`, or from `start` to `stop`; stopped and started again it keeps address and data."""

    def __init__(  # noqa: PLR0913 - what a platform is; most have a default
        self,
        clock: Clock,
        senders: Senders,
        formats: Collection[str],
        *,
        database: Path | None = None,
        port: int = 0,
        profile: Profile = envelope.DEFAULT,
        tls: serving.Tls | None = None,
        window: timedelta = WINDOW,
        title: tuple[str, str] = ("模拟海关平台", "Sandbox customs platform"),
        judge: Judge | None = None,
        schema: str = "",
        web: Web = platform_web.application,
    ) -> None:
        """`formats`: the names it knows. `database`: None keeps it in memory. `port`: 0 takes a free one.

        `tls`: PEM files of a certificate for 127.0.0.1 and of its key. `window`: how far a request's `ts` may be from
        the clock, either way. `title`: of its pages, in Chinese and English. `judge`: None accepts whatever is of a
        known format. `schema`: SQL that makes the judge's tables if they are not there. `web`: what it serves.
        """
        self._clock = clock
        self._senders: dict[tuple[str, str], Sender] = {}
        self.know(senders)
        self._formats = frozenset(formats)
        self._profile = profile
        self._port = port
        self._tls = tls
        self._window = window
        self._web = web
        self.title = title
        self._judge = judge or _accept
        self._server: serving.Serving | None = None
        self._stopped = threading.Event()
        self._postponing = False
        self._turns: deque[Turn] = deque()
        self._lasting: Turn | None = None
        # One connection for all threads, used under the lock alone: requests are judged one after the other.
        self._lock = threading.Lock()
        self._database = sqlite3.connect(database or ":memory:", check_same_thread=False, isolation_level=None)
        self._database.executescript(_SCHEMA + own_keys.SCHEMA + schema)
        self._signer = OwnKeys(self._database, clock())
        self._verify = Verifying()
        self._witness: Witness | None = None
        self._heads = database.with_name(f"{database.name}.heads") if database else None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Raises OSError: the port is taken, or `tls` cannot be read."""
        self._stopped.clear()
        self._server = serving.Serving(self._web(self), self._port, self._tls)
        self._port = self._server.port

    def stop(self) -> None:
        """Take no more requests; those under way are dropped."""
        self._stopped.set()
        if self._server:
            self._server.stop()
            self._server = None

    def close(self) -> None:
        self.stop()
        with self._lock:
            self._database.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    @property
    def witness(self) -> Witness:
        """Of the logs of those it knows: a log is named `…/<ak>`. It signs with the platform's own key."""
        with self._lock:
            if self._witness is None:
                if self._heads is None:
                    self._scratch = tempfile.TemporaryDirectory()
                path = self._heads or Path(self._scratch.name if self._scratch else "", "heads")
                self._witness = Witness(path, WITNESS, self._signer, self._keys_of_log, sm2.verify, self._clock)
            return self._witness

    def _keys_of_log(self, origin: str) -> list[str]:
        return [sender.public_key for (ak, _), sender in self._senders.items() if ak == origin.rpartition("/")[2]]

    @property
    def url(self) -> str:
        """Where documents are sent to."""
        return f"{self.home}receive"

    @property
    def home(self) -> str:
        """The page for a person."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self._port}/"

    @property
    def public_keys(self) -> dict[str, str]:
        """Its own, by `sk`: what its receipts are verified with. Revoked ones are not among them."""
        return self._signer.public_keys

    @property
    def signer(self) -> Signer:
        """What its receipts, and requests of its own, are signed with."""
        return self._signer

    @property
    def own_keys(self) -> OwnKeys:
        """To be changed within `together`."""
        return self._signer

    def know(self, senders: Senders) -> None:
        """Also take requests of these, from now on."""
        for name, key in senders.items():
            self._senders[name] = Sender(public_key=key) if isinstance(key, str) else key

    def known(self, ak: str, sk: str) -> Sender | None:
        return self._senders.get((ak, sk))

    @property
    def formats(self) -> frozenset[str]:
        return self._formats

    def stored(self) -> tuple[Stored, ...]:
        with self._lock:
            return tuple(_stored(row) for row in self._database.execute(f"{_SELECT} ORDER BY number"))

    def page(self, *, format: str, accepted: bool | None, before: int | None, most: int) -> list[Stored]:
        """The newest documents first. `format` empty and `accepted` None: of all; `before`: with lower numbers only."""
        filters = {"format = ?": format or None, "accepted = ?": accepted, "number < ?": before}
        chosen = {clause: value for clause, value in filters.items() if value is not None}
        where = " AND ".join(["1", *chosen])
        with self._lock:
            rows = self._database.execute(
                f"{_SELECT} WHERE {where} ORDER BY number DESC LIMIT ?", (*chosen.values(), most)
            )
            return [_stored(row) for row in rows]

    def count(self) -> dict[tuple[str, bool], int]:
        """How many there are, by format and whether they were accepted."""
        with self._lock:
            rows = self._database.execute("SELECT format, accepted, count(*) FROM received GROUP BY format, accepted")
            return {(format, bool(accepted)): number for format, accepted, number in rows}

    def shown(self, number: int) -> Shown | None:
        with self._lock:
            row = self._database.execute(f"{_SELECT} WHERE number = ?", (number,)).fetchone()
            proof = self._database.execute(
                "SELECT request, public_key FROM proof WHERE number = ?", (number,)
            ).fetchone()
            times = self._database.execute("SELECT at, ts FROM delivery WHERE number = ? ORDER BY rowid", (number,))
            deliveries = tuple(
                Delivery(at=datetime.fromisoformat(at), ts=self._moment(ts)) for at, ts in times.fetchall()
            )
        if row is None:
            return None
        stored = _stored(row)
        return Shown(
            stored=stored,
            deliveries=deliveries,
            signed_by=proof[1] if proof and self._proved(stored, *proof) else "",
            receipt_holds=self._receipt_holds(stored),
        )

    def _proved(self, stored: Stored, raw: bytes, public_key: str) -> bool:
        request = envelope.read_request(raw, self._profile)
        same = (request.document, request.key, request.ak) == (stored.document, stored.key, stored.ak)
        return same and request.signed_with(public_key, sm2.verify)

    def _receipt_holds(self, stored: Stored) -> bool:
        try:
            for receipt in (stored.receipt, stored.answer):
                envelope.open_receipt(
                    receipt,
                    sm2.verify,
                    self.public_keys,
                    key=stored.key,
                    digest=stored.digest,
                    profile=self._profile,
                )
        except envelope.ReceiptInvalid:
            return False
        return True

    # --- receipts in steps ---

    def postpone(self) -> None:
        """From now on say of what is acceptable that it was taken, and no more; `conclude` gives the final answer."""
        self._postponing = True

    def conclude(self, number: int, refuse: str = "") -> None:
        """The final answer to a document of which it was said that it is to come."""
        ruling = Ruling(code="4221", msg="退单 refused", accepted=False, reason=refuse) if refuse else _ACCEPTED
        with self.together() as database:
            (key,) = database.execute("SELECT key FROM received WHERE number = ?", (number,)).fetchone()
            self.settle(database, key, ruling)

    # --- faults: each holds for one request, in the order they are switched on ---

    def lose_next_request(self) -> None:
        """Drop the connection before anything is stored."""
        self.misbehave(Fault.RESET_BEFORE)

    def lose_next_answer(self) -> None:
        """Store, then drop the connection."""
        self.misbehave(Fault.RESET_AFTER)

    def delay_next(self, seconds: float) -> None:
        """Let the sender wait before anything is stored; `stop` ends the wait and drops the request."""
        self._turns.append(Turn(fault=Fault.LATENCY, delay_s=seconds))

    def refuse_next(self, reason: str) -> None:
        """Store it as refused, with a signed receipt."""
        self._turns.append(Turn(refuse=reason))

    def answer_next_with(
        self, answer: bytes, status: int = Status.OK, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer with these bytes and store nothing."""
        self._turns.append(Turn(answer=answer, status=status, headers=headers))

    def misbehave(self, fault: Fault, *, lasting: bool = False) -> None:
        """Do this to the next request; `lasting`: to every one that has no turn of its own, until `behave`."""
        turn = Turn(fault=fault, delay_s=2 if fault is Fault.LATENCY else 0)
        if lasting:
            self._lasting = turn
        else:
            self._turns.append(turn)

    def behave(self) -> None:
        """All faults are off."""
        self._lasting = None
        self._turns.clear()

    def switched_on(self) -> tuple[list[Fault], Fault | None]:
        """What awaits the next requests, and what lasts."""
        lasting = self._lasting.fault if self._lasting else None
        return [turn.fault for turn in list(self._turns) if turn.fault], lasting

    # --- what the platform does ---

    def receive(
        self, raw: bytes, header_key: str, refuse: str = "", only: Collection[str] | None = None
    ) -> tuple[int, bytes]:
        """(status, signed receipt). Durable before it returns; a request without a valid signature leaves no trace.

        `only`: the formats that the address takes; None: all.

        Raises:
            ConnectionAbortedError: the platform has stopped.
        """
        with self._lock:
            self._check_running()
            try:
                request = envelope.read_request(raw, self._profile)
            except RequestInvalid as error:
                return Status.BAD_REQUEST, self._receipt(
                    "4000", "报文格式错误 malformed", header_key, "", error.sentence
                )
            with self._together():
                return (
                    self._unproved(request, header_key, only)
                    or self._repeat(request)
                    or self._untimely(request)
                    or self._first(request, raw, refuse)
                )

    def awaited(self, raw: bytes, header_key: str, only: Collection[str] | None = None) -> Request | None:
        """The request in `raw` if `receive` would go on to judge it: for what has to be found out before, unlocked.

        Raises:
            ConnectionAbortedError: the platform has stopped.
        """
        try:
            request = envelope.read_request(raw, self._profile)
        except RequestInvalid:
            return None
        with self._lock:
            self._check_running()
            stored = self._database.execute("SELECT 1 FROM received WHERE key = ?", (request.key,)).fetchone()
            refused = stored or self._unproved(request, header_key, only) or self._untimely(request)
        return None if refused else request

    def unreadable(self, code: str, msg: str, header_key: str) -> bytes:
        """The receipt for what is not even a request; nothing is stored."""
        with self._lock:
            return self._receipt(code, msg, header_key, "", "")

    def answer_to(self, key: str) -> bytes | None:
        """The stored receipt, the newest if there are two.

        Raises:
            ConnectionAbortedError: the platform has stopped.
        """
        with self._lock:
            self._check_running()
            row = self._database.execute(f"{_SELECT} WHERE key = ?", (key,)).fetchone()
        return _stored(row).answer if row else None

    @contextmanager
    def together(self) -> Iterator[sqlite3.Connection]:
        """The database, for what else a judge's tables need: one transaction, and nothing is received meanwhile."""
        with self._lock, self._together():
            yield self._database

    def settle(self, database: sqlite3.Connection, key: str, ruling: Ruling) -> bytes:
        """Within `together`: the final receipt of what has an interim one. It is made once and never changes.

        Raises:
            LookupError: nothing is stored under `key`, or it was answered at once.
        """
        row = database.execute(f"{_SELECT} WHERE key = ?", (key,)).fetchone()
        stored = _stored(row) if row else None
        if stored is None or not (stored.pending or stored.final):
            raise LookupError(key)
        if stored.final is not None:
            return stored.final
        final = self._ruled(ruling, key, stored.digest, stored.number)
        database.execute("UPDATE later SET final = ? WHERE number = ?", (final, stored.number))
        changed = (ruling.accepted, ruling.reason, stored.number)
        database.execute("UPDATE received SET accepted = ?, reason = ? WHERE number = ?", changed)
        return final

    def _check_running(self) -> None:
        if self._stopped.is_set():
            raise ConnectionAbortedError

    @contextmanager
    def _together(self) -> Iterator[None]:
        """One transaction. The lock is held."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def _unproved(self, request: Request, header_key: str, only: Collection[str] | None) -> tuple[int, bytes] | None:
        return (
            self._unknown_sender(request)
            or self._other_key(request, header_key)
            or (None if only is None else self._elsewhere(request, only))
        )

    def _unknown_sender(self, request: Request) -> tuple[int, bytes] | None:
        sender = self._senders.get((request.ak, request.sk))
        if sender is None:
            reason = f"ak {request.ak}, sk {request.sk}"
            return Status.FORBIDDEN, self._refusal("4030", "系统或密钥未登记 unknown system or key", request, reason)
        if not request.signed_with(sender.public_key, self._verify):
            reason = f"ak {request.ak}, sk {request.sk}"
            return Status.FORBIDDEN, self._refusal("4031", "验签失败 signature does not hold", request, reason)
        return None

    def _other_key(self, request: Request, header_key: str) -> tuple[int, bytes] | None:
        if header_key == request.key:
            return None
        reason = f"Idempotency-Key {header_key!r}, ps.key {request.key!r}"
        return Status.BAD_REQUEST, self._refusal("4001", "幂等键不一致 two idempotency keys", request, reason)

    def _elsewhere(self, request: Request, only: Collection[str]) -> tuple[int, bytes] | None:
        if request.format in only:
            return None
        reason = f"format {request.format}, expected {', '.join(sorted(only))}"
        return Status.BAD_REQUEST, self._refusal("4002", "数据格式不属本接口 not of this interface", request, reason)

    def _repeat(self, request: Request) -> tuple[int, bytes] | None:
        row = self._database.execute(f"{_SELECT} WHERE key = ?", (request.key,)).fetchone()
        if row is None:
            return None
        known = _stored(row)
        if (known.ak, known.format, known.digest) != (request.ak, request.format, request.digest):
            reason = f"{known.digest}, then {request.digest}"
            return Status.CONFLICT, self._refusal("4090", "幂等键重复使用 key of another document", request, reason)
        self._database.execute("UPDATE received SET deliveries = deliveries + 1 WHERE key = ?", (request.key,))
        self._note_delivery(known.number, request)
        return _status(accepted=known.accepted, pending=known.pending), known.answer

    def _untimely(self, request: Request) -> tuple[int, bytes] | None:
        now = self._clock()
        sender = self._senders[request.ak, request.sk]
        if not sender.valid(now):
            reason = f"ak {request.ak}, sk {request.sk}, {now.isoformat(timespec='seconds')}"
            return Status.FORBIDDEN, self._refusal("4032", "密钥不在有效期 key not valid now", request, reason)
        if abs(self._moment(request.ts) - now) > self._window:
            reason = f"ts {request.ts}, {now.isoformat(timespec='seconds')}"
            return Status.FORBIDDEN, self._refusal("4033", "时间戳超出范围 ts too far from now", request, reason)
        return None

    def _moment(self, ts: int) -> datetime:
        """Of a request's `ts`; the end of time for what no date can say."""
        try:
            return _EPOCH + timedelta(**{self._profile.ts: ts})
        except OverflowError:
            return datetime.max.replace(tzinfo=UTC)

    def _note_delivery(self, number: int, request: Request) -> None:
        self._database.execute("INSERT INTO delivery VALUES (?, ?, ?)", (number, self._clock().isoformat(), request.ts))

    def _first(self, request: Request, raw: bytes, refuse: str) -> tuple[int, bytes]:
        (number,) = self._database.execute("SELECT coalesce(max(number), 0) + 1 FROM received").fetchone()
        if refuse:
            ruling = Ruling(code="4221", msg="退单 refused", accepted=False, reason=refuse)
        elif request.format not in self._formats:
            reason = f"format {request.format}"
            ruling = Ruling(code="4220", msg="数据格式未知 unknown format", accepted=False, reason=reason)
        elif self._postponing:
            ruling = Ruling(code=INTERIM, msg="已收单，待审 taken, the answer is to come", accepted=False)
        else:
            ruling = self._judge(request, self._database)
        receipt = self._ruled(ruling, request.key, request.digest, number)
        pending = ruling.code == INTERIM
        self._database.execute(
            "INSERT INTO received VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
            (
                *(number, request.key, request.ak, request.sk, request.format, request.digest),
                *(ruling.accepted, ruling.reason, self._clock().isoformat(), request.document, receipt),
            ),
        )
        public_key = self._senders[request.ak, request.sk].public_key
        self._database.execute("INSERT INTO proof VALUES (?, ?, ?)", (number, raw, public_key))
        if pending:
            self._database.execute("INSERT INTO later VALUES (?, NULL)", (number,))
        self._note_delivery(number, request)
        return _status(accepted=ruling.accepted, pending=pending), receipt

    def _ruled(self, ruling: Ruling, key: str, digest: str, number: int) -> bytes:
        return self._answer(
            Answer(
                code=ruling.code,
                msg=ruling.msg,
                key=key,
                digest=digest,
                accepted=ruling.accepted,
                id=_remote_id(number),
                reason=ruling.reason,
                data=ruling.data,
            )
        )

    def _refusal(self, code: str, msg: str, request: Request, reason: str) -> bytes:
        """Of what is not stored."""
        return self._receipt(code, msg, request.key, request.digest, reason)

    def _receipt(self, code: str, msg: str, key: str, digest: str, reason: str) -> bytes:
        return self._answer(Answer(code=code, msg=msg, key=key, digest=digest, accepted=False, reason=reason))

    def _answer(self, answer: Answer) -> bytes:
        return envelope.build_receipt(answer, self._signer, self._clock(), self._profile)

    # --- for those who answer in its name ---

    def next_turn(self) -> Turn:
        try:
            return self._turns.popleft()
        except IndexError:
            return self._lasting or Turn()

    def lie(self, fault: Fault, receipt: bytes) -> bytes:
        """What is answered in place of `receipt`: it proves nothing to who knows the platform's key and its document.

        Raises:
            ConnectionAbortedError: the platform has stopped.
        """
        told = json.loads(receipt)
        key, digest = told["rs"]["key"], told["rs"]["digest"]
        if fault is Fault.UNKNOWN_KEY:
            return self._forged(told, key, digest, _Stranger())
        if fault is Fault.REPLAYED_RECEIPT:
            with self._lock:
                self._check_running()
                row = self._database.execute(
                    "SELECT receipt FROM received WHERE key <> ? ORDER BY number LIMIT 1", (key,)
                ).fetchone()
            if row:
                return bytes(row[0])
        other = canonical.sm3(key.encode()).hex(), canonical.digest(digest.encode())
        return self._forged(told, *other, self._signer)

    def _forged(self, told: Mapping[str, Any], key: str, digest: str, signer: Signer) -> bytes:
        rs = told["rs"] | {"key": key, "digest": digest}
        answer = Answer(code=told["code"], msg=told["msg"], **rs)
        return envelope.build_receipt(answer, signer, self._clock(), self._profile)


_ACCEPTED = Ruling(code="0000", msg="已接收 accepted", accepted=True)


def _accept(request: Request, database: sqlite3.Connection) -> Ruling:  # noqa: ARG001 - a Judge
    return _ACCEPTED


class _Stranger:
    """A signer that nobody knows."""

    key_index = "99"

    def __init__(self) -> None:
        self._d = keyfile.generate().d
        self.public_key = sm2.derive_public(self._d)

    def sign(self, message: bytes) -> bytes:
        return sm2.sign(self._d, self.public_key, message)


_SELECT = (
    "SELECT number, key, ak, sk, format, digest, accepted, reason, at, document, receipt, deliveries,"
    " later.rowid IS NOT NULL AND final IS NULL, final FROM received LEFT JOIN later USING (number)"
)


def _stored(row: tuple[Any, ...]) -> Stored:
    number, key, ak, sk, format, digest, accepted, reason, at, document, receipt, deliveries, pending, final = row
    return Stored(
        number=number,
        key=key,
        ak=ak,
        sk=sk,
        format=format,
        digest=digest,
        accepted=bool(accepted),
        reason=reason,
        at=datetime.fromisoformat(at),
        document=document,
        receipt=receipt,
        deliveries=deliveries,
        pending=bool(pending),
        final=final,
    )


def _status(*, accepted: bool, pending: bool) -> int:
    if pending:
        return Status.ACCEPTED
    return Status.OK if accepted else Status.UNPROCESSABLE_ENTITY


def _remote_id(number: int) -> str:
    return f"SIM-{number:06}"
