"""The sandbox platform, and the agent's side of the wire against it: each document arrives once, whatever is lost."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from scraper_agent import canonical, envelope
from scraper_agent.envelope import Profile, ReceiptContent, ReceiptInvalid
from scraper_agent.errors import SendFailed, SendUnknown
from scraper_agent.ports import Standing
from scraper_agent.sandbox.platform import REQUEST_BYTES, Platform
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


def platform_of(database: Path | None = None) -> Platform:
    return Platform(lambda: NOW, {("A10001", "01"): PUBLIC}, {"contract"}, database=database)


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
    for thread in threading.enumerate():
        if "process_request" in thread.name:
            thread.join(10)
            assert not thread.is_alive()
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


def test_page_shows_what_arrived_and_runs_nothing_of_it(platform, transport):
    platform.refuse_next("<script>alert(1)</script>")
    transport.send(request(), key=KEY)
    answer = httpx.get(platform.home, trust_env=False)
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert "模拟平台 Sandbox platform" in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text
    assert "&lt;b&gt;上海&lt;/b&gt; &amp; Co" in answer.text
    assert "<script" not in answer.text
    assert "<b>" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/elsewhere", {}, 404),
        ("POST", "/elsewhere", {}, 404),
        ("GET", "/receive/unknown", {}, 404),
        ("POST", "/receive", {"Content-Length": str(REQUEST_BYTES + 1)}, 413),
        ("POST", "/receive", {"Content-Length": "-1"}, 411),
        ("POST", "/receive", {"Transfer-Encoding": "chunked"}, 411),
        ("PUT", "/receive", {}, 501),
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
