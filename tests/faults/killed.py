"""The whole agent killed with SIGKILL: `python -m tests.faults.killed [COUNT] [SEED]`.

A process harvests, checks, approves, signs and sends over https, with its log in a file; it is killed at a named point
or at any time, and begun again until nothing is left to do. At the end the receiver has what the logs say, each once.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from scraper_agent import envelope, values
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.archive.verify import verify
from scraper_agent.errors import AgentError
from scraper_agent.formats import FORMATS
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sandbox.tls import Authority
from scraper_agent.sending import https
from scraper_agent.signing import keyfolder
from scraper_agent.values import Draft, State, state
from tests.faults.agent import KILL, Agent
from tests.world import AK, NOW, PASSPHRASE

_SENDING = ("before send", "on answer", "after send", "before find", "after find")
_RUN = ("RunStarted", "Snapshot", "Draft", "RunEnded")
_DOCUMENT = ("Verdict", "Approval", "Envelope", "Attempt")


def _around(kinds: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{when} {kind}" for kind in kinds for when in ("before", "after"))


POINTS = (*_around((*_RUN, *_DOCUMENT)), *_SENDING, *_around(("Receipt",)))
"""In the order in which a document comes by."""
DOCUMENTS = 2
"""Of each log."""
AT_RANDOM = 3
"""Kills at any time, of each log that is killed so; every second one is."""


@dataclass
class Outcome:
    kills: Counter[str] = field(default_factory=Counter)
    logs: int = 0
    runs: int = 0
    documents: int = 0
    repeats: int = 0
    """Deliveries of what the receiver had already."""
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


def kill(count: int, seed: int = 6) -> Outcome:
    """Kill it so often."""
    outcome, rng, began = Outcome(), random.Random(seed), time.monotonic()
    context = _processes()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        keyfolder.create(home / "keys", SecretStr(PASSPHRASE), NOW)
        (entry,) = keyfolder.entries(home / "keys")
        files = Authority().write(home)
        with Platform(
            lambda: NOW, {(AK, "01"): entry.public_key}, FORMATS, database=home / "platform.db",
            tls=(files.certificate, files.key), window=timedelta(days=36_500),
        ) as platform:  # fmt: skip
            sent: dict[str, str] = {}
            while outcome.kills.total() < count:
                folder = home / str(outcome.logs)
                folder.mkdir()
                first = outcome.logs * DOCUMENTS + 1
                agent = Agent(
                    folder=folder,
                    keys=home / "keys",
                    config=https.Config(kind="https", url=platform.url, ca_file=files.ca),
                    public_key=platform.public_keys["01"],
                    records=range(first, first + DOCUMENTS),
                )
                _one_log(agent, outcome, context, rng, count)
                sent |= _accounted(agent, outcome)
            stored = platform.stored()
            outcome.documents = len(sent)
            outcome.repeats = sum(each.deliveries - 1 for each in stored)
            if {each.key: each.digest for each in stored} != sent or len(stored) != len(sent):
                outcome.wrong.append(f"the receiver has {len(stored)}, the logs have {len(sent)}, or others")
    outcome.seconds = time.monotonic() - began
    return outcome


def _processes() -> ForkServerContext | SpawnContext:
    """Where there is a fork server, a process begins with everything imported."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.agent"])
    return context


def _one_log(
    agent: Agent, outcome: Outcome, context: ForkServerContext | SpawnContext, rng: random.Random, count: int
) -> None:
    """One log, from its first beginning to the run that was let finish."""
    at_random = outcome.logs % 2 == 1
    outcome.logs += 1
    left, hours = list(POINTS), 0
    for number in range(AT_RANDOM if at_random else len(POINTS)):
        if outcome.kills.total() >= count or not left:
            break
        point = "" if at_random else min(left, key=lambda each: (outcome.kills[each], rng.random()))
        left = left[left.index(point) + 1 :] if point else left
        hours = number
        died = _run(agent, hours, point, context, outcome, rng.random() * 0.5 if at_random else None)
        if died:
            outcome.kills[point or "at any time"] += 1
            outcome.wrong += _problems(agent.folder / "archive.db")
    for more in range(1, 6):  # what was open is asked for, then sent, then asked for
        _run(agent, hours + more, "", context, outcome, None)
        if _finished(agent):
            return
    outcome.wrong.append(f"{agent.folder.name} does not come to its end")


def _problems(path: Path) -> list[str]:
    try:
        return [str(problem) for problem in verify(path).problems]
    except AgentError as error:
        if error.code != "SA5001":  # it was killed before it had made the archive
            raise
        return []


def _run(
    agent: Agent,
    hours: int,
    point: str,
    context: ForkServerContext | SpawnContext,
    outcome: Outcome,
    after_s: float | None,
) -> bool:
    """Begin the agent; whether it was killed, at `point` or after so many seconds."""
    process = context.Process(target=replace(agent, hours=hours, point=point).run)
    process.start()
    outcome.runs += 1
    if after_s is not None:
        process.join(after_s)
        process.kill()
    process.join()
    if process.exitcode not in (0, -KILL):
        outcome.wrong.append(f"ended with {process.exitcode} at {point or 'any time'}")
    return process.exitcode == -KILL


def _finished(agent: Agent) -> bool:
    with SqliteArchive(agent.folder / "archive.db", lambda: NOW, read_only=True) as archive:
        jobs = [archive.job(id) for id in archive.documents()]
    return len(jobs) == DOCUMENTS and all(state(job) is State.RECEIPTED for job in jobs)


def _accounted(agent: Agent, outcome: Outcome) -> dict[str, str]:
    """Digests by idempotency key of what the log says was sent and received."""
    path = agent.folder / "archive.db"
    outcome.wrong += map(str, verify(path).problems)
    found: dict[str, str] = {}
    with SqliteArchive(path, lambda: NOW, read_only=True) as archive:
        for id in archive.documents():
            job = archive.job(id)
            draft = job.facts[0]
            assert isinstance(draft, Draft)
            if state(job) is State.RECEIPTED:
                content = values.Digest(f"sm3:{id.rsplit('/', 1)[-1]}")
                found[envelope.idempotency_key(AK, draft.format, draft.key, content)] = draft.document
    return found


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 6
    outcome = kill(count, seed)
    table = Table("killed", "times")
    for point in (*POINTS, "at any time"):
        table.add_row(point, str(outcome.kills[point]))
    console = Console(width=120)
    console.print(table)
    console.print(
        f"{outcome.kills.total()} kills in {outcome.seconds:.0f} s, {outcome.runs} runs, {outcome.logs} logs; "
        f"{outcome.documents} documents, {outcome.repeats} delivered again; wrong: {outcome.wrong[:10]}"
    )
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
