"""What one document says, as a person reads it: the names of its fields, the meaning of its codes, its findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from scraper_agent import mapping, messages
from scraper_agent.format import Document, Field, Format, Value, decode
from scraper_agent.mapping import COMMON_FIELDS
from scraper_agent.report import pages
from scraper_agent.report.words import chinese, say
from scraper_agent.values import Finding, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A field's name in the chosen language, in the other one, and its identifier."""

    main: str
    other: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One value. `meaning`: what a code stands for. `origin`: its number in `View.origins`. `fault`: a severity."""

    text: str
    meaning: str = ""
    origin: int | None = None
    fault: str = ""
    number: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A finding as a person reads it. `line` is 0 for the header."""

    code: str
    severity: str
    line: int
    name: Name
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What the document says. `raw`: the bytes, where they do not fit the format any more."""

    header: tuple[tuple[Name, Cell], ...] = ()
    program: tuple[tuple[Name, Cell], ...] = ()
    columns: tuple[Name, ...] = ()
    lines: tuple[tuple[Cell, ...], ...] = ()
    counterparty: str = ""
    amount: str = ""
    raw: str = ""


def read(data: bytes, format: Format | None, found: tuple[Finding, ...], spots: Mapping[str, int]) -> Body:
    """What the bytes of a document say. `spots`: field -> number of its origin."""
    try:
        document = decode(format, data) if format is not None else None
    except ValueError:
        document = None
    if format is None or document is None:
        return Body(raw=data.decode(errors="replace"))
    cells = _Cells(spots, _worst(found))
    header = [(of, cells.of(of, of.id, document.header)) for of in format.header]
    shown = [(name(of), cell, of.id in COMMON_FIELDS) for of, cell in header if cell is not None]
    columns = [of for of in format.lines if any(of.id in line for line in document.lines) or cells.column(of.id)]
    return Body(
        header=tuple((of, cell) for of, cell, common in shown if not common or cell.fault),
        program=tuple((of, cell) for of, cell, common in shown if common and not cell.fault),
        columns=tuple(name(of) for of in columns),
        lines=tuple(
            tuple(cells.of(of, f"lines[{number}].{of.id}", line) or Cell(text="") for of in columns)
            for number, line in enumerate(document.lines, 1)
        ),
        counterparty=counterparty(document),
        amount=written_amount(mapping.amount(document, format)),
    )


@dataclass(frozen=True, slots=True)
class _Cells:
    spots: Mapping[str, int]
    faults: Mapping[str, Severity]

    def of(self, of: Field, path: str, given: Mapping[str, Value]) -> Cell | None:
        """None for a field that has no value and that nothing is said of."""
        value = given.get(of.id, "")
        fault = self.faults.get(path)
        if value == "" and fault is None:
            return None
        return Cell(
            text=of.masked_in(pages.written(value), pages.written(value)),
            meaning=of.choices.get(str(value), ""),
            origin=self.spots.get(path),
            fault=str(fault or ""),
            number=of.type.holds == "number",
        )

    def column(self, id: str) -> bool:
        """Whether a finding is about this column."""
        return any(path.startswith("lines[") and path.endswith(f"].{id}") for path in self.faults)


def name(of: Field | Format) -> Name:
    id = of.id if isinstance(of, Field) else of.name
    return Name(main=of.zh, other=of.en, id=id) if chinese() else Name(main=of.en, other=of.zh, id=id)


def told(finding: Finding, format: Format | None) -> Told:
    line, id = 0, finding.field
    if id.startswith("lines[") and "]." in id:
        number, _, id = id.removeprefix("lines[").partition("].")
        line = int(number) if number.isdecimal() else 0
    fields = {} if format is None else (format.line_fields if line else format.header_fields)
    named = name(fields[id]) if id in fields else Name(main=id, other="", id=id)
    if id == "lines":
        named = Name(main=say("lines"), other="", id=id)
    sentence = messages.render(finding.text, finding.values)
    return Told(code=finding.code, severity=str(finding.severity), line=line, name=named, sentence=sentence)


def _worst(findings: Iterable[Finding]) -> dict[str, Severity]:
    worst: dict[str, Severity] = {}
    for finding in findings:
        if worst.get(finding.field) is not Severity.ERROR:
            worst[finding.field] = finding.severity
    return worst


def counterparty(document: Document) -> str:
    """The name of the foreign side: the first name in the header that is not the enterprise's own."""
    own = {document.header.get("enterpriseName")}
    for id, value in sorted(document.header.items(), key=lambda item: item[0].startswith(("buyer", "receiver"))):
        if id.endswith("Name") and id != "enterpriseName" and value not in own:
            return str(value)
    return ""


def written_amount(total: tuple[str, Decimal] | None) -> str:
    """A total with its currency; empty if there is none."""
    if total is None:
        return ""
    currency, value = total
    return f"{money(value)} {currency}".strip()


def money(value: Decimal) -> str:
    """Cents are written even where the document leaves their zeros out; more than cents are never hidden."""
    exponent = value.as_tuple().exponent
    return f"{value:,.2f}" if isinstance(exponent, int) and exponent > -2 else f"{value:,f}"  # noqa: PLR2004 - cents
