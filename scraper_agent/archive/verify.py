"""The whole archive recomputed, trusting nothing in the file, and every difference named.

What cannot be found here: entries cut from the end together with the head, and a log rewritten as a whole with all its
hashes. Both give a file that agrees with itself. Only a head kept elsewhere (a receipt, a witness) shows them: compare
it with `SqliteArchive.head(size)`.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeAlias

from scraper_agent import canonical, commitments, merkle, messages
from scraper_agent.archive import bodies as stored
from scraper_agent.archive import derived, reached, sqlite, tiles
from scraper_agent.messages import N_

PROBLEM_LIMIT = 1000
BLOCK = 256  # rows at a time: a complete subtree, except for the last; small enough for the processor's cache

Peaks: TypeAlias = dict[int, bytes | None]
"""The roots of a frontier by their number of leaves; None where the log no longer tells. Only the 1 bits of the size
count: what smaller subtrees leave behind is not looked at again before it is replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One difference. `index` is the entry it is about; None if it is about no single one."""

    code: str
    index: int | None
    text: str
    values: Mapping[str, object]

    def __str__(self) -> str:
        return f"{self.code} {messages.render(self.text, self.values)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was checked and what is wrong. `head` is the one stored; it is the log's own if there is no problem."""

    entries: int
    jobs: int
    blobs: int | None
    """None if bodies were not checked."""
    head: sqlite.Head | None
    problems: tuple[Problem, ...]
    erased: int = 0
    """Bodies that are not there because the log says that they were erased."""

    @property
    def whole(self) -> bool:
        return not self.problems


@dataclass(slots=True)
class _Found:
    """Problems, in the order in which they are found, up to a limit."""

    problems: list[Problem] = field(default_factory=list)

    def add(self, code: str, index: int | None, text: str, /, **values: object) -> None:
        if len(self.problems) < PROBLEM_LIMIT:
            self.problems.append(Problem(code=code, index=index, text=text, values={"index": index, **values}))
        elif len(self.problems) == PROBLEM_LIMIT:
            text = N_("there are more than {limit} problems; the others are not listed")
            self.problems.append(Problem(code="SA5031", index=None, text=text, values={"limit": PROBLEM_LIMIT}))


def verify(path: Path, *, bodies: bool = True, hashed: Callable[[int], None] = lambda _: None) -> Report:
    """Everything in the archive at `path`, read only, as of one moment; a writer may go on meanwhile.

    Without `bodies`, the blobs, what lists say of them and the structure of the file are left out: the log alone, at
    the speed of hashing it. `hashed` is told how many entries are, now and then.

    Raises:
        AgentError: there is no archive of a known version at `path`.
    """
    found = _Found()
    entries = jobs = 0
    blobs: int | None = None
    erased = 0
    head: sqlite.Head | None = None
    known = _reached(path, found)  # first: a writer may go on, and the log never gets shorter
    with closing(sqlite.connect(path)) as db:
        try:
            db.execute("BEGIN")
            state = _stored_state(db)
            entries, doubtful = _log(db, state, found, hashed)
            head = sqlite.Head(size=state.size, root=state.root) if state else None
            jobs = _index(db, doubtful, found)
            _compared(db, known, entries, found)
            if bodies:
                _structure(db, found)
                blobs = _blobs(db, found)
                erasures = _erasures(db)
                erased = _named_blobs(db, erasures.bodies, found)
                _fields(db, erasures, found)
                _lists(db, found)
        except sqlite3.DatabaseError as error:
            found.add("SA5030", None, N_("the database file is damaged: {error}"), error=str(error))
    return Report(entries=entries, jobs=jobs, blobs=blobs, head=head, problems=tuple(found.problems), erased=erased)


def _reached(path: Path, found: _Found) -> reached.Reached | None:
    try:
        return reached.read(path)
    except (OSError, ValueError) as error:
        found.add("SA5032", None, N_("{file} cannot be read: {error}"), file=reached.path_of(path), error=str(error))
        return None


