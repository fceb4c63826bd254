"""The standard formats and code lists, each a YAML file beside this one.

No public source prescribes their fields (see `status` in each): what the receiving side wants is changed there, not in
code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic import Field as Setting
from pydantic.fields import FieldInfo

from scraper_agent import yamlfile
from scraper_agent.errors import Position, Problem
from scraper_agent.format import Field, Format, Type
from scraper_agent.messages import N_
from scraper_agent.rules import (
    LINES,
    Role,
    When,
    amounts,
    codes,
    dates,
    fields,
    identity,
    rates,
    tariff,
    units,
    weights,
)

HERE = Path(__file__).parent

_STRICT = ConfigDict(frozen=True, extra="forbid")


class Code(BaseModel):
    """One row of a code list."""

    model_config = _STRICT

    zh: str
    numeric: str | None = None
    """The customs numeric code, where the list has two systems."""
    also: tuple[str, ...] = ()
    """Other names the same thing is known by."""


class CodeList(BaseModel):
    model_config = _STRICT

    name: str
    zh: str
    en: str
    version: str
    date: date
    """The day as of which it is complete."""
    source: str
    codes: dict[str, Code]


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
    | codes.KnownCountry,
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


def _codes(name: str) -> CodeList:
    return yamlfile.load(HERE / "codes" / f"{name}.yaml", CodeList)


CODES: dict[str, CodeList] = {
    name: _codes(name)
    for name in ("container", "country", "currency", "incoterm", "packaging", "supervision", "transport", "unit")
}


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
    )


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
}
