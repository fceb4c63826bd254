"""`policy explain | check | sign | diff`: what a robot may do, which policy is in force, and how one comes to be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scraper_agent import adoption, explaining, widening
from scraper_agent.app import App
from scraper_agent.cli import show
from scraper_agent.cli.commands import example
from scraper_agent.errors import UsageError
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


@commands.command(
    help=render(N_("Tell in words what the robot of a recipe can and cannot do under the policy.")),
    epilog=example("policy explain demo/order"),
)
def explain(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help=render(N_("A name such as demo/order, or a file.")))],
) -> None:
    app: App = context.obj.app()
    for section in explaining.explain(app.policy, app.robot(app.recipe(recipe))):
        show.lines([render(section.title), *(f"  - {render(line.text, line.values)}" for line in section.lines)])


@commands.command(
    help=render(N_("Tell what the policy file widens and narrows against the one in force, or another one.")),
    epilog=example("policy diff", "policy diff 1", "policy diff before.yaml after.yaml"),
)
def diff(
    context: typer.Context,
    before: Annotated[
        str | None, typer.Argument(help=render(N_("A file, or the version of a policy that was in force.")))
    ] = None,
    after: Annotated[Path | None, typer.Argument(help=render(N_("A file; default: the policy of the config.")))] = None,
) -> None:
    app: App = context.obj.app()
    if before is None or before.isdecimal():
        old = app.adopted_policy(None if before is None else int(before))
    else:
        old = app.policy_at(Path(before))
    if old is None:
        raise UsageError(
            "SA7180",
            N_("no policy of version {seen} was in force here"),
            hint=N_("name a file in its place; `scraper-agent log show --job policy` lists those that were"),
            seen=before or "-",
        )
    new = app.policy if after is None else app.policy_at(after)
    found = widening.changes(old, new)
    for each in found:
        what, said = (render(part.text, part.values) for part in (each.what, each.said))
        show.lines([f"{render(_DIRECTIONS[each.direction])}: {what}: {said}"])
    if not found:
        show.lines([render(N_("They allow the same."))])


_DIRECTIONS = {"wider": N_("wider"), "narrower": N_("narrower"), "otherwise": N_("otherwise")}
