"""Waybills for tests: the samples beside each format, and documents made by hypothesis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any

from scraper_agent import formats, yamlfile
from scraper_agent.format import Document, Field, Format, Value
from scraper_agent.formats import FORMATS

SAMPLES = Path(__file__).parent / "samples" / "formats"

DANGEROUS = FORMATS["dangerousGoodsWaybill"]
CROSS_BORDER = FORMATS["crossBorderWaybill"]
STATUS = FORMATS["waybillStatus"]
FOLDERS = {"dangerous_goods_waybill": DANGEROUS, "cross_border_waybill": CROSS_BORDER, "waybill_status": STATUS}


@dataclass(frozen=True)
class Sample:
    folder: str
    name: str
    good: bool
    format: Format
    document: Document
    found: list[str]

    def __str__(self) -> str:
        return f"{self.folder}: {self.name}"


def samples(folder: str) -> Iterator[Sample]:
    read = _read(folder)
    for kind in ("good", "bad"):
        for name, changes in read[kind].items():
            format = FOLDERS[folder]
            if changes.get("added"):
                format = formats.extended(format, SAMPLES / folder / "added.yaml")
            document = _document(format, read["base"], changes)
            yield Sample(folder, name, kind == "good", format, document, changes.get("found", []))


def waybill(lines: list[dict[str, str]] | None = None, **header: str) -> Document:
    """The base sample of dangerous goods with changes, all as text; an empty text takes a field away."""
    changes: dict[str, Any] = {"header": header} | ({} if lines is None else {"lines": lines})
    return _document(DANGEROUS, _read("dangerous_goods_waybill")["base"], changes)


@cache
def _read(folder: str) -> Any:
    return yamlfile.read(SAMPLES / folder / "samples.yaml").data


def _document(format: Format, base: Any, changes: Any) -> Document:
    header = {id: value for id, value in base["header"].items() if id not in changes.get("without", [])}
    line = base.get("line")
    lines = changes.get("lines", [] if line is None else [{}])
    return Document(
        format=format.name,
        header=_values(header | changes.get("header", {}), format.header_fields),
        lines=tuple(_values((line or {}) | each, format.line_fields) for each in lines),
    )


def _values(texts: Mapping[str, str], known: Mapping[str, Field]) -> dict[str, Value]:
    return {id: _value(text, known.get(id)) for id, text in texts.items() if text}


def _value(text: str, field: Field | None) -> Value:
    """Text that is no value of its field's kind stays text, as it would on a page."""
    try:
        match field.type.holds if field else "text":
            case "number":
                return Decimal(text)
            case "date":
                return date.fromisoformat(text) if "-" not in text else text
            case "datetime":
                return datetime.fromisoformat(text) if "T" in text else text
            case _:
                pass
    except (InvalidOperation, ValueError):
        pass
    return text
