"""Pages that do what no page should: the run goes on, nothing of them is executed, and the records beside are read."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Container, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic

import pytest

from scraper_agent.capture import limits
from scraper_agent.capture.browser import PlaywrightBrowser, Settings
from scraper_agent.capture.pace import Pace
from scraper_agent.errors import AgentError
from scraper_agent.page import FrozenPage
from scraper_agent.ports import File, Page, Sighting, Trouble
from scraper_agent.recipe import Recipe
from scraper_agent.values import Completeness, ListRead, Refused, Relogin
from tests.chromium import chromium
from tests.gauntlet import hostile, listing

SHORT_S = 4.0
"""The patience with pages that use it up; all others are given what the config gives."""
GROUPS = 3
RECOVERY_S = 30.0
AGENT_MB = 512
DRIVER_MB = 768


def recipe() -> Recipe:
    """Opens every record of the list."""
    return listing.recipe(
        {"do": "open", "url": "${base}/"},
        {
            "do": "list",
            "name": "orders",
            "rows": "tr",
            "declared": {"css": "#total"},
            "open": {"how": "link", "target": "a"},
            "steps": [{"do": "snap", "name": "page"}],
        },
    )


@dataclass
class Run:
    """What became of every record: `read`, or the code of the trouble."""

    outcomes: dict[str, str] = field(default_factory=dict)
    pages: dict[str, Page] = field(default_factory=dict)
    took_s: dict[str, float] = field(default_factory=dict)
    sightings: list[Sighting] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def of(self, kind: type[Sighting]) -> list[Sighting]:
        return [s for s in self.sightings if isinstance(s, kind)]


def run(
    cases: Mapping[str, hostile.Case],
    patience_s: float = limits.PATIENCE_S,
    look: Callable[[], None] = lambda: None,
    executable: Path | None = None,
    late: Container[int] = (),
    pace: Pace | None = None,
) -> Run:
    """Every hostile record stands between good ones. `look` is called after each."""
    rows: list[tuple[str, str]] = [("good-0", "/good/good-0")]
    for number, name in enumerate(cases, 1):
        rows += [(name, f"/r/{name}"), (f"good-{number}", f"/good/good-{number}")]
    done = Run()
    with hostile.serving(cases) as server, hostile.serving({}) as foreign:
        links = "".join(f'<tr><td><a href="{link}">{name}</a>' for name, link in rows)
        server.index = f"<!doctype html><title>list</title><p id=total>{len(rows)}</p><table>{links}</table>"
        server.foreign = foreign.url
        server.late = late
        settings = Settings(executable=executable, patience_s=patience_s, images=False)
        browser = PlaywrightBrowser(settings=settings, secret=lambda name: name, pace=pace or Pace())
        numbered = iter(name for name, _ in rows)
        before = monotonic()
        for sighting in browser.harvest(recipe(), {"base": server.url}):
            done.sightings.append(sighting)
            look()
            if isinstance(sighting, ListRead):  # the browser's start is no record's time
                before = monotonic()
            if isinstance(sighting, Page | Trouble):
                name = next(numbered, "more")
                done.took_s[name], before = monotonic() - before, monotonic()
                if isinstance(sighting, Page):
                    done.pages[name] = sighting
                done.outcomes[name] = "read" if isinstance(sighting, Page) else sighting.error.code
        done.asked = server.asked
        assert foreign.asked == [], "a request left"
    return done


def judge(done: Run, cases: Mapping[str, hostile.Case]) -> None:
    wrong = {
        name: f"{done.outcomes.get(name)}, not {case.outcome}"
        for name, case in cases.items()
        if done.outcomes.get(name) not in case.outcome.split(" or ")
    }
    assert wrong == {}, wrong
    good = {name: outcome for name, outcome in done.outcomes.items() if name.startswith("good-")}
    assert good == {f"good-{n}": "read" for n in range(len(cases) + 1)}
    for name in good:
        page = FrozenPage(done.pages[name].frozen)
        spot = page.by_label("单号")
        assert spot is not None
        assert (spot.text, len(page.select("td"))) == (name, 2)
    for name, case in cases.items():
        if case.shows:
            spot = FrozenPage(done.pages[name].frozen).by_css("#no")
            assert spot is not None, name
            assert spot.text == as_text(case.shows), name
    assert max(done.took_s.values()) < RECOVERY_S
    assert len(done.of(Refused)) <= (limits.REFUSALS + 1) * 2 * len(done.outcomes)


def as_text(shown: str) -> str:
    """What a page that shows `shown` reads: characters that XML cannot hold are told as lost, white space is one."""
    kept = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]", "\ufffd", shown)
    return " ".join(kept.split())


@contextlib.contextmanager
def no_file_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither in the current folder nor above it."""
    below = folder / "one" / "two"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    yield
    assert list(folder.rglob("*")) == [folder / "one", below], "a file was written"


