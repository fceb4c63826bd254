"""Business cases: what belongs together, and what each lacks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from starlette.responses import Response

from scraper_agent.app import App
from scraper_agent.console import casebook
from scraper_agent.console.ask import Ask, Route, page
from scraper_agent.console.casebook import Casebook, Shelf
from scraper_agent.console.rows import PAGE, path
from scraper_agent.console.words import state_name
from scraper_agent.messages import N_, render
from scraper_agent.report import body
from scraper_agent.report.body import Name

PATIENCE_S = 1.0
"""So long a page waits for cases that are being read for the first time."""


def shelf(ask: Ask) -> Shelf:
    """That of this archive, for as long as this process serves it."""
    return _SHELVES.setdefault(ask.archive.path, Shelf(partial(_make, ask.app)))


_SHELVES: dict[Path, Shelf] = {}


def _make(app: App) -> Casebook:
    with app.archive(read_only=True) as archive:
        entries = archive.head().size
        return casebook.build(app.pipeline(archive, lambda _job, _fact: None).analysis().book, entries)


def cases(ask: Ask) -> Response:
    known, entries = _known(ask)
    all_, lacking = ((), ()) if known is None else (known.cases, known.lacking)
    incomplete = ask.query.get("incomplete", "") == "1"
    wanted = ask.query.get("name", "").strip().casefold()
    listed = lacking if incomplete else all_
    if wanted:
        listed = tuple(case for case in listed if wanted in case.text)
    first = _first(ask, len(listed))
    answer = ask.render(
        "cases.html",
        known=known,
        error=shelf(ask).error,
        entries=entries,
        all=len(all_),
        lacking=len(lacking),
        incomplete=incomplete,
        name=ask.query.get("name", ""),
        cases=listed[first : first + PAGE],
        found=len(listed),
        first=first,
        page=PAGE,
        format_name=lambda id: _format(ask, id),
        missing_names=lambda missing: missing_names(ask, missing),
    )
    return _again(answer, known is None and shelf(ask).busy)


def case(ask: Ask) -> Response:
    known, entries = _known(ask)
    found = None if known is None else known.named(ask.path["name"])
    if known is not None and found is None:
        raise ask.missing()
    answer = ask.render(
        "case.html",
        known=known,
        error=shelf(ask).error,
        entries=entries,
        case=found,
        path=path,
        state_name=state_name,
        quantity=casebook.quantity,
        render=render,
        told=lambda finding: body.told(finding, None),
        format_name=lambda id: _format(ask, id),
        missing_names=lambda missing: missing_names(ask, missing),
    )
    return _again(answer, known is None and shelf(ask).busy)


def _known(ask: Ask) -> tuple[Casebook | None, int]:
    """The cases, and how long the log is."""
    entries = ask.archive.head().size
    return shelf(ask).latest(entries, ask.now, PATIENCE_S), entries


def _again(answer: Response, soon: bool) -> Response:
    """A page that has nothing to show yet asks once more by itself."""
    if soon:
        answer.headers["Refresh"] = "2"
    return answer


def _first(ask: Ask, all_: int) -> int:
    text = ask.query.get("first", "")
    first = int(text) if text.isdecimal() and len(text) < 9 else 0  # noqa: PLR2004 - no list is as long
    return min(first, max(all_ - 1, 0)) // PAGE * PAGE


def _format(ask: Ask, id: str) -> Name:
    format = ask.app.tables.formats.get(id)
    return Name(main=id, other="", id=id) if format is None else body.name(format)


def missing_names(ask: Ask, missing: Sequence[str]) -> list[str]:
    """Names of formats; one of several is enough where ` / ` stands."""
    return [" / ".join(_format(ask, id).main for id in each.split("/")) for each in missing]


ROUTES: Sequence[Route] = (
    page("/cases", cases, menu=N_("Cases")),
    page("/cases/{name:path}", case),
)
