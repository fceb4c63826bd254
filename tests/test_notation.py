"""A document tells its own notation, or is refused: a number or day is never another than the one that was written."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper_agent import convert, inference, messages, notation
from scraper_agent.convert import Unreadable
from scraper_agent.formats import FORMATS
from scraper_agent.inference import Cell

ORDER = FORMATS["purchaseOrder"]
STYLES = list(notation.STYLES)


def grouped(number: Decimal, style: str) -> str:
    locale = notation.STYLES[style]  # type: ignore[index]
    return f"{number:,f}".translate({ord(","): locale.group, ord("."): locale.decimal})


def only(text: str, power: int = 0) -> Decimal:
    """The one value of `text` in every notation that can read it."""
    values = notation.amount(text, power).values(frozenset(notation.STYLES))
    assert len(values) == 1, (text, values)
    return next(iter(values))


def refused(text: str, read: Callable[[str], object] = notation.amount) -> str:
    with pytest.raises(Unreadable) as caught:
        read(text)
    return caught.value.code


def settled(*texts: str) -> list[Decimal | str]:
    cells: dict[Cell, notation.Amount] = {(None, str(n)): notation.amount(t) for n, t in enumerate(texts)}
    found = inference.numbers(cells, {}, ORDER)
    return [v.code if isinstance(v, Unreadable) else v for v in found.values()]


def days(*texts: str) -> list[date | str]:
    found = inference.dates({(None, str(n)): notation.moment(t) for n, t in enumerate(texts)})
    return [v.code if isinstance(v := found[None, str(n)], Unreadable) else v for n in range(len(texts))]


# --- one number -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,234.50", "1234.50"),
        ("1.234,50", "1234.50"),
        ("1 234,50", "1234.50"),
        ("1\u00a0234,50", "1234.50"),
        ("1\u2009234,50", "1234.50"),
        ("1\u202f234,50", "1234.50"),
        ("1'234.50", "1234.50"),
        ("1’234.50", "1234.50"),
        ("１，２３４．５０", "1234.50"),
        ("￥1,234.50", "1234.50"),
        ("￥1,234.50元", "1234.50"),
        ("CNY 1,234.50", "1234.50"),
        ("1,234.50 USD", "1234.50"),
        ("1.234,50 €", "1234.50"),
        ("1,234.50美元", "1234.50"),
        ("(1,234.50)", "-1234.50"),
        ("（1,234.50）", "-1234.50"),
        ("(￥1,234.50)", "-1234.50"),
        ("￥(1,234.50)", "-1234.50"),
        ("1,234.50-", "-1234.50"),
        ("1.234,50- EUR", "-1234.50"),
        ("-1,234.50", "-1234.50"),
        ("\u22121,234.50", "-1234.50"),
        ("－1,234.50", "-1234.50"),
        ("-￥5.10", "-5.10"),
        ("￥-5.10", "-5.10"),
        ("负5.10", "-5.10"),
        ("1.5万", "15000"),
        ("12.34万元", "123400"),
        ("3亿元", "300000000"),
        ("2.5百万", "2500000"),
        ("1.25千元", "1250"),
        ("0,125", "0.125"),
        ("壹仟贰佰叁拾肆元伍角整", "1234.50"),
        ("人民币壹拾万零柒仟元伍角叁分", "107000.53"),
        ("人民币壹拾万柒仟元零伍角叁分", "107000.53"),
        ("陆仟零柒元壹角肆分", "6007.14"),
        ("壹元零伍分", "1.05"),
        ("零元整", "0"),
        ("一千二百", "1200"),
        ("十二", "12"),
        ("二十五", "25"),
        ("一亿零五", "100000005"),
        ("三万五千", "35000"),
        ("负壹仟元整", "-1000"),
    ],
)
def test_every_usual_form_of_a_number_is_read(text: str, number: str) -> None:
    value = only(text) if text != "1.25千元" else notation.amount(text).by_style["1,234.50"]
    assert value == Decimal(number)


@pytest.mark.parametrize(
    "text",
    [
        "", "-", "--5", "-(5)", "(5", "5)", "-5-", "+5-", "$5$", "$5 EUR", "¥5 USD", "元5元", "△5", "▲5", "5 CR", "5%",
        "1e3", "1_000", "0x10", "NaN", "Infinity", "١٢٣", ".5", "5.", "1,,234", "1,23,456.50", "1.234.56", "12,34.5.6",
        "1,234.567,89", "3亿5000万", "1千2百", "5 千克", "10百", "5兆", "一千二", "一万二", "二百五",
        "一二三", "一千零", "零零", "万", "元", "亿", "伍角整", "一千百", "百二", "一万十", "三点五", "壹元整整",
        "- 5", "5 - 6", "1\n2",
    ],
)  # fmt: skip
def test_what_no_usual_notation_explains_or_what_is_meant_in_two_ways_is_refused(text: str) -> None:
    assert refused(text) == "SA2302"


@pytest.mark.parametrize(
    ("header", "power"),
    [
        ("金额", 0),
        ("金额（万元）", 4),
        ("金额(千元)", 3),
        ("金额 [亿元]：", 8),
        ("金额（单位：万元）", 4),
        ("金额（百万美元）", 6),
        ("金额/万元", 4),
        ("Amount (in thousands)", 3),
        ("Amount (USD '000)", 3),
        ("重量（千克）", 0),
        ("功率(千瓦)", 0),
        ("金额（元）", 0),
        ("金额（含税）", 0),
        ("单价(元/千克)", 0),
    ],
)
def test_a_header_names_the_power_of_ten_of_its_numbers(header: str, power: int) -> None:
    assert notation.header_power(header) == power


@pytest.mark.parametrize("header", ["数量（万件）", "金额（万元）（千元）", "数量(千个)"])
def test_a_header_whose_power_of_ten_may_be_the_units_own_is_refused(header: str) -> None:
    assert refused(header, notation.header_power) in {"SA2319", "SA2322"}


def test_a_power_of_ten_in_header_and_cell_is_refused() -> None:
    assert only("1.5", 4) == Decimal(15000)
    with pytest.raises(Unreadable):
        notation.amount("1.5万", 4)
    with pytest.raises(Unreadable):
        notation.amount("壹仟元整", 4)


# --- a document of numbers ------------------------------------------------------------------------------------------


def test_one_cell_decides_for_the_others() -> None:
    assert settled("1.234", "1,234.50", "5") == [Decimal("1.234"), Decimal("1234.50"), 5]
    assert settled("1.234", "1.234,50", "5") == [1234, Decimal("1234.50"), 5]
    assert settled("1.234", "7,25") == [1234, Decimal("7.25")]


def test_what_stays_open_is_refused_with_its_readings() -> None:
    assert settled("1.234", "5") == ["SA2310", 5]
    (found,) = inference.numbers({(None, "x"): notation.amount("1.234")}, {}, ORDER).values()
    assert isinstance(found, Unreadable)
    assert messages.english(found.text, found.values_seen) == (
        "`1.234` can be 1.234 / 1234, and nothing on the page decides; set `numbers:` to one of 1,234.50 / 1.234,50"
    )


def test_cells_of_two_notations_refuse_each_other() -> None:
    assert settled("1,234.50", "1.234,50", "5") == ["SA2311", "SA2311", 5]


def line(quantity: str, price: str, amount: str, total: str | None = None) -> list[Decimal | str]:
    cells: dict[Cell, notation.Amount] = {
        (0, "orderedQuantity"): notation.amount(quantity),
        (0, "unitPrice"): notation.amount(price),
        (0, "lineAmount"): notation.amount(amount),
    }
    if total is not None:
        cells[None, "totalAmount"] = notation.amount(total)
    return [v.code if isinstance(v, Unreadable) else v for v in inference.numbers(cells, {}, ORDER).values()]


def test_arithmetic_decides_where_cells_do_not() -> None:
    assert line("2", "1.500", "3.000") == [2, "SA2310", "SA2310"]
    assert line("1.500", "2.000", "3.000.000") == [1500, 2000, 3000000]
    assert line("1.500", "2.000", "3.000") == [Decimal("1.5"), 2, 3]
    assert line("1,500", "2,000", "3,000") == [Decimal("1.5"), 2, 3]


def test_a_product_that_is_off_decides_nothing() -> None:
    assert line("1.500", "2.000", "4.000") == ["SA2310"] * 3
    assert line("1.500", "0", "0") == ["SA2310", 0, 0]


@given(
    st.lists(
        st.tuples(st.integers(-(10**12), 10**12), st.integers(0, 4)).map(lambda t: Decimal(t[0]).scaleb(-t[1])),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(STYLES),
    st.sampled_from(["{}", "￥{}", "CNY {}", "{} USD", "{}元", "({})", "{}-", "\u2212{}", "full", "nbsp"]),
)
def test_a_document_in_any_notation_gives_its_own_numbers_or_is_refused(
    numbers: list[Decimal], style: str, form: str
) -> None:
    texts = []
    wanted = []
    for number in numbers:
        negative = form in ("({})", "{}-", "\u2212{}")
        shown = grouped(abs(number) if negative else number, style)
        if form == "full":
            shown = shown.translate(str.maketrans("0123456789,.-", "０１２３４５６７８９，．－"))
        elif form == "nbsp":
            shown = shown.replace(" ", "\u00a0")
        else:
            shown = form.format(shown)
        texts.append(shown)
        wanted.append(-abs(number) if negative else number)
    for found, right in zip(settled(*texts), wanted, strict=True):
        assert found in (right, "SA2310"), (texts, found, right)


@given(
    st.lists(
        st.tuples(st.integers(1, 10**7), st.integers(0, 3), st.integers(1, 10**7), st.integers(0, 4)),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(STYLES),
)
def test_an_order_in_any_notation_gives_its_own_amounts_or_is_refused(
    rows: list[tuple[int, int, int, int]], style: str
) -> None:
    wanted: dict[Cell, Decimal] = {}
    for number, (quantity, places, price, more) in enumerate(rows):
        q, p = Decimal(quantity).scaleb(-places), Decimal(price).scaleb(-more)
        wanted[number, "orderedQuantity"], wanted[number, "unitPrice"] = q, p
        wanted[number, "lineAmount"] = (q * p).quantize(Decimal("0.001" if places else "1"), ROUND_HALF_UP)
    wanted[None, "totalAmount"] = sum((v for (_, id), v in wanted.items() if id == "lineAmount"), Decimal(0))
    cells = {cell: notation.amount(grouped(value, style)) for cell, value in wanted.items()}
    for cell, found in inference.numbers(cells, {}, ORDER).items():
        assert isinstance(found, Unreadable) or found == wanted[cell], (cells, found)


CAPITALS = "零壹贰叁肆伍陆柒捌玖"


def in_words(number: int, digits: str = CAPITALS, tens: tuple[str, ...] = ("", "拾", "佰", "仟")) -> str:
    """As accountants write it, by another way than the reader's: from the digits, zeros joined."""
    out = ""
    text = str(number)
    for at, digit in enumerate(text):
        place = len(text) - at - 1
        out += "零" if digit == "0" else digits[int(digit)] + tens[place % 4]
        if place in (4, 8) and int(text[max(0, at - 3) : at + 1] or 0):
            out = out.rstrip("零") + {4: "万", 8: "亿"}[place] + ("零" if out.endswith("零") else "")
    while "零零" in out:
        out = out.replace("零零", "零")
    return out.rstrip("零") or "零"


