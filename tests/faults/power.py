"""Power cuts at every write of an agent: `python -m tests.faults.power [STATES]`; with TMPDIR in memory it is faster.

An agent reads pages, queues what it signed, sends to a real platform and takes receipts, under strace, which notes
every write to the archive's files, every fsync, and when the agent held a fact for durable. Then, for every moment
between two of these, files are made as a disk may have them after a power cut: nothing that was not synced survives;
all of it does (as after a kill); or any part of it, in any order, torn at a sector. A file has its name for certain
when its folder was synced, and one that was removed may be back. Each state is another one, and each is opened and
looked at: no fact is lost that was held for durable, the log is a whole beginning of what was written, its tree is the
one of that beginning, the bodies that it names are there, SQLite finds the file sound, and what is noted beside the
archive is not ahead of it. One state in a hundred is also started from: the archive opens, goes on, and verifies.

The same with `synchronous` NORMAL and OFF has to find losses: else this would find none anywhere.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from scraper_agent import merkle, values
from scraper_agent.archive import reached
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.archive.verify import verify
from scraper_agent.errors import AgentError
from scraper_agent.formats import FORMATS
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sending import https
from scraper_agent.signing import keyfolder
from tests.world import AK, NOW, PASSPHRASE, CrashingArchive, World, frozen

Synchronous = Literal["FULL", "NORMAL", "OFF"]

SECTOR = 512
NAME = "archive.db"
CALLS = "write,pwrite64,lseek,ftruncate,fsync,fdatasync,unlink,rename"
BODIES = "SELECT digest FROM blobs JOIN keys USING (digest)"
CHECKPOINTS = (40, 200, 1000)
"""Pages after which SQLite moves what is in the write-ahead log, by turns; the last is what it does by itself."""
STARTED = 100
"""One state of so many is started from."""
_LINE = re.compile(r"\d+\s+(\w+)\((.*)\)\s+=\s+(-?\d+)")
_FILE = re.compile(r"\d+<([^>]*)>")
_TEXT = re.compile(r'"([^"]*)"')


@dataclass(frozen=True, slots=True)
class Write:
    path: str
    at: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """`ftruncate`."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    path: str


@dataclass(frozen=True, slots=True)
class FolderSync:
    """Names are as they are."""


