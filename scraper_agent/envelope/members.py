"""Profile `ak-ts-sk-ps/1`: the request and the receipt as JSON.

The technical specification for waybills of dangerous goods (interim), table 3, names the members of a request: `ak`
system, `ts` time stamp, `sk` key index, `sn` signature, `ps` business parameters. Its section on the string to be
signed is not public; this profile fills the gap, so both sides must agree on it by name:

    request   {"ak":"…","ts":1780000000,"sk":"01","sn":"…","ps":{…}}      in this order, no white space
    ps        {"digest":"sm3:…","document":{…},"format":"…","key":"…"}    canonical JSON; `document` as approved
    signed    ak ‖ ts ‖ sk ‖ ps                                           the very bytes that are sent

    receipt   {"code":"…","msg":"…","rs":{…},"sk":"01","sn":"…","ts":1780000000}      any JSON spelling
    rs        {"accepted":true,"digest":"sm3:…","id":"…","key":"…","reason":"…"}      and "data":{…} where there is any
    signed    code ‖ msg ‖ ts ‖ sk ‖ canonical JSON of rs

`ak` has 6 characters, `sk` 2, and only `ps` has braces: in whatever order, no two requests share one signed string.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Never, assert_never

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scraper_agent import canonical
from scraper_agent.envelope import content
from scraper_agent.envelope.content import AK, DIGEST, EPOCH, FORMAT, INDEX, KEY, Answer, ReceiptContent, refuse
from scraper_agent.envelope.profile import Profile
from scraper_agent.ports import Signer
from scraper_agent.values import Digest

_LAST = datetime.max.replace(tzinfo=UTC) - EPOCH

_HEAD = re.compile(
    rf'\{{"ak":"(?P<ak>{AK})","ts":(?P<ts>[1-9][0-9]{{0,15}}),"sk":"(?P<sk>{INDEX})",'
    r'"sn":"(?P<sn>[0-9A-Za-z+/=]{1,128})","ps":'
)
_PS_HEAD = re.compile(rf'\{{"digest":"(?P<digest>{DIGEST})","document":')
_PS_TAIL = re.compile(rf',"format":"(?P<format>{FORMAT})","key":"(?P<key>{KEY})"\}}\}}\Z')
_TAIL_BYTES = 512
"""More than the longest `_PS_TAIL`."""


def build(document: bytes, format: str, key: str, ak: str, signer: Signer, now: datetime, profile: Profile) -> bytes:
    ps = b'{"digest":"%b","document":%b,"format":"%b","key":"%b"}' % (
        canonical.digest(document).encode(),
        document,
        format.encode(),
        key.encode(),
    )
    ts = _stamp(now, profile)
    sn = _written(signer.sign(_request_message(ak, ts, signer.key_index, ps, profile)), profile)
    # Spliced, never serialised again: what is sent is what was signed.
    return f'{{"ak":"{ak}","ts":{ts},"sk":"{signer.key_index}","sn":"{sn}","ps":'.encode() + ps + b"}"


def read_request(raw: bytes, profile: Profile) -> content.Request:
    """Raises ValueError with the reason; the document's digest is not compared."""
    tail_at = max(0, len(raw) - _TAIL_BYTES)
    # Every byte is accounted for by one of the three patterns or by the document, which is one canonical object.
    head = _match(_HEAD, raw[:_TAIL_BYTES])
    ps_head = _match(_PS_HEAD, raw[head.end() : head.end() + _TAIL_BYTES])
    tail = _PS_TAIL.search(raw[tail_at:].decode("latin-1")) or _refuse_start(raw[tail_at:])
    document = raw[head.end() + ps_head.end() : tail_at + tail.start()]
    content.check_document(document)
    return content.Request(
        ak=head["ak"],
        ts=int(head["ts"]),
        sk=head["sk"],
        format=tail["format"],
        key=tail["key"],
        digest=Digest(ps_head["digest"]),
        document=document,
        message=_request_message(head["ak"], int(head["ts"]), head["sk"], raw[head.end() : -1], profile),
        signature=_signature(head["sn"], profile),
    )


