"""Documents are handed out: which, what goes with them, and the fact that says so before anything is written.

With the facts of a document go those of its run that are about all of it or about the document's pages, and the whole
jobs that both stand on: keys, policy, the recipe's approvals, and exports themselves; and the facts that say of a body
that it is gone. With the facts go the bodies that they name. Nothing here reads the config, the key folder's secrets or
the vault.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

from scraper_agent import canonical, retention
from scraper_agent.archive import excerpt
from scraper_agent.archive.excerpt import Excerpt, Row
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.audit import bundle, note
from scraper_agent.errors import AgentError, UsageError
from scraper_agent.messages import N_
from scraper_agent.people import Role
from scraper_agent.ports import Archive, Signer
from scraper_agent.values import Digest, Exported, JobId

JOB = JobId("export")
DO: Final = "export"
"""What is ordered of whoever writes the archive."""
ROLES = (Role.AUDITOR, Role.ADMINISTRATOR)
"""Whoever has one of them hands out documents."""
_WITH = (JobId("keys"), JobId("policy"), JOB)
"""Jobs that every bundle has whole."""


_MOST_NAMED = 3000
"""Characters. How many documents were named is said beyond; which went out is said anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody wants handed out. Empty asks for nothing; several that are given must all be so."""

    documents: Sequence[JobId] = ()
    format: str = ""
    since: datetime | None = None
    """Documents of which anything was logged from then on …"""
    until: datetime | None = None
    """… and before then."""
    images: bool = True
    reason: str = ""

    def told(self) -> dict[str, str]:
        """As the log says it."""
        named = ", ".join(self.documents)
        given = {
            "document": named if len(named) <= _MOST_NAMED else f"{len(self.documents)}",
            "format": self.format,
            "since": self.since.isoformat() if self.since is not None else "",
            "until": self.until.isoformat() if self.until is not None else "",
            "images": "" if self.images else "no",
        }
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The newest checkpoint that witnesses have signed, and their public keys by the names in its lines."""

    note: bytes
    witnesses: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """Who hands out what of which log."""

    person: str
    """The account name."""
    agent: str
    origin: str
    """The log's name in its checkpoints."""
    signer: Signer
    """Of the enterprise: signs checkpoint and manifest."""
    keys: Sequence[Mapping[str, object]]
    """The enterprise's, as `bundle.Keys.enterprise`."""
    receivers: Mapping[str, str]
    now: Callable[[], datetime]
    log: Callable[[Sequence[JobId], Asked], None]
    """Has it logged that these documents go out; returns when the log has it."""
    seen: Seen | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What was handed out. `gone`: bodies that the log names and nobody has any more."""

    documents: int
    entries: int
    bodies: int
    gone: tuple[Digest, ...]
    checkpoint: note.Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What goes out: jobs of documents, entries, and what each body is."""

    documents: tuple[JobId, ...]
    entries: tuple[Row, ...]
    bodies: Mapping[Digest, str]

    def entries_of(self, documents: Collection[JobId]) -> Iterator[Row]:
        """Those of these documents, and of all that is no document."""
        wanted = frozenset(documents)
        for index, data in self.entries:
            job = json.loads(data)["job"]
            if job in wanted or not job.startswith("doc/"):
                yield index, data


Beside = Callable[[Chosen, bundle.Keys, note.Checkpoint], Mapping[str, bytes]]
"""Makes files for people to read, such as reports."""


def export(
    out: Path, archive: SqliteArchive, asked: Asked, by: By, beside: Beside = lambda _chosen, _keys, _checkpoint: {}
) -> Made:
    """Write the bundle; who did it, what and why, is logged before. The archive may be written meanwhile.

    Raises:
        UsageError: something is there already, or no document is what was asked for.
        AgentError: a body has been changed, the log does not agree with its tree, or the disk failed.
        NeedsPerson: the signer needs a passphrase or PIN that nobody gives.
    """
    if out.exists():
        raise UsageError("SA5102", N_("{path} is there already"), hint=N_("give another name"), path=out)
    with excerpt.opened(archive.path) as log:
        documents = _documents(log, archive, asked)
    if not documents:
        raise UsageError(
            "SA5103",
            N_("no document is what was asked for"),
            hint=N_("`scraper-agent jobs` shows the documents; `--since` and `--until` mean days, in Chinese time"),
        )
    by.log(documents, asked)
    with excerpt.opened(archive.path) as log:  # that has the fact
        head = archive.head(log.size)
        checkpoint = note.Checkpoint(origin=by.origin, size=head.size, root=head.root, at=by.now())
        signed = note.sign(checkpoint, by.signer)
        chosen = _chosen(log, archive, asked, documents)
        keys = bundle.Keys(
            log={by.signer.key_index: by.signer.public_key},
            receivers=by.receivers,
            witnesses=by.seen.witnesses if by.seen is not None else {},
            enterprise=by.keys,
        )
        contents = bundle.Contents(
            entries=chosen.entries,
            bodies=chosen.bodies,
            keys=keys,
            checkpoint=signed,
            witnessed=by.seen.note if by.seen is not None else None,
            about={
                "agent": by.agent,
                "asked": asked.told(),
                "by": f"person:{by.person}",
                "documents": list(documents),
                "made": checkpoint.at,
                "reason": asked.reason,
            },
            beside=beside(chosen, keys, checkpoint),
        )
        gone = bundle.write(out, _Log(log, archive), contents, by.signer)
    return Made(
        documents=len(documents),
        entries=len(chosen.entries),
        bodies=len(chosen.bodies) - len(gone),
        gone=gone,
        checkpoint=checkpoint,
    )


