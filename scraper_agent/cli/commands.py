"""The commands of everyday work: init, run, jobs, approve, decline, log; and the groups beside them."""

from __future__ import annotations

import getpass
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, assert_never

import typer
from loguru import logger
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

import scraper_agent
from scraper_agent import app as wiring
from scraper_agent import completeness, formats
from scraper_agent import control as controls
from scraper_agent.analysis import periods
from scraper_agent.app import App
from scraper_agent.archive import verify as verifying
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.authoring.load import Loaded
from scraper_agent.cli import INTERRUPTED, approving, parameters, show, witnessing
from scraper_agent.console import words
from scraper_agent.errors import AgentError, BusinessError, UsageError
from scraper_agent.formats import FORMATS
from scraper_agent.messages import N_, render
from scraper_agent.pipeline import Harvest, Pipeline
from scraper_agent.values import (
    ControlFact,
    Draft,
    Endorsed,
    Envelope,
    Excluded,
    Fact,
    Halted,
    Held,
    Job,
    JobId,
    ListRead,
    Parked,
    Paused,
    Refused,
    Resumed,
    Retry,
    RunEnded,
    RunStarted,
    Snapshot,
    State,
    Verdict,
    in_force,
    state,
)

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, and so passwords
    help=render(N_("Read ERP pages with query rights alone; map, check, sign and send standard documents.")),
    rich_markup_mode=None,
)
log = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help=render(N_("The audit log: every fact in order, under a Merkle tree.")),
)
cli.add_typer(log, name="log")


def example(*lines: str) -> str:
    """The epilog of a command's help."""
    return render(N_("Example: ")) + "; ".join(f"scraper-agent {line}" for line in lines)


@dataclass(slots=True)
class Options:
    config: Path
    apps: list[App] = field(default_factory=list)

    def app(self) -> App:
        """The configured agent, loaded once."""
        if not self.apps:
            loaded = App.load(self.config, prompt=_prompt, tell=_tell)
            loaded.notice = _notice
            log_to(loaded)
            self.apps.append(loaded)
        return self.apps[0]

    def close(self) -> None:
        for app in self.apps:
            app.close()

    def tables(self) -> formats.Tables:
        """The formats as the config has them; as they come where there is none."""
        return self.app().tables if self.config.exists() else formats.PACKAGED


def _version(value: bool) -> None:
    if value:
        typer.echo(scraper_agent.__version__)
        raise typer.Exit


@cli.callback()
def root(
    context: typer.Context,
    config: Annotated[
        Path, typer.Option("--config", "-c", help=render(N_("The config file.")), show_default=True)
    ] = Path("config.yaml"),
    lang: Annotated[str, typer.Option(help=render(N_("Language of messages: en or zh.")))] = "",  # noqa: ARG001 - read before
    version: Annotated[  # noqa: ARG001 - acts by its callback
        bool, typer.Option("--version", callback=_version, is_eager=True, help=render(N_("Show the version.")))
    ] = False,
) -> None:
    context.obj = Options(config=config)
    context.call_on_close(context.obj.close)


# --- what people are told -------------------------------------------------------------------------------------------


def _prompt(name: str) -> str:
    if not sys.stdin.isatty():
        return wiring.nobody(name)
    return getpass.getpass(render(N_("{name}: "), {"name": name}))


def _notice(fact: ControlFact) -> None:
    """What runs stands still or goes on, and who wanted it."""
    values = {"by": controls.told(fact.by), "reason": fact.reason or "-"}
    match fact:
        case Paused():
            told = render(N_("Paused by {by}: {reason}; `scraper-agent resume` lets it go on."), values)
        case Halted():
            told = render(N_("Stopped by {by}: {reason}."), values)
        case Resumed():
            told = render(N_("Resumed by {by}."), values)
        case unknown:
            assert_never(unknown)
    show.talk.print(show.visible(told), markup=False, soft_wrap=True)
    logger.info("{} by {} via {}", type(fact).__name__, show.visible(fact.by), show.visible(fact.via))


