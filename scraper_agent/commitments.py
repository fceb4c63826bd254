"""Salted commitments to the fields of a document, so that one can be disclosed or erased and every proof still holds.

A field is committed to as SM3(0x02 ‖ length of the name, 2 bytes, big-endian ‖ name ‖ type, 1 byte ‖ salt, 16 bytes ‖
value): texts in UTF-8, the value as it stands in the document's own bytes. These hashes, by name in the order of their
bytes, are the leaves of an RFC 6962 tree over SM3, whose root is in the document's first fact. Without its salt a
value cannot be guessed from its hash, however few values there are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from scraper_agent import canonical, merkle

Holds: TypeAlias = Literal["text", "number", "date", "datetime"]
_TYPES: Mapping[str, bytes] = {"text": b"t", "number": b"n", "date": b"d", "datetime": b"m"}
SALT_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """One field. Of one that was erased, only `leaf` is left."""

    name: str
    type: Holds
    salt: bytes | None
    value: str | None
    leaf: bytes

    @property
    def whole(self) -> bool:
        """Whether it is erased, or what it says gives its hash."""
        if self.salt is None or self.value is None:
            return self.salt is None and self.value is None
        return leaf(self.name, self.type, self.salt, self.value) == self.leaf


def leaf(name: str, type: Holds, salt: bytes, value: str) -> bytes:
    """Raises ValueError: a salt of another length, a name that is too long, or no such type."""
    written = name.encode()
    if len(salt) != SALT_BYTES or len(written) >= 1 << 16 or type not in _TYPES:
        raise ValueError("no field that can be committed to")
    return merkle.field(len(written).to_bytes(2, "big") + written + _TYPES[type] + salt + value.encode())


def made(fields: Mapping[str, tuple[Holds, str]], salt: Callable[[], bytes]) -> tuple[Opening, ...]:
    """In the order of the tree. `salt`: 16 bytes that nobody can guess, others each time."""
    found = []
    for name in sorted(fields, key=str.encode):
        (type, value), own = fields[name], salt()
        found.append(Opening(name=name, type=type, salt=own, value=value, leaf=leaf(name, type, own, value)))
    return tuple(found)


def root(openings: Sequence[Opening]) -> str:
    """64 hex digits."""
    return merkle.root([each.leaf for each in openings]).hex()


def without(openings: Sequence[Opening], names: Collection[str]) -> tuple[Opening, ...]:
    """These fields erased; the root stays what it is."""
    return tuple(replace(each, salt=None, value=None) if each.name in names else each for each in openings)


def dump(openings: Sequence[Opening]) -> bytes:
    """As it is kept: one list of name, type, salt and value a field, or of name, type and hash where it is erased."""
    return canonical.dumps_plain(
        [
            [each.name, each.type, each.leaf.hex()]
            if each.salt is None or each.value is None
            else [each.name, each.type, each.salt.hex(), each.value]
            for each in openings
        ]
    )


def load(data: bytes) -> tuple[Opening, ...]:
    """The inverse of `dump`.

    Raises:
        ValueError: `data` is none.
    """
    found = []
    for each in json.loads(data):
        match each:
            case [str(name), ("text" | "number" | "date" | "datetime") as type, str(salt), str(value)]:
                own = bytes.fromhex(salt)
                found.append(Opening(name=name, type=type, salt=own, value=value, leaf=leaf(name, type, own, value)))
            case [str(name), ("text" | "number" | "date" | "datetime") as type, str(hash)]:
                found.append(Opening(name=name, type=type, salt=None, value=None, leaf=bytes.fromhex(hash)))
            case _:
                raise ValueError("no openings of fields")
    return tuple(found)


# --- disclosure -----------------------------------------------------------------------------------------------------


def disclosed(openings: Sequence[Opening], names: Collection[str]) -> list[dict[str, object]]:
    """What whoever shall know these fields is given of each: all of it is needed for `verify`.

    Raises:
        ValueError: one of them is not there, or erased.
    """
    by_name = {each.name: number for number, each in enumerate(openings)}
    leaves = [each.leaf for each in openings]
    told: list[dict[str, object]] = []
    for name in names:
        number = by_name.get(name)
        one = None if number is None else openings[number]
        if number is None or one is None or one.salt is None or one.value is None:
            raise ValueError(name)
        path = merkle.inclusion(number, len(leaves), lambda start, stop: merkle.root(leaves[start:stop]))
        told.append(
            {
                "name": name,
                "type": one.type,
                "salt": one.salt.hex(),
                "value": one.value,
                "index": number,
                "size": len(leaves),
                "proof": [each.hex() for each in path],
            }
        )
    return told


def disclosure(
    entry: bytes, size: int, proof: Sequence[bytes], fields: Sequence[Mapping[str, object]]
) -> dict[str, object]:
    """What `verify` takes. `entry`: the log's bytes of the document's first fact, proved to be in the log of `size`."""
    return {"entry": entry.decode(), "size": size, "proof": [each.hex() for each in proof], "fields": list(fields)}


def verify(data: bytes, root: bytes) -> tuple[str, dict[str, str]]:
    """The document's job and the disclosed fields. `root`: of the log at the size that the disclosure says.

    Raises:
        ValueError: it does not prove them.
    """
    told = _parsed(data)
    try:
        entry = told["entry"].encode()
        said = json.loads(entry)
        proof = [bytes.fromhex(each) for each in told["proof"]]
        if not merkle.includes(root, told["size"], said["index"], merkle.leaf(entry), proof):
            raise ValueError("the entry is not in the log")
        if said["kind"] != "Draft" or not said["job"].startswith("doc/"):
            raise ValueError("the entry is not of a document")
        fields_root = bytes.fromhex(said["fact"]["fields_root"])
        found: dict[str, str] = {}
        for each in told["fields"]:
            own = leaf(each["name"], each["type"], bytes.fromhex(each["salt"]), each["value"])
            path = [bytes.fromhex(part) for part in each["proof"]]
            if not merkle.includes(fields_root, each["size"], each["index"], own, path):
                raise ValueError(f"{each['name']} is not a field of the document")
            found[each["name"]] = each["value"]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("no disclosure") from error
    return said["job"], found


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        told = json.loads(data)
    except RecursionError as error:
        raise ValueError("no disclosure") from error
    if not isinstance(told, dict):
        raise ValueError("no disclosure")  # noqa: TRY004 - of what was given, not of a caller
    return told
