"""Every program that signs, against every program that verifies; and the standards' vectors through all of them.

gmssl behind its guard, the tables of `check.py`, GmSSL (gmssl_pyx), OpenSSL (the command) and gmalg; for SM3 and SM4
also hashlib and cryptography. What one of them alone got wrong, the others would refuse. The counts are such that the
fast ones carry the 10,000 and the slow ones still meet each other.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gmalg
import gmssl_pyx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from gmssl import sm3 as gmssl_sm3
from gmssl import sm4 as gmssl_sm4
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from scraper_agent import canonical
from scraper_agent.signing import check, der, keyfile, native, sm2
from scraper_agent.signing.check import FIRST, Check, Gate, Verifying

ROOT = Path(__file__).parents[1]
VECTOR_PUBLIC = sm2.derive_public(sm2.VECTOR_D)
DISTID = "distid:1234567812345678"


@dataclass(frozen=True)
class Key:
    d: int
    public: str
    private_pem: Path
    """Not encrypted, for the openssl command."""
    public_pem: Path
    check: Check


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """The vector's; one of which gmssl's own constructor eats digits, 04…; and one with a short private key."""
    folder = tmp_path_factory.mktemp("interop")
    return [_key(folder / str(number), d) for number, d in enumerate((sm2.VECTOR_D, 1140, 7 << 200))]


def _key(stem: Path, d: int) -> Key:
    public = sm2.derive_public(d)
    sealed, plain, shown = stem.with_suffix(".sealed"), stem.with_suffix(".pem"), stem.with_suffix(".pub")
    keyfile.write(sealed, keyfile.PrivateKey(d=d, public_key=public), SecretStr("interoperable"))
    _openssl("pkey", "-in", sealed, "-passin", "pass:interoperable", "-out", plain)
    shown.write_text(keyfile.public_pem(public))
    return Key(d, public, plain, shown, Check(public))


def _openssl(*command: str | Path, given: bytes = b"", fails: bool = False) -> bytes:
    done = subprocess.run(["openssl", *command], input=given, capture_output=True, check=not fails)
    return done.stdout


# --- SM2: every pair --------------------------------------------------------------------------------------------------


def _gmalg(key: Key) -> gmalg.SM2:
    return gmalg.SM2(key.d.to_bytes(32, "big"), sm2.DEFAULT_UID, b"\x04" + bytes.fromhex(key.public))


def _gmalg_signs(key: Key, message: bytes) -> bytes:
    r, s = _gmalg(key).sign(message)
    return bytes(r).rjust(32, b"\0") + bytes(s).rjust(32, b"\0")


def _openssl_signs(key: Key, message: bytes) -> bytes:
    made = _openssl("dgst", "-sm3", "-sign", key.private_pem, "-sigopt", DISTID, given=message)
    return sm2.signature_from_der(made)


def _openssl_verifies(key: Key, message: bytes, signature: bytes) -> bool:
    path = key.public_pem.with_suffix(".sig")
    path.write_bytes(sm2.signature_to_der(signature))
    told = _openssl(
        *("dgst", "-sm3", "-verify", key.public_pem, "-signature", path, "-sigopt", DISTID), given=message, fails=True
    )
    return told == b"Verified OK\n"


SIGNERS: dict[str, tuple[Callable[[Key, bytes], bytes], int]] = {
    "gmssl": (lambda key, message: sm2.sign(key.d, key.public, message, check=lambda e, signature: True), 60),
    "GmSSL": (
        lambda key, message: sm2.signature_from_der(
            gmssl_pyx.sm2_sign(key.d.to_bytes(32, "big"), bytes.fromhex(key.public), message)
        ),
        240,
    ),
    "GmSSL, digests": (
        lambda key, message: native.signed(key.d.to_bytes(32, "big"), sm2.digest(key.public, message)) or b"",
        5_000,
    ),
    "gmalg": (_gmalg_signs, 30),
    "OpenSSL": (_openssl_signs, 12),
}
"""And how many signatures each makes."""

VERIFIERS: dict[str, tuple[Callable[[Key, bytes, bytes], bool], int]] = {
    "gmssl": (lambda key, message, signature: sm2.verify(key.public, message, signature), 40),
    "tables": (lambda key, message, signature: key.check.holds(sm2.digest(key.public, message), signature), 5_000),
    "GmSSL": (
        lambda key, message, signature: gmssl_pyx.sm2_verify(
            bytes.fromhex(key.public), message, sm2.signature_to_der(signature)
        ),
        5_000,
    ),
    "gmalg": (lambda key, message, signature: _gmalg(key).verify(message, signature[:32], signature[32:]), 15),
    "OpenSSL": (_openssl_verifies, 9),
}
"""And how many of each signer's it verifies at most."""


