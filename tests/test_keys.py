"""Keys over their life: made or taken in, planned, active, retired, revoked; what signs when, and what the log says."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from loguru import logger
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from scraper_agent import app as wiring
from scraper_agent import canonical, envelope, signing
from scraper_agent.app import App
from scraper_agent.archive import verify as verifying
from scraper_agent.cli import build, commands
from scraper_agent.errors import AgentError, NeedsPerson, UsageError
from scraper_agent.signing import keyfile, keyfolder, rotation, sm2, sm2_file
from scraper_agent.signing.keystate import KeyEntry
from scraper_agent.values import KeyChanged

PASSPHRASE = SecretStr("trusty battery 口令")
NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
LATER = datetime(2026, 12, 1, 0, 0, tzinfo=timezone(timedelta(hours=8)))
SECOND = timedelta(seconds=1)
D = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
KEY = keyfile.PrivateKey(d=D, public_key=sm2.derive_public(D))
AK = "310001"
SWITCH = keyfolder.Switch(ak=AK)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty key folder, with fast key files."""
    monkeypatch.setattr(keyfile, "ITERATIONS", 1000)
    return tmp_path / "keys"


@pytest.fixture
def one(folder: Path) -> Path:
    """With key 01, which signs."""
    keyfolder.create(folder, PASSPHRASE, NOW)
    return folder


def states(folder: Path, now: datetime) -> dict[str, str]:
    return {entry.sk: entry.state(now).value for entry in keyfolder.entries(folder)}


# --- states ---------------------------------------------------------------------------------------------------------


def entry(**change: object) -> KeyEntry:
    data = {
        "sk": "01",
        "public_key": KEY.public_key,
        "fingerprint": keyfolder.fingerprint(KEY.public_key),
        "file": "sm2-01.pem",
        "created": NOW,
        "status": "active",
    }
    return KeyEntry.model_validate(data | change)


@pytest.mark.parametrize(
    ("change", "at", "state"),
    [
        ({}, NOW, "active"),
        ({"not_before": LATER}, LATER - SECOND, "planned"),
        ({"not_before": LATER}, LATER, "active"),
        ({"status": "planned", "not_before": LATER}, LATER - timedelta(microseconds=1), "planned"),
        ({"status": "planned", "not_before": LATER}, LATER, "active"),
        ({"status": "planned"}, LATER, "planned"),
        ({"not_after": LATER}, LATER - timedelta(microseconds=1), "active"),
        ({"not_after": LATER}, LATER, "retired"),
        ({"status": "planned", "not_before": NOW, "not_after": LATER}, NOW, "active"),
        ({"status": "planned", "not_before": NOW, "not_after": LATER}, LATER, "retired"),
        ({"status": "retired"}, NOW, "retired"),
        ({"status": "revoked", "revoked": NOW}, NOW - SECOND, "revoked"),
        ({"status": "revoked", "revoked": NOW, "not_after": NOW}, LATER, "revoked"),
    ],
)
def test_state_at_the_second(change: dict[str, object], at: datetime, state: str) -> None:
    assert entry(**change).state(at) == state


def test_lists_of_an_earlier_version_are_read(folder: Path) -> None:
    made = [entry(status=status).model_dump(mode="json", exclude_defaults=True) for status in ("active",)]
    other = sm2.derive_public(D + 1)
    made.append(made[0] | {"sk": "02", "file": "sm2-02.pem", "status": "retired", "public_key": other})
    made[1]["fingerprint"] = keyfolder.fingerprint(other)
    assert set(made[0]) == {"sk", "public_key", "fingerprint", "file", "created", "status"}
    folder.mkdir()
    (folder / "keys.json").write_text(json.dumps(made))
    assert states(folder, NOW) == {"01": "active", "02": "retired"}
    assert keyfolder.current(folder, NOW).sk == "01"


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"status": "revoked"}, "0: Value error, `revoked` is the moment"),
        ({"revoked": "2026-11-20T08:00:00Z"}, "0: Value error, `revoked` is the moment"),
        ({"status": "lost"}, "0.status: Input should be"),
        ({"not_before": "2026-11-20T08:00:00"}, "0.not_before: Input should have timezone info"),
        ({"not_after": "tomorrow"}, "0.not_after: Input should be a valid datetime"),
    ],
)
def test_list_with_an_impossible_state_is_damaged(one: Path, change: dict[str, str], seen: str) -> None:
    path = one / "keys.json"
    path.write_text(json.dumps([json.loads(path.read_text())[0] | change]))
    with pytest.raises(UsageError) as caught:
        keyfolder.entries(one)
    assert str(caught.value).startswith(f"SA3008 the list of keys {path} is damaged: {seen}")


def test_one_key_under_two_indices_is_damage(one: Path) -> None:
    path = one / "keys.json"
    (only,) = json.loads(path.read_text())
    path.write_text(json.dumps([only, only | {"sk": "02", "file": "sm2-02.pem"}]))
    with pytest.raises(UsageError, match="damaged: public_key"):
        keyfolder.entries(one)


# --- which key signs ------------------------------------------------------------------------------------------------


def test_the_key_with_the_latest_start_signs(one: Path) -> None:
    keyfolder.create(one, PASSPHRASE, NOW, start=LATER)
    assert keyfolder.current(one, LATER - SECOND).sk == "01"
    assert keyfolder.current(one, LATER).sk == "02"


def test_no_key_or_none_that_signs_is_told_with_their_states(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"SA3026 no key in .* signs now; its keys are: -\n"):
        keyfolder.current(folder, NOW)
    keyfolder.create(folder, PASSPHRASE, NOW, start="planned")
    keyfolder.create(folder, PASSPHRASE, NOW)
    keyfolder.revoke(folder, "02", "lost", NOW)
    with pytest.raises(UsageError, match=r"its keys are: 01 planned, 02 revoked\n"):
        keyfolder.current(folder, NOW)


