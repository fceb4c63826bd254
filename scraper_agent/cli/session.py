"""`session list | clear | forget`, `login`, `secret set`: what a person does so that the robot can log in."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from scraper_agent import accounts, vault
from scraper_agent import app as wiring
from scraper_agent.app import App
from scraper_agent.cli import show
from scraper_agent.cli.commands import assignment, example
from scraper_agent.errors import UsageError
from scraper_agent.messages import N_, render
from scraper_agent.values import AccountStopped, Cleared, Parked

commands = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help=render(N_("Logins and kept sessions.")))


@commands.command(
    "list",
    help=render(N_("List accounts that rest, kept sessions, and runs that wait for a person.")),
    epilog=example("session list"),
)
def list_(context: typer.Context) -> None:
    app: App = context.obj.app()
    runs: list[tuple[str, Parked]] = []
    rests: dict[str, dict[str, AccountStopped]] = {}
    if (app.home / app.config.archive).is_file():
        with app.archive(read_only=True) as archive:
            runs = [(id, fact) for id in archive.runs() if isinstance(fact := archive.last(id), Parked)]
            rests = {id: accounts.stopped(archive.job(id)) for id in archive.accounts()}
    for id, found in rests.items():
        for stopped in found.values():
            told = {"erp": id.removeprefix("session/"), "outcome": show.outcome(stopped.outcome), "run": stopped.run}
            text = N_("{erp}: the account rests since {run}: {outcome}; `scraper-agent session clear {erp}`")
            show.lines([render(text, told)])
    for path in _files(app):
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


@commands.command(
    "forget", help=render(N_("Remove the kept session of an ERP.")), epilog=example("session forget demo")
)
def forget(
    context: typer.Context,
    erp: Annotated[str, typer.Argument(help=render(N_("First part of its recipes' names, such as demo.")))],
) -> None:
    app: App = context.obj.app()
    path = next((p for p in _files(app) if p.stem == erp), None)
    if path is None:
        raise UsageError("SA7141", N_("no session of {erp} is kept"), erp=erp)
    path.unlink()
    show.lines([render(N_("{path} is removed."), {"path": path})])


def _files(app: App) -> list[Path]:
    return sorted((app.home / app.config.sessions).glob("*.session"))


# --- login, secret --------------------------------------------------------------------------------------------------


def login(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help=render(N_("A recipe such as demo/order, or an ERP such as demo.")))],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help=render(N_("A parameter of the recipe: name=value.")))
    ] = None,
) -> None:
    app: App = context.obj.app()
    loaded = app.recipe(app.recipe_of(name))
    given = dict(assignment(text) for text in set_ or [])
    values = app.parameters(loaded, given)
    show.talk.print(render(N_("Log in in the window that opens; nothing that you type is kept, but the session is.")))
    path = app.log_in(loaded, values)
    show.lines([render(N_("The session is kept, encrypted, in {path}."), {"path": path})])


secret = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help=render(N_("Secrets in the system's keyring.")))


@secret.command(
    "set",
    help=render(N_("Keep a secret of an ERP in the keyring entry that the config names for it.")),
    epilog=example("secret set demo password"),
)
def set_secret(
    context: typer.Context,
    erp: Annotated[str, typer.Argument(help=render(N_("First part of its recipes' names, such as demo.")))],
    name: Annotated[str, typer.Argument(help=render(N_("What the recipe calls it, such as password.")))],
) -> None:
    app: App = context.obj.app()
    known = app.config.erps[erp].secrets if erp in app.config.erps else {}
    entry = known[name].keyring if name in known else None
    if entry is None:
        raise UsageError(
            "SA7142",
            N_("the config names no keyring entry for the secret `{name}` of {erp}"),
            hint=N_("write under `erps: {erp}: secrets:` the line `{name}: {{keyring: scraper_agent/{erp}.{name}}}`"),
            erp=erp,
            name=name,
        )
    value = app.prompt(f"{erp}.{name}")
    if not value:
        raise UsageError("SA7143", N_("an empty secret is not kept"))
    service, _, user = entry.partition("/")
    vault.put(service, user, value)
    show.lines([render(N_("The keyring holds {entry}."), {"entry": entry})])
