"""Documents as UBL 2.1 XML, by a mapping that is data (profiles/ubl_2_1.yaml)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Literal, cast

from lxml import etree
from pydantic import BaseModel, model_validator

from scraper_agent import yamlfile
from scraper_agent.errors import BusinessError, UsageError
from scraper_agent.format import Document, Format, Value, encode
from scraper_agent.formats import HERE
from scraper_agent.messages import N_
from scraper_agent.rules import SETTINGS, Values, absent, on_line


class When(BaseModel):
    """A header field has a certain code, or its number a certain sign."""

    model_config = SETTINGS

    field: str
    code: str | None = None
    sign: Literal["negative", "not-negative"] | None = None

    def holds(self, header: Values) -> bool:
        value = header.get(self.field, "")
        if self.sign is not None:
            return isinstance(value, Decimal) and (value < 0) is (self.sign == "negative")
        return value == self.code


class Element(BaseModel):
    """One element of the XML, and where its text or its parts come from."""

    model_config = SETTINGS

    at: str
    field: str | None = None
    header: str | None = None
    text: str | None = None
    parts: tuple[Element, ...] = ()
    each: Literal["lines"] | None = None
    need: bool = False
    negated: bool = False
    currency: str | None = None
    unit: str | None = None
    attributes: dict[str, str] = {}
    when: When | None = None

    @model_validator(mode="after")
    def _one_content(self) -> Element:
        given = [each for each in (self.field, self.header, self.text, self.parts or None) if each is not None]
        if len(given) != 1:
            raise yamlfile.Wrong(N_("`{at}` needs exactly one of `field`, `header`, `text`, `parts`"), at=self.at)
        return self

    def fields(self) -> Iterator[tuple[Literal["header", "lines"], str]]:
        """Every field that it or its parts name, and in which part of a document that is."""
        yield from self._fields("header")

    def _fields(self, part: Literal["header", "lines"]) -> Iterator[tuple[Literal["header", "lines"], str]]:
        own: Literal["header", "lines"] = self.each or part
        for id in (self.field, self.unit):
            if id is not None:
                yield own, id
        for id in (self.header, self.currency, self.when.field if self.when else None):
            if id is not None:
                yield "header", id
        for each in self.parts:
            yield from each._fields(own)


class Mapped(BaseModel):
    """The document of UBL that a format becomes."""

    model_config = SETTINGS

    document: str
    left_out: tuple[str, ...]
    """Fields that have no place in it."""
    parts: tuple[Element, ...]


class Units(BaseModel):
    model_config = SETTINGS

    own: dict[str, str]
    known_as: dict[str, str]
    known: dict[str, str]


class Profile(BaseModel):
    model_config = SETTINGS

    name: str
    version: str
    namespace: str
    prefixes: dict[str, str]
    units: Units
    refused: dict[str, tuple[str, ...]]
    left_out: tuple[str, ...]
    """Of the header that formats share."""
    documents: dict[str, Mapped]


@cache
def profile() -> Profile:
    return load(HERE / "profiles" / "ubl_2_1.yaml")


def load(path: Path) -> Profile:
    """A mapping from a file.

    Raises:
        UsageError: there is no such file.
        SourceErrors: it does not fit.
    """
    return yamlfile.load(path, Profile)


def to_ubl(document: Document, format: Format) -> bytes:
    """`document` as UBL 2.1, in canonical XML (C14N 1.0, UTF-8): equal documents give equal bytes.

    Raises:
        UsageError: the format has no document of UBL.
        BusinessError: a field that UBL needs has no value or one that XML cannot carry, or the document is a deletion.
        ValueError: as `format.encode`.
    """
    encode(document, format)
    read = profile()
    if format.name not in read.documents:
        raise UsageError(
            "SA1091",
            N_("a {format} has no document of {profile}"),
            hint=N_("these have one: {known}"),
            format=format.name,
            profile=read.name,
            known=", ".join(read.documents),
        )
    for id, refused in read.refused.items():
        if document.header.get(id) in refused:
            raise BusinessError(
                "SA1093",
                N_("a document whose {field} is `{value}` is none of {profile}"),
                field=id,
                value=document.header[id],
                profile=read.name,
            )
    return _Writer(read, read.documents[format.name], document).written()


@dataclass(frozen=True, slots=True)
class _Part:
    """The values that a `field` is looked up in: the header's, or those of the line `number`."""

    values: Values
    number: int | None = None

    def path(self, id: str) -> str:
        return id if self.number is None else on_line(self.number, id)


