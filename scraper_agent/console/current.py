"""The agent as its config and policy are now: what an administrator signs while the console runs is in force in it."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

from loguru import logger

from scraper_agent.app import App
from scraper_agent.errors import AgentError

_Mark = tuple[tuple[int, int], ...]


@dataclass
class Current:
    """Called, it gives the agent. Thread-safe."""

    app: App
    config: Path
    _mark: _Mark = field(init=False)
    _alone: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self._mark = self._now()

    def __call__(self) -> App:
        """Read anew when a file has changed. One that is wrong, or not signed yet, changes nothing."""
        with self._alone:
            if (now := self._now()) != self._mark:
                self._mark = now
                try:
                    app = App.load(self.config, prompt=self.app.prompt, tell=self.app.tell)
                    app.signed_policy()
                    self.app = app
                except AgentError as error:
                    logger.error("the policy is used as it was: {} {}", error.code, error.sentence)
            return self.app

    def _now(self) -> _Mark:
        files = (self.config, self.app.home / self.app.config.policy, self.app.policy_signature)
        return tuple((found.st_mtime_ns, found.st_size) for each in files if (found := _stat(each)) is not None)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
