"""How far runs have come, from the log alone: the same for a run of this process, of another, and one long ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from scraper_agent import app as wiring
from scraper_agent import canonical, completeness
from scraper_agent.app import App
from scraper_agent.archive import sqlite
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.messages import N_, render
from scraper_agent.people import People
from scraper_agent.values import Entry, Fault, JobId, ListRead, Parked, Refused, RunEnded, RunStarted, Snapshot, State

MOST = 200
"""Of faults and refused requests of a run so many are told one by one."""

How: TypeAlias = Literal["reading", "settling", "complete", "incomplete", "parked", "broken"]
"""Reads; has read, and its documents are being checked, signed and sent; has ended; waits for a person; was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run as a line of a list."""

    id: JobId
    started: RunStarted
    at: datetime
    """When it was begun first."""
    last_at: datetime
    how: How
    documents: int
    pages: int
    faults: int
    refused: int

    @property
    def name(self) -> str:
        return self.id.removeprefix("run/")

    @property
    def goes_on(self) -> bool:
        return self.how in ("reading", "settling")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A run that goes on. `declared`: rows that its lists state so far; None if none does."""

    run: Run
    page: str
    """Name of the page read last."""
    declared: int | None
    standing: Counter[State]

    @property
    def settled(self) -> int:
        """Documents on which nothing more is done in this run."""
        return sum(n for state, n in self.standing.items() if state not in (State.READ, State.APPROVED, State.SIGNED))


def said(how: How) -> str:
    names = {
        "reading": N_("reading"),
        "settling": N_("checking, signing, sending"),
        "complete": N_("complete"),
        "incomplete": N_("incomplete"),
        "parked": N_("waits for a person"),
        "broken": N_("did not end"),
    }
    return render(names[how])


def starter(digest: str, people: People) -> str:
    """Whose account it was, where that is known; the log has the digest of the name."""
    names = (*people, wiring.account())
    return next((name for name in names if canonical.sm3(name.encode()).hex() == digest), digest[:12])


def busy(app: App) -> bool:
    """Whether a process other than this one writes the archive now: a run, if the newest has not ended."""
    return not app.writes and sqlite.being_written(app.home / app.config.archive)


def runs(archive: SqliteArchive, *, busy: bool, most: int, before: int | None = None) -> tuple[list[Run], int | None]:
    """The newest runs, and what `before` the next page has; None if there is none."""
    beginnings: dict[JobId, Entry] = {}
    entries = archive.lists.facts(kinds=["RunStarted"], most=2 * most, before=before)
    for entry in entries:
        beginnings.setdefault(entry.job, entry)
        if len(beginnings) > most:
            break
    listed = list(beginnings)[:most]
    first = before is None
    found = [run(archive, id, busy=busy and first and number == 0) for number, id in enumerate(listed)]
    return found, beginnings[listed[-1]].index if len(beginnings) > most else None


def newest(archive: SqliteArchive, *, busy: bool) -> Run | None:
    found, _ = runs(archive, busy=busy, most=1)
    return found[0] if found else None


def run(archive: SqliteArchive, id: JobId, *, busy: bool) -> Run:
    """`busy`: it is the newest, and the archive is being written now."""
    kinds = archive.kinds(id)
    times = archive.span(id)
    (begun,) = archive.lists.facts(job=id, kinds=["RunStarted"], most=1)
    last = archive.last(id)
    assert isinstance(begun.fact, RunStarted)  # noqa: S101 - of this kind
    documents = archive.documents_of(id)
    match last:
        case RunEnded(complete=complete):
            how: How = "settling" if busy and _unsettled(archive, id) else "complete" if complete else "incomplete"
        case Parked():
            how = "parked"
        case _:
            how = "reading" if busy else "broken"
    return Run(
        id=id,
        started=begun.fact,
        at=times[0],
        last_at=times[1],
        how=how,
        documents=documents,
        pages=archive.length(id) - kinds.total(),
        faults=kinds["Fault"],
        refused=kinds["Refused"],
    )


def _unsettled(archive: SqliteArchive, id: JobId) -> bool:
    standing = archive.standing_of(id)
    return any(standing[state] for state in (State.READ, State.APPROVED, State.SIGNED))


def progress(archive: SqliteArchive, *, busy: bool) -> Progress | None:
    """Of the run that goes on now, if one does."""
    of = newest(archive, busy=busy) if busy else None
    if of is None or not of.goes_on:
        return None
    pages = archive.newest(of.id, "Snapshot")
    lists = lists_of(archive, of.id)
    declared = [each.declared for each in lists if each.declared is not None]
    return Progress(
        run=of,
        page=pages.fact.name if pages is not None and isinstance(pages.fact, Snapshot) else "",
        declared=sum(declared) if declared else None,
        standing=archive.standing_of(of.id),
    )


def lists_of(archive: SqliteArchive, id: JobId) -> Sequence[ListRead]:
    """The lists that count."""
    kinds = ["RunStarted", "Relogin", "ListRead"]
    entries = archive.lists.facts(job=id, kinds=kinds, most=10_000)
    return completeness.counting([entry.fact for entry in reversed(entries)])


def faults_of(archive: SqliteArchive, id: JobId) -> list[Entry]:
    return [e for e in archive.lists.facts(job=id, kinds=["Fault"], most=MOST) if isinstance(e.fact, Fault)]


def refused_of(archive: SqliteArchive, id: JobId) -> list[tuple[Refused, int]]:
    """The newest refused requests, each once with how often."""
    facts = (e.fact for e in archive.lists.facts(job=id, kinds=["Refused"], most=5 * MOST))
    return Counter(f for f in facts if isinstance(f, Refused)).most_common(MOST)