def nothing_was_sent(done: Run) -> None:
    assert [path for method, path in done.asked if method != "GET" or path.startswith(("/write", "/leak"))] == []
    assert done.of(File) == []


@pytest.mark.parametrize("family", hostile.FAST)
def test_hostile_pages_harm_nothing_but_themselves(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with no_file_is_written(tmp_path, monkeypatch):
        done = run(hostile.FAST[family])
    judge(done, hostile.FAST[family])
    nothing_was_sent(done)


def test_pages_that_never_come_or_never_answer_cost_their_own_record() -> None:
    """In several browsers at once: most of the time each of them only waits."""
    groups = [dict(list(hostile.SLOW.items())[group::GROUPS]) for group in range(GROUPS)]
    with ThreadPoolExecutor(GROUPS) as browsers:  # Playwright runs once in a thread
        runs = list(browsers.map(lambda cases: run(cases, SHORT_S), groups))
    for cases, done in zip(groups, runs, strict=True):
        judge(done, cases)
        nothing_was_sent(done)


ALL_CONNECTIONS = hostile.Case(hostile.shown("H-1", "".join(f"<img src=/hang?{n}>" for n in range(12))), "SA2254")
"""A browser asks one host for six things at a time, for all of its tabs together."""


def test_a_page_that_takes_every_connection_does_not_keep_others_from_a_new_tab() -> None:
    """The record before it fails, so that the one after it is given another tab."""
    cases = {"no-content": hostile.TIME["no-content"], "images": ALL_CONNECTIONS}
    judge(run(cases, SHORT_S), cases)


def test_a_page_that_takes_every_connection_does_not_starve_the_one_that_is_read() -> None:
    asks = hostile.script(
        "const no = document.getElementById('no'); let n = 0; const busy = setInterval(async () => {"
        " no.textContent = n; if (n++ < 30) return; clearInterval(busy);"
        " no.textContent = (await fetch('/good/x')).ok ? 'came' : ''; }, 50)"
    )
    cases = {"asks": hostile.Case(asks, "read", "came"), "images": ALL_CONNECTIONS}
    judge(run(cases, SHORT_S), cases)


def test_the_erps_own_page_may_be_late_once() -> None:
    cases = {"plain": hostile.Case(hostile.good("H-1"), "read")}
    judge(run(cases, SHORT_S, late=(3,)), cases)


def test_an_erp_that_answers_no_more_ends_the_run() -> None:
    cases = {"plain": hostile.Case(hostile.good("H-1"), "read")}
    with pytest.raises(AgentError, match="SA2201"):
        run(cases, SHORT_S, late=range(3, 100))


def test_tabs_that_are_closed_while_the_pace_is_waited_for_cost_no_other_record() -> None:
    closes = hostile.script("setTimeout(() => { open('', '_self'); close(); }, 500)")
    cases = {"closes": hostile.Case(closes, "read"), "no-content": hostile.TIME["no-content"]}
    judge(run(cases, SHORT_S, pace=Pace(3, 2.0)), cases)


def test_files_with_hostile_names_are_bytes_and_their_names_are_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = b"a,b\r\n1,2\r\n"
    cases = {
        f"file-{n}": hostile.Case(
            partial(hostile.file, name=name, kind="text/csv", star=not name.isascii(), body=table), "SA2253"
        )
        for n, name in hostile.NAMES.items()
    }
    steps = [
        {"do": "download", "on": {"css": f"#{name}"}, "name": "table", "media": ["csv"], "timeout_s": 20}
        for name in cases
    ]
    of = listing.recipe({"do": "open", "url": "${base}/"}, *steps, {"do": "snap", "name": "page"})
    with no_file_is_written(tmp_path, monkeypatch), hostile.serving(cases) as server:
        server.index = "".join(f'<a id={name} href="/r/{name}">{name}</a>' for name in cases)
        seen = listing.harvest(of, server.url)
    found = [s for s in seen if isinstance(s, File)]
    assert listing.troubles(seen) == []
    assert [f.body for f in found] == [table] * len(cases)
    assert all(0 < len(f.file_name) <= 200 for f in found)


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGSTOP], ids=["ended", "hangs"])
def test_a_browser_that_ends_or_hangs_is_started_again_and_the_rest_is_read(by: signal.Signals) -> None:
    def strike(handler: hostile.Handler) -> None:
        for pid in browsers():
            os.kill(pid, by)
        hostile.hanging(handler)

    cases = {"before": hostile.Case(hostile.good("H-1"), "read"), "struck": hostile.Case(strike, "SA2257"),
             "after": hostile.Case(hostile.good("H-2"), "read")}  # fmt: skip
    with hostile.serving(cases) as server:
        names = ["before", "struck", "after", *(f"more-{n}" for n in range(5))]
        for name in names[3:]:
            server.cases[name] = hostile.Case(hostile.good(name), "read")  # type: ignore[index]
        links = "".join(f'<tr><td><a href="/r/{name}">{name}</a>' for name in names)
        server.index = f"<p id=total>{len(names)}</p><table>{links}</table>"
        browser = PlaywrightBrowser(settings=Settings(patience_s=SHORT_S, images=False), secret=lambda name: name)
        start, longest = monotonic(), 0.0
        seen: list[Sighting] = []
        for sighting in browser.harvest(recipe(), {"base": server.url}):
            longest, start = max(longest, monotonic() - start), monotonic()
            seen.append(sighting)
    told = [s.error.code for s in seen if isinstance(s, Trouble)]
    assert told == ["SA2257"]
    read = [s.url.rpartition("/")[2] for s in seen if isinstance(s, Page)]
    assert sorted(read) == sorted(set(names) - {"struck"}), "each once"
    begun_anew = [s.void_lists for s in seen if isinstance(s, Relogin)]
    assert begun_anew == [1, 1], "any record that was under way may have done it; then it is known which"
    last = [s for s in seen if isinstance(s, ListRead)][-1]
    assert last.certificate is not None
    assert last.certificate.state is Completeness.PROVED
    assert longest < RECOVERY_S