@given(st.integers(0, 10**11), st.integers(0, 9), st.integers(0, 9))
def test_an_amount_in_chinese_capitals_is_that_amount(yuan: int, jiao: int, fen: int) -> None:
    tail = (CAPITALS[jiao] + "角" if jiao else "零" if fen else "") + (CAPITALS[fen] + "分" if fen else "整")
    found = convert.chinese(f"{in_words(yuan)}元{tail}")
    assert found in (Decimal(f"{yuan}.{jiao}{fen}"), None)
    assert found is not None
    plain = convert.chinese(in_words(yuan, "零一二三四五六七八九", ("", "十", "百", "千")))
    assert plain in (Decimal(yuan), None)


@given(st.text(alphabet=convert.CHINESE, max_size=12))
def test_chinese_words_in_any_order_are_a_number_or_refused(words: str) -> None:
    found = convert.chinese(words)
    assert found is None or (found.is_finite() and found >= 0)


TEXTS = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="0123456789０１,.，． '’-()（）+−￥$元万亿千壹拾零角分整USDCNY/年月日民国:TZ上午", max_size=30),
)


@given(TEXTS)
def test_any_text_is_a_finite_number_or_refused(text: str) -> None:
    try:
        found = notation.amount(text)
    except Unreadable:
        return
    assert found.by_style
    assert all(value.is_finite() for value in found.by_style.values())


