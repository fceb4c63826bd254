"""What a pause and a stop do to a browser session.

From `GRACE_S` after a pause on, the read-only proxy holds whatever the browser asks for; until then the page under way
may come in. The session stands still at its next control point, and its clock with it. What a page shows of which
something was held, or that failed meanwhile, is not trusted: the steps begin anew, and what was read is passed over.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic

from scraper_agent.control import Control
from scraper_agent.ports import PersonNeeded

GRACE_S = 0.8
TICK_S = 0.1
"""How often people's wishes are asked for while the browser works."""


class Again(Exception):
    """A pause fell into what was done: it is done again."""


class Halt(Exception):
    """A stop is in force."""


@dataclass
class Hold:
    """Of one browser. `attend` does what people want of this process; it is called at least every `TICK_S`."""

    control: Control | None = None
    attend: Callable[[], object] = lambda: None
    pauses: int = 0
    """How many have begun."""
    held: int = 0
    """Requests that the proxy held back; counted in its own thread."""
    _stood: float = 0.0
    _since: float | None = None
    _marks: tuple[int, int] | None = None
    """Pauses and held requests before what is done now; None: what is done now cannot be done again."""

    @property
    def stopped(self) -> bool:
        return self.control is not None and self.control.stopped

    @property
    def paused(self) -> bool:
        return self.control is not None and self.control.paused

    def note_held(self) -> None:
        self.held += 1

    def holding(self) -> bool:
        """Whether no request may leave. Asked from the proxy's thread."""
        if self.control is None:
            return False
        return self.control.stopped or self.control.paused_for() > GRACE_S

    def now(self) -> float:
        """Seconds of a clock that stands still in a pause."""
        return (monotonic() if self._since is None else self._since) - self._stood

    def look(self) -> None:
        """Note that a pause begins or ends, and attend."""
        paused = self.paused and not self.stopped
        if paused and self._since is None:
            self._since, self.pauses = monotonic(), self.pauses + 1
        elif not paused and self._since is not None:
            self._stood, self._since = self._stood + monotonic() - self._since, None
        self.attend()

    def point(self, sleep: Callable[[], None]) -> None:
        """A control point: stands still in a pause, by `sleep` for a moment at a time.

        Raises:
            Again: something was held back of what is done now.
            Halt: a stop is in force.
        """
        self.look()
        while self.paused and not self.stopped:
            sleep()
            self.look()
        if self.stopped:
            raise Halt
        if self._marks is not None and self.held > self._marks[1]:
            raise Again

    def failed(self) -> None:
        """To be called before anybody is told that something failed.

        Raises:
            Again: it may be because of a pause.
            Halt: it is because of a stop.
        """
        self.look()
        if self.stopped:
            raise Halt
        if self._marks is not None and (self.pauses, self.held) != self._marks:
            raise Again

    @contextlib.contextmanager
    def repeatable(self) -> Iterator[None]:
        """What is done within can be done again: whoever enters this does so on `Again`."""
        before, self._marks = self._marks, (self.pauses, self.held)
        try:
            yield
        finally:
            self._marks = before

    def stop_error(self) -> PersonNeeded:
        assert self.control is not None  # noqa: S101 - who stopped it then?
        return self.control.stop_error()


@dataclass
class Pulse:
    """Calls `beat` while Playwright waits for anything, which is where a session spends its time."""

    beat: Callable[[], None]
    _timer: asyncio.TimerHandle | None = field(default=None)

    def begin(self) -> None:
        self.end()
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self.begin()
        self.beat()
