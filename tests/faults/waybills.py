"""Waybills over a line that is cut at every message: `python -m tests.faults.waybills [COUNT]`.

Waybills and the changes of their status are drafted while the line is down. Then each message is cut twice, before the
province stored it and after; some questions for a receipt are cut, too; the province is away again and again, and comes
back as another process would, from its database; the agent as well, every hour, from its log. Beside the province there
is a customs platform that is always there. Time is simulated. Archive, pipeline, schedule, province, HTTP on loopback
and the signatures are real; most of them are verified as the platform does it, as gmssl would take most of the time.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from scraper_agent import envelope, outbox
from scraper_agent.app import OPEN, App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.archive.verify import verify
from scraper_agent.errors import SendFailed
from scraper_agent.pipeline import Destination, Pipeline, Receiver
from scraper_agent.ports import Standing
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sandbox.province import Province
from scraper_agent.sending.https import Config, HttpsTransport
from scraper_agent.signing.check import Verifying
from scraper_agent.values import Attempt, Draft, JobId, Receipt, State, state
from tests.authorities import NOW, OF, a_province, change, written
from tests.faults import offline
from tests.faults.offline import Clock
from tests.history import Key
from tests.waybills import waybill
from tests.world import AK

CARRIER = "A10001"
VERIFY = Verifying()
"""What the province calls the enterprise."""
WAYBILL, STATUS = OF.waybill.format, OF.status.format
WAY = ("", "running", "done")
"""What the province hears of one waybill: itself, then its changes."""
DOWN = timedelta(hours=3)
"""Before the first message gets through."""
AWAY = timedelta(hours=1)
"""Of a province that restarts."""
SESSION = timedelta(hours=1)
"""After which the agent is another process."""
MESSAGE = timedelta(seconds=0.1)
PATIENT = outbox.Settings(breaker_failures=50)
"""For many: every message fails twice, so with five failures a few would pass between two waits."""
MOST_IDLE = 2
"""Sessions with the province there and nothing receipted, after which the rest is lost."""


def number_of(count: int) -> str:
    return f"SH{count:022}"


@dataclass(kw_only=True)
class Outcome:
    waybills: int
    posts: int = 0
    """That reached the province."""
    refused: int = 0
    """Connections, while it was away."""
    before: int = 0
    """Requests cut before they were stored."""
    after: int = 0
    """Answers cut after."""
    questions: int = 0
    """Cut."""
    restarts: int = 0
    """Of the province."""
    sessions: int = 0
    """Of the agent."""
    deliveries: int = 0
    """Of what the province had already."""
    simulated: timedelta = timedelta(0)
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


@dataclass
class Desk:
    """Customs, without a network."""

    platform: Platform
    repeat: Literal["ask"] = "ask"

    def send(self, envelope: bytes, *, key: str) -> bytes:
        return self.platform.receive(envelope, key)[1]

    def find(self, key: str) -> bytes | Standing:
        return self.platform.answer_to(key) or Standing.ABSENT

    def close(self) -> None:
        pass


@dataclass
class There:
    """The province, there or away, always at one address and with one database."""

    database: Path
    clock: Clock
    key: Key
    back: datetime
    port: int = 0
    running: Province | None = None
    public_keys: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.start()  # it has an address and a key before the line is down
        self.stop(self.back)

    def start(self) -> Province:
        senders = {(CARRIER, self.key.key_index): self.key.public_key}
        made = a_province(self.clock, enterprises=senders, database=self.database, port=self.port)
        made.platform.start()
        self.running, self.public_keys = made, made.platform.public_keys
        self.port = int(made.url.rpartition(":")[2].strip("/"))
        return made

    def stop(self, until: datetime) -> None:
        assert self.running is not None
        self.running.platform.close()
        self.running, self.back = None, until

    def look(self) -> bool:
        """Whether it came back now."""
        if self.running is not None or self.clock() < self.back:
            return False
        self.start()
        return True


@dataclass
class Line:
    """To one of the province's addresses; all lines share `cuts`."""

    transport: HttpsTransport
    cuts: Cuts
    repeat: Literal["ask"] = "ask"

    def send(self, envelope: bytes, *, key: str) -> bytes:
        with self.cuts.post(key):
            return self.transport.send(envelope, key=key)

    def find(self, key: str) -> bytes | Standing:
        self.cuts.question(key)
        return self.transport.find(key)

    def close(self) -> None:
        self.transport.close()


