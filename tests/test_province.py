"""The simulated province: every interface, every refusal and every status path, over the wire and in its database."""

from __future__ import annotations

import base64
import io
import re
import sqlite3
import subprocess
from contextlib import closing
from datetime import date, timedelta

import httpx
import pytest
import zxingcpp
from PIL import Image

from scraper_agent import canonical, envelope, formats
from scraper_agent.errors import SourceErrors
from scraper_agent.format import Document
from scraper_agent.sandbox import licences
from scraper_agent.sandbox.licences import Enterprise, Licences, Person, Vehicle
from scraper_agent.sandbox.platform import Sender
from scraper_agent.signing import directory, keyfolder, sm2
from scraper_agent.waybill import qr, status
from scraper_agent.waybill.profile import DEFAULT
from tests.authorities import CODES, NOW, OF, OTHER, SIGNER, Clock, D, Signer, a_province, change, written
from tests.authorities import Enterprise as Sending
from tests.waybills import samples, waybill

NUMBER = "WB2024000000000000000001"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def province(clock):
    with a_province(clock) as running:
        yield running


@pytest.fixture
def enterprise(clock):
    return Sending(clock)


def uploaded(province, enterprise, document=None, **header):
    return told(province, enterprise, OF.waybill, written(document or waybill(**header)))


def told(province, enterprise, interface, document, key=None):
    """As the interface has it, without the network."""
    key, raw = enterprise.request(interface.format, document, key=key)
    _, receipt = province.platform.receive(raw, key, only={interface.format})
    digest = canonical.digest(document)
    return envelope.open_receipt(receipt, sm2.verify, province.platform.public_keys, key=key, digest=digest)


def became(province, enterprise, name, at="20260301T150000", number=NUMBER):
    return told(province, enterprise, OF.status, change(number, name, at))


# --- a waybill ------------------------------------------------------------------------------------------------------


def zbar(png, tmp_path):
    path = tmp_path / "code.png"
    path.write_bytes(png)
    command = ["zbarimg", "--quiet", "--nodbus", "--raw", "--oneshot", "-Sdisable", "-Sqrcode.enable", "-Sbinary"]
    return subprocess.run([*command, path], check=True, capture_output=True).stdout


def zxing(png):
    with Image.open(io.BytesIO(png)) as picture:
        (seen,) = zxingcpp.read_barcodes(picture)
    return seen.bytes


def test_accepted_waybill_is_answered_with_its_code_as_text_and_image(province, enterprise, tmp_path):
    receipt = enterprise.send(province.platform, OF.waybill, written(waybill()))
    assert (receipt.accepted, receipt.code, receipt.message) == (True, "0000", "已接收 accepted")
    data = receipt.data["qr"].encode("gbk")
    picture = base64.b64decode(receipt.data["image"])
    assert zbar(picture, tmp_path) == zxing(picture) == data
    content = qr.parse(data)
    assert content.summary == qr.summary(waybill())
    assert qr.standing(content, province.platform.public_keys, sm2.verify) is qr.Standing.GENUINE
    assert qr.standing(content, {"01": OTHER.public_key}, sm2.verify) is qr.Standing.FORGED


def trailing(byte: int, count: int = 3) -> str:
    """Characters of GBK whose second byte is `byte`."""
    found = (bytes([lead, byte]).decode("gbk", errors="ignore") for lead in range(0x81, 0xFE))
    return "".join([each for each in found if each.isalpha()][:count])


