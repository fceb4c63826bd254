"""One archive and the other side, as one process of the agent has them: what the tests of the pipeline share.

Imports little: every killed process of `test_pipeline.py` starts with this.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from pydantic import SecretStr

from scraper_agent import canonical, envelope, values
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.errors import AgentError
from scraper_agent.formats import FORMATS
from scraper_agent.pipeline import Harvest, Pipeline, Plan, Receiver
from scraper_agent.policy import Limit, Policy
from scraper_agent.ports import Page, Sighting, Transport
from scraper_agent.recipe import Recipe
from scraper_agent.sending import https
from scraper_agent.signing import sm2, sm2_file
from scraper_agent.values import (
    Approval,
    Attempt,
    Draft,
    Envelope,
    Job,
    JobId,
    Receipt,
    Verdict,
)

NOW = datetime(2026, 5, 6, 1, 30, tzinfo=UTC)
RUN = JobId("run/1")
AK = "310001"
ACCOUNT = "query-account-7c1f"
PASSPHRASE = "pass phrase of the test key"  # noqa: S105 - of a key this process makes
PROFILE = {"uscc": "91350100M000100Y43", "name": "上海启明精工有限公司", "special_zone": "0"}
POLICY = Policy(automatic={"purchaseOrder": Limit(amounts={"USD": Decimal(1000)})})
STRAIGHT = [Draft, Verdict, Approval, Envelope, Attempt, Receipt]
COLUMNS = {
    "orderLineNumber": "行号",
    "materialNumber": "料号",
    "goodsName": "品名",
    "orderedQuantity": "数量",
    "unitCode": "单位",
    "unitPrice": "单价",
    "lineAmount": "金额",
}
RECIPE = Recipe.model_validate(
    {
        "recipe": "test/order",
        "version": "1",
        "format": "purchaseOrder",
        "erp": "TEST",
        "parameters": {"base": {"type": "url"}, "user": {"type": "account"}},
        "steps": [{"do": "open", "url": "${base}/orders"}, {"do": "snap", "name": "order"}],
        "document": {
            "page": "order",
            "record": {"url": True, "pattern": r"/(orders/\d+)$"},
            "header": {
                "orderNumber": {"css": "#number"},
                "orderDate": {"css": "#date"},
                "buyerUscc": {"profile": "uscc"},
                "buyerName": {"profile": "name"},
                "supplierCode": {"css": "#code"},
                "supplierName": {"css": "#supplier"},
                "currencyCode": {"css": "#currency"},
                "totalAmount": {"css": "#total"},
            },
            "lines": {"values": {id: {"column": name} for id, name in COLUMNS.items()}},
        },
    }
)
PLAN = Plan(
    recipe=RECIPE,
    recipe_source=b"recipe: test/order",
    lookups={},
    parameters={"base": "http://erp.example", "user": ACCOUNT},
    policy_source=b"automatic: {}",
    started_by=canonical.sm3(b"account").hex(),
    agent="scraper_agent test",
)


def frozen(
    record: int = 1, *, number: str = "", price: str = "10.00", total: str = "", supplier: str = "ACME"
) -> bytes:
    """One order of 30 pieces, as `freeze.js` would have written it."""
    amount = f"{Decimal(price) * 30:.2f}"
    shown = {
        "number": number or f"PO-{record}",
        "date": "2026-05-04",
        "code": "S-1",
        "supplier": supplier,
        "currency": "USD",
        "total": total or amount,
    }
    cells = ["1", "A-20110", "深沟球轴承", "30", "007", price, amount]
    fields = "".join(f'<i id="{id}" frozen-box="0 0 9 9">{text}</i>' for id, text in shown.items())
    heads = "".join(f'<th frozen-box="0 0 9 9">{name}</th>' for name in COLUMNS.values())
    row = "".join(f'<td frozen-box="0 0 9 9">{cell}</td>' for cell in cells)
    return (
        f'<html xmlns="http://www.w3.org/1999/xhtml" frozen-url="http://erp.example/orders/{record}"><body>{fields}'
        f"<table><thead><tr>{heads}</tr></thead><tbody><tr>{row}</tr></tbody></table></body></html>"
    ).encode()


def page(content: bytes, name: str = "order") -> Page:
    return Page(name=name, url="http://erp.example/orders", frozen=content, image=None)


@dataclass(frozen=True)
class Script:
    """A browser that sees these things, one after the other, and meets the errors among them."""

    sightings: tuple[Sighting | AgentError, ...]

    def harvest(self, recipe: Recipe, parameters: object, done: object = ()) -> Iterator[Sighting]:
        for sighting in self.sightings:
            if isinstance(sighting, AgentError):
                raise sighting
            yield sighting


def seeing(*sightings: bytes | Sighting | AgentError) -> Script:
    return Script(tuple(page(s) if isinstance(s, bytes) else s for s in sightings))


class Crash(BaseException):
    """The machine stops."""


class CrashingArchive(SqliteArchive):
    """Calls `die` before append number `at` (from 0), or after it. -1: never."""

    at = -1
    after = False
    die: Callable[[], None]
    appends = 0

    def append(self, job: JobId, position: int, fact: values.Fact) -> values.Entry:
        here, self.appends = self.appends == self.at, self.appends + 1
        if here and not self.after:
            self.die()
        entry = super().append(job, position, fact)
        if here and self.after:
            self.die()
        return entry


def crash() -> None:
    raise Crash


def kill() -> None:
    # Where there is no SIGKILL, as on Windows, SIGTERM ends a process as hard.
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


@dataclass
class World:
    """One archive in `folder`, and the other side."""

    folder: Path
    keys: Path
    transport: Transport
    public_keys: dict[str, str]
    policy: Policy = POLICY
    at: int = -1
    after: bool = False
    die: Callable[[], None] = crash
    now: datetime = NOW
    doubts: list[str] = field(default_factory=list)
    """Codes, of the last pipeline."""
    kind: type[CrashingArchive] = CrashingArchive

    @property
    def path(self) -> Path:
        return self.folder / "archive.db"

    @contextmanager
    def pipeline(self) -> Iterator[Pipeline]:
        """As one process has it. A crash happens in the first one only."""
        with self.kind(self.path, lambda: self.now) as archive:
            archive.at, archive.after, archive.die, self.at = self.at, self.after, self.die, -1
            signing = sm2_file.Config(kind="file", folder=self.keys, key="01")
            pipeline = Pipeline(
                archive=archive,
                now=lambda: self.now,
                formats=FORMATS,
                profile=PROFILE,
                policy=self.policy,
                signer=lambda: (
                    SIGNERS.get(self.keys)
                    or SIGNERS.setdefault(
                        self.keys, sm2_file.Sm2FileSigner(signing, SecretStr(PASSPHRASE), lambda: NOW)
                    )
                ),
                transport=self.transport,
                receiver=Receiver(ak=AK, profile=envelope.DEFAULT, public_keys=self.public_keys, verify=sm2.verify),
            )
            yield pipeline
            self.doubts = [error.code for _, error in pipeline.doubts]

    def harvest(self, *sightings: bytes | Sighting | AgentError, plan: Plan = PLAN) -> Harvest:
        with self.pipeline() as pipeline:
            return pipeline.harvest(RUN, plan, seeing(*sightings))

    def everything(self, *sightings: bytes | Sighting | AgentError, plan: Plan = PLAN) -> list[Job]:
        """Harvest, then advance what was read: what `run` does."""
        with self.pipeline() as pipeline:
            return [pipeline.advance(id) for id in pipeline.harvest(RUN, plan, seeing(*sightings)).documents]

    def send(self) -> list[Job]:
        """Take every document as far as it goes: what `send` does."""
        with self.pipeline() as pipeline:
            return [pipeline.advance(id) for id in pipeline.archive.documents()]

    def later(self, by: timedelta = timedelta(minutes=3)) -> None:
        """Time goes by: more than a wait after few attempts, less than a signature lasts."""
        self.now += by

    def jobs(self) -> list[Job]:
        with SqliteArchive(self.path, lambda: NOW, read_only=True) as archive:
            return [archive.job(id) for id in archive.documents()]

    def run(self) -> Job:
        with SqliteArchive(self.path, lambda: NOW, read_only=True) as archive:
            return archive.job(RUN)

    def body(self, digest: values.Digest) -> bytes:
        with SqliteArchive(self.path, lambda: NOW, read_only=True) as archive:
            return archive.get(digest)

    def header(self, job: Job) -> dict[str, object]:
        with self.pipeline() as pipeline:
            return dict(pipeline.document(job).header)


SIGNERS: dict[Path, sm2_file.Sm2FileSigner] = {}


def child(folder: str, keys: str, url: str, public_key: str, at: str, after: str) -> None:
    """The whole scenario in a process of its own, which dies at append `at`."""
    with https.HttpsTransport(https.Config(kind="https", url=url)) as transport:
        world = World(Path(folder), Path(keys), transport, {"01": public_key})
        world.at, world.after, world.die = int(at), after == "after", kill
        world.everything(frozen(int(Path(folder).name)))
