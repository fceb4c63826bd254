"""A standard format: its fields, its one byte form, and the rules that hold for it.

The type notation is that of GB/T 40292-2021, clause 5: `an18`, `n..19.4`, `a3..10`, `YYYYMMDD`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cache, cached_property
from typing import Any, Literal, TypeAlias

from scraper_agent import canonical
from scraper_agent.messages import N_
from scraper_agent.rules import Context, Document, Fault, Rule, Value, Values, When, fields
from scraper_agent.values import Finding
from scraper_agent.yamlfile import Wrong

__all__ = [
    "Context",
    "Document",
    "Field",
    "Format",
    "Type",
    "Value",
    "decode",
    "encode",
    "json_schema",
    "read_value",
]

Holds: TypeAlias = Literal["text", "number", "date", "datetime"]

_NOTATION = re.compile(
    r"(?P<kind>an|a|n)(?:(?P<fixed>[1-9]\d*)|(?P<least>[1-9]\d*)?\.\.(?P<most>[1-9]\d*|ul)(?:\.(?P<decimals>\d+))?)"
    r"|\((?P<bracketed>[an]{2,})\)|(?P<pattern>[an]{3,})"
    r"|(?P<moment>YYYYMMDD(?:Thhmmss)?)|(?P<binary>binary)"
)
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
"""What XML and Excel cannot carry."""

_LETTERS = {"a": "[A-Za-z]", "n": "[0-9]"}
_SHOWN = 40
"""Characters of a faulty value that a finding quotes."""
_IN_A_ROW = re.compile(r"[A-Za-z0-9]{6,}")
_LONGEST = 1000
"""Digits beyond which a number has no byte form: `1E+999999` would fill the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    """A type of GB/T 40292. `least` and `most` count characters, or the digits of a number; `most` None: no limit.

    A range `n..19.4` is a number of at most 15 digits before the point and 4 after it. A fixed length such as `n10` is
    text, since the leading zeros of a code count. `a` and `n` are ASCII; `an` is any character, as names are Chinese.
    """

    notation: str
    holds: Holds
    least: int = 1
    most: int | None = None
    decimals: int = 0
    shape: re.Pattern[str] | None = field(default=None, repr=False)
    """Of a text of letters or digits; None allows any character."""

    @staticmethod
    @cache
    def parse(notation: str) -> Type:
        """The type that `notation` stands for.

        Raises:
            Wrong: it is not a type, its least is above its most, or it has decimals and is not a number.
        """
        match = _NOTATION.fullmatch(notation)
        if match is None:
            raise Wrong(
                N_("`{notation}` is not a type of GB/T 40292"),
                hint=N_("write such as `an18`, `an..35`, `n..19.4`, `YYYYMMDD`"),
                notation=notation,
            )
        if match["moment"]:
            return Type(notation=notation, holds="datetime" if "T" in notation else "date")
        if match["binary"]:
            return Type(notation=notation, holds="text", shape=re.compile(r"[A-Za-z0-9+/]*={0,2}"))
        if letters := match["bracketed"] or match["pattern"]:
            shape = re.compile("".join(_LETTERS[letter] for letter in letters))
            return Type(notation=notation, holds="text", least=len(letters), most=len(letters), shape=shape)
        return _sized(match)

    def fault(self, value: Value) -> Fault | None:
        """Why `value` is not of this type; None if it is. Nothing is ever rounded or cut to fit."""
        match self.holds:
            case "number" if isinstance(value, Decimal):
                return self._number_fault(value)
            case "number":
                return N_("is `{value}`, not a number"), {"value": _shown(value)}
            case "date":
                return None if type(value) is date else (N_("is `{value}`, not a date"), {"value": _shown(value)})
            case "datetime":
                right = isinstance(value, datetime) and value.tzinfo is None and not value.microsecond
                return None if right else (N_("is `{value}`, not a date and time"), {"value": _shown(value)})
            case "text" if isinstance(value, str):
                return self._text_fault(value)
            case "text":
                return N_("is `{value}`, not text"), {"value": _shown(value)}

    def _number_fault(self, value: Decimal) -> Fault | None:
        if not value.is_finite():
            return N_("is `{value}`, not a number"), {"value": str(value)}
        whole, decimals = _digits(value)
        said = {"value": _shown(value), "type": self.notation}
        if decimals > self.decimals:
            return N_("is {value}, which has {found} decimals; {type} allows {most}"), {
                **said,
                "found": str(decimals),
                "most": str(self.decimals),
            }
        if self.most is not None and whole > self.most - self.decimals:
            return N_("is {value}, which has {found} digits before the point; {type} allows {most}"), {
                **said,
                "found": str(whole),
                "most": str(self.most - self.decimals),
            }
        if max(whole, 1) + decimals < self.least:
            return N_("is {value}, which has {found} digits; {type} needs {least}"), {
                **said,
                "found": str(max(whole, 1) + decimals),
                "least": str(self.least),
            }
        return None

    def _text_fault(self, value: str) -> Fault | None:
        length = len(value)
        if length < self.least or (self.most is not None and length > self.most):
            return N_("is `{value}`, which has {found} characters; the type is {type}"), {
                "value": _shown(value),
                "found": str(length),
                "type": self.notation,
            }
        if self.shape is not None and not self.shape.fullmatch(value):
            return N_("is `{value}`, which does not fit the type {type}"), {
                "value": _shown(value),
                "type": self.notation,
            }
        if strange := _UNWRITABLE.search(value):
            return N_("has the character U+{character}, which is not text"), {"character": f"{ord(strange[0]):04X}"}
        return None

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the byte form of a value."""
        # `$` alone would let Python's `re` accept a line feed at the end.
        match self.holds:
            case "number":
                return {"type": "string", "pattern": f"^{self._number_pattern()}$(?!\\n)"}
            case "date":
                return {"type": "string", "pattern": r"^[0-9]{4}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])$(?!\n)"}
            case "datetime":
                return {
                    "type": "string",
                    "pattern": r"^[0-9]{4}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])"
                    r"T([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]$(?!\n)",
                }
            case "text":
                schema: dict[str, Any] = {"type": "string", "minLength": self.least}
                if self.most is not None:
                    schema["maxLength"] = self.most
                if self.shape is not None:
                    schema["pattern"] = f"^{self.shape.pattern}$(?!\\n)"
                return schema

    def _number_pattern(self) -> str:
        rest = "*" if self.most is None else f"{{0,{max(self.most - self.decimals - 1, 0)}}}"
        whole = "0" if self.most is not None and self.most <= self.decimals else f"(?:0|[1-9][0-9]{rest})"
        point = rf"(?:\.[0-9]{{0,{self.decimals - 1}}}[1-9])?" if self.decimals else ""
        enough = f"(?=(?:[^0-9]*[0-9]){{{self.least}}})" if self.least > 1 else ""
        return f"{enough}(?!-0$)-?{whole}{point}"


def _sized(match: re.Match[str]) -> Type:
    kind, notation = match["kind"], match[0]
    if match["fixed"]:
        return _text(kind, int(match["fixed"]), int(match["fixed"]), notation)
    least = int(match["least"] or 1)
    most = None if match["most"] == "ul" else int(match["most"])
    decimals = int(match["decimals"] or 0)
    if match["decimals"] and kind != "n":
        raise Wrong(N_("`{notation}` has decimals, but only a number can"), notation=notation)
    if most is None and match["decimals"]:
        raise Wrong(N_("`{notation}` has decimals but no number of digits"), notation=notation)
    if most is not None and (least > most or decimals > most):
        raise Wrong(N_("`{notation}` allows no value"), notation=notation)
    if kind == "n":
        return Type(notation=notation, holds="number", least=least, most=most, decimals=decimals)
    return _text(kind, least, most, notation)


def _text(kind: str, least: int, most: int | None, notation: str) -> Type:
    shape = re.compile(f"{_LETTERS[kind]}*") if kind in _LETTERS else None
    return Type(notation=notation, holds="text", least=least, most=most, shape=shape)


def _digits(value: Decimal) -> tuple[int, int]:
    """Digits before and after the point, without leading and trailing zeros."""
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or not any(digits):
        return 0, 0
    trailing = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return max(value.adjusted() + 1, 0), max(-(exponent + trailing), 0)


def mask(text: str, count: int) -> str:
    """`text` with its middle `count` characters as `*`; the odd one more stands behind them."""
    count = min(count, len(text))
    before = (len(text) - count) // 2
    return text[:before] + "*" * count + text[before + count :]


def _shown(value: Value) -> str:
    shown = str(value)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One data element, with the five attributes of GB/T 40292 and what may be checked of its value alone."""

    id: str
    zh: str
    en: str
    type: Type
    need: Literal["M", "C", "O"]
    """Mandatory, conditional, optional."""
    rule: str = ""
    """In prose, for people; what is enforced is in the other attributes and in the format's rules."""
    source: str = ""
    """Where name and length come from."""
    printed: str = ""
    """The length as the source has it, where it writes types in another notation: `F24`, `(5,2)`."""
    confidence: Literal["high", "medium", "low"] = "high"
    """How sure the reading of a damaged source is."""
    standard: str | None = None
    """Of an added element (GB/T 40292, clause 7): the standard that it is from."""
    codes: str | None = None
    """The code list, by its name in `formats.CODES`; None if the choices are the field's own."""
    choices: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Allowed codes and their Chinese names; empty allows every value of the type."""
    pattern: re.Pattern[str] | None = None
    """Of the whole text, where the type alone says too little."""
    more_than: Decimal | None = None
    at_least: Decimal | None = None
    less_than: Decimal | None = None
    example: str = ""
    """A value as the byte form has it, for templates; empty where any value of the type will do."""
    masked: int = 0
    """So many characters in the middle of a value are shown to people as `*`; document and log keep it whole."""
    fits: Callable[[Value], bool] = field(init=False, repr=False, compare=False)
    """Whether a quick look tells that a value is right, as nearly always; False says nothing, `fault` then does."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "fits", _quick(self))

    @property
    def mandatory(self) -> bool:
        return self.need == "M"

    def masked_in(self, text: str, value: str = "") -> str:
        """`text` as people may see it, if it holds `value`, or in its place something that is no value.

        What may be a number in a longer text, letters and digits in a row, is masked as a value is.
        """
        if not self.masked:
            return text
        if value and value in text:
            return text.replace(value, mask(value, self.masked))
        return _IN_A_ROW.sub(lambda row: mask(row[0], self.masked), text)

    def fault(self, value: Value) -> Fault | None:
        """Why this field may not have `value`; None if it may."""
        fault = self._fault(value)
        if fault is None or not self.masked or "value" not in fault[1]:
            return fault
        return fault[0], {**fault[1], "value": mask(fault[1]["value"], self.masked)}

    def _fault(self, value: Value) -> Fault | None:
        fault = self.type.fault(value)
        if fault is not None:
            return fault
        if isinstance(value, Decimal):
            return self._bound_fault(value)
        if self.choices and value not in self.choices:
            if self.codes is None:
                return N_("is `{value}`, but must be one of {choices}"), {
                    "value": _shown(value),
                    "choices": ", ".join(self.choices),
                }
            return N_("is `{value}`, which is not in the code list `{codes}`"), {
                "value": _shown(value),
                "codes": self.codes,
            }
        if self.pattern is not None and isinstance(value, str) and not self.pattern.fullmatch(value):
            return N_("is `{value}`, but must have the form {pattern}"), {
                "value": _shown(value),
                "pattern": self.pattern.pattern,
            }
        return None

    def _bound_fault(self, value: Decimal) -> Fault | None:
        if self.more_than is not None and value <= self.more_than:
            return N_("is {value}, but must be more than {bound}"), {
                "value": _shown(value),
                "bound": str(self.more_than),
            }
        if self.at_least is not None and value < self.at_least:
            return N_("is {value}, but must be at least {bound}"), {
                "value": _shown(value),
                "bound": str(self.at_least),
            }
        if self.less_than is not None and value >= self.less_than:
            return N_("is {value}, but must be less than {bound}"), {
                "value": _shown(value),
                "bound": str(self.less_than),
            }
        return None


