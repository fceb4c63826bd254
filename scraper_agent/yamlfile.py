"""YAML as plain data plus the position of every node, and from there to a pydantic model.

Scalars stay text: `0012` is a code, not ten; `no` is not False. The model, not YAML, decides what a scalar means.
Anchors, aliases and tags are refused: nine short lines of aliases can stand for a billion nodes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic_core import ErrorDetails

from scraper_agent.errors import Position, Problem, SourceErrors, UsageError
from scraper_agent.messages import N_

M = TypeVar("M", bound=BaseModel)
Loc: TypeAlias = tuple[str | int, ...]
"""Keys and list indexes from the top of the file to a node."""

MAX_BYTES = 1 << 20
MAX_DEPTH = 40

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast, but not on every platform
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_SHOWN = 60


class Wrong(ValueError):
    """Raised in a validator of a model: a sentence of the catalogue, and what fills it."""

    def __init__(self, text: str, /, *, hint: str = "", **values: object) -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint
        self.values = values


@dataclass(frozen=True, slots=True)
class Positions:
    """Where each node of one file stands. A loc the file does not have gives its nearest ancestor that it has."""

    path: Path
    values: Mapping[Loc, Position]
    keys: Mapping[Loc, Position]

    def of(self, loc: Loc) -> Position:
        """Of the value at `loc`."""
        while loc and loc not in self.values:
            loc = loc[:-1]
        return self.values.get(loc, Position(self.path, 1, 1))

    def key(self, loc: Loc) -> Position:
        """Of the key that `loc` ends in; of the value if it ends in a list index."""
        return self.keys.get(loc) or self.of(loc)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file as data, not yet fitted to a model; or several files merged. `texts`: of each file, for excerpts."""

    data: Any
    positions: Positions
    raw: bytes
    texts: Mapping[Path, str]

    def refusal(self, problems: Iterable[Problem]) -> SourceErrors:
        return _errors(problems, self.texts[self.positions.path], self.texts)


Extra: TypeAlias = Callable[[M, Positions], Iterable[Problem]]
"""Finds the problems that the model cannot see, such as a name that another part of the file lacks."""


def load(path: Path, model: type[M], extra: Extra[M] | None = None) -> M:
    """The file at `path` as `model`.

    Raises:
        UsageError: there is no such file, or it cannot be read.
        SourceErrors: it is not YAML, has a key twice, or does not fit `model`.
    """
    return fit(read(path), model, extra)


