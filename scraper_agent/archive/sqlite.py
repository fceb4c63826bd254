"""The archive in one SQLite file: the log, its Merkle tree, the blobs, and index tables derived from the facts.

WAL with synchronous=FULL: a commit is on the disk when it returns. `put` opens the transaction that the next `append`
commits, so a page and the fact that names it cost one fsync, and no crash leaves a fact without its blob, an entry
without its tree state, or an index that does not know an entry.

Only `log`, `tree`, `blobs` with their `keys`, and `openings` are the truth. `jobs`, `facts`, `documents`, `runs`,
`standing`, `tiles` and the tables of `derived` can be remade from the log and the bodies it names.
"""

from __future__ import annotations

import bisect
import contextlib
import json
import secrets
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, get_args

from scraper_agent import canonical, commitments, gcm, merkle, messages
from scraper_agent.archive import bodies, derived, ratchet, reached, tiles
from scraper_agent.archive.listed import Listed
from scraper_agent.errors import AgentError, Conflict
from scraper_agent.messages import N_
from scraper_agent.ports import Clock
from scraper_agent.values import (
    Attempt,
    Digest,
    DocumentFact,
    Draft,
    Enrolled,
    Entry,
    Erased,
    Fact,
    Job,
    JobId,
    Retry,
    RunStarted,
    State,
    state,
)

APPLICATION_ID = 0x53415243  # "SARC", in the file's header
SCHEMA = 5
WITHOUT_STANDING = 1
"""The version before there was the table `standing`."""
WITHOUT_LISTS = 2
"""The version before there were the tables of `derived`, and formats in `standing`."""
WITHOUT_OPENINGS = 3
"""The version before there was the table `openings`."""
WITHOUT_KEYS = 4
"""The version before there were the tables `keys` and `tiles`: bodies were kept plain."""

