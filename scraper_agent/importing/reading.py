"""Tables of a file -> documents with the place of every value; or everything that is wrong, and nothing else."""

from __future__ import annotations

import gc
import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from scraper_agent import canonical, files, inference, messages
from scraper_agent.convert import Unreadable
from scraper_agent.errors import BusinessError
from scraper_agent.format import Document, Format, Value
from scraper_agent.importing import cells, example, layout
from scraper_agent.importing.layout import Kind, Target
from scraper_agent.mapping import Origin, Reading
from scraper_agent.messages import N_
from scraper_agent.notation import Amount, Moment
from scraper_agent.values import Digest

MOST = 1_000
"""Wrong places that are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """One place that is wrong; `text` is a template of the catalogue."""

    place: str
    """`表体!G5`, or a JSON Pointer; empty if the whole file is meant."""
    field: str
    """Name and identifier; empty if no field is meant."""
    code: str
    text: str
    values: Mapping[str, str]
    hint: str = ""

    def __str__(self) -> str:
        told = " ".join(part for part in (self.place, self.field) if part)
        told = f"{told}: {self.code} " if told else f"{self.code} "
        told += messages.render(self.text, self.values)
        if self.hint:
            told += f"\n  {messages.render(N_('hint: '))}{messages.render(self.hint, self.values)}"
        return told


class Misfits(BusinessError):
    """A file that is not taken in: carries every place that is wrong, in the order of the file."""

    def __init__(
        self, code: str, text: str, /, *, misfits: tuple[Misfit, ...], hint: str = "", **values: object
    ) -> None:
        super().__init__(code, text, hint=hint, **values)
        self.misfits = misfits

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *map(str, self.misfits)])


@dataclass(frozen=True, slots=True)
class Column:
    at: int
    """Counted from 0."""
    target: Target
    read: cells.Reader


_UNSETTLED = frozenset((Amount, Moment))


@dataclass(slots=True)
class Table:
    """A sheet, while its rows come."""

    name: str
    kind: Kind
    merged: tuple[tuple[int, int], ...] = ()
    heading: list[str] | None = None
    """The first row, until the second has told whether it is the one with the identifiers."""
    columns: tuple[Column, ...] | None = None
    marked: bool = False
    """The first column holds marks."""
    rows: int = 0
    """Read so far, headings included."""
    taken: int = 0
    """Rows of documents."""

    def place(self, row: int, column: int) -> str:
        return f"{self.name}!{layout.letters(column)}{row}"


class Row(NamedTuple):
    """Where values stood."""

    table: Table
    number: int
    cells: list[Any]
    marked: bool = False


@dataclass(slots=True)
class Entry:
    """One document and where it stood. Its header may come from several rows of a table that has both."""

    header: dict[str, Value]
    lines: list[dict[str, Value]] = field(default_factory=list)
    header_rows: list[Row] = field(default_factory=list)
    line_rows: list[Row] = field(default_factory=list)
    pointers: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Of a JSON file: path of a field -> its pointer and text."""

    def document(self, format: Format) -> Document:
        return Document(format=format.name, header=self.header, lines=tuple(self.lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """All documents of a file."""

    format: Format
    entries: tuple[Entry, ...]
    rows: Mapping[str, int]
    """Rows of documents by sheet."""
    examples: int
    """Documents that are the template's example, and are passed over."""

    def readings(self, file: str, digest: Digest) -> Iterator[Reading]:
        """As a page gives them. `file`: its name; `digest`: of its bytes."""
        for entry in self.entries:
            yield Reading(
                record=record(entry.header, self.format),
                header=entry.header,
                lines=tuple(entry.lines),
                unread=(),
                origins=tuple(_origins(entry, file, digest)),
            )


def record(header: Mapping[str, Value], format: Format) -> str:
    """What names the document among all that are imported; a longer key than `sourceRecordKey` holds by its digest."""
    values = [_written(header[each.id]) for each in layout.key(format) if each.id in header]
    whole = " ".join(values)
    field = format.header_fields.get("sourceRecordKey")
    most = field.type.most if field is not None else None
    return whole if most is None or len(whole) <= most else canonical.sm3(canonical.dumps(values)).hex()


def read(
    parts: Iterable[files.Part], formats: Mapping[str, Format], wanted: str | None = None, *, complete: bool = False
) -> Contents:
    """The documents of a file. `wanted`: the key of its format, where the file does not say it.

    `complete`: a JSON file may also hold the fields that the agent fills; else they are refused.

    Raises:
        Misfits: anything in it is not certain; all such places are told.
        PageError: as `files.tables`.
    """
    reader = _Reader(formats=formats, format=formats[wanted] if wanted is not None else None, complete=complete)
    try:
        with _uncollected():
            for part in parts:
                match part:
                    case files.Sheet():
                        reader.begin(part)
                    case str():
                        reader.json(part)
                    case _:
                        reader.take(part)
            return reader.end()
    except _Stopped:
        raise Misfits(
            "SA2330",
            N_("{count} place(s) of the file are wrong; nothing is taken from it"),
            misfits=tuple(reader.misfits),
            count=len(reader.misfits),
        ) from None
    finally:
        if isinstance(parts, Generator):
            parts.close()  # ends the child that is still reading


@contextmanager
def _uncollected() -> Iterator[None]:
    """All cells are kept until the end and none refers to itself: to look for garbage among them only takes time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


class _Stopped(Exception):
    """There is no use in reading on."""


_Key = tuple[object, ...]


@dataclass(slots=True, kw_only=True)
class _Reader:
    formats: Mapping[str, Format]
    format: Format | None
    complete: bool
    tables: list[Table] = field(default_factory=list)
    entries: dict[tuple[bool, _Key], Entry] = field(default_factory=dict)
    """By mark and key."""
    loose: list[tuple[_Key, dict[str, Value], Row]] = field(default_factory=list)
    """Lines whose header has not come yet."""
    unsettled: bool = False
    """Some value is still an `_Open`."""
    misfits: list[Misfit] = field(default_factory=list)

    def _misfit(self, place: str, target: Target | None, code: str, text: str, hint: str = "", **values: str) -> None:
        name = f"{target.field.zh} {target.path}" if target is not None else ""
        if target is not None:
            values = {each: target.field.masked_in(said) for each, said in values.items()}
        self.misfits.append(Misfit(place=place, field=name, code=code, text=text, values=values, hint=hint))
        if len(self.misfits) >= MOST:
            raise _Stopped

    # --- a table ----------------------------------------------------------------------------------------------------

    def begin(self, sheet: files.Sheet) -> None:
        self._close()
        kinds: dict[str, Kind] = {layout.HEADER: "header", layout.LINES: "lines"}
        self.tables.append(Table(sheet.name, kinds.get(sheet.name, "both"), sheet.merged))

    def take(self, rows: list[list[files.Cell]]) -> None:
        table = self.tables[-1]
        for number, row in enumerate(rows):
            if table.columns is not None:
                self._rows(table, rows[number:])
                return
            table.rows += 1
            if any(row):
                self._head(table, row)

    def _head(self, table: Table, row: list[files.Cell]) -> None:
        """The first row of a table, and the one after it: which column holds what."""
        texts = [cells.raw(cell).strip() for cell in row]
        if table.heading is None:
            title = layout.titled(texts[0])
            table.marked = title is not None
            self._titled(table.place(table.rows, 0), title)
            table.heading = texts
            return
        if table.marked and texts[0] == layout.IDENTIFIERS:
            self._columns(table, texts, table.rows)
            return
        self._columns(table, table.heading, table.rows - 1)
        table.rows -= 1
        self._rows(table, [row])

    def _titled(self, place: str, title: tuple[str, str] | None) -> None:
        """Which format the file is for: what it says, or else what was wanted."""
        if title is None:
            if self.format is None:
                self._other_format(place, "-", list(self.formats))
            return
        known = self.formats.get(title[0])
        if known is None or (self.format is not None and known is not self.format) or known.version != title[1]:
            expected = list(self.formats.values()) if self.format is None else [self.format]
            self._other_format(place, " ".join(title), [layout.title(each) for each in expected])
        self.format = known

    def _other_format(self, place: str, seen: str, expected: list[str]) -> None:
        self._misfit(
            place,
            None,
            "SA2347",
            N_("the file is for the format `{seen}`; expected is {expected}"),
            N_("name it by --format KEY, or fill in a new template"),
            seen=seen,
            expected=", ".join(expected),
        )
        raise _Stopped

    @property
    def _format(self) -> Format:
        if self.format is None:
            raise TypeError("the format is known before any value is read")
        return self.format

    def _columns(self, table: Table, texts: list[str], row: int) -> None:
        format = self._format
        if table.kind == "both" and not format.lines:
            table.kind = "header"
        others = [each for each in self.tables if each is not table and each.heading is not None]
        for odd in (each for each in (table, *others) if others and each.name not in (layout.HEADER, layout.LINES)):
            self._misfit(
                odd.name,
                None,
                "SA2345",
                N_("the sheet is neither {header} nor {lines}, and a file has one table or these two"),
                N_("remove it, or hide it"),
                header=layout.HEADER,
                lines=layout.LINES,
            )
            raise _Stopped
        asked = layout.targets(format, table.kind)
        known = layout.names(asked)
        found: dict[str, Column] = {}
        for at, text in enumerate(texts):
            if not text or (table.marked and at == 0):
                continue
            targets = known.get(text, [])
            if len(targets) != 1 or targets[0].path in found:
                self._heading(table.place(row, at), text, targets)
                continue
            found[targets[0].path] = Column(at, targets[0], cells.reader(targets[0].field))
        for needed in (Target(header=True, field=each) for each in layout.key(format)):
            if needed.path not in found:
                self._misfit(
                    f"{table.name}!{row}",
                    needed,
                    "SA2333",
                    N_("there is no such column, and documents are told apart by it"),
                )
        whole = all(Target(header=True, field=each).path in found for each in layout.key(format))
        table.columns = tuple(found.values()) if whole else ()
        last = row + 1 if table.marked else row
        for top, left in table.merged:
            if top >= last:
                self._misfit(
                    table.place(top + 1, left),
                    None,
                    "SA2344",
                    N_("merged cells are not read: every row needs its own value"),
                )

    def _heading(self, place: str, text: str, targets: list[Target]) -> None:
        if targets:
            self._misfit(
                place,
                None,
                "SA2348",
                N_("the heading `{seen}` stands twice, or can mean two fields"),
                N_("write the identifier; where header and lines share it, `header.ID` or `lines.ID`"),
                seen=text[:120],
            )
            return
        self._unasked(place, text)

    def _unasked(self, place: str, text: str) -> None:
        own = {name for field in self._format.header for name in (field.id, field.zh)}
        hint = N_("leave it out: the agent fills it itself") if text in own else N_("`format show {format}` lists them")
        self._misfit(
            place,
            None,
            "SA2331",
            N_("the format {format} asks for no `{seen}` here"),
            hint,
            format=self._format.name,
            seen=text[:120],
        )

    # --- rows of documents ------------------------------------------------------------------------------------------

    def _rows(self, table: Table, rows: list[list[files.Cell]]) -> None:
        plan = [(c.at, c.target.field.id, c.target.header, c.read, c) for c in table.columns or ()]
        keys = [each.id for each in layout.key(self._format)]
        number = table.rows
        for row in rows:
            number += 1
            mark = row[0] if table.marked and row else ""
            if not row or mark in (layout.TYPES, layout.IDENTIFIERS):
                continue
            header: dict[str, Any] = {}
            line: dict[str, Any] = {}
            open_: list[tuple[Amount | Moment, Column]] = []
            for at, id, of_header, read, column in plan:  # for every cell of the file
                cell = row[at]
                if not cell and cell == "":
                    continue
                try:
                    value = read(cell)
                except Unreadable as error:
                    self._unreadable(table.place(number, at), column.target, error)
                    continue
                if value.__class__ in _UNSETTLED:
                    open_.append((value, column))  # type: ignore[arg-type]
                elif value is not None:
                    (header if of_header else line)[id] = value
            if header or line or open_:
                table.taken += 1
                place = Row(table, number, row, bool(mark) and self._is_marked(table, number, mark))
                self._put(tuple([header.get(id) for id in keys]), header, line, open_, place)
        table.rows = number

    def _is_marked(self, table: Table, number: int, mark: files.Cell) -> bool:
        if mark and mark != layout.EXAMPLE:
            self._wrong_mark(table.place(number, 0), cells.raw(mark))
        return mark == layout.EXAMPLE

    def _wrong_mark(self, place: str, seen: str) -> None:
        self._misfit(
            place,
            None,
            "SA2346",
            N_("the row is marked `{seen}`, but only the template's own example is, unchanged"),
            N_("clear the mark if the document is yours, or remove the row"),
            seen=seen[:40],
        )

    def _put(
        self,
        key: _Key,
        header: dict[str, Value],
        line: dict[str, Value],
        open_: list[tuple[Amount | Moment, Column]],
        row: Row,
    ) -> None:
        if key and key[0] is None:
            self._misfit(
                f"{row.table.name}!{row.number}",
                Target(header=True, field=layout.key(self._format)[0]),
                "SA2342",
                N_("is empty, so nothing tells which document the row is of"),
            )
            return
        entry = self.entries.get((row.marked, key))
        kind = row.table.kind
        for seen, column in open_:
            values: dict[str, Any] = header if column.target.header else line
            values[column.target.field.id] = _Open(seen, row.table.place(row.number, column.at), column.target)
            self.unsettled = True
        if kind == "lines" and entry is None:
            self.loose.append((key, line, row))
            return
        if kind == "header" and entry is not None:
            self._twice(row, entry)
            return
        if entry is None:
            entry = self.entries[row.marked, key] = Entry(header, [], [row], [])
        elif kind == "both":
            self._same(entry, header, row)
            entry.header_rows.append(row)
        if line:
            entry.lines.append(line)
            entry.line_rows.append(row)

    def _twice(self, row: Row, before: Entry) -> None:
        self._misfit(
            f"{row.table.name}!{row.number}",
            None,
            "SA2340",
            N_("the document stands in row {before} already"),
            N_("a document has one row here; give it a number of its own, or remove the row"),
            before=str(before.header_rows[0].number),
        )

    def _same(self, entry: Entry, header: dict[str, Value], row: Row) -> None:
        """The rows of one document say the same of its header, or nothing."""
        for column in row.table.columns or ():
            id = column.target.field.id
            if not column.target.header or id not in header:
                continue
            if entry.header.setdefault(id, header[id]) != header[id]:
                self._misfit(
                    row.table.place(row.number, column.at),
                    column.target,
                    "SA2343",
                    N_("is `{seen}`, but another row of the same document says `{before}`"),
                    seen=_written(header[id])[:120],
                    before=_written(entry.header[id])[:120],
                )

    def _unreadable(self, place: str, target: Target, error: Unreadable) -> None:
        """Readings are told without what a recipe could say about them."""
        code, text, values = error.code, error.text, error.values_seen
        hints = {
            "SA2334": N_("format the cell as text and write the value again"),
            "SA2339": N_("write the value itself in place of its formula, or round it there with ROUND"),
        }
        self._misfit(place, target, code, text, hints.get(code, ""), **values)

    # --- JSON -------------------------------------------------------------------------------------------------------

    def json(self, text: str) -> None:
        """A document in the standard's own form, or a list of them."""
        value = json.loads(text, parse_float=Decimal, parse_int=Decimal)
        several = isinstance(value, list)
        for number, each in enumerate(value if several else [value]):
            self._document(each, f"/{number}" if several else "")

    def _document(self, value: object, at: str) -> None:
        if not isinstance(value, dict) or not value.keys() <= {"format", "header", "lines"}:
            self._shape(at, value, "{format, header, lines}")
            return
        said = value.get("format")
        if said is not None or self.format is None:
            known = self.formats.get(said) if isinstance(said, str) else None
            if known is None or (self.format is not None and known is not self.format):
                expected = list(self.formats) if self.format is None else [self.format.name]
                self._other_format(f"{at}/format", str(said or "-")[:120], expected)
            self.format = known
        format = self._format
        entry = Entry({})
        header = value.get("header")
        own = format.header if self.complete else layout.asked(format)
        self._values(entry, entry.header, header, {f.id: Target(header=True, field=f) for f in own}, f"{at}/header", "")
        lines = value.get("lines", [])
        if not isinstance(lines, list):
            self._shape(f"{at}/lines", lines, "[…]")
            return
        known_lines = {f.id: Target(header=False, field=f) for f in format.lines}
        for number, each in enumerate(lines):
            entry.lines.append({})
            path = f"lines[{number + 1}]."
            self._values(entry, entry.lines[-1], each, known_lines, f"{at}/lines/{number}", path)
        key = tuple(entry.header.get(each.id) for each in layout.key(format))
        if key and key[0] is None:
            self._misfit(
                f"{at}/header",
                Target(header=True, field=layout.key(format)[0]),
                "SA2342",
                N_("is empty, so nothing tells which document the row is of"),
            )
        elif (False, key) in self.entries:
            self._misfit(
                at,
                None,
                "SA2340",
                N_("the document stands in row {before} already"),
                N_("a document has one row here; give it a number of its own, or remove the row"),
                before=next((place for place, _ in self.entries[False, key].pointers.values()), "/"),
            )
        else:
            self.entries[False, key] = entry

    def _values(
        self,
        entry: Entry,
        values: dict[str, Any],
        given: object,
        known: Mapping[str, Target],
        at: str,
        path: str,
    ) -> None:
        if not isinstance(given, dict):
            self._shape(at, given, "{…}")
            return
        for id, cell in given.items():
            place = f"{at}/{id}"
            if id not in known:
                self._unasked(place, id)
                continue
            if cell is None or cell == "":
                continue
            if isinstance(cell, dict | list):
                self._shape(place, cell, '"…"')
                continue
            target = known[id]
            try:
                value = cells.reader(target.field, canonical=True)(cell)
            except Unreadable as error:
                self._unreadable(place, target, error)
                continue
            if value is None:
                continue
            entry.pointers[path + id] = (place, cells.raw(cell))
            if isinstance(value, Amount | Moment):
                values[id] = _Open(value, place, target)
                self.unsettled = True
            else:
                values[id] = value

    def _shape(self, at: str, seen: object, expected: str) -> None:
        self._misfit(
            at or "/",
            None,
            "SA2349",
            N_("is `{seen}`; expected is {expected}"),
            seen=str(seen)[:40],
            expected=expected,
        )

    # --- the end ----------------------------------------------------------------------------------------------------

    def _close(self) -> None:
        """A table of one row has its columns in it."""
        table = self.tables[-1] if self.tables else None
        if table is not None and table.heading is not None and table.columns is None:
            self._columns(table, table.heading, table.rows)

    def end(self) -> Contents:
        """Everything that was read.

        Raises:
            _Stopped: something is wrong.
        """
        self._close()
        for key, line, row in self.loose:
            entry = self.entries.get((row.marked, key))
            if entry is None:
                self._misfit(
                    f"{row.table.name}!{row.number}",
                    None,
                    "SA2341",
                    N_("no row of {header} has the key {seen}"),
                    N_("correct the key, or add the document there"),
                    header=layout.HEADER,
                    seen=" ".join("-" if value is None else _written(value) for value in key)[:120],
                )
                continue
            entry.lines.append(line)
            entry.line_rows.append(row)
        if self.unsettled:
            for entry in self.entries.values():
                self._settle(entry)
        if self.format is None:
            self._other_format("", "-", list(self.formats))
        made = example.document(self._format)
        # Marked or not: nobody means it.
        taken = {
            mark: entry
            for mark, entry in self.entries.items()
            if entry.header != made.header or tuple(entry.lines) != made.lines
        }
        for (marked, _), entry in taken.items():
            if marked:
                row = entry.header_rows[0]
                self._wrong_mark(row.table.place(row.number, 0), layout.EXAMPLE)
        if self.misfits:
            raise _Stopped
        return Contents(
            format=self._format,
            entries=tuple(taken.values()),
            rows={table.name: table.taken for table in self.tables if table.heading is not None},
            examples=len(self.entries) - len(taken),
        )

    def _settle(self, entry: Entry) -> None:
        """Read what only the whole document tells: its notation of numbers and dates, as on pages."""
        parts: list[tuple[int | None, dict[str, Any]]] = [(None, entry.header), *enumerate(entry.lines)]
        found = {(n, id): value for n, values in parts for id, value in values.items()}
        opened = {cell: value for cell, value in found.items() if isinstance(value, _Open)}
        if not opened:
            return
        known = {cell: value for cell, value in found.items() if cell not in opened}
        amounts = {cell: o.seen for cell, o in opened.items() if isinstance(o.seen, Amount)}
        moments = {cell: o.seen for cell, o in opened.items() if isinstance(o.seen, Moment)}
        settled = {**inference.numbers(amounts, known, self._format), **inference.dates(moments)}
        of = dict(parts)
        for (number, id), each in opened.items():
            value = settled[number, id]
            if isinstance(value, Unreadable):
                self._undecided(each)
            else:
                of[number][id] = value

    def _undecided(self, each: _Open) -> None:
        if isinstance(each.seen, Amount):
            readings = sorted({format(value, "f") for value in each.seen.by_style.values()})
            self._misfit(
                each.place,
                each.target,
                "SA2337",
                N_("`{seen}` can be {readings}, and nothing in the document decides"),
                N_("make the cell a number, or write it without signs between thousands"),
                seen=each.seen.seen,
                readings=" / ".join(readings),
            )
            return
        days = sorted({day.isoformat() for day in each.seen.by_order.values()})
        self._misfit(
            each.place,
            each.target,
            "SA2338",
            N_("`{seen}` can be {readings}, and no other date of the document decides"),
            N_("make the cell a date, or write the year first"),
            seen=each.seen.seen,
            readings=" / ".join(days),
        )


@dataclass(frozen=True, slots=True)
class _Open:
    """In place of a value, until the whole document is there. Two are equal if they would be read alike."""

    seen: Amount | Moment
    place: str = field(compare=False)
    target: Target = field(compare=False)

    def __str__(self) -> str:
        return self.seen.seen


# --- where values stood ---------------------------------------------------------------------------------------------


def _origins(entry: Entry, file: str, digest: Digest) -> Iterator[Origin]:
    for row in entry.header_rows:
        yield from _of_row(row, entry.header, "", file, digest, header=True)
    for number, row in enumerate(entry.line_rows, 1):
        yield from _of_row(row, entry.lines[number - 1], f"lines[{number}].", file, digest, header=False)
    for path, (pointer, raw) in entry.pointers.items():
        line, _, id = path.removeprefix("lines[").partition("].")
        value = entry.lines[int(line) - 1][id] if id else entry.header[path]
        yield _origin(path, f"{file} {pointer}", raw, value, digest)


def _of_row(
    row: Row, values: Mapping[str, Value], path: str, file: str, digest: Digest, *, header: bool
) -> Iterator[Origin]:
    for column in row.table.columns or ():
        id = column.target.field.id
        raw = cells.raw(row.cells[column.at])
        if column.target.header == header and id in values and raw:
            place = row.table.place(row.number, column.at)
            yield _origin(path + id, f"{file} {place}", raw, values[id], digest)


def _origin(path: str, target: str, raw: str, value: Value, digest: Digest) -> Origin:
    written = _written(value)
    return Origin(
        field=path,
        page=digest,
        frame="/",
        target=target,
        raw=raw,
        steps=() if raw == written else (f"read: {written}",),
        value=written,
        box=None,
    )


def _written(value: object) -> str:
    match value:
        case date():
            return value.isoformat()
        case _:
            return cells.raw(value)
