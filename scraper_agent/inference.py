"""Which notation a document is written in: what all its cells allow, and where they do not decide, its arithmetic.

One document has one notation of numbers, and for each separator one order of day and month. A reading is taken only if
every other is impossible: no cell may contradict, and arithmetic decides only where one reading fits to the last digit
shown and every other is off by more than the format's rules tolerate. What stays open is refused, with its readings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TypeAlias

from scraper_agent import notation
from scraper_agent.convert import Unreadable
from scraper_agent.format import Format, Value
from scraper_agent.messages import N_
from scraper_agent.notation import Amount, Moment
from scraper_agent.recipe import DateOrder, NumberStyle
from scraper_agent.rules import EXACT
from scraper_agent.rules.amounts import HeaderSum, LineAmount, LineSum

Cell: TypeAlias = tuple[int | None, str]
"""A place of the document: index of its line from 0, None for the header; and the field."""

Read: TypeAlias = Mapping[Cell, Value]


def fixed_number(amount: Amount, style: NumberStyle) -> Decimal:
    """The number as written in a declared notation.

    Raises:
        Unreadable: it is not written so.
    """
    if style in amount.by_style:
        return amount.by_style[style]
    locale = notation.STYLES[style]
    raise Unreadable(
        N_("`{seen}` is not a number written with `{decimal}` before decimals and `{group}` between thousands"),
        seen=amount.seen,
        decimal=locale.decimal,
        group=locale.group,
    )


def fixed_date(moment: Moment, order: DateOrder) -> date:
    """The day as written in a declared order; a year that stands first leaves no doubt in any.

    Raises:
        Unreadable: it is not written so.
    """
    if order in moment.by_order:
        return moment.by_order[order]
    raise Unreadable(N_("`{seen}` is not a date written as {expected}"), seen=moment.seen, expected=order)


def numbers(cells: Mapping[Cell, Amount], known: Read, format: Format) -> dict[Cell, Decimal | Unreadable]:
    """Of each cell its number, or why it has none. `known`: what the document has beside these cells."""
    styles = frozenset(notation.STYLES)
    narrowing: list[Amount] = []
    for amount in cells.values():
        left = styles & amount.by_style.keys()
        if not left:
            other = next((a for a in narrowing if a.by_style.keys().isdisjoint(amount.by_style)), narrowing[0])
            return _contradicting(cells, other, amount)
        if left != styles:
            narrowing.append(amount)
        styles = left
    open_ = {cell: amount for cell, amount in cells.items() if len(amount.values(styles)) > 1}
    if open_:
        styles = _by_arithmetic(styles, cells, open_, known, format)
    return {cell: _number(amount, styles) for cell, amount in cells.items()}


def _number(amount: Amount, styles: frozenset[NumberStyle]) -> Decimal | Unreadable:
    values = amount.values(styles)
    if len(values) == 1:
        return next(iter(values))
    told: dict[Decimal, NumberStyle] = {}
    for style, value in amount.by_style.items():
        if style in styles:
            told.setdefault(value, style)
    return Unreadable(
        N_("`{seen}` can be {readings}, and nothing on the page decides; set `numbers:` to one of {example}"),
        code="SA2310",
        seen=amount.seen,
        readings=" / ".join(sorted(format(value, "f") for value in told)),
        example=" / ".join(sorted(told.values())),
    )


def _contradicting(cells: Mapping[Cell, Amount], one: Amount, other: Amount) -> dict[Cell, Decimal | Unreadable]:
    """Only what is one number in every notation, such as 5, is still read."""
    every = frozenset(notation.STYLES)
    refused = Unreadable(
        N_("`{seen}` and `{other}` are of different notations; set `numbers` at the fields, each with its own"),
        code="SA2311",
        seen=one.seen,
        other=other.seen,
    )
    return {
        cell: next(iter(amount.values(every))) if every == amount.by_style.keys() and len(amount.values(every)) == 1
        else refused
        for cell, amount in cells.items()
    }  # fmt: skip


def _by_arithmetic(
    styles: frozenset[NumberStyle],
    cells: Mapping[Cell, Amount],
    open_: Mapping[Cell, Amount],
    known: Read,
    format: Format,
) -> frozenset[NumberStyle]:
    """The one reading that all sums and products prove; all of `styles` if none or several are."""
    alike: dict[tuple[Decimal, ...], set[NumberStyle]] = {}
    for style in styles:
        alike.setdefault(tuple(amount.by_style[style] for amount in open_.values()), set()).add(style)
    proved: list[set[NumberStyle]] = []
    for members in alike.values():
        style = min(members)
        trial = {**known, **{cell: amount.by_style[style] for cell, amount in cells.items()}}
        relations = list(_relations(trial, frozenset(open_), format))
        if not any(relation.broken for relation in relations):
            if not relations or not all(relation.exact for relation in relations):
                return styles
            proved.append(members)
    return frozenset(proved[0]) if len(proved) == 1 else styles


@dataclass(frozen=True, slots=True)
class _Relation:
    exact: bool
    """It holds to half a unit of the last digit that its result shows."""
    broken: bool
    """It is off by more than the rule tolerates."""


def _relations(values: Read, open_: frozenset[Cell], format: Format) -> Iterator[_Relation]:
    """The sums and products of the format's rules in which an open cell takes part."""
    lines = sorted({line for line, _ in values if line is not None})
    at: list[Cell]
    for rule in format.rules:
        match rule:
            case LineAmount():
                for line in lines:
                    at = [(line, id) for id in (rule.quantity, rule.price, rule.amount)]
                    found = _decimals(values, at)
                    if found is not None and not open_.isdisjoint(at):
                        quantity, price, amount = found
                        tolerance = EXACT.add(max(rule.at_least, EXACT.multiply(rule.per_unit, abs(quantity))), 1)
                        yield _relation(amount, (EXACT.multiply(quantity, price),), tolerance)
            case LineSum():
                at = [(line, rule.amount) for line in lines]
                found = _decimals(values, [*at, (None, rule.total)])
                if found and len(found) > 2 and not open_.isdisjoint([*at, (None, rule.total)]):  # noqa: PLR2004
                    *amounts, total = found
                    plain = _sum(amounts)
                    tax = values.get((None, rule.tax)) if rule.tax else None
                    sums = (plain, EXACT.add(plain, tax)) if isinstance(tax, Decimal) else (plain,)
                    yield _relation(total, sums, EXACT.add(EXACT.multiply(rule.per_line, len(amounts)), 1))
            case HeaderSum():
                at = [(None, id) for id in rule.parts if (None, id) in values]
                found = _decimals(values, [*at, (None, rule.total)])
                if found and len(found) > 2 and not open_.isdisjoint([*at, (None, rule.total)]):  # noqa: PLR2004
                    *amounts, total = found
                    yield _relation(total, (_sum(amounts),), EXACT.add(rule.tolerance, 1))
            case _:
                pass


