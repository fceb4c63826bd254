"""No page writes: every way to that its authors could think of, against the proxy alone, and against both layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Page as Tab
from playwright.sync_api import sync_playwright

from scraper_agent.capture import authority, browser, discovery, guard
from scraper_agent.capture.browser import PlaywrightBrowser, Settings
from scraper_agent.capture.proxy import Proxy
from scraper_agent.ports import File, Trouble
from scraper_agent.values import Refused
from tests.gauntlet.listing import recipe
from tests.gauntlet.probes import GOOD, LEAVING, NAME, PERMITS, PROBES, SELDOM, Target, target
from tests.gauntlet.workbooks import pdf
from tests.wire import certificate, recording

ALL = {*PROBES, *LEAVING, "csp_report"}
SURE = ALL - SELDOM
TUNNELLED = {"web_socket", "web_socket_foreign"}
"""Refused by the place alone: their address never shows."""
DENIED = r".*/logout"


def names(refused: list[Refused]) -> set[str]:
    return {found[1] for each in refused if (found := NAME.search(each.url))}


@pytest.fixture(params=["http", "https"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def servers(stack: ExitStack, scheme: str, folder: Path) -> tuple[Target, Target, Path | None]:
    """The ERP with the hostile page, the place that it wants to reach beside it, and how to trust the first."""
    evil = stack.enter_context(target())
    context, trusted = certificate(folder, "localhost") if scheme == "https" else (None, None)
    erp = stack.enter_context(target(context, host="localhost" if scheme == "https" else "127.0.0.1"))
    erp.evil = evil.base
    return erp, evil, trusted


def play(
    stack: ExitStack, erp: Target, door: Proxy | None, seen: Callable[[], set[str]], wanted: set[str]
) -> dict[str, str]:
    """Open the page, leave it, and wait until all that is wanted was seen. Returns what each probe says of itself."""
    with sync_playwright() as playwright:
        chromium = discovery.launch(playwright, None, headless=True, tell=print, door=door)
        tab = chromium.new_context().new_page()  # service workers are allowed here, and nothing is intercepted
        tab.goto(f"{erp.base}/")
        ran: dict[str, str] = tab.evaluate("ran")
        _until(tab, lambda: wanted - set(LEAVING) <= seen())
        tab.goto("about:blank")
        _until(tab, lambda: wanted <= seen())
        chromium.close()
    assert wanted <= seen(), sorted(wanted - seen())
    stack.close()  # servers and proxy have done all that they were asked for
    return ran


def _until(tab: Tab, done: Callable[[], bool]) -> None:
    for _ in range(600):
        if done():
            return
        tab.wait_for_timeout(50)


def test_without_the_layers_nearly_all_of_them_write(stack: ExitStack, tmp_path: Path) -> None:
    erp, evil, _ = servers(stack, "http", tmp_path)
    arrived = lambda: {*erp.writes, *(found[1] for _, path, _ in evil.seen if (found := NAME.search(path)))}  # noqa: E731
    ran = play(stack, erp, None, arrived, SURE)
    assert ran.keys() == {*PROBES, *LEAVING}
    assert len(arrived() & ALL) >= 80
    assert len(ALL) >= 90


def test_the_proxy_alone_lets_none_through(stack: ExitStack, scheme: str, tmp_path: Path) -> None:
    erp, evil, trusted = servers(stack, scheme, tmp_path)
    origins = frozenset({guard.origin(erp.base)})
    trust = authority.asked(trusted) if trusted else None
    door = stack.enter_context(Proxy(origins=origins, refuses=(DENIED,), permits=lambda: PERMITS, trust=trust))
    ran = play(stack, erp, door, lambda: names(list(door.refused)), SURE - TUNNELLED - {"worker_shared"})
    assert {name for name, said in ran.items() if said != "ran"} == {"worker_shared"}
    assert erp.writes == []
    assert (evil.seen, evil.connections) == ([], 0)
    bodies = [(path, body) for method, path, body in erp.seen if method not in ("GET", "HEAD")]
    assert sorted(bodies) == [("/rpc/good", GOOD), ("/rpc/turned", GOOD)]
    assert ("CONNECT", guard.origin(evil.base).replace("http:", "https:")) in {(r.method, r.url) for r in door.refused}


def test_both_layers_let_none_through_and_tell_each_once(stack: ExitStack, tmp_path: Path) -> None:
    erp, evil, trusted = servers(stack, "https", tmp_path)
    hostile = recipe().model_copy(update={"permits": PERMITS, "refuses": (DENIED,)})
    robot = PlaywrightBrowser(settings=Settings(images=False, ca_file=trusted), secret=str)
    parameters = {"base": erp.base}
    door = stack.enter_context(robot._door(hostile, parameters))
    with sync_playwright() as playwright:
        chromium = discovery.launch(playwright, None, headless=True, tell=print, door=door)
        context = chromium.new_context(service_workers="block", accept_downloads=False)
        session = browser._Session(robot.settings, hostile, parameters, str, context, door=door)
        refused = list(session.run())  # it has no steps: the page below is opened without waiting for its rest
        session.page.goto(f"{erp.base}/", wait_until="commit")
        wanted = {*PROBES} - SELDOM - TUNNELLED - {"worker_shared", "worker_service", "worker_background", "ping"}
        wanted -= {"popup", "popup_moves", "form_popup"}  # the window is closed, mostly before it asks for anything

        def told() -> set[str]:
            refused.extend(session._drain())
            return names([each for each in refused if isinstance(each, Refused)])

        _until(session.page, lambda: wanted <= told())
        chromium.close()
        told()
    stack.close()
    assert wanted <= told(), sorted(wanted - told())
    assert [each for each in refused if isinstance(each, Refused) and each.method == "WINDOW"]
    assert erp.writes == []
    assert (evil.seen, evil.connections) == ([], 0)
    counted = Counter(found[1] for each in refused if isinstance(each, Refused) and (found := NAME.search(each.url)))
    once = {"fetch_post", "fetch_put", "xhr", "beacon", "body_other", "body_utf7", "get_delete", "image", "form_frame"}
    assert {name: counted[name] for name in once} == dict.fromkeys(once, 1)
    assert {"turned_delete", "turned_post"} <= counted.keys(), "where a redirect leads to only the proxy sees"


def test_files_come_through_the_proxy_as_well(tmp_path: Path) -> None:
    """What Playwright fetches itself, and what is downloaded: by https, which ends in the proxy."""
    context, trusted = certificate(tmp_path, "localhost")
    page = b"<a href=/sheet download=a.csv>sheet</a><a href=/print target=_blank>print</a>"
    bodies = {
        b"/": (b"text/html", page),
        b"/sheet": (b"text/csv", b"a,b\r\n1,2\r\n"),
        b"/print": (b"application/pdf", pdf("x")),
    }

    def answer(lines: list[bytes]) -> bytes:
        kind, body = bodies.get(lines[0].split()[1], (b"text/plain", b""))
        return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (kind, len(body), body)

    steps = (
        {"do": "open", "url": "${base}/"},
        {"do": "download", "name": "sheet", "on": {"text": "sheet"}, "media": ["csv"]},
        {"do": "keep", "name": "print", "steps": [{"do": "click", "on": {"text": "print"}}]},
        {"do": "snap", "name": "page"},
    )
    with recording(context) as erp:
        erp.answer = answer
        robot = PlaywrightBrowser(settings=Settings(images=False, ca_file=trusted), secret=str)
        seen = list(robot.harvest(recipe(*steps), {"base": f"https://localhost:{erp.port}"}))
        plain = [line for lines, _ in erp.seen for line in lines if line.lower().startswith(b"proxy-")]
    assert [str(s.error) for s in seen if isinstance(s, Trouble)] == []
    assert [(s.name, s.body) for s in seen if isinstance(s, File)] == [
        ("sheet", b"a,b\r\n1,2\r\n"),
        ("print", pdf("x")),
    ]
    assert plain == [], "the proxy's password stays here"


def test_an_erp_whose_certificate_is_not_trusted_is_not_read(tmp_path: Path) -> None:
    context, _ = certificate(tmp_path, "localhost")
    with recording(context) as erp:
        robot = PlaywrightBrowser(settings=Settings(images=False), secret=str)
        steps = ({"do": "open", "url": "${base}/"}, {"do": "snap", "name": "page"})
        with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
            list(robot.harvest(recipe(*steps), {"base": f"https://localhost:{erp.port}"}))
    assert erp.seen == []
