"""CHK-04, CHK-05, CHK-12: prices, amounts and their sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import reduce
from typing import Literal

from scraper_agent.messages import N_
from scraper_agent.rules import (
    EXACT,
    LINES,
    AnyNumber,
    AnyText,
    Context,
    Document,
    HeaderNumber,
    LineNumber,
    LineText,
    Settings,
    number,
    on_line,
    places,
    plain,
    text,
)
from scraper_agent.values import Finding, Severity


class LineAmount(Settings):
    """CHK-04: quantity times price is the amount, within max(`at_least`, `per_unit` · quantity + `rounding`).

    A price is kept to 4 decimals, so it may be off by half a unit of the last one for each piece; an amount to 2, or to
    none in a currency that has none (ISO 4217: the yen).
    """

    code = "CHK-04"
    source = "price kept to 4 decimals, amount to 2 (DEC, INV)"

    check: Literal["line-amount"]
    quantity: LineNumber
    price: LineNumber
    amount: LineNumber
    at_least: Decimal = Decimal("0.01")
    per_unit: Decimal = Decimal("0.00005")
    rounding: Decimal = Decimal("0.005")
    currency: AnyText | None = None
    whole: tuple[str, ...] = ()
    """Currencies whose amounts have no decimals."""

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        for place in places(document, f"{LINES}{self.amount}"):
            line, count = place.line, place.number
            quantity, price, amount = (number(line, id) for id in (self.quantity, self.price, self.amount))
            if quantity is None or price is None or amount is None:
                continue
            unit = Decimal("0.5") if self.currency and place.value(self.currency) in self.whole else self.rounding
            expected = EXACT.multiply(quantity, price)
            if amount == expected:
                continue
            tolerance = max(self.at_least, EXACT.fma(self.per_unit, abs(quantity), unit))
            if abs(EXACT.subtract(amount, expected)) > tolerance:
                yield Finding(
                    code=self.code,
                    severity=self.severity,
                    field=on_line(count, self.amount),
                    text=N_("is {value}, but {quantity} times {price} is {expected}"),
                    values={
                        "value": plain(amount),
                        "quantity": plain(quantity),
                        "price": plain(price),
                        "expected": plain(expected),
                    },
                )


class LineSum(Settings):
    """CHK-05: the lines add up to the header's amount, within `per_line` for each line.

    `tax`: a header field that the amount may include or not, as no source says which; either sum is right then.
    """

    code = "CHK-05"
    source = "DEC"

    check: Literal["line-sum"]
    amount: LineNumber
    total: HeaderNumber
    tax: HeaderNumber | None = None
    per_line: Decimal = Decimal("0.01")

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        total = number(document.header, self.total)
        amounts = [number(line, self.amount) for line in document.lines]
        known = [amount for amount in amounts if amount is not None]
        if total is None or not known or len(known) < len(amounts):
            return
        tolerance = self.per_line * len(known)
        found = _sum(known)
        tax = number(document.header, self.tax) if self.tax else None
        with_tax = found if tax is None else EXACT.add(found, tax)
        if min(abs(EXACT.subtract(total, found)), abs(EXACT.subtract(total, with_tax))) <= tolerance:
            return
        if with_tax == found:
            text = N_("is {value}, but the lines add up to {expected}")
        else:
            text = N_("is {value}, but the lines add up to {expected}, with tax to {with_tax}")
        yield Finding(
            code=self.code,
            severity=self.severity,
            field=self.total,
            text=text,
            values={"value": plain(total), "expected": plain(found), "with_tax": plain(with_tax)},
        )


class HeaderSum(Settings):
    """CHK-05: an amount of the header is the sum of others; the first must be there, the rest count as 0 if absent."""

    code = "CHK-05"
    source = "DEC"

    check: Literal["header-sum"]
    total: HeaderNumber
    parts: tuple[HeaderNumber, ...]
    tolerance: Decimal = Decimal(0)

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        total = number(document.header, self.total)
        parts = {id: number(document.header, id) for id in self.parts}
        unreadable = [id for id, part in parts.items() if part is None and id in document.header]
        if total is None or unreadable or parts[self.parts[0]] is None:
            return
        known = {id: part for id, part in parts.items() if part is not None}
        expected = _sum(known.values())
        if abs(EXACT.subtract(total, expected)) > self.tolerance:
            yield Finding(
                code=self.code,
                severity=self.severity,
                field=self.total,
                text=N_("is {value}, but {parts} add up to {expected}"),
                values={"value": plain(total), "parts": " + ".join(known), "expected": plain(expected)},
            )


class Balance(Settings):
    """CHK-05: what the lines of a voucher debit is what they credit."""

    code = "CHK-05"
    source = "GB/T 24589.1"

    check: Literal["balance"]
    mark: LineText
    amount: LineNumber
    debit: str = "D"
    credit: str = "C"

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        sides: dict[str, Decimal] = {self.debit: Decimal(0), self.credit: Decimal(0)}
        for line in document.lines:
            mark, amount = text(line, self.mark), number(line, self.amount)
            if mark not in sides or amount is None:  # CHK-01 names it
                return
            sides[mark] = EXACT.add(sides[mark], amount)
        if sides[self.debit] != sides[self.credit]:
            yield Finding(
                code=self.code,
                severity=self.severity,
                field="lines",
                text=N_("has debits of {debit}, but credits of {credit}"),
                values={"debit": plain(sides[self.debit]), "credit": plain(sides[self.credit])},
            )


class Amount(Settings):
    """CHK-12: an amount is not 0."""

    code = "CHK-12"
    source = "statistics of 1995, E00 and F00"

    check: Literal["amount"]
    field: AnyNumber

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        for place in places(document, self.field):
            if number(*place.at(self.field)) == 0:
                yield Finding(
                    code=self.code,
                    severity=self.severity,
                    field=place.path(self.field),
                    text=N_("is 0, but an amount must not be"),
                )


class FreeOfCharge(Settings):
    """CHK-12: a line of amount 0 is wrong if it has a price, and shown to the approver if it has none."""

    code = "CHK-12"
    source = "statistics of 1995, E00 and F00"

    check: Literal["free-of-charge"]
    price: LineNumber
    amount: LineNumber
    free: Severity = Severity.WARNING

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        for count, line in enumerate(document.lines, start=1):
            if number(line, self.amount) != 0:
                continue
            price = number(line, self.price)
            if price is None or price == 0:
                yield self._finding(self.free, count, N_("is 0: goods free of charge?"))
            else:
                yield self._finding(self.severity, count, N_("is 0, but the price is {price}"), price=plain(price))

    def _finding(self, severity: Severity, line: int, text: str, **values: str) -> Finding:
        return Finding(code=self.code, severity=severity, field=on_line(line, self.amount), text=text, values=values)


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return reduce(EXACT.add, amounts)
