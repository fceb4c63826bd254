"""How fast an ERP may be asked for pages: so many in any minute, however many tabs there are."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MINUTE_S = 60.0


@dataclass(slots=True)
class Pace:
    """At most `most` page loads begin in any stretch of `window_s` seconds; None: as many as there are.

    It knows no clock: `now` is in seconds of any clock that never goes back, and whoever asks does the waiting.
    """

    most: int | None = None
    window_s: float = MINUTE_S
    _begun: deque[float] = field(default_factory=deque)
    """When the last `most` page loads began."""

    def wait_s(self, now: float) -> float:
        """How long from `now` until a page load may begin; 0: it may begin now."""
        if self.most is None or len(self._begun) < self.most:
            return 0.0
        return max(0.0, self.window_s - (now - self._begun[0]))

    def begin(self, now: float) -> float:
        """Note that a page load begins now, where it may; else nothing is noted, and the wait in seconds is told."""
        wait = self.wait_s(now)
        if wait == 0 and self.most is not None:
            if len(self._begun) == self.most:
                self._begun.popleft()
            self._begun.append(now)
        return wait
