"""The fast signer: what it makes is checked by others before it leaves, and without it gmssl signs."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from scraper_agent import signing
from scraper_agent.errors import AgentError
from scraper_agent.signing import check, keyfolder, native, sm2, sm2_file
from scraper_agent.signing.check import Check, Gate

ROOT = Path(__file__).parents[1]
PASSPHRASE = SecretStr("trusty battery 口令")
D = 0x51B0A2D1F0E9C8B7A6958473625140F1E2D3C4B5A69788796A5B4C3D2E1F0A1B
PUBLIC = sm2.derive_public(D)
CHECK = Check(PUBLIC)
E = sm2.digest(PUBLIC, b"message")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    keyfolder.create(folder, PASSPHRASE, now())
    return folder


def now() -> datetime:
    return datetime(2026, 11, 20, 8, tzinfo=UTC)


def configured(folder: Path, **settings: str) -> sm2_file.Config:
    return sm2_file.Config.model_validate({"kind": "file", "folder": folder, "key": "01"} | settings)


def test_gmssl_signs_where_the_configuration_says_so(folder):
    signer = signing.connect(configured(folder, native="never"), PASSPHRASE, now)
    assert repr(signer) == "Sm2FileSigner(key_index='01', by='gmssl')"
    for _ in range(check.FIRST + 2):  # the last ones are let through by the tables
        assert sm2.verify(signer.public_key, b"message", signer.sign(b"message"))


def test_gmssl_signs_where_the_extra_is_not_installed(folder):
    script = (
        "import sys; sys.modules['gmssl_pyx'] = None\n"
        "from datetime import UTC, datetime\n"
        "NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)\n"
        "from pathlib import Path\n"
        "from pydantic import SecretStr\n"
        "from scraper_agent import signing\n"
        "from scraper_agent.signing import sm2, sm2_file\n"
        f"config = sm2_file.Config(kind='file', folder=Path({str(folder)!r}), key='01')\n"
        f"signer = signing.connect(config, SecretStr({PASSPHRASE.get_secret_value()!r}), lambda: NOW)\n"
        "print(repr(signer), sm2.verify(signer.public_key, b'm', signer.sign(b'm')))\n"
    )
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT)
    assert told.stdout == "Sm2FileSigner(key_index='01', by='gmssl') True\n"
    assert told.stderr == ""


@pytest.fixture
def found_out_anew():
    native.available.cache_clear()
    yield
    native.available.cache_clear()


@pytest.mark.usefixtures("found_out_anew")
@pytest.mark.parametrize(
    "broken",
    [
        {"sm2_verify_sm3_digest": lambda public, e, signature: False},
        {
            "sm2_sign_sm3_digest": lambda d, e: sm2.signature_to_der(
                sm2.VECTOR_SIGNATURE[32:] + sm2.VECTOR_SIGNATURE[:32]
            )
        },
        {"sm2_sign_sm3_digest": lambda d, e: b"not DER"},
    ],
    ids=["vector refused", "wrong signature", "no signature"],
)
def test_gmssl_signs_where_the_self_test_fails(folder, monkeypatch, broken):
    library = native._library()
    for name, function in broken.items():
        monkeypatch.setattr(library, name, function)
    signer = signing.connect(configured(folder), PASSPHRASE, now)
    assert repr(signer) == "Sm2FileSigner(key_index='01', by='gmssl')"


@pytest.mark.parametrize("number", [0, check.FIRST + 1], ids=["checked in full", "checked by tables"])
def test_signature_that_does_not_hold_is_not_released(monkeypatch, number):
    key = native.NativeKey(D, PUBLIC)
    for _ in range(number):
        key.sign(b"message")
    other = native.signed((D + 1).to_bytes(32, "big"), E)
    monkeypatch.setattr(native, "signed", lambda d, e: other)
    with pytest.raises(AgentError) as caught:
        key.sign(b"message")
    assert str(caught.value) == (
        f"SA3040 GmSSL made a signature with public key {PUBLIC} that gmssl refuses; it was not released\n"
        "hint: set `native: never` in the configuration under `signing`, and check this machine's memory"
    )


def test_private_key_does_not_show():
    assert f"{D:x}" not in repr(native.NativeKey(D, PUBLIC))
    assert str(D) not in repr(native.NativeKey(D, PUBLIC))


def test_tables_hold_the_multiples_that_gmssl_computes():
    for row, bits in ((0, 0), (1, 10), (13, 130), (25, 250)):
        for times in (1, 2, 3, 511, 512):
            expected = sm2.derive_public(times << bits) if times << bits <= sm2.N - 2 else None
            if expected is not None:
                assert "{:064x}{:064x}".format(*CHECK._base[row][times - 1]) == expected


@pytest.mark.parametrize(
    "k", [1, 2, 511, 512, 513, 1023, 1024, 2**250 + 513, sm2.N - 2, sm2.N - 1, (2**256 - 1) % sm2.N]
)
def test_digits_of_tables_add_up(k):
    total = 0
    for row, choice in zip(CHECK._base, _digits(k), strict=True):
        if choice:
            x, y = row[abs(choice) - 1]
            assert ((x, y) if choice > 0 else (x, sm2.P - y)) in check._chosen(CHECK._base, k)
        total += choice << (10 * CHECK._base.index(row))
    assert total == k


def _digits(k: int) -> list[int]:
    digits = []
    for _ in range(26):
        digit = k % 1024
        digit -= 1024 if digit > 512 else 0
        digits.append(digit)
        k = (k - digit) // 1024
    assert k == 0
    return digits


def test_gate_and_gmssl_say_the_same_of_signatures_and_of_what_is_nearly_one():
    for number in range(60):
        e = sm2.digest(PUBLIC, b"%d" % number)
        signature = native.signed(D.to_bytes(32, "big"), e)
        assert signature is not None
        assert CHECK.holds(e, signature)
        bad = (int.from_bytes(signature, "big") ^ (1 << (number * 8 + 3))).to_bytes(64, "big")
        assert not CHECK.holds(e, bad)
        assert not CHECK.holds(bytes(32), signature)
        if number % 10 == 0:
            assert sm2.holds(PUBLIC, e, signature)
            assert not sm2.holds(PUBLIC, e, bad)


def test_gate_asks_gmssl_for_the_first_and_for_samples_and_for_what_tables_refuse(monkeypatch):
    asked: list[bytes] = []

    def refuses(public: str, e: bytes, signature: bytes) -> bool:
        asked.append(signature)
        return False

    monkeypatch.setattr(sm2, "holds", refuses)
    signature = native.signed(D.to_bytes(32, "big"), E)
    assert signature is not None
    gate = Gate(PUBLIC)
    said = [gate.holds(E, signature) for _ in range(2 * check.EVERY + 1)]
    in_full = {*range(check.FIRST), check.EVERY, 2 * check.EVERY}
    assert {number for number, held in enumerate(said) if not held} == in_full
    assert len(asked) == len(in_full)
    gate.holds(bytes(32), signature)
    assert len(asked) == len(in_full) + 1


def test_threads_sign_with_one_key():
    key = native.NativeKey(D, PUBLIC)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(key.sign, [b"%d" % n for n in range(80)]))
    assert len({signature[:32] for signature in made}) == 80
    assert all(CHECK.holds(sm2.digest(PUBLIC, b"%d" % n), signature) for n, signature in enumerate(made))
