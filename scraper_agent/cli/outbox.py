"""`send`, and `job show | retry | withdraw | export`: what leaves, what waits until when, what a person wants done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from scraper_agent import app as wiring
from scraper_agent import approval
from scraper_agent.app import OPEN, App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.cli import decide, show
from scraper_agent.cli.commands import (
    Session,
    draft_of,
    example,
    find_job,
    have_done,
    job_show,
    progress,
    report,
    state_of,
)
from scraper_agent.console import words
from scraper_agent.errors import AgentError, SendFailed, SendUnknown, UsageError
from scraper_agent.messages import N_, render
from scraper_agent.orders import MOST_TARGETS
from scraper_agent.pipeline import Pipeline
from scraper_agent.values import Delivered, Digest, Draft, Envelope, Excluded, Fact, Job, JobId, Receipt, State, state


class _ByName(TyperGroup):
    """`job NAME` is `job show NAME`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


job = typer.Typer(
    cls=_ByName,
    rich_markup_mode=None,
    help=render(
        N_(
            "One document: show it (`job NAME` is short for `job show NAME`), hold it back, leave fields out, send it "
            "again, or withdraw it."
        )
    ),
)
job.command(
    "show",
    help=render(N_("Show one document: its values, findings, facts, and where each value was read; or one run.")),
    epilog=example("job show 3f2a9c", "job PO202603-0019 --origins"),
)(job_show)

decide.add_to(job)

_Name = Annotated[str, typer.Argument(help=render(N_("Its number (or the first digits), or its business key.")))]


@job.command(
    "retry",
    help=render(N_("Have documents sent again at once that wait or were given up; they leave with the next `send`.")),
    epilog=example("job retry 3f2a9c", "job retry --all"),
)
def job_retry(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(help=render(N_("Their numbers (or the first digits), or business keys.")))
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help=render(N_("All that wait, and all dead letters.")))] = False,
    absent: Annotated[
        bool,
        typer.Option(
            "--absent", help=render(N_("The receiving side says that it has none of these, though they may have left."))
        ),
    ] = False,
) -> None:
    app: App = context.obj.app()
    if bool(names) == all_:
        raise UsageError("SA7160", N_("name the documents to send again, or say `--all`"))
    with app.archive(read_only=True) as archive:
        ids = list(_all(archive)) if all_ else [find_job(archive, name).id for name in names or ()]
    values = {"absent": "yes"} if absent else {}
    for start in range(0, len(ids), MOST_TARGETS):
        have_done(app, "resend", ids[start : start + MOST_TARGETS], values)
    told = render(N_("{count} document(s) leave with the next `send`."), {"count": len(ids)})
    show.console.print(told, markup=False)


def _all(archive: SqliteArchive) -> Iterator[JobId]:
    yield from archive.in_state(State.WAITING)
    yield from archive.in_state(State.DEAD)  # after the others: each waits as soon as it is told of


@job.command(
    "withdraw",
    help=render(
        N_("Stop a document that has not left; for one that was accepted, make the version that takes it back.")
    ),
    epilog=example('job withdraw 3f2a9c --reason "entered twice"'),
)
def job_withdraw(
    context: typer.Context,
    name: _Name,
    reason: Annotated[str, typer.Option(help=render(N_("Why; goes into the log.")))],
) -> None:
    app: App = context.obj.app()
    with app.archive(read_only=True) as archive:
        found = find_job(archive, name).id
    have_done(app, "withdraw", (found,), {"reason": reason})
    with app.archive(read_only=True) as archive:
        draft = draft_of(archive.job(found))
        versions = map(archive.job, archive.documents(format=draft.format, key=draft.key))
        made = [each for each in versions if draft_of(each).replaces == found and draft_of(each).withdrawn_by]
        _tell_withdrawn(made[-1] if made else archive.job(found), new=bool(made))


@job.command(
    "export",
    help=render(N_("Write the document, the request and its receipt into a folder, as they left and came.")),
    epilog=example("job export 3f2a9c --to evidence"),
)
def job_export(
    context: typer.Context,
    name: _Name,
    to: Annotated[Path, typer.Option("--to", help=render(N_("The folder; it is made, and nothing in it replaced.")))],
) -> None:
    app: App = context.obj.app()
    with app.archive(read_only=True) as archive:
        for stem, digest in _bodies(find_job(archive, name)).items():
            body = archive.get(digest)
            path = to / f"{stem}.{'xml' if body.startswith(b'<') else 'json'}"
            try:
                to.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as file:
                    file.write(body)
            except OSError as error:
                raise UsageError(
                    "SA7161",
                    N_("{path} cannot be written: {reason}"),
                    hint=N_("name a folder that has none of these files"),
                    path=path,
                    reason=error.strerror,
                ) from error
            show.console.print(str(path), markup=False, soft_wrap=True)


def _bodies(of: Job) -> dict[str, Digest]:
    """By the name of its file; of what was signed more than once, the last."""
    found: dict[str, Digest] = {}
    for fact in of.facts:
        match fact:
            case Draft(document=digest) | Excluded(document=digest):
                found["document"] = digest
            case Envelope(envelope=digest):
                found["request"] = digest
            case Delivered(receipt=str(digest)):
                found["interim-receipt"] = digest
            case Receipt(receipt=digest):
                found["receipt"] = digest
            case _:
                pass
    return found


