"""What is signed leaves once, in time and in order: the schedule, the breaker, dead letters, new signatures, versions;
against a model, over crashes, and after 30 days without a receiver.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scraper_agent import app as wiring
from scraper_agent import outbox
from scraper_agent.app import App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.archive.verify import verify
from scraper_agent.errors import BusinessError, SendFailed, SendRefused, SendUnknown
from scraper_agent.formats import FORMATS
from scraper_agent.pipeline import Pipeline
from scraper_agent.ports import Standing
from scraper_agent.sandbox.platform import Platform
from scraper_agent.signing import sm2
from scraper_agent.values import (
    Attempt,
    DeadLetter,
    Digest,
    Entry,
    Envelope,
    Fact,
    Job,
    JobId,
    Receipt,
    Retry,
    State,
    state,
)
from tests.faults import offline
from tests.faults.offline import Clock, Ledger, Line, Seal, holds
from tests.transports.contract import Key
from tests.world import AK, NOW, Crash

Mode = Literal["fine", "later", "lost", "vanish", "away", "refuse"]
FAST = outbox.Settings(longest_wait_s=3600)


# --- pure -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tries", "most"), [(0, 1), (1, 2), (2, 4), (9, 512), (10, 900), (11, 900), (10_000, 900)])
def test_waits_double_up_to_a_quarter_of_an_hour_and_are_drawn_below_that(tries: int, most: int) -> None:
    drawn = [outbox.wait(tries, outbox.DEFAULT, n / 1000) for n in range(1000)]
    assert min(drawn) == timedelta(seconds=1)
    assert max(drawn) <= timedelta(seconds=most)
    assert max(drawn) >= timedelta(seconds=most) * 0.99


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(hours=1), usegmt=True), 0),
        ("Wed, 06 May 2026 01:30:05", 5),
        ("", 0),
        ("soon", 0),
        ("-5", 0),
        ("1.5", 0),
        ("٣", 0),
        ("9" * 30, 86400),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_never_more_than_a_day(told: str, seconds: int) -> None:
    assert outbox.retry_after(told, NOW) == timedelta(seconds=seconds)


def entry(index: int, job: str, fact: Fact) -> Entry:
    return Entry(index=index, at=NOW + timedelta(seconds=index), job=JobId(job), position=0, fact=fact)


def log(*facts: tuple[str, Fact]) -> list[Entry]:
    """Newest first, as `Archive.sends` gives them."""
    return [entry(n, job, fact) for n, (job, fact) in enumerate(facts)][::-1]


def away(seconds: int = 60) -> Retry:
    due = NOW + timedelta(seconds=seconds)
    return Retry(envelope=Digest("sm3:0"), number=1, reason="", not_before=due, cause="away")


ATTEMPT = Attempt(envelope=Digest("sm3:0"), number=1)
RECEIPT = Receipt(envelope=Digest("sm3:0"), receipt=Digest("sm3:1"), accepted=False, remote_id="", message="")


def test_a_breaker_is_what_the_log_says() -> None:
    failed: list[tuple[str, Fact]] = [("a", ATTEMPT), ("a", away(1)), ("b", ATTEMPT), ("b", away(2))]
    known = outbox.Breaker.of(log(*failed), outbox.Settings(breaker_failures=2))
    assert (known.failures, known.until) == (2, NOW + timedelta(seconds=2))
    assert known.holds(NOW)
    assert known.admits(NOW + timedelta(seconds=2))
    assert not known.admits(NOW + timedelta(seconds=9)), "one at a time"
    known.failed(NOW + timedelta(seconds=30))
    assert not known.admits(NOW + timedelta(seconds=29))
    assert known.admits(NOW + timedelta(seconds=30))
    known.answered()
    assert known.admits(NOW)


@pytest.mark.parametrize("alive", [RECEIPT, replace(away(), cause="refused"), replace(away(), cause="absent")])
def test_a_sign_of_life_or_a_person_ends_the_row_of_failures(alive: Fact) -> None:
    for fact in (alive, replace(away(), by="person:li")):
        row = log(("a", away()), ("c", fact), ("b", ATTEMPT), ("b", away()))
        assert outbox.Breaker.of(row, outbox.DEFAULT).failures == 1


def test_an_attempt_whose_answer_nobody_has_seen_is_a_failure() -> None:
    row = log(("a", ATTEMPT), ("a", away()), ("b", ATTEMPT), ("c", ATTEMPT))
    known = outbox.Breaker.of(row, outbox.DEFAULT)
    assert (known.failures, known.until) == (3, NOW + timedelta(seconds=3 + 8))


def test_a_failure_for_certain_says_nothing_of_the_attempts_before_it() -> None:
    unknown, absent = replace(away(), cause="unknown"), replace(away(), cause="absent")

    def may(*facts: Fact, repeat: str = "ask") -> bool:
        return outbox.may_have_it(facts, repeat=repeat)

    assert not may(ATTEMPT, away())
    assert may(ATTEMPT)
    assert may(ATTEMPT, unknown, ATTEMPT, away())
    assert may(ATTEMPT, unknown, ATTEMPT, away(), replace(away(), cause=None, by="person:li"))
    assert not may(ATTEMPT, unknown, ATTEMPT, absent)
    assert not may(ATTEMPT, replace(away(), cause=None))
    assert may(ATTEMPT, replace(away(), cause=None), repeat="safe"), "a log from before there were causes"


# --- with the pipeline ----------------------------------------------------------------------------------------------


@dataclass
class Net:
    """The ledger behind a network in one mood."""

    ledger: Ledger
    mode: Mode = "fine"
    repeat: Literal["safe", "ask", "never"] = "ask"
    error: SendFailed | None = None
    asked: SendFailed | None = None
    """What every question ends with."""
    bad: bytes = b""
    """What is in letters that are not taken."""
    answers: dict[str, bytes] = field(default_factory=dict)

    def send(self, envelope: bytes, *, key: str) -> bytes | None:
        if self.mode == "away":
            raise self.error or SendFailed("SA4020", "no connection")
        if self.mode == "refuse" or (self.bad and self.bad in envelope):
            raise SendRefused("SA4024", "not this one")
        if self.mode != "vanish":
            self.answers[key] = self.ledger.receive(envelope, key)
        if self.mode in ("lost", "vanish"):
            raise SendUnknown("SA4022", "no answer")
        return None if self.mode == "later" else self.answers[key]

    def find(self, key: str) -> bytes | Standing:
        if self.mode == "away":
            raise SendFailed("SA4028", "nobody to ask")
        if self.asked is not None:
            raise self.asked
        if self.repeat != "ask":
            return Standing.UNKNOWN
        if key not in self.answers:
            return Standing.ABSENT
        return Standing.DELIVERED if self.mode == "later" else self.answers[key]

    def close(self) -> None:
        pass


class Crashing(SqliteArchive):
    """Crashes before the append that its box says, or after it."""

    box: Box

    def append(self, job: JobId, position: int, fact: Fact) -> Entry:
        here, self.box.appended = self.box.appended == self.box.crash_at, self.box.appended + 1
        if here and not self.box.crash_after:
            raise Crash
        done = super().append(job, position, fact)
        if here and self.box.crash_after:
            raise Crash
        return done


@dataclass
class Box:
    """An archive with signed documents, a clock, and a receiver; each `open` is a process of its own."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    schedule: outbox.Settings = FAST
    net: Net = field(init=False)
    key_index: str | None = None
    crash_at: int = -1
    crash_after: bool = False
    appended: int = 0
    """By all processes."""

    def __post_init__(self) -> None:
        self.net = Net(Ledger(self.clock))

    @property
    def path(self) -> Path:
        return self.folder / "archive.db"

    def fill(self, count: int) -> list[JobId]:
        with SqliteArchive(self.path, self.clock) as archive:
            offline.fill(archive, count, self.clock(), Seal())
            return archive.documents()

    @contextmanager
    def open(self) -> Iterator[tuple[SqliteArchive, Pipeline]]:
        with Crashing(self.path, self.clock) as archive:
            archive.box = self
            keys = {"01": Seal.public_key}
            pipeline = offline.pipeline(archive, self.clock, self.net, Seal(), holds, keys, lambda: 0.5)
            pipeline.schedule, pipeline.key_index = self.schedule, lambda: self.key_index
            yield archive, pipeline

    def send(self, minutes: float = 0) -> list[Job]:
        """`send --wait`; then how everything stands."""
        with self.open() as (archive, pipeline):
            offline.drain(pipeline, archive, self.clock, self.clock() + timedelta(minutes=minutes))
            return [archive.job(id) for id in archive.documents()]

    def later(self, **by: float) -> None:
        self.clock.at += timedelta(**by)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def sent(job: Job) -> list[str]:
    """The facts after the first envelope, in short."""
    return [type(fact).__name__ for fact in job.facts[4:]]