def ordered(asked: Asked) -> dict[str, str]:
    """What an order says beside the documents."""
    return {"reason": asked.reason, **asked.told()}


def record(
    archive: Archive,
    documents: Sequence[str],
    person: str,
    said: Mapping[str, str],
    *,
    unless_since: datetime | None = None,
) -> None:
    """Log that these documents go out. `said`: as `ordered`.

    `unless_since`: not where the log has the same from this time on, since a process that died had begun it.
    """
    listed = canonical.dumps(list(documents))
    fact = Exported(
        by=f"person:{person}",
        documents=canonical.digest(listed),
        count=len(documents),
        asked={name: value for name, value in said.items() if name != "reason"},
        reason=said.get("reason", ""),
    )
    if unless_since is not None:
        known = zip(archive.job(JOB).facts, archive.times(JOB), strict=True)
        if any(each == fact and at >= unless_since for each, at in known):
            return
    with archive.together():
        archive.put(listed)
        archive.append(JOB, archive.length(JOB), fact)


@dataclass(frozen=True, slots=True)
class _Log:
    excerpt: Excerpt
    archive: SqliteArchive

    def subtree(self, start: int, stop: int) -> bytes:
        return self.excerpt.subtree(start, stop)

    def get(self, digest: Digest) -> bytes:
        return self.archive.shown(digest)


# --- what goes out --------------------------------------------------------------------------------------------------


def _documents(log: Excerpt, archive: SqliteArchive, asked: Asked) -> tuple[JobId, ...]:
    """By when they were read."""
    first = archive.lists.first_since(asked.since) if asked.since is not None else 0
    beyond = archive.lists.first_since(asked.until) if asked.until is not None else archive.head().size
    wanted = frozenset(asked.documents)
    return tuple(
        id
        for id in log.documents(first, beyond)
        if (not wanted or id in wanted) and (not asked.format or id.startswith(f"doc/{asked.format}/"))
    )


def _chosen(log: Excerpt, archive: SqliteArchive, asked: Asked, documents: Sequence[JobId]) -> Chosen:
    found: dict[int, bytes] = {}
    pages: dict[str, set[str]] = {}
    for id in documents:
        rows = log.facts(id)
        found.update(rows)
        draft = json.loads(rows[0][1])["fact"]
        pages.setdefault(draft["run"], set()).update({draft["page"], *_origins(archive, draft["provenance"])})
    recipes = set()
    for run, read in pages.items():
        for index, data in log.facts_of_run(JobId(run), frozenset(read)):
            found[index] = data
            if b'"kind":"RunStarted"' in data:
                recipes.add(JobId(f"recipe/{json.loads(data)['fact']['recipe_id']}"))
    for id in (*_WITH, *sorted(recipes)):
        found.update(log.facts(id))
    named = _named(found.values())
    erasures = {index: data for index, data in log.facts(retention.JOB) if _concerns(data, named.keys(), documents)}
    bodies = {
        digest: holds
        for digest, holds in (named | _named(erasures.values())).items()
        if asked.images or holds != "image"
    }
    return Chosen(documents=tuple(documents), entries=tuple(sorted((found | erasures).items())), bodies=bodies)


def _named(entries: Iterable[bytes]) -> dict[Digest, str]:
    """The bodies that these entries name, and what each is."""
    found: dict[Digest, str] = {}
    for data in entries:
        raw = json.loads(data)
        for digest, holds in _bodies(raw["kind"], raw["fact"]):
            found.setdefault(digest, holds)
    return found


def _concerns(erased: bytes, bodies: Collection[str], documents: Collection[JobId]) -> bool:
    """Whether the fact says that one of the bodies is gone, or fields of one of the documents are."""
    fact = json.loads(erased)["fact"]
    return fact.get("of") in documents or any(digest in bodies for digest in fact["bodies"])


def _origins(archive: SqliteArchive, provenance: Digest) -> Iterator[str]:
    """The pages that the document's values were read on, as far as anybody still knows."""
    try:
        read = json.loads(archive.get(provenance))
    except (AgentError, ValueError):
        return
    yield from {page for each in read if isinstance(each, dict) and isinstance(page := each.get("page"), str)}


def _bodies(kind: str, fact: Mapping[str, object]) -> Iterator[tuple[Digest, str]]:
    """The bodies that a fact names, and what each is."""
    for name in _naming(kind):
        value = fact.get(name)
        if isinstance(value, Mapping):
            yield from ((Digest(each), f"{name}: {key}") for key, each in value.items())
        elif isinstance(value, str) and value:
            yield Digest(value), "fetched" if name == "body" else name


@cache
def _naming(kind: str) -> tuple[str, ...]:
    """The fields of this kind that hold digests of bodies."""
    return tuple(f.name for f in fields(canonical.KINDS[kind]) if "Digest" in str(f.type))
