"""The whole outside world: four protocols and a clock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol, TypeAlias

from scraper_agent.commitments import Holds
from scraper_agent.errors import AgentError, NeedsPerson
from scraper_agent.recipe import Recipe
from scraper_agent.values import (
    Anew,
    Digest,
    Entry,
    Fact,
    Job,
    JobId,
    ListRead,
    Outcome,
    Refused,
    Relogin,
    SessionChecked,
    State,
)

Clock: TypeAlias = Callable[[], datetime]
"""Returns the time now, aware, UTC."""

Verify: TypeAlias = Callable[[str, bytes, bytes], bool]
"""(public key, 128 hex digits; message; signature R‖S, 64 bytes) -> whether it holds. Never raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One frozen page. `image` is a JPEG, or None."""

    name: str
    url: str
    frozen: bytes
    image: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """Bytes that were received beside the pages. If they hold what is read, a `Page` made of them follows."""

    name: str
    url: str
    media: str
    body: bytes
    file_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A step that failed, with the page it failed on. The harvest went on with the next document."""

    where: str
    error: AgentError
    page: Page | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a check of a session found and did, with the page it was seen on."""

    fact: SessionChecked
    """Without its page."""
    page: Page | None


@dataclass(frozen=True, slots=True)
class Done:
    """What was handed over since is whole, and need not be looked at again: `place` tells which record or page."""

    place: str


Sighting: TypeAlias = Page | File | Refused | ListRead | Trouble | Look | Done | Relogin | Anew
"""What a harvest yields, in the order it happened."""


class PersonNeeded(NeedsPerson):
    """The ERP wants what only a person can do; the run waits."""

    def __init__(self, code: str, text: str, /, *, outcome: Outcome, hint: str = "", **values: object) -> None:
        super().__init__(code, text, hint=hint, **values)
        self.outcome = outcome


class Browser(Protocol):
    """Drives one ERP session with query rights. Not thread-safe; one per running job."""

    def harvest(
        self, recipe: Recipe, parameters: Mapping[str, str], done: frozenset[str] = frozenset()
    ) -> Iterator[Sighting]:
        """Log in, run the steps, and hand over what is seen, one thing at a time.

        `done`: places that an earlier harvest, which had to wait for a person, called `Done`; they are passed over.

        May be repeated: it changes nothing in the ERP. Pages are not trusted.

        Raises:
            NeedsPerson: the ERP refused the login or asks for what only a person knows; a `PersonNeeded` tells which.
            AgentError: no browser, or the ERP cannot be reached.
        """
        ...


class Signer(Protocol):
    """Holds one private key, which never leaves it."""

    @property
    def key_index(self) -> str:
        """`sk`: 01 to 99."""
        ...

    @property
    def public_key(self) -> str:
        """X‖Y, 128 lower-case hex digits."""
        ...

    def sign(self, message: bytes) -> bytes:
        """SM2 signature R‖S, 64 bytes, over `message` (GB/T 32918.2 with the default identifier), verified once."""
        ...


class Standing(StrEnum):
    """What is known of an envelope that may have left and has no answer."""

    ABSENT = "absent"  # the receiver surely has none
    DELIVERED = "delivered"  # it was handed over; the receiver has not answered yet
    UNKNOWN = "unknown"  # nothing tells; `Transport.repeat` says what to do


class Transport(Protocol):
    """Delivers envelopes to one receiver. The network and the answers are not trusted. Thread-safe."""

    @property
    def repeat(self) -> Literal["safe", "ask", "never"]:
        """After a send of unknown outcome: send again, ask `find` until it knows, or leave it to a person."""
        ...

    def send(self, envelope: bytes, *, key: str) -> bytes | None:
        """Deliver once; `key` is the same for every attempt at one job.

        Returns the receiver's answer as it came; None if it was handed over for certain and its answer comes later, to
        be had by `find`.

        Raises:
            SendFailed: the receiver surely does not have it.
            SendUnknown: it may have it.
        """
        ...

    def find(self, key: str) -> bytes | Standing:
        """The receiver's answer to an envelope it may have, or what else is known of it.

        Raises:
            SendFailed: nobody can be asked now.
        """
        ...

    def close(self) -> None:
        """Let go of connections. May be repeated."""
        ...


class Archive(Protocol):
    """Blobs by digest, and the append-only log. One writer.

    Trusted to keep what it is given; not trusted to keep it unchanged: every blob is checked on read, and the log is
    covered by its Merkle tree.
    """

    def put(self, data: bytes, *, salted: bool = False) -> Digest:
        """Keep a blob; durable no later than the next `append`. Storing the same bytes again is harmless.

        `salted`: under a name against which nobody can try guesses at the bytes once they are erased; for what no
        other side has to know by the SM3 of its bytes.
        """
        ...

    def get(self, digest: Digest) -> bytes:
        """The blob, its name checked.

        Raises:
            AgentError: it is not there, or its bytes have changed.
        """
        ...

    def commit(self, fields: Mapping[str, tuple[Holds, str]]) -> str:
        """Commit to a document's fields, each with its own salt, and keep what opens it, as durably as `put` does.

        Returns the root, 64 hex digits (see `commitments`).
        """
        ...

    def append(self, job: JobId, position: int, fact: Fact) -> Entry:
        """Add `fact` as number `position` (from 0) of its job; durable when this returns. Never reads the job.

        Raises:
            Conflict: the job already has a fact at `position`, or none at `position - 1`.
        """
        ...

    def together(self) -> AbstractContextManager[None]:
        """What is put and appended within becomes durable at its end; if it ends with an error, nothing of it stays."""
        ...

    def job(self, id: JobId) -> Job:
        """All facts of one job; an empty job if there are none."""
        ...

    def length(self, id: JobId) -> int:
        """How many facts the job has."""
        ...

    def newest(self, id: JobId, kind: str) -> Entry | None:
        """A job's newest fact of this kind."""
        ...

    def times(self, id: JobId) -> tuple[datetime, ...]:
        """When each fact of the job was logged."""
        ...

    def size(self) -> int:
        """How many entries the log has."""
        ...

    def changed(self, since: int) -> set[JobId]:
        """Jobs that have got facts since the log had so many entries."""
        ...

    def sends(self, most: int, formats: Collection[str] | None = None) -> list[Entry]:
        """The newest attempts of all jobs and what came of them (`Delivered`, `Retry`, `Receipt`), newest first.

        `formats`: of documents of these formats only.
        """
        ...

    def in_state(self, wanted: State) -> Iterator[JobId]:
        """Documents that stand so now. Those that change meanwhile may come or not."""
        ...

    def departed(self, since: datetime) -> list[JobId]:
        """Documents that were first attempted to be sent since then."""
        ...

    def documents(
        self,
        *,
        run: JobId | None = None,
        format: str | None = None,
        key: str | None = None,
        key_begins: str | None = None,
    ) -> list[JobId]:
        """Document jobs whose Draft names this run, format and business key, or one that begins so, in log order."""
        ...

    def runs(self, *, recipe_id: str | None = None) -> list[JobId]:
        """Run jobs, oldest first."""
        ...
