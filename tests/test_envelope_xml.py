"""Signed XML: exact bytes, openssl and expat as second opinions, and hostile messages refused.

A hostile message is signed properly once more where that is possible, so that it is its form that is refused, and not
only a signature that no longer holds.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import re
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from pydantic import BaseModel

from scraper_agent import canonical, envelope, yamlfile
from scraper_agent.envelope import Answer, Profile, ReceiptInvalid, RequestInvalid
from scraper_agent.envelope.profile import HERE, Name, spec
from scraper_agent.errors import SourceErrors
from scraper_agent.sandbox.platform import Platform
from scraper_agent.signing import keyfile, sm2

D = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
PUBLIC = sm2.derive_public(D)
NOW = datetime(2026, 11, 20, 8, 0, 0, 123_999, tzinfo=UTC)
DOCUMENT = canonical.dumps({"contractNo": "HT-001", "buyerName": "上海某某公司", "totalAmount": "1,000.50"})
OTHER = canonical.dumps({"contractNo": "HT-002"})
DIGEST = canonical.digest(DOCUMENT)
KEY = envelope.idempotency_key("A10001", "contract", "HT-001", DIGEST)
DS = "http://www.w3.org/2000/09/xmldsig#"
ELSE = "http://www.w3.org/2000/09/xmldsig#sm2-sm3"

CEB = Profile(name="ceb-xmldsig/1")
DXP = Profile(
    name="dxp/1", sender_id="DXPENT0000000001", receiver_ids=("DXPEDC0000000001", "DXPEDC2"), ic_card="9900000000001"
)
PROFILES = [CEB, DXP]
by_profile = pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.name)


@dataclass(frozen=True)
class KeySigner:
    key_index: str = "01"
    d: int = D

    @property
    def public_key(self) -> str:
        return sm2.derive_public(self.d)

    def sign(self, message: bytes) -> bytes:
        return sm2.sign(self.d, self.public_key, message)


def toy_signature(message: bytes) -> bytes:
    return canonical.sm3(message) * 2


class ToySigner(KeySigner):
    """Fast, for what is not about signatures."""

    def sign(self, message: bytes) -> bytes:
        return toy_signature(message)


def toy_verify(public_key: str, message: bytes, signature: bytes) -> bool:
    return signature == toy_signature(message)


TOY = ToySigner()
ANSWER = Answer(code="0000", msg="已接收", key=KEY, digest=DIGEST, accepted=True, id="SHB-7", reason="")


def request(profile: Profile, document: bytes = DOCUMENT, signer: KeySigner = TOY) -> bytes:
    key = envelope.idempotency_key("A10001", "contract", "HT-001", canonical.digest(document))
    return envelope.build(document, "contract", key, "A10001", signer, NOW, profile)


def receipt(profile: Profile, answer: Answer = ANSWER, signer: KeySigner = TOY) -> bytes:
    return envelope.build_receipt(answer, signer, NOW, profile)


def opened(raw: bytes, profile: Profile, **change: object) -> envelope.ReceiptContent:
    told: dict[str, object] = {"verify": toy_verify, "public_keys": {"01": PUBLIC}, "key": KEY, "digest": DIGEST}
    return envelope.open_receipt(raw, profile=profile, **(told | change))  # type: ignore[arg-type]


def taken_apart(raw: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """(message without signature, canonical SignedInfo, DigestValue, SignatureValue), by lxml and by hand."""
    root = etree.fromstring(raw)
    signature = root[-1]
    info = etree.tostring(signature[0], method="c14n")
    digest, value = signature.find(f".//{{{DS}}}DigestValue"), signature[1]
    assert digest is not None
    bare = copy.deepcopy(root)
    bare.remove(bare[-1])
    said = (base64.b64decode(element.text or "") for element in (digest, value))
    return (etree.tostring(bare, method="c14n"), info, *said)  # type: ignore[return-value]


def signed_again(raw: bytes) -> bytes:
    """`raw` with digest and signature of its own, wherever its first Signature stands."""
    root = etree.fromstring(raw)
    signature = root.find(f".//{{{DS}}}Signature")
    assert signature is not None
    bare = copy.deepcopy(root)
    there = bare.find(f".//{{{DS}}}Signature")
    assert there is not None
    above, before = there.getparent(), there.getprevious()
    assert above is not None
    if there.tail and before is not None:
        before.tail = (before.tail or "") + there.tail
    elif there.tail:
        above.text = (above.text or "") + there.tail
    there.tail = None
    above.remove(there)
    digest, value = signature.find(f".//{{{DS}}}DigestValue"), signature.find(f"{{{DS}}}SignatureValue")
    info = signature.find(f"{{{DS}}}SignedInfo")
    assert digest is not None
    assert value is not None
    assert info is not None
    digest.text = base64.b64encode(canonical.sm3(etree.tostring(bare, method="c14n"))).decode()
    value.text = base64.b64encode(toy_signature(etree.tostring(info, method="c14n", with_tail=False))).decode()
    return etree.tostring(root, encoding="utf-8")


# --- what is written ------------------------------------------------------------------------------------------------


def signed(start: str, namespace: str, inner: str, end: str) -> str:
    digest = base64.b64encode(canonical.sm3(f"{start}{inner}{end}".encode())).decode()
    info = (
        '<ds:CanonicalizationMethod Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315">'
        "</ds:CanonicalizationMethod>"
        '<ds:SignatureMethod Algorithm="http://www.chinaport.gov.cn/2022/04/xmldsig#sm2-sm3"></ds:SignatureMethod>'
        '<ds:Reference URI=""><ds:Transforms>'
        '<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform>'
        '</ds:Transforms><ds:DigestMethod Algorithm="http://www.chinaport.gov.cn/2022/04/xmldsig#sm3">'
        f"</ds:DigestMethod><ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
    )
    message = f'<ds:SignedInfo xmlns:ds="{DS}" {namespace}>{info}'.encode()
    value = base64.b64encode(toy_signature(message)).decode()
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{start}{inner}<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo>{info}'
        f"<ds:SignatureValue>{value}</ds:SignatureValue><ds:KeyInfo><ds:KeyName>01</ds:KeyName></ds:KeyInfo>"
        f"</ds:Signature>{end}"
    )


def test_a_ceb_request_is_these_bytes():
    namespace = 'xmlns:m="urn:scraper-agent:message:1"'
    guid = "-".join(KEY[a:b].upper() for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32)))
    inner = (
        "<m:System>A10001</m:System><m:KeyIndex>01</m:KeyIndex><m:Time>2026-11-20T08:00:00Z</m:Time>"
        f"<m:Format>contract</m:Format><m:Key>{KEY}</m:Key><m:Digest>{DIGEST}</m:Digest>"
        f"<m:Document>{base64.b64encode(DOCUMENT).decode()}</m:Document>"
    )
    start = f'<m:Message {namespace} guid="{guid}" version="1.0">'
    assert request(CEB).decode() == signed(start, namespace, inner, "</m:Message>")


def test_a_dxp_request_is_these_bytes():
    namespace = 'xmlns:dxp="http://www.chinaport.gov.cn/dxp"'
    inner = (
        f"<dxp:TransInfo><dxp:CopMsgId>{KEY}</dxp:CopMsgId><dxp:SenderId>DXPENT0000000001</dxp:SenderId>"
        "<dxp:ReceiverIds><dxp:ReceiverId>DXPEDC0000000001</dxp:ReceiverId><dxp:ReceiverId>DXPEDC2</dxp:ReceiverId>"
        "</dxp:ReceiverIds><dxp:CreatTime>2026-11-20T16:00:00</dxp:CreatTime><dxp:MsgType>contract</dxp:MsgType>"
        f"</dxp:TransInfo><dxp:Data>{base64.b64encode(DOCUMENT).decode()}</dxp:Data>"
        f"<dxp:AddInfo><dxp:FileName>{KEY}.json</dxp:FileName><dxp:IcCard>9900000000001</dxp:IcCard><dxp:BizKey>"
        '<dxp:Key name="ak">A10001</dxp:Key><dxp:Key name="sk">01</dxp:Key><dxp:Key name="format">contract</dxp:Key>'
        f'<dxp:Key name="sm3">{DIGEST[4:]}</dxp:Key></dxp:BizKey></dxp:AddInfo>'
    )
    start = f'<dxp:DxpMsg {namespace} ver="1.0">'
    assert request(DXP).decode() == signed(start, namespace, inner, "</dxp:DxpMsg>")


def test_a_dxp_answer_is_these_bytes():
    namespace = 'xmlns:dxp="http://www.chinaport.gov.cn/dxp"'
    inner = (
        "<dxp:RecevierId>DXPENT0000000001</dxp:RecevierId><dxp:Response><dxp:ResponseCode>-1201002</dxp:ResponseCode>"
        "<dxp:ResponseInfo>验签失败 &lt;1&gt;</dxp:ResponseInfo></dxp:Response><dxp:Results>"
        f'<dxp:Result name="sk">01</dxp:Result><dxp:Result name="sm3">{DIGEST[4:]}</dxp:Result>'
        '<dxp:Result name="id"></dxp:Result><dxp:Result name="reason">a&amp;b&#xD;</dxp:Result></dxp:Results>'
        "<dxp:NoticeTime>2026-11-20T16:00:00</dxp:NoticeTime>"
        f"<dxp:OriHead><dxp:CopMsgId>{KEY}</dxp:CopMsgId></dxp:OriHead>"
    )
    answer = Answer(code="4031", msg="验签失败 <1>", key=KEY, digest=DIGEST, accepted=False, reason="a&b\r")
    start = f'<dxp:DxpRep {namespace} ver="1.0">'
    assert receipt(DXP, answer).decode() == signed(start, namespace, inner, "</dxp:DxpRep>")


@by_profile
def test_what_is_written_is_its_own_canonical_form(profile: Profile):
    for raw in (request(profile), receipt(profile)):
        written = raw.decode().removeprefix('<?xml version="1.0" encoding="UTF-8"?>')
        assert ET.canonicalize(written) == written  # expat, and C14N 2.0, which is the same for messages like ours
        assert etree.tostring(etree.fromstring(raw), method="c14n").decode() == written


@by_profile
@pytest.mark.parametrize("make", [request, receipt])
def test_openssl_finds_the_digest_and_verifies_the_signature(
    tmp_path: Path, profile: Profile, make: Callable[..., bytes]
):
    content, info, digest, value = taken_apart(make(profile, signer=KeySigner()))
    (tmp_path / "content").write_bytes(content)
    (tmp_path / "message").write_bytes(info)
    (tmp_path / "signature").write_bytes(sm2.signature_to_der(value))
    (tmp_path / "public.pem").write_text(keyfile.public_pem(PUBLIC))
    hashing = ["openssl", "dgst", "-sm3", "-binary", "content"]
    assert subprocess.run(hashing, cwd=tmp_path, check=True, capture_output=True).stdout == digest
    command = [
        *("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin", "-digest", "sm3"),
        *("-in", "message", "-sigfile", "signature", "-pkeyopt", "distid:1234567812345678"),
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "message").write_bytes(info + b" ")
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == 1


# --- there and back -------------------------------------------------------------------------------------------------


@by_profile
def test_opened_request_is_what_was_built(profile: Profile):
    read = envelope.open_request(request(profile, signer=KeySigner("42")), sm2.verify, PUBLIC, profile)
    assert (read.document, read.digest, read.format, read.key) == (DOCUMENT, DIGEST, "contract", KEY)
    assert (read.ak, read.sk, read.ts) == ("A10001", "42", 1_795_161_600)


@by_profile
def test_opened_receipt_is_what_was_answered(profile: Profile):
    content = opened(receipt(profile, signer=KeySigner("03")), profile, verify=sm2.verify, public_keys={"03": PUBLIC})
    assert (content.accepted, content.message, content.remote_id, content.reason) == (True, "已接收", "SHB-7", "")
    assert (content.key_index, content.at) == ("03", NOW.replace(microsecond=0))
    assert content.code == ("0" if profile is DXP else "0000")


@by_profile
@settings(max_examples=50)
@given(st.text(max_size=300), st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.text(max_size=128))
def test_any_text_of_an_answer_arrives_as_xml_can_hold_it(profile: Profile, msg: str, reason: str, id: str):
    answer = replace(ANSWER, msg=msg, reason=reason, id=id)
    content = opened(receipt(profile, answer), profile)
    kept = [
        "".join(
            c if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff" else "\ufffd"
            for c in t
        )
        for t in (msg, reason, id)
    ]
    assert [content.message, content.reason, content.remote_id] == kept


@by_profile
@pytest.mark.parametrize("key", ["", "\x00\x1f<&>", "x" * 5000, "\r\n"])
def test_an_answer_to_whatever_key_can_be_written(profile: Profile, key: str):
    raw = receipt(profile, Answer(code="4000", msg="", key=key, digest="", accepted=False))
    with pytest.raises(ReceiptInvalid) as caught:
        opened(raw, profile)
    assert caught.value.code in {"SA4005", "SA4008"}


@pytest.mark.parametrize(
    ("profile", "code", "theirs", "reason"),
    [
        (CEB, "4031", "1001", "1001 签名无效 signature does not hold: sk 01"),
        (CEB, "4000", "0001", "0001 格式错误 malformed: sk 01"),
        (CEB, "3003", "3003", "3003 超时 timed out: sk 01"),
        (CEB, "7777", "7777", "7777: sk 01"),
        (DXP, "4031", "-1201002", "-1201002 验签失败 signature does not hold: sk 01"),
        (DXP, "4220", "-1201001", "-1201001 传输报文合法性校验失败 message is malformed: sk 01"),
        (DXP, "7777", "-1201008", "-1201008 系统异常 fault of the system: sk 01"),
    ],
    ids=lambda it: it.name if isinstance(it, Profile) else str(it),
)
def test_a_refusal_says_what_its_code_means(profile: Profile, code: str, theirs: str, reason: str):
    content = opened(receipt(profile, replace(ANSWER, code=code, accepted=False, reason="sk 01")), profile)
    assert (content.accepted, content.code, content.reason) == (False, theirs, reason)


RESPELLED: dict[str, Callable[[str], str]] = {
    "no declaration": lambda t: t.partition("?>")[2],
    "other declaration": lambda t: "<?xml version='1.0' encoding='utf-8' standalone='yes' ?>\n" + t.partition("?>")[2],
    "line feed after": lambda t: t + "\n",
    "empty elements": lambda t: t.replace("></ds:Transform>", "/>"),
    "single quotes": lambda t: t.replace('URI=""', "URI=''"),
    "character references": lambda t: t.replace(">contract<", ">contr&#x61;ct<").replace(">已接收<", ">&#24050;接收<"),
    "space in a tag": lambda t: t.replace("<ds:KeyName>", "<ds:KeyName  >"),
    "base64 in lines": lambda t: t.replace("</ds:SignatureValue>", "\r\n</ds:SignatureValue>"),
}
RESPELLED_AND_SIGNED: dict[str, Callable[[str], str]] = {
    "line feeds between elements": lambda t: t.replace("><", ">\n  <").replace(">\n  </", "></"),
    "white space after the signature": lambda t: t.replace("</ds:Signature>", "</ds:Signature>\n\t"),
    "default namespace": lambda t: (
        t.replace("m:", "").replace("dxp:", "").replace("xmlns:m=", "xmlns=").replace("xmlns:dxp=", "xmlns=")
    ),
    "another prefix": lambda t: t.replace("ds:", "s:").replace("xmlns:ds", "xmlns:s"),
    "ds declared at the root": lambda t: t.replace(f' xmlns:ds="{DS}"', "").replace(
        " xmlns:", f' xmlns:ds="{DS}" xmlns:', 1
    ),
    "unused namespace": lambda t: t.replace(
        " xmlns:", ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:', 1
    ),
    "older URI of the signature": lambda t: t.replace("http://www.chinaport.gov.cn/2022/04/xmldsig#sm2-sm3", ELSE),
    "older URI of the digest": lambda t: t.replace("http://www.chinaport.gov.cn/2022/04/xmldsig#sm3", f"{DS}sm3"),
}


@by_profile
@pytest.mark.parametrize("change", RESPELLED)
def test_another_spelling_of_the_same_canonical_form_is_the_same_message(profile: Profile, change: str):
    for raw in (request(profile), receipt(profile)):
        other = RESPELLED[change](raw.decode()).encode()
        read_alike(other, raw, profile)


@by_profile
@pytest.mark.parametrize("change", RESPELLED_AND_SIGNED)
def test_another_layout_that_is_signed_is_read_alike(profile: Profile, change: str):
    for raw in (request(profile), receipt(profile)):
        changed = RESPELLED_AND_SIGNED[change](raw.decode())
        assert changed != raw.decode()
        read_alike(signed_again(changed.encode()), raw, profile)


def read_alike(other: bytes, raw: bytes, profile: Profile) -> None:
    if raw == receipt(profile):
        assert opened(other, profile) == opened(raw, profile)
    else:
        assert said(other, profile) == said(raw, profile)


def said(raw: bytes, profile: Profile) -> tuple[object, ...]:
    read = envelope.open_request(raw, toy_verify, PUBLIC, profile)
    return read.ak, read.ts, read.sk, read.format, read.key, read.digest, read.document


# --- what is refused ------------------------------------------------------------------------------------------------


def within(tag: str, text: str) -> Callable[[str], str]:
    """`text` at the beginning of the first element `tag` that has content, whatever its prefix."""

    def change(t: str) -> str:
        for prefix in ("ds:", "m:", "dxp:"):
            at = t.find(f"<{prefix}{tag}")
            if at >= 0:
                end = t.index(">", at) + 1
                return t[:end] + text + t[end:]
        raise AssertionError(tag)

    return change


def attribute(tag: str, text: str) -> Callable[[str], str]:
    def change(t: str) -> str:
        for prefix in ("ds:", "m:", "dxp:"):
            if f"<{prefix}{tag}" in t:
                return t.replace(f"<{prefix}{tag}", f"<{prefix}{tag} {text}", 1)
        raise AssertionError(tag)

    return change


def place(t: str, tag: str) -> int:
    found = re.search(f"<{tag}[ >]", t)
    assert found
    return found.start()


def without(tag: str) -> Callable[[str], str]:
    def change(t: str) -> str:
        start, end = place(t, tag), t.index(f"</{tag}>") + len(f"</{tag}>")
        return t[:start] + t[end:]

    return change


def root_of(t: str) -> str:
    return t[t.index("<", 5) + 1 :].split(" ", maxsplit=1)[0]


def signature_of(t: str) -> str:
    return t[t.index("<ds:Signature ") : t.index("</ds:Signature>") + len("</ds:Signature>")]


def wrapped(t: str) -> str:
    """The whole signed message in an Object of a signature of a new root that says something else."""
    whole, root = t.partition("?>")[2], root_of(t)
    evil = whole.replace(signature_of(t), "").replace("HT-001", "HT-666")
    moved = signature_of(t).replace("</ds:Signature>", f"<ds:Object>{whole}</ds:Object></ds:Signature>")
    return evil.replace(f"</{root}>", f"{moved}</{root}>")


def moved_into_a_child(t: str) -> str:
    first = t.index(">", t.index(f"<{root_of(t)}")) + 1
    name = t[first + 1 : t.index(">", first)]
    return t.replace(signature_of(t), "").replace(f"</{name}>", f"{signature_of(t)}</{name}>", 1)


def by_id(t: str) -> str:
    root = root_of(t)
    return t.replace(f"<{root} ", f'<{root} Id="a" ').replace('URI=""', 'URI="#a"')


def original_beside(t: str) -> str:
    root, whole = root_of(t), t.partition("?>")[2]
    return f"<{root} " + whole.partition(" ")[2].replace(f"</{root}>", f"{whole}</{root}>")


def twice(tag: str) -> Callable[[str], str]:
    def change(t: str) -> str:
        start, end = place(t, tag), t.index(f"</{tag}>") + len(f"</{tag}>")
        return t[:end] + t[start:end] + t[end:]

    return change


def swapped(t: str) -> str:
    root = etree.fromstring(t.encode())
    root.insert(0, root[1])
    return etree.tostring(root, encoding="unicode")


def method(old: str, new: str) -> Callable[[str], str]:
    return lambda t: t.replace(old, new)


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))

UNREADABLE: dict[str, Callable[[str], str]] = {
    "empty": lambda t: "",
    "JSON": lambda t: '{"ak":"A10001"}',
    "HTML": lambda t: "<!doctype html><html><body>502</body></html>",
    "cut": lambda t: t[:-1],
    "second message after": lambda t: t + t.partition("?>")[2],
    "text after": lambda t: t + "x",
    "text before": lambda t: "x" + t,
    "space before the declaration": lambda t: " " + t,
    "byte order mark": lambda t: "\ufeff" + t,
    "XML 1.1": lambda t: t.replace('"1.0"', '"1.1"', 1),
    "declared as GBK": lambda t: t.replace("UTF-8", "GBK", 1),
    "declared as UTF-7": lambda t: t.replace("UTF-8", "UTF-7", 1),
    "declared as UTF-16": lambda t: t.replace("UTF-8", "UTF-16", 1),
    "DTD": lambda t: t.replace("?>", f"?><!DOCTYPE {root_of(t)}>", 1),
    "external DTD": lambda t: t.replace("?>", f'?><!DOCTYPE {root_of(t)} SYSTEM "http://127.0.0.1:9/x.dtd">', 1),
    "parameter entity": lambda t: t.replace(
        "?>", f'?><!DOCTYPE {root_of(t)} [<!ENTITY % x SYSTEM "http://127.0.0.1:9/"> %x;]>', 1
    ),
    "default attribute of a DTD": lambda t: t.replace(
        "?>", f'?><!DOCTYPE {root_of(t)} [<!ATTLIST {root_of(t)} Id ID "a">]>', 1
    ),
    "comment before the root": lambda t: t.replace("?>", "?><!-- -->", 1),
    "comment after the root": lambda t: t + "<!-- -->",
    "CDATA": lambda t: t.replace(KEY, f"<![CDATA[{KEY}]]>", 1),
    "style sheet": lambda t: t.replace("?>", '?><?xml-stylesheet href="http://127.0.0.1:9/x.xsl"?>', 1),
    "second declaration": lambda t: t.replace("?>", '?><?xml version="1.0"?>', 1),
    "attribute twice": attribute("Reference", 'URI=""'),
    "too long": lambda t: t + " " * (5 << 20),
}
"""What signing it again would mend: it is refused for how it is written."""

HOSTILE: dict[str, Callable[[str], str]] = {
    "external entity": lambda t: (
        within("Digest", "&x;")(t) if "<m:Digest>" in t else within("CopMsgId", "&x;")(t)
    ).replace("?>", f'?><!DOCTYPE {root_of(t)} [<!ENTITY x SYSTEM "file:///etc/hostname">]>', 1),
    "billion laughs": lambda t: within("SignedInfo", "&l9;")(t).replace(
        "?>", f'?><!DOCTYPE {root_of(t)} [<!ENTITY l0 "ha">{LAUGHS}]>', 1
    ),
    "unknown entity": within("KeyName", "&nbsp;"),
    "comment in the root": lambda t: t.replace("<ds:Signature ", "<!-- --><ds:Signature "),
    "comment in a text": lambda t: t.replace(KEY, f"{KEY[:32]}<!-- -->{KEY[32:]}"),
    "comment after a text": lambda t: t.replace(KEY, f"{KEY}<!--x-->", 1),
    "comment in the signed information": within("SignedInfo", "<!-- -->"),
    "CDATA that hides markup": within("KeyName", "<![CDATA[<ds:KeyName>]]>"),
    "processing instruction": within("SignedInfo", "<?php ?>"),
    "nested deeply": within("KeyName", "<a>" * 60_00 + "</a>" * 60_00),
    "undeclared prefix": within("KeyInfo", "<q:x/>"),
    "control character": within("KeyName", "\x01"),
    "character that is none": within("KeyName", "&#xFFFF;"),
    # wrapping, and signatures in other places or numbers
    "no signature": lambda t: t.replace(signature_of(t), ""),
    "two signatures": lambda t: t.replace(signature_of(t), signature_of(t) * 2),
    "signature first": lambda t: (
        t.replace(signature_of(t), "").replace(">", f">{signature_of(t)}", 2).replace(signature_of(t), "", 1)
    ),
    "signature in a child": moved_into_a_child,
    "message wrapped in an object": wrapped,
    "message wrapped in a new root": lambda t: f"<x>{t.partition('?>')[2]}</x>",
    "signed message beside another": original_beside,
    "reference by id": by_id,
    "reference to nothing": lambda t: t.replace('URI=""', 'URI="#nothing"'),
    "reference to a file": lambda t: t.replace('URI=""', 'URI="file:///etc/hostname"'),
    "reference to the network": lambda t: t.replace('URI=""', 'URI="http://127.0.0.1:9/"'),
    "reference by XPointer": lambda t: t.replace('URI=""', 'URI="#xpointer(/)"'),
    "reference without URI": lambda t: t.replace(' URI=""', ""),
    "two references": twice("ds:Reference"),
    "no reference": without("ds:Reference"),
    "duplicate ids": lambda t: attribute("KeyInfo", 'Id="a"')(attribute("SignedInfo", 'Id="a"')(t)),
    "id at the signature": attribute("Signature ", 'Id="a" '),
    "xml:id at the root": lambda t: t.replace(f"<{root_of(t)} ", f'<{root_of(t)} xml:id="a" '),
    "object in the signature": lambda t: t.replace("</ds:KeyInfo>", "</ds:KeyInfo><ds:Object></ds:Object>"),
    # algorithms
    "exclusive C14N": method("TR/2001/REC-xml-c14n-20010315", "2001/10/xml-exc-c14n#"),
    "C14N with comments": method("c14n-20010315", "c14n-20010315#WithComments"),
    "C14N 1.1": method("http://www.w3.org/TR/2001/REC-xml-c14n-20010315", "http://www.w3.org/2006/12/xml-c14n11"),
    "no C14N": without("ds:CanonicalizationMethod"),
    "RSA": method("http://www.chinaport.gov.cn/2022/04/xmldsig#sm2-sm3", f"{DS}rsa-sha1"),
    "HMAC": method("http://www.chinaport.gov.cn/2022/04/xmldsig#sm2-sm3", f"{DS}hmac-sha1"),
    "HMAC of no length": lambda t: t.replace(
        "</ds:SignatureMethod>", "<ds:HMACOutputLength>0</ds:HMACOutputLength></ds:SignatureMethod>"
    ),
    "SHA-1": method("http://www.chinaport.gov.cn/2022/04/xmldsig#sm3", f"{DS}sha1"),
    "unknown signature": method("2022/04/xmldsig#sm2-sm3", "2099/04/xmldsig#sm2-sm3"),
    "algorithm without name": method(' Algorithm="http://www.chinaport.gov.cn/2022/04/xmldsig#sm3"', ""),
    "XPath": method("enveloped-signature", "xpath"),
    "XPath after": lambda t: t.replace(
        "</ds:Transforms>",
        '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116">'
        "<ds:XPath>not(ancestor-or-self::m:Document)</ds:XPath></ds:Transform></ds:Transforms>",
    ),
    "XSLT": method(f"{DS}enveloped-signature", "http://www.w3.org/TR/1999/REC-xslt-19991116"),
    "no transform": without("ds:Transform"),
    "no transforms": without("ds:Transforms"),
    "enveloped twice": twice("ds:Transform"),
    "XPath in the transform": within("Transform ", "<ds:XPath>1</ds:XPath>"),
    # form
    "unknown element": lambda t: t.replace("<ds:Signature ", "<x>1</x><ds:Signature "),
    "element of another namespace": lambda t: t.replace("<ds:Signature ", '<x xmlns="urn:x"/><ds:Signature '),
    "text between": lambda t: t.replace("<ds:Signature ", "x<ds:Signature "),
    "text in the signature": lambda t: t.replace("<ds:KeyInfo>", "x<ds:KeyInfo>"),
    "no-break space between": lambda t: t.replace("<ds:KeyInfo>", "\u00a0<ds:KeyInfo>"),
    "other order": swapped,
    "other version": lambda t: t.replace('ver="1.0"', 'ver="2.0"').replace('" version="1.0"', '" version="2.0"'),
    "attribute at the root": lambda t: t.replace(f"<{root_of(t)} ", f'<{root_of(t)} x="1" '),
    "xml:lang": attribute("SignedInfo", 'xml:lang="zh"'),
    "xml:base": attribute("Reference", 'xml:base="http://127.0.0.1:9/"'),
    "attribute of a namespace": attribute("KeyName", 'ds:x="1"'),
    "namespace of another": lambda t: t.replace("urn:scraper-agent:message:1", "urn:x").replace(
        "http://www.chinaport.gov.cn/dxp", "urn:x"
    ),
    "no namespace": lambda t: t.replace("<m:", "<").replace("</m:", "</").replace("<dxp:", "<").replace("</dxp:", "</"),
    "relative namespace": lambda t: t.replace(f"<{root_of(t)} ", f'<{root_of(t)} xmlns:r="r" '),
    "namespace inside": attribute("KeyName", 'xmlns:x="urn:x"'),
    "prefix that changes its meaning": attribute("Reference", 'xmlns:m="urn:x" xmlns:dxp="urn:x"'),
    "default namespace taken back": attribute("Signature ", 'xmlns="" '),
    "two prefixes for one namespace": attribute("Signature ", f'xmlns:d2="{DS}" '),
    "key twice": lambda t: twice("m:Key" if "<m:Key>" in t else "dxp:CopMsgId")(t),
    "no key": lambda t: without("m:Key" if "<m:Key>" in t else "dxp:CopMsgId")(t),
    "no time": lambda t: without(
        "m:Time" if "<m:Time>" in t else "dxp:CreatTime" if "DxpMsg" in t else "dxp:NoticeTime"
    )(t),
    "30 February": method("2026-11-20T", "2026-02-30T"),
    "year 0": method("2026-11-20T", "0000-11-20T"),
    "time with a fraction": method(":00:00", ":00:00.5"),
    "time without T": method("2026-11-20T", "2026-11-20 "),
    "digits of another script": method("2026-11-20", "２０２６-11-20"),
    "key index 00": lambda t: t.replace(">01<", ">00<"),
    "key index of three": lambda t: t.replace(">01<", ">001<"),
    "space in a value": lambda t: t.replace(">01<", "> 01<"),
    "key name of another": method("<ds:KeyName>01", "<ds:KeyName>02"),
    "no key name": without("ds:KeyName"),
    "no key info": without("ds:KeyInfo"),
    "public key attached": lambda t: t.replace("</ds:KeyName>", "</ds:KeyName><ds:KeyValue></ds:KeyValue>"),
    "retrieved key": lambda t: t.replace(
        "<ds:KeyName>", '<ds:RetrievalMethod URI="http://127.0.0.1:9/"></ds:RetrievalMethod><ds:KeyName>'
    ),
    "certificate that is no base64": lambda t: t.replace(
        "</ds:KeyName>", "</ds:KeyName><ds:X509Data><ds:X509Certificate>!</ds:X509Certificate></ds:X509Data>"
    ),
    "two certificates": lambda t: t.replace(
        "</ds:KeyName>",
        f"</ds:KeyName><ds:X509Data>{'<ds:X509Certificate>AA==</ds:X509Certificate>' * 2}</ds:X509Data>",
    ),
}
HOSTILE_REQUESTS: dict[str, Callable[[str], str]] = {
    "receipt": lambda t: receipt(CEB if "m:Message" in t else DXP).decode(),
    "document that is no base64": lambda t: t.replace(encoded(DOCUMENT), "!!!!"),
    "document that is no JSON": lambda t: t.replace(encoded(DOCUMENT), encoded(b"HT-001")),
    "document of another form": lambda t: t.replace(encoded(DOCUMENT), encoded(b'{"a": 1}')),
    "document with a key twice": lambda t: t.replace(encoded(DOCUMENT), encoded(b'{"a":1,"a":2}')),
    "base64 in a second spelling": lambda t: t.replace("MC41MCJ9", "MC41MCJ9===="),
    "document in an element": lambda t: t.replace(encoded(DOCUMENT), f"<x>{encoded(DOCUMENT)}</x>"),
    "no document": lambda t: t.replace(encoded(DOCUMENT), ""),
    "digest of another document": lambda t: t.replace(DIGEST[4:], canonical.digest(OTHER)[4:]),
    "another document": lambda t: t.replace(encoded(DOCUMENT), encoded(OTHER)),
    "digest cut": lambda t: t.replace(DIGEST[4:], DIGEST[4:-1]),
    "key in capitals": lambda t: t.replace(KEY, KEY.upper()),
    "key of another": lambda t: t.replace(KEY, KEY[::-1], 1),
    "system of 7": lambda t: t.replace("A10001", "A100010"),
    "format that is none": lambda t: t.replace(">contract<", ">../contract<"),
    "guid or receiver of another form": lambda t: t.replace('guid="', 'guid="{').replace("DXPEDC2", "D" * 17),
}
HOSTILE_RECEIPTS: dict[str, Callable[[str], str]] = {
    "request": lambda t: request(CEB if "m:Receipt" in t else DXP).decode(),
    "code that is none": lambda t: t.replace("Code>0<", "Code>+0<").replace("Code>0000<", "Code>00000<"),
    "no code": lambda t: t.replace("Code>0<", "Code><").replace("Code>0000<", "Code><"),
    "accepted by another word": lambda t: t.replace(">true<", ">1<").replace("Code>0<", "Code>00<"),
    "id too long": lambda t: t.replace("SHB-7", "7" * 129),
    "info too long": lambda t: t.replace("已接收", "7" * 4097),
    "markup in the info": lambda t: t.replace("已接收", "<b>已接收</b>"),
    "another name of a result": lambda t: t.replace('name="id"', 'name="accepted"').replace("m:Id>", "m:Ident>"),
    "answer to another": lambda t: t.replace("DXPENT0000000001", "DXPENT0000000002").replace("<m:Id>", "<m:Id x='1'>"),
}


def encoded(document: bytes) -> str:
    return base64.b64encode(document).decode()


def attempts(raw: bytes, change: Callable[[str], str]) -> list[bytes]:
    """The hostile message as it is, and, if it can be, properly signed."""
    hostile = change(raw.decode())
    assert hostile != raw.decode()
    made = [hostile.encode("utf-8", "surrogatepass")]
    with contextlib.suppress(etree.LxmlError, AssertionError, ValueError):  # no XML, or nothing in it to sign
        made.append(signed_again(made[0]))
    return made


def test_there_is_enough_hostility():
    assert len(UNREADABLE) + len(HOSTILE) + len(HOSTILE_REQUESTS) + len(HOSTILE_RECEIPTS) >= 120


@by_profile
@pytest.mark.parametrize("change", UNREADABLE)
def test_xml_that_says_more_than_it_has_to_is_not_read(profile: Profile, change: str):
    for raw in (request(profile), receipt(profile)):
        hostile = UNREADABLE[change](raw.decode()).encode()
        with pytest.raises(RequestInvalid, match="SA4001"):
            envelope.read_request(hostile, profile)
        with pytest.raises(ReceiptInvalid, match=r"SA400[45]"):
            opened(hostile, profile)


HUGE: dict[str, Callable[[str], str]] = {
    "attributes": lambda t: t.replace(" xmlns:", "".join(f' a{n}="1"' for n in range(60_000)) + " xmlns:", 1),
    "namespaces": lambda t: t.replace(" xmlns:", "".join(f' xmlns:a{n}="u:{n}"' for n in range(30_000)) + " xmlns:", 1),
    "namespaces of the signature": attribute(
        "Signature ", "".join(f' xmlns:a{n}="u:{n}"' for n in range(30_000)) + " "
    ),
    "namespaces and elements": lambda t: t.replace(
        " xmlns:", "".join(f' xmlns:a{n}="u:{n}"' for n in range(20_000)) + " xmlns:", 1
    ).replace("<ds:Signature ", "<x/>" * 50_000 + "<ds:Signature "),
    "elements": lambda t: t.replace("<ds:Signature ", "<x/>" * 50_000 + "<ds:Signature "),
    "signatures": lambda t: t.replace(signature_of(t), signature_of(t) * 1000),
    "name": lambda t: t.replace("<ds:Signature ", f"<{'x' * 40_000}/><ds:Signature "),
    "text": lambda t: t.replace("<ds:KeyName>", f"<ds:KeyName>{'1' * 1_000_000}"),
    "digest": lambda t: t.replace("<ds:DigestValue>", f"<ds:DigestValue>{'AAAA' * 200_000}"),
    "algorithm": lambda t: t.replace("REC-xml-c14n-20010315", "R" * 1_000_000),
    "white space": lambda t: t.replace("<ds:KeyInfo>", " " * 1_000_000 + "x<ds:KeyInfo>"),
    "character references": lambda t: t.replace("<ds:KeyName>", f"<ds:KeyName>{'&#49;' * 200_000}"),
}


@by_profile
@pytest.mark.parametrize("change", HUGE)
def test_a_hostile_size_costs_little_and_says_little(profile: Profile, change: str):
    raw = HUGE[change](request(profile).decode()).encode()
    assert len(raw) > 40_000
    began = time.process_time()
    with pytest.raises(RequestInvalid) as caught:
        envelope.read_request(raw, profile)
    assert time.process_time() - began < 2
    assert len(str(caught.value)) < 500


@by_profile
@pytest.mark.parametrize("change", [*HOSTILE, *HOSTILE_REQUESTS])
def test_a_hostile_request_is_refused(profile: Profile, change: str):
    for raw in attempts(request(profile), (HOSTILE | HOSTILE_REQUESTS)[change]):
        with pytest.raises(RequestInvalid) as caught:
            envelope.open_request(raw, toy_verify, PUBLIC, profile)
        assert caught.value.code in {"SA4001", "SA4002", "SA4040"}


@by_profile
@pytest.mark.parametrize("change", [*HOSTILE, *HOSTILE_RECEIPTS])
def test_a_hostile_receipt_is_refused(profile: Profile, change: str):
    for raw in attempts(receipt(profile), (HOSTILE | HOSTILE_RECEIPTS)[change]):
        with pytest.raises(ReceiptInvalid) as caught:
            opened(raw, profile)
        assert caught.value.code in {"SA4004", "SA4005", "SA4007"}


def flipped(raw: bytes) -> Iterator[bytes]:
    """Each byte with one bit changed, a different one from byte to byte, and as a letter of the other case."""
    for at, byte in enumerate(raw):
        for flip in {1 << at % 8, 0x20}:
            yield raw[:at] + bytes([byte ^ flip]) + raw[at + 1 :]


@by_profile
def test_no_flipped_bit_of_a_request_makes_another_content(profile: Profile):
    raw = request(profile, OTHER)
    meant, accepted = said(raw, profile), 0
    for changed in flipped(raw):
        with contextlib.suppress(RequestInvalid):
            assert said(changed, profile) == meant
            accepted += 1
    assert 0 < accepted < 20  # other spellings: encoding="utf-8", white space in a tag


@by_profile
def test_no_flipped_bit_of_a_receipt_makes_another_content(profile: Profile):
    raw = receipt(profile)
    meant, accepted = opened(raw, profile), 0
    for changed in flipped(raw):
        with contextlib.suppress(ReceiptInvalid):
            assert opened(changed, profile) == meant
            accepted += 1
    assert 0 < accepted < 20


SNIPPETS = st.sampled_from(
    [
        "<m:Message",
        "<ds:Signature>",
        "/>",
        ">",
        "<",
        "&#0;",
        "&lt;",
        ' xmlns:m="urn:scraper-agent:message:1"',
        "</x>",
        "<x>",
    ]
)


@by_profile
@given(
    st.binary(max_size=60)
    | st.lists(SNIPPETS | st.text(max_size=5), max_size=12).map(lambda p: "".join(p).encode("utf-8", "replace"))
)
def test_garbage_is_refused_and_nothing_else_is_raised(profile: Profile, raw: bytes):
    with pytest.raises(RequestInvalid):
        envelope.read_request(raw, profile)
    with pytest.raises(ReceiptInvalid):
        opened(raw, profile)


@by_profile
@given(st.data())
def test_a_piece_moved_within_a_message_changes_nothing_or_is_refused(profile: Profile, data: st.DataObject):
    raw = request(profile, OTHER)
    a, b, c = sorted(data.draw(st.lists(st.integers(0, len(raw)), min_size=3, max_size=3)))
    moved = raw[:a] + raw[b:c] + raw[a:b] + raw[c:]
    try:
        assert said(moved, profile) == said(raw, profile)
    except RequestInvalid:
        assert moved != raw


@by_profile
def test_what_is_signed_by_another_key_is_refused(profile: Profile):
    with pytest.raises(
        RequestInvalid, match="SA4003 the request's signature does not hold under key 01 of system A10001"
    ):
        envelope.open_request(request(profile, signer=KeySigner(d=D + 1)), sm2.verify, PUBLIC, profile)
    with pytest.raises(ReceiptInvalid, match="SA4007"):
        opened(receipt(profile, signer=KeySigner(d=D + 1)), profile, verify=sm2.verify)


@by_profile
def test_content_that_the_signature_does_not_cover_is_named(profile: Profile):
    raw = request(profile).replace(b">contract<", b">purchase<")
    with pytest.raises(RequestInvalid) as caught:
        envelope.read_request(raw, profile)
    content, _, digest, _ = taken_apart(raw)
    assert str(caught.value) == (
        f"SA4040 the request's content has digest sm3:{canonical.sm3(content).hex()}; "
        f"its signature covers sm3:{digest.hex()}\n"
        "hint: it was changed on the way, or its sender took the digest of another canonical form"
    )


@by_profile
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SHB-7", "SHB-8"),
        ("已接收", "已拒收"),
        ("2026-11-20", "2026-11-21"),
        (KEY, KEY[::-1]),
        (DIGEST[4:], DIGEST[:3:-1]),
    ],
)
def test_signature_covers_the_whole_receipt(profile: Profile, old: str, new: str):
    with pytest.raises(ReceiptInvalid, match="SA4007 the receipt's signature does not hold under key 01"):
        opened(receipt(profile).decode().replace(old, new).encode(), profile)


@by_profile
def test_a_refusal_cannot_be_made_an_acceptance(profile: Profile):
    raw = receipt(profile, replace(ANSWER, code="4220", accepted=False)).decode()
    turned = raw.replace(">false<", ">true<").replace("Code>-1201001<", "Code>0<")
    assert turned != raw
    with pytest.raises(ReceiptInvalid, match="SA4007"):
        opened(turned.encode(), profile)


@by_profile
def test_a_receipt_counts_for_its_document_alone(profile: Profile):
    other = "sm3:" + "0" * 64
    with pytest.raises(ReceiptInvalid, match=f"SA4008 the receipt is of another document: its digest is {other}"):
        opened(receipt(profile, replace(ANSWER, digest=other)), profile)
    with pytest.raises(ReceiptInvalid, match="SA4008 the receipt is of another document: its key is 0000"):
        opened(receipt(profile, replace(ANSWER, key="0" * 64)), profile)
    with pytest.raises(ReceiptInvalid, match=r"SA4006 the receipt is signed with key 02 .*; known are 01"):
        opened(receipt(profile, signer=ToySigner("02")), profile)


def test_a_message_of_one_profile_is_none_of_another():
    for written, read in ((CEB, DXP), (DXP, CEB), (CEB, Profile()), (Profile(), DXP)):
        with pytest.raises(RequestInvalid, match="SA4001"):
            envelope.read_request(request(written), read)
        with pytest.raises(ReceiptInvalid, match="SA4005"):
            opened(receipt(written), read)


# --- settings -------------------------------------------------------------------------------------------------------


def test_json_signs_its_members_in_the_order_of_the_profile():
    profile = Profile(sn="hex-upper", signed=("ps", "sk", "ak", "ts"), signed_receipt=("rs", "ts", "sk", "msg", "code"))
    raw = request(profile)
    read = envelope.open_request(raw, toy_verify, PUBLIC, profile)
    ps = raw[raw.index(b'"ps":') + 5 : -1]
    assert read.message == ps + b"01A100011795161600"
    assert f'"sn":"{toy_signature(read.message).hex().upper()}"' in raw.decode()
    assert opened(receipt(profile), profile).remote_id == "SHB-7"
    with pytest.raises(RequestInvalid, match="SA4003"):
        envelope.open_request(raw, toy_verify, PUBLIC, Profile(sn="hex-upper"))


def test_what_is_set_stands_in_the_message():
    namespace, method = "urn:customs:example", "urn:customs:sm2"
    profile = Profile(name="ceb-xmldsig/1", namespace=namespace, signature_uri=method, digest_uri="urn:customs:sm3")
    text = request(profile).decode()
    for set_to in (f'xmlns:m="{namespace}"', f'SignatureMethod Algorithm="{method}"', 'Algorithm="urn:customs:sm3"'):
        assert set_to in text
    assert said(text.encode(), profile) == said(request(CEB), CEB)

    profile = DXP.model_copy(update={"msg_type": "SH-DOC", "zone": "-03:30", "ic_card": ""})
    text = request(profile).decode()
    assert ">SH-DOC<" in text
    assert ">2026-11-20T04:30:00<" in text
    assert "IcCard" not in text
    assert said(text.encode(), profile) == said(request(DXP), DXP)

    profile = Profile(name="dxp/1", sender_id="A&<B>'\"", receiver_ids=("<&>",), msg_type="&", ic_card=">")
    assert said(request(profile), profile) == said(request(DXP), DXP)
    assert opened(receipt(profile), profile) == opened(receipt(DXP), DXP)


def test_older_names_of_the_algorithms_are_read_as_long_as_they_are_set():
    old = request(Profile(name="ceb-xmldsig/1", signature_uri=ELSE))
    assert said(old, CEB)
    with pytest.raises(RequestInvalid, match="SA4001"):
        envelope.read_request(old, Profile(name="ceb-xmldsig/1", signature_uris=()))


def test_a_message_that_is_too_large_is_not_built():
    profile = Profile(name="ceb-xmldsig/1", most_kb=2)
    with pytest.raises(RequestInvalid, match=r"SA4041 the message has \d+ bytes; profile ceb-xmldsig/1 takes 2048"):
        request(profile, canonical.dumps({"a": "x" * 2048}))


def test_a_large_document_goes_both_ways():
    document = canonical.dumps({"a": "文" * 2_000_000})
    profile = Profile(name="ceb-xmldsig/1", most_kb=9216)
    read = envelope.read_request(request(profile, document), profile)
    assert read.document == document


def test_a_format_with_a_long_name_needs_a_message_type():
    with pytest.raises(RequestInvalid, match=r"SA4043 MsgType holds 30 characters; the name of format x{31} has more"):
        envelope.build(DOCUMENT, "x" * 31, KEY, "A10001", TOY, NOW, DXP)
    profile = DXP.model_copy(update={"msg_type": "X"})
    raw = envelope.build(DOCUMENT, "x" * 31, KEY, "A10001", TOY, NOW, profile)
    assert envelope.read_request(raw, profile).format == "x" * 31


def made_certificate(folder: Path, d: int = D) -> tuple[str, int]:
    """(PEM, serial number) of a certificate that openssl makes for key `d`."""
    sec1 = bytes.fromhex("30310201010420") + d.to_bytes(32, "big") + bytes.fromhex("a00a06082a811ccf5501822d")
    (folder / "key.der").write_bytes(sec1)
    command = [
        *("openssl", "req", "-x509", "-new", "-key", "key.der", "-keyform", "DER", "-sm3", "-days", "365"),
        *("-sigopt", "distid:1234567812345678", "-subj", "/CN=scraper-agent test", "-set_serial", "0x0a1b2c3d4e5f60"),
    ]
    made = subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return made.stdout.decode(), 0x0A1B2C3D4E5F60


@by_profile
def test_a_certificate_is_attached_and_named_by_its_serial_number(tmp_path: Path, profile: Profile):
    pem, serial = made_certificate(tmp_path)
    for spelling, written in (("hex", "0a1b2c3d4e5f60"), ("hex-upper", "0A1B2C3D4E5F60"), ("decimal", str(serial))):
        told = profile.model_dump(include={"name", *profile.spec.settings}) | {"certificate": pem, "serial": spelling}
        attached = Profile.model_validate(told)
        raw = request(attached)
        assert f"<ds:KeyName>{written}</ds:KeyName><ds:X509Data><ds:X509Certificate>" in raw.decode()
        assert "".join(pem.split("-----")[2].split()) in raw.decode()
        assert said(raw, attached) == said(raw, profile) == said(request(profile), profile)


def test_the_certificate_of_another_key_is_not_attached(tmp_path: Path):
    pem, _ = made_certificate(tmp_path, D + 1)
    with pytest.raises(RequestInvalid, match="SA4042 the certificate 0a1b2c3d4e5f60 is not of the signing key 01"):
        request(Profile(name="ceb-xmldsig/1", certificate=pem))


class Place(BaseModel):
    """A file with nothing but a profile."""

    profile: Profile


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{name: dxp/2}", "`profile.name` may not be `dxp/2`"),
        ("{name: dxp/1}", "profile dxp/1 needs the setting `sender_id`"),
        ("{name: dxp/1, sender_id: A}", "profile dxp/1 needs the setting `receiver_ids`"),
        ("{name: dxp/1, sender_id: A, receiver_ids: [1, 2, 3, 4, 5, 6]}", "may have at most 5"),
        ("{name: ceb-xmldsig/1, ts: seconds}", "profile ceb-xmldsig/1 has no setting `ts`"),
        ("{zone: '+08:00'}", "profile ak-ts-sk-ps/1 has no setting `zone`"),
        ("{sn: der}", "`profile.sn` may not be `der`"),
        ("{padding: 1}", "unknown key `padding`"),
        ("{signed: [ak, ts, sk]}", "each of ak, ts, sk, ps has to be named once"),
        ("{signed: [ak, ts, sk, sk]}", "each of ak, ts, sk, ps has to be named once"),
        ("{name: ceb-xmldsig/1, certificate: QUJD}", "this is no X.509 certificate: `QUJD`"),
        ("{name: ceb-xmldsig/1, namespace: relative}", "does not have the form"),
        ("{name: ceb-xmldsig/1, signature_uri: 'urn:\"'}", "does not have the form"),
        ("{name: ceb-xmldsig/1, most_kb: 99999}", "should be at most 9216"),
    ],
)
def test_a_wrong_setting_is_told_with_its_place(text: str, told: str):
    with pytest.raises(SourceErrors) as caught:
        yamlfile.parse(f"profile: {text}\n", Path("config.yaml"), Place)
    assert told in str(caught.value)
    assert str(caught.value).startswith("config.yaml:1:")


def test_the_config_sets_a_profile():
    text = "profile:\n  name: dxp/1\n  sender_id: A1\n  receiver_ids: [B1, B2]\n  ic_card: '123'\n"
    read = yamlfile.parse(text, Path("config.yaml"), Place).profile
    assert (read.sender_id, read.receiver_ids, read.ic_card, read.zone) == ("A1", ("B1", "B2"), "123", "+08:00")


def test_each_profile_is_a_file_and_each_file_a_profile():
    files = {f"{s.name}/{s.version}" for s in (yamlfile.load(p, type(spec("dxp/1"))) for p in HERE.glob("*.yaml"))}
    assert files == set(get_args(Name))
    for name in get_args(Name):
        told = spec(name)
        assert f"{told.name}/{told.version}" == name
        assert set(told.settings) <= set(Profile.model_fields)
        assert told.assumptions
        assert {a.setting for a in told.assumptions} - {""} <= set(told.settings)


def test_no_code_of_ours_stands_for_two():
    for name in get_args(Name):
        meant = [code for meaning in spec(name).codes.values() for code in meaning.stands_for]
        assert len(meant) == len(set(meant))
    assert set(spec("dxp/1").codes) == {"0", *(f"-120100{n}" for n in range(1, 9))}


# --- the platform ---------------------------------------------------------------------------------------------------


@by_profile
def test_the_sandbox_platform_speaks_the_profile(profile: Profile):
    platform = Platform(lambda: NOW, {("A10001", "01"): PUBLIC}, ["contract"], profile=profile)
    raw = request(profile, signer=KeySigner())

    def understood(answer: bytes) -> envelope.ReceiptContent:
        return opened(answer, profile, verify=sm2.verify, public_keys=platform.public_keys)

    status, answer = platform.receive(raw, KEY)
    content = understood(answer)
    assert (status, content.accepted, content.remote_id) == (200, True, "SIM-000001")
    assert platform.receive(request(profile, signer=KeySigner()), KEY) == (200, answer)
    (stored,) = platform.stored()
    assert (stored.document, stored.format, stored.digest, stored.deliveries) == (DOCUMENT, "contract", DIGEST, 2)

    status, answer = platform.receive(request(profile, signer=KeySigner(d=D + 1)), KEY)
    assert (status, understood(answer).accepted) == (403, False)
    assert "验签失败" in understood(answer).reason or "签名无效" in understood(answer).reason
    status, answer = platform.receive(raw[:-1], KEY)
    assert status == 400
    with pytest.raises(ReceiptInvalid, match=r"SA4008 .* its digest is"):
        understood(answer)
    platform.close()
