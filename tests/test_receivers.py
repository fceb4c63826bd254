"""Several receivers: one that is away holds nothing of another, and what follows a document leaves after it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scraper_agent import app as wiring
from scraper_agent import canonical, envelope, outbox
from scraper_agent.app import App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.archive.verify import verify
from scraper_agent.envelope import Profile
from scraper_agent.errors import SendUnknown, SourceErrors
from scraper_agent.formats import FORMATS
from scraper_agent.messages import render
from scraper_agent.pipeline import Destination, Pipeline, Receiver
from scraper_agent.ports import Standing
from scraper_agent.sandbox.platform import Platform
from scraper_agent.signing import sm2
from scraper_agent.values import Attempt, Delivered, Digest, Draft, Entry, Job, JobId, Receipt, Retry, State, state
from tests.faults import offline
from tests.faults.offline import Clock, Ledger, Seal, holds
from tests.test_outbox import FAST, Mode, Net
from tests.transports.contract import Key
from tests.world import AK, NOW

PROVINCE = "440001"
PUBLIC = Key().public_key
WAYBILL, STATUS = "dangerousGoodsWaybill", "waybillStatus"


@dataclass
class Site:
    """An archive with signed documents, a clock, customs and a province; each `open` is a process of its own."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    schedule: outbox.Settings = FAST
    customs: Net = field(init=False)
    province: Net = field(init=False)

    def __post_init__(self) -> None:
        self.customs, self.province = Net(Ledger(self.clock)), Net(Ledger(self.clock))

    @property
    def path(self) -> Path:
        return self.folder / "archive.db"

    @contextmanager
    def open(self) -> Iterator[tuple[SqliteArchive, Pipeline]]:
        with SqliteArchive(self.path, self.clock) as archive:
            keys = {"01": Seal.public_key}
            pipeline = offline.pipeline(archive, self.clock, self.customs, Seal(), holds, keys, lambda: 0.5)
            receiver = Receiver(ak=PROVINCE, profile=envelope.DEFAULT, public_keys=keys, verify=holds)
            there = Destination(receiver=receiver, transport=self.province)
            pipeline.schedule, pipeline.destinations = self.schedule, {WAYBILL: there, STATUS: there}
            yield archive, pipeline

    def order(self, number: int) -> JobId:
        with SqliteArchive(self.path, self.clock) as archive:
            return offline.fill_one(archive, number, self.clock(), Seal())

    def waybill(self, number: int, weight: str = "1.000") -> JobId:
        return self._put(WAYBILL, f"WB{number:022}", {"i1": f"WB{number:022}", "i510": weight})

    def status(self, number: int, name: str, at: str = "20260506T093000") -> JobId:
        return self._put(STATUS, f"WB{number:022} {name}", {"i1": f"WB{number:022}", "status": name, "at": at})

    def _put(self, format: str, key: str, header: dict[str, str]) -> JobId:
        body = canonical.dumps({"header": header, "lines": []})
        with SqliteArchive(self.path, self.clock) as archive:
            return offline.put_signed(archive, format, key, body, self.clock(), Seal(), PROVINCE)

    def send(self, minutes: float = 0) -> dict[JobId, State]:
        """`send --wait`; then where everything stands."""
        with self.open() as (archive, pipeline):
            offline.drain(pipeline, archive, self.clock, self.clock() + timedelta(minutes=minutes))
            return {id: state(archive.job(id)) for id in archive.documents()}

    def job(self, id: JobId) -> Job:
        with SqliteArchive(self.path, self.clock, read_only=True) as archive:
            return archive.job(id)

    def why(self, id: JobId) -> str:
        with self.open() as (archive, pipeline):
            return "; ".join(render(text, values) for text, values in pipeline.held_because(archive.job(id)))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


# --- each receiver by itself ----------------------------------------------------------------------------------------


