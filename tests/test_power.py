"""A share of the power cuts of `make faults`; and that they would be found where the disk is not waited for."""

from __future__ import annotations

import sys

import pytest

from tests.faults import power

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="strace is of Linux")


def test_a_power_cut_at_any_write_loses_nothing_that_was_held_for_durable() -> None:
    seen = power.run(1000, 1, checkpoint=power.CHECKPOINTS[0])
    assert seen.states >= 950
    assert seen.started >= 9
    assert (seen.lost, seen.corrupt, dict(seen.why)) == (0, 0, {})


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_without_waiting_for_the_disk_it_does(synchronous: power.Synchronous) -> None:
    seen = power.run(100, 1, synchronous)
    assert seen.lost > 20
