"""What of the archive has outlived the policy's times, and its erasure. Facts are never erased, only bodies.

A body goes when everything that names it is past its time: a document by the time since its last fact, once it has
an end; a page, a file or an image by that of each document read from it, and of its run. What any other fact names
(recipes, policies, keys) stays for ever.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol, TypeAlias, get_args

from scraper_agent import canonical, leaving
from scraper_agent.commitments import Opening
from scraper_agent.errors import BusinessError
from scraper_agent.messages import N_
from scraper_agent.policy import Retention
from scraper_agent.values import (
    Digest,
    DocumentFact,
    Draft,
    Entry,
    Envelope,
    Erased,
    Fact,
    Job,
    JobId,
    Parked,
    RunFact,
    RunStarted,
    Snapshot,
    State,
    state,
)

JOB = JobId("erasure")
WAYBILL = "dangerousGoodsWaybill"
REASON = N_("kept for as long as the policy says, which is over")
BASES = {
    "documents": N_("海关法 45: three years are over; 个人信息保护法 19, 47: what is needed no more is deleted"),
    "waybills": N_("危险货物道路运输安全管理办法 24: twelve months are over; 个人信息保护法 19, 47"),
    "images": N_("个人信息保护法 19, 47: what is needed no more is deleted"),
}
AT_ONCE = 500
"""Bodies that one fact names."""

ENDED = frozenset({State.DECLINED, State.RECEIPTED, State.REJECTED, State.STOPPED})
_NEVER = datetime.max.replace(tzinfo=UTC)

What: TypeAlias = Literal["documents", "waybills", "images"]


class Archive(Protocol):
    """What of an archive is needed here."""

    def entries(self, start: int = 0) -> Iterator[Entry]: ...
    def get(self, digest: Digest) -> bytes: ...
    def put(self, data: bytes) -> Digest: ...
    def size_of(self, digest: Digest) -> int | None: ...
    def openings(self, root: str) -> tuple[Opening, ...]: ...
    def erase(
        self, job: JobId, facts: Sequence[Erased], *, documents: bool, root: str | None = None
    ) -> list[Entry]: ...
    def discard(self, digests: Iterable[Digest]) -> None: ...
    def wipe(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Bodies that may go for one reason. `text`: they are documents, which lists tell of."""

    what: What
    text: bool
    bodies: tuple[Digest, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    groups: tuple[Group, ...]
    left_over: tuple[Digest, ...]
    """Bodies that the log says are erased, and that are there: a copy of the archive was mixed with another."""
    documents: tuple[JobId, ...]
    """Those that lose their bytes."""
    open: int
    """Documents that have no end yet, or are kept back."""
    young: int
    """Documents whose time is not over, or that a younger one replaces."""


@dataclass(slots=True)
class _Holder:
    """A document or a run: what its facts name, and until when that is kept."""

    at: datetime
    """Of its last fact."""
    open: bool = False
    format: str = ""
    run: JobId | None = None
    replaces: JobId | None = None
    provenance: Digest | None = None
    drafted: tuple[Digest, str] | None = None
    """The bytes that were read, and the root of the commitments to their fields; None where there are none."""
    envelopes: set[Digest] = field(default_factory=set)
    document: set[Digest] = field(default_factory=set)
    """The bytes of a document, and nothing else."""
    bodies: set[Digest] = field(default_factory=set)
    """All but images."""
    images: set[Digest] = field(default_factory=set)
    until: datetime = _NEVER
    images_until: datetime = _NEVER


@dataclass(slots=True)
class _Read:
    holders: dict[JobId, _Holder] = field(default_factory=dict)
    images: dict[Digest, set[Digest]] = field(default_factory=dict)
    """Of each page."""
    for_ever: set[Digest] = field(default_factory=set)
    named: dict[Digest, int] = field(default_factory=dict)
    """The last entry that names a body, other than to say that it is erased."""
    erased: dict[Digest, int] = field(default_factory=dict)


_DIGEST = re.compile(rb"sm3:[0-9a-f]{64}")


def plan(archive: Archive, times: Retention, now: datetime) -> Plan:
    """What may go now. Reads the whole log."""
    read = _Read()
    for entry in archive.entries():
        _learn(read, entry)
    documents = {id: each for id, each in read.holders.items() if id.startswith("doc/")}
    for each in documents.values():
        _add_evidence(archive, read, each)
    _date(read.holders, times)
    due: dict[Digest, datetime] = dict.fromkeys(read.for_ever, _NEVER)
    what: dict[Digest, What] = {}
    text: set[Digest] = set()
    for each in read.holders.values():
        text |= each.document
        kind: What = "waybills" if each.format == WAYBILL else "documents"
        for digest in each.bodies:
            due[digest] = max(due.get(digest, each.until), each.until)
            # Of several reasons the one with the longest time.
            what[digest] = kind if what.get(digest, kind) == kind else "documents"
        for digest in each.images:
            due[digest] = max(due.get(digest, each.images_until), each.images_until)
            what.setdefault(digest, "images")
    found: dict[tuple[What, bool], list[tuple[Digest, int]]] = {}
    roots = dict(each.drafted for each in read.holders.values() if each.drafted is not None)
    for digest, until in due.items():
        if until <= now and (size := _size(archive, digest, roots.get(digest))) is not None:
            found.setdefault((what[digest], digest in text), []).append((digest, size))
    gone = {digest for listed in found.values() for digest, _ in listed}
    return Plan(
        groups=tuple(
            Group(
                what=kind,
                text=is_text,
                bodies=tuple(sorted(digest for digest, _ in listed)),
                size_bytes=sum(size for _, size in listed),
            )
            for (kind, is_text), listed in sorted(found.items())
        ),
        left_over=tuple(
            sorted(
                digest
                for digest, index in read.erased.items()
                if read.named.get(digest, -1) < index and archive.size_of(digest) is not None
            )
        ),
        documents=tuple(id for id, each in documents.items() if each.document & gone),
        open=sum(each.open for each in documents.values()),
        young=sum(not each.open and each.until > now for each in documents.values()),
    )


def carry_out(archive: Archive, planned: Plan, *, by: str, policy: bytes) -> bool:
    """Say it in the log and delete, so many at a time; may be repeated after a crash.

    False: somebody reads the archive, so that traces on the disk are overwritten only when it is done again.

    Raises:
        AgentError: the disk failed; what was said to be erased until then is.
    """
    archive.discard(planned.left_over)
    for of_text in (True, False):
        made: list[Erased] = [
            Erased(
                what=group.what,
                bodies=bodies,
                by=f"person:{by}",
                reason=REASON,
                basis=BASES[group.what],
                policy=archive.put(policy),
            )
            for group in planned.groups
            if group.text is of_text
            for bodies in (group.bodies[n : n + AT_ONCE] for n in range(0, len(group.bodies), AT_ONCE))
        ]
        if of_text and made:
            archive.erase(JOB, made, documents=True)  # what lists tell is made anew once, not for each
        elif not of_text:
            for fact in made:
                archive.erase(JOB, [fact], documents=False)
    return archive.wipe()


def _size(archive: Archive, digest: Digest, root: str | None) -> int | None:
    """Bytes of a body; 0 of a document of which only the fields are left, and None if nothing is."""
    size = archive.size_of(digest)
    return 0 if size is None and root is not None and archive.openings(root) else size


# --- fields ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Fields of one document that may go, and the bodies that hold them."""

    of: JobId
    root: str
    names: tuple[str, ...]
    bodies: tuple[Digest, ...]


def fields_of(archive: Archive, of: JobId, wanted: Sequence[str]) -> Fields:
    """`wanted`: `totalAmount`, `lines[3].quantity`, or `lines.quantity` of every line.

    The bodies are the document's bytes, its provenance and envelopes, and the pages that the fields were read on.

    Raises:
        BusinessError: it has no end yet, or no such fields; or one that has none yet was read from the same page.
    """
    read = _Read()
    for entry in archive.entries():
        _learn(read, entry)
    holder = read.holders[of]
    if holder.open:
        raise BusinessError(
            "SA6090",
            N_("{id} has no end yet, and needs all its fields"),
            hint=N_("once it is accepted, refused, declined or stopped, its fields can be erased"),
            id=of,
        )
    openings = archive.openings(holder.drafted[1]) if holder.drafted is not None else ()
    kept = [each.name for each in openings if each.value is not None]
    names = tuple(name for name in kept if name in wanted or leaving.named(name) in wanted)
    for name in wanted:
        if holder.drafted is None or not any(name in (each, leaving.named(each)) for each in names):
            text = N_("{id} has no field `{seen}` that could be disclosed or erased")
            raise BusinessError("SA6091", text, id=of, seen=name)
    bodies = _holding(archive, read, holder, names)
    for id, other in read.holders.items():
        if not other.open:
            continue
        _add_evidence(archive, read, other)
        if bodies & (other.bodies | other.images):
            raise BusinessError(
                "SA6092",
                N_("{other}, which has no end yet, needs a page that {id} was read from"),
                hint=N_("once that is accepted, refused, declined or stopped, the fields can be erased"),
                id=of,
                other=id,
            )
    there = tuple(sorted(digest for digest in bodies if archive.size_of(digest) is not None))
    root = "" if holder.drafted is None else holder.drafted[1]
    return Fields(of=of, root=root, names=names, bodies=there)


def _holding(archive: Archive, read: _Read, document: _Holder, names: Collection[str]) -> set[Digest]:
    bodies = document.document | document.envelopes
    if document.provenance is not None and archive.size_of(document.provenance) is not None:
        bodies.add(document.provenance)
        for origin in json.loads(archive.get(document.provenance)):
            if origin["page"] is not None and origin["field"].removeprefix("twin ") in names:
                bodies |= {Digest(origin["page"]), *read.images.get(Digest(origin["page"]), ())}
    return bodies


def erase_fields(archive: Archive, planned: Fields, *, by: str, reason: str, basis: str, policy: bytes) -> bool:
    """As `carry_out`."""
    fact = Erased(
        what="fields",
        bodies=planned.bodies,
        by=f"person:{by}",
        reason=reason,
        basis=basis,
        policy=archive.put(policy),
        of=planned.of,
        fields=planned.names,
    )
    archive.erase(JOB, [fact], documents=True, root=planned.root)
    return archive.wipe()


# --- what names what ------------------------------------------------------------------------------------------------

_OF_RUNS = get_args(RunFact)
_OF_DOCUMENTS = get_args(DocumentFact)


def named(fact: Fact) -> Iterator[Digest]:
    """The bodies that a fact names."""
    for name in _DIGEST_FIELDS[type(fact)]:
        match getattr(fact, name):
            case str() as digest:
                yield Digest(digest)
            case {**digests}:
                yield from (Digest(str(digest)) for digest in digests.values())
            case _:
                pass


_DIGEST_FIELDS: Mapping[type, tuple[str, ...]] = {
    kind: tuple(f.name for f in fields(kind) if "Digest" in str(f.type)) for kind in canonical.KINDS.values()
}


def _learn(read: _Read, entry: Entry) -> None:
    fact = entry.fact
    if isinstance(fact, Erased):
        read.erased |= dict.fromkeys(fact.bodies, entry.index)
    digests = set(named(fact))
    read.named |= dict.fromkeys(digests, entry.index)
    if isinstance(fact, RunStarted) or not isinstance(fact, (*_OF_RUNS, *_OF_DOCUMENTS)):
        read.for_ever |= digests
        if not isinstance(fact, RunStarted):
            return
        digests = set()
    holder = read.holders.setdefault(entry.job, _Holder(at=entry.at))
    holder.at = max(holder.at, entry.at)
    if isinstance(fact, Snapshot) and fact.image is not None:
        digests.discard(fact.image)
        holder.images.add(fact.image)
        read.images.setdefault(fact.page, set()).add(fact.image)
    holder.bodies |= digests
    if isinstance(fact, _OF_RUNS):
        holder.open = isinstance(fact, Parked)
        return
    holder.open = state(Job(id=entry.job, facts=(fact,))) not in ENDED
    for name in ("document", "before"):
        if (digest := getattr(fact, name, None)) is not None:
            holder.document.add(digest)
    if isinstance(fact, Envelope):
        holder.envelopes.add(fact.envelope)
    if isinstance(fact, Draft):
        holder.format, holder.run, holder.replaces = fact.format, fact.run, fact.replaces
        holder.provenance = fact.provenance
        holder.drafted = None if fact.fields_root is None else (fact.document, fact.fields_root)


def _add_evidence(archive: Archive, read: _Read, document: _Holder) -> None:
    """What a document was read from: every page and file that its provenance names, and the images of the pages."""
    if document.provenance is not None and archive.size_of(document.provenance) is not None:
        # A text of a page that looks like a digest is taken for one: what it names is only kept longer.
        told = _DIGEST.findall(archive.get(document.provenance))
        document.bodies |= {Digest(each.decode()) for each in told}
    document.images |= {image for page in document.bodies for image in read.images.get(page, ())}


# --- until when -----------------------------------------------------------------------------------------------------


def _date(holders: dict[JobId, _Holder], times: Retention) -> None:
    for id, each in holders.items():
        if id.startswith("doc/") and each.run in holders:
            run = holders[each.run]
            # A run that read other documents too, or none, is kept as these are.
            run.format = each.format if run.format in ("", each.format) else "several"
    for each in holders.values():
        days = times.waybills_days if each.format == WAYBILL else times.documents_days
        if not each.open:
            each.until = each.at + timedelta(days=days)
            each.images_until = each.at + timedelta(days=days if times.images_days is None else times.images_days)
    # A younger version begins later in the log: its own time is known before that of what it replaces.
    for each in reversed(holders.values()):
        if each.replaces in holders:
            older = holders[each.replaces]
            older.until = max(older.until, each.until)
            older.images_until = max(older.images_until, each.images_until)
