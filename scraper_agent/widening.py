"""What changes from one policy to another: each change as a sentence, and whether it allows more or less."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

from scraper_agent import hours
from scraper_agent.messages import N_
from scraper_agent.people import Person
from scraper_agent.policy import Anchor, Approving, Leaving, Limit, Pace, Policy, Recipes, Requests, Window
from scraper_agent.values import Completeness, Reason, Severity

Direction: TypeAlias = Literal["wider", "narrower", "otherwise"]

_LISTS = (Completeness.PROVED, Completeness.PLAUSIBLE, Completeness.UNPROVED)
_APPROVED_BY = ("second_person", "one", "nobody")
_RULES = ("four_eyes", "per_document", "per_batch", "automatic")
_LIMITS = {"warnings": ("hold", "allow"), "analyses": ("hold", "allow"), "case": ("complete", "any")}
"""Words of a limit, the widest last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    direction: Direction
    """Of what the robots may do."""
    what: Reason
    said: Reason


def changes(old: Policy, new: Policy) -> tuple[Change, ...]:
    """What gets wider first, then what gets narrower; empty if they say the same."""
    found: list[Change] = []
    for name in Policy.model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if name == "version" or before == after:
            continue
        found += list(_SECTIONS[name](before, after)) if name in _SECTIONS else _others(name, before, after)
    order: tuple[Direction, ...] = ("wider", "narrower", "otherwise")
    return tuple(sorted(found, key=lambda change: order.index(change.direction)))


def _others(name: str, before: object, after: object) -> Iterator[Change]:
    """Of a section that allows neither more nor less, or that nobody wrote a sentence for: told all the same."""
    fields = type(before).model_fields if isinstance(before, BaseModel) else ()
    for field in fields:
        values = [getattr(each, field) for each in (before, after)]
        if values[0] != values[1]:
            shown = {key: "-" if each is None else each for key, each in zip(("before", "after"), values, strict=True)}
            said = _what(N_("{after}; before: {before}"), **shown)
            yield Change(direction="otherwise", what=_what("{key}", key=f"{name}: {field}"), said=said)
    if not fields:
        yield Change(direction="otherwise", what=_what("{key}", key=name), said=_what(N_("is another")))


def _what(text: str, **values: object) -> Reason:
    return Reason(text=text, values={name: str(value) for name, value in values.items()})


def _change(what: Reason, text: str, /, *, wider: bool, **values: object) -> Change:
    return Change(direction="wider" if wider else "narrower", what=what, said=_what(text, **values))


def _limit(what: Reason, before: object, after: object, *, wider: bool) -> Change:
    """None is no limit."""
    if after is None:
        return _change(what, N_("no limit any more; before: {before}"), wider=wider, before=before)
    if before is None:
        return _change(what, N_("{after}; before there was no limit"), wider=wider, after=after)
    return _change(what, N_("{after}; before: {before}"), wider=wider, before=before, after=after)


def _number(what: Reason, before: int | None, after: int | None) -> Iterator[Change]:
    """An upper limit."""
    if before != after:
        yield _limit(what, before, after, wider=after is None or (before is not None and after > before))


def _word(what: Reason, order: Sequence[str], before: str, after: str) -> Iterator[Change]:
    """One of several words, the widest last."""
    if before != after:
        yield _limit(what, before, after, wider=order.index(after) > order.index(before))


def _sets(what: Reason, before: Iterable[str], after: Iterable[str], *, less: bool = False) -> Iterator[Change]:
    """`less`: the fewer there are, the more is allowed."""
    old, new = tuple(before), tuple(after)
    for each in new:
        if each not in old:
            yield _change(what, N_("{added} is added"), wider=not less, added=each)
    for each in old:
        if each not in new:
            yield _change(what, N_("{gone} is taken away"), wider=less, gone=each)


def _scopes(before: Iterable[str], after: Iterable[str]) -> Iterator[str]:
    yield from dict.fromkeys((*before, *after))


# --- section by section ---------------------------------------------------------------------------------------------


