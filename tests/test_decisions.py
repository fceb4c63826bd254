"""What people decide about documents that wait: hold, release, leave fields out, approve by two, approve a batch.

The archive and the pipeline are the real ones; signing is a digest, and the receiver a ledger that keeps what arrives.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from scraper_agent import approval, canonical, envelope, messages, report, yamlfile
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.archive.verify import verify
from scraper_agent.errors import BusinessError, SourceErrors
from scraper_agent.formats import FORMATS
from scraper_agent.people import Person, Role
from scraper_agent.pipeline import Pipeline, Plan, Receiver
from scraper_agent.policy import Approving, Leaving, Limit, Mask, Policy, Sample
from scraper_agent.recipe import Recipe
from scraper_agent.report import view, words
from scraper_agent.values import (
    Approval,
    Attempt,
    Digest,
    Draft,
    Endorsed,
    Envelope,
    Excluded,
    Failure,
    Held,
    Job,
    JobId,
    Receipt,
    Released,
    State,
    Verdict,
    in_force,
    state,
)
from tests.faults.offline import Clock, Ledger, Seal, holds
from tests.test_outbox import Net
from tests.world import AK, PLAN, PROFILE, RECIPE, RUN, Crash, CrashingArchive, crash, frozen, seeing

ORDER = "purchaseOrder"
_DATA = RECIPE.model_dump(by_alias=True, exclude_unset=True)
_DATA["document"]["header"] |= {"remark": {"css": "#supplier"}, "orderStatus": {"css": "#code"}}
_DATA["document"]["lines"]["values"] |= {"goodsSpecification": {"column": "品名"}}
TALKATIVE: Plan = replace(PLAN, recipe=Recipe.model_validate(_DATA))
"""An order with fields that it may lack: `remark`, `orderStatus`, `lines.goodsSpecification`."""

LIMITS = {ORDER: Limit(amounts={"USD": Decimal(1000)})}
FREE = Policy(automatic=LIMITS)
"""Lets a small order leave by itself."""


def ruled(kind: str, **more: Any) -> Policy:
    return Policy(automatic=LIMITS, approval={ORDER: Approving(rule=kind, **more)})


@dataclass
class Keeping(Ledger):
    """Keeps the documents that arrive, by their key."""

    documents: dict[str, bytes] = field(default_factory=dict)

    def receive(self, letter: bytes, key: str) -> bytes:
        self.documents[key] = envelope.read_request(letter).document
        return super().receive(letter, key)


@dataclass
class Office:
    """An archive and a receiver; each `open` is a process of its own."""

    folder: Path
    policy: Policy = FREE
    clock: Clock = field(default_factory=Clock)
    net: Net = field(init=False)
    at: int = -1
    """Crash before so many more appends, whatever process makes them."""
    marks: int = 0

    def __post_init__(self) -> None:
        self.net = Net(Keeping(self.clock))

    @property
    def arrived(self) -> list[bytes]:
        assert isinstance(self.net.ledger, Keeping)
        return list(self.net.ledger.documents.values())

    @contextmanager
    def open(self) -> Iterator[Pipeline]:
        with CrashingArchive(self.folder / "archive.db", self.clock) as archive:
            archive.at, archive.die, self.at = self.at, crash, -1
            coming = archive.at
            yield Pipeline(
                archive=archive,
                now=self.clock,
                formats=FORMATS,
                profile=PROFILE,
                policy=self.policy,
                signer=Seal,
                transport=self.net,
                receiver=Receiver(ak=AK, profile=envelope.DEFAULT, public_keys={"01": Seal.public_key}, verify=holds),
                mark=self.mark,
            )
            self.at = max(coming - archive.appends, -1)

    def mark(self) -> str:
        self.marks += 1
        return f"{self.marks:032x}"

    def read(self, *pages: bytes, plan: Plan = TALKATIVE, run: JobId = RUN) -> list[Job]:
        """Read these and check them, no more."""
        with self.open() as pipeline:
            return [pipeline.check(id) for id in pipeline.harvest(run, plan, seeing(*pages)).documents]

    def run(self, *pages: bytes, plan: Plan = TALKATIVE) -> list[Job]:
        with self.open() as pipeline:
            return [pipeline.advance(id) for id in pipeline.harvest(RUN, plan, seeing(*pages)).documents]

    def send(self) -> list[Job]:
        with self.open() as pipeline:
            return [pipeline.advance(id) for id in pipeline.archive.documents()]

    def do(self, what: str, id: JobId, *arguments: Any) -> Job:
        with self.open() as pipeline:
            return getattr(pipeline, what)(id, *arguments)  # type: ignore[no-any-return]

    def approve(self, id: JobId, by: str, shown: Digest | None = None) -> Job:
        with self.open() as pipeline:
            seen = shown or in_force(pipeline.archive.job(id))
            return pipeline.decide(id, lambda v: approval.by_person(v, shown=seen, by=by, reason="seen"))

    def why(self, job: Job) -> list[str]:
        with self.open() as pipeline:
            return [messages.english(text, values) for text, values in pipeline.held_because(job)]

    def job(self, id: JobId) -> Job:
        with SqliteArchive(self.folder / "archive.db", self.clock, read_only=True) as archive:
            return archive.job(id)

    def header(self, job: Job) -> dict[str, Any]:
        with SqliteArchive(self.folder / "archive.db", self.clock, read_only=True) as archive:
            return json.loads(archive.get(in_force(job)))["header"]  # type: ignore[no-any-return]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def kinds(job: Job) -> list[type]:
    return [type(fact) for fact in job.facts]


def only(kind: type, job: Job) -> list[Any]:
    return [fact for fact in job.facts if isinstance(fact, kind)]


# --- hold and release -----------------------------------------------------------------------------------------------


def reached(office: Office, stage: str) -> Job:
    """An order that stands at `stage`."""
    if stage == "waiting":
        office.net.mode = "away"
        (job,) = office.run(frozen(1))
        office.net.mode = "fine"
    elif stage == "held":
        (job,) = office.run(frozen(1, price="100.00"))
    elif stage == "blocked":
        (job,) = office.run(frozen(1, total="1.00"))
    else:
        (job,) = office.read(frozen(1))
        if stage != "read":
            office.approve(job.id, "wang")
        if stage == "signed":
            with office.open() as pipeline:
                pipeline.advance(job.id, send=False)
        job = office.job(job.id)
    return job


@pytest.mark.parametrize("stage", ["read", "held", "blocked", "approved", "signed", "waiting"])
def test_what_a_person_holds_back_does_not_leave_from_whatever_stage(office: Office, stage: str) -> None:
    job = reached(office, stage)
    held = office.do("hold", job.id, "li", "the price is being asked about")
    assert held.last == Held(document=in_force(job), by="person:li", reason="the price is being asked about")
    assert state(held) is State.ON_HOLD
    assert office.why(held) == ["li keeps it back: the price is being asked about"]
    office.clock.at += timedelta(days=40)
    assert office.send() == [held], "nor later"
    assert office.read(frozen(1), plan=TALKATIVE)[0].id == job.id or stage in ("held", "blocked")
    assert office.arrived == []


def test_what_is_released_is_checked_and_approved_anew(office: Office) -> None:
    job = reached(office, "signed")
    office.do("hold", job.id, "li", "wait")
    office.policy = Policy()
    released = office.do("release", job.id, "li", "settled")
    assert kinds(released)[-3:] == [Held, Released, Verdict]
    assert state(released) is State.HELD, "the approval from before the hold is void"
    assert office.send() == [released]
    assert office.arrived == []
    office.approve(job.id, "wang")
    (sent,) = office.send()
    assert kinds(sent) == [
        *(Draft, Verdict, Approval, Envelope, Held, Released, Verdict, Approval, Envelope, Attempt, Receipt)
    ]
    assert len(office.arrived) == 1


def test_what_the_policy_lets_leave_leaves_after_its_release(office: Office) -> None:
    (job,) = office.read(frozen(1))
    office.do("hold", job.id, "li", "wait")
    office.do("release", job.id, "wang")
    assert [state(each) for each in office.send()] == [State.RECEIPTED]


def test_a_document_that_was_given_up_is_tried_anew_after_its_release(office: Office) -> None:
    job = reached(office, "waiting")
    office.clock.at += timedelta(days=400)
    (dead,) = office.send()
    assert state(dead) is State.DEAD
    office.do("hold", job.id, "li", "wait")
    office.do("release", job.id, "li")
    office.net.mode = "away"
    assert [state(each) for each in office.send()] == [State.WAITING]


@pytest.mark.parametrize("mode", ["fine", "later", "lost"])
def test_what_may_have_left_cannot_be_held_back(office: Office, mode: str) -> None:
    office.net.mode = mode  # type: ignore[assignment]
    (job,) = office.run(frozen(1))
    for what, more in (("hold", ()), ("exclude", (["remark"],))):
        with pytest.raises(BusinessError) as caught:
            office.do(what, job.id, *more, "li", "no")
        assert caught.value.code == ("SA6052" if what == "hold" else "SA6057")
    assert office.job(job.id) == job


def test_what_waits_to_be_resent_and_may_be_there_cannot_be_held_back(office: Office) -> None:
    office.net.repeat, office.net.mode = "safe", "lost"
    office.run(frozen(1))
    office.net.mode = "refuse"
    (job,) = office.send()
    assert state(job) is State.WAITING
    with pytest.raises(BusinessError, match="SA6052"):
        office.do("hold", job.id, "li", "no")


@pytest.mark.parametrize(
    ("what", "arguments", "code"),
    [
        ("hold", ("li", " "), "SA6051"),
        ("exclude", (["remark"], "li", ""), "SA6051"),
        ("exclude", (["remrk"], "li", "x"), "SA6054"),
        ("exclude", (["lines[2].goodsName"], "li", "x"), "SA6054"),
        ("release", ("li",), "SA6053"),
    ],
)
def test_what_cannot_be_done_is_told_why_and_changes_nothing(
    office: Office, what: str, arguments: Sequence[Any], code: str
) -> None:
    (job,) = office.read(frozen(1))
    with pytest.raises(BusinessError) as caught:
        office.do(what, job.id, *arguments)
    assert caught.value.code == code
    with pytest.raises(BusinessError, match="SA6004"):
        office.do(what, JobId("doc/purchaseOrder/00"), *arguments)
    assert office.job(job.id) == job


def test_what_is_on_hold_is_neither_approved_nor_held_twice_but_may_be_withdrawn(office: Office) -> None:
    job = reached(office, "held")
    held = office.do("hold", job.id, "li", "wait")
    with pytest.raises(BusinessError, match="SA6005"):
        office.approve(job.id, "wang")
    with pytest.raises(BusinessError, match="SA6052"):
        office.do("hold", job.id, "wang", "me too")
    assert office.job(job.id) == held
    assert office.do("withdraw", job.id, "wang", "entered twice").last == Failure(
        stage="sign", message="withdrawn by person:wang: entered twice"
    )


def test_a_change_in_the_erp_does_not_release_what_a_person_kept_back(office: Office) -> None:
    (first,) = office.read(frozen(1))
    office.do("hold", first.id, "li", "wait")
    (second,) = office.run(frozen(1, supplier="ACME Ltd"))
    assert state(office.job(first.id)) is State.STOPPED
    assert state(second) is State.HELD
    assert office.why(second) == ["li kept back its earlier version: wait"]
    (third,) = office.run(frozen(1, supplier="ACME GmbH"))
    assert state(third) is State.HELD, "nor does another"
    office.approve(third.id, "wang")
    (fourth,) = office.run(frozen(1, supplier="ACME SA"))
    assert state(fourth) is State.RECEIPTED, "but a person's yes does"


# --- leaving fields out ---------------------------------------------------------------------------------------------


def test_what_a_person_leaves_out_is_in_no_byte_that_leaves(office: Office) -> None:
    (job,) = office.read(frozen(1, supplier="secret word"))
    changed = office.do("exclude", job.id, ["remark", "lines.goodsSpecification"], "li", "not for customs")
    excluded = only(Excluded, changed)[0]
    assert (excluded.before, excluded.fields) == (in_force(job), ("remark", "lines.goodsSpecification"))
    assert changed.last == Verdict(
        document=in_force(changed),
        findings=(),
        tables=changed.last.tables,  # type: ignore[union-attr]
    )
    assert in_force(changed) == excluded.document != in_force(job)
    assert "remark" not in office.header(changed)
    assert office.why(changed)[0] == "li left out remark, lines.goodsSpecification: not for customs"
    assert office.send() == [changed], "a person sees it before it leaves, though it is within the limits"
    with pytest.raises(BusinessError, match="SA6002"):
        office.approve(job.id, "wang", in_force(job))
    office.approve(job.id, "wang")
    (sent,) = office.send()
    assert state(sent) is State.RECEIPTED
    (arrived,) = map(json.loads, office.arrived)
    assert "remark" not in arrived["header"]
    assert not any("goodsSpecification" in line for line in arrived["lines"])
    assert arrived["lines"][0]["goodsName"] == "深沟球轴承"
    assert verify(office.folder / "archive.db").whole


def test_an_approved_document_of_which_a_field_is_left_out_is_approved_anew(office: Office) -> None:
    job = reached(office, "signed")
    changed = office.do("exclude", job.id, ["remark"], "li", "x")
    assert kinds(changed)[-2:] == [Excluded, Verdict]
    assert [state(each) for each in office.send()] == [State.HELD]
    office.approve(job.id, "wang")
    office.send()
    (arrived,) = office.arrived
    assert b"remark" not in arrived


def test_what_the_receiver_sees_of_the_number_does_not_tell_what_was_left_out(office: Office) -> None:
    """The number is a digest over what was read: whoever tries all values would find the one that fits."""
    (job,) = office.read(frozen(1))
    with office.open() as pipeline:
        before = pipeline.key(job), office.header(job)["recordGuid"]
        changed = pipeline.exclude(job.id, ["remark"], "li", "x")
        after = pipeline.key(changed), office.header(changed)["recordGuid"]
        again = pipeline.exclude(job.id, ["orderStatus"], "li", "x")
        third = pipeline.key(again), office.header(again)["recordGuid"]
    assert len({before[0], after[0], third[0]}) == len({before[1], after[1], third[1]}) == 3
    office.approve(job.id, "wang")
    office.send()
    (second,) = office.run(frozen(1, supplier="ACME Ltd"))
    assert office.header(second)["remark"] == f"变更 {third[1]}; ACME Ltd", "a change names what the receiver knows"
    withdrawal = office.do("withdraw", second.id, "li", "twice")
    assert office.header(withdrawal)["remark"].startswith(f"删除 {office.header(second)['recordGuid']}")


def test_one_line_alone_loses_a_field(office: Office) -> None:
    (job,) = office.read(frozen(1))
    changed = office.do("exclude", job.id, ["lines[1].goodsSpecification"], "li", "x")
    assert only(Excluded, changed)[0].fields == ("lines[1].goodsSpecification",)
    assert changed.last.findings == ()  # type: ignore[union-attr]


def test_a_mandatory_field_that_is_left_out_blocks(office: Office) -> None:
    (job,) = office.read(frozen(1))
    changed = office.do("exclude", job.id, ["supplierName"], "li", "x")
    assert state(changed) is State.BLOCKED
    assert [(f.code, f.field) for f in changed.last.findings] == [("CHK-01", "supplierName")]  # type: ignore[union-attr]
    with pytest.raises(BusinessError, match="SA6001"):
        office.approve(job.id, "wang")


def test_a_field_that_could_not_be_read_blocks_no_more_once_it_is_left_out(office: Office) -> None:
    header = {**_DATA["document"]["header"], "approvalDate": {"css": "#supplier"}}
    plan = replace(
        TALKATIVE, recipe=Recipe.model_validate({**_DATA, "document": {**_DATA["document"], "header": header}})
    )
    (job,) = office.read(frozen(1), plan=plan)
    assert [f.field for f in job.last.findings] == ["approvalDate"]  # type: ignore[union-attr]
    with pytest.raises(BusinessError, match="SA6054"):
        office.do("exclude", job.id, ["approvalDate"], "li", "it has none")


def test_what_is_on_hold_stays_so_when_a_field_is_left_out(office: Office) -> None:
    (job,) = office.read(frozen(1))
    office.do("hold", job.id, "li", "wait")
    changed = office.do("exclude", job.id, ["remark"], "wang", "x")
    assert state(changed) is State.ON_HOLD
    assert office.why(changed) == ["li keeps it back: wait"]
    assert office.send() == [changed]
    assert kinds(office.do("release", job.id, "li"))[-3:] == [Excluded, Released, Verdict]
    assert office.arrived == []


# --- four eyes ------------------------------------------------------------------------------------------------------


def test_two_people_approve_where_the_policy_asks_for_four_eyes(office: Office) -> None:
    office.policy = ruled("four_eyes")
    (job,) = office.run(frozen(1))
    assert office.why(job) == ["by the policy two people approve each purchaseOrder"]
    endorsed = office.approve(job.id, "li")
    assert endorsed.last == Endorsed(document=in_force(job), by="person:li", reason="seen")
    assert state(endorsed) is State.HELD
    assert office.why(endorsed) == ["li has approved it, a second person has to: seen"]
    assert office.send() == [endorsed]
    for same in ("li", "LI", " li", "ｌｉ"):
        with pytest.raises(BusinessError, match="SA6055"):
            office.approve(job.id, same)
    assert office.job(job.id) == endorsed
    office.approve(job.id, "wang")
    (sent,) = office.send()
    assert kinds(sent) == [Draft, Verdict, Endorsed, Approval, Envelope, Attempt, Receipt]
    assert sent.facts[3].by == "person:wang"  # type: ignore[union-attr]


def test_what_was_approved_by_one_of_two_is_declined_by_anybody(office: Office) -> None:
    office.policy = ruled("four_eyes")
    (job,) = office.run(frozen(1))
    office.approve(job.id, "li")
    with office.open() as pipeline:
        no = pipeline.decide(job.id, lambda v: approval.decline(v, shown=v.document, by="li", reason="a mistake"))
    assert state(no) is State.DECLINED


def test_the_word_of_the_first_is_void_for_other_bytes_after_a_hold_and_once_that_person_is_no_approver(
    office: Office,
) -> None:
    office.policy = ruled("four_eyes")
    (job,) = office.run(frozen(1))
    office.approve(job.id, "li")
    office.do("exclude", job.id, ["remark"], "zhao", "x")
    assert isinstance(office.approve(job.id, "wang").last, Endorsed)
    office.do("hold", job.id, "zhao", "x")
    office.do("release", job.id, "zhao")
    assert isinstance(office.approve(job.id, "li").last, Endorsed)
    everybody = {name: Person(roles=frozenset({Role.APPROVER})) for name in ("wang", "zhao")}
    office.policy = office.policy.model_copy(update={"people": everybody})
    assert isinstance(office.approve(job.id, "wang").last, Endorsed), "li is no approver any more"
    assert isinstance(office.approve(job.id, "zhao").last, Approval)


def test_a_withdrawal_needs_four_eyes_as_well(office: Office) -> None:
    (job,) = office.run(frozen(1))
    office.policy = ruled("four_eyes")
    with office.open() as pipeline:
        withdrawal = pipeline.check(pipeline.withdraw(job.id, "li", "twice").id)
    assert isinstance(office.approve(withdrawal.id, "li").last, Endorsed)
    assert isinstance(office.approve(withdrawal.id, "wang").last, Approval)


# --- by document, by sample, by batch -------------------------------------------------------------------------------


def test_each_document_waits_for_a_person_where_the_policy_says_so(office: Office) -> None:
    office.policy = ruled("per_document")
    (job,) = office.run(frozen(1))
    assert office.why(job) == ["by the policy a person approves each purchaseOrder"]
    assert isinstance(office.approve(job.id, "li").last, Approval)


def test_of_a_sample_some_wait_and_the_others_leave_and_it_is_always_the_same_ones(office: Office) -> None:
    office.policy = ruled("automatic", sample=Sample(one_in=3))
    jobs = office.run(*map(frozen, range(1, 16)))
    waiting = {job.id for job in jobs if state(job) is State.HELD}
    assert {state(job) for job in jobs} == {State.HELD, State.RECEIPTED}
    assert {job.id for job in office.send() if state(job) is State.HELD} == waiting
    for job in jobs:
        if job.id in waiting:
            assert office.why(job) == ["it is in the sample: of about 3, one waits for a person"]
        else:
            reason = only(Approval, job)[0].reason
            assert reason == "within the limits: 300 USD, 1 lines; not drawn, one in 3 is"


def test_the_sample_is_drawn_evenly_and_all_of_it_where_it_is_one_in_one() -> None:
    digests = [Digest(f"sm3:{number:064x}") for number in range(3000)]
    assert all(approval.drawn(each, 1) for each in digests)
    assert 100 < sum(approval.drawn(each, 20) for each in digests) < 200


def test_a_run_waits_for_one_approval_of_all_that_the_policy_would_let_leave(office: Office) -> None:
    office.policy = ruled("per_batch")
    small = office.run(*map(frozen, range(1, 4)))
    (big,) = office.run(frozen(9, price="100.00"))
    assert office.why(small[0]) == ["it waits for the approval of all of its run: `scraper-agent approve --run`"]
    assert office.why(big) == ["3000 USD is above the limit of 1000"]
    office.do("hold", small[2].id, "zhao", "wait")
    with office.open() as pipeline:
        assert pipeline.batch(JobId("run/2")).documents == ()
        batch = pipeline.batch(RUN)
        assert batch == pipeline.batch()
        assert batch.documents == tuple((job.id, in_force(job)) for job in small[:2])
        decided = pipeline.decide_batch(batch, shown=batch.digest, by="li", reason="looked at")
    assert [job.last for job in decided] == [
        Approval(document=in_force(job), granted=True, by="person:li", reason="looked at", batch=batch.digest)
        for job in small[:2]
    ]
    assert [state(job) for job in office.send()] == [State.RECEIPTED, State.RECEIPTED, State.ON_HOLD, State.HELD]
    assert verify(office.folder / "archive.db").whole


def test_a_batch_that_is_not_the_one_shown_is_not_approved(office: Office) -> None:
    office.policy = ruled("per_batch")
    one, two = office.run(frozen(1), frozen(2))
    with office.open() as pipeline:
        shown = pipeline.batch(RUN)
        pipeline.exclude(one.id, ["remark"], "li", "x")
        now = pipeline.batch(RUN)
        assert now.documents == ((two.id, in_force(two)),)
        with pytest.raises(BusinessError, match="SA6056"):
            pipeline.decide_batch(now, shown=shown.digest, by="li", reason="")
        with pytest.raises(BusinessError, match="SA6002"):
            pipeline.decide_batch(shown, shown=shown.digest, by="li", reason="")
    assert [only(Approval, job) for job in office.send()] == [[], []], "all of them or none"


def test_four_eyes_stay_four_when_many_are_approved_at_once(office: Office) -> None:
    office.policy = ruled("four_eyes")
    jobs = office.run(frozen(1), frozen(2))
    batch = approval.Batch(documents=tuple((job.id, in_force(job)) for job in jobs))
    with office.open() as pipeline:
        first = pipeline.decide_batch(batch, shown=batch.digest, by="li", reason="")
        assert [type(job.last) for job in first] == [Endorsed, Endorsed]
        with pytest.raises(BusinessError, match="SA6055"):
            pipeline.decide_batch(batch, shown=batch.digest, by="li", reason="")
        second = pipeline.decide_batch(batch, shown=batch.digest, by="wang", reason="")
    assert [type(job.last) for job in second] == [Approval, Approval]


def test_what_was_drawn_is_in_no_batch(office: Office) -> None:
    office.policy = ruled("per_batch", sample=Sample(one_in=1))
    office.run(frozen(1))
    with office.open() as pipeline:
        assert pipeline.batch().documents == ()


# --- fields that may leave ------------------------------------------------------------------------------------------


def leaving(**rule: Any) -> Policy:
    return Policy(automatic=LIMITS, fields={ORDER: Leaving(**rule)})


def arrived(office: Office) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    document = json.loads(office.arrived[-1])
    return document["header"], document["lines"]


def test_what_the_policy_leaves_out_never_enters_a_document(office: Office) -> None:
    office.policy = leaving(leave_out=("remark", "operatorAccountHash", "lines.goodsSpecification"))
    (job,) = office.run(frozen(1, supplier="ACME"))
    assert state(job) is State.RECEIPTED
    header, lines = arrived(office)
    assert header.keys().isdisjoint({"remark", "operatorAccountHash"})
    assert "orderStatus" in header
    assert not any("goodsSpecification" in line for line in lines)
    draft = job.facts[0]
    assert isinstance(draft, Draft)
    with office.open() as pipeline:
        origins = json.loads(pipeline.archive.get(draft.provenance))
    assert {"remark", "lines[1].goodsSpecification"}.isdisjoint(each["field"] for each in origins)
    (second,) = office.run(frozen(1, supplier="ACME Ltd"))
    assert office.header(second)["actionType"] == "2"
    assert "remark" not in office.header(second), "not even for a word of the agent's own"


def test_a_change_of_what_is_left_out_is_no_change(office: Office) -> None:
    """The number of a document, which the receiver sees, is made without it."""
    office.policy = leaving(leave_out=("orderStatus",))
    (first,) = office.run(frozen(1))
    page = frozen(1).replace(b'<i id="code" frozen-box="0 0 9 9">S-1', b'<i id="code" frozen-box="0 0 9 9">S-2')
    without_code = {**_DATA["document"]["header"], "supplierCode": {"css": "#supplier"}}
    recipe = Recipe.model_validate({**_DATA, "document": {**_DATA["document"], "header": without_code}})
    (second,) = office.run(frozen(1), plan=replace(TALKATIVE, recipe=recipe))
    assert second.id != first.id
    (third,) = office.run(page, plan=replace(TALKATIVE, recipe=recipe))
    assert third.id == second.id


def test_only_what_the_policy_names_leaves_beside_what_is_mandatory(office: Office) -> None:
    office.policy = leaving(only=("orderStatus",))
    (job,) = office.run(frozen(1))
    assert state(job) is State.RECEIPTED
    header, lines = arrived(office)
    order = FORMATS[ORDER]
    assert {id for id in header if not order.header_fields[id].mandatory} == {"orderStatus"}
    assert {id for id in lines[0] if not order.line_fields[id].mandatory} == set()


def test_what_is_masked_leaves_masked_and_its_origin_does_not_say_more(office: Office) -> None:
    office.policy = leaving(mask={"remark": Mask(keep_last=4), "lines.goodsSpecification": Mask(keep_first=1)})
    (job,) = office.run(frozen(1, supplier="account 6222000011112222"))
    assert state(job) is State.RECEIPTED
    header, lines = arrived(office)
    assert header["remark"] == "*" * 20 + "2222"
    assert lines[0]["goodsSpecification"] == "深****"
    with office.open() as pipeline:
        provenance = pipeline.archive.get(job.facts[0].provenance).decode()  # type: ignore[union-attr]
        origin = next(each for each in json.loads(provenance) if each["field"] == "remark")
    assert (origin["raw"], origin["value"]) == ("", "*" * 20 + "2222")
    (changed,) = office.run(frozen(1, supplier="account 6222000011113333"))
    assert office.header(changed)["remark"] == f"变更 {office.header(job)['recordGuid']}; {'*' * 20}3333"
    assert state(changed) is State.RECEIPTED, "the agent's own word is not masked, and blocks nothing"


def test_a_short_text_is_masked_whole(office: Office) -> None:
    office.policy = leaving(mask={"remark": Mask(keep_first=2, keep_last=2)})
    (job,) = office.run(frozen(1, supplier="ACME"))
    assert office.header(job)["remark"] == "****"


def test_a_text_that_looks_like_the_agents_own_word_is_masked_all_the_same(office: Office) -> None:
    office.policy = leaving(mask={"remark": Mask()})
    (job,) = office.run(frozen(1, supplier="变更 13800138000-13800138000-138001380000; x"))
    assert set(office.header(job)["remark"]) == {"*"}


@pytest.mark.parametrize("stage", ["read", "held", "approved", "signed", "waiting"])
@pytest.mark.parametrize("rule_", [{"leave_out": ("remark",)}, {"mask": {"remark": Mask()}}])
def test_what_was_made_under_another_policy_is_blocked_until_the_field_is_left_out(
    office: Office, stage: str, rule_: dict[str, Any]
) -> None:
    job = reached(office, stage)
    office.policy = leaving(**rule_)
    with office.open() as pipeline:
        pipeline.check(job.id)
        blocked = pipeline.advance(job.id)
    assert state(blocked) is State.BLOCKED
    assert isinstance(blocked.last, Verdict)
    assert [(f.code, f.field) for f in blocked.last.findings] == [("SA6050", "remark")]
    assert office.arrived == []
    if stage != "waiting":
        assert state(office.do("exclude", job.id, ["remark"], "li", "the policy")) is State.HELD


def test_a_withdrawal_of_what_left_under_another_policy_holds_no_more_than_may_leave(office: Office) -> None:
    (job,) = office.run(frozen(1))
    office.policy = leaving(leave_out=("orderStatus",))
    withdrawal = office.do("withdraw", job.id, "li", "twice")
    assert "orderStatus" not in office.header(withdrawal)


# --- the policy file ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "approval: {purchaseOrder: {rule: sometimes}}",
        "approval: {purchaseOrder: {rule: four_eyes, sample: {one_in: 5}}}",
        "approval: {purchaseOrder: {sample: {one_in: 0}}}",
        "fields: {purchaseOrder: {mask: {remark: {keep: 2}}}}",
        "fields: {purchaseOrder: {mask: {remark: {keep_last: -1}}}}",
    ],
)
def test_a_wrong_rule_is_told_of(text: str) -> None:
    with pytest.raises(SourceErrors):
        yamlfile.parse(text, Path("policy.yaml"), Policy)


# --- crashes and everything at once ---------------------------------------------------------------------------------


def scenario(office: Office) -> None:
    """One is held back and released, of one a field is left out, one is approved by two; then all is sent."""
    jobs = office.read(*map(frozen, range(1, 4)))
    one, two, three = (job.id for job in jobs)
    with office.open() as pipeline:
        stands = {job.id: state(pipeline.archive.job(job.id)) for job in jobs}
        if stands[one] is State.HELD:
            pipeline.hold(one, "li", "wait")
        if state(pipeline.archive.job(one)) is State.ON_HOLD:
            pipeline.release(one, "li")
        if not only(Excluded, pipeline.archive.job(two)):
            pipeline.exclude(two, ["remark"], "li", "x")
        for id in (one, two, three):
            pipeline.check(id)
            for name in ("li", "wang"):
                job = pipeline.archive.job(id)
                if state(job) is State.HELD and not (name == "li" and isinstance(job.last, Endorsed)):
                    pipeline.decide(
                        id,
                        lambda v, name=name: approval.by_person(v, shown=v.document, by=name, reason=""),  # type: ignore[misc]
                    )
            pipeline.advance(id)


STEPS = 31


def test_the_scenario_has_so_many_appends(office: Office) -> None:
    office.policy = ruled("four_eyes")
    scenario(office)
    assert sum(len(job.facts) for job in office.send()) + len(office.job(RUN).facts) == STEPS


@pytest.mark.parametrize("at", range(STEPS))
def test_a_crash_before_any_append_of_a_decision_loses_and_doubles_nothing(office: Office, at: int) -> None:
    """Before the next one is after this one."""
    office.policy = ruled("four_eyes")
    office.at = at
    with pytest.raises(Crash):
        scenario(office)
    for _ in range(2):
        scenario(office)
    jobs = office.send()
    assert [state(job) for job in jobs] == [State.RECEIPTED] * 3
    assert sorted(office.net.ledger.arrived.values()) == [1, 1, 1]
    assert all(b"remark" not in document for document in office.arrived if b'"PO-2"' in document)
    assert verify(office.folder / "archive.db").whole


def sound(job: Job, sent: dict[Digest, bytes]) -> None:
    """What must hold of every document's facts under four eyes, whatever was done to it, and in whatever order."""
    endorsed: Endorsed | None = None
    approved: Approval | None = None
    on_hold = False
    gone: set[str] = set()
    bytes_ = in_force(Job(id=job.id, facts=job.facts[:1]))
    for fact in job.facts:
        match fact:
            case Held():
                on_hold, endorsed, approved = True, None, None
            case Released():
                on_hold = False
            case Excluded():
                assert fact.before == bytes_
                bytes_, endorsed, approved = fact.document, None, None
                gone |= set(fact.fields)
            case Verdict():
                assert fact.document == bytes_
                endorsed, approved = None, None
            case Endorsed():
                assert not on_hold
                assert fact.document == bytes_
                endorsed = fact
            case Approval(granted=True):
                assert not on_hold
                assert fact.document == bytes_
                assert endorsed is not None
                assert endorsed.by != fact.by, "never one person"
                approved = fact
            case Envelope() | Attempt():
                assert not on_hold, "what is held back never leaves"
                assert approved is not None
            case Receipt():
                arrived = json.loads(sent[bytes_])
                assert gone.isdisjoint(arrived["header"])
                assert gone.isdisjoint(f"lines.{id}" for line in arrived["lines"] for id in line)
            case _:
                pass


