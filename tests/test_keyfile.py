"""Key files: what openssl reads, what is refused and how it is said, and indices that are never used twice."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from scraper_agent import signing
from scraper_agent.errors import AgentError, NeedsPerson, UsageError
from scraper_agent.signing import der, keyfile, keyfolder, sm2, sm2_file

PASSPHRASE = SecretStr("trusty battery 口令")
NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
D = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
KEY = keyfile.PrivateKey(d=D, public_key=sm2.derive_public(D))

openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl command")


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | {"PASS": SECRET}).stdout


SECRET = PASSPHRASE.get_secret_value()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A key file; not to be changed."""
    path = tmp_path_factory.mktemp("keys") / "sm2-01.pem"
    keyfile.write(path, KEY, PASSPHRASE)
    return path


def test_read_gives_back_what_was_written(written):
    assert keyfile.read(written, PASSPHRASE) == KEY


def test_private_key_does_not_show_in_reprs(written):
    signer = repr(KEY)
    assert str(D) not in signer
    assert f"{D:x}" not in signer


@openssl
def test_openssl_reads_the_file(written):
    text = run("openssl", "pkey", "-in", written, "-passin", "env:PASS", "-noout", "-text").replace("\n    ", "")
    assert "ASN1 OID: SM2" in text
    assert f"{D:064x}" in text.replace(":", "")


@openssl
def test_files_made_by_openssl_are_read(tmp_path):
    plain, sealed = tmp_path / "plain.pem", tmp_path / "sealed.pem"
    run("openssl", "genpkey", "-algorithm", "SM2", "-out", plain)
    run(
        *("openssl", "pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-iter", "600000"),
        *("-in", plain, "-out", sealed, "-passout", "env:PASS"),
    )
    key = keyfile.read(sealed, PASSPHRASE)
    assert keyfile.public_pem(key.public_key) == run("openssl", "pkey", "-in", plain, "-pubout")
    with pytest.raises(UsageError, match="BEGIN PRIVATE KEY-----; expected -----BEGIN ENCRYPTED PRIVATE KEY-----"):
        keyfile.read(plain, PASSPHRASE)


@openssl
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-v2", "aes-256-cbc", "-iter", "2048"], "2048 iterations of PBKDF2; expected 600000 to 10000000"),
        (["-v2", "aes-128-cbc", "-iter", "600000"], "expected 60864801650304012a (AES-256-CBC)"),
        (["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1"], "expected "),
        (["-scrypt"], "(PBKDF2)"),
    ],
    ids=["few iterations", "AES-128", "SHA-1", "scrypt"],
)
def test_weaker_or_other_encryption_is_refused_by_name(tmp_path, options, message):
    plain, sealed = tmp_path / "plain.pem", tmp_path / "sealed.pem"
    run("openssl", "genpkey", "-algorithm", "SM2", "-out", plain)
    run("openssl", "pkcs8", "-topk8", *options, "-in", plain, "-out", sealed, "-passout", "env:PASS")
    with pytest.raises(UsageError) as caught:
        keyfile.read(sealed, PASSPHRASE)
    assert caught.value.code == "SA3004"
    assert message in str(caught.value)
    assert str(sealed) in str(caught.value)


@openssl
def test_another_kind_of_key_is_refused_by_name(tmp_path):
    plain, sealed = tmp_path / "plain.pem", tmp_path / "sealed.pem"
    run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", plain)
    run(
        *("openssl", "pkcs8", "-topk8", "-v2", "aes-256-cbc", "-iter", "600000"),
        *("-in", plain, "-out", sealed, "-passout", "env:PASS"),
    )
    with pytest.raises(UsageError, match=r"another kind of key; expected an SM2 key, curve 1\.2\.156\.10197\.1\.301"):
        keyfile.read(sealed, PASSPHRASE)


@openssl
def test_public_key_travels_as_pem(tmp_path):
    path = tmp_path / "public.pem"
    path.write_text(keyfile.public_pem(KEY.public_key))
    assert "ASN1 OID: SM2" in run("openssl", "pkey", "-pubin", "-in", path, "-noout", "-text")
    assert keyfile.public_from_pem(path.read_text()) == KEY.public_key


@pytest.mark.parametrize("pem", ["", "no PEM", keyfile.public_pem(KEY.public_key).replace("A", "B")])
def test_public_pem_that_is_none_is_refused(pem):
    with pytest.raises(ValueError):  # noqa: PT011 - each in its own words
        keyfile.public_from_pem(pem)


def test_wrong_passphrase_needs_a_person(written):
    with pytest.raises(NeedsPerson) as caught:
        keyfile.read(written, SecretStr("something else"))
    assert str(caught.value) == (
        f"SA3005 wrong passphrase for key file {written}\n"
        "hint: type it again; if it is surely right, the file is damaged: restore it from its backup"
    )
    assert "something else" not in repr(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError) as caught:
        keyfile.read(tmp_path / "none.pem", PASSPHRASE)
    assert str(caught.value) == (
        f"SA3003 cannot read key file {tmp_path / 'none.pem'}: No such file or directory\n"
        "hint: `scraper-agent key list` names the key files; `key new` makes one"
    )


