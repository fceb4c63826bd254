"""Code lists, tariff and exchange rates as files: YAML, or CSV as a spreadsheet saves it.

Above the row of column names, a CSV has rows of two cells that say `version`, `date` and `source`; below it, one row
for each code. The separator is comma, semicolon or tab; the text UTF-8 or GB 18030, as Excel writes it in China.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from scraper_agent import yamlfile
from scraper_agent.errors import Position, Problem, UsageError
from scraper_agent.messages import N_

T = TypeVar("T", bound="Table")

_STRICT = ConfigDict(frozen=True, extra="forbid")
_SLASHED = re.compile(r"(\d{4})[/.](\d{1,2})[/.](\d{1,2})")

SUFFIXES = (".yaml", ".yml", ".csv")


def _iso(value: object) -> object:
    """`2026/1/5`, as Excel shows a date."""
    match = _SLASHED.fullmatch(value) if isinstance(value, str) else None
    return f"{match[1]}-{int(match[2]):02}-{int(match[3]):02}" if match else value


Day = Annotated[dt.date, BeforeValidator(_iso)]


class Table(BaseModel):
    """What every table says of itself. `columns`: of its CSV; the first names the row."""

    model_config = _STRICT

    columns: ClassVar[tuple[str, ...]]

    version: Annotated[str, Field(min_length=1)]
    date: Day
    """The day as of which it is complete."""
    source: str = ""


class Code(BaseModel):
    """One row of a code list."""

    model_config = _STRICT

    zh: str
    numeric: str | None = None
    """The customs numeric code, where the list has two systems."""
    also: tuple[str, ...] = ()
    """Other names the same thing is known by."""


class CodeList(Table):
    columns = ("code", "zh", "numeric")

    name: str
    zh: str = ""
    en: str = ""
    codes: dict[str, Code]


class Units(BaseModel):
    """The legal units of a commodity."""

    model_config = _STRICT

    first: str
    second: str = ""
    """Empty: it has none."""


class Tariff(Table):
    columns = ("code", "first", "second")

    codes: dict[Annotated[str, Field(pattern=r"^[0-9]{10}$")], Units]


class Rates(Table):
    """What one unit of a currency is worth in `base`, from a day on."""

    columns = ("currency", "from", "rate")

    base: str = "CNY"
    rates: dict[str, dict[Day, Annotated[Decimal, Field(gt=0)]]]


def load(path: Path, model: type[T], extra: yamlfile.Extra[T] | None = None, **told: str) -> tuple[T, bytes]:
    """The table in the file at `path`, and the file's bytes. `told`: what a CSV need not say of itself.

    Raises:
        UsageError: there is no such file, or it cannot be read.
        SourceErrors: it is no such table; with every problem at its line.
    """
    source = _csv(path, model, told) if path.suffix.lower() == ".csv" else yamlfile.read(path)
    return yamlfile.fit(source, model, extra), source.raw


# --- CSV ------------------------------------------------------------------------------------------------------------


def _csv(path: Path, model: type[Table], told: Mapping[str, str]) -> yamlfile.Source:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(
            "SA1001", N_("{path} does not exist"), hint=N_("check the name, and the folder you are in"), path=path
        ) from None
    except OSError as error:
        raise UsageError("SA1002", N_("{path} cannot be read: {reason}"), path=path, reason=error.strerror) from error
    text = _text(raw)
    sheet = _Sheet(path, model.columns)
    sheet.read(text)
    read = yamlfile.Source(
        data={**told, **sheet.data},
        positions=yamlfile.Positions(path, sheet.values, sheet.keys),
        raw=raw,
        texts={path: text},
    )
    if sheet.problems:
        raise read.refusal(sheet.problems)
    return read


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("gb18030", "replace")


class _Sheet:
    """A CSV as the data that a YAML of the same table would give, and where each cell stands."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path = path
        self.columns = columns
        self.data: dict[str, Any] = {}
        self.values: dict[yamlfile.Loc, Position] = {}
        self.keys: dict[yamlfile.Loc, Position] = {}
        self.problems: list[Problem] = []

    def read(self, text: str) -> None:
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        try:
            names = self._rows(rows)
        except csv.Error as error:
            self._tell(rows.line_num, "SA1051", N_("the row cannot be read: {reason}"), reason=error)
            return
        if not names:
            wanted = ",".join(self.columns)
            hint = N_("write the column names above the codes: {columns}")
            text = N_("no row begins with `{wanted}`, the name of the first column")
            self._tell(1, "SA1052", text, hint, wanted=self.columns[0], columns=wanted)

    def _rows(self, rows: Any) -> list[str]:
        """The column names; none if no row has them."""
        names: list[str] = []
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if names:
                self._row(names, cells, rows.line_num)
            elif cells[0] == self.columns[0]:
                names = self._names(cells, rows.line_num)
            else:
                self._say(cells, rows.line_num)
        return names

    def _say(self, cells: list[str], line: int) -> None:
        """A row above the column names."""
        self.data[cells[0]] = next((cell for cell in cells[1:] if cell), "")
        self._stands((cells[0],), line)

    def _names(self, cells: list[str], line: int) -> list[str]:
        for cell in cells:
            if cell and cell not in self.columns:
                text = N_("there is no column `{seen}`; there are {known}")
                self._tell(line, "SA1053", text, seen=cell, known=", ".join(self.columns))
        self.data[self._part] = {}
        self._stands((self._part,), line)
        return cells

    @property
    def _part(self) -> str:
        return "rates" if "rate" in self.columns else "codes"

    def _row(self, names: list[str], cells: list[str], line: int) -> None:
        given = {name: cell for name, cell in zip(names, cells, strict=False) if name and cell}
        loc: yamlfile.Loc = (self._part, given.pop(self.columns[0], ""))
        rows: dict[str, Any] = self.data[self._part]
        value: Any = given
        if self._part == "rates":
            day = str(_iso(given.get("from", "")))
            self._stands(loc, line)
            rows, loc, value = rows.setdefault(str(loc[1]), {}), (*loc, day), given.get("rate", "")
        if loc[-1] in rows:
            self._tell(line, "SA1054", N_("`{seen}` is there twice"), seen=loc[-1])
        rows[str(loc[-1])] = value
        for part in (loc, *((*loc, name) for name in given)):
            self._stands(part, line)

    def _stands(self, loc: yamlfile.Loc, line: int) -> None:
        self.values[loc] = self.keys[loc] = Position(self.path, line, 1)

    def _tell(self, line: int, code: str, text: str, hint: str = "", **values: object) -> None:
        at = Position(self.path, line, 1)
        self.problems.append(Problem(at=at, code=code, text=text, hint=hint, values=values))


