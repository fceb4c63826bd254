"""Runs that people begin from the console: processes of their own, which go on if the console ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from scraper_agent import control
from scraper_agent.errors import AgentError
from scraper_agent.messages import N_

_TOLD_BYTES = 4000
_MOST = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """`exit` None: it still runs. `told`: the end of what it said."""

    person: str
    command: str
    at: datetime
    exit: int | None
    told: str


@dataclass(slots=True)
class _Known:
    person: str
    command: str
    at: datetime
    process: subprocess.Popen[bytes]
    out: Path


class Children:
    """`config`: the config file they run with; `folder`: where what they say is kept."""

    def __init__(self, config: Path, folder: Path) -> None:
        self._config = config
        self._folder = folder
        self._known: list[_Known] = []
        self._gate = threading.Lock()

    def begin(self, arguments: Sequence[str], *, person: str, lang: str, now: datetime) -> None:
        """`scraper-agent` with these arguments. Whatever it needs to know comes from where the config says.

        Raises:
            AgentError: it cannot be started.
        """
        program = [sys.executable, "-m", "scraper_agent", "--config", str(self._config.resolve()), "--lang", lang]
        with self._gate:
            out = self._folder / f"begun-{now:%Y%m%dT%H%M%S%f}.out"
            try:
                control.prepare(self._folder)
                handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "wb") as file:
                    process = subprocess.Popen(
                        [*program, *arguments],
                        stdin=subprocess.DEVNULL,  # nobody is asked for a secret there
                        stdout=file,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,  # Ctrl-C ends the console, and not the run
                    )
            except OSError as error:
                raise AgentError(
                    "SA7708",
                    N_("the run cannot be started: {reason}"),
                    reason=error.strerror or type(error).__name__,
                ) from error
            self._known.append(_Known(person, " ".join(arguments), now, process, out))
            self._forget()

    def all(self) -> list[Child]:
        """The newest first."""
        with self._gate:
            known = list(reversed(self._known))
        return [
            Child(person=k.person, command=k.command, at=k.at, exit=k.process.poll(), told=_end(k.out)) for k in known
        ]

    def _forget(self) -> None:
        for old in [each for each in self._known[:-_MOST] if each.process.poll() is not None]:
            self._known.remove(old)
            old.out.unlink(missing_ok=True)


def _end(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TOLD_BYTES))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""
