"""The layer below the browser: a proxy on the loopback that every request of it has to pass, and few do.

Deny by default, by the same judge as Playwright's interception (`guard.judge`), which does not see shared workers,
redirects and what a page sends while it is left. A request is parsed strictly, judged with its whole body, and written
anew from what was understood: no byte of the browser's goes on as it came. TLS ends here; the ERP's certificate is
verified here. Nothing is ever upgraded to another protocol.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
import secrets
import ssl
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Self
from urllib.parse import urlsplit

import h11

from scraper_agent.capture import authority, guard
from scraper_agent.messages import N_
from scraper_agent.recipe import Permit
from scraper_agent.values import Refused

HEAD_BYTES = 64 * 1024
BODY_BYTES = 1024 * 1024
"""Largest head, and body, of a request."""
_PIECE = 64 * 1024
_CONNECT_S = 15.0
_ANSWER_S = 300.0
"""Without a byte of the ERP: some queries take minutes."""
_IDLE_S = 120.0
_FRESH_S = 1.0
"""A connection that has rested longer may be gone without our knowing: no body that cannot be sent twice goes there."""
_HOLD_S = 0.05
_CLIENTS = 256
_AT_A_TIME = 6
"""What a browser asks of one host at a time, for all of its tabs together."""
_REFUSED = 1000
_ASKS_PASSWORD = 407
_PORTS = 65535

_AUTHORITY = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
_LENGTH = re.compile(rb"\d{1,12}")
_BAD_LINE = re.compile(rb"[\r\n\0]|^[ \t]")
_ONCE = frozenset({b"content-type", b"content-encoding", b"content-length", b"host", b"proxy-authorization"})
_NEEDED = frozenset(
    {b"host", b"content-length", b"content-type", b"content-encoding", b"cookie", b"set-cookie", b"authorization"}
)
_BY_HOP = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization",
     b"proxy-authentication-info", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"alt-svc"}
)  # fmt: skip

Headers = list[tuple[bytes, bytes]]


class Malformed(Exception):
    """A request that is no request, or could be read in two ways: answered with `status`, and the connection ends."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class _Cut(Exception):
    """The answer cannot go on: the browser must see it fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What was understood of a request's head."""

    method: str
    target: str
    headers: Headers
    length: int
    by_hop: frozenset[bytes]
    """What the header Connection names: it ends here."""

    def first(self, name: bytes) -> str:
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == name), "")

    @property
    def texts(self) -> Mapping[str, str]:
        return {key.decode().lower(): value.decode("latin-1") for key, value in self.headers}


def parse(raw: bytes) -> Head:
    """The head of a request, with the empty line that ends it.

    Raises:
        Malformed: it breaks RFC 9112, or uses what no page needs and servers understand in different ways.
    """
    if any(_BAD_LINE.search(line) for line in raw[:-4].split(b"\r\n")):
        raise Malformed(400, N_("a line that is folded, or ends by half"))
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
    try:
        server.receive_data(raw)
        event = server.next_event()
    except h11.RemoteProtocolError as error:
        raise Malformed(400, N_("not a request of HTTP")) from error
    if not isinstance(event, h11.Request):
        raise Malformed(400, N_("not a request of HTTP"))
    lines = [line.partition(b":") for line in raw[:-4].split(b"\r\n")[1:]]
    names = [name.lower() for name, _, _ in lines]  # h11 makes one of two equal lengths
    _only_plain(event, names)
    by_hop = _named(event.headers)
    if by_hop & _NEEDED:
        raise Malformed(400, N_("a header that the request needs is said to end here"))
    lengths = [value.strip(b" \t") for name, _, value in lines if name.lower() == b"content-length"]
    return Head(
        method=event.method.decode(),
        target=event.target.decode("latin-1"),
        headers=[(bytes(name), bytes(value)) for name, value in event.headers.raw_items()],
        length=_length(lengths[0]) if lengths else 0,
        by_hop=by_hop,
    )


