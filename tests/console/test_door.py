"""Who gets in, from where, and what every answer bears: over real HTTP, and in Chromium."""

from __future__ import annotations

import json
import os
import re
import stat
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from scraper_agent import app as wiring
from scraper_agent import console as consoles
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.console import session
from scraper_agent.errors import AgentError
from scraper_agent.values import (
    ConsoleFact,
    Denied,
    Fact,
    JobId,
    Paused,
    SignedIn,
    SignedOut,
    SignInRefused,
)
from tests.console import archive
from tests.console.accessible import axe
from tests.console.conftest import People, Served, until
from tests.gauntlet import listing

OTHERS = [
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1",
    "127.0.0.1:1",
    "[::1]:{port}",
    "127.0.0.1:{port}.evil.example",
]
PAGES = ["/", "/runs", "/runs/begin", "/runs/live", f"/runs/{archive.RUN.removeprefix('run/')}", "/nothing-here"]


def noted(served: Served) -> list[Fact]:
    with served.app.archive(read_only=True) as log:
        return list(log.job(JobId("console")).facts)


# --- the link and tokens --------------------------------------------------------------------------------------------


def test_a_link_signs_in_once_and_the_page_is_in_chinese(console: Served, people: People) -> None:
    page = people.sign_in(console, "li.na")
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    assert "#" not in page.url
    assert page.locator(".who .name").inner_text() == "li.na"
    token = console.token("li.na")
    with console.client() as client:
        assert client.post("/sign-in", data={"token": token}).status_code == 303
        assert client.post("/sign-in", data={"token": token}).status_code == 403


def test_a_link_lasts_some_minutes(own: Served) -> None:
    token = own.token("li.na")
    own.later(session.LINK_LASTS)
    with own.client() as client:
        assert client.post("/sign-in", data={"token": token}).status_code == 403


def test_the_token_of_the_link_is_sent_in_no_address(console: Served, chromium: Browser) -> None:
    token = console.token("li.na")
    page = chromium.new_page()
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.goto(f"{console.url}/sign-in#{token}")
    page.wait_for_url(f"{console.url}/")
    assert not [each for each in addresses if token in each.partition("#")[0]]
    assert page.evaluate("history.length") <= 3
    page.go_back()
    assert token not in page.url
    page.context.close()


def test_a_browser_is_led_in_by_a_file_that_is_nobody_elses(own: Served, chromium: Browser) -> None:
    path = consoles.doorway(own.app, own.console.link("li.na", own.now))
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    page = chromium.new_page()
    page.goto(path.resolve().as_uri(), wait_until="commit")
    page.wait_for_url(f"{own.url}/")
    page.reload()
    assert page.locator(".who .name").inner_text() == "li.na"
    page.context.close()


def test_without_script_the_token_is_typed(console: Served, chromium: Browser) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{console.url}/runs")
    page.get_by_label("令牌").fill(console.token("li.na"))
    page.locator("button.main").click()
    page.wait_for_url(f"{console.url}/")
    assert page.locator("h1").count() == 1
    context.close()


def test_a_lasting_token_signs_in_until_it_is_revoked(own: Served) -> None:
    file = consoles.token_file(own.app)
    token = file.make("wang.fang", own.now)
    if os.name != "nt":
        assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert token not in file.path.read_text(encoding="utf-8")
    with own.client() as client:
        assert client.post("/sign-in", data={"token": token, "lang": "en"}).status_code == 303
        assert "wang.fang" in client.get("/").text
        assert file.revoke("wang.fang") == 1
        assert client.get("/").headers["location"] == "/sign-in"
        assert client.post("/sign-in", data={"token": token}).status_code == 403


def test_a_lasting_token_expires(own: Served) -> None:
    token = consoles.token_file(own.app).make("wang.fang", own.now)
    own.later(session.TOKEN_LASTS)
    with own.client() as client:
        assert client.post("/sign-in", data={"token": token}).status_code == 403


@pytest.mark.skipif(os.name == "nt", reason="no modes there")
def test_a_file_of_tokens_that_others_may_open_signs_nobody_in(own: Served) -> None:
    file = consoles.token_file(own.app)
    token = file.make("wang.fang", own.now)
    file.path.chmod(0o640)
    with own.client() as client:
        answer = client.post("/sign-in", data={"token": token, "lang": "en"})
        assert answer.status_code == 403
        assert "SA7701" in answer.text
    with pytest.raises(AgentError, match="SA7701"):
        file.read()