# --- what a table may get wrong beyond its model --------------------------------------------------------------------


def units(known: Mapping[str, Code]) -> yamlfile.Extra[Tariff]:
    """That the legal units of a tariff are units of the code list."""

    def problems(tariff: Tariff, positions: yamlfile.Positions) -> Iterator[Problem]:
        for code, row in tariff.codes.items():
            for part, unit in (("first", row.first), ("second", row.second)):
                if unit and unit not in known:
                    yield Problem(
                        at=positions.of(("codes", code, part)),
                        code="SA1055",
                        text=N_("`{seen}` is no unit of the code list"),
                        hint=N_("three digits; a spreadsheet takes leading zeros away unless the column is text"),
                        values={"seen": unit},
                    )

    return problems


def currencies(known: Mapping[str, Code]) -> yamlfile.Extra[Rates]:
    """That the currencies of a table of rates are those of the code list."""

    def problems(rates: Rates, positions: yamlfile.Positions) -> Iterator[Problem]:
        named: list[tuple[yamlfile.Loc, str]] = [(("rates", each), each) for each in rates.rates]
        for loc, currency in [*named, (("base",), rates.base)]:
            if currency not in known:
                yield Problem(
                    at=positions.key(loc),
                    code="SA1056",
                    text=N_("`{seen}` is no currency of the code list"),
                    hint=N_("three capital letters, such as CNY"),
                    values={"seen": currency},
                )

    return problems
