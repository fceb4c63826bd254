"""`recipe check | test | accept | schema | permits | explain`: what recipe writers use; needs no config.

`recipe propose | approve | decline | diff | list`: whether a recipe may be used.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from scraper_agent import app as wiring
from scraper_agent import policy as policies
from scraper_agent.app import App
from scraper_agent.authoring import difference, load, samples
from scraper_agent.authoring import explain as telling
from scraper_agent.cli import show
from scraper_agent.cli.commands import example, find_job
from scraper_agent.errors import BusinessError, SourceErrors, UsageError
from scraper_agent.messages import N_, render
from scraper_agent.recipe import Recipe
from scraper_agent.recipes_approved import Approvals, Difference, Standing, State, job_id
from scraper_agent.values import Draft, Job, RunStarted, Snapshot

commands = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help=render(N_("Write, check and try recipes; nothing is sent."))
)

Names = Annotated[list[str], typer.Argument(help=render(N_("Names such as demo/order, or files.")))]
Name = Annotated[str, typer.Argument(help=render(N_("A name such as demo/order, or a file.")))]


def _load(name: str) -> load.Loaded:
    return wiring.load_recipe(name, Path("recipes"))


@commands.command(
    help=render(N_("Check recipes: every mistake with file, line, column and a hint.")),
    epilog=example("recipe check demo/order", "recipe check recipes/u8/order.yaml"),
)
def check(recipes: Names) -> None:
    wrong: list[SourceErrors] = []
    for name in recipes:
        try:
            loaded = _load(name)
        except SourceErrors as error:
            wrong.append(error)
            continue
        for warning in loaded.warnings:
            told = f"{warning.at}: {warning.code} {render(warning.text, warning.values)}"
            show.talk.print(show.visible(told), markup=False, soft_wrap=True)
        show.console.print(render(N_("{path}: fine"), {"path": loaded.path}), markup=False, soft_wrap=True)
    if wrong:
        raise wrong[0] if len(wrong) == 1 else _All(wrong)


class _All(SourceErrors):
    """Several files are wrong."""

    def __init__(self, errors: list[SourceErrors]) -> None:
        super().__init__(tuple(p for e in errors for p in e.problems), "")
        self.errors = errors

    def __str__(self) -> str:
        return "\n".join(map(str, self.errors))


@commands.command(
    help=render(N_("Play the samples of recipes and compare with what was accepted.")),
    epilog=example("recipe test demo/order"),
)
def test(recipes: Names) -> None:
    different = 0
    for name in recipes:
        for outcome in samples.outcomes(_load(name)):
            mark = render(N_("differs") if outcome.difference else N_("as accepted"))
            show.console.print(f"{outcome.case}: {mark}", markup=False, soft_wrap=True)
            show.lines(outcome.difference)
            different += bool(outcome.difference)
    if different:
        raise BusinessError(
            "SA7201",
            N_("{count} sample(s) differ from what was accepted"),
            hint=N_("correct the recipe; or, if the difference is right, `scraper-agent recipe accept`"),
            count=different,
        )


@commands.command(
    help=render(N_("Accept what the samples of a recipe give now; with --job, record a new sample first.")),
    epilog=example("recipe accept demo/order", "recipe accept demo/order --job 3f2a9c --case two_lines"),
)
def accept(
    context: typer.Context,
    recipe: Name,
    job: Annotated[
        str | None, typer.Option(help=render(N_("A document read before, whose pages become the sample.")))
    ] = None,
    case: Annotated[str, typer.Option(help=render(N_("Name of the new sample.")))] = "normal",
) -> None:
    loaded = _load(recipe)
    if job is not None:
        app: App = context.obj.app()
        with app.archive(read_only=True) as archive:
            found = find_job(archive, job)
            draft = found.facts[0]
            if isinstance(draft, Draft):
                origins = json.loads(archive.get(draft.provenance))
                read = {origin["page"] for origin in origins} | {draft.page}
                taken = {s.page: s.name for s in _snapshots(archive.job(draft.run)) if s.page in read}
                samples.record(loaded.path, case, [(name, archive.get(page)) for page, name in taken.items()])
    for outcome in samples.outcomes(loaded):
        samples.accept(outcome)
        show.console.print(str(outcome.case), markup=False, soft_wrap=True)
        show.lines(outcome.difference)


def _snapshots(run: Job) -> list[Snapshot]:
    """Those of the newest start of the run: a run taken up again reads its sources again."""
    starts = [n for n, fact in enumerate(run.facts) if isinstance(fact, RunStarted)]
    return [fact for fact in run.facts[starts[-1] :] if isinstance(fact, Snapshot)]


@commands.command(
    help=render(N_("Print the JSON Schema of recipes, for completion in an editor.")),
    epilog=example("recipe schema > recipes/recipe.schema.json"),
)
def schema() -> None:
    typer.echo(json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", **_schema()}, indent=1))


def _schema() -> dict[str, object]:
    made = Recipe.model_json_schema(by_alias=True)
    required = made.pop("required")
    made["anyOf"] = [{"required": ["extends", "recipe", "version"]}, {"required": required}]
    for part in [made, *made["$defs"].values()]:
        for rule in part.get("properties", {}).values():
            if isinstance(rule.get("additionalProperties"), dict):  # an overlay takes a name away by an empty value
                rule["additionalProperties"] = {"anyOf": [rule["additionalProperties"], {"type": "null"}]}
    return made


@commands.command(
    help=render(N_("Print what the enterprise's policy has to allow for recipes to read an ERP.")),
    epilog=example("recipe permits demo/order demo/invoice --address http://127.0.0.1:8080"),
)
def permits(
    recipes: Names,
    address: Annotated[
        list[str] | None, typer.Option(help=render(N_("Address of the ERP; may be given several times.")))
    ] = None,
) -> None:
    needed: dict[str, policies.Requests] = {}
    for name in recipes:
        loaded = _load(name)
        erp = wiring.erp_of(loaded)
        asked = wiring.needs(loaded, address or ["https://ERP.example"])
        needed[erp] = policies.together(needed.get(erp, policies.Requests()), asked)
    typer.echo(wiring.section(needed))


@commands.command(
    help=render(N_("Tell a recipe in words: what is opened, pressed and read, and what may leave.")),
    epilog=example("recipe explain demo/order"),
)
def explain(recipe: Name) -> None:
    show.lines(list(telling.explain(_load(recipe))))


# --- approval -------------------------------------------------------------------------------------------------------

Why = Annotated[str, typer.Option(help=render(N_("Why; goes into the log.")))]
Edition = Annotated[
    str | None, typer.Option("--digest", help=render(N_("Digest of the recipe that was shown, or its first digits.")))
]


@commands.command(
    help=render(N_("Ask for the approval of a recipe as it is now; whoever does so counts as its author.")),
    epilog=example("recipe propose demo/order --reason 'the list has a new column'"),
)
def propose(context: typer.Context, recipe: Name, reason: Why = "") -> None:
    app: App = context.obj.app()
    loaded = app.recipe(recipe)
    with app.archive() as archive:
        _tell(app.approvals(archive).propose(loaded.edition, wiring.account(), reason))


@commands.command(
    help=render(N_("Approve a recipe for use; without --digest it is only shown what to approve.")),
    epilog=example("recipe approve demo/order", "recipe approve demo/order --digest 3f2a9c --reason checked"),
)
def approve(context: typer.Context, recipe: Name, reason: Why = "", digest: Edition = None) -> None:
    app: App = context.obj.app()
    who = wiring.account()
    if digest is None:
        loaded = app.recipe(recipe)
        _show(app, loaded)
        raise UsageError(
            "SA7202",
            N_("nothing is approved yet"),
            hint=N_("if this is what the enterprise wants: `scraper-agent recipe approve {recipe} --digest {digest}`"),
            recipe=recipe,
            digest=loaded.edition.digest[4:16],
        )
    with app.archive() as archive:
        approvals = app.approvals(archive)
        id = _id(app, approvals, recipe)
        if app.policy.recipes.approved_by != "second_person":  # then author and approver may be one
            edition = app.recipe(recipe).edition
            if edition.digest[4:].startswith(digest.removeprefix("sm3:")) and approvals.standing(edition) is None:
                approvals.propose(edition, who, reason)
        _tell(approvals.approve(id, digest, who, reason))


@commands.command(
    help=render(N_("Decline a recipe, or take its approval back: it is not used, or no more.")),
    epilog=example("recipe decline demo/order --reason 'reads the wrong column'"),
)
def decline(
    context: typer.Context,
    recipe: Name,
    reason: Annotated[str, typer.Option(help=render(N_("Why; goes into the log.")))],
    digest: Edition = None,
) -> None:
    app: App = context.obj.app()
    with app.archive() as archive:
        approvals = app.approvals(archive)
        wanted = app.recipe(recipe).edition.digest if digest is None else digest
        _tell(approvals.decline(_id(app, approvals, recipe), wanted, wiring.account(), reason))


@commands.command(
    help=render(N_("Show what changes in what is read and asked: since the last approval, or since another recipe.")),
    epilog=example("recipe diff demo/order", "recipe diff demo/order order-before.yaml --text"),
)
def diff(
    context: typer.Context,
    recipe: Name,
    since: Annotated[
        str | None, typer.Argument(help=render(N_("The recipe as it was before: a name or a file.")))
    ] = None,
    text: Annotated[bool, typer.Option("--text", help=render(N_("Also the lines of the files that differ.")))] = False,
) -> None:
    if since is None:
        app: App = context.obj.app()
        _show(app, app.recipe(recipe), text=text)
        return
    read = context.obj.app().recipe if context.obj.config.exists() else _load
    before, after = read(since).edition, read(recipe)
    changes = difference.differences(before, after.edition, after.format)
    _tell_changes(changes, difference.texts(before.files, after.files), text=text)


@commands.command(
    "list",
    help=render(N_("List the recipes that were proposed, and whether they may be used as they are now.")),
    epilog=example("recipe list"),
)
def list_(context: typer.Context) -> None:
    app: App = context.obj.app()
    with app.archive(read_only=True) as archive:
        approvals = app.approvals(archive)
        found = [_as_it_is_now(app, approvals, each) for each in approvals.recipes()]
    table = Table()
    for head in (N_("recipe"), N_("version"), N_("state"), N_("digest"), N_("proposed"), N_("decided")):
        table.add_column(render(head), overflow="fold", no_wrap=head == "digest")
    for each, told in found:
        table.add_row(
            show.plain(each.recipe_id),
            show.plain(each.version),
            show.plain(told),
            each.digest[4:16],
            show.plain(", ".join(map(_name, each.authors)) + f" {each.proposed_at.astimezone():%Y-%m-%d %H:%M}"),
            "-"
            if each.decided_at is None
            else f"{_name(each.decided_by)} {each.decided_at.astimezone():%Y-%m-%d %H:%M}",
        )
    show.console.print(table)


def _as_it_is_now(app: App, approvals: Approvals, last: Standing) -> tuple[Standing, str]:
    """Where the recipe's file stands, or `last` if nobody has proposed it so; and that in words."""
    try:
        edition = app.recipe(last.recipe_id).edition
    except UsageError as error:
        return last, f"{_state(last)}; {error.sentence}"
    now = approvals.standing(edition)
    if now is not None:
        return now, _state(now)
    changed = render(N_("it has changed since, and is not proposed so"))
    return last, f"{_state(last)}; {changed}"


