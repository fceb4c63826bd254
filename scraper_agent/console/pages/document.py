"""One document: what it says beside where it was read, what is said of it, its life, and what people decide on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import Response

from scraper_agent.archive.lists import Line, Lists, Wanted
from scraper_agent.console import sheet
from scraper_agent.console.ask import Ask, Route, action, page
from scraper_agent.console.pages import cases
from scraper_agent.console.pages.documents import opened
from scraper_agent.console.rows import path
from scraper_agent.console.words import state_name
from scraper_agent.errors import AgentError, BusinessError, UsageError
from scraper_agent.format import Format, decode
from scraper_agent.messages import N_, render
from scraper_agent.people import Role
from scraper_agent.report import body
from scraper_agent.report import field as explaining
from scraper_agent.report.words import say
from scraper_agent.values import Digest, Draft, Job, JobId, RunStarted, State, in_force, state


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Something that a person can do with a document, by the desk's name of it."""

    do: str
    name: str
    said: str
    """What the next page tells; `{key}`: the document's number."""
    where: frozenset[State]
    """States in which it is offered; what is possible, who carries it out knows."""
    role: Role = Role.APPROVER
    key: str = ""
    kind: str = ""
    reason: bool = False
    """Whether it needs one."""


_HELD = frozenset({State.HELD})
_QUEUES = frozenset({State.HELD, State.ON_HOLD, State.BLOCKED})
_BEFORE = _QUEUES | {State.APPROVED, State.SIGNED, State.WAITING, State.DEAD}
CHOICES = (
    Choice(do="approve", name=N_("Approve"), said=N_("{key} is approved"), where=_HELD, key="a", kind="main"),
    Choice(
        do="decline", name=N_("Decline"), said=N_("{key} is declined"), where=_HELD, key="d", kind="danger", reason=True
    ),
    Choice(
        do="hold",
        name=N_("Hold"),
        said=N_("{key} is held back"),
        where=_BEFORE - {State.ON_HOLD},
        key="h",
        reason=True,
    ),
    Choice(
        do="release", name=N_("Release"), said=N_("{key} is released"), where=frozenset({State.ON_HOLD}), kind="main"
    ),
    Choice(
        do="withdraw",
        name=N_("Withdraw"),
        said=N_("{key} is withdrawn"),
        where=_BEFORE | {State.RECEIPTED},
        kind="danger",
        reason=True,
    ),
    Choice(
        do="resend",
        name=N_("Send again"),
        said=N_("{key} is sent again"),
        where=frozenset({State.WAITING, State.DEAD}),
        role=Role.OPERATOR,
    ),
)
LONGEST = 1000
"""Characters of a reason."""
LONGEST_NAMES = 4000
"""Characters of the names of all fields that are left out at once, as an order takes them."""
EXCLUDES = frozenset({State.HELD, State.ON_HOLD, State.BLOCKED, State.APPROVED, State.SIGNED})
"""Where fields may be left out: what has never left."""


def id_of(ask: Ask) -> JobId:
    return JobId(f"doc/{ask.path['format']}/{ask.path['number']}")


def document(ask: Ask) -> Response:
    return _shown(ask, id_of(ask))


def _shown(ask: Ask, id: JobId, failed: AgentError | None = None) -> Response:
    """`failed`: why what was wanted of it was not done."""
    with opened(ask) as found:
        made, line = _reader(ask, found).sheet(id), found.line(id)
        if made is None or line is None:
            raise ask.missing()
        entries = ask.archive.head().size
        known = cases.shelf(ask).latest(entries, ask.now)
        before, after = _beside(found, line)
        return ask.render(
            "document.html",
            status=200 if failed is None else 409,
            sheet=made,
            spots=made.spots,
            faults=made.faults,
            problems=made.problems,
            failed=failed,
            before=before,
            after=after,
            waiting=found.count(Wanted(state=line.state))[line.state],
            list_path=f"/approvals?state={line.state}" if line.state in _QUEUES else f"/documents?state={line.state}",
            versions=[each for each in found.versions(line.format, line.key) if each != id],
            case=None if known is None else known.of(id),
            excludes=line.state in EXCLUDES and ask.may(Role.APPROVER),
            choices=[each for each in CHOICES if line.state in each.where and ask.may(each.role)],
            reason=ask.form.get("reason", "")[:LONGEST],
            path=path,
            say=say,
            state_name=state_name,
            missing_names=lambda missing: cases.missing_names(ask, missing),
        )