def read(path: Path) -> Source:
    """The file at `path` as data.

    Raises:
        UsageError: there is no such file, or it cannot be read.
        SourceErrors: it is not YAML, or has a key twice.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(
            "SA1001", N_("{path} does not exist"), hint=N_("check the name, and the folder you are in"), path=path
        ) from None
    except OSError as error:
        raise UsageError("SA1002", N_("{path} cannot be read: {reason}"), path=path, reason=error.strerror) from error
    return source(data, path)


def source(data: bytes, path: Path) -> Source:
    """The bytes of a file as data; `path` is only named in problems.

    Raises:
        SourceErrors: it is too long, is not YAML, or has a key twice.
    """
    _refuse_size(path, len(data))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        problem = Problem(
            at=_position(path, before, len(before)),
            code="SA1004",
            text=N_("the file is not UTF-8"),
            hint=N_("save it as UTF-8 in your editor"),
        )
        raise SourceErrors((problem,), data.decode("utf-8-sig", "replace")) from None
    return _source(text, path, data)


def parse(text: str, path: Path, model: type[M], extra: Extra[M] | None = None) -> M:
    """`text` as `model`; `path` is only named in problems.

    Raises:
        SourceErrors: with every problem, in file order.
    """
    raw = text.encode("utf-8", "replace")
    _refuse_size(path, len(raw))
    return fit(_source(text, path, raw), model, extra)


def _source(text: str, path: Path, raw: bytes) -> Source:
    reader = _Reader(path)
    data = reader.read(text)
    _refuse(reader.problems, text)
    return Source(data=data, positions=Positions(path, reader.values, reader.keys), raw=raw, texts={path: text})


def fit(source: Source, model: type[M], extra: Extra[M] | None = None) -> M:
    """`source` as `model`.

    Raises:
        SourceErrors: with every problem, by file and in its order.
    """
    try:
        # An empty file is a mapping without keys: the model tells which it misses.
        made = model.model_validate({} if source.data is None else source.data)
    except ValidationError as error:
        raise source.refusal(_Explained(model, source.data, source.positions).problems(error)) from None
    if extra is not None and (problems := list(extra(made, source.positions))):
        raise source.refusal(problems)
    return made


def _refuse_size(path: Path, size_bytes: int) -> None:
    if size_bytes > MAX_BYTES:
        problem = Problem(
            at=Position(path, 1, 1),
            code="SA1003",
            text=N_("the file is larger than {most} bytes"),
            values={"most": MAX_BYTES},
        )
        raise SourceErrors((problem,), "")


def _refuse(problems: list[Problem], text: str) -> None:
    if problems:
        raise _errors(problems, text)


def _errors(problems: Iterable[Problem], text: str, others: Mapping[Path, str] | None = None) -> SourceErrors:
    in_order = sorted(problems, key=lambda p: (str(p.at.path), p.at.line, p.at.column))
    return SourceErrors(tuple(in_order), text, others=others)


def _position(path: Path, text: str, index: int) -> Position:
    before = text[:index]
    return Position(path, before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)


# --- text to data ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end is not read yet; `key` is the mapping's key that waits for its value."""

    loc: Loc
    data: dict[str, Any] | list[Any]
    key: str | None = None


