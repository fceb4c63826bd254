"""A receiving side to try the agent against: a customs platform on this machine, with switches for its faults.

Takes requests of `envelope` at `POST /receive`, gives stored receipts at `GET /receive/<key>`, and shows a person at
`/` what arrived. Not for production: its private key lies unencrypted in its database, and whoever can connect may ask.
"""

from __future__ import annotations

import html
import json
import os
import socketserver
import sqlite3
import sys
import threading
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus as Status
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, TypeAlias

from scraper_agent import envelope
from scraper_agent.envelope import Answer, Profile, Request, RequestInvalid
from scraper_agent.ports import Clock
from scraper_agent.signing import keyfile, sm2

REQUEST_BYTES = 16 * 1024 * 1024

Senders: TypeAlias = Mapping[tuple[str, str], str]
"""Public key, 128 hex digits, by (`ak`, `sk`)."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS own_key (sk TEXT PRIMARY KEY, d TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS received (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    ak TEXT NOT NULL, sk TEXT NOT NULL, format TEXT NOT NULL, digest TEXT NOT NULL,
    accepted INTEGER NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL,
    document BLOB NOT NULL, receipt BLOB NOT NULL,
    deliveries INTEGER NOT NULL
) STRICT;
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    """What is done to one request."""

    drop: bool = False
    delay_s: float = 0
    status: int = Status.OK
    answer: bytes | None = None
    headers: Mapping[str, str] | None = None
    refuse: str = ""
    lose: bool = False


class Platform:
    """Listens while inside a `with`, or from `start` to `stop`; stopped and started again it keeps address and data."""

    def __init__(
        self,
        clock: Clock,
        senders: Senders,
        formats: Collection[str],
        *,
        database: Path | None = None,
        port: int = 0,
        profile: Profile = envelope.DEFAULT,
    ) -> None:
        """`formats`: the names it knows. `database`: None keeps it in memory. `port`: 0 takes a free one."""
        self._clock = clock
        self._senders = dict(senders)
        self._formats = frozenset(formats)
        self._profile = profile
        self._port = port
        self._server: _Server | None = None
        self._stopped = threading.Event()
        self._faults: deque[_Fault] = deque()
        # One connection for all threads, used under the lock alone: requests are judged one after the other.
        self._lock = threading.Lock()
        self._database = sqlite3.connect(database or ":memory:", check_same_thread=False, isolation_level=None)
        self._database.executescript(_SCHEMA)
        self._signer = _OwnKey(self._database)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        self._stopped.clear()
        self._server = _Server(self, self._port)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="platform", daemon=True).start()

    def stop(self) -> None:
        """Take no more requests; those under way are dropped."""
        self._stopped.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def close(self) -> None:
        self.stop()
        with self._lock:
            self._database.close()

    @property
    def url(self) -> str:
        """Where documents are sent to."""
        return f"http://127.0.0.1:{self._port}/receive"

    @property
    def home(self) -> str:
        """The page for a person."""
        return f"http://127.0.0.1:{self._port}/"

    @property
    def public_keys(self) -> dict[str, str]:
        """Its own, by `sk`: what its receipts are verified with."""
        return {self._signer.key_index: self._signer.public_key}

    def stored(self) -> tuple[Stored, ...]:
        with self._lock:
            return tuple(_stored(row) for row in self._database.execute(f"{_SELECT} ORDER BY number"))

    # --- faults: each holds for one request, in the order they are switched on ---

    def lose_next_request(self) -> None:
        """Drop the connection before anything is stored."""
        self._faults.append(_Fault(drop=True))

    def lose_next_answer(self) -> None:
        """Store, then drop the connection."""
        self._faults.append(_Fault(lose=True))

    def delay_next(self, seconds: float) -> None:
        """Let the sender wait before anything is stored; `stop` ends the wait and drops the request."""
        self._faults.append(_Fault(delay_s=seconds))

    def refuse_next(self, reason: str) -> None:
        """Store it as refused, with a signed receipt."""
        self._faults.append(_Fault(refuse=reason))

    def answer_next_with(
        self, answer: bytes, status: int = Status.OK, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer with these bytes and store nothing."""
        self._faults.append(_Fault(answer=answer, status=status, headers=headers))

    # --- what the platform does ---

    def receive(self, raw: bytes, header_key: str, refuse: str = "") -> tuple[int, bytes]:
        """(status, signed receipt). Durable before it returns; a request without a valid signature leaves no trace.

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
            if refusal := self._unknown_sender(request) or self._other_key(request, header_key):
                return refusal
            return self._repeat(request) or self._first(request, refuse)

    def answer_to(self, key: str) -> bytes | None:
        """The stored receipt.

        Raises:
            ConnectionAbortedError: the platform has stopped.
        """
        with self._lock:
            self._check_running()
            row = self._database.execute("SELECT receipt FROM received WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def page(self) -> str:
        return _PAGE.format(rows="\n".join(_row(stored) for stored in self.stored()))

    def _check_running(self) -> None:
        if self._stopped.is_set():
            raise ConnectionAbortedError

    def _unknown_sender(self, request: Request) -> tuple[int, bytes] | None:
        public_key = self._senders.get((request.ak, request.sk))
        if public_key is None:
            reason = f"ak {request.ak}, sk {request.sk}"
            return Status.FORBIDDEN, self._refusal("4030", "系统或密钥未登记 unknown system or key", request, reason)
        if not request.signed_with(public_key, sm2.verify):
            reason = f"ak {request.ak}, sk {request.sk}"
            return Status.FORBIDDEN, self._refusal("4031", "验签失败 signature does not hold", request, reason)
        return None

    def _other_key(self, request: Request, header_key: str) -> tuple[int, bytes] | None:
        if header_key == request.key:
            return None
        reason = f"Idempotency-Key {header_key!r}, ps.key {request.key!r}"
        return Status.BAD_REQUEST, self._refusal("4001", "幂等键不一致 two idempotency keys", request, reason)

    def _repeat(self, request: Request) -> tuple[int, bytes] | None:
        row = self._database.execute(f"{_SELECT} WHERE key = ?", (request.key,)).fetchone()
        if row is None:
            return None
        known = _stored(row)
        if (known.ak, known.format, known.digest) != (request.ak, request.format, request.digest):
            reason = f"{known.digest}, then {request.digest}"
            return Status.CONFLICT, self._refusal("4090", "幂等键重复使用 key of another document", request, reason)
        self._database.execute("UPDATE received SET deliveries = deliveries + 1 WHERE key = ?", (request.key,))
        return _status(accepted=known.accepted), known.receipt

    def _first(self, request: Request, refuse: str) -> tuple[int, bytes]:
        (number,) = self._database.execute("SELECT coalesce(max(number), 0) + 1 FROM received").fetchone()
        accepted = False
        reason = refuse
        if refuse:
            receipt = self._refusal("4221", "退单 refused", request, refuse, number)
        elif request.format not in self._formats:
            reason = f"format {request.format}"
            receipt = self._refusal("4220", "数据格式未知 unknown format", request, reason, number)
        else:
            accepted = True
            receipt = self._receipt("0000", "已接收 accepted", request.key, request.digest, id=_remote_id(number))
        self._database.execute(
            "INSERT INTO received VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
            (
                *(number, request.key, request.ak, request.sk, request.format, request.digest),
                *(accepted, reason, self._clock().isoformat(), request.document, receipt),
            ),
        )
        return _status(accepted=accepted), receipt

    def _refusal(self, code: str, msg: str, request: Request, reason: str, number: int | None = None) -> bytes:
        id = "" if number is None else _remote_id(number)
        return self._receipt(code, msg, request.key, request.digest, reason, id)

    def _receipt(self, code: str, msg: str, key: str, digest: str, reason: str = "", id: str = "") -> bytes:
        answer = Answer(code=code, msg=msg, key=key, digest=digest, accepted=code == "0000", id=id, reason=reason)
        return envelope.build_receipt(answer, self._signer, self._clock(), self._profile)

    def next_fault(self) -> _Fault:
        return self._faults.popleft() if self._faults else _Fault()

    def stopped_within(self, seconds: float) -> bool:
        """Wait; whether the platform was stopped meanwhile."""
        return self._stopped.wait(seconds)


class _OwnKey:
    """The platform's Signer: one key, made with its database."""

    key_index = "01"

    def __init__(self, database: sqlite3.Connection) -> None:
        row = database.execute("SELECT d FROM own_key WHERE sk = ?", (self.key_index,)).fetchone()
        self._d = int(row[0], 16) if row else keyfile.generate().d
        self.public_key = sm2.derive_public(self._d)
        if row is None:
            database.execute("INSERT INTO own_key VALUES (?, ?)", (self.key_index, f"{self._d:064x}"))

    def sign(self, message: bytes) -> bytes:
        return sm2.sign(self._d, self.public_key, message)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # On Windows the flag would let a second program take the port.
    allow_reuse_address = os.name == "posix"

    def __init__(self, platform: Platform, port: int) -> None:
        self.platform = platform
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own asks the DNS for this machine's name
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a sender that hangs up is no fault of the platform
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.0"  # one request per connection: a kept one would outlive `stop`
    timeout = 30

    def do_GET(self) -> None:
        platform = self.server.platform
        if self.path == "/":
            self._answer(Status.OK, platform.page().encode(), {"Content-Type": "text/html; charset=utf-8"})
        elif self.path.startswith("/receive/"):
            key = self.path.removeprefix("/receive/")
            if receipt := platform.answer_to(key):
                self._answer(Status.OK, receipt)
            else:
                self._answer(Status.NOT_FOUND, envelope.absence(key))
        else:
            self._answer(Status.NOT_FOUND, b"{}")

    def do_POST(self) -> None:
        if self.path != "/receive":
            self._answer(Status.NOT_FOUND, b"{}")
            return
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            self._answer(Status.LENGTH_REQUIRED, b"{}")
            return
        if int(length) > REQUEST_BYTES:
            self._answer(Status.REQUEST_ENTITY_TOO_LARGE, b"{}")
            return
        raw = self.rfile.read(int(length))
        if len(raw) == int(length):
            self._treat(raw, self.server.platform.next_fault())

    def _treat(self, raw: bytes, fault: _Fault) -> None:
        """Returning without an answer closes the connection."""
        platform = self.server.platform
        if fault.drop or (fault.delay_s and platform.stopped_within(fault.delay_s)):
            return
        if fault.answer is not None:
            self._answer(fault.status, fault.answer, fault.headers)
            return
        status, receipt = platform.receive(raw, self.headers.get("Idempotency-Key", ""), fault.refuse)
        if not fault.lose:
            self._answer(status, receipt)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        told = {
            "Content-Type": "application/json; charset=utf-8",
            "Content-Length": str(len(body)),
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
            "X-Content-Type-Options": "nosniff",
        }
        self.send_response(status)
        for name, value in (told | dict(headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:  # the sender did not wait for it; its loss
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing: stderr belongs to the program the sandbox runs in."""


_SELECT = (
    "SELECT number, key, ak, sk, format, digest, accepted, reason, at, document, receipt, deliveries FROM received"
)


def _stored(row: tuple[Any, ...]) -> Stored:
    number, key, ak, sk, format, digest, accepted, reason, at, document, receipt, deliveries = row
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
    )


def _status(*, accepted: bool) -> int:
    return Status.OK if accepted else Status.UNPROCESSABLE_ENTITY


def _remote_id(number: int) -> str:
    return f"SIM-{number:06}"


_PAGE = """<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8"><title>模拟平台 Sandbox platform</title>
<style>body{{font-family:sans-serif;margin:2em}}table{{border-collapse:collapse}}
td,th{{border:1px solid #ccc;padding:.3em .6em;text-align:left;vertical-align:top}}
.no{{color:#b00}}code{{word-break:break-all}}</style></head>
<body><h1>模拟平台 · 已收到的单证 <small>Sandbox platform: documents received</small></h1>
<table><tr><th>编号 No.</th><th>时间 Time</th><th>系统/密钥 System/key</th><th>格式 Format</th><th>结果 Result</th>
<th>次数 Deliveries</th><th>摘要 Digest</th><th>内容 Content</th></tr>
{rows}
</table></body></html>
"""


def _row(stored: Stored) -> str:
    def shown(text: object) -> str:
        return html.escape(str(text))

    result = "已接收 accepted" if stored.accepted else f'<span class="no">退单 refused: {shown(stored.reason)}</span>'
    content = json.dumps(json.loads(stored.document), ensure_ascii=False, indent=2)
    cells = (
        *(shown(_remote_id(stored.number)), shown(stored.at), shown(f"{stored.ak}/{stored.sk}"), shown(stored.format)),
        *(result, shown(stored.deliveries), f"<code>{shown(stored.digest)}</code>"),
        f"<details><summary>{shown(stored.key[:16])}</summary><pre>{shown(content)}</pre></details>",
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
