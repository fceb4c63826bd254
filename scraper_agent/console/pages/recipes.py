"""The recipes and how they fare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter
from starlette.responses import Response

from scraper_agent import completeness, mapping
from scraper_agent.console import told
from scraper_agent.console.ask import Ask, Route, page
from scraper_agent.console.pages import log
from scraper_agent.errors import AgentError
from scraper_agent.messages import N_, render
from scraper_agent.values import Completeness, Draft, Fault, JobId, ListRead, Parked, RunEnded, RunStarted

RUNS = 10
FEW = ("RunStarted", "RunEnded", "Parked", "ListRead", "Fault")
FACTS = 500
"""Of a run's lists and faults."""
LOOKED_AT = 20
"""Documents of the last run, for alternatives that were taken."""
_ORIGINS: TypeAdapter[tuple[mapping.Origin, ...]] = TypeAdapter(tuple[mapping.Origin, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run, from its few facts."""

    id: JobId
    began: datetime
    by: str
    version: str
    ended: datetime | None
    how: tuple[str, str]
    """A class of the style sheet, and words."""
    documents: int | None
    lists: Sequence[tuple[str, str, str, str]]
    """Each list's name, the class and word of its certificate, and what speaks against more."""
    worst: tuple[str, str] | None
    """Of the certificates."""
    faults: Sequence[tuple[int, str, str]]
    """Index in the log, where, and why."""


def recipes(ask: Ask) -> Response:
    lists = ask.archive.lists
    rows = []
    for name in lists.recipes():
        newest = lists.runs(name, most=1)
        rows.append((name, _run(ask, newest[0]) if newest else None, _said(ask, name)))
    return ask.render("recipes.html", rows=rows)


def recipe(ask: Ask) -> Response:
    name = ask.path["name"]
    runs = [_run(ask, id) for id in ask.archive.lists.runs(name, most=RUNS)]
    if not runs:
        raise ask.missing()
    taken, looked_at = _alternatives(ask, runs[0].id)
    return ask.render("recipe.html", name=name, runs=runs, release=_said(ask, name), taken=taken, looked_at=looked_at)


def _said(ask: Ask, name: str) -> str:
    """The newest fact about the recipe itself, such as that it was approved; empty if there is none."""
    names = log.people(ask)
    return next(
        (told.sentence(entry, names) for entry in ask.archive.lists.facts(job=JobId(f"recipe/{name}"), most=1)), ""
    )


def _run(ask: Ask, id: JobId) -> Run:
    entries = ask.archive.lists.facts(job=id, kinds=FEW, most=FACTS)
    entries.reverse()
    names = log.people(ask)
    at, begun = next((e.at, e.fact) for e in entries if isinstance(e.fact, RunStarted))
    last = entries[-1]
    # A list that was read before the run was taken up, or begun anew, counts no more; one that counts stands last.
    lists = {e.fact.name: e.fact for e in entries if isinstance(e.fact, ListRead)}
    states = [completeness.of(read) for read in lists.values()]
    worst = min(states, key=completeness.ORDER.index, default=None)
    return Run(
        id=id,
        began=at,
        by=names.get(begun.started_by, begun.started_by[:12]),
        version=begun.recipe_version,
        ended=last.at if isinstance(last.fact, RunEnded | Parked) else None,
        how=_how(last.fact),
        documents=last.fact.documents if isinstance(last.fact, RunEnded) else None,
        lists=[(read.name, *_certificate(completeness.of(read)), _reasons(read)) for read in lists.values()],
        worst=None if worst is None else _certificate(worst),
        faults=[
            (e.index, e.fact.where, f"{e.fact.code} {render(e.fact.text, e.fact.values)}")
            for e in entries
            if isinstance(e.fact, Fault)
        ],
    )


def _how(last: object) -> tuple[str, str]:
    match last:
        case RunEnded(complete=True):
            return "good", render(N_("complete"))
        case RunEnded():
            return "bad", render(N_("incomplete"))
        case Parked(outcome=why):
            return "care", render(N_("waits for a person: {outcome}"), {"outcome": told.outcome(why)})
        case _:
            return "going", render(N_("under way, or ended without saying so"))


def _certificate(of: Completeness) -> tuple[str, str]:
    return told.CERTIFICATES[of][0], told.certificate(of)


def _reasons(read: ListRead) -> str:
    reasons = read.certificate.reasons if read.certificate is not None else ()
    return "; ".join(told.reason(reason) for reason in reasons)


def _alternatives(ask: Ask, run: JobId) -> tuple[list[tuple[str, str, int]], int]:
    """Fields whose first place was not there, which alternative was taken, in how many documents; and of how many."""
    found: Counter[tuple[str, str]] = Counter()
    lines = ask.archive.lists.documents(run=run, most=LOOKED_AT)
    for line in lines:
        draft = ask.archive.job(line.id).facts[0]
        if isinstance(draft, Draft):
            found.update(set(_taken(_origins(ask, draft))))
    return [(field, which, count) for (field, which), count in sorted(found.items())], len(lines)


def _origins(ask: Ask, draft: Draft) -> tuple[mapping.Origin, ...]:
    try:
        return _ORIGINS.validate_json(ask.archive.get(draft.provenance))
    except (AgentError, ValueError):
        return ()  # deleted, or of a document that was not read from pages


def _taken(origins: Iterable[mapping.Origin]) -> Iterable[tuple[str, str]]:
    for origin in origins:
        for step in origin.steps:
            which = step.removeprefix("any_of: ")
            if which != step and not which.startswith("1 of "):
                yield origin.field, which


ROUTES: Sequence[Route] = (
    page("/recipes", recipes, menu=N_("Recipes")),
    page("/recipes/{name:path}", recipe),
)
