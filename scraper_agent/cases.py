"""Business cases: documents joined by their numbers, and whether each has what it must have (CHK-02, OBL-1 to OBL-8).

No source says over what the obligations are to be tested. Here it is the case: all documents of one enterprise that
hang together by contract, order and invoice number, or by the business case that a page names.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from pydantic import BaseModel, Field

from scraper_agent.errors import UsageError
from scraper_agent.messages import N_
from scraper_agent.rules import SETTINGS, Document
from scraper_agent.values import Finding, JobId, Severity, State

CODE = "CHK-02"

_SEVERAL = re.compile("[,;\uff0c\uff1b\u3001]")
"""What stands between the numbers of a field that names more than one."""

States: TypeAlias = Mapping[JobId, State]

GONE = (State.DECLINED, State.REJECTED, State.STOPPED)
"""Documents that will not reach the receiver: for a case they are not there."""


class Number(BaseModel):
    """A number that joins documents, by the header fields that hold it."""

    model_config = SETTINGS

    fields: tuple[str, ...] = Field(description="Header fields that hold it, in any format.")
    of: str | None = Field(
        None, description="The format whose own number it is; default: none, so that equal numbers always join."
    )
    party: dict[str, str] = Field(
        {},
        description="By format, the field that names who gave it out: two sellers may have one invoice number.",
    )


class Obligation(BaseModel):
    """One of OBL-1 to OBL-8."""

    model_config = SETTINGS

    test: Literal["any-of", "one-only", "zone-only", "zone-needs", "zone-digit"]
    formats: tuple[str, ...] = ()
    severity: Severity = Field(description="`error`: a case without it is not complete.")
    digits: str = Field("", description="Of `zone-digit`: 5th characters of a customs code that lie in such a zone.")
    zh: str = Field(description="What it asks for, for the documentation; so is `en`.")
    en: str


class Joining(BaseModel):
    """What joins documents into cases, and what a case must have."""

    model_config = SETTINGS

    numbers: dict[str, Number] = Field(description="By kind. The first that a case has gives it its name.")
    beside: tuple[str, ...] = Field(
        description="Formats whose documents belong to every case that they name, and join none."
    )
    obligations: dict[str, Obligation] = Field(description="By OBL number.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """The newest version of one document."""

    id: JobId
    key: str
    document: Document

    @property
    def format(self) -> str:
        return self.document.format

    @property
    def enterprise(self) -> str:
        return _text(self.document, "enterpriseUscc")


@dataclass(frozen=True, kw_only=True)
class Case:
    """`papers` are joined to each other; those `beside` name a number of theirs and may belong to several cases."""

    name: str
    papers: tuple[Paper, ...]
    beside: tuple[Paper, ...] = ()
    numbers: Mapping[str, tuple[str, ...]]
    """By kind, as they are written, in the order they were read."""

    @cached_property
    def all(self) -> tuple[Paper, ...]:
        return (*self.papers, *self.beside)

    def formats(self, states: States, *, without: tuple[State, ...] = GONE) -> frozenset[str]:
        """Of which the case has a document in another state than those."""
        return frozenset(paper.format for paper in self.all if states[paper.id] not in without)

    @property
    def in_zone(self) -> bool:
        return any(_text(paper.document, "inSpecialZone") == "1" for paper in self.papers)


def same(number: str) -> str:
    """What two ways of writing one number have in common: width, case and white space do not count."""
    return "".join(unicodedata.normalize("NFKC", number).split()).casefold()


def written(document: Document, number: Number) -> tuple[str, ...]:
    """The numbers of this kind in the header, as they are written."""
    found = [part.strip() for id in number.fields for part in _SEVERAL.split(_text(document, id))]
    return tuple(dict.fromkeys(part for part in found if part))


def numbers(document: Document, joining: Joining) -> dict[str, frozenset[str]]:
    """By kind, the numbers in the header, each as `same` has it; kinds without one are left out."""
    found = {kind: frozenset(map(same, written(document, number))) for kind, number in joining.numbers.items()}
    return {kind: values for kind, values in found.items() if values}


def join(papers: Iterable[Paper], joining: Joining) -> tuple[Case, ...]:
    """All cases, in the order of their oldest document. A document without a number is a case of its own."""
    known = list(papers)
    joined = [paper for paper in known if paper.format not in joining.beside]
    keys = _Keys(joined, joining)
    places: dict[tuple[str, ...], int] = {}
    over = list(range(len(joined)))

    def root(at: int) -> int:
        while over[at] != at:
            over[at] = over[over[at]]
            at = over[at]
        return at

    for at, paper in enumerate(joined):
        for key in keys.of(paper):
            first = root(places.setdefault(key, at))
            here = root(at)
            over[max(first, here)] = min(first, here)
    groups: dict[int, list[Paper]] = defaultdict(list)
    for at, paper in enumerate(joined):
        groups[root(at)].append(paper)
    naming: dict[int, dict[JobId, Paper]] = defaultdict(dict)
    alone: list[Paper] = []
    for paper in known:
        if paper.format in joining.beside:
            named = {root(places[key]) for key in keys.of(paper, lines=True) if key in places}
            for at in named:
                naming[at][paper.id] = paper
            if not named:
                alone.append(paper)
    cases = [_case(group, tuple(naming[at].values()), joining) for at, group in groups.items()]
    return (*cases, *(_case([paper], (), joining) for paper in alone))


class _Keys:
    """What a document's numbers are joined by. A number that several parties gave out joins by the party as well."""

    def __init__(self, papers: Sequence[Paper], joining: Joining) -> None:
        self._joining = joining
        givers: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        for paper in papers:
            for kind, number in joining.numbers.items():
                if paper.format == number.of and paper.format in number.party:
                    party = same(_text(paper.document, number.party[paper.format]))
                    for value in map(same, written(paper.document, number)):
                        givers[paper.enterprise, kind, value].add(party)
        self._several = {key for key, parties in givers.items() if len(parties) > 1}

    def of(self, paper: Paper, *, lines: bool = False) -> Iterator[tuple[str, ...]]:
        """`lines`: also the numbers that the lines name."""
        for kind, number in self._joining.numbers.items():
            found = dict.fromkeys(map(same, written(paper.document, number)))
            if lines:
                for line in paper.document.lines:
                    values = (line.get(id) for id in number.fields)
                    found |= dict.fromkeys(same(value) for value in values if isinstance(value, str) and value)
            for value in found:
                if (paper.enterprise, kind, value) in self._several:
                    party = same(_text(paper.document, number.party.get(paper.format, "")))
                    yield paper.enterprise, kind, value, party or paper.id
                else:
                    yield paper.enterprise, kind, value


