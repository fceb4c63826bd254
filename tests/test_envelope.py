"""Requests and receipts: exact bytes, openssl as second opinion, and everything that is not exactly right refused."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from scraper_agent import canonical, envelope
from scraper_agent.envelope import Answer, Profile, ReceiptInvalid, RequestInvalid
from scraper_agent.signing import keyfile, sm2
from scraper_agent.values import Digest

D = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
PUBLIC = sm2.derive_public(D)
NOW = datetime(2026, 11, 20, 8, 0, 0, 123_999, tzinfo=UTC)
DOCUMENT = canonical.dumps({"contractNo": "HT-001", "buyerName": "上海某某公司", "totalAmount": "1,000.50"})
DIGEST = canonical.digest(DOCUMENT)
KEY = envelope.idempotency_key("A10001", "contract", "HT-001", DIGEST)
PROFILES = [Profile(ts=ts, sn=sn) for ts in ("seconds", "milliseconds") for sn in ("base64", "hex")]


@dataclass(frozen=True)
class KeySigner:
    key_index: str = "01"
    d: int = D

    @property
    def public_key(self) -> str:
        return sm2.derive_public(self.d)

    def sign(self, message: bytes) -> bytes:
        return sm2.sign(self.d, self.public_key, message)


@dataclass(frozen=True)
class ToySigner(KeySigner):
    """Fast, for what is not about signatures: a digest in place of one."""

    def sign(self, message: bytes) -> bytes:
        return canonical.sm3(message) * 2


def toy_verify(public_key: str, message: bytes, signature: bytes) -> bool:
    return signature == canonical.sm3(message) * 2


TOY = ToySigner()
REQUEST = envelope.build(DOCUMENT, "contract", KEY, "A10001", TOY, NOW)
ANSWER = Answer(code="0000", msg="已接收", key=KEY, digest=DIGEST, accepted=True, id="SHB-7", reason="")
RECEIPT = envelope.build_receipt(ANSWER, TOY, NOW)


def test_request_is_these_bytes():
    ps = f'{{"digest":"{DIGEST}","document":{DOCUMENT.decode()},"format":"contract","key":"{KEY}"}}'
    sn = base64.b64encode(canonical.sm3(f"A10001179516160001{ps}".encode()) * 2).decode()
    assert REQUEST.decode() == f'{{"ak":"A10001","ts":1795161600,"sk":"01","sn":"{sn}","ps":{ps}}}'


def test_ps_is_canonical_json():
    ps = json.loads(REQUEST)["ps"]
    assert REQUEST.endswith(b'"ps":' + canonical.dumps(ps) + b"}")


@pytest.mark.parametrize("profile", PROFILES, ids=str)
def test_opened_request_is_what_was_built(profile):
    raw = envelope.build(DOCUMENT, "contract", KEY, "A10001", KeySigner("42"), NOW, profile)
    request = envelope.open_request(raw, sm2.verify, PUBLIC, profile)
    assert (request.document, request.digest, request.format, request.key) == (DOCUMENT, DIGEST, "contract", KEY)
    assert (request.ak, request.sk) == ("A10001", "42")
    assert request.ts == (1_795_161_600 if profile.ts == "seconds" else 1_795_161_600_123)


def test_each_attempt_has_its_own_stamp_and_signature_over_the_same_document():
    first, second = (
        envelope.read_request(envelope.build(DOCUMENT, "contract", KEY, "A10001", TOY, now))
        for now in (NOW, NOW.replace(hour=9))
    )
    assert first.ts != second.ts
    assert first.signature != second.signature
    assert (first.key, first.digest, first.document) == (second.key, second.digest, second.document)


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl command")
@pytest.mark.parametrize("profile", PROFILES, ids=str)
def test_openssl_verifies_the_signature(tmp_path, profile):
    raw = envelope.build(DOCUMENT, "contract", KEY, "A10001", KeySigner(), NOW, profile)
    # Taken apart by hand, as the receiving side would, not by the code under test.
    sent = json.loads(raw)
    sn = base64.b64decode(sent["sn"]) if profile.sn == "base64" else bytes.fromhex(sent["sn"])
    ps = raw[raw.index(b'"ps":') + 5 : -1]
    (tmp_path / "message").write_bytes(f"{sent['ak']}{sent['ts']}{sent['sk']}".encode() + ps)
    (tmp_path / "signature").write_bytes(sm2.signature_to_der(sn))
    (tmp_path / "public.pem").write_text(keyfile.public_pem(PUBLIC))
    command = [
        *("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin", "-digest", "sm3"),
        *("-in", "message", "-sigfile", "signature", "-pkeyopt", "distid:1234567812345678"),
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "message").write_bytes((tmp_path / "message").read_bytes() + b" ")
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == 1


@pytest.mark.parametrize(
    "change",
    [
        {"document": b"[]"},
        {"document": b""},
        {"document": b'{"a": 1}'},
        {"document": b'{"b":1,"a":2}'},
        {"document": b'{"a":1,"a":1}'},
        {"document": b'{"a":1.5}'},
        {"document": b'{"a":NaN}'},
        {"document": b'{"a":"\\u0041"}'},
        {"document": '{"a":"中"}'.encode("gbk")},
        {"document": b"{}{}"},
        {"document": b'{"a":' * 3000 + b"1" + b"}" * 3000},
        {"document": b'{"a":' * 600 + b"1" + b"}" * 600},
        {"format": ""},
        {"format": 'contract","key":"'},
        {"format": "合同"},
        {"key": KEY.upper()},
        {"key": "short"},
        {"ak": "A1000"},
        {"ak": "A10001\n"},
        {"ak": 'A1"001'},
        {"signer": ToySigner("00")},
        {"signer": ToySigner("1")},
    ],
    ids=lambda change: str(change)[:40],
)
def test_what_the_profile_cannot_carry_is_not_built(change):
    told = {"document": DOCUMENT, "format": "contract", "key": KEY, "ak": "A10001", "signer": TOY, "now": NOW} | change
    with pytest.raises(ValueError):  # noqa: PT011 - each in its own words
        envelope.build(**told)


def respelled(separators: tuple[str, str] = (",", ":"), *, indent: int | None = None, sort_keys: bool = False) -> bytes:
    sent = json.loads(REQUEST)
    return json.dumps(sent, ensure_ascii=False, separators=separators, indent=indent, sort_keys=sort_keys).encode()


def test_respelled_gives_the_same_bytes_if_nothing_is_changed():
    assert respelled() == REQUEST


TAMPERED = {
    "empty": b"",
    "null": b"null",
    "not UTF-8": REQUEST.replace(b"HT-001", b"HT-\xff\xff\xff"),
    "spaces": respelled(separators=(", ", ": ")),
    "indented": respelled(indent=1),
    "members sorted": respelled(sort_keys=True),
    "space before": b" " + REQUEST,
    "line feed after": REQUEST + b"\n",
    "second request after": REQUEST + REQUEST,
    "cut": REQUEST[:-1],
    "unknown member": REQUEST[:-1] + b',"x":1}',
    "unknown member of ps": REQUEST[:-2] + b',"x":1}}',
    "member of ps before": REQUEST.replace(b'"ps":{', b'"ps":{"accepted":true,'),
    "second document": REQUEST.replace(b',"format"', b',"document":{},"format"'),
    "document is a list": REQUEST.replace(DOCUMENT, b"[]"),
    "document is missing": REQUEST.replace(b'"document":' + DOCUMENT + b",", b""),
    "document with spaces": REQUEST.replace(DOCUMENT, DOCUMENT.replace(b":", b": ")),
    "document twice a key": REQUEST.replace(DOCUMENT, b'{"a":1,"a":2}'),
    "escaped spelling": REQUEST.replace(b"contract", b"contrac\\u0074"),
    "ts is text": REQUEST.replace(b"1795161600", b'"1795161600"'),
    "ts is a float": REQUEST.replace(b"1795161600", b"1795161600.0"),
    "ts with zero": REQUEST.replace(b"1795161600", b"01795161600"),
    "ts is negative": REQUEST.replace(b"1795161600", b"-1795161600"),
    "sk 00": REQUEST.replace(b'"sk":"01"', b'"sk":"00"'),
    "ak of 7": REQUEST.replace(b"A10001", b"A100010"),
    "sn not padded": REQUEST.replace(b'==","ps"', b'","ps"'),
    "sn other last bits": REQUEST.replace(REQUEST[REQUEST.index(b'==","ps"') - 1 :][:3], b"B=="),
    "sn too short": REQUEST.replace(json.loads(REQUEST)["sn"].encode(), base64.b64encode(bytes(63))),
}


@pytest.mark.parametrize("raw", TAMPERED.values(), ids=TAMPERED)
def test_request_of_another_form_is_refused(raw):
    assert raw != REQUEST
    with pytest.raises(RequestInvalid) as caught:
        envelope.read_request(raw)
    assert caught.value.code == "SA4001"


def test_request_with_another_document_is_refused():
    with pytest.raises(RequestInvalid) as caught:
        envelope.read_request(REQUEST.replace(b"1,000.50", b"1,000.51"))
    other = canonical.digest(DOCUMENT.replace(b"1,000.50", b"1,000.51"))
    assert str(caught.value) == (
        f"SA4002 the request's document has digest {other}; the request says {DIGEST}\n"
        "hint: it was changed on the way, or its sender took the digest of other bytes"
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"A10001"', b'"A10002"'),
        (b"1795161600", b"1795161601"),
        (b'"sk":"01"', b'"sk":"02"'),
        (b'"contract"', b'"contrac2"'),
        (KEY.encode(), KEY.encode()[::-1]),
    ],
)
def test_signature_covers_every_member(old, new):
    raw = REQUEST.replace(old, new)
    envelope.read_request(raw)  # its form is right
    with pytest.raises(RequestInvalid, match="SA4003 the request's signature does not hold under key"):
        envelope.open_request(raw, toy_verify, PUBLIC)


def test_request_signed_with_another_key_is_refused():
    raw = envelope.build(DOCUMENT, "contract", KEY, "A10001", KeySigner(d=D + 1), NOW)
    with pytest.raises(RequestInvalid, match="SA4003"):
        envelope.open_request(raw, sm2.verify, PUBLIC)


def test_request_of_another_profile_is_refused():
    with pytest.raises(RequestInvalid, match="sn is not 64 bytes in hex"):
        envelope.read_request(REQUEST, Profile(sn="hex"))


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
short = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
leaves = short | st.integers() | st.booleans() | st.none()
values = st.recursive(leaves, lambda x: st.lists(x, max_size=3) | st.dictionaries(short, x, max_size=3), max_leaves=6)
documents = st.dictionaries(short, values, max_size=4)


@settings(max_examples=50)
@given(documents)
def test_any_canonical_document_arrives_byte_for_byte(document):
    sent = canonical.dumps(document)
    key = envelope.idempotency_key("A10001", "x", "k", canonical.digest(sent))
    raw = envelope.build(sent, "x", key, "A10001", TOY, NOW)
    assert envelope.open_request(raw, toy_verify, PUBLIC).document == sent
    assert json.loads(raw)["ps"]["document"] == document


@given(st.integers(0, len(REQUEST) - 1), st.integers(0, 255))
def test_no_changed_byte_is_accepted(position, value):
    raw = bytearray(REQUEST)
    if raw[position] == value:
        return
    raw[position] = value
    with pytest.raises(RequestInvalid):
        envelope.open_request(bytes(raw), toy_verify, PUBLIC)


@given(st.binary(max_size=100))
def test_garbage_is_refused_and_nothing_else_is_raised(raw):
    with pytest.raises(RequestInvalid):
        envelope.read_request(raw)
    with pytest.raises(ReceiptInvalid):
        opened(raw)


def test_idempotency_key_is_this_digest():
    parts = [b"scraper-agent key/1", b"A10001", b"contract", b"HT-001", DIGEST.encode()]
    assert canonical.sm3(b"".join(bytes([0, 0, 0, len(p)]) + p for p in parts)).hex() == KEY


@given(st.lists(text, min_size=4, max_size=4, unique=True), st.integers(0, 3))
def test_idempotency_key_depends_on_each_part_and_its_place(parts, place):
    def key(ak: str, format: str, business_key: str, content: str) -> str:
        return envelope.idempotency_key(ak, format, business_key, Digest(content))

    changed = [part + "x" if i == place else part for i, part in enumerate(parts)]
    shifted = [parts[0] + parts[1][:1], parts[1][1:], *parts[2:]]
    assert key(*parts) == key(*parts)
    assert key(*changed) != key(*parts)
    assert (key(*shifted) == key(*parts)) == (shifted == parts)


# --- receipts -------------------------------------------------------------------------------------------------------


def opened(raw: bytes, **change: object) -> envelope.ReceiptContent:
    told: dict[str, object] = {"verify": toy_verify, "public_keys": {"01": PUBLIC}, "key": KEY, "digest": DIGEST}
    return envelope.open_receipt(raw, **(told | change))  # type: ignore[arg-type]


@pytest.mark.parametrize("profile", PROFILES, ids=str)
@pytest.mark.parametrize("accepted", [True, False])
def test_opened_receipt_is_what_was_answered(accepted, profile):
    answer = Answer(
        code="0000" if accepted else "4220",
        msg="说明",
        key=KEY,
        digest=DIGEST,
        accepted=accepted,
        id="SHB-7",
        reason="缺少币制",
    )
    raw = envelope.build_receipt(answer, KeySigner("03"), NOW, profile)
    content = opened(raw, verify=sm2.verify, public_keys={"03": PUBLIC}, profile=profile)
    assert (content.code, content.message, content.accepted) == (answer.code, "说明", accepted)
    assert (content.remote_id, content.reason, content.key_index) == ("SHB-7", "缺少币制", "03")
    assert content.at == NOW.replace(microsecond=0 if profile.ts == "seconds" else 123_000)


def test_data_comes_with_the_receipt_and_is_signed():
    data = {"qr": "01#01#…", "list": [1, {"x": None}]}
    raw = envelope.build_receipt(replace(ANSWER, data=data), TOY, NOW)
    assert opened(raw).data == data
    assert opened(RECEIPT).data is None
    for other in (None, {}, {**data, "qr": "02"}):
        rs = json.loads(raw)["rs"] | {"data": other}
        with pytest.raises(ReceiptInvalid, match="SA4007"):
            opened(json.dumps(json.loads(raw) | {"rs": rs}).encode())


def test_receipt_may_be_spelled_otherwise():
    raw = json.dumps(json.loads(RECEIPT), indent=2, ensure_ascii=True).encode() + b"\n"
    assert opened(raw) == opened(RECEIPT)


def changed(**members: object) -> bytes:
    return json.dumps(json.loads(RECEIPT) | members).encode()


def changed_rs(**members: object) -> bytes:
    return changed(rs=json.loads(RECEIPT)["rs"] | members)


NO_RECEIPT = {
    "empty": b"",
    "HTML": b"<html>502 Bad Gateway</html>",
    "UTF-16": RECEIPT.decode().encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + RECEIPT,
    "list": b"[" + RECEIPT + b"]",
    "two": RECEIPT + RECEIPT,
    "key twice": RECEIPT[:-1] + b',"code":"0000"}',
    "nested deeply": b"[" * 50_000,
    "missing sn": json.dumps({k: v for k, v in json.loads(RECEIPT).items() if k != "sn"}).encode(),
    "unknown member": changed(x=1),
    "unknown member of rs": changed_rs(x=1),
    "code is a number": changed(code=0),
    "code of 5": changed(code="00000"),
    "ts is text": changed(ts="1795161600"),
    "ts is a float": changed(ts=1795161600.5),
    "ts is true": changed(ts=True),
    "ts is negative": changed(ts=-1),
    "ts after the year 9999": changed(ts=10**15),
    "NaN": RECEIPT.replace(b"1795161600", b"NaN"),
    "huge number": RECEIPT.replace(b"1795161600", b"9" * 5000),
    "accepted is text": changed_rs(accepted="true"),
    "accepted is 1": changed_rs(accepted=1),
    "lone surrogate": RECEIPT.replace(b"SHB-7", b"\\ud800"),
    "rs is text": changed(rs="{}"),
    "data is a list": changed_rs(data=[]),
    "data with a fraction": changed_rs(data={"x": 1.5}),
    "data nested too deeply": changed_rs(data={"x": 0}).replace(b'"x": 0', b'"x": ' + b"[" * 5000 + b"]" * 5000),
    "sk 1": changed(sk="1"),
}


@pytest.mark.parametrize("raw", NO_RECEIPT.values(), ids=NO_RECEIPT)
def test_what_is_no_receipt_is_said_to_be_none(raw):
    with pytest.raises(ReceiptInvalid) as caught:
        opened(raw)
    assert caught.value.code == "SA4005"


def test_message_shows_the_start_of_what_came():
    with pytest.raises(ReceiptInvalid) as caught:
        opened(b"<html>\x1b[31m502</html>")
    assert str(caught.value) == (
        "SA4005 the answer is no receipt (Expecting value: line 1 column 1 (char 0)): '<html>\\x1b[31m502</html>'\n"
        "hint: check that `url` is the interface that receives documents, and that no proxy answers in its place"
    )


def test_huge_answer_is_not_parsed():
    with pytest.raises(ReceiptInvalid, match="SA4004 the answer has more than 65536 bytes"):
        opened(RECEIPT + b" " * 65_536)


@pytest.mark.parametrize(
    "raw",
    [
        changed(code="0001"),
        changed(msg="other"),
        changed(ts=1795161601),
        changed(sn=base64.b64encode(bytes(64)).decode()),
        changed(sn=""),
        changed(sn="===="),
        changed_rs(accepted=False),
        changed_rs(id="SHB-8"),
        changed_rs(reason="x"),
        changed_rs(key="0" * 64),
        changed_rs(digest="sm3:" + "0" * 64),
    ],
)
def test_signature_covers_the_whole_receipt(raw):
    with pytest.raises(ReceiptInvalid, match="SA4007 the receipt's signature does not hold under key 01"):
        opened(raw)


def test_receipt_signed_with_an_unknown_key_is_refused():
    with pytest.raises(ReceiptInvalid, match=r"SA4006 the receipt is signed with key 02 .*; known are 01, 03"):
        opened(envelope.build_receipt(ANSWER, ToySigner("02"), NOW), public_keys={"03": PUBLIC, "01": PUBLIC})


def test_receipt_signed_with_another_key_of_that_index_is_refused():
    with pytest.raises(ReceiptInvalid, match="SA4007"):
        opened(envelope.build_receipt(ANSWER, KeySigner(d=D + 1), NOW), verify=sm2.verify)


@pytest.mark.parametrize("name", ["key", "digest"])
def test_receipt_of_another_document_is_refused(name):
    other = "sm3:" + "0" * 64 if name == "digest" else "0" * 64
    answer = replace(ANSWER, key=other) if name == "key" else replace(ANSWER, digest=other)
    with pytest.raises(ReceiptInvalid) as caught:
        opened(envelope.build_receipt(answer, TOY, NOW))
    expected = {"key": KEY, "digest": DIGEST}[name]
    assert str(caught.value).startswith(
        f"SA4008 the receipt is of another document: its {name} is {other}; expected {expected}\nhint: "
    )


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(text, text, text, st.booleans())
def test_any_receipt_is_opened_as_it_was_built(msg, id, reason, accepted):
    answer = Answer(code="0000", msg=msg, key=KEY, digest=DIGEST, accepted=accepted, id=id, reason=reason)
    content = opened(envelope.build_receipt(answer, TOY, NOW))
    assert (content.message, content.remote_id, content.reason, content.accepted) == (msg, id, reason, accepted)


def test_absence_is_plain():
    assert envelope.absence(KEY) == b'{"found":false,"key":"%b"}' % KEY.encode()


def test_profile_says_nothing_else():
    with pytest.raises(ValidationError):
        Profile.model_validate({"sn": "der"})
    with pytest.raises(ValidationError):
        Profile.model_validate({"padding": "pkcs7"})
