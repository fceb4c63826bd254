"""One document of 20 lines from its frozen page to its signed envelope in the log, against a signature by gmssl."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from scraper_agent import envelope
from scraper_agent import policy as policies
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.capture import discovery
from scraper_agent.formats import FORMATS
from scraper_agent.mapping import Reader
from scraper_agent.pipeline import Harvest, Pipeline, Plan, Receiver, _Run
from scraper_agent.ports import Page, Standing
from scraper_agent.signing import connect, keyfile, keyfolder, sm2
from scraper_agent.signing.sm2_file import Config
from scraper_agent.values import Completeness, Envelope, Finding, Job, JobId
from tests.bench import bench_page

RUNS = 25
CURRENCY = f"V{[f.id for f in bench_page.HEADER].index('currencyCode')}"
PASSPHRASE = SecretStr("bench passphrase")
PROFILE = {"uscc": "91350100M000100Y43", "name": "Bench"}


def now() -> datetime:
    return datetime(2026, 11, 21, tzinfo=UTC)


def frozen_pages(count: int) -> list[bytes]:
    """The page of `bench_page`, frozen once, with another document number each."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only to make the pages

    from scraper_agent.capture import browser  # noqa: PLC0415

    with sync_playwright() as playwright:
        chromium = discovery.launch(playwright, None, headless=True, tell=print)
        tab = chromium.new_page()
        tab.set_content(bench_page.html())
        frozen: str = tab.evaluate(browser._FREEZE, "http://bench/page")
        chromium.close()
    return [frozen.replace("//bench/page", f"//bench/{n}").encode() for n in range(count)]


def measure(runs: int = RUNS) -> dict[str, float]:
    """Medians in ms; `ratio`: the whole through a signature made and checked by gmssl. Bodies and facts are fsynced."""
    pages = frozen_pages(runs + 2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keyfolder.create(folder / "keys", PASSPHRASE, now())
        signer = connect(Config(kind="file", folder=folder / "keys", key="01"), PASSPHRASE, now)
        own = keyfile.generate()
        with SqliteArchive(folder / "archive.db", now) as archive:
            unlimited = policies.Limit(amounts={CURRENCY: Decimal(10**12)}, lines=500, warnings="allow")
            pipeline = _NeverBlocked(
                archive=archive,
                now=now,
                formats=FORMATS,
                profile=PROFILE,
                policy=policies.Policy(automatic={"foreignInvoice": unlimited}, lists=Completeness.UNPROVED),
                signer=lambda: signer,
                transport=_Unplugged(),
                receiver=Receiver(
                    ak="310001", profile=envelope.DEFAULT, public_keys={"01": signer.public_key}, verify=sm2.verify
                ),
            )
            recipe = bench_page.recipe()
            plan = Plan(
                recipe=recipe,
                recipe_source=b"",
                lookups={},
                parameters={},
                policy_source=b"",
                started_by="",
                agent="",
            )
            run = _Run(pipeline, JobId("run/bench"), 0)
            run.append(pipeline._started(plan))
            reader = Reader(recipe=recipe, format=FORMATS["foreignInvoice"], lookups={}, profile=PROFILE)
            ids: list[JobId] = []

            def read(frozen: bytes) -> None:
                found = Harvest()
                page = Page(name="page", url="http://bench/page", frozen=frozen, image=None)
                pipeline._page(run, page, reader, plan, found)
                ids.extend(found.documents)

            def seal(id: JobId) -> None:
                job = pipeline.archive.job(id)
                while not isinstance(job.last, Envelope):
                    fact = pipeline._next(job, fresh=True, send=True)
                    assert fact is not None, job
                    job = pipeline._with(job, fact)

            # As a run goes: everything is read, then each document is taken as far as it goes.
            reading = [_ms(partial(read, frozen)) for frozen in pages]
            sealing, sign = [], []
            for id, frozen in zip(ids, pages, strict=True):
                sealing.append(_ms(partial(seal, id)))
                sign.append(_ms(partial(sm2.sign, own.d, own.public_key, frozen[:8192])))  # so long are requests
            whole = [a + b for a, b in zip(reading, sealing, strict=True)]
    return {
        "sign_ms": statistics.median(sign[2:]),
        "document_ms": statistics.median(whole[2:]),
        "ratio": statistics.median(w / s for w, s in zip(whole[2:], sign[2:], strict=True)),
    }


class _NeverBlocked(Pipeline):
    """The page's values are made up and would be blocked: the rules run, their findings are left out."""

    def _findings(self, job: Job) -> tuple[Finding, ...]:
        super()._findings(job)
        return ()


class _Unplugged:
    """Nothing is sent in this benchmark."""

    repeat: Literal["ask"] = "ask"

    def send(self, envelope: bytes, *, key: str) -> bytes:
        raise AssertionError

    def find(self, key: str) -> bytes | Standing:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError


def _ms(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    for name, number in measure().items():
        print(f"{name:>20} {number:10.2f}")
