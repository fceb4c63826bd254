"""Facts of every kind in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields

from scraper_agent import canonical, completeness
from scraper_agent.messages import N_, render
from scraper_agent.report import facts
from scraper_agent.values import (
    AccountStopped,
    Cleared,
    Completeness,
    Entry,
    Fact,
    Fault,
    Fetched,
    Halted,
    JobId,
    KeyChanged,
    ListRead,
    Outcome,
    Parked,
    Paused,
    Reached,
    Reason,
    Refused,
    Relogin,
    Resumed,
    RunEnded,
    RunStarted,
    SessionChecked,
    Snapshot,
)

GROUPS: Mapping[str, tuple[str, Collection[str]]] = {
    "decisions": (
        N_("what people did"),
        tuple(name for name, kind in canonical.KINDS.items() if any(f.name == "by" for f in fields(kind))),
    ),
    "documents": (N_("documents read and checked"), ("Draft", "Verdict")),
    "sending": (
        N_("signing and sending"),
        ("Envelope", "Attempt", "Delivered", "Retry", "DeadLetter", "Receipt", "Failure"),
    ),
    "runs": (N_("runs"), ("RunStarted", "RunEnded", "Parked")),
    "lists": (N_("lists and how complete they are"), ("ListRead", "Reached")),
    "pages": (N_("pages and files that were kept"), ("Snapshot", "Fetched")),
    "refused": (N_("refused requests"), ("Refused",)),
    "faults": (N_("faults and sessions"), ("Fault", "SessionChecked", "Relogin", "AccountStopped")),
}
"""Kinds of facts that are looked for together."""

CERTIFICATES = {
    Completeness.PROVED: ("good", N_("proved")),
    Completeness.PLAUSIBLE: ("care", N_("plausible")),
    Completeness.UNPROVED: ("bad", N_("unproved")),
}


def path(job: JobId) -> str:
    """The page of this console that shows the job."""
    kind, _, rest = job.partition("/")
    return f"/documents/{rest}" if kind == "doc" else f"/log?job={job}"


def sentence(entry: Entry, names: Mapping[str, str]) -> str:
    """`names`: people by the digest that the log has of who starts a run."""
    match entry.fact:
        case RunStarted() as begun:
            text = (
                N_("{recipe} {version} starts, by {name}") if entry.position == 0 else N_("{recipe} is taken up again")
            )
            name = names.get(begun.started_by, begun.started_by[:12])
            return render(text, {"recipe": begun.recipe_id, "version": begun.recipe_version, "name": name})
        case fact:
            return _sentence(fact)


def _sentence(fact: Fact) -> str:  # noqa: C901, PLR0912 - one line for each kind of fact
    match fact:
        case Snapshot(name=name, url=url):
            return render(N_("the page {name} was kept: {url}"), {"name": name, "url": url})
        case Fetched(name=name, url=url, size_bytes=size):
            return render(N_("{size} bytes were kept as {name}: {url}"), {"name": name, "url": url, "size": size})
        case Refused() as refused:
            return render(
                N_("{method} {url} was not let through: {reason}"),
                {"method": refused.method, "url": refused.url, "reason": render(refused.reason)},
            )
        case ListRead() as read:
            told = N_("the list {name}: {harvested} rows read, {declared} stated by the page; {certificate}")
            declared = render(N_("none")) if read.declared is None else read.declared
            return render(
                told,
                {
                    "name": read.name,
                    "harvested": read.harvested,
                    "declared": declared,
                    "certificate": certificate(completeness.of(read)),
                },
            )
        case Fault(where=where, text=text, values=values, code=code):
            return render(
                N_("{where} could not be read: {code} {sentence}"),
                {"where": where, "code": code, "sentence": render(text, values)},
            )
        case SessionChecked() as checked:
            return render(
                N_("the session {name} is {state}; {action}: {result}"),
                {"name": checked.name, "state": checked.state, "action": checked.action, "result": checked.result},
            )
        case Relogin(where=where, number=number):
            return render(N_("logged in anew, for the {number}. time, in {where}"), {"number": number, "where": where})
        case Reached(field=field, newest=newest):
            return render(N_("everything is read up to {newest} ({field})"), {"newest": newest, "field": field})
        case Parked() as parked:
            return render(
                N_("waits for a person: {outcome}, in {where}: {sentence}"),
                {
                    "outcome": outcome(parked.outcome),
                    "where": parked.where,
                    "sentence": render(parked.text, parked.values),
                },
            )
        case RunEnded(complete=complete, documents=documents, faults=faults):
            text = (
                N_("ended complete: {documents} documents, {faults} pages refused")
                if complete
                else N_("ended incomplete: {documents} documents, {faults} pages refused")
            )
            return render(text, {"documents": documents, "faults": faults})
        case AccountStopped(outcome=why, run=run):
            return render(N_("the account rests since {run}: {outcome}"), {"run": run, "outcome": outcome(why)})
        case Cleared(by=by):
            return render(N_("the accounts may be logged in with again, says {name}"), {"name": who(by)})
        case Paused() | Halted() | Resumed():
            text = {
                Paused: N_("paused by {name}: {reason}"),
                Halted: N_("stopped by {name}: {reason}"),
                Resumed: N_("resumed by {name}: {reason}"),
            }[type(fact)]
            return render(text, {"name": who(fact.by), "reason": fact.reason}).rstrip(": ")
        case KeyChanged() as changed:
            text = N_("key {sk} was {action} by {name} {reason}")
            return render(
                text,
                {
                    "sk": changed.sk,
                    "action": key_action(changed.action),
                    "name": who(changed.by),
                    "reason": changed.reason,
                },
            ).rstrip()
        case _:
            return facts.sentence(fact)


def who(by: str) -> str:
    return render(N_("the policy")) if by == "policy" else by.removeprefix("person:")


def key_action(action: str) -> str:
    names = {
        "made": N_("made"),
        "imported": N_("imported"),
        "activated": N_("activated"),
        "retired": N_("retired"),
        "revoked": N_("revoked"),
    }
    return render(names[action])


def certificate(of: Completeness) -> str:
    return render(CERTIFICATES[of][1])


def reason(of: Reason) -> str:
    return render(of.text, of.values)


def outcome(of: Outcome) -> str:
    names = {
        Outcome.WRONG_PASSWORD: N_("wrong password"),
        Outcome.PASSWORD_EXPIRED: N_("password expired"),
        Outcome.LOCKED_OUT: N_("account locked"),
        Outcome.SECOND_FACTOR: N_("second factor"),
        Outcome.CAPTCHA: N_("captcha"),
        Outcome.KICKED_OUT: N_("logged in elsewhere"),
        Outcome.EXPIRED: N_("session expired"),
        Outcome.OTHER_SESSION: N_("another session"),
        Outcome.NO_SECRET: N_("secret missing"),
        Outcome.HALTED: N_("stopped by a person"),
        Outcome.HOURS: N_("the policy's hours are over"),
        Outcome.UNANCHORED: N_("no witness has seen the log"),
    }
    return render(names[of])
