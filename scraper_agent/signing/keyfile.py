"""One private key in one file: encrypted PKCS#8 in PEM, as the openssl command line reads and writes it.

PBES2 (RFC 8018) of AES-256-CBC and PBKDF2-HMAC-SHA256 with 600,000 iterations or more. CBC carries no check value, so
everything decrypted is checked: padding, structure, object identifiers, range, and that the two keys are a pair.

Files of others are read once, to be sealed anew in this form: openssl's with fewer iterations, and GmSSL's own, which
is PBES2 of SM4-CBC and PBKDF2-HMAC-SM3 (`gmssl sm2keygen`, 65,536 iterations) and which openssl does not read.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from pydantic import SecretStr

from scraper_agent.durable import sync_folder
from scraper_agent.errors import AgentError, NeedsPerson, UsageError
from scraper_agent.messages import N_
from scraper_agent.signing import der, sm2

ITERATIONS = 600_000
PASSPHRASE_CHARACTERS = 8
"""Fewest in a new passphrase."""

_MOST_ITERATIONS = 10_000_000  # a hostile file must not keep the agent busy for hours
_MOST_BYTES = 65_536
_SALT_BYTES = 16
_BLOCK_BYTES = 16
_SCALAR_BYTES = 32

_PBES2 = bytes.fromhex("2a864886f70d01050d")  # 1.2.840.113549.1.5.13
_PBKDF2 = bytes.fromhex("2a864886f70d01050c")  # 1.2.840.113549.1.5.12
_HMAC_SHA256 = bytes.fromhex("2a864886f70d0209")  # 1.2.840.113549.2.9
_HMAC_SM3 = bytes.fromhex("2a811ccf5501831102")  # 1.2.156.10197.1.401.2
_AES_256_CBC = bytes.fromhex("60864801650304012a")  # 2.16.840.1.101.3.4.1.42
_SM4_CBC = bytes.fromhex("2a811ccf55016802")  # 1.2.156.10197.1.104.2
_EC_PUBLIC_KEY = bytes.fromhex("2a8648ce3d0201")  # 1.2.840.10045.2.1
_SM2_CURVE = bytes.fromhex("2a811ccf5501822d")  # 1.2.156.10197.1.301

_PRIVATE_LABEL = "ENCRYPTED PRIVATE KEY"
_PUBLIC_LABEL = "PUBLIC KEY"
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\s+([A-Za-z0-9+/=\s]+)-----END \1-----\s*")

_SM2_ALGORITHM = der.encode(der.SEQUENCE, der.encode(der.OID, _EC_PUBLIC_KEY), der.encode(der.OID, _SM2_CURVE))


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateKey:
    """A pair. `d` never shows in a repr."""

    d: int = field(repr=False)
    public_key: str
    """X‖Y, 128 lower-case hex digits."""


@dataclass(frozen=True, slots=True)
class _Scheme:
    """A PBES2 that is taken: hash of PBKDF2 by object identifier, ciphers with the bytes of their keys, iterations."""

    hashes: Mapping[bytes, tuple[str, type[hashes.SHA256 | hashes.SM3]]]
    ciphers: Mapping[bytes, tuple[str, type[algorithms.AES | algorithms.SM4], int]]
    least_iterations: int


class _Unusable(Exception):
    """What a key file has, and what it should have."""

    def __init__(self, seen: str, expected: str) -> None:
        super().__init__(seen, expected)
        self.seen = seen
        self.expected = expected


class _WrongPassphrase(Exception):
    """What came out of decryption is no private key."""


def generate() -> PrivateKey:
    d = secrets.randbelow(sm2.N - 2) + 1
    return PrivateKey(d=d, public_key=sm2.derive_public(d))


def write(path: Path, key: PrivateKey, passphrase: SecretStr) -> None:
    """Seal `key` into the new file `path`, readable by its owner alone; durable when this returns. Never overwrites.

    Raises:
        UsageError: the file exists, or the passphrase is too short.
        AgentError: the folder cannot be written.
    """
    if len(passphrase.get_secret_value()) < PASSPHRASE_CHARACTERS:
        raise UsageError(
            "SA3012",
            N_("the passphrase has fewer than {least} characters"),
            hint=N_("choose a longer one; several words are easier to remember than one with special characters"),
            least=PASSPHRASE_CHARACTERS,
        )
    write_new(path, _pem(_PRIVATE_LABEL, _seal(_private_key_info(key), passphrase)).encode())


def read(path: Path, passphrase: SecretStr) -> PrivateKey:
    """The key in `path`, checked to be a pair on the SM2 curve. Takes about 0.2 s, all of it the derivation of the key.

    Raises:
        NeedsPerson: wrong passphrase.
        UsageError: no such file, or not an encrypted PKCS#8 file of an SM2 key.
    """
    return _read(path, passphrase, _own())


def read_foreign(path: Path, passphrase: SecretStr) -> PrivateKey:
    """As `read`, of a file that openssl or GmSSL made with a passphrase: it may be weaker than ours."""
    return _read(path, passphrase, _FOREIGN)


def _read(path: Path, passphrase: SecretStr, scheme: _Scheme) -> PrivateKey:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            "SA3003",
            N_("cannot read key file {path}: {reason}"),
            hint=N_("`scraper-agent key list` names the key files; `key new` makes one"),
            path=path,
            reason=error.strerror or type(error).__name__,
        ) from error
    try:
        return _private_key(_unseal(_der(data, _PRIVATE_LABEL), passphrase, scheme))
    except _WrongPassphrase:
        # Not "from": what was decrypted, right or wrong, has no place in a traceback.
        raise NeedsPerson(
            "SA3005",
            N_("wrong passphrase for key file {path}"),
            hint=N_("type it again; if it is surely right, the file is damaged: restore it from its backup"),
            path=path,
        ) from None
    except (_Unusable, der.Malformed) as error:
        seen = error.seen if isinstance(error, _Unusable) else str(error)
        expected = error.expected if isinstance(error, _Unusable) else "EncryptedPrivateKeyInfo, RFC 5958"
        raise UsageError(
            "SA3004",
            N_("key file {path} is not usable: {seen}; expected {expected}"),
            hint=N_(
                "restore it from its backup, or convert it: "
                "`openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -iter {iterations} -in OLD -out NEW`"
            ),
            path=path,
            seen=seen,
            expected=expected,
            iterations=ITERATIONS,
        ) from None


def public_pem(public_key: str) -> str:
    """SubjectPublicKeyInfo (RFC 5480) in PEM: what is handed to the receiving side."""
    return _pem(_PUBLIC_LABEL, public_der(public_key))


def public_der(public_key: str) -> bytes:
    point = bytes.fromhex("0004" + sm2.parse_public(public_key))  # no unused bits; uncompressed point
    return der.encode(der.SEQUENCE, _SM2_ALGORITHM, der.encode(der.BIT_STRING, point))


def public_from_pem(pem: str) -> str:
    """X‖Y of a public key in PEM.

    Raises:
        ValueError: not PEM of a SubjectPublicKeyInfo of a point on the SM2 curve.
    """
    try:
        outer = der.Reader(_der(pem.encode(), _PUBLIC_LABEL))
        info = outer.inside(der.SEQUENCE)
        outer.end()
        algorithm = der.encode(der.SEQUENCE, info.take(der.SEQUENCE))
        point = info.take(der.BIT_STRING)
        info.end()
    except _Unusable as error:
        raise ValueError(f"{error.seen}; expected {error.expected}") from None
    if algorithm != _SM2_ALGORITHM or point[:2] != b"\x00\x04":
        raise ValueError("not an uncompressed SM2 public key")
    return sm2.parse_public(point[1:])


def write_new(path: Path, data: bytes) -> None:
    """Create `path`, 0600, all or nothing, durable when this returns.

    Raises:
        UsageError: it exists.
        AgentError: it cannot be written.
    """
    part = part_of(path, data)
    try:
        if os.name == "nt":
            part.rename(path)  # refuses to replace
        else:
            os.link(part, path)  # refuses to replace, as rename(2) would not
        sync_folder(path.parent)
    except FileExistsError as error:
        raise UsageError(
            "SA3006",
            N_("{path} exists; a key file is never overwritten"),
            hint=N_("move it away if it is not needed any more, and keep a copy"),
            path=path,
        ) from error
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def write_over(path: Path, data: bytes) -> None:
    """Create or replace `path`, 0600; a crash leaves the old file or the new one. Durable when this returns.

    Raises:
        AgentError: it cannot be written.
    """
    part = part_of(path, data)
    try:
        part.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise cannot_write(path, error) from error


def part_of(path: Path, data: bytes) -> Path:
    """A new file beside `path`, 0600, that holds `data` durably; to be renamed to `path`.

    Raises:
        AgentError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise cannot_write(path, error) from error
    return part


