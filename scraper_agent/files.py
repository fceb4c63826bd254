"""Bytes of a file or of JSON -> a frozen page or plain tables, made in a child process with little time and memory.

The bytes are hostile. The child is given them and nothing else: no environment, no file, no address; it answers with
a page whose every cell names its place in the file, with tables, or with why the file is refused.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import scraper_agent
from scraper_agent import canonical
from scraper_agent.errors import PageError
from scraper_agent.messages import N_

MAX_BYTES = 32 * 1024 * 1024
TIME_S = 30
MEMORY_BYTES = 512 * 1024 * 1024
_PIPE_BYTES = 1024 * 1024

_CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from scraper_agent.opened import child; child.main()"
_TRY_ANOTHER = N_("look at the file by hand; if it is right, choose another export of the ERP, or read the page")

_REASONS: Mapping[str, Callable[..., PageError]] = {
    "kind": partial(
        PageError,
        "SA2030",
        N_("the file is {seen}; expected is {expected}"),
        hint=N_("correct `media` in the recipe, or the ERP sent an error page in place of the file"),
    ),
    "limit": partial(
        PageError, "SA2031", N_("the file has more {what} than {limit} allowed: {seen}"), hint=_TRY_ANOTHER
    ),
    "damaged": partial(PageError, "SA2032", N_("the file cannot be read as {kind}: {seen}"), hint=_TRY_ANOTHER),
    "active": partial(PageError, "SA2033", N_("the file holds {what}: it is not opened"), hint=_TRY_ANOTHER),
    "encoding": partial(
        PageError,
        "SA2034",
        N_("the text's encoding is not certain: {seen}"),
        hint=N_("name it by `encoding` in the recipe if you know it"),
    ),
    "sheet": partial(
        PageError,
        "SA2035",
        N_("which table of the file is meant is not certain; it has: {seen}"),
        hint=N_("name it by `sheet` in the recipe"),
    ),
    "formula": partial(
        PageError,
        "SA2036",
        N_("{seen} is a formula without a stored value; formulas are not computed"),
        hint=_TRY_ANOTHER,
    ),
    "ragged": partial(
        PageError,
        "SA2037",
        N_("the rows of the file are no table: {seen}"),
        hint=N_("correct `delimiter` or `header` in the recipe"),
    ),
    "characters": partial(PageError, "SA2038", N_("{seen} holds a character that no page can show"), hint=_TRY_ANOTHER),
    "error": partial(
        PageError,
        "SA2043",
        N_("cells hold an error in place of a value: {seen}"),
        hint=N_("correct their formulas, or clear them"),
    ),
    "json": partial(PageError, "SA2039", N_("the JSON is not certain: {seen}"), hint=_TRY_ANOTHER),
    "digits": partial(
        PageError, "SA2042", N_("{seen} is a number with more digits than the file can hold exactly"), hint=_TRY_ANOTHER
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the recipe says of the bytes to come; None where the bytes themselves say it."""

    kind: Literal["table", "json"] = "table"
    media: tuple[str, ...] = ("xlsx", "xls", "html", "csv")
    sheet: str | None = None
    header: int = 1
    header_rows: int = 1
    encoding: str | None = None
    delimiter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Head of a table; its rows follow."""

    name: str
    merged: tuple[tuple[int, int], ...]
    """The first row and column of each merged cell, counted from 0."""


Cell: TypeAlias = str | Decimal | bool | list[str]
"""Text (none if empty), a number as the file stores it, a truth value, or `[kind, ISO 8601]` of a date or time."""

Media: TypeAlias = Literal["xlsx", "csv", "json"]

Part: TypeAlias = Sheet | list[list[Cell]] | str
"""The head of a table, some of its rows, or the text of a JSON file."""


def page(data: bytes, wanted: Wanted, url: str) -> bytes:
    """The frozen page of a file; its root names the digest of `data`.

    Raises:
        PageError: the bytes are not what is wanted, are not certain, or go beyond a limit.
    """
    options = {
        "kind": wanted.kind,
        "media": wanted.media,
        "sheet": wanted.sheet,
        "header": wanted.header,
        "header_rows": wanted.header_rows,
        "encoding": wanted.encoding,
        "delimiter": wanted.delimiter,
        "url": url,
        "digest": canonical.digest(data),
    }
    said, *rest = _answer(data, options)
    if said == b"page\n":
        return b"".join(rest)
    raise _refusal(json.loads(said))


def tables(data: bytes, media: Media, skip: tuple[str, ...] = ()) -> Iterator[Part]:
    """What a workbook (all visible sheets but those of `skip`), a CSV or a JSON file holds, while it is being read.

    Nothing of it may be used before all of it came.

    Raises:
        PageError: the bytes are not `media`, are not certain, or go beyond a limit.
    """
    options = {"kind": "tables", "media": [media], "skip": skip, "encoding": None}
    for line in _answer(data, options):
        if not line.endswith(b"\n"):
            raise _beyond()  # it was ended in the middle of a word
        part: Any = json.loads(line, parse_float=Decimal, parse_int=Decimal)
        if isinstance(part, list):
            yield part
        elif "reason" in part:
            raise _refusal(part, hint=_SAVE_ANEW)
        elif "json" in part:
            yield part["json"]
        elif "sheet" in part:
            yield Sheet(name=part["sheet"], merged=tuple((int(y), int(x)) for (y, x), _ in part["merged"]))


_SAVE_ANEW = N_("open it by hand; if it is right, save it anew as .xlsx, or copy the values into a new template")


def _answer(data: bytes, options: Mapping[str, object]) -> Iterator[bytes]:
    """The child's lines, whole.

    Raises:
        PageError: the bytes are too many; or the child took too much, or said nothing.
    """
    if len(data) > MAX_BYTES:
        raise _refusal({"reason": "limit", "what": "bytes", "limit": str(MAX_BYTES), "seen": str(len(data))})
    limits = {"memory_bytes": MEMORY_BYTES, "time_s": TIME_S}
    root = str(Path(scraper_agent.__file__).parent.parent)
    child = subprocess.Popen(
        [sys.executable, "-I", "-c", _CHILD, root, json.dumps({**options, **limits})],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=_PIPE_BYTES,
        pipesize=_PIPE_BYTES,  # so that the child goes on while its answer is being used
        env={} if os.name == "posix" else None,
    )
    clock = threading.Timer(TIME_S, child.kill)
    feeder = threading.Thread(target=_feed, args=(child, data), daemon=True)
    spoken = False
    try:
        clock.start()
        feeder.start()
        for line in child.stdout or ():
            spoken = True
            yield line
        if child.wait() != 0 or not spoken:
            raise _beyond()
    finally:
        clock.cancel()
        child.kill()
        child.wait()
        feeder.join()
        if child.stdout is not None:
            child.stdout.close()


def _feed(child: subprocess.Popen[bytes], data: bytes) -> None:
    with suppress(OSError):  # it may have ended before it read all
        if child.stdin is not None:
            child.stdin.write(data)
    with suppress(OSError):
        if child.stdin is not None:
            child.stdin.close()


def _refusal(said: Mapping[str, object], hint: str = "") -> PageError:
    error = _REASONS[str(said["reason"])](**{k: str(v)[:300] for k, v in said.items() if k != "reason"})
    error.hint = hint or error.hint
    return error


def _beyond() -> PageError:
    return PageError(
        "SA2040",
        N_("reading the file took more than {seconds} s or {megabytes} MB: it is refused"),
        hint=_TRY_ANOTHER,
        seconds=TIME_S,
        megabytes=MEMORY_BYTES // 1024 // 1024,
    )
