"""How a document changes hands in a folder that both sides reach: names, done files, the order of the steps.

Knows no server; `sftp` and `ftp` bring one as a `Store`, the sandbox reads the same names from its own disk.

    <key>.json                 the request; the key is its idempotency key, 64 hex digits
    <key>.json.done            {"size":…,"sm3":…} of it: only now may the consumer read it
    <key>.receipt              in another folder: the answer, as its writer signed it
    <key>.receipt.done         {"answers":…,"size":…,"sm3":…}: `answers` is the SM3 of the request it answers
    .<name>.<16 hex>.part      any of them while it is being written

Every file is written under its part name in its own folder, read back, and renamed; the done file comes last, so its
renaming is the one moment at which the document is handed over. The consumer writes the receipt first, then takes the
request away, then its done file: each of its steps may then be repeated after a crash.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scraper_agent import canonical
from scraper_agent.ports import Standing

DONE = ".done"
REQUEST = ".json"
RECEIPT = ".receipt"
DONE_BYTES = 1024
"""A longer file is no done file."""

_KEY = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"\.[0-9a-f]{64}\.json(?:\.done)?\.[0-9a-f]{16}\.part")

Sm3 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Lost(Exception):
    """The connection is gone or too slow; whether the last step was done is open."""


class Refused(Exception):
    """The server's clear no; the step was not done."""


class TooLong(Refused):
    """A file has more bytes than it may."""


class Differs(Refused):
    """What was written is read back otherwise."""


class Unsure(Exception):
    """The connection was lost while the done file got its name: the consumer may have the document."""


class Store(Protocol):
    """Files of a server, by their path there. Each step raises `Lost` or `Refused`."""

    def write(self, path: str, data: bytes) -> None:
        """A new file, on the server's disk if the server can promise that."""
        ...

    def read(self, path: str, most: int) -> bytes | None:
        """None if there is none. Raises `TooLong` if it has more than `most` bytes."""
        ...

    def size(self, path: str) -> int | None: ...

    def rename(self, old: str, new: str) -> None:
        """What was at `new` is gone; in one step where the server can do that."""
        ...

    def remove(self, path: str) -> None: ...

    def changed(self, folder: str) -> Mapping[str, int]:
        """The files of a folder with the second of their last change by the server's clock; nothing if it cannot."""
        ...


class Done(BaseModel):
    """What a done file says of the file beside it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    size: Annotated[int, Field(ge=0)]
    sm3: Sm3
    answers: Sm3 | None = None
    """Of a receipt: the SM3 of the request it answers."""

    def fits(self, data: bytes) -> bool:
        return (len(data), canonical.sm3(data).hex()) == (self.size, self.sm3)

    def written(self) -> bytes:
        return canonical.dumps(self.model_dump(exclude_none=True))


def done_of(data: bytes, answers: str | None = None) -> Done:
    return Done(size=len(data), sm3=canonical.sm3(data).hex(), answers=answers)


def read_done(raw: bytes) -> Done | None:
    """None for what is no done file, as one that is just being copied."""
    try:
        return Done.model_validate_json(raw)
    except ValidationError:
        return None


def part_name(name: str, mark: str) -> str:
    """`mark`: 16 hex digits, new for every file."""
    return f".{name}.{mark}.part"


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where requests are put and receipts appear, as the server names it.

    What is asked for a key that is no idempotency key raises ValueError: a caller's mistake, and no name for a file.
    """

    requests: str
    receipts: str

    def request(self, key: str) -> str:
        return f"{self.requests}/{_checked(key)}{REQUEST}"

    def receipt(self, key: str) -> str:
        return f"{self.receipts}/{_checked(key)}{RECEIPT}"


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is not 64 hex digits")
    return key


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Which parts, left by a crash, are removed. `older_than_s` is counted by the server's clock."""

    older_than_s: int
    over: Callable[[], None]
    """Called when it was done."""


