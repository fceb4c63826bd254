"""The standard formats and code lists, each a YAML file beside this one.

No public source prescribes their fields (see `status` in each): what the receiving side wants is changed there, not in
code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic import Field as Setting
from pydantic.fields import FieldInfo

from scraper_agent import canonical, yamlfile
from scraper_agent.errors import Position, Problem, SourceErrors, UsageError
from scraper_agent.format import Context, Field, Format, Type
from scraper_agent.formats import tables
from scraper_agent.formats.tables import CodeList, Rates, Table, Tariff
from scraper_agent.messages import N_
from scraper_agent.rules import (
    LINES,
    Role,
    Settings,
    When,
    amounts,
    codes,
    dates,
    fields,
    identity,
    rates,
    tariff,
    units,
    waybills,
    weights,
)

HERE = Path(__file__).parent

_IDENTIFIER = re.compile(r"[a-z][A-Za-z0-9]*")
"""GB/T 40292-2021, 5.1: capitals begin the words but the first, and nothing stands between them."""

_STRICT = ConfigDict(frozen=True, extra="forbid")


def _notation(notation: str) -> str:
    Type.parse(notation)
    return notation


def _regex(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise yamlfile.Wrong(
            N_("`{pattern}` is not a regular expression: {reason}"), pattern=pattern, reason=error
        ) from None
    return pattern


def _identifier(id: str) -> str:
    if not _IDENTIFIER.fullmatch(id):
        raise yamlfile.Wrong(
            N_("`{id}` is no identifier of a data element"),
            hint=N_("write words of letters and digits together, each but the first with a capital: `netWeight`"),
            id=id,
        )
    return id


class _Field(BaseModel):
    model_config = _STRICT

    zh: str
    en: str
    type: Annotated[str, AfterValidator(_notation)]
    need: Literal["M", "C", "O"]
    rule: str = ""
    source: str
    codes: str | dict[str, str] | None = None
    pattern: Annotated[str, AfterValidator(_regex)] | None = None
    more_than: Decimal | None = None
    at_least: Decimal | None = None
    less_than: Decimal | None = None
    printed: str = ""
    example: str = ""
    masked: Annotated[int, Setting(ge=0)] = 0
    confidence: Literal["high", "medium", "low"] = "high"


class _Added(_Field):
    """An element that a user adds to a format."""

    source_standard: str
    source: str = ""


_Rule: TypeAlias = Annotated[
    fields.OneOf
    | fields.Required
    | fields.Unwanted
    | fields.Constant
    | fields.Different
    | fields.MoreThan
    | fields.Numbering
    | identity.DuplicateKey
    | identity.CreditCode
    | identity.CustomsCode
    | amounts.LineAmount
    | amounts.LineSum
    | amounts.HeaderSum
    | amounts.Balance
    | amounts.Amount
    | amounts.FreeOfCharge
    | weights.GrossNet
    | weights.TotalWeight
    | units.UnitQuantity
    | dates.DateOrder
    | tariff.Tariff
    | tariff.LegalUnits
    | rates.ExchangeRate
    | codes.Container
    | codes.KnownCountry
    | identity.PartyId
    | fields.Together
    | waybills.WholeDigits
    | waybills.SamePrefecture
    | waybills.SameWord,
    Setting(discriminator="check"),
]


class _Common(BaseModel):
    """`common.yaml`: what all formats have."""

    model_config = _STRICT

    status: str
    header: dict[str, _Field]
    rules: tuple[_Rule, ...] = ()


class _Limits(BaseModel):
    model_config = _STRICT

    amount: str
    currency: str


class _Adding(BaseModel):
    """Whether elements may be added to a format."""

    model_config = _STRICT

    standards: Annotated[str, AfterValidator(_regex)]
    """A regular expression of the numbers of the standards that they may be from."""


class _Elements(BaseModel):
    """A user's file of added elements."""

    model_config = _STRICT

    elements: dict[Annotated[str, AfterValidator(_identifier)], _Added]


class _Format(_Common):
    name: str
    zh: str
    en: str
    version: str
    common: bool = True
    """Whether it has the header and rules of `common.yaml`; a standard with a record of its own has not."""
    key: tuple[str, ...]
    mandatory: tuple[str, ...] = ()
    """Fields of `common.yaml` that this format cannot do without."""
    limits: _Limits | None = None
    no_lines: When | None = None
    """When a document may be without lines."""
    lines: dict[str, _Field] = {}
    added: _Adding | None = None


_LISTS = ("container", "country", "currency", "incoterm", "packaging", "supervision", "transport", "unit")

_READ = {name: tables.load(HERE / "codes" / f"{name}.yaml", CodeList) for name in _LISTS}

CODES: dict[str, CodeList] = {name: codes for name, (codes, _) in _READ.items()}
"""The code lists that come with the package."""


