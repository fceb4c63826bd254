"""`recipe check | test | accept | schema | explain`: what recipe writers use. Needs no config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from scraper_agent import app as wiring
from scraper_agent import policy as policies
from scraper_agent.app import App
from scraper_agent.authoring import explain as telling
from scraper_agent.authoring import load, samples
from scraper_agent.cli import show
from scraper_agent.cli.commands import example, find_job
from scraper_agent.errors import BusinessError, SourceErrors
from scraper_agent.messages import N_, render
from scraper_agent.recipe import Recipe
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
