"""Nothing leaves the browser but queries to the ERP's own addresses, and what the recipe permits word for word."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from scraper_agent import buttons
from scraper_agent.capture import guard
from scraper_agent.capture.guard import Pass, Refusal, Stub
from scraper_agent.recipe import Permit

ORIGINS = frozenset({guard.origin("http://erp.example:8080"), guard.origin("https://erp.example")})
BASE = "http://erp.example:8080"
FOREIGN = Refusal("not the ERP's own address")
STRANGE = Refusal("an address with a backslash, a space or a control character")
UNKNOWN = Refusal("not permitted by the recipe")
OTHER_BODY = Refusal("the recipe permits this path, but not this body")

LOGIN = Permit(purpose="login", path="/login", form=("user", "password"))
QUERY = Permit.model_validate(
    {"purpose": "query", "path": "/rpc/[a-z]+", "json": {"method": r"model\.\w+\.(read|search)", "kind": "call"}}
)
STUB = Permit.model_validate(
    {"purpose": "stub", "path": "/rpc/[a-z]+", "json": {"method": "bus.poll"}, "answer": '{"id": $id, "result": []}'}
)
PING = Permit(purpose="query", path="/ping")


LOGOUT = r"/logout(\?.*)?"
FORM_TYPE = "application/x-www-form-urlencoded"


def judged(
    body: object = None,
    *,
    url: str = f"{BASE}/rpc/db",
    method: str = "POST",
    refuses: str | None = None,
    **headers: str,
) -> Pass | Stub | Refusal:
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    given = {"content-type": FORM_TYPE if "/login" in url else "application/json"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return guard.judge(
        method,
        url,
        data,
        headers=given,
        permits=(LOGIN, QUERY, STUB, PING),
        origins=ORIGINS,
        refuses=(refuses,) if refuses else (),
    )


# --- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        f"{BASE}/orders?page=2",
        "HTTP://ERP.Example:8080/",
        "https://erp.example/",
        "https://erp.example:443/",
        "http://someone@erp.example:8080/",
    ],
)
def test_queries_to_the_erp_pass(url: str) -> None:
    assert judged(url=url, method="GET") == Pass()
    assert judged(url=url, method="HEAD") == Pass()


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("http://erp.example/", FOREIGN),
        ("http://erp.example:8081/", FOREIGN),
        ("https://erp.example:8080/", FOREIGN),
        ("https://erp.example:0/", FOREIGN),
        ("http://erp.example:8080@evil.example/", FOREIGN),
        ("http://erp.example@evil.example:8080/", FOREIGN),
        ("http://evil.example:8080/?http://erp.example:8080/", FOREIGN),
        ("http://erp.example.evil.example:8080/", FOREIGN),
        ("http://erp.example.:8080/", FOREIGN),
        ("//evil.example/", FOREIGN),
        ("//erp.example:8080/", FOREIGN),
        ("ws://erp.example:8080/", FOREIGN),
        ("data:text/html,x", FOREIGN),
        ("javascript:alert(1)", FOREIGN),
        ("", FOREIGN),
        ("http://evil.example\\@erp.example:8080/", STRANGE),
        ("http://erp.example:8080 .evil.example/", STRANGE),
        ("http://erp.example:8080\t/", STRANGE),
        ("http://erp.example:99999/", Refusal("Port out of range 0-65535")),
        ("http://[::1/", Refusal("Invalid IPv6 URL")),
    ],
)
def test_other_addresses_are_refused_however_they_are_written(url: str, verdict: Refusal) -> None:
    assert judged(url=url, method="GET") == verdict


@given(st.text(max_size=60))
def test_no_address_makes_the_guard_fail(text: str) -> None:
    for url in (text, f"http://{text}", f"{BASE}/{text}"):
        assert isinstance(judged(url=url, method="GET"), Pass | Refusal)
        guard.shown(url)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "TRACE", ""])
def test_every_other_method_needs_a_permit(method: str) -> None:
    assert judged(url=f"{BASE}/orders/1", method=method) == UNKNOWN


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_permit_is_for_posting_only(method: str) -> None:
    assert judged(url=f"{BASE}/ping", method=method) == UNKNOWN


@pytest.mark.parametrize("path", ["/login/", "/login/x", "/x/login", "/LOGIN", "/login?next=/orders/1/delete"])
def test_a_permit_is_for_the_whole_path_and_query(path: str) -> None:
    assert judged(b"user=a&password=b", url=BASE + path) == UNKNOWN


def test_a_permit_may_name_a_query() -> None:
    permit = Permit(purpose="query", path=r"/ping\?n=\d+")
    url = f"{BASE}/ping?n=7"
    assert guard.judge("POST", url, None, headers={}, permits=(permit,), origins=ORIGINS) == Pass()
    assert guard.judge("POST", f"{url}x", None, headers={}, permits=(permit,), origins=ORIGINS) == UNKNOWN


# --- bodies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"method": "model.order.read", "kind": "call"},
        {"method": "model.order.search", "kind": "call", "params": [[1, 2], {"deep": {"method": "x"}}]},
    ],
)
def test_a_json_body_passes_if_every_named_key_fits(body: object) -> None:
    assert judged(body) == Pass()


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b"method=model.order.read&kind=call",
        {"method": "model.order.read"},
        {"method": "model.order.write", "kind": "call"},
        {"method": "model.order.readx", "kind": "call"},
        {"method": "xmodel.order.read", "kind": "call"},
        {"method": "model.order.read\n", "kind": "call"},
        {"method": ["model.order.read"], "kind": "call"},
        {"method": None, "kind": "call"},
        {"params": {"method": "model.order.read", "kind": "call"}},
        [{"method": "model.order.read", "kind": "call"}],
        "model.order.read",
        b'{"method": "model.order.read", "kind": "call", "method": "model.order.write"}',
        b'{"method": "model.order.read", "kind": "call", "params": {"a": 1, "a": 2}}',
        b'{"method": "model.order.read", "kind": "call"} {}',
        b'{"method": "model.order.read", "kind": "call", "n": ' + b"9" * 5000 + b"}",
        '{"method": "model.order.read", "kind": "call"}'.encode("utf-16"),
        b'\xff{"method": "model.order.read", "kind": "call"}',
        b'{"method": "model.order.read", "kind": "call", "params": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)  # fmt: skip
def test_any_other_json_body_is_refused(body: object) -> None:
    assert judged(body) == OTHER_BODY


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        (b"user=a&password=b", Pass()),
        (b"user=a", Pass()),
        (b"user=%E6%9D%8E&password=", Pass()),
        (b"user=a&password=b&delete=1", OTHER_BODY),
        (b"user=a&user=b", OTHER_BODY),
        (b"user", OTHER_BODY),
        (b"user=a;delete=1&x=1", OTHER_BODY),
        (b'{"user": "a"}', OTHER_BODY),
        (b"\xff=a", OTHER_BODY),
    ],
)
def test_a_form_has_no_other_keys_and_none_twice(body: bytes, verdict: Pass | Refusal) -> None:
    assert judged(body, url=f"{BASE}/login") == verdict


def test_a_permit_without_a_body_is_for_requests_without_one() -> None:
    assert judged(None, url=f"{BASE}/ping") == Pass()
    assert judged(b"", url=f"{BASE}/ping") == Pass()
    assert judged(b"x", url=f"{BASE}/ping") == OTHER_BODY


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"method": "bus.poll", "id": 7}, '{"id": 7, "result": []}'),
        ({"method": "bus.poll", "id": 'a"b'}, '{"id": "a\\"b", "result": []}'),
        ({"method": "bus.poll"}, '{"id": null, "result": []}'),
    ],
)
def test_a_stub_answers_with_the_requests_id(body: object, answer: str) -> None:
    assert judged(body) == Stub(answer, "answered in the ERP's place")
    json.loads(answer)


@pytest.mark.parametrize(
    "keys",
    [
        {"purpose": "query", "form": ["a"], "json": {"b": "c"}},
        {"purpose": "query", "answer": "{}"},
    ],
)
def test_a_permit_that_says_two_things_is_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Permit.model_validate({"path": "/", **keys})


# --- what is logged -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://erp.example/orders/1?page=2#top", "http://erp.example/orders/1?page=2#top"),
        ("http://user:pw@erp.example:8080/", "http://erp.example:8080/"),
        ("http://e/?a=1&access_token=xyz&b=2", "http://e/?a=1&access_token=***&b=2"),
        ("http://e/?Password=xyz;b=2", "http://e/?Password=***;b=2"),
        ("http://e/?%74oken=xyz", "http://e/?%74oken=***"),
        ("http://e/#/orders?sid=xyz&page=1", "http://e/#/orders?sid=***&page=1"),
        ("http://e/#access_token=xyz", "http://e/#access_token=***"),
        ("http://e/orders;jsessionid=xyz/1", "http://e/orders;jsessionid=***/1"),
        ("http://[::1]:8080/", "http://[::1]:8080/"),
        ("about:blank", "about:blank"),
        ("http://[::1", "http:"),
    ],
)
def test_an_address_is_logged_without_user_and_secrets(url: str, shown: str) -> None:
    assert guard.shown(url) == shown


@pytest.mark.parametrize("filled", ["?{}", "?{}=1", "{}", "{};", "#{}", "?{}&action", "{}/delete"])
@pytest.mark.parametrize("letter", ["x", "/", "&a=", "a!"])
def test_long_addresses_take_no_long_time(filled: str, letter: str) -> None:
    """Hours, if one of the patterns began anew at each letter."""
    url = f"{BASE}/{filled.format(letter * 50_000)}"
    judged(url=url, method="GET")
    guard.shown(url)


# --- headers, and paths that write ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url"])
def test_a_header_that_changes_what_is_asked_for_is_refused(name: str) -> None:
    meaning = "a header gives the request another meaning than its method and path"
    assert judged(url=f"{BASE}/orders", method="GET", **{name: "DELETE"}) == Refusal(meaning)


@pytest.mark.parametrize(
    "headers",
    [
        {"content_encoding": "gzip"},
        {"content_type": "application/json; charset=utf-7"},
        {"content_type": "application/json;charset=utf-16"},
        {"content_type": 'application/json; charset="UTF-32"'},
        {"content_type": "application/x-www-form-urlencoded"},
        {"content_type": "multipart/form-data; boundary=b"},
        {"content_type": "text/html"},
    ],
)
def test_a_body_that_the_server_would_read_as_another_is_refused(headers: dict[str, str]) -> None:
    body = {"method": "model.order.read", "kind": "call"}
    assert judged(body) == Pass()
    assert judged(body, **headers) == OTHER_BODY


@pytest.mark.parametrize("kind", ["application/json; charset=UTF-8", "text/plain", "", "application/rpc+json"])
def test_json_is_sent_under_several_names(kind: str) -> None:
    assert judged({"method": "model.order.read", "kind": "call"}, content_type=kind) == Pass()


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "text/plain", "application/json", ""])
def test_a_form_is_sent_as_a_form(kind: str) -> None:
    assert judged(b"user=a", url=f"{BASE}/login", content_type=kind) == OTHER_BODY


@pytest.mark.parametrize(
    "path",
    ["/delete", "/o/1/delete", "/orders/1/Delete?x=1", "/deleteById.do", "/save_order.action", "/order!save.action",
     "/x?a=1&action=deleteOrder", "/x?_method=DELETE", "/%64elete", "/a/..//delete/", "/delete;a=b", "/x?cmd=%64elete",
     "/a\u00e9/approve"],
)  # fmt: skip
def test_paths_that_write_are_refused_however_they_are_asked(path: str) -> None:
    for method in ("GET", "HEAD", "POST"):
        assert judged(url=BASE + path, method=method) == Refusal("a path that writes")


@pytest.mark.parametrize(
    "path",
    ["/deleted", "/static/delete.png", "/save.js", "/approve/list", "/x?q=delete", "/x?back=/delete", "/saved?a=1"],
)
def test_paths_that_only_sound_like_it_are_asked(path: str) -> None:
    assert judged(url=BASE + path, method="GET") == Pass()


@pytest.mark.parametrize("path", ["/logout", "/LOGOUT?x", "/a/../logout", "/%6cogout", "//logout", "/logout;x=y"])
def test_what_the_recipe_refuses_wins_over_everything(path: str) -> None:
    never = Refusal("a path that is never asked for")
    assert judged(url=BASE + path, method="GET", refuses=LOGOUT) == Refusal("a path that is never asked for")
    assert judged(url=BASE + path, method="GET") == Pass()
    assert judged(url=f"{BASE}/ping", refuses="/ping") == never


def test_a_query_has_no_body() -> None:
    assert judged(b"a=1", url=f"{BASE}/orders", method="GET") == Refusal("a query with a body")


# --- buttons --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["保存", " 提交 ", "✓ 审核", "[删除]", "确认收货", "批量删除", "一键提交", "新建", "Save", "SUBMIT order",
     "Delete…",
     "→ Post", "Send by e-mail"],
)  # fmt: skip
def test_buttons_that_write_are_known_by_their_text(text: str) -> None:
    assert buttons.writes(text)


@pytest.mark.parametrize(
    "text",
    ["", "查询", "下一页", "已审核", "待提交", "未保存的查询", "详情", "Next", "Postal code", "Saved searches",
     "Processing",
     "Sender", "Search", "PO-1"],
)  # fmt: skip
def test_buttons_that_read_are_not_taken_for_them(text: str) -> None:
    assert not buttons.writes(text)
