"""A recipe of a few lines over another one: what is merged, what is told and where, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scraper_agent import yamlfile
from scraper_agent.app import builtin_recipes, load_recipe
from scraper_agent.authoring import explain
from scraper_agent.authoring.load import Loaded, load
from scraper_agent.errors import SourceErrors
from scraper_agent.formats import FORMATS
from scraper_agent.messages import english
from scraper_agent.recipe import List, Recipe, Snap

HEAD = 'recipe: site/order\nversion: "1.1"\nextends: demo/order\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    return tmp_path


def loaded(folder: Path, text: str, name: str = "order") -> Loaded:
    path = folder / "site" / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, FORMATS, (folder, builtin_recipes()))


def told(folder: Path, text: str) -> list[str]:
    with pytest.raises(SourceErrors) as caught:
        loaded(folder, text)
    return [
        f"{p.at.path.name}:{p.at.line}:{p.at.column} {p.code} {english(p.text, p.values)}"
        for p in caught.value.problems
    ]


def parent() -> Recipe:
    return load(builtin_recipes() / "demo" / "order.yaml", FORMATS).recipe


def test_an_overlay_says_only_what_differs(folder: Path) -> None:
    made = loaded(
        folder,
        HEAD
        + """
locale: {date: YYYY/MM/DD}
document:
  header:
    orderDate: {label: 日期}
    contractNumber: null
    supplierCode: {label: 供应商编码}
    buyerName: null
    approvalDate: {css: .approved}
