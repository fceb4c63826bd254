"""A long file to a folder of a server, in as many connections as it takes.

While it grows it has a name of its own, made of its name and digest, so that whoever goes on with it has the same
bytes. Where a server stopped writing nobody can ask it but by reading: what went on after a cut is read back as a
whole before it gets its name. So a file should not be longer than one would like to send again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from scraper_agent.sending import handover
from scraper_agent.sending.handover import Differs, Done, Store


class Growing(Store, Protocol):
    """Its files can be written on."""

    def grow(self, path: str, at: int, data: bytes) -> None:
        """Write `data` from byte `at` on, durable; the file is made if there is none. May end having written less."""
        ...


def put(store: Growing, folder: str, file: Path, done: Done) -> None:
    """`file`, of which `done` tells, whole under its own name in `folder`; nothing if it is there.

    Raises:
        Lost, Refused: it is not there; what was written stays for the next time.
        Differs: what came together on the server are other bytes; they were removed.
        OSError: `file` cannot be read.
    """
    path = f"{folder}/{file.name}"
    if store.size(path) == done.size:
        return
    part = f"{folder}/{handover.part_name(file.name, done.sm3[:16])}"
    begun = store.size(part) or 0
    if begun > done.size:
        store.remove(part)
        begun = 0
    with file.open("rb") as source:
        source.seek(begun)
        if rest := source.read():
            store.grow(part, begun, rest)
    if store.size(part) != done.size or (begun and not _fits(store, part, done)):
        store.remove(part)
        raise Differs(part)
    store.rename(part, path)


def _fits(store: Store, path: str, done: Done) -> bool:
    data = store.read(path, done.size)
    return data is not None and done.fits(data)
