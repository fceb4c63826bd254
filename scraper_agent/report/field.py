"""How one value of a document came about: from the pixels it was read at to what was said of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from scraper_agent import canonical, formats, leaving, mapping
from scraper_agent.errors import BusinessError
from scraper_agent.format import Document, Format
from scraper_agent.mapping import Origin
from scraper_agent.messages import N_
from scraper_agent.report import facts
from scraper_agent.rules import Settings
from scraper_agent.rules import fields as single
from scraper_agent.values import Digest, Finding, Job, RunStarted, Snapshot, Verdict

_ORIGINS = TypeAdapter(tuple[Origin, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One place that the value was read at: the document's own, or the twin's that it was compared with."""

    origin: Origin
    twin: bool
    page: Snapshot | None
    """None for a value of the enterprise's profile, or where the run does not name the page."""
    image: Digest | None
    """JPEG that `origin.box` lies on; None where there is none, or it may not be shown."""
    hidden: bool
    """There is one, but it shows what is masked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A rule that looked at the field, and what it said of it."""

    code: str
    name: str
    """Of the check; empty where the code says it."""
    source: str
    """What the rule is taken from."""
    verdict: Literal["passed", "broken", "not checked"]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who read the document. Digests of accounts are `sm3:` and 64 hex digits; empty if unknown."""

    run: str
    recipe_id: str
    recipe_version: str
    recipe: Digest
    agent: str
    account: str
    """Of the ERP."""
    started_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    document: str
    format: str
    field: str
    value: str
    """As it stands in the document now; empty if it has none."""
    sources: tuple[Source, ...]
    rules: tuple[Looked, ...]
    read_by: Reader
    read_at: datetime
    checked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A document's job and what its explanation is made of."""

    job: Job
    times: Sequence[datetime]
    provenance: bytes
    document: Document
    """As it is in force."""
    format: Format
    started: RunStarted
    """The run's first fact."""
    snapshot: Callable[[Digest], Snapshot | None]
    """The run's snapshot of a page."""


def explain(of: Record, field: str, *, whole: bool, names: Mapping[str, str]) -> Explained:
    """`field`: as in a document, `totalAmount` or `lines[3].quantity`.

    `whole`: masked values are shown, and images of pages that show any. `names`: people by the SM3 of their accounts,
    64 hex digits, as far as they may be named.

    Raises:
        BusinessError: the document has no such field, or a person left it out.
        ValueError: the provenance is none.
    """
    draft = facts.draft(of.job)
    if leaving.left_out(of.job, field):
        raise BusinessError(
            "SA5080", N_("{field} was left out of the document, and nothing is told of it"), field=field
        )
    value = _value(of.document, field)
    try:
        origins = [each for each in _ORIGINS.validate_json(of.provenance) if each.field in (field, f"twin {field}")]
    except ValidationError as error:
        raise ValueError(f"{draft.provenance} is no provenance") from error
    if value is None and not origins and not any(f.field == field for f in draft.unread):
        known = ", ".join(dict.fromkeys(leaving.named(path) for path in paths(of.document)))
        raise BusinessError("SA5081", N_("the document has no field `{seen}`; it has {known}"), seen=field, known=known)
    named = of.format.line_fields if "." in field else of.format.header_fields
    id = field.rpartition(".")[2]
    if value is not None and id in named and not whole:
        value = named[id].masked_in(value, value)
    hides = any(each.masked for each in (*of.format.header, *of.format.lines)) and not whole
    checked = next((n for n in reversed(range(len(of.job.facts))) if isinstance(of.job.facts[n], Verdict)), None)
    verdict = None if checked is None else of.job.facts[checked]
    account = str(of.document.header.get("operatorAccountHash", ""))
    return Explained(
        document=of.job.id,
        format=draft.format,
        field=field,
        value=value or "",
        sources=tuple(_source(each, of, whole=whole, hides=hides) for each in origins),
        rules=tuple(_looked(of.format, field, verdict if isinstance(verdict, Verdict) else None)),
        read_by=Reader(
            run=draft.run,
            recipe_id=of.started.recipe_id,
            recipe_version=of.started.recipe_version,
            recipe=of.started.recipe,
            agent=of.started.agent,
            account=f"sm3:{account}" if account else "",
            started_by=names.get(of.started.started_by, f"sm3:{of.started.started_by}"),
        ),
        read_at=of.times[0],
        checked_at=None if checked is None else of.times[checked],
    )


def paths(document: Document) -> Iterator[str]:
    yield from document.header
    for number, line in enumerate(document.lines, start=1):
        yield from (f"lines[{number}].{id}" for id in line)


def by_digest(people: Mapping[str, object]) -> dict[str, str]:
    """People by the SM3 of their names: the only ones whose digest in the log tells who they are."""
    return {canonical.sm3(name.encode()).hex(): name for name in people}


def _value(document: Document, field: str) -> str | None:
    line, _, id = field.rpartition(".")
    values = document.header
    if line:
        number = line.removeprefix("lines[").removesuffix("]")
        if not number.isdecimal() or not 1 <= int(number) <= len(document.lines):
            return None
        values = document.lines[int(number) - 1]
    return mapping.written(values[id]) if id in values else None


def _source(origin: Origin, of: Record, *, whole: bool, hides: bool) -> Source:
    page = of.snapshot(origin.page) if origin.page is not None else None
    image = page.image if page is not None and origin.box is not None else None
    # What the policy masks is masked for everybody; its pixels would tell it.
    hidden = image is not None and (hides or origin.steps == leaving.MASKED)
    return Source(
        origin=replace(origin if whole else mapping.shown(origin, of.format), field=origin.field.removeprefix("twin ")),
        twin=origin.field.startswith("twin "),
        page=page,
        image=None if hidden else image,
        hidden=hidden,
    )


def _looked(format: Format, field: str, verdict: Verdict | None) -> Iterator[Looked]:
    """CHK-01, then the format's rules that name the field, in their order; last what others said of it.

    Rules of one code are one here: a finding tells its code alone.
    """
    about: dict[str, set[str]] = {single.CODE: set()}
    names: dict[str, list[str]] = {}
    sources = {single.CODE: single.SOURCE}
    for rule in format.rules:
        fields = formats.looks_at(rule)
        if leaving.named(field) in fields and isinstance(rule, Settings):
            about.setdefault(rule.code, set()).update(fields)
            names.setdefault(rule.code, []).append(getattr(rule, "check", ""))
            sources.setdefault(rule.code, rule.source)
    found = verdict.findings if verdict is not None else ()
    for code in dict.fromkeys((*about, *(f.code for f in found if f.field == field))):
        told = tuple(f for f in found if f.code == code and _concerns(f.field, field, about.get(code, set())))
        yield Looked(
            code=code,
            name=", ".join(names.get(code, ())),
            source=sources.get(code, ""),
            verdict="not checked" if verdict is None else "broken" if told else "passed",
            findings=told,
        )


def _concerns(told_of: str, field: str, about: AbstractSet[str]) -> bool:
    """Whether a finding at `told_of`, of a rule about these fields, is one about `field`."""
    if told_of == field:
        return True
    here, there = field.rpartition(".")[0], told_of.rpartition(".")[0]
    return leaving.named(told_of) in about and (not here or not there or here == there)
