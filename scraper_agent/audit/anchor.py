"""Anchoring: the log's own checkpoints, shown to its witnesses, and what they say of them as facts of the log.

Append, checkpoint, anchor, send: what a receiver gets is in a tree that a witness has, or in the one whose checkpoint
comes with it. A person who may write everything on this machine can then change nothing of it without being found.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from scraper_agent import merkle
from scraper_agent.audit import asking, note
from scraper_agent.audit.asking import Answer
from scraper_agent.audit.note import Checkpoint
from scraper_agent.errors import AgentError
from scraper_agent.messages import N_
from scraper_agent.ports import Clock, Signer, Verify
from scraper_agent.values import Anchored, Digest, Entry, Fact, JobId

JOB = JobId("anchor")

EVERY = timedelta(seconds=60)
MOST_FACTS = 100


def job_of(name: str) -> JobId:
    return JobId(f"anchor/{name}")


def due(tail: int, age: timedelta) -> bool:
    """Whether it is time for an anchor. `tail`: facts that no witness has; `age`: of the first of them."""
    return tail >= MOST_FACTS or (tail > 0 and age >= EVERY)


class Head(Protocol):
    @property
    def size(self) -> int: ...

    @property
    def root(self) -> bytes: ...


class Log(Protocol):
    """What of an archive anchoring needs."""

    def head(self, size: int | None = None) -> Head: ...

    def subtree(self, start: int, stop: int) -> bytes:
        """Root of entries start..stop-1 as a tree of their own."""
        ...

    def put(self, data: bytes) -> Digest: ...

    def get(self, digest: Digest) -> bytes: ...

    def append(self, job: JobId, position: int, fact: Fact) -> Entry: ...

    def length(self, id: JobId) -> int: ...

    def last(self, id: JobId) -> Fact | None: ...

    def newest(self, id: JobId, kind: str) -> Entry | None: ...

    def entries(self, start: int = 0) -> Iterator[Entry]: ...


class Keeper(Protocol):
    """One who keeps checkpoints that it was shown. Not trusted."""

    @property
    def name(self) -> str: ...

    @property
    def public_key(self) -> str | None:
        """What its lines are verified with; None: it keeps what it is shown, and signs nothing."""
        ...

    def kept(self, origin: str) -> Iterable[bytes]:
        """The checkpoints that it keeps of a log: the newest, or more.

        Raises:
            AgentError: it cannot be reached.
        """
        ...


class Party(Keeper, Protocol):
    """One who is shown checkpoints."""

    def add(self, old: int, proof: Sequence[bytes], checkpoint: bytes) -> Answer:
        """As `asking` has it; of one that signs nothing 200 has no body.

        Raises:
            AgentError: it cannot be reached.
        """
        ...


class Contradicted(AgentError):
    """A witness knows another history of this log: nothing goes on before a person has found out why."""


@dataclass(slots=True, kw_only=True)
class Carrier:
    """A receiver that is a witness: each request takes a checkpoint along, and the answer to it brings its line back.

    A transport may use it in another thread.
    """

    name: str
    public_key: str
    outgoing: bytes = b""
    """The body of `add-checkpoint`; empty: there is none yet."""
    answers: deque[tuple[bytes, Answer]] = field(default_factory=deque)
    """What was sent, and what came back for it."""


@dataclass(frozen=True, slots=True)
class _Made:
    size: int
    digest: str
    """Of its text."""
    note: bytes


@dataclass(slots=True, kw_only=True)
class Anchoring:
    """Of one log, in the one process that writes it."""

    log: Log
    origin: str
    signer: Callable[[], Signer]
    verify: Verify
    now: Clock
    parties: Sequence[Party]
    """Those that are shown checkpoints as such; the order does not matter."""
    others: Sequence[str] = ()
    """Names of witnesses that see checkpoints in other ways: with requests, or on paper."""
    _made: _Made | None = None
    _known: dict[str, int] = field(default_factory=dict)
    """How far each witness has followed the log, as far as that is known here."""
    _failed: dict[str, tuple[datetime, AgentError]] = field(default_factory=dict)
    """Witnesses that could not be had, since when and why."""

    # --- what is anchored -------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """So many entries from the first on are in a tree that some witness has, as the log says."""
        return max((fact.size for fact in self._newest()), default=0)

    def unanchored_since(self) -> datetime | None:
        """When the first fact was logged that no witness has; None if each has one. Anchors themselves do not count."""
        return next((entry.at for entry in self._tail()), None)

    def due(self) -> bool:
        since = self.unanchored_since()
        if since is None:
            return False
        tail = sum(1 for _, _ in zip(range(MOST_FACTS), self._tail(), strict=False))
        return due(tail, self.now() - since)

    def _tail(self) -> Iterator[Entry]:
        return (entry for entry in self.log.entries(self.size) if not isinstance(entry.fact, Anchored))

    def _newest(self) -> list[Anchored]:
        names = [*(each.name for each in self.parties), *self.others]
        found = (self.log.last(job_of(name)) for name in dict.fromkeys(names))
        return [fact for fact in found if isinstance(fact, Anchored)]

    # --- checkpoints ------------------------------------------------------------------------------------------------

    def checkpoint(self, size: int = 0) -> bytes:
        """The newest one, or, if it has fewer than `size` entries, a new one of the log as it is now.

        Raises:
            NeedsPerson: the signer needs a passphrase or PIN that nobody gives.
        """
        self._made = before = self._made or self._shown_before()
        if before is None or before.size < max(size, 1):
            head, previous = self.log.head(), "" if before is None else before.digest
            made = Checkpoint(origin=self.origin, size=head.size, root=head.root, at=self.now(), previous=previous)
            self._made = before = _Made(head.size, note.digest(note.text(made)), note.sign(made, self.signer()))
        return before.note

    def _shown_before(self) -> _Made | None:
        """By an earlier process; None if it is erased."""
        newest = max(self._newest(), key=lambda fact: fact.size, default=None)
        try:
            data = b"" if newest is None else self.log.get(newest.note)
            read = note.read(data)
        except (AgentError, ValueError):
            return None
        return _Made(read.checkpoint.size, note.digest(read.text), data)

    # --- showing them -----------------------------------------------------------------------------------------------

    def anchor(self) -> list[AgentError]:
        """Show the log as it is to every witness that can be asked. Returns why one could not, or would not, take it.

        One that could not be reached is left in peace for a minute, and told of again.

        Raises:
            Contradicted: a witness knows another history of this log.
            NeedsPerson: as `checkpoint`.
        """
        left = {party.name: self._left_in_peace(party) for party in self.parties}
        if None in left.values() and next(self._tail(), None) is not None:
            self.checkpoint(self.log.head().size)
        told = (left[party.name] or self._show(party) for party in self.parties)
        return [error for error in told if error is not None]

    def _left_in_peace(self, party: Party) -> AgentError | None:
        """Why it could not be had less than a minute ago."""
        if party.name not in self._failed:
            return None
        since, error = self._failed[party.name]
        return error if self.now() - since < EVERY else None

    def _show(self, party: Party) -> AgentError | None:
        checkpoint = self.checkpoint()
        if self._logged(party.name) >= _size(checkpoint):
            return None
        self._failed.pop(party.name, None)
        error = self._shown(party, checkpoint)
        if error is not None:
            self._failed[party.name] = self.now(), error
        return error

    def _shown(self, party: Party, checkpoint: bytes) -> AgentError | None:
        old = min(self._followed(party.name), _size(checkpoint))
        try:
            answer = party.add(old, self._proof(old, _size(checkpoint)), checkpoint)
            if answer.status == asking.STALE:
                old = self._stale(party.name, old, answer)
                checkpoint = self.checkpoint(old)
                answer = party.add(old, self._proof(old, _size(checkpoint)), checkpoint)
                if answer.status == asking.STALE:
                    self._stale(party.name, old, answer)
        except Contradicted:
            raise
        except AgentError as error:
            return error
        return self._take(party.name, party.public_key, checkpoint, answer)

    def _logged(self, name: str) -> int:
        last = self.log.last(job_of(name))
        return last.size if isinstance(last, Anchored) else 0

    def _followed(self, name: str) -> int:
        return self._known.setdefault(name, self._logged(name))

    def _proof(self, old: int, size: int) -> list[bytes]:
        return merkle.consistency(old, size, self.log.subtree) if old else []

    def _stale(self, name: str, old: int, answer: Answer) -> int:
        """How far it knows the log.

        Raises:
            Contradicted: farther than the log goes, or another one of `old` entries.
        """
        known = int(answer.body) if answer.body.strip().isdigit() else old
        size = self.log.head().size
        if known > size:
            raise longer(name, known, size)
        if known == old:
            raise forked(name)
        self._known[name] = known
        return known

    def _take(self, name: str, public_key: str | None, checkpoint: bytes, answer: Answer) -> AgentError | None:
        if answer.status == asking.UNPROVEN:
            raise forked(name)
        if answer.status != asking.TAKEN:
            return _refused(name, answer)
        size = _size(checkpoint)
        at: datetime | None = self.now()
        if public_key is not None:
            at = _seen_at(checkpoint + answer.body, name, public_key, self.verify)
        if at is None:
            return AgentError(
                "SA5062",
                N_("the signature of the witness {name} does not hold"),
                hint=N_("compare its `public_key` in the config with what the witness gave out"),
                name=name,
            )
        if size > self._logged(name):
            digest = self.log.put(checkpoint + answer.body)
            job = job_of(name)
            self.log.append(job, self.log.length(job), Anchored(witness=name, size=size, note=digest, at=at))
        self._known[name] = max(size, self._followed(name))
        return None

    def printed(self, name: str) -> Checkpoint:
        """The newest checkpoint, which a person keeps on paper.

        Raises:
            NeedsPerson: as `checkpoint`.
        """
        if next(self._tail(), None) is not None:
            self.checkpoint(self.log.head().size)
        checkpoint = self.checkpoint()
        self._take(name, None, checkpoint, Answer(asking.TAKEN, b""))
        return note.read(checkpoint).checkpoint

    # --- before something leaves ------------------------------------------------------------------------------------

    def admit(self, index: int, carrier: Carrier | None) -> list[AgentError]:
        """Before entry `index` is acted upon outside: see to it that a witness has it, or gets it with what is sent.

        Empty if so; else why not.

        Raises:
            Contradicted, NeedsPerson: as `anchor`.
        """
        if carrier is not None:
            checkpoint = self.checkpoint(index + 1)
            size = _size(checkpoint)
            old = min(self._followed(carrier.name), size)
            carrier.outgoing = asking.request(old, self._proof(old, size), checkpoint)
            return []
        if self.size > index or not self.parties:
            return []
        told = self.anchor()
        return [] if self.size > index else told

    def landed(self, carrier: Carrier) -> list[AgentError]:
        """What came back with answers, as facts. Returns what was no good of it.

        Raises:
            Contradicted: as `anchor`.
        """
        told: list[AgentError] = []
        while carrier.answers:
            sent, answer = carrier.answers.popleft()
            head, _, checkpoint = sent.partition(b"\n\n")
            if answer.status == asking.STALE:
                self._stale(carrier.name, int(head.split()[1]), answer)
            elif (error := self._take(carrier.name, carrier.public_key, checkpoint, answer)) is not None:
                told.append(error)
        return told


def _size(checkpoint: bytes) -> int:
    return note.read(checkpoint).checkpoint.size


def _seen_at(data: bytes, name: str, public_key: str, verify: Verify) -> datetime | None:
    try:
        return note.seen(note.read(data), {name: public_key}, verify).get(name)
    except ValueError:
        return None


_ANOTHER = N_("stop and keep a copy: this log is an old copy, was cut, or is not the only one of its name")


def longer(name: str, known: int, size: int) -> Contradicted:
    return Contradicted(
        "SA5060",
        N_("the witness {name} has seen {known} entries of this log, which has {size}"),
        hint=_ANOTHER,
        name=name,
        known=known,
        size=size,
    )


def forked(name: str) -> Contradicted:
    return Contradicted(
        "SA5061", N_("the witness {name} has seen another history of this log"), hint=_ANOTHER, name=name
    )


def _refused(name: str, answer: Answer) -> AgentError:
    return AgentError(
        "SA5063",
        N_("the witness {name} does not take the checkpoint: {status} {reason}"),
        hint=N_("give the witness the name of this log (`origin`) and the public keys that sign here"),
        name=name,
        status=answer.status,
        reason=answer.body[:200].decode(errors="replace").strip(),
    )