""",
    ).recipe
    header = made.document.header
    assert (made.recipe, made.version, made.erp, made.locale.date, made.locale.group) == (
        "site/order", "1.1", "DEMO", "YYYY/MM/DD", ",",
    )  # fmt: skip
    assert header["orderDate"].label == "日期"
    assert header.keys().isdisjoint({"contractNumber", "buyerName"})
    assert (header["supplierCode"].label, header["supplierCode"].source) == ("供应商编码", None)
    assert (header["approvalDate"].css, header["approvalDate"].label, header["approvalDate"].date) == (
        ".approved", None, "YYYY/MM/DD",
    )  # fmt: skip
    changed = {"orderDate", "contractNumber", "buyerName", "supplierCode", "approvalDate"}
    assert {k: v for k, v in header.items() if k not in changed} == {
        k: v for k, v in parent().document.header.items() if k not in changed
    }
    assert (made.steps, made.sources, made.login) == (parent().steps, parent().sources, parent().login)


def test_steps_are_changed_by_name_or_replaced_whole(folder: Path) -> None:
    made = loaded(folder, HEAD + "steps: {orders: {rows: .grid tr, declared: null, steps: {order: {name: order}}}}\n")
    ours, theirs = made.recipe.steps, parent().steps
    assert ours[0] == theirs[0]
    assert isinstance(ours[1], List)
    assert isinstance(theirs[1], List)
    assert (ours[1].rows, ours[1].declared, ours[1].next) == (".grid tr", None, theirs[1].next)
    whole = loaded(folder, HEAD + 'steps: [{do: open, url: "${base}/x"}, {do: snap, name: order}]\n').recipe.steps
    assert len(whole) == 2
    assert isinstance(whole[1], Snap)


def test_what_is_logged_is_the_merged_recipe_and_alone_the_same(folder: Path) -> None:
    made = loaded(folder, HEAD + "quiet_ms: 90\n")
    again = yamlfile.parse(made.source.decode(), Path("merged.yaml"), Recipe)
    assert again == made.recipe
    assert again.quiet_ms == 90
    plain = load(builtin_recipes() / "demo" / "order.yaml", FORMATS)
    assert plain.source == plain.path.read_bytes()


def test_overlays_may_lie_over_overlays_and_over_files(folder: Path) -> None:
    loaded(folder, HEAD + "quiet_ms: 90\n")
    made = loaded(folder, 'recipe: site/b\nversion: "2"\nextends: order.yaml\ntitle: B\n', "b").recipe
    assert (made.recipe, made.quiet_ms, made.title) == ("site/b", 90, "B")


def test_a_site_may_lay_a_recipe_over_the_one_of_the_same_name(folder: Path) -> None:
    (folder / "demo").mkdir()
    path = folder / "demo" / "order.yaml"
    path.write_text('recipe: demo/order\nversion: "1.0-site"\nextends: demo/order\n', encoding="utf-8")
    assert load_recipe("demo/order", folder).recipe.version == "1.0-site"
    assert load_recipe(str(path), folder).recipe.steps == parent().steps


def test_lookup_files_stand_beside_the_file_that_names_them(folder: Path) -> None:
    (folder / "site" / "own.yaml").write_text("currency: {元宝: CNY}\n", encoding="utf-8")
    tables = loaded(folder, HEAD + "lookups: {currency: own.yaml}\n").lookups
    assert tables["currency"] == {"元宝": "CNY"}
    assert tables["unit"]["个"] == "007"


def test_the_example_of_the_documentation_is_what_it_says(folder: Path) -> None:
    page = Path(__file__).parents[1] / "docs" / "recipes.md"
    (example,) = re.findall(
        r"```yml\n(recipe: site/order\n.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    made = loaded(folder, example).recipe
    assert isinstance(made.steps[1], List)
    assert (made.steps[1].rows, "contractNumber" in made.document.header) == ("table.list tbody tr", False)


def test_an_overlay_is_told_in_words_as_any_recipe(folder: Path) -> None:
    lines = list(explain.explain(loaded(folder, HEAD)))
    assert lines[0].startswith("site/order version 1.1 reads purchaseOrder")


def test_a_mistake_is_told_in_the_file_that_it_stands_in(folder: Path) -> None:
    assert told(folder, HEAD + "document: {header: {orderDate: {lable: 日期}}}\n") == [
        "order.yaml:4:33 SA1020 unknown key `lable`"
    ]
    (folder / "site" / "base.yaml").write_text(
        (builtin_recipes() / "demo" / "order.yaml").read_text(encoding="utf-8").replace("page: order", "page: oder"),
        encoding="utf-8",
    )
    (folder / "site" / "lookups.yaml").write_bytes((builtin_recipes() / "demo" / "lookups.yaml").read_bytes())
    with pytest.raises(SourceErrors) as caught:
        loaded(folder, HEAD.replace("demo/order", "base.yaml") + "quiet_ms: 90\n")
    (problem,) = caught.value.problems
    assert (problem.at.path.name, problem.code) == ("base.yaml", "SA1205")
    assert "  |   page: oder\n  |         ^" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD.replace("demo/order", "demo/none"), ["order.yaml:3:10 SA1311 there is no recipe `demo/none` to extend"]),
        (HEAD.replace("demo/order", "order.yaml"), [
            "order.yaml:3:10 SA1313 `order.yaml` extends this recipe in its turn"
        ]),
        (HEAD.replace("demo/order", "../../secret.yaml"), [
            "order.yaml:3:10 SA1312 `../../secret.yaml` is outside of the recipe folders"
        ]),
        (HEAD.replace("demo/order", "a/../../../x"), [
            "order.yaml:3:10 SA1312 `a/../../../x` is outside of the recipe folders"
        ]),
        (HEAD.replace("demo/order", "[x]"), [
            "order.yaml:3:10 SA1310 `extends` is the name of a recipe, or a file beside this one"
        ]),
        ("extends: demo/order\n", [
            "order.yaml:1:10 SA1314 an overlay needs a `recipe` of its own",
            "order.yaml:1:10 SA1314 an overlay needs a `version` of its own",
        ]),
        (HEAD + "documnt: null\n", ["order.yaml:4:1 SA1315 there is no `documnt` in the parent to remove"]),
        (HEAD + "steps: {oders: {rows: tr}}\n", [
            "order.yaml:4:9 SA1316 the parent has no step of the name `oders` here, or several"
        ]),
    ],
)  # fmt: skip
def test_what_cannot_be_extended_is_refused(folder: Path, text: str, said: list[str]) -> None:
    assert told(folder, text) == said


def test_recipes_that_extend_each_other_are_refused(folder: Path) -> None:
    (folder / "site" / "b.yaml").write_text('recipe: site/b\nversion: "1"\nextends: site/order\n', encoding="utf-8")
    assert told(folder, HEAD.replace("demo/order", "site/b"))[0].startswith("b.yaml:3:10 SA1313 `site/order` extends")


def test_a_link_to_a_recipe_outside_is_refused(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "x.yaml"
    outside.write_text("recipe: x\n", encoding="utf-8")
    (folder / "site" / "link.yaml").symlink_to(outside)
    assert "SA1312" in told(folder, HEAD.replace("demo/order", "site/link"))[0]
