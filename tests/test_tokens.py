"""Signers that hold no key, against mocks that keep to the contract: the E-Port client, the library of a UKey."""

from __future__ import annotations

import base64
import ctypes
import ctypes.util
import json
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr, TypeAdapter, ValidationError

from scraper_agent import signing, yamlfile
from scraper_agent.config import Config
from scraper_agent.errors import AgentError, NeedsPerson, SourceErrors, UsageError
from scraper_agent.ports import Signer
from scraper_agent.signing import eport, keyfile, pin, skf, sm2
from tests.mocks.eport import PIN, Card, EportClient

CONFIG: TypeAdapter[signing.Config] = TypeAdapter(signing.Config)
ROOT = Path(__file__).parents[1]
MESSAGE = "京AG6888,黄色 ".encode() + b'{"ak":"310001"}'
PASSPHRASE = SecretStr("trusty battery")


# --- PIN tries --------------------------------------------------------------------------------------------------------


def test_third_pin_is_not_tried_until_a_person_has_looked(tmp_path):
    path = tmp_path / "pin-01.tries"
    pin.PinTries(path, "token").begin()
    pin.PinTries(path, "token").begin()
    with pytest.raises(NeedsPerson) as caught:
        pin.PinTries(path, "token").begin()
    assert str(caught.value) == (
        "SA3041 2 PINs in a row were tried on token in vain; no more are tried, so that it is not locked\n"
        f"hint: sign in once with the token's own program, which knows how many tries are left; delete {path}"
    )
    pin.clear(path)
    pin.PinTries(path, "token").begin()


def test_right_pin_clears_the_count_and_an_unused_one_takes_its_own_try_back(tmp_path):
    tries = pin.PinTries(tmp_path / "tries", "token")
    tries.begin()
    tries.right()
    tries.begin()
    tries.begin()
    tries.unused()
    tries.begin()
    with pytest.raises(NeedsPerson, match="SA3041"):
        tries.begin()
    pin.clear(tmp_path / "none")


def test_try_is_on_disk_before_the_pin_is_sent(tmp_path, monkeypatch):
    synced: list[int] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append(os.fstat(handle).st_size)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    pin.PinTries(tmp_path / "tries", "token").begin()
    assert synced[0] == 1
    assert len(synced) == 2, "the new name in its folder, too"


def test_threads_and_processes_at_once_never_try_more_than_two(tmp_path):
    path = tmp_path / "tries"

    def begins(_: int) -> bool:
        try:
            pin.PinTries(path, "token").begin()
        except NeedsPerson:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(begins, range(64))) <= 2


def test_try_that_another_process_counted_at_the_same_moment_is_not_made(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data + b"xx"))
    with pytest.raises(NeedsPerson, match="SA3041"):
        pin.PinTries(tmp_path / "tries", "token").begin()


def test_count_that_cannot_be_kept_means_no_try(tmp_path):
    with pytest.raises(AgentError, match="SA3007 cannot write"):
        pin.PinTries(tmp_path / "no folder" / "tries", "token").begin()


# --- E-Port -----------------------------------------------------------------------------------------------------------


def certificate(folder: Path, d: int) -> str:
    """A self-signed one, as the client hands it out."""
    keyfile.write(folder / "card.pem", keyfile.PrivateKey(d=d, public_key=sm2.derive_public(d)), PASSPHRASE)
    made = subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-new",
                "-x509",
                "-key",
                folder / "card.pem",
                "-passin",
                f"pass:{PASSPHRASE.get_secret_value()}",
                "-sm3",
            ),
            *("-sigopt", "distid:1234567812345678", "-utf8", "-subj", "/C=CN/O=上海启明精工有限公司/CN=card"),
            *("-days", "3650", "-outform", "DER"),
        ],
        check=True,
        capture_output=True,
    )
    return base64.b64encode(made.stdout).decode()


D = 0x0F1E2D3C4B5A69788796A5B4C3D2E1F00123456789ABCDEF0F1E2D3C4B5A6978