@dataclass
class Cuts:
    """Each message is cut at its first two ways; the province goes away after some of them."""

    there: There
    outcome: Outcome
    leaves_after: frozenset[int]
    """Messages."""
    every: int
    """Of so many messages, the question for one's receipt is cut once."""
    ways: Counter[str] = field(default_factory=Counter)
    asked: set[str] = field(default_factory=set)

    @contextmanager
    def post(self, key: str) -> Iterator[None]:
        province, outcome = self.there.running, self.outcome
        self.there.clock.at += MESSAGE
        if province is None:
            outcome.refused += 1
            yield
            return
        self.ways[key] += 1
        if self.ways[key] == 1:
            province.platform.lose_next_request()
            outcome.before += 1
        elif self.ways[key] == 2:
            province.platform.lose_next_answer()
            outcome.after += 1
        outcome.posts += 1
        try:
            yield
        finally:
            if outcome.posts in self.leaves_after:
                self.there.stop(self.there.clock() + AWAY)
                outcome.restarts += 1

    def question(self, key: str) -> None:
        if key in self.asked:
            return
        self.asked.add(key)
        if len(self.asked) % self.every == 0:
            self.outcome.questions += 1
            raise SendFailed("SA4028", "the line was cut")


@dataclass
class World:
    folder: Path
    count: int
    schedule: outbox.Settings
    outcome: Outcome
    every: int
    restarts: int
    clock: Clock = field(default_factory=lambda: Clock(NOW))
    key: Key = field(default_factory=Key)
    ways: list[list[JobId]] = field(default_factory=list)
    orders: list[JobId] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.customs = Platform(self.clock, {(AK, self.key.key_index): self.key.public_key}, {offline.FORMAT})
        self.there = There(self.folder / "province.db", self.clock, self.key, NOW + DOWN)
        posts = 2 * len(WAY) * self.count
        leaves = frozenset(posts * turn // (self.restarts + 1) for turn in range(1, self.restarts + 1))
        self.cuts = Cuts(self.there, self.outcome, leaves, self.every)

    @property
    def path(self) -> Path:
        return self.folder / "archive.db"

    def fill(self) -> None:
        at = f"{NOW + timedelta(hours=8):%Y%m%dT%H%M%S}"  # by the clock of China
        with SqliteArchive(self.path, self.clock) as archive, archive.together():
            for count in range(self.count):
                number = number_of(count)
                contents = [written(waybill(i1=number)), *(change(number, name, at) for name in WAY[1:])]
                self.ways.append(
                    [
                        offline.put_signed(
                            archive,
                            STATUS if name else WAYBILL,
                            f"{number} {name}".rstrip(),
                            body,
                            self.clock(),
                            self.key,
                            CARRIER,
                        )
                        for name, body in zip(WAY, contents, strict=True)
                    ]
                )
            for count in range(max(self.count // 100, 2)):
                self.orders.append(offline.fill_one(archive, count, self.clock(), self.key))

    @contextmanager
    def open(self) -> Iterator[tuple[SqliteArchive, Pipeline]]:
        """The agent, as another process."""
        home = f"http://127.0.0.1:{self.there.port}/"
        with SqliteArchive(self.path, self.clock) as archive:
            pipeline = offline.pipeline(
                archive, self.clock, Desk(self.customs), self.key, VERIFY, self.customs.public_keys, lambda: 0.5
            )
            receiver = Receiver(ak=CARRIER, profile=envelope.DEFAULT, public_keys=self.there.public_keys, verify=VERIFY)
            lines = {
                interface.format: Line(HttpsTransport(Config(kind="https", url=home + interface.path)), self.cuts)
                for interface in (OF.waybill, OF.status)
            }
            pipeline.schedule = self.schedule
            pipeline.destinations = {
                format: Destination(receiver=receiver, transport=line) for format, line in lines.items()
            }
            try:
                yield archive, pipeline
            finally:
                for line in lines.values():
                    line.close()

    def close(self) -> None:
        self.customs.close()
        if self.there.running is not None:
            self.there.running.platform.close()

    def deliver(self) -> None:
        """The agent sends, hour after hour, each time as another process, until everything is receipted."""
        idle = receipted = 0
        while idle < MOST_IDLE:
            self.outcome.sessions += 1
            there = self.there.running
            with self.open() as (archive, pipeline):
                until = self.clock() + SESSION
                App.deliver(None, pipeline, archive, until=until, sleep=self.sleep)  # type: ignore[arg-type] # it needs nothing of the App
                stand = archive.counts()
                print(f"session {self.outcome.sessions}: {dict(stand)}", file=sys.stderr, flush=True)
                if self.outcome.sessions == 1:
                    self._only_the_province_is_away(archive)
            if not set(stand) & set(OPEN):
                return
            new, receipted = stand[State.RECEIPTED] - receipted, stand[State.RECEIPTED]
            idle = idle + 1 if there is not None and there is self.there.running and not new else 0
            self.clock.at = max(self.clock(), until)
            self.there.look()

    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.there.look()

    def _only_the_province_is_away(self, archive: SqliteArchive) -> None:
        waiting = [id for id in self.orders if state(archive.job(id)) is not State.RECEIPTED]
        if waiting:
            self.outcome.wrong.append(f"{len(waiting)} orders wait because the province is away")
        if self.outcome.posts:
            self.outcome.wrong.append("something reached a province that is away")

    # --- what has to be true in the end ---

    def compare(self) -> None:
        """The province's set with the log's, its order, and the log itself."""
        self.there.clock.at += AWAY
        self.there.look()
        self.outcome.simulated = self.clock() - NOW
        with self.open() as (archive, pipeline):
            self._sets(archive, pipeline)
            self._order_in_log(archive)
        self._order_at_province()
        self.outcome.wrong += [str(problem) for problem in verify(self.path).problems]

    def _sets(self, archive: SqliteArchive, pipeline: Pipeline) -> None:
        assert self.there.running is not None
        wrong, sent = self.outcome.wrong, {}
        for way in self.ways:
            jobs = [archive.job(id) for id in way]
            for job in jobs:
                draft = job.facts[0]
                assert isinstance(draft, Draft)
                sent[pipeline.key(job)] = draft.document
            stand = [state(job) for job in jobs]
            if set(stand) != {State.RECEIPTED}:
                wrong.append(f"{jobs[0].id}: {', '.join(stand)}")
            elif pipeline.code(jobs[0], anew=False) is None:
                wrong.append(f"{jobs[0].id}: without a code")
        stored = self.there.running.platform.stored()
        self.outcome.deliveries = sum(each.deliveries - 1 for each in stored)
        if len(stored) != len(sent):
            wrong.append(f"{len(stored)} stored of {len(sent)}")
        if {each.key: each.digest for each in stored} != sent:
            wrong.append("the province's set is another than the log's")
        if len(self.customs.stored()) != len(self.orders):
            wrong.append("customs' set is another than the log's")

    def _order_in_log(self, archive: SqliteArchive) -> None:
        """Nothing leaves before what it follows was accepted."""
        before = {way[place]: way[:place] for way in self.ways for place in range(len(way))}
        accepted: set[JobId] = set()
        for entry in archive.entries():
            match entry.fact:
                case Receipt(accepted=True):
                    accepted.add(entry.job)
                case Attempt() if not accepted.issuperset(before.get(entry.job, [])):
                    self.outcome.wrong.append(f"{entry.job} left too early")
                case _:
                    pass

    def _order_at_province(self) -> None:
        """What it heard of each waybill, and what it made of that."""
        province, wrong = self.there.running, self.outcome.wrong
        assert province is not None
        heard: dict[str, list[str]] = defaultdict(list)
        for each in province.platform.stored():
            header = json.loads(each.document)["header"]
            heard[header["i1"]].append(header.get("status", "") if each.accepted else f"refused {each.reason}")
        for number in map(number_of, range(self.count)):
            if tuple(heard[number]) != WAY:
                wrong.append(f"{number}: the province heard {heard[number]}")
            known = province.waybill(number)
            if known is None or (known.version, known.status) != (1, WAY[-1]):
                wrong.append(f"{number}: the province has {known and (known.version, known.status)}")
            if (became := tuple(each.status for each in province.changes(number))) != WAY[1:]:
                wrong.append(f"{number}: became {became}")


def cut(
    folder: Path,
    count: int,
    *,
    schedule: outbox.Settings = outbox.DEFAULT,
    every: int = 1,
    restarts: int = 3,
) -> Outcome:
    """`count` waybills with their changes. `every`: of so many messages, the question for one's receipt is cut."""
    outcome = Outcome(waybills=count)
    with closing(World(folder, count, schedule, outcome, every, restarts)) as world:
        world.fill()
        began = time.monotonic()
        world.deliver()
        outcome.seconds = time.monotonic() - began
        world.compare()
    return outcome


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory(prefix="waybills-") as folder:
        seen = cut(Path(folder), count, schedule=PATIENT, every=100, restarts=10)
    table = Table("", "")
    for name, value in vars(seen).items():
        table.add_row(name, str(len(value) if name == "wrong" else value))
    Console(width=120).print(table)
    for each in seen.wrong[:10]:
        print(f"WRONG: {each}")
    return 1 if seen.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