def test_what_failed_leaves_when_it_is_due_and_not_before(box: Box) -> None:
    box.fill(1)
    box.net.mode = "away"
    (job,) = box.send()
    assert isinstance(job.last, Retry)
    assert (job.last.cause, job.last.not_before) == ("away", NOW + timedelta(seconds=1))
    box.net.mode = "fine"
    assert box.send() == [job]
    with box.open() as (_, pipeline):
        assert pipeline.advance(job.id) == job, "nor if it is asked for by name"
    box.later(seconds=1)
    assert [sent(job) for job in box.send()] == [["Attempt", "Retry", "Attempt", "Receipt"]]


@pytest.mark.parametrize("told", ["600", format_datetime(NOW + timedelta(minutes=10), usegmt=True)])
def test_a_receiver_that_asks_for_time_gets_it(box: Box, told: str) -> None:
    box.fill(1)
    box.net.mode, box.net.error = "away", SendFailed("SA4024", "too many", retry_after=told)
    (job,) = box.send()
    assert isinstance(job.last, Retry)
    assert job.last.not_before == NOW + timedelta(minutes=10)


def test_after_five_failures_the_others_wait_for_one_that_tries(box: Box) -> None:
    ids = box.fill(20)
    box.net.mode = "away"
    counts = [sum(state(job) is State.WAITING for job in box.send()) for _ in range(2)]
    assert counts == [5, 5], "another process knows it, too"
    box.later(minutes=1)
    assert sum(state(job) is State.WAITING for job in box.send()) == 6, "one tries"
    box.later(minutes=5)
    box.net.mode = "fine"
    done = box.send()
    assert [job.id for job in done] == ids
    assert {state(job) for job in done} == {State.RECEIPTED}
    assert set(box.net.ledger.arrived.values()) == {1}


