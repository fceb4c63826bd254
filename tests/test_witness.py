"""A witness never signs two histories of one log, whoever asks, in whatever order, however often it is restarted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scraper_agent import merkle
from scraper_agent.audit import note, witness
from scraper_agent.audit.witness import Answer, Witness
from scraper_agent.signing import sm2
from tests.authorities import OTHER, SIGNER

AT = datetime(2026, 5, 6, 1, 30, tzinfo=UTC)
ORIGIN = "example.cn/log-1"
NAME = "witness.example"


class Log:
    """Leaves, and what is asked for them."""

    def __init__(self, *entries: str) -> None:
        self.leaves = [merkle.leaf(each.encode()) for each in entries]

    def root(self, start: int, stop: int) -> bytes:
        return merkle.root(self.leaves[start:stop])

    def request(self, old: int, size: int | None = None, *, signer: object = SIGNER, origin: str = ORIGIN) -> bytes:
        size = len(self.leaves) if size is None else size
        checkpoint = note.Checkpoint(origin=origin, size=size, root=self.root(0, size), at=AT)
        proof = merkle.consistency(old, size, self.root) if 0 < old <= size else []
        return witness.request(old, proof, note.sign(checkpoint, signer))  # type: ignore[arg-type]


LOG = Log(*"abcdefghij")
FORK = Log(*"abcdefXhij")


def a_witness(folder: Path) -> Witness:
    return Witness(folder / "witness.db", NAME, OTHER, {ORIGIN: SIGNER.public_key}, sm2.verify, lambda: AT)


def test_what_grows_is_signed(tmp_path: Path) -> None:
    it = a_witness(tmp_path)
    for old, size in ((0, 1), (1, 7), (7, 7), (7, 10)):
        answer = it.add(LOG.request(old, size))
        assert answer.status == 200
        checkpoint = note.Checkpoint(origin=ORIGIN, size=size, root=LOG.root(0, size), at=AT)
        read = note.read(note.sign(checkpoint, SIGNER) + answer.body)
        assert note.seen(read, {NAME: OTHER.public_key}, sm2.verify) == {NAME: AT}
    assert it.known(ORIGIN) == (10, LOG.root(0, 10))


@pytest.mark.parametrize("restarted", [False, True])
def test_another_history_is_not(tmp_path: Path, restarted: bool) -> None:
    it = a_witness(tmp_path)
    assert it.add(LOG.request(0, 8)).status == 200
    if restarted:
        it = a_witness(tmp_path)
    assert it.add(FORK.request(8, 10)).status == 422, "grown out of something else"
    assert it.add(FORK.request(8, 8)) == Answer(409, b"8\n"), "the same size, another root"
    assert it.add(LOG.request(0, 5)) == Answer(409, b"8\n"), "an old backup"
    assert it.add(LOG.request(5, 10)) == Answer(409, b"8\n"), "what the log does not know of"
    assert it.add(LOG.request(8, 6)).status == 400, "cut"
    assert it.known(ORIGIN) == (8, LOG.root(0, 8))
    assert it.add(LOG.request(8, 10)).status == 200


def test_who_signed_and_for_which_log_counts(tmp_path: Path) -> None:
    it = a_witness(tmp_path)
    assert it.add(LOG.request(0, signer=OTHER)).status == 403
    assert it.add(LOG.request(0, origin="example.cn/log-2")).status == 404
    assert it.known(ORIGIN) is None


def test_of_two_that_race_one_is_stale(tmp_path: Path) -> None:
    it = a_witness(tmp_path)
    assert it.add(LOG.request(0, 4)).status == 200
    both = [LOG.request(4, 10), FORK.request(4, 9)] * 4
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(it.add, both))
    taken = {(body, answer.status) for body, answer in zip(both, answers, strict=True) if answer.status == 200}
    assert len(taken) == 1
    assert {answer.status for answer in answers} == {200, 409}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n",
        b"old -1\n\n" + LOG.request(0).partition(b"\n\n")[2],
        b"old 01\n\n" + LOG.request(0).partition(b"\n\n")[2],
        b"old 4\nAAAA\n\n" + LOG.request(0).partition(b"\n\n")[2],
        b"old 4\n" + b"%s\n" % (b"A" * 43 + b"=") * 64 + b"\n" + LOG.request(0).partition(b"\n\n")[2],
        LOG.request(0)[:-9],
        b"\xff" * 100,
        b"old 0\n\n" + b"x" * 100_000,
    ],
)
def test_what_is_no_request_is_told_so_and_changes_nothing(tmp_path: Path, body: bytes) -> None:
    it = a_witness(tmp_path)
    assert it.add(body).status == 400
    assert it.known(ORIGIN) is None