DAMAGE = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "no PEM": lambda data: b"\x00\xff" * 100,
    "text before": lambda data: b"hello\n" + data,
    "bad base64": lambda data: data.replace(b"\n", b"\n=", 1),
    "outer length": lambda data: data.replace(b"\nMI", b"\nMJ", 1),
    "too large": lambda data: data + b"\n" * 70_000,
    "other label": lambda data: data.replace(b"ENCRYPTED PRIVATE", b"EC PRIVATE"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_file_is_named_with_what_was_seen(tmp_path, written, damage):
    path = tmp_path / "key.pem"
    path.write_bytes(damage(written.read_bytes()))
    with pytest.raises(UsageError) as caught:
        keyfile.read(path, PASSPHRASE)
    assert caught.value.code == "SA3004"
    assert str(path) in str(caught.value)
    assert "expected" in str(caught.value)


@pytest.mark.parametrize("position", range(0, 100, 9))
def test_no_flipped_byte_of_the_secret_part_gives_another_key(written, monkeypatch, position):
    monkeypatch.setattr(keyfile, "ITERATIONS", 1)  # the same bytes, faster
    sealed = bytearray(keyfile._seal(keyfile._private_key_info(KEY), PASSPHRASE))
    sealed[-1 - position] ^= 0x04
    with pytest.raises((keyfile._WrongPassphrase, keyfile._Unusable, der.Malformed)):
        keyfile._private_key(keyfile._unseal(bytes(sealed), PASSPHRASE, keyfile._own()))


def plain_of(d: int) -> bytes:
    return keyfile._private_key_info(keyfile.PrivateKey(d=d, public_key=KEY.public_key))


@pytest.mark.parametrize(
    ("plain", "seen"),
    [
        (plain_of(0), "out of range"),
        (plain_of(sm2.N - 1), "out of range"),
        (plain_of(D + 1), "does not belong"),
    ],
    ids=["zero", "n-1", "no pair"],
)
def test_decrypted_key_is_checked(plain, seen):
    with pytest.raises(keyfile._Unusable, match=seen):
        keyfile._private_key(plain)


def test_short_passphrase_is_refused_and_not_repeated(tmp_path):
    with pytest.raises(UsageError) as caught:
        keyfile.write(tmp_path / "key.pem", KEY, SecretStr("hunter2"))
    assert caught.value.sentence == "the passphrase has fewer than 8 characters"
    assert "hunter2" not in repr(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_key_file_is_never_overwritten(tmp_path):
    path = tmp_path / "key.pem"
    path.write_text("precious")
    with pytest.raises(UsageError, match=r"SA3006 .*key\.pem exists; a key file is never overwritten"):
        keyfile.write(path, KEY, PASSPHRASE)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="Windows has access lists, not modes")
def test_only_the_owner_may_read(written):
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


@pytest.mark.skipif(os.name == "nt", reason="syscalls of POSIX")
def test_file_and_folder_are_synced_before_the_write_returns(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(stat.S_ISDIR(os.fstat(handle).st_mode)))
    keyfile.write_new(tmp_path / "key.pem", b"data")
    assert synced == [False, True]


def test_what_cannot_be_written_says_why(tmp_path):
    with pytest.raises(AgentError, match=r"SA3007 cannot write .*: No such file or directory"):
        keyfile.write_new(tmp_path / "none" / "key.pem", b"data")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty key folder, with fast key files."""
    monkeypatch.setattr(keyfile, "ITERATIONS", 1000)
    return tmp_path / "keys"


def test_first_key_is_01_and_listed(folder):
    made = keyfolder.create(folder, PASSPHRASE, NOW)
    assert (made.sk, made.file, made.created, made.status) == ("01", "sm2-01.pem", NOW, "active")
    assert keyfolder.entries(folder) == (made,)
    assert keyfile.read(folder / made.file, PASSPHRASE).public_key == made.public_key
    assert sorted(p.name for p in folder.iterdir()) == ["keys.json", "sm2-01.pem"]


@openssl
def test_fingerprint_is_what_openssl_says(folder):
    made = keyfolder.create(folder, PASSPHRASE, NOW)
    public = subprocess.run(
        ["openssl", "pkey", "-in", folder / made.file, "-passin", f"pass:{SECRET}", "-pubout", "-outform", "DER"],
        check=True,
        capture_output=True,
    ).stdout
    said = subprocess.run(["openssl", "dgst", "-sm3"], input=public, check=True, capture_output=True).stdout
    assert made.fingerprint in said.decode()


def test_no_keys_yet(folder):
    assert keyfolder.entries(folder) == ()


def test_index_is_not_used_again_when_list_or_files_are_lost(folder):
    keyfolder.create(folder, PASSPHRASE, NOW)
    (folder / "sm2-01.pem").unlink()
    assert keyfolder.create(folder, PASSPHRASE, NOW).sk == "02"
    (folder / "keys.json").unlink()
    assert keyfolder.create(folder, PASSPHRASE, NOW).sk == "03"


def test_killed_between_file_and_list_costs_an_index_only(folder, monkeypatch):
    with monkeypatch.context() as killed:
        killed.setattr(keyfolder, "_save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            keyfolder.create(folder, PASSPHRASE, NOW)
    assert keyfolder.create(folder, PASSPHRASE, NOW).sk == "02"


def test_index_100_does_not_exist(folder):
    folder.mkdir()
    (folder / "sm2-99.pem").touch()
    with pytest.raises(UsageError, match="SA3010 all key indices up to 99 are used"):
        keyfolder.create(folder, PASSPHRASE, NOW)
    assert not (folder / "keys.json.lock").exists()


def test_two_processes_do_not_make_keys_at_once(folder):
    folder.mkdir()
    (folder / "keys.json.lock").touch()
    with pytest.raises(UsageError, match=r"SA3011 another process is changing the keys: .*keys\.json\.lock exists"):
        keyfolder.create(folder, PASSPHRASE, NOW)


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda entry: entry | {"fingerprint": "0" * 64}, "01: fingerprint"),
        (lambda entry: entry | {"public_key": "0" * 128}, "0.public_key: Value error, SM2 public key: not a point"),
        (lambda entry: entry | {"file": "../../etc/passwd"}, "0.file: String should match"),
        (lambda entry: entry | {"sk": "00"}, "0.sk: String should match"),
        (lambda entry: entry | {"extra": 1}, "0.extra: Extra inputs"),
        (lambda entry: [entry], "0: Input should be an object"),
    ],
    ids=["fingerprint", "public key", "file", "index", "extra", "list"],
)
def test_damaged_list_is_named(folder, change, seen):
    keyfolder.create(folder, PASSPHRASE, NOW)
    path = folder / "keys.json"
    path.write_text(json.dumps([change(entry) for entry in json.loads(path.read_text())]))
    with pytest.raises(UsageError) as caught:
        keyfolder.entries(folder)
    assert str(caught.value).startswith(f"SA3008 the list of keys {path} is damaged: {seen}")


def test_same_index_twice_is_damage(folder):
    keyfolder.create(folder, PASSPHRASE, NOW)
    path = folder / "keys.json"
    path.write_text(json.dumps(json.loads(path.read_text()) * 2))
    with pytest.raises(UsageError, match="damaged: sk"):
        keyfolder.entries(folder)


def configured(folder: Path, key: str = "01") -> sm2_file.Config:
    return sm2_file.Config(kind="file", folder=folder, key=key)


def test_signer_signs_with_the_configured_key(folder):
    keyfolder.create(folder, PASSPHRASE, NOW)
    made = keyfolder.create(folder, PASSPHRASE, NOW)
    signer = signing.connect(configured(folder, "02"), PASSPHRASE, lambda: NOW)
    assert (signer.key_index, signer.public_key) == ("02", made.public_key)
    assert sm2.verify(made.public_key, b"message", signer.sign(b"message"))
    assert repr(signer) == "Sm2FileSigner(key_index='02', by='GmSSL')"


def test_unknown_key_is_told_with_those_there_are(folder):
    keyfolder.create(folder, PASSPHRASE, NOW)
    with pytest.raises(UsageError, match=r"SA3009 no key 07 in .*; it has 01"):
        signing.connect(configured(folder, "07"), PASSPHRASE, lambda: NOW)


def test_retired_key_signs_no_more(folder):
    """A list that an earlier version wrote."""
    keyfolder.create(folder, PASSPHRASE, NOW)
    path = folder / "keys.json"
    path.write_text(path.read_text().replace('"active"', '"retired"'))
    with pytest.raises(UsageError, match=r"SA3013 key 01 in .* is retired"):
        signing.connect(configured(folder), PASSPHRASE, lambda: NOW)


def test_file_of_another_key_is_refused(folder):
    keyfolder.create(folder, PASSPHRASE, NOW)
    (folder / "sm2-01.pem").unlink()
    keyfile.write(folder / "sm2-01.pem", KEY, PASSPHRASE)
    with pytest.raises(UsageError, match=r"SA3014 .* holds public key"):
        signing.connect(configured(folder), PASSPHRASE, lambda: NOW)


@pytest.mark.parametrize("change", [{"key": "0"}, {"key": "00"}, {"key": "100"}, {"pin": "1234"}, {"kind": "token"}])
def test_configuration_says_nothing_else(tmp_path, change):
    with pytest.raises(ValidationError):
        sm2_file.Config.model_validate({"kind": "file", "folder": tmp_path, "key": "01"} | change)
