"""From frozen pages to receipts, with a real archive, a real key and the sandbox platform; then with trouble of all
kinds, and with a crash before and after every append.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from scraper_agent import accounts, approval, canonical, completeness, envelope, values
from scraper_agent.app import App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.archive.verify import verify
from scraper_agent.capture.replay import ReplayBrowser
from scraper_agent.errors import AgentError, BusinessError, NeedsPerson, PageError, SendFailed, SendUnknown
from scraper_agent.formats import FORMATS, PACKAGED
from scraper_agent.pipeline import Plan
from scraper_agent.policy import Limit, Policy
from scraper_agent.ports import Done, PersonNeeded, Sighting, Signer, Standing, Trouble
from scraper_agent.recipe import Login, Recipe, Target
from scraper_agent.sandbox.platform import Platform, Stored
from scraper_agent.sending import https
from scraper_agent.signing import keyfolder, sm2_file
from scraper_agent.values import (
    Approval,
    Attempt,
    Certificate,
    Cleared,
    Completeness,
    Delivered,
    Draft,
    Envelope,
    Failure,
    Fault,
    Job,
    JobId,
    ListRead,
    Outcome,
    Parked,
    Receipt,
    Refused,
    Relogin,
    Retry,
    RunEnded,
    RunStarted,
    Severity,
    Snapshot,
    State,
    Verdict,
    state,
)
from tests.world import (
    ACCOUNT,
    AK,
    NOW,
    PASSPHRASE,
    PLAN,
    RECIPE,
    RUN,
    STRAIGHT,
    Crash,
    CrashingArchive,
    World,
    frozen,
    page,
    seeing,
)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one real key; made once, for its passphrase is made hard to guess by slowness."""
    folder = tmp_path_factory.mktemp("keys")
    keyfolder.create(folder, SecretStr(PASSPHRASE), NOW)
    return folder


def platform_for(keys: Path) -> Platform:
    (entry,) = keyfolder.entries(keys)
    return Platform(lambda: NOW, {(AK, "01"): entry.public_key}, FORMATS, window=timedelta(days=1))


@pytest.fixture
def platform(keys: Path) -> Iterator[Platform]:
    with platform_for(keys) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, keys: Path, platform: Platform) -> Iterator[World]:
    config = https.Config(kind="https", url=platform.url, connect_timeout_s=2)
    with https.HttpsTransport(config) as transport:
        yield World(tmp_path, keys, transport, platform.public_keys)


def kinds(job: Job) -> list[type[values.Fact]]:
    return [type(fact) for fact in job.facts]


def only(kind: type[values.Fact], job: Job) -> list[values.Fact]:
    return [fact for fact in job.facts if isinstance(fact, kind)]


def deliveries(platform: Platform) -> list[int]:
    return [stored.deliveries for stored in platform.stored()]


# --- when nothing goes wrong ----------------------------------------------------------------------------------------


def test_a_page_becomes_a_receipt_in_six_facts(world: World, platform: Platform) -> None:
    (job,) = world.everything(frozen(1))
    assert kinds(job) == STRAIGHT
    draft, verdict, approved, sealed, attempt, receipt = job.facts
    assert isinstance(draft, Draft)
    assert (draft.run, draft.format, draft.key, draft.record) == (RUN, "purchaseOrder", "PO-1", "orders/1")
    assert verdict == Verdict(document=draft.document, findings=(), tables=PACKAGED.behind(FORMATS["purchaseOrder"]))
    assert approved == Approval(
        document=draft.document, granted=True, by="policy", reason="within the limits: 300 USD, 1 lines"
    )
    assert isinstance(sealed, Envelope)
    assert (sealed.document, sealed.key_index) == (draft.document, "01")
    assert attempt == Attempt(envelope=sealed.envelope, number=1)
    assert isinstance(receipt, Receipt)
    assert (receipt.envelope, receipt.accepted, receipt.remote_id) == (sealed.envelope, True, "SIM-000001")
    (stored,) = platform.stored()
    assert stored.document == world.body(draft.document), "the bytes that were read are the bytes that arrive"
    assert verify(world.path).whole


def test_the_run_tells_what_it_was_and_how_it_ended(world: World) -> None:
    refused = Refused(method="POST", url="http://erp.example/save", reason="not permitted by the recipe")
    world.everything(refused, ListRead(name="orders", declared=2, harvested=2, pages=1), frozen(1), frozen(2))
    run = world.run()
    assert kinds(run) == [RunStarted, Refused, ListRead, Snapshot, Snapshot, RunEnded]
    started = run.facts[0]
    assert isinstance(started, RunStarted)
    assert world.body(started.recipe) == PLAN.recipe_source
    assert world.body(started.policy) == PLAN.policy_source
    assert run.last == RunEnded(complete=True, documents=2, faults=0)


def test_a_list_that_was_not_read_to_its_end_makes_the_run_incomplete(world: World) -> None:
    world.everything(ListRead(name="orders", declared=2, harvested=1, pages=1), frozen(1))
    assert world.run().last == RunEnded(complete=False, documents=1, faults=0)


def test_documents_from_a_list_below_the_policy_are_held_until_a_better_run(world: World, platform: Platform) -> None:
    short = ListRead(name="orders", declared=2, harvested=1, pages=1)
    (job,) = world.everything(short, frozen(1))
    assert kinds(job) == [Draft, Verdict]
    with world.pipeline() as pipeline:
        assert pipeline.held_because(job) == (
            (
                "the list {name} is {seen}; the policy asks for {expected}",
                {"name": "orders", "seen": "unproved", "expected": "plausible"},
            ),
        )
        assert pipeline.lists(job) == (short,)
        assert [state(pipeline.advance(id)) for id in pipeline.archive.documents()] == [State.HELD]
    with world.pipeline() as pipeline:
        whole = seeing(ListRead(name="orders", declared=1, harvested=1, pages=1), frozen(1))
        pipeline.harvest(JobId("run/2"), PLAN, whole)
        assert state(pipeline.advance(job.id)) is State.RECEIPTED
    assert len(platform.stored()) == 1


def test_the_account_is_logged_as_a_digest_only(world: World) -> None:
    world.everything(frozen(1))
    started = world.run().facts[0]
    assert isinstance(started, RunStarted)
    assert started.parameters == {"base": "http://erp.example", "user": canonical.digest(ACCOUNT.encode())}
    with SqliteArchive(world.path, lambda: NOW, read_only=True) as archive:
        assert not [entry for entry in archive.entries() if ACCOUNT in str(entry.fact)]
    (job,) = world.jobs()
    assert world.header(job)["operatorAccountHash"] == canonical.sm3(ACCOUNT.encode()).hex()