def _quick(of: Field) -> Callable[[Value], bool]:
    least, most = of.type.least, of.type.most or _LONGEST
    if of.type.holds == "text":
        if of.choices:
            right = frozenset(code for code in of.choices if of.fault(code) is None)
            return lambda value: type(value) is str and value in right
        shape = of.pattern or of.type.shape
        if of.pattern is not None and of.type.shape is not None:
            return lambda value: of.fault(value) is None
        if shape is None:
            return lambda value: type(value) is str and least <= len(value) <= most and value.isprintable()
        fullmatch = shape.fullmatch
        return lambda value: (
            type(value) is str and least <= len(value) <= most and fullmatch(value) is not None and value.isprintable()
        )
    if of.type.holds != "number" or least > 1:
        return lambda value: of.fault(value) is None
    more_than, at_least, less_than = of.more_than, of.at_least, of.less_than

    def number(value: Value) -> bool:
        if type(value) is not Decimal or not value.is_finite():
            return False
        whole, _, rest = str(value).partition(".")
        return (
            len(rest) <= of.type.decimals
            and len(whole) <= most - of.type.decimals
            and "E" not in whole
            and "E" not in rest
            and (more_than is None or value > more_than)
            and (at_least is None or value >= at_least)
            and (less_than is None or value < less_than)
        )

    return number


