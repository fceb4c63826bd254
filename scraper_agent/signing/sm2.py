"""SM2 signatures (GB/T 32918.2-2016 on the curve of GB/T 32918.5-2017). The only door to gmssl's SM2.

gmssl 3.2.2 alone is not safe: it draws nonces from `random`, strips leading 0 and 4 digits off public keys, checks no
range and no curve, and its `verify` raises on hostile input. Here it does arithmetic only, on values checked before.
Not constant in time: whoever can time signatures on this machine to the microsecond may learn about the nonces.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, TypeAlias

from gmssl import sm2 as _gmssl

from scraper_agent import canonical
from scraper_agent.errors import AgentError
from scraper_agent.messages import N_
from scraper_agent.signing import der

P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFC
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
G = (
    "32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7"
    "bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0"
)

DEFAULT_UID = b"1234567812345678"
"""GM/T 0009-2012 §10."""

SIGNATURE_BYTES = 64

Check: TypeAlias = Callable[[bytes, bytes], bool]
"""(what was signed, as by `digest`; R‖S) -> whether it holds."""

VECTOR_D = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
VECTOR_MESSAGE = b"message digest"
VECTOR_SIGNATURE = bytes.fromhex(
    "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3"
    "b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
)
"""The signature vector of GB/T 32918.5-2017."""

_MAX_UID_BYTES = 8191
"""ENTL counts the bits of the identifier in two bytes (GB/T 32918.2 §5.5)."""

_ATTEMPTS = 8
_PUBLIC = re.compile(r"(?:04)?([0-9a-f]{128})")


def parse_public(public: str | bytes) -> str:
    """X‖Y as 128 lower-case hex digits, from hex or raw bytes, with or without the leading byte 04.

    Raises:
        ValueError: another length, not hex, or not a point of the curve.
    """
    if isinstance(public, bytes):
        public = public.hex()
    return _parsed(public)


def derive_public(d: int) -> str:
    """The public key of private key `d`.

    Raises:
        ValueError: `d` is not within 1 … n-2.
    """
    if not 1 <= d <= N - 2:
        raise ValueError("SM2 private key out of range 1 … n-2")
    return str(_engine(G)._kg(d, G))  # noqa: SLF001 - gmssl has no public name for d·G


def digest(public: str, message: bytes, uid: bytes = DEFAULT_UID) -> bytes:
    """The 32 bytes that are signed: SM3(Z_A ‖ message), GB/T 32918.2 §6.1."""
    return canonical.sm3(_z(_parsed(public), uid) + message)


def sign(d: int, public: str, message: bytes, uid: bytes = DEFAULT_UID, check: Check | None = None) -> bytes:
    """R‖S, 64 bytes, verified before it is released, by gmssl or by `check`. `public` must belong to `d`.

    Raises:
        ValueError: a key out of range or not on the curve; an identifier too long.
        AgentError: gmssl does not compute what the standard says, or the keys are no pair.
    """
    if not 1 <= d <= N - 2:
        raise ValueError("SM2 private key out of range 1 … n-2")
    if not _sound():
        raise AgentError(
            "SA3001",
            N_("SM2 self-test failed: the known signature of GB/T 32918.5 did not come out"),
            hint=N_("reinstall the locked versions of `gmssl` and `cryptography`"),
        )
    public = _parsed(public)
    e = digest(public, message, uid)
    engine = _engine(public, d)
    for attempt in range(_ATTEMPTS):
        made = engine.sign(e, f"{_nonce(d, e, attempt):064x}")
        if made is None:  # r = 0, r + k = n or s = 0: gmssl leaves the next try to its caller
            continue
        signature = bytes.fromhex(made)
        if not (_holds(public, e, signature) if check is None else check(e, signature)):
            break  # a fault or a wrong pair; a second faulty signature would only tell more of the key
        return signature
    raise AgentError(
        "SA3002",
        N_("SM2 made no valid signature with public key {public}"),
        hint=N_("check that private and public key belong together; if they do, check this machine's memory"),
        public=public,
    )


def verify(public: str, message: bytes, signature: bytes, uid: bytes = DEFAULT_UID) -> bool:
    """Whether `signature`, R‖S in 64 bytes, holds. Never raises: whatever is malformed does not hold."""
    try:
        return _sound() and _holds(_parsed(public), digest(public, message, uid), signature)
    except (TypeError, ValueError, AttributeError):
        return False


def holds(public: str, e: bytes, signature: bytes) -> bool:
    """As `verify`, of what `digest` made: for signatures made elsewhere, where only the digest was given away.

    Raises:
        ValueError: `public` is no public key.
    """
    return _sound() and _holds(_parsed(public), e, signature)


def signature_to_der(signature: bytes) -> bytes:
    """SEQUENCE of two INTEGERs (GM/T 0009-2012 §7.3), from R‖S."""
    if len(signature) != SIGNATURE_BYTES:
        raise ValueError(f"signature of {len(signature)} bytes, expected {SIGNATURE_BYTES}")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    return der.encode(der.SEQUENCE, der.integer(r), der.integer(s))


def signature_from_der(encoded: bytes) -> bytes:
    """R‖S, from strict DER.

    Raises:
        ValueError: not exactly two INTEGERs of 1 … n-1 in their shortest form.
    """
    outer = der.Reader(encoded)
    pair = outer.inside(der.SEQUENCE)
    outer.end()
    r, s = pair.integer(), pair.integer()
    pair.end()
    if not (1 <= r < N and 1 <= s < N):
        raise ValueError("r or s out of range 1 … n-1")
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@lru_cache(maxsize=256)
def _parsed(public: str) -> str:
    match = _PUBLIC.fullmatch(public.lower())
    if not match:
        raise ValueError("SM2 public key: expected 128 hex digits X‖Y, or 04 and 128")
    x, y = int(match[1][:64], 16), int(match[1][64:], 16)
    if not (x < P and y < P and (y * y - (x * x * x + A * x + B)) % P == 0):
        raise ValueError("SM2 public key: not a point of the curve")
    return match[1]


@lru_cache(maxsize=256)
def _z(public: str, uid: bytes) -> bytes:
    if len(uid) > _MAX_UID_BYTES:
        raise ValueError(f"identifier of {len(uid)} bytes, at most {_MAX_UID_BYTES}")
    return canonical.sm3((len(uid) * 8).to_bytes(2, "big") + uid + bytes.fromhex(f"{A:064x}{B:064x}{G}{public}"))


def _engine(public: str, d: int | None = None) -> Any:
    engine = _gmssl.CryptSM2(private_key=None if d is None else f"{d:064x}", public_key="", asn1=False)
    engine.public_key = public  # never through the constructor: its lstrip("04") eats digits of one key in eight
    return engine


def _nonce(d: int, e: bytes, attempt: int) -> int:
    """Hedged: random, and bound to key and message, so that a weak random source alone does not give the key away."""
    while True:
        k = int.from_bytes(_hmac_sm3(d.to_bytes(32, "big"), secrets.token_bytes(32) + e + bytes([attempt])), "big")
        if 1 <= k < N:
            return k


def _hmac_sm3(key: bytes, message: bytes) -> bytes:
    """RFC 2104 over `canonical.sm3`, because `hmac` needs an OpenSSL that has SM3. `key` is at most 64 bytes."""
    block = key.ljust(64, b"\0")
    inner = canonical.sm3(bytes(b ^ 0x36 for b in block) + message)
    return canonical.sm3(bytes(b ^ 0x5C for b in block) + inner)


def _holds(public: str, e: bytes, signature: bytes) -> bool:
    if len(signature) != SIGNATURE_BYTES:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (1 <= r < N and 1 <= s < N) or (r + s) % N == 0:
        return False
    try:
        return _engine(public).verify(signature.hex(), e) is True
    except (TypeError, ValueError):  # gmssl's way of meeting the point at infinity
        return False


@cache
def _sound() -> bool:
    """The signature vector of GB/T 32918.5-2017, made and verified once per process (about 12 ms)."""
    k = "59276e27d506861a16680f3ad9c02dccef3cc1fa3cdbe4ce6d54b80deac1bc21"
    public = derive_public(VECTOR_D)
    e = digest(public, VECTOR_MESSAGE)
    made = _engine(public, VECTOR_D).sign(e, k)
    return made == VECTOR_SIGNATURE.hex() and _holds(public, e, VECTOR_SIGNATURE)