def test_each_document_goes_to_the_receiver_of_its_format_under_the_name_that_one_gave(site: Site) -> None:
    order, waybill = site.order(1), site.waybill(1)
    site.clock.at += timedelta(hours=1)  # so that both are signed anew
    assert set(site.send().values()) == {State.RECEIPTED}
    with site.open() as (archive, pipeline):
        for id, net, ak in ((order, site.customs, "310001"), (waybill, site.province, PROVINCE)):
            left = next(fact for fact in archive.job(id).facts if isinstance(fact, Attempt))
            request = envelope.read_request(archive.get(left.envelope))
            assert (request.ak, request.key) == (ak, pipeline.key(archive.job(id)))
            assert set(net.ledger.arrived) == {request.key}


def test_a_province_that_is_away_holds_no_customs_documents_not_even_after_a_restart(site: Site) -> None:
    waybills = [site.waybill(number) for number in range(20)]
    orders = [site.order(number) for number in range(3)]
    site.province.mode = "away"
    stand = site.send()
    assert {stand[id] for id in orders} == {State.RECEIPTED}
    assert sum(stand[id] is State.WAITING for id in waybills) == 5
    later = site.order(9)
    stand = site.send()  # another process, which knows it from the log although customs has answered since
    assert stand[later] is State.RECEIPTED
    assert sum(stand[id] is State.WAITING for id in waybills) == 5
    site.province.mode = "fine"
    assert set(site.send(minutes=60).values()) == {State.RECEIPTED}
    assert set(site.province.ledger.arrived.values()) == {1}


def test_customs_that_is_away_holds_no_waybills(site: Site) -> None:
    orders = [site.order(number) for number in range(7)]
    waybills = [site.waybill(number) for number in range(7)]
    site.customs.mode = "away"
    stand = site.send()
    assert {stand[id] for id in waybills} == {State.RECEIPTED}
    assert sum(stand[id] is State.WAITING for id in orders) == 5


def test_while_one_is_away_the_other_is_asked_for_its_receipts_every_minute(site: Site) -> None:
    site.schedule = FAST.model_copy(update={"breaker_failures": 1, "shortest_wait_s": 1800})
    site.waybill(1)
    order = site.order(1)
    site.province.mode, site.customs.mode = "away", "later"
    woken = []

    def sleep(seconds: float) -> None:
        woken.append(seconds)
        site.clock.sleep(seconds)
        site.customs.mode = "fine"

    with site.open() as (archive, pipeline):
        until = site.clock() + timedelta(minutes=10)
        App.deliver(None, pipeline, archive, until=until, sleep=sleep)  # type: ignore[arg-type] # it needs nothing of the App
        assert state(archive.job(order)) is State.RECEIPTED
    assert woken == [60]


def test_what_waits_for_a_receiver_that_is_away_wakes_nobody_before_its_time(site: Site) -> None:
    site.schedule = FAST.model_copy(update={"breaker_failures": 2, "shortest_wait_s": 1800})
    waybills = [site.waybill(number) for number in range(4)]
    site.order(1)
    site.province.mode, site.customs.mode = "vanish", "fine"
    woken = []

    def sleep(seconds: float) -> None:
        woken.append(seconds)
        site.clock.sleep(seconds)
        site.province.mode = "fine"

    with site.open() as (archive, pipeline):
        until = site.clock() + timedelta(hours=2)
        App.deliver(None, pipeline, archive, until=until, sleep=sleep)  # type: ignore[arg-type] # it needs nothing of the App
        assert {state(archive.job(id)) for id in waybills} == {State.RECEIPTED}
    assert woken[0] == 1800, "two are of unknown outcome, but nobody is there to be asked"


def test_what_was_passed_over_leaves_as_soon_as_its_receiver_may_be_tried(site: Site) -> None:
    site.schedule = FAST.model_copy(update={"breaker_failures": 1, "shortest_wait_s": 600})
    waybills = [site.waybill(number) for number in range(3)]
    site.province.mode = "away"
    site.send()
    site.province.mode = "fine"
    order = site.order(1)

    def slow(id: JobId) -> bool:
        if id == order:
            site.clock.at += timedelta(hours=2)  # so long does this one take
        return True

    with site.open() as (archive, pipeline):
        until = site.clock() + timedelta(days=1)
        App.deliver(None, pipeline, archive, until=until, sleep=site.clock.sleep, wanted=slow)  # type: ignore[arg-type] # it needs nothing of the App
        assert {state(archive.job(id)) for id in (*waybills, order)} == {State.RECEIPTED}