def test_who_has_no_role_is_not_let_in(own: Served) -> None:
    with own.client() as client:
        answer = client.post("/sign-in", data={"token": own.token("nobody.known"), "lang": "en"})
        assert answer.status_code == 403
        assert "nobody.known has no role by the policy" in answer.text
        assert client.get("/").status_code == 303


def test_wrong_tokens_are_slowed_down_and_the_right_one_gets_in_after_the_wait(own: Served) -> None:
    with own.client() as client:
        answers = [client.post("/sign-in", data={"token": f"guess {n}"}).status_code for n in range(9)]
        assert answers[:5] == [403] * 5
        assert answers[5:] == [429] * 4
        token = own.token("li.na")
        answer = client.post("/sign-in", data={"token": token})
        assert answer.status_code == 429
        own.later(timedelta(seconds=int(answer.headers["Retry-After"])))
        assert client.post("/sign-in", data={"token": token}).status_code == 303
    until(lambda: noted(own)[-1:] == [SignedIn(by="person:li.na", how="link")])
    assert noted(own) == [*(SignInRefused(count=n) for n in (1, 2, 4)), SignedIn(by="person:li.na", how="link")]


# --- sessions -------------------------------------------------------------------------------------------------------


def test_the_cookie_is_for_this_console_alone(console: Served) -> None:
    with console.client() as client:
        answer = client.post("/sign-in", data={"token": console.token("li.na")})
        name, _, rest = answer.headers["Set-Cookie"].partition("=")
        value, _, attributes = rest.partition("; ")
        assert name == f"console-{console.console.port}"
        assert len(value) >= 43
        assert {each.strip().lower() for each in attributes.split(";")} == {"httponly", "path=/", "samesite=strict"}


@pytest.mark.parametrize(
    ("visits", "each", "why"),
    [(1, session.IDLE + timedelta(seconds=1), "idle"), (30, timedelta(minutes=25), "longest")],
)
def test_a_session_ends_by_itself(own: Served, visits: int, each: timedelta, why: str) -> None:
    with own.client("li.na") as client:
        for _ in range(visits):
            own.later(each)
            client.get("/")
        assert client.get("/").headers.get("location") == "/sign-in"
    until(lambda: SignedOut(by="person:li.na", why=why) in noted(own))  # type: ignore[arg-type]


def test_a_page_that_asks_by_itself_keeps_no_session_alive(own: Served) -> None:
    with own.client("li.na") as client:
        for _ in range(7):
            own.later(timedelta(minutes=5))
            client.get("/runs/live")
        assert client.get("/runs/live").status_code == 401


def test_sign_out_ends_the_session(own: Served) -> None:
    with own.client("li.na") as client:
        cookies = dict(client.cookies)
        assert client.post("/sign-out", data={"csrf": "of nobody"}).status_code == 403
        assert client.act("/sign-out").status_code == 303
        client.cookies.update(cookies)
        assert client.get("/").status_code == 303
    until(lambda: noted(own) == [SignedIn(by="person:li.na", how="link"), SignedOut(by="person:li.na", why="asked")])


def test_a_restart_signs_everybody_out(own: Served) -> None:
    with own.client("li.na") as client:
        cookies = dict(client.cookies)
    with (
        consoles.serve(own.app, config=own.app.home / "config.yaml", port=0, clock=lambda: own.now) as again,
        httpx.Client(base_url=again.url, cookies={f"console-{again.port}": next(iter(cookies.values()))}) as client,
    ):
        assert client.get("/").status_code == 303


def test_who_signs_in_while_a_run_holds_the_archive_is_in_the_log_by_the_run(own: Served) -> None:
    with SqliteArchive(own.app.home / own.app.config.archive, wiring.now) as run:
        with own.client("li.na") as client:
            assert client.get("/").status_code == 200
        facts: list[ConsoleFact] = []
        assert run.job(JobId("console")).facts == tuple(facts)
    until(lambda: noted(own) == [SignedIn(by="person:li.na", how="link")])


# --- from where -----------------------------------------------------------------------------------------------------


