"""What concerns only who is signed in: the language."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from scraper_agent.console.ask import Ask, Route, action, is_own


def language(ask: Ask) -> Response:
    wanted = ask.form.get("lang", "")
    if wanted in ("zh", "en"):
        ask.session.lang = wanted
    back = ask.form.get("back", "/")
    return ask.redirect(back if is_own(back) else "/")


ROUTES: Sequence[Route] = (action("/language", language, role=None),)
