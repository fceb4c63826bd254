"""`python -m tests.faults.sftp_killed [COUNT] [SEED]`: a sender killed at any point, while a reader looks on.

Each time a sender of its own process is ended by SIGKILL: before or after each step that changes the server's folder,
in the middle of writing, or after a random time. Another sender then does what the pipeline does after a crash: it
looks, and sends again unless the document is delivered. Meanwhile one reader reads every name it can see, and the
platform takes what is offered. What must hold: the reader sees whole letters only, each letter has one effect, and
nothing but parts of the dead is left.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from scraper_agent import envelope
from scraper_agent.ports import Standing
from scraper_agent.sandbox.folders import Desk
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sending import handover, sftp
from scraper_agent.sending.exchange import Exchange, Line
from tests.transports.contract import FORMAT, SENDERS, letter
from tests.transports.servers.sshd import Sshd

STEPS = ("request written", "request renamed", "done written", "done renamed")
POINTS = ("before the first", *(f"half of {step}" for step in STEPS if "written" in step), *STEPS, "random")
"""Where the sender dies: after a step, in the middle of one, or whenever."""
TOLD_EVERY = 50
LONGEST_S = 0.06
"""Most that a sender that dies whenever lives after it has connected; a whole delivery takes about half of it."""


@dataclass
class Outcome:
    killed: Counter[str] = field(default_factory=Counter)
    """How often the sender died at each point."""
    survived: int = 0
    """Those that were done before their random time was over."""
    seen: int = 0
    """Files that the reader read under a name that is no part's."""
    wrong: list[str] = field(default_factory=list)
    """What should not have been seen."""
    effects: int = 0
    parts_left: int = 0
    seconds: float = 0.0


