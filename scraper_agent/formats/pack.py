"""Rule packs: the checks that one published table prescribes, as data (packs/*.yaml), each with the code it prints.

A pack is asked for by name and holds beside a format's own rules: a historical table must not judge data of today. What
its source refers to but does not give comes from the user (`Tables`); a check that lacks it is reported as not run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Protocol, get_args

from pydantic import BaseModel
from pydantic import Field as Setting

from scraper_agent import yamlfile
from scraper_agent.errors import Problem
from scraper_agent.format import Context, Document, Field, Format
from scraper_agent.formats import FORMATS, HERE
from scraper_agent.messages import N_
from scraper_agent.rules import SETTINGS, Values, conditions
from scraper_agent.rules.conditions import Codes, Condition, Kind, Tables, Test, Unique
from scraper_agent.values import Finding, Reason, Severity

PACKS = ("must_check_1995",)

_LIST_NAME = re.compile(r"\{(\w+)\}")


class Repair(BaseModel):
    """What is printed, and what it is read as. ` / ` is the end of a line or of a column."""

    model_config = SETTINGS

    printed: str
    read: str
    confidence: Literal["high", "medium", "low"]


class Check(BaseModel):
    """One check: in the trade modes of `modes`, and if all of `when` holds, all of `must` holds."""

    model_config = SETTINGS

    id: str
    code: str
    """As printed."""
    by_rule: str | None = None
    """The code that the source's own naming rule gives, where it is another."""
    indicators: str
    modes: Codes
    zh: str
    revision: str = ""
    repairs: tuple[Repair, ...] = ()
    when: tuple[Condition, ...] = ()
    must: tuple[Annotated[Condition | Unique, Setting(discriminator="test")], ...]
    doubtful: tuple[Condition, ...] = ()
    """Where all of these hold, the print itself is in doubt, and a lenient reading only warns."""

    @property
    def conditions(self) -> Iterator[tuple[yamlfile.Loc, conditions.AnyCondition]]:
        for part in ("when", "must", "doubtful"):
            for index, condition in enumerate(getattr(self, part)):
                yield (part, index), condition


class TableNeed(BaseModel):
    model_config = SETTINGS

    kind: Kind
    zh: str


class Pack(BaseModel):
    model_config = SETTINGS

    name: str
    zh: str
    en: str
    version: str
    source: str
    date: str
    format: str
    range: str
    """The field whose value decides which checks hold."""
    indicators: dict[str, str]
    """The source's letter of each field."""
    tables: dict[str, TableNeed]
    lists: dict[str, Codes]
    checks: tuple[Check, ...]


class Seen(Protocol):
    """Remembers the keys of a stream, however long it is, without growing in memory."""

    def first(self, key: tuple[str, ...], number: int, /) -> int | None:
        """The number of the record that had `key` first; None if it is this one, which is now remembered."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRun:
    """A check that nothing was asked of, and why."""

    check: str
    code: str
    content: str
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A document of a stream; `number` counts from 1."""

    number: int
    document: Document
    findings: tuple[Finding, ...]


