"""Power cuts at every write of an agent: `python -m tests.faults.power [STATES]`; with TMPDIR in memory it is faster.

An agent reads pages, signs, sends to a real platform and takes receipts, under strace, which notes every write to the
archive's files, every fsync, and when the agent held a fact for durable. Then, for every moment between two of these,
files are made as a disk may have them after a power cut: nothing that was not synced survives; all of it does (as after
a kill); or any part of it, in any order, torn at a sector. Each is opened and looked at: no fact is lost that was held
for durable, the log is a whole beginning of what was written, its tree is the one of that beginning, the bodies that it
names are there, and SQLite finds the file sound.

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
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from scraper_agent import merkle, values
from scraper_agent.formats import FORMATS
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sending import https
from scraper_agent.signing import keyfolder
from tests.world import AK, NOW, PASSPHRASE, CrashingArchive, World, frozen

Synchronous = Literal["FULL", "NORMAL", "OFF"]

SECTOR = 512
NAME = "archive.db"
CALLS = "write,pwrite64,ftruncate,fsync,fdatasync,unlink,rename"
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
class Unlink:
    path: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The archive is open: from here on it counts."""


@dataclass(frozen=True, slots=True)
class Durable:
    """The agent took this entry of the log for durable."""

    index: int


Event = Write | Cut | Sync | Unlink | Ready | Durable


# --- the agent under strace -------------------------------------------------------------------------------------------


class Telling(CrashingArchive):
    """Says on stdout what is durable, for strace to see it in its place among the writes."""

    synchronous: Synchronous = "FULL"

    def __init__(self, *args: object, **keys: object) -> None:
        super().__init__(*args, **keys)  # type: ignore[arg-type]
        self._db.execute(f"PRAGMA synchronous = {self.synchronous}")
        os.write(1, b"READY\n")

    def append(self, job: values.JobId, position: int, fact: values.Fact) -> values.Entry:
        entry = super().append(job, position, fact)
        os.write(1, b"DURABLE %d\n" % entry.index)
        return entry


def agent(folder: str, keys: str, url: str, public_key: str, documents: str, synchronous: Synchronous) -> None:
    """The process that is traced. A second process of the agent asks for what the first could not know."""
    Telling.synchronous = synchronous
    with https.HttpsTransport(https.Config(kind="https", url=url)) as transport:
        world = World(Path(folder), Path(keys), transport, {"01": public_key}, kind=Telling)
        # The last is read again as another version, so that one is superseded after it was sent.
        world.everything(*(frozen(n) for n in range(1, int(documents) + 1)))
        world.everything(frozen(int(documents), price="11.00"))