@given(TEXTS)
def test_any_text_is_a_day_or_refused(text: str) -> None:
    try:
        found = notation.moment(text)
    except Unreadable:
        return
    assert found.by_order


@given(TEXTS)
def test_any_header_has_a_power_of_ten_or_is_refused(text: str) -> None:
    try:
        assert 0 <= notation.header_power(text) <= 12
    except Unreadable:
        return


@pytest.mark.parametrize(
    "hostile",
    ["1" * 10_000, "1," * 5_000, "1 " * 5_000, " " * 10_000, "(" * 10_000, "￥" * 10_000, "万" * 10_000, "一" * 10_000,
     "1-" * 5_000, "１，" * 5_000, "零" * 10_000, "(万" * 5_000, "2026-03-01 " * 1_000, "1/" * 5_000],
)  # fmt: skip
def test_hostile_texts_of_10_000_characters_are_refused_at_once(hostile: str) -> None:
    begun = time.perf_counter()
    assert refused(hostile) == "SA2302"
    refused(hostile, notation.moment)
    with contextlib.suppress(Unreadable):
        notation.header_power(hostile)
    assert time.perf_counter() - begun < 1
    assert notation.amount("9" * 100).values(frozenset(STYLES)) == {Decimal("9" * 100)}


# --- dates ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "2026年3月1日", "2026年03月01日", "2026-03-01", "2026/3/1", "2026.03.01", "20260301", "2026-3-1", "1 Mar 2026",
        "01-Mar-2026", "1st March 2026", "March 1, 2026", "Mar 1 2026", "2026-03-01 14:30", "2026-03-01T14:30:15",
        "2026-03-01T14:30:15.123+08:00", "2026年3月1日 14时30分", "2026年3月1日 下午2:30", "2026/03/01 2:30 PM",
        "民国115年3月1日", "民國115/03/01", "２０２６－０３－０１", " 2026-03-01 ",
    ],
)  # fmt: skip
def test_every_usual_form_of_a_date_is_read(text: str) -> None:
    assert days(text) == [date(2026, 3, 1)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "SA2302"),
        ("2026-02-30", "SA2302"),
        ("2026-13-01", "SA2302"),
        ("13/13/2026", "SA2302"),
        ("0000-01-01", "SA2302"),
        ("115年3月1日", "SA2302"),
        ("2026-03/01", "SA2302"),
        ("2026-03-01 25:00", "SA2302"),
        ("2026-03-01 13:00 PM", "SA2302"),
        ("1 Foo 2026", "SA2302"),
        ("２０２６年３月", "SA2302"),
        ("03/04/26", "SA2318"),
        ("26-03-04", "SA2318"),
        ("2026-03-01T20:00:00Z", "SA2317"),
        ("2026-03-01T20:00:00+01:00", "SA2317"),
    ],
)
def test_what_is_no_day_or_may_be_two_is_refused(text: str, code: str) -> None:
    assert refused(text, notation.moment) == code


