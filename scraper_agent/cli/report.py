"""`report`: what was read and what became of it, as one HTML file for operator, manager and auditor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scraper_agent import app as wiring
from scraper_agent import report
from scraper_agent.app import App
from scraper_agent.archive import verify as verifying
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.cli import show
from scraper_agent.cli.commands import example
from scraper_agent.errors import UsageError
from scraper_agent.messages import N_, render
from scraper_agent.values import JobId

commands = typer.Typer()


@commands.command(
    "report",
    help=render(N_("Write one HTML file with what was read, what became of it, and the pages' images.")),
    epilog=example("report", "report --runs 3 --out monday.html"),
)
def write_report(
    context: typer.Context,
    runs: Annotated[int, typer.Option(min=1, help=render(N_("How many of the newest runs.")))] = 1,
    out: Annotated[Path, typer.Option(help=render(N_("The file to write.")))] = Path("report.html"),
) -> None:
    app: App = context.obj.app()
    with app.archive(read_only=True) as archive:
        newest = archive.runs()[-runs:]
        if not newest:
            raise UsageError(
                "SA7110", N_("nothing has been read yet"), hint=N_("`scraper-agent run RECIPE` reads the ERP")
            )
        documents = [id for run in newest for id in archive.documents(run=run)]
        write(app, archive, newest, documents, out)
    show.console.print(str(out), markup=False, soft_wrap=True)


def write(app: App, archive: SqliteArchive, runs: list[JobId], documents: list[JobId], path: Path) -> verifying.Report:
    """Verify the log and write the report on these jobs; returns what the verification found."""
    found = verifying.verify(app.home / app.config.archive)
    pipeline = app.pipeline(archive, lambda _job, _fact: None)
    reasons = {id: pipeline.held_because(archive.job(id)) for id in documents}
    report.write(
        path,
        archive,
        runs,
        documents,
        app.tables.formats,
        now=wiring.now(),
        verified=report.Verified(
            entries=found.entries,
            root=found.head.root.hex() if found.head else "",
            problems=tuple(map(str, found.problems)),
        ),
        held_because={id: [render(text, values) for text, values in why] for id, why in reasons.items() if why},
    )
    return found