def deliver(
    store: Store,
    folders: Folders,
    envelope: bytes,
    key: str,
    *,
    marks: tuple[str, str],
    most: int,
    sweep: Sweep | None = None,
) -> bytes | None:
    """Hand over; None, or the receipt if this very envelope has one of at most `most` bytes.

    Goes on from wherever an earlier attempt ended. A request that is offered, whole, is never touched: it has the same
    content, since the key is made of it. One that was not yet offered, or cannot be whole any more, is replaced.

    Raises:
        Lost, Refused: the consumer does not have it.
        Unsure: it may have it.
    """
    path, own = folders.request(key), done_of(envelope)
    offered = _done_at(store, path)
    if offered is None:
        if (answer := _answer(store, folders, key, own.sm3, most)) is not None:
            return answer
        if not _is(store, path, own):
            _put(store, path, envelope, marks[0], sweep)
    elif store.size(path) is None or _is(store, path, offered):  # without the request, it is just being taken
        return _answer(store, folders, key, offered.sm3, most)
    else:
        _put(store, path, envelope, marks[0], sweep)
    part = _written(store, path + DONE, own.written(), marks[1])
    try:
        store.rename(part, path + DONE)
    except Lost as error:
        raise Unsure(str(error)) from error
    return None


def look(store: Store, folders: Folders, key: str, most: int) -> bytes | Standing:
    """The receipt; `DELIVERED` while the request is offered; else `UNKNOWN`, for the consumer may have taken it.

    A receipt counts only if it answers what is offered: one of an earlier attempt says nothing of the last.

    Raises:
        Lost, Refused: nothing could be seen.
    """
    path = folders.request(key)
    offered = _done_at(store, path)  # before the receipt: while it is there, the last request may be unanswered
    answer = _answer(store, folders, key, None if offered is None else offered.sm3, most)
    if answer is not None:
        return answer
    if offered is not None and store.size(path) in (None, offered.size):
        return Standing.DELIVERED
    return Standing.UNKNOWN


def _done_at(store: Store, path: str) -> Done | None:
    try:
        raw = store.read(path + DONE, DONE_BYTES)
    except TooLong:
        return None
    return None if raw is None else read_done(raw)


def _answer(store: Store, folders: Folders, key: str, of: str | None, most: int) -> bytes | None:
    """The receipt that is there whole; `of`: only one that answers this request."""
    path = folders.receipt(key)
    done = _done_at(store, path)
    if done is None or done.answers is None or of not in (None, done.answers):
        return None
    if done.size > most:
        raise TooLong(path)
    answer = store.read(path, most)
    return answer if answer is not None and done.fits(answer) else None


def _is(store: Store, path: str, done: Done) -> bool:
    if store.size(path) != done.size:
        return False
    data = store.read(path, done.size)
    return data is not None and done.fits(data)


def _put(store: Store, path: str, data: bytes, mark: str, sweep: Sweep | None) -> None:
    part = _written(store, path, data, mark)
    if sweep is not None:
        _remove_old_parts(store, part, sweep)
    store.rename(part, path)


def _written(store: Store, path: str, data: bytes, mark: str) -> str:
    """The path of the part, compared with what it should be."""
    folder, _, name = path.rpartition("/")
    part = f"{folder}/{part_name(name, mark)}"
    try:
        store.write(part, data)
        if not _is(store, part, done_of(data)):
            raise Differs(part)
    except Refused:
        with suppress(Refused):
            store.remove(part)
        raise
    return part


def _remove_old_parts(store: Store, just_written: str, sweep: Sweep) -> None:
    """Age is told by the part that was written just now: no clock but the server's has a say."""
    folder, _, name = just_written.rpartition("/")
    changed: Mapping[str, int] = {}
    with suppress(Refused):  # a folder may be written to, yet not listed
        changed = store.changed(folder)
    for other, at in changed.items():
        if _PART.fullmatch(other) and changed.get(name, at) - at > sweep.older_than_s:
            with suppress(Refused):
                store.remove(f"{folder}/{other}")
    sweep.over()
