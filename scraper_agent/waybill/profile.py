"""What the two sides of the exchange of dangerous goods waybills agree on; `DEFAULT` is what comes with the agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from scraper_agent import yamlfile
from scraper_agent.errors import Problem
from scraper_agent.formats import FORMATS
from scraper_agent.messages import N_

FORMAT = FORMATS["dangerousGoodsWaybill"]

_STRICT = ConfigDict(frozen=True, extra="forbid")


def _separator(separator: str) -> str:
    if len(separator) != 1 or not (separator.isascii() and separator.isprintable()) or separator in _NOT_BETWEEN:
        raise yamlfile.Wrong(
            N_("`{separator}` cannot separate values"),
            hint=N_("take one half-width sign such as `#` or `^`; letters, digits and `+/=.` occur in values"),
            separator=separator,
        )
    return separator


_NOT_BETWEEN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=. ")

Separator = Annotated[str, AfterValidator(_separator)]
Digits2 = Annotated[str, Field(pattern=r"^[0-9]{2}$")]


class Status(BaseModel):
    """One status of a waybill."""

    model_config = _STRICT

    zh: str
    en: str
    code: str
    next: tuple[str, ...]
    """By name, what it can become; none if it is final."""


class Message(BaseModel):
    """How a document is written as nested JSON."""

    model_config = _STRICT

    inside: dict[str, str]
    """Member -> the object of the top level that it stands in."""
    lines: str
    """The member that holds the lines."""
    dates: Literal["YYYY-MM-DD", "YYYYMMDD"]
    numbers: dict[str, Annotated[int, Field(ge=0, le=9)]]
    """Members that are a Number -> how many decimals it is written with."""


class Symbol(BaseModel):
    """A QR symbol."""

    model_config = _STRICT

    correction: Literal["L", "M", "Q", "H"] = "M"
    """How much of it may be damaged: 7, 15, 25 or 30 %."""
    eci: bool = False
    """Announce the charset as AIM ECI 000029."""
    scale: Annotated[int, Field(ge=1, le=20)] = 4
    """Pixels of a module."""


class Qr(BaseModel):
    """Table 2 of the specification."""

    model_config = _STRICT

    version: Digits2
    separator: Separator
    values: Separator
    people: Separator
    goods: Separator
    waybill: str
    vehicle: tuple[str, str, str]
    driver: tuple[str, str]
    escort: tuple[str, str]
    weight: str
    cargo: tuple[str, str, str, str]
    weight_unit: Literal["", "吨"]
    signs_last_separator: bool
    masked: Annotated[int, Field(ge=0, le=24)]
    symbol: Symbol


class Interface(BaseModel):
    """One address of a system: `<its address>/<busicode>/<interface>`."""

    model_config = _STRICT

    busicode: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,16}$")]
    interface: Annotated[str, Field(pattern=r"^[A-Za-z][0-9A-Za-z_]{0,63}$")]
    zh: str
    en: str
    format: str = ""
    """Of the documents that it takes; empty: it only tells."""
    sealed: bool = False
    """Bytes of request and receipt are encrypted for their reader."""

    @property
    def path(self) -> str:
        return f"{self.busicode}/{self.interface}"


class OfProvince(BaseModel):
    model_config = _STRICT

    waybill: Interface
    status: Interface
    query: Interface
    qr: Interface
    keys: Interface


class OfMinistry(BaseModel):
    model_config = _STRICT

    query: Interface
    qr: Interface
    keys: Interface


class Interfaces(BaseModel):
    """By the side that has them."""

    model_config = _STRICT

    province: OfProvince
    ministry: OfMinistry


class Code(BaseModel):
    """What a receipt says in short."""

    model_config = _STRICT

    code: Annotated[str, Field(pattern=r"^[0-9]{4}$")]
    zh: str
    en: str

    @property
    def msg(self) -> str:
        return f"{self.zh} {self.en}"


class Codes(BaseModel):
    model_config = _STRICT

    accepted: Code
    unsealed: Code
    not_allowed: Code
    invalid: Code
    unlicensed: Code
    unknown_waybill: Code
    foreign: Code
    begun: Code
    no_step: Code
    bad_query: Code
    too_long: Code
    no_province: Code
    province_away: Code
    province_refuses: Code


class Profile(BaseModel):
    model_config = _STRICT

    statuses: dict[str, Status]
    """By name; the first is what a waybill begins as."""
    message: Message
    qr: Qr
    interfaces: Interfaces
    ministry: Annotated[str, Field(pattern=r"^[0-9]{6}$")]
    """Its `ak`."""
    codes: Codes


def load(path: Path) -> Profile:
    """The profile that the YAML file at `path` describes.

    Raises:
        UsageError: there is no such file.
        SourceErrors: it does not fit, or names a node, status or separator that cannot be.
    """
    return yamlfile.load(path, Profile, _problems)


def _problems(read: Profile, positions: yamlfile.Positions) -> Iterator[Problem]:
    yield from _status_problems(read.statuses, positions)
    yield from _separator_problems(read.qr, positions)
    qr, message = read.qr, read.message
    header: list[tuple[yamlfile.Loc, str]] = [(("qr", "waybill"), qr.waybill), (("qr", "weight"), qr.weight)]
    for key, ids in (("vehicle", qr.vehicle), ("driver", qr.driver), ("escort", qr.escort)):
        header += [(("qr", key, index), id) for index, id in enumerate(ids)]
    header += [(("message", "inside", id), id) for id in message.inside if id != message.lines]
    for loc, id in header:
        if id not in FORMAT.header_fields:
            yield _problem(positions, loc, N_("the header has no field `{id}`"), id=id)
    for index, id in enumerate(qr.cargo):
        if id not in FORMAT.line_fields:
            yield _problem(positions, ("qr", "cargo", index), N_("the lines have no field `{id}`"), id=id)
    objects: list[tuple[yamlfile.Loc, str]] = [
        (("message", "inside", id), above) for id, above in message.inside.items()
    ]
    for loc, id in (*objects, (("message", "lines"), message.lines)):
        if id in FORMAT.header_fields:
            yield _problem(positions, loc, N_("`{id}` is a field: nothing can be inside it"), id=id)
    for id in message.numbers:
        if id not in FORMAT.header_fields and id not in FORMAT.line_fields:
            yield _problem(positions, ("message", "numbers", id), N_("the format has no field `{id}`"), id=id)


def _status_problems(statuses: dict[str, Status], positions: yamlfile.Positions) -> Iterator[Problem]:
    if not statuses:
        yield _problem(positions, ("statuses",), N_("a waybill needs a status to begin with"))
    codes: dict[str, str] = {}
    for name, status in statuses.items():
        first = codes.setdefault(status.code, name)
        if first != name:
            at: yamlfile.Loc = ("statuses", name, "code")
            yield _problem(
                positions, at, N_("the code `{code}` is that of `{first}` already"), code=status.code, first=first
            )
        for index, following in enumerate(status.next):
            if following not in statuses:
                at = ("statuses", name, "next", index)
                yield _problem(positions, at, N_("there is no status `{seen}`"), seen=following)


def _separator_problems(qr: Qr, positions: yamlfile.Positions) -> Iterator[Problem]:
    # Items hold values, people and goods; goods and people hold values. Only these must be told apart.
    for key, others in (("separator", ("values", "people", "goods")), ("values", ("people", "goods"))):
        for other in others:
            if getattr(qr, key) == getattr(qr, other):
                text = N_("`{seen}` separates other things already: `{other}`")
                yield _problem(positions, ("qr", key), text, seen=getattr(qr, key), other=other)


def _problem(positions: yamlfile.Positions, loc: yamlfile.Loc, text: str, **values: object) -> Problem:
    return Problem(at=positions.of(loc), code="SA1050", text=text, values=values)


DEFAULT = load(Path(__file__).parent / "dangerous_goods.yaml")
