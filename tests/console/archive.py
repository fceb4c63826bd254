"""A folder as the agent works in it, with documents in every state: read from frozen pages, without an ERP."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import yaml
from PIL import Image, ImageDraw

from scraper_agent import app as wiring
from scraper_agent.app import App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.cli import demo
from scraper_agent.values import (
    Approval,
    Attempt,
    DeadLetter,
    Draft,
    Envelope,
    Fact,
    JobId,
    Receipt,
    Refused,
    Retry,
)
from tests import policies, world

NOW = world.NOW
"""When the console is looked at: 6 May 2026, 09:30 in Beijing."""
RUN = JobId("run/20260506T010000000000-test-order")
OLDER = JobId("run/20260505T010000000000-test-order")
PEOPLE = {
    "zhang.wei": ["operator"],
    "li.na": ["approver"],
    "chen.jing": ["approver"],
    "wang.fang": ["auditor"],
    "liu.yang": ["administrator"],
}


def folder(at: Path) -> App:
    """Config, policy with `PEOPLE` and this account, key and recipes; no archive yet."""
    demo.Trial(
        folder=at,
        recipes=demo.RECIPES,
        parameters={"base": "http://127.0.0.1:9", "user": "query"},
        password="query-only-7",  # noqa: S106 - of no ERP
        limit=Decimal(1000),
    ).prepare()
    policy = yaml.safe_load((at / "policy.yaml").read_text(encoding="utf-8"))
    everything = ["operator", "approver", "auditor", "administrator"]
    policy["people"] = {name: {"roles": roles} for name, roles in {**PEOPLE, wiring.account(): everything}.items()}
    (at / "policy.yaml").write_text(yaml.safe_dump(policy, allow_unicode=True), encoding="utf-8")
    sign(at)
    return App.load(at / "config.yaml", tell=lambda _: None)


def sign(at: Path) -> None:
    """The policy as it is now."""
    policies.sign(at, (at / "passphrase").read_text(encoding="utf-8"))


def image(number: str) -> bytes:
    """A JPEG of a page that shows little."""
    drawn = Image.new("RGB", (800, 600), "white")
    ImageDraw.Draw(drawn).text((40, 40), number, fill="black")
    out = io.BytesIO()
    drawn.save(out, "JPEG")
    return out.getvalue()


def fill(app: App, now: datetime = NOW) -> None:
    """Two runs, one of yesterday; of their documents one in each state that there is without a person."""
    clock = _ticking(now - timedelta(days=1))
    _read(app, OLDER, clock, range(101, 104))
    clock = _ticking(now - timedelta(minutes=30))
    read = _read(app, RUN, clock, range(1, 11), dear=(9,), wrong=(10,))
    with SqliteArchive(app.home / app.config.archive, lambda: next(clock)) as archive:
        for id, how in zip(read, ("accepted", "accepted", "refused", "unknown", "dead", "waits"), strict=False):
            _append(archive, id, *_sent(archive, id, how))


def _read(
    app: App,
    run: JobId,
    clock: Iterator[datetime],
    records: range,
    *,
    dear: tuple[int, ...] = (),
    wrong: tuple[int, ...] = (),
) -> list[JobId]:
    """`dear`: above the policy's limit; `wrong`: with a total that is none of its lines."""
    pages = []
    for record in records:
        content = world.frozen(
            record, price="250.00" if record in dear else "10.00", total="1.00" if record in wrong else ""
        )
        pages.append(replace(world.page(content), image=image(f"PO-{record}")))
    with SqliteArchive(app.home / app.config.archive, lambda: next(clock)) as archive:
        pipeline = app.pipeline(archive, lambda _job, _fact: None)
        pipeline.now = lambda: next(clock)
        refused = Refused(method="POST", url="http://erp.example/save?n=1", reason="writes")
        found = pipeline.harvest(run, world.PLAN, world.seeing(refused, *pages))
        for id in found.documents:
            pipeline.check(id)
        return list(found.documents)


def _sent(archive: SqliteArchive, id: JobId, how: str) -> list[Fact]:
    draft = archive.job(id).facts[0]
    assert isinstance(draft, Draft)
    sealed = archive.put(f"an envelope of {id}".encode())
    approval = Approval(document=draft.document, granted=True, by="policy", reason="within the limits: 1 lines")
    signed = Envelope(document=draft.document, envelope=sealed, key_index="01", profile="ak-ts-sk-ps/1")
    attempt = Attempt(envelope=sealed, number=1)
    receipt = Receipt(
        envelope=sealed,
        receipt=archive.put(f"an answer to {id}".encode()),
        accepted=how == "accepted",
        remote_id="R-0001" if how == "accepted" else "",
        message="" if how == "accepted" else "合同号不在册",
    )
    ends: dict[str, list[Fact]] = {
        "accepted": [receipt],
        "refused": [receipt],
        "unknown": [],
        "dead": [DeadLetter(envelope=sealed, number=1, reason="connection refused")],
        "waits": [Retry(envelope=sealed, number=1, reason="connection refused", not_before=NOW + timedelta(hours=1))],
    }
    return [approval, signed, attempt, *ends[how]]


def _append(archive: SqliteArchive, id: JobId, *facts: Fact) -> None:
    for fact in facts:
        archive.append(id, archive.length(id), fact)


def _ticking(begin: datetime) -> Iterator[datetime]:
    at = begin
    while True:
        yield at
        at += timedelta(milliseconds=350)