def _compared(db: sqlite3.Connection, known: reached.Reached | None, entries: int, found: _Found) -> None:
    if known is None or known.size == 0:
        return
    if known.size > entries:
        text = N_("the log has {size} entries, and had {known}: it lost some, or is an old copy")
        found.add("SA5033", None, text, size=entries, known=known.size)
        return
    (entry,) = db.execute("SELECT entry FROM log WHERE idx = ?", (known.size - 1,)).fetchone() or (b"",)
    if not isinstance(entry, bytes) or merkle.leaf(entry) != known.leaf:
        text = N_("entry {index} is not the one that was noted beside the archive when it was made")
        found.add("SA5035", known.size - 1, text)


# --- the log against its tree ---------------------------------------------------------------------------------------


def _log(
    db: sqlite3.Connection, state: merkle.Frontier | None, found: _Found, hashed: Callable[[int], None]
) -> tuple[int, list[int]]:
    """(number of entries, those whose index rows may differ); names what is wrong with the log itself."""
    made, whole, count, doubtful = merkle.Frontier(), True, 0, []
    kept = _Tiles(db) if sqlite.version(db) > sqlite.WITHOUT_KEYS else None
    rows = db.execute(ROWS)
    while block := rows.fetchmany(BLOCK):
        indexes, entries, subtrees, *_ = zip(*block, strict=True)
        if whole:
            whole = indexes == tuple(range(count, count + len(block))) and _are_bytes(entries)
        if whole:
            made, levels, whole = _hashed(made, entries, subtrees)
            if whole and kept is not None and len(levels[0]) == tiles.WIDTH:
                kept.compare(levels)
        count += len(block)
        doubtful += _doubtful(db, block)
        hashed(count)
    if not whole or made != state:
        before = len(found.problems)
        _walk(db, state, found)
        if len(found.problems) == before:
            _wrong_head(state, made.size, found)
    elif kept is not None:
        kept.tell(found)
    return count, doubtful


def _are_bytes(values: Iterable[object]) -> bool:
    """A flipped bit may make something else of them, whatever the table says."""
    return set(map(type, values)) <= {bytes}


class _Tiles:
    """The tiles of the archive against those that its entries make."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._above = tiles.Growing()
        self._blocks = self._right = self._missing = 0

    def compare(self, levels: Sequence[Sequence[bytes]]) -> None:
        """With the next 256 leaves, as `merkle.complete` has them."""
        *below, (root,) = levels
        self._one(0, self._blocks, b"".join(each for level in below for each in level))
        self._blocks += 1
        for level, index, hashes in self._above.add([root]):
            self._one(level + 1, index, hashes)

    def _one(self, level: int, index: int, hashes: bytes) -> None:
        if tiles.read(self._db, level, index) == hashes:
            self._right += 1
        else:
            self._missing += 1

    def tell(self, found: _Found) -> None:
        (there,) = self._db.execute("SELECT count(*) FROM tiles").fetchone()
        if self._missing or there != self._right:
            text = N_("{count} tile(s) of the tree are not those of the log; `scraper-agent log reindex` remakes them")
            found.add("SA5036", None, text, count=max(self._missing, there - self._right))


def _hashed(
    state: merkle.Frontier, entries: Iterable[bytes], subtrees: Sequence[bytes]
) -> tuple[merkle.Frontier, list[Sequence[bytes]], bool]:
    """The frontier with these entries, their complete subtrees, and whether every row's hash is the one stored."""
    leaves = list(map(merkle.leaf, entries))
    levels = merkle.complete(leaves)
    for leaf_count, root in merkle.peaks(levels, len(leaves)):
        state = state.append(root, leaf_count)
    # Level k gives the hashes of rows 2**k - 1, then every 2**(k + 1)-th; a whole block's last row is its new peak.
    agrees = all(
        list(subtrees[(1 << k) - 1 :: 2 << k]) == list(level[::2]) for k, level in enumerate(levels) if 1 << k < BLOCK
    )
    return state, levels, agrees and (len(leaves) < BLOCK or subtrees[-1] == state.peaks[-1])


