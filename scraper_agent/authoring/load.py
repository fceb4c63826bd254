"""A recipe file, and all that is wrong with it: names that do not exist, selectors and patterns that do not parse."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from scraper_agent import buttons, convert, mapping, page, yamlfile
from scraper_agent.authoring import edition, flows, overlay
from scraper_agent.errors import PageError, Problem
from scraper_agent.format import Field, Format, Holds
from scraper_agent.messages import N_
from scraper_agent.recipe import (
    PLACEHOLDER,
    Account,
    Apart,
    Click,
    Fill,
    Key,
    Open,
    Parameter,
    Read,
    Recipe,
    Select,
    Session,
    Source,
    apart_names,
    parts,
)
from scraper_agent.yamlfile import Loc, Positions

PROFILE = ("uscc", "name", "customs_code", "customs_master", "special_zone")
"""The keys of the enterprise's profile."""

_SECRET = re.compile(
    r"(?:^|[_.-])(?:pass(?:word|wd|phrase|code)?|pwd|pin|secret|token|api_?key|private_?key)s?(?:$|[_.-])|密码|口令|密钥",
    re.IGNORECASE,
)
"""Names of parameters that somebody would put a password into."""

_CSS = frozenset({"css", "rows", "table", "skip", "within", "target"})

_CONVERTS: Mapping[Holds, frozenset[str]] = {
    "text": frozenset({"text", "code", "integer", "decimal", "date"}),
    "number": frozenset({"integer", "decimal"}),
    "date": frozenset({"date"}),
    "datetime": frozenset(),
}
"""What `as` may say, by what the field holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A recipe that passed every check. `warnings` are worth a look, but do not stop a run."""

    path: Path
    recipe: Recipe
    source: bytes
    """What was run: the file as it is; of a recipe that extends others, all of them merged."""
    lookups: edition.Tables
    format: Format
    warnings: tuple[Problem, ...]
    files: Mapping[str, bytes]
    """See `Edition`."""

    @property
    def edition(self) -> edition.Edition:
        """What may be approved of it."""
        return edition.Edition(recipe=self.recipe, lookups=self.lookups, files=self.files)


