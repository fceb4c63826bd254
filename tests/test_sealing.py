"""Sealed documents: the standard's own vectors, every byte that is flipped, and other programs' ciphertexts."""

from __future__ import annotations

import secrets

import gmalg
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from scraper_agent.errors import AgentError, UsageError
from scraper_agent.signing import der, native, sealing, sm2
from scraper_agent.signing.keyfile import PrivateKey

KEY = PrivateKey(d=sm2.VECTOR_D, public_key=sm2.derive_public(sm2.VECTOR_D))
OTHER = PrivateKey(d=sm2.VECTOR_D + 1, public_key=sm2.derive_public(sm2.VECTOR_D + 1))
PLAIN = "危险货物道路运输电子运单".encode()

X1 = 0x04EBFC718E8D1798620432268E77FEB6415E2EDE0E073C0F4F640ECD2E149A73
Y1 = 0xE858F9D81E5430A57B36DAAB8F950A3C64E6EE6A63094D99283AFF767E124DF0
C3 = bytes.fromhex("59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766")
C2 = bytes.fromhex("21886ca989ca9c7d58087307ca93092d651efa")
C1 = bytes.fromhex(f"04{X1:064x}{Y1:064x}")
CIPHER = der.encode(
    der.SEQUENCE,
    der.integer(X1),
    der.integer(Y1),
    der.encode(der.OCTET_STRING, C3),
    der.encode(der.OCTET_STRING, C2),
)
"""The encryption vector on the curve of GB/T 32918.5, with the key of its signature vector."""

both_modes = pytest.mark.parametrize("mode", ["gcm", "cbc"])
all_wrappings = pytest.mark.parametrize("wrapping", ["asn1", "c1c3c2", "c1c2c3"])


@pytest.mark.parametrize(
    ("wrapping", "cipher"), [("asn1", CIPHER), ("c1c3c2", C1 + C3 + C2), ("c1c2c3", C1 + C2 + C3)], ids=str
)
def test_ciphertext_of_the_standard_is_read_in_every_form(wrapping, cipher):
    assert sealing._read(cipher, wrapping) == CIPHER
    assert sealing._written(CIPHER, wrapping) == cipher
    assert native.decrypted(KEY.d, sealing._read(cipher, wrapping)) == b"encryption standard"


@both_modes
@all_wrappings
@pytest.mark.parametrize("plain", [b"", b"x", PLAIN, bytes(16), bytes(100_000)], ids=len)
def test_what_is_sealed_is_opened_by_its_reader_alone(mode, wrapping, plain):
    sealed = sealing.seal(plain, KEY.public_key, mode, wrapping)
    assert sealing.unseal(sealed, KEY, wrapping) == plain
    with pytest.raises(AgentError, match="SA3061 what was sealed cannot be opened"):
        sealing.unseal(sealed, OTHER, wrapping)
    assert sealing.seal(plain, KEY.public_key, mode, wrapping) != sealed


@both_modes
@all_wrappings
def test_every_flipped_byte_is_refused(mode, wrapping):
    sealed = sealing.seal(PLAIN, KEY.public_key, mode, wrapping)
    for at in range(len(sealed)):
        for bit in (0x01, 0x80):
            changed = sealed[:at] + bytes([sealed[at] ^ bit]) + sealed[at + 1 :]
            with pytest.raises(AgentError, match="SA3061"):
                sealing.unseal(changed, KEY, wrapping)


@both_modes
def test_cut_and_lengthened_is_refused(mode):
    sealed = sealing.seal(PLAIN, KEY.public_key, mode)
    for changed in (b"", sealed + b"\0", sealed * 2, *(sealed[:size] for size in range(0, len(sealed), 7))):
        with pytest.raises(AgentError, match="SA3061"):
            sealing.unseal(changed, KEY)


def test_parts_of_two_do_not_make_a_third():
    one, two = (sealing._parts(sealing.seal(PLAIN, KEY.public_key, "cbc")) for _ in range(2))
    for field in ("wrapped", "iv", "body", "tag"):
        mixed = sealing._Parts(**{name: getattr(one, name) for name in one.__slots__} | {field: getattr(two, field)})
        with pytest.raises(AgentError, match="SA3061"):
            sealing.unseal(mixed.encoded, KEY)


@both_modes
def test_another_program_opens_it(mode):
    """gmalg unwraps the key and cryptography's SM4, given the parts, gives the text: nothing of ours in between."""
    fields = der.Reader(sealing.seal(PLAIN, KEY.public_key, mode, "c1c3c2")).inside(der.SEQUENCE)
    fields.integer()
    fields.integer()
    wrapped, iv, body, tag = (fields.take(der.OCTET_STRING) for _ in range(4))
    key = gmalg.SM2(KEY.d.to_bytes(32, "big")).decrypt(wrapped)
    if mode == "gcm":
        assert len(key) == 16
        opened = Cipher(algorithms.SM4(key), modes.GCM(iv, tag)).decryptor().update(body)
    else:
        assert len(key) == 48
        opened = Cipher(algorithms.SM4(key[:16]), modes.CBC(iv)).decryptor().update(body)
    assert opened.startswith(PLAIN)


def test_key_wrapped_by_another_program_is_unwrapped():
    key = secrets.token_bytes(48)
    cipher = gmalg.SM2(pk=b"\x04" + bytes.fromhex(KEY.public_key)).encrypt(key)
    assert native.decrypted(KEY.d, sealing._read(cipher, "c1c3c2")) == key


def test_point_off_the_curve_is_refused():
    for x, y in ((5, 7), (0, 0), (X1, Y1 ^ 1), (sm2.P, Y1)):
        cipher = der.encode(
            der.SEQUENCE,
            der.integer(x),
            der.integer(y),
            der.encode(der.OCTET_STRING, C3),
            der.encode(der.OCTET_STRING, C2),
        )
        assert native.decrypted(KEY.d, cipher) is None


def test_without_the_extra_nothing_is_sealed(monkeypatch):
    monkeypatch.setattr(native, "available", lambda: False)
    with pytest.raises(UsageError, match="SA3060 sealing needs the extra `native`"):
        sealing.seal(PLAIN, KEY.public_key)
    with pytest.raises(UsageError, match="SA3060"):
        sealing.unseal(b"", KEY)
