"""Profile `dxp/1`: the envelope of 中国电子口岸's data exchange platform, signed (海关外网数据交换接口规范).

    DxpMsg   TransInfo (CopMsgId, SenderId, ReceiverIds, CreatTime, MsgType), Data, AddInfo (FileName, IcCard, BizKey),
             ds:Signature      attribute ver
    DxpRep   RecevierId, Response (ResponseCode, ResponseInfo), Results, NoticeTime, OriHead (CopMsgId), ds:Signature
                               attribute ver

`CreatTime` and `RecevierId` are spelled as the specification spells them.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timezone

from scraper_agent import canonical
from scraper_agent.envelope import content, markup, xmldsig
from scraper_agent.envelope.content import AK, FORMAT, INDEX, KEY, Answer, ReceiptContent, RequestInvalid, refuse
from scraper_agent.envelope.markup import MAY, ONE, Element, escaped, text, writable
from scraper_agent.envelope.profile import Profile
from scraper_agent.messages import N_
from scraper_agent.ports import Signer
from scraper_agent.values import Digest

NAMESPACE = "http://www.chinaport.gov.cn/dxp"
MSG_TYPE_LENGTH = 30
ACCEPTED = "0"

_PREFIX = "dxp"
_INFO_LENGTH = 300
_ID = r"[!-~]{1,16}"
_RESULTS = ("sk", "sm3", "id", "reason")


def build(document: bytes, format: str, key: str, ak: str, signer: Signer, now: datetime, profile: Profile) -> bytes:
    msg_type = profile.msg_type or format
    if len(msg_type) > MSG_TYPE_LENGTH:
        raise RequestInvalid(
            "SA4043",
            N_("MsgType holds {most} characters; the name of format {format} has more"),
            hint=N_("agree with the receiving side on a shorter one and set `msg_type` of `receiver.profile`"),
            most=MSG_TYPE_LENGTH,
            format=format,
        )
    biz_keys = {"ak": ak, "sk": signer.key_index, "format": format, "sm3": canonical.sm3(document).hex()}
    inner = _element(
        "TransInfo",
        _element("CopMsgId", key)
        + _element("SenderId", escaped(profile.sender_id))
        + _element("ReceiverIds", "".join(_element("ReceiverId", escaped(id)) for id in profile.receiver_ids))
        + _element("CreatTime", _time(now, profile))
        + _element("MsgType", escaped(msg_type)),
    )
    inner += _element("Data", base64.b64encode(document).decode())
    inner += _element(
        "AddInfo",
        _element("FileName", f"{key}.json")
        + (_element("IcCard", escaped(profile.ic_card)) if profile.ic_card else "")
        + _element("BizKey", _named("Key", biz_keys)),
    )
    return xmldsig.sealed('DxpMsg ver="1.0"', _PREFIX, NAMESPACE, inner, signer, profile)


def read_request(raw: bytes, profile: Profile) -> content.Request:
    """Raises ValueError with the reason, or RequestInvalid; the document's digest is not compared."""
    root = markup.parsed(raw, profile.most_kb * 1024)
    read = xmldsig.fields(root, NAMESPACE, "DxpMsg", ("TransInfo", "Data", "AddInfo"), ("ver",))
    _check_version(root)
    trans = _parts(read["TransInfo"], "CopMsgId", "SenderId", "ReceiverIds", "CreatTime", "MsgType")
    receivers = markup.parts(trans["ReceiverIds"], {_name("ReceiverId"): (1, 5)})[_name("ReceiverId")]
    for id in (trans["SenderId"], *receivers):
        text(id, _ID)
    text(trans["MsgType"], rf"[!-~]{{1,{MSG_TYPE_LENGTH}}}")
    key = text(trans["CopMsgId"], KEY)
    shape = {_name("FileName"): ONE, _name("IcCard"): MAY, _name("BizKey"): ONE}
    (file_name,), ic_card, (biz_key,) = markup.parts(read["AddInfo"], shape).values()
    for each in ic_card:
        text(each, "[!-~]{1,13}")
    if text(file_name, ".{1,255}") != f"{key}.json":
        refuse("FileName is not that of the key")
    biz_keys = _read_named(biz_key, "Key", ("ak", "sk", "format", "sm3"))
    sk = text(biz_keys["sk"], INDEX, ["name"])
    signed = xmldsig.read(root, read["Signature"], sk, profile)
    signed.check_covered()
    document = xmldsig.unbase64(read["Data"])
    content.check_document(document)
    return content.Request(
        ak=text(biz_keys["ak"], AK, ["name"]),
        ts=content.seconds(_moment(trans["CreatTime"], profile)),
        sk=sk,
        format=text(biz_keys["format"], FORMAT, ["name"]),
        key=key,
        digest=Digest(f"sm3:{text(biz_keys['sm3'], '[0-9a-f]{64}', ['name'])}"),
        document=document,
        message=signed.message,
        signature=signed.signature,
    )


