"""How long the console's pages take over 100,000 documents and 1,000,000 facts, and over a few.

The large archive is made once and kept under .cache. A page is asked for over HTTP as a browser asks for it, by
somebody who is signed in; what is told is the median, of the slowest page.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import httpx

from scraper_agent import canonical, values
from scraper_agent import console as consoles
from scraper_agent.app import App
from scraper_agent.archive import sqlite
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.values import Draft, Fact, JobId, Reason
from tests.console import archive as small

CACHE = Path(__file__).parents[2] / ".cache" / "bench-console"
DOCUMENTS = 100_000
SHARE = 2_000
FEW = 200
"""Of the archive that pages are compared with."""
FACTS_EACH = 10
"""So many facts for each document, those of its run included."""
RUN_LENGTH = 200
"""Documents of a run."""
RUNS = 9
JOINED_S = 900.0
"""How long it may take until the business cases of the archive are joined."""
BETWEEN = timedelta(seconds=8)
"""Two facts."""
RECIPES = tuple(f"erp{number}/{name}" for number in range(4) for name in ("order", "invoice", "stock"))
ENDS = ("receipted",) * 92 + ("held", "blocked", "rejected", "waiting", "dead", "unknown", "declined", "held")

PAGES = (
    "/",
    "/log",
    "/log?kind=documents",
    "/log?person=li.na",
    "/log?person=li.na&kind=decisions",
    "/log?since=2026-03-01&until=2026-03-02&kind=runs",
    "/log?find=PO-0050000",
    "/log?find=PO-00",
    "/log?find=Supplier",
    "/refused",
    "/recipes",
    "/recipes/erp0/order",
    "/destinations",
    "/policy",
    "/keys",
    "/documents",
    "/documents?state=held",
    "/documents?key=PO-0000050",
    "/documents?state=held&least=500&currency=CNY",
    "/approvals",
    "/approvals?erp=erp1",
    "/runs",
    "{run}",
    "{document}",
    "{document}/preview",
    "/cases",
    "/cases?incomplete=1",
    "/cases?name=PO-0000050",
    "/cases/PO-0000050",
)
"""Each page, some with their searches; what is in braces stands for one in the middle of the archive."""


@dataclass
class _Making:
    archive: SqliteArchive
    template: Draft
    document: dict[str, object]
    made: int = 0
    """Documents."""

    def run(self, number: int, documents: int) -> None:
        job = JobId(f"run/{number:06}")
        length = 0

        def log(fact: Fact) -> None:
            nonlocal length
            self.archive.append(job, length, fact)
            length += 1

        log(_started(number))
        draft = self.template
        for _ in range(documents):
            draft = self._draft(job)
            log(_snapshot(draft.page, self.made))
            log(_snapshot(draft.page, self.made))
            log(values.Refused(method="POST", url=f"https://erp.example/save?n={self.made}", reason="writes"))
            self._document(draft)
            self.made += 1
        if number % 10 == 0:
            log(_fault(draft.page))
        proved = values.Certificate(state=values.Completeness.PROVED)
        doubted = values.Certificate(
            state=values.Completeness.UNPROVED, reasons=(Reason(text="the list moved while it was read"),)
        )
        certificate = doubted if number % 7 == 0 else proved
        log(values.ListRead(name="orders", declared=documents, harvested=documents, pages=9, certificate=certificate))
        log(values.RunEnded(complete=number % 7 != 0, documents=documents, faults=int(number % 10 == 0)))

    def _draft(self, run: JobId) -> Draft:
        key = f"PO-{self.made:07}"
        header = dict(self.document["header"])  # type: ignore[call-overload]
        header |= {
            "orderNumber": key,
            "sourceRecordKey": f"orders/{self.made}",
            "supplierName": f"Supplier {self.made % 2000} 贸易有限公司",
            "totalAmount": f"{self.made % 900 + 100}.5",
        }
        body = self.archive.put(canonical.dumps_plain({**self.document, "header": header}))
        return replace(self.template, run=run, key=key, record=f"orders/{self.made}", document=body)

    def _document(self, draft: Draft) -> None:
        job = JobId(f"doc/{draft.format}/{draft.document[4:]}")
        for position, fact in enumerate(_life(draft, self.made)):
            self.archive.append(job, position, fact)


def _started(number: int) -> Fact:
    return values.RunStarted(
        recipe_id=RECIPES[number % len(RECIPES)],
        recipe_version="1.2.0",
        recipe=canonical.digest(b"recipe"),
        policy=canonical.digest(b"policy"),
        parameters={"from": "2026-02-01", "to": "2026-02-28"},
        started_by=canonical.sm3(b"zhang.wei").hex(),
        agent="scraper-agent 1.0.0",
        dry_run=False,
    )


def _snapshot(page: values.Digest, number: int) -> Fact:
    url = f"https://erp.example.com/U8/sale/order.aspx?id=SO2026{number:07}"
    return values.Snapshot(name="order", url=url, taken_at=small.NOW, page=page, image=page)


def _fault(page: values.Digest) -> Fact:
    return values.Fault(
        where="orders row 7", page=page, code="SA2001", text="no place {place} on the page", values={"place": "#total"}
    )


def _life(draft: Draft, number: int) -> Iterator[Fact]:
    end = ENDS[number * 37 % len(ENDS)]
    who = ("policy", "person:li.na", "person:chen.jing")[number % 3]
    envelope = canonical.digest(b"envelope %d" % number)
    yield draft
    wrong = values.Finding(code="SA3107", severity=values.Severity.ERROR, field="totalAmount", text="is wrong")
    yield values.Verdict(document=draft.document, findings=(wrong,) if end == "blocked" else ())
    if end in ("held", "blocked"):
        return
    yield values.Approval(document=draft.document, granted=end != "declined", by=who, reason="looked at")
    if end == "declined":
        return
    yield values.Envelope(document=draft.document, envelope=envelope, key_index="01", profile="ak-ts-sk-ps/1")
    yield values.Attempt(envelope=envelope, number=1)
    if end == "unknown":
        return
    if end == "waiting":
        later = small.NOW + timedelta(hours=1)
        yield values.Retry(envelope=envelope, number=1, reason="connection refused", not_before=later, cause="away")
        return
    if end == "dead":
        yield values.DeadLetter(envelope=envelope, number=1, reason="connection refused")
        return
    yield values.Delivered(envelope=envelope, number=1)
    receipt = canonical.digest(b"receipt %d" % number)
    accepted = end == "receipted"
    yield values.Receipt(envelope=envelope, receipt=receipt, accepted=accepted, remote_id=f"R{number}", message="入库")


def folder(documents: int) -> Path:
    """A folder as the agent works in it, whose archive has so many documents and ten times as many facts; kept."""
    made_by = (_Making, _started, _snapshot, _fault, _life, fill)
    sources = "".join(inspect.getsource(each) for each in made_by)
    constants = f"{sqlite.SCHEMA} {RUN_LENGTH} {BETWEEN} {RECIPES} {ENDS} "
    mark = hashlib.sha256((constants + sources).encode()).hexdigest()[:12]
    at = CACHE / f"{documents}-{mark}"
    if at.is_dir():
        return at
    CACHE.mkdir(parents=True, exist_ok=True)
    for old in CACHE.glob(f"{documents}-*"):
        shutil.rmtree(old)
    making = Path(tempfile.mkdtemp(dir=CACHE))
    fill(small.folder(making), documents)
    making.rename(at)
    return at


def fill(app: App, documents: int) -> None:
    facts = documents * FACTS_EACH
    at = small.NOW - facts * BETWEEN - timedelta(days=2)
    small.fill(app, at)

    def clock() -> datetime:
        nonlocal at
        at += BETWEEN
        return at

    with SqliteArchive(app.home / app.config.archive, clock) as archive:
        archive._db.execute("PRAGMA synchronous = OFF")  # made anew if the machine stops
        archive._db.execute("PRAGMA cache_size = -200000")
        template = next(e.fact for e in archive.entries() if isinstance(e.fact, Draft))
        making = _Making(archive, template, json.loads(archive.get(template.document)))
        for number in range(-(-documents // RUN_LENGTH)):
            with archive.together():
                making.run(number, min(RUN_LENGTH, documents - making.made))
        run = JobId("run/filling")
        with archive.together():
            for position in range(max(0, facts - archive.head().size)):
                archive.append(run, position, _snapshot(template.page, position))


@dataclass(frozen=True, slots=True)
class _Took:
    """Medians in ms."""

    cpu: float
    wall: float


def _timed(app: App, runs: int) -> dict[str, _Took]:
    """Of each page."""
    with app.archive(read_only=True) as archive:
        documents, readings = archive.documents(), archive.runs()
    middle = (ids[len(ids) // 2].partition("/")[2] for ids in (documents, readings))
    of = {"document": f"/documents/{next(middle)}", "run": f"/runs/{next(middle)}"}
    with consoles.serve(app, config=app.home / "config.yaml", port=0, clock=lambda: small.NOW) as console:
        headers = {"Origin": console.url}
        with httpx.Client(base_url=console.url, headers=headers, trust_env=False, timeout=60) as client:
            token = console.sessions.link("li.na", small.NOW)
            assert client.post("/sign-in", data={"token": token, "lang": "zh"}).status_code == 303
            _joined(client)
            return {page: _took(client, page.format(**of), runs) for page in PAGES}


def _joined(client: httpx.Client) -> None:
    """Business cases are joined in the background, once; until then their pages ask for patience."""
    end = time.monotonic() + JOINED_S
    while "Refresh" in client.get("/cases").headers and time.monotonic() < end:
        time.sleep(0.5)


def _took(client: httpx.Client, page: str, runs: int) -> _Took:
    cpu, wall = zip(*(_ms(client, page) for _ in range(runs)), strict=True)
    return _Took(statistics.median(cpu), statistics.median(wall))


def _ms(client: httpx.Client, page: str) -> tuple[float, float]:
    # Of the processor: server and client are this process, the archive is in memory once it was read, and whoever else
    # uses the machine is not measured. By the clock it is told beside it.
    started, clock = time.process_time(), time.perf_counter()
    answer = client.get(page)
    assert answer.status_code == 200, (page, answer.status_code, answer.text[:2000])
    return (time.process_time() - started) * 1000, (time.perf_counter() - clock) * 1000


def measure(documents: int = DOCUMENTS, runs: int = RUNS) -> dict[str, float]:
    """`slowest_ms`: the median of the slowest page; `ratio`: that through the same page over few documents."""
    with tempfile.TemporaryDirectory() as name:
        few = small.folder(Path(name))
        fill(few, FEW)
        reference = _timed(few, runs)
    many = _timed(App.load(folder(documents) / "config.yaml", tell=lambda _: None), runs)
    slowest = max(many, key=lambda page: many[page].cpu)
    for page, took in many.items():
        few_ms = f"{reference[page].cpu:9.1f} ms over a few"
        print(f"{took.cpu:9.1f} ms ({took.wall:.1f} by the clock) {few_ms}  {page}", file=sys.stderr)
    return {
        "slowest_ms": many[slowest].cpu,
        "slowest_by_the_clock_ms": max(took.wall for took in many.values()),
        "median_ms": statistics.median(took.cpu for took in many.values()),
        "ratio": many[slowest].cpu / reference[slowest].cpu,
    }


if __name__ == "__main__":
    for name, number in measure(*map(int, sys.argv[1:2])).items():
        print(f"{name:>12} {number:10.2f}")
