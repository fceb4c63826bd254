"""From facts to what the report shows: names instead of identifiers, sentences instead of codes, pages by number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from pydantic import TypeAdapter, ValidationError

from scraper_agent import completeness, leaving, mapping, messages, values
from scraper_agent.errors import AgentError
from scraper_agent.format import Format
from scraper_agent.mapping import Origin
from scraper_agent.report import body, facts, pages
from scraper_agent.report.body import Body, Name, Told
from scraper_agent.report.facts import Step
from scraper_agent.report.pages import Books, Page, Pages
from scraper_agent.report.words import say
from scraper_agent.values import (
    Approval,
    Attempt,
    Digest,
    Draft,
    Entry,
    Fault,
    Fetched,
    Finding,
    Job,
    JobId,
    ListRead,
    Parked,
    Refused,
    RunEnded,
    RunStarted,
    SessionChecked,
    Snapshot,
    State,
    Verdict,
)

ATTENTION = (State.BLOCKED, State.REJECTED, State.UNKNOWN, State.DEAD, State.STOPPED, State.HELD, State.ON_HOLD)
"""In the order in which a person should look."""

_ORIGINS = TypeAdapter(tuple[Origin, ...])


@runtime_checkable
class _Dated(Protocol):
    """An archive that also tells when each entry was made."""

    def entries(self, start: int = 0) -> Iterator[Entry]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One document."""

    id: JobId
    anchor: str
    key: str
    format: Name
    state: State
    word: str
    """The state as the report calls it: a name in `WORDS`."""
    page: int
    body: Body
    findings: tuple[Told, ...]
    held_because: tuple[str, ...]
    history: tuple[Step, ...]
    evidence: tuple[tuple[str, str], ...]
    """Name in `WORDS` and value."""
    outcome: str
    """The sentence of the last fact, for the states that have one worth reading first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFault:
    """A page that was refused. `page` is its number; None if the fault has no page."""

    code: str
    where: str
    sentence: str
    hint: str
    page: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    id: JobId
    started: RunStarted
    resumed: int
    times: tuple[str, str]
    """Start and end, as far as known."""
    ended: RunEnded | None
    parked: Parked | None
    lists: tuple[ListRead, ...]
    sessions: tuple[tuple[str, SessionChecked], ...]
    """Each with its time, as far as known."""
    pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    runs: tuple[Run, ...]
    dry: bool
    sheets: tuple[Sheet, ...]
    attention: tuple[tuple[State, tuple[Sheet, ...]], ...]
    faults: tuple[PageFault, ...]
    counts: tuple[tuple[str, Counter[str]], ...]
    """Format and its counts, by name in `WORDS`; last the total, if there are several formats."""
    columns: tuple[str, ...]
    refused: tuple[tuple[tuple[str, str, str], int], ...]
    """(method, address without query, reason) and how often."""
    pages: tuple[Page, ...]
    origins: tuple[Spot, ...]
    problems: tuple[str, ...]
    """What could not be shown, and why."""

    @property
    def waiting(self) -> int:
        return sum(len(sheets) for _, sheets in self.attention) + len(self.faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """An origin for the script. `page` is a page's number; None for a value of the profile."""

    page: int | None
    box: tuple[int, int, int, int] | None
    target: str
    frame: str
    raw: str
    steps: tuple[str, ...]
    name: str


def build(
    archive: Books,
    runs: Sequence[JobId],
    documents: Sequence[JobId],
    formats: Mapping[str, Format],
    *,
    held_because: Mapping[JobId, Sequence[str]],
    most_images: int,
) -> View:
    """Everything the report shows. Bodies that are gone or changed are left out and told of in `problems`."""
    return _Builder(archive, formats, held_because, Pages(archive, most_images)).view(runs, documents)


