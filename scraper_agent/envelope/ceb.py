"""Profile `ceb-xmldsig/1`: a message of our own with the XML signature of the CEB specification (202205 edition).

    Message   System, KeyIndex, Time, Format, Key, Digest, Document, ds:Signature      attributes guid, version
    Receipt   KeyIndex, Time, Key, Digest, Code, Info, Accepted, Id, Reason, ds:Signature      attribute version

`Document` is base64 of the document's canonical bytes, not elements: those bytes were hashed and approved, and a second
form could say something else. `Time` is UTC and ends in Z.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime

from scraper_agent import canonical
from scraper_agent.envelope import content, markup, xmldsig
from scraper_agent.envelope.content import AK, DIGEST, FORMAT, INDEX, KEY, Answer, ReceiptContent, refuse
from scraper_agent.envelope.markup import escaped, text, writable
from scraper_agent.envelope.profile import Profile
from scraper_agent.ports import Signer
from scraper_agent.values import Digest

_PREFIX = "m"
_TIME = rf"{content.TIME}Z"


def build(document: bytes, format: str, key: str, ak: str, signer: Signer, now: datetime, profile: Profile) -> bytes:
    told = {
        "System": ak,
        "KeyIndex": signer.key_index,
        "Time": _time(now),
        "Format": format,
        "Key": key,
        "Digest": canonical.digest(document),
        "Document": base64.b64encode(document).decode(),
    }
    start = f'Message guid="{_guid(key)}" version="1.0"'
    return xmldsig.sealed(start, _PREFIX, profile.namespace, _elements(told), signer, profile)


def read_request(raw: bytes, profile: Profile) -> content.Request:
    """Raises ValueError with the reason, or RequestInvalid; the document's digest is not compared."""
    root = markup.parsed(raw, profile.most_kb * 1024)
    names = ("System", "KeyIndex", "Time", "Format", "Key", "Digest", "Document")
    read = xmldsig.fields(root, profile.namespace, "Message", names, ("guid", "version"))
    sk, key = text(read["KeyIndex"], INDEX), text(read["Key"], KEY)
    if (root.get("guid"), root.get("version")) != (_guid(key), "1.0"):
        refuse("the guid is not that of the key, or the version is not 1.0")
    signed = xmldsig.read(root, read["Signature"], sk, profile)
    signed.check_covered()
    document = xmldsig.unbase64(read["Document"])
    content.check_document(document)
    return content.Request(
        ak=text(read["System"], AK),
        ts=content.seconds(_moment(text(read["Time"], _TIME))),
        sk=sk,
        format=text(read["Format"], FORMAT),
        key=key,
        digest=Digest(text(read["Digest"], DIGEST)),
        document=document,
        message=signed.message,
        signature=signed.signature,
    )


def build_receipt(answer: Answer, signer: Signer, now: datetime, profile: Profile) -> bytes:
    told = {
        "KeyIndex": signer.key_index,
        "Time": _time(now),
        "Key": answer.key,
        "Digest": answer.digest,
        "Code": profile.spec.written(answer.code),
        "Info": answer.msg,
        "Accepted": "true" if answer.accepted else "false",
        "Id": answer.id,
        "Reason": answer.reason,
    }
    return xmldsig.sealed('Receipt version="1.0"', _PREFIX, profile.namespace, _elements(told), signer, profile)


def read_receipt(raw: bytes, profile: Profile) -> content.Receipt:
    """Raises ValueError with the reason."""
    root = markup.parsed(raw, content.RECEIPT_BYTES)
    names = ("KeyIndex", "Time", "Key", "Digest", "Code", "Info", "Accepted", "Id", "Reason")
    read = xmldsig.fields(root, profile.namespace, "Receipt", names, ("version",))
    if root.get("version") != "1.0":
        refuse("the version is not 1.0")
    sk = text(read["KeyIndex"], INDEX)
    signed = xmldsig.read(root, read["Signature"], sk, profile)
    code = text(read["Code"], "[0-9]{4}")
    reason = text(read["Reason"], ".{0,4096}")
    accepted = text(read["Accepted"], "true|false") == "true"
    return content.Receipt(
        content=ReceiptContent(
            code=code,
            message=text(read["Info"], ".{0,4096}"),
            accepted=accepted,
            remote_id=text(read["Id"], ".{0,128}"),
            reason=reason if accepted else profile.spec.explained(code, reason),
            key_index=sk,
            at=_moment(text(read["Time"], _TIME)),
        ),
        key=text(read["Key"], ".{0,255}"),
        digest=text(read["Digest"], ".{0,255}"),
        message=signed.message,
        signature=signed.signature if signed.covers else b"",
    )


def _elements(told: dict[str, str]) -> str:
    return "".join(f"<{_PREFIX}:{name}>{escaped(writable(value))}</{_PREFIX}:{name}>" for name, value in told.items())


def _guid(key: str) -> str:
    digits = key[:32].upper()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


def _moment(written: str) -> datetime:
    return datetime.fromisoformat(written)
