"""A policy told in words: what a robot can and cannot do under it, and what changes from one policy to another."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from scraper_agent import widening
from scraper_agent.explaining import Robot, explain
from scraper_agent.formats import FORMATS
from scraper_agent.messages import english
from scraper_agent.policy import Policy
from tests.world import RECIPE

ROBOT = Robot(
    recipe=RECIPE,
    format=FORMATS["purchaseOrder"],
    lacking=(),
    tabs=2,
    pages_per_minute=6,
    images=False,
    to="https://customs.example",
    stray=False,
)
PERMIT = "{purpose: login, path: /login, form: [user, password]}"
STRICT = f"""
requests: {{test: {{addresses: ["http://erp.example"], permits: [{PERMIT}], refuses: [/admin]}}}}
documents: [purchaseOrder]
windows: {{test: {{oldest_days: 30}}, purchaseOrder: {{from: 2026-01-01, to: 2026-12-31}}}}
hours: {{test: [mon-fri 08:00-18:00]}}
documents_per_day: {{all: 100, purchaseOrder: 20}}
destinations: {{all: [customs.example]}}
automatic: {{purchaseOrder: {{amounts: {{USD: 1000, CNY: 5000}}, case: complete, analyses: hold}}}}
lists: proved
people: {{wang: {{roles: [approver]}}, li: {{roles: [operator]}}}}
retention: {{images_days: 90}}
"""


def policy(text: str) -> Policy:
    return Policy.model_validate(yaml.safe_load(text) or {})


def told(allowed: Policy, **change: Any) -> dict[str, list[str]]:
    robot = Robot(**{name: getattr(ROBOT, name) for name in Robot.__slots__} | change)
    return {each.title: [english(line.text, line.values) for line in each.lines] for each in explain(allowed, robot)}


def test_a_strict_policy_is_told_to_its_last_line() -> None:
    recipe = RECIPE.model_copy(update={"permits": policy(STRICT).requests["test"].permits})
    assert told(policy(STRICT), recipe=recipe) == {
        "What it may read": [
            "Documents of the format purchaseOrder (中方采购订单数据) from test.",
            "Only documents that are at most 30 days old when they are read.",
            "Only documents dated 2026-01-01 or later.",
            "Only documents dated 2026-12-31 or earlier.",
            "A document of another day is blocked, whoever would approve it.",
        ],
        "What it may ask the ERP for": [
            "Pages, by GET and HEAD, from these addresses alone: http://erp.example.",
            "To log in: POST /login, with the fields user, password and no other.",
        ],
        "What it never does": [
            "It changes nothing in the ERP: every other request is refused and logged.",
            "It clicks nothing that reads as saving, submitting, approving or deleting.",
            "It never asks for a path like /admin.",
            "No recipe can widen any of this.",
        ],
        "When, and how fast": [
            "Within these hours, in the time of China: mon-fri 08:00-18:00.",
            "A run that comes to their end waits for the next.",
            "At most 2 page(s) of records load at a time.",
            "At most 6 page(s) are asked for in any minute.",
        ],
        "What leaves, and where it goes": [
            "The fields of purchaseOrder, as a signed document; no page, no image, no password.",
            "At most 20 document(s) of this format leave on a day.",
            "At most 100 document(s) of all formats together leave on a day.",
            "To https://customs.example.",
            "Whatever the config says, nowhere but: customs.example.",
        ],
        "Who must agree": [
            "The recipe is used once another person than its author has approved it.",
            "Without a person leaves a document of at most: 1000 USD, 5000 CNY.",
            "One with a warning waits for a person.",
            "One that is only strange waits for a person, too.",
            "One whose business case is not complete waits.",
            "All wait for a person where it is not proved that the lists of the run were complete.",
            "All others wait for a person's approval.",
            "A document with an error leaves on nobody's word.",
            "May approve documents: wang.",
        ],
        "What is kept, and for how long": [
            "Every step, in a log that shows any change made to it.",
            "What the program did, in a log of its own: at least 184 days.",
            "Documents, receipts and the pages they were read from: at least 1096 days.",
            "No images of pages.",
        ],
    }


def test_what_a_robot_cannot_do_under_an_empty_policy() -> None:
    found = told(policy("{}"), stray=True, images=True)
    assert found["What it may ask the ERP for"] == [
        "Nothing: the policy does not name the ERP test, so it is not read."
    ]
    assert found["Who must agree"][1] == "Every document waits for a person's approval."
    assert found["What leaves, and where it goes"][1] == (
        "To nobody: the config sends it to https://customs.example, which the policy does not name."
    )
    assert (
        "Nothing: the policy allows only documents of the formats -."
        in told(policy("documents: []"))["What it may read"]
    )
    assert "Never: the policy gives it no hours." in told(policy("hours: {test: []}"))["When, and how fast"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("requests: {e: {addresses: [a]}}", "requests: {e: {addresses: [b]}}", "+ b is added - a is taken away"),
        ("requests: {e: {refuses: [a]}}", "requests: {e: {}}", "+ a is taken away"),
        ("requests: {e: {}}", f"requests: {{e: {{permits: [{PERMIT}]}}}}", "+ {perm} is added"),
        ("documents: [a]", "{}", "+ no limit any more; before: a"),
        ("documents: [a]", "documents: [b, a]", "+ b is added"),
        ("windows: {e: {oldest_days: 9}}", "windows: {e: {oldest_days: 8}}", "- 8; before: 9"),
        ("windows: {e: {from: 2026-01-02}}", "windows: {e: {from: 2026-01-01}}", "+ 2026-01-01; before: 2026-01-02"),
        ("windows: {e: {to: 2026-01-02}}", "windows: {e: {to: 2026-01-01}}", "- 2026-01-01; before: 2026-01-02"),
        ("{}", "windows: {e: {to: 2026-01-01}}", "- 2026-01-01; before there was no limit"),
        ("hours: {e: [08:00-18:00]}", "hours: {e: [08:00-20:00]}", "+ 08:00-20:00; before: 08:00-18:00"),
        ("hours: {e: [08:00-18:00]}", "hours: {e: [09:00-19:00]}", "= 09:00-19:00; before: 08:00-18:00"),
        ("{}", "hours: {e: [08:00-18:00]}", "- 08:00-18:00; before there was no limit"),
        (
            "pace: {e: {tabs: 2}}",
            "pace: {e: {pages_per_minute: 3}}",
            "+ no limit any more; before: 2 - 3; before there was no limit",
        ),
        ("documents_per_day: {all: 2}", "documents_per_day: {all: 1}", "- 1; before: 2"),
        ("{}", "destinations: {all: [a]}", "- only those that are named - a is added"),
        ("destinations: {all: [a]}", "{}", "+ any, as the config says"),
        ("destinations: {all: [a]}", "destinations: {all: [a, b]}", "+ b is added"),
        ("{}", "automatic: {f: {lines: 3}}", "+ some leave"),
        ("automatic: {f: {lines: 3}}", "automatic: {f: {lines: 2}}", "- 2; before: 3"),
        (
            "automatic: {f: {amounts: {USD: 3}}}",
            "automatic: {f: {amounts: {CNY: 2}}}",
            "+ 2; before: 0 - 0; before: 3",
        ),
        ("automatic: {f: {case: complete}}", "automatic: {f: {}}", "+ any; before: complete"),
        ("lists: unproved", "lists: proved", "- proved; before: unproved"),
        ("people: {a: {roles: [operator]}}", "{}", "+ everybody may do everything"),
        (
            "people: {a: {roles: [operator]}}",
            "people: {a: {roles: [auditor]}}",
            "+ a: auditor is added - a: operator is taken away",
        ),
        ("recipes: {approved_by: nobody}", "{}", "- second_person; before: nobody"),
        ("severities: {CHK-15: error}", "{}", "+ -; before: error"),
        ("severities: {CHK-15: warning}", "{}", "= -; before: warning"),
        ("evidence: {images: drop}", "retention: {logs_days: 300}", "= -; before: drop = 300; before: 184"),
    ],
)
def test_each_change_is_told_with_its_direction(before: str, after: str, expected: str) -> None:
    """`+` wider, `-` narrower, `=` neither."""
    signs = {"wider": "+", "narrower": "-", "otherwise": "="}
    said = " ".join(
        f"{signs[each.direction]} {english(each.said.text, each.said.values)}"
        for each in widening.changes(policy(before), policy(after))
    )
    permit = '{"purpose":"login","path":"/login","form":["user","password"]}'
    assert said == expected.replace("{perm}", permit)


def test_policies_that_say_the_same_differ_in_nothing() -> None:
    assert widening.changes(policy(STRICT), policy(STRICT + "version: 7\n")) == ()


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{rule: per_document}", ["Every document waits for a person's approval."]),
        ("{rule: four_eyes}", ["Every document waits until two different people have approved it."]),
        (
            "{rule: per_batch, sample: {one_in: 20}}",
            [
                "All others wait for a person's approval.",
                "What would leave without a person waits for one approval of all of its run together.",
                "Of what would leave without a person, about one in 20 waits for one all the same.",
            ],
        ),
    ],
)
def test_who_approves_is_told_as_the_rule_says(rule: str, said: list[str]) -> None:
    found = told(policy(f"automatic: {{purchaseOrder: {{lines: 5}}}}\napproval: {{purchaseOrder: {rule}}}"))
    agreed = found["Who must agree"]
    end = agreed.index("A document with an error leaves on nobody's word.")
    assert agreed[end - len(said) : end] == said
    without = any(line.startswith("Without a person leaves") for line in agreed)
    assert without == ("per_batch" in rule)


def test_fields_that_do_not_leave_are_told() -> None:
    fields = "{only: [orderDate], leave_out: [remark, lines.goodsName], mask: {supplierName: {keep_first: 1}}}"
    found = told(policy(f"fields: {{purchaseOrder: {fields}}}"))
    assert found["What leaves, and where it goes"][1:4] == [
        "Of the fields that a document may lack, these alone: orderDate.",
        "Never these fields: remark, lines.goodsName.",
        "Of these texts the beginning or the end alone: supplierName.",
    ]


@pytest.mark.parametrize(
    ("key", "narrow", "wide"),
    [
        ("approval", "{purchaseOrder: {rule: four_eyes}}", "{purchaseOrder: {rule: per_document}}"),
        ("approval", "{purchaseOrder: {rule: per_batch}}", "{}"),
        ("approval", "{purchaseOrder: {sample: {one_in: 5}}}", "{purchaseOrder: {sample: {one_in: 50}}}"),
        ("approval", "{purchaseOrder: {sample: {one_in: 5}}}", "{}"),
        ("fields", "{purchaseOrder: {only: [remark]}}", "{}"),
        ("fields", "{purchaseOrder: {only: []}}", "{purchaseOrder: {only: [remark]}}"),
        ("fields", "{purchaseOrder: {leave_out: [remark]}}", "{}"),
        ("fields", "{purchaseOrder: {mask: {remark: {keep_last: 4}}}}", "{}"),
    ],
)
def test_who_approves_and_what_leaves_gets_wider_or_narrower(key: str, narrow: str, wide: str) -> None:
    less, more = policy(f"{key}: {narrow}"), policy(f"{key}: {wide}")
    assert [change.direction for change in widening.changes(less, more)] == ["wider"]
    assert [change.direction for change in widening.changes(more, less)] == ["narrower"]
    assert widening.changes(less, less) == ()