def build_receipt(answer: Answer, signer: Signer, now: datetime, profile: Profile) -> bytes:
    rs: dict[str, object] = {
        "key": answer.key,
        "digest": answer.digest,
        "accepted": answer.accepted,
        "id": answer.id,
        "reason": answer.reason,
    }
    if answer.data is not None:
        rs["data"] = answer.data
    ts = _stamp(now, profile)
    sn = _written(signer.sign(_receipt_message(answer.code, answer.msg, ts, signer.key_index, rs, profile)), profile)
    return canonical.dumps(
        {"code": answer.code, "msg": answer.msg, "ts": ts, "sk": signer.key_index, "sn": sn, "rs": rs}
    )


def read_receipt(raw: bytes, profile: Profile) -> content.Receipt:
    """Raises ValueError with the reason."""
    try:
        receipt = _Receipt.model_validate(content.plain(raw))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        refuse(": ".join(part for part in (".".join(map(str, first["loc"])), first["msg"]) if part))
    if receipt.ts > _LAST // _unit(profile):
        refuse("ts is after the year 9999")
    try:
        signature = _signature(receipt.sn, profile)
    except ValueError:
        signature = b""
    rs = receipt.rs
    try:
        told = rs.model_dump(exclude_unset=True)
        message = _receipt_message(receipt.code, receipt.msg, receipt.ts, receipt.sk, told, profile)
    except RecursionError:
        refuse("nested too deeply")
    return content.Receipt(
        content=ReceiptContent(
            code=receipt.code,
            message=receipt.msg,
            accepted=rs.accepted,
            remote_id=rs.id,
            reason=rs.reason,
            key_index=receipt.sk,
            at=EPOCH + receipt.ts * _unit(profile),
            data=rs.data,
        ),
        key=rs.key,
        digest=rs.digest,
        message=message,
        signature=signature,
    )


class _Result(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    key: str
    digest: str
    accepted: bool
    id: Annotated[str, Field(max_length=128)]
    reason: Annotated[str, Field(max_length=4096)]
    data: dict[str, Any] | None = None


class _Receipt(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    code: Annotated[str, Field(pattern=r"^[0-9]{4}$")]
    msg: Annotated[str, Field(max_length=4096)]
    ts: Annotated[int, Field(ge=0)]
    sk: Annotated[str, Field(pattern=rf"^{INDEX}$")]
    sn: Annotated[str, Field(max_length=128)]
    rs: _Result


def _request_message(ak: str, ts: int, sk: str, ps: bytes, profile: Profile) -> bytes:
    parts = {"ak": ak.encode(), "ts": str(ts).encode(), "sk": sk.encode(), "ps": ps}
    return b"".join(parts[name] for name in profile.signed)


def _receipt_message(code: str, msg: str, ts: int, sk: str, rs: Mapping[str, object], profile: Profile) -> bytes:
    parts = {"code": code, "msg": msg, "ts": str(ts), "sk": sk, "rs": canonical.dumps(rs).decode()}
    return "".join(parts[name] for name in profile.signed_receipt).encode()


def _unit(profile: Profile) -> timedelta:
    match profile.ts:
        case "seconds":
            return timedelta(seconds=1)
        case "milliseconds":
            return timedelta(milliseconds=1)
        case unknown:
            assert_never(unknown)


def _stamp(now: datetime, profile: Profile) -> int:
    return (now - EPOCH) // _unit(profile)


def _written(signature: bytes, profile: Profile) -> str:
    content.check_signature(signature)
    match profile.sn:
        case "base64":
            return base64.b64encode(signature).decode()
        case "hex":
            return signature.hex()
        case "hex-upper":
            return signature.hex().upper()
        case unknown:
            assert_never(unknown)


def _signature(sn: str, profile: Profile) -> bytes:
    """The inverse of `_written`, for its one spelling only."""
    try:
        signature = base64.b64decode(sn, validate=True) if profile.sn == "base64" else bytes.fromhex(sn)
        if _written(signature, profile) == sn:
            return signature
    except ValueError:
        pass
    return refuse(f"sn is not {content.SIGNATURE_BYTES} bytes in {profile.sn}")


def _match(pattern: re.Pattern[str], part: bytes) -> re.Match[str]:
    return pattern.match(part.decode("latin-1")) or _refuse_start(part)


def _refuse_start(part: bytes) -> Never:
    refuse(content.shown(part))
