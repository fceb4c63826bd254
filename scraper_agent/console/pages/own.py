"""What concerns only who is signed in: the language."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from scraper_agent.console.ask import Ask, Route, action


def language(ask: Ask) -> Response:
    wanted = ask.form.get("lang", "")
    if wanted in ("zh", "en"):
        ask.session.lang = wanted
    return ask.redirect("/")


ROUTES: Sequence[Route] = (action("/language", language, role=None),)
