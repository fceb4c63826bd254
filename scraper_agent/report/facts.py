"""A document job's facts as sentences and as a table of digests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from scraper_agent import messages
from scraper_agent.report.pages import moment
from scraper_agent.report.words import say
from scraper_agent.values import (
    Approval,
    Attempt,
    DeadLetter,
    Delivered,
    Draft,
    Endorsed,
    Envelope,
    Excluded,
    Fact,
    Failure,
    Held,
    Job,
    Receipt,
    Released,
    Retry,
    Severity,
    Verdict,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One fact. `at` is empty where the archive tells no times."""

    at: str
    kind: str
    sentence: str


def draft(job: Job) -> Draft:
    first = job.facts[0] if job.facts else None
    if not isinstance(first, Draft):
        raise TypeError(f"{job.id} is not a document")
    return first


def history(job: Job, times: Sequence[datetime]) -> tuple[Step, ...]:
    told = [moment(at) for at in times] if len(times) == len(job.facts) else [""] * len(job.facts)
    return tuple(
        Step(at=at, kind=type(fact).__name__, sentence=sentence(fact)) for at, fact in zip(told, job.facts, strict=True)
    )


def sentence(fact: Fact) -> str:  # noqa: C901, PLR0912 - one line for each kind of fact
    """A document's fact in words; of another the name of its kind."""
    match fact:
        case Draft(withdrawn_by="", replaces=None):
            return say("fact_read")
        case Draft(withdrawn_by=""):
            return say("fact_changed", replaces=fact.replaces)
        case Draft():
            return say("fact_withdraws", by=_who(fact.withdrawn_by), replaces=fact.replaces, reason=fact.reason)
        case Verdict(findings=findings):
            errors = sum(f.severity is Severity.ERROR for f in findings)
            return say("fact_checked", errors=errors, warnings=len(findings) - errors)
        case Approval():
            return say("fact_approved" if fact.granted else "fact_declined", by=_who(fact.by), reason=fact.reason)
        case Endorsed():
            return say("fact_endorsed", by=_who(fact.by), reason=fact.reason)
        case Held():
            return say("fact_held", by=_who(fact.by), reason=fact.reason)
        case Released():
            return say("fact_released", by=_who(fact.by), reason=fact.reason)
        case Excluded():
            return say("fact_excluded", by=_who(fact.by), fields=", ".join(fact.fields), reason=fact.reason)
        case Envelope():
            return say("fact_signed", key_index=fact.key_index)
        case Attempt():
            return say("fact_attempt", number=fact.number)
        case Delivered():
            return say("fact_delivered", number=fact.number)
        case DeadLetter():
            return say("fact_dead", number=fact.number, reason=messages.render(fact.reason))
        case Retry(by="", not_before=datetime() as due):
            reason = messages.render(fact.reason)
            return say("fact_retry_later", number=fact.number, reason=reason, when=moment(due))
        case Retry() if fact.by:
            return say("fact_retry_by", by=_who(fact.by))
        case Retry():
            return say("fact_retry", number=fact.number, reason=messages.render(fact.reason))
        case Receipt(accepted=True):
            return say("fact_accepted", remote_id=fact.remote_id)
        case Receipt():
            return say("fact_rejected", message=fact.message)
        case Failure():
            return say(f"fact_failed_{fact.stage}", message=fact.message)
        case _:
            return type(fact).__name__


def _who(by: str) -> str:
    return say("the_policy") if by == "policy" else by.removeprefix("person:")


def evidence(job: Job) -> tuple[tuple[str, str], ...]:
    """Names in `WORDS` with their values; values that begin with `sm3:` are digests."""
    return tuple((name, value) for name, value in _evidence(job) if value)


def _evidence(job: Job) -> Iterator[tuple[str, str]]:
    yield "job", job.id
    for fact in job.facts:
        match fact:
            case Draft():
                yield "run_id", fact.run
                yield "record", fact.record
                yield "page_digest", fact.page
                yield "document_digest", fact.document
                yield "provenance_digest", fact.provenance
            case Excluded():
                yield "document_digest", fact.document
            case Approval():
                yield "approved_by", _who(fact.by)
                yield "approval_reason", fact.reason
            case Envelope():
                yield "envelope_digest", fact.envelope
                yield "key_index", fact.key_index
                yield "profile", fact.profile
            case Receipt():
                yield "receipt_number", fact.remote_id
                yield "receipt_message", fact.message
                yield "receipt_digest", fact.receipt
            case _:
                pass
