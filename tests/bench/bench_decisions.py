"""One approval of a thousand documents that wait together: what is shown first, and what is decided."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from scraper_agent import canonical
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.format import Document, encode
from scraper_agent.formats import FORMATS
from scraper_agent.pipeline import Pipeline
from scraper_agent.policy import Approving, Limit, Policy
from scraper_agent.values import Draft, JobId, State, Verdict
from tests.faults import offline
from tests.world import NOW, PLAN, PROFILE, RUN, frozen, seeing

DOCUMENTS = 1000
ORDER = "purchaseOrder"
POLICY = Policy(automatic={ORDER: Limit(amounts={"USD": Decimal(1000)})}, approval={ORDER: Approving(rule="per_batch")})


def measure(count: int = DOCUMENTS) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="decisions-") as folder:
        clock = offline.Clock()
        with SqliteArchive(Path(folder) / "archive.db", clock) as archive:
            line = offline.Line(clock, NOW, lambda _letter, _key: b"")
            seal = offline.Seal()
            pipeline = offline.pipeline(archive, clock, line, seal, offline.holds, {"01": seal.public_key}, lambda: 0.5)
            pipeline.policy, pipeline.profile = POLICY, PROFILE
            _wait(pipeline, archive, count)
            began = time.perf_counter()
            shown = pipeline.batch(RUN)
            looked = time.perf_counter()
            pipeline.decide_batch(shown, shown=shown.digest, by="li", reason="looked at")
            decided = time.perf_counter()
            if archive.counts() != {State.APPROVED: count}:
                raise RuntimeError(f"{dict(archive.counts())} after the approval of {count}")
    return {"show_s": looked - began, "decide_s": decided - looked, "whole_s": decided - began}


def _wait(pipeline: Pipeline, archive: SqliteArchive, count: int) -> None:
    """One order that was read, and others like it, all of one run and checked."""
    (first,) = pipeline.harvest(RUN, PLAN, seeing(frozen(1))).documents
    job = pipeline.check(first)
    draft, verdict = job.facts
    if not isinstance(draft, Draft) or not isinstance(verdict, Verdict):
        raise TypeError(job)
    like = pipeline.document(job)
    with archive.together():
        for number in range(2, count + 1):
            key = f"PO-{number}"
            document = archive.put(encode(_numbered(like, key), FORMATS[ORDER]))
            id = JobId(f"doc/{ORDER}/{canonical.sm3(key.encode()).hex()}")
            archive.append(id, 0, replace(draft, key=key, record=f"orders/{number}", document=document))
            archive.append(id, 1, replace(verdict, document=document))


def _numbered(like: Document, key: str) -> Document:
    return replace(like, header={**like.header, "orderNumber": key})


if __name__ == "__main__":
    print(measure(int(sys.argv[1]) if len(sys.argv) > 1 else DOCUMENTS))
