"""What documents say of each other, before any of them is sent: three-way match, duplicates, gaps, prices, periods.

Pure: everything is said from the newest version of every document. Each finding names the field it is on, what is
there, what was expected, and the other document. `defaults.yaml` has all tolerances, and name and source of each check.
"""

from __future__ import annotations

from collections.abc import Iterator

from scraper_agent import cases
from scraper_agent.analysis import dates, matching
from scraper_agent.analysis.bonded import Ledgers, References
from scraper_agent.analysis.book import Book
from scraper_agent.analysis.numbering import Numbering
from scraper_agent.analysis.outliers import Prices
from scraper_agent.analysis.waybills import Times, Waybills
from scraper_agent.values import Finding, JobId

STATISTICAL = "ANL-"
"""How codes begin of what is only strange: CHK-… says that two documents contradict each other."""


class Analysis:
    """All checks of one document against all others. Indexes are made once for a book."""

    def __init__(self, book: Book, times: Times | None = None) -> None:
        """`times`: without, nothing is told that depends on the clock."""
        self.book = book
        self._references = References(book)
        self._ledgers = Ledgers(book, self._references)
        self._numbering = Numbering(book)
        self._prices = Prices(book)
        self.waybills = Waybills(book, times)

    def findings(self, id: JobId) -> Iterator[Finding]:
        """Of a document that is not the newest version of its record: none."""
        paper = self.book.papers.get(id)
        if paper is None:
            return
        yield from cases.own(paper.document, self.book.settings.cases.obligations)
        yield from matching.findings(paper, self.book)
        yield from dates.findings(paper, self.book)
        yield from self._ledgers.findings(paper)
        yield from self._references.findings(paper)
        yield from self._numbering.findings(paper)
        yield from self._prices.findings(paper)
        yield from self.waybills.findings(paper)
