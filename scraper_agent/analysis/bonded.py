"""CHK-19 and CHK-20: what leaves a bonded warehouse is in its ledger, and what a gate-out names exists.

The formats are known by the names of their fields in the settings alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property

from scraper_agent import cases
from scraper_agent.analysis.book import Book, listed, shown
from scraper_agent.analysis.settings import Movement, Reference, Roles
from scraper_agent.cases import Paper
from scraper_agent.messages import N_
from scraper_agent.rules import number, on_line, text
from scraper_agent.values import Finding, JobId

_SEVERAL = re.compile("[,;\uff0c\uff1b\u3001\\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """One line's effect on a ledger; `quantity` with its sign, in the unit of the opening balance."""

    paper: Paper
    day: date
    quantity: Decimal


class Ledgers:
    """The movements of all ledgers that have an opening balance."""

    def __init__(self, book: Book, references: References) -> None:
        self._book = book
        self._references = references

    @cached_property
    def _moves(self) -> dict[tuple[str, str], list[_Move]]:
        found: dict[tuple[str, str], list[_Move]] = defaultdict(list)
        for paper in self._book.papers.values():
            if self._book.there(paper):
                for movement in self._book.settings.ledger.movements:
                    for _, key, quantity in self._lines(paper, movement):
                        day = self._book.day(paper)
                        if day is not None:
                            found[key].append(_Move(paper=paper, day=day, quantity=quantity * int(movement.sign)))
        return found

    @cached_property
    def _order(self) -> dict[JobId, int]:
        return {id: at for at, id in enumerate(self._book.papers)}

    def findings(self, paper: Paper) -> Iterator[Finding]:
        """CHK-19: no line takes more out of a ledger than it holds on that day, after what was read before it."""
        day = self._book.day(paper)
        for movement in self._book.settings.ledger.movements:
            if day is None or movement.sign == "1":
                continue
            taken: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
            for index, key, quantity in self._lines(paper, movement):
                opening = self._book.settings.ledger.opening[key[0]][key[1]]
                taken[key] += quantity
                balance = self._balance(key, paper, day)
                if day >= opening.date and taken[key] > balance:
                    roles = self._roles(movement)
                    yield self._book.finding(
                        "CHK-19",
                        on_line(index, roles.quantities[0]),
                        N_(
                            "takes {value} of {material} out of the ledger {ledger}, which holds {expected} on {day},"
                            " in unit {unit}"
                        ),
                        value=shown(taken[key]),
                        material=key[1],
                        ledger=key[0],
                        expected=shown(balance),
                        day=day.isoformat(),
                        unit=opening.unit,
                    )

    def _balance(self, key: tuple[str, str], paper: Paper, day: date) -> Decimal:
        """What the ledger holds when the document takes its goods: of one day, those read earlier come first."""
        opening = self._book.settings.ledger.opening[key[0]][key[1]]
        before = [
            move.quantity
            for move in self._moves[key]
            if (opening.date, -1) <= (move.day, self._order[move.paper.id]) < (day, self._order[paper.id])
            and not self._same_goods(move.paper, paper)
        ]
        return sum(before, opening.quantity)

    def _same_goods(self, one: Paper, other: Paper) -> bool:
        """Whether one names the other as what its goods come with."""
        return any(one.id == found.id for found in self._references.named(other))

    def _lines(self, paper: Paper, movement: Movement) -> Iterator[tuple[int, tuple[str, str], Decimal]]:
        """Line, ledger and material, quantity; only of what has an opening balance."""
        header = paper.document.header
        ledger = text(header, movement.ledger)
        roles = self._book.roles(movement.format)
        if paper.format != movement.format or ledger is None or roles is None or not roles.material or not roles.unit:
            return
        if any(text(header, id) not in values for id, values in movement.when.items()):
            return
        for index, values in enumerate(paper.document.lines, start=1):
            material, unit = text(values, roles.material), text(values, roles.unit)
            quantity = number(values, roles.quantities[0])
            opening = self._book.settings.ledger.opening.get(ledger, {}).get(material or "")
            if material is None or unit is None or quantity is None or opening is None:
                continue
            converted = self._book.units.convert(quantity, material, unit, opening.unit)
            if converted is not None:
                yield index, (ledger, material), converted

    def _roles(self, movement: Movement) -> Roles:
        return self._book.settings.documents[movement.format]


class References:
    """The documents that others name, found by their numbers."""

    def __init__(self, book: Book) -> None:
        self._book = book

    @cached_property
    def _known(self) -> dict[tuple[str, str], dict[str, list[Paper]]]:
        """By format and field."""
        wanted = {
            place for each in self._book.settings.references for among in each.among.values() for place in among.items()
        }
        found: dict[tuple[str, str], dict[str, list[Paper]]] = {place: defaultdict(list) for place in wanted}
        for paper in self._book.papers.values():
            for format, id in wanted:
                value = text(paper.document.header, id) if paper.format == format else None
                if value is not None:
                    found[format, id][cases.same(value)].append(paper)
        return found

    def findings(self, paper: Paper) -> Iterator[Finding]:
        """CHK-20: every document that this one names was read, if any of its kind was."""
        for reference, among in self._of(paper):
            if not any(self._known[place] for place in among.items()):
                continue
            for value in _values(paper, reference):
                if not any(cases.same(value) in self._known[place] for place in among.items()):
                    yield self._book.finding(
                        "CHK-20",
                        reference.field,
                        N_("names {value}, which was not read; it is expected among {expected}"),
                        value=value,
                        expected=listed(f"{format}.{id}" for format, id in among.items()),
                    )

    def named(self, paper: Paper) -> Iterator[Paper]:
        """The documents that this one names, as far as they were read."""
        for reference, among in self._of(paper):
            for value in _values(paper, reference):
                for place in among.items():
                    yield from self._known[place].get(cases.same(value), ())

    def _of(self, paper: Paper) -> Iterator[tuple[Reference, dict[str, str]]]:
        for reference in self._book.settings.references:
            among = reference.among.get(text(paper.document.header, reference.by) or "")
            if paper.format == reference.format and among is not None:
                yield reference, among


def _values(paper: Paper, reference: Reference) -> list[str]:
    return [value for value in _SEVERAL.split(text(paper.document.header, reference.field) or "") if value]
