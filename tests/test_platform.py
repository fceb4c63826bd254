"""The sandbox platform, and the agent's side of the wire against it: each document arrives once, whatever is lost."""

from __future__ import annotations

import json
import socket
import sqlite3
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest

from scraper_agent import canonical, envelope
from scraper_agent.envelope import Profile, ReceiptContent, ReceiptInvalid
from scraper_agent.errors import SendFailed, SendUnknown
from scraper_agent.formats import FORMATS
from scraper_agent.ports import Standing
from scraper_agent.sandbox import platform_web, tls
from scraper_agent.sandbox.mischief import Fault
from scraper_agent.sandbox.platform import REQUEST_BYTES, Platform, Ruling, Sender
from scraper_agent.sandbox.tls import Authority
from scraper_agent.sending import https
from scraper_agent.signing import sm2

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
D = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
PUBLIC = sm2.derive_public(D)
DOCUMENT = canonical.dumps({"contractNo": "HT-001", "buyerName": "<b>上海</b> & Co"})


@dataclass(frozen=True)
class KeySigner:
    key_index: str = "01"
    d: int = D

    @property
    def public_key(self) -> str:
        return sm2.derive_public(self.d)

    def sign(self, message: bytes) -> bytes:
        return sm2.sign(self.d, self.public_key, message)


def platform_of(database: Path | None = None, **more: Any) -> Platform:
    return Platform(lambda: NOW, {("A10001", "01"): PUBLIC}, {"contract"}, database=database, **more)


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> tls.Files:
    return Authority().write(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def platform():
    with platform_of() as running:
        yield running


@pytest.fixture
def transport(platform):
    with connected(platform) as connection:
        yield connection


def connected(platform: Platform, **change: object) -> https.HttpsTransport:
    return https.HttpsTransport(https.Config.model_validate({"kind": "https", "url": platform.url} | change))


def key_of(document: bytes = DOCUMENT) -> str:
    return envelope.idempotency_key("A10001", "contract", "HT-001", canonical.digest(document))


KEY = key_of()


def request(document=DOCUMENT, format="contract", key="", ak="A10001", signer=None, now=NOW, profile=envelope.DEFAULT):
    return envelope.build(document, format, key or key_of(document), ak, signer or KeySigner(), now, profile)


def opened(platform: Platform, receipt: bytes, document: bytes = DOCUMENT, key: str = "") -> ReceiptContent:
    return envelope.open_receipt(
        receipt, sm2.verify, platform.public_keys, key=key or key_of(document), digest=canonical.digest(document)
    )


def test_document_arrives_and_the_receipt_says_so(platform, transport):
    content = opened(platform, transport.send(request(), key=KEY))
    assert content.accepted
    assert (content.code, content.message, content.remote_id) == ("0000", "已接收 accepted", "SIM-000001")
    (stored,) = platform.stored()
    assert (stored.document, stored.digest, stored.key) == (DOCUMENT, canonical.digest(DOCUMENT), KEY)
    assert (stored.ak, stored.sk, stored.format, stored.at, stored.deliveries) == ("A10001", "01", "contract", NOW, 1)


def test_repeat_is_answered_with_the_first_answers_bytes(platform, transport):
    first = transport.send(request(), key=KEY)
    assert transport.send(request(now=NOW.replace(hour=9)), key=KEY) == first
    (stored,) = platform.stored()
    assert stored.deliveries == 2


def test_key_of_another_document_is_refused(platform, transport):
    transport.send(request(), key=KEY)
    other = canonical.dumps({"contractNo": "HT-002"})
    content = opened(platform, transport.send(request(other, key=KEY), key=KEY), other, KEY)
    assert not content.accepted
    assert content.code == "4090"
    assert content.reason == f"{canonical.digest(DOCUMENT)}, then {canonical.digest(other)}"
    assert [stored.document for stored in platform.stored()] == [DOCUMENT]


def test_lost_answer_is_found_and_the_document_stored_once(platform, transport):
    platform.lose_next_answer()
    with pytest.raises(SendUnknown):
        transport.send(request(), key=KEY)
    found = transport.find(KEY)
    assert opened(platform, found).accepted
    assert transport.send(request(), key=KEY) == found
    assert len(platform.stored()) == 1


def test_lost_request_is_surely_not_there(platform, transport):
    platform.lose_next_request()
    with pytest.raises(SendUnknown):
        transport.send(request(), key=KEY)
    assert transport.find(KEY) is Standing.ABSENT
    assert platform.stored() == ()
    assert opened(platform, transport.send(request(), key=KEY)).accepted


def test_refused_document_is_stored_as_refused(platform, transport):
    platform.refuse_next("缺少币制")
    receipt = transport.send(request(), key=KEY)
    content = opened(platform, receipt)
    assert (content.accepted, content.code, content.reason) == (False, "4221", "缺少币制")
    assert transport.find(KEY) == receipt
    assert transport.send(request(), key=KEY) == receipt
    assert [(stored.accepted, stored.reason) for stored in platform.stored()] == [(False, "缺少币制")]


def test_unknown_format_is_refused(platform, transport):
    content = opened(platform, transport.send(request(format="poem"), key=KEY))
    assert (content.accepted, content.code, content.reason) == (False, "4220", "format poem")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (request(signer=KeySigner(d=D + 1)), "4031"),
        (request(profile=Profile(ts="milliseconds")).replace(b'"ts":1', b'"ts":2'), "4031"),
        (request(ak="A10002"), "4030"),
        (request(signer=KeySigner("02")), "4030"),
    ],
    ids=["wrong key", "changed ts", "unknown ak", "unknown sk"],
)
def test_request_without_a_valid_signature_leaves_no_trace(platform, transport, raw, code):
    content = opened(platform, transport.send(raw, key=KEY))
    assert (content.accepted, content.code) == (False, code)
    assert platform.stored() == ()
    assert transport.find(KEY) is Standing.ABSENT
    # Nobody can use up a key that is not theirs.
    assert opened(platform, transport.send(request(), key=KEY)).accepted


