"""JSON that the page received -> a frozen page: every value with its JSON Pointer (RFC 6901), numbers as written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NoReturn

from scraper_agent.opened import grid, texts
from scraper_agent.opened.grid import Refused

MAX_DEPTH = 64
_MOST_DIGITS = 100


class _Number(str):
    """A number's own text."""

    __slots__ = ()


def page(data: bytes, url: str, digest: str) -> bytes:
    """The page of one response.

    Raises:
        Refused: not JSON in UTF-8; a key given twice; NaN or Infinity; nested deeper than 64.
    """
    return grid.encoded([grid.head(url, digest), *_checked(data), "</body></html>"])


def check(data: bytes) -> None:
    """Whether any program may read these bytes as JSON, and will read the same.

    Raises:
        Refused: as `page`.
    """
    for _ in _checked(data):
        pass


def _checked(data: bytes) -> Iterator[str]:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in data:
        raise Refused("encoding", seen="NUL")
    text = texts.decoded(data, "utf-8")
    try:
        value = json.loads(
            text, parse_float=_number, parse_int=_number, parse_constant=_constant, object_pairs_hook=_object
        )
    except RecursionError:
        raise Refused("limit", what="levels", limit=str(MAX_DEPTH), seen="-") from None
    except ValueError as error:
        raise Refused("damaged", kind="json", seen=str(error)[:200]) from None
    yield from _parts(value, "", 0, iter(range(grid.MAX_CELLS)))


def _number(text: str) -> _Number:
    if len(text) > _MOST_DIGITS:
        raise Refused("digits", seen=text[:40])
    return _Number(text)


def _constant(name: str) -> NoReturn:
    raise Refused("json", seen=name)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise Refused("json", seen=f"{next(k for k in keys if keys.count(k) > 1)[:60]!r} stands twice")
    return found


def _parts(value: object, pointer: str, depth: int, counter: Iterator[int]) -> Iterator[str]:
    if depth > MAX_DEPTH:
        raise Refused("limit", what="levels", limit=str(MAX_DEPTH), seen=pointer[:80])
    number = next(counter, None)
    if number is None:
        raise Refused("limit", what="values", limit=str(grid.MAX_CELLS), seen="-")
    place = grid.shown(pointer, "a key")
    match value:
        case dict():
            yield f'<div frozen-json="{place}" frozen-box="0 {number * 20} 100 20">'
            for key, item in value.items():
                name = str(key).replace("~", "~0").replace("/", "~1")
                yield from _parts(item, f"{pointer}/{name}", depth + 1, counter)
            yield "</div>"
        case list():
            yield f'<div frozen-json="{place}" frozen-list="{len(value)}" frozen-box="0 {number * 20} 100 20">'
            for index, item in enumerate(value):
                yield from _parts(item, f"{pointer}/{index}", depth + 1, counter)
            yield "</div>"
        case _:
            kind, text = _scalar(value)
            box = f'frozen-box="0 {number * 20} 100 20"'
            yield f'<p frozen-json="{place}" frozen-type="{kind}" {box}>{grid.shown(text, pointer)}</p>'


def _scalar(value: object) -> tuple[str, str]:
    match value:
        case None:
            return "null", ""
        case bool():
            return "bool", "true" if value else "false"
        case _Number():
            return "exact", str(value)
        case _:
            return "string", str(value)
