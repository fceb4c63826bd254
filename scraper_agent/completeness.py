"""What a list's evidence proves: pure, so that the same evidence gives the same certificate years later.

*Proved* needs evidence from two sides: the page states a count that the rows with different keys reach, and a second
look shows the very same rows. A list that moves while it is paged can drop one row and gain another and still show the
right count; only the second look tells. Whatever contradicts is *unproved*, however much else agrees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scraper_agent.messages import N_
from scraper_agent.values import Anew, Certificate, Completeness, Fact, ListRead, Reason, Relogin, RunStarted


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """A total that the page states, and the sum of its column; as written in the recipe's locale, without grouping."""

    column: str
    stated: str
    summed: str
    equal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A filter field read back after the list was read."""

    field: str
    wanted: str
    seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was seen while one list was read."""

    harvested: int
    """Rows seen, doubled ones included."""
    declared: int | None = None
    """The count that the page stated before the first row was read; None if it states none."""
    declared_after: int | None = None
    """The same, read again at the end."""
    wants_declared: bool = False
    """The recipe names a place where the page states the count."""
    keys: int | None = None
    """Different keys among the rows; None if the recipe names no key."""
    keyless: int = 0
    """Rows whose key is empty."""
    ended: bool = False
    """The end was seen: no next page, no more button, a loading indicator that went away."""
    recounted: int | None = None
    """Rows of the second look; None if there was none."""
    same: bool = False
    """The second look showed the rows of the first, each as often."""
    missing: int = 0
    """Row numbers that never showed, though later ones did."""
    changed: int = 0
    """Rows that read differently when they were seen again."""
    hidden: int = 0
    """Rows that are in the page but not shown."""
    returned: bool = True
    """The list was seen again after the last record was left."""
    sums: tuple[Sum, ...] = ()
    filters: tuple[Filter, ...] = ()
    broken: str = ""
    """Why reading the list stopped before its end."""


def certificate(evidence: Evidence) -> Certificate:
    """The certificate with every reason that speaks against more; none for a proved list."""
    against = (*_in_counts(evidence), *_in_looks(evidence), *_in_page(evidence))
    if against:
        return Certificate(state=Completeness.UNPROVED, reasons=(*against, *_doubts(evidence)))
    doubts = tuple(_doubts(evidence))
    return Certificate(state=Completeness.PLAUSIBLE if doubts else Completeness.PROVED, reasons=doubts)


def _in_counts(e: Evidence) -> Iterator[Reason]:
    """What contradicts in the numbers of rows."""
    if e.broken:
        yield Reason(text=N_("the list broke off: {reason}"), values={"reason": e.broken})
    if not e.ended and not e.broken:
        yield Reason(text=N_("the end of the list was not seen"))
    if e.wants_declared and e.declared is None:
        yield Reason(text=N_("the page does not state the count that the recipe expects there"))
    if e.declared is not None and e.declared != e.harvested:
        yield _reason(N_("the page states {expected} rows; {seen} were read"), expected=e.declared, seen=e.harvested)
    if e.declared_after not in (e.declared, None) and e.declared is not None:
        yield _reason(
            N_("the page stated {expected} rows at first, {seen} at the end"),
            expected=e.declared,
            seen=e.declared_after,
        )
    if e.keys is None and e.declared is None:
        yield Reason(text=N_("the page states no count and the recipe names no key: nothing tells"))


def _in_looks(e: Evidence) -> Iterator[Reason]:
    """What contradicts in the rows themselves."""
    if e.keyless:
        yield _reason(N_("{count} row(s) have no key"), count=e.keyless)
    if e.keys is not None and e.keys + e.keyless < e.harvested:
        yield _reason(N_("{count} row(s) were seen twice"), count=e.harvested - e.keys - e.keyless)
    if e.missing:
        yield _reason(N_("{count} row(s) never showed between others that did"), count=e.missing)
    if e.changed:
        yield _reason(N_("{count} row(s) read differently when they were seen again"), count=e.changed)
    if e.recounted is not None and e.recounted != e.harvested:
        yield _reason(
            N_("{expected} rows at the first look, {seen} at the second"), expected=e.harvested, seen=e.recounted
        )
    elif e.recounted is not None and not e.same:
        yield Reason(text=N_("the second look showed other rows than the first"))


def _in_page(e: Evidence) -> Iterator[Reason]:
    """What contradicts in the page around the rows."""
    for total in e.sums:
        if not total.equal:
            yield _reason(
                N_("the page states {expected} as the total of {column}; its rows add up to {seen}"),
                expected=total.stated or "-",
                column=total.column,
                seen=total.summed or "-",
            )
    for field in e.filters:
        if field.seen != field.wanted:
            yield _reason(
                N_("the filter {field} reads {seen}; it was set to {expected}"),
                field=field.field,
                seen=field.seen or "-",
                expected=field.wanted or "-",
            )


def _doubts(e: Evidence) -> Iterator[Reason]:
    """What is missing for a proof without contradicting it."""
    if e.declared is None and not e.wants_declared and e.keys is not None:
        yield Reason(text=N_("the page states no count"))
    if e.declared is not None and e.declared_after is None:
        yield Reason(text=N_("the page did not state its count again at the end"))
    if not e.returned:
        yield Reason(text=N_("after the last record the list did not show its rows again"))
    if e.keys is None and e.declared is not None:
        yield Reason(text=N_("the recipe names no key, so a doubled row could hide a missing one"))
    if e.recounted is None:
        yield Reason(text=N_("the rows were not looked at a second time"))
    if e.hidden:
        yield _reason(N_("{count} row(s) are on the page but hidden"), count=e.hidden)


def _reason(text: str, **values: object) -> Reason:
    return Reason(text=text, values={name: str(value) for name, value in values.items()})


def of(read: ListRead) -> Completeness:
    """How complete a list is; of one logged before there were certificates, what its counts tell."""
    if read.certificate is not None:
        return read.certificate.state
    return Completeness.PLAUSIBLE if read.declared in (None, read.harvested) else Completeness.UNPROVED


ORDER = (Completeness.UNPROVED, Completeness.PLAUSIBLE, Completeness.PROVED)


def below(read: ListRead, least: Completeness) -> bool:
    return ORDER.index(of(read)) < ORDER.index(least)


def counting(facts: Sequence[Fact]) -> tuple[ListRead, ...]:
    """Of a run's facts the lists that count: since it was last taken up, and not begun anew after a login."""
    found: list[ListRead] = []
    for fact in facts:
        match fact:
            case RunStarted():
                found.clear()
            case Relogin(void_lists=void) | Anew(void_lists=void):
                found = found[: len(found) - void]
            case ListRead():
                found.append(fact)
            case _:
                pass
    return tuple(found)
