"""One cell -> the value of its field. What the file types is taken so; a text is read only if it can mean one thing.

A number in a workbook is a binary one: its shortest decimal is taken, so 0.1 is 0.1. What a formula left behind, such
as 0.30000000000000004, has more decimals than the field allows and is refused: nothing is rounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation
from typing import TypeAlias

from scraper_agent import convert, notation
from scraper_agent.convert import Unreadable
from scraper_agent.format import Field, Value
from scraper_agent.importing import layout
from scraper_agent.messages import N_
from scraper_agent.notation import Amount, Moment
from scraper_agent.recipe import Locale

Reader: TypeAlias = Callable[[object], "Value | Amount | Moment | None"]
"""Of a cell that is not empty; an Amount or Moment where only the whole document can tell; None: it is empty after all.

Raises Unreadable.
"""

_MOST = Decimal(2**53)
"""From here on the numbers of a workbook have gaps."""
_LEAST = -_MOST
_WHOLE = Context(prec=200, traps=[Inexact, InvalidOperation])
"""Raises where a decimal would be lost."""
_EIGHT = range(10_000_000, 100_000_000)
"""YYYYMMDD typed as a number; no serial day of a workbook has so many digits."""
_MOMENT = re.compile(r"(\d{4})([-/.]?)(\d{1,2})\2(\d{1,2})[T ]+(\d{1,2}):?(\d{2}):?(\d{2})", re.ASCII)
_ALMOST = timedelta(milliseconds=1)


def reader(field: Field, *, canonical: bool = False) -> Reader:
    """`canonical`: texts are those of the standard's own form, where a number has a point and nothing else."""
    match field.type.holds:
        case "text":
            return _text(field)
        case "number":
            return _number(field, canonical=canonical)
        case "date":
            return _date
        case "datetime":
            return _datetime


def _text(field: Field) -> Reader:
    codes = dict(layout.shown(field))

    def read(cell: object) -> Value | None:
        if isinstance(cell, str):
            text = cell.strip()
            return (codes.get(text, text) if codes else text) or None
        if isinstance(cell, Decimal):
            raise Unreadable(
                N_("`{seen}` is a number where a text belongs: its leading zeros may be lost"),
                code="SA2334",
                seen=_plain(cell),
            )
        raise _strange(cell)

    return read


def _number(field: Field, *, canonical: bool) -> Reader:
    last = Decimal(1).scaleb(-field.type.decimals)

    def read(cell: object) -> Value | Amount | None:
        if isinstance(cell, Decimal):
            if not canonical and not _LEAST < cell < _MOST:
                raise Unreadable(
                    N_("`{seen}` has more digits than a workbook holds exactly"), code="SA2335", seen=_plain(cell)
                )
            try:
                cell.quantize(last, context=_WHOLE)
            except DecimalException:
                _check_decimals(cell, field)
            return cell
        if not isinstance(cell, str):
            raise _strange(cell)
        text = cell.strip()
        if not text:
            return None
        if canonical:
            return convert.number(text, Locale())
        amount = notation.amount(text)
        values = set(amount.by_style.values())
        return values.pop() if len(values) == 1 and len(amount.by_style) == len(notation.STYLES) else amount

    return read


def _check_decimals(number: Decimal, field: Field) -> None:
    found = len(_plain(number).partition(".")[2])
    if found > field.type.decimals:
        raise Unreadable(
            N_("the cell holds {seen}, which has {found} decimals; {type} allows {most}"),
            code="SA2339",
            seen=_plain(number),
            found=str(found),
            type=field.type.notation,
            most=str(field.type.decimals),
        )


def _date(cell: object) -> Value | Moment | None:
    if isinstance(cell, list):
        kind, text = cell
        day, _, time = text.partition("T")
        if kind == "date" and time.strip("0:.") == "":
            return date.fromisoformat(day)
        raise _strange(cell)
    if isinstance(cell, Decimal) and cell in _EIGHT:
        cell = _plain(cell)
    if not isinstance(cell, str):
        raise _strange(cell)
    if not cell.strip():
        return None
    moment = notation.moment(cell)
    values = set(moment.by_order.values())
    return values.pop() if len(values) == 1 and len(moment.by_order) > 1 else moment


def _datetime(cell: object) -> Value | None:
    if isinstance(cell, list) and cell[0] == "date":
        read = datetime.fromisoformat(cell[1])
        whole = (read + timedelta(milliseconds=500)).replace(microsecond=0)
        # A workbook keeps a time as a fraction of a day, which seldom is a whole second to the last digit.
        if abs(read - whole) <= _ALMOST:
            return whole
        raise _strange(cell)
    if not isinstance(cell, str):
        raise _strange(cell)
    if not cell.strip():
        return None
    match = _MOMENT.fullmatch(cell.strip())
    try:
        if match is not None and (match[2] or len(match[3]) == len(match[4]) == 2):  # noqa: PLR2004
            year, month, day, hour, minute, second = (int(match[n]) for n in (1, 3, 4, 5, 6, 7))
            return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - local time of China
    except ValueError:
        pass
    raise Unreadable(N_("`{seen}` is no date and time, such as 2026-03-05 08:30:00"), code="SA2336", seen=cell)


def _strange(cell: object) -> Unreadable:
    seen = _plain(cell) if isinstance(cell, Decimal) else str(cell[1] if isinstance(cell, list) else cell)
    return Unreadable(N_("`{seen}` is not the kind of value that the field holds"), code="SA2332", seen=seen)


def _plain(number: Decimal) -> str:
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def raw(cell: object) -> str:
    """A cell as an auditor may compare it with the file."""
    match cell:
        case Decimal():
            return _plain(cell)
        case [str(), str(text)]:
            return text
        case _:
            return str(cell)
