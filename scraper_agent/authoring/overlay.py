"""A recipe laid over another: `extends: vendor/name`, and the few lines that differ at this site.

Mappings are merged key by key; an empty value (`key:` or `null`) removes the parent's key; everything else replaces it.
A mapping over a list of steps names them: `orders: {…}` changes the step of that name, `orders: null` removes it.
Where the overlay finds a value elsewhere (`css` over `label`), all that told the parent's place goes with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from scraper_agent import yamlfile
from scraper_agent.errors import Position, Problem
from scraper_agent.messages import N_
from scraper_agent.recipe import RELATIONS
from scraper_agent.yamlfile import Loc, Positions, Source

EXTENDS = "extends"

_NAME = re.compile(r"[a-z0-9][a-z0-9._/-]{0,63}")
_PLACE = frozenset(
    {"label", "column", "css", "id", "json", "url", "row", "profile", "source", "role", "text", *RELATIONS}
)
"""Keys that say where something is found."""
_WITH_PLACE = _PLACE | {"name", "per", "page", "by", "take", "attribute", "hidden", "pattern"}
"""Keys that make no sense with another place."""
_FREE = frozenset({"lookups", "parameters"})
"""Parts whose keys are the recipe's own words."""


@dataclass(frozen=True, slots=True)
class Composed:
    """One recipe made of its files. `text`: the file as it is, or all merged, which alone is the same recipe."""

    source: Source
    text: bytes
    files: tuple[Source, ...]
    """Its own file first, then what each extends."""


def compose(path: Path, roots: tuple[Path, ...]) -> Composed:
    """The recipe at `path` with all that it extends; those have to stand in `roots`.

    Raises:
        UsageError: there is no such file.
        SourceErrors: a file is not YAML; or a parent is missing, stands outside of `roots`, or extends its own child.
    """
    files, chain = [yamlfile.read(path)], [path.resolve()]
    while _extends(files[-1]):
        own = _own_problems(files[-1])
        parent = _parent(files[-1], roots, tuple(chain))
        if own:
            raise files[-1].refusal(own)
        files.append(yamlfile.read(parent))
        chain.append(parent.resolve())
    return merged(files)


def merged(files: Sequence[Source]) -> Composed:
    """One recipe of a file and what each extends, that which extends nothing last.

    Raises:
        SourceErrors: a parent is no recipe, or lacks what its child changes.
    """
    source = files[-1]
    for child in reversed(files[:-1]):
        source = _laid_over(source, child)
    if len(files) == 1:
        return Composed(source, source.raw, tuple(files))
    told = yaml.safe_dump(source.data, allow_unicode=True, sort_keys=False, width=120)
    return Composed(source, told.encode(), tuple(files))


def _extends(source: Source) -> bool:
    return isinstance(source.data, dict) and EXTENDS in source.data


def _laid_over(parent: Source, child: Source) -> Source:
    if not isinstance(parent.data, dict):
        raise child.refusal([_problem(child, "SA1317", N_("{path} holds no recipe"), path=parent.positions.path)])
    merge = _Merge(child=child, parent=parent)
    data = merge.mappings(child.data, parent.data, (), ())
    data.pop(EXTENDS, None)
    positions = Positions(child.positions.path, merge.values, merge.keys)
    texts = {**parent.texts, **child.texts}
    made = Source(data=data, positions=positions, raw=child.raw, texts=texts)
    if merge.problems:
        raise made.refusal(merge.problems)
    return made


def _problem(source: Source, code: str, text: str, hint: str = "", **values: object) -> Problem:
    return Problem(at=source.positions.of((EXTENDS,)), code=code, text=text, hint=hint, values=values)


def _own_problems(source: Source) -> list[Problem]:
    """Name and version are in every document that is sent: those of the parent would tell an untruth."""
    return [
        _problem(source, "SA1314", N_("an overlay needs a `{key}` of its own"), key=key)
        for key in ("recipe", "version")
        if not source.data.get(key)
    ]