def test_a_page_whose_process_crashes_costs_its_own_record(tmp_path: Path) -> None:
    """A browser that gives little memory to a page, and a page that wants more."""
    with chromium():
        found = Path(f"/proc/{browsers()[0]}/exe").readlink()
    small = tmp_path / "chromium"
    small.write_text(f'#!/bin/sh\nexec "{found}" --js-flags=--max-old-space-size=80 "$@"\n')
    small.chmod(0o755)
    fills = "onload = () => { const a = []; for (;;) a.push(new Array(1e5).fill(a.length + 0.5)); }"
    cases = {"crash": hostile.Case(hostile.script(fills), "SA2248")}
    judge(run(cases, executable=small), cases)


def browsers() -> list[int]:
    """Browsers that this process has started."""
    parents: dict[int, int] = {}
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            line = (folder / "cmdline").read_bytes()
            if b"--remote-debugging-pipe" in line and b"--type=" not in line and b"node" not in line.split(b"\0")[0]:
                found.append(int(folder.name))

    def is_ours(pid: int) -> bool:
        return pid == os.getpid() or (pid in parents and is_ours(parents[pid]))

    return [pid for pid in found if is_ours(pid)]


def test_a_page_that_is_refused_much_is_told_in_few_facts() -> None:
    beacons = "for (let n = 0; n < 250; n++) fetch('/write?' + n, {method: 'POST'}).catch(() => {})"
    done = run({"flood": hostile.Case(hostile.script(beacons), "read")})
    assert done.outcomes["flood"] == "read"
    told = [s for s in done.sightings if isinstance(s, Refused)]
    (more,) = [s for s in told if s.method == "MORE"]
    assert limits.REFUSALS < len(told) <= limits.REFUSALS * 3
    assert len(told) - 1 + int(more.reason.split()[0]) >= 250


def test_large_pages_do_not_fill_the_memory_of_the_agent() -> None:
    """Nor that of Playwright's driver, through which all goes that a page is asked for."""
    child = [sys.executable, "-m", "tests.gauntlet.test_hostile"]
    told = subprocess.run(child, capture_output=True, text=True, timeout=240, check=False)
    assert told.returncode == 0, told.stderr[-3000:]
    megabytes = json.loads(told.stdout.splitlines()[-1])
    assert megabytes["agent"] < AGENT_MB, megabytes
    assert megabytes["driver"] < DRIVER_MB, megabytes


def main() -> None:
    """Reads the heavy pages, and prints the most memory that this process and its driver ever had."""
    done = run(hostile.MEMORY, 2 * SHORT_S, look=children)
    judge(done, hostile.MEMORY)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"agent": own, "driver": max(PEAKS.values())}))


PEAKS: dict[int, int] = {}
"""Child process -> the most memory it ever had, in MB."""


def children() -> None:
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            told = dict(line.split(":", 1) for line in status.read_text().splitlines())
            if int(told["PPid"]) == os.getpid() and "VmHWM" in told:
                PEAKS[int(told["Pid"])] = int(told["VmHWM"].split()[0]) // 1024


if __name__ == "__main__":
    main()