def _tell(step: str) -> None:
    show.talk.print(render(N_("installing a browser by {step} …"), {"step": step}))


logger.remove()  # its own sink shows local variables, and so secrets


def log_to(app: App) -> None:
    """The running log of this process: what happened, without values of local variables and without secrets.

    It takes the place of the one before.
    """
    logger.remove()

    def clean(record: Any) -> bool:
        for secret in app.known_secrets:
            record["message"] = record["message"].replace(secret, "***")
        return True

    logger.add(
        app.home / app.config.log,
        diagnose=False,
        backtrace=False,
        rotation="10 MB",
        retention=timedelta(days=app.policy.retention.logs_days),
        filter=clean,
        delay=True,
    )


def log_error(error: AgentError) -> None:
    logger.error("{} {}", error.code, show.visible(error.sentence).replace("\n", " "))


@contextmanager
def progress() -> Iterator[Progress]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=show.talk, transient=False) as bar:
        yield bar


# --- init -----------------------------------------------------------------------------------------------------------


@cli.command(help=render(N_("Write a config and a policy to start from.")), epilog=example("init", "key new"))
def init(
    folder: Annotated[Path, typer.Argument(help=render(N_("Where to; made if it is not there.")))] = Path(),
) -> None:
    texts = {folder / f"{name}.yaml": _template(name) for name in ("config", "policy")}
    for target in texts:
        if target.exists():
            raise UsageError(
                "SA7101", N_("{path} exists and is not overwritten"), hint=N_("choose another folder"), path=target
            )
    try:
        (folder / "recipes").mkdir(parents=True, exist_ok=True)
        for target, text in texts.items():
            with target.open("x", encoding="utf-8") as file:
                file.write(text)
            show.console.print(str(target), markup=False, soft_wrap=True)
    except OSError as error:
        raise UsageError(
            "SA7107",
            N_("{path} cannot be written: {reason}"),
            hint=N_("choose another folder"),
            path=error.filename or folder,
            reason=error.strerror,
        ) from error
    show.talk.print(
        render(N_("Next: fill in config.yaml and policy.yaml, then `scraper-agent key new` and `policy sign`."))
    )


def _template(name: str) -> str:
    """`<name>.example.yaml`: in the package, or in a checkout at its top."""
    inside = resources.files("scraper_agent") / f"{name}.example.yaml"
    if inside.is_file():
        return inside.read_text(encoding="utf-8")
    return (Path(scraper_agent.__file__).parent.parent / f"{name}.example.yaml").read_text(encoding="utf-8")


# --- run ------------------------------------------------------------------------------------------------------------

WithoutAnchor = Annotated[
    str,
    typer.Option(
        "--without-anchor",
        metavar="REASON",
        help=render(N_("Go on although no witness has seen the log for too long; why goes into the log.")),
    ),
]


