"""All that is known, for documents to be compared with: cases, numbers, units. Pure; made of the archive by others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property

from scraper_agent import cases
from scraper_agent.analysis.settings import Roles, Settings
from scraper_agent.analysis.units import Units
from scraper_agent.cases import Case, Paper
from scraper_agent.rules import plain, text
from scraper_agent.values import Finding, JobId, State


class Book:
    """The newest version of every document, and the state of each.

    `states` may be changed by its owner: nothing that is kept here is made of it.
    """

    def __init__(self, papers: Iterable[Paper], states: dict[JobId, State], settings: Settings) -> None:
        self.papers = {paper.id: paper for paper in papers}
        self.states = states
        self.settings = settings
        self._numbers = {id: cases.numbers(paper.document, settings.cases) for id, paper in self.papers.items()}
        self._kinds = tuple(reversed(settings.cases.numbers))
        """The one that tells most comes first: an invoice number says more than a contract number."""

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        return cases.join(self.papers.values(), self.settings.cases)

    @cached_property
    def _case_of(self) -> dict[JobId, Case]:
        return {paper.id: case for case in self.cases for paper in case.papers}

    @cached_property
    def _by_number(self) -> dict[tuple[str, str, str], list[Paper]]:
        found: dict[tuple[str, str, str], list[Paper]] = defaultdict(list)
        for paper in self.papers.values():
            for kind, values in self._numbers[paper.id].items():
                for value in values:
                    found[paper.format, kind, value].append(paper)
        return found

    @cached_property
    def units(self) -> Units:
        wanted = self.settings.relations.format
        return Units(self.settings, (p.document for p in self.papers.values() if p.format == wanted))

    def case(self, id: JobId) -> Case | None:
        """The case that a document is joined into; None if it joins none, as a voucher does not."""
        return self._case_of.get(id)

    def there(self, paper: Paper) -> bool:
        return self.states[paper.id] not in cases.GONE

    def near(self, paper: Paper, format: str) -> tuple[Paper, ...]:
        """Documents of `format` in the same case that name the same number as this one, and are not gone.

        Of the numbers that both have, the one that tells most decides.
        """
        mine = self._numbers[paper.id]
        case = self.case(paper.id)
        found: dict[JobId, Paper] = {}
        passed: list[str] = []
        for kind in self._kinds:
            for value in sorted(mine.get(kind, ())):
                for other in self._by_number.get((format, kind, value), ()):
                    theirs = self._numbers[other.id]
                    if other.id != paper.id and not any(kind in theirs for kind in passed) and self.there(other):
                        found[other.id] = other
            if kind in mine:
                passed.append(kind)
        return tuple(other for other in found.values() if case is not None and self.case(other.id) is case)

    def named(self, paper: Paper, kind: str) -> frozenset[str]:
        """The numbers of one kind that the document names, as `cases.same` has them."""
        return self._numbers[paper.id].get(kind, frozenset())

    def roles(self, format: str) -> Roles | None:
        return self.settings.documents.get(format)

    def title(self, paper: Paper) -> str:
        """Format and number, for a sentence about another document."""
        roles = self.roles(paper.format)
        number = text(paper.document.header, roles.number) if roles else None
        return f"{paper.format} {number or paper.key}"

    def day(self, paper: Paper) -> date | None:
        """The document's own date."""
        roles = self.roles(paper.format)
        value = paper.document.header.get(roles.date) if roles else None
        if isinstance(value, datetime):
            return value.date()
        return value if isinstance(value, date) else None

    def party(self, paper: Paper) -> str:
        """The other side, as it is written; empty if the format names none."""
        roles = self.roles(paper.format)
        return (roles and roles.party and text(paper.document.header, roles.party)) or ""

    def finding(self, code: str, field: str, sentence: str, /, **values: str) -> Finding:
        return Finding(code=code, severity=self.settings.severity(code), field=field, text=sentence, values=values)


def shown(value: Decimal) -> str:
    """A number as a person writes it: no exponent, no zeros at the end."""
    written = plain(value)
    return written.rstrip("0").rstrip(".") if "." in written else written


def listed(titles: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(titles))