@pytest.mark.parametrize("raw", [b"", b"{}", request()[:-1], request(profile=Profile(sn="hex"))])
def test_malformed_request_is_refused_with_a_signature(platform, transport, raw):
    receipt = json.loads(transport.send(raw, key=KEY))
    assert (receipt["code"], receipt["rs"]["key"], receipt["rs"]["accepted"]) == ("4000", KEY, False)
    with pytest.raises(ReceiptInvalid, match="SA4008"):
        opened(platform, canonical.dumps(receipt))


def test_header_and_body_name_the_same_key(platform, transport):
    content = opened(platform, transport.send(request(), key="0" * 64))
    assert (content.accepted, content.code) == (False, "4001")
    assert platform.stored() == ()


def test_any_bytes_can_be_answered_instead(platform, transport):
    platform.answer_next_with(b"<html>", 502)
    platform.answer_next_with(b"later", 409, {"Retry-After": "1"})
    platform.answer_next_with(b"forged")
    for _ in range(2):
        with pytest.raises(SendUnknown, match="SA4025"):
            transport.send(request(), key=KEY)
    with pytest.raises(ReceiptInvalid, match="SA4005"):
        opened(platform, transport.send(request(), key=KEY))
    assert platform.stored() == ()


def test_receipt_of_another_platform_does_not_count(platform):
    with platform_of() as other, connected(other) as transport, pytest.raises(ReceiptInvalid, match="SA4007"):
        opened(platform, transport.send(request(), key=KEY))


def test_slow_platform_is_not_waited_for_and_does_not_hold_up_its_stop(platform):
    platform.delay_next(3600)
    with connected(platform, read_timeout_s=0.1) as transport, pytest.raises(SendUnknown):
        transport.send(request(), key=KEY)
    platform.stop()
    assert "platform" not in [thread.name for thread in threading.enumerate()]
    assert platform.stored() == ()


def test_stopped_platform_is_a_sure_failure_and_started_again_it_has_its_data(platform, transport):
    receipt = transport.send(request(), key=KEY)
    url = platform.url
    platform.stop()
    for ask in (lambda: transport.send(request(), key=KEY), lambda: transport.find(KEY)):
        with pytest.raises(SendFailed, match="SA4020"):
            ask()
    platform.start()
    assert platform.url == url
    assert transport.find(KEY) == receipt


