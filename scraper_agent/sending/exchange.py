"""A transport over folders of a server: keeps connections, and says what each failure means for the document.

What is known after a failure, by the step at which it happened:

    no connection, no login, not the known server        SendFailed
    before the done file is renamed, whatever is left    SendFailed: without a done file the consumer reads nothing
    the server refuses to rename the done file           SendFailed
    the done file is renamed, but no answer came         SendUnknown

`find` then looks: a receipt is the answer; a done file with its request means delivered. Nothing there may mean that
it never arrived or that the consumer took it away: unknown. Sending again is safe: the name is the idempotency key, so
what is still there is found by `send`, and what was taken is known to the consumer, who answers with its first receipt.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import Annotated, Literal, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from scraper_agent import envelope as envelopes
from scraper_agent.errors import SendFailed, SendUnknown
from scraper_agent.messages import N_
from scraper_agent.ports import Standing
from scraper_agent.sending import handover
from scraper_agent.sending.handover import Differs, Folders, Lost, Refused, Store, Sweep, TooLong, Unsure

Seconds = Annotated[float, Field(gt=0, le=3600)]
RemotePath = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x1f\x7f/]$")]
T = TypeVar("T")

TRIED_AGAIN = N_("it is tried again later; check the network and the server if this goes on")


class Settings(BaseModel):
    """What is set alike for every kind of server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: Annotated[str, Field(pattern=r"^[0-9A-Za-z._:-]+$")]
    user: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
    folder: RemotePath
    """Where requests are put; from where the login begins, unless it begins with `/`."""
    receipts: RemotePath
    """Where receipts appear."""
    connections: Annotated[int, Field(ge=1, le=8)] = 2
    """Most at a time."""
    connect_timeout_s: Seconds = 10
    step_timeout_s: Seconds = 60
    """Without an answer to one step."""
    total_timeout_s: Seconds = 300
    """For all steps of one document."""
    parts_kept_h: Annotated[int, Field(ge=1, le=24 * 365)] = 24
    """Older parts of this program, left by a crash, are removed."""
    answer_limit_bytes: Annotated[int, Field(gt=0)] = envelopes.RECEIPT_BYTES


class Line(Store, Protocol):
    """One connection, logged in, used by one thread at a time."""

    until: float
    """By `time.monotonic`; a step that lasts longer is `Lost`."""

    def close(self) -> None: ...


class Exchange:
    """Thread-safe. `close` it once no call is under way, or use it in a `with`."""

    repeat: Literal["safe"] = "safe"

    def __init__(self, server: str, settings: Settings, connect: Callable[[float], Line]) -> None:
        """Connects to nothing yet.

        `server`: as messages name it. `connect`: a new line, given until when; raises SendFailed.
        """
        self._server = server
        self._settings = settings
        self._connect = connect
        self._folders = Folders(requests=settings.folder, receipts=settings.receipts)
        self._free = threading.BoundedSemaphore(settings.connections)
        self._idle: list[Line] = []
        self._sweep_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def send(self, envelope: bytes, *, key: str) -> bytes | None:
        """The receipt if this very envelope was answered before, else None: handed over.

        Raises:
            SendFailed: the consumer does not have it; see the module.
            SendUnknown: no answer to the last step.
        """

        def deliver(line: Line) -> bytes | None:
            return handover.deliver(
                line,
                self._folders,
                envelope,
                key,
                marks=(secrets.token_hex(8), secrets.token_hex(8)),
                most=self._settings.answer_limit_bytes,
                sweep=self._sweep(),
            )

        return self._hand_over(deliver, key)

    def _hand_over(self, work: Callable[[Line], T], key: str) -> T:
        """`work` on a line, its failures told of as those of `key`."""
        try:
            return self._on_a_line(work)
        except Unsure as error:
            raise SendUnknown(
                "SA4097",
                N_("no answer from {server} to the last step of handing over {key}: {reason}"),
                hint=N_("the folder is looked into before it is sent again"),
                server=self._server,
                key=key,
                reason=str(error),
            ) from error
        except TooLong as error:
            raise self._too_long(error) from error
        except Differs as error:
            raise SendFailed(
                "SA4098",
                N_("{server} has other bytes in {path} than were written to it"),
                hint=N_("it is sent again later; have the server's disk and what scans its files checked"),
                server=self._server,
                path=str(error),
            ) from error
        except Refused as error:
            raise SendFailed(
                "SA4095",
                N_("{server} refuses a step of handing over {key}: {reason}"),
                hint=N_("check the account's rights in the folder and the room on the server's disk"),
                server=self._server,
                key=key,
                reason=str(error),
            ) from error
        except Lost as error:
            raise SendFailed(
                "SA4096",
                N_("the connection to {server} was lost before {key} was handed over: {reason}"),
                hint=TRIED_AGAIN,
                server=self._server,
                key=key,
                reason=str(error),
            ) from error

    def find(self, key: str) -> bytes | Standing:
        """The receipt, `DELIVERED` or `UNKNOWN`; never `ABSENT`: the consumer takes away what it has read.

        Raises:
            SendFailed: the folders cannot be looked into now.
        """
        try:
            return self._on_a_line(
                lambda line: handover.look(line, self._folders, key, self._settings.answer_limit_bytes)
            )
        except TooLong as error:
            raise self._too_long(error) from error
        except (Lost, Refused) as error:
            raise SendFailed(
                "SA4099",
                N_("{server} does not show what became of {key}: {reason}"),
                hint=TRIED_AGAIN,
                server=self._server,
                key=key,
                reason=str(error),
            ) from error

    def _too_long(self, error: TooLong) -> SendFailed:
        return SendFailed(
            "SA4100",
            N_("the receipt {path} on {server} has more than {most} bytes"),
            hint=N_("ask the receiving side what it put there"),
            server=self._server,
            path=str(error),
            most=self._settings.answer_limit_bytes,
        )

    def _sweep(self) -> Sweep | None:
        """At the first request, and then as often as a part may have become old."""
        kept_s = self._settings.parts_kept_h * 3600

        def over() -> None:
            self._sweep_at = time.monotonic() + kept_s

        return Sweep(older_than_s=kept_s, over=over) if time.monotonic() >= self._sweep_at else None

    def _on_a_line(self, work: Callable[[Line], T]) -> T:
        until = time.monotonic() + self._settings.total_timeout_s
        with self._free:
            if (kept := self._kept()) is not None:
                kept.until = until
                try:
                    return self._used(kept, work)
                except Lost:
                    self.close()  # it was lost while nobody used it, and so were the others
            return self._used(self._connect(until), work)

    def _kept(self) -> Line | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _used(self, line: Line, work: Callable[[Line], T]) -> T:
        try:
            result = work(line)
        except Refused:
            self._idle.append(line)
            raise
        except BaseException:
            line.close()
            raise
        self._idle.append(line)
        return result
