"""`python -m tests.faults.history [COUNT] [SEED]`: the weekly history, its line cut, and both its sides killed.

Cuts: the line is cut at every tenth of every part, each in a week of its own, and before and after every renaming; the
province sends until it is done, while the ministry looks into the folder after each cut. Kills: a province or a
ministry in a process of its own is ended by SIGKILL at some step, or after a random time; another goes on. What must
hold: the ministry has nothing of a week or all of it, each waybill once, and both sides count alike.
"""

from __future__ import annotations

import base64
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from scraper_agent.errors import SendFailed, SendUnknown
from scraper_agent.ports import Standing
from scraper_agent.sandbox import history_desk
from scraper_agent.sandbox.history_file import Completed
from scraper_agent.sandbox.weeks import Week
from scraper_agent.sending import handover, sftp
from scraper_agent.sending.handover import Done
from tests.history import WEEK, Key, Site, completed, message_of, no_secret

STEPS = tuple(f"{when} {what}" for what in (".sm4", ".json", ".done") for when in ("before", "after"))
OF_PROVINCE = ("in mid-making", "made", "half of a part", "parts there", "handed over", "answer read", "random")
OF_MINISTRY = ("in mid-taking", "taken")
POINTS = OF_PROVINCE + OF_MINISTRY
LONGEST_S = 0.15
"""Most that a province that dies whenever lives once it has begun."""
MOST_TRIES = 5
TOLD_EVERY = 50


@dataclass
class Outcome:
    wrong: list[str] = field(default_factory=list)
    cut: int = 0
    killed: int = 0
    survived: int = 0
    waybills: int = 0
    """That the ministry has in the end."""
    parts: int = 0
    """Of the longest week."""
    seconds: float = 0.0


@dataclass
class Drawn:
    """Some waybills in every week, which deflating makes hardly shorter."""

    count: int

    def completed(self, begin: datetime, end: datetime) -> Iterator[Completed]:
        rng, first = random.Random(begin.toordinal()), begin.toordinal() * 100_000
        for at in range(self.count):
            remark = base64.b64encode(rng.randbytes(300)).decode()
            yield completed(first + at, begin, message=message_of(first + at, remark=remark))


def cuts(folder: Path, waybills: int) -> Outcome:
    outcome, began = Outcome(), time.monotonic()
    with Site(folder) as site:
        site.store = Drawn(waybills)  # type: ignore[assignment] # another kind of source
        week = WEEK
        for plan in _plans(folder, waybills, outcome):
            site.now = week.end
            plan(site, week)
            _until_sent(site, week, outcome)
            week = week.following
        outcome.cut = site.server.cut.happened
        _count(site, outcome)
    outcome.seconds = time.monotonic() - began
    return outcome


def _plans(folder: Path, waybills: int, outcome: Outcome) -> Iterator[Callable[[Site, Week], None]]:
    with Site(folder / "probe") as probe:
        probe.store = Drawn(waybills)  # type: ignore[assignment] # another kind of source
        probe.province()._make(WEEK, probe.now)
        outcome.parts = len(probe.province()._contents(WEEK)[0].parts)
    for part in range(outcome.parts):
        for tenth in range(10):
            yield lambda site, week, part=part, tenth=tenth: _cut_part(site, week, part, tenth)  # type: ignore[misc] # the defaults bind
    for step in STEPS:
        yield lambda site, _, step=step: _cut_step(site, step)  # type: ignore[misc] # the default binds


def _cut_part(site: Site, week: Week, part: int, tenth: int) -> None:
    history = site.province(first=week)
    history._make(week, site.now)
    sent = history._contents(week)[0].parts[part]
    cut = site.server.cut
    cut.of, cut.after_bytes, cut.times = sent.sm3, sent.size * tenth // 10, 2


def _cut_step(site: Site, step: str) -> None:
    cut = site.server.cut
    cut.at, cut.times = step, 2 if step.startswith("before") else 1


def cuts_of(parts: int) -> int:
    """How often the line is cut: what is tried again at once is cut twice."""
    return 2 * 10 * parts + sum(2 if step.startswith("before") else 1 for step in STEPS)


def _until_sent(site: Site, week: Week, outcome: Outcome) -> None:
    for _ in range(MOST_TRIES):
        try:
            with site.outlet() as outlet:
                sent = site.province(first=week).send_due(lambda: site.now, outlet)
        except (SendFailed, SendUnknown):
            pass
        else:
            if sent[-1].answer is not None:
                break
        site.desk.take()
        _whole_or_nothing(site, week, outcome)
    else:
        outcome.wrong.append(f"{week} was not answered")
        return
    if not sent[-1].reconciled or sent[-1].answer.taken != sent[-1].count:
        outcome.wrong.append(f"{week}: {sent[-1]}")
    if left := [path.name for path in site.requests().iterdir() if not path.name.startswith(".")]:
        outcome.wrong.append(f"{week}: never taken: {left}")


def _whole_or_nothing(site: Site, week: Week, outcome: Outcome) -> None:
    there = sum(of == week for _, _, of, _ in site.desk.waybills())
    if there not in (0, site.store.count):  # type: ignore[attr-defined] # `Drawn` has it
        outcome.wrong.append(f"{week}: {there} waybills of it")


def _count(site: Site, outcome: Outcome) -> None:
    numbers = site.numbers()
    outcome.waybills = len(numbers)
    if len(set(numbers)) != len(numbers):
        outcome.wrong.append("a waybill is there twice")
    if any(batch.doubled or batch.refused for batch in site.desk.batches()):
        outcome.wrong.append("something came twice, or was refused")