@pytest.mark.parametrize("byte", [0x7C, 0x5E, 0x40, 0x5C, 0x7E], ids=chr)
def test_code_of_names_whose_bytes_look_like_separators_is_read_by_both_readers(province, clock, tmp_path, byte):
    name, plate = trailing(byte), f"沪{trailing(byte, 1)}1234"
    assert len(name) == 3
    crew = {"i49": name, "i50": name[::-1], "i46": plate, "i461": trailing(byte, 2)}
    document = waybill([{"g8": name}], **crew)
    known = Licences(
        enterprises=licences.load().enterprises,
        vehicles=(Vehicle(plate=plate, colour=crew["i461"], certificate="310116012345", valid_until=date(2030, 1, 1)),),
        persons=tuple(
            Person(certificate=str(document.header[id]), name=crew[of], work=(work,), valid_until=date(2030, 1, 1))
            for id, of, work in (("i491", "i49", "driver"), ("i501", "i50", "escort"))
        ),
    )
    with a_province(clock, licences=known) as knowing:
        receipt = uploaded(knowing, Sending(clock), document)
    assert receipt.accepted, receipt.reason
    picture = base64.b64decode(receipt.data["image"])
    data = receipt.data["qr"].encode("gbk")
    assert data.count(bytes([byte])) >= 10
    assert zbar(picture, tmp_path) == zxing(picture) == data
    assert qr.parse(data).summary == qr.summary(document)


def test_largest_answer_is_still_a_receipt(province, enterprise):
    goods = [{"g1": str(n), "g7": f"{n}", "g8": "大号特制不锈钢桶装"} for n in range(1, 73)]
    receipt = enterprise.send(province.platform, OF.waybill, written(waybill(goods)))
    assert receipt.accepted, receipt.reason
    assert 2200 < len(receipt.data["qr"].encode("gbk")) <= 2331  # what a symbol of level M holds


def test_waybill_too_long_for_any_code_is_refused(province, enterprise):
    receipt = uploaded(province, enterprise, waybill([{"g1": str(n), "g7": "1"} for n in range(1, 251)]))
    assert (receipt.code, receipt.accepted) == (CODES.invalid.code, False)
    assert receipt.reason.startswith("SA107")


def writable(document: Document) -> bool:
    try:
        return bool(written(document))
    except ValueError:
        return False


BAD = [each for each in samples("dangerous_goods_waybill") if not each.good and writable(each.document)]


@pytest.mark.parametrize("sample", BAD, ids=str)
def test_province_finds_what_the_format_finds(province, enterprise, sample):
    errors = [found for found in sample.found if found.startswith("error ")]
    receipt = told(province, enterprise, OF.waybill, written(sample.document))
    if not errors:
        assert receipt.code in (CODES.accepted.code, CODES.unlicensed.code)
        return
    assert (receipt.code, receipt.message) == (CODES.invalid.code, CODES.invalid.msg)
    assert len(receipt.reason.split("; ")) >= len(errors)
    for found in errors:
        _, code, field, *_ = found.split()
        assert re.search(rf"(^|; ){re.escape(field)}( [^:]*)?: {code} ", receipt.reason), receipt.reason
    assert province.waybill(NUMBER) is None


def test_certificate_numbers_are_masked_in_reasons(province, enterprise):
    wrong = "31010119800101001012345678"
    receipt = uploaded(province, enterprise, i491=wrong)
    assert "i491 驾驶员从业资格证: CHK-01 " in receipt.reason
    assert wrong not in receipt.reason
    assert qr.mask(wrong) in receipt.reason


def test_more_reasons_than_a_receipt_holds_are_counted(province, enterprise):
    receipt = uploaded(province, enterprise, waybill([{"g1": str(n), "g2": "x"} for n in range(1, 201)]))
    assert receipt.code == CODES.invalid.code
    assert len(receipt.reason) <= 4096
    told_of, rest = receipt.reason.count("lines["), int(re.findall(r"and (\d+) more$", receipt.reason)[0])
    assert told_of + rest == 200


@pytest.mark.parametrize("document", [b"{}", b'{"format":"dangerousGoodsWaybill","header":{"i99":"1"},"lines":[]}'])
def test_what_is_no_waybill_at_all_is_refused(province, enterprise, document):
    assert told(province, enterprise, OF.waybill, document).code == CODES.invalid.code
    assert province.waybills("", 10) == []


# --- licences -------------------------------------------------------------------------------------------------------

