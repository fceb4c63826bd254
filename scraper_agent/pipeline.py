"""The program. `harvest` turns a recipe into document jobs; `advance` takes one job as far as it goes, fact by fact."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Literal, assert_never

from scraper_agent import (
    accounts,
    approval,
    canonical,
    cases,
    commitments,
    completeness,
    envelope,
    hours,
    incremental,
    leaving,
    mapping,
    messages,
    outbox,
)
from scraper_agent import policy as policies
from scraper_agent.analysis import Analysis
from scraper_agent.analysis.book import Book
from scraper_agent.analysis.settings import DEFAULT, Settings
from scraper_agent.analysis.waybills import Times
from scraper_agent.audit import anchor
from scraper_agent.audit.anchor import Anchoring, Carrier, Contradicted
from scraper_agent.convert import Unreadable
from scraper_agent.errors import AgentError, BusinessError, NeedsPerson, PageError, SendFailed, SendRefused, SendUnknown
from scraper_agent.format import Document, Format, decode, encode, json_schema
from scraper_agent.formats import PACKAGED, Tables
from scraper_agent.messages import N_
from scraper_agent.ports import (
    Archive,
    Browser,
    Clock,
    Done,
    File,
    Look,
    Page,
    PersonNeeded,
    Sighting,
    Signer,
    Standing,
    Transport,
    Trouble,
    Verify,
)
from scraper_agent.recipe import Recipe
from scraper_agent.values import (
    AccountStopped,
    Anchored,
    Anew,
    Approval,
    Attempt,
    Cleared,
    Completeness,
    DeadLetter,
    Delivered,
    Denied,
    Digest,
    Draft,
    Endorsed,
    Enrolled,
    Envelope,
    Erased,
    Excluded,
    Exported,
    Fact,
    Failure,
    Fault,
    Fetched,
    Finding,
    Halted,
    Held,
    Job,
    JobId,
    KeyChanged,
    ListRead,
    Outcome,
    Parked,
    Paused,
    PolicyAdopted,
    Reached,
    Reason,
    Receipt,
    RecipeDecided,
    RecipeProposed,
    Refused,
    Released,
    Relogin,
    Resumed,
    Retry,
    RunEnded,
    RunFact,
    RunOrdered,
    RunStarted,
    SessionChecked,
    SignedIn,
    SignedOut,
    SignInRefused,
    Snapshot,
    State,
    TokenChanged,
    Unanchored,
    Verdict,
    in_force,
    state,
)
from scraper_agent.waybill import answer, status
from scraper_agent.waybill.profile import DEFAULT as WAYBILLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """The other end: who we are to it, and how its receipts are known to be its own."""

    ak: str
    profile: envelope.Profile
    public_keys: Mapping[str, str]
    """`sk` -> 128 hex digits."""
    verify: Verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Who takes documents, and on which way they get there."""

    receiver: Receiver
    transport: Transport
    carrier: Carrier | None = None
    """Of a receiver that is a witness: what its requests take along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One harvest: what is read and in whose name."""

    recipe: Recipe
    recipe_source: bytes
    lookups: Mapping[str, Mapping[str, str]]
    parameters: Mapping[str, str]
    policy_source: bytes
    started_by: str
    agent: str
    dry_run: bool = False
    most_documents: int | None = None
    edition: Digest | None = None
    """What was approved of the recipe; None where the policy asks for no approval."""
    unanchored: Unanchored | None = None
    """Who lets it begin although no witness has seen the log for too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """One file that people filled in. It stands in for a recipe where a document says how it came about."""

    file_name: str
    """No path."""
    media: str
    body: bytes
    format: Format
    rows: Mapping[str, int]
    """Rows of documents by table."""
    readings: Callable[[Digest], Iterable[mapping.Reading]]
    """The documents, given the digest of `body`."""
    policy_source: bytes
    started_by: str
    agent: str
    unanchored: Unanchored | None = None
    """As `Plan` has it."""

    @property
    def erp(self) -> str:
        return "IMPORT"

    @property
    def recipe(self) -> str:
        return f"import/{self.format.name}"

    @property
    def version(self) -> str:
        return self.format.version


@dataclass(slots=True, kw_only=True)
class Harvest:
    """What a harvest found. `documents` are all jobs it read, new or known."""

    documents: dict[JobId, Draft] = field(default_factory=dict)
    faults: int = 0
    refused: int = 0
    complete: bool = True
    newest: date | None = None
    """The newest day on a document, by the field that `since` names."""
    told: AgentError | None = None
    """The last trouble that was logged."""
    told_where: str = ""
    told_on: Digest | None = None
    """The page of that trouble."""
    lists: list[ListRead] = field(default_factory=list)
    """Those that count; of lists that were begun anew the last reading."""
    done: set[str] = field(default_factory=set)
    """What need not be looked at again, should the run have to wait for a person."""


FRESH = timedelta(hours=24)
"""How long a run may have been parked and still go on at the same record: what was read before may have changed."""

Watch = Callable[[JobId, Fact], None]
"""Hears of every fact as soon as it is durable."""


def _silent(_job: JobId, _fact: Fact) -> None:
    pass


def _half() -> float:
    return 0.5


def _unmarked() -> str:
    raise NotImplementedError("nothing draws marks here")


def _any() -> None:
    return None


Gate = Callable[[Callable[[], object]], None]
"""A control point: returns at once unless people paused what runs; then it first calls what it is given, which is to
land what is under way. Raises PersonNeeded where they stopped it.
"""


def _open_gate(_land: Callable[[], object]) -> None:
    pass


def _nothing() -> None:
    pass


Post = Callable[[Callable[[], bytes | None]], Callable[[], bytes | None]]
"""Begins a send in its own time; what it returns waits for the answer or raises what the send raised."""


def _when_landing(send: Callable[[], bytes | None]) -> Callable[[], bytes | None]:
    return send


def _landed(job: Job) -> Job:
    return job


def _taken(_public_key: str, _message: bytes, _signature: bytes) -> bool:
    return True


@dataclass(slots=True, kw_only=True)
class Pipeline:
    archive: Archive
    now: Clock
    formats: Mapping[str, Format]
    profile: Mapping[str, str]
    policy: policies.Policy
    signer: Callable[[], Signer]
    """Asked for at the first signature, so that reading and checking need no passphrase."""
    transport: Transport
    receiver: Receiver
    carrier: Carrier | None = None
    """Of `transport`, where `receiver` is a witness."""
    anchoring: Anchoring | None = None
    """None: nobody is to see the log."""
    destinations: Mapping[str, Destination] = field(default_factory=dict)
    """Of formats that do not go to `receiver` by `transport`; those that go to one receiver have the same object."""
    strays: Mapping[str, str] = field(default_factory=dict)
    """By format, where its documents would go, of those that the policy does not let go there."""
    tables: Tables = PACKAGED
    analyses: Settings = DEFAULT
    schedule: outbox.Settings = outbox.DEFAULT
    draw: Callable[[], float] = _half
    """Evenly from 0 up to 1."""
    mark: Callable[[], str] = _unmarked
    """A text that nobody can guess, of 32 hex digits; another each time."""
    key_index: Callable[[], str | None] = _any
    """`sk` of the key that signs now: what was signed with another is signed anew before it leaves. None: any will do.
    """
    watch: Watch = _silent
    gate: Gate = _open_gate
    """Asked before each fact of a document that goes on its way."""
    doubts: list[tuple[JobId, AgentError]] = field(default_factory=list)
    """Sends that failed or whose outcome is unknown, and answers that proved nothing: for whoever runs this to be told.
    """
    freed: deque[JobId] = field(default_factory=deque)
    """Documents that waited for another one, which has reached its end meanwhile: whoever runs this advances them."""
    _waiting: set[JobId] = field(default_factory=set)
    """Documents that wait for another of which nothing new is known."""
    _awaited: dict[JobId, set[JobId]] = field(default_factory=dict)
    """By the document that others wait for: these."""
    _known_until: int = 0
    """How many entries the log had when it was last looked for what is new."""
    _breakers: dict[str, outbox.Breaker] = field(default_factory=dict)
    """By format, empty for those that go to `receiver`; made of the log when they are first asked for."""
    _names: dict[JobId, dict[str, frozenset[str]]] = field(default_factory=dict)
    _lists: dict[JobId, tuple[ListRead, ...]] = field(default_factory=dict)
    """Of runs that have ended."""
    _held: list[tuple[JobId, Fact]] | None = None
    """Facts that are not durable yet, so that nobody may hear of them; None where each is as it is appended."""
    _erps: dict[JobId, str] = field(default_factory=dict)
    """By run."""
    _left: tuple[date, Counter[str]] | None = None
    """How many documents left on this day, by format."""
    _read_by: dict[JobId, JobId] = field(default_factory=dict)
    """The run of this process that read a document, which may be known from an earlier one with worse lists."""
    _papers: dict[tuple[str, str, str], cases.Paper] = field(default_factory=dict)
    """By format, ERP and record: the newest version of every document."""
    _states: dict[JobId, State] = field(default_factory=dict)
    _unfiled: list[JobId] | None = None
    """Documents that are not among these yet; None: all."""
    _known: Analysis | None = None
    """Of all documents; made when it is first asked for, and again after a document was read."""
    _settled: set[JobId] = field(default_factory=set)
    """Cases of `_known`, by their first document, of which every document has been checked."""

    # --- harvest ----------------------------------------------------------------------------------------------------

    def harvest(self, id: JobId, plan: Plan, browser: Browser) -> Harvest:
        """Read the ERP and make a job of every document. May be repeated after a kill: what is known stays one job.

        Raises:
            NeedsPerson: the run is parked, and goes on when it is repeated; or the account rests, and nothing began.
            AgentError: the ERP cannot be reached or entered; what was read before stays.
        """
        self._admit(plan)
        self._lists.pop(id, None)
        run = _Run(self, id, self.archive.length(id))
        found = self._taken_up(id, plan)
        today = self.now().astimezone(mapping.CHINA_TIME).date()
        run.append(self._started(plan))
        format = self.formats[plan.recipe.format]
        reader = mapping.Reader(recipe=plan.recipe, format=format, lookups=plan.lookups, profile=self.profile)
        sightings = browser.harvest(plan.recipe, plan.parameters, frozenset(found.done))
        stopped: AgentError | None = None
        try:
            for sighting in sightings:
                self._see(run, sighting, reader, plan, found)
                self._between(plan)
                if plan.most_documents is not None and len(found.documents) >= plan.most_documents:
                    found.complete = False
                    break
        except AgentError as error:
            stopped = error
            found.complete = False
        finally:
            close = getattr(sightings, "close", None)
            if close is not None:
                close()
        if isinstance(stopped, NeedsPerson):
            self._park(run, stopped, plan, found)
            raise stopped
        if stopped is not None and stopped is not found.told:
            self._trouble(run, Trouble(where="run", error=stopped, page=None), found)
        found.complete &= found.faults == 0
        found.complete &= all(completeness.of(read) is not Completeness.UNPROVED for read in found.lists)
        if found.complete and not plan.dry_run:
            before = incremental.mark(self.archive, plan.recipe, plan.parameters)
            reached = incremental.moved(plan.recipe, plan.parameters, before, found.newest, today)
            if reached is not None:
                run.append(reached)
        run.append(RunEnded(complete=found.complete, documents=len(found.documents), faults=found.faults))
        if stopped is not None:
            raise stopped
        return found

    def _admit(self, plan: Plan) -> None:
        """Whether it may begin."""
        accounts.admit(self.archive, plan.recipe, plan.parameters)
        self._between(plan)
        self._allowed_by(plan.unanchored)

    def _between(self, plan: Plan) -> None:
        """Whether it may go on, and what is to be done meanwhile."""
        self._admit_hour(plan.recipe)
        self._admit_unanchored(plan.unanchored)

    def _allowed_by(self, unanchored: Unanchored | None) -> None:
        if unanchored is not None:
            self._append(anchor.JOB, self.archive.length(anchor.JOB), unanchored)

    def _admit_unanchored(self, allowed: Unanchored | None) -> None:
        """Raises PersonNeeded where no witness has seen the log for longer than the policy has it."""
        if self.anchoring is None:
            return
        self.keep_anchored()
        since, most = self.anchoring.unanchored_since(), self.policy.anchor.stop_hours
        if allowed is None and since is not None and self.now() - since >= timedelta(hours=most):
            raise PersonNeeded(
                "SA6080",
                N_("no witness has seen what was logged since {since}; the policy allows {hours} h"),
                outcome=Outcome.UNANCHORED,
                hint=N_("see to it that a witness can be asked; `--without-anchor REASON` does it all the same"),
                since=f"{mapping.local(since):%Y-%m-%d %H:%M}",
                hours=most,
            )

    def _admit_hour(self, recipe: Recipe) -> None:
        """Raises PersonNeeded where the policy does not let the ERP be read now."""
        erp = accounts.erp_of(recipe)
        spans, here = self.policy.hours.get(erp), mapping.local(self.now())
        if spans is not None and not hours.is_open(spans, here):
            opens = hours.opens(spans, here)
            raise PersonNeeded(
                "SA6032",
                N_("the policy does not allow {erp} to be read now, at {now}, but: {hours}"),
                outcome=Outcome.HOURS,
                hint=N_("run again from {next} on, in the time of China; what was read stays"),
                erp=erp,
                now=f"{here:%Y-%m-%d %H:%M}",
                hours=", ".join(spans) or "-",
                next="-" if opens is None else f"{opens:%Y-%m-%d %H:%M}",
            )

    def _see(self, run: _Run, sighting: Sighting, reader: mapping.Reader, plan: Plan, found: Harvest) -> None:
        match sighting:
            case Page() as page:
                self._page(run, page, reader, plan, found)
            case File() as file:
                fetched = self._fetched(file)
                run.append(fetched)
                if file.media == "pdf":
                    reader.attach(file.name, fetched.body)
            case Refused() as refused:
                found.refused += 1
                run.append(refused)
            case ListRead() as read:
                found.lists.append(read)
                run.append(read)
            case Done(place=place):
                found.done.add(place)
            case (Relogin() | Anew()) as again:
                reader.forget()
                found.lists = found.lists[: len(found.lists) - again.void_lists]
                run.append(again)
            case Trouble() as trouble:
                reader.forget()
                self._trouble(run, trouble, found)
            case Look() as look:
                reader.forget()
                self._looked(run, look)
            case unknown:
                assert_never(unknown)

    def _looked(self, run: _Run, look: Look) -> None:
        page: Digest | None = None
        if look.page is not None:
            snapshot = self._snapshot(look.page)
            run.append(snapshot)
            page = snapshot.page
        run.append(replace(look.fact, page=page))

    def _started(self, plan: Plan) -> RunStarted:
        return RunStarted(
            recipe_id=plan.recipe.recipe,
            recipe_version=plan.recipe.version,
            recipe=self.archive.put(plan.recipe_source),
            policy=self.archive.put(plan.policy_source),
            parameters=incremental.shown(plan.recipe, plan.parameters),
            started_by=plan.started_by,
            agent=plan.agent,
            dry_run=plan.dry_run,
            edition=plan.edition,
        )

    def _page(self, run: _Run, page: Page, reader: mapping.Reader, plan: Plan, found: Harvest) -> None:
        snapshot = self._snapshot(page)
        run.append(snapshot)
        reader.check_erp(page.name, page.frozen, snapshot.page)
        try:
            if reader.is_source(page.name):
                reader.learn(page.name, page.frozen, snapshot.page)
            if reader.is_beside(page.name):
                reader.lay_beside(page.name, page.frozen, snapshot.page)
            if page.name == plan.recipe.document.page:
                id, draft = self._draft(run.id, reader, page, snapshot, plan)
                if id in found.documents:
                    found.complete = False  # one record read twice: another may have been passed over
                found.documents[id] = draft
                self._read_by[id] = run.id
                if plan.recipe.since is not None:
                    found.newest = self._newest(found.newest, draft, plan.recipe.since.field)
        except (PageError, Unreadable) as error:
            told = error if isinstance(error, PageError) else PageError("SA2302", error.text, **error.values_seen)
            found.faults += 1
            run.append(_fault(f"page {page.name}", told, snapshot.page))

    def _newest(self, known: date | None, draft: Draft, field_id: str) -> date | None:
        try:
            text = json.loads(self.archive.get(draft.document))["header"].get(field_id)
        except AgentError as error:
            if not _is_gone(error):
                raise
            text = None  # it was known, and erased since: the next run begins no later for that
        found = [day for day in (known, date.fromisoformat(text) if text else None) if day is not None]
        return max(found, default=None)

    def _snapshot(self, page: Page) -> Snapshot:
        return Snapshot(
            name=page.name,
            url=page.url,
            taken_at=self.now(),
            page=self.archive.put(page.frozen, salted=True),
            image=self.archive.put(page.image, salted=True) if page.image is not None else None,
        )

    def _fetched(self, file: File) -> Fetched:
        return Fetched(
            name=file.name,
            url=file.url,
            taken_at=self.now(),
            media=file.media,
            body=self.archive.put(file.body),  # by this the tables that were read from it name it
            size_bytes=len(file.body),
            file_name=file.file_name,
        )

    def _trouble(self, run: _Run, trouble: Trouble, found: Harvest) -> None:
        page: Digest | None = None
        if trouble.page is not None:
            snapshot = self._snapshot(trouble.page)
            run.append(snapshot)
            page = snapshot.page
        found.told, found.told_where, found.told_on = trouble.error, trouble.where, page
        if isinstance(trouble.error, NeedsPerson):
            return  # the harvest ends with it, and the run is parked
        found.faults += 1
        run.append(_fault(trouble.where, trouble.error, page))

    # --- files ------------------------------------------------------------------------------------------------------

    def take_in(self, id: JobId, intake: Intake) -> Harvest:
        """Make a job of every document of a file: of all of them or of none. The same file again gives the same jobs.

        Raises:
            PageError: a document has another version, and whether that arrived is not known.
            PersonNeeded: no witness has seen the log for too long.
        """
        self._admit_unanchored(intake.unanchored)
        format, body = intake.format, canonical.digest(intake.body)
        readings = list(intake.readings(body))
        for reading in readings:  # the receiver is asked before anything is written
            for version in self._versions(format.name, mapping.business_key(reading, format), reading.record):
                self._accepted(version)
        found = Harvest()
        run = _Run(self, id, self.archive.length(id))
        with self._at_once():
            self._allowed_by(intake.unanchored)
            self._log_file(run, intake)
            stamp = mapping.Stamp(page=body, taken_at=self.now(), reported_at=self.now(), replaces=None, operator=None)
            for reading in readings:
                document, draft = self._drafted(id, reading, format, intake, stamp)
                found.documents[document] = draft
                self._read_by[document] = id
            run.append(RunEnded(complete=True, documents=len(found.documents), faults=0))
        return found

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        """All facts that are appended within, or none of them."""
        self._held = []
        try:
            with self.archive.together():
                yield
            told, self._held = self._held, None
        finally:
            self._held = None
        for job, fact in told:
            self.watch(job, fact)

    def _log_file(self, run: _Run, intake: Intake) -> None:
        run.append(
            RunStarted(
                recipe_id=intake.recipe,
                recipe_version=intake.version,
                recipe=self.archive.put(canonical.dumps(json_schema(intake.format))),
                policy=self.archive.put(intake.policy_source),
                parameters={"file": intake.file_name},
                started_by=intake.started_by,
                agent=intake.agent,
                dry_run=False,
            )
        )
        run.append(
            Fetched(
                name="import",
                url="",
                taken_at=self.now(),
                media=intake.media,
                body=self.archive.put(intake.body),
                size_bytes=len(intake.body),
                file_name=intake.file_name,
            )
        )
        for name, rows in intake.rows.items():
            # The bytes are at rest, so that any look at them shows the same rows.
            evidence = completeness.Evidence(
                harvested=rows, declared=rows, declared_after=rows, keys=rows, ended=True, recounted=rows, same=True
            )
            list_read = ListRead(
                name=name, declared=rows, harvested=rows, pages=1, certificate=completeness.certificate(evidence)
            )
            run.append(list_read)

    # --- waiting for a person ---------------------------------------------------------------------------------------

    def _park(self, run: _Run, error: NeedsPerson, plan: Plan, found: Harvest) -> None:
        """The run waits. What it has read is kept, so that it goes on at the same record."""
        outcome = error.outcome if isinstance(error, PersonNeeded) else Outcome.NO_SECRET
        if outcome.stops_account:
            # Logged before the run is parked: if we die in between, the account rests all the same.
            job = accounts.job_id(accounts.erp_of(plan.recipe))
            account = accounts.account(plan.recipe, plan.parameters)
            self._append(job, self.archive.length(job), AccountStopped(account=account, outcome=outcome, run=run.id))
        done = {"places": sorted(found.done), "documents": list(found.documents)}
        run.append(
            Parked(
                outcome=outcome,
                where=found.told_where if found.told is error else "run",
                page=found.told_on if found.told is error else None,
                code=error.code,
                text=error.text,
                values={k: str(v) for k, v in error.values.items()},
                parked_at=self.now(),
                done=self.archive.put(canonical.dumps(done)) if found.done else None,
                hint=error.hint,
            )
        )

    def _taken_up(self, id: JobId, plan: Plan) -> Harvest:
        """What a run that was parked had read; nothing if another recipe, or too much time, lies between."""
        found = Harvest()
        job = self.archive.job(id)
        if not isinstance(job.last, Parked) or job.last.done is None:
            return found
        began = next(fact for fact in reversed(job.facts) if isinstance(fact, RunStarted))
        now = self._started(plan)
        alike = (began.recipe, began.parameters, began.agent) == (now.recipe, now.parameters, now.agent)
        if not alike or self.now() - job.last.parked_at > FRESH:
            return found
        kept = json.loads(self.archive.get(job.last.done))
        found.done = set(kept["places"])
        for document in map(JobId, kept["documents"]):
            found.documents[document] = draft = _draft_of(self.archive.job(document))
            self._read_by[document] = id
            if plan.recipe.since is not None:
                found.newest = self._newest(found.newest, draft, plan.recipe.since.field)
        return found

    def _draft(
        self, run: JobId, reader: mapping.Reader, page: Page, snapshot: Snapshot, plan: Plan
    ) -> tuple[JobId, Draft]:
        reading = reader.read(page.frozen, snapshot.page)
        accounts = [plan.parameters[n] for n, p in plan.recipe.parameters.items() if p.type == "account"]
        stamp = mapping.Stamp(
            page=snapshot.page,
            taken_at=snapshot.taken_at,
            reported_at=self.now(),
            replaces=None,
            operator=canonical.sm3(accounts[0].encode()).hex() if accounts else None,
        )
        return self._drafted(run, reading, reader.format, plan.recipe, stamp)

    def _drafted(
        self, run: JobId, reading: mapping.Reading, format: Format, maker: mapping.Maker, stamp: mapping.Stamp
    ) -> tuple[JobId, Draft]:
        """The job of a reading, new or known. `stamp`: what it replaces is found out here.

        What may not leave is left out first: not even the job's number, which the receiver sees, is made with it.
        """
        rule = self.policy.fields.get(format.name)
        reading = leaving.read(reading, format, rule)
        key = mapping.business_key(reading, format)
        versions = self._versions(format.name, key, reading.record)
        id = self._version(mapping.job_id(reading, format), versions)
        if id in versions:
            draft = _draft_of(self.archive.job(id))
        else:
            accepted = [version for version in versions if self._accepted(version)]
            # What the receiver was told to delete, it has no more.
            has = accepted[-1] if accepted and not _withdraws(self.archive.job(accepted[-1])) else None
            stamp = replace(stamp, replaces=None if has is None else _told(self.archive.job(has)))
            document = mapping.document(reading, format, maker, self.profile, id, stamp)
            document = leaving.narrowed(document, format, rule)
            data = encode(document, format)
            draft = Draft(
                run=run,
                format=format.name,
                key=key,
                record=reading.record,
                document=self.archive.put(data),
                fields_root=self.archive.commit(_fields(data, format)),
                provenance=self.archive.put(canonical.dumps(reading.origins)),
                page=stamp.page,
                unread=reading.unread,
                replaces=has,
            )
            self._append(id, 0, draft)
            if run in self._names:
                _note_names(self._names[run], document.header)
        # A crash before this leaves older versions open: `advance` stops them as well, and so does the next reading.
        for version in versions:
            self._supersede(version)
        return id, draft

    def _version(self, content: JobId, versions: list[JobId]) -> JobId:
        """The job of this content if it was read now: the newest version, or one to come.

        What comes back after something else was read is a new version too: the receiver has to hear of it once more.
        What was withdrawn, or is to be, stays so while the record stays what it was: the ERP still shows it.
        """
        read = [id for id in versions if not _withdraws(self.archive.job(id))]
        last = self.archive.job(versions[-1]) if versions else None
        if last is not None and _withdraws(last) and not _came_to_nothing(last):
            of = _next_version(content, read)
            return last.id if of == _draft_of(last).replaces else of
        return _next_version(content, read)

    def _versions(self, format: str, key: str, record: str) -> list[JobId]:
        """All that was ever read of one record under this number, oldest first."""
        found = self.archive.documents(format=format, key=key)
        return [id for id in found if _draft_of(self.archive.job(id)).record == record]

    def _accepted(self, id: JobId) -> bool:
        """Whether the receiver has this version, so that the next one is a change.

        Raises:
            PageError: nobody knows, and the receiver cannot be asked.
        """
        job = self._asked(self.archive.job(id))
        if isinstance(job.last, Delivered):
            raise PageError(
                "SA6008",
                N_("{id} was changed in the ERP, and the receiver has not answered to its earlier version yet"),
                hint=N_("`scraper-agent send` asks for the answer; then run again"),
                id=id,
            )
        if not isinstance(job.last, Receipt) and self._may_be_there(job):
            raise PageError(
                "SA6006",
                N_("{id} was changed in the ERP, and whether its earlier version arrived is not known"),
                hint=N_("`scraper-agent send` asks for the answer; then run again"),
                id=id,
            )
        return isinstance(job.last, Receipt) and job.last.accepted

    def _asked(self, job: Job) -> Job:
        """The job with what the receiver says of it, if that is open."""
        if isinstance(job.last, Attempt | Delivered) and (fact := self._ask(job, job.last)) is not None:
            return self._with(job, fact)
        return job

    def _may_be_there(self, job: Job) -> bool:
        left = any(isinstance(fact, Attempt) for fact in job.facts)
        return left and outbox.may_have_it(job.facts, repeat=self.destination(job.id).transport.repeat)

    def _supersede(self, id: JobId) -> None:
        """Stop a version that a newer one has taken the place of, unless it has left."""
        job = self.archive.job(id)
        match job.last:
            case (Draft() | Verdict() | Approval(granted=True) | Envelope() | Retry() | DeadLetter()) | (
                Endorsed() | Held() | Released() | Excluded()
            ):
                if (stopped := self._superseded(job)) is not None:
                    self._with(job, stopped)
            case _:
                pass

    # --- advance ----------------------------------------------------------------------------------------------------

    def check(self, id: JobId) -> Job:
        """Draft -> Verdict, and no further: what a dry run does. A job that waits is checked again."""
        job = self.archive.job(id)
        match job.last:
            case Draft() | Released() | Excluded(kept_back=False):
                return self._with(job, self._verdict(job))
            case Verdict() | Endorsed() if again := self._rechecked(job):
                return self._with(job, again)
            case _:
                return job

    def advance(self, id: JobId, *, send: bool = True) -> Job:
        """Take the job as far as it goes now: to its end, to a person, or to where the receiver cannot be reached.

        Without `send`, to where it would leave or the receiver would be asked.

        Raises:
            NeedsPerson: the signer needs a passphrase or PIN that nobody gives.
        """
        return self.depart(id, send=send)()

    def depart(
        self, id: JobId, *, send: bool = True, post: Post = _when_landing, land: Callable[[], object] = _nothing
    ) -> Callable[[], Job]:
        """As `advance`, up to where the receiver's answer is waited for; the call that is returned lands the job.

        `post` begins to send, so that the next job can be checked and signed meanwhile; `land` takes the answer to
        what was posted before, should this one have to wait at the gate.

        Raises:
            NeedsPerson: as `advance`.
        """
        job = self.archive.job(id)
        fresh = False
        while True:
            self.gate(land)
            fact = self._next(job, fresh=fresh, send=send)
            if fact is None:
                return partial(_landed, job)
            job, fresh = self._with(job, fact), True
            if isinstance(fact, Attempt):
                # The attempt is logged: if we die now, the next run finds it and asks the receiver first.
                transport = self.destination(id).transport
                sent = post(partial(transport.send, self.archive.get(fact.envelope), key=self.key(job)))
                return partial(self._land, job, fact, sent)

    def _land(self, job: Job, attempt: Attempt, answer: Callable[[], bytes | None]) -> Job:
        fact = self._answered(job, attempt, answer)
        job = self._witnessed_with(job, fact)
        if fact is None:
            return job
        # A crash before this leaves it waiting: `_departure` gives it up as well.
        return job if (dead := self._given_up(job)) is None else self._with(job, dead)

    def _next(self, job: Job, *, fresh: bool, send: bool) -> Fact | None:
        """The fact that follows, or None. `fresh`: this call, not an earlier process, logged the last fact."""
        match job.last:
            case Approval(granted=False) | DeadLetter() | Receipt() | Failure():
                return None
            case Held() | Excluded(kept_back=True):
                return self._superseded(job)
            case (Attempt() | Delivered()) as left:
                return self._ask(job, left) if send else None
            case (
                None
                | RunStarted()
                | Snapshot()
                | Fetched()
                | Refused()
                | ListRead()
                | Fault()
                | (SessionChecked() | Relogin() | Anew())
                | (Reached() | Parked() | RunEnded() | AccountStopped() | Cleared() | KeyChanged())
                | (Paused() | Halted() | Resumed())
                | (SignedIn() | SignedOut() | SignInRefused() | Denied() | TokenChanged() | RunOrdered())
                | (RecipeProposed() | RecipeDecided())
                | (PolicyAdopted() | Erased() | Exported())
                | (Anchored() | Unanchored() | Enrolled())
            ):
                raise ValueError(f"{job.id} is not a document")
            case (
                Draft() | Verdict() | Approval() | Envelope() | Retry() | Endorsed() | Released() | Excluded()
            ) as here:
                return self._superseded(job) or self._onward(job, here, fresh=fresh, send=send)
            case unknown:
                assert_never(unknown)

    def _onward(
        self,
        job: Job,
        last: Draft | Verdict | Approval | Envelope | Retry | Endorsed | Released | Excluded,
        *,
        fresh: bool,
        send: bool,
    ) -> Fact | None:
        """The fact that follows if this is the newest version of its record."""
        match last:
            case Draft() | Released() | Excluded():
                return self._verdict(job)
            case Verdict() | Endorsed():
                again = None if fresh else self._rechecked(job)
                verdict = _verdict_of(job)
                return again or (None if verdict.blocked else self._decision(job, verdict))
            case Approval() | Envelope() | Retry() if self._may_not_leave(job):
                return self._verdict(job)
            case Approval() as granted:
                self._refuse_forbidden(job)
                return None if self._full(job) else self._sign(job, granted.document)
            case Envelope() | Retry():
                if not send:
                    return None
                self._refuse_forbidden(job)
                return self._departure(job, last, fresh=fresh)
            case unknown:
                assert_never(unknown)

    # --- what people decide -----------------------------------------------------------------------------------------

    def decide(self, id: JobId, verdict_of_person: Callable[[Verdict], Approval]) -> Job:
        """Append a person's decision on a job that waits for one; of a yes where two have to, the first is an Endorsed.

        Raises:
            BusinessError: as `approval.by_person` and `approval.counted`, or the job does not wait.
        """
        job = self.archive.job(id)
        if not isinstance(job.last, Verdict | Endorsed):
            raise approval.not_waiting(id, type(job.last).__name__ if job.last else None)
        said = verdict_of_person(_verdict_of(job))
        endorsed = job.last if isinstance(job.last, Endorsed) else None
        return self._with(job, approval.counted(self.policy, _draft_of(job).format, endorsed, said))

    def batch(self, run: JobId | None = None) -> approval.Batch:
        """What waits for nothing but the approval of its run; None: of all runs."""
        wanted = {name for name in self.formats if approval.rule(self.policy, name).rule == "per_batch"}
        ids = self.archive.in_state(State.HELD) if run is None else self.archive.documents(run=run)
        waiting = (self.archive.job(id) for id in ids if _format_of(id) in wanted)
        return approval.Batch(
            documents=tuple((job.id, in_force(job)) for job in waiting if self._only_for_its_batch(job))
        )

    def _only_for_its_batch(self, job: Job) -> bool:
        verdict = job.last
        if not isinstance(verdict, Verdict) or verdict.blocked or _withdraws(job) or self._superseded(job):
            return False
        if self._lists_hold(job) or self._case_holds(job) or self._people_hold(job):
            return False
        document = self.document(job)
        format = self.formats[document.format]
        total = mapping.amount(document, format)
        return not approval.reasons_to_decide_alone(self.policy, verdict, format.name, total, lines=len(document.lines))

    def decide_batch(self, batch: approval.Batch, *, shown: Digest, by: str, reason: str) -> list[Job]:
        """Approve each document of a batch: all of them or none. Where two people have to, this is one of them.

        Raises:
            BusinessError: another batch was shown, or as `decide` of one of them.
        """
        approval.same_batch(batch, shown)
        decided = []
        with self._at_once():
            self.archive.put(batch.body)
            for id, document in batch.documents:

                def yes(verdict: Verdict, document: Digest = document) -> Approval:
                    return replace(approval.by_person(verdict, shown=document, by=by, reason=reason), batch=shown)

                decided.append(self.decide(id, yes))
        return decided

    # --- what people are shown --------------------------------------------------------------------------------------

    def request(self, job: Job) -> tuple[bytes, bool]:
        """The envelope that carries the document, and whether it is signed; if not, its time and signature will differ.

        Raises:
            RequestInvalid: its receiver's profile cannot carry it.
        """
        document = in_force(job)
        for fact in reversed(job.facts):
            if isinstance(fact, Envelope) and fact.document == document and state(job) in _SIGNED:
                return self.archive.get(fact.envelope), True
        receiver = self.destination(job.id).receiver
        body, format, sk = self.archive.get(document), _draft_of(job).format, self.key_index() or "01"
        return (
            envelope.unsigned(body, format, self.key(job), receiver.ak, sk, self.now(), receiver.profile),
            False,
        )

    def sent_last(self, job: Job) -> Job | None:
        """The version of the record that the receiver has, or took last before this one; None if it never took any."""
        draft = _draft_of(job)
        if draft.replaces is not None:
            return self.archive.job(draft.replaces)
        versions = self._versions(draft.format, draft.key, draft.record)
        older = map(self.archive.job, reversed(versions[: versions.index(job.id)]))
        return next((each for each in older if state(each) is State.RECEIPTED), None)

    # --- holding back and leaving out -------------------------------------------------------------------------------

    def hold(self, id: JobId, by: str, reason: str) -> Job:
        """Keep back a document that has not left, until a person releases it. Its approval is void.

        Raises:
            BusinessError: no reason; it has left, or may have, or has an end; or there is a newer version.
        """
        job = self._deciding(id, reason)
        match job.last:
            case (Draft() | Verdict() | Approval(granted=True) | Envelope() | Retry() | DeadLetter()) | (
                Endorsed() | Released() | Excluded(kept_back=False)
            ) if not self._may_be_there(job):
                return self._with(job, Held(document=in_force(job), by=f"person:{by}", reason=reason))
            case _:
                raise BusinessError(
                    "SA6052",
                    N_("{id} is {state}, and cannot be held back"),
                    hint=N_("only what surely has not left can be"),
                    id=id,
                    state=state(job).value,
                )

    def release(self, id: JobId, by: str, reason: str = "") -> Job:
        """What a person kept back is checked anew; whatever approval it had before, it needs another.

        Raises:
            BusinessError: nobody keeps it back.
        """
        job = self.archive.job(id)
        if not job.facts:
            raise approval.not_waiting(id, None)
        if state(job) is not State.ON_HOLD:
            raise BusinessError("SA6053", N_("{id} is {state}; nobody holds it back"), id=id, state=state(job).value)
        self._with(job, Released(document=in_force(job), by=f"person:{by}", reason=reason))
        return self.check(id)  # a crash before this leaves it as one that was just read

    def exclude(self, id: JobId, fields: Sequence[str], by: str, reason: str) -> Job:
        """Leave these fields out of a document that has never left; then it is checked and approved anew.

        Raises:
            BusinessError: no reason; it has left once, or has an end; it has no such field; there is a newer version.
        """
        job = self._deciding(id, reason)
        never_left = not any(isinstance(fact, Attempt) for fact in job.facts)
        if not never_left or state(job) in _ENDED:
            raise BusinessError(
                "SA6057",
                N_("{id} is {state}, and no field can be left out of it"),
                hint=N_("only what has never left can be changed"),
                id=id,
                state=state(job).value,
            )
        document = self.document(job)
        format = self.formats[document.format]
        mark = self.mark()
        less, names = leaving.without(document, fields)
        if "recordGuid" in less.header:
            less = replace(less, header={**less.header, "recordGuid": mapping.record_guid(_marked(id, mark))})
        self._with(
            job,
            Excluded(
                document=self.archive.put(encode(less, format)),
                before=in_force(job),
                fields=names,
                by=f"person:{by}",
                reason=reason,
                mark=mark,
                kept_back=state(job) is State.ON_HOLD,
            ),
        )
        return self.check(id)  # a crash before this leaves it as one that was just read

    def _deciding(self, id: JobId, reason: str) -> Job:
        job = self.archive.job(id)
        if not job.facts:
            raise approval.not_waiting(id, None)
        approval.reasoned(reason)
        self._newest_version(job)
        return job

    # --- what the policy forbids, whoever approved ------------------------------------------------------------------

    def _forbidden(self, job: Job, document: Document | None = None) -> tuple[Finding, ...]:
        """Why the document must not leave. What withdraws another one may be of any day: it only takes back."""
        if not self.policy.windows and self.policy.documents is None:
            return ()
        draft, document = _draft_of(job), document or self.document(job)
        erp = self._erp_of(draft.run)
        policy = self.policy.model_copy(update={"windows": {}}) if draft.withdrawn_by else self.policy
        times = self.archive.times(job.id)
        read_on = mapping.local(times[0] if times else self.now()).date()
        return tuple(policies.forbids(policy, erp, draft.format, self._day(document, draft.format), read_on))

    def _day(self, document: Document, format: str) -> tuple[str, date | None]:
        """The field with the document's own date, and that date."""
        roles = self.analyses.documents.get(format)
        dated = (each.id for each in self.formats[format].header if each.type.holds in ("date", "datetime"))
        field = roles.date if roles is not None else next(dated, "")
        value = document.header.get(field)
        if isinstance(value, datetime):
            return field, value.date()
        return field, value if isinstance(value, date) else None

    def _erp_of(self, run: JobId) -> str:
        """The ERP that a run read, as the policy calls it."""
        if run not in self._erps:
            began = (fact for fact in self.archive.job(run).facts if isinstance(fact, RunStarted))
            first = next(began, None)
            self._erps[run] = "" if first is None else first.recipe_id.split("/")[0]
        return self._erps[run]

    def _refuse_forbidden(self, job: Job) -> None:
        """Raises BusinessError where the policy, which may have changed since it was approved, lets it not leave."""
        draft = _draft_of(job)
        to = self.strays.get(draft.format)
        if to is not None:
            raise BusinessError(
                "SA6033",
                N_("the policy does not let {format} go to {to}"),
                hint=N_("it may go to: {known}; that is said under `destinations` in the policy"),
                format=draft.format,
                to=to,
                known=", ".join(policies.destinations(self.policy, draft.format) or ()) or "-",
            )
        for finding in self._forbidden(job):
            raise BusinessError(
                "SA6034",
                N_("{id} does not leave: {reason}"),
                hint=N_("the policy is above the approval that it has; `scraper-agent job withdraw` stops it for good"),
                id=job.id,
                reason=messages.render(finding.text, finding.values),
            )

    def _forbidden_because(self, job: Job) -> Iterator[Reason]:
        draft = _draft_of(job)
        if draft.format in self.strays:
            told = {"format": draft.format, "to": self.strays[draft.format]}
            yield Reason(text=N_("the policy does not let {format} go to {to}"), values=told)
        for finding in self._forbidden(job):
            yield Reason(text=finding.text, values=finding.values)

    def _full(self, job: Job) -> Reason | None:
        """Why it does not leave before tomorrow; None for what has left before, and is only sent again."""
        if not self.policy.documents_per_day or any(isinstance(fact, Attempt) for fact in job.facts):
            return None
        return policies.full(self.policy, _draft_of(job).format, self._left_today())

    def _left_today(self) -> Counter[str]:
        """How many documents have left on this day of China, by format."""
        today = mapping.local(self.now()).date()
        if self._left is None or self._left[0] != today:
            midnight = datetime.combine(today, time.min, mapping.CHINA_TIME)
            self._left = today, Counter(map(_format_of, self.archive.departed(midnight)))
        return self._left[1]

    # --- the outbox -------------------------------------------------------------------------------------------------

    def destination(self, id: JobId) -> Destination:
        """Where this document goes."""
        found = self.destinations.get(_format_of(id))
        return found or Destination(receiver=self.receiver, transport=self.transport, carrier=self.carrier)

    def breaker(self, id: JobId) -> outbox.Breaker:
        """How the receiver of this document is. Another one that is away holds nothing of it."""
        return self._breaker_of(self._to(_format_of(id)))

    def _to(self, format: str) -> str:
        return format if format in self.destinations else ""

    def breakers(self) -> tuple[outbox.Breaker, ...]:
        """One for each receiver."""
        each = {id(breaker): breaker for breaker in map(self._breaker_of, ("", *self.destinations))}
        return tuple(each.values())

    def _breaker_of(self, format: str) -> outbox.Breaker:
        if format not in self._breakers:
            to = self.destinations.get(format)
            alike = {name for name in (*self.formats, *self.destinations) if self.destinations.get(name) is to}
            newest = self.archive.sends(outbox.REMEMBERED, alike if self.destinations else None)
            found = outbox.Breaker.of(newest, self.schedule)
            self._breakers.update(dict.fromkeys(alike if to else {""}, found))
        return self._breakers[format]

    def _departure(self, job: Job, last: Envelope | Retry, *, fresh: bool) -> Attempt | Envelope | DeadLetter | None:
        """The next attempt, or a new signature before it; None while it has to wait."""
        if (dead := self._given_up(job)) is not None:
            return dead
        now = self.now()
        if isinstance(last, Retry) and last.not_before is not None and now < last.not_before:
            return None
        if self.breaker(job.id).holds(now) or self._waits(job) or self._full(job):
            return None
        if not (fresh and isinstance(last, Envelope)) and self._stale(job):
            return self._sign(job, in_force(job))
        if not self._witnessed(job) or not self.breaker(job.id).admits(now):
            return None
        before = next((fact.number for fact in reversed(job.facts) if isinstance(fact, Attempt)), 0)
        return Attempt(envelope=last.envelope, number=before + 1)

    # --- witnesses --------------------------------------------------------------------------------------------------

    def _witnessed(self, job: Job) -> bool:
        """Whether a witness has what is about to leave, or gets it along with it."""
        if self.anchoring is None:
            return True
        sealed = self.archive.newest(job.id, Envelope.__name__)
        told = [] if sealed is None else self.anchoring.admit(sealed.index, self.destination(job.id).carrier)
        self.doubts += ((job.id, error) for error in told)
        return not told

    def _witnessed_with(self, job: Job, fact: Fact | None) -> Job:
        """Add the fact that came of an answer, and what the receiver said of the log, in one commit."""
        carrier = self.destination(job.id).carrier
        if self.anchoring is None or carrier is None or not carrier.answers:
            return job if fact is None else self._with(job, fact)
        contradicted: Contradicted | None = None
        with self._at_once():
            try:
                self.doubts += ((job.id, error) for error in self.anchoring.landed(carrier))
            except Contradicted as error:
                contradicted = error  # what came of the answer is logged all the same
            job = job if fact is None else self._with(job, fact)
        if contradicted is not None:
            raise contradicted
        return job

    def keep_anchored(self) -> None:
        """Now and then, as time goes by and facts come in.

        Raises:
            Contradicted: a witness knows another history of this log.
        """
        if self.anchoring is not None and self.anchoring.parties and self.anchoring.due():
            with suppress(NeedsPerson):  # it may be that nothing leaves; what does asks for the signer itself
                self.anchoring.anchor()  # who did not take it is told of with the documents that wait for it

    def _waits(self, job: Job) -> bool:
        """Whether another document has to be settled first; then it is noted which one."""
        first = self._behind(job)
        if first is None:
            first, reason = self._followed(job)
            if reason is None:
                self._waiting.discard(job.id)
                return False
        if first is not None and state(first) not in _ENDED:
            self._waiting.add(job.id)
            self._awaited.setdefault(first.id, set()).add(job.id)
        return True

    def still_waits(self, id: JobId) -> bool:
        """Whether this process knows that the document waits for another one of which nothing new is known."""
        return id in self._waiting

    def look_again(self) -> None:
        """Whoever waits for a document that got a fact since the last look, by whomever, may go on."""
        size = self.archive.size()
        for id in self.archive.changed(self._known_until) if self._waiting else ():
            self._waiting.difference_update(self._awaited.get(id, ()))
        self._known_until = size

    def held_formats(self) -> frozenset[str]:
        """Of which nothing can be sent or asked for before the time of its receiver comes."""
        now = self.now()
        names = {*self.formats, *self.destinations}
        return frozenset(name for name in names if self._breaker_of(self._to(name)).rests(now))

    def _behind(self, job: Job) -> Job | None:
        """An older version of the record that may be on its way: the receiver is to hear of them in order."""
        draft = _draft_of(job)
        versions = self._versions(draft.format, draft.key, draft.record)
        older = map(self.archive.job, versions[: versions.index(job.id)])
        waits = (each for each in older if not isinstance(each.last, Receipt) and self._may_be_there(each))
        return next(waits, None)

    def _followed(self, job: Job) -> tuple[Job | None, Reason | None]:
        """Of a document that follows others: the one that keeps it from leaving, as far as there is one, and why.

        First the document that it is about, then what was made before it of those that follow that one, in their order.
        """
        draft = _draft_of(job)
        first = outbox.FOLLOWS.get(draft.format)
        if first is None:
            return None, None
        number = draft.key.rpartition(" ")[0]
        about = map(self.archive.job, self.archive.documents(format=first, key=number))
        versions = [each for each in about if not _came_to_nothing(each)]
        if not versions:
            return None, Reason(text=N_("there is no {format} {key} here"), values={"format": first, "key": number})
        before: dict[str, Job] = {}
        earlier = True
        for each in map(self.archive.job, self.archive.documents(format=draft.format, key_begins=f"{number} ")):
            key = _draft_of(each).key
            earlier = earlier and key != draft.key
            if earlier or key in before:
                before[key] = each  # of several versions the newest
        for each in (versions[-1], *before.values()):
            told = {"format": _draft_of(each).format, "key": _draft_of(each).key, "state": state(each).value}
            if _withdraws(each):
                return each, Reason(text=N_("{format} {key} is withdrawn"), values=told)
            if state(each) is not State.RECEIPTED:
                text = N_("{format} {key} has to be accepted by the receiver before, and is {state}")
                return each, Reason(text=text, values=told)
            if each is not versions[-1] and _ends_it(told["key"]):
                return each, Reason(text=N_("nothing follows {format} {key}"), values=told)
        return None, None

    def _stale(self, job: Job) -> bool:
        """Whether the newest signature is older than the receiver takes, or of a key that is active no more."""
        at, signed = next(
            (at, fact)
            for at, fact in zip(reversed(self.archive.times(job.id)), reversed(job.facts), strict=True)
            if isinstance(fact, Envelope)
        )
        if self.key_index() not in (None, signed.key_index):
            return True
        return abs(self.now() - at) >= timedelta(seconds=self.schedule.resign_after_s)

    def _given_up(self, job: Job) -> DeadLetter | None:
        last = job.last
        if not isinstance(last, Retry) or last.by:
            return None
        if not outbox.given_up(job.facts, self.archive.times(job.id), self.now(), self.schedule):
            return None
        return DeadLetter(envelope=last.envelope, number=last.number, reason=last.reason)

    def resend(self, id: JobId, by: str, *, absent: bool = False) -> Job:
        """A person wants it sent again at once: what waits, and what was given up.

        `absent`: also what may have arrived, where only a person can find out and has found that it did not; and what
        was handed over and has no receipt.

        Raises:
            BusinessError: it is none of these.
        """
        job = self.archive.job(id)
        match job.last:
            case (Retry() | DeadLetter()) as last:
                pass
            case Attempt() as last if absent and self.destination(id).transport.repeat == "never":
                pass
            case Delivered() as last if absent:
                pass
            case None:
                raise approval.not_waiting(id, None)
            case _:
                raise BusinessError(
                    "SA6009",
                    N_("{id} is {state}, and is not sent again"),
                    hint=N_("only what waits to be resent and dead letters are; `scraper-agent jobs` lists them"),
                    id=id,
                    state=state(job).value,
                )
        self.breaker(id).answered()
        return self._with(
            job,
            Retry(
                envelope=last.envelope,
                number=last.number,
                reason=N_("a person wants it sent again"),
                cause="absent" if isinstance(last, Attempt | Delivered) else None,
                by=f"person:{by}",
            ),
        )

    # --- withdrawing ------------------------------------------------------------------------------------------------

    def withdraw(self, id: JobId, by: str, reason: str) -> Job:
        """Stop a document that has not left; of one that the receiver took, make a new version that withdraws it.

        That one is checked, waits for a person, is signed and sent like any. Returns the job that was stopped or made.

        Raises:
            BusinessError: no reason; or the document is not the newest version, has an end, may have arrived, or is of
                a format that cannot say so.
        """
        job = self.archive.job(id)
        if not job.facts:
            raise approval.not_waiting(id, None)
        if not reason.strip():
            raise BusinessError(
                "SA6010", N_("a document is withdrawn only with a reason"), hint=N_("add --reason TEXT")
            )
        self._newest_version(job)
        job = self._asked(job)
        match job.last:
            case Receipt(accepted=True) if not _withdraws(job):
                return self._withdrawal(job, by, reason)
            case Attempt() | Delivered() | Envelope() | Retry() | DeadLetter() if self._may_be_there(job):
                raise BusinessError(
                    "SA6012",
                    N_("whether {id} arrived is not known, so it can be neither stopped nor withdrawn yet"),
                    hint=N_("`scraper-agent send` asks for the answer"),
                    id=id,
                )
            case (Draft() | Verdict() | Approval(granted=True) | Envelope() | Retry() | DeadLetter()) | (
                Endorsed() | Held() | Released() | Excluded()
            ):
                return self._with(job, Failure(stage=_stage(job), message=f"withdrawn by person:{by}: {reason}"))
            case _:
                raise BusinessError(
                    "SA6013", N_("{id} is {state}: there is nothing to withdraw"), id=id, state=state(job).value
                )

    def _newest_version(self, job: Job) -> None:
        """Raises BusinessError: there is a newer one."""
        draft = _draft_of(job)
        versions = self._versions(draft.format, draft.key, draft.record)
        newest = [v for v in versions if v == job.id or not _came_to_nothing(self.archive.job(v))][-1]
        if newest != job.id:
            raise BusinessError("SA6011", N_("{id} has a newer version, {newest}"), id=job.id, newest=newest)

    def _withdrawal(self, job: Job, by: str, reason: str) -> Job:
        draft, document = _draft_of(job), self.document(job)
        format = self.formats[draft.format]
        versions = self._versions(draft.format, draft.key, draft.record)
        id = JobId(
            f"doc/{format.name}/{canonical.sm3(canonical.dumps([job.id, 'withdrawn', str(len(versions))])).hex()}"
        )
        made = mapping.withdrawal(document, format, _told(job), id, self.now())
        if made is None:
            raise BusinessError(
                "SA6014",
                N_("{format} has no field that says that a document is withdrawn"),
                hint=N_("tell the receiving side by telephone"),
                format=format.name,
            )
        data = encode(self._narrowed(made), format)
        self._append(
            id,
            0,
            replace(
                draft,
                document=self.archive.put(data),
                fields_root=self.archive.commit(_fields(data, format)),
                replaces=job.id,
                withdrawn_by=f"person:{by}",
                reason=reason,
            ),
        )
        return self.archive.job(id)

    # --- checking and deciding --------------------------------------------------------------------------------------

    def _verdict(self, job: Job) -> Verdict:
        return Verdict(
            document=in_force(job),
            findings=self._findings(job),
            tables=self.tables.behind(self.formats[_draft_of(job).format]),
        )

    def _rechecked(self, job: Job) -> Verdict | None:
        """The verdict as it is now, None if unchanged: another document may have taken the number, or given it up."""
        now = self._verdict(job)
        return None if now == _verdict_of(job) else now

    def _findings(self, job: Job) -> tuple[Finding, ...]:
        draft = _draft_of(job)
        siblings = map(self.archive.job, self.archive.documents(format=draft.format, key=draft.key))
        others = {_draft_of(job).record for job in siblings if not isinstance(job.last, Failure)}
        context = self.tables.context(tuple(sorted(others - {draft.record})), self._names_in(draft.run))
        document = self.document(job)
        failed = tuple(finding for finding in draft.unread if not leaving.left_out(job, finding.field))
        unread = {f.field for f in failed}
        # Of a field whose text was unreadable, "is missing" would only say again what is already said.
        found = self.formats[draft.format].check(document, context)
        checked = tuple(f for f in found if f.field not in unread)
        forbidden = (*self._not_to_leave(document), *self._forbidden(job, document))
        return (*failed, *checked, *forbidden, *self.analysis().findings(job.id))

    def _not_to_leave(self, document: Document) -> Iterator[Finding]:
        return leaving.findings(document, self.formats[document.format], self.policy.fields.get(document.format))

    def _may_not_leave(self, job: Job) -> bool:
        """Whether the policy forbids since it was approved what it holds, and it can still be kept here."""
        if _draft_of(job).format not in self.policy.fields or self._may_be_there(job):
            return False
        return any(True for _ in self._not_to_leave(self.document(job)))

    def _narrowed(self, document: Document) -> Document:
        return leaving.narrowed(document, self.formats[document.format], self.policy.fields.get(document.format))

    def analysis(self) -> Analysis:
        """Every document against all others, as they are known now."""
        if self._known is None:
            for id in self.archive.documents() if self._unfiled is None else self._unfiled:
                job = self.archive.job(id)
                draft = _draft_of(job)
                try:
                    document = self.document(job)
                except AgentError:
                    continue  # its format is another now, or its bytes are gone: nothing can be compared with it
                # In the order of the log, so that the newest version of a record is what stays.
                paper = (draft.format, str(document.header.get("erpSystemCode")), draft.record)
                if not _withdraws(job):
                    self._papers[paper] = cases.Paper(id=id, key=draft.key, document=document)
                elif not _came_to_nothing(job):
                    self._papers.pop(paper, None)
                self._states[id] = state(job)
            self._unfiled = []
            settings = self.analyses.raised(self.policy.severities)
            times = Times(now=lambda: mapping.local(self.now()), accepted=self.accepted_at)
            self._known = Analysis(Book(self._papers.values(), self._states, settings), times)
            self._settled.clear()
        return self._known

    def accepted_at(self, id: JobId) -> datetime | None:
        """When the receiver's receipt for it was logged, in local time; None if it has not accepted it."""
        job = self.archive.job(id)
        accepted = isinstance(job.last, Receipt) and job.last.accepted
        return mapping.local(self.archive.times(id)[-1]) if accepted else None

    def companions(self, ids: Iterable[JobId]) -> list[JobId]:
        """Documents that wait, or are blocked, in the cases of these: what was read may have changed that."""
        book = self.analysis().book
        given = set(ids)
        touched = {case.papers[0].id: case for id in given if (case := book.case(id)) is not None}
        found = [paper.id for case in touched.values() for paper in case.papers if paper.id not in given]
        return [id for id in found if book.states[id] in (State.HELD, State.BLOCKED)]

    def _names_in(self, run: JobId) -> Mapping[str, frozenset[str]]:
        """For each unified social credit code in the run's documents, the names beside it; read once, then kept up."""
        if run not in self._names:
            names: dict[str, frozenset[str]] = {}
            for id in self.archive.documents(run=run):
                try:
                    _note_names(names, json.loads(self.archive.get(in_force(self.archive.job(id))))["header"])
                except AgentError as error:
                    if not _is_gone(error):
                        raise
            self._names[run] = names
        return self._names[run]

    def _superseded(self, job: Job) -> Failure | None:
        """A newer version of the record has been read: this one must not leave any more."""
        if self._may_be_there(job):
            return None
        draft = _draft_of(job)
        newest = self._versions(draft.format, draft.key, draft.record)[-1]
        if newest == job.id:
            return None
        return Failure(stage=_stage(job), message=f"superseded by {newest}")

    def document(self, job: Job) -> Document:
        """What the job is about.

        Raises:
            BusinessError: its format is no longer defined as it was when it was read.
        """
        draft = _draft_of(job)
        try:
            return decode(self.formats[draft.format], self.archive.get(in_force(job)))
        except (KeyError, ValueError) as error:
            raise BusinessError(
                "SA6007",
                N_("{id} was read when the format {format} was defined otherwise: {reason}"),
                hint=N_("put the old definition back, or change the record in the ERP so that it is read anew"),
                id=job.id,
                format=draft.format,
                reason=str(error),
            ) from error

    def _decision(self, job: Job, verdict: Verdict) -> Approval | None:
        if _withdraws(job):
            return None
        document = self.document(job)
        format = self.formats[document.format]
        if self._lists_hold(job) or self._people_hold(job):
            return None
        if approval.waits_for_case(self.policy, format.name):
            self._settle(job.id)
            if self._case_holds(job):
                return None
        total = mapping.amount(document, format)
        return approval.decide(self.policy, verdict, format.name, total, lines=len(document.lines))

    def held_because(self, job: Job) -> tuple[tuple[str, Mapping[str, str]], ...]:
        """Why the policy left this job to a person, or what has to be accepted before: templates and their values."""
        if isinstance(job.last, Approval | Envelope | Retry) and state(job) is not State.DECLINED:
            reasons = [self._full(job), *self._forbidden_because(job)]
            if not isinstance(job.last, Approval):
                reasons.append(self._followed(job)[1])
            return tuple((each.text, each.values) for each in reasons if each is not None)
        if state(job) is State.ON_HOLD:
            return self._kept_back(job)
        if isinstance(job.last, Endorsed):
            told = {"name": _name(job.last.by), "reason": job.last.reason}
            return ((N_("{name} has approved it, a second person has to: {reason}"), told),)
        if not isinstance(job.last, Verdict):
            return ()
        if _withdraws(job):
            return ((N_("it withdraws what the receiver has: {reason}"), {"reason": _draft_of(job).reason}),)
        document = self.document(job)
        format = self.formats[document.format]
        total = mapping.amount(document, format)
        limits = approval.reasons_to_hold(self.policy, job.last, format.name, total, lines=len(document.lines))
        return (*self._lists_hold(job), *self._case_holds(job), *self._people_hold(job), *limits)

    def _people_hold(self, job: Job) -> approval.Reasons:
        """What a person did to it, or to its earlier version, that the policy alone does not set aside."""
        changed = [
            (
                N_("{name} left out {fields}: {reason}"),
                {"name": _name(fact.by), "fields": ", ".join(fact.fields), "reason": fact.reason},
            )
            for fact in job.facts
            if isinstance(fact, Excluded)
        ]
        return (*changed, *self._kept_back_before(job))

    def _kept_back_before(self, job: Job) -> approval.Reasons:
        """A change in the ERP does not release what a person kept back."""
        draft = _draft_of(job)
        if self.archive.documents(format=draft.format, key=draft.key) == [job.id]:
            return ()  # as nearly always
        versions = self._versions(draft.format, draft.key, draft.record)
        for earlier in map(self.archive.job, reversed(versions[: versions.index(job.id)])):
            if len(earlier.facts) > 1 and state(Job(id=earlier.id, facts=earlier.facts[:-1])) is State.ON_HOLD:
                return self._kept_back(earlier)
            if any(isinstance(fact, Approval) for fact in earlier.facts):
                return ()
        return ()

    def _kept_back(self, job: Job) -> approval.Reasons:
        held = next(fact for fact in reversed(job.facts) if isinstance(fact, Held))
        told = {"name": _name(held.by), "reason": held.reason}
        if state(job) is State.ON_HOLD:
            return ((N_("{name} keeps it back: {reason}"), told),)
        return ((N_("{name} kept back its earlier version: {reason}"), told),)

    def _settle(self, id: JobId) -> None:
        """Check the other documents of the case: one that turns out to be blocked does not complete it."""
        book = self.analysis().book
        case = book.case(id)
        if case is None or case.papers[0].id in self._settled:
            return
        self._settled.add(case.papers[0].id)
        for paper in case.all:
            if book.states[paper.id] is State.READ:
                self.check(paper.id)

    def _case_holds(self, job: Job) -> tuple[tuple[str, Mapping[str, str]], ...]:
        if not approval.waits_for_case(self.policy, _draft_of(job).format):
            return ()
        book = self.analysis().book
        case = book.case(job.id)
        if case is None:
            return ()
        return approval.case_to_hold(case.name, cases.missing(case, book.states, book.settings.cases))

    def _lists_hold(self, job: Job) -> tuple[tuple[str, Mapping[str, str]], ...]:
        """Lists are logged after the drafts they led to, so they are asked for when a document is to leave."""
        return approval.lists_to_hold(self.policy, self._lists_behind(job))

    def lists(self, job: Job) -> tuple[ListRead, ...]:
        """The lists of the run that read the document, with their certificates."""
        return self._lists_behind(job) or ()

    def _lists_behind(self, job: Job) -> tuple[ListRead, ...] | None:
        run = self._read_by.get(job.id, _draft_of(job).run)
        if run not in self._lists and (lists := _lists_of(self.archive.job(run))) is not None:
            self._lists[run] = lists
        return self._lists.get(run)

    def _sign(self, job: Job, document: Digest) -> Envelope:
        signer, receiver = self.signer(), self.destination(job.id).receiver
        body = self.archive.get(document)  # the very bytes that were approved
        sealed = envelope.build(
            body, _draft_of(job).format, self.key(job), receiver.ak, signer, self.now(), receiver.profile
        )
        return Envelope(
            document=document,
            envelope=self.archive.put(sealed),
            key_index=signer.key_index,
            profile=receiver.profile.name,
        )

    def key(self, job: Job) -> str:
        """The idempotency key: the same for every attempt, even from a queue that was rebuilt."""
        draft, told = _draft_of(job), _told(job)
        own = told == job.id
        content = Digest(f"sm3:{job.id.rsplit('/', 1)[-1]}") if own else canonical.digest(told.encode())
        return envelope.idempotency_key(self.destination(job.id).receiver.ak, draft.format, draft.key, content)

    def _answered(
        self, job: Job, attempt: Attempt, answer: Callable[[], bytes | None]
    ) -> Delivered | Receipt | Retry | None:
        breaker = self.breaker(job.id)
        try:
            said = answer()
        except SendRefused as error:
            breaker.answered()
            return self._retry(job, attempt, error, "refused", _tries(job))
        except SendFailed as error:
            # A destination that is away is tried more and more seldom, whichever document is the one that tries it.
            retry = self._retry(job, attempt, error, "away", breaker.failures + 1)
            breaker.failed(retry.not_before or self.now())
            return retry
        except SendUnknown as error:
            self.doubts.append((job.id, error))
            self._silent(job.id)
            return None  # the next run asks
        if said is None:
            breaker.answered()
            return Delivered(envelope=attempt.envelope, number=attempt.number)
        return self._receipt(job, attempt, said)

    def _retry(
        self, job: Job, attempt: Attempt, error: SendFailed, cause: Literal["away", "refused"], tries: int
    ) -> Retry:
        self.doubts.append((job.id, error))
        now = self.now()
        asked = outbox.retry_after(error.values.get("retry_after", ""), now)
        return Retry(
            envelope=attempt.envelope,
            number=attempt.number,
            reason=messages.english(error.text, error.values),
            not_before=now + max(outbox.wait(tries, self.schedule, self.draw()), asked),
            cause=cause,
        )

    def _silent(self, id: JobId, error: AgentError | None = None) -> None:
        """The destination said nothing that proves anything. One that refuses a single question is there."""
        breaker = self.breaker(id)
        if isinstance(error, SendRefused):
            breaker.answered()
            return
        breaker.failed(self.now() + outbox.wait(breaker.failures + 1, self.schedule, self.draw()))

    def _ask(self, job: Job, left: Attempt | Delivered) -> Delivered | Receipt | Retry | None:
        """Settle what has no answer yet: the run that sent it may have died, or the receiver takes its time."""
        breaker, transport = self.breaker(job.id), self.destination(job.id).transport
        if not breaker.admits(self.now()):
            return None
        try:
            found = transport.find(self.key(job))
        except SendFailed as error:
            self.doubts.append((job.id, error))
            self._silent(job.id, error)
            return None
        if isinstance(found, bytes):
            return self._receipt(job, left, found)
        if found is Standing.UNKNOWN:
            breaker.untold()
        else:
            breaker.answered()
        if isinstance(left, Delivered):
            return None  # what was handed over stays so, whatever cannot be seen of it now
        match found, transport.repeat:
            case Standing.DELIVERED, _:
                return Delivered(envelope=left.envelope, number=left.number)
            case Standing.ABSENT, _:
                return self._lost(job, left, N_("the receiver does not have it"), "absent")
            case Standing.UNKNOWN, "safe":
                return self._lost(job, left, N_("no answer was seen; sending again is harmless"), "unknown")
            case Standing.UNKNOWN, "ask" | "never":
                return None  # it is asked again; "never": only a person can find out
            case unknown:
                assert_never(unknown)

    def _lost(self, job: Job, left: Attempt, why: str, cause: Literal["absent", "unknown"]) -> Retry:
        """The first time it is sent again at once."""
        tries = _tries(job) - 1
        wait = None if tries == 0 else self.now() + outbox.wait(tries, self.schedule, self.draw())
        return Retry(envelope=left.envelope, number=left.number, reason=why, not_before=wait, cause=cause)

    def _receipt(self, job: Job, attempt: Attempt | Delivered, answer: bytes) -> Delivered | Receipt | Retry | None:
        """The verified receipt; None while the answer proves nothing new, so that the receiver is asked again."""
        receiver = self.destination(job.id).receiver
        try:
            said = envelope.open_receipt(
                answer,
                receiver.verify,
                receiver.public_keys,
                key=self.key(job),
                digest=in_force(job),
                profile=receiver.profile,
            )
        except envelope.ReceiptInvalid as error:
            self.doubts.append((job.id, error))
            self.archive.put(answer)  # kept beside the next fact, for whoever looks into it
            self._silent(job.id)
            return None
        self.breaker(job.id).answered()
        if said.code in receiver.profile.interim:
            if isinstance(attempt, Delivered) and attempt.receipt is not None:
                return None  # it has said so
            return Delivered(envelope=attempt.envelope, number=attempt.number, receipt=self.archive.put(answer))
        if not said.accepted and said.code in receiver.profile.sign_anew:
            return self._asked_anew(job, attempt, answer, said.reason)
        return Receipt(
            envelope=attempt.envelope,
            receipt=self.archive.put(answer),
            accepted=said.accepted,
            remote_id=said.remote_id,
            message=said.message if said.accepted else said.reason,
        )

    def _asked_anew(self, job: Job, attempt: Attempt | Delivered, answer: bytes, reason: str) -> Retry | None:
        """What lay too long on its way is signed anew. An answer counts once: it may still lie where it came in."""
        known = canonical.digest(answer)
        if any(isinstance(fact, Retry) and fact.answer == known for fact in job.facts):
            return None
        return Retry(
            envelope=attempt.envelope,
            number=attempt.number,
            reason=reason,
            not_before=self.now() + outbox.wait(_tries(job), self.schedule, self.draw()),
            cause="refused",
            answer=self.archive.put(answer),
        )

    def code(self, job: Job, *, anew: bool = True) -> answer.Code | None:
        """The QR code that came with the receipt for a waybill; None if none did.

        `anew` False: signatures are taken as checked, as that of the receipt was when it came.

        Raises:
            AgentError: it is not of this waybill or not signed by the province, or the receipt does not verify.
        """
        if not isinstance(job.last, Receipt) or not job.last.accepted:
            return None
        receiver = self.destination(job.id).receiver
        raw, digest = self.archive.get(job.last.receipt), in_force(job)
        if anew:
            said = envelope.open_receipt(
                raw,
                receiver.verify,
                receiver.public_keys,
                key=self.key(job),
                digest=digest,
                profile=receiver.profile,
            )
        else:
            said = envelope.read_receipt(raw, receiver.profile)
        return answer.code(said.data, self.document(job), receiver.public_keys, receiver.verify if anew else _taken)

    # --- appending --------------------------------------------------------------------------------------------------

    def _with(self, job: Job, fact: Fact) -> Job:
        self._append(job.id, len(job.facts), fact)
        return Job(id=job.id, facts=(*job.facts, fact))

    def _append(self, id: JobId, position: int, fact: Fact) -> None:
        self.archive.append(id, position, fact)
        if isinstance(fact, Attempt) and fact.number == 1 and self._left is not None:
            self._left[1][_format_of(id)] += 1
        if isinstance(fact, Draft | Excluded):
            self._known = None
            if self._unfiled is not None:
                self._unfiled.append(id)
        elif id in self._states:
            self._states[id] = state(Job(id=id, facts=(fact,)))
        self._waiting.difference_update(self._awaited.get(id, ()))
        if isinstance(fact, Receipt | Failure):
            self.freed.extend(self._awaited.pop(id, ()))
        if self._held is None:
            self.watch(id, fact)
        else:
            self._held.append((id, fact))