class Dying:
    """A line whose process is killed at its `point`."""

    def __init__(self, line: Line, point: str, connected: Connection) -> None:
        self._line = line
        self._point = point
        self.until = line.until
        connected.send_bytes(b".")
        if point == "before the first":
            _die()

    def write(self, path: str, data: bytes) -> None:
        step = "done written" if ".done." in path else "request written"
        if self._point == f"half of {step}":
            self._line.write(path, data[: len(data) // 2])
            _die()
        self._line.write(path, data)
        self._after(step)

    def rename(self, old: str, new: str) -> None:
        self._line.rename(old, new)
        self._after("done renamed" if new.endswith(handover.DONE) else "request renamed")

    def read(self, path: str, most: int) -> bytes | None:
        return self._line.read(path, most)

    def size(self, path: str) -> int | None:
        return self._line.size(path)

    def remove(self, path: str) -> None:
        self._line.remove(path)

    def changed(self, folder: str) -> Mapping[str, int]:
        return self._line.changed(folder)

    def close(self) -> None:
        self._line.close()

    def _after(self, step: str) -> None:
        if self._point == step:
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def no_secret(*_: object) -> SecretStr:
    raise AssertionError


def send(config: sftp.Config, body: bytes, key: str, point: str, connected: Connection) -> None:
    """In a process of its own."""
    whole = sftp.transport(config, no_secret)
    Exchange("sftp", config, lambda until: Dying(whole._connect(until), point, connected)).send(body, key=key)


class Reader:
    """Reads every name that is no part's, as soon and as often as it can."""

    def __init__(self, folder: Path, outcome: Outcome) -> None:
        self._folder = folder
        self._outcome = outcome
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.whole: dict[str, set[bytes]] = {}
        """The letters that may be seen under each name."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stopped.wait(0.001):
            for path in self._folder.iterdir():
                if path.name.startswith("."):
                    continue
                try:
                    data = path.read_bytes()
                except FileNotFoundError:
                    continue  # it was taken
                self._outcome.seen += 1
                if path.name.endswith(handover.DONE):
                    right = handover.read_done(data) is not None
                else:
                    right = data in self.whole[path.name]
                if not right:
                    self._outcome.wrong.append(f"{path.name}: {data[:80]!r}")


def run(count: int, seed: int, home: Path) -> Outcome:
    rng, outcome, began = random.Random(seed), Outcome(), time.monotonic()
    fork: ForkServerContext = multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload(["scraper_agent.sandbox.folders", "tests.transports.servers.sshd"])
    with (
        Platform(lambda: datetime.now(UTC), SENDERS, {FORMAT}) as platform,
        Sshd(home) as server,
        Reader(server.requests, outcome) as reader,
        Desk(platform, server.requests, server.receipts, every_s=0.01),
    ):
        config = sftp.Config(
            kind="sftp",
            host="127.0.0.1",
            port=server.port,
            user=server.user,
            key_file=server.key_file,
            known_hosts=server.known_hosts,
            folder=str(server.requests),
            receipts=str(server.receipts),
        )
        keys = []
        with sftp.transport(config, no_secret) as again:
            for number in range(count):
                point = POINTS[number % len(POINTS)]
                (body, key), (anew, _) = letter(number, 500), letter(number, 500)
                keys.append(key)
                reader.whole[f"{key}.json"] = {body, anew}
                ours, theirs = fork.Pipe(duplex=False)
                child = fork.Process(target=send, args=(config, body, key, point, theirs))
                child.start()
                theirs.close()
                ours.recv_bytes()
                _end(child, point, rng, outcome)
                ours.close()
                _settle(again, anew, key)
                if (number + 1) % TOLD_EVERY == 0:
                    told = f"{number + 1} of {count}, wrong: {len(outcome.wrong)}"
                    print(told, file=sys.stderr, flush=True)
        outcome.effects = len(platform.stored())
        if sorted(stored.key for stored in platform.stored()) != sorted(keys):
            outcome.wrong.append("the platform has other letters than were sent")
        outcome.parts_left = sum(path.name.startswith(".") for path in server.requests.iterdir())
        if any(not path.name.startswith(".") for path in server.requests.iterdir()):
            outcome.wrong.append("something was never taken")
    outcome.seconds = time.monotonic() - began
    return outcome


def _end(child: BaseProcess, point: str, rng: random.Random, outcome: Outcome) -> None:
    if point == "random":
        child.join(rng.uniform(0, LONGEST_S))
        child.kill()
    child.join()
    if child.exitcode == -signal.SIGKILL:
        outcome.killed[point] += 1
    elif child.exitcode == 0 and point == "random":
        outcome.survived += 1
    else:
        outcome.wrong.append(f"the sender ended with {child.exitcode} at {point}")


def _settle(transport: Exchange, body: bytes, key: str) -> None:
    """As the pipeline does after a crash: look, send again unless it is there, wait for the receipt."""
    found = transport.find(key)
    if found is Standing.UNKNOWN:
        transport.send(body, key=key)
    end = time.monotonic() + 20
    while not isinstance(found := transport.find(key), bytes):
        assert time.monotonic() < end, f"no receipt of {key}"
        time.sleep(0.005)
    assert envelope.RECEIPT_BYTES > len(found) > 0


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    with tempfile.TemporaryDirectory() as home:
        outcome = run(count, seed, Path(home))
    print(f"seed {seed}: {count} senders in {outcome.seconds:.0f} s; killed: {sum(outcome.killed.values())}")
    for point in POINTS:
        print(f"  {point:24} {outcome.killed[point]}")
    print(f"done before their random time was over: {outcome.survived}")
    print(
        f"files the reader read: {outcome.seen}; wrong: {len(outcome.wrong)}; parts of the dead: {outcome.parts_left}"
    )
    print(f"effects at the platform: {outcome.effects} of {count}")
    for wrong in outcome.wrong[:10]:
        print(f"WRONG: {wrong}")
    return 1 if outcome.wrong or outcome.effects != count else 0


if __name__ == "__main__":
    raise SystemExit(main())