@dataclass(frozen=True, slots=True)
class Unlink:
    path: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The archive is open: from here on it counts."""


@dataclass(frozen=True, slots=True)
class Durable:
    """The agent took this entry of the log for durable."""

    index: int


Event = Write | Cut | Sync | FolderSync | Unlink | Ready | Durable


# --- the agent under strace -------------------------------------------------------------------------------------------


class Telling(CrashingArchive):
    """Says on stdout what is durable, for strace to see it in its place among the writes."""

    synchronous: Synchronous = "FULL"
    checkpoint = CHECKPOINTS[-1]

    def __init__(self, *args: object, **keys: object) -> None:
        super().__init__(*args, **keys)  # type: ignore[arg-type]
        self._db.execute(f"PRAGMA synchronous = {self.synchronous}")
        self._db.execute(f"PRAGMA wal_autocheckpoint = {self.checkpoint}")
        os.write(1, b"READY\n")

    def append(self, job: values.JobId, position: int, fact: values.Fact) -> values.Entry:
        entry = super().append(job, position, fact)
        os.write(1, b"DURABLE %d\n" % entry.index)
        return entry


def agent(
    folder: str, keys: str, url: str, public_key: str, documents: str, synchronous: Synchronous, checkpoint: str
) -> None:
    """The process that is traced. A second process of the agent asks for what the first could not know."""
    Telling.synchronous = synchronous
    Telling.checkpoint = int(checkpoint)
    with https.HttpsTransport(https.Config(kind="https", url=url)) as transport:
        world = World(Path(folder), Path(keys), transport, {"01": public_key}, kind=Telling)
        # The last is read again as another version, so that one is superseded after it was sent.
        world.everything(*(frozen(n) for n in range(1, int(documents) + 1)))
        world.everything(frozen(int(documents), price="11.00"))


def traced(folder: Path, documents: int, synchronous: Synchronous, checkpoint: int) -> list[Event]:
    """What one agent did, in order. Its archive stays in `folder`."""
    keys = folder / "keys"
    keyfolder.create(keys, SecretStr(PASSPHRASE), NOW)
    (entry,) = keyfolder.entries(keys)
    with Platform(lambda: NOW, {(AK, "01"): entry.public_key}, FORMATS, window=timedelta(days=1)) as platform:
        log = folder / "strace"
        command = [
            "strace",
            "-f",
            "--seccomp-bpf",
            "-y",
            "-xx",
            "-s",
            "4194304",
            "-e",
            f"trace={CALLS}",
            "-o",
            str(log),
            sys.executable,
        ]
        call = f"from tests.faults import power; power.agent(*{[str(folder), str(keys), platform.url]!r}"
        call += f", {platform.public_keys['01']!r}, '{documents}', {synchronous!r}, '{checkpoint}')"
        subprocess.run([*command, "-c", call], check=True, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
    return list(_events(log, folder))


def _events(log: Path, folder: Path) -> Iterator[Event]:
    at: dict[str, int] = {}
    with log.open(errors="replace") as lines:
        for line in lines:
            if "unfinished" in line and NAME in line:
                raise ValueError("two threads wrote at once: the order is not known")
            found = _LINE.match(line)
            if found and int(found[3]) >= 0 and (event := _event(found[1], found[2], int(found[3]), folder, at)):
                yield event


def _event(call: str, arguments: str, returned: int, folder: Path, at: dict[str, int]) -> Event | None:
    """`at`: where in each file the next `write` goes."""
    if call == "unlink":
        path = _bytes(_text(arguments)).decode()
        return Unlink(Path(path).name) if path.startswith(f"{folder}/{NAME}") else None
    of = _FILE.match(arguments)
    if of is None:
        return None
    path = _bytes(of[1]).decode() if "\\x" in of[1] else of[1]
    if call == "write" and arguments.startswith("1<"):
        word, _, index = _bytes(_text(arguments)).decode().strip().partition(" ")
        return Ready() if word == "READY" else Durable(int(index)) if word == "DURABLE" else None
    if path == str(folder):
        return FolderSync()
    if not path.startswith(f"{folder}/{NAME}") or path.endswith(("-shm", ".lock", ".lock-journal")):
        return None
    return _of_file(call, arguments, returned, Path(path).name, at)


def _of_file(call: str, arguments: str, returned: int, name: str, at: dict[str, int]) -> Event | None:
    match call:
        case "pwrite64":
            return Write(name, int(arguments.rsplit(", ", 1)[1]), _bytes(_text(arguments))[:returned])
        case "lseek":
            at[name] = returned
            return None
        case "write":  # of the file beside the archive, which goes to its beginning before
            at[name] += returned
            return Write(name, at[name] - returned, _bytes(_text(arguments))[:returned])
        case "ftruncate":
            return Cut(name, int(arguments.split(", ")[1]))
        case "fsync" | "fdatasync":
            return Sync(name)
        case _:
            raise ValueError(f"a call that is not known here: {call}")


def _text(arguments: str) -> str:
    found = _TEXT.search(arguments)
    return found[1] if found else ""


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


# --- disks after a power cut ------------------------------------------------------------------------------------------

Kind = Literal["none", "all", "any"]


@dataclass(frozen=True, slots=True)
class Choice:
    """What of the unsynced has come to the disk. Two of one drive that are equal are one state."""

    written: tuple[tuple[str, int, int], ...]
    """File, which of its waiting changes, and how many bytes of it."""
    absent: frozenset[str]
    """Files without a name."""
    back: frozenset[str]
    """Files that had been removed."""


@dataclass(slots=True)
class Drive:
    """What is on the disk for certain, and what was written since, file by file. `folder` has what is certain."""

    folder: Path
    synced: dict[str, bytearray] = field(default_factory=dict)
    waiting: dict[str, list[Write | Cut]] = field(default_factory=dict)
    unnamed: set[str] = field(default_factory=set)
    """Made since the folder was synced."""
    removed: dict[str, bytes] = field(default_factory=dict)
    """With what they had for certain, since the folder was synced."""

    def take(self, event: Event) -> None:
        match event:
            case Write(path=path) | Cut(path=path):
                if path not in self.synced:
                    self.synced[path] = bytearray()
                    self.unnamed.add(path)
                    self.removed.pop(path, None)
                    (self.folder / path).touch()
                self.waiting.setdefault(path, []).append(event)
            case Sync(path=path):
                changes = self.waiting.pop(path, [])
                for each in changes:
                    _apply(self.synced[path], each)
                if changes:
                    (self.folder / path).write_bytes(self.synced[path])
            case FolderSync():
                self.unnamed.clear()
                self.removed.clear()
            case Unlink(path=path):
                if path in self.synced:
                    self.removed[path] = bytes(self.synced.pop(path))
                    self.unnamed.discard(path)
                    self.waiting.pop(path, None)
                    (self.folder / path).unlink(missing_ok=True)
            case _:
                pass

    def choose(self, draw: random.Random, kind: Kind) -> Choice:
        """`none`: what is certain; `all`: as a kill leaves it."""
        if kind == "none":
            return Choice((), frozenset(self.unnamed), frozenset())
        changes = [(path, n, each) for path, waiting in self.waiting.items() for n, each in enumerate(waiting)]
        if kind == "all":
            return Choice(tuple((path, n, _size(each)) for path, n, each in changes), frozenset(), frozenset())
        absent = frozenset(path for path in sorted(self.unnamed) if draw.random() < 0.25)
        written = tuple(
            (path, n, _torn(each, draw)) for path, n, each in changes if path not in absent and draw.random() < 0.5
        )
        return Choice(written, absent, frozenset(path for path in sorted(self.removed) if draw.random() < 0.5))

    @contextmanager
    def after(self, choice: Choice) -> Iterator[None]:
        """`folder` as the disk has it then."""
        for path in choice.absent:
            (self.folder / path).unlink()
        for path in choice.back:
            (self.folder / path).write_bytes(self.removed[path])
        touched = self._change(choice)
        try:
            yield
        finally:
            for path, events in touched.items():
                self._restore(path, events)
            for path in choice.absent:
                (self.folder / path).write_bytes(self.synced[path])
            for path in (*choice.back, f"{NAME}-wal"):
                if path not in self.synced:
                    (self.folder / path).unlink(missing_ok=True)

    def _change(self, choice: Choice) -> dict[str, list[Write | Cut]]:
        touched: dict[str, list[Write | Cut]] = {}
        for path, n, size in choice.written:
            event = self.waiting[path][n]
            event = Write(path, event.at, event.data[:size]) if isinstance(event, Write) else event
            touched.setdefault(path, []).append(event)
        for path, events in touched.items():
            with (self.folder / path).open("r+b", buffering=0) as file:
                for event in events:
                    if isinstance(event, Write):
                        os.pwrite(file.fileno(), event.data, event.at)
                    else:
                        os.ftruncate(file.fileno(), event.size)
        return touched

    def _restore(self, path: str, events: list[Write | Cut]) -> None:
        data = self.synced[path]
        with (self.folder / path).open("r+b", buffering=0) as file:
            if any(isinstance(event, Cut) for event in events):
                os.pwrite(file.fileno(), data, 0)
            for event in events:
                if isinstance(event, Write):
                    os.pwrite(file.fileno(), data[event.at : event.at + len(event.data)], event.at)
            os.ftruncate(file.fileno(), len(data))


def _size(event: Write | Cut) -> int:
    return len(event.data) if isinstance(event, Write) else 0


def _torn(event: Write | Cut, draw: random.Random) -> int:
    """How many bytes of it have come to the disk."""
    size = _size(event)
    return size if draw.random() >= 0.25 else draw.randrange(0, size + 1, SECTOR)


def _apply(data: bytearray, event: Write | Cut) -> None:
    match event:
        case Write(at=at, data=written):
            if len(data) < at:
                data.extend(bytes(at - len(data)))
            data[at : at + len(written)] = written
        case Cut(size=size):
            del data[size:]
            data.extend(bytes(size - len(data)))


# --- looking at them --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Whole:
    """The log as it was written in the end, to compare with."""

    entries: list[bytes]
    frontiers: list[bytes]
    """By size."""
    bodies: list[frozenset[bytes]]
    """What the first n entries name."""

    @classmethod
    def of(cls, path: Path) -> Whole:
        with closing(sqlite3.connect(path)) as db:
            entries = [data for (data,) in db.execute("SELECT entry FROM log ORDER BY idx")]
            there = {digest for (digest,) in db.execute(BODIES)}
        frontier, frontiers, bodies = merkle.Frontier(), [b""], [frozenset[bytes]()]
        for data in entries:
            frontier = frontier.append(merkle.leaf(data))
            frontiers.append(frontier.dump())
            named = {bytes.fromhex(each) for each in re.findall(r'"sm3:([0-9a-f]{64})"', data.decode())}
            bodies.append(bodies[-1] | named & there)  # other digests are of no body
        return cls(entries, frontiers, bodies)


@dataclass(slots=True)
class Seen:
    """Of one setting of `synchronous`: how many states, and what was wrong with how many of them."""

    states: int = 0
    lost: int = 0
    corrupt: int = 0
    worst: int = 0
    """Most facts lost in one state."""
    started: int = 0
    why: Counter[str] = field(default_factory=Counter)

    def add(self, other: Seen) -> None:
        self.states += other.states
        self.lost += other.lost
        self.corrupt += other.corrupt
        self.worst = max(self.worst, other.worst)
        self.started += other.started
        self.why += other.why


def look(folder: Path, whole: Whole, durable: int, seen: Seen) -> None:
    """Open what a power cut left, and say what is wrong. `durable`: entries that were held for it, as a count."""
    seen.states += 1
    try:
        try:
            found, why = _found(folder / NAME, whole)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
                raise
            with _copied(folder) as path:  # what a reader cannot repair, a writer does
                found, why = _found(path, whole, "rw")
    except sqlite3.DatabaseError as error:
        found, why = 0, str(error)
        if durable and "no such table" in why:
            why = ""  # an empty file: all is lost, nothing is wrong
    if not why and found >= durable and _noted(folder / NAME) > found:
        why = "noted beside it"
    if not why and found >= durable and seen.states % STARTED == 0:
        seen.started += 1
        why = _start(folder, found)
    if why:
        seen.corrupt += 1
        seen.why[why] += 1
    elif found < durable:
        seen.lost += 1
        seen.worst = max(seen.worst, durable - found)


def _found(path: Path, whole: Whole, mode: Literal["ro", "rw"] = "ro") -> tuple[int, str]:
    """How many entries there are, and what is wrong with them."""
    with closing(sqlite3.connect(f"file:{path}?mode={mode}", uri=True)) as db:
        if db.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
            return 0, "the structure of the file"
        entries = [data for (data,) in db.execute("SELECT entry FROM log ORDER BY idx")]
        size, frontier = db.execute("SELECT size, frontier FROM tree").fetchone()
        count = len(entries)
        if entries != whole.entries[:count]:
            return 0, "an entry"
        if size != count or frontier != whole.frontiers[count]:
            return 0, "the tree"
        there = {digest for (digest,) in db.execute(BODIES)}
        if not whole.bodies[count] <= there:
            return 0, "a body"
        (facts,) = db.execute("SELECT count(*) FROM facts").fetchone()
        return count, "" if facts == count else "the index"


def _noted(path: Path) -> int:
    """How far the log had come, as the file beside it says; a damaged one says nothing."""
    try:
        known = reached.read(path)
    except ValueError:
        return 0
    return known.size if known else 0


@contextmanager
def _copied(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as home:
        for each in folder.iterdir():
            if not each.name.endswith("-shm"):
                shutil.copy(each, home)
        yield Path(home) / NAME


def _start(folder: Path, found: int) -> str:
    """The next start of the agent, on a copy: what is wrong with it."""
    with _copied(folder) as path:
        try:
            with SqliteArchive(path, lambda: NOW) as archive:
                job = values.JobId("run/after")
                entry = archive.append(job, 0, values.RunEnded(complete=True, documents=0, faults=0))
            if entry.index != found:
                return "the next start did not go on where it had been"
            problems = verify(path).problems
        except AgentError as error:
            return f"the next start: {error.code}"
        return problems[0].code if problems else ""


def explore(
    events: list[Event], whole: Whole, states: int, draw: random.Random, folder: Path, told: Callable[[Seen], None]
) -> Seen:
    """So many states, evenly over the events, each another one; fewer if there are no more."""
    seen, drive, durable = Seen(), Drive(folder), 0
    known: set[Choice] = set()
    begin = events.index(Ready())
    for event in events[:begin]:
        drive.take(event)
    for number, event in enumerate(events[begin:], 1):
        if isinstance(event, Durable):
            durable = event.index + 1
        drive.take(event)
        if not isinstance(event, Write | Cut):
            known.clear()
        due, vain = states * number // (len(events) - begin), 0
        while seen.states < due and vain < VAIN:
            (kind,) = draw.choices(KINDS, (1, 1, 8))
            choice = drive.choose(draw, kind)
            if choice in known:
                vain += 1
                continue
            known.add(choice)
            with drive.after(choice):
                look(folder, whole, durable, seen)
            if seen.states % 1000 == 0:
                told(seen)
    return seen


KINDS: tuple[Kind, ...] = ("none", "all", "any")
VAIN = 6
"""So many choices that were known already, and a moment has no more to show."""


def run(
    states: int,
    documents: int,
    synchronous: Synchronous = "FULL",
    *,
    seed: int = 1,
    checkpoint: int = CHECKPOINTS[-1],
    told: Callable[[Seen], None] = lambda _: None,
) -> Seen:
    home = Path(tempfile.mkdtemp())
    try:
        (home / "agent").mkdir()
        (home / "disk").mkdir()
        events = traced(home / "agent", documents, synchronous, checkpoint)
        whole = Whole.of(home / "agent" / NAME)
        return explore(events, whole, states, random.Random(seed), home / "disk", told)
    finally:
        shutil.rmtree(home)


@dataclass(slots=True)
class Progress:
    """A line every ten seconds."""

    name: str
    wanted: int
    done: Seen = field(default_factory=Seen)
    begun: float = field(default_factory=time.monotonic)
    said: float = 0.0

    def __call__(self, part: Seen) -> None:
        now = time.monotonic()
        if now - self.said >= 10:
            self.said = now
            self._say(self.done.states + part.states, self.done.lost + part.lost, self.done.corrupt + part.corrupt)

    def _say(self, states: int, lost: int, corrupt: int) -> None:
        seconds = time.monotonic() - self.begun
        print(
            f"power: {self.name} {states:,} of {self.wanted:,} states in {seconds:,.0f} s:"
            f" facts lost in {lost:,}, corrupt {corrupt:,}",
            flush=True,
        )

    def end(self) -> None:
        self._say(self.done.states, self.done.lost, self.done.corrupt)


def main() -> None:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    said, wrong = [], False
    doses: dict[Synchronous, int] = {
        "FULL": wanted, "NORMAL": max(500, wanted // 100), "OFF": max(500, wanted // 100)
    }  # fmt: skip
    for synchronous, states in doses.items():
        progress, number = Progress(synchronous, states), 0
        while progress.done.states < states:
            part = min(SHARE, states - progress.done.states)
            checkpoint = CHECKPOINTS[number % len(CHECKPOINTS)]
            progress.done.add(
                run(part, DOCUMENTS, synchronous, seed=number, checkpoint=checkpoint, told=progress)
            )  # fmt: skip
            number += 1
        progress.end()
        seen = progress.done
        wrong |= bool(seen.lost or seen.corrupt) != (synchronous != "FULL")
        why = f" {dict(seen.why)}" if seen.why and synchronous == "FULL" else ""
        said.append(
            f"{synchronous} {seen.states:,} states ({seen.started:,} started from), facts lost in {seen.lost:,}"
            f" (at most {seen.worst}), corrupt {seen.corrupt:,}{why}"
        )
    print(f"power: {'WRONG' if wrong else 'as it has to be'}: {'; '.join(said)}")
    sys.exit(wrong)


SHARE = 50_000
"""States of one agent."""
DOCUMENTS = 12
"""Of one agent."""


if __name__ == "__main__":
    main()