def _relation(result: Decimal, expected: Sequence[Decimal], tolerance: Decimal) -> _Relation:
    off = min(abs(EXACT.subtract(result, each)) for each in expected)
    exponent = result.as_tuple().exponent
    half = Decimal((0, (5,), exponent - 1)) if isinstance(exponent, int) else Decimal(0)
    return _Relation(exact=off <= half, broken=off > tolerance)


def _decimals(values: Read, cells: Sequence[Cell]) -> list[Decimal] | None:
    found = [value for cell in cells if isinstance(value := values.get(cell), Decimal)]
    return found if len(found) == len(cells) else None


def _sum(amounts: Sequence[Decimal]) -> Decimal:
    total = Decimal(0)
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total


def dates(cells: Mapping[Cell, Moment]) -> dict[Cell, date | Unreadable]:
    """Of each cell its day, or why it has none. Dates of one separator have one order."""
    read: dict[Cell, date | Unreadable] = {}
    for separator in {moment.separator for moment in cells.values()}:
        read |= _of_one_order({cell: moment for cell, moment in cells.items() if moment.separator == separator})
    return read


def _of_one_order(cells: Mapping[Cell, Moment]) -> dict[Cell, date | Unreadable]:
    orders = notation.ORDERS
    for moment in cells.values():
        orders &= moment.by_order.keys()
    if orders:
        return {cell: _date(moment, orders) for cell, moment in cells.items()}
    told = [next(m.seen for m in cells.values() if order not in m.by_order) for order in sorted(notation.ORDERS)]
    refused = Unreadable(
        N_("`{seen}` and `{other}` have day and month in different orders; set `dates` at the fields"),
        code="SA2313",
        seen=told[0],
        other=told[1],
    )
    same = {cell: moment.values(notation.ORDERS) for cell, moment in cells.items()}
    return {
        cell: next(iter(same[cell])) if len(moment.by_order) > 1 and len(same[cell]) == 1 else refused
        for cell, moment in cells.items()
    }


def _date(moment: Moment, orders: frozenset[DateOrder]) -> date | Unreadable:
    values = moment.values(orders)
    if len(values) == 1:
        return next(iter(values))
    return Unreadable(
        N_("`{seen}` can be {readings}, and nothing on the page decides; set `dates:` to day-first or month-first"),
        code="SA2312",
        seen=moment.seen,
        readings=" / ".join(sorted(value.isoformat() for value in values)),
    )
