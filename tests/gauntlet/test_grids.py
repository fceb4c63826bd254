"""Grids of real components: every value of every row is read, and the list is proved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from scraper_agent import completeness, yamlfile
from scraper_agent.capture.browser import Settings
from scraper_agent.ports import Sighting
from scraper_agent.recipe import Recipe
from scraper_agent.values import Completeness
from tests.chromium import Sharing, shared  # noqa: F401 - a fixture
from tests.gauntlet.listing import HERE, certified, components, harvest, page, script, served, troubles, truth, values


@dataclass(frozen=True)
class Shape:
    rows: int
    columns: int


pytestmark = pytest.mark.usefixtures("shared")
SHAPES = {
    "ag_grid": Shape(300, 20),
    "tabulator": Shape(300, 20),
    "slickgrid": Shape(1500, 7),
    "element_ui": Shape(60, 12),
    "frappe": Shape(300, 12),
    "handsontable": Shape(300, 6),
    "vxe": Shape(300, 20),
    "ui5": Shape(60, 4),
}


@pytest.fixture(scope="module")
def npm() -> Path:
    return components()


def test_every_grid_has_its_page_its_recipe_and_its_shape() -> None:
    assert {p.stem for p in HERE.glob("grid_*.html")} == {p.stem for p in HERE.glob("grid_*.yaml")}
    assert {p.stem.removeprefix("grid_") for p in HERE.glob("grid_*.html")} == set(SHAPES)


def test_the_lock_file_holds_no_address() -> None:
    lock = (HERE / "package-lock.json").read_text(encoding="utf-8")
    assert "resolved" not in lock
    assert "registry" not in lock


def read(name: str, shape: Shape, npm: Path) -> tuple[list[Sighting], list[str], list[list[str]]]:
    heads, rows = truth(shape.rows, shape.columns)
    answers = {
        "/page": (HERE / f"grid_{name}.html").read_text(encoding="utf-8"),
        "/data.js": f"const HEADS = {script(heads)}, ROWS = {script(rows)};",
    }
    with served(answers, npm=npm) as base:
        return harvest(yamlfile.load(HERE / f"grid_{name}.yaml", Recipe), base), heads, rows


@pytest.mark.parametrize("name", SHAPES)
def test_every_value_of_every_row_is_read(name: str, npm: Path) -> None:
    seen, heads, rows = read(name, SHAPES[name], npm)
    assert troubles(seen) == []
    found = certified(seen)
    assert found.certificate is not None
    assert (completeness.of(found), found.certificate.reasons) == (Completeness.PROVED, ())
    assert values(page(seen), heads, "table[frozen-list=orders]") == rows


def test_what_is_painted_on_a_canvas_is_read_from_its_export(npm: Path) -> None:
    heads, rows = truth(300, 12)
    answers = {
        "/page": (HERE / "sheet_luckysheet.html").read_text(encoding="utf-8"),
        "/data.js": f"const HEADS = {script(heads)}, ROWS = {script(rows)};",
    }
    with served(answers, npm=npm) as base:
        seen = harvest(yamlfile.load(HERE / "sheet_luckysheet.yaml", Recipe), base)
    assert troubles(seen) == []
    assert values(page(seen), heads, "table") == rows


def test_headers_that_are_numbered_anew_as_they_scroll_are_refused_and_not_guessed(npm: Path) -> None:
    """Handsontable counts its headers from the first one in view, but its cells from the first of all."""
    seen, _, _ = read("handsontable", Shape(20, 30), npm)
    assert troubles(seen) == ["SA2246"]
    assert completeness.of(certified(seen)) is Completeness.UNPROVED


def filtered(npm: Path, *, forgets: bool = False) -> tuple[list[Sighting], list[str], list[list[str]]]:
    """What is read of the days of a month that were typed into a range of dates, and what there is."""
    heads, rows = truth(60, 6)
    rows = [[row[0], f"2026-03-{number % 28 + 1:02d}", *row[2:]] for number, row in enumerate(rows)]
    answers = {
        "/page": (HERE / "filter_element_ui.html").read_text(encoding="utf-8"),
        "/data.js": f"const HEADS = {script(heads)}, ROWS = {script(rows)}; FORGETS = {script(forgets)};",
    }
    how = yamlfile.load(HERE / "filter_element_ui.yaml", Recipe)
    with served(answers, npm=npm) as base:
        browser = Sharing(settings=Settings(images=False), secret=str)
        seen = list(browser.harvest(how, {"base": base, "from": "2026-03-09", "to": "2026-03-17"}))
    return seen, heads, [row for row in rows if "2026-03-09" <= row[1] <= "2026-03-17"]


def test_dates_typed_into_a_date_picker_filter_the_list_and_are_read_back(npm: Path) -> None:
    seen, heads, rows = filtered(npm)
    assert troubles(seen) == []
    found = certified(seen)
    assert found.certificate is not None
    assert (completeness.of(found), found.certificate.reasons) == (Completeness.PROVED, ())
    assert 0 < len(rows) < 60
    assert values(page(seen), heads, "table[frozen-list=orders]") == rows


def test_a_date_picker_that_forgot_its_range_contradicts_the_list(npm: Path) -> None:
    seen, _, _ = filtered(npm, forgets=True)
    assert completeness.of(certified(seen)) is Completeness.UNPROVED
