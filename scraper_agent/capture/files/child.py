"""The child process that opens hostile bytes: limits first, then what the bytes are, then the page of them.

It imports nothing of the agent beside its own folder, so that it starts quickly and knows nothing.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from scraper_agent.capture.files.grid import Refused


def main() -> None:
    """Bytes on standard input, options in the second argument; `page` and the page, or one line of JSON, come out."""
    options: dict[str, Any] = json.loads(sys.argv[2])
    _limit(options["memory_bytes"], options["time_s"])
    data = sys.stdin.buffer.read()
    try:
        answer = b"page\n" + _page(data, options)
    except Refused as refused:
        answer = json.dumps({"reason": refused.reason, **refused.seen}).encode()
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()


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
        from scraper_agent.capture.files import jsons  # noqa: PLC0415

        return jsons.page(data, options["url"], options["digest"])
    from scraper_agent.capture.files import grid, texts  # noqa: PLC0415

    media, text = texts.kind(data, options["encoding"])
    if media not in options["media"]:
        raise Refused("kind", seen=media, expected=", ".join(options["media"]))
    match media:
        case "xlsx" | "xls":
            from scraper_agent.capture.files import sheets  # noqa: PLC0415

            found = sheets.read(data, media, options["sheet"])
        case "html":
            found = texts.html(text, options["sheet"])
        case _:
            found = texts.csv(text, options["delimiter"], options["header"])
    return grid.page(found, options["header"], options["header_rows"], options["url"], options["digest"])
