"""Every mistake in a recipe is told with its place and how to mend it; the shipped recipes have none."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from scraper_agent.authoring.explain import explain
from scraper_agent.authoring.load import Loaded, load
from scraper_agent.cli import recipe as cli
from scraper_agent.errors import Problem, SourceErrors, UsageError
from scraper_agent.formats import FORMATS
from scraper_agent.messages import english

ROOT = Path(__file__).parents[1] / "recipes"
SHIPPED = sorted(p for p in ROOT.rglob("*.yaml") if p.name != "lookups.yaml")

RECIPE = r"""recipe: test/order
version: "1.0"
format: purchaseOrder
erp: TEST
parameters:
  base: {type: url}
  user: {type: account}
locale: {group: ",", date: YYYY-MM-DD}
lookups: {currency: lookups.yaml}
permits: [{purpose: login, path: /login, form: [user]}]
login:
  steps:
    - {do: open, url: "${base}/login"}
    - {do: fill, into: {label: Password}, text: "${secret:password}"}
    - {do: click, on: {role: button, name: Go}}
  done: {css: .user}
sources:
  suppliers:
    steps: [{do: open, url: "${base}/suppliers"}, {do: snap, name: suppliers}]
    page: suppliers
    rows: {declared: {css: .total}}
    key: {column: Name}
    take: {code: {column: Code}}
steps:
  - {do: open, url: "${base}/orders"}
  - {do: snap, name: order}
document:
  page: order
  within: main
  record: {url: true, pattern: '(\d+)$'}
  header:
    orderNumber: {label: Number}
    orderDate: {label: Date}
    buyerUscc: {profile: uscc}
    buyerName: {profile: name}
    supplierCode: {source: suppliers, by: {label: Supplier}, take: code}
    supplierName: {label: Supplier}
    currencyCode: {label: Currency, lookup: currency}
    totalAmount: {label: Total}
  lines:
    values:
      orderLineNumber: {column: Line}
      materialNumber: {column: Material}
      goodsName: {column: Name}
      orderedQuantity: {column: Quantity}
      unitCode: {column: Unit}
      unitPrice: {column: Price}
      lineAmount: {column: Amount}