class Anything(RuleBasedStateMachine):
    """People, the network and the ERP do what they like to three orders under four eyes."""

    def __init__(self) -> None:
        super().__init__()
        self.temporary = tempfile.TemporaryDirectory(prefix="anything-")
        self.office = Office(Path(self.temporary.name), ruled("four_eyes"))
        self.names = ["ACME"] * 3
        self.office.read(*self.pages())

    def teardown(self) -> None:
        assert verify(self.office.folder / "archive.db").whole
        self.temporary.cleanup()

    def pages(self) -> list[bytes]:
        return [frozen(number, supplier=name) for number, name in enumerate(self.names, start=1)]

    def attempt(self, what: str, at: int, *arguments: Any) -> None:
        with self.office.open() as pipeline:
            ids = pipeline.archive.documents()
            with suppress(BusinessError):
                getattr(pipeline, what)(ids[at % len(ids)], *arguments)

    who = st.sampled_from(["li", "wang", "LI"])
    which = st.integers(0, 5)

    @rule(at=which, who=who)
    def hold(self, at: int, who: str) -> None:
        self.attempt("hold", at, who, "wait")

    @rule(at=which, who=who)
    def release(self, at: int, who: str) -> None:
        self.attempt("release", at, who)

    @rule(at=which, who=who, what=st.sampled_from(["remark", "orderStatus", "lines.goodsSpecification"]))
    def exclude(self, at: int, who: str, what: str) -> None:
        self.attempt("exclude", at, [what], who, "not for customs")

    @rule(at=which, who=who)
    def approve(self, at: int, who: str) -> None:
        self.attempt("decide", at, lambda v: approval.by_person(v, shown=v.document, by=who, reason=""))

    @rule(who=st.permutations(["li", "wang"]))
    def approve_all_twice(self, who: list[str]) -> None:
        for each in who:
            for at in range(6):
                self.approve(at, each)

    @rule(at=which, who=who)
    def withdraw(self, at: int, who: str) -> None:
        self.attempt("withdraw", at, who, "twice")

    @rule(at=which)
    def resend(self, at: int) -> None:
        self.attempt("resend", at, "li")

    @rule(mode=st.sampled_from(["fine", "away", "lost", "refuse", "later"]), hours=st.integers(0, 2))
    def send(self, mode: Any, hours: int) -> None:
        self.office.net.mode = mode
        self.office.clock.at += timedelta(hours=hours)
        self.office.send()

    @rule(number=st.integers(0, 2))
    def the_erp_changes(self, number: int) -> None:
        self.names[number] += "!"
        self.office.net.mode = "fine"
        self.office.read(*self.pages())

    @invariant()
    def it_is_sound(self) -> None:
        with SqliteArchive(self.office.folder / "archive.db", self.office.clock, read_only=True) as archive:
            sent = {canonical.digest(body): body for body in self.office.arrived}
            for id in archive.documents():
                sound(archive.job(id), sent)
        assert set(self.office.net.ledger.arrived.values()) <= {1}