def load(path: Path) -> Format:
    """The format that the YAML file at `path` describes, with the header and rules that it shares with others.

    Raises:
        UsageError: there is no such file.
        SourceErrors: it does not fit, or names a field or code list that does not exist.
    """
    read = yamlfile.load(path, _Format, _problems)
    return Format(
        name=read.name,
        zh=read.zh,
        en=read.en,
        version=read.version,
        source=read.status,
        key=read.key,
        header=tuple(_field(id, each) for id, each in (_header(read) | read.header).items()),
        lines=tuple(_field(id, each) for id, each in read.lines.items()),
        rules=_shared(read).rules + read.rules,
        no_lines=read.no_lines,
        amount=read.limits.amount if read.limits else None,
        currency=read.limits.currency if read.limits else None,
        standards=re.compile(read.added.standards) if read.added else None,
    )


def extended(format: Format, path: Path) -> Format:
    """`format` with the elements that the YAML file at `path` adds to its header (GB/T 40292-2021, clause 7).

    Raises:
        UsageError: there is no such file, or nothing may be added to the format.
        SourceErrors: it does not fit, an element is there already, or is from no standard that elements may be from.
    """
    standards = format.standards
    if standards is None:
        raise UsageError("SA1081", N_("no elements can be added to the format {format}"), format=format.name)

    def problems(read: _Elements, positions: yamlfile.Positions) -> Iterator[Problem]:
        yield from _list_problems("elements", read.elements, positions)
        for id, each in read.elements.items():
            if id in format.header_fields:
                yield _problem(positions.key(("elements", id)), N_("`{id}` is a field of this format already"), id=id)
            if not standards.fullmatch(each.source_standard):
                yield _problem(
                    positions.of(("elements", id, "source_standard")),
                    N_("`{seen}` is not the number of a national or industry standard, such as `GB/T 40202-2021`"),
                    seen=each.source_standard,
                )

    read = yamlfile.load(path, _Elements, problems)
    added = tuple(replace(_field(id, each), standard=each.source_standard) for id, each in read.elements.items())
    return replace(format, header=format.header + added)


def _field(id: str, of: _Field) -> Field:
    match of.codes:
        case None:
            choices: dict[str, str] = {}
        case str() as name:
            choices = {code: row.zh for code, row in CODES[name].codes.items()}
        case own:
            choices = own
    return Field(
        id=id,
        zh=of.zh,
        en=of.en,
        type=Type.parse(of.type),
        need=of.need,
        rule=of.rule,
        source=of.source,
        codes=of.codes if isinstance(of.codes, str) else None,
        choices=choices,
        pattern=re.compile(of.pattern) if of.pattern else None,
        more_than=of.more_than,
        at_least=of.at_least,
        less_than=of.less_than,
        printed=of.printed,
        confidence=of.confidence,
        example=of.example,
        masked=of.masked,
    )


# --- what a format's file may get wrong beyond its model ------------------------------------------------------------


def _common_problems(read: _Common, positions: yamlfile.Positions) -> Iterator[Problem]:
    yield from _list_problems("header", read.header, positions)
    yield from _rule_problems(read.rules, {"header": read.header, "lines": {}}, positions)


def _problems(read: _Format, positions: yamlfile.Positions) -> Iterator[Problem]:
    common = _header(read)
    for id in read.header.keys() & common.keys():
        yield _problem(positions.key(("header", id)), N_("`{id}` is a field of every format already"), id=id)
    header = common | read.header
    named: list[tuple[yamlfile.Loc, str]] = [(("key", index), id) for index, id in enumerate(read.key)]
    named += [(("mandatory", index), id) for index, id in enumerate(read.mandatory)]
    if read.limits:
        named += [(("limits", "amount"), read.limits.amount), (("limits", "currency"), read.limits.currency)]
    for loc, id in named:
        if id not in header:
            yield _problem(positions.of(loc), N_("the header has no field `{id}`"), id=id)
    yield from _list_problems("header", read.header, positions)
    yield from _list_problems("lines", read.lines, positions)
    if read.no_lines:
        yield from _name_problems(read.no_lines, ("no_lines",), {"header": header, "lines": {}}, positions)
    yield from _rule_problems(read.rules, {"header": header, "lines": read.lines}, positions)


def _list_problems(part: str, fields: Mapping[str, _Field], positions: yamlfile.Positions) -> Iterator[Problem]:
    for id, each in fields.items():
        if isinstance(each.codes, str) and each.codes not in CODES:
            yield _problem(
                positions.of((part, id, "codes")),
                N_("there is no code list `{codes}`; there are {known}"),
                codes=each.codes,
                known=", ".join(CODES),
            )


