"""Reading only what is new: from which day on, and how far complete runs have come.

The mark is the newest day up to which nothing is missing. Only a complete run moves it, and only one that began at or
before it: a run that began later has passed over what lies between.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from scraper_agent import canonical
from scraper_agent.ports import Archive
from scraper_agent.recipe import Recipe
from scraper_agent.values import Reached, RunStarted


def shown(recipe: Recipe, parameters: Mapping[str, str]) -> dict[str, str]:
    """Parameters as they are logged: an account as its digest only."""
    return {
        name: canonical.digest(value.encode()) if recipe.parameters[name].type == "account" else value
        for name, value in parameters.items()
    }


def mark(archive: Archive, recipe: Recipe, parameters: Mapping[str, str]) -> date | None:
    """How far earlier runs of the recipe have come; None if none of them was complete.

    Only runs count whose other parameters were the same: another company or address is another list.
    """
    if recipe.since is None:
        return None
    wanted = {**shown(recipe, parameters), recipe.since.parameter: ""}
    for id in reversed(archive.runs(recipe_id=recipe.recipe)):
        reached: Reached | None = None
        for fact in reversed(archive.job(id).facts):
            if isinstance(fact, Reached) and fact.field == recipe.since.field:
                reached = fact
            elif isinstance(fact, RunStarted) and reached is not None:
                if {**fact.parameters, recipe.since.parameter: ""} == wanted:
                    return date.fromisoformat(reached.newest)
                break
    return None


def start(archive: Archive, recipe: Recipe, parameters: Mapping[str, str]) -> str:
    """The day that the next run begins at: the mark less the look-back, or what `parameters` say without a mark."""
    if recipe.since is None:
        raise ValueError(f"{recipe.recipe} always reads everything")
    otherwise, reached = parameters[recipe.since.parameter], mark(archive, recipe, parameters)
    if reached is None:
        return otherwise
    back = timedelta(days=min(recipe.since.look_back_days, (reached - date.min).days))
    return max(reached - back, date.fromisoformat(otherwise)).isoformat()


def moved(
    recipe: Recipe, parameters: Mapping[str, str], before: date | None, newest: date | None, today: date
) -> Reached | None:
    """What a complete run has reached; None if that is no further than `before`, or not joined to it.

    `newest` is the newest day on its documents. A day after `today`, when the run began, is a slip of the pen: all that
    is written until then would be passed over.
    """
    if recipe.since is None or newest is None:
        return None
    begun, reached = date.fromisoformat(parameters[recipe.since.parameter]), min(newest, today)
    if before is not None and (begun > before or reached <= before):
        return None
    return Reached(field=recipe.since.field, newest=reached.isoformat())