def test_a_question_that_is_refused_shows_that_the_receiver_is_there(box: Box) -> None:
    first, *others = box.fill(6)
    box.net.mode = "vanish"
    with box.open() as (_, pipeline):
        pipeline.advance(first)
        box.net.mode = "away"
        for id in others:
            pipeline.advance(id)
        assert all(breaker.open for breaker in pipeline.breakers())
        box.later(minutes=10)
        box.net.mode, box.net.asked = "fine", SendRefused("SA4024", "no such question")
        pipeline.advance(first)
        assert [state(pipeline.advance(id)) for id in others] == [State.RECEIPTED] * 5


def test_one_that_the_receiver_does_not_take_blocks_no_other_and_is_given_up(box: Box) -> None:
    box.schedule = FAST.model_copy(update={"most_attempts": 3})
    first, *_ = box.fill(3)
    box.net.bad = b'"PO-0"'
    job, *others = box.send(minutes=60)
    assert [sent(other) for other in others] == [["Attempt", "Receipt"]] * 2
    assert sent(job) == ["Attempt", "Retry", "Attempt", "Retry", "Attempt", "Retry", "DeadLetter"]
    assert job.last == DeadLetter(envelope=job.facts[3].envelope, number=3, reason="not this one")  # type: ignore[union-attr]
    assert box.send(minutes=60)[0] == job, "it is not tried by itself"
    box.net.bad = b""
    with box.open() as (_, pipeline):
        again = pipeline.resend(first, "li").last
        assert isinstance(again, Retry)
        assert (again.by, again.not_before) == ("person:li", None)
    box.later(hours=1)
    job, *_ = box.send()
    assert sent(job)[7:] == ["Retry", "Envelope", "Attempt", "Receipt"], "and signed anew: an hour went by"


