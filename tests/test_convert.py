"""Text becomes a value only if it fits the declared notation in every character."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from scraper_agent import convert, messages
from scraper_agent.recipe import Locale

ENGLISH = Locale(decimal=".", group=",")
GERMAN = Locale(decimal=",", group=".")
FRENCH = Locale(decimal=",", group=" ")
SWISS = Locale(decimal=".", group="'")
PLAIN = Locale()
LOCALES = {"en": ENGLISH, "de": GERMAN, "fr": FRENCH, "ch": SWISS, "plain": PLAIN}

NUMBERS = st.decimals(-(10**14), 10**14, allow_nan=False, allow_infinity=False, places=4)


def written(number: Decimal, locale: Locale) -> str:
    return f"{number:,f}".translate({ord(","): locale.group, ord("."): locale.decimal})


def unreadable(text: str, locale: Locale, *, whole: bool = False) -> str:
    with pytest.raises(convert.Unreadable) as caught:
        convert.number(text, locale, whole=whole)
    return messages.english(caught.value.text, caught.value.values_seen)


# --- numbers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "locale"),
    [("1,234.50", ENGLISH), ("1.234,50", GERMAN), ("1 234,50", FRENCH), ("1'234.50", SWISS), ("1’234.50", SWISS)],
)
def test_a_number_is_read_by_the_signs_of_its_locale_and_no_others(text: str, locale: Locale) -> None:
    assert convert.number(text, locale) == Decimal("1234.50")
    for other in LOCALES.values():
        if other is not locale:
            unreadable(text, other)


@given(NUMBERS, st.sampled_from(list(LOCALES.values())))
def test_what_a_locale_writes_it_reads(number: Decimal, locale: Locale) -> None:
    assert convert.number(written(number, locale), locale) == number
    assert convert.number(written(number, Locale(decimal=locale.decimal)), locale) == number


@given(NUMBERS)
def test_digits_and_decimals_are_kept_as_written(number: Decimal) -> None:
    assert str(convert.number(f"{number:f}", PLAIN)) == f"{number:f}"


@pytest.mark.parametrize(
    ("text", "locale"),
    [
        ("12,34", ENGLISH),
        ("1,2345", ENGLISH),
        ("1234,567", ENGLISH),
        (",123", ENGLISH),
        ("0,123", ENGLISH),
        ("1,,234", ENGLISH),
        ("1,234", PLAIN),
        ("1.234.567", PLAIN),
        ("1 234", ENGLISH),
        (".5", PLAIN),
        ("5.", PLAIN),
        ("", PLAIN),
        ("-", PLAIN),
        ("１２３", PLAIN),
        ("١٢٣", PLAIN),
        ("1e3", PLAIN),
        ("1_000", PLAIN),
        ("0x10", PLAIN),
        ("NaN", PLAIN),
        ("Infinity", PLAIN),
        ("--5", PLAIN),
        ("-¥-5", PLAIN),
        ("5-", PLAIN),
        ("(5)", PLAIN),
        ("$5$", PLAIN),
        ("$$5", PLAIN),
        ("5 USD", PLAIN),
        ("12 件", PLAIN),
        ("1.5\n2", PLAIN),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(text: str, locale: Locale) -> None:
    assert unreadable(text, locale) == (
        f"`{text}` is not a number written with `{locale.decimal}` before decimals "
        f"and `{locale.group or '-'}` between thousands"
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("-5.00", "-5.00"),
        ("+5", "5"),
        ("¥5", "5"),
        ("￥ 5.10", "5.10"),
        ("5 €", "5"),
        ("-$5.10", "-5.10"),
        ("$-5.10", "-5.10"),
        ("  5  ", "5"),
        ("007", "7"),
    ],
)
def test_a_sign_and_one_currency_sign_may_stand_with_a_number(text: str, number: str) -> None:
    assert str(convert.number(text, ENGLISH)) == number


def test_a_whole_number_has_no_decimals_but_zeros() -> None:
    assert str(convert.number("1,200.00", ENGLISH, whole=True)) == "1200"
    assert unreadable("5.01", PLAIN, whole=True) == "`5.01` is not a whole number"


def test_more_digits_than_any_field_has_are_refused() -> None:
    assert convert.number("9" * 100, PLAIN) == Decimal("9" * 100)
    assert unreadable("9" * 101, PLAIN) == f"`{'9' * 101}` has more than 100 digits"
    assert unreadable("0." + "0" * 5000, PLAIN) == f"`{('0.' + '0' * 5000)[:119]}…` has more than 100 digits"


@given(st.text(max_size=30), st.sampled_from(list(LOCALES.values())))
def test_any_text_is_a_finite_number_or_refused(text: str, locale: Locale) -> None:
    try:
        number = convert.number(text, locale)
    except convert.Unreadable:
        return
    assert number.is_finite()


def test_one_sign_cannot_stand_for_decimals_and_thousands() -> None:
    with pytest.raises(ValidationError):
        Locale(decimal=",", group=",")


# --- dates ----------------------------------------------------------------------------------------------------------

NOTATIONS = {
    "YYYY-MM-DD": "%Y-%m-%d",
    "YYYY/MM/DD": "%Y/%m/%d",
    "YYYYMMDD": "%Y%m%d",
    "MM/DD/YYYY": "%m/%d/%Y",
    "DD/MM/YYYY": "%d/%m/%Y",
    "DD.MM.YYYY": "%d.%m.%Y",
    "YYYY年MM月DD日": "%Y年%m月%d日",
}


@given(st.dates(date(1000, 1, 1)), st.sampled_from(list(NOTATIONS)))
def test_a_date_is_read_as_it_is_written(day: date, notation: str) -> None:
    assert convert.day(day.strftime(NOTATIONS[notation]), notation) == day


@given(st.dates(date(1000, 1, 1)))
def test_zeros_may_be_left_out_where_the_notation_leaves_them_out(day: date) -> None:
    assert convert.day(f"{day.year}年{day.month}月{day.day}日", "YYYY年M月D日") == day
    assert convert.day(f"{day:%Y年%m月%d日}", "YYYY年M月D日") == day


@pytest.mark.parametrize(
    ("text", "notation", "said"),
    [
        ("2026-02-30", "YYYY-MM-DD", "is no day of the calendar, read as YYYY-MM-DD"),
        ("02/29/2026", "MM/DD/YYYY", "is no day of the calendar, read as MM/DD/YYYY"),
        ("13/12/2026", "MM/DD/YYYY", "is no day of the calendar, read as MM/DD/YYYY"),
        ("0000-01-01", "YYYY-MM-DD", "is no day of the calendar, read as YYYY-MM-DD"),
        ("2026-1-5", "YYYY-MM-DD", "is not a date written as YYYY-MM-DD"),
        ("26-01-05", "YYYY-MM-DD", "is not a date written as YYYY-MM-DD"),
        ("2026/01/05", "YYYY-MM-DD", "is not a date written as YYYY-MM-DD"),
        ("2026-01-05 10:00", "YYYY-MM-DD", "is not a date written as YYYY-MM-DD"),
        ("２０２６-01-05", "YYYY-MM-DD", "is not a date written as YYYY-MM-DD"),
        ("5x1x2026", "D.M.YYYY", "is not a date written as D.M.YYYY"),
        ("", "YYYY-MM-DD", "is not a date written as YYYY-MM-DD"),
    ],
)
def test_a_date_of_another_notation_or_no_calendar_is_refused(text: str, notation: str, said: str) -> None:
    with pytest.raises(convert.Unreadable) as caught:
        convert.day(text, notation)
    assert messages.english(caught.value.text, caught.value.values_seen) == f"`{text}` {said}"


@pytest.mark.parametrize("notation", [*NOTATIONS, "YYYY年M月D日", "D.M.YYYY", "YYYY MM DD"])
def test_notations_that_name_each_part_once_are_right(notation: str) -> None:
    assert not convert.notation_fault(notation)


@pytest.mark.parametrize(
    "notation",
    ["", "YYYY-MM", "YYYY-MM-DD-DD", "YY-MM-DD", "YYYY-MMM-DD", "YYYYMD", "DMYYYY", "YYYY-MM-DD hh", "YYYY0MM0DD"],
)
def test_notations_that_could_be_read_in_two_ways_are_wrong(notation: str) -> None:
    assert convert.notation_fault(notation)