def test_only_what_goes_where_nobody_can_be_asked_is_left_to_a_person(site: Site) -> None:
    site.province.repeat, site.province.mode, site.customs.mode = "never", "vanish", "vanish"
    site.waybill(1)
    site.order(1)
    site.send()
    with site.open() as (archive, pipeline):
        (told,) = App.overdue(None, pipeline, archive)  # type: ignore[arg-type]
    assert (told.code, told.values) == ("SA7063", {"count": 1})


def test_a_person_who_wants_one_sent_again_has_only_its_receiver_tried(site: Site) -> None:
    site.schedule = FAST.model_copy(update={"breaker_failures": 1, "shortest_wait_s": 600})
    waybills, orders = [site.waybill(n) for n in range(4)], [site.order(n) for n in range(4)]
    site.province.mode = site.customs.mode = "away"
    site.send()
    site.province.mode = site.customs.mode = "fine"
    with site.open() as (_, pipeline):
        pipeline.resend(waybills[0], "li")
    stand = site.send()
    assert [stand[id] for id in waybills if stand[id] is not State.WAITING] == [State.RECEIPTED] * 3
    assert {stand[id] for id in orders} == {State.WAITING, State.SIGNED}


# --- order between documents ----------------------------------------------------------------------------------------


def arrived(site: Site) -> list[str]:
    """Business keys in the order in which the province first had them."""
    with site.open() as (archive, pipeline):
        jobs = map(archive.job, archive.documents())
        keys = {pipeline.key(job): job.facts[0].key for job in jobs}  # type: ignore[union-attr]
    return [keys[key].lstrip("WB0") for key in site.province.ledger.arrived]


def test_a_status_follows_its_waybill_and_the_statuses_before_it_in_one_go(site: Site) -> None:
    site.status(1, "running")
    site.status(1, "done")
    site.waybill(1)
    site.waybill(2)
    site.status(2, "void")
    assert set(site.send().values()) == {State.RECEIPTED}
    assert arrived(site) == ["1", "2", "1 running", "2 void", "1 done"]


def test_a_status_waits_until_the_final_receipt_of_its_waybill_is_there(site: Site) -> None:
    waybill, running, done = site.waybill(1), site.status(1, "running"), site.status(1, "done")
    site.province.mode = "later"
    assert list(site.send().values()) == [State.DELIVERED, State.SIGNED, State.SIGNED]
    assert site.why(running) == f"{WAYBILL} WB{1:022} has to be accepted by the receiver before, and is delivered"
    assert site.why(waybill) == ""
    site.province.mode = "fine"
    assert set(site.send().values()) == {State.RECEIPTED}
    assert arrived(site) == ["1", "1 running", "1 done"]
    assert site.why(done) == ""


def test_a_status_that_is_lost_on_its_way_holds_the_one_after_it(site: Site) -> None:
    site.waybill(1)
    site.send()
    site.status(1, "running")
    done = site.status(1, "done")
    site.province.mode = "vanish"
    assert list(site.send().values()) == [State.RECEIPTED, State.UNKNOWN, State.SIGNED]
    assert site.why(done) == f"{STATUS} WB{1:022} running has to be accepted by the receiver before, and is unknown"
    site.province.mode = "fine"
    site.clock.at += timedelta(minutes=1)
    assert set(site.send(minutes=5).values()) == {State.RECEIPTED}
    assert arrived(site) == ["1", "1 running", "1 done"]


def test_the_newest_version_of_a_waybill_has_to_be_accepted(site: Site) -> None:
    site.waybill(1)
    site.send()
    newer = site.waybill(1, "2.000")
    running = site.status(1, "running")
    site.province.bad = b"2.000"
    site.send()
    assert state(site.job(running)) is State.SIGNED
    assert site.why(running).endswith("and is waiting")
    with site.open() as (_, pipeline):
        pipeline.withdraw(newer, "li", "entered twice")
    assert site.send()[running] is State.SIGNED
    assert site.why(running).endswith("and is stopped")


