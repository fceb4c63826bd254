"""How many of one unit make another: by what units are, by what the user gives, by the tables of materials."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction

from scraper_agent.analysis.settings import Factors, Settings
from scraper_agent.rules import Document, number, text

_PLACES = Decimal("0.000000001")


class Units:
    """Factors of all materials, and of each. Exact: a factor is a fraction, so that there and back is the same."""

    def __init__(self, settings: Settings, relations: Iterable[Document] = ()) -> None:
        """`relations`: the documents of 物料关系表 that are known."""
        self._common: dict[str, dict[str, Fraction]] = {}
        self._materials: dict[str, dict[str, dict[str, Fraction]]] = {}
        _note(self._common, settings.factors)
        for material, factors in settings.material_factors.items():
            _note(self._materials.setdefault(material, {}), factors)
        for document in relations:
            self._learn(document, settings)

    def factor(self, material: str, unit: str, other: str) -> Fraction | None:
        """How many `other` one `unit` of the material is; None if nobody has said."""
        if unit == other:
            return Fraction(1)
        own = self._materials.get(material, {})
        known = {unit: Fraction(1)}
        waiting = deque([unit])
        while waiting:
            here = waiting.popleft()
            for there, factor in {**self._common.get(here, {}), **own.get(here, {})}.items():
                if there not in known:
                    known[there] = known[here] * factor
                    waiting.append(there)
        return known.get(other)

    def convert(self, quantity: Decimal, material: str, unit: str, other: str) -> Decimal | None:
        if unit == other:
            return quantity
        factor = self.factor(material, unit, other)
        return None if factor is None else decimal(Fraction(quantity) * factor)

    def _learn(self, document: Document, settings: Settings) -> None:
        where = settings.relations
        for line in document.lines:
            unit = text(line, where.unit)
            if unit is None:
                continue
            found: Factors = {unit: {}}
            for id, other_id in where.factors.items():
                factor, other = number(line, id), text(line, other_id)
                if factor is not None and factor > 0 and other is not None and other != unit:
                    found[unit][other] = factor
            weight = number(line, where.weight)
            if weight is not None and weight > 0 and unit != where.kilogram:
                found[unit].setdefault(where.kilogram, weight)
            for id in where.materials:
                material = text(line, id)
                if material is not None:
                    _note(self._materials.setdefault(material, {}), found)


def _note(known: dict[str, dict[str, Fraction]], factors: Mapping[str, Mapping[str, Decimal]]) -> None:
    for unit, others in factors.items():
        for other, factor in others.items():
            known.setdefault(unit, {})[other] = Fraction(factor)
            known.setdefault(other, {})[unit] = 1 / Fraction(factor)


def decimal(value: Fraction) -> Decimal:
    """To nine places: more than any quantity or price of the formats has."""
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    rounded = exact.quantize(_PLACES) if exact.adjusted() < 18 else exact  # noqa: PLR2004 - of 28 digits
    return rounded.normalize() if rounded else Decimal(0)