"""

LOOKUPS = "currency: {dollar: USD}\n"

# What is right, what is written instead, what is said, and the hint.
MISTAKES = {
    "not YAML: a bracket is open": (
        'locale: {group: ",", date: YYYY-MM-DD}',
        'locale: {group: ","',
        "order.yaml:9:1 SA1006 this is not YAML: did not find expected ',' or '}'",
        "",
    ),
    "a tab": (
        "    orderNumber: {label: Number}",
        "\torderNumber: {label: Number}",
        "order.yaml:32:1 SA1006 this is not YAML: found character that cannot start any token",
        "indent with spaces, not with tabs",
    ),
    "a key twice": (
        "erp: TEST",
        "erp: TEST\nerp: OTHER",
        "order.yaml:5:1 SA1012 key `erp` is already on line 4",
        "",
    ),
    "an alias": (
        "{label: Date}",
        "*date",
        "order.yaml:33:16 SA1008 `*date` repeats another part; write it out",
        "",
    ),
    "an anchor": (
        "{label: Date}",
        "&date {label: Date}",
        "order.yaml:33:16 SA1013 `&date` names a part to repeat it; write it out",
        "",
    ),
    "a tag": (
        "{label: Date}",
        "!label Date",
        "order.yaml:33:16 SA1009 the tag `!label` is not allowed; leave it out",
        "",
    ),
    "an unknown key": (
        "  within: main",
        "  withn: main",
        "order.yaml:29:3 SA1020 unknown key `withn`",
        "did you mean `within`?",
    ),
    "an unknown step": (
        "{do: snap, name: order}",
        "{do: snapp, name: order}",
        "order.yaml:26:10 SA1023 `steps[2].do` may not be `snapp`",
        "did you mean `snap`?",
    ),
    "a step without do": (
        "{do: snap, name: order}",
        "{name: order}",
        "order.yaml:26:5 SA1021 key `do` is missing here",
        (
            "its values: click, close, download, fill, for_each, inside, keep, list, open, optional, receive, retry,"
            " select, snap, unfold, use, wait, when"
        ),
    ),
    "a missing key": (
        "  - {do: snap, name: order}",
        "  - {do: snap}",
        "order.yaml:26:5 SA1021 key `name` is missing here",
        "",
    ),
    "text where a mapping should be": (
        "orderNumber: {label: Number}",
        "orderNumber: Number",
        "order.yaml:32:18 SA1022 `document.header.orderNumber` should be a mapping of keys to values",
        "",
    ),
    "a mapping where a list should be": (
        "form: [user]",
        "form: {user: x}",
        "order.yaml:10:48 SA1022 `permits[1].form` should be a list",
        "",
    ),
    "a number that is none": (
        "locale:",
        "quiet_ms: soon\nlocale:",
        "order.yaml:8:11 SA1022 `quiet_ms` should be a whole number, not `soon`",
        "",
    ),
    "a number too large": (
        "locale:",
        "quiet_ms: 9000\nlocale:",
        "order.yaml:8:11 SA1022 `quiet_ms` is 9000, but should be at most 5000",
        "",
    ),
    "a truth that is none": (
        "{url: true,",
        "{url: maybe,",
        "order.yaml:30:17 SA1022 `document.record.url` should be true or false, not `maybe`",
        "",
    ),
    "a value that is empty": (
        "erp: TEST",
        "erp:",
        "order.yaml:4:5 SA1022 `erp` has no value",
        "",
    ),
    "two ways to one element": (
        "{label: Password}",
        "{label: Password, css: .p}",
        "order.yaml:14:24 SA1022 give exactly one of label, role, text, id, css, any_of; here: label, css",
        "",
    ),
    "no way to an element": (
        "{label: Password}",
        "{}",
        "order.yaml:14:24 SA1022 give exactly one of label, role, text, id, css, any_of; here: -",
        "",
    ),
    "a role without a name": (
        "{role: button, name: Go}",
        "{role: button}",
        "order.yaml:15:23 SA1022 `role` and `name` go together",
        "",
    ),
    "two origins of one value": (
        "{label: Total}",
        "{label: Total, profile: name}",
        "order.yaml:39:18 SA1022 a value has exactly one origin; here: the page, profile",
        "label, column, css, json, url, row and so on; or profile; or source with by and take",
    ),
    "a label and a column": (
        "{column: Line}",
        "{column: Line, label: Line}",
        "order.yaml:42:24 SA1022 give one way to find the place; here: label, column",
        "`css` may stand beside it as a fallback; `any_of` holds alternatives",
    ),
    "a source without a key": (
        "{source: suppliers, by: {label: Supplier}, take: code}",
        "{source: suppliers, take: code}",
        "order.yaml:36:19 SA1022 `source` needs `by` (the key) and `take` (which value)",
        "",
    ),
    "a key without a source": (
        "{label: Total}",
        "{label: Total, take: code}",
        "order.yaml:39:18 SA1022 `by` and `take` go with `source`",
        "",
    ),
    "an attribute without css": (
        "{label: Total}",
        "{label: Total, attribute: title}",
        "order.yaml:39:18 SA1022 `attribute` and `hidden` go with `css`",
        "",
    ),
    "an attribute beside a label": (
        "{label: Total}",
        "{label: Total, css: .total, attribute: title}",
        "order.yaml:39:18 SA1022 `attribute` goes with `css` alone",
        "",
    ),
    "a code without a table": (
        "{label: Total}",
        "{label: Total, as: code}",
        "order.yaml:39:18 SA1022 `as: code` needs a `lookup` table",
        "",
    ),
    "an unknown way to read a value": (
        "{label: Total}",
        "{label: Total, as: number}",
        "order.yaml:39:37 SA1023 `document.header.totalAmount.as` may not be `number`",
        "known values: text, integer, decimal, date, code",
    ),
    "a way that cannot fill the field": (
        "{label: Total}",
        "{label: Total, as: date}",
        "order.yaml:39:37 SA1223 `as: date` cannot fill `totalAmount`, which holds number (n..19.2)",
        "leave `as` out: the format's type says it",
    ),
    "a bad name": (
        "recipe: test/order",
        "recipe: Test Order",
        ("order.yaml:1:9 SA1022 `recipe` is `Test Order`, which does not have the form ^[a-z0-9][a-z0-9._/-]{0,63}$"),
        "",
    ),
    "an unknown format": (
        "format: purchaseOrder",
        "format: purchaseOrders",
        "order.yaml:3:9 SA1202 there is no format `purchaseOrders`",
        "did you mean `purchaseOrder`?",
    ),
    "an unknown field": (
        "    totalAmount:",
        "    totalAmout:",
        "order.yaml:39:5 SA1203 the format purchaseOrder has no field `totalAmout`",
        "did you mean `totalAmount`?",
    ),
    "an unknown field of a line": (
        "      unitPrice:",
        "      price:",
        "order.yaml:47:7 SA1203 the format purchaseOrder has no field `price`",
        (
            "there are: goodsName, goodsSpecification, hsCode, lineAmount, materialNumber, orderLineNumber, "
            "orderedQuantity, originCountryCode, requestedDeliveryDate, unitCode, unitPrice"
        ),
    ),
    "a field that the program makes": (
        "    orderDate:",
        "    recordGuid: {label: Id}\n    orderDate:",
        "order.yaml:33:5 SA1204 `recordGuid` is made by the program and cannot be read from a page",
        "leave it out",
    ),
    "a column in the header": (
        "{label: Total}",
        "{column: Total}",
        "order.yaml:39:18 SA1212 `column` and `row` are for rows of a table only",
        "use `label` or `css` here",
    ),
    "a row number in the header": (
        "{label: Total}",
        "{row: true}",
        "order.yaml:39:18 SA1212 `column` and `row` are for rows of a table only",
        "use `label` or `css` here",
    ),
    "no CSS": (
        "  within: main",
        "  within: main[",
        "order.yaml:29:11 SA1206 `main[` is not a CSS selector: Expected ident or '*', got <EOF at 5>",
        "",
    ),
    "no CSS in a step": (
        "  done: {css: .user}",
        "  done: {css: ..user}",
        "order.yaml:16:15 SA1206 `..user` is not a CSS selector: Expected ident, got <DELIM '.' at 1>",
        "",
    ),
    "no regular expression": (
        r"'(\d+)$'",
        r"'(\d+$'",
        (
            r"order.yaml:30:32 SA1207 `(\d+$` is not a regular expression: missing ), unterminated subpattern "
            "at position 0"
        ),
        "",
    ),
    "a pattern without a group": (
        r"'(\d+)$'",
        r"'\d+$'",
        "order.yaml:30:32 SA1208 the pattern has 0 groups; it needs exactly one: the part to keep",
        "put ( ) around the part to keep, and (?: ) around others",
    ),
    "a pattern with two groups": (
        r"'(\d+)$'",
        r"'(a)(\d+)$'",
        "order.yaml:30:32 SA1208 the pattern has 2 groups; it needs exactly one: the part to keep",
        "put ( ) around the part to keep, and (?: ) around others",
    ),
    "no regular expression in a permit": (
        "path: /login,",
        "path: '/login[',",
        "order.yaml:10:34 SA1207 `/login[` is not a regular expression: unterminated character set at position 6",
        "",
    ),
    "an unknown parameter": (
        '"${base}/orders"',
        '"${base}/orders/${day}"',
        "order.yaml:25:21 SA1210 there is no parameter `day`",
        "there are: base, user",
    ),
    "a secret outside of fill": (
        '"${base}/orders"',
        '"${base}/orders?key=${secret:password}"',
        "order.yaml:25:21 SA1209 a secret may only be typed: `${secret:password}` stands outside of `fill`",
        "",
    ),
    "an address of its own": (
        '"${base}/orders"',
        '"http://erp.example/orders"',
        (
            "order.yaml:25:21 SA1211 an address begins with a parameter of type url, such as `${base}`; "
            "seen: `http://erp.example/orders`"
        ),
        "only addresses of such parameters may be reached",
    ),
    "an address that goes on like a host": (
        '"${base}/orders"',
        '"${base}.example/orders"',
        (
            "order.yaml:25:21 SA1211 an address begins with a parameter of type url, such as `${base}`; "
            "seen: `${base}.example/orders`"
        ),
        "only addresses of such parameters may be reached",
    ),
    "an address from a parameter of another type": (
        '"${base}/orders"',
        '"${user}/orders"',
        (
            "order.yaml:25:21 SA1211 an address begins with a parameter of type url, such as `${base}`; "
            "seen: `${user}/orders`"
        ),
        "only addresses of such parameters may be reached",
    ),
    "an unknown lookup": (
        "lookup: currency}",
        "lookup: curency}",
        "order.yaml:38:45 SA1213 there is no lookup table `curency`",
        "did you mean `currency`?",
    ),
    "a lookup file that is not there": (
        "{currency: lookups.yaml}",
        "{currency: codes.yaml}",
        "order.yaml:9:21 SA1218 there is no file `codes.yaml` beside the recipe",
        "",
    ),
    "a lookup file elsewhere": (
        "{currency: lookups.yaml}",
        "{currency: ../lookups.yaml}",
        "order.yaml:9:21 SA1218 there is no file `../lookups.yaml` beside the recipe",
        "",
    ),
    "a table that the lookup file lacks": (
        "{currency: lookups.yaml}",
        "{currency: lookups.yaml, unit: lookups.yaml}",
        "order.yaml:9:41 SA1219 the file has no table `unit`",
        "there are: currency",
    ),
    "an unknown source": (
        "{source: suppliers,",
        "{source: supplier,",
        "order.yaml:36:28 SA1215 there is no source `supplier`",
        "did you mean `suppliers`?",
    ),
    "an unknown value of a source": (
        "take: code}",
        "take: country}",
        "order.yaml:36:68 SA1216 the source takes no `country`",
        "there are: code",
    ),
    "a source that takes from a source": (
        "{code: {column: Code}}",
        "{code: {source: suppliers, by: {column: Name}, take: code}}",
        "order.yaml:23:18 SA1217 a source cannot take from another source",
        "",
    ),
    "a lookup where there is no field": (
        "{code: {column: Code}}",
        "{code: {column: Code, lookup: currency}}",
        ("order.yaml:23:33 SA1222 `lookup` has no effect here: this is text until a field of the document takes it"),
        "write it at the field under `document`",
    ),
    "an unknown key of the profile": (
        "{profile: uscc}",
        "{profile: uscx}",
        "order.yaml:34:26 SA1214 the enterprise's profile has no `uscx`",
        "did you mean `uscc`?",
    ),
    "a document's page that is never snapped": (
        "  page: order",
        "  page: orders",
        "order.yaml:28:9 SA1205 no step snaps the page `orders`",
        "did you mean `order`?",
    ),
    "a source's page that is never snapped": (
        "    page: suppliers",
        "    page: supplier",
        "order.yaml:20:11 SA1205 no step snaps the page `supplier`",
        "did you mean `suppliers`?",
    ),
    "a notation that names no day": (
        "date: YYYY-MM-DD",
        "date: YYYY-MM",
        "order.yaml:8:28 SA1221 `YYYY-MM` does not name year, month and day once each",
        "write such as YYYY-MM-DD, MM/DD/YYYY or YYYY年M月D日",
    ),
    "a notation of one value": (
        "{label: Date}",
        "{label: Date, date: YYYYMD}",
        "order.yaml:33:36 SA1221 `YYYYMD` does not name year, month and day once each",
        "write such as YYYY-MM-DD, MM/DD/YYYY or YYYY年M月D日",
    ),
    "an unknown sign": (
        'group: ","',
        'group: ";"',
        "order.yaml:8:17 SA1023 `locale.group` may not be `;`",
        "known values: , ,, .,  ",
    ),
    "one sign for two things": (
        'group: ","',
        "group: '.'",
        "order.yaml:8:9 SA1022 `.` cannot stand both before decimals and between thousands",
        "",
    ),
    "a permit for two kinds of body": (
        "form: [user]",
        "form: [user], json: {a: b}",
        "order.yaml:10:11 SA1022 a body is either `json` or `form`",
        "",
    ),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "erp"
    folder.mkdir()
    for place in (folder, tmp_path):
        (place / "lookups.yaml").write_text(LOOKUPS, encoding="utf-8")
    return folder / "order.yaml"


def loaded(path: Path, text: str) -> Loaded:
    path.write_text(text, encoding="utf-8")
    return load(path, FORMATS)


def told(problem: Problem) -> tuple[str, str]:
    place = f"{problem.at.path.name}:{problem.at.line}:{problem.at.column}"
    return f"{place} {problem.code} {english(problem.text, problem.values)}", english(problem.hint, problem.values)


def problems(path: Path, text: str) -> list[tuple[str, str]]:
    with pytest.raises(SourceErrors) as caught:
        loaded(path, text)
    return [told(problem) for problem in caught.value.problems]


# --- mistakes -------------------------------------------------------------------------------------------------------


def test_the_recipe_that_the_mistakes_are_made_in_is_right(path: Path) -> None:
    assert loaded(path, RECIPE).warnings == ()


@pytest.mark.parametrize(("right", "wrong", "said", "hint"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_with_its_place_and_a_hint(path: Path, right: str, wrong: str, said: str, hint: str) -> None:
    assert RECIPE.count(right) >= 1
    assert problems(path, RECIPE.replace(right, wrong, 1)) == [(said, hint)]


def test_a_mistake_is_shown_with_its_line(path: Path) -> None:
    with pytest.raises(SourceErrors) as caught:
        loaded(path, RECIPE.replace("within", "withn"))
    assert (
        str(caught.value)
        == f"""\
{path}:29:3: SA1020 unknown key `withn`
  |   withn: main
  |   ^
