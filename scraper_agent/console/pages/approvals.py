"""What waits for a person: the queue with its filters, and one decision on many documents, shown before it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.responses import Response

from scraper_agent.console import rows
from scraper_agent.console.ask import Ask, Route, action, page
from scraper_agent.console.pages.document import reason
from scraper_agent.console.pages.documents import beyond, opened, searching, shown
from scraper_agent.console.rows import MOST, Batch, Filter, Row
from scraper_agent.console.words import state_name
from scraper_agent.errors import AgentError, BusinessError, UsageError
from scraper_agent.messages import N_, render
from scraper_agent.people import Role
from scraper_agent.values import Digest, Draft, JobId, State, in_force

QUEUES = (State.HELD, State.ON_HOLD, State.BLOCKED)
"""What a person has to look at, those that can be decided on first."""

DONE: Mapping[str, str] = {
    "approve": N_("{count} document(s) approved"),
    "decline": N_("{count} document(s) declined"),
}
"""What can be done with many at once, and how it is told."""


def approvals(ask: Ask) -> Response:
    try:
        asked, wrong = Filter.read(ask.query, State.HELD), None
        with searching(ask, asked) as search:
            found = search.page(asked, beyond(ask), oldest_first=True)
    except UsageError as error:
        asked, wrong, found = Filter(state=State.HELD), error, None
    with opened(ask) as known:
        counts = known.count(rows.Filter().wanted(ask.now))
        every = known.count(asked.wanted(ask.now)).total()
        return ask.render(
            "approvals.html",
            status=200 if wrong is None else 400,
            found=found,
            wrong=wrong,
            queues=[(state, state_name(state), counts[state]) for state in QUEUES],
            every=None if asked.deep else every,
            most=MOST,
            may=ask.may(Role.APPROVER),
            further=ask.query.get("beyond", ""),
            **shown(ask, asked, known),
        )


# --- many at once ---------------------------------------------------------------------------------------------------


def batch(ask: Ask) -> Response:
    """What a decision on the documents that were chosen would be about; nothing is decided yet."""
    do = ask.query.get("do", "")
    if do not in DONE:
        raise ask.missing()
    asked = Filter.read(ask.query, State.HELD)
    chosen = [JobId(id) for id in ask.query.getlist("id")]
    with searching(ask, asked) as search:
        more = False
        if ask.query.get("all", "") == "1":
            found = search.first(asked, MOST, oldest_first=True)
            made, more = Batch(rows=found.rows), found.beyond is not None
        else:
            made = rows.batch(search, chosen[: MOST + 1], State.HELD)
        return ask.render(
            "batch.html",
            batch=made,
            do=do,
            more=more,
            most=MOST,
            back=f"/approvals?{asked.query()}",
            may=ask.may(Role.APPROVER),
            **shown(ask, asked, search.lists),
        )


def decide(ask: Ask) -> Response:
    """One decision on the documents that were shown; each is decided on for itself, and what fails is told."""
    do = ask.form.get("do", "")
    if do not in DONE:
        raise ask.missing()
    wanted = rows.read_shown(ask.form.get("shown", ""))
    failed: dict[JobId, AgentError] = {}
    first: list[JobId] = []
    others: list[tuple[JobId, Digest]] = []
    for id, digest in wanted:
        job = ask.archive.job(id)
        read = job.facts[0] if job.facts else None
        if not isinstance(read, Draft) or in_force(job) != digest:
            failed[id] = BusinessError(
                "SA7745", N_("{id} is not what was shown any more"), hint=N_("look at it again, then decide"), id=id
            )
        elif read.document == digest:
            first.append(id)
        else:
            others.append((id, digest))
    said_why = reason(ask)
    # The bytes that were read belong to a job's number for ever, so that all these go in one order; of what people
    # changed since, each order says which bytes were shown.
    orders = [(first, {"reason": said_why}), *(([id], {"reason": said_why, "shown": str(d)}) for id, d in others)]
    for ids, told in orders:
        if ids:
            outcomes = ask.app.desk.do(do, ids, ask.person, told, "console")
            failed |= {JobId(each.target): each.error for each in outcomes if each.error is not None}
    done = len(wanted) - len(failed)
    said = render(DONE[do], {"count": done})
    if not failed:
        return ask.redirect("/approvals", said)
    with searching(ask, Filter()) as search:
        told_rows: list[tuple[Row | None, JobId, AgentError]] = [
            (search.row(id), id, error) for id, error in failed.items()
        ]
        return ask.render(
            "batch-done.html",
            status=409,
            done=said,
            failed=told_rows,
            **shown(ask, Filter(), search.lists),
        )


ROUTES: Sequence[Route] = (
    page("/approvals", approvals, menu=N_("Approvals")),
    page("/approvals/batch", batch),
    action("/approvals/decide", decide, role=Role.APPROVER),
)
