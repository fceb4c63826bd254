"""Which fields of a document may leave: by the policy, and by a person who leaves some out of one document. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from scraper_agent.errors import BusinessError, Problem
from scraper_agent.format import Document, Field, Format, Value
from scraper_agent.mapping import Origin, Reading
from scraper_agent.messages import N_
from scraper_agent.policy import Leaving, Mask
from scraper_agent.rules import LINES
from scraper_agent.values import Excluded, Finding, Job, Severity
from scraper_agent.yamlfile import Loc, Positions

CODE = "SA6050"
"""Of findings about fields that are in a document and may not leave."""

MASKED = ("mask",)
"""The only step of an origin whose text the policy masks."""

_LINE = re.compile(r"lines\[(\d+)\]\.")
_NAMED = re.compile(r"((?:变更|删除) [0-9A-F-]{36}(?:; )?)(.*)", re.DOTALL)
"""A remark that the agent began with the version that it changes or withdraws, and what the ERP said."""


def fields(format: Format) -> dict[str, Field]:
    """Every field by the name that a policy gives it."""
    return {**format.header_fields, **{f"{LINES}{id}": field for id, field in format.line_fields.items()}}


def named(path: str) -> str:
    """The field's own name of a place in a document: `lines.unitPrice` of `lines[3].unitPrice`."""
    return _LINE.sub(LINES, path.removeprefix("twin "))


def mask(text: str, how: Mask) -> str:
    shown = how.keep_first + how.keep_last
    if len(text) <= shown:
        return "*" * len(text)
    return text[: how.keep_first] + "*" * (len(text) - shown) + text[len(text) - how.keep_last :]


# --- by the policy --------------------------------------------------------------------------------------------------


def narrowed(document: Document, format: Format, rule: Leaving | None) -> Document:
    """What of it may leave. Of what has been narrowed once, all may."""
    if rule is None:
        return document
    gone = _left_out(format, rule)
    return replace(
        document,
        header=_narrowed(document.header, "", gone, rule, made=True),
        lines=tuple(_narrowed(line, LINES, gone, rule) for line in document.lines),
    )


def read(reading: Reading, format: Format, rule: Leaving | None) -> Reading:
    """A reading of what may leave alone: of what is left out not even where it stood, or that it could not be read."""
    if rule is None:
        return reading
    gone = _left_out(format, rule)
    return replace(
        reading,
        header=_narrowed(reading.header, "", gone, rule),
        lines=tuple(_narrowed(line, LINES, gone, rule) for line in reading.lines),
        unread=tuple(finding for finding in reading.unread if named(finding.field) not in gone),
        origins=tuple(_origin(each, rule) for each in reading.origins if named(each.field) not in gone),
    )


def findings(document: Document, format: Format, rule: Leaving | None) -> Iterator[Finding]:
    """Fields of a document that was made under another policy, and may not leave so."""
    allowed = narrowed(document, format, rule)
    parts = [("", document.header, allowed.header)]
    parts += [
        (f"lines[{n}].", *both) for n, both in enumerate(zip(document.lines, allowed.lines, strict=True), start=1)
    ]
    for prefix, here, there in parts:
        for id, value in here.items():
            if id not in there:
                text = N_("may not leave by the policy; `scraper-agent job exclude` leaves it out")
            elif there[id] != value:
                text = N_("may only leave masked by the policy; `scraper-agent job exclude` leaves it out")
            else:
                continue
            yield Finding(code=CODE, severity=Severity.ERROR, field=f"{prefix}{id}", text=text)


def _left_out(format: Format, rule: Leaving) -> frozenset[str]:
    gone = set(rule.leave_out)
    if rule.only is not None:
        gone |= {name for name in fields(format) if not _needed(format, name) and name not in rule.only}
    return frozenset(gone)


def _needed(format: Format, name: str) -> bool:
    return fields(format)[name].mandatory or name in format.key