@cli.command(
    help=render(N_("Read the ERP by one or more recipes; check, approve by policy, sign and send.")),
    epilog=example("run demo/order demo/invoice", "run demo/order --dry-run --max-documents 5"),
    context_settings={"ignore_unknown_options": True},  # those are parameters of the recipes
)
def run(  # noqa: PLR0913, PLR0917 - as the command line has them
    context: typer.Context,
    recipes: Annotated[list[str], typer.Argument(help=render(N_("Names such as demo/order, or files.")))],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help=render(N_("A parameter of the recipe: name=value.")))
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help=render(N_("Read from this day on, YYYY-MM-DD; default: since the last complete run."))),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help=render(N_("Read everything, not only what is new.")))] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=render(N_("Read, map and check; send nothing.")))] = False,
    max_documents: Annotated[
        int | None, typer.Option("--max-documents", min=1, help=render(N_("Stop after so many documents a recipe.")))
    ] = None,
    without_anchor: WithoutAnchor = "",
) -> None:
    app: App = context.obj.app()
    names, options = parameters.split(recipes)
    loaded = [app.recipe(name) for name in names]
    given = parameters.given(loaded, options, dict(assignment(text) for text in set_ or []))
    planned = [(each, app.parameters(each, given)) for each in loaded]
    failed: AgentError | None = None
    stopped: list[AgentError] = []
    with app.archive() as archive, progress() as bar:
        session = Session(app=app, archive=archive, bar=bar)
        # An ERP that failed once is not tried again: a second wrong password may lock the account.
        try:
            for each, values in planned:
                rule = each.recipe.since
                day = since if since or rule is None else given.get(rule.parameter)
                begun = app.since(archive, each, values, day, full=full)
                session.harvest(
                    each, begun, dry_run=dry_run, most_documents=max_documents, without_anchor=without_anchor
                )
        except AgentError as error:
            failed = error
        try:
            stopped = session.advance(dry_run=dry_run)
        except AgentError as error:
            failed = failed or error
        amber = app.unanchored(archive)
    tell_unanchored(amber)
    if session.tallies:
        show.console.print(show.closing(session.tallies, FORMATS))
    show.talk.print(render(N_("{count} request(s) of the pages were refused."), {"count": session.refused}))
    if session.refused and session.runs:
        show.talk.print(show.visible(render(N_("`scraper-agent job {run}` lists them."), {"run": session.runs[-1]})))
    report(stopped)
    if failed is not None:
        raise failed
    wrong = session.incomplete or any(t.refused_pages or t.states[State.BLOCKED] for t in session.tallies.values())
    if wrong:
        show.talk.print(render(N_("Not everything is in order: `scraper-agent jobs --state blocked`, `log show`.")))
    if stopped or wrong:
        raise typer.Exit(stopped[0].exit_code if stopped else BusinessError.exit_code)


