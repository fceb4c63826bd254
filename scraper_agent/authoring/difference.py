"""What changes in what is read and asked from one edition of a recipe to another: as data, and as sentences.

Compared is what the recipes mean, not how they are spelled: a comment, an order of keys or a value that now stands in a
parent is no change. Every difference of meaning gives at least one `Change`; `texts` shows the files themselves.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from pydantic import BaseModel

from scraper_agent import canonical
from scraper_agent.authoring import explain
from scraper_agent.authoring.edition import Edition, Tables
from scraper_agent.format import Field, Format
from scraper_agent.messages import N_, render
from scraper_agent.recipe import (
    Apart,
    List,
    Open,
    Parameter,
    Permit,
    Read,
    Receive,
    Recipe,
    Rows,
    Session,
    Step,
    Target,
    Unfold,
    parts,
)

Part: TypeAlias = Literal[
    "recipe", "address", "permit", "refusal", "parameter", "session", "step", "list", "completeness", "source", "field",
    "line", "conversion", "lookup", "browser",
]  # fmt: skip
"""What of a recipe a change is about; `recipe`: its name, version, format and ERP."""

Kind: TypeAlias = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference. `old` and `new` are in the language chosen when it was found; empty if there is none."""

    part: Part
    kind: Kind
    what: str
    """Keys of the recipe on the way there, from the outside."""
    old: str
    new: str
    text: str
    """A template of the catalogue with `what`, `old` and `new`."""

    @property
    def sentence(self) -> str:
        return render(self.text, {"what": self.what, "old": self.old, "new": self.new})


def differences(old: Edition, new: Edition, format: Format | None = None) -> tuple[Change, ...]:
    """In the order of the recipe. `format`: its fields are then named."""
    compared = _Comparison(format)
    return (*compared.models(old.recipe, new.recipe, (), "recipe"), *_lookups(old.lookups, new.lookups))


