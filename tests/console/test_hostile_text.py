"""What pages of an ERP say, through the console's own pages, in a real browser."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.values import Fact, Fault, JobId, Refused, RunEnded, RunStarted
from tests.console import archive, payloads
from tests.console.conftest import People, Served
from tests.console.payloads import PAYLOADS

HOSTILE = JobId("run/20260506T012000000000-hostile")
SHOWN = 200
"""Of faults one run's page shows so many."""


@pytest.fixture(scope="module")
def hostile(console: Served) -> Served:
    """Runs whose pages said a payload wherever they could: `SHOWN` of them in each."""
    path = console.app.home / console.app.config.archive
    with SqliteArchive(path, lambda: archive.NOW) as filled:
        started = filled.job(archive.RUN).facts[0]
        assert isinstance(started, RunStarted)
        for number, first in enumerate(range(0, len(PAYLOADS), SHOWN)):
            some = PAYLOADS[first : first + SHOWN]
            id = JobId(f"{HOSTILE}-{number}")
            facts: list[Fact] = [
                replace(started, recipe_id=some[0], parameters={some[1]: some[2]}, agent=some[3]),
                *[
                    Fault(where=each, page=None, code="SA2301", text="{seen}", values={"seen": each}, hint="{seen}")
                    for each in some
                ],
                *[Refused(method="GET", url=f"http://erp/{each}", reason=each) for each in some],
                RunEnded(complete=False, documents=0, faults=len(some)),
            ]
            for fact in facts:
                filled.append(id, filled.length(id), fact)
    return console


def pages(hostile: Served) -> list[str]:
    runs = [f"/runs/{HOSTILE.removeprefix('run/')}-{n}" for n in range(-(-len(PAYLOADS) // SHOWN))]
    return ["/", "/runs", *runs]


def test_there_are_enough() -> None:
    assert len(PAYLOADS) >= 500


def test_text_of_pages_is_shown_as_it_was_never_run_and_one_event_is_one_row(hostile: Served, people: People) -> None:
    page = people.sign_in(hostile, "wang.fang")
    payloads.watch(page)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    shown: list[str] = []
    for path in pages(hostile):
        page.goto(hostile.url + path)
        payloads.harmless(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        if path.startswith("/runs/"):
            assert page.locator("section").count() == 5
            shown += page.locator("section[aria-labelledby=faults] > [data-row] > p:first-child").all_text_contents()
    assert len(shown) == len(PAYLOADS)
    assert {plain(told(each)) for each in PAYLOADS} == {plain(each) for each in shown}
    assert all(url.startswith(hostile.url) for url in requests)


def told(payload: str) -> str:
    """As a person reads it: what would be obeyed is told by its number."""
    return "".join(c if c.isprintable() or c in "\n\u3000\u00a0" else numbered(c) for c in payload)


def numbered(character: str) -> str:
    digits = character.encode("utf-16-be").hex()
    return "".join(f"\\u{digits[n : n + 4]}" for n in range(0, len(digits), 4))


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
