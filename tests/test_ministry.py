"""The simulated ministry between its provinces: who is asked, what is sealed, and who is told what went wrong."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, cast

import httpx
import pytest
import yaml
from pydantic import SecretStr

from scraper_agent import canonical, envelope
from scraper_agent.config import ReceiverSettings
from scraper_agent.errors import SourceErrors
from scraper_agent.mapping import CHINA_TIME
from scraper_agent.sandbox import country as processes
from scraper_agent.sandbox import licences, sealed
from scraper_agent.sandbox.platform import Sender
from scraper_agent.sandbox.sealed import Asker, NoAnswer, Peer
from scraper_agent.sending import https
from scraper_agent.signing import directory, keyfolder, sealing, sm2, sm2_file
from scraper_agent.signing.keyfile import PrivateKey
from scraper_agent.waybill import qr
from scraper_agent.waybill.profile import DEFAULT
from tests.authorities import (
    CODES,
    NOW,
    OF,
    OTHER,
    Clock,
    Country,
    D,
    Enterprise,
    Signer,
    a_province,
    change,
    country,
    peer,
    written,
)
from tests.waybills import waybill
from tests.world import PROFILE

NUMBER = "WB2024000000000000000001"
PASSPHRASE = "correct horse battery staple"  # noqa: S105 - of a key for one test
TO = DEFAULT.interfaces.ministry


@contextmanager
def on_the_road() -> Iterator[Country]:
    """Shanghai has a waybill on the road; Jiangsu asks."""
    with country("310000", "320000", "330000") as made:
        shanghai = made.of("310000").platform
        sender = made.enterprise()
        assert sender.send(shanghai, OF.waybill, written(waybill())).accepted
        assert sender.send(shanghai, OF.status, change(NUMBER, "running", "20260301T150000")).accepted
        yield made


@pytest.fixture
def fresh():
    """For tests that change keys for good."""
    with on_the_road() as made:
        yield made


@pytest.fixture(scope="module")
def shared():
    with on_the_road() as made:
        yield made


@pytest.fixture
def china(shared):
    """The shared one: afterwards it has its clock and its peers again."""
    yield shared
    shared.clock.now = NOW
    for ak, province in shared.provinces.items():
        shared.ministry.meet(peer(ak, province))
        province.meet(peer("000000", shared.ministry))


_nonces = itertools.count()


def held(china):
    return china.of("310000").waybill(NUMBER)


# --- a waybill of another province ----------------------------------------------------------------------------------


@pytest.mark.parametrize("division", ["310116", "31", "319999"])
def test_province_is_asked_by_the_first_two_digits_of_the_division(china, division):
    answer = china.of("320000").ask(NUMBER, division)
    assert (answer.accepted, answer.code) == (True, "0000")
    kept = held(china)
    assert answer.data == {
        "province": "310000",
        "found": True,
        "version": 1,
        "document": json.loads(kept.document),
        "digest": canonical.digest(kept.document),
        "status": "running",
        "since": "2026-03-01T07:00:00.000000Z",
        "qr": kept.qr,
    }


def test_waybill_that_a_province_does_not_have_is_not_found(china):
    assert china.of("310000").ask(NUMBER, "320506").data == {"province": "320000", "found": False}


def test_each_question_is_a_new_one(china):
    number, sender, shanghai = "WB2024000000000000000003", china.enterprise(), china.of("310000").platform
    sender.send(shanghai, OF.waybill, written(waybill(i1=number)))
    before = china.of("320000").ask(number, "31").data["status"]
    sender.send(shanghai, OF.status, change(number, "void", "20260301T160000"))
    assert (before, china.of("320000").ask(number, "31").data["status"]) == ("new", "void")


@pytest.mark.parametrize("division", ["510104", "99"])
def test_province_that_nobody_knows_is_told_of(china, division):
    answer = china.of("320000").ask(NUMBER, division)
    assert (answer.accepted, answer.code, answer.message) == (False, CODES.no_province.code, CODES.no_province.msg)
    assert answer.reason == f"division {division}"


def test_province_that_is_away_is_told_as_such_and_asked_again_when_it_is_back(china):
    china.of("310000").platform.stop()
    answer = china.of("320000").ask(NUMBER, "310116")
    assert (answer.accepted, answer.code, answer.message) == (False, CODES.province_away.code, CODES.province_away.msg)
    assert answer.reason.startswith("310000: SA4020 no connection to ")
    china.of("310000").platform.start()
    assert china.of("320000").ask(NUMBER, "310116").data["found"]


def test_province_that_does_not_answer_in_time_holds_up_nobody_else(china):
    china.ministry.meet(Peer(**{**_of(china, "310000"), "timeout_s": 0.3}))
    china.of("310000").platform.delay_next(3600)
    answer = china.of("320000").ask(NUMBER, "31")
    assert answer.code == CODES.province_away.code
    assert china.of("320000").ask(NUMBER, "33").data == {"province": "330000", "found": False}


def _of(china, ak):
    known = peer(ak, china.of(ak))
    return {"ak": known.ak, "url": known.url, "public_keys": known.public_keys}


def test_province_that_refuses_is_told_as_such(china):
    china.of("310000").platform.refuse_next("维护中")
    answer = china.of("320000").ask(NUMBER, "31")
    assert (answer.code, answer.message) == (CODES.province_refuses.code, CODES.province_refuses.msg)
    assert answer.reason == "310000: 4221 退单 refused: 维护中"


def test_province_that_answers_with_other_keys_is_not_believed(china):
    keys = {"01": OTHER.public_key}
    china.ministry.meet(Peer(**{**_of(china, "310000"), "public_keys": keys}))
    answer = china.of("320000").ask(NUMBER, "31")  # sealed for a key that Shanghai does not have
    assert (answer.code, answer.reason) == (
        CODES.province_away.code,
        "310000: the answer is not sealed for this system",
    )


def test_waybill_too_long_for_one_answer_is_refused_by_its_province(china):
    goods = [{"g1": str(n), "g3": "长" * 128, "g6": "大" * 24, "g7": "1", "g8": "桶"} for n in range(1, 121)]
    long = "WB2024000000000000000002"
    receipt = china.enterprise().send(china.of("310000").platform, OF.waybill, written(waybill(goods, i1=long)))
    assert receipt.accepted, receipt.reason
    answer = china.of("320000").ask(long, "31")
    assert answer.reason == f"310000: {CODES.too_long.code} {CODES.too_long.msg}: i1 {long}"


# --- a QR code ------------------------------------------------------------------------------------------------------


def test_code_is_verified_by_the_province_that_signed_it(china):
    answer = china.of("330000").ask_qr(held(china).qr)
    assert answer.data == {
        "province": "310000",
        "standing": "genuine",
        "found": True,
        "agrees": True,
        "differing": [],
        "i1": NUMBER,
        "status": "running",
    }


def test_code_of_an_older_version_no_longer_agrees(china):
    shanghai, number = china.of("310000"), "WB2024000000000000000002"
    first = china.enterprise().send(shanghai.platform, OF.waybill, written(waybill(i1=number)))
    china.enterprise().send(shanghai.platform, OF.waybill, written(waybill(i1=number, i510="20")))
    data = china.of("320000").ask_qr(first.data["qr"]).data
    assert (data["standing"], data["agrees"], data["differing"]) == ("genuine", False, ["weight"])


def test_code_that_nobody_signed_is_of_no_province(china):
    forged = held(china).qr.replace("19.625", "29.625")
    answer = china.of("320000").ask_qr(forged)
    assert (answer.code, answer.reason) == (CODES.no_province.code, "key 01")


def test_code_of_a_waybill_that_its_province_has_not_is_told(china):
    content = qr.build(qr.summary(waybill(i1="WB2024000000000000000009")), china.of("310000").platform.signer)
    data = china.of("320000").ask_qr(content.decode("gbk")).data
    assert data == {"province": "310000", "standing": "genuine", "found": False}


def test_code_of_a_revoked_key_is_told_by_its_province(fresh):
    china = fresh
    shanghai, old = china.of("310000"), held(china).qr
    with shanghai.platform.together():
        shanghai.platform.own_keys.revoke("01", china.clock())
    china.ministry.meet(Peer(**{**_of(china, "310000"), "public_keys": _all_keys(shanghai)}))
    data = china.of("320000").ask_qr(old).data
    assert data == {"province": "310000", "standing": "revoked-key"}


def _all_keys(province):
    return {key.sk: key.pair.public_key for key in province.platform.own_keys.keys}


@pytest.mark.parametrize("text", ["", "01#02", "x" * 3000, "𠮷"])
def test_what_is_no_code_is_refused_with_the_reason(china, text):
    answer = china.of("320000").ask_qr(text)
    assert (answer.code, answer.message) == (CODES.bad_query.code, CODES.bad_query.msg)
    assert re.match(r"SA107\d ", answer.reason)


# --- sealed, both ways ----------------------------------------------------------------------------------------------


def legs(china):
    """(who asks, who is asked, at which interface, for what): every leg between ministry and province."""
    shanghai, jiangsu, ministry = china.of("310000"), china.of("320000"), china.ministry
    query, text = {"i1": NUMBER, "division": "31"}, {"text": held(china).qr}
    return [
        (jiangsu, ministry, TO.query, query),
        (jiangsu, ministry, TO.qr, text),
        (ministry, shanghai, OF.query, query),
        (ministry, shanghai, OF.qr, text),
    ]


LEGS = ("province asks", "province asks of a code", "ministry asks", "ministry asks of a code")


@pytest.fixture(params=range(len(LEGS)), ids=LEGS)
def leg(china, request):
    return Leg(china, *legs(china)[request.param])


class Leg:
    def __init__(self, china, asking, asked, interface, question):
        self.china, self.asking, self.asked, self.interface = china, asking, asked, interface
        self.document = canonical.dumps(question)
        self.digest = canonical.digest(self.document)

    def request(self, *, ak="", signer=None, now=NOW, document=None):
        """A new one each time."""
        document = document or self.document
        ak = ak or self.asking.ak
        key = envelope.idempotency_key(ak, self.interface.format, f"{next(_nonces)}", canonical.digest(document))
        signer = signer or self.asking.platform.signer
        return key, envelope.build(document, self.interface.format, key, ak, signer, now)

    def post(self, body, key):
        headers = {"Idempotency-Key": key}
        url = self.asked.url + self.interface.path
        return httpx.post(url, content=body, headers=headers, trust_env=False, timeout=30)

    def send(self, raw, key):
        """Sealed as agreed; what comes back unsealed."""
        answer = self.post(sealing.seal(raw, self.asked.platform.signer.public_key), key)
        receipt = sealed.opened(answer.content, self.asking.platform.own_keys)
        return json.loads(receipt if receipt is not None else answer.content), receipt is not None


def test_request_and_receipt_are_sealed_for_their_readers(leg):
    key, raw = leg.request()
    answer, was_sealed = leg.send(raw, key)
    assert was_sealed
    assert (answer["code"], answer["rs"]["accepted"], answer["rs"]["digest"]) == ("0000", True, leg.digest)
    body = leg.post(sealing.seal(raw, leg.asked.platform.signer.public_key), key).content
    for secret in (b"0000", key.encode(), NUMBER.encode()):
        assert secret not in body
    other = PrivateKey(d=D, public_key=sm2.derive_public(D))
    with pytest.raises(Exception, match="SA3061"):
        sealing.unseal(body, other)


def test_unsealed_or_wrongly_sealed_request_is_refused(leg):
    key, raw = leg.request()
    good = sealing.seal(raw, leg.asked.platform.signer.public_key)
    for body in (
        raw,
        b"",
        sealing.seal(raw, OTHER.public_key),
        good[:-1],
        good[:-1] + bytes([good[-1] ^ 1]),
        good + b"\0",
    ):
        answer = leg.post(body, key)
        assert answer.status_code == 400
        told = answer.json()
        assert (told["code"], told["msg"]) == (CODES.unsealed.code, CODES.unsealed.msg)
        assert (told["rs"]["accepted"], told["rs"]["key"], "data" in told["rs"]) == (False, key, False)
    assert not [each for each in leg.asked.platform.stored() if each.key == key]


def test_sealed_request_is_refused_for_what_any_request_is_refused_for(leg):
    now, skew = NOW, timedelta(minutes=10, seconds=1)
    stranger = Signer("01", D + 7)
    for code, more, was_sealed in (
        ("4033", {"now": now - skew}, True),
        ("4033", {"now": now + skew}, True),
        ("4031", {"signer": stranger}, True),
        ("4030", {"signer": Signer("09")}, False),
        ("4030", {"ak": "990000"}, False),
    ):
        key, raw = leg.request(**more)
        answer, found_sealed = leg.send(raw, key)
        assert (answer["code"], answer["rs"]["accepted"], found_sealed) == (code, False, was_sealed)
        assert answer["rs"]["reason"]
    key, raw = leg.request()
    answer, _ = leg.send(raw, "0" * 64)
    assert answer["code"] == "4001"
    answer, _ = leg.send(raw.replace(b'"ps"', b'"pz"'), key)
    assert answer["code"] == "4000"
    assert not [each for each in leg.asked.platform.stored() if each.key == key]


def test_revoked_key_asks_nothing(leg):
    signer = leg.asking.platform.signer
    leg.asked.platform.know({(leg.asking.ak, "01"): Sender(public_key=signer.public_key, revoked=NOW)})
    key, raw = leg.request()
    assert leg.send(raw, key)[0]["code"] == "4032"


def test_replayed_question_gets_the_first_answer_and_asks_nobody(leg):
    key, raw = leg.request()
    first, _ = leg.send(raw, key)
    asked = [each.deliveries for each in leg.china.of("310000").platform.stored()]
    for days in (0, 30):
        leg.china.clock.later(days=days)
        assert leg.send(raw, key)[0] == first
    if leg.asked is leg.china.ministry:
        assert [each.deliveries for each in leg.china.of("310000").platform.stored()] == asked
    _, other = leg.request(document=canonical.dumps({"i1": "other", "division": "31"}))
    replaced = re.sub(rb'"key":"[0-9a-f]{64}"', b'"key":"%s"' % key.encode(), other)
    assert leg.send(replaced, key)[0]["code"] == "4031"


def test_key_of_another_question_is_refused(leg):
    key, raw = leg.request()
    leg.send(raw, key)
    document = canonical.dumps({"text": "other"})
    signer = leg.asking.platform.signer
    other = envelope.build(document, leg.interface.format, key, leg.asking.ak, signer, NOW)
    assert leg.send(other, key)[0]["code"] == "4090"


@pytest.mark.parametrize(
    "document",
    [{}, {"i1": 1, "division": "31"}, {"i1": "x"}, {"text": "x", "more": "y"}, {"i1": "x", "division": "3x"}],
)
def test_question_that_is_not_of_its_form_is_refused(leg, document):
    key, raw = leg.request(document=canonical.dumps(document))
    answer, _ = leg.send(raw, key)
    asked_for_a_waybill = leg.interface.format == "waybillQuery" and document.keys() == {"i1", "division"}
    if asked_for_a_waybill and document["i1"] == "x":  # a province does not look at the division
        assert answer["code"] == (CODES.no_province.code if leg.asked is leg.china.ministry else "0000")
    else:
        assert (answer["code"], answer["rs"]["accepted"]) == (CODES.bad_query.code, False)


def test_question_at_the_other_interface_is_refused(leg):
    of = TO if leg.asked is leg.china.ministry else OF
    key, raw = leg.request()
    leg.interface = of.qr if leg.interface is of.query else of.query
    answer, _ = leg.send(raw, key)
    assert (answer["code"], answer["rs"]["accepted"]) == ("4002", False)


def test_answer_in_the_open_or_for_another_is_not_believed(china):
    jiangsu = china.of("320000")
    for answer in (b'{"code":"0000"}', sealing.seal(b"{}", OTHER.public_key)):
        china.ministry.platform.answer_next_with(answer)
        with pytest.raises(NoAnswer, match="the answer is not sealed for this system"):
            jiangsu.ask(NUMBER, "31")
    china.ministry.platform.answer_next_with(sealing.seal(b"{}", jiangsu.platform.signer.public_key))
    with pytest.raises(NoAnswer, match="SA4005"):
        jiangsu.ask(NUMBER, "31")


def test_ministry_that_is_away_or_was_never_met_is_told(china):
    china.ministry.platform.stop()
    with pytest.raises(NoAnswer, match="SA4020"):
        china.of("320000").ask(NUMBER, "31")
    china.ministry.platform.start()
    with a_province(Clock()) as alone, pytest.raises(NoAnswer, match="no ministry is known"):
        alone.ask(NUMBER, "31")


def test_enterprise_has_no_business_with_the_ministry(china):
    sender: Enterprise = china.enterprise()
    asker = Asker(ak=sender.ak, keys=china.of("310000").platform.own_keys, clock=china.clock, nonce=lambda: "n")
    with pytest.raises(NoAnswer, match="not sealed"):  # nobody to seal an answer for
        asker.ask(peer("000000", china.ministry), TO.query, {"i1": NUMBER, "division": "31"})


def test_lost_answer_is_a_question_that_is_asked_anew(china):
    china.ministry.platform.lose_next_answer()
    with pytest.raises(NoAnswer, match="SA4022"):
        china.of("320000").ask(NUMBER, "31")
    assert china.of("320000").ask(NUMBER, "31").data["found"]


# --- public keys of all provinces -----------------------------------------------------------------------------------


def listing(china):
    data = httpx.get(china.ministry.url + TO.keys.path, trust_env=False, timeout=30).content
    return directory.read(data, "000000", china.ministry.platform.public_keys)


def states(china):
    return {(key.ak, key.sk): key.state for key in listing(china).keys}


def test_ministry_lists_the_keys_of_all_provinces(china):
    said = listing(china)
    assert [(key.ak, key.sk, key.state) for key in said.keys] == [
        (ak, "01", "active") for ak in ("000000", "310000", "320000", "330000")
    ]
    assert said.keys[1].public_key == china.of("310000").platform.public_keys["01"]
    assert said.away == ()


def test_new_key_of_a_province_counts_once_a_person_has_compared_it(fresh):
    china = fresh
    shanghai = china.of("310000")
    with shanghai.platform.together():
        new = shanghai.platform.own_keys.renew(china.clock())
    fingerprint = keyfolder.fingerprint(new.pair.public_key)
    assert states(china)["310000", "02"] == "unconfirmed"
    assert states(china)["310000", "01"] == "retired"
    with pytest.raises(NoAnswer, match="not sealed"):  # the ministry does not know who asks
        shanghai.ask(NUMBER, "32")
    assert china.of("320000").ask(NUMBER, "31").code == CODES.province_away.code  # its receipt has an unknown key
    with pytest.raises(LookupError):
        china.ministry.confirm("310000", "0" * 64)
    china.ministry.confirm("310000", fingerprint)
    assert states(china)["310000", "02"] == "active"
    assert shanghai.ask(NUMBER, "32").accepted
    assert china.of("320000").ask(NUMBER, "31").accepted


def test_revoked_key_of_a_province_counts_no_more(fresh):
    china = fresh
    shanghai = china.of("310000")
    with shanghai.platform.together():
        new = shanghai.platform.own_keys.renew(china.clock())
    china.ministry.confirm("310000", keyfolder.fingerprint(new.pair.public_key))
    with shanghai.platform.together():
        shanghai.platform.own_keys.revoke("01", china.clock())
    assert states(china)["310000", "01"] == "revoked"
    assert china.ministry.provinces["31"].public_keys == {"02": new.pair.public_key}
    assert china.ministry.platform.known("310000", "01").revoked == NOW


def test_province_that_is_away_is_listed_as_it_was_known(china):
    china.of("320000").platform.stop()
    said = listing(china)
    assert said.away == ("320000",)
    assert ("320000", "01", "active") in [(key.ak, key.sk, key.state) for key in said.keys]
    china.of("320000").platform.start()


def test_list_that_is_not_signed_with_a_known_key_counts_for_nothing(china):
    china.ministry.meet(Peer(**{**_of(china, "310000"), "public_keys": {"01": OTHER.public_key}}))
    said = listing(china)
    assert said.away == ("310000",)
    assert [key.public_key for key in said.keys if key.ak == "310000"] == [OTHER.public_key]


# --- pages ----------------------------------------------------------------------------------------------------------


def test_pages_show_questions_and_provinces_and_mask_certificate_numbers(china):
    china.of("320000").ask(NUMBER, "31")
    china.of("320000").ask_qr(held(china).qr)
    for of, paths in (
        (china.ministry, ("", "provinces")),
        (china.ministry, ()),
        (china.of("310000"), ()),
    ):
        for path in paths or [f"document/{each.number}" for each in of.platform.stored()[-2:]]:
            answer = httpx.get(of.url + path, trust_env=False)
            assert answer.status_code == 200
            for secret in ("310101198001010010", "310101198101010010"):
                assert secret not in answer.text
    page = httpx.get(china.ministry.url + "provinces", trust_env=False).text
    assert keyfolder.fingerprint(china.of("330000").platform.public_keys["01"]) in page


def test_operator_asks_by_a_form_and_reads_the_answer(china):
    jiangsu = china.of("320000")
    asked = {"i1": NUMBER, "division": "310116"}
    page = httpx.post(jiangsu.url + "ask", data=asked, trust_env=False, timeout=30).text
    assert "0000 已接收 accepted" in page
    assert "上海示例危险品运输有限公司" in page
    assert "310101198001010010" not in page
    page = httpx.post(jiangsu.url + "ask", data={"text": held(china).qr}, trust_env=False, timeout=30).text
    assert "&#34;standing&#34;: &#34;genuine&#34;" in page
    foreign = {"Origin": "http://evil.example"}
    assert httpx.post(jiangsu.url + "ask", data=asked, headers=foreign, trust_env=False).status_code == 403
    china.ministry.platform.stop()
    assert "SA4020" in httpx.post(jiangsu.url + "ask", data=asked, trust_env=False, timeout=30).text
    china.ministry.platform.start()
    assert "textarea" in httpx.get(jiangsu.url + "ask", trust_env=False).text


def real_now() -> datetime:
    return datetime.now(UTC)


# --- processes ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is a signal to a group of processes only on POSIX")
def test_one_command_starts_four_processes_with_keys_and_stores_of_their_own(tmp_path):
    (tmp_path / "keys").mkdir()
    keyfolder.create(tmp_path / "keys", SecretStr(PASSPHRASE), real_now())
    config = {
        "enterprise": {"name": PROFILE["name"], "uscc": PROFILE["uscc"]},
        "signing": {"kind": "file", "folder": "keys"},
        "receiver": {
            "ak": "A10001",
            "transport": {"kind": "https", "url": "https://customs.example/"},
            "public_keys": {"01": OTHER.public_key},
        },
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    (tmp_path / "policy.yaml").write_text("automatic: {}\n", encoding="utf-8")
    command = [sys.executable, "-m", "scraper_agent", "-c", str(tmp_path / "config.yaml")]
    with subprocess.Popen(
        [*command, "sandbox", "waybill", "--port", "0"],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as started:
        try:
            said = _until(cast("IO[bytes]", started.stdout), b"public_keys", 2)
            addresses = re.findall(r"# (\d{6}) .* (http://\S+/)", said.decode())
            _exchange(yaml.safe_load(said)["receivers"], addresses, tmp_path)
            os.killpg(started.pid, signal.SIGINT)
            _, told = started.communicate(timeout=60)
        finally:
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)
    assert (started.returncode, b"Traceback" in told) == (0, False), told.decode()
    places = sorted((tmp_path / "waybill-sandbox").iterdir())
    assert [place.name for place in places] == ["000000", "310000", "320000", "330000"]
    databases = [path for place in places for path in place.glob("*.db")]
    assert len({_own_key(path) for path in databases}) == 4


def _until(said_by: IO[bytes], text: bytes, times: int) -> bytes:
    """What it says until `text` has come so often."""
    said = b""
    while said.count(text) < times and (line := said_by.readline()):
        said += line
    return said


def _exchange(receivers: dict[str, Any], addresses: list[tuple[str, str]], folder: Path) -> None:
    """As the printed section of the config says: a waybill goes out, and another province asks for it."""
    url = dict(addresses)
    assert list(url) == ["000000", "310000", "320000", "330000"]
    settings = sm2_file.Config(kind="file", folder=folder / "keys", key="01")
    signer = sm2_file.Sm2FileSigner(settings, SecretStr(PASSPHRASE), real_now)
    clock = Clock(real_now())
    today = clock.now.astimezone(CHINA_TIME)
    for document, format in (
        (written(waybill(i41=f"{today:%Y%m%d}", i54=f"{today:%Y%m%d}")), "dangerousGoodsWaybill"),
        (change(NUMBER, "running", f"{today:%Y%m%dT%H%M%S}"), "waybillStatus"),
    ):
        receiver = ReceiverSettings.model_validate(receivers[format])
        key, raw = Enterprise(clock, receiver.ak, signer).request(format, document)
        assert isinstance(receiver.transport, https.Config)
        with https.HttpsTransport(receiver.transport) as transport:
            answer = transport.send(raw, key=key)
        digest = canonical.digest(document)
        receipt = envelope.open_receipt(answer, sm2.verify, receiver.public_keys, key=key, digest=digest)
        assert receipt.accepted, receipt.reason
    asked = {"i1": NUMBER, "division": "310116"}
    page = httpx.post(url["320000"] + "ask", data=asked, trust_env=False, timeout=30).text
    assert "&#34;status&#34;: &#34;running&#34;" in page
    said = httpx.get(url["000000"] + TO.keys.path, trust_env=False, timeout=30).json()
    listed = json.loads(base64.b64decode(said["payload"]))
    assert {key["ak"] for key in listed["keys"]} == set(url)
    assert listed["away"] == []


def _own_key(path: Path) -> str:
    with closing(sqlite3.connect(path)) as database:
        return str(database.execute("SELECT d FROM own_key").fetchone()[0])


def test_port_that_another_has_ends_all_of_them(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(processes.PortTaken) as caught, processes.running(tmp_path, port - 1, {}, real_now):
            pass
    assert caught.value.port == port
    assert list(tmp_path.iterdir()) == []


def test_table_of_licences_that_does_not_fit_is_told_before_anything_starts(tmp_path):
    (tmp_path / "320000").mkdir()
    (tmp_path / "320000" / "licences.yaml").write_text("enterprises: []\n", encoding="utf-8")
    with (
        pytest.raises(SourceErrors, match=r"320000.licences.yaml:1:1: "),
        processes.running(tmp_path, 0, {}, real_now),
    ):
        pass
    assert (tmp_path / "310000" / "licences.yaml").read_bytes() == licences.DEFAULT.read_bytes()
    assert not list(tmp_path.glob("*/*.db"))