def load(path: Path, formats: Mapping[str, Format], roots: tuple[Path, ...] = ()) -> Loaded:
    """The recipe at `path`, checked against its format.

    What it extends has to stand in `roots`; if none are given, in the folder that its own folder is in.

    Raises:
        UsageError: there is no such file.
        SourceErrors: with every problem, in file order.
    """
    noted: list[Problem] = []
    tables: dict[str, Mapping[str, str]] = {}
    named: dict[tuple[Path, str], yamlfile.Source] = {}

    def extra(recipe: Recipe, at: Positions) -> Iterator[Problem]:
        checker = _Checker(recipe=recipe, at=at, formats=formats)
        yield from checker.lookups(tables, named)
        yield from checker.problems()
        noted.extend(checker.unread_fields())

    composed = overlay.compose(path, roots or (path.resolve().parent.parent,))
    recipe = yamlfile.fit(composed.source, Recipe, extra)
    places = {source.positions.path: place for place, source in enumerate(composed.files)}
    own = {edition.own_name(place, source.positions.path): source.raw for place, source in enumerate(composed.files)}
    beside = {edition.lookup_name(places[path], where): source.raw for (path, where), source in named.items()}
    return Loaded(
        path=path,
        recipe=recipe,
        source=composed.text,
        lookups=tables,
        format=formats[recipe.format],
        warnings=tuple(noted),
        files=own | beside,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checker:
    recipe: Recipe
    at: Positions
    formats: Mapping[str, Format]

    def problems(self) -> Iterator[Problem]:
        yield from self._format()
        yield from self._pages()
        yield from self._places()
        yield from self._reads()
        yield from self._sources()
        yield from self._since()
        yield from self._apart()
        yield from flows.Checker(recipe=self.recipe, at=self.at).problems()
        yield from self._parameters()
        if self.recipe.session is not None and self.recipe.login is None:
            yield Problem(
                at=self.at.key(("session",)),
                code="SA1240",
                text=N_("`session` goes with `login`: without one there is no session that could end"),
            )
        if convert.notation_fault(self.recipe.locale.date):
            yield self._date(("locale", "date"), self.recipe.locale.date)

    def _parameters(self) -> Iterator[Problem]:
        yield from self._addresses(("parameters",), self.recipe.parameters)
        for flow, made in self.recipe.flows.items():
            yield from self._addresses(("flows", flow, "parameters"), made.parameters)
        for name in self.recipe.parameters:
            if _SECRET.search(name):
                yield Problem(
                    at=self.at.key(("parameters", name)),
                    code="SA1224",
                    text=N_("`{seen}` looks like a secret; a parameter stands on the command line and in the log"),
                    hint=N_("use `${{secret:{seen}}}` in `fill`, and say in the config where the secret is"),
                    values={"seen": name},
                )

    def _addresses(self, loc: Loc, parameters: Mapping[str, Parameter]) -> Iterator[Problem]:
        for name, parameter in parameters.items():
            if parameter.type == "url" and parameter.default is not None and not is_address(parameter.default):
                yield Problem(
                    at=self.at.of((*loc, name, "default")),
                    code="SA1262",
                    text=N_("`{seen}` is no address of an ERP"),
                    hint=N_("http:// or https://, a host, and nothing that is read in two ways"),
                    values={"seen": parameter.default},
                )

    # --- the format's fields ----------------------------------------------------------------------------------------

    def _format(self) -> Iterator[Problem]:
        format = self.formats.get(self.recipe.format)
        if format is None:
            yield self._unknown(
                "SA1202", N_("there is no format `{seen}`"), ("format",), self.recipe.format, self.formats
            )
            return
        rule = self.recipe.document
        for part, reads, fields in (
            (("document", "header"), rule.header, format.header_fields),
            (("document", "lines", "values"), rule.lines.values, format.line_fields),
        ):
            for id in reads:
                yield from self._field((*part, id), id, fields)

    def _field(self, loc: Loc, id: str, fields: Mapping[str, Field]) -> Iterator[Problem]:
        if id not in fields:
            text = N_("the format {format} has no field `{seen}`")
            yield self._unknown("SA1203", text, loc, id, fields, key=True, format=self.recipe.format)
        elif id in made_by_the_program(self.formats[self.recipe.format]):
            yield Problem(
                at=self.at.key(loc),
                code="SA1204",
                text=N_("`{field}` is made by the program and cannot be read from a page"),
                hint=N_("leave it out"),
                values={"field": id},
            )

    def unread_fields(self) -> Iterator[Problem]:
        """Mandatory fields that nothing in the recipe gives: every document will have a finding."""
        format = self.formats.get(self.recipe.format)
        if format is None:
            return
        rule = self.recipe.document
        for loc, given, fields in (
            (("document", "header"), rule.header, format.header),
            (("document", "lines", "values"), rule.lines.values, format.lines),
        ):
            missing = [f.id for f in fields if f.mandatory and f.id not in given]
            missing = [id for id in missing if id not in made_by_the_program(format)]
            if missing:
                yield Problem(
                    at=self.at.key(loc),
                    code="SA1220",
                    text=N_("no origin for the mandatory field(s) {fields}: every document will be blocked"),
                    hint=N_("find where the ERP shows it, or say so to the receiving side"),
                    values={"fields": ", ".join(missing)},
                )

    # --- names ------------------------------------------------------------------------------------------------------

    def _pages(self) -> Iterator[Problem]:
        snapped = {s.name for s in flows.snaps(self.recipe, self.recipe.steps)}
        if self.recipe.document.page not in snapped:
            text = N_("no step snaps the page `{seen}`")
            yield self._unknown("SA1205", text, ("document", "page"), self.recipe.document.page, snapped)
        for name, source in self.recipe.sources.items():
            snapped = {s.name for s in flows.snaps(self.recipe, source.steps)}
            if source.page not in snapped:
                text = N_("no step snaps the page `{seen}`")
                yield self._unknown("SA1205", text, ("sources", name, "page"), source.page, snapped)

    def _places(self) -> Iterator[Problem]:
        """Everything that stands somewhere in the recipe: selectors, patterns, placeholders."""
        for loc, owner, name, value in _walk(self.recipe, ()):
            if name in _CSS and isinstance(value, str):
                yield from self._css(loc, value)
            elif name == "pattern" and isinstance(value, str):
                yield from self._pattern(loc, value, groups=1)
            elif name == "path" and isinstance(value, str):
                yield from self._pattern(loc, value, groups=None)
            elif name == "although" and isinstance(value, str):
                yield from self._although(loc, value)
            elif isinstance(value, str) and _is_filled_in(name, owner):
                yield from self._placeholders(loc, value, owner)
        for number, pattern in enumerate(self.recipe.refuses):
            yield from self._pattern(("refuses", number), pattern, groups=None)
        for number, permit in enumerate(self.recipe.permits):
            for key, pattern in permit.json_.items():
                yield from self._pattern(("permits", number, "json", key), pattern, groups=None)

    def _although(self, loc: Loc, text: str) -> Iterator[Problem]:
        if buttons.plainly_writes(text):
            yield Problem(
                at=self.at.of(loc),
                code="SA1260",
                text=N_("`{seen}` says nothing but to write: no recipe can vouch for it"),
                hint=N_("choose another way; the robot only reads"),
                values={"seen": text},
            )
        elif not buttons.writes(text):
            yield Problem(
                at=self.at.of(loc),
                code="SA1261",
                text=N_("`although` has no effect: `{seen}` does not sound like writing"),
                hint=N_("leave it out; or write what the element reads, word for word"),
                values={"seen": text},
            )

    def _css(self, loc: Loc, css: str) -> Iterator[Problem]:
        try:
            page.selector(css)
        except PageError as error:
            yield Problem(
                at=self.at.of(loc),
                code="SA1206",
                text=N_("`{seen}` is not a CSS selector: {why}"),
                values={"seen": css, "why": error.values["why"]},
            )

    def _pattern(self, loc: Loc, pattern: str, *, groups: int | None) -> Iterator[Problem]:
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            yield Problem(
                at=self.at.of(loc),
                code="SA1207",
                text=N_("`{seen}` is not a regular expression: {why}"),
                values={"seen": pattern, "why": str(error)},
            )
            return
        if groups is not None and compiled.groups != groups:
            yield Problem(
                at=self.at.of(loc),
                code="SA1208",
                text=N_("the pattern has {seen} groups; it needs exactly one: the part to keep"),
                hint=N_("put ( ) around the part to keep, and (?: ) around others"),
                values={"seen": compiled.groups},
            )

    def _placeholders(self, loc: Loc, text: str, owner: BaseModel) -> Iterator[Problem]:
        for kind, name in PLACEHOLDER.findall(text):
            if kind and not isinstance(owner, Fill):
                yield Problem(
                    at=self.at.of(loc),
                    code="SA1209",
                    text=N_("a secret may only be typed: `${{secret:{name}}}` stands outside of `fill`"),
                    values={"name": name},
                )
            elif not kind and name not in (known := flows.names_at(self.recipe, loc)):
                yield self._unknown("SA1210", N_("there is no parameter `{seen}`"), loc, name, known)
        if isinstance(owner, Open | Apart | Session):
            first = PLACEHOLDER.match(text)
            type = flows.names_at(self.recipe, loc).get(first[2]) if first else None
            rest = text[first.end() :] if first else ""
            apart = not rest or rest.startswith(("/", "?", "#"))  # `${base}.example` is another address
            if first is None or not apart or (type is not None and type != "url"):
                yield Problem(
                    at=self.at.of(loc),
                    code="SA1211",
                    text=N_("an address begins with a parameter of type url, such as `${{base}}`; seen: `{seen}`"),
                    hint=N_("only addresses of such parameters may be reached"),
                    values={"seen": text},
                )

    # --- reads ------------------------------------------------------------------------------------------------------

    def _reads(self) -> Iterator[Problem]:
        rule = self.recipe.document
        format = self.formats.get(self.recipe.format)
        yield from self._text(("document", "record"), rule.record, in_rows=False)
        if self.recipe.erp_versions is not None:
            yield from self._text(("erp_versions", "shown"), self.recipe.erp_versions.shown, in_rows=False)
        for id, read in rule.header.items():
            loc: Loc = ("document", "header", id)
            yield from self._read(loc, read, in_rows=False)
            yield from self._as(loc, read, format.header_fields.get(id) if format else None)
        for id, read in rule.lines.values.items():
            loc = ("document", "lines", "values", id)
            yield from self._read(loc, read, in_rows=True)
            yield from self._as(loc, read, format.line_fields.get(id) if format else None)
        yield from self._twin(format)
        for name, source in self.recipe.sources.items():
            yield from self._key(("sources", name, "key"), source.key, in_rows=source.rows is not None)
            for id, read in source.take.items():
                yield from self._text(("sources", name, "take", id), read, in_rows=source.rows is not None)

    def _since(self) -> Iterator[Problem]:
        since = self.recipe.since
        if since is None:
            return
        parameter = self.recipe.parameters.get(since.parameter)
        if parameter is None:
            text = N_("there is no parameter `{seen}`")
            yield self._unknown("SA1210", text, ("since", "parameter"), since.parameter, self.recipe.parameters)
        elif parameter.type != "date" or parameter.default is None:
            yield Problem(
                at=self.at.of(("since", "parameter")),
                code="SA1227",
                text=N_("`{seen}` must be of type date, with a default: where the first run begins"),
                values={"seen": since.parameter},
            )
        format = self.formats.get(self.recipe.format)
        known = format.header_fields if format else {}
        dates = [id for id in self.recipe.document.header if id in known and known[id].type.holds == "date"]
        if since.field not in dates:
            text = N_("the document reads no date `{seen}`")
            yield self._unknown("SA1228", text, ("since", "field"), since.field, dates)

    def _apart(self) -> Iterator[Problem]:
        """The address of a session elsewhere is for that check alone, and no part of reading."""
        names = apart_names(self.recipe)
        for loc, owner, name, value in _walk(self.recipe, ()):
            if loc[0] == "apart" or not isinstance(owner, Open) or name != "url":
                continue
            for _, used in PLACEHOLDER.findall(value):
                if used in names:
                    yield Problem(
                        at=self.at.of(loc),
                        code="SA1250",
                        text=N_("`{seen}` is the address of a session elsewhere, which only the check may open"),
                        hint=N_("give `apart` a parameter of its own"),
                        values={"seen": used},
                    )
        for number, one in enumerate(self.recipe.apart):
            if one.name in {other.name for other in self.recipe.apart[:number]}:
                yield Problem(
                    at=self.at.of(("apart", number, "name")),
                    code="SA1251",
                    text=N_("two sessions elsewhere are called `{seen}`"),
                    values={"seen": one.name},
                )

    def _twin(self, format: Format | None) -> Iterator[Problem]:
        """A twin's reads are as the document's own, of whose fields they are."""
        twin, rule = self.recipe.document.twin, self.recipe.document
        if twin is None:
            return
        start: Loc = ("document", "twin")
        if twin.match is not None and (twin.lines is None or twin.match not in twin.lines.values):
            known = twin.lines.values if twin.lines else ()
            yield self._unknown("SA1226", N_("the twin reads no `{seen}`"), (*start, "match"), twin.match, known)
        values = twin.lines.values if twin.lines else {}
        for part, reads, own, fields in (
            (("header",), twin.header, rule.header, format.header_fields if format else {}),
            (("lines", "values"), values, rule.lines.values, format.line_fields if format else {}),
        ):
            for id, read in reads.items():
                loc: Loc = (*start, *part, id)
                if id not in own:
                    text = N_("the document has no `{seen}` that the twin could be compared with")
                    yield self._unknown("SA1225", text, loc, id, own, key=True)
                yield from self._read(loc, read, in_rows=part[0] == "lines")
                yield from self._as(loc, read, fields.get(id))

    def _text(self, loc: Loc, read: Read, *, in_rows: bool) -> Iterator[Problem]:
        """A read that gives text and no value: a key, or what a source is asked for."""
        yield from self._read(loc, read, in_rows=in_rows)
        for name, given in (
            ("as", read.convert),
            ("lookup", read.lookup),
            ("date", read.date),
            ("numbers", read.numbers),
            ("dates", read.dates),
        ):
            if given is not None:
                yield Problem(
                    at=self.at.key((*loc, name)),
                    code="SA1222",
                    text=N_("`{key}` has no effect here: this is text until a field of the document takes it"),
                    hint=N_("write it at the field under `document`"),
                    values={"key": name},
                )

    def _as(self, loc: Loc, read: Read, field: Field | None) -> Iterator[Problem]:
        if field is None or read.convert is None or read.convert in _CONVERTS[field.type.holds]:
            return
        yield Problem(
            at=self.at.of((*loc, "as")),
            code="SA1223",
            text=N_("`as: {seen}` cannot fill `{field}`, which holds {holds} ({type})"),
            hint=N_("leave `as` out: the format's type says it"),
            values={"seen": read.convert, "field": field.id, "holds": field.type.holds, "type": field.type.notation},
        )

    def _read(self, loc: Loc, read: Read, *, in_rows: bool) -> Iterator[Problem]:
        if not in_rows and (read.column is not None or read.row):
            yield Problem(
                at=self.at.of(loc),
                code="SA1212",
                text=N_("`column` and `row` are for rows of a table only"),
                hint=N_("use `label` or `css` here"),
            )
        if read.lookup is not None and read.lookup not in self.recipe.lookups:
            text = N_("there is no lookup table `{seen}`")
            yield self._unknown("SA1213", text, (*loc, "lookup"), read.lookup, self.recipe.lookups)
        if read.profile is not None and read.profile not in PROFILE:
            text = N_("the enterprise's profile has no `{seen}`")
            yield self._unknown("SA1214", text, (*loc, "profile"), read.profile, PROFILE)
        if read.date is not None and convert.notation_fault(read.date):
            yield self._date((*loc, "date"), read.date)
        if read.source is not None:
            yield from self._join(loc, read)
        if read.by is not None:
            yield from self._key((*loc, "by"), read.by, in_rows=in_rows)
        for number, alternative in enumerate(read.any_of):
            yield from self._text((*loc, "any_of", number), alternative, in_rows=in_rows)

    def _key(self, loc: Loc, key: Key, *, in_rows: bool) -> Iterator[Problem]:
        if isinstance(key, Read):
            yield from self._text(loc, key, in_rows=in_rows)
        else:
            for number, part in enumerate(key):
                yield from self._text((*loc, number), part, in_rows=in_rows)

    def _join(self, loc: Loc, read: Read) -> Iterator[Problem]:
        source = self.recipe.sources.get(read.source or "")
        if source is None:
            text = N_("there is no source `{seen}`")
            yield self._unknown("SA1215", text, (*loc, "source"), str(read.source), self.recipe.sources)
        elif read.take not in source.take:
            text = N_("the source takes no `{seen}`")
            yield self._unknown("SA1216", text, (*loc, "take"), str(read.take), source.take)

    def _sources(self) -> Iterator[Problem]:
        for name, source in self.recipe.sources.items():
            for loc, read in self._source_reads(name, source):
                if read.source is not None:
                    yield Problem(
                        at=self.at.of(loc),
                        code="SA1217",
                        text=N_("a source cannot take from another source"),
                    )

    @staticmethod
    def _source_reads(name: str, source: Source) -> Iterator[tuple[Loc, Read]]:
        for part in parts(source.key):
            yield ("sources", name, "key"), part
        for id, read in source.take.items():
            yield ("sources", name, "take", id), read

    def lookups(
        self, tables: dict[str, Mapping[str, str]], named: dict[tuple[Path, str], yamlfile.Source]
    ) -> Iterator[Problem]:
        """Fills `tables`, and `named`: each file under the recipe file that names it, and how."""
        files: dict[tuple[Path, str], edition.Tables] = {}
        for name, where in self.recipe.lookups.items():
            if not isinstance(where, str):
                tables[name] = where
                continue
            loc = ("lookups", name)
            by = self.at.of(loc).path  # beside the file that names it, which may be a parent
            file = by.parent / where
            if (by, where) not in files:
                if Path(where).name != where or not file.is_file():
                    yield Problem(
                        at=self.at.of(loc),
                        code="SA1218",
                        text=N_("there is no file `{seen}` beside the recipe"),
                        values={"seen": where},
                    )
                    continue
                # Its own mistakes are raised as they are: they must be shown with its own lines.
                named[by, where] = yamlfile.read(file)
                files[by, where] = yamlfile.fit(named[by, where], edition.TablesFile).root
            if name in files[by, where]:
                tables[name] = files[by, where][name]
            else:
                text = N_("the file has no table `{seen}`")
                yield self._unknown("SA1219", text, loc, name, files[by, where])

    # --- problems ---------------------------------------------------------------------------------------------------

    def _unknown(
        self, code: str, text: str, loc: Loc, seen: str, known: Iterable[str], *, key: bool = False, **values: str
    ) -> Problem:
        near = difflib.get_close_matches(seen, list(known), n=1)
        return Problem(
            at=self.at.key(loc) if key else self.at.of(loc),
            code=code,
            text=text,
            hint=N_("did you mean `{near}`?") if near else N_("there are: {known}"),
            values={"seen": seen, "near": near[0] if near else "", "known": ", ".join(sorted(known)) or "-", **values},
        )

    def _date(self, loc: Loc, seen: str) -> Problem:
        return Problem(
            at=self.at.of(loc),
            code="SA1221",
            text=N_("`{seen}` does not name year, month and day once each"),
            hint=N_("write such as YYYY-MM-DD, MM/DD/YYYY or YYYY年M月D日"),
            values={"seen": seen},
        )


def _is_filled_in(name: str, owner: BaseModel) -> bool:
    """Whether `${...}` in this key is filled in."""
    match owner:
        case Open() | Fill() | Select() | Click():
            return name != "do"
        case Apart():
            return name == "url"
        case Account():
            return name == "reads"
        case _:
            return False


def made_by_the_program(format: Format) -> frozenset[str]:
    """Fields of the common header that no recipe gives."""
    return frozenset(f.id for f in format.header) & mapping.COMMON_FIELDS


def is_address(text: str) -> bool:
    """Whether it is what a browser may be sent to: http or https with a host; no `file:`, `data:` or `javascript:`."""
    if any(c.isspace() or not c.isprintable() or c == "\\" for c in text):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _walk(node: Any, loc: Loc) -> Iterator[tuple[Loc, BaseModel, str, Any]]:
    """Every scalar of a model: where it stands in the file, whose it is, its name and value."""
    if isinstance(node, BaseModel):
        for name, field in type(node).model_fields.items():
            value = getattr(node, name)
            here = (*loc, field.alias or name)
            if isinstance(value, (BaseModel, tuple, dict)):
                yield from _walk(value, here)
            else:
                yield here, node, name, value
    elif isinstance(node, tuple):
        for index, item in enumerate(node):
            yield from _walk(item, (*loc, index))
    elif isinstance(node, dict):
        for key, item in node.items():
            yield from _walk(item, (*loc, key))
