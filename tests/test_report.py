"""The report on one harvest of the demo ERP, with a hostile document and a hostile page beside it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from gettext import NullTranslations
from pathlib import Path
from typing import Any

import pytest
from lxml import html
from playwright.sync_api import Browser, Dialog, Page, Request, expect, sync_playwright

from scraper_agent import canonical, envelope, messages, report
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.authoring.load import load
from scraper_agent.capture.browser import PlaywrightBrowser, Settings
from scraper_agent.errors import AgentError
from scraper_agent.format import decode, encode
from scraper_agent.formats import FORMATS
from scraper_agent.mapping import Origin
from scraper_agent.pipeline import Pipeline, Plan, Receiver
from scraper_agent.policy import Limit, Policy
from scraper_agent.ports import Page as SeenPage
from scraper_agent.report import words
from scraper_agent.sandbox.erp import USER, Erp
from scraper_agent.values import (
    Approval,
    Attempt,
    Draft,
    Envelope,
    Fact,
    Failure,
    Fault,
    Finding,
    Job,
    JobId,
    ListRead,
    Outcome,
    Parked,
    Receipt,
    Refused,
    Retry,
    RunEnded,
    RunStarted,
    Severity,
    Snapshot,
    State,
    Verdict,
    state,
)

PASSWORD = "query-only-7"  # noqa: S105 - of the ERP this file starts
CHROMIUM = Path("/usr/bin/chromium")
RECIPES = Path(__file__).parents[1] / "recipes" / "demo"
RUN = JobId("run/report-test")
NOW = datetime(2026, 5, 6, 1, 30, tzinfo=UTC)
BLOB = canonical.digest(b"some body")
EVIL = "<script>alert(1)</script></script><img src=x onerror=alert(2)> \"'><!-- {{ 7*7 }} \u2028"
PROFILE = {"uscc": "91350100M000100Y43", "name": "上海演示精密机械有限公司", "special_zone": "0"}
VERIFIED = report.Verified(entries=77, root="5a" * 32)


class NoTransport:
    repeat = "never"

    def send(self, envelope: bytes, *, key: str) -> bytes:
        raise AssertionError

    def find(self, key: str) -> bytes | None:
        raise AssertionError


def ticking() -> Iterator[datetime]:
    at = NOW - timedelta(hours=1)
    while True:
        yield at
        at += timedelta(milliseconds=350)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """A filled archive and what is in it."""

    path: Path
    documents: list[JobId]
    evil: JobId
    blocked: JobId
    receipted: JobId
    held: JobId

    def write(self, to: Path, **change: Any) -> str:
        settings: dict[str, Any] = {"now": NOW, "verified": VERIFIED, "runs": [RUN], "documents": self.documents}
        settings |= change
        with SqliteArchive(self.path, lambda: NOW, read_only=True) as archive:
            runs, documents = settings.pop("runs"), settings.pop("documents")
            report.write(to, archive, runs, documents, FORMATS, **settings)
        return to.read_text(encoding="utf-8")


def harvested(archive: SqliteArchive, clock: Iterator[datetime]) -> Pipeline:
    """The orders of one supplier: one of them is faulty, one very large."""
    recipe = archive.path.with_name("order.yaml")
    every = (RECIPES / "order.yaml").read_text(encoding="utf-8")
    recipe.write_text(every.replace('"${base}/orders"', '"${base}/orders?q=Great+Lakes"'), encoding="utf-8")
    shutil.copy(RECIPES / "lookups.yaml", recipe.parent)
    loaded = load(recipe, FORMATS)
    receiver = Receiver(ak="A10001", profile=envelope.DEFAULT, public_keys={}, verify=lambda *_: False)
    pipeline = Pipeline(
        archive=archive,
        now=lambda: next(clock),
        formats=FORMATS,
        profile=PROFILE,
        policy=Policy(automatic={"purchaseOrder": Limit(amounts={"USD": Decimal(1000)})}),
        signer=lambda: pytest.fail("nothing is signed here"),
        transport=NoTransport(),  # type: ignore[arg-type]
        receiver=receiver,
    )
    secrets = {"password": PASSWORD}
    with Erp(PASSWORD) as erp:
        plan = Plan(
            recipe=loaded.recipe,
            recipe_source=loaded.source,
            lookups=loaded.lookups,
            parameters={"base": erp.url, "user": USER},
            policy_source=b"automatic: {}",
            started_by=canonical.sm3(b"account").hex(),
            agent="scraper_agent 0.0",
        )
        browser = PlaywrightBrowser(
            settings=Settings(executable=CHROMIUM), secret=secrets.__getitem__, tell=lambda _: None
        )
        pipeline.harvest(RUN, plan, browser)
    for id in archive.documents(run=RUN):
        pipeline.check(id)
    return pipeline


def continued(archive: SqliteArchive, id: JobId, *facts: Fact) -> None:
    for fact in facts:
        archive.append(id, archive.length(id), fact)


def draft_of(archive: SqliteArchive, id: JobId) -> Draft:
    first = archive.job(id).facts[0]
    assert isinstance(first, Draft)
    return first


def sent(archive: SqliteArchive, id: JobId, accepted: bool) -> list[Fact]:
    document, sealed = draft_of(archive, id).document, archive.put(b"an envelope")
    approval = Approval(document=document, granted=True, by="policy", reason="within the limits: 3 lines")
    signed = Envelope(document=document, envelope=sealed, key_index="01", profile="ak-ts-sk-ps/1")
    receipt = Receipt(
        envelope=sealed, receipt=archive.put(b"an answer"), accepted=accepted, remote_id="R-0001", message=""
    )
    if not accepted:
        receipt = replace(receipt, remote_id="", message=f"合同号不在册 {EVIL}")
    retry = Retry(envelope=sealed, number=1, reason="connection refused")
    return [approval, signed, Attempt(envelope=sealed, number=1), retry, Attempt(envelope=sealed, number=2), receipt]


def hostile(archive: SqliteArchive, like: JobId) -> JobId:
    """A document of a page that says `EVIL` wherever it can."""
    draft = draft_of(archive, like)
    format = FORMATS[draft.format]
    document = decode(format, archive.get(draft.document))
    header = {**document.header, "supplierName": EVIL, "orderNumber": EVIL}
    origins = json.loads(archive.get(draft.provenance))
    for origin in origins:
        if origin["field"] in ("supplierName", "orderNumber"):
            origin |= {"raw": EVIL, "target": f"label {EVIL}", "steps": [f"pattern {EVIL}: {EVIL}"], "frame": EVIL}
    evil = replace(
        draft,
        key=EVIL,
        record=EVIL,
        document=archive.put(encode(replace(document, header=header), format)),
        provenance=archive.put(canonical.dumps(origins)),
    )
    finding = Finding(
        code="CHK-01",
        severity=Severity.ERROR,
        field=f"lines[1].{EVIL}",
        text="is `{value}`, but must have the form {pattern}",
        values={"value": EVIL, "pattern": "x"},
    )
    id = JobId(f"doc/purchaseOrder/{'e' * 64}")
    continued(archive, id, evil, Verdict(document=evil.document, findings=(finding,)))
    return id


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Books:
    path = tmp_path_factory.mktemp("report") / "archive.db"
    clock = ticking()
    with SqliteArchive(path, lambda: next(clock)) as archive:
        pipeline = harvested(archive, clock)
        ids = archive.documents(run=RUN)
        blocked = next(id for id in ids if state(archive.job(id)) is State.BLOCKED)
        good = [id for id in ids if id != blocked]
        continued(archive, good[0], *sent(archive, good[0], accepted=True))
        continued(archive, good[1], *sent(archive, good[1], accepted=False))
        continued(archive, good[2], *sent(archive, good[2], accepted=True)[:3])
        document = draft_of(archive, good[3]).document
        no = Approval(document=document, granted=False, by="person:li.wei", reason=f"重复下单 {EVIL}")
        continued(archive, good[3], no)
        evil = hostile(archive, good[4])
        first = draft_of(archive, good[4])
        snapshot = next(f for f in archive.job(RUN).facts if isinstance(f, Snapshot) and f.page == first.page)
        page = archive.put(f"<p>{EVIL}".encode())
        seen = SeenPage(name=EVIL, url=f"http://erp/{EVIL}", frozen=b"", image=None)
        continued(
            archive,
            RUN,
            replace(snapshot, name=seen.name, url=seen.url, page=page),
            Fault(
                where=f"page {EVIL}",
                page=page,
                code="SA2301",
                text="the page {url} shows {seen} rows, but declares {expected}",
                values={"url": EVIL, "seen": "3", "expected": "4"},
                hint="rows may still be folded away: add an `unfold` step; or correct `rows`, `skip`, `declared`",
            ),
            *[Refused(method="POST", url=f"http://erp/save?n={n}#x", reason="writes") for n in range(3)],
            Refused(method="GET", url=f"http://erp/{EVIL}", reason=EVIL),
            ListRead(name="cut short", declared=66, harvested=8, pages=1),
            ListRead(name="whole", declared=None, harvested=5, pages=1),
            RunEnded(complete=False, documents=8, faults=1),
        )
        pipeline.archive = archive
        return Books(
            path=path,
            documents=[*ids, evil],
            evil=evil,
            blocked=blocked,
            receipted=good[0],
            held=good[5],
        )


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM))
        yield browser
        browser.close()


@pytest.fixture
def opened(books: Books, tmp_path: Path, chromium: Browser) -> Iterator[Page]:
    """The report in a browser without a network, with whatever it complained of checked at the end."""
    books.write(tmp_path / "report.html")
    context = chromium.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints: list[str] = []

    def dismissed(dialog: Dialog) -> None:
        complaints.append(dialog.message)
        dialog.dismiss()

    def requested(request: Request) -> None:
        if not request.url.startswith(("file:", "data:")):
            complaints.append(request.url)

    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", dismissed)
    page.on("request", requested)
    page.goto((tmp_path / "report.html").as_uri())
    yield page
    assert complaints == []
    context.close()


def text(node: html.HtmlElement) -> str:
    return " ".join(str(node.text_content()).split())


def parsed(source: str) -> html.HtmlElement:
    return html.document_fromstring(source)


def one(page: html.HtmlElement, css: str) -> html.HtmlElement:
    (found,) = page.cssselect(css)
    return found


@pytest.fixture(scope="module")
def shown(books: Books, tmp_path_factory: pytest.TempPathFactory) -> html.HtmlElement:
    return parsed(books.write(tmp_path_factory.mktemp("shown") / "report.html"))


def sheet(page: html.HtmlElement, id: JobId) -> html.HtmlElement:
    return one(page, f"#document-{id.rsplit('/', 1)[-1][:16]}")


# --- what it says ---------------------------------------------------------------------------------------------------


def test_the_counts_say_how_far_the_documents_came(shown: html.HtmlElement) -> None:
    heads = [text(th) for th in shown.cssselect(".counts thead th")]
    row = [text(td) for td in shown.cssselect(".counts tbody tr:first-child > *")]
    assert dict(zip(heads, row, strict=True)) == {
        "Format": "purchase order of the Chinese party purchaseOrder",
        "Documents": "8",
        "blocked": "2",
        "held": "2",
        "declined": "1",
        "approved": "3",
        "sent": "3",
        "on the way": "1",
        "accepted": "1",
        "rejected": "1",
    }


def test_what_needs_a_person_comes_first_with_its_reason(shown: html.HtmlElement) -> None:
    attention = one(shown, "#attention")
    assert [text(h.cssselect(".pill")[0]) for h in attention.cssselect("h3")] == [
        "blocked",
        "rejected",
        "no answer yet",
        "held",
        "Pages refused",
    ]
    assert "blocks CHK-05" in text(attention)
    assert "total amount totalAmount" in text(attention)
    assert "Rejected by the receiver: 合同号不在册" in text(attention)
    assert f"the page {' '.join(EVIL.split())} shows 3 rows, but declares 4" in text(attention)
    assert "hint: rows may still be folded away" in text(attention)
    assert shown.cssselect("section")[0].get("id") == "attention"


def test_a_sheet_shows_names_identifiers_meanings_and_findings(shown: html.HtmlElement, books: Books) -> None:
    blocked = sheet(shown, books.blocked)
    fields = {text(dt): text(dd) for dt, dd in zip(blocked.cssselect("dt"), blocked.cssselect("dd"), strict=True)}
    assert fields["terms of trade transactionModeCode"].endswith(("CIF", "FOB", "C&F", "EXW", "工厂交货"))
    assert text(one(blocked, ".fields .error dt")) == "total amount totalAmount"
    assert [text(th) for th in blocked.cssselect("table.lines thead th")][1] == "order line number orderLineNumber"
    assert len(blocked.cssselect("table.lines tbody tr")) >= 1


def test_history_and_evidence_name_every_step_and_digest(shown: html.HtmlElement, books: Books) -> None:
    receipted = sheet(shown, books.receipted)
    assert [text(li.cssselect("span")[0]) for li in receipted.cssselect(".history li")] == [
        "Read from the page",
        "Checked: 0 error(s), 0 warning(s)",
        "Approved by the policy: within the limits: 3 lines",
        "Signed with key 01",
        "Sending, attempt 1",
        "Attempt 1 brought no receipt and is to be repeated: connection refused",
        "Sending, attempt 2",
        "Accepted by the receiver; receipt number R-0001",
    ]
    assert all(re.fullmatch(r"2026-05-06 08:30:\d\d", text(t)) for t in receipted.cssselect(".history time"))
    evidence = text(one(receipted, ".evidences"))
    assert canonical.digest(b"an envelope") in evidence
    assert canonical.digest(b"an answer") in evidence
    assert "Receipt numberR-0001" in evidence


def test_refused_requests_are_grouped_without_their_query(shown: html.HtmlElement) -> None:
    rows = [[text(td) for td in tr.cssselect("td")] for tr in shown.cssselect("section:nth-last-of-type(2) tbody tr")]
    assert ["POST", "http://erp/save", "writes", "3"] in rows


def test_completeness_and_the_check_of_the_log_are_told(books: Books, tmp_path: Path) -> None:
    page = parsed(books.write(tmp_path / "a.html"))
    assert "the page declares 66, but 8 were read" in text(one(page, ".lists"))
    assert "all 77 agree with the tree" in text(page)
    assert "5a" * 32 in text(page)
    bad = report.Verified(entries=3, root="00" * 32, problems=("SA5020 entry 1 has been changed",))
    page = parsed(books.write(tmp_path / "b.html", verified=bad))
    assert "SA5020 entry 1 has been changed" in text(page)
    assert "Do not rely on this report" in text(page)
    assert "was not checked for this report" in text(parsed(books.write(tmp_path / "c.html", verified=None)))


def test_reasons_of_the_policy_stand_beside_what_it_held(books: Books, tmp_path: Path) -> None:
    page = parsed(books.write(tmp_path / "a.html", held_because={books.held: ["9 lines; the limit is 5"]}))
    assert "Held because: 9 lines; the limit is 5" in text(one(page, "#attention"))


def test_in_a_dry_run_what_passes_waits_for_nobody(books: Books, tmp_path: Path) -> None:
    path = tmp_path / "dry.db"
    with (
        SqliteArchive(path, lambda: NOW) as archive,
        SqliteArchive(books.path, lambda: NOW, read_only=True) as full,
    ):
        facts = [f for f in full.job(RUN).facts if isinstance(f, RunStarted | Snapshot)]
        draft = draft_of(full, books.held)
        for digest in (draft.document, draft.provenance):
            archive.put(full.get(digest))
        continued(archive, RUN, *[replace(f, dry_run=True) if isinstance(f, RunStarted) else f for f in facts])
        continued(archive, books.held, draft, Verdict(document=draft.document, findings=()))
    page = parsed(replace(books, path=path).write(tmp_path / "a.html", documents=[books.held]))
    assert "dry run: nothing was signed or sent" in text(one(page, "header"))
    assert text(sheet(page, books.held).cssselect(".pill")[0]) == "passed"
    assert not page.cssselect("#attention .card")
    assert "did not end" in text(page)


def test_a_run_that_waits_for_a_person_says_for_what(books: Books, tmp_path: Path) -> None:
    path = tmp_path / "parked.db"
    with SqliteArchive(path, lambda: NOW) as archive, SqliteArchive(books.path, lambda: NOW, read_only=True) as full:
        parked = Parked(
            outcome=Outcome.CAPTCHA,
            where="login",
            page=None,
            code="SA2216",
            text="the ERP asks whether a person logs in; it says: {seen}",
            values={"seen": EVIL},
            parked_at=NOW,
            done=None,
        )
        continued(archive, RUN, full.job(RUN).facts[0], parked)
    page = parsed(replace(books, path=path).write(tmp_path / "a.html", documents=[]))
    assert "waits for a person: the ERP asks whether a person logs in; it says: " in text(page)
    assert "did not end" not in text(page)


def test_a_deleted_body_is_told_of_and_the_rest_is_shown(books: Books, tmp_path: Path) -> None:
    with SqliteArchive(books.path, lambda: NOW, read_only=True) as archive:
        gone = draft_of(archive, books.receipted).document

    class Holed(SqliteArchive):
        def get(self, digest):
            if digest == gone:
                raise AgentError("SA5009", "body {digest} is not in the archive", digest=digest)
            return super().get(digest)

    with Holed(books.path, lambda: NOW, read_only=True) as archive:
        report.write(tmp_path / "a.html", archive, [RUN], books.documents, FORMATS, now=NOW, verified=None)
    page = parsed((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert f"SA5009 body {gone} is not in the archive" in text(one(page, "section.bad"))
    assert len(page.cssselect("details.document")) == len(books.documents)


def test_a_document_of_an_unknown_format_is_shown_as_its_bytes(books: Books, tmp_path: Path) -> None:
    with SqliteArchive(books.path, lambda: NOW, read_only=True) as archive:
        report.write(tmp_path / "a.html", archive, [RUN], books.documents, {}, now=NOW, verified=None)
        kept = archive.get(draft_of(archive, books.held).document).decode()
    page = parsed((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert one(sheet(page, books.held), "pre").text_content() == kept


def test_a_report_that_cannot_be_written_is_an_error_with_its_path(books: Books, tmp_path: Path) -> None:
    with pytest.raises(AgentError, match=r"SA5040 the report cannot be written to .*: No such file or directory"):
        books.write(tmp_path / "nowhere" / "report.html")


def test_the_state_is_the_last_fact() -> None:
    draft = Draft(run=RUN, format="f", key="k", record="r", document=BLOB, provenance=BLOB, page=BLOB)
    error = Finding(code="C", severity=Severity.ERROR, field="f", text="t")
    warned = replace(error, severity=Severity.WARNING)
    yes = Approval(document=BLOB, granted=True, by="policy", reason="")
    receipt = Receipt(envelope=BLOB, receipt=BLOB, accepted=True, remote_id="", message="")
    expected: Mapping[Fact, str] = {
        draft: "read",
        Attempt(envelope=BLOB, number=1): "unknown",
        Retry(envelope=BLOB, number=1, reason=""): "waiting",
        Envelope(document=BLOB, envelope=BLOB, key_index="01", profile="p"): "signed",
        yes: "approved",
        replace(yes, granted=False): "declined",
        receipt: "receipted",
        replace(receipt, accepted=False): "rejected",
        Failure(stage="send", message=""): "stopped",
        Verdict(document=BLOB, findings=()): "held",
    }
    found = {fact: str(state(Job(id=JobId("doc/f/1"), facts=(draft, fact)))) for fact in expected}
    assert found == expected
    for findings, word in (((warned,), "held"), ((warned, error), "blocked")):
        assert state(Job(id=JobId("doc/f/1"), facts=(draft, Verdict(document=BLOB, findings=findings)))) == word
    with pytest.raises(ValueError, match="run/report-test is not a document"):
        state(Job(id=RUN))


# --- hostile text ---------------------------------------------------------------------------------------------------


def test_text_of_pages_never_becomes_markup(books: Books, tmp_path: Path) -> None:
    source = books.write(tmp_path / "report.html")
    page = parsed(source)
    assert source.count("<script") == 2
    assert source.count("</script") == 2
    assert not page.xpath("//*[@*[starts-with(name(), 'on')]]")
    assert not page.xpath("//img[not(starts-with(@src, 'data:image/jpeg;base64,')) and @src]")
    assert not page.xpath("//@href[not(starts-with(., '#'))]")
    assert "49" not in text(sheet(page, books.evil).cssselect(".key")[0])
    assert text(sheet(page, books.evil).cssselect(".key")[0]) == " ".join(EVIL.split())
    data = json.loads(one(page, "script#data").text)
    assert any(origin["raw"] == EVIL for origin in data["origins"])


def test_the_policy_lets_this_script_run_and_no_other(shown: html.HtmlElement) -> None:
    policy = one(shown, "meta[http-equiv]").get("content", "")
    script = shown.cssselect("script:not([type])")[0].text or ""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")


# --- images ---------------------------------------------------------------------------------------------------------


def test_every_image_is_in_the_file_once_and_those_of_trouble_first(books: Books, tmp_path: Path) -> None:
    page = parsed(books.write(tmp_path / "all.html"))
    assert len(page.cssselect("#images img")) == len(page.cssselect("#images details"))
    page = parsed(books.write(tmp_path / "few.html", most_images=2))
    images = {e.get("id", "").removeprefix("image-") for e in page.cssselect("#images img")}
    assert images == {"0", "1"}
    assert page.cssselect("#attention details.page")[0].get("data-page") == "0"
    assert sheet(page, books.blocked).get("data-page") == "1"
    left = one(page, f"#page-{sheet(page, books.held).get('data-page')}")
    assert re.search(r"is not in this file, but in the archive: sm3:[0-9a-f]{64}\.", text(left))


# --- in a browser ---------------------------------------------------------------------------------------------------


def test_pointing_at_a_value_shows_the_box_where_it_was_read(opened: Page, books: Books) -> None:
    anchor = f"#document-{books.blocked.rsplit('/', 1)[-1][:16]}"
    opened.click(f"#attention a[href='{anchor}']")
    total = opened.locator(f"{anchor} .fields .error .value")
    total.hover()
    mark = opened.locator(f"{anchor} .mark.now")
    expect(mark).to_have_count(1)
    with SqliteArchive(books.path, lambda: NOW, read_only=True) as archive:
        origins = json.loads(archive.get(draft_of(archive, books.blocked).provenance))
    origin = next(Origin(**o) for o in origins if o["field"] == "totalAmount")
    assert origin.box is not None
    scale = opened.evaluate("css => { const i = document.querySelector(css); return i.width / i.naturalWidth; }",
                            f"{anchor} .paper img")  # fmt: skip
    at = mark.evaluate("e => [e.offsetLeft, e.offsetTop, e.offsetWidth, e.offsetHeight]")
    assert at == pytest.approx([side * scale for side in origin.box], abs=1.5)
    # The marked place is within what the window of the page now shows.
    window = opened.locator(f"{anchor} .window").bounding_box()
    box = mark.bounding_box()
    assert window is not None
    assert box is not None
    assert window["y"] <= box["y"] <= window["y"] + window["height"] - box["height"]
    expect(opened.locator(f"{anchor} .origin")).to_contain_text(origin.raw)
    expect(opened.locator(f"{anchor} .bar .where")).to_contain_text(str(origin.page))


def test_a_click_keeps_the_value_until_it_is_clicked_again(opened: Page, books: Books) -> None:
    anchor = f"#document-{books.receipted.rsplit('/', 1)[-1][:16]}"
    opened.click(f"{anchor} > summary")
    values = opened.locator(f"{anchor} .fields .value[data-origin]")
    values.nth(0).click()
    values.nth(2).hover()
    expect(values.nth(0)).to_have_class("value now kept")
    values.nth(0).click()
    values.nth(2).hover()
    expect(values.nth(2)).to_have_class("value now")


def test_a_value_of_another_page_turns_to_that_page(opened: Page, books: Books) -> None:
    anchor = f"#document-{books.receipted.rsplit('/', 1)[-1][:16]}"
    opened.click(f"{anchor} > summary")
    opened.locator(f"{anchor} .fields div", has_text="supplierCode").locator(".value").hover()
    expect(opened.locator(f"{anchor} .where")).to_contain_text("suppliers")
    expect(opened.locator(f"{anchor} .mark.now")).to_have_count(1)
    opened.locator(f"{anchor} .fields div", has_text="buyerUscc").locator(".value").hover()
    expect(opened.locator(f"{anchor} .paper")).to_have_text(words.WORDS["no_page"])


def test_hostile_text_is_shown_as_it_is(opened: Page, books: Books) -> None:
    anchor = f"#document-{books.evil.rsplit('/', 1)[-1][:16]}"
    opened.click(f"{anchor} > summary")
    opened.locator(f"{anchor} .fields div", has_text="supplierName").locator(".value").hover()
    expect(opened.locator(f"{anchor} .origin")).to_contain_text("<script>alert(1)</script></script><img src=x")
    opened.click("details.page > summary")
    expect(opened.locator("details.page img")).to_be_visible()


def test_search_and_states_sift_the_documents(opened: Page, books: Books) -> None:
    rows = opened.locator("details.document:visible")
    expect(rows).to_have_count(len(books.documents))
    opened.click(".filter button.blocked")
    expect(rows).to_have_count(2)
    opened.fill(".filter input", "alert(1)")
    expect(rows).to_have_count(1)
    opened.fill(".filter input", "nothing has this")
    expect(opened.locator(".none")).to_be_visible()
    # A link leads to its document even where the search hides it.
    opened.click(f"#attention a[href='#document-{books.blocked.rsplit('/', 1)[-1][:16]}']")
    expect(rows).to_have_count(1)


@pytest.mark.parametrize("width", [1280, 900])
def test_nothing_is_wider_than_the_window(opened: Page, width: int) -> None:
    opened.set_viewport_size({"width": width, "height": 800})
    opened.evaluate("document.querySelectorAll('details.document, details.image').forEach(d => d.open = true)")
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


# --- in Chinese -----------------------------------------------------------------------------------------------------


class Chinese(NullTranslations):
    """A catalogue of its own, so that this test holds whatever the real one says."""

    def gettext(self, message: str) -> str:
        return {"en": "zh-CN"}.get(message, f"【{message}】")


def test_in_chinese_every_sentence_and_name_comes_from_the_catalogue(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "_chosen", Chinese())
    page = parsed(books.write(tmp_path / "zh.html"))
    assert page.get("lang") == "zh-CN"
    blocked = sheet(page, books.blocked)
    assert text(one(blocked, ".fields .error dt")) == "订单总价 totalAmount"
    assert one(blocked, ".fields .error dt .name").get("title") == "total amount"
    assert all(text(h).startswith("【") for h in page.cssselect("h1, h2, h5"))


def test_every_word_is_used_and_every_word_used_is_there() -> None:
    folder = Path(report.__file__).parent
    source = "".join(f.read_text(encoding="utf-8") for f in folder.iterdir() if f.suffix in (".py", ".html"))
    quoted = set(re.findall(r"\"([a-z_]+)\"", source.replace("'", '"')))
    made = {f"do_{s}" for s in State} | {f"finding_{s}" for s in Severity} | {"fact_failed_sign", "fact_failed_send"}
    made |= {str(s) for s in State} | {f"do_{s}" for s in ("faults",)}
    assert {name for name in words.WORDS if name not in quoted | made} == set()
    said = set(re.findall(r"say\(\"([a-z_]+)\"[,)]", source.replace("'", '"')))
    assert said <= words.WORDS.keys()
