"""What storage goes through: `python -m tests.faults.storage kills|disk|flips [COUNT]`; with TMPDIR in memory faster.

`kills`: a writer is killed (SIGKILL) COUNT times, at a named point or at any time. What it took for durable is there,
the next writer goes on, and the log verifies.

`disk`: one after the other, every call of open, write, pwrite, fsync, ftruncate and rename on the archive's files and
on orders fails: once, or from then on (a full disk), or writes half; until a run passes without meeting a failure.
Who writes is refused with an error that says so, what was taken for durable is there, and the next start goes on.
COUNT: so many of them at most, evenly.

`flips`: COUNT times one bit of the database, its write-ahead log (a tile of the tree is in them), what is noted beside
it, or a key file is another one: each is found by `log verify` or when it is read, or everything reads as before.
"""

from __future__ import annotations

import ctypes
import errno
import json
import multiprocessing
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from pathlib import Path

from pydantic import SecretStr

from scraper_agent import merkle
from scraper_agent.archive import excerpt, reached, tiles
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.archive.verify import verify
from scraper_agent.errors import AgentError
from scraper_agent.orders import Order, Tray
from scraper_agent.signing import keyfile
from scraper_agent.values import JobId, Snapshot
from tests.faults import writer
from tests.faults.agent import KILL
from tests.faults.writer import Writer
from tests.world import NOW, PASSPHRASE, RUN

Told = Callable[[str], None]
"""Takes a line of progress."""


@dataclass(slots=True)
class Outcome:
    done: int = 0
    what: Counter[str] = field(default_factory=Counter)
    """How each went."""
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        how = ", ".join(f"{name} {number:,}" for name, number in sorted(self.what.items()))
        return f"{self.done:,} done ({how}); wrong: {len(self.wrong)} {self.wrong[:5]}"


def silent(_: str) -> None:
    """For who does not want to know."""


def _missing(path: Path, said: Path) -> list[str]:
    """Entries that were taken for durable, and are not there, or are others."""
    acks = writer.acknowledged(said)
    if not acks:
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        there = {index: merkle.leaf(entry) for index, entry in db.execute("SELECT idx, entry FROM log")}
    return [f"entry {ack.index} is lost" for ack in acks if there.get(ack.index) != ack.leaf]


# --- kills ------------------------------------------------------------------------------------------------------------

OF_ONE = 100
"""Kills of one archive."""


