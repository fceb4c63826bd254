"""Requests that the read-only guard did not let through."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from starlette.responses import Response

from scraper_agent.archive.listed import PAGE
from scraper_agent.console.ask import Ask, Route, page
from scraper_agent.mapping import CHINA_TIME
from scraper_agent.messages import N_, render
from scraper_agent.values import Refused

DAYS = 14


def refused(ask: Ask) -> Response:
    lists = ask.archive.lists
    before = ask.query.get("before", "")
    entries = lists.facts(kinds=["Refused"], before=int(before) if before.isdecimal() and len(before) < 16 else None)  # noqa: PLR2004
    today = ask.now.astimezone(CHINA_TIME).date()
    counts = {each.day: each.number for each in lists.days(today - timedelta(days=DAYS - 1)) if each.what == "refused"}
    return ask.render(
        "refused.html",
        rows=[(e, e.fact, render(e.fact.reason)) for e in entries if isinstance(e.fact, Refused)],
        days=[(day, counts.get(day, 0)) for day in (today - timedelta(days=n) for n in range(DAYS))],
        older=f"/refused?before={entries[-1].index}" if len(entries) == PAGE else "",
        newest="/refused" if before else "",
    )


ROUTES: Sequence[Route] = (page("/refused", refused, menu=N_("Refused requests")),)