def _rule_problems(
    rules: Iterable[_Rule], fields: Mapping[str, Mapping[str, _Field]], positions: yamlfile.Positions
) -> Iterator[Problem]:
    for index, rule in enumerate(rules):
        yield from _name_problems(rule, ("rules", index), fields, positions)


def _name_problems(
    rule: BaseModel, at: yamlfile.Loc, fields: Mapping[str, Mapping[str, _Field]], positions: yamlfile.Positions
) -> Iterator[Problem]:
    """Fields that the format lacks or that hold something else, in a rule or in the condition inside it."""
    for setting, of in type(rule).model_fields.items():
        role = _role(of)
        value = getattr(rule, setting)
        if isinstance(value, BaseModel):
            yield from _name_problems(value, (*at, setting), fields, positions)
        if role is None or value is None:
            continue
        for id in (value,) if isinstance(value, str) else value:
            where = positions.of((*at, setting))
            part = role.part or ("lines" if id.startswith(LINES) else "header")
            known = fields[part].get(id if role.part else id.removeprefix(LINES))
            if known is None:
                yield _problem(where, N_("the format's {part} has no field `{id}`"), part=part, id=id)
            elif role.holds and Type.parse(known.type).holds not in role.holds:
                yield _problem(
                    where,
                    N_("`{id}` is of type {type}, but this rule needs {holds}"),
                    id=id,
                    type=known.type,
                    holds=" or ".join(role.holds),
                )
            elif isinstance(rule, When) and setting == "field":
                yield from _condition_problems(rule, id, known, where)


def _condition_problems(when: When, id: str, known: _Field, at: Position) -> Iterator[Problem]:
    """Values that the field never has: the condition would never hold, and nobody would be told."""
    for value in (*when.one_of, *when.none_of):
        if Type.parse(known.type).holds != "text":
            text = N_("`{id}` is of type {type}, but this rule needs {holds}")
            yield _problem(at, text, id=id, type=known.type, holds="text")
        elif isinstance(known.codes, dict) and value not in known.codes:
            yield _problem(at, N_("`{value}` is no code of `{id}`"), value=value, id=id)


def looks_at(rule: object) -> frozenset[str]:
    """The fields that a rule is about; those of lines begin with `lines.`."""
    found: set[str] = set()
    for setting, of in type(rule).model_fields.items() if isinstance(rule, BaseModel) else ():
        role, value = _role(of), getattr(rule, setting)
        if isinstance(value, BaseModel):
            found |= looks_at(value)
        elif role is not None and value is not None:
            begins = LINES if role.part == "lines" else ""
            found |= {f"{begins}{id}" for id in ((value,) if isinstance(value, str) else value)}
    return frozenset(found)


def _role(of: FieldInfo) -> Role | None:
    """The role in `Annotated[str, Role]`, in a tuple of such, or in such or None."""
    nested = (mark for part in get_args(of.annotation) for mark in getattr(part, "__metadata__", ()))
    return next((mark for mark in (*of.metadata, *nested) if isinstance(mark, Role)), None)


def _problem(at: Position, text: str, **values: object) -> Problem:
    return Problem(at=at, code="SA1050", text=text, values=values)


def _shared(read: _Format) -> _Common:
    return _COMMON if read.common else _Common(status="", header={})


def _header(read: _Format) -> dict[str, _Field]:
    """Of the common fields, those that this format has, as it needs them."""
    common = _shared(read).header
    return common | {id: common[id].model_copy(update={"need": "M"}) for id in read.mandatory if id in common}


_COMMON = yamlfile.load(HERE / "common.yaml", _Common, _common_problems)

FORMATS: dict[str, Format] = {
    "contract": load(HERE / "contract.yaml"),
    "purchaseOrder": load(HERE / "purchase_order.yaml"),
    "foreignInvoice": load(HERE / "foreign_invoice.yaml"),
    "overseasLoading": load(HERE / "overseas_loading.yaml"),
    "materialRelation": load(HERE / "material_relation.yaml"),
    "goodsReceipt": load(HERE / "goods_receipt.yaml"),
    "enterpriseFinance": load(HERE / "enterprise_finance.yaml"),
    "bondedTransfer": load(HERE / "bonded_transfer.yaml"),
    "stockOut": load(HERE / "stock_out.yaml"),
    "bondedGateOut": load(HERE / "bonded_gate_out.yaml"),
    "tradeStatistics": load(HERE / "trade_statistics.yaml"),
    "dangerousGoodsWaybill": load(HERE / "dangerous_goods_waybill.yaml"),
    "waybillStatus": load(HERE / "waybill_status.yaml"),
    "crossBorderWaybill": load(HERE / "cross_border_waybill.yaml"),
}


