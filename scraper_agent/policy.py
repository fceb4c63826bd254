"""The policy file: what the enterprise allows, above all recipes. Who must say yes to what is `approval`'s."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from scraper_agent.people import Person
from scraper_agent.recipe import Permit
from scraper_agent.values import Completeness, Severity


class Limit(BaseModel):
    """What of one format may leave without a person's approval."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    amounts: dict[str, Annotated[Decimal, Field(ge=0)]] = Field(
        {}, description="Currency -> highest total, with either sign; a currency not named is held."
    )
    lines: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Most lines; for formats without a total it is the only limit."
    )
    warnings: Literal["hold", "allow"] = "hold"
    analyses: Literal["hold", "allow"] = Field(
        "allow",
        description="What is only strange (`ANL-…`): `hold`: it counts as a warning; `allow`: it is only shown.",
    )
    case: Literal["any", "complete"] = Field(
        "any",
        description="`complete`: held until its business case has what it must have; a later run or `send` lets it go.",
    )


class Requests(BaseModel):
    """What may be asked of one ERP. A recipe may ask for less, never for more."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    addresses: tuple[str, ...] = Field((), description="Its addresses: scheme, host, and port if it is not the usual.")
    permits: tuple[Permit, ...] = Field(
        (), description="Requests beside GET and HEAD; a recipe's own must be among them, word for word."
    )
    refuses: tuple[str, ...] = Field(
        (), description="Regular expressions of paths with their queries that are never asked for, by no recipe."
    )


class Recipes(BaseModel):
    """Which recipes may be used."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    approved_by: Literal["second_person", "one", "nobody"] = Field(
        "second_person",
        description="Who says yes to a recipe before it is used: another person than its author; anybody; or nobody.",
    )


class Policy(BaseModel):
    """The policy file. A format that is not named is always held; an ERP that is not named is not read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Raised with each change; needed to be signed. One that was in force is never gone back to."
    )
    requests: dict[str, Requests] = Field(
        {}, description="By ERP, the first part of a recipe's name: `demo` for `demo/order`."
    )
    automatic: dict[str, Limit] = {}
    lists: Completeness = Field(
        Completeness.PLAUSIBLE,
        description="How complete the lists of a run must be for its documents to leave without a person's approval.",
    )
    people: dict[str, Person] = Field(
        {},
        description="Roles by name of an account, or of who signs in; where nobody is named, everybody has every role.",
    )
    recipes: Recipes = Field(Recipes(), description="Who approves recipes, and anew when what they read has changed.")
    severities: dict[str, Severity] = Field(
        {}, description="By check between documents (CHK-02, CHK-14 to CHK-20, ANL-…, OBL-…): `error` blocks."
    )


def lacking(policy: Policy, erp: str, needed: Requests) -> tuple[str, ...]:
    """Of the addresses and permits that are needed, those that the policy does not name."""
    known = policy.requests.get(erp, Requests())
    addresses = [address for address in needed.addresses if address not in known.addresses]
    permits = [permit for permit in needed.permits if permit not in known.permits]
    return (*addresses, *(f"{permit.purpose} {permit.method} {permit.path}" for permit in permits))


def together(one: Requests, other: Requests) -> Requests:
    """What either of two allows, and neither refuses; nothing twice."""
    return Requests(
        addresses=tuple(dict.fromkeys((*one.addresses, *other.addresses))),
        permits=(*one.permits, *(permit for permit in other.permits if permit not in one.permits)),
        refuses=tuple(dict.fromkeys((*one.refuses, *other.refuses))),
    )
