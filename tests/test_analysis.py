"""What documents say of each other: CHK-14 to CHK-20 and ANL-1 to ANL-8, each at the edge of what is allowed."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper_agent import messages
from scraper_agent.analysis import Analysis, matching, periods
from scraper_agent.analysis import settings as analyses
from scraper_agent.analysis.outliers import median, quartiles
from scraper_agent.analysis.settings import DEFAULT, Settings
from scraper_agent.analysis.units import Units
from scraper_agent.cases import Paper
from scraper_agent.errors import SourceErrors
from scraper_agent.formats import FORMATS
from scraper_agent.rules import Document, Value
from scraper_agent.values import Severity, State
from tests.papers import ENTERPRISE, Line, book, contract, findings, invoice, order, paper, receipt, said


def settings(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "analysis.yaml"
    path.write_text(text, encoding="utf-8")
    return analyses.load(path)


# --- CHK-14 ---------------------------------------------------------------------------------------------------------


def test_a_receipt_line_names_a_line_of_its_order() -> None:
    two = (Line(ref="10"), Line(material="A-2", ref="20"))
    assert findings(receipt(lines=two), order(lines=two), code="CHK-14") == []
    wrong = receipt(lines=(Line(ref="10"), Line(material="A-2", ref="30")))
    assert said(findings(wrong, order(lines=two), code="CHK-14")) == [
        "CHK-14 lines[2].orderLineNumber is 30, but purchaseOrder PO-1 has no such line; there are 10, 20"
    ]


def test_zeros_before_a_line_number_do_not_count() -> None:
    assert findings(receipt(lines=[Line(ref="00010")]), order(lines=[Line(ref="10")]), code="CHK-14") == []


def test_without_an_order_the_lines_of_the_invoice_are_asked() -> None:
    wrong = receipt(lines=[Line(ref="30")], orderNumber=None)
    assert findings(receipt(orderNumber=None), invoice(orderNumber=None), code="CHK-14") == []
    assert said(findings(wrong, invoice(orderNumber=None), code="CHK-14")) == [
        "CHK-14 lines[1].orderLineNumber is 30, but foreignInvoice INV-1 has no such line; there are 10"
    ]


def test_of_an_order_that_was_not_read_nothing_is_said() -> None:
    far = receipt(lines=[Line(ref="90")])
    assert findings(far, code="CHK-14") == []
    assert findings(far, invoice(), code="CHK-14") == []
    assert findings(receipt(lines=[Line(ref="90")], orderNumber="PO-1,PO-2"), order(), code="CHK-14") == []


# --- CHK-15 ---------------------------------------------------------------------------------------------------------


def shipped(invoiced: str, received: str, **more: str) -> list[str]:
    """What is found on both, which is the same sentence."""
    bill = invoice(lines=[Line(quantity=invoiced)])
    got = receipt(lines=[Line(quantity=received, more=more)])
    on_receipt, on_invoice = findings(got, bill, code="CHK-15"), findings(bill, got, code="CHK-15")
    assert [f.text for f in on_receipt] == [f.text for f in on_invoice]
    assert [f.field for f in on_invoice] == ["lines[1].quantity"] * len(on_invoice)
    return said(on_receipt)


@pytest.mark.parametrize(
    ("invoiced", "received", "right"),
    [
        ("100", "100", True),
        ("100", "99", True),  # one unit
        ("100", "98.99999", False),
        ("100", "101", True),
        ("100", "101.00001", False),
        ("1000", "995", True),  # half a per cent
        ("1000", "994.99999", False),
        ("1000", "1005", True),
        ("1000", "1005.00001", False),
    ],
)
def test_received_is_invoiced_within_one_unit_or_half_a_per_cent(invoiced: str, received: str, right: bool) -> None:
    assert bool(shipped(invoiced, received)) is not right


def test_rejected_and_short_goods_are_accounted_for() -> None:
    assert shipped("100", "80", rejectedQuantity="15", shortQuantity="5") == []
    assert shipped("100", "80", rejectedQuantity="10") == [
        (
            "CHK-15 lines[1].receivedQuantity does not match: of A-1, foreignInvoice INV-1 has 100 and"
            " goodsReceipt GR-1 has"
            " 90 (received, rejected and short), in unit 007; 1 of difference is allowed"
        )
    ]


def test_partial_receipts_are_added_up() -> None:
    bill = invoice(lines=[Line(quantity="100")])
    first, second = receipt("GR-1", [Line(quantity="60")]), receipt("GR-2", [Line(quantity="40")])
    assert findings(second, bill, first, code="CHK-15") == []
    (told,) = findings(first, bill, code="CHK-15")
    assert told.values["accounted"] == "60"


def test_an_invoice_that_nothing_was_received_of_is_no_mismatch() -> None:
    first, second = invoice("INV-1"), invoice("INV-2")
    assert findings(second, first, receipt(invoiceNumber="INV-1"), code="CHK-15") == []


def test_a_material_that_was_not_received_at_all_is_told() -> None:
    bill = invoice(lines=[Line(), Line(material="A-2", ref="20", quantity="7")])
    (told,) = findings(bill, receipt(), code="CHK-15")
    assert (told.field, told.values["invoiced"], told.values["accounted"]) == ("lines[2].quantity", "7", "0")


def test_quantities_in_other_units_are_converted_exactly() -> None:
    bill = invoice(lines=[Line(quantity="1.2", unit="054")])  # thousands of pieces
    assert findings(receipt(lines=[Line(quantity="1200")]), bill, code="CHK-15") == []
    assert len(findings(receipt(lines=[Line(quantity="200")]), bill, code="CHK-15")) == 1


def test_units_without_a_factor_are_told_and_not_compared(tmp_path: Path) -> None:
    bill, got = invoice(lines=[Line(quantity="10", unit="035")]), receipt(lines=[Line(quantity="95", unit="007")])
    assert said(findings(got, bill, code="CHK-15")) == [
        (
            "CHK-15 lines[1].receivedQuantity cannot be compared: foreignInvoice INV-1 counts A-1 in other units"
            " (035, 007), and"
            " no factor is given"
        )
    ]
    known = settings(tmp_path, 'material_factors: {A-1: {"035": {"007": "9.5"}}}')
    assert findings(got, bill, code="CHK-15", settings=known) == []
    table = paper(
        "materialRelation",
        "M",
        {},
        [
            {
                "erpMaterialNumber": "A-1",
                "declaredUnitCode": "035",
                "legalUnitCode": "007",
                "legalFactor": Decimal("9.5"),
            }
        ],
    )
    assert findings(got, bill, table, code="CHK-15") == []


# --- CHK-16 ---------------------------------------------------------------------------------------------------------


def test_an_invoice_has_the_currency_of_its_order() -> None:
    bill = invoice(currencyCode="EUR")
    assert findings(invoice(), order(), code="CHK-16") == []
    assert said(findings(bill, order(), code="CHK-16")) == [
        "CHK-16 currencyCode is EUR, but purchaseOrder PO-1 has USD"
    ]
    assert said(findings(order(), bill, code="CHK-16")) == [
        "CHK-16 currencyCode is USD, but foreignInvoice INV-1 has EUR"
    ]


def test_without_an_order_an_invoice_has_the_currency_of_its_contract() -> None:
    bill = invoice(contractNumber="HT-1", orderNumber=None)
    assert findings(bill, contract(), code="CHK-16") == []
    assert len(findings(bill, contract(currencyCode="EUR"), code="CHK-16")) == 1


# --- CHK-17 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ordered", "invoiced", "right"),
    [
        ("2", "2.01", True),  # one cent
        ("2", "2.0101", False),
        ("2", "1.99", True),
        ("2", "1.9899", False),
        ("1000", "1001", True),  # one in a thousand
        ("1000", "1001.0001", False),
        ("1000", "999", True),
        ("1000", "998.9999", False),
    ],
)
def test_an_invoiced_price_is_the_ordered_one_within_a_cent_or_a_thousandth(
    ordered: str, invoiced: str, right: bool
) -> None:
    bill, base = invoice(lines=[Line(price=invoiced)]), order(lines=[Line(price=ordered)])
    for found in (findings(bill, base, code="CHK-17"), findings(base, bill, code="CHK-17")):
        assert bool(found) is not right


def test_a_price_that_differs_is_told_on_both_documents_in_their_own_words() -> None:
    bill, base = invoice(lines=[Line(price="2.5")]), order(lines=[Line(), Line(material="A-2", ref="20")])
    assert said(findings(bill, base, code="CHK-17")) == [
        "CHK-17 lines[1].unitPrice is 2.5, but purchaseOrder PO-1 has 2 for A-1 per 007; 0.01 of difference is allowed"
    ]
    assert said(findings(base, bill, code="CHK-17")) == [
        (
            "CHK-17 lines[1].unitPrice is 2, but foreignInvoice INV-1 has 2.5 for A-1 per 007; 0.01 of"
            " difference is allowed"
        )
    ]


def test_prices_per_other_units_are_converted() -> None:
    base = order(lines=[Line(price="2", unit="007")])
    assert findings(invoice(lines=[Line(price="2000", unit="054")]), base, code="CHK-17") == []
    bill = invoice(lines=[Line(price="2500", unit="054")])
    (on_bill,), (on_base,) = findings(bill, base, code="CHK-17"), findings(base, bill, code="CHK-17")
    assert (on_bill.values["value"], on_bill.values["expected"], on_bill.values["unit"]) == ("2500", "2000", "054")
    assert (on_base.values["value"], on_base.values["expected"], on_base.values["unit"]) == ("2", "2.5", "007")


def test_prices_in_other_currencies_are_not_compared() -> None:
    assert findings(invoice(lines=[Line(price="9")], currencyCode="EUR"), order(), code="CHK-17") == []


def test_an_invoice_line_without_reference_is_held_against_the_nearest_of_its_material() -> None:
    base = order(lines=[Line(price="2", ref="10"), Line(price="3", ref="20")])
    assert findings(invoice(lines=[Line(price="3", ref="")]), base, code="CHK-17") == []
    assert findings(invoice(lines=[Line(price="3", ref="10")]), base, code="CHK-17") != []


# --- CHK-18 ---------------------------------------------------------------------------------------------------------


def test_a_contract_an_order_and_an_invoice_follow_each_other_and_may_be_of_one_day() -> None:
    day = "2026-03-01"
    papers = contract(day=day), order(day=day, contractNumber="HT-1"), invoice(day=day, contractNumber="HT-1")
    for each in papers:
        assert findings(each, *(p for p in papers if p is not each), code="CHK-18") == []
    late = order(day="2026-03-02", contractNumber="HT-1")
    assert said(findings(papers[2], papers[0], late, code="CHK-18")) == [
        (
            "CHK-18 invoiceDate is 2026-03-01, and orderDate of purchaseOrder PO-1 is 2026-03-02: purchaseOrder"
            " does not come"
            " after foreignInvoice"
        )
    ]
    assert said(findings(late, *papers[::2], code="CHK-18")) == [
        (
            "CHK-18 orderDate is 2026-03-02, and invoiceDate of foreignInvoice INV-1 is 2026-03-01:"
            " purchaseOrder does not come"
            " after foreignInvoice"
        )
    ]
    assert [f.field for f in findings(contract(day="2026-03-02"), *papers[1:], code="CHK-18")] == ["contractDate"] * 2


def test_goods_are_not_received_before_they_were_loaded() -> None:
    def loading(day: str) -> Paper:
        header: dict[str, Value | None] = {
            "loadingNumber": "L-1",
            "loadingDate": date.fromisoformat(day),
            "invoiceNumber": "INV-1",
        }
        return paper("overseasLoading", "L-1", header)

    assert findings(receipt(day="2026-04-10"), loading("2026-04-10"), code="CHK-18") == []
    (told,) = findings(receipt(day="2026-04-10"), loading("2026-04-11"), code="CHK-18")
    assert (told.field, told.values["other"]) == ("receiptDate", "overseasLoading L-1")
    by_order = receipt(day="2026-04-10", invoiceNumber=None)
    assert len(findings(by_order, invoice(), loading("2026-04-11"), code="CHK-18")) == 1, "by the invoice of its order"


def test_dates_of_another_order_of_the_contract_are_not_compared() -> None:
    late = order("PO-2", day="2026-09-01", contractNumber="HT-1")
    assert findings(invoice(contractNumber="HT-1"), order(contractNumber="HT-1"), late, code="CHK-18") == []


# --- CHK-19, CHK-20 -------------------------------------------------------------------------------------------------

LEDGER = 'ledger: {opening: {T3122: {A-1: {quantity: "100", unit: "007", date: 2026-01-01}}}}'


def moved(format: str, number: str, quantity: str, day: str, unit: str = "007", **header: str) -> Paper:
    roles = DEFAULT.documents[format]
    shared = {
        "stockOut": {"stockAttributeCode": "1"},
        "bondedTransfer": {"transferTypeCode": "2"},
        "bondedGateOut": {"relatedDocumentTypeCode": "2"},
    }[format]
    when = date.fromisoformat(day)
    dated = datetime.combine(when, time(9)) if format == "bondedGateOut" else when
    ids: dict[str, str] = {"inSpecialZone": "1", "ledgerNumber": "T3122", **shared, **header}
    line = {"materialNumber": "A-1", "quantity": Decimal(quantity), "unitCode": unit}
    return paper(format, number, {roles.number: number, roles.date: dated, **ids}, [line])


def test_no_more_leaves_than_the_ledger_holds(tmp_path: Path) -> None:
    known = settings(tmp_path, LEDGER)
    first = moved("stockOut", "SO-1", "60", "2026-02-01")
    assert findings(moved("stockOut", "SO-2", "40", "2026-02-02"), first, code="CHK-19", settings=known) == []
    over = moved("stockOut", "SO-2", "40.00001", "2026-02-02")
    assert said(findings(over, first, code="CHK-19", settings=known)) == [
        (
            "CHK-19 lines[1].quantity takes 40.00001 of A-1 out of the ledger T3122, which holds 40 on"
            " 2026-02-02, in unit 007"
        )
    ]
    assert findings(first, over, code="CHK-19", settings=known) == [], "what left later does not count"


def test_what_comes_in_from_another_ledger_may_leave(tmp_path: Path) -> None:
    known = settings(tmp_path, LEDGER)
    transfer = moved("bondedTransfer", "TR-1", "0.05", "2026-02-01", "054", ledgerNumber="T9", toLedgerNumber="T3122")
    assert findings(moved("stockOut", "SO-1", "150", "2026-02-01"), transfer, code="CHK-19", settings=known) == []
    assert len(findings(moved("stockOut", "SO-1", "150", "2026-01-31"), transfer, code="CHK-19", settings=known)) == 1
    within = moved("bondedTransfer", "TR-2", "900", "2026-02-01", transferTypeCode="1")
    assert findings(within, code="CHK-19", settings=known) == [], "from shelf to shelf"


def test_the_goods_of_a_gate_out_are_those_of_its_stock_out(tmp_path: Path) -> None:
    known = settings(tmp_path, LEDGER)
    out = moved("stockOut", "SO-1", "100", "2026-02-01")
    gate = moved("bondedGateOut", "GO-1", "100", "2026-02-02", relatedDocumentNumber="SO-1")
    assert findings(gate, out, code="CHK-19", settings=known) == []
    other = moved("bondedGateOut", "GO-1", "100", "2026-02-02", relatedDocumentNumber="SO-9")
    assert len(findings(other, out, code="CHK-19", settings=known)) == 1


def test_without_an_opening_balance_nothing_is_said_of_a_ledger() -> None:
    assert findings(moved("stockOut", "SO-1", "999", "2026-02-01"), code="CHK-19") == []


def test_what_a_gate_out_names_was_read() -> None:
    out = moved("stockOut", "SO-1", "1", "2026-02-01", bondInventoryNumber="QD1")

    def gate(**header: str) -> list[str]:
        return said(findings(moved("bondedGateOut", "GO-1", "1", "2026-02-02", **header), out, code="CHK-20"))

    assert gate(relatedDocumentNumber="so-1") == []
    assert gate(relatedDocumentNumber="QD1", relatedDocumentTypeCode="1") == []
    assert gate(relatedDocumentNumber="X", relatedDocumentTypeCode="3") == [], "bills of lading are not looked for"
    assert gate(relatedDocumentNumber="SO-1;SO-2") == [
        (
            "CHK-20 relatedDocumentNumber names SO-2, which was not read; it is expected among stockOut.stockOutNumber,"
            " bondedTransfer.stockBillNumber"
        )
    ]
    alone = moved("bondedGateOut", "GO-1", "1", "2026-02-02", relatedDocumentNumber="SO-1")
    assert findings(alone, code="CHK-20") == [], "nothing of the kind is read at all"


# --- ANL-1 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("second", "right"), [("40", True), ("41", True), ("41.00001", False), ("10", True)])
def test_no_more_is_invoiced_in_all_than_was_ordered(second: str, right: bool) -> None:
    first, last = invoice("INV-1", [Line(quantity="60")]), invoice("INV-2", [Line(quantity=second)])
    assert bool(findings(last, order(), first, code="ANL-1")) is not right


def test_no_more_is_received_than_was_ordered() -> None:
    got = receipt(lines=[Line(quantity="120")])
    assert said(findings(got, order(), code="ANL-1")) == [
        (
            "ANL-1 lines[1].receivedQuantity does not match: of A-1, goodsReceipt GR-1 has 120, but"
            " purchaseOrder PO-1 has only"
            " 100, in unit 007; 1 more is allowed"
        )
    ]
    assert [f.field for f in findings(order(), got, code="ANL-1")] == ["lines[1].orderedQuantity"]
    rejected = receipt(lines=[Line(quantity="100", more={"rejectedQuantity": "20"})])
    assert findings(rejected, order(), code="ANL-1") == [], "what was sent back was not received"


# --- ANL-2, ANL-3 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("day", "right"), [("2026-03-20", False), ("2026-04-20", False), ("2026-04-21", True)])
def test_the_same_invoice_under_another_number_is_told_within_a_month(day: str, right: bool) -> None:
    found = findings(invoice("INV-2", day=day), invoice("INV-1", day="2026-03-20"), code="ANL-2")
    assert bool(found) is not right


def test_a_twin_is_named() -> None:
    assert said(
        findings(invoice("INV-2", totalAmount=Decimal(5)), invoice(totalAmount=Decimal("5.0")), code="ANL-2")
    ) == [
        (
            "ANL-2 invoiceNumber is INV-2 of 2026-03-20, and foreignInvoice INV-1 of 2026-03-20 has the same"
            " party, lines and"
            " sums; such a twin is told within 31 days"
        )
    ]


def test_another_seller_sum_or_line_is_no_twin() -> None:
    for other in (
        invoice("INV-2", sellerName="Rhein"),
        invoice("INV-2", totalAmount=Decimal(7)),
        invoice("INV-2", [Line(quantity="101")]),
    ):
        assert findings(other, invoice(), code="ANL-2") == []


@pytest.mark.parametrize(
    ("number", "alike"),
    [("INV 1", True), ("inv-001", True), ("INV1", True), ("INV-1-1", False), ("INV-11", False), ("INV-1", False)],
)
def test_numbers_that_only_look_different_are_told(number: str, alike: bool) -> None:
    found = findings(invoice(number, [Line(quantity="5")]), invoice("INV-1"), code="ANL-3")
    assert said(found) == (
        [f"ANL-3 invoiceNumber is `{number}`, which looks like the number of foreignInvoice INV-1"] if alike else []
    )


# --- ANL-4 ----------------------------------------------------------------------------------------------------------


def series(*numbers: int, form: str = "PO-{:04}", day: str = "2026-03-01") -> list[str]:
    papers = [order(form.format(n), [Line(quantity=str(n))], day=day) for n in numbers]
    return said(findings(papers[-1], *papers[:-1], code="ANL-4"))


def test_a_gap_in_the_own_numbering_is_told_on_what_follows_it() -> None:
    assert series(1, 2, 3, 4, 5) == []
    assert series(1, 2, 3, 4, 6) == [
        "ANL-4 orderNumber is PO-0006, but of its series 1 number(s) before it were not read: PO-0005"
    ]
    assert series(1, 2, 3, 4, 10) == [
        "ANL-4 orderNumber is PO-0010, but of its series 5 number(s) before it were not read: PO-0005 … PO-0009"
    ]
    assert series(7, 1, 2, 3, 6, 4) == [], "the order of reading does not matter"


def test_a_short_series_a_far_jump_and_a_series_full_of_gaps_are_not_told() -> None:
    assert series(1, 2, 3, 5) == []
    assert series(1, 2, 3, 4, 25) != []
    assert series(1, 2, 3, 4, 26) == []
    assert series(1, 4, 6, 9, 11, 13) == [], "a range that others draw from as well"


def test_a_date_in_a_number_is_no_count() -> None:
    assert series(1, 2, 3, 4, 6, form="GR260301{:03}") != []
    numbers = ("260301001", "260301002", "260302005", "260302006", "260301004")
    papers = [order(f"GR{number}", day=f"2026-03-{number[4:6]}") for number in numbers]
    assert findings(papers[-1], *papers[:-1], code="ANL-4") == [], "two short series, not one long one"


def test_numbers_that_others_give_out_may_have_gaps() -> None:
    papers = [invoice(f"INV-{n}", [Line(quantity=str(n))]) for n in (1, 2, 3, 4, 5, 7)]
    assert findings(papers[-1], *papers[:-1], code="ANL-4") == []


# --- ANL-5 ----------------------------------------------------------------------------------------------------------

PRICES = ("1.85", "1.86", "1.84", "1.85", "1.90", "1.85", "1.83", "1.87", "1.85", "1.88", "1.85", "1.86")


def priced(price: str, *earlier: str, unit: str = "007", **header: str) -> list[str]:
    known = [
        invoice(f"X-{at}", [Line(price=each, quantity=str(at + 1))], day=f"2026-01-{at + 1:02}", orderNumber=None)
        for at, each in enumerate(earlier)
    ]
    last = invoice("X-99", [Line(price=price, unit=unit)], day="2026-03-20", orderNumber=None, **header)
    return said(findings(last, *known, code="ANL-5"))


def test_a_price_far_from_the_enterprises_own_is_told_and_explained() -> None:
    assert priced("18.5", *PRICES) == [
        (
            "ANL-5 lines[1].unitPrice is 18.5 USD, 900 % off: the 12 prices of A-1 from ACME since 2024-03-01"
            " have the median"
            " 1.85, half of them lie between 1.85 and 1.865, and 1.48 to 2.22 is expected"
        )
    ]


@pytest.mark.parametrize(("price", "right"), [("1.48", True), ("1.4799", False), ("2.22", True), ("2.2201", False)])
def test_a_fifth_of_the_median_is_allowed_where_prices_hardly_move(price: str, right: bool) -> None:
    assert bool(priced(price, *PRICES)) is not right


def test_where_prices_move_more_more_is_allowed() -> None:
    wild = ("1", "2", "3", "1.5", "2.5", "3.5", "1.2", "2.8")  # median 2.25, MAD 0.75: five spreads are 5.55975
    assert priced("7.8097", *wild) == []
    assert priced("7.8098", *wild) != []


def test_one_wrong_price_among_the_earlier_does_not_hide_the_next() -> None:
    assert priced("18.5", "18.5", *PRICES) != []


def test_a_few_prices_are_no_history() -> None:
    assert priced("18.5", *PRICES[:8]) != []
    assert priced("18.5", *PRICES[:7]) == []


def test_other_units_currencies_and_sellers_are_another_history() -> None:
    assert priced("18.5", *PRICES, unit="054") == []
    assert priced("18.5", *PRICES, currencyCode="JPY") == []
    assert priced("18.5", *PRICES, sellerName="Rhein") == []


def test_what_is_read_later_does_not_change_what_was_said() -> None:
    later = [invoice(f"X-{at}", [Line(price=p)], day="2026-04-01") for at, p in enumerate(PRICES)]
    assert findings(invoice("X-99", [Line(price="18.5")], day="2026-03-20"), *later, code="ANL-5") == []


@hypothesis.settings(deadline=None, max_examples=50)
@given(st.lists(st.decimals(1, 1000, places=4), min_size=8, max_size=30), st.decimals(1, 10, places=2))
def test_the_currency_unit_that_prices_are_written_in_does_not_matter(prices: list[Decimal], scale: Decimal) -> None:
    """Robust statistics are equivariant: all prices times a number leave the same prices out."""
    once = bool(priced(str(prices[0]), *map(str, prices[1:])))
    assert bool(priced(str(prices[0] * scale), *(str(p * scale) for p in prices[1:]))) is once


@hypothesis.settings(deadline=None, max_examples=50)
@given(st.lists(st.decimals(-1000, 1000, places=2), min_size=2, max_size=30))
def test_the_median_has_half_on_each_side_and_the_quartiles_lie_around_it(values: list[Decimal]) -> None:
    middle = median(values)
    assert sum(v < middle for v in values) <= len(values) / 2 >= sum(v > middle for v in values)
    low, high = quartiles(values)
    assert min(values) <= low <= middle <= high <= max(values)


# --- ANL-6 to ANL-8 -------------------------------------------------------------------------------------------------


def compared(*counts: int, today: str = "2026-06-15", total: str = "100", known: Settings = DEFAULT) -> list[str]:
    """Orders in January, February …"""
    papers = [
        order(
            f"PO-{month}-{n}",
            day=f"2026-{month:02}-{n % 28 + 1:02}",
            totalAmount=Decimal(total) if month == 1 else Decimal(100),
        )
        for month, count in enumerate(counts, 1)
        for n in range(count)
    ]
    found = periods.months(book(*papers, settings=known), date.fromisoformat(today))
    return [f"{month.month} {line}" for month in found for line in said(month.findings)]


def test_a_month_like_the_month_before_is_no_finding() -> None:
    assert compared(10, 10, 10, today="2026-03-31") == []
    assert compared(10, 15, today="2026-03-01") == [], "half more"
    assert compared(10, 5, today="2026-03-01") == [], "half less"
    assert "ANL-6" not in str(compared(2, 6, today="2026-03-01")), "four documents more are few"
    assert compared(1, 4, today="2026-03-01") == [], "so are the sums of four"


def test_a_month_far_from_the_month_before_is_told() -> None:
    assert compared(10, 16, today="2026-03-01") == [
        (
            "2026-02 ANL-6 purchaseOrder has 16 documents in 2026-02, and the month before has 10; 50 % of"
            " difference is allowed"
        ),
        (
            "2026-02 ANL-7 purchaseOrder sums up to 1600 USD in 2026-02, and the month before to 1000; 50 % of"
            " difference is"
            " allowed"
        ),
    ]
    assert compared(10, 10, total="201", today="2026-03-01") == [
        (
            "2026-02 ANL-7 purchaseOrder sums up to 1000 USD in 2026-02, and the month before to 2010; 50 % of"
            " difference is"
            " allowed"
        )
    ]
    assert compared(10, 10, total="200", today="2026-03-01") == []


def test_an_empty_month_is_told_unless_a_setting_says_that_empty_is_fine(tmp_path: Path) -> None:
    empty = (
        "2026-02 ANL-8 purchaseOrder has no document in 2026-02, and the month before has 10; no setting"
        " says that empty is fine"
    )
    assert compared(10, 0, 10, today="2026-03-31") == [empty]
    assert compared(10, today="2026-03-01") == [empty], "up to the last month that is over"
    fine = settings(tmp_path, "periods: {empty_is_fine: {purchaseOrder: true}}")
    assert compared(10, 0, 10, today="2026-03-31", known=fine) == []


def test_the_month_that_is_not_over_is_shown_and_not_judged() -> None:
    papers = [order(f"PO-{n}", day="2026-05-03", totalAmount=Decimal("1.5")) for n in range(10)]
    one = order("PO-99", day="2026-06-01")
    found = periods.months(book(*papers, one), date(2026, 6, 1))
    assert [(m.format, m.month, m.count, dict(m.sums), m.whole, m.findings) for m in found] == [
        ("purchaseOrder", "2026-05", 10, {"USD": Decimal("15.0")}, True, ()),
        ("purchaseOrder", "2026-06", 1, {}, False, ()),
    ]


def test_what_was_declined_does_not_count() -> None:
    known = book(order(), order("PO-2"), states={"PO-2": State.DECLINED})
    assert [m.count for m in periods.months(known, date(2026, 3, 31))] == [1]


# --- side by side ---------------------------------------------------------------------------------------------------


def test_the_three_way_table_has_a_row_for_each_line_of_the_order() -> None:
    ordered = order(lines=[Line(), Line(material="A-2", ref="20", quantity="7", price="3")])
    got = receipt(lines=[Line(quantity="90", more={"rejectedQuantity": "10"})])
    known = book(ordered, invoice(lines=[Line(price="2.5")]), got)
    (case,) = known.cases
    rows = matching.table(case, known)
    assert [(r.material, r.reference, r.unit, r.ordered, r.invoiced, r.received, r.accounted) for r in rows] == [
        ("A-1", "10", "007", Decimal(100), Decimal(100), Decimal(90), Decimal(100)),
        ("A-2", "20", "007", Decimal(7), Decimal(0), Decimal(0), Decimal(0)),
    ]
    assert [(r.order_prices, r.invoice_prices) for r in rows] == [
        ((Decimal(2),), (Decimal("2.5"),)),
        ((Decimal(3),), ()),
    ]


def test_without_an_order_the_table_says_so() -> None:
    known = book(invoice(), receipt())
    (row,) = matching.table(known.cases[0], known)
    assert (row.ordered, row.invoiced, row.accounted) == (None, Decimal(100), Decimal(100))


# --- units ----------------------------------------------------------------------------------------------------------


def test_factors_go_both_ways_and_through_others() -> None:
    units = Units(DEFAULT)
    assert units.convert(Decimal("1.5"), "X", "070", "036") == Decimal(1500000)
    assert units.convert(Decimal(1), "X", "007", "038") == Decimal("0.0001")
    assert units.convert(Decimal(1), "X", "007", "035") is None


@hypothesis.settings(deadline=None, max_examples=50)
@given(st.decimals(0, 10**12, places=5), st.sampled_from(sorted(DEFAULT.factors)))
def test_there_and_back_is_the_same(quantity: Decimal, unit: str) -> None:
    units = Units(DEFAULT)
    (other,) = DEFAULT.factors[unit]
    there = units.convert(quantity, "X", unit, other)
    assert there is not None
    assert units.convert(there, "X", other, unit) == quantity


def test_a_factor_of_one_material_is_of_no_other(tmp_path: Path) -> None:
    units = Units(settings(tmp_path, 'material_factors: {A-1: {"035": {"007": "9.5"}}}'))
    assert units.convert(Decimal(2), "A-1", "035", "007") == Decimal(19)
    assert units.convert(Decimal(2), "A-2", "035", "007") is None


def test_a_table_of_materials_gives_legal_units_and_weights() -> None:
    line: dict[str, Value] = {
        "erpMaterialNumber": "E-1",
        "customsMaterialNumber": "C-1",
        "declaredUnitCode": "011",
        "legalUnitCode": "007",
        "legalFactor": Decimal(12),
        "weightFactor": Decimal("0.5"),
    }
    units = Units(DEFAULT, [Document(format="materialRelation", header={}, lines=(line,))])
    for material in ("E-1", "C-1"):
        assert units.convert(Decimal(2), material, "011", "007") == Decimal(24)
        assert units.convert(Decimal(24), material, "007", "035") == Decimal(1)


# --- settings -------------------------------------------------------------------------------------------------------


def test_all_fields_that_the_defaults_name_are_fields_of_their_formats() -> None:
    for name, roles in DEFAULT.documents.items():
        if (format := FORMATS.get(name)) is None:
            continue
        header = [roles.number, roles.date, roles.party, roles.currency, roles.total]
        lines = [roles.line, roles.order_line, roles.material, *roles.quantities, roles.unit, roles.price]
        assert [id for id in header if id and id not in format.header_fields] == []
        assert [id for id in lines if id and id not in format.line_fields] == []


def test_formats_that_the_defaults_name_are_known() -> None:
    known = set(CODES_OF_FORMATS)
    named = {*DEFAULT.documents, *DEFAULT.duplicates, *DEFAULT.gaps.formats, *DEFAULT.outliers.formats}
    named |= {*DEFAULT.periods.empty_is_fine, *DEFAULT.cases.beside, *(f for pair in DEFAULT.dates for f in pair)}
    named |= {f for duty in DEFAULT.cases.obligations.values() for f in duty.formats}
    assert named - known == set()


CODES_OF_FORMATS = FORMATS["purchaseOrder"].header_fields["formatCode"].choices


def test_every_check_that_is_made_is_described_and_the_other_way_round() -> None:
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in Path(analyses.__file__).parent.parent.rglob("*.py")
        if "rules" not in path.parts
    )
    made = set(re.findall(r'"((?:CHK-(?:02|1[4-9]|20))|WB-0[45]|ANL-\d)"', source))
    assert made == set(DEFAULT.checks)


def test_nothing_blocks_by_default_but_a_bonded_document_from_outside_of_a_zone() -> None:
    assert {check.severity for check in DEFAULT.checks.values()} == {Severity.WARNING}
    assert DEFAULT.cases.obligations["OBL-6"].severity is Severity.ERROR


def test_a_file_of_the_user_says_only_what_is_otherwise(tmp_path: Path) -> None:
    known = settings(
        tmp_path,
        'tolerances: {price: {relative: "0.05"}}\nchecks: {CHK-17: {severity: error}}\n'
        'factors: {"120": {"007": "24"}}\ncases: {obligations: {OBL-7: {severity: error}}}\n',
    )
    assert known.tolerances.price.relative == Decimal("0.05")
    assert known.tolerances.price.absolute == DEFAULT.tolerances.price.absolute
    assert known.checks["CHK-17"].en == DEFAULT.checks["CHK-17"].en
    assert known.cases.obligations["OBL-7"].formats == DEFAULT.cases.obligations["OBL-7"].formats
    assert known.factors == {**DEFAULT.factors, "120": {"007": Decimal(24)}}
    bill, base = invoice(lines=[Line(price="2.1")]), order()
    assert findings(bill, base, code="CHK-17", settings=known) == [], "a twentieth is allowed now"
    (told,) = findings(invoice(lines=[Line(price="2.3")]), base, code="CHK-17", settings=known)
    assert told.severity is Severity.ERROR


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert settings(tmp_path, "") == DEFAULT


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tolerances:\n  prise: {}\n", "analysis.yaml:2:3: SA1020 unknown key `prise`"),
        ('factors:\n  "035": {"999": "2"}\n', "analysis.yaml:2:11: SA3020 `999` is no unit of the code list"),
        ('factors:\n  "035": {"007": "0"}\n', "analysis.yaml:2:18"),
        ("documents:\n  tally: {number: n}\n", "analysis.yaml:2:10"),
        ("outliers:\n  spreads: many\n", "analysis.yaml:2:12"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SourceErrors, match=re.escape(told)):
        settings(tmp_path, text)


def test_sentences_are_filled_in_completely() -> None:
    papers = [
        order(contractNumber="HT-1", day="2026-09-01"),
        contract(currencyCode="EUR"),
        receipt(lines=[Line(quantity="9", ref="9")]),
    ]
    papers += [invoice(lines=[Line(price="9", quantity="300")], currencyCode="JPY"), invoice("inv 1")]
    analysis = Analysis(book(*papers))
    told = [finding for each in papers for finding in analysis.findings(each.id)]
    assert len(told) > 8
    assert [f for f in told if "{" in messages.english(f.text, f.values)] == []
    assert all(f.values for f in told)
    assert ENTERPRISE not in str(told)
