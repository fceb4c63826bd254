"""Hard pages, hand-made: every value of every row is read, by a recipe alone, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from scraper_agent import canonical, mapping
from scraper_agent.authoring import load
from scraper_agent.capture.browser import PlaywrightBrowser, Settings
from scraper_agent.formats import FORMATS
from scraper_agent.ports import Page, Sighting, Trouble
from tests.gauntlet import serve_flow

RECIPES = sorted(p for p in serve_flow.PAGES.glob("*.yaml") if not p.name.endswith(".truth.yaml"))


@pytest.fixture(scope="module")
def site() -> Iterator[serve_flow.Site]:
    with serve_flow.served() as site:
        yield site


def harvested(path: Path, site: serve_flow.Site, **parameters: str) -> tuple[load.Loaded, list[Sighting]]:
    loaded = load.load(path, FORMATS)
    browser = PlaywrightBrowser(settings=Settings(images=False), secret=lambda name: f"secret of {name}")
    defaults = {name: p.default for name, p in loaded.recipe.parameters.items() if p.default is not None}
    given = {"base": site.here, "other": site.there, **defaults, **parameters}
    return loaded, list(browser.harvest(loaded.recipe, given))


def readings(loaded: load.Loaded, seen: list[Sighting]) -> list[mapping.Reading]:
    reader = mapping.Reader(recipe=loaded.recipe, format=FORMATS["purchaseOrder"], lookups={}, profile={})
    found: list[mapping.Reading] = []
    for each in seen:
        if isinstance(each, Trouble):
            raise each.error
        if isinstance(each, Page):
            digest = canonical.digest(each.frozen)
            if reader.is_beside(each.name):
                reader.lay_beside(each.name, each.frozen, digest)
            elif each.name == loaded.recipe.document.page:
                found.append(reader.read(each.frozen, digest))
    return found


def told(reading: mapping.Reading) -> Mapping[str, Any]:
    assert reading.unread == ()
    lines = [[str(value) for value in line.values()] for line in reading.lines]
    return {**{id: str(value) for id, value in reading.header.items()}, "lines": lines}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_value_of_every_row_is_read(path: Path, site: serve_flow.Site) -> None:
    site.failures = 2
    truth = yaml.safe_load(path.with_suffix(".truth.yaml").read_text(encoding="utf-8"))
    assert [told(reading) for reading in readings(*harvested(path, site))] == truth
