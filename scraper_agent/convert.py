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

    def __init__(self, text: str, /, **values: str) -> None:
        super().__init__(text)
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
    if whole and decimals.strip("0"):
        raise Unreadable(N_("`{seen}` is not a whole number"), seen=text)
    return Decimal(f"{sign}{digits}.{decimals}" if decimals and not whole else f"{sign}{digits}")


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