def _reader(ask: Ask, found: Lists) -> sheet.Reader:
    return sheet.Reader(
        archive=ask.archive,
        lists=found,
        formats=ask.app.tables.formats,
        policy=ask.app.policy,
        whole=ask.may(Role.APPROVER),
    )


def _beside(found: Lists, line: Line) -> tuple[Line | None, Line | None]:
    """The one that has stood so for longer, and the next: a queue is worked off from its oldest end."""
    alike = Wanted(state=line.state)
    before = found.documents(alike, most=1, beyond=line.last)
    after = found.documents(alike, most=1, beyond=line.last, oldest_first=True)
    return (before[0] if before else None), (after[0] if after else None)


def image(ask: Ask) -> Response:
    """The JPEG of a page that this document's run read."""
    named = Digest(f"sm3:{ask.path['digest']}")
    with opened(ask) as found:
        data = sheet.image(ask.archive, found, ask.app.tables.formats, id_of(ask), named, whole=ask.may(Role.APPROVER))
    if data is None:
        raise ask.missing()
    return ask.body(data, "image/jpeg")


def field(ask: Ask) -> Response:
    """How one value came about, with the part of the image that it was read at."""
    id, job, format = _known(ask)
    draft, name = job.facts[0], ask.path["field"]
    with opened(ask) as found:
        started = ask.archive.newest(draft.run, "RunStarted") if isinstance(draft, Draft) else None
        if not isinstance(draft, Draft) or format is None or started is None:
            raise ask.missing()
        if not isinstance(started.fact, RunStarted):
            raise ask.missing()
        try:
            made = explaining.explain(
                explaining.Record(
                    job=job,
                    times=ask.archive.times(id),
                    provenance=ask.archive.get(draft.provenance),
                    document=decode(format, ask.archive.get(in_force(job))),
                    format=format,
                    started=started.fact,
                    snapshot=lambda named: found.snapshot(draft.run, named),
                ),
                name,
                whole=ask.may(Role.APPROVER),
                names=explaining.by_digest(ask.app.policy.people) if ask.app.policy.evidence.operator == "name" else {},
            )
        except (BusinessError, ValueError) as error:
            raise ask.missing() from error
    sizes = {
        each.image: size
        for each in made.sources
        if each.image is not None and (size := sheet.jpeg_size(ask.archive.get(each.image))) is not None
    }
    return ask.render(
        "field.html",
        id=id,
        key=draft.key,
        made=made,
        sizes=sizes,
        told=[(rule, [body.told(each, format) for each in rule.findings]) for rule in made.rules],
        verdicts=VERDICTS,
        path=path,
        say=say,
    )


VERDICTS = {"passed": N_("passed"), "broken": N_("broken"), "not checked": N_("not checked")}


# --- deciding -------------------------------------------------------------------------------------------------------


def decide(ask: Ask) -> Response:
    return _done(ask, Role.APPROVER)


def operate(ask: Ask) -> Response:
    return _done(ask, Role.OPERATOR)


def _done(ask: Ask, role: Role) -> Response:
    id = id_of(ask)
    choice = next((each for each in CHOICES if each.do == ask.form.get("do") and each.role is role), None)
    job = ask.archive.job(id)
    if choice is None or not job.facts:
        raise ask.missing()
    with opened(ask) as found:
        line = found.line(id)
        following = None if line is None else _beside(found, line)[1]
    told = {"reason": reason(ask), "shown": ask.form.get("shown", "")}
    if (failed := _order(ask, choice.do, job, told)) is not None:
        return _shown(ask, id, failed)
    said = render(choice.said, {"key": line.key if line is not None else id})
    # Who works off a queue goes on with the next; else the document shows what became of it.
    onward = line is not None and line.state in _HELD and following is not None
    return ask.redirect(path(following.id if onward and following is not None else id), said)


