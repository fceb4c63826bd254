"""The signed request and the signed receipt, profile `ak-ts-sk-ps/1`. Pure: bytes in, bytes out.

The technical specification for waybills of dangerous goods (interim), table 3, names the members of a request: `ak`
system, `ts` time stamp, `sk` key index, `sn` signature, `ps` business parameters. Its section on the string to be
signed is not public; this profile fills the gap, so both sides must agree on it by name:

    request   {"ak":"…","ts":1780000000,"sk":"01","sn":"…","ps":{…}}      in this order, no white space
    ps        {"digest":"sm3:…","document":{…},"format":"…","key":"…"}    canonical JSON; `document` as approved
    signed    ak ‖ ts ‖ sk ‖ ps                                           the very bytes that are sent

    receipt   {"code":"…","msg":"…","rs":{…},"sk":"01","sn":"…","ts":1780000000}      any JSON spelling
    rs        {"accepted":true,"digest":"sm3:…","id":"…","key":"…","reason":"…"}
    signed    code ‖ msg ‖ ts ‖ sk ‖ canonical JSON of rs

`ak` has 6 characters, `sk` 2, `code` 4, and `ps` and `rs` start with a brace: no two requests share one signed string.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Never, assert_never

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scraper_agent import canonical
from scraper_agent.errors import AgentError
from scraper_agent.messages import N_
from scraper_agent.ports import Signer, Verify
from scraper_agent.values import Digest

PROFILE = "ak-ts-sk-ps/1"

RECEIPT_BYTES = 65_536
"""A longer answer is no receipt."""

SystemId = Annotated[str, Field(pattern=r"^[0-9A-Za-z]{6}$")]
"""`ak`, as the receiving side gave it out."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC) - _EPOCH
_SIGNATURE_BYTES = 64
_SHOWN = 80

_KEY = r"[0-9a-f]{64}"
_DIGEST = r"sm3:[0-9a-f]{64}"
_INDEX = r"(?:0[1-9]|[1-9][0-9])"
_FORMAT = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_HEAD = re.compile(
    rf'\{{"ak":"(?P<ak>[0-9A-Za-z]{{6}})","ts":(?P<ts>[1-9][0-9]{{0,15}}),"sk":"(?P<sk>{_INDEX})",'
    r'"sn":"(?P<sn>[0-9A-Za-z+/=]{1,128})","ps":'
)
_PS_HEAD = re.compile(rf'\{{"digest":"(?P<digest>{_DIGEST})","document":')
_PS_TAIL = re.compile(rf',"format":"(?P<format>{_FORMAT})","key":"(?P<key>{_KEY})"\}}\}}\Z')
_TAIL_BYTES = 512
"""More than the longest `_PS_TAIL`."""


