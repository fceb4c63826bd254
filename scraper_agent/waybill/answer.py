"""What a province answers to a waybill that it accepted: the QR code, as text and as image. Pure.

It is the province's word only if the code is signed with its key and says what the waybill says.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scraper_agent.errors import BusinessError
from scraper_agent.format import Document
from scraper_agent.messages import N_
from scraper_agent.ports import Verify
from scraper_agent.waybill import qr
from scraper_agent.waybill.profile import DEFAULT, Qr

PNG = b"\x89PNG\r\n\x1a\n"

_TEXT, _IMAGE = "qr", "image"


class AnswerInvalid(BusinessError):
    """The code is not shown as one: it proves nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A code that is genuine and of its waybill."""

    data: bytes
    """What the symbol holds, GBK."""
    content: qr.Content
    image: bytes | None
    """The province's PNG as it came; None if it sent none. What it shows, only a reader of images can tell."""


def code(
    data: Mapping[str, Any] | None,
    document: Document,
    public_keys: Mapping[str, str],
    verify: Verify,
    profile: Qr = DEFAULT.qr,
) -> Code | None:
    """The code in the data of a receipt for `document`; None if there is none.

    `public_keys`: the province's, by key index.

    Raises:
        AnswerInvalid: a member is of another kind, or the code is not signed by the province or of another waybill.
        QrInvalid: its text is no code's.
    """
    if data is None or _TEXT not in data:
        return None
    text = data[_TEXT]
    if not isinstance(text, str):
        raise _unfit(_TEXT, "String")
    content = qr.parse(text, profile)
    match qr.standing(content, public_keys, verify):
        case qr.Standing.FORGED:
            raise AnswerInvalid(
                "SA1085",
                N_("the signature of the QR code does not hold under key {index} of the province"),
                hint=N_("do not show it on the road; report it to the province"),
                index=content.key_index,
            )
        case qr.Standing.UNKNOWN_KEY:
            raise AnswerInvalid(
                "SA1086",
                N_("the QR code is signed with key {index} of the province; known are {known}"),
                hint=N_(
                    "ask the province for that public key, compare it by telephone, and add it to the configuration"
                ),
                index=content.key_index,
                known=", ".join(sorted(public_keys)) or "-",
            )
        case qr.Standing.GENUINE:
            pass
    if other := qr.difference(content.summary, qr.summary(document, profile)):
        raise AnswerInvalid(
            "SA1087",
            N_("item {item} ({name}) of the QR code is not what the waybill says"),
            hint=N_("the province answered with another waybill's code, or changed it: report it"),
            item=other[0],
            name=other[1],
        )
    return Code(data=text.encode(qr.CHARSET), content=content, image=_image(data.get(_IMAGE)))


def _image(given: Any) -> bytes | None:
    if given is None:
        return None
    try:
        image = base64.b64decode(given, validate=True) if isinstance(given, str) else b""
    except (binascii.Error, ValueError):
        image = b""
    if not image.startswith(PNG):
        raise _unfit(_IMAGE, "Base64(PNG)")
    return image


def _unfit(member: str, expected: str) -> AnswerInvalid:
    return AnswerInvalid(
        "SA1084",
        N_("`{member}` in the data of the receipt is not {expected}"),
        hint=N_("report it to the province with the receipt's bytes, which are in the archive"),
        member=member,
        expected=expected,
    )
