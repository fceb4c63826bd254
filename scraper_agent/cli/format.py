"""`format list | show | template | check | import`: the formats, and documents that people write into files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich import box
from rich.table import Table

from scraper_agent import app as wiring
from scraper_agent import canonical, mapping
from scraper_agent.app import App
from scraper_agent.archive.seen import SeenKeys
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.cli import show
from scraper_agent.cli.commands import (
    Session,
    WithoutAnchor,
    example,
    find_job,
    progress,
    report,
    tell_unanchored,
)
from scraper_agent.errors import BusinessError, UsageError
from scraper_agent.format import Field, Format
from scraper_agent.formats import pack as packs
from scraper_agent.formats import ubl
from scraper_agent.importing import layout
from scraper_agent.messages import N_, render
from scraper_agent.rules import conditions
from scraper_agent.values import Finding, Severity, State

commands = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help=render(N_("The standard formats; documents in and out by Excel, CSV and JSON.")),
)

Key = Annotated[str, typer.Argument(metavar="KEY", help=render(N_("A format, such as purchaseOrder.")))]
Wanted = Annotated[
    str | None, typer.Option("--format", help=render(N_("Its format, if the file does not say it.")), metavar="KEY")
]


def _format(key: str, context: typer.Context) -> Format:
    known = context.obj.tables().formats
    if key not in known:
        raise UsageError(
            "SA7108", N_("there is no format `{seen}`; there are {known}"), seen=key, known=", ".join(known)
        )
    format: Format = known[key]
    return format


# --- list, show -----------------------------------------------------------------------------------------------------


@commands.command("list", help=render(N_("List the formats.")), epilog=example("format list"))
def list_(context: typer.Context) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in (N_("format"), N_("name"), N_("version"), N_("header fields"), N_("line fields")):
        table.add_column(render(head), overflow="fold")
    for format in context.obj.tables().formats.values():
        counts = (str(len(format.header)), str(len(format.lines)) if format.lines else "-")
        table.add_row(format.name, show.named(format), format.version, *counts)
    show.console.print(table)


@commands.command(
    "show",
    help=render(N_("Show a format: its fields, their types and needs, and its rules.")),
    epilog=example("format show purchaseOrder", "format show purchaseOrder --json"),
)
def show_(
    context: typer.Context, key: Key, json: Annotated[bool, typer.Option("--json", help=render(N_("As JSON.")))] = False
) -> None:
    format = _format(key, context)
    if json:
        show.as_json(_told(format))
        return
    show.lines([f"{format.name} {format.version}  {show.named(format)}", format.source])
    asked = {field.id for field in layout.asked(format)}
    for title, fields in ((N_("header"), format.header), (N_("lines"), format.lines)):
        if not fields:
            continue
        table = Table(title=render(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for head in (N_("field"), N_("name"), N_("type"), N_("need"), N_("rule")):
            table.add_column(render(head), overflow="fold", no_wrap=head == "field")
        for field in fields:
            own = title == "header" and field.id not in asked
            rule = "; ".join(part for part in (*_rule(field), render(N_("filled by the agent")) if own else "") if part)
            table.add_row(field.id, show.named(field), field.type.notation, field.need, show.plain(rule))
        show.console.print(table)
    show.lines([render(N_("rules:")), *(f"  {name}  {_settings(said)}" for name, said in _rules(format))])


def _rule(field: Field) -> Iterator[str]:
    yield field.rule
    if field.codes is not None:
        yield render(N_("code list {name}"), {"name": field.codes})
    elif field.choices:
        yield ", ".join(f"{code} {zh}" for code, zh in field.choices.items())


def _rules(format: Format) -> Iterator[tuple[str, dict[str, Any]]]:
    for rule in format.rules:
        if isinstance(rule, BaseModel):
            said = rule.model_dump(mode="json", exclude_defaults=True)
            yield str(said.pop("check")), said


def _settings(said: dict[str, Any]) -> str:
    return "  ".join(f"{k}={', '.join(map(str, v)) if isinstance(v, list) else v}" for k, v in said.items())


def _told(format: Format) -> dict[str, Any]:
    return {
        "format": format.name,
        "zh": format.zh,
        "en": format.en,
        "version": format.version,
        "source": format.source,
        "key": list(format.key),
        "header": [_field(field) for field in format.header],
        "lines": [_field(field) for field in format.lines],
        "rules": [{"check": name, **said} for name, said in _rules(format)],
    }


def _field(field: Field) -> dict[str, Any]:
    told: dict[str, Any] = {"id": field.id, "zh": field.zh, "en": field.en, "type": field.type.notation}
    told |= {"need": field.need, "rule": field.rule, "source": field.source}
    if field.codes is not None:
        told["codes"] = field.codes
    if field.choices:
        told["choices"] = dict(field.choices)
    return told


# --- files ----------------------------------------------------------------------------------------------------------


@commands.command(
    help=render(N_("Write an Excel file to fill in: columns, drop-downs, and one example.")),
    epilog=example("format template purchaseOrder", "format template foreignInvoice --out invoices.xlsx"),
)
def template(
    context: typer.Context,
    key: Key,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help=render(N_("The file to write; default: KEY.xlsx.")))
    ] = None,
) -> None:
    from scraper_agent.importing import template as writing  # noqa: PLC0415 - 0.1 s that only this command needs

    target = out or Path(f"{key}.xlsx")
    written(target, writing.workbook(_format(key, context)))


def written(target: Path, made: bytes) -> None:
    try:
        with target.open("xb") as file:
            file.write(made)
    except FileExistsError:
        raise UsageError(
            "SA7101", N_("{path} exists and is not overwritten"), hint=N_("choose another name by --out"), path=target
        ) from None
    except OSError as error:
        raise UsageError(
            "SA7107",
            N_("{path} cannot be written: {reason}"),
            hint=N_("choose another folder"),
            path=target,
            reason=error.strerror,
        ) from error
    show.lines([str(target)])


File = Annotated[Path, typer.Argument(metavar="FILE", help=render(N_("A file .xlsx, .csv or .json.")))]


@commands.command(
    help=render(N_("Check a file against its format, and print everything found; nothing is kept or sent.")),
    epilog=example("format check orders.xlsx", "format check records.csv --pack must_check_1995 --tables mine.yaml"),
)
def check(
    context: typer.Context,
    file: File,
    wanted: Wanted = None,
    named: Annotated[
        str | None,
        typer.Option("--pack", help=render(N_("Also by a rule pack, such as must_check_1995.")), metavar="NAME"),
    ] = None,
    own: Annotated[
        Path | None, typer.Option("--tables", help=render(N_("The tables that the rule pack asks for.")))
    ] = None,
) -> None:
    tables = context.obj.tables()
    opened = _opened(context, file, wanted, complete=True)
    contents = opened.contents
    digest = canonical.digest(opened.body)
    errors = warnings = 0
    with SeenKeys() as seen:
        checker = None if named is None else _checker(named, own, contents.format, seen)
        documents = (entry.document(contents.format) for entry in contents.entries)
        readings = contents.readings(opened.name, digest)
        checked = packs.check(documents, contents.format, tables.context((), {}), checker)
        for each, reading in zip(checked, readings, strict=True):
            places = {origin.field: origin.target.removeprefix(f"{opened.name} ") for origin in reading.origins}
            key = mapping.business_key(reading, contents.format)
            for finding in _told_of(each, contents.format):
                place = places.get(finding.field, "")
                show.console.print(f"{show.plain(key)} {show.plain(place)} {show.finding(finding)}", soft_wrap=True)
                errors += finding.severity is Severity.ERROR
                warnings += finding.severity is not Severity.ERROR
    for left in checker.not_run if checker is not None else ():
        why = render(left.why.text, left.why.values)
        told = {"check": left.check, "content": left.content, "why": why}
        show.lines([render(N_("check {check} was not run ({content}): {why}"), told)])
    counts = {"count": len(contents.entries), "errors": errors, "warnings": warnings}
    show.lines([render(N_("{count} document(s), {errors} error(s), {warnings} warning(s)"), counts)])
    _tell_examples(contents.examples)
    if errors:
        raise typer.Exit(BusinessError.exit_code)


def _opened(context: typer.Context, file: Path, wanted: str | None, *, complete: bool = False) -> wiring.Filled:
    key = _format(wanted, context).name if wanted is not None else None
    return wiring.open_filled(file, key, context.obj.tables().formats, complete=complete)


def _checker(named: str, own: Path | None, format: Format, seen: SeenKeys) -> packs.Checker:
    if named not in packs.PACKS:
        raise UsageError(
            "SA7120",
            N_("there is no rule pack `{seen}`; there are {known}"),
            seen=named,
            known=", ".join(packs.PACKS),
        )
    pack = packs.named(named)
    if pack.format != format.name:
        raise UsageError(
            "SA7121",
            N_("the rule pack {pack} is for documents of {expected}, not of {seen}"),
            pack=named,
            expected=pack.format,
            seen=format.name,
        )
    return packs.checker(pack, packs.load_tables(own, pack) if own is not None else conditions.Tables(), seen)


def _told_of(checked: packs.Checked, format: Format) -> Iterator[Finding]:
    """All but those of fields that the agent fills, if it has still to fill them."""
    own = {field.id for field in format.header} - {field.id for field in layout.asked(format)}
    unfilled = own.isdisjoint(checked.document.header)
    for finding in checked.findings:
        if not (unfilled and finding.field in own):
            yield finding


def _tell_examples(count: int) -> None:
    if count:
        show.talk.print(render(N_("The template's example was passed over.")))


@commands.command(
    "import",
    help=render(N_("Take in the documents of a file as if they had been read from an ERP: all of them or none.")),
    epilog=example("format import orders.xlsx", "format import orders.csv --format purchaseOrder"),
)
def import_(context: typer.Context, file: File, wanted: Wanted = None, without_anchor: WithoutAnchor = "") -> None:
    take_in(context.obj.app(), _opened(context, file, wanted), file, without_anchor=without_anchor)


def take_in(
    app: App,
    opened: wiring.Filled,
    file: Path,
    made: Callable[[SqliteArchive], wiring.Filled] | None = None,
    *,
    without_anchor: str = "",
) -> None:
    """`made`: what is taken in, where it is made of what the file holds."""
    _tell_examples(opened.contents.examples)
    if not opened.contents.entries:
        raise BusinessError(
            "SA7119",
            N_("{path} holds no document"),
            hint=N_("fill in rows below the example, with the first column left empty"),
            path=file,
        )
    with app.archive() as archive, progress() as bar:
        session = Session(app=app, archive=archive, bar=bar)
        session.take_in(opened if made is None else made(archive), without_anchor=without_anchor)
        stopped = session.advance()
        amber = app.unanchored(archive)
    tell_unanchored(amber)
    show.console.print(show.closing(session.tallies, app.tables.formats))
    report(stopped)
    blocked = any(tally.states[State.BLOCKED] for tally in session.tallies.values())
    if blocked:
        show.talk.print(render(N_("Not everything is in order: `scraper-agent jobs --state blocked`, `log show`.")))
    if stopped or blocked:
        raise typer.Exit(stopped[0].exit_code if stopped else BusinessError.exit_code)


@commands.command(
    help=render(N_("Write an order, invoice, despatch or receipt as UBL 2.1 XML.")),
    epilog=example("format export 3f2a9c --out order.xml"),
)
def export(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help=render(N_("Its number (or the first digits), or its business key.")))],
    out: Annotated[Path, typer.Option("--out", "-o", help=render(N_("The file to write.")))],
) -> None:
    app: App = context.obj.app()
    with app.archive(read_only=True) as archive:
        found = find_job(archive, name)
        document = app.pipeline(archive, lambda _job, _fact: None).document(found)
    written(out, ubl.to_ubl(document, app.tables.formats[document.format]))