def _case(papers: list[Paper], beside: tuple[Paper, ...], joining: Joining) -> Case:
    found: dict[str, tuple[str, ...]] = {}
    for kind, number in joining.numbers.items():
        values: dict[str, str] = {}
        for paper in papers:
            for value in written(paper.document, number):
                values.setdefault(same(value), value)
        if values:
            found[kind] = tuple(values.values())
    name = next((values[0] for values in found.values()), papers[0].key)
    return Case(name=name, papers=tuple(papers), beside=beside, numbers=found)


# --- what a case must have ------------------------------------------------------------------------------------------


def missing(case: Case, states: States, joining: Joining) -> tuple[str, ...]:
    """What keeps the case from being complete: each a format, or several with `/` between them; empty if complete.

    A document that is blocked, declined or refused by the receiver does not count.
    """
    return tuple(
        "/".join(formats)
        for _, duty, formats in _lacking(case, states, joining.obligations)
        if duty.severity is Severity.ERROR
    )


def findings(case: Case, states: States, joining: Joining) -> Iterator[Finding]:
    """What of the case as a whole breaks an obligation; `field` is the format that is missing, or not wanted."""
    for name, duty, formats in _lacking(case, states, joining.obligations):
        yield Finding(
            code=CODE,
            severity=duty.severity,
            field="/".join(formats),
            text=N_("is missing: the case {case} has none that can be sent ({rule})"),
            values={"case": case.name, "rule": name},
        )
    there = case.formats(states)
    for name, duty in joining.obligations.items():
        if duty.test == "one-only" and len(both := [format for format in duty.formats if format in there]) > 1:
            yield Finding(
                code=CODE,
                severity=duty.severity,
                field="/".join(both[1:]),
                text=N_("is there beside {primary}, which counts as the primary one of the case {case} ({rule})"),
                values={"primary": both[0], "case": case.name, "rule": name},
            )


def _lacking(
    case: Case, states: States, obligations: Mapping[str, Obligation]
) -> Iterator[tuple[str, Obligation, tuple[str, ...]]]:
    there = case.formats(states, without=(*GONE, State.BLOCKED))
    for name, duty in obligations.items():
        if duty.test == "any-of" and not there & set(duty.formats):
            yield name, duty, duty.formats
        elif duty.test == "zone-needs" and case.in_zone:
            yield from ((name, duty, (format,)) for format in duty.formats if format not in there)


def own(document: Document, obligations: Mapping[str, Obligation]) -> Iterator[Finding]:
    """What of one document breaks an obligation, whatever its case."""
    zone, code = _text(document, "inSpecialZone"), _text(document, "enterpriseCustomsCode")
    for name, duty in obligations.items():
        if duty.test == "zone-only" and document.format in duty.formats and zone == "0":
            yield Finding(
                code=CODE,
                severity=duty.severity,
                field="inSpecialZone",
                text=N_("is {value}, but only an enterprise in a special customs zone reports {format} ({rule})"),
                values={"value": zone, "format": document.format, "rule": name},
            )
        if duty.test == "zone-digit" and zone and len(code) > _ZONE and (code[_ZONE] in duty.digits) != (zone == "1"):
            yield Finding(
                code=CODE,
                severity=duty.severity,
                field="inSpecialZone",
                text=N_("is {value}, but the 5th character of the customs code {code} says {expected} ({rule})"),
                values={"value": zone, "code": code, "expected": "0" if zone == "1" else "1", "rule": name},
            )


_ZONE = 4
"""Where in a customs registration code the zone stands (domain: 经济区划), from 0."""


def _text(document: Document, id: str) -> str:
    value = document.header.get(id, "")
    return value if isinstance(value, str) else ""


def find(known: Iterable[Case], name: str) -> Case:
    """The case that has this number, or a document of this key or job.

    Raises:
        UsageError: none or several do.
    """
    wanted = same(name)
    found = [
        case
        for case in known
        if any(wanted == same(value) for values in case.numbers.values() for value in values)
        or any(wanted == same(paper.key) or _is_job(paper.id, name) for paper in case.papers)
    ]
    if len(found) != 1:
        raise UsageError(
            "SA3021",
            N_("{count} cases are called `{name}`"),
            hint=N_("give the number of a contract, order or invoice, or of one of its documents"),
            count=len(found),
            name=name,
        )
    return found[0]


_FEWEST = 4
"""Digits of a job's number that name it."""


def _is_job(id: JobId, name: str) -> bool:
    return id == name or (len(name) >= _FEWEST and id.rpartition("/")[2].startswith(name))
