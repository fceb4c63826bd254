"""`console`: the pages for people, and the tokens that sign in to them."""

from __future__ import annotations

import contextlib
import signal
import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from scraper_agent import app as wiring
from scraper_agent import console as consoles
from scraper_agent import people
from scraper_agent.app import App
from scraper_agent.cli import show
from scraper_agent.cli.commands import example
from scraper_agent.console import session
from scraper_agent.errors import UsageError
from scraper_agent.messages import N_, render
from scraper_agent.people import Role
from scraper_agent.values import TokenChanged

PORT = 8470

commands = typer.Typer(
    rich_markup_mode=None,
    invoke_without_command=True,
    help=render(N_("Pages for people in a browser of this machine: what waits, what happened, what to decide.")),
    epilog=example("console", "console --port 0 --no-open", "console token new zhang.wei"),
)
token = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help=render(N_("Tokens with which other people sign in to the console of this machine.")),
)
commands.add_typer(token, name="token")


@commands.callback()
def console(
    context: typer.Context,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help=render(N_("Port on 127.0.0.1; 0 takes a free one.")))
    ] = PORT,
    no_open: Annotated[bool, typer.Option("--no-open", help=render(N_("Open no browser.")))] = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    until_interrupted(context.obj.app(), context.obj.config, port, no_open=no_open)


def until_interrupted(app: App, config: Path, port: int, *, no_open: bool = False) -> None:
    """Serve the console, and sign whoever is at this terminal in."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has it ignored
    with consoles.serve(app, config=config, port=port, clock=wiring.now) as served:
        link = served.link(wiring.account(), wiring.now())
        minutes = int(session.LINK_LASTS.total_seconds() // 60)
        show.console.print(link, markup=False, soft_wrap=True)
        show.talk.print(
            render(
                N_("The link signs in once, within {minutes} minutes. Ctrl-C ends the console."), {"minutes": minutes}
            )
        )
        with contextlib.ExitStack() as left, contextlib.suppress(KeyboardInterrupt):
            if not no_open:
                page = consoles.doorway(app, link)
                left.callback(page.unlink, missing_ok=True)
                threading.Thread(target=webbrowser.open, args=(page.resolve().as_uri(),), daemon=True).start()
            threading.Event().wait()


@token.command(
    "new",
    help=render(N_("Make a token for a person; it is shown this once.")),
    epilog=example("console token new li.na"),
)
def new(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help=render(N_("Name of the person, as the policy has it.")))],
) -> None:
    app = _administered(context)
    if not people.roles(app.policy.people, name):
        raise UsageError(
            "SA7801",
            N_("the policy names nobody `{seen}`; it names: {known}"),
            hint=N_("give roles under `people` in the policy first"),
            seen=name,
            known=", ".join(sorted(app.policy.people)),
        )
    now = wiring.now()
    made = consoles.token_file(app).make(name, now)
    consoles.note(app, TokenChanged(by=f"person:{wiring.account()}", action="made", name=name))
    show.console.print(made, markup=False, soft_wrap=True)
    day = (now + session.TOKEN_LASTS).astimezone().date().isoformat()
    show.talk.print(render(N_("Good until {day}. Hand it over in person; it is kept nowhere."), {"day": day}))


@token.command("list", help=render(N_("Whose tokens there are, and until when.")), epilog=example("console token list"))
def list_(context: typer.Context) -> None:
    app: App = context.obj.app()
    for each in consoles.token_file(app).read():
        until = each.until.astimezone().isoformat(timespec="minutes")
        typer.echo(show.visible(f"{each.name}  {until}"))


@token.command(
    "revoke",
    help=render(N_("Revoke all tokens of a person; who is signed in by one is signed out.")),
    epilog=example("console token revoke li.na"),
)
def revoke(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help=render(N_("Name of the person, as the policy has it.")))],
) -> None:
    app = _administered(context)
    if not (count := consoles.token_file(app).revoke(name)):
        raise UsageError("SA7802", N_("`{seen}` has no token"), seen=name)
    consoles.note(app, TokenChanged(by=f"person:{wiring.account()}", action="revoked", name=name))
    show.talk.print(render(N_("{count} token(s) revoked."), {"count": count}))


def _administered(context: typer.Context) -> App:
    app: App = context.obj.app()
    people.require(app.policy.people, wiring.account(), Role.ADMINISTRATOR)
    return app
