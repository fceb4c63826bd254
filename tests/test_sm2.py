"""SM2: known answers from GB/T 32918.5-2017, hostile input, awkward keys, and the door to gmssl kept shut."""

from __future__ import annotations

import hmac
import random
import re
import secrets
from pathlib import Path

import pytest

import scraper_agent
from scraper_agent.errors import AgentError
from scraper_agent.signing import der, sm2

D = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
PUBLIC = (
    "09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
K = 0x59276E27D506861A16680F3AD9C02DCCEF3CC1FA3CDBE4CE6D54B80DEAC1BC21
MESSAGE = b"message digest"
R = 0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3
S = 0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA
SIGNATURE = R.to_bytes(32, "big") + S.to_bytes(32, "big")
DER = bytes.fromhex(
    "3046022100f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3"
    "022100b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
)


def raw(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def test_public_key_of_the_standard():
    assert sm2.derive_public(D) == PUBLIC


def test_digest_of_the_standard():
    assert sm2.digest(PUBLIC, MESSAGE).hex() == "f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640"


def test_signature_of_the_standard_with_its_nonce(monkeypatch):
    monkeypatch.setattr(sm2, "_nonce", lambda d, e, attempt: K)
    assert sm2.sign(D, PUBLIC, MESSAGE) == SIGNATURE


def test_signature_of_the_standard_holds():
    assert sm2.verify(PUBLIC, MESSAGE, SIGNATURE)


@pytest.mark.parametrize("message", [b"", b"x", "电子运单".encode("gbk"), bytes(1_000_000)], ids=len)
def test_what_is_signed_holds_for_that_message_alone(message):
    signature = sm2.sign(D, PUBLIC, message)
    assert len(signature) == 64
    assert sm2.verify(PUBLIC, message, signature)
    assert not sm2.verify(PUBLIC, message + b"\0", signature)


def test_signature_binds_the_identifier():
    signature = sm2.sign(D, PUBLIC, MESSAGE, uid=b"ALICE123@YAHOO.COM")
    assert sm2.verify(PUBLIC, MESSAGE, signature, uid=b"ALICE123@YAHOO.COM")
    assert not sm2.verify(PUBLIC, MESSAGE, signature)
    with pytest.raises(ValueError, match="8192 bytes, at most 8191"):
        sm2.sign(D, PUBLIC, MESSAGE, uid=bytes(8192))


MALFORMED = {
    "empty": b"",
    "one byte": b"\x01",
    "63 bytes": SIGNATURE[:-1],
    "63 bytes, first cut": SIGNATURE[1:],
    "65 bytes": SIGNATURE + b"\0",
    "65 bytes, zero first": b"\0" + SIGNATURE,
    "garbage after": SIGNATURE + b"\xde\xad\xbe\xef",
    "twice": SIGNATURE * 2,
    "half": SIGNATURE[:32],
    "swapped": raw(S, R),
    "hex digits": SIGNATURE.hex().encode(),
    "first half of hex": SIGNATURE.hex()[:64].encode(),
    "zeros": bytes(64),
    "ones": b"\xff" * 64,
    "spaces": b" " * 64,
    "DER": DER,
    "r = 0": raw(0, S),
    "s = 0": raw(R, 0),
    "r = 1": raw(1, S),
    "s = 1": raw(R, 1),
    "r = n": raw(sm2.N, S),
    "s = n": raw(R, sm2.N),
    "r = n - 1": raw(sm2.N - 1, S),
    "s = n - 1": raw(R, sm2.N - 1),
    "r = n + 1": raw(sm2.N + 1, S),
    "s = n + 1": raw(R, sm2.N + 1),
    "r = p": raw(sm2.P, S),
    "s = 2^256 - 1": raw(R, 2**256 - 1),
    "r = 2^256 - 1": raw(2**256 - 1, S),
    "r + s = n": raw(R, sm2.N - R),
    "negated r": raw(sm2.N - R, S),
    "negated s": raw(R, sm2.N - S),
    "r = s": raw(R, R),
    "text": SIGNATURE.hex(),
    "None": None,
    "number": R,
    "list": list(SIGNATURE),
    "tuple": tuple(SIGNATURE),
}


@pytest.mark.parametrize("signature", MALFORMED.values(), ids=MALFORMED)
def test_malformed_signature_does_not_hold_and_does_not_raise(signature):
    assert sm2.verify(PUBLIC, MESSAGE, signature) is False


def solved(r: int, s: int) -> bytes:
    """The digest e for which (r, s) satisfies the verification equation under the key of the standard."""
    t = (r + s) % sm2.N
    x = int(sm2.derive_public((s + t * D) % sm2.N)[:64], 16)
    return ((r - x) % sm2.N).to_bytes(32, "big")


def test_equation_alone_does_not_make_a_signature():
    assert sm2._holds(PUBLIC, solved(5, 7), raw(5, 7))
    assert not sm2._holds(PUBLIC, solved(5, 7), raw(5, 7 + sm2.N))  # the same s modulo n: a second spelling
    assert not sm2._holds(PUBLIC, solved(5, 7), raw(5, 7)[:32] + raw(5, 7)[33:])  # the same s, a zero byte less
    assert not sm2._holds(PUBLIC, solved(0, 7), raw(0, 7))
    assert not sm2._holds(PUBLIC, solved(7, 0), raw(7, 0))


@pytest.mark.parametrize("bit", [*range(0, 512, 8), 511])
def test_flipped_bit_does_not_hold(bit):
    assert not sm2.verify(PUBLIC, MESSAGE, (int.from_bytes(SIGNATURE, "big") ^ (1 << bit)).to_bytes(64, "big"))


@pytest.mark.parametrize(
    "public",
    [
        "",
        "zz" * 64,
        PUBLIC[:-2],
        PUBLIC + "00",
        "04" * 2 + PUBLIC,
        "0" * 128,
        PUBLIC[:-1] + "0",
        "f" * 128,
        " " + PUBLIC,
    ],
)
def test_what_is_no_point_of_the_curve_is_no_public_key(public):
    with pytest.raises(ValueError, match="SM2 public key"):
        sm2.parse_public(public)
    assert sm2.verify(public, MESSAGE, SIGNATURE) is False
    with pytest.raises(ValueError, match="SM2 public key"):
        sm2.sign(D, public, MESSAGE)


def test_public_key_has_one_spelling_and_is_read_from_four():
    forms = (PUBLIC, PUBLIC.upper(), "04" + PUBLIC, bytes.fromhex(PUBLIC), bytes.fromhex("04" + PUBLIC))
    assert {sm2.parse_public(form) for form in forms} == {PUBLIC}


@pytest.mark.parametrize("d", [0, -1, sm2.N - 1, sm2.N, sm2.N + 5])
def test_private_key_out_of_range_is_refused(d):
    with pytest.raises(ValueError, match="out of range"):
        sm2.derive_public(d)
    with pytest.raises(ValueError, match="out of range"):
        sm2.sign(d, PUBLIC, MESSAGE)


def test_keys_that_are_no_pair_sign_nothing():
    with pytest.raises(AgentError, match="SA3002 SM2 made no valid signature"):
        sm2.sign(D + 1, PUBLIC, MESSAGE)


AWKWARD = [
    *(1001, 1009, 1023, 1053, 1063, 1076, 1087, 1092, 1096, 1099, 1107, 1108),
    *(1128, 1140, 1141, 1144, 1155, 1158, 1159, 1180, 1300, 1515, 1682, 2181),
]
"""Private keys whose public key starts with digits that gmssl's constructor strips: 10 with 0, 10 with 4, 4 with 04."""


@pytest.mark.parametrize("d", AWKWARD)
def test_keys_that_start_with_0_or_4_sign_and_verify(d):
    public = sm2.derive_public(d)
    assert public[0] in "04"
    signature = sm2.sign(d, "04" + public, MESSAGE)
    assert sm2.verify(public, MESSAGE, signature)
    assert sm2.verify("04" + public, MESSAGE, signature)


def test_nonce_does_not_follow_the_random_module():
    state = random.getstate()
    drawn = set()
    for _ in range(500):
        random.seed(0)
        drawn.add(sm2._nonce(D, bytes(32), 0))
    signed = set()
    for _ in range(10):
        random.seed(0)
        signed.add(sm2.sign(D, PUBLIC, MESSAGE)[:32])
    random.setstate(state)
    assert len(drawn) == 500
    assert len(signed) == 10


def test_nonce_is_bound_to_key_message_and_try_even_when_the_random_source_is_stuck(monkeypatch):
    monkeypatch.setattr(secrets, "token_bytes", bytes)
    nonces = {sm2._nonce(D, bytes(32), 0), sm2._nonce(D + 1, bytes(32), 0)}
    nonces |= {sm2._nonce(D, bytes(31) + b"\1", 0), sm2._nonce(D, bytes(32), 1)}
    assert len(nonces) == 4


def test_hmac_sm3_is_that_of_hashlib():
    assert sm2._hmac_sm3(bytes(range(32)), b"message") == hmac.new(bytes(range(32)), b"message", "sm3").digest()


def test_nothing_is_signed_when_the_self_test_fails(monkeypatch):
    monkeypatch.setattr(sm2, "_sound", lambda: False)
    with pytest.raises(AgentError) as caught:
        sm2.sign(D, PUBLIC, MESSAGE)
    assert str(caught.value) == (
        "SA3001 SM2 self-test failed: the known signature of GB/T 32918.5 did not come out\n"
        "hint: reinstall the locked versions of `gmssl` and `cryptography`"
    )
    assert not sm2.verify(PUBLIC, MESSAGE, SIGNATURE)


def test_der_of_the_standard():
    assert sm2.signature_to_der(SIGNATURE) == DER
    assert sm2.signature_from_der(DER) == SIGNATURE


@pytest.mark.parametrize("r", [1, 127, 128, 255, 2**248, sm2.N - 1])
def test_der_pads_and_shortens_as_integers_do(r):
    signature = raw(r, 1)
    assert sm2.signature_from_der(sm2.signature_to_der(signature)) == signature


def sequence(*parts: bytes) -> bytes:
    return der.encode(der.SEQUENCE, *parts)


NOT_STRICT = {
    "empty": b"",
    "tag alone": b"\x30",
    "trailing byte": DER + b"\0",
    "cut": DER[:-1],
    "three integers": sequence(der.integer(R), der.integer(S), der.integer(7)),
    "one integer": sequence(der.integer(R)),
    "s + n": sequence(der.integer(R), der.integer(S + sm2.N)),
    "s + n 2^300": sequence(der.integer(R), der.integer(S + (sm2.N << 300))),
    "r = 0": sequence(der.integer(0), der.integer(S)),
    "negative s": sequence(der.integer(R), der.encode(der.INTEGER, S.to_bytes(32, "big"))),
    "needless zero": sequence(der.integer(R), der.encode(der.INTEGER, b"\0\0" + S.to_bytes(32, "big"))),
    "empty integer": sequence(der.integer(R), der.encode(der.INTEGER, b"")),
    "long form of a short length": b"\x30\x81" + DER[1:],
    "indefinite length": b"\x30\x80" + DER[2:] + b"\0\0",
    "length with leading zero": b"\x30\x82\x00" + DER[1:],
    "set": b"\x31" + DER[1:],
    "octet strings": sequence(
        der.encode(der.OCTET_STRING, SIGNATURE[:32]), der.encode(der.OCTET_STRING, SIGNATURE[32:])
    ),
}


@pytest.mark.parametrize("encoded", NOT_STRICT.values(), ids=NOT_STRICT)
def test_der_that_is_not_strict_is_refused(encoded):
    with pytest.raises(ValueError):  # noqa: PT011 - each of these is wrong in its own way
        sm2.signature_from_der(encoded)


def test_length_has_no_leading_zero():
    assert der.Reader(b"\x04\x81\x80" + bytes(128)).take(der.OCTET_STRING) == bytes(128)
    with pytest.raises(der.Malformed, match="shortest form"):
        der.Reader(b"\x04\x82\x00\x80" + bytes(128)).take(der.OCTET_STRING)


SOURCES = sorted(Path(scraper_agent.__file__).parent.rglob("*.py"))
UNSAFE = {
    r"CryptSM2\(": {"signing/sm2.py"},
    r"random_hex": set(),
    r"sign_with_sm3|verify_with_sm3": set(),
    r"(?m)^\s*(?:from|import) gmssl\b": {"signing/sm2.py"},
    r"gmssl_pyx\"": {"signing/native.py"},
    r"(?m)^\s*(?:from|import) gmssl_pyx": set(),
    r"(?m)from gmssl import (?!sm2 as _gmssl$)": set(),  # neither its SM3, slow, nor its SM4, unchecked
    r"sm3_hash|_sm3_z|crypt_cbc|crypt_ecb|engine\.(?:en|de)crypt": set(),
    r"(?m)^\s*(?:from random|import random)\b": set(),
}


@pytest.mark.parametrize(("pattern", "allowed"), UNSAFE.items(), ids=UNSAFE)
def test_gmssl_and_weak_randomness_stay_behind_the_guard(pattern, allowed):
    root = Path(scraper_agent.__file__).parent
    users = {p.relative_to(root).as_posix() for p in SOURCES if re.search(pattern, p.read_text(encoding="utf-8"))}
    assert users == allowed
