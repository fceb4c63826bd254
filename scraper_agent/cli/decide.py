"""`job preview | diff | hold | release | exclude`: what a person sees of a document, and decides, before it leaves."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from scraper_agent import preview
from scraper_agent.app import App
from scraper_agent.cli import approving, show
from scraper_agent.cli.commands import example, find_job, have_done
from scraper_agent.errors import UsageError
from scraper_agent.messages import N_, render
from scraper_agent.values import in_force

Name = Annotated[str, typer.Argument(help=render(N_("Its number (or the first digits), or its business key.")))]
Reason = Annotated[str, typer.Option(help=render(N_("Why; goes into the log.")))]


def job_preview(
    context: typer.Context,
    name: Name,
    raw: Annotated[bool, typer.Option("--raw", help=render(N_("The document's own bytes, as they leave.")))] = False,
    request: Annotated[
        bool,
        typer.Option(
            "--envelope",
            help=render(N_("The whole request; before it is signed, with zeros in place of its signature.")),
        ),
    ] = False,
) -> None:
    app: App = context.obj.app()
    with app.archive(read_only=True) as archive:
        found = find_job(archive, name)
        pipeline = app.pipeline(archive, lambda _job, _fact: None)
        document, body = pipeline.document(found), archive.get(in_force(found))
        if request:
            body, signed = pipeline.request(found)
            _exactly(body)
            if not signed:
                show.talk.print(render(N_("Not signed yet: its time and its signature will be others.")), markup=False)
        elif raw:
            _exactly(body)
        else:
            show.console.print(show.document(document, app.tables.formats[document.format]))
            size = render(N_("{count} bytes"), {"count": len(body)})
            show.console.print(f"{in_force(found)}  {size}", markup=False, soft_wrap=True)


def _exactly(body: bytes) -> None:
    """These bytes and no other; a terminal is told of its control characters instead of obeying them."""
    if sys.stdout.isatty():
        show.console.print(show.visible(body.decode(errors="replace")), markup=False, soft_wrap=True)
    else:
        typer.echo(body, nl=False)


def job_diff(
    context: typer.Context,
    name: Name,
    other: Annotated[
        str | None, typer.Argument(help=render(N_("Compare with this one; default: the version sent last.")))
    ] = None,
) -> None:
    app: App = context.obj.app()
    with app.archive(read_only=True) as archive:
        found = find_job(archive, name)
        pipeline = app.pipeline(archive, lambda _job, _fact: None)
        before = find_job(archive, other) if other is not None else pipeline.sent_last(found)
        if before is None:
            show.talk.print(render(N_("The receiver has no version of it yet.")), markup=False)
            return
        old, new = pipeline.document(before), pipeline.document(found)
        if old.format != new.format:
            raise UsageError(
                "SA7163",
                N_("{one} is a {format}, and {other} a {other_format}: they have no fields in common"),
                one=show.short(found.id),
                format=new.format,
                other=show.short(before.id),
                other_format=old.format,
            )
        changes = preview.difference(old, new, app.tables.formats[new.format])
        show.console.print(show.changes(changes, f"{show.short(before.id)} → {show.short(found.id)}"))


def job_hold(context: typer.Context, name: Name, reason: Reason) -> None:
    _do(context, name, "hold", {"reason": reason})


def job_release(
    context: typer.Context,
    name: Name,
    reason: Annotated[str, typer.Option(help=render(N_("Why; goes into the log.")))] = "",
) -> None:
    _do(context, name, "release", {"reason": reason})


def job_exclude(
    context: typer.Context,
    name: Name,
    fields: Annotated[
        list[str], typer.Argument(help=render(N_("Such as remark, lines.goodsName, or lines[3].goodsName.")))
    ],
    reason: Reason,
) -> None:
    _do(context, name, "exclude", {"fields": " ".join(fields), "reason": reason})


def _do(context: typer.Context, name: str, do: str, values: Mapping[str, str]) -> None:
    app: App = context.obj.app()
    with app.archive(read_only=True) as archive:
        found = find_job(archive, name).id
    have_done(app, do, (found,), values)
    approving.tell(app, found)


def add_to(job: typer.Typer) -> None:
    """The commands of the group `job` that are about decisions."""
    table = (
        (
            "preview",
            job_preview,
            N_("Show what leaves: its fields, its exact bytes, or the whole request."),
            ("job preview 3f2a9c", "job preview 3f2a9c --raw > order.json"),
        ),
        (
            "diff",
            job_diff,
            N_("Show what differs from the version that the receiver has, or from another document."),
            ("job diff 3f2a9c",),
        ),
        (
            "hold",
            job_hold,
            N_("Keep back a document that has not left, until it is released; its approval is void."),
            ('job hold 3f2a9c --reason "the price is being asked about"',),
        ),
        (
            "release",
            job_release,
            N_("Keep a document back no more: it is checked and approved anew."),
            ("job release 3f2a9c",),
        ),
        (
            "exclude",
            job_exclude,
            N_("Leave fields out of a document that has never left; it is checked and approved anew."),
            ('job exclude 3f2a9c remark --reason "not for customs"',),
        ),
    )
    for name, command, help, examples in table:
        job.command(name, help=render(help), epilog=example(*examples))(command)
