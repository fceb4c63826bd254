"""What the comparison of documents does to them on their way, with a real archive, key and platform: findings in the
verdict, holds that end when the case is complete, and nothing sent twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from scraper_agent import approval, messages
from scraper_agent.archive.verify import verify
from scraper_agent.cases import Paper
from scraper_agent.formats import FORMATS
from scraper_agent.policy import Limit, Policy
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sending import https
from scraper_agent.signing import keyfolder
from scraper_agent.values import Approval, Finding, Job, JobId, Severity, State, Verdict, state
from tests.papers import Line, file, invoice, order, receipt
from tests.world import AK, NOW, PASSPHRASE, PLAN, RUN, STRAIGHT, Crash, World, frozen, seeing

CASE = (order(), invoice(), receipt())
COMPLETE = Policy(
    automatic={
        "purchaseOrder": Limit(amounts={"USD": Decimal(1000)}, case="complete"),
        "foreignInvoice": Limit(amounts={"USD": Decimal(1000)}, case="complete"),
        "goodsReceipt": Limit(lines=10, case="complete"),
    }
)
AT_ONCE = Policy(
    automatic={name: limit.model_copy(update={"case": "any"}) for name, limit in COMPLETE.automatic.items()}
)
LENIENT = Policy(
    automatic={name: limit.model_copy(update={"warnings": "allow"}) for name, limit in AT_ONCE.automatic.items()}
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    keyfolder.create(folder, SecretStr(PASSPHRASE), NOW)
    return folder


@pytest.fixture
def platform(keys: Path) -> Iterator[Platform]:
    (entry,) = keyfolder.entries(keys)
    with Platform(lambda: NOW, {(AK, "01"): entry.public_key}, FORMATS) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, keys: Path, platform: Platform) -> Iterator[World]:
    with https.HttpsTransport(https.Config(kind="https", url=platform.url, connect_timeout_s=2)) as transport:
        made = World(tmp_path, keys, transport, platform.public_keys, policy=COMPLETE)
        made.harvest()  # the run that everything was read by: it has ended, and had no lists
        yield made


def read(world: World, *papers: Paper) -> list[JobId]:
    with world.pipeline() as pipeline:
        return [file(pipeline.archive, RUN, each) for each in papers]


def run(world: World, *papers: Paper) -> dict[str, State]:
    """Read, then take what was read, and what hangs together with it, as far as it goes: what `run` does."""
    ids = read(world, *papers)
    with world.pipeline() as pipeline:
        for id in (*ids, *pipeline.companions(ids)):
            pipeline.advance(id)
    return states(world)


def states(world: World) -> dict[str, State]:
    return {_key(job): state(job) for job in world.jobs()}


def _key(job: Job) -> str:
    return getattr(job.facts[0], "key", "")


def why(world: World, key: str) -> list[str]:
    with world.pipeline() as pipeline:
        job = next(job for job in map(pipeline.archive.job, pipeline.archive.documents()) if _key(job) == key)
        return [messages.english(text, values) for text, values in pipeline.held_because(job)]


def found(world: World, key: str) -> tuple[Finding, ...]:
    """Of the last verdict."""
    job = next(job for job in world.jobs() if _key(job) == key)
    return next(fact.findings for fact in reversed(job.facts) if isinstance(fact, Verdict))


# --- until the case is complete -------------------------------------------------------------------------------------


def test_a_document_waits_for_its_case_and_the_next_run_lets_all_of_it_go(world: World, platform: Platform) -> None:
    assert run(world, order()) == {"PO-1": State.HELD}
    assert why(world, "PO-1") == ["its case PO-1 is not complete; it lacks foreignInvoice, goodsReceipt"]
    assert run(world, invoice()) == {"PO-1": State.HELD, "INV-1": State.HELD}
    assert why(world, "INV-1") == ["its case PO-1 is not complete; it lacks goodsReceipt"]
    assert platform.stored() == ()
    assert set(run(world, receipt()).values()) == {State.RECEIPTED}
    assert [stored.deliveries for stored in platform.stored()] == [1, 1, 1]
    assert verify(world.path).whole


def test_a_complete_case_leaves_at_once_and_a_document_of_another_does_not(world: World) -> None:
    other = order("PO-9", [Line(quantity="5")])
    assert run(world, *CASE, other) == {
        "PO-1": State.RECEIPTED,
        "INV-1": State.RECEIPTED,
        "GR-1": State.RECEIPTED,
        "PO-9": State.HELD,
    }
    (job,) = [job for job in world.jobs() if _key(job) == "PO-1"]
    assert [type(fact) for fact in job.facts] == STRAIGHT, "checked once"


def test_send_lets_go_what_was_read_meanwhile(world: World) -> None:
    run(world, order(), invoice())
    read(world, receipt())
    assert {state(job) for job in world.send()} == {State.RECEIPTED}


def test_what_left_is_neither_checked_nor_sent_again(world: World, platform: Platform) -> None:
    run(world, *CASE)
    before = world.jobs()
    assert world.send() == before
    late = receipt("GR-2", [Line(quantity="50")])
    run(world, late)
    assert [job for job in world.jobs() if _key(job) != "GR-2"] == before
    assert {stored.deliveries for stored in platform.stored()} == {1}


def test_a_blocked_document_completes_no_case_though_it_is_read_last(world: World, platform: Platform) -> None:
    wrong = invoice(totalAmount=Decimal(7))
    assert run(world, order(), receipt(), wrong) == {
        "PO-1": State.HELD,
        "GR-1": State.HELD,
        "INV-1": State.BLOCKED,
    }
    assert why(world, "PO-1") == ["its case PO-1 is not complete; it lacks foreignInvoice"]
    assert platform.stored() == ()


def test_a_corrected_document_takes_the_place_of_the_blocked_one(world: World) -> None:
    run(world, order(), receipt(), invoice(totalAmount=Decimal(7)))
    run(world, invoice())
    assert sorted(state(job) for job in world.jobs()) == [State.BLOCKED, *[State.RECEIPTED] * 3]


def test_a_declined_document_does_not_complete_a_case(world: World) -> None:
    run(world, order(), invoice())
    with world.pipeline() as pipeline:
        (id,) = pipeline.archive.documents(format="foreignInvoice")
        shown = pipeline.archive.job(id).last
        assert isinstance(shown, Verdict)
        pipeline.decide(id, lambda v: approval.decline(v, shown=shown.document, by="x", reason="wrong"))
    assert run(world, receipt()) == {"PO-1": State.HELD, "INV-1": State.DECLINED, "GR-1": State.HELD}


def test_a_person_may_let_a_document_go_before_its_case_is_complete(world: World) -> None:
    run(world, order())
    with world.pipeline() as pipeline:
        (id,) = pipeline.archive.documents()
        shown = pipeline.archive.job(id).last
        assert isinstance(shown, Verdict)
        pipeline.decide(id, lambda v: approval.by_person(v, shown=shown.document, by="x", reason="urgent"))
        assert state(pipeline.advance(id)) is State.RECEIPTED


def test_a_policy_that_does_not_ask_for_it_lets_an_incomplete_case_go(world: World) -> None:
    world.policy = AT_ONCE
    assert run(world, order()) == {"PO-1": State.RECEIPTED}
    assert why(world, "PO-1") == []


def test_a_case_in_a_zone_waits_for_the_bonded_three_if_the_policy_makes_them_an_error(world: World) -> None:
    in_zone = [
        replace(p, document=replace(p.document, header={**p.document.header, "inSpecialZone": "1"})) for p in CASE
    ]
    world.policy = COMPLETE.model_copy(update={"severities": {"OBL-7": Severity.ERROR}})
    assert set(run(world, *in_zone).values()) == {State.HELD}
    assert why(world, "PO-1") == ["its case PO-1 is not complete; it lacks bondedTransfer, stockOut, bondedGateOut"]
    world.policy = COMPLETE
    assert {state(job) for job in world.send()} == {State.RECEIPTED}


# --- findings in the verdict ----------------------------------------------------------------------------------------

SHORT = (order(), invoice(), receipt(lines=[Line(quantity="60")]))


def test_a_mismatch_is_in_the_verdicts_of_both_and_holds_both(world: World) -> None:
    world.policy = AT_ONCE
    assert run(world, *SHORT) == {"PO-1": State.RECEIPTED, "INV-1": State.HELD, "GR-1": State.HELD}
    for key in ("INV-1", "GR-1"):
        assert [(f.code, f.severity) for f in found(world, key)] == [("CHK-15", Severity.WARNING)]
        assert why(world, key) == ["1 warning(s)"]


def test_the_rest_of_the_goods_settles_the_mismatch_and_lets_both_go(world: World, platform: Platform) -> None:
    world.policy = AT_ONCE
    run(world, *SHORT)
    rest = receipt("GR-2", [Line(quantity="40")])
    assert set(run(world, rest).values()) == {State.RECEIPTED}
    assert found(world, "INV-1") == ()
    (job,) = [job for job in world.jobs() if _key(job) == "INV-1"]
    assert [type(fact) for fact in job.facts[:4]] == [STRAIGHT[0], Verdict, Verdict, Approval], "both verdicts are kept"
    assert {stored.deliveries for stored in platform.stored()} == {1}


def test_a_policy_that_allows_warnings_lets_a_mismatch_go_with_the_finding_in_the_log(world: World) -> None:
    world.policy = LENIENT
    assert set(run(world, *SHORT).values()) == {State.RECEIPTED}
    assert [f.code for f in found(world, "GR-1")] == ["CHK-15"]


def test_a_policy_may_make_a_mismatch_block(world: World) -> None:
    world.policy = LENIENT.model_copy(update={"severities": {"CHK-15": Severity.ERROR}})
    assert run(world, *SHORT) == {"PO-1": State.RECEIPTED, "INV-1": State.BLOCKED, "GR-1": State.BLOCKED}
    assert set(run(world, receipt("GR-2", [Line(quantity="40")])).values()) == {State.RECEIPTED}


def test_what_is_only_strange_holds_nothing_unless_the_policy_says_so(world: World) -> None:
    twins = order("PO-1"), order("PO-2")
    world.policy = AT_ONCE
    assert set(run(world, *twins).values()) == {State.RECEIPTED}
    assert [f.code for f in found(world, "PO-2")] == ["ANL-2"]


def test_what_was_read_since_is_compared_as_well(world: World) -> None:
    world.policy = AT_ONCE
    with world.pipeline() as pipeline:
        (first,) = pipeline.harvest(JobId("run/2"), PLAN, seeing(frozen(1))).documents
        pipeline.advance(first)
        (second,) = pipeline.harvest(JobId("run/3"), PLAN, seeing(frozen(2))).documents
        verdict = pipeline.advance(second).facts[1]
    assert isinstance(verdict, Verdict)
    assert [(f.code, f.values["other"]) for f in verdict.findings] == [("ANL-2", "purchaseOrder PO-1")]


def test_a_policy_may_hold_what_is_only_strange(world: World) -> None:
    careful = AT_ONCE.automatic["purchaseOrder"].model_copy(update={"analyses": "hold"})
    world.policy = Policy(automatic={"purchaseOrder": careful})
    assert set(run(world, order("PO-1"), order("PO-2")).values()) == {State.HELD}
    assert why(world, "PO-2") == ["1 warning(s)"]


def test_a_document_that_cannot_be_decoded_any_more_does_not_stop_the_others(world: World) -> None:
    run(world, order())
    without = {name: format for name, format in FORMATS.items() if name != "purchaseOrder"}
    read(world, invoice(), receipt())
    world.policy = AT_ONCE
    with world.pipeline() as pipeline:
        pipeline.formats = without
        for format in ("foreignInvoice", "goodsReceipt"):
            (id,) = pipeline.archive.documents(format=format)
            assert state(pipeline.advance(id)) is State.RECEIPTED


# --- crashes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(13))
def test_a_crash_while_a_case_is_let_go_loses_nothing_and_sends_nothing_twice(
    world: World, platform: Platform, at: int
) -> None:
    run(world, order(), invoice())
    read(world, receipt())
    world.at = at
    with pytest.raises(Crash):
        world.send()
    world.send()
    assert {state(job) for job in world.send()} == {State.RECEIPTED}
    assert [stored.deliveries for stored in platform.stored()] == [1, 1, 1]
    assert verify(world.path).whole
