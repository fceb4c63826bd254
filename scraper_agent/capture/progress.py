"""How far a run has come, so that after a new login its steps can be carried out again without reading twice.

What is handed over is followed by a `Done` with its place: where in the recipe's steps, and which record. In a later
pass the same place is passed over; what a broken-off record had shown does not count, and is read again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from scraper_agent import canonical
from scraper_agent.capture.held import Again, Halt
from scraper_agent.capture.running import Ended
from scraper_agent.errors import AgentError
from scraper_agent.ports import Done, PersonNeeded, Sighting
from scraper_agent.recipe import List, Recipe, Step, Use, blocks, within
from scraper_agent.values import ListRead, Refused

_ATTEMPT = re.compile(r", attempt \d+")
"""Which attempt of a `retry` succeeded is no part of a place."""


class Lost(Exception):
    """The session has ended; the text is the address of the page that shows it."""


@dataclass(slots=True)
class Progress:
    recipe: Recipe
    controlled: bool = False
    """A person may pause or stop what is done at any time."""
    before: frozenset[str] = frozenset()
    """Places that earlier passes have handed over."""
    done: set[str] = field(default_factory=set)
    lists: int = 0
    """Certificates handed over in this pass."""
    trail: tuple[str, ...] = ()
    """Lists and their records around the steps that are carried out."""
    _loose: list[str] = field(default_factory=list)
    """Places outside of records that belong to the document that comes next."""
    _whole: bool = False
    """Within a record, which is handed over as a whole."""
    _rows: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def begin(self, before: frozenset[str] = frozenset()) -> None:
        """A part of the recipe begins; `before`: what an earlier run has handed over of it."""
        self.before, self.done, self.lists = before, set(), 0

    def again(self) -> None:
        """The same part once more. Certificates of the pass that broke off are void."""
        self.before |= self.done
        self.lists = 0
        self._loose.clear()

    def note(self, sighting: Sighting) -> None:
        """Hears of what is handed over, when it is."""
        if isinstance(sighting, Done):
            self.done.add(sighting.place)
        elif isinstance(sighting, ListRead):
            self.lists += 1

    @property
    def _lasts(self) -> bool:
        """Whether a record may break off and be read again: a session's end is told, or people may pause and stop."""
        return self.controlled or self.recipe.session is not None or bool(self.recipe.apart)

    # --- places -----------------------------------------------------------------------------------------------------

    def place(self, where: str, *more: str) -> str:
        return canonical.sm3(canonical.dumps([*self.trail, _ATTEMPT.sub("", where), *more])).hex()

    @contextmanager
    def within(self, *place: str) -> Iterator[None]:
        before, self.trail = self.trail, (*self.trail, *(_ATTEMPT.sub("", part) for part in place))
        try:
            yield
        finally:
            self.trail = before

    def passed(self, place: str) -> bool:
        """Whether an earlier pass has handed this over; a record's pages go with their record."""
        return not self._whole and place in self.before

    def moved(self, place: str, rows: tuple[str, ...]) -> bool:
        """Whether a page of a list shows other rows than in an earlier pass, so that what was kept of it is wrong."""
        if not self.before:
            self._rows[place] = rows
        return self._rows.setdefault(place, rows) != rows

    # --- what is handed over ----------------------------------------------------------------------------------------

    def snapped(self, place: str, name: str) -> Iterator[Sighting]:
        """After a page or file outside of records was handed over."""
        if self._whole:
            return
        if any(source.page == name for source in self.recipe.sources.values()):
            yield from self._is_done(place)
            return
        self._loose.append(place)
        if name == self.recipe.document.page:
            yield from self._is_done(*self._loose)
            self._loose.clear()

    def _is_done(self, *places: str) -> Iterator[Sighting]:
        self.done.update(places)  # the browser may end in any recipe, and is started again
        if self._lasts:
            yield from map(Done, places)

    def record(self, place: str, steps: tuple[Step, ...], sightings: Iterator[Sighting]) -> Iterator[Sighting]:
        """A record, handed over as a whole; one that holds lists is no whole, but its records are."""
        if self._whole or self._lists(steps, frozenset()):
            yield from sightings
            return
        if not self._lasts:
            self.done.add(place)  # whatever comes of it: nothing of it is told twice
            yield from sightings
            return
        seen: list[Sighting] = []
        self._whole = True
        try:
            seen.extend(sightings)
        except (Lost, Again, Halt, PersonNeeded):
            yield from (each for each in seen if isinstance(each, Refused))
            raise
        except Ended:  # that was told, and what ended the browser once is not opened again
            yield from seen
            yield from self._is_done(place)
            raise
        except AgentError:
            yield from seen
            raise
        finally:
            self._whole = False
        yield from seen
        yield Done(place)

    def told(self, place: str) -> Iterator[Sighting]:
        """After a record's trouble was told: once is enough."""
        if not self._whole:
            self.done.add(place)
        if (self.controlled or self.recipe.session is not None) and not self._whole:
            yield Done(place)

    def _lists(self, steps: tuple[Step, ...], used: frozenset[str]) -> bool:
        for step in steps:
            if isinstance(step, List):
                return True
            if isinstance(step, Use) and step.flow not in used:
                if self._lists(self.recipe.flows[step.flow].steps, used | {step.flow}):
                    return True
            elif any(self._lists(within(step, block), used) for block in blocks(step)):
                return True
        return False
