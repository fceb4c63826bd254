"""What changes in what a recipe reads and asks: every difference of meaning is told, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from scraper_agent import yamlfile
from scraper_agent.authoring import difference, edition
from scraper_agent.authoring.difference import Change
from scraper_agent.authoring.edition import Edition
from scraper_agent.formats import FORMATS

RECIPE = """
recipe: test/order
version: "1"
format: purchaseOrder
erp: TEST
parameters: {base: {type: url, default: "http://erp.example"}, days: {type: integer, default: "7"}}
permits: [{purpose: query, path: /find, json: {kind: order}}]
refuses: [/admin/.*, /trash]
lookups: {unit: {件: "011", 箱: "120"}}
login:
  steps:
    - {do: open, url: "${base}/login"}
    - {do: fill, into: {label: 密码}, text: "${secret:password}"}
  done: {css: .user}
sources:
  suppliers:
    steps: [{do: open, url: "${base}/suppliers"}, {do: snap, name: suppliers}]
    page: suppliers
    key: {column: 名称}
    take: {code: {column: 编码}}
flows:
  find: {parameters: {text: {}}, steps: [{do: click, on: {text: 查询}}]}
steps:
  - {do: open, url: "${base}/orders"}
  - {do: use, flow: find, with: {text: a}}
  - do: list
    name: orders
    rows: tbody tr
    key: td.no
    declared: {css: .total}
    filters: [{field: {label: 状态}, reads: 已审核}]
    next: {text: 下一页}
    open: {how: link, target: a}
    steps: [{do: wait, until: {css: .ready}}, {do: snap, name: order}]
document:
  page: order
  record: {url: true, pattern: "/(\\\\d+)$"}
  header:
    orderNumber: {label: 订单号}
    orderDate: {label: 日期, as: date}
    supplierCode: {source: suppliers, by: {label: 供应商}, take: code}
  lines:
    rows: tbody tr
    declared: {css: .lines}
    values: {lineAmount: {column: 金额}, unitCode: {column: 单位, as: code, lookup: unit}}
