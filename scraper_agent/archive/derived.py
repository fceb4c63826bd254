"""What lists, searches and sums of the archive read: index tables of its third version, derived from facts and bodies.

`found` and `amounts` are read from documents, so that they lose what a deleted body said when the index is rebuilt.
"""

from __future__ import annotations

import json
import sqlite3
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from scraper_agent import canonical, completeness
from scraper_agent.formats import FORMATS
from scraper_agent.mapping import CHINA_TIME
from scraper_agent.values import (
    Approval,
    Digest,
    Draft,
    Entry,
    Fact,
    Fault,
    JobId,
    ListRead,
    Parked,
    Receipt,
    Refused,
    RunEnded,
    RunStarted,
)

OF_RUN = """kind IN ('RunStarted', 'Refused', 'ListRead', 'Fault', 'SessionChecked', 'Relogin', 'Reached', 'Parked',
    'RunEnded')"""
"""The facts of a run that are few. As it stands in the index it must stand in a query that uses the index."""

NAMES = ("amounts", "days", "persons", "found")
TABLES = (
    # Of a Draft whose document has an amount that limits of approval are about.
    """CREATE TABLE amounts (
        idx INTEGER PRIMARY KEY REFERENCES documents (idx),
        currency TEXT NOT NULL,
        amount TEXT NOT NULL
    ) STRICT""",
    # What happened on a day of China: how often, and the sum of the amounts.
    """CREATE TABLE days (
        day TEXT NOT NULL,
        what TEXT NOT NULL,
        format TEXT NOT NULL,
        currency TEXT NOT NULL,
        number INTEGER NOT NULL,
        amount TEXT NOT NULL,
        PRIMARY KEY (day, what, format, currency)
    ) STRICT, WITHOUT ROWID""",
    # Whom a fact names; whoever started a run by the digest that the fact has.
    """CREATE TABLE persons (
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        idx INTEGER NOT NULL REFERENCES facts (idx),
        PRIMARY KEY (name, kind, idx)
    ) STRICT, WITHOUT ROWID""",
    # The texts of a document's header, folded.
    """CREATE TABLE found (
        value TEXT NOT NULL,
        job INTEGER NOT NULL REFERENCES jobs (number),
        PRIMARY KEY (value, job)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX facts_by_kind ON facts (kind)",
    f"CREATE INDEX facts_of_run ON facts (job, kind) WHERE {OF_RUN}",
)
EMPTY = tuple(f"DELETE FROM {name}" for name in NAMES)  # noqa: S608 - names of our own

OWN = frozenset(
    {
        "recordGuid",
        "schemaVersion",
        "erpSystemCode",
        "recipeId",
        "recipeVersion",
        "operatorAccountHash",
        "sourcePageDigest",
    }
)
"""Fields of the common header that say who read a document, and nothing that anybody looks for."""
LONGEST = 64
"""Characters of a text that can be searched for."""

Body = Callable[[Digest], bytes | None]
"""The bytes of a blob; None if they are not there or cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What is found and summed of a document."""

    texts: frozenset[str] = frozenset()
    amount: tuple[str, Decimal] | None = None
    """Currency and amount, as `mapping.amount` has them."""


def fold(text: str) -> str:
    """`text` as it is searched: without width, case and superfluous space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())[:LONGEST]