def _walk(db: sqlite3.Connection, state: merkle.Frontier | None, found: _Found) -> None:
    """Row by row, to name what is wrong. After each wrong row the walk goes on from the hashes stored with it."""
    size = 0
    stored: Peaks = {}
    made: Peaks = {}  # differs from `stored` where a row failed, so that its neighbours are not accused too
    for index, *row in db.execute("SELECT idx, entry, subtree FROM log ORDER BY idx"):
        entry, subtree = (each if isinstance(each, bytes) else b"" for each in row)  # which no entry and no hash is
        if index > size:
            _missing(size, index - 1, found)
            stored, made = _skipped(stored, size, index), _skipped(made, size, index)
        own = _parsed(entry).get("index", index)
        if index < 0 or own != index:
            found.add("SA5022", index, N_("row {index} of the log holds entry {found}"), found=own)
        if index < 0:
            continue
        told, computed = _told_and_computed(index, entry, subtree, (stored, made))
        if told != computed and own == index:
            found.add("SA5023", index, N_("entry {index}, or the tree hash stored with it, has been changed"))
        size = index + 1
        stored, made = _pushed(stored, size, told), _pushed(made, size, computed)
    _check_head(state, size, stored, made, found)


def _told_and_computed(
    index: int, entry: bytes, subtree: bytes, peaks: tuple[Peaks, Peaks]
) -> tuple[bytes | None, bytes | None]:
    """The row's subtree hash, as stored and as computed: equal where the row is right or nothing is known."""
    if _parsed(entry).get("index", index) != index:
        return None, None  # another entry stands here, and maybe with its own hash
    by_stored, by_made = (_folded(known, index, merkle.leaf(entry)) for known in peaks)
    return subtree, subtree if by_stored in (None, subtree) else by_made


def _check_head(state: merkle.Frontier | None, size: int, stored: Peaks, made: Peaks, found: _Found) -> None:
    if state is None or state.size < size:
        _wrong_head(state, size, found)
    elif state.size > size:
        _missing(size, state.size - 1, found)
    else:
        bits = [1 << k for k in reversed(range(size.bit_length())) if size >> k & 1]
        for bit, peak in zip(bits, state.peaks, strict=True):
            if stored[bit] is not None and peak not in (stored[bit], made[bit]):
                _wrong_head(state, size, found)
                return


def _folded(peaks: Peaks, size: int, root: bytes | None) -> bytes | None:
    """Root of the largest complete subtree that a leaf appended at `size` completes."""
    bit = 1
    while size & bit:
        left = peaks[bit]
        root = None if left is None or root is None else merkle.pair(left + root)
        bit <<= 1
    return root


def _pushed(peaks: Peaks, size: int, root: bytes | None) -> Peaks:
    """The peaks after the append that made the log `size` long and completed the subtree `root`."""
    return peaks | {size & -size: root}


def _skipped(peaks: Peaks, size: int, to: int) -> Peaks:
    """The peaks after the entries from `size` to `to - 1`, which are missing: known only if complete before them."""
    changed = 1 << (size ^ to).bit_length()
    bits = (1 << k for k in range(to.bit_length()) if to >> k & 1)
    return {bit: peaks[bit] if bit >= changed else None for bit in bits}


