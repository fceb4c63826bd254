"""Where people say what is to be done, whether anything runs or not: pause, stop, approve and the like.

Pause and stop are files (`control`), in force at once. All else is an order (`orders`): carried out by the process that
writes the archive, or, where there is none, by this one. Either way the role is asked for where it is carried out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from time import monotonic, sleep
from types import UnionType
from typing import Any

from scraper_agent import approval, exporting, notes, people
from scraper_agent.control import Control, Kind, unwritable
from scraper_agent.errors import AgentError, BusinessError
from scraper_agent.messages import N_
from scraper_agent.orders import Order, Outcome, Taken, Tray, new_id
from scraper_agent.people import People, Role
from scraper_agent.pipeline import Pipeline
from scraper_agent.ports import Clock
from scraper_agent.values import (
    Approval,
    Digest,
    Draft,
    Endorsed,
    Excluded,
    Failure,
    Held,
    Job,
    JobId,
    Released,
    Retry,
)

WAIT_S = 10.0
"""How long an order may take to be begun."""
_LOOK_S = 0.05

SWITCHES: Mapping[str, Kind | None] = {"pause": "pause", "stop": "stop", "resume": None}

# --- what can be ordered --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Action:
    """`carry` does it to one document. `done`: whether the document's facts already say so, after a crash."""

    role: Role
    carry: Callable[[Pipeline, JobId, Order], None]
    done: Callable[[Pipeline, Job, Order], bool]


def _approve(pipeline: Pipeline, id: JobId, order: Order) -> None:
    shown, reason = _shown(pipeline, id, order), order.values.get("reason", "")
    pipeline.decide(id, lambda verdict: approval.by_person(verdict, shown=shown, by=order.by, reason=reason))


def _decline(pipeline: Pipeline, id: JobId, order: Order) -> None:
    shown, reason = _shown(pipeline, id, order), order.values.get("reason", "")
    pipeline.decide(id, lambda verdict: approval.decline(verdict, shown=shown, by=order.by, reason=reason))


def _withdraw(pipeline: Pipeline, id: JobId, order: Order) -> None:
    done = pipeline.withdraw(id, order.by, order.values.get("reason", ""))
    if done.id != id:
        pipeline.check(done.id)


def _resend(pipeline: Pipeline, id: JobId, order: Order) -> None:
    pipeline.resend(id, order.by, absent=order.values.get("absent", "") == "yes")


def _shown(pipeline: Pipeline, id: JobId, order: Order) -> Digest:
    """What the person saw; without it, what was read: that never changes, so the job's number says it as well."""
    first = pipeline.archive.job(id).facts[0]
    assert isinstance(first, Draft)  # noqa: S101 - of every document
    return Digest(order.values.get("shown") or first.document)


def _hold(pipeline: Pipeline, id: JobId, order: Order) -> None:
    pipeline.hold(id, order.by, order.values.get("reason", ""))


def _release(pipeline: Pipeline, id: JobId, order: Order) -> None:
    pipeline.release(id, order.by, order.values.get("reason", ""))


def _exclude(pipeline: Pipeline, id: JobId, order: Order) -> None:
    pipeline.exclude(id, order.values.get("fields", "").split(), order.by, order.values.get("reason", ""))


def _decided(pipeline: Pipeline, job: Job, order: Order) -> bool:
    return _said(Approval | Endorsed, pipeline, job, order)


def _said(kind: type[Any] | UnionType, pipeline: Pipeline, job: Job, order: Order) -> bool:
    return any(isinstance(fact, kind) and _is_by(fact.by, order) for fact in _since(pipeline, job, order))


def _resent(pipeline: Pipeline, job: Job, order: Order) -> bool:
    return any(isinstance(fact, Retry) and _is_by(fact.by, order) for fact in _since(pipeline, job, order))


def _withdrawn(pipeline: Pipeline, job: Job, order: Order) -> bool:
    """Stopped, or taken back by a version that says so."""
    said = f"withdrawn by person:{order.by}: "
    if any(isinstance(fact, Failure) and fact.message.startswith(said) for fact in _since(pipeline, job, order)):
        return True
    draft = job.facts[0]
    assert isinstance(draft, Draft)  # noqa: S101 - of every document
    for id in pipeline.archive.documents(format=draft.format, key=draft.key):
        first = pipeline.archive.job(id).facts[0]
        if isinstance(first, Draft) and first.replaces == job.id and _is_by(first.withdrawn_by, order):
            return True
    return False


def _since(pipeline: Pipeline, job: Job, order: Order) -> list[Any]:
    times = pipeline.archive.times(job.id)
    return [fact for fact, at in zip(job.facts, times, strict=True) if at >= order.at]


def _is_by(by: str, order: Order) -> bool:
    return by == f"person:{order.by}"


ACTIONS: Mapping[str, Action] = {
    "approve": Action(Role.APPROVER, _approve, _decided),
    "decline": Action(Role.APPROVER, _decline, _decided),
    "withdraw": Action(Role.APPROVER, _withdraw, _withdrawn),
    "resend": Action(Role.OPERATOR, _resend, _resent),
    "hold": Action(Role.APPROVER, _hold, partial(_said, Held)),
    "release": Action(Role.APPROVER, _release, partial(_said, Released)),
    "exclude": Action(Role.APPROVER, _exclude, partial(_said, Excluded)),
}