def content(data: bytes | None) -> Content:
    """Of the bytes of a document; nothing of what is no document.

    Left out are values that people may not see whole (`Field.masked`), codes, numbers and dates.
    """
    try:
        raw = json.loads(data or b"")
        name, header = raw["format"], dict(raw["header"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return Content()
    format = FORMATS.get(name) if isinstance(name, str) else None
    if format is None:
        return Content(texts=_texts(header.values()))
    known = format.header_fields
    searched = (
        value
        for id, value in header.items()
        if id not in OWN and ((of := known.get(id)) is None or not (of.masked or of.choices or of.type.holds != "text"))
    )
    amount = None
    currency = header.get(format.currency) if format.currency else ""
    if format.amount and isinstance(currency, str) and isinstance(stated := header.get(format.amount), str):
        try:
            amount = (currency, Decimal(stated))
        except InvalidOperation:
            amount = None
    return Content(texts=_texts(searched), amount=amount)


def _texts(values: Any) -> frozenset[str]:
    return frozenset(filter(None, (fold(value) for value in values if isinstance(value, str))))


def names(fact: Fact) -> Iterator[str]:
    """Whom the fact names: without `person:`; of who started a run the digest."""
    if isinstance(fact, RunStarted):
        yield fact.started_by
    for of in _naming(type(fact)):
        said = getattr(fact, of)
        if said.startswith("person:"):
            yield said.removeprefix("person:")


_BY = ("by", "withdrawn_by")
_naming_of: dict[type, tuple[str, ...]] = {
    kind: tuple(f.name for f in fields(kind) if f.name in _BY) for kind in canonical.KINDS.values()
}


def _naming(kind: type) -> tuple[str, ...]:
    return _naming_of[kind]


def counted(entry: Entry) -> str | None:
    """The word of `days` for it; None if it is not counted."""
    match entry.fact:
        case Draft(withdrawn_by=by):
            return "withdrawn" if by else "read"
        case Approval(granted=granted):
            return "approved" if granted else "declined"
        case Receipt(accepted=accepted):
            return "receipted" if accepted else "rejected"
        case RunStarted():
            return "run" if entry.position == 0 else "taken up"
        case RunEnded(complete=complete):
            return "complete" if complete else "incomplete"
        case Parked():
            return "parked"
        case ListRead() as read:
            return completeness.of(read).value
        case Fault():
            return "fault"
        case Refused():
            return "refused"
        case _:
            return None


COUNTED = ("Draft", "Approval", "Receipt", "RunStarted", "RunEnded", "Parked", "ListRead", "Fault", "Refused")


def sortable(moment: datetime) -> str:
    """As `canonical` writes it; the later, the greater."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def day(moment: datetime) -> str:
    return moment.astimezone(CHINA_TIME).date().isoformat()


def format_of(job: JobId) -> str:
    """The format of a document's job; empty for other jobs."""
    kind, _, rest = job.partition("/")
    return rest.partition("/")[0] if kind == "doc" else ""


def tell(db: sqlite3.Connection, entry: Entry, number: int, body: Body) -> None:
    """Write what these tables say of `entry`, whose rows in `facts` and `documents` are there."""
    fact = entry.fact
    for name in names(fact):
        db.execute("INSERT INTO persons VALUES (?, ?, ?)", (name, type(fact).__name__, entry.index))
    if isinstance(fact, Draft):
        _tell_document(db, entry.index, number, content(body(fact.document)))
    what = counted(entry)
    if what is not None:
        amount = _amount(db, number) if isinstance(fact, Draft | Approval | Receipt) else None
        _count(db, (day(entry.at), what, format_of(entry.job)), amount)


def _tell_document(db: sqlite3.Connection, index: int, number: int, of: Content) -> None:
    if of.amount is not None:
        db.execute("INSERT INTO amounts VALUES (?, ?, ?)", (index, of.amount[0], f"{of.amount[1]:f}"))
    # A version that withdraws an earlier one has its texts.
    db.executemany("INSERT OR IGNORE INTO found VALUES (?, ?)", ((text, number) for text in sorted(of.texts)))


AMOUNT = """SELECT a.currency, a.amount FROM facts f JOIN amounts a ON a.idx = f.idx
    WHERE f.job = ? ORDER BY f.position DESC LIMIT 1"""


def _amount(db: sqlite3.Connection, number: int) -> tuple[str, Decimal] | None:
    row = db.execute(AMOUNT, (number,)).fetchone()
    return (row[0], Decimal(row[1])) if row else None


def _count(db: sqlite3.Connection, at: tuple[str, str, str], amount: tuple[str, Decimal] | None) -> None:
    currency, value = amount or ("", None)
    key = (*at, currency)
    row = db.execute(
        "SELECT number, amount FROM days WHERE day = ? AND what = ? AND format = ? AND currency = ?", key
    ).fetchone()
    number, total = row or (0, "")
    if value is not None:
        total = f"{Decimal(total or 0) + value:f}"
    db.execute("INSERT OR REPLACE INTO days VALUES (?, ?, ?, ?, ?, ?)", (*key, number + 1, total))


TOLD = f"""SELECT l.entry, f.job FROM facts f JOIN log l ON l.idx = f.idx
    WHERE f.kind IN ({", ".join(f"'{kind}'" for kind in COUNTED)}) OR instr(l.entry, CAST('by":"person:' AS BLOB))
    ORDER BY f.idx"""  # noqa: S608 - names of our own classes
"""The entries that these tables say anything of, with their jobs' numbers."""


def remake(db: sqlite3.Connection, body: Body) -> None:
    """All of it, from the log and the bodies that are there."""
    for statement in EMPTY:
        db.execute(statement)
    for data, number in db.execute(TOLD).fetchall():
        tell(db, canonical.entry(data), number, body)
