"""Twenty lists that lie or move, in five ways of paging and four faults: none of them is ever proved; honest ones are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from scraper_agent import completeness
from scraper_agent.values import Completeness
from tests.gauntlet.listing import certified, harvest, recipe, served, troubles

COUNT = 34
SIZE = 10
WAYS = ("next", "numbered", "more", "scroll", "grid")

PAGE = """<!doctype html><meta charset=utf-8><style>
#box { height: 200px; overflow-y: auto; position: relative } .row { height: 25px } .gone { display: none }
</style>
<p class=total></p><b id=sum>612.00</b><b id=wrong>600.00</b><input id=filter value=2026-03-01>
<select id=size onchange="per = +value; show(0)"><option>10<option value=50>50 条/页<option>20</select><p id=heads><b col-id=no>单号</b> <b col-id=sum>金额</b></p><div id=box><div id=rows></div></div><p class=busy hidden>加载中</p><p id=pager></p><script>
let per = SIZE; const way = new URLSearchParams(location.search).get("way");
const rows = document.querySelector("#rows"), box = document.querySelector("#box"), pager = document.querySelector("#pager");
let total = 0, at = 0, asking = false;
const line = (r, n) => `<div class="row${r.hidden ? " gone" : ""}" row-index="${n}"><span class=no col-id=no>${r.no}</span> <span class=sum col-id=sum>${r.sum}</span></div>`;
async function ask(from, n) {
  asking = true; document.querySelector(".busy").hidden = false;
  const got = await (await fetch(`/rows?from=${from}&n=${n}`)).json();
  total = got.total; document.querySelector(".total").textContent = `共 ${total} 条`;
  asking = false; document.querySelector(".busy").hidden = true;
  return got.rows;
}
async function show(page) {
  at = page;
  const got = await ask(page * per, per);
  rows.innerHTML = got.map(line).join("");
  const pages = Math.ceil(total / per);
  pager.innerHTML = way === "next" ? `<a class="next${page + 1 >= pages ? " disabled" : ""}" href="#" onclick="show(at + 1); return false">下一页</a>`
    : Array.from({ length: pages }, (_, n) => `<a class=n href="#" onclick="show(${n}); return false">${n + 1}</a>`).join(" ");
}
async function add() {
  if (asking) return;
  const have = rows.children.length, got = await ask(have, per);
  rows.insertAdjacentHTML("beforeend", got.map((r, n) => line(r, have + n)).join(""));
  pager.innerHTML = way === "more" && rows.children.length < total ? "<button onclick='add()'>更多</button>" : "";
}
async function grid() {
  const all = await ask(0, 1e6);
  rows.style.height = `${all.length * 25}px`;
  const draw = () => {
    const first = Math.max(0, Math.floor(box.scrollTop / 25) - 2);
    rows.innerHTML = all.slice(first, first + 13).map((r, n) => line(r, first + n).replace("<div ", `<div style="position:absolute;top:${(first + n) * 25}px" `)).join("");
  };
  box.onscroll = draw; draw();
  window.moveNow = async () => { const again = await ask(0, 1e6); all.splice(0, all.length, ...again); };
  box.addEventListener("scroll", () => { if (!window.moved) { window.moved = true; window.moveNow(); } });
}
if (way === "next" || way === "numbered") show(0);
else if (way === "grid") grid();
else { add(); if (way === "scroll") box.onscroll = () => { if (box.scrollTop + box.clientHeight >= box.scrollHeight - 5 && rows.children.length < total) add(); }; }
</script>""".replace("SIZE", str(SIZE))


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