def test_the_same_again_appends_facts_of_the_run_only_and_sends_nothing(world: World, platform: Platform) -> None:
    before = world.everything(frozen(1), frozen(2))
    again = world.everything(frozen(1), frozen(2))
    assert again == before
    assert kinds(world.run())[4:] == [RunStarted, Snapshot, Snapshot, RunEnded]
    assert deliveries(platform) == [1, 1]


def test_recorded_pages_are_read_like_living_ones(world: World, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    for number in (1, 2):
        (tmp_path / "pages" / f"order-{number}.xhtml").write_bytes(frozen(number))
    with world.pipeline() as pipeline:
        found = pipeline.harvest(RUN, PLAN, ReplayBrowser(tmp_path / "pages"))
        jobs = [pipeline.advance(id) for id in found.documents]
    assert [kinds(job) for job in jobs] == [STRAIGHT, STRAIGHT]


def test_one_record_read_twice_makes_the_run_incomplete(world: World) -> None:
    assert not world.harvest(frozen(1), frozen(1)).complete
    assert len(world.jobs()) == 1


def test_a_dry_run_reads_and_checks_and_signs_nothing(world: World, platform: Platform) -> None:
    with world.pipeline() as pipeline:
        found = pipeline.harvest(RUN, replace(PLAN, dry_run=True), seeing(frozen(1), frozen(2, total="1.00")))
        jobs = [pipeline.check(id) for id in found.documents]
        assert [pipeline.check(id) for id in found.documents] == jobs
    assert [kinds(job) for job in jobs] == [[Draft, Verdict], [Draft, Verdict]]
    assert [state(job) for job in jobs] == [State.HELD, State.BLOCKED]
    started = world.run().facts[0]
    assert isinstance(started, RunStarted)
    assert started.dry_run
    assert platform.stored() == ()


def test_a_run_stops_after_the_most_documents_and_says_so(world: World) -> None:
    found = world.harvest(frozen(1), frozen(2), frozen(3), plan=replace(PLAN, most_documents=2))
    assert (len(found.documents), found.complete) == (2, False)
    assert kinds(world.run()) == [RunStarted, Snapshot, Snapshot, RunEnded]


def test_whoever_watches_hears_of_every_fact_once_it_is_durable(world: World) -> None:
    heard: list[tuple[JobId, values.Fact]] = []
    with world.pipeline() as pipeline:

        def watch(id: JobId, fact: values.Fact) -> None:
            assert pipeline.archive.job(id).last == fact
            heard.append((id, fact))

        pipeline.watch = watch
        for id in pipeline.harvest(RUN, PLAN, seeing(frozen(1))).documents:
            pipeline.advance(id)
    with SqliteArchive(world.path, lambda: NOW, read_only=True) as archive:
        assert heard == [(entry.job, entry.fact) for entry in archive.entries()]


# --- who says yes ---------------------------------------------------------------------------------------------------


def test_a_broken_rule_stops_before_approval(world: World, platform: Platform) -> None:
    (job,) = world.everything(frozen(1, total="301.00"))
    assert kinds(job) == [Draft, Verdict]
    assert isinstance(job.last, Verdict)
    assert [(f.code, f.severity) for f in job.last.findings] == [("CHK-05", Severity.ERROR)]
    assert world.send() == [job]
    assert platform.stored() == ()


def test_what_is_no_value_of_its_field_blocks_and_is_told_once(world: World) -> None:
    (job,) = world.everything(frozen(1, total="面议"))
    assert isinstance(job.last, Verdict)
    assert [(f.code, f.field) for f in job.last.findings] == [("SA2302", "totalAmount")]


def held(world: World, record: int = 1) -> Job:
    (job,) = world.everything(frozen(record, price="100.00"))
    assert state(job) is State.HELD
    return job


def test_what_is_above_the_limit_waits_for_a_person_and_says_why(world: World, platform: Platform) -> None:
    job = held(world)
    with world.pipeline() as pipeline:
        assert pipeline.held_because(job) == (
            (
                "{seen} {currency} is above the limit of {limit}",
                {"seen": "3000", "currency": "USD", "limit": "1000"},
            ),
        )
    assert world.send() == [job]
    assert platform.stored() == ()


def decided(world: World, job: Job, decision: Callable[[Verdict], Approval]) -> Job:
    with world.pipeline() as pipeline:
        return pipeline.decide(job.id, decision)


def test_what_a_person_approves_leaves(world: World, platform: Platform) -> None:
    job = held(world)
    shown = job.facts[0]
    assert isinstance(shown, Draft)
    approved = decided(world, job, lambda v: approval.by_person(v, shown=shown.document, by="li", reason="seen"))
    assert kinds(approved) == [Draft, Verdict, Approval]
    (sent,) = world.send()
    assert kinds(sent) == STRAIGHT
    assert sent.facts[2] == Approval(document=shown.document, granted=True, by="person:li", reason="seen")
    assert deliveries(platform) == [1]


def test_what_a_person_declines_never_leaves(world: World, platform: Platform) -> None:
    job = held(world)
    shown = job.facts[0]
    assert isinstance(shown, Draft)
    declined = decided(world, job, lambda v: approval.decline(v, shown=shown.document, by="li", reason="wrong price"))
    assert state(declined) is State.DECLINED
    assert world.send() == [declined]
    assert world.everything(frozen(1, price="100.00")) == [declined]
    assert platform.stored() == ()


@pytest.mark.parametrize("known", [True, False])
def test_a_job_that_does_not_wait_takes_no_decision(world: World, known: bool) -> None:
    (job,) = world.everything(frozen(1))
    wanted = job if known else Job(id=JobId("doc/purchaseOrder/00"))
    with pytest.raises(BusinessError) as refused:
        decided(world, wanted, lambda _: pytest.fail("asked"))
    assert refused.value.code == ("SA6005" if known else "SA6004")
    assert world.jobs() == [job]


def test_what_waits_is_approved_once_the_policy_allows_it(world: World) -> None:
    held(world)
    world.policy = Policy(automatic={"purchaseOrder": Limit(amounts={"USD": Decimal(5000)})})
    (job,) = world.everything(frozen(1, price="100.00"))
    assert kinds(job) == STRAIGHT


def test_two_records_with_one_number_block_each_other(world: World, platform: Platform) -> None:
    jobs = world.everything(frozen(1, number="PO-7"), frozen(2, number="PO-7"))
    assert [state(job) for job in jobs] == [State.BLOCKED, State.BLOCKED]
    for job, other in zip(jobs, ("orders/2", "orders/1"), strict=True):
        assert isinstance(job.last, Verdict)
        assert [(f.code, f.values["others"]) for f in job.last.findings] == [("CHK-03", other)]
    assert platform.stored() == ()


def test_a_number_taken_later_blocks_what_still_waits_for_a_person(world: World) -> None:
    first = held(world)
    second, again = world.everything(frozen(2, number="PO-1"), frozen(1, price="100.00"))
    assert (again.id, state(again), state(second)) == (first.id, State.BLOCKED, State.BLOCKED)
    assert kinds(again) == [Draft, Verdict, Verdict]


def test_a_document_is_checked_again_when_it_is_read_again(world: World) -> None:
    """A number that was given up: the other record's newest version is stopped, and no longer counts."""
    first, second = world.everything(frozen(1, number="PO-7"), frozen(2, number="PO-7"))
    with world.pipeline() as pipeline:
        stopped = Failure(stage="sign", message="superseded by doc/purchaseOrder/0")
        pipeline.archive.append(second.id, len(second.facts), stopped)
    (again,) = world.everything(frozen(1, number="PO-7"))
    assert again.id == first.id
    assert kinds(again) == [Draft, Verdict, *STRAIGHT[1:]]


def test_a_document_of_a_format_that_was_redefined_is_told_of(world: World) -> None:
    job = held(world)
    with world.pipeline() as pipeline:
        pipeline.formats = {}
        with pytest.raises(BusinessError, match="SA6007"):
            pipeline.held_because(job)
        with pytest.raises(BusinessError, match="SA6007"):
            pipeline.advance(job.id)


# --- versions -------------------------------------------------------------------------------------------------------


def test_a_record_changed_after_it_was_accepted_is_sent_as_a_change(world: World, platform: Platform) -> None:
    (first,) = world.everything(frozen(1))
    (second,) = world.everything(frozen(1, supplier="ACME Ltd"))
    assert [kinds(job) for job in world.jobs()] == [STRAIGHT, STRAIGHT]
    assert [world.header(job)["actionType"] for job in (first, second)] == ["1", "2"]
    assert len({stored.key for stored in platform.stored()}) == 2


def test_a_record_changed_after_it_was_refused_is_new_to_the_receiver(world: World, platform: Platform) -> None:
    platform.refuse_next("缺少币制")
    (first,) = world.everything(frozen(1))
    (second,) = world.everything(frozen(1, supplier="ACME Ltd"))
    assert [state(job) for job in world.jobs()] == [State.REJECTED, State.RECEIPTED]
    assert [world.header(job)["actionType"] for job in (first, second)] == ["1", "1"]


def test_a_record_changed_back_is_a_third_version(world: World, platform: Platform) -> None:
    first, second, third = (world.everything(frozen(1, supplier=name))[0] for name in ("ACME", "ACME Ltd", "ACME"))
    assert len({first.id, second.id, third.id}) == 3
    assert kinds(third) == STRAIGHT
    assert world.header(third)["actionType"] == "2"
    assert world.everything(frozen(1, supplier="ACME")) == [third], "and reading it again makes no fourth"
    (fourth,) = world.everything(frozen(1, supplier="ACME Ltd"))
    assert fourth.id not in {first.id, second.id, third.id}
    assert deliveries(platform) == [1, 1, 1, 1]


def test_a_changed_record_stops_its_older_version_that_has_not_left(world: World, platform: Platform) -> None:
    old = held(world)
    (new,) = world.everything(frozen(1))
    assert kinds(new) == STRAIGHT
    assert world.header(new)["actionType"] == "1", "the receiver has never heard of it"
    stopped = world.jobs()[0]
    assert stopped.id == old.id
    assert stopped.last == Failure(stage="sign", message=f"superseded by {new.id}")
    assert len(platform.stored()) == 1


def test_a_change_of_one_record_leaves_another_of_the_same_number_alone(world: World) -> None:
    one, two = world.everything(frozen(1, number="PO-7"), frozen(2, number="PO-7"))
    world.everything(frozen(2, number="PO-7", supplier="ACME Ltd"))
    assert [state(job) for job in world.jobs()] == [State.BLOCKED, State.STOPPED, State.BLOCKED]
    assert [job.id for job in world.jobs()][:2] == [one.id, two.id]


def test_a_declined_version_stays_declined(world: World) -> None:
    job = held(world)
    document = job.facts[0].document  # type: ignore[union-attr]
    decided(world, job, lambda v: approval.decline(v, shown=document, by="li", reason="wrong"))
    world.everything(frozen(1))
    assert state(world.jobs()[0]) is State.DECLINED


def test_a_change_names_the_version_that_it_replaces(world: World, platform: Platform) -> None:
    (first,) = world.everything(frozen(1))
    (second,) = world.everything(frozen(1, supplier="ACME Ltd"))
    draft = second.facts[0]
    assert isinstance(draft, Draft)
    assert draft.replaces == first.id
    assert world.header(second)["remark"] == f"变更 {world.header(first)['recordGuid']}"


def withdrawn(world: World, id: JobId, reason: str = "entered twice") -> Job:
    with world.pipeline() as pipeline:
        done = pipeline.withdraw(id, "li", reason)
        return pipeline.check(done.id)


def approve(world: World, job: Job) -> None:
    shown = job.facts[0].document  # type: ignore[union-attr]
    decided(world, job, lambda v: approval.by_person(v, shown=shown, by="wang", reason=""))


def test_what_was_accepted_is_withdrawn_by_a_version_that_a_person_approves(world: World, platform: Platform) -> None:
    (first,) = world.everything(frozen(1))
    withdrawal = withdrawn(world, first.id)
    assert kinds(withdrawal) == [Draft, Verdict]
    draft = withdrawal.facts[0]
    assert isinstance(draft, Draft)
    assert (draft.replaces, draft.withdrawn_by, draft.reason) == (first.id, "person:li", "entered twice")
    header, old = world.header(withdrawal), world.header(first)
    assert (header["actionType"], header["remark"]) == ("3", f"删除 {old['recordGuid']}")
    assert header["recordGuid"] != old["recordGuid"]
    same = header.keys() - {"actionType", "remark", "recordGuid", "reportDateTime"}
    assert {id: header[id] for id in same} == {id: old[id] for id in same}
    assert [state(job) for job in world.send()] == [State.RECEIPTED, State.HELD], "the policy alone lets none leave"
    with world.pipeline() as pipeline:
        assert pipeline.held_because(withdrawal) == (
            ("it withdraws what the receiver has: {reason}", {"reason": "entered twice"}),
        )
    approve(world, withdrawal)
    assert [kinds(job) for job in world.send()] == [STRAIGHT, STRAIGHT]
    assert len({stored.key for stored in platform.stored()}) == 2


def test_what_was_withdrawn_is_not_sent_anew_while_the_erp_still_shows_it(world: World, platform: Platform) -> None:
    (first,) = world.everything(frozen(1))
    approve(world, withdrawn(world, first.id))
    world.send()
    assert [job.id for job in world.everything(frozen(1))] == [world.jobs()[1].id]
    assert deliveries(platform) == [1, 1]
    (new,) = world.everything(frozen(1, supplier="ACME Ltd"))
    assert world.header(new)["actionType"] == "1", "the receiver has deleted the other"
    assert state(new) is State.RECEIPTED


def test_a_record_that_changes_before_its_withdrawal_left_stops_the_withdrawal(world: World) -> None:
    (first,) = world.everything(frozen(1))
    withdrawn(world, first.id)
    (new,) = world.everything(frozen(1, supplier="ACME Ltd"))
    assert [state(job) for job in world.jobs()] == [State.RECEIPTED, State.STOPPED, State.RECEIPTED]
    assert new.facts[0].replaces == first.id  # type: ignore[union-attr]
    assert world.header(new)["actionType"] == "2"


def test_a_declined_withdrawal_leaves_everything_as_it_was_and_may_be_made_again(world: World) -> None:
    (first,) = world.everything(frozen(1))
    one = withdrawn(world, first.id)
    shown = one.facts[0].document  # type: ignore[union-attr]
    decided(world, one, lambda v: approval.decline(v, shown=shown, by="wang", reason="no"))
    assert world.everything(frozen(1)) == [first]
    two = withdrawn(world, first.id)
    assert (two.id != one.id, state(two)) == (True, State.HELD)


def test_what_has_not_left_is_stopped(world: World, platform: Platform) -> None:
    job = held(world)
    with world.pipeline() as pipeline:
        stopped = pipeline.withdraw(job.id, "li", "entered twice")
    assert stopped.last == Failure(stage="sign", message="withdrawn by person:li: entered twice")
    assert world.everything(frozen(1, price="100.00")) == [stopped], "and stays so when it is read again"
    platform.stop()
    waiting = world.everything(frozen(2))[0]
    with world.pipeline() as pipeline:
        assert pipeline.withdraw(waiting.id, "li", "x").last == Failure(
            stage="send", message="withdrawn by person:li: x"
        )
    assert platform.stored() == ()


@pytest.mark.parametrize(
    ("trouble", "reason", "code"),
    [("unknown", "x", "SA6012"), ("", " ", "SA6010"), ("newer", "x", "SA6011"), ("refused", "x", "SA6013")],
)
def test_what_cannot_be_withdrawn_is_told_why(
    world: World, platform: Platform, trouble: str, reason: str, code: str
) -> None:
    if trouble == "unknown":
        platform.lose_next_answer()
    if trouble == "refused":
        platform.refuse_next("缺少币制")
    (job,) = world.everything(frozen(1))
    if trouble == "unknown":
        platform.stop()
    if trouble == "newer":
        world.everything(frozen(1, supplier="ACME Ltd"))
    before = len(world.jobs())
    with world.pipeline() as pipeline, pytest.raises(BusinessError) as caught:
        pipeline.withdraw(job.id, "li", reason)
    assert caught.value.code == code
    assert len(world.jobs()) == before


def new_version_after_a_crash(world: World, old: Job) -> Job:
    """The newer version is drafted, and the machine stops before the older one is told."""
    world.at, world.after = 2, True  # RunStarted, Snapshot, Draft
    with pytest.raises(Crash):
        world.harvest(frozen(1, supplier="ACME Ltd"))
    old_again, new = world.jobs()
    assert (old_again, kinds(new)) == (old, [Draft])
    return new


@pytest.mark.parametrize("stage", ["approved", "signed", "waiting"])
def test_an_older_version_does_not_leave_whatever_stage_it_had_reached(
    world: World, platform: Platform, stage: str
) -> None:
    """The guard of `advance` alone: the crash kept `harvest` from stopping the older version itself."""
    if stage == "waiting":
        platform.stop()
        (old,) = world.everything(frozen(1))
        platform.start()
    else:
        world.at, world.after = 5 if stage == "approved" else 6, True
        with pytest.raises(Crash):
            world.everything(frozen(1))
        (old,) = world.jobs()
    assert state(old) == stage
    new = new_version_after_a_crash(world, old)
    with world.pipeline() as pipeline:
        stopped = pipeline.advance(old.id)
    wanted = "sign" if stage == "approved" else "send"
    assert stopped.last == Failure(stage=wanted, message=f"superseded by {new.id}")  # type: ignore[arg-type]
    assert platform.stored() == ()


def test_the_guard_of_harvest_stops_an_older_version_by_itself(world: World, platform: Platform) -> None:
    """Without `advance`: the same crash, and then the record is only read again."""
    old = held(world)
    new = new_version_after_a_crash(world, old)
    world.harvest(frozen(1, supplier="ACME Ltd"))
    assert world.jobs()[0].last == Failure(stage="sign", message=f"superseded by {new.id}")


def test_a_change_asks_first_whether_the_earlier_version_arrived(world: World, platform: Platform) -> None:
    platform.lose_next_answer()
    (old,) = world.everything(frozen(1))
    assert state(old) is State.UNKNOWN
    (new,) = world.everything(frozen(1, supplier="ACME Ltd"))
    assert world.header(new)["actionType"] == "2"
    assert [state(job) for job in world.jobs()] == [State.RECEIPTED, State.RECEIPTED]


def test_a_change_waits_while_nobody_knows_whether_the_earlier_version_arrived(
    world: World, platform: Platform
) -> None:
    platform.lose_next_answer()
    (old,) = world.everything(frozen(1))
    platform.stop()
    found = world.harvest(frozen(1, supplier="ACME Ltd"))
    assert (found.documents, found.faults, found.complete) == ({}, 1, False)
    (fault,) = only(Fault, world.run())
    assert isinstance(fault, Fault)
    assert fault.code == "SA6006"
    assert world.jobs() == [old]
    platform.start()
    (new,) = world.everything(frozen(1, supplier="ACME Ltd"))
    assert world.header(new)["actionType"] == "2"


# --- trouble on the way ---------------------------------------------------------------------------------------------


def test_what_the_platform_refuses_is_rejected_with_its_reason(world: World, platform: Platform) -> None:
    platform.refuse_next("缺少币制")
    (job,) = world.everything(frozen(1))
    assert kinds(job) == STRAIGHT
    assert isinstance(job.last, Receipt)
    assert (job.last.accepted, job.last.message) == (False, "缺少币制")
    assert state(job) is State.REJECTED
    assert world.send() == [job]


@dataclass
class Queue:
    """What is put in lies there until the platform takes it; its answers stay where they came in."""

    platform: Platform
    taking: bool = True
    repeat: Literal["safe"] = "safe"
    letters: list[tuple[bytes, str]] = field(default_factory=list)
    answer: bytes | None = None

    def send(self, envelope: bytes, *, key: str) -> None:
        self.letters.append((envelope, key))

    def find(self, key: str) -> bytes | Standing:
        if self.taking and self.letters:
            _, self.answer = self.platform.receive(*self.letters.pop())
        return self.answer or Standing.UNKNOWN

    def close(self) -> None:
        pass


def test_what_lay_too_long_on_its_way_is_signed_anew_and_an_answer_counts_once(keys: Path, tmp_path: Path) -> None:
    late = [NOW + timedelta(hours=1)]
    (entry,) = keyfolder.entries(keys)
    with Platform(lambda: late[0], {(AK, "01"): entry.public_key}, FORMATS) as platform:
        queue = Queue(platform)
        world = World(tmp_path, keys, queue, platform.public_keys)
        world.everything(frozen(1))
        (job,) = world.send()
        assert kinds(job) == [*STRAIGHT[:5], Delivered, Retry]
        assert isinstance(job.last, Retry)
        assert (job.last.cause, job.last.answer) == ("refused", canonical.digest(queue.answer or b""))
        queue.taking = False
        world.later(timedelta(hours=1))
        (job,) = world.send()
        assert kinds(job)[7:] == [Envelope, Attempt, Delivered]
        assert world.send() == [job], "the old answer says nothing of the new request"
        queue.taking = True
        (job,) = world.send()
        assert (kinds(job)[10:], state(job)) == ([Receipt], State.RECEIPTED)
        assert deliveries(platform) == [1]


def test_what_was_handed_over_and_is_not_there_is_sent_again_by_a_person(keys: Path, tmp_path: Path) -> None:
    with platform_for(keys) as platform:
        queue = Queue(platform, taking=False)
        world = World(tmp_path, keys, queue, platform.public_keys)
        (job,) = world.everything(frozen(1))
        queue.letters.clear()
        with world.pipeline() as pipeline:
            with pytest.raises(BusinessError, match="SA6009"):
                pipeline.resend(job.id, "li")
            pipeline.resend(job.id, "li", absent=True)
        queue.taking = True
        world.send()
        (job,) = world.send()
        assert state(job) is State.RECEIPTED
        assert deliveries(platform) == [1]


def test_what_cannot_be_delivered_waits_and_is_delivered_later(world: World, platform: Platform) -> None:
    platform.stop()
    (job,) = world.everything(frozen(1))
    assert kinds(job) == [*STRAIGHT[:5], Retry]
    assert isinstance(job.last, Retry)
    assert job.last.reason.startswith(f"no connection to {platform.url}: ")
    assert world.doubts == ["SA4020"]
    platform.start()
    assert world.send() == [job], "not yet"
    world.later()
    (job,) = world.send()
    assert kinds(job) == [*STRAIGHT[:5], Retry, Attempt, Receipt]
    assert job.facts[6] == replace(job.facts[4], number=2)  # type: ignore[arg-type]
    assert deliveries(platform) == [1]


def test_while_one_is_under_way_the_next_is_signed(world: World, platform: Platform) -> None:
    heard: list[tuple[JobId, str]] = []
    with world.pipeline() as pipeline:
        first, second, third = pipeline.harvest(RUN, PLAN, seeing(*map(frozen, range(1, 4)))).documents
        pipeline.watch = lambda id, fact: heard.append((id, type(fact).__name__))
        App.advance(None, pipeline, [first, second, third])  # type: ignore[arg-type] # it needs nothing of the App
    assert heard.index((second, "Envelope")) < heard.index((first, "Receipt")) < heard.index((third, "Envelope"))
    assert {state(job) for job in world.send()} == {State.RECEIPTED}
    assert deliveries(platform) == [1, 1, 1]


def test_what_has_left_is_waited_for_though_a_person_is_needed_for_the_next(world: World, platform: Platform) -> None:
    with world.pipeline() as pipeline:
        first, second = pipeline.harvest(RUN, PLAN, seeing(frozen(1), frozen(2))).documents

        def locked() -> Signer:
            raise NeedsPerson("SA7001", "locked")

        def each() -> Iterator[JobId]:
            yield first
            pipeline.signer = locked
            yield second

        with pytest.raises(NeedsPerson):
            App.advance(None, pipeline, each())  # type: ignore[arg-type] # it needs nothing of the App
        assert [state(pipeline.archive.job(id)) for id in (first, second)] == [State.RECEIPTED, State.APPROVED]


def test_after_some_failures_in_a_row_the_rest_waits(world: World, platform: Platform) -> None:
    platform.stop()
    with world.pipeline() as pipeline:
        ids = pipeline.harvest(RUN, PLAN, seeing(*map(frozen, range(1, 8)))).documents
        stopped = App.advance(None, pipeline, ids)  # type: ignore[arg-type] # it needs nothing of the App
        jobs = [pipeline.archive.job(id) for id in ids]
    assert [error.code for error in stopped] == ["SA4020"] * 5
    assert [state(job) for job in jobs] == [State.WAITING] * 5 + [State.SIGNED] * 2
    platform.start()
    assert [state(job) for job in world.send()] == [State.WAITING] * 5 + [State.SIGNED] * 2, "by another process, too"
    world.later()
    assert {state(job) for job in world.send()} == {State.RECEIPTED}


def test_a_lost_answer_is_asked_for_and_the_document_stored_once(world: World, platform: Platform) -> None:
    platform.lose_next_answer()
    (job,) = world.everything(frozen(1))
    assert state(job) is State.UNKNOWN
    assert world.doubts == ["SA4022"]
    (job,) = world.send()
    assert kinds(job) == STRAIGHT
    assert deliveries(platform) == [1]


def test_a_lost_request_is_asked_for_and_sent_again(world: World, platform: Platform) -> None:
    platform.lose_next_request()
    assert [state(job) for job in world.everything(frozen(1))] == [State.UNKNOWN]
    (job,) = world.send()
    assert kinds(job) == [*STRAIGHT[:5], Retry, Attempt, Receipt]
    assert deliveries(platform) == [1]


def test_while_the_receiver_cannot_be_asked_nothing_is_sent_again(world: World, platform: Platform) -> None:
    platform.lose_next_answer()
    (job,) = world.everything(frozen(1))
    platform.stop()
    assert world.send() == [job]
    assert world.doubts == ["SA4020"]
    platform.start()
    assert [kinds(job) for job in world.send()] == [STRAIGHT]
    assert deliveries(platform) == [1]


def forged(platform: Platform, keys: Path, tmp_path: Path) -> bytes:
    """What a receipt of this document would be, signed by another."""
    mine = Path(tmp_path / "other")
    keyfolder.create(mine, SecretStr(PASSPHRASE), NOW)
    signer = sm2_file.Sm2FileSigner(
        sm2_file.Config(kind="file", folder=mine, key="01"), SecretStr(PASSPHRASE), lambda: NOW
    )
    answer = envelope.Answer(code="0000", msg="ok", key="0" * 64, digest="sm3:" + "0" * 64, accepted=True, id="1")
    return envelope.build_receipt(answer, signer, NOW)


@pytest.mark.parametrize(
    ("answer", "code"),
    [("garbage", "SA4005"), ("empty object", "SA4005"), ("another's signature", "SA4007"), ("another's", "SA4008")],
)
def test_an_answer_that_proves_nothing_does_not_advance(
    world: World, platform: Platform, keys: Path, tmp_path: Path, answer: str, code: str
) -> None:
    if answer == "another's":
        world.everything(frozen(2))
        lie = platform.stored()[0].receipt
    else:
        lies = {"garbage": b"<html>portal</html>", "empty object": b"{}"}
        lie = lies.get(answer) or forged(platform, keys, tmp_path)
    platform.answer_next_with(lie)
    (job,) = world.everything(frozen(1))
    assert kinds(job) == STRAIGHT[:5]
    assert world.doubts == [code]
    assert world.body(canonical.digest(lie)) == lie, "kept for whoever looks into it"
    sent = world.send()[-1]
    assert kinds(sent) == [*STRAIGHT[:5], Retry, Attempt, Receipt], "the platform has stored nothing under that answer"


def test_a_page_that_cannot_be_read_is_logged_with_its_bytes_and_the_run_goes_on(world: World) -> None:
    broken = frozen(2).replace("数量".encode(), "件数".encode())
    jobs = world.everything(frozen(1), broken, frozen(3))
    assert [job.facts[0].record for job in jobs] == ["orders/1", "orders/3"]  # type: ignore[union-attr]
    run = world.run()
    assert kinds(run) == [RunStarted, Snapshot, Snapshot, Fault, Snapshot, RunEnded]
    fault = run.facts[3]
    assert isinstance(fault, Fault)
    assert (fault.where, fault.code, fault.values["missing"]) == ("page order", "SA2004", "数量")
    assert fault.page is not None
    assert world.body(fault.page) == broken
    assert run.last == RunEnded(complete=False, documents=2, faults=1)


def test_a_record_without_an_identity_is_a_fault_of_its_page(world: World) -> None:
    world.everything(frozen(1).replace(b"/orders/1", b"/new"))
    (fault,) = only(Fault, world.run())
    assert isinstance(fault, Fault)
    assert fault.code == "SA2302"


def test_trouble_of_the_browser_is_logged_with_the_page_it_saw(world: World) -> None:
    error = AgentError("SA2208", "list {name}: row {number} has no link to open", name="orders", number=3)
    seen = page(b"<html>what was there", name="trouble")
    jobs = world.everything(Trouble(where="list orders, record 3", error=error, page=seen), frozen(1))
    assert [kinds(job) for job in jobs] == [STRAIGHT]
    run = world.run()
    assert kinds(run) == [RunStarted, Snapshot, Fault, Snapshot, RunEnded]
    fault = run.facts[2]
    assert isinstance(fault, Fault)
    assert (fault.where, fault.values) == ("list orders, record 3", {"name": "orders", "number": "3"})
    assert fault.page is not None
    assert world.body(fault.page) == seen.frozen


def needed(outcome: Outcome) -> PersonNeeded:
    return PersonNeeded(
        "SA2203", "the ERP refused the login; it says: {seen}", outcome=outcome, hint="hm", seen="wrong"
    )


def test_a_login_that_needs_a_person_parks_the_run_and_what_was_read_stays(world: World) -> None:
    error, seen = needed(Outcome.CAPTCHA), page(b"<html>what was there", name="trouble")
    with pytest.raises(NeedsPerson):
        world.harvest(frozen(1), Done("1"), Trouble(where="login", error=error, page=seen), error)
    assert kinds(world.run()) == [RunStarted, Snapshot, Snapshot, Parked], "no fault: nothing was wrong"
    parked = world.run().last
    assert isinstance(parked, Parked)
    assert (parked.outcome, parked.where, parked.code) == (Outcome.CAPTCHA, "login", "SA2203")
    assert (parked.values, parked.hint) == ({"seen": "wrong"}, "hm")
    assert parked.page is not None
    assert world.body(parked.page) == seen.frozen
    assert [kinds(job) for job in world.send()] == [STRAIGHT[:2]], "held: its lists have not been read to their ends"
    assert world.harvest(frozen(2, price="11.00")).complete, "the account does not rest"
    assert [kinds(job)[2:] for job in world.send()] == [STRAIGHT[2:], STRAIGHT[2:]]


def test_a_parked_run_goes_on_with_what_it_had_read(world: World) -> None:
    error = needed(Outcome.KICKED_OUT)
    with pytest.raises(NeedsPerson):
        world.harvest(frozen(1), Done("first"), frozen(2), error)
    asked: list[object] = []

    class Resuming:
        def harvest(self, recipe: Recipe, parameters: object, done: object = ()) -> Iterator[Sighting]:
            asked.append(done)
            yield page(frozen(3))

    with world.pipeline() as pipeline:
        found = pipeline.harvest(RUN, PLAN, Resuming())
        assert [pipeline.archive.job(id).facts[0].record for id in found.documents] == [  # type: ignore[union-attr]
            "orders/1",
            "orders/2",
            "orders/3",
        ]
    assert asked == [frozenset({"first"})]
    assert world.run().last == RunEnded(complete=True, documents=3, faults=0)


def test_a_run_that_was_parked_with_other_parameters_begins_anew(world: World) -> None:
    with pytest.raises(NeedsPerson):
        world.harvest(frozen(1), Done("first"), needed(Outcome.KICKED_OUT))
    other = replace(PLAN, parameters={**PLAN.parameters, "base": "http://other.example"})
    assert world.harvest(frozen(1), plan=other).documents.keys() == {job.id for job in world.jobs()}


@pytest.mark.parametrize("outcome", list(Outcome))
def test_an_account_that_a_login_endangers_rests_until_a_person_clears_it(world: World, outcome: Outcome) -> None:
    plan = replace(PLAN, recipe=RECIPE.model_copy(update={"login": Login(steps=(), done=Target(css="b"))}))
    with pytest.raises(PersonNeeded):
        world.harvest(needed(outcome), plan=plan)
    rests = outcome in (Outcome.WRONG_PASSWORD, Outcome.LOCKED_OUT)
    length = len(world.run().facts)
    if rests:
        with pytest.raises(NeedsPerson, match="SA7030"):
            world.harvest(frozen(1), plan=plan)
        assert len(world.run().facts) == length, "nothing began"
        someone_else = replace(plan, parameters={**plan.parameters, "user": "other"})
        world.harvest(frozen(1), plan=someone_else)
        with world.pipeline() as pipeline:
            job = accounts.job_id("test")
            pipeline.archive.append(job, pipeline.archive.length(job), Cleared(by="person:tester"))
    assert world.harvest(frozen(1), plan=plan).documents
    assert verify(world.path).whole


def test_lists_that_were_begun_anew_after_a_login_count_once(world: World) -> None:
    held = Certificate(state=Completeness.PROVED)
    lists = [ListRead(name="orders", declared=n, harvested=n, pages=1, certificate=held) for n in (1, 2, 3)]
    again = Relogin(where="steps", url="http://erp.example", number=1, void_lists=1)
    found = world.harvest(lists[0], lists[1], frozen(1), again, lists[2], frozen(2))
    assert found.complete
    assert list(completeness.counting(world.run().facts)) == [lists[0], lists[2]]
    with world.pipeline() as pipeline:
        assert [pipeline.lists(job) for job in world.jobs()] == [(lists[0], lists[2])] * 2


def test_an_erp_that_goes_away_is_told_of_in_the_log(world: World) -> None:
    with pytest.raises(AgentError, match="SA2201"):
        world.harvest(frozen(1), AgentError("SA2201", "the ERP cannot be reached at {url}", url="http://erp.example"))
    fault, ended = world.run().facts[-2:]
    assert isinstance(fault, Fault)
    assert (fault.where, fault.code, fault.values) == ("run", "SA2201", {"url": "http://erp.example"})
    assert ended == RunEnded(complete=False, documents=1, faults=1)


def test_the_browser_is_let_go_when_the_run_stops_early(world: World) -> None:
    closed: list[bool] = []
    kept: list[object] = []  # or else it would be let go with the last reference to it

    def two() -> Iterator[Sighting]:
        try:
            yield page(frozen(1))
            yield page(frozen(2))
        finally:
            closed.append(True)

    class Watched:
        def harvest(self, recipe: Recipe, parameters: object, done: object = ()) -> Iterator[Sighting]:
            sightings = two()
            kept.append(sightings)
            return sightings

    with world.pipeline() as pipeline:
        pipeline.harvest(RUN, replace(PLAN, most_documents=1), Watched())
        assert closed == [True]
    world.at = 1
    with pytest.raises(Crash), world.pipeline() as pipeline:
        pipeline.harvest(RUN, PLAN, Watched())
    assert closed == [True, True]


# --- crashes --------------------------------------------------------------------------------------------------------


LIST = ListRead(name="orders", declared=2, harvested=2, pages=1)
APPENDS = 16
"""Of the scenario: RunStarted, ListRead, two Snapshots, two Drafts, RunEnded, and five facts more of each document."""


def finished(world: World, platform: Platform, *sightings: bytes | Sighting) -> list[Job]:
    """Everything again, until nothing moves any more; nothing was lost, and nothing sent twice."""
    world.everything(*sightings)
    before = world.jobs()
    world.everything(*sightings)
    assert world.jobs() == before
    assert verify(world.path).problems == ()
    return before


def test_the_scenario_of_the_crashes_has_so_many_appends(world: World) -> None:
    with world.pipeline() as pipeline:
        for id in pipeline.harvest(RUN, PLAN, seeing(LIST, frozen(1), frozen(2))).documents:
            pipeline.advance(id)
        assert isinstance(pipeline.archive, CrashingArchive)
        assert pipeline.archive.appends == APPENDS + 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(APPENDS + 1))
