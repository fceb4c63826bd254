"""Twenty lists that lie or move, five ways of paging by four faults: none is ever proved; honest ones are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from scraper_agent import completeness
from scraper_agent.values import Completeness
from tests.chromium import shared  # noqa: F401 - a fixture
from tests.gauntlet.listing import HERE, certified, harvest, recipe, served, troubles

pytestmark = pytest.mark.usefixtures("shared")
COUNT = 34
WAYS = ("next", "numbered", "more", "scroll", "grid")

PAGE = (HERE / "list_any.html").read_text(encoding="utf-8")


@dataclass
class Erp:
    """A list of `COUNT` records; `fault` says how it lies, or moves after the first question."""

    fault: str
    asked: int = 0
    rows: list[dict[str, object]] = field(
        default_factory=lambda: [{"no": f"N{n}", "sum": f"{n}.50"} for n in range(1, COUNT + 1)]
    )

    def answer(self, query: Mapping[str, str]) -> str:
        if self.asked == 1:
            self.move()
        self.asked += 1
        start, end = int(query["from"]), int(query["from"]) + int(query["n"])
        shown, total = list(self.rows), len(self.rows)
        match self.fault:
            case "dropped":
                del shown[16]
            case "doubled":
                shown[16] = shown[15]
            case "hidden":
                shown[16] = shown[16] | {"hidden": True}
            case _:
                pass
        return json.dumps({"total": total, "rows": shown[start:end]})

    def move(self) -> None:
        """One record goes and another comes: the count stays the same all the time."""
        if self.fault == "moving":
            del self.rows[2]
            self.rows.append({"no": f"N{COUNT + 1}", "sum": "1.00"})


@contextmanager
def erp(fault: str) -> Iterator[str]:
    here = Erp(fault)
    with served({"/list": PAGE, "/rows": here.answer}) as base:
        yield base


def steps(way: str, *, recount: bool = True, **more: object) -> tuple[dict[str, object], ...]:
    show: list[dict[str, object]] = [
        {"do": "open", "url": f"${{base}}/list?way={way}"},
        {"do": "wait", "until": {"css": ".total:has-text('共')"}},
    ]
    ways: dict[str, dict[str, object]] = {
        "next": {"next": {"css": "a.next"}},
        "numbered": {"numbered": "#pager a.n"},
        "more": {"more": {"css": "#pager button"}},
        "scroll": {"scroll": "#box", "busy": ".busy"},
        "grid": {
            "grid": {
                "down": "#box",
                "cells": "[col-id]",
                "heads": "#heads [col-id]",
                "row": {"attribute": "row-index"},
                "column": {"attribute": "col-id"},
            }
        },
    }
    found: dict[str, object] = {
        "do": "list",
        "name": "records",
        "rows": ".row",
        "key": "单号" if way == "grid" else ".no",
        "declared": {"css": ".total"},
        **ways[way],
        **more,
    }
    if recount:
        found["recount"] = show
    return (*show, found)


def state(fault: str, way: str, **more: object) -> tuple[Completeness, list[str]]:
    with erp(fault) as base:
        seen = harvest(recipe(*steps(way, **more)), base)  # type: ignore[arg-type]
    read = certified(seen)
    assert read.certificate is not None
    return completeness.of(read), [r.text.format(**r.values) for r in read.certificate.reasons] + troubles(seen)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", ["dropped", "doubled", "moving", "hidden"])
def test_a_list_that_lies_or_moves_is_never_proved(way: str, fault: str) -> None:
    found, reasons = state(fault, way)
    assert found is Completeness.UNPROVED, (found, reasons)
    assert reasons


@pytest.mark.parametrize("way", WAYS)
def test_an_honest_list_is_proved(way: str) -> None:
    assert state("", way) == (Completeness.PROVED, [])


@pytest.mark.parametrize("way", ["next", "more", "scroll"])
def test_a_list_that_was_looked_at_once_is_plausible(way: str) -> None:
    assert state("", way, recount=False) == (
        Completeness.PLAUSIBLE,
        ["the rows were not looked at a second time"],
    )


def test_without_a_second_look_a_moved_list_keeps_its_count_and_is_not_proved() -> None:
    assert state("moving", "next", recount=False)[0] is Completeness.PLAUSIBLE


def test_an_endless_list_that_states_nothing_ends_where_loading_brings_nothing() -> None:
    found, reasons = state("", "scroll", declared=None)
    assert (found, reasons) == (Completeness.PLAUSIBLE, ["the page states no count"])


def test_an_endless_list_without_count_or_loading_indicator_has_no_proven_end() -> None:
    found, reasons = state("", "scroll", declared=None, busy=None)
    assert (found, reasons[0]) == (Completeness.UNPROVED, "the end of the list was not seen")


def test_a_total_is_held_against_the_sum_of_its_rows() -> None:
    """共 34 条 stands for the total; the amounts are 1.50 to 34.50."""
    found, reasons = state("", "next", totals=[{"cell": ".sum", "stated": "#sum"}])
    assert (found, reasons) == (Completeness.PROVED, [])
    found, reasons = state("", "next", totals=[{"cell": ".sum", "stated": "#wrong"}])
    assert (found, reasons) == (
        Completeness.UNPROVED,
        ["the page states 600.00 as the total of .sum; its rows add up to 612.00"],
    )


def test_a_filter_that_no_longer_reads_as_it_was_set_contradicts() -> None:
    reads = {"field": {"css": "#filter"}, "reads": "2026-03-01"}
    assert state("", "next", filters=[reads]) == (Completeness.PROVED, [])
    assert state("", "next", filters=[reads | {"reads": "2026-03-02"}]) == (
        Completeness.UNPROVED,
        ["the filter css #filter reads 2026-03-01; it was set to 2026-03-02"],
    )


def test_the_largest_page_size_is_chosen() -> None:
    with erp("") as base:
        read = certified(harvest(recipe(*steps("next", page_size={"css": "#size"})), base))
    assert (read.pages, read.harvested) == (1, COUNT)
    assert completeness.of(read) is Completeness.PROVED