def texts(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> tuple[str, ...]:
    """The lines of the files that differ, as `diff -u` shows them."""
    lines: list[str] = []
    for name in sorted({*old, *new}):
        before, after = (files.get(name, b"").decode("utf-8", "replace").splitlines() for files in (old, new))
        lines += difflib.unified_diff(before, after, name, name, lineterm="")
    return tuple(lines)


_PARTS: Mapping[str, Part] = {
    "parameters": "parameter", "locale": "conversion", "numbers": "conversion", "dates": "conversion",
    "quiet_ms": "browser", "settle": "browser", "language": "browser", "permits": "permit", "refuses": "refusal",
    "apart": "session", "login": "session", "session": "session", "since": "list", "flows": "step",
    "sources": "source", "steps": "step", "finally_": "step", "document": "field",
}  # fmt: skip
"""By field of the recipe."""

_STEPS = frozenset({"steps", "finally_", "log_out", "page", "back", "otherwise", "recount"})
"""Fields that hold steps; `page` does so in a list alone."""

_CONVERSION = frozenset({"convert", "lookup", "date", "numbers", "dates"})
"""Keys of a `Read` that say how its text becomes a value."""

_SENTENCES: Mapping[Part | Literal["read", "other"], Mapping[Kind, str]] = {
    "read": {
        "added": N_("{what} is read now: {new}"),
        "removed": N_("{what} is read no more; it was read from: {old}"),
        "changed": N_("{what} is read from elsewhere: {old} → {new}"),
    },
    "conversion": {
        "added": N_("values are made in another way, {what}: {new}"),
        "removed": N_("values are made in another way, {what} is gone: {old}"),
        "changed": N_("values are made in another way, {what}: {old} → {new}"),
    },
    "address": {
        "added": N_("an address is new, {what}: {new}"),
        "removed": N_("an address is gone, {what}: {old}"),
        "changed": N_("another address is asked for, {what}: {old} → {new}"),
    },
    "permit": {
        "added": N_("it may also send: {new}"),
        "removed": N_("it may send no more: {old}"),
        "changed": N_("what it may send is in another order: {old} → {new}"),
    },
    "refusal": {
        "added": N_("it never asks for: {new}"),
        "removed": N_("it may ask for what it never did: {old}"),
        "changed": N_("what it never asks for is in another order: {old} → {new}"),
    },
    "step": {
        "added": N_("a step is new in {what}: {new}"),
        "removed": N_("a step is gone from {what}: {old}"),
        "changed": N_("a step is another, {what}: {old} → {new}"),
    },
    "list": {
        "added": N_("the list is read otherwise, {what} is new: {new}"),
        "removed": N_("the list is read otherwise, {what} is gone: {old}"),
        "changed": N_("the list is read otherwise, {what}: {old} → {new}"),
    },
    "completeness": {
        "added": N_("completeness is proved by more, {what}: {new}"),
        "removed": N_("completeness is proved by less, without {what}: {old}"),
        "changed": N_("completeness is proved otherwise, {what}: {old} → {new}"),
    },
    "lookup": {
        "added": N_("the table {what} knows one more: {new}"),
        "removed": N_("the table {what} knows no more: {old}"),
        "changed": N_("the table {what} gives another code: {old} → {new}"),
    },
    "other": {
        "added": N_("{what} is new: {new}"),
        "removed": N_("{what} is gone: {old}"),
        "changed": N_("{what}: {old} → {new}"),
    },
}

_Way: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Comparison:
    format: Format | None

    def models(self, old: BaseModel, new: BaseModel, way: _Way, part: Part) -> Iterator[Change]:
        """Of two models of one type."""
        for name, field in type(new).model_fields.items():
            a, b = getattr(old, name), getattr(new, name)
            if a == b or (isinstance(new, Recipe) and name in ("extends", "lookups")):
                continue
            yield from self._values(
                a, b, (*way, field.alias or name), _part(new, name, part), steps=_holds_steps(new, name)
            )

    def _values(self, a: Any, b: Any, way: _Way, part: Part, *, steps: bool) -> Iterator[Change]:
        if steps:
            if (a is None) != (b is None):  # `recount: []` is not the same as none
                yield _change(part, way, a, b)
            yield from self._steps(a or (), b or (), way, part)
        elif isinstance(a, dict) and isinstance(b, dict):
            yield from self._mappings(a, b, way, part)
        elif _is_read(a) or _is_read(b):
            yield from self._reads(a, b, way, part)
        elif type(a) is type(b) and isinstance(a, BaseModel) and not isinstance(a, Target | Permit):
            yield from self.models(a, b, way, part)
        elif isinstance(a, tuple) and isinstance(b, tuple):
            yield from _sets(a, b, way, part)
        else:
            yield _change(part, way, a, b)

    def _mappings(self, a: dict[str, Any], b: dict[str, Any], way: _Way, part: Part) -> Iterator[Change]:
        for name in dict.fromkeys((*a, *b)):
            old, new = a.get(name), b.get(name)
            if old == new:
                continue
            about: Part = part
            if part == "parameter" and any(isinstance(each, Parameter) and each.type == "url" for each in (old, new)):
                about = "address"
            yield from self._values(old, new, (*way, name), about, steps=False)

    def _reads(self, a: Any, b: Any, way: _Way, part: Part) -> Iterator[Change]:
        if a is not None and b is not None and _places(a) == _places(b):
            yield _change("conversion", way, a, b, what=self._named(way))
        else:
            yield _change(part, way, a, b, what=self._named(way), text="read")

    def _named(self, way: _Way) -> str:
        """With the field's name in the standard."""
        told = " > ".join(way)
        field = self._field(way)
        return told if field is None else f"{told} ({field.zh})"

    def _field(self, way: _Way) -> Field | None:
        if self.format is None:
            return None
        match way:
            case ("document", "header", id):
                return self.format.header_fields.get(id)
            case ("document", "lines", "values", id):
                return self.format.line_fields.get(id)
            case _:
                return None

    def _steps(self, a: tuple[Any, ...], b: tuple[Any, ...], way: _Way, part: Part) -> Iterator[Change]:
        """Those that are the same are lined up first, then those of one kind and name; the rest has come or gone."""
        for old, new in _lined_up([canonical.dumps(_data(s)) for s in a], [canonical.dumps(_data(s)) for s in b]):
            left, right = a[old], b[new]
            if left == right:
                continue
            for one, other in _lined_up([_label(s) for s in left], [_label(s) for s in right]):
                gone, come = left[one], right[other]
                if len(gone) == len(come) and [_label(s) for s in gone] == [_label(s) for s in come]:
                    for step, changed in zip(gone, come, strict=True):
                        yield from self.models(step, changed, (*way, _label(step)), part)
                else:
                    about: Part = part if part in ("session", "source") else "step"
                    yield from (_change(about, way, step, None, text="step") for step in gone)
                    yield from (_change(about, way, None, step, text="step") for step in come)


def _lined_up(a: list[Any], b: list[Any]) -> Iterator[tuple[slice, slice]]:
    for _, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        yield slice(i, j), slice(k, m)


def _sets(a: tuple[Any, ...], b: tuple[Any, ...], way: _Way, part: Part) -> Iterator[Change]:
    gone, come = [each for each in a if each not in b], [each for each in b if each not in a]
    yield from (_change(part, way, each, None) for each in gone)
    yield from (_change(part, way, None, each) for each in come)
    if not gone and not come:  # in another order, or as often no more
        yield _change(part, way, a, b)


def _lookups(old: Tables, new: Tables) -> Iterator[Change]:
    for table in dict.fromkeys((*old, *new)):
        before, after = old.get(table, {}), new.get(table, {})
        for word in dict.fromkeys((*before, *after)):
            a, b = (f"{word} = {each[word]}" if word in each else None for each in (before, after))
            if a != b:
                yield _change("lookup", (table,), a, b)


def _part(owner: BaseModel, name: str, part: Part) -> Part:
    """What a field is about, if not what its owner is about."""
    match owner, name:
        case (Recipe(), _):
            return _PARTS.get(name, "recipe")
        case (Open() | Apart(), "url") | (Session(), "page") | (Receive(), "path"):
            return "address"
        case (List() | Unfold(), "declared" | "key" | "recount" | "totals") | (Rows(), "declared"):
            return "completeness"
        case (List(), _):
            return "list"
        case (_, "twin"):
            return "completeness"
        case (_, "lines") if part == "field":
            return "line"
        case _:
            return part


def _holds_steps(owner: BaseModel, name: str) -> bool:
    return name in _STEPS and (name != "page" or isinstance(owner, List))


def _is_read(value: Any) -> bool:
    return isinstance(value, Read) or (isinstance(value, tuple) and any(isinstance(each, Read) for each in value))


def _places(key: Any) -> list[Any]:
    return [read.model_dump(exclude=set(_CONVERSION)) for read in parts(key)]


def _label(step: BaseModel) -> str:
    """Kind and name of a step."""
    return " ".join(filter(None, (getattr(step, "do", ""), getattr(step, "name", ""))))


def _change(part: Part, way: _Way, a: Any, b: Any, *, what: str = "", text: Literal["read", "step", ""] = "") -> Change:
    kind: Kind = "added" if a is None else "removed" if b is None else "changed"
    old, new = _told(a), _told(b)
    if old == new:  # the words leave out what differs
        old, new = _data_told(a), _data_told(b)
    known = text or (part if part in _SENTENCES else "other")
    return Change(part=part, kind=kind, what=what or " > ".join(way), old=old, new=new, text=_SENTENCES[known][kind])


def _told(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case Read():
            return explain.told_read(value)
        case Target():
            return explain.told_target(value)
        case Permit():
            return explain.told_permit(value)
        case BaseModel() if hasattr(value, "do"):
            return "; ".join(line.strip() for line in explain.told_step(cast(Step, value)))
        case tuple():
            return ", ".join(map(_told, value))
        case _:
            return _data_told(value)


def _data(value: Any) -> Any:
    """What differs from the defaults, in the words of the file; numbers as text."""
    match value:
        case BaseModel():
            return {
                field.alias or name: _data(getattr(value, name))
                for name, field in type(value).model_fields.items()
                if getattr(value, name) != field.default
            }
        case dict():
            return {key: _data(each) for key, each in value.items()}
        case tuple():
            return [_data(each) for each in value]
        case None | str():
            return value
        case _:
            return str(value).lower()


def _data_told(value: Any) -> str:
    if value is None:
        return ""
    data = _data(value)
    return data if isinstance(data, str) else canonical.dumps(data).decode()
