"""Files that take minutes begin first: no worker is left with one at the end. The rest is in random order."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import hypothesis
import pytest

# How long an example takes is no behaviour: the machine may be busy.
hypothesis.settings.register_profile("suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("suite")

os.environ["COLUMNS"] = "120"  # tables wrap alike with and without a terminal

LONG = (
    "test_tryton.py",
    "test_lists_synthetic.py",
    "test_sessions.py",
    "test_held.py",
    "test_portals.py",
    "test_grids.py",
    "test_probes.py",
    "test_kept.py",
    "test_sources.py",
    "test_hostile.py",
    "test_cli.py",
    "test_mq.py",
    "test_bad_files.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.name, len(LONG)))


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A screen that nobody sees, with a keyboard: an X server without a window manager."""
    reads, writes = os.pipe()
    screen = ["Xvfb", "-displayfd", str(writes), "-screen", "0", "1280x900x24", "-nolisten", "tcp"]
    server = subprocess.Popen(screen, pass_fds=[writes], stderr=subprocess.DEVNULL)
    os.close(writes)
    try:
        with os.fdopen(reads) as told:
            monkeypatch.setenv("DISPLAY", f":{told.readline().strip()}")
        yield
    finally:
        server.terminate()
        server.wait()