def test_nobody_guesses_between_two_keys(one: Path) -> None:
    keyfolder.create(one, PASSPHRASE, NOW)
    with pytest.raises(UsageError, match=r"SA3027 several keys in .* may sign now: 01, 02\n"):
        keyfolder.current(one, NOW)
    assert keyfolder.chosen(one, "01", NOW).sk == "01"


def configured(folder: Path, key: str | None = None) -> sm2_file.Config:
    return sm2_file.Config(kind="file", folder=folder, key=key)


class Watch:
    """A clock that is set by hand."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def test_a_planned_key_signs_from_its_second_on(folder: Path) -> None:
    keyfolder.create(folder, PASSPHRASE, NOW, start=LATER)
    with pytest.raises(UsageError, match=r"SA3022 key 01 in .* does not sign before 20"):
        signing.connect(configured(folder, "01"), PASSPHRASE, Watch(LATER - SECOND))
    signer = signing.connect(configured(folder, "01"), PASSPHRASE, Watch(LATER))
    assert sm2.verify(signer.public_key, b"message", signer.sign(b"message"))


def test_a_planned_key_without_a_day_does_not_sign(folder: Path) -> None:
    keyfolder.create(folder, PASSPHRASE, NOW, start="planned")
    with pytest.raises(UsageError, match=r"SA3023 key 01 .*\nhint: .*`scraper-agent key rotate --to 01`"):
        signing.connect(configured(folder, "01"), PASSPHRASE, Watch(LATER))


def test_an_open_signer_ends_with_its_key(one: Path) -> None:
    clock = Watch(NOW)
    signer = signing.connect(configured(one), PASSPHRASE, clock)
    keyfolder.rotate(one, PASSPHRASE, NOW, keyfolder.Switch(ak=AK, at=LATER))
    clock.now = LATER - timedelta(microseconds=1)
    signer.sign(b"message")
    clock.now = LATER
    with pytest.raises(UsageError, match=r"SA3024 key 01 in .* signs no more since 20"):
        signer.sign(b"message")


def test_an_open_signer_hears_of_a_revocation(one: Path) -> None:
    signer = signing.connect(configured(one), PASSPHRASE, Watch(NOW))
    keyfolder.revoke(one, "01", "stolen", NOW)
    with pytest.raises(UsageError, match=r"SA3025 key 01 in .* was revoked on 20.*: stolen\n"):
        signer.sign(b"message")
    with pytest.raises(UsageError, match="SA3025"):
        signing.connect(configured(one, "01"), PASSPHRASE, Watch(NOW))


# --- rotation -------------------------------------------------------------------------------------------------------


def test_rotation_at_once(one: Path) -> None:
    old, new, path = keyfolder.rotate(one, PASSPHRASE, NOW, SWITCH)
    assert (old.sk, old.status, old.not_after) == ("01", "retired", NOW)
    assert (new.sk, new.status, new.not_before) == ("02", "active", NOW)
    assert keyfolder.entries(one) == (old, new)
    assert path.name == "rotation-01-02.json"
    assert keyfolder.current(one, NOW) == new


def test_rotation_at_a_day(one: Path) -> None:
    old, new, path = keyfolder.rotate(one, PASSPHRASE, NOW, keyfolder.Switch(ak=AK, at=LATER))
    assert states(one, LATER - SECOND) == {"01": "active", "02": "planned"}
    assert states(one, LATER) == {"01": "retired", "02": "active"}
    assert [keyfolder.current(one, at).sk for at in (NOW, LATER - SECOND, LATER)] == ["01", "01", "02"]
    said = rotation.read(path)
    assert (said.ak, said.issued, said.not_before) == (AK, NOW, LATER)
    assert (said.old.sk, said.old.public_key) == ("01", old.public_key)
    assert (said.new.sk, said.new.public_key) == ("02", new.public_key)


def test_rotation_to_a_key_that_the_receiving_side_knows_by_now(one: Path) -> None:
    planned = keyfolder.create(one, PASSPHRASE, NOW, start="planned")
    _, new, path = keyfolder.rotate(one, PASSPHRASE, LATER, keyfolder.Switch(ak=AK, new="02"))
    assert new.public_key == planned.public_key
    assert states(one, LATER) == {"01": "retired", "02": "active"}
    assert rotation.read(path).new.public_key == planned.public_key


def test_openssl_verifies_the_statement_under_both_keys(one: Path, tmp_path: Path) -> None:
    *pair, path = keyfolder.rotate(one, PASSPHRASE, NOW, SWITCH)
    said = json.loads(path.read_bytes())
    kind, payload = said["payloadType"].encode(), base64.b64decode(said["payload"])
    message = tmp_path / "message"
    message.write_bytes(b" ".join([b"DSSEv1", b"%d" % len(kind), kind, b"%d" % len(payload), payload]))
    for key, signature in zip(pair, said["signatures"], strict=True):
        assert isinstance(key, KeyEntry)
        assert signature["keyid"] == key.sk
        (tmp_path / "public.pem").write_text(keyfile.public_pem(key.public_key))
        (tmp_path / "sig.der").write_bytes(sm2.signature_to_der(base64.b64decode(signature["sig"])))
        command = "openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in message -sigfile sig.der -digest sm3"
        said = subprocess.run(
            [*command.split(), "-pkeyopt", "distid:1234567812345678"], cwd=tmp_path, capture_output=True, check=True
        )
        assert b"Verified Successfully" in said.stdout


def test_a_statement_is_never_taken_for_a_request(one: Path) -> None:
    """What is signed of a request is ak ‖ ts ‖ …; a statement's seventh byte is a space, which no time begins with."""
    *_, path = keyfolder.rotate(one, PASSPHRASE, NOW, SWITCH)
    said = json.loads(path.read_bytes())
    payload = base64.b64decode(said["payload"])
    signed = canonical.pae(payload, rotation.TYPE)
    assert signed[:7] == b"DSSEv1 "
    public_key = rotation.read(path).old.public_key
    signature = base64.b64decode(said["signatures"][0]["sig"])
    assert sm2.verify(public_key, signed, signature)
    assert not sm2.verify(public_key, payload, signature)
    for raw in (path.read_bytes(), payload, signed):
        with pytest.raises(envelope.RequestInvalid):
            envelope.read_request(raw)


