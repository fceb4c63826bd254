"""Fifty runs whose session is killed in mid-list: how many read every row, each once, after one new login."""

from __future__ import annotations

import itertools

from playwright.sync_api import sync_playwright

from scraper_agent.capture import discovery
from scraper_agent.ports import Trouble
from scraper_agent.recipe import Recipe
from tests.gauntlet import sessions
from tests.gauntlet.sessions import ROWS, WAYS

TRIES = 50


def measure(tries: int = TRIES) -> dict[str, float]:
    """Every row, before and after it is shown, and every way of opening, one after the other."""
    kills = itertools.cycle(itertools.product(range(1, ROWS + 1), (False, True), WAYS))
    with sync_playwright() as playwright:
        chromium = discovery.launch(playwright, None, headless=True, tell=print)
        resumed = 0
        for row, after, way in itertools.islice(kills, tries):
            with sessions.served() as erp:
                erp.drops, erp.after = {row}, after
                seen = list(sessions.read(chromium, erp, Recipe.model_validate(sessions.recipe_data(way))))
                whole = sessions.orders(seen) == [str(n) for n in range(1, ROWS + 1)]
                once = set(erp.opened.values()) == {1} and len(erp.opened) == ROWS
                # After the last row was read, a session that ends is not asked for again.
                clean = not any(isinstance(each, Trouble) for each in seen) and erp.logins <= 2
                resumed += whole and once and clean
        chromium.close()
    return {"tries": tries, "resumed": resumed}


if __name__ == "__main__":
    print(measure())