def _requests(before: Mapping[str, Requests], after: Mapping[str, Requests]) -> Iterator[Change]:
    for erp in _scopes(before, after):
        old, new = before.get(erp, Requests()), after.get(erp, Requests())
        yield from _sets(_what(N_("addresses that {scope} is read at"), scope=erp), old.addresses, new.addresses)
        yield from _sets(_what(N_("requests to {scope} beside GET"), scope=erp), _permits(old), _permits(new))
        what = _what(N_("paths of {scope} that are never asked for"), scope=erp)
        yield from _sets(what, old.refuses, new.refuses, less=True)


def _permits(requests: Requests) -> Iterator[str]:
    for permit in requests.permits:
        yield permit.model_dump_json(by_alias=True, exclude_defaults=True)


def _documents(before: tuple[str, ...] | None, after: tuple[str, ...] | None) -> Iterator[Change]:
    what = _what(N_("formats that may be read and sent"))
    if before is None or after is None:
        shown = [None if each is None else ", ".join(each) for each in (before, after)]
        yield _limit(what, *shown, wider=after is None)
    else:
        yield from _sets(what, before, after)


def _windows(before: Mapping[str, Window], after: Mapping[str, Window]) -> Iterator[Change]:
    for scope in _scopes(before, after):
        old, new = before.get(scope, Window()), after.get(scope, Window())
        what = _what(N_("how many days old documents of {scope} may be"), scope=scope)
        yield from _number(what, old.oldest_days, new.oldest_days)
        if old.from_ != new.from_:
            earlier = new.from_ is None or (old.from_ is not None and new.from_ < old.from_)
            yield _limit(
                _what(N_("first day of documents of {scope}"), scope=scope), old.from_, new.from_, wider=earlier
            )
        if old.to != new.to:
            later = new.to is None or (old.to is not None and new.to > old.to)
            yield _limit(_what(N_("last day of documents of {scope}"), scope=scope), old.to, new.to, wider=later)


def _hours(before: Mapping[str, tuple[str, ...]], after: Mapping[str, tuple[str, ...]]) -> Iterator[Change]:
    for erp in _scopes(before, after):
        spans = before.get(erp), after.get(erp)
        if spans[0] == spans[1]:
            continue
        old, new = (hours.WEEK if each is None else hours.minutes(each) for each in spans)
        shown = [None if each is None else ", ".join(each) or "-" for each in spans]
        change = _limit(_what(N_("hours in which {scope} is read"), scope=erp), *shown, wider=new > old)
        if new > old or new < old:
            yield change
        else:
            yield Change(direction="otherwise", what=change.what, said=change.said)


def _pace(before: Mapping[str, Pace], after: Mapping[str, Pace]) -> Iterator[Change]:
    for erp in _scopes(before, after):
        old, new = before.get(erp, Pace()), after.get(erp, Pace())
        what = _what(N_("pages of {scope} in a minute"), scope=erp)
        yield from _number(what, old.pages_per_minute, new.pages_per_minute)
        yield from _number(_what(N_("pages of {scope} that load at a time"), scope=erp), old.tabs, new.tabs)


def _per_day(before: Mapping[str, int], after: Mapping[str, int]) -> Iterator[Change]:
    for format in _scopes(before, after):
        what = _what(N_("documents that leave on a day, {scope}"), scope=format)
        yield from _number(what, before.get(format), after.get(format))


def _destinations(before: Mapping[str, tuple[str, ...]], after: Mapping[str, tuple[str, ...]]) -> Iterator[Change]:
    if not before or not after:
        text = N_("only those that are named") if after else N_("any, as the config says")
        yield _change(_what(N_("destinations")), text, wider=not after)
    for format in _scopes(before, after) if after else ():
        what = _what(N_("destinations, {scope}"), scope=format)
        for change in _sets(what, before.get(format, ()), after.get(format, ())):
            # The first ones that are named take all others away.
            yield change if before else Change(direction="narrower", what=change.what, said=change.said)


