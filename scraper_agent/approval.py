"""Who must say yes before a document is signed: the policy by itself, or a person."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from scraper_agent import analysis, completeness
from scraper_agent.errors import BusinessError
from scraper_agent.messages import N_
from scraper_agent.policy import Limit, Policy
from scraper_agent.values import Approval, Completeness, Digest, Finding, ListRead, Severity, Verdict


def decide(
    policy: Policy, verdict: Verdict, format: str, amount: tuple[str, Decimal] | None, *, lines: int
) -> Approval | None:
    """The approval the policy gives by itself; None if a person must decide."""
    if verdict.blocked or reasons_to_hold(policy, verdict, format, amount, lines=lines):
        return None
    within = f"{amount[1]} {amount[0]}, {lines} lines" if amount else f"{lines} lines"
    return Approval(document=verdict.document, granted=True, by="policy", reason=f"within the limits: {within}")


def reasons_to_hold(
    policy: Policy, verdict: Verdict, format: str, amount: tuple[str, Decimal] | None, *, lines: int
) -> tuple[tuple[str, dict[str, str]], ...]:
    """Templates of the catalogue and their values; empty if the policy approves."""
    limit = policy.automatic.get(format)
    if limit is None:
        return ((N_("the policy approves no {format} by itself"), {"format": format}),)
    return tuple(_reasons(limit, verdict, amount, lines))


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


def case_to_hold(case: str, missing: Iterable[str]) -> tuple[tuple[str, dict[str, str]], ...]:
    """As `reasons_to_hold`, for a format that waits for its case, which lacks what is `missing`."""
    lacking = ", ".join(missing)
    if not lacking:
        return ()
    return ((N_("its case {case} is not complete; it lacks {missing}"), {"case": case, "missing": lacking}),)


def lists_to_hold(policy: Policy, lists: Iterable[ListRead] | None) -> tuple[tuple[str, dict[str, str]], ...]:
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


def _same(verdict: Verdict, shown: Digest) -> None:
    if shown != verdict.document:
        raise BusinessError(
            "SA6002",
            N_("the document shown has digest {seen}; the one that waits has {expected}"),
            hint=N_("look at it again, then decide"),
            seen=shown,
            expected=verdict.document,
        )
