"""The accounts that the agent logs in with: one that a login has endangered rests until a person clears it.

Its facts stand in the job `session/<erp>`. A lock-out in an ERP stops people's work, so this is asked before a browser
starts, whichever recipe runs.
"""

from __future__ import annotations

from collections.abc import Mapping

from scraper_agent import incremental
from scraper_agent.errors import NeedsPerson
from scraper_agent.messages import N_
from scraper_agent.ports import Archive
from scraper_agent.recipe import Recipe
from scraper_agent.values import AccountStopped, Cleared, Job, JobId


def job_id(erp: str) -> JobId:
    return JobId(f"session/{erp}")


def erp_of(recipe: Recipe) -> str:
    """By what the config knows the ERP."""
    return recipe.recipe.split("/")[0]


def account(recipe: Recipe, parameters: Mapping[str, str]) -> str:
    """What tells one account of the ERP from another: digests only."""
    logged = incremental.shown(recipe, parameters)
    return " ".join(logged[name] for name, p in recipe.parameters.items() if p.type == "account")


def stopped(job: Job) -> dict[str, AccountStopped]:
    """The accounts of an ERP that rest, by `account`."""
    found: dict[str, AccountStopped] = {}
    for fact in job.facts:
        if isinstance(fact, AccountStopped):
            found[fact.account] = fact
        elif isinstance(fact, Cleared):
            found.clear()
    return found


def admit(archive: Archive, recipe: Recipe, parameters: Mapping[str, str]) -> None:
    """Whether this account may be logged in with.

    Raises:
        NeedsPerson: it was stopped, and nobody has cleared it.
    """
    erp = erp_of(recipe)
    rests = stopped(archive.job(job_id(erp))).get(account(recipe, parameters))
    if recipe.login is not None and rests is not None:
        raise NeedsPerson(
            "SA7030",
            N_("nobody logs in to {erp} with this account: {outcome}, in {run}"),
            hint=N_("put it right in the ERP and in the config, then `scraper-agent session clear {erp}`"),
            erp=erp,
            outcome=rests.outcome.value,
            run=rests.run,
        )