# --- kills ---


class Dying:
    """A way to the ministry, and a source, whose process is killed at its `point`."""

    def __init__(self, files: sftp.Files, source: Drawn, point: str) -> None:
        self._files = files
        self._source = source
        self._point = point

    def completed(self, begin: datetime, end: datetime) -> Iterator[Completed]:
        for at, each in enumerate(self._source.completed(begin, end)):
            if at == self._source.count // 2:
                self._reached("in mid-making")
            yield each

    def put(self, file: Path, done: Done) -> None:
        if self._point == "half of a part":
            half = file.read_bytes()[: done.size // 2]
            part = f"/requests/{handover.part_name(file.name, done.sm3[:16])}"
            self._files._on_a_line(lambda line: line.grow(part, 0, half))  # type: ignore[attr-defined] # a line of sftp
            _die()
        self._files.put(file, done)

    def send(self, envelope: bytes, *, key: str) -> bytes | None:
        self._reached("parts there")
        answer = self._files.send(envelope, key=key)
        self._reached("handed over")
        return answer

    def find(self, key: str) -> bytes | Standing:
        self._reached("made")
        found = self._files.find(key)
        if isinstance(found, bytes):
            self._reached("answer read")
        return found

    def _reached(self, point: str) -> None:
        if self._point == point:
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _province(site: _Apart, week: Week, count: int, point: str, begun: Connection) -> None:
    """In a process of its own."""
    home = site.site()
    with sftp.transport(site.config, no_secret) as files:
        dying = Dying(files, Drawn(count), point)
        home.store = dying  # type: ignore[assignment] # another kind of source
        history = home.province(first=week)
        begun.send_bytes(b".")
        history.send_due(lambda: week.end, dying)


def _ministry(site: _Apart, week: Week, count: int, point: str, begun: Connection) -> None:
    """In a process of its own."""
    if point == "in mid-taking":
        take = history_desk._Intake.take

        def half(intake: Any, lines: list[bytes]) -> None:
            take(intake, lines[: len(lines) // 2])
            _die()

        history_desk._Intake.take = half  # type: ignore[assignment, method-assign] # only in this process
    else:
        taken = history_desk._Turn._taken

        def only(*told: Any) -> bytes:
            taken(*told)
            _die()
            return b""

        history_desk._Turn._taken = only  # type: ignore[assignment, method-assign] # only in this process
    begun.send_bytes(b".")
    with site.site().new_desk() as desk:
        desk.take()


@dataclass
class _Apart:
    """What a process needs of a site."""

    folder: Path
    now: datetime
    keys: dict[str, Key]
    ministry: Key
    config: sftp.Config

    def site(self) -> Site:
        Site.keys, Site.ministry = self.keys, self.ministry
        return Site(self.folder, self.now)


def kills(folder: Path, count: int, waybills: int, seed: int = 7) -> Outcome:
    rng, outcome, began = random.Random(seed), Outcome(), time.monotonic()
    fork: ForkServerContext = multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload(["tests.history"])
    with Site(folder) as site:
        week = WEEK
        for at in range(count):
            point = POINTS[at % len(POINTS)]
            site.store = Drawn(waybills)  # type: ignore[assignment] # another kind of source
            site.now = week.end
            if point in {"answer read", *OF_MINISTRY}:
                with site.outlet() as outlet:
                    site.province(first=week).send_due(lambda: site.now, outlet)
            if point == "answer read":
                site.desk.take()
            apart = _Apart(folder, site.now, site.keys, site.ministry, site.config())
            ours, theirs = fork.Pipe(duplex=False)
            work = _ministry if point in OF_MINISTRY else _province
            child = fork.Process(target=work, args=(apart, week, waybills, point, theirs))
            child.start()
            theirs.close()
            ours.recv_bytes()
            if point == "random":
                child.join(rng.uniform(0, LONGEST_S))
                child.kill()
            child.join()
            ours.close()
            if child.exitcode == -signal.SIGKILL:
                outcome.killed += 1
            elif child.exitcode == 0 and point == "random":
                outcome.survived += 1
            else:
                outcome.wrong.append(f"ended with {child.exitcode} at {point}")
            _whole_or_nothing(site, week, outcome)
            _until_sent(site, week, outcome)
            week = week.following
            if (at + 1) % TOLD_EVERY == 0:
                print(f"{at + 1} of {count}, wrong: {len(outcome.wrong)}", file=sys.stderr, flush=True)
        _count(site, outcome)
        if outcome.waybills != count * waybills:
            outcome.wrong.append(f"the ministry has {outcome.waybills} waybills of {count * waybills}")
    outcome.seconds = time.monotonic() - began
    return outcome


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    with tempfile.TemporaryDirectory() as home:
        cut = cuts(Path(home), waybills=5_000)
    print(f"{cut.cut} cuts, {cut.parts} parts a week, {cut.waybills} waybills, {cut.seconds:.0f} s", flush=True)
    with tempfile.TemporaryDirectory() as home:
        killed = kills(Path(home), count, waybills=500, seed=seed)
    print(
        f"seed {seed}: {killed.killed} kills ({killed.survived} came too late), {killed.waybills} waybills, "
        f"{killed.seconds:.0f} s"
    )
    wrong = cut.wrong + killed.wrong
    for each in wrong[:10]:
        print(f"WRONG: {each}")
    print(f"wrong: {len(wrong)}")
    return 1 if wrong or cut.cut != cuts_of(cut.parts) else 0


if __name__ == "__main__":
    raise SystemExit(main())
