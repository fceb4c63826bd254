"""Who must say yes: every limit of the policy and every guard alone, since two would hide each other's loss."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from scraper_agent import approval, messages, yamlfile
from scraper_agent.errors import AgentError, BusinessError, SourceErrors
from scraper_agent.policy import Policy
from scraper_agent.values import Approval, Digest, Finding, Severity, Verdict

DOCUMENT = Digest("sm3:" + "d" * 64)
OTHER = Digest("sm3:" + "0" * 64)
ERROR = Finding(code="CHK-05", severity=Severity.ERROR, field="totalAmount", text="is wrong")
WARNING = Finding(code="CHK-07", severity=Severity.WARNING, field="buyerUscc", text="is odd")
STRANGE = Finding(code="ANL-5", severity=Severity.WARNING, field="lines[1].unitPrice", text="is far off")
CLEAN = Verdict(document=DOCUMENT, findings=())
WARNED = Verdict(document=DOCUMENT, findings=(WARNING,))
BLOCKED = Verdict(document=DOCUMENT, findings=(ERROR,))

TOTALS = {"automatic": {"order": {"amounts": {"USD": "1000", "JPY": "100000.50"}}}}
LINES = {"automatic": {"order": {"lines": "5"}}}
BOTH = {"automatic": {"order": {"amounts": {"USD": "1000"}, "lines": "5"}}}
LENIENT = {"automatic": {"order": {"amounts": {"USD": "1000"}, "warnings": "allow"}}}


def policy(data: dict[str, Any]) -> Policy:
    return Policy.model_validate(data)


def reasons(
    data: dict[str, Any], verdict: Verdict = CLEAN, total: str | None = "10 USD", lines: int = 1, format: str = "order"
) -> list[str]:
    held = approval.reasons_to_hold(policy(data), verdict, format, amount(total), lines=lines)
    return [messages.english(text, values) for text, values in held]


def amount(total: str | None) -> tuple[str, Decimal] | None:
    if total is None:
        return None
    number, _, currency = total.partition(" ")
    return currency, Decimal(number)


# --- the policy -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", ["0 USD", "999.99 USD", "1000 USD", "1000.00 USD", "-1000 USD", "100000.5 JPY"])
def test_a_total_up_to_the_limit_of_its_currency_is_approved(total: str) -> None:
    assert reasons(TOTALS, total=total) == []


@pytest.mark.parametrize(
    ("total", "told"),
    [
        ("1000.01 USD", "1000.01 USD is above the limit of 1000"),
        ("100000.51 JPY", "100000.51 JPY is above the limit of 100000.50"),
        ("-1000.01 USD", "-1000.01 USD is above the limit of 1000"),
        ("1 EUR", "the policy sets no limit for EUR"),
        ("1 usd", "the policy sets no limit for usd"),
        ("1 ", "the policy sets no limit for "),
    ],
)
def test_a_total_above_its_limit_or_of_another_currency_is_held(total: str, told: str) -> None:
    assert reasons(TOTALS, total=total) == [told]


@pytest.mark.parametrize(("lines", "told"), [(0, []), (5, []), (6, ["6 lines; the limit is 5"])])
def test_the_number_of_lines_is_limited(lines: int, told: list[str]) -> None:
    assert reasons(LINES, total=None, lines=lines) == told
    assert reasons(BOTH, lines=lines) == told


def test_a_document_without_a_total_needs_a_limit_of_lines() -> None:
    assert reasons({"automatic": {"order": {}}}, total=None) == [
        "it has no total, and the policy sets no limit of lines"
    ]


def test_a_document_without_a_total_is_held_where_totals_are_limited() -> None:
    """However few its lines are: its total was what the policy wanted to know."""
    assert reasons(BOTH, total=None) == ["it has no total, and the policy limits totals"]


def test_a_format_that_the_policy_does_not_name_is_held() -> None:
    assert reasons(TOTALS, format="invoice") == ["the policy approves no invoice by itself"]
    assert reasons({}) == ["the policy approves no order by itself"]


def test_a_warning_is_held_unless_the_policy_allows_it() -> None:
    assert reasons(TOTALS, WARNED) == ["1 warning(s)"]
    assert reasons(LENIENT, WARNED) == []


def test_what_is_only_strange_is_no_warning_unless_the_policy_says_so() -> None:
    both = Verdict(document=DOCUMENT, findings=(WARNING, STRANGE))
    careful = {"automatic": {"order": {"amounts": {"USD": "1000"}, "analyses": "hold"}}}
    assert reasons(TOTALS, Verdict(document=DOCUMENT, findings=(STRANGE,))) == []
    assert reasons(TOTALS, both) == ["1 warning(s)"]
    assert reasons(careful, both) == ["2 warning(s)"]
    assert reasons({"automatic": {"order": {**careful["automatic"]["order"], "warnings": "allow"}}}, both) == [
        "1 warning(s)"
    ]


def test_a_format_waits_for_its_case_where_the_policy_says_so() -> None:
    data = {"automatic": {"order": {"case": "complete"}, "invoice": {}}}
    assert [approval.waits_for_case(policy(data), name) for name in ("order", "invoice", "receipt")] == [
        True,
        False,
        False,
    ]
    assert approval.case_to_hold("PO-1", ()) == ()
    ((text, values),) = approval.case_to_hold("PO-1", ("contract/purchaseOrder", "goodsReceipt"))
    assert messages.english(text, values) == (
        "its case PO-1 is not complete; it lacks contract/purchaseOrder, goodsReceipt"
    )


def test_every_reason_is_told() -> None:
    assert reasons(BOTH, WARNED, total="2000 USD", lines=9) == [
        "1 warning(s)",
        "9 lines; the limit is 5",
        "2000 USD is above the limit of 1000",
    ]


@pytest.mark.parametrize(("total", "lines", "within"), [("10.50 USD", 2, "10.50 USD, 2 lines"), (None, 3, "3 lines")])
def test_the_approval_of_the_policy_says_what_it_went_by(total: str | None, lines: int, within: str) -> None:
    data = TOTALS if total else LINES
    assert approval.decide(policy(data), CLEAN, "order", amount(total), lines=lines) == Approval(
        document=DOCUMENT, granted=True, by="policy", reason=f"within the limits: {within}"
    )


def test_the_policy_approves_nothing_that_it_has_a_reason_to_hold() -> None:
    assert approval.decide(policy(TOTALS), CLEAN, "order", amount("2000 USD"), lines=1) is None


def test_the_policy_approves_nothing_that_is_blocked() -> None:
    """Not even where it allows findings: they are warnings then, and this is an error."""
    assert approval.decide(policy(LENIENT), BLOCKED, "order", amount("1 USD"), lines=1) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("automatic: {order: {amounts: {USD: lots}}}", "policy.yaml:1:36: "),
        ("automatic: {order: {amounts: {USD: NaN}}}", "policy.yaml:1:36: "),
        ("automatic: {order: {amounts: {USD: -1}}}", "policy.yaml:1:36: "),
        ("automatic: {order: {lines: -1}}", "policy.yaml:1:28: "),
        ("automatic: {order: {lines: 1.5}}", "policy.yaml:1:28: "),
        ("automatic: {order: {warnings: ignore}}", "policy.yaml:1:31: "),
        ("automatic: {order: {amount: {USD: 1}}}", "policy.yaml:1:21: "),
        ("automatc: {}", "policy.yaml:1:1: "),
    ],
)
def test_a_wrong_policy_is_told_of_where_it_is_wrong(text: str, told: str) -> None:
    with pytest.raises(SourceErrors) as error:
        yamlfile.parse(text, Path("policy.yaml"), Policy)
    assert str(error.value).startswith(told)


# --- a person -------------------------------------------------------------------------------------------------------


def test_a_person_approves_the_document_that_was_shown() -> None:
    assert approval.by_person(WARNED, shown=DOCUMENT, by="li", reason="seen") == Approval(
        document=DOCUMENT, granted=True, by="person:li", reason="seen"
    )


def test_a_person_declines_with_a_reason() -> None:
    assert approval.decline(CLEAN, shown=DOCUMENT, by="li", reason="price") == Approval(
        document=DOCUMENT, granted=False, by="person:li", reason="price"
    )


def test_what_is_blocked_is_approved_by_nobody() -> None:
    two = Finding(code="CHK-01", severity=Severity.ERROR, field="orderDate", text="is missing")
    verdict = Verdict(document=DOCUMENT, findings=(ERROR, WARNING, two, ERROR))
    with pytest.raises(BusinessError) as error:
        approval.by_person(verdict, shown=DOCUMENT, by="li", reason="")
    assert str(error.value) == (
        "SA6001 the document is blocked by CHK-01, CHK-05 and cannot be approved\n"
        "hint: correct it in the ERP and run again"
    )


def test_what_is_blocked_may_be_declined() -> None:
    assert not approval.decline(BLOCKED, shown=DOCUMENT, by="li", reason="a test record").granted


OTHER_SHOWN = (
    f"SA6002 the document shown has digest {OTHER}; the one that waits has {DOCUMENT}\n"
    "hint: look at it again, then decide"
)


def test_another_document_than_the_one_shown_is_not_approved() -> None:
    with pytest.raises(BusinessError) as error:
        approval.by_person(CLEAN, shown=OTHER, by="li", reason="")
    assert str(error.value) == OTHER_SHOWN


def test_another_document_than_the_one_shown_is_not_declined() -> None:
    with pytest.raises(BusinessError) as error:
        approval.decline(CLEAN, shown=OTHER, by="li", reason="price")
    assert str(error.value) == OTHER_SHOWN


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_nothing_is_declined_without_a_reason(reason: str) -> None:
    with pytest.raises(BusinessError) as error:
        approval.decline(CLEAN, shown=DOCUMENT, by="li", reason=reason)
    assert str(error.value) == "SA6003 a document is declined only with a reason\nhint: add --reason TEXT"


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (None, "SA6004 there is no job doc/x\nhint: `scraper-agent jobs` lists them"),
        (
            "Receipt",
            (
                "SA6005 doc/x does not wait for a person; its last fact is Receipt\n"
                "hint: `scraper-agent jobs --state held` lists those that wait"
            ),
        ),
    ],
)
def test_what_does_not_wait_is_said_so(last: str | None, told: str) -> None:
    error: AgentError = approval.not_waiting("doc/x", last)
    assert (str(error), error.exit_code) == (told, 3)
