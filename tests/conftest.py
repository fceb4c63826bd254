"""Files that take minutes begin first: no worker is left with one at the end. The rest is in random order."""

from __future__ import annotations

import os

import pytest

os.environ["COLUMNS"] = "120"  # tables wrap alike with and without a terminal

LONG = (
    "test_tryton.py",
    "test_lists_synthetic.py",
    "test_sessions.py",
    "test_portals.py",
    "test_grids.py",
    "test_probes.py",
    "test_kept.py",
    "test_sources.py",
    "test_cli.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.name, len(LONG)))