@pytest.fixture(scope="module")
def card_certificate(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("card"), D)


@pytest.fixture
def client(card_certificate):
    with EportClient(Card(d=D, certificate=card_certificate)) as client:
        yield client


def now() -> datetime:
    return datetime(2026, 3, 2, tzinfo=UTC)


def eport_signer(client: EportClient, folder: Path, given: str = PIN, **settings: object) -> Signer:
    config = CONFIG.validate_python({"kind": "eport", "folder": folder, "key": "07", "url": client.url} | settings)
    return signing.connect(config, SecretStr(given), now)


@pytest.mark.parametrize("answers", ["base64", "der", "hex"])
@pytest.mark.parametrize("greets", [True, False], ids=["with greeting", "without"])
def test_card_signs_whatever_way_its_client_writes_signatures(client, tmp_path, answers, greets):
    client.card.answers, client.card.greets = answers, greets
    signer = eport_signer(client, tmp_path)
    assert (signer.key_index, signer.public_key) == ("07", sm2.derive_public(D))
    assert sm2.verify(signer.public_key, MESSAGE, signer.sign(MESSAGE))
    assert PIN not in repr(signer)


@pytest.mark.parametrize("answers", ["other", "text"])
def test_signature_of_something_else_is_not_released(client, tmp_path, answers):
    client.card.answers = answers
    signer = eport_signer(client, tmp_path)
    with pytest.raises(AgentError, match="SA3047 what 电子口岸 E-Port signed does not hold under its own certificate"):
        signer.sign(MESSAGE)


def test_wrong_pin_is_tried_once_by_a_program_and_twice_in_all(client, tmp_path):
    for tried in (1, 2):
        signer = eport_signer(client, tmp_path, "12345678")
        for _ in range(3):
            with pytest.raises(NeedsPerson, match="SA3042 wrong PIN for 电子口岸 E-Port"):
                signer.sign(MESSAGE)
        assert len(client.card.pins) == tried
    for given in ("12345678", PIN):
        with pytest.raises(NeedsPerson, match="SA3041 2 PINs in a row"):
            eport_signer(client, tmp_path, given).sign(MESSAGE)
    assert client.card.tries_left == 4
    pin.clear(tmp_path / "pin-07.tries")
    eport_signer(client, tmp_path).sign(MESSAGE)
    assert client.card.tries_left == 6


def test_right_pin_may_be_used_any_number_of_times(client, tmp_path):
    signer = eport_signer(client, tmp_path)
    assert all(sm2.verify(signer.public_key, b"%d" % n, signer.sign(b"%d" % n)) for n in range(5))


def test_locked_card_needs_its_issuer(client, tmp_path):
    client.card.tries_left = 0
    with pytest.raises(NeedsPerson, match="SA3043 电子口岸 E-Port is locked"):
        eport_signer(client, tmp_path).sign(MESSAGE)


def test_reader_without_a_card_uses_no_try(client, tmp_path):
    signer = eport_signer(client, tmp_path)
    client.card.reader = False
    for _ in range(4):
        with pytest.raises(NeedsPerson, match=r"SA3045 the reader of .* does not work: \[读卡器底层库\].*50070"):
            signer.sign(MESSAGE)
    client.card.reader = True
    signer.sign(MESSAGE)
    client.card.reader = False
    with pytest.raises(NeedsPerson, match="SA3045"):
        eport_signer(client, tmp_path)


def test_client_that_is_gone_uses_no_try(client, card_certificate, tmp_path):
    with EportClient(Card(d=D, certificate=card_certificate)) as other:
        signer = eport_signer(other, tmp_path)
    for _ in range(3):
        with pytest.raises(AgentError, match="SA3044 the E-Port client does not answer at ws://127"):
            signer.sign(MESSAGE)
    eport_signer(client, tmp_path).sign(MESSAGE)


