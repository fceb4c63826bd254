"""`crossborder template | task | list | report | read`: waybills of cross-border e-commerce, from task to receipt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from scraper_agent import app as wiring
from scraper_agent import canonical, envelope
from scraper_agent.app import App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.cli import format, show
from scraper_agent.cli.commands import WithoutAnchor, example, find_job
from scraper_agent.config import CrossBorder
from scraper_agent.envelope import ReceiptContent, trail
from scraper_agent.envelope.trail import Report, Trail
from scraper_agent.errors import AgentError, BusinessError, UsageError
from scraper_agent.messages import N_, render
from scraper_agent.signing import sm2
from scraper_agent.values import Attempt, Delivered, Draft, Job, Receipt, Retry, in_force, state
from scraper_agent.waybill import task

commands = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help=render(N_("Waybills of cross-border e-commerce (GB/T 40292): tasks, and what platform and customs say.")),
)

_AsJson = Annotated[bool, typer.Option("--json", help=render(N_("As JSON.")))]


def _settings(app: App) -> CrossBorder:
    if app.config.crossborder is None:
        raise UsageError(
            "SA7501",
            N_("the config has no `crossborder:`"),
            hint=N_("`scraper-agent sandbox crossborder` prints one to begin with"),
        )
    return app.config.crossborder


@commands.command(
    help=render(N_("Write the form of transport tasks for a shipper to fill in.")),
    epilog=example("crossborder template --out tasks.xlsx"),
)
def template(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", "-o", help=render(N_("The file to write.")))] = Path("tasks.xlsx"),
) -> None:
    from scraper_agent.importing import template as writing  # noqa: PLC0415 - 0.1 s that only this command needs

    form = task.form(context.obj.tables().formats[task.WAYBILL])
    format.written(out, writing.workbook(form))


@commands.command(
    "task",
    help=render(N_("Make the carrier's waybills of a shipper's transport tasks: of all of a file or of none.")),
    epilog=example("crossborder task tasks.xlsx"),
)
def task_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help=render(N_("A file .xlsx, .csv or .json.")))],
    without_anchor: WithoutAnchor = "",
) -> None:
    app: App = context.obj.app()
    carrier = _settings(app)
    form = task.form(app.tables.formats[task.WAYBILL])
    opened = wiring.open_filled(file, form.name, {form.name: form})
    format.take_in(
        app, opened, file, lambda archive: app.waybills(archive, opened, carrier), without_anchor=without_anchor
    )


# --- what became of them --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    number: str
    state: str = ""
    """As the outbox has it; empty of another's waybill."""
    sent: datetime | None
    trail: Trail


@commands.command(
    "list",
    help=render(N_("List the waybills: when each was sent, what the platform says, and what customs itself says.")),
    epilog=example("crossborder list", "crossborder list --json"),
)
def list_(context: typer.Context, as_json: _AsJson = False) -> None:
    app: App = context.obj.app()
    with app.archive(read_only=True) as archive:
        rows = list(_rows(app, archive))
    if as_json:
        show.as_json([{"state": row.state, **_as_json(row)} for row in rows])
        return
    show.console.print(_table(rows))


@commands.command(
    help=render(N_("Write for the shipper what became of its task, signed: the waybill and all receipts.")),
    epilog=example("crossborder report XB0123456789ABCDEF --out report.json"),
)
def report(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help=render(N_("Its number (or the first digits), or its business key.")))],
    out: Annotated[Path, typer.Option("--out", "-o", help=render(N_("The file to write.")))] = Path("report.json"),
) -> None:
    app: App = context.obj.app()
    with app.archive(read_only=True) as archive:
        job = find_job(archive, name)
        draft = _draft(job)
        if draft is None or draft.format != task.WAYBILL:
            raise UsageError("SA7502", N_("{name} is no waybill of cross-border e-commerce"), name=name)
        made = Report(
            task=_task(archive, draft),
            key=app.pipeline(archive, lambda _job, _fact: None).key(job),
            waybill=json.loads(archive.get(in_force(job))),
            sent=_sent(archive, job),
            answers=[answer.decode() for answer in _answers(archive, job)],
        )
    document = trail.write(made)
    receiver = app.config.receiver_of(task.WAYBILL)
    key = envelope.idempotency_key(receiver.ak, trail.REPORT, draft.key, canonical.digest(document))
    format.written(out, envelope.build(document, trail.REPORT, key, receiver.ak, app.signer, wiring.now()))


