"""What the commands print: tables, one document, facts. Text of pages is escaped: it may hold terminal codes."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import TypeAdapter
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scraper_agent import canonical, completeness, leaving, mapping, preview
from scraper_agent.console import words
from scraper_agent.format import Document, Field, Format
from scraper_agent.messages import N_, render
from scraper_agent.values import (
    Completeness,
    Draft,
    Fact,
    Finding,
    Job,
    ListRead,
    Outcome,
    Parked,
    Refused,
    Severity,
    State,
    Verdict,
    state,
)

console = Console(highlight=False)
talk = Console(stderr=True, highlight=False)

_COLOURS = {
    State.BLOCKED: "red",
    State.REJECTED: "red",
    State.STOPPED: "red",
    State.HELD: "yellow",
    State.ON_HOLD: "magenta",
    State.UNKNOWN: "yellow",
    State.DELIVERED: "cyan",
    State.DEAD: "red",
    State.WAITING: "yellow",
    State.RECEIPTED: "green",
}
_ORIGINS = TypeAdapter(tuple[mapping.Origin, ...])
_SHORT = 12
"""Digits of a job's number that are shown and that are enough to name it."""


def named(of: Format | Field) -> str:
    """The name in the language chosen."""
    return of.zh if render(N_("en")) != "en" else of.en


def plain(text: str) -> str:
    """Text of a page, safe for a terminal: no control characters, no markup."""
    return escape("".join(c if c.isprintable() else " " for c in text))


def visible(text: str) -> str:
    """Text whose control characters are told, not obeyed: in JSON it stays the same JSON. Line feeds stay."""
    return "".join(c if c.isprintable() or c == "\n" else _told(c) for c in text)


def _told(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[n : n + 4]}" for n in range(0, len(units), 4))


def short(id: str) -> str:
    return id.rsplit("/", 1)[-1][:_SHORT]


@dataclass(slots=True)
class Tally:
    """One line of the closing table."""

    read: int = 0
    refused_pages: int = 0
    refused_requests: int = 0
    states: Counter[State] = field(default_factory=Counter)


