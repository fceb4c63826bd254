"""One document as a person decides on it: what it says, what is said of it, why it waits, where each value was read.

It is made of its own facts and those of its run that matter; no other document is looked at.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from scraper_agent import approval, leaving, mapping, messages, preview, values
from scraper_agent.archive.lists import Lists
from scraper_agent.errors import AgentError
from scraper_agent.format import Document, Format, decode
from scraper_agent.mapping import Origin
from scraper_agent.messages import N_
from scraper_agent.policy import Policy
from scraper_agent.ports import Archive
from scraper_agent.report import body, facts, pages
from scraper_agent.report.body import Body, Cell, Name, Told
from scraper_agent.report.facts import Step
from scraper_agent.report.words import say
from scraper_agent.values import Attempt, Digest, Draft, Endorsed, Excluded, Held, Job, JobId, State, Verdict

_ORIGINS = TypeAdapter(tuple[Origin, ...])
_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where one value was read. `picture` is the number of its page's picture; None: it is on none."""

    number: int
    name: str
    picture: int | None
    box: tuple[int, int, int, int] | None
    """x, y, width, height on the image."""
    target: str
    frame: str
    raw: str
    steps: tuple[str, ...]
    profile: bool
    """It is of the enterprise's profile, and so on no page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A page that values were read on. `image`: None where there is none to show, and then `note` says why."""

    page: Digest
    name: str
    url: str
    taken: str
    image: Digest | None = None
    width: int = 0
    height: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    id: JobId
    draft: Draft
    shown: Digest
    """Of the bytes that a decision is about."""
    state: State
    format: Name
    recipe: str
    body: Body
    findings: tuple[Told, ...]
    why: tuple[str, ...]
    """Why the policy left it to a person: sentences."""
    history: tuple[Step, ...]
    evidence: tuple[tuple[str, str], ...]
    """A name in the report's words, and its value."""
    spots: tuple[Spot, ...]
    pictures: tuple[Picture, ...]
    masked: bool
    """Whether anything of it is masked where it is shown here."""
    problems: tuple[str, ...]
    """What could not be shown, and why."""

    @property
    def faults(self) -> dict[str, str]:
        """Fields with the worst that is said of each."""
        return {
            self.spots[each.origin].name: each.fault for each in self._cells if each.fault and each.origin is not None
        }

    @property
    def _cells(self) -> tuple[Cell, ...]:
        header = (cell for _, cell in (*self.body.header, *self.body.program))
        return (*header, *(cell for line in self.body.lines for cell in line))

    def marks(self, picture: int) -> tuple[Spot, ...]:
        """The spots with a box on one picture, large boxes first, so that none covers another."""
        found = [spot for spot in self.spots if spot.picture == picture and spot.box is not None]
        return tuple(sorted(found, key=lambda spot: -(spot.box[2] * spot.box[3]) if spot.box else 0))


