"""Lists of documents by what the index knows of each: state, format, number, run, ERP, age. Nothing of it writes.

Pages are asked for by where the one before ended, so that a log that grows meanwhile neither repeats a document nor
passes one over.
"""

from __future__ import annotations

import bisect
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from scraper_agent import canonical, completeness
from scraper_agent.archive import sqlite
from scraper_agent.values import Digest, JobId, ListRead, Snapshot, State

_LAST_CHARACTER = "\U0010ffff"

# A document's job is numbered by the index of its Draft, so that three tables meet without a fourth.
_FROM = " FROM standing s JOIN jobs j ON j.number = s.job JOIN documents d ON d.idx = s.job"
_COUNTED = " FROM standing s JOIN documents d ON d.idx = s.job"
_RUNS_OF = """d.run IN (SELECT j.id FROM runs r JOIN facts f ON f.idx = r.idx JOIN jobs j ON j.number = f.job
    WHERE r.recipe_id >= ? AND r.recipe_id < ?)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What every document of a list has in common; empty asks for nothing."""

    state: State | None = None
    format: str = ""
    run: str = ""
    erp: str = ""
    """The first part of the name of the recipe that read it; `import` for what people filled in."""
    key_begins: str = ""
    before: datetime | None = None
    """It has stood as it stands since before this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Where one document stands. `last`: index of its last fact in the log, so that a line says which job, and when."""

    id: JobId
    number: int
    """Index of its first fact."""
    last: int
    state: State
    format: str
    key: str
    run: JobId