def _tell_withdrawn(done: Job, *, new: bool) -> None:
    show.console.print(f"{show.short(done.id)}  {words.state_name(state(done))}", markup=False, soft_wrap=True)
    if new:
        told = render(
            N_("It leaves when a person approves it: `scraper-agent approve {id}`."), {"id": show.short(done.id)}
        )
        show.talk.print(show.visible(told), markup=False, soft_wrap=True)


Wait = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="MINUTES", help=render(N_("Go on with what comes due, for so long or until nothing waits."))
    ),
]


def send(context: typer.Context, wait: Wait = None) -> None:
    advance(context.obj.app(), wait)


Look = Callable[[Pipeline, list[Job]], list[AgentError]]
"""What is wrong with the answers to documents that were accepted just now."""


def advance(
    app: App, wait: int | None, formats: Collection[str] | None = None, look: Look = lambda _pipeline, _taken: []
) -> None:
    """Take what is open as far as it goes; `formats`: of these alone. Ends with what stopped any document."""
    ended = Counter[State]()
    answered: dict[JobId, None] = {}

    def wanted(id: JobId) -> bool:
        return formats is None or id.split("/")[1] in formats

    def watch(id: JobId, fact: Fact) -> None:
        stands = state(Job(id=id, facts=(fact,)))
        if stands not in OPEN:
            ended[stands] += 1
        if isinstance(fact, Receipt):
            answered[id] = None

    with app.archive() as archive, progress() as bar:
        until = wiring.now() + timedelta(minutes=wait or 0)
        pipeline = app.pipeline(archive, watch)
        stopped = app.deliver(pipeline, archive, until=wiring.now(), sleep=app.rest, wanted=wanted)
        session = Session(app=app, archive=archive, bar=bar)
        session.documents = dict.fromkeys(filter(wanted, _unsigned(app, archive)))
        unsigned = session.advance() if session.documents else []
        if wait is not None:
            stopped = app.deliver(pipeline, archive, until=until, sleep=app.rest, wanted=wanted)
            unsigned = [error for error in unsigned if not isinstance(error, SendFailed | SendUnknown)]
        answered |= session.documents
        taken = [archive.job(id) for id in answered if state_of(archive, id) is State.RECEIPTED]
        stopped += [*unsigned, *app.overdue(pipeline, archive), *look(pipeline, taken)]
        counts = archive.counts()
        if formats is not None:
            counts = Counter({each: sum(map(wanted, archive.in_state(each))) for each in counts})
        tell_open(archive, counts, _away_until(pipeline))
    for tally in session.tallies.values():
        ended.update({each: n for each, n in tally.states.items() if each not in OPEN})
    ended.update({each: counts[each] for each in OPEN if counts[each]})
    show.console.print(
        "  ".join(f"{words.state_name(s)} {n}" for s, n in ended.items()) or render(N_("nothing to send"))
    )
    report(stopped)
    if stopped:
        raise typer.Exit(stopped[0].exit_code)


def _away_until(pipeline: Pipeline) -> datetime | None:
    """When a receiver that is away is tried again, of several the first; None if none is away."""
    times = (each.until for each in pipeline.breakers() if each.open)
    return min((each for each in times if each is not None), default=None)


def _unsigned(app: App, archive: SqliteArchive) -> Iterator[JobId]:
    """What is to be checked and signed; and what waits, of formats that wait for their business case to be complete."""
    yield from archive.in_state(State.READ)
    yield from archive.in_state(State.APPROVED)
    if any(approval.waits_for_case(app.policy, format) for format in app.policy.automatic):
        held = archive.in_state(State.HELD)
        yield from (id for id in held if approval.waits_for_case(app.policy, id.split("/")[1]))


def tell_open(archive: SqliteArchive, counts: Counter[State], away_until: datetime | None) -> None:
    """What waits until when, what has no receipt yet, and what was given up."""
    lines: list[tuple[str, dict[str, object]]] = []
    if away_until is not None:
        lines.append((N_("The receiver is away; it is tried again at {when}."), {"when": _local(away_until)}))
    if counts[State.WAITING] and (span := archive.due_span()):
        first, last = map(_local, span)
        told = N_("{count} document(s) wait to be sent again, the first until {first}, the last until {last}.")
        lines.append((told, {"count": counts[State.WAITING], "first": first, "last": last}))
    if counts[State.DELIVERED] and (since := archive.oldest(State.DELIVERED)):
        told = N_("{count} document(s) were handed over and have no receipt yet, the oldest since {when}.")
        lines.append((told, {"count": counts[State.DELIVERED], "when": _local(since)}))
    if counts[State.DEAD]:
        told = N_("{count} dead letter(s): `scraper-agent jobs --state dead`, then `scraper-agent job retry NAME`.")
        lines.append((told, {"count": counts[State.DEAD]}))
    for text, values in lines:
        show.talk.print(show.visible(render(text, values)), markup=False, soft_wrap=True)


def _local(moment: datetime) -> str:
    return moment.astimezone().isoformat(sep=" ", timespec="seconds")
