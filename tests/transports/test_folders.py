"""The receiving side of the folder transports, on folders of this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import pytest

from scraper_agent import canonical, envelope
from scraper_agent.sandbox.folders import Desk
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sending import handover
from scraper_agent.signing import sm2
from tests.transports.contract import FORMAT, SENDERS, letter

Lack: TypeAlias = Literal["done", "request", "bytes", "sense", "name"]


@pytest.fixture
def platform() -> Iterator[Platform]:
    with Platform(lambda: datetime.now(UTC), SENDERS, {FORMAT}) as platform:
        yield platform


class Place:
    def __init__(self, home: Path, platform: Platform) -> None:
        self.requests, self.receipts, self.taken = home / "requests", home / "receipts", home / "taken"
        self.requests.mkdir()
        self.receipts.mkdir()
        self.desk = Desk(platform, self.requests, self.receipts)

    def offer(self, key: str, data: bytes) -> None:
        (self.requests / f"{key}.json").write_bytes(data)
        (self.requests / f"{key}.json.done").write_bytes(handover.done_of(data).written())

    def receipt(self, key: str) -> bytes | None:
        """Read as a sender does."""
        done = self.receipts / f"{key}.receipt.done"
        told = handover.read_done(done.read_bytes()) if done.exists() else None
        answer = (self.receipts / f"{key}.receipt").read_bytes()
        return answer if told is not None and told.fits(answer) else None


@pytest.fixture
def place(tmp_path: Path, platform: Platform) -> Place:
    return Place(tmp_path, platform)


def test_what_is_whole_is_answered_and_moved(place: Place, platform: Platform):
    body, key = letter(1)
    place.offer(key, body)
    assert place.desk.take() == 1
    assert list(place.requests.iterdir()) == []
    assert (place.taken / f"{key}.json").read_bytes() == body
    receipt = place.receipt(key)
    assert receipt is not None
    digest = envelope.read_request(body).digest
    assert envelope.open_receipt(receipt, sm2.verify, platform.public_keys, key=key, digest=digest).accepted
    told = handover.read_done((place.receipts / f"{key}.receipt.done").read_bytes())
    assert told is not None
    assert told.answers == canonical.sm3(body).hex()
    assert place.desk.take() == 0


@pytest.mark.parametrize("lacks", get_args(Lack))
def test_what_is_not_whole_is_left_alone(place: Place, platform: Platform, lacks: Lack):
    body, key = letter(2)
    place.offer(key, body)
    request, done = place.requests / f"{key}.json", place.requests / f"{key}.json.done"
    match lacks:
        case "done":
            done.unlink()
        case "request":
            request.unlink()
        case "bytes":
            request.write_bytes(body[:-1])
        case "sense":
            done.write_bytes(done.read_bytes()[:-1])
        case "name":
            request.rename(request.with_name(f".{request.name}"))
            done.rename(done.with_name(f".{done.name}"))
    before = {path.name: path.read_bytes() for path in place.requests.iterdir()}
    assert place.desk.take() == 0
    assert {path.name: path.read_bytes() for path in place.requests.iterdir()} == before
    assert platform.stored() == ()


@pytest.mark.parametrize("killed_before", ["receipt", "receipt's done file", "request moved", "done file removed"])
def test_a_kill_at_any_step_is_repeated_harmlessly(place: Place, platform: Platform, killed_before: str):
    body, key = letter(3)
    place.offer(key, body)
    done = (place.requests / f"{key}.json.done").read_bytes()
    place.desk.take()
    receipt = place.receipt(key)
    # Back to what a kill would have left.
    (place.requests / f"{key}.json.done").write_bytes(done)
    if killed_before != "done file removed":
        shutil.move(place.taken / f"{key}.json", place.requests)
    if killed_before in ("receipt", "receipt's done file"):
        (place.receipts / f"{key}.receipt.done").unlink()
    if killed_before == "receipt":
        (place.receipts / f"{key}.receipt").unlink()
        (place.receipts / handover.part_name(f"{key}.receipt", "0" * 16)).write_bytes(b"half")
    place.desk.take()
    assert list(place.requests.iterdir()) == []
    assert sorted(path.name for path in place.receipts.iterdir()) == [f"{key}.receipt", f"{key}.receipt.done"]
    assert place.receipt(key) == receipt
    assert len(platform.stored()) == 1


def test_an_answer_to_another_attempt_replaces_the_first(place: Place, platform: Platform):
    (first, key), (second, _) = letter(4), letter(4)
    for body in (first, second):
        place.offer(key, body)
        place.desk.take()
        told = handover.read_done((place.receipts / f"{key}.receipt.done").read_bytes())
        assert told is not None
        assert told.answers == canonical.sm3(body).hex()
    assert len(platform.stored()) == 1
