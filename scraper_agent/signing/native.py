"""The optional fast signer: the C library GmSSL through `gmssl_pyx` (`pip install scraper-agent[native]`).

Why this one: it has wheels for Windows and Linux on x64, asks the operating system for every nonce, and its functions
take and give bytes. Reaching Python's own libcrypto by ctypes would need no wheel, but a wrong pointer ends the
process, some distributions build OpenSSL without SM2, and few would test that road with us.

Two programs must agree before a signature leaves. gmssl's full check takes about 10 ms, which allows some 100
signatures a second, not 1,000. Hence: at the start GmSSL must accept the known signature of GB/T 32918.5 and make one
that gmssl accepts; then every signature passes `check.Gate`, where gmssl checks the first 16 and every 256th, and
`check.Check`, which is code of this project, the others.

What is signed is hashed by Python's `hashlib`.
"""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType

from scraper_agent.errors import AgentError
from scraper_agent.messages import N_
from scraper_agent.signing import sm2
from scraper_agent.signing.check import Gate


class NativeKey:
    """A private key that GmSSL signs with; about 0.5 ms each. Thread-safe."""

    def __init__(self, d: int, public: str) -> None:
        """`public` belongs to `d`. Only where `available()`."""
        self._d = d.to_bytes(32, "big")
        self._public = sm2.parse_public(public)
        self._gate = Gate(public)

    def __repr__(self) -> str:
        return f"NativeKey({self._public!r})"

    def sign(self, message: bytes) -> bytes:
        """R‖S, 64 bytes, checked before it is released.

        Raises:
            AgentError: GmSSL made something else than a signature of `message`.
        """
        e = sm2.digest(self._public, message)
        signature = signed(self._d, e)
        if signature is None or not self._gate.holds(e, signature):
            raise AgentError(
                "SA3040",
                N_("GmSSL made a signature with public key {public} that gmssl refuses; it was not released"),
                hint=N_("set `native: never` in the configuration under `signing`, and check this machine's memory"),
                public=self._public,
            )
        return signature


@cache
def available() -> bool:
    """Whether GmSSL is installed and computes what the standard says; found out once per process, about 40 ms."""
    try:
        library = _library()
    except (ImportError, OSError):
        return False
    public = sm2.derive_public(sm2.VECTOR_D)
    e = sm2.digest(public, sm2.VECTOR_MESSAGE)
    known = sm2.signature_to_der(sm2.VECTOR_SIGNATURE)
    try:
        if library.sm2_verify_sm3_digest(bytes.fromhex(public), e, known) is not True:
            return False
    except library.GmsslInnerError:
        return False
    made = signed(sm2.VECTOR_D.to_bytes(32, "big"), e)
    return made is not None and sm2.holds(public, e, made)


def signed(d: bytes, e: bytes) -> bytes | None:
    """GmSSL's signature R‖S of digest `e`, not checked; None if it is not one by its form."""
    library = _library()
    try:
        return sm2.signature_from_der(library.sm2_sign_sm3_digest(d, e))
    except (ValueError, library.GmsslInnerError):
        return None


def encrypted(public: str, plain: bytes) -> bytes:
    """GmSSL's SM2Cipher (GM/T 0009 §7.2, C1C3C2) of 1 to 255 bytes."""
    library = _library()
    return bytes(library.sm2_encrypt(bytes.fromhex(public), plain))


def decrypted(d: int, cipher: bytes) -> bytes | None:
    """The inverse; None if C3 does not fit, the point is not on the curve, or `cipher` is malformed.

    GmSSL tells stderr what it did not like.
    """
    library = _library()
    try:
        return bytes(library.sm2_decrypt(d.to_bytes(32, "big"), cipher))
    except library.GmsslInnerError:
        return None


def _library() -> ModuleType:
    """Raises ImportError where the extra is not installed, OSError where it was built for another machine."""
    return importlib.import_module("gmssl_pyx")