def assignment(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise UsageError("SA7102", N_("`{seen}` is not name=value"), seen=text)
    return name, value


def tell_unanchored(amber: str) -> None:
    """What `App.unanchored` says, if anything."""
    if amber:
        show.talk.print(amber, style="yellow", markup=False, soft_wrap=True)


def report(stopped: list[AgentError]) -> None:
    """Errors that ended single jobs, each kind once, with how often."""
    for told, count in Counter(str(e) for e in stopped).items():
        show.talk.print(show.visible(f"{count} × {told}" if count > 1 else told), markup=False, soft_wrap=True)
    for error in stopped:
        log_error(error)


@contextmanager
def _between_facts() -> Iterator[Callable[[], None]]:
    """Obeys Ctrl-C when the check that this gives is called next, and without delay the second time.

    Raised in the middle of the browser's own callbacks, a KeyboardInterrupt would be lost, and the run would hang.
    """
    asked = threading.Event()

    def check() -> None:
        if asked.is_set():
            raise KeyboardInterrupt

    def hear(_signal: int, _frame: object) -> None:
        if asked.is_set():
            os._exit(INTERRUPTED)  # as good as a kill: every fact is on the disk
        asked.set()
        told = render(N_("Ending after this page; Ctrl-C again ends at once."))
        os.write(2, f"\n{told}\n".encode())  # printing is not safe in the middle of printing

    if threading.current_thread() is not threading.main_thread():
        yield check  # signals are the main thread's
        return
    before = signal.signal(signal.SIGINT, hear)
    try:
        yield check
    except Exception as error:
        if asked.is_set():  # the browser hears Ctrl-C as well, and is gone
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass(kw_only=True)
class Session:
    """Harvests, then advances, with progress bars; counts for the closing table."""

    app: App
    archive: SqliteArchive
    bar: Progress
    tallies: dict[str, show.Tally] = field(default_factory=dict)
    runs: list[JobId] = field(default_factory=list)
    documents: dict[JobId, None] = field(default_factory=dict)
    incomplete: bool = False
    refused: int = 0
    """Requests that were not let through."""

    def harvest(
        self,
        loaded: Loaded,
        parameters: dict[str, str],
        *,
        dry_run: bool = False,
        most_documents: int | None = None,
        without_anchor: str = "",
    ) -> Harvest:
        format = loaded.format
        task = self.bar.add_task(render(N_("reading {what}"), {"what": show.named(format)}), total=most_documents)

        def watch(job: JobId, fact: Fact) -> None:
            check()
            match fact:
                case Draft():
                    self.documents[job] = None  # even if the harvest fails before its end
                case Refused():
                    self.refused += 1
                case ListRead(harvested=total) if most_documents is None:
                    self.bar.update(task, total=total)
                case Snapshot(name=name) if name == loaded.recipe.document.page:
                    self.bar.advance(task)
                case RunStarted():
                    self.runs.append(job)
                case RunEnded(documents=done, complete=complete):
                    self.bar.update(task, total=max(done, 1), completed=max(done, 1))
                    logger.info("{} {} documents, complete={}", loaded.recipe.recipe, done, complete)
                case _:
                    pass

        with _between_facts() as check:
            _, found = self.app.harvest(
                self.archive,
                loaded,
                parameters,
                watch,
                dry_run=dry_run,
                most_documents=most_documents,
                without_anchor=without_anchor,
            )
        tally = self.tallies.setdefault(format.name, show.Tally())
        tally.read += len(found.documents)
        tally.refused_pages += found.faults
        tally.refused_requests += found.refused
        self.documents.update(dict.fromkeys(found.documents))
        self.incomplete |= not found.complete and most_documents is None
        return found

    def take_in(self, file: wiring.Filled, *, without_anchor: str = "") -> Harvest:
        """Documents that people wrote into a file."""
        name = file.contents.format.name
        task = self.bar.add_task(
            render(N_("reading {what}"), {"what": show.named(file.contents.format)}), total=len(file.contents.entries)
        )

        def watch(_job: JobId, fact: Fact) -> None:
            if isinstance(fact, Draft):
                self.bar.advance(task)

        run, found = self.app.take_in(self.archive, file, watch, without_anchor=without_anchor)
        self.runs.append(run)
        logger.info("{} {} documents", run, len(found.documents))
        self.tallies.setdefault(name, show.Tally()).read += len(found.documents)
        self.documents.update(dict.fromkeys(found.documents))
        return found

    def advance(self, *, dry_run: bool = False) -> list[AgentError]:
        says = N_("checking") if dry_run else N_("checking, signing, sending")
        task = self.bar.add_task(render(says), total=len(self.documents))
        pipeline = self.app.pipeline(self.archive, lambda _job, _fact: None)
        if not dry_run and self.documents:
            self.documents.update(dict.fromkeys(pipeline.companions(self.documents)))
            self.bar.update(task, total=len(self.documents))
            self._tell_months(pipeline)

        def each() -> Iterator[JobId]:
            for id in self.documents:
                yield id
                self.bar.advance(task)

        try:
            return self.app.advance(pipeline, each(), dry_run=dry_run)
        finally:
            for id in self.documents:
                self.tallies.setdefault(id.split("/")[1], show.Tally()).states[state_of(self.archive, id)] += 1

    def _tell_months(self, pipeline: Pipeline) -> None:
        """What is strange about the last whole month of what is about to be sent: told before it leaves."""
        formats = {id.split("/")[1] for id in self.documents}
        found = periods.months(pipeline.analysis().book, wiring.now().astimezone().date())
        for month in periods.strange(found):
            if month.format in formats:
                for finding in month.findings:
                    told = f"{show.finding(finding)}; `scraper-agent case months`"
                    show.talk.print(told, soft_wrap=True)


# --- jobs -----------------------------------------------------------------------------------------------------------


@cli.command(help=render(N_("List the documents and where each stands.")), epilog=example("jobs", "jobs --state held"))
def jobs(
    context: typer.Context,
    wanted: Annotated[State | None, typer.Option("--state", help=render(N_("Only those in this state.")))] = None,
    format: Annotated[str | None, typer.Option("--format", help=render(N_("Only of this format.")))] = None,
) -> None:
    app: App = context.obj.app()
    if format is not None and format not in FORMATS:
        raise UsageError(
            "SA7108",
            N_("there is no format `{seen}`; there are {known}"),
            seen=format,
            known=", ".join(FORMATS),
        )
    with app.archive(read_only=True) as archive:
        pipeline = app.pipeline(archive, lambda _job, _fact: None)
        kinds = _LAST[wanted] if wanted is not None else set().union(*_LAST.values())
        found = (archive.job(each.id) for each in archive.states(format=format) if each.last in kinds)
        listed = [(job, _why(job, pipeline.held_because)) for job in found if wanted in (None, state(job))]
        waiting = [(id, fact) for id in archive.runs() if isinstance(fact := archive.last(id), Parked)]
    show.console.print(show.jobs(listed))
    for id, fact in waiting:
        show.console.print(f"{id}  {show.parked(fact)}", markup=False, soft_wrap=True)


_LAST = {
    State.READ: {"Draft", "Released", "Excluded"},
    State.BLOCKED: {"Verdict"},
    State.HELD: {"Verdict", "Endorsed"},
    State.ON_HOLD: {"Held", "Excluded"},
    State.APPROVED: {"Approval"},
    State.DECLINED: {"Approval"},
    State.SIGNED: {"Envelope"},
    State.UNKNOWN: {"Attempt"},
    State.DELIVERED: {"Delivered"},
    State.WAITING: {"Retry"},
    State.DEAD: {"DeadLetter"},
    State.RECEIPTED: {"Receipt"},
    State.REJECTED: {"Receipt"},
    State.STOPPED: {"Failure"},
}
"""The kinds of the last fact in each state, which the archive's index knows: the other jobs are not even opened."""


def state_of(archive: SqliteArchive, id: JobId) -> State:
    last = archive.last(id)
    return state(Job(id=id, facts=(last,) if last is not None else ()))


def _why(job: Job, held_because: Callable[[Job], Any]) -> str:
    last = job.last
    if isinstance(last, Verdict) and last.blocked:
        return show.findings(last)
    if isinstance(last, Verdict | Endorsed | Held | Excluded):
        try:
            return "; ".join(render(text, values) for text, values in held_because(job))
        except AgentError as error:
            return error.sentence
    told = [str(getattr(last, "reason", "") or getattr(last, "message", ""))]
    if isinstance(last, Envelope | Retry):
        told += [render(text, values) for text, values in held_because(job)]
    return "; ".join(filter(None, told))


FEWEST_DIGITS = 4
"""Of a job's number that name it: with fewer, a slip of a finger would name another."""


def find_job(archive: SqliteArchive, name: str) -> Job:
    """A document by its number, the beginning of it, or its business key.

    Raises:
        UsageError: none or several are called so.
    """
    states = archive.states()
    found = [s.id for s in states if name in (s.id, s.key)]
    if not found and len(name) >= FEWEST_DIGITS:
        found = [s.id for s in states if s.id.rpartition("/")[2].startswith(name)]
    return archive.job(the_one(found, name))


def the_one(found: list[JobId], name: str) -> JobId:
    """Raises UsageError: none or several are called `name`."""
    if len(found) != 1:
        raise UsageError(
            "SA7103",
            N_("{count} documents are called `{name}`"),
            hint=N_("`scraper-agent jobs` shows their numbers"),
            count=len(found),
            name=name,
        )
    return found[0]


def job_show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help=render(N_("Its number (or the first digits), or its business key.")))],
    origins: Annotated[
        bool, typer.Option("--origins", help=render(N_("Also where on which page each value was read.")))
    ] = False,
) -> None:
    app: App = context.obj.app()
    with app.archive(read_only=True) as archive:
        if name.startswith("run/"):
            _show_run(archive.job(_job(archive, name)))
            return
        found = find_job(archive, name)
        pipeline = app.pipeline(archive, lambda _job, _fact: None)
        draft = draft_of(found)
        show.console.print(show.document(pipeline.document(found), app.tables.formats[draft.format]))
        for fact in found.facts:
            if isinstance(fact, Verdict):
                for finding in fact.findings:
                    show.console.print(show.finding(finding))
        show.console.print(
            f"{found.id}  {words.state_name(state(found))}  {in_force(found)}", markup=False, soft_wrap=True
        )
        why = _why(found, pipeline.held_because)
        if why:
            show.console.print(show.plain(why))
        for line in show.certified(pipeline.lists(found)):
            show.console.print(show.plain(line))
        for line in show.refused(archive.job(draft.run).facts):
            show.console.print(line, markup=False, soft_wrap=True)
        for fact in found.facts:
            show.console.print(show.fact(fact), markup=False, soft_wrap=True)
        if origins:
            show.origins(found, archive.get(draft.provenance), app.tables.formats[draft.format])


