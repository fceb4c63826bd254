"""The contract over ftps, on ProFTPD, and what is FTP's alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from scraper_agent.credentials import SecretPlace
from scraper_agent.errors import SendFailed, SendUnknown, UsageError
from scraper_agent.ports import Standing
from scraper_agent.sandbox.folders import Desk
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sending import ftp
from scraper_agent.sending.exchange import Exchange
from tests.transports.contract import FORMAT, SENDERS, Contract, Site, letter
from tests.transports.handover import Handover, Shelf
from tests.transports.servers import free_port
from tests.transports.servers.ftpd import PASSWORD, USER, Ftpd, certificates
from tests.transports.servers.scripted import Cut, Recorded


def config(server: Ftpd, **other: Any) -> ftp.Config:
    told = {
        "kind": "ftps", "host": "127.0.0.1", "port": server.port, "user": USER,
        "password": {"file": server.password_file}, "ca_file": server.ca_file,
        "folder": str(server.requests), "receipts": str(server.receipts), **other,
    }  # fmt: skip
    return ftp.Config.model_validate(told)


def read(place: SecretPlace, name: str) -> SecretStr:
    assert place.file is not None, name
    return SecretStr(place.file.read_text())


def sender(server: Ftpd, **other: Any) -> Exchange:
    return ftp.transport(config(server, **other), read)


class OverFtp:
    def __init__(self, platform: Platform, server: Ftpd, kind: str) -> None:
        self.platform = platform
        self._server = server
        self._kind = kind

    def transport(self) -> Exchange:
        return sender(self._server, kind=self._kind)

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.start()


class TestFtps(Contract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[Site]:
        with (
            Platform(lambda: datetime.now(UTC), SENDERS, {FORMAT}) as platform,
            Ftpd(tmp_path) as server,
            Desk(platform, server.requests, server.receipts, every_s=0.01),
        ):
            yield OverFtp(platform, server, "ftps")


class TestPlainFtpOnLoopback(Contract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[Site]:
        with (
            Platform(lambda: datetime.now(UTC), SENDERS, {FORMAT}) as platform,
            Ftpd(tmp_path, tls=False) as server,
            Desk(platform, server.requests, server.receipts, every_s=0.01),
        ):
            yield OverFtp(platform, server, "ftp")


class TestOnAnFtpShelf(Handover):
    @pytest.fixture
    def shelf(self, ftpd: Ftpd, tmp_path: Path) -> Iterator[Shelf]:
        requests, receipts = tmp_path / "requests", tmp_path / "receipts"
        requests.mkdir()
        receipts.mkdir()
        with ExitStack() as senders:
            yield Shelf(
                requests,
                receipts,
                lambda **other: senders.enter_context(
                    sender(ftpd, folder=str(requests), receipts=str(receipts), **other)
                ),
            )


@pytest.fixture(scope="module")
def ftpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ftpd]:
    with Ftpd(tmp_path_factory.mktemp("ftpd")) as server:
        yield server


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ftpd]:
    with Ftpd(tmp_path_factory.mktemp("ftpd"), tls=False) as server:
        yield server


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with Recorded() as server:
        yield server


def by_recorded(server: Recorded, **other: Any) -> Exchange:
    told = {
        "kind": "ftp", "host": "127.0.0.1", "port": server.port, "user": USER, "password": {"env": "PASSWORD"},
        "folder": "requests", "receipts": "receipts", **other,
    }  # fmt: skip
    return ftp.transport(ftp.Config.model_validate(told), lambda *_: SecretStr(PASSWORD))


def refused(transport: Exchange) -> SendFailed:
    """Sending and looking fail alike."""
    body, key = letter(1)
    with transport:
        with pytest.raises(SendFailed) as first:
            transport.send(body, key=key)
        with pytest.raises(SendFailed) as second:
            transport.find(key)
    assert str(first.value) == str(second.value)
    return first.value


# --- who is who, and who reads along --------------------------------------------------------------------------------


def test_plain_ftp_is_refused_but_on_loopback_or_where_it_is_allowed(ftpd: Ftpd):
    with pytest.raises(ValidationError, match=r"`ftp` to `.*` is not encrypted, nor is its password"):
        config(ftpd, kind="ftp", host="ftp.customs.example")
    assert config(ftpd, kind="ftp", host="ftp.customs.example", allow_plain=True).allow_plain
    assert config(ftpd, kind="ftps", host="ftp.customs.example").kind == "ftps"
    for host in ("127.0.0.1", "::1", "localhost"):
        assert config(ftpd, kind="ftp", host=host).host == host


def test_a_certificate_of_another_authority_is_refused(ftpd: Ftpd, tmp_path: Path):
    certificates(tmp_path, ("127.0.0.1",))
    error = refused(sender(ftpd, ca_file=tmp_path / "ca.pem"))
    assert error.code == "SA4093"
    assert "certificate verify failed" in error.sentence


def test_a_certificate_of_another_host_is_refused(tmp_path: Path):
    with Ftpd(tmp_path, names=("ftp.customs.example",)) as server:
        error = refused(sender(server))
    assert error.code == "SA4093"
    assert "IP address mismatch" in error.sentence


def test_a_server_without_encryption_learns_neither_account_nor_password(recorded: Recorded):
    error = refused(by_recorded(recorded, kind="ftps"))
    assert error.code == "SA4093"
    assert recorded.commands == ["AUTH TLS", "AUTH TLS"]


def test_what_follows_the_answer_to_auth_in_plain_is_not_taken_for_an_answer(recorded: Recorded):
    recorded.says["AUTH"] = "234 go on\r\n230 you are in\r\n"
    error = refused(by_recorded(recorded, kind="ftps"))
    assert error.code == "SA4093"
    assert "more than an answer to AUTH TLS" in error.sentence


def test_an_authority_that_cannot_be_read_is_named(ftpd: Ftpd, tmp_path: Path):
    with pytest.raises(UsageError, match="SA4029 cannot read certificates from"):
        sender(ftpd, ca_file=tmp_path / "missing.pem")


def test_a_password_that_is_wrong_is_refused(ftpd: Ftpd, tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("correct-horse")
    error = refused(sender(ftpd, password={"file": secret}))
    assert error.code == "SA4092"


def test_a_password_that_the_server_repeats_is_in_no_message(recorded: Recorded):
    recorded.says["PASS"] = f"530 {PASSWORD} is wrong\r\n"
    transport = by_recorded(recorded)
    error = refused(transport)
    assert error.sentence.endswith("refuses the login of robot: 530 *** is wrong")
    assert PASSWORD not in f"{error}{error!r}{transport!r}{vars(transport)}{error.__cause__!r}"


def test_data_goes_to_the_host_that_was_asked_for_whatever_address_it_names(tmp_path: Path):
    body, key = letter(1)
    with Ftpd(tmp_path, more="MasqueradeAddress 192.0.2.1") as server:
        with sender(server, step_timeout_s=5) as transport:
            assert transport.send(body, key=key) is None
        assert (server.requests / f"{key}.json").read_bytes() == body


# --- what the server does not do ------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_is_named(ftpd: Ftpd):
    error = refused(sender(ftpd, receipts="/nowhere"))
    assert error.code == "SA4094"
    assert "opens no folder /nowhere for this account: 550" in error.sentence


@pytest.mark.parametrize(
    "more", ["<Limit WRITE>\nDenyAll\n</Limit>", "MaxStoreFileSize 100 B", "<Limit RNFR RNTO>\nDenyAll\n</Limit>"]
)
def test_a_step_that_is_refused_has_surely_handed_over_nothing(tmp_path: Path, more: str):
    body, key = letter(1)
    with Ftpd(tmp_path, more=more) as server, sender(server) as transport:
        with pytest.raises(SendFailed, match=r"SA4095 .* refuses a step of handing over"):
            transport.send(body, key=key)
        assert not (server.requests / f"{key}.json.done").exists()
        assert transport.find(key) is Standing.UNKNOWN


def test_nobody_listens(ftpd: Ftpd):
    error = refused(sender(ftpd, port=free_port()))
    assert error.code == "SA4090"


@pytest.mark.parametrize(("number", "command"), [(21, "STOR"), (22, "RNFR"), (23, "RNTO .*json\r\n")])
def test_a_connection_that_is_lost_before_the_last_step_has_surely_handed_over_nothing(
    plain: Ftpd, number: int, command: str
):
    body, key = letter(number)
    with Cut(plain.port, command) as cut, sender(plain, kind="ftp", port=cut.port) as transport:
        with pytest.raises(SendFailed, match=r"SA4096 the connection to .* was lost before"):
            transport.send(body, key=key)
        assert not (plain.requests / f"{key}.json.done").exists()
        cut.command = ""
        assert transport.send(body, key=key) is None
        assert transport.find(key) is Standing.DELIVERED


def test_a_last_step_without_an_answer_is_unknown_and_found_afterwards(plain: Ftpd):
    body, key = letter(3)
    with Cut(plain.port, "RNTO .*done\r\n") as cut, sender(plain, kind="ftp", port=cut.port) as transport:
        with pytest.raises(SendUnknown, match=r"SA4097 no answer from .* to the last step of handing over"):
            transport.send(body, key=key)
        assert transport.repeat == "safe"
        assert transport.find(key) is Standing.DELIVERED
        assert transport.send(body, key=key) is None


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("USER", "x" * 100_000),
        ("USER", "331-more\r\n" * 1000),
        ("USER", "\xff\xfe\r\n"),
        ("USER", ""),
        ("PWD", "150 wait\r\n"),
        ("SIZE", "213 many\r\n"),
        ("SIZE", "421 going down\r\n"),
    ],
)
def test_answers_that_are_none_end_in_time_and_hand_over_nothing(recorded: Recorded, command: str, answer: str):
    recorded.says[command] = answer
    body, key = letter(4)
    with by_recorded(recorded, step_timeout_s=0.5, connect_timeout_s=0.5) as transport:
        with pytest.raises(SendFailed):
            transport.send(body, key=key)
        with pytest.raises(SendFailed):
            transport.find(key)
    assert not any(command.startswith("STOR") for command in recorded.commands)