@pytest.mark.parametrize("there", [True, False], ids=["refused", "not here"])
def test_a_status_of_what_was_refused_or_is_not_there_waits_and_says_why(site: Site, there: bool) -> None:
    if there:
        site.waybill(1)
        site.province.ledger.refused = True
        site.send()
        site.province.ledger.refused = False
    running = site.status(1, "running")
    assert site.send(minutes=10)[running] is State.SIGNED
    assert site.clock() == NOW, "nothing comes due"
    says = f"{WAYBILL} WB{1:022} has to be accepted by the receiver before, and is rejected"
    assert site.why(running) == (says if there else f"there is no {WAYBILL} WB{1:022} here")
    site.waybill(1, "3.000")
    assert site.send()[running] is State.RECEIPTED


def test_nothing_follows_a_waybill_that_is_void(site: Site) -> None:
    site.waybill(1)
    site.status(1, "void")
    running = site.status(1, "running")
    assert site.send()[running] is State.SIGNED
    assert site.why(running) == f"nothing follows {STATUS} WB{1:022} void"


def test_nothing_is_told_of_a_waybill_that_is_withdrawn(site: Site) -> None:
    waybill = site.waybill(1)
    site.send()
    with site.open() as (archive, _):
        draft = archive.job(waybill).facts[0]
        assert isinstance(draft, Draft)
        taken_back = replace(draft, replaces=waybill, withdrawn_by="person:li", reason="entered twice")
        archive.append(JobId(f"doc/{WAYBILL}/{'0' * 64}"), 0, taken_back)
    running = site.status(1, "running")
    with site.open() as (archive, pipeline):
        pipeline.advance(running)
        assert state(archive.job(running)) is State.SIGNED
    assert site.why(running) == f"{WAYBILL} WB{1:022} is withdrawn"


def test_a_status_made_anew_takes_the_place_of_the_one_that_was_refused(site: Site) -> None:
    site.waybill(1)
    site.send()
    site.status(1, "running")
    done = site.status(1, "done")
    site.province.ledger.refused = True
    site.send()
    assert site.why(done).endswith(" running has to be accepted by the receiver before, and is rejected")
    site.province.ledger.refused = False
    again = site.status(1, "running", "20260506T101500")
    stand = site.send()
    assert (stand[again], stand[done]) == (State.RECEIPTED, State.RECEIPTED)


def test_what_waits_for_another_is_not_looked_at_again_before_that_one_has_changed(site: Site) -> None:
    waybill = site.waybill(1)
    running = site.status(1, "running")
    site.province.mode = "later"
    with site.open() as (archive, pipeline):
        assert list(wiring._due(pipeline, archive))[1:] == [running]
        pipeline.advance(running)
        assert running not in wiring._due(pipeline, archive)
        pipeline.advance(waybill)
        assert running in wiring._due(pipeline, archive), "it is delivered now"
        pipeline.advance(running)
        assert running not in wiring._due(pipeline, archive)
        keys = {"01": Seal.public_key}
        another = offline.pipeline(archive, site.clock, site.customs, Seal(), holds, keys, lambda: 0.5)
        another.resend(waybill, "li", absent=True)
        assert running in wiring._due(pipeline, archive), "whoever changed it"


# --- whatever happens -----------------------------------------------------------------------------------------------

MODES: list[Mode] = ["fine", "later", "lost", "vanish", "away", "away", "refuse"]


