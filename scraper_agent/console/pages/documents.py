"""The list of all documents, by state and other filters; and what every list of documents is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from starlette.responses import Response

from scraper_agent.archive import lists
from scraper_agent.archive.lists import Lists
from scraper_agent.console.ask import Ask, Route, page
from scraper_agent.console.pages import cases
from scraper_agent.console.rows import Filter, Rows, Search
from scraper_agent.console.words import state_name
from scraper_agent.errors import UsageError
from scraper_agent.messages import N_
from scraper_agent.report import body
from scraper_agent.report.body import Name
from scraper_agent.report.words import say
from scraper_agent.values import State

SHOWN_RUNS = 30
FINDINGS = 3
"""Codes of findings that a line of a list names; the others are counted."""


@contextmanager
def searching(ask: Ask, asked: Filter) -> Iterator[Search]:
    """Raises UsageError: it asks for a case that is not known."""
    with opened(ask) as found:
        case = None
        if asked.case:
            known = cases.shelf(ask).latest(ask.archive.head().size, ask.now, patience_s=2)
            if known is None:
                raise UsageError(
                    "SA7748",
                    N_("which documents belong to the case `{name}` is not known yet: cases are still being joined"),
                    hint=N_("try again in a moment"),
                    name=asked.case,
                )
            if (of := known.named(asked.case)) is None:
                raise UsageError("SA7744", N_("there is no case `{name}`"), name=asked.case)
            case = frozenset(paper.id for paper in of.papers)
        yield Search(
            rows=_rows(ask.archive.path),
            lists=found,
            archive=ask.archive,
            formats=ask.app.tables.formats,
            now=ask.now,
            case=case,
        )


@contextmanager
def opened(ask: Ask) -> Iterator[Lists]:
    path = ask.archive.path  # raises if there is none
    with lists.opened(path) as found:
        yield found


@cache
def _rows(_archive: Path) -> Rows:
    """Kept for as long as this process serves that archive."""
    return Rows()


def shown(ask: Ask, asked: Filter, found: Lists) -> dict[str, Any]:
    """What every list of documents shows beside its rows."""
    return {
        "asked": asked,
        "format_name": lambda id: format_name(ask, id),
        "state_name": state_name,
        "amount": body.written_amount,
        "money": body.money,
        "told_of": lambda row, finding: body.told(finding, ask.app.tables.formats.get(row.line.format)),
        "formats": sorted(ask.app.tables.formats),
        "erps": found.erps(),
        "runs": found.runs(SHOWN_RUNS),
        "say": say,
        "most_findings": FINDINGS,
    }


def format_name(ask: Ask, id: str) -> Name:
    format = ask.app.tables.formats.get(id)
    return Name(main=id, other="", id=id) if format is None else body.name(format)


# --- the list -------------------------------------------------------------------------------------------------------


def documents(ask: Ask) -> Response:
    try:
        asked, wrong = Filter.read(ask.query), None
        with searching(ask, asked) as search:
            found = search.page(asked, beyond(ask))
    except UsageError as error:
        asked, wrong, found = Filter(), error, None
    with opened(ask) as known:
        counts = known.count(Filter().wanted(ask.now))
        return ask.render(
            "documents.html",
            status=200 if wrong is None else 400,
            found=found,
            wrong=wrong,
            counts=[(state, state_name(state), counts[state]) for state in State if counts[state]],
            all=counts.total(),
            further=ask.query.get("beyond", ""),
            **shown(ask, asked, known),
        )


def beyond(ask: Ask) -> int | None:
    text = ask.query.get("beyond", "")
    return int(text) if text.isdecimal() and len(text) < 18 else None  # noqa: PLR2004 - SQLite's integers


ROUTES: Sequence[Route] = (page("/documents", documents, menu=N_("Documents")),)