def _show_run(job: Job) -> None:
    """What a run waits for, which requests were refused, and its facts."""
    if isinstance(job.last, Parked):
        show.console.print(show.parked(job.last), markup=False, soft_wrap=True)
    for line in show.certified(completeness.counting(job.facts)):
        show.console.print(show.plain(line))
    for line in show.refused(job.facts):
        show.console.print(line, markup=False, soft_wrap=True)
    for fact in job.facts:
        if not isinstance(fact, Refused):
            show.console.print(show.fact(fact), markup=False, soft_wrap=True)


def draft_of(job: Job) -> Draft:
    first = job.facts[0]
    if not isinstance(first, Draft):
        raise UsageError("SA7104", N_("{id} is not a document"), id=job.id)
    return first


@cli.command(
    help=render(N_("Approve a document that waits, or all of a run together; it leaves with the next `send`.")),
    epilog=example("approve 3f2a9c --reason checked", "approve --all"),
)
def approve(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help=render(N_("Its number (or the first digits), or its business key.")))
    ] = None,
    reason: Annotated[str, typer.Option(help=render(N_("Why; goes into the log.")))] = "",
    digest: Annotated[
        str | None,
        typer.Option(
            help=render(N_("Digest of the document, or of the whole, that was shown; refused if it is another."))
        ),
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", help=render(N_("All of this run that waits for one approval together.")))
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help=render(N_("The same of all runs.")))] = False,
) -> None:
    if (name is not None) + (run is not None) + all_ != 1:
        raise UsageError("SA7162", N_("name one document, or a run with `--run`, or say `--all`"))
    if name is None:
        app: App = context.obj.app()
        with app.archive() as archive:
            approving.approve_batch(app, archive, None if run is None else _job(archive, run), digest, reason)
        return
    _decide(context, name, "approve", digest, reason)