def test_a_crash_at_any_append_loses_nothing_and_repeats_nothing(
    world: World, platform: Platform, at: int, after: bool
) -> None:
    world.at, world.after = at, after
    with pytest.raises(Crash):
        world.everything(LIST, frozen(1), frozen(2))
    assert verify(world.path).problems == ()
    assert verify(world.path).entries == at + after
    for job in finished(world, platform, LIST, frozen(1), frozen(2)):
        assert [kind for kind in kinds(job) if kind is not Retry][:5] == STRAIGHT[:5]
        assert state(job) is State.RECEIPTED
    assert deliveries(platform) == [1, 1]
    assert world.run().last == RunEnded(complete=True, documents=2, faults=0)


class Direct:
    """The platform itself behind a network whose troubles are a script; when it is used up, all is fine."""

    def __init__(self, platform: Platform, repeat: str, script: list[str]) -> None:
        self.platform = platform
        self.repeat = repeat
        self.script = script
        self.sends: list[str] = []

    def send(self, envelope: bytes, *, key: str) -> bytes:
        self.sends.append(key)
        what = self.script.pop(0) if self.script else "fine"
        if what == "refuse":
            raise SendFailed("SA4020", "no connection")
        if what == "garbage":
            return b"<html>"
        answer = b""
        if what not in {"not kept", "crash, not kept"}:
            _, answer = self.platform.receive(envelope, key)
        if what.startswith("crash"):
            raise Crash
        if what != "fine":
            raise SendUnknown("SA4022", "no answer")
        return answer

    def find(self, key: str) -> bytes | Standing:
        if self.repeat != "ask":
            return Standing.UNKNOWN
        what = self.script.pop(0) if self.script else "fine"
        if what == "refuse":
            raise SendFailed("SA4028", "cannot be asked")
        if what.startswith("crash"):
            raise Crash
        return b"<html>" if what == "garbage" else self.platform.answer_to(key) or Standing.ABSENT

    def close(self) -> None:
        pass


