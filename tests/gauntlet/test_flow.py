"""Hard pages, hand-made: every value of every row is read, by a recipe alone, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from scraper_agent import canonical, mapping
from scraper_agent.authoring import load
from scraper_agent.capture.browser import Settings
from scraper_agent.formats import FORMATS
from scraper_agent.page import FrozenPage
from scraper_agent.ports import Page, Sighting, Trouble
from scraper_agent.recipe import Recipe
from scraper_agent.values import Refused
from tests.chromium import Sharing, shared  # noqa: F401 - a fixture
from tests.gauntlet import serve_flow

pytestmark = pytest.mark.usefixtures("shared")
RECIPES = sorted(p for p in serve_flow.PAGES.glob("*.yaml") if not p.name.endswith(".truth.yaml"))


@pytest.fixture(scope="module")
def site() -> Iterator[serve_flow.Site]:
    with serve_flow.served() as site:
        yield site


def harvested(path: Path, site: serve_flow.Site, **parameters: str) -> tuple[load.Loaded, list[Sighting]]:
    loaded = load.load(path, FORMATS)
    browser = Sharing(settings=Settings(images=False), secret=lambda name: f"secret of {name}")
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


# --- what is refused, and what is carried out in any case -------------------------------------------------------------


def one(seen: list[Sighting]) -> str:
    (trouble,) = (each for each in seen if isinstance(each, Trouble))
    return f"{trouble.error.code} {trouble.error.sentence}"


def test_a_retry_ends_and_what_comes_last_is_carried_out_after_a_failure_too(site: serve_flow.Site) -> None:
    site.failures, site.asked = 3, []
    _, seen = harvested(serve_flow.PAGES / "flow_cases.yaml", site)
    assert [each.name for each in seen if isinstance(each, Page)] == ["order", "order"]
    assert one(seen).startswith("SA2202 steps, step 3, when, step 1, attempt 3, step 2 (wait): text PO-R is not on the")
    assert site.asked.count("/flow_retry.html") == 3
    assert site.asked[-1] == "/flow_logout.html"


def test_a_case_that_does_not_hold_is_passed_over(site: serve_flow.Site) -> None:
    site.asked = []
    _, seen = harvested(serve_flow.PAGES / "flow_cases.yaml", site, kind="brief")
    assert len([each for each in seen if isinstance(each, Page)]) == 2
    assert "/flow_retry.html" not in site.asked


def test_what_comes_last_is_carried_out_when_nobody_listens_any_more(site: serve_flow.Site) -> None:
    site.asked = []
    loaded = load.load(serve_flow.PAGES / "flow_cases.yaml", FORMATS)
    browser = Sharing(settings=Settings(images=False), secret=str)
    harvest = browser.harvest(loaded.recipe, {"base": site.here, "other": site.there, "kind": "full"})
    assert isinstance(next(harvest), Page)
    harvest.close()  # type: ignore[attr-defined] # it is a generator
    assert site.asked[-1] == "/flow_logout.html"


def run(recipe: Recipe, steps: list[Any], site: serve_flow.Site, **changed: object) -> list[Sighting]:
    made = recipe.model_validate({**recipe.model_dump(by_alias=True), "steps": steps, "finally": [], **changed})
    browser = Sharing(settings=Settings(images=False), secret=str)
    return list(browser.harvest(made, {"base": site.here, "other": site.there, "kind": "full"}))


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load.load(serve_flow.PAGES / "flow_cases.yaml", FORMATS).recipe


def test_a_place_that_shows_twice_or_not_at_all_is_refused(site: serve_flow.Site, recipe: Recipe) -> None:
    def clicked(where: object) -> str:
        click = {"do": "click", "on": {"css": "a", "in": where}}
        again = {"do": "optional", "timeout_s": 0.3, "steps": [click]}
        opened = {"do": "open", "url": "${base}/frames_twice.html"}
        assert not any(isinstance(each, Trouble) for each in run(recipe, [opened, again], site))
        return one(run(recipe, [opened, click], site))

    here = f"{site.here}/frames_menu.html"
    assert clicked({"frame": "main"}) == (
        f"SA2220 frame main does not show exactly once; seen: /main {here}; /box/main {here}"
    )
    assert clicked("dialog") == "SA2220 dialog does not show exactly once; seen: 'first'; 'second'"


def test_a_button_that_is_made_anew_below_the_rows_it_brought_is_pressed_again(
    site: serve_flow.Site, recipe: Recipe
) -> None:
    opened = {"do": "open", "url": "${base}/flow_folded.html"}
    unfold = {"do": "unfold", "button": {"css": ".more"}}
    seen = run(recipe, [opened, unfold, {"do": "snap", "name": recipe.document.page}], site)
    (page,) = (each for each in seen if isinstance(each, Page))
    assert [f"row {number}" for number in range(1, 8) if f">row {number}<" in page.frozen.decode()] == [
        f"row {number}" for number in range(1, 7)
    ]


def test_what_lies_over_a_target_is_named(site: serve_flow.Site, recipe: Recipe) -> None:
    def tried(target: str) -> list[Sighting]:
        steps = [{"do": "open", "url": "${base}/flow_covered.html"}, {"do": "click", "on": {"css": target}}]
        return run(recipe, [{"do": "optional", "timeout_s": 3, "steps": steps}], site)

    def clicked(target: str) -> str:
        return one(tried(target))

    assert not any(isinstance(each, Trouble) for each in tried("#hidden"))

    page = f"{site.here}/flow_covered.html"
    assert clicked("#under") == (
        "SA2227 steps, step 1, optional, step 2 (click): what is to be clicked or filled is on the page "
        f'{page}, but <div id="busy" role="dialog">Processing…</div> intercepts pointer events'
    )
    assert clicked("#off").endswith(f"{page}, but element is not enabled")


def test_a_part_of_the_page_that_cannot_be_read_is_marked(site: serve_flow.Site, recipe: Recipe) -> None:
    seen = run(recipe, [{"do": "open", "url": "${base}/target_sealed.html"}, {"do": "snap", "name": "order"}], site)
    (snapped,) = (each for each in seen if isinstance(each, Page))
    page = FrozenPage(snapped.frozen)
    assert page.unread == ("<section>", "<erp-sealed>", "frame /abroad")
    assert page.absent("label 总额").code == "SA2009"
    assert any(isinstance(each, Refused) and "erp.invalid" in each.url for each in seen)


def test_boxes_of_a_frame_of_another_origin_are_those_of_the_whole_page(site: serve_flow.Site) -> None:
    loaded, seen = harvested(serve_flow.PAGES / "frames_nested.yaml", site)
    (reading,) = readings(loaded, seen)
    amount = next(origin for origin in reading.origins if origin.field == "totalAmount")
    assert amount.frame == "/main/detail"
    assert amount.box is not None
    # The paragraphs above it, the borders of two frames, and the frame beside the text 工作台.
    assert amount.box[1] > 80 + 3 + 2
    assert amount.box[0] >= 3 + 2


def test_the_alternative_that_hit_is_recorded(site: serve_flow.Site) -> None:
    (reading,) = readings(*harvested(serve_flow.PAGES / "target_relations.yaml", site))
    origins = {origin.field: origin for origin in reading.origins}
    assert origins["orderNumber"].target == "textbox 单号"
    assert origins["orderNumber"].steps == ("any_of: 3 of 3",)
    assert origins["totalAmount"].target == "above 含税金额"
