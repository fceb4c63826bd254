"""A value is read where a person would look for it; where a person would hesitate, the page is refused.

What Chromium freezes is tested with Chromium; what the reader makes of bytes, with bytes written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib import resources

import pytest
from playwright.sync_api import Page as Tab

from scraper_agent.errors import PageError
from scraper_agent.page import PREFIX, FrozenPage, Spot
from scraper_agent.recipe import Count
from tests.chromium import chromium

FREEZE = (resources.files("scraper_agent.capture") / "freeze.js").read_text(encoding="utf-8")
URL = "http://erp.test/orders/1"


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        yield page


Freeze = Callable[..., bytes]
Look = Callable[..., FrozenPage]


@pytest.fixture(scope="module")
def freeze(tab: Tab) -> Freeze:
    def frozen(body: str, script: str = "") -> bytes:
        tab.set_content(f"<!doctype html><body>{body}</body>")
        if script:
            tab.evaluate(script)
        text: str = tab.evaluate(FREEZE, URL)
        return text.encode()

    return frozen


@pytest.fixture(scope="module")
def look(freeze: Freeze) -> Look:
    def page(body: str, script: str = "", *, within: str | None = None, labels: tuple[str, ...] = ()) -> FrozenPage:
        return FrozenPage(freeze(body, script), within=within, labels=labels)

    return page


def by_hand(body: str) -> bytes:
    return PREFIX + f'{URL}"><body>{body}</body></html>'.encode()


def refused(read: Callable[[], object]) -> str:
    with pytest.raises(PageError) as caught:
        read()
    return re.sub(r" at \d+,\d+", "", f"{caught.value.code} {caught.value.sentence}")


def text(spot: Spot | None) -> str:
    assert spot is not None
    return spot.text


# --- labels ---------------------------------------------------------------------------------------------------------

FIELDS = """<style>.field{display:inline-block;width:300px;vertical-align:top}.label{display:inline-block;width:90px}
.above .label,.above .value{display:block;min-height:20px}</style>"""

READ = {
    "for": "<label for=a>编号</label><p>x</p><input id=a value=PO-1>",
    "wrapping": "<label>编号 <input value=PO-1></label>",
    "wrapping, in a span": "<label><span>编号</span><input value=PO-1></label>",
    "aria-labelledby": "<span id=l>编号</span><p>x</p><input aria-labelledby='q l' value=PO-1>",
    "dt and dd": "<dl><dt>编号<dd>PO-1<dt>日期<dd>2026</dl>",
    "th and td": "<table><tr><th>编号<td>PO-1<th>日期<td>2026</table>",
    "label in th": "<table><tr><th><label>编号<i></i></label><td>PO-1</table>",
    "td with a class": "<table><tr><td class=l>编号<td>PO-1<tr><td class=l>日期<td>2026</table>",
    "td with a colon": "<table><tr><td>编号：<td>PO-1<tr><td>日期：<td>2026</table>",
    "td below td": "<table><tr><td class=l>编号<td class=l>日期<tr><td>PO-1<td>2026</table>",
    "td below th": "<table><tr><th>编号<th>日期<tr><td>PO-1<td>2026<tr><th>其他<th>备注<tr><td>x<td>y</table>",
    "tail": "<p><b>编号</b> PO-1 <b>日期</b> 2026",
    "tail after a colon": "<p><b>编号</b>：PO-1<br><b>日期</b>：2026",
    "within a paragraph": "<p>编号：<b>PO-1</b><p>日期：<b>2026</b>",
    "within a field": "<div class=f>编号<span>PO-1</span></div><div class=f>日期<span>2026</span></div>",
    "colon in an element of its own": "<p><span>编号</span><span>：</span><span>PO-1</span>",
    "star before, colon after": "<p><label><em>*</em> 编号 :</label> <span>PO-1</span>",
    "beside": f"{FIELDS}<div class=field><span class=label>编号</span><span>PO-1</span></div>"
    "<div class=field><span class=label>日期</span><span>2026</span></div>",
    "above": f"{FIELDS}<div class=above><div class=field><span class=label>编号</span>"
    "<span class=value>PO-1</span></div>"
    "<div class=field><span class='label must'>日期</span><span class=value>2026</span></div></div>",
    "beside, all in one box": "<span class=l>编号</span> <span>PO-1</span> <span class=l>日期</span> <span>2026</span>",
    "columns of labels and values": "<div style='display:flex'>"
    "<div><div class=l>编号</div><div class=l>日期</div></div>"
    "<div><div class=v>PO-1</div><div class=v>2026</div></div></div>",
    "help text below the field": "<div><span class=l>编号</span> <input value=PO-1><br><small>如 PO-9</small></div>",
    "an icon between": "<div><span class=l>编号</span><i class=help></i><input value=PO-1></div>",
    "an empty place between": "<div><span class=l>编号</span><span style='padding:20px'></span>"
    "<input value=PO-1></div>",
    "a hidden field between": "<div><span class=l>编号</span><input type=hidden value=7><input value=PO-1></div>",
    "a value of several texts": "<div><span class=l>编号</span> <span><b class=a>PO</b><i class=b>-1</i></span></div>",
    "a drawn drop-down over a hidden select": "<div><label for=s>编号</label><select id=s style='display:none'>"
    "<option>PO-9</select><span class=drawn>PO-1</span></div>",
    "select": "<label for=s>编号</label><select id=s><option>PO-9<option selected>PO-1</select>",
    "textarea": "<label for=s>编号</label><textarea id=s>PO-1\n</textarea>",
    "the same text on a button": "<button>编号</button><p><b>编号</b> PO-1",
    "the same text as a column": "<p><b>编号</b> PO-1</p><table><thead><tr><th>编号<tbody><tr><td>1<tr><td>2</table>",
    "the same identifier in a shadow root": "<div id=host></div><label for=a>编号</label><input id=a value=PO-1>",
}


@pytest.mark.parametrize("body", READ.values(), ids=READ.keys())
def test_a_value_is_found_by_its_label(look: Look, body: str) -> None:
    script = """() => { const h = document.getElementById("host");
      if (h) h.attachShadow({mode: "open"}).innerHTML = "<input id=a value=PO-9>"; }"""
    assert text(look(body, script).by_label("编号")) == "PO-1"


EMPTY = {
    "empty text": f"{FIELDS}<div class=field><span class=label>编号</span><span class=value></span></div>"
    "<div class=field><span class=label>日期</span><span class=value>2026</span></div>",
    "empty text above": f"{FIELDS}<div class=above><div class=field><span class=label>编号</span>"
    "<span class=value></span>"
    "</div><div class=field><span class='label must'>日期</span><span class=value>2026</span></div></div>",
    "empty field": "<label for=a>编号</label><input id=a> <label for=b>日期</label><input id=b value=2026>",
    "empty cell": "<table><tr><th>编号<td><th>日期<td>2026</table>",
    "empty cell without markup": "<table><tr><td>编号<td><tr><td>日期：<td>2026</table>",
    "empty dd": "<dl><dt>编号<dd></dd><dt>日期<dd>2026</dl>",
    "no dd at the end": "<dl><dt>日期<dd>2026<dt>编号</dl>",
    "no place, next label with a colon": "<p><span>编号：</span> <span>日期：</span> <span>2026</span>",
    "no place, next label is a label": "<p><label>编号</label> <label>日期</label> <span>2026</span>",
    "no place, at the end of its part": "<div><p><span class=l>编号</span></div><h2>日期</h2>",
    "empty place, next label looks the same": "<p><span>编号</span><span></span> <span>日期</span> <span>2026</span>",
    "hidden value": "<div><span class=l>编号</span><span style='display:none'>PO-9</span></div>",
    "transparent value": "<div><span class=l>编号</span><span style='opacity:0'>PO-9</span></div>",
    "masked password": "<label for=a>编号</label><input id=a type=password value=hunter2>",
}


@pytest.mark.parametrize("body", EMPTY.values(), ids=EMPTY.keys())
def test_a_label_without_a_value_reads_empty_and_never_what_stands_next(look: Look, body: str) -> None:
    assert text(look(f"<section>{body}</section><p>日期</p>").by_label("编号")) == ""


AMBIGUOUS = {
    "the same label twice": (
        "<p><b>编号</b> PO-1<p><b>编号</b> PO-2",
        "2 places match: <b> '编号'; <b> '编号'",
    ),
    "twice, one of them empty": (
        "<div><label for=a>编号</label><input id=a></div><div><label for=b>编号</label><input id=b value=x></div>",
        "2 places match: <input> ''; <input> 'x'",
    ),
    "two rows of plain cells": (
        "<table><tr><td>编号<td>日期<tr><td>PO-1<td>2026</table>",
        "2 places match: <td> '日期'; <td> 'PO-1'",
    ),
    "plain texts in a row": (
        "<p><span>编号</span> <span>日期</span>",
        "1 places match: <span> '日期'",
    ),
    "a drawn drop-down over an empty field": (
        (
            "<label for=a>编号</label><div style='position:relative'><input id=a style='width:200px'>"
            "<span class=drawn style='position:absolute;left:4px;top:2px'>PO-1</span></div>"
        ),
        "2 places match: <input> ''; <span> 'PO-1'",
    ),
    "fragments without a common element": (
        "<p><span class=l>编号</span> <span class=a>1,234</span><span class=b>.50</span>",
        "2 places match: <span> '1,234'; <span> '.50'",
    ),
    "something written between label and field": (
        "<p><span class=l>编号</span> <em>help</em> <input value=PO-1>",
        "2 places match: <em> 'help'; <input> 'PO-1'",
    ),
    "something written far before the field": (
        "<p><span class=l>编号</span> <em style='margin-right:60px'>help</em> <input value=PO-1>",
        "2 places match: <em> 'help'; <input> 'PO-1'",
    ),
    "an empty place, then a text": (
        "<p><span class=l>编号</span> <span class=v></span> <span class=w style='margin-left:40px'>PO-2</span>",
        "2 places match: <span> ''; <span> 'PO-2'",
    ),
    "a badge to the right, the value below": (
        "<div><span class=l>编号</span> <em class=badge>必填</em><div class=v>PO-1</div></div>",
        "2 places match: <em> '必填'; <div> 'PO-1'",
    ),
    "the text after the label goes on": (
        "<p><b>编号</b> 1,234<i>.50</i>",
        "2 places match: <b> '编号'; <i> '.50'",
    ),
    "two values in a list": ("<dl><dt>编号<dd>PO-1<dd>PO-2</dl>", "2 places match: <dd> 'PO-1'; <dd> 'PO-2'"),
    "a column's header over two rows": (
        "<table><thead><tr><th>编号<tbody><tr><td>1<tr><td>2</table>",
        "2 places match: <td> '1'; <td> '2'",
    ),
    "radio buttons": (
        "<div><span class=l>编号</span> <span><input type=radio checked>FOB <input type=radio>CIF</span></div>",
        "2 places match: <input> ''; <input> ''",
    ),
}


@pytest.mark.parametrize(("body", "said"), AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_where_two_places_could_be_meant_the_page_is_refused(look: Look, body: str, said: str) -> None:
    page = look(body)
    assert refused(lambda: page.by_label("编号")) == f"SA2003 label 编号 is ambiguous: {said}"


def test_a_text_that_the_recipe_names_as_a_label_is_no_value(look: Look) -> None:
    body = "<table><tr><td>编号<td>日期<tr><td>PO-1<td>2026</table>"
    assert text(look(body, labels=("编号", "日期")).by_label("编号")) == "PO-1"
    body = "<table><tr><td>编号<td>PO-1<tr><td>日期<td>2026</table>"
    assert text(look(body, labels=("编号", "日期")).by_label("编号")) == "PO-1"
    assert text(look("<p><b>编号</b> <span>日期</span> <i>2026</i>", labels=("日期",)).by_label("编号")) == ""


def test_a_label_that_the_page_lacks_is_none(look: Look) -> None:
    assert look("<p><b>编号 1</b> x").by_label("编号") is None
    assert look("<p style='display:none'><b>编号</b> x").by_label("编号") is None


def test_a_tick_reads_as_checked_or_unchecked(look: Look) -> None:
    page = look("<label for=a>甲</label><input id=a type=checkbox checked><label>乙<input type=checkbox></label>")
    assert [text(page.by_label(name)) for name in "甲乙"] == ["checked", "unchecked"]
    drawn = look("<label for=a>甲</label><span><input id=a type=checkbox checked style='opacity:0'></span>")
    assert text(drawn.by_label("甲")) == "checked"


def test_a_label_is_looked_for_only_within_the_named_part(look: Look) -> None:
    body = "<nav><b>编号</b> 1</nav><main hidden><b>编号</b> 2</main><main><b>编号</b> 3</main>"
    assert text(look(body, within="main").by_label("编号")) == "3"
    assert refused(lambda: look(body, within="b")).startswith("SA2003 css b is ambiguous: 2 places match")
    assert refused(lambda: look(body, within="aside")) == f"SA2002 the page {URL} has no css aside"


# --- tables ---------------------------------------------------------------------------------------------------------


def column(
    page: FrozenPage, name: str, css: str | None = None, rows: str = "tbody tr", skip: str = "tr.sum"
) -> list[str]:
    table = page.table({name}, css)
    return [page.cell(table, row, name).text for row in page.rows(table, rows, skip)]


def test_cells_are_read_by_their_header(look: Look) -> None:
    page = look(
        "<table><thead><tr><th>行号<th>数量 *<th>单价</thead><tbody><tr><td>1<td><input value=5><td>9"
        "<tr><td>2<td>6<td>8<tr class=sum><td colspan=2>合计<td>17</table>"
    )
    assert column(page, "数量") == ["5", "6"]
    assert column(page, "单价：") == ["9", "8"]


def test_a_table_without_thead_has_its_headers_in_the_first_row_of_headers(look: Look) -> None:
    page = look("<table><tr><td colspan=2>明细<tr><th>行号<th>数量<tr><td>1<td>5</table>")
    assert column(page, "数量", rows="tr + tr + tr") == ["5"]


def test_headers_of_two_rows_are_read_by_the_lower_one(look: Look) -> None:
    page = look(
        "<table><thead><tr><th rowspan=2>行号<th colspan=2>数量<th rowspan=2>备注<tr><th>订购<th>实收</thead>"
        "<tbody><tr><td>1<td>5<td>4<td>x</table>"
    )
    assert [column(page, name) for name in ("行号", "订购", "实收", "备注")] == [["1"], ["5"], ["4"], ["x"]]
    assert refused(lambda: column(page, "数量")) == (
        "SA2003 column 数量 is ambiguous: 2 places match: 行号 | 数量 | 备注 | 订购 | 数量 / 订购 | 实收 | 数量 / 实收"
    )


def test_a_cell_merged_over_rows_belongs_to_each_of_them(look: Look) -> None:
    page = look(
        "<table><thead><tr><th>订单<th>行号<th>数量</thead><tbody><tr><td rowspan=2>PO-1<td>1<td>5<tr><td>2<td>6"
        "<tr><td rowspan=0>PO-2<td>3<td>7<tr><td>4<td>8</tbody><tbody><tr><td>PO-3<td>5<td>9</table>"
    )
    assert column(page, "订单") == ["PO-1", "PO-1", "PO-2", "PO-2", "PO-3"]
    assert column(page, "数量") == ["5", "6", "7", "8", "9"]


def test_a_cell_merged_over_columns_is_refused(look: Look) -> None:
    page = look(
        "<table><thead><tr><th>行号<th>数量<th>单价<tbody><tr><td>1<td>5<td>9<tr><td colspan=2>合计<td>9</table>"
    )
    assert refused(lambda: column(page, "行号")) == (
        "SA2008 a row's cell does not stand under the header 行号 alone: 合计 9"
    )


def test_a_row_without_the_cell_is_refused(look: Look) -> None:
    page = look("<table><thead><tr><th>行号<th>数量<tbody><tr><td>没有数据</table>")
    assert refused(lambda: column(page, "数量")) == "SA2006 a row has no cell under the header 数量: 没有数据"


def test_hidden_columns_do_not_shift_the_others(look: Look) -> None:
    body = "<thead><tr><th>行号<th style='display:none'>内码<th>数量<tbody><tr><td>1<td style='display:none'>77<td>5"
    assert column(look(f"<table>{body}</table>"), "数量") == ["5"]
    only_cells = "<thead><tr><th>行号<th>数量<tbody><tr><td style='display:none'>77<td>1<td>5"
    assert column(look(f"<table>{only_cells}</table>"), "行号") == ["1"]
    assert refused(lambda: column(look(f"<table>{body}</table>"), "内码")) == (
        "SA2004 the table lacks the column(s) 内码; it has: 行号, 数量"
    )


def test_a_cell_that_keeps_its_place_while_invisible_shifts_nothing_unseen(look: Look) -> None:
    body = "<thead><tr><th>行号<th>数量<th>单价<tbody><tr><td style='visibility:hidden'>1<td>5<td>9</table>"
    page = look(f"<table style='width:600px'>{body}")
    assert refused(lambda: column(page, "行号")).startswith("SA2008 a row's cell does not stand under the header 行号")
    assert refused(lambda: column(page, "数量")).startswith("SA2008 a row's cell does not stand under the header 数量")


def test_a_header_twice_is_ambiguous(look: Look) -> None:
    page = look("<table><thead><tr><th>数量<th>单位<th>数量<tbody><tr><td>1<td>个<td>2</table>")
    assert column(page, "单位") == ["个"]
    assert refused(lambda: column(page, "数量")) == "SA2003 column 数量 is ambiguous: 2 places match: 数量 | 单位"


def test_tables_are_told_apart_by_their_headers(look: Look) -> None:
    one = "<table class=a><thead><tr><th>行号<th>数量<tbody><tr><td>1<td>5</table>"
    two = "<table class=b><thead><tr><th>行号<th>意见<tbody><tr><td>1<td>同意</table>"
    page = look(one + two)
    assert column(page, "数量") == ["5"]
    assert column(page, "行号", "table.b") == ["1"]
    assert refused(lambda: page.table({"行号"})).startswith(
        "SA2003 table with columns 行号 is ambiguous: 2 places match"
    )
    assert refused(lambda: page.table({"金额", "行号"})) == (
        "SA2005 no table has the column(s) 行号, 金额; tables on the page: 行号 | 数量; 行号 | 意见"
    )


def test_a_hidden_table_is_none(look: Look) -> None:
    page = look("<div style='display:none'><table><thead><tr><th>行号<tbody><tr><td>1</table></div>")
    assert refused(lambda: page.table({"行号"})) == "SA2005 no table has the column(s) 行号; tables on the page: -"


NESTED = """<table class=outer><thead><tr><th>行号<th>明细</thead><tbody>
<tr class=r><td>1<td><table><thead><tr><th>批号</thead><tbody><tr class=r><td>B1<tr class=r><td>B2</table>
<tr class=r><td>2<td><table><tr><th>批号<tr><td>B3</table></table>"""


def test_rows_and_headers_of_an_inner_table_are_not_the_outers(look: Look) -> None:
    page = look(NESTED)
    assert column(page, "行号") == ["1", "2"]
    assert column(page, "行号", rows=".r") == ["1", "2"]
    assert list(page.table({"行号"}).columns) == ["行号", "明细"]
    plain = look("<table class=layout><tr><td><table><tr><th>批号<tr><td>B3</table></table>")
    assert plain.table({"批号"}).element.get("class") is None


def test_headers_and_rows_may_be_two_tables_in_one_element(look: Look) -> None:
    page = look(
        "<div class=grid><div><table width=400><thead><tr><th width=200>行号<th>数量</table></div>"
        "<div><table width=400><tbody><tr><td width=200>1<td>5<tr><td>2<td>6</table></div></div>"
    )
    assert column(page, "数量", ".grid") == ["5", "6"]


# --- text -----------------------------------------------------------------------------------------------------------


def test_hidden_text_is_not_read(look: Look) -> None:
    page = look(
        "<p>甲<span style='display:none'>1</span>"
        "<span style='visibility:hidden'>2<b style='visibility:visible'>乙</b></span>"
        "<span hidden>3</span><span style='opacity:0'>4</span>"
        "<template>5</template><script>6</script><style>p{}</style>"
        "<span style='position:absolute;width:1px;height:1px;overflow:hidden'>7</span>"
        "<input list=d value=丙><datalist id=d><option>8</datalist><!-- 9 --><span style='display:contents'>丁</span>"
    )
    assert text(page.by_css("p")) == "甲乙 丙 丁"
    assert text(page.by_css("[hidden]", hidden=True)) == "3"
    assert page.by_css("[hidden]") is None


def test_fields_read_what_is_in_them_now(look: Look) -> None:
    page = look(
        "<input id=a value=old><select id=b><option>x<option>y</select><textarea id=c>old</textarea>"
        "<input id=d type=file>"
        "<input type=submit value=Go>",
        "() => { a.value = 'new'; b.selectedIndex = 1; c.value = 'two\\nlines'; }",
    )
    assert text(page.by_css("body")) == "new y two lines"


def test_one_element_is_meant_by_css(look: Look) -> None:
    page = look("<p class=n>1<p class=n>2<p class=n hidden>3")
    assert refused(lambda: page.by_css(".n")) == "SA2003 css .n is ambiguous: 2 places match: <p> '1'; <p> '2'"
    assert text(page.by_css(".n:first-child")) == "1"
    same = look("<a class=n href=/1>x</a><a class=n href=/2>x</a>")
    assert text(same.by_css(".n")) == "x"
    assert text(same.by_css(".n:last-child", attribute="href")) == "/2"
    assert refused(lambda: same.by_css(".n", attribute="href")).startswith("SA2003 css .n is ambiguous: 2 places match")
    assert page.by_css(".m") is None
    assert refused(lambda: page.by_css("p[")).startswith("SA2007 not a CSS selector: p[: ")


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("<p>共 60 条", 60),
        ("<p>共 1,234 条", 1234),
        ("<p>共 1.5 条", None),
        ("<p>没有数据", None),
        ("<p hidden>共 60 条", None),
        ("<p>总计<p>共 60 条", 60),
        ("<p>共 60 条<p>共 60 条", 60),
    ],
)
def test_a_page_states_one_number_or_none(look: Look, body: str, found: int | None) -> None:
    assert look(body).count(Count(css="p", pattern="共 (.+) 条")) == found


def test_two_numbers_are_one_too_many(look: Look) -> None:
    page = look("<p>共 60 条<p>共 61 条")
    assert refused(lambda: page.count(Count(css="p"))) == (
        "SA2003 css p is ambiguous: 2 places match: <p> '共 60 条'; <p> '共 61 条'"
    )


# --- frames and shadow roots ----------------------------------------------------------------------------------------


def test_frames_are_inlined_with_their_path_and_place(look: Look) -> None:
    inner = "<p style='margin:0'><b>编号</b> PO-1<iframe name=in srcdoc='<b>日期</b> 2026'></iframe>"
    body = f"<div style='height:300px'></div><iframe name=main style='border:0' srcdoc=\"{inner}\"></iframe>"
    script = """async () => { const f = window.frames[0];
      while (!f.frames[0] || !f.frames[0].document.querySelector("b"))
      await new Promise((r) => setTimeout(r, 10)); }"""
    page = look(body, script)
    number, day = page.by_label("编号"), page.by_label("日期")
    assert number is not None
    assert day is not None
    assert (number.text, page.frame_path(number.element)) == ("PO-1", "/main")
    assert (day.text, page.frame_path(day.element)) == ("2026", "/main/in")
    box = page.layout.box(number.element)
    assert box is not None
    assert box.y >= 300


def test_an_identifier_means_its_own_frame(look: Look) -> None:
    inner = "<label for=a>编号</label><input id=a value=PO-1>"
    body = f"<input id=a value=PO-9><iframe srcdoc='{inner}'></iframe>"
    page = look(
        body, "async () => { while (!frames[0].document.querySelector('input')) await new Promise(setTimeout); }"
    )
    assert text(page.by_label("编号")) == "PO-1"


def test_open_shadow_roots_are_read_and_unslotted_text_is_not(look: Look) -> None:
    page = look(
        "<my-field id=h><span>PO-1</span>never shown</my-field>",
        "() => { h.attachShadow({mode: 'open'}).innerHTML = '<b>编号</b> <slot>nothing</slot>';"
        " h.firstChild.slot = ''; h.shadowRoot.querySelector('slot').name = ''; h.lastChild.remove();"
        " h.append('text'); }",
    )
    assert "PO-1" in text(page.by_css("body"))
    assert "nothing" not in text(page.by_css("body"))
    page = look(
        "<my-field id=h>never shown</my-field>", "() => { h.attachShadow({mode: 'open'}).innerHTML = '<b>x</b>' }"
    )
    assert text(page.by_css("body")) == "x"


# --- hostile pages --------------------------------------------------------------------------------------------------


def test_text_that_is_no_xml_comes_through(look: Look) -> None:
    page = look(
        "<p id=p></p>",
        r"""() => { p.append("]]> & <script>1</script> \u0001\u0085\ud800\uffff");
          p.setAttribute("title", "\"'<>\u0002"); p.setAttribute("frozen-box", "9 9 9 9");
          p.setAttribute("data-x", "1");
          p.setAttributeNS("urn:x", "data-x", "2"); p.setAttribute("onclick", "evil()");
          p.append(document.createElement("o:p"), document.createElement("frozen-frame"),
                   document.createElementNS("urn:y", "a b".replace(" ", "-"))); }""",
    )
    spot = page.by_css("p")
    assert spot is not None
    assert spot.text == "]]> & <script>1</script> \ufffd\ufffd\ufffd\ufffd"
    assert spot.element.get("title") == "\"'<>\ufffd"
    assert spot.element.get("data-x") == "1"
    assert spot.element.get("onclick") is None
    assert spot.element.get("frozen-box") != "9 9 9 9"
    assert [child.tag for child in spot.element] == ["frozen-element", "frozen-element", "a-b"]


@pytest.mark.parametrize("depth", [600, 1500])
def test_a_deep_page_is_read(look: Look, depth: int) -> None:
    page = look(
        "<b>编号</b> <p id=p></p>",
        f"() => {{ let e = p; for (let n = 0; n < {depth}; n++) e = e.appendChild(document.createElement('b'));"
        " e.append('deep'); }",
    )
    assert text(page.by_css("p")) == "deep"
    assert page.by_label("deep") is not None


def test_a_page_deeper_than_any_parser_goes_is_refused() -> None:
    assert refused(lambda: FrozenPage(by_hand("<b>" * 5000 + "</b>" * 5000))).startswith("SA2001 ")


def test_passwords_never_leave_the_page(freeze: Freeze) -> None:
    frozen = freeze(
        "<input type=password value=hunter2><input type=text id=t>",
        "() => { t.type = 'password'; t.value = 'hunter2' }",
    )
    assert b"hunter2" not in frozen
    assert frozen.count(b'frozen-masked="password"') == 2


@pytest.mark.parametrize(
    "frozen",
    [
        b"",
        b"<html><body/></html>",
        b'<!DOCTYPE html [<!ENTITY a "aaaa">]>' + by_hand("&a;"),
        b"\xef\xbb\xbf" + by_hand(""),
        PREFIX + b'x"><!DOCTYPE html [<!ENTITY a "b">]><body>&a;</body></html>',
        by_hand("&a;"),
        by_hand("<p>"),
        by_hand("\x01"),
        by_hand('<p frozen-box="1 2 3">x</p>'),
        by_hand(f'<p frozen-box="1 2 3 {"9" * 5000}">x</p>'),
        PREFIX + b'\xff"></html>',
    ],
)  # fmt: skip
def test_what_freeze_did_not_write_is_refused(frozen: bytes) -> None:
    assert refused(lambda: FrozenPage(frozen)).startswith("SA2001 these bytes are not a frozen page: ")


def test_instructions_comments_and_nonsense_spans_are_harmless() -> None:
    body = (
        '<table><thead><tr><th frozen-box="0 0 9 9" colspan="99999999999">甲</th></tr></thead>'
        '<tbody><tr><td frozen-box="0 9 9 9" rowspan="x"><?php 1 ?><!-- 2 -->3</td></tr></tbody></table>'
    )
    page = FrozenPage(by_hand(body))
    assert column(page, "甲") == ["3"]
