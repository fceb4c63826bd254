"""What requests and receipts say, whatever bytes carry it, and what can be wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Never

from pydantic import Field

from scraper_agent import canonical
from scraper_agent.errors import AgentError
from scraper_agent.ports import Verify
from scraper_agent.values import Digest

RECEIPT_BYTES = 65_536
"""A longer answer is no receipt."""

SystemId = Annotated[str, Field(pattern=r"^[0-9A-Za-z]{6}$")]
"""`ak`, as the receiving side gave it out."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SIGNATURE_BYTES = 64

AK = r"[0-9A-Za-z]{6}"
KEY = r"[0-9a-f]{64}"
DIGEST = r"sm3:[0-9a-f]{64}"
INDEX = r"(?:0[1-9]|[1-9][0-9])"
FORMAT = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
TIME = "(?:19[7-9][0-9]|2[0-9]{3})-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
"""Far from what no zone can shift past the years there are."""

_SHOWN = 80


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
    """In the profile's unit; UNIX seconds if the profile has none."""
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
    data: Mapping[str, Any] | None = None
    """What was asked for or made, such as the text of a QR code: plain JSON without fractions. None in XML."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptContent:
    """What a verified receipt says of one document."""

    code: str
    """As the profile writes codes: 4 digits, or a ResponseCode of DXP."""
    message: str
    accepted: bool
    remote_id: str
    """The receiving side's number of the document; empty if it gave none."""
    reason: str
    """Why it was refused, in XML begun by the code and what it means; empty if it was not."""
    key_index: str
    at: datetime
    data: Mapping[str, Any] | None = None
    """What the receiving side gives with it; hostile input until it was checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A receipt whose form is right, and nothing more."""

    content: ReceiptContent
    key: str
    digest: str
    message: bytes
    """What is signed."""
    signature: bytes
    """R‖S; empty if there is none that could hold."""


def idempotency_key(ak: str, format: str, business_key: str, content: Digest) -> str:
    """64 hex digits, the same for every attempt to send this content, even from a queue that was rebuilt."""
    parts = (part.encode() for part in ("scraper-agent key/1", ak, format, business_key, content))
    # Each part after its length: without it ("ab", "c") and ("a", "bc") would share a key.
    return canonical.sm3(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).hex()


def absence(key: str) -> bytes:
    """The receiving side's word, with status 404, that it has nothing under `key`. Unsigned: a lie costs one repeat."""
    return canonical.dumps({"found": False, "key": key})


def check_told(format: str, key: str, ak: str, key_index: str) -> None:
    """Raises ValueError unless each is of its form: they stand in envelopes as they are."""
    for value, form in ((format, FORMAT), (key, KEY), (ak, AK), (key_index, INDEX)):
        if not re.fullmatch(form, value):
            raise ValueError(f"{value!r} does not match {form}")


def check_document(document: bytes) -> None:
    """Raises ValueError unless `document` is one JSON object in canonical form."""
    value = plain(document)
    try:
        if isinstance(value, dict) and canonical.dumps(value) == document:
            return
    except RecursionError:
        pass
    refuse("document is not a JSON object in canonical form")


def check_signature(signature: bytes) -> bytes:
    """`signature`, if it has the length of R‖S; raises ValueError if not."""
    if len(signature) != SIGNATURE_BYTES:
        raise ValueError(f"signature of {len(signature)} bytes, expected {SIGNATURE_BYTES}")
    return signature


def plain(data: bytes) -> Any:
    """Plain data of JSON, without anything two parsers may read differently.

    Raises:
        ValueError: not UTF-8, not JSON, the same key twice, a fraction, or nested too deeply.
    """
    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_float=_no_fraction, parse_constant=_no_fraction
        )
    except RecursionError:
        return refuse("nested too deeply")


def seconds(at: datetime) -> int:
    """UNIX seconds."""
    return (at - EPOCH) // timedelta(seconds=1)


def shown(part: bytes) -> str:
    """The start of `part`, safe to print."""
    return ascii(part[:_SHOWN].decode("utf-8", errors="replace"))


def refuse(reason: str) -> Never:
    raise ValueError(reason)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        refuse("the same key twice")
    return dict(pairs)


def _no_fraction(text: str) -> Never:
    refuse(f"{text} is not a whole number")
