"""The one byte form of a value: what is hashed, approved, signed and logged.

JSON, UTF-8, keys sorted, no white space, no floats; SM3 digests at full length.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from pydantic import TypeAdapter

from scraper_agent import values
from scraper_agent.values import Digest, Entry, Fact

KINDS: dict[str, type[Fact]] = {
    kind.__name__: kind
    for kind in (
        values.RunStarted,
        values.Snapshot,
        values.Fetched,
        values.Refused,
        values.ListRead,
        values.Fault,
        values.SessionChecked,
        values.Relogin,
        values.Anew,
        values.Reached,
        values.Parked,
        values.RunEnded,
        values.AccountStopped,
        values.Cleared,
        values.KeyChanged,
        values.SignedIn,
        values.SignedOut,
        values.SignInRefused,
        values.Denied,
        values.TokenChanged,
        values.RunOrdered,
        values.Paused,
        values.Halted,
        values.Resumed,
        values.RecipeProposed,
        values.RecipeDecided,
        values.PolicyAdopted,
        values.Erased,
        values.Exported,
        values.Anchored,
        values.Unanchored,
        values.Enrolled,
        values.Draft,
        values.Verdict,
        values.Approval,
        values.Envelope,
        values.Attempt,
        values.Delivered,
        values.Retry,
        values.DeadLetter,
        values.Receipt,
        values.Failure,
        values.Endorsed,
        values.Held,
        values.Released,
        values.Excluded,
    )
}


def _openssl_sm3(data: bytes) -> bytes:
    return hashlib.new("sm3", data).digest()


def _cryptography_sm3(data: bytes) -> bytes:
    hasher = hashes.Hash(hashes.SM3())
    hasher.update(data)
    return hasher.finalize()


def chosen(programs: Iterable[Callable[[bytes], bytes]]) -> Callable[[bytes], bytes]:
    """The first that knows the answer of GB/T 32905-2016, annex A.

    Raises:
        ImportError: none does. There is no third: pure Python takes half a minute for what takes these 20 ms.
    """
    for program in programs:
        try:
            if program(b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0":
                return program
        except (ValueError, UnsupportedAlgorithm):
            continue
    raise ImportError("SM3 is missing from Python's OpenSSL and from `cryptography`; reinstall the locked versions")


sm3: Callable[[bytes], bytes] = chosen((_openssl_sm3, _cryptography_sm3))
"""GB/T 32905-2016. Python's OpenSSL where it has SM3 (some builds leave it out), else `cryptography`'s."""


def pae(payload: bytes, type: str) -> bytes:
    """Pre-authentication encoding of DSSE (secure-systems-lab/dsse): what is signed of a statement or a checkpoint.

    Lengths are in decimal, so that no two pairs of type and payload share it. What is signed of a request begins with
    six letters or digits and a number without a space (see `envelope`): none of these is ever a request.
    """
    return b"DSSEv1 %d %s %d %s" % (len(type), type.encode(), len(payload), payload)


def digest(data: bytes) -> Digest:
    return Digest(f"sm3:{sm3(data).hex()}")


def dumps(value: object) -> bytes:
    """Canonical JSON of plain data, dataclasses, Decimal and aware datetimes.

    Raises:
        TypeError: a float, a naive datetime, or a type without a canonical form.
    """
    return dumps_plain(_plain(value))


_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def dumps_plain(value: object) -> bytes:
    """Canonical JSON of what is text, lists and mappings already."""
    return _ENCODER.encode(value).encode()


def _plain(value: Any) -> Any:
    kind: Any = type(value)
    if kind is str or kind is int or value is None:  # nearly all there is
        return value
    names = _field_names(kind)
    if names is not None:
        left_out = _left_out(kind)
        return {
            name: _plain(part) for name in names if (part := getattr(value, name)) is not None or name not in left_out
        }
    match value:
        case str() if isinstance(value, Enum):
            return value.value
        case bool() | int() | str():
            return value
        case Decimal():
            return format(value, "f")
        case datetime():
            if value.tzinfo is None:
                raise TypeError("a naive datetime has no canonical form")
            return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        case list() | tuple():
            return [_plain(item) for item in value]
        case _ if hasattr(value, "items"):
            return {str(k): _plain(v) for k, v in value.items()}
        case _:
            raise TypeError(f"{type(value).__name__} has no canonical form")


@cache
def _field_names(kind: type) -> tuple[str, ...] | None:
    """None if it is no dataclass."""
    return tuple(f.name for f in fields(kind)) if is_dataclass(kind) else None


@cache
def _left_out(kind: type) -> frozenset[str]:
    """Fields that are not written where they are None: added later, they leave older values' bytes as they were."""
    return frozenset(f.name for f in fields(kind) if f.metadata.get("none") == "left out")


def entry_bytes(entry: Entry) -> bytes:
    """The bytes of one log entry: these are hashed into the tree and stored as they are."""
    return dumps(
        {
            "index": entry.index,
            "at": entry.at,
            "job": entry.job,
            "position": entry.position,
            "kind": type(entry.fact).__name__,
            "fact": entry.fact,
        }
    )


def entry(data: bytes) -> Entry:
    """The inverse of `entry_bytes`."""
    raw = json.loads(data.decode())  # of bytes, `json` would first look for their encoding
    fact: Fact = _adapter(raw["kind"]).validate_python(raw["fact"])
    return Entry(
        index=raw["index"],
        at=datetime.fromisoformat(raw["at"]),
        job=values.JobId(raw["job"]),
        position=raw["position"],
        fact=fact,
    )


@cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(KINDS[kind])
