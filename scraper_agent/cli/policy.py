"""`policy check | sign`: which policy is in force, and how one comes to be."""

from __future__ import annotations

from typing import Annotated

import typer

from scraper_agent import adoption
from scraper_agent.app import App
from scraper_agent.cli import show
from scraper_agent.cli.commands import example
from scraper_agent.messages import N_, render
from scraper_agent.signing import keystate

commands = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help=render(N_("What the enterprise allows, above all recipes: explained, compared, signed.")),
)


@commands.command(
    help=render(N_("Check the policy and its signature, and tell whether it is the one in force.")),
    epilog=example("policy check"),
)
def check(context: typer.Context) -> None:
    app: App = context.obj.app()
    path = app.home / app.config.policy
    keys = ", ".join(sorted(app.policy_keys)) or "-"
    show.lines(
        [
            render(N_("{path}: version {version}"), {"path": path, "version": app.policy.version or "-"}),
            render(N_("It may be signed with the keys: {keys}"), {"keys": keys}),
        ]
    )
    signed = app.signed_policy()
    told = {
        "when": keystate.shown(signed.said.issued),
        "by": signed.said.by.removeprefix("person:"),
        "sk": signed.adopted.key_index,
        "reason": signed.said.reason or "-",
    }
    new = adoption.admit(app.adopted(), signed.said.version, signed.said.policy)
    show.lines(
        [
            render(N_("Signed on {when} by {by}, with key {sk}; reason: {reason}"), told),
            render(N_("It comes into force with its first use.") if new else N_("It is in force.")),
        ]
    )


@commands.command(
    help=render(N_("Sign the policy as it is now; it is in force from its next use on.")),
    epilog=example("policy sign", 'policy sign --reason "orders of 2026 only"'),
)
def sign(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help=render(N_("Why; goes into the log.")))] = "",
) -> None:
    app: App = context.obj.app()
    said = app.sign_policy(reason)
    show.lines([str(app.policy_signature)])
    told = {"version": said.version, "digest": said.policy}
    show.lines([render(N_("Version {version} is signed: {digest}"), told)])