@cli.command(
    help=render(N_("Decline a document that waits; it will not leave.")),
    epilog=example('decline 3f2a9c --reason "price is being corrected"'),
)
def decline(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help=render(N_("Its number (or the first digits), or its business key.")))],
    reason: Annotated[str, typer.Option(help=render(N_("Why; goes into the log.")))],
    digest: Annotated[
        str | None, typer.Option(help=render(N_("Digest of the document that was shown; refused if it is another.")))
    ] = None,
) -> None:
    _decide(context, name, "decline", digest, reason)


def _decide(context: typer.Context, name: str, do: str, digest: str | None, reason: str) -> None:
    app: App = context.obj.app()
    with app.archive(read_only=True) as archive:
        found = find_job(archive, name)
    have_done(app, do, (found.id,), {"shown": digest or in_force(found), "reason": reason})
    approving.tell(app, found.id)


def have_done(app: App, do: str, targets: Sequence[str], values: Mapping[str, str]) -> None:
    """By this account, also while another process writes the archive.

    Raises:
        AgentError: the first that was not done, once the others are.
    """
    for outcome in app.desk.do(do, targets, wiring.account(), values):
        if outcome.error is not None:
            raise outcome.error


# --- log ------------------------------------------------------------------------------------------------------------


@log.command("show", help=render(N_("Print facts in order, one a line.")), epilog=example("log show --last 20"))
def log_show(
    context: typer.Context,
    name: Annotated[str | None, typer.Option("--job", help=render(N_("Only of this document or run.")))] = None,
    last: Annotated[int | None, typer.Option(min=1, help=render(N_("Only so many, from the end.")))] = None,
) -> None:
    app: App = context.obj.app()
    with app.archive(read_only=True) as archive:
        wanted: JobId | None = None
        if name is not None:
            wanted = _job(archive, name)
        start = max(0, archive.head().size - last) if last is not None and wanted is None else 0
        entries = (entry for entry in archive.entries(start) if wanted in (None, entry.job))
        for entry in entries if last is None else deque(entries, maxlen=last):
            at = entry.at.astimezone().isoformat(timespec="seconds")
            where = entry.job if entry.job.startswith(("run/", "recipe/")) else show.short(entry.job)
            typer.echo(f"{entry.index:>7} {at} {show.visible(where)} {show.fact(entry.fact)}")