def test_nothing_is_done_between_the_end_of_a_wait_and_the_next_one_that_is_due(box: Box) -> None:
    box.schedule = FAST.model_copy(update={"breaker_failures": 2})
    first, second = box.fill(2)
    box.net.mode, box.net.error = "away", SendFailed("SA4024", "too many", retry_after="3000")
    with box.open() as (_, pipeline):
        pipeline.advance(first)
        box.net.error = None
        pipeline.advance(second)
        pipeline.withdraw(second, "li", "entered twice")
    box.later(seconds=10)

    def sleep(seconds: float) -> None:
        pytest.fail(f"woke up for nothing, for {seconds} s")

    with box.open() as (archive, pipeline):
        assert all(breaker.open for breaker in pipeline.breakers())
        until = box.clock() + timedelta(minutes=10)
        assert App.deliver(None, pipeline, archive, until=until, sleep=sleep) == []  # type: ignore[arg-type]


def test_what_was_handed_over_is_asked_for_until_its_receipt_is_there(box: Box) -> None:
    box.fill(2)
    box.net.mode = "later"
    assert [state(job) for job in box.send(minutes=5)] == [State.DELIVERED] * 2
    assert box.clock() == NOW + timedelta(minutes=5), "every minute"
    with box.open() as (archive, pipeline):
        assert App.overdue(None, pipeline, archive) == []  # type: ignore[arg-type] # it needs nothing of the App
        box.later(hours=25)
        (late,) = App.overdue(None, pipeline, archive)  # type: ignore[arg-type]
    assert (late.code, late.values) == ("SA7062", {"count": 2, "hours": 24})
    box.net.mode = "fine"
    assert [sent(job)[-2:] for job in box.send()] == [["Delivered", "Receipt"]] * 2


def test_where_only_a_person_can_find_out_a_person_is_told(box: Box) -> None:
    box.fill(1)
    box.net.repeat, box.net.mode = "never", "vanish"
    box.send()
    with box.open() as (archive, pipeline):
        (told,) = App.overdue(None, pipeline, archive)  # type: ignore[arg-type] # it needs nothing of the App
    assert (told.code, told.exit_code) == ("SA7063", 5)


def test_attempts_that_found_the_destination_away_do_not_count_but_age_does(box: Box) -> None:
    box.schedule = outbox.Settings(longest_wait_s=21_600, most_attempts=2, oldest_days=3)
    box.fill(1)
    box.net.mode = "away"
    (job,) = box.send(minutes=60 * 24 * 2)
    assert sum(isinstance(fact, Retry) for fact in job.facts) > 20
    assert state(job) is State.WAITING
    (job,) = box.send(minutes=60 * 24 * 2)
    assert state(job) is State.DEAD


def test_only_what_waits_or_was_given_up_is_sent_again(box: Box) -> None:
    (id,) = box.fill(1)
    box.send()
    with box.open() as (_, pipeline):
        for name, code in ((id, "SA6009"), (JobId("doc/none"), "SA6004")):
            with pytest.raises(BusinessError) as caught:
                pipeline.resend(name, "li")
            assert caught.value.code == code


def test_where_only_a_person_can_find_out_a_person_can_say_that_it_is_not_there(box: Box) -> None:
    (id,) = box.fill(1)
    box.net.repeat, box.net.mode = "never", "vanish"
    box.send()
    box.later(hours=1)
    assert [state(job) for job in box.send()] == [State.UNKNOWN]
    box.net.mode = "fine"
    with box.open() as (_, pipeline):
        with pytest.raises(BusinessError):
            pipeline.resend(id, "li")
        assert state(pipeline.resend(id, "li", absent=True)) is State.WAITING
    assert [state(job) for job in box.send()] == [State.RECEIPTED]


def test_a_lost_answer_is_asked_for_a_lost_letter_is_sent_again(box: Box) -> None:
    box.fill(2)
    box.net.mode = "lost"
    box.send()
    box.net.mode = "fine"
    box.later(minutes=1)
    assert [sent(job) for job in box.send()] == [["Attempt", "Receipt"]] * 2
    assert set(box.net.ledger.arrived.values()) == {1}