def test_client_that_never_answers_is_left_alone_and_its_try_counts(client, tmp_path):
    signer = eport_signer(client, tmp_path, timeout_s=1)
    client.card.silent = True
    with pytest.raises(AgentError, match="SA3049 the E-Port client did not do cus-sec_SpcSignDataAsPEM: timed out"):
        signer.sign(MESSAGE)
    assert (tmp_path / "pin-07.tries").stat().st_size == 1


@pytest.mark.parametrize(
    "broken",
    [
        "no JSON",
        "[]",
        "",
        json.dumps({"_id": 2, "_status": "01", "_args": {"Result": True, "Data": ["x"]}}),
        json.dumps({"_id": 2, "_status": "00", "_args": {"Result": True, "Data": []}}),
        json.dumps({"_id": 2, "_status": "00", "_args": {"Result": True, "Data": [7]}}),
        json.dumps({"_id": 2, "_status": "00", "_args": {"Result": "true", "Data": ["x"], "Error": "no"}}),
        json.dumps({"_id": 2, "_status": "00"}),
        "{" * 2_000_000,
    ],
    ids=["no JSON", "a list", "empty", "status", "no data", "number", "result is text", "no args", "2 MB"],
)
def test_answer_of_another_form_is_refused_and_its_try_counts(client, tmp_path, broken):
    signer = eport_signer(client, tmp_path)
    client.card.broken = broken
    with pytest.raises(AgentError, match="SA3049"):
        signer.sign(MESSAGE)
    assert (tmp_path / "pin-07.tries").stat().st_size == 1


def test_answer_to_another_call_is_passed_over(client, tmp_path):
    signer = eport_signer(client, tmp_path, timeout_s=1)
    client.card.broken = json.dumps({"_id": 1, "_status": "00", "_args": {"Result": True, "Data": ["x"], "Error": []}})
    with pytest.raises(AgentError, match=r"SA3049 .* timed out"):
        signer.sign(MESSAGE)


@pytest.mark.parametrize("message", ["电子运单".encode("gbk"), bytes([0xFF]), b"x" * (eport.MOST_BYTES + 1)], ids=len)
def test_what_the_client_cannot_take_is_refused_before_the_pin_is_tried(client, tmp_path, message):
    with pytest.raises(UsageError, match="SA3048"):
        eport_signer(client, tmp_path).sign(message)
    assert client.card.pins == []


def test_certificate_is_read_in_pem_too(card_certificate):
    pem = f"-----BEGIN CERTIFICATE-----\n{card_certificate}\n-----END CERTIFICATE-----\n"
    assert eport.certified(pem) == eport.certified(card_certificate) == sm2.derive_public(D)


def test_card_of_another_kind_is_refused(client, tmp_path):
    made = subprocess.run(
        [
            *("openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null"),
            *("-subj", "/CN=old card", "-outform", "DER"),
        ],
        check=True,
        capture_output=True,
    )
    for text in (base64.b64encode(made.stdout).decode(), "no certificate", client.card.certificate[:-8]):
        client.card.certificate = text
        with pytest.raises(UsageError, match="SA3046 电子口岸 E-Port has no certificate of an SM2 key"):
            eport_signer(client, tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "ws://192.168.1.7:61232",
            "ws://localhost:61232",
            "ws://127.0.0.1.example.com:61232",
            "http://127.0.0.1:61232",
        ),
        *("ws://127.0.0.1@evil.example:61232", "wss://wss.singlewindow.cn:61231", "127.0.0.1:61232", ""),
    ],
)
def test_pin_never_leaves_this_machine(tmp_path, url):
    with pytest.raises(ValidationError, match="is not a WebSocket on this machine"):
        eport.Config(kind="eport", folder=tmp_path, key="01", url=url)


@pytest.mark.parametrize("variable", ["http_proxy", "ws_proxy", "all_proxy", "HTTP_PROXY"])
def test_no_proxy_of_the_environment_gets_the_pin(client, tmp_path, monkeypatch, variable):
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    eport_signer(client, tmp_path).sign(MESSAGE)


