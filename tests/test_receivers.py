"""Several receivers: one that is away holds nothing of another, and what follows a document leaves after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from scraper_agent import app as wiring
from scraper_agent import canonical, envelope, outbox
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.messages import render
from scraper_agent.pipeline import Destination, Pipeline, Receiver
from scraper_agent.values import Attempt, Job, JobId, State, state
from tests.faults import offline
from tests.faults.offline import Clock, Ledger, Seal, holds
from tests.test_outbox import FAST, Net
from tests.world import NOW

PROVINCE = "440001"
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
        wiring.App.deliver(None, pipeline, archive, until=until, sleep=sleep)  # type: ignore[arg-type] # it needs nothing of the App
        assert state(archive.job(order)) is State.RECEIPTED
    assert woken == [60]


def test_only_what_goes_where_nobody_can_be_asked_is_left_to_a_person(site: Site) -> None:
    site.province.repeat, site.province.mode, site.customs.mode = "never", "vanish", "vanish"
    site.waybill(1)
    site.order(1)
    site.send()
    with site.open() as (archive, pipeline):
        (told,) = wiring.App.overdue(None, pipeline, archive)  # type: ignore[arg-type]
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