@dataclass(slots=True, kw_only=True)
class Reader:
    """Makes sheets, for one request."""

    archive: Archive
    lists: Lists
    formats: Mapping[str, Format]
    policy: Policy
    whole: bool
    """Whether this person may see masked values: one who approves the very bytes may."""
    problems: list[str] = field(default_factory=list)

    def sheet(self, id: JobId) -> Sheet | None:
        """None if there is no such document."""
        job = self.archive.job(id)
        if not job.facts or not isinstance(job.facts[0], Draft):
            return None
        draft, format = job.facts[0], self.formats.get(job.facts[0].format)
        state = values.state(job)
        found = next((fact.findings for fact in reversed(job.facts) if isinstance(fact, Verdict)), draft.unread)
        shown = values.in_force(job)
        data = self._body(shown)
        spots, pictures = self._origins(job, draft, format)
        numbers = {spot.name: spot.number for spot in spots}
        return Sheet(
            id=id,
            draft=draft,
            shown=shown,
            state=state,
            format=body.name(format) if format else Name(main=draft.format, other="", id=draft.format),
            recipe=self.lists.recipe(draft.run),
            body=Body() if data is None else body.read(data, format, found, numbers),
            findings=tuple(body.told(finding, format) for finding in found),
            why=tuple(messages.render(text, told) for text, told in self.why(job, data, format)),
            history=facts.history(job, self._times(id)),
            evidence=facts.evidence(job),
            spots=spots,
            pictures=pictures,
            masked=masks(format),
            problems=tuple(dict.fromkeys(self.problems)),
        )

    # --- why it waits -----------------------------------------------------------------------------------------------

    def why(self, job: Job, data: bytes | None, format: Format | None) -> tuple[tuple[str, Mapping[str, str]], ...]:
        """As `Pipeline.held_because`, but for the document's case: what a case lacks is on the case's own page."""
        draft, last = facts.draft(job), job.last
        if values.state(job) is State.ON_HOLD:
            held = next(fact for fact in reversed(job.facts) if isinstance(fact, Held))
            return ((N_("{name} keeps it back: {reason}"), {"name": _name(held.by), "reason": held.reason}),)
        if isinstance(last, Endorsed):
            told = {"name": _name(last.by), "reason": last.reason}
            return ((N_("{name} has approved it, a second person has to: {reason}"), told),)
        if not isinstance(last, Verdict) or last.blocked or format is None or data is None:
            return ()
        if draft.withdrawn_by:
            return ((N_("it withdraws what the receiver has: {reason}"), {"reason": draft.reason}),)
        document = self._decoded(data, format)
        if document is None:
            return ()
        left_out = (
            (
                N_("{name} left out {fields}: {reason}"),
                {"name": _name(fact.by), "fields": ", ".join(fact.fields), "reason": fact.reason},
            )
            for fact in job.facts
            if isinstance(fact, Excluded)
        )
        lists = approval.lists_to_hold(self.policy, self.lists.lists_read(draft.run))
        total = mapping.amount(document, format)
        limits = approval.reasons_to_hold(self.policy, last, format.name, total, lines=len(document.lines))
        return (*lists, *left_out, *limits)

    def _decoded(self, data: bytes, format: Format) -> Document | None:
        try:
            return decode(format, data)
        except ValueError:
            return None

    # --- where its values were read ---------------------------------------------------------------------------------

    def _origins(self, job: Job, draft: Draft, format: Format | None) -> tuple[tuple[Spot, ...], tuple[Picture, ...]]:
        data = self._body(draft.provenance)
        try:
            origins = _ORIGINS.validate_json(data) if data is not None else ()
        except ValidationError as error:
            self.problems.append(f"{draft.provenance}: {error.error_count()} × {error.title}")
            origins = ()
        if format is not None and not self.whole:
            origins = tuple(mapping.shown(each, format) for each in origins)
        # What people left out of the document is told nowhere.
        origins = tuple(each for each in origins if not leaving.left_out(job, each.field))
        # The document's own page comes first.
        seen = dict.fromkeys([draft.page, *(each.page for each in origins if each.page is not None)])
        pictures = tuple(self._picture(draft, page, hidden=masks(format) and not self.whole) for page in seen)
        place = {page: number for number, page in enumerate(seen)}
        spots = tuple(
            Spot(
                number=number,
                name=each.field,
                picture=None if each.page is None else place[each.page],
                box=each.box,
                target=each.target,
                frame=each.frame,
                raw=each.raw,
                steps=each.steps,
                profile=each.page is None,
            )
            for number, each in enumerate(origins)
        )
        return spots, pictures

    def _picture(self, draft: Draft, page: Digest, *, hidden: bool) -> Picture:
        """`hidden`: the page shows what this person may not see whole, and an image cannot be masked."""
        snapshot = self.lists.snapshot(draft.run, page)
        if snapshot is None:
            return Picture(page=page, name="", url="", taken="", note=say("image_unknown"))
        shown = Picture(page=page, name=snapshot.name, url=snapshot.url, taken=pages.moment(snapshot.taken_at))
        if snapshot.image is None:
            return replace(shown, note=say("image_none"))
        if hidden:
            return replace(shown, note=messages.render(N_("The page shows what is masked here; approvers see it.")))
        data = self._body(snapshot.image)
        size = None if data is None else jpeg_size(data)
        if size is None:
            return replace(shown, note=say("image_strange", image=snapshot.image))
        return replace(shown, image=snapshot.image, width=size[0], height=size[1])

    def _body(self, digest: Digest) -> bytes | None:
        try:
            return self.archive.get(digest)
        except AgentError as error:
            self.problems.append(str(error))
            return None

    def _times(self, id: JobId) -> Sequence[datetime]:
        return self.archive.times(id)