def _only_plain(event: h11.Request, names: list[bytes]) -> None:
    """Raise for what no page needs."""
    if event.http_version != b"1.1":
        raise Malformed(505, N_("another version of HTTP"))
    if any(names.count(name) > 1 for name in _ONCE):
        raise Malformed(400, N_("a header stands twice"))
    if b"transfer-encoding" in names:
        raise Malformed(501, N_("a request in chunks"))
    if b"expect" in names:
        raise Malformed(417, N_("a request that waits for leave"))
    if b"upgrade" in names or b"http2-settings" in names:
        raise Malformed(403, N_("an upgrade to another protocol"))
    if event.method in (b"TRACE", b"TRACK"):
        raise Malformed(405, N_("a method that shows what others sent"))


def _named(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """Of headers with names in lower case, what Connection names."""
    given = (bytes(value) for name, value in headers if name == b"connection")
    return frozenset(part.strip().lower() for value in given for part in value.split(b","))


def _length(value: bytes) -> int:
    if not _LENGTH.fullmatch(value):
        raise Malformed(400, N_("a length that is no number"))
    if int(value) > BODY_BYTES:
        raise Malformed(413, N_("a body larger than any query"))
    return int(value)


def place(head: Head, within: str | None) -> str:
    """The address that is asked for; `within` is the origin of the tunnel, if there is one.

    Raises:
        Malformed: the address does not parse, or is not the one of the header Host.
    """
    url = head.target if within is None else f"{within}{head.target}"
    try:
        parts = urlsplit(url)
        named = guard.origin(f"{parts.scheme}://{head.first(b'host')}")
        same = named == guard.origin(url)
    except ValueError as error:
        raise Malformed(400, N_("an address that does not parse")) from error
    if (within is not None and not head.target.startswith("/")) or not parts.scheme or not parts.netloc:
        raise Malformed(400, N_("an address that does not parse"))
    if "#" in url or "@" in parts.netloc or not _HOST.fullmatch(head.first(b"host")):
        raise Malformed(400, N_("an address that does not parse"))
    if not same:
        raise Malformed(400, N_("the header Host names another place"))
    return url


class _Line(asyncio.StreamReaderProtocol):
    """A connection of the browser. Once it is gone, nobody goes on working for it."""

    task: asyncio.Task[None] | None = None

    def eof_received(self) -> bool:
        super().eof_received()
        return False  # half a connection is none: the transport closes

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.task is not None:
            self.task.cancel()


@dataclass(slots=True)
class _Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    within: str | None = None
    """The origin of the tunnel."""
    known: bool = False
    """It gave the password."""
    upstream: _Upstream | None = None

    def close(self) -> None:
        if self.upstream is not None:
            self.upstream.writer.transport.abort()
        self.upstream = None

    def answer(self, status: int, *, head: Headers = [], body: bytes = b"", stays: bool) -> None:  # noqa: B006
        """An answer of our own."""
        lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode()), b"Content-Length: %d" % len(body)]
        lines += [b"Cache-Control: no-store", *(b"%s: %s" % pair for pair in head)]
        lines += [] if stays else [b"Connection: close"]
        self.writer.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)


@dataclass(slots=True)
class _Upstream:
    """A connection to the ERP; each client has its own, so that logins bound to a connection stay apart."""

    origin: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    line: h11.Connection
    rested_at: float = 0.0
    used: bool = False

    async def more(self) -> None:
        """Wait for some bytes, or for the end of them."""
        async with asyncio.timeout(_ANSWER_S):
            self.line.receive_data(await self.reader.read(_PIECE))

    async def first(self) -> h11.Response:
        """The head of the answer.

        Raises:
            OSError, h11.ProtocolError: there is none, or it is no HTTP.
        """
        while True:
            event = self.line.next_event()
            if event is h11.NEED_DATA:
                await self.more()
            elif isinstance(event, h11.Response):
                if event.status_code == _ASKS_PASSWORD:  # an ERP that asks for the proxy's own password
                    raise ConnectionError("it answers 407")
                return event
            elif not isinstance(event, h11.InformationalResponse):
                raise ConnectionError("it ended before it answered")