TROUBLE = ["fine", "refuse", "garbage", "kept", "not kept", "crash, kept", "crash, not kept"]


@given(script=st.lists(st.sampled_from(TROUBLE), max_size=5), repeat=st.sampled_from(["safe", "ask", "never"]))
@settings(max_examples=40, deadline=None)
def test_whatever_the_network_does(
    tmp_path_factory: pytest.TempPathFactory, keys: Path, script: list[str], repeat: str
) -> None:
    platform = platform_for(keys)
    transport = Direct(platform, repeat, list(script))
    world = World(tmp_path_factory.mktemp("world"), keys, transport, platform.public_keys)  # type: ignore[arg-type]
    for _ in range(2 * len(script) + 3):
        try:
            world.everything(frozen(1))
        except Crash:
            continue
        finally:
            world.later(timedelta(minutes=16))  # longer than any wait; and what was signed is too old by then
    (job,) = world.jobs()
    (draft,) = only(Draft, job)
    assert isinstance(draft, Draft)
    assert {sealed.document for sealed in only(Envelope, job)} == {draft.document}  # type: ignore[union-attr]
    assert len(transport.sends) <= len(only(Attempt, job)), "no send unlogged"
    assert len(set(transport.sends)) <= 1, "one key for every attempt"
    copies: tuple[Stored, ...] = platform.stored()
    if repeat != "safe":
        assert deliveries(platform) in ([], [1]), "never delivered twice"
    if state(job) is State.RECEIPTED:
        assert [stored.document for stored in copies] == [world.body(draft.document)]
    else:
        assert (repeat, state(job)) == ("never", State.UNKNOWN), "only a person can find out"
    assert verify(world.path).problems == ()
    platform.close()


