"""Good and bad documents of each format, as changes to a good one: `samples/formats/<format>.yaml`.

`header` and `lines` of a sample change those of the file's document: a line beyond its last changes the first, and an
empty text takes a field away. `says` is what a person is told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from scraper_agent import messages
from scraper_agent.format import Context, Document, Field, Format, Value, decode, encode, json_schema
from scraper_agent.formats import FORMATS
from scraper_agent.values import Finding

FOLDER = Path(__file__).parent / "samples" / "formats"
TEN = sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem != "common")
ENOUGH_GOOD, ENOUGH_BAD = 3, 10


@dataclass(frozen=True, kw_only=True)
class Sample:
    format: Format
    document: Document
    context: Context
    says: tuple[str, ...]
    common: bool = False

    def found(self) -> tuple[Finding, ...]:
        return self.format.check(self.document, self.context)


def read(name: str) -> Any:
    return yaml.load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506 - plain text


def samples(name: str, kind: str) -> Iterator[Sample]:
    file, shared = read(name), read("common")
    base = {**shared["header"], **file["header"]}
    for common, raw in [(False, raw) for raw in file[kind]] + [(True, raw) for raw in shared.get(kind, ())]:
        header = {**base, **raw.get("header", {})}
        changes = raw.get("lines", [{} for _ in file["lines"]])
        lines = [{**file["lines"][at if at < len(file["lines"]) else 0], **change} for at, change in enumerate(changes)]
        format = FORMATS[name]
        yield Sample(
            format=format,
            document=Document(
                format=name,
                header=_values(header, format.header_fields),
                lines=tuple(_values(line, format.line_fields) for line in lines),
            ),
            context=_context(raw),
            says=tuple(raw.get("says", ())),
            common=common,
        )


def _context(raw: Mapping[str, Any]) -> Context:
    rates = raw.get("rates")
    return Context(
        duplicates=tuple(raw.get("duplicates", ())),
        districts=frozenset(raw["districts"]) if "districts" in raw else None,
        tariff={code: (first, second) for code, (first, second) in raw["tariff"].items()} if "tariff" in raw else None,
        rates=rates
        and {
            currency: [(date.fromisoformat(day), Decimal(worth)) for day, worth in days.items()]
            for currency, days in rates.items()
        },
    )


def _values(raw: Mapping[str, str], known: Mapping[str, Field]) -> dict[str, Value]:
    return {id: _value(text, known.get(id)) for id, text in raw.items() if text}


def _value(text: str, of: Field | None) -> Value:
    """As mapping would read it: what is no number or date stays text."""
    try:
        match of.type.holds if of else "text":
            case "number":
                return Decimal(text)
            case "date":
                return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - local time, as the formats have it
            case "datetime":
                return datetime.strptime(text, "%Y%m%dT%H%M%S")  # noqa: DTZ007
            case _:
                return text
    except (ValueError, InvalidOperation):
        return text


def told(found: tuple[Finding, ...]) -> tuple[str, ...]:
    return tuple(f"{f.severity} {f.code} {f.field} {messages.render(f.text, f.values)}" for f in found)


def test_each_of_the_ten_formats_has_samples() -> None:
    assert len(TEN) == 10
    for name in TEN:
        assert len([s for s in samples(name, "good") if not s.common]) >= ENOUGH_GOOD, name
        assert len([s for s in samples(name, "bad") if not s.common]) >= ENOUGH_BAD, name


@pytest.mark.parametrize("name", TEN)
def test_a_good_sample_has_no_findings(name: str) -> None:
    assert [told(sample.found()) for sample in samples(name, "good")] == [() for _ in samples(name, "good")]


@pytest.mark.parametrize("name", TEN)
def test_a_good_sample_has_bytes_that_fit_the_schema_and_are_read_again(name: str) -> None:
    format = FORMATS[name]
    schema = jsonschema.Draft202012Validator(json_schema(format))
    for sample in samples(name, "good"):
        data = encode(sample.document, format)
        assert list(schema.iter_errors(json.loads(data))) == []
        assert decode(format, data) == sample.document


@pytest.mark.parametrize("name", TEN)
def test_a_bad_sample_has_just_these_findings(name: str) -> None:
    for sample in samples(name, "bad"):
        assert sample.says, sample.document
        assert told(sample.found()) == sample.says


@pytest.mark.parametrize("name", TEN)
def test_every_rule_of_a_format_has_a_bad_sample(name: str) -> None:
    bad = list(samples(name, "bad"))
    kept = [rule for rule in FORMATS[name].rules if not any(list(rule.findings(s.document, s.context)) for s in bad)]
    assert kept == []