def test_without_a_session_there_is_nothing_but_the_door(console: Served) -> None:
    with console.client() as client:
        for path in PAGES:
            answer = client.get(path)
            assert (answer.status_code, answer.headers.get("location")) in ((303, "/sign-in"), (401, None))
            assert "PO-" not in answer.text
        for name in ("../web.py", "..%2fweb.py", "console.cssx", "/etc/passwd"):
            assert client.get(f"/static/{name}").status_code in (303, 404)
        for path in ("/language", "/control", "/runs/begin"):
            assert client.post(path, data={"do": "pause"}).status_code == 401


@pytest.mark.parametrize("host", OTHERS)
def test_a_foreign_name_that_leads_here_gets_nothing(console: Served, host: str) -> None:
    with console.client("li.na") as client:
        named = host.format(port=console.console.port)
        for method, path in (("GET", "/"), ("GET", "/static/console.js"), ("POST", "/control"), ("GET", "/sign-in")):
            assert client.request(method, path, headers={"Host": named}).status_code == 421
        assert client.get("/", headers={"Host": f"localhost:{console.console.port}"}).status_code == 200


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="what listens where is told by Linux")
def test_it_listens_on_loopback_alone(console: Served) -> None:
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    port = f"{console.console.port:04X}"
    assert [each[1] for each in listening if each[1].endswith(f":{port}") and each[3] == "0A"] == [f"0100007F:{port}"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "multipart/form-data; boundary=x"},
    ],
)
def test_a_form_of_another_page_changes_nothing(console: Served, headers: dict[str, str]) -> None:
    with console.client(wiring.account()) as client:
        text = client.get("/").text
        csrf = text.partition('name="csrf" value="')[2].partition('"')[0]
        answer = client.post("/control", data={"csrf": csrf, "do": "pause"}, headers=headers)
        assert answer.status_code in (403, 415)
        assert not console.app.control.marker("pause")


def test_a_form_without_an_origin_or_with_a_foreign_token_changes_nothing(console: Served) -> None:
    with console.client(wiring.account()) as client, console.client("li.na") as other:
        csrf = other.get("/").text.partition('name="csrf" value="')[2].partition('"')[0]
        assert client.post("/control", data={"do": "pause", "csrf": csrf}).status_code == 403
        assert client.post("/control", data={"do": "pause"}).status_code == 403
        del client.headers["Origin"]
        assert client.act("/control", do="pause").status_code == 403
        assert not console.app.control.marker("pause")


def test_nothing_is_changed_by_get(console: Served) -> None:
    with console.client(wiring.account()) as client:
        for path in ("/control?do=pause", "/language?lang=zh", "/sign-out"):
            assert client.get(path).status_code in (404, 405)
        assert client.get("/").status_code == 200
        assert not console.app.control.marker("pause")


def test_other_methods_and_huge_forms_are_refused(console: Served) -> None:
    with console.client("li.na") as client:
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            answer = client.request(method, "/")
            assert answer.status_code == 405
            assert "access-control-allow-origin" not in answer.headers
        assert client.act("/language", lang="x" * (2 << 20)).status_code == 413
        assert client.act("/language", **{f"f{n}": "" for n in range(6000)}).status_code == 413


def test_a_page_of_another_origin_cannot_read_embed_or_change_anything(console: Served, chromium: Browser) -> None:
    """Another server of this machine: the same site to the browser, which sends it our cookie and us its requests."""
    inside = f"""<title>other</title><iframe src="{console.url}/"></iframe><img src="{console.url}/static/icon.svg">
        <script src="{console.url}/static/console.js"></script>
        <form id=f method=post action="{console.url}/control"><input name=do value=stop></form>"""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{console.url}/sign-in#{console.token(wiring.account())}")
    page.wait_for_url(f"{console.url}/")
    with listing.served({"/": inside}) as other:
        page.goto(other)
        read = page.evaluate(
            "url => fetch(url, {credentials: 'include'}).then(a => a.text()).catch(e => 'refused')", f"{console.url}/"
        )
        assert read == "refused"
        opaque = page.evaluate(
            "url => fetch(url, {mode: 'no-cors', credentials: 'include'}).then(a => a.type).catch(e => 'refused')",
            f"{console.url}/",
        )
        assert opaque == "refused"
        assert page.evaluate("document.images[0].naturalWidth") == 0
        assert "PO-" not in "".join(frame.content() for frame in page.frames[1:])
        with page.expect_navigation():
            page.evaluate("document.getElementById('f').submit()")
        assert not console.app.control.marker("stop")
        page.goto(other)
        page.evaluate("url => { location = url }", f"{console.url}/runs")  # a link may lead here
        page.wait_for_url(f"{console.url}/runs")
        assert page.locator("h1").count() == 1
    context.close()


