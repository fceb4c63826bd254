"""The parameters of a recipe are options of `run`, with their types; a secret never is."""

from __future__ import annotations

from pathlib import Path

import pytest

from scraper_agent.app import App, builtin_recipes
from scraper_agent.authoring.explain import explain
from scraper_agent.authoring.load import Loaded, load
from scraper_agent.cli import parameters
from scraper_agent.errors import SourceErrors, UsageError
from scraper_agent.formats import FORMATS

DEMO = (builtin_recipes() / "demo" / "order.yaml").read_text(encoding="utf-8")


def recipe(folder: Path, more: str) -> Loaded:
    (folder / "demo").mkdir(exist_ok=True)
    (folder / "demo" / "lookups.yaml").write_bytes((builtin_recipes() / "demo" / "lookups.yaml").read_bytes())
    path = folder / "demo" / "order.yaml"
    path.write_text(DEMO.replace("parameters:\n", f"parameters:\n  {more}\n", 1), encoding="utf-8")
    return load(path, FORMATS)


SINCE = 'order_since: {type: date, title: 起始日期, default: "2026-01-01"}'


def test_options_and_recipes_may_stand_in_any_order() -> None:
    assert parameters.split(["--since", "2026-01-01", "demo/order", "--n=-5", "demo/invoice", "--empty="]) == (
        ["demo/order", "demo/invoice"],
        {"since": "2026-01-01", "n": "-5", "empty": ""},
    )


def test_dashes_stand_for_underscores(tmp_path: Path) -> None:
    loaded = recipe(tmp_path, SINCE)
    assert parameters.given([loaded], {"order-since": "2026-02-01"}, {"user": "a"}) == {
        "order_since": "2026-02-01",
        "user": "a",
    }
    with pytest.raises(UsageError) as caught:
        parameters.given([loaded], {"order-sinc": "x"}, {})
    assert caught.value.sentence == (
        "there is no option `--order-sinc`; the parameters of the recipe are: --order-since, --base, --user"
    )


@pytest.mark.parametrize("wrong", ["20260101", "2026-W01-1", "2026-02-30", "yesterday", "２０２６-01-01", ""])
def test_a_date_that_is_none_is_refused(tmp_path: Path, wrong: str) -> None:
    loaded = recipe(tmp_path, SINCE)
    for name in ("config", "policy"):
        example = builtin_recipes().parent / f"{name}.example.yaml"
        (tmp_path / f"{name}.yaml").write_bytes(example.read_bytes())
    app = App.load(tmp_path / "config.yaml")
    own = {"base": "http://x", "user": "u"}
    assert app.parameters(loaded, {**own, "order_since": "2026-02-28"})["order_since"] == "2026-02-28"
    assert app.parameters(loaded, own)["order_since"] == "2026-01-01"
    with pytest.raises(UsageError) as caught:
        app.parameters(loaded, {**own, "order_since": wrong})
    assert caught.value.code == "SA7004"


def test_a_recipe_tells_its_options(tmp_path: Path) -> None:
    told = list(explain(recipe(tmp_path, SINCE)))
    assert told[1:5] == [
        "Options of `run`, unless the config sets them:",
        "  --order-since DATE = 2026-01-01  起始日期",
        "  --base URL  ERP 地址",
        "  --user ACCOUNT  账号",
    ]


@pytest.mark.parametrize("name", ["password", "erp_password", "api_key", "TOKEN", "登录密码", "pin"])
def test_a_parameter_that_looks_like_a_secret_is_a_mistake(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceErrors) as caught:
        recipe(tmp_path, f"{name}: {{type: text}}")
    assert [(p.code, p.at.line) for p in caught.value.problems] == [("SA1224", 8)]


@pytest.mark.parametrize("name", ["passenger", "pinyin", "secretary_name", "tokenizer"])
def test_other_names_are_right(tmp_path: Path, name: str) -> None:
    assert name in recipe(tmp_path, f"{name}: {{type: text}}").recipe.parameters
