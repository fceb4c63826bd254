"""`case list | show | months`: documents by business case, what a case lacks, what documents say of each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.table import Table

from scraper_agent import app as wiring
from scraper_agent import cases
from scraper_agent.analysis import Analysis, matching, periods
from scraper_agent.analysis.book import Book, shown
from scraper_agent.app import App
from scraper_agent.cases import Case, Paper
from scraper_agent.cli import show
from scraper_agent.cli.commands import example
from scraper_agent.console import words
from scraper_agent.formats import CODES, FORMATS
from scraper_agent.messages import N_, render
from scraper_agent.values import Finding

commands = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help=render(N_("Business cases: documents joined by contract, order and invoice number.")),
)

_AsJson = Annotated[bool, typer.Option("--json", help=render(N_("As JSON.")))]


@commands.command(
    "list",
    help=render(N_("List the business cases, their documents, and what each lacks.")),
    epilog=example("case list", "case list --incomplete --json"),
)
def list_(
    context: typer.Context,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help=render(N_("Only those that lack something.")))
    ] = False,
    as_json: _AsJson = False,
) -> None:
    book = _analysis(context.obj.app()).book
    listed = [(case, cases.missing(case, book.states, book.settings.cases)) for case in book.cases]
    listed = [(case, missing) for case, missing in listed if missing or not incomplete]
    if as_json:
        show.as_json([_as_json(case, missing, book) for case, missing in listed])
        return
    table = Table()
    table.add_column(render(N_("case")), overflow="fold")
    table.add_column(render(N_("documents")), overflow="fold")
    table.add_column(render(N_("complete")), no_wrap=True)
    table.add_column(render(N_("it lacks")), overflow="fold")
    for case, missing in listed:
        counts = Counter(paper.format for paper in case.all if book.there(paper))
        documents = "\n".join(f"{_format(format)} {count}" for format, count in counts.items())
        table.add_row(show.plain(case.name), documents, _yes_or_no(missing), _formats(missing))
    show.console.print(table)


@commands.command(
    "show",
    help=render(N_("Show one business case: documents, obligations, three-way match, and what else is strange.")),
    epilog=example("case show PO202603-0019"),
)
def show_(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help=render(N_("A contract, order or invoice number, or one of its documents.")))
    ],
    as_json: _AsJson = False,
) -> None:
    analysis = _analysis(context.obj.app())
    book = analysis.book
    case = cases.find(book.cases, name)
    missing = cases.missing(case, book.states, book.settings.cases)
    obligations = list(cases.findings(case, book.states, book.settings.cases))
    found = [(paper, finding) for paper in case.all if book.there(paper) for finding in analysis.findings(paper.id)]
    rows = matching.table(case, book)
    if as_json:
        data = _as_json(case, missing, book)
        data["obligations"] = [_finding_as_json(finding) for finding in obligations]
        data["match"] = [_row_as_json(row) for row in rows]
        data["findings"] = [{"document": paper.id, **_finding_as_json(finding)} for paper, finding in found]
        show.as_json(data)
        return
    told = N_("case {case}: complete") if not missing else N_("case {case}: not complete; it lacks {missing}")
    show.lines([render(told, {"case": case.name, "missing": _formats(missing, ", ")})])
    show.console.print(_documents(case.all, book))
    if rows:
        show.console.print(_match(rows))
    for finding in obligations:
        show.console.print(show.finding(finding))
    for paper, finding in found:
        show.console.print(f"{show.plain(book.title(paper))}: {show.finding(finding)}")


@commands.command(
    "months",
    help=render(N_("Compare how many documents each month has, and what they sum up to, with the month before.")),
    epilog=example("case months"),
)
def months(context: typer.Context, as_json: _AsJson = False) -> None:
    book = _analysis(context.obj.app()).book
    found = periods.months(book, wiring.now().astimezone().date())
    if as_json:
        show.as_json(
            [
                {
                    "format": month.format,
                    "month": month.month,
                    "documents": month.count,
                    "sums": {currency: shown(value) for currency, value in month.sums.items()},
                    "whole": month.whole,
                    "findings": [_finding_as_json(finding) for finding in month.findings],
                }
                for month in found
            ]
        )
        return
    table = Table()
    table.add_column(render(N_("format")), overflow="fold")
    table.add_column(render(N_("month")), no_wrap=True)
    table.add_column(render(N_("documents")), justify="right", no_wrap=True)
    table.add_column(render(N_("sums")), justify="right", no_wrap=True)
    table.add_column(render(N_("against the month before")), overflow="fold")
    for month in found:
        sums = "\n".join(f"{shown(value)} {show.plain(currency)}" for currency, value in month.sums.items())
        said = "\n".join(f"{f.code} {render(f.text, f.values)}" for f in month.findings)
        if not month.whole:
            said = render(N_("not over yet"))
        table.add_row(_format(month.format), month.month, str(month.count), sums, show.plain(said))
    show.console.print(table)


def _analysis(app: App) -> Analysis:
    with app.archive(read_only=True) as archive:
        return app.pipeline(archive, lambda _job, _fact: None).analysis()


# --- how it is shown ------------------------------------------------------------------------------------------------


def _format(name: str) -> str:
    return show.named(FORMATS[name]) if name in FORMATS else name


def _formats(missing: Iterable[str], between: str = "\n") -> str:
    """Of what a case lacks, the names; one of several is enough where `/` stands."""
    return between.join("/".join(map(_format, each.split("/"))) for each in missing)


def _yes_or_no(missing: tuple[str, ...]) -> str:
    word, colour = (N_("no"), "yellow") if missing else (N_("yes"), "green")
    return f"[{colour}]{render(word)}[/]"


def _documents(papers: Iterable[Paper], book: Book) -> Table:
    table = Table()
    for head, whole in ((N_("job"), True), (N_("format"), False), (N_("number"), False), (N_("date"), True)):
        table.add_column(render(head), overflow="fold", no_wrap=whole)
    table.add_column(render(N_("state")), no_wrap=True)
    for paper in papers:
        day = book.day(paper)
        table.add_row(
            show.short(paper.id),
            _format(paper.format),
            show.plain(paper.key),
            day.isoformat() if day else "",
            words.state_name(book.states[paper.id]),
        )
    return table


def _match(rows: Iterable[matching.Row]) -> Table:
    table = Table(title=render(N_("Order, invoice and receipt")), title_justify="left")
    table.add_column(render(N_("material")), overflow="fold")
    heads = (
        N_("order line"),
        N_("unit"),
        N_("ordered"),
        N_("invoiced"),
        N_("received"),
        N_("with rejected, short"),
        N_("order price"),
        N_("invoice price"),
    )
    for head in heads:
        table.add_column(render(head), justify="right", overflow="fold")
    for row in rows:
        quantities = (row.ordered, row.invoiced, row.received, row.accounted)
        table.add_row(
            show.plain(row.material),
            show.plain(row.reference),
            _unit(row.unit),
            *map(_quantity, quantities),
            *("\n".join(map(shown, prices)) for prices in (row.order_prices, row.invoice_prices)),
        )
    return table


def _unit(code: str) -> str:
    known = CODES["unit"].codes.get(code)
    return f"{code} {known.zh}" if known else show.plain(code)


def _quantity(value: Decimal | None) -> str:
    return "-" if value is None else shown(value)


# --- as JSON --------------------------------------------------------------------------------------------------------


def _as_json(case: Case, missing: tuple[str, ...], book: Book) -> dict[str, Any]:
    return {
        "case": case.name,
        "numbers": {kind: list(values) for kind, values in case.numbers.items()},
        "complete": not missing,
        "missing": list(missing),
        "documents": [_paper_as_json(paper, book) for paper in case.all],
    }


def _paper_as_json(paper: Paper, book: Book) -> dict[str, str | None]:
    day = book.day(paper)
    return {
        "id": paper.id,
        "format": paper.format,
        "number": paper.key,
        "date": day.isoformat() if day else None,
        "state": book.states[paper.id].value,
    }


def _row_as_json(row: matching.Row) -> dict[str, Any]:
    quantities = {
        "ordered": row.ordered,
        "invoiced": row.invoiced,
        "received": row.received,
        "accounted": row.accounted,
    }
    return {
        "material": row.material,
        "order_line": row.reference or None,
        "unit": row.unit,
        **{name: None if value is None else shown(value) for name, value in quantities.items()},
        "order_prices": [shown(price) for price in row.order_prices],
        "invoice_prices": [shown(price) for price in row.invoice_prices],
    }


def _finding_as_json(finding: Finding) -> dict[str, str]:
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "field": finding.field,
        "text": render(finding.text, finding.values),
    }