LACKS = {
    "unknown enterprise": ({"i451": "999"}, ["i451 承运人许可证号: 无此许可证 no such licence"]),
    "another name": (
        {"i45": "别的公司"},
        ["i45 承运人单位名称: 与许可证上的单位名称不符 is not the name on the licence"],
    ),
    "unknown vehicle": ({"i46": "沪Z99999"}, ["i46 车牌号码: 无此车辆 no such vehicle"]),
    "another colour": ({"i461": "蓝色"}, ["i461 车牌颜色: 与登记的车牌颜色不符 is not the colour of this plate"]),
    "another vehicle's certificate": (
        {"i462": "310116054321"},
        ["i462 道路运输证号: 不是该车的道路运输证 is not the certificate of this vehicle"],
    ),
    "unknown trailer": ({"i47": "沪B9999挂", "i471": "1"}, ["i47 挂车车牌号码: 无此车辆 no such vehicle"]),
    "another trailer's certificate": (
        {"i47": "沪B1234挂", "i471": "1"},
        ["i471 挂车道路运输证号: 不是该车的道路运输证 is not the certificate of this vehicle"],
    ),
    "unknown driver": ({"i491": "1"}, ["i491 驾驶员从业资格证: 无此从业资格证 no such certificate"]),
    "another driver's certificate": (
        {"i49": "赵六"},
        ["i49 驾驶员姓名: 与从业资格证上的姓名不符 is not the name on the certificate"],
    ),
    "a driver as escort": (
        {"i50": "张三", "i501": "310101198001010010"},
        ["i501 押运员从业资格证: 不是押运员资格 is not the certificate of an escort"],
    ),
    "an escort as driver": (
        {"i49": "李四", "i491": "310101198101010010"},
        ["i491 驾驶员从业资格证: 不是驾驶员资格 is not the certificate of a driver"],
    ),
    "everything": (
        {"i451": "9", "i46": "沪Z9", "i491": "9", "i501": "9"},
        [
            "i451 承运人许可证号: 无此许可证 no such licence",
            "i46 车牌号码: 无此车辆 no such vehicle",
            "i491 驾驶员从业资格证: 无此从业资格证 no such certificate",
            "i501 押运员从业资格证: 无此从业资格证 no such certificate",
        ],
    ),
}


@pytest.mark.parametrize(("header", "reasons"), LACKS.values(), ids=LACKS)
def test_waybill_is_refused_with_all_that_is_not_licensed(province, enterprise, header, reasons):
    receipt = uploaded(province, enterprise, **header)
    assert (receipt.code, receipt.message) == (CODES.unlicensed.code, CODES.unlicensed.msg)
    assert receipt.reason == "; ".join(reasons)
    assert province.waybill(NUMBER) is None


def test_licence_counts_until_its_last_day_and_no_longer(clock, enterprise):
    last = date(2026, 3, 2)
    known = licences.load()
    expired = Licences(
        enterprises=tuple(each.model_copy(update={"valid_until": last}) for each in known.enterprises),
        vehicles=tuple(each.model_copy(update={"valid_until": last}) for each in known.vehicles),
        persons=tuple(each.model_copy(update={"valid_until": last}) for each in known.persons),
    )
    with a_province(clock, licences=expired) as strict:
        assert uploaded(strict, enterprise).accepted
        assert uploaded(strict, enterprise, i41="20260303").reason == "; ".join(
            f"{field}: 已于2026-03-02到期 expired on 2026-03-02"
            for field in (
                "i451 承运人许可证号",
                "i462 道路运输证号",
                "i491 驾驶员从业资格证",
                "i501 押运员从业资格证",
            )
        )
        clock.now += timedelta(hours=32)  # 3 March in China already
        assert uploaded(strict, enterprise, i52="迟").code == CODES.unlicensed.code


def test_table_of_licences_says_where_it_is_wrong(tmp_path):
    path = tmp_path / "licences.yaml"
    path.write_text("enterprises:\n  - {number: '1', name: 甲}\nvehicles: []\npersons: []\n", encoding="utf-8")
    with pytest.raises(SourceErrors, match=r"licences.yaml:2:"):
        licences.load(path)
    assert Enterprise(number="1", name="甲", valid_until=date(2026, 1, 1)) not in licences.load().enterprises


# --- versions -------------------------------------------------------------------------------------------------------


