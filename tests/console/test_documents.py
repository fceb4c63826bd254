"""Documents in the console: what waits, each beside where it was read, and what people decide, one by one or many."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from scraper_agent.archive import lists
from scraper_agent.archive.lists import Wanted
from scraper_agent.console import rows, sheet
from scraper_agent.console.casebook import Casebook, Shelf
from scraper_agent.console.pages import cases
from scraper_agent.console.rows import Filter, Rows, Search, path
from scraper_agent.format import decode, encode
from scraper_agent.formats import FORMATS
from scraper_agent.policy import Approving
from scraper_agent.values import (
    Approval,
    Digest,
    Draft,
    Endorsed,
    Excluded,
    Failure,
    Held,
    Job,
    JobId,
    Released,
    Retry,
    Snapshot,
    State,
    Verdict,
    in_force,
    state,
)
from tests.console import archive as books
from tests.console.accessible import axe
from tests.console.conftest import People, Served


def job(served: Served, key: str) -> Job:
    with served.app.archive(read_only=True) as archive:
        (id,) = archive.documents(key=key)
        return archive.job(id)


def draft(served: Served, key: str) -> Draft:
    first = job(served, key).facts[0]
    assert isinstance(first, Draft)
    return first


def open_document(served: Served, people: People, key: str, name: str = "li.na", **how: Any) -> Page:
    page = people.sign_in(served, name, lang="en", **how)
    page.goto(served.url + path(job(served, key).id))
    return page


# --- where it was read ----------------------------------------------------------------------------------------------


def test_pointing_at_a_field_shows_the_box_it_was_read_from(console: Served, people: People) -> None:
    page = open_document(console, people, "PO-9")
    value = page.locator("a.value", has_text="7500").first
    number = value.get_attribute("data-origin")
    mark = page.locator(f"#box-{number}")
    assert [mark.get_attribute(name) for name in ("x", "y", "width", "height")] == ["0", "0", "9", "9"]
    assert not page.locator(".mark.now").count()
    value.hover()
    expect(page.locator("#window .mark.now")).to_have_attribute("id", f"box-{number}")
    told = page.locator("#lens")
    expect(told).to_contain_text("css #total")
    expect(told).to_contain_text("7500.00")
    assert told.locator(".crop svg image").get_attribute("href") == page.locator("#window image").get_attribute("href")
    loaded = page.evaluate(
        "async href => { const i = new Image(); i.src = href; await i.decode(); return [i.width, i.height] }",
        page.locator("#window image").first.get_attribute("href"),
    )
    assert loaded == [800, 600]


def test_the_keyboard_shows_the_box_as_well_and_it_can_be_kept(console: Served, people: People) -> None:
    page = open_document(console, people, "PO-9")
    first, second = page.locator("a.value").nth(0), page.locator("a.value").nth(1)
    first.focus()
    expect(first).to_have_class(re.compile(r"\bnow\b"))
    page.keyboard.press("Tab")
    expect(second).to_have_class(re.compile(r"\bnow\b"))
    expect(first).not_to_have_class(re.compile(r"\bnow\b"))
    second.click()
    expect(second).to_have_class(re.compile(r"\bkept\b"))
    first.hover()
    expect(second).to_have_class(re.compile(r"\bnow\b"))


def test_without_script_a_field_leads_to_its_box(console: Served) -> None:
    with console.client("wang.fang") as client:
        text = client.get(path(job(console, "PO-9").id)).text
    numbers = re.findall(r'<a class="value[^"]*" href="#box-(\d+)"', text)
    assert numbers
    assert all(f'id="box-{number}" data-origin="{number}" x="0"' in text for number in numbers)
    assert "style=" not in text


def test_an_image_is_given_only_of_a_page_of_the_documents_run(console: Served) -> None:
    of = draft(console, "PO-9")
    with console.app.archive(read_only=True) as archive:
        shots = {run: [f for f in archive.job(run).facts if isinstance(f, Snapshot)] for run in archive.runs()}
    mine = next(f.image for f in shots[of.run] if f.page == of.page)
    assert mine is not None
    foreign = next(f.image for f in shots[books.OLDER])
    at = f"{path(job(console, 'PO-9').id)}/images/"
    with console.client("wang.fang") as client:
        answer = client.get(at + mine[4:])
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]
        for other in (foreign, of.document, of.page, of.provenance):
            assert other is not None
            assert client.get(at + other[4:]).status_code == 404
        assert client.get(at + "x").status_code == 404
    with console.client() as client:
        assert client.get(at + mine[4:]).status_code == 303


def test_a_jpeg_tells_its_size_and_nothing_else_does() -> None:
    assert sheet.jpeg_size(books.image("x")) == (800, 600)
    whole = books.image("x")
    assert all(sheet.jpeg_size(whole[:end]) in (None, (800, 600)) for end in range(len(whole)))
    for none in (b"", b"\xff\xd8\xff", b"GIF89a" + bytes(40), b"\xff\xd8\xff\xc0" + bytes(60)):
        assert sheet.jpeg_size(none) is None


def test_a_document_tells_why_it_waits_its_findings_and_its_life(console: Served, people: People) -> None:
    page = open_document(console, people, "PO-9")
    expect(page.locator(".judge")).to_contain_text("USD is above the limit of 1000")
    page.goto(console.url + path(job(console, "PO-10").id))
    expect(page.locator(".findings li.error").first).to_contain_text("blocks")
    assert page.locator(".mark.error").count()
    page.goto(console.url + path(job(console, "PO-6").id))
    kinds = page.locator(".timeline code").all_inner_texts()
    assert kinds == ["Draft", "Verdict", "Approval", "Envelope", "Attempt", "Retry"]


def test_there_is_no_other_document(console: Served) -> None:
    with console.client("wang.fang") as client:
        for missing in ("purchaseOrder/" + "0" * 64, "purchaseOrder/x", "run/1"):
            assert client.get(f"/documents/{missing}").status_code == 404


# --- lists ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("", ["PO-101", "PO-102", "PO-103", "PO-7", "PO-8", "PO-9"]),
        ("format=purchaseOrder&erp=test", ["PO-101", "PO-102", "PO-103", "PO-7", "PO-8", "PO-9"]),
        ("format=goodsReceipt", []),
        ("erp=tes", []),
        ("run=" + books.OLDER, ["PO-101", "PO-102", "PO-103"]),
        ("key=PO-10", ["PO-101", "PO-102", "PO-103"]),
        ("key=%25", []),
        ("least=7500", ["PO-9"]),
        ("least=7500.01", []),
        ("most=300&run=" + books.RUN, ["PO-7", "PO-8"]),
        ("currency=usd&least=1,000", ["PO-9"]),
        ("currency=EUR", []),
        ("finding=-", []),
        ("finding=anl-5", ["PO-9"]),
        ("state=blocked&finding=chk", ["PO-10"]),
        ("days=0", ["PO-101", "PO-102", "PO-103", "PO-7", "PO-8", "PO-9"]),
        ("days=1", []),
        ("case=PO-8", ["PO-8"]),
    ],
)
def test_the_queue_is_filtered(console: Served, query: str, keys: list[str]) -> None:
    with console.client("wang.fang") as client:
        text = client.get(f"/approvals?{query}").text
    assert re.findall(r'<th scope="row"><a href="/documents/[^"]+">([^<]+)</a>', text) == keys


@pytest.mark.parametrize("query", ["least=x", "most=NaN", "days=-1", "days=1e9", "state=x", "case=nowhere"])
def test_a_filter_that_is_none_finds_nothing_rather_than_everything(console: Served, query: str) -> None:
    with console.client("wang.fang") as client:
        for address in ("/approvals", "/documents"):
            answer = client.get(f"{address}?{query}")
            assert answer.status_code == 400
            assert "data-row" not in answer.text
            assert 'role="alert"' in answer.text
        assert client.get(f"/approvals/batch?do=approve&all=1&{query}").status_code == 400


def test_a_filter_by_case_says_so_while_cases_are_still_being_joined(own: Served, monkeypatch: Any) -> None:
    path, joined = own.app.home / own.app.config.archive, threading.Event()

    def slowly() -> Casebook:
        joined.wait(60)
        return cases._make(own.app)

    monkeypatch.setitem(cases._SHELVES, path, Shelf(slowly))
    with own.client("wang.fang") as client:
        early = client.get("/documents?case=PO-8")
        joined.set()
        late = client.get("/documents?case=PO-8")
    assert early.status_code == 400
    assert "SA7748" in early.text
    assert "data-row" not in early.text
    assert late.status_code == 200
    assert "PO-8" in late.text


@pytest.fixture
def search(console: Served) -> Iterator[Search]:
    with console.app.archive(read_only=True) as archive, lists.opened(archive.path) as found:
        yield Search(rows=Rows(), lists=found, archive=archive, formats=FORMATS, now=books.NOW)


@pytest.mark.parametrize("asked", [Filter(), Filter(state=State.HELD), Filter(currency="USD")])
@pytest.mark.parametrize("oldest_first", [True, False])
def test_pages_have_every_document_once(search: Search, asked: Filter, oldest_first: bool) -> None:
    whole = [row.id for row in search.first(asked, 100, oldest_first=oldest_first).rows]
    seen: list[JobId] = []
    beyond = None
    while True:
        found = search.first(asked, 2, beyond, oldest_first=oldest_first)
        assert len(found.rows) <= 2
        seen += [row.id for row in found.rows]
        if (beyond := found.beyond) is None:
            break
    assert seen == whole
    assert len(set(seen)) == len(seen) > 2


def test_age_is_the_time_since_the_last_fact(search: Search) -> None:
    later = replace(search, now=books.NOW + timedelta(hours=1))
    assert {row.line.run for row in later.first(Filter(state=State.HELD, days=1), 9).rows} == {books.OLDER}
    assert len(later.first(Filter(state=State.HELD, days=1), 9).rows) == 3


def test_a_row_is_made_anew_when_something_happens_to_the_document(own: Served) -> None:
    id = job(own, "PO-9").id
    kept = Rows()
    for expected in (State.HELD, State.APPROVED):
        with own.app.archive(read_only=True) as archive, lists.opened(archive.path) as found:
            made = Search(rows=kept, lists=found, archive=archive, formats=FORMATS, now=books.NOW).row(id)
            assert made is not None
            assert made.line.state is expected
            assert made.amount is not None
            assert found.count(Wanted(state=expected))[expected] >= 1
        own.app.desk.do("approve", [id], "li.na", {"shown": draft(own, "PO-9").document}, "console")


# --- deciding on one ------------------------------------------------------------------------------------------------


def test_a_approves_and_the_next_one_that_waits_is_shown(own: Served, people: People) -> None:
    page = open_document(own, people, "PO-7")
    assert page.locator("button[value=approve]").is_visible()
    page.keyboard.press("a")
    page.wait_for_url(own.url + path(job(own, "PO-8").id))
    expect(page.locator(".said")).to_contain_text("PO-7 is approved")
    said = job(own, "PO-7").last
    assert isinstance(said, Approval)
    assert (said.granted, said.by, said.document) == (True, "person:li.na", draft(own, "PO-7").document)
    page.keyboard.press("j")
    page.wait_for_url(own.url + path(job(own, "PO-9").id))
    page.keyboard.press("k")
    page.wait_for_url(own.url + path(job(own, "PO-8").id))


def test_d_declines_but_asks_for_a_reason_first(own: Served, people: People) -> None:
    page = open_document(own, people, "PO-9")
    page.keyboard.press("d")
    expect(page.locator("#reason")).to_be_focused()
    page.keyboard.type("price is being corrected, adh")
    page.get_by_role("button", name="Decline").click()
    expect(page.locator(".said")).to_contain_text("PO-9 is declined")
    said = job(own, "PO-9").last
    assert isinstance(said, Approval)
    assert (said.granted, said.by, said.reason) == (False, "person:li.na", "price is being corrected, adh")


def test_what_is_blocked_is_withdrawn_with_a_reason(own: Served, people: People) -> None:
    page = open_document(own, people, "PO-10")
    assert not page.locator("button[value=approve]").count()
    page.locator("#reason").fill("entered twice")
    page.get_by_role("button", name="Withdraw").click()
    expect(page.locator(".said")).to_contain_text("PO-10 is withdrawn")
    said = job(own, "PO-10").last
    assert isinstance(said, Failure)
    assert "person:li.na: entered twice" in said.message


def test_an_operator_has_a_dead_letter_sent_again(own: Served, people: People) -> None:
    page = open_document(own, people, "PO-5", "zhang.wei")
    assert page.locator(".decide button").all_inner_texts() == ["Send again"]
    page.get_by_role("button", name="Send again").click()
    expect(page.locator(".said")).to_contain_text("PO-5 is sent again")
    said = job(own, "PO-5").last
    assert isinstance(said, Retry)
    assert said.by == "person:zhang.wei"


@pytest.mark.parametrize("name", ["wang.fang", "zhang.wei", "liu.yang"])
def test_who_is_no_approver_sees_no_button_and_is_refused(console: Served, people: People, name: str) -> None:
    before = job(console, "PO-9")
    page = open_document(console, people, "PO-9", name)
    assert not page.locator(".decide").count()
    page.goto(f"{console.url}/approvals")
    assert not page.locator("input[type=checkbox], button[value=approve]").count()
    at, shown = path(before.id), draft(console, "PO-9").document
    with console.client(name) as client:
        assert client.act(f"{at}/decide", do="approve", shown=shown).status_code == 409
        assert client.act(f"{at}/operate", do="approve", shown=shown).status_code in (404, 409)
        assert client.act("/approvals/decide", do="approve", shown=f"{before.id} {shown}").status_code == 409
    assert job(console, "PO-9") == before


def test_bytes_that_were_not_shown_are_not_approved(console: Served) -> None:
    before = job(console, "PO-9")
    with console.client("li.na") as client:
        for shown in ("", "sm3:" + "0" * 64, draft(console, "PO-8").document):
            answer = client.act(f"{path(before.id)}/decide", do="approve", shown=shown)
            assert (answer.status_code, "SA7745" in answer.text) == (409, True)
        assert client.act(f"{path(before.id)}/decide", do="nothing", shown="").status_code == 404
        assert client.get(f"{path(before.id)}/decide").status_code in (404, 405)
    assert job(console, "PO-9") == before


# --- deciding on many -----------------------------------------------------------------------------------------------


def test_many_are_approved_after_counts_and_sums_were_shown(own: Served, people: People) -> None:
    page = people.sign_in(own, "li.na", lang="en")
    page.goto(f"{own.url}/approvals?run={books.RUN}")
    for key in ("PO-7", "PO-9"):
        page.get_by_label(f"choose {key}", exact=True).check()
    expect(page.locator("#chosen")).to_have_text("2")
    page.get_by_role("button", name="Approve the chosen ones").click()
    expect(page.locator("h1")).to_have_text("Approve 2 document(s)?")
    expect(page.locator(".sums li")).to_have_text("7,800.00 USD2 document(s)")
    assert isinstance(job(own, "PO-7").last, Verdict)  # to be shown what it is about decides nothing
    page.get_by_label("Reason").fill("month end")
    page.get_by_role("button", name="Approve 2 document(s)").click()
    expect(page.locator(".said")).to_contain_text("2 document(s) approved")
    for key in ("PO-7", "PO-9"):
        said = job(own, key).last
        assert isinstance(said, Approval)
        assert (said.granted, said.by, said.reason) == (True, "person:li.na", "month end")
    assert isinstance(job(own, "PO-8").last, Verdict)


def test_all_that_a_filter_finds_are_declined_at_once(own: Served, people: People) -> None:
    page = people.sign_in(own, "chen.jing", lang="en")
    page.goto(f"{own.url}/approvals/batch?do=decline&all=1&run={books.OLDER}")
    expect(page.locator(".sums li")).to_have_text("900.00 USD3 document(s)")
    page.get_by_label("Reason").fill("wrong period")
    page.get_by_role("button", name="Decline 3 document(s)").click()
    expect(page.locator(".said")).to_contain_text("3 document(s) declined")
    for key in ("PO-101", "PO-102", "PO-103"):
        said = job(own, key).last
        assert isinstance(said, Approval)
        assert (said.granted, said.by) == (False, "person:chen.jing")


def test_of_many_what_changed_since_stays_and_is_told(own: Served) -> None:
    seven, eight = job(own, "PO-7"), job(own, "PO-8")
    shown = [(seven.id, draft(own, "PO-7").document), (eight.id, draft(own, "PO-9").document)]
    with own.client("li.na") as client:
        answer = client.act("/approvals/decide", do="approve", shown="\n".join(f"{i} {d}" for i, d in shown), reason="")
        assert answer.status_code == 409
        assert "SA7745" in answer.text
        assert isinstance(job(own, "PO-7").last, Approval)
        assert job(own, "PO-8") == eight
        again = client.act("/approvals/decide", do="approve", shown=f"{shown[0][0]} {shown[0][1]}", reason="")
        assert (again.status_code, "SA6005" in again.text) == (409, True)
        run = client.act("/approvals/decide", do="approve", shown=f"{books.RUN} {shown[0][1]}", reason="")
        assert (run.status_code, "SA7745" in run.text) == (409, True)


@pytest.mark.parametrize("shown", ["", "x", "doc/purchaseOrder/1 sm3:2 3", "\n".join(["a sm3:b"] * 1001)])
def test_what_is_no_choice_is_refused(console: Served, shown: str) -> None:
    with console.client("li.na") as client:
        answer = client.act("/approvals/decide", do="approve", shown=shown)
    assert (answer.status_code, "SA7743" in answer.text) == (400, True)


def test_sums_are_by_currency_and_exact(search: Search) -> None:
    made = search.first(Filter(state=State.HELD), 10).rows
    (one, two, *_) = made
    other = replace(one, amount=None)
    batch = rows.Batch(rows=(one, two, other))
    assert [(s.currency, s.documents) for s in batch.sums] == [("USD", 2), ("", 1)]
    assert one.amount is not None
    assert two.amount is not None
    assert batch.sums[0].total == one.amount[1] + two.amount[1]
    assert rows.read_shown(batch.shown) == [(r.id, Digest(r.document)) for r in batch.rows]


# --- held back, with fields left out, and exactly what is sent ------------------------------------------------------


def test_h_holds_back_with_a_reason_and_a_release_lets_it_be_approved(own: Served, people: People) -> None:
    page = open_document(own, people, "PO-8")
    page.keyboard.press("h")
    expect(page.locator("#reason")).to_be_focused()
    page.keyboard.type("ask the supplier")
    page.get_by_role("button", name="Hold").click()
    expect(page.locator(".said")).to_contain_text("PO-8 is held back")
    held = job(own, "PO-8").last
    assert isinstance(held, Held)
    assert (held.by, held.reason) == ("person:li.na", "ask the supplier")
    page.goto(own.url + path(job(own, "PO-8").id))
    expect(page.locator(".why")).to_contain_text("li.na keeps it back: ask the supplier")
    assert not page.locator("button[value=approve]").count()
    page.get_by_role("button", name="Release").click()
    expect(page.locator(".said")).to_contain_text("PO-8 is released")
    released = next(fact for fact in job(own, "PO-8").facts if isinstance(fact, Released))
    assert released.by == "person:li.na"
    assert state(job(own, "PO-8")) is State.HELD


def remarked(served: Served) -> JobId:
    """A document as PO-9, but with a field that it need not have."""
    first, format = draft(served, "PO-9"), FORMATS["purchaseOrder"]
    with served.app.archive() as archive:
        document = decode(format, archive.get(first.document))
        header = {**document.header, "orderNumber": "PO-R", "contractNumber": "HT-SECRET"}
        made = archive.put(encode(replace(document, header=header), format))
        id = JobId(f"doc/purchaseOrder/{'b' * 64}")
        archive.append(id, 0, replace(first, key="PO-R", record="orders/900", document=made))
        archive.append(id, 1, Verdict(document=made, findings=()))
    return id


def test_fields_are_left_out_and_the_bytes_that_are_approved_lack_them(own: Served, people: People) -> None:
    remarked(own)
    page = open_document(own, people, "PO-R")
    expect(page.locator(".read")).to_contain_text("HT-SECRET")
    page.get_by_text("Leave fields out").click()
    page.get_by_label("contract number").check()
    page.locator("#exclude-reason").fill("not theirs to know")
    page.get_by_role("button", name="Leave them out").click()
    expect(page.locator(".said")).to_contain_text("1 field(s) left out")
    left_out = next(fact for fact in job(own, "PO-R").facts if isinstance(fact, Excluded))
    assert (left_out.by, left_out.fields) == ("person:li.na", ("contractNumber",))
    assert not any("HT-SECRET" in text for text in page.locator(".read, .origins").all_inner_texts())
    expect(page.locator(".why")).to_contain_text("li.na left out contractNumber: not theirs to know")
    page.keyboard.press("a")
    expect(page.locator(".said")).to_contain_text("PO-R is approved")
    said = job(own, "PO-R").last
    assert isinstance(said, Approval)
    assert said.document == left_out.document != draft(own, "PO-R").document


def test_of_many_what_people_changed_is_approved_as_it_was_shown(own: Served) -> None:
    id = remarked(own)
    (done,) = own.app.desk.do("exclude", [id], "li.na", {"fields": "contractNumber", "reason": "x"}, "console")
    assert done.error is None
    with own.client("li.na") as client:
        old = client.act("/approvals/decide", do="approve", shown=f"{id} {draft(own, 'PO-R').document}", reason="")
        assert (old.status_code, "SA7745" in old.text) == (409, True)
        now = client.act("/approvals/decide", do="approve", shown=f"{id} {in_force(job(own, 'PO-R'))}", reason="")
        assert now.status_code == 303
    said = job(own, "PO-R").last
    assert isinstance(said, Approval)
    assert said.document == in_force(job(own, "PO-R"))


def test_two_people_approve_where_the_policy_says_so(own: Served, people: People) -> None:
    rule = Approving(rule="four_eyes")
    own.app.policy = own.app.policy.model_copy(update={"approval": {"purchaseOrder": rule}})
    page = open_document(own, people, "PO-9")
    page.keyboard.press("a")
    expect(page.locator(".said")).to_be_visible()
    first = job(own, "PO-9").last
    assert isinstance(first, Endorsed)
    assert first.by == "person:li.na"
    page.goto(own.url + path(job(own, "PO-9").id))
    page.keyboard.press("a")
    expect(page.locator(".wrong")).to_contain_text("SA6055")
    people.complaints.clear()  # Chromium's own word for a 409
    other = open_document(own, people, "PO-9", "chen.jing")
    expect(other.locator(".why")).to_contain_text("li.na has approved it, a second person has to")
    other.keyboard.press("a")
    expect(other.locator(".said")).to_be_visible()
    second = job(own, "PO-9").last
    assert isinstance(second, Approval)
    assert second.by == "person:chen.jing"


def test_the_preview_has_exactly_the_bytes_that_are_sent(console: Served, people: People) -> None:
    page = open_document(console, people, "PO-9", "wang.fang")
    page.get_by_role("link", name="Exactly what is sent").click()
    expect(page.locator("h1")).to_contain_text("Exactly what is sent")
    with console.app.archive(read_only=True) as archive:
        data = archive.get(in_force(job(console, "PO-9")))
    assert page.locator("pre.raw").inner_text() == data.decode()
    with console.client("wang.fang") as client:
        answer = client.get(f"{path(job(console, 'PO-9').id)}/raw")
    assert answer.content == data
    assert answer.headers["content-disposition"].startswith("attachment")
    expect(page.locator("main")).to_contain_text("No version of it has left before.")
    axe(page)


def test_the_preview_tells_what_differs_from_the_version_sent_last(own: Served, people: People) -> None:
    old = job(own, "PO-1")
    first = draft(own, "PO-1")
    with own.app.archive() as archive:
        document = decode(FORMATS["purchaseOrder"], archive.get(first.document))
        header = {**document.header, "supplierName": "ACME Ltd."}
        changed = archive.put(encode(replace(document, header=header), FORMATS["purchaseOrder"]))
        new = JobId(f"doc/purchaseOrder/{'a' * 64}")
        archive.append(new, 0, replace(first, document=changed, replaces=old.id))
        archive.append(new, 1, Verdict(document=changed, findings=()))
    page = people.sign_in(own, "li.na", lang="en")
    page.goto(f"{own.url}{path(new)}/preview")
    row = page.locator(".differences tbody tr")
    expect(row).to_have_count(1)
    expect(row.locator("del")).to_have_text("ACME")
    expect(row.locator("ins")).to_have_text("ACME Ltd.")
    page.goto(own.url + path(new))
    page.locator(".versions a").click()
    page.wait_for_url(own.url + path(old.id))


# --- cases, and how pages are made ----------------------------------------------------------------------------------


def test_cases_tell_what_they_lack_and_lead_to_their_documents(console: Served, people: People) -> None:
    page = people.sign_in(console, "wang.fang", lang="en")
    page.goto(f"{console.url}/cases?incomplete=1")
    expect(page.locator(".lacks").first).to_be_visible()
    page.locator("input[type=search]").fill("PO-9")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="PO-9").click()
    expect(page.locator("h1")).to_contain_text("not complete")
    page.get_by_role("link", name="PO-9").click()
    page.wait_for_url(console.url + path(job(console, "PO-9").id))
    expect(page.locator(".judge")).to_contain_text("lacks")
    with console.client("wang.fang") as client:
        assert client.get("/cases/nowhere").status_code == 404


def test_the_pages_can_be_used_by_everybody(console: Served, people: People) -> None:
    page = people.sign_in(console, "li.na")
    blocked, held = (path(job(console, key).id) for key in ("PO-10", "PO-9"))
    batch = "/approvals/batch?do=approve&all=1"
    field = f"{held}/fields/totalAmount"
    for address in ("/approvals", "/documents", batch, blocked, held, field, "/cases", "/cases/PO-9"):
        page.goto(console.url + address)
        axe(page)


def test_what_is_masked_is_seen_whole_by_approvers_alone(console: Served) -> None:
    known = FORMATS["purchaseOrder"]
    header = tuple(replace(each, masked=2) if each.id == "supplierName" else each for each in known.header)
    masking = {"purchaseOrder": replace(known, header=header)}
    id = job(console, "PO-9").id
    with console.app.archive(read_only=True) as archive, lists.opened(archive.path) as found:
        for whole, raw in ((False, "A**E"), (True, "ACME")):
            made = sheet.Reader(
                archive=archive, lists=found, formats=masking, policy=console.app.policy, whole=whole
            ).sheet(id)
            assert made is not None
            assert {spot.raw for spot in made.spots if spot.name == "supplierName"} == {raw}
            assert next(cell.text for of, cell in made.body.header if of.id == "supplierName") == "A**E"
            assert (made.pictures[0].image is not None) == whole
            of = found.snapshot(made.draft.run, made.draft.page)
            assert of is not None
            assert of.image is not None
            given = sheet.image(archive, found, masking, id, of.image, whole=whole)
            assert (given is not None) == whole