class Machine(RuleBasedStateMachine):
    """Orders, waybills and statuses to two receivers in any mood: what holds of the log and of what arrived."""

    def __init__(self) -> None:
        super().__init__()
        schedule = FAST.model_copy(update={"breaker_failures": 2, "most_attempts": 1000, "longest_wait_s": 120})
        self.site = Site(Path(tempfile.mkdtemp(prefix="receivers-")), schedule=schedule)
        self.orders: list[JobId] = []
        self.ways: list[list[JobId]] = []
        """Of each waybill itself and its statuses, in the order in which they are to leave."""

    def teardown(self) -> None:
        self.everything_is_fine_again()
        shutil.rmtree(self.site.folder)

    @precondition(lambda self: len(self.orders) < 4)
    @rule()
    def an_order(self) -> None:
        self.orders.append(self.site.order(len(self.orders)))

    @precondition(lambda self: len(self.ways) < 3)
    @rule()
    def a_waybill(self) -> None:
        self.ways.append([self.site.waybill(len(self.ways))])

    @precondition(lambda self: any(len(way) < 3 for way in self.ways))
    @rule(data=st.data())
    def its_status(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from([n for n, way in enumerate(self.ways) if len(way) < 3]))
        way = self.ways[number]
        way.append(self.site.status(number, ("running", "done")[len(way) - 1]))

    @rule(seconds=st.sampled_from([1, 30, 61, 3600]))
    def time_goes_by(self, seconds: int) -> None:
        self.site.clock.at += timedelta(seconds=seconds)

    @rule(customs=st.sampled_from(MODES), province=st.sampled_from(MODES), refused=st.booleans())
    def send(self, customs: Mode, province: Mode, refused: bool) -> None:
        self.site.customs.mode, self.site.province.mode = customs, province
        self.site.province.ledger.refused = refused
        with self.site.open() as (archive, pipeline):
            waits = not self.orders or pipeline.breaker(self.orders[0]).holds(self.site.clock())
            due = set(archive.due(self.site.clock())) & set(self.orders)
        stand = self.site.send()
        if customs == "fine" and not waits:
            assert {stand[id] for id in due} <= {State.RECEIPTED, State.WAITING}
            assert all(stand[id] is State.RECEIPTED or self.not_there(id) for id in due), "whatever the province does"

    def not_there(self, id: JobId) -> bool:
        """Customs said that it does not have it, and it is sent again after a wait."""
        last = self.site.job(id).last
        return isinstance(last, Retry) and last.cause == "absent"

    @rule()
    def everything_is_fine_again(self) -> None:
        self.site.customs.mode = self.site.province.mode = "fine"
        self.site.province.ledger.refused = False
        stand = self.site.send(minutes=60)
        assert {stand[id] for id in self.orders} <= {State.RECEIPTED}
        for way in self.ways:
            ends = [stand[id] for id in way]
            taken = ends.index(State.REJECTED) if State.REJECTED in ends else len(ends)
            assert ends[:taken] == [State.RECEIPTED] * taken
            assert set(ends[taken + 1 :]) <= {State.SIGNED}, "what follows a refused one stays"

    @invariant()
    def what_follows_leaves_after_what_was_accepted_before(self) -> None:
        before = {way[n]: way[:n] for way in self.ways for n in range(len(way))}
        accepted: set[JobId] = set()
        with SqliteArchive(self.site.path, self.site.clock) as archive:
            for entry in archive.entries():
                if isinstance(entry.fact, Receipt) and entry.fact.accepted:
                    accepted.add(entry.job)
                if isinstance(entry.fact, Attempt):
                    assert accepted.issuperset(before.get(entry.job, []))

    @invariant()
    def each_arrives_once_and_where_it_belongs(self) -> None:
        with self.site.open() as (archive, pipeline):
            keys = [{pipeline.key(archive.job(id)) for id in ids} for ids in (self.orders, chain(*self.ways))]
        for known, net in zip(keys, (self.site.customs, self.site.province), strict=True):
            assert set(net.ledger.arrived) <= known
            assert set(net.ledger.arrived.values()) <= {1}


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=8, stateful_step_count=20, deadline=None)


# --- receipts in steps ----------------------------------------------------------------------------------------------


@dataclass
class Desk:
    """The sandbox platform as a transport, without a network."""

    platform: Platform
    repeat: Literal["ask"] = "ask"

    def send(self, envelope: bytes, *, key: str) -> bytes:
        return self.platform.receive(envelope, key)[1]

    def find(self, key: str) -> bytes | Standing:
        return self.platform.answer_to(key) or Standing.ABSENT

    def close(self) -> None:
        pass


