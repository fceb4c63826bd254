"""Frozen pages -> documents, with the origin of every value. Pure: the same bytes give the same document, years later.

Two kinds of trouble. The page lacks a place that the recipe names, or has two: `PageError`, the page is refused. A
place holds text that is no value of its field: the field stays empty and a finding says so, which blocks the document.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from typing import Literal, Protocol

from scraper_agent import canonical, convert, inference, notation, panes, relations, twin
from scraper_agent.convert import Unreadable
from scraper_agent.errors import BusinessError, PageError
from scraper_agent.format import Document, Field, Format, Type, Value, encode
from scraper_agent.messages import N_
from scraper_agent.notation import Amount, Moment
from scraper_agent.page import Element, FrozenPage, Spot, Table
from scraper_agent.recipe import RELATIONS, Key, Lines, Locale, Read, Recipe, Rows, Source, Twin, chain, parts
from scraper_agent.values import Digest, Finding, JobId, Severity

CHINA_TIME = timezone(timedelta(hours=8))

_TEXT = Type.parse("an..ul")
_ABSENT = frozenset({"SA2002", "SA2009"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A value that another one was exchanged for."""

    kind: Literal["table", "source"]
    """A table of the recipe, or rows of a page that were read before."""
    name: str
    key: str
    value: str
    place: str
    """Where the key was read; empty: where the value was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where one value came from: enough to point at its pixels and to repeat every step from there to the value."""

    field: str
    page: Digest | None
    """The frozen page; None for a value of the enterprise's profile."""
    frame: str
    target: str
    raw: str
    steps: tuple[str, ...]
    value: str
    box: tuple[int, int, int, int] | None
    """x, y, width, height on the page's image."""
    alternative: tuple[int, int] | None = dataclasses.field(default=None, metadata={"none": "left out"})
    """Which of how many places that the recipe names was there, from 1; None: it names one."""
    lookups: tuple[Lookup, ...] | None = dataclasses.field(default=None, metadata={"none": "left out"})
    """In order; None: there were none, or the reading is from before they were kept."""