def carry_out(pipeline: Pipeline, taken: Taken, known: People) -> list[Outcome]:
    """Do what is ordered to each target; what fails for one does not keep the next from being done."""
    order = taken.order
    if order.do == notes.DO:
        return [_noted(pipeline, taken)]
    if order.do == exporting.DO:
        return [_exported(pipeline, taken, known)]
    action = ACTIONS.get(order.do)
    refused: AgentError | None = None
    if action is None:
        refused = _unknown(order.do)
    else:
        try:
            people.require(known, order.by, action.role)
        except BusinessError as error:
            refused = error
    if action is None or refused is not None:
        return [Outcome(target, refused) for target in order.targets]
    return [Outcome(target, _one(pipeline, action, JobId(target), taken)) for target in order.targets]


def _noted(pipeline: Pipeline, taken: Taken) -> Outcome:
    order = taken.order
    try:
        fact = notes.fact(order.by, order.values)
        notes.append(pipeline.archive, fact, unless_since=order.at if taken.again else None)
    except ValueError:
        return Outcome(notes.JOB, _unknown(f"{order.do} {order.values.get('kind', '')}"))
    except AgentError as error:
        return Outcome(notes.JOB, error)
    return Outcome(notes.JOB)


def _exported(pipeline: Pipeline, taken: Taken, known: People) -> Outcome:
    order = taken.order
    try:
        people.require(known, order.by, *exporting.ROLES)
        since = order.at if taken.again else None
        exporting.record(pipeline.archive, order.targets, order.by, order.values, unless_since=since)
    except AgentError as error:
        return Outcome(exporting.JOB, error)
    return Outcome(exporting.JOB)


def _one(pipeline: Pipeline, action: Action, id: JobId, taken: Taken) -> AgentError | None:
    try:
        job = pipeline.archive.job(id)
        if not job.facts or not isinstance(job.facts[0], Draft):
            return approval.not_waiting(id, None)
        if not (taken.again and action.done(pipeline, job, taken.order)):
            action.carry(pipeline, id, taken.order)
    except AgentError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a defect in what one person wants ends neither the run nor the others'
        return AgentError(
            "SA7604",
            N_("`{do}` of {id} failed by a defect of the agent: {seen}"),
            do=taken.order.do,
            id=id,
            seen=f"{type(error).__name__}: {error}"[:300],
        )
    return None


def _unknown(do: str) -> AgentError:
    return BusinessError(
        "SA7603",
        N_("`{seen}` cannot be ordered; there are {known}"),
        hint=N_("does another version of scraper-agent run?"),
        seen=do,
        known=", ".join((*ACTIONS, *SWITCHES)),
    )


# --- the desk -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Desk:
    """Thread-safe. `serve` carries out whatever lies in the tray, where nobody else writes the archive."""

    control: Control
    tray: Tray
    people: People
    now: Clock
    serve: Callable[[], bool]
    """False: another process writes the archive, and looks into the tray itself."""
    wait_s: float = WAIT_S
    _alone: threading.Lock = field(default_factory=threading.Lock)

    def do(
        self, do: str, targets: Sequence[str], by: str, values: Mapping[str, str] | None = None, via: str = "cli"
    ) -> list[Outcome]:
        """Have it done; returns what came of each target. `pause`, `stop` and `resume` have none, and one outcome.

        Raises:
            BusinessError: this person may not, or there is no such action.
            AgentError: nobody carried it out in time, or the folder cannot be written.
        """
        said = dict(values or {})
        if do in SWITCHES:
            people.require(self.people, by, Role.OPERATOR)
            self._switch(SWITCHES[do], f"person:{by}", via, said.get("reason", ""))
            return [Outcome("")]
        if do in ACTIONS:
            people.require(self.people, by, ACTIONS[do].role)
        elif do == exporting.DO:
            people.require(self.people, by, *exporting.ROLES)
        elif do != notes.DO:
            raise _unknown(do)
        order = Order(id=new_id(), at=self.now(), by=by, via=via, do=do, targets=tuple(targets), values=said)
        try:
            self.tray.put(order)
        except OSError as error:
            raise unwritable(self.tray.folder, error) from error
        return self._awaited(order)

    def _switch(self, kind: Kind | None, by: str, via: str, reason: str) -> None:
        if kind is None:
            self.control.lift(by, via, reason)
        else:
            self.control.put(kind, by, via, reason)
        # So that the log hears of it where nothing runs. In force it is all the same, and whoever writes next logs it.
        with suppress(AgentError):
            self._served()

    def _awaited(self, order: Order) -> list[Outcome]:
        end = monotonic() + self.wait_s
        try:
            while (found := self.tray.result(order)) is None:
                if self._served():
                    continue
                if monotonic() > end and self.tray.take_back(order):
                    raise AgentError(
                        "SA7605",
                        N_("nothing was done within {seconds} s: what writes the archive now takes no orders"),
                        hint=N_("wait until it has ended, then try again"),
                        seconds=int(self.wait_s),
                    )
                if monotonic() > end + self.wait_s:  # it was taken: what came of it the log will say
                    raise AgentError(
                        "SA7606",
                        N_("it was begun and has not ended within {seconds} s; what came of it is not known yet"),
                        hint=N_("`scraper-agent jobs` shows it later"),
                        seconds=int(2 * self.wait_s),
                    )
                sleep(_LOOK_S)
        except AgentError:
            self.tray.take_back(order)
            raise
        return found

    def _served(self) -> bool:
        """Carry it out here, if nobody else writes; one thread at a time."""
        with self._alone:
            return self.serve()
