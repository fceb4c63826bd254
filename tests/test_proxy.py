"""The proxy below the browser, byte by byte: what it lets through, what it makes of it, and all that it refuses."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scraper_agent.capture import authority, guard
from scraper_agent.capture.proxy import BODY_BYTES, HEAD_BYTES, Proxy
from scraper_agent.errors import UsageError
from scraper_agent.recipe import Permit
from tests.faults import proxy_fuzz
from tests.wire import Caller, Recorder, certificate, recording

LOGIN = Permit(purpose="login", path="/login", form=("user", "password"))
QUERY = Permit.model_validate({"purpose": "query", "path": "/rpc", "json": {"method": "read"}})
STUB = Permit.model_validate({"purpose": "stub", "path": "/rpc", "json": {"method": "poll"}, "answer": '{"id": $id}'})
FORM = "Content-Type: application/x-www-form-urlencoded"
JSON = "Content-Type: application/json"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nX-A: 3\r\nContent-Length: 5\r\n\r\nabcde"
HOP = b"X-A: 4\r\nConnection: x-b\r\nX-B: 1\r\nAlt-Svc: h3\r\nContent-Length: 5\r\n\r\nabcde"
OTHER_BODY = "the recipe permits this path, but not this body"
OTHER_MEANING = "a header gives the request another meaning than its method and path"
READ = b'{"method": "read"}'
FOREIGN = "not the ERP's own address"


@pytest.fixture
def erp() -> Iterator[Recorder]:
    with recording() as server:
        yield server


def proxy_of(erp: Recorder, **rest: object) -> Proxy:
    origins = frozenset({f"http://127.0.0.1:{erp.port}"})
    return Proxy(origins=origins, permits=lambda: (LOGIN, QUERY, STUB), **rest)  # type: ignore[arg-type]


@pytest.fixture
def proxy(erp: Recorder) -> Iterator[Proxy]:
    with proxy_of(erp, refuses=(r"/logout.*",)) as proxy:
        yield proxy


@pytest.fixture
def base(erp: Recorder) -> str:
    return f"http://127.0.0.1:{erp.port}"


def reasons(proxy: Proxy) -> list[str]:
    return [refused.reason for refused in proxy.refused]


# --- what goes through ----------------------------------------------------------------------------------------------


def test_a_query_reaches_the_erp_written_anew(proxy: Proxy, erp: Recorder, base: str) -> None:
    with Caller(proxy) as caller:
        told = caller.ask(
            f"GET {base}/orders?page=2", "Cookie: a=b", "Connection: x-own", "X-Own: 1", "Keep-Alive: 5", "TE: trailers"
        )
    assert (told.status, told.body) == (200, b"ok")
    ((lines, body),) = erp.seen
    assert lines == [b"GET /orders?page=2 HTTP/1.1", f"Host: 127.0.0.1:{erp.port}".encode(), b"Cookie: a=b"]
    assert body == b""
    assert not proxy.refused


def test_one_connection_serves_many_requests_on_either_side(proxy: Proxy, erp: Recorder, base: str) -> None:
    with Caller(proxy) as caller:
        assert [caller.ask(f"GET {base}/{n}").status for n in range(5)] == [200] * 5
    assert (len(erp.seen), erp.connections) == (5, 1)


def test_permitted_bodies_reach_the_erp_as_they_are(proxy: Proxy, erp: Recorder, base: str) -> None:
    query = b'{"method": "read",\n "ids": [1]}'
    with Caller(proxy) as caller:
        assert caller.ask(f"POST {base}/rpc", JSON, body=query).status == 200
        assert caller.ask(f"POST {base}/login", FORM, body=b"user=a&password=b").status == 200
    assert [body for _, body in erp.seen] == [query, b"user=a&password=b"]


def test_a_stub_is_answered_here_and_told(proxy: Proxy, erp: Recorder, base: str) -> None:
    with Caller(proxy) as caller:
        told = caller.ask(f"POST {base}/rpc", JSON, body=b'{"method": "poll", "id": 7}')
    assert (json.loads(told.body), erp.seen, reasons(proxy)) == ({"id": 7}, [], ["answered in the ERP's place"])


def test_permits_that_end_are_followed(erp: Recorder, base: str) -> None:
    permits = [LOGIN]
    with Proxy(origins=frozenset({base}), permits=lambda: permits) as proxy, Caller(proxy) as caller:
        assert caller.ask(f"POST {base}/login", FORM, body=b"user=a").status == 200
        permits.clear()
        assert caller.ask(f"POST {base}/login", FORM, body=b"user=a").status == 403
    assert len(erp.seen) == 1


def test_answers_come_back_as_they_are_in_whatever_frame(proxy: Proxy, erp: Recorder, base: str) -> None:
    answers = {
        b"/chunks": CHUNKS,
        b"/close": b"HTTP/1.0 200 OK\r\nX-A: 2\r\n\r\nabcde",
        b"/early": EARLY,
        b"/hop": b"HTTP/1.1 200 OK\r\n" + HOP,
        b"/none": b"HTTP/1.1 304 Not Modified\r\nX-A: 5\r\nContent-Length: 5\r\n\r\n",
    }
    erp.answer = lambda lines: answers[lines[0].split()[1]]
    with Caller(proxy) as caller:
        told = [caller.ask(f"GET {base}{path.decode()}") for path in answers]
    assert [(t.headers[b"x-a"], t.body) for t in told[:-1]] == [(b"%d" % n, b"abcde") for n in range(1, 5)]
    assert (told[-1].status, told[-1].body) == (304, b"")
    assert all(t.whole for t in told)
    assert not {b"x-b", b"alt-svc", b"link"} & {name for t in told for name in t.headers}


# --- who may ask ----------------------------------------------------------------------------------------------------


def test_nobody_else_on_the_machine_may_use_it(proxy: Proxy, erp: Recorder, base: str) -> None:
    with Caller(proxy) as caller:
        assert caller.ask(f"GET {base}/", known=False).status == 407
        assert caller.ask(f"GET {base}/", "Proxy-Authorization: Basic YWdlbnQ6YWdlbnQ=", known=False).status == 407
        assert caller.ask(f"GET {base}/").status == 200
        assert caller.ask(f"GET {base}/", known=False).status == 407, "each request has to say it"
    with Caller(proxy) as caller:
        assert caller.ask(f"CONNECT 127.0.0.1:{erp.port}", known=False).status == 407
    with Caller(proxy) as caller:
        assert caller.ask(f"GET {base}/", "Nonsense", known=False).status == 400
    assert len(erp.seen) == 1
    assert not proxy.refused, "what another program sends is no request of the browser"


# --- where to -------------------------------------------------------------------------------------------------------


def others(port: int) -> list[str]:
    number = 127 << 24 | 1
    return [
        "http://127.0.0.1:61232/", "http://169.254.169.254/", f"http://[::1]:{port}/", f"http://127.0.0.1:{port + 1}/",
        f"http://{number}:{port}/", f"http://0x7f000001:{port}/", f"http://0177.0.0.1:{port}/", f"http://127.1:{port}/",
        f"http://localhost:{port}/", f"http://127.0.0.1.:{port}/", f"http://[::ffff:127.0.0.1]:{port}/",
        f"http://0.0.0.0:{port}/", f"http://127.0.0.2:{port}/", f"https://127.0.0.1:{port}/", "http://127.0.0.1/",
        f"http://127.0.0.1.example:{port}/", f"ws://127.0.0.1:{port}/", f"ftp://127.0.0.1:{port}/",
    ]  # fmt: skip


def test_no_other_place_is_reached_however_it_is_written(proxy: Proxy, erp: Recorder) -> None:
    places = others(erp.port)
    with Caller(proxy) as caller:
        assert [caller.ask(f"GET {place}").status for place in places] == [403] * len(places)
    assert reasons(proxy) == [FOREIGN] * len(places)
    assert not erp.seen
    assert not erp.connections


def test_no_tunnel_leads_to_another_place(proxy: Proxy, erp: Recorder) -> None:
    places = [place.split("/")[2] for place in others(erp.port) if place.startswith("http:") and place[7:].count(":")]
    tunnels = [place for place in places if place != f"127.0.0.1:{erp.port}"]
    with Caller(proxy) as caller:
        assert [caller.ask(f"CONNECT {place}").status for place in tunnels] == [403] * len(tunnels)
    assert {(r.method, r.reason) for r in proxy.refused} == {("CONNECT", FOREIGN)}
    assert not erp.connections


def test_a_tunnel_to_an_http_address_is_judged_request_by_request(proxy: Proxy, erp: Recorder, base: str) -> None:
    here = f"127.0.0.1:{erp.port}"
    with Caller(proxy) as caller:
        assert caller.ask(f"CONNECT {here}").status == 200
        assert caller.ask("GET /orders", host=here, known=False).status == 200
        assert caller.ask("POST /orders", FORM, host=here, body=b"a=1", known=False).status == 403
        assert caller.ask("GET /orders", host="127.0.0.1:61232", known=False).status == 400
        assert caller.ended()
    assert erp.lines == [b"GET /orders HTTP/1.1"]
    assert proxy.refused[0].url == f"{base}/orders"
    assert reasons(proxy) == ["not permitted by the recipe", "the header Host names another place"]


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "MKCOL", "get", "Post", "QUERY"])
def test_other_methods_are_refused(proxy: Proxy, erp: Recorder, base: str, method: str) -> None:
    with Caller(proxy) as caller:
        assert caller.ask(f"{method} {base}/orders/1").status == 403
    assert (reasons(proxy), erp.seen) == (["not permitted by the recipe"], [])


@pytest.mark.parametrize(
    ("first", "headers", "body", "reason"),
    [
        ("POST /rpc", [JSON], b'{"method": "write"}', OTHER_BODY),
        ("POST /rpc", [JSON], READ[:-1] + b', "method": "write"}', OTHER_BODY),
        ("POST /rpc?x", [JSON], READ, "not permitted by the recipe"),
        ("POST /rpc", [FORM], READ, OTHER_BODY),
        ("POST /rpc", [JSON + ";charset=utf-7"], READ, OTHER_BODY),
        ("POST /rpc", [JSON, "Content-Encoding: gzip"], READ, OTHER_BODY),
        ("POST /login", ["Content-Type: multipart/form-data; boundary=b"], b"user=a", OTHER_BODY),
        ("POST /login", [FORM], b"user=a&delete=1", OTHER_BODY),
        ("GET /orders", ["X-HTTP-Method-Override: DELETE"], b"", OTHER_MEANING),
        ("GET /orders", ["X-Original-URL: /orders/1/delete"], b"", OTHER_MEANING),
        ("GET /orders", [FORM], b"a=1", "a query with a body"),
        ("GET /orders/1/delete", [], b"", "a path that writes"),
        ("GET /logout?now", [], b"", "a path that is never asked for"),
        ("GET /x/%2e%2e/LOGOUT", [], b"", "a path that is never asked for"),
    ],
)  # fmt: skip
def test_what_is_not_permitted_is_refused_and_told(
    proxy: Proxy, erp: Recorder, base: str, first: str, headers: list[str], body: bytes, reason: str
) -> None:
    with Caller(proxy) as caller:
        assert caller.ask(first.replace(" ", f" {base}"), *headers, body=body).status == 403
        assert caller.ask(f"GET {base}/orders").status == 200, "the connection stays"
    assert (reasons(proxy), erp.lines) == ([reason], [b"GET /orders HTTP/1.1"])


def malformed(port: int) -> dict[str, bytes]:
    here = b"127.0.0.1:%d" % port
    get, host = b"GET http://" + here + b"/ HTTP/1.1\r\n", b"Host: " + here + b"\r\n{auth}"
    post = b"POST http://" + here + b"/rpc HTTP/1.1\r\n" + host + b"Content-Type: application/json\r\n"
    body = b'{"method": "read"}'
    behind = b"POST http://" + here + b"/write HTTP/1.1\r\n" + host + b"Content-Length: 0\r\n\r\n"
    length = b"Content-Length: 18\r\n"
    return {
        "length and chunks": post + length + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + behind,
        "chunks": post + b"Transfer-Encoding: chunked\r\n\r\n12\r\n" + body + b"\r\n0\r\n\r\n" + behind,
        "chunks twice": post + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + behind,
        "chunks with a tab": post + length + b"Transfer-Encoding:\tchunked\r\n\r\n" + body + behind,
        "chunks, name with a space": post + length + b"Transfer-Encoding : chunked\r\n\r\n" + body + behind,
        "odd chunks": post + length + b"Transfer-Encoding: xchunked\r\n\r\n" + body + behind,
        "length twice": post + length + b"Content-Length: 0\r\n\r\n" + body + behind,
        "equal length twice": post + length + length + b"\r\n" + body + behind,
        "list of lengths": post + b"Content-Length: 18, 18\r\n\r\n" + body + behind,
        "negative length": post + b"Content-Length: -18\r\n\r\n" + body + behind,
        "signed length": post + b"Content-Length: +18\r\n\r\n" + body + behind,
        "length in hex": post + b"Content-Length: 0x12\r\n\r\n" + body + behind,
        "length with a line in it": post + b"Content-Length: 1_8\r\n\r\n" + body + behind,
        "huge length": post + b"Content-Length: %d\r\n\r\n" % (BODY_BYTES + 1) + body + behind,
        "endless length": post + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n" + body + behind,
        "folded header": get + host + b"X-A: 1\r\n 2\r\n\r\n" + behind,
        "first header folded": get + b" X-A: 1\r\n" + host + b"\r\n" + behind,
        "half a line end": get + host + b"X-A: 1\nX-B: 2\r\n\r\n" + behind,
        "other half of it": get + host + b"X-A: 1\rX-B: 2\r\n\r\n" + behind,
        "NUL": get + host + b"X-A: a\0b\r\n\r\n" + behind,
        "Host twice": get + host + b"Host: evil.example\r\n\r\n" + behind,
        "no Host": get + b"{auth}\r\n" + behind,
        "Host that ends here": get + host + b"Connection: close\r\nConnection: x, HOST\r\n\r\n" + behind,
        "length that ends here": post + length + b"Connection: content-length\r\n\r\n" + body + behind,
        "other Host": get + b"Host: evil.example\r\n{auth}\r\n" + behind,
        "Host with another port": get + b"Host: 127.0.0.1:1\r\n{auth}\r\n" + behind,
        "Host with a path": get + b"Host: " + here + b"/x\r\n{auth}\r\n" + behind,
        "Host with a query": get + b"Host: " + here + b"?\r\n{auth}\r\n" + behind,
        "Host with a fragment": get + b"Host: " + here + b"#\r\n{auth}\r\n" + behind,
        "Host with a user": get + b"Host: x@" + here + b"\r\n{auth}\r\n" + behind,
        "user in the address": get.replace(b"//", b"//u:p@") + host + b"\r\n" + behind,
        "fragment": get.replace(b"/ HTTP", b"/#x HTTP") + host + b"\r\n" + behind,
        "path alone": b"GET / HTTP/1.1\r\n" + host + b"\r\n" + behind,
        "star": b"OPTIONS * HTTP/1.1\r\n" + host + b"\r\n" + behind,
        "old version": get.replace(b"/1.1", b"/1.0") + host + b"\r\n" + behind,
        "no version": b"GET http://" + here + b"/\r\n\r\n" + behind,
        "two spaces": get.replace(b"GET ", b"GET  ") + host + b"\r\n" + behind,
        "tab": get.replace(b"GET ", b"GET\t") + host + b"\r\n" + behind,
        "empty line before": b"\r\n" + get + host + b"\r\n" + behind,
        "header without a name": get + host + b": x\r\n\r\n" + behind,
        "header without a colon": get + host + b"nonsense\r\n\r\n" + behind,
        "type twice": post + length + b"Content-Type: text/plain\r\n\r\n" + body + behind,
        "wait for leave": post + length + b"Expect: 100-continue\r\n\r\n" + body + behind,
        "upgrade": get + host + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + behind,
        "upgrade to h2": get + host + b"Connection: HTTP2-Settings\r\nHTTP2-Settings: x\r\n\r\n" + behind,
        "TRACE": get.replace(b"GET", b"TRACE") + host + b"\r\n" + behind,
        "PRI": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + behind,
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n" + behind,
        "head without end": get + host + b"X-A: " + b"a" * (HEAD_BYTES + 1) + b"\r\n\r\n" + behind,
        "CONNECT with a path": b"CONNECT " + here + b"/x HTTP/1.1\r\n" + host + b"\r\n" + behind,
        "CONNECT with another Host": b"CONNECT " + here + b" HTTP/1.1\r\nHost: evil.example\r\n{auth}\r\n" + behind,
        "CONNECT with a body": b"CONNECT " + here + b" HTTP/1.1\r\n" + host + b"Content-Length: 1\r\n\r\nx" + behind,
        "CONNECT to no port": b"CONNECT 127.0.0.1:99999 HTTP/1.1\r\nHost: 127.0.0.1:99999\r\n{auth}\r\n" + behind,
    }  # fmt: skip


@pytest.mark.parametrize("case", malformed(1))
def test_what_two_servers_could_read_in_two_ways_ends_the_connection(proxy: Proxy, erp: Recorder, case: str) -> None:
    with Caller(proxy) as caller:
        told = caller.raw(malformed(erp.port)[case])
        assert 400 <= told.status < 600
        assert caller.ended(), "nothing behind it is read"
    assert erp.seen == []


def test_pipelined_requests_are_judged_one_by_one(proxy: Proxy, erp: Recorder, base: str) -> None:
    one = f"GET {base}/1 HTTP/1.1\r\nHost: 127.0.0.1:{erp.port}\r\n".encode() + b"{auth}\r\n"
    with Caller(proxy) as caller:
        statuses = [caller.raw(one + one.replace(b"GET", b"POST") + one).status, caller.read().status]
        statuses.append(caller.read().status)
    assert statuses == [200, 403, 200]
    assert erp.lines == [b"GET /1 HTTP/1.1"] * 2


def test_mutated_requests_smuggle_nothing() -> None:
    """A share of `python -m tests.faults.proxy_fuzz`, of a seed of its own."""
    outcome = proxy_fuzz.fuzz(2_000, 7, at_most_s=15)
    assert outcome.requests >= 300
    assert outcome.reached > 10, "some mutations change nothing that matters"
    assert (outcome.smuggled, outcome.defects) == ([], [])
    assert outcome.statuses.keys() >= {200, 400, 403}


# --- answers that are none ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framed", [b"Content-Length: 3000000", b"Transfer-Encoding: chunked"])
def test_an_answer_above_the_limit_breaks_off_visibly(erp: Recorder, base: str, framed: bytes) -> None:
    piece = b"x" * 1_000_000 if b"Length" in framed else b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n"
    erp.answer = lambda _: b"HTTP/1.1 200 OK\r\n" + framed + b"\r\n\r\n" + piece * 3 + b"0\r\n\r\n"
    with proxy_of(erp, largest_answer=2_000_000) as proxy, Caller(proxy) as caller:
        told = caller.ask(f"GET {base}/")
        assert not told.whole
        assert len(told.body) <= 2_000_100
    assert reasons(proxy) == ["the answer is larger than the limit"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 CUT\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 CUT\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabc",
        b"nonsense\r\n\r\n",
        b"",
        b"HTTP/1.1 407 Give me your password\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_an_answer_that_is_not_whole_fails_in_the_browser(
    proxy: Proxy, erp: Recorder, base: str, answer: bytes
) -> None:
    erp.answer = lambda _: answer
    with Caller(proxy) as caller:
        told = caller.ask(f"GET {base}/")
        assert not told.whole
    assert proxy.trouble.startswith(base)


def test_bytes_behind_an_answer_are_nobodys(proxy: Proxy, erp: Recorder, base: str) -> None:
    erp.answer = lambda _: (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    )
    with Caller(proxy) as caller:
        assert [caller.ask(f"GET {base}/{n}").body for n in range(3)] == [b"ok"] * 3
    assert erp.connections == 3


def test_an_erp_that_went_away_is_asked_once_more_but_never_with_a_body(proxy: Proxy, erp: Recorder, base: str) -> None:
    erp.answer = lambda lines: (
        None if lines[0].startswith(b"GET /hang") else b"HTTP/1.1 200 CUT\r\nContent-Length: 0\r\n\r\n"
    )
    with Caller(proxy) as caller:
        assert [caller.ask(f"GET {base}/{n}").status for n in range(3)] == [200] * 3
    erp.answer = lambda _: b""
    with Caller(proxy) as caller:
        assert caller.ask(f"POST {base}/rpc", JSON, body=b'{"method": "read"}').status == 502
    assert erp.lines.count(b"POST /rpc HTTP/1.1") == 1


def test_an_erp_that_is_not_there_is_told_by_its_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Proxy(origins=frozenset({f"http://127.0.0.1:{port}"})) as proxy, Caller(proxy) as caller:
        assert caller.ask(f"GET http://127.0.0.1:{port}/").status == 0
    assert f"http://127.0.0.1:{port}: " in proxy.trouble


def test_whoever_stops_waiting_is_not_worked_for(proxy: Proxy, erp: Recorder, base: str) -> None:
    asked = threading.Event()
    erp.answer = lambda _: asked.set()
    with Caller(proxy) as caller:
        caller.line.sendall(
            f"GET {base}/hang HTTP/1.1\r\nHost: 127.0.0.1:{erp.port}\r\n".encode() + caller.allowed + b"\r\n"
        )
        assert asked.wait(10)
        assert not erp.gone.is_set()
    assert erp.gone.wait(10), "the ERP is told that nobody waits"


def test_the_proxy_ends_with_requests_under_way(erp: Recorder, base: str) -> None:
    asked = threading.Event()
    erp.answer = lambda _: asked.set()
    with proxy_of(erp) as proxy:
        caller = Caller(proxy)
        caller.line.sendall(
            f"GET {base}/hang HTTP/1.1\r\nHost: 127.0.0.1:{erp.port}\r\n".encode() + caller.allowed + b"\r\n"
        )
        assert asked.wait(10)
    with caller:
        assert caller.ended()
    assert erp.gone.wait(10)


# --- TLS ------------------------------------------------------------------------------------------------------------


def secured(proxy: Proxy, port: int, *, host: str = "localhost") -> Caller:
    caller = Caller(proxy)
    assert caller.ask(f"CONNECT {host}:{port}").status == 200
    caller.secure(host)
    return caller


def test_https_ends_in_the_proxy_and_begins_anew(tmp_path: Path) -> None:
    context, trusted = certificate(tmp_path, "localhost")
    with recording(context) as erp:
        here = f"localhost:{erp.port}"
        origins = frozenset({f"https://{here}"})
        with Proxy(origins=origins, trust=authority.asked(trusted)) as proxy, secured(proxy, erp.port) as caller:
            assert caller.ask("GET /orders", host=here, known=False).status == 200
            assert caller.ask("POST /orders", host=here, known=False).status == 403
            assert caller.ask("GET /orders", host=f"127.0.0.1:{erp.port}", known=False).status == 400
        assert erp.lines == [b"GET /orders HTTP/1.1"]
        assert proxy.refused[0].url == f"https://{here}/orders"


@pytest.mark.parametrize("wrong", ["authority", "expired", "host"])
def test_an_erp_whose_certificate_is_wrong_is_told_nothing(tmp_path: Path, wrong: str) -> None:
    context, trusted = certificate(
        tmp_path, "erp.example" if wrong == "host" else "localhost", expired=wrong == "expired"
    )
    if wrong == "authority":
        trusted = certificate(tmp_path / "..", "localhost")[1]
    with recording(context) as erp:
        here = f"localhost:{erp.port}"
        origins = frozenset({f"https://{here}"})
        with Proxy(origins=origins, trust=authority.asked(trusted)) as proxy, secured(proxy, erp.port) as caller:
            assert caller.ask("GET /orders", host=here, known=False).status == 0
        assert erp.seen == []
        assert proxy.trouble.startswith(f"https://{here}: ")
        assert "CERTIFICATE_VERIFY_FAILED" in proxy.trouble


def test_each_proxy_shows_a_key_of_its_own_that_is_on_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    one, other = authority.show(["a.example"]), authority.show(["a.example"])
    assert one.spki != other.spki
    assert list(tmp_path.iterdir()) == []


def test_the_browser_is_given_a_certificate_for_the_erp_alone(tmp_path: Path) -> None:
    trusted = certificate(tmp_path, "localhost")[1]
    with Proxy(origins=frozenset({"https://localhost:9"}), trust=authority.asked(trusted)) as proxy:
        caller = secured(proxy, 9)
        assert isinstance(caller.line, ssl.SSLSocket)
        shown = ssl.DER_cert_to_PEM_cert(caller.line.getpeercert(binary_form=True) or b"")
        caller.line.close()
        assert proxy.spki
    path = tmp_path / "shown.pem"
    path.write_text(shown)
    decoded = ssl._ssl._test_decode_cert(str(path))  # type: ignore[attr-defined]
    assert decoded["subjectAltName"] == (("DNS", "localhost"),)


def test_a_file_without_certificates_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(UsageError) as refused:
            authority.asked(tmp_path / name)
        assert refused.value.code == "SA2280"


def test_both_layers_judge_alike() -> None:
    """The proxy has no rule of its own on what a request may be: the guard's tests hold for it."""
    assert (
        guard.judge("GET", "http://e/", None, headers={}, permits=(), origins=frozenset({"http://e:80"}))
        == guard.Pass()
    )
