"""`pause`, `resume`, `stop`: what people want of whatever runs, in force within two seconds."""

from __future__ import annotations

from typing import Annotated

import typer

from scraper_agent import app as wiring
from scraper_agent.app import App
from scraper_agent.cli import show
from scraper_agent.cli.commands import example
from scraper_agent.messages import N_, render

Reason = Annotated[str, typer.Option(help=render(N_("Why; goes into the log.")))]


def add_to(cli: typer.Typer) -> None:
    cli.command(
        "pause",
        help=render(
            N_(
                "Let whatever runs stand still within 2 s, and whatever begins wait, until `resume`; nothing is lost. "
                "An empty file control/pause made by hand does the same."
            )
        ),
        epilog=example("pause", 'pause --reason "month end in the ERP"'),
    )(pause)
    cli.command(
        "resume",
        help=render(N_("Lift a pause and a stop; what stood still goes on where it was.")),
        epilog=example("resume"),
    )(resume)
    cli.command(
        "stop",
        help=render(
            N_(
                "End whatever runs within 2 s, with exit code 5, and let nothing begin until `resume`; the next run "
                "goes on at the same record. An empty file control/stop made by hand does the same."
            )
        ),
        epilog=example('stop --reason "the ERP is being repaired"'),
    )(stop)


def pause(context: typer.Context, reason: Reason = "") -> None:
    _switch(context, "pause", reason)
    show.lines([render(N_("Paused; `scraper-agent resume` lets it go on."))])


def resume(context: typer.Context, reason: Reason = "") -> None:
    _switch(context, "resume", reason)
    show.lines([render(N_("Neither a pause nor a stop is in force."))])


def stop(context: typer.Context, reason: Reason = "") -> None:
    _switch(context, "stop", reason)
    show.lines([render(N_("Stopped; nothing begins until `scraper-agent resume`."))])


def _switch(context: typer.Context, do: str, reason: str) -> None:
    app: App = context.obj.app()
    app.desk.do(do, (), wiring.account(), {"reason": reason})
