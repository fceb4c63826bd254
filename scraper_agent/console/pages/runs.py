"""Runs: what goes on now, what was, one in full, and beginning another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

from starlette.responses import Response

from scraper_agent import completeness
from scraper_agent import control as controls
from scraper_agent.app import builtin_recipes
from scraper_agent.console import running
from scraper_agent.console.ask import Ask, Route, action, page
from scraper_agent.console.journal import note
from scraper_agent.console.words import state_name
from scraper_agent.errors import AgentError, UsageError
from scraper_agent.messages import N_, render
from scraper_agent.people import Role
from scraper_agent.values import Completeness, JobId, ListRead, Parked, RunOrdered, State

PAGE = 25
MOST_DOCUMENTS = 1_000_000
_DIGITS = 15
"""As many as surely fit into an integer of SQL."""


def now_values(ask: Ask) -> dict[str, Any]:
    """What the part `now.html` shows: the switches, and the run that goes on."""
    control = ask.app.control
    try:
        of = running.progress(ask.archive, busy=running.busy(ask.app))
    except AgentError as error:
        if error.code != "SA5001":  # nothing was read yet
            raise
        of = None
    return {
        "told": controls.told,
        "pause": control.marker("pause"),
        "stop": control.marker("stop"),
        "going": of,
        "how": None if of is None else running.said(of.run.how),
        "stands": [] if of is None else _standing(of.standing),
    }


def live(ask: Ask) -> Response:
    return ask.render("now.html", **now_values(ask))


def runs(ask: Ask) -> Response:
    before = ask.query.get("before", "")
    found, more = running.runs(
        ask.archive,
        busy=running.busy(ask.app),
        most=PAGE,
        before=int(before) if before.isascii() and before.isdigit() and len(before) <= _DIGITS else None,
    )
    return ask.render(
        "runs.html",
        runs=[(each, running.said(each.how), running.starter(each.started.started_by, _people(ask))) for each in found],
        more=more,
        children=ask.children.all(),
        operator=ask.may(Role.OPERATOR),
        **now_values(ask),
    )


def one(ask: Ask) -> Response:
    id = JobId(f"run/{ask.path['id']}")
    if not ask.archive.lists.facts(job=id, kinds=["RunStarted"], most=1):
        raise ask.missing()
    newest = running.newest(ask.archive, busy=running.busy(ask.app))
    of = newest if newest is not None and newest.id == id else running.run(ask.archive, id, busy=False)
    last = ask.archive.last(id)
    return ask.render(
        "run.html",
        run=of,
        said=running.said(of.how),
        starter=running.starter(of.started.started_by, _people(ask)),
        parked=last if isinstance(last, Parked) else None,
        standing=_standing(ask.archive.standing_of(id)),
        lists=[_listed(each) for each in running.lists_of(ask.archive, id)],
        faults=[(entry.at, entry.fact) for entry in running.faults_of(ask.archive, id)],
        refused=running.refused_of(ask.archive, id),
        most=running.MOST,
        render=render,
        **now_values(ask),
    )


def _listed(read: ListRead) -> tuple[ListRead, Completeness, list[str]]:
    reasons = read.certificate.reasons if read.certificate is not None else ()
    return read, completeness.of(read), [render(reason.text, reason.values) for reason in reasons]


def _standing(counts: dict[State, int]) -> list[tuple[str, str, int]]:
    return [(state.value, state_name(state), counts[state]) for state in State if counts.get(state)]


def _people(ask: Ask) -> Any:
    return ask.app.policy.people


# --- what people do -------------------------------------------------------------------------------------------------


def switch(ask: Ask) -> Response:
    """`do`: pause, resume or stop."""
    told = {
        "pause": N_("Paused: what runs waits, and nothing is opened, signed or sent."),
        "resume": N_("Resumed."),
        "stop": N_("Stopped: what runs ends after the step it is in, and nothing begins until it is resumed."),
    }
    do = ask.form.get("do", "")
    if do not in told:
        raise ask.missing()
    ask.desk.do(do, [], ask.person, {"reason": ask.form.get("reason", "").strip()}, via="console")
    return ask.redirect("/runs", render(told[do]))


def begin(ask: Ask) -> Response:
    return ask.render("begin.html", recipes=_recipes(ask), wanted=ask.query.getlist("recipe"))


def start(ask: Ask) -> Response:
    arguments = _run(ask) if ask.form.get("do") == "run" else ["send"]
    stop = ask.app.control.marker("stop")
    if stop is not None:
        raise ask.app.control.stop_error()
    command = " ".join(arguments)
    note(ask.app, RunOrdered(by=f"person:{ask.person}", command=command))
    ask.children.begin(arguments, person=ask.person, lang=ask.lang, now=ask.now)
    return ask.redirect("/runs", render(N_("Begun: {command}"), {"command": command}))


def _run(ask: Ask) -> list[str]:
    """The arguments of `run`; nothing of them is taken from the form without being known.

    Raises:
        UsageError: something in the form is not.
    """
    known, chosen = _recipes(ask), ask.form.getlist("recipe")
    if not chosen or any(each not in known for each in chosen):
        raise UsageError("SA7709", N_("choose at least one of the recipes"))
    arguments = ["run", *chosen]
    if since := ask.form.get("since", ""):
        try:
            arguments.append(f"--since={date.fromisoformat(since).isoformat()}")
        except ValueError:
            raise UsageError("SA7010", N_("`{seen}` is no date; expected YYYY-MM-DD"), seen=since) from None
    if ask.form.get("full"):
        arguments.append("--full")
    if ask.form.get("dry_run"):
        arguments.append("--dry-run")
    if most := ask.form.get("max_documents", ""):
        if not (most.isascii() and most.isdigit() and 0 < int(most) <= MOST_DOCUMENTS):
            raise UsageError("SA7710", N_("`{seen}` is no number of documents"), seen=most)
        arguments.append(f"--max-documents={int(most)}")
    return arguments


def _recipes(ask: Ask) -> list[str]:
    """Names of the recipes of this installation, and of those that come with the package for its ERPs."""
    return sorted(set(_named(ask)))


def _named(ask: Ask) -> Iterator[str]:
    own = ask.app.home / ask.app.config.recipes
    for folder, erps in ((own, None), (builtin_recipes(), ask.app.config.erps)):
        for path in folder.glob("*/*.yaml"):
            if path.stem != "lookups" and (erps is None or path.parent.name in erps):
                yield f"{path.parent.name}/{path.stem}"


ROUTES: Sequence[Route] = (
    page("/runs", runs, menu=N_("Runs")),
    page("/runs/live", live, quiet=True),
    page("/runs/begin", begin),
    action("/runs/begin", start, role=Role.OPERATOR),
    action("/control", switch, role=Role.OPERATOR),
    page("/runs/{id:path}", one),
)
