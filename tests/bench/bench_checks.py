"""All checks of a document of 20 lines against pydantic's own validation of it, and its byte form against `json`.

The references, on the same document and in the same run:

- checks: `model_validate` of a pydantic model with the same fields (types, lengths, patterns, code lists as enums,
  mandatory or not) from the same text values, since text is what a page gives; it knows no sums and no conditions.
- encode: `json.dumps` of the same values (keys sorted, no white space, numbers and dates by its `default`); decode:
  `json.loads` of the same bytes to the same values (numbers and dates by its `object_hook`).
- `…_text`: the same without numbers and dates, all being text before and after: less than the byte form is for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, create_model
from pydantic import Field as Constraint

from scraper_agent.format import Field, Format, Value, decode, encode
from scraper_agent.formats import PACKAGED
from tests.test_format_samples import samples

LINES = 20
NAME = "foreignInvoice"
ROUNDS, REPEATS = 40, 10


def measure() -> dict[str, float]:
    """Milliseconds, and ratios to the reference that each is named by."""
    format = PACKAGED.formats[NAME]
    good = next(samples(NAME, "good")).document
    line = good.lines[0]
    amount = line["lineAmount"]
    assert isinstance(amount, Decimal)
    header = {**good.header, "goodsAmount": amount * LINES, "totalAmount": amount * LINES + 20}
    lines = tuple({**line, "invoiceLineNumber": str(n)} for n in range(1, LINES + 1))
    document = type(good)(format=NAME, header=header, lines=lines)
    context = PACKAGED.context((), {})
    assert format.check(document, context) == ()

    data = encode(document, format)
    text = json.loads(data)
    model = _model(format)
    pages = {"format": NAME, "header": _iso(header), "lines": [_iso(line) for line in lines]}
    assert model.model_validate(pages).model_dump()["lines"][0]["lineAmount"] == amount

    plain: Any = {"ensure_ascii": False, "sort_keys": True, "separators": (",", ":")}
    values = {"format": NAME, "header": dict(header), "lines": list(lines)}
    hook = _hook({**format.header_fields, **format.line_fields})
    assert json.loads(data, object_hook=hook) == values
    best = _best(
        {
            "check": lambda: format.check(document, context),
            "pydantic": lambda: model.model_validate(pages),
            "encode": lambda: encode(document, format),
            "json_dumps": lambda: json.dumps(values, default=_default, **plain).encode(),
            "json_dumps_text": lambda: json.dumps(text, **plain).encode(),
            "decode": lambda: decode(format, data),
            "json_loads": lambda: json.loads(data, object_hook=hook),
            "json_loads_text": lambda: json.loads(data),
        }
    )
    return {
        **{f"{name}_ms": figure for name, figure in best.items()},
        "check_ratio": best["check"] / best["pydantic"],
        "encode_ratio": best["encode"] / best["json_dumps"],
        "encode_ratio_text": best["encode"] / best["json_dumps_text"],
        "decode_ratio": best["decode"] / best["json_loads"],
        "codec_ratio": (best["encode"] + best["decode"]) / (best["json_dumps"] + best["json_loads"]),
        "decode_ratio_text": best["decode"] / best["json_loads_text"],
    }


def _default(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _hook(known: Mapping[str, Field]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    of: dict[str, Callable[[str], object]] = {
        "number": Decimal,
        "date": date.fromisoformat,
        "datetime": datetime.fromisoformat,
    }
    readers = {id: of[field.type.holds] for id, field in known.items() if field.type.holds != "text"}

    def hook(values: dict[str, Any]) -> dict[str, Any]:
        return {id: readers[id](value) if id in readers else value for id, value in values.items()}

    return hook


def _iso(values: Mapping[str, Value]) -> dict[str, str]:
    """As text that pydantic reads: of dates it knows the long form only."""
    return {id: value.isoformat() if isinstance(value, date) else str(value) for id, value in values.items()}


def _model(format: Format) -> type[BaseModel]:
    """What pydantic itself can say of the format's fields."""
    strict = ConfigDict(extra="forbid")

    def part(name: str, fields: tuple[Field, ...]) -> Any:
        own: dict[str, Any] = {
            f.id: (_annotation(f), ...) if f.mandatory else (_annotation(f) | None, None) for f in fields
        }
        return create_model(name, __config__=strict, **own)

    header: Any = part("Header", format.header)
    lines: Any = list[part("Line", format.lines)]  # type: ignore[misc] # made at run time
    return create_model("Whole", __config__=strict, format=(str, ...), header=(header, ...), lines=(lines, ...))


def _annotation(of: Field) -> Any:
    match of.type.holds:
        case "number":
            digits = Constraint(
                max_digits=of.type.most, decimal_places=of.type.decimals, gt=of.more_than, ge=of.at_least
            )
            return Annotated[Decimal, digits]
        case "date":
            return Annotated[date, Constraint()]
        case "datetime":
            return Annotated[datetime, Constraint()]
        case "text" if of.choices:
            return Enum(of.id, {f"c{code}": code for code in of.choices})
        case "text":
            shape = of.pattern or of.type.shape
            pattern = f"^(?:{shape.pattern})$" if shape else None
            limits = StringConstraints(min_length=of.type.least, max_length=of.type.most, pattern=pattern)
            return Annotated[str, limits]


def _best(acts: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Milliseconds of CPU of one call each, of the best round: whatever else the machine does only adds.

    All take turns, so that none has the quiet minutes for itself.
    """
    rounds: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(ROUNDS):
        for name, act in acts.items():
            started = time.process_time()
            for _ in range(REPEATS):
                act()
            rounds[name].append((time.process_time() - started) * 1000 / REPEATS)
    return {name: min(found) for name, found in rounds.items()}


if __name__ == "__main__":
    for name, number in measure().items():
        print(f"{name:>20} {number:10.3f}")