def cannot_write(path: Path, error: OSError) -> AgentError:
    return AgentError(
        "SA3007",
        N_("cannot write {path}: {reason}"),
        hint=N_("check that the folder exists, that you may write to it, and that the disk is not full"),
        path=path,
        reason=error.strerror or type(error).__name__,
    )


def _private_key_info(key: PrivateKey) -> bytes:
    """PrivateKeyInfo (RFC 5208) around ECPrivateKey (RFC 5915)."""
    ec_private_key = der.encode(
        der.SEQUENCE,
        der.integer(1),
        der.encode(der.OCTET_STRING, key.d.to_bytes(_SCALAR_BYTES, "big")),
        der.encode(der.CONTEXT_1, der.encode(der.BIT_STRING, bytes.fromhex("0004" + key.public_key))),
    )
    return der.encode(der.SEQUENCE, der.integer(0), _SM2_ALGORITHM, der.encode(der.OCTET_STRING, ec_private_key))


def _private_key(plain: bytes) -> PrivateKey:
    """The inverse of `_private_key_info`, with every check."""
    # A wrong passphrase passes the padding check once in 256 times; it does not pass this.
    try:
        outer = der.Reader(plain)
        info = outer.inside(der.SEQUENCE)
        outer.end()
        version = info.integer()
        algorithm = der.encode(der.SEQUENCE, info.take(der.SEQUENCE))
        ec_private_key = info.take(der.OCTET_STRING)
    except der.Malformed:
        raise _WrongPassphrase from None
    if version != 0 or algorithm != _SM2_ALGORITHM:
        raise _Unusable("another kind of key", "an SM2 key, curve 1.2.156.10197.1.301")
    info.end()
    inner = der.Reader(ec_private_key)
    fields = inner.inside(der.SEQUENCE)
    inner.end()
    if fields.integer() != 1:
        raise _Unusable("ECPrivateKey of another version", "version 1, RFC 5915")
    scalar = fields.take(der.OCTET_STRING)
    d = int.from_bytes(scalar, "big")
    if len(scalar) != _SCALAR_BYTES or not 1 <= d <= sm2.N - 2:
        raise _Unusable("private key out of range", "32 bytes, 1 … n-2")
    if fields.next_tag == der.CONTEXT_0:
        parameters = fields.inside(der.CONTEXT_0)
        if parameters.take(der.OID) != _SM2_CURVE:
            raise _Unusable("another curve", "1.2.156.10197.1.301")
        parameters.end()
    public_key = sm2.derive_public(d)
    if fields.next_tag == der.CONTEXT_1:
        point = fields.inside(der.CONTEXT_1)
        stated = point.take(der.BIT_STRING)
        point.end()
        if stated != bytes.fromhex("0004" + public_key):
            raise _Unusable("a public key that does not belong to the private key", "a pair")
    fields.end()
    return PrivateKey(d=d, public_key=public_key)