@dataclass(slots=True)
class _Run:
    """A run's own facts: its position is counted here, so that an append never reads the job."""

    pipeline: Pipeline
    id: JobId
    position: int

    def append(self, fact: RunFact) -> None:
        self.pipeline._append(self.id, self.position, fact)  # noqa: SLF001 - one class in two
        self.position += 1


def _next_version(content: JobId, versions: list[JobId]) -> JobId:
    """The newest of these that were read, if it has this content; else one to come."""
    id, returns = content, 0
    while id in versions and id != versions[-1]:
        returns += 1
        again = canonical.sm3(canonical.dumps([content, str(returns)])).hex()
        id = JobId(f"{content.rpartition('/')[0]}/{again}")
    return id


def _ends_it(key: str) -> bool:
    """Whether nothing follows this change of a waybill's status, by its business key."""
    name = key.rpartition(" ")[2]
    return name in WAYBILLS.statuses and status.final(name)


def _format_of(id: JobId) -> str:
    return id.split("/")[1]


_SIGNED = frozenset(
    {State.SIGNED, State.UNKNOWN, State.DELIVERED, State.WAITING, State.DEAD, State.RECEIPTED, State.REJECTED}
)
"""What was signed last is what leaves or left."""

_ENDED = frozenset({State.DECLINED, State.RECEIPTED, State.REJECTED, State.STOPPED})
"""Nothing becomes of these any more."""


