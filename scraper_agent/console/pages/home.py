"""Today at a glance."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from scraper_agent.console.ask import Ask, Route, page
from scraper_agent.console.words import state_name
from scraper_agent.messages import N_
from scraper_agent.values import State


def home(ask: Ask) -> Response:
    counts = ask.archive.counts()
    return ask.render(
        "home.html",
        states=[(state.value, state_name(state), counts[state]) for state in State if counts[state]],
    )


ROUTES: Sequence[Route] = (page("/", home, menu=N_("Overview")),)
