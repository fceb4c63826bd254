from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper_agent import approval, canonical, completeness, messages
from scraper_agent.completeness import Evidence, Filter, Sum, certificate
from scraper_agent.policy import Policy
from scraper_agent.values import Certificate, Completeness, ListRead, Reason

WHOLE = Evidence(
    harvested=5, declared=5, declared_after=5, wants_declared=True, keys=5, ended=True, recounted=5, same=True
)


def told(evidence: Evidence) -> tuple[str, list[str]]:
    made = certificate(evidence)
    return made.state.value, [messages.english(r.text, r.values) for r in made.reasons]


def test_a_list_whose_count_and_second_look_agree_is_proved() -> None:
    assert told(WHOLE) == ("proved", [])


@pytest.mark.parametrize(
    ("change", "state", "reason"),
    [
        ({"declared": None, "declared_after": None, "wants_declared": False}, "plausible", "the page states no count"),
        ({"recounted": None}, "plausible", "the rows were not looked at a second time"),
        ({"keys": None}, "plausible", "the recipe names no key, so a doubled row could hide a missing one"),
        ({"hidden": 2}, "plausible", "2 row(s) are on the page but hidden"),
        ({"declared": 6, "declared_after": 6}, "unproved", "the page states 6 rows; 5 were read"),
        ({"declared_after": 6}, "unproved", "the page stated 5 rows at first, 6 at the end"),
        ({"declared_after": None}, "plausible", "the page did not state its count again at the end"),
        ({"returned": False}, "plausible", "after the last record the list did not show its rows again"),
        ({"keys": 4}, "unproved", "1 row(s) were seen twice"),
        ({"keys": 4, "keyless": 1}, "unproved", "1 row(s) have no key"),
        ({"ended": False}, "unproved", "the end of the list was not seen"),
        ({"recounted": 4, "same": False}, "unproved", "5 rows at the first look, 4 at the second"),
        ({"same": False}, "unproved", "the second look showed other rows than the first"),
        ({"missing": 1}, "unproved", "1 row(s) never showed between others that did"),
        ({"changed": 1}, "unproved", "1 row(s) read differently when they were seen again"),
        ({"broken": "SA2207"}, "unproved", "the list broke off: SA2207"),
        (
            {"declared": None, "declared_after": None},
            "unproved",
            "the page does not state the count that the recipe expects there",
        ),
        (
            {"sums": (Sum(column="金额", stated="10.00", summed="9.50", equal=False),)},
            "unproved",
            "the page states 10.00 as the total of 金额; its rows add up to 9.50",
        ),
        (
            {"filters": (Filter(field="label 日期", wanted="2026-03-01", seen=""),)},
            "unproved",
            "the filter label 日期 reads -; it was set to 2026-03-01",
        ),
    ],
)
def test_what_is_missing_or_contradicts_is_the_one_reason(change: dict[str, object], state: str, reason: str) -> None:
    assert told(replace(WHOLE, **change)) == (state, [reason])  # type: ignore[arg-type] # each a field of Evidence


def test_neither_count_nor_key_tells_nothing() -> None:
    bare = Evidence(harvested=5, ended=True, recounted=5, same=True)
    assert told(bare) == ("unproved", ["the page states no count and the recipe names no key: nothing tells"])


counts = st.integers(0, 6)
maybe = st.none() | counts
evidences = st.builds(
    Evidence,
    harvested=counts,
    declared=maybe,
    declared_after=maybe,
    wants_declared=st.booleans(),
    keys=maybe,
    keyless=st.integers(0, 1),
    ended=st.booleans(),
    recounted=maybe,
    same=st.booleans(),
    missing=st.integers(0, 1),
    changed=st.integers(0, 1),
    hidden=st.integers(0, 1),
    returned=st.booleans(),
    sums=st.lists(st.builds(Sum, column=st.just("c"), stated=st.just("1"), summed=st.just("1"), equal=st.booleans()),
                  max_size=2).map(tuple),
    filters=st.lists(st.builds(Filter, field=st.just("f"), wanted=st.sampled_from("ab"), seen=st.sampled_from("ab")),
                     max_size=2).map(tuple),
    broken=st.sampled_from(["", "SA2207"]),
)  # fmt: skip


@given(evidences)
def test_proved_only_where_everything_that_can_be_known_agrees(e: Evidence) -> None:
    agreed = (
        e.declared == e.declared_after == e.harvested == e.keys == e.recounted
        and e.same
        and e.ended
        and e.returned
        and not (e.keyless or e.missing or e.changed or e.hidden or e.broken)
        and all(s.equal for s in e.sums)
        and all(f.wanted == f.seen for f in e.filters)
    )
    made = certificate(e)
    assert (made.state is Completeness.PROVED) == agreed
    assert (made.reasons == ()) == agreed


@given(evidences)
def test_a_list_that_states_nothing_or_was_seen_once_is_never_proved(e: Evidence) -> None:
    assert certificate(replace(e, declared=None)).state is not Completeness.PROVED
    assert certificate(replace(e, recounted=None)).state is not Completeness.PROVED
    assert certificate(replace(e, ended=False)).state is Completeness.UNPROVED


# --- in the log, and what may leave -------------------------------------------------------------------------------


def read(state: Completeness | None, *, declared: int | None = 5) -> ListRead:
    made = None if state is None else Certificate(state=state, reasons=(Reason(text="x"),))
    return ListRead(name="orders", declared=declared, harvested=5, pages=1, certificate=made)


def test_a_fact_from_before_there_were_certificates_reads_as_its_counts_tell() -> None:
    old = b'{"declared":5,"harvested":4,"name":"orders","pages":1}'
    fact = canonical._adapter("ListRead").validate_json(old)
    assert fact == ListRead(name="orders", declared=5, harvested=4, pages=1)
    assert completeness.of(fact) is Completeness.UNPROVED
    assert completeness.of(read(None)) is completeness.of(read(None, declared=None)) is Completeness.PLAUSIBLE


def test_a_certificate_comes_back_from_the_log_as_it_was_written() -> None:
    fact = read(Completeness.PLAUSIBLE)
    assert canonical._adapter("ListRead").validate_json(canonical.dumps(fact)) == fact


@pytest.mark.parametrize("least", Completeness)
@pytest.mark.parametrize("state", Completeness)
def test_the_policy_says_how_complete_lists_must_be(least: Completeness, state: Completeness) -> None:
    rank = ["unproved", "plausible", "proved"]
    held = approval.lists_to_hold(Policy(lists=least), [read(state)])
    assert bool(held) == (rank.index(state) < rank.index(least))
    if held:
        assert messages.english(*held[0]) == f"the list orders is {state}; the policy asks for {least}"


def test_a_run_that_did_not_end_says_nothing_of_its_lists() -> None:
    assert [text for text, _ in approval.lists_to_hold(Policy(), None)] == [
        "the run that read it did not end, so its lists may not be complete"
    ]
    assert approval.lists_to_hold(Policy(lists=Completeness.UNPROVED), None) == ()
    assert approval.lists_to_hold(Policy(), []) == ()
