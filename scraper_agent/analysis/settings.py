"""What the analyses compare and how much may differ: `defaults.yaml`, and what a file of the user lays over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, create_model

from scraper_agent import yamlfile
from scraper_agent.cases import Joining
from scraper_agent.errors import Problem
from scraper_agent.formats import CODES
from scraper_agent.messages import N_
from scraper_agent.rules import SETTINGS
from scraper_agent.values import Severity

Positive = Annotated[Decimal, Field(gt=0)]
Share = Annotated[Decimal, Field(ge=0)]
"""1 is the whole."""
Factors = dict[str, dict[str, Positive]]
"""Unit -> unit -> how many of the second one of the first is."""


class Roles(BaseModel):
    """Which field of a format is what; a role that the format lacks is left out."""

    model_config = SETTINGS

    number: str
    date: str
    party: str | None = None
    currency: str | None = None
    total: str | None = None
    line: str | None = None
    order_line: str | None = None
    material: str | None = None
    quantities: tuple[str, ...] = ()
    """Of these the first is what there really is; all together what is accounted for."""
    unit: str | None = None
    price: str | None = None


class Check(BaseModel):
    """One check, for the documentation and for the policy that may raise it."""

    model_config = SETTINGS

    severity: Severity
    source: str
    zh: str
    en: str


class Tolerance(BaseModel):
    """The greater of the two is allowed."""

    model_config = SETTINGS

    absolute: Share
    relative: Share

    def of(self, expected: Decimal) -> Decimal:
        return max(self.absolute, abs(expected) * self.relative)


class Tolerances(BaseModel):
    model_config = SETTINGS

    quantity: Tolerance
    price: Tolerance


class Relations(BaseModel):
    """Where a table of materials holds factors."""

    model_config = SETTINGS

    format: str
    materials: tuple[str, ...]
    unit: str
    factors: dict[str, str]
    """Field of the factor -> field of the unit it leads to."""
    weight: str
    kilogram: str


class Gaps(BaseModel):
    model_config = SETTINGS

    formats: tuple[str, ...]
    least: Annotated[int, Field(ge=2)]
    most: Annotated[int, Field(ge=1)]
    usual: Share


class Outliers(BaseModel):
    model_config = SETTINGS

    formats: tuple[str, ...]
    least: Annotated[int, Field(ge=3)]
    months: Annotated[int, Field(ge=1)]
    spreads: Positive
    relative: Share


class Periods(BaseModel):
    model_config = SETTINGS

    count: Share
    sum: Share
    documents: Annotated[int, Field(ge=1)]
    empty_is_fine: dict[str, bool]
    """By format; of one that is not named an empty month is told."""


class Opening(BaseModel):
    """What a ledger held of one material at the beginning of a day."""

    model_config = SETTINGS

    quantity: Share
    unit: str
    date: date


class Movement(BaseModel):
    """How documents of a format move a ledger. `when`: header field -> values for which they do."""

    model_config = SETTINGS

    format: str
    ledger: str
    sign: Literal["1", "-1", "0"]
    when: dict[str, tuple[str, ...]] = {}


class Ledger(BaseModel):
    model_config = SETTINGS

    opening: dict[str, dict[str, Opening]]
    """Ledger -> material."""
    movements: tuple[Movement, ...]


class Reference(BaseModel):
    """A header field that names other documents."""

    model_config = SETTINGS

    format: str
    field: str
    by: str
    among: dict[str, dict[str, str]]
    """Code in `by` -> format -> its field."""


class Waybills(BaseModel):
    """Waybills that are uploaded before the transport starts, and the format of what becomes of them."""

    model_config = SETTINGS

    format: str
    number: str
    """Of a waybill and of a change of its status."""
    departure: str
    status_format: str
    status: str
    at: str
    began: str
    """The status that says that the transport has started."""


class Settings(BaseModel):
    model_config = SETTINGS

    cases: Joining
    documents: dict[str, Roles]
    checks: dict[str, Check]
    tolerances: Tolerances
    dates: tuple[tuple[str, str], ...]
    factors: Factors
    material_factors: dict[str, Factors]
    relations: Relations
    duplicates: dict[str, Annotated[int, Field(ge=0)]]
    gaps: Gaps
    outliers: Outliers
    periods: Periods
    ledger: Ledger
    references: tuple[Reference, ...]
    waybills: Waybills

    def severity(self, code: str) -> Severity:
        return self.checks[code].severity

    @property
    def codes(self) -> tuple[str, ...]:
        """Whatever has a severity: obligations and checks."""
        return (*self.cases.obligations, *self.checks)

    def raised(self, severities: Mapping[str, Severity]) -> Settings:
        """With these severities, by code, instead of its own."""
        duties = {
            name: duty.model_copy(update={"severity": severities.get(name, duty.severity)})
            for name, duty in self.cases.obligations.items()
        }
        checks = {
            code: check.model_copy(update={"severity": severities.get(code, check.severity)})
            for code, check in self.checks.items()
        }
        cases = self.cases.model_copy(update={"obligations": duties})
        return self.model_copy(update={"cases": cases, "checks": checks})


def _partial(model: type[BaseModel]) -> type[BaseModel]:
    """`model` of which any key may be left out, at any depth."""
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        inner = get_args(field.annotation)
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = _partial(kind)
        elif len(inner) == 2 and isinstance(inner[1], type) and issubclass(inner[1], BaseModel):  # noqa: PLR2004 - dict
            kind = GenericAlias(dict, (str, _partial(inner[1])))
        elif field.metadata:
            kind = Annotated[kind, *field.metadata]
        fields[name] = (kind, None)
    made: type[BaseModel] = create_model(model.__name__, __config__=SETTINGS, **fields)
    return made


_Partial = _partial(Settings)


def load(path: Path) -> Settings:
    """The defaults with what the file at `path` says otherwise. A mapping is laid over key by key, a list as a whole.

    Raises:
        UsageError: there is no such file.
        SourceErrors: it does not fit, or names a unit that does not exist.
    """
    source = yamlfile.read(path)
    yamlfile.fit(source, _Partial)
    merged = yamlfile.Source(
        data=_over(_BASE.data, source.data or {}), positions=source.positions, raw=source.raw, texts=source.texts
    )
    return yamlfile.fit(merged, Settings, _problems)


def _over(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{key: _over(below.get(key), value) for key, value in above.items()}}
    return above


def _problems(read: Settings, positions: yamlfile.Positions) -> Iterator[Problem]:
    yield from _factor_problems(read.factors, ("factors",), positions)
    for material, factors in read.material_factors.items():
        yield from _factor_problems(factors, ("material_factors", material), positions)


def _factor_problems(
    factors: Mapping[str, Mapping[str, Decimal]], at: yamlfile.Loc, positions: yamlfile.Positions
) -> Iterator[Problem]:
    for unit, others in factors.items():
        places = {unit: (*at, unit), **{other: (*at, unit, other) for other in others}}
        for code, place in places.items():
            if code not in CODES["unit"].codes:
                yield Problem(
                    at=positions.key(place),
                    code="SA3020",
                    text=N_("`{seen}` is no unit of the code list"),
                    hint=N_("three digits, such as 007"),
                    values={"seen": code},
                )


_BASE = yamlfile.read(Path(__file__).parent / "defaults.yaml")
DEFAULT = yamlfile.fit(_BASE, Settings, _problems)
