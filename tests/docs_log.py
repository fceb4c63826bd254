"""`docs/log-format.md`: of every kind of fact an entry as it stands in the log, and its hash; made by the code."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, Union, get_args, get_origin

from scraper_agent import canonical, merkle, values
from scraper_agent.audit import note
from scraper_agent.values import Entry, Fact, JobId

BEGIN = "<!-- vectors: made by `python -m tests.docs` from scraper_agent/values.py and canonical.py -->"
END = "<!-- /vectors -->"

AT = datetime(2026, 5, 6, 1, 30, 0, 123456, tzinfo=UTC)
_DIGEST = canonical.digest(b"abc")
_JOBS = {
    **dict.fromkeys(("RunStarted", "RunEnded", "Snapshot", "Fetched", "Refused", "ListRead", "Fault"), "run/1"),
    **dict.fromkeys(("SessionChecked", "Relogin", "Anew", "Reached", "Parked"), "run/1"),
    **dict.fromkeys(("AccountStopped", "Cleared"), "session/demo"),
    **dict.fromkeys(("Paused", "Halted", "Resumed"), "control"),
    **dict.fromkeys(("SignedIn", "SignedOut", "SignInRefused", "Denied", "TokenChanged", "RunOrdered"), "console"),
    **dict.fromkeys(("RecipeProposed", "RecipeDecided"), "recipe/demo/order"),
    "KeyChanged": "keys",
    "PolicyAdopted": "policy",
    "Exported": "export",
}


def examples() -> list[Entry]:
    """One entry of each kind; every field has a value. None depends on what other kinds there are."""
    found = []
    for name, kind in sorted(canonical.KINDS.items()):
        fact: Fact = _made(kind)
        job = JobId(_JOBS.get(name, "doc/purchaseOrder/" + _DIGEST[4:]))
        found.append(Entry(index=1000, at=AT, job=job, position=3, fact=fact))
    return found


def _made(kind: Any) -> Any:
    hints = typing.get_type_hints(kind)
    return kind(**{field.name: _value(hints[field.name], field.name) for field in dataclasses.fields(kind)})


def _value(of: Any, name: str) -> Any:
    """Something of this type that tells where it stands."""
    origin, inner = get_origin(of), get_args(of)
    if origin in (Union, types.UnionType):
        return _value(next(each for each in inner if each is not type(None)), name)
    if origin is Literal:
        return inner[0]
    if origin is tuple:
        return (_value(inner[0], name),)
    if origin is Mapping or origin is dict:
        return {"a": _value(inner[1], name), "é": _value(inner[1], name)}
    if dataclasses.is_dataclass(of):
        return _made(of)
    if of is values.Digest:
        return _DIGEST
    if of is JobId:
        return JobId("run/1")
    if isinstance(of, type) and issubclass(of, enum.Enum):
        return next(iter(of))
    known: dict[Any, Any] = {bool: True, int: 7, str: f'{name} "值"', datetime: AT}
    return known[of]


def vectors() -> str:
    lines = ["Of every kind an entry whose fields all have a value, and `leaf`, the hash of that line.", ""]
    for entry in examples():
        data = canonical.entry_bytes(entry)
        leaf = merkle.leaf(data).hex()
        lines += [f"### {type(entry.fact).__name__}", "", "```json", data.decode(), "```", "", f"leaf `{leaf}`", ""]
    leaves = [merkle.leaf(b"%d" % number) for number in range(8)]
    lines += [
        "### A tree",
        "",
        "Of the entries `0`, `1`, `2` … of one byte each:",
        "",
        "| entries | root |",
        "|---|---|",
    ]
    lines += [f"| {size} | `{merkle.root(leaves[:size]).hex()}` |" for size in range(len(leaves) + 1)]
    checkpoint = note.Checkpoint(
        origin="example.cn/log-1", size=8, root=merkle.root(leaves), at=AT, previous=canonical.sm3(b"before").hex()
    )
    encoded = canonical.pae(note.text(checkpoint), note.CHECKPOINT)
    lines += ["", "### Its checkpoint", "", "What is signed of it, which ends with a line feed:", ""]
    lines += ["```text", encoded.decode().removesuffix("\n"), "```", "", f"SM3 `{canonical.sm3(encoded).hex()}`", ""]
    return "\n".join(lines)