def test_new_version_replaces_a_waybill_that_has_not_begun_and_no_other(province, enterprise):
    first = uploaded(province, enterprise)
    second = uploaded(province, enterprise, i510="20")
    assert second.accepted
    assert first.data["qr"] != second.data["qr"]
    kept = province.waybill(NUMBER)
    assert (kept.version, kept.qr) == (2, second.data["qr"])
    assert became(province, enterprise, "running").accepted
    third = uploaded(province, enterprise, i510="21")
    assert (third.code, third.reason) == (CODES.begun.code, f"i1 {NUMBER}: 运输中 on the road")
    assert province.waybill(NUMBER).version == 2
    # The first is asked for again: its first answer, and no step back.
    assert uploaded(province, enterprise).data == first.data
    assert province.waybill(NUMBER).version == 2


def test_waybill_of_another_enterprise_is_neither_replaced_nor_moved(province, enterprise, clock):
    other = Sending(clock, "A10002", OTHER)
    assert uploaded(province, enterprise).accepted
    for receipt in (uploaded(province, other, i510="20"), became(province, other, "running")):
        assert (receipt.code, receipt.reason) == (CODES.foreign.code, f"i1 {NUMBER}")
    assert (province.waybill(NUMBER).version, province.waybill(NUMBER).status) == (1, "new")


def test_waybill_that_comes_after_its_day_of_departure_is_taken_and_marked(province, enterprise, clock):
    clock.now += timedelta(days=1, hours=7)  # 23:00 of its day in China
    uploaded(province, enterprise)
    assert not province.waybill(NUMBER).late
    clock.later(hours=1)
    uploaded(province, enterprise, i52="补传")
    assert province.waybill(NUMBER).late


# --- status ---------------------------------------------------------------------------------------------------------


def paths() -> list[tuple[str, ...]]:
    """Every way through the profile's statuses."""

    def beyond(name: str) -> list[tuple[str, ...]]:
        following = DEFAULT.statuses[name].next
        return [(name, *rest) for each in following for rest in beyond(each)] or [(name,)]

    return beyond(status.first())


@pytest.mark.parametrize("path", paths(), ids="-".join)
def test_every_way_is_gone_and_nothing_else_at_any_step(province, enterprise, path):
    uploaded(province, enterprise)
    hours = iter(range(10, 20))
    for here, following in zip(path, (*path[1:], None), strict=True):
        for name in DEFAULT.statuses:
            if name in DEFAULT.statuses[here].next:
                continue
            document = change(NUMBER, name)
            receipt = told(
                province, enterprise, OF.status, document, key=canonical.sm3(f"{here} {name}".encode()).hex()
            )
            assert receipt.code in (CODES.no_step.code, CODES.invalid.code)  # `new` is no value of the format
            assert province.waybill(NUMBER).status == here
        if following:
            assert became(province, enterprise, following, f"20260301T{next(hours):02}0000").accepted
    assert [each.status for each in province.changes(NUMBER)] == list(path[1:])


def test_the_same_change_again_is_one_change(province, enterprise):
    uploaded(province, enterprise)
    first = became(province, enterprise, "running")
    assert became(province, enterprise, "running") == first
    assert len(province.changes(NUMBER)) == 1
    again = became(province, enterprise, "running", "20260301T150001")
    assert again.code == CODES.no_step.code
    assert "SA1079" in again.reason


def test_change_of_an_unknown_waybill_is_refused(province, enterprise):
    receipt = became(province, enterprise, "running")
    assert (receipt.code, receipt.message) == (CODES.unknown_waybill.code, CODES.unknown_waybill.msg)
    assert receipt.reason == f"i1 {NUMBER}"


def test_change_is_neither_before_the_last_one_nor_after_now(province, enterprise):
    uploaded(province, enterprise)
    early = became(province, enterprise, "running", "20260301T161001")  # 10 min and 1 s ahead
    assert (early.code, early.reason[:22]) == (CODES.no_step.code, "at 2026-03-01T16:10:01")
    assert became(province, enterprise, "running", "20260301T161000").accepted
    back = became(province, enterprise, "done", "20260301T160959")
    assert back.code == CODES.no_step.code
    assert back.reason.endswith("早于上一状态 is before it became 运输中 on the road")
    assert became(province, enterprise, "done", "20260301T161000").accepted