def _withdraws(job: Job) -> bool:
    """Whether it is a version that withdraws another."""
    return bool(_draft_of(job).withdrawn_by)


def _came_to_nothing(job: Job) -> bool:
    """Whether it withdraws another in vain, as a person said no to it, or the receiver: the other stands."""
    return _withdraws(job) and state(job) in (State.DECLINED, State.STOPPED, State.REJECTED)


def _stage(job: Job) -> Literal["sign", "send"]:
    """What a job that stops now will not come to."""
    return "send" if isinstance(job.last, Envelope | Retry | DeadLetter) else "sign"


def _verdict_of(job: Job) -> Verdict:
    """The newest one, of a job that has been checked."""
    return next(fact for fact in reversed(job.facts) if isinstance(fact, Verdict))


def _told(job: Job) -> JobId:
    """What the receiver sees of the job's number is made of this, see `Excluded.mark`."""
    marks = [fact.mark for fact in job.facts if isinstance(fact, Excluded)]
    return _marked(job.id, marks[-1]) if marks else job.id


def _marked(id: JobId, mark: str) -> JobId:
    return JobId(f"{id}/{mark}")


def _name(by: str) -> str:
    return by.removeprefix("person:")


def _tries(job: Job) -> int:
    return sum(isinstance(fact, Attempt) for fact in job.facts)


