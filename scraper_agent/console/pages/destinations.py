"""The receivers and what is on its way to each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response

from scraper_agent import outbox
from scraper_agent.archive.listed import Line, Standing
from scraper_agent.config import ReceiverSettings
from scraper_agent.console import told
from scraper_agent.console.ask import Ask, Route, page
from scraper_agent.console.pages import log
from scraper_agent.console.words import state_name
from scraper_agent.messages import N_
from scraper_agent.values import Entry, State

QUEUES = (State.SIGNED, State.WAITING, State.UNKNOWN, State.DELIVERED, State.DEAD)
"""What has no end yet, and what was given up."""
SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    state: State
    name: str
    number: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    ak: str
    kind: str
    place: str
    formats: Sequence[str]
    breaker: outbox.Breaker
    queues: Sequence[Queue]
    last: Entry | None
    """The newest answer of the receiver."""
    dead: Sequence[tuple[Line, str, str]]
    """Each with its page and the name of its format."""


def destinations(ask: Ask) -> Response:
    standing = ask.archive.lists.standing()
    return ask.render("destinations.html", destinations=list(_each(ask, standing)))


def _each(ask: Ask, standing: Mapping[tuple[State, str], Standing]) -> Iterator[Destination]:
    config, lists = ask.app.config, ask.archive.lists
    for settings in config.all_receivers().values():
        formats = [format for format in ask.app.tables.formats if config.receiver_of(format) == settings]
        known = [format for format in formats if any(of == format for _, of in standing)]
        sends = lists.sends(known, outbox.REMEMBERED)
        dead = [line for format in known for line in lists.documents(states=[State.DEAD], format=format, most=SHOWN)]
        yield Destination(
            ak=settings.ak,
            kind=settings.transport.kind,
            place=_place(settings),
            formats=[log.named(ask, format) for format in known],
            breaker=outbox.Breaker.of(sends, config.outbox),
            queues=[_queue(state, known, standing) for state in QUEUES],
            last=_last(ask, known),
            dead=[
                (line, told.path(line.id), log.named(ask, line.format))
                for line in sorted(dead, key=lambda line: line.index)[:SHOWN]
            ],
        )


def _queue(state: State, formats: Collection[str], standing: Mapping[tuple[State, str], Standing]) -> Queue:
    found = [each for (of, format), each in standing.items() if of is state and format in formats]
    return Queue(
        state=state,
        name=state_name(state),
        number=sum(each.number for each in found),
        oldest=min((each.oldest for each in found), default=None),
    )


def _last(ask: Ask, formats: Collection[str]) -> Entry | None:
    lists, answered = ask.archive.lists, (State.RECEIPTED, State.REJECTED)
    newest = [line for format in formats for line in lists.documents(states=answered, format=format, most=1)]
    index = max((line.index for line in newest), default=None)
    return None if index is None else next(ask.archive.entries(index))


def _place(settings: ReceiverSettings) -> str:
    """Where it is, as the config says; nothing secret stands there."""
    told = settings.transport.model_dump(include={"url", "host", "port", "path", "folder"}, mode="json")
    return " ".join(str(value) for value in told.values())


ROUTES: Sequence[Route] = (page("/destinations", destinations, menu=N_("Destinations")),)