def traced(folder: Path, documents: int, synchronous: Synchronous) -> list[Event]:
    """What one agent did, in order. Its archive stays in `folder`."""
    keys = folder / "keys"
    keyfolder.create(keys, SecretStr(PASSPHRASE), NOW)
    (entry,) = keyfolder.entries(keys)
    with Platform(lambda: NOW, {(AK, "01"): entry.public_key}, FORMATS, window=timedelta(days=1)) as platform:
        log = folder / "strace"
        command = ["strace", "-f", "-y", "-xx", "-s", "4194304", "-e", f"trace={CALLS}", "-o", str(log), sys.executable]
        call = f"from tests.faults import power; power.agent(*{[str(folder), str(keys), platform.url]!r}"
        call += f", {platform.public_keys['01']!r}, '{documents}', {synchronous!r})"
        subprocess.run([*command, "-c", call], check=True, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
    return list(_events(log, folder))


def _events(log: Path, folder: Path) -> Iterator[Event]:
    with log.open(errors="replace") as lines:
        for line in lines:
            if "unfinished" in line and NAME in line:
                raise ValueError("two threads wrote at once: the order is not known")
            found = _LINE.match(line)
            if found and int(found[3]) >= 0 and (event := _event(found[1], found[2], int(found[3]), folder)):
                yield event


def _event(call: str, arguments: str, returned: int, folder: Path) -> Event | None:
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
    if not path.startswith(f"{folder}/{NAME}") or path.endswith(("-shm", ".lock", ".lock-journal")):
        return None
    name = Path(path).name
    match call:
        case "pwrite64":
            return Write(name, int(arguments.rsplit(", ", 1)[1]), _bytes(_text(arguments))[:returned])
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

Disk = dict[str, bytearray]


@dataclass(slots=True)
class Drive:
    """What is on the disk for certain, and what was written since, file by file."""

    synced: Disk = field(default_factory=dict)
    waiting: dict[str, list[Write | Cut]] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        match event:
            case Write(path=path) | Cut(path=path):
                self.waiting.setdefault(path, []).append(event)
                self.synced.setdefault(path, bytearray())
            case Sync(path=path):
                for each in self.waiting.pop(path, ()):
                    _apply(self.synced.setdefault(path, bytearray()), each)
            case Unlink(path=path):
                self.synced.pop(path, None)
                self.waiting.pop(path, None)
            case _:
                pass

    def after(self, draw: random.Random, kind: Literal["none", "all", "any"]) -> Disk:
        disk = {path: bytearray(data) for path, data in self.synced.items()}
        if kind == "none":
            return disk
        for path, each in self.waiting.items():
            for event in each:
                if kind == "all":
                    _apply(disk[path], event)
                elif draw.random() < 0.5:
                    _apply(disk[path], _torn(event, draw))
        return disk


def _torn(event: Write | Cut, draw: random.Random) -> Write | Cut:
    if not isinstance(event, Write) or draw.random() >= 0.25:
        return event
    return Write(event.path, event.at, event.data[: draw.randrange(0, len(event.data) + 1, SECTOR)])


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
        frontier, frontiers, bodies = merkle.Frontier(), [b""], [frozenset[bytes]()]
        for data in entries:
            frontier = frontier.append(merkle.leaf(data))
            frontiers.append(frontier.dump())
            named = {bytes.fromhex(each) for each in re.findall(r'"sm3:([0-9a-f]{64})"', data.decode())}
            bodies.append(bodies[-1] | named)
        return cls(entries, frontiers, bodies)


@dataclass(slots=True)
class Seen:
    """Of one setting of `synchronous`: how many states, and what was wrong with how many of them."""

    states: int = 0
    lost: int = 0
    corrupt: int = 0
    worst: int = 0
    """Most facts lost in one state."""
    why: Counter[str] = field(default_factory=Counter)

    def add(self, other: Seen) -> None:
        self.states += other.states
        self.lost += other.lost
        self.corrupt += other.corrupt
        self.worst = max(self.worst, other.worst)
        self.why += other.why


def look(disk: Disk, folder: Path, whole: Whole, durable: int, seen: Seen) -> None:
    """Open what a power cut left, and say what is wrong. `durable`: entries that were held for it, as a count."""
    for each in (NAME, f"{NAME}-wal", f"{NAME}-shm", f"{NAME}-journal"):
        path = folder / each
        if each in disk:
            path.write_bytes(disk[each])
        else:
            path.unlink(missing_ok=True)
    seen.states += 1
    try:
        found, why = _found(folder / NAME, whole)
    except sqlite3.DatabaseError as error:
        found, why = 0, str(error)
        if durable and "no such table" in why:
            why = ""  # an empty file: all is lost, nothing is wrong
    if why:
        seen.corrupt += 1
        seen.why[why] += 1
    elif found < durable:
        seen.lost += 1
        seen.worst = max(seen.worst, durable - found)


def _found(path: Path, whole: Whole) -> tuple[int, str]:
    """How many entries there are, and what is wrong with them."""
    with closing(sqlite3.connect(path)) as db:
        if db.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
            return 0, "the structure of the file"
        entries = [data for (data,) in db.execute("SELECT entry FROM log ORDER BY idx")]
        size, frontier = db.execute("SELECT size, frontier FROM tree").fetchone()
        count = len(entries)
        if entries != whole.entries[:count]:
            return 0, "an entry"
        if size != count or frontier != whole.frontiers[count]:
            return 0, "the tree"
        there = {digest for (digest,) in db.execute("SELECT digest FROM blobs")}
        known = {digest for digest in whole.bodies[count] if digest in BODIES}
        if not known <= there:
            return 0, "a body"
        (facts,) = db.execute("SELECT count(*) FROM facts").fetchone()
        return count, "" if facts == count else "the index"


BODIES: set[bytes] = set()
"""Of the log as it was written in the end; other digests in facts are of no body."""


def explore(events: list[Event], whole: Whole, states: int, draw: random.Random, folder: Path) -> Seen:
    """At least so many states, evenly over the events."""
    seen, drive, durable, ready = Seen(), Drive(), 0, False
    counted = [event for event in events if isinstance(event, Write | Cut | Sync | Unlink | Durable)]
    each = max(3, -(-states // len(counted)))
    for event in events:
        match event:
            case Ready():
                ready = True
            case Durable(index=index):
                durable = index + 1
            case _:
                drive.take(event)
        if not ready:
            continue
        look(drive.after(draw, "none"), folder, whole, durable, seen)
        look(drive.after(draw, "all"), folder, whole, durable, seen)
        for _ in range(each - 2):
            look(drive.after(draw, "any"), folder, whole, durable, seen)
        if seen.states >= states:
            break
    return seen


def run(states: int, documents: int, synchronous: Synchronous = "FULL", seed: int = 1) -> Seen:
    home = Path(tempfile.mkdtemp())
    try:
        (home / "agent").mkdir()
        (home / "disk").mkdir()
        events = traced(home / "agent", documents, synchronous)
        path = home / "agent" / NAME
        whole = Whole.of(path)
        with closing(sqlite3.connect(path)) as db:
            BODIES.clear()
            BODIES.update(digest for (digest,) in db.execute("SELECT digest FROM blobs"))
        return explore(events, whole, states, random.Random(seed), home / "disk")
    finally:
        shutil.rmtree(home)


def main() -> None:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    table = Table("synchronous", "states", "facts lost in", "worst", "corrupt", "seconds")
    wrong = False
    doses: dict[Synchronous, int] = {"FULL": wanted, "NORMAL": wanted // 100, "OFF": wanted // 100}
    for synchronous, states in doses.items():
        begun = time.monotonic()
        seen = Seen()
        while seen.states < states:
            seen.add(run(min(100_000, states - seen.states), 40, synchronous, seed=seen.states))
        row = (seen.states, seen.lost, seen.worst, seen.corrupt, round(time.monotonic() - begun))
        table.add_row(synchronous, *map(str, row))
        found = bool(seen.lost or seen.corrupt)
        wrong |= found != (synchronous != "FULL")
    Console().print(table)
    sys.exit(wrong)


if __name__ == "__main__":
    main()