def _note_names(names: dict[str, frozenset[str]], header: Mapping[str, object]) -> None:
    for field_id, code in header.items():
        name = header.get(field_id.removesuffix("Uscc") + "Name")
        if field_id.endswith("Uscc") and name:
            names[str(code)] = names.get(str(code), frozenset()) | {str(name)}


def _draft_of(job: Job) -> Draft:
    first = job.facts[0] if job.facts else None
    if not isinstance(first, Draft):
        raise TypeError(f"{job.id} is not a document")
    return first


def _is_gone(error: AgentError) -> bool:
    """Whether a body is not in the archive, as after its erasure; one that was changed is another matter."""
    return error.code == "SA5009"


def _fields(data: bytes, format: Format) -> dict[str, tuple[commitments.Holds, str]]:
    """What is committed to of a document's bytes."""
    raw = json.loads(data)
    found = {id: (format.header_fields[id].type.holds, str(value)) for id, value in raw["header"].items()}
    for number, line in enumerate(raw["lines"], start=1):
        found |= {f"lines[{number}].{id}": (format.line_fields[id].type.holds, str(v)) for id, v in line.items()}
    return found


def _fault(where: str, error: AgentError, page: Digest | None) -> Fault:
    return Fault(
        where=where,
        page=page,
        code=error.code,
        text=error.text,
        values={k: str(v) for k, v in error.values.items()},
        hint=error.hint,
    )


def _lists_of(run: Job) -> tuple[ListRead, ...] | None:
    """Since the run was last taken up; None if it has not ended."""
    if not isinstance(run.last, RunEnded):
        return None
    return completeness.counting(run.facts)
