"""What the enterprise allows: the policy as it is in force, and who has which role."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from scraper_agent import canonical
from scraper_agent.console.ask import Ask, Route, page
from scraper_agent.messages import N_, render
from scraper_agent.people import Role

ROLES = {
    Role.OPERATOR: N_("operator"),
    Role.APPROVER: N_("approver"),
    Role.AUDITOR: N_("auditor"),
    Role.ADMINISTRATOR: N_("administrator"),
}


def policy(ask: Ask) -> Response:
    people = [
        (name, [render(ROLES[role]) for role in Role if role in person.roles])
        for name, person in ask.app.policy.people.items()
    ]
    source = ask.app.policy_source
    return ask.render(
        "policy.html",
        text=source.decode("utf-8", "replace"),
        digest=canonical.digest(source),
        path=str(ask.app.config.policy),
        people=people,
    )


ROUTES: Sequence[Route] = (page("/policy", policy, menu=N_("Policy")),)
