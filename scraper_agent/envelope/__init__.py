"""The signed request and the signed receipt, in the form of a profile. Pure: bytes in, bytes out.

`profile` knows the profiles, `content` what requests and receipts say; `members`, `ceb` and `dxp` each write and read
one form, the last two with `xmldsig` and `markup`. docs/wire.md shows every byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from scraper_agent import canonical
from scraper_agent.envelope import ceb, content, dxp, members
from scraper_agent.envelope.content import (
    RECEIPT_BYTES,
    Answer,
    ReceiptContent,
    ReceiptInvalid,
    Request,
    RequestInvalid,
    SystemId,
    absence,
    idempotency_key,
)
from scraper_agent.envelope.profile import DEFAULT, FormName, Profile
from scraper_agent.messages import N_
from scraper_agent.ports import Signer, Verify

__all__ = [
    "DEFAULT",
    "RECEIPT_BYTES",
    "Answer",
    "Profile",
    "ReceiptContent",
    "ReceiptInvalid",
    "Request",
    "RequestInvalid",
    "SystemId",
    "absence",
    "build",
    "build_receipt",
    "idempotency_key",
    "open_receipt",
    "open_request",
    "read_receipt",
    "read_request",
    "unsigned",
]


class _Form(Protocol):
    """What writes and reads one form. Whatever is not of that form is a ValueError that says why."""

    def build(
        self, document: bytes, format: str, key: str, ak: str, signer: Signer, now: datetime, profile: Profile
    ) -> bytes: ...

    def read_request(self, raw: bytes, profile: Profile) -> Request: ...

    def build_receipt(self, answer: Answer, signer: Signer, now: datetime, profile: Profile) -> bytes: ...

    def read_receipt(self, raw: bytes, profile: Profile) -> content.Receipt: ...


_FORMS: Mapping[FormName, _Form] = {"members": members, "ceb": ceb, "dxp": dxp}


def _form(profile: Profile) -> _Form:
    return _FORMS[profile.spec.form]


def build(
    document: bytes, format: str, key: str, ak: str, signer: Signer, now: datetime, profile: Profile = DEFAULT
) -> bytes:
    """The request that carries `document`, the bytes of its canonical JSON object, unchanged.

    Raises:
        ValueError: the document is not canonical, or `format`, `key` or `ak` is not of its form: a caller's mistake.
        RequestInvalid: the profile cannot carry it, or its certificate is not of the signer's key.
    """
    content.check_told(format, key, ak, signer.key_index)
    content.check_document(document)
    return _form(profile).build(document, format, key, ak, signer, now, profile)


def unsigned(
    document: bytes, format: str, key: str, ak: str, sk: str, now: datetime, profile: Profile = DEFAULT
) -> bytes:
    """As `build`, before there is a signature: zeros stand in its place. Time and signature will be others.

    Raises:
        ValueError, RequestInvalid: as `build`, but for the certificate.
    """
    return build(document, format, key, ak, _Nobody(key_index=sk), now, profile)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Nobody:
    """Signs nothing: its signature is zeros, and its public key is part of every certificate's."""

    key_index: str
    public_key: str = ""

    def sign(self, _message: bytes) -> bytes:
        return bytes(content.SIGNATURE_BYTES)


def read_request(raw: bytes, profile: Profile = DEFAULT) -> Request:
    """The request in `raw`, its form and its document's digest checked, its signature not.

    Raises:
        RequestInvalid: anything missing, added or in another order, or a digest that is not that of what it is of.
    """
    try:
        request = _form(profile).read_request(raw, profile)
    except ValueError as error:
        raise RequestInvalid(
            "SA4001",
            N_("the request is not of profile {profile}: {reason}"),
            hint=N_("check the order of its members, that there is no white space, and that nothing was added"),
            profile=profile.name,
            reason=str(error),
        ) from None
    seen = canonical.digest(request.document)
    if seen != request.digest:
        raise RequestInvalid(
            "SA4002",
            N_("the request's document has digest {seen}; the request says {expected}"),
            hint=N_("it was changed on the way, or its sender took the digest of other bytes"),
            seen=seen,
            expected=request.digest,
        )
    return request


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
    return _form(profile).build_receipt(answer, signer, now, profile)


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
    receipt = _read_receipt(raw, profile)
    sk = receipt.content.key_index
    if sk not in public_keys:
        raise ReceiptInvalid(
            "SA4006",
            N_("the receipt is signed with key {sk} of the receiving side; known are {known}"),
            hint=N_(
                "ask the receiving side for that public key, compare it by telephone, and add it to the configuration"
            ),
            sk=sk,
            known=", ".join(sorted(public_keys)) or "-",
        )
    if not verify(public_keys[sk], receipt.message, receipt.signature):
        raise ReceiptInvalid(
            "SA4007",
            N_("the receipt's signature does not hold under key {sk} of the receiving side"),
            hint=N_("do not trust it; compare the configured public key and profile with those of the receiving side"),
            sk=sk,
        )
    for name, seen, expected in (("key", receipt.key, key), ("digest", receipt.digest, digest)):
        if seen != expected:
            raise ReceiptInvalid(
                "SA4008",
                N_("the receipt is of another document: its {name} is {seen}; expected {expected}"),
                hint=N_("report it to the receiving side with the receipt's bytes, which are in the archive"),
                name=name,
                seen=seen,
                expected=expected,
            )
    return receipt.content


def read_receipt(raw: bytes, profile: Profile = DEFAULT) -> ReceiptContent:
    """What a receipt says that was opened before: its signature is not looked at.

    Raises:
        ReceiptInvalid: too long, or not of the profile.
    """
    return _read_receipt(raw, profile).content


def _read_receipt(raw: bytes, profile: Profile) -> content.Receipt:
    if len(raw) > RECEIPT_BYTES:
        raise ReceiptInvalid(
            "SA4004",
            N_("the answer has more than {most} bytes, too many for a receipt"),
            hint=N_("check that `url` is the interface that receives documents"),
            most=RECEIPT_BYTES,
        )
    try:
        return _form(profile).read_receipt(raw, profile)
    except ValueError as error:
        raise ReceiptInvalid(
            "SA4005",
            N_("the answer is no receipt ({reason}): {start}"),
            hint=N_(
                "check that `url` is the interface that receives documents, and that no proxy answers in its place"
            ),
            reason=str(error),
            start=content.shown(raw),
        ) from None