class Profile(BaseModel):
    """What the specification leaves open and the two sides agree on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["ak-ts-sk-ps/1"] = "ak-ts-sk-ps/1"
    ts: Literal["seconds", "milliseconds"] = "seconds"
    """Unit of the UNIX time stamp."""
    sn: Literal["base64", "hex"] = "base64"
    """How the 64 bytes R‖S are written: 88 characters, or 128."""


DEFAULT = Profile()


class RequestInvalid(AgentError):
    """The receiving side cannot take the request; its sender has to make another."""

    exit_code = 3


class ReceiptInvalid(AgentError):
    """The answer proves nothing: whether the document arrived is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request whose form and document digest are right. Whether the signature holds is for `Request.signed_with`."""

    ak: str
    ts: int
    """In the profile's unit."""
    sk: str
    format: str
    key: str
    digest: Digest
    document: bytes
    message: bytes
    """What is signed."""
    signature: bytes

    def signed_with(self, public_key: str, verify: Verify) -> bool:
        return verify(public_key, self.message, self.signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the receiving side wants to say of one request."""

    code: str
    """4 digits."""
    msg: str
    key: str
    """The request's idempotency key, as far as known."""
    digest: str
    """Of the request's document, as far as known."""
    accepted: bool
    id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptContent:
    """What a verified receipt says of one document."""

    code: str
    message: str
    accepted: bool
    remote_id: str
    """The receiving side's number of the document; empty if it gave none."""
    reason: str
    """Why it was refused; empty if it was not."""
    key_index: str
    at: datetime


def idempotency_key(ak: str, format: str, business_key: str, content: Digest) -> str:
    """64 hex digits, the same for every attempt to send this content, even from a queue that was rebuilt."""
    parts = (part.encode() for part in ("scraper-agent key/1", ak, format, business_key, content))
    # Each part after its length: without it ("ab", "c") and ("a", "bc") would share a key.
    return canonical.sm3(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).hex()


def build(
    document: bytes, format: str, key: str, ak: str, signer: Signer, now: datetime, profile: Profile = DEFAULT
) -> bytes:
    """The request that carries `document`, the bytes of its canonical JSON object, unchanged.

    Raises:
        ValueError: the document is not canonical, or `format`, `key` or `ak` is not of its form: a caller's mistake.
    """
    for value, form in ((format, _FORMAT), (key, _KEY), (ak, r"[0-9A-Za-z]{6}"), (signer.key_index, _INDEX)):
        if not re.fullmatch(form, value):
            raise ValueError(f"{value!r} does not match {form}")
    _check_document(document)
    ps = b'{"digest":"%b","document":%b,"format":"%b","key":"%b"}' % (
        canonical.digest(document).encode(),
        document,
        format.encode(),
        key.encode(),
    )
    ts = _stamp(now, profile)
    sn = _written(signer.sign(_request_message(ak, ts, signer.key_index, ps)), profile)
    # Spliced, never serialised again: what is sent is what was signed.
    return f'{{"ak":"{ak}","ts":{ts},"sk":"{signer.key_index}","sn":"{sn}","ps":'.encode() + ps + b"}"


def read_request(raw: bytes, profile: Profile = DEFAULT) -> Request:
    """The request in `raw`, its form and its document's digest checked, its signature not.

    Raises:
        RequestInvalid: unknown or missing members, another order, white space, or a digest that is not the document's.
    """
    tail_at = max(0, len(raw) - _TAIL_BYTES)
    try:
        # Every byte is accounted for by one of the three patterns or by the document, which is one canonical object.
        head = _match(_HEAD, raw[:_TAIL_BYTES])
        ps_head = _match(_PS_HEAD, raw[head.end() : head.end() + _TAIL_BYTES])
        tail = _PS_TAIL.search(raw[tail_at:].decode("latin-1")) or _refuse_start(raw[tail_at:])
        document = raw[head.end() + ps_head.end() : tail_at + tail.start()]
        _check_document(document)
        signature = _signature(head["sn"], profile)
    except ValueError as error:
        raise RequestInvalid(
            "SA4001",
            N_("the request is not of profile {profile}: {reason}"),
            hint=N_("check the order of its members, that there is no white space, and that nothing was added"),
            profile=profile.name,
            reason=str(error),
        ) from None
    if canonical.digest(document) != ps_head["digest"]:
        raise RequestInvalid(
            "SA4002",
            N_("the request's document has digest {seen}; the request says {expected}"),
            hint=N_("it was changed on the way, or its sender took the digest of other bytes"),
            seen=canonical.digest(document),
            expected=ps_head["digest"],
        )
    return Request(
        ak=head["ak"],
        ts=int(head["ts"]),
        sk=head["sk"],
        format=tail["format"],
        key=tail["key"],
        digest=Digest(ps_head["digest"]),
        document=document,
        message=_request_message(head["ak"], int(head["ts"]), head["sk"], raw[head.end() : -1]),
        signature=signature,
    )


def open_request(raw: bytes, verify: Verify, public_key: str, profile: Profile = DEFAULT) -> Request:
    """As `read_request`, and signed with `public_key`.

    Raises:
        RequestInvalid: as `read_request`, or the signature does not hold.
    """
    request = read_request(raw, profile)
    if not request.signed_with(public_key, verify):
        raise RequestInvalid(
            "SA4003",
            N_("the request's signature does not hold under key {sk} of system {ak}"),
            hint=N_("check that the receiving side knows this key's public key, and that both use the same profile"),
            sk=request.sk,
            ak=request.ak,
        )
    return request


def build_receipt(answer: Answer, signer: Signer, now: datetime, profile: Profile = DEFAULT) -> bytes:
    """The signed receipt that says `answer`."""
    rs = {
        "key": answer.key,
        "digest": answer.digest,
        "accepted": answer.accepted,
        "id": answer.id,
        "reason": answer.reason,
    }
    ts = _stamp(now, profile)
    sn = _written(signer.sign(_receipt_message(answer.code, answer.msg, ts, signer.key_index, rs)), profile)
    return canonical.dumps(
        {"code": answer.code, "msg": answer.msg, "ts": ts, "sk": signer.key_index, "sn": sn, "rs": rs}
    )


def open_receipt(
    raw: bytes,
    verify: Verify,
    public_keys: Mapping[str, str],
    *,
    key: str,
    digest: str,
    profile: Profile = DEFAULT,
) -> ReceiptContent:
    """What the receiving side says of the document with this idempotency key and digest.

    `public_keys`: the receiving side's, 128 hex digits each, by `sk`.

    Raises:
        ReceiptInvalid: too long, not of the profile, signed with an unknown key or not at all, or of another document.
    """
    receipt = _parsed_receipt(raw, profile)
    if receipt.sk not in public_keys:
        raise ReceiptInvalid(
            "SA4006",
            N_("the receipt is signed with key {sk} of the receiving side; known are {known}"),
            hint=N_(
                "ask the receiving side for that public key, compare it by telephone, and add it to the configuration"
            ),
            sk=receipt.sk,
            known=", ".join(sorted(public_keys)) or "-",
        )
    try:
        signature = _signature(receipt.sn, profile)
    except ValueError:
        signature = b""
    message = _receipt_message(receipt.code, receipt.msg, receipt.ts, receipt.sk, receipt.rs.model_dump())
    if not verify(public_keys[receipt.sk], message, signature):
        raise ReceiptInvalid(
            "SA4007",
            N_("the receipt's signature does not hold under key {sk} of the receiving side"),
            hint=N_("do not trust it; compare the configured public key and profile with those of the receiving side"),
            sk=receipt.sk,
        )
    for name, seen, expected in (("key", receipt.rs.key, key), ("digest", receipt.rs.digest, digest)):
        if seen != expected:
            raise ReceiptInvalid(
                "SA4008",
                N_("the receipt is of another document: its {name} is {seen}; expected {expected}"),
                hint=N_("report it to the receiving side with the receipt's bytes, which are in the archive"),
                name=name,
                seen=seen,
                expected=expected,
            )
    return ReceiptContent(
        code=receipt.code,
        message=receipt.msg,
        accepted=receipt.rs.accepted,
        remote_id=receipt.rs.id,
        reason=receipt.rs.reason,
        key_index=receipt.sk,
        at=_EPOCH + receipt.ts * _unit(profile),
    )


def absence(key: str) -> bytes:
    """The receiving side's word, with status 404, that it has nothing under `key`. Unsigned: a lie costs one repeat."""
    return canonical.dumps({"found": False, "key": key})


class _Result(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    key: str
    digest: str
    accepted: bool
    id: Annotated[str, Field(max_length=128)]
    reason: Annotated[str, Field(max_length=4096)]


class _Receipt(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    code: Annotated[str, Field(pattern=r"^[0-9]{4}$")]
    msg: Annotated[str, Field(max_length=4096)]
    ts: Annotated[int, Field(ge=0)]
    sk: Annotated[str, Field(pattern=rf"^{_INDEX}$")]
    sn: Annotated[str, Field(max_length=128)]
    rs: _Result


def _parsed_receipt(raw: bytes, profile: Profile) -> _Receipt:
    if len(raw) > RECEIPT_BYTES:
        raise ReceiptInvalid(
            "SA4004",
            N_("the answer has more than {most} bytes, too many for a receipt"),
            hint=N_("check that `url` is the interface that receives documents"),
            most=RECEIPT_BYTES,
        )
    try:
        receipt = _Receipt.model_validate(_json(raw))
        if receipt.ts > _LAST // _unit(profile):
            _refuse("ts is after the year 9999")
        return receipt
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        reason = ": ".join(part for part in (".".join(map(str, first["loc"])), first["msg"]) if part)
    except ValueError as error:
        reason = str(error)
    raise ReceiptInvalid(
        "SA4005",
        N_("the answer is no receipt ({reason}): {start}"),
        hint=N_("check that `url` is the interface that receives documents, and that no proxy answers in its place"),
        reason=reason,
        start=_shown(raw),
    )


def _request_message(ak: str, ts: int, sk: str, ps: bytes) -> bytes:
    return f"{ak}{ts}{sk}".encode() + ps


def _receipt_message(code: str, msg: str, ts: int, sk: str, rs: Mapping[str, object]) -> bytes:
    return f"{code}{msg}{ts}{sk}".encode() + canonical.dumps(rs)


def _unit(profile: Profile) -> timedelta:
    match profile.ts:
        case "seconds":
            return timedelta(seconds=1)
        case "milliseconds":
            return timedelta(milliseconds=1)
        case unknown:
            assert_never(unknown)


def _stamp(now: datetime, profile: Profile) -> int:
    return (now - _EPOCH) // _unit(profile)


def _written(signature: bytes, profile: Profile) -> str:
    if len(signature) != _SIGNATURE_BYTES:
        raise ValueError(f"signature of {len(signature)} bytes, expected {_SIGNATURE_BYTES}")
    match profile.sn:
        case "base64":
            return base64.b64encode(signature).decode()
        case "hex":
            return signature.hex()
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
    return _refuse(f"sn is not {_SIGNATURE_BYTES} bytes in {profile.sn}")


def _match(pattern: re.Pattern[str], part: bytes) -> re.Match[str]:
    return pattern.match(part.decode("latin-1")) or _refuse_start(part)


def _check_document(document: bytes) -> None:
    """Raises ValueError unless `document` is one JSON object in canonical form."""
    value = _json(document)
    try:
        if isinstance(value, dict) and canonical.dumps(value) == document:
            return
    except RecursionError:
        pass
    _refuse("document is not a JSON object in canonical form")


def _json(data: bytes) -> Any:
    """Plain data, without anything two parsers may read differently.

    Raises:
        ValueError: not UTF-8, not JSON, the same key twice, a fraction, or nested too deeply.
    """
    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_float=_no_fraction, parse_constant=_no_fraction
        )
    except RecursionError:
        return _refuse("nested too deeply")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        _refuse("the same key twice")
    return dict(pairs)


def _no_fraction(text: str) -> Never:
    _refuse(f"{text} is not a whole number")


def _refuse_start(part: bytes) -> Never:
    _refuse(_shown(part))


def _shown(part: bytes) -> str:
    return ascii(part[:_SHOWN].decode("utf-8", errors="replace"))


def _refuse(reason: str) -> Never:
    raise ValueError(reason)
