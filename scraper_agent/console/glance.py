"""The last seven days beside the seven before them, from the archive's table of days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from scraper_agent.archive.listed import Day
from scraper_agent.messages import N_, render

DAYS = 7

ROWS: Sequence[tuple[str, tuple[str, ...]]] = (
    (N_("Runs"), ("run",)),
    (N_("Runs that ended complete"), ("complete",)),
    (N_("Runs that ended incomplete, or wait"), ("incomplete", "parked")),
    (N_("Documents read"), ("read",)),
    (N_("Approved"), ("approved",)),
    (N_("Declined"), ("declined",)),
    (N_("Accepted by the receiver"), ("receipted",)),
    (N_("Rejected by the receiver"), ("rejected",)),
    (N_("Lists proved complete"), ("proved",)),
    (N_("Lists plausible"), ("plausible",)),
    (N_("Lists unproved"), ("unproved",)),
    (N_("Pages not read"), ("fault",)),
    (N_("Requests refused"), ("refused",)),
)
SUMS: Sequence[tuple[str, str]] = ((N_("read"), "read"), (N_("accepted"), "receipted"))

_SUMMED = frozenset(what for _, what in SUMS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """`now`: of the last seven days; `before`: of the seven before them."""

    name: str
    now: Decimal
    before: Decimal
    unit: str = ""

    @property
    def most(self) -> Decimal:
        return max(abs(self.now), abs(self.before))

    @property
    def change(self) -> str:
        """In per cent; empty where there is nothing to compare with."""
        return f"{(self.now - self.before) * 100 / abs(self.before):+.0f} %" if self.before else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    counts: tuple[Compared, ...]
    sums: tuple[Compared, ...]
    read: tuple[tuple[str, int], ...]
    """Documents by day, the oldest first."""


def first(today: date) -> date:
    """The first day that is looked at."""
    return today - timedelta(days=2 * DAYS - 1)


def at(days: Sequence[Day], today: date, formats: dict[str, str]) -> Glance:
    """`days` from `first` on; `formats`: the names of formats in the language of the reader."""
    border = today - timedelta(days=DAYS - 1)
    numbers: Counter[tuple[str, bool]] = Counter()
    amounts: dict[tuple[str, str, str], list[Decimal]] = {}
    read: Counter[date] = Counter()
    for each in days:
        new = each.day >= border
        numbers[each.what, new] += each.number
        if each.what == "read":
            read[each.day] += each.number
        if each.amount is not None and each.currency and each.what in _SUMMED:
            pair = amounts.setdefault((each.format, each.currency, each.what), [Decimal(), Decimal()])
            pair[0 if new else 1] += each.amount
    return Glance(
        counts=tuple(
            Compared(
                name=render(name),
                now=Decimal(sum(numbers[what, True] for what in counted)),
                before=Decimal(sum(numbers[what, False] for what in counted)),
            )
            for name, counted in ROWS
        ),
        sums=tuple(
            Compared(name=f"{formats.get(format, format)}, {render(name)}", now=now, before=before, unit=currency)
            for (format, currency, what), (now, before) in sorted(amounts.items())
            for name, counted in SUMS
            if counted == what
        ),
        read=tuple(
            (f"{day.month}-{day.day}", read[day]) for day in (first(today) + timedelta(days=n) for n in range(2 * DAYS))
        ),
    )
