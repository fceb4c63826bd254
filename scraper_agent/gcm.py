"""Encryption by GCM, by the library `cryptography`: AES with 256 bits (NIST SP 800-38D), or SM4 (GB/T 32907, 36624)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

Name: TypeAlias = Literal["aes-256-gcm", "sm4-gcm"]
IV_BYTES = 12
TAG_BYTES = 16
KEY_BYTES: Mapping[str, int] = {"aes-256-gcm": 32, "sm4-gcm": 16}
"""By name: the ciphers there are."""


def encrypt(name: Name, key: bytes, iv: bytes, plain: bytes, covered: bytes) -> tuple[bytes, bytes]:
    """The ciphertext and its tag. `iv`: never the same twice under one key. `covered`: told by the tag too."""
    encryptor = Cipher(_algorithm(name, key), modes.GCM(iv)).encryptor()
    encryptor.authenticate_additional_data(covered)
    body = encryptor.update(plain) + encryptor.finalize()
    return body, encryptor.tag


def decrypt(name: Name, key: bytes, iv: bytes, body: memoryview | bytes, tag: bytes, covered: bytes) -> bytes | None:
    """What was encrypted; None if any of this is not what it was then.

    Raises:
        ValueError: a key, initial value or tag of another length.
    """
    decryptor = Cipher(_algorithm(name, key), modes.GCM(iv, tag)).decryptor()
    decryptor.authenticate_additional_data(covered)
    try:
        return decryptor.update(body) + decryptor.finalize()
    except InvalidTag:
        return None


def _algorithm(name: Name, key: bytes) -> algorithms.AES256 | algorithms.SM4:
    if len(key) != KEY_BYTES[name]:
        raise ValueError(f"{len(key)} bytes are no key of {name}")
    return algorithms.SM4(key) if name == "sm4-gcm" else algorithms.AES256(key)
