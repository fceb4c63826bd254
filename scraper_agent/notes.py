"""What the console tells the log: who signed in and out, and what was refused. It reaches the log as an order does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Final, get_args

from pydantic import TypeAdapter

from scraper_agent.ports import Archive
from scraper_agent.values import ConsoleFact, JobId

JOB = JobId("console")
DO: Final = "note"
"""What is ordered."""
NOBODY: Final = "console"
"""Who orders what concerns nobody by name."""

_KINDS = {kind.__name__: kind for kind in get_args(ConsoleFact)}


def ordered(fact: ConsoleFact) -> tuple[str, dict[str, str]]:
    """(name of the person, values of the order)."""
    said = {of.name: str(getattr(fact, of.name)) for of in fields(fact)}
    by = said.pop("by", NOBODY).removeprefix("person:")
    return by, {"kind": type(fact).__name__, **said}


def fact(by: str, values: Mapping[str, str]) -> ConsoleFact:
    """The inverse of `ordered`. Raises ValueError: these are the values of no fact of the console."""
    said = dict(values)
    kind = _KINDS.get(said.pop("kind", ""))
    if kind is None:
        raise ValueError("no fact of the console")
    if any(of.name == "by" for of in fields(kind)):
        said["by"] = f"person:{by}"
    made: ConsoleFact = TypeAdapter(kind).validate_python(said)
    return made


def append(archive: Archive, noted: ConsoleFact, *, unless_since: datetime | None) -> None:
    """`unless_since`: not where the log has the same from this time on, since a process that died had begun it."""
    if unless_since is not None:
        known = zip(archive.job(JOB).facts, archive.times(JOB), strict=True)
        if any(each == noted and at >= unless_since for each, at in known):
            return
    archive.append(JOB, archive.length(JOB), noted)