def _messages(count: int) -> Iterator[bytes]:
    some = [b"", b"x", "京AG6888,黄色".encode("gbk"), "电子运单".encode(), b"\x00" * 64, b'{"ak":"310001"}' * 70]
    for number in range(count):
        yield some[number] if number < len(some) else some[number % len(some)] + b"%d" % number


@pytest.mark.parametrize("signer", SIGNERS)
def test_what_one_signs_the_others_verify(keys, signer):
    signs, count = SIGNERS[signer]
    made = [
        (key, message, signs(key, message))
        for number, message in enumerate(_messages(count))
        for key in [keys[number % len(keys)]]
    ]
    verified = Counter(dict.fromkeys(VERIFIERS, 0))
    for name, (verifies, most) in VERIFIERS.items():
        for key, message, signature in made[:most]:
            assert verifies(key, message, signature), (name, key.public, message, signature.hex())
            verified[name] += 1
        key, message, signature = made[0]
        changed = signature[:-1] + bytes([signature[-1] ^ 1])
        assert not verifies(key, message, changed)
        assert not verifies(key, message + b"\0", signature)
    assert all(verified[name] == min(count, most) for name, (_, most) in VERIFIERS.items())


def test_the_pairs_make_ten_thousand_verifications():
    assert sum(min(made, most) for _, made in SIGNERS.values() for _, most in VERIFIERS.values()) >= 10_000


# --- SM2: keys that gmssl alone would spoil ---------------------------------------------------------------------------


def _stepped(d: int, count: int) -> list[tuple[int, str]]:
    """(d, public key) of `count` private keys from `d` on, each public key the one before plus G."""
    base = check._point(sm2.G)
    summed = [(*check._point(sm2.derive_public(d)), 1)]
    while len(summed) < count:
        summed.append(check._add(summed[-1], base))
    return [(d + step, f"{x:064x}{y:064x}") for step, (x, y) in enumerate(check._affine(summed))]


def test_a_thousand_keys_that_begin_with_0_or_4_sign_and_verify():
    stepped = _stepped(0xBEEF << 96, 9_000)
    assert stepped[-1][1] == sm2.derive_public(stepped[-1][0])
    awkward = [(d, public) for d, public in stepped if public[0] in "04"][:1_000]
    assert len(awkward) == 1_000
    assert sum(public.startswith("04") for _, public in awkward) > 10
    for number, (d, public) in enumerate(awkward):
        message = b"%d" % number
        signature = native.signed(d.to_bytes(32, "big"), sm2.digest("04" + public, message))
        assert signature is not None
        # GmSSL computes Z of the key as it is: with a digit less, gmssl and it would differ here.
        assert gmssl_pyx.sm2_verify(bytes.fromhex(public), message, sm2.signature_to_der(signature))
        if number % 4 == 0:
            assert sm2.verify("04" + public, message, signature)
        if number % 20 == 0:
            own = sm2.sign(d, public, message)
            assert gmssl_pyx.sm2_verify(bytes.fromhex(public), message, sm2.signature_to_der(own))


# --- SM2: what no verifier of ours may accept -------------------------------------------------------------------------

