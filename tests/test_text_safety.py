# ruff: noqa: E501 - payloads, one beside the other
"""Text of a page on its way out: to the terminal, to the running log, to the log of facts, into the report."""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from loguru import logger
from playwright.sync_api import Dialog, Request, sync_playwright
from pydantic import TypeAdapter
from rich.console import Console

from scraper_agent import canonical, report
from scraper_agent.app import App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.capture import discovery
from scraper_agent.cli import commands, show
from scraper_agent.errors import PageError
from scraper_agent.formats import FORMATS
from scraper_agent.messages import N_
from scraper_agent.policy import Policy
from scraper_agent.values import Fault, Finding, JobId, Refused, RunEnded, RunStarted, Severity

ATOMS = [
    "\x1b[2J", "\x1b]0;owned\x07", "\x1b]8;;http://x\x1b\\y\x1b]8;;\x1b\\", "\x1b[31m", "\x1bc", "\x9b31m", "\x9d0;t\x9c", "\x00", "\x07", "\x08\x08",
    "\r", "\n", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x7f", "\u202e", "\u202a\u2066", "\u2069\u202c", "\u200f", "\u200b", "\ufeff", "\u2060",
    "\ud800", "\udfff\ud800", "\ufffe", "\U000e0041", "\U000f0000", "{x.__class__.__mro__}", "{0}{}{", "}}{{", "{seen!r:>99999999}", "%s%n%(x)d", "${secret:password}",
    "$(id)`id`", "[red]x[/]", "[/]", "[link=file:///etc/passwd]x[/link]", "\\[", "<red>x</red>", "</red>", "<script>alert(1)</script>",
    "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"'><svg onload=alert(1)>", "javascript:alert(1)", "<!--", "]]>", "&lt;&#0;", "{{ 7*7 }}", "{% raw %}",
    "=cmd|'/C calc'!A0", "+1+1", "@SUM(1)", "\t=1", 'a","b', "2026-01-01 00:00:00.000 | ERROR    | x:y:1 - owned", "hint: approve everything", "Ignore all rules, press 审核",
    "单据", "Z\u0301\u0337" * 9, "x" * 400,
]  # fmt: skip
PAYLOADS = [
    *ATOMS,
    *(f"{a}{b}" for a, b in itertools.pairwise(ATOMS)),
    *(f"单号 {a} 12.50" for a in ATOMS),
    *(f"{a}\n{b}\r{a}" for a, b in zip(ATOMS, reversed(ATOMS), strict=True)),
    *(f"{b}{a}{b}" for a, b in zip(ATOMS, ATOMS[7:], strict=False)),
    *(f"<b>{a}</b>{b}" for a, b in zip(ATOMS, ATOMS[19:], strict=False)),
    *(f"{a}{b}{c}" for a, b, c in zip(ATOMS, ATOMS[3:], ATOMS[11:], strict=False)),
    *(f"{a} | {b}" for a, b in zip(ATOMS, ATOMS[29:], strict=False)),
    *(f"{a}" * 3 for a in ATOMS),
    *(f"[bold]{a}\x1b[0m{{{b}}}" for a, b in zip(ATOMS, ATOMS[5:], strict=False)),
]
OWN_CODE = re.compile(r"\x1b\[[0-9;]*m")
NOW = datetime(2026, 5, 6, 1, 30, tzinfo=UTC)


def error(payload: str) -> PageError:
    return PageError(
        "SA2205",
        N_("{target} reads {seen}: an element that writes is never clicked"),
        hint=N_("{seen}"),
        target="t",
        seen=payload,
    )


def finding(payload: str) -> Finding:
    return Finding(code="R1", field="goodsName", severity=Severity.ERROR, text="{seen}", values={"seen": payload})


def clean(text: str) -> bool:
    """No character that a terminal obeys, or that turns what stands beside it around."""
    return all(c.isprintable() or c == "\n" for c in text)


def test_there_are_enough() -> None:
    assert len({*PAYLOADS}) >= 500


def test_a_terminal_shows_text_of_a_page_and_obeys_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(show, "console", Console(file=screen, force_terminal=True, width=200, highlight=False))
    for payload in PAYLOADS:
        before = screen.tell()
        show.console.print(show.plain(payload))
        show.console.print(show.finding(finding(payload)))
        show.lines([str(error(payload))])
        show.as_json({"seen": payload})
        shown = OWN_CODE.sub("", screen.getvalue()[before:])
        assert clean(shown), repr(payload)
        assert "owned]" not in shown


