"""The four roles."""

from __future__ import annotations

import pytest

from scraper_agent import people
from scraper_agent.errors import BusinessError
from scraper_agent.people import Person, Role

TWO = {"wang": Person(roles=frozenset({Role.OPERATOR})), "li": Person(roles=frozenset({Role.APPROVER, Role.AUDITOR}))}


def test_where_nobody_is_named_everybody_has_every_role() -> None:
    assert people.roles({}, "anybody") == frozenset(Role)
    for role in Role:
        people.require({}, "anybody", role)


def test_where_people_are_named_nobody_else_has_any() -> None:
    assert people.roles(TWO, "zhao") == frozenset()
    assert people.roles(TWO, "wang") == {Role.OPERATOR}
    people.require(TWO, "li", Role.APPROVER)


def test_what_is_missing_is_said_and_who_has_it() -> None:
    with pytest.raises(BusinessError) as caught:
        people.require(TWO, "wang", Role.APPROVER)
    assert str(caught.value) == (
        "SA6020 wang is not approver by the policy, but: operator\n"
        "hint: who is, may do it: li; an administrator gives roles under `people` in the policy"
    )
