"""Pause and stop: two files in a folder, which whoever may write there sets, and all that runs looks at.

A file that is there is in force, whatever it holds: an empty one made by hand counts, and so does one that cannot be
read. Ours say who, when and why. A stop stays in force until it is lifted: nothing begins meanwhile.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from time import monotonic
from typing import Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from scraper_agent import durable
from scraper_agent.errors import AgentError
from scraper_agent.messages import N_
from scraper_agent.ports import Clock, PersonNeeded
from scraper_agent.values import ControlFact, Halted, Job, JobId, Outcome, Paused, Resumed

JOB = JobId("control")
"""The job of what people paused, stopped and resumed."""

LOOK_S = 0.1
"""How often the folder is looked at, at most."""

Kind: TypeAlias = Literal["pause", "stop"]
_RESUMED = "resumed"
_MOST = 8 * 1024


class Marker(BaseModel):
    """What a file says of itself."""

    model_config = ConfigDict(frozen=True)

    by: str = Field(min_length=1, max_length=200)
    """`person:` and a name; `file`, or `file:` and its owner, where the file was made by hand."""
    via: str = Field(min_length=1, max_length=40)
    at: AwareDatetime | None = None
    """None where the file was made by hand."""
    reason: str = Field("", max_length=1000)


@dataclass
class Control:
    """The folder, as one process sees it. Thread-safe."""

    folder: Path
    now: Clock
    _looked_at: float = field(default=-1.0, repr=False)
    _there: tuple[bool, bool] = field(default=(False, False), repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    # --- asked by what runs -----------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether a pause is in force, as of the last `LOOK_S`."""
        return self._look()[0]

    @property
    def stopped(self) -> bool:
        return self._look()[1]

    def paused_for(self) -> float:
        """Seconds since the pause was set; 0 without one. Where the file's own time cannot be right, very long."""
        if not self.paused:
            return 0.0
        try:
            seconds = self.now().timestamp() - os.lstat(self.folder / "pause").st_ctime
        except FileNotFoundError:  # lifted just now
            return 0.0
        except OSError:
            return inf
        return seconds if seconds >= 0 else inf

    def stop_error(self) -> PersonNeeded:
        """What ends a run, or keeps it from beginning, while a stop is in force."""
        stop = self.marker("stop") or Marker(by="file", via="file")
        return PersonNeeded(
            "SA7601",
            N_("stopped by {by}: {reason}"),
            outcome=Outcome.HALTED,
            hint=N_("`scraper-agent resume` lifts the stop; the next run goes on where this one ended"),
            by=told(stop.by),
            reason=stop.reason or "-",
        )

    def _look(self) -> tuple[bool, bool]:
        with self._lock:
            now = monotonic()
            if now - self._looked_at >= LOOK_S:
                self._there = _is_there(self.folder / "pause"), _is_there(self.folder / "stop")
                self._looked_at = now
            return self._there

    def marker(self, kind: Kind) -> Marker | None:
        """What the file says; None if there is none."""
        path = self.folder / kind
        if not _is_there(path):
            return None
        return _read(path) or Marker(by=_owner(path), via="file")

    # --- done by people ---------------------------------------------------------------------------------------------

    def put(self, kind: Kind, by: str, via: str, reason: str) -> None:
        """Set a pause or a stop; one that is in force stays as it is.

        Raises:
            AgentError: the folder cannot be written.
        """
        try:
            prepare(self.folder)
            part = self.folder / f".{kind}.{os.getpid()}-{threading.get_ident()}"
            durable.write_part(part, self._written(by, via, reason))
            try:
                durable.rename_new(part, self.folder / kind)
            except durable.Taken:
                part.unlink()
            durable.sync_folder(self.folder)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        self.refresh()

    def lift(self, by: str, via: str, reason: str) -> None:
        """Lift pause and stop.

        Raises:
            AgentError: the folder cannot be written.
        """
        try:
            prepare(self.folder)
            if any(_is_there(self.folder / kind) for kind in ("pause", "stop")):
                part = self.folder / f".{_RESUMED}.{os.getpid()}-{threading.get_ident()}"
                durable.write_part(part, self._written(by, via, reason))
                part.replace(self.folder / _RESUMED)  # before the files go: whoever misses them finds who did it
            for kind in ("stop", "pause"):
                (self.folder / kind).unlink(missing_ok=True)
            durable.sync_folder(self.folder)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        self.refresh()

    def _written(self, by: str, via: str, reason: str) -> bytes:
        marker = Marker(by=by, via=via, at=self.now(), reason=reason[:1000])
        return marker.model_dump_json().encode()

    def refresh(self) -> None:
        """Whoever asks next looks."""
        with self._lock:
            self._looked_at = -1.0

    # --- what the log is told ---------------------------------------------------------------------------------------

    def news(self, known: tuple[bool, bool]) -> tuple[ControlFact, ...]:
        """What has changed since the log said `known`: whether a pause was in force, and whether a stop."""
        paused, stopped = self._look()
        facts: list[ControlFact] = []
        if (known[0] and not paused) or (known[1] and not stopped):
            said = _read(self.folder / _RESUMED) or Marker(by="file", via="file")
            facts.append(Resumed(by=said.by, via=said.via, reason=said.reason))
            known = False, False
        if paused and not known[0] and (pause := self.marker("pause")) is not None:
            facts.append(Paused(by=pause.by, via=pause.via, reason=pause.reason))
        if stopped and not known[1] and (stop := self.marker("stop")) is not None:
            facts.append(Halted(by=stop.by, via=stop.via, reason=stop.reason))
        return tuple(facts)

    def noted(self) -> None:
        """The log has been told: who lifted the last pause is asked no more."""
        with suppress(OSError):
            (self.folder / _RESUMED).unlink(missing_ok=True)


def in_force(job: Job) -> tuple[bool, bool]:
    """Whether a pause and a stop are in force, by the facts of the job `control`."""
    paused = stopped = False
    for fact in job.facts:
        match fact:
            case Paused():
                paused = True
            case Halted():
                stopped = True
            case Resumed():
                paused = stopped = False
            case _:
                pass
    return paused, stopped


def told(by: str) -> str:
    """Who it was, for people."""
    return by.removeprefix("person:")


def prepare(folder: Path) -> None:
    """Make a folder that this account alone may look into."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def unwritable(folder: Path, error: OSError) -> AgentError:
    return AgentError(
        "SA7602",
        N_("{path} cannot be written: {reason}"),
        hint=N_("it must belong to the account that the robot runs under"),
        path=folder,
        reason=error.strerror or type(error).__name__,
    )


def _is_there(path: Path) -> bool:
    """Also where nobody can tell: a switch that may be on is on."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _read(path: Path) -> Marker | None:
    try:
        data = durable.read(path, _MOST)
        return None if data is None else Marker.model_validate(json.loads(data))
    except (OSError, ValueError, ValidationError, durable.TooLong, RecursionError):
        return None


def _owner(path: Path) -> str:
    try:
        return f"file:{path.owner()}"
    except (OSError, KeyError, NotImplementedError):
        return "file"