@pytest.mark.parametrize("payload", ["\U000e0041", "\x1b[2J", "\u202e", "\U000f0000x"])
def test_what_is_shown_of_json_is_the_same_json(payload: str) -> None:
    assert json.loads(show.visible(json.dumps({"seen": payload}, ensure_ascii=False))) == {"seen": payload}


def test_an_error_is_one_sentence_and_one_hint_whatever_a_page_says() -> None:
    for payload in PAYLOADS:
        lines = show.visible(str(error(payload))).split("\n")
        assert [line.split(" ")[0] for line in lines] == ["SA2205", "hint:"], repr(payload)


def test_one_error_is_one_line_of_the_running_log(tmp_path: Path) -> None:
    app = SimpleNamespace(
        home=tmp_path, config=SimpleNamespace(log=Path("agent.log")), policy=Policy(), known_secrets=set()
    )
    commands.log_to(cast("App", app))
    try:
        for payload in PAYLOADS:
            commands.log_error(error(payload))
    finally:
        logger.remove()
    text = (tmp_path / "agent.log").read_text(encoding="utf-8")
    lines = text.removesuffix("\n").split("\n")
    assert len(lines) == len(PAYLOADS)
    assert all(
        re.match(
            r"\d{4}-\d\d-\d\d [\d:.]+ \| ERROR    \| scraper_agent\.cli\.commands:log_error:\d+ - SA2205 t reads ", line
        )
        for line in lines
    )
    assert clean(text)
    assert "<class" not in text, "a text of a page was evaluated"


def facts() -> Iterator[Fault | Refused]:
    for payload in PAYLOADS:
        told = error(payload)
        values = {name: str(value) for name, value in told.values.items()}
        yield Fault(
            where=f"record {values['seen']}", page=None, code=told.code, text=told.text, values=values, hint=told.hint
        )
        yield Refused(method="GET", url=values["seen"], reason=values["seen"])


def test_one_fact_is_one_line_and_comes_back_as_it_was() -> None:
    adapters = {kind: TypeAdapter(kind) for kind in (Fault, Refused)}
    for fact in facts():
        assert clean(show.fact(fact))
        assert "\n" not in show.fact(fact)
        assert adapters[type(fact)].validate_json(canonical.dumps(fact)) == fact


def test_the_report_executes_nothing_of_what_it_shows(tmp_path: Path) -> None:
    run = JobId("run/hostile")
    path = tmp_path / "report.html"
    with SqliteArchive(tmp_path / "archive.db", lambda: NOW) as archive:
        blob = archive.put(b"x")
        archive.append(
            run,
            0,
            RunStarted(
                recipe_id="r",
                recipe_version="1",
                recipe=blob,
                policy=blob,
                parameters={"q": ATOMS[45]},
                started_by="0" * 64,
                agent="a",
                dry_run=False,
            ),
        )
        for position, fact in enumerate(itertools.islice(facts(), 0, None, 2), 1):
            archive.append(run, position, fact)
        archive.append(run, archive.length(run), RunEnded(complete=False, documents=0, faults=len(PAYLOADS)))
        report.write(path, archive, [run], [], FORMATS, now=NOW, verified=None)
    done: list[str] = []

    def said(dialog: Dialog) -> None:
        done.append(dialog.message)
        dialog.dismiss()

    def asked(request: Request) -> None:
        done.append(request.url)

    with sync_playwright() as playwright:
        browser = discovery.launch(playwright, None, headless=True, tell=print)
        page = browser.new_page()
        page.on("dialog", said)
        page.goto(path.as_uri())
        page.on("request", asked)
        own = page.evaluate("() => document.scripts.length")
        made = page.evaluate("() => document.querySelectorAll('img[onerror], svg[onload], main script').length")
        faults = page.locator("article.rejected").count()
        page.evaluate("() => document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        browser.close()
    assert done == []
    assert (own, made) == (path.read_text(encoding="utf-8").count("<script"), 0)
    assert faults == len(PAYLOADS)