CHILD = """
import sys
from pathlib import Path
from typing import Literal
from tests import world
world.child(*sys.argv[1:])
"""
KILLED_APPENDS = 9  # RunStarted, Snapshot, Draft, RunEnded, and five facts more of the document


def killed(world: World, url: str, at: int, *, after: bool) -> int:
    """Run the scenario as order number `world.folder.name`, killed; the child's return code."""
    world.folder.mkdir()
    arguments = [world.folder, world.keys, url, world.public_keys["01"], at, "after" if after else "before"]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, arguments)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert not done.stderr, done.stderr.decode()
    return done.returncode


def test_a_process_killed_at_any_append_loses_nothing_and_repeats_nothing(
    world: World, platform: Platform, tmp_path: Path
) -> None:
    """SIGKILL, no in-process exception: nothing is closed, rolled back or flushed. Each child has its own order."""
    points = [(at, after) for at in range(KILLED_APPENDS) for after in (False, True)]
    worlds = [replace(world, folder=tmp_path / str(n)) for n in range(1, len(points) + 1)]
    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(lambda w, p: killed(w, platform.url, p[0], after=p[1]), worlds, points))
    assert set(codes) == {-signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM}
    for number, (each, (at, after)) in enumerate(zip(worlds, points, strict=True), 1):
        report = verify(each.path)
        assert (report.problems, report.entries) == ((), at + after)
        (job,) = finished(each, platform, frozen(number))
        assert state(job) is State.RECEIPTED
    assert deliveries(platform) == [1] * len(points)