def test_one_date_decides_for_the_others_of_its_separator() -> None:
    assert days("03/04/2026", "25/12/2026") == [date(2026, 4, 3), date(2026, 12, 25)]
    assert days("03/04/2026", "12/25/2026") == [date(2026, 3, 4), date(2026, 12, 25)]
    assert days("03/04/2026", "25.12.2026", "2026-01-01") == ["SA2312", date(2026, 12, 25), date(2026, 1, 1)]
    assert days("03/03/2026") == [date(2026, 3, 3)]


def test_dates_of_two_orders_refuse_each_other() -> None:
    assert days("25/12/2026", "12/25/2026", "03/04/2026", "03/03/2026") == ["SA2313"] * 3 + [date(2026, 3, 3)]


FORMS = ["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%Y年%m月%d日", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%m-%d-%Y",
         "%d %b %Y", "%B %d, %Y", "%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M"]  # fmt: skip


@given(st.lists(st.dates(date(1000, 1, 1)), min_size=1, max_size=6), st.sampled_from(FORMS))
def test_a_document_of_dates_gives_its_own_days_or_is_refused(wanted: list[date], form: str) -> None:
    for found, right in zip(days(*(day.strftime(form) for day in wanted)), wanted, strict=True):
        assert found in (right, "SA2312")
