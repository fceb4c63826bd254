"""The exchange of GB/T 40292-2021: carrier, single window, customs and back, whatever is lost on the way."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scraper_agent import canonical, envelope, formats
from scraper_agent.envelope import ReceiptContent, ReceiptInvalid
from scraper_agent.errors import SendUnknown
from scraper_agent.format import Document, encode
from scraper_agent.sandbox import crossborder
from scraper_agent.sandbox.crossborder import Crossborder
from scraper_agent.sandbox.mischief import Fault
from scraper_agent.sandbox.platform import Ruling
from scraper_agent.sending import https
from scraper_agent.signing import sm2
from tests.test_platform import D, KeySigner
from tests.waybills import CROSS_BORDER, SAMPLES, samples

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
AK = "CARR01"
ADDED = formats.extended(CROSS_BORDER, SAMPLES / "cross_border_waybill" / "added.yaml")
BASE = next(s.document for s in samples("cross_border_waybill") if s.name == "an export by air to a person")
ONE_OF_EACH = {
    "no weight and no insurance",
    "a carrier without permit and code",
    "a time that is none",
    "half a package",
    "a mode of transport that is none",
    "a wrong credit code",
    "insured by nobody",
    "an element that nobody added",
}
REJECTED = [s for s in samples("cross_border_waybill") if s.name in ONE_OF_EACH]


@dataclass
class Clock:
    at: datetime = NOW

    def __call__(self) -> datetime:
        return self.at

    def go(self, **more: float) -> None:
        self.at += timedelta(**more)


@dataclass
class World:
    """Both systems, and a carrier who speaks to the first over HTTP."""

    clock: Clock
    both: Crossborder
    line: https.HttpsTransport
    sent: dict[str, bytes] = field(default_factory=dict)

    @property
    def window(self) -> crossborder.SingleWindow:
        return self.both.window

    @property
    def customs(self) -> crossborder.Customs:
        return self.both.customs

    def send(self, document: bytes) -> ReceiptContent:
        key = key_of(document)
        request = envelope.build(document, CROSS_BORDER.name, key, AK, KeySigner(), self.clock())
        return self.opened(document, self.line.send(request, key=key))

    def asked(self, document: bytes) -> ReceiptContent:
        answer = self.line.find(key_of(document))
        assert isinstance(answer, bytes)
        return self.opened(document, answer)

    def opened(self, document: bytes, receipt: bytes) -> ReceiptContent:
        return opened(receipt, document, self.window.platform.public_keys)

    def of_customs(self, document: bytes) -> ReceiptContent:
        """Customs' own receipt, out of the single window's final one."""
        data = self.asked(document).data
        assert data is not None
        return opened(data["customsReceipt"].encode(), document, self.customs.platform.public_keys)

    def states(self) -> list[tuple[str, str]]:
        return [(each.waybill, each.state) for each in self.window.transits()]

    def declared(self) -> list[bytes]:
        return [each.document for each in self.customs.platform.stored()]


def key_of(document: bytes) -> str:
    number = json.loads(document)["header"].get("waybillNumber", "-")
    return envelope.idempotency_key(AK, CROSS_BORDER.name, str(number), canonical.digest(document))


def opened(receipt: bytes, document: bytes, keys: Any) -> ReceiptContent:
    return envelope.open_receipt(receipt, sm2.verify, keys, key=key_of(document), digest=canonical.digest(document))


def waybill(**header: Any) -> bytes:
    """The base sample as it is sent, with changes."""
    return encode(replace(BASE, header={**BASE.header, **header}), ADDED)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Clock, Crossborder, https.HttpsTransport]]:
    clock = Clock()
    with (
        Crossborder(clock, {(AK, "01"): sm2.derive_public(D)}) as both,
        https.HttpsTransport(https.Config(kind="https", url=both.window.platform.url)) as line,
    ):
        yield clock, both, line


@pytest.fixture
def world(running: tuple[Clock, Crossborder, https.HttpsTransport]) -> World:
    """The same two systems for all, emptied."""
    clock, both, line = running
    clock.at += timedelta(hours=1)  # past every wait of the test before
    for platform, tables in (
        (both.window.platform, "transit odd received proof delivery later"),
        (both.customs.platform, "declared received proof delivery later"),
    ):
        platform.behave()
        with platform.together() as database:
            for table in tables.split():
                database.execute(f"DELETE FROM {table}")  # noqa: S608 - names from the lines above
    both.customs.refusals.clear()
    both.customs.holds.clear()
    both.customs.enterprises = None
    return World(clock, both, line)


# --- the whole way --------------------------------------------------------------------------------------------------


def test_a_waybill_goes_to_customs_and_its_receipt_comes_back(world):
    document = waybill()
    taken = world.send(document)
    assert (taken.code, taken.accepted) == ("0001", False)
    assert taken.data == {"waybillNumber": "XB20260302000001", "decision": "taken"}
    assert world.declared() == []
    assert world.asked(document) == taken

    assert world.window.transmit() == 1
    assert world.declared() == [document]
    final = world.asked(document)
    assert (final.code, final.accepted) == ("0000", True)
    customs = world.of_customs(document)
    assert (customs.code, customs.accepted) == ("0000", True)
    assert customs.data == {"waybillNumber": "XB20260302000001", "decision": "accepted"}
    assert world.states() == [("XB20260302000001", "accepted")]


def test_customs_receipt_holds_under_customs_key_alone(world):
    document = waybill()
    world.send(document)
    world.window.transmit()
    receipt = world.asked(document).data["customsReceipt"].encode()
    with pytest.raises(ReceiptInvalid):
        opened(receipt, document, world.window.platform.public_keys)
    with pytest.raises(ReceiptInvalid):
        opened(receipt.replace(b'"accepted":true', b'"accepted":false'), document, world.customs.platform.public_keys)
    other = waybill(waybillNumber="XB2")
    with pytest.raises(ReceiptInvalid):
        opened(receipt, other, world.customs.platform.public_keys)


def test_a_repeat_gets_the_newest_answer(world):
    document = waybill()
    assert world.send(document).code == "0001"
    assert world.send(document).code == "0001"
    world.window.transmit()
    final = world.send(document)
    assert (final.code, final.accepted) == ("0000", True)
    (stored,) = world.window.platform.stored()
    assert (stored.deliveries, stored.accepted, stored.pending) == (3, True, False)
    assert world.window.platform.shown(stored.number).receipt_holds


# --- verification ---------------------------------------------------------------------------------------------------


def sent_as_it_is(document: Document) -> bytes:
    """In bytes, also what has none by its format: as a system would write it that checks nothing."""
    header = {}
    for id, value in document.header.items():
        match value:
            case datetime():
                header[id] = f"{value:%Y%m%dT%H%M%S}"
            case _:
                header[id] = f"{value}"
    return canonical.dumps({"format": document.format, "header": header, "lines": []})


@pytest.mark.parametrize("sample", REJECTED, ids=str)
def test_a_waybill_that_does_not_conform_is_rejected_with_all_its_findings(world, sample):
    said = world.send(sent_as_it_is(sample.document))
    assert (said.code, said.accepted) == ("4301", False)
    assert said.data["verdict"] == "REJECT_TO_LOGISTICS"
    assert [
        f"{each['step']} {each['severity']} {each['code']} {each['field']} {each['text']}"
        for each in said.data["findings"]
    ] == sample.found
    for line in sample.found:
        if " error " in line:
            step, _, _, rest = line.split(" ", 3)
            assert f"{step} {rest}" in said.reason
    world.window.transmit()
    assert (world.states(), world.declared()) == ([], [])


def test_every_step_of_clause_8_is_among_those_rejected():
    steps = {line.split()[0] for s in REJECTED for line in s.found if " error " in line}
    assert steps == {"V1", "V2", "V3", "V4", "V5"}


def test_a_rectified_waybill_is_taken_under_the_same_number(world):
    assert world.send(waybill(consignee="")).code == "4301"
    right = waybill()
    assert world.send(right).code == "0001"
    world.window.transmit()
    assert world.asked(right).accepted


def test_a_waybill_of_a_thousand_unknown_elements_has_an_answer_all_the_same(world):
    header = json.loads(waybill())["header"] | {f"element{n}": "值" * 500 for n in range(1000)}
    said = world.send(canonical.dumps({"format": CROSS_BORDER.name, "header": header, "lines": []}))
    assert (said.code, said.data["count"], len(said.data["findings"])) == ("4301", 1000, 50)


@pytest.mark.parametrize("header", [None, [], {"waybillNumber": 1, "consignee": {"a": []}}])
def test_what_is_no_waybill_at_all_is_rejected_too(world, header):
    said = world.send(canonical.dumps({"format": CROSS_BORDER.name, "header": header or {}, "lines": [1]}))
    assert said.code == "4301"


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["taken", "held", "accepted"])
def test_a_number_is_of_one_waybill(world, state):
    if state == "held":
        world.customs.holds.add("XB20260302000001")
    world.send(waybill())
    if state != "taken":
        world.window.transmit()
    said = world.send(waybill(remark="another"))
    assert (said.code, said.reason) == ("4302", "XB20260302000001")
    assert len(world.states()) == 1


def test_customs_refuses_and_the_carrier_hears_why_from_customs_itself(world):
    world.customs.refusals["XB20260302000001"] = "布控"
    document = waybill()
    world.send(document)
    world.window.transmit()
    for said in (world.asked(document), world.of_customs(document)):
        assert (said.code, said.accepted, said.reason) == ("4403", False, "布控")
    assert world.states() == [("XB20260302000001", "refused")]
    corrected = waybill(remark="corrected")
    world.customs.refusals.clear()
    assert world.send(corrected).code == "0001"
    world.window.transmit()
    assert world.of_customs(corrected).accepted
    assert not world.of_customs(document).accepted


def test_customs_takes_waybills_of_registered_enterprises_alone(world):
    world.customs.enterprises = frozenset({"91310000000000000X"})
    document = waybill()
    world.send(document)
    world.window.transmit()
    said = world.of_customs(document)
    assert (said.code, said.reason) == ("4402", "91350100M000100Y43")


def test_customs_verifies_for_itself(world, monkeypatch):
    monkeypatch.setattr(world.window, "_format", ADDED)
    document = waybill(numberOfSeal="S-1")
    assert world.send(document).code == "0001"
    world.window.transmit()
    said = world.of_customs(document)
    assert (said.code, said.reason) == ("4401", "V5 numberOfSeal is not a field of this format")


@pytest.mark.parametrize("refuse", ["", "查获"])
def test_what_customs_holds_is_answered_when_it_is_decided(world, refuse):
    world.customs.holds.add("XB20260302000001")
    document = waybill()
    world.send(document)
    for _ in range(3):
        assert world.window.transmit() == 0
        assert world.asked(document).code == "0001"
        world.clock.go(minutes=20)
    world.customs.decide("XB20260302000001", refuse)
    assert world.window.transmit() == 1
    assert (world.of_customs(document).accepted, world.asked(document).reason) == (not refuse, refuse)
    with pytest.raises(LookupError):
        world.customs.decide("XB20260302000001")


# --- added elements -------------------------------------------------------------------------------------------------


def test_an_added_element_with_its_standard_travels_to_customs_and_back_unchanged():
    clock = Clock()
    with (
        Crossborder(clock, {(AK, "01"): sm2.derive_public(D)}, format=ADDED) as both,
        https.HttpsTransport(https.Config(kind="https", url=both.window.platform.url)) as line,
    ):
        world = World(clock, both, line)
        document = waybill(numberOfSeal="S-0001", modeOfTemperature="0")
        assert world.send(document).code == "0001"
        world.window.transmit()
        assert world.declared() == [document]
        assert json.loads(world.declared()[0])["header"]["numberOfSeal"] == "S-0001"
        assert world.of_customs(document).accepted
        wrong = world.send(waybill(waybillNumber="XB2", modeOfTemperature="7"))
        assert wrong.data is not None
        assert [each["step"] for each in wrong.data["findings"]] == ["V4"]


def test_without_it_the_same_element_is_a_finding_of_v5(world):
    said = world.send(waybill(numberOfSeal="S-0001"))
    assert [each["step"] for each in said.data["findings"]] == ["V5"]


# --- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.ERROR_AFTER, Fault.CUT_OFF])
def test_the_carriers_line_cut_loses_and_doubles_nothing(world, fault):
    document = waybill()
    world.window.platform.misbehave(fault)
    with pytest.raises(SendUnknown):
        world.send(document)
    stored = len(world.window.platform.stored())
    assert stored == (0 if fault is Fault.RESET_BEFORE else 1)
    assert world.window.transmit() == stored
    world.send(document)
    world.window.transmit()
    assert world.declared() == [document]
    assert world.asked(document).accepted


@pytest.mark.parametrize(
    "fault",
    [
        Fault.RESET_BEFORE,
        Fault.RESET_AFTER,
        Fault.ERROR_AFTER,
        Fault.CUT_OFF,
        Fault.NO_HTTP,
        Fault.DUPLICATE,
        Fault.WRONG_RECEIPT,
        Fault.REPLAYED_RECEIPT,
        Fault.UNKNOWN_KEY,
    ],
)
def test_whatever_becomes_of_customs_answer_the_waybill_is_declared_once(world, fault):
    before, document = waybill(waybillNumber="XB1"), waybill(waybillNumber="XB2")
    world.send(before)
    world.window.transmit()
    world.send(document)
    world.customs.platform.misbehave(fault)
    answered = world.window.transmit()
    assert answered == (1 if fault is Fault.DUPLICATE else 0)
    if not answered:
        assert world.asked(document).code == "0001"
        world.clock.go(seconds=0.5)
        assert world.window.transmit() == 0, "sent again before its time"
        world.clock.go(minutes=1)
        assert world.window.transmit() == 1
    assert world.of_customs(document).accepted
    assert world.declared() == [before, document]
    lies = fault in (Fault.WRONG_RECEIPT, Fault.REPLAYED_RECEIPT, Fault.UNKNOWN_KEY)
    assert len(world.window.odd_answers()) == lies


def test_customs_away_for_a_day_with_many_waybills_waiting(world):
    documents = [waybill(waybillNumber=f"XB{n:03}") for n in range(12)]
    world.customs.platform.stop()
    for document in documents:
        world.send(document)
        world.window.transmit()
        world.clock.go(hours=2)
    assert {world.asked(document).code for document in documents} == {"0001"}
    tries = sum(each.tries for each in world.window.transits())
    assert tries <= len(documents)  # a pass ends with its first failure
    world.customs.platform.start()
    world.clock.go(minutes=15)
    assert world.window.transmit() == 12
    assert world.declared() == documents  # in the order in which they were taken
    assert all(world.of_customs(document).accepted for document in documents)


def test_a_late_signature_is_made_anew(world):
    """Customs refuses a `ts` too far from its clock, but the waybill waits as long as it must."""
    world.customs.platform.lose_next_answer()
    document = waybill()
    world.send(document)
    world.window.transmit()
    world.clock.go(days=30)
    assert world.window.transmit() == 1
    assert world.of_customs(document).accepted


def test_a_refusal_of_the_request_is_no_word_on_the_waybill(world):
    document = waybill()
    world.send(document)
    keys = world.customs.platform._senders  # as if customs had not been told of the key
    known = dict(keys)
    keys.clear()
    assert world.window.transmit() == 0
    keys.update(known)
    assert world.asked(document).code == "0001"
    (odd,) = world.window.odd_answers()
    assert odd[1].startswith("4030 ")
    world.clock.go(minutes=20)
    assert world.window.transmit() == 1


def test_a_second_answer_changes_nothing(world):
    document = waybill()
    world.send(document)
    world.window.transmit()
    final = world.line.find(key_of(document))
    customs = json.loads(final)["rs"]["data"]["customsReceipt"].encode()
    key = key_of(document)
    assert not world.window.handle(key, customs)
    assert world.window.odd_answers() == ()
    answer = envelope.Answer(
        code="4403", msg="退单", key=key, digest=canonical.digest(document), accepted=False, reason="second thoughts"
    )
    contrary = envelope.build_receipt(answer, world.customs.platform.signer, world.clock())
    assert not world.window.handle(key, contrary)
    assert [(why, raw) for _, why, raw in world.window.odd_answers()] == [("customs has answered before", contrary)]
    held = replace(answer, code="0001")
    assert not world.window.handle(key, envelope.build_receipt(held, world.customs.platform.signer, world.clock()))
    assert world.line.find(key) == final
    assert world.states() == [("XB20260302000001", "accepted")]
    with pytest.raises(LookupError):
        world.window.handle("0" * 64, customs)


def test_a_receipt_is_the_same_after_it_was_made_final(world):
    document = waybill()
    world.send(document)
    world.window.transmit()
    final = world.line.find(key_of(document))
    platform = world.window.platform
    with platform.together() as database:
        ruling = Ruling(code="4403", msg="退单", accepted=False)
        assert platform.settle(database, key_of(document), ruling) == final
    rejected = waybill(waybillNumber="XB2", consignee="")
    world.send(rejected)
    with platform.together() as database, pytest.raises(LookupError):
        platform.settle(database, key_of(rejected), ruling)


@pytest.mark.parametrize("cut", ["before it left", "after customs stored it"])
def test_the_single_window_restarted_on_the_way_goes_on(tmp_path, cut):
    clock, senders, document = Clock(), {(AK, "01"): sm2.derive_public(D)}, waybill()
    with Crossborder(clock, senders, folder=tmp_path) as both:
        key = key_of(document)
        request = envelope.build(document, CROSS_BORDER.name, key, AK, KeySigner(), clock())
        both.window.platform.receive(request, key)
        if cut == "after customs stored it":
            both.customs.platform.lose_next_answer()
            both.window.transmit()
    with Crossborder(clock, senders, folder=tmp_path) as both:
        clock.go(minutes=1)
        assert both.window.transmit() == 1
        assert [each.document for each in both.customs.platform.stored()] == [document]
        answer = both.window.platform.answer_to(key) or b""
        content = opened(answer, document, both.window.platform.public_keys)
        assert content.accepted
    with closing(sqlite3.connect(tmp_path / "single-window.db")) as database:
        assert database.execute("SELECT state FROM transit").fetchall() == [("accepted",)]
