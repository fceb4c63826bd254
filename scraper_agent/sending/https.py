"""POST to one address; the receiving side knows the idempotency key and answers a repeat with its first answer."""

from __future__ import annotations

import base64
import binascii
import re
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, urlsplit

import httpcore
import httpx
from pydantic import BaseModel, ConfigDict, Field, model_validator

from scraper_agent import envelope as envelopes
from scraper_agent.audit import asking
from scraper_agent.audit.anchor import Carrier
from scraper_agent.errors import SendFailed, SendRefused, SendUnknown, causes
from scraper_agent.messages import N_
from scraper_agent.ports import Standing
from scraper_agent.sending import tls
from scraper_agent.yamlfile import Wrong

CHECKPOINT = "Checkpoint"
"""Of a request: the body of `add-checkpoint` (see `audit/witness.py`), base64."""
WITNESSED = "Checkpoint-Witnessed"
"""Of an answer: the status and, base64, the body that `add-checkpoint` would have been answered with."""
_WITNESSED = re.compile(r"([1-5][0-9][0-9]) ([A-Za-z0-9+/=]{0,2000})", re.ASCII)

Seconds = Annotated[float, Field(gt=0, le=3600)]

_TOO_EARLY = 425
_OF_THE_LETTER = frozenset({400, 406, 409, 410, 411, 413, 414, 415, 422, 431})
"""Statuses that speak of what was sent, and not of the receiving side as a whole."""
_NO_ANSWER_YET = N_("the receiving side is asked before it is sent again")
_SENT_AGAIN = N_("it did not arrive and is sent again later; check the network, and `url` if this goes on")


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["https"]
    url: str
    """Of the interface that receives documents; `<url>/<key>` is asked for the answer to one."""
    ca_file: Path | None = None
    """PEM of the authorities to trust in place of those of the operating system."""
    allow_plain_http: bool = False
    """Only inside a tunnel: the envelope is signed, but everyone on the way can read it."""
    connect_timeout_s: Seconds = 10
    read_timeout_s: Seconds = 60
    """Without a byte."""
    write_timeout_s: Seconds = 60
    total_timeout_s: Seconds = 300
    """For one whole answer, from the connection to its last byte: its head may dribble, too, or never end."""
    answer_limit_bytes: Annotated[int, Field(gt=0)] = envelopes.RECEIPT_BYTES

    @model_validator(mode="after")
    def _check_url(self) -> Self:
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            parts, host = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not host or parts.username or parts.query or parts.fragment:
            raise Wrong(
                N_("`{url}` is not an address to send to"),
                hint=N_("write `https://host/path`, without account, `?` or `#`"),
                url=tls.without_account(self.url),
            )
        if parts.scheme == "http" and not self.allow_plain_http and not tls.is_loopback(host):
            raise Wrong(
                N_("`{url}` is not encrypted"),
                hint=N_("use `https://`; inside a tunnel of your own, `allow_plain_http: true` allows it"),
                url=self.url,
            )
        return self