def test_no_changed_byte_of_a_statement_is_overlooked(one: Path) -> None:
    *_, path = keyfolder.rotate(one, PASSPHRASE, NOW, SWITCH)
    whole = path.read_bytes()
    for position in range(0, len(whole), 19):
        changed = bytearray(whole)
        changed[position] ^= 0x01
        path.write_bytes(changed)
        with pytest.raises(UsageError, match=r"SA3031 .*rotation-01-02\.json is not a rotation statement that holds"):
            rotation.read(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda it: it["signatures"].reverse(), "signature of 01"),
        (lambda it: it["signatures"].pop(), "signatures"),
        (lambda it: it["signatures"].append(it["signatures"][0]), "signatures"),
        (lambda it: it["signatures"][1].update(sig=it["signatures"][0]["sig"]), "signature of 02"),
        (lambda it: it.update(payloadType="application/json"), "a statement of the type application/json"),
        (lambda it: it.update(payload=base64.b64encode(b"{}").decode()), "ak"),
        (lambda it: it.update(payload=it["payload"] + "\n"), "spelled otherwise"),
        (lambda it: it.update(more=1), "more"),
    ],
    ids=["swapped", "one", "three", "same twice", "type", "payload", "spelling", "more"],
)
def test_statement_that_does_not_hold_says_why(
    one: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    *_, path = keyfolder.rotate(one, PASSPHRASE, NOW, SWITCH)
    said = json.loads(path.read_bytes())
    change(said)
    path.write_text(json.dumps(said, indent=2) + "\n")
    with pytest.raises(UsageError) as caught:
        rotation.read(path)
    assert caught.value.code == "SA3031"
    assert reason in str(caught.value)


def test_missing_statement_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"SA3031 .*No such file"):
        rotation.read(tmp_path / "rotation-01-02.json")


def test_a_second_rotation_waits_for_the_first_and_a_revoked_successor_takes_it_back(one: Path) -> None:
    switch = keyfolder.Switch(ak=AK, at=LATER)
    keyfolder.rotate(one, PASSPHRASE, NOW, switch)
    with pytest.raises(UsageError, match=r"SA3028 key 01 in .* gives way to 02 on 20"):
        keyfolder.rotate(one, PASSPHRASE, NOW, SWITCH)
    keyfolder.revoke(one, "02", "made by mistake", NOW)
    assert states(one, LATER) == {"01": "active", "02": "revoked"}
    keyfolder.rotate(one, PASSPHRASE, NOW, switch)
    assert states(one, LATER) == {"01": "retired", "02": "revoked", "03": "active"}


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("01", "01", "SA3032"),
        ("02", None, "SA3025"),
        ("01", "02", "SA3025"),
        ("03", None, "SA3023"),
        ("09", None, "SA3009"),
    ],
    ids=["itself", "revoked old", "revoked new", "planned old", "unknown"],
)
def test_keys_that_cannot_give_way(one: Path, old: str, new: str | None, code: str) -> None:
    keyfolder.create(one, PASSPHRASE, NOW)
    keyfolder.revoke(one, "02", "stolen", NOW)
    keyfolder.create(one, PASSPHRASE, NOW, start="planned")
    before = (one / "keys.json").read_bytes()
    with pytest.raises(UsageError) as caught:
        keyfolder.rotate(one, PASSPHRASE, NOW, keyfolder.Switch(ak=AK, old=old, new=new))
    assert caught.value.code == code
    assert (one / "keys.json").read_bytes() == before
    assert not list(one.glob("rotation*"))


def test_rotation_with_a_wrong_passphrase_changes_nothing(one: Path) -> None:
    before = sorted(path.name for path in one.iterdir())
    with pytest.raises(NeedsPerson, match="SA3005"):
        keyfolder.rotate(one, SecretStr("something else"), NOW, SWITCH)
    assert sorted(path.name for path in one.iterdir()) == before


def test_revoking_twice_says_since_when(one: Path) -> None:
    keyfolder.revoke(one, "01", "stolen", NOW)
    with pytest.raises(UsageError, match=r"SA3025 .*: stolen"):
        keyfolder.revoke(one, "01", "again", LATER)
    assert keyfolder.find(one, "01").revoked == NOW


# --- indices, crashes -----------------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


def killed(*_: object) -> None:
    raise Killed


