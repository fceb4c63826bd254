"""Pages that do what no page should: the run goes on, nothing of them is executed, and the records beside are read."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import pytest

from scraper_agent.capture.browser import PlaywrightBrowser, Settings
from scraper_agent.page import FrozenPage
from scraper_agent.ports import File, Page, Sighting, Trouble
from scraper_agent.recipe import Recipe
from tests.gauntlet import hostile, listing

PATIENCE_S = 3.0
TABS = 6
RECOVERY_S = 30.0
AGENT_MB = 512
DRIVER_MB = 768

RECIPE: Recipe = listing.recipe(
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


def run(cases: dict[str, hostile.Case], look: Callable[[], None] = lambda: None) -> Run:
    """Every hostile record stands between good ones. `look` is called after each."""
    rows: list[tuple[str, str]] = [("good-0", "/good/good-0")]
    for number, name in enumerate(cases, 1):
        rows += [(name, f"/r/{name}"), (f"good-{number}", f"/good/good-{number}")]
    done = Run()
    with hostile.serving(cases) as server, hostile.serving({}) as foreign:
        links = "".join(f'<tr><td><a href="{link}">{name}</a>' for name, link in rows)
        server.index = f"<!doctype html><title>list</title><p id=total>{len(rows)}</p><table>{links}</table>"
        for name, case in cases.items():
            if isinstance(case.answer, str) and "FOREIGN" in case.answer:
                server.cases[name] = hostile.Case(case.answer.replace("FOREIGN", foreign.url), case.outcome)  # type: ignore[index]
        browser = PlaywrightBrowser(
            settings=Settings(patience_s=PATIENCE_S, images=False, tabs=TABS), secret=lambda name: name
        )
        numbered = iter(name for name, _ in rows)
        before = monotonic()
        for sighting in browser.harvest(RECIPE, {"base": server.url}):
            done.sightings.append(sighting)
            look()
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
    good = {name: outcome for name, outcome in done.outcomes.items() if name.startswith("good-")}
    wrong = {
        name: done.outcomes.get(name, "-")
        for name, case in cases.items()
        if done.outcomes.get(name) not in case.outcome
    }
    for name, case in cases.items():
        if case.shows and name in done.pages:
            spot = FrozenPage(done.pages[name].frozen).by_css("#no")
            assert spot is not None
            assert spot.text == as_text(case.shows), name
    print({name: (o, round(done.took_s[name], 1)) for name, o in done.outcomes.items() if not name.startswith("good-")})
    print(round(sum(done.took_s.values()), 1))
    assert wrong == {}
    assert good == {f"good-{n}": "read" for n in range(len(cases) + 1)}
    for name in good:
        page = FrozenPage(done.pages[name].frozen)
        spot = page.by_label("单号")
        assert spot is not None
        assert (spot.text, len(page.select("td"))) == (name, 2)
    assert max(done.took_s.values()) < RECOVERY_S


def as_text(shown: str) -> str:
    """What a page that shows `shown` reads: characters that XML cannot hold are told as lost, white space is one."""
    kept = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]", "\ufffd", shown)
    return " ".join(kept.split())


@pytest.mark.parametrize("family", hostile.FAMILIES)
def test_hostile_pages_harm_nothing_but_themselves(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = dict(hostile.FAMILIES[family])
    below = tmp_path / "one" / "two"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    done = run(cases)

    judge(done, cases)
    assert [path for method, path in done.asked if method != "GET" or path.startswith(("/write", "/leak"))] == []
    assert [s for s in done.sightings if isinstance(s, File)] == []
    assert list(tmp_path.rglob("*")) == [tmp_path / "one", below], "a file was written"


def test_large_pages_do_not_fill_the_memory_of_the_agent() -> None:
    """Nor that of Playwright's driver, through which all goes that a page is asked for."""
    child = [sys.executable, "-m", "tests.gauntlet.test_hostile"]
    told = subprocess.run(child, capture_output=True, text=True, timeout=240, check=True).stdout.splitlines()[-1]
    megabytes = json.loads(told)
    assert megabytes["agent"] < AGENT_MB, megabytes
    assert megabytes["driver"] < DRIVER_MB, megabytes


def main() -> None:
    """Reads the heavy pages, and prints the most memory that this process and its driver ever had."""
    done = run(dict(hostile.MEMORY), children)
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
