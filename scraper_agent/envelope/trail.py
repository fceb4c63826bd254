"""What is known of a waybill that goes to customs through a platform (GB/T 40292-2021, clause 4), each word proved.

Customs' receipt comes inside the platform's final one, as the text `data.customsReceipt`. It answers the carrier's own
key and digest, so that its signature needs no trust in the platform.

A report is what a carrier tells its shipper: the waybill and the receipts as they came, in a request of the carrier's,
so that the shipper can verify each signature itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, Strict

from scraper_agent import canonical, envelope
from scraper_agent.envelope import content
from scraper_agent.envelope.content import KEY, ReceiptContent, ReceiptInvalid, Request, RequestInvalid
from scraper_agent.envelope.profile import Profile
from scraper_agent.messages import N_
from scraper_agent.ports import Verify

REPORT = "transportReport"
"""The format that a report's request names."""

_CUSTOMS = "customsReceipt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """Each None as long as there is none."""

    platform: ReceiptContent | None = None
    """The platform's first word."""
    customs: ReceiptContent | None = None
    """Customs' own."""
    doubt: str = ""
    """Why a receipt proves nothing, or how the platform's contradicts that of customs; empty if all is proved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What receipts are verified with: public keys by `sk`."""

    verify: Verify
    platform: Mapping[str, str]
    customs: Mapping[str, str]
    profile: Profile = envelope.DEFAULT


def trail(answers: Sequence[bytes], keys: Keys, *, key: str, digest: str) -> Trail:
    """Of the platform's answers, in the order in which they came, to the document with this key and digest."""
    try:
        said = [
            envelope.open_receipt(answer, keys.verify, keys.platform, key=key, digest=digest, profile=keys.profile)
            for answer in answers
        ]
    except ReceiptInvalid as error:
        return Trail(doubt=f"{error.code} {error.sentence}")
    if not said:
        return Trail()
    inner = (said[-1].data or {}).get(_CUSTOMS)
    if inner is None:
        return Trail(platform=said[0])
    try:
        customs = envelope.open_receipt(
            inner.encode() if isinstance(inner, str) else b"",
            keys.verify,
            keys.customs,
            key=key,
            digest=digest,
            profile=keys.profile,
        )
    except ReceiptInvalid as error:
        return Trail(platform=said[0], doubt=f"{error.code} {error.sentence}")
    if customs.accepted != said[-1].accepted:
        return Trail(platform=said[0], customs=customs, doubt=f"{said[-1].code} {said[-1].message}")
    return Trail(platform=said[0], customs=customs)


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: str
    header: dict[str, str]
    lines: list[dict[str, str]]


class Report(BaseModel):
    """As it is in a request."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    task: Annotated[str, Field(max_length=60)]
    """The number of the shipper's task."""
    key: Annotated[str, Field(pattern=rf"^{KEY}$")]
    """The waybill's idempotency key."""
    waybill: _Document
    sent: Annotated[AwareDatetime, Strict(False)] | None
    """When it first left."""
    answers: list[str]
    """The platform's receipts, their very text."""

    @property
    def digest(self) -> str:
        return canonical.digest(canonical.dumps(self.waybill.model_dump()))

    def trail(self, keys: Keys) -> Trail:
        answers = [answer.encode() for answer in self.answers]
        return trail(answers, keys, key=self.key, digest=self.digest)


def write(report: Report) -> bytes:
    """The document of the request that carries it."""
    return canonical.dumps(report.model_dump(mode="json"))


def read(request: Request) -> Report:
    """The report that a request carries. Whether it is signed is for `Request.signed_with`.

    Raises:
        RequestInvalid: it carries none.
    """
    try:
        if request.format != REPORT:
            content.refuse(f"format {request.format}")
        return Report.model_validate(content.plain(request.document))
    except ValueError as error:  # pydantic's is one
        raise RequestInvalid(
            "SA1101",
            N_("the file is no transport report: {reason}"),
            hint=N_("ask the carrier for the file that `scraper-agent crossborder report` writes"),
            reason=str(error).splitlines()[0],
        ) from None