# --- SKF --------------------------------------------------------------------------------------------------------------

SKF_PIN = "13572468"


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    path = tmp_path_factory.mktemp("skf") / "libskf.so"
    source = Path(__file__).parent / "mocks" / "skf.c"
    subprocess.run(
        ["gcc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", path, source, "-l:libcrypto.so.3"], check=True
    )
    return path


@pytest.fixture
def token(built, tmp_path):
    """The library of a new token: a file of another name is another library to the system, with a state of its own."""
    return Path(shutil.copy(built, tmp_path / "libskf.so"))


def mock(token: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(token))


def skf_signer(token: Path, given: str = SKF_PIN, **settings: object) -> Signer:
    config = {"kind": "skf", "folder": token.parent, "key": "02", "library": token}
    names = {"application": "CUSTOMS", "container": "SIGN"}
    return signing.connect(
        CONFIG.validate_python(config | names | settings), SecretStr(given), lambda: datetime(2026, 3, 2, tzinfo=UTC)
    )


def test_token_signs(token):
    signer = skf_signer(token)
    assert signer.key_index == "02"
    assert sm2.parse_public(signer.public_key) == signer.public_key
    for message in (MESSAGE, b"", "电子运单".encode("gbk"), bytes(100_000)):
        assert sm2.verify(signer.public_key, message, signer.sign(message))
    assert SKF_PIN not in repr(signer)
    assert mock(token).MOCK_verified() == 1


def test_number_with_a_leading_zero_is_read_from_the_right(token):
    signer = skf_signer(token)
    mock(token).MOCK_set(b"zeros", 1)
    for message in (b"1", b"2", b"3"):
        signature = signer.sign(message)
        assert signature[0] == 0
        assert len(signature) == sm2.SIGNATURE_BYTES


def test_wrong_pin_is_tried_twice_and_no_more(token):
    for _ in range(2):
        with pytest.raises(NeedsPerson, match="SA3042 wrong PIN for MOCK0/CUSTOMS"):
            skf_signer(token, "87654321")
    for given in ("87654321", SKF_PIN):
        with pytest.raises(NeedsPerson, match="SA3041 2 PINs in a row were tried on MOCK0/CUSTOMS"):
            skf_signer(token, given)
    assert mock(token).MOCK_left() == 4
    assert mock(token).MOCK_connected() == 0
    pin.clear(token.parent / "pin-02.tries")
    skf_signer(token).sign(MESSAGE)
    assert mock(token).MOCK_left() == 6


def test_right_pin_clears_what_was_counted_before_it(token):
    for _ in range(3):
        with pytest.raises(NeedsPerson, match="SA3042"):
            skf_signer(token, "87654321")
        skf_signer(token)


def test_pin_of_impossible_length_is_wrong_and_uses_no_try(token):
    for _ in range(3):
        with pytest.raises(NeedsPerson, match="SA3042"):
            skf_signer(token, "123")
    assert mock(token).MOCK_left() == 6


@pytest.mark.parametrize(("left", "message"), [(1, "SA3054 token MOCK0/CUSTOMS allows one more PIN"), (0, "SA3043")])
def test_last_try_of_a_token_is_left_to_a_person(token, left, message):
    mock(token).MOCK_set(b"left", left)
    with pytest.raises(NeedsPerson, match=message):
        skf_signer(token)
    assert mock(token).MOCK_verified() == 0


def test_token_that_forgets_its_login_is_given_the_pin_again(token):
    signer = skf_signer(token)
    mock(token).MOCK_set(b"forgets", 1)
    assert sm2.verify(signer.public_key, MESSAGE, signer.sign(MESSAGE))
    assert mock(token).MOCK_verified() == 2


def test_token_that_is_pulled_out_needs_a_person(token):
    signer = skf_signer(token)
    mock(token).MOCK_set(b"removed", 1)
    with pytest.raises(NeedsPerson, match="SA3057 the token was pulled out"):
        signer.sign(MESSAGE)


