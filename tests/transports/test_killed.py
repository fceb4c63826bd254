"""The share of `tests.faults` that every run of the tests takes."""

from __future__ import annotations

from pathlib import Path

from tests.faults import sftp_killed


def test_a_sender_killed_between_put_rename_and_done_never_shows_a_part_and_leaves_one_effect(tmp_path: Path):
    outcome = sftp_killed.run(20, seed=1, home=tmp_path)
    assert outcome.wrong == []
    assert outcome.effects == 20
    assert sum(outcome.killed.values()) + outcome.survived == 20
    assert all(outcome.killed[point] >= 2 for point in sftp_killed.POINTS if point != "random")
    assert outcome.seen > 0