# --- new signatures -------------------------------------------------------------------------------------------------


def test_an_old_signature_is_made_anew_before_it_leaves_and_both_stay_in_the_log(box: Box) -> None:
    box.fill(1)
    box.later(seconds=box.schedule.resign_after_s)
    (job,) = box.send()  # the ledger refuses what was signed too long ago
    assert sent(job) == ["Envelope", "Attempt", "Receipt"]
    old, new = (fact for fact in job.facts if isinstance(fact, Envelope))
    assert old.document == new.document
    assert old.envelope != new.envelope
    assert job.facts[5] == Attempt(envelope=new.envelope, number=1)
    assert list(box.net.ledger.arrived.values()) == [1]


def test_a_fresh_signature_is_not_made_anew(box: Box) -> None:
    box.fill(1)
    box.later(seconds=box.schedule.resign_after_s - 1)
    assert sent(box.send()[0]) == ["Attempt", "Receipt"]


def test_what_was_signed_with_a_key_that_is_active_no_more_is_signed_anew(box: Box) -> None:
    box.fill(1)
    box.key_index = "02"
    assert sent(box.send()[0])[:1] == ["Envelope"]


# --- versions -------------------------------------------------------------------------------------------------------


def test_a_newer_version_waits_while_nobody_knows_whether_the_older_one_arrived(box: Box) -> None:
    (old,) = box.fill(1)
    box.net.repeat, box.net.mode = "never", "vanish"
    box.send()
    with SqliteArchive(box.path, box.clock) as archive:
        offline.fill_one(archive, 0, box.clock(), Seal(), "启明精工")
    box.net.mode = "fine"
    assert [state(job) for job in box.send()] == [State.UNKNOWN, State.SIGNED]
    with box.open() as (_, pipeline):
        pipeline.resend(old, "li", absent=True)
    assert [state(job) for job in box.send()] == [State.STOPPED, State.RECEIPTED], "the older one is surely not there"


# --- the model ------------------------------------------------------------------------------------------------------


@dataclass
class Known:
    """One document as the model has it."""

    state: State = State.SIGNED
    due: datetime | None = None
    tries: int = 0
    bad: int = 0
    first: datetime | None = None
    signed: datetime = NOW
    there: bool = False
    by: bool = False


MODEL = outbox.Settings(longest_wait_s=120, most_attempts=3, oldest_days=1, breaker_failures=3)


