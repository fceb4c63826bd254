"""Mistakes in the flow of a recipe are told before anything is opened; what is right is told in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from scraper_agent.authoring.explain import explain
from scraper_agent.authoring.load import load
from scraper_agent.errors import SourceErrors
from scraper_agent.formats import FORMATS
from scraper_agent.messages import english

RECIPE = """recipe: test/flow
version: "1"
format: purchaseOrder
erp: TEST
parameters: {base: {type: url}, plants: {}, day: {type: date}}
login:
  steps: [{do: open, url: "${base}/login"}]
  done: {css: .user}
flows:
  one:
    parameters: {plant: {}, since: {type: date}, most: {type: integer, default: "5"}}
    steps:
      - {do: open, url: "${base}/orders?plant=${plant}&since=${since}&most=${most}"}
      - {do: use, flow: two}
  two:
    steps: [{do: snap, name: order}, {do: snap, name: order, in: popup}, {do: close}]
  again: {steps: [{do: retry, times: 2, steps: [{do: close}]}]}
steps:
  - do: for_each
    name: plant
    parameter: plants
    steps:
      - {do: use, flow: one, with: {plant: "${plant}", since: "${day}"}}
  - {do: for_each, name: kind, values: [a, b], steps: [{do: when, parameter: kind, is: a, steps: [{do: close}]}]}
  - do: when
    absent: {text: Orders, in: [{frame: main}, dialog]}
    steps: [{do: retry, steps: [{do: click, on: {any_of: [{id: go}, {text: Go}]}}]}]
    otherwise: [{do: optional, steps: [{do: click, on: {text: Later}}]}]
  - {do: inside, in: [popup, {frame: main}], steps: [{do: wait, until: {css: table}}]}
finally: [{do: open, url: "${base}/logout"}]
document:
  page: order
  record: {css: h1}
  header: {orderNumber: {any_of: [{label: Number}, {right_of: No., in_section: Head, in: dialog}]}}
  lines: {values: {orderLineNumber: {column: Line}}}
"""

MISTAKES = {
    "a flow that is not there": (
        "flow: two",
        "flow: tow",
        "14:25 SA1320 there is no flow `tow`",
    ),
    "a flow that comes back to itself": (
        "steps: [{do: snap, name: order}, ",
        'steps: [{do: use, flow: one, with: {plant: x, since: "${day}"}}, {do: snap, name: order}, ',
        "10:3 SA1321 the flow `one` uses itself: one → two → one",
    ),
    "a login that is tried again": (
        '[{do: open, url: "${base}/login"}]',
        '[{do: retry, steps: [{do: open, url: "${base}/login"}]}]',
        "7:16 SA1322 a login is tried once: no `retry` in it",
    ),
    "a login that is tried again by a flow": (
        '[{do: open, url: "${base}/login"}]',
        "[{do: use, flow: again}]",
        "7:10 SA1322 a login is tried once: no `retry` in it",
    ),
    "a parameter that the flow lacks": (
        'since: "${day}"}',
        'since: "${day}", plnt: x}',
        "23:73 SA1323 the flow has no parameter `plnt`",
    ),
    "a parameter that is not given": (
        ', since: "${day}"}',
        "}",
        "23:25 SA1324 the flow `one` needs the parameter(s) since",
    ),
    "a text that is no date": (
        'since: "${day}"',
        "since: 2026-02-30",
        "23:63 SA1325 `2026-02-30` is no date",
    ),
    "a parameter of another type": (
        'since: "${day}"',
        'since: "${plants}"',
        "23:63 SA1325 `${plants}` is no date",
    ),
    "a secret that is handed on": (
        'plant: "${plant}", since',
        'plant: "${secret:pin}", since',
        "23:44 SA1209 a secret may only be typed: `${secret:pin}` stands outside of `fill`",
    ),
    "a name outside of its loop": (
        "parameter: kind, is: a",
        "parameter: kinds, is: a",
        "24:78 SA1210 there is no parameter `kinds`",
    ),
    "a flow's parameter outside of the flow": (
        "${base}/logout",
        "${base}/logout?${plant}",
        "30:27 SA1210 there is no parameter `plant`",
    ),
    "a dialog that steps go inside": (
        "in: [popup, {frame: main}]",
        "in: [popup, dialog]",
        "29:5 SA1022 `inside` goes into frames and popups",
    ),
    "too many attempts": (
        "{do: retry, steps: [{do: click",
        "{do: retry, times: 6, steps: [{do: click",
        "27:32 SA1022 `steps[3].steps[1].times` is 6, but should be at most 5",
    ),
    "a value in a popup": (
        "in: dialog}",
        "in: popup}",
        "34:52 SA1022 a popup is a page of its own",
    ),
    "alternatives that are none of a page": (
        "{label: Number}, ",
        "{profile: name}, ",
        "34:25 SA1022 every alternative of `any_of` is a place on the same page",
    ),
}


WORDS = """\
By `one`, given plant (text), since (date), most (integer), is meant:
  open ${base}/orders?plant=${plant}&since=${since}&most=${most}
  do `two` with -
By `two`, given -, is meant:
  freeze the page as `order`
  freeze the popup as `order`
  close the newest window that the page opened
By `again`, given -, is meant:
  at most 2 times, until it succeeds:
    close the newest window that the page opened
Then:
  for each plant of ${plants}:
    do `one` with plant = ${plant}, since = ${day}
  for each kind of a, b:
    if kind is a:
      close the newest window that the page opened
  if frame main > dialog > [Orders] does not show:
    at most 3 times, until it succeeds:
      click [go] / [Go]
  else:
    if it shows, and without a fault if it does not:
      click [Later]
  inside popup > frame main:
    wait until [table] shows
At the end, after a failure too:
  open ${base}/logout
Each page `order` is one document:
  orderNumber (采购订单号): label Number / right_of No., in dialog, in section Head
  and each row of its table is one line:
  orderLineNumber (订单行号): column Line
It only reads. Beside GET and HEAD to its own addresses it may send:
  nothing
""".splitlines()


def problems(path: Path, text: str) -> list[str]:
    path.write_text(text, encoding="utf-8")
    try:
        load(path, FORMATS)
    except SourceErrors as error:
        for problem in error.problems:
            english(problem.hint, problem.values)  # it can be told
        return [f"{p.at.line}:{p.at.column} {p.code} {english(p.text, p.values)}" for p in error.problems]
    return []


@pytest.mark.parametrize(("right", "wrong", "said"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_with_its_place(tmp_path: Path, right: str, wrong: str, said: str) -> None:
    assert right in RECIPE
    assert problems(tmp_path / "flow.yaml", RECIPE.replace(right, wrong, 1))[:1] == [said]


def test_what_is_right_is_told_in_words(tmp_path: Path) -> None:
    assert problems(tmp_path / "flow.yaml", RECIPE) == []
    words = list(explain(load(tmp_path / "flow.yaml", FORMATS)))
    assert words[words.index(WORDS[0]) :] == WORDS