def kills(count: int, told: Told = silent, seed: int = 9) -> Outcome:
    """Every second one is at a named point."""
    outcome, draw = Outcome(), random.Random(seed)
    context = _processes()
    while outcome.done < count:
        with tempfile.TemporaryDirectory() as name:
            path, said = Path(name) / "archive.db", Path(name) / "said"
            for number in range(min(OF_ONE, count - outcome.done)):
                point = writer.POINTS[number // 2 % len(writer.POINTS)] if number % 2 else ""
                job = JobId(f"run/{number}")
                each = Writer(path, said, job, 3 if point else 1000, point, 0 if point in _ONCE else draw.randrange(3))
                process = context.Process(target=each.run)
                process.start()
                if not point:
                    _any_time(process, path, draw)
                process.join()
                if process.exitcode != -KILL:
                    outcome.wrong.append(f"ended with {process.exitcode} at {point or 'any time'}")
                outcome.done += 1
                outcome.what[point or "at any time"] += 1
                outcome.wrong += _missing(path, said)
                said.unlink(missing_ok=True)
            with SqliteArchive(path, lambda: NOW) as archive:
                writer.append(archive, JobId("run/after"), 0)
            outcome.wrong += map(str, verify(path).problems)
        told(str(outcome))
    return outcome


_ONCE = ("opening", "closing")


def _processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    # Each child imports this module as its `__main__`: what that takes is there already.
    context.set_forkserver_preload(["tests.faults.writer", "tests.faults.agent", "scraper_agent.orders"])
    return context


def _any_time(process: multiprocessing.process.BaseProcess, path: Path, draw: random.Random) -> None:
    """Once it is at work; a hundredth of a second is three to five facts."""
    lock = path.with_name(f"{path.name}.lock")
    while process.is_alive() and not lock.exists():
        process.join(0.001)
    process.join(draw.random() * 0.015)
    process.kill()


# --- a disk that fails ------------------------------------------------------------------------------------------------

CALLS = ("open", "write", "pwrite", "fsync", "ftruncate", "rename")
ONCE, FROM_THEN_ON, HALF, HALF_THEN_FAIL = range(4)
"""As `disk.c` counts them."""
WAYS = {
    "open": ((errno.EIO, ONCE), (errno.ENOSPC, FROM_THEN_ON), (errno.EMFILE, ONCE)),
    "write": ((errno.EIO, ONCE), (errno.ENOSPC, FROM_THEN_ON), (errno.EIO, HALF), (errno.ENOSPC, HALF_THEN_FAIL)),
    "pwrite": ((errno.EIO, ONCE), (errno.ENOSPC, FROM_THEN_ON), (errno.EIO, HALF), (errno.ENOSPC, HALF_THEN_FAIL)),
    "fsync": ((errno.EIO, ONCE), (errno.EIO, FROM_THEN_ON)),
    "ftruncate": ((errno.EIO, ONCE), (errno.ENOSPC, FROM_THEN_ON)),
    "rename": ((errno.EIO, ONCE), (errno.ENOSPC, FROM_THEN_ON)),
}
HOW = ("once", "from then on", "half written", "half written, then")
JOB = JobId("run/1")
ORDER = Order(id="0" * 32, at=NOW, by="me", via="cli", do="approve", targets=("doc/1",))
DONE, REFUSED, DEFECT = range(3)


def disk(count: int | None = None, told: Told = silent) -> Outcome:
    """In a process whose disk it is; `count` None: every call."""
    with tempfile.TemporaryDirectory() as name:
        shim = Path(name) / "disk.so"
        source = Path(__file__).with_name("disk.c")
        subprocess.run(["gcc", "-Wall", "-O1", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
        call = f"from tests.faults import storage; storage.failing({count}, {str(shim)!r}, {name!r})"
        environment = {**os.environ, "LD_PRELOAD": str(shim)}
        with subprocess.Popen(
            [sys.executable, "-c", call], stdout=subprocess.PIPE, env=environment, cwd=Path(__file__).parents[2]
        ) as process:
            assert process.stdout is not None
            last = b""
            for last in process.stdout:
                if not last.startswith(b"{"):
                    told(last.decode().strip())
        if process.returncode:
            raise RuntimeError("the process with the failing disk has ended by itself")
    found = json.loads(last)
    return Outcome(found["done"], Counter(found["what"]), found["wrong"])


def failing(count: int | None, shim: str, name: str) -> None:
    """What `disk` begins, and reads from stdout."""
    library, outcome = ctypes.CDLL(shim), Outcome()
    cases = _cases(library, Path(name) / "counted")
    step = 1 if count is None else max(1, -(-len(cases) // count))
    for number, case in enumerate(cases[::step]):
        folder = Path(name) / "store"
        _one(library, case, folder, outcome)
        shutil.rmtree(folder, ignore_errors=True)
        if number % 100 == 99:
            print(f"disk: {outcome.done:,} of {len(cases[::step]):,}, wrong: {len(outcome.wrong)}", flush=True)
    found = {"done": outcome.done, "what": outcome.what, "wrong": outcome.wrong}
    print(json.dumps(found), flush=True)


Case = tuple[str, int, int, int]
"""Call, which of them, error, how."""


def _cases(library: ctypes.CDLL, folder: Path) -> list[Case]:
    """All there are: of each call as many as work makes, and one more, which none meets."""
    found: list[Case] = []
    for call in CALLS:
        folder.mkdir()
        library.disk_arm(bytes(folder), CALLS.index(call), 1 << 30, 0, ONCE)
        _work(folder)
        _more(folder)
        number = library.disk_count()
        shutil.rmtree(folder)
        found += [(call, n, error, how) for error, how in WAYS[call] for n in range(number + 1)]
    return found


def _said(folder: Path) -> Path:
    """Beside the folder, on a disk that does not fail."""
    return folder.with_name(f"said in {folder.name}")


def _work(folder: Path) -> None:
    writer.work(folder, _said(folder), JOB)
    Tray(folder / "control").put(ORDER)
    with _said(folder).open("a") as said:
        said.write("ordered\n")


def _one(library: ctypes.CDLL, case: Case, folder: Path, outcome: Outcome) -> None:
    call, number, error, how = case
    named = f"{call} {os.strerror(error)} {HOW[how]}"
    said, told = _said(folder), folder.with_name("told")
    for each in (said, told):
        each.unlink(missing_ok=True)
    folder.mkdir()
    child = os.fork()
    if child == 0:
        library.disk_arm(bytes(folder), CALLS.index(call), number, error, how)
        writer.end(_tried(library, folder, told))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    met, why = told.read_text().split("\n", 1) if told.exists() else ("", f"ended with {code}")
    outcome.done += 1
    if code not in (DONE, REFUSED):
        outcome.wrong.append(f"{named}, call {number}: {why}")
        return
    outcome.what[f"{named}: {why}" if code == REFUSED else f"{named}: no harm" if met == "1" else "not met"] += 1
    outcome.wrong += [f"{named}, call {number}: {each}" for each in _next_start(folder)]


SAYS_SO = (
    "disk I/O error",
    "readonly database",
    "disk is full",
    "unable to open",
    "Input/output",
    "No space",
    "Too many open files",
)
"""One of these is in what a person reads."""


def _tried(library: ctypes.CDLL, folder: Path, told: Path) -> int:
    """Work on the disk that fails. Whoever was refused tries again at once: the failure may have passed."""
    code, why = DONE, ""
    try:
        for attempt in range(2):
            try:
                _work(folder) if attempt == 0 else _more(folder)
            except (AgentError, OSError) as error:  # orders are a person's, who is told by their caller
                code, why = REFUSED, _plain(error)
                if not any(word in str(error) for word in SAYS_SO):
                    code, why = DEFECT, f"does not say so: {error}"
                    break
    except BaseException:  # noqa: BLE001 - told, and then the process ends
        code, why = DEFECT, traceback.format_exc()[-600:]
    met = library.disk_fired()
    library.disk_arm(b"", -1, 0, 0, 0)
    told.write_text(f"{met}\n{why}")
    return code


def _plain(error: AgentError | OSError) -> str:
    return error.code if isinstance(error, AgentError) else f"errno {error.errno}"


def _more(folder: Path) -> None:
    with SqliteArchive(folder / "archive.db", lambda: NOW) as archive:
        entry = writer.append(archive, JobId("run/more"), archive.length(JobId("run/more")))
        writer.say(_said(folder), archive, entry)


def _next_start(folder: Path) -> list[str]:
    """On a disk that is well again: what is wrong."""
    path, said = folder / "archive.db", _said(folder)
    lines = said.read_text().splitlines() if said.exists() else []
    said.write_text("".join(f"{line}\n" for line in lines if line != "ordered"))
    try:
        _more(folder)
    except AgentError as error:
        return [f"the next start: {error}"]
    wrong = [*_missing(path, said), *map(str, verify(path).problems)]
    if "ordered" in lines and [taken.order for taken in Tray(folder / "control").take()] != [ORDER]:
        wrong.append("the order is lost")
    return wrong


# --- bits -------------------------------------------------------------------------------------------------------------

KEY_EVERY = 500
"""Of so many flips one is in a key file: to open that takes a fifth of a second."""


def flips(count: int, told: Told = silent, seed: int = 4) -> Outcome:
    outcome, draw = Outcome(), random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        path, key = home / "archive.db", home / "key.pem"
        _killed_with_a_log(path)
        keyfile.write(key, keyfile.generate(), SecretStr(PASSPHRASE))
        files = [path, Path(f"{path}-wal"), reached.path_of(path)]
        assert all(file.stat().st_size for file in files)
        before, own = answers(path), keyfile.read(key, SecretStr(PASSPHRASE))
        assert verify(path).whole
        while outcome.done < count:
            if outcome.done % KEY_EVERY == KEY_EVERY - 1:
                file, look = key, lambda: _key(key, own)
            else:
                (file,) = draw.choices(files, (100, 100, 1))
                look = lambda: looked_at(path, before)  # noqa: E731
            at, bit = draw.randrange(file.stat().st_size), draw.randrange(8)
            with _flipped(file, at, bit):
                how = look()
            outcome.done += 1
            outcome.what[f"{file.suffix.strip('.') if file == key else file.name}: {how}"] += 1
            if how == SILENT:
                outcome.wrong.append(f"bit {bit} of byte {at} of {file.name}")
            if outcome.done % 1000 == 0:
                told(str(outcome))
    return outcome


FOUND, HARMLESS, SILENT = "found", "reads as before", "read as something else"


def _killed_with_a_log(path: Path) -> None:
    """An archive whose writer was killed: half of it in the database, half in the write-ahead log."""
    for n, number in enumerate((tiles.WIDTH, 15, 15)):
        fill(path, number, JobId(f"run/{n}"))
    context = _processes()
    said = path.with_name("said")
    process = context.Process(target=Writer(path, said, JobId("run/killed"), 10, "noted", 8).run)
    process.start()
    process.join()
    assert process.exitcode == -KILL


def fill(path: Path, number: int, job: JobId = RUN) -> None:
    with SqliteArchive(path, lambda: NOW) as archive:
        for position in range(number):
            writer.append(archive, job, position)


OTHER_TYPES = ("CAST({} AS TEXT)", "CAST({} AS BLOB)", "NULL", "7", "1.5", "x'ff'")
"""What stands there as something else, in SQL."""


def retyped(path: Path, table: str, column: str, value: str) -> bool:
    """Give one row's column a value that the table's definition forbids; whether that changes what stands there."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        (wanted,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
        loose = re.sub(r"STRICT(, )?| NOT NULL|CHECK \(id = 1\)", "", wanted).rstrip(", \n")
        _defined(db, table, loose)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        other = value.format(column)
        first = f"SELECT {column} FROM {table} ORDER BY {column} LIMIT 1"  # noqa: S608 - names of our own tables
        types = f"SELECT typeof({column}), typeof({other}) FROM {table} WHERE {column} IS ({first})"  # noqa: S608
        row = db.execute(types).fetchone()
        if row is None or row[0] == row[1]:
            return False
        try:
            db.execute(f"UPDATE {table} SET {column} = {other} WHERE {column} IS ({first})")  # noqa: S608
        except sqlite3.IntegrityError:  # a row's number is nothing but a number
            return False
        _defined(db, table, wanted)
    return True


def _defined(db: sqlite3.Connection, table: str, sql: str) -> None:
    """Another definition of the table, over the rows as they are."""
    (version,) = db.execute("PRAGMA schema_version").fetchone()
    db.execute("PRAGMA writable_schema = ON")
    db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (sql, table))
    db.execute(f"PRAGMA schema_version = {version + 1}")
    db.execute("PRAGMA writable_schema = OFF")


@contextmanager
def _flipped(file: Path, at: int, bit: int) -> Iterator[None]:
    with file.open("r+b", buffering=0) as handle:
        (before,) = os.pread(handle.fileno(), 1, at)
        os.pwrite(handle.fileno(), bytes([before ^ 1 << bit]), at)
        try:
            yield
        finally:
            os.pwrite(handle.fileno(), bytes([before]), at)


Answers = tuple[list[bytes], dict[bytes, bytes], list[object]]


def answers(path: Path) -> Answers:
    """Everything that the archive says when it is asked."""
    with SqliteArchive(path, lambda: NOW, read_only=True) as archive, excerpt.opened(path) as log:
        entries = list(archive.entries())
        raw = [archive.raw(entry.index) for entry in entries]
        bodies = {
            bytes.fromhex(fact.page[4:]): archive.get(fact.page)
            for fact in (entry.fact for entry in entries)
            if isinstance(fact, Snapshot)
        }
        size = len(entries)
        proofs = [merkle.inclusion(n, size, log.subtree) for n in range(size)]  # by tiles, and by rows
        proofs += [archive.inclusion(n) for n in range(0, size, 16)]
        jobs = [archive.job(id) for id in sorted({entry.job for entry in entries})]
        return raw, bodies, [archive.head(), proofs, jobs, archive.runs(), archive.states()]


def looked_at(path: Path, before: Answers) -> str:
    try:
        if not verify(path).whole:
            return FOUND
        return HARMLESS if answers(path) == before else SILENT
    except AgentError:
        return FOUND


def _key(file: Path, own: keyfile.PrivateKey) -> str:
    try:
        return HARMLESS if keyfile.read(file, SecretStr(PASSPHRASE)) == own else SILENT
    except AgentError:
        return FOUND


# --- doses ------------------------------------------------------------------------------------------------------------


def main() -> int:
    what, *rest = sys.argv[1:] or [""]
    count = int(rest[0]) if rest else None
    begun = time.monotonic()

    def told(line: str) -> None:
        print(f"{time.monotonic() - begun:,.0f} s {line}", flush=True)

    match what:
        case "kills":
            outcome = kills(count or 10_000, told)
        case "disk":
            outcome = disk(count, told)
        case "flips":
            outcome = flips(count or 100_000, told)
        case _:
            print(__doc__)
            return 2
    print(f"storage {what}: {'WRONG' if outcome.wrong else 'as it has to be'}: {outcome}")
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