R, S = (int.from_bytes(part, "big") for part in (sm2.VECTOR_SIGNATURE[:32], sm2.VECTOR_SIGNATURE[32:]))
EDGES = [0, 1, 2, sm2.N - 2, sm2.N - 1, sm2.N, sm2.N + 1, sm2.P, 2**255, 2**256 - 1, R, S, sm2.N - R, sm2.N - S]


def malformed() -> Iterator[Any]:
    for r in EDGES:
        for s in EDGES:
            if (r, s) != (R, S):
                yield r.to_bytes(32, "big") + s.to_bytes(32, "big")
    whole = sm2.VECTOR_SIGNATURE
    for size in range(130):
        if size != len(whole):
            yield (whole * 3)[:size]
            yield whole[: size // 2] + bytes(max(0, size - size // 2))
    for bit in range(1, 512, 6):
        yield (int.from_bytes(whole, "big") ^ (1 << bit)).to_bytes(64, "big")
    yield from (whole.hex(), whole.hex().encode(), whole[::-1], whole[32:] + whole[:32], sm2.signature_to_der(whole))
    yield from (None, 0, R, [*whole], (R, S), "", object())


def test_five_hundred_malformed_signatures_are_refused_by_every_verifier():
    e = sm2.digest(VECTOR_PUBLIC, sm2.VECTOR_MESSAGE)
    tables, gate = Check(VECTOR_PUBLIC), Gate(VECTOR_PUBLIC)
    assert tables.holds(e, sm2.VECTOR_SIGNATURE)
    assert gate.holds(e, sm2.VECTOR_SIGNATURE)
    verifying = Verifying()
    for _ in range(FIRST + 1):  # from here on the tables are asked first
        assert verifying(VECTOR_PUBLIC, sm2.VECTOR_MESSAGE, sm2.VECTOR_SIGNATURE)
    tried = list(malformed())
    assert len(tried) >= 500
    accepted = [
        signature
        for number, signature in enumerate(tried)
        if sm2.verify(VECTOR_PUBLIC, sm2.VECTOR_MESSAGE, signature)
        or (isinstance(signature, bytes) and tables.holds(e, signature))
        or (number % 10 == 1 and verifying(VECTOR_PUBLIC, sm2.VECTOR_MESSAGE, signature))
        or (isinstance(signature, bytes) and number % 10 == 0 and gate.holds(e, signature))  # asks gmssl once more
    ]
    assert accepted == []


def test_equation_alone_does_not_satisfy_the_tables():
    """(r, s) out of range for a digest that was made for them."""
    tables = Check(VECTOR_PUBLIC)

    def solved(r: int, s: int) -> bytes:
        x = int(sm2.derive_public((s + (r + s) * sm2.VECTOR_D) % sm2.N)[:64], 16)
        return ((r - x) % sm2.N).to_bytes(32, "big")

    def raw(r: int, s: int) -> bytes:
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    assert tables.holds(solved(5, 7), raw(5, 7))
    assert not tables.holds(solved(5, 7), raw(5, 7 + sm2.N))
    assert not tables.holds(solved(5, 7), raw(5 + sm2.N, 7))
    assert not tables.holds(solved(0, 7), raw(0, 7))
    assert not tables.holds(solved(7, 0), raw(7, 0))


def test_every_flipped_bit_of_der_is_refused_or_another_signature():
    encoded = sm2.signature_to_der(sm2.VECTOR_SIGNATURE)
    tables, e = Check(VECTOR_PUBLIC), sm2.digest(VECTOR_PUBLIC, sm2.VECTOR_MESSAGE)
    for bit in range(len(encoded) * 8):
        changed = (int.from_bytes(encoded, "big") ^ (1 << bit)).to_bytes(len(encoded), "big")
        try:
            signature = sm2.signature_from_der(changed)
        except ValueError:
            continue
        assert sm2.signature_to_der(signature) == changed, "two spellings of one signature"
        assert not tables.holds(e, signature)


# --- SM2: nonces ------------------------------------------------------------------------------------------------------


def test_no_nonce_follows_the_random_module():
    state = random.getstate()
    e = sm2.digest(VECTOR_PUBLIC, sm2.VECTOR_MESSAGE)
    seen = set()
    for _ in range(2_000):
        random.seed(0)
        made = native.signed(sm2.VECTOR_D.to_bytes(32, "big"), e)
        assert made is not None
        seen |= {made[:32], sm2._nonce(sm2.VECTOR_D, e, 0)}
    random.setstate(state)
    assert len(seen) == 4_000


_under_hypothesis: set[bytes] = set()


@settings(max_examples=50, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.just(sm2.VECTOR_MESSAGE))
def test_no_nonce_follows_hypothesis(message):
    """It seeds `random` before every example; the same message and key must still never meet the same nonce."""
    key = sm2.VECTOR_D
    made = sm2.sign(key, VECTOR_PUBLIC, message, check=lambda e, signature: True)
    fast = native.signed(key.to_bytes(32, "big"), sm2.digest(VECTOR_PUBLIC, message))
    assert fast is not None
    assert made[:32] not in _under_hypothesis
    assert fast[:32] not in _under_hypothesis
    _under_hypothesis.update((made[:32], fast[:32]))


# --- the vectors ------------------------------------------------------------------------------------------------------


def _cryptography_sm3(data: bytes) -> bytes:
    hasher = hashes.Hash(hashes.SM3())
    hasher.update(data)
    return hasher.finalize()


def _gmalg_sm3(data: bytes) -> bytes:
    hasher = gmalg.SM3()
    hasher.update(data)
    return bytes(hasher.value())


SM3 = {
    "hashlib": lambda data: hashlib.new("sm3", data).digest(),
    "cryptography": _cryptography_sm3,
    "ours": canonical.sm3,
    "OpenSSL": lambda data: _openssl("dgst", "-sm3", "-binary", given=data),
    "GmSSL": gmssl_pyx.sm3_hash,
    "gmalg": _gmalg_sm3,
    "gmssl": lambda data: bytes.fromhex(gmssl_sm3.sm3_hash(list(data))),
}


@pytest.mark.parametrize("program", SM3)
def test_sm3_of_the_standard(program):
    """GB/T 32905-2016, annex A; and the empty message."""
    assert SM3[program](b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    assert SM3[program](b"abcd" * 16).hex() == "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"
    assert SM3[program](b"").hex() == "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b"


def test_sm3_of_all_lengths_around_the_blocks_is_the_same():
    for size in (*range(150), 1_000, 65_537):
        data = bytes(range(256)) * 257
        digests = {program(data[:size]) for name, program in SM3.items() if name not in ("OpenSSL", "gmssl", "gmalg")}
        assert len(digests) == 1
    for size in (55, 56, 63, 64, 65, 119, 120):
        assert len({program(b"\xa5" * size) for program in SM3.values()}) == 1


def _gmssl_sm4(key: bytes, block: bytes) -> bytes:
    cipher = gmssl_sm4.CryptSM4()
    cipher.set_key(key, gmssl_sm4.SM4_ENCRYPT)
    return bytes(cipher.one_round(cipher.sk, list(block)))


def _cryptography_sm4(key: bytes, block: bytes) -> bytes:
    return Cipher(algorithms.SM4(key), modes.ECB()).encryptor().update(block)  # noqa: S305 - one block is the vector


SM4: dict[str, Callable[[bytes, bytes], bytes]] = {
    "cryptography": _cryptography_sm4,
    "OpenSSL": lambda key, block: _openssl("enc", "-sm4-ecb", "-nopad", "-K", key.hex(), given=block),
    "GmSSL": lambda key, block: gmssl_pyx.sm4_cbc_padding_encrypt(key, bytes(16), block)[:16],
    "gmalg": lambda key, block: bytes(gmalg.SM4(key).encrypt(block)),
    "gmssl": _gmssl_sm4,
}
SM4_KEY = bytes.fromhex("0123456789abcdeffedcba9876543210")


@pytest.mark.parametrize("program", SM4)
def test_sm4_of_the_standard(program):
    """GB/T 32907-2016, annex A.1."""
    assert SM4[program](SM4_KEY, SM4_KEY).hex() == "681edf34d206965e86b3e94f536e4246"


def test_sm4_a_million_times():
    """GB/T 32907-2016, annex A.2."""
    encrypt, block = Cipher(algorithms.SM4(SM4_KEY), modes.ECB()).encryptor().update, SM4_KEY  # noqa: S305
    for _ in range(1_000_000):
        block = encrypt(block)
    assert block.hex() == "595298c7c6fd271f0402f804c33d3f66"


@pytest.mark.parametrize("program", VERIFIERS)
def test_signature_of_the_standard(keys, program):
    """GB/T 32918.5-2017, annex A.2."""
    verifies, _ = VERIFIERS[program]
    assert keys[0].public == VECTOR_PUBLIC
    assert verifies(keys[0], sm2.VECTOR_MESSAGE, sm2.VECTOR_SIGNATURE)


def test_ciphertext_of_the_standard(keys, tmp_path):
    """The encryption vector of the same key, through all that decrypt; gmssl, which checks nothing, is not asked."""
    x = 0x04EBFC718E8D1798620432268E77FEB6415E2EDE0E073C0F4F640ECD2E149A73
    y = 0xE858F9D81E5430A57B36DAAB8F950A3C64E6EE6A63094D99283AFF767E124DF0
    c3 = bytes.fromhex("59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766")
    c2 = bytes.fromhex("21886ca989ca9c7d58087307ca93092d651efa")
    octets = (der.encode(der.OCTET_STRING, part) for part in (c3, c2))
    cipher = der.encode(der.SEQUENCE, der.integer(x), der.integer(y), *octets)
    path = tmp_path / "cipher"
    path.write_bytes(cipher)
    assert native.decrypted(sm2.VECTOR_D, cipher) == b"encryption standard"
    assert _openssl("pkeyutl", "-decrypt", "-inkey", keys[0].private_pem, "-in", path) == b"encryption standard"
    assert _gmalg(keys[0]).decrypt(bytes.fromhex(f"04{x:064x}{y:064x}") + c3 + c2) == b"encryption standard"


# --- SM3 in C or not at all -------------------------------------------------------------------------------------------


def test_sm3_is_cryptographys_where_openssl_has_none_and_nothing_else_is_ever_taken():
    def absent(data: bytes) -> bytes:
        return hashlib.new("no such hash", data).digest()

    def wrong(data: bytes) -> bytes:
        return hashlib.sha256(data).digest()

    assert canonical.chosen((absent, wrong, canonical._cryptography_sm3)) is canonical._cryptography_sm3
    with pytest.raises(ImportError, match="SM3 is missing from Python's OpenSSL and from `cryptography`"):
        canonical.chosen((absent, wrong))


@pytest.mark.parametrize("program", ["_openssl_sm3", "_cryptography_sm3"])
def test_sm3_of_a_large_file_takes_no_pure_python(program):
    """gmssl's takes three seconds for a megabyte; 30 MB in as many seconds would be 300 times as fast."""
    data = bytes(30_000_000)
    started = time.process_time()
    getattr(canonical, program)(data)
    assert time.process_time() - started < 3


def test_without_sm3_the_program_does_not_start():
    script = (
        "import hashlib\n"
        "from cryptography.hazmat.primitives import hashes\n"
        "def none(*args, **kwargs): raise ValueError('unsupported hash type sm3')\n"
        "hashlib.new = none\n"
        "hashes.Hash = none\n"
        "import scraper_agent.app\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert told.returncode == 1
    assert told.stderr.endswith("reinstall the locked versions\n")