def exclude(ask: Ask) -> Response:
    """Leave fields out of a document that has never left."""
    id = id_of(ask)
    job = ask.archive.job(id)
    if not job.facts:
        raise ask.missing()
    fields = ask.form.getlist("field")
    told = {"reason": reason(ask), "shown": ask.form.get("shown", ""), "fields": " ".join(fields)}
    if len(told["fields"]) > LONGEST_NAMES:
        raise ask.missing()
    if (failed := _order(ask, "exclude", job, told)) is not None:
        return _shown(ask, id, failed)
    return ask.redirect(path(id), render(N_("{count} field(s) left out; it is checked anew"), {"count": len(fields)}))


def reason(ask: Ask) -> str:
    """What the form gives as one. Raises UsageError: it is too long."""
    text = ask.form.get("reason", "").strip()
    if len(text) > LONGEST:
        raise UsageError("SA7747", N_("a reason has at most {most} characters"), most=LONGEST)
    return text


def _order(ask: Ask, do: str, job: Job, told: Mapping[str, str]) -> BusinessError | None:
    """Have it done to what was shown; why it was not."""
    try:
        if in_force(job) != told["shown"]:
            raise BusinessError(
                "SA7745",
                N_("{id} is not what was shown any more"),
                hint=N_("look at it again, then decide"),
                id=job.id,
            )
        for outcome in ask.app.desk.do(do, [job.id], ask.person, told, "console"):
            if outcome.error is not None:
                raise outcome.error
    except BusinessError as error:
        return error
    return None


# --- what is to be sent ---------------------------------------------------------------------------------------------


def preview(ask: Ask) -> Response:
    """Exactly the bytes, as document and as they are. Where values are masked, the bytes are for approvers alone."""
    id, job, format = _known(ask)
    with opened(ask) as found:
        made = sheet.to_send(ask.archive, found, format, job)
    return ask.render(
        "preview.html",
        id=id,
        key=_key(job),
        state=state(job),
        made=made,
        raw=made.raw.decode(errors="backslashreplace") if _whole(ask, format) else None,
        path=path,
        name=lambda field: field.zh if ask.lang == "zh" else field.en,
        state_name=state_name,
    )


def raw(ask: Ask) -> Response:
    _, job, format = _known(ask)
    if not _whole(ask, format):
        raise BusinessError("SA7746", N_("its bytes hold what is masked and are shown to approvers alone"))
    return ask.body(ask.archive.get(in_force(job)), "application/octet-stream", f"{_key(job)}.json")


def _whole(ask: Ask, format: Format | None) -> bool:
    return ask.may(Role.APPROVER) or not sheet.masks(format)


def _known(ask: Ask) -> tuple[JobId, Job, Format | None]:
    id = id_of(ask)
    job = ask.archive.job(id)
    if not job.facts or not isinstance(job.facts[0], Draft):
        raise ask.missing()
    return id, job, ask.app.tables.formats.get(job.facts[0].format)


def _key(job: Job) -> str:
    first = job.facts[0]
    return first.key if isinstance(first, Draft) else job.id


ROUTES: Sequence[Route] = (
    page("/documents/{format}/{number}", document),
    page("/documents/{format}/{number}/images/{digest}", image),
    page("/documents/{format}/{number}/fields/{field}", field),
    page("/documents/{format}/{number}/preview", preview),
    page("/documents/{format}/{number}/raw", raw),
    action("/documents/{format}/{number}/decide", decide, role=Role.APPROVER),
    action("/documents/{format}/{number}/exclude", exclude, role=Role.APPROVER),
    action("/documents/{format}/{number}/operate", operate, role=Role.OPERATOR),
)