TABLES = (
    # `subtree` is the root of the largest complete subtree that ends with this entry. From these any past root and any
    # proof follow in log² steps, and checking them all costs one hash per entry (a root per row would cost log n).
    """CREATE TABLE log (
        idx INTEGER PRIMARY KEY,
        entry BLOB NOT NULL,
        subtree BLOB NOT NULL
    ) STRICT""",
    "CREATE TABLE tree (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, frontier BLOB NOT NULL) STRICT",
    # A job is numbered by the index of its first entry, so that job order is log order.
    "CREATE TABLE jobs (number INTEGER PRIMARY KEY REFERENCES log (idx), id TEXT NOT NULL UNIQUE) STRICT",
    """CREATE TABLE facts (
        idx INTEGER PRIMARY KEY REFERENCES log (idx),
        job INTEGER NOT NULL REFERENCES jobs (number),
        position INTEGER NOT NULL,
        kind TEXT NOT NULL,
        UNIQUE (job, position)
    ) STRICT""",
    """CREATE TABLE documents (
        idx INTEGER PRIMARY KEY REFERENCES facts (idx),
        run TEXT NOT NULL,
        format TEXT NOT NULL,
        key TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX documents_by_run ON documents (run)",
    "CREATE INDEX documents_by_key ON documents (key, format)",
    "CREATE TABLE runs (idx INTEGER PRIMARY KEY REFERENCES facts (idx), recipe_id TEXT NOT NULL) STRICT",
    "CREATE INDEX runs_by_recipe ON runs (recipe_id)",
)
OPENINGS = (
    # What opens the commitments to a document's fields, by their root (see `commitments`); `data` is deflated where
    # that made it shorter than `size`.
    "CREATE TABLE openings (root BLOB NOT NULL UNIQUE, size INTEGER NOT NULL, data BLOB NOT NULL) STRICT",
)
STANDING = (
    # Of each document its last fact: where it stands, and the time before which it is not to be sent; '' if there is
    # none.
    """CREATE TABLE standing (
        job INTEGER PRIMARY KEY REFERENCES jobs (number),
        idx INTEGER NOT NULL REFERENCES facts (idx),
        state TEXT NOT NULL,
        due TEXT NOT NULL,
        format TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX standing_by_state ON standing (state, idx)",
    "CREATE INDEX standing_by_format ON standing (format, state, idx)",
    "CREATE INDEX standing_open ON standing (due, job) WHERE state IN ('signed', 'unknown', 'delivered', 'waiting')",
    "CREATE INDEX facts_sent ON facts (idx) WHERE kind IN ('Attempt', 'Delivered', 'Retry', 'Receipt')",
)
EMPTY_INDEX = (
    *derived.EMPTY,
    "DELETE FROM standing",
    "DELETE FROM documents",
    "DELETE FROM runs",
    "DELETE FROM facts",
    "DELETE FROM jobs",
)

# max() makes the other columns those of the job's newest Draft among those asked for.
DOCUMENTS = """SELECT j.id, d.format, d.key, d.run,
    (SELECT l.kind FROM facts l WHERE l.job = f.job ORDER BY l.position DESC LIMIT 1), max(d.idx)
    FROM documents d JOIN facts f ON f.idx = d.idx JOIN jobs j ON j.number = f.job"""
DOCUMENT_JOBS = """SELECT DISTINCT j.id, f.job
    FROM documents d JOIN facts f ON f.idx = d.idx JOIN jobs j ON j.number = f.job"""
# Open is what is signed and has no end yet.
_DUE = """SELECT s.due, s.job, j.id FROM standing s INDEXED BY standing_open JOIN jobs j ON j.number = s.job
    WHERE s.state IN ('signed', 'unknown', 'delivered', 'waiting')"""
_BUT = "s.format NOT IN (SELECT value FROM json_each(?))"
DUE_AT = f"{_DUE} AND {_BUT} AND s.due = ? AND s.job > ? ORDER BY s.job LIMIT ?"
DUE_AFTER = f"{_DUE} AND {_BUT} AND s.due > ? AND s.due <= ? ORDER BY s.due, s.job LIMIT ?"
# Only what waits has a time.
NEXT_DUE = f"{_DUE} AND {_BUT} AND s.due > ? ORDER BY s.due LIMIT 1"
ANY_IN = f"SELECT EXISTS (SELECT 1 FROM standing s WHERE s.state = ? AND {_BUT})"  # noqa: S608 - all of it is ours
SENDS = """SELECT l.idx, l.entry FROM facts f INDEXED BY facts_sent JOIN log l ON l.idx = f.idx
    WHERE f.kind IN ('Attempt', 'Delivered', 'Retry', 'Receipt') ORDER BY f.idx DESC LIMIT ?"""
ATTEMPTS = """SELECT l.idx, l.entry FROM facts f INDEXED BY facts_sent JOIN log l ON l.idx = f.idx
    WHERE f.kind IN ('Attempt', 'Delivered', 'Retry', 'Receipt') AND f.kind = 'Attempt' ORDER BY f.idx DESC"""
SENDS_OF = """SELECT l.idx, l.entry FROM facts f INDEXED BY facts_sent
    JOIN jobs j ON j.number = f.job JOIN log l ON l.idx = f.idx
    WHERE f.kind IN ('Attempt', 'Delivered', 'Retry', 'Receipt')
    AND substr(j.id, 5, instr(substr(j.id, 5), '/') - 1) IN (SELECT value FROM json_each(?))
    ORDER BY f.idx DESC LIMIT ?"""
"""A document's job is called `doc/<format>/…`."""
IN_STATE = """SELECT j.id, s.idx FROM standing s JOIN jobs j ON j.number = s.job
    WHERE s.state = ? AND s.idx > ? AND s.idx < ? ORDER BY s.idx LIMIT ?"""
PAGE = 1000
"""So many documents are asked for at a time: the log may grow between two pages."""
FIRST_PAGE = 10
"""The first page is short, and each is twice as long as the one before: often only the first document is wanted."""
ERASURES = """SELECT l.idx, l.entry FROM facts f JOIN log l ON l.idx = f.idx
    WHERE f.kind = 'Erased' AND f.idx >= ? ORDER BY f.idx"""
RUNS = """SELECT DISTINCT j.id, j.number
    FROM runs r JOIN facts f ON f.idx = r.idx JOIN jobs j ON j.number = f.job"""


KEPT_JOBS = 2000
"""So many jobs a writer keeps in memory, those that were asked for last; it alone adds to them."""
KEPT_FACTS = 50
"""Jobs with more facts than this are read anew each time: runs, not documents."""


@dataclass(slots=True)
class _Kept:
    """A job as it was read, and its entries since."""

    number: int
    job: Job
    times: tuple[datetime, ...]
    new: list[tuple[int, bytes]]

    @property
    def length(self) -> int:
        return len(self.times) + len(self.new)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The tree after `size` entries: what a witness is shown."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentState:
    """One line of a list of documents. `format`, `key` and `run` are those of the newest Draft asked for."""

    id: JobId
    format: str
    key: str
    run: JobId
    last: str
    """Kind of the job's last fact, such as `Approval`."""


class SqliteArchive:
    """`ports.Archive` on one file. One writer at a time, and any number of readers beside it.

    `<path>.lock` stays behind; the lock is the operating system's and ends with the process, however that ends.
    `cipher`: of bodies that are put from now on; those that are there keep their own.

    Raises:
        AgentError: another process writes here; or the file is missing (read only), foreign, or from a newer version.
    """

    def __init__(
        self, path: Path, now: Clock, *, read_only: bool = False, cipher: gcm.Name = "aes-256-gcm"
    ) -> None:  # fmt: skip
        self.path = path
        self._cipher = cipher
        self._now = now
        self._read_only = read_only
        self._held = False  # within `together`
        self._lock = None if read_only else _lock(path)
        self._reached: reached.Reached | None = None
        """What the next commit makes durable; None if it adds no entry."""
        self._beside: reached.Writer | None = None
        self._ratchet: ratchet.Ratchet | None = None
        """None where entries have no MACs."""
        self._jobs: dict[JobId, _Kept] = {}
        """The one asked for last is the last."""
        self._tree: tuple[tuple[int, bytes], merkle.Frontier] | None = None
        """The row of `tree` as it was, and what it says."""
        self._erased: dict[Digest, int] = {}
        """The last entry that says so; read when it is first asked for."""
        self._erased_until = 0
        try:
            self._db = _connect_reader(path) if read_only else _connect_writer(path, cipher)
            if not read_only:
                try:
                    self._come_up_to()
                except BaseException:
                    self._db.close()
                    raise
        except BaseException:
            self._unlock()
            raise
        self.lists = Listed(self._db, self._read)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def read_only(self) -> bool:
        return self._read_only

    def close(self) -> None:
        """Also keeps the blobs put since the last `append`."""
        try:
            if self._db.in_transaction:
                with self._transaction():
                    pass
        finally:
            self._db.close()
            if self._beside is not None:
                self._beside.close()
            if self._ratchet is not None:
                self._ratchet.close()
            self._unlock()

    def _come_up_to(self) -> None:
        """Whether the log still has what it had; then the file beside it is kept up.

        Raises:
            AgentError: it is shorter.
        """
        try:
            known = reached.read(self.path)
        except (OSError, ValueError):
            known = None  # `log verify` tells; a power cut may have left it so
        size = self._state().size
        if known is not None and known.size > size:
            raise AgentError(
                "SA5034",
                N_("{path} has {size} entries, and had {known}: it lost some, or is an old copy"),
                hint=N_("restore the newest copy; if the loss is known and accepted, remove {file}"),
                path=self.path,
                size=size,
                known=known.size,
                file=reached.path_of(self.path),
            )
        if ratchet.path_of(self.path).exists():
            self._ratchet = ratchet.Ratchet(self.path, size)
        try:
            self._beside = reached.Writer(self.path)
        except OSError as error:
            raise _failed(self.path, error) from error

    # --- blobs ------------------------------------------------------------------------------------------------------

    def put(self, data: bytes, *, salted: bool = False) -> Digest:
        """Raises AgentError if the disk fails; the blobs put since the last `append` are then lost too."""
        if len(data) > bodies.LIMIT_BYTES:
            raise AgentError(
                "SA5011",
                N_("a body of {size} bytes cannot be archived; the limit is {limit} bytes"),
                size=len(data),
                limit=bodies.LIMIT_BYTES,
            )
        try:
            name, mark = bodies.known(self._db, data, salted=salted)
        except sqlite3.Error as error:
            raise _failed(self.path, error) from error
        if name is None:
            # Left open: a crash before the next append loses a blob that no fact names.
            with self._transaction(commit=False):
                name = bodies.keep(self._db, data, mark, self._cipher, salted=salted)
        return Digest(f"sm3:{name.hex()}")

    def get(self, digest: Digest) -> bytes:
        return self._body(digest)[0]

    def shown(self, digest: Digest) -> bytes:
        """A blob with the salt of its name before it, if it has one: the bytes whose SM3 is `digest`.

        Raises:
            AgentError: as of `get`.
        """
        return bodies.shown(*self._body(digest))

    def _body(self, digest: Digest) -> tuple[bytes, bytes | None]:
        row = bodies.row(self._db, bytes.fromhex(digest[4:]))
        if row is None:
            raise self._gone(digest)
        *_, key, salt = row
        if key is None:
            raise AgentError(
                "SA5098", N_("the key of body {digest} is missing: it cannot be read"), hint=_CHECK, digest=digest
            )
        data = bodies.opened(row)
        if data is None or bodies.name(data, salt) != row[0]:
            raise AgentError(
                "SA5010",
                N_("{path}: the bytes of body {digest} have been changed"),
                hint=_CHECK,
                path=self.path,
                digest=digest,
            )
        return data, salt

    def _gone(self, digest: Digest) -> AgentError:
        entry = self._erasure(digest)
        if entry is None or not isinstance(entry.fact, Erased):
            hint, values = N_("No entry says that it was erased: check the whole archive with `log verify`."), {}
        else:
            hint = N_(
                "Entry {index} says that {by} erased it on {day}: {reason} ({basis})."
                " The log still proves that it was there."
            )
            values = {
                "index": entry.index,
                "by": entry.fact.by.removeprefix("person:"),
                "day": derived.day(entry.at),
                "reason": messages.render(entry.fact.reason),
                "basis": messages.render(entry.fact.basis),
            }
        text = N_("{path}: body {digest} is not in the archive")
        return AgentError("SA5009", text, hint=hint, path=self.path, digest=digest, **values)

    def _erasure(self, digest: Digest) -> Entry | None:
        """The last entry that says that a body was erased."""
        rows = self._db.execute(ERASURES, (self._erased_until,)).fetchall()
        for index, data in rows:
            fact = self._read(index, data).fact
            if isinstance(fact, Erased):
                self._erased |= dict.fromkeys(fact.bodies, index)
            self._erased_until = index + 1
        index = self._erased.get(digest)
        return None if index is None else self._read(index, self._row(index)[0])

    def size_of(self, digest: Digest) -> int | None:
        """Bytes of a blob; None if it is not there."""
        row = self._db.execute("SELECT size FROM blobs WHERE digest = ?", (bytes.fromhex(digest[4:]),)).fetchone()
        return None if row is None else int(row[0])

    def erase(self, job: JobId, facts: Sequence[Erased], *, documents: bool, root: str | None = None) -> list[Entry]:
        """Append the facts and delete the bodies they name, as one; `wipe` then leaves no trace of them.

        `documents`: there are documents among them, so that what lists say of these goes as well, and what opens the
        commitments to their fields. `root`: of the commitments of which only the facts' fields go.

        Raises:
            AgentError: the disk failed; nothing was done.
        """
        gone = {digest for fact in facts for digest in fact.bodies}
        with self.together():
            made = [self.append(job, self.length(job), fact) for fact in facts]
            self.discard(gone)
            if root is not None:
                names = {name for fact in facts for name in fact.fields or ()}
                self._keep_openings(root, commitments.without(self.openings(root), names))
            elif documents:
                self._forget_openings(gone)
            if documents:
                derived.remake(self._db, partial(body, self._db))
        return made

    def discard(self, digests: Iterable[Digest]) -> None:
        """Delete bodies of which the log already says that they are erased."""
        with self._transaction():
            bodies.delete(self._db, [bytes.fromhex(digest[4:]) for digest in digests])

    def _forget_openings(self, documents: Collection[Digest]) -> None:
        drafts = self._db.execute(
            "SELECT l.idx, l.entry FROM facts f JOIN log l ON l.idx = f.idx WHERE f.kind = 'Draft'"
        )
        for index, data in drafts.fetchall():
            fact = self._read(index, data).fact
            if isinstance(fact, Draft) and fact.document in documents and fact.fields_root is not None:
                self._db.execute("DELETE FROM openings WHERE root = ?", (bytes.fromhex(fact.fields_root),))

    # --- commitments to fields --------------------------------------------------------------------------------------

    def commit(self, fields: Mapping[str, tuple[commitments.Holds, str]]) -> str:
        openings = commitments.made(fields, lambda: secrets.token_bytes(commitments.SALT_BYTES))
        root = commitments.root(openings)
        with self._transaction(commit=False):
            self._keep_openings(root, openings)
        return root

    def openings(self, root: str) -> tuple[commitments.Opening, ...]:
        """What opens these commitments; empty if it was deleted.

        Raises:
            AgentError: it has been changed.
        """
        row = self._db.execute("SELECT size, data FROM openings WHERE root = ?", (bytes.fromhex(root),)).fetchone()
        if row is None:
            return ()
        found = opened(*row)
        if found is None or commitments.root(found) != root:
            raise AgentError(
                "SA5087",
                N_("{path}: the fields that {root} stands for have been changed"),
                hint=_CHECK,
                path=self.path,
                root=root,
            )
        return found

    def _keep_openings(self, root: str, openings: Sequence[commitments.Opening]) -> None:
        data = commitments.dump(openings)
        row = (bytes.fromhex(root), len(data), bodies.pack(data))
        self._db.execute("INSERT OR REPLACE INTO openings VALUES (?, ?, ?)", row)

    def wipe(self) -> bool:
        """Overwrite on the disk what was deleted; False if somebody reads the archive, so that it is yet to be done.

        Deleted pages are zeros once the write-ahead log, which still has them as they were, is emptied.
        """
        busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    # --- the log ----------------------------------------------------------------------------------------------------

    def append(self, job: JobId, position: int, fact: Fact) -> Entry:
        """As `ports.Archive.append`. A Conflict changes nothing: blobs already put go with the next append.

        Raises:
            AgentError: the disk failed. Nothing of this append was kept, nor of the puts since the last one.
        """
        number, length = self._place(job)
        if position != length:
            raise _conflict(job, position, length)
        state = self._state()
        entry = Entry(index=state.size, at=self._now(), job=job, position=position, fact=fact)
        data = canonical.entry_bytes(entry)
        leaf = merkle.leaf(data)
        state = state.append(leaf)
        # One commit: a crash before it leaves neither entry nor blobs, a crash after it leaves all of them.
        with self._transaction():
            self._db.execute("INSERT INTO log VALUES (?, ?, ?)", (entry.index, data, state.peaks[-1]))
            if self._ratchet is not None:
                self._db.execute("INSERT INTO macs VALUES (?, ?)", (entry.index, self._ratchet.mac(entry.index, data)))
            row = state.size, state.dump()
            self._db.execute("UPDATE tree SET size = ?, frontier = ?", row)
            tiles.grow(self._db, state.size)
            _derive(self._db, entry, number)
            self._reached = reached.Reached(state.size, leaf)
            self._tree = row, state
            if (kept := self._jobs.get(job)) is not None:
                kept.new.append((entry.index, data))
        return entry

    def enrol(self, job: JobId, key: bytes, by: str) -> ratchet.Handed:
        """Give every entry a MAC from now on; what is returned is for who verifies, and is kept nowhere here.

        `key`: 32 bytes drawn by chance.

        Raises:
            AgentError: entries have MACs already, or the key's file cannot be made.
        """
        handed = ratchet.Handed(self._state().size, key)
        with self._transaction():
            self._db.execute(ratchet.TABLE)
        # A crash after this leaves a log that is sealed from here on, without the fact that says so.
        ratchet.begin(self.path, handed)
        self._ratchet = ratchet.Ratchet(self.path, handed.first)
        self.append(job, self.length(job), Enrolled(commitment=canonical.sm3(key).hex(), by=by))
        return handed

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._transaction():
            self._held = True
            try:
                yield
            finally:
                self._held = False

    def job(self, id: JobId) -> Job:
        return self._whole(id).job

    def last(self, id: JobId) -> Fact | None:
        """The job's newest fact, without reading the others."""
        row = self._db.execute(
            "SELECT l.idx, l.entry FROM jobs j JOIN facts f ON f.job = j.number JOIN log l ON l.idx = f.idx"
            " WHERE j.id = ? ORDER BY f.position DESC LIMIT 1",
            (id,),
        ).fetchone()
        return self._read(*row).fact if row else None

    def length(self, id: JobId) -> int:
        return self._place(id)[1]

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """The log from entry `start` on, read as it is consumed."""
        for row in self._db.execute("SELECT idx, entry FROM log WHERE idx >= ? ORDER BY idx", (start,)):
            yield self._read(*row)

    # --- lists ------------------------------------------------------------------------------------------------------

    def documents(
        self,
        *,
        run: JobId | None = None,
        format: str | None = None,
        key: str | None = None,
        key_begins: str | None = None,
    ) -> list[JobId]:
        where, values = _which(run, format, key, key_begins)
        rows = self._db.execute(f"{DOCUMENT_JOBS}{where} ORDER BY f.job", values)
        return [JobId(id) for id, _ in rows]

    def states(
        self,
        *,
        run: JobId | None = None,
        format: str | None = None,
        key: str | None = None,
        key_begins: str | None = None,
    ) -> list[DocumentState]:
        """The same documents in the same order, each with where it stands."""
        where, values = _which(run, format, key, key_begins)
        rows = self._db.execute(f"{DOCUMENTS}{where} GROUP BY f.job ORDER BY f.job", values)
        return [
            DocumentState(id=JobId(id), format=format, key=key, run=JobId(run), last=last)
            for id, format, key, run, last, _ in rows
        ]

    def in_state(self, wanted: State) -> Iterator[JobId]:
        """Documents that stand so now, by the age of their last fact. Those that change meanwhile may come or not."""
        last, size, page = -1, self._state().size, FIRST_PAGE
        while rows := self._db.execute(IN_STATE, (wanted, last, size, page)).fetchall():
            yield from (JobId(id) for id, _ in rows)
            last, page = rows[-1][1], min(2 * page, PAGE)

    def due(self, now: datetime, but_of: Callable[[], Collection[str]] = frozenset) -> Iterator[JobId]:
        """Open documents whose time has come, those that wait longest first; each once, whatever becomes of it.

        `but_of`: asked before each page for the formats that are passed over.
        """
        until, at, number, page = derived.sortable(now), "", -1, FIRST_PAGE
        while True:
            but = json.dumps(sorted(but_of()))
            rows = (
                self._db.execute(DUE_AT, (but, at, number, page)).fetchall()
                or self._db.execute(DUE_AFTER, (but, at, until, page)).fetchall()
            )
            if not rows:
                return
            yield from (JobId(id) for _, _, id in rows)
            (at, number, _), page = rows[-1], min(2 * page, PAGE)

    def next_due(self, now: datetime, but_of: Collection[str] = ()) -> datetime | None:
        """When the first document comes due that waits at `now`, but for those of some formats; None if none does."""
        row = self._db.execute(NEXT_DUE, (json.dumps(sorted(but_of)), derived.sortable(now))).fetchone()
        return datetime.fromisoformat(row[0]) if row else None

    def due_span(self) -> tuple[datetime, datetime] | None:
        """The first and the last time until which documents wait; None if none does until a certain time."""
        row = self._db.execute(
            "SELECT min(due), max(due) FROM standing WHERE state = ? AND due > ''", (State.WAITING,)
        ).fetchone()
        return (datetime.fromisoformat(row[0]), datetime.fromisoformat(row[1])) if row[0] else None

    def oldest(self, wanted: State) -> datetime | None:
        """Since when the first of those stands so that stand so now."""
        (index,) = self._db.execute("SELECT min(idx) FROM standing WHERE state = ?", (wanted,)).fetchone()
        return None if index is None else self._at(index)

    def older(self, wanted: State, moment: datetime) -> int:
        """How many have stood so since before `moment`."""
        first = bisect.bisect_left(range(self._state().size), moment, key=self._at)
        row = self._db.execute("SELECT count(*) FROM standing WHERE state = ? AND idx < ?", (wanted, first)).fetchone()
        return int(row[0])

    def any_in(self, *wanted: State, but_of: Collection[str] = ()) -> bool:
        """Whether any document stands so, but for those of some formats."""
        but = json.dumps(sorted(but_of))
        return any(self._db.execute(ANY_IN, (each, but)).fetchone()[0] for each in wanted)

    def counts(self) -> Counter[State]:
        """How many documents stand where."""
        rows = self._db.execute("SELECT state, count(*) FROM standing GROUP BY state")
        return Counter({State(name): count for name, count in rows})

    def sends(self, most: int, formats: Collection[str] | None = None) -> list[Entry]:
        """The newest attempts and what came of them, newest first; `formats`: of documents of these formats only."""
        if formats is None:
            return [self._read(*row) for row in self._db.execute(SENDS, (most,))]
        return [self._read(*row) for row in self._db.execute(SENDS_OF, (json.dumps(sorted(formats)), most))]

    def departed(self, since: datetime) -> list[JobId]:
        found: list[JobId] = []
        for row in self._db.execute(ATTEMPTS):  # from the newest on, as far as need be
            entry = self._read(*row)
            if entry.at < since:
                break
            if isinstance(entry.fact, Attempt) and entry.fact.number == 1:
                found.append(entry.job)
        return found

    def times(self, id: JobId) -> tuple[datetime, ...]:
        return self._whole(id).times

    def size(self) -> int:
        """How many entries the log has."""
        return self._state().size

    def changed(self, since: int) -> set[JobId]:
        """Jobs that have got facts since the log had so many entries."""
        query = "SELECT DISTINCT j.id FROM facts f JOIN jobs j ON j.number = f.job WHERE f.idx >= ?"
        return {JobId(id) for (id,) in self._db.execute(query, (since,))}

    def runs(self, *, recipe_id: str | None = None) -> list[JobId]:
        where, values = _where({"r.recipe_id =": recipe_id})
        rows = self._db.execute(f"{RUNS}{where} ORDER BY j.number", values)
        return [JobId(id) for id, _ in rows]

    # Of one run, for whoever watches it: none of these reads its facts.

    def kinds(self, id: JobId) -> Counter[str]:
        """How many facts of which kind a run has; without those that are many, of pages and files."""
        query = f"""SELECT f.kind, count(*) FROM facts f INDEXED BY facts_of_run
            WHERE f.job = (SELECT number FROM jobs WHERE id = ?) AND f.{derived.OF_RUN} GROUP BY f.kind"""  # noqa: S608
        return Counter(dict(self._db.execute(query, (id,))))

    def span(self, id: JobId) -> tuple[datetime, datetime]:
        """When a job that has facts had its first, and its newest."""
        query = "SELECT min(f.idx), max(f.idx) FROM jobs j JOIN facts f ON f.job = j.number WHERE j.id = ?"
        first, last = self._db.execute(query, (id,)).fetchone()
        return self._at(first), self._at(last)

    def newest(self, id: JobId, kind: str) -> Entry | None:
        """A job's newest fact of this kind."""
        row = self._db.execute(
            "SELECT l.idx, l.entry FROM jobs j JOIN facts f ON f.job = j.number JOIN log l ON l.idx = f.idx"
            " WHERE j.id = ? AND f.kind = ? ORDER BY f.position DESC LIMIT 1",
            (id, kind),
        ).fetchone()
        return self._read(*row) if row else None

    def documents_of(self, run: JobId) -> int:
        """How many documents a run read."""
        return int(self._db.execute("SELECT count(*) FROM documents WHERE run = ?", (run,)).fetchone()[0])

    def standing_of(self, run: JobId) -> Counter[State]:
        """Where the documents stand that a run read."""
        rows = self._db.execute(
            # A Draft is the first fact of its job, which is numbered by it.
            "SELECT s.state, count(*) FROM documents d JOIN standing s ON s.job = d.idx"
            " WHERE d.run = ? GROUP BY s.state",
            (run,),
        )
        return Counter({State(name): count for name, count in rows})

    def accounts(self) -> list[JobId]:
        """Jobs of ERPs' accounts that were ever stopped."""
        rows = self._db.execute("SELECT id FROM jobs WHERE id >= 'session/' AND id < 'session0' ORDER BY id")
        return [JobId(id) for (id,) in rows]

    def recipes(self) -> list[JobId]:
        """Jobs of recipes' approvals."""
        rows = self._db.execute("SELECT id FROM jobs WHERE id LIKE 'recipe/%' ORDER BY id")
        return [JobId(id) for (id,) in rows]

    def rebuild_index(self) -> None:
        """Remake the index tables and the tiles from the log, in one transaction."""
        self._jobs.clear()
        with self._transaction():
            tiles.remake(self._db)
            for statement in EMPTY_INDEX:
                self._db.execute(statement)
            for entry in self.entries():
                _derive(self._db, entry, self._place(entry.job)[0])

    # --- the tree ---------------------------------------------------------------------------------------------------

    def head(self, size: int | None = None) -> Head:
        """The tree now, or as it was after `size` entries."""
        state = self._state()
        if size is None or size == state.size:
            return Head(size=state.size, root=state.root)
        if not 0 <= size < state.size:
            raise ValueError(f"the log has never had {size} entries")
        return Head(size=size, root=self._range_root(0, size) if size else merkle.EMPTY)

    def inclusion(self, index: int) -> list[bytes]:
        """Proof that entry `index` is in the tree of `head()`; see `merkle.includes`."""
        return merkle.inclusion(index, self._state().size, self._range_root)

    def consistency(self, old: int) -> list[bytes]:
        """Proof that the first `old` entries are still what they were; see `merkle.extends`."""
        return merkle.consistency(old, self._state().size, self._range_root)

    def raw(self, index: int) -> bytes:
        """The bytes of an entry, as they are hashed."""
        return self._row(index)[0]

    def subtree(self, start: int, stop: int) -> bytes:
        """Root of entries start..stop-1 as a tree of their own."""
        return self._range_root(start, stop)

    def _range_root(self, start: int, stop: int) -> bytes:
        size = stop - start
        if stop & -stop == size:
            return self._row(stop - 1)[1]
        if size == 1:
            return merkle.leaf(self._row(start)[0])
        middle = start + (1 << (size - 1).bit_length() - 1)
        return merkle.pair(self._range_root(start, middle) + self._range_root(middle, stop))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _whole(self, id: JobId) -> _Kept:
        """A job with all its facts; of a document that is asked for again, only those since are read."""
        kept = self._jobs.pop(id, None)
        if kept is None:
            rows = self._db.execute(
                "SELECT l.idx, l.entry FROM jobs j JOIN facts f ON f.job = j.number JOIN log l ON l.idx = f.idx"
                " WHERE j.id = ? ORDER BY f.position",
                (id,),
            ).fetchall()
            kept = _Kept(rows[0][0] if rows else -1, Job(id=id), (), rows)
        if kept.new:
            read = [self._read(*row) for row in kept.new]
            job = Job(id=id, facts=(*kept.job.facts, *(entry.fact for entry in read)))
            kept = _Kept(kept.number, job, (*kept.times, *(entry.at for entry in read)), [])
        if not self._read_only and 0 < kept.length <= KEPT_FACTS:
            self._jobs[id] = kept
            if len(self._jobs) > KEPT_JOBS:
                del self._jobs[next(iter(self._jobs))]
        return kept

    def _place(self, job: JobId) -> tuple[int | None, int]:
        """The job's number, None if it is new, and how many facts it has."""
        if (kept := self._jobs.get(job)) is not None:
            return kept.number, kept.length
        try:
            row = self._db.execute(
                "SELECT j.number, f.position + 1 FROM jobs j JOIN facts f ON f.job = j.number"
                " WHERE j.id = ? ORDER BY f.position DESC LIMIT 1",
                (job,),
            ).fetchone()
        except sqlite3.Error as error:
            raise _failed(self.path, error) from error
        return row or (None, 0)

    def _state(self) -> merkle.Frontier:
        # The first statement of a writer opens its write-ahead log.
        try:
            row = self._db.execute("SELECT size, frontier FROM tree").fetchone()
            if self._tree is None or self._tree[0] != row:
                self._tree = row, merkle.Frontier.load(*row)
        except (sqlite3.Error, TypeError, ValueError) as error:
            raise _failed(self.path, error) from error
        return self._tree[1]

    def _row(self, index: int) -> tuple[bytes, bytes]:
        row = self._db.execute("SELECT entry, subtree FROM log WHERE idx = ?", (index,)).fetchone()
        if row is None:
            raise self._unreadable(index)
        return row[0], row[1]

    def _read(self, index: int, data: bytes) -> Entry:
        try:
            return canonical.entry(data)
        except (KeyError, TypeError, ValueError) as error:
            raise self._unreadable(index) from error

    def _at(self, index: int) -> datetime:
        return self._read(index, self._row(index)[0]).at

    def _unreadable(self, index: int) -> AgentError:
        return AgentError(
            "SA5012",
            N_("{path}: entry {index} cannot be read; it has been changed or deleted"),
            hint=_CHECK,
            path=self.path,
            index=index,
        )

    @contextmanager
    def _transaction(self, *, commit: bool = True) -> Iterator[None]:
        """Joins the open transaction or begins one; after any failure nothing since the last commit remains."""
        if self._read_only:
            raise AgentError("SA5005", N_("{path} is opened for reading only"), path=self.path)
        try:
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            yield
            if commit and not self._held:
                self._db.execute("COMMIT")
                self._note()
        except BaseException as error:
            # SQLite has already rolled back by itself after some errors, such as a full disk.
            self._reached = None
            self._jobs.clear()
            if self._ratchet is not None:
                self._ratchet.undone()
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise _failed(self.path, error) from error
            raise

    def _note(self) -> None:
        """What was committed is noted beside the archive; never before, and the disk is not waited for."""
        if self._reached is not None and self._beside is not None:
            with contextlib.suppress(OSError):
                self._beside.write(self._reached)
        self._reached = None
        if self._ratchet is not None:
            self._ratchet.committed()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()


def connect(path: Path) -> sqlite3.Connection:
    """A connection that can only read; nothing in the file is trusted.

    Raises:
        AgentError: there is no archive of a known version at `path`.
    """
    if not path.is_file():
        raise _missing(path)
    return _opened(path, "ro")


def _missing(path: Path) -> AgentError:
    return AgentError("SA5001", N_("{path}: there is no archive"), path=path)


def _connect_reader(path: Path) -> sqlite3.Connection:
    db = connect(path)
    if version(db) == SCHEMA:
        return db
    db.close()
    raise AgentError(
        "SA5014",
        N_("{path} is an archive of an earlier version"),
        hint=N_("`scraper-agent log reindex` brings it up to date; nothing of the log is changed"),
        path=path,
    )


def version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _connect_writer(path: Path, cipher: gcm.Name) -> sqlite3.Connection:
    db = _opened(path, "rwc")
    try:
        # Deleted blobs are overwritten (law may demand it); fullfsync is macOS's real fsync and does nothing elsewhere.
        for pragma in ("synchronous = FULL", "fullfsync = ON", "checkpoint_fullfsync = ON", "secure_delete = ON"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("PRAGMA foreign_keys = ON")
        (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode == "wal" and version(db) < SCHEMA:
            _upgrade(db, cipher)
    except (sqlite3.Error, KeyError, TypeError, ValueError) as error:
        db.close()
        raise _failed(path, error) from error
    if mode == "wal":
        return db
    db.close()
    raise AgentError(
        "SA5013",
        N_("{path}: SQLite cannot keep its write-ahead log here"),
        hint=N_("Put the archive on a local disk, not on a network share."),
        path=path,
    )


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise _failed(path, error) from error
    try:
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA cell_size_check = ON")
        if db.execute("SELECT 1 FROM sqlite_schema").fetchone() is None:
            if mode == "rwc":
                _create(db)
            elif not reached.is_noted(path):  # a writer begins it just now, or was ended in that
                raise _missing(path)
        _check_version(path, db)
    except (sqlite3.DatabaseError, KeyError, TypeError, ValueError) as error:
        db.close()
        undone = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY_ROLLBACK
        if mode == "ro" and undone and not reached.is_noted(path):  # its writer was ended in its first commit
            raise _missing(path) from error
        raise _failed(path, error) from error
    except BaseException:
        db.close()
        raise
    return db


def _create(db: sqlite3.Connection) -> None:
    # One transaction, version included: a crash in it leaves an empty file, which the next start fills.
    db.execute("BEGIN IMMEDIATE")
    for table in (*TABLES, *bodies.TABLES, *OPENINGS, *STANDING, *derived.TABLES, tiles.TABLE):
        db.execute(table)
    bodies.prepare(db)
    db.execute("INSERT INTO tree VALUES (1, 0, x'')")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA}")
    db.execute("COMMIT")


def _upgrade(db: sqlite3.Connection, cipher: gcm.Name) -> None:
    """Add what is missing; `standing` and the tables of `derived` are made anew, as the log has them.

    One transaction: a crash in it leaves the archive as it was. Of the plain bytes of bodies nothing stays behind.
    """
    before = version(db)
    db.execute("BEGIN IMMEDIATE")
    db.execute(f"PRAGMA user_version = {SCHEMA}")
    bodies.encrypt_all(db, cipher)
    if before <= WITHOUT_OPENINGS:
        for statement in OPENINGS:
            db.execute(statement)
    db.execute(tiles.TABLE)
    tiles.remake(db)
    if before < WITHOUT_OPENINGS:
        _make_lists(db)
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def _make_lists(db: sqlite3.Connection) -> None:
    for statement in ("DROP INDEX IF EXISTS facts_sent", "DROP TABLE IF EXISTS standing", *STANDING, *derived.TABLES):
        db.execute(statement)
    last = """SELECT l.entry, f.job FROM (SELECT job, max(position) AS position FROM facts GROUP BY job) n
        JOIN facts f ON f.job = n.job AND f.position = n.position JOIN log l ON l.idx = f.idx"""
    for data, number in db.execute(last):
        _stand(db, canonical.entry(data), number)
    for data, number in db.execute(derived.TOLD):
        derived.tell(db, canonical.entry(data), number, partial(body, db))


def _check_version(path: Path, db: sqlite3.Connection) -> None:
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise AgentError(
            "SA5004",
            N_("{path} is a database, but not an archive of scraper-agent"),
            hint=N_("Name another file in `archive.path` of the configuration."),
            path=path,
        )
    found = version(db)
    if found not in (WITHOUT_STANDING, WITHOUT_LISTS, WITHOUT_OPENINGS, WITHOUT_KEYS, SCHEMA):
        raise AgentError(
            "SA5003",
            N_("{path} has archive version {found}; this program knows version {known}"),
            hint=N_("Use the version of scraper-agent that wrote it, or a newer one."),
            path=path,
            found=found,
            known=SCHEMA,
        )


_GLANCE_S = 0.1
"""Longer than `being_written` holds the lock."""


def being_written(path: Path) -> bool:
    """Whether a process has the archive at `path` open for writing now."""
    lock_path = _lock_path(path)
    if not lock_path.exists():
        return False
    try:
        glance = sqlite3.connect(f"{lock_path.absolute().as_uri()}?mode=ro", uri=True, timeout=0, isolation_level=None)
    except sqlite3.Error:
        return False
    try:
        glance.execute("SELECT 1 FROM sqlite_schema").fetchone()
    except sqlite3.Error as error:
        return bool(error.sqlite_errorcode == sqlite3.SQLITE_BUSY)
    finally:
        glance.close()
    return False


def _lock_path(path: Path) -> Path:
    """Beside the file itself: whoever comes by a link meets the same lock."""
    path = path.resolve()
    return path.with_name(f"{path.name}.lock")


def _lock(path: Path) -> sqlite3.Connection:
    # A lock on the archive itself would keep readers out as well, and `fcntl` does not exist on Windows.
    lock_path = _lock_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = sqlite3.connect(lock_path, timeout=_GLANCE_S, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise _failed(lock_path, error) from error
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        lock.close()
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise _failed(lock_path, error) from error
        raise AgentError(
            "SA5002",
            N_("{path}: another process is writing to this archive"),
            hint=N_("Wait for the other scraper-agent, or end it. The lock ends with that process."),
            path=path,
        ) from None
    return lock


def _derive(db: sqlite3.Connection, entry: Entry, number: int | None) -> None:
    """Write what the index tables say of `entry`; `number` is its job's, None for the job's first fact."""
    if number is None:
        number = entry.index
        db.execute("INSERT INTO jobs VALUES (?, ?)", (number, entry.job))
    kind = type(entry.fact).__name__
    db.execute("INSERT INTO facts VALUES (?, ?, ?, ?)", (entry.index, number, entry.position, kind))
    match entry.fact:
        case Draft(run=run, format=format, key=key):
            db.execute("INSERT INTO documents VALUES (?, ?, ?, ?)", (entry.index, run, format, key))
        case RunStarted(recipe_id=recipe_id):
            db.execute("INSERT INTO runs VALUES (?, ?)", (entry.index, recipe_id))
        case _:
            pass
    _stand(db, entry, number)
    derived.tell(db, entry, number, partial(body, db))


def body(db: sqlite3.Connection, digest: Digest) -> bytes | None:
    """The bytes of a blob, unchecked; None if it is not there or cannot be read."""
    row = bodies.row(db, bytes.fromhex(digest[4:]), plain=version(db) <= WITHOUT_KEYS)
    return bodies.opened(row) if row else None


def opened(size: int, data: bytes) -> tuple[commitments.Opening, ...] | None:
    """A row of `openings`, its root unchecked; None if it is none."""
    whole = bodies.unpack(size, data)
    try:
        return None if whole is None else commitments.load(whole)
    except (ValueError, TypeError, RecursionError):
        return None


_CHECK = N_("Check the whole archive with `scraper-agent log verify` and restore it from a copy.")
_LAST_CHARACTER = "\U0010ffff"
_DOCUMENT_FACTS = get_args(DocumentFact)


def _stand(db: sqlite3.Connection, entry: Entry, number: int) -> None:
    """Where a document stands by its last fact; nothing for other jobs."""
    if isinstance(entry.fact, _DOCUMENT_FACTS):
        stands = state(Job(id=entry.job, facts=(entry.fact,)))
        due = entry.fact.not_before if isinstance(entry.fact, Retry) else None
        db.execute(
            "INSERT INTO standing VALUES (?, ?, ?, ?, ?) ON CONFLICT (job) DO UPDATE"
            " SET idx = excluded.idx, state = excluded.state, due = excluded.due",
            (number, entry.index, stands, "" if due is None else derived.sortable(due), derived.format_of(entry.job)),
        )


def _which(run: str | None, format: str | None, key: str | None, key_begins: str | None) -> tuple[str, list[str]]:
    """Of documents."""
    beyond = None if key_begins is None else f"{key_begins}{_LAST_CHARACTER}"
    return _where({"d.run =": run, "d.format =": format, "d.key =": key, "d.key >=": key_begins, "d.key <": beyond})


def _where(wanted: dict[str, str | None]) -> tuple[str, list[str]]:
    given = {comparison: value for comparison, value in wanted.items() if value is not None}
    clause = " AND ".join(f"{comparison} ?" for comparison in given)
    return (f" WHERE {clause}" if clause else ""), list(given.values())


def _conflict(job: JobId, position: int, length: int) -> Conflict:
    if position < length:
        return Conflict("SA5007", N_("job {job} already has a fact at position {position}"), job=job, position=position)
    return Conflict(
        "SA5008",
        N_("job {job} has {length} facts; position {position} would leave a gap"),
        job=job,
        length=length,
        position=position,
    )


def _failed(path: Path, error: Exception) -> AgentError:
    return AgentError(
        "SA5006",
        N_("{path}: the archive cannot be read or written: {error}"),
        hint=N_("Look for a full disk, missing rights or a damaged file; nothing already logged is lost."),
        path=path,
        error=error,
    )
