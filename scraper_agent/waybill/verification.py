"""Clause 8 of GB/T 40292-2021: a waybill of cross-border e-commerce is verified, and rejected if it is not right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from scraper_agent.format import Context, Document, Format
from scraper_agent.rules import absent
from scraper_agent.values import Finding, Severity

Step: TypeAlias = Literal["V1", "V2", "V3", "V4", "V5", "own"]
"""V1 mandatory elements, V2 conditional ones, V3 types, V4 codes and numbers that the notes ask for (8.1), V5 added
elements (8.2). `own`: what the agent checks beyond the standard."""

Verdict: TypeAlias = Literal["ACCEPT", "REJECT_TO_LOGISTICS"]
"""Rejected to the logistics enterprise, which has to rectify the waybill until it conforms."""

_NOTED = frozenset({"CHK-01", "CHK-07", "WB-03"})


@dataclass(frozen=True, slots=True)
class Verified:
    step: Step
    finding: Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    findings: tuple[Verified, ...]

    @property
    def verdict(self) -> Verdict:
        """A warning alone rejects nothing."""
        wrong = any(each.finding.severity is Severity.ERROR for each in self.findings)
        return "REJECT_TO_LOGISTICS" if wrong else "ACCEPT"


def verify(document: Document, format: Format, context: Context | None = None) -> Verification:
    """`document` against `format`: the core elements of clause 6, with those that the users added (clause 7)."""
    found = format.check(document, context or Context())
    return Verification(findings=tuple(Verified(_step(each, document, format), each) for each in found))


def _step(finding: Finding, document: Document, format: Format) -> Step:
    field = format.header_fields.get(finding.field)
    if field is None:
        return "V5"
    if absent(document.header, field.id):
        return "V1" if field.mandatory else "V2"
    if field.type.fault(document.header[field.id]) is not None:
        return "V3"
    return "V4" if finding.code in _NOTED else "own"
