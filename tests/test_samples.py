"""Every recipe against its recorded pages. A new ERP needs no new test code.

`recipes/<erp>/<page>.samples/<case>/` holds the pages as they were frozen and `expected.txt`, the document and the
findings that a person accepted. `scraper-agent recipe accept` writes it anew; read the difference before committing.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from scraper_agent import canonical, mapping
from scraper_agent.authoring import load, samples
from scraper_agent.errors import UsageError
from scraper_agent.formats import FORMATS
from scraper_agent.sandbox.erp import FAULTS, Erp

ROOT = Path(__file__).parents[1] / "recipes"
RECIPES = sorted(p for p in ROOT.rglob("*.yaml") if p.name != "lookups.yaml")
CASES = [case for recipe in RECIPES for case in samples.cases(recipe)]
ORDER = ROOT / "demo" / "order.yaml"


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# --- the shipped recipes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES, ids=name)
def test_every_recipe_has_a_sample(recipe: Path) -> None:
    assert samples.cases(recipe)


@pytest.mark.parametrize("recipe", [r for r in RECIPES if samples.cases(r)], ids=name)
def test_every_sample_gives_what_was_accepted(recipe: Path) -> None:
    outcomes = list(samples.outcomes(load.load(recipe, FORMATS)))
    assert [o.difference for o in outcomes] == [()] * len(outcomes)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_sample_is_small_and_holds_no_secret(case: Path) -> None:
    for page in case.glob("*.xhtml"):
        data = page.read_bytes()
        assert len(data) < 200_000
        assert b"query-only" not in data


# --- the demo recipes, against the books of the demo ERP -----------------------------------------------------------

NORMAL = {
    "order": "orders/1001",
    "invoice": "invoices/2001",
    "receipt": "receipts/3001",
    "despatch": "despatches/4006",
}


@pytest.mark.parametrize(("recipe", "record"), NORMAL.items())
def test_a_normal_page_of_the_demo_gives_every_value_of_its_books(recipe: str, record: str) -> None:
    loaded = load.load(ROOT / "demo" / f"{recipe}.yaml", FORMATS)
    reading = read(loaded, samples.folder(loaded.path) / "normal")
    books = Erp("unused").expected()[record]
    assert reading.record == record
    assert reading.unread == ()
    assert without_profile(reading.header) == coded(books.header, loaded)
    assert list(reading.lines) == [coded(line, loaded) for line in books.lines]


def read(loaded: load.Loaded, case: Path) -> mapping.Reading:
    reader = mapping.Reader(recipe=loaded.recipe, format=loaded.format, lookups=loaded.lookups, profile=samples.PROFILE)
    for source in loaded.recipe.sources.values():
        frozen = (case / f"{source.page}.xhtml").read_bytes()
        reader.learn(source.page, frozen, canonical.digest(frozen))
    frozen = (case / f"{loaded.recipe.document.page}.xhtml").read_bytes()
    return reader.read(frozen, canonical.digest(frozen))


def without_profile(header: Mapping[str, object]) -> dict[str, object]:
    return {id: value for id, value in header.items() if id not in {"buyerUscc", "buyerName", "receiverUscc"}}


def coded(values: Mapping[str, object], loaded: load.Loaded) -> dict[str, object]:
    """The books' words as codes; what is empty there is absent in a document."""
    reads = {**loaded.recipe.document.header, **loaded.recipe.document.lines.values}
    made: dict[str, object] = {}
    for id, value in values.items():
        lookup = reads[id].lookup if id in reads else None
        if value is not None:
            shown = Decimal(value) if isinstance(value, int) else value
            made[id] = loaded.lookups[lookup][str(value)] if lookup else shown
    return made


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("order.samples/total_differs", "total"),
        ("invoice.samples/freight_in_words", "words"),
        ("receipt.samples/no_column", "no-column"),
        ("despatch.samples/un_number", "un-number"),
    ],
)
def test_a_faulty_page_of_the_demo_is_stopped_for_its_fault(case: str, kind: str) -> None:
    (fault,) = [f for f in FAULTS if f.kind == kind]
    said = (ROOT / "demo" / case / samples.EXPECTED).read_text(encoding="utf-8").splitlines()
    stopped = [line for line in said if line.startswith(("error", "refused"))]
    assert [line.split()[1] for line in stopped] == [fault.code]


