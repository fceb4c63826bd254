"""The standard formats and code lists, each a YAML file beside this one.

No public source prescribes their fields (see `status` in each): what the receiving side wants is changed there, not in
code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
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
from scraper_agent.rules import Role, amounts, fields, identity, units, weights

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


_Rule: TypeAlias = Annotated[
    fields.OneOf
    | fields.HeaderRequired
    | fields.LineRequired
    | fields.Constant
    | identity.DuplicateKey
    | identity.CreditCode
    | identity.CustomsCode
    | amounts.LineAmount
    | amounts.LineSum
    | amounts.HeaderSum
    | amounts.HeaderAmount
    | amounts.FreeOfCharge
    | weights.GrossNet
    | units.UnitQuantity,
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
    limits: _Limits | None = None
    lines: dict[str, _Field] = {}


def _codes(name: str) -> CodeList:
    return yamlfile.load(HERE / "codes" / f"{name}.yaml", CodeList)


CODES: dict[str, CodeList] = {name: _codes(name) for name in ("country", "currency", "incoterm", "unit")}


def load(path: Path) -> Format:
    """The format that the YAML file at `path` describes, with the header and rules that it shares with others.

    Raises:
        UsageError: there is no such file.
        SourceErrors: it does not fit, or names a field or code list that does not exist.
    """
    read = yamlfile.load(path, _Format, _problems)
    common = _shared(read)
    return Format(
        name=read.name,
        zh=read.zh,
        en=read.en,
        version=read.version,
        source=read.status,
        key=read.key,
        header=tuple(_field(id, each) for id, each in (common.header | read.header).items()),
        lines=tuple(_field(id, each) for id, each in read.lines.items()),
        rules=common.rules + read.rules,
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
    )


# --- what a format's file may get wrong beyond its model ------------------------------------------------------------


def _common_problems(read: _Common, positions: yamlfile.Positions) -> Iterator[Problem]:
    yield from _list_problems("header", read.header, positions)
    yield from _rule_problems(read.rules, {"header": read.header, "lines": {}}, positions)


def _problems(read: _Format, positions: yamlfile.Positions) -> Iterator[Problem]:
    common = _shared(read)
    for id in read.header.keys() & common.header.keys():
        yield _problem(positions.key(("header", id)), N_("`{id}` is a field of every format already"), id=id)
    header = common.header | read.header
    named: list[tuple[yamlfile.Loc, str]] = [(("key", index), id) for index, id in enumerate(read.key)]
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
        for setting, of in type(rule).model_fields.items():
            role = _role(of)
            value = getattr(rule, setting)
            if role is None or value is None:
                continue
            for id in (value,) if isinstance(value, str) else value:
                at = positions.of(("rules", index, setting))
                known = fields[role.part].get(id)
                if known is None:
                    yield _problem(at, N_("the format's {part} has no field `{id}`"), part=role.part, id=id)
                elif role.holds and Type.parse(known.type).holds != role.holds:
                    yield _problem(
                        at,
                        N_("`{id}` is of type {type}, but this rule needs {holds}"),
                        id=id,
                        type=known.type,
                        holds=role.holds,
                    )


def _role(of: FieldInfo) -> Role | None:
    """The role in `Annotated[str, Role]`, in a tuple of such, or in such or None."""
    nested = (mark for part in get_args(of.annotation) for mark in getattr(part, "__metadata__", ()))
    return next((mark for mark in (*of.metadata, *nested) if isinstance(mark, Role)), None)


def _problem(at: Position, text: str, **values: object) -> Problem:
    return Problem(at=at, code="SA1050", text=text, values=values)


def _shared(read: _Format) -> _Common:
    return _COMMON if read.common else _Common(status="", header={})


_COMMON = yamlfile.load(HERE / "common.yaml", _Common, _common_problems)

FORMATS: dict[str, Format] = {
    "purchaseOrder": load(HERE / "purchase_order.yaml"),
    "foreignInvoice": load(HERE / "foreign_invoice.yaml"),
    "goodsReceipt": load(HERE / "goods_receipt.yaml"),
}
