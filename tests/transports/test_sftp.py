"""The contract over sftp, on OpenSSH's own server, and what is sftp's alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pydantic import SecretStr, ValidationError

from scraper_agent.credentials import SecretPlace
from scraper_agent.errors import SendFailed, SendUnknown, UsageError
from scraper_agent.ports import Standing
from scraper_agent.sandbox.folders import Desk
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sending import handover, sftp
from scraper_agent.sending.exchange import Exchange
from tests.transports.contract import FORMAT, SENDERS, Contract, Site, letter
from tests.transports.handover import Handover, Shelf
from tests.transports.servers import faulty as faults
from tests.transports.servers import free_port
from tests.transports.servers.faulty import Fault, Faulty
from tests.transports.servers.sshd import Sshd


def config(server: Sshd, **other: Any) -> sftp.Config:
    told = {
        "kind": "sftp", "host": "127.0.0.1", "port": server.port, "user": server.user,
        "key_file": server.key_file, "known_hosts": server.known_hosts,
        "folder": str(server.requests), "receipts": str(server.receipts), **other,
    }  # fmt: skip
    return sftp.Config.model_validate({name: value for name, value in told.items() if value is not None})


def read(place: SecretPlace, name: str) -> SecretStr:
    assert place.file is not None, name
    return SecretStr(place.file.read_text())


def sender(server: Sshd, **other: Any) -> Exchange:
    return sftp.transport(config(server, **other), read)


class OverSftp:
    def __init__(self, platform: Platform, server: Sshd) -> None:
        self.platform = platform
        self._server = server

    def transport(self) -> Exchange:
        return sender(self._server)

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.start()


class TestSftp(Contract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[Site]:
        with (
            Platform(lambda: datetime.now(UTC), SENDERS, {FORMAT}) as platform,
            Sshd(tmp_path) as server,
            Desk(platform, server.requests, server.receipts, every_s=0.01),
        ):
            yield OverSftp(platform, server)


class TestOnASshShelf(Handover):
    @pytest.fixture
    def shelf(self, sshd: Sshd, tmp_path: Path) -> Iterator[Shelf]:
        with ExitStack() as senders:
            yield _shelf(sshd, tmp_path, senders)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with Sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[Faulty]:
    with Faulty(tmp_path / "faulty") as server:
        yield server


def _shelf(server: Sshd, home: Path, senders: ExitStack) -> Shelf:
    requests, receipts = home / "requests", home / "receipts"
    requests.mkdir()
    receipts.mkdir()

    def open_sender(**other: Any) -> Exchange:
        return senders.enter_context(sender(server, folder=str(requests), receipts=str(receipts), **other))

    return Shelf(requests, receipts, open_sender)


def by_password(server: Faulty, **other: Any) -> Exchange:
    told = {
        "kind": "sftp", "host": "127.0.0.1", "port": server.port, "user": faults.USER,
        "password": {"file": server.password_file}, "fingerprints": [server.fingerprint],
        "folder": str(server.requests), "receipts": str(server.receipts), **other,
    }  # fmt: skip
    return sftp.transport(sftp.Config.model_validate(told), read)


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


# --- who is who -----------------------------------------------------------------------------------------------------


def test_a_host_key_that_was_changed_is_refused_and_nothing_leaves(tmp_path: Path):
    server = Sshd(tmp_path)
    server.new_host_key()
    with server:
        error = refused(sender(server))
        assert error.code == "SA4091"
        assert error.sentence == (
            f"sftp://127.0.0.1:{server.port} shows a host key that is not known: {server.fingerprint}"
        )
        assert list(server.requests.iterdir()) == []
        server.trust_host_key()
        with sender(server) as transport:
            body, key = letter(1)
            assert transport.send(body, key=key) is None


def test_a_fingerprint_serves_in_place_of_the_file(sshd: Sshd):
    body, key = letter(1)
    with sender(sshd, known_hosts=None, fingerprints=["SHA256:" + "A" * 43, sshd.fingerprint]) as transport:
        assert transport.send(body, key=key) is None
    error = refused(sender(sshd, known_hosts=None, fingerprints=["SHA256:" + "A" * 43]))
    assert error.code == "SA4091"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"known_hosts": None}, "give either `known_hosts` or `fingerprints`"),
        ({"fingerprints": ["SHA256:" + "A" * 43]}, "give either `known_hosts` or `fingerprints`"),
        ({"known_hosts": None, "fingerprints": ["MD5:00:11"]}, "should match pattern"),
        ({"password": {"env": "P"}}, "give either `password` or `key_file`"),
        ({"key_file": None}, "give either `password` or `key_file`"),
        ({"key_file": None, "password": {"env": "P"}, "passphrase": {"env": "P"}}, "`passphrase` is of a `key_file`"),
        ({"folder": "requests\nDELE x"}, "should match pattern"),
        ({"host": "a b"}, "should match pattern"),
    ],
)
def test_a_configuration_that_leaves_it_open_whom_to_trust_is_refused(sshd: Sshd, given: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        config(sshd, **given)


def test_a_key_that_the_server_does_not_know_is_refused(sshd: Sshd, tmp_path: Path):
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(tmp_path / "other")
    error = refused(sender(sshd, key_file=tmp_path / "other"))
    assert error.code == "SA4092"


def test_a_password_that_is_wrong_is_refused_and_not_repeated_in_the_message(sshd: Sshd, tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("correct-horse")
    transport = sender(sshd, key_file=None, password={"file": secret})
    error = refused(transport)
    assert error.code == "SA4092"
    assert "correct-horse" not in f"{error}{error!r}{transport!r}{vars(transport)}{error.__cause__!r}"


def test_a_password_that_is_right_opens(faulty: Faulty):
    body, key = letter(1)
    with by_password(faulty) as transport:
        assert transport.send(body, key=key) is None
        assert transport.find(key) is Standing.DELIVERED


def test_a_key_with_a_passphrase_opens_with_it_alone(sshd: Sshd, tmp_path: Path):
    encrypted, secret = tmp_path / "encrypted", tmp_path / "secret"
    secret.write_text("correct-horse")
    asyncssh.read_private_key(sshd.key_file).write_private_key(
        encrypted, passphrase=secret.read_text(), rounds=1, ignore_few_rounds=True
    )
    body, key = letter(2)
    with sender(sshd, key_file=encrypted, passphrase={"file": secret}) as transport:
        assert transport.send(body, key=key) is None
    secret.write_text("wrong-horse")
    with pytest.raises(UsageError, match="SA4101 cannot read a private key from") as raised:
        sender(sshd, key_file=encrypted, passphrase={"file": secret})
    assert "wrong-horse" not in str(raised.value)
    with pytest.raises(UsageError, match="SA4101"):
        sender(sshd, key_file=encrypted)


@pytest.mark.parametrize("name", ["missing", "nonsense"])
def test_files_of_the_configuration_that_cannot_be_read_are_named(sshd: Sshd, tmp_path: Path, name: str):
    (tmp_path / "nonsense").write_bytes(b"[127.0.0.1]:22 ssh-ed25519\n\xff\xfe")
    with pytest.raises(UsageError, match=f"SA4101 cannot read a private key from .*{name}"):
        sender(sshd, key_file=tmp_path / name)
    with pytest.raises(UsageError, match=f"SA4102 cannot read the keys of known hosts from .*{name}"):
        sender(sshd, known_hosts=tmp_path / name)


# --- what the server does not do ------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_is_named(sshd: Sshd):
    error = refused(sender(sshd, receipts="/nowhere"))
    assert error.sentence == f"sftp://127.0.0.1:{sshd.port} opens no folder /nowhere for this account: -"


def test_a_folder_without_the_right_to_write_has_surely_nothing(tmp_path: Path):
    body, key = letter(1)
    with Sshd(tmp_path, sftp="-R") as server, sender(server) as transport:
        with pytest.raises(SendFailed, match=r"SA4095 .* refuses a step of handing over .*: Permission denied"):
            transport.send(body, key=key)
        assert transport.find(key) is Standing.UNKNOWN
        assert list(server.requests.iterdir()) == []


@pytest.mark.parametrize("left", [None, b"", b"half"])
def test_a_server_that_cannot_replace_in_one_step_gets_the_same_files(tmp_path: Path, left: bytes | None):
    body, key = letter(1)
    with Sshd(tmp_path, sftp="-P posix-rename") as server, sender(server) as transport:
        request, done = server.requests / f"{key}.json", server.requests / f"{key}.json.done"
        if left is not None:
            request.write_bytes(left)
            done.write_bytes(left)
        assert transport.send(body, key=key) is None
        assert sorted(server.requests.iterdir()) == [request, done]
        assert request.read_bytes() == body
        assert handover.read_done(done.read_bytes()) == handover.done_of(body)


def test_a_folder_that_may_not_be_listed_takes_documents(tmp_path: Path):
    body, key = letter(1)
    with Sshd(tmp_path, sftp="-P opendir") as server, sender(server) as transport:
        assert transport.send(body, key=key) is None
        assert transport.find(key) is Standing.DELIVERED


def test_a_disk_that_is_full_has_surely_nothing_and_keeps_no_part(tmp_path: Path):
    (large, one), (small, two) = letter(1, 300_000), letter(2)
    with Sshd(tmp_path, before="ulimit -f 8; trap '' XFSZ") as server, sender(server) as transport:
        with pytest.raises(SendFailed, match="SA4095"):
            transport.send(large, key=one)
        assert list(server.requests.iterdir()) == []
        assert transport.send(small, key=two) is None


@pytest.mark.parametrize("fault", ["part lost", "silent"])
def test_a_connection_that_is_lost_before_the_last_step_has_surely_handed_over_nothing(faulty: Faulty, fault: Fault):
    body, key = letter(1)
    faulty.fault = fault
    with by_password(faulty, step_timeout_s=0.5) as transport:
        with pytest.raises(SendFailed, match=r"SA4096 the connection to .* was lost before"):
            transport.send(body, key=key)
        assert not (faulty.requests / f"{key}.json.done").exists()
        faulty.fault = ""
        assert transport.send(body, key=key) is None
        assert transport.find(key) is Standing.DELIVERED


def test_a_server_without_an_answer_cannot_be_asked(faulty: Faulty):
    faulty.fault = "silent"
    with (
        by_password(faulty, step_timeout_s=0.5) as transport,
        pytest.raises(SendFailed, match=r"SA4099 .* does not show what became of"),
    ):
        transport.find(letter(1)[1])


def test_a_login_that_takes_too_long_is_given_up_and_leaves_no_connection(faulty: Faulty):
    faulty.fault = "no login"
    error = refused(by_password(faulty, connect_timeout_s=0.5))
    assert error.code == "SA4090"


def test_a_last_step_without_an_answer_is_unknown_and_found_afterwards(faulty: Faulty):
    body, key = letter(1)
    faulty.fault = "answer lost"
    with by_password(faulty) as transport:
        with pytest.raises(SendUnknown, match=r"SA4097 no answer from .* to the last step of handing over"):
            transport.send(body, key=key)
        assert transport.repeat == "safe"
        assert transport.find(key) is Standing.DELIVERED
        assert transport.send(body, key=key) is None
    assert sorted(path.name for path in faulty.requests.iterdir()) == [f"{key}.json", f"{key}.json.done"]


def test_what_is_stored_otherwise_than_written_is_not_handed_over(faulty: Faulty):
    body, key = letter(1)
    faulty.fault = "garbled"
    with by_password(faulty) as transport, pytest.raises(SendFailed, match=r"SA4098 .* has other bytes in "):
        transport.send(body, key=key)
    assert list(faulty.requests.iterdir()) == []


def test_nobody_listens(sshd: Sshd):
    error = refused(sender(sshd, port=free_port()))
    assert error.code == "SA4090"