def closing(tallies: Mapping[str, Tally], formats: Mapping[str, Format]) -> Table:
    """By format: read, blocked, held, sent, receipted, refused requests."""
    table = Table(
        title=render(N_("What was read and what became of it")),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    table.add_column(render(N_("format")), overflow="fold")
    heads = (
        N_("read"),
        N_("blocked"),
        N_("held"),
        N_("sent"),
        N_("receipted"),
        N_("refused pages"),
        N_("refused requests"),
    )
    for head in heads:
        table.add_column(render(head).replace(" ", "\n"), justify="right", no_wrap=True)
    total = [0] * len(heads)
    for name, tally in tallies.items():
        sent = sum(tally.states[s] for s in (State.RECEIPTED, State.REJECTED, State.DELIVERED, State.UNKNOWN))
        row = [
            tally.read,
            tally.states[State.BLOCKED],
            tally.states[State.HELD],
            sent,
            tally.states[State.RECEIPTED],
            tally.refused_pages,
            tally.refused_requests,
        ]
        total = [a + b for a, b in zip(total, row, strict=True)]
        table.add_row(f"{named(formats[name])}\n[dim]{name}[/]", *map(str, row))
    table.add_section()
    table.add_row(render(N_("in all")), *map(str, total))
    return table


def jobs(listed: Iterable[tuple[Job, str]]) -> Table:
    table = Table()
    for head, whole in ((N_("job"), True), (N_("format"), True), (N_("number"), False), (N_("state"), True)):
        table.add_column(render(head), overflow="fold", no_wrap=whole)
    table.add_column(render(N_("why")), overflow="fold")
    for job, why in listed:
        draft = job.facts[0]
        if not isinstance(draft, Draft):
            continue
        now = state(job)
        colour = _COLOURS.get(now, "default")
        table.add_row(
            short(job.id), draft.format, plain(draft.key), f"[{colour}]{words.state_name(now)}[/]", plain(why)
        )
    return table


def document(of: Document, format: Format) -> Table:
    """Header fields, then lines."""
    table = Table(title=f"{named(format)} {format.name}", title_justify="left", show_lines=False)
    table.add_column(render(N_("field")))
    table.add_column(render(N_("name")))
    table.add_column(render(N_("value")), overflow="fold")
    before = ""
    for row in preview.rows(of, format):
        part = row.path.rpartition(".")[0]
        if part != before:
            table.add_section()
            before = part
        table.add_row(row.path, named(row.field), plain(row.value))
    return table


def changes(found: Iterable[preview.Change], title: str) -> Table:
    """What differs, one value a line."""
    table = Table(title=plain(title), title_justify="left")
    for head in (N_("field"), N_("name"), N_("before"), N_("now")):
        table.add_column(render(head), overflow="fold")
    for each in found:
        table.add_row(plain(each.path), named(each.field), plain(each.old or ""), plain(each.new or ""))
    return table


def finding(of: Finding) -> str:
    colour = "red" if of.severity is Severity.ERROR else "yellow"
    return f"[{colour}]{of.code}[/] {of.field} {plain(render(of.text, of.values))}"


def findings(verdict: Verdict) -> str:
    return "; ".join(f"{f.code} {f.field} {render(f.text, f.values)}" for f in verdict.findings)


def certified(lists: Iterable[ListRead]) -> list[str]:
    """The lists of a run, each with its certificate and what speaks against more."""
    names = {
        Completeness.PROVED: N_("proved"),
        Completeness.PLAUSIBLE: N_("plausible"),
        Completeness.UNPROVED: N_("unproved"),
    }
    told = []
    for read in lists:
        reasons = read.certificate.reasons if read.certificate is not None else ()
        said = "; ".join(render(reason.text, reason.values) for reason in reasons)
        told.append(f"{read.name}: {render(names[completeness.of(read)])}{f' ({said})' if said else ''}")
    return told


def outcome(of: Outcome) -> str:
    names = {
        Outcome.WRONG_PASSWORD: N_("wrong password"),
        Outcome.PASSWORD_EXPIRED: N_("password expired"),
        Outcome.LOCKED_OUT: N_("account locked"),
        Outcome.SECOND_FACTOR: N_("second factor"),
        Outcome.CAPTCHA: N_("captcha"),
        Outcome.KICKED_OUT: N_("logged in elsewhere"),
        Outcome.EXPIRED: N_("session expired"),
        Outcome.OTHER_SESSION: N_("another session"),
        Outcome.NO_SECRET: N_("secret missing"),
        Outcome.HALTED: N_("stopped by a person"),
        Outcome.HOURS: N_("the policy's hours are over"),
        Outcome.UNANCHORED: N_("no witness has seen the log"),
    }
    return render(names[of])


def parked(of: Parked) -> str:
    """What a run waits for: what happened, where, the page it shows, and what is to be done."""
    told = {
        "outcome": outcome(of.outcome),
        "since": f"{of.parked_at.astimezone():%Y-%m-%d %H:%M}",
        "where": of.where,
        "sentence": render(of.text, of.values),
    }
    lines = [render(N_("waits for a person since {since}: {outcome}, in {where}: {sentence}"), told)]
    if of.hint:
        lines.append("  " + render(N_("hint: ")) + render(of.hint, of.values))
    if of.page is not None:
        lines.append("  " + render(N_("the page: {page}"), {"page": of.page}))
    return visible("\n".join(lines))


def refused(facts: Iterable[Fact]) -> list[str]:
    """The requests of a run that were not let through, each once with how often."""
    counted = Counter((f.method, f.url, f.reason) for f in facts if isinstance(f, Refused))
    if not counted:
        return []
    head = render(N_("refused requests of the run: {count}"), {"count": counted.total()})
    return [head, *(visible(f"  {n} × {m} {url}  {render(why)}") for (m, url, why), n in counted.items())]


def fact(of: Fact) -> str:
    """One fact in one line of `Kind {json}`."""
    return visible(f"{type(of).__name__} {canonical.dumps(of).decode()}")


def origins(job: Job, provenance: bytes, format: Format) -> None:
    """Where on which page each value was read, as JSON."""
    read = [each for each in _ORIGINS.validate_json(provenance) if not leaving.left_out(job, each.field)]
    as_json(json.loads(canonical.dumps([mapping.shown(origin, format) for origin in read])))


def as_json(value: object) -> None:
    console.print(visible(json.dumps(value, ensure_ascii=False, indent=2)), markup=False, soft_wrap=True)


def lines(of: Sequence[str]) -> None:
    for line in of:
        console.print(visible(line), markup=False, soft_wrap=True)


def until_interrupted() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has it ignored
    talk.print(render(N_("Ctrl-C ends it.")))
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        talk.print()