def _automatic(before: Mapping[str, Limit], after: Mapping[str, Limit]) -> Iterator[Change]:
    for format in _scopes(before, after):
        what = _what(N_("{scope} without a person"), scope=format)
        if format not in before or format not in after:
            text = N_("some leave") if format in after else N_("none leaves")
            yield _change(what, text, wider=format in after)
            continue
        old, new = before[format], after[format]
        for currency in _scopes(old.amounts, new.amounts):
            what = _what(N_("most {currency} of {scope} without a person"), currency=currency, scope=format)
            most = [each.amounts.get(currency, 0) for each in (old, new)]  # what is not named is held
            if most[0] != most[1]:
                yield _limit(what, *most, wider=most[1] > most[0])
        yield from _number(_what(N_("most lines of {scope} without a person"), scope=format), old.lines, new.lines)
        for key, order in _LIMITS.items():
            what = _what(N_("`{key}` of {scope} without a person"), key=key, scope=format)
            yield from _word(what, order, getattr(old, key), getattr(new, key))


def _approval(before: Mapping[str, Approving], after: Mapping[str, Approving]) -> Iterator[Change]:
    for format in _scopes(before, after):
        old, new = before.get(format, Approving()), after.get(format, Approving())
        yield from _word(_what(N_("who approves {scope}"), scope=format), _RULES, old.rule, new.rule)
        drawn = [None if each.sample is None else each.sample.one_in for each in (old, new)]
        yield from _number(_what(N_("one {scope} in so many that waits all the same"), scope=format), *drawn)


def _fields(before: Mapping[str, Leaving], after: Mapping[str, Leaving]) -> Iterator[Change]:
    for format in _scopes(before, after):
        old, new = before.get(format, Leaving()), after.get(format, Leaving())
        what = _what(N_("optional fields of {scope} that may leave"), scope=format)
        if old.only is None or new.only is None:
            shown = [None if each.only is None else ", ".join(each.only) or "-" for each in (old, new)]
            if shown[0] != shown[1]:
                yield _limit(what, *shown, wider=new.only is None)
        else:
            yield from _sets(what, old.only, new.only)
        what = _what(N_("fields of {scope} that never leave"), scope=format)
        yield from _sets(what, old.leave_out, new.leave_out, less=True)
        masks = [[f"{name} {mask.keep_first}+{mask.keep_last}" for name, mask in e.mask.items()] for e in (old, new)]
        yield from _sets(_what(N_("fields of {scope} that leave masked"), scope=format), *masks, less=True)


def _lists(before: Completeness, after: Completeness) -> Iterator[Change]:
    yield from _word(_what(N_("how complete lists must be")), _LISTS, before.value, after.value)


def _people(before: Mapping[str, Person], after: Mapping[str, Person]) -> Iterator[Change]:
    what = _what(N_("people and their roles"))
    if not before or not after:
        text = N_("only who is named may do anything") if after else N_("everybody may do everything")
        yield _change(what, text, wider=not after)
    old, new = ([f"{name}: {role}" for name, p in each.items() for role in sorted(p.roles)] for each in (before, after))
    yield from _sets(what, old, new) if before and after else ()


def _anchor(before: Anchor, after: Anchor) -> Iterator[Change]:
    yield from _number(_what(N_("hours without a witness before runs stop")), before.stop_hours, after.stop_hours)


def _recipes(before: Recipes, after: Recipes) -> Iterator[Change]:
    yield from _word(_what(N_("who approves recipes")), _APPROVED_BY, before.approved_by, after.approved_by)


def _severities(before: Mapping[str, Severity], after: Mapping[str, Severity]) -> Iterator[Change]:
    for code in _scopes(before, after):
        old, new = (each[code].value if code in each else "-" for each in (before, after))
        if old == new:
            continue
        change = _limit(_what(N_("severity of {scope}"), scope=code), old, new, wider=old == Severity.ERROR)
        if Severity.ERROR in (old, new):
            yield change
        else:
            yield Change(direction="otherwise", what=change.what, said=change.said)


_SECTIONS: Mapping[str, Callable[[Any, Any], Iterator[Change]]] = {
    "requests": _requests,
    "documents": _documents,
    "windows": _windows,
    "hours": _hours,
    "pace": _pace,
    "documents_per_day": _per_day,
    "destinations": _destinations,
    "automatic": _automatic,
    "approval": _approval,
    "fields": _fields,
    "lists": _lists,
    "people": _people,
    "recipes": _recipes,
    "severities": _severities,
    "anchor": _anchor,
}
"""By key of the policy. What is only kept (evidence, retention) allows the robots neither more nor less."""
