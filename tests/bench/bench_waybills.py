"""Uploading waybills of dangerous goods to a province of its own beside customs, measured as `bench_outbox` does."""

from __future__ import annotations

from scraper_agent import canonical
from scraper_agent.format import encode
from scraper_agent.pipeline import Destination, Pipeline
from scraper_agent.values import Approval, Draft, Fact, JobId, Verdict
from tests.bench import bench_outbox
from tests.waybills import DANGEROUS, waybill
from tests.world import RUN


def measure(rounds: int = bench_outbox.ROUNDS) -> dict[str, float]:
    """As `bench_outbox.measure`."""
    return bench_outbox.measure(rounds, _approved)


def _approved(pipeline: Pipeline, numbers: range) -> dict[JobId, Draft]:
    province = Destination(receiver=pipeline.receiver, transport=pipeline.transport)
    pipeline.destinations = {DANGEROUS.name: province, "waybillStatus": province}
    drafts = {}
    for number in numbers:
        key = f"WB{number:022}"
        body = encode(waybill(i1=key), DANGEROUS)
        id = JobId(f"doc/{DANGEROUS.name}/{canonical.sm3(body).hex()}")
        digest = pipeline.archive.put(body)
        drafts[id] = Draft(
            run=RUN, format=DANGEROUS.name, key=key, record=key, document=digest, provenance=digest, page=digest
        )
        approval = Approval(document=digest, granted=True, by="policy", reason="")
        facts: tuple[Fact, ...] = (drafts[id], Verdict(document=digest, findings=()), approval)
        for position, fact in enumerate(facts):
            pipeline.archive.append(id, position, fact)
    return drafts


if __name__ == "__main__":
    for name, number in measure().items():
        print(f"{name:>20} {number:10.2f}")