def _seal(plain: bytes, passphrase: SecretStr) -> bytes:
    """EncryptedPrivateKeyInfo (RFC 5208)."""
    salt, iv = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_BLOCK_BYTES)
    padder = padding.PKCS7(_BLOCK_BYTES * 8).padder()
    secret_key = _derive(passphrase, hashes.SHA256, salt, ITERATIONS, 32)
    encryptor = Cipher(algorithms.AES(secret_key), modes.CBC(iv)).encryptor()
    secret = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    derivation = der.encode(
        der.SEQUENCE,
        der.encode(der.OID, _PBKDF2),
        der.encode(
            der.SEQUENCE,
            der.encode(der.OCTET_STRING, salt),
            der.integer(ITERATIONS),
            der.encode(der.SEQUENCE, der.encode(der.OID, _HMAC_SHA256), der.encode(der.NULL)),
        ),
    )
    cipher = der.encode(der.SEQUENCE, der.encode(der.OID, _AES_256_CBC), der.encode(der.OCTET_STRING, iv))
    algorithm = der.encode(der.SEQUENCE, der.encode(der.OID, _PBES2), der.encode(der.SEQUENCE, derivation, cipher))
    return der.encode(der.SEQUENCE, algorithm, der.encode(der.OCTET_STRING, secret))


