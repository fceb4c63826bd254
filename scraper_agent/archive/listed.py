"""Pages of lists and searches that take as long over 100,000 documents as over a hundred.

Every list is newest first; the next page begins `before` the last line of the one before it.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import islice

from scraper_agent import canonical
from scraper_agent.archive import derived
from scraper_agent.values import Entry, JobId, State

PAGE = 50
CANDIDATES = 2000
"""Of texts that begin as asked, so many are looked at."""

SENT = (State.UNKNOWN, State.DELIVERED, State.WAITING, State.DEAD, State.RECEIPTED, State.REJECTED, State.STOPPED)
_DIGEST = re.compile("[0-9a-f]{64}")
OF_RUN_KINDS = frozenset(derived.OF_RUN.split("'")[1::2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A document in a list."""

    id: JobId
    format: str
    key: str
    run: JobId
    state: State
    index: int
    """Of its last fact in the log; what `before` is about."""
    read_at: datetime
    changed_at: datetime
    amount: tuple[str, Decimal] | None
    """Currency and amount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What happened how often on a day of China, of one format and currency.

    `what`: of documents `read`, `withdrawn`, `approved`, `declined`, `receipted`, `rejected`; of runs `run`,
    `taken up`, `complete`, `incomplete`, `parked`; of lists `proved`, `plausible`, `unproved`; `fault` and `refused`.
    Only documents have a format, and a currency and amount if their format has one.
    """

    day: date
    what: str
    format: str
    currency: str
    number: int
    amount: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How many documents of a format stand so, and since when the one that stands so longest."""

    number: int
    oldest: datetime


class Listed:
    """The lists of one archive. `read` gives an entry by its index and bytes."""

    def __init__(self, db: sqlite3.Connection, read: Callable[[int, bytes], Entry]) -> None:
        self._db = db
        self._read = read

    # --- facts ------------------------------------------------------------------------------------------------------

    def facts(
        self,
        *,
        kinds: Collection[str] = (),
        person: str | None = None,
        job: JobId | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before: int | None = None,
        most: int = PAGE,
    ) -> list[Entry]:
        """The newest entries of these kinds (none: all), that name `person`, of this job, since and before a time.

        `before`: with a smaller index. A person is named by whatever they did and by the runs they started.
        """
        first = 0 if since is None else self.first_since(since)
        beyond = self._size() if until is None else self.first_since(until)
        span = (first, beyond if before is None else min(before, beyond))
        if job is not None:
            found = self._of_job(job, frozenset(kinds), person, span, most)
        elif person is not None:
            among = kinds or canonical.KINDS
            each = "SELECT idx FROM persons WHERE name = ? AND kind = ? AND idx >= ? AND idx < ? ORDER BY idx DESC"
            asked = [(name, kind, *span) for name in _called(person) for kind in among]
            found = [index for given in asked for index in self._some(each, given, most)]
        elif kinds:
            each = "SELECT idx FROM facts WHERE kind = ? AND idx >= ? AND idx < ? ORDER BY idx DESC"
            found = [i for kind in kinds for i in self._some(each, (kind, *span), most)]
        else:
            found = self._some("SELECT idx FROM log WHERE idx >= ? AND idx < ? ORDER BY idx DESC", span, most)
        return list(self._entries(sorted(found, reverse=True)[:most]))

    def _of_job(
        self, job: JobId, kinds: frozenset[str], person: str | None, span: tuple[int, int], most: int
    ) -> list[int]:
        row = self._db.execute("SELECT number FROM jobs WHERE id = ?", (job,)).fetchone()
        if row is None:
            return []
        named = ""
        if person is not None:
            named = (
                " AND EXISTS (SELECT 1 FROM persons p"
                " WHERE p.name IN (?, ?) AND p.kind = facts.kind AND p.idx = facts.idx)"
            )
        people = () if person is None else _called(person)
        if kinds and kinds <= OF_RUN_KINDS:
            each = (
                f"SELECT idx FROM facts INDEXED BY facts_of_run WHERE {derived.OF_RUN} AND job = ? AND kind = ?"  # noqa: S608
                f" AND idx >= ? AND idx < ?{named} ORDER BY idx DESC"
            )
            return [i for kind in kinds for i in self._some(each, (*row, kind, *span, *people), most)]
        among = f" AND kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
        each = f"SELECT idx FROM facts WHERE job = ? AND idx >= ? AND idx < ?{among}{named} ORDER BY position DESC"  # noqa: S608
        return self._some(each, (*row, *span, *kinds, *people), most)

    def first_since(self, moment: datetime) -> int:
        """Index of the first entry at or after `moment`; the log's size if there is none."""
        wanted, low, high = derived.sortable(moment), 0, self._size()
        while low < high:
            middle = (low + high) // 2
            if self._written_at(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return low

    def persons(self) -> list[str]:
        """Everybody whom a fact names by name."""
        return [name for name in self._each("persons", "name") if not _DIGEST.fullmatch(name)]

    # --- documents --------------------------------------------------------------------------------------------------

    def documents(
        self,
        *,
        states: Collection[State] = (),
        format: str | None = None,
        run: JobId | None = None,
        before: int | None = None,
        most: int = PAGE,
    ) -> list[Line]:
        """Those that stand so (none: anyhow) now, the one that changed last first."""
        beyond = self._size() if before is None else before
        among = states or tuple(State)
        found: list[tuple[int, int]] = []
        if run is not None:
            query = """SELECT DISTINCT s.idx, s.job FROM documents d JOIN facts f ON f.idx = d.idx
                JOIN standing s ON s.job = f.job
                WHERE d.run = ? AND s.idx < ? AND (? IS NULL OR s.format = ?)
                AND s.state IN (SELECT value FROM json_each(?)) ORDER BY s.idx DESC LIMIT ?"""
            listed = "[" + ",".join(f'"{each}"' for each in among) + "]"
            found = self._db.execute(query, (run, beyond, format, format, listed, most)).fetchall()
        elif format is None:
            query = "SELECT idx, job FROM standing WHERE state = ? AND idx < ? ORDER BY idx DESC LIMIT ?"
            for state in among:
                found += self._db.execute(query, (state, beyond, most))
        else:
            query = "SELECT idx, job FROM standing WHERE format = ? AND state = ? AND idx < ? ORDER BY idx DESC LIMIT ?"
            for state in among:
                found += self._db.execute(query, (format, state, beyond, most))
        return [self._line(job) for _, job in sorted(found, reverse=True)[:most]]

    def of(self, ids: Iterable[JobId]) -> list[Line]:
        """These documents, in this order; without those that are not there."""
        query = "SELECT j.number FROM jobs j JOIN standing s ON s.job = j.number WHERE j.id = ?"
        rows = (self._db.execute(query, (id,)).fetchone() for id in ids)
        return [self._line(row[0]) for row in rows if row]

    def search(self, text: str, *, most: int = PAGE) -> list[JobId]:
        """Documents of which a text of the header, such as the number or a name, is or begins with `text`.

        Those with the very text come first. Of many that begin so, not all are looked at.
        """
        wanted = derived.fold(text)
        if not wanted:
            return []
        named = "SELECT j.number FROM jobs j JOIN standing s ON s.job = j.number WHERE j.id = ?"
        if row := self._db.execute(named, (text.strip(),)).fetchone():
            return [self._job(row[0])]
        exact = self._some("SELECT job FROM found WHERE value = ? ORDER BY job DESC", (wanted,), most)
        begins = "SELECT job FROM found WHERE value > ? AND value < ?"
        others = sorted(set(self._some(begins, (wanted, f"{wanted}\U0010ffff"), CANDIDATES)) - set(exact), reverse=True)
        return [self._job(number) for number in islice((*exact, *others), most)]

    def standing(self) -> dict[tuple[State, str], Standing]:
        """By state and format."""
        query = """SELECT state, format, count(*), min(idx) FROM standing INDEXED BY standing_by_format
            GROUP BY format, state"""
        return {
            (State(state), format): Standing(number=number, oldest=self._at(index))
            for state, format, number, index in self._db.execute(query)
        }

    def sends(self, formats: Collection[str], most: int) -> list[Entry]:
        """As `ports.Archive.sends`, for formats that few documents may have: of those that changed last."""
        changed = [line for format in formats for line in self.documents(states=SENT, format=format, most=most)]
        changed.sort(key=lambda line: line.index, reverse=True)
        query = """SELECT idx FROM facts WHERE job = (SELECT number FROM jobs WHERE id = ?)
            AND kind IN ('Attempt', 'Delivered', 'Retry', 'Receipt') ORDER BY position DESC"""
        found = [index for line in changed[:most] for index in self._some(query, (line.id,), most)]
        return list(self._entries(sorted(found, reverse=True)[:most]))

    # --- runs and days ----------------------------------------------------------------------------------------------

    def recipes(self) -> list[str]:
        """Recipes that ever ran."""
        return list(self._each("runs", "recipe_id"))

    def runs(self, recipe_id: str, *, most: int = PAGE) -> list[JobId]:
        """Its newest runs."""
        query = """SELECT DISTINCT f.job FROM runs r JOIN facts f ON f.idx = r.idx WHERE r.recipe_id = ?
            AND f.position = 0 ORDER BY r.idx DESC LIMIT ?"""
        return [self._job(number) for (number,) in self._db.execute(query, (recipe_id, most)).fetchall()]

    def days(self, since: date) -> list[Day]:
        """From the day `since` on, oldest first."""
        query = "SELECT day, what, format, currency, number, amount FROM days WHERE day >= ? ORDER BY day"
        return [
            Day(
                day=date.fromisoformat(day),
                what=what,
                format=format,
                currency=currency,
                number=number,
                amount=Decimal(amount) if amount else None,
            )
            for day, what, format, currency, number, amount in self._db.execute(query, (since.isoformat(),))
        ]

    # --- inside -----------------------------------------------------------------------------------------------------

    def _size(self) -> int:
        return int(self._db.execute("SELECT size FROM tree").fetchone()[0])

    def _some(self, query: str, given: tuple[object, ...], most: int) -> list[int]:
        return [index for (index,) in self._db.execute(f"{query} LIMIT ?", (*given, most))]

    def _each(self, table: str, column: str) -> Iterator[str]:
        """The different values, by one step through the index for each."""
        query = f"SELECT min({column}) FROM {table} WHERE {column} > ?"  # noqa: S608 - names of our own
        value = ""
        while (value := self._db.execute(query, (value,)).fetchone()[0]) is not None:
            yield value

    def _entries(self, indexes: Iterable[int]) -> Iterator[Entry]:
        for index in indexes:
            yield self._read(index, self._db.execute("SELECT entry FROM log WHERE idx = ?", (index,)).fetchone()[0])

    def _written_at(self, index: int) -> str:
        # Canonical form sorts its keys, so that every entry begins with its time.
        row = self._db.execute("SELECT CAST(substr(entry, 8, 27) AS TEXT) FROM log WHERE idx = ?", (index,)).fetchone()
        return str(row[0])

    def _at(self, index: int) -> datetime:
        return datetime.fromisoformat(self._written_at(index))

    def _job(self, number: int) -> JobId:
        return JobId(self._db.execute("SELECT id FROM jobs WHERE number = ?", (number,)).fetchone()[0])

    def _line(self, number: int) -> Line:
        query = """SELECT j.id, d.format, d.key, d.run, s.state, s.idx, a.currency, a.amount
            FROM standing s JOIN jobs j ON j.number = s.job JOIN facts f ON f.job = s.job
            JOIN documents d ON d.idx = f.idx LEFT JOIN amounts a ON a.idx = d.idx
            WHERE s.job = ? ORDER BY f.position DESC LIMIT 1"""
        id, format, key, run, state, index, currency, amount = self._db.execute(query, (number,)).fetchone()
        return Line(
            id=JobId(id),
            format=format,
            key=key,
            run=JobId(run),
            state=State(state),
            index=index,
            read_at=self._at(number),
            changed_at=self._at(index),
            amount=None if amount is None else (currency, Decimal(amount)),
        )


def _called(person: str) -> tuple[str, str]:
    """As facts name them: by name, and who started a run by the digest of it."""
    return person, canonical.sm3(person.encode()).hex()
