# ruff: noqa: E501 - addresses and markup, one in a line
"""A recipe opens no address but those of its own parameters, and those are http or https."""

from __future__ import annotations

from pathlib import Path

import pytest

from scraper_agent import app as wiring
from scraper_agent.authoring.explain import explain
from scraper_agent.errors import UsageError
from scraper_agent.ports import Page, Trouble
from scraper_agent.recipe import Parameter
from tests.gauntlet import listing
from tests.test_recipe_check import RECIPE, loaded, path, problems  # noqa: F401 - `path` is a fixture

NO_ADDRESSES = [
    "file:///etc/passwd", "data:text/html,x", "javascript:alert(1)", "chrome://version", "view-source:http://erp.example", "blob:http://erp.example/1",
    "ftp://erp.example", "about:blank", "//erp.example", "erp.example", "http://", "http:///x", "http://erp.example\\@elsewhere", "http://erp .example",
    "http://erp.example\n", "ht\ttp://erp.example", "http://erp.example:99999", "JAVASCRIPT:alert(1)", "\x01javascript:alert(1)", "filesystem:http://erp.example/x",
]  # fmt: skip


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_a_parameter_of_type_url_is_no_other_address(address: str) -> None:
    assert not wiring._fits(Parameter(type="url"), address)


@pytest.mark.parametrize(
    "address", ["http://erp.example", "https://erp.example:8443/base", "http://[::1]:8000", "HTTP://ERP.example"]
)
def test_an_erp_s_address_is_one(address: str) -> None:
    assert wiring._fits(Parameter(type="url"), address)


def test_a_parameter_given_on_the_command_line_is_no_other_address(path: Path) -> None:  # noqa: F811
    app = object.__new__(wiring.App)
    app.config = type("C", (), {"erps": {}})()
    with pytest.raises(UsageError, match="SA7004"):
        app.parameters(loaded(path, RECIPE), {"base": "file:///etc/passwd", "user": "u"})


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "javascript:alert(1)", "data:text/html,x", "chrome://version"]
)
def test_a_default_that_is_no_address_is_told_with_its_place(path: Path, address: str) -> None:  # noqa: F811
    wrong = RECIPE.replace("base: {type: url}", f'base: {{type: url, default: "{address}"}}')
    assert problems(path, wrong) == [
        (
            f"order.yaml:6:30 SA1262 `{address}` is no address of an ERP",
            "http:// or https://, a host, and nothing that is read in two ways",
        )
    ]


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "javascript:alert(1)", "data:text/html,x", "view-source:${base}"]
)
def test_a_step_opens_nothing_that_does_not_begin_with_a_parameter(path: Path, address: str) -> None:  # noqa: F811
    ((said, _),) = problems(path, RECIPE.replace("${base}/orders", address))
    assert said.startswith("order.yaml:25:21 SA1211 ")


def test_what_a_recipe_vouches_for_is_checked_and_told(path: Path) -> None:  # noqa: F811
    right = "{role: button, name: Go}}"
    vouched = loaded(path, RECIPE.replace(right, '{role: button, name: Go}, although: "查询并确认"}'))
    assert "    although it reads `查询并确认`: the author vouches that nothing is written" in list(explain(vouched))
    for text, code in (("保存", "SA1260"), ("Delete (D)", "SA1260"), ("查询", "SA1261")):
        ((said, _),) = problems(path, RECIPE.replace(right, f'{{role: button, name: Go}}, although: "{text}"}}'))
        assert said.split()[:2] == ["order.yaml:15:59", code]


ROWS = [
    "file:///etc/passwd",
    "javascript:window.done=1",
    "data:text/html,<p id=no>x",
    "blob:http://x/1",
    "view-source:http://127.0.0.1/",
    "chrome://version",
    "http://elsewhere.invalid/",
    "mailto:a@b",
]


def test_the_links_of_rows_lead_nowhere_else() -> None:
    links = "".join(f'<tr><td><a href="{link}">{n}</a>' for n, link in enumerate([*ROWS, "/order"]))
    recipe = listing.recipe(
        {"do": "open", "url": "${base}/"},
        {
            "do": "list",
            "name": "orders",
            "rows": "tr",
            "open": {"how": "link", "target": "a"},
            "steps": [{"do": "snap", "name": "page"}],
        },
    )
    with listing.served({"/": f"<table>{links}</table>", "/order": "<p>PO-1"}) as base:
        seen = listing.harvest(recipe, base)
    assert listing.troubles(seen) == ["SA2250"] * len(ROWS)
    assert [s.url.rpartition("/")[2] for s in seen if isinstance(s, Page)] == ["order"]


BUTTONS = {
    "<button>保存</button>": "SA2205",
    "<button>保 存</button>": "SA2205",
    "<button><span>提交</span></button>": "SA2205",
    "<button title=删除>×</button>": "SA2205",
    "<button aria-label=Approve>✓</button>": "SA2205",
    "<button><img alt=审核></button>": "SA2205",
    "<button><svg><title>Post</title></svg></button>": "SA2205",
    "<button aria-labelledby=l>…</button><i id=l hidden>过账</i>": "SA2205",
    "<input type=submit value=记账>": "SA2205",
    "<input type=image alt=反审核>": "SA2205",
    "<a href='#' role=button>作废</a>": "SA2205",
    "<div class=b><i title=Delete></i></div>": "SA2205",
    "<button>查询</button>": "",
    "<button>下一页</button>": "",
    "<button>查询并确认</button>": "",
    "<button>查询并确认<img alt=保存></button>": "SA2205",
    "<table><tr class=b><td>PO-1<td><i title=删除>x</i></table>": "",
}


def test_an_element_is_pressed_by_all_that_it_says_of_itself() -> None:
    pages = {
        f"/{n}": f"<style>img,svg,i,div{{display:inline-block;width:9px;height:9px}}</style>{html}<script>document.addEventListener('click', () => fetch('/pressed/{n}'))</script>"
        for n, html in enumerate(BUTTONS)
    }
    press = {"do": "click", "on": {"css": "button, input, [role=button], .b"}, "although": "查询并确认"}
    recipe = listing.recipe(
        {"do": "open", "url": "${base}/"},
        {
            "do": "list",
            "name": "buttons",
            "rows": "tr",
            "open": {"how": "link", "target": "a"},
            "steps": [press, {"do": "snap", "name": "page"}],
        },
    )
    pages["/"] = "".join(f'<tr><td><a href="/{n}">{n}</a>' for n in range(len(BUTTONS)))
    pages["/"] = f"<table>{pages['/']}</table>"
    with listing.served(pages) as base:
        seen = listing.harvest(recipe, base)
    outcomes = [s.error.code if isinstance(s, Trouble) else "" for s in seen if isinstance(s, Page | Trouble)]
    assert dict(zip(BUTTONS, outcomes, strict=True)) == BUTTONS