def test_signature_of_a_damaged_token_is_not_released(token):
    signer = skf_signer(token)
    mock(token).MOCK_set(b"faulty", 1)
    with pytest.raises(AgentError, match="SA3055 what token MOCK0/CUSTOMS signed does not hold"):
        signer.sign(MESSAGE)


@pytest.mark.parametrize(
    ("devices", "device", "said"),
    [
        (0, None, r"token \* is not there; plugged in are: -"),
        (2, None, r"token \* is not there; plugged in are: MOCK0, MOCK1"),
        (1, "MOCK1", "token MOCK1 is not there; plugged in are: MOCK0"),
    ],
    ids=["none", "two", "another"],
)
def test_token_must_be_the_one_that_is_meant(token, devices, device, said):
    mock(token).MOCK_set(b"devices", devices)
    with pytest.raises(NeedsPerson, match=f"SA3052 {said}"):
        skf_signer(token, device=device)


def test_one_of_two_tokens_is_chosen_by_name(token):
    mock(token).MOCK_set(b"devices", 2)
    assert repr(skf_signer(token, device="MOCK1")) == "SkfSigner(key_index='02', token='MOCK1/CUSTOMS')"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"application": "OTHER"}, r"SKF_OpenApplication of .*libskf.so failed with 0x0A00002E"),
        ({"container": "OTHER"}, r"SKF_OpenContainer of .*libskf.so failed with 0x0A000006"),
    ],
)
def test_what_the_token_does_not_have_is_told_by_its_code(token, settings, said):
    with pytest.raises(AgentError, match=f"SA3053 {said}"):
        skf_signer(token, **settings)
    assert mock(token).MOCK_connected() == 0


def test_key_of_another_kind_is_refused(token):
    mock(token).MOCK_set(b"bits", 384)
    with pytest.raises(UsageError, match=r"SA3056 container SIGN of token MOCK0/CUSTOMS has no SM2 key .*: 384 bits"):
        skf_signer(token)


def test_library_that_is_none_is_named(token, tmp_path):
    for path in (tmp_path / "missing.so", Path(ctypes.util.find_library("c") or "libc.so.6")):
        with pytest.raises(UsageError, match=r"SA3051 .* cannot be used as a library of GM/T 0016"):
            skf_signer(token, library=path)


def test_structures_have_the_sizes_of_the_standard():
    assert (ctypes.sizeof(skf._PublicKey), ctypes.sizeof(skf._Signature)) == (132, 128)


# --- the configuration ------------------------------------------------------------------------------------------------


def test_configurations_that_the_documentation_shows_are_understood():
    shown = re.findall(
        r"^```yaml\n(.*?)^```$", (ROOT / "docs" / "signers.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    kinds = [CONFIG.validate_python(yaml.safe_load(text)["signing"]).kind for text in shown]
    assert kinds == ["file", "eport", "skf"]


def test_wrong_configuration_is_told_with_its_place(tmp_path):
    path = tmp_path / "config.yaml"
    example = (ROOT / "config.example.yaml").read_text("utf-8")
    path.write_text(example.replace("kind: file", 'kind: eport\n  key: "01"\n  url: ws://192.168.1.7:61232'), "utf-8")
    with pytest.raises(SourceErrors) as caught:
        yamlfile.load(path, Config)
    line = next(n for n, text in enumerate(path.read_text("utf-8").splitlines(), 1) if "192.168" in text)
    assert str(caught.value).startswith(
        f"{path}:{line}:8: SA1022 `ws://192.168.1.7:61232` is not a WebSocket on this machine"
    )
    assert "hint: write a loopback address such as `ws://127.0.0.1:61232`" in str(caught.value)
    path.write_text(path.read_text("utf-8").replace("192.168.1.7", "127.0.0.1"), "utf-8")
    assert yamlfile.load(path, Config).signing.kind == "eport"