# --- the version of the ERP -----------------------------------------------------------------------------------------


def for_versions(**range: str) -> Plan:
    shown = {"css": "#code", "pattern": r"^S-([\w.]+)$", "optional": True}
    told = {**RECIPE.model_dump(by_alias=True, exclude_unset=True), "erp_versions": {**range, "shown": shown}}
    return replace(PLAN, recipe=Recipe.model_validate(told))


@pytest.mark.parametrize("range", [{"from": "1"}, {"from": "1.0.0", "before": "1.0.1"}, {"before": "1.1"}])
def test_an_erp_of_a_version_that_the_recipe_is_for_is_read(world: World, range: dict[str, str]) -> None:
    assert world.harvest(frozen(), plan=for_versions(**range)).complete


@pytest.mark.parametrize("range", [{"from": "1.0.1"}, {"before": "1"}, {"from": "0.9", "before": "1.0.0"}])
def test_an_erp_of_another_version_ends_the_run_at_its_first_page(world: World, range: dict[str, str]) -> None:
    with pytest.raises(BusinessError) as caught:
        world.harvest(frozen(), frozen(2), plan=for_versions(**range))
    assert caught.value.code == "SA2320"
    assert caught.value.sentence.startswith("the ERP says its version is `1`; this recipe is for ")
    assert [type(fact) for fact in world.run().facts] == [
        values.RunStarted,
        values.Snapshot,
        values.Fault,
        values.RunEnded,
    ]
    assert world.jobs() == []