def _parsed(entry: bytes) -> dict[str, Any]:
    """The entry as JSON; empty if it no longer is that."""
    try:
        parsed = json.loads(entry)
    except (TypeError, ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _missing(first: int, last: int, found: _Found) -> None:
    if first == last:
        found.add("SA5020", first, N_("entry {index} is missing"))
    else:
        found.add("SA5021", first, N_("entries {index} to {last} are missing"), last=last)


def _wrong_head(state: merkle.Frontier | None, size: int, found: _Found) -> None:
    found.add(
        "SA5024",
        None,
        N_("the stored head (size {stored}, root {root}) is not that of the log, which has {size} entries"),
        stored=state.size if state else "?",
        root=state.root.hex() if state else "?",
        size=size,
    )


def _stored_state(db: sqlite3.Connection) -> merkle.Frontier | None:
    try:
        size, frontier = db.execute("SELECT size, frontier FROM tree").fetchone()
        return merkle.Frontier.load(size, frontier) if isinstance(size, int) else None
    except (TypeError, ValueError):
        return None


# --- the index tables against the log -------------------------------------------------------------------------------


# Canonical form sorts its keys, so that every entry ends with what `jobs` and `facts` must say of it. A job id that
# JSON escapes does not agree here, and is then compared in full.
ROWS = """SELECT idx, entry, subtree, kind IN ('Draft', 'RunStarted'), substr(entry, -length(tail)) = tail FROM (
    SELECT l.idx, l.entry, l.subtree, f.kind, CAST(
        ',"index":' || l.idx || ',"job":"' || j.id || '","kind":"' || f.kind || '","position":' || f.position || '}'
        AS BLOB) AS tail
    FROM log l LEFT JOIN facts f ON f.idx = l.idx LEFT JOIN jobs j ON j.number = f.job ORDER BY l.idx)"""
DETAILS = {
    "Draft": ("documents", "SELECT idx, run, format, key FROM documents WHERE idx BETWEEN ? AND ?"),
    "RunStarted": ("runs", "SELECT idx, recipe_id FROM runs WHERE idx BETWEEN ? AND ?"),
}


def _doubtful(db: sqlite3.Connection, block: Sequence[Any]) -> list[int]:
    """Entries whose index rows do not obviously say what the entry says; cheap, and never misses one."""
    doubtful = {index for index, _, _, _, agrees in block if not agrees}
    expected = {(row[0], *(_details(_parsed(row[1])) or ())) for row in block if row[3]}
    for _, query in DETAILS.values():
        expected ^= set(db.execute(query, (block[0][0], block[-1][0])))
    return sorted(doubtful | {row[0] for row in expected})


def _details(entry: Mapping[str, Any]) -> tuple[str, ...] | None:
    """What `documents` or `runs` must say of an entry; None if nothing."""
    match entry:
        case {"kind": "Draft", "fact": {"run": run, "format": format, "key": key}}:
            return (run, format, key)
        case {"kind": "RunStarted", "fact": {"recipe_id": recipe_id}}:
            return (recipe_id,)
        case _:
            return None


def _index(db: sqlite3.Connection, doubtful: Iterable[int], found: _Found) -> int:
    """The number of jobs. Names the index rows that differ from the log, unless the log's own row is at fault."""
    wrong = {problem.index for problem in found.problems}
    for index in doubtful:
        if index not in wrong:
            _compare(db, index, found)
    (jobs,) = db.execute("SELECT count(*) FROM jobs").fetchone()
    if not found.problems:
        # Each of these leans on what has been found to be true before it.
        _strays(db, found)
    if not found.problems:
        _positions(db, found)
    if not found.problems and sqlite.version(db) != sqlite.WITHOUT_STANDING:
        _standing(db, found)
    return int(jobs)


def _compare(db: sqlite3.Connection, index: int, found: _Found) -> None:
    row = db.execute("SELECT entry FROM log WHERE idx = ?", (index,)).fetchone()
    entry = _parsed(row[0]) if row else {}
    if entry.get("index") != index:
        found.add("SA5022", index, N_("row {index} of the log holds entry {found}"), found=entry.get("index"))
        return
    place = tuple(entry.get(name) for name in ("job", "position", "kind"))
    query = "SELECT j.id, f.position, f.kind FROM facts f LEFT JOIN jobs j ON j.number = f.job WHERE f.idx = ?"
    _told("facts", index, place, db.execute(query, (index,)).fetchone(), found)
    for kind, (table, details) in DETAILS.items():
        row = db.execute(details, (index, index)).fetchone()
        _told(table, index, _details(entry) if entry.get("kind") == kind else None, row and row[1:], found)


def _told(table: str, index: int, expected: object, listed: object, found: _Found) -> None:
    if listed != expected:
        found.add(
            "SA5026",
            index,
            N_("index table {table} says {found} of entry {index}, which gives {expected}"),
            table=table,
            found=listed,
            expected=expected,
        )


# The log has been found to be 0, 1, 2 … without a gap.
STRAYS = {
    "facts": "SELECT idx FROM facts WHERE idx < 0 OR idx > (SELECT max(idx) FROM log)",
    "documents": "SELECT idx FROM documents WHERE idx < 0 OR idx > (SELECT max(idx) FROM log)",
    "runs": "SELECT idx FROM runs WHERE idx < 0 OR idx > (SELECT max(idx) FROM log)",
    "jobs": "SELECT j.number FROM jobs j LEFT JOIN facts f ON f.idx = j.number"
    " WHERE f.job IS NOT j.number OR f.position <> 0",
}


def _strays(db: sqlite3.Connection, found: _Found) -> None:
    for table, query in STRAYS.items():
        for (index,) in db.execute(query):
            found.add("SA5027", index, N_("index table {table} has a row {index} that no entry gives"), table=table)


# What `standing` must say, by the last fact alone. Canonical form has no spaces, and escapes quotes within a text.
STANDING = """SELECT s.idx, s.state, s.due, f.idx, f.state, f.due FROM (
    SELECT f.job, f.idx, CASE f.kind
        WHEN 'Draft' THEN 'read'
        WHEN 'Verdict' THEN iif(instr(l.entry, CAST('"severity":"error"' AS BLOB)), 'blocked', 'held')
        WHEN 'Approval' THEN iif(instr(l.entry, CAST('"granted":true' AS BLOB)), 'approved', 'declined')
        WHEN 'Envelope' THEN 'signed' WHEN 'Attempt' THEN 'unknown' WHEN 'Delivered' THEN 'delivered'
        WHEN 'Retry' THEN 'waiting' WHEN 'DeadLetter' THEN 'dead'
        WHEN 'Receipt' THEN iif(instr(l.entry, CAST('"accepted":true' AS BLOB)), 'receipted', 'rejected')
        WHEN 'Failure' THEN 'stopped'
        WHEN 'Endorsed' THEN 'held' WHEN 'Held' THEN 'on_hold' WHEN 'Released' THEN 'read'
        WHEN 'Excluded' THEN iif(instr(l.entry, CAST('"kept_back":true' AS BLOB)), 'on_hold', 'read') END AS state,
        iif(f.kind = 'Retry' AND instr(l.entry, CAST('"not_before":"' AS BLOB)),
            CAST(substr(l.entry, instr(l.entry, CAST('"not_before":"' AS BLOB)) + 14, 27) AS TEXT), '') AS due
    FROM facts f JOIN log l ON l.idx = f.idx WHERE f.idx IN (SELECT max(idx) FROM facts GROUP BY job)) f
    LEFT JOIN standing s ON s.job = f.job
    WHERE (f.state IS NOT NULL OR s.job IS NOT NULL) AND (s.idx, s.state, s.due) IS NOT (f.idx, f.state, f.due)"""
STRAY_STANDING = "SELECT job FROM standing WHERE job NOT IN (SELECT job FROM facts)"


def _standing(db: sqlite3.Connection, found: _Found) -> None:
    for row in db.execute(STANDING):
        _told("standing", row[3], row[3:], row[:3], found)
    for (index,) in db.execute(STRAY_STANDING):
        found.add("SA5027", index, N_("index table {table} has a row {index} that no entry gives"), table="standing")


# As of one moment: tables of the same name in the connection's own temporary database, filled by the code that fills
# them while the log grows.
_REMADE = tuple(
    table.replace("CREATE TABLE", "CREATE TEMP TABLE") for table in derived.TABLES if table.startswith("CREATE TABLE")
)
STRAY_FORMATS = """SELECT j.id, s.format FROM standing s JOIN jobs j ON j.number = s.job
    WHERE s.format <> substr(j.id, 5, instr(substr(j.id, 5), '/') - 1)"""


def _lists(db: sqlite3.Connection, found: _Found) -> None:
    """What lists, searches and sums read, against the log and its bodies: leans on all before it."""
    if sqlite.version(db) < sqlite.WITHOUT_OPENINGS or any(problem.code != "SA5029" for problem in found.problems):
        return
    for job, format in db.execute(STRAY_FORMATS):
        found.add("SA5015", None, _STRAY, table="standing", row=(job, format))
    for statement in _REMADE:
        db.execute(statement)
    for data, number in db.execute(derived.TOLD):
        derived.tell(db, canonical.entry(data), number, partial(sqlite.body, db))
    for table in derived.NAMES:
        for row in db.execute(f"SELECT * FROM main.{table} EXCEPT SELECT * FROM temp.{table}"):  # noqa: S608 - our own
            found.add("SA5015", None, _STRAY, table=table, row=row)
        for row in db.execute(f"SELECT * FROM temp.{table} EXCEPT SELECT * FROM main.{table}"):  # noqa: S608 - our own
            found.add("SA5016", None, N_("index table {table} lacks {row}, which the log gives"), table=table, row=row)


_STRAY = N_("index table {table} has {row}, which the log does not give")


def _positions(db: sqlite3.Connection, found: _Found) -> None:
    """Every job's facts are numbered 0, 1, 2 … in log order: each but 0 comes after its predecessor."""
    rows = db.execute(
        "SELECT f.idx, f.position, f.job FROM facts f WHERE f.position <> 0 AND NOT EXISTS"
        " (SELECT 1 FROM facts g WHERE g.job = f.job AND g.position = f.position - 1 AND g.idx < f.idx)"
    )
    for index, position, job in rows:
        found.add(
            "SA5025",
            index,
            N_("entry {index} is fact {position} of the job that begins with entry {job}, without one before it"),
            position=position,
            job=job,
        )


# --- commitments to fields ------------------------------------------------------------------------------------------


def _fields(db: sqlite3.Connection, erasures: _Erasures, found: _Found) -> None:
    """What opens the commitments of each document is there, and opens them; or was erased, as the log says."""
    for index, data in db.execute(
        """SELECT idx, entry FROM log WHERE instr(entry, CAST('"fields_root":"' AS BLOB)) ORDER BY idx"""
    ):
        match _parsed(data):
            case {
                "kind": "Draft",
                "job": str(job),
                "fact": {"document": str(document), "fields_root": str(root)},
            } if _WHOLE.fullmatch(document) and _ROOT.fullmatch(root):
                gone = erasures.whole.get(bytes.fromhex(document[4:]), -1) > index
                _opened(db, (index, job, root), erasures.fields, found, gone=gone)
            case _:
                pass


_ROOT = re.compile(r"[0-9a-f]{64}")


def _opened(
    db: sqlite3.Connection,
    draft: tuple[int, str, str],
    erased: Mapping[tuple[str, str], int],
    found: _Found,
    *,
    gone: bool,
) -> None:
    index, job, root = draft
    row = None
    if sqlite.version(db) > sqlite.WITHOUT_OPENINGS:
        row = db.execute("SELECT size, data FROM openings WHERE root = ?", (bytes.fromhex(root),)).fetchone()
    if row is None or gone:
        if row is None and not gone:
            text = N_("the fields of {job} are missing, and no entry says that they were erased")
            found.add("SA5084", index, text, job=job)
        elif row is not None:
            found.add("SA5086", index, _THERE, job=job, field="*")
        return
    openings = sqlite.opened(*row)
    if openings is None or commitments.root(openings) != root or not all(each.whole for each in openings):
        found.add("SA5083", index, N_("the fields of {job} have been changed"), job=job)
        return
    for each in openings:
        said = (job, each.name) in erased
        if each.salt is None and not said:
            text = N_("field {field} of {job} is missing, and no entry says that it was erased")
            found.add("SA5085", index, text, job=job, field=each.name)
        elif each.salt is not None and said:
            found.add("SA5086", index, _THERE, job=job, field=each.name)


_THERE = N_("the log says that field {field} of {job} was erased, and it is in the archive")


# --- the blobs ------------------------------------------------------------------------------------------------------


def _structure(db: sqlite3.Connection, found: _Found) -> None:
    for (said,) in db.execute("PRAGMA integrity_check"):
        if said != "ok":
            found.add("SA5030", None, N_("the database file is damaged: {error}"), error=said)


def _blobs(db: sqlite3.Connection, found: _Found) -> int:
    count, plain = 0, sqlite.version(db) <= sqlite.WITHOUT_KEYS
    for row in stored.rows(db, plain=plain):
        count += 1
        named, (*_, key, salt) = _name(row[0]), row
        if key is None:
            found.add("SA5098", None, N_("the key of body {digest} is missing: it cannot be read"), digest=named)
        elif (body := stored.opened(row)) is None or stored.name(body, salt) != row[0]:
            found.add("SA5028", None, N_("the bytes of body {digest}, or its key, have been changed"), digest=named)
    for digest in () if plain else stored.strays(db):
        text = N_("there is a key of body {digest}, which is not in the archive")
        found.add("SA5099", None, text, digest=_name(digest))
    return count


def _name(digest: object) -> str:
    """As the facts have it."""
    return f"sm3:{digest.hex()}" if isinstance(digest, bytes) else "?"


def _named_blobs(db: sqlite3.Connection, erased: Mapping[bytes, int], found: _Found) -> int:
    """Every digest in a fact has its blob; each missing one is named once, with the first entry that names it.

    Returns how many are missing because a later entry says that they were erased; one that is there after that must be
    named anew.
    """
    missing: set[bytes] = set()
    anew: set[bytes] = set()
    for index, data in db.execute("SELECT idx, entry FROM log WHERE typeof(entry) = 'blob' ORDER BY idx"):
        for text in _DIGEST.findall(data):
            blob = bytes.fromhex(text.decode())
            if index <= erased.get(blob, -1):
                continue
            if blob in erased:
                anew.add(blob)
            if blob in missing or _is_there(db, blob):
                continue
            # Only now is it worth knowing whether this is a digest, or a text that looks like one.
            field_name = _field_naming(data, f"sm3:{text.decode()}")
            if field_name is not None and len(missing) < PROBLEM_LIMIT:
                missing.add(blob)
                found.add(
                    "SA5029",
                    index,
                    N_("entry {index} names body {digest} ({field}), which is not in the archive"),
                    digest=f"sm3:{text.decode()}",
                    field=field_name,
                )
    gone = 0
    for blob, index in erased.items():
        if not _is_there(db, blob):
            gone += blob not in missing
        elif blob not in anew:
            text = N_("entry {index} says that body {digest} was erased, and it is in the archive")
            found.add("SA5082", index, text, digest=f"sm3:{blob.hex()}")
    return gone


def _is_there(db: sqlite3.Connection, blob: bytes) -> bool:
    return db.execute("SELECT 1 FROM blobs WHERE digest = ?", (blob,)).fetchone() is not None


@dataclass(slots=True)
class _Erasures:
    """What the log says was erased, each with the last entry that says so."""

    bodies: dict[bytes, int] = field(default_factory=dict)
    whole: dict[bytes, int] = field(default_factory=dict)
    """Of these bodies those that went because their time was over: what opens commitments went with them."""
    fields: dict[tuple[str, str], int] = field(default_factory=dict)
    """By document and name."""


def _erasures(db: sqlite3.Connection) -> _Erasures:
    said = _Erasures()
    for index, data in db.execute(
        """SELECT idx, entry FROM log WHERE instr(entry, CAST('"kind":"Erased"' AS BLOB)) ORDER BY idx"""
    ):
        match _parsed(data):
            case {"kind": "Erased", "fact": {"bodies": [*bodies], **fact}}:
                gone = {bytes.fromhex(text[4:]): index for text in bodies if _WHOLE.fullmatch(str(text))}
                said.bodies |= gone
                match fact:
                    case {"of": str(job), "fields": [*names]}:
                        said.fields |= {(job, str(name)): index for name in names}
                    case _:
                        said.whole |= gone
            case _:
                pass
    return said


_WHOLE = re.compile(r"sm3:[0-9a-f]{64}")
_DIGEST = re.compile(rb'"sm3:([0-9a-f]{64})"')


def _field_naming(data: bytes, digest: str) -> str | None:
    match _parsed(data):
        case {"kind": str(kind), "fact": {**fact}} if kind in canonical.KINDS:
            return next((name for name in _digest_fields(kind) if _names(fact.get(name), digest)), None)
        case _:
            return None  # an unreadable entry has been named already


def _names(value: Any, digest: str) -> bool:
    return value == digest or (isinstance(value, dict) and digest in value.values())


@cache
def _digest_fields(kind: str) -> tuple[str, ...]:
    return tuple(f.name for f in fields(canonical.KINDS[kind]) if "Digest" in str(f.type))