@pytest.mark.parametrize(
    "document",
    [
        b'{"format":"waybillStatus","header":{"at":"20260301T150000","i1":"x","status":"running"},"lines":[]}',
        b'{"format":"waybillStatus","header":{"at":"yesterday","i1":"WB2024000000000000000001"},"lines":[]}',
        b'{"i1":"WB2024000000000000000001","status":"running"}',
    ],
)
def test_change_that_is_not_of_its_form_is_refused(province, enterprise, document):
    uploaded(province, enterprise)
    assert told(province, enterprise, OF.status, document).code == CODES.invalid.code
    assert province.waybill(NUMBER).status == "new"


def test_finished_waybills_are_told_by_when_the_province_came_to_know(province, enterprise, clock, monkeypatch):
    monkeypatch.setattr("scraper_agent.sandbox.province._AT_A_TIME", 2)
    numbers = [f"WB20240000000000000001{n:02}" for n in range(5)]
    for number in numbers:
        uploaded(province, enterprise, i1=number)
        clock.later(minutes=1)
        assert became(province, enterprise, "running", number=number).accepted
        assert became(province, enterprise, "done", "20260301T150100", number=number).accepted
    ends = NOW + timedelta(minutes=5)
    assert [each.number for each in province.finished("done", NOW, ends + timedelta(seconds=1))] == numbers
    assert [each.number for each in province.finished("done", NOW + timedelta(minutes=2), ends)] == numbers[1:4]
    assert list(province.finished("void", NOW, ends)) == []


# --- what no interface takes ----------------------------------------------------------------------------------------


def doors() -> list[tuple[object, bytes]]:
    return [(OF.waybill, written(waybill())), (OF.status, change(NUMBER, "running"))]


@pytest.mark.parametrize(("interface", "document"), doors(), ids=["waybill", "status"])
class TestEveryDoorOfTheEnterprise:
    def refusal(self, province, enterprise, interface, raw, key, document):
        receipt = enterprise.post(province.platform, interface, raw, key, canonical.digest(document))
        assert not receipt.accepted
        assert province.platform.stored() == ()
        assert receipt.reason
        return receipt.code

    def test_skewed_clock(self, province, enterprise, clock, interface, document):
        for by in (timedelta(minutes=-10, seconds=-1), timedelta(minutes=10, seconds=1)):
            key, raw = Sending(Clock(NOW + by)).request(interface.format, document)
            assert self.refusal(province, enterprise, interface, raw, key, document) == "4033"

    def test_unknown_key_and_system(self, province, clock, interface, document):
        for sender in (Sending(clock, signer=Signer("09")), Sending(clock, ak="A99999")):
            key, raw = sender.request(interface.format, document)
            assert self.refusal(province, sender, interface, raw, key, document) == "4030"

    def test_key_of_another(self, province, clock, interface, document):
        sender = Sending(clock, signer=Signer("01", D + 5))
        key, raw = sender.request(interface.format, document)
        assert self.refusal(province, sender, interface, raw, key, document) == "4031"

    def test_revoked_key(self, province, enterprise, clock, interface, document):
        province.platform.know({("A10001", "01"): Sender(public_key=SIGNER.public_key, revoked=NOW)})
        key, raw = enterprise.request(interface.format, document)
        assert self.refusal(province, enterprise, interface, raw, key, document) == "4032"

    def test_altered_byte(self, province, enterprise, interface, document):
        key, raw = enterprise.request(interface.format, document)
        changed = raw.replace(b"WB2024", b"WB2025")
        _, receipt = province.platform.receive(changed, key, only={interface.format})
        assert b'"code":"4000"' in receipt
        changed = re.sub(rb'"ts":(\d)', rb'"ts":3', raw)
        assert self.refusal(province, enterprise, interface, changed, key, document) == "4031"

    def test_other_key_beside_it(self, province, enterprise, interface, document):
        _, raw = enterprise.request(interface.format, document)
        _, receipt = province.platform.receive(raw, "0" * 64, only={interface.format})
        assert b'"code":"4001"' in receipt
        assert province.platform.stored() == ()

    def test_other_format(self, province, enterprise, interface, document):
        other = OF.status if interface is OF.waybill else OF.waybill
        key, raw = enterprise.request(other.format, document)
        assert self.refusal(province, enterprise, interface, raw, key, document) == "4002"

    def test_same_key_with_other_content(self, province, enterprise, interface, document):
        uploaded(province, enterprise)
        key, _ = enterprise.request(interface.format, document)
        told(province, enterprise, interface, document)
        other = change(NUMBER, "void") if interface is OF.status else written(waybill(i510="20"))
        before = province.waybill(NUMBER)
        assert told(province, enterprise, interface, other, key=key).code == "4090"
        assert province.waybill(NUMBER) == before

    def test_replay_is_answered_alike_and_done_once(self, province, enterprise, clock, interface, document):
        uploaded(province, enterprise)
        key, raw = enterprise.request(interface.format, document)
        digest = canonical.digest(document)
        first = enterprise.post(province.platform, interface, raw, key, digest)
        before = (province.waybill(NUMBER), province.changes(NUMBER))
        clock.later(days=400)
        assert enterprise.post(province.platform, interface, raw, key, digest) == first
        assert (province.waybill(NUMBER), province.changes(NUMBER)) == before
        found = httpx.get(f"{province.url}{interface.path}/{key}", trust_env=False)
        assert found.content == province.platform.answer_to(key)