@dataclass(frozen=True, slots=True)
class _Writer:
    profile: Profile
    mapped: Mapped
    document: Document

    def written(self) -> bytes:
        namespace = self.profile.namespace.format(document=self.mapped.document)
        # The stubs do not know that None is the prefix of the default namespace.
        names = cast("dict[str, str]", {None: namespace, **self.profile.prefixes})
        root = etree.Element(f"{{{namespace}}}{self.mapped.document}", nsmap=names)
        for each in self.mapped.parts:
            self._add(root, each, _Part(self.document.header))
        return etree.tostring(root, method="c14n")

    def _add(self, parent: etree._Element, element: Element, part: _Part) -> bool:
        """Append what `element` stands for; whether it says something of its own, or must be there."""
        if element.when is not None and not element.when.holds(self.document.header):
            return False
        if element.each is not None:
            if not self.document.lines:
                raise self._missing(element.each)
            lines = [_Part(line, number) for number, line in enumerate(self.document.lines, start=1)]
            said = [self._one(parent, element, line) for line in lines]
            return any(said)
        return self._one(parent, element, part)

    def _one(self, parent: etree._Element, element: Element, part: _Part) -> bool:
        prefix, name = element.at.split(":")
        made = etree.SubElement(parent, f"{{{self.profile.prefixes[prefix]}}}{name}")
        if element.parts:
            said = [self._add(made, each, part) for each in element.parts]
            if not any(said):
                parent.remove(made)
            return any(said)
        return self._leaf(parent, made, element, part)

    def _leaf(self, parent: etree._Element, made: etree._Element, element: Element, part: _Part) -> bool:
        if element.text is not None:
            made.text = element.text
            return element.need
        at = part if element.header is None else _Part(self.document.header)
        id = element.field or element.header or ""
        if absent(at.values, id):
            if element.need:
                raise self._missing(at.path(id))
            parent.remove(made)
            return False
        value = at.values[id]
        try:
            made.text = _text(-value if element.negated and isinstance(value, Decimal) else value)
        except ValueError:
            raise BusinessError(
                "SA1094", N_("{field} has a character that XML cannot carry"), field=at.path(id)
            ) from None
        for key, said in self._attributes(element, part).items():
            made.set(key, said)
        return element.need or element.header is None

    def _attributes(self, element: Element, part: _Part) -> Mapping[str, str]:
        out = dict(element.attributes)
        if element.currency is not None:
            out["currencyID"] = self._needed(_Part(self.document.header), element.currency)
        if element.unit is not None:
            unit = self._needed(part, element.unit)
            known = self.profile.units.known.get(unit)
            out |= {"unitCode": known or unit, **(self.profile.units.known_as if known else self.profile.units.own)}
        return out

    def _needed(self, part: _Part, id: str) -> str:
        if absent(part.values, id):
            raise self._missing(part.path(id))
        return _text(part.values[id])

    def _missing(self, path: str) -> BusinessError:
        return BusinessError(
            "SA1092",
            N_("{field} is missing, but the {document} of {profile} needs it"),
            field=path,
            document=self.mapped.document,
            profile=self.profile.name,
        )


def _text(value: Value) -> str:
    match value:
        case Decimal():
            plain = f"{value:f}"
            if "." in plain:
                plain = plain.rstrip("0").rstrip(".")
            return plain if value else "0"
        case date():  # or a datetime
            return value.isoformat()
        case _:
            return value
