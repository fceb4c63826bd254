"""Who decides at this terminal, what became of it, and one approval of many documents."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal

from rich.table import Table

from scraper_agent import app as wiring
from scraper_agent import approval, mapping, people
from scraper_agent.app import App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.cli import show
from scraper_agent.console import words
from scraper_agent.messages import N_, render
from scraper_agent.people import Role
from scraper_agent.pipeline import Pipeline
from scraper_agent.values import Digest, Draft, Endorsed, Job, JobId, Verdict, state


def tell(app: App, id: JobId) -> None:
    """One line of where a document stands now, and what is still needed."""
    with app.archive(read_only=True) as archive:
        _told(app.pipeline(archive, lambda _job, _fact: None), archive.job(id))


def _told(pipeline: Pipeline, job: Job) -> None:
    document = pipeline.document(job)
    total = mapping.amount(document, pipeline.formats[document.format])
    amount = f"{total[1]} {total[0]}" if total else ""
    keys = (fact.key for fact in job.facts if isinstance(fact, Draft))
    line = f"{show.short(job.id)}  {next(keys)}  {amount}  {words.state_name(state(job))}"
    show.console.print(show.visible(line), markup=False, soft_wrap=True)
    if isinstance(job.last, Endorsed):
        show.talk.print(render(N_("A second person has to approve it as well.")), markup=False)
    if isinstance(job.last, Verdict):
        for finding in job.last.findings:
            show.talk.print(show.finding(finding))


def approve_batch(app: App, archive: SqliteArchive, run: JobId | None, digest: str | None, reason: str) -> None:
    """Show what waits for one approval together; with the digest that was shown, approve it."""
    who = wiring.account()
    people.require(app.policy.people, who, Role.APPROVER)
    pipeline = app.pipeline(archive, lambda _job, _fact: None)
    batch = pipeline.batch(run)
    show.console.print(_counted(pipeline, batch))
    if digest is not None:
        done = pipeline.decide_batch(batch, shown=Digest(digest), by=who, reason=reason)
        text = N_("{count} document(s) are approved; they leave with the next `send`.")
        show.console.print(render(text, {"count": len(done)}), markup=False)
    elif batch.documents:
        said = f"approve {f'--run {run}' if run is not None else '--all'} --digest {batch.digest}"
        text = N_("To approve exactly these: `scraper-agent {command}`.")
        show.talk.print(show.visible(render(text, {"command": said})), markup=False, soft_wrap=True)


def _counted(pipeline: Pipeline, batch: approval.Batch) -> Table:
    counts: Counter[str] = Counter()
    sums: defaultdict[str, dict[str, Decimal]] = defaultdict(dict)
    for id, _ in batch.documents:
        document = pipeline.document(pipeline.archive.job(id))
        counts[document.format] += 1
        total = mapping.amount(document, pipeline.formats[document.format])
        if total is not None:
            currency, amount = total
            sums[document.format][currency] = sums[document.format].get(currency, Decimal(0)) + amount
    table = Table(title=render(N_("What one approval is about")), title_justify="left")
    for head in (N_("format"), N_("documents"), N_("sum")):
        table.add_column(render(head), overflow="fold")
    for format, count in counts.items():
        amounts = ", ".join(f"{amount} {currency}" for currency, amount in sums[format].items())
        table.add_row(show.named(pipeline.formats[format]), str(count), amounts)
    return table
