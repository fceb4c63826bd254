"""How long `verify` takes for 100,000 facts, against hashing the same bytes one by one.

`python -m tests.bench.bench_verify` prints it. Bodies are left out: their cost is their own size.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scraper_agent import canonical, values
from scraper_agent.archive import sqlite
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.archive.verify import verify
from scraper_agent.values import Fact, Finding, JobId, Severity

FACTS = 100_000
RUNS = 5
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def facts(count: int) -> Iterator[tuple[JobId, int, Fact]]:
    """A run that reads one document per page, each of which goes all the way to its receipt."""
    run = JobId("run/20260302T080000Z-u8_sale_order")
    yield run, 0, _run_started()
    for number in range(count // 7):
        page = canonical.digest(b"page %d" % number)
        snapshot = values.Snapshot(
            name="order",
            url=f"https://erp.example.com/U8/sale/order.aspx?id=SO2026{number:07}",
            taken_at=START + timedelta(seconds=number),
            page=page,
            image=canonical.digest(b"image %d" % number),
        )
        yield run, number + 1, snapshot
        document = canonical.digest(b"document %d" % number)
        job = JobId(f"doc/customs_declaration/{document[4:]}")
        for position, fact in enumerate(_document_facts(run, number, document, page)):
            yield job, position, fact
    for position in range(count // 7 + 1, count // 7 + count % 7):
        yield run, position, values.RunEnded(complete=True, documents=count // 7, faults=0)


def _run_started() -> Fact:
    return values.RunStarted(
        recipe_id="u8/sale_order",
        recipe_version="1.2.0",
        recipe=canonical.digest(b"recipe"),
        policy=canonical.digest(b"policy"),
        parameters={"from": "2026-02-01", "to": "2026-02-28"},
        started_by=canonical.digest(b"clerk")[4:],
        agent="scraper-agent 1.0.0",
        dry_run=False,
    )


def _document_facts(run: JobId, number: int, document: values.Digest, page: values.Digest) -> Iterator[Fact]:
    key = f"SO2026{number:07}"
    envelope = canonical.digest(b"envelope %d" % number)
    yield values.Draft(
        run=run,
        format="customs_declaration",
        key=key,
        record=f"sale_order/{key}",
        document=document,
        provenance=canonical.digest(b"provenance %d" % number),
        page=page,
    )
    finding = Finding(
        code="SA3107",
        severity=Severity.WARNING,
        field="lines[2].netWeight",
        text="net weight {net} is greater than gross weight {gross}",
        values={"net": "12.50 千克", "gross": "12.00 千克"},
    )
    yield values.Verdict(document=document, findings=(finding,) if number % 5 == 0 else ())
    yield values.Approval(document=document, granted=True, by="person:王芳", reason="checked against the invoice")
    yield values.Envelope(document=document, envelope=envelope, key_index="01", profile="gbt32918-raw")
    yield values.Attempt(envelope=envelope, number=1)
    yield values.Receipt(
        envelope=envelope,
        receipt=canonical.digest(b"receipt %d" % number),
        accepted=True,
        remote_id=f"I2026030200{number:08}",
        message="入库成功",
    )


def build(path: Path, count: int) -> list[bytes]:
    """An archive of `count` facts without bodies; returns the entries' bytes."""
    with SqliteArchive(path, lambda: START) as archive:
        archive._db.execute("PRAGMA synchronous = OFF")  # nobody keeps this one
        for job, position, fact in facts(count):
            archive.append(job, position, fact)
    with closing(sqlite.connect(path)) as db:
        return [row[0] for row in db.execute("SELECT entry FROM log ORDER BY idx")]


def measure(count: int = FACTS, runs: int = RUNS) -> dict[str, float]:
    """`ratio` is the median over `runs` of verify's time through that of hashing; seconds are medians too."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "archive.db"
        entries: list[bytes] = []
        built_s = _seconds(lambda: entries.extend(build(path, count)))

        def hash_all() -> None:
            for entry in entries:
                hashlib.new("sm3", entry).digest()

        def verify_all() -> None:
            report = verify(path, bodies=False)
            assert report.whole, report.problems[:3]
            assert report.entries == len(entries)

        pairs = [(_seconds(hash_all), _seconds(verify_all)) for _ in range(runs)]
    return {
        "facts": len(entries),
        "bytes_per_fact": sum(map(len, entries)) / len(entries),
        "append_cpu_ms": built_s / len(entries) * 1000,
        "hash_s": statistics.median(hashing for hashing, _ in pairs),
        "verify_s": statistics.median(verifying for _, verifying in pairs),
        "ratio": statistics.median(verifying / hashing for hashing, verifying in pairs),
    }


def _seconds(act: Callable[[], None]) -> float:
    # Of the processor alone: both sides work from memory, and whoever else uses the machine is not measured.
    started = time.process_time()
    act()
    return time.process_time() - started


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:>15} {value:12.3f}")
