"""The pages, by subject. The order is that of the menu."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scraper_agent.console.ask import Route
from scraper_agent.console.pages import (
    approvals,
    cases,
    destinations,
    document,
    documents,
    home,
    keys,
    log,
    own,
    policy,
    recipes,
    refused,
    runs,
)


class Pages(Protocol):
    ROUTES: Sequence[Route]


PAGES: tuple[Pages, ...] = (
    home,
    runs,
    approvals,
    documents,
    document,
    cases,
    log,
    refused,
    recipes,
    destinations,
    policy,
    keys,
    own,
)
