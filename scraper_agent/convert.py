"""Text as an ERP shows it -> a value. Strict: what does not fit the declared notation is refused, never guessed."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from functools import cache

from scraper_agent.messages import N_
from scraper_agent.recipe import Locale

_CURRENCY_SIGNS = "¥￥$€£"
_MOST_DIGITS = 100
"""More than any field takes; `Decimal` itself has no limit that would protect the memory."""
_QUOTED = 120
"""Characters of a text that a finding quotes: a page may put a book into a cell."""
_DATE_TOKENS = re.compile(r"YYYY|MM|DD|M|D")
_DATE_DIGITS = {
    "YYYY": r"(?P<year>\d{4})",
    "MM": r"(?P<month>\d{2})",
    "DD": r"(?P<day>\d{2})",
    "M": r"(?P<month>\d{1,2})",
    "D": r"(?P<day>\d{1,2})",
}


class Unreadable(ValueError):
    """The text is not what it should be. `text` is a template of the catalogue, filled with `values`."""

    def __init__(self, text: str, /, *, code: str = "SA2302", **values: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.values_seen = {k: v if len(v) <= _QUOTED else v[: _QUOTED - 1] + "…" for k, v in values.items()}


def number(text: str, locale: Locale, *, whole: bool = False) -> Decimal:
    """`1,234.50` by the locale's signs; one currency sign before or after it is left out.

    Raises:
        Unreadable: any other character, a group that is not three digits, more than 100 digits, or decimals other than
            zeros where `whole` is asked for.
    """
    match = _number(locale.decimal, locale.group).fullmatch(text.strip())
    if match is None:
        raise Unreadable(
            N_("`{seen}` is not a number written with `{decimal}` before decimals and `{group}` between thousands"),
            seen=text,
            decimal=locale.decimal,
            group=locale.group or "-",
        )
    digits, decimals = match["whole"], match["decimals"] or ""
    if not digits.isdecimal():
        digits = re.sub(r"\D", "", digits)
    if len(digits) + len(decimals) > _MOST_DIGITS:
        raise Unreadable(N_("`{seen}` has more than {most} digits"), seen=text, most=str(_MOST_DIGITS))
    sign = match["outer"] or match["inner"]
    value = Decimal(f"{sign}{digits}.{decimals}" if decimals else f"{sign}{digits}")
    return without_decimals(value, text) if whole else value


def without_decimals(value: Decimal, seen: str) -> Decimal:
    """`value` without decimals.

    Raises:
        Unreadable: it has decimals other than zeros.
    """
    digits, _, decimals = format(value, "f").partition(".")
    if decimals.strip("0"):
        raise Unreadable(N_("`{seen}` is not a whole number"), seen=seen)
    return Decimal(digits)


CHINESE = "零〇一二三四五六七八九壹贰叁肆伍陆柒捌玖貳參陸两兩十百千拾佰仟万亿元圆角分整正"
"""Every character that a number in Chinese words may have."""

_DIGITS = ("零〇", "一壹", "二贰貳两兩", "三叁參", "四肆", "五伍", "六陆陸", "七柒", "八捌", "九玖")
_WORDS = {word: number for number, words in enumerate(_DIGITS) for word in words}
_TEN = 10
_TENS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}


def chinese(words: str) -> Decimal | None:
    """一千二百 is 1200, 壹仟贰佰叁拾肆元伍角整 is 1234.50; None if it is no number, or not one alone.

    一千二 may be meant for 1200 or 1002, and 一二三 for digits: neither is read.
    """
    yuan, mark, small = words.replace("圆", "元").partition("元")
    ended = words[-1:] in ("整", "正")
    if not mark:
        whole = _chinese_whole(yuan)
        return None if whole is None else Decimal(whole)
    if ended:
        small = small[:-1]
    jiao = fen = 0
    small = small.removeprefix("零") if len(small) > 1 else small
    if match := re.fullmatch(r"(?:(.)角)?(?:零?(.)分)?", small):
        jiao, fen = (_WORDS.get(c, -1) if c else 0 for c in match.groups())
    whole = _chinese_whole(yuan)
    if match is None or min(jiao, fen) < 0 or whole is None:
        return None
    return Decimal(f"{whole}.{jiao}{fen}")


def _chinese_whole(words: str) -> int | None:
    if words and all(c in "零〇" for c in words):
        return 0 if len(words) == 1 else None
    high, hundred_million, low = words.partition("亿")
    if not hundred_million:
        return _below_hundred_million(high)
    above = _below_hundred_million(high)
    below = _below_hundred_million(low, after=True) if low else 0
    return None if above is None or below is None or "亿" in low else above * 10**8 + below


def _below_hundred_million(words: str, *, after: bool = False) -> int | None:
    high, ten_thousand, low = words.partition("万")
    if "万" in low:
        return None
    if not ten_thousand:
        return _below_ten_thousand(high, after=after)
    above = _below_ten_thousand(high, after=after)
    below = _below_ten_thousand(low, after=True) if low else 0
    return None if above is None or below is None else above * 10**4 + below


def _below_ten_thousand(words: str, *, after: bool) -> int | None:
    """`after`: more stands before these words, so that a digit alone needs 零 before it."""
    total, unit, digit, zero = 0, 10**4, None, False
    for at, word in enumerate(words):
        if word in "零〇":
            if zero or digit is not None or not (total or after) or at == len(words) - 1:
                return None
            zero = True
        elif word in _WORDS:
            if digit is not None:
                return None
            digit = _WORDS[word]
        elif word in _TENS:
            if _TENS[word] >= unit or (digit is None and (_TENS[word] != _TEN or total or after)):
                return None
            unit, zero = _TENS[word], False
            total += (1 if digit is None else digit) * unit
            digit = None
        else:
            return None
    if digit is not None:
        if not zero and (unit != _TEN if total else after):
            return None
        total += digit
    return total or None


def day(text: str, notation: str) -> date:
    """A date in the declared notation, such as `MM/DD/YYYY`.

    Raises:
        Unreadable: the text is not of that notation, or there is no such day.
    """
    match = _date(notation).fullmatch(text.strip())
    if match is None:
        raise Unreadable(N_("`{seen}` is not a date written as {expected}"), seen=text, expected=notation)
    try:
        return date(int(match["year"]), int(match["month"]), int(match["day"]))
    except ValueError:
        raise Unreadable(
            N_("`{seen}` is no day of the calendar, read as {expected}"), seen=text, expected=notation
        ) from None


def notation_fault(notation: str) -> bool:
    """Whether a date notation does not name year, month and day once each, or could be read in two ways.

    `YYYYMD` could: 2026111 is the 11th of January and the 1st of November.
    """
    parts = re.split(f"({_DATE_TOKENS.pattern})", notation)
    tokens, between = parts[1::2], parts[2:-1:2]
    touching = any(not b and min(len(t), len(u)) == 1 for t, b, u in zip(tokens, between, tokens[1:], strict=False))
    strange = re.search(r"[A-Za-z0-9]", "".join(parts[::2]))
    return sorted(t[0] for t in tokens) != ["D", "M", "Y"] or touching or strange is not None


@cache
def _number(decimal: str, group: str) -> re.Pattern[str]:
    # Thousands are never grouped below one: `0,123` is another country's 0.123. Swiss pages write either apostrophe.
    signs = {"": "", "'": "['\u2019]"}.get(group, re.escape(group))
    whole = rf"[1-9]\d{{0,2}}(?:{signs}\d{{3}})+|\d+" if group else r"\d+"
    amount = rf"(?P<whole>{whole})(?:{re.escape(decimal)}(?P<decimals>\d+))?"
    # The sign of a negative amount stands before or after its currency, -¥5.00 or ¥-5.00; never both.
    before = rf"(?P<outer>[-+])?(?P<currency>[{_CURRENCY_SIGNS}]\s?)?"
    after = rf"(?(currency)|(?:\s?[{_CURRENCY_SIGNS}])?)"
    return re.compile(rf"{before}(?P<inner>(?(outer)|[-+]?)){amount}{after}", re.ASCII)


@cache
def _date(notation: str) -> re.Pattern[str]:
    parts = re.split(f"({_DATE_TOKENS.pattern})", notation)
    return re.compile("".join(_DATE_DIGITS.get(part, re.escape(part)) for part in parts), re.ASCII)
