"""A MAC for every entry under a key that is gone once the entry is durable: for the tail that no witness has.

    K(i+1) = HMAC-SM3(K(i), "next")        MAC(i) = HMAC-SM3(K(i), entry i)

Each entry has a key of its own, numbered by it. The file `<archive>.ratchet` holds the key of the entry that comes
next, and nothing older: whoever takes over the machine can make MACs from there on, and none for what was logged
before. The first key is handed to who verifies, once. Nobody else can check, nor forge, what came before the takeover.

The file is overwritten after each commit, without waiting for the disk: it is never ahead of the log, and from an
older key the newer ones follow. A power cut may leave a key that is some entries old, and a disk may keep copies of
what was overwritten; anchors, and not this, are the proof against an administrator.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scraper_agent import canonical
from scraper_agent.errors import AgentError, UsageError
from scraper_agent.messages import N_

SUFFIX = ".ratchet"
KEY_BYTES = 32
TABLE = "CREATE TABLE IF NOT EXISTS macs (idx INTEGER PRIMARY KEY, mac BLOB NOT NULL) STRICT"

_BLOCK = 64
_INNER, _OUTER = (bytes(b ^ pad for b in range(256)) for pad in (0x36, 0x5C))
_FORM = re.compile(rb"(\d{20}) ([0-9a-f]{64}) ([0-9a-f]{8})\n", re.ASCII)
_HANDED = re.compile(rb"scraper-agent-ratchet/1\n(0|[1-9]\d{0,18})\n([0-9a-f]{64})\n", re.ASCII)


def hmac(key: bytes, message: bytes) -> bytes:
    """HMAC-SM3 (RFC 2104), for keys of up to 64 bytes."""
    padded = key.ljust(_BLOCK, b"\0")
    return canonical.sm3(padded.translate(_OUTER) + canonical.sm3(padded.translate(_INNER) + message))


def following(key: bytes) -> bytes:
    return hmac(key, b"next")


@dataclass(frozen=True, slots=True)
class Handed:
    """What who verifies was given: the key of entry `first`."""

    first: int
    key: bytes

    def dump(self) -> bytes:
        return b"scraper-agent-ratchet/1\n%d\n%s\n" % (self.first, self.key.hex().encode())

    @classmethod
    def read(cls, path: Path) -> Handed:
        """Raises UsageError: it is no such file."""
        try:
            with path.open("rb") as file:
                found = _HANDED.fullmatch(file.read(200))
        except OSError as error:
            raise UsageError(
                "SA5070", N_("{path} cannot be read: {reason}"), path=path, reason=error.strerror
            ) from error
        if found is None:
            raise UsageError("SA5071", N_("{path} is not the file that `log enrol` made"), path=path)
        return cls(int(found[1]), bytes.fromhex(found[2].decode()))


def path_of(archive: Path) -> Path:
    return archive.with_name(archive.name + SUFFIX)


class Ratchet:
    """Of the process that writes the archive."""

    def __init__(self, archive: Path, size: int) -> None:
        """`size`: of the log.

        Raises:
            AgentError: the file cannot be read, or knows of entries that the log has not.
        """
        path = path_of(archive)
        try:
            self._file = path.open("r+b", buffering=0)
            found = _FORM.fullmatch(self._file.read(200))
        except OSError as error:
            raise _unusable(path, error.strerror or str(error)) from error
        if found is None or _dump(int(found[1]), bytes.fromhex(found[2].decode())) != found[0]:
            self._file.close()
            raise _unusable(path, "-")
        self._kept = self._here = (int(found[1]), bytes.fromhex(found[2].decode()))
        self._made = False
        if self._kept[0] > size:
            self._file.close()
            raise AgentError(
                "SA5073",
                N_("{path} has {size} entries, and had {known}: it lost some, or is an old copy"),
                hint=N_("restore the newest copy; if the loss is accepted, remove {file} and `log enrol` anew"),
                path=archive,
                size=size,
                known=self._kept[0],
                file=path,
            )

    def mac(self, index: int, entry: bytes) -> bytes:
        """Of the entry that comes next, or comes again after `undone`."""
        at, key = self._here
        while at < index:
            at, key = at + 1, following(key)
        self._here, self._made = (at, key), True
        return hmac(key, entry)

    def committed(self) -> None:
        """Entries with MACs are durable: their keys are wiped."""
        if self._made:
            at, key = self._here
            self._wipe(at + 1, following(key))

    def undone(self) -> None:
        """What was not committed is not there."""
        self._here, self._made = self._kept, False

    def _wipe(self, at: int, key: bytes) -> None:
        self._kept = self._here = at, key
        self._made = False
        with suppress(OSError):  # the older key stays: what comes is sealed all the same
            self._file.seek(0)
            self._file.write(_dump(at, key))

    def close(self) -> None:
        self._file.close()


def begin(archive: Path, handed: Handed) -> None:
    """Make the file, before the first entry that has a MAC.

    Raises:
        AgentError: there is one, or it cannot be made.
    """
    path = path_of(archive)
    try:
        with path.open("xb") as file:
            path.chmod(0o600)
            file.write(_dump(handed.first, handed.key))
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error


def _dump(at: int, key: bytes) -> bytes:
    said = b"%020d %s" % (at, key.hex().encode())
    return b"%s %s\n" % (said, canonical.sm3(said).hex()[:8].encode())


def _unusable(path: Path, reason: str) -> AgentError:
    return AgentError(
        "SA5072",
        N_("the key file {path} cannot be used: {reason}"),
        hint=N_("if it is lost, remove it and `log enrol` anew: what was sealed can still be checked"),
        path=path,
        reason=reason,
    )


@dataclass(frozen=True, slots=True)
class Checked:
    """`count` entries from `first` on have the right MAC; `wrong` is the first that has not, if any has not."""

    first: int
    count: int
    wrong: int | None


def check(db: sqlite3.Connection, handed: Handed) -> Checked:
    """Demands a MAC of every entry from the first on, each under its own key, and none of one that is not there."""
    if db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'macs'").fetchone() is None:
        return Checked(handed.first, 0, handed.first)
    expected, key = handed.first, handed.key
    for index, entry, mac in _rows(db, handed.first):
        if index != expected or entry is None or mac is None or hmac(key, entry) != bytes(mac):
            return Checked(handed.first, expected - handed.first, expected)
        expected, key = expected + 1, following(key)
    if expected == handed.first:
        return Checked(handed.first, 0, handed.first)  # the entry of the enrolment itself is gone
    return Checked(handed.first, expected - handed.first, None)


def _rows(db: sqlite3.Connection, first: int) -> Iterator[tuple[int, bytes | None, bytes | None]]:
    yield from db.execute(
        "SELECT l.idx, l.entry, m.mac FROM log l LEFT JOIN macs m USING (idx) WHERE l.idx >= ?"
        " UNION ALL SELECT m.idx, NULL, m.mac FROM macs m LEFT JOIN log l USING (idx) WHERE l.idx IS NULL"
        " ORDER BY 1",
        (first,),
    )