def test_database_keeps_receipts_and_key(tmp_path):
    with platform_of(database=tmp_path / "platform.db") as first, connected(first) as transport:
        receipt = transport.send(request(), key=KEY)
    with platform_of(database=tmp_path / "platform.db") as second, connected(second) as transport:
        assert second.public_keys == first.public_keys
        assert transport.send(request(), key=KEY) == receipt
        assert len(second.stored()) == 1


def test_the_same_request_from_many_senders_at_once_is_stored_once(platform):
    raw = request()
    ready = threading.Barrier(8)

    def send() -> bytes:
        with connected(platform) as transport:
            ready.wait(10)
            return transport.send(raw, key=KEY)

    with ThreadPoolExecutor(8) as pool:
        answers = {future.result() for future in [pool.submit(send) for _ in range(8)]}
    assert len(answers) == 1
    assert [stored.deliveries for stored in platform.stored()] == [8]


def test_many_documents_at_once_are_all_stored(platform, transport):
    documents = [canonical.dumps({"contractNo": f"HT-{i:03}"}) for i in range(10)]
    requests = [request(document) for document in documents]
    with ThreadPoolExecutor(5) as pool:
        receipts = list(pool.map(lambda i: transport.send(requests[i], key=key_of(documents[i])), range(10)))
    contents = [opened(platform, receipt, document) for receipt, document in zip(receipts, documents, strict=True)]
    assert len({content.remote_id for content in contents}) == 10
    assert {stored.document for stored in platform.stored()} == set(documents)


# --- a judge --------------------------------------------------------------------------------------------------------

NOTES = "CREATE TABLE IF NOT EXISTS note (number TEXT PRIMARY KEY) STRICT;"


def note(request: envelope.Request, database: sqlite3.Connection) -> Ruling:
    """Takes each contract number once."""
    (number,) = json.loads(request.document).values()
    if database.execute("SELECT 1 FROM note WHERE number = ?", (number,)).fetchone():
        return Ruling(code="4299", msg="重复 twice", accepted=False, reason=number)
    database.execute("INSERT INTO note VALUES (?)", (number,))
    return Ruling(code="0000", msg="已登记 noted", accepted=True, data={"number": number})


def test_judge_is_asked_once_for_each_new_request_and_its_ruling_is_the_receipt(tmp_path):
    document = canonical.dumps({"contractNo": "HT-001"})
    again = "1" * 64
    with platform_of(tmp_path / "platform.db", judge=note, schema=NOTES) as running:
        first = running.receive(request(document), key_of(document))
    with platform_of(tmp_path / "platform.db", judge=note, schema=NOTES) as running:  # has its tables already
        assert running.receive(request(document), key_of(document)) == first
        _, refused = running.receive(request(document, key=again), again)
    accepted = opened(running, first[1], document)
    assert (accepted.accepted, accepted.message, accepted.data) == (True, "已登记 noted", {"number": "HT-001"})
    content = opened(running, refused, document, again)
    assert (content.accepted, content.code, content.reason) == (False, "4299", "HT-001")


def test_what_a_judge_stored_goes_with_a_receipt_that_never_was(tmp_path):
    def judge(request: envelope.Request, database: sqlite3.Connection) -> Ruling:
        ruling = note(request, database)
        if failing:
            raise TimeoutError
        return ruling

    document = canonical.dumps({"contractNo": "HT-001"})
    with platform_of(judge=judge, schema=NOTES) as running:
        failing = [True]
        with pytest.raises(TimeoutError):
            running.receive(request(document), key_of(document))
        failing.clear()
        assert opened(running, running.receive(request(document), key_of(document))[1], document).accepted


def test_judge_sees_nothing_of_an_unknown_format():
    with platform_of(judge=note, schema=NOTES) as running:
        raw = request(format="poem")
        assert opened(running, running.receive(raw, KEY)[1]).code == "4220"


# --- the pages ------------------------------------------------------------------------------------------------------


