"""What happens at the console's door, on its way into the log. Nobody at the door waits for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from loguru import logger

from scraper_agent import notes
from scraper_agent.app import App
from scraper_agent.errors import AgentError
from scraper_agent.values import ConsoleFact

_AGAIN_S = 1.0


def note(app: App, fact: ConsoleFact) -> None:
    """Have it logged now, by whoever writes the archive.

    Raises:
        AgentError: nobody did, or it cannot be written.
    """
    by, said = notes.ordered(fact)
    for outcome in app.desk.do(notes.DO, [notes.JOB], by, said, via="console"):
        if outcome.error is not None:
            raise outcome.error


class Journal:
    """Logs in the background, in order. `close` it."""

    def __init__(self, note: Callable[[ConsoleFact], None]) -> None:
        self._note = note
        self._waiting: queue.SimpleQueue[ConsoleFact | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def tell(self, fact: ConsoleFact) -> None:
        self._waiting.put(fact)

    def close(self) -> None:
        """What was told is logged when this returns; what then cannot be is told in the running log."""
        self._closing.set()
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (fact := self._waiting.get()) is not None:
            while not self._logged(fact) and not self._closing.wait(_AGAIN_S):
                pass

    def _logged(self, fact: ConsoleFact) -> bool:
        try:
            self._note(fact)
        except AgentError as error:
            logger.error("{} not in the log yet: {} {}", type(fact).__name__, error.code, error.sentence)
            return False
        return True