hint: did you mean `within`?"""
    )


def test_all_mistakes_are_told_at_once_and_in_order(path: Path) -> None:
    text = RECIPE.replace("take: code}", "take: country}").replace("profile: uscc", "profile: uscx")
    text = text.replace("format: purchaseOrder", "format: order")
    assert [said.split()[:2] for said, _ in problems(path, text)] == [
        ["order.yaml:3:9", "SA1202"],
        ["order.yaml:34:26", "SA1214"],
        ["order.yaml:36:68", "SA1216"],
    ]


def test_a_mistake_in_the_lookup_file_is_shown_with_the_line_of_that_file(path: Path) -> None:
    (path.parent / "lookups.yaml").write_text("currency:\n  dollar: [USD]\n", encoding="utf-8")
    with pytest.raises(SourceErrors) as caught:
        loaded(path, RECIPE)
    assert (
        str(caught.value)
        == f"""\
{path.parent / "lookups.yaml"}:2:11: SA1022 `currency.dollar` should be text
  |   dollar: [USD]
  |           ^"""
    )


def test_a_mandatory_field_without_an_origin_is_a_warning(path: Path) -> None:
    (warning,) = loaded(path, RECIPE.replace("    totalAmount: {label: Total}\n", "")).warnings
    assert told(warning) == (
        "order.yaml:31:3 SA1220 no origin for the mandatory field(s) totalAmount: every document will be blocked",
        "find where the ERP shows it, or say so to the receiving side",
    )


def test_a_recipe_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(path.with_name("none.yaml"), FORMATS)
    assert caught.value.sentence == f"{path.with_name('none.yaml')} does not exist"


def test_a_table_may_stand_in_the_recipe_itself(path: Path) -> None:
    made = loaded(path, RECIPE.replace("{currency: lookups.yaml}", "{currency: {yen: JPY}}"))
    assert made.lookups == {"currency": {"yen": "JPY"}}


# --- the shipped recipes --------------------------------------------------------------------------------------------


def test_there_are_shipped_recipes() -> None:
    assert {p.relative_to(ROOT).with_suffix("").as_posix() for p in SHIPPED} >= {
        "demo/order",
        "demo/invoice",
        "demo/receipt",
    }


@pytest.mark.parametrize("recipe", SHIPPED, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_shipped_recipe_is_right(recipe: Path) -> None:
    made = load(recipe, FORMATS)
    assert made.recipe.recipe == recipe.relative_to(ROOT).with_suffix("").as_posix()


def schema() -> dict[str, Any]:
    answer = CliRunner().invoke(cli.commands, ["schema"])
    assert answer.exit_code == 0
    made: dict[str, Any] = json.loads(answer.stdout)
    return made


class Editor(yaml.SafeLoader):
    """Reads as editors do, by YAML 1.2: `on` is a text there, and not true as in PyYAML's 1.1."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own table
        first: [
            (tag, shape) for tag, shape in known if tag not in {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"}
        ]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


Editor.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF"))


def as_editors_see(text: str) -> object:
    return yaml.load(text, Editor)  # noqa: S506 - a SafeLoader


def test_the_schema_for_editors_is_a_json_schema() -> None:
    Draft202012Validator.check_schema({**schema(), "$schema": Draft202012Validator.META_SCHEMA["$schema"]})


@pytest.mark.parametrize("recipe", SHIPPED, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_editors_accept_a_shipped_recipe_as_they_see_it(recipe: Path) -> None:
    seen = as_editors_see(recipe.read_text(encoding="utf-8"))
    assert [e.message for e in Draft202012Validator(schema()).iter_errors(seen)] == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("within: main", "withn: main"), ("do: snap", "do: snapp"), ("{url: true,", "{url: maybe,"), ("erp: TEST", "")],
)
def test_editors_see_mistakes_of_form(right: str, wrong: str) -> None:
    checker = Draft202012Validator(schema())
    assert checker.is_valid(as_editors_see(RECIPE))
    assert not checker.is_valid(as_editors_see(RECIPE.replace(right, wrong, 1)))


@pytest.mark.parametrize("recipe", SHIPPED, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_recipe_in_words_names_every_field_page_and_permit(recipe: Path) -> None:
    made = load(recipe, FORMATS)
    words = "\n".join(explain(made))
    rule = made.recipe.document
    for name in (*rule.header, *rule.lines.values, rule.page, *made.recipe.sources):
        assert name in words, name
    for permit in made.recipe.permits:
        assert permit.path in words
    assert "<bound method" not in words
    assert "None" not in words