# --- the user's own lists and tables --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What documents are judged by beside the rules: the formats with their code lists, and the user's tables."""

    formats: Mapping[str, Format]
    codes: Mapping[str, CodeList]
    versions: Mapping[str, str]
    """Of each list and table: version, day and the digest of its file."""
    tariff: Mapping[str, tuple[str, str]] | None = None
    districts: frozenset[str] | None = None
    rates: Mapping[str, Sequence[tuple[date, Decimal]]] | None = None

    def context(self, duplicates: tuple[str, ...], names: Mapping[str, frozenset[str]]) -> Context:
        return Context(
            duplicates=duplicates, names=names, tariff=self.tariff, districts=self.districts, rates=self.rates
        )

    def behind(self, of: Format) -> tuple[str, ...]:
        """The lists and tables that its documents are judged by; those that it asks for and that are not there too."""
        named = {field.codes for field in (*of.header, *of.lines) if field.codes is not None}
        named |= {table for rule in of.rules if isinstance(rule, Settings) for table in rule.needs}
        return tuple(f"{name} {self.versions.get(name, 'none')}" for name in sorted(named))


def with_tables(
    code_lists: Path | None = None,
    tariff: Path | None = None,
    districts: Path | None = None,
    rates: Path | None = None,
) -> Tables:
    """The formats with the user's code lists, files of a folder, in place of the packaged ones of the same name.

    Raises:
        UsageError: a folder or file is not there.
        SourceErrors: a file is no such table, or has a code that no field of the formats could hold.
    """
    read = dict(_READ)
    for path in _files(code_lists):
        if path.stem not in CODES:
            raise _no_list(path, path.stem)
        packaged = CODES[path.stem]
        read[path.stem] = tables.load(path, CodeList, _list_faults, name=path.stem, zh=packaged.zh, en=packaged.en)
    lists = {name: codes for name, (codes, _) in read.items()}
    versions = {name: _version(*each) for name, each in read.items()}
    known: dict[str, Any] = {}
    if tariff is not None:
        goods = tables.load(tariff, Tariff, tables.units(lists["unit"].codes))
        known["tariff"] = {code: (row.first, row.second) for code, row in goods[0].codes.items()}
        versions["tariff"] = _version(*goods)
    if districts is not None:
        places = tables.load(districts, CodeList, name="districts")
        known["districts"] = frozenset(places[0].codes)
        versions["districts"] = _version(*places)
    if rates is not None:
        worth = tables.load(rates, Rates, tables.currencies(lists["currency"].codes))
        base = {worth[0].base: [(date.min, Decimal(1))]}
        known["rates"] = base | {currency: sorted(days.items()) for currency, days in worth[0].rates.items()}
        versions["rates"] = _version(*worth)
    return Tables(
        formats={name: _with_lists(each, lists) for name, each in FORMATS.items()},
        codes=lists,
        versions=versions,
        **known,
    )


def _version(table: Table, raw: bytes) -> str:
    return f"{table.version} ({table.date.isoformat()}) {canonical.digest(raw)}"


def _files(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    if not folder.is_dir():
        raise UsageError("SA1057", N_("{path} is no folder"), hint=N_("`code_lists` names a folder"), path=folder)
    found = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith((".", "~")))
    for path in found:
        if path.suffix.lower() not in tables.SUFFIXES:
            raise UsageError(
                "SA1058",
                N_("{path} is neither YAML nor CSV"),
                hint=N_("save the sheet as CSV under the name of the list, such as currency.csv"),
                path=path,
            )
    return found


def _no_list(path: Path, seen: str) -> SourceErrors:
    text = N_("there is no code list `{codes}`; there are {known}")
    problem = Problem(
        at=Position(path, 1, 1), code="SA1050", text=text, values={"codes": seen, "known": ", ".join(CODES)}
    )
    return SourceErrors((problem,), "")


def _list_faults(read: CodeList, positions: yamlfile.Positions) -> Iterator[Problem]:
    """Codes that no document could bear: a field that has the list is of another type."""
    types = {f.type for each in FORMATS.values() for f in (*each.header, *each.lines) if f.codes == read.name}
    for code in read.codes:
        for type in types:
            if type.fault(code):
                yield Problem(
                    at=positions.key(("codes", code)),
                    code="SA1059",
                    text=N_("the code `{seen}` is not of the type {type}"),
                    hint=N_("a spreadsheet takes leading zeros away unless the column is text"),
                    values={"seen": code, "type": type.notation},
                )


def _with_lists(format: Format, lists: Mapping[str, CodeList]) -> Format:
    def field(of: Field) -> Field:
        if of.codes is None or lists[of.codes] is CODES[of.codes]:
            return of
        return replace(of, choices={code: row.zh for code, row in lists[of.codes].codes.items()})

    return replace(format, header=tuple(map(field, format.header)), lines=tuple(map(field, format.lines)))


PACKAGED = with_tables()
"""Without any table of the user's."""