class Model(RuleBasedStateMachine):
    """The outbox against lists and numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.box = Box(Path(tempfile.mkdtemp(prefix="outbox-")), schedule=MODEL)
        self.opened = self.box.open()
        self.archive, self.pipeline = self.opened.__enter__()
        self.known: dict[JobId, Known] = {}
        self.failures = 0
        self.until: datetime | None = None

    def teardown(self) -> None:
        self.opened.__exit__(None, None, None)
        shutil.rmtree(self.box.folder)

    # --- what happens ---

    @precondition(lambda self: len(self.known) < 6)
    @rule()
    def read_another(self) -> None:
        number = len(self.known)
        id = offline.fill_one(self.archive, number, self.box.clock(), Seal())
        self.known[id] = Known(signed=self.box.clock())

    @rule(seconds=st.sampled_from([1, 2, 5, 30, 61, 240, 3600, 100_000]))
    def time_goes_by(self, seconds: int) -> None:
        self.box.later(seconds=seconds)

    @rule(mode=st.sampled_from(["fine", "later", "lost", "vanish", "away", "away", "refuse"]))
    def send(self, mode: Mode) -> None:
        self.box.net.mode = mode
        # One round, and one document after the other: `App.advance` asks for one while another is under way.
        for id in wiring._due(self.pipeline, self.archive):
            self.pipeline.advance(id)
        self.round(mode, self.box.clock())

    @precondition(lambda self: any(k.state in (State.WAITING, State.DEAD) for k in self.known.values()))
    @rule(data=st.data())
    def a_person_wants_it(self, data: st.DataObject) -> None:
        wanted = [id for id, k in self.known.items() if k.state in (State.WAITING, State.DEAD)]
        id = data.draw(st.sampled_from(wanted))
        self.pipeline.resend(id, "li")
        known = self.known[id]
        known.state, known.due, known.bad, known.first, known.by = State.WAITING, None, 0, None, True
        self.failures, self.until = 0, None

    @rule()
    def another_process(self) -> None:
        self.opened.__exit__(None, None, None)
        self.opened = self.box.open()
        self.archive, self.pipeline = self.opened.__enter__()
        (derived,) = self.pipeline.breakers()
        if not any(k.state in (State.UNKNOWN, State.DELIVERED) for k in self.known.values()):
            assert derived.failures <= self.failures
        self.failures, self.until = derived.failures, derived.until

    # --- the model ---

    def held(self, now: datetime) -> bool:
        return self.failures >= MODEL.breaker_failures and self.until is not None and now < self.until

    def wait(self, tries: int) -> timedelta:
        return timedelta(seconds=max(1, min(2**tries, MODEL.longest_wait_s) / 2))

    def failed(self, now: datetime) -> None:
        self.until = now + self.wait(self.failures + 1)
        self.failures += 1

    def answered(self) -> None:
        self.failures, self.until = 0, None

    def round(self, mode: Mode, now: datetime) -> None:
        open_ = (State.SIGNED, State.UNKNOWN, State.DELIVERED, State.WAITING)
        order = {id: n for n, id in enumerate(self.known)}
        epoch = datetime(1, 1, 1, tzinfo=UTC)
        due = [id for id, k in self.known.items() if k.state in open_ and (k.due or epoch) <= now]
        for id in sorted(due, key=lambda id: (self.known[id].due or epoch, order[id])):
            if self.held(now):
                return
            known = self.known[id]
            if known.state in (State.UNKNOWN, State.DELIVERED):
                self.ask(known, mode, now)
            here = known.state in (State.SIGNED, State.WAITING) and (known.due or epoch) <= now
            if here and not self.held(now) and not self.give_up(known, now):
                self.attempt(known, mode, now)

    def ask(self, known: Known, mode: Mode, now: datetime) -> None:
        if mode == "away":
            self.failed(now)
            return
        self.answered()
        if known.there:
            known.state = State.DELIVERED if mode == "later" else State.RECEIPTED
        else:
            known.state, known.by = State.WAITING, False
            known.bad += 1
            known.due = now + self.wait(known.tries - 1) if known.tries > 1 else None
            self.give_up(known, now)

    def attempt(self, known: Known, mode: Mode, now: datetime) -> None:
        if abs(now - known.signed) >= timedelta(seconds=MODEL.resign_after_s):
            known.signed = now
        known.tries += 1
        known.first = known.first or now
        known.there |= mode in ("fine", "later", "lost")
        known.due = None
        if mode in ("lost", "vanish"):
            known.state = State.UNKNOWN
            self.failed(now)
        elif mode in ("fine", "later"):
            known.state = State.RECEIPTED if mode == "fine" else State.DELIVERED
            self.answered()
        else:
            known.state, known.by = State.WAITING, False
            if mode == "away":
                self.failed(now)
                known.due = self.until
            else:
                self.answered()
                known.bad += 1
                known.due = now + self.wait(known.tries)
            self.give_up(known, now)

    def give_up(self, known: Known, now: datetime) -> bool:
        old = known.first is not None and now - known.first > timedelta(days=MODEL.oldest_days)
        if known.state is State.WAITING and not known.by and (known.bad >= MODEL.most_attempts or old):
            known.state, known.due = State.DEAD, None
            return True
        return False

    # --- what always holds ---

    @invariant()
    def they_agree(self) -> None:
        for id, known in self.known.items():
            job = self.archive.job(id)
            assert state(job) is known.state
            due = job.last.not_before if isinstance(job.last, Retry) else None
            assert due == known.due
            assert sum(isinstance(fact, Attempt) for fact in job.facts) == known.tries
        (breaker,) = self.pipeline.breakers()
        assert (breaker.failures, breaker.until) == (self.failures, self.until)
        assert not breaker.trying
        arrived = self.box.net.ledger.arrived
        assert set(arrived.values()) <= {1}
        assert len(arrived) == sum(known.there for known in self.known.values())


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)


# --- crashes --------------------------------------------------------------------------------------------------------


def scenario(box: Box) -> None:
    """One is given up and sent again by a person, one handed over and answered later, one signed anew."""
    for mode, wanted in (("refuse", 0), ("later", 1), ("away", 2), ("fine", None)):
        box.net.mode = mode  # type: ignore[assignment]
        with box.open() as (archive, pipeline):
            ids = archive.documents()
            for id in ids if wanted is None else [ids[wanted]]:
                if state(archive.job(id)) is State.DEAD:
                    pipeline.resend(id, "li")
                pipeline.advance(id)
        box.later(minutes=10)


APPENDS = 17


@pytest.fixture
def three(box: Box) -> Box:
    box.schedule = FAST.model_copy(update={"most_attempts": 1, "breaker_failures": 50})
    box.fill(3)
    return box


def test_the_scenario_has_so_many_appends(three: Box) -> None:
    scenario(three)
    assert three.appended == APPENDS
    assert [sent(job) for job in three.send()] == [
        ["Attempt", "Retry", "DeadLetter", "Retry", "Envelope", "Attempt", "Receipt"],
        ["Envelope", "Attempt", "Delivered", "Receipt"],
        ["Envelope", "Attempt", "Retry", "Envelope", "Attempt", "Receipt"],
    ]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(APPENDS))
def test_a_crash_at_any_append_of_the_outbox_loses_and_doubles_nothing(three: Box, at: int, after: bool) -> None:
    three.crash_at, three.crash_after = at, after
    with pytest.raises(Crash):
        scenario(three)
    assert verify(three.path).problems == ()
    for _ in range(2):
        three.later(hours=1)
        scenario(three)
    three.later(hours=1)
    assert {state(job) for job in three.send()} == {State.RECEIPTED}
    assert sorted(three.net.ledger.arrived.values()) == [1, 1, 1]
    assert verify(three.path).problems == ()


# --- thirty days ----------------------------------------------------------------------------------------------------


def test_after_thirty_days_away_everything_arrives_once(tmp_path: Path) -> None:
    """1,000 documents; `python -m tests.faults.offline` does it with 1,000,000."""
    clock = Clock()
    ledger = Ledger(clock)
    line = Line(clock, NOW + offline.AWAY, ledger.receive)
    with SqliteArchive(tmp_path / "archive.db", clock) as archive:
        offline.fill(archive, 1000, clock(), Seal())
        pipeline = offline.pipeline(archive, clock, line, Seal(), holds, {"01": Seal.public_key}, lambda: 0.9)
        pipeline.schedule = outbox.Settings(longest_wait_s=86_400)
        offline.drain(pipeline, archive, clock, NOW + timedelta(days=40))
        assert clock() < NOW + offline.AWAY + timedelta(days=1)
        assert archive.counts() == {State.RECEIPTED: 1000}
    assert line.tried < 60
    assert set(ledger.arrived.values()) == {1}
    assert len(ledger.arrived) == 1000


def test_after_thirty_days_away_the_platform_has_everything_once(tmp_path: Path) -> None:
    """With real signatures, made anew, and the platform's own receipts."""
    clock, key = Clock(), Key()
    platform = Platform(clock, {(AK, key.key_index): key.public_key}, FORMATS)
    line = Line(clock, NOW + offline.AWAY, lambda letter, id: platform.receive(letter, id)[1])
    with SqliteArchive(tmp_path / "archive.db", clock) as archive:
        offline.fill(archive, 40, clock(), Seal())
        pipeline = offline.pipeline(archive, clock, line, key, sm2.verify, platform.public_keys, lambda: 0.9)
        pipeline.schedule = outbox.Settings(longest_wait_s=86_400)
        offline.drain(pipeline, archive, clock, NOW + timedelta(days=40))
        assert archive.counts() == {State.RECEIPTED: 40}
        documents = {archive.get(archive.job(id).facts[0].document) for id in archive.documents()}  # type: ignore[union-attr]
    assert [stored.deliveries for stored in platform.stored()] == [1] * 40
    assert {stored.document for stored in platform.stored()} == documents
    platform.close()