def _name(by: str) -> str:
    return by.removeprefix("person:")


def masks(format: Format | None) -> bool:
    """Whether any value of such documents is masked where it is shown."""
    return format is not None and any(each.masked for each in (*format.header, *format.lines))


def image(
    archive: Archive, lists: Lists, formats: Mapping[str, Format], id: JobId, named: Digest, *, whole: bool
) -> bytes | None:
    """The JPEG of a page of the run that read this document; None for everything else, whatever the archive has."""
    job = archive.job(id)
    if not job.facts or not isinstance(job.facts[0], Draft):
        return None
    draft = job.facts[0]
    if masks(formats.get(draft.format)) and not whole:
        return None
    snapshot = lists.snapshot(draft.run, named)
    if snapshot is None or snapshot.image != named:
        return None
    data = archive.get(named)
    return data if data.startswith(_JPEG) else None


# --- what is to be sent ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Exactly the bytes that would be sent, and what differs from the version that left last."""

    digest: Digest
    raw: bytes
    rows: tuple[preview.Row, ...]
    """Empty where the bytes do not fit the format any more."""
    before: JobId | None
    """The version that left last."""
    changes: tuple[preview.Change, ...]


def to_send(archive: Archive, lists: Lists, format: Format | None, job: Job) -> Preview:
    """Raises AgentError: the bytes are gone."""
    digest = values.in_force(job)
    raw = archive.get(digest)
    try:
        document = decode(format, raw) if format is not None else None
    except ValueError:
        document = None
    if format is None or document is None:
        return Preview(digest=digest, raw=raw, rows=(), before=None, changes=())
    sent = _sent_before(archive, lists, job)
    changes: tuple[preview.Change, ...] = ()
    if sent is not None:
        try:
            old = decode(format, archive.get(values.in_force(sent)))
            changes = preview.difference(old, document, format)
        except (AgentError, ValueError):
            sent = None
    rows = preview.rows(document, format)
    return Preview(digest=digest, raw=raw, rows=rows, before=None if sent is None else sent.id, changes=changes)


def _sent_before(archive: Archive, lists: Lists, job: Job) -> Job | None:
    draft = facts.draft(job)
    versions = lists.versions(draft.format, draft.key)
    for id in reversed(versions[: versions.index(job.id)] if job.id in versions else []):
        other = archive.job(id)
        if facts.draft(other).record == draft.record and any(isinstance(fact, Attempt) for fact in other.facts):
            return other
    return None


_FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
"""JPEG markers that state a size (ITU-T T.81, table B.1)."""


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height; None if it is no JPEG that states them."""
    if not data.startswith(_JPEG):
        return None
    at = 2
    while at + 9 <= len(data) and data.startswith(b"\xff", at):
        marker = data[at + 1]
        if data.startswith(b"\xff\xff", at):  # fill bytes
            at += 1
            continue
        length, _, height, width = struct.unpack_from(">HBHH", data, at + 2)
        if marker in _FRAMES:
            return (width, height) if width and height else None
        at += 2 + length
    return None