def _state(of: Standing) -> str:
    names = {
        State.WAITING: N_("waits for approval"),
        State.APPROVED: N_("approved"),
        State.DECLINED: N_("declined"),
        State.VOID: N_("the approval does not hold"),
    }
    return render(names[of.state]) + (f": {of.why}" if of.why else "")


def _id(app: App, approvals: Approvals, name: str) -> str:
    """A recipe's own name; that of one which is no more is known from the log."""
    return name if approvals.archive.length(job_id(name)) else app.recipe(name).recipe.recipe


def _name(by: str) -> str:
    return by.removeprefix("person:")


def _tell(of: Standing) -> None:
    show.lines([f"{of.recipe_id} {of.version}  {of.state}  {of.digest}"])


def _show(app: App, loaded: load.Loaded, *, text: bool = False) -> None:
    """What of a recipe is new since its last approval; all of it if there is none."""
    found = Difference(since=None, changes=(), texts=())
    if (app.home / app.config.archive).is_file():
        with app.archive(read_only=True) as archive:
            found = app.approvals(archive).difference(loaded.edition, loaded.format)
    told: dict[str, object] = {"recipe": loaded.recipe.recipe, "digest": loaded.edition.digest}
    if found.since is None:
        show.lines([render(N_("{recipe} was never approved. What it does:"), told), *telling.explain(loaded)])
    else:
        told |= {"version": found.since.version, "by": _name(found.since.decided_by)}
        show.lines([render(N_("{recipe}, since {by} approved version {version}:"), told)])
        _tell_changes(found.changes, found.texts, text=text)
    show.lines([render(N_("Digest of {recipe} as it is now: {digest}"), told)])


def _tell_changes(changes: tuple[difference.Change, ...] | None, texts: tuple[str, ...], *, text: bool) -> None:
    if changes is None:
        show.lines([render(N_("The approved recipe is of an earlier version of the program; its text differs so:"))])
    elif changes:
        show.lines([f"  {change.sentence}" for change in changes])
    elif texts:
        show.lines([render(N_("Nothing changes in what is read and asked; only the text differs."))])
    else:
        show.lines([render(N_("Nothing has changed."))])
    if text or changes is None:
        show.lines(texts)