@commands.command(
    help=render(N_("Read a carrier's report: its signature, and those of platform and customs, are verified.")),
    epilog=example("crossborder read report.json"),
)
def read(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help=render(N_("The report.")))],
    as_json: _AsJson = False,
) -> None:
    app: App = context.obj.app()
    carriers = _settings(app).carriers
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise UsageError("SA7503", N_("{path} cannot be read: {reason}"), path=file, reason=error.strerror) from error
    request = envelope.read_request(raw)
    known = carriers.get(request.ak, {})
    if request.sk not in known:
        raise AgentError(
            "SA7504",
            N_("the report is of carrier {ak}, key {sk}, which the config does not know"),
            hint=N_("ask the carrier for its public key, and add it to `crossborder: carriers:`"),
            ak=request.ak,
            sk=request.sk,
        )
    envelope.open_request(raw, sm2.verify, known[request.sk])
    told = trail.read(request)
    row = _Row(number=told.waybill.header.get("waybillNumber", ""), sent=told.sent, trail=told.trail(_keys(app)))
    if as_json:
        waybill = told.waybill.model_dump()
        show.as_json({"taskNumber": told.task, "carrier": request.ak, **_as_json(row), "waybill": waybill})
    else:
        show.console.print(_table([row]))
    if row.trail.doubt:
        raise typer.Exit(BusinessError.exit_code)


def _keys(app: App) -> trail.Keys:
    receiver = app.config.receiver_of(task.WAYBILL)
    customs = app.config.crossborder.customs_keys if app.config.crossborder is not None else {}
    return trail.Keys(verify=sm2.verify, platform=receiver.public_keys, customs=customs, profile=receiver.profile)


def _rows(app: App, archive: SqliteArchive) -> Iterator[_Row]:
    pipeline, keys = app.pipeline(archive, lambda _job, _fact: None), _keys(app)
    for id in archive.documents(format=task.WAYBILL):
        job = archive.job(id)
        draft = _draft(job)
        if draft is not None:
            answers = list(_answers(archive, job))
            yield _Row(
                number=draft.key,
                state=state(job).value,
                sent=_sent(archive, job),
                trail=trail.trail(answers, keys, key=pipeline.key(job), digest=in_force(job)),
            )


def _draft(job: Job) -> Draft | None:
    return next((fact for fact in job.facts if isinstance(fact, Draft)), None)


def _task(archive: SqliteArchive, draft: Draft) -> str:
    """The number of the task that the waybill was made of; empty if it was made of none."""
    for origin in json.loads(archive.get(draft.provenance)):
        if origin["field"] == "waybillNumber" and origin["steps"]:
            return str(origin["raw"])
    return ""


def _sent(archive: SqliteArchive, job: Job) -> datetime | None:
    """When it first left, as far as is known: of an attempt that surely did not arrive nothing is told."""
    failed = {fact.number for fact in job.facts if isinstance(fact, Retry) and fact.cause != "unknown"}
    times = zip(job.facts, archive.times(job.id), strict=True)
    return next((at for fact, at in times if isinstance(fact, Attempt) and fact.number not in failed), None)


def _answers(archive: SqliteArchive, job: Job) -> Iterator[bytes]:
    """The platform's, in the order in which they came."""
    for fact in job.facts:
        if isinstance(fact, Delivered | Receipt) and fact.receipt is not None:
            yield archive.get(fact.receipt)


# --- showing --------------------------------------------------------------------------------------------------------


def _table(rows: list[_Row]) -> Table:
    table = Table()
    for head in (N_("waybill"), N_("sent"), N_("platform's receipt"), N_("customs' receipt")):
        table.add_column(render(head), overflow="fold")
    for row in rows:
        sent = "-" if row.sent is None else row.sent.astimezone().isoformat(sep=" ", timespec="seconds")
        customs = _said(row.trail.customs)
        if row.trail.doubt:
            customs = render(N_("not proved: {reason}"), {"reason": row.trail.doubt})
        table.add_row(*map(show.plain, (row.number, sent, _said(row.trail.platform), customs)))
    return table


def _said(content: ReceiptContent | None) -> str:
    if content is None:
        return "-"
    return " ".join(part for part in (content.code, content.message, content.reason) if part)


def _as_json(row: _Row) -> dict[str, Any]:
    return {
        "waybillNumber": row.number,
        "sent": None if row.sent is None else row.sent.isoformat(timespec="seconds"),
        "platformReceipt": _receipt_as_json(row.trail.platform),
        "customsReceipt": _receipt_as_json(row.trail.customs),
        "doubt": row.trail.doubt,
    }


def _receipt_as_json(content: ReceiptContent | None) -> dict[str, Any] | None:
    if content is None:
        return None
    return {
        "at": content.at.isoformat(),
        "code": content.code,
        "message": content.message,
        "accepted": content.accepted,
        "reason": content.reason,
        "key": content.key_index,
    }