class HttpsTransport:
    """Thread-safe. `close` it, or use it in a `with`."""

    repeat: Literal["ask"] = "ask"

    def __init__(self, config: Config, carrier: Carrier | None = None) -> None:
        """Connects to nothing yet. `carrier`: the receiver is a witness, and gets a checkpoint with each request.

        Raises:
            UsageError: `ca_file` cannot be read.
        """
        self._config = config
        self._carrier = carrier
        self._url = config.url.rstrip("/")
        self._client = httpx.Client(
            transport=_BoundedTransport(tls.trust(config.ca_file)),
            trust_env=False,  # a proxy or CA from the environment is not what the configuration says
            follow_redirects=False,
            timeout=httpx.Timeout(
                connect=config.connect_timeout_s,
                read=config.read_timeout_s,
                write=config.write_timeout_s,
                pool=config.connect_timeout_s,
            ),
            headers={
                "User-Agent": "scraper-agent",
                "Accept": "application/json",
                "Accept-Encoding": "identity",  # the size limit is to hold for what is read, not for what it unpacks to
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def send(self, envelope: bytes, *, key: str) -> bytes:
        """The body of the answer: a receipt if the receiving side signed it, accepted or refused.

        Raises:
            SendFailed: no connection, a redirect, too early or too often (425, 429), or refused without a word.
            SendUnknown: no whole answer although sending began, or one that leaves it open (408, 409 with
                `Retry-After`, 5xx).
        """
        media = "application/xml" if envelope.startswith(b"<") else "application/json; charset=utf-8"
        headers = {"Content-Type": media, "Idempotency-Key": key}
        carried = b"" if self._carrier is None else self._carrier.outgoing
        if carried:
            headers[CHECKPOINT] = base64.b64encode(carried).decode()
        try:
            with self._bounded(), self._client.stream("POST", self._url, content=envelope, headers=headers) as response:
                self._note(carried, response.headers.get(WITNESSED, ""))
                return self._answer(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
            raise self._no_connection(error) from error
        except httpx.TransportError as error:
            # The last byte may have left before the failure showed, so even a failed write proves nothing.
            raise SendUnknown(
                "SA4022",
                N_("no answer from {url} although sending began: {reason}"),
                hint=_NO_ANSWER_YET,
                url=self._url,
                reason=_reason(error),
            ) from error

    def find(self, key: str) -> bytes | Standing:
        """The stored answer. Absent only on 404 with the body `envelope.absence`: any web server says 404.

        Raises:
            SendFailed: there is no such word from the receiving side.
        """
        url = f"{self._url}/{quote(key, safe='')}"
        try:
            with self._bounded(), self._client.stream("GET", url) as response:
                status, body = response.status_code, self._body(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
            raise self._no_connection(error) from error
        except httpx.TransportError as error:
            raise _cannot_ask(url, _reason(error)) from error
        except SendUnknown as error:
            raise _cannot_ask(url, error.sentence) from error
        if status == httpx.codes.OK and body:
            return body
        if status == httpx.codes.NOT_FOUND and body == envelopes.absence(key):
            return Standing.ABSENT
        raise _cannot_ask(url, f"{status} {httpx.codes.get_reason_phrase(status)}".strip())

    def _note(self, carried: bytes, told: str) -> None:
        """What the receiver says of the checkpoint that it was given; what is no answer to it counts as none."""
        said = _WITNESSED.fullmatch(told)
        if self._carrier is None or not carried or said is None:
            return
        with suppress(binascii.Error):
            answer = asking.Answer(int(said[1]), base64.b64decode(said[2], validate=True))
            self._carrier.answers.append((carried, answer))

    def _answer(self, response: httpx.Response) -> bytes:
        """The body, if the status says that it is the receiving side's word on this document."""
        status = response.status_code
        if 300 <= status < 400:  # noqa: PLR2004 - the class of redirects
            raise SendFailed(
                "SA4023",
                N_("{url} answers {status} and points to {location}; redirects are not followed"),
                hint=N_("if the receiving side has moved, put its new address into `url`"),
                url=self._url,
                status=status,
                location=ascii(response.headers.get("Location", "-")[:200]),
            )
        if status in (_TOO_EARLY, httpx.codes.TOO_MANY_REQUESTS):
            raise SendFailed("SA4024", _STATUS, hint=_SENT_AGAIN, **self._status(response))
        still_open = (
            status == httpx.codes.CONFLICT and "Retry-After" in response.headers
        )  # the first try is in progress
        if status == httpx.codes.REQUEST_TIMEOUT or still_open or response.is_server_error:
            raise SendUnknown("SA4025", _STATUS, hint=_NO_ANSWER_YET, **self._status(response))
        body = self._body(response)
        if body:
            return body
        if status in _OF_THE_LETTER:
            raise SendRefused("SA4024", _STATUS, hint=_SENT_AGAIN, **self._status(response))
        if response.is_client_error:
            raise SendFailed("SA4024", _STATUS, hint=_SENT_AGAIN, **self._status(response))
        raise SendUnknown("SA4025", _STATUS, hint=_NO_ANSWER_YET, **self._status(response))

    def _body(self, response: httpx.Response) -> bytes:
        """All of it, up to the limit of the configuration.

        Raises:
            SendUnknown: it is longer.
        """
        body = bytearray()
        for part in response.iter_raw():
            body += part
            if len(body) > self._config.answer_limit_bytes:
                raise SendUnknown(
                    "SA4026",
                    N_("the answer from {url} has more than {most} bytes"),
                    hint=N_("check that `url` is the interface that receives documents"),
                    url=self._url,
                    most=self._config.answer_limit_bytes,
                )
        return bytes(body)

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        """Within, this thread reads for `total_timeout_s` at most; a read timeout alone lets a byte a minute go on.

        Raises:
            SendUnknown: it took longer.
        """
        until = time.monotonic() + self._config.total_timeout_s
        token = _until.set(until)
        try:
            yield
        except httpx.ReadTimeout as error:
            if time.monotonic() < until:
                raise
            raise SendUnknown(
                "SA4027",
                N_("the answer from {url} takes longer than {most} s"),
                hint=_NO_ANSWER_YET,
                url=self._url,
                most=self._config.total_timeout_s,
            ) from error
        finally:
            _until.reset(token)

    def _status(self, response: httpx.Response) -> dict[str, object]:
        """`retry_after` is the header as it came: seconds, or a date; empty if there is none."""
        return {
            "url": self._url,
            "status": response.status_code,
            "phrase": httpx.codes.get_reason_phrase(response.status_code),
            "retry_after": response.headers.get("Retry-After", ""),
        }

    def _no_connection(self, error: httpx.TransportError) -> SendFailed:
        if any(isinstance(cause, ssl.SSLError) for cause in causes(error)):
            return SendFailed(
                "SA4021",
                N_("no trusted connection to {url}: {reason}"),
                hint=N_("if its certificate is of a private authority, name that authority's certificate in `ca_file`"),
                url=self._url,
                reason=_reason(error),
            )
        return SendFailed(
            "SA4020", N_("no connection to {url}: {reason}"), hint=_SENT_AGAIN, url=self._url, reason=_reason(error)
        )


_until: ContextVar[float] = ContextVar("until")
"""When the exchange under way has taken too long, by the monotonic clock."""


class _BoundedTransport(httpx.HTTPTransport):
    """Asks the clock before each read: httpx knows no time for a whole exchange and takes interim answers for ever."""

    def __init__(self, trust: ssl.SSLContext) -> None:
        super().__init__(verify=trust, trust_env=False)
        self._pool = httpcore.ConnectionPool(  # with the limits that httpx has
            ssl_context=trust,
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=5,
            network_backend=_BoundedNetwork(),
        )


class _BoundedNetwork(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        return _BoundedStream(super().connect_tcp(host, port, timeout, local_address, socket_options))


class _BoundedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = _until.get() - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("timed out")
        return self._stream.read(max_bytes, left if timeout is None else min(timeout, left))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _BoundedStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


_STATUS = N_("{url} answers {status} {phrase}, without a receipt")


def _cannot_ask(url: str, reason: str) -> SendFailed:
    return SendFailed(
        "SA4028",
        N_("{url} does not say whether the document arrived: {reason}"),
        hint=N_("it is asked again later; if this goes on, ask the receiving side by telephone"),
        url=url,
        reason=reason,
    )


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