@dataclass(slots=True)
class _Builder:
    archive: Books
    formats: Mapping[str, Format]
    held_because: Mapping[JobId, Sequence[str]]
    pages: Pages
    dry: bool = False
    times: Mapping[JobId, Sequence[datetime]] = field(default_factory=dict)
    origins: list[Spot] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def view(self, run_ids: Sequence[JobId], document_ids: Sequence[JobId]) -> View:
        self.times = self._times({*run_ids, *document_ids})
        run_jobs = [job for id in run_ids if (job := self._job(id)) is not None]
        runs = tuple(run for job in run_jobs if (run := self._run(job)) is not None)
        self.dry = bool(runs) and all(run.started.dry_run for run in runs)
        jobs = {id: job for id in document_ids if (job := self._document(id)) is not None}
        self._learn(run_jobs, jobs.values())
        # Pages get their images in the order in which they are first asked for: what needs attention comes first.
        faults = tuple(self._fault(fact) for job in run_jobs for fact in job.facts if isinstance(fact, Fault))
        urgent = sorted(jobs.values(), key=lambda job: self._urgency(values.state(job)))
        sheets = {job.id: self._sheet(job) for job in urgent}
        ordered = tuple(sheets[id] for id in jobs)
        counts = self._counts(jobs, ordered)
        refused = Counter(_request(fact) for job in run_jobs for fact in job.facts if isinstance(fact, Refused))
        return View(
            runs=runs,
            dry=self.dry,
            sheets=ordered,
            attention=tuple(self._attention(ordered)),
            faults=faults,
            counts=counts,
            columns=_columns(counts),
            refused=tuple(refused.most_common()),
            pages=self.pages.shown,
            origins=tuple(self.origins),
            problems=tuple(dict.fromkeys([*self.problems, *self.pages.problems])),
        )

    # --- reading the archive ----------------------------------------------------------------------------------------

    def _job(self, id: JobId) -> Job | None:
        try:
            return self.archive.job(id)
        except AgentError as error:
            self.problems.append(str(error))
            return None

    def _document(self, id: JobId) -> Job | None:
        job = self._job(id)
        return job if job is not None and job.facts and isinstance(job.facts[0], Draft) else None

    def _body(self, digest: Digest) -> bytes | None:
        try:
            return self.archive.get(digest)
        except AgentError as error:
            self.problems.append(str(error))
            return None

    def _times(self, wanted: set[JobId]) -> dict[JobId, list[datetime]]:
        found: dict[JobId, list[datetime]] = {id: [] for id in wanted}
        if isinstance(self.archive, _Dated):
            try:
                for entry in self.archive.entries():
                    if entry.job in found:
                        found[entry.job].append(entry.at)
            except AgentError as error:
                self.problems.append(str(error))
        return found

    def _learn(self, run_jobs: Iterable[Job], documents: Iterable[Job]) -> None:
        """Every snapshot of these runs, and of those earlier runs that the documents were first read by."""
        known = {job.id: job for job in run_jobs}
        for run in dict.fromkeys(facts.draft(job).run for job in documents):
            if run not in known and (job := self._job(run)) is not None:
                known[run] = job
        masked = {facts.draft(job).run for job in documents if self._masks(facts.draft(job).format)}
        for job in known.values():
            for fact in job.facts:
                if isinstance(fact, Snapshot):
                    self.pages.learn(fact, masked=job.id in masked)
                elif isinstance(fact, Fetched):
                    self.pages.learn_file(fact)

    def _masks(self, format: str) -> bool:
        of = self.formats.get(format)
        return of is not None and any(each.masked for each in (*of.header, *of.lines))

    # --- runs -------------------------------------------------------------------------------------------------------

    def _run(self, job: Job) -> Run | None:
        starts = [fact for fact in job.facts if isinstance(fact, RunStarted)]
        snapshots = [fact for fact in job.facts if isinstance(fact, Snapshot)]
        if not starts:
            return None
        times = self.times.get(job.id) or [s.taken_at for s in snapshots]
        each = [pages.moment(at) for at in times] if len(times) == len(job.facts) else [""] * len(job.facts)
        return Run(
            id=job.id,
            started=starts[-1],
            resumed=len(starts) - 1,
            times=(pages.moment(times[0]), pages.moment(times[-1])) if times else ("", ""),
            ended=job.last if isinstance(job.last, RunEnded) else None,
            parked=job.last if isinstance(job.last, Parked) else None,
            lists=completeness.counting(job.facts),
            sessions=tuple(
                (at, fact) for at, fact in zip(each, job.facts, strict=True) if isinstance(fact, SessionChecked)
            ),
            pages=len(snapshots),
        )

    def _fault(self, fault: Fault) -> PageFault:
        return PageFault(
            code=fault.code,
            where=fault.where,
            sentence=messages.render(fault.text, fault.values),
            hint=messages.render(fault.hint, fault.values),
            page=self.pages.number(fault.page) if fault.page is not None else None,
        )

    # --- documents --------------------------------------------------------------------------------------------------

    def _urgency(self, state: State) -> int:
        return ATTENTION.index(state) if state in ATTENTION else len(ATTENTION)

    def _attention(self, sheets: Sequence[Sheet]) -> Iterator[tuple[State, tuple[Sheet, ...]]]:
        for state in ATTENTION:
            found = tuple(s for s in sheets if s.state is state and s.word != "passed")
            if found:
                yield state, found

    def _sheet(self, job: Job) -> Sheet:
        draft = facts.draft(job)
        state = values.state(job)
        format = self.formats.get(draft.format)
        found = next((f.findings for f in reversed(job.facts) if isinstance(f, Verdict)), draft.unread)
        page = self.pages.number(draft.page)
        history = facts.history(job, self.times.get(job.id, ()))
        return Sheet(
            id=job.id,
            anchor=f"document-{job.id.rsplit('/', 1)[-1][:16]}",
            key=draft.key,
            format=body.name(format) if format else Name(main=draft.format, other="", id=draft.format),
            state=state,
            word="passed" if self.dry and state is State.HELD else str(state),
            page=page,
            body=self._said(job, format, found),
            findings=tuple(body.told(f, format) for f in found),
            held_because=tuple(self.held_because.get(job.id, ())) if state in (State.HELD, State.ON_HOLD) else (),
            history=history,
            evidence=facts.evidence(job),
            outcome=history[-1].sentence if state in (State.REJECTED, State.STOPPED) else "",
        )

    def _said(self, job: Job, format: Format | None, found: tuple[Finding, ...]) -> Body:
        data = self._body(values.in_force(job))
        return Body() if data is None else body.read(data, format, found, self._spots(job, format))

    def _spots(self, job: Job, format: Format | None) -> dict[str, int]:
        """Field -> the number of its origin."""
        provenance = facts.draft(job).provenance
        data = self._body(provenance)
        if data is None:
            return {}
        try:
            origins = _ORIGINS.validate_json(data)
        except ValidationError as error:
            self.problems.append(f"{provenance}: {error.error_count()} × {error.title}")
            return {}
        numbers = {}
        kept = (each for each in origins if not leaving.left_out(job, each.field))
        for origin in kept if format is None else (mapping.shown(each, format) for each in kept):
            numbers[origin.field] = len(self.origins)
            self.origins.append(
                Spot(
                    page=self.pages.number(origin.page) if origin.page is not None else None,
                    box=origin.box,
                    target=origin.target,
                    frame=origin.frame,
                    raw=origin.raw,
                    steps=origin.steps,
                    name=origin.field,
                )
            )
        return numbers

    # --- counts -----------------------------------------------------------------------------------------------------

    def _counts(self, jobs: Mapping[JobId, Job], sheets: Sequence[Sheet]) -> tuple[tuple[str, Counter[str]], ...]:
        counts: dict[str, Counter[str]] = {}
        total: Counter[str] = Counter()
        for sheet in sheets:
            count = counts.setdefault(f"{sheet.format.main} {sheet.format.id}", Counter())
            for name in _counted(jobs[sheet.id], sheet):
                count[name] += 1
                total[name] += 1
        listed = tuple(counts.items())
        return listed if len(listed) == 1 else (*listed, (say("total"), total))


def _counted(job: Job, sheet: Sheet) -> Iterator[str]:
    yield "documents"
    if any(isinstance(fact, Approval) and fact.granted for fact in job.facts):
        yield "approved"
    if any(isinstance(fact, Attempt) for fact in job.facts):
        yield "sent"
    if sheet.state in (State.APPROVED, State.SIGNED, State.UNKNOWN, State.DELIVERED, State.WAITING):
        yield "on_the_way"
    else:
        yield sheet.word


_ALWAYS = ("documents", "blocked", "held", "declined", "approved", "sent", "receipted", "rejected")


def _columns(counts: Iterable[tuple[str, Counter[str]]]) -> tuple[str, ...]:
    every = ("documents", "read", "blocked", "held", "passed", "declined", "approved", "sent", "on_the_way")
    seen = {name for _, count in counts for name in count}
    return tuple(n for n in (*every, "receipted", "rejected", "stopped") if n in _ALWAYS or n in seen)


def _request(refused: Refused) -> tuple[str, str, str]:
    address = refused.url.partition("?")[0].partition("#")[0]
    return refused.method, address, messages.render(refused.reason)
