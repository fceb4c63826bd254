"""WB-04, WB-05: a waybill of dangerous goods is uploaded before its transport starts.

Both are told from what is known now: the clock and the log's times come from the caller.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property

from scraper_agent.analysis.book import Book
from scraper_agent.cases import Paper
from scraper_agent.messages import N_
from scraper_agent.rules import text
from scraper_agent.values import Finding, JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Naive and local, as the values of documents are."""

    now: Callable[[], datetime]
    accepted: Callable[[JobId], datetime | None]
    """When the receiver's receipt for a document was logged; None if it has not accepted it."""


def late(departure: date, began: Iterable[datetime], uploaded: datetime) -> bool:
    """Whether a waybill that was uploaded then, or is now, comes after the transport has started.

    On the day of departure it does if the transport is known to have begun; `began`: when, if it is told.
    """
    return uploaded.date() > departure or any(at < uploaded for at in began)


class Waybills:
    """Waybills and the changes of their status, by number."""

    def __init__(self, book: Book, times: Times | None) -> None:
        """`times` None: nothing is known of time, and nothing is told."""
        self._book = book
        self._times = times

    def findings(self, paper: Paper) -> Iterator[Finding]:
        roles = self._book.settings.waybills
        if self._times is None:
            return
        if paper.format == roles.format:
            yield from self._late(paper, self._times)
        elif paper.format == roles.status_format and paper.document.header.get(roles.status) == roles.began:
            yield from self._too_early(paper, self._times)

    def papers(self) -> list[Paper]:
        """The newest version of every waybill."""
        return [paper for paper in self._book.papers.values() if paper.format == self._book.settings.waybills.format]

    def changes(self, number: str) -> list[tuple[datetime, str]]:
        """When this waybill became what, by changes of its status that are not gone; oldest first."""
        roles = self._book.settings.waybills
        headers = (paper.document.header for paper in self._of(roles.status_format, number))
        changes = (
            (at, str(header.get(roles.status)))
            for header in headers
            if isinstance(at := header.get(roles.at), datetime)
        )
        return sorted(changes, key=operator.itemgetter(0))  # of one second: as they were told

    def began(self, number: str) -> list[datetime]:
        """When the transport of this waybill began, if that is told."""
        return [at for at, status in self.changes(number) if status == self._book.settings.waybills.began]

    @cached_property
    def _numbered(self) -> dict[tuple[str, str], list[Paper]]:
        roles = self._book.settings.waybills
        found: dict[tuple[str, str], list[Paper]] = defaultdict(list)
        for paper in self._book.papers.values():
            if paper.format in (roles.format, roles.status_format):
                found[paper.format, self._number(paper)].append(paper)
        return found

    def _of(self, format: str, number: str) -> list[Paper]:
        return [paper for paper in self._numbered.get((format, number), ()) if self._book.there(paper)]

    def _number(self, paper: Paper) -> str:
        return text(paper.document.header, self._book.settings.waybills.number) or ""

    def _late(self, paper: Paper, times: Times) -> Iterator[Finding]:
        """WB-04."""
        roles = self._book.settings.waybills
        departure = paper.document.header.get(roles.departure)
        if not isinstance(departure, date):
            return
        began = self.began(self._number(paper))
        uploaded = times.accepted(paper.id) or times.now()
        # What is told must not change with every look at the clock: each change would be a new verdict.
        if late(departure, (), uploaded):
            yield self._book.finding(
                "WB-04",
                roles.departure,
                N_("is {value}: a waybill is uploaded before the transport starts, and this one is late"),
                value=departure.isoformat(),
            )
        elif late(departure, began, uploaded):
            yield self._book.finding(
                "WB-04",
                roles.departure,
                N_(
                    "is {value}, and the transport began at {began}: a waybill is uploaded before it starts, and this"
                    " one is late"
                ),
                value=departure.isoformat(),
                began=began[0].isoformat(sep=" "),
            )

    def _too_early(self, paper: Paper, times: Times) -> Iterator[Finding]:
        """WB-05."""
        roles = self._book.settings.waybills
        at = paper.document.header.get(roles.at)
        if not isinstance(at, datetime):
            return
        for waybill in self._of(roles.format, self._number(paper)):
            accepted = times.accepted(waybill.id)
            if accepted is None:
                yield self._book.finding(
                    "WB-05",
                    roles.at,
                    N_("is {value}, but {other} is not accepted yet: the transport is to start only afterwards"),
                    value=at.isoformat(sep=" "),
                    other=f"{waybill.document.format} {waybill.key}",
                )
            elif at < accepted:
                yield self._book.finding(
                    "WB-05",
                    roles.at,
                    N_("is {value}, but {other} was accepted at {accepted}: the transport is to start only afterwards"),
                    value=at.isoformat(sep=" "),
                    other=f"{waybill.document.format} {waybill.key}",
                    accepted=accepted.isoformat(sep=" "),
                )
