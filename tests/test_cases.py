"""Which documents make one business case, and what a case must have: OBL-1 to OBL-8."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper_agent import cases, messages
from scraper_agent.analysis.settings import DEFAULT
from scraper_agent.cases import Case, Paper
from scraper_agent.errors import UsageError
from scraper_agent.values import Finding, Severity, State
from tests.papers import contract, invoice, order, paper, receipt

JOINING = DEFAULT.cases
STRICT = DEFAULT.raised({"OBL-7": Severity.ERROR}).cases


def joined(*papers: Paper) -> list[set[str]]:
    return [{paper.key for paper in case.all} for case in cases.join(papers, JOINING)]


def one(*papers: Paper) -> Case:
    (case,) = cases.join(papers, JOINING)
    return case


def missing(
    *papers: Paper, states: dict[str, State] | None = None, joining: cases.Joining = JOINING
) -> tuple[str, ...]:
    case = one(*papers)
    return cases.missing(case, {p.id: (states or {}).get(p.key, State.READ) for p in case.all}, joining)


def told(case: Case, joining: cases.Joining = JOINING) -> list[tuple[str, str, str]]:
    found = cases.findings(case, {p.id: State.READ for p in case.all}, joining)
    return [(f.values["rule"], f.severity.value, f.field) for f in found]


# --- joining --------------------------------------------------------------------------------------------------------


def test_order_invoice_and_receipt_are_joined_by_their_numbers() -> None:
    far = order("PO-2"), invoice("INV-2", orderNumber="PO-2")
    assert joined(order(), far[0], invoice(), receipt(orderNumber=None), far[1]) == [
        {"PO-1", "INV-1", "GR-1"},
        {"PO-2", "INV-2"},
    ]


def test_a_contract_joins_all_orders_that_draw_on_it() -> None:
    case = one(order("PO-1", contractNumber="HT-1"), order("PO-2", contractNumber="HT-1"), contract("HT-1"))
    assert case.name == "HT-1"
    assert case.numbers == {"contract": ("HT-1",), "order": ("PO-1", "PO-2")}


def test_a_document_in_the_middle_joins_what_was_apart() -> None:
    assert len(joined(order(), receipt(orderNumber=None))) == 2
    assert len(joined(order(), receipt(orderNumber=None), invoice())) == 1


def test_a_business_case_that_a_page_names_joins_and_names() -> None:
    case = one(order("PO-1", businessCaseKey="C-7"), receipt("GR-9", orderNumber=None, businessCaseKey="C-7"))
    assert case.name == "C-7"


@pytest.mark.parametrize("written", ["PO-1", "po-1", " PO-1 ", "\uff30\uff2f-\uff11", "PO- 1"])
def test_width_case_and_white_space_of_a_number_do_not_count(written: str) -> None:
    assert len(joined(order("PO-1"), invoice(orderNumber=written))) == 1


@pytest.mark.parametrize("written", ["PO-1,PO-2", "PO-1; PO-2", "PO-1\uff0cPO-2", "PO-1\u3001PO-2"])
def test_a_field_with_several_numbers_joins_them_all(written: str) -> None:
    assert len(joined(order("PO-1"), order("PO-2"), receipt(orderNumber=written, invoiceNumber=None))) == 1


def test_one_invoice_number_of_two_sellers_is_two_cases() -> None:
    first = invoice("7", orderNumber="PO-1", sellerName="ACME")
    second = invoice("7", orderNumber="PO-2", sellerName="Rhein")
    assert len(joined(first, second)) == 2
    mine = receipt("GR-1", invoiceNumber="7", orderNumber=None, supplierName="Rhein")
    assert joined(order("PO-1"), order("PO-2"), first, second, mine) == [{"PO-1", "7"}, {"PO-2", "7", "GR-1"}]
    nobody = receipt("GR-1", invoiceNumber="7", orderNumber=None, supplierName="Nobody")
    assert {"GR-1"} in joined(first, second, nobody)


def test_enterprises_are_kept_apart() -> None:
    assert len(joined(order(), invoice(enterpriseUscc="91310000000000000X"))) == 2


def test_a_voucher_belongs_to_every_case_it_names_and_joins_none() -> None:
    lines = [{"invoiceNumber": "INV-1"}, {"orderNumber": "PO-2"}]
    voucher = paper("enterpriseFinance", "V-1", {"voucherNumber": "V-1"}, lines)
    found = cases.join((voucher, order(), invoice(), order("PO-2")), JOINING)
    assert [[p.key for p in case.papers] for case in found] == [["PO-1", "INV-1"], ["PO-2"]]
    assert [[p.key for p in case.beside] for case in found] == [["V-1"], ["V-1"]]
    assert joined(paper("enterpriseFinance", "V-2", {}, lines)) == [{"V-2"}], "nothing gets lost"


def test_a_gate_out_belongs_to_its_stock_out() -> None:
    out = paper("stockOut", "SO-1", {"stockOutNumber": "SO-1"})
    gate = paper("bondedGateOut", "GO-1", {"gateOutNumber": "GO-1", "relatedDocumentNumber": "SO-1"})
    assert len(joined(out, gate)) == 1


@settings(deadline=None)
@given(st.data())
def test_the_order_of_reading_does_not_matter_and_no_document_is_lost_or_in_two_cases(data: st.DataObject) -> None:
    pick = st.integers(0, 4)
    papers = [
        order(f"PO-{at}", contractNumber=f"HT-{n}" if (n := data.draw(pick)) else None)
        for at in range(data.draw(st.integers(0, 4)))
    ]
    papers += [invoice(f"INV-{at}", orderNumber=f"PO-{data.draw(pick)}") for at in range(data.draw(st.integers(0, 4)))]
    papers += [
        receipt(f"GR-{at}", orderNumber=None, invoiceNumber=f"INV-{data.draw(pick)}")
        for at in range(data.draw(st.integers(0, 4)))
    ]
    mixed = data.draw(st.permutations(papers))
    assert _sets(joined(*papers)) == _sets(joined(*mixed))
    assert sorted(key for case in joined(*mixed) for key in case) == sorted(p.key for p in papers)
    for case in cases.join(papers, JOINING):
        for other in cases.join(papers, JOINING):
            if case.name != other.name:
                assert not set(case.numbers.get("order", ())) & set(other.numbers.get("order", ()))


def _sets(found: Iterable[set[str]]) -> set[frozenset[str]]:
    return set(map(frozenset, found))


# --- finding one ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["HT-1", "PO-1", "po-1", "INV-1", "GR-1", "doc/goodsReceipt/GR-1"])
def test_a_case_is_found_by_any_of_its_numbers(name: str) -> None:
    known = cases.join((order(contractNumber="HT-1"), invoice(), receipt(), order("PO-2")), JOINING)
    assert cases.find(known, name) is known[0]


def test_a_name_of_no_case_or_of_two_is_refused() -> None:
    known = cases.join((order("7"), invoice("7", orderNumber="PO-1")), JOINING)
    for name, count in (("PO-9", 0), ("7", 2)):
        with pytest.raises(UsageError, match=f"SA3021 {count} cases are called `{name}`"):
            cases.find(known, name)


# --- OBL-1 to OBL-5, OBL-7 ------------------------------------------------------------------------------------------


def test_a_case_with_order_invoice_and_receipt_is_complete() -> None:
    assert missing(order(), invoice(), receipt()) == ()
    assert told(one(order(), invoice(), receipt())) == []


def test_either_a_contract_or_an_order_is_enough() -> None:
    assert missing(contract(), invoice(contractNumber="HT-1"), receipt()) == ()
    assert missing(invoice(), receipt()) == ("contract/purchaseOrder",)
    assert told(one(invoice(), receipt())) == [("OBL-1", "error", "contract/purchaseOrder")]


def test_a_contract_beside_an_order_is_a_warning_and_the_contract_counts() -> None:
    case = one(contract(), order(contractNumber="HT-1"), invoice(), receipt())
    assert missing(*case.papers) == ()
    (found,) = cases.findings(case, {p.id: State.READ for p in case.papers}, JOINING)
    assert found == Finding(
        code="CHK-02",
        severity=Severity.WARNING,
        field="purchaseOrder",
        text="is there beside {primary}, which counts as the primary one of the case {case} ({rule})",
        values={"primary": "contract", "case": "HT-1", "rule": "OBL-2"},
    )


def test_an_invoice_and_a_receipt_are_mandatory() -> None:
    assert missing(order(), receipt()) == ("foreignInvoice",)
    assert missing(order(), invoice()) == ("goodsReceipt",)
    assert told(one(order())) == [("OBL-3", "error", "foreignInvoice"), ("OBL-4", "error", "goodsReceipt")]


def test_absence_of_what_is_voluntary_is_no_finding() -> None:
    fields = {f.field for f in cases.findings(one(order()), {one(order()).papers[0].id: State.READ}, JOINING)}
    assert not fields & {"overseasLoading", "materialRelation", "enterpriseFinance"}


@pytest.mark.parametrize("gone", [State.BLOCKED, State.DECLINED, State.REJECTED, State.STOPPED])
def test_what_will_not_arrive_does_not_complete_a_case(gone: State) -> None:
    papers = order(), invoice(), receipt()
    assert missing(*papers, states={"INV-1": gone}) == ("foreignInvoice",)


@pytest.mark.parametrize("way", [s for s in State if s not in (*cases.GONE, State.BLOCKED)])
def test_what_is_on_its_way_or_has_arrived_completes_a_case(way: State) -> None:
    assert missing(order(), invoice(), receipt(), states={"INV-1": way}) == ()


def test_a_case_in_a_zone_lacks_the_bonded_three_and_is_complete_all_the_same_unless_the_policy_says_otherwise() -> (
    None
):
    papers = (order(inSpecialZone="1"), invoice(inSpecialZone="1"), receipt(inSpecialZone="1"))
    bonded = ("bondedTransfer", "stockOut", "bondedGateOut")
    assert told(one(*papers)) == [("OBL-7", "warning", format) for format in bonded]
    assert missing(*papers) == ()
    assert missing(*papers, joining=STRICT) == bonded
    there = paper("stockOut", "SO-1", {"inSpecialZone": "1", "businessCaseKey": "C"})
    assert missing(order(inSpecialZone="1", businessCaseKey="C"), invoice(), receipt(), there, joining=STRICT) == (
        "bondedTransfer",
        "bondedGateOut",
    )


def test_a_case_outside_of_a_zone_needs_no_bonded_document() -> None:
    assert missing(order(), invoice(), receipt(), joining=STRICT) == ()


# --- OBL-6, OBL-8 ---------------------------------------------------------------------------------------------------


def own(of: Paper) -> list[str]:
    found = cases.own(of.document, JOINING.obligations)
    return [f"{f.code} {f.severity} {f.field} {messages.english(f.text, f.values)}" for f in found]


@pytest.mark.parametrize("format", ["bondedTransfer", "stockOut", "bondedGateOut"])
def test_a_bonded_document_from_outside_of_a_zone_is_an_error(format: str) -> None:
    assert own(paper(format, "1", {"inSpecialZone": "0"})) == [
        f"CHK-02 error inSpecialZone is 0, but only an enterprise in a special customs zone reports {format} (OBL-6)"
    ]
    assert own(paper(format, "1", {"inSpecialZone": "1"})) == []
    assert own(order()) == []


@pytest.mark.parametrize("digit", "4567W")
def test_the_customs_code_of_an_enterprise_in_a_zone_says_so(digit: str) -> None:
    code = f"3122{digit}30001"
    assert own(order(inSpecialZone="1", enterpriseCustomsCode=code)) == []
    assert own(order(inSpecialZone="0", enterpriseCustomsCode=code)) == [
        f"CHK-02 warning inSpecialZone is 0, but the 5th character of the customs code {code} says 1 (OBL-8)"
    ]


@pytest.mark.parametrize("digit", "12389A")
def test_the_customs_code_of_an_enterprise_outside_of_a_zone_says_so(digit: str) -> None:
    code = f"3122{digit}30001"
    assert own(order(inSpecialZone="0", enterpriseCustomsCode=code)) == []
    assert len(own(order(inSpecialZone="1", enterpriseCustomsCode=code))) == 1


@pytest.mark.parametrize("code", [None, "", "3122"])
def test_without_a_customs_code_nothing_is_said_of_the_zone(code: str | None) -> None:
    assert own(order(inSpecialZone="1", enterpriseCustomsCode=code)) == []
