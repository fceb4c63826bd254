"""Who may do what: the four roles, as the policy gives them to people.

A person is known by the name of an account of the operating system, or by the name that was signed in with. The rights
of the operating system guard the files; roles tell apart the people who may open them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from scraper_agent.errors import BusinessError
from scraper_agent.messages import N_


class Role(StrEnum):
    OPERATOR = "operator"  # runs, pauses and stops the robot, takes files in, sends
    APPROVER = "approver"  # decides on documents: approve, decline, hold, release, exclude, withdraw
    AUDITOR = "auditor"  # sees everything, changes nothing
    ADMINISTRATOR = "administrator"  # policy, recipes, keys, accounts


class Person(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    roles: frozenset[Role] = Field(min_length=1)


NO_ROLE = "SA6020"
"""The code of what `require` raises."""

People = Mapping[str, Person]
"""By name. Empty: the enterprise tells nobody apart, and whoever may open the archive has every role."""


def roles(people: People, name: str) -> frozenset[Role]:
    """None where the policy names people, and not this one."""
    if not people:
        return frozenset(Role)
    known = people.get(name)
    return known.roles if known is not None else frozenset()


def require(people: People, name: str, *any_of: Role) -> None:
    """That this person has one of the roles.

    Raises:
        BusinessError: not so.
    """
    has = roles(people, name)
    if not has.isdisjoint(any_of):
        return
    raise BusinessError(
        "SA6020",
        N_("{name} is not {role} by the policy, but: {seen}"),
        hint=N_("who is, may do it: {others}; an administrator gives roles under `people` in the policy"),
        name=name,
        role=" / ".join(any_of),
        seen=", ".join(sorted(has)) or "-",
        others=", ".join(sorted(each for each, person in people.items() if not person.roles.isdisjoint(any_of))) or "-",
    )
