"""The weekly history: weeks, files, the way to the ministry with its cuts, what is taken and what is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.history import Site, many, number


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        yield site


def test_a_week_is_sent_taken_and_reconciled(site: Site) -> None:
    site.store.waybills = many(range(500))
    with site.outlet() as outlet:
        (sent,) = site.province().send_due(lambda: site.now, outlet)
        assert (sent.accepted, sent.reconciled) == (None, False)
        assert site.desk.take() == 1
        (sent,) = site.province().send_due(lambda: site.now, outlet)
    assert sent.answer is not None
    assert sent.reconciled, sent
    assert (sent.answer.sent, sent.answer.taken) == (500, 500)
    assert site.numbers() == [number(count) for count in range(500)]
    print(list(site.requests().iterdir()))
