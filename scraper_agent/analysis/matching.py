"""CHK-14 to CHK-17 and ANL-1: order, invoice and receipt side by side, each line with those that are about the same.

What is compared is told of on both documents, for nobody knows which of them is wrong. A document that has not been
read is no finding here: that a case lacks it is told elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from scraper_agent import cases
from scraper_agent.analysis.book import Book, listed, shown
from scraper_agent.analysis.settings import Roles
from scraper_agent.analysis.units import decimal
from scraper_agent.cases import Case, Paper
from scraper_agent.messages import N_
from scraper_agent.rules import number, on_line, text
from scraper_agent.values import Finding

ORDERS = ("purchaseOrder", "contract")
"""What an invoice is held against; the first of which the case has one."""
INVOICE = "foreignInvoice"
RECEIPT = "goodsReceipt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of one document. `reference`: its order's line, without zeros before it; empty if it names none."""

    paper: Paper
    index: int
    reference: str
    material: str
    quantities: tuple[Decimal, ...]
    unit: str
    price: Decimal | None

    @property
    def all(self) -> Decimal:
        return sum(self.quantities, Decimal(0))

    @property
    def real(self) -> Decimal:
        """What there really is: of a receipt, without what was rejected or is short."""
        return self.quantities[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One material, or one line of an order, over all documents. Quantities are in `unit`; None: no such document."""

    material: str
    reference: str
    unit: str
    ordered: Decimal | None
    invoiced: Decimal | None
    received: Decimal | None
    accounted: Decimal | None
    """Received, rejected and short."""
    order_prices: tuple[Decimal, ...]
    invoice_prices: tuple[Decimal, ...]
    order_lines: tuple[Line, ...]
    invoice_lines: tuple[Line, ...]
    receipt_lines: tuple[Line, ...]


def findings(paper: Paper, book: Book) -> Iterator[Finding]:
    """What of this document does not agree with those it belongs together with."""
    if paper.format == RECEIPT:
        yield from _references(paper, book)
    if paper.format in (INVOICE, RECEIPT):
        yield from _shipped(paper, book)
    if paper.format in (INVOICE, *ORDERS):
        yield from _currencies(paper, book)
        yield from _prices(paper, book)
    if paper.format in (INVOICE, RECEIPT, *ORDERS):
        yield from _ordered(paper, book)


# --- lines ----------------------------------------------------------------------------------------------------------


def lines(paper: Paper, book: Book) -> list[Line]:
    """Those that name a material, a unit and a quantity: of others their own document tells."""
    roles = book.roles(paper.format)
    return [] if roles is None else list(_lines(paper, roles))


def _lines(paper: Paper, roles: Roles) -> Iterator[Line]:
    own = paper.format == "purchaseOrder"
    for index, values in enumerate(paper.document.lines, start=1):
        material = text(values, roles.material) if roles.material else None
        unit = text(values, roles.unit) if roles.unit else None
        found = [number(values, id) for id in roles.quantities]
        if material is None or unit is None or not found or found[0] is None:
            continue
        reference = roles.line if own else roles.order_line
        written = values.get(reference) if reference else None
        yield Line(
            paper=paper,
            index=index,
            reference=_bare(str(written)) if written is not None else "",
            material=material,
            quantities=tuple(value or Decimal(0) for value in found),
            unit=unit,
            price=number(values, roles.price) if roles.price else None,
        )


def _bare(written: str) -> str:
    """A line number as all write it: ERPs pad them with zeros."""
    return cases.same(written).lstrip("0") or "0"


def _field(line: Line, book: Book, role: str) -> str:
    roles = book.roles(line.paper.format)
    id = {"quantity": roles.quantities[0], "price": roles.price} if roles else {}
    return on_line(line.index, id.get(role) or "")


def _bases(paper: Paper, book: Book) -> tuple[Paper, ...]:
    """The orders that an invoice or receipt belongs to; without orders, the contracts."""
    return next((found for format in ORDERS if (found := book.near(paper, format))), ())


def _is_base(paper: Paper, book: Book) -> Iterator[Paper]:
    """The invoices that this order or contract is held against."""
    for invoice in book.near(paper, INVOICE):
        if paper in _bases(invoice, book):
            yield invoice


# --- CHK-14 ---------------------------------------------------------------------------------------------------------


def _references(receipt: Paper, book: Book) -> Iterator[Finding]:
    """CHK-14: a line that a receipt names is a line of the order, or of the invoice where there is no order."""
    orders = book.near(receipt, "purchaseOrder")
    named = book.named(receipt, "order")
    if orders:
        if named - {value for order in orders for value in book.named(order, "order")}:
            return  # one of its orders has not been read
        others: Sequence[Paper] = orders
    elif not (others := book.near(receipt, INVOICE)) or named:
        return
    roles = book.roles(receipt.format)
    known = [_written(other, book) for other in others]
    if roles is None or roles.order_line is None or not all(all(found) for found in known):
        return
    there = {_bare(value): value for found in known for value in found}
    for index, values in enumerate(receipt.document.lines, start=1):
        value = text(values, roles.order_line)
        if value is not None and _bare(value) not in there:
            yield book.finding(
                "CHK-14",
                on_line(index, roles.order_line),
                N_("is {value}, but {others} has no such line; there are {expected}"),
                value=value,
                others=listed(map(book.title, others)),
                expected=", ".join(there.values()),
            )


def _written(paper: Paper, book: Book) -> list[str]:
    """The numbers of the order's lines, as this order or invoice writes them; empty where it leaves one out."""
    roles = book.roles(paper.format)
    id = None if roles is None else roles.line if paper.format in ORDERS else roles.order_line
    return [text(values, id) or "" if id else "" for values in paper.document.lines]


# --- CHK-15 ---------------------------------------------------------------------------------------------------------


def _shipped(paper: Paper, book: Book) -> Iterator[Finding]:
    """CHK-15: what was received, rejected or is short adds up to what was invoiced."""
    invoices, receipts = _shipment(paper, book)
    if not invoices or not receipts:
        return
    for row in rows((), invoices, receipts, book):
        mine = row.invoice_lines if paper.format == INVOICE else row.receipt_lines
        here = next((line for line in mine if line.paper.id == paper.id), None)
        if here is None:
            continue
        invoiced, accounted = row.invoiced, row.accounted
        if invoiced is None or accounted is None:
            units = dict.fromkeys(line.unit for line in (*row.invoice_lines, *row.receipt_lines))
            yield book.finding(
                "CHK-15",
                _field(here, book, "quantity"),
                N_("cannot be compared: {others} counts {material} in other units ({units}), and no factor is given"),
                others=_others(paper, (*row.invoice_lines, *row.receipt_lines), book),
                material=row.material,
                units=", ".join(units),
            )
            continue
        allowed = book.settings.tolerances.quantity.of(invoiced)
        if abs(accounted - invoiced) > allowed:
            yield book.finding(
                "CHK-15",
                _field(here, book, "quantity"),
                N_(
                    "does not match: of {material}, {invoices} has {invoiced} and {receipts} has {accounted} (received,"
                    " rejected and short), in unit {unit}; {allowed} of difference is allowed"
                ),
                material=row.material,
                invoices=listed(map(book.title, invoices)),
                invoiced=shown(invoiced),
                receipts=listed(map(book.title, receipts)),
                accounted=shown(accounted),
                unit=row.unit,
                allowed=shown(allowed),
            )


def _shipment(paper: Paper, book: Book) -> tuple[list[Paper], list[Paper]]:
    """Invoices and receipts that belong together with this one, itself included."""
    found = {paper.id: paper}
    waiting = [paper]
    while waiting:
        here = waiting.pop()
        for other in book.near(here, RECEIPT if here.format == INVOICE else INVOICE):
            if other.id not in found:
                found[other.id] = other
                waiting.append(other)
    order = [found[id] for id in book.papers if id in found]
    return [p for p in order if p.format == INVOICE], [p for p in order if p.format == RECEIPT]


def _others(paper: Paper, of: Iterable[Line], book: Book) -> str:
    return listed(book.title(line.paper) for line in of if line.paper.format != paper.format)


# --- CHK-16, CHK-17 -------------------------------------------------------------------------------------------------


def _currencies(paper: Paper, book: Book) -> Iterator[Finding]:
    """CHK-16: an invoice and its order or contract have one currency."""
    pairs = _bases(paper, book) if paper.format == INVOICE else _is_base(paper, book)
    for other in pairs:
        mine, theirs = book.roles(paper.format), book.roles(other.format)
        if mine is None or theirs is None or mine.currency is None or theirs.currency is None:
            continue
        value, expected = text(paper.document.header, mine.currency), text(other.document.header, theirs.currency)
        if value is not None and expected is not None and value != expected:
            yield book.finding(
                "CHK-16",
                mine.currency,
                N_("is {value}, but {other} has {expected}"),
                value=value,
                other=book.title(other),
                expected=expected,
            )


def _prices(paper: Paper, book: Book) -> Iterator[Finding]:
    """CHK-17: the unit prices of an invoice are those of its order, each held against the nearest of its material."""
    invoices = [paper] if paper.format == INVOICE else list(_is_base(paper, book))
    for invoice in invoices:
        bases = [base for base in _bases(invoice, book) if not _differ(invoice, base, book)]
        known = [line for base in bases for line in lines(base, book)]
        for line in lines(invoice, book):
            found = _nearest(line, known, book)
            if found is None:
                continue
            base, price, factor = found
            mine, other = (line, base) if paper.format == INVOICE else (base, line)
            assert line.price is not None and base.price is not None  # noqa: PT018, S101 - `_nearest` has seen to it
            allowed = book.settings.tolerances.price.of(price)
            if mine.paper.id != paper.id or abs(line.price - price) <= allowed:
                continue
            # Told in the unit of the document that the finding is on.
            expected = price if mine is line else decimal(Fraction(line.price) * factor)
            yield book.finding(
                "CHK-17",
                _field(mine, book, "price"),
                N_(
                    "is {value}, but {other} has {expected} for {material} per {unit}; {allowed} of difference is"
                    " allowed"
                ),
                value=shown(mine.price or Decimal(0)),
                other=book.title(other.paper),
                expected=shown(expected),
                material=mine.material,
                unit=mine.unit,
                allowed=shown(allowed if mine is line else decimal(Fraction(allowed) * factor)),
            )


def _differ(one: Paper, other: Paper, book: Book) -> bool:
    """Whether their currencies do: then CHK-16 tells, and prices are not compared."""
    found = [
        text(paper.document.header, roles.currency)
        for paper in (one, other)
        if (roles := book.roles(paper.format)) and roles.currency
    ]
    return len(set(found)) > 1


def _nearest(line: Line, known: Sequence[Line], book: Book) -> tuple[Line, Decimal, Fraction] | None:
    """The line it is held against; that line's price in the unit of `line`; how many of that one its own unit is."""
    if line.price is None:
        return None
    alike = [base for base in known if line.reference and base.reference == line.reference]
    alike = [base for base in alike if base.material == line.material] or [
        b for b in known if b.material == line.material
    ]
    found: list[tuple[Decimal, int, Line, Decimal, Fraction]] = []
    for at, base in enumerate(alike):
        factor = book.units.factor(line.material, line.unit, base.unit)
        if factor is not None and base.price is not None:
            price = decimal(Fraction(base.price) * factor)
            found.append((abs(line.price - price), at, base, price, 1 / factor))
    if not found:
        return None
    _, _, base, price, factor = min(found)
    return base, price, factor


# --- ANL-1 ----------------------------------------------------------------------------------------------------------


def _ordered(paper: Paper, book: Book) -> Iterator[Finding]:
    """ANL-1: what is invoiced or received of an order is no more than was ordered."""
    orders = (paper,) if paper.format in ORDERS else _bases(paper, book)
    for order in orders:
        invoices = [other for other in book.near(order, INVOICE) if order in _bases(other, book)]
        receipts = [other for other in book.near(order, RECEIPT) if order in _bases(other, book)]
        for row in rows((order,), invoices, receipts, book):
            sides = ((INVOICE, row.invoiced, row.invoice_lines), (RECEIPT, row.received, row.receipt_lines))
            for format, quantity, of in sides:
                mine = [line for line in (*row.order_lines, *of) if line.paper.id == paper.id]
                if row.ordered is None or quantity is None or not mine or paper.format not in (order.format, format):
                    continue
                allowed = book.settings.tolerances.quantity.of(row.ordered)
                if quantity - row.ordered > allowed:
                    yield book.finding(
                        "ANL-1",
                        _field(mine[0], book, "quantity"),
                        N_(
                            "does not match: of {material}, {others} has {quantity}, but {order} has only {ordered},"
                            " in unit {unit}; {allowed} more is allowed"
                        ),
                        material=row.material,
                        others=listed(book.title(line.paper) for line in of),
                        quantity=shown(quantity),
                        order=book.title(order),
                        ordered=shown(row.ordered),
                        unit=row.unit,
                        allowed=shown(allowed),
                    )


# --- side by side ---------------------------------------------------------------------------------------------------


def table(case: Case, book: Book) -> list[Row]:
    """Order, invoice and receipt of a whole case: by order, then what belongs to none."""
    standing = [paper for paper in case.papers if book.there(paper)]
    bases = next((of for format in ORDERS if (of := [p for p in standing if p.format == format])), [])
    found: list[Row] = []
    seen: set[str] = set()
    for order in bases:
        invoices, receipts = book.near(order, INVOICE), book.near(order, RECEIPT)
        seen |= {paper.id for paper in (*invoices, *receipts)}
        found += rows((order,), invoices, receipts, book)
    left = [paper for paper in standing if paper.id not in seen]
    return found + rows((), [p for p in left if p.format == INVOICE], [p for p in left if p.format == RECEIPT], book)


def rows(orders: Sequence[Paper], invoices: Sequence[Paper], receipts: Sequence[Paper], book: Book) -> list[Row]:
    """By line of the order where every line names one, else by material."""
    sides = [[line for paper in side for line in lines(paper, book)] for side in (orders, invoices, receipts)]
    exact = len(orders) == 1 or len({v for p in (*invoices, *receipts) for v in book.named(p, "order")}) == 1
    by_line = exact and all(line.reference for side in sides for line in side)
    groups: dict[tuple[str, str], tuple[list[Line], list[Line], list[Line]]] = defaultdict(lambda: ([], [], []))
    for at, side in enumerate(sides):
        for line in side:
            groups[line.reference if by_line else "", line.material][at].append(line)
    return [
        _row(reference, material, group, (orders, invoices, receipts), book)
        for (reference, material), group in groups.items()
    ]


def _row(
    reference: str,
    material: str,
    group: tuple[list[Line], list[Line], list[Line]],
    papers: tuple[Sequence[Paper], Sequence[Paper], Sequence[Paper]],
    book: Book,
) -> Row:
    ordered, invoiced, received = group
    unit = _finest({line.unit: None for side in group for line in side}, material, book)

    def total(at: int, *, real: bool = False) -> Decimal | None:
        if not papers[at]:
            return None
        found = Decimal(0)
        for line in group[at]:
            amount = book.units.convert(line.real if real else line.all, material, line.unit, unit)
            if amount is None:
                return None
            found += amount
        return found

    return Row(
        material=material,
        reference=reference,
        unit=unit,
        ordered=total(0),
        invoiced=total(1),
        received=total(2, real=True),
        accounted=total(2),
        order_prices=tuple(dict.fromkeys(line.price for line in ordered if line.price is not None)),
        invoice_prices=tuple(dict.fromkeys(line.price for line in invoiced if line.price is not None)),
        order_lines=tuple(ordered),
        invoice_lines=tuple(invoiced),
        receipt_lines=tuple(received),
    )


def _finest(units: Iterable[str], material: str, book: Book) -> str:
    """The smallest of these units: a tolerance of one unit must not be one of a thousand pieces."""
    finest, *others = units
    for unit in others:
        factor = book.units.factor(material, unit, finest)
        if factor is not None and factor < 1:
            finest = unit
    return finest