# --- what every answer bears ----------------------------------------------------------------------------------------


def test_every_answer_bears_the_headers(console: Served) -> None:
    with console.client("li.na") as client, console.client() as stranger:
        answers = [
            *(client.get(path) for path in (*PAGES, "/static/console.css", "/static/console.js", "/static/icon.svg")),
            *(stranger.get(path) for path in ("/", "/sign-in", "/runs/live", "/static/nothing")),
            client.post("/control", data={}),
            client.get("/", headers={"Host": "evil.example"}),
        ]
    for answer in answers:
        headers = answer.headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers
        page = headers.get("Content-Type", "").startswith("text/html")
        assert ("sandbox" in headers["Content-Security-Policy"]) is not page
        assert not re.search(r"<script(?! src=\"/static/)|<style| style=| on\w+=", answer.text if page else "")


def test_a_defect_tells_nothing_but_that_it_is_one(own: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with own.client("li.na") as client:
        (own.app.home / own.app.config.archive).unlink()
        (own.app.home / own.app.config.archive).write_bytes(b"no database at all, but as long as one" * 100)
        answer = client.get("/runs")
        assert answer.status_code == 503
        assert "Traceback" not in answer.text


# --- roles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["li.na", "wang.fang", "liu.yang"])
def test_who_is_no_operator_can_neither_switch_nor_begin(own: Served, name: str) -> None:
    with own.client(name) as client:
        assert 'action="/control"' not in client.get("/runs").text
        for path, form in (("/control", {"do": "stop"}), ("/runs/begin", {"do": "run", "recipe": "demo/order"})):
            answer = client.act(path, **form)
            assert answer.status_code == 409
            assert "SA6020" in answer.text
        assert not own.app.control.marker("stop")
    until(lambda: Denied(by=f"person:{name}", what="/runs/begin") in noted(own))
    until(lambda: Denied(by=f"person:{name}", what="/control") in noted(own))


def test_an_operator_switches_by_name(own: Served) -> None:
    with own.client("zhang.wei") as client:
        assert client.act("/control", do="pause", reason="月底盘点 <b>").status_code == 303
        marker = own.app.control.marker("pause")
        assert marker is not None
        assert (marker.by, marker.via, marker.reason) == ("person:zhang.wei", "console", "月底盘点 <b>")
        shown = client.get("/").text
        assert "Paused by zhang.wei: 月底盘点 &lt;b&gt;" in shown
        assert client.act("/control", do="resume").status_code == 303
        assert client.act("/control", do="erase").status_code == 404
    assert own.app.control.marker("pause") is None
    with own.app.archive(read_only=True) as log:
        assert Paused(by="person:zhang.wei", via="console", reason="月底盘点 <b>") in log.job(JobId("control")).facts


# --- the language ---------------------------------------------------------------------------------------------------


def test_the_language_is_each_persons_own(console: Served) -> None:
    with console.client("li.na", lang="zh") as one, console.client("wang.fang") as other:
        assert ('lang="zh-CN"' in one.get("/").text, 'lang="en"' in other.get("/runs").text) == (True, True)
        assert "待审批" in one.get("/").text
        assert "held" in other.get("/").text
        assert other.act("/language", lang="zh").status_code == 303
        assert "待审批" in other.get("/").text
        assert other.act("/language", lang="fr").status_code == 303
        assert other.act("/language", lang="zh", back="/runs?before=7").headers["location"] == "/runs?before=7"
        for foreign in (
            "//evil.example",
            "/\\evil.example",
            "https://evil.example/",
            "/\t/evil.example",
            "\r\nX: y",
            "",
        ):
            assert other.act("/language", lang="zh", back=foreign).headers["location"] == "/"
        assert "待审批" in other.get("/").text


def test_the_door_can_be_used_by_everybody(console: Served, chromium: Browser) -> None:
    page = chromium.new_page()
    for lang in ("zh", "en"):
        page.goto(f"{console.url}/sign-in?lang={lang}")
        axe(page)
    page.context.close()


def test_the_tokens_file_holds_no_more_than_it_must(own: Served) -> None:
    consoles.token_file(own.app).make("li.na", own.now)
    (kept,) = json.loads(consoles.token_file(own.app).path.read_text(encoding="utf-8"))
    assert set(kept) == {"name", "digest", "made", "until"}
