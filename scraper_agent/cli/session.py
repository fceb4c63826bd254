"""`session list | clear | forget`, `login`, `secret set`: what a person does so that the robot can log in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from scraper_agent import accounts
from scraper_agent import app as wiring
from scraper_agent.app import App
from scraper_agent.cli import show
from scraper_agent.cli.commands import example
from scraper_agent.errors import UsageError
from scraper_agent.messages import N_, render
from scraper_agent.values import Cleared, Parked

commands = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help=render(N_("Logins and kept sessions.")))


@commands.command(
    "list",
    help=render(N_("List accounts that rest, kept sessions, and runs that wait for a person.")),
    epilog=example("session list"),
)
def list_(context: typer.Context) -> None:
    app: App = context.obj.app()
    with app.archive(read_only=True) as archive:
        runs = [(id, fact) for id in archive.runs() if isinstance(fact := archive.last(id), Parked)]
        rests = {id: accounts.stopped(archive.job(id)) for id in archive.accounts()}
    for id, found in rests.items():
        for stopped in found.values():
            told = {"erp": id.removeprefix("session/"), "outcome": show.outcome(stopped.outcome), "run": stopped.run}
            text = N_("{erp}: the account rests since {run}: {outcome}; `scraper-agent session clear {erp}`")
            show.lines([render(text, told)])
    for path in sorted((app.home / app.config.sessions).glob("*.session")):
        since = datetime.fromtimestamp(path.stat().st_mtime).astimezone()
        show.lines(
            [render(N_("{erp}: a session is kept, from {when}"), {"erp": path.stem, "when": f"{since:%Y-%m-%d %H:%M}"})]
        )
    for id, fact in runs:
        show.lines([f"{id}  {show.parked(fact)}"])


@commands.command(
    "clear",
    help=render(N_("Say that the accounts of an ERP are in order again, after a wrong password or a lock-out.")),
    epilog=example("session clear demo"),
)
def clear(
    context: typer.Context,
    erp: Annotated[str, typer.Argument(help=render(N_("First part of its recipes' names, such as demo.")))],
) -> None:
    app: App = context.obj.app()
    with app.archive() as archive:
        job = accounts.job_id(erp)
        if not accounts.stopped(archive.job(job)):
            raise UsageError("SA7140", N_("no account of {erp} rests"), erp=erp)
        archive.append(job, archive.length(job), Cleared(by=f"person:{wiring.account()}"))
    show.lines([render(N_("The accounts of {erp} may be logged in with again."), {"erp": erp})])