CHANGES: dict[str, Callable[[Path, keyfolder.Journal], object]] = {
    "create": lambda folder, log: keyfolder.create(folder, PASSPHRASE, NOW, log),
    "adopt": lambda folder, log: keyfolder.adopt(folder, KEY, PASSPHRASE, NOW, log),
    "rotate": lambda folder, log: keyfolder.rotate(folder, PASSPHRASE, NOW, SWITCH, log),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("at", ["log", "list"])
def test_killed_in_the_middle_the_index_is_used_and_the_old_key_signs(
    one: Path, change: Callable[[Path, keyfolder.Journal], object], at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = keyfolder.Journal(record=killed if at == "log" else keyfolder.unrecorded)
    with monkeypatch.context() as patch:
        if at == "list":
            patch.setattr(keyfolder, "_save", killed)
        with pytest.raises(Killed):
            change(one, log)
    assert states(one, NOW) == {"01": "active"}
    assert keyfolder.create(one, PASSPHRASE, NOW).sk == "03"


def test_rotation_that_was_killed_can_be_done_again(one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyfolder.create(one, PASSPHRASE, NOW, start="planned")
    switch = keyfolder.Switch(ak=AK, new="02")
    with pytest.raises(Killed):
        keyfolder.rotate(one, PASSPHRASE, NOW, switch, keyfolder.Journal(record=killed))
    *_, path = keyfolder.rotate(one, PASSPHRASE, LATER, switch)
    assert rotation.read(path).not_before == LATER
    assert states(one, LATER) == {"01": "retired", "02": "active"}


def test_the_log_is_told_before_the_list_says_so(one: Path) -> None:
    """So that no key ever signs that the log does not know."""
    seen: list[tuple[list[str], dict[str, str], bool]] = []

    def record(steps: tuple[keyfolder.Step, ...], statement: bytes | None) -> None:
        told = [f"{step.action} {step.entry.sk}" for step in steps]
        seen.append((told, states(one, NOW), statement is not None))
        assert all((one / step.entry.file).exists() for step in steps)

    log = keyfolder.Journal(record=record)
    keyfolder.rotate(one, PASSPHRASE, NOW, SWITCH, log)
    keyfolder.create(one, PASSPHRASE, NOW, log, start="planned")
    keyfolder.adopt(one, KEY, PASSPHRASE, NOW, log, start=LATER)
    keyfolder.revoke(one, "02", "stolen", NOW, log)
    assert [(told, statement) for told, _, statement in seen] == [
        (["made 02", "activated 02", "retired 01"], True),
        (["made 03"], False),
        (["imported 04", "activated 04"], False),
        (["revoked 02"], False),
    ]
    assert [before for _, before, _ in seen] == [
        {"01": "active"},
        {"01": "retired", "02": "active"},
        {"01": "retired", "02": "active", "03": "planned"},
        {"01": "retired", "02": "active", "03": "planned", "04": "planned"},
    ]


def test_an_index_that_only_the_log_remembers_is_not_used_again(folder: Path) -> None:
    log = keyfolder.Journal(used=frozenset({"01", "07"}))
    assert keyfolder.create(folder, PASSPHRASE, NOW, log).sk == "08"
    with pytest.raises(UsageError, match="SA3029 the key index 07 has been used"):
        keyfolder.adopt(folder, KEY, PASSPHRASE, NOW, log, sk="07")


def test_a_revoked_index_is_not_used_again(one: Path) -> None:
    keyfolder.revoke(one, "01", "stolen", NOW)
    with pytest.raises(UsageError, match="SA3029 the key index 01 has been used"):
        keyfolder.adopt(one, KEY, PASSPHRASE, NOW, sk="01")
    assert keyfolder.create(one, PASSPHRASE, NOW).sk == "02"


def test_after_index_99_there_is_no_other(folder: Path) -> None:
    keyfolder.adopt(folder, KEY, PASSPHRASE, NOW, sk="99")
    for change in (CHANGES["create"], CHANGES["rotate"]):
        with pytest.raises(UsageError, match="SA3010 all key indices up to 99 are used"):
            change(folder, keyfolder.NO_JOURNAL)
    assert states(folder, NOW) == {"99": "active"}
    assert sorted(path.name for path in folder.iterdir()) == ["keys.json", "sm2-99.pem"]


# --- keys of others -------------------------------------------------------------------------------------------------

GMSSL_JAVA = """\
MIIBBjBhBgkqhkiG9w0BBQ0wVDA0BgkqhkiG9w0BBQwwJwQQxShg35gP7+BVnsLo
NzYroAIDAQAAAgEQMAsGCSqBHM9VAYMRAjAcBggqgRzPVQFoAgQQrZf0pC2mC52m
cEaC9goJUQSBoGENSQLgigHQUFF7qAOnJQP6erD1vTBQYWWD1aiXGFpLvhPunZ3m
oWOagyqiGmsoV9aSTWMp20ZLiDR+s7pRv8NM0+vspmDUvmb+LUh0zjrrtJqkzr+Q
kdfrXD9Utsqx+PqrzBw/PRMDIRKrJeUtqtkerCnsSUN3CpnpAMSTnQUrTt1mQXyU
dDj7NnOwCbab9km8fzbaXfJlWZYZPsyFJqw=
"""
"""Printed in the manual of GmSSL-Java, with its passphrase; GmSSL 3 made it."""
GMSSL_PYTHON = """\
MIIBBjBhBgkqhkiG9w0BBQ0wVDA0BgkqhkiG9w0BBQwwJwQQaADudE4Ycenuoth4
ZqcewgIDAQAAAgEQMAsGCSqBHM9VAYMRAjAcBggqgRzPVQFoAgQQ9aUmOaXn0mZD
7xhBdd+FlQSBoKc0GG7US2SsmQIrppPNQeyDFpG8xthNI6G4R/YbSPJCvSMJ/9y3
LQ/jrdUumuKevgg9miAcjbKndm7HC07lMYUk1ZXlaEG/1awER4RJsRvZ64GlBQOV
D7jbu93mSs9t3SDt4TniDua5WyXo5Y8S6DjkkUD5epHRzYZ4uFFC/8pTeehK7X+S
p2b6CndfB6H4LrvCGuRnjX4l5Q5AgfWDmWU=
"""
"""The same of GmSSL-Python."""


def pem(text: str) -> str:
    return f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{text}-----END ENCRYPTED PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("text", "passphrase", "public_key"),
    [
        (GMSSL_JAVA, "Password", "434e452a371bc2ed8bc0b1e9d9bbda718501528a51875e373eb34c14d4f49483"),
        (GMSSL_PYTHON, "password", "e5d8e9f86c3f59d83d2705706038909f502871ecc80b6a93e787ea2413567af0"),
    ],
    ids=["GmSSL-Java", "GmSSL-Python"],
)
def test_published_keys_of_gmssl_are_read(tmp_path: Path, text: str, passphrase: str, public_key: str) -> None:
    path = tmp_path / "sm2.pem"
    path.write_text(pem(text))
    assert keyfile.read_foreign(path, SecretStr(passphrase)).public_key[:64] == public_key
    with pytest.raises(NeedsPerson, match=r"SA3005 wrong passphrase for key file .*sm2\.pem"):
        keyfile.read_foreign(path, SecretStr("PASSWORD"))


def tlv(tag: int, *parts: bytes) -> bytes:
    """DER by another route than the program's."""
    content = b"".join(parts)
    size = len(content)
    return (
        bytes([tag])
        + (
            bytes([size])
            if size < 128
            else b"\x81" + bytes([size])
            if size < 256
            else b"\x82" + size.to_bytes(2, "big")
        )
        + content
    )


def oid(text: str) -> bytes:
    return tlv(6, bytes.fromhex(text))


EC, SM2, P256 = oid("2a8648ce3d0201"), oid("2a811ccf5501822d"), oid("2a8648ce3d030107")
PBES2, PBKDF2 = oid("2a864886f70d01050d"), oid("2a864886f70d01050c")
HMAC_SM3, HMAC_SHA1 = oid("2a811ccf5501831102"), oid("2a864886f70d0207")
SM4_CBC, SM4_ECB = oid("2a811ccf55016802"), oid("2a811ccf55016801")
SALT, IV = bytes(range(16)), bytes(range(16, 32))
ROUNDS = 3
ZERO, ONE = b"\x02\x01\x00", b"\x02\x01\x01"
SCALAR = tlv(4, D.to_bytes(32, "big"))
POINT = tlv(0xA1, tlv(3, bytes.fromhex("0004" + KEY.public_key)))


def ec_key(
    version: bytes = ONE, scalar: bytes = SCALAR, curve: bytes = tlv(0xA0, SM2), point: bytes = POINT, more: bytes = b""
) -> bytes:
    return tlv(0x30, version, scalar, curve, point, more)


def info(version: bytes = ZERO, algorithm: bytes = EC + SM2, key: bytes | None = None, more: bytes = b"") -> bytes:
    return tlv(0x30, version, tlv(0x30, algorithm), tlv(4, ec_key() if key is None else key), more)


def encrypted(plain: bytes, *, pad: bool = True) -> bytes:
    """As GmSSL: SM4-CBC under PBKDF2-HMAC-SM3, by hashlib."""
    key = hashlib.pbkdf2_hmac("sm3", PASSPHRASE.get_secret_value().encode(), SALT, ROUNDS, 16)
    size = 16 - len(plain) % 16
    encryptor = Cipher(algorithms.SM4(key), modes.CBC(IV)).encryptor()
    return encryptor.update(plain + bytes([size]) * size if pad else plain) + encryptor.finalize()


def gmssl(  # noqa: PLR0913 - each part may be the one that is wrong
    secret: bytes | None = None,
    *,
    scheme: bytes = PBES2,
    derivation: bytes = PBKDF2,
    salt: bytes = tlv(4, SALT),
    rounds: bytes = tlv(2, bytes([ROUNDS])),
    size: bytes = tlv(2, b"\x10"),
    prf: bytes = tlv(0x30, HMAC_SM3),
    cipher: bytes = SM4_CBC + tlv(4, IV),
    more: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """EncryptedPrivateKeyInfo."""
    kdf = tlv(0x30, derivation, tlv(0x30, salt, rounds, size, prf))
    algorithm = tlv(0x30, scheme, tlv(0x30, kdf, tlv(0x30, cipher)))
    return tlv(0x30, algorithm, tlv(4, encrypted(info()) if secret is None else secret), more) + after


def as_pem(encoded: bytes) -> str:
    return pem(base64.encodebytes(encoded).decode())


GOOD = {
    "as GmSSL writes": gmssl(),
    "no key length": gmssl(size=b""),
    "NULL after HMAC-SM3": gmssl(prf=tlv(0x30, HMAC_SM3, b"\x05\x00")),
    "no parameters of the curve": gmssl(encrypted(info(key=ec_key(curve=b"")))),
    "no public key": gmssl(encrypted(info(key=ec_key(point=b"")))),
}


@pytest.mark.parametrize("encoded", GOOD.values(), ids=GOOD)
def test_what_gmssl_may_write_is_read(tmp_path: Path, encoded: bytes) -> None:
    path = tmp_path / "sm2.pem"
    path.write_text(as_pem(encoded))
    assert keyfile.read_foreign(path, PASSPHRASE) == KEY


def other_d(d: int, size: int = 32) -> bytes:
    return gmssl(encrypted(info(key=ec_key(scalar=tlv(4, d.to_bytes(size, "big")), point=b""))))


def point_of(bits: str) -> bytes:
    return tlv(0xA1, tlv(3, bytes.fromhex(bits)))


BAD = {
    "nothing": b"",
    "one byte": b"\x30",
    "indefinite length": b"\x30\x80" + gmssl()[4:] + b"\x00\x00",
    "length not shortest": b"\x30\x83\x00" + gmssl()[2:],
    "cut": gmssl()[:-1],
    "byte after": gmssl(after=b"\x00"),
    "element more": gmssl(more=b"\x05\x00"),
    "another tag": b"\x31" + gmssl()[1:],
    "PBES1": gmssl(scheme=oid("2a864886f70d010503")),
    "scrypt": gmssl(derivation=oid("2b06010401da47040b")),
    "salt a number": gmssl(salt=tlv(2, b"\x07")),
    "salt missing": gmssl(salt=b""),
    "no rounds": gmssl(rounds=tlv(2, b"\x00")),
    "negative rounds": gmssl(rounds=tlv(2, b"\xff")),
    "rounds with a needless zero": gmssl(rounds=tlv(2, b"\x00\x03")),
    "rounds for hours": gmssl(rounds=tlv(2, b"\x7f" * 8)),
    "key length of AES": gmssl(size=tlv(2, b"\x20")),
    "key length zero": gmssl(size=tlv(2, b"\x00")),
    "SHA-1 by default": gmssl(prf=b""),
    "SHA-1 by name": gmssl(prf=tlv(0x30, HMAC_SHA1, b"\x05\x00")),
    "NULL that is not empty": gmssl(prf=tlv(0x30, HMAC_SM3, b"\x05\x01\x00")),
    "element after the hash": gmssl(prf=tlv(0x30, HMAC_SM3, b"\x05\x00\x05\x00")),
    "element after the parameters": gmssl(prf=tlv(0x30, HMAC_SM3) + b"\x05\x00"),
    "SM4-ECB": gmssl(cipher=SM4_ECB + tlv(4, IV)),
    "no IV": gmssl(cipher=SM4_CBC),
    "short IV": gmssl(cipher=SM4_CBC + tlv(4, IV[:8])),
    "long IV": gmssl(cipher=SM4_CBC + tlv(4, IV + IV)),
    "element after the IV": gmssl(cipher=SM4_CBC + tlv(4, IV) + b"\x05\x00"),
    "no ciphertext": gmssl(b"\x00" * 0),
    "half a block": gmssl(encrypted(info())[:-8]),
    "a block less": gmssl(encrypted(info())[:-16]),
    "no padding": gmssl(encrypted(info()[:144], pad=False)),
    "padding of zeros": gmssl(encrypted(info().ljust(160, b"\0"), pad=False)),
    "padding of 17": gmssl(encrypted(b"\x11" * 32, pad=False)),
    "no structure": gmssl(encrypted(b"hello")),
    "byte after the key": gmssl(encrypted(info() + b"\x00")),
    "another version": gmssl(encrypted(info(version=ONE))),
    "RSA": gmssl(encrypted(info(algorithm=oid("2a864886f70d010101") + b"\x05\x00"))),
    "P-256": gmssl(encrypted(info(algorithm=EC + P256))),
    "no curve": gmssl(encrypted(info(algorithm=EC))),
    "attributes": gmssl(encrypted(info(more=tlv(0xA0)))),
    "key that is none": gmssl(encrypted(info(key=b"\x05\x00"))),
    "byte after the inner key": gmssl(encrypted(info(key=ec_key() + b"\x00"))),
    "inner version 2": gmssl(encrypted(info(key=ec_key(version=tlv(2, b"\x02"))))),
    "P-256 within": gmssl(encrypted(info(key=ec_key(curve=tlv(0xA0, P256))))),
    "curve and more within": gmssl(encrypted(info(key=ec_key(curve=tlv(0xA0, SM2, b"\x05\x00"))))),
    "public key of another": gmssl(encrypted(info(key=ec_key(point=point_of("0004" + sm2.derive_public(D + 1)))))),
    "compressed public key": gmssl(encrypted(info(key=ec_key(point=point_of("0002" + KEY.public_key[:64]))))),
    "public key and more": gmssl(encrypted(info(key=ec_key(point=tlv(0xA1, POINT[2:], b"\x05\x00"))))),
    "field more": gmssl(encrypted(info(key=ec_key(more=b"\x05\x00")))),
    "d = 0": other_d(0),
    "d = n-1": other_d(sm2.N - 1),
    "d = n": other_d(sm2.N),
    "d = 2^256-1": other_d(2**256 - 1),
    "d in 31 bytes": other_d(1, 31),
    "d in 33 bytes": other_d(D, 33),
    "d a number": gmssl(encrypted(info(key=ec_key(scalar=tlv(2, D.to_bytes(32, "big")))))),
}  # fmt: skip


@pytest.mark.parametrize("encoded", BAD.values(), ids=BAD)
def test_malformed_key_is_not_taken_in_and_not_told(tmp_path: Path, encoded: bytes) -> None:
    path = tmp_path / "sm2.pem"
    path.write_text(as_pem(encoded))
    with pytest.raises(AgentError) as caught:
        keyfile.read_foreign(path, PASSPHRASE)
    assert caught.value.code in ("SA3004", "SA3005")
    assert str(path) in str(caught.value)
    assert f"{D:x}" not in str(caught.value)


def test_enough_malformed_keys() -> None:
    assert len(BAD) >= 40


def openssl(*command: str | Path) -> str:
    secret = {"PASS": PASSPHRASE.get_secret_value()}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | secret).stdout


@pytest.mark.parametrize("options", [[], ["-v2", "aes-256-cbc", "-iter", "5000"], ["-v2", "sm4-cbc"]], ids=str)
def test_what_openssl_makes_by_default_is_taken_in_and_sealed_as_ours_are(folder: Path, options: list[str]) -> None:
    plain, sealed = folder.parent / "plain.pem", folder.parent / "sealed.pem"
    openssl("openssl", "genpkey", "-algorithm", "SM2", "-out", plain)
    openssl("openssl", "pkcs8", "-topk8", *options, "-in", plain, "-out", sealed, "-passout", "env:PASS")
    ours = SecretStr("another passphrase")
    made = keyfolder.adopt(folder, keyfile.read_foreign(sealed, PASSPHRASE), ours, NOW, sk="07")
    assert keyfile.public_pem(made.public_key) == openssl("openssl", "pkey", "-in", plain, "-pubout")
    assert keyfile.read(folder / "sm2-07.pem", ours).public_key == made.public_key
    assert keyfolder.create(folder, ours, NOW).sk == "08"
    with pytest.raises(UsageError, match=r"SA3030 this key is in .* already, as 07"):
        keyfolder.adopt(folder, keyfile.read_foreign(sealed, PASSPHRASE), ours, NOW)
    with pytest.raises(NeedsPerson, match="SA3005"):
        keyfile.read_foreign(sealed, SecretStr("wrong one"))


# --- commands -------------------------------------------------------------------------------------------------------

CANARY = "canary passphrase 金丝雀"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder as `init` leaves it, with a passphrase in the environment and fast key files."""
    monkeypatch.setattr(keyfile, "ITERATIONS", 1000)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCRAPER_AGENT_PASSPHRASE", CANARY)
    assert typed("init").exit_code == 0
    yield tmp_path
    logger.remove()


def typed(*words: str) -> Result:
    return CliRunner().invoke(build(), list(words))


def told(*words: str) -> str:
    said = typed(*words)
    assert said.exception is None, said.exception
    return said.stdout


def facts(desk: Path) -> list[KeyChanged]:
    app = App.load(desk / "config.yaml")
    with app.archive(read_only=True) as archive:
        return [fact for fact in archive.job(wiring.KEYS).facts if isinstance(fact, KeyChanged)]


def configure(desk: Path, **change: object) -> None:
    path = desk / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))


def test_the_life_of_keys_is_in_the_log_and_no_secret_anywhere(desk: Path) -> None:
    said = [told("key", "new"), told("key", "new", "--planned"), told("key", "rotate", "--to", "02")]
    said += [told("key", "rotate", "--from", "2099-01-01"), told("key", "revoke", "03", "--reason", "too early")]
    said += [
        told("key", "revoke", "02", "--reason", "stolen"),
        told("key", "new", "--from", "2099-01-01T08:00:00+08:00"),
    ]
    logged = facts(desk)
    assert [(fact.action, fact.sk, fact.reason) for fact in logged] == [
        ("made", "01", ""),
        ("activated", "01", ""),
        ("made", "02", ""),
        ("activated", "02", logged[3].reason),
        ("retired", "01", logged[4].reason),
        ("made", "03", ""),
        ("activated", "03", logged[6].reason),
        ("retired", "02", logged[7].reason),
        ("revoked", "03", "too early"),
        ("activated", "02", "not_after=-"),
        ("revoked", "02", "stolen"),
        ("made", "04", ""),
        ("activated", "04", "not_before=2099-01-01T00:00:00+00:00"),
    ]
    assert logged[3].reason.removeprefix("not_before=") == logged[4].reason.removeprefix("not_after=")
    keys = {entry.sk: entry for entry in keyfolder.entries(desk / "keys")}
    assert {(f.sk, f.public_key, f.fingerprint) for f in logged} == {
        (sk, entry.public_key, entry.fingerprint) for sk, entry in keys.items()
    }
    assert {fact.by for fact in logged} == {f"person:{wiring.account()}"}
    with App.load(desk / "config.yaml").archive(read_only=True) as archive:
        statements = [archive.get(fact.statement) for fact in logged if fact.statement]
    first, second = ((desk / "keys" / f"rotation-{pair}.json").read_bytes() for pair in ("01-02", "02-03"))
    assert statements == [first] * 2 + [second] * 3
    assert verifying.verify(desk / "archive.db").whole
    shown = told("log", "show", "--job", "keys")
    assert [line.split()[3] for line in shown.splitlines()] == ["KeyChanged"] * len(logged)
    said += [shown, told("key", "list"), *(told("key", "show", sk) for sk in keys)]
    secrets = [CANARY, *(f"{keyfile.read(desk / 'keys' / e.file, SecretStr(CANARY)).d:064x}" for e in keys.values())]
    files = [path.read_bytes() for path in desk.rglob("*") if path.is_file()]
    for secret in secrets:
        for written in (*files, *(text.encode() for text in said), *statements):
            assert secret.encode() not in written
            assert base64.b64encode(secret.encode()).rstrip(b"=") not in written


def test_list_shows_states_and_dates(desk: Path) -> None:
    told("key", "new")
    told("key", "rotate", "--from", "2099-01-01")
    told("key", "new", "--planned")
    told("key", "revoke", "03", "--reason", "lost")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in told("key", "list").splitlines()]
    rows = [row[:4] for row in rows if row and row[0]]
    today = f"{wiring.now().astimezone():%Y-%m-%d}"
    assert rows[:2] == [["01", "active", "", "2099-01-01 00:00"], ["02", "planned", "2099-01-01 00:00", ""]]
    assert rows[2][:3] == ["03", "revoked", ""]
    assert rows[2][3].startswith(today)


def test_show_tells_all_of_one_key(desk: Path) -> None:
    told("key", "new")
    told("key", "rotate")
    shown = told("key", "show", "01")
    entry = keyfolder.find(desk / "keys", "01")
    assert "state: retired\n" in shown
    assert f"public key: {entry.public_key}\n" in shown
    assert f"fingerprint (SM3): {entry.fingerprint}\n" in shown
    assert shown.endswith(f"signed by both: {desk / 'keys' / 'rotation-01-02.json'}\n")
    assert "01 gives way to 02 on " in told("key", "show", "02")
    assert typed("key", "show", "09").exception.code == "SA3009"  # type: ignore[union-attr] # an AgentError


def test_public_key_goes_out_as_openssl_reads_it_and_as_hex(desk: Path) -> None:
    told("key", "new")
    public_key = keyfolder.find(desk / "keys", "01").public_key
    assert told("key", "export-public", "01", "--form", "hex") == f"{public_key}\n"
    assert told("key", "export-public", "01") == keyfile.public_pem(public_key)
    assert told("key", "export-public", "01", "--out", "01.pem") == "01.pem\n"
    assert "ASN1 OID: SM2" in openssl("openssl", "pkey", "-pubin", "-in", desk / "01.pem", "-noout", "-text")
    for out, code in (("01.pem", "SA7101"), ("none/01.pem", "SA7107")):
        error = typed("key", "export-public", "01", "--out", out).exception
        assert isinstance(error, UsageError)
        assert error.code == code


def test_import_asks_for_the_files_own_passphrase(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk / "gm.pem").write_text(pem(GMSSL_JAVA))
    asked: list[str] = []

    def prompt(name: str) -> str:
        asked.append(name)
        return "Password"

    monkeypatch.setattr(commands, "_prompt", prompt)
    said = told("key", "import", "gm.pem", "--sk", "07")
    assert said.startswith("07 active ")
    assert asked == ["passphrase of gm.pem"]
    assert keyfile.read(desk / "keys" / "sm2-07.pem", SecretStr(CANARY)).public_key in said
    assert [(fact.action, fact.sk) for fact in facts(desk)] == [("imported", "07"), ("activated", "07")]
    assert b"Password" not in b"".join(p.read_bytes() for p in desk.iterdir() if p.is_file() and p.name != "gm.pem")


def test_import_with_a_wrong_passphrase_is_one_error_and_no_key(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk / "gm.pem").write_text(pem(GMSSL_JAVA))
    monkeypatch.setattr(commands, "_prompt", lambda _: "Passw0rd")
    error = typed("key", "import", "gm.pem").exception
    assert isinstance(error, NeedsPerson)
    assert error.sentence == "wrong passphrase for key file gm.pem"
    assert "Passw0rd" not in str(error)
    assert not (desk / "keys").exists()


def test_two_new_passphrases_that_differ_make_no_key(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(desk, passphrase={})
    monkeypatch.setattr(commands, "_prompt", lambda name: f"a long {name}")
    error = typed("key", "new").exception
    assert isinstance(error, NeedsPerson)
    assert error.code == "SA7106"
    assert not (desk / "keys").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["new", "--from", "tomorrow"], "SA7150"),
        (["new", "--from", "2099-02-30"], "SA7150"),
        (["new", "--from", "20990101"], "SA7150"),
        (["rotate", "--from", "2020-01-01"], "SA7151"),
        (["revoke", "01", "--reason", " "], "SA7152"),
        (["import", "gm.pem", "--sk", "100"], "SA7153"),
        (["rotate"], "SA3026"),
    ],
)
def test_what_is_typed_wrong_is_told(desk: Path, words: list[str], code: str) -> None:
    error = typed("key", *words).exception
    assert isinstance(error, UsageError)
    assert error.code == code
    assert not (desk / "keys" / "keys.json").exists()


def test_who_makes_two_keys_is_told_that_none_signs(desk: Path) -> None:
    assert typed("key", "new").stderr == "Key 01 signs now.\n"
    assert "SA3027 several keys in " in typed("key", "new").stderr


def test_a_config_that_names_the_old_key_is_told_of(desk: Path) -> None:
    told("key", "new")
    configure(desk, signing={"kind": "file", "folder": "keys", "key": "01"})
    assert (
        "The config names key 01 under `signing: key:`; take the line out, or name 02" in typed("key", "rotate").stderr
    )


def test_a_revocation_that_was_cut_off_is_told_until_it_is_repeated(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told("key", "new")
    with monkeypatch.context() as patch:
        patch.setattr(keyfolder, "_save", killed)
        with pytest.raises(Killed):
            typed("key", "revoke", "01", "--reason", "stolen")
    assert [fact.action for fact in facts(desk)] == ["made", "activated", "revoked"]
    assert "key 01 is at its end, the list does not" in typed("key", "list").stderr
    told("key", "revoke", "01", "--reason", "stolen")
    assert typed("key", "list").stderr == ""


def test_the_agent_signs_with_the_key_of_the_hour(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told("key", "new")
    told("key", "rotate", "--from", "2099-01-01T00:00:00Z")
    app = App.load(desk / "config.yaml")
    first = app.signer
    assert (first.key_index, app.signer) == ("01", first)
    switch = datetime(2099, 1, 1, tzinfo=UTC)
    monkeypatch.setattr(wiring, "now", lambda: switch)
    assert app.signer.key_index == "02"
    monkeypatch.setattr(wiring, "now", lambda: switch - SECOND)
    assert app.signer.key_index == "01"


def test_openssl_reads_key_files_as_the_documentation_says(desk: Path) -> None:
    told("key", "new")
    page = (Path(__file__).parents[1] / "docs" / "keys.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("openssl pkey -in keys/sm2-01.pem")]
    environment = os.environ | {"PASS": CANARY}
    said = [
        subprocess.run(
            ["sh", "-c", line.replace(".pem", ".pem -passin env:PASS")],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for line in lines
    ]
    assert len(said) == 2
    assert "ASN1 OID: SM2" in said[0]
    assert keyfolder.find(desk / "keys", "01").fingerprint in said[1]


def test_the_documentation_tells_the_length_of_the_type() -> None:
    page = (Path(__file__).parents[1] / "docs" / "keys.md").read_text(encoding="utf-8")
    assert canonical.pae(b"PAYLOAD", rotation.TYPE).replace(b" 7 ", b" LENGTH ").decode() in page