@dataclass(slots=True)
class _Reader:
    """Builds data from the parser's events, not by recursion: a deep file must not exhaust the stack."""

    path: Path
    values: dict[Loc, Position] = field(default_factory=dict)
    keys: dict[Loc, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    stack: list[_Open] = field(default_factory=list)
    top: Any = None
    documents: int = 0

    def read(self, text: str) -> Any:
        if strange := _UNPRINTABLE.search(text):
            self._tell(
                _position(self.path, text, strange.start()),
                "SA1005",
                N_("the character U+{character} is not allowed in YAML"),
                character=f"{ord(strange[0]):04X}",
            )
            return None
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                if not self._take(event):
                    break
        except yaml.MarkedYAMLError as error:
            self._tell_syntax(error, text)
        return self.top

    def _tell(self, at: Position, code: str, text: str, hint: str = "", /, **values: object) -> None:
        self.problems.append(Problem(at=at, code=code, text=text, hint=hint, values=values))

    def _tell_syntax(self, error: yaml.MarkedYAMLError, text: str) -> None:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        lines = text.splitlines()
        tabbed = line < len(lines) and "\t" in lines[line][: column + 1]
        self._tell(
            Position(self.path, line + 1, column + 1),
            "SA1006",
            N_("this is not YAML: {reason}"),
            N_("indent with spaces, not with tabs") if tabbed else "",
            reason=error.problem or error.context,
        )

    def _take(self, event: yaml.Event) -> bool:
        """Add one event to the data; False if the rest is not worth reading."""
        mark = event.start_mark
        at = Position(self.path, mark.line + 1, mark.column + 1) if mark else Position(self.path, 1, 1)
        match event:
            case yaml.ScalarEvent():
                self._refuse_marks(event, at)
                unquoted: bool = event.implicit[0]
                value = None if unquoted and event.value in ("", "~", "null") else event.value
                return self._place(value, event.value, at)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._refuse_marks(event, at)
                return self._open({} if isinstance(event, yaml.MappingStartEvent) else [], at)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self.stack.pop()
            case yaml.AliasEvent():
                self._tell(at, "SA1008", N_("`*{name}` repeats another part; write it out"), name=event.anchor)
                return self._place(None, f"*{event.anchor}", at)
            case yaml.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    self._tell(at, "SA1010", N_("a second document begins here; a file holds one"))
                    return False
            case _:  # the ends of stream and document
                pass
        return True

    def _refuse_marks(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, at: Position) -> None:
        if event.anchor is not None:
            self._tell(at, "SA1013", N_("`&{name}` names a part to repeat it; write it out"), name=event.anchor)
        if event.tag is not None:
            self._tell(at, "SA1009", N_("the tag `{tag}` is not allowed; leave it out"), tag=event.tag)

    def _open(self, data: dict[str, Any] | list[Any], at: Position) -> bool:
        if len(self.stack) == MAX_DEPTH:
            self._tell(at, "SA1007", N_("the file is nested deeper than {most} levels"), most=MAX_DEPTH)
            return False
        loc = self._next_loc()
        going_on = self._place(data, None, at)
        self.stack.append(_Open(loc, data))
        return going_on

    def _next_loc(self) -> Loc:
        if not self.stack:
            return ()
        inner = self.stack[-1]
        if isinstance(inner.data, list):
            return (*inner.loc, len(inner.data))
        return inner.loc if inner.key is None else (*inner.loc, inner.key)

    def _place(self, value: Any, key: str | None, at: Position) -> bool:
        """Put a node where it belongs; `key` is its text in case it is a key, None if it is no text."""
        if not self.stack:
            self.top = value
            self.values[()] = at
            return True
        inner = self.stack[-1]
        if isinstance(inner.data, list):
            self.values[*inner.loc, len(inner.data)] = at
            inner.data.append(value)
            return True
        if inner.key is not None:
            inner.data.setdefault(inner.key, value)
            self.values.setdefault((*inner.loc, inner.key), at)
            inner.key = None
            return True
        if key is None:
            self._tell(at, "SA1011", N_("a key must be text"))
            return False
        if first := self.keys.get((*inner.loc, key)):
            self._tell(at, "SA1012", N_("key `{key}` is already on line {line}"), key=key, line=first.line)
        self.keys.setdefault((*inner.loc, key), at)
        inner.key = key
        return True


# --- what pydantic says, for people ---------------------------------------------------------------------------------

_TEXTS = {
    "string_type": N_("`{key}` should be text"),
    "model_type": N_("`{key}` should be a mapping of keys to values"),
    "model_attributes_type": N_("`{key}` should be a mapping of keys to values"),
    "dict_type": N_("`{key}` should be a mapping of keys to values"),
    "dataclass_type": N_("`{key}` should be a mapping of keys to values"),
    "list_type": N_("`{key}` should be a list"),
    "tuple_type": N_("`{key}` should be a list"),
    "set_type": N_("`{key}` should be a list"),
    "frozen_set_type": N_("`{key}` should be a list"),
    "int_type": N_("`{key}` should be a whole number"),
    "int_parsing": N_("`{key}` should be a whole number, not `{value}`"),
    "bool_type": N_("`{key}` should be true or false"),
    "bool_parsing": N_("`{key}` should be true or false, not `{value}`"),
    "decimal_type": N_("`{key}` should be a number"),
    "decimal_parsing": N_("`{key}` should be a number, not `{value}`"),
    "float_type": N_("`{key}` should be a number"),
    "float_parsing": N_("`{key}` should be a number, not `{value}`"),
    "greater_than": N_("`{key}` is {value}, but should be more than {gt}"),
    "greater_than_equal": N_("`{key}` is {value}, but should be at least {ge}"),
    "less_than": N_("`{key}` is {value}, but should be less than {lt}"),
    "less_than_equal": N_("`{key}` is {value}, but should be at most {le}"),
    "too_short": N_("`{key}` has {actual_length} entries, but needs at least {min_length}"),
    "too_long": N_("`{key}` has {actual_length} entries, but may have at most {max_length}"),
    "string_too_short": N_("`{key}` is `{value}`, but needs at least {min_length} characters"),
    "string_too_long": N_("`{key}` is `{value}`, but may have at most {max_length} characters"),
    "string_pattern_mismatch": N_("`{key}` is `{value}`, which does not have the form {pattern}"),
}
"""By pydantic's error type. What is not here is told in pydantic's own words."""

_Node: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Error:
    """One complaint of pydantic's, and where in the file it is."""

    details: ErrorDetails
    path: Loc
    members: tuple[tuple[Loc, str], ...]
    """The unions on the way, outermost first: where each is, and which member of it complains."""
    keys: tuple[str, ...]
    """The keys that the mapping around `path` may have; for a mapping whose tag is missing, the tags."""


@dataclass(frozen=True, slots=True)
class _Explained:
    """Turns pydantic's errors into problems, with the model's JSON schema to tell keys of the file from labels."""

    model: type[BaseModel]
    data: Any
    positions: Positions

    def problems(self, error: ValidationError) -> Iterator[Problem]:
        try:
            schema = self.model.model_json_schema()
        except PydanticInvalidForJsonSchema:  # a model with types of its own: no hints, but still every problem
            schema = {}
        found = [_located(each, schema, self.positions) for each in error.errors(include_url=False)]
        return self._settled(found, 0)

    def _settled(self, errors: list[_Error], depth: int) -> Iterator[Problem]:
        """Of each union only the member that was meant: pydantic complains about every one."""
        unions: dict[Loc, dict[str, list[_Error]]] = {}
        for each in errors:
            if len(each.members) <= depth:
                yield self._problem(each)
            else:
                where, label = each.members[depth]
                unions.setdefault(where, {}).setdefault(label, []).append(each)
        for where, tried in unions.items():
            # A member that already fails at the node itself wanted another kind of node.
            groups = [g for g in tried.values() if not any(e.path == where and _is_kind(e) for e in g)]
            if not groups and len(tried) > 1:
                yield self._no_member(where, [group[0] for group in tried.values()])
            else:
                yield from self._settled(min(groups or tried.values(), key=len), depth + 1)

    def _no_member(self, where: Loc, errors: list[_Error]) -> Problem:
        reasons = dict.fromkeys(str(e.details["msg"]) for e in errors)
        return self._wrong(
            where, N_("`{key}` fits nothing that is allowed here: {reasons}"), reasons="; ".join(reasons)
        )

    def _problem(self, error: _Error) -> Problem:
        details, path = error.details, error.path
        context: dict[str, Any] = details.get("ctx", {})
        match details["type"]:
            case "extra_forbidden":
                key = str(path[-1])
                return self._at_key(path, "SA1020", N_("unknown key `{key}`"), key, error.keys)
            case "missing":
                return self._missing(path, str(details["loc"][-1]), ())
            case "union_tag_not_found":
                return self._missing(path, context["discriminator"].strip("'"), error.keys)
            case "union_tag_invalid":
                where = (*path, context["discriminator"].strip("'"))
                return self._not_one_of(where, context["tag"], _quoted(context["expected_tags"]))
            case "literal_error" | "enum":
                return self._not_one_of(path, details["input"], _quoted(context["expected"]))
            case "value_error" if isinstance(cause := context["error"], Wrong):
                return self._wrong(path, cause.text, cause.hint, **cause.values)
            case _ if details["input"] is None:
                return self._wrong(path, N_("`{key}` has no value"))
            case kind if not path and kind in _TEXTS:
                return self._wrong(path, N_("the file should hold keys and their values"))
            case kind if kind in _TEXTS:
                return self._wrong(path, _TEXTS[kind], **{**context, "value": _shown(details["input"])})
            case _:
                return self._wrong(path, N_("`{key}`: {reason}"), reason=details["msg"].removeprefix("Value error, "))

    def _at_key(self, path: Loc, code: str, text: str, key: str, known: tuple[str, ...]) -> Problem:
        hint, values = _suggestion(key, known, N_("known keys: {known}"))
        return Problem(at=self.positions.key(path), code=code, text=text, hint=hint, values={"key": key, **values})

    def _missing(self, path: Loc, key: str, known: tuple[str, ...]) -> Problem:
        return Problem(
            at=self.positions.of(path),
            code="SA1021",
            text=N_("key `{key}` is missing here"),
            hint=N_("its values: {known}") if known else "",
            values={"key": key, "known": ", ".join(known)},
        )

    def _not_one_of(self, path: Loc, value: object, known: tuple[str, ...]) -> Problem:
        hint, values = _suggestion(str(value), known, N_("known values: {known}"))
        return Problem(
            at=self.positions.of(path),
            code="SA1023",
            text=N_("`{key}` may not be `{value}`"),
            hint=hint,
            values={"key": _dotted(path), "value": _shown(value), **values},
        )

    def _wrong(self, path: Loc, text: str, hint: str = "", /, **values: object) -> Problem:
        return Problem(
            at=self.positions.of(path), code="SA1022", text=text, hint=hint, values={"key": _dotted(path), **values}
        )


def _is_kind(error: _Error) -> bool:
    kind = error.details["type"]
    return kind.endswith(("_type", "_parsing")) or kind in {"literal_error", "enum"}


def _suggestion(wrong: str, known: tuple[str, ...], otherwise: str) -> tuple[str, dict[str, str]]:
    """A hint and what fills it: the one name that was likely meant, else all there are."""
    if near := difflib.get_close_matches(wrong, known, n=1):
        return N_("did you mean `{near}`?"), {"near": near[0]}
    return (otherwise, {"known": ", ".join(known)}) if known else ("", {})


def _quoted(listed: str) -> tuple[str, ...]:
    """Pydantic lists what it expects as `'a', 'b' or 'c'`."""
    return tuple(re.findall(r"'([^']*)'", listed))


def _dotted(path: Loc) -> str:
    out = ""
    for part in path:
        out += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if out else part
    return out


def _shown(value: object) -> str:
    shown = str(value)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"


# --- pydantic's loc, which has labels of unions between the keys of the file ----------------------------------------


def _located(details: ErrorDetails, schema: _Node, positions: Positions) -> _Error:
    node, around = schema, schema
    path: Loc = ()
    members: list[tuple[Loc, str]] = []
    for part in details["loc"]:
        node = _bare(node, schema)
        if "discriminator" in node:
            node = {"$ref": node["discriminator"]["mapping"].get(part, "")}
        elif len(options := _options(node)) > 1:
            members.append((path, str(part)))
            node = _option(options, str(part))
        elif (*path, part) in positions.values:
            path, around, node = (*path, part), node, _child(node, part)
    end = _bare(node, schema)
    tags = tuple(end["discriminator"]["mapping"]) if "discriminator" in end else ()
    return _Error(details, path, tuple(members), tags or tuple(around.get("properties", {})))


def _bare(node: _Node, schema: _Node) -> _Node:
    """`node` without references, and without the null that an optional value may also be."""
    while True:
        options = _options(node)
        if "$ref" in node:
            node = schema.get("$defs", {}).get(node["$ref"].rsplit("/", 1)[-1], {})
        elif len(options) == 1:
            node = options[0]
        else:
            return node


def _options(node: _Node) -> list[_Node]:
    return [option for option in node.get("anyOf", ()) if option.get("type") != "null"]


_JSON_TYPES = {"str": "string", "list": "array", "tuple": "array", "dict": "object"}


def _option(options: list[_Node], label: str) -> _Node:
    """The member of a union that pydantic calls `label`: `Target`, `function-after[f(), Target]`, `list[str]`."""
    words = re.findall(r"\w+", label)
    json_type = _JSON_TYPES.get(words[0]) if words else None
    for option in options:
        if option.get("$ref", "").rsplit("/", 1)[-1] in words or (json_type and option.get("type") == json_type):
            return option
    return {}


def _child(node: _Node, part: str | int) -> _Node:
    if isinstance(part, int):
        prefix = node.get("prefixItems", [])
        found = prefix[part] if part < len(prefix) else node.get("items")
    else:
        found = node.get("properties", {}).get(part, node.get("additionalProperties"))
    return found if isinstance(found, dict) else {}
