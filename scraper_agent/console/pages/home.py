"""Today at a glance: what goes on, what waits for somebody, and the last days beside those before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from starlette.responses import Response

from scraper_agent.console import glance
from scraper_agent.console.ask import Ask, Route, page
from scraper_agent.console.pages import runs
from scraper_agent.console.words import state_name
from scraper_agent.errors import AgentError
from scraper_agent.mapping import CHINA_TIME
from scraper_agent.messages import N_
from scraper_agent.people import Role
from scraper_agent.values import State

WAITS = {
    State.HELD: "care",
    State.BLOCKED: "bad",
    State.REJECTED: "bad",
    State.DEAD: "bad",
    State.STOPPED: "bad",
    State.UNKNOWN: "care",
}
"""States in which a person is needed, and how they look."""


def home(ask: Ask) -> Response:
    today = ask.now.astimezone(CHINA_TIME).date()
    try:
        counts, days = ask.archive.counts(), ask.archive.lists.days(glance.first(today))
        unseen = ask.app.unanchored(ask.archive)
    except AgentError as error:
        if error.code != "SA5001":  # nothing was read yet
            raise
        counts, days, unseen = Counter(), [], ""
    names = {key: format.zh if ask.lang == "zh" else format.en for key, format in ask.app.tables.formats.items()}
    return ask.render(
        "home.html",
        today=today,
        unseen=unseen,
        waits=[(s.value, state_name(s), counts[s], WAITS[s]) for s in State if s in WAITS and counts[s]],
        others=[(s.value, state_name(s), counts[s]) for s in State if s not in WAITS and counts[s]],
        glance=glance.at(days, today, names),
        operator=ask.may(Role.OPERATOR),
        **runs.now_values(ask),
    )


ROUTES: Sequence[Route] = (page("/", home, menu=N_("Overview")),)
