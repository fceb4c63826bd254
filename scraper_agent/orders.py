"""What people order of whoever writes the archive: one file each way, between processes of one account.

An order is put whole into `orders/`. Whoever holds the archive's lock takes it, which is a rename, carries it out and
writes what came of each target into `results/`; then the order goes. One that was taken and is still there was begun by
a process that has died: it is looked at what of it was done.

The files are not trusted: of another owner, too large, or with anything else than an order in them, they are refused.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from scraper_agent import durable
from scraper_agent.errors import AgentError, BusinessError, NeedsPerson, UsageError

MOST_BYTES = 4 * 1024 * 1024
MOST_TARGETS = 10_000

Name = Annotated[str, StringConstraints(min_length=1, max_length=300)]
Text = Annotated[str, StringConstraints(max_length=4000)]


class Order(BaseModel):
    """What one person wants done with each target, such as a document."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    at: AwareDatetime
    by: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """The person's name."""
    via: Annotated[str, StringConstraints(pattern=r"^[a-z]{1,20}$")]
    do: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z-]{0,39}$")]
    targets: Annotated[tuple[Name, ...], Field(max_length=MOST_TARGETS)]
    values: Annotated[dict[Name, Text], Field(max_length=20)] = {}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one target; `error` None: it was done."""

    target: str
    error: AgentError | None = None


class _Error(BaseModel):
    code: str
    text: str
    hint: str
    values: dict[str, str]
    exit_code: int


class _Result(BaseModel):
    target: str
    error: _Error | None


class _Results(BaseModel):
    results: list[_Result]


@dataclass(frozen=True, slots=True)
class Taken:
    order: Order
    again: bool
    """A process that has died had taken it before."""
    path: Path


def new_id() -> str:
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Tray:
    """The two folders within the folder of control."""

    folder: Path

    @property
    def _orders(self) -> Path:
        return self.folder / "orders"

    @property
    def _results(self) -> Path:
        return self.folder / "results"

    # --- who orders -------------------------------------------------------------------------------------------------

    def put(self, order: Order) -> None:
        """Raises OSError: it cannot be written."""
        for folder in (self.folder, self._orders, self._results):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(self._orders, f"{order.id}.json", order.model_dump_json().encode())

    def take_back(self, order: Order) -> bool:
        """Whether it was still there, taken by nobody."""
        try:
            (self._orders / f"{order.id}.json").unlink()
        except FileNotFoundError:
            return False
        return True

    def result(self, order: Order) -> list[Outcome] | None:
        """What came of it, told once; None if it is not known yet."""
        path = self._results / f"{order.id}.json"
        data = durable.read(path, 4 * MOST_BYTES)
        if data is None:
            return None
        found = _Results.model_validate(json.loads(data))
        with suppress(OSError):
            path.unlink()
        return [Outcome(each.target, _error(each.error)) for each in found.results]

    # --- who carries out --------------------------------------------------------------------------------------------

    def any(self) -> bool:
        """Whether something lies there: cheap."""
        try:
            with os.scandir(self._orders) as found:
                return any(not each.name.startswith(".") for each in found)
        except OSError:
            return False

    def take(self) -> Iterator[Taken]:
        """Every order, the oldest first; what is none is put aside under a name that says so."""
        try:
            paths = sorted(self._orders.iterdir())
        except OSError:
            return
        found: list[Taken] = []
        for path in paths:
            if path.name.startswith("."):
                continue
            order = _read(path)
            if order is None:
                with suppress(OSError):
                    path.rename(self._orders / f".{path.name[:100]}.refused")
                continue
            taken = self._orders / f"{order.id}.taken"
            found.append(Taken(order, again=path == taken, path=path))
        for each in sorted(found, key=lambda taken: (taken.order.at, taken.order.id)):
            taken = self._orders / f"{each.order.id}.taken"
            try:
                each.path.rename(taken)  # the caller may have taken it back
            except OSError:
                continue
            yield Taken(each.order, each.again, taken)

    def done(self, taken: Taken, outcomes: Sequence[Outcome]) -> None:
        """Tell what came of it. Raises OSError: it cannot be written."""
        results = _Results(results=[_Result(target=each.target, error=_plain(each.error)) for each in outcomes])
        # A crash before the order goes leaves it taken: it is told once more.
        _write(self._results, f"{taken.order.id}.json", results.model_dump_json().encode())
        taken.path.unlink(missing_ok=True)


def _write(folder: Path, name: str, data: bytes) -> None:
    part = folder / f".{name}.{os.getpid()}"
    durable.write_part(part, data)
    part.replace(folder / name)
    durable.sync_folder(folder)


def _read(path: Path) -> Order | None:
    """None: it is no order."""
    try:
        about = os.lstat(path)
        foreign = hasattr(os, "getuid") and about.st_uid not in (os.getuid(), 0)
        if foreign or not stat.S_ISREG(about.st_mode):
            return None
        data = durable.read(path, MOST_BYTES)
        order = None if data is None else Order.model_validate(json.loads(data))
    except (OSError, ValueError, ValidationError, durable.TooLong, RecursionError):
        return None
    return order if order is not None and path.name in (f"{order.id}.json", f"{order.id}.taken") else None


def _plain(error: AgentError | None) -> _Error | None:
    if error is None:
        return None
    values: Mapping[str, str] = {key: str(value) for key, value in error.values.items()}
    return _Error(code=error.code, text=error.text, hint=error.hint, values=dict(values), exit_code=error.exit_code)


def _error(plain: _Error | None) -> AgentError | None:
    if plain is None:
        return None
    kinds = {kind.exit_code: kind for kind in (UsageError, BusinessError, NeedsPerson)}
    made = kinds.get(plain.exit_code, AgentError)(plain.code, plain.text, hint=plain.hint)
    made.values.update(plain.values)
    return made