def _narrowed(
    values: Mapping[str, Value], prefix: str, gone: Collection[str], rule: Leaving, *, made: bool = False
) -> dict[str, Value]:
    """`made`: it is a document's header, and its remark may begin with words of ours."""
    kept = {id: value for id, value in values.items() if f"{prefix}{id}" not in gone}
    for id, value in kept.items():
        how = rule.mask.get(f"{prefix}{id}")
        if how is not None and isinstance(value, str):
            own = _NAMED.fullmatch(value) if made and id == "remark" else None
            kept[id] = f"{own[1]}{mask(own[2], how)}" if own else mask(value, how)
    return kept


def _origin(of: Origin, rule: Leaving) -> Origin:
    """Its place stays known; the text there, and each step from it, would say what is masked."""
    how = rule.mask.get(named(of.field))
    return of if how is None else replace(of, raw="", steps=MASKED, lookups=None, value=mask(of.value, how))


def problems(rules: Mapping[str, Leaving], formats: Mapping[str, Format], at: Positions) -> Iterator[Problem]:
    """What in the policy's section `fields` no document can follow."""
    for name, rule in rules.items():
        format = formats.get(name)
        if format is None:
            continue  # told with the other names
        known = fields(format)
        places: list[tuple[Loc, str]] = [(("only", n), id) for n, id in enumerate(rule.only or ())]
        places += [(("leave_out", n), id) for n, id in enumerate(rule.leave_out)]
        places += [(("mask", id), id) for id in rule.mask]
        for place, id in places:
            where = at.key(("fields", name, *place)) if place[0] == "mask" else at.of(("fields", name, *place))
            if id not in known:
                yield Problem(
                    at=where,
                    code="SA6046",
                    text=N_("the format {format} has no field `{seen}`"),
                    hint=N_("`scraper-agent format show {format}` lists them; a line's field begins with `lines.`"),
                    values={"format": name, "seen": id},
                )
            elif place[0] == "leave_out" and _needed(format, id):
                yield Problem(
                    at=where,
                    code="SA6047",
                    text=N_("`{seen}` cannot be left out: without it no {format} can be sent"),
                    values={"format": name, "seen": id},
                )
            elif place[0] == "mask" and (id in format.key or not _maskable(known[id])):
                yield Problem(
                    at=where,
                    code="SA6048",
                    text=N_("`{seen}` cannot be masked: only free texts that a document may lack can be"),
                    hint=N_("name it under `leave_out`, or let it leave as it is"),
                    values={"seen": id},
                )


def _maskable(of: Field) -> bool:
    free = of.type.holds == "text" and of.type.shape is None and of.type.least <= 1
    return free and not (of.mandatory or of.choices or of.codes or of.pattern)


# --- by a person ----------------------------------------------------------------------------------------------------


def without(document: Document, wanted: Sequence[str]) -> tuple[Document, tuple[str, ...]]:
    """The document less these fields, and the names of those that it had, each once.

    Raises:
        BusinessError: none is named, or the document has no such field.
    """
    gone: dict[str, None] = {}
    for name in wanted:
        found = [path for path, _ in _paths(document) if name in (path, named(path))]
        if not found:
            raise BusinessError(
                "SA6054",
                N_("the document has no field `{seen}`; it has {known}"),
                hint=N_("a line's field is named `lines.goodsName`, or `lines[3].goodsName` for one line alone"),
                seen=name,
                known=", ".join(dict.fromkeys(named(path) for path, _ in _paths(document))),
            )
        gone |= dict.fromkeys(found)
    lines = tuple(_less(line, f"lines[{n}].", gone) for n, line in enumerate(document.lines, start=1))
    return replace(document, header=_less(document.header, "", gone), lines=lines), tuple(dict.fromkeys(wanted))


def _paths(document: Document) -> Iterator[tuple[str, Value]]:
    yield from document.header.items()
    for number, line in enumerate(document.lines, start=1):
        for id, value in line.items():
            yield f"lines[{number}].{id}", value


def _less(values: Mapping[str, Value], prefix: str, gone: Collection[str]) -> dict[str, Value]:
    return {id: value for id, value in values.items() if f"{prefix}{id}" not in gone}


def left_out(job: Job, path: str) -> bool:
    """Whether people left this place out of the document."""
    names = {path.removeprefix("twin "), named(path)}
    return any(names & set(fact.fields) for fact in job.facts if isinstance(fact, Excluded))
