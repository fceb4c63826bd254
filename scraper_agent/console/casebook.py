"""Business cases for the console: joined in the background from every document, kept until the log has grown.

Cases hang together by all documents there are, so that no page can make them while somebody waits. What a page shows
says up to which entry of the log it holds.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from scraper_agent import cases
from scraper_agent.analysis import matching
from scraper_agent.analysis.book import Book
from scraper_agent.errors import AgentError
from scraper_agent.values import Finding, JobId, State

REFRESH_S = 0.1
"""So long somebody waits at most for newer cases, where there are some to show."""
REST = 10
"""Made anew no sooner than after so many times as long as it took: pages come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A document of a case."""

    id: JobId
    format: str
    key: str
    day: date | None
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    name: str
    numbers: Mapping[str, tuple[str, ...]]
    papers: tuple[Paper, ...]
    missing: tuple[str, ...]
    """Each a format, or several with `/` between them; empty if it is complete."""
    obligations: tuple[Finding, ...]
    match: tuple[matching.Row, ...]
    text: str
    """Its name, its numbers and those of its documents, a line each, for a search that tells no capitals."""

    @property
    def formats(self) -> tuple[tuple[str, int], ...]:
        return tuple(Counter(p.format for p in self.papers if p.state not in cases.GONE).items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Casebook:
    """All cases after `entries` entries of the log."""

    entries: int
    cases: tuple[Case, ...]
    lacking: tuple[Case, ...]
    """Those of them that miss something."""
    places: Mapping[JobId, int]
    """Of each document, which of these it is joined into."""
    names: Mapping[str, int]
    """Of each name and number, as `cases.same` has it, which of these has it; one that is called so, or the first."""

    def of(self, id: JobId) -> Case | None:
        at = self.places.get(id)
        return None if at is None else self.cases[at]

    def named(self, name: str) -> Case | None:
        """By its name, or any of its numbers; the first of several."""
        at = self.names.get(cases.same(name))
        return None if at is None else self.cases[at]


def build(book: Book, entries: int) -> Casebook:
    """Everything that a page shows of cases."""
    made = tuple(
        Case(
            name=case.name,
            numbers=case.numbers,
            papers=tuple(
                Paper(id=p.id, format=p.format, key=p.key, day=book.day(p), state=book.states[p.id]) for p in case.all
            ),
            missing=cases.missing(case, book.states, book.settings.cases),
            obligations=tuple(cases.findings(case, book.states, book.settings.cases)),
            match=tuple(matching.table(case, book)),
            text="\n".join([case.name, *_numbers(case.numbers), *(p.key for p in case.all)]).casefold(),
        )
        for case in book.cases
    )
    places = {paper.id: at for at, case in enumerate(book.cases) for paper in case.papers}
    names = {cases.same(name): at for at, case in reversed([*enumerate(made)]) for name in _numbers(case.numbers)}
    names |= {cases.same(case.name): at for at, case in reversed([*enumerate(made)])}
    names.pop("", None)
    lacking = tuple(case for case in made if case.missing)
    return Casebook(entries=entries, cases=made, lacking=lacking, places=places, names=names)


def _numbers(numbers: Mapping[str, tuple[str, ...]]) -> list[str]:
    return [value for values in numbers.values() for value in values]


@dataclass(slots=True)
class Shelf:
    """The newest casebook, made by one thread at a time. `make` opens the archive for itself."""

    make: Callable[[], Casebook]
    book: Casebook | None = None
    error: AgentError | None = None
    """Why the last one could not be made."""
    _gate: threading.Lock = field(default_factory=threading.Lock)
    _work: threading.Thread | None = None
    _not_before: datetime | None = None
    _begun: datetime | None = None

    def latest(self, entries: int, now: datetime, patience_s: float = 0) -> Casebook | None:
        """What is known, at least when there was time to make it; `entries`: how long the log is now.

        `patience_s`: how long to wait where nothing is known yet.
        """
        with self._gate:
            work = self._work
            rests = self._not_before is not None and now < self._not_before
            stale = self.book is None or self.book.entries != entries
            if work is None and stale and not rests:
                self._begun = now
                work = self._work = threading.Thread(target=self._make, name="casebook", daemon=True)
                work.start()
        if work is not None:
            work.join(patience_s if self.book is None else min(patience_s, REFRESH_S))
            with self._gate:
                if self._work is work and not work.is_alive():
                    self._work = None
                    # The clock is that of requests: how long it took is known to the next of them at the latest.
                    self._not_before = now + REST * max(now - (self._begun or now), timedelta(0))
        return self.book

    @property
    def busy(self) -> bool:
        work = self._work
        return work is not None and work.is_alive()

    def _make(self) -> None:
        try:
            self.book, self.error = self.make(), None
        except AgentError as error:
            self.error = error


def quantity(value: Decimal | None) -> str:
    return "–" if value is None else f"{value.normalize():f}"
