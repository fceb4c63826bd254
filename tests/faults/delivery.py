"""Deliveries over a bad network: `python -m tests.faults.delivery [--kinds https …] [--count N]`.

Every kind of transport × every toxic × N documents, by the real pipeline and its log: sent, asked for, sent again. Each
document must have arrived exactly once, and its log must say so. To add a transport: a `Site` that names the address to
put the proxy before, and its line in `KINDS`.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.table import Table

from scraper_agent import envelope
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.archive.verify import verify
from scraper_agent.formats import FORMATS
from scraper_agent.pipeline import Pipeline, Receiver
from scraper_agent.ports import Transport
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sandbox.tls import Authority
from scraper_agent.sending import https
from scraper_agent.signing import sm2
from scraper_agent.values import Attempt, Draft, Job, JobId, State, state
from tests.faults.network import Proxy, Toxic
from tests.transports.contract import AK, FORMAT, KEY, SENDERS
from tests.world import PLAN, POLICY, PROFILE, RUN, frozen, seeing

BEGAN = datetime(2026, 5, 6, tzinfo=UTC)
AGES = timedelta(days=36_500)
"""The platform's window for `ts`: the clock of these runs jumps from one due time to the next."""
ROUNDS = 200
"""More than any delivery needs."""


class Site(Protocol):
    """A server with its receiving side. `platform` knows `SENDERS` and `FORMAT`."""

    platform: Platform

    @property
    def address(self) -> tuple[str, int]:
        """Of the server."""
        ...

    def transport_by(self, port: int) -> Transport:
        """One that reaches the server at this port of loopback."""
        ...


@dataclass
class HttpsSite:
    platform: Platform
    ca_file: Path

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.platform.home.rpartition(":")[2].strip("/"))

    def transport_by(self, port: int) -> Transport:
        url = f"https://127.0.0.1:{port}/receive"
        return https.HttpsTransport(
            https.Config(kind="https", url=url, ca_file=self.ca_file, connect_timeout_s=2, read_timeout_s=5)
        )


@contextmanager
def https_site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as name:
        files = Authority().write(Path(name))
        tls = (files.certificate, files.key)
        with Platform(lambda: BEGAN, SENDERS, {FORMAT}, window=AGES, tls=tls) as running:
            yield HttpsSite(running, files.ca)


KINDS: dict[str, Callable[[], AbstractContextManager[Site]]] = {"https": https_site}


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


def deliver(open_site: Callable[[], AbstractContextManager[Site]], toxic: Toxic | None, count: int) -> Outcome:
    ticks = itertools.count()
    outcome = Outcome(documents=count)
    with (
        tempfile.TemporaryDirectory() as name,
        open_site() as site,
        Proxy(site.address, toxic) as proxy,
        closing(site.transport_by(proxy.port)) as transport,
        SqliteArchive(Path(name) / "archive.db", lambda: BEGAN) as archive,
    ):
        keys = site.platform.public_keys
        pipeline = Pipeline(
            archive=archive,
            now=lambda: BEGAN + timedelta(minutes=5 * next(ticks)),  # whatever has to wait is due in a few looks
            formats=FORMATS,
            profile=PROFILE,
            policy=POLICY,
            signer=lambda: KEY,
            transport=transport,
            receiver=Receiver(ak=AK, profile=envelope.DEFAULT, public_keys=keys, verify=sm2.verify),
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
        if state(pipeline.advance(id)) in (State.RECEIPTED, State.REJECTED, State.DEAD):
            return number
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
    asked = parser.parse_args()
    table = Table("transport", "toxic", "documents", "attempts", "rounds", "broken", "repeats", "s", "wrong")
    failed = 0
    for kind, toxic in itertools.product(asked.kinds, asked.toxics):
        seen = deliver(KINDS[kind], toxic, asked.count)
        numbers = (seen.documents, seen.attempts, seen.rounds, seen.broken, seen.repeats, round(seen.seconds))
        table.add_row(kind, toxic, *map(str, numbers), str(len(seen.wrong)))
        print(kind, toxic.value, *numbers, *seen.wrong[:5], file=sys.stderr, flush=True)
        failed += len(seen.wrong)
    Console(width=120).print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
