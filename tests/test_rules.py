"""Each rule, passing and failing at the edge of its tolerance."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper_agent.format import Context, Document, Value
from scraper_agent.formats import CODES, FORMATS
from scraper_agent.rules import EXACT, codes, identity, number
from scraper_agent.values import Severity
from tests.test_formats import invoice, order, receipt, told

UUID = "[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}"
USCC = "91350100M000100Y43"
WRONG_ORGANISATION = "91350100M000100Y5" + identity.credit_code_check("91350100M000100Y5")


# --- CHK-01 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"orderNumber": None}, "error CHK-01 orderNumber is missing"),
        ({"orderNumber": ""}, "error CHK-01 orderNumber is missing"),
        ({"orderDate": "2026-03-01"}, "error CHK-01 orderDate is `2026-03-01`, not a date"),
        ({"orderVersion": Decimal("1.5")}, "error CHK-01 orderVersion is 1.5, which has 1 decimals; n..4 allows 0"),
        ({"currencyCode": "XXX"}, "error CHK-01 currencyCode is `XXX`, which is not in the code list `currency`"),
        ({"actionType": "4"}, "error CHK-01 actionType is `4`, but must be one of 1, 2, 3"),
        (
            {"recordGuid": "x" * 36},
            f"error CHK-01 recordGuid is `{'x' * 36}`, but must have the form {UUID}",
        ),
        ({"noSuch": "1"}, "error CHK-01 noSuch is not a field of this format"),
        ({"lines": []}, "error CHK-01 lines is empty; at least one line is needed"),
        (
            {"lines": [{}, {"goodsName": None}], "totalAmount": Decimal(2260)},
            "error CHK-01 lines[2].goodsName is missing",
        ),
        (
            {"lines": [{"unitCode": "064"}]},
            "error CHK-01 lines[1].unitCode is `064`, which is not in the code list `unit`",
        ),
        (
            {"lines": [{"unitPrice": Decimal("11.30001")}]},
            "error CHK-01 lines[1].unitPrice is 11.30001, which has 5 decimals; n..19.4 allows 4",
        ),
    ],
)
def test_a_field_that_is_missing_or_wrong_is_named(changes, said):
    assert told(order(**changes)) == [said]


def test_quantities_and_prices_have_bounds():
    assert told(
        order(lines=[{"orderedQuantity": Decimal(-1), "lineAmount": Decimal("-11.30")}], totalAmount=Decimal("-11.3"))
    ) == ["error CHK-01 lines[1].orderedQuantity is -1, but must be more than 0"]
    assert told(order(lines=[{"unitPrice": Decimal(-1), "lineAmount": Decimal(-100)}], totalAmount=Decimal(-100))) == [
        "error CHK-01 lines[1].unitPrice is -1, but must be at least 0"
    ]
    assert told(
        order(lines=[{}, {"orderedQuantity": Decimal(0), "unitPrice": Decimal(0), "lineAmount": Decimal(0)}])
    ) == [
        "error CHK-01 lines[2].orderedQuantity is 0, but must be more than 0",
        "error CHK-11 lines[2].orderedQuantity is 0 or missing, though the line has the unit 007",
        "warning CHK-12 lines[2].lineAmount is 0: goods free of charge?",
    ]
    assert told(receipt(lines=[{"receivedQuantity": Decimal(0)}])) == []


def test_an_invoice_names_its_contract_or_its_order():
    assert told(invoice(orderNumber=None)) == [
        "error CHK-01 contractNumber is missing; one of contractNumber, orderNumber is needed"
    ]
    assert told(invoice(orderNumber="")) == told(invoice(orderNumber=None))
    assert told(invoice(orderNumber=None, contractNumber="C-1")) == []


def test_a_receipt_names_order_contract_or_invoice_and_with_an_order_its_lines():
    assert told(receipt(orderNumber=None)) == [
        "error CHK-01 orderNumber is missing; one of orderNumber, contractNumber, invoiceNumber is needed"
    ]
    assert told(receipt(lines=[{}, {"orderLineNumber": None}])) == [
        "error CHK-01 lines[2].orderLineNumber is missing; it is needed because orderNumber is PO-17"
    ]
    assert told(receipt(orderNumber=None, invoiceNumber="I-1", lines=[{"orderLineNumber": None}])) == []


def test_an_import_order_needs_terms_of_trade():
    assert told(order(transactionModeCode=None)) == [
        "error CHK-01 transactionModeCode is missing; it is needed because supplierCountryCode is DEU"
    ]
    assert told(order(transactionModeCode=None, supplierCountryCode="CHN")) == []
    assert told(order(transactionModeCode=None, supplierCountryCode=None)) == []


# --- CHK-03, CHK-07, CHK-08 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (order(), "orderNumber is `PO-17`"),
        (invoice(), "invoiceNumber is `INV-1`"),
        (receipt(), "receiptNumber is `GR-1`"),
    ],
    ids=["order", "invoice", "receipt"],
)
def test_the_same_key_twice_in_a_run_is_an_error(document, said):
    assert told(document, Context(duplicates=("doc/1", "doc/2"))) == [
        f"error CHK-03 {said}; other documents of this run have the same key: doc/1, doc/2"
    ]


def test_the_credit_code_of_the_standard_is_right():
    assert identity.credit_code_check(USCC) == "3"
    assert identity.organisation_check("M000100Y") == "4"


@pytest.mark.parametrize("last", sorted(set("0123456789ABCDEFGHJKLMNPQRTUWXY") - {"3"}))
def test_every_other_check_character_is_wrong(last):
    assert told(order(buyerUscc=USCC[:-1] + last)) == [
        f"error CHK-07 buyerUscc is `{USCC[:-1]}{last}`, whose check character should be 3; a character is wrong"
    ]


@pytest.mark.parametrize("field", ["enterpriseUscc", "receiverUscc"])
def test_every_credit_code_of_a_document_is_checked(field):
    assert told(receipt(**{field: "91350100M000100Y4O"})) == [
        f"error CHK-07 {field} is `91350100M000100Y4O`, but O is no character of such a code"
    ]


def test_a_wrong_organisation_code_is_a_warning():
    code = WRONG_ORGANISATION
    assert told(order(buyerUscc=code)) == [
        f"warning CHK-07 buyerUscc is `{code}`, whose organisation code (characters 9 to 17) should end in 4"
    ]


@given(st.text("0123456789ABCDEFGHJKLMNPQRTUWXY", min_size=17, max_size=17), st.integers(0, 16), st.integers(1, 30))
def test_a_misread_character_changes_the_check_character(code, place, step):
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    misread = alphabet[(alphabet.index(code[place]) + step) % 31]
    assert identity.credit_code_check(code) != identity.credit_code_check(code[:place] + misread + code[place + 1 :])


def test_one_code_with_two_names_in_a_run_is_a_warning():
    assert told(receipt(enterpriseUscc="91350100M000100Y43"), Context(names={USCC: frozenset({"甲"})})) == []
    assert told(receipt(), Context(names={USCC: frozenset({"甲", "乙"}), "other": frozenset({"a", "b"})})) == [
        f"warning CHK-07 {field} is `{USCC}`, which has different names in this run: 乙; 甲"
        for field in ("enterpriseUscc", "receiverUscc")
    ]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("3122210001", []),
        ("3122W9000A", []),
        ("3122A10001", []),
        ("3122010001", ["5th character 0 is no economic zone"]),
        ("3122B10001", ["5th character B is no economic zone"]),
        ("3122200001", ["6th character 0 is no kind of enterprise"]),
        ("31220X0001", ["5th character 0 is no economic zone", "6th character X is no kind of enterprise"]),
    ],
)
def test_a_customs_code_has_a_zone_and_a_kind(code, said):
    assert told(order(enterpriseCustomsCode=code)) == [
        f"warning CHK-08 enterpriseCustomsCode is `{code}`, whose {each}" for each in said
    ]


def test_a_customs_code_is_of_a_district_of_the_users_table():
    document = order(enterpriseCustomsCode="3122210001")
    assert told(document, Context(districts=frozenset({"31222"}))) == []
    assert told(document, Context(districts=frozenset({"31229"}))) == [
        "warning CHK-08 enterpriseCustomsCode is `3122210001`, whose district 31222 is not in your district table"
    ]


# --- CHK-04, CHK-05, CHK-12 -----------------------------------------------------------------------------------------


def _line(quantity, price, amount):
    """An invoice of one line whose sums are right."""
    amount = Decimal(amount)
    return invoice(
        goodsAmount=amount,
        totalAmount=amount + 20,
        lines=[{"quantity": Decimal(quantity), "unitPrice": Decimal(price), "lineAmount": amount}],
    )


@pytest.mark.parametrize(
    ("quantity", "price", "amount", "expected"),
    [
        # 0.01 at least
        ("1", "10", "10.01", None),
        ("1", "10", "10.02", "10"),
        ("100", "1", "99.99", None),
        ("100", "1", "99.98", "100"),
        # half a ten-thousandth for each piece, and half a cent: 1000 · 0.00005 + 0.005 = 0.055
        ("1000", "1", "1000.05", None),
        ("1000", "1", "1000.06", "1000"),
        ("1000", "1", "999.95", None),
        ("1000", "1", "999.94", "1000"),
        ("900", "1", "900.05", None),  # 0.05 exactly
        ("900", "1", "900.06", "900"),
        ("1000.1", "1.0450", "1045.16", "1045.10450"),  # 0.0555 away, of 0.055005
        # 38 digits: no rounding on the way
        (
            "12345678901234.56789",
            "12345678901234.5678",
            "12345678901234567.89",
            "152415787532388366390794098.763907942",
        ),
    ],
)
def test_quantity_times_price_is_the_amount(quantity, price, amount, expected):
    said = f"error CHK-04 lines[1].lineAmount is {amount}, but {quantity} times {price} is {expected}"
    assert told(_line(quantity, price, amount)) == ([] if expected is None else [said])


@pytest.mark.parametrize(
    ("currency", "amount", "wrong"), [("JPY", "13", False), ("JPY", "12", True), ("USD", "13", True)]
)
def test_an_amount_in_yen_is_rounded_to_a_whole_one(currency, amount, wrong):
    document = order(
        lines=[{"orderedQuantity": Decimal(10), "unitPrice": Decimal("1.26"), "lineAmount": Decimal(amount)}],
        currencyCode=currency,
        totalAmount=Decimal(amount),
    )
    assert [said.split()[1] for said in told(document)] == ["CHK-04"] * wrong


def test_lines_add_up_to_the_amount_of_the_goods():
    lines = [{"lineAmount": Decimal("1130.00")}, {"lineAmount": Decimal("1130.00")}]
    assert told(invoice(lines=lines, goodsAmount=Decimal("2260.02"), totalAmount=Decimal("2280.02"))) == []
    assert told(invoice(lines=lines, goodsAmount=Decimal("2259.98"), totalAmount=Decimal("2279.98"))) == []
    assert told(invoice(lines=lines, goodsAmount=Decimal("2260.03"), totalAmount=Decimal("2280.03"))) == [
        "error CHK-05 goodsAmount is 2260.03, but the lines add up to 2260.00"
    ]


def test_an_order_may_have_its_tax_in_the_total_or_not():
    tax = Decimal("146.90")
    assert told(order(taxAmount=tax)) == []
    assert told(order(taxAmount=tax, totalAmount=Decimal("1276.90"))) == []
    assert told(order(taxAmount=tax, totalAmount=Decimal("1276.91"))) == []
    assert told(order(taxAmount=tax, totalAmount=Decimal("1276.92"))) == [
        "error CHK-05 totalAmount is 1276.92, but the lines add up to 1130, with tax to 1276.90"
    ]
    assert told(order(totalAmount=Decimal("1130.01"))) == []
    assert told(order(totalAmount=Decimal("1130.02"))) == [
        "error CHK-05 totalAmount is 1130.02, but the lines add up to 1130"
    ]


def test_the_total_of_an_invoice_is_the_sum_of_its_parts():
    assert told(invoice(totalAmount=Decimal("1150.01"))) == [
        "error CHK-05 totalAmount is 1150.01, but goodsAmount + freightAmount + otherCharges add up to 1150.00"
    ]
    assert told(invoice(freightAmount=None, otherCharges=None, totalAmount=Decimal(1130))) == []


def test_an_amount_is_not_zero():
    free = [{"unitPrice": Decimal(0), "lineAmount": Decimal("0.00")}]
    assert told(order(lines=free, totalAmount=Decimal(0))) == [
        "error CHK-12 totalAmount is 0, but an amount must not be",
        "warning CHK-12 lines[1].lineAmount is 0: goods free of charge?",
    ]


def test_a_free_line_is_shown_and_a_priced_line_of_no_amount_is_wrong():
    assert told(order(lines=[{}, {"unitPrice": Decimal(0), "lineAmount": Decimal(0)}])) == [
        "warning CHK-12 lines[2].lineAmount is 0: goods free of charge?"
    ]
    tiny = {"orderedQuantity": Decimal(1), "unitPrice": Decimal("0.01"), "lineAmount": Decimal(0)}
    assert told(order(lines=[{}, tiny])) == ["error CHK-12 lines[2].lineAmount is 0, but the price is 0.01"]


# --- CHK-06, CHK-11 -------------------------------------------------------------------------------------------------


def test_gross_is_not_below_net():
    assert told(invoice(grossWeight=Decimal(12), netWeight=Decimal("12.0"))) == []
    assert told(invoice(netWeight=None)) == []
    assert told(invoice(grossWeight=Decimal("11.99999"))) == [
        "error CHK-06 grossWeight is 11.99999, but the net weight is 12"
    ]


def test_a_unit_goes_with_a_quantity():
    nothing = {"receivedQuantity": Decimal(0), "rejectedQuantity": None}
    assert told(receipt(lines=[nothing])) == [
        "error CHK-11 lines[1].receivedQuantity is 0 or missing, though the line has the unit 007"
    ]
    assert told(receipt(lines=[{**nothing, "shortQuantity": Decimal(5)}])) == []
    assert told(receipt(lines=[{"unitCode": None}])) == [
        "error CHK-01 lines[1].unitCode is missing",
        "error CHK-11 lines[1].unitCode is missing, though the line has a quantity",
    ]
    assert told(receipt(lines=[{**nothing, "unitCode": None}])) == ["error CHK-01 lines[1].unitCode is missing"]


# --- container numbers (ISO 6346) ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "expected"),
    [("CSQU305438", "3"), ("APZU321055", "0"), ("TEMU642411", "0")],
    ids=["of the standard", "nothing left over", "ten left over"],
)
def test_the_check_digit_of_a_container(number, expected):
    assert codes.container_check(number) == expected


@given(st.integers(0, 999_999), st.integers(0, 5), st.integers(1, 9))
def test_a_misread_digit_of_a_container_is_seen_unless_ten_is_left_over(serial, place, step):
    number = f"CSQU{serial:06}"
    misread = number[: 4 + place] + str((int(number[4 + place]) + step) % 10) + number[5 + place :]
    both = {codes.container_check(number), codes.container_check(misread)}
    assert len(both) == 2 or both == {"0"}


# --- all rules ------------------------------------------------------------------------------------------------------

STRANGE = st.none() | st.sampled_from(
    ["", "x", "\x00", Decimal(0), Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity"), Decimal("1E+999999"),
     Decimal("1E-999999"), Decimal("9" * 300), date(2026, 1, 1)]
)  # fmt: skip


@pytest.mark.parametrize("make", [order, invoice, receipt])
def test_no_rule_crashes_on_a_strange_value(make):
    format = FORMATS[make().format]
    context = Context(duplicates=("a",), names={"x": frozenset("ab")}, districts=frozenset())

    @given(
        st.dictionaries(st.sampled_from(sorted(format.header_fields)), STRANGE, max_size=6),
        st.lists(st.dictionaries(st.sampled_from(sorted(format.line_fields)), STRANGE, max_size=6), max_size=3),
    )
    def check(header, lines):
        format.check(make(**header, lines=lines), context)

    check()


def test_a_document_of_nothing_lacks_every_mandatory_field_and_breaks_no_other_rule():
    for format in FORMATS.values():
        found = format.check(Document(format=format.name, header={}, lines=({},)), Context())
        assert {f.code for f in found} == {"CHK-01"}
        assert {f.field for f in found} >= {field.id for field in format.header if field.mandatory}
        assert {f.field for f in found} >= {f"lines[1].{field.id}" for field in format.lines if field.mandatory}


def test_a_severity_is_data():
    format = FORMATS["purchaseOrder"]
    rule = next(rule for rule in format.rules if isinstance(rule, identity.DuplicateKey))
    softer = replace(format, rules=(rule.model_copy(update={"severity": Severity.WARNING}),))
    assert [f.severity for f in softer.check(order(), Context(duplicates=("x",)))] == [Severity.WARNING]


def test_numbers_that_cannot_be_calculated_with_are_none():
    strange: list[Value] = [
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("1E+101"),
        Decimal("1E-101"),
        "1",
        date(2026, 1, 1),
    ]
    assert [number({"a": value}, "a") for value in strange] == [None] * len(strange)
    assert number({}, "a") is None
    assert number({"a": Decimal("1E+100")}, "a") == Decimal("1E+100")
    assert EXACT.prec == 300


def test_every_code_list_of_a_field_is_there():
    for format in FORMATS.values():
        for field in (*format.header, *format.lines):
            assert field.codes is None or set(field.choices) == set(CODES[field.codes].codes)
