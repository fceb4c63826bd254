"""What stands beside a text, in a section, in a frame: one place, or an error that says what matched and where."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scraper_agent import panes, relations
from scraper_agent.errors import PageError
from scraper_agent.page import PREFIX, FrozenPage
from scraper_agent.recipe import InFrame, Rows
from scraper_agent.relations import Side

URL = "http://erp.test/1"


def page(body: str, labels: tuple[str, ...] = ()) -> FrozenPage:
    return FrozenPage(PREFIX + f'{URL}"><body>{body}</body></html>'.encode(), labels=labels)


def at(x: int, y: int, text: str, tag: str = "span", width: int = 80, more: str = "") -> str:
    return f'<{tag} frozen-box="{x} {y} {width} 20" {more}>{text}</{tag}>'


def refused(read: Callable[[], object]) -> str:
    with pytest.raises(PageError) as caught:
        read()
    return f"{caught.value.code} {caught.value.sentence}"


CROSS = at(100, 100, "税额") + at(200, 100, "right") + at(0, 100, "left") + at(100, 60, "over") + at(100, 140, "under")
FAR = at(300, 100, "far right") + at(100, 20, "far over") + at(100, 180, "far under") + at(200, 60, "askew")


@pytest.mark.parametrize(
    ("side", "text"), [("right_of", "right"), ("left_of", "left"), ("above", "over"), ("below", "under")]
)
def test_the_nearest_in_line_is_meant(side: Side, text: str) -> None:
    spot = relations.beside(page(FAR + CROSS), side, "税额")
    assert spot is not None
    assert (spot.text, spot.found_by) == (text, f"{side} 税额")


def test_a_text_that_the_page_lacks_has_nothing_beside_it() -> None:
    assert relations.beside(page(CROSS), "below", "总额") is None


BESIDE_REFUSED = {
    "two texts": (
        at(0, 0, "税额") + at(100, 0, "1") + at(0, 40, "税额") + at(100, 40, "2"),
        "SA2003 right_of 税额 is ambiguous: 2 places match: <span> '1' at 100,0; <span> '2' at 100,40",
    ),
    "two nearest": (
        '<b frozen-box="0 0 50 60">税额</b>' + at(100, 0, "1") + at(110, 40, "2"),
        "SA2003 right_of 税额 is ambiguous: 2 places match: <span> '1' at 100,0; <span> '2' at 110,40",
    ),
    "nothing in line": (
        at(0, 0, "税额") + at(100, 40, "2"),
        "SA2010 nothing stands right_of 税额, which is at <span> '税额' at 0,0",
    ),
    "a label": (
        at(0, 0, "税额") + at(100, 0, "币种：") + at(200, 0, "USD"),
        "SA2011 what stands right_of 税额 is itself a label: <span> '币种：' at 100,0",
    ),
    "a label that the recipe names": (
        at(0, 0, "税额") + at(100, 0, "总额") + at(200, 0, "9"),
        "SA2011 what stands right_of 税额 is itself a label: <span> '总额' at 100,0",
    ),
}


@pytest.mark.parametrize(("body", "said"), BESIDE_REFUSED.values(), ids=BESIDE_REFUSED.keys())
def test_where_a_person_would_hesitate_it_is_refused(body: str, said: str) -> None:
    assert refused(lambda: relations.beside(page(body, labels=("总额",)), "right_of", "税额")) == said


def test_an_empty_field_is_a_place() -> None:
    spot = relations.beside(page(at(0, 0, "税额") + '<input frozen-box="100 0 80 20" value=""/>'), "right_of", "税额")
    assert spot is not None
    assert spot.text == ""


def test_a_section_ends_where_the_next_of_its_rank_begins() -> None:
    body = (
        at(0, 0, "买方", "h3") + at(0, 30, "名称") + at(100, 30, "甲")
        + at(0, 60, "卖方", "h3") + at(0, 90, "名称") + at(100, 90, "乙")
        + at(0, 110, "细目", "h4") + at(0, 130, "编码：") + at(100, 130, "7")
        + at(0, 160, "其他", "h2") + at(0, 190, "名称") + at(100, 190, "丙")
    )  # fmt: skip
    found = {name: relations.section(page(body), name) for name in ("买方", "卖方", "其他")}
    texts = {name: relations.beside(narrow, "right_of", "名称") for name, narrow in found.items()}
    assert {name: spot.text for name, spot in texts.items() if spot} == {"买方": "甲", "卖方": "乙", "其他": "丙"}
    assert relations.beside(found["买方"], "right_of", "编码") is None
    assert relations.beside(found["卖方"], "right_of", "编码") is not None
    assert found["卖方"].by_label("编码") is not None
    assert found["买方"].by_label("编码") is None


def test_two_sections_of_one_title_are_one_too_many() -> None:
    body = at(0, 0, "买方", "h3") + at(0, 30, "名称") + at(0, 60, "买方", "h3") + at(0, 90, "名称")
    assert refused(lambda: relations.section(page(body), "买方")) == (
        "SA2003 section 买方 is ambiguous: 2 places match: <h3> '买方' at 0,0; <h3> '买方' at 0,60"
    )
    assert refused(lambda: relations.section(page(body), "卖方")) == f"SA2002 the page {URL} has no section 卖方"


def frame(name: str, inner: str, more: str = "") -> str:
    named = f'frozen-path="/{name}" frozen-name="{name}" frozen-address="/a/{name}.jsp"'
    return f"<frozen-frame {named} {more}>{inner}</frozen-frame>"


def test_frames_are_told_apart_by_name_and_by_address() -> None:
    body = frame("main", at(0, 0, "1", "b")) + frame("side", at(0, 50, "2", "b"))
    for wanted in ("side", "*/side.jsp", "/a/s*"):
        spot = relations.inside(page(body), (InFrame(frame=wanted),)).by_css("b")
        assert spot is not None
        assert spot.text == "2"
    assert refused(lambda: relations.inside(page(body), (InFrame(frame="*.jsp"),))) == (
        "SA2003 frame *.jsp is ambiguous: 2 places match: <frozen-frame> '1' at 0,0; <frozen-frame> '2' at 0,50"
    )
    hidden = frame("main", at(0, 0, "1", "b")) + frame("main", at(0, 50, "2", "b"), 'frozen-hidden="1"')
    assert relations.inside(page(hidden), (InFrame(frame="main"),)).by_css("b") is not None


def test_what_could_not_be_read_is_told_where_something_is_missing() -> None:
    body = '<frozen-frame frozen-path="/pay" frozen-unread="1"/><div><frozen-shadow frozen-unread="1"/></div>'
    said = refused(lambda: relations.section(page(body), "买方"))
    assert (
        said == f"SA2009 the page {URL} has no section 买方; but 2 part(s) of it could not be read: frame /pay; <div>"
    )


# --- tables ---------------------------------------------------------------------------------------------------------


def table(rows: list[list[str]], x: int = 0, y: int = 0, head: int = 1) -> str:
    made = ""
    for n, row in enumerate(rows):
        tag = "th" if n < head else "td"
        cells = "".join(at(x + 100 * i, y + 30 * n, text, tag) for i, text in enumerate(row))
        made += f"<tr>{cells}</tr>"
    return f"<table>{made}</table>"


def column(found: FrozenPage, name: str, others: set[str], **rows: str) -> list[str]:
    joined = panes.table(found, {name, *others})
    settings = Rows.model_validate(rows)
    return [found.cell(joined, row, name).text for row in panes.records(found, joined, settings)]


def test_parts_that_show_other_rows_are_not_joined() -> None:
    left, right = [["行号"], ["1"], ["2"]], [["数量"], ["10"], ["20"]]
    assert column(page(table(left) + table(right, x=200)), "数量", {"行号"}, rows="tr") == ["10", "20"]
    assert refused(lambda: column(page(table(left) + table(right, x=200, y=30)), "数量", {"行号"}, rows="tr")) == (
        "SA2012 two parts of one table do not show the same rows: 行号: 2 (30, 60 …) and 数量: 2 (60, 90 …)"
    )
    fewer = right[:2]
    assert "SA2012" in refused(lambda: column(page(table(left) + table(fewer, x=200)), "数量", {"行号"}, rows="tr"))
    twice = table(left) + table(right, x=200) + table(right, x=400)
    assert "SA2003" in refused(lambda: column(page(twice), "数量", {"行号"}, rows="tr"))


HEAD = ["品名", "规格", "数量", "金额"]
TOTALS = {
    "half of it blank": ([["A", "x", "1", "10"], ["B", "y", "2", "20"], ["合计", "", "", "31"]], ["A", "B"]),
    "its numbers are sums": ([["A", "x", "1", "10"], ["B", "y", "2", "20"], ["Total", "-", "3", "30"]], ["A", "B"]),
    "of a group, and of all": (
        [
            ["A", "x", "1", "10"],
            ["小计", "-", "1", "10"],
            ["B", "y", "2", "20"],
            ["小 计", "-", "2", "20"],
            ["总计：", "-", "3", "30"],
        ],
        ["A", "B"],
    ),
    "a record that is called so": ([["A", "x", "1", "10"], ["Total", "y", "2", "20"]], ["A", "Total"]),
    "another word": ([["A", "x", "1", "10"], ["合计算器", "", "", "10"]], ["A", "合计算器"]),
}


@pytest.mark.parametrize(("rows", "kept"), TOTALS.values(), ids=TOTALS.keys())
def test_totals_are_left_out_where_they_are_proved(rows: list[list[str]], kept: list[str]) -> None:
    found = page(table([HEAD, *rows]))
    names = column(found, "品名", {"金额"}, rows="tr + tr")
    assert names == kept
    assert len(column(found, "品名", {"金额"}, rows="tr + tr", totals="keep")) == len(rows)


def test_columns_of_the_same_name_go_by_the_header_above_them() -> None:
    body = (
        '<table><thead><tr><th colspan="2" frozen-box="0 0 180 20">订购</th>'
        '<th colspan="2" frozen-box="200 0 180 20">实收</th></tr><tr>'
        + "".join(at(100 * i, 30, text, "th") for i, text in enumerate(["数量", "金额"] * 2))
        + "</tr></thead>"
        "<tbody><tr>" + "".join(at(100 * i, 60, str(i), "td") for i in range(4)) + "</tr></tbody></table>"
    )
    found = page(body)
    paths = [f"{a} / {b}" for a in ("订购", "实收") for b in ("数量", "金额")]
    assert [column(found, path, set(), rows="tbody tr") for path in paths] == [
        ["0"], ["1"], ["2"], ["3"],
    ]  # fmt: skip
    assert "SA2003" in refused(lambda: column(found, "数量", set(), rows="tbody tr"))