def looked_at(platform: Platform, path: str = "", **asked: str) -> str:
    answer = httpx.get(platform.home + path, params=asked, trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'unsafe-inline'; ")
    assert "<script" not in answer.text
    assert "<b>上海" not in answer.text
    return answer.text


def test_pages_show_what_arrived_and_run_nothing_of_it(platform, transport):
    platform.refuse_next("<script>alert(1)</script>")
    transport.send(request(), key=KEY)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in looked_at(platform)
    page = looked_at(platform, "document/1")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;上海&lt;/b&gt; &amp; Co" in page


def test_list_is_filtered_by_format_and_result(transport, platform):
    transport.send(request(), key=KEY)
    other = canonical.dumps({"contractNo": "HT-002"})
    transport.send(request(other, format="poem"), key=key_of(other))
    for asked, shown in [({}, "12"), ({"format": "poem"}, "2"), ({"state": "accepted"}, "1"), ({"before": "2"}, "1")]:
        page = looked_at(platform, **asked)
        assert [number for number in "12" if f'href="/document/{number}"' in page] == list(shown)


@pytest.mark.parametrize("asked", [{"format": "<b>"}, {"state": "'"}, {"before": "9" * 40}, {"before": "-1"}])
def test_list_takes_any_question(platform, asked):
    looked_at(platform, **asked)


def test_long_list_goes_on_on_the_next_page(platform, monkeypatch):
    monkeypatch.setattr(platform_web, "PAGE_ROWS", 2)
    for i in range(3):
        document = canonical.dumps({"contractNo": f"HT-{i}"})
        platform.receive(request(document), key_of(document))
    assert 'href="/?format=&amp;state=&amp;before=2"' in looked_at(platform)
    assert "before=" not in looked_at(platform, before="2")


def test_page_of_a_document_shows_its_content_and_proofs(platform, transport):
    document = canonical.dumps({"header": {"orderNumber": "PO-1"}, "lines": [{"goodsName": "深沟球轴承"}]})
    raw = request(document)
    transport.send(raw, key=key_of(document))
    transport.send(raw, key=key_of(document))
    page = looked_at(platform, "document/1")
    for shown in (
        "PO-1",
        "深沟球轴承",
        PUBLIC,
        "2026-11-20 08:00:00+00:00",
        "&#34;SIM-000001&#34;",
        "deliveries</span> (2)",
    ):
        assert shown in page
    assert page.count("验签通过") == 2


def test_page_tells_when_what_is_kept_was_changed(tmp_path):
    with platform_of(tmp_path / "platform.db") as running:
        running.receive(request(), KEY)
        with closing(sqlite3.connect(tmp_path / "platform.db")) as database:
            database.execute(
                "UPDATE received SET document = x'7b7d', receipt = CAST(replace(receipt, 'SIM', 'SIN') AS BLOB)"
            )
            database.commit()
        page = looked_at(running, "document/1")
    assert page.count("验签不通过") == 2


def test_there_is_no_page_of_what_did_not_arrive(platform):
    assert httpx.get(platform.home + "document/1", trust_env=False).status_code == 404


def switch(platform: Platform, content: str, origin: str = "") -> httpx.Response:
    headers = {"Origin": origin or platform.home.rstrip("/"), "Content-Type": "application/x-www-form-urlencoded"}
    return httpx.post(platform.home + "faults", content=content, headers=headers, trust_env=False)


def test_faults_are_switched_on_the_page(platform, transport):
    for content in ("fault=wrong_receipt&how=once", "fault=error_after_commit&how=lasting"):
        assert switch(platform, content).status_code == 303
    assert platform.switched_on() == ([Fault.WRONG_RECEIPT], Fault.ERROR_AFTER)
    assert "wrong_receipt ·" in looked_at(platform)
    switch(platform, "fault=")
    assert platform.switched_on() == ([], None)


def test_faults_are_switched_from_nowhere_else(platform):
    assert switch(platform, "fault=latency", "http://elsewhere.example").status_code == 403
    assert switch(platform, "fault=nothing").status_code == 400
    assert switch(platform, "fault=latency&" + "x" * 2000).status_code == 400
    assert platform.switched_on() == ([], None)


# --- faults ---------------------------------------------------------------------------------------------------------

STORED_FIRST = list(Fault)[list(Fault).index(Fault.RESET_AFTER) :]
NO_PROOF = [fault for fault in Fault if fault not in (Fault.LATENCY, Fault.DUPLICATE)]


def attempt(platform: Platform, transport: https.HttpsTransport) -> ReceiptContent:
    return opened(platform, transport.send(request(), key=KEY))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("fault", NO_PROOF)
def test_no_fault_yields_a_receipt_and_all_is_well_after_it(fault, tls, authority):
    files = (authority.certificate, authority.key) if tls else None
    slow = fault in (Fault.BYTE_A_SECOND, Fault.INTERIM_FLOOD)
    with platform_of(tls=files) as platform, connected(platform, ca_file=authority.ca) as transport:
        platform.receive(request(canonical.dumps({"a": 1})), key_of(canonical.dumps({"a": 1})))
        platform.misbehave(fault)
        with (
            connected(platform, ca_file=authority.ca, total_timeout_s=1 if slow else 30) as first,
            pytest.raises((SendUnknown, SendFailed, ReceiptInvalid)),
        ):
            attempt(platform, first)
        stored = [each for each in platform.stored() if each.key == KEY]
        assert len(stored) == (fault in STORED_FIRST)
        assert transport.find(KEY) == (stored[0].receipt if stored else Standing.ABSENT)
        assert attempt(platform, transport).accepted


def test_duplicate_delivery_is_stored_once(platform, transport):
    platform.misbehave(Fault.DUPLICATE)
    assert attempt(platform, transport).accepted
    assert [stored.deliveries for stored in platform.stored()] == [2]


def test_first_document_cannot_be_answered_with_an_older_ones_receipt(platform, transport):
    platform.misbehave(Fault.REPLAYED_RECEIPT)
    with pytest.raises(ReceiptInvalid, match="SA4008"):
        attempt(platform, transport)


def test_lasting_fault_ends_when_it_is_switched_off(platform, transport):
    platform.misbehave(Fault.ERROR_AFTER, lasting=True)
    for _ in range(2):
        with pytest.raises(SendUnknown, match="SA4025"):
            transport.send(request(), key=KEY)
    platform.behave()
    assert attempt(platform, transport).accepted
    assert [stored.deliveries for stored in platform.stored()] == [3]


def test_redirects_lead_nowhere(platform, transport):
    for fault, place in ((Fault.REDIRECT_AWAY, "https://customs.example/receive"), (Fault.REDIRECT_LOOP, "/receive")):
        platform.misbehave(fault)
        with pytest.raises(SendFailed, match="SA4023") as caught:
            transport.send(request(), key=KEY)
        assert caught.value.values["location"] == repr(place)
    assert platform.stored() == ()


# --- time and validity ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "code"), [(0, "0000"), (600, "0000"), (-600, "0000"), (601, "4033"), (-601, "4033")]
)
@pytest.mark.parametrize("profile", [envelope.DEFAULT, Profile(ts="milliseconds")], ids=["s", "ms"])
def test_time_stamp_is_near_the_clock(seconds, code, profile):
    with platform_of(profile=profile) as platform:
        raw = request(now=NOW + timedelta(seconds=seconds), profile=profile)
        assert json.loads(platform.receive(raw, KEY)[1])["code"] == code
        assert len(platform.stored()) == (code == "0000")


