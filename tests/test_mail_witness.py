"""A mailbox as a witness: against a mail server over TLS, and what saved mails prove afterwards."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.audit import anchor, asking, mailed, note, proving
from scraper_agent.audit.anchor import Anchoring
from scraper_agent.credentials import SecretPlace
from scraper_agent.errors import AgentError
from scraper_agent.sending import mail, witnesses
from scraper_agent.signing import sm2
from scraper_agent.values import Anchored
from tests.authorities import OTHER, SIGNER, Clock
from tests.test_anchor import grow
from tests.transports.servers.ftpd import certificates
from tests.transports.servers.scripted import Recorded
from tests.world import NOW

ORIGIN = "91350100M000100Y43/310001"
USER, PASSWORD, WRONG = "robot", "c4nary&Mail<88>", "c4nary&Wrong"
BOX = "audit@example.com"


@dataclass
class Postman:
    """Takes mail for one mailbox, over TLS and from who logs in; and fails on demand."""

    taken: list[bytes] = field(default_factory=list)
    recipient: str = "250 OK"
    data: str = "250 OK"
    hang_up: str = ""
    """`before` a mail is taken, or `after` that, in place of the answer."""
    logged_in: int = 0

    async def handle_RCPT(  # noqa: N802 - as the library calls it
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.recipient

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        if self.hang_up != "before" and self.data.startswith("2"):
            self.taken.append(envelope.content)
        if self.hang_up:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return self.data

    def knows(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, given: object) -> AuthResult:
        good = isinstance(given, LoginPassword) and given.password == PASSWORD.encode()
        self.logged_in += good
        return AuthResult(success=good, handled=False)


@dataclass
class Office:
    """The mail server, and a config that knows it."""

    postman: Postman
    ports: dict[str, int]
    folder: Path

    def config(self, **other: Any) -> mail.Config:
        told = {
            "kind": "mail", "name": "box", "to": BOX, "sender": "robot@example.com", "host": "127.0.0.1",
            "port": self.ports[other.get("security", "starttls")], "user": USER, "password": {"env": "CANARY_MAIL"},
            "ca_file": self.folder / "ca.pem", **other,
        }  # fmt: skip
        return mail.Config.model_validate(told)

    def party(self, secret: str = PASSWORD, **other: Any) -> mail.MailWitness:
        made = witnesses.connect(self.config(**other), lambda _place, _name: SecretStr(secret))
        assert isinstance(made, mail.MailWitness)
        return made


@contextmanager
def running(folder: Path, name: str = "127.0.0.1") -> Iterator[Office]:
    """A server with STARTTLS and one that is encrypted at once, whose certificate is for `name`."""
    folder.mkdir(exist_ok=True)
    certificates(folder, (name,))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    postman, loop = Postman(), asyncio.new_event_loop()
    knows: dict[str, Any] = {"authenticator": postman.knows, "loop": loop}

    async def listen() -> list[asyncio.Server]:
        return [
            await loop.create_server(
                lambda: SMTP(postman, tls_context=context, require_starttls=True, auth_required=True, **knows),
                "127.0.0.1",
                0,
            ),
            await loop.create_server(
                lambda: SMTP(postman, auth_require_tls=False, **knows), "127.0.0.1", 0, ssl=context
            ),
        ]

    started = loop.run_until_complete(listen())
    ports = [each.sockets[0].getsockname()[1] for each in started]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def end() -> None:
        for each in started:
            each.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    try:
        yield Office(postman, dict(zip(("starttls", "tls"), ports, strict=True)), folder)
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with running(tmp_path / "office") as made:
        yield made


@cache
def checkpoint(size: int = 5, root: bytes = b"r" * 32) -> bytes:
    return note.sign(note.Checkpoint(origin=ORIGIN, size=size, root=root, at=NOW), SIGNER)


# --- mailing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_checkpoint_is_mailed_and_the_note_in_it_is_the_one_that_was_signed(office: Office, security: str) -> None:
    sent = checkpoint()
    assert office.party(security=security).add(0, [], sent) == asking.Answer(asking.TAKEN, b"")
    (data,) = office.postman.taken
    assert mailed.notes(data) == [sent]
    read = message_from_bytes(data, policy=policy.default)
    assert isinstance(read, EmailMessage)
    assert (read["To"], read["From"], read["Subject"]) == (BOX, "robot@example.com", f"log {ORIGIN} 5")
    text = read.get_content()
    assert proving.code(note.read(sent).checkpoint) in text
    assert "`scraper-agent log verify --mail FILE`" in text
    assert office.postman.logged_in == 1


def test_the_same_checkpoint_is_the_same_mail(office: Office) -> None:
    for _ in range(2):
        office.party().add(0, [], checkpoint())
    first, second = office.postman.taken
    assert first == second


def test_a_server_that_asks_for_no_account_gets_none(tmp_path: Path) -> None:
    with running(tmp_path / "office") as office, pytest.raises(AgentError, match="530"):  # this one asks for one
        office.party(user=None, password=None).add(0, [], checkpoint())
    assert office.postman.logged_in == 0


@pytest.mark.parametrize("what", ["recipient", "data"])
def test_a_mail_that_is_refused_is_told_with_the_servers_words(office: Office, what: str) -> None:
    setattr(office.postman, what, f"550 5.7.1 no such box, and {PASSWORD} is no password")
    with pytest.raises(AgentError) as told:
        office.party().add(0, [], checkpoint())
    assert told.value.code == "SA4132"
    assert str(told.value).splitlines()[0].endswith("550 5.7.1 no such box, and *** is no password")
    assert office.postman.taken == []
    silent(told.value)


def test_a_wrong_password_is_told_without_it(office: Office) -> None:
    with pytest.raises(AgentError, match="535, as robot") as told:
        office.party(WRONG).add(0, [], checkpoint())
    silent(told.value, WRONG)


def silent(error: AgentError, password: str = PASSWORD) -> None:
    """Nothing of it, in any form."""
    forms = [password, *(base64.b64encode(each.encode()).decode() for each in (password, f"\0{USER}\0{password}"))]
    said = [str(error), repr(error), *traceback.format_exception(error), str(error.values)]
    assert not [form for form in forms for text in said if form in text]


@pytest.mark.parametrize("when", ["before", "after"])
def test_where_the_line_is_cut_it_is_mailed_again(office: Office, tmp_path: Path, when: str) -> None:
    """Whether it was taken is not known: a second mail does no harm."""
    clock = Clock(NOW)
    with SqliteArchive(tmp_path / "archive.db", clock) as archive:
        grow(archive, 5)
        anchoring = Anchoring(
            log=archive, origin=ORIGIN, signer=lambda: SIGNER, verify=sm2.verify, now=clock, parties=[office.party()]
        )
        office.postman.hang_up = when
        (told,) = anchoring.anchor()
        assert told.code == "SA4132"
        silent(told)
        assert anchoring.size == 0
        office.postman.hang_up = ""
        clock.later(seconds=60)
        assert anchoring.anchor() == []
        assert anchoring.size == 5
        fact = archive.last(anchor.job_of("box"))
        assert isinstance(fact, Anchored)
        assert fact.at == clock()
        assert len(office.postman.taken) == (2 if when == "after" else 1)
        assert {tuple(mailed.notes(data)) for data in office.postman.taken} == {(archive.get(fact.note),)}


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_nothing_is_mailed_to_a_server_whose_certificate_is_not_its_own(tmp_path: Path, security: str) -> None:
    with running(tmp_path / "office", "mail.example") as office, pytest.raises(AgentError, match="certificate") as told:
        office.party(security=security).add(0, [], checkpoint())
    assert office.postman.logged_in == 0
    silent(told.value)


def test_nothing_is_mailed_to_a_server_of_an_authority_that_is_not_trusted(office: Office, tmp_path: Path) -> None:
    certificates(tmp_path, ("127.0.0.1",))
    with pytest.raises(AgentError, match="certificate verify failed"):
        office.party(ca_file=tmp_path / "ca.pem").add(0, [], checkpoint())
    assert (office.postman.logged_in, office.postman.taken) == (0, [])


class Plain(Recorded):
    """A server that takes mail and has no STARTTLS, as one that somebody on the way answers for."""

    def __init__(self) -> None:
        super().__init__()
        self.says = {"ehlo": "250 hello\r\n", "quit": "221 bye\r\n"}


def test_nothing_goes_in_the_clear_where_the_server_has_no_starttls(office: Office) -> None:
    with Plain() as plain, pytest.raises(AgentError, match="STARTTLS"):
        replace(office, ports={"starttls": plain.port}).party().add(0, [], checkpoint())
    assert {command.split()[0] for command in plain.commands} <= {"ehlo", "quit"}


class Slow(Recorded):
    """Never ends its first line."""

    def serve(self, client: Any) -> None:
        while client.wfile.write(b"2"):  # until the client hangs up
            time.sleep(0.01)


def test_a_server_that_never_ends_its_line_is_left(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "_TIMEOUT_S", 0.3)
    with Slow() as slow, pytest.raises(AgentError, match="SA4132"):
        replace(office, ports={"starttls": slow.port}).party().add(0, [], checkpoint())


@pytest.mark.parametrize(
    "other",
    [
        {"user": None},
        {"password": None},
        {"to": "a@example.com\nBcc: b@example.com"},
        {"to": "a@example.com, b@example.com"},
        {"sender": "nobody"},
        {"security": "none"},
        {"host": "mail example"},
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(office: Office, other: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        mail.Config.model_validate(office.config().model_dump() | other)


def test_no_password_is_asked_for_before_a_mail_is_sent(office: Office) -> None:
    def ask(_place: SecretPlace, _name: str) -> SecretStr:
        pytest.fail("asked")

    party = witnesses.connect(office.config(), ask)
    assert party is not None
    assert list(party.kept(ORIGIN)) == []
    assert "CANARY" not in repr(party)


# --- what was saved -------------------------------------------------------------------------------------------------


def eml(note_text: bytes = b"", **headers: str) -> bytes:
    sent = mailed.message(note_text or checkpoint(), "robot@example.com", BOX)
    return "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()).encode() + sent


def saved(tmp_path: Path, data: bytes, keys: tuple[str, ...] = (SIGNER.public_key,)) -> list[bytes]:
    path = tmp_path / "one.eml"
    path.write_bytes(data)
    (one,) = mailed.saved(path, keys, sm2.verify)
    return list(one.kept(ORIGIN))


def test_a_saved_mail_gives_back_its_note_whatever_the_mailbox_added(tmp_path: Path) -> None:
    stamped = eml(Received="from a by b", X_Spam="no", Authentication_Results="none")
    assert saved(tmp_path, stamped) == [checkpoint()]
    assert saved(tmp_path, stamped.replace(b"\r\n", b"\n")) == saved(tmp_path, stamped)


def footed(data: bytes) -> bytes:
    """As a gateway sends it on, with a footer."""
    outer = EmailMessage(policy.SMTP)
    outer["Subject"] = "log"
    inner = message_from_bytes(data, policy=policy.SMTP)
    assert isinstance(inner, EmailMessage)
    outer.make_mixed()
    del inner["From"], inner["To"], inner["Subject"], inner["Date"], inner["Message-ID"]
    outer.attach(inner)
    outer.add_attachment(b"MZ", maintype="application", subtype="octet-stream", filename="run.exe")
    return outer.as_bytes()


def test_a_note_is_found_in_a_mail_with_other_parts(tmp_path: Path) -> None:
    assert saved(tmp_path, footed(eml()))


def attached(note_text: bytes) -> bytes:
    made = EmailMessage(policy.SMTP)
    made.set_content("see the attachment")
    inside = b"-----BEGIN CHECKPOINT-----\n" + note_text + b"-----END CHECKPOINT-----\n"
    made.add_attachment(inside.decode(), filename="note.txt")
    return made.as_bytes()


USELESS: dict[str, bytes] = {
    "empty": b"",
    "no mail": b"\0" * 4000,
    "another key": eml(note.sign(note.read(checkpoint()).checkpoint, OTHER)),
    "another log": eml(note.sign(replace(note.read(checkpoint()).checkpoint, origin="other"), SIGNER)),
    "other size": eml().replace(b"\r\n5\r\n", b"\r\n6\r\n"),
    "cut off": eml()[:-80],
    "attachment": attached(checkpoint()),
    "too long": eml() + b"x" * mailed.MOST_BYTES,
    "nested": b"".join(b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(900)),
    "nested in mails": b"Content-Type: message/rfc822\n\n" * 3000,
    "unknown encoding": eml().replace(b"quoted-printable", b"x-uuencode"),
    "unknown charset": eml().replace(b"utf-8", b"utf-99").replace(b"BEGIN", b"BEGAN"),
}


@pytest.mark.parametrize("data", USELESS.values(), ids=USELESS)
def test_a_mail_without_a_checkpoint_that_holds_proves_nothing(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(AgentError, match="proves nothing") as told:
        saved(tmp_path, data)
    assert told.value.code == "SA5092"


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_mail_that_was_tampered_with_gives_the_same_note_or_none(data: st.DataObject) -> None:
    whole = bytearray(eml())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ValueError):
        for found in mailed.notes(bytes(whole)):
            with suppress(ValueError):
                read = note.read(found)
                if note.signed(read, SIGNER.public_key, sm2.verify):
                    assert read.text == note.read(checkpoint()).text


def test_a_folder_of_mails_is_read_and_nothing_else_in_it(tmp_path: Path) -> None:
    for size in (3, 5):
        (tmp_path / f"{size}.eml").write_bytes(eml(checkpoint(size)))
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    (tmp_path / "folder.eml").mkdir()
    os.mkfifo(tmp_path / "pipe.eml")
    found = mailed.saved(tmp_path, [SIGNER.public_key], sm2.verify)
    assert [each.name for each in found] == ["3.eml", "5.eml"]


@pytest.mark.parametrize("name", ["none.eml", "empty"])
def test_a_place_without_mails_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(AgentError, match="has 0 mails"):
        mailed.saved(tmp_path / name, [SIGNER.public_key], sm2.verify)
