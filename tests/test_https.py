"""The https transport against real servers on loopback: what it sends, and what it makes of every way to fail."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Self

import pytest
from pydantic import SecretStr, ValidationError

from scraper_agent import envelope, sending
from scraper_agent.credentials import SecretPlace
from scraper_agent.errors import AgentError, SendFailed, SendRefused, SendUnknown, UsageError
from scraper_agent.ports import Standing
from scraper_agent.sandbox.tls import Authority
from scraper_agent.sending import https
from scraper_agent.yamlfile import Wrong

KEY = "ab" * 32
ENVELOPE = '{"ak":"A10001","ps":{"名":"值"}}'.encode()


class Server:
    """Takes any number of connections, one request each, and answers with `answer`: bytes, or what to do."""

    def __init__(self, answer: bytes | Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> None:
        self._answer = answer
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}/receive"
        self.requests: list[bytes] = []
        self.over = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        socket.create_connection(("127.0.0.1", self.port)).close()  # wakes `accept`
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection, contextlib.suppress(OSError):
                if self.over.is_set():
                    return
                if self._context is None:
                    self._talk(connection)
                else:
                    with self._context.wrap_socket(connection, server_side=True) as tls:
                        self._talk(tls)

    def _talk(self, connection: socket.socket) -> None:
        if callable(self._answer):
            self._answer(connection)
            return
        self.requests.append(whole_request(connection))
        connection.sendall(self._answer)


def more(connection: socket.socket) -> bytes:
    part = connection.recv(65536)
    if not part:
        raise ConnectionError
    return part


def whole_request(connection: socket.socket) -> bytes:
    read = b""
    while b"\r\n\r\n" not in read:
        read += more(connection)
    head, _, body = read.partition(b"\r\n\r\n")
    length = next(
        (int(v) for k, _, v in (line.partition(b":") for line in head.split(b"\r\n")) if k == b"Content-Length"), 0
    )
    while len(body) < length:
        body += more(connection)
    return head + b"\r\n\r\n" + body


def response(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def connected(url: str, **change: object) -> https.HttpsTransport:
    return https.HttpsTransport(https.Config.model_validate({"kind": "https", "url": url} | change))


def no_secret(place: SecretPlace, name: str) -> SecretStr:
    raise AssertionError(name)


def sent(server: Server, **change: object) -> bytes | None:
    with connected(server.url, **change) as transport:
        return transport.send(ENVELOPE, key=KEY)


def found(server: Server, **change: object) -> bytes | Standing:
    with connected(server.url, **change) as transport:
        return transport.find(KEY)


# --- what is sent ---------------------------------------------------------------------------------------------------


def test_envelope_is_posted_as_it_is_with_its_key():
    with Server(response("200 OK", b"receipt")) as server:
        assert sent(server) == b"receipt"
    (request,) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /receive HTTP/1.1"
    assert f"Idempotency-Key: {KEY}" in lines
    assert "Content-Type: application/json; charset=utf-8" in lines
    assert body == ENVELOPE


def test_answer_is_asked_for_by_key():
    with Server(response("200 OK", b"receipt")) as server:
        assert found(server) == b"receipt"
    assert server.requests[0].startswith(f"GET /receive/{KEY} HTTP/1.1\r\n".encode())


def test_slash_at_the_end_of_the_address_changes_nothing():
    with Server(response("200 OK", b"receipt")) as server, connected(server.url + "/") as transport:
        transport.send(ENVELOPE, key=KEY)
        transport.find("a/../b")
    assert server.requests[0].startswith(b"POST /receive HTTP/1.1")
    assert server.requests[1].startswith(b"GET /receive/a%2F..%2Fb HTTP/1.1")


def test_proxy_in_the_environment_is_not_used(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with Server(response("200 OK", b"receipt")) as server:
        assert sent(server) == b"receipt"


def test_transport_asks_before_it_repeats():
    with connected("https://customs.example/receive") as transport:
        assert transport.repeat == "ask"


def test_connect_makes_it_from_the_configuration():
    transport = sending.connect(https.Config(kind="https", url="https://customs.example/receive"), no_secret)
    assert isinstance(transport, https.HttpsTransport)
    transport.close()


# --- what the answer means ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status",
    [
        "200 OK",
        "201 Created",
        "202 Accepted",
        "400 Bad Request",
        "403 Forbidden",
        "404 Not Found",
        "409 Conflict",
        "422 Unprocessable Entity",
    ],
)
def test_body_of_an_answer_is_handed_on_accepted_or_refused(status):
    with Server(response(status, b"signed")) as server:
        assert sent(server) == b"signed"


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        ("200 OK", SendUnknown, "SA4025"),
        ("204 No Content", SendUnknown, "SA4025"),
        ("400 Bad Request", SendRefused, "SA4024"),
        ("404 Not Found", SendFailed, "SA4024"),
    ],
)
def test_answer_without_a_body_is_no_receipt(status, error, code):
    with Server(response(status)) as server, pytest.raises(error) as caught:
        sent(server)
    assert type(caught.value) is error
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("408 Request Timeout", SendUnknown),
        ("409 Conflict", SendUnknown),
        ("425 Too Early", SendFailed),
        ("429 Too Many Requests", SendFailed),
        ("500 Internal Server Error", SendUnknown),
        ("502 Bad Gateway", SendUnknown),
        ("503 Service Unavailable", SendUnknown),
        ("504 Gateway Timeout", SendUnknown),
    ],
)
def test_status_that_asks_to_come_back(status, error):
    with Server(response(status, b"later", "Retry-After: 120")) as server, pytest.raises(error) as caught:
        sent(server)
    assert type(caught.value) is error
    assert caught.value.values["retry_after"] == "120"
    assert caught.value.sentence == f"{server.url} answers {status}, without a receipt"


@pytest.mark.parametrize(
    "status",
    [
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
        "304 Not Modified",
    ],
)
def test_redirect_is_not_followed(status):
    with (
        Server(response("200 OK", b"stolen")) as other,
        Server(response(status, b"body", f"Location: {other.url}")) as server,
        pytest.raises(SendFailed) as caught,
    ):
        sent(server)
    assert other.requests == []
    assert str(caught.value) == (
        f"SA4023 {server.url} answers {status[:3]} and points to '{other.url}'; redirects are not followed\n"
        "hint: if the receiving side has moved, put its new address into `url`"
    )


def test_huge_answer_is_not_read():
    endless = response("200 OK").replace(b"Content-Length: 0\r\n", b"")

    def flood(connection: socket.socket) -> None:
        whole_request(connection)
        connection.sendall(endless)
        while True:
            connection.sendall(bytes(65536))

    with Server(flood) as server:
        with pytest.raises(SendUnknown, match=r"SA4026 the answer from .* has more than 65536 bytes"):
            sent(server)
        with pytest.raises(SendFailed, match=r"SA4028 .*: the answer from .* has more than 65536 bytes"):
            found(server)


def test_silent_receiver_leaves_it_open():
    def wait(connection: socket.socket) -> None:
        whole_request(connection)
        server.over.wait(30)

    with Server(wait) as server, connected(server.url, read_timeout_s=0.1) as transport:
        with pytest.raises(SendUnknown) as caught:
            transport.send(ENVELOPE, key=KEY)
        server.over.set()
    assert str(caught.value) == (
        f"SA4022 no answer from {server.url} although sending began: timed out\n"
        "hint: the receiving side is asked before it is sent again"
    )


def test_dribbling_receiver_leaves_it_open():
    def dribble(connection: socket.socket) -> None:
        whole_request(connection)
        connection.sendall(response("200 OK", bytes(1000))[:-990])
        server.over.wait(30)

    with Server(dribble) as server:
        with pytest.raises(SendUnknown, match=r"SA4027 the answer from .* takes longer than 1e-09 s"):
            sent(server, total_timeout_s="1e-9")
        server.over.set()


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", b"X: y\r\n"],
    ids=["interim answers", "a head"],
)
def test_head_that_never_ends_leaves_it_open(answer):
    def drip(connection: socket.socket) -> None:
        whole_request(connection)
        if answer.startswith(b"X"):
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not server.over.wait(0.01):
            connection.sendall(answer)

    with Server(drip) as server:
        with pytest.raises(SendUnknown, match=r"SA4027 the answer from .* takes longer than 0\.3 s"):
            sent(server, total_timeout_s=0.3)
        with pytest.raises(SendFailed, match=r"SA4028 .*: the answer from .* takes longer than 0\.3 s"):
            found(server, total_timeout_s=0.3)
        server.over.set()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_connection_lost_while_the_answer_is_awaited_leaves_it_open():
    def close(connection: socket.socket) -> None:
        whole_request(connection)

    with Server(close) as server, pytest.raises(SendUnknown, match=r"SA4022 .*Server disconnected"):
        sent(server)


def test_connection_reset_while_sending_leaves_it_open():
    def hang_up(connection: socket.socket) -> None:
        connection.recv(1)
        reset(connection)

    with Server(hang_up) as server, connected(server.url) as transport, pytest.raises(SendUnknown, match="SA4022"):
        transport.send(bytes(20_000_000), key=KEY)


def test_answer_cut_off_leaves_it_open():
    with (
        Server(response("200 OK", b"receipt")[:-3]) as server,
        pytest.raises(SendUnknown, match=r"SA4022 .*without sending complete message body"),
    ):
        sent(server)


def test_what_is_no_http_leaves_it_open():
    with Server(b"SSH-2.0-OpenSSH_9.2\r\n") as server, pytest.raises(SendUnknown, match="SA4022"):
        sent(server)


def test_refused_connection_is_a_sure_failure():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/receive"
        with connected(url) as transport:
            with pytest.raises(SendFailed, match=f"SA4020 no connection to {url}: .*refused"):
                transport.send(ENVELOPE, key=KEY)
            with pytest.raises(SendFailed, match=f"SA4020 no connection to {url}: .*refused"):
                transport.find(KEY)


def test_unknown_host_is_a_sure_failure(monkeypatch):
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with connected("https://customs.invalid/receive") as transport, pytest.raises(SendFailed) as caught:
        transport.send(ENVELOPE, key=KEY)
    assert str(caught.value) == (
        "SA4020 no connection to https://customs.invalid/receive: "
        f"[Errno {socket.EAI_NONAME}] Name or service not known\n"
        "hint: it did not arrive and is sent again later; check the network, and `url` if this goes on"
    )


def test_no_answer_stored_is_only_what_the_receiver_says_of_this_key():
    with Server(response("404 Not Found", envelope.absence(KEY))) as server:
        assert found(server) is Standing.ABSENT


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (response("404 Not Found", b"<html>nginx</html>"), "404 Not Found"),
        (response("404 Not Found"), "404 Not Found"),
        (response("404 Not Found", envelope.absence("cd" * 32)), "404 Not Found"),
        (response("200 OK"), "200 OK"),
        (response("202 Accepted", b"later"), "202 Accepted"),
        (response("302 Found", b"there", "Location: /login"), "302 Found"),
        (response("500 Internal Server Error", b"receipt"), "500 Internal Server Error"),
        (response("200 OK", b"receipt")[:-3], ".*without sending complete message body"),
        (b"", "Server disconnected without sending a response."),
    ],
)
def test_every_other_answer_to_the_question_says_nothing(answer, reason):
    with Server(answer) as server, pytest.raises(SendFailed, match=rf"SA4028 .* does not say whether .*: {reason}"):
        found(server)


# --- TLS ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    made = Authority("Private CA")
    path.write_bytes(made.pem)
    return path, made


@pytest.fixture
def tls(tmp_path, authority):
    def context(name: str = "127.0.0.1", until: datetime = datetime(2120, 1, 1, tzinfo=UTC)) -> ssl.SSLContext:
        path = tmp_path / "server.pem"
        path.write_bytes(b"".join(authority[1].issue(name, until=until)))
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(path)
        return server

    return context


def test_certificate_of_the_configured_authority_is_trusted(tls, authority):
    with Server(response("200 OK", b"receipt"), tls()) as server:
        assert sent(server, ca_file=authority[0]) == b"receipt"


def test_certificate_of_an_unknown_authority_is_not(tls):
    with Server(response("200 OK", b"receipt"), tls()) as server, pytest.raises(SendFailed) as caught:
        sent(server)
    assert server.requests == []
    assert caught.value.sentence.startswith(
        f"no trusted connection to {server.url}: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"
    )
    assert caught.value.hint == (
        "if its certificate is of a private authority, name that authority's certificate in `ca_file`"
    )


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"name": "127.0.0.2"}, "IP address mismatch"),
        ({"until": datetime(2021, 1, 1, tzinfo=UTC)}, "certificate has expired"),
    ],
)
def test_certificate_of_another_host_or_time_is_not_trusted(tls, authority, wrong, reason):
    with Server(response("200 OK", b"receipt"), tls(**wrong)) as server:
        with pytest.raises(SendFailed, match=f"SA4021 .*{reason}"):
            sent(server, ca_file=authority[0])
        with pytest.raises(SendFailed, match=f"SA4021 .*{reason}"):
            found(server, ca_file=authority[0])
    assert server.requests == []


def test_plain_answer_to_tls_is_a_sure_failure(authority):
    with Server(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        url = server.url.replace("http:", "https:")
        with connected(url, ca_file=authority[0]) as transport, pytest.raises(SendFailed, match="SA4021"):
            transport.send(ENVELOPE, key=KEY)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"], ids=["missing", "empty", "garbage"])
def test_ca_file_that_cannot_be_used_is_named(tmp_path, content):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"SA4029 cannot read certificates from .*ca\.pem: ") as caught:
        connected("https://customs.example/", ca_file=path)
    assert isinstance(caught.value, AgentError)


# --- configuration --------------------------------------------------------------------------------------------------


def config_error(**config: object) -> Wrong:
    with pytest.raises(ValidationError) as caught:
        https.Config.model_validate({"kind": "https"} | config)
    (error,) = caught.value.errors()
    wrong = error["ctx"]["error"]
    assert isinstance(wrong, Wrong)
    return wrong


@pytest.mark.parametrize(
    "url",
    [
        "",
        "customs.example",
        "ftp://customs.example/",
        "https://",
        "https://host:port/",
        "https:///path",
        "https://host/?a=1",
        "https://host/#a",
        "https://[::1",
        "file:///etc/passwd",
    ],
)
def test_address_of_another_kind_is_refused(url):
    assert config_error(url=url).text == "`{url}` is not an address to send to"


def test_address_with_an_account_is_refused_without_repeating_it():
    assert config_error(url="https://me:secret@host/path").values == {"url": "host/path"}


@pytest.mark.parametrize(
    "url", ["http://customs.example/", "http://10.0.0.1/", "http://127.0.0.1.example/", "http://0.0.0.0/"]
)
def test_plain_http_leaves_the_machine_only_when_allowed(url):
    assert config_error(url=url).text == "`{url}` is not encrypted"
    assert https.Config(kind="https", url=url, allow_plain_http=True).url == url


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/", "http://127.8.9.1/", "http://[::1]/", "http://localhost/"])
def test_plain_http_to_this_machine_is_allowed(url):
    assert https.Config(kind="https", url=url).url == url


@pytest.mark.parametrize(
    "change", [{"verify": False}, {"read_timeout_s": 0}, {"answer_limit_bytes": 0}, {"kind": "http"}]
)
def test_configuration_says_nothing_else(change):
    with pytest.raises(ValidationError):
        https.Config.model_validate({"kind": "https", "url": "https://customs.example/"} | change)