@dataclass(kw_only=True)
class Proxy:
    """Serves while it is entered. Whatever it refuses is appended to `refused`, which another thread may empty."""

    origins: frozenset[str]
    refuses: tuple[str, ...] = ()
    trust: ssl.SSLContext | None = None
    """How the ERP's certificate is verified; needed where an origin is https."""
    largest_answer: int = 64 * 1024 * 1024
    permits: Callable[[], Iterable[Permit]] = tuple
    """Asked anew for each request, from the proxy's own thread."""
    holds: Callable[[], bool] = lambda: False
    """Whether nothing may leave now: a request waits until it may. Asked from the proxy's own thread."""
    held: Callable[[], None] = lambda: None
    """Hears of each request that has to wait."""
    refused: deque[Refused] = field(default_factory=deque)
    untold: int = 0
    """Refused, and not in `refused`, since nobody had emptied it. Only ever grows."""
    trouble: str = ""
    """Why the ERP could not be reached the last time."""
    defects: list[Exception] = field(default_factory=list)
    port: int = 0
    user: str = "agent"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    def __post_init__(self) -> None:
        secure = [urlsplit(o).hostname or "" for o in self.origins if o.startswith("https:")]
        self._shown = authority.show(secure) if secure else None
        self._allowed = "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        self._lines: set[asyncio.Task[None]] = set()
        self._asked: Counter[str] = Counter()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    @property
    def spki(self) -> str | None:
        """What the browser is told to trust; None where nothing is https."""
        return self._shown.spki if self._shown is not None else None

    @property
    def is_full(self) -> bool:
        """Whether the browser waits for so many answers of an ERP that it asks for nothing more meanwhile."""
        return max(self._asked.copy().values(), default=0) >= _AT_A_TIME

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._failed is not None:
            raise self._failed
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    # --- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:  # it cannot listen
            self._failed = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._arrives, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._loop = loop
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._lines:
            task.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)
        await asyncio.sleep(0)  # transports say goodbye

    def _arrives(self) -> _Line:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=HEAD_BYTES, loop=loop)

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if len(self._lines) >= _CLIENTS:
                writer.transport.abort()
                return
            line.task = loop.create_task(self._attend(_Client(reader, writer)))
            self._lines.add(line.task)
            line.task.add_done_callback(self._lines.discard)

        line = _Line(reader, begin, loop)
        return line

    async def _attend(self, client: _Client) -> None:
        try:
            while await self._exchange(client):
                await client.writer.drain()
            await client.writer.drain()
            client.writer.close()
        except (asyncio.CancelledError, _Cut, OSError, EOFError, TimeoutError):
            client.writer.transport.abort()
        except Exception as error:  # noqa: BLE001 - a defect of ours ends this connection, and lets nothing through
            self.defects.append(error)
            client.writer.transport.abort()
        finally:
            client.close()

    # --- one request ------------------------------------------------------------------------------------------------

    async def _exchange(self, client: _Client) -> bool:
        """Answer one request; whether the connection stays."""
        head: Head | None = None
        try:
            head = await self._head(client)
            if head is None:
                return False
            client.known = client.within is not None or self._is_ours(head)
            if not client.known:
                stays = head.length == 0 and head.method != "CONNECT"
                client.answer(407, head=[(b"Proxy-Authenticate", b'Basic realm="agent"')], stays=stays)
                return stays
            if head.method == "CONNECT":
                return await self._tunnel(client, head)
            url = place(head, client.within)
            async with asyncio.timeout(_IDLE_S):
                body = await client.reader.readexactly(head.length)
        except Malformed as error:
            if client.known:  # what other programs of this machine send is no request of the browser
                self._refuse(
                    head.method if head else "?", f"{client.within or ''}{head.target if head else ''}", error.reason
                )
            client.answer(error.status, stays=False)
            return False
        match guard.judge(
            head.method,
            url,
            body,
            headers=head.texts,
            permits=self.permits(),
            origins=self.origins,
            refuses=self.refuses,
        ):
            case guard.Refusal(reason=reason):
                self._refuse(head.method, url, reason)
                client.answer(403, stays=True)
                return True
            case guard.Stub(body=text, reason=reason):
                self._refuse(head.method, url, reason)
                client.answer(200, head=[(b"Content-Type", b"application/json")], body=text.encode(), stays=True)
                return True
            case guard.Pass():
                await self._released()
                self._asked[guard.origin(url)] += 1
                try:
                    return await self._forward(client, head, url, body)
                finally:
                    self._asked[guard.origin(url)] -= 1

    async def _released(self) -> None:
        """Wait until requests may leave."""
        if not self.holds():
            return
        self.held()
        while self.holds():  # noqa: ASYNC110 - nothing tells of a file that goes
            await asyncio.sleep(_HOLD_S)

    async def _head(self, client: _Client) -> Head | None:
        """None where the browser has gone, or sent nothing for long."""
        try:
            async with asyncio.timeout(_IDLE_S):
                raw = await client.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError as error:
            raise Malformed(431, N_("a head without an end")) from error
        client.known = client.known or self._allowed.encode() in raw
        return parse(raw)

    async def _tunnel(self, client: _Client, head: Head) -> bool:
        """Answer a CONNECT: the browser is given TLS, or for an http address plain HTTP, and both end here."""
        where = _AUTHORITY.fullmatch(head.target)
        if client.within is not None or where is None or head.length or int(where[2]) > _PORTS:
            raise Malformed(400, N_("an address that does not parse"))
        if head.first(b"host").lower() not in (head.target.lower(), where[1].lower()):
            raise Malformed(400, N_("the header Host names another place"))
        found = {guard.origin(f"{scheme}://{head.target}") for scheme in ("http", "https")} & self.origins
        if len(found) != 1:
            self._refuse("CONNECT", f"https://{head.target}", N_("not the ERP's own address"))
            client.answer(403, stays=True)
            return True
        (client.within,) = found
        client.writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await client.writer.drain()
        if client.within.startswith("https:"):
            assert self._shown is not None  # noqa: S101 - there is an https origin
            async with asyncio.timeout(_CONNECT_S):
                await client.writer.start_tls(self._shown.context)
        return True

    # --- to the ERP and back ----------------------------------------------------------------------------------------

    async def _forward(self, client: _Client, head: Head, url: str, body: bytes) -> bool:
        parts = urlsplit(url)
        target = f"{parts.path or '/'}?{parts.query}" if "?" in url else parts.path or "/"
        dropped = _BY_HOP | head.by_hop
        headers = [(name, value) for name, value in head.headers if name.lower() not in dropped]
        request = h11.Request(method=head.method, target=target, headers=headers)
        again = head.method in ("GET", "HEAD")
        try:
            upstream, response = await self._ask(client, guard.origin(url), request, body, again=again)
        except _Cut:
            if again:
                raise
            client.answer(502, stays=False)  # were the connection cut, the browser would send it once more
            return False
        stays = b"close" not in dropped
        await self._pass_on(client, upstream, request, _framed(response, stays=stays), url)
        return stays

    async def _ask(
        self, client: _Client, origin: str, request: h11.Request, body: bytes, *, again: bool
    ) -> tuple[_Upstream, h11.Response]:
        """The ERP's first word. A query on a connection that had gone while it rested is asked once more."""
        upstream = await self._reach(client, origin, again=again)
        try:
            out = upstream.line.send(request) or b""
            out += (upstream.line.send(h11.Data(data=body)) or b"") if body else b""
            upstream.writer.write(out + (upstream.line.send(h11.EndOfMessage()) or b""))
            response = await upstream.first()
        except (OSError, h11.ProtocolError) as error:
            client.close()
            if again and upstream.used and not isinstance(error, TimeoutError):
                return await self._ask(client, origin, request, body, again=False)
            self.trouble = f"{origin}: {error}"
            raise _Cut from error
        return upstream, response

    async def _reach(self, client: _Client, origin: str, *, again: bool) -> _Upstream:
        """The client's connection to the ERP as long as it is good, else a new one."""
        known = client.upstream
        if known is not None:
            rest = asyncio.get_running_loop().time() - known.rested_at
            if known.origin == origin and not known.reader.at_eof() and (again or rest < _FRESH_S):
                return known
            client.close()
        parts = urlsplit(origin)
        secure = parts.scheme == "https"
        try:
            async with asyncio.timeout(_CONNECT_S):
                reader, writer = await asyncio.open_connection(
                    parts.hostname, parts.port, ssl=self.trust if secure else None, limit=_PIECE
                )
        except (OSError, ValueError) as error:
            self.trouble = f"{origin}: {_said(error)}"
            raise _Cut from error
        line = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
        client.upstream = _Upstream(origin, reader, writer, line)
        return client.upstream

    async def _pass_on(
        self, client: _Client, upstream: _Upstream, request: h11.Request, back: h11.Response, url: str
    ) -> None:
        out = h11.Connection(h11.SERVER)
        out.receive_data(b"%s / HTTP/1.1\r\nHost: x\r\n\r\n" % request.method)
        out.next_event()
        out.next_event()
        pieces = [out.send(back) or b""]
        size = 0
        try:
            while (event := upstream.line.next_event()) is not None:
                if event is h11.NEED_DATA:
                    client.writer.write(b"".join(pieces))
                    pieces.clear()
                    await client.writer.drain()
                    await upstream.more()
                elif isinstance(event, h11.Data):
                    size += len(event.data)
                    if size > self.largest_answer:
                        self._refuse(request.method.decode(), url, N_("the answer is larger than the limit"))
                        raise _Cut
                    pieces.append(out.send(event) or b"")
                elif isinstance(event, h11.EndOfMessage):
                    break
                else:
                    raise ConnectionError("it ended before its answer did")
        except (OSError, h11.ProtocolError) as error:
            self.trouble = f"{upstream.origin}: {error}"
            raise _Cut from error
        pieces.append(out.send(h11.EndOfMessage()) or b"")
        client.writer.write(b"".join(pieces))
        self._rest(client, upstream)

    def _rest(self, client: _Client, upstream: _Upstream) -> None:
        """Keep the connection for the client's next request, if both sides are at one that this one is over."""
        line = upstream.line
        if (
            line.our_state is line.their_state is h11.DONE
            and not line.trailing_data[0]
            and not upstream.reader.at_eof()
        ):
            line.start_next_cycle()
            upstream.rested_at, upstream.used = asyncio.get_running_loop().time(), True
        else:
            client.close()

    # --- what is told -----------------------------------------------------------------------------------------------

    def _is_ours(self, head: Head) -> bool:
        return hmac.compare_digest(head.first(b"proxy-authorization").encode(), self._allowed.encode())

    def _refuse(self, method: str, url: str, reason: str) -> None:
        if len(self.refused) >= _REFUSED:
            self.untold += 1
            return
        self.refused.append(Refused(method=method[:40], url=guard.shown(url)[:500] if url else "", reason=reason))


def _framed(response: h11.Response, *, stays: bool) -> h11.Response:
    """The answer as it goes to the browser: framed anew, and without what is between us and the ERP only."""
    pairs = [(bytes(name), bytes(value)) for name, value in response.headers]
    chunked = any(name == b"transfer-encoding" for name, _ in pairs)
    named = _named(pairs) - _NEEDED
    dropped = _BY_HOP | named | ({b"content-length"} if chunked else frozenset())
    headers = [(name, value) for name, value in pairs if name not in dropped]
    headers += [] if stays else [(b"connection", b"close")]
    return h11.Response(status_code=response.status_code, headers=headers, reason=response.reason)


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