def test_enterprise_may_not_ask_what_the_ministry_asks(province, enterprise):
    for interface, document in ((OF.query, {"i1": NUMBER, "division": "31"}), (OF.qr, {"text": "01"})):
        receipt = told(province, enterprise, interface, canonical.dumps(document))
        assert (receipt.code, receipt.message) == (CODES.not_allowed.code, CODES.not_allowed.msg)


def test_restarted_in_the_midst_it_has_everything_that_it_answered(clock, enterprise, tmp_path):
    with a_province(clock, database=tmp_path / "province.db") as before:
        receipt = uploaded(before, enterprise)
        became(before, enterprise, "running")
    with a_province(clock, database=tmp_path / "province.db") as after:
        assert uploaded(after, enterprise) == receipt
        assert [each.status for each in after.waybills("", 9)] == ["running"]
        assert became(after, enterprise, "done").accepted


# --- public keys ----------------------------------------------------------------------------------------------------


def listing(province, trusted=None):
    answer = httpx.get(province.url + OF.keys.path, trust_env=False)
    return directory.read(answer.content, province.ak, trusted or province.platform.public_keys)


def test_list_of_keys_says_what_each_is_worth_since_when(province, clock):
    first = dict(province.platform.public_keys)
    clock.later(days=1)
    with province.platform.together():
        province.platform.own_keys.renew(clock())
    clock.later(days=1)
    with province.platform.together():
        province.platform.own_keys.renew(clock())
        province.platform.own_keys.revoke("01", clock())
    said = listing(province)
    day = timedelta(days=1)
    assert [(key.sk, key.state, key.not_before, key.not_after, key.revoked) for key in said.keys] == [
        ("01", "revoked", NOW, NOW + day, NOW + 2 * day),
        ("02", "retired", NOW + day, NOW + 2 * day, None),
        ("03", "active", NOW + 2 * day, None, None),
    ]
    assert [key.fingerprint for key in said.keys] == [keyfolder.fingerprint(key.public_key) for key in said.keys]
    # A revoked key vouches for nothing; an older one that was not revoked does.
    with pytest.raises(ValueError, match="not signed with a known key of 310000"):
        listing(province, first)
    assert listing(province, {"02": said.keys[1].public_key}) == said


def test_changed_list_of_keys_is_not_believed(province):
    data = httpx.get(province.url + OF.keys.path, trust_env=False).content
    keys = province.platform.public_keys
    with pytest.raises(ValueError, match="the list is of 310000"):
        directory.read(data, "320000", keys)
    with pytest.raises(ValueError, match="not signed"):
        directory.read(data, "310000", {"01": OTHER.public_key})
    (payload,) = re.findall(rb'"payload": "([^"]+)"', data)
    forged = base64.b64encode(base64.b64decode(payload).replace(b"active", b"revoked"))
    with pytest.raises(ValueError, match="not signed"):
        directory.read(data.replace(payload, forged), "310000", keys)
    for other in (b"", b"{}", b"[" * 100_000, data + b" " * (1 << 20)):
        with pytest.raises(ValueError, match="list of keys"):
            directory.read(other, "310000", keys)