class Steps:
    """One order on its way to a platform that hands it on to customs."""

    def __init__(self, folder: Path) -> None:
        self.path, self.clock, self.key = folder / "archive.db", Clock(), Key()
        self.platform = Platform(self.clock, {(AK, self.key.key_index): self.key.public_key}, {offline.FORMAT})
        self.platform.postpone()
        with self.open() as (archive, _):
            self.id = offline.fill_one(archive, 1, self.clock(), self.key)

    @contextmanager
    def open(self) -> Iterator[tuple[SqliteArchive, Pipeline]]:
        with SqliteArchive(self.path, self.clock) as archive:
            keys, desk = self.platform.public_keys, Desk(self.platform)
            yield archive, offline.pipeline(archive, self.clock, desk, self.key, sm2.verify, keys, lambda: 0.5)

    def send(self) -> Job:
        with self.open() as (archive, pipeline):
            offline.drain(pipeline, archive, self.clock, self.clock() + timedelta(minutes=3))
            return archive.job(self.id)


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[Steps]:
    made = Steps(tmp_path)
    yield made
    made.platform.close()


@pytest.mark.parametrize("refuse", ["", "wrong weight"], ids=["accepted", "refused"])
def test_what_the_platform_took_is_asked_for_until_customs_has_answered_and_both_receipts_are_kept(
    steps: Steps, refuse: str
) -> None:
    job = steps.send()
    taken = job.last
    assert isinstance(taken, Delivered)
    assert taken.receipt is not None
    assert len(job.facts) == 6, "it is asked for every minute, and nothing new is said"
    assert steps.clock() > NOW
    steps.platform.conclude(1, refuse)
    job = steps.send()
    final = job.last
    assert isinstance(final, Receipt)
    assert (final.accepted, final.message) == (not refuse, refuse or "已接收 accepted")
    assert len(job.facts) == 7
    with steps.open() as (archive, pipeline):
        key, digest = pipeline.key(job), job.facts[0].document  # type: ignore[union-attr]
        codes = [
            envelope.open_receipt(
                archive.get(body), sm2.verify, steps.platform.public_keys, key=key, digest=digest
            ).code
            for body in (taken.receipt, final.receipt)
        ]
    assert codes == ["0001", "4221" if refuse else "0000"]
    assert steps.platform.stored()[0].deliveries == 1
    assert verify(steps.path).problems == ()


def test_an_interim_receipt_settles_an_attempt_whose_answer_was_lost(steps: Steps) -> None:
    with steps.open() as (archive, pipeline):
        there, pipeline.transport = pipeline.transport, Deaf(steps.platform)
        pipeline.advance(steps.id)
        assert state(archive.job(steps.id)) is State.UNKNOWN
        pipeline.transport = there
        job = pipeline.advance(steps.id)
    assert [type(fact).__name__ for fact in job.facts[4:]] == ["Attempt", "Delivered"]


class Deaf(Desk):
    def send(self, envelope: bytes, *, key: str) -> bytes:
        super().send(envelope, key=key)
        raise SendUnknown("SA4022", "no answer")


def test_the_code_of_an_interim_receipt_is_the_profiles(steps: Steps) -> None:
    with steps.open() as (_, pipeline):
        receiver = replace(pipeline.receiver, profile=Profile(interim=("0002",)))
        pipeline.receiver = receiver
        assert state(pipeline.advance(steps.id)) is State.REJECTED, "0001 is a last word, and not accepted"


def test_what_was_handed_over_without_a_receipt_has_the_bytes_it_had() -> None:
    fact = Delivered(envelope=Digest("sm3:0"), number=1)
    line = Entry(index=0, at=NOW, job=JobId("doc/a/b"), position=5, fact=fact)
    written = (
        b'{"at":"2026-05-06T01:30:00.000000Z","fact":{"envelope":"sm3:0","number":1},"index":0,"job":"doc/a/b",'
        b'"kind":"Delivered","position":5}'
    )
    assert canonical.entry_bytes(line) == written
    assert canonical.entry(written) == line
    told = replace(line, fact=replace(fact, receipt=Digest("sm3:1")))
    assert b'"receipt":"sm3:1"' in canonical.entry_bytes(told)
    assert canonical.entry(canonical.entry_bytes(told)) == told


