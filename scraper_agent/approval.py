"""Who must say yes before a document is signed: the policy by itself, or a person."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from scraper_agent import analysis, canonical, completeness, people
from scraper_agent.errors import BusinessError, Problem
from scraper_agent.messages import N_
from scraper_agent.people import Role
from scraper_agent.policy import Approving, Limit, Policy
from scraper_agent.values import (
    Approval,
    Completeness,
    Digest,
    Endorsed,
    Finding,
    JobId,
    ListRead,
    Severity,
    Verdict,
)
from scraper_agent.yamlfile import Positions

Reasons = tuple[tuple[str, dict[str, str]], ...]
"""Why a document waits for a person: templates of the catalogue and their values."""


def decide(
    policy: Policy, verdict: Verdict, format: str, amount: tuple[str, Decimal] | None, *, lines: int
) -> Approval | None:
    """The approval the policy gives by itself; None if a person must decide."""
    if verdict.blocked or reasons_to_hold(policy, verdict, format, amount, lines=lines):
        return None
    within = f"{amount[1]} {amount[0]}, {lines} lines" if amount else f"{lines} lines"
    sample = rule(policy, format).sample
    drawn = f"; not drawn, one in {sample.one_in} is" if sample is not None else ""
    return Approval(document=verdict.document, granted=True, by="policy", reason=f"within the limits: {within}{drawn}")


def reasons_to_hold(
    policy: Policy, verdict: Verdict, format: str, amount: tuple[str, Decimal] | None, *, lines: int
) -> Reasons:
    """Empty if the policy approves."""
    alone = reasons_to_decide_alone(policy, verdict, format, amount, lines=lines)
    if not alone and rule(policy, format).rule == "per_batch":
        return ((N_("it waits for the approval of all of its run: `scraper-agent approve --run`"), {}),)
    return alone


def reasons_to_decide_alone(
    policy: Policy, verdict: Verdict, format: str, amount: tuple[str, Decimal] | None, *, lines: int
) -> Reasons:
    """Empty if the policy approves it, or lets it be approved together with others."""
    match rule(policy, format):
        case Approving(rule="four_eyes"):
            return ((N_("by the policy two people approve each {format}"), {"format": format}),)
        case Approving(rule="per_document"):
            return ((N_("by the policy a person approves each {format}"), {"format": format}),)
        case Approving(sample=sample):
            limit = policy.automatic.get(format)
            if limit is None:
                return ((N_("the policy approves no {format} by itself"), {"format": format}),)
            reasons = tuple(_reasons(limit, verdict, amount, lines))
            if reasons or sample is None or not drawn(verdict.document, sample.one_in):
                return reasons
            return (
                (N_("it is in the sample: of about {count}, one waits for a person"), {"count": str(sample.one_in)}),
            )


def rule(policy: Policy, format: str) -> Approving:
    return policy.approval.get(format, Approving())


def problems(policy: Policy, at: Positions) -> Iterator[Problem]:
    """Rules that would never find anything to be about."""
    for format, each in policy.approval.items():
        if each.needs_limits and format not in policy.automatic:
            yield Problem(
                at=at.key(("approval", format)),
                code="SA6049",
                text=N_("a batch or a sample of {format} is taken of what is within its limits, and it has none"),
                hint=N_("set its limits under `automatic`"),
                values={"format": format},
            )


def drawn(document: Digest, one_in: int) -> bool:
    """Whether a document is in a sample. The same document always is or is not.

    Its bytes hold when and from which page they were read: who writes the record in the ERP cannot tell beforehand.
    """
    return int.from_bytes(canonical.sm3(f"sample {document}".encode())) % one_in == 0


def _reasons(
    limit: Limit, verdict: Verdict, amount: tuple[str, Decimal] | None, lines: int
) -> Iterable[tuple[str, dict[str, str]]]:
    warnings = [finding for finding in verdict.findings if _holds(limit, finding)]
    if warnings:
        yield N_("{count} warning(s)"), {"count": str(len(warnings))}
    if limit.lines is not None and lines > limit.lines:
        yield N_("{seen} lines; the limit is {limit}"), {"seen": str(lines), "limit": str(limit.lines)}
    if amount is None:
        if limit.amounts:
            yield N_("it has no total, and the policy limits totals"), {}
        elif limit.lines is None:
            yield N_("it has no total, and the policy sets no limit of lines"), {}
        return
    currency, total = amount
    most = limit.amounts.get(currency)
    if most is None:
        yield N_("the policy sets no limit for {currency}"), {"currency": currency}
    elif abs(total) > most:
        yield (
            N_("{seen} {currency} is above the limit of {limit}"),
            {"seen": str(total), "currency": currency, "limit": str(most)},
        )


def _holds(limit: Limit, finding: Finding) -> bool:
    of = limit.analyses if finding.code.startswith(analysis.STATISTICAL) else limit.warnings
    return of == "hold"


def waits_for_case(policy: Policy, format: str) -> bool:
    """Whether documents of this format leave by themselves only when their business case is complete."""
    limit = policy.automatic.get(format)
    return limit is not None and limit.case == "complete"


def case_to_hold(case: str, missing: Iterable[str]) -> Reasons:
    """As `reasons_to_hold`, for a format that waits for its case, which lacks what is `missing`."""
    lacking = ", ".join(missing)
    if not lacking:
        return ()
    return ((N_("its case {case} is not complete; it lacks {missing}"), {"case": case, "missing": lacking}),)


def lists_to_hold(policy: Policy, lists: Iterable[ListRead] | None) -> Reasons:
    """As `reasons_to_hold`, for the lists of the run that read a document; None if that run has not ended."""
    if policy.lists is Completeness.UNPROVED:
        return ()
    if lists is None:
        return ((N_("the run that read it did not end, so its lists may not be complete"), {}),)
    return tuple(
        (
            N_("the list {name} is {seen}; the policy asks for {expected}"),
            {"name": read.name, "seen": completeness.of(read).value, "expected": policy.lists.value},
        )
        for read in lists
        if completeness.below(read, policy.lists)
    )


def by_person(verdict: Verdict, *, shown: Digest, by: str, reason: str) -> Approval:
    """The approval of a person who was shown the document `shown`.

    Raises:
        BusinessError: the document breaks a rule, or is not the one that was shown.
    """
    if verdict.blocked:
        codes = sorted({f.code for f in verdict.findings if f.severity is Severity.ERROR})
        raise BusinessError(
            "SA6001",
            N_("the document is blocked by {codes} and cannot be approved"),
            hint=N_("correct it in the ERP and run again"),
            codes=", ".join(codes),
        )
    _same(verdict, shown)
    return Approval(document=verdict.document, granted=True, by=f"person:{by}", reason=reason)


def decline(verdict: Verdict, *, shown: Digest, by: str, reason: str) -> Approval:
    """The refusal of a person who was shown the document `shown`; a reason is needed.

    Raises:
        BusinessError: no reason, or another document was shown.
    """
    if not reason.strip():
        raise BusinessError("SA6003", N_("a document is declined only with a reason"), hint=N_("add --reason TEXT"))
    _same(verdict, shown)
    return Approval(document=verdict.document, granted=False, by=f"person:{by}", reason=reason)


def not_waiting(id: str, last: str | None) -> BusinessError:
    if last is None:
        return BusinessError("SA6004", N_("there is no job {id}"), hint=N_("`scraper-agent jobs` lists them"), id=id)
    return BusinessError(
        "SA6005",
        N_("{id} does not wait for a person; its last fact is {last}"),
        hint=N_("`scraper-agent jobs --state held` lists those that wait"),
        id=id,
        last=last,
    )


def counted(policy: Policy, format: str, endorsed: Endorsed | None, said: Approval) -> Approval | Endorsed:
    """What a person's word is worth. `endorsed`: what the first of two people said, if anybody did.

    Raises:
        BusinessError: the same person said so before.
    """
    if not said.granted or rule(policy, format).rule != "four_eyes":
        return said
    first = None if endorsed is None or endorsed.document != said.document else endorsed.by
    if first is None or Role.APPROVER not in people.roles(policy.people, first.removeprefix("person:")):
        return Endorsed(document=said.document, by=said.by, reason=said.reason)
    if _person(first) == _person(said.by):
        raise BusinessError(
            "SA6055",
            N_("{name} has approved it already; by the policy a second person has to"),
            hint=N_("ask another approver"),
            name=said.by.removeprefix("person:"),
        )
    return said


def _person(by: str) -> str:
    """Two spellings of one account are one person."""
    return unicodedata.normalize("NFKC", by.removeprefix("person:")).casefold().strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Documents that one person approves in one decision."""

    documents: tuple[tuple[JobId, Digest], ...]
    """Each with its bytes in force."""

    @property
    def body(self) -> bytes:
        """What its digest is of: another document, or other bytes of one, make it another batch."""
        return canonical.dumps(sorted(self.documents))

    @property
    def digest(self) -> Digest:
        return canonical.digest(self.body)


def same_batch(batch: Batch, shown: Digest) -> None:
    """Raises BusinessError: a person was shown another batch."""
    expected = batch.digest
    if shown != expected:
        raise BusinessError(
            "SA6056",
            N_("the batch shown has digest {seen}; the one that waits has {expected}"),
            hint=N_("look at it again, then decide"),
            seen=shown,
            expected=expected,
        )


def reasoned(reason: str) -> None:
    """Raises BusinessError: no reason is given."""
    if not reason.strip():
        raise BusinessError(
            "SA6051",
            N_("a document is held back, or fields left out of it, only with a reason"),
            hint=N_("add --reason TEXT"),
        )


def _same(verdict: Verdict, shown: Digest) -> None:
    if shown != verdict.document:
        raise BusinessError(
            "SA6002",
            N_("the document shown has digest {seen}; the one that waits has {expected}"),
            hint=N_("look at it again, then decide"),
            seen=shown,
            expected=verdict.document,
        )
