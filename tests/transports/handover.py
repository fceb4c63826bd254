"""What every transport over folders does with what it finds there, asked of a real server.

Inherited beside `contract.Contract`, with a fixture `shelf`; nobody takes anything away unless the test does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from scraper_agent import canonical
from scraper_agent.errors import SendFailed
from scraper_agent.ports import Standing
from scraper_agent.sending import handover
from scraper_agent.sending.exchange import Exchange
from tests.transports.contract import letter


@dataclass(frozen=True)
class Shelf:
    """The folders of a server as they are on its disk; `sender` makes a transport, closed after the test."""

    requests: Path
    receipts: Path
    sender: Callable[..., Exchange]

    def names(self) -> list[str]:
        return sorted(path.name for path in self.requests.iterdir())

    def request(self, key: str) -> Path:
        return self.requests / f"{key}.json"

    def done(self, key: str) -> Path:
        return self.requests / f"{key}.json.done"

    def offered(self, key: str) -> bytes | None:
        """What a consumer reads."""
        if not self.done(key).exists():
            return None
        done, data = handover.read_done(self.done(key).read_bytes()), self.request(key).read_bytes()
        return data if done is not None and done.fits(data) else None

    def offer(self, key: str, data: bytes) -> None:
        self.request(key).write_bytes(data)
        self.done(key).write_bytes(handover.done_of(data).written())

    def answer(self, key: str, receipt: bytes, to: bytes) -> None:
        (self.receipts / f"{key}.receipt").write_bytes(receipt)
        done = handover.done_of(receipt, answers=canonical.sm3(to).hex())
        (self.receipts / f"{key}.receipt.done").write_bytes(done.written())


class Handover:
    """Inherited; not collected here."""

    def test_a_request_has_its_done_file_and_nothing_else_stays(self, shelf: Shelf) -> None:
        body, key = letter(1)
        assert shelf.sender().send(body, key=key) is None
        assert shelf.names() == [f"{key}.json", f"{key}.json.done"]
        assert shelf.offered(key) == body
        assert shelf.done(key).read_text() == f'{{"size":{len(body)},"sm3":"{canonical.sm3(body).hex()}"}}'
        assert shelf.sender().find(key) is Standing.DELIVERED

    def test_a_request_without_its_done_file_is_finished(self, shelf: Shelf) -> None:
        body, key = letter(2)
        shelf.request(key).write_bytes(body)
        written = shelf.request(key).stat()
        assert shelf.sender().find(key) is Standing.UNKNOWN
        assert shelf.sender().send(body, key=key) is None
        assert shelf.offered(key) == body
        assert shelf.request(key).stat().st_ino == written.st_ino, "it was whole, and was not sent again"

    @pytest.mark.parametrize("left", [b"", b"half", b"x" * 100_000])
    def test_what_was_never_offered_is_replaced(self, shelf: Shelf, left: bytes) -> None:
        body, key = letter(3)
        shelf.request(key).write_bytes(left)
        assert shelf.sender().send(body, key=key) is None
        assert shelf.offered(key) == body

    def test_what_is_offered_is_never_touched(self, shelf: Shelf) -> None:
        (body, key), (other, _) = letter(4), letter(4)
        assert body != other, "signed anew"
        shelf.offer(key, other)
        assert shelf.sender().send(body, key=key) is None
        assert shelf.offered(key) == other
        assert shelf.names() == [f"{key}.json", f"{key}.json.done"]

    @pytest.mark.parametrize("broken", [b"", b"half"])
    def test_what_is_offered_but_not_whole_is_replaced(self, shelf: Shelf, broken: bytes) -> None:
        body, key = letter(5)
        shelf.offer(key, body)
        shelf.request(key).write_bytes(broken)
        assert shelf.sender().find(key) is Standing.UNKNOWN
        assert shelf.sender().send(body, key=key) is None
        assert shelf.offered(key) == body

    @pytest.mark.parametrize("done", [b"", b"{}", b"\xff", b'{"size":-1,"sm3":""}', b"x" * 10_000])
    def test_a_done_file_that_is_none_is_replaced(self, shelf: Shelf, done: bytes) -> None:
        body, key = letter(6)
        shelf.request(key).write_bytes(body)
        shelf.done(key).write_bytes(done)
        assert shelf.sender().find(key) is Standing.UNKNOWN
        assert shelf.sender().send(body, key=key) is None
        assert shelf.offered(key) == body

    def test_a_done_file_alone_is_of_a_request_that_is_just_being_taken(self, shelf: Shelf) -> None:
        body, key = letter(7)
        shelf.offer(key, body)
        shelf.request(key).unlink()
        assert shelf.sender().find(key) is Standing.DELIVERED
        assert shelf.sender().send(body, key=key) is None
        assert shelf.names() == [f"{key}.json.done"]

    def test_the_receipt_of_this_very_request_is_the_answer_to_sending_it_again(self, shelf: Shelf) -> None:
        body, key = letter(8)
        shelf.answer(key, b"receipt", to=body)
        assert shelf.sender().find(key) == b"receipt"
        assert shelf.sender().send(body, key=key) == b"receipt"
        assert shelf.names() == []

    def test_a_receipt_of_an_earlier_attempt_is_not_the_answer_to_the_last(self, shelf: Shelf) -> None:
        (first, key), (second, _) = letter(9), letter(9)
        shelf.answer(key, b"the key is not registered", to=first)
        assert shelf.sender().send(second, key=key) is None
        assert shelf.sender().find(key) is Standing.DELIVERED
        shelf.answer(key, b"accepted", to=second)
        assert shelf.sender().find(key) == b"accepted"

    def test_a_receipt_is_read_only_when_it_is_whole(self, shelf: Shelf) -> None:
        body, key = letter(10)
        shelf.offer(key, body)
        receipt = shelf.receipts / f"{key}.receipt"
        receipt.write_bytes(b"rec")
        assert shelf.sender().find(key) is Standing.DELIVERED
        shelf.answer(key, b"receipt", to=body)
        receipt.write_bytes(b"rec")
        assert shelf.sender().find(key) is Standing.DELIVERED
        receipt.unlink()
        assert shelf.sender().find(key) is Standing.DELIVERED

    def test_a_receipt_that_is_too_long_is_refused(self, shelf: Shelf) -> None:
        body, key = letter(11)
        shelf.answer(key, b"x" * 1001, to=body)
        with pytest.raises(SendFailed, match=r"SA4100.*has more than 1000 bytes"):
            shelf.sender(answer_limit_bytes=1000).find(key)
        assert shelf.sender(answer_limit_bytes=1001).find(key) == b"x" * 1001

    def test_old_parts_of_ones_own_are_removed_and_nothing_else(self, shelf: Shelf) -> None:
        body, key = letter(12)
        own = f".{key}.json.{'0' * 16}.part"
        kept = [f".{key}.json.done.{'1' * 16}.part", ".another.part", f".{key}.json.part", f"{key}.json.bak", "notes"]
        for name in (own, *kept):
            (shelf.requests / name).write_bytes(b"half")
        for name in (own, *kept[1:]):
            os.utime(shelf.requests / name, (time.time() - 3 * 3600 - 5,) * 2)
        sender = shelf.sender(parts_kept_h=3)
        assert sender.send(body, key=key) is None
        assert shelf.names() == sorted([f"{key}.json", f"{key}.json.done", *kept])

    @pytest.mark.parametrize("key", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n", "0" * 63 + "/"])
    def test_a_key_that_is_no_name_is_refused(self, shelf: Shelf, key: str) -> None:
        sender = shelf.sender()
        with pytest.raises(ValueError, match="is not 64 hex digits"):
            sender.send(b"{}", key=key)
        with pytest.raises(ValueError, match="is not 64 hex digits"):
            sender.find(key)
        assert shelf.names() == []