TestAnything = Anything.TestCase
TestAnything.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)


# --- the report -----------------------------------------------------------------------------------------------------


def test_the_report_says_what_people_decided(office: Office, tmp_path: Path) -> None:
    office.policy = ruled("four_eyes")
    one, two = office.run(frozen(1, supplier="secret word"), frozen(2))
    office.do("hold", one.id, "li", "wait")
    office.do("exclude", one.id, ["remark"], "wang", "not for customs")
    office.approve(two.id, "zhao")
    path = tmp_path / "report.html"
    with office.open() as pipeline:
        jobs = [pipeline.archive.job(id) for id in (one.id, two.id)]
        told = {job.id: [messages.english(text, values) for text, values in pipeline.held_because(job)] for job in jobs}
        report.write(
            path,
            pipeline.archive,
            [RUN],
            [one.id, two.id],
            FORMATS,
            now=office.clock(),
            verified=None,
            held_because=told,
        )
    text = path.read_text(encoding="utf-8")
    for sentence in (
        "Kept back by li: wait",
        "wang left out remark: not for customs",
        "Approved by zhao, the first of two: seen",
        "li keeps it back: wait",
        "zhao has approved it, a second person has to: seen",
    ):
        assert sentence in text
    assert {f"do_{each}" for each in view.ATTENTION} <= words.WORDS.keys()
    assert set(State) <= words.WORDS.keys()
