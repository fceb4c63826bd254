"""Bytes that the ERP sent as a file or as JSON -> a frozen page, made in a child process with little time and memory.

The bytes are hostile. The child is given them and nothing else: no environment, no file, no address; it answers with
a page whose every cell names its place in the file, or with why the file is refused.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import scraper_agent
from scraper_agent import canonical
from scraper_agent.errors import PageError
from scraper_agent.messages import N_

MAX_BYTES = 32 * 1024 * 1024
TIME_S = 30
MEMORY_BYTES = 512 * 1024 * 1024

_CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from scraper_agent.capture.files import child; child.main()"
_TRY_ANOTHER = N_("look at the file by hand; if it is right, choose another export of the ERP, or read the page")

_REASONS: Mapping[str, Callable[..., PageError]] = {
    "kind": partial(
        PageError,
        "SA2030",
        N_("the file is {seen}; the recipe expects {expected}"),
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


def page(data: bytes, wanted: Wanted, url: str) -> bytes:
    """The frozen page of a file; its root names the digest of `data`.

    Raises:
        PageError: the bytes are not what is wanted, are not certain, or go beyond a limit.
    """
    if len(data) > MAX_BYTES:
        raise _refusal({"reason": "limit", "what": "bytes", "limit": str(MAX_BYTES), "seen": str(len(data))})
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
        "memory_bytes": MEMORY_BYTES,
        "time_s": TIME_S,
    }
    root = str(Path(scraper_agent.__file__).parent.parent)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _CHILD, root, json.dumps(options)],
            input=data,
            capture_output=True,
            timeout=TIME_S + 5,
            check=False,
            env={} if os.name == "posix" else None,
        )
    except subprocess.TimeoutExpired:
        raise _beyond() from None
    said, _, body = done.stdout.partition(b"\n")
    if done.returncode == 0 and said == b"page":
        return body
    if done.returncode == 0 and said.startswith(b"{"):
        raise _refusal({str(k): str(v) for k, v in json.loads(said).items()})
    raise _beyond()


def _refusal(said: Mapping[str, str]) -> PageError:
    return _REASONS[said["reason"]](**{k: v[:300] for k, v in said.items() if k != "reason"})


def _beyond() -> PageError:
    return PageError(
        "SA2040",
        N_("reading the file took more than {seconds} s or {megabytes} MB: it is refused"),
        hint=_TRY_ANOTHER,
        seconds=TIME_S,
        megabytes=MEMORY_BYTES // 1024 // 1024,
    )