def test_new_key_signs_codes_under_its_index_and_the_old_ones_still_hold(province, enterprise, clock):
    first = uploaded(province, enterprise)
    with province.platform.together():
        province.platform.own_keys.renew(clock())
    second = uploaded(province, enterprise, i510="20")
    assert [qr.parse(each.data["qr"]).key_index for each in (first, second)] == ["01", "02"]
    for receipt in (first, second):
        content = qr.parse(receipt.data["qr"])
        assert qr.standing(content, province.platform.public_keys, sm2.verify) is qr.Standing.GENUINE


# --- pages ----------------------------------------------------------------------------------------------------------


def test_pages_show_waybills_and_mask_certificate_numbers(province, enterprise):
    uploaded(province, enterprise)
    became(province, enterprise, "running")
    uploaded(province, enterprise, i1="WB2024000000000000000002", i491="31010119800101001012345678")
    seen = {
        path: httpx.get(province.url + path, trust_env=False)
        for path in ("", "waybills", f"waybill/{NUMBER}", "document/1", "document/2", "document/3")
    }
    for answer in seen.values():
        assert answer.status_code == 200
        assert "<script" not in answer.text
        for number in ("310101198001010010", "310101198101010010"):
            assert number not in answer.text
    assert "310000" in seen[""].text
    assert f'href="/waybill/{NUMBER}"' in seen["waybills"].text
    page = seen[f"waybill/{NUMBER}"].text
    for shown in ("运输中", "验签通过", qr.mask("310101198001010010"), "沪A12345", "汽油"):
        assert shown in page
    picture = httpx.get(f"{province.url}waybill/{NUMBER}/qr.png", trust_env=False)
    assert zxing(picture.content) == province.waybill(NUMBER).qr.encode("gbk")
    assert httpx.get(f"{province.url}waybill/none", trust_env=False).status_code == 404


def test_list_of_waybills_goes_on_on_the_next_page(province, enterprise, monkeypatch):
    monkeypatch.setattr("scraper_agent.sandbox.province_web.PAGE_ROWS", 2)
    for n in range(3):
        uploaded(province, enterprise, i1=f"WB20240000000000000001{n:02}")
    first = httpx.get(f"{province.url}waybills", trust_env=False).text
    assert 'href="/waybills?before=WB2024000000000000000101"' in first
    rest = httpx.get(f"{province.url}waybills?before=WB2024000000000000000101", trust_env=False).text
    assert "WB2024000000000000000100" in rest
    assert "before=" not in rest


def test_page_tells_of_a_code_that_does_not_hold(clock, enterprise, tmp_path):
    with a_province(clock, database=tmp_path / "province.db") as running:
        uploaded(running, enterprise)
        with closing(sqlite3.connect(tmp_path / "province.db")) as database:
            database.execute("UPDATE waybill SET qr = replace(qr, '19.625#', '19.624#')")
            database.commit()
        assert "验签不通过" in httpx.get(f"{running.url}waybill/{NUMBER}", trust_env=False).text


# --- the profile ----------------------------------------------------------------------------------------------------


def test_no_two_interfaces_of_a_side_share_an_address_and_each_format_has_one():
    for side in (DEFAULT.interfaces.province, DEFAULT.interfaces.ministry):
        listed = [getattr(side, name) for name in type(side).model_fields]
        assert len({each.path for each in listed}) == len(listed)
        taken = [each.format for each in listed if each.format]
        assert len(set(taken)) == len(taken)
    assert {OF.waybill.format, OF.status.format} <= formats.FORMATS.keys()


def test_no_two_codes_are_alike():
    codes = [getattr(CODES, name).code for name in type(CODES).model_fields]
    assert len(set(codes)) == len(codes)
    assert not set(codes) & {"4000", "4001", "4002", "4030", "4031", "4032", "4033", "4090", "4220", "4221"}