def test_a_version_is_asked_of_every_page_until_one_shows_it(world: World) -> None:
    without = page(frozen().replace(b'id="code"', b'id="other"'), "list")
    with pytest.raises(BusinessError):
        world.harvest(without, frozen(), plan=for_versions(before="1"))
    assert len(world.run().facts) == 5


def test_no_document_is_made_before_the_version_is_known(world: World) -> None:
    with pytest.raises(PageError):
        world.harvest(frozen().replace(b'id="code"', b'id="other"'), plan=for_versions(before="9"))
    assert world.jobs() == []


@pytest.mark.parametrize("shown", ["S-1.x", "S-one", "X"])
def test_what_is_no_version_ends_the_run(world: World, shown: str) -> None:
    with pytest.raises(BusinessError):
        world.harvest(frozen().replace(b"S-1", shown.encode()), plan=for_versions(before="9"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"shown": {"css": "b"}},
        {"from": "2", "before": "2.0", "shown": {"css": "b"}},
        {"from": "1", "shown": {"profile": "uscc"}},
        {"from": "v1", "shown": {"css": "b"}},
    ],
)
def test_a_range_of_versions_that_is_none_is_a_mistake(wrong: dict[str, object]) -> None:
    told = {**RECIPE.model_dump(by_alias=True, exclude_unset=True), "erp_versions": wrong}
    with pytest.raises(ValidationError):
        Recipe.model_validate(told)
