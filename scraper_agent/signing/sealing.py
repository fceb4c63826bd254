"""Documents sealed for one reader, for the leg between ministry and province: SM4 under a key that SM2 wraps.

    Sealed ::= SEQUENCE {
        version  INTEGER (1),
        mode     INTEGER { gcm (1), cbc (2) },
        key      OCTET STRING,      -- the key, encrypted with SM2 (GB/T 32918.4), in one of `WRAPPINGS`
        iv       OCTET STRING,      -- 12 bytes for gcm, 16 for cbc
        body     OCTET STRING,      -- SM4 (GB/T 32907), for cbc padded by PKCS #7
        tag      OCTET STRING }     -- 16 bytes of GCM; or 32 of HMAC-SM3, encrypt-then-MAC

The tag covers every byte before it. The wrapped key is 16 bytes for SM4 and, for cbc, 32 more for HMAC-SM3.

That a leg is sealed at all, and how, stands in no public text: this form is an assumption. SM2 encryption is GmSSL's,
so sealing needs the extra `native`; gmssl's own decryption checks neither C3 nor the point and is never used.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, hmac, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from scraper_agent import gcm
from scraper_agent.errors import AgentError, UsageError
from scraper_agent.messages import N_
from scraper_agent.signing import der, native, sm2
from scraper_agent.signing.keyfile import PrivateKey

Mode: TypeAlias = Literal["gcm", "cbc"]
Wrapping: TypeAlias = Literal["asn1", "c1c3c2", "c1c2c3"]
"""How an SM2 ciphertext is written: SM2Cipher of GM/T 0009 §7.2; or its parts joined, C1 with its leading 04, in the
order of GB/T 32918.4-2016 or in the one before it."""

_VERSION = 1
_MODES: dict[Mode, int] = {"gcm": 1, "cbc": 2}
_SM4_BYTES = 16
_MAC_BYTES = 32
_BLOCK_BYTES = 16
_C3_BYTES = 32
_COORDINATE_BYTES = 32


class _Closed(Exception):
    """Not to be opened; why is nobody's business, for whoever forges learns from it."""


@dataclass(frozen=True, slots=True)
class _Parts:
    mode: Mode
    wrapped: bytes
    iv: bytes
    body: bytes
    tag: bytes

    @property
    def covered(self) -> bytes:
        """What the tag covers beside the body."""
        return der.integer(_VERSION) + der.integer(_MODES[self.mode]) + self._octets(self.wrapped, self.iv)

    @property
    def encoded(self) -> bytes:
        return der.encode(der.SEQUENCE, self.covered, self._octets(self.body, self.tag))

    @staticmethod
    def _octets(*parts: bytes) -> bytes:
        return b"".join(der.encode(der.OCTET_STRING, part) for part in parts)


def seal(plain: bytes, public: str, mode: Mode = "gcm", wrapping: Wrapping = "asn1") -> bytes:
    """`plain` for the holder of the private key to `public`. Twice the same gives two different results.

    Raises:
        ValueError: `public` is no public key.
        UsageError: the extra `native` is not installed.
    """
    public = sm2.parse_public(public)
    _need_native()
    key = secrets.token_bytes(_SM4_BYTES if mode == "gcm" else _SM4_BYTES + _MAC_BYTES)
    iv = secrets.token_bytes(gcm.IV_BYTES if mode == "gcm" else _BLOCK_BYTES)
    head = _Parts(mode, _written(native.encrypted(public, key), wrapping), iv, b"", b"")
    if mode == "gcm":
        body, tag = gcm.encrypt("sm4-gcm", key, iv, plain, head.covered)
    else:
        padder = padding.PKCS7(_BLOCK_BYTES * 8).padder()
        chain = Cipher(algorithms.SM4(key[:_SM4_BYTES]), modes.CBC(iv)).encryptor()
        body = chain.update(padder.update(plain) + padder.finalize()) + chain.finalize()
        tag = _mac(key, head.covered, body).finalize()
    return _Parts(mode, head.wrapped, iv, body, tag).encoded


def unseal(sealed: bytes, key: PrivateKey, wrapping: Wrapping = "asn1") -> bytes:
    """What was sealed for `key`, unchanged.

    Raises:
        UsageError: the extra `native` is not installed.
        AgentError: it is not of the form, was changed, or is for another key.
    """
    _need_native()
    try:
        return _opened(_parts(sealed), key, wrapping)
    except (_Closed, ValueError):
        # Not "from": what was half decrypted has no place in a traceback.
        raise AgentError(
            "SA3061",
            N_("what was sealed cannot be opened: it was changed on its way, or is not for key {public}"),
            hint=N_("compare the fingerprint of the key that it was sealed for, and the form of the wrapped key"),
            public=key.public_key,
        ) from None


