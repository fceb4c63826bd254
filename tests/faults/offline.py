"""The receiver is away for 30 days while documents wait; then all are sent. `python -m tests.faults.offline [COUNT]`.

Time is simulated, and so is the receiver; the archive, the pipeline and the schedule are the real ones. Signing is a
digest here: what is measured is the outbox.
"""

from __future__ import annotations

import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from scraper_agent import canonical, envelope, outbox, ports
from scraper_agent.app import App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.errors import SendFailed
from scraper_agent.formats import FORMATS
from scraper_agent.pipeline import Pipeline, Receiver
from scraper_agent.policy import Policy
from scraper_agent.ports import Standing, Transport
from scraper_agent.values import Approval, Digest, Draft, Envelope, Fact, JobId, State, Verdict
from tests.world import AK, NOW, RUN

AWAY = timedelta(days=30)
FORMAT = "purchaseOrder"


class Seal:
    """A signer that takes no time: its signature is a digest, which anybody can make."""

    key_index = "01"
    public_key = "ab" * 64

    def sign(self, message: bytes) -> bytes:
        return canonical.sm3(message) * 2


def holds(_public_key: str, message: bytes, signature: bytes) -> bool:
    return canonical.sm3(message) * 2 == signature


@dataclass
class Ledger:
    """A receiver that counts how often each document arrived, and answers with a receipt."""

    now: Callable[[], datetime]
    arrived: Counter[str] = field(default_factory=Counter)
    refused: bool = False
    """What arrives now is."""

    def receive(self, letter: bytes, key: str) -> bytes:
        request = envelope.open_request(letter, holds, Seal.public_key)
        assert request.key == key
        age = self.now().timestamp() - request.ts
        assert 0 <= age <= outbox.DEFAULT.resign_after_s, f"signed {age} s ago"
        self.arrived[key] += 1
        taken = not self.refused
        answer = envelope.Answer(
            code="0000" if taken else "4221", msg="", key=key, digest=request.digest, accepted=taken, id=key[:8]
        )
        return envelope.build_receipt(answer, Seal(), self.now())


@dataclass
class Line:
    """A transport that is down until `back`."""

    now: Callable[[], datetime]
    back: datetime
    receive: Callable[[bytes, str], bytes]
    repeat: Literal["ask"] = "ask"
    tried: int = 0

    def send(self, envelope: bytes, *, key: str) -> bytes:
        if self.now() < self.back:
            self.tried += 1
            raise SendFailed("SA4020", "no connection")
        return self.receive(envelope, key)

    def find(self, key: str) -> bytes | Standing:
        raise SendFailed("SA4028", "nobody to ask")

    def close(self) -> None:
        pass


@dataclass
class Clock:
    at: datetime = NOW

    def __call__(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def document(number: int, supplier: str) -> bytes:
    return canonical.dumps({"header": {"orderNumber": f"PO-{number}", "supplierName": supplier}, "lines": []})


def fill(archive: SqliteArchive, count: int, now: datetime, signer: ports.Signer) -> None:
    """So many signed documents, as a run would have left them, in few transactions."""
    for start in range(0, count, 10_000):
        with archive.together():
            for number in range(start, min(start + 10_000, count)):
                fill_one(archive, number, now, signer)


def fill_one(
    archive: SqliteArchive, number: int, now: datetime, signer: ports.Signer, supplier: str = "上海启明精工"
) -> JobId:
    return put_signed(archive, FORMAT, f"PO-{number}", document(number, supplier), now, signer)


def put_signed(
    archive: SqliteArchive, format: str, key: str, body: bytes, now: datetime, signer: ports.Signer, ak: str = AK
) -> JobId:
    """A document of any format as far as it goes without being sent."""
    id = JobId(f"doc/{format}/{canonical.sm3(body).hex()}")
    digest = archive.put(body)
    once = envelope.idempotency_key(ak, format, key, Digest(f"sm3:{id.rsplit('/', 1)[-1]}"))
    letter = archive.put(envelope.build(body, format, once, ak, signer, now))
    facts: tuple[Fact, ...] = (
        Draft(run=RUN, format=format, key=key, record=key, document=digest, provenance=digest, page=digest),
        Verdict(document=digest, findings=()),
        Approval(document=digest, granted=True, by="policy", reason=""),
        Envelope(document=digest, envelope=letter, key_index=signer.key_index, profile=envelope.DEFAULT.name),
    )
    for position, fact in enumerate(facts):
        archive.append(id, position, fact)
    return id


def pipeline(
    archive: SqliteArchive,
    clock: Clock,
    transport: Transport,
    signer: ports.Signer,
    verify: ports.Verify,
    keys: Mapping[str, str],
    draw: Callable[[], float],
) -> Pipeline:
    return Pipeline(
        archive=archive,
        now=clock,
        formats=FORMATS,
        profile={},
        policy=Policy(),
        signer=lambda: signer,
        transport=transport,
        receiver=Receiver(ak=AK, profile=envelope.DEFAULT, public_keys=keys, verify=verify),
        draw=draw,
    )


def drain(pipeline: Pipeline, archive: SqliteArchive, clock: Clock, until: datetime) -> None:
    App.deliver(None, pipeline, archive, until=until, sleep=clock.sleep)  # type: ignore[arg-type] # it needs nothing of the App


def main(count: int) -> int:
    clock = Clock()
    ledger = Ledger(clock)
    line = Line(clock, NOW + AWAY, ledger.receive)
    with tempfile.TemporaryDirectory(prefix="offline-") as folder:
        path = Path(folder) / "archive.db"
        with _told(f"{count} documents signed and logged", count), SqliteArchive(path, clock) as archive:
            fill(archive, count, clock(), Seal())
        with SqliteArchive(path, clock) as archive:
            draw = random.Random(6).random
            sender = pipeline(archive, clock, line, Seal(), holds, {"01": Seal.public_key}, draw)
            with _told("what is due, first page"):
                next(archive.due(clock()))
            with _told("how many stand where"):
                assert archive.counts() == {State.SIGNED: count}
            with _told("30 days away"):
                drain(sender, archive, clock, NOW + AWAY - timedelta(hours=1))
            print(f"  tried {line.tried} times")
            with _told("sent and receipted", count):
                drain(sender, archive, clock, NOW + AWAY + timedelta(days=365))
            waiting = archive.counts()
        size = path.stat().st_size
    lost, doubled = count - len(ledger.arrived), sum(n > 1 for n in ledger.arrived.values())
    print(f"{lost} lost, {doubled} doubled, {dict(waiting)}; archive {size / 1e9:.2f} GB")
    print(f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    return int(bool(lost or doubled or waiting != {State.RECEIPTED: count}))


@contextmanager
def _told(what: str, count: int = 0) -> Iterator[None]:
    began, worked = time.perf_counter(), time.process_time()
    yield
    took, work = time.perf_counter() - began, time.process_time() - worked
    rate = f", {count / took:.0f}/s, {count / work:.0f}/s of the processor's time" if count else ""
    print(f"{what}: {took:.3f} s{rate}", flush=True)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
