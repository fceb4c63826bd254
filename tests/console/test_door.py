"""Who gets in, from where, and what every answer bears."""

from __future__ import annotations

import pytest

from tests.console.conftest import People, Served


def test_a_link_signs_in_once_and_the_page_is_in_chinese(console: Served, people: People) -> None:
    page = people.sign_in(console, "li.na")
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    assert "#" not in page.url
    assert page.locator(".who .name").inner_text() == "li.na"
    with console.client() as client:
        token = console.token("li.na")
        assert client.post("/sign-in", data={"token": token}).status_code == 303
        assert client.post("/sign-in", data={"token": token}).status_code == 403


def test_without_a_session_there_is_nothing_but_the_door(console: Served) -> None:
    with console.client() as client:
        answer = client.get("/")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert client.get("/static/../web.py").status_code in (303, 404)
        assert client.post("/language", data={"lang": "en"}).status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}", ""]
)
def test_a_foreign_name_that_leads_here_gets_nothing(console: Served, host: str) -> None:
    with console.client("li.na") as client:
        named = host.format(port=console.console.port)
        assert client.get("/", headers={"Host": named}).status_code in (400, 421)
        assert client.get("/").status_code == 200
