"""The child process that opens hostile bytes: limits first, then what the bytes are, then the page or tables of them.

It imports nothing of the agent beside its own folder, so that it starts quickly and knows nothing.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator
from typing import Any

from scraper_agent.opened import grid
from scraper_agent.opened.grid import Refused


def main() -> None:
    """Bytes on standard input, options in the second argument; the answer is lines of JSON, or `page` and the page.

    A line with `reason` ends the answer and takes back what came before it.
    """
    gc.disable()  # it lives for one file
    options: dict[str, Any] = json.loads(sys.argv[2])
    _limit(options["memory_bytes"], options["time_s"])
    data = sys.stdin.buffer.read()
    out = sys.stdout.buffer
    try:
        if options["kind"] == "tables":
            for line in _tables(data, options):
                out.write(line)
            out.write(b"{}\n")
        else:
            out.write(b"page\n" + _page(data, options))
    except Refused as refused:
        out.write(json.dumps({"reason": refused.reason, **refused.seen}).encode() + b"\n")
    out.flush()


def _tables(data: bytes, options: dict[str, Any]) -> Iterator[bytes]:
    from scraper_agent.opened import texts  # noqa: PLC0415

    media, text = texts.kind(data, options["encoding"])
    if media not in options["media"]:
        raise Refused("kind", seen=media, expected=", ".join(options["media"]))
    match media:
        case "xlsx":
            from scraper_agent.opened import sheets  # noqa: PLC0415

            whole = 0
            encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, default=sheets.typed)
            for part in sheets.tables(data, options["skip"]):
                try:
                    line = f"{encode.encode(part)}\n".encode()
                except ValueError:  # infinity, or not a number
                    raise Refused("digits", seen="a cell") from None
                whole += len(line)
                if whole > grid.MAX_PAGE_BYTES:
                    raise Refused("limit", what="bytes", limit=str(grid.MAX_PAGE_BYTES), seen=str(whole))
                yield line
        case "json":
            from scraper_agent.opened import jsons  # noqa: PLC0415

            jsons.check(data)
            yield json.dumps({"json": text}).encode() + b"\n"
        case _:
            rows = [[cell.text if cell is not None else "" for cell in row] for row in texts.csv(text, None, 1).rows]
            yield b'{"sheet": "csv", "merged": []}\n'
            yield f"{json.dumps(rows, ensure_ascii=False)}\n".encode()


def _limit(memory_bytes: int, time_s: int) -> None:
    """On Windows the parent's clock is the only limit yet."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - Windows has none

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        resource.setrlimit(resource.RLIMIT_CPU, (time_s, time_s))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _page(data: bytes, options: dict[str, Any]) -> bytes:
    # Imported under the limits, and only what these bytes need.
    if options["kind"] == "json":
        from scraper_agent.opened import jsons  # noqa: PLC0415

        return jsons.page(data, options["url"], options["digest"])
    from scraper_agent.opened import texts  # noqa: PLC0415

    media, text = texts.kind(data, options["encoding"])
    if media not in options["media"]:
        raise Refused("kind", seen=media, expected=", ".join(options["media"]))
    match media:
        case "xlsx" | "xls":
            from scraper_agent.opened import sheets  # noqa: PLC0415

            found = sheets.read(data, media, options["sheet"])
        case "html":
            from scraper_agent.opened import pages  # noqa: PLC0415 - lxml is the slowest of all to begin

            found = pages.html(text, options["sheet"])
        case _:
            found = texts.csv(text, options["delimiter"], options["header"])
    return grid.page(found, options["header"], options["header_rows"], options["url"], options["digest"])