"""


def made(text: str = RECIPE, **files: bytes) -> Edition:
    return edition.recall({"0/order.yaml": text.encode(), **files})


def changes(change: Any) -> list[Change]:
    """From the recipe to what `change` makes of its data."""
    data = yamlfile.source(RECIPE.encode(), Path("order.yaml")).data
    change(data)
    after = made(json.dumps(data))
    return list(difference.differences(made(), after, FORMATS["purchaseOrder"]))


def header(data: Mapping[str, Any]) -> Any:
    return data["document"]["header"]


def listing(data: Mapping[str, Any]) -> Any:
    return data["steps"][2]


HEADER = "document > header"
ORDERS = "steps > list orders"
VALUES = "document > lines > values"

SEEN: dict[str, tuple[Any, list[tuple[str, ...]]]] = {
    "a field more": (
        lambda d: header(d).update(totalAmount={"label": "合计"}),
        [("field", "added", f"{HEADER} > totalAmount (订单总价)", "", "label 合计")],
    ),
    "a field less": (
        lambda d: header(d).pop("orderNumber"),
        [("field", "removed", f"{HEADER} > orderNumber (采购订单号)", "label 订单号", "")],
    ),
    "a field from elsewhere": (
        lambda d: header(d).update(orderNumber={"label": "合同号"}),
        [("field", "changed", f"{HEADER} > orderNumber (采购订单号)", "label 订单号", "label 合同号")],
    ),
    "another conversion": (
        lambda d: header(d)["orderDate"].update(date="DD.MM.YYYY"),
        [
            (
                "conversion",
                "changed",
                f"{HEADER} > orderDate (下单日期)",
                "label 日期, as date",
                "label 日期, as date, date DD.MM.YYYY",
            )
        ],
    ),
    "a line column": (
        lambda d: d["document"]["lines"]["values"].update(lineAmount={"column": "含税金额"}),
        [("line", "changed", f"{VALUES} > lineAmount (行金额)", "column 金额", "column 含税金额")],
    ),
    "which lines": (
        lambda d: d["document"]["lines"].update(rows="tbody tr.own"),
        [("line", "changed", "document > lines > rows", "tbody tr", "tbody tr.own")],
    ),
    "a source's column": (
        lambda d: d["sources"]["suppliers"]["take"].update(code={"column": "税号"}),
        [("source", "changed", "sources > suppliers > take > code", "column 编码", "column 税号")],
    ),
    "a source's key": (
        lambda d: d["sources"]["suppliers"].update(key=[{"column": "名称"}, {"column": "国家"}]),
        [("source", "changed", "sources > suppliers > key", "column 名称", "column 名称, column 国家")],
    ),
    "rows": (
        lambda d: listing(d).update(rows="tbody tr.own"),
        [("list", "changed", f"{ORDERS} > rows", "tbody tr", "tbody tr.own")],
    ),
    "a filter": (
        lambda d: listing(d)["filters"][0].update(reads="全部"),
        [
            ("list", "removed", f"{ORDERS} > filters", '{"field":{"label":"状态"},"reads":"已审核"}', ""),
            ("list", "added", f"{ORDERS} > filters", "", '{"field":{"label":"状态"},"reads":"全部"}'),
        ],
    ),
    "no count": (
        lambda d: listing(d).pop("declared"),
        [("completeness", "removed", f"{ORDERS} > declared", '{"css":".total"}', "")],
    ),
    "another count": (
        lambda d: listing(d)["declared"].update(minus="1"),
        [("completeness", "changed", f"{ORDERS} > declared > minus", "0", "1")],
    ),
    "a second look": (
        lambda d: listing(d).update(recount=[]),
        [("completeness", "added", f"{ORDERS} > recount", "", "[]")],
    ),
    "fewer lines proved": (
        lambda d: d["document"]["lines"].pop("declared"),
        [("completeness", "removed", "document > lines > declared", '{"css":".lines"}', "")],
    ),
    "a twin": (
        lambda d: d["document"].update(twin={"page": "file", "header": {"orderNumber": {"column": "号"}}}),
        [("completeness", "added", "document > twin", "", '{"header":{"orderNumber":{"column":"号"}},"page":"file"}')],
    ),
    "a step in a list": (
        lambda d: listing(d)["steps"].insert(1, {"do": "click", "on": {"text": "展开"}}),
        [("step", "added", f"{ORDERS} > steps", "", "click [展开]")],
    ),
    "a step less": (lambda d: d["steps"].pop(1), [("step", "removed", "steps", "do `find` with text = a", "")]),
    "another step": (
        lambda d: d["flows"]["find"]["steps"][0].update(on={"text": "搜索"}),
        [("step", "changed", "flows > find > steps > click > on", "[查询]", "[搜索]")],
    ),
    "the same word, found otherwise": (
        lambda d: d["flows"]["find"]["steps"][0].update(on={"label": "查询"}),
        [("step", "changed", "flows > find > steps > click > on", '{"text":"查询"}', '{"label":"查询"}')],
    ),
    "another address": (
        lambda d: d["steps"][0].update(url="${base}/all"),
        [("address", "changed", "steps > open > url", "${base}/orders", "${base}/all")],
    ),
    "another default": (
        lambda d: d["parameters"]["base"].update(default="http://other.example"),
        [("address", "changed", "parameters > base > default", "http://erp.example", "http://other.example")],
    ),
    "a parameter": (
        lambda d: d["parameters"]["days"].update(default="30"),
        [("parameter", "changed", "parameters > days > default", "7", "30")],
    ),
    "a permit": (
        lambda d: d["permits"].append({"purpose": "query", "path": "/all"}),
        [("permit", "added", "permits", "", "query: POST /all ()")],
    ),
    "a refusal less": (lambda d: d["refuses"].pop(), [("refusal", "removed", "refuses", "/trash", "")]),
    "another order": (
        lambda d: d["refuses"].reverse(),
        [("refusal", "changed", "refuses", "/admin/.*, /trash", "/trash, /admin/.*")],
    ),
    "the login": (
        lambda d: d["login"].update(done={"css": ".name"}),
        [("session", "changed", "login > done", "[.user]", "[.name]")],
    ),
    "a code": (
        lambda d: d["lookups"]["unit"].update({"箱": "125", "打": "021"}),
        [("lookup", "changed", "unit", "箱 = 120", "箱 = 125"), ("lookup", "added", "unit", "", "打 = 021")],
    ),
    "the version": (lambda d: d.update(version="2"), [("recipe", "changed", "version", "1", "2")]),
    "numbers": (lambda d: d.update(numbers="1.234,50"), [("conversion", "added", "numbers", "", "1.234,50")]),
    "patience": (lambda d: d.update(quiet_ms="90"), [("browser", "changed", "quiet_ms", "60", "90")]),
}


@pytest.mark.parametrize("what", SEEN)
def test_a_change_is_told_with_what_was_and_what_is(what: str) -> None:
    change, expected = SEEN[what]
    found = changes(change)
    assert [(c.part, c.kind, c.what, c.old, c.new) for c in found] == expected
    for each in found:
        assert each.old in each.sentence
        assert each.new in each.sentence


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("a field less", f"{HEADER} > orderNumber (采购订单号) is read no more; it was read from: label 订单号"),
        ("a line column", f"{VALUES} > lineAmount (行金额) is read from elsewhere: column 金额 → column 含税金额"),
        ("a permit", "it may also send: query: POST /all ()"),
        ("a refusal less", "it may ask for what it never did: /trash"),
        ("no count", f'completeness is proved by less, without {ORDERS} > declared: {{"css":".total"}}'),
        ("another address", "another address is asked for, steps > open > url: ${base}/orders → ${base}/all"),
        ("the version", "version: 1 → 2"),
    ],
)
def test_a_sentence_says_what_the_change_means(what: str, sentence: str) -> None:
    assert [each.sentence for each in changes(SEEN[what][0])] == [sentence]


@pytest.mark.parametrize(
    "change",
    [
        lambda _: None,
        lambda d: d.update(reversed(list(d.items()))),
    ],
)
def test_the_spelling_alone_is_no_change(change: Any) -> None:
    assert changes(change) == []


def test_a_value_that_stands_in_a_parent_is_read_as_if_it_stood_there() -> None:
    child = b"extends: any/parent\nrecipe: test/order\nversion: '1'\n"
    laid = edition.recall({"0/own.yaml": child, "1/parent.yaml": RECIPE.encode()})
    assert difference.differences(made(), laid) == ()


def test_a_table_that_moves_to_a_file_is_none_and_its_codes_count() -> None:
    text = RECIPE.replace('{unit: {件: "011", 箱: "120"}}', "{unit: units.yaml}")
    same = "unit: {件: '011', 箱: '120'}".encode()
    moved = made(text, **{"0/lookups/units.yaml": same})
    assert difference.differences(made(), moved) == ()
    other = made(text, **{"0/lookups/units.yaml": same.replace(b"120", b"125")})
    assert [c.part for c in difference.differences(moved, other)] == ["lookup"]


READS = {
    "in_section": "x",
    "in": "dialog",
    "page": "x",
    "attribute": "x",
    "hidden": "true",
    "pattern": "(x)",
    "as": "text",
    "lookup": "unit",
    "date": "D.M.YYYY",
    "dates": "day-first",
    "numbers": "1,234.50",
    "optional": "true",
}


@pytest.mark.parametrize("key", READS)
def test_nothing_of_a_place_hides_behind_another_change(key: str) -> None:
    """Whatever else is new about it, the words tell this too."""
    place = {"css": "#number"}
    seen = [changes(lambda d, to=to: header(d).update(orderNumber=to)) for to in (place, place | {key: READS[key]})]
    (without,), (with_it,) = seen
    assert with_it.new != without.new


def test_the_texts_show_the_lines_that_differ() -> None:
    before, after = {"0/a.yaml": b"one\ntwo\n", "0/b.yaml": b"x\n"}, {"0/a.yaml": b"one\nthree\n", "1/c.yaml": b"y\n"}
    assert difference.texts(before, after) == (
        "--- 0/a.yaml", "+++ 0/a.yaml", "@@ -1,2 +1,2 @@", " one", "-two", "+three",
        "--- 0/b.yaml", "+++ 0/b.yaml", "@@ -1 +0,0 @@", "-x",
        "--- 1/c.yaml", "+++ 1/c.yaml", "@@ -0,0 +1 @@", "+y",
    )  # fmt: skip
    assert difference.texts(before, before) == ()