def _parent(source: Source, roots: tuple[Path, ...], chain: tuple[Path, ...]) -> Path:
    seen = source.data[EXTENDS]
    inside = [root.resolve() for root in roots]
    candidates: list[Path] = []
    if isinstance(seen, str) and seen.endswith((".yaml", ".yml")):
        candidates = [source.positions.path.parent / seen]
    elif isinstance(seen, str) and _NAME.fullmatch(seen):
        # A site may lay `demo/order` over the recipe of that name which comes with the program.
        candidates = [each for root in roots if (each := root / f"{seen}.yaml").resolve() != chain[-1]]
    else:
        raise source.refusal(
            [_problem(source, "SA1310", N_("`extends` is the name of a recipe, or a file beside this one"))]
        )
    for path in candidates:
        found = path.resolve()
        if not any(found.is_relative_to(root) for root in inside):
            text = N_("`{seen}` is outside of the recipe folders")
            raise source.refusal([_problem(source, "SA1312", text, seen=seen)])
        if found.is_file():
            if found in chain:
                text = N_("`{seen}` extends this recipe in its turn")
                raise source.refusal([_problem(source, "SA1313", text, seen=seen)])
            return path
    text = N_("there is no recipe `{seen}` to extend")
    hint = N_("a name such as demo/order in the recipe folder or of the program; or a file, from this one's folder")
    raise source.refusal([_problem(source, "SA1311", text, hint, seen=seen)])


@dataclass(slots=True)
class _Merge:
    """`at` is where a node stands in the merged recipe, `own` where in the overlay's file, `theirs` in the parent's."""

    child: Source
    parent: Source
    values: dict[Loc, Position] = field(default_factory=dict)
    keys: dict[Loc, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def mappings(self, child: dict[str, Any], parent: dict[str, Any], own: Loc, at: Loc, theirs: Loc = ()) -> Any:
        self.values[at] = self.child.positions.of(own)
        if at:
            self.keys[at] = self.child.positions.key(own)
        kept = dict(parent)
        if not (at and at[0] in _FREE) and any(
            key in _PLACE and _is_scalar(child[key]) for key in child if key not in parent
        ):
            kept = {key: value for key, value in parent.items() if key not in _WITH_PLACE}
        made: dict[str, Any] = {}
        for key, value in kept.items():
            if key not in child:
                self._copy(self.parent, (*theirs, key), (*at, key))
                made[key] = value
            elif child[key] is not None:
                made[key] = self._node(child[key], value, (*own, key), (*at, key), (*theirs, key))
        for key, value in child.items():
            if value is None and key not in parent:
                self._tell(own, key, "SA1315", N_("there is no `{key}` in the parent to remove"))
            elif value is not None and key not in kept:
                self._copy(self.child, (*own, key), (*at, key))
                made[key] = value
        return made

    def _node(self, child: Any, parent: Any, own: Loc, at: Loc, theirs: Loc) -> Any:
        if isinstance(child, dict) and isinstance(parent, dict):
            return self.mappings(child, parent, own, at, theirs)
        if isinstance(child, dict) and isinstance(parent, list) and parent and all(map(_is_step, parent)):
            return self._steps(child, parent, own, at, theirs)
        self._copy(self.child, own, at)
        return child

    def _steps(self, child: dict[str, Any], parent: list[Any], own: Loc, at: Loc, theirs: Loc) -> list[Any]:
        self._place(self.parent, theirs, at)
        made: list[Any] = []
        names = [step.get("name") for step in parent]
        for name in child:
            if names.count(name) != 1:
                self._tell(own, name, "SA1316", N_("the parent has no step of the name `{key}` here, or several"))
        for number, (step, name) in enumerate(zip(parent, names, strict=True)):
            here, there = (*at, len(made)), (*theirs, number)
            if name not in child:
                self._copy(self.parent, there, here)
                made.append(step)
            elif child[name] is not None:
                made.append(self._node(child[name], step, (*own, name), here, there))
        return made

    def _tell(self, own: Loc, key: str, code: str, text: str) -> None:
        at = self.child.positions.key((*own, key))
        self.problems.append(Problem(at=at, code=code, text=text, values={"key": key}))

    def _copy(self, source: Source, there: Loc, here: Loc) -> None:
        """The positions of a whole part."""
        for loc in _locs(_at(source.data, there)):
            self._place(source, (*there, *loc), (*here, *loc))

    def _place(self, source: Source, there: Loc, here: Loc) -> None:
        self.values[here] = source.positions.of(there)
        self.keys[here] = source.positions.key(there)


def _is_step(node: Any) -> bool:
    return isinstance(node, dict) and "do" in node


def _is_scalar(node: Any) -> bool:
    return node is not None and not isinstance(node, dict | list)


def _at(node: Any, loc: Loc) -> Any:
    for part in loc:
        node = node[part]
    return node


def _locs(node: Any) -> Iterator[Loc]:
    """Of a node and all below it."""
    yield ()
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in children:
        for loc in _locs(value):
            yield (key, *loc)