def check(
    documents: Iterable[Document], format: Format, context: Context, checker: Checker | None = None
) -> Iterator[Checked]:
    """Every document of a stream with what is wrong with it, by the format's rules and, if given, by a pack's.

    Nothing of a document is kept once the next is asked for.
    """
    for number, document in enumerate(documents, start=1):
        findings = format.check(document, context)
        if checker is not None:
            findings += tuple(checker.findings(document, number))
        yield Checked(number=number, document=document, findings=findings)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A check whose lists and tables are all there."""

    check: Check
    content: str
    when: tuple[Test, ...]
    must: tuple[Test, ...]
    key: Unique | None
    doubtful: tuple[Test, ...]

    def broken(self, values: Values) -> bool:
        for test in self.when:
            if not test(values):
                return False
        for test in self.must:  # noqa: SIM110 - a generator would take twice as long
            if not test(values):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Checker:
    """A pack made ready for one stream of records."""

    pack: Pack
    not_run: tuple[NotRun, ...]
    _seen: Seen | None
    _by_mode: Mapping[str, tuple[_Ready, ...]] = field(repr=False)

    @property
    def run(self) -> frozenset[str]:
        """The checks that are run, by id."""
        return frozenset(each.id for each in self.pack.checks) - {each.check for each in self.not_run}

    def findings(self, document: Document, number: int) -> Iterator[Finding]:
        """What the pack finds in a record, each under the code it prints.

        `number` counts the records of the stream, from 1: a repeated key names the record that had it first. The first
        one is not blamed, since it had gone by.
        """
        values = document.header
        for ready in self._by_mode.get(conditions.said(values, self.pack.range), ()):
            if ready.key is not None:
                if (first := self._first(ready.key, values, number)) is not None:
                    yield self._finding(ready, values, {"first": str(first)})
            elif ready.broken(values):
                yield self._finding(ready, values, {})

    def _first(self, key: Unique, values: Values, number: int) -> int | None:
        parts = tuple(conditions.said(values, each) for each in key.fields)
        return self._seen.first(parts, number) if self._seen is not None and all(parts) else None

    def _finding(self, ready: _Ready, values: Values, more: Mapping[str, str]) -> Finding:
        check = ready.check
        at = check.must[0].field
        doubtful = bool(ready.doubtful) and all(test(values) for test in ready.doubtful)
        said = {
            "value": conditions.said(values, at),
            "check": check.id,
            "pack": self.pack.name,
            "content": ready.content,
            **more,
        }
        if check.by_rule is not None:
            said["codeByRule"] = check.by_rule
        if check.repairs:
            said["repairs"] = "; ".join(f"{each.printed} → {each.read} ({each.confidence})" for each in check.repairs)
        return Finding(
            code=check.code,
            severity=Severity.WARNING if doubtful else Severity.ERROR,
            field=at,
            text=_text(said),
            values=said,
        )


def _text(said: Mapping[str, str]) -> str:
    match "repairs" in said, "first" in said, said["value"]:
        case _, True, _:
            return N_("is `{value}`, as in record {first}; check {check} of {pack}: {content}")
        case True, _, "":
            return N_("is missing; check {check} of {pack}: {content}; its print was repaired: {repairs}")
        case True, _, _:
            return N_("is `{value}`; check {check} of {pack}: {content}; its print was repaired: {repairs}")
        case _, _, "":
            return N_("is missing; check {check} of {pack}: {content}")
        case _:
            return N_("is `{value}`; check {check} of {pack}: {content}")


def checker(pack: Pack, tables: Tables, seen: Seen | None, *, lenient: bool = False) -> Checker:
    """`pack` with the user's tables. Without `seen`, nothing is said of repeated keys.

    `lenient`: where the print itself is in doubt, a finding is a warning.
    """
    known = conditions.Known(
        lists={name: conditions.expanded(codes) for name, codes in (tables.lists | pack.lists).items()},
        patterns={name: re.compile(pattern) for name, pattern in tables.patterns.items()},
        units=tables.units,
        bands=tables.bands,
    )
    not_run: list[NotRun] = []
    by_mode: dict[str, tuple[_Ready, ...]] = {}
    for each in pack.checks:
        content = _content(each, pack)
        if (why := _missing(each, pack, known, seen)) is not None:
            not_run.append(NotRun(check=each.id, code=each.code, content=content, why=why))
            continue
        ready = _ready(each, content, known, lenient=lenient)
        for mode in conditions.expanded(each.modes):
            by_mode[mode] = (*by_mode.get(mode, ()), ready)
    return Checker(pack, tuple(not_run), seen, by_mode)


def _ready(check: Check, content: str, known: conditions.Known, *, lenient: bool) -> _Ready:
    must: list[Test] = []
    key = None
    for each in check.must:
        if isinstance(each, Unique):
            key = each
        else:
            must.append(conditions.compiled(each, known))
    return _Ready(
        check=check,
        content=content,
        when=tuple(conditions.compiled(each, known) for each in check.when),
        must=tuple(must),
        key=key,
        doubtful=tuple(conditions.compiled(each, known) for each in check.doubtful) if lenient else (),
    )


def _missing(check: Check, pack: Pack, known: conditions.Known, seen: Seen | None) -> Reason | None:
    """Why `check` cannot be run; None if it can."""
    for _, condition in check.conditions:
        if isinstance(condition, Unique) and seen is None:
            return Reason(text=N_("the records are not checked as one stream"))
        need = conditions.needs(condition)
        if need is not None and need[1] not in getattr(known, need[0]):
            kind, name = need
            return Reason(
                text=N_("the table `{table}` ({content}), under `{kind}`, is not given"),
                values={"table": name, "kind": kind, "content": pack.tables[name].zh},
            )
    return None


def _content(check: Check, pack: Pack) -> str:
    return _LIST_NAME.sub(lambda match: "、".join(pack.lists[match[1]]), check.zh)


# --- from files -----------------------------------------------------------------------------------------------------


@cache
def named(name: str) -> Pack:
    """A pack of `PACKS`."""
    return load(HERE / "packs" / f"{name}.yaml")


def load(path: Path) -> Pack:
    """The pack that the YAML file at `path` describes.

    Raises:
        UsageError: there is no such file.
        SourceErrors: it does not fit, or names a format, a field, a list or a table that does not exist.
    """
    return yamlfile.load(path, Pack, _problems)


def load_tables(path: Path, pack: Pack) -> Tables:
    """The user's tables for `pack`.

    Raises:
        UsageError: there is no such file.
        SourceErrors: it does not fit, or has a table that the pack does not know.
    """

    def unknown(tables: Tables, positions: yamlfile.Positions) -> Iterator[Problem]:
        for kind in get_args(Kind):
            wanted = [name for name, need in pack.tables.items() if need.kind == kind]
            for name in getattr(tables, kind):
                if name not in wanted:
                    yield Problem(
                        at=positions.key((kind, name)),
                        code="SA1090",
                        text=N_("the pack `{pack}` has no table `{table}` under `{kind}`"),
                        hint=N_("it knows there: {known}"),
                        values={"pack": pack.name, "table": name, "kind": kind, "known": ", ".join(wanted)},
                    )

    return yamlfile.load(path, Tables, unknown)


def _problems(pack: Pack, positions: yamlfile.Positions) -> Iterator[Problem]:
    if pack.format not in FORMATS:
        yield _problem(
            positions,
            ("format",),
            N_("there is no format `{format}`; there are {known}"),
            format=pack.format,
            known=", ".join(FORMATS),
        )
        return
    fields = FORMATS[pack.format].header_fields
    named = [(("range",), pack.range), *((("indicators", key), id) for key, id in pack.indicators.items())]
    for loc, id in named:
        yield from _field_problem(positions, loc, id, fields)
    for name in pack.lists.keys() & pack.tables.keys():
        yield _problem(positions, ("tables", name), N_("`{name}` is a list of the pack already"), name=name)
    ids: set[str] = set()
    for index, each in enumerate(pack.checks):
        at = ("checks", index)
        if each.id in ids:
            yield _problem(positions, (*at, "id"), N_("`{id}` is the id of another check already"), id=each.id)
        ids.add(each.id)
        yield from _check_problems(each, pack, positions, at, fields)


def _check_problems(
    check: Check, pack: Pack, positions: yamlfile.Positions, at: yamlfile.Loc, fields: Mapping[str, Field]
) -> Iterator[Problem]:
    for letter in check.indicators:
        if letter not in pack.indicators:
            yield _problem(positions, (*at, "indicators"), N_("there is no indicator `{letter}`"), letter=letter)
    for name in _LIST_NAME.findall(check.zh):
        if name not in pack.lists:
            yield _problem(positions, (*at, "zh"), N_("the pack has no list `{name}`"), name=name)
    if len(check.must) > 1 and any(isinstance(each, Unique) for each in check.must):
        yield _problem(positions, (*at, "must"), N_("`unique` must stand alone"))
    for loc, condition in check.conditions:
        for id in conditions.fields_of(condition):
            yield from _field_problem(positions, (*at, *loc), id, fields)
        need = conditions.needs(condition)
        if need is not None and not _provided(need, pack):
            yield _problem(
                positions,
                (*at, *loc),
                N_("the pack has no `{name}` under `{kind}`"),
                name=need[1],
                kind=need[0],
            )


def _provided(need: tuple[Kind, str], pack: Pack) -> bool:
    kind, name = need
    return (kind == "lists" and name in pack.lists) or (name in pack.tables and pack.tables[name].kind == kind)


def _field_problem(
    positions: yamlfile.Positions, loc: yamlfile.Loc, id: str, fields: Mapping[str, Field]
) -> Iterator[Problem]:
    if id not in fields:
        yield _problem(positions, loc, N_("the header has no field `{id}`"), id=id)


def _problem(positions: yamlfile.Positions, loc: yamlfile.Loc, text: str, **values: object) -> Problem:
    return Problem(at=positions.of(loc), code="SA1050", text=text, values=values)