def test_stale_request_is_refused_with_a_signature_and_taken_when_signed_anew(platform, transport):
    content = opened(platform, transport.send(request(now=NOW - timedelta(hours=1)), key=KEY))
    assert (content.accepted, content.code) == (False, "4033")
    assert transport.find(KEY) is Standing.ABSENT
    assert attempt(platform, transport).accepted


def test_time_stamp_of_no_date_is_refused(platform):
    raw = envelope.build(DOCUMENT, "contract", KEY, "A10001", _Eternal(), NOW)
    digits = str(int(NOW.timestamp())).encode()
    assert json.loads(platform.receive(raw.replace(digits, b"9" * 16, 1), KEY)[1])["code"] == "4033"


class _Eternal(KeySigner):
    """Signs what a request says whose `ts` has 16 nines."""

    def sign(self, message: bytes) -> bytes:
        return super().sign(message.replace(str(int(NOW.timestamp())).encode(), b"9" * 16, 1))


def test_repeat_is_answered_however_late_it_comes():
    now = [NOW]
    with Platform(lambda: now[0], {("A10001", "01"): PUBLIC}, {"contract"}) as platform:
        first = platform.receive(request(), KEY)
        now[0] += timedelta(days=3)
        assert platform.receive(request(), KEY) == first


@pytest.mark.parametrize(
    ("validity", "code"),
    [
        ({}, "0000"),
        ({"not_before": NOW, "not_after": NOW + timedelta(1)}, "0000"),
        ({"not_before": NOW + timedelta(seconds=1)}, "4032"),
        ({"not_after": NOW}, "4032"),
        ({"revoked": NOW}, "4032"),
        ({"revoked": NOW + timedelta(seconds=1)}, "0000"),
    ],
)
def test_key_counts_while_it_is_valid(validity, code):
    sender = Sender(public_key=PUBLIC, **validity)
    with Platform(lambda: NOW, {("A10001", "01"): sender}, {"contract"}) as platform:
        assert json.loads(platform.receive(request(), KEY)[1])["code"] == code
        assert len(platform.stored()) == (code == "0000")