def shown(origin: Origin, format: Format) -> Origin:
    """The origin as people may see it: of a field that is masked, without the value."""
    _, _, path = origin.field.rpartition(" ")  # a twin's origins are named `twin i491`
    line, _, id = path.rpartition(".")
    of = (format.line_fields if line else format.header_fields).get(id)
    if of is None or not of.masked:
        return origin
    return replace(
        origin,
        raw=of.masked_in(origin.raw, origin.value),
        value=of.masked_in(origin.value, origin.value),
        steps=tuple(of.masked_in(step, origin.value) for step in origin.steps),
        lookups=origin.lookups
        and tuple(
            replace(each, key=of.masked_in(each.key, origin.value), value=of.masked_in(each.value, origin.value))
            for each in origin.lookups
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one page says. `header` and `lines` hold the fields of the format that have a value."""

    record: str
    header: Mapping[str, Value]
    lines: tuple[Mapping[str, Value], ...]
    unread: tuple[Finding, ...]
    origins: tuple[Origin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a Read is resolved: a page, and for lines a row of a table on it."""

    page: FrozenPage
    digest: Digest
    table: Table | None = None
    row: Element | None = None
    number: int = 0
    numbers: Mapping[str, int] = field(default_factory=dict)
    """Of the row, counted anew where the text of a column changes; by that column."""


@dataclass(slots=True)
class Reader:
    """Reads the pages of one run; pages of `sources` come first and are remembered."""

    recipe: Recipe
    format: Format
    lookups: Mapping[str, Mapping[str, str]]
    profile: Mapping[str, str]
    rows: dict[str, dict[str, list[_Row]]] = field(default_factory=dict)
    """Source -> key -> its rows."""
    beside: dict[str, Place] = field(default_factory=dict)
    """Other snaps of the record whose document comes next."""
    attached: list[tuple[str, Digest]] = field(default_factory=list)
    erp_known: bool = False
    """A page has shown a version of the ERP that the recipe is for."""

    def check_erp(self, page_name: str, frozen: bytes, digest: Digest) -> None:
        """Ask a page for the ERP's version, until one has shown it.

        Raises:
            PageError: the page does not show it and has to, or is the document's and no page before it did.
            BusinessError: it is another than the recipe is for.
        """
        versions = self.recipe.erp_versions
        if versions is None or self.erp_known:
            return
        labels = [versions.shown.label] if versions.shown.label is not None else []
        place = Place(page=FrozenPage(frozen, labels=labels), digest=digest)
        try:
            taken = self._taken(versions.shown, place)
        except Unreadable as error:
            raise BusinessError("SA2302", error.text, **error.values_seen) from None
        if taken is None:
            if page_name == self.recipe.document.page:
                raise place.page.absent(_named(versions.shown))
            return
        if not versions.allows(taken.text):
            raise BusinessError(
                "SA2320",
                N_("the ERP says its version is `{seen}`; this recipe is for {expected}"),
                hint=N_("take a recipe for that version, or try this one there and widen `erp_versions`"),
                seen=taken.text[:120],
                expected=versions,
            )
        self.erp_known = True

    def pages_beside(self) -> frozenset[str]:
        """The snaps that the document reads beside its own."""
        named = [r.page for r in _all(self._document_reads())]
        rule = self.recipe.document
        pages = (*named, rule.lines.page, rule.twin.page if rule.twin else None)
        return frozenset(name for name in pages if name is not None)

    def is_beside(self, page_name: str) -> bool:
        return page_name in self.pages_beside()

    def lay_beside(self, page_name: str, frozen: bytes, digest: Digest) -> None:
        """Keep a snap for the document that comes next.

        Raises:
            PageError: not a frozen page.
        """
        self.beside[page_name] = Place(page=FrozenPage(frozen, labels=self._labels), digest=digest)

    def attach(self, name: str, file: Digest) -> None:
        """Keep a file with the document that comes next: its text is not read."""
        self.attached.append((name, file))

    def forget(self) -> None:
        """Steps broke off: what was laid beside belongs to a record that does not come any more."""
        self.beside.clear()
        self.attached.clear()

    def _document_reads(self) -> Iterator[Read]:
        rule = self.recipe.document
        yield from (rule.record, *rule.header.values(), *rule.lines.values.values())
        if rule.twin is not None:
            yield from (*rule.twin.header.values(), *(rule.twin.lines.values.values() if rule.twin.lines else ()))

    def is_source(self, page_name: str) -> bool:
        return any(s.page == page_name for s in self.recipe.sources.values())

    def learn(self, page_name: str, frozen: bytes, digest: Digest) -> None:
        """Remember the rows of a source's page.

        Raises:
            PageError: the page lacks what the source names, shows fewer rows than it declares, or has a place whose
                text does not match its pattern.
        """
        for name, source in self.recipe.sources.items():
            if source.page == page_name:
                try:
                    rows = list(self._source_rows(source, FrozenPage(frozen), digest))
                except Unreadable as error:
                    raise PageError("SA2302", error.text, **error.values_seen) from None
                known = self.rows.setdefault(name, {})
                for key, row in rows:
                    known.setdefault(key, []).append(row)

    def _source_rows(self, source: Source, page: FrozenPage, digest: Digest) -> Iterator[tuple[str, _Row]]:
        reads = [*source.take.values(), *parts(source.key)]
        whole = Place(page=page, digest=digest)
        for place in [whole] if source.rows is None else self._places(page, digest, source.rows, reads):
            try:
                key = self._key(source.key, place)
            except Unreadable:
                continue  # whoever asks for it will be told that the source has no such key
            if key is not None:
                yield key.text, {name: self._taken(read, place) for name, read in source.take.items()}

    def read(self, frozen: bytes, digest: Digest) -> Reading:
        """The document on one page.

        Raises:
            PageError: the page lacks a place, has it twice, shows fewer lines than it declares, or does not tell which
                record it is.
        """
        try:
            return self._read(frozen, digest)
        finally:
            self.forget()

    def _read(self, frozen: bytes, digest: Digest) -> Reading:
        rule = self.recipe.document
        page = relations.inside(FrozenPage(frozen, labels=self._labels), chain(rule.in_))
        page = page if rule.within is None else page.within(rule.within)
        whole = Place(page=page, digest=digest)
        notes = _Notes()
        header = self._values(rule.header, self.format.header_fields, whole, "", notes)
        lines = self._lines(rule.lines, whole, notes)
        self._settle(header, lines, notes)
        if rule.twin is not None:
            self._compare(rule.twin, self._aside(rule.twin.page, whole), header, lines, notes)
        try:
            record = self._taken(rule.record, whole)
        except Unreadable as error:
            raise PageError("SA2302", error.text, **error.values_seen) from None
        if record is None or not record.text:
            raise page.absent(_named(rule.record))
        return Reading(
            record=record.text,
            header=header,
            lines=tuple(lines),
            unread=tuple(notes.findings),
            origins=(*notes.origins, *(_attachment(name, file) for name, file in self.attached)),
        )

    def _lines(self, rule: Lines, whole: Place, notes: _Notes) -> list[dict[str, Value]]:
        rows = whole if rule.page is None else self._aside(rule.page, whole)
        return [
            self._values(rule.values, self.format.line_fields, place, f"lines[{place.number}].", notes)
            for place in self._places(rows.page, rows.digest, rule, rule.values.values())
        ]

    def _compare(
        self, rule: Twin, place: Place, header: Mapping[str, Value], lines: Sequence[Mapping[str, Value]], notes: _Notes
    ) -> None:
        """Read the twin, and note every difference; its origins are kept under `twin …`."""
        other = _Notes()
        header_there = self._values(rule.header, self.format.header_fields, place, "", other)
        lines_there = self._lines(rule.lines, place, other) if rule.lines is not None else []
        self._settle(header_there, lines_there, other)
        there = twin.Side(header=header_there, lines=lines_there, places=other.places())
        here = twin.Side(header=header, lines=lines, places=notes.places())
        fields = [*rule.lines.values] if rule.lines is not None else []
        found = twin.differences(here, there, header=[*rule.header], lines=fields, match=rule.match)
        notes.findings += [*other.findings, *(_veiled(each, self._field(each.field)) for each in found)]
        notes.origins += [replace(origin, field=f"twin {origin.field}") for origin in other.origins]

    @property
    def _labels(self) -> frozenset[str]:
        """Every label that the recipe names: none of them is another's value."""
        reads = list(_all(self._document_reads()))
        reads += [alternative for read in reads for alternative in read.any_of]
        named = (name for read in reads for name in (read.label, *(getattr(read, side) for side in RELATIONS)))
        return frozenset(name for name in named if name is not None)

    def _places(self, page: FrozenPage, digest: Digest, rows: Rows, reads: Iterable[Read]) -> Iterator[Place]:
        named = list(_all(reads))
        needed = [r for r in named if r.css is None and r.page is None and not r.optional]
        columns = {r.column for r in needed if r.column is not None}
        groups = {r.per for r in named if r.per is not None}
        page = relations.inside(page, chain(rows.in_))
        table = None if rows.json_ is not None else panes.table(page, columns | groups, rows.table)
        records = page.json_rows(rows.json_ or "") if table is None else panes.records(page, table, rows)
        if rows.declared is not None:
            declared = page.count(rows.declared)
            if declared != len(records):
                raise PageError(
                    "SA2301",
                    N_("the page {url} shows {seen} rows, but declares {expected}"),
                    hint=N_(
                        "rows may still be folded away: add an `unfold` step; or correct `rows`, `skip`, `declared`"
                    ),
                    url=page.url,
                    seen=len(records),
                    expected="-" if declared is None else declared,
                )
        counted = dict.fromkeys(groups, ("", 0))
        for number, row in enumerate(records, 1):
            for column, (before, count) in counted.items():
                text = self._grouping(page, table, row, column)
                counted[column] = (text, count + 1 if text == before else 1)
            numbers = {column: count for column, (_, count) in counted.items()}
            yield Place(page=page, digest=digest, table=table, row=row, number=number, numbers=numbers)

    @staticmethod
    def _grouping(page: FrozenPage, table: Table | None, row: Element, column: str) -> str:
        if table is not None:
            return page.cell(table, row, column).text
        spot = page.by_pointer(column, row)
        return "" if spot is None else spot.text

    def _values(
        self, reads: Mapping[str, Read], fields: Mapping[str, Field], place: Place, prefix: str, notes: _Notes
    ) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for id, read in reads.items():
            try:
                taken = self._taken(read, place)
                if taken is None or not taken.text:
                    continue
                value, taken = self._converted(read, fields[id].type, taken)
            except Unreadable as error:
                notes.refuse(prefix + id, error, fields[id])
                continue
            if isinstance(value, Amount | Moment):
                notes.open.append(
                    _Open(seen=value, field=prefix + id, id=id, of=found, read=read, type=fields[id].type, taken=taken)
                )
                found[id] = taken.text  # keeps its place among the others until the whole document is read
                continue
            found[id] = value
            notes.origins.append(taken.origin(prefix + id, value))
        return found

    def _settle(self, header: dict[str, Value], lines: list[dict[str, Value]], notes: _Notes) -> None:
        """Read what only the whole document can tell: its notation of numbers and dates."""
        parts: list[tuple[int | None, dict[str, Value]]] = [(None, header), *enumerate(lines)]
        index = {id(part): number for number, part in parts}
        cells = {(index[id(each.of)], each.id): each for each in notes.open}
        known = {(number, id): value for number, part in parts for id, value in part.items()}
        amounts = {cell: each.seen for cell, each in cells.items() if isinstance(each.seen, Amount)}
        moments = {cell: each.seen for cell, each in cells.items() if isinstance(each.seen, Moment)}
        settled: dict[inference.Cell, Decimal | date | Unreadable] = {
            **inference.numbers(amounts, {k: v for k, v in known.items() if k not in cells}, self.format),
            **inference.dates(moments),
        }
        for cell, each in cells.items():
            value = settled[cell]
            try:
                if isinstance(value, Unreadable):
                    raise value
                made, taken = _made(each.read, each.type, value, each.taken)
            except Unreadable as error:
                del each.of[each.id]
                notes.refuse(each.field, error, self._field(each.field))
                continue
            each.of[each.id] = made
            notes.origins.append(taken.origin(each.field, made))

    def _field(self, path: str) -> Field:
        line, _, id = path.rpartition(".")
        return self.format.line_fields[id] if line else self.format.header_fields[id]

    # --- one value --------------------------------------------------------------------------------------------------

    def _taken(self, read: Read, place: Place) -> _Taken | None:
        """The text of one value, its `pattern` applied; None if an optional place is not there.

        Raises:
            PageError: the place is not there, or is ambiguous.
            Unreadable: the text does not match `pattern`, or the key is not in the source.
        """
        if read.profile is not None:
            value = self.profile.get(read.profile, "")
            taken: _Taken | None = _Taken(text=value, target=f"profile {read.profile}", raw=value)
        elif read.source is not None:
            taken = self._joined(read, place)
        else:
            taken = self._on_page(read, place if read.page is None else self._aside(read.page, place))
        return taken if taken is None or read.pattern is None or not taken.text else taken.cut(read.pattern)

    def _aside(self, name: str, place: Place) -> Place:
        if name not in self.beside:
            raise place.page.absent(f"page {name}")
        return self.beside[name]

    def _on_page(self, read: Read, place: Place) -> _Taken | None:
        if read.url:
            return _Taken(text=place.page.url, target="url", raw=place.page.url, place=place)
        if read.row:
            number = str(place.number if read.per is None else place.numbers[read.per])
            return _Taken(text=number, target="row", raw=number, place=place, element=place.row)
        try:
            page = self._narrowed(read, place)
            place = place if page is place.page else replace(place, page=page)
            if read.any_of:
                return self._first_of(read, place)
            spot = self._spot(read, place)
        except PageError as error:
            if read.optional and error.code in _ABSENT:
                return None
            raise
        if spot is None:
            if read.optional:
                return None
            raise place.page.absent(_named(read))
        return _Taken(text=spot.text, target=spot.found_by, raw=spot.text, place=place, element=spot.element)

    def _narrowed(self, read: Read, place: Place) -> FrozenPage:
        page = relations.inside(place.page, chain(read.in_))
        return page if read.in_section is None else relations.section(page, read.in_section)

    def _first_of(self, read: Read, place: Place) -> _Taken:
        """Of the alternatives the first whose place is there; which one, is told among the steps."""
        for number, alternative in enumerate(read.any_of, 1):
            taken = self._taken(alternative.model_copy(update={"optional": True}), place)
            if taken is not None:
                tried = (number, len(read.any_of))
                return replace(taken.after(f"any_of: {number} of {len(read.any_of)}"), alternative=tried)
        raise place.page.absent(_named(read))

    def _spot(self, read: Read, place: Place) -> Spot | None:
        page = place.page
        spot: Spot | None = None
        if read.label is not None:
            spot = page.by_label(read.label)
        elif read.json_ is not None:
            spot = page.by_pointer(read.json_, place.row)
        elif read.column is not None:
            if place.table is not None and page.has_column(place.table, read.column):
                spot = page.cell(place.table, place.row, read.column) if place.row is not None else None
        else:
            spot = _by_relation(read, page if place.row is None else page.narrowed(place.row))
        if spot is None and read.css is not None:
            spot = page.by_css(read.css, place.row, hidden=read.hidden, attribute=read.attribute)
        return spot

    def _key(self, reads: Key, place: Place) -> _Taken | None:
        """What rows are looked up by; None if a part of it is empty or not there."""
        taken = [self._taken(part, place) for part in parts(reads)]
        found = [part for part in taken if part is not None and part.text]
        if len(found) < len(taken):
            return None
        text, target = " | ".join(p.text for p in found), " | ".join(p.target for p in found)
        return replace(found[0], text=text, target=target)

    def _joined(self, read: Read, place: Place) -> _Taken | None:
        if read.source is None or read.by is None or read.take is None:
            raise ValueError("checked by the recipe's model")
        key = self._key(read.by, place)
        if key is None:
            return None
        rows = self.rows.get(read.source, {}).get(key.text, [])
        texts = {taken.text if (taken := row[read.take]) is not None else "": taken for row in rows}
        if len(texts) > 1:
            raise Unreadable(
                N_("{source} has `{key}` more than once, with different values: {seen}"),
                source=read.source,
                key=key.text,
                seen=", ".join(text or "-" for text in sorted(texts)),
            )
        if rows:
            (taken,) = texts.values()
            if taken is None:
                return None
            found = Lookup(kind="source", name=read.source, key=key.text, value=taken.text, place=key.target)
            taken = replace(taken, lookups=(*key.lookups, *taken.lookups, found))
            return taken.after(f"{read.source} {key.text!r} ({key.target})")
        raise Unreadable(N_("{source} has no `{key}`"), source=read.source, key=key.text)

    def _converted(self, read: Read, type: Type, taken: _Taken) -> tuple[Value | Amount | Moment, _Taken]:
        """The value, and how it was made of the text; all its readings, if the document has to tell its notation."""
        if read.lookup is not None:
            table = self.lookups[read.lookup]
            if taken.text not in table:
                raise Unreadable(
                    N_("`{seen}` is not in the lookup table `{table}`"), seen=taken.text, table=read.lookup
                )
            found = Lookup(kind="table", name=read.lookup, key=taken.text, value=table[taken.text], place="")
            taken = replace(taken, lookups=(*taken.lookups, found))
            taken = taken.made(f"lookup {read.lookup}", table[taken.text])
        own = taken.element.get("frozen-type") if taken.element is not None else None
        match _kind(read, type):
            case "decimal" | "integer":
                return self._number(read, type, taken, own)
            case "date":
                return self._date(read, type, taken, own)
            case _:
                if own == "number" and read.lookup is None:
                    raise Unreadable(
                        N_("`{seen}` is a number in the file, its leading zeros may be lost: `as: integer` takes it"),
                        seen=taken.text,
                    )
                return taken.text, taken

    def _number(self, read: Read, type: Type, taken: _Taken, own: str | None) -> tuple[Value | Amount, _Taken]:
        named = next((text for text in (read.label, read.column, *(getattr(read, s) for s in RELATIONS)) if text), "")
        power = notation.header_power(named)
        if power:
            taken = taken.after(f"header {named}: 10^{power}")
        if own in _OWN:  # the file itself says what it holds
            return _made(read, type, notation.scaled(convert.number(taken.text, Locale()), power), taken)
        style = read.numbers or self.recipe.numbers or (None if self._has_locale else "infer")
        if style is None:
            number = notation.scaled(convert.number(taken.text, self.recipe.locale), power)
            return _made(read, type, number, taken)
        amount = notation.amount(taken.text, power)
        if style == "infer":
            return amount, taken
        return _made(read, type, inference.fixed_number(amount, style), taken)

    def _date(self, read: Read, type: Type, taken: _Taken, own: str | None) -> tuple[Value | Moment, _Taken]:
        if own == "date":
            return _made(read, type, convert.day(taken.text, Locale().date), taken)
        order = read.dates or (None if read.date else self.recipe.dates or (None if self._has_locale else "infer"))
        if order is None:
            return _made(read, type, convert.day(taken.text, read.date or self.recipe.locale.date), taken)
        moment = notation.moment(taken.text)
        if order == "infer":
            return moment, taken
        return _made(read, type, inference.fixed_date(moment, order), taken)

    @property
    def _has_locale(self) -> bool:
        """A recipe that says how the ERP writes is obeyed to the letter."""
        return "locale" in self.recipe.model_fields_set


def _kind(read: Read, type: Type) -> str:
    return read.convert or {"number": "decimal", "date": "date", "datetime": "date"}.get(type.holds, "text")


def _made(read: Read, type: Type, value: Decimal | date, taken: _Taken) -> tuple[Value, _Taken]:
    """What the field holds of a number or day.

    Raises:
        Unreadable: it should be a whole number and has decimals.
    """
    kind = _kind(read, type)
    if isinstance(value, Decimal):
        if kind == "integer":
            value = convert.without_decimals(value, taken.text)
        taken = taken.made(kind, format(value, "f"))
        return value if type.holds == "number" else taken.text, taken
    taken = taken.made(kind, value.isoformat())
    return value if type.holds == "date" else taken.text, taken


_OWN = ("number", "exact", "date")
"""What the freezing of a file says of a cell that the file types."""

_Row = Mapping[str, "_Taken | None"]


@dataclass(slots=True)
class _Notes:
    findings: list[Finding] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    open: list[_Open] = field(default_factory=list)
    """Numbers and dates that wait for the rest of the document."""

    def refuse(self, field: str, error: Unreadable, of: Field) -> None:
        finding = Finding(
            code=error.code, severity=Severity.ERROR, field=field, text=error.text, values=error.values_seen
        )
        self.findings.append(_veiled(finding, of))

    def places(self) -> dict[str, str]:
        return {o.field: f"{o.target} {'' if o.frame == '/' else o.frame}".strip() for o in self.origins}


def _veiled(finding: Finding, of: Field) -> Finding:
    """A finding outlives the page in the log and in what people are shown: it must not quote what is masked."""
    return replace(finding, values={name: of.masked_in(said) for name, said in finding.values.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    seen: Amount | Moment
    field: str
    id: str
    of: dict[str, Value]
    """The header or line that takes the value."""
    read: Read
    type: Type
    taken: _Taken


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """Text on its way from a page to a value."""

    text: str
    target: str
    raw: str
    place: Place | None = None
    element: Element | None = None
    steps: tuple[str, ...] = ()
    alternative: tuple[int, int] | None = None
    lookups: tuple[Lookup, ...] = ()

    def made(self, by: str, text: str) -> _Taken:
        return self if text == self.text else replace(self, text=text, steps=(*self.steps, f"{by}: {text}"))

    def after(self, step: str) -> _Taken:
        return replace(self, steps=(*self.steps, step))

    def cut(self, pattern: str) -> _Taken:
        match = _compiled(pattern).search(self.text)
        if match is None:
            raise Unreadable(N_("`{seen}` does not match {expected}"), seen=self.text[:120], expected=pattern)
        return self.made(f"pattern {pattern}", match[1].strip())

    def origin(self, field: str, value: Value) -> Origin:
        page = self.place.page if self.place is not None else None
        box = page.layout.box(self.element) if page is not None and self.element is not None else None
        return Origin(
            field=field,
            page=self.place.digest if self.place is not None else None,
            frame=page.frame_path(self.element) if page is not None and self.element is not None else "/",
            target=self.target,
            raw=self.raw,
            steps=self.steps,
            value=written(value),
            box=(box.x, box.y, box.width, box.height) if box is not None else None,
            alternative=self.alternative,
            lookups=self.lookups or None,
        )


def written(value: Value) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _attachment(name: str, file: Digest) -> Origin:
    at = f"{file}#"
    return Origin(
        field=f"attachment {name}", page=None, frame=at, target=f"keep {name}", raw="", steps=(), value=file, box=None
    )


# --- from a reading to a document -----------------------------------------------------------------------------------


def business_key(reading: Reading, format: Format) -> str:
    """The number by which people know the document; `?` and the record if the page shows none."""
    parts = [str(reading.header[f]) for f in format.key if f in reading.header]
    return " ".join(parts) if parts and format.key[0] in reading.header else f"?{reading.record}"


def job_id(reading: Reading, format: Format) -> JobId:
    """The same record with the same content is the same job, whenever and by whatever run it is read."""
    content = encode(Document(format=format.name, header=reading.header, lines=reading.lines), format)
    identity = canonical.dumps([format.name, reading.record, content.decode()])
    return JobId(f"doc/{format.name}/{canonical.sm3(identity).hex()}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What a document says of how it came about."""

    page: Digest
    taken_at: datetime
    reported_at: datetime
    replaces: JobId | None
    """The version of the document that the receiver has; None if it has none."""
    operator: str | None
    """SM3 of the ERP account, 64 hex digits."""


class Maker(Protocol):
    """What made readings: a recipe, or whatever stands in for one."""

    @property
    def erp(self) -> str: ...

    @property
    def recipe(self) -> str: ...

    @property
    def version(self) -> str: ...


def document(
    reading: Reading, format: Format, recipe: Maker, profile: Mapping[str, str], id: JobId, stamp: Stamp
) -> Document:
    """The reading with what the agent itself knows of the header."""
    common: dict[str, Value] = {
        "recordGuid": record_guid(id),
        "formatCode": format.name,
        "schemaVersion": format.version,
        "actionType": _CHANGE if stamp.replaces is not None else "1",
        "reportDateTime": local(stamp.reported_at),
        "captureDateTime": local(stamp.taken_at),
        "erpSystemCode": recipe.erp,
        "recipeId": recipe.recipe,
        "recipeVersion": recipe.version,
        "sourceRecordKey": reading.record,
        "sourcePageDigest": stamp.page.removeprefix("sm3:"),
    }
    for field_id, key in PROFILE_FIELDS.items():
        if profile.get(key):
            common[field_id] = profile[key]
    if stamp.operator is not None:
        common["operatorAccountHash"] = stamp.operator
    known = {id: value for id, value in common.items() if id in format.header_fields}
    header = {**known, **reading.header}
    if stamp.replaces is not None:
        header |= _naming(header, format, f"变更 {record_guid(stamp.replaces)}")
    return Document(format=format.name, header=header, lines=reading.lines)


def record_guid(id: JobId) -> str:
    """`recordGuid` of the document of this job."""
    guid = canonical.sm3(id.encode()).hex()[:32].upper()
    return "-".join((guid[:8], guid[8:12], guid[12:16], guid[16:20], guid[20:]))


def withdrawal(document: Document, format: Format, of: JobId, id: JobId, now: datetime) -> Document | None:
    """The version that takes back `document`, the document of job `of`; None if the format cannot say so.

    It names the other by its `recordGuid`, in the remark: no other field of the common header is free for it.
    """
    if "actionType" not in format.header_fields:
        return None
    told: dict[str, Value] = {"recordGuid": record_guid(id), "actionType": _DELETION, "reportDateTime": local(now)}
    header = {**document.header, **{id: value for id, value in told.items() if id in format.header_fields}}
    header |= _naming(header, format, f"删除 {record_guid(of)}")
    return Document(format=format.name, header=header, lines=document.lines)


def _naming(header: Mapping[str, Value], format: Format, told: str) -> dict[str, Value]:
    """The remark with `told` before it; nothing where the format has none, or it has no room."""
    field = format.header_fields.get("remark")
    if field is None:
        return {}
    own = str(header.get("remark", ""))
    remark = f"{told}; {own}" if own else told
    return {"remark": remark} if field.type.fault(remark) is None else {}


_CHANGE, _DELETION = "2", "3"
"""`actionType`."""


PROFILE_FIELDS = {
    "enterpriseUscc": "uscc",
    "enterpriseName": "name",
    "enterpriseCustomsCode": "customs_code",
    "customsMasterCode": "customs_master",
    "inSpecialZone": "special_zone",
}
"""Fields of the common header that no page shows, and the keys of the enterprise's profile that hold them."""


COMMON_FIELDS = frozenset(PROFILE_FIELDS) | {
    "recordGuid",
    "formatCode",
    "schemaVersion",
    "actionType",
    "reportDateTime",
    "captureDateTime",
    "erpSystemCode",
    "recipeId",
    "recipeVersion",
    "operatorAccountHash",
    "sourceRecordKey",
    "sourcePageDigest",
}
"""Fields of the common header that `document` gives."""


def amount(document: Document, format: Format) -> tuple[str, Decimal] | None:
    """Currency and amount that limits of approval are about; None if the document has none."""
    value = document.header.get(format.amount) if format.amount else None
    currency = document.header.get(format.currency) if format.currency else ""
    return (str(currency), value) if isinstance(value, Decimal) and currency is not None else None


def local(moment: datetime) -> datetime:
    """Local time of China, to the second, as the standard writes it."""
    return moment.astimezone(CHINA_TIME).replace(microsecond=0, tzinfo=None)


def _all(reads: Iterable[Read]) -> Iterator[Read]:
    for read in reads:
        yield read
        if read.by is not None:
            yield from _all(parts(read.by))


def _by_relation(read: Read, page: FrozenPage) -> Spot | None:
    for side in RELATIONS:
        if (text := getattr(read, side)) is not None:
            return relations.beside(page, side, text)
    if read.id is not None:
        return relations.by_id(page, read.id)
    return relations.by_role(page, read.role, read.name) if read.role and read.name else None


def _named(read: Read) -> str:
    if read.any_of:
        return " / ".join(map(_named, read.any_of))
    ways: list[tuple[str | None, str | None]] = [
        *((key, getattr(read, key)) for key in ("label", *RELATIONS, "id", "column", "css")),
        ("json", read.json_),
        (read.role, read.name),
        ("url", "url" if read.url else None),
    ]
    return " / ".join(f"{name} {value}" for name, value in ways if value) or "row"


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