@dataclass(frozen=True, kw_only=True)
class Format:
    """`key`: the header fields that together name a document in business, the number first."""

    name: str
    zh: str
    en: str
    version: str
    source: str
    key: tuple[str, ...]
    header: tuple[Field, ...]
    lines: tuple[Field, ...]
    """Empty: its documents have none."""
    rules: tuple[Rule, ...]
    no_lines: When | None = None
    """When a document of a format with lines may be without; None: never."""
    amount: str | None = None
    """The header field that limits of approval are about; None if the format has no amount."""
    currency: str | None = None
    standards: re.Pattern[str] | None = None
    """What the number of a standard looks like from which header fields may be added; None: none may be."""

    @cached_property
    def header_fields(self) -> Mapping[str, Field]:
        return {each.id: each for each in self.header}

    @cached_property
    def line_fields(self) -> Mapping[str, Field]:
        return {each.id: each for each in self.lines}

    @cached_property
    def header_other(self) -> Mapping[str, Holds]:
        """What those fields of the header hold that hold no text."""
        return {each.id: each.type.holds for each in self.header if each.type.holds != "text"}

    @cached_property
    def line_other(self) -> Mapping[str, Holds]:
        return {each.id: each.type.holds for each in self.lines if each.type.holds != "text"}

    def check(self, document: Document, context: Context) -> tuple[Finding, ...]:
        """Everything wrong with `document`: CHK-01 for each field, then the format's rules in their order."""
        return tuple(self._findings(document, context))

    def _findings(self, document: Document, context: Context) -> Iterator[Finding]:
        yield from fields.findings(document, self.header_fields, self.line_fields, self.no_lines)
        for rule in self.rules:
            yield from rule.findings(document, context)