def _opened(parts: _Parts, key: PrivateKey, wrapping: Wrapping) -> bytes:
    secret = native.decrypted(key.d, _read(parts.wrapped, wrapping))
    if secret is None or len(secret) != (_SM4_BYTES if parts.mode == "gcm" else _SM4_BYTES + _MAC_BYTES):
        raise _Closed
    if parts.mode == "gcm":
        plain = gcm.decrypt("sm4-gcm", secret, parts.iv, parts.body, parts.tag, parts.covered)
        if plain is None:
            raise _Closed
        return plain
    try:
        _mac(secret, parts.covered, parts.body).verify(parts.tag)
    except InvalidSignature:
        raise _Closed from None
    chain = Cipher(algorithms.SM4(secret[:_SM4_BYTES]), modes.CBC(parts.iv)).decryptor()
    unpadder = padding.PKCS7(_BLOCK_BYTES * 8).unpadder()
    return unpadder.update(chain.update(parts.body) + chain.finalize()) + unpadder.finalize()


def _parts(sealed: bytes) -> _Parts:
    """Raises ValueError unless `sealed` is the one spelling of its parts, each of its right length."""
    outer = der.Reader(sealed)
    fields = outer.inside(der.SEQUENCE)
    outer.end()
    version, number = fields.integer(), fields.integer()
    mode = next((mode for mode, known in _MODES.items() if known == number), None)
    if version != _VERSION or mode is None:
        raise der.Malformed("another version or mode")
    parts = _Parts(mode, *(fields.take(der.OCTET_STRING) for _ in range(4)))
    fields.end()
    lengths = (gcm.IV_BYTES, _BLOCK_BYTES) if mode == "gcm" else (_BLOCK_BYTES, _MAC_BYTES)
    if (len(parts.iv), len(parts.tag)) != lengths:
        raise der.Malformed("initial value or tag of another length")
    return parts


def _mac(key: bytes, covered: bytes, body: bytes) -> hmac.HMAC:
    mac = hmac.HMAC(key[_SM4_BYTES:], hashes.SM3())
    # The lengths in `covered` are DER's own and the body is the rest: no two inputs read the same.
    mac.update(covered)
    mac.update(body)
    return mac


def _written(cipher: bytes, wrapping: Wrapping) -> bytes:
    """GmSSL's SM2Cipher in another form."""
    if wrapping == "asn1":
        return cipher
    x, y, c3, c2 = _fields(cipher)
    c1 = b"\x04" + x.to_bytes(_COORDINATE_BYTES, "big") + y.to_bytes(_COORDINATE_BYTES, "big")
    return c1 + (c3 + c2 if wrapping == "c1c3c2" else c2 + c3)


def _read(wrapped: bytes, wrapping: Wrapping) -> bytes:
    """The inverse of `_written`, strict; raises ValueError."""
    if wrapping == "asn1":
        x, y, c3, c2 = _fields(wrapped)
    else:
        form = rb"\x04(?P<x>.{32})(?P<y>.{32})" + (
            rb"(?P<c3>.{32})(?P<c2>.+)" if wrapping == "c1c3c2" else rb"(?P<c2>.+)(?P<c3>.{32})"
        )
        found = re.fullmatch(form, wrapped, re.DOTALL)
        if found is None:
            raise der.Malformed("no C1, C2 and C3")
        x, y = int.from_bytes(found["x"], "big"), int.from_bytes(found["y"], "big")
        c3, c2 = found["c3"], found["c2"]
    return der.encode(
        der.SEQUENCE,
        der.integer(x),
        der.integer(y),
        der.encode(der.OCTET_STRING, c3),
        der.encode(der.OCTET_STRING, c2),
    )


def _fields(cipher: bytes) -> tuple[int, int, bytes, bytes]:
    """X, Y, C3, C2 of an SM2Cipher."""
    outer = der.Reader(cipher)
    fields = outer.inside(der.SEQUENCE)
    outer.end()
    x, y = fields.integer(), fields.integer()
    c3, c2 = fields.take(der.OCTET_STRING), fields.take(der.OCTET_STRING)
    fields.end()
    if len(c3) != _C3_BYTES or max(x, y) >= sm2.P:
        raise der.Malformed("C1 or C3 out of range")
    return x, y, c3, c2


def _need_native() -> None:
    if not native.available():
        raise UsageError(
            "SA3060",
            N_("sealing needs the extra `native`, which is not installed or fails its self-test"),
            hint=N_("`pip install scraper-agent[native]`, on Windows or Linux with an x64 processor"),
        )
