"""What the enterprise allows: the policy as it is in force, and who has which role."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from starlette.responses import Response

from scraper_agent import adoption, canonical, explaining
from scraper_agent.console.ask import Ask, Route, page
from scraper_agent.errors import AgentError
from scraper_agent.messages import N_, render
from scraper_agent.people import Role
from scraper_agent.signing import keystate

ROLES = {
    Role.OPERATOR: N_("operator"),
    Role.APPROVER: N_("approver"),
    Role.AUDITOR: N_("auditor"),
    Role.ADMINISTRATOR: N_("administrator"),
}


Told: TypeAlias = tuple[str, tuple[str, ...]]
"""A heading and what stands under it."""


def policy(ask: Ask) -> Response:
    people = [
        (name, [render(ROLES[role]) for role in Role if role in person.roles])
        for name, person in ask.app.policy.people.items()
    ]
    source = ask.app.policy_source
    recipes = ask.archive.lists.recipes()
    chosen = ask.query.get("recipe", "") or next(iter(recipes), "")
    if chosen and chosen not in recipes:
        raise ask.missing()
    return ask.render(
        "policy.html",
        standing=_standing(ask),
        recipes=recipes,
        chosen=chosen,
        told=_told(ask, chosen) if chosen else (),
        text=source.decode("utf-8", "replace"),
        digest=canonical.digest(source),
        path=str(ask.app.config.policy),
        people=people,
    )


def _standing(ask: Ask) -> tuple[str, ...]:
    """Whether it is signed, and in force."""
    try:
        signed = ask.app.signed_policy()
        new = adoption.admit(adoption.newest(ask.archive), signed.said.version, signed.said.policy)
    except AgentError as error:
        return (render(error.text, error.values),)
    values = {
        "when": keystate.shown(signed.said.issued),
        "by": signed.said.by.removeprefix("person:"),
        "sk": signed.adopted.key_index,
        "reason": signed.said.reason or "-",
    }
    return (
        render(N_("Signed on {when} by {by}, with key {sk}; reason: {reason}"), values),
        render(N_("It comes into force with its first use.") if new else N_("It is in force.")),
    )


def _told(ask: Ask, recipe: str) -> tuple[Told, ...]:
    """What the robot of a recipe can and cannot do, as the recipe is now."""
    try:
        sections = explaining.explain(ask.app.policy, ask.app.robot(ask.app.recipe(recipe)))
    except AgentError as error:
        return ((recipe, (render(error.text, error.values),)),)
    return tuple(
        (render(each.title), tuple(render(line.text, line.values) for line in each.lines)) for each in sections
    )


ROUTES: Sequence[Route] = (page("/policy", policy, menu=N_("Policy")),)
