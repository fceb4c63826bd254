"""The pages, by subject. The order is that of the menu."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scraper_agent.console.ask import Route
from scraper_agent.console.pages import home, own, runs


class Pages(Protocol):
    ROUTES: Sequence[Route]


PAGES: tuple[Pages, ...] = (home, runs, own)
