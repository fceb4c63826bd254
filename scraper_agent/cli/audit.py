"""`log explain`, `prune`, `disclose`, `erase`: how a value came about, what of it is proved, what is kept no longer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from scraper_agent import app as wiring
from scraper_agent import canonical, commitments, leaving, people, retention
from scraper_agent.app import App
from scraper_agent.archive import lists
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.cli import show
from scraper_agent.cli.commands import draft_of, example, find_job
from scraper_agent.errors import AgentError, BusinessError, UsageError
from scraper_agent.messages import N_, render
from scraper_agent.people import Role
from scraper_agent.report import field as explaining
from scraper_agent.report.field import Explained, Looked, Source
from scraper_agent.values import Job, RunStarted

_DOCUMENT = typer.Argument(
    metavar="DOCUMENT", help=render(N_("Its number (or the first digits), or its business key."))
)
_AsJson = Annotated[bool, typer.Option("--json", help=render(N_("As JSON.")))]

_VERDICTS = {"passed": N_("passed"), "broken": N_("broken"), "not checked": N_("not checked")}


def add_to(log: typer.Typer) -> None:
    log.command(
        "explain",
        help=render(N_("Show how one value of a document came about: image, place, text, steps, rules, recipe.")),
        epilog=example("log explain PO-1001 totalAmount", "log explain PO-1001 'lines[3].quantity' --crop cell.png"),
    )(explain)
    log.command(
        "prune",
        help=render(
            N_("Delete the bodies of documents and pages whose time by the policy is over; the log keeps every fact.")
        ),
        epilog=example("log prune --dry-run", "log prune"),
    )(prune)
    log.command(
        "disclose",
        help=render(
            N_("Print chosen fields of a document as JSON, with the proof that the log has committed to them.")
        ),
        epilog=example("log disclose PO-1001 totalAmount currencyCode --out disclosed.json"),
    )(disclose)
    log.command(
        "erase",
        help=render(
            N_("Erase fields of a document that has an end, and the bodies that hold them; every proof still holds.")
        ),
        epilog=example('log erase PO-1001 supplierName --reason "asked by its owner" --basis "个人信息保护法 47"'),
    )(erase)


def explain(
    context: typer.Context,
    name: Annotated[str, _DOCUMENT],
    field: Annotated[
        str, typer.Argument(help=render(N_("As in the document: `totalAmount`, or `lines[3].quantity` of line 3.")))
    ],
    crop: Annotated[
        Path | None, typer.Option(help=render(N_("Write what was seen there, cut out of the page's image, as PNG.")))
    ] = None,
    as_json: _AsJson = False,
) -> None:
    app: App = context.obj.app()
    with app.archive(read_only=True) as archive:
        found = explained(app, archive, find_job(archive, name), field)
        if crop is not None:
            crop.write_bytes(_cut(app, archive, found))
    if as_json:
        show.as_json(json.loads(canonical.dumps(found)))
        return
    show.console.print(_table(found))
    for rule in found.rules:
        show.console.print(_rule(rule))
    if crop is not None:
        show.console.print(str(crop), markup=False, soft_wrap=True)


def explained(app: App, archive: SqliteArchive, job: Job, field: str) -> Explained:
    """Raises AgentError: there is no such field, or what it was read from is gone."""
    draft = draft_of(job)
    started = archive.newest(draft.run, "RunStarted")
    if started is None or not isinstance(started.fact, RunStarted):
        raise UsageError("SA7820", N_("the log has no run that read {id}"), id=job.id)
    with lists.opened(archive.path) as listed:
        return explaining.explain(
            explaining.Record(
                job=job,
                times=archive.times(job.id),
                provenance=archive.get(draft.provenance),
                document=app.pipeline(archive, lambda _job, _fact: None).document(job),
                format=app.tables.formats[draft.format],
                started=started.fact,
                snapshot=lambda page: listed.snapshot(draft.run, page),
            ),
            field,
            whole=False,
            names=explaining.by_digest(app.policy.people) if app.policy.evidence.operator == "name" else {},
        )


def _cut(app: App, archive: SqliteArchive, found: Explained) -> bytes:
    source = next((each for each in found.sources if each.image is not None and each.origin.box is not None), None)
    if source is None or source.image is None or source.origin.box is None:
        if any(each.hidden for each in found.sources):
            raise UsageError("SA7821", N_("the image shows what is masked, and is not cut"))
        raise UsageError("SA7822", N_("there is no image of the place where {field} was read"), field=found.field)
    try:
        return app.cut_out(archive.get(source.image), source.origin.box)
    except ValueError as error:
        raise UsageError(
            "SA7823", N_("the image of the page cannot be cut there: {reason}"), reason=str(error)
        ) from error


def _table(found: Explained) -> Table:
    table = Table(title=show.plain(found.field), title_justify="left", show_header=False, box=box.SIMPLE_HEAD)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _rows(found):
        table.add_row(render(name), show.plain(text))
    return table


def _rows(found: Explained) -> Iterator[tuple[str, str]]:
    yield N_("value"), found.value or "-"
    yield N_("document"), found.document
    for source in found.sources:
        yield from _source_rows(source)
    if not found.sources:
        yield N_("where"), render(N_("on no page: the program itself knows it"))
    by = found.read_by
    yield N_("recipe"), f"{by.recipe_id} {by.recipe_version} {by.recipe}"
    yield N_("account"), by.account or "-"
    yield N_("begun by"), by.started_by
    yield N_("run"), f"{by.run} ({by.agent})"
    yield N_("read at"), found.read_at.astimezone().isoformat(timespec="seconds")
    if found.checked_at is not None:
        yield N_("checked at"), found.checked_at.astimezone().isoformat(timespec="seconds")


def _source_rows(source: Source) -> Iterator[tuple[str, str]]:
    origin = source.origin
    if source.twin:
        yield N_("compared with"), origin.value
    if source.page is not None:
        taken = source.page.taken_at.astimezone().isoformat(timespec="seconds")
        yield N_("page"), f"{source.page.name} {source.page.url} {taken}"
        yield N_("page's digest"), origin.page or "-"
    yield N_("frame"), origin.frame
    alternative = "" if origin.alternative is None else " ({} / {})".format(*origin.alternative)
    yield N_("place"), f"{origin.target}{alternative}"
    if origin.box is not None:
        yield N_("box"), "{} {} {} {}".format(*origin.box)
    yield N_("image"), render(N_("shows what is masked")) if source.hidden else source.image or "-"
    yield N_("text there"), origin.raw or "-"
    for step in origin.steps:
        yield N_("step"), step
    for each in origin.lookups or ():
        at = f" ({each.place})" if each.place else ""
        yield N_("looked up"), f"{each.name}: {each.key}{at} → {each.value}"


def _rule(rule: Looked) -> str:
    colour = {"passed": "green", "broken": "red"}.get(rule.verdict, "yellow")
    head = f"{rule.code} {rule.name}".strip()
    told = f"[{colour}]{render(_VERDICTS[rule.verdict])}[/] {show.plain(head)}"
    told += f" ({show.plain(rule.source)})" if rule.source else ""
    return "\n".join((told, *(f"  {show.finding(each)}" for each in rule.findings)))


# --- what is kept no longer -----------------------------------------------------------------------------------------


def prune(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=render(N_("Only tell what would be deleted.")))] = False,
    as_json: _AsJson = False,
) -> None:
    app: App = context.obj.app()
    wiped = True
    with app.archive(read_only=dry_run) as archive:
        if not dry_run:
            people.require(app.policy.people, wiring.account(), Role.ADMINISTRATOR)
            app.put_in_force(archive)
        planned = retention.plan(archive, app.policy.retention, wiring.now())
        if not dry_run:
            wiped = retention.carry_out(archive, planned, by=wiring.account(), policy=app.policy_source)
    logs = app.old_logs()
    if not dry_run:
        for path in logs:
            path.unlink(missing_ok=True)
    if as_json:
        told = {"dry_run": dry_run, "wiped": wiped, "logs": [path.name for path in logs]}
        show.as_json({**told, **json.loads(canonical.dumps(planned))})
    else:
        show.console.print(_pruned(planned))
        text = N_("{count} document(s) lose their bytes; {open} have no end yet or are kept back, {young} are young")
        values = {"count": len(planned.documents), "open": planned.open, "young": planned.young}
        show.console.print(render(text, values), markup=False, soft_wrap=True)
        if logs:
            text = N_("{count} files of the program's own log are older than {days} days")
            values = {"count": len(logs), "days": app.policy.retention.logs_days}
            show.console.print(render(text, values), markup=False, soft_wrap=True)
        if planned.left_over:
            text = N_("{count} bodies that the log says are erased were there again")
            show.console.print(render(text, {"count": len(planned.left_over)}), markup=False, soft_wrap=True)
    if not wiped:
        raise _not_wiped()


def _pruned(planned: retention.Plan) -> Table:
    table = Table(title=render(N_("What is kept no longer")), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(render(N_("what")))
    table.add_column(render(N_("bodies")), justify="right")
    table.add_column(render(N_("bytes")), justify="right")
    table.add_column(render(N_("legal basis")), overflow="fold")
    for group in planned.groups:
        kind = _WHAT["pages" if group.what != "images" and not group.text else group.what]
        table.add_row(
            render(kind), str(len(group.bodies)), f"{group.size_bytes:,}", render(retention.BASES[group.what])
        )
    return table


_WHAT = {
    "documents": N_("documents"),
    "waybills": N_("waybills"),
    "images": N_("images of pages"),
    "pages": N_("pages, files, envelopes and receipts"),
}


# --- fields ---------------------------------------------------------------------------------------------------------

_FIELDS = typer.Argument(
    metavar="FIELD...", help=render(N_("As in the document: `totalAmount`, or `lines[3].quantity` of line 3."))
)


def disclose(
    context: typer.Context,
    name: Annotated[str, _DOCUMENT],
    fields: Annotated[list[str], _FIELDS],
    out: Annotated[Path | None, typer.Option(help=render(N_("The file to write; default: the screen.")))] = None,
) -> None:
    app: App = context.obj.app()
    with app.archive(read_only=True) as archive:
        told = disclosed(app, archive, find_job(archive, name), fields)
    if out is None:
        show.as_json(told)
    else:
        out.write_bytes(canonical.dumps(told))


def disclosed(app: App, archive: SqliteArchive, job: Job, names: list[str]) -> dict[str, object]:
    """What `commitments.verify` takes.

    Raises:
        BusinessError: a field was left out, erased, or never committed to; or it is masked, and not for this person.
    """
    draft, first = draft_of(job), archive.newest(job.id, "Draft")
    format = app.tables.formats[draft.format]
    for name in names:
        if leaving.left_out(job, name):
            text = N_("{field} was left out of the document, and nothing is told of it")
            raise BusinessError("SA5080", text, field=name)
        of = (format.line_fields if "." in name else format.header_fields).get(name.rpartition(".")[2])
        if of is not None and of.masked:
            people.require(app.policy.people, wiring.account(), Role.APPROVER)
    openings = archive.openings(draft.fields_root) if draft.fields_root is not None else ()
    try:
        fields = commitments.disclosed(openings, names)
    except ValueError as error:
        text = N_("{id} has no field `{seen}` that could be disclosed or erased")
        raise BusinessError("SA6091", text, id=job.id, seen=str(error)) from None
    index = 0 if first is None else first.index
    return commitments.disclosure(archive.raw(index), archive.head().size, archive.inclusion(index), fields)


def erase(
    context: typer.Context,
    name: Annotated[str, _DOCUMENT],
    fields: Annotated[list[str], _FIELDS],
    reason: Annotated[str, typer.Option(help=render(N_("Why; goes into the log.")))],
    basis: Annotated[str, typer.Option(help=render(N_("The law that allows it; goes into the log.")))],
) -> None:
    app: App = context.obj.app()
    with app.archive() as archive:
        people.require(app.policy.people, wiring.account(), Role.ADMINISTRATOR)
        app.put_in_force(archive)
        planned = retention.fields_of(archive, find_job(archive, name).id, fields)
        wiped = retention.erase_fields(
            archive, planned, by=wiring.account(), reason=reason, basis=basis, policy=app.policy_source
        )
    told = N_("erased: {fields}; with them {count} bodies that held them")
    values = {"fields": ", ".join(planned.names), "count": len(planned.bodies)}
    show.console.print(render(told, values), markup=False, soft_wrap=True)
    if not wiped:
        raise _not_wiped()


def _not_wiped() -> AgentError:
    return AgentError(
        "SA7824",
        N_("what was deleted is still in the archive's write-ahead log, as somebody reads the archive"),
        hint=N_("end the console and other readers, then `scraper-agent log prune` again"),
    )