# --- accepting and recording ----------------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> load.Loaded:
    """The demo's order recipe and its samples, where they may be changed."""
    shutil.copytree(ROOT / "demo", tmp_path / "demo")
    return load.load(tmp_path / "demo" / "order.yaml", FORMATS)


def differences(loaded: load.Loaded) -> dict[str, list[str]]:
    return {
        o.case.name: [line for line in o.difference if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        for o in samples.outcomes(loaded)
    }


def test_a_changed_page_differs_by_the_changed_lines_alone(copy: load.Loaded) -> None:
    page = samples.folder(copy.path) / "normal" / "order.xhtml"
    text = page.read_text(encoding="utf-8")
    assert text.count("3,000.70") == 2  # the field and the sum below the lines
    page.write_text(text.replace("3,000.70", "3,000.80"), encoding="utf-8")
    assert differences(copy) == {
        "normal": [
            "-totalAmount: 3000.70  <- label 订单总额",
            "+totalAmount: 3000.80  <- label 订单总额",
            "+error CHK-05 totalAmount is 3000.80, but the lines add up to 3000.70",
        ],
        "total_differs": [],
    }


def test_accepting_writes_what_is_said_now(copy: load.Loaded) -> None:
    expected = samples.folder(copy.path) / "normal" / samples.EXPECTED
    before = expected.read_bytes()
    expected.unlink()
    assert len(differences(copy)["normal"]) == len(before.splitlines())
    for outcome in samples.outcomes(copy):
        samples.accept(outcome)
    assert differences(copy) == {"normal": [], "total_differs": []}
    assert expected.read_bytes() == before


def test_a_recorded_case_is_played_with_all_its_pages_in_order(copy: load.Loaded) -> None:
    normal = samples.folder(copy.path) / "normal"
    sources = [(n, (normal / f"{n}.xhtml").read_bytes()) for n in ("suppliers", "warehouses")]
    order = (normal / "order.xhtml").read_bytes()
    pages = [("order", order.replace(b"PO202601-0001", b"PO-%d" % n)) for n in range(1, 12)]
    samples.record(copy.path, "many", [*sources, *pages])
    (many,) = [o for o in samples.outcomes(copy) if o.case.name == "many"]
    numbers = [line.split()[1] for line in many.said if line.startswith("orderNumber:")]
    assert numbers == [f"PO-{n}" for n in range(1, 12)]


@pytest.mark.parametrize(("case", "code"), [("../x", "SA1302"), (".x", "SA1302"), ("", "SA1302"), ("normal", "SA1303")])
def test_a_case_needs_a_plain_new_name(copy: load.Loaded, case: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        samples.record(copy.path, case, [])
    assert caught.value.code == code


def test_a_recipe_without_samples_says_how_to_record_one(copy: load.Loaded) -> None:
    shutil.rmtree(samples.folder(copy.path))
    with pytest.raises(UsageError) as caught:
        list(samples.outcomes(copy))
    assert caught.value.sentence == (f"the recipe {copy.path} has no samples in {copy.path.parent / 'order.samples'}")


def test_a_difference_shows_no_certificate_number(tmp_path: Path) -> None:
    """A new sample: every line of it is a difference."""
    shutil.copytree(ROOT / "demo", tmp_path / "demo")
    despatch = tmp_path / "demo" / "despatch.yaml"
    for case in samples.cases(despatch):
        (case / samples.EXPECTED).unlink()
    loaded = load.load(despatch, FORMATS)
    hidden = [id for id, field in loaded.format.header_fields.items() if field.masked]
    seen = 0
    for outcome in samples.outcomes(loaded):
        values = dict(line.partition("  <- ")[0].split(": ", 1) for line in outcome.said if "  <- " in line)
        shown = "\n".join(outcome.difference)
        for value in (values[id] for id in hidden if id in values):
            assert value not in shown
            seen += 1
        assert f"+i1: {values['i1']}" in shown, "others are shown"
    assert seen > 3
