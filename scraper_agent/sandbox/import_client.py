"""Two programs that empty folders, to try the transport `folder` against: each hands what lies there to the platform.

The import client (导入客户端) of the single window is not to be had without a contract; `import_client` is our own
stand-in, which keeps to what is published of its folders and names, and to nothing else of it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from http import HTTPStatus as Status
from pathlib import Path
from typing import Self
from xml.sax.saxutils import escape

from scraper_agent import durable
from scraper_agent.ports import Clock
from scraper_agent.sandbox.platform import REQUEST_BYTES, Platform
from scraper_agent.sending.folder import DONE, ENDINGS, FAILBOX, INBOX, OUTBOX, SENTBOX, note, noted

_NOTE_BYTES = 1024
_ID = re.compile(rb'"id":"([0-9A-Za-z-]{1,64})"')
_ANSWER = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Response><CopMsgId>{id}</CopMsgId><SeqNo>{number}</SeqNo></Response>\n'
)


class Watch:
    """Looks into a folder again and again, in a thread, while inside a `with`. A folder that is away is waited for."""

    def __init__(self, look: Callable[[], None], every_s: float = 0.05) -> None:
        self._look = look
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            try:
                self._look()
            except (OSError, durable.Taken):
                continue


def make_boxes(folder: Path) -> None:
    """The four folders of a business."""
    for box in (OUTBOX, SENTBOX, FAILBOX, INBOX):
        (folder / box).mkdir(parents=True, exist_ok=True)


def import_client(folder: Path, platform: Platform, clock: Clock) -> Watch:
    return Watch(partial(send_all, folder, platform, clock))


def json_reader(folder: Path, receipts: Path, platform: Platform) -> Watch:
    return Watch(partial(read_all, folder, receipts, platform))


def send_all(folder: Path, platform: Platform, clock: Clock) -> None:
    """Take what lies in OutBox: its answers come into InBox, then the file moves to SentBox, or to FailBox."""
    for path in sorted((folder / OUTBOX).iterdir()):
        if path.suffix.removeprefix(".") not in ENDINGS:
            continue  # still a .Temp
        status, receipt = platform.receive(path.read_bytes(), path.stem)
        number = _ID.search(receipt)
        if status != Status.OK:
            _answer(folder, f"Failed_{path.stem}", receipt, clock())
        elif number is None:
            _answer(folder, f"Successed_{path.stem}", receipt, clock())
        else:
            told = _ANSWER.format(id=escape(path.stem), number=number[1].decode())
            _answer(folder, f"Successed_{path.stem}", told.encode(), clock())
            _answer(folder, f"Receipt_{number[1].decode()}", receipt, clock())
        path.replace(folder / (SENTBOX if status == Status.OK else FAILBOX) / path.name)


def _answer(folder: Path, name: str, data: bytes, now: datetime) -> None:
    _put(folder / INBOX / f"{name}_{now:%Y%m%d%H%M%S%f}.xml", data)


def read_all(folder: Path, receipts: Path, platform: Platform) -> None:
    """Take each request that is what its note says; its answer comes into `receipts`, then both go."""
    for done in sorted(folder.glob(f"*{DONE}")):
        path = done.with_name(done.name.removesuffix(DONE))
        request, said = durable.read(path, REQUEST_BYTES), durable.read(done, _NOTE_BYTES)
        if request is None or said is None or not noted(request, said):
            continue
        _, receipt = platform.receive(request, path.stem)
        answer = receipts / f"{path.stem}.json"
        _put(answer, receipt)
        _put(answer.with_name(answer.name + DONE), note(receipt))
        done.unlink()
        path.unlink()


def _put(path: Path, data: bytes) -> None:
    """Whole under its name at once; an earlier answer of that name gives way."""
    part = path.with_name(f".{path.name}.part")
    durable.write_part(part, data)
    part.replace(path)
