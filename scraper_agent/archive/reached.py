"""How far the log had come, in a file beside the archive: for whoever finds it shorter.

A write-ahead log with a damaged page ends there for SQLite, and an old copy of the archive looks like any other: both
lose entries that were acknowledged, and agree with themselves. So after each commit the number of entries and the hash
of the last one are written into `<archive>.reached`, without waiting for the disk: it is never ahead of what the commit
has made durable, whatever happens. It proves nothing to others: whoever may write the archive may write it, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from scraper_agent import canonical

SUFFIX = ".reached"
_FORM = re.compile(rb"(\d{20}) ([0-9a-f]{64}) ([0-9a-f]{8})\n", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reached:
    """The log has had so many entries; `leaf` is the hash of the last of them."""

    size: int
    leaf: bytes

    def dump(self) -> bytes:
        """Of one length, so that it is overwritten in place, within one sector."""
        said = b"%020d %s" % (self.size, self.leaf.hex().encode())
        return b"%s %s\n" % (said, canonical.sm3(said).hex()[:8].encode())


def path_of(archive: Path) -> Path:
    """Beside the file itself, by whatever name it is opened."""
    archive = archive.resolve()
    return archive.with_name(archive.name + SUFFIX)


def read(archive: Path) -> Reached | None:
    """None if there is none, as beside archives from before there were any.

    Raises:
        ValueError: it is damaged.
        OSError: it cannot be read.
    """
    try:
        data = path_of(archive).read_bytes()
    except FileNotFoundError:
        return None
    if not data:
        return None  # made, and nothing was committed since
    found = _FORM.fullmatch(data)
    if found is not None:
        known = Reached(int(found[1]), bytes.fromhex(found[2].decode()))
        if known.dump() == data:
            return known
    raise ValueError("damaged")


def is_noted(archive: Path) -> bool:
    """Whether there was a log: anything was noted, be it damaged by now."""
    path = path_of(archive)
    return path.is_file() and path.stat().st_size > 0


class Writer:
    """Keeps the file open. What cannot be written is not reported: the archive itself is durable without it."""

    def __init__(self, archive: Path) -> None:
        path = path_of(archive)
        path.touch()
        self._file = path.open("r+b", buffering=0)

    def write(self, known: Reached) -> None:
        self._file.seek(0)
        self._file.write(known.dump())

    def close(self) -> None:
        self._file.close()
