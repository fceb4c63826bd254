"""CHK-18: an order is not older than its contract, an invoice not older than its order, a receipt than its loading."""

from __future__ import annotations

from collections.abc import Iterator

from scraper_agent.analysis.book import Book
from scraper_agent.cases import Paper
from scraper_agent.messages import N_
from scraper_agent.values import Finding

BETWEEN = "foreignInvoice"
"""Two documents also belong together by an invoice that both belong to."""


def findings(paper: Paper, book: Book) -> Iterator[Finding]:
    """Told on both documents, for nobody knows which date is wrong."""
    day = book.day(paper)
    roles = book.roles(paper.format)
    if day is None or roles is None:
        return
    for before, after in book.settings.dates:
        if paper.format not in (before, after):
            continue
        for other in _together(paper, after if paper.format == before else before, book):
            theirs, their = book.day(other), book.roles(other.format)
            if theirs is None or their is None:
                continue
            if (day > theirs) if paper.format == before else (day < theirs):
                yield book.finding(
                    "CHK-18",
                    roles.date,
                    N_("is {value}, and {their} of {other} is {expected}: {before} does not come after {after}"),
                    value=day.isoformat(),
                    their=their.date,
                    other=book.title(other),
                    expected=theirs.isoformat(),
                    before=before,
                    after=after,
                )


def _together(paper: Paper, format: str, book: Book) -> list[Paper]:
    found = {other.id: other for other in book.near(paper, format)}
    for invoice in book.near(paper, BETWEEN):
        found |= {other.id: other for other in book.near(invoice, format) if other.id != paper.id}
    return list(found.values())