# --- the config -----------------------------------------------------------------------------------------------------

CONFIG = """\
enterprise: {name: 上海启明精工有限公司, uscc: 91350100M000100Y43}
signing: {kind: file, folder: keys}
"""
KEYS = f'public_keys: {{"01": "{PUBLIC}"}}'
HTTPS = "transport: {kind: https, url: https://customs.example/receive}"
MQ = "kind: mq, url: amqps://mq.example/customs, user: a, exchange: requests, routing_key: documents"
SFTP = "kind: sftp, host: files.example, user: a, key_file: id, known_hosts: hosts"


def loaded(folder: Path, transport: str, **receivers: str) -> App:
    lines = [f"  {format}: {{ak: '{PROVINCE}', {told}, {KEYS}}}" for format, told in receivers.items()]
    named = "\n".join(("receivers:", *lines))
    config = f"{CONFIG}receiver: {{ak: '{AK}', {transport}, {KEYS}}}\n{named}\n"
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    (folder / "policy.yaml").write_text("{}", encoding="utf-8")
    return App.load(folder / "config.yaml")


def test_a_receiver_of_no_format_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(SourceErrors) as caught:
        loaded(tmp_path, HTTPS, dangerousGoodsWaybil=HTTPS, order=HTTPS)
    told = [f"{p.at.line}:{p.at.column} {p.code} {p.values['seen']}: {p.hint}" for p in caught.value.problems]
    assert told == [
        "5:3 SA4200 dangerousGoodsWaybil: did you mean `{near}`?",
        "6:3 SA4200 order: there are: {known}",
    ]
    assert "dangerousGoodsWaybil" in str(caught.value)


@pytest.mark.parametrize(
    ("customs", "province", "place"),
    [
        (f"{MQ}, receipts: a, inbox: in.db", f"{MQ}, receipts: b, inbox: x/../in.db", "{here}/in.db"),
        (f"{MQ}, receipts: a, inbox: a.db", f"{MQ}, receipts: a, inbox: b.db", "a"),
        (f"{SFTP}, folder: requests, receipts: a", f"{SFTP}, folder: requests, receipts: b", "requests"),
        (f"{SFTP}, folder: a, receipts: b", f"{SFTP}, folder: b, receipts: c", "b"),
        ("kind: folder, path: out, content: json", "kind: folder, path: out, content: excel", "{here}/out"),
        (
            "kind: folder, path: out, content: json",
            "kind: folder, path: out/receipts, content: excel",
            "{here}/out/receipts",
        ),
    ],
    ids=["mq, inbox", "mq, queue", "sftp, folder", "sftp, receipts", "folder", "folder, receipts"],
)
def test_two_receivers_that_would_take_each_others_answers_are_told(
    tmp_path: Path, customs: str, province: str, place: str
) -> None:
    transports = (f"transport: {{{each}}}" for each in (customs, province))
    with pytest.raises(SourceErrors) as caught:
        loaded(tmp_path, next(transports), dangerousGoodsWaybill=next(transports))
    (problem,) = caught.value.problems
    assert (problem.code, problem.at.line, problem.at.column) == ("SA4201", 5, 52)
    assert problem.values == {"place": place.format(here=tmp_path), "other": "receiver"}


def test_receivers_with_the_same_settings_are_one_and_a_status_goes_where_its_waybill_goes(tmp_path: Path) -> None:
    province = "transport: {kind: folder, path: out, content: json}"
    app = loaded(tmp_path, HTTPS, dangerousGoodsWaybill=province, crossBorderWaybill=province)
    with app.archive():
        pass
    with app.archive(read_only=True) as archive:
        pipeline = app.pipeline(archive, lambda _job, _fact: None)
        to = {name: pipeline.destination(JobId(f"doc/{name}/0")).receiver.ak for name in FORMATS}
        assert {name for name, ak in to.items() if ak == PROVINCE} == {WAYBILL, STATUS, "crossBorderWaybill"}
        assert len(pipeline.breakers()) == 2
    app.close()