def _unseal(encoded: bytes, passphrase: SecretStr, scheme: _Scheme) -> bytes:
    outer = der.Reader(encoded)
    info = outer.inside(der.SEQUENCE)
    outer.end()
    algorithm = info.inside(der.SEQUENCE)
    secret = info.take(der.OCTET_STRING)
    info.end()
    _one_of(algorithm, {_PBES2: ("PBES2",)})
    schemes = algorithm.inside(der.SEQUENCE)
    algorithm.end()
    derivation = schemes.inside(der.SEQUENCE)
    encryption = schemes.inside(der.SEQUENCE)
    schemes.end()
    _one_of(derivation, {_PBKDF2: ("PBKDF2",)})
    parameters = derivation.inside(der.SEQUENCE)
    derivation.end()
    salt, iterations = parameters.take(der.OCTET_STRING), parameters.integer()
    key_bytes = parameters.integer() if parameters.next_tag == der.INTEGER else None
    _, hash = _hash(parameters, scheme)
    if not scheme.least_iterations <= iterations <= _MOST_ITERATIONS:
        expected = f"{scheme.least_iterations} to {_MOST_ITERATIONS}"
        raise _Unusable(f"{iterations} iterations of PBKDF2", expected)
    name, cipher, size = _one_of(encryption, scheme.ciphers)
    if key_bytes not in (None, size):
        raise _Unusable(f"a key of {key_bytes} bytes", f"{size} bytes for {name}")
    iv = encryption.take(der.OCTET_STRING)
    encryption.end()
    if len(iv) != _BLOCK_BYTES or not secret or len(secret) % _BLOCK_BYTES:
        raise _Unusable(f"{len(iv)} bytes of IV and {len(secret)} of data", "blocks of 16 bytes")
    decryptor = Cipher(cipher(_derive(passphrase, hash, salt, iterations, size)), modes.CBC(iv)).decryptor()
    unpadder = padding.PKCS7(_BLOCK_BYTES * 8).unpadder()
    try:
        return unpadder.update(decryptor.update(secret) + decryptor.finalize()) + unpadder.finalize()
    except ValueError:
        raise _WrongPassphrase from None


def _hash(parameters: der.Reader, scheme: _Scheme) -> tuple[str, type[hashes.SHA256 | hashes.SM3]]:
    """The last of PBKDF2's parameters. GmSSL leaves out the NULL that openssl writes."""
    if parameters.next_tag is None:
        raise _Unusable("PBKDF2 with HMAC-SHA1", "HMAC-SHA256")  # the default of RFC 8018
    function = parameters.inside(der.SEQUENCE)
    parameters.end()
    found = _one_of(function, scheme.hashes)
    if function.next_tag is not None and function.take(der.NULL):
        raise _Unusable("a NULL that is not empty", "an empty one")
    function.end()
    return found


_Known = TypeVar("_Known", bound=tuple[object, ...])


def _one_of(reader: der.Reader, known: Mapping[bytes, _Known]) -> _Known:
    """What the next object identifier stands for; first its name."""
    seen = reader.take(der.OID)
    if seen not in known:
        expected = " or ".join(f"{oid.hex()} ({stands[0]})" for oid, stands in known.items())
        raise _Unusable(f"object identifier {seen.hex()}", expected)
    return known[seen]


def _derive(
    passphrase: SecretStr, hash: type[hashes.SHA256 | hashes.SM3], salt: bytes, iterations: int, size: int
) -> bytes:
    """PBKDF2 (RFC 8018 §5.2) by `cryptography`: `hashlib` has no SM3 in some builds of Python."""
    derivation = PBKDF2HMAC(algorithm=hash(), length=size, salt=salt, iterations=iterations)
    return derivation.derive(passphrase.get_secret_value().encode())


def _own() -> _Scheme:
    return _Scheme(
        hashes={_HMAC_SHA256: ("HMAC-SHA256", hashes.SHA256)},
        ciphers={_AES_256_CBC: ("AES-256-CBC", algorithms.AES, 32)},
        least_iterations=ITERATIONS,
    )


_FOREIGN = _Scheme(
    hashes={_HMAC_SHA256: ("HMAC-SHA256", hashes.SHA256), _HMAC_SM3: ("HMAC-SM3", hashes.SM3)},
    ciphers={_AES_256_CBC: ("AES-256-CBC", algorithms.AES, 32), _SM4_CBC: ("SM4-CBC", algorithms.SM4, 16)},
    least_iterations=1,
)


def _pem(label: str, encoded: bytes) -> str:
    text = base64.b64encode(encoded).decode()
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def _der(data: bytes, label: str) -> bytes:
    if len(data) > _MOST_BYTES:
        raise _Unusable(f"more than {_MOST_BYTES} bytes", f"-----BEGIN {label}-----")
    match = _PEM.fullmatch(data.decode("ascii", errors="replace").strip())
    if not match:
        first = data.decode("ascii", errors="replace").strip().splitlines()
        seen = first[0][:40] if first and first[0].startswith("-----BEGIN") else f"{len(data)} bytes that are no PEM"
        raise _Unusable(seen, f"-----BEGIN {label}-----")
    if match[1] != label:
        raise _Unusable(f"-----BEGIN {match[1]}-----", f"-----BEGIN {label}-----")
    try:
        return base64.b64decode("".join(match[2].split()), validate=True)
    except binascii.Error as error:
        raise _Unusable(f"base64 with an error ({error})", "PEM") from None