class Lists:
    """On the file of an archive that may be written meanwhile. Not thread-safe."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def documents(
        self, wanted: Wanted, *, most: int, beyond: int | None = None, oldest_first: bool = False
    ) -> list[Line]:
        """Those in one state by the age of that state, others by when they were read; the newest first, if not told so.

        `beyond`: the `last` (of one state) or `number` of the line that ended the page before.
        """
        by = "s.job" if wanted.state is None else "s.idx"
        where, values = self._where(wanted)
        if beyond is not None:
            where.append(f"{by} {'>' if oldest_first else '<'} ?")
            values.append(beyond)
        order = f" ORDER BY {by} {'ASC' if oldest_first else 'DESC'} LIMIT ?"
        rows = self._db.execute(
            f"SELECT j.id, s.job, s.idx, s.state, d.format, d.key, d.run{_FROM}{_and(where)}{order}", (*values, most)
        )
        return [_line(row) for row in rows]

    def line(self, id: JobId) -> Line | None:
        row = self._db.execute(
            f"SELECT j.id, s.job, s.idx, s.state, d.format, d.key, d.run{_FROM} WHERE j.id = ?", (id,)
        ).fetchone()
        return None if row is None else _line(row)

    def count(self, wanted: Wanted) -> Counter[State]:
        """How many of them stand where."""
        where, values = self._where(wanted)
        source = _COUNTED if any("d." in each for each in where) else " FROM standing s"
        rows = self._db.execute(f"SELECT s.state, count(*){source}{_and(where)} GROUP BY s.state", values)
        return Counter({State(name): count for name, count in rows})

    def versions(self, format: str, key: str) -> list[JobId]:
        """Documents of one number, oldest first; they may be of several records."""
        rows = self._db.execute(
            "SELECT j.id FROM documents d JOIN jobs j ON j.number = d.idx WHERE d.key = ? AND d.format = ?"
            " ORDER BY d.idx",
            (key, format),
        )
        return [JobId(id) for (id,) in rows]

    def erps(self) -> list[str]:
        """Of which anything was ever read."""
        rows = self._db.execute("SELECT DISTINCT substr(recipe_id, 1, instr(recipe_id, '/') - 1) FROM runs ORDER BY 1")
        return [erp for (erp,) in rows if erp]

    def runs(self, most: int) -> list[tuple[JobId, str]]:
        """The newest runs with the names of their recipes, newest first."""
        rows = self._db.execute(
            "SELECT j.id, r.recipe_id FROM runs r JOIN facts f ON f.idx = r.idx JOIN jobs j ON j.number = f.job"
            " WHERE f.position = 0 ORDER BY r.idx DESC LIMIT ?",
            (most,),
        )
        return [(JobId(id), recipe) for id, recipe in rows]

    def recipe(self, run: JobId) -> str:
        """Its name; empty if there is no such run."""
        row = self._db.execute(
            "SELECT r.recipe_id FROM jobs j JOIN facts f ON f.job = j.number AND f.position = 0"
            " JOIN runs r ON r.idx = f.idx WHERE j.id = ?",
            (run,),
        ).fetchone()
        return str(row[0]) if row else ""

    def snapshot(self, run: JobId, named: Digest) -> Snapshot | None:
        """The newest snapshot of a run whose page, or whose image, has this digest; None if none has."""
        # A run may have a hundred thousand of them: none but those that hold these characters are read.
        rows = self._db.execute(
            "SELECT l.entry FROM jobs j JOIN facts f ON f.job = j.number JOIN log l ON l.idx = f.idx"
            " WHERE j.id = ? AND f.kind = 'Snapshot' AND instr(l.entry, ?) > 0 ORDER BY f.position DESC",
            (run, named.encode()),
        )
        for (data,) in rows:
            fact = canonical.entry(data).fact
            if isinstance(fact, Snapshot) and named in (fact.page, fact.image):
                return fact
        return None

    def lists_read(self, run: JobId) -> tuple[ListRead, ...] | None:
        """The lists of a run that count, with their certificates; None if it has not ended."""
        rows = self._db.execute(
            "SELECT f.kind, l.entry FROM jobs j JOIN facts f ON f.job = j.number JOIN log l ON l.idx = f.idx"
            " WHERE j.id = ? AND f.kind IN ('RunStarted', 'Relogin', 'ListRead', 'Parked', 'RunEnded')"
            " ORDER BY f.position",
            (run,),
        ).fetchall()
        if not rows or rows[-1][0] != "RunEnded":
            return None
        return completeness.counting([canonical.entry(data).fact for _, data in rows])

    def at(self, index: int) -> datetime:
        """When an entry was logged."""
        (data,) = self._db.execute("SELECT entry FROM log WHERE idx = ?", (index,)).fetchone()
        return canonical.entry(data).at

    def _where(self, wanted: Wanted) -> tuple[list[str], list[object]]:
        told = {
            "s.state = ?": wanted.state and wanted.state.value,
            "d.format = ?": wanted.format,
            "d.run = ?": wanted.run,
            "d.key >= ?": wanted.key_begins,
            "d.key < ?": wanted.key_begins and wanted.key_begins + _LAST_CHARACTER,
        }
        where = [condition for condition, value in told.items() if value]
        values: list[object] = [value for value in told.values() if value]
        if wanted.erp:
            where.append(_RUNS_OF)
            values += [f"{wanted.erp}/", f"{wanted.erp}0"]  # `0` follows `/`
        if wanted.before is not None:
            (size,) = self._db.execute("SELECT size FROM tree").fetchone()
            where.append("s.idx < ?")
            values.append(bisect.bisect_left(range(size), wanted.before, key=self.at))
        return where, values


@contextmanager
def opened(path: Path) -> Iterator[Lists]:
    """Raises AgentError: there is no archive of a known version."""
    db = sqlite.connect(path)
    try:
        yield Lists(db)
    finally:
        db.close()


def _and(where: list[str]) -> str:
    return f" WHERE {' AND '.join(where)}" if where else ""


def _line(row: tuple[str, int, int, str, str, str, str]) -> Line:
    id, number, last, state, format, key, run = row
    return Line(id=JobId(id), number=number, last=last, state=State(state), format=format, key=key, run=JobId(run))
