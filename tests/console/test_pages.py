"""The first page, runs, and what people do there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect
from typer.testing import CliRunner

from scraper_agent import app as wiring
from scraper_agent import console as consoles
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.cli import build
from scraper_agent.values import (
    Certificate,
    Completeness,
    Digest,
    Draft,
    Fact,
    JobId,
    ListRead,
    RunEnded,
    RunOrdered,
    RunStarted,
    Snapshot,
    TokenChanged,
)
from tests.console import archive
from tests.console.accessible import axe
from tests.console.conftest import People, Served, copied, served, until
from tests.console.test_door import noted

OLD = f"/runs/{archive.RUN.removeprefix('run/')}"
LIVE = JobId("run/20260506T012500000000-test-order")


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_page_can_be_used_by_everybody(console: Served, people: People, lang: str) -> None:
    page = people.sign_in(console, wiring.account(), lang=lang)
    for path in ("/", "/runs", "/runs/begin?recipe=demo/order", OLD):
        page.goto(console.url + path)
        axe(page)


def test_a_page_that_is_not_there_says_so_in_the_layout(console: Served, people: People) -> None:
    with console.client("li.na", lang="en") as client:
        for path in ("/nothing", "/runs/2020", "/runs/<script>", "/documents-of-nobody"):
            answer = client.get(path)
            assert answer.status_code == 404
            assert "there is nothing under this address" in answer.text


def test_the_first_page_counts_what_waits_and_sums_the_last_days(console: Served) -> None:
    with console.client("li.na") as client:
        text = client.get("/").text
    for state, count in {"held": 6, "blocked": 1, "rejected": 1, "dead": 1, "unknown": 1, "waiting": 1}.items():
        assert f'href="/documents?state={state}"><b>{count}</b>' in text
    assert "USD 600.00" in text or "USD 600" in text
    assert '<td class="numeric">13</td><td class="numeric">0</td>' in text  # documents read


def test_the_first_page_of_a_new_installation_is_empty(tmp_path: Path) -> None:
    new = next(each := served(archive.folder(tmp_path / "new")))
    with new.client("wang.fang") as client:
        answer = client.get("/")
        assert answer.status_code == 200
        assert "No document yet" in answer.text
    next(each, None)


def test_one_run_is_told_in_full(console: Served) -> None:
    with console.client("li.na") as client:
        listed, one = client.get("/runs").text, client.get(OLD).text
    assert f'<a href="{OLD}">2026-05-06 09:00:00</a>' in listed
    assert listed.index(OLD) < listed.index("2026-05-05 09:30:0")
    assert archive.RUN in one
    assert 'class="said"' not in one
    assert "http://erp.example/save?n=1" in one
    assert "writes" in one


# --- a run that goes on ---------------------------------------------------------------------------------------------


@pytest.fixture
def going(own: Served) -> Iterator[tuple[Served, SqliteArchive]]:
    """A run of another process: it holds the archive, and has read nothing yet."""
    with SqliteArchive(own.app.home / own.app.config.archive, lambda: archive.NOW) as log:
        started = log.job(archive.RUN).facts[0]
        assert isinstance(started, RunStarted)
        append(log, LIVE, replace(started, recipe_id="test/live"))
        yield own, log


def append(log: SqliteArchive, id: JobId, *facts: Fact) -> None:
    for fact in facts:
        log.append(id, log.length(id), fact)


def snapshot(number: int) -> Snapshot:
    page = Digest(f"sm3:{number:064x}")
    return Snapshot(name=f"order {number}", url="http://erp/", taken_at=archive.NOW, page=page, image=None)


def test_a_run_of_another_process_is_watched_as_it_goes_on(going: tuple[Served, SqliteArchive], people: People) -> None:
    own, log = going
    page = people.sign_in(own, "wang.fang", lang="en")
    part = page.locator("[data-live]")
    expect(part).to_contain_text("test/live")
    expect(part).to_contain_text("0 pages read")
    certificate = Certificate(state=Completeness.PROVED)
    append(log, LIVE, ListRead(name="orders", declared=40, harvested=40, pages=2, certificate=certificate))
    append(log, LIVE, *map(snapshot, range(3)))
    expect(part).to_contain_text("3 pages read")
    expect(part).to_contain_text("the lists declare 40")
    expect(part).to_contain_text("newest page: order 2")
    draft = next(f for f in log.job(log.documents()[0]).facts if isinstance(f, Draft))
    append(log, JobId(f"doc/purchaseOrder/{'a' * 64}"), replace(draft, run=LIVE))
    expect(part.locator("progress")).to_have_attribute("value", "1")
    append(log, LIVE, RunEnded(complete=True, documents=1, faults=0))
    expect(part).to_contain_text("0 of 1 documents are settled")
    assert page.locator("html").get_attribute("lang") == "en"


def test_what_is_typed_stays_while_the_part_beside_it_is_renewed(
    going: tuple[Served, SqliteArchive], people: People
) -> None:
    own, log = going
    page = people.sign_in(own, "zhang.wei", lang="en")
    field = page.get_by_label("Reason (goes into the log)")
    field.fill("half a rea")
    append(log, LIVE, snapshot(1))
    expect(page.locator("[data-live]")).to_contain_text("1 pages read")
    expect(field).to_be_focused()
    field.press_sequentially("son")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".said")).to_contain_text("Paused")
    marker = own.app.control.marker("pause")
    assert marker is not None
    assert marker.reason == "half a reason"
    expect(page.locator("[data-live]")).to_contain_text("Paused by zhang.wei: half a reason")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("[data-live]")).not_to_contain_text("Paused by")


def test_a_run_that_was_killed_does_not_go_on(own: Served) -> None:
    with SqliteArchive(own.app.home / own.app.config.archive, lambda: archive.NOW) as log:
        append(log, LIVE, log.job(archive.RUN).facts[0])
    with own.client("wang.fang") as client:
        until(lambda: noted(own) != [])
        assert "No run goes on." in client.get("/runs/live").text
        assert "did not end" in client.get("/runs").text


# --- what people do -------------------------------------------------------------------------------------------------


def test_a_run_is_begun_by_name_as_a_process_of_its_own(own: Served) -> None:
    policy = own.app.home / "policy.yaml"
    kept = policy.read_text(encoding="utf-8")
    policy.write_text(kept.replace("http://127.0.0.1:9", "http://127.0.0.1:8"), encoding="utf-8")  # nothing is opened
    archive.sign(own.app.home)
    with own.client("zhang.wei") as client:
        begun = client.act(
            "/runs/begin", do="run", recipe=["demo/order", "demo/invoice"], max_documents="7", dry_run="1"
        )
        assert begun.headers["location"] == "/runs"
        command = "run demo/order demo/invoice --dry-run --max-documents=7"
        assert f"Begun: {command}" in client.get("/runs").text
        until(lambda: noted(own)[-1:] == [RunOrdered(by="person:zhang.wei", command=command)])
        until(lambda: "ended with code 2" in client.get("/runs").text)
        assert "SA7020" in client.get("/runs").text  # it read the policy of the config that the console has


@pytest.mark.parametrize(
    "form",
    [
        {"do": "run"},
        {"do": "run", "recipe": "demo/nothing"},
        {"do": "run", "recipe": "../../etc/passwd"},
        {"do": "run", "recipe": "--config=/tmp/evil.yaml"},
        {"do": "run", "recipe": "demo/order", "since": "--full"},
        {"do": "run", "recipe": "demo/order", "max_documents": "0"},
        {"do": "run", "recipe": "demo/order", "max_documents": "²"},
    ],
)
def test_nothing_is_begun_by_what_the_form_does_not_offer(console: Served, form: dict[str, str]) -> None:
    with console.client("zhang.wei") as client:
        assert client.act("/runs/begin", **form).status_code == 400
        assert "Begun from this console" not in client.get("/runs").text


def test_nothing_is_begun_while_a_stop_is_in_force(own: Served) -> None:
    with own.client("zhang.wei") as client:
        client.act("/control", do="stop", reason="Zoll")
        answer = client.act("/runs/begin", do="run", recipe="demo/order")
        assert "stopped by zhang.wei: Zoll" in answer.text
        assert not [f for f in noted(own) if isinstance(f, RunOrdered)]


def test_keys_move_through_rows_and_the_help_names_them(console: Served, people: People) -> None:
    page = people.sign_in(console, "wang.fang", lang="en")
    page.goto(f"{console.url}/runs")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("tr[data-row]").nth(1)).to_be_focused()
    page.keyboard.press("k")
    expect(page.locator("tr[data-row]").nth(0)).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    page.goto(f"{console.url}/runs")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("j")
    page.keyboard.press("o")
    page.wait_for_url(f"{console.url}{OLD}")


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_prints_a_link_that_signs_this_account_in(filled: Path, tmp_path: Path) -> None:
    """And is ended by Ctrl-C, also where a shell's background has it ignored."""
    home = copied(filled, tmp_path / "cli").home
    config = ["-c", str(home / "config.yaml"), "--lang", "en"]
    command = ["-m", "scraper_agent", *config, "console", "--port", "0", "--no-open"]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a child that is begun now inherits it
    try:
        console = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with console as running:
        assert running.stdout is not None
        url, _, token = running.stdout.readline().strip().partition("/sign-in#")
        with httpx.Client(base_url=url, headers={"Origin": url}) as client:
            assert client.post("/sign-in", data={"token": token, "lang": "en"}).status_code == 303
            assert f'<span class="name">{wiring.account()}</span>' in client.get("/").text
        running.send_signal(signal.SIGINT)
        try:
            assert running.wait(60) == 0
        finally:
            running.kill()


@pytest.mark.skipif(os.name == "nt", reason="asks for the account's name")
def test_an_administrator_makes_lists_and_revokes_tokens(filled: Path, tmp_path: Path) -> None:
    app = copied(filled, tmp_path / "tokens")
    runner = CliRunner()

    def said(*words: str) -> tuple[int, str]:
        done = runner.invoke(build(), ["-c", str(app.home / "config.yaml"), "console", "token", *words])
        return done.exit_code, done.stdout

    code, token = said("new", "li.na")
    assert code == 0
    assert [each.name for each in consoles.token_file(app).read()] == ["li.na"]
    assert said("list")[1].startswith("li.na  ")
    assert token.strip() not in said("list")[1]
    assert said("new", "nobody")[0] != 0
    assert said("revoke", "li.na")[0] == 0
    assert said("revoke", "li.na")[0] != 0
    with app.archive(read_only=True) as log:
        by = f"person:{wiring.account()}"
        assert log.job(JobId("console")).facts == (
            TokenChanged(by=by, action="made", name="li.na"),
            TokenChanged(by=by, action="revoked", name="li.na"),
        )
