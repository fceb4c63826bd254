"""The exchange of GB/T 40292-2021: carrier, single window, customs and back, whatever is lost on the way."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import pytest
import yaml
from pydantic import SecretStr, ValidationError

from scraper_agent import app as wiring
from scraper_agent import canonical, envelope, formats, messages
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.envelope import ReceiptContent, ReceiptInvalid, RequestInvalid, trail
from scraper_agent.errors import SendUnknown
from scraper_agent.format import Document, encode
from scraper_agent.sandbox import crossborder
from scraper_agent.sandbox.crossborder import Crossborder
from scraper_agent.sandbox.mischief import Fault
from scraper_agent.sandbox.platform import Ruling
from scraper_agent.sending import https
from scraper_agent.signing import keyfolder, sm2
from scraper_agent.values import Draft, Job, JobId, RunEnded, State, Verdict, state
from scraper_agent.waybill import task
from tests import policies
from tests.test_cli import Said, call
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
    "a mode of transport that is none",
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


def emptied(both: Crossborder) -> None:
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


@pytest.fixture
def world(running: tuple[Clock, Crossborder, https.HttpsTransport]) -> World:
    """The same two systems for all, emptied."""
    clock, both, line = running
    clock.at += timedelta(hours=1)  # past every wait of the test before
    emptied(both)
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
    header = json.loads(waybill())["header"] | {f"元素{n}" * 50: "值" * 500 for n in range(1000)}
    said = world.send(canonical.dumps({"format": CROSS_BORDER.name, "header": header, "lines": []}))
    assert (said.code, said.data["count"], len(said.data["findings"])) == ("4301", 1000, 30)


@pytest.mark.parametrize("header", [None, {"waybillNumber": 1, "consignee": {"a": []}}])
def test_what_is_no_waybill_at_all_is_rejected_too(world, header):
    said = world.send(canonical.dumps({"format": CROSS_BORDER.name, "header": header or {}, "lines": [1]}))
    assert said.code == "4301"


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["taken", "accepted"])
def test_a_number_is_of_one_waybill(world, state):
    world.send(waybill())
    if state == "accepted":
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


def test_without_it_the_same_element_is_a_finding_of_v5(world):
    said = world.send(waybill(numberOfSeal="S-0001"))
    assert [each["step"] for each in said.data["findings"]] == ["V5"]


# --- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE, Fault.RESET_AFTER])
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


LIES = [Fault.WRONG_RECEIPT, Fault.REPLAYED_RECEIPT, Fault.UNKNOWN_KEY]


def test_whatever_becomes_of_customs_answers_each_waybill_is_declared_once(world):
    faults = [Fault.DUPLICATE, Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.CUT_OFF, *LIES]
    documents = [waybill(waybillNumber=f"XB{n}") for n in range(len(faults))]
    for document, fault in zip(documents, faults, strict=True):
        world.send(document)
        world.customs.platform.misbehave(fault)
        answered = world.window.transmit()
        assert answered == (fault is Fault.DUPLICATE), fault
        if not answered:
            world.clock.go(seconds=0.5)
            assert world.window.transmit() == 0, f"{fault}: sent again before its time"
            assert [each.state for each in world.window.transits()][-1] == "sent"
            world.clock.go(minutes=1)
            assert world.window.transmit() == 1, fault
        assert world.of_customs(document).accepted
    assert world.declared() == documents
    assert [key for key, _, _ in world.window.odd_answers()] == [key_of(each) for each in documents[-len(LIES) :]]


def test_customs_away_for_a_day_with_many_waybills_waiting(world):
    documents = [waybill(waybillNumber=f"XB{n:03}") for n in range(6)]
    world.customs.platform.stop()
    for document in documents:
        world.send(document)
        world.window.transmit()
        world.clock.go(hours=4)
    assert {world.asked(document).code for document in documents} == {"0001"}
    tries = sum(each.tries for each in world.window.transits())
    assert tries <= len(documents)  # a pass ends with its first failure
    world.customs.platform.start()
    world.clock.go(minutes=15)
    assert world.window.transmit() == 6
    assert world.declared() == documents  # in the order in which they were taken
    assert all(world.of_customs(document).accepted for document in documents)


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


# --- the agent as the carrier's system, and as the shipper's --------------------------------------------------------

CARRIER = "carrier"
SHIPPER = "shipper"
NEVER = {"lines": 0}
TASK: dict[str, str] = {
    "taskNumber": "RW-1",
    "codeOfModesOfTransport": "4",
    "markOfImportAndExport": "1",
    "despatchGoodsDateTime": "20260302T180000",
    "consigner": "上海示例贸易有限公司张三",
    "consignerID": "91350100M000100Y43",
    "placeOfLoading": "上海市浦东新区示例路1号",
    "countrySubdivisionCodeOfLoading": "CHN",
    "consignee": "Erika Mustermann",
    "consigneeID": "C01X00T47",
    "placeOfReceiptGoods": "Musterstraße 1, Berlin",
    "countrySubdivisionCodeOfReceiptGoods": "DEU",
    "goodsTotalMonetaryAmount": "128.5",
    "transportMeansTypeCode": "4000",
    "cargoOrConveyanceReferenceNumber": "MU219",
    "descriptionOfGoods": "蓝牙耳机",
    "grossWeight": "0.35",
    "numberOfPackages": "1",
}


@dataclass(frozen=True)
class Site:
    """A carrier's folder and a shipper's, and the other side that the carrier sends to."""

    folder: Path
    both: Crossborder
    capsys: pytest.CaptureFixture[str]

    def agent(self, *arguments: str | Path, who: str = CARRIER) -> Said:
        return call(self.capsys, "--config", self.folder / who / "config.yaml", *arguments)

    def tasks(self, *tasks: dict[str, str]) -> Said:
        path = self.folder / "tasks.json"
        path.write_text(json.dumps([{"header": task} for task in tasks]), encoding="utf-8")
        return self.agent("crossborder", "task", path)

    def listed(self) -> list[dict[str, Any]]:
        said = self.agent("crossborder", "list", "--json")
        assert said.code == 0, said.err
        rows: list[dict[str, Any]] = json.loads(said.out)
        return rows

    def change(self, who: str = CARRIER, **crossborder: Any) -> None:
        path = self.folder / who / "config.yaml"
        known = yaml.safe_load(path.read_text(encoding="utf-8"))
        known["crossborder"] |= crossborder
        path.write_text(yaml.safe_dump(known, allow_unicode=True), encoding="utf-8")

    def jobs(self) -> list[tuple[Job, Draft, dict[str, Any]]]:
        with SqliteArchive(self.folder / CARRIER / "archive.db", lambda: datetime.now(UTC), read_only=True) as archive:
            jobs = [archive.job(id) for id in archive.documents(format="crossBorderWaybill")]
            drafts = [job.facts[0] for job in jobs]
            return [
                (job, draft, json.loads(archive.get(draft.document))["header"])
                for job, draft in zip(jobs, drafts, strict=True)
                if isinstance(draft, Draft)
            ]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    keyfolder.create(folder, SecretStr("pass phrase"), NOW)
    return folder


@pytest.fixture(scope="module")
def other_side(keys: Path) -> Iterator[Crossborder]:
    (entry,) = keyfolder.entries(keys)
    with Crossborder(lambda: datetime.now(UTC), {(AK, "01"): entry.public_key}, format=ADDED) as both:
        yield both


@pytest.fixture
def site(
    tmp_path: Path,
    keys: Path,
    other_side: Crossborder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Site]:
    emptied(other_side)
    for name, value in (("LC_ALL", "en_US.UTF-8"), ("COLUMNS", "200"), ("KEY", "pass phrase")):
        monkeypatch.setenv(name, value)
    window, customs = other_side.window.platform, other_side.customs.platform
    (entry,) = keyfolder.entries(keys)
    for who in (CARRIER, SHIPPER):
        config = {
            "enterprise": {"name": "上海示例国际物流有限公司", "uscc": "91350100M000100Y43"},
            "signing": {"kind": "file", "folder": str(keys), "key": "01"},
            "passphrase": {"env": "KEY"},
            "receiver": {
                "ak": "310001",
                "transport": {"kind": "https", "url": "http://127.0.0.1:9/"},
                "public_keys": {},
            },
            "receivers": {
                "crossBorderWaybill": {
                    "ak": AK,
                    "transport": {"kind": "https", "url": window.url},
                    "public_keys": window.public_keys,
                }
            },
            "crossborder": {
                "sender_code": "LOGISTICS01",
                "recipient_code": "SINGLEWINDOW",
                "customs_keys": customs.public_keys,
                "carriers": {AK: {"01": entry.public_key}},
            },
        }
        folder = tmp_path / who
        folder.mkdir()
        (folder / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
        policy = {"automatic": {"crossBorderWaybill": NEVER}}
        (folder / "policy.yaml").write_text(yaml.safe_dump(policy), encoding="utf-8")
        policies.sign(folder, "pass phrase")
    yield Site(tmp_path, other_side, capsys)
    messages.use("en")


def test_a_task_becomes_a_waybill_and_the_shipper_hears_what_customs_said(site):
    said = site.tasks(TASK)
    assert said.code == 0, said.err
    (row,) = site.listed()
    number = row["waybillNumber"]
    assert re.fullmatch("XB[0-9A-F]{16}", number)
    assert row["sent"]
    assert (row["platformReceipt"]["code"], row["customsReceipt"]) == ("0001", None)

    assert site.both.window.transmit() == 1
    said = site.agent("send")
    assert said.code == 0, said.err
    (row,) = site.listed()
    assert (row["state"], row["doubt"]) == ("receipted", "")
    assert row["platformReceipt"]["code"] == "0001"
    assert (row["customsReceipt"]["code"], row["customsReceipt"]["accepted"]) == ("0000", True)
    assert "海关已接收" in site.agent("crossborder", "list").out

    report = site.folder / "report.json"
    assert site.agent("crossborder", "report", number, "--out", report).code == 0
    read = site.agent("crossborder", "read", report, "--json", who=SHIPPER)
    assert read.code == 0, read.err
    told = json.loads(read.out)
    assert (told["taskNumber"], told["carrier"], told["waybillNumber"]) == ("RW-1", AK, number)
    assert told["customsReceipt"] == row["customsReceipt"]
    assert told["waybill"]["header"]["consignee"] == "Erika Mustermann"


def test_a_waybill_says_what_task_and_config_say_each_with_its_origin(site):
    site.tasks(TASK)
    ((_, draft, header),) = site.jobs()
    own = {
        "senderCode": "LOGISTICS01",
        "recipientCode": "SINGLEWINDOW",
        "logisticsEnterpriseName": "上海示例国际物流有限公司",
        "logisticsEnterpriseCode": "91350100M000100Y43",
        "policyNumber": "无",
        "insuranceCompany": "无",
    }
    made = {id: header.pop(id) for id in ("waybillNumber", "waybillGenerationDateTime", "waybillDeliveryDateTime")}
    assert header == {id: value for id, value in TASK.items() if id != "taskNumber"} | own
    assert made["waybillGenerationDateTime"] == made["waybillDeliveryDateTime"]
    with SqliteArchive(site.folder / CARRIER / "archive.db", lambda: NOW, read_only=True) as archive:
        origins = {each["field"]: each for each in json.loads(archive.get(draft.provenance))}
    assert origins.keys() == header.keys() | made.keys()
    assert origins["consignee"]["target"] == "tasks.json /0/header/consignee"
    assert (origins["waybillNumber"]["target"], origins["waybillNumber"]["raw"]) == (
        "tasks.json /0/header/taskNumber",
        "RW-1",
    )
    assert (origins["senderCode"]["target"], origins["senderCode"]["page"]) == ("crossborder sender_code", None)
    assert origins["policyNumber"]["target"] == "no insurance in the task"


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"consignee": "", "grossWeight": ""}, ["consignee is missing", "grossWeight is missing"]),
        (
            {"policyNumber": "P-1", "cargoOrConveyanceReferenceNumber": ""},
            ["insuranceCompany is missing", "cargoOrConveyanceReferenceNumber is missing"],
        ),
    ],
)
def test_what_a_task_lacks_blocks_its_waybill_and_nothing_is_guessed(site, change, missing):
    said = site.tasks(TASK | change)
    assert said.code == 3
    ((job, _, header),) = site.jobs()
    assert state(job) is State.BLOCKED
    verdict = next(fact for fact in job.facts if isinstance(fact, Verdict))
    told = [f"{f.field} {messages.render(f.text, f.values)}" for f in verdict.findings]
    assert [text for text in missing if not any(each.startswith(text) for each in told)] == []
    assert not any(text.split()[0] in header for text in missing)
    (row,) = site.listed()
    assert (row["sent"], row["platformReceipt"], row["customsReceipt"]) == (None, None, None)


def test_a_task_with_a_value_that_is_none_is_not_taken_at_all(site):
    said = site.tasks(TASK, TASK | {"taskNumber": "RW-2", "grossWeight": "heavy"})
    assert said.code == 3
    assert "/1/header/grossWeight" in said.err
    assert not (site.folder / CARRIER / "archive.db").exists()


def test_the_same_task_is_the_same_waybill_and_a_changed_one_its_next_version(site, monkeypatch):
    site.tasks(TASK | {"consignee": ""})
    monkeypatch.setattr(wiring, "now", lambda: datetime.now(UTC) + timedelta(minutes=1))
    site.tasks(TASK | {"consignee": ""})
    assert len(site.jobs()) == 1
    site.tasks(TASK, TASK | {"taskNumber": "RW-2"}, TASK | {"consignerID": "11010519491231002X"})
    numbers = [header["waybillNumber"] for _, _, header in site.jobs()]
    assert len(numbers) == 4
    assert len(set(numbers)) == 3
    assert numbers.count(numbers[0]) == 2
    assert [each["platformReceipt"] is None for each in site.listed()] == [True, False, False, False]


def test_tasks_are_filled_in_in_excel(site):
    book = site.folder / "tasks.xlsx"
    assert site.agent("crossborder", "template", "--out", book).code == 0
    opened = openpyxl.load_workbook(book)
    sheet = opened["表头"]
    columns = {cell.value: cell.column for cell in sheet[2]}
    for id, value in TASK.items():
        sheet.cell(row=sheet.max_row if id != "taskNumber" else sheet.max_row + 1, column=columns[id], value=value)
    opened.save(book)
    said = site.agent("crossborder", "task", book)
    assert said.code == 0, said.err
    (row,) = site.listed()
    assert row["platformReceipt"]["code"] == "0001"


def test_after_a_day_that_no_witness_saw_no_task_is_taken_in(site):
    path = site.folder / CARRIER / "config.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["witnesses"] = [{"kind": "folder", "name": "share", "path": "not-connected"}]
    path.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    with SqliteArchive(path.with_name("archive.db"), lambda: wiring.now() - timedelta(hours=24)) as archive:
        archive.append(JobId("run/old"), 0, RunEnded(complete=True, documents=0, faults=0))
    said = site.tasks(TASK)
    assert said.code == 5
    assert "SA6080 no witness has seen what was logged since" in said.err
    assert site.listed() == []
    path = site.folder / "tasks.json"
    site.agent("crossborder", "task", path, "--without-anchor", "the share is down")
    assert len(site.listed()) == 1


def test_what_platform_or_customs_refuse_is_told_apart(site):
    site.both.customs.refusals[task.number("XB{digest}", TASK["consignerID"], "RW-2")] = "布控"
    site.tasks(TASK | {"taskNumber": "RW-2"})
    site.both.window.transmit()
    site.agent("send")
    (row,) = site.listed()
    assert row["state"] == "rejected"
    assert (row["platformReceipt"]["code"], row["customsReceipt"]["code"]) == ("0001", "4403")
    assert row["customsReceipt"]["reason"] == "布控"


def test_what_the_platform_rejects_never_comes_to_customs(site):
    site.change(added_elements=str(site.folder / "mine.yaml"))
    mine = "elements: {sealColour: {zh: 颜色, en: colour, type: an..9, need: O, source_standard: GB/T 1.1-2020}}"
    (site.folder / "mine.yaml").write_text(mine, encoding="utf-8")
    site.tasks(TASK | {"sealColour": "red"})
    (row,) = site.listed()
    assert (row["state"], row["customsReceipt"]) == ("rejected", None)
    assert row["platformReceipt"]["code"] == "4301"
    assert row["platformReceipt"]["reason"] == "V5 sealColour is not a field of this format"


def test_an_added_element_with_its_standard_comes_to_customs_and_back_unchanged(site):
    site.change(added_elements=str(SAMPLES / "cross_border_waybill" / "added.yaml"))
    site.tasks(TASK | {"numberOfSeal": "S-0001"})
    site.both.window.transmit()
    site.agent("send")
    (declared,) = site.both.customs.platform.stored()
    ((_, draft, header),) = site.jobs()
    assert header["numberOfSeal"] == "S-0001"
    assert declared.digest == draft.document
    (row,) = site.listed()
    assert row["customsReceipt"]["accepted"]


def test_a_receipt_that_is_not_of_customs_proves_nothing(site):
    site.tasks(TASK)
    site.both.window.transmit()
    site.agent("send")
    site.change(customs_keys=site.both.window.platform.public_keys)
    (row,) = site.listed()
    assert (row["state"], row["customsReceipt"]) == ("receipted", None)
    assert row["doubt"].startswith("SA4007 ")
    assert "not proved: SA4007" in site.agent("crossborder", "list").out
    report = site.folder / "report.json"
    site.agent("crossborder", "report", row["waybillNumber"], "--out", report)
    assert site.agent("crossborder", "read", report, who=SHIPPER).code == 0
    site.change(SHIPPER, customs_keys={})
    said = site.agent("crossborder", "read", report, who=SHIPPER)
    assert (said.code, "not proved: SA4006" in said.out) == (3, True)


def test_a_report_that_was_changed_or_is_of_nobody_is_refused(site):
    site.tasks(TASK)
    (row,) = site.listed()
    report = site.folder / "report.json"
    site.agent("crossborder", "report", row["waybillNumber"], "--out", report)
    raw = report.read_bytes()
    report.write_bytes(raw.replace(b"Erika", b"Erich"))
    assert "SA4002" in site.agent("crossborder", "read", report, who=SHIPPER).err
    report.write_bytes(raw.replace(b'"ts":1', b'"ts":2'))
    assert "SA4003" in site.agent("crossborder", "read", report, who=SHIPPER).err
    report.write_bytes(raw)
    site.change(SHIPPER, carriers={})
    assert "SA7504" in site.agent("crossborder", "read", report, who=SHIPPER).err
    assert "SA7503" in site.agent("crossborder", "read", site.folder / "none.json", who=SHIPPER).err


REPORT: dict[str, Any] = {
    "task": "RW-1",
    "key": "0" * 64,
    "waybill": {"format": "crossBorderWaybill", "header": {"waybillNumber": "XB1"}, "lines": []},
    "sent": "2026-03-02T01:30:00Z",
    "answers": [],
}


@pytest.mark.parametrize(
    ("format", "change"),
    [
        (trail.REPORT, None),
        ("crossBorderWaybill", {}),
        (trail.REPORT, {"key": "x"}),
        (trail.REPORT, {"sent": "2026-13-02T01:30:00Z"}),
        (trail.REPORT, {"sent": "2026-03-02T01:30:00"}),
        (trail.REPORT, {"answers": [1]}),
        (trail.REPORT, {"waybill": {"header": []}}),
        (trail.REPORT, {"task": None}),
        (trail.REPORT, {"more": ""}),
    ],
)
def test_another_request_is_no_report(format, change):
    document = canonical.dumps({} if change is None else REPORT | change)
    raw = envelope.build(document, format, "1" * 64, AK, KeySigner(), NOW)
    with pytest.raises(RequestInvalid, match="SA1101"):
        trail.read(envelope.read_request(raw))


def test_a_report_of_what_has_not_left_says_nothing_of_receipts():
    raw = envelope.build(canonical.dumps(REPORT | {"sent": None}), trail.REPORT, "1" * 64, AK, KeySigner(), NOW)
    report = trail.read(envelope.read_request(raw))
    assert trail.write(report) == canonical.dumps(REPORT | {"sent": None})
    assert report.trail(trail.Keys(verify=sm2.verify, platform={}, customs={})) == trail.Trail()


def test_what_did_not_reach_the_platform_was_not_sent(site):
    site.both.window.platform.stop()
    site.tasks(TASK)
    (row,) = site.listed()
    assert (row["state"], row["sent"]) == ("waiting", None)
    site.both.window.platform.start()
    site.agent("job", "retry", "--all")
    site.agent("send")
    (row,) = site.listed()
    assert (row["state"], row["sent"] is None) == ("delivered", False)


def test_a_final_receipt_that_contradicts_customs_is_a_doubt():
    signer = KeySigner()
    document, keys = waybill(), {"01": sm2.derive_public(D)}
    key, digest = key_of(document), canonical.digest(document)
    yes = envelope.Answer(code="0000", msg="yes", key=key, digest=digest, accepted=True)
    customs = envelope.build_receipt(yes, signer, NOW)
    no = replace(yes, code="4403", accepted=False, data={"customsReceipt": customs.decode()})
    told = trail.trail(
        [envelope.build_receipt(no, signer, NOW)],
        trail.Keys(verify=sm2.verify, platform=keys, customs=keys),
        key=key,
        digest=digest,
    )
    assert told.customs is not None
    assert told.doubt == "4403 yes"


@pytest.mark.parametrize("rule", ["XB", "XB{task}", "XB{digest}{day}", "运{digest}", "{digest", "{digest.x}", "{}"])
def test_a_rule_that_makes_no_unique_number_is_refused(rule):
    with pytest.raises(ValidationError, match="makes no unique waybill numbers"):
        task.Carrier(sender_code="A", recipient_code="B", number=rule)


@pytest.mark.parametrize(("rule", "number"), [("SF{digest}", "SFD236363E9671373E"), ("{shipper}-{task}", "91-RW-1")])
def test_the_number_is_made_by_the_rule(rule, number):
    assert task.number(rule, "91", "RW-1") == number


def test_without_its_section_the_config_is_asked_for_it(site):
    path = site.folder / CARRIER / "config.yaml"
    known = yaml.safe_load(path.read_text(encoding="utf-8"))
    del known["crossborder"]
    path.write_text(yaml.safe_dump(known), encoding="utf-8")
    said = site.tasks(TASK)
    assert (said.code, said.err.splitlines()[0]) == (2, "SA7501 the config has no `crossborder:`")


def test_the_sandbox_prints_what_the_config_needs(site):
    config = site.folder / CARRIER / "config.yaml"
    command = [sys.executable, "-m", "scraper_agent", "--config", config, "sandbox", "crossborder"]
    command += ["--port", "0", "--customs-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as serving:
        try:
            assert serving.stdout is not None
            printed = "".join(iter(serving.stdout.readline, "  customs_keys:\n")) + "  customs_keys:\n"
            sections = yaml.safe_load(printed + serving.stdout.readline())
            known = yaml.safe_load(config.read_text(encoding="utf-8"))
            config.write_text(yaml.safe_dump(known | sections, allow_unicode=True), encoding="utf-8")
            assert site.tasks(TASK).code == 0
            assert site.agent("send", "--wait", "1").code == 0
            (row,) = site.listed()
            assert row["customsReceipt"]["accepted"]
            url = sections["receivers"]["crossBorderWaybill"]["transport"]["url"]
            page = httpx.get(url.removesuffix("receive")).text
            assert "单一窗口" in page
            assert "Sandbox single window" in page
        finally:
            serving.send_signal(signal.SIGINT)
    assert (site.folder / CARRIER / "single-window.db").exists()
