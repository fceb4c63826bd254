"""The log, refused requests, recipes, destinations, policy, keys: what is found, shown and done there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page

from scraper_agent import accounts, canonical, values
from scraper_agent.archive import sqlite
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.console.pages import log as log_pages
from scraper_agent.values import Draft, Fact, JobId
from tests.console import archive as filling
from tests.console.accessible import axe
from tests.console.conftest import Client, People, Served, served

PAGES = (
    "/log",
    "/log?find=PO-",
    "/log/0",
    "/refused",
    "/recipes",
    "/recipes/test/order",
    "/destinations",
    "/policy",
    "/keys",
)


@pytest.fixture(scope="module")
def known(console: Served) -> Iterator[Client]:
    with console.client("wang.fang") as client:
        yield client


def text(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.fixture
def facts(known: Client, console: Served) -> list[values.Entry]:
    """Once all who sign in have done so."""
    with SqliteArchive(console.app.home / console.app.config.archive, lambda: filling.NOW, read_only=True) as archive:
        return list(archive.entries())


def indexes(page: str) -> list[int]:
    """Of the facts that a page of the log lists."""
    return [int(part.partition('"')[0]) for part in page.split('<a href="/log/')[1:] if part[0].isdigit()]


# --- looking for facts ----------------------------------------------------------------------------------------------


def test_the_log_is_searched_by_document_person_kind_run_and_day(known: Client, facts: list[values.Entry]) -> None:
    def of(*kinds: type) -> list[int]:
        return [entry.index for entry in reversed(facts) if isinstance(entry.fact, kinds)]

    assert indexes(text(known, "/log")) == [entry.index for entry in reversed(facts)][:50]
    assert indexes(text(known, "/log?kind=refused")) == of(values.Refused)
    assert indexes(text(known, "/log?kind=runs")) == of(values.RunStarted, values.RunEnded)
    assert indexes(text(known, f"/log?job={filling.OLDER}&kind=refused"))[0] in of(values.Refused)
    days = {entry.index for entry in facts if entry.at.date() == filling.NOW.date()}
    assert set(indexes(text(known, "/log?since=2026-05-06&kind=runs"))) == days & set(
        of(values.RunStarted, values.RunEnded)
    )
    assert indexes(text(known, "/log?since=2099-01-01")) == []
    assert indexes(text(known, "/log?person=nobody")) == []
    first = next(entry for entry in facts if isinstance(entry.fact, Draft) and entry.fact.key == "PO-1")
    page = text(known, "/log?find=PO-10")
    assert page.count("data-row") == 4, "several documents begin so, and none of their facts is listed"
    assert indexes(page) == []
    page = text(known, f"/log?find={first.job}")
    assert f'href="/documents/{first.job[4:]}"' in page
    assert first.index in indexes(page)
    assert indexes(text(known, "/log?find=zzz")) == []


def test_the_log_is_paged_without_a_gap(known: Client, facts: list[values.Entry]) -> None:
    seen, page = [], text(known, "/log")
    while True:
        seen += indexes(page)
        older = page.partition('href="/log?before=')[2].partition('"')[0]
        if not older:
            break
        page = text(known, f"/log?before={older}")
    assert seen == [entry.index for entry in reversed(facts)]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/log?since=yesterday", 400),
        ("/log?until=2026-99-99", 400),
        ("/log?before=99999999999999999999999", 200),
        ("/log?before=x&kind=none&job=none", 200),
        ("/log/999999", 404),
        ("/log/99999999999999999999999", 404),
        ("/recipes/none", 404),
    ],
)
def test_what_is_asked_for_wrongly_is_told_so(known: Client, path: str, status: int) -> None:
    assert known.get(path).status_code == status


def test_one_fact_is_shown_as_it_stands_in_the_log(people: People, console: Served) -> None:
    page = people.sign_in(console, "wang.fang", lang="en")
    page.goto(f"{console.url}/log")
    row = page.locator("tr[data-row]").first
    row.locator("a").first.click()
    with console.app.archive(read_only=True) as log:
        assert page.locator("h1").inner_text() == f"Fact {log.head().size - 1}"
    assert '"by": "person:wang.fang"' in page.locator("pre").inner_text()


# --- the other pages ------------------------------------------------------------------------------------------------


def test_pages_tell_what_the_archive_and_the_config_say(known: Client, console: Served) -> None:
    page = text(known, "/refused")
    assert page.count("http://erp.example/save?n=1") == 2
    page = text(known, "/recipes/test/order")
    assert page.count("data-row") == 2
    page = text(known, "/destinations")
    assert console.app.config.receiver.ak in page
    assert "PO-5" in page, "the dead letter"
    page = text(known, "/policy")
    assert "liu.yang" in page
    assert canonical.digest(console.app.policy_source) in page
    assert "test/order" in page
    assert "01" in text(known, "/keys")


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_page_can_be_used_by_everybody(people: People, console: Served, lang: str) -> None:
    page = people.sign_in(console, "wang.fang", lang=lang)
    for path in (*PAGES, "/log/verification"):
        page.goto(f"{console.url}{path}")
        axe(page)


# --- verification ---------------------------------------------------------------------------------------------------


def test_the_log_is_verified_in_the_background_and_that_is_no_fact(people: People, own: Served) -> None:
    page = people.sign_in(own, "wang.fang", lang="en")
    page.goto(f"{own.url}/log/verification")
    page.get_by_role("button", name="Verify now").click()
    page.get_by_text("Proved: the log is whole.").wait_for()
    with own.app.archive(read_only=True) as archive:
        size, root = archive.head().size, archive.head().root.hex()
    assert root in page.inner_text("main")
    axe(page)
    with closing(sqlite._connect_writer(own.app.home / own.app.config.archive, "aes-256-gcm")) as db:
        db.execute("UPDATE days SET number = 77 WHERE what = 'refused'")
    page.get_by_role("button", name="Verify now").click()
    page.get_by_text("Contradicted: ").wait_for()
    assert "SA5015" in page.inner_text("main")
    axe(page)
    with own.app.archive(read_only=True) as archive:
        assert archive.head().size == size


def test_progress_is_told_while_it_is_verified(own: Served) -> None:
    path = own.app.home / own.app.config.archive
    log_pages._CHECKS[path] = log_pages.Check(began=own.now, by="li.na", entries=70, done=30)
    with own.client("li.na") as client:
        assert "30 of 70" in text(client, "/log/verification/progress")
        assert client.act("/log/verification", "/log").status_code == 303
        assert "30 of 70" in text(client, "/log/verification"), "one at a time"


# --- accounts that rest ---------------------------------------------------------------------------------------------


def test_an_administrator_clears_an_account_and_nobody_else(people: People, own: Served) -> None:
    job = accounts.job_id("demo")
    stopped = values.AccountStopped(account="x", outcome=values.Outcome.WRONG_PASSWORD, run=filling.RUN)
    with own.app.archive() as archive:
        archive.append(job, 0, stopped)
    with own.client("li.na") as client:
        assert "wrong password" in text(client, "/keys")
        assert "/keys/clear" not in text(client, "/keys")
        assert client.act("/keys/clear", erp="demo").status_code == 409
    page = people.sign_in(own, "liu.yang", lang="en")
    page.goto(f"{own.url}/keys")
    axe(page)
    page.get_by_role("button", name="The accounts of demo are in order again").click()
    page.get_by_text("The accounts of demo may be logged in with again.").wait_for()
    with own.app.archive(read_only=True) as archive:
        assert archive.job(job).facts == (stopped, values.Cleared(by="person:liu.yang"))
    with own.client("liu.yang") as client:
        assert client.act("/keys/clear", erp="demo").status_code == 400


# --- what a page of an ERP may say ----------------------------------------------------------------------------------

MARKUP = (
    "<script>window.hit=1</script>",
    "\"><img src=x onerror='window.hit=1'>",
    "'><svg onload=window.hit=1>",
    "</title></textarea></pre><iframe srcdoc='<script>parent.hit=1</script>'>",
    "javascript:window.hit=1//",
    "{{ 7 * 7 }}${7*7}",
    "\u202egnp.exe\u2066\x1b[31m\x00",
)


def test_text_from_pages_stays_text(people: People, tmp_path: Path) -> None:
    app = filling.folder(tmp_path / "own")
    filling.fill(app)
    with app.archive() as archive:
        template = next(entry.fact for entry in archive.entries() if isinstance(entry.fact, Draft))
        for number, said in enumerate(MARKUP):
            run = JobId(f"run/{said}")
            hostile: tuple[Fact, ...] = (
                values.RunStarted(
                    recipe_id=f"test/{said}", recipe_version=said, recipe=template.page, policy=template.page,
                    parameters={said: said}, started_by=said, agent=said, dry_run=False,
                ),
                values.Snapshot(name=said, url=said, taken_at=filling.NOW, page=template.page, image=None),
                values.Refused(method=said, url=said, reason=said),
                values.Fault(where=said, page=None, code=said, text=said, values={}),
                values.ListRead(name=said, declared=1, harvested=2, pages=1),
                values.RunEnded(complete=False, documents=0, faults=1),
            )  # fmt: skip
            for position, fact in enumerate(hostile):
                archive.append(run, position, fact)
            document = replace(template, key=said, run=run, record=said)
            job = JobId(f"doc/{template.format}/{number:064}")
            archive.append(job, 0, document)
            dead = values.DeadLetter(envelope=template.page, number=1, reason=said)
            archive.append(
                job, 1, values.Approval(document=template.document, granted=True, by=f"person:{said}", reason=said)
            )
            archive.append(job, 2, dead)
            account = values.AccountStopped(account=said, outcome=values.Outcome.LOCKED_OUT, run=run)
            archive.append(JobId(f"session/{said}"), 0, account)
        size = archive.head().size
    for console in served(app):
        page = people.sign_in(console, "liu.yang", lang="en")
        page.on("dialog", lambda _: pytest.fail("something ran"))
        for path in ("/log", "/log?before=50", "/refused", "/recipes", "/destinations", "/keys", f"/log/{size - 1}"):
            page.goto(f"{console.url}{path}")
            assert _untouched(page), path
        for link in ("/recipes", "/refused"):
            page.goto(f"{console.url}{link}")
            with page.expect_navigation():
                page.locator("tr[data-row] a").first.click()
            assert _untouched(page), page.url
        page.goto(f"{console.url}/log?find=%3Cscript%3E&person=%22%3E%3Csvg%20onload%3Dhit%3D1%3E&job=%3Cb%3E")
        assert _untouched(page)


def _untouched(page: Page) -> bool:
    """Nothing ran, and no element is there that no template has."""
    return bool(
        page.evaluate(
            "() => window.hit === undefined && !document.querySelector('iframe, img, svg, [onload], [onerror],"
            ' script:not([src="/static/console.js"]), a[href^="javascript:" i]\')'
            " && !/[\\u202e\\u2066\\u001b\\u0000]/.test(document.body.textContent)"
        )
    )
