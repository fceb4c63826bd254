"""The receiving side of the folder transports: reads what an SFTP or FTP server was given, and answers beside it.

Knows only the folders, on this machine's disk; names and done files are those of `sending.handover`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, Self

from scraper_agent.sandbox.platform import REQUEST_BYTES
from scraper_agent.sending import handover
from scraper_agent.sending.handover import DONE, RECEIPT, Done

_MARK = "0" * 16
"""Of part names: this is the only one who writes receipts."""


class Receives(Protocol):
    """Who answers; the platform is one."""

    def receive(self, raw: bytes, header_key: str) -> tuple[int, bytes] | None:
        """(status, receipt); None to be asked again, for what belongs to the request is not there yet."""
        ...


class Desk:
    """Looks into the folder again and again while inside a `with`, or when told to `take`."""

    def __init__(self, platform: Receives, requests: Path, receipts: Path, *, every_s: float = 0.2) -> None:
        """What was answered is moved to `taken`, beside the requests."""
        self._platform = platform
        self._requests = requests
        self._receipts = receipts
        self._taken = requests.parent / "taken"
        self._taken.mkdir(exist_ok=True)
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._stopped.clear()
        self._thread = threading.Thread(target=self._watch, name="desk", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def take(self) -> int:
        """How many requests were answered. A kill at any point repeats harmlessly: the platform knows the key.

        Raises:
            ConnectionAbortedError: the platform has stopped.
        """
        count = 0
        for done, request, data in self._offered():
            key = request.name.partition(".")[0]
            answered = self._platform.receive(data, key)
            if answered is None:
                continue
            _, receipt = answered
            # The receipt comes first: whoever finds no request any more must find its answer.
            answer = handover.done_of(receipt, answers=done.sm3)
            _write(self._receipts / f"{key}{RECEIPT}", receipt)
            _write(self._receipts / f"{key}{RECEIPT}{DONE}", answer.written())
            request.replace(self._taken / request.name)
            _done_of(request).unlink()
            count += 1
        return count

    def _offered(self) -> Iterator[tuple[Done, Path, bytes]]:
        """Whole ones only."""
        for path in sorted(self._requests.iterdir()):
            request = path.with_name(path.name.removesuffix(DONE))
            if path.name.startswith(".") or not path.name.endswith(DONE) or path.stat().st_size > handover.DONE_BYTES:
                continue
            if not request.exists():
                if (self._taken / request.name).exists():
                    path.unlink()  # it was taken by one that was killed before this
                continue
            done = handover.read_done(path.read_bytes())
            if done is None or request.is_symlink() or request.stat().st_size > REQUEST_BYTES:
                continue
            data = request.read_bytes()
            if done.fits(data):
                yield done, request, data

    def _watch(self) -> None:
        while not self._stopped.is_set():
            try:
                taken = self.take()
            except ConnectionAbortedError:
                return
            if not taken:
                self._stopped.wait(self._every_s)


def _done_of(path: Path) -> Path:
    return path.with_name(path.name + DONE)


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(handover.part_name(path.name, _MARK))
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