def _job(archive: SqliteArchive, name: str) -> JobId:
    """A job by its whole number, such as `run/…`, `session/…` or `keys`; else a document."""
    if archive.length(JobId(name)):
        return JobId(name)
    if name.startswith("run/"):
        raise UsageError(
            "SA7109",
            N_("there is no run `{name}`; the newest is {newest}"),
            hint=N_("`scraper-agent log show` shows their numbers"),
            name=name,
            newest=next(reversed(archive.runs()), "-"),
        )
    return find_job(archive, name).id


@log.command(
    "verify",
    help=render(N_("Recompute the whole log and its tree, and check every stored body.")),
    epilog=example("log verify"),
)
def log_verify(
    context: typer.Context,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help=render(N_("The file that `log enrol` made: every MAC is checked."))),
    ] = None,
    mail: Annotated[
        list[Path] | None,
        typer.Option(
            "--mail",
            metavar="FILE",
            help=render(N_("A mail with a checkpoint as it was saved (.eml), or a folder of them; may be repeated.")),
        ),
    ] = None,
) -> None:
    app: App = context.obj.app()
    found = verifying.verify(app.home / app.config.archive)
    for problem in found.problems:
        show.console.print(show.visible(str(problem)), markup=False, soft_wrap=True)
    root = found.head.root.hex() if found.head else "-"
    show.console.print(
        render(
            N_("{entries} facts, {blobs} bodies, root {root}"),
            {"entries": found.entries, "blobs": found.blobs, "root": root},
        ),
        soft_wrap=True,
    )
    if found.erased:
        told = N_("{count} bodies are erased, as the log says.")
        show.console.print(render(told, {"count": found.erased}), markup=False)
    if not found.whole:
        raise AgentError(
            "SA7105",
            N_("the log does not verify: {count} problem(s)"),
            hint=N_("stop using this archive, keep a copy, and compare with a backup"),
            count=len(found.problems),
        )
    show.console.print(render(N_("The log is whole.")))
    witnessing.prove(app, key, mail or ())


log.command(
    "code",
    help=render(N_("Print the log's newest head as a short code for paper, or check one.")),
    epilog=example("log code", "log code --check 1042-K7QM-…"),
)(witnessing.code)
log.command(
    "enrol",
    help=render(
        N_("Give every fact a MAC from now on, under a key that is then wiped; writes the first key to a file.")
    ),
    epilog=example("log enrol /media/auditor/log.key"),
)(witnessing.enrol)


@log.command(
    "reindex",
    help=render(N_("Remake the index tables, and the tiles of the tree, from the facts.")),
    epilog=example("log reindex"),
)
def log_reindex(context: typer.Context) -> None:
    app: App = context.obj.app()
    with app.archive() as archive:
        archive.rebuild_index()
        told = render(N_("The index is remade from {entries} facts."), {"entries": archive.head().size})
        show.console.print(told, markup=False)
