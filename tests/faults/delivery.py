"""Deliveries over a bad network: `python -m tests.faults.delivery [--kinds https …] [--count N] [--seed N]`.

Every kind of transport × every toxic × N documents, by the real pipeline and its log: sent, asked for, sent again. Each
document must have arrived exactly once, and its log must say so. `sites.py` has the servers.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scraper_agent import envelope, ports
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.archive.verify import verify
from scraper_agent.formats import FORMATS
from scraper_agent.pipeline import Pipeline, Receiver
from scraper_agent.sandbox.platform import Platform
from scraper_agent.signing import native
from scraper_agent.signing.check import Verifying
from scraper_agent.values import Attempt, Draft, Job, JobId, State, state
from tests.faults.network import TOXICITY, Proxy, Toxic
from tests.faults.sites import BEGAN, KINDS, TURNS, Site
from tests.transports.contract import AK, KEY
from tests.world import PLAN, POLICY, PROFILE, RUN, frozen, seeing

ROUNDS = 2_000
"""More than any delivery needs."""
PAUSE_S = 0.01
"""Between two looks for an answer that comes in its own time."""


class _Quick(native.NativeKey):
    """The senders' key as an installation with the extra `native` has it."""

    key_index, public_key = KEY.key_index, KEY.public_key

    def __init__(self) -> None:
        super().__init__(KEY.d, KEY.public_key)


@dataclass(kw_only=True)
class Outcome:
    documents: int
    attempts: int = 0
    rounds: int = 0
    repeats: int = 0
    """Deliveries of what the receiver had already."""
    broken: int = 0
    """Connections."""
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


def deliver(
    open_site: Callable[[], AbstractContextManager[Site]],
    toxic: Toxic | None,
    count: int,
    toxicity: float = TOXICITY,
    seed: int = 6,
) -> Outcome:
    ticks = itertools.count()
    outcome = Outcome(documents=count)
    with (
        tempfile.TemporaryDirectory() as name,
        open_site() as site,
        Proxy(site.address, toxic, toxicity=toxicity, seed=seed) as proxy,
        closing(site.transport_by(proxy.port)) as transport,
        SqliteArchive(Path(name) / "archive.db", lambda: BEGAN) as archive,
    ):
        keys = site.platform.public_keys
        signer: ports.Signer = _Quick() if native.available() else KEY
        pipeline = Pipeline(
            archive=archive,
            now=lambda: BEGAN + timedelta(minutes=5 * next(ticks)),  # whatever has to wait is due in a few looks
            formats=FORMATS,
            profile=PROFILE,
            policy=POLICY,
            signer=lambda: signer,
            transport=transport,
            receiver=Receiver(ak=AK, profile=envelope.DEFAULT, public_keys=keys, verify=Verifying()),
        )
        ids = list(pipeline.harvest(RUN, PLAN, seeing(*map(frozen, range(1, count + 1)))).documents)
        began = time.monotonic()
        for id in ids:
            outcome.rounds += _settled(pipeline, id, proxy)
        outcome.seconds = time.monotonic() - began
        outcome.broken = proxy.hit
        jobs = [archive.job(id) for id in ids]
        outcome.attempts = sum(isinstance(fact, Attempt) for job in jobs for fact in job.facts)
        outcome.repeats = sum(stored.deliveries - 1 for stored in site.platform.stored())
        outcome.wrong = _wrong(jobs, pipeline, site.platform)
        problems = verify(Path(name) / "archive.db").problems
        outcome.wrong += [str(problem) for problem in problems]
    return outcome


def _settled(pipeline: Pipeline, id: JobId, proxy: Proxy) -> int:
    """Sends, asks and sends again, as the runs of a schedule would; how many it took."""
    for number in range(1, ROUNDS + 1):
        proxy.before_each()
        stands = state(pipeline.advance(id))
        if stands in (State.RECEIPTED, State.REJECTED, State.DEAD):
            return number
        if stands is State.DELIVERED:
            time.sleep(PAUSE_S)
    return ROUNDS


def _wrong(jobs: list[Job], pipeline: Pipeline, platform: Platform) -> list[str]:
    """What is not as it must be: the receiver's set is the log's, each once, and every receipt is there."""
    stored = platform.stored()
    sent = {pipeline.key(job): _document(job) for job in jobs}
    wrong = [f"{job.id}: {state(job)}" for job in jobs if state(job) is not State.RECEIPTED]
    if len(stored) != len(jobs):
        wrong.append(f"{len(stored)} stored of {len(jobs)}")
    if {each.key: each.digest for each in stored} != sent:
        wrong.append("the receiver's set is another than the log's")
    return wrong


def _document(job: Job) -> str:
    draft = job.facts[0]
    assert isinstance(draft, Draft)
    return draft.document


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--toxics", nargs="*", default=list(Toxic), choices=list(Toxic), type=Toxic)
    parser.add_argument("--seed", type=int, default=6, help="of the network's faults: another for each share of a dose")
    asked = parser.parse_args()
    table = Table("transport", "toxic", "documents", "attempts", "rounds", "broken", "repeats", "s", "wrong")
    failed = 0
    for kind, toxic in itertools.product(asked.kinds, asked.toxics):
        # A network that is down is so for a whole delivery; the other toxics act in each turn of it.
        toxicity = TOXICITY if toxic is Toxic.DOWN else 1 - (1 - TOXICITY) ** (1 / TURNS[kind])
        seen = deliver(KINDS[kind], toxic, asked.count, toxicity, asked.seed)
        numbers = (seen.documents, seen.attempts, seen.rounds, seen.broken, seen.repeats, round(seen.seconds))
        table.add_row(kind, toxic, *map(str, numbers), str(len(seen.wrong)))
        print(kind, toxic.value, *numbers, *seen.wrong[:5], file=sys.stderr, flush=True)
        failed += len(seen.wrong)
    Console(width=120).print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