def encode(document: Document, format: Format) -> bytes:
    """The standard's own bytes of `document`, which need not pass its checks. Equal documents give equal bytes.

    Raises:
        ValueError: it is of another format, has a field the format lacks, or a value of another kind than its field
            holds: a caller's mistake, not the document's.
    """
    if document.format != format.name:
        raise ValueError(f"a document of {document.format} is not one of {format.name}")
    return canonical.dumps_plain(
        {
            "format": format.name,
            "header": _written(document.header, format.header_fields, format.header_other),
            "lines": [_written(line, format.line_fields, format.line_other) for line in document.lines],
        }
    )


def decode(format: Format, data: bytes) -> Document:
    """The inverse of `encode`.

    Raises:
        ValueError: `encode` would not have made these bytes.
    """
    raw = json.loads(data)
    try:
        # One document must not have two byte forms: its digest is what a person approves.
        if raw["format"] != format.name or raw.keys() != _PARTS or canonical.dumps_plain(raw) != data:
            raise ValueError(f"not the canonical bytes of a {format.name}")
        return Document(
            format=format.name,
            header=_read(raw["header"], format.header_fields, format.header_other),
            lines=tuple([_read(line, format.line_fields, format.line_other) for line in raw["lines"]]),
        )
    except (ArithmeticError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a document of {format.name}") from error


_PARTS = {"format", "header", "lines"}
_TEXT = {str}


def _written(values: Values, known: Mapping[str, Field], other: Mapping[str, Holds]) -> dict[str, Value]:
    """`other`: what those of the known fields hold that hold no text."""
    written = dict(values)
    for id, holds in other.items():
        if id in written:
            value = written[id]
            text = str(value) if holds == "number" and type(value) is Decimal else ""
            # What Python writes for a number is nearly always its byte form already.
            plain = text.isdigit() or ("." in text and text[-1] != "0" and "E" not in text)
            written[id] = text if plain else _written_value(value, id, holds)
    if not written.keys() <= known.keys():
        raise ValueError(f"no such field: {', '.join(sorted(written.keys() - known.keys()))}")
    if not set(map(type, written.values())) <= _TEXT:
        id = next(id for id, value in written.items() if type(value) is not str)
        raise ValueError(f"{id} holds text, not {written[id]!r}")
    return written


def _written_value(value: Value, id: str, holds: Holds) -> str:
    match holds:
        case "number" if isinstance(value, Decimal):
            return _written_number(value, id)
        case "date" if type(value) is date:
            return value.isoformat().replace("-", "")
        case "datetime" if isinstance(value, datetime) and value.tzinfo is None and not value.microsecond:
            return value.isoformat().replace("-", "").replace(":", "")
    raise ValueError(f"{id} holds {holds}, not {value!r}")


def _written_number(value: Decimal, id: str) -> str:
    if not value.is_finite() or abs(value.adjusted()) > _LONGEST:
        raise ValueError(f"{id} holds a number, not {value!r}")
    plain = f"{value:f}"
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return plain if value else "0"


def _read(values: dict[str, Any], known: Mapping[str, Field], other: Mapping[str, Holds]) -> Values:
    """The values in place of their texts, in the same mapping."""
    if not values.keys() <= known.keys() or not set(map(type, values.values())) <= _TEXT:
        raise TypeError
    for id, holds in other.items():
        if id in values:
            written = values[id]
            value = read_value(written, holds)
            same = holds == "number" and written.isdigit() and str(value) == written
            if not same and _written_value(value, id, holds) != written:
                raise ValueError(f"{id} is not written as in the canonical bytes")
            values[id] = value
    return values


def read_value(value: str, holds: Holds) -> Value:
    """The value of a text of the byte form. Raises ValueError or ArithmeticError if it is none."""
    match holds:
        case "text":
            return value
        case "number":
            return Decimal(value)
        case "date":
            return date.fromisoformat(value)
        case "datetime":
            return datetime.fromisoformat(value)


def json_schema(format: Format) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the bytes. It knows types, codes and mandatory fields; sums only `check` knows."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format.name,
        "description": format.zh,
        "type": "object",
        "required": ["format", "header", "lines"],
        "additionalProperties": False,
        "properties": {
            "format": {"const": format.name},
            "header": _object_schema(format.header),
            "lines": (
                {"type": "array", "minItems": 0 if format.no_lines else 1, "items": _object_schema(format.lines)}
                if format.lines
                else {"type": "array", "maxItems": 0}
            ),
        },
    }


def _object_schema(fields: tuple[Field, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [each.id for each in fields if each.mandatory],
        "additionalProperties": False,
        "properties": {each.id: _field_schema(each) for each in fields},
    }


def _field_schema(of: Field) -> dict[str, Any]:
    schema = {"title": of.zh, "description": of.en, **of.type.schema()}
    if of.choices:
        schema["enum"] = list(of.choices)
    if of.pattern is not None:
        schema["pattern"] = f"^(?:{of.pattern.pattern})$(?!\\n)"
    return schema