def test_every_standard_format_is_taken():
    with Platform(lambda: NOW, {("A10001", "01"): PUBLIC}, FORMATS) as platform:
        for format in FORMATS:
            document = canonical.dumps({"format": format})
            assert platform.receive(request(document, format), key_of(document))[0] == 200
        assert {stored.format for stored in platform.stored()} == set(FORMATS)
        assert len(FORMATS) == 14


# --- TLS and the server ---------------------------------------------------------------------------------------------


def test_document_arrives_over_tls_and_the_port_stays(authority):
    with platform_of(tls=(authority.certificate, authority.key)) as platform:
        url = platform.url
        assert url.startswith("https://127.0.0.1:")
        with connected(platform) as stranger, pytest.raises(SendFailed, match="SA4021"):
            stranger.send(request(), key=KEY)
        with connected(platform, ca_file=authority.ca) as transport:
            assert attempt(platform, transport).accepted
            for _ in range(3):
                platform.stop()
                platform.start()
                assert platform.url == url
                assert attempt(platform, transport).accepted


def test_certificate_that_cannot_be_read_leaves_the_port_free(tmp_path, authority):
    platform = platform_of(tls=(tmp_path / "none.pem", authority.key))
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            platform.start()
    platform.close()


def test_port_that_is_taken_is_told(platform):
    second = Platform(lambda: NOW, {}, set(), port=httpx.URL(platform.home).port or 0)
    with pytest.raises(OSError, match="in use"):
        second.start()
    second.close()


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/elsewhere", {}, 404),
        ("POST", "/elsewhere", {}, 404),
        ("GET", "/receive/unknown", {}, 404),
        ("POST", "/receive", {"Content-Length": str(REQUEST_BYTES + 1)}, 413),
        ("POST", "/receive", {"Content-Length": "-1"}, 400),
        ("POST", "/receive", {"Transfer-Encoding": "chunked"}, 411),
        ("PUT", "/receive", {}, 405),
    ],
)
def test_other_requests_are_turned_away(platform, method, path, headers, status):
    with closing(HTTPConnection("127.0.0.1", httpx.URL(platform.home).port, timeout=10)) as connection:
        connection.putrequest(method, path)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status == status


def test_sender_that_hangs_up_disturbs_nobody(platform, transport, capfd):
    with connected(platform, read_timeout_s=0.05) as impatient:
        platform.delay_next(0.2)
        with pytest.raises(SendUnknown):
            impatient.send(request(), key=KEY)
    assert opened(platform, transport.send(request(), key=KEY)).accepted
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("fault", [None, Fault.RESET_AFTER, Fault.ENDLESS_BODY])
def test_sender_that_goes_in_the_middle_disturbs_nobody(secure, fault, authority, capfd):
    raw = request()
    head = b"POST /receive HTTP/1.1\r\nHost: x\r\nIdempotency-Key: %b\r\nContent-Length: %d\r\n\r\n"
    whole = head % (KEY.encode(), len(raw)) + raw
    with platform_of(tls=(authority.certificate, authority.key) if secure else None) as platform:
        for end in (10, len(whole) - 10, len(whole)):
            if fault:
                platform.misbehave(fault)
            with socket.create_connection(("127.0.0.1", httpx.URL(platform.home).port or 0), timeout=10) as plain:
                if secure:
                    trust = ssl.create_default_context(cafile=authority.ca)
                    with trust.wrap_socket(plain, server_hostname="127.0.0.1") as line:
                        line.sendall(whole[:end])
                else:
                    plain.sendall(whole[:end])
        with connected(platform, ca_file=authority.ca) as transport:
            platform.behave()
            assert attempt(platform, transport).accepted
    assert capfd.readouterr().err == ""