def build_receipt(answer: Answer, signer: Signer, now: datetime, profile: Profile) -> bytes:
    code = ACCEPTED if answer.accepted else profile.spec.written(answer.code)
    results = {
        "sk": signer.key_index,
        "sm3": answer.digest.removeprefix("sm3:"),
        "id": answer.id,
        "reason": answer.reason,
    }
    inner = _element("RecevierId", escaped(profile.sender_id))
    inner += _element(
        "Response",
        _element("ResponseCode", code) + _element("ResponseInfo", escaped(writable(answer.msg[:_INFO_LENGTH]))),
    )
    inner += _element("Results", _named("Result", results))
    inner += _element("NoticeTime", _time(now, profile))
    inner += _element("OriHead", _element("CopMsgId", escaped(writable(answer.key[:255]))))
    return xmldsig.sealed('DxpRep ver="1.0"', _PREFIX, NAMESPACE, inner, signer, profile)


def read_receipt(raw: bytes, profile: Profile) -> content.Receipt:
    """Raises ValueError with the reason."""
    root = markup.parsed(raw, content.RECEIPT_BYTES)
    names = ("RecevierId", "Response", "Results", "NoticeTime", "OriHead")
    read = xmldsig.fields(root, NAMESPACE, "DxpRep", names, ("ver",))
    _check_version(root)
    if text(read["RecevierId"], _ID) != profile.sender_id:
        refuse("RecevierId is not our user id")
    response = _parts(read["Response"], "ResponseCode", "ResponseInfo")
    results = _read_named(read["Results"], "Result", _RESULTS)
    sk = text(results["sk"], INDEX, ["name"])
    signed = xmldsig.read(root, read["Signature"], sk, profile)
    code = text(response["ResponseCode"], "0|-[1-9][0-9]{0,7}")
    reason = text(results["reason"], ".{0,4096}", ["name"])
    accepted = code == ACCEPTED
    return content.Receipt(
        content=ReceiptContent(
            code=code,
            message=text(response["ResponseInfo"], f".{{0,{_INFO_LENGTH}}}"),
            accepted=accepted,
            remote_id=text(results["id"], ".{0,128}", ["name"]),
            reason=reason if accepted else profile.spec.explained(code, reason),
            key_index=sk,
            at=_moment(read["NoticeTime"], profile),
        ),
        key=text(_parts(read["OriHead"], "CopMsgId")["CopMsgId"], ".{0,255}"),
        digest=f"sm3:{text(results['sm3'], '.{0,64}', ['name'])}",
        message=signed.message,
        signature=signed.signature if signed.covers else b"",
    )


def _element(name: str, inner: str) -> str:
    return f"<{_PREFIX}:{name}>{inner}</{_PREFIX}:{name}>"


def _named(name: str, told: Mapping[str, str]) -> str:
    return "".join(
        f'<{_PREFIX}:{name} name="{key}">{escaped(writable(value))}</{_PREFIX}:{name}>' for key, value in told.items()
    )


def _read_named(element: Element, name: str, keys: tuple[str, ...]) -> dict[str, Element]:
    """The children called `name` by their attribute `name`, which has to be each of `keys` once, in this order."""
    tag = _name(name)
    found = markup.parts(element, {tag: (len(keys), len(keys))})[tag]
    if tuple(each.get("name") for each in found) != keys:
        refuse(f"the names are not {', '.join(keys)}")
    return dict(zip(keys, found, strict=True))


def _parts(element: Element, *names: str) -> dict[str, Element]:
    found = markup.parts(element, {_name(name): ONE for name in names})
    return {name: found[_name(name)][0] for name in names}


def _name(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _check_version(root: Element) -> None:
    if root.get("ver") != "1.0":
        refuse("ver is not 1.0")


def _zone(profile: Profile) -> timezone:
    zone = datetime.strptime(profile.zone, "%z").tzinfo
    assert isinstance(zone, timezone)  # noqa: S101 - what %z reads
    return zone


def _time(at: datetime, profile: Profile) -> str:
    return f"{at.astimezone(_zone(profile)):%Y-%m-%dT%H:%M:%S}"


def _moment(element: Element, profile: Profile) -> datetime:
    return datetime.fromisoformat(text(element, content.TIME)).replace(tzinfo=_zone(profile)).astimezone(UTC)
