"""What pages of an ERP say, through the pages about documents: shown, and never obeyed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from scraper_agent import canonical
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.console.rows import path
from scraper_agent.format import decode, encode
from scraper_agent.formats import FORMATS
from scraper_agent.values import Digest, Draft, Finding, JobId, Severity, Verdict
from tests.console import payloads
from tests.console.conftest import People, Served
from tests.console.payloads import PAYLOADS

EACH = 100
"""Payloads in one document, each in a line of its own."""
FORMAT = FORMATS["purchaseOrder"]


def evil(archive: SqliteArchive, number: int, some: Sequence[str], like: Draft) -> JobId:
    """A document that says a payload wherever a page can: number, names, lines, origins, findings."""
    document = decode(FORMAT, archive.get(like.document))
    header = {**document.header, "orderNumber": some[0], "supplierName": some[1], "contractNumber": some[2]}
    lines = tuple({**document.lines[0], "goodsName": each} for each in some)
    made = archive.put(encode(replace(document, header=header, lines=lines), FORMAT))
    origins = [
        {
            "box": [1, 1, 9, 9],
            "field": f"lines[{at}].goodsName",
            "frame": each,
            "page": like.page,
            "raw": each,
            "steps": [each],
            "target": f"label {each}",
            "value": each,
        }
        for at, each in enumerate(some, 1)
    ]
    findings = tuple(
        Finding(
            code="CHK-01",
            severity=Severity.WARNING,
            field=f"lines[{at}].{each}",
            text="is {value}",
            values={"value": each},
        )
        for at, each in enumerate(some[:10], 1)
    )
    provenance = archive.put(canonical.dumps(json.loads(json.dumps(origins))))
    id = JobId(f"doc/purchaseOrder/{number:064x}")
    drafted = replace(like, key=some[0], record=some[3], document=made, provenance=Digest(provenance))
    archive.append(id, 0, drafted)
    archive.append(id, 1, Verdict(document=made, findings=findings))
    return id


def test_what_documents_say_is_shown_and_never_obeyed(own: Served, people: People) -> None:
    with own.app.archive() as archive:
        (like,) = archive.documents(key="PO-9")
        draft = archive.job(like).facts[0]
        assert isinstance(draft, Draft)
        parts = [PAYLOADS[at : at + EACH] for at in range(0, len(PAYLOADS), EACH)]
        made = [evil(archive, number, some, draft) for number, some in enumerate(parts) if len(some) > 10]
    page = people.sign_in(own, "li.na")
    payloads.watch(page)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    each = [address for id in made for address in (path(id), f"{path(id)}/preview")]
    shown = ""
    for address in ("/approvals", "/documents", "/approvals/batch?do=approve&all=1", "/cases", *each):
        page.goto(own.url + address)
        payloads.harmless(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280, address
        assert not page.locator(".said").count()
        if address in map(path, made):
            # The script shows origins as text as well.
            page.locator("a.value").last.focus()
            payloads.harmless(page)
            shown += page.locator("main").inner_text()
    assert all(url.startswith(own.url) for url in requests)
    assert "<script>hit()</script>" in shown
